/**
 * uring-wire: one stream over io_uring.
 *
 *     connecting --onOpen--> open --close(flush|linger)--> ending --drained, FIN seen--> dying --last completion--> free
 *         |                    |                                                           ^
 *         '--------------------'------------------ close(reset), error --------------------'
 *
 * Rules
 * 1. At most one receive (multishot or single), one send and one connect is in flight. Bytes are in order because the next one starts
 *    only after the terminal completion of the last.
 * 2. Going to `dying` cancels what is in flight and closes the descriptor with the same submission. The slot is used again only after
 *    the terminal completion of each operation: until then the kernel may write to a block or read from one.
 * 3. A cancel that came while the operation was between two states finds nothing. It is repeated until the completion is there:
 *    otherwise the operation would hold the socket open for ever.
 * 4. Calls made on the wire only note what is wanted; flush(), at the end of the turn, does it.
 * 5. A wire that pours waits for bytes by a poll in the place of its receive, moves them into a pipe and out again at once. What the other
 *    end has no room for stays in the pipe, which is the other's until empty, with a poll in the place of its send; meanwhile nothing is received.
 */
import { assert } from '../base/assert.ts';
import { LARGE_BYTES } from '../base/blocks.ts';
import { closeHow, LINGER_MS, type TimerOwner, type Wire, type WireOwner } from '../base/wire.ts';
import {
  EAGAIN,
  ECANCELED,
  EINVAL,
  ENOBUFS,
  ENOTCONN,
  ETIMEDOUT,
  IORING_CQE_BUFFER_SHIFT,
  IORING_CQE_F_BUFFER,
  IORING_CQE_F_MORE,
  SHUT_WR,
  SO_ERROR,
  SOL_SOCKET,
} from '../sys/constants.generated.ts';
import { neverWait } from '../sys/pipe.ts';
import { getpeername, getsockname, getsockopt, setReset, shutdown } from '../sys/socket.ts';
import { NO_PIECE } from './send-queue.ts';
import type { UringEngine } from './uring.ts';
import { NO_MESSAGE, SEGMENTS_MAX } from './uring-message.ts';
import { NO_PIPE, POUR_BYTES_MIN } from './uring-pour.ts';
import * as submit from './uring-submit.ts';
import { operation } from './uring-tags.ts';

export const phase = Object.freeze({ free: 0, connecting: 1, open: 2, ending: 3, dying: 4 });

/** States of the peer's end of stream. */
const END_NONE = 0;
const END_SEEN = 1;
const END_TOLD = 2;

const NO_CLOSE = -1;

export class UringWire implements Wire, TimerOwner {
  owner: WireOwner;
  queued: number;
  received: number;
  sent: number;
  drainBelow: number;
  pouredMs: number;

  readonly index: number;
  generation: number;
  fd: number;
  phase: number;
  isDirty: boolean;
  isReceiving: boolean;
  isSending: boolean;
  isConnecting: boolean;
  /** A poll stands by for errors. It is armed when the wire stops receiving, and stays until it fires or the wire dies. */
  isWatched: boolean;
  /** The ring had no block when bytes arrived; receive again when it has. */
  isStarved: boolean;

  private readonly engine: UringEngine;
  private isPaused: boolean;
  /** Receive piece by piece: this wire is paused so often that a multishot would only be cancelled again. */
  private isSingle: boolean;
  private isCancelling: boolean;
  private end: number;
  private wantsFin: boolean;
  private hasFin: boolean;
  private closing: number;
  private errno: number;
  /** Sending failed; what the peer sent before is still read. */
  private sendErrno: number;
  private sendWasCut: boolean;
  /** The watch has fired: it would fire again at once. */
  private hasFired: boolean;
  /** Bytes were received that nobody will read: closing must not look orderly to the peer (RFC 1122 §4.2.2.13). */
  private hasUnreadDropped: boolean;
  private message: number;
  /** While flushing: of FLUSH_STALL_MS. While lingering: of LINGER_MS. */
  private closeTimer: number;
  private stallSent: number;
  private peerText: string;
  // Chains in the engine's piece queue: what is to be sent, and what was received and waits for resume().
  private sendFirst: number;
  private sendLast: number;
  private keptFirst: number;
  private keptLast: number;
  /** Bytes of the send in flight. */
  private sending: number;
  // Pouring: to whom, from whom, and what is on its way.
  private pourTo: UringWire | null;
  private pourFrom: UringWire | null;
  /** Blocks that came well filled, one after the other. */
  private fullCount: number;
  /** Has poured: one of the users of the pipes. */
  private hasPipes: boolean;
  /** The receive in flight is a poll. */
  private isPouring: boolean;
  /** Receives nothing until the other end has sent what it has. */
  private isHeld: boolean;
  /** The send in flight is a poll: the pipe waits for room. */
  private isPipeWaiting: boolean;
  private pipe: number;
  private pipeBytes: number;

  constructor(engine: UringEngine, index: number, owner: WireOwner) {
    this.engine = engine;
    this.index = index;
    this.generation = 1;
    this.owner = owner;
    this.queued = 0;
    this.received = 0;
    this.sent = 0;
    this.drainBelow = -1;
    this.fd = -1;
    this.phase = phase.free;
    this.isDirty = false;
    this.isReceiving = false;
    this.isSending = false;
    this.isConnecting = false;
    this.isWatched = false;
    this.isStarved = false;
    this.hasFired = false;
    this.hasUnreadDropped = false;
    this.isPaused = false;
    this.isSingle = false;
    this.isCancelling = false;
    this.end = END_NONE;
    this.wantsFin = false;
    this.hasFin = false;
    this.closing = NO_CLOSE;
    this.errno = 0;
    this.sendErrno = 0;
    this.sendWasCut = false;
    this.message = NO_MESSAGE;
    this.closeTimer = 0;
    this.stallSent = 0;
    this.peerText = '';
    this.sendFirst = NO_PIECE;
    this.sendLast = NO_PIECE;
    this.keptFirst = NO_PIECE;
    this.keptLast = NO_PIECE;
    this.sending = 0;
    this.pouredMs = 0;
    this.pourTo = null;
    this.pourFrom = null;
    this.fullCount = 0;
    this.hasPipes = false;
    this.isPouring = false;
    this.isHeld = false;
    this.isPipeWaiting = false;
    this.pipe = NO_PIPE;
    this.pipeBytes = 0;
  }

  /** Takes a descriptor; the wire came from the free list. */
  begin(fd: number, owner: WireOwner, startPhase: number): void {
    this.fd = fd;
    this.owner = owner;
    this.phase = startPhase;
    this.queued = 0;
    this.received = 0;
    this.sent = 0;
    this.drainBelow = -1;
    this.isPaused = false;
    this.isSingle = false;
    this.isCancelling = false;
    this.end = END_NONE;
    this.wantsFin = false;
    this.hasFin = false;
    this.closing = NO_CLOSE;
    this.errno = 0;
    this.sendErrno = 0;
    this.sendWasCut = false;
    this.hasFired = false;
    this.hasUnreadDropped = false;
    this.peerText = '';
    this.pouredMs = 0;
    this.markDirty();
  }

  get isOpen(): boolean {
    return this.phase === phase.open && this.sendErrno === 0;
  }
  get hasUnread(): boolean {
    return this.keptFirst !== NO_PIECE || this.end !== END_NONE;
  }

  send(block: number, start: number, end: number): void {
    if (this.phase !== phase.open || this.wantsFin) {
      // Rule 10 of base/wire.ts: nothing is done on a wire that has failed.
      assert(this.phase === phase.dying && this.closing === NO_CLOSE, 'send is for an open wire');
      return;
    }
    if (start >= end || this.sendErrno !== 0) return;
    this.queued += end - start;
    const last = this.engine.pieces.add(this.sendLast, block, start, end);
    if (this.sendLast === NO_PIECE) this.sendFirst = last;
    this.sendLast = last;
    if (!this.isDirty) this.markDirty();
  }

  pourInto(to: Wire): void {
    if (!(to instanceof UringWire) || this.phase !== phase.open || to.phase !== phase.open) return;
    this.pourTo = to;
    to.pourFrom = this;
  }

  pause(): void {
    this.isPaused = true;
    // An error does not wait for resume().
    if (this.sendErrno !== 0) this.markDirty();
  }

  resume(): void {
    if (!this.isPaused) return;
    this.isPaused = false;
    this.markDirty();
  }

  sendClose(): void {
    if (this.phase !== phase.open || this.wantsFin) return;
    this.wantsFin = true;
    this.markDirty();
  }

  close(how: number): void {
    if (this.phase === phase.free || this.phase === phase.dying) {
      // The close of a wire that has just failed changes nothing but the report: it went as asked if a reset was asked.
      return;
    }
    if (how === closeHow.reset) {
      this.closing = how;
      this.die(0);
      return;
    }
    if (this.closing !== NO_CLOSE) return;
    this.closing = how;
    if (how === closeHow.flush && this.keptFirst !== NO_PIECE) this.hasUnreadDropped = true;
    this.dropKept();
    if (this.phase === phase.connecting || this.sendErrno !== 0) {
      this.die(0);
      return;
    }
    this.phase = phase.ending;
    this.isPaused = false;
    this.markDirty();
  }

  peer(): string {
    if (this.peerText === '' && this.fd >= 0) this.peerText = getpeername(this.fd);
    return this.peerText;
  }
  local(): string {
    return this.fd >= 0 ? getsockname(this.fd) : '';
  }

  /** The peer had its time: to end its half after ours, or to take some of what is being flushed. */
  onTimer(_kind: number): void {
    this.closeTimer = 0;
    if (this.hasFin) this.die(0);
    else if (this.sent > this.stallSent) this.watchFlush();
    else {
      this.closing = closeHow.reset;
      this.die(ETIMEDOUT);
    }
  }

  private watchFlush(): void {
    this.stallSent = this.sent;
    this.closeTimer = this.engine.setTimer(this.engine.flushStallMs, this, 0);
  }

  markDirty(): void {
    if (this.isDirty) return;
    this.isDirty = true;
    this.engine.addDirty(this);
  }

  /** Does what was asked for during the turn. */
  flush(): void {
    this.isDirty = false;
    if (this.phase === phase.dying) {
      this.bury();
      return;
    }
    if (this.phase !== phase.open && this.phase !== phase.ending) return;
    if (this.sendErrno !== 0 && this.isPaused) {
      this.die(this.sendErrno);
      return;
    }
    if ((this.keptFirst !== NO_PIECE || this.end === END_SEEN) && !this.isPaused) {
      this.deliver();
      if (this.phase !== phase.open && this.phase !== phase.ending) return;
    }
    if (this.phase === phase.ending && this.sendFirst !== NO_PIECE && this.closeTimer === 0) this.watchFlush();
    if (!this.isSending) {
      if (this.sendFirst !== NO_PIECE) this.startSend();
      else if (this.phase === phase.ending || this.wantsFin) {
        this.finish();
        if (this.phase !== phase.open && this.phase !== phase.ending) return;
      }
    }
    if (this.isReceiving || this.isStarved || this.isHeld || this.end !== END_NONE) return;
    if (!this.isPaused) this.startReceive();
    else if (!this.isWatched && !this.hasFired) this.startWatch();
  }

  /** A completion of the receive. */
  onReceive(result: number, flags: number): void {
    const hasMore = (flags & IORING_CQE_F_MORE) !== 0;
    if (!hasMore) {
      this.isReceiving = false;
      this.isCancelling = false;
      if (this.isPouring) {
        this.isPouring = false;
        this.pour(result);
        return;
      }
    }
    const { engine } = this;
    if ((flags & IORING_CQE_F_BUFFER) !== 0) {
      const block = flags >>> IORING_CQE_BUFFER_SHIFT;
      engine.blockRing.count--;
      if (result > 0) {
        if (this.phase === phase.open && !this.isPaused && this.keptFirst === NO_PIECE) {
          const start = engine.blocks.start(block);
          this.received += result;
          if (result >= LARGE_BYTES / 2) this.fullCount++;
          else if (result < LARGE_BYTES / 4) this.fullCount = 0;
          if (!hasMore) {
            if (result < LARGE_BYTES / 4) this.isSingle = false;
            this.markDirty();
          }
          this.owner.onBytes(this, block, start, start + result);
          engine.blocks.release(block);
          return;
        }
        this.keep(block, result, hasMore);
        return;
      }
      engine.blocks.release(block);
    }
    if (result >= 0 && hasMore) return;
    this.endReceive(result);
  }

  /** A completion of the send. */
  onSend(result: number): void {
    this.isSending = false;
    if (this.message !== NO_MESSAGE) {
      this.engine.messages.release(this.message);
      this.message = NO_MESSAGE;
    }
    if (this.phase === phase.dying) {
      this.isPipeWaiting = false;
      this.bury();
      return;
    }
    if (result < 0) {
      this.failSend(-result);
      return;
    }
    if (this.isPipeWaiting) {
      this.isPipeWaiting = false;
      this.emptyPipe();
      return;
    }
    this.sent += result;
    this.queued -= result;
    this.sendWasCut = result < this.sending;
    this.sendFirst = this.engine.pieces.take(this.sendFirst, result);
    if (this.sendFirst === NO_PIECE) {
      this.sendLast = NO_PIECE;
      if (this.pourFrom !== null) this.pourFrom.letGo();
    }
    if (this.sendFirst !== NO_PIECE || this.phase === phase.ending || this.wantsFin) this.markDirty();
    if (this.drainBelow >= 0 && this.queued <= this.drainBelow && this.phase === phase.open) {
      this.drainBelow = -1;
      this.owner.onDrained(this);
    }
  }

  /** The completion of the connect. */
  onConnect(result: number): void {
    this.isConnecting = false;
    if (this.phase === phase.dying) {
      this.bury();
      return;
    }
    if (result < 0) {
      this.die(-result);
      return;
    }
    this.phase = phase.open;
    this.markDirty();
    this.owner.onOpen(this);
  }

  /** The watch fired: an error, or an end of stream that resume() will find. */
  onWatch(result: number): void {
    this.isWatched = false;
    if (this.phase === phase.dying) {
      this.bury();
      return;
    }
    this.hasFired = true;
    // A receive in flight says it better, behind the bytes that are still there.
    if (result < 0 || this.isReceiving) return;
    const errno = getsockopt(this.fd, SOL_SOCKET, SO_ERROR);
    if (errno > 0) this.die(errno);
  }

  /** A cancel found nothing: the operation was between two states, or its completion is on its way. */
  onCancelFailed(kind: number): void {
    const isDying = this.phase === phase.dying;
    if (kind === operation.cancelReceive) {
      if (this.isReceiving && (isDying || this.isCancelling)) this.cancel(operation.receive, kind);
    } else if (!isDying) return;
    else if (kind === operation.cancelSend && this.isSending) this.cancel(operation.send, kind);
    else if (kind === operation.cancelConnect && this.isConnecting) this.cancel(operation.connect, kind);
    else if (kind === operation.cancelWatch && this.isWatched) this.cancel(operation.watch, kind);
  }

  /** Ends the wire: nothing more is delivered, what is in flight is cancelled, the descriptor closed, onClosed owed. */
  die(errno: number): void {
    if (this.phase === phase.dying || this.phase === phase.free) return;
    const { engine, fd } = this;
    this.phase = phase.dying;
    this.errno = errno;
    this.dropKept();
    this.endPouring();
    if (this.closeTimer !== 0) {
      engine.cancelTimer(this.closeTimer);
      this.closeTimer = 0;
    }
    this.cancelAll();
    if (fd >= 0) {
      this.fd = -1;
      if (this.closing === closeHow.reset || this.hasUnreadDropped) setReset(fd);
      submit.closeDescriptor(engine.ring, fd);
    }
    this.markDirty();
  }

  private cancelAll(): void {
    if (this.isReceiving) this.cancel(operation.receive, operation.cancelReceive);
    if (this.isSending) this.cancel(operation.send, operation.cancelSend);
    if (this.isConnecting) this.cancel(operation.connect, operation.cancelConnect);
    if (this.isWatched) this.cancel(operation.watch, operation.cancelWatch);
  }

  private cancel(which: number, answer: number): void {
    submit.cancel(this.engine.ring, which, answer, this.index, this.generation);
  }

  /** The last completion has come: tell, and give the slot back. */
  private bury(): void {
    if (this.isReceiving || this.isSending || this.isConnecting || this.isWatched || this.isDirty) return;
    const { engine } = this;
    engine.pieces.clear(this.sendFirst);
    this.sendFirst = NO_PIECE;
    this.sendLast = NO_PIECE;
    this.queued = 0;
    this.phase = phase.free;
    this.isStarved = false;
    engine.open--;
    this.owner.onClosed(this, this.errno);
    engine.giveWire(this);
  }

  private startReceive(): void {
    const { engine } = this;
    this.isReceiving = true;
    if (this.pourTo !== null && this.fullCount >= engine.pourAfter && this.phase === phase.open) this.startPour();
    else if (this.isSingle) submit.receiveOne(engine.ring, this.fd, this.index, this.generation);
    else submit.receiveMany(engine.ring, this.fd, engine.multishotBytes, this.index, this.generation);
  }

  private startPour(): void {
    if (!this.hasPipes) this.usePipes();
    this.isPouring = true;
    submit.awaitBytes(this.engine.ring, this.fd, this.index, this.generation);
  }

  private usePipes(): void {
    this.hasPipes = true;
    this.engine.pipes.join();
    neverWait(this.fd);
  }

  /** The poll has fired: there are bytes, an end or an error. */
  private pour(result: number): void {
    if (this.phase === phase.dying) {
      this.bury();
      return;
    }
    const { pourTo: to, engine } = this;
    if (result < 0 || this.phase !== phase.open || this.isPaused || to === null || !to.isOpen || to.wantsFin) {
      this.fullCount = 0;
      this.markDirty();
      return;
    }
    if (to.isSending || to.sendFirst !== NO_PIECE) {
      this.isHeld = true;
      return;
    }
    const pipe = engine.pipes.take();
    const count = pipe === NO_PIPE ? -EINVAL : engine.pipes.fill(pipe, this.fd);
    if (count > 0) {
      this.received += count;
      this.pouredMs = engine.now;
      if (count < POUR_BYTES_MIN) this.fullCount = 0;
      this.isHeld = true;
      if (!to.hasPipes) to.usePipes();
      to.pipe = pipe;
      to.pipeBytes = count;
      to.emptyPipe();
      return;
    }
    if (pipe !== NO_PIPE) engine.pipes.give(pipe);
    if (count === -EINVAL || count === -EAGAIN) {
      // Not to be had: blocks then.
      this.fullCount = 0;
      this.markDirty();
    } else this.endReceive(count);
  }

  /** Sends what is in the pipe, or waits until it can. */
  private emptyPipe(): void {
    const { engine } = this;
    while (this.pipeBytes > 0) {
      const count = engine.pipes.drain(this.pipe, this.fd, this.pipeBytes);
      if (count === -EAGAIN) {
        this.isSending = true;
        this.isPipeWaiting = true;
        submit.awaitRoom(engine.ring, this.fd, this.index, this.generation);
        return;
      }
      if (count <= 0) {
        this.failSend(-count);
        return;
      }
      this.sent += count;
      this.pouredMs = engine.now;
      this.pipeBytes -= count;
    }
    engine.pipes.give(this.pipe);
    this.pipe = NO_PIPE;
    if (this.pourFrom !== null) this.pourFrom.letGo();
    if (this.sendFirst !== NO_PIECE || this.phase === phase.ending || this.wantsFin) this.markDirty();
  }

  /** The other end has sent what it had. */
  private letGo(): void {
    if (!this.isHeld) return;
    this.isHeld = false;
    this.markDirty();
  }

  private endPouring(): void {
    const { pourTo: to, pourFrom: from, engine } = this;
    this.pourTo = null;
    this.pourFrom = null;
    this.isHeld = false;
    this.fullCount = 0;
    if (to !== null) to.pourFrom = null;
    if (from !== null) {
      from.pourTo = null;
      from.letGo();
    }
    if (this.pipe !== NO_PIPE) engine.pipes.shut(this.pipe);
    this.pipe = NO_PIPE;
    this.pipeBytes = 0;
    if (this.hasPipes) engine.pipes.leave();
    this.hasPipes = false;
  }

  private startWatch(): void {
    this.isWatched = true;
    submit.watch(this.engine.ring, this.fd, this.index, this.generation);
  }

  private startSend(): void {
    const { engine, sendFirst } = this;
    const { pieces } = engine;
    this.isSending = true;
    if (sendFirst !== this.sendLast) {
      this.message = engine.messages.take();
      if (this.message !== NO_MESSAGE) {
        this.startMessage();
        return;
      }
    }
    const start = pieces.start[sendFirst]!;
    this.sending = pieces.end[sendFirst]! - start;
    const isLast = this.wantsFin && this.sending === this.queued;
    submit.send(
      engine.ring,
      this.fd,
      engine.arenaAddress + start,
      this.sending,
      this.sendWasCut,
      isLast,
      this.index,
      this.generation,
    );
  }

  private startMessage(): void {
    const { engine, message } = this;
    const { pieces, messages } = engine;
    let count = 0;
    this.sending = 0;
    for (let piece = this.sendFirst; piece !== NO_PIECE && count < SEGMENTS_MAX; piece = pieces.next[piece]!) {
      const start = pieces.start[piece]!;
      const length = pieces.end[piece]! - start;
      messages.setSegment(message, count++, engine.arenaAddress + start, length);
      this.sending += length;
    }
    messages.setCount(message, count);
    const isLast = this.wantsFin && this.sending === this.queued;
    submit.sendMessage(engine.ring, this.fd, messages.address(message), this.sendWasCut, isLast, this.index, this.generation);
  }

  /** Everything queued is sent: end the sending half, or the wire. */
  private finish(): void {
    if (this.phase === phase.ending && this.closing === closeHow.flush) {
      this.die(0);
      return;
    }
    if (!this.hasFin) {
      this.hasFin = true;
      // The peer has ended too, so nothing is unread: closing the descriptor sends the FIN.
      if (this.phase === phase.open && this.end === END_TOLD) {
        this.die(0);
        return;
      }
      const result = shutdown(this.fd, SHUT_WR);
      if (result < 0 && result !== -ENOTCONN) {
        this.die(-result);
        return;
      }
      if (this.phase === phase.ending) {
        this.engine.cancelTimer(this.closeTimer);
        this.closeTimer = this.engine.setTimer(LINGER_MS, this, 0);
      }
    }
    if (this.phase === phase.ending ? this.end !== END_NONE : this.end === END_TOLD) this.die(0);
  }

  /** Bytes that cannot be delivered now: kept while paused, dropped when nobody wants them any more. */
  private keep(block: number, length: number, hasMore: boolean): void {
    if (this.phase !== phase.open) {
      this.engine.blocks.release(block);
      if (!hasMore) this.settle();
      return;
    }
    const { blocks, pieces } = this.engine;
    const start = blocks.start(block);
    const last = pieces.add(this.keptLast, block, start, start + length);
    if (this.keptLast === NO_PIECE) this.keptFirst = last;
    this.keptLast = last;
    blocks.release(block);
    this.isSingle = true;
    if (!hasMore) this.markDirty();
    else if (!this.isCancelling) {
      this.isCancelling = true;
      this.cancel(operation.receive, operation.cancelReceive);
    }
  }

  /** Hands out what waited for resume(), in order, until paused again. */
  private deliver(): void {
    const { blocks, pieces } = this.engine;
    while (this.keptFirst !== NO_PIECE && !this.isPaused && this.phase === phase.open) {
      const piece = this.keptFirst;
      const block = pieces.block[piece]!;
      const start = pieces.start[piece]!;
      const end = pieces.end[piece]!;
      blocks.retain(block);
      this.keptFirst = pieces.take(piece, end - start);
      if (this.keptFirst === NO_PIECE) this.keptLast = NO_PIECE;
      this.received += end - start;
      this.owner.onBytes(this, block, start, end);
      blocks.release(block);
    }
    if (this.end === END_SEEN && this.keptFirst === NO_PIECE && !this.isPaused && this.phase === phase.open) this.tellEnd();
  }

  private tellEnd(): void {
    this.end = END_TOLD;
    this.owner.onRecvEnd(this);
    if (this.hasFin) this.markDirty();
  }

  /** The receive ended without bytes: end of stream, error, cancelled, or no block. */
  private endReceive(result: number): void {
    if (this.phase === phase.dying) {
      this.bury();
      return;
    }
    if (result === -ENOBUFS) {
      this.engine.starve(this);
      return;
    }
    if (result === -ECANCELED) {
      this.markDirty();
      return;
    }
    if (result < 0) {
      this.die(this.closing === closeHow.linger && this.hasFin ? 0 : -result);
      return;
    }
    if (this.sendErrno !== 0) {
      this.die(this.sendErrno);
      return;
    }
    this.end = END_SEEN;
    if (this.phase === phase.ending) this.markDirty();
    else if (!this.isPaused && this.keptFirst === NO_PIECE) this.tellEnd();
  }

  /** A single receive, or a multishot that lost F_MORE, of a wire that is not open. */
  private settle(): void {
    if (this.phase === phase.dying) this.bury();
    else this.markDirty();
  }

  /**
   * A failed send (EPIPE, ECONNRESET) often follows an answer that the peer gave before it closed. What has arrived is still read: the
   * socket is broken, so the receive ends by itself, with or without bytes.
   */
  private failSend(errno: number): void {
    if (this.phase === phase.open && !this.isPaused && this.isReceiving) {
      this.sendErrno = errno;
      return;
    }
    this.die(errno);
  }

  private dropKept(): void {
    this.engine.pieces.clear(this.keptFirst);
    this.keptFirst = NO_PIECE;
    this.keptLast = NO_PIECE;
  }
}
