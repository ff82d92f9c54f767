import type { Blocks } from './blocks.ts';
import { LARGE_BYTES, NO_BLOCK, SMALL_BYTES } from './blocks.ts';

/**
 * Bytes a decoder has not consumed yet (an incomplete head), kept together until more arrive. Holds one block, and only while there is something to
 * keep: a small one as long as that will do, since many clients may stop in the middle of a head. Owner: one connection.
 */
export class Carry {
  block = NO_BLOCK;
  start = 0;
  end = 0;
  private readonly blocks: Blocks;

  constructor(blocks: Blocks) {
    this.blocks = blocks;
  }

  get isEmpty(): boolean {
    return this.block === NO_BLOCK;
  }

  /**
   * Appends as much of bytes[from, to) as fits. Returns how many bytes were taken; 0 when the block is full, -1 when no block was free.
   */
  append(from: number, to: number): number {
    const { blocks } = this;
    const size = to - from;
    if (this.block === NO_BLOCK) {
      if (!this.take(size)) return -1;
      this.start = this.end = blocks.start(this.block);
    } else if (size > this.room && blocks.size(this.block) < LARGE_BYTES && !this.grow()) return -1;
    const count = Math.min(this.room, size);
    if (count > 0) {
      blocks.bytes.copyWithin(this.end, from, from + count);
      this.end += count;
    }
    return count;
  }

  /** `count` bytes from the front are done. What is left moves to a fresh block: others may still hold pieces of this one. */
  consume(count: number): boolean {
    this.start += count;
    if (this.start === this.end) {
      this.clear();
      return true;
    }
    if (count === 0) return true;
    const { block, start, end } = this;
    this.block = NO_BLOCK;
    const kept = this.append(start, end);
    this.blocks.release(block);
    return kept >= 0;
  }

  /** Bytes that still fit. */
  private get room(): number {
    const { blocks, block, end } = this;
    return blocks.start(block) + blocks.size(block) - end;
  }

  private take(size: number): boolean {
    const { blocks } = this;
    this.block = blocks.take(Math.min(size, LARGE_BYTES));
    if (this.block === NO_BLOCK && size <= SMALL_BYTES) this.block = blocks.takeLarge();
    return this.block !== NO_BLOCK;
  }

  /** Moves what is kept to a large block. */
  private grow(): boolean {
    const { blocks, block, start, end } = this;
    const large = blocks.takeLarge();
    if (large === NO_BLOCK) return false;
    this.block = large;
    this.start = blocks.start(large);
    this.end = this.start + (end - start);
    blocks.bytes.copyWithin(this.start, start, end);
    blocks.release(block);
    return true;
  }

  clear(): void {
    if (this.block === NO_BLOCK) return;
    this.blocks.release(this.block);
    this.block = NO_BLOCK;
    this.start = this.end = 0;
  }
}
