import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Prng } from '../base/prng.ts';
import { admin, health } from '../state/doors.ts';
import { type How, PoolFixture } from './fixture.ts';

const hows: readonly How[] = ['ok', 'ok', 'ok', 'missing', 'timeout', 'refused', 'cut', 500, 503, 'abort'];
const seeds = fc.integer({ min: 1, max: 2 ** 31 });
const runs = { seed: 77, numRuns: 150 };

test('for any traffic, failures, checks and orders: the rules that bound ejections hold', () => {
  const property = fc.property(
    seeds,
    fc.integer({ min: 1, max: 8 }),
    fc.integer({ min: 1, max: 3 }),
    fc.constantFrom(0.01, 0.3, 0.5, 1),
    (seed, endpoints, workers, ejectedMax) => {
      const prng = new Prng(seed);
      const plan = { ejectedMax, errorRatio: 0.5, latencyFactor: 3, ejectMs: 1000, ejectMaxMs: 5000, windowMs: 2000 };
      const pool = new PoolFixture(endpoints, plan, workers);
      pool.chances = Array.from({ length: 2000 }, () => prng.below(1000) / 1000);
      // Some never fail.
      const isGood = pool.slots.map(() => prng.below(3) === 0);
      const until = new Map<number, number>();
      for (let step = 0; step < 120; step++) {
        const failed = new Set<number>();
        for (let k = prng.below(40); k > 0; k--) {
          const i = prng.below(endpoints);
          const how = isGood[i] ? 'ok' : hows[prng.below(hows.length)]!;
          const isBad = !['ok', 'missing', 'abort'].includes(String(how));
          if (isBad) failed.add(i);
          pool.end(i, how, 1 + prng.below(6), prng.below(workers), isGood[i] ? 5 : prng.below(200));
        }
        if (prng.below(10) === 0) pool.control.setHealth(pool.slots[prng.below(endpoints)]!, prng.below(3));
        if (prng.below(10) === 0) pool.control.setAdmin(pool.slots[prng.below(endpoints)]!, prng.below(3));
        const usable = () =>
          pool.slots.filter(
            (slot, i) => pool.control.health(slot) !== health.down && pool.control.admin(slot) === admin.ready && !until.has(i),
          ).length;
        const before = usable();
        const findings = pool.look(25 * (1 + prng.below(20)));
        let hadUsable = before > 0;
        for (const { what, slot, forMs, cause } of findings) {
          const i = pool.slots.indexOf(slot);
          if (what === 'return') {
            assert.ok(until.delete(i), 'only who is out returns');
            hadUsable = true;
          }
          if (what !== 'eject') continue;
          assert.ok(!until.has(i), 'nobody is ejected twice');
          if (cause !== 3) assert.ok(failed.has(i), 'who has not failed since the last look is not ejected');
          assert.ok(!isGood[i] || cause === 3, 'who never fails is not ejected for failing');
          assert.equal(pool.control.admin(slot), admin.ready);
          assert.notEqual(pool.control.health(slot), health.down);
          assert.ok(forMs >= 1000 && forMs <= 5500, `${forMs} ms`);
          until.set(i, pool.nowMs + forMs);
        }
        if (findings.some(({ what }) => what === 'eject')) {
          assert.ok(hadUsable && usable() > 0, 'somebody is left');
          const present = pool.slots.filter((slot) => pool.control.admin(slot) === admin.ready).length;
          const out = [...until.keys()].filter((i) => pool.control.admin(pool.slots[i]!) === admin.ready).length;
          assert.ok(out <= Math.max(1, Math.floor(present * ejectedMax + 1e-9)), `${out} of ${present}`);
        }
        for (const [i, ms] of until) assert.ok(ms > pool.nowMs, `${i} should be back`);
        assert.ok(pool.judge.dueMs > pool.nowMs);
      }
    },
  );
  fc.assert(property, runs);
});

test('looked at after every end, over any number of workers, it ejects at exactly the fifth failure in a row', () => {
  const property = fc.property(seeds, fc.integer({ min: 1, max: 4 }), (seed, workers) => {
    const prng = new Prng(seed);
    const pool = new PoolFixture(3, { consecutive5xx: 0 }, workers);
    let run = 0;
    let round = 0;
    while (run < 5 && round++ < 400) {
      pool.end(1, 'ok', 1, prng.below(workers));
      pool.end(2, 'ok', 1, prng.below(workers));
      const how = hows[prng.below(hows.length)]!;
      pool.end(0, how, 1, prng.below(workers));
      if (['timeout', 'refused', 'cut', 503].includes(how)) run++;
      else if (how !== 'abort') run = 0;
      assert.deepEqual(pool.found(), run === 5 ? ['eject 0'] : []);
    }
  });
  fc.assert(property, runs);
});

test('however ends fall to workers and looks, a dead endpoint is out within as many failures as the rule and the looks allow', () => {
  const property = fc.property(seeds, fc.integer({ min: 1, max: 4 }), (seed, workers) => {
    const prng = new Prng(seed);
    const pool = new PoolFixture(4, {}, workers);
    for (let i = 0; i < 4; i++) for (let k = 0; k < 50; k++) pool.end(i, 'ok', 1, prng.below(workers));
    pool.look();
    let failures = 0;
    while (true) {
      // Good ends of the others between, and some looks that see nothing new of it.
      const fresh = prng.below(4);
      for (let k = 0; k < fresh; k++) pool.end(0, 'timeout', 1, prng.below(workers));
      failures += fresh;
      for (let i = 1; i < 4; i++) pool.end(i, 'ok', prng.below(5), prng.below(workers));
      const found = pool.found();
      assert.equal(found.length > 0, failures >= 5, `${failures} failures`);
      if (found.length > 0) break;
    }
  });
  fc.assert(property, runs);
});

test('when all endpoints fail with the same chance, ejections are rare: none for a pool that fails more than half the time', () => {
  for (const chance of [0.6, 0.8, 1]) {
    const property = fc.property(seeds, (seed) => {
      const prng = new Prng(seed);
      const pool = new PoolFixture(5, { ejectedMax: 1 });
      // Everybody has shown what it does before anybody is judged: at the very start it takes luck.
      for (let i = 0; i < 5; i++) pool.end(i, 'ok', 4);
      for (let i = 0; i < 5; i++) pool.end(i, 503, 6);
      pool.look();
      for (let step = 0; step < 200; step++) {
        for (let k = 0; k < 20; k++) pool.end(prng.below(5), prng.below(1000) < chance * 1000 ? 503 : 'ok');
        assert.ok(!pool.found().some((found) => found.startsWith('eject')));
      }
    });
    fc.assert(property, { seed: 5, numRuns: 20 });
  }
});
