/** memory-wire: a wire of the memory driver. It holds whoever drives it to the rules of base/wire.ts: what breaks one throws. */
import { assert } from '../base/assert.ts';
import { LARGE_BYTES, NO_BLOCK } from '../base/blocks.ts';
import type { ClientAddress } from '../base/client-address.ts';
import { NO_TIMER } from '../base/timer-wheel.ts';
import { closeHow, FLUSH_STALL_MS, LINGER_MS, type TimerOwner, type Wire, type WireOwner } from '../base/wire.ts';
import type { MemoryEngine } from './memory.ts';
import type { MemorySocket, SocketOwner } from './memory-kernel.ts';

const ETIMEDOUT = 110;
/** Time after which a wire that found no free block looks again. */
const BLOCK_RETRY_MS = 1;

/*
 *   dialling --> open --> flushing --> lingering --> ending --> dead
 *                  close()    all taken      FIN, timer      onClosed
 */
type State = 'dialling' | 'open' | 'flushing' | 'lingering' | 'ending' | 'dead';

/** What stands in for an owner until one is set. */
export const NO_OWNER: WireOwner = {
  onOpen: () => assert(false, 'a wire has an owner before its first event'),
  onBytes: () => assert(false, 'a wire has an owner before its first event'),
  onRecvEnd: () => assert(false, 'a wire has an owner before its first event'),
  onDrained: () => assert(false, 'a wire has an owner before its first event'),
  onClosed: () => assert(false, 'a wire has an owner before its first event'),
};

interface Piece {
  block: number;
  start: number;
  end: number;
}

export class MemoryWire implements Wire, SocketOwner, TimerOwner {
  owner: WireOwner = NO_OWNER;
  queued = 0;
  received = 0;
  sent = 0;
  drainBelow = -1;
  readonly pouredMs = 0;
  /** Set by the engine: waits in its list for the end of the turn. */
  isDirty = false;
  private readonly engine: MemoryEngine;
  private socket: MemorySocket | null = null;
  private state: State = 'dead';
  /** Counts the connections this object has served, so that an event for an earlier one is known. */
  private generation = 0;
  private pieces: Piece[] = [];
  private how: number = closeHow.flush;
  private isPaused = false;
  private isReading = false;
  private isWaitingForRoom = false;
  private sendEnded = false;
  private finSent = false;
  private recvEnded = false;
  /** The connection broke: onClosed comes with an errno, once what had arrived is read. */
  private failed = false;
  private hasAskedClose = false;
  /** While flushing: of FLUSH_STALL_MS. While lingering: of LINGER_MS. */
  private closeTimer = NO_TIMER;
  private stallSent = 0;
  private address = '';

  constructor(engine: MemoryEngine) {
    this.engine = engine;
  }

  get isOpen(): boolean {
    return this.state === 'open' && !this.failed;
  }

  get hasUnread(): boolean {
    const { socket } = this;
    return socket !== null && (socket.unread > 0 || socket.error !== 0 || (socket.hasEnd && !this.recvEnded));
  }

  send(block: number, start: number, end: number): void {
    this.living('send');
    assert(!this.hasAskedClose, 'send() is not called after close()');
    const { blocks } = this.engine;
    assert(start <= end && start >= blocks.start(block), 'the bytes lie in their block');
    assert(end <= blocks.start(block) + blocks.size(block), 'the bytes lie in their block');
    assert(!this.sendEnded, 'send() is not called after sendClose()');
    if (this.failed) return;
    assert(this.state === 'open', 'send() is called on an open wire');
    if (start === end) return;
    blocks.retain(block);
    this.pieces.push({ block, start, end });
    this.queued += end - start;
    this.engine.markDirty(this);
  }

  pourInto(_to: Wire): void {}

  pause(): void {
    this.living('pause');
    this.isPaused = true;
  }

  resume(): void {
    this.living('resume');
    if (!this.isPaused) return;
    this.isPaused = false;
    this.onReadable();
  }

  sendClose(): void {
    this.living('sendClose');
    if (this.state !== 'open' || this.sendEnded) return;
    this.sendEnded = true;
    this.engine.markDirty(this);
  }

  close(how: number): void {
    this.living('close');
    this.hasAskedClose = true;
    if (this.state === 'ending') return;
    if (how === closeHow.reset) {
      this.socket?.reset();
      this.end(0);
    } else if (this.state === 'dialling') {
      this.socket?.close();
      this.end(0);
    } else if (this.state === 'open') {
      this.state = 'flushing';
      this.how = how;
      this.drainBelow = -1;
      this.engine.markDirty(this);
    }
  }

  readPeer(into: ClientAddress): void {
    into.set(this.address);
  }
  local(): string {
    return this.socket?.peer?.peerText ?? '';
  }

  /** The engine gives the object a connection: accepted when `socket` is there, else dialled. */
  begin(owner: WireOwner, socket: MemorySocket | null, address: string): number {
    assert(this.state === 'dead', 'a wire serves one connection at a time');
    this.generation++;
    this.owner = owner;
    this.queued = 0;
    this.received = 0;
    this.sent = 0;
    this.drainBelow = -1;
    this.state = socket === null ? 'dialling' : 'open';
    this.isPaused = false;
    this.isReading = false;
    this.isWaitingForRoom = false;
    this.sendEnded = false;
    this.finSent = false;
    this.recvEnded = false;
    this.failed = false;
    this.hasAskedClose = false;
    this.address = address;
    this.attach(socket);
    return this.generation;
  }

  /** Is it still the connection that begin() returned this number for, and not at its end? */
  isAlive(generation: number): boolean {
    return this.generation === generation && this.state !== 'dead' && this.state !== 'ending';
  }

  /** The dial has been answered. */
  connected(socket: MemorySocket): void {
    this.attach(socket);
  }

  opened(): void {
    this.state = 'open';
    this.owner.onOpen(this);
    this.onReadable();
  }

  /** The connection broke, or was never made. */
  fail(errno: number): void {
    if (this.state === 'ending' || this.state === 'dead') return;
    this.failed = true;
    this.end(errno);
  }

  /** The end of the turn: the kernel takes what it has room for. */
  flush(): void {
    if (this.state === 'dead' || this.state === 'ending' || this.state === 'dialling') return;
    const { engine } = this;
    const socket = this.socket!;
    if (socket.error !== 0 && this.queued > 0) {
      // What arrived before the break is still read: it may be the answer that explains it.
      this.releasePieces();
      if (this.state === 'open' && !this.isPaused && socket.unread > 0) this.failed = true;
      else this.fail(socket.error);
      return;
    }
    if (this.queued > 0 && !this.isWaitingForRoom) {
      const errno = engine.nextSendFault();
      if (errno !== 0) {
        socket.reset();
        this.fail(errno);
        return;
      }
      this.give(engine.takes(Math.min(this.queued, socket.room)));
      if (this.queued > 0) {
        this.isWaitingForRoom = true;
        if (socket.room === 0) socket.waitForRoom();
        else this.later(engine.delay(), () => this.onWritable());
      }
    }
    if (this.drainBelow >= 0 && this.queued <= this.drainBelow) {
      this.later(0, () => {
        if (this.drainBelow < 0 || this.queued > this.drainBelow || this.state !== 'open') return;
        this.drainBelow = -1;
        this.owner.onDrained(this);
      });
    }
    if (this.queued > 0) {
      if (this.state === 'flushing' && this.closeTimer === NO_TIMER) this.watchFlush();
      return;
    }
    if (this.state === 'flushing') {
      if (this.how === closeHow.flush) {
        socket.close();
        this.end(0);
        return;
      }
      this.state = 'lingering';
      this.finSent = true;
      socket.sendEnd();
      engine.cancelTimer(this.closeTimer);
      this.closeTimer = engine.setTimer(LINGER_MS, this, this.generation);
      this.onReadable();
    } else if (this.sendEnded && !this.finSent && this.state === 'open') {
      this.finSent = true;
      socket.sendEnd();
      this.endWhenBothEnded();
    }
  }

  onWritable(): void {
    this.isWaitingForRoom = false;
    if (this.state !== 'dead') this.engine.markDirty(this);
  }

  onReadable(): void {
    if (this.isReading || this.state === 'dead' || this.state === 'ending' || this.state === 'dialling') return;
    this.isReading = true;
    this.later(0, () => {
      this.isReading = false;
      this.read();
    });
  }

  onTimer(kind: number): void {
    if (!this.isAlive(kind)) return;
    this.closeTimer = NO_TIMER;
    if (this.state === 'flushing') {
      if (this.sent > this.stallSent) this.watchFlush();
      else {
        this.socket!.reset();
        this.end(ETIMEDOUT);
      }
      return;
    }
    this.socket!.discard();
    this.socket!.close();
    this.end(0);
  }

  /** Gives back everything without a word, for the end of the engine. */
  abandon(): void {
    this.releasePieces();
    this.socket?.close();
    this.socket = null;
    this.state = 'dead';
  }

  private living(call: string): void {
    assert(this.state !== 'dead', `${call}() is not called after onClosed`);
  }

  private attach(socket: MemorySocket | null): void {
    this.socket = socket;
    if (socket !== null) socket.owner = this;
  }

  /** Runs `event` in a later turn, unless the connection is over by then. */
  private later(delay: number, event: () => void): void {
    const { generation } = this;
    this.engine.schedule(this.engine.now + delay, () => {
      if (this.isAlive(generation)) event();
    });
  }

  private read(): void {
    const socket = this.socket!;
    if (this.state === 'lingering') {
      socket.discard();
      if (socket.error !== 0) this.fail(socket.error);
      else if (socket.hasEnd) {
        socket.close();
        this.end(0);
      }
      return;
    }
    // A wire that flushes leaves what arrives to the kernel, which answers with a reset when it closes.
    if (this.state === 'flushing' || this.isPaused) {
      if (socket.error !== 0) this.fail(socket.error);
      return;
    }
    if (socket.unread > 0) {
      this.readBytes(socket);
      return;
    }
    if (socket.error !== 0) this.fail(socket.error);
    else if (socket.hasEnd && !this.recvEnded) {
      this.recvEnded = true;
      this.owner.onRecvEnd(this);
      if (this.state === 'open') this.endWhenBothEnded();
    }
  }

  private readBytes(socket: MemorySocket): void {
    const { engine } = this;
    const { blocks } = engine;
    const wanted = engine.splits(Math.min(socket.unread, LARGE_BYTES));
    // Where bytes come one by one, overwriting a large block after each would take most of the time.
    const block = wanted === 1 ? blocks.takeSmall() : blocks.takeLarge();
    if (block === NO_BLOCK) {
      this.later(BLOCK_RETRY_MS, () => this.onReadable());
      return;
    }
    const start = blocks.start(block);
    const count = socket.read(blocks.bytes, start, wanted);
    this.received += count;
    const mustBreak = engine.countReceived(count);
    this.owner.onBytes(this, block, start, start + count);
    blocks.release(block);
    if (mustBreak) socket.breakConnection(engine.faults.resetErrno);
    this.onReadable();
  }

  private give(count: number): void {
    const { blocks } = this.engine;
    this.queued -= count;
    this.sent += count;
    while (count > 0) {
      const piece = this.pieces[0]!;
      const part = Math.min(count, piece.end - piece.start);
      this.socket!.send(blocks.bytes.subarray(piece.start, piece.start + part));
      piece.start += part;
      count -= part;
      if (piece.start === piece.end) {
        this.pieces.shift();
        blocks.release(piece.block);
      }
    }
  }

  private watchFlush(): void {
    this.stallSent = this.sent;
    this.closeTimer = this.engine.setTimer(FLUSH_STALL_MS, this, this.generation);
  }

  private endWhenBothEnded(): void {
    if (!this.finSent || !this.recvEnded) return;
    this.socket!.close();
    this.end(0);
  }

  private releasePieces(): void {
    for (const piece of this.pieces) this.engine.blocks.release(piece.block);
    this.pieces = [];
    this.queued = 0;
  }

  /** onClosed follows, in a later turn. */
  private end(errno: number): void {
    this.releasePieces();
    this.state = 'ending';
    this.drainBelow = -1;
    this.engine.cancelTimer(this.closeTimer);
    this.closeTimer = NO_TIMER;
    this.engine.schedule(this.engine.now, () => {
      this.socket?.close();
      this.socket = null;
      this.state = 'dead';
      const { owner } = this;
      owner.onClosed(this, errno);
      this.engine.forget(this);
    });
  }
}
