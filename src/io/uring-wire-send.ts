/** uring-wire-send: how a wire sends what is queued, one send at a time, and ends when everything is sent. */
import { closeHow, LINGER_MS } from '../base/wire.ts';
import { ENOTCONN, SHUT_WR } from '../sys/constants.generated.ts';
import { shutdown } from '../sys/socket.ts';
import { NO_PIECE } from './send-queue.ts';
import { NO_MESSAGE, SEGMENTS_MAX } from './uring-message.ts';
import * as submit from './uring-submit.ts';
import type { UringWire } from './uring-wire.ts';
import { END_NONE, END_TOLD, phase } from './uring-wire-state.ts';

/** Sends the first piece, or as many as fit a message. */
export function startSend(wire: UringWire): void {
  const { engine, sendFirst } = wire;
  const { pieces } = engine;
  wire.isSending = true;
  if (sendFirst !== wire.sendLast) {
    wire.message = engine.messages.take();
    if (wire.message !== NO_MESSAGE) {
      startMessage(wire);
      return;
    }
  }
  const start = pieces.start[sendFirst]!;
  const sending = pieces.end[sendFirst]! - start;
  wire.sending = sending;
  const isLast = wire.wantsFin && sending === wire.queued;
  const at = engine.arenaAddress + start;
  submit.send(engine.ring, wire.fd, at, sending, wire.sendWasCut, isLast, wire.index, wire.generation);
}

function startMessage(wire: UringWire): void {
  const { engine, message } = wire;
  const { pieces, messages } = engine;
  let count = 0;
  wire.sending = 0;
  for (let piece = wire.sendFirst; piece !== NO_PIECE && count < SEGMENTS_MAX; piece = pieces.next[piece]!) {
    const start = pieces.start[piece]!;
    const length = pieces.end[piece]! - start;
    messages.setSegment(message, count++, engine.arenaAddress + start, length);
    wire.sending += length;
  }
  messages.setCount(message, count);
  const isLast = wire.wantsFin && wire.sending === wire.queued;
  submit.sendMessage(engine.ring, wire.fd, messages.address(message), wire.sendWasCut, isLast, wire.index, wire.generation);
}

/** Everything queued is sent: ends the sending half, or the wire. */
export function finish(wire: UringWire): void {
  if (wire.phase === phase.ending && wire.closing === closeHow.flush) {
    wire.die(0);
    return;
  }
  if (!wire.hasFin) {
    wire.hasFin = true;
    // The peer has ended too, so nothing is unread: closing the descriptor sends the FIN.
    if (wire.phase === phase.open && wire.end === END_TOLD) {
      wire.die(0);
      return;
    }
    const result = shutdown(wire.fd, SHUT_WR);
    if (result < 0 && result !== -ENOTCONN) {
      wire.die(-result);
      return;
    }
    if (wire.phase === phase.ending) {
      wire.engine.cancelTimer(wire.closeTimer);
      wire.closeTimer = wire.engine.setTimer(LINGER_MS, wire, 0);
    }
  }
  if (wire.phase === phase.ending ? wire.end !== END_NONE : wire.end === END_TOLD) wire.die(0);
}

/**
 * A failed send (EPIPE, ECONNRESET) often follows an answer that the peer gave before it closed. What has arrived is still read: the
 * socket is broken, so the receive ends by itself, with or without bytes.
 */
export function failSend(wire: UringWire, errno: number): void {
  if (wire.phase === phase.open && !wire.isPaused && wire.isReceiving) {
    wire.sendErrno = errno;
    return;
  }
  wire.die(errno);
}
