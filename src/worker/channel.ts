/**
 * The worker's end of the control channel: one line of JSON a message, read and written through the worker's own loop.
 */
import { type Blocks, NO_BLOCK, SMALL_BYTES } from '../base/blocks.ts';
import type { Engine, Wire, WireOwner } from '../base/wire.ts';
import type { DownMessage, UpMessage } from '../state/channel.ts';

/** A plan of ten thousand endpoints takes about 3 MB; a line beyond this is not from weir. */
const LINE_BYTES_MAX = 64 * 1024 * 1024;

export class Channel implements WireOwner {
  private readonly blocks: Blocks;
  private readonly onMessage: (message: DownMessage) => void;
  private readonly onGone: () => void;
  private wire: Wire | null;
  private parts: Buffer[] = [];
  private size = 0;

  constructor(engine: Engine, fd: number, onMessage: (message: DownMessage) => void, onGone: () => void) {
    this.blocks = engine.blocks;
    this.onMessage = onMessage;
    this.onGone = onGone;
    this.wire = engine.adopt(fd, this);
  }

  /** Sends all of a message, or nothing when there is no room: half a line would spoil the next one. */
  send(message: UpMessage): void {
    const { wire, blocks } = this;
    if (wire === null || !wire.isOpen) return;
    const bytes = Buffer.from(JSON.stringify(message) + '\n');
    if (bytes.length > blocks.smallAvailable * SMALL_BYTES) return;
    for (let at = 0; at < bytes.length; ) {
      const block = blocks.takeSmall();
      if (block === NO_BLOCK) return;
      const start = blocks.start(block);
      const part = bytes.subarray(at, at + SMALL_BYTES);
      blocks.bytes.set(part, start);
      wire.send(block, start, start + part.length);
      blocks.release(block);
      at += part.length;
    }
  }

  /** Bytes not yet taken by the kernel. */
  get queued(): number {
    return this.wire === null ? 0 : this.wire.queued;
  }

  onOpen(): void {}
  onDrained(): void {}

  onBytes(_wire: Wire, _block: number, start: number, end: number): void {
    const { bytes } = this.blocks;
    let from = start;
    for (let at = start; at < end; at++) {
      if (bytes[at] !== 10) continue;
      this.keep(from, at);
      from = at + 1;
      const line = Buffer.concat(this.parts).toString();
      this.parts = [];
      this.size = 0;
      if (line !== '') this.onMessage(JSON.parse(line) as DownMessage);
    }
    if (from < end) this.keep(from, end);
  }

  onRecvEnd(): void {
    this.end();
  }

  onClosed(): void {
    this.end();
  }

  private end(): void {
    if (this.wire === null) return;
    this.wire = null;
    this.onGone();
  }

  private keep(from: number, to: number): void {
    this.size += to - from;
    if (this.size > LINE_BYTES_MAX) throw new RangeError('a control message is longer than any plan');
    this.parts.push(Buffer.from(this.blocks.bytes.subarray(from, to)));
  }
}
