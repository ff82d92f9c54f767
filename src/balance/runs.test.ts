import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fewest } from '../state/doors.ts';
import { Bench } from './bench.ts';
import { Runs } from './runs.ts';
import { Tier } from './tier.ts';

function runsOf(weights: readonly number[]): { runs: Runs; tier: Tier } {
  const tier = new Tier(new Bench([]).workers[0]!, weights.length);
  tier.clear();
  weights.forEach((weight, i) => {
    tier.add(i, 100 + i, weight, 0, 100);
  });
  tier.close();
  const runs = new Runs(weights.length);
  runs.make(tier);
  return { runs, tier };
}

test('places come in order of their weights, the heaviest first, and a run has one weight', () => {
  const { runs, tier } = runsOf([1, 3, 2, 3, 1, 1000]);
  assert.equal(runs.length, 4);
  assert.deepEqual([...runs.places], [5, 1, 3, 2, 0, 4]);
  assert.deepEqual([...runs.slots], [105, 101, 103, 102, 100, 104]);
  assert.deepEqual([...runs.starts.subarray(0, 5)], [0, 1, 3, 4, 6]);
  assert.deepEqual(
    [...runs.weights.subarray(0, 4)],
    [1000, 3, 2, 1].map((weight) => weight * 100),
  );
  for (let run = 0; run < 4; run++) assert.equal(runs.inverses[run], tier.inverses[runs.places[runs.starts[run]!]!]);
});

test('a run that would be too long is cut', () => {
  const { runs } = runsOf(Array.from({ length: 2 * fewest.runMax + 1 }, () => 1));
  assert.equal(runs.length, 3);
  assert.deepEqual([...runs.starts.subarray(0, 4)], [0, fewest.runMax, 2 * fewest.runMax, 2 * fewest.runMax + 1]);
});

test('what was left from a larger tier is forgotten', () => {
  const { runs, tier } = runsOf([5, 4, 3]);
  tier.clear();
  tier.add(2, 102, 1, 0, 100);
  tier.close();
  runs.make(tier);
  assert.equal(runs.length, 1);
  assert.deepEqual([runs.places[0], runs.slots[0], runs.starts[1]], [0, 102, 1]);
});
