import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { admin, ejectionCauseNames, health } from '../state/doors.ts';
import { PoolFixture } from './fixture.ts';

/** Ejects endpoint 0 and returns for how long; good ends of the others go before. */
function eject(pool: PoolFixture, failures = 5): { forMs: number; count: number } {
  pool.end(1, 'ok', 5);
  pool.end(2, 'ok', 5);
  pool.end(0, 'timeout', failures);
  const [finding] = pool.look(0);
  assert.equal(finding?.what, 'eject');
  const { forMs, count } = finding!;
  return { forMs, count };
}
/** It serves its time. */
function serve(pool: PoolFixture, forMs: number): void {
  assert.deepEqual(pool.found(forMs - 1), []);
  assert.deepEqual(pool.found(1), ['return 0']);
}

test('each ejection in a row is longer by the first, up to the longest', () => {
  const pool = new PoolFixture(3, { ejectMs: 30_000, ejectMaxMs: 100_000 });
  const lengths: number[] = [];
  for (let round = 0; round < 5; round++) {
    const { forMs, count } = eject(pool);
    assert.equal(count, round + 1);
    lengths.push(forMs / 1000);
    serve(pool, forMs);
  }
  assert.deepEqual(lengths, [30, 60, 90, 100, 100]);
});

test('returns are spread over a tenth more than the time, never less', () => {
  for (const chance of [0, 0.5, 0.999999]) {
    const pool = new PoolFixture(3, { ejectMaxMs: 30_000 });
    pool.chances = [chance];
    assert.equal(Math.round(eject(pool).forMs), Math.round(30_000 * (1 + chance / 10)));
  }
});

test('each ejectMs spent well takes one ejection back', () => {
  for (const [wellMs, count] of [
    [29_000, 4],
    [30_000, 3],
    [59_000, 3],
    [60_000, 2],
    [900_000, 1],
  ] as const) {
    const pool = new PoolFixture(3);
    for (let round = 0; round < 3; round++) serve(pool, eject(pool).forMs);
    pool.end(0, 'ok');
    assert.deepEqual(pool.found(wellMs), []);
    assert.equal(eject(pool).count, count, `after ${wellMs} ms`);
  }
});

test('time in which it ended nothing well takes nothing back', () => {
  const pool = new PoolFixture(3);
  serve(pool, eject(pool).forMs);
  pool.pass(900_000);
  assert.equal(eject(pool, 1).count, 2);
});

test('back from an ejection, one failure is the last straw', () => {
  const pool = new PoolFixture(3);
  serve(pool, eject(pool).forMs);
  assert.equal(pool.judge.stateOf(pool.slots[0]!)!.ejection.isOnProbation, true);
  pool.end(1, 'ok');
  pool.end(0, 'refused');
  const [finding] = pool.look();
  assert.match(finding!.evidence, /^failed again at once after its return: 1 without a whole answer/);
});

test('until its first good end: then it takes as many as ever', () => {
  const pool = new PoolFixture(3);
  serve(pool, eject(pool).forMs);
  pool.end(0, 'ok');
  pool.end(0, 'refused', 4);
  assert.deepEqual(pool.found(), []);
  assert.equal(pool.judge.stateOf(pool.slots[0]!)!.ejection.isOnProbation, false);
  pool.end(0, 'refused');
  assert.deepEqual(pool.found(), ['eject 0']);
});

test('a 500 is no last straw for one that was ejected for what were no answers', () => {
  const pool = new PoolFixture(3);
  serve(pool, eject(pool).forMs);
  pool.end(0, 500);
  assert.deepEqual(pool.found(), []);
  pool.end(0, 503);
  assert.deepEqual(pool.found(), ['eject 0']);
});

test('requests that were under way on its return may fail without being held against it', () => {
  const pool = new PoolFixture(3, { ejectMs: 1000 });
  for (let i = 0; i < 3; i++) pool.begin(0);
  serve(pool, eject(pool).forMs);
  for (let i = 0; i < 3; i++) pool.finish(0, 'timeout');
  assert.deepEqual(pool.found(), []);
  pool.end(0, 'timeout');
  assert.deepEqual(pool.found(), ['eject 0']);
});

test('on probation in a pool that fails alike it stays', () => {
  const pool = new PoolFixture(3);
  serve(pool, eject(pool).forMs);
  for (const i of [0, 1, 2]) pool.end(i, 'refused', 3);
  assert.deepEqual(pool.found(), ['alike 0']);
});

test('one that was found ejected comes back after the shortest time', () => {
  const pool = new PoolFixture(3);
  pool.judge.adopt(pool.slots[0]!, pool.nowMs, 0);
  assert.equal(pool.judge.dueMs, pool.nowMs + 30_000);
  pool.control.setHealth(pool.slots[0]!, health.up);
  serve(pool, 30_000);
});

describe('ordered by an operator', () => {
  const cause = (pool: PoolFixture): string | undefined => ejectionCauseNames[pool.judge.stateOf(pool.slots[0]!)!.ejection.cause];
  const order = (pool: PoolFixture, forMs: number) => pool.judge.order(pool.slots[0]!, pool.nowMs, forMs, 'ordered by me');

  test('it is out for the time that was ordered, to the millisecond, and comes back without probation or a longer next time', () => {
    const pool = new PoolFixture(3);
    pool.chances = [0.5];
    assert.deepEqual([order(pool, 7000)?.forMs, order(pool, 7000)?.count], [7000, 0]);
    assert.equal(pool.judge.dueMs, pool.nowMs + 7000);
    serve(pool, 7000);
    pool.end(0, 'timeout', 4);
    assert.deepEqual(pool.found(), [], 'it takes as many failures as ever');
    pool.chances = [0];
    assert.deepEqual(eject(pool, 1), { forMs: 30_000, count: 1 });
    assert.equal(cause(pool), 'consecutive-failures');
  });

  test('the same again sets another time, from now', () => {
    const pool = new PoolFixture(3);
    order(pool, 60_000);
    pool.pass(1000);
    assert.equal(order(pool, 5000)!.forMs, 5000);
    serve(pool, 5000);
  });

  test('what live traffic began is made longer and never shorter, and its probation stays', () => {
    const pool = new PoolFixture(3);
    eject(pool);
    assert.equal(order(pool, 1000)!.forMs, 30_000);
    assert.equal(order(pool, 90_000)!.forMs, 90_000);
    assert.equal(cause(pool), 'consecutive-failures');
    serve(pool, 90_000);
    pool.end(0, 'refused');
    assert.deepEqual(pool.found(), ['eject 0']);
  });

  test('time served well before it is not forgotten', () => {
    const pool = new PoolFixture(3);
    for (let round = 0; round < 3; round++) serve(pool, eject(pool).forMs);
    pool.end(0, 'ok');
    assert.deepEqual(pool.found(60_000), []);
    order(pool, 1000);
    serve(pool, 1000);
    pool.end(0, 'ok');
    assert.deepEqual(pool.found(), []);
    assert.equal(eject(pool).count, 2);
  });

  test('never when no other endpoint could take its requests', () => {
    const away: Record<string, (pool: PoolFixture, slot: number) => void> = {
      down: ({ control }, slot) => control.setHealth(slot, health.down),
      'in maintenance': ({ control }, slot) => control.setAdmin(slot, admin.maint),
      'without weight': ({ control }, slot) => control.setWeightPercent(slot, 0),
      ejected: ({ judge, nowMs }, slot) => void judge.order(slot, nowMs, 60_000, ''),
    };
    for (const [why, takeOut] of Object.entries(away)) {
      const pool = new PoolFixture(3);
      takeOut(pool, pool.slots[1]!);
      assert.notEqual(pool.judge.order(pool.slots[0]!, pool.nowMs, 1000, ''), null, why);
      const last = new PoolFixture(2);
      takeOut(last, last.slots[1]!);
      assert.equal(last.judge.order(last.slots[0]!, last.nowMs, 1000, ''), null, why);
      assert.equal(last.judge.stateOf(last.slots[0]!)!.ejection.isOut, false, why);
    }
  });

  test('an older order of maintenance that has ended does not end it', () => {
    const pool = new PoolFixture(3);
    const slot = pool.slots[0]!;
    pool.control.setAdmin(slot, admin.maint);
    pool.look();
    pool.control.setAdmin(slot, admin.ready);
    order(pool, 5000);
    serve(pool, 5000);
  });

  test('maintenance that ends does', () => {
    const pool = new PoolFixture(3);
    const slot = pool.slots[0]!;
    order(pool, 5000);
    pool.control.setAdmin(slot, admin.maint);
    pool.look();
    pool.control.setAdmin(slot, admin.ready);
    assert.deepEqual(pool.found(), ['return 0']);
  });
});
