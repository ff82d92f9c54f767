/** Schema of routes: what they match, what they do, timeouts and retries. */
import { z } from 'zod';
import { duration, fieldValue, match, percent, ranges, readCheckPath, readName, span, to } from './leaves.ts';
import { HOST_EXPECTED, PATH_EXPECTED, readHost, readMethod, readPath, readTemplate } from './patterns.ts';
import { alpn, sni, streamTimeoutFields } from './schema-stream.ts';
import { choice, count, either, named, oneOrMany, shape, text, words } from './shape.ts';
import { bad, good, type Read } from './units.ts';

const retryWords = ['connect', 'reset', 'refused-stream', 'timeout', '502', '503', '504'] as const;

export const retry = shape(
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
    hedge: duration(
      'A second try starts on another endpoint when no answer came for so long; the first answer wins. Idempotent requests without a body only; it counts as a try. 0s: never. Default 0s.',
    ).optional(),
    backoff: duration(
      'From the second retry on, a random wait up to this, doubled for each further one. 0s: none. Default 25ms.',
    ).optional(),
    maxBackoff: duration('Longest of these waits. Default 250ms, and at least backoff.').optional(),
  },
  {
    foreign: {
      num_retries: 'attempts',
      tries: 'attempts',
      max: 'attempts',
      retry_on: 'on',
      conditions: 'on',
      per_try_timeout: 'perTry',
      perTryTimeout: 'perTry',
      hedge_policy: 'hedge',
      hedging: 'hedge',
      retry_back_off: 'backoff',
      base_interval: 'backoff',
      initialInterval: 'backoff',
      max_interval: 'maxBackoff',
      budget_percent: 'budget',
      min_retry_concurrency: 'minPerSecond',
    },
  },
);

export const routeTimeoutFields = {
  connect: span('Connecting to an endpoint. Default 1s.').optional(),
  response: span('Request sent to response head. Default 30s.').optional(),
  idle: span(
    'No byte in either direction while a body is under way. Default 60s. Routes of connections: at any time; default 1h.',
  ).optional(),
  tunnel: span('No byte in a tunnel (WebSocket). Default 1h.').optional(),
  request: duration('The whole exchange, retries included. 0s: no limit. Default 0s.').optional(),
};

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

export const route = shape(
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
    sni: sni.optional(),
    alpn: alpn.optional(),
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
    timeouts: shape('Timeouts of these requests, or connections.', {
      ...routeTimeoutFields,
      ...streamTimeoutFields,
    }).optional(),
    retry: retry.optional(),
    urgency: count('Place in the queue of a pool: 0 first, 7 last. Default 3.', 0, 7).optional(),
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
    notYet: ['mirror', 'cache', 'auth', 'cors', 'compress', 'faults', 'grpc', 'cookie', 'limits', 'balance'],
    foreign: {
      paths: 'path',
      hosts: 'host',
      listeners: 'listener',
      backend: 'to',
      weight: 'to: { web: 95, next: 5 }',
      headers: 'header',
      filters: 'use',
      sticky: 'sticky of the pool',
      rateLimit: 'use, and a filter with rateLimit',
      hedge: 'retry: { hedge: … }',
      attempts: 'retry: { attempts: … }',
      queuePriority: 'urgency',
      server_name: 'host (of requests), or sni (of TLS that is not opened)',
      ssl_preread_server_name: 'sni',
      server_names: 'sni',
      serverNames: 'sni',
      hostSNI: 'sni',
      HostSNI: 'sni',
      req_ssl_sni: 'sni',
      req_ssl_alpn: 'alpn',
      application_protocols: 'alpn',
      source_prefix_ranges: 'client',
    },
  },
);
