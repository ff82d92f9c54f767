import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { z } from 'zod';
import { shellIn } from '../../tests/support/shell.ts';
import { readScenario } from './scenario-file.ts';
import { scenarioSchema } from './scenario-schema.ts';
import { exit, UsageError } from './shell.ts';
import { type SimulateOptions, simulate } from './simulate.ts';

const folder = mkdtempSync(join(tmpdir(), 'weir-simulate-'));
after(() => rmSync(folder, { recursive: true }));
const root = join(import.meta.dirname, '../..');

async function simulated(options: SimulateOptions) {
  const { shell, said } = shellIn(folder);
  return { code: await simulate(options, shell), ...said };
}

function written(name: string, text: string): string {
  writeFileSync(join(folder, name), text);
  return name;
}

const POOLS = 'pools: { web: { endpoints: ["10.0.0.1:80", "10.0.0.2:80"] } }';
const GOOD = `simulate:\n  duration: 5s\n  traffic: { rate: 100/s }\n  ${POOLS}\n`;

test('every key of a scenario is in docs/simulate.md', () => {
  const text = readFileSync(join(root, 'docs/simulate.md'), 'utf8');
  const keys = new Set<string>();
  // What is in them is the config's.
  const ofConfig = new Set(['pools', 'health', 'queue', 'circuitBreaker', 'retry', 'zone', 'mask']);
  const collect = (node: unknown): void => {
    if (typeof node !== 'object' || node === null) return;
    if ('properties' in node) for (const key of Object.keys(node.properties as object)) keys.add(key);
    for (const [key, child] of Object.entries(node)) if (!ofConfig.has(key)) collect(child);
  };
  collect(z.toJSONSchema(scenarioSchema, { io: 'input', unrepresentable: 'any' }));
  assert.ok(keys.size > 30);
  assert.deepEqual(
    [...keys].filter((key) => !new RegExp(`\\b${key}\\b`).test(text)),
    [],
  );
});

test('an expectation that is missed answers 8 and says by how much', async () => {
  const { code, out } = await simulated({
    scenario: written('missed.yaml', `${GOOD}  expect: { p99: "<1ms", errors: "<1%" }\n`),
  });
  assert.equal(code, exit.no);
  assert.match(out, /^MISSED +power-of-two +p99 +<1ms +\d/m);
  assert.match(out, /^met +power-of-two +errors +<1% +0%/m);
});

test('without compare the policy of the pool is tried out, and its config may be another file', async () => {
  written(
    'weir.yaml',
    `version: 1\nlisteners: { web: { listen: ":1", to: web } }\npools: { web: { endpoints: ["10.0.0.1:80"], balance: first } }\n`,
  );
  const scenario = written('other.yaml', 'simulate: { config: weir.yaml, duration: 1s, traffic: { rate: 10/s } }\n');
  const { code, out } = await simulated({ scenario });
  assert.equal(code, exit.done);
  assert.match(out, /^first /m);
});

test('the config of a machine whose keys are not here can be simulated', async () => {
  written(
    'secure.yaml',
    'version: 1\nlisteners: { web: { listen: ":1", to: web, protocol: https, tls: true } }\ncertificates: { shop: { files: { certificate: gone.crt, key: gone.key } } }\npools: { web: { endpoints: ["10.0.0.1:80"] } }\n',
  );
  const text = 'simulate: { config: secure.yaml, duration: 1s, traffic: { rate: 10/s } }\n';
  const { code, err } = await simulated({ scenario: written('secure-too.yaml', text) });
  assert.equal(code, exit.done, err);
});

const faults: readonly (readonly [name: string, text: string, says: RegExp])[] = [
  [
    'an unknown key',
    `${GOOD}  evnts: []\n`,
    /:5:3 error unknown key evnts in simulate \[unknown-key\]\n[\s\S]*did you mean events\?/,
  ],
  [
    'a rate without its unit',
    GOOD.replace('100/s', '100'),
    /:3:20 error simulate\.traffic\.rate: expected [\s\S]*did you mean 100\/s\?/,
  ],
  [
    'an unknown policy',
    `${GOOD}  compare: [maglef]\n`,
    /:5:13 error simulate\.compare\.0 cannot be 'maglef' [\s\S]*did you mean maglev\?/,
  ],
  ['a policy twice', `${GOOD}  compare: [random, random]\n`, /:5:21 error random is there twice/],
  ['keys that are none', GOOD.replace('100/s', '100/s, keys: "zipf(100)"'), /expected uniform\(COUNT\), zipf/],
  [
    'an endpoint that is not there',
    `${GOOD}  events: [{ at: 1s, kill: "web/10.0.0.9:80" }]\n`,
    /:5:28 error there is no endpoint web\/10\.0\.0\.9:80/,
  ],
  ['two events in one', `${GOOD}  events: [{ kill: "web/10.0.0.1:80", surge: 2 }]\n`, /:5:12 error an event needs exactly one/],
  ['an event after the end', `${GOOD}  events: [{ at: 6s, surge: 2 }]\n`, /:5:18 error this is after the end/],
  ['slow without by', `${GOOD}  events: [{ slow: "web/10.0.0.1:80" }]\n`, /:5:12 error slow needs by/],
  ['by of another event', `${GOOD}  events: [{ kill: "web/10.0.0.1:80", by: 2 }]\n`, /:5:\d+ error by goes with slow/],
  [
    'checks of slow',
    `${GOOD}  events: [{ slow: "web/10.0.0.1:80", by: 2, checks: fail }]\n`,
    /:5:\d+ error checks goes with fail, hang/,
  ],
  [
    'a status that is no failure',
    `${GOOD}  events: [{ fail: "web/10.0.0.1:80", status: 404 }]\n`,
    /:5:\d+ error .*expected a whole number from 500 to 599/,
  ],
  [
    'flaps without end',
    `${GOOD.replace('5s', '60s')}  events: [{ at: 0s, flap: "web/10.0.0.1:80", every: 1ms }]\n`,
    /:5:\d+ error it would die more than 10000 times/,
  ],
  [
    'a variant with an unknown key',
    `${GOOD}  compare: [{ label: a, helth: tcp }]\n`,
    /:5:\d+ error unknown key helth in simulate\.compare\.0 [\s\S]*did you mean health\?/,
  ],
  [
    'a variant with a bad value',
    `${GOOD}  compare: [{ label: a, health: { slowStart: 30 } }]\n`,
    /:5:\d+ error simulate\.compare\.0\.health\.slowStart: expected a duration/,
  ],
  [
    'two variants of one label',
    `${GOOD}  compare: [random, { label: random, health: tcp }]\n`,
    /:5:\d+ error random is there twice/,
  ],
  [
    'the attempts of old',
    `${GOOD}  attempts: 3\n`,
    /:5:3 error unknown key attempts in simulate [\s\S]*did you mean retry: \{ attempts: … \}\?/,
  ],
  ['a service of nobody', `${GOOD}  service: { wbe: { p50: 1ms } }\n`, /:5:\d+ error there is no pool or endpoint wbe/],
  ['p99 below p50', `${GOOD}  service: { web: { p50: 9ms, p99: 1ms } }\n`, /is below its p50/],
  ['a bound without < or >', `${GOOD}  expect: { p99: 100ms }\n`, /:5:18 error simulate\.expect\.p99: expected < or >/],
  ['a bound of the wrong unit', `${GOOD}  expect: { errors: "<100ms" }\n`, /expected < or > and a percentage/],
  [
    'an expectation of a policy that is not compared',
    `${GOOD}  expect: { policies: { maglev: { p99: "<1s" } } }\n`,
    /maglev is not compared/,
  ],
  ['neither pools nor config', 'simulate: { traffic: { rate: 1/s } }\n', /exactly one of config and pools/],
  ['neither rate nor replay', `simulate:\n  traffic: {}\n  ${POOLS}\n`, /:2:12 error traffic needs exactly one/],
  ['keys of a replay', `simulate:\n  traffic: { replay: a.log, keys: "uniform(5)" }\n  ${POOLS}\n`, /keys goes with rate/],
  [
    'a log that is not there',
    `simulate:\n  traffic: { replay: none.log }\n  ${POOLS}\n`,
    /:2:22 error none\.log cannot be read: ENOENT/,
  ],
  [
    'an address twice',
    `simulate:\n  traffic: { rate: 1/s }\n  pools: { web: { endpoints: ["10.0.0.1:80", "10.0.0.1:80"] } }\n`,
    /:3:\d+ error .*10\.0\.0\.1:80/,
  ],
  ['a warm-up longer than all', `${GOOD}  warmUp: 5s\n`, /:5:11 error warmUp has to be shorter/],
  ['a broken config', 'simulate: { config: broken.yaml, traffic: { rate: 1/s } }\n', /broken\.yaml:1:1 error .*listeners/],
  ['text that is no YAML', 'simulate: [', /error .*\[syntax\]/],
];
for (const [name, text, says] of faults) {
  test(`a scenario with ${name} is refused at its place`, async () => {
    written('broken.yaml', 'version: 1\n');
    const { code, out, err } = await simulated({ scenario: written('wrong.yaml', text) });
    assert.equal(code, exit.configInvalid);
    assert.match(err, says);
    assert.equal(out, '');
  });
}

test('compare lays settings over the pool, each by itself, and leaves the others as they are', () => {
  const text = `simulate:
  traffic: { rate: 1/s }
  retry: { attempts: 4 }
  pools:
    web:
      endpoints: ["10.0.0.1:80", { address: "10.0.0.2:80", maxConnections: 9 }]
      balance: { algorithm: maglev, boundedLoad: 1.5 }
      health: { active: /healthz, slowStart: 20s }
      queue: { max: 7 }
  compare:
    - { label: as it is }
    - { label: other, maxConnections: 3, queue: { timeout: 1s }, health: { passive: false, panicThreshold: 30% }, circuitBreaker: { maxPending: 5 }, retry: { on: timeout } }
    - { algorithm: source, boundedLoad: 1.25 }
    - ring(4)
`;
  const { scenario, faults } = readScenario(text, join(folder, 'variants.yaml'), 'variants.yaml', {});
  assert.deepEqual(faults, []);
  const [same, other, source, ring] = scenario!.variants;
  assert.deepEqual(
    scenario!.variants.map(({ label }) => label),
    ['as it is', 'other', 'source boundedLoad 1.25', 'ring(4)'],
  );
  const { health, endpoints, connections, breaker, balance } = other!.pool;
  assert.deepEqual([health.active, health.slowStartMs], [same!.pool.health.active, 20_000]);
  assert.deepEqual([health.passive, health.panicThreshold], [null, 0.3]);
  assert.notEqual(same!.pool.health.passive, null);
  assert.deepEqual(
    [same!.pool, other!.pool].map((pool) => pool.endpoints.map(({ requestsMax }) => requestsMax)),
    [
      [0, 9],
      [3, 3],
    ],
  );
  assert.equal(endpoints.length, 2);
  assert.deepEqual([connections.queueMax, connections.queueMs], [7, 1000]);
  assert.equal(breaker!.pendingMax, 5);
  assert.deepEqual(balance, same!.pool.balance);
  assert.deepEqual([other!.retry.on, other!.retry.attempts, same!.retry.attempts], [['timeout'], 2, 4]);
  assert.deepEqual([source!.pool.balance.algorithm, source!.pool.balance.boundedLoad], ['source', 1.25]);
  assert.equal(source!.retry.attempts, 4);
  assert.deepEqual(ring!.reference, { kind: 'ring', points: 4 });
});

test('the first route to the pool says how its requests are tried again, and nodes stand in the zones of the scenario in turns', () => {
  written(
    'routes.yaml',
    `version: 1
zone: z
listeners: { web: { listen: ":1" } }
routes: [{ path: /a, to: other }, { path: /b, to: web, retry: { attempts: 5 }, timeouts: { response: 7s } }]
pools: { other: { endpoints: ["10.0.1.1:80"] }, web: { endpoints: ["10.0.0.1:80"] } }
`,
  );
  const read = (more: string) => {
    const text = `simulate: { config: routes.yaml, pool: web, traffic: { rate: 1/s }${more} }\n`;
    return readScenario(text, join(folder, 'of-config.yaml'), 'of-config.yaml', {}).scenario!;
  };
  const plain = read('');
  assert.deepEqual([plain.variants[0]!.retry.attempts, plain.timeoutMs], [5, 7000]);
  assert.deepEqual(plain.nodes, [{ node: 'node-1', zone: 'z' }]);
  const own = read(', retry: { attempts: 1 }, timeout: 2s, nodes: 3, zone: [a, b]');
  assert.deepEqual([own.variants[0]!.retry.attempts, own.timeoutMs], [1, 2000]);
  assert.deepEqual(
    own.nodes.map(({ node, zone }) => `${node} ${zone}`),
    ['node-1 a', 'node-2 b', 'node-3 a'],
  );
});

test('an event that lasts is over in time, and a flap is many deaths', () => {
  const events = `  events:
    - { at: 1s, fail: "web/10.0.0.1:80", errors: 30%, status: 503, checks: fail, for: 1s }
    - { at: 1s, hang: "web/10.0.0.2:80", for: 2s }
    - { at: 3s, flap: "web/10.0.0.1:80", every: 1s, for: 1.2s }
`;
  const { scenario } = readScenario(GOOD + events, join(folder, 'events.yaml'), 'events.yaml', {});
  const [one, two] = ['10.0.0.1:80', '10.0.0.2:80'];
  assert.deepEqual(scenario!.events, [
    { atMs: 1000, kind: 'fail', address: one, share: 0.3, status: 503, doChecksPass: false },
    { atMs: 1000, kind: 'hang', address: two, isHanging: true, doChecksPass: true },
    { atMs: 2000, kind: 'fail', address: one, share: 0, status: 503, doChecksPass: true },
    { atMs: 3000, kind: 'hang', address: two, isHanging: false, doChecksPass: true },
    { atMs: 3000, kind: 'kill', address: one },
    { atMs: 3500, kind: 'restore', address: one },
    { atMs: 4000, kind: 'kill', address: one },
    { atMs: 4200, kind: 'restore', address: one },
  ]);
});

test('too many requests are refused in words', async () => {
  const { code, err } = await simulated({ scenario: written('many.yaml', GOOD.replace('100/s', '9000000/s')) });
  assert.equal(code, exit.configInvalid);
  assert.match(err, /5000000 requests at most/);
});

test('--svg writes the plots', async () => {
  await simulated({ scenario: written('plot.yaml', GOOD), svg: 'plot.svg' });
  assert.match(readFileSync(join(folder, 'plot.svg'), 'utf8'), /^<svg [\s\S]*<\/svg>\n$/);
  const { code, err } = await simulated({ scenario: 'plot.yaml', svg: 'nowhere/plot.svg' });
  assert.equal(code, exit.failed);
  assert.equal(err, 'weir: nowhere/plot.svg cannot be written: ENOENT\n');
});

test('an access log is replayed from flags, half way an endpoint dies', async () => {
  const config = written(
    'replay.yaml',
    'version: 1\nlisteners: { web: { listen: ":1", to: web } }\npools: { web: { endpoints: ["10.0.0.1:80", "10.0.0.2:80"], health: tcp } }\n',
  );
  const start = Date.parse('2026-11-24T04:00:00Z');
  const lines = Array.from({ length: 2000 }, (_, i) =>
    JSON.stringify({
      time: new Date(start + 10 * i).toISOString(),
      pool: 'web',
      client: `10.1.${i % 7}.${i % 250}:1`,
      t_first: 0.004,
    }),
  );
  const replay = written('access.log', `${lines.join('\n')}\nno request\n`);
  const { code, out, err } = await simulated({
    replay,
    config: [config],
    balance: ['maglev', 'round-robin'],
    kill: ['web/10.0.0.2:80'],
    json: true,
  });
  assert.equal(code, exit.done);
  assert.match(err, /1 lines are no requests/);
  const { requests, results } = JSON.parse(out);
  assert.equal(requests, 2000);
  assert.deepEqual(
    results.map((result: { policy: string; errors: { all: number } }) => [result.policy, result.errors.all]),
    [
      ['maglev', 0],
      ['round-robin', 0],
    ],
  );
  assert.equal(results[1].latency.p50, 4, 'as long as the log says');
  assert.ok(results[0].keysMoved > 0.3 && results[0].moves[0].atMs > 10_000);
});

test('wrong usage is said', async () => {
  const usages: SimulateOptions[] = [
    {},
    { scenario: 'not-there.yaml' },
    { scenario: 'a.yaml', replay: 'a.log' },
    { scenario: written('usage.yaml', GOOD), kill: ['web/10.0.0.1:80'] },
    { replay: 'a.log', config: ['a.yaml'], speed: 'fast' },
  ];
  for (const options of usages) await assert.rejects(simulated(options), UsageError, JSON.stringify(options));
});
