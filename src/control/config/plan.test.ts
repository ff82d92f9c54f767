import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { RoutePlan } from '../../state/plan.ts';
import { assignIds, slotsLeft } from './assign.ts';
import { type ConfigResult, configText, parseConfig, planFromFlags } from './config.ts';
import { comparePrecedence } from './precedence.ts';

const around = { node: 'lb-a', cores: 2 };
const parse = (text: string): ConfigResult => parseConfig(text, 'weir.yaml', {}, around);
const withRoutes = (routes: string, more = '') =>
  parse(
    `version: 1\nlisteners: { web: { listen: ":1", to: web } }\npools: { web: { endpoints: ["127.0.0.1:1"] } }\n${more}routes:\n${routes}`,
  );
const order = (routes: string) => {
  const { plan, faults } = withRoutes(routes);
  assert.deepEqual(faults, []);
  return plan!.routes.map((r) => r.name).filter((name) => !name.startsWith('listener/'));
};
const warned = (result: ConfigResult) => {
  assert.deepEqual(result.faults, []);
  return result.warnings.map((w) => [w.code, w.line]);
};

// Each pair: the first is asked before the second, in whichever order they are written.
const pairs: [string, string][] = [
  ['{ host: a.example, to: web }', '{ host: "*.example", path: /x, method: GET, to: web }'],
  ['{ host: "*.b.example", to: web }', '{ host: "*.example", path: /x, to: web }'],
  ['{ host: "*.example", to: web }', '{ path: /x, to: web }'],
  ['{ path: /a, to: web }', '{ path: "~/a.*", to: web }'],
  ['{ path: "~/a.*", to: web }', '{ path: /a/b/c/*, to: web }'],
  ['{ path: /a/b/*, to: web }', '{ path: /a/*, method: GET, to: web }'],
  ['{ path: "/a/{x}/c", to: web }', '{ path: /a/*, to: web }'],
  ['{ path: "/a/{x}", to: web }', '{ path: "/a/{x}/*", priority: -1, to: web }'],
  ['{ path: /a/*, to: web }', '{ method: GET, header: { a: b }, to: web }'],
  ['{ method: GET, to: web }', '{ header: { a: b, c: d }, to: web }'],
  ['{ header: { a: b, c: d }, to: web }', '{ header: { e: f }, query: { a: b, c: d, e: f }, to: web }'],
  ['{ query: { a: b, c: d }, to: web }', '{ query: { e: f }, client: 10.0.0.0/8, to: web }'],
  ['{ client: 10.0.0.0/8, to: web }', '{ listener: web, to: web }'],
  ['{ listener: web, to: web }', '{ to: web }'],
  ['{ priority: 1, to: web }', '{ host: a.example, path: /a, method: GET, to: web }'],
];
for (const [first, second] of pairs) {
  test(`${first} is asked before ${second}`, () => {
    const named = (name: string, route: string) => `  - ${route.replace('{', `{ name: ${name},`)}`;
    assert.deepEqual(order(`${named('first', first)}\n${named('second', second)}`), ['first', 'second']);
    assert.deepEqual(order(`${named('second', second)}\n${named('first', first)}`), ['first', 'second']);
  });
}

test('routes that are equally specific keep the order of the list', () => {
  assert.deepEqual(order('  - { name: b, header: { a: "1" }, to: web }\n  - { name: a, header: { b: "1" }, to: web }'), [
    'b',
    'a',
  ]);
});

test('precedence is an order: no three routes go round in a circle', () => {
  const written = pairs
    .flat()
    .map((route, i) => `  - ${route.replace('{', `{ name: r${i},`)}`)
    .join('\n');
  const routes = withRoutes(written).plan!.routes as RoutePlan[];
  for (const a of routes)
    for (const b of routes) {
      assert.equal(Math.sign(comparePrecedence(a, b)), -Math.sign(comparePrecedence(b, a)) + 0);
      for (const c of routes)
        if (comparePrecedence(a, b) <= 0 && comparePrecedence(b, c) <= 0) assert.ok(comparePrecedence(a, c) <= 0);
    }
});

const lints: [title: string, result: () => ConfigResult, expected: [string, number][]][] = [
  [
    'a route that another takes everything from',
    () => withRoutes('  - { name: a, path: /a/*, to: web, priority: 1 }\n  - { path: /a/b, to: web }'),
    [['route-shadowed', 6]],
  ],
  [
    'a route that is written twice',
    () => withRoutes('  - { name: a, path: /a, to: web }\n  - { name: b, path: /a, to: web }'),
    [['route-shadowed', 6]],
  ],
  [
    'a route under a wildcard that has priority',
    () => withRoutes('  - { host: "*.example", priority: 1, to: web }\n  - { host: a.example, to: web }'),
    [['route-shadowed', 6]],
  ],
  [
    'routes that tie',
    () => withRoutes('  - { name: a, header: { a: "1" }, to: web }\n  - { name: b, header: { b: "1" }, to: web }'),
    [['route-tie', 6]],
  ],
  [
    'routes that cannot meet',
    () =>
      withRoutes(
        '  - { header: { a: "1" }, to: web }\n  - { header: { a: "2" }, to: web }\n  - { method: GET, to: web }\n  - { method: PUT, to: web }',
      ),
    [],
  ],
  [
    'a pool that nothing uses',
    () =>
      parse('version: 1\nlisteners: { web: { listen: ":1", to: "127.0.0.1:1" } }\npools: { a: { endpoints: ["127.0.0.1:1"] } }'),
    [['pool-unused', 3]],
  ],
  [
    'a filter that nothing uses',
    () => withRoutes('  - { path: /a, to: web }', 'filters: { f: { access: { deny: [all] } } }\n'),
    [['filter-unused', 4]],
  ],
  [
    'a pool of two without any health',
    () =>
      parse(
        'version: 1\nlisteners: { web: { listen: ":1", to: a } }\npools: { a: { endpoints: ["127.0.0.1:1", "127.0.0.1:2"], health: { passive: false } } }',
      ),
    [['no-health-check', 3]],
  ],
  [
    'tries that do not fit in the request',
    () => withRoutes('  - { path: /a, to: web, retry: { attempts: 3, perTry: 10s }, timeouts: { request: 15s } }'),
    [['retry-longer-than-request', 5]],
  ],
  [
    'keep-alive that is longer than usual',
    () =>
      parse(
        'version: 1\nlisteners: { web: { listen: ":1", to: a } }\npools:\n  a: { endpoints: ["127.0.0.1:1"], connections: { keepAliveFor: 2m } }',
      ),
    [['keep-alive-long', 4]],
  ],
  [
    'believing everyone',
    () => parse('version: 1\nlisteners:\n  web: { listen: ":1", to: "127.0.0.1:1", clientIp: { trust: [all] } }'),
    [['trusts-everyone', 3]],
  ],
  [
    'admin for everyone',
    () => parse('version: 1\nlisteners: { web: { listen: ":1", to: "127.0.0.1:1" } }\nadmin: { listen: ":9900" }'),
    [['admin-public', 3]],
  ],
  ['a listener without a route', () => parse('version: 1\nlisteners: { web: { listen: ":1" } }'), [['no-route', 2]]],
  [
    'a hard stop before the tunnels end',
    () => parse('version: 1\nlisteners: { web: { listen: ":1", to: "127.0.0.1:1" } }\nprocess: { drain: { hardStop: 5m } }'),
    [['hard-stop-short', 3]],
  ],
];
for (const [title, result, expected] of lints) {
  test(`${title}: ${expected.length === 0 ? 'no warning' : `the warning ${expected[0][0]}`}`, () =>
    assert.deepEqual(warned(result()), expected));
}

test('a test in the config that is not met is a fault at its expectation', () => {
  const result = withRoutes(
    '  - { name: a, path: /a/*, to: web, rewrite: { stripPrefix: /a } }\n  - { name: r, path: /r, redirect: "https://x.example{request.uri}" }',
    `tests:
  - { request: "GET http://h.example/a/b", expect: { route: a, pool: web, path: /b } }
  - { request: "GET http://h.example/a/b", expect: { route: r } }
  - { request: "GET http://h.example/a/b", expect: { path: /a/b } }
  - { request: "GET http://h.example/r?x=1", expect: { status: 308, location: "https://x.example/r?x=1" } }
  - { request: "GET http://h.example/r", expect: { status: 200 } }
  - { request: "GET http://h.example/r", expect: { pool: web } }
  - { request: "GET http://h.example/other", expect: { route: listener/web } }
`,
  );
  assert.deepEqual(result.faults, []);
  assert.deepEqual(
    result.runTests().map((f) => [f.code, f.line, f.pointer]),
    [
      ['test-failed', 6, '/tests/1/expect/route'],
      ['test-failed', 7, '/tests/2/expect/path'],
      ['test-failed', 9, '/tests/4/expect/status'],
      ['test-failed', 10, '/tests/5/expect/pool'],
    ],
  );
});

test('ids and slots belong to names, and what leaves gives its slot back', () => {
  const known = new Map<string, number>();
  const claim = (key: string) => {
    if (!known.has(key)) known.set(key, known.size);
    return known.get(key)!;
  };
  const control = {
    claimId: (kind: string, name: string) => claim(`${kind} ${name}`),
    claimSlot: (pool: string, address: string) => claim(`${pool} ${address}`),
  };
  const read = (endpoints: string) =>
    parse(`version: 1\nlisteners: { web: { listen: ":1", to: web } }\npools: { web: { endpoints: [${endpoints}] } }`).plan!;
  const before = assignIds(read('"127.0.0.1:1", "127.0.0.1:2"'), control);
  const after = assignIds(read('"127.0.0.1:3", "127.0.0.1:2"'), control);
  assert.deepEqual([before.withoutRoom, after.withoutRoom], [[], []]);
  assert.equal(before.plan.listeners[0].id, after.plan.listeners[0].id);
  assert.equal(before.plan.pools[0].endpoints[1].slot, after.plan.pools[0].endpoints[1].slot);
  assert.deepEqual(slotsLeft(before.plan, after.plan), [before.plan.pools[0].endpoints[0].slot]);
});

test('what finds no room in the table is named', () => {
  const { plan } = parse('version: 1\nlisteners: { web: { listen: ":1", to: "127.0.0.1:1" } }');
  const full = { claimId: () => 0, claimSlot: () => -1 };
  assert.deepEqual(assignIds(plan!, full).withoutRoom, ['endpoint listener/web/127.0.0.1:1']);
});

test('flags and the file that --save writes for them give the same plan', () => {
  const flags = {
    from: '127.0.0.1:8080',
    to: ['127.0.0.1:3000', '[::1]:3001'],
    balance: 'least-requests',
    check: '/healthz',
    workers: 3,
    engine: 'epoll',
  } as const;
  const direct = planFromFlags(flags, { env: {}, ...around });
  const saved = parseConfig(configText(flags), 'weir proxy', {}, around);
  assert.deepEqual([direct.faults, saved.faults], [[], []]);
  assert.deepEqual(direct.plan, saved.plan);
  assert.deepEqual(direct.process, saved.process);
  assert.equal(direct.plan!.pools[0].balance.algorithm, 'least-requests');
  assert.equal(direct.process!.workers, 3);
});

test('flags ask for connections, datagrams, or both on one address', () => {
  const kinds = (flags: { tcp?: boolean; udp?: boolean }) => {
    const all = { from: ':53', to: ['10.0.0.1:53'], check: 'tcp', balance: 'source', ...flags };
    const { plan, faults } = planFromFlags(all, { env: {}, ...around });
    assert.deepEqual(faults, []);
    assert.deepEqual(parseConfig(configText(all), 'weir proxy', {}, around).plan, plan);
    return [plan!.listeners.map(({ protocol }) => protocol), plan!.pools.map(({ protocol }) => protocol)];
  };
  assert.deepEqual(kinds({}), [['http'], ['http']]);
  assert.deepEqual(kinds({ tcp: true }), [['tcp'], ['tcp']]);
  assert.deepEqual(kinds({ udp: true }), [['udp'], ['udp']]);
  assert.deepEqual(kinds({ tcp: true, udp: true }), [
    ['tcp', 'udp'],
    ['tcp', 'udp'],
  ]);
});

test('a wrong flag is a fault that names the flag', () => {
  const { plan, faults } = planFromFlags(
    { from: '8080', to: ['http://a', '127.0.0.1:1', '127.0.0.1:1'], balance: 'roundrobin', check: 'https' },
    { env: {}, ...around },
  );
  assert.equal(plan, null);
  assert.deepEqual(
    faults.map((f) => [f.file, f.help]),
    [
      ['--from', 'did you mean ":8080"?'],
      ['--to', 'did you mean a:80?'],
      ['--to', null],
      ['--balance', 'did you mean round-robin?'],
      ['--check', 'did you mean { active: { type: https, path: /… } }?'],
    ],
  );
});
