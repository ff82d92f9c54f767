/** What every policy must do with newcomers, slow start, panic, zones and subsets; run by each one's test file through conformance(). */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { admin, health } from '../state/doors.ts';
import { type Algorithm, NONE, type Policy } from './balance.ts';
import { Bench, type EndpointSketch } from './bench.ts';
import { assertNoAllocation, assertSharesWithin } from './conformance-measures.ts';
import { hashing } from './policy.ts';

const SLOW_START_MS = 30_000;

/** So many endpoints alike. */
function alike(count: number, sketch: EndpointSketch = {}): EndpointSketch[] {
  return Array.from({ length: count }, () => sketch);
}

/** Indexes that were picked. */
function used(counts: readonly number[]): number[] {
  return [...counts.keys()].filter((i) => counts[i]! > 0);
}

/** `stray`: how far a share may be from its weight, as a part of all requests. */
export function tiersConformance(algorithm: Algorithm, stray: number): void {
  const isWeighted = algorithm !== 'first';
  const hasHomes = hashing.includes(algorithm) && algorithm !== 'rendezvous';
  const named = (sentence: string) => `${algorithm}: ${sentence}`;
  const assertShares = (counts: readonly number[], weights: readonly number[]) => assertSharesWithin(stray, counts, weights);
  /** One endpoint warms: it counts for its ramp; or, where keys have homes, it takes that part of its keys, and the rest of them goes to the others. */
  const assertWarming = (counts: readonly number[], weights: readonly number[], warming: number, ramp: number) => {
    const total = weights.reduce((a, b) => a + b);
    const own = weights[warming]! * ramp;
    const scale = hasHomes ? (total - own) / (total - weights[warming]!) : 1;
    const expected = weights.map((weight, i) => (i === warming ? own : weight * scale));
    assertShares(counts, expected);
  };

  test(named('an endpoint that was not checked yet gets nothing while another is known to be up, and one pass admits it'), () => {
    const bench = new Bench(alike(3));
    const { control, slots } = bench;
    control.setHealth(slots[0]!, health.unknown);
    const policy = bench.policy(algorithm);
    assert.equal(bench.run(policy, 300)[0], 0);
    // Full is still up: it is not this moment that shows whether the newcomer works.
    assert.equal(bench.run(policy, 30, 1)[0], 0);
    for (const i of [1, 2]) control.setHealth(slots[i]!, health.down);
    assert.deepEqual(bench.run(policy, 30), [30, 0, 0]);
    for (const i of [1, 2]) control.setHealth(slots[i]!, health.up);
    for (const i of [1, 2]) control.setAdmin(slots[i]!, admin.drain);
    assert.deepEqual(bench.run(policy, 30), [30, 0, 0]);
    for (const i of [1, 2]) control.setAdmin(slots[i]!, admin.ready);
    assert.equal(bench.run(policy, 300)[0], 0);
    control.setHealth(slots[0]!, health.up);
    assert.ok(bench.run(policy, 300)[0]! > 50);
  });

  test(named('while nobody was checked yet all get work, of the ordinary ones and of the backups alike'), () => {
    const bench = new Bench([{}, {}, { backup: true }, { backup: true }]);
    for (const slot of bench.slots) bench.control.setHealth(slot, health.unknown);
    const policy = bench.policy(algorithm);
    assert.deepEqual(used(bench.run(policy, 300)), isWeighted ? [0, 1] : [0]);
    for (const i of [0, 1]) bench.control.setHealth(bench.slots[i]!, health.down);
    assert.deepEqual(used(bench.run(policy, 300)), isWeighted ? [2, 3] : [2]);
    bench.control.setHealth(bench.slots[3]!, health.up);
    assert.deepEqual(used(bench.run(policy, 300)), [3]);
    // A backup that is up says nothing of the ordinary ones.
    bench.control.setHealth(bench.slots[0]!, health.unknown);
    assert.deepEqual(used(bench.run(policy, 300)), [0]);
  });

  test(named('an ejected endpoint gets nothing, and what it had before when it is back'), () => {
    const bench = new Bench(alike(2));
    const policy = bench.policy(algorithm);
    bench.control.setEjected(bench.slots[0]!, true);
    assert.deepEqual(bench.run(policy, 100), [0, 100]);
    bench.control.setEjected(bench.slots[0]!, false);
    assert.ok(bench.run(policy, 100)[0]! > 20);
  });

  test(named('endpoints in the zone take all, then all others, then backups'), () => {
    const here = { zone: 'here', requestsMax: 10 };
    const bench = new Bench([{ zone: 'there' }, here, here, { zone: 'here', backup: true }, {}], 1, { spillAt: 0.8 });
    const policy = bench.policy(algorithm);
    assert.deepEqual(used(bench.run(policy, 500)), isWeighted ? [1, 2] : [1]);
    for (const i of [0, 4]) bench.control.setAdmin(bench.slots[i]!, admin.maint);
    // Eight of ten each, by the zone, and the rest of the limit once nobody is left elsewhere.
    const taken = [0, 0, 0, 0, 0];
    for (let i = 0; i < 25; i++) {
      const index = bench.pick(policy);
      taken[index]!++;
      bench.begin(index);
    }
    assert.deepEqual(taken, [0, 10, 10, 5, 0]);
  });

  test(named('the zone is left at the share of its limits that the configuration says'), () => {
    const bench = new Bench([...alike(2, { zone: 'there', requestsMax: 1 }), ...alike(2, { zone: 'here', requestsMax: 10 })], 1, {
      spillAt: 0.75,
    });
    const policy = bench.policy(algorithm);
    const loads = () => [...bench.slots].map((slot) => bench.control.inFlight(slot));
    for (let i = 0; i < 15; i++) bench.begin(bench.pick(policy));
    assert.deepEqual(loads().slice(0, 2), [0, 0]);
    assert.deepEqual(loads().slice(2).toSorted(), [7, 8]);
    bench.begin(bench.pick(policy));
    assert.deepEqual(loads(), [0, 0, 8, 8]);
    const elsewhere = Array.from({ length: 100 }, () => bench.pick(policy)).filter((index) => index < 2);
    assert.ok(elsewhere.length > 0);
    for (let i = 0; i < 6; i++) bench.begin(bench.pick(policy));
    assert.deepEqual(loads(), [1, 1, 10, 10]);
    assert.equal(bench.pick(policy), NONE);
  });

  test(named('the endpoint of the zone that just failed comes after those of other zones and the backups'), () => {
    const bench = new Bench([{ zone: 'here' }, { zone: 'there', requestsMax: 1 }, { backup: true, requestsMax: 1 }], 1, {
      spillAt: 1,
    });
    const policy = bench.policy(algorithm);
    assert.equal(bench.pick(policy), 0);
    assert.equal(bench.pick(policy, 0), 1);
    bench.begin(1);
    assert.equal(bench.pick(policy, 0), 2);
    bench.begin(2);
    assert.equal(bench.pick(policy, 0), 0);
  });

  test(named('a node whose zone has no endpoint, or none that is ready, uses all'), () => {
    for (const zone of ['elsewhere', 'here']) {
      const bench = new Bench([{ zone: 'there' }, { zone: 'there' }, { zone }], 1, { spillAt: 0.8 });
      bench.control.setHealth(bench.slots[2]!, health.down);
      assert.deepEqual(used(bench.run(bench.policy(algorithm), 300)), isWeighted ? [0, 1] : [0]);
    }
  });

  test(named('in a panic all are used, ejected and down, but not what was taken out on purpose'), () => {
    const bench = new Bench([...alike(5), { backup: true }], 1, { panicThreshold: 0.5 });
    const { control, slots } = bench;
    const policy = bench.policy(algorithm);
    control.setHealth(slots[0]!, health.down);
    control.setEjected(slots[1]!, true);
    control.setAdmin(slots[2]!, admin.drain);
    assert.equal(bench.run(policy, 300)[0], 0);
    control.setHealth(slots[3]!, health.down);
    const counts = bench.run(policy, 1000);
    assert.deepEqual(used(counts), isWeighted ? [0, 1, 3, 4] : [0]);
    control.setHealth(slots[3]!, health.up);
    const after = bench.run(policy, 300);
    assert.deepEqual([after[0], after[1], after[2], after[5]], [0, 0, 0, 0]);
  });

  test(named('without a threshold a pool with nobody ready gives NONE, and with one in panic it does not'), () => {
    for (const panicThreshold of [0, 0.1]) {
      const bench = new Bench(alike(3), 1, { panicThreshold });
      for (const slot of bench.slots) bench.control.setHealth(slot, health.down);
      assert.equal(bench.pick(bench.policy(algorithm)) === NONE, panicThreshold === 0);
    }
  });

  test(named('in a panic zones and slow start are not looked at, limits are'), () => {
    const bench = new Bench(
      [
        { zone: 'here', requestsMax: 2 },
        { zone: 'there', requestsMax: 2 },
        { zone: 'there', requestsMax: 2 },
      ],
      1,
      {
        panicThreshold: 0.5,
        spillAt: 0.8,
        slowStartMs: SLOW_START_MS,
      },
    );
    for (const i of [0, 1]) bench.control.setHealth(bench.slots[i]!, health.down);
    bench.revive(2);
    const policy = bench.policy(algorithm);
    if (isWeighted) assertShares(bench.run(policy, 30_000), [1, 1, 1]);
    for (let i = 0; i < 6; i++) bench.begin(bench.pick(policy));
    assert.deepEqual(
      [...bench.slots].map((slot) => bench.control.inFlight(slot)),
      [2, 2, 2],
    );
    assert.equal(bench.pick(policy), NONE);
  });

  if (!hashing.includes(algorithm)) {
    test(named('of a large pool so many are used as the subset says, and one that fails is replaced by one other'), () => {
      const bench = new Bench([...alike(20, { requestsMax: 5 }), { backup: true, requestsMax: 1 }], 1, { subset: 4 });
      const policy = bench.policy(algorithm);
      const members = () => {
        const counts = fillUp(bench, policy);
        counts.forEach((count, i) => {
          for (let n = 0; n < count; n++) bench.end(i);
        });
        assert.equal(counts[20], 1, 'the backup is not of the subset');
        return used(counts).filter((i) => i < 20);
      };
      const before = members();
      assert.equal(before.length, 4);
      bench.control.setHealth(bench.slots[before[1]!]!, health.down);
      const after = members();
      assert.equal(after.length, 4);
      assert.deepEqual(
        before.filter((i) => !after.includes(i)),
        [before[1]],
      );
      bench.control.setHealth(bench.slots[before[1]!]!, health.up);
      assert.deepEqual(members(), before);
    });

    test(named('a subset and a zone: so many of the zone, and so many of all when it is full'), () => {
      const here = { zone: 'here', requestsMax: 1 };
      const bench = new Bench([...alike(10, here), ...alike(10, { zone: 'there', requestsMax: 1 })], 1, {
        subset: 3,
        spillAt: 1,
      });
      const counts = fillUp(bench, bench.policy(algorithm));
      const near = used(counts).filter((i) => i < 10);
      assert.equal(near.length, 3);
      assert.ok(used(counts).length > 3 && used(counts).length <= 6, `${counts}`);
    });

    test(named('the only one of the zone that just failed is tried again when the subset of all, without it, is full'), () => {
      const bench = new Bench([{ zone: 'here' }, ...alike(9, { zone: 'there', requestsMax: 1 })], 1, { subset: 1, spillAt: 1 });
      const policy = bench.policy(algorithm);
      const other = bench.pick(policy, 0);
      assert.notEqual(other, 0);
      bench.begin(other);
      assert.equal(bench.pick(policy, 0), 0);
    });
  } else {
    test(named('a subset is not for policies with keys: all endpoints are used, so that nodes agree'), () => {
      const bench = new Bench(alike(10), 1, { subset: 2 });
      assert.equal(used(bench.run(bench.policy(algorithm), 2000)).length, 10);
    });
  }

  test(named('a pick allocates nothing while endpoints warm, in a panic, in a zone and in a subset'), () => {
    for (const pool of [
      { slowStartMs: SLOW_START_MS },
      { panicThreshold: 0.9 },
      { spillAt: 0.8, slowStartMs: SLOW_START_MS },
      { subset: 8, slowStartMs: SLOW_START_MS },
    ]) {
      const bench = new Bench(
        Array.from({ length: 24 }, (_, i) => ({
          weight: 1 + (i % 4),
          requestsMax: 100 * (i % 2),
          zone: i % 3 === 0 ? 'here' : 'there',
        })),
        2,
        pool,
      );
      const { slots } = bench;
      const worker = bench.workers[0]!;
      const policy = bench.policy(algorithm);
      let random = 12345;
      let steps = 0;
      // Ramps grow by a hundredth, and begin again now and then: what is derived from them is derived anew, often enough to be compiled.
      const step = () => {
        if (steps++ % 90 === 0) {
          for (let i = 0; i < 8; i++) bench.control.setHealth(slots[i]!, health.down);
          if (pool.slowStartMs !== undefined) for (let i = 0; i < 8; i++) bench.control.setHealth(slots[i]!, health.up);
        }
        bench.advance(SLOW_START_MS / 100);
      };
      const run = (times: number, stepEvery: number) => {
        for (let i = 0; i < times; i++) {
          if (i % stepEvery === 0) step();
          random = (Math.imul(random, 1664525) + 1013904223) | 0;
          const slot = policy.pick(random, random, (i & 15) === 0 ? slots[3]! : NONE);
          if (slot === NONE) continue;
          worker.begin(slot);
          worker.end(slot, 0, 200, 1);
        }
      };
      run(60_000, 20);
      assertNoAllocation((times) => run(times, 2500), `, ${JSON.stringify(pool)}`);
    }
  });

  if (!isWeighted) return;

  test(named('an endpoint that came back starts with a tenth of its share and grows to all of it'), () => {
    const weights = [2, 1, 1];
    const bench = new Bench(
      weights.map((weight) => ({ weight })),
      1,
      { slowStartMs: SLOW_START_MS },
    );
    const policy = bench.policy(algorithm);
    assertShares(bench.run(policy, 30_000), [2, 1, 1]);
    bench.revive(0);
    assertWarming(bench.run(policy, 30_000), weights, 0, 0.1);
    for (const share of [0.05, 0.1, 0.3, 0.6, 0.9, 1, 1.5]) {
      bench.advance(SLOW_START_MS * share - elapsed(bench, 0));
      assertWarming(bench.run(policy, 30_000), weights, 0, Math.min(1, Math.max(0.1, share)));
    }
  });

  test(named('a brand-new endpoint warms up like one that came back'), () => {
    const bench = new Bench(alike(3), 1, { slowStartMs: SLOW_START_MS });
    bench.control.setHealth(bench.slots[2]!, health.unknown);
    const policy = bench.policy(algorithm);
    bench.run(policy, 10);
    bench.control.setHealth(bench.slots[2]!, health.up);
    bench.advance(SLOW_START_MS / 4);
    assertWarming(bench.run(policy, 30_000), [1, 1, 1], 2, 0.25);
  });

  test(named('when all are new, shares are the configured ones from the first request on'), () => {
    const weights = [1, 2, 5];
    const bench = new Bench(
      weights.map((weight) => ({ weight })),
      1,
      { slowStartMs: SLOW_START_MS },
    );
    for (const i of [0, 1, 2]) bench.revive(i);
    const policy = bench.policy(algorithm);
    assertShares(bench.run(policy, 30_000), weights);
    bench.advance(SLOW_START_MS / 2);
    // One is new among those half grown.
    bench.revive(1);
    assertWarming(bench.run(policy, 30_000), weights, 1, 0.1 / 0.5);
  });

  test(named('backups in slow start share by their ramps'), () => {
    const bench = new Bench([{}, { backup: true }, { backup: true }], 1, { slowStartMs: SLOW_START_MS });
    bench.control.setHealth(bench.slots[0]!, health.down);
    bench.revive(1);
    bench.advance(SLOW_START_MS / 2);
    assertWarming(bench.run(bench.policy(algorithm), 30_000), [0, 1, 1], 1, 0.5);
  });

  test(named('when less of the zone is ready than it takes, only so many requests stay in it'), () => {
    const bench = new Bench([...alike(4, { zone: 'here' }), ...alike(4, { zone: 'there' })], 1, { spillAt: 0.8 });
    const policy = bench.policy(algorithm);
    const here = (counts: readonly number[]) => {
      const total = counts.reduce((a, b) => a + b);
      return counts.slice(0, 4).reduce((a, b) => a + b) / total;
    };
    const assertHere = (expected: number) => {
      const actual = here(bench.run(policy, 40_000));
      assert.ok(Math.abs(actual - expected) <= stray, `${actual} stay, not ${expected}`);
    };
    assertHere(1);
    bench.control.setHealth(bench.slots[0]!, health.down);
    assertHere(0.75 / 0.8);
    bench.control.setHealth(bench.slots[1]!, health.down);
    assertHere(0.5 / 0.8);
    bench.control.setWeightPercent(bench.slots[2]!, 50);
    assertHere(0.375 / 0.8);
    bench.control.setHealth(bench.slots[3]!, health.down);
    bench.control.setWeightPercent(bench.slots[2]!, 100);
    assertHere(0.25 / 0.8);
  });

  test(named('a zone that warms up gets its requests back little by little'), () => {
    const bench = new Bench([...alike(2, { zone: 'here' }), ...alike(2, { zone: 'there' })], 1, {
      spillAt: 1,
      slowStartMs: SLOW_START_MS,
    });
    const policy = bench.policy(algorithm);
    for (const i of [0, 1, 2, 3]) bench.revive(i);
    assert.deepEqual(bench.run(policy, 1000).slice(2), [0, 0], 'when all are new nobody is behind');
    bench.advance(SLOW_START_MS);
    for (const i of [0, 1]) bench.revive(i);
    bench.advance(SLOW_START_MS / 2);
    const counts = bench.run(policy, 40_000);
    // Two that refuse the same key take turns at less than their weights.
    assertSharesWithin(hasHomes ? 2 * stray : stray, counts, [1, 1, 1, 1]);
  });
}

/** Ms since the endpoint became ready. */
function elapsed(bench: Bench, index: number): number {
  const worker = bench.workers[0]!;
  return worker.nowMs() - worker.readySince(bench.slots[index]!);
}

/** Requests that never end, until nobody can take one more. */
function fillUp(bench: Bench, policy: Policy): number[] {
  const counts = new Array<number>(bench.slots.length).fill(0);
  for (let index = bench.pick(policy); index !== NONE; index = bench.pick(policy)) {
    counts[index]!++;
    bench.begin(index);
  }
  return counts;
}
