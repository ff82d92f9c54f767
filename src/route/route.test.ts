import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { ClientAddress } from '../base/client-address.ts';
import type { Plan, RouteMatchPlan, RoutePlan } from '../state/plan.ts';
import { BAD_PATH, buildRoutes, chooseTarget, explainMatch, headFromText, NO_ROUTE } from './route.ts';

const anyMatch: RouteMatchPlan = { host: null, path: { kind: 'any' }, methods: null, headers: [], query: [], clients: null };

function route(name: string, match: Partial<RouteMatchPlan>, more: Partial<RoutePlan> = {}): RoutePlan {
  return {
    id: 0,
    name,
    source: `weir.yaml:${name}`,
    listeners: null,
    match: { ...anyMatch, ...match },
    action: { kind: 'forward', pools: [{ pool: 0, weight: 1 }] },
    priority: 0,
    filters: [],
    rewrite: null,
    timeouts: { connectMs: 1, responseMs: 1, idleMs: 1, tunnelMs: 1, requestMs: 0 },
    retry: { attempts: 1, on: [], budget: 0, budgetMin: 0, perTryMs: 0, hedgeMs: 0, backoffMs: 25, backoffMaxMs: 250 },
    urgency: 3,
    upgrade: [],
    ...more,
  };
}

/** Only what a route table reads. */
function planOf(routes: RoutePlan[]): Plan {
  return { routes } as unknown as Plan;
}

function address(text: string): ClientAddress {
  const client = new ClientAddress();
  client.set(text);
  return client;
}
const someone = address('203.0.113.9');

/** Name of the route taken, or the code. */
function taken(routes: RoutePlan[], request: string, fields: [string, string][] = [], client = someone): string | number {
  const [method, url] = request.split(' ') as [string, string];
  const found = buildRoutes(planOf(routes), 0).match(headFromText(method, url, fields), client);
  return found < 0 ? found : routes[found]!.name;
}

/** So many routes that the index is used; they match nothing that is asked here. */
const ballast = Array.from({ length: 20 }, (_, i) =>
  route(`ballast${i}`, {
    host: { value: `ballast${i}.test`, wildcard: i % 2 === 0 },
    path: { kind: 'exact', value: `/ballast${i}` },
  }),
);
const sizes: [string, RoutePlan[]][] = [
  ['in turn', []],
  ['by index', ballast],
];

for (const [how, more] of sizes) {
  const ask = (routes: RoutePlan[], request: string, fields: [string, string][] = [], client = someone) =>
    taken([...routes, ...more], request, fields, client);

  test(`${how}: a host compares without case, port and trailing dot`, () => {
    const routes = [route('shop', { host: { value: 'shop.example', wildcard: false } })];
    for (const host of ['shop.example', 'SHOP.example', 'shop.example:8080', 'Shop.Example.', 'shop.example.:80']) {
      assert.equal(ask(routes, `GET http://${host}/`), 'shop', host);
    }
    for (const host of ['shop.example.com', 'xshop.example', 'hop.example', 'a.shop.example', '']) {
      assert.equal(ask(routes, 'GET /', [['host', host]]), NO_ROUTE, host);
    }
  });

  test(`${how}: a wildcard host stands for one or more labels`, () => {
    const routes = [route('wild', { host: { value: 'example.com', wildcard: true } })];
    assert.equal(ask(routes, 'GET http://a.example.com/'), 'wild');
    assert.equal(ask(routes, 'GET http://a.b.EXAMPLE.com:81/'), 'wild');
    assert.equal(ask(routes, 'GET http://example.com/'), NO_ROUTE);
    assert.equal(ask(routes, 'GET http://.example.com/'), NO_ROUTE);
    assert.equal(ask(routes, 'GET http://aexample.com/'), NO_ROUTE);
  });

  test(`${how}: an IPv6 host keeps its brackets and loses its port`, () => {
    const routes = [route('six', { host: { value: '[2001:db8::1]', wildcard: false } })];
    assert.equal(ask(routes, 'GET http://[2001:DB8::1]:8080/'), 'six');
    assert.equal(ask(routes, 'GET http://[2001:db8::1]/'), 'six');
    assert.equal(ask(routes, 'GET http://[2001:db8::2]/'), NO_ROUTE);
  });

  test(`${how}: a host longer than any name matches only routes for any host`, () => {
    const long = 'a.'.repeat(200) + 'example.com';
    const routes = [route('wild', { host: { value: 'example.com', wildcard: true } }), route('any', {})];
    assert.equal(ask(routes, `GET http://${long}/`), 'any');
  });

  test(`${how}: a prefix ends at a segment boundary, an exact path nowhere else`, () => {
    const routes = [
      route('exact', { path: { kind: 'exact', value: '/v1/items' } }),
      route('prefix', { path: { kind: 'prefix', value: '/v1' } }),
    ];
    assert.equal(ask(routes, 'GET /v1/items'), 'exact');
    assert.equal(ask(routes, 'GET /v1/items?a=b'), 'exact');
    assert.equal(ask(routes, 'GET /v1/items/'), 'prefix');
    assert.equal(ask(routes, 'GET /v1'), 'prefix');
    assert.equal(ask(routes, 'GET /v1/'), 'prefix');
    assert.equal(ask(routes, 'GET /v1x'), NO_ROUTE);
    assert.equal(ask(routes, 'GET /V1'), NO_ROUTE);
    assert.equal(ask(routes, 'GET /'), NO_ROUTE);
  });

  test(`${how}: '*' stands for one segment that is not empty`, () => {
    const routes = [
      route('one', { path: { kind: 'segments', segments: ['users', '*', 'posts'], rest: false } }),
      route('more', { path: { kind: 'segments', segments: ['*', 'files'], rest: true } }),
    ];
    assert.equal(ask(routes, 'GET /users/7/posts'), 'one');
    assert.equal(ask(routes, 'GET /users/7/posts/'), NO_ROUTE);
    assert.equal(ask(routes, 'GET /users//posts'), NO_ROUTE);
    assert.equal(ask(routes, 'GET /users/7/8/posts'), NO_ROUTE);
    assert.equal(ask(routes, 'GET /x/files'), 'more');
    assert.equal(ask(routes, 'GET /x/files/a/b'), 'more');
    assert.equal(ask(routes, 'GET /x/filesystem'), NO_ROUTE);
  });

  test(`${how}: a regular expression has to match the whole path`, () => {
    const routes = [route('re', { path: { kind: 'regex', value: '/[a-z]+/\\d+|/café' } })];
    assert.equal(ask(routes, 'GET /abc/12'), 're');
    assert.equal(ask(routes, 'GET /abc/12x'), NO_ROUTE);
    assert.equal(ask(routes, 'GET /0/abc/12'), NO_ROUTE);
    assert.equal(ask(routes, 'GET /caf%C3%A9'), 're');
  });

  test(`${how}: methods, known and other, are exact`, () => {
    const routes = [route('m', { methods: ['POST', 'PURGE'] })];
    assert.equal(ask(routes, 'POST /'), 'm');
    assert.equal(ask(routes, 'PURGE /'), 'm');
    assert.equal(ask(routes, 'GET /'), NO_ROUTE);
    assert.equal(ask(routes, 'PURGES /'), NO_ROUTE);
    assert.equal(ask(routes, 'post /'), NO_ROUTE);
  });

  test(`${how}: a header condition holds when one field line satisfies it`, () => {
    const routes = [
      route('glob', { headers: [{ name: 'content-type', match: { kind: 'glob', value: 'application/grpc*' } }] }),
      route('present', { headers: [{ name: 'x-debug', match: { kind: 'present' } }] }),
      route('prefix', { headers: [{ name: 'user-agent', match: { kind: 'prefix', value: 'curl/' } }] }),
      route('regex', { headers: [{ name: 'x-version', match: { kind: 'regex', value: '[23]\\..*' } }] }),
      route('exact', {
        headers: [
          { name: 'x-a', match: { kind: 'exact', value: '1' } },
          { name: 'x-b', match: { kind: 'exact', value: '2' } },
        ],
      }),
      route('host', { headers: [{ name: 'host', match: { kind: 'exact', value: 'h.test:81' } }] }),
    ];
    assert.equal(ask(routes, 'POST /', [['Content-Type', 'application/grpc+proto']]), 'glob');
    assert.equal(ask(routes, 'POST /', [['content-type', 'application/json']]), NO_ROUTE);
    assert.equal(ask(routes, 'GET /', [['X-Debug', '']]), 'present');
    assert.equal(ask(routes, 'GET /', [['User-Agent', 'curl/8']]), 'prefix');
    assert.equal(
      ask(routes, 'GET /', [
        ['x-version', '1.0'],
        ['X-Version', '3.1'],
      ]),
      'regex',
    );
    assert.equal(ask(routes, 'GET /', [['x-version', '13.1']]), NO_ROUTE);
    assert.equal(
      ask(routes, 'GET /', [
        ['x-a', '1'],
        ['x-b', '2'],
      ]),
      'exact',
    );
    assert.equal(
      ask(routes, 'GET /', [
        ['x-a', '1'],
        ['x-b', '3'],
      ]),
      NO_ROUTE,
    );
    assert.equal(ask(routes, 'GET http://h.test:81/'), 'host');
  });

  test(`${how}: a query condition sees the first value, decoded`, () => {
    const routes = [
      route('beta', { query: [{ name: 'beta', match: { kind: 'exact', value: 'yes please' } }] }),
      route('flag', { query: [{ name: 'flag', match: { kind: 'present' } }] }),
    ];
    assert.equal(ask(routes, 'GET /?beta=yes+please'), 'beta');
    assert.equal(ask(routes, 'GET /?x=1&b%65ta=yes%20please&beta=no'), 'beta');
    assert.equal(ask(routes, 'GET /?beta=no&beta=yes+please'), NO_ROUTE);
    assert.equal(ask(routes, 'GET /?xbeta=yes+please'), NO_ROUTE);
    assert.equal(ask(routes, 'GET /?a&flag'), 'flag');
    assert.equal(ask(routes, 'GET /?a&flag='), 'flag');
    assert.equal(ask(routes, 'GET /?flags'), NO_ROUTE);
    assert.equal(ask(routes, 'GET /'), NO_ROUTE);
  });

  test(`${how}: a client condition asks for the client's address`, () => {
    const routes = [route('inside', { clients: [{ bytes: [10, 0, 0, 0], bits: 8 }] })];
    assert.equal(ask(routes, 'GET /', [], address('10.1.2.3')), 'inside');
    assert.equal(ask(routes, 'GET /', [], address('11.1.2.3')), NO_ROUTE);
  });

  test(`${how}: the plan's order decides, also against specificity`, () => {
    const routes = [
      route('first', { path: { kind: 'prefix', value: '/a' } }),
      route('host', { host: { value: 'h.test', wildcard: false } }),
      route('deep', { host: { value: 'h.test', wildcard: false }, path: { kind: 'prefix', value: '/a/b' } }),
    ];
    assert.equal(ask(routes, 'GET http://h.test/a/b'), 'first');
    assert.equal(ask(routes, 'GET http://h.test/b'), 'host');
  });

  test(`${how}: a path is matched in its normal form and refused where it would leave its route`, () => {
    const routes = [
      route('admin', { path: { kind: 'prefix', value: '/admin' } }),
      route('public', { path: { kind: 'prefix', value: '/public' } }),
      route('any', {}),
    ];
    for (const path of ['//admin/x', '/%61dmin', '/./admin', '/x/../admin', '/admin%2fx', '/admin;v/x', '/\\admin']) {
      assert.equal(ask(routes, `GET ${path}`), 'admin', path);
    }
    for (const path of [
      '/public/../admin',
      '/public/%2e%2e/admin',
      '/public/..%2fadmin',
      '/public/..;/admin',
      '/public/..',
      '/../admin',
      '/a%00b',
      '/%zz',
      '/public/..\\x',
    ]) {
      assert.equal(ask(routes, `GET ${path}`), BAD_PATH, path);
    }
    assert.equal(ask(routes, 'GET /public/a/../b'), 'public');
    assert.equal(ask(routes, 'GET /.well-known/acme-challenge/x'), 'any');
    assert.equal(ask(routes, 'GET /a%20b'), 'any');
  });

  test(`${how}: a path of the configuration may be written with escapes`, () => {
    const routes = [
      route('space', { path: { kind: 'exact', value: '/a%20b' } }),
      route('accent', { path: { kind: 'prefix', value: '/café' } }),
    ];
    assert.equal(ask(routes, 'GET /a%20b'), 'space');
    assert.equal(ask(routes, 'GET /caf%c3%a9/x'), 'accent');
    assert.equal(ask(routes, 'GET /a%2520b'), NO_ROUTE);
  });

  test(`${how}: what a stripped prefix leaves must not climb, and must be strippable as written`, () => {
    const rewrite = { stripPrefix: '/v1', addPrefix: '/app', path: null, host: null };
    const routes = [route('v1', { path: { kind: 'prefix', value: '/v1' } }, { rewrite })];
    assert.equal(ask(routes, 'GET /v1/a/../b'), 'v1');
    assert.equal(ask(routes, 'GET /v1/../v1/x'), BAD_PATH);
    assert.equal(ask(routes, 'GET //v1/x'), BAD_PATH);
    assert.equal(ask(routes, 'GET /%761/x'), BAD_PATH);
    assert.equal(ask(routes, 'GET /v1//x'), 'v1');
    const spaced = [route('s', {}, { rewrite: { ...rewrite, stripPrefix: '/a%20b/' } })];
    assert.equal(ask(spaced, 'GET /a%20b/x'), 's');
    assert.equal(ask(spaced, 'GET /%61%20b/x'), BAD_PATH);
    assert.equal(ask(spaced, 'GET /%61%20bc/x'), 's');
  });

  test(`${how}: OPTIONS * and an empty path match routes for every path`, () => {
    const routes = [route('root', { path: { kind: 'exact', value: '/' } }), route('any', {})];
    assert.equal(ask(routes, 'OPTIONS *'), 'any');
    assert.equal(ask(routes, 'GET http://h.test'), 'root');
  });
}

test('a table holds only the routes of its listener', () => {
  const routes = [route('zero', {}, { listeners: [0] }), route('one', {}, { listeners: [1] }), route('all', {})];
  const head = headFromText('GET', 'http://h.test/');
  assert.equal(buildRoutes(planOf(routes), 0).match(head, someone), 0);
  assert.equal(buildRoutes(planOf(routes), 1).match(head, someone), 1);
  assert.equal(buildRoutes(planOf(routes), 2).match(head, someone), 2);
  assert.equal(buildRoutes(planOf([]), 0).match(head, someone), NO_ROUTE);
});

// The naive oracle: every route in order, with strings.

function naivePath(match: RouteMatchPlan['path'], path: string): boolean {
  switch (match.kind) {
    case 'any':
      return true;
    case 'exact':
      return path === match.value;
    case 'prefix':
      return path === match.value || path.startsWith(match.value + '/');
    case 'segments': {
      const got = path.slice(1).split('/');
      const { segments, rest } = match;
      return (
        (rest ? got.length >= segments.length : got.length === segments.length) &&
        segments.every((s, i) => (s === '*' ? got[i] !== '' : s === got[i]))
      );
    }
    case 'regex':
      return new RegExp(`^(?:${match.value})$`).test(path);
  }
}

function naive(routes: RoutePlan[], method: string, host: string, path: string, header: string | null, client: string): number {
  return routes.findIndex(({ match: m }) => {
    const h = host.toLowerCase();
    if (
      m.host !== null &&
      !(m.host.wildcard ? h.endsWith('.' + m.host.value) && h.length > m.host.value.length + 1 : h === m.host.value)
    )
      return false;
    if (m.methods !== null && !m.methods.includes(method)) return false;
    if (m.headers.length > 0 && header === null) return false;
    if (m.clients !== null && !client.startsWith('10.')) return false;
    return naivePath(m.path, path);
  });
}

test('many routes, looked up, give what asking each in turn gives', () => {
  const hostName = fc.constantFrom('a.test', 'b.a.test', 'c.b.a.test', 'test', 'x.test');
  const segment = fc.constantFrom('a', 'b', 'ab', 'c');
  const pathText = fc.array(segment, { minLength: 1, maxLength: 4 }).map((s) => '/' + s.join('/'));
  const pathMatch = fc.oneof(
    fc.constant({ kind: 'any' as const }),
    fc.record({ kind: fc.constant('exact' as const), value: pathText }),
    fc.record({ kind: fc.constant('prefix' as const), value: pathText }),
    fc.record({
      kind: fc.constant('segments' as const),
      segments: fc.array(fc.oneof(segment, fc.constant('*')), { minLength: 1, maxLength: 3 }),
      rest: fc.boolean(),
    }),
    fc.record({ kind: fc.constant('regex' as const), value: fc.constantFrom('/a.*', '/[bc]/?.*', '.*/c') }),
  );
  const match: fc.Arbitrary<RouteMatchPlan> = fc.record({
    host: fc.option(fc.record({ value: hostName, wildcard: fc.boolean() })),
    path: pathMatch,
    methods: fc.option(fc.constantFrom(['GET'], ['POST'], ['GET', 'PURGE']), { freq: 2 }),
    headers: fc.constantFrom([], [], [{ name: 'x-h', match: { kind: 'present' as const } }]),
    query: fc.constant([]),
    clients: fc.option(fc.constant([{ bytes: [10, 0, 0, 0], bits: 8 }]), { freq: 1 }),
  });
  const request = fc.record({
    method: fc.constantFrom('GET', 'POST', 'PURGE'),
    host: fc.constantFrom('a.test', 'B.a.test', 'c.b.a.test', 'd.c.b.a.test', 'test', 'y.x.test', 'none'),
    path: fc.oneof(
      pathText,
      pathText.map((p) => p + '/'),
      fc.constant('/'),
    ),
    header: fc.option(fc.constant('1')),
    client: fc.constantFrom('10.0.0.1', '192.0.2.1'),
  });
  const seen = new Set<number>();
  fc.assert(
    fc.property(
      fc.array(match, { minLength: 2, maxLength: 40, size: 'max' }),
      fc.array(request, { minLength: 5, maxLength: 20 }),
      (matches, requests) => {
        const routes = matches.map((m, i) => route(`r${i}`, m));
        const table = buildRoutes(planOf(routes), 0);
        for (const { method, host, path, header, client } of requests) {
          const fields: [string, string][] = header === null ? [] : [['X-H', header]];
          const head = headFromText(method, `http://${host}${path}`, fields);
          const found = table.match(head, address(client));
          seen.add(found);
          assert.equal(found, naive(routes, method, host, path, header, client), `${method} http://${host}${path}`);
        }
      },
    ),
    { numRuns: 300, seed: 31 },
  );
  // The test would say nothing if requests hit nothing.
  assert.ok(seen.size > 15, `routes hit: ${seen.size}`);
});

test('explain takes the same route and says what every other missed', () => {
  const routes = [
    route('login', {
      host: { value: 'shop.example', wildcard: false },
      path: { kind: 'exact', value: '/login' },
      methods: ['POST'],
    }),
    route('beta', {
      query: [{ name: 'beta', match: { kind: 'exact', value: '1' } }],
      clients: [{ bytes: [10, 0, 0, 0], bits: 8 }],
    }),
    route('shop', { host: { value: 'shop.example', wildcard: false } }),
    route('rest', {}),
  ];
  const trace = explainMatch(planOf(routes), 0, headFromText('GET', 'https://shop.example/login'), someone);
  assert.equal(trace.route, 2);
  assert.equal(trace.path, '/login');
  assert.deepEqual(
    trace.steps.map((s) => [s.name, s.verdict, s.missed]),
    [
      ['login', 'missed', ['method POST']],
      ['beta', 'missed', ['query beta is 1', 'client address']],
      ['shop', 'taken', []],
      ['rest', 'also fits', []],
    ],
  );
  assert.equal(trace.steps[0]!.source, 'weir.yaml:login');
  assert.equal(explainMatch(planOf(routes), 0, headFromText('GET', 'https://shop.example/%00'), someone).route, BAD_PATH);
});

test('the nearest miss names the route that came closest', () => {
  const routes = [
    route('other', { host: { value: 'other.example', wildcard: false } }),
    route('login', {
      host: { value: 'shop.example', wildcard: false },
      path: { kind: 'exact', value: '/login' },
      methods: ['POST'],
    }),
    route('cart', { host: { value: 'shop.example', wildcard: false }, path: { kind: 'prefix', value: '/cart' } }),
  ];
  const table = buildRoutes(planOf(routes), 0);
  const miss = (request: string) => table.nearestMiss(headFromText(request.split(' ')[0]!, request.split(' ')[1]!), someone);
  assert.equal(miss('GET http://shop.example/login'), 'Nearest is route login: method POST does not match.');
  assert.equal(miss('GET http://shop.example/x'), 'Nearest is route cart: path /cart/* does not match.');
  assert.equal(miss('GET http://none.example/x'), 'No route is for this host.');
  assert.equal(miss('GET http://shop.example/cart'), '');
});

test('targets are chosen by weight', () => {
  const target = {
    pools: [
      { pool: 4, weight: 95 },
      { pool: 7, weight: 5 },
      { pool: 9, weight: 0 },
    ],
  };
  assert.equal(chooseTarget(target, 0), 4);
  assert.equal(chooseTarget(target, Math.floor(0.9499 * 2 ** 32)), 4);
  assert.equal(chooseTarget(target, Math.ceil(0.9501 * 2 ** 32)), 7);
  assert.equal(chooseTarget(target, 0xffffffff), 7);
  assert.equal(chooseTarget(target, -1), 7);
  assert.equal(chooseTarget({ pools: [{ pool: 2, weight: 0 }] }, 5), 2);
});
