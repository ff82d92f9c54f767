import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type ConfigResult, parseConfig } from './config.ts';

const parse = (text: string): ConfigResult => parseConfig(text, 'weir.yaml', {}, { node: 'lb-a', cores: 2 });
const HEAD = 'version: 1\nlisteners: { web: { listen: ":1", to: web } }\n';
const TWO = 'endpoints: ["127.0.0.1:1", "127.0.0.1:2"]';
const ONE = 'endpoints: ["127.0.0.1:1"]';
const pool = (keys: string, more = '') => `${HEAD}pools: { web: { ${TWO}, ${keys} } }\n${more}`;
const active = (keys: string) => pool(`health: { active: { type: tcp, ${keys} } }`);
const route = (keys: string, web = TWO) => `${HEAD}pools: { web: { ${web} } }\nroutes: [{ path: /a, to: web, ${keys} }]\n`;
const limit = (keys: string) => `${route('use: f')}filters: { f: { rateLimit: ${keys} } }\n`;

const rows: [text: string, expected: RegExp | null][] = [
  [pool('health: { passive: false }'), /^no-health-check pool web has neither/],
  [pool('health: { passive: { mode: shadow } }'), /^no-health-check/],
  [pool('health: { passive: false, active: tcp }'), null],
  [`${HEAD}pools: { web: { ${ONE}, health: { passive: false } } }`, null],
  [`${HEAD}pools: { web: { ${ONE}, fallback: b }, b: { ${ONE} } }`, null],
  [`${HEAD}pools: { web: { ${ONE} }, b: { ${ONE} } }`, /^pool-unused/],
  [pool('balance: { algorithm: random, hashOn: "{request.path}" }'), /^no-effect .*hashOn has no effect with random/],
  [pool('balance: { algorithm: source, hashOn: "{request.path}" }'), /^no-effect .*hashOn has no effect with source/],
  [pool('balance: { algorithm: maglev, hashOn: "{request.path}" }'), null],
  [pool('balance: { algorithm: random, mask: { v4: 24 } }'), /^no-effect .*mask/],
  [pool('balance: { algorithm: maglev, hashOn: "{request.path}", mask: { v4: 24 } }'), /^no-effect .*mask/],
  [pool('balance: { algorithm: maglev, mask: { v4: 24 } }'), null],
  [pool('balance: { algorithm: source, mask: { v4: 24 } }'), null],
  [pool('balance: { algorithm: random, boundedLoad: 1.25 }'), /^no-effect .*boundedLoad/],
  [pool('balance: { algorithm: source, boundedLoad: 1.25 }'), null],
  [pool('balance: { algorithm: maglev, subset: 5 }'), /^no-effect .*subset has no effect with maglev/],
  [pool('balance: { algorithm: ring-hash, subset: 5 }'), /^no-effect .*subset/],
  [pool('balance: { subset: 5 }'), null],
  [pool('balance: { zone: true }'), /^zone-unknown .*none is written/],
  [pool('balance: { zone: true }', 'zone: a\n'), /^zone-unknown .*none of its endpoints/],
  [`zone: a\n${HEAD}pools: { web: { endpoints: [{ address: "127.0.0.1:1", zone: b }], balance: { zone: true } } }`, null],
  [pool('balance: { zone: false }'), null],
  [`${HEAD}pools: { web: { ${ONE}, health: { slowStart: 10s } } }`, /^no-effect .*slowStart/],
  [pool('health: { slowStart: 10s }'), null],
  [pool('health: { panicThreshold: 80% }'), /^panic-threshold-high/],
  [pool('health: { panicThreshold: 70% }'), null],
  [active('fastInterval: 3s'), /^no-effect .*fastInterval/],
  [active('fastInterval: 2s'), null],
  [active('idleInterval: 1s'), /^no-effect .*idleInterval/],
  [active('idleInterval: 2s'), null],
  [pool('health: { passive: { window: 30s } }'), /^no-effect .*window/],
  [pool('health: { passive: { minRequests: 30, latency: 3 } }'), null],
  [pool('circuitBreaker: { mode: shadow }'), /^no-effect .*sets no limit/],
  [pool('circuitBreaker: { maxPending: 1 }'), null],
  [pool('sticky: true, balance: maglev'), /^sticky-and-hash/],
  [pool('sticky: true, balance: source'), /^sticky-and-hash/],
  [pool('sticky: true, balance: least-requests'), null],
  [route('method: POST, retry: { hedge: 200ms }'), /^no-effect .*a POST is never sent twice/],
  [route('method: [POST, PATCH], retry: { hedge: 200ms }'), /^no-effect .*a POST or PATCH/],
  [route('method: [POST, GET], retry: { hedge: 200ms }'), null],
  [route('host: [a.example, b.example], retry: { hedge: 200ms, attempts: 1 }'), /^no-effect .*attempts: 1/],
  [route('retry: { hedge: 30s }'), /^no-effect .*after 30s/],
  [route('retry: { hedge: 2s, perTry: 1s }'), /^no-effect .*after 1s/],
  [route('retry: { hedge: 200ms }', ONE), /^no-effect .*no other endpoint/],
  [route('retry: { hedge: 0s }', ONE), null],
  [`${route('method: POST')}defaults: { retry: { hedge: 200ms } }`, null],
  [limit('10/m'), /^burst-small .*lets 1 pass at once, then one every 6s .*add burst: 10/],
  [limit('{ rate: 10/m, burst: 10 }'), null],
  [limit('{ rate: 10/m, algorithm: sliding-window }'), null],
  [limit('10/s'), null],
  [limit('1/m'), null],
  [limit('{ rate: 10/s, key: "{request.id}" }'), /^no-effect .*limits nobody/],
];

for (const [text, expected] of rows) {
  const written = text.replace(HEAD, '').trimEnd().replaceAll('\n', ' ');
  test(`${written}: ${expected === null ? 'no warning' : `one warning, ${expected.source}`}`, () => {
    const { faults, warnings } = parse(text);
    assert.deepEqual(faults, []);
    const said = warnings.map((w) => `${w.code} ${w.message} ${w.help ?? ''}`);
    assert.equal(said.length, expected === null ? 0 : 1, said.join('\n'));
    if (expected !== null) assert.match(said[0], expected);
  });
}

test('pools of one host that set the same cookie clash, and those of different hosts do not', () => {
  const clashes = (a: string, b: string, sticky = 'sid') =>
    parse(
      `version: 1\nlisteners: { web: { listen: ":1" } }\npools:\n  a: { ${TWO}, sticky: sid }\n  b: { ${TWO}, sticky: ${sticky} }\nroutes:\n  - { path: /a, ${a} to: a }\n  - { path: /b, ${b} to: b }\n`,
    ).warnings.map((w) => [w.code, w.line, w.also?.line]);
  assert.deepEqual(clashes('', ''), [['sticky-clash', 5, 4]]);
  assert.deepEqual(clashes('host: a.example,', 'host: a.example,'), [['sticky-clash', 5, 4]]);
  assert.deepEqual(clashes('host: a.example,', ''), [['sticky-clash', 5, 4]]);
  assert.deepEqual(clashes('host: a.example,', 'host: b.example,'), []);
  assert.deepEqual(clashes('', '', 'other'), []);
  assert.deepEqual(clashes('', '', '{ cookie: { name: sid, path: /b } }'), []);
});
