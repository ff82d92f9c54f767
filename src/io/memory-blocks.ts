/** memory-blocks: an arena that watches its users: a block given back is overwritten, so that whoever still reads it reads garbage. */
import { assert } from '../base/assert.ts';
import { arenaBytes, Blocks, NO_BLOCK } from '../base/blocks.ts';

/** What a block holds while nobody holds it: not text, not a length, not zero. */
export const POISON = 0xdb;

export class WatchedBlocks extends Blocks {
  /** The take that fails next: 1 is the next one, 0 none. */
  failIn = 0;
  private readonly holders: Int32Array;

  constructor(largeCount: number, smallCount: number, bytes: Uint8Array = new Uint8Array(arenaBytes(largeCount, smallCount))) {
    super(bytes, largeCount, smallCount);
    this.holders = new Int32Array(largeCount + smallCount);
  }

  override takeLarge(): number {
    return this.taken(this.mustFail() ? NO_BLOCK : super.takeLarge());
  }
  override takeSmall(): number {
    return this.taken(this.mustFail() ? NO_BLOCK : super.takeSmall());
  }
  override retain(block: number): void {
    assert(this.holders[block]! > 0, 'a block is retained while somebody holds it');
    this.holders[block]!++;
    super.retain(block);
  }
  override release(block: number): void {
    assert(this.holders[block]! > 0, 'a block is released once per holder');
    if (--this.holders[block]! === 0) this.bytes.fill(POISON, this.start(block), this.start(block) + this.size(block));
    super.release(block);
  }

  private taken(block: number): number {
    if (block !== NO_BLOCK) this.holders[block] = 1;
    return block;
  }
  private mustFail(): boolean {
    return this.failIn > 0 && --this.failIn === 0;
  }
}
