import assert from 'node:assert/strict';
import { test } from 'node:test';
import { health } from '../state/doors.ts';
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
