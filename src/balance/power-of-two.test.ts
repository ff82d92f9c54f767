import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Bench } from './bench.ts';
import { sharesInClosedLoop } from './closed-loop.ts';
import { conformance } from './conformance.ts';

conformance('power-of-two');

test('power-of-two: of two the less loaded one is picked, whichever worker loaded it', () => {
  const bench = new Bench([{}, {}], 3);
  const policies = [0, 1, 2].map((worker) => bench.policy('power-of-two', worker));
  for (let i = 0; i < 300; i++) {
    const worker = i % 3;
    const index = bench.pick(policies[worker]!);
    bench.begin(index, worker);
    const loads = [...bench.slots].map((slot) => bench.control.inFlight(slot));
    assert.ok(Math.abs(loads[0]! - loads[1]!) <= 1, `${loads}`);
  }
});

test('power-of-two: the two are never the same, so the fullest of a pool is not picked', () => {
  const bench = new Bench([{}, {}, {}, {}]);
  for (let i = 0; i < 5; i++) bench.begin(3);
  assert.equal(bench.run(bench.policy('power-of-two'), 2000)[3], 0);
});

test('power-of-two: the fullest of many stays close to the mean', () => {
  // 10,000 requests on 100 endpoints that never end: chance alone would leave one with about 128, two choices about 102.
  const bench = new Bench(Array.from({ length: 100 }, () => ({})));
  const policy = bench.policy('power-of-two');
  for (let i = 0; i < 10_000; i++) bench.begin(bench.pick(policy));
  const fullest = Math.max(...[...bench.slots].map((slot) => bench.control.inFlight(slot)));
  assert.ok(fullest <= 104, `${fullest}`);
});

test('power-of-two: with requests in flight shares keep near the weights, and the lightest endpoint is not starved', () => {
  for (const concurrency of [1, 2, 3, 5, 10, 30]) {
    const [light] = sharesInClosedLoop('power-of-two', [1, 3], concurrency, 1) as [number];
    assert.ok(light > 0.2 && light < 0.36, `${light} at ${concurrency}`);
    const [lightest] = sharesInClosedLoop('power-of-two', [1, 10], concurrency, 2) as [number];
    assert.ok(lightest > 0.06 && lightest < 0.19, `${lightest} at ${concurrency}`);
  }
});
