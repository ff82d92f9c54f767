/** Recent: how many ends of one endpoint were good, bad and hard within the last window, counted in buckets of a tenth of it. */

/** Of a window. What is older than the window is forgotten with an error of one bucket at most. */
export const BUCKETS = 10;
/** Good, bad, hard. */
const KINDS = 3;

export class Recent {
  readonly bucketMs: number;
  good = 0;
  /** Faults of the endpoint and every 5xx. */
  bad = 0;
  /** Of the bad: faults, 502, 503 and 504. */
  hard = 0;
  private readonly counts = new Float64Array(BUCKETS * KINDS);
  /** Number of the newest bucket, counted from the start of time. */
  private newest = 0;

  constructor(windowMs: number) {
    this.bucketMs = windowMs / BUCKETS;
  }

  /** Forgets what has left the window. Times do not go back. */
  advance(nowMs: number): void {
    const to = Math.floor(nowMs / this.bucketMs);
    if (to === this.newest) return;
    const { counts } = this;
    for (let bucket = Math.max(this.newest + 1, to - BUCKETS + 1); bucket <= to; bucket++) {
      const at = (bucket % BUCKETS) * KINDS;
      this.good -= counts[at]!;
      this.bad -= counts[at + 1]!;
      this.hard -= counts[at + 2]!;
      counts[at] = counts[at + 1] = counts[at + 2] = 0;
    }
    this.newest = to;
  }

  /** Into the bucket that was advanced to. */
  add(good: number, bad: number, hard: number): void {
    const { counts } = this;
    const at = (this.newest % BUCKETS) * KINDS;
    counts[at]! += good;
    counts[at + 1]! += bad;
    counts[at + 2]! += hard;
    this.good += good;
    this.bad += bad;
    this.hard += hard;
  }

  clear(): void {
    this.counts.fill(0);
    this.good = this.bad = this.hard = 0;
  }

  /** Share of ends that failed, 0..1; NaN: none ended. */
  share(isHard: boolean): number {
    return (isHard ? this.hard : this.bad) / (this.good + this.bad);
  }
}
