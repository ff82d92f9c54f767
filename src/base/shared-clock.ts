/**
 * The clock that all processes of a machine share: CLOCK_MONOTONIC in ms. Times in the state table that more than one process reads are of this clock;
 * performance.now() counts from the start of its own process.
 */
export function sharedClockMs(): number {
  return performance.now() + OFFSET_MS;
}

const OFFSET_MS = Number(process.hrtime.bigint()) / 1e6 - performance.now();

/** What has to be added to performance.now() of this process. */
export const sharedClockOffsetMs = OFFSET_MS;
