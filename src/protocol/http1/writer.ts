/**
 * Turns the heads, body pieces and ends of one direction into sends on a wire. It owns one small block at a time: heads, chunk framing and
 * short pieces are written there side by side, so that they leave as one segment; long pieces go by reference, uncopied.
 */
import type { Blocks } from '../../base/blocks.ts';
import { LARGE_BYTES, NO_BLOCK } from '../../base/blocks.ts';
import type { Head } from '../../base/head.ts';
import type { Wire } from '../../base/wire.ts';
import { CHUNK_HEAD_BYTES_MAX, encodeChunkHead, encodeLastChunk, encodeRequestHead, encodeResponseHead } from './encode.ts';

/** Pieces up to this size are copied behind what stands in the block: cheaper than one more segment in the call to the kernel. */
const COPY_BYTES_MAX = 2048;
/**
 * While the reader is slow, longer pieces are copied too: a piece sent by reference pins the large block it came in, and many short ones would pin far more memory
 * than they are long.
 */
const PACK_BYTES_MAX = 8192;
/** What a head may grow by beyond its own bytes: Host, framing, Connection. */
const HEAD_EXTRA_BYTES = 192;

export class Http1Writer {
  /** The body now being written is chunked. */
  chunked = false;
  private isFirstChunk = true;
  private block = NO_BLOCK;
  private at = 0;
  private limit = 0;
  private readonly blocks: Blocks;

  constructor(blocks: Blocks) {
    this.blocks = blocks;
  }

  /** False when the head does not fit or no block is free; nothing was sent then. */
  requestHead(wire: Wire, head: Head, upgrade: boolean, keepAlive: boolean, chunked: boolean): boolean {
    if (!this.reserve(head.used + HEAD_EXTRA_BYTES)) return false;
    let end = encodeRequestHead(head, this.blocks.bytes, this.at, this.limit, upgrade, keepAlive);
    if (end < 0) {
      if (!this.reserve(LARGE_BYTES)) return false;
      end = encodeRequestHead(head, this.blocks.bytes, this.at, this.limit, upgrade, keepAlive);
      if (end < 0) return false;
    }
    this.push(wire, end);
    this.chunked = chunked;
    this.isFirstChunk = true;
    return true;
  }

  /** As requestHead. `framing` as in base/head.ts. */
  responseHead(wire: Wire, head: Head, framing: number, keepAlive: boolean, version: number, chunked: boolean): boolean {
    // A response is lent in the block it arrived in, and what was appended may stand far from it: its size says what to reserve.
    if (!this.reserve(head.size + HEAD_EXTRA_BYTES + 512)) return false;
    let end = encodeResponseHead(head, this.blocks.bytes, this.at, this.limit, framing, keepAlive, version);
    if (end < 0) {
      if (!this.reserve(LARGE_BYTES)) return false;
      end = encodeResponseHead(head, this.blocks.bytes, this.at, this.limit, framing, keepAlive, version);
      if (end < 0) return false;
    }
    this.push(wire, end);
    this.chunked = chunked;
    this.isFirstChunk = true;
    return true;
  }

  /** One piece of the body. False when no block was free for the framing: the message cannot go on. */
  body(wire: Wire, block: number, start: number, end: number): boolean {
    const size = end - start;
    if (this.chunked) {
      if (!this.reserve(CHUNK_HEAD_BYTES_MAX)) return false;
      this.push(wire, encodeChunkHead(size, this.isFirstChunk, this.blocks.bytes, this.at));
      this.isFirstChunk = false;
    }
    const isSlow = wire.queued > COPY_BYTES_MAX;
    if (
      size <= (isSlow ? PACK_BYTES_MAX : COPY_BYTES_MAX) &&
      (this.limit - this.at >= size || (isSlow && this.reserve(LARGE_BYTES)))
    ) {
      this.blocks.bytes.copyWithin(this.at, start, end);
      this.push(wire, this.at + size);
    } else wire.send(block, start, end);
    return true;
  }

  /** Bytes of a tunnel. Between pieces no block is held, unless the reader is slow. */
  raw(wire: Wire, block: number, start: number, end: number): void {
    if (wire.queued === 0) {
      this.drop();
      wire.send(block, start, end);
    } else this.body(wire, block, start, end);
  }

  /** Ends the body, with the trailers when it is chunked. False as in body(). */
  end(wire: Wire, trailers: Head | null): boolean {
    if (this.chunked) {
      const size = CHUNK_HEAD_BYTES_MAX + (trailers === null ? 0 : trailers.used + 64);
      if (!this.reserve(size)) return false;
      const end = encodeLastChunk(trailers, this.isFirstChunk, this.blocks.bytes, this.at, this.limit);
      if (end < 0) return false;
      this.push(wire, end);
      this.chunked = false;
    }
    this.drop();
    return true;
  }

  /** Lets the block go: between messages none is held. */
  drop(): void {
    if (this.block === NO_BLOCK) return;
    this.blocks.release(this.block);
    this.block = NO_BLOCK;
    this.at = this.limit = 0;
  }

  private push(wire: Wire, end: number): void {
    wire.send(this.block, this.at, end);
    this.at = end;
  }

  /** Makes sure that `size` bytes (or a whole large block) can be written at `at`. */
  private reserve(size: number): boolean {
    if (this.block !== NO_BLOCK && this.limit - this.at >= size) return true;
    const { blocks } = this;
    const block = blocks.take(Math.min(size, LARGE_BYTES));
    if (block === NO_BLOCK) return false;
    this.drop();
    this.block = block;
    this.at = blocks.start(block);
    this.limit = this.at + blocks.size(block);
    return true;
  }
}
