import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Bench } from './bench.ts';
import { sharesInClosedLoop } from './closed-loop.ts';
import { conformance } from './conformance.ts';

conformance('least-requests');

test('least-requests: the one with the fewest requests over all workers is picked', () => {
  const bench = new Bench([{}, {}, {}], 2);
  const policy = bench.policy('least-requests', 0);
  bench.begin(0, 0);
  bench.begin(0, 1);
  bench.begin(1, 1);
  bench.begin(2, 1);
  bench.begin(2, 1);
  assert.deepEqual(bench.run(policy, 100), [0, 100, 0]);
  bench.end(0, 1);
  const counts = bench.run(policy, 2000);
  assert.ok(counts[0]! > 850 && counts[1]! > 850 && counts[2] === 0, `${counts}`);
});

test('least-requests: equally loaded endpoints share alike, wherever they stand in the list', () => {
  const bench = new Bench(Array.from({ length: 10 }, () => ({})));
  for (const busy of [0, 1, 2, 3, 5, 6, 7]) bench.begin(busy);
  const counts = bench.run(bench.policy('least-requests'), 9000);
  for (const idle of [4, 8, 9]) assert.ok(Math.abs(counts[idle]! - 3000) < 250, `${counts}`);
});

test('least-requests: load counts by weight', () => {
  const bench = new Bench([{ weight: 1 }, { weight: 4 }]);
  bench.begin(0);
  for (let i = 0; i < 3; i++) bench.begin(1);
  // (1 + d) / 1 against (3 + d) / 4: the second for every d in (0, 1].
  assert.deepEqual(bench.run(bench.policy('least-requests'), 200), [0, 200]);
});

test('least-requests: with requests in flight shares keep near the weights, and the lightest endpoint is not starved', () => {
  for (const concurrency of [1, 2, 3, 5, 10, 30]) {
    const [light] = sharesInClosedLoop('least-requests', [1, 3], concurrency, 1) as [number];
    assert.ok(light > 0.2 && light < 0.36, `${light} at ${concurrency}`);
    const [lightest] = sharesInClosedLoop('least-requests', [1, 10], concurrency, 2) as [number];
    assert.ok(lightest > 0.06 && lightest < 0.19, `${lightest} at ${concurrency}`);
  }
});

test('least-requests: endpoints of different weights that are equally loaded share by weight', () => {
  // Two in flight for 2, one for 1; the third is busier than that.
  const bench = new Bench([{ weight: 2 }, { weight: 1 }, { weight: 1 }, { weight: 1 }]);
  for (const busy of [0, 0, 1, 2, 3, 3]) bench.begin(busy);
  const counts = bench.run(bench.policy('least-requests'), 20_000);
  assert.equal(counts[3], 0);
  for (const [i, share] of [0.5, 0.25, 0.25].entries()) assert.ok(Math.abs(counts[i]! / 20_000 - share) < 0.02, `${counts}`);
});

test('least-requests: however many are in flight, the least loaded is picked', () => {
  const bench = new Bench([{}, {}, { weight: 2 }]);
  for (const [i, load] of [601, 600, 1203].entries()) for (let k = 0; k < load; k++) bench.begin(i);
  assert.deepEqual(bench.run(bench.policy('least-requests'), 100), [0, 100, 0]);
  bench.begin(1);
  const counts = bench.run(bench.policy('least-requests'), 2000);
  assert.ok(counts[0]! > 850 && counts[1]! > 850 && counts[2] === 0, `${counts}`);
});

test('least-requests: the least loaded of more endpoints than one walk tells apart is picked, and idle ones share alike', () => {
  const bench = new Bench(Array.from({ length: 2100 }, () => ({})));
  const policy = bench.policy('least-requests');
  const counts = bench.run(policy, 42_000);
  const third = (from: number) => counts.slice(from, from + 700).reduce((a, b) => a + b);
  for (const from of [0, 700, 1400]) assert.ok(Math.abs(third(from) - 14_000) < 600, `${third(from)} from ${from}`);
  for (let i = 0; i < 2100; i++) if (i !== 1500) bench.begin(i);
  assert.equal(bench.run(policy, 50)[1500], 50);
});
