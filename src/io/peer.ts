/**
 * peer: a scripted end of a connection for tests: it remembers what it received and sends what it is told, over any engine.
 * What it is given to send waits outside the arena, so that a test may send more than the arena holds.
 */
import { assert } from '../base/assert.ts';
import { LARGE_BYTES, NO_BLOCK } from '../base/blocks.ts';
import { ClientAddress } from '../base/client-address.ts';
import { type Address, closeHow, type Engine, type Wire, type WireOwner } from '../base/wire.ts';

/** Bytes queued on the wire at most; the rest waits in the peer. */
const QUEUED_BYTES_MAX = 2 * LARGE_BYTES;
/** Time after which a peer that found no free block looks again. */
const BLOCK_RETRY_MS = 5;

/** Who is at the other end of a wire: "127.0.0.1:80", "unix:/path". */
export function peerOf(wire: Wire): string {
  const address = new ClientAddress();
  wire.readPeer(address);
  return address.textWithPort;
}

export class Peer implements WireOwner {
  wire: Wire | null = null;
  isOpen = false;
  /** The other side's FIN was seen. */
  hasEnded = false;
  /** -1 until onClosed, then its errno. */
  closedErrno = -1;
  closedCount = 0;
  drainedCount = 0;
  receivedBytes = 0;
  /** Names of the events in their order; consecutive onBytes are one. */
  readonly events: string[] = [];
  /** Keep what arrives for bytes() and text(). Off, only receivedBytes counts. */
  keeps = true;
  /** Called after each event. */
  onEvent: ((name: string) => void) | null = null;
  private readonly engine: Engine;
  private received: Buffer[] = [];
  private toSend: Buffer[] = [];
  private endsAfter = false;

  constructor(engine: Engine) {
    this.engine = engine;
  }

  dial(address: Address, source?: string): this {
    this.wire = this.engine.dial(address, this, source);
    return this;
  }

  /** Takes a wire that is open already. */
  take(wire: Wire): this {
    this.wire = wire;
    wire.owner = this;
    this.isOpen = true;
    return this;
  }

  /** Sends text (latin1) or bytes, now or as soon as the wire is open and has room. */
  send(what: string | Uint8Array): this {
    this.toSend.push(typeof what === 'string' ? Buffer.from(what, 'latin1') : Buffer.from(what));
    this.pump();
    return this;
  }

  /** FIN after all that was given to send. */
  end(): this {
    this.endsAfter = true;
    this.pump();
    return this;
  }

  /** Closes; what waits outside the wire is dropped. */
  close(how: number = closeHow.flush): this {
    this.toSend = [];
    this.endsAfter = false;
    this.wire?.close(how);
    return this;
  }

  pause(): this {
    this.wire!.pause();
    return this;
  }

  resume(): this {
    this.wire!.resume();
    return this;
  }

  /** Bytes given to send and not yet taken by the kernel, on the wire or before it. */
  get unsent(): number {
    return this.toSend.reduce((sum, each) => sum + each.length, 0) + (this.wire?.queued ?? 0);
  }

  bytes(): Buffer {
    if (this.received.length > 1) this.received = [Buffer.concat(this.received)];
    return this.received[0] ?? Buffer.alloc(0);
  }

  text(): string {
    return this.bytes().toString('latin1');
  }

  /** Forgets what was received, for the next step of a conversation. */
  clear(): this {
    this.received = [];
    this.receivedBytes = 0;
    return this;
  }

  onOpen(): void {
    this.isOpen = true;
    this.note('open');
    this.pump();
  }

  onBytes(_wire: Wire, _block: number, start: number, end: number): void {
    assert(end > start, 'onBytes brings at least one byte');
    this.receivedBytes += end - start;
    // Buffer.from copies: the block is lent for the call only.
    if (this.keeps) this.received.push(Buffer.from(this.engine.blocks.bytes.subarray(start, end)));
    this.note('bytes');
  }

  onRecvEnd(): void {
    this.hasEnded = true;
    this.note('recvEnd');
  }

  onDrained(): void {
    this.drainedCount++;
    this.pump();
    this.note('drained');
  }

  onClosed(_wire: Wire, errno: number): void {
    this.closedErrno = errno;
    this.closedCount++;
    this.isOpen = false;
    this.toSend = [];
    this.endsAfter = false;
    this.wire = null;
    this.note('closed');
  }

  /** No block was free. */
  onTimer(): void {
    this.pump();
  }

  private pump(): void {
    const { wire, engine } = this;
    if (wire === null || !this.isOpen || !wire.isOpen) return;
    const { blocks } = engine;
    while (this.toSend.length > 0 && wire.queued < QUEUED_BYTES_MAX) {
      const first = this.toSend[0]!;
      const count = Math.min(first.length, LARGE_BYTES);
      if (count > 0) {
        const block = blocks.take(count);
        if (block === NO_BLOCK) {
          engine.setTimer(BLOCK_RETRY_MS, this, 0);
          return;
        }
        const start = blocks.start(block);
        blocks.bytes.set(first.subarray(0, count), start);
        wire.send(block, start, start + count);
        blocks.release(block);
      }
      if (count === first.length) this.toSend.shift();
      else this.toSend[0] = first.subarray(count);
    }
    if (this.toSend.length > 0) wire.drainBelow = LARGE_BYTES;
    else if (this.endsAfter) {
      this.endsAfter = false;
      wire.sendClose();
    }
  }

  private note(name: string): void {
    if (name !== 'bytes' || this.events.at(-1) !== 'bytes') this.events.push(name);
    this.onEvent?.(name);
  }
}
