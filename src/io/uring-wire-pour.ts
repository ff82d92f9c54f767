/**
 * uring-wire-pour: how one wire pours into another.
 *
 * A wire that pours waits for bytes by a poll in the place of its receive, moves them into a pipe and out again at once. What the other end
 * has no room for stays in the pipe, which is the other's until empty, with a poll in the place of its send; meanwhile nothing is received.
 */
import { EAGAIN, EINVAL } from '../sys/constants.generated.ts';
import { neverWait } from '../sys/pipe.ts';
import { NO_PIECE } from './send-queue.ts';
import { NO_PIPE, POUR_BYTES_MIN } from './uring-pour.ts';
import * as submit from './uring-submit.ts';
import type { UringWire } from './uring-wire.ts';
import { endReceive } from './uring-wire-receive.ts';
import { failSend } from './uring-wire-send.ts';
import { phase } from './uring-wire-state.ts';

/** In the place of a receive. */
export function startPour(from: UringWire): void {
  if (!from.hasPipes) usePipes(from);
  from.isPouring = true;
  submit.awaitBytes(from.engine.ring, from.fd, from.index, from.generation);
}

function usePipes(wire: UringWire): void {
  wire.hasPipes = true;
  wire.engine.pipes.join();
  neverWait(wire.fd);
}

/** The poll has fired: there are bytes, an end or an error. */
export function pour(from: UringWire, result: number): void {
  if (from.phase === phase.dying) {
    from.bury();
    return;
  }
  const { pourTo: to, engine } = from;
  if (result < 0 || from.phase !== phase.open || from.isPaused || to === null || !to.isOpen || to.wantsFin) {
    from.fullCount = 0;
    from.markDirty();
    return;
  }
  if (to.isSending || to.sendFirst !== NO_PIECE) {
    from.isHeld = true;
    return;
  }
  const pipe = engine.pipes.take();
  const count = pipe === NO_PIPE ? -EINVAL : engine.pipes.fill(pipe, from.fd);
  if (count > 0) {
    from.received += count;
    from.pouredMs = engine.now;
    if (count < POUR_BYTES_MIN) from.fullCount = 0;
    from.isHeld = true;
    if (!to.hasPipes) usePipes(to);
    to.pipe = pipe;
    to.pipeBytes = count;
    emptyPipe(to);
    return;
  }
  if (pipe !== NO_PIPE) engine.pipes.give(pipe);
  if (count === -EINVAL || count === -EAGAIN) {
    // Not to be had: blocks then.
    from.fullCount = 0;
    from.markDirty();
  } else endReceive(from, count);
}

/** Sends what is in the pipe, or waits until it can. */
export function emptyPipe(to: UringWire): void {
  const { engine } = to;
  while (to.pipeBytes > 0) {
    const count = engine.pipes.drain(to.pipe, to.fd, to.pipeBytes);
    if (count === -EAGAIN) {
      to.isSending = true;
      to.isPipeWaiting = true;
      submit.awaitRoom(engine.ring, to.fd, to.index, to.generation);
      return;
    }
    if (count <= 0) {
      failSend(to, -count);
      return;
    }
    to.sent += count;
    to.pouredMs = engine.now;
    to.pipeBytes -= count;
  }
  engine.pipes.give(to.pipe);
  to.pipe = NO_PIPE;
  if (to.pourFrom !== null) letGo(to.pourFrom);
  if (to.sendFirst !== NO_PIECE || to.phase === phase.ending || to.wantsFin) to.markDirty();
}

/** The other end has sent what it had. */
export function letGo(from: UringWire): void {
  if (!from.isHeld) return;
  from.isHeld = false;
  from.markDirty();
}

/** The wire dies, and pours no more in either direction. */
export function endPouring(wire: UringWire): void {
  const { pourTo: to, pourFrom: from, engine } = wire;
  wire.pourTo = null;
  wire.pourFrom = null;
  wire.isHeld = false;
  wire.fullCount = 0;
  if (to !== null) to.pourFrom = null;
  if (from !== null) {
    from.pourTo = null;
    letGo(from);
  }
  if (wire.pipe !== NO_PIPE) engine.pipes.shut(wire.pipe);
  wire.pipe = NO_PIPE;
  wire.pipeBytes = 0;
  if (wire.hasPipes) engine.pipes.leave();
  wire.hasPipes = false;
}
