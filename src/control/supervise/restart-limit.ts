/**
 * Restart limit: when the successor of a dead worker may start. Pure: times are arguments, in ms of one clock.
 *
 * A worker that has served is replaced at once, as long as there is credit: a kill, or a bug met once a minute, costs only its connections.
 * A worker that dies before it serves, or too often, waits 1, 2, 4 ... 30 s, so that a crash loop does not eat the machine.
 */

/** Replacements at once in a row. */
export const CREDIT_MAX = 5;
/** One is given back in this time. */
export const CREDIT_MS = 10_000;
export const BACK_OFF_MIN_MS = 1000;
export const BACK_OFF_MAX_MS = 30_000;
/** A worker that lived so long ends the doubling. */
export const SETTLED_MS = 60_000;

export class RestartLimit {
  private credit = CREDIT_MAX;
  private creditAt: number | null = null;
  private backOffMs = BACK_OFF_MIN_MS;

  /** A worker died at `nowMs` that had been started `livedMs` before. Returns how long to wait before its successor is started. */
  died(nowMs: number, livedMs: number, hasServed: boolean): number {
    if (this.creditAt === null) this.creditAt = nowMs;
    const earned = Math.floor((nowMs - this.creditAt) / CREDIT_MS);
    this.credit = Math.min(CREDIT_MAX, this.credit + earned);
    this.creditAt += earned * CREDIT_MS;
    if (livedMs >= SETTLED_MS) this.backOffMs = BACK_OFF_MIN_MS;
    if (hasServed && this.credit > 0) {
      this.credit--;
      return 0;
    }
    const wait = this.backOffMs;
    this.backOffMs = Math.min(BACK_OFF_MAX_MS, wait * 2);
    return wait;
  }
}
