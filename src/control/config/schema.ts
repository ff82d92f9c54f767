/**
 * The config language: every key with its description, for people, editors (JSON Schema) and TypeScript (types).
 *
 * Defaults are applied where the plan is built, not here: a schema says what may be written.
 */
import { z } from 'zod';
import type { HashOnPlan } from '../../state/plan.ts';
import {
  CIDR_EXPECTED,
  ENDPOINT_EXPECTED,
  LISTEN_EXPECTED,
  looksLikeAddress,
  readEndpoint,
  readListen,
  readRange,
} from './address.ts';
import {
  HOST_EXPECTED,
  PATH_EXPECTED,
  readFieldName,
  readHost,
  readMethod,
  readPath,
  readTemplate,
  readTextMatch,
} from './patterns.ts';
import { choice, count, either, named, noted, oneOrMany, shape, text, words, yes } from './shape.ts';
import {
  BYTE_RATE_EXPECTED,
  bad,
  DURATION_EXPECTED,
  durationHelp,
  good,
  PERCENT_EXPECTED,
  percentHelp,
  type Read,
  readByteRate,
  readDuration,
  readPercent,
  readSize,
  SIZE_EXPECTED,
  sizeHelp,
} from './units.ts';

/** Names of listeners, pools, filters and routes: letters, digits, . _ - inside; never : or /, which mark addresses. */
export const NAME = /^[A-Za-z0-9_](?:[A-Za-z0-9._-]{0,62}[A-Za-z0-9_])?$/;

const duration = (description: string) =>
  text(description, DURATION_EXPECTED, readDuration, {
    pattern: '^([0-9]+(\\.[0-9]+)?(ms|s|m|h|d))+$',
    examples: ['500ms', '5s', '1m'],
    help: durationHelp,
  });
/** A duration that cannot be 0. */
const span = (description: string) =>
  text(
    description,
    DURATION_EXPECTED,
    (value) => {
      const read = readDuration(value);
      return read.ok && read.value === 0 ? bad('this duration cannot be 0') : read;
    },
    { pattern: '^([0-9]+(\\.[0-9]+)?(ms|s|m|h|d))+$', examples: ['500ms', '5s', '1m'], help: durationHelp },
  );
const size = (description: string, min = 0, max = 2 ** 50) =>
  text(
    description,
    SIZE_EXPECTED,
    (value) => {
      const read = readSize(value);
      return read.ok && (read.value < min || read.value > max) ? bad(`this size is ${min}B to ${sizeText(max)}`) : read;
    },
    { pattern: '^[0-9]+(\\.[0-9]+)?(B|KiB|MiB|GiB|kB|MB|GB)$', examples: ['32KiB', '20MiB'], help: sizeHelp },
  );
const percent = (description: string) =>
  text(description, PERCENT_EXPECTED, readPercent, { pattern: '^[0-9]+(\\.[0-9]+)?%$', examples: ['20%'], help: percentHelp });
const address = text('Address of an endpoint.', ENDPOINT_EXPECTED, readEndpoint, {
  examples: ['10.0.0.1:8080', 'app.internal:8080', 'unix:/run/app.sock'],
  help: endpointHelp,
});
const range = text('Address range, or one of the words private, loopback, all.', CIDR_EXPECTED, readRange, {
  examples: ['10.0.0.0/8', 'private'],
});
const ranges = (description: string) => oneOrMany(description, range);
const fieldValue = (description: string) => text(description, 'expected a text', readTemplate, { help: quoteHelp });
const match = text('Value: exact, a* (prefix), a*b, * (present) or ~regular expression.', 'expected a text', readTextMatch, {
  help: quoteHelp,
});
const fieldName = text('Name of a header field.', 'expected a header field name', readFieldName);
const poolName = text('Name of a pool.', 'expected the name of a pool', readName);

function readName(value: string): Read<string> {
  return NAME.test(value) ? good(value) : bad('a name has letters, digits, _ . - and begins and ends with a letter or digit');
}

function quoteHelp(value: unknown): string | undefined {
  return typeof value === 'number' || typeof value === 'boolean' ? `did you mean "${value}"?` : undefined;
}

function endpointHelp(value: unknown): string | undefined {
  return typeof value === 'number' && Number.isInteger(value) && value > 0 && value < 65536
    ? `did you mean "127.0.0.1:${value}"?`
    : undefined;
}

function listenHelp(value: unknown): string | undefined {
  return typeof value === 'number' && Number.isInteger(value) && value >= 0 && value < 65536
    ? `did you mean ":${value}"?`
    : undefined;
}

function sizeText(bytes: number): string {
  for (const [unit, factor] of [
    ['GiB', 2 ** 30],
    ['MiB', 2 ** 20],
    ['KiB', 1024],
  ] as const)
    if (bytes >= factor && bytes % factor === 0) return `${bytes / factor}${unit}`;
  return `${bytes}B`;
}

const TO_EXPECTED = 'expected the name of a pool, an address, a list of addresses, or pools with weights ({ web: 95, next: 5 })';
const to = either('Where requests go: a pool, an address, a list of addresses, or pools with weights.', TO_EXPECTED, [
  text('Pool or address.', TO_EXPECTED, (value) => (looksLikeAddress(value) ? readEndpoint(value) : readName(value)), {
    help: endpointHelp,
  }),
  z.array(address).min(1).describe('Addresses of endpoints; they make a pool of their own.'),
  named('Pools with weights.', count('Share of this pool; only the ratio matters.', 0, 1_000_000)),
]);

const listen = text(
  'Address to listen on. ":8080" is all addresses, IPv4 and IPv6.',
  LISTEN_EXPECTED,
  (value) => (value.startsWith('systemd:') ? good(value) : readListen(value)),
  { examples: [':8080', '127.0.0.1:8080', '[::1]:80', 'unix:/run/weir.sock'], help: listenHelp },
);

const retryWords = ['connect', 'reset', 'refused-stream', 'timeout', '502', '503', '504'] as const;

const retry = shape(
  'When and how often a request is tried again on another endpoint.',
  {
    attempts: count('All tries, the first included. Default 2; 1 means never again.', 1, 10).optional(),
    on: oneOrMany(
      'What a try may fail with to be repeated. Default connect, reset, refused-stream. Requests that are not idempotent are repeated only when nothing was sent.',
      choice('Reason.', retryWords, {
        foreign: {
          'conn-failure': 'connect',
          error: 'connect',
          'connect-failure': 'connect',
          http_502: '502',
          http_503: '503',
          http_504: '504',
        },
      }),
    ).optional(),
    budget: percent('Retries as a share of requests. Default 20%.').optional(),
    minPerSecond: count('Retries a second that are allowed whatever the budget says. Default 3.', 0, 100_000).optional(),
    perTry: duration('Limit for one try; 0s: none, the response timeout decides. Default 0s.').optional(),
  },
  { notYet: ['hedge', 'backoff'] },
);

const routeTimeoutFields = {
  connect: span('Connecting to an endpoint. Default 1s.').optional(),
  response: span('Request sent to response head. Default 30s.').optional(),
  idle: span('No byte in either direction while a body is under way. Default 60s.').optional(),
  tunnel: span('No byte in a tunnel (WebSocket). Default 1h.').optional(),
  request: duration('The whole exchange, retries included. 0s: no limit. Default 0s.').optional(),
};
const listenerTimeoutFields = {
  header: span('First byte of a request (or the connection) to the end of its head. Default 10s.').optional(),
  idle: span('Between two requests on a client connection. Default 60s.').optional(),
  body: span('No progress while a request body is under way. Default 30s.').optional(),
};

const listenerLimits = shape(
  'Limits of one listener.',
  {
    headerSize: size('Whole request head. Default 32KiB.', 256, 1024 * 1024).optional(),
    fieldSize: size('One header field. Default 16KiB.', 64, 1024 * 1024).optional(),
    fields: count('Header fields of a request. Default 100.', 1, 10_000).optional(),
    targetSize: size('Request target (path and query). Default 8KiB.', 16, 1024 * 1024).optional(),
    bodySize: size('Request body; 0B: no limit. Default 0B.').optional(),
    chunkExtensions: size('Chunk extensions of one body, in all. Default 4KiB.', 0, 1024 * 1024).optional(),
    connections: count('Client connections per worker; 0: only the limit of the process. Default 0.', 0, 10_000_000).optional(),
    connectionsPerIp: count('Client connections per address and worker; 0: none. Default 256.', 0, 10_000_000).optional(),
    requestsPerConnection: count('Requests on one connection before it is closed. Default 10000.', 1, 1_000_000_000).optional(),
    bufferSize: size(
      'Bytes held back for one slow reader, each direction. Default 256KiB.',
      16 * 1024,
      64 * 1024 * 1024,
    ).optional(),
    pipeline: count('Requests taken ahead of the answer on one connection. Default 8.', 1, 1000).optional(),
    minRate: text(
      'Bytes a second that a body or a reader must make; 0B/s: none. Default 240B/s.',
      BYTE_RATE_EXPECTED,
      readByteRate,
      { examples: ['240B/s'] },
    ).optional(),
    minRateAfter: span('Grace before minRate counts. Default 10s.').optional(),
  },
  {
    notYet: ['streamsPerConnection', 'handshakesPerSecond', 'connectionsPerSecond'],
    foreign: { headers: 'fields', maxconn: 'connections', maxHeaderSize: 'headerSize' },
  },
);

const listener = shape(
  'An address that clients connect to.',
  {
    listen: oneOrMany('Addresses to listen on.', listen),
    to: to.describe('Where requests go that no route matches.').optional(),
    protocol: choice('What is spoken. Default http.', ['http'], {
      notYet: ['https', 'tcp', 'udp', 'tls', 'h2c', 'http3', 'h2', 'grpc', 'quic'],
      foreign: { HTTP: 'http', 'http/1.1': 'http', http1: 'http' },
    }).optional(),
    redirectToHttps: yes('Answer every request with a redirect to https. Default false.').optional(),
    clientIp: shape('How the address of the client is found behind another balancer.', {
      trust: ranges('Peers whose forwarded header is believed. Default none.').optional(),
      header: text('Field the address is in. Default x-forwarded-for.', 'expected a header field name', readFieldName).optional(),
    }).optional(),
    limits: listenerLimits.optional(),
    timeouts: shape('Timeouts on the side of the client.', listenerTimeoutFields).optional(),
    underscores: choice(
      'Header fields with _ in their name: dropped, as Transfer_Encoding and the like confuse CGI programs. Default drop.',
      ['drop', 'allow', 'reject'],
    ).optional(),
  },
  { notYet: ['tls', 'http3', 'proxyProtocol', 'h2', 'http2', 'sni', 'use', 'altSvc', 'steer', 'xdp', 'transparent'] },
);

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

const statusRange = either('Status or range of statuses.', 'expected a status or a range, for example 200 or 200-399', [
  count('Status.', 100, 599),
  text('Range of statuses.', 'expected a status or a range, for example 200 or 200-399', readStatusRange, {
    pattern: '^[1-5][0-9][0-9](-[1-5][0-9][0-9])?$',
  }),
]);

/** "200-399" as [200, 399]. */
export function readStatusRange(value: string): Read<[number, number]> {
  const found = /^([1-5][0-9][0-9])(?:-([1-5][0-9][0-9]))?$/.exec(value);
  if (!found)
    return bad(
      'expected a status or a range, for example 200 or 200-399',
      /^[1-5]xx$/i.test(value) ? `did you mean ${value[0]}00-${value[0]}99?` : undefined,
    );
  const low = Number(found[1]);
  const high = Number(found[2] ?? found[1]);
  return high >= low ? good([low, high]) : bad('the range ends before it begins', `did you mean ${high}-${low}?`);
}

const ACTIVE_EXPECTED = 'expected a path to ask for (/healthz), tcp, or a map';
const active = either('Active checks. Short form: the path to ask for, or tcp.', ACTIVE_EXPECTED, [
  text('Path to ask for, or tcp.', ACTIVE_EXPECTED, readActive, { examples: ['/healthz', 'tcp'] }),
  shape(
    'Active checks: weir asks each endpoint by itself.',
    {
      type: choice('What is asked. Default http.', ['http', 'tcp'], {
        notYet: ['grpc', 'https', 'exec', 'redis', 'mysql', 'postgres', 'tls'],
      }).optional(),
      path: text('Path that is asked for. Default /.', 'expected a path, for example /healthz', readCheckPath).optional(),
      method: text('Method. Default GET.', 'expected a method, for example GET', readMethod).optional(),
      host: words('Host that is asked for. Default: the address of the endpoint.').optional(),
      headers: named('Header fields that are sent.', fieldValue('Value.')).optional(),
      expect: shape('What a good answer is.', {
        status: either('Statuses that pass. Default 200-399.', 'expected a status or a range, for example 200 or 200-399', [
          ...statusRange.options,
          z.array(statusRange).min(1),
        ]).optional(),
        body: words('Text that the body has to contain.').optional(),
      }).optional(),
      interval: span('Time between two checks of one endpoint. Default 2s.').optional(),
      timeout: span('Limit for one check. Default 1s.').optional(),
      rise: count('Passes in a row that bring an endpoint back. Default 2.', 1, 1000).optional(),
      fall: count('Failures in a row that take an endpoint out. Default 3.', 1, 1000).optional(),
      jitter: percent('Spread of the interval. Default 10%.').optional(),
      port: count('Another port than that of the endpoint.', 1, 65535).optional(),
    },
    {
      notYet: ['tls', 'grpc', 'send', 'exec', 'unhealthyInterval'],
      foreign: {
        uri: 'path',
        url: 'path',
        inter: 'interval',
        every: 'interval',
        healthyThreshold: 'rise',
        unhealthyThreshold: 'fall',
        passes: 'rise',
        fails: 'fall',
      },
    },
  ),
]);

function readActive(value: string): Read<string> {
  if (value === 'tcp') return good(value);
  return value.startsWith('/') ? readCheckPath(value) : bad(ACTIVE_EXPECTED);
}

function readCheckPath(value: string): Read<string> {
  return /^\/[\x21-\x7e]*$/.test(value) && !value.includes('#') ? good(value) : bad('expected a path, for example /healthz');
}

const HASH_ON_EXPECTED =
  'expected one of {client.ip}, {request.path}, {request.uri}, {request.host}, {request.header.NAME}, {request.cookie.NAME} or {request.query.NAME}';

/** All bits of a client's address. */
const WHOLE = { v4Bits: 32, v6Bits: 128 };

/** `hashOn`: one placeholder. */
export function readHashOn(value: string): Read<HashOnPlan> {
  if (value === '{client.ip}') return good({ kind: 'client', name: '', ...WHOLE });
  const found = /^\{request\.(?:(path|uri|host)|(header|cookie|query)\.([!#$%&'*+.^_`|~0-9A-Za-z-]+))\}$/.exec(value);
  if (found === null) return bad(HASH_ON_EXPECTED);
  if (found[1] !== undefined) return good({ kind: found[1] as HashOnPlan['kind'], name: '', ...WHOLE });
  const kind = found[2] as 'header' | 'cookie' | 'query';
  return good({ kind, name: kind === 'header' ? found[3]!.toLowerCase() : found[3]!, ...WHOLE });
}

/** Words for ways to choose an endpoint, with what other programs call them. */
export const algorithms = [
  'round-robin',
  'random',
  'power-of-two',
  'least-requests',
  'least-time',
  'first',
  'source',
  'ring-hash',
  'maglev',
  'rendezvous',
] as const;
const algorithm = choice('How an endpoint is chosen. Default power-of-two.', algorithms, {
  notYet: ['zone'],
  foreign: {
    leastconn: 'least-requests',
    least_conn: 'least-requests',
    'least-conn': 'least-requests',
    'least-connections': 'least-requests',
    least_connections: 'least-requests',
    leastrequest: 'least-requests',
    least_request: 'least-requests',
    wlc: 'least-requests',
    rr: 'round-robin',
    wrr: 'round-robin',
    roundrobin: 'round-robin',
    round_robin: 'round-robin',
    weighted_round_robin: 'round-robin',
    'static-rr': 'round-robin',
    p2c: 'power-of-two',
    'power-of-two-choices': 'power-of-two',
    'random(2)': 'power-of-two',
    random_choose: 'power-of-two',
    rand: 'random',
    failover: 'first',
    ip_hash: 'source',
    'ip-hash': 'source',
    consistent: 'maglev',
    hash: 'maglev',
    ketama: 'ring-hash',
    ring: 'ring-hash',
    hrw: 'rendezvous',
    least_time: 'least-time',
    leasttime: 'least-time',
    'peak-ewma': 'least-time',
    peak_ewma: 'least-time',
    uri: 'maglev',
    ewma: 'least-time',
  },
});

const pool = shape(
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

const headerEdit = shape(
  'Edits to a header.',
  {
    set: named(
      'Fields that replace all of their name.',
      fieldValue('Value; may hold {client.ip}, {request.id}, {request.host}, {request.path}, {request.header.NAME}.'),
    ).optional(),
    add: named('Fields that are added to those there.', fieldValue('Value; placeholders as in set.')).optional(),
    remove: oneOrMany('Fields that are taken out.', fieldName).optional(),
  },
  { foreign: { del: 'remove', delete: 'remove', unset: 'remove', append: 'add', replace: 'set' } },
);

const filter = shape(
  'What is done to a request or response on the way.',
  {
    headers: shape(
      'Edits to headers.',
      { request: headerEdit.optional(), response: headerEdit.optional() },
      { foreign: { set: 'request: { set: … }', add: 'request: { add: … }', remove: 'request: { remove: … }' } },
    ).optional(),
    access: shape(
      'Who may pass. A client in deny is refused; when allow is there, so is one that is not in it.',
      {
        allow: ranges('Ranges that may pass.').optional(),
        deny: ranges('Ranges that may not.').optional(),
      },
      { notYet: ['countries', 'hours', 'methods'] },
    ).optional(),
  },
  {
    notYet: [
      'rateLimit',
      'auth',
      'compress',
      'cache',
      'cors',
      'fault',
      'script',
      'decompress',
      'buffer',
      'concurrency',
      'waf',
      'bandwidth',
    ],
  },
);

const template = (description: string) =>
  text(description, 'expected a location, for example https://shop.example{request.uri}', readLocation);

function readLocation(value: string): Read<string> {
  if (value === '' || /[\x00-\x20\x7f]/.test(value))
    return bad('expected a location, for example https://shop.example{request.uri}');
  return readTemplate(value);
}

const PATH_FORM = either('Path. Short form as a text; { exact }, { prefix } or { regex } say it in words.', PATH_EXPECTED, [
  text('Path: /a (exact), /a/* (prefix), /a/{id} (segments), ~regular expression for the whole path.', PATH_EXPECTED, readPath, {
    examples: ['/login', '/api/*', '/users/{id}/orders', '~/v[0-9]+/.*'],
  }),
  shape('Path in words; exactly one key.', {
    exact: text('This path alone.', PATH_EXPECTED, (value) => readPath(value.startsWith('/') ? value : '')).optional(),
    prefix: text('This path and all below it.', PATH_EXPECTED, (value) =>
      readPath(value.startsWith('/') ? `${value.replace(/\/$/, '')}/*` : ''),
    ).optional(),
    regex: text('A regular expression for the whole path.', 'expected a regular expression', (value) =>
      readPath(`~${value}`),
    ).optional(),
  }),
]);

const route = shape(
  'Which requests go where.',
  {
    name: text('Name, in logs and metrics. Default: what it matches.', 'expected a name', readName).optional(),
    listener: oneOrMany(
      'Listeners it applies to. Default: all.',
      text('Name of a listener.', 'expected the name of a listener', readName),
    ).optional(),
    host: oneOrMany(
      'Hosts: shop.example, *.shop.example.',
      text('Host.', HOST_EXPECTED, readHost, { examples: ['shop.example', '*.shop.example'] }),
    ).optional(),
    path: either('Paths.', PATH_EXPECTED, [...PATH_FORM.options, z.array(PATH_FORM).min(1)]).optional(),
    method: oneOrMany('Methods.', text('Method.', 'expected a method, for example GET', readMethod)).optional(),
    header: named('Header fields that must match.', match).optional(),
    query: named('Query parameters that must match.', match).optional(),
    client: ranges('Client addresses.').optional(),
    priority: count('Larger wins over precedence. Default 0.', -1000, 1000).optional(),
    to: to.optional(),
    redirect: either(
      'Answer with a redirect. Short form: the location.',
      'expected a location, for example https://shop.example{request.uri}',
      [
        template('Location.'),
        shape(
          'Answer with a redirect.',
          {
            to: template('Location; may hold {request.uri}, {request.path}, {request.query}, {request.host}, {request.scheme}.'),
            status: either('Status. Default 308.', 'expected 301, 302, 303, 307 or 308', [
              z.literal([301, 302, 303, 307, 308]),
            ]).optional(),
          },
          { foreign: { location: 'to', url: 'to', code: 'status' } },
        ),
      ],
    ).optional(),
    respond: shape(
      'Answer with this, without asking an endpoint.',
      {
        status: count('Status. Default 200.', 200, 599).optional(),
        body: words('Body. Default empty.').optional(),
        contentType: words('Content-Type. Default text/plain; charset=utf-8.').optional(),
        headers: named('More header fields.', fieldValue('Value.')).optional(),
      },
      { foreign: { code: 'status', text: 'body', type: 'contentType' } },
    ).optional(),
    use: oneOrMany('Filters, in this order.', text('Name of a filter.', 'expected the name of a filter', readName)).optional(),
    rewrite: shape(
      'Changes to the request before it goes out.',
      {
        stripPrefix: text(
          'Taken off the front of the path, at a slash.',
          'expected a path, for example /v1',
          readCheckPath,
        ).optional(),
        addPrefix: text(
          'Put in front of the path, after stripPrefix.',
          'expected a path, for example /v1',
          readCheckPath,
        ).optional(),
        path: text('The whole new path.', 'expected a path, for example /v1', readCheckPath).optional(),
        host: text('The new Host.', HOST_EXPECTED, (value) =>
          /^[\w.[\]:-]+$/.test(value) ? good(value) : bad(HOST_EXPECTED),
        ).optional(),
      },
      { notYet: ['regex', 'query'] },
    ).optional(),
    timeouts: shape('Timeouts of these requests.', routeTimeoutFields).optional(),
    retry: retry.optional(),
    upgrade: either(
      'Protocols that may be upgraded to; [] for none. Default websocket.',
      'expected protocols, for example [websocket]',
      [
        z.array(
          text('Protocol.', 'expected a protocol, for example websocket', (value) =>
            /^[\w./-]+$/.test(value) ? good(value) : bad('expected a protocol, for example websocket'),
          ),
        ),
        text('Protocol.', 'expected protocols, for example [websocket]', (value) =>
          /^[\w./-]+$/.test(value) ? good(value) : bad('expected a protocol, for example websocket'),
        ),
      ],
    ).optional(),
  },
  {
    notYet: [
      'mirror',
      'sticky',
      'cache',
      'rateLimit',
      'auth',
      'cors',
      'compress',
      'faults',
      'sni',
      'grpc',
      'cookie',
      'limits',
      'balance',
    ],
    foreign: {
      paths: 'path',
      hosts: 'host',
      listeners: 'listener',
      backend: 'to',
      weight: 'to: { web: 95, next: 5 }',
      headers: 'header',
      filters: 'use',
    },
  },
);

const test = shape('A request and where it has to go; run by weir check.', {
  request: text('Method and URL.', 'expected a request, for example GET https://shop.example/', readRequest),
  headers: named('Header fields of the request.', words('Value.')).optional(),
  client: text('Address of the client. Default 192.0.2.1.', 'expected an address, for example 192.0.2.1', (value) =>
    value.includes('/') || value === 'private' || value === 'loopback' || value === 'all'
      ? bad('expected an address, for example 192.0.2.1')
      : readRange(value),
  ).optional(),
  listener: text(
    'Listener it comes in at. Default: the first that fits.',
    'expected the name of a listener',
    readName,
  ).optional(),
  expect: shape('What has to come out.', {
    route: words('Name of the route; none when no route may match.').optional(),
    pool: poolName.optional(),
    path: words('Path as the endpoint sees it.').optional(),
    status: count('Status, when weir answers by itself (redirect, respond, 404).', 100, 599).optional(),
    location: words('Location of a redirect.').optional(),
  }),
});

/** "GET https://shop.example/a?b=1" taken apart. */
export function readRequest(value: string): Read<{ method: string; url: URL; target: string }> {
  const found = /^(?:([A-Za-z]+) )?(https?:\/\/[^/?#\s]+)(\S*)$/.exec(value);
  const url = found ? URL.parse(found[2]) : null;
  if (!found || url === null)
    return bad(
      'expected a request, for example GET https://shop.example/',
      value.includes('://') ? undefined : 'write the URL in full',
    );
  const rest = found[3].replace(/#.*$/, '');
  return good({ method: found[1] ?? 'GET', url, target: rest.startsWith('/') ? rest : `/${rest}` });
}

const SAMPLE_EXPECTED = 'expected error or slow>DURATION, for example slow>1s';
const adminListen = text('Address.', LISTEN_EXPECTED, readListen, { help: listenHelp });

export const configSchema = shape(
  'Config of weir.',
  {
    version: z.literal(1).describe('Version of the config language.'),
    name: words('Name of this node: in Via, Proxy-Status, CDN-Loop. Default: the host name.').optional(),
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
        timeouts: shape('Timeouts.', { ...listenerTimeoutFields, ...routeTimeoutFields }).optional(),
        retry: retry.optional(),
      },
      { notYet: ['health', 'balance', 'connections', 'limits', 'tls'] },
    ).optional(),
    listeners: named('Where clients connect.', listener),
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
    notYet: [
      'certificates',
      'discovery',
      'state',
      'geoip',
      'metrics',
      'tracing',
      'ha',
      'edge',
      'cluster',
      'gslb',
      'tls',
      'secrets',
      'simulate',
      'xdp',
    ],
    foreign: {
      upstreams: 'pools',
      backends: 'pools',
      servers: 'listeners',
      server: 'listeners',
      endpoints: 'pools',
      middlewares: 'filters',
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
