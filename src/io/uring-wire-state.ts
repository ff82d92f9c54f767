/**
 * uring-wire-state: what is known of one stream over io_uring. uring-wire.ts and its parts (-receive, -send, -pour) move it on; nobody else
 * writes to it.
 *
 * A slot that is free has nothing in flight, nothing queued and nothing kept, as bury() left it; clear() puts back the rest.
 */
import type { WireOwner } from '../base/wire.ts';
import { NO_PIECE } from './send-queue.ts';
import type { UringEngine } from './uring.ts';
import { NO_MESSAGE } from './uring-message.ts';
import { NO_PIPE } from './uring-pour.ts';
import type { UringWire } from './uring-wire.ts';

export const phase = Object.freeze({ free: 0, connecting: 1, open: 2, ending: 3, dying: 4 });

/** States of the peer's end of stream. */
export const END_NONE = 0;
export const END_SEEN = 1;
export const END_TOLD = 2;

/** Nobody asked to close. */
export const NO_CLOSE = -1;

export class UringWireState {
  readonly engine: UringEngine;
  readonly index: number;
  generation = 1;
  owner: WireOwner;
  fd = -1;
  phase: number = phase.free;
  isDirty = false;

  // In flight.
  isReceiving = false;
  isSending = false;
  isConnecting = false;
  /** The port that is dialled is one the kernel may also choose for this end. */
  mayMeetItself = false;
  /** A poll stands by for errors. It is armed when the wire stops receiving, and stays until it fires or the wire dies. */
  isWatched = false;
  /** The watch has fired: it would fire again at once. */
  hasFired = false;

  // Receiving.
  received = 0;
  isPaused = false;
  /** The ring had no block when bytes arrived; receive again when it has. */
  isStarved = false;
  /** Receive piece by piece: this wire is paused so often that a multishot would only be cancelled again. */
  isSingle = false;
  isCancelling = false;
  end = END_NONE;
  /** Bytes were received that nobody will read: closing must not look orderly to the peer (RFC 1122 §4.2.2.13). */
  hasUnreadDropped = false;
  /** A chain in the engine's piece queue: what was received and waits for resume(). */
  keptFirst = NO_PIECE;
  keptLast = NO_PIECE;

  // Sending.
  queued = 0;
  sent = 0;
  drainBelow = -1;
  /** A chain in the engine's piece queue: what is to be sent. */
  sendFirst = NO_PIECE;
  sendLast = NO_PIECE;
  /** Bytes of the send in flight. */
  sending = 0;
  message = NO_MESSAGE;
  sendWasCut = false;
  /** Sending failed; what the peer sent before is still read. */
  sendErrno = 0;

  // Closing.
  wantsFin = false;
  hasFin = false;
  closing = NO_CLOSE;
  errno = 0;
  /** While flushing: of FLUSH_STALL_MS. While lingering: of LINGER_MS. */
  closeTimer = 0;
  stallSent = 0;

  // Pouring: to whom, from whom, and what is on its way.
  pouredMs = 0;
  pourTo: UringWire | null = null;
  pourFrom: UringWire | null = null;
  /** Blocks that came well filled, one after the other. */
  fullCount = 0;
  /** Has poured: one of the users of the pipes. */
  hasPipes = false;
  /** The receive in flight is a poll. */
  isPouring = false;
  /** Receives nothing until the other end has sent what it has. */
  isHeld = false;
  /** The send in flight is a poll: the pipe waits for room. */
  isPipeWaiting = false;
  pipe = NO_PIPE;
  pipeBytes = 0;

  constructor(engine: UringEngine, index: number, owner: WireOwner) {
    this.engine = engine;
    this.index = index;
    this.owner = owner;
  }

  /** Forgets the connection that had the slot. */
  protected clear(): void {
    this.received = this.sent = 0;
    this.drainBelow = -1;
    this.isPaused = this.isSingle = false;
    this.hasFired = this.hasUnreadDropped = false;
    this.end = END_NONE;
    this.wantsFin = this.hasFin = false;
    this.closing = NO_CLOSE;
    this.errno = this.sendErrno = 0;
    this.sendWasCut = false;
    this.pouredMs = 0;
  }
}
