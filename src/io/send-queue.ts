/**
 * send-queue: what the wires of one engine have queued, as chains of pieces in shared arrays: a wire that sends nothing costs nothing.
 *
 * A piece is bytes [start, end) of a block, which it holds. A chain is its first and last piece, kept by the wire.
 */
import { assert } from '../base/assert.ts';
import type { Blocks } from '../base/blocks.ts';

/** No piece: what `first` and `last` of an empty chain are. */
export const NO_PIECE = -1;
const PIECES_MIN = 256;
/** Pieces of one process. A wire queues a handful; the arena has at most 65,536 blocks. */
const PIECES_MAX = 2 ** 20;

export class SendQueue {
  readonly blocks: Blocks;
  block: Int32Array;
  start: Int32Array;
  end: Int32Array;
  next: Int32Array;
  private free: number;

  constructor(blocks: Blocks) {
    this.blocks = blocks;
    this.block = new Int32Array(0);
    this.start = new Int32Array(0);
    this.end = new Int32Array(0);
    this.next = new Int32Array(0);
    this.free = NO_PIECE;
    this.grow(PIECES_MIN);
  }

  /** Adds a piece behind `last` (NO_PIECE: a new chain) and returns the last piece, which is `last` itself when the bytes follow its own. */
  add(last: number, block: number, start: number, end: number): number {
    if (last !== NO_PIECE && this.block[last] === block && this.end[last] === start) {
      this.end[last] = end;
      return last;
    }
    if (this.free === NO_PIECE) this.grow(this.next.length * 2);
    const piece = this.free;
    this.free = this.next[piece]!;
    this.blocks.retain(block);
    this.block[piece] = block;
    this.start[piece] = start;
    this.end[piece] = end;
    this.next[piece] = NO_PIECE;
    if (last !== NO_PIECE) this.next[last] = piece;
    return piece;
  }

  /** Takes `count` bytes off the chain that begins with `first`; returns its new first piece, NO_PIECE when it is empty. */
  take(first: number, count: number): number {
    while (first !== NO_PIECE) {
      const length = this.end[first]! - this.start[first]!;
      if (count < length) {
        this.start[first]! += count;
        return first;
      }
      count -= length;
      first = this.drop(first);
    }
    assert(count === 0, 'no more is taken than was queued');
    return NO_PIECE;
  }

  /** Gives back a whole chain. */
  clear(first: number): void {
    while (first !== NO_PIECE) first = this.drop(first);
  }

  /** Gives back one piece; returns the one behind it. */
  private drop(piece: number): number {
    const next = this.next[piece]!;
    this.blocks.release(this.block[piece]!);
    this.next[piece] = this.free;
    this.free = piece;
    return next;
  }

  private grow(length: number): void {
    assert(length <= PIECES_MAX, 'there are at most PIECES_MAX pieces queued');
    const from = this.next.length;
    this.block = widen(this.block, length);
    this.start = widen(this.start, length);
    this.end = widen(this.end, length);
    this.next = widen(this.next, length);
    for (let piece = from; piece < length; piece++) this.next[piece] = piece + 1 < length ? piece + 1 : this.free;
    this.free = from;
  }
}

function widen(from: Int32Array, length: number): Int32Array {
  const to = new Int32Array(length);
  to.set(from);
  return to;
}
