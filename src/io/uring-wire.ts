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
 */
import { assert } from '../base/assert.ts';
import { LARGE_BYTES } from '../base/blocks.ts';
import { closeHow, LINGER_MS, type TimerOwner, type Wire, type WireOwner } from '../base/wire.ts';
import {
  ECANCELED,
  ENOBUFS,
  ENOTCONN,
  IORING_CQE_BUFFER_SHIFT,
  IORING_CQE_F_BUFFER,
  IORING_CQE_F_MORE,
  IORING_OP_ASYNC_CANCEL,
  IORING_OP_CLOSE,
  IORING_OP_POLL_ADD,
  IORING_OP_RECV,
  IORING_OP_SEND,
  IORING_OP_SENDMSG,
  IORING_RECV_MULTISHOT,
  IORING_RECVSEND_POLL_FIRST,
  IOSQE_BUFFER_SELECT,
  IOSQE_CQE_SKIP_SUCCESS,
  MSG_NOSIGNAL,
  SHUT_WR,
  SO_ERROR,
  SOL_SOCKET,
} from '../sys/constants.generated.ts';
import { getpeername, getsockopt, setReset, shutdown } from '../sys/socket.ts';
import type { UringEngine } from './uring.ts';
import { NO_MESSAGE, SEGMENTS_MAX } from './uring-message.ts';
import { OPERATION_BITS, operation } from './uring-tags.ts';

export const phase = Object.freeze({ free: 0, connecting: 1, open: 2, ending: 3, dying: 4 });

export const RECEIVE_MANY = IORING_OP_RECV | (IOSQE_BUFFER_SELECT << 8) | (IORING_RECV_MULTISHOT << 16);
const RECEIVE_ONE = IORING_OP_RECV | (IOSQE_BUFFER_SELECT << 8);
const SEND = IORING_OP_SEND;
const SENDMSG = IORING_OP_SENDMSG;
/** After a send that was cut short the socket is full: waiting for room spares an attempt. */
const WHEN_WRITABLE = IORING_RECVSEND_POLL_FIRST << 16;
const CANCEL = IORING_OP_ASYNC_CANCEL | (IOSQE_CQE_SKIP_SUCCESS << 8);
const CLOSE = IORING_OP_CLOSE | (IOSQE_CQE_SKIP_SUCCESS << 8);

/** States of the peer's end of stream. */
const END_NONE = 0;
const END_SEEN = 1;
const END_TOLD = 2;

const NO_WORDS = new Int32Array(0);
const NO_CLOSE = -1;

export class UringWire implements Wire, TimerOwner {
  owner: WireOwner;
  queued: number;
  received: number;
  sent: number;
  drainBelow: number;

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
  private lingerTimer: number;
  private peerText: string;
  // Rings of queued segments (block, start, end, unused) and of received pieces that wait for resume() (block, length). Their
  // capacities are powers of two; who sends keeps to its own limit, and a paused wire receives no further than its socket holds.
  private segments: Int32Array;
  private segmentFirst: number;
  private segmentCount: number;
  /** Segments in the send in flight. */
  private segmentsBusy: number;
  private pieces: Int32Array;
  private pieceFirst: number;
  private pieceCount: number;

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
    this.lingerTimer = 0;
    this.peerText = '';
    this.segments = NO_WORDS;
    this.segmentFirst = 0;
    this.segmentCount = 0;
    this.segmentsBusy = 0;
    this.pieces = NO_WORDS;
    this.pieceFirst = 0;
    this.pieceCount = 0;
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
    this.markDirty();
  }

  get isOpen(): boolean {
    return this.phase === phase.open && this.sendErrno === 0;
  }
  get hasUnread(): boolean {
    return this.pieceCount > 0 || this.end !== END_NONE;
  }

  send(block: number, start: number, end: number): void {
    if (this.phase !== phase.open || this.wantsFin) {
      // Rule 10 of base/wire.ts: nothing is done on a wire that has failed.
      assert(this.phase === phase.dying && this.closing === NO_CLOSE, 'send is for an open wire');
      return;
    }
    if (start >= end || this.sendErrno !== 0) return;
    const count = this.segmentCount;
    this.queued += end - start;
    if (count > this.segmentsBusy) {
      const last = ((this.segmentFirst + count - 1) & (this.segments.length / 4 - 1)) * 4;
      if (this.segments[last] === block && this.segments[last + 2] === start) {
        this.segments[last + 2] = end;
        return;
      }
    }
    this.engine.blocks.retain(block);
    if (count * 4 === this.segments.length) this.growSegments();
    const at = ((this.segmentFirst + count) & (this.segments.length / 4 - 1)) * 4;
    this.segments[at] = block;
    this.segments[at + 1] = start;
    this.segments[at + 2] = end;
    this.segmentCount = count + 1;
    if (!this.isDirty) this.markDirty();
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
    if (how === closeHow.flush && this.pieceCount > 0) this.hasUnreadDropped = true;
    this.dropPieces();
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

  /** The linger timer: the peer had its time. */
  onTimer(_kind: number): void {
    this.lingerTimer = 0;
    this.die(0);
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
    if ((this.pieceCount > 0 || this.end === END_SEEN) && !this.isPaused) {
      this.deliver();
      if (this.phase !== phase.open && this.phase !== phase.ending) return;
    }
    if (!this.isSending) {
      if (this.segmentCount > 0) this.startSend();
      else if (this.phase === phase.ending || this.wantsFin) {
        this.finish();
        if (this.phase !== phase.open && this.phase !== phase.ending) return;
      }
    }
    if (this.isReceiving || this.isStarved || this.end !== END_NONE) return;
    if (!this.isPaused) this.startReceive();
    else if (!this.isWatched && !this.hasFired) this.startWatch();
  }

  /** A completion of the receive. */
  onReceive(result: number, flags: number): void {
    const hasMore = (flags & IORING_CQE_F_MORE) !== 0;
    if (!hasMore) {
      this.isReceiving = false;
      this.isCancelling = false;
    }
    const { engine } = this;
    if ((flags & IORING_CQE_F_BUFFER) !== 0) {
      const block = flags >>> IORING_CQE_BUFFER_SHIFT;
      engine.blockRing.count--;
      if (result > 0) {
        if (this.phase === phase.open && !this.isPaused && this.pieceCount === 0) {
          const start = engine.blocks.start(block);
          this.received += result;
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
    this.segmentsBusy = 0;
    if (this.message !== NO_MESSAGE) {
      this.engine.messages.release(this.message);
      this.message = NO_MESSAGE;
    }
    if (this.phase === phase.dying) {
      this.bury();
      return;
    }
    if (result < 0) {
      this.failSend(-result);
      return;
    }
    this.sent += result;
    this.queued -= result;
    this.sendWasCut = this.consume(result);
    if (this.segmentCount > 0 || this.phase === phase.ending || this.wantsFin) this.markDirty();
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
    this.dropPieces();
    if (this.lingerTimer !== 0) {
      engine.cancelTimer(this.lingerTimer);
      this.lingerTimer = 0;
    }
    this.cancelAll();
    if (fd >= 0) {
      this.fd = -1;
      if (this.closing === closeHow.reset || this.hasUnreadDropped) setReset(fd);
      engine.ring.put(CLOSE, fd, 0, 0, 0, 0, 0, operation.close, 0);
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
    const slot = this.index << OPERATION_BITS;
    this.engine.ring.putCancel(CANCEL, slot | which, this.generation, slot | answer, this.generation);
  }

  /** The last completion has come: tell, and give the slot back. */
  private bury(): void {
    if (this.isReceiving || this.isSending || this.isConnecting || this.isWatched || this.isDirty) return;
    const { engine, segments } = this;
    while (this.segmentCount > 0) {
      engine.blocks.release(segments[this.segmentFirst * 4]!);
      this.segmentFirst = (this.segmentFirst + 1) & (segments.length / 4 - 1);
      this.segmentCount--;
    }
    this.queued = 0;
    this.segmentFirst = 0;
    this.phase = phase.free;
    this.isStarved = false;
    engine.open--;
    this.owner.onClosed(this, this.errno);
    engine.giveWire(this);
  }

  private startReceive(): void {
    this.isReceiving = true;
    const head = this.isSingle ? RECEIVE_ONE : RECEIVE_MANY;
    this.engine.ring.putReceive(
      head,
      this.fd,
      0,
      this.isSingle ? 0 : this.engine.multishotBytes,
      this.index << OPERATION_BITS,
      this.generation,
    );
  }

  private startWatch(): void {
    this.isWatched = true;
    const tag = (this.index << OPERATION_BITS) | operation.watch;
    // No event is asked for: errors and hang-ups come unasked. So does an end of stream, which is why there is no watch after one: it
    // would fire at once. A reset that follows an end is learnt by the next send.
    this.engine.ring.put(IORING_OP_POLL_ADD, this.fd, 0, 0, 0, 0, 0, tag, this.generation);
  }

  private startSend(): void {
    const { engine, segments } = this;
    const mask = segments.length / 4 - 1;
    const at = this.segmentFirst * 4;
    const tag = (this.index << OPERATION_BITS) | operation.send;
    const when = this.sendWasCut ? WHEN_WRITABLE : 0;
    this.isSending = true;
    if (this.segmentCount > 1) {
      const message = engine.messages.take();
      if (message !== NO_MESSAGE) {
        const count = Math.min(this.segmentCount, SEGMENTS_MAX);
        for (let i = 0; i < count; i++) {
          const from = ((this.segmentFirst + i) & mask) * 4;
          const start = segments[from + 1]!;
          engine.messages.setSegment(message, i, engine.arenaAddress + start, segments[from + 2]! - start);
        }
        engine.messages.setCount(message, count);
        this.message = message;
        this.segmentsBusy = count;
        engine.ring.put(SENDMSG | when, this.fd, 0, 0, engine.messages.address(message), 1, MSG_NOSIGNAL, tag, this.generation);
        return;
      }
    }
    const start = segments[at + 1]!;
    this.segmentsBusy = 1;
    engine.ring.put(
      SEND | when,
      this.fd,
      0,
      0,
      engine.arenaAddress + start,
      segments[at + 2]! - start,
      MSG_NOSIGNAL,
      tag,
      this.generation,
    );
  }

  /** Takes sent bytes off the queue. True when the last segment of them was cut. */
  private consume(count: number): boolean {
    const { segments, engine } = this;
    const mask = segments.length / 4 - 1;
    let left = count;
    while (left > 0) {
      const at = this.segmentFirst * 4;
      const length = segments[at + 2]! - segments[at + 1]!;
      if (left < length) {
        segments[at + 1]! += left;
        return true;
      }
      left -= length;
      engine.blocks.release(segments[at]!);
      this.segmentFirst = (this.segmentFirst + 1) & mask;
      this.segmentCount--;
    }
    return false;
  }

  /** Everything queued is sent: end the sending half, or the wire. */
  private finish(): void {
    if (this.phase === phase.ending && this.closing === closeHow.flush) {
      this.die(0);
      return;
    }
    if (!this.hasFin) {
      this.hasFin = true;
      const result = shutdown(this.fd, SHUT_WR);
      if (result < 0 && result !== -ENOTCONN) {
        this.die(-result);
        return;
      }
      if (this.phase === phase.ending) this.lingerTimer = this.engine.setTimer(LINGER_MS, this, 0);
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
    if (this.pieceCount * 2 === this.pieces.length) this.growPieces();
    const at = ((this.pieceFirst + this.pieceCount) & (this.pieces.length / 2 - 1)) * 2;
    this.pieces[at] = block;
    this.pieces[at + 1] = length;
    this.pieceCount++;
    this.isSingle = true;
    if (!hasMore) this.markDirty();
    else if (!this.isCancelling) {
      this.isCancelling = true;
      this.cancel(operation.receive, operation.cancelReceive);
    }
  }

  /** Hands out what waited for resume(), in order, until paused again. */
  private deliver(): void {
    const { engine } = this;
    while (this.pieceCount > 0 && !this.isPaused && this.phase === phase.open) {
      const at = this.pieceFirst * 2;
      const block = this.pieces[at]!;
      const length = this.pieces[at + 1]!;
      this.pieceFirst = (this.pieceFirst + 1) & (this.pieces.length / 2 - 1);
      this.pieceCount--;
      const start = engine.blocks.start(block);
      this.received += length;
      this.owner.onBytes(this, block, start, start + length);
      engine.blocks.release(block);
    }
    if (this.end === END_SEEN && this.pieceCount === 0 && !this.isPaused && this.phase === phase.open) this.tellEnd();
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
    else if (!this.isPaused && this.pieceCount === 0) this.tellEnd();
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

  private dropPieces(): void {
    while (this.pieceCount > 0) {
      this.engine.blocks.release(this.pieces[this.pieceFirst * 2]!);
      this.pieceFirst = (this.pieceFirst + 1) & (this.pieces.length / 2 - 1);
      this.pieceCount--;
    }
  }

  private growSegments(): void {
    this.segments = grown(this.segments, this.segmentFirst * 4, 8);
    this.segmentFirst = 0;
  }
  private growPieces(): void {
    this.pieces = grown(this.pieces, this.pieceFirst * 2, 4);
    this.pieceFirst = 0;
  }
}

/** A full ring of words, twice as long, begun at its first entry. */
function grown(words: Int32Array, first: number, lengthMin: number): Int32Array {
  const wider = new Int32Array(words.length === 0 ? lengthMin : words.length * 2);
  wider.set(words.subarray(first), 0);
  wider.set(words.subarray(0, first), words.length - first);
  return wider;
}
