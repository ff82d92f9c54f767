/**
 * Tier: endpoints of a pool that may be given work now, with their weights.
 *
 * Draws are by weight, without replacement: an endpoint left out is cut from the line of weights, not drawn again.
 *
 * Random numbers are 32 bits kept signed, and nothing between functions is a fraction: whether a call is inlined or not, no number is boxed.
 */
import type { TableReader } from '../state/doors.ts';
import { NONE } from './policy.ts';
import { RAMP_PARTS } from './ramp.ts';

/** 2^-32: makes a fraction below 1 of an unsigned 32-bit number. */
export const FRACTION = 2 ** -32;
/** Makes the question whether a warming endpoint accepts a key another one than where the key lives. */
const RAMP_SALT = 0x165667b1;

/** Another random number from one: the finalizer of MurmurHash3, signed. */
export function mix(random: number): number {
  random = Math.imul(random ^ (random >>> 16), 0x85ebca6b);
  random = Math.imul(random ^ (random >>> 13), 0xc2b2ae35);
  return random ^ (random >>> 16);
}

export class Tier {
  /** Index in the pool view, by place. */
  readonly members: Int32Array;
  /** Place by index in the pool view, or NONE. */
  readonly places: Int32Array;
  readonly slots: Int32Array;
  /** Configured weight times the percentage set at run time times the ramp. Whole numbers above 0. */
  readonly weights: Float64Array;
  /** Sum of the weights before each, and behind the last the sum of all. */
  readonly before: Float64Array;
  /** One divided by each weight: a multiplication is several times cheaper. */
  readonly inverses: Float64Array;
  readonly limits: Int32Array;
  /** Ramp relative to the largest in the tier, in parts of RAMP_PARTS. */
  readonly ramps: Uint8Array;
  count = 0;
  total = 0;
  /** Mean weight. */
  mean = 0.5;
  /** All weights are the same. */
  isEven = true;
  /** Some endpoint has a limit. */
  isLimited = false;
  /** Some ramp is not whole. */
  isWarming = false;
  private readonly table: TableReader;
  /**
   * The line of weights cut into even parts, at least two a place: the place in which each part begins (Chen and Asau's guide table, 1974). A draw looks there and
   * goes on by half a step on average, where a binary search would mispredict every other of its branches.
   */
  private readonly guide: Int32Array;
  private partsPerWeight = 0.5;

  /** `size`: endpoints of the pool view. */
  constructor(table: TableReader, size: number) {
    this.table = table;
    this.members = new Int32Array(size);
    this.places = new Int32Array(size).fill(NONE);
    this.slots = new Int32Array(size);
    this.weights = new Float64Array(size);
    this.inverses = new Float64Array(size);
    this.before = new Float64Array(size + 1);
    this.limits = new Int32Array(size);
    this.ramps = new Uint8Array(size);
    this.guide = new Int32Array(2 * size + 1);
  }

  clear(): void {
    this.count = 0;
    this.total = 0;
    this.isEven = true;
    this.isLimited = false;
    this.isWarming = false;
    this.places.fill(NONE);
  }

  /** `weight` without the ramp. Call {@link close} after the last. */
  add(member: number, slot: number, weight: number, limit: number, ramp: number): void {
    const i = this.count++;
    const ramped = weight * ramp;
    this.members[i] = member;
    this.places[member] = i;
    this.slots[i] = slot;
    this.weights[i] = ramped;
    this.inverses[i] = 1 / ramped;
    this.limits[i] = limit;
    this.ramps[i] = ramp;
    this.total += ramped;
    this.before[i + 1] = this.total;
    if (ramped !== this.weights[0]) this.isEven = false;
    if (limit !== 0) this.isLimited = true;
    if (ramp !== RAMP_PARTS) this.isWarming = true;
  }

  close(): void {
    const { before, count, guide } = this;
    this.mean = this.total / count;
    if (this.isEven) return;
    const parts = 2 * count;
    this.partsPerWeight = parts / this.total;
    let place = 0;
    for (let part = 0; part <= parts; part++) {
      const at = part / this.partsPerWeight;
      while (place < count - 1 && before[place + 1]! <= at) place++;
      guide[part] = place;
    }
  }

  /** Place of a slot in this tier, NONE when it is not in it. */
  placeOf(slot: number): number {
    const { slots, count } = this;
    for (let i = 0; i < count; i++) if (slots[i] === slot) return i;
    return NONE;
  }

  isFull(place: number): boolean {
    const limit = this.limits[place]!;
    return limit !== 0 && this.table.inFlight(this.slots[place]!) >= limit;
  }

  /**
   * Does a place that may be warming take a key? `keyed` is a hash of the key and the endpoint: as the ramp grows it takes what it took and more, so each key
   * comes home once.
   */
  accepts(place: number, keyed: number): boolean {
    return (mix(keyed ^ RAMP_SALT) >>> 0) * FRACTION * RAMP_PARTS < this.ramps[place]!;
  }

  /** Draws a place by weight, leaving out one place (or NONE); the tier has another one. */
  draw(random: number, except: number): number {
    const fraction = (random >>> 0) * FRACTION;
    if (this.isEven) {
      if (except === NONE) return (fraction * this.count) | 0;
      const place = (fraction * (this.count - 1)) | 0;
      return place >= except ? place + 1 : place;
    }
    const { before } = this;
    let at = fraction * this.total;
    if (except !== NONE) {
      const width = this.weights[except]!;
      at = fraction * (this.total - width);
      if (at >= before[except]!) at += width;
    }
    const last = this.count - 1;
    let place = this.guide[(at * this.partsPerWeight) | 0]!;
    while (place < last && before[place + 1]! <= at) place++;
    return place;
  }

  /** Draws by weight among the places that are not full, leaving out two (or NONE). NONE when there is none. Walks the tier: for retries and full endpoints. */
  drawUsable(random: number, except: number, other: number): number {
    const { count, weights } = this;
    let total = 0;
    for (let i = 0; i < count; i++) if (i !== except && i !== other && !this.isFull(i)) total += weights[i]!;
    if (total === 0) return NONE;
    let at = (random >>> 0) * FRACTION * total;
    let last = NONE;
    for (let i = 0; i < count; i++) {
      if (i === except || i === other || this.isFull(i)) continue;
      last = i;
      at -= weights[i]!;
      if (at < 0) return i;
    }
    return last;
  }
}
