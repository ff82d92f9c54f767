/** Runs: the places of a tier in order of their weights, cut where the weight changes: within a run the fewest requests are the least load. */
import { assert } from '../base/assert.ts';
import { fewest } from '../state/doors.ts';
import type { Tier } from './tier.ts';

/** Above every place, as many as the table has slots: a weight and a place make one number that sorts by both. */
export const PLACES_MAX = 2 ** 14;

export class Runs {
  length = 0;
  /** Where each begins in the order; behind the last stands where it ends. */
  readonly starts: Int32Array;
  /** By run, the heaviest first. */
  readonly weights: Float64Array;
  readonly inverses: Float64Array;
  /** Places in the tier, and their slots, in order. */
  readonly places: Int32Array;
  readonly slots: Int32Array;
  /** Used within make(). */
  private readonly keys: Float64Array;

  /** `size`: endpoints of the pool view. */
  constructor(size: number) {
    assert(size <= PLACES_MAX, 'a pool has no more endpoints than the table has slots');
    this.starts = new Int32Array(size + 1);
    this.weights = new Float64Array(size);
    this.inverses = new Float64Array(size);
    this.places = new Int32Array(size);
    this.slots = new Int32Array(size);
    this.keys = new Float64Array(size);
  }

  /** Of the tier as it is now. Allocates nothing. */
  make(tier: Tier): void {
    const { keys, places, slots, starts, weights, inverses } = this;
    const { count } = tier;
    for (let i = 0; i < count; i++) keys[i] = i - tier.weights[i]! * PLACES_MAX;
    keys.fill(Number.POSITIVE_INFINITY, count);
    if (!tier.isEven) keys.sort();
    this.length = 0;
    for (let i = 0; i < count; i++) {
      const place = keys[i]! - Math.floor(keys[i]! / PLACES_MAX) * PLACES_MAX;
      const weight = tier.weights[place]!;
      places[i] = place;
      slots[i] = tier.slots[place]!;
      const last = this.length - 1;
      if (last >= 0 && weights[last] === weight && i - starts[last]! < fewest.runMax) continue;
      starts[this.length] = i;
      weights[this.length] = weight;
      inverses[this.length] = tier.inverses[place]!;
      this.length++;
    }
    starts[this.length] = count;
  }
}
