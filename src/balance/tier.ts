/**
 * Tier: the endpoints of a pool that may be given work now, with their weights: one for the ordinary ones, one for the backups.
 *
 * Who is ready and what it weighs changes seldom and is looked at only when the table's version says so; what is in flight changes all the time and is
 * read at each pick. Draws are by weight, without replacement: an endpoint left out is cut from the line of weights, not drawn again.
 *
 * Random numbers are 32 bits kept signed, and nothing between functions is a fraction: whether a call is inlined or not, no number is boxed.
 */
import type { TableReader } from '../state/doors.ts';
import { NONE } from './policy.ts';

/** 2^-32: makes a fraction below 1 of an unsigned 32-bit number. */
export const FRACTION = 2 ** -32;

/** Another random number from one: the finalizer of MurmurHash3, signed. */
export function mix(random: number): number {
  random = Math.imul(random ^ (random >>> 16), 0x85ebca6b);
  random = Math.imul(random ^ (random >>> 13), 0xc2b2ae35);
  return random ^ (random >>> 16);
}

export class Tier {
  /** Index in the pool view, by place. */
  readonly members: Int32Array;
  readonly slots: Int32Array;
  /** Configured weight times the percentage set at run time. All above 0. */
  readonly weights: Float64Array;
  /** Sum of the weights before each, and behind the last the sum of all. */
  readonly before: Float64Array;
  /** One divided by each weight: a multiplication is several times cheaper. */
  readonly inverses: Float64Array;
  readonly limits: Int32Array;
  count = 0;
  total = 0;
  /** All weights are the same. */
  isEven = true;
  /** Some endpoint has a limit. */
  isLimited = false;
  private readonly table: TableReader;

  constructor(table: TableReader, size: number) {
    this.table = table;
    this.members = new Int32Array(size);
    this.slots = new Int32Array(size);
    this.weights = new Float64Array(size);
    this.inverses = new Float64Array(size);
    this.before = new Float64Array(size + 1);
    this.limits = new Int32Array(size);
  }

  clear(): void {
    this.count = 0;
    this.total = 0;
    this.isEven = true;
    this.isLimited = false;
  }

  add(member: number, slot: number, weight: number, limit: number): void {
    const i = this.count++;
    this.members[i] = member;
    this.slots[i] = slot;
    this.weights[i] = weight;
    this.inverses[i] = 1 / weight;
    this.limits[i] = limit;
    this.total += weight;
    this.before[i + 1] = this.total;
    if (weight !== this.weights[0]) this.isEven = false;
    if (limit !== 0) this.isLimited = true;
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
    // The part of the line of weights that holds the point.
    let low = 0;
    let high = this.count - 1;
    while (low < high) {
      const middle = (low + high + 1) >>> 1;
      if (before[middle]! <= at) low = middle;
      else high = middle - 1;
    }
    return low;
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
