import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { z } from 'zod';
import { shownPart, shownScenarios } from '../../examples/simulate/choosing.ts';
import { shellIn } from '../../tests/support/shell.ts';
import { scenarioSchema } from './scenario-schema.ts';
import { exit, UsageError } from './shell.ts';
import { type SimulateOptions, simulate } from './simulate.ts';

const folder = mkdtempSync(join(tmpdir(), 'weir-simulate-'));
after(() => rmSync(folder, { recursive: true }));
const root = join(import.meta.dirname, '../..');
const examples = join(root, 'examples/simulate');

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

const pages = new Map(shownScenarios().map(({ scenario, svg, text }) => [scenario, { svg, text }]));
for (const name of readdirSync(examples).filter((file) => file.endsWith('.yaml'))) {
  test(`examples/simulate/${name} shows what it says it shows, and docs/choosing.md says the same`, async () => {
    const { code, out, err } = await simulated({ scenario: join(examples, name), svg: 'example.svg' });
    assert.equal(err, '');
    assert.deepEqual(out.match(/^MISSED.*$/gm), null);
    assert.ok(out.match(/^met .*$/gm)!.length > 3, 'it expects something');
    assert.equal(code, exit.done);
    const page = pages.get(`examples/simulate/${name}`);
    assert.ok(page, 'the page shows it');
    assert.equal(page.text, shownPart(out), 'run node examples/simulate/choosing.ts');
    assert.equal(readFileSync(join(root, page.svg), 'utf8'), readFileSync(join(folder, 'example.svg'), 'utf8'), page.svg);
  });
}

test('every key of a scenario is in docs/simulate.md', () => {
  const text = readFileSync(join(root, 'docs/simulate.md'), 'utf8');
  const keys = new Set<string>();
  const collect = (node: unknown): void => {
    if (typeof node !== 'object' || node === null) return;
    if ('properties' in node) for (const key of Object.keys(node.properties as object)) keys.add(key);
    // Pools are the config's.
    for (const [key, child] of Object.entries(node)) if (key !== 'pools') collect(child);
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
  ['slow without by', `${GOOD}  events: [{ slow: "web/10.0.0.1:80" }]\n`, /by goes with slow/],
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
