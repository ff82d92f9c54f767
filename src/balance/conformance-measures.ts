/** What the suites measure picks by. */
import assert from 'node:assert/strict';

/** Each share is within `stray` (of all) of its weight's. */
export function assertSharesWithin(stray: number, counts: readonly number[], weights: readonly number[]): void {
  const total = counts.reduce((a, b) => a + b, 0);
  const weight = weights.reduce((a, b) => a + b, 0);
  counts.forEach((count, i) => {
    const off = Math.abs(count / total - weights[i]! / weight);
    assert.ok(off <= stray, `endpoint ${i}: ${count} of ${total}, weights ${weights}`);
    if (weights[i] === 0) assert.equal(count, 0);
  });
}

const ROUNDS = 31;
const TIMES = 5000;

/**
 * Asserts that TIMES picks leave nothing on the heap. The optimising compiler comes on its own time and allocates for itself, and now and then the collector runs: the
 * median round is free of both.
 */
export function assertNoAllocation(pick: (times: number) => void, what: string): void {
  pick(20 * TIMES);
  const rounds = Array.from({ length: ROUNDS }, () => {
    const before = process.memoryUsage().heapUsed;
    pick(TIMES);
    return process.memoryUsage().heapUsed - before;
  });
  const median = rounds.sort((a, b) => a - b)[ROUNDS >> 1]!;
  // One boxed number a pick would be 60,000; the measurement itself takes some hundreds.
  assert.ok(median < 2000, `${median} bytes in ${TIMES} picks${what}`);
}
