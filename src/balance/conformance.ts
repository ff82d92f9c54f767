/** What every policy must do, as tests that each policy's own test file runs: `conformance('random')`. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Prng } from '../base/prng.ts';
import { admin, health } from '../state/doors.ts';
import { type Algorithm, NONE } from './balance.ts';
import { Bench } from './bench.ts';
import { assertNoAllocation, assertSharesWithin } from './conformance-measures.ts';
import { tiersConformance } from './conformance-tiers.ts';

/** Registers the suite. `stray`: how far a share may be from its weight, as a part of all requests. */
export function conformance(algorithm: Algorithm, stray = 0.01): void {
  const isWeighted = algorithm !== 'first';
  const assertShares = (counts: readonly number[], weights: readonly number[]) => assertSharesWithin(stray, counts, weights);
  const named = (sentence: string) => `${algorithm}: ${sentence}`;

  test(named('a single endpoint is always picked'), () => {
    const bench = new Bench([{}]);
    assert.deepEqual(bench.run(bench.policy(algorithm), 100), [100]);
  });

  test(named('an empty pool gives NONE'), () => {
    const bench = new Bench([]);
    assert.equal(bench.policy(algorithm).pick(1, 2, NONE), NONE);
  });

  test(named('only ready endpoints are picked, and a change is seen at the next pick'), () => {
    const bench = new Bench([{}, {}, {}, {}, {}]);
    const { control, slots } = bench;
    const policy = bench.policy(algorithm);
    bench.run(policy, 10);
    control.setHealth(slots[0]!, health.down);
    control.setAdmin(slots[1]!, admin.drain);
    control.setAdmin(slots[2]!, admin.maint);
    control.setWeightPercent(slots[3]!, 0);
    assert.deepEqual(bench.run(policy, 500), [0, 0, 0, 0, 500]);
    control.setHealth(slots[4]!, health.down);
    assert.equal(bench.pick(policy), NONE);
    control.setHealth(slots[0]!, health.up);
    assert.deepEqual(bench.run(policy, 100), [100, 0, 0, 0, 0]);
    control.setAdmin(slots[1]!, admin.ready);
    if (isWeighted) assert.ok(bench.run(policy, 100)[1]! > 0);
  });

  test(named('none ready gives NONE, also with an endpoint to avoid'), () => {
    const bench = new Bench([{}, {}]);
    for (const slot of bench.slots) bench.control.setHealth(slot, health.down);
    const policy = bench.policy(algorithm);
    assert.equal(bench.pick(policy), NONE);
    assert.equal(bench.pick(policy, 0), NONE);
  });

  test(named('an endpoint whose health is unknown is picked'), () => {
    const bench = new Bench([{}]);
    bench.control.setHealth(bench.slots[0]!, health.unknown);
    assert.equal(bench.pick(bench.policy(algorithm)), 0);
  });

  test(named('weight 0 is never picked, not even alone'), () => {
    const bench = new Bench([{ weight: 0 }, { weight: 1 }, { weight: 0, backup: true }]);
    const policy = bench.policy(algorithm);
    assert.deepEqual(bench.run(policy, 300), [0, 300, 0]);
    assert.deepEqual(bench.run(policy, 30, 0), [0, 30, 0]);
    bench.control.setHealth(bench.slots[1]!, health.down);
    assert.equal(bench.pick(policy), NONE);
    assert.equal(bench.pick(policy, 0), NONE);
  });

  test(named('limits over all workers are honoured, and all full gives NONE'), () => {
    const bench = new Bench([{ requestsMax: 3 }, { requestsMax: 5, weight: 7 }, { requestsMax: 1 }], 3);
    const inFlight = [0, 0, 0];
    for (let i = 0; i < 9; i++) {
      const index = bench.pick(bench.policy(algorithm, i % 3));
      assert.notEqual(index, NONE);
      bench.begin(index, i % 3);
      inFlight[index]!++;
    }
    assert.deepEqual(inFlight, [3, 5, 1]);
    const policy = bench.policy(algorithm);
    assert.equal(bench.pick(policy), NONE);
    assert.equal(bench.pick(policy, 1), NONE);
    bench.workers[0]!.end(bench.slots[1]!, 0, 200, 1);
    assert.equal(bench.pick(policy), 1);
    assert.equal(bench.pick(policy, 0), 1);
  });

  test(named('backups are picked only when no other endpoint can be'), () => {
    const bench = new Bench([{ requestsMax: 1 }, {}, { backup: true }, { backup: true }]);
    const policy = bench.policy(algorithm);
    const before = bench.run(policy, 400);
    assert.equal(before[2]! + before[3]!, 0);
    bench.control.setHealth(bench.slots[1]!, health.down);
    assert.deepEqual(bench.run(policy, 50), [50, 0, 0, 0]);
    bench.begin(0);
    const full = bench.run(policy, 50);
    assert.equal(full[0]! + full[1]!, 0);
    bench.end(0);
    bench.control.setAdmin(bench.slots[0]!, admin.drain);
    const during = bench.run(policy, 400);
    assert.equal(during[0]! + during[1]!, 0);
    if (isWeighted) assert.ok(during[2]! > 100 && during[3]! > 100, `${during}`);
    bench.control.setHealth(bench.slots[1]!, health.up);
    assert.deepEqual(bench.run(policy, 50), [0, 50, 0, 0]);
  });

  test(named('the endpoint to avoid is left out while any other can take it, a backup included'), () => {
    const bench = new Bench([{ weight: 9 }, { requestsMax: 1 }, { backup: true }]);
    const policy = bench.policy(algorithm);
    assert.deepEqual(bench.run(policy, 200, 0), [0, 200, 0]);
    bench.begin(1);
    assert.deepEqual(bench.run(policy, 50, 0), [0, 0, 50]);
    bench.control.setHealth(bench.slots[2]!, health.down);
    assert.equal(bench.pick(policy, 0), 0);
    // A slot that is not of this pool changes nothing.
    assert.equal(policy.pick(1, 2, 60), bench.slots[0]);
  });

  test(named('the endpoint to avoid is not picked when it is alone but full'), () => {
    const bench = new Bench([{ requestsMax: 1 }]);
    const policy = bench.policy(algorithm);
    assert.equal(bench.pick(policy, 0), 0);
    bench.begin(0);
    assert.equal(bench.pick(policy, 0), NONE);
  });

  test(named('the same table, key, random number and history give the same choice'), () => {
    const sketches = [{ weight: 3 }, {}, { weight: 2, requestsMax: 2 }, { backup: true }];
    const take = () => {
      const bench = new Bench(sketches, 2);
      const policy = bench.policy(algorithm);
      return Array.from({ length: 300 }, (_, i) => {
        const index = bench.pick(policy, i % 5 === 0 ? 1 : NONE);
        bench.begin(index, i % 2);
        if (i % 3 !== 0) bench.end(index, i % 2);
        return index;
      });
    };
    assert.deepEqual(take(), take());
  });

  test(named('signed and unsigned random numbers mean the same'), () => {
    const bench = new Bench([{}, { weight: 2 }, {}, {}]);
    const signed = bench.policy(algorithm);
    const unsigned = bench.policy(algorithm);
    for (let i = 0; i < 200; i++) {
      const random = bench.prng.uint32();
      assert.equal(signed.pick(random | 0, random | 0, NONE), unsigned.pick(random, random, NONE));
    }
  });

  test(named('a pick allocates nothing'), () => {
    const bench = new Bench(Array.from({ length: 30 }, (_, i) => ({ weight: 1 + (i % 4), requestsMax: i % 2 })));
    const policy = bench.policy(algorithm);
    const { slots } = bench;
    const worker = bench.workers[0]!;
    let random = 12345;
    assertNoAllocation((times) => {
      for (let i = 0; i < times; i++) {
        random = (Math.imul(random, 1664525) + 1013904223) | 0;
        const slot = policy.pick(random, random, (i & 7) === 0 ? slots[3]! : NONE);
        if (slot === NONE) continue;
        worker.begin(slot);
        worker.end(slot, 0, 200, 1);
      }
    }, '');
  });

  tiersConformance(algorithm, stray);

  if (!isWeighted) return;

  test(named('weights are honoured within what the policy promises, mostly 1 % of all requests'), () => {
    const weights = [1, 2, 3, 4, 10];
    const bench = new Bench(weights.map((weight) => ({ weight })));
    assertShares(bench.run(bench.policy(algorithm), 100_000), weights);
  });

  test(named('equal weights get equal shares'), () => {
    const bench = new Bench(Array.from({ length: 7 }, () => ({})));
    assertShares(bench.run(bench.policy(algorithm), 70_000), [1, 1, 1, 1, 1, 1, 1]);
  });

  test(named('weights far apart are honoured as well'), () => {
    const weights = [1000, 999, 1, 37, 500];
    const bench = new Bench(weights.map((weight) => ({ weight })));
    assertShares(bench.run(bench.policy(algorithm), 100_000), weights);
  });

  test(named('the weight set at run time counts in percent of the configured one'), () => {
    const bench = new Bench([{ weight: 2 }, { weight: 2 }, { weight: 1 }]);
    const policy = bench.policy(algorithm);
    bench.run(policy, 10);
    bench.control.setWeightPercent(bench.slots[0]!, 25);
    bench.control.setWeightPercent(bench.slots[2]!, 150);
    assertShares(bench.run(policy, 100_000), [0.5, 2, 1.5]);
  });

  test(named('the share of a full endpoint and of one to avoid falls to the others by weight'), () => {
    const bench = new Bench([{ weight: 2 }, { weight: 4, requestsMax: 1 }, { weight: 1 }, { weight: 3 }]);
    const policy = bench.policy(algorithm);
    bench.begin(1);
    assertShares(bench.run(policy, 50_000), [2, 0, 1, 3]);
    assertShares(bench.run(policy, 50_000, 3), [2, 0, 1, 0]);
  });

  test(named('few requests over many workers are spread evenly, with no favourite'), () => {
    // Each worker picks for the first time, or nearly: who began at the top of a list of its own would show here.
    const counts = [0, 0, 0, 0];
    // Tables of 65537 places are no small thing to make.
    const trials = algorithm === 'maglev' || algorithm === 'source' ? 20 : 100;
    const mean = 2 * trials;
    for (let trial = 0; trial < trials; trial++) {
      const bench = new Bench([{}, {}, {}, {}], 8, { seed: trial });
      bench.prng.below(2);
      const randoms = new Prng(trial);
      for (let worker = 0; worker < 8; worker++) {
        const slot = bench.policy(algorithm, worker).pick(randoms.uint32(), randoms.uint32(), NONE);
        const index = bench.slots.indexOf(slot);
        counts[index]!++;
        bench.begin(index, worker);
        bench.end(index, worker);
      }
    }
    // Five standard deviations of a fair draw.
    for (const count of counts) assert.ok(Math.abs(count - mean) < 5 * Math.sqrt(0.75 * mean) + 4 * mean * stray, `${counts}`);
  });
}
