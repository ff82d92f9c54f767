/** Buckets of every time histogram: the bounds of the metrics, in ms here and in seconds there. */

/** Upper bounds in ms, each inclusive; the last bucket is what is above. */
export const bucketBoundsMs: readonly number[] = [0.5, 1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000, 30000];

/** Bucket of a time, 0..15: the bounds as a tree of four comparisons, because this runs several times an exchange. */
export function bucketOf(ms: number): number {
  if (ms <= 100) {
    if (ms <= 5) {
      if (ms <= 1) return ms <= 0.5 ? 0 : 1;
      return ms <= 2.5 ? 2 : 3;
    }
    if (ms <= 25) return ms <= 10 ? 4 : 5;
    return ms <= 50 ? 6 : 7;
  }
  if (ms <= 2500) {
    if (ms <= 500) return ms <= 250 ? 8 : 9;
    return ms <= 1000 ? 10 : 11;
  }
  if (ms <= 10000) return ms <= 5000 ? 12 : 13;
  return ms <= 30000 ? 14 : 15;
}
