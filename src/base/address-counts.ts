/**
 * address-counts: how many connections or sessions each client address has. Open addressing with numbers as keys: nothing is allocated for an address, and a place left free is filled at once.
 */
import { assert } from './assert.ts';
import type { ClientAddress } from './client-address.ts';

const PLACES_MIN = 512;
/** Four words of the address, the count (0 = empty). IPv4 is kept as IPv4-mapped IPv6, apart from all other addresses. */
const STRIDE = 5;

export class AddressCounts {
  /** Addresses that have some. */
  count: number;
  private readonly seed: number;
  private rows: Int32Array;
  private mask: number;

  /** `seed`: random, so that nobody can choose addresses that meet. */
  constructor(seed: number) {
    this.seed = seed;
    this.rows = new Int32Array(PLACES_MIN * STRIDE);
    this.mask = PLACES_MIN - 1;
    this.count = 0;
  }

  of(address: ClientAddress): number {
    return this.rows[this.find(address) * STRIDE + 4]!;
  }

  /** Counts one more; false, counting nothing, when the address has `max` already (0 = no limit). */
  add(address: ClientAddress, max: number): boolean {
    let place = this.find(address);
    if (max > 0 && this.rows[place * STRIDE + 4]! >= max) return false;
    if (this.rows[place * STRIDE + 4] === 0) {
      if (this.count * 2 > this.mask) {
        this.grow();
        place = this.find(address);
      }
      this.count++;
      const at = place * STRIDE;
      this.rows[at] = address.word0;
      this.rows[at + 1] = address.word1;
      this.rows[at + 2] = middleOf(address);
      this.rows[at + 3] = address.word3;
    }
    this.rows[place * STRIDE + 4]! += 1;
    return true;
  }

  /** Counts one less of an address that has some. */
  remove(address: ClientAddress): void {
    const { rows, mask } = this;
    let hole = this.find(address);
    const left = rows[hole * STRIDE + 4]! - 1;
    // Below zero, `count` would say that there is room where there is none, and find() would look for it for ever.
    assert(left >= 0, 'an address is counted off as often as it was counted');
    rows[hole * STRIDE + 4] = left;
    if (left > 0) return;
    this.count--;
    for (let place = (hole + 1) & mask; rows[place * STRIDE + 4] !== 0; place = (place + 1) & mask) {
      const home = this.homeOf(place);
      if (((place - home) & mask) < ((place - hole) & mask)) continue;
      rows.copyWithin(hole * STRIDE, place * STRIDE, place * STRIDE + STRIDE);
      hole = place;
    }
    rows[hole * STRIDE + 4] = 0;
  }

  /** Its place, or the empty one where it belongs. */
  private find(address: ClientAddress): number {
    const { rows, mask } = this;
    const middle = middleOf(address);
    let place = this.hash(address.word0, address.word1, middle, address.word3) & mask;
    for (; ; place = (place + 1) & mask) {
      const at = place * STRIDE;
      if (rows[at + 4] === 0) return place;
      if (
        rows[at + 3] === address.word3 &&
        rows[at + 2] === middle &&
        rows[at + 1] === address.word1 &&
        rows[at] === address.word0
      )
        return place;
    }
  }

  private homeOf(place: number): number {
    const { rows } = this;
    const at = place * STRIDE;
    return this.hash(rows[at]!, rows[at + 1]!, rows[at + 2]!, rows[at + 3]!) & this.mask;
  }

  private hash(a: number, b: number, c: number, d: number): number {
    let h = Math.imul(this.seed ^ a, 0x9e3779b1);
    h = Math.imul(h ^ (h >>> 15) ^ b, 0x85ebca6b);
    h = Math.imul(h ^ (h >>> 13) ^ c, 0xc2b2ae35);
    h = Math.imul(h ^ (h >>> 16) ^ d, 0x9e3779b1);
    return h ^ (h >>> 15);
  }

  private grow(): void {
    const old = this.rows;
    const places = (this.mask + 1) * 2;
    this.rows = new Int32Array(places * STRIDE);
    this.mask = places - 1;
    for (let at = 0; at < old.length; at += STRIDE) {
      if (old[at + 4] === 0) continue;
      let place = this.hash(old[at]!, old[at + 1]!, old[at + 2]!, old[at + 3]!) & this.mask;
      while (this.rows[place * STRIDE + 4] !== 0) place = (place + 1) & this.mask;
      this.rows.set(old.subarray(at, at + STRIDE), place * STRIDE);
    }
  }
}

function middleOf({ family, word2 }: ClientAddress): number {
  return family === 4 ? 0xffff : word2;
}
