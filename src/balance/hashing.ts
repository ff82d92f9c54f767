/** What every hashing policy must do besides the conformance suite; run by each one's test file. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Prng } from '../base/prng.ts';
import { admin, health } from '../state/doors.ts';
import { type Algorithm, buildPolicy, endpointHash, NONE } from './balance.ts';
import { Bench, type EndpointSketch } from './bench.ts';
import { viewOf } from './pool-view.ts';

const KEYS = 20_000;

/** Home of each of so many keys, as index. */
function homesOf(bench: Bench, algorithm: Algorithm): number[] {
  const policy = bench.policy(algorithm);
  const prng = new Prng(1);
  return Array.from({ length: KEYS }, () => bench.slots.indexOf(policy.pick(prng.uint32(), 0, NONE)));
}

/** `movedMax`: share of keys that may move between endpoints that stay when one of ten is taken from the configuration. */
export function hashingConformance(algorithm: Algorithm, movedMax: number): void {
  const named = (sentence: string) => `${algorithm}: ${sentence}`;
  const ten: EndpointSketch[] = Array.from({ length: 10 }, () => ({}));

  test(named('a key has one home, whatever the random number and the worker'), () => {
    const bench = new Bench(ten, 2);
    const policies = [bench.policy(algorithm, 0), bench.policy(algorithm, 1)];
    const prng = new Prng(2);
    for (let i = 0; i < 500; i++) {
      const key = prng.uint32();
      const home = policies[0]!.pick(key, prng.uint32(), NONE);
      for (const policy of policies) assert.equal(policy.pick(key | 0, prng.uint32(), NONE), home);
      bench.begin(bench.slots.indexOf(home));
    }
  });

  test(named('two nodes that list the endpoints in different order agree'), () => {
    const homes = (addresses: string[]) => {
      const bench = new Bench(ten);
      const policy = buildPolicy(algorithm, {
        ...viewOf(bench.plan(algorithm), bench.control, bench.place),
        weights: Int32Array.from(addresses, (address) => 1 + (endpointHash(address) & 1)),
        hashes: Int32Array.from(addresses, endpointHash),
      });
      const prng = new Prng(3);
      return Array.from({ length: 2000 }, () => addresses[bench.slots.indexOf(policy.pick(prng.uint32(), 0, NONE))]);
    };
    const addresses = Array.from({ length: 10 }, (_, i) => `10.9.8.${i}:80`);
    assert.deepEqual(homes(addresses), homes(addresses.toReversed()));
  });

  test(named('an endpoint that goes down gives away its own keys and no other, to all others, and gets them back'), () => {
    const bench = new Bench(ten);
    const policy = bench.policy(algorithm);
    const home = (key: number) => bench.slots.indexOf(policy.pick(key, 0, NONE));
    const keys = Array.from({ length: KEYS }, (_, i) => Math.imul(i, 0x9e3779b1));
    const before = keys.map(home);
    for (const [change, undo] of [
      [() => bench.control.setHealth(bench.slots[4]!, health.down), () => bench.control.setHealth(bench.slots[4]!, health.up)],
      [() => bench.control.setAdmin(bench.slots[4]!, admin.drain), () => bench.control.setAdmin(bench.slots[4]!, admin.ready)],
    ] as const) {
      change();
      const heirs = new Array<number>(10).fill(0);
      keys.forEach((key, i) => {
        const now = home(key);
        if (before[i] !== 4) assert.equal(now, before[i]);
        else heirs[now]!++;
      });
      const mean = heirs.reduce((a, b) => a + b) / 9;
      heirs.forEach((count, i) => {
        if (i !== 4) assert.ok(count > mean / 2 && count < mean * 2, `${heirs}`);
      });
      assert.equal(heirs[4], 0);
      undo();
      assert.deepEqual(keys.map(home), before);
    }
  });

  test(named('with all but one down every key goes to that one'), () => {
    const bench = new Bench(ten);
    for (let i = 0; i < 9; i++) bench.control.setHealth(bench.slots[i]!, health.down);
    assert.ok(homesOf(bench, algorithm).every((home) => home === 9));
  });

  test(
    named('an endpoint that is added or taken from the configuration moves about its share of keys, and few between others'),
    () => {
      const nine = homesOf(new Bench(ten.slice(1).map((sketch) => ({ ...sketch }))), algorithm);
      // The same endpoints 0..8, and one more.
      const all = homesOf(new Bench(ten), algorithm);
      let toNew = 0;
      let between = 0;
      nine.forEach((home, i) => {
        if (all[i] === 9) toNew++;
        else if (all[i] !== home) between++;
      });
      assert.ok(Math.abs(toNew / KEYS - 0.1) < 0.03, `${toNew} of ${KEYS} moved to the new one`);
      assert.ok(between / KEYS <= movedMax, `${between} of ${KEYS} moved between others`);
    },
  );

  test(named('a weight of 0 set at run time empties an endpoint and moves no other key'), () => {
    const bench = new Bench(ten);
    const before = homesOf(bench, algorithm);
    bench.control.setWeightPercent(bench.slots[3]!, 0);
    const after = homesOf(bench, algorithm);
    let between = 0;
    after.forEach((home, i) => {
      assert.notEqual(home, 3);
      if (before[i] !== 3 && before[i] !== home) between++;
    });
    assert.ok(between / KEYS <= movedMax, `${between}`);
  });

  test(named('a second try of a key goes to one other endpoint, always the same'), () => {
    const bench = new Bench(ten);
    const policy = bench.policy(algorithm);
    for (let i = 0; i < 200; i++) {
      const key = Math.imul(i, 0x9e3779b1);
      const home = policy.pick(key, 0, NONE);
      const other = policy.pick(key, 1, home);
      assert.notEqual(other, home);
      assert.equal(policy.pick(key, 2, home), other);
    }
  });

  test(named('as an endpoint warms up each key of its own comes home once, and no other key moves'), () => {
    const slowStartMs = 10_000;
    const bench = new Bench(ten, 1, { slowStartMs });
    const policy = bench.policy(algorithm);
    const home = (key: number) => bench.slots.indexOf(policy.pick(key, 0, NONE));
    const keys = Array.from({ length: 4000 }, (_, i) => Math.imul(i, 0x9e3779b1));
    const before = keys.map(home);
    bench.control.setHealth(bench.slots[4]!, health.down);
    const away = keys.map(home);
    bench.control.setHealth(bench.slots[4]!, health.up);
    let here = keys.map(home);
    let moves = 0;
    const ownShare = (homes: readonly number[]) =>
      homes.filter((index) => index === 4).length / before.filter((index) => index === 4).length;
    assert.ok(ownShare(here) > 0.05 && ownShare(here) < 0.17, `${ownShare(here)} at first`);
    for (let step = 0; step < 20; step++) {
      bench.advance(slowStartMs / 20);
      const now = keys.map(home);
      now.forEach((index, i) => {
        if (index === here[i]) return;
        assert.equal(index, 4);
        assert.equal(before[i], 4);
        assert.equal(here[i], away[i]);
        moves++;
      });
      here = now;
      if (step === 9) assert.ok(Math.abs(ownShare(here) - 0.5) < 0.1, `${ownShare(here)} at half time`);
    }
    assert.ok(moves > 0);
    assert.deepEqual(here, before);
  });

  test(named('in a zone a key that stays keeps its endpoint, and one that leaves has one home elsewhere'), () => {
    const sketches = ten.map((_, i) => ({ zone: i < 5 ? 'here' : 'there' }));
    const bench = new Bench(sketches, 1, { spillAt: 0.9 });
    const policy = bench.policy(algorithm);
    const home = (key: number) => bench.slots.indexOf(policy.pick(key, bench.prng.uint32(), NONE));
    const keys = Array.from({ length: KEYS }, (_, i) => Math.imul(i, 0x9e3779b1));
    const before = keys.map(home);
    assert.ok(before.every((index) => index < 5));
    bench.control.setHealth(bench.slots[0]!, health.down);
    const after = keys.map(home);
    assert.deepEqual(keys.map(home), after);
    const moved = after.filter((index, i) => before[i] !== 0 && index !== before[i]).length;
    // 0.8 of the zone is left for 0.9: a ninth goes, and of those that stay nobody moves.
    assert.ok(moved / KEYS < 0.2, `${moved}`);
    const there = after.filter((index) => index >= 5).length / KEYS;
    assert.ok(Math.abs(there - 1 / 9) < 0.03, `${there}`);
    bench.control.setHealth(bench.slots[0]!, health.up);
    assert.deepEqual(keys.map(home), before);
  });

  test(named('with a bound of 1.25 a hot key loads no endpoint beyond 1.25 of its share, rounded up'), () => {
    const weights = [1, 1, 2, 4];
    const bench = new Bench(
      weights.map((weight) => ({ weight })),
      2,
      { boundedLoad: 1.25 },
    );
    const policy = bench.policy(algorithm);
    for (let total = 1; total <= 400; total++) {
      // The same key every time.
      const index = bench.slots.indexOf(policy.pick(12345, total, NONE));
      bench.begin(index, total % 2);
      const load = bench.control.inFlight(bench.slots[index]!);
      assert.ok(load <= Math.ceil((1.25 * total * weights[index]!) / 8), `endpoint ${index} has ${load} of ${total}`);
    }
  });

  test(named('a bound changes nothing while loads are even'), () => {
    const [bounded, free] = [1.25, 0].map((boundedLoad) => {
      const bench = new Bench(ten, 1, { boundedLoad });
      for (let i = 0; i < 10; i++) for (let n = 0; n < 100; n++) bench.begin(i);
      return homesOf(bench, algorithm);
    });
    assert.deepEqual(bounded, free);
  });

  test(named('with a bound that is none it is not built'), () => {
    assert.throws(() => new Bench(ten, 1, { boundedLoad: 1 }).policy(algorithm), /above 1/);
  });
}
