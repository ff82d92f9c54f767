/**
 * Blocks: the fixed arena of one process, cut into blocks of two sizes that are counted, never grown.
 *
 * A block is a number. Who takes one holds it once; retain() and release() count further holders; at zero it goes back on top
 * of its free list, so the block used next is the one still warm in the cache. Untouched blocks cost no memory: the arena is mapped lazily.
 */
import { assert } from './assert.ts';

/** For heads, small answers, log lines. */
export const SMALL_BYTES = 4 * 1024;
/** For receiving, bodies, heads at the limit. */
export const LARGE_BYTES = 64 * 1024;
/**
 * Distance between blocks: some cache lines more than their size, so that the first lines of all blocks do not fall into the same
 * sets of the caches (a stride of 64 KiB leaves one set of 16 ways in a 1 MiB L2).
 */
export const SMALL_STRIDE = SMALL_BYTES + 64;
export const LARGE_STRIDE = LARGE_BYTES + 9 * 64;
/** So the kernel may be lent a large block with so many bytes more: what precedes a received datagram of full length. */
export const LARGE_SLACK = 64;
/** No block was free. */
export const NO_BLOCK = -1;

/** Bytes an arena of so many blocks takes. */
export function arenaBytes(largeCount: number, smallCount: number): number {
  return largeCount * LARGE_STRIDE + smallCount * SMALL_STRIDE;
}

export class Blocks {
  readonly bytes: Uint8Array;
  readonly largeCount: number;
  readonly smallCount: number;
  private readonly refs: Int32Array;
  private readonly free: Int32Array;
  private largeFree: number;
  private smallFree: number;

  /** `bytes` must hold arenaBytes(largeCount, smallCount). largeCount + smallCount <= 65536: numbers fit the ring's 16-bit buffer id. */
  constructor(bytes: Uint8Array, largeCount: number, smallCount: number) {
    assert(largeCount + smallCount <= 65536, 'block numbers have 16 bits');
    assert(bytes.length >= arenaBytes(largeCount, smallCount), 'the arena holds its blocks');
    this.bytes = bytes;
    this.largeCount = largeCount;
    this.smallCount = smallCount;
    this.refs = new Int32Array(largeCount + smallCount);
    // Free lists as two stacks in one array: large numbers in the first part, small ones behind.
    this.free = new Int32Array(largeCount + smallCount);
    for (let i = 0; i < largeCount; i++) this.free[i] = largeCount - 1 - i;
    for (let i = 0; i < smallCount; i++) this.free[largeCount + i] = largeCount + smallCount - 1 - i;
    this.largeFree = largeCount;
    this.smallFree = smallCount;
  }

  /** First byte of a block in {@link bytes}. */
  start(block: number): number {
    const { largeCount } = this;
    return block < largeCount ? block * LARGE_STRIDE : largeCount * LARGE_STRIDE + (block - largeCount) * SMALL_STRIDE;
  }
  size(block: number): number {
    return block < this.largeCount ? LARGE_BYTES : SMALL_BYTES;
  }

  /** A large block with one holder, or NO_BLOCK. */
  takeLarge(): number {
    if (this.largeFree === 0) return NO_BLOCK;
    const block = this.free[--this.largeFree]!;
    this.refs[block] = 1;
    return block;
  }
  /** A small block with one holder, or NO_BLOCK. */
  takeSmall(): number {
    if (this.smallFree === 0) return NO_BLOCK;
    const block = this.free[this.largeCount + --this.smallFree]!;
    this.refs[block] = 1;
    return block;
  }
  /** A block of at least `size` bytes (at most LARGE_BYTES), or NO_BLOCK. */
  take(size: number): number {
    return size <= SMALL_BYTES ? this.takeSmall() : this.takeLarge();
  }

  retain(block: number): void {
    this.refs[block]!++;
  }
  release(block: number): void {
    const left = --this.refs[block]!;
    if (left > 0) return;
    assert(left === 0, 'a block is released once per holder');
    if (block < this.largeCount) this.free[this.largeFree++] = block;
    else this.free[this.largeCount + this.smallFree++] = block;
  }

  /** For gauges and the leak guard of tests. */
  get largeAvailable(): number {
    return this.largeFree;
  }
  get smallAvailable(): number {
    return this.smallFree;
  }
}
