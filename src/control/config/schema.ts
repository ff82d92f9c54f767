/**
 * The config language: every key with its description, for people, editors (JSON Schema) and TypeScript (types).
 *
 * Defaults are applied where the plan is built, not here: a schema says what may be written.
 */
import { z } from 'zod';
import { LISTEN_EXPECTED, readListen } from './address.ts';
import { duration, listenHelp, percent, span, zoneName } from './leaves.ts';
import { readFieldName } from './patterns.ts';
import { filter } from './schema-filter.ts';
import { listener, listenerTimeoutFields } from './schema-listener.ts';
import { pool } from './schema-pool.ts';
import { retry, route, routeTimeoutFields } from './schema-route.ts';
import { streamTimeoutFields } from './schema-stream.ts';
import { test } from './schema-test.ts';
import { certificate } from './schema-tls.ts';
import { choice, count, either, named, oneOrMany, shape, text, words, yes } from './shape.ts';
import { bad, good, type Read, readDuration } from './units.ts';

const SAMPLE_EXPECTED = 'expected error or slow>DURATION, for example slow>1s';
const adminListen = text('Address.', LISTEN_EXPECTED, readListen, { help: listenHelp });

export const configSchema = shape(
  'Config of weir.',
  {
    version: z.literal(1).describe('Version of the config language.'),
    name: words('Name of this node: in Via, Proxy-Status, CDN-Loop. Default: the host name.').optional(),
    zone: zoneName('Zone this node stands in; pools with balance.zone prefer endpoints of it. Default none.').optional(),
    include: oneOrMany('More files, merged by name. Patterns like conf.d/*.yaml.', words('File or pattern.')).optional(),
    process: shape(
      'The program as a whole.',
      {
        workers: either('Worker processes. auto: one per core. Default auto.', 'expected auto or a whole number from 1 to 256', [
          z.literal('auto'),
          count('Workers.', 1, 256),
        ]).optional(),
        engine: choice('How the kernel is driven. auto: io_uring, else epoll. Default auto.', ['auto', 'uring', 'epoll'], {
          foreign: { io_uring: 'uring', iouring: 'uring', 'io-uring': 'uring' },
        }).optional(),
        connections: count('Client connections over all workers. Default 60000.', 1, 10_000_000).optional(),
        drain: shape('How the program leaves.', {
          notReadyFor: duration(
            'Time between saying not ready and stopping to accept; for balancers in front. Default 0s.',
          ).optional(),
          graceful: duration('Time for requests in flight. Default 30s.').optional(),
          hardStop: duration('Then everything is cut. Default 10m.').optional(),
        }).optional(),
      },
      { notYet: ['user', 'group', 'memory', 'cpuAffinity', 'huge', 'upgrade'] },
    ).optional(),
    admin: shape(
      'Where weir answers about itself: metrics, health.',
      {
        listen: either('Addresses; [] for none. Default 127.0.0.1:9900.', LISTEN_EXPECTED, [
          adminListen,
          z.array(adminListen),
        ]).optional(),
      },
      { notYet: ['tokens', 'origins', 'tls', 'dashboard', 'audit'] },
    ).optional(),
    defaults: shape(
      'For all listeners and routes that say nothing else.',
      {
        timeouts: shape('Timeouts.', {
          ...listenerTimeoutFields,
          ...routeTimeoutFields,
          ...streamTimeoutFields,
          idle: span(
            'HTTP: between two requests, and no byte while a body is under way. Default 60s. Connections that are passed on as they are have it at their listener or route.',
          ).optional(),
        }).optional(),
        retry: retry.optional(),
      },
      { notYet: ['health', 'balance', 'connections', 'limits', 'tls'] },
    ).optional(),
    listeners: named('Where clients connect.', listener),
    certificates: named('For listeners with tls.', certificate).optional(),
    pools: named('Groups of endpoints.', pool).optional(),
    filters: named('What routes can use.', filter).optional(),
    routes: z.array(route).describe('Which requests go where. The most specific wins, not the first.').optional(),
    tests: z.array(test).describe('Run by weir check.').optional(),
    logs: shape('Logs.', {
      level: choice('Level of the log of the program. Default info.', ['debug', 'info', 'warn', 'error'], {
        foreign: { warning: 'warn', trace: 'debug', notice: 'info', err: 'error' },
      }).optional(),
      access: either(
        'Access log. Short form: stdout, stderr, a file, or off. Default off.',
        'expected stdout, stderr, a path, off, or a map',
        [
          text('Where to.', 'expected stdout, stderr, a path, off, or a map', readLogTarget),
          z.literal(false),
          shape(
            'Access log.',
            {
              to: text(
                'stdout, stderr or a path. Default stdout.',
                'expected stdout, stderr or a path',
                readLogTarget,
              ).optional(),
              format: choice('Default json.', ['json', 'combined'], { notYet: ['common', 'logfmt', 'httplog'] }).optional(),
              redact: oneOrMany(
                'Query parameters whose value is hidden: query.NAME. Default query.token, query.access_token, query.password, query.secret, query.api_key.',
                text('query.NAME', 'expected query.NAME, for example query.token', readRedact),
              ).optional(),
              sample: shape('Which lines are written.', {
                ok: percent('Share of ordinary lines. Faults are always written. Default 100%.').optional(),
                always: oneOrMany(
                  'Lines that are written whatever ok says: error, slow>DURATION. Default [error, slow>1s].',
                  text('error or slow>DURATION.', SAMPLE_EXPECTED, readAlways, { examples: ['error', 'slow>1s'] }),
                ).optional(),
              }).optional(),
            },
            { notYet: ['headers', 'fields'] },
          ),
        ],
      ).optional(),
    }).optional(),
    headers: shape(
      'Header fields that weir itself sets.',
      {
        forwarded: choice(
          'X-Forwarded-*, Forwarded (RFC 7239), both or none, towards endpoints. Default x-forwarded.',
          ['x-forwarded', 'rfc7239', 'both', 'none'],
          { foreign: { 'x-forwarded-for': 'x-forwarded', xff: 'x-forwarded', off: 'none' } },
        ).optional(),
        requestId: either(
          'Field of the request id; false for none. Default x-request-id.',
          'expected a header field name, or false',
          [text('Name.', 'expected a header field name, or false', readFieldName), z.literal(false)],
        ).optional(),
        via: choice('Via towards endpoints (request), clients (response), both or none. Default none.', [
          'none',
          'request',
          'response',
          'both',
        ]).optional(),
        proxyStatus: choice('Proxy-Status (RFC 9209). Default errors.', ['errors', 'always', 'never']).optional(),
        cdnLoop: yes('CDN-Loop (RFC 8586): a request that was here before is answered by 508. Default true.').optional(),
        serverTiming: yes('Server-Timing towards clients. Default false.').optional(),
      },
      { notYet: ['cacheStatus', 'traceparent', 'altSvc'] },
    ).optional(),
  },
  {
    notYet: ['discovery', 'state', 'geoip', 'metrics', 'tracing', 'ha', 'edge', 'cluster', 'gslb', 'secrets', 'simulate', 'xdp'],
    foreign: {
      upstreams: 'pools',
      backends: 'pools',
      servers: 'listeners',
      server: 'listeners',
      endpoints: 'pools',
      middlewares: 'filters',
      locality: 'zone',
      rateLimits: 'filters',
      tls: 'certificates',
      certs: 'certificates',
      ssl: 'certificates',
    },
  },
);

/** "slow>1s" as ms; "error" as 0. */
export function readAlways(value: string): Read<number> {
  if (value === 'error') return good(0);
  const read = value.startsWith('slow>') ? readDuration(value.slice(5)) : null;
  return read?.ok ? read : bad(SAMPLE_EXPECTED, value.startsWith('slow') ? 'did you mean slow>1s?' : undefined);
}

function readLogTarget(value: string): Read<string> {
  if (value === 'stdout' || value === 'stderr' || value === 'off' || /^[./]/.test(value)) return good(value);
  return bad('expected stdout, stderr or a path', /\.(log|json)$/.test(value) ? `did you mean ./${value}?` : undefined);
}

function readRedact(value: string): Read<string> {
  const found = /^query\.([^\s&=]+)$/.exec(value);
  if (found) return good(found[1].toLowerCase());
  return bad('expected query.NAME, for example query.token', /^[\w-]+$/.test(value) ? `did you mean query.${value}?` : undefined);
}

/** A config as it may be written. */
export type Config = z.input<typeof configSchema>;
export type ListenerConfig = Config['listeners'][string];
export type PoolConfig = NonNullable<Config['pools']>[string];
export type FilterConfig = NonNullable<Config['filters']>[string];
export type RouteConfig = NonNullable<Config['routes']>[number];
export type TestConfig = NonNullable<Config['tests']>[number];
export type EndpointConfig = Exclude<PoolConfig['endpoints'][number], string>;
