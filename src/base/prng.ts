/**
 * Prng: seeded random numbers, so that a choice, a test or a simulation can be replayed. Not for secrets.
 *
 * xoshiro128** 1.1 (Blackman and Vigna, https://prng.di.unimi.it/), state filled by splitmix32 steps over the seed.
 */
import { assert } from './assert.ts';
import { fmix32 } from './hash.ts';

export class Prng {
  private a: number;
  private b: number;
  private c: number;
  private d: number;

  /** The same seed (any integer, taken modulo 2^32) gives the same numbers. */
  constructor(seed: number) {
    // Steps of the golden ratio, mixed: fmix32 is a bijection, so at most one of the four words is 0, and the state is never all 0.
    this.a = fmix32((seed + 0x9e3779b9) | 0);
    this.b = fmix32((seed + 0x3c6ef372) | 0);
    this.c = fmix32((seed + 0xdaa66d2b) | 0);
    this.d = fmix32((seed + 0x78dde6e4) | 0);
  }

  /** With these four words as the state, not all 0: for the published vectors. */
  static fromState(a: number, b: number, c: number, d: number): Prng {
    assert((a | b | c | d) !== 0, 'the state is not all 0');
    const prng = new Prng(0);
    prng.a = a | 0;
    prng.b = b | 0;
    prng.c = c | 0;
    prng.d = d | 0;
    return prng;
  }

  /** Uniform over 0 .. 2^32 - 1. */
  uint32(): number {
    const times5 = Math.imul(this.b, 5);
    const result = Math.imul((times5 << 7) | (times5 >>> 25), 9);
    const shifted = this.b << 9;
    this.c ^= this.a;
    this.d ^= this.b;
    this.b ^= this.c;
    this.a ^= this.d;
    this.c ^= shifted;
    this.d = (this.d << 11) | (this.d >>> 21);
    return result >>> 0;
  }

  /** Uniform over 0 .. limit - 1, for a limit of 1 .. 2^32; no value is favoured. */
  below(limit: number): number {
    assert(limit >= 1 && limit <= 2 ** 32, 'a limit is between 1 and 2^32');
    // The last, incomplete run of `limit` values is drawn again.
    const end = 2 ** 32 - (2 ** 32 % limit);
    let drawn = this.uint32();
    while (drawn >= end) drawn = this.uint32();
    return drawn % limit;
  }

  /** Uniform over min .. max, both included. */
  between(min: number, max: number): number {
    return min + this.below(max - min + 1);
  }

  /** Uniform over 0 <= x < 1, in steps of 2^-32. */
  float(): number {
    return this.uint32() / 2 ** 32;
  }

  /** True in `percent` of 100 cases. */
  chance(percent: number): boolean {
    return this.float() * 100 < percent;
  }
}
