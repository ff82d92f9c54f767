/**
 * uring-wire-receive: what a wire keeps while its owner wants no bytes, and how it hands that out again; what the end of a receive means.
 */
import { closeHow } from '../base/wire.ts';
import { ECANCELED, EINTR, ENOBUFS } from '../sys/constants.generated.ts';
import { NO_PIECE } from './send-queue.ts';
import { operation } from './uring-tags.ts';
import type { UringWire } from './uring-wire.ts';
import { END_SEEN, END_TOLD, phase } from './uring-wire-state.ts';

/** Bytes that cannot be delivered now: kept while paused, dropped when nobody wants them any more. */
export function keep(wire: UringWire, block: number, length: number, hasMore: boolean): void {
  const { blocks, pieces } = wire.engine;
  if (wire.phase !== phase.open) {
    blocks.release(block);
    if (!hasMore) settle(wire);
    return;
  }
  const start = blocks.start(block);
  const last = pieces.add(wire.keptLast, block, start, start + length);
  if (wire.keptLast === NO_PIECE) wire.keptFirst = last;
  wire.keptLast = last;
  blocks.release(block);
  wire.isSingle = true;
  if (!hasMore) wire.markDirty();
  else if (!wire.isCancelling) {
    wire.isCancelling = true;
    wire.cancel(operation.receive, operation.cancelReceive);
  }
}

/** A single receive, or a multishot that lost F_MORE, of a wire that is not open. */
function settle(wire: UringWire): void {
  if (wire.phase === phase.dying) wire.bury();
  else wire.markDirty();
}

/** Hands out what waited for resume(), in order, until paused again. */
export function deliver(wire: UringWire): void {
  const { blocks, pieces } = wire.engine;
  while (wire.keptFirst !== NO_PIECE && !wire.isPaused && wire.phase === phase.open) {
    const piece = wire.keptFirst;
    const block = pieces.block[piece]!;
    const start = pieces.start[piece]!;
    const end = pieces.end[piece]!;
    blocks.retain(block);
    wire.keptFirst = pieces.take(piece, end - start);
    if (wire.keptFirst === NO_PIECE) wire.keptLast = NO_PIECE;
    wire.received += end - start;
    wire.owner.onBytes(wire, block, start, end);
    blocks.release(block);
  }
  if (wire.end === END_SEEN && wire.keptFirst === NO_PIECE && !wire.isPaused && wire.phase === phase.open) tellEnd(wire);
}

export function dropKept(wire: UringWire): void {
  wire.engine.pieces.clear(wire.keptFirst);
  wire.keptFirst = NO_PIECE;
  wire.keptLast = NO_PIECE;
}

function tellEnd(wire: UringWire): void {
  wire.end = END_TOLD;
  wire.owner.onRecvEnd(wire);
  if (wire.hasFin) wire.markDirty();
}

/** The receive ended without bytes: end of stream, error, cancelled, interrupted by a signal, or no block. */
export function endReceive(wire: UringWire, result: number): void {
  if (wire.phase === phase.dying) {
    wire.bury();
    return;
  }
  if (result === -ENOBUFS) {
    wire.engine.starve(wire);
    return;
  }
  if (result === -ECANCELED || result === -EINTR) {
    wire.markDirty();
    return;
  }
  if (result < 0) {
    wire.die(wire.closing === closeHow.linger && wire.hasFin ? 0 : -result);
    return;
  }
  if (wire.sendErrno !== 0) {
    wire.die(wire.sendErrno);
    return;
  }
  wire.end = END_SEEN;
  if (wire.phase === phase.ending) wire.markDirty();
  else if (!wire.isPaused && wire.keptFirst === NO_PIECE) tellEnd(wire);
}
