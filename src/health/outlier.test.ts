import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { admin, ejectionCauseNames, health } from '../state/doors.ts';
import { PoolFixture } from './fixture.ts';
import type { Finding } from './outlier.ts';

/** Everybody answers well, so that there is something to compare with. */
function healthy(pool: PoolFixture, times = 10): void {
  for (let i = 0; i < pool.slots.length; i++) pool.end(i, 'ok', times);
  assert.deepEqual(pool.found(), []);
}

function causeOf([finding]: readonly Finding[]): string | undefined {
  return finding === undefined ? undefined : ejectionCauseNames[finding.cause];
}

describe('failures in a row', () => {
  for (const how of ['timeout', 'refused', 'cut', 503] as const)
    test(`five that end by ${how} eject, four do not`, () => {
      const pool = new PoolFixture(3);
      healthy(pool);
      pool.end(0, how, 4);
      assert.deepEqual(pool.found(), []);
      pool.end(0, how);
      const findings = pool.look();
      assert.equal(causeOf(findings), 'consecutive-failures');
      assert.match(findings[0]!.evidence, /^5 failures in a row: 5 /);
    });

  test('the evidence says how each of them ended', () => {
    const pool = new PoolFixture(3);
    healthy(pool);
    for (const how of ['timeout', 'timeout', 'refused', 503, 'cut'] as const) pool.end(0, how);
    assert.equal(
      pool.look()[0]!.evidence,
      '5 failures in a row: 2 timed out, 2 without a whole answer, 1 answered 502, 503 or 504; the others fail 0 % (median)',
    );
  });

  test('a good end begins the count anew', () => {
    const pool = new PoolFixture(3);
    healthy(pool);
    pool.end(0, 'timeout', 4);
    pool.end(0, 'missing');
    pool.end(0, 'timeout', 4);
    assert.deepEqual(pool.found(), []);
    pool.end(0, 'timeout');
    assert.deepEqual(pool.found(), ['eject 0']);
  });

  test('those of two workers are added up, look after look', () => {
    const pool = new PoolFixture(3, {}, 2);
    healthy(pool);
    pool.end(0, 'timeout', 2, 0);
    assert.deepEqual(pool.found(), []);
    pool.end(0, 'timeout', 2, 1);
    assert.deepEqual(pool.found(), []);
    pool.end(0, 'timeout', 1, 0);
    assert.deepEqual(pool.found(), ['eject 0']);
  });

  test('a good end that another worker saw begins the count anew, and what one worker saw since counts', () => {
    const pool = new PoolFixture(3, {}, 2);
    healthy(pool);
    pool.end(0, 'timeout', 4, 0);
    assert.deepEqual(pool.found(), []);
    pool.end(0, 'ok', 1, 1);
    pool.end(0, 'timeout', 1, 0);
    assert.deepEqual(pool.found(), [], 'its own worker reports a run of five, but only one of them is new');
    pool.end(0, 'timeout', 3, 1);
    assert.deepEqual(pool.found(), []);
    pool.end(0, 'timeout', 1, 1);
    assert.deepEqual(pool.found(), ['eject 0']);
  });

  test('500 is an answer: it counts for 5xx in a row and ends a run of failures', () => {
    const pool = new PoolFixture(3);
    healthy(pool);
    pool.end(0, 'timeout', 2);
    pool.end(0, 500, 2);
    assert.deepEqual(pool.found(), []);
    pool.end(0, 500);
    const findings = pool.look();
    assert.equal(causeOf(findings), 'consecutive-5xx');
    assert.match(findings[0]!.evidence, /^5 failures in a row: 2 timed out, 3 answered another 5xx/);
  });

  test('with 5xx in a row off, only failures count; with both off, neither', () => {
    const hard = new PoolFixture(3, { consecutive5xx: 0 });
    healthy(hard);
    hard.end(0, 500, 50);
    hard.end(0, 'timeout', 4);
    assert.deepEqual(hard.found(), []);
    hard.end(0, 'timeout');
    assert.deepEqual(hard.found(), ['eject 0']);
    const off = new PoolFixture(3, { consecutive5xx: 0, consecutiveFailures: 0 });
    healthy(off);
    off.end(0, 'timeout', 500);
    assert.deepEqual(off.found(), []);
  });

  test('clients that leave and limits of weir neither count nor begin the count anew', () => {
    const pool = new PoolFixture(3);
    healthy(pool);
    pool.end(0, 'abort', 100);
    assert.deepEqual(pool.found(), []);
    pool.end(0, 'timeout', 4);
    pool.end(0, 'abort', 10);
    assert.deepEqual(pool.found(), []);
    pool.end(0, 'timeout');
    assert.deepEqual(pool.found(), ['eject 0']);
  });

  test('what was counted before the first look is nobody’s last straw', () => {
    const pool = new PoolFixture(3);
    pool.end(0, 'timeout', 50);
    pool.newJudge({});
    assert.deepEqual(pool.found(), []);
    pool.end(0, 'timeout', 4);
    assert.deepEqual(pool.found(), []);
  });
});

describe('the share of failures', () => {
  const plan = { consecutiveFailures: 0, consecutive5xx: 0, errorRatio: 0.5 };
  const mix = (pool: PoolFixture, good: number, bad: number): void => {
    pool.end(0, 'ok', good);
    pool.end(0, 500, bad);
  };

  test('ejects from the ratio on, not below', () => {
    const below = new PoolFixture(3, plan);
    healthy(below, 1);
    mix(below, 20, 20);
    assert.deepEqual(below.found(), [], '20 of 41');
    const at = new PoolFixture(3, plan);
    healthy(at, 1);
    mix(at, 20, 21);
    const findings = at.look();
    assert.equal(causeOf(findings), 'error-ratio');
    assert.match(findings[0]!.evidence, /^21 of 42 requests failed within 10 s/);
  });

  test('says nothing with fewer requests than wanted', () => {
    const few = new PoolFixture(3, plan);
    few.end(1, 'ok', 10);
    mix(few, 0, 19);
    assert.deepEqual(few.found(), []);
    mix(few, 0, 1);
    assert.deepEqual(few.found(), ['eject 0']);
  });

  test('forgets what is older than the window', () => {
    const pool = new PoolFixture(3, plan);
    healthy(pool, 1);
    mix(pool, 0, 15);
    assert.deepEqual(pool.found(), []);
    for (let s = 0; s < 11; s++) assert.deepEqual(pool.found(1000), []);
    mix(pool, 0, 15);
    assert.deepEqual(pool.found(), [], '15 within the window');
    mix(pool, 0, 5);
    assert.deepEqual(pool.found(), ['eject 0']);
  });

  test('of good ends that came while nobody looked, only the share of a window counts', () => {
    const pool = new PoolFixture(3, { ...plan, errorRatio: 0.1 });
    healthy(pool);
    // An hour in which nothing failed: 360 of these fall into the last ten seconds.
    pool.pass(3_600_000);
    pool.end(0, 'ok', 129_600);
    mix(pool, 0, 41);
    assert.deepEqual(pool.found(), ['eject 0']);
  });
});

describe('latency', () => {
  const plan = { latencyFactor: 3 };
  const answer = (pool: PoolFixture, times: readonly number[], count = 20): void => {
    times.forEach((ms, i) => {
      pool.end(i, 'ok', count, 0, ms);
    });
  };

  test('ejects above so many times the median of the others, not at it', () => {
    const at = new PoolFixture(4, plan);
    answer(at, [300, 100, 50, 200]);
    assert.deepEqual(at.found(1000), []);
    const above = new PoolFixture(4, plan);
    answer(above, [303, 100, 50, 200], 40);
    const findings = above.look(1000);
    assert.equal(causeOf(findings), 'latency');
    assert.equal(findings[0]!.evidence, 'answers take 303 ms on average, those of the others 100 ms');
  });

  test('a few milliseconds are no reason, however many times the others they are', () => {
    const pool = new PoolFixture(3, plan);
    answer(pool, [10.9, 1, 1], 40);
    assert.deepEqual(pool.found(1000), []);
    const more = new PoolFixture(3, plan);
    answer(more, [11.1, 1, 1], 40);
    assert.deepEqual(more.found(1000), ['eject 0']);
  });

  test('says nothing of an endpoint, or by endpoints, with too few answers', () => {
    const few = new PoolFixture(3, plan);
    few.end(0, 'ok', 15, 0, 500);
    for (const i of [1, 2]) few.end(i, 'ok', 40, 0, 10);
    assert.deepEqual(few.found(1000), []);
    const others = new PoolFixture(3, plan);
    others.end(0, 'ok', 40, 0, 500);
    for (const i of [1, 2]) others.end(i, 'ok', 15, 0, 10);
    assert.deepEqual(others.found(1000), []);
  });

  test('after its return only answers that came since count', () => {
    const pool = new PoolFixture(3, { ...plan, ejectMs: 10_000 });
    answer(pool, [500, 10, 10], 1000);
    assert.deepEqual(pool.found(1000), ['eject 0']);
    assert.deepEqual(pool.found(10_000), ['return 0']);
    // Hundreds of the old answers have not faded yet, and it is quick now.
    answer(pool, [12, 10, 10], 30);
    for (let s = 0; s < 3; s++) assert.deepEqual(pool.found(1000), []);
    answer(pool, [500, 10, 10], 60);
    assert.deepEqual(pool.found(1000), ['eject 0']);
  });

  test('ejects one at a look, the others are compared with those that are left', () => {
    const pool = new PoolFixture(5, plan);
    answer(pool, [500, 500, 10, 10, 10], 100);
    assert.deepEqual(pool.found(1000), ['eject 0']);
    assert.deepEqual(pool.found(1000), ['eject 1']);
    assert.deepEqual(pool.found(1000), []);
  });
});

describe('against its pool', () => {
  test('an endpoint that always fails is ejected while the others fail at most half as often', () => {
    const half = new PoolFixture(3);
    half.end(1, 503, 2);
    half.end(1, 'ok', 2);
    half.end(2, 503, 2);
    half.end(2, 'ok', 2);
    half.end(0, 503, 5);
    assert.deepEqual(half.found(), ['eject 0']);
    const more = new PoolFixture(3);
    more.end(1, 503, 3);
    more.end(1, 'ok', 2);
    more.end(2, 503, 2);
    more.end(2, 'ok', 2);
    more.end(0, 503, 5);
    assert.deepEqual(more.found(), ['alike 0']);
  });

  test('when all begin to fail at once nobody is ejected, and it is said once', () => {
    const pool = new PoolFixture(4);
    healthy(pool, 1000);
    const said: string[] = [];
    for (let round = 0; round < 60; round++) {
      for (let i = 0; i < 4; i++) pool.end(i, 'refused');
      said.push(...pool.found());
    }
    assert.deepEqual(said, ['alike 0']);
    assert.equal(pool.judge.stateOf(pool.slots[2]!)!.held, 'alike');
    // It stops, and begins again: that is news.
    healthy(pool);
    pool.pass(11_000);
    healthy(pool);
    for (let i = 0; i < 4; i++) pool.end(i, 'refused', 5);
    assert.deepEqual(pool.found(), ['alike 0']);
  });

  test('an endpoint that dies with a window full of good ends is out at its fifth failure, though one in a hundred of the others fails', () => {
    const pool = new PoolFixture(4);
    for (let i = 0; i < 4; i++) {
      pool.end(i, 'ok', 990);
      if (i > 0) pool.end(i, 500, 10);
      pool.end(i, 'ok', 10);
    }
    assert.deepEqual(
      pool.found().filter((found) => found !== 'alike 1'),
      [],
    );
    pool.end(0, 'refused', 4);
    assert.deepEqual(pool.found(), []);
    pool.end(0, 'refused', 1);
    assert.deepEqual(pool.found(), ['eject 0']);
  });

  test('a run that chance explains where four in ten fail is none', () => {
    const pool = new PoolFixture(4);
    for (let i = 0; i < 4; i++) for (let k = 0; k < 100; k++) pool.end(i, k % 5 < 2 ? 500 : 'ok');
    assert.deepEqual(pool.found(), []);
    pool.end(0, 500, 6);
    assert.deepEqual(pool.found(), ['alike 0']);
  });

  test('two of four that are broken are found out, though they draw most of the requests', () => {
    const pool = new PoolFixture(4);
    for (const i of [2, 3]) pool.end(i, 'ok', 5);
    for (const i of [0, 1]) pool.end(i, 'refused', 500);
    assert.deepEqual(pool.found(), ['eject 0', 'eject 1']);
  });

  test('others that have shown nothing are taken for good, those that failed last for bad', () => {
    const first = new PoolFixture(3);
    first.end(0, 'refused', 5);
    assert.deepEqual(first.found(), ['eject 0'], 'policy `first`: only one is asked');
    const quiet = new PoolFixture(3, { windowMs: 1000 });
    for (let round = 0; round < 5; round++)
      for (let i = 0; i < 3; i++) {
        quiet.end(i, 500);
        for (const found of quiet.found(2000)) assert.match(found, /^alike/);
      }
  });
});

describe('how many', () => {
  test('an endpoint that is alone stays', () => {
    const pool = new PoolFixture(1);
    pool.end(0, 'refused', 100);
    assert.deepEqual(pool.found(), []);
    assert.equal(pool.judge.stateOf(pool.slots[0]!)!.held, 'last');
  });

  for (const [what, change] of [
    ['is down', (pool) => pool.control.setHealth(pool.slots[1]!, health.down)],
    ['drains', (pool) => pool.control.setAdmin(pool.slots[1]!, admin.drain)],
    ['has no weight', (pool) => pool.control.setWeightPercent(pool.slots[1]!, 0)],
  ] as const satisfies [string, (pool: PoolFixture) => void][])
    test(`the last one stays when the other ${what}`, () => {
      const pool = new PoolFixture(2);
      change(pool);
      pool.end(0, 'refused', 10);
      assert.deepEqual(pool.found(), []);
      pool.control.setHealth(pool.slots[1]!, health.up);
      pool.control.setAdmin(pool.slots[1]!, admin.ready);
      pool.control.setWeightPercent(pool.slots[1]!, 100);
      pool.end(0, 'refused');
      assert.deepEqual(pool.found(), ['eject 0'], 'and goes when it can take requests');
    });

  test('one of two may always go', () => {
    const pool = new PoolFixture(2, { ejectedMax: 0.01 });
    healthy(pool);
    pool.end(0, 'refused', 5);
    assert.deepEqual(pool.found(), ['eject 0']);
  });

  test('no more than the share, of those that nobody took out on purpose', () => {
    const pool = new PoolFixture(11, { ejectedMax: 0.3 });
    pool.control.setAdmin(pool.slots[10]!, admin.maint);
    healthy(pool);
    for (const i of [0, 1, 2, 3]) pool.end(i, 'refused', 5);
    assert.deepEqual(pool.found(), ['eject 0', 'eject 1', 'eject 2']);
    assert.equal(pool.judge.stateOf(pool.slots[3]!)!.held, 'full');
    // A place is free again: the next failure takes it.
    assert.deepEqual(pool.found(30_000), ['return 0', 'return 1', 'return 2']);
    pool.end(3, 'refused');
    assert.deepEqual(pool.found(), ['eject 3']);
  });
});

describe('health and orders', () => {
  test('a check that passes does not end an ejection', () => {
    const pool = new PoolFixture(3);
    healthy(pool);
    pool.end(0, 'timeout', 5);
    assert.deepEqual(pool.found(), ['eject 0']);
    pool.control.setHealth(pool.slots[0]!, health.down);
    assert.deepEqual(pool.found(), []);
    pool.control.setHealth(pool.slots[0]!, health.up);
    assert.deepEqual(pool.found(20_000), []);
    assert.equal(pool.judge.stateOf(pool.slots[0]!)!.ejection.isOut, true);
    assert.deepEqual(pool.found(10_000), ['return 0']);
  });

  test('failures while it is down or taken out on purpose are not held against it', () => {
    for (const isDown of [true, false]) {
      const pool = new PoolFixture(3);
      healthy(pool);
      pool.end(0, 'refused', 4);
      assert.deepEqual(pool.found(), []);
      if (isDown) pool.control.setHealth(pool.slots[0]!, health.down);
      else pool.control.setAdmin(pool.slots[0]!, admin.maint);
      pool.end(0, 'refused', 50);
      assert.deepEqual(pool.found(), []);
      pool.control.setHealth(pool.slots[0]!, health.up);
      pool.control.setAdmin(pool.slots[0]!, admin.ready);
      pool.end(0, 'refused', 4);
      assert.deepEqual(pool.found(), []);
      pool.end(0, 'refused', 1);
      assert.deepEqual(pool.found(), ['eject 0']);
    }
  });

  test('an operator who takes it out and says that it is ready ends its ejection', () => {
    const pool = new PoolFixture(3);
    healthy(pool);
    pool.end(0, 'timeout', 5);
    assert.deepEqual(pool.found(), ['eject 0']);
    pool.control.setAdmin(pool.slots[0]!, admin.maint);
    assert.deepEqual(pool.found(), []);
    pool.control.setAdmin(pool.slots[0]!, admin.ready);
    assert.deepEqual(pool.found(), ['return 0']);
  });
});

test('over a reload what is known stays; a changed window starts its counts anew, and a change of mode its ejections', () => {
  const pool = new PoolFixture(5, { ejectedMax: 0.2 });
  healthy(pool);
  pool.end(0, 'timeout', 3);
  pool.end(1, 'timeout', 5);
  assert.deepEqual(pool.found(), ['eject 1']);
  pool.newJudge({ ejectedMax: 1 }, pool.judge);
  pool.end(0, 'timeout', 2);
  assert.deepEqual(pool.found(), ['eject 0']);
  pool.newJudge({ ejectedMax: 1, windowMs: 5000 }, pool.judge);
  assert.deepEqual(pool.found(30_000), ['return 1', 'return 0'].sort());
  pool.end(0, 'timeout', 1);
  assert.deepEqual(pool.found(), ['eject 0'], 'it was on probation');
  pool.newJudge({ isShadow: true }, pool.judge);
  assert.equal(pool.judge.isAnyOut, false);
  assert.deepEqual(pool.found(100_000), []);
});

test('it says when to look again: for returns, while somebody fails, for latency, else never', () => {
  const pool = new PoolFixture(3);
  assert.equal(pool.judge.dueMs, Number.POSITIVE_INFINITY);
  healthy(pool);
  assert.equal(pool.judge.dueMs, Number.POSITIVE_INFINITY);
  pool.end(0, 'timeout', 5);
  pool.look();
  assert.equal(pool.judge.dueMs, pool.nowMs + 1000);
  pool.look(11_000);
  assert.equal(pool.judge.dueMs, pool.nowMs + 19_000);
  pool.look(19_000);
  assert.equal(pool.judge.dueMs, Number.POSITIVE_INFINITY);
  const slow = pool.newJudge({ latencyFactor: 2 });
  assert.equal(slow.dueMs, pool.nowMs + 1000);
});
