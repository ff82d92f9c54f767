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
 * median round is free of both, or that of a later try.
 */
export function assertNoAllocation(pick: (times: number) => void, what: string): void {
  let median = medianOfRounds(pick);
  // One boxed number a pick would be 60,000; the measurement itself takes some hundreds.
  for (let tries = 1; median >= 2000 && tries < 5; tries++) median = medianOfRounds(pick);
  assert.ok(median < 2000, `${median} bytes in ${TIMES} picks${what}`);
}

/** Bytes that a round leaves, after a warm-up. */
function medianOfRounds(pick: (times: number) => void): number {
  pick(20 * TIMES);
  const rounds = Array.from({ length: ROUNDS }, () => {
    const before = process.memoryUsage().heapUsed;
    pick(TIMES);
    return process.memoryUsage().heapUsed - before;
  });
  return rounds.sort((a, b) => a - b)[ROUNDS >> 1]!;
}
