import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Prng } from '../base/prng.ts';
import { LIMIT_STRIDE, layoutOf } from './layout.ts';
import { BURST_MAX, LimitRule, LimitTable, limitProblem, WINDOW_REQUESTS_MAX } from './limits.ts';

const DAY_MS = 86_400_000;
const sizes = {
  slotsMax: 8,
  stripesMax: 1,
  listenersMax: 1,
  routesMax: 1,
  poolsMax: 1,
  filtersMax: 1,
  exchangeRowsMax: 1,
  countRowsMax: 1,
};

function newTable(limitRowsMax = 64) {
  const layout = layoutOf({ ...sizes, limitRowsMax });
  const i32 = new Int32Array(layout.bytes / 4);
  return { i32, rows: layout.limits / 4, table: new LimitTable(i32, layout, 77) };
}
function bucket(requests: number, windowMs: number, burst: number): LimitRule {
  return new LimitRule({ algorithm: 'token-bucket', requests, windowMs, burst });
}
function sliding(requests: number, windowMs: number): LimitRule {
  return new LimitRule({ algorithm: 'sliding-window', requests, windowMs, burst: 1 });
}
/** How many of `count` requests pass at once. */
function passes(table: LimitTable, rule: LimitRule, key: number, nowMs: number, count: number): number {
  let passed = 0;
  for (let i = 0; i < count; i++) if (take(table, rule, key, key, nowMs)) passed++;
  return passed;
}
function take(table: LimitTable, rule: LimitRule, setHash: number, tagHash: number, nowMs: number): boolean {
  table.nowMs = nowMs;
  return table.take(rule, setHash, tagHash);
}
function peek(table: LimitTable, rule: LimitRule, setHash: number, tagHash: number, nowMs: number): boolean {
  table.nowMs = nowMs;
  return table.peek(rule, setHash, tagHash);
}

describe('a token bucket', () => {
  test('lets its burst through at once, and then its rate', () => {
    const { table } = newTable();
    const rule = bucket(10, 1000, 5);
    assert.equal(passes(table, rule, 1, 1000, 9), 5);
    assert.equal(passes(table, rule, 1, 1099, 9), 0);
    assert.equal(passes(table, rule, 1, 1100, 9), 1);
    assert.equal(passes(table, rule, 1, 1350, 9), 2);
    assert.equal(passes(table, rule, 1, 9000, 9), 5);
  });

  test('does as a bucket that is filled drop by drop', () => {
    const random = new Prng(4);
    const { table } = newTable();
    for (let key = 1; key <= 200; key++) {
      const requests = 1 + random.below(1000);
      const windowMs = [1000, 60_000, 3_600_000][random.below(3)]!;
      const burst = 1 + random.below(20);
      const rule = bucket(requests, windowMs, burst);
      let tokens = burst;
      let nowMs = random.below(1e9);
      for (let i = 0; i < 200; i++) {
        const waitMs = (random.below(1000) / 500) * (windowMs / requests);
        nowMs += waitMs;
        tokens = Math.min(burst, tokens + (waitMs * requests) / windowMs);
        const isAllowed = take(table, rule, key, key, nowMs);
        // Where a drop decides, rounding may.
        if (Math.abs(tokens - 1) > 0.01)
          assert.equal(isAllowed, tokens >= 1, `${requests}/${windowMs} burst ${burst}: ${tokens}`);
        if (isAllowed) tokens -= 1;
      }
    }
  });

  for (const [requests, windowMs, burst] of [
    [1, 3_600_000, 1],
    [1, 3_600_000, 1000],
    [1, DAY_MS, 3],
    [7, 60_000, 2],
    [100, 1000, 20],
    [100_000, 1000, 1],
    [100_000, 1000, 50_000],
    [999_983, 1000, 500],
    [5_000_000, 1000, 20_000],
  ] as const)
    test(`keeps ${requests} in ${windowMs} ms with a burst of ${burst}, over weeks of a clock`, () => {
      const { table } = newTable();
      const rule = bucket(requests, windowMs, burst);
      const tokenMs = windowMs / requests;
      for (const startMs of [0, 1e6 + 0.25, 100 * DAY_MS, 400 * DAY_MS + 0.125]) {
        const key = startMs;
        // Three times as fast as allowed, until the bucket has been empty for a while.
        const steps = Math.min(3000, 3 * burst + 600);
        const stepMs = Math.max(tokenMs / 3, (burst * tokenMs) / 1000);
        const perStep = Math.ceil((3 * stepMs) / tokenMs);
        let passed = 0;
        for (let i = 0; i < steps; i++) passed += passes(table, rule, key, startMs + i * stepMs, perStep);
        const most = burst + ((steps - 1) * stepMs) / tokenMs;
        // Times are whole units: where a token is one unit, that may be one token.
        assert.ok(passed <= most + 1, `${passed} of at most ${most}`);
        assert.ok(passed >= Math.min(most * 0.999 - 1, steps * perStep), `${passed} of ${most}`);
      }
    });

  test('is full after any time without requests, also when its clock came round meanwhile', () => {
    for (const rule of [bucket(100_000, 1000, 50), bucket(5_000_000, 1000, 50), bucket(1, 60_000, 50)]) {
      const { table } = newTable();
      let nowMs = 5000;
      const idle = [Math.ceil(50 / (rule.interval / rule.unitsPerMs)), 2 ** 31 / rule.unitsPerMs, 2 ** 32 / rule.unitsPerMs];
      for (const idleMs of [...idle, idle[2]! + 0.3 / rule.unitsPerMs, DAY_MS, 49 * DAY_MS, 190 * DAY_MS]) {
        nowMs += Math.max(idleMs, 50 * (rule.interval / rule.unitsPerMs));
        assert.equal(passes(table, rule, 9, nowMs, 100), 50, `after ${idleMs} ms`);
      }
    }
  });

  test('is not filled by a worker whose clock is behind', () => {
    const { table } = newTable();
    const rule = bucket(1000, 1000, 10);
    assert.equal(passes(table, rule, 1, 100_000, 20), 10);
    for (const behindMs of [1, 100, 5000, 90_000]) assert.equal(passes(table, rule, 1, 100_000 - behindMs, 5), 0);
    assert.equal(passes(table, rule, 1, 100_001, 5), 1);
  });
});

describe('a sliding window', () => {
  test('lets its requests through, and forgets them evenly while the next window passes', () => {
    const { table } = newTable();
    const rule = sliding(10, 1000);
    assert.equal(passes(table, rule, 1, 5000, 20), 10);
    assert.equal(passes(table, rule, 1, 5999, 20), 0);
    assert.equal(passes(table, rule, 1, 6000, 20), 0);
    assert.equal(passes(table, rule, 1, 6100, 20), 1);
    assert.equal(passes(table, rule, 1, 6500, 20), 4);
    assert.equal(passes(table, rule, 1, 8000, 20), 10);
  });

  test('lets at most its requests and as many again, for the share of a window they are apart, through any span', () => {
    const random = new Prng(11);
    for (let round = 0; round < 60; round++) {
      const { table } = newTable();
      const requests = 1 + random.below(30);
      const rule = sliding(requests, 1000);
      const times: number[] = [];
      let nowMs = 10_000 + random.below(1000);
      for (let i = 0; i < 600; i++) {
        // Bursts and lulls: what an attacker who knows the windows would send.
        nowMs += random.below(4) === 0 ? random.below(900) : random.below(10);
        if (take(table, rule, 3, 3, nowMs)) times.push(nowMs);
      }
      for (let from = 0; from < times.length; from++) {
        for (let to = from; to < times.length && times[to]! - times[from]! <= 1000; to++) {
          const most = requests * (1 + (times[to]! - times[from]!) / 1000);
          assert.ok(to - from + 1 <= most + 1e-9, `${to - from + 1} of ${most} within ${times[to]! - times[from]!} ms`);
        }
      }
    }
  });

  test('lets as much of steady traffic through as a window that knows every request, within 3 %', () => {
    const random = new Prng(12);
    const { table } = newTable();
    const rule = sliding(100, 1000);
    // Poisson streams below, at and far above what is allowed.
    for (const [key, ratePerMs] of [
      [1, 0.08],
      [2, 0.1],
      [3, 0.3],
    ] as const) {
      let nowMs = 50_000;
      let passed = 0;
      let exact = 0;
      const within: number[] = [];
      while (nowMs < 250_000) {
        nowMs += -Math.log(1 - random.below(1e6) / 1e6) / ratePerMs;
        if (take(table, rule, key, key, nowMs)) passed++;
        while (within.length > 0 && within[0]! <= nowMs - 1000) within.shift();
        if (within.length >= 100) continue;
        within.push(nowMs);
        exact++;
      }
      assert.ok(Math.abs(passed / exact - 1) < 0.03, `${passed}, exactly ${exact} at ${ratePerMs * 1000}/s`);
    }
  });

  test('takes no count of long ago for one of the last window', () => {
    const { table } = newTable();
    const rule = sliding(5, 1000);
    // Only every other window: the word of the others keeps what it has, and its number comes round after 256.
    let before = 0;
    for (let window = 2; window < 1200; window += 2) {
      // So early that the row is still kept from the window before the last.
      const expected = before > 0 ? 1 : 5;
      before = 0;
      assert.equal(passes(table, rule, 1, window * 1000 + 5, 9), expected, `window ${window}`);
      if (window % 200 === 2) before = passes(table, rule, 1, (window + 1) * 1000 + 999, 9);
      if (window % 200 === 2) assert.equal(before, 4, `window ${window + 1}`);
    }
    for (const idleMs of [2000, 255_000, 256_000, 257_000, 512_000, DAY_MS]) {
      const nowMs = 2_000_000 + idleMs;
      assert.equal(passes(table, rule, idleMs, 2_000_000, 9), 5);
      assert.equal(passes(table, rule, idleMs, nowMs, 9), 5, `after ${idleMs} ms`);
    }
  });

  test('is not emptied by a worker whose clock is behind', () => {
    const { table } = newTable();
    const rule = sliding(10, 1000);
    assert.equal(passes(table, rule, 1, 100_900, 20), 10);
    for (const nowMs of [100_100, 98_100, 95_000]) passes(table, rule, 1, nowMs, 20);
    assert.equal(passes(table, rule, 1, 100_950, 20), 0);
  });
});

describe('what a decision tells', () => {
  const rules: readonly LimitRule[] = [
    bucket(100, 1000, 20),
    bucket(7, 60_000, 3),
    bucket(1, 3_600_000, 5),
    bucket(100_000, 1000, 40),
    sliding(10, 1000),
    sliding(1, 60_000),
    sliding(333, 3_600_000),
  ];

  test('remaining requests pass at once, and not one more', () => {
    const random = new Prng(21);
    for (const rule of rules) {
      const { table } = newTable();
      let nowMs = 1e8;
      for (let i = 0; i < 300; i++) {
        nowMs += random.below(3) * (rule.windowMs / rule.requests) * random.below(10) * 0.1;
        take(table, rule, 5, 5, nowMs);
        const { remaining } = table;
        const copy = newTable();
        copy.i32.set(table_(table));
        assert.equal(passes(copy.table, rule, 5, nowMs, remaining + 2), remaining);
      }
    }
  });

  test('when those are spent, one more passes after the time told, and not before', () => {
    const random = new Prng(22);
    for (const rule of rules) {
      const { table } = newTable();
      let nowMs = 1e8;
      for (let i = 0; i < 300; i++) {
        nowMs += random.below(3) * (rule.windowMs / rule.requests) * random.below(10) * 0.1;
        take(table, rule, 5, 5, nowMs);
        const { remaining, nextMs } = table;
        assert.ok(Number.isInteger(nextMs) && nextMs >= 1);
        for (const [waitMs, expected] of [
          [nextMs, 1],
          // A clock of whole units may be one behind at either end.
          [nextMs - 1.001 - (rule.isWindow ? 0 : 2 / rule.unitsPerMs), 0],
        ] as const) {
          if (waitMs < 0) continue;
          const copy = newTable();
          copy.i32.set(table_(table));
          passes(copy.table, rule, 5, nowMs, remaining);
          const passed = passes(copy.table, rule, 5, nowMs + waitMs, 1);
          assert.equal(passed, expected, `${JSON.stringify(rule)} after ${waitMs} of ${nextMs} ms`);
        }
      }
    }
  });

  test('a peek says what a request would be told, and counts nothing', () => {
    for (const rule of rules) {
      const { table, i32 } = newTable();
      for (let i = 0; i < 12; i++) {
        const before = i32.slice();
        const peeked = [peek(table, rule, 8, 8, 1e7), table.remaining, table.nextMs];
        assert.deepEqual(i32, before);
        assert.deepEqual([take(table, rule, 8, 8, 1e7), table.remaining, table.nextMs], peeked);
      }
    }
  });

  /** The words of a table, to try things on a copy. */
  function table_(table: LimitTable): Int32Array {
    return (table as unknown as { i32: Int32Array }).i32;
  }
});

describe('rows', () => {
  const rule = bucket(1, 1000, 2);

  test('keys do not disturb each other', () => {
    const { table } = newTable(4096);
    for (let key = 1; key <= 400; key++) assert.equal(passes(table, rule, key * 0x9e3779b1, 5000, 3), 2);
    assert.equal(table.evicted, 0);
  });

  test('keys of one set are told apart by their tags', () => {
    const { table } = newTable();
    for (let tag = 0; tag < 8; tag++) {
      let passed = 0;
      for (let i = 0; i < 5; i++) if (take(table, rule, 3, tag, 5000)) passed++;
      // 0 means a free row, so the tag 0 is written as 1.
      assert.equal(passed, tag === 1 ? 0 : 2, `tag ${tag}`);
    }
  });

  test('a full set forgets the key that is over first, then the one that is nearest to it, and counts only that', () => {
    const { table } = newTable();
    // Used up later and later: tag 10 is over first.
    for (let tag = 10; tag < 18; tag++) while (take(table, rule, 3, tag, 5000 + 100 * tag));
    assert.equal(table.evicted, 0);
    const laterMs = 5000 + 100 * 10 + 2100;
    assert.equal(take(table, rule, 3, 20, laterMs), true);
    assert.equal(table.evicted, 0, 'what is over is not missed');
    assert.equal(take(table, rule, 3, 21, laterMs), true);
    assert.equal(table.evicted, 1);
    // 11 was forgotten, 12 was not: it has got back one of its two.
    while (take(table, rule, 3, 17, laterMs));
    assert.equal(peek(table, rule, 3, 12, laterMs) && table.remaining, 0);
    assert.equal(peek(table, rule, 3, 11, laterMs) && table.remaining, 1);
  });

  test('whatever stands in the rows, no limit refuses for longer than it would by itself, and none passes more than its burst', () => {
    const random = new Prng(31);
    for (let round = 0; round < 300; round++) {
      const { table, i32, rows } = newTable();
      const nowMs = 1e6 + random.below(2 ** 31) * 1.5;
      const tick = (nowMs / 16) | 0;
      for (let at = rows; at < rows + 64 * LIMIT_STRIDE; at++) i32[at] = random.uint32();
      // A row that is in use for this key, with a state of somebody else.
      for (let row = rows; row < rows + 64 * LIMIT_STRIDE; row += LIMIT_STRIDE) {
        i32[row] = row === rows + 3 * 8 * LIMIT_STRIDE ? 7 : 5;
        i32[row + 1] = tick + random.below(1000);
      }
      const own = round % 2 === 0 ? bucket(10, 1000, 5) : sliding(5, 500);
      assert.ok(passes(table, own, 3, nowMs, 20) <= 5);
      assert.ok(passes(table, own, 3, nowMs + 1100, 20) <= 15);
      const afterMs = nowMs + 2_000_000;
      assert.equal(passes(table, own, 3, afterMs, 20), 5, 'it has healed');
    }
  });

  test('an unused table is empty also on a machine that has been up for years', () => {
    const { table } = newTable();
    for (const days of [300, 500, 800, 5000]) assert.equal(passes(table, rule, days, days * DAY_MS, 5), 2, `${days} days`);
    assert.equal(table.evicted, 0);
  });
});

test('numbers that cannot be kept are told', () => {
  const base = { algorithm: 'token-bucket', requests: 1, windowMs: 1000, burst: 1 } as const;
  assert.equal(limitProblem(base), null);
  assert.equal(limitProblem({ ...base, burst: BURST_MAX }), null);
  assert.match(limitProblem({ ...base, burst: BURST_MAX + 1 })!, /burst is at most/);
  assert.match(limitProblem({ ...base, burst: 0 })!, /at least 1/);
  assert.match(limitProblem({ ...base, requests: 0 })!, /at least one/);
  assert.equal(limitProblem({ ...base, algorithm: 'sliding-window', requests: WINDOW_REQUESTS_MAX }), null);
  assert.match(limitProblem({ ...base, algorithm: 'sliding-window', requests: WINDOW_REQUESTS_MAX + 1 })!, /at most/);
});

test('tables hash their keys by seeds of their own', () => {
  const layout = layoutOf({ ...sizes, limitRowsMax: 8 });
  const seeds = [1, 2, 3].flatMap((seed) => {
    const { setSeed, tagSeed } = new LimitTable(new Int32Array(layout.bytes / 4), layout, seed);
    return [setSeed, tagSeed];
  });
  assert.equal(new Set(seeds).size, 6);
});
