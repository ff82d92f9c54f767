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
 *
 * Its fields stand in uring-wire-state.ts; -receive, -send and -pour are the ways of its bytes.
 */
import { assert } from '../base/assert.ts';
import { LARGE_BYTES } from '../base/blocks.ts';
import type { ClientAddress } from '../base/client-address.ts';
import { closeHow, type TimerOwner, type Wire, type WireOwner } from '../base/wire.ts';
import {
  ECONNREFUSED,
  EINTR,
  ETIMEDOUT,
  IORING_CQE_BUFFER_SHIFT,
  IORING_CQE_F_BUFFER,
  IORING_CQE_F_MORE,
  SO_ERROR,
  SOL_SOCKET,
} from '../sys/constants.generated.ts';
import { getsockname, getsockopt, isItsOwnPeer, readPeer, setReset } from '../sys/socket.ts';
import { NO_PIECE } from './send-queue.ts';
import { NO_MESSAGE } from './uring-message.ts';
import * as submit from './uring-submit.ts';
import { operation } from './uring-tags.ts';
import { emptyPipe, endPouring, letGo, pour, startPour } from './uring-wire-pour.ts';
import { deliver, dropKept, endReceive, keep } from './uring-wire-receive.ts';
import { failSend, finish, startSend } from './uring-wire-send.ts';
import { END_NONE, END_SEEN, NO_CLOSE, phase, UringWireState } from './uring-wire-state.ts';

export class UringWire extends UringWireState implements Wire, TimerOwner {
  /** Takes a descriptor; the wire came from the free list. */
  begin(fd: number, owner: WireOwner, startPhase: number): void {
    this.clear();
    this.fd = fd;
    this.owner = owner;
    this.phase = startPhase;
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
    dropKept(this);
    if (this.phase === phase.connecting || this.sendErrno !== 0) {
      this.die(0);
      return;
    }
    this.phase = phase.ending;
    this.isPaused = false;
    this.markDirty();
  }

  readPeer(into: ClientAddress): void {
    if (this.fd >= 0) readPeer(this.fd, into);
    else into.clear();
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
      deliver(this);
      if (this.phase !== phase.open && this.phase !== phase.ending) return;
    }
    if (this.phase === phase.ending && this.sendFirst !== NO_PIECE && this.closeTimer === 0) this.watchFlush();
    if (!this.isSending) {
      if (this.sendFirst !== NO_PIECE) startSend(this);
      else if (this.phase === phase.ending || this.wantsFin) {
        finish(this);
        if (this.phase !== phase.open && this.phase !== phase.ending) return;
      }
    }
    if (this.isReceiving || this.isStarved || this.isHeld || this.end !== END_NONE) return;
    if (!this.isPaused) this.startReceive();
    else if (!this.isWatched && !this.hasFired) this.startWatch();
  }

  private startReceive(): void {
    const { engine } = this;
    this.isReceiving = true;
    if (this.pourTo !== null && this.fullCount >= engine.pourAfter && this.phase === phase.open) startPour(this);
    else if (this.isSingle) submit.receiveOne(engine.ring, this.fd, this.index, this.generation);
    else submit.receiveMany(engine.ring, this.fd, engine.multishotBytes, this.index, this.generation);
  }

  private startWatch(): void {
    this.isWatched = true;
    submit.watch(this.engine.ring, this.fd, this.index, this.generation);
  }

  /** A completion of the receive. */
  onReceive(result: number, flags: number): void {
    const hasMore = (flags & IORING_CQE_F_MORE) !== 0;
    if (!hasMore) {
      this.isReceiving = false;
      this.isCancelling = false;
      if (this.isPouring) {
        this.isPouring = false;
        pour(this, result);
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
        keep(this, block, result, hasMore);
        return;
      }
      engine.blocks.release(block);
    }
    if (result >= 0 && hasMore) return;
    endReceive(this, result);
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
      // A signal interrupted it, as when the process is stopped and goes on: nothing was sent, so it is tried again.
      if (result === -EINTR) this.markDirty();
      else failSend(this, -result);
      return;
    }
    if (this.isPipeWaiting) {
      this.isPipeWaiting = false;
      emptyPipe(this);
      return;
    }
    this.sent += result;
    this.queued -= result;
    this.sendWasCut = result < this.sending;
    this.sendFirst = this.engine.pieces.take(this.sendFirst, result);
    if (this.sendFirst === NO_PIECE) {
      this.sendLast = NO_PIECE;
      if (this.pourFrom !== null) letGo(this.pourFrom);
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
    const errno = result < 0 ? -result : this.mayMeetItself && isItsOwnPeer(this.fd) ? ECONNREFUSED : 0;
    if (errno !== 0) {
      this.die(errno);
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
    dropKept(this);
    endPouring(this);
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

  /** Cancels what is in flight, if it is; `answer` comes back when it is not. */
  cancel(which: number, answer: number): void {
    submit.cancel(this.engine.ring, which, answer, this.index, this.generation);
  }

  /** The last completion has come: tell, and give the slot back. */
  bury(): void {
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
}
