import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Prng } from '../base/prng.ts';
import { health } from '../state/doors.ts';
import { Bench } from './bench.ts';
import { conformance } from './conformance.ts';

conformance('round-robin');

/** One exchange through a worker's own policy object. */
function one(bench: Bench, policies: ReturnType<Bench['policy']>[], worker: number): number {
  const index = bench.pick(policies[worker]!);
  bench.begin(index, worker);
  bench.end(index, worker);
  return index;
}

test('whichever worker serves next, endpoints of equal weight come strictly in turn', () => {
  const bench = new Bench([{}, {}, {}], 4);
  const policies = [0, 1, 2, 3].map((worker) => bench.policy('round-robin', worker));
  const prng = new Prng(5);
  const first = one(bench, policies, 0);
  for (let i = 1; i < 100; i++) assert.equal(one(bench, policies, prng.below(4)), (first + i) % 3);
});

test('a worker that was just started, or whose stripe was another’s, goes on where the others are', () => {
  const bench = new Bench([{}, {}, {}, {}], 2);
  const policies = [bench.policy('round-robin', 0), bench.policy('round-robin', 1)];
  const taken = [one(bench, policies, 0), one(bench, policies, 1), one(bench, policies, 1)];
  bench.control.releaseStripe(bench.workers[1]!.stripe);
  taken.push(one(bench, [bench.policy('round-robin', 0)], 0));
  assert.deepEqual(taken.toSorted(), [0, 1, 2, 3]);
});

test('workers that pick before each other’s requests have begun favour no endpoint', () => {
  // Two of four workers, each time others, pick at the same moment: they take the same turn.
  const bench = new Bench([{}, {}, {}, {}, {}], 4);
  const policies = [0, 1, 2, 3].map((worker) => bench.policy('round-robin', worker));
  const prng = new Prng(6);
  const counts = [0, 0, 0, 0, 0];
  for (let i = 0; i < 20_000; i++) {
    const first = prng.below(4);
    const second = prng.chance(50) ? (first + 1 + prng.below(3)) % 4 : first;
    const picks = [first, second].map((worker) => bench.pick(policies[worker]!));
    picks.forEach((index, j) => {
      counts[index]!++;
      bench.begin(index, j === 0 ? first : second);
    });
  }
  for (const count of counts) assert.ok(Math.abs(count - 8000) < 400, `${counts}`);
});

test('picks whose requests begin late still go in turn', () => {
  const bench = new Bench([{}, {}, {}]);
  const policy = bench.policy('round-robin');
  const picks = Array.from({ length: 6 }, () => bench.pick(policy));
  assert.deepEqual(picks.slice(0, 3).toSorted(), [0, 1, 2]);
  assert.deepEqual(picks.slice(3), picks.slice(0, 3));
});

test('in every cycle each endpoint comes exactly as often as it weighs, and never far from its time', () => {
  for (const weights of [
    [5, 1, 1],
    [1, 2, 3, 4, 10],
    [7, 3],
    [100, 1],
    [50, 33, 17, 1, 99, 60],
  ]) {
    const bench = new Bench(weights.map((weight) => ({ weight })));
    const policy = bench.policy('round-robin');
    const cycle = weights.reduce((a, b) => a + b);
    const counts = weights.map(() => 0);
    for (let i = 1; i <= 2 * cycle; i++) {
      counts[one(bench, [policy], 0)]!++;
      counts.forEach((count, j) => {
        const fair = (i * weights[j]!) / cycle;
        assert.ok(Math.abs(count - fair) <= 2.5, `weights ${weights}: endpoint ${j} had ${count} of ${i}, fair ${fair}`);
      });
    }
    assert.deepEqual(
      counts,
      weights.map((weight) => 2 * weight),
    );
  }
});

test('a cycle too long to be written out keeps to the weights all the time as well', () => {
  const weights = [1000, 999, 997, 991, 500, 3];
  const bench = new Bench(weights.map((weight) => ({ weight })));
  const policy = bench.policy('round-robin');
  const total = weights.reduce((a, b) => a + b);
  assert.ok(total > 4096);
  const counts = weights.map(() => 0);
  for (let i = 1; i <= 20_000; i++) {
    counts[one(bench, [policy], 0)]!++;
    counts.forEach((count, j) => {
      const fair = (i * weights[j]!) / total;
      assert.ok(Math.abs(count - fair) <= 5, `endpoint ${j} had ${count} of ${i}, fair ${fair}`);
    });
  }
});

test('the turns of a full endpoint fall to all others, not to its neighbour', () => {
  const bench = new Bench([{}, { requestsMax: 1 }, {}, {}, {}]);
  bench.begin(1);
  const counts = bench.run(bench.policy('round-robin'), 20_000);
  for (const i of [0, 2, 3, 4]) assert.ok(Math.abs(counts[i]! - 5000) < 250, `${counts}`);
});

test('one that comes back gets its turns, not all that it missed', () => {
  const bench = new Bench([{}, {}]);
  const policy = bench.policy('round-robin');
  bench.control.setHealth(bench.slots[1]!, health.down);
  bench.run(policy, 1000);
  bench.control.setHealth(bench.slots[1]!, health.up);
  assert.deepEqual(bench.run(policy, 100), [50, 50]);
});

test('the first pick of a pool depends on the seed, so that not every start begins at the top', () => {
  const counts = [0, 0, 0, 0];
  for (let seed = 0; seed < 400; seed++) {
    const bench = new Bench([{}, {}, {}, {}], 1, { seed });
    counts[bench.pick(bench.policy('round-robin'))]!++;
  }
  for (const count of counts) assert.ok(count > 60 && count < 140, `${counts}`);
});
