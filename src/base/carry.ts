import type { Blocks } from './blocks.ts';
import { LARGE_BYTES, NO_BLOCK } from './blocks.ts';

/**
 * Bytes a decoder has not consumed yet (an incomplete head), kept together until more arrive. Holds one large block, and only while
 * there is something to keep. Owner: one connection.
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
    if (this.block === NO_BLOCK) {
      const block = blocks.takeLarge();
      if (block === NO_BLOCK) return -1;
      this.block = block;
      this.start = this.end = blocks.start(block);
    }
    const room = blocks.start(this.block) + LARGE_BYTES - this.end;
    const count = Math.min(room, to - from);
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

  clear(): void {
    if (this.block === NO_BLOCK) return;
    this.blocks.release(this.block);
    this.block = NO_BLOCK;
    this.start = this.end = 0;
  }
}
