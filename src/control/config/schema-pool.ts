/** Schema of pools and their endpoints. */
import { z } from 'zod';
import { ENDPOINT_EXPECTED } from './address.ts';
import { address, span } from './leaves.ts';
import { algorithm, HASH_ON_EXPECTED, readHashOn } from './schema-balance.ts';
import { ACTIVE_EXPECTED, active, readActive } from './schema-health.ts';
import { choice, count, either, noted, shape, text, words, yes } from './shape.ts';

const endpoint = shape(
  'One server.',
  {
    address,
    weight: count('Share of the work; 0 takes no new requests. Default 1.', 0, 1000).optional(),
    backup: yes('Used only when no other endpoint is left. Default false.').optional(),
    zone: words('Zone it stands in.').optional(),
    maxConnections: count('Requests in flight on it, over all workers; 0: no limit. Default 0.', 0, 1_000_000).optional(),
  },
  {
    notYet: ['tls', 'serverName', 'disabled', 'health', 'host'],
    foreign: { host: 'address', url: 'address', server: 'address', ip: 'address', addr: 'address' },
  },
);

export const pool = shape(
  'Endpoints that can answer the same requests.',
  {
    endpoints: z
      .array(either('An endpoint. Short form: its address.', ENDPOINT_EXPECTED, [address, endpoint]))
      .describe('The servers of this pool.'),
    balance: either(
      'How an endpoint is chosen. Short form: the algorithm.',
      'expected the name of an algorithm, for example round-robin',
      [
        algorithm,
        shape(
          'How an endpoint is chosen.',
          {
            algorithm: algorithm.optional(),
            hashOn: text(
              'What ring-hash, maglev and rendezvous place a request by. Default {client.ip}.',
              HASH_ON_EXPECTED,
              readHashOn,
              { examples: ['{request.header.x-user}', '{request.cookie.session}', '{request.query.id}', '{request.path}'] },
            ).optional(),
            boundedLoad: noted(
              z
                .number()
                .gt(1)
                .max(100)
                .describe(
                  'Hashing policies: no endpoint takes more than this many times its fair share. Default: no bound; 1.25 to 1.5 are typical.',
                ),
              { expected: 'expected a number above 1, for example 1.25' },
            ).optional(),
          },
          { notYet: ['zone', 'tableSize', 'decay'] },
        ),
      ],
    ).optional(),
    protocol: choice('What the endpoints speak. Default http.', ['http'], {
      notYet: ['h2', 'https', 'grpc', 'tcp', 'udp', 'http2', 'h2c'],
      foreign: { 'http/1.1': 'http', http1: 'http' },
    }).optional(),
    health: either('Health checks. Short form: the path to ask for, or tcp.', ACTIVE_EXPECTED, [
      text('Path to ask for, or tcp.', ACTIVE_EXPECTED, readActive, { examples: ['/healthz', 'tcp'] }),
      shape(
        'Health checks.',
        { active: active.optional() },
        {
          notYet: ['passive', 'slowStart', 'panicThreshold', 'agent'],
          foreign: {
            path: 'active: { path: … }',
            interval: 'active: { interval: … }',
            type: 'active: { type: … }',
            timeout: 'active: { timeout: … }',
          },
        },
      ),
    ]).optional(),
    connections: shape(
      'Connections to the endpoints, per worker.',
      {
        perEndpoint: count('Busy and idle, per endpoint; 0: no limit. Default 0.', 0, 1_000_000).optional(),
        keepAlive: count('Idle ones kept per endpoint. Default 256.', 0, 1_000_000).optional(),
        keepAliveFor: span('An idle one is closed after this: choose less than the endpoint does. Default 50s.').optional(),
        warm: count('Opened ahead per endpoint. Default 0.', 0, 10_000).optional(),
        requests: count('Requests over one before it is closed; 0: no limit. Default 0.', 0, 1_000_000_000).optional(),
      },
      { notYet: ['source', 'localAddresses', 'fastOpen'], foreign: { idle: 'keepAliveFor', max: 'perEndpoint' } },
    ).optional(),
    queue: shape('Requests that wait when connections.perEndpoint is reached.', {
      max: count('Waiting requests per worker. Default 1024.', 0, 1_000_000).optional(),
      timeout: span('How long one waits. Default 2s.').optional(),
    }).optional(),
  },
  {
    notYet: ['discover', 'sticky', 'circuitBreaker', 'fallback', 'tls', 'retry', 'proxyProtocol', 'subset', 'zones', 'dsr'],
    foreign: { algorithm: 'balance', strategy: 'balance', maxconn: 'connections', check: 'health', keepalive: 'connections' },
  },
);
