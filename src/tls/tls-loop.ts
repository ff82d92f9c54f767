/**
 * tls-loop: what all TLS wires of one worker share: memory BIOs, the room where small sends become one record, ticket keys, names of protocols.
 *
 * Rules
 * 1. Ciphertext is read where it was received and written where it is sent from: no copy but those of OpenSSL.
 * 2. Small sends of one wire that follow each other are gathered into one record, at the end of the turn at the latest. One wire at a time is gathered.
 * 3. What OpenSSL writes in one call fits the block it is given: a send of CHUNK_BYTES_MAX and its records; a flight of the handshake, whose chain
 *    control has measured; an answer to what was read, which is not longer than that.
 */
import { assert } from '../base/assert.ts';
import { type Blocks, LARGE_BYTES, NO_BLOCK, SMALL_BYTES } from '../base/blocks.ts';
import type { SoonTask } from '../base/soon.ts';
import type { Engine, Wire } from '../base/wire.ts';
import { addressOf } from '../sys/ffi.ts';
import { type Mapping, mapLow } from '../sys/memory.ts';
import { alpnCallback, checkOpenssl, MemoryBios, SSL_write } from '../sys/openssl.ts';
import { Contexts } from './contexts.ts';
import { TicketKeys } from './ticket-keys.ts';
import type { TlsWire } from './tls-wire.ts';

/** Plaintext of one record (RFC 8446 §5.1). */
const RECORD_BYTES_MAX = 16 * 1024;
/** Plaintext of the shortest records a client can ask for (max_fragment_length, RFC 6066 §4). */
const RECORD_BYTES_MIN = 512;
/** Header, nonce, tag and content type of one record of the suites in use. */
const RECORD_OVERHEAD_BYTES = 29;
/** An answer to a KeyUpdate may go first. */
const KEY_UPDATE_BYTES = 64;
/** Plaintext of one call: three full records fit a large block. */
const CHUNK_BYTES_MAX = 3 * RECORD_BYTES_MAX;
const SMALL_CHUNK_BYTES_MAX = SMALL_BYTES - KEY_UPDATE_BYTES - Math.ceil(SMALL_BYTES / RECORD_BYTES_MIN) * RECORD_OVERHEAD_BYTES;
/** From here on a piece is encrypted where it lies; below it is cheaper to gather. */
const DIRECT_BYTES_MIN = 8 * 1024;
const PROTOCOLS_BYTES = 4096;

/** No protocol is agreed on; none can be (RFC 7301 §3.2). */
export const NO_PROTOCOL = 0;
export const REFUSED_PROTOCOL = -1;

export class TlsLoop implements SoonTask {
  readonly engine: Engine;
  readonly blocks: Blocks;
  /** Address of `blocks.bytes[0]`. */
  readonly base: number;
  readonly bios: MemoryBios;
  readonly tickets: TicketKeys;
  readonly contexts: Contexts;
  /** For SSL_CTX_set_alpn_select_cb. */
  readonly alpnAnswer: bigint;
  /** What it answers: set before each step of a handshake. */
  protocol = NO_PROTOCOL;

  private outBlock = NO_BLOCK;
  private gathered: TlsWire | null = null;
  private gatherBlock = NO_BLOCK;
  private gatherEnd = 0;
  private isDueSoon = false;
  private readonly protocols = new Map<string, number>();
  private readonly names: Mapping;
  private namesEnd = 0;

  /** Throws SystemError when this Node's OpenSSL cannot be driven, or the blocks are not below 4 GiB. */
  constructor(engine: Engine) {
    checkOpenssl();
    this.engine = engine;
    this.blocks = engine.blocks;
    const { bytes } = engine.blocks;
    this.base = Number(addressOf(bytes));
    assert(this.base + bytes.length < 2 ** 32, 'the arena lies below 4 GiB');
    this.bios = new MemoryBios();
    this.tickets = new TicketKeys();
    this.contexts = new Contexts();
    this.alpnAnswer = alpnCallback(() => this.protocol);
    this.names = mapLow(PROTOCOLS_BYTES);
  }

  /** Keys of tickets in hex, the newest first; from here on it seals. */
  setTickets(keys: readonly string[]): void {
    this.tickets.set(keys);
    for (const context of this.contexts.each()) this.tickets.apply(context.pointer, 0);
  }

  /** The number that stands for a protocol of ALPN. */
  protocolOf(name: string): number {
    let code = this.protocols.get(name);
    if (code === undefined) {
      const bytes = new TextEncoder().encode(name);
      assert(
        bytes.length > 0 && bytes.length < 256 && this.namesEnd + bytes.length <= PROTOCOLS_BYTES,
        'names of protocols are few',
      );
      this.names.bytes.set(bytes, this.namesEnd);
      code = bytes.length * 2 ** 32 + this.names.address + this.namesEnd;
      this.namesEnd += bytes.length;
      this.protocols.set(name, code);
    }
    return code;
  }

  /** Makes room for what the next call may write; false when no block is free. {@link sendOut} follows. */
  openOut(): boolean {
    const block = this.blocks.takeLarge();
    if (block === NO_BLOCK) return false;
    this.outBlock = block;
    this.bios.collect(this.base + this.blocks.start(block), LARGE_BYTES);
    return true;
  }
  /** Sends what was written since openOut. */
  sendOut(to: Wire): void {
    const { blocks, outBlock } = this;
    const { written } = this.bios;
    this.outBlock = NO_BLOCK;
    if (written > 0 && to.isOpen) {
      // Who takes nothing must not hold large blocks by what is small.
      const small = written <= SMALL_BYTES ? blocks.takeSmall() : NO_BLOCK;
      const block = small === NO_BLOCK ? outBlock : small;
      const start = blocks.start(block);
      if (small !== NO_BLOCK) blocks.bytes.copyWithin(start, blocks.start(outBlock), blocks.start(outBlock) + written);
      to.send(block, start, start + written);
      if (small !== NO_BLOCK) blocks.release(small);
    }
    blocks.release(outBlock);
  }

  /** Bytes of this wire that wait for the end of the turn. */
  gatheredOf(wire: TlsWire): number {
    return this.gathered === wire ? this.gatherEnd - this.blocks.start(this.gatherBlock) : 0;
  }

  /** Encrypts and sends bytes[start, end) of the arena, at once or at the end of the turn. False when no block is free or OpenSSL fails. */
  write(wire: TlsWire, start: number, end: number): boolean {
    const size = end - start;
    if (size >= DIRECT_BYTES_MIN) {
      // What was gathered may be of another wire: whether that one goes on is not this one's concern.
      if (!this.flush() && !wire.isOpen) return false;
      for (let at = start; at < end; at += CHUNK_BYTES_MAX)
        if (!this.encrypt(wire, at, Math.min(CHUNK_BYTES_MAX, end - at))) return false;
      return true;
    }
    if (this.gathered !== wire || this.gatheredOf(wire) + size > RECORD_BYTES_MAX) {
      if (!this.flush() && !wire.isOpen) return false;
      const block = this.blocks.takeLarge();
      if (block === NO_BLOCK) return this.encrypt(wire, start, size);
      this.gathered = wire;
      this.gatherBlock = block;
      this.gatherEnd = this.blocks.start(block);
    }
    this.blocks.bytes.copyWithin(this.gatherEnd, start, end);
    this.gatherEnd += size;
    if (!this.isDueSoon) {
      this.isDueSoon = true;
      this.engine.soon(this);
    }
    return true;
  }

  onSoon(): void {
    this.isDueSoon = false;
    this.flush();
  }

  /** Sends what was gathered. A wire for which that fails is told so; false then. */
  flush(): boolean {
    const { gathered, gatherBlock } = this;
    if (gathered === null) return true;
    const start = this.blocks.start(gatherBlock);
    this.gathered = null;
    this.gatherBlock = NO_BLOCK;
    const isSent = this.encrypt(gathered, start, this.gatherEnd - start);
    this.blocks.release(gatherBlock);
    if (!isSent) gathered.writeFailed();
    return isSent;
  }

  /** What was gathered for this wire is not sent. */
  drop(wire: TlsWire): void {
    if (this.gathered !== wire) return;
    this.blocks.release(this.gatherBlock);
    this.gathered = null;
    this.gatherBlock = NO_BLOCK;
  }

  private encrypt(wire: TlsWire, at: number, size: number): boolean {
    const { blocks, bios, base } = this;
    let block = size <= SMALL_CHUNK_BYTES_MAX ? blocks.takeSmall() : NO_BLOCK;
    if (block === NO_BLOCK) block = blocks.takeLarge();
    if (block === NO_BLOCK) return false;
    const start = blocks.start(block);
    bios.collect(base + start, blocks.size(block));
    const result = SSL_write(wire.ssl, base + at, size);
    const { written } = bios;
    assert(written <= blocks.size(block), 'what OpenSSL writes in one call fits the block it is given');
    if (written > 0) wire.inner.send(block, start, start + written);
    blocks.release(block);
    return result === size;
  }
}
