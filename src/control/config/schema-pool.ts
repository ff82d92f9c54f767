/** Schema of pools and their endpoints. */
import { z } from 'zod';
import { ENDPOINT_EXPECTED } from './address.ts';
import { address, mode, readName, span, zoneName } from './leaves.ts';
import { balance } from './schema-balance.ts';
import { health } from './schema-health.ts';
import { sticky } from './schema-sticky.ts';
import { sendProxyProtocol, source } from './schema-stream.ts';
import { choice, count, either, shape, text, yes } from './shape.ts';

const endpoint = shape(
  'One server.',
  {
    address,
    weight: count('Share of the work; 0 takes no new requests. Default 1.', 0, 1000).optional(),
    backup: yes('Used only when no other endpoint is left. Default false.').optional(),
    zone: zoneName('Zone it stands in.').optional(),
    maxConnections: count('Requests in flight on it, over all workers; 0: no limit. Default 0.', 0, 1_000_000).optional(),
  },
  {
    notYet: ['tls', 'serverName', 'disabled', 'health', 'host'],
    foreign: {
      host: 'address',
      url: 'address',
      server: 'address',
      ip: 'address',
      addr: 'address',
      check: 'health of the pool',
      inter: 'health: { active: { interval: … } } of the pool',
      rise: 'health: { active: { rise: … } } of the pool',
      fall: 'health: { active: { fall: … } } of the pool',
      max_fails: 'health: { passive: { consecutiveFailures: … } } of the pool',
      fail_timeout: 'health: { passive: { ejectFor: … } } of the pool',
      proxyProtocol: 'proxyProtocol of the pool',
      'send-proxy': 'proxyProtocol: v1 of the pool',
      'send-proxy-v2': 'proxyProtocol: v2 of the pool',
    },
  },
);

const circuitBreaker = shape(
  'Limits of the pool over all workers; what is above is answered 503 at once instead of making endpoints slower still.',
  {
    maxRequests: count('Requests in flight; 0: no limit. Default 0.', 0, 10_000_000).optional(),
    maxPending: count('Requests that wait in the queue; 0: no limit. Default 0.', 0, 10_000_000).optional(),
    maxRetries: count('Retries under way; 0: no limit. Default 0.', 0, 10_000_000).optional(),
    mode: mode.optional(),
  },
  {
    foreign: {
      max_pending_requests: 'maxPending',
      max_connections: 'connections: { perEndpoint: … } of the pool',
      maxConnections: 'connections: { perEndpoint: … } of the pool',
      pending: 'maxPending',
      retries: 'maxRetries',
      requests: 'maxRequests',
    },
  },
);

export const pool = shape(
  'Endpoints that can answer the same requests.',
  {
    endpoints: z
      .array(either('An endpoint. Short form: its address.', ENDPOINT_EXPECTED, [address, endpoint]))
      .describe('The servers of this pool.'),
    balance: balance.optional(),
    protocol: choice(
      'What the endpoints get: requests, connections as they are, or datagrams. Default: what the listeners and routes that name the pool carry.',
      ['http', 'tcp', 'udp'],
      {
        notYet: ['h2', 'https', 'grpc', 'http2', 'h2c'],
        foreign: { 'http/1.1': 'http', http1: 'http', tls: 'tcp', stream: 'tcp', TCP: 'tcp', UDP: 'udp', auto: 'tcp' },
      },
    ).optional(),
    proxyProtocol: sendProxyProtocol.optional(),
    source: source.optional(),
    health: health.optional(),
    sticky: sticky.optional(),
    circuitBreaker: circuitBreaker.optional(),
    fallback: text(
      'Pool that is asked when no endpoint of this one can be. Default none: 503.',
      'expected the name of a pool',
      readName,
    ).optional(),
    connections: shape(
      'Connections to the endpoints, per worker.',
      {
        perEndpoint: count('Busy and idle, per endpoint; 0: no limit. Default 0.', 0, 1_000_000).optional(),
        keepAlive: count('Idle ones kept per endpoint. Default 256.', 0, 1_000_000).optional(),
        keepAliveFor: span('An idle one is closed after this: choose less than the endpoint does. Default 50s.').optional(),
        warm: count('Opened ahead per endpoint. Default 0.', 0, 10_000).optional(),
        requests: count('Requests over one before it is closed; 0: no limit. Default 0.', 0, 1_000_000_000).optional(),
      },
      {
        notYet: ['fastOpen'],
        foreign: {
          idle: 'keepAliveFor',
          max: 'perEndpoint',
          source: 'source: { addresses: … } of the pool',
          localAddresses: 'source: { addresses: … } of the pool',
        },
      },
    ).optional(),
    queue: shape(
      'Requests that wait: until one of the connections.perEndpoint of a worker is free, and until an endpoint is below its maxConnections.',
      {
        max: count('Waiting requests per worker. Default 1024.', 0, 1_000_000).optional(),
        timeout: span('How long one waits; urgency of a route says who goes first. Default 2s.').optional(),
      },
      { foreign: { size: 'max', length: 'max', maxqueue: 'max', 'timeout queue': 'timeout' } },
    ).optional(),
  },
  {
    notYet: ['discover', 'tls', 'retry', 'dsr'],
    foreign: {
      mode: 'protocol',
      'send-proxy': 'proxyProtocol: v1',
      'send-proxy-v2': 'proxyProtocol: v2',
      proxy_protocol: 'proxyProtocol',
      proxy_bind: 'source: { addresses: … }',
      source_address: 'source: { addresses: … }',
      sourceAddress: 'source: { addresses: … }',
      usesrc: 'source: { transparent: true }',
      tproxy: 'source: { transparent: true }',
      algorithm: 'balance',
      strategy: 'balance',
      maxconn: 'maxConnections of each endpoint',
      maxConnections: 'maxConnections of each endpoint',
      check: 'health',
      keepalive: 'connections',
      zone: 'balance: { zone: … }',
      zones: 'balance: { zone: … }',
      subset: 'balance: { subset: … }',
      hashOn: 'balance: { hashOn: … }',
      passive: 'health: { passive: … }',
      outlierDetection: 'health: { passive: … }',
      outlier_detection: 'health: { passive: … }',
      slowStart: 'health: { slowStart: … }',
      slowstart: 'health: { slowStart: … }',
      slow_start: 'health: { slowStart: … }',
      panicThreshold: 'health: { panicThreshold: … }',
      cookie: 'sticky',
      stickiness: 'sticky',
      sessionAffinity: 'sticky',
      'stick-table': 'sticky',
      breaker: 'circuitBreaker',
      circuit_breakers: 'circuitBreaker',
      backup: 'fallback',
      timeouts: 'timeouts of a route, or of a listener of connections',
    },
  },
);
