/** What pools, routes and filters say in a config, and what the plan has of it. */
import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { test } from 'node:test';
import { rootCertificates } from 'node:tls';
import { type ConfigResult, formatFaults, formatFaultsGithub, formatFaultsJson, parseConfig } from './config.ts';

const around = { node: 'lb-a', cores: 2 };
const parse = (text: string, more = {}): ConfigResult => parseConfig(text, '/conf/weir.yaml', {}, { ...around, ...more });
const HEAD = 'version: 1\nlisteners: { web: { listen: ":1", to: web } }\n';
const withPool = (keys: string, more = {}) =>
  parse(`${HEAD}pools: { web: { endpoints: ["127.0.0.1:1", "127.0.0.1:2"], ${keys} } }\n`, more);
const poolOf = (keys: string, more = {}) => {
  const { plan, faults } = withPool(keys, more);
  assert.deepEqual(faults, []);
  return plan!.pools[0];
};
const activeOf = (written: string) => poolOf(`health: { active: ${written} }`).health.active!;
const timing = {
  intervalMs: 2000,
  fastMs: 500,
  idleMs: 2000,
  timeoutMs: 1000,
  rise: 2,
  fall: 3,
  jitter: 0.1,
  port: 0,
  proxyProtocol: 0,
};

test('without a word of health, live traffic is judged by the defaults and nothing is asked', () => {
  const passive = {
    consecutiveFailures: 5,
    consecutive5xx: 5,
    errorRatio: 0,
    latencyFactor: 0,
    requestsMin: 20,
    windowMs: 10_000,
    ejectMs: 30_000,
    ejectMaxMs: 300_000,
    ejectedMax: 0.5,
    isShadow: false,
  };
  const expected = { active: null, passive, slowStartMs: 0, panicThreshold: 0 };
  assert.deepEqual(poolOf('balance: random').health, expected);
  assert.deepEqual(poolOf('health: { passive: true }').health, expected);
  assert.deepEqual(parse('version: 1\nlisteners: { web: { listen: ":1", to: "127.0.0.1:1" } }').plan!.pools[0].health, expected);
  assert.equal(poolOf('health: { passive: false }').health.passive, null);
});

test('passive health is taken as it is written, and the longest ejection is never shorter than the first', () => {
  const written = poolOf(
    'health: { slowStart: 30s, panicThreshold: 30%, passive: { consecutiveFailures: 3, consecutive5xx: 0, errorRatio: 25%, latency: 3, minRequests: 50, window: 30s, ejectFor: 10s, maxEjectFor: 1m, maxEjected: 20%, mode: shadow } }',
  ).health;
  assert.deepEqual(written, {
    active: null,
    passive: {
      consecutiveFailures: 3,
      consecutive5xx: 0,
      errorRatio: 0.25,
      latencyFactor: 3,
      requestsMin: 50,
      windowMs: 30_000,
      ejectMs: 10_000,
      ejectMaxMs: 60_000,
      ejectedMax: 0.2,
      isShadow: true,
    },
    slowStartMs: 30_000,
    panicThreshold: 0.3,
  });
  const { passive } = poolOf('health: { passive: { ejectFor: 10m } }').health;
  assert.deepEqual([passive?.ejectMs, passive?.ejectMaxMs], [600_000, 600_000]);
  const short = poolOf('health: { passive: { maxEjectFor: 10s } }').health.passive;
  assert.deepEqual([short?.ejectMs, short?.ejectMaxMs], [10_000, 10_000]);
});

test('each type of check has its own form in the plan', () => {
  const http = { type: 'http', method: 'GET', path: '/', host: null, headers: [], expect: { status: [[200, 399]], body: null } };
  const tls = { serverName: null, verify: true, ca: null };
  const rows: [written: string, expected: object][] = [
    ['/healthz', { ...http, path: '/healthz', tls: null }],
    ['{ type: https }', { ...http, tls }],
    ['{ type: https, host: "a.example:8443" }', { ...http, host: 'a.example:8443', tls: { ...tls, serverName: 'a.example' } }],
    [
      '{ path: /x, tls: { serverName: b.example, verify: false } }',
      { ...http, path: '/x', tls: { ...tls, serverName: 'b.example', verify: false } },
    ],
    ['tcp', { type: 'tcp' }],
    ['grpc', { type: 'grpc', service: '', host: null, tls: null }],
    ['{ type: grpc, service: orders.v1.Orders, tls: true }', { type: 'grpc', service: 'orders.v1.Orders', host: null, tls }],
    ['redis', { type: 'redis' }],
    ['{ type: postgres }', { type: 'postgres' }],
    ['mysql', { type: 'mysql' }],
    ['{ type: exec, command: [/bin/check, --fast] }', { type: 'exec', command: ['/bin/check', '--fast'] }],
    ['{ type: exec, command: /bin/check }', { type: 'exec', command: ['/bin/check'] }],
  ];
  for (const [written, expected] of rows) assert.deepEqual(activeOf(written), { ...timing, ...expected }, written);
  assert.deepEqual(poolOf('health: redis').health.active, { ...timing, type: 'redis' });
});

test('a check is faster while in doubt and slower without traffic, within its interval', () => {
  const times = (written: string) => {
    const { intervalMs, fastMs, idleMs } = activeOf(`{ type: tcp, ${written} }`);
    return [intervalMs, fastMs, idleMs];
  };
  assert.deepEqual(times('interval: 5s'), [5000, 1250, 5000]);
  assert.deepEqual(times('interval: 200ms'), [200, 100, 200]);
  assert.deepEqual(times('interval: 50ms'), [50, 50, 50]);
  assert.deepEqual(times('interval: 5s, fastInterval: 1s, idleInterval: 1m'), [5000, 1000, 60_000]);
});

test('the certificates a check trusts are read with the config, relative to it, and nothing else of their file', () => {
  const [first, second] = rootCertificates;
  const pem = (text: string): string => new X509Certificate(text).toString();
  const read: string[] = [];
  const readFile = (path: string) => {
    read.push(path);
    if (path === '/conf/ca.pem')
      return `a comment\n${first}\n-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n${second}\n`;
    if (path === '/conf/none.pem') return 'nothing';
    if (path === '/conf/bad.pem') return '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n';
    throw Object.assign(new Error('gone'), { code: 'ENOENT' });
  };
  const withCa = (ca: string) => withPool(`health: { active: { type: https, tls: { ca: ${ca} } } }`, { readFile });
  const good = withCa('ca.pem');
  assert.deepEqual(good.faults, []);
  assert.deepEqual(good.plan!.pools[0].health.active, {
    ...timing,
    type: 'http',
    method: 'GET',
    path: '/',
    host: null,
    headers: [],
    expect: { status: [[200, 399]], body: null },
    tls: { serverName: null, verify: true, ca: pem(first) + pem(second) },
  });
  assert.deepEqual(good.files, ['/conf/ca.pem'], '--watch looks at it, too');
  const inline = withCa(JSON.stringify(first)).plan!.pools[0].health.active;
  assert.equal(inline?.type === 'http' && inline.tls?.ca, pem(first));
  for (const [ca, code, message] of [
    ['gone.pem', 'no-such-file', /gone\.pem cannot be read: no such file/],
    ['none.pem', 'bad-value', /none\.pem holds no certificate/],
    ['bad.pem', 'bad-value', /certificate 1 in bad\.pem is damaged/],
  ] as const) {
    const [fault, ...more] = withCa(ca).faults;
    assert.deepEqual([fault.code, fault.pointer, more], [code, '/pools/web/health/active/tls/ca', []]);
    assert.match(fault.message, message);
  }
  read.length = 0;
  const shared = '{ endpoints: ["127.0.0.1:1"], health: { active: { type: https, tls: { ca: ca.pem } } } }';
  const { plan } = parse(`${HEAD}pools: { web: ${shared}, other: ${shared} }`, { readFile });
  assert.deepEqual(read, ['/conf/ca.pem'], 'a file of many pools is read once');
  assert.deepEqual(
    plan!.pools.map((pool) => pool.health.active!.type === 'http' && pool.health.active!.tls?.ca !== null),
    [true, true],
  );
});

test('balance has masks, zones and subsets', () => {
  const balance = (written: string) => poolOf(`balance: { ${written} }`).balance;
  const { hashOn } = balance('algorithm: source, mask: { v4: 24, v6: 64 }');
  assert.deepEqual(hashOn, { kind: 'client', name: '', v4Bits: 24, v6Bits: 64 });
  assert.deepEqual(balance('mask: { v6: 56 }').hashOn, { kind: 'client', name: '', v4Bits: 32, v6Bits: 56 });
  assert.deepEqual(
    ['zone: true', 'zone: { spillAt: 70% }', 'zone: { prefer: false }', 'zone: false', 'subset: 20'].map((w) => balance(w).zone),
    [{ spillAt: 0.8 }, { spillAt: 0.7 }, null, null, null],
  );
  assert.equal(balance('subset: 20').subset, 20);
  const { plan } = parse(`zone: b\n${HEAD}pools: { web: { endpoints: [{ address: "127.0.0.1:1", zone: b }] } }`);
  assert.deepEqual([plan!.zone, plan!.pools[0].endpoints[0].zone], ['b', 'b']);
});

test('a sticky pool has a cookie of its own name, and every attribute can be said', () => {
  const { key, ...rest } = poolOf('sticky: true').sticky!;
  assert.match(key, /^[\w-]{43}$/);
  const plain = { name: 'weir-web', ttlS: 0, path: '/', domain: null, sameSite: 'lax', secure: null, httpOnly: true };
  assert.deepEqual(rest, plain);
  for (const written of ['shop', '{ cookie: shop }', '{ cookie: { name: shop } }'])
    assert.deepEqual(poolOf(`sticky: ${written}`).sticky, { ...plain, name: 'shop', key }, written);
  const all = poolOf(
    'sticky: { cookie: { name: __Secure-s, ttl: 1h, path: /a, domain: shop.example, sameSite: none, secure: true, httpOnly: false } }',
  ).sticky!;
  assert.deepEqual(all, {
    name: '__Secure-s',
    ttlS: 3600,
    path: '/a',
    domain: 'shop.example',
    sameSite: 'none',
    secure: true,
    httpOnly: false,
    key,
  });
  assert.equal(poolOf('sticky: { cookie: { sameSite: false } }').sticky!.sameSite, null);
  assert.equal(poolOf('sticky: { cookie: { secure: false } }').sticky!.secure, false);
});

test('the key of a cookie comes from its secret or that of the instance, and is another for each pool', () => {
  const own = 'sticky: { cookie: { secret: "0123456789abcdef" } }';
  const key = poolOf(own).sticky!.key;
  assert.equal(poolOf(own, { secret: new Uint8Array(32).fill(1) }).sticky!.key, key, 'its own secret wins');
  assert.notEqual(poolOf('sticky: { cookie: { secret: "0123456789abcdeF" } }').sticky!.key, key);
  const [one, two] = [1, 2].map((n) => poolOf('sticky: true', { secret: new Uint8Array(32).fill(n) }).sticky!.key);
  assert.notEqual(one, two);
  const pool = '{ endpoints: ["127.0.0.1:1"], sticky: true }';
  const { plan } = parse(`${HEAD}pools: { web: ${pool}, api: ${pool} }`);
  assert.notEqual(plan!.pools[0].sticky!.key, plan!.pools[1].sticky!.key);
  // Another weir with this secret has this key, too, whatever its version.
  assert.equal(key, 'AcWd2SVpa04eEhiXDMr67s26OtjxpeiuRi1gNyeJKMA');
});

test('a secret is not shown: not in an error about it, not in one beside it, not in a warning', () => {
  const written = [
    '"tooshort"',
    String.raw`"a \"quoted\" phrase"`,
    "'it''s another phrase'",
    'a plain phrase',
    '"${NO:-a default phrase}"',
  ];
  for (const value of written)
    for (const [before, after] of [
      ['', ''],
      ['nmae: x, ', ''],
      ['', ', nmae: x'],
      ['', ', ttl: 5'],
      ['', ', sameSite: none'],
    ]) {
      const result = withPool(`balance: maglev, sticky: { cookie: { ${before}"secret": ${value}${after} } }`);
      const faults = [...result.faults, ...result.warnings];
      assert.ok(faults.length > 0);
      for (const text of [formatFaults(faults), formatFaultsJson(faults), formatFaultsGithub(faults), JSON.stringify(faults)])
        assert.doesNotMatch(text, /tooshort|quoted|phrase|plain|default p/, value);
    }
  const file = withPool('sticky: { cookie: { secret: "${file:s}", nmae: x } }', { readFile: () => 'hunter2-hunter2-hunter2' });
  assert.match(formatFaults(file.faults), /\$\{file:s\}/);
  assert.doesNotMatch(formatFaults(file.faults), /hunter2/);
});

test('a breaker and a fallback are taken as they are written', () => {
  assert.deepEqual(poolOf('circuitBreaker: { maxRequests: 100, maxRetries: 5, mode: shadow }').breaker, {
    requestsMax: 100,
    pendingMax: 0,
    retriesMax: 5,
    isShadow: true,
  });
  assert.equal(poolOf('balance: random').breaker, null);
  const { plan, faults } = parse(
    `${HEAD}pools: { web: { endpoints: ["127.0.0.1:1"], fallback: c }, b: { endpoints: ["127.0.0.1:2"] }, c: { endpoints: ["127.0.0.1:3"], fallback: b } }`,
  );
  assert.deepEqual(faults, []);
  assert.deepEqual(
    plan!.pools.map((pool) => pool.fallback),
    [2, null, 1],
  );
});

test('retries may be hedged and wait, routes have an urgency', () => {
  const route = (keys: string) => {
    const result = parse(
      `${HEAD}pools: { web: { endpoints: ["127.0.0.1:1", "127.0.0.1:2"] } }\nroutes: [{ path: /a, to: web, ${keys} }]`,
    );
    assert.deepEqual(result.faults, []);
    const { retry, urgency } = result.plan!.routes[0];
    return [retry.hedgeMs, retry.backoffMs, retry.backoffMaxMs, urgency];
  };
  assert.deepEqual(route('priority: 0'), [0, 25, 250, 3]);
  assert.deepEqual(route('urgency: 0, retry: { hedge: 200ms, backoff: 50ms, maxBackoff: 1s }'), [200, 50, 1000, 0]);
  assert.deepEqual(route('urgency: 7, retry: { backoff: 2s }'), [0, 2000, 2000, 7]);
  assert.deepEqual(route('retry: { backoff: 0s }'), [0, 0, 250, 3]);
});

test('a filter refuses before it counts, and counts before it edits', () => {
  const filters = (written: string) => {
    const result = parse(
      `${HEAD}pools: { web: { endpoints: ["127.0.0.1:1"] } }\nfilters: { f: { ${written} } }\nroutes: [{ path: /a, to: web, use: f }]`,
    );
    assert.deepEqual(result.faults, []);
    return result.plan!.routes[0].filters;
  };
  const all = filters('headers: { request: { set: { a: b } } }, rateLimit: 100/s, access: { deny: [loopback], mode: shadow }');
  assert.deepEqual(
    all.map((filter) => filter.kind),
    ['access', 'rateLimit', 'headers'],
  );
  assert.equal(all[0].kind === 'access' && all[0].isShadow, true);
  assert.equal(
    filters('access: { deny: [loopback] }').some((filter) => filter.kind === 'access' && !filter.isShadow),
    true,
  );
  const limit = {
    kind: 'rateLimit',
    name: 'f',
    id: -1,
    algorithm: 'token-bucket',
    key: '{client.ip}',
    isShadow: false,
    headers: false,
  };
  const rows: [written: string, expected: object][] = [
    ['100/s', { ...limit, requests: 100, windowMs: 1000, burst: 100 }],
    ['10/m', { ...limit, requests: 10, windowMs: 60_000, burst: 1 }],
    ['90000/h', { ...limit, requests: 90_000, windowMs: 3_600_000, burst: 25 }],
    [
      '{ rate: 100/s, burst: 200, key: "{request.header.x-api-key}" }',
      { ...limit, requests: 100, windowMs: 1000, burst: 200, key: '{request.header.x-api-key}' },
    ],
    [
      '{ rate: 10/m, algorithm: sliding-window, scope: local, mode: shadow, headers: true }',
      { ...limit, requests: 10, windowMs: 60_000, burst: 1, algorithm: 'sliding-window', isShadow: true, headers: true },
    ],
  ];
  for (const [written, expected] of rows) assert.deepEqual(filters(`rateLimit: ${written}`), [expected], written);
});

test('weir check lets pass what a rule in shadow would have refused', () => {
  const result = parse(
    `${HEAD}pools: { web: { endpoints: ["127.0.0.1:1"] } }\nfilters: { f: { access: { deny: [all], mode: shadow }, rateLimit: 1/s } }\nroutes: [{ path: /a, to: web, use: f }]\ntests: [{ request: "GET http://h.example/a", expect: { pool: web } }]`,
  );
  assert.deepEqual([result.faults, result.runTests()], [[], []]);
});
