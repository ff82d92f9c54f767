/**
 * epoll-wire: a wire of the epoll driver.
 *
 *   dialling --EPOLLOUT--> open --close()--> flushing --all taken--> lingering --FIN or LINGER_MS--> ending --> dead
 *      '----------------------'-------------------'---- flush: closes at once ------------------------^  onClosed
 *
 * Rules
 * 1. Registered once, edge-triggered, for everything; never changed. `isReadable` remembers an edge that was not acted on.
 * 2. At most one recv() an edge while the kernel had less than a block: a short read has emptied it (epoll(7)), unless the edge
 *    also told of an end or an error, which only reading on brings out.
 * 3. Bytes queued in a turn leave in one call at its end. After a short send EPOLLOUT will come, because the kernel has noted
 *    that somebody waits.
 */
import { assert } from '../base/assert.ts';
import { LARGE_BYTES, NO_BLOCK } from '../base/blocks.ts';
import type { ClientAddress } from '../base/client-address.ts';
import { NO_TIMER } from '../base/timer-wheel.ts';
import { closeHow, LINGER_MS, type TimerOwner, type Wire, type WireOwner } from '../base/wire.ts';
import {
  EAGAIN,
  ECONNREFUSED,
  ECONNRESET,
  EINTR,
  EPOLLERR,
  EPOLLHUP,
  EPOLLIN,
  EPOLLOUT,
  EPOLLRDHUP,
  ETIMEDOUT,
  MSG_DONTWAIT,
  MSG_TRUNC,
  SO_ERROR,
  SOL_SOCKET,
} from '../sys/constants.generated.ts';
import { LOW_BYTES, low } from '../sys/memory.ts';
import { getsockname, getsockopt, isItsOwnPeer, readPeer, recv, shutdown } from '../sys/socket.ts';
import type { EpollEngine } from './epoll.ts';
import { nobody } from './nobody.ts';
import { NO_PIECE } from './send-queue.ts';

export const state = Object.freeze({ dead: 0, dialling: 1, open: 2, flushing: 3, lingering: 4, ending: 5 });

/** How often a lingering wire discards in a turn before others have theirs. */
const DISCARDS_PER_TURN = 8;

export class EpollWire implements Wire, TimerOwner {
  owner: WireOwner;
  queued: number;
  received: number;
  sent: number;
  drainBelow: number;
  readonly pouredMs: number;

  // For the engine.
  readonly slot: number;
  generation: number;
  fd: number;
  state: number;
  /** Waits in the engine's list for the end of the turn, for another read. */
  isDirty: boolean;
  isReady: boolean;
  /** What onClosed will say. */
  errno: number;
  /** The descriptor is closed with a reset. */
  mustReset: boolean;
  /** Adopted: another process may hold the same open file. */
  isShared: boolean;
  /** The port that is dialled is one the kernel may also choose for this end. */
  mayMeetItself: boolean;

  private readonly engine: EpollEngine;
  private firstPiece: number;
  private lastPiece: number;
  private how: number;
  private isPaused: boolean;
  private isReadable: boolean;
  /** An end or an error stands behind the bytes: read until it is out. */
  private mustReadOn: boolean;
  private isWritable: boolean;
  private sendEnded: boolean;
  private finSent: boolean;
  private recvEnded: boolean;
  /** Errno of a send that failed while bytes were left to read. */
  private sendErrno: number;
  /** While flushing: of FLUSH_STALL_MS. While lingering: of LINGER_MS. */
  private closeTimer: number;
  /** `sent` when the flush was last looked at. */
  private stallSent: number;

  constructor(engine: EpollEngine, slot: number) {
    this.engine = engine;
    this.slot = slot;
    this.generation = 0;
    this.isDirty = false;
    this.isReady = false;
    this.owner = nobody;
    this.queued = 0;
    this.received = 0;
    this.sent = 0;
    this.drainBelow = -1;
    this.pouredMs = 0;
    this.fd = -1;
    this.state = state.dead;
    this.errno = 0;
    this.mustReset = false;
    this.isShared = false;
    this.mayMeetItself = false;
    this.firstPiece = NO_PIECE;
    this.lastPiece = NO_PIECE;
    this.how = closeHow.flush;
    this.isPaused = false;
    this.isReadable = false;
    this.mustReadOn = false;
    this.isWritable = false;
    this.sendEnded = false;
    this.finSent = false;
    this.recvEnded = false;
    this.sendErrno = 0;
    this.closeTimer = NO_TIMER;
    this.stallSent = 0;
  }

  /** Gives the object a connection: `open` or `dialling`. */
  begin(owner: WireOwner, fd: number, began: number): void {
    this.owner = owner;
    this.queued = 0;
    this.received = 0;
    this.sent = 0;
    this.drainBelow = -1;
    this.fd = fd;
    this.state = began;
    this.errno = 0;
    this.mustReset = false;
    this.isShared = false;
    this.how = closeHow.flush;
    this.isPaused = false;
    this.isReadable = false;
    this.mustReadOn = false;
    this.isWritable = true;
    this.sendEnded = false;
    this.finSent = false;
    this.recvEnded = false;
    this.sendErrno = 0;
  }

  get isOpen(): boolean {
    return this.state === state.open && this.sendErrno === 0;
  }

  get hasUnread(): boolean {
    return this.isReadable;
  }

  send(block: number, start: number, end: number): void {
    if (this.state !== state.open || this.sendErrno !== 0) {
      assert(this.state !== state.dialling, 'send() is for an open wire');
      return;
    }
    assert(!this.sendEnded, 'send() is not called after sendClose()');
    if (start === end) return;
    this.lastPiece = this.engine.pieces.add(this.lastPiece, block, start, end);
    if (this.firstPiece === NO_PIECE) this.firstPiece = this.lastPiece;
    this.queued += end - start;
    if (!this.isDirty) this.engine.addDirty(this);
  }

  pourInto(_to: Wire): void {}

  pause(): void {
    this.isPaused = true;
  }

  resume(): void {
    if (!this.isPaused) return;
    this.isPaused = false;
    if (this.isReadable && !this.isReady) this.engine.addReady(this);
  }

  sendClose(): void {
    if (this.state !== state.open || this.sendEnded) return;
    this.sendEnded = true;
    if (!this.isDirty) this.engine.addDirty(this);
  }

  close(how: number): void {
    if (this.state === state.dead || this.state === state.ending) return;
    if (how === closeHow.reset) {
      this.mustReset = true;
      this.end(0);
    } else if (this.state === state.dialling) this.end(0);
    else if (this.state === state.open) {
      this.state = state.flushing;
      this.how = how;
      this.drainBelow = -1;
      if (!this.isDirty) this.engine.addDirty(this);
    }
  }

  readPeer(into: ClientAddress): void {
    if (this.fd >= 0) readPeer(this.fd, into);
    else into.clear();
  }
  local(): string {
    return this.fd >= 0 ? getsockname(this.fd) : '';
  }

  /** What epoll reports. */
  onEvents(events: number): void {
    if (this.state === state.dialling) {
      if ((events & (EPOLLERR | EPOLLHUP)) !== 0) this.end(this.takeError(ECONNREFUSED));
      else if ((events & EPOLLOUT) !== 0) this.opened();
    }
    // The peer may have said something by the time the dial is seen to have succeeded: there is no second edge for it.
    if (this.state === state.open) {
      if ((events & EPOLLOUT) !== 0 && !this.isWritable) this.becomeWritable();
      if ((events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) === 0) return;
      this.isReadable = true;
      if ((events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) !== 0) this.mustReadOn = true;
      // After its end nothing is left to read, and recv() would tell the end again instead of the error.
      if ((events & EPOLLERR) !== 0 && (this.isPaused || this.recvEnded)) this.end(this.takeError(ECONNRESET));
      else if (!this.isPaused) this.read();
    } else if (this.state === state.flushing) {
      // What arrives is left to the kernel, which answers it with a reset when the descriptor is closed.
      if ((events & EPOLLERR) !== 0) this.end(this.takeError(ECONNRESET));
      else if ((events & EPOLLOUT) !== 0 && !this.isWritable) this.becomeWritable();
    } else if (this.state === state.lingering) this.discard();
  }

  /** The dial has succeeded. */
  opened(): void {
    if (this.mayMeetItself && isItsOwnPeer(this.fd)) {
      this.end(ECONNREFUSED);
      return;
    }
    this.state = state.open;
    this.owner.onOpen(this);
  }

  /** Once more for what an earlier edge left over. */
  onReady(): void {
    this.isReady = false;
    if (this.state === state.lingering) this.discard();
    else if (this.state === state.open && this.isReadable) {
      if (!this.isPaused) this.read();
      else if (this.sendErrno !== 0) this.end(this.sendErrno);
    }
  }

  /** The end of the turn. */
  flush(): void {
    this.isDirty = false;
    if (this.state !== state.open && this.state !== state.flushing) return;
    if (this.queued > 0 && this.isWritable) this.sendQueued();
    if (this.drainBelow >= 0 && this.queued <= this.drainBelow && this.state === state.open) {
      this.drainBelow = -1;
      this.owner.onDrained(this);
    }
    if (this.queued > 0) {
      if (this.state === state.flushing && this.closeTimer === NO_TIMER) this.watchFlush();
      return;
    }
    if (this.state === state.flushing) {
      // With both directions ended, or none asked to wait for, closing the descriptor says it all.
      if (this.how === closeHow.flush || this.recvEnded) this.end(0);
      else this.linger();
    } else if (this.state === state.open && this.sendEnded && !this.finSent) {
      this.finSent = true;
      if (this.recvEnded) this.end(0);
      else shutdown(this.fd);
    }
  }

  onTimer(): void {
    this.closeTimer = NO_TIMER;
    if (this.state === state.lingering) this.end(0);
    else if (this.state !== state.flushing) return;
    else if (this.sent > this.stallSent) this.watchFlush();
    else {
      this.mustReset = true;
      this.end(ETIMEDOUT);
    }
  }

  /** The connection is over; onClosed comes at the end of the turn. */
  end(errno: number): void {
    this.state = state.ending;
    this.errno = errno;
    this.dropQueue();
    this.isReadable = false;
    this.drainBelow = -1;
    this.engine.cancelTimer(this.closeTimer);
    this.closeTimer = NO_TIMER;
    this.engine.addEnding(this);
  }

  private becomeWritable(): void {
    this.isWritable = true;
    if (this.queued > 0 && !this.isDirty) this.engine.addDirty(this);
  }

  private read(): void {
    const { engine } = this;
    const { blocks } = engine;
    const block = blocks.takeLarge();
    if (block === NO_BLOCK) {
      engine.addStarved(this);
      return;
    }
    const start = blocks.start(block);
    const count = recv(this.fd, engine.arenaAddress + start, LARGE_BYTES, MSG_DONTWAIT);
    if (count > 0) {
      this.received += count;
      if (count < LARGE_BYTES && !this.mustReadOn) this.isReadable = false;
      this.owner.onBytes(this, block, start, start + count);
      blocks.release(block);
      if (this.isReadable && !this.isReady && (!this.isPaused || this.sendErrno !== 0)) engine.addReady(this);
      return;
    }
    blocks.release(block);
    if (count === -EINTR) {
      if (!this.isReady) engine.addReady(this);
    } else if (count === -EAGAIN) {
      this.isReadable = false;
      this.mustReadOn = false;
    } else if (count < 0) this.end(-count);
    // After a send that failed, an end is no orderly one: that send has taken the error a recv would have told.
    else if (this.sendErrno !== 0) this.end(this.sendErrno);
    else this.seeEnd();
  }

  private seeEnd(): void {
    this.isReadable = false;
    this.mustReadOn = false;
    if (this.recvEnded) return;
    this.recvEnded = true;
    this.owner.onRecvEnd(this);
    if (this.finSent && this.state === state.open) this.end(0);
  }

  private sendQueued(): void {
    const { engine } = this;
    const { pieces } = engine;
    while (this.queued > 0) {
      const count = engine.sender.send(this.fd, this.firstPiece);
      if (count >= 0) {
        const asked = engine.sender.askedBytes;
        this.queued -= count;
        this.sent += count;
        this.firstPiece = pieces.take(this.firstPiece, count);
        if (this.firstPiece === NO_PIECE) this.lastPiece = NO_PIECE;
        if (count < asked) {
          this.isWritable = false;
          return;
        }
      } else if (count === -EAGAIN) {
        this.isWritable = false;
        return;
      } else if (count !== -EINTR) {
        this.failSend(-count);
        return;
      }
    }
  }

  /** The peer takes no more. What it sent before is still read: it may be the answer that explains it. */
  private failSend(errno: number): void {
    this.dropQueue();
    if (this.state !== state.open || this.isPaused) {
      this.end(errno);
      return;
    }
    this.sendErrno = errno;
    this.isReadable = true;
    this.mustReadOn = true;
    if (!this.isReady) this.engine.addReady(this);
  }

  private watchFlush(): void {
    this.stallSent = this.sent;
    this.closeTimer = this.engine.setTimer(this.engine.flushStallMs, this, 0);
  }

  private linger(): void {
    this.state = state.lingering;
    shutdown(this.fd);
    this.engine.cancelTimer(this.closeTimer);
    this.closeTimer = this.engine.setTimer(LINGER_MS, this, 0);
    if (!this.isReady) this.engine.addReady(this);
  }

  private discard(): void {
    for (let i = 0; i < DISCARDS_PER_TURN; i++) {
      // TCP drops without a copy (tcp(7), MSG_TRUNC); a unix socket copies into the scratch.
      const count = recv(this.fd, low.address, LOW_BYTES, MSG_DONTWAIT | MSG_TRUNC);
      if (count > 0 || count === -EINTR) continue;
      if (count === -EAGAIN) return;
      this.end(count === 0 ? 0 : -count);
      return;
    }
    if (!this.isReady) this.engine.addReady(this);
  }

  private takeError(otherwise: number): number {
    const errno = getsockopt(this.fd, SOL_SOCKET, SO_ERROR);
    return errno > 0 ? errno : otherwise;
  }

  private dropQueue(): void {
    this.engine.pieces.clear(this.firstPiece);
    this.firstPiece = NO_PIECE;
    this.lastPiece = NO_PIECE;
    this.queued = 0;
  }
}
