/**
 * http1-connection-receive: the way of a client's bytes into the decoder.
 *
 * Rules
 * 1. Bytes are decoded where they lie. What is left of an incomplete head is copied together (base/carry.ts) until the rest is there.
 * 2. Bytes behind a complete request wait, unparsed, in the block they came in, and reading pauses, until that request is answered.
 */
import { NO_BLOCK } from '../base/blocks.ts';
import { fault } from '../base/faults.ts';
import type { Http1ClientConnection } from './http1-connection.ts';
import { badBytes } from './http1-connection-fault.ts';
import { becomeIdle, over, settle } from './http1-connection-next.ts';
import { setDeadline, watchRate } from './http1-connection-time.ts';

/** bytes[start, end) of the block came; lent for the call. */
export function receive(connection: Http1ClientConnection, block: number, start: number, end: number): void {
  if (connection.isClosing || connection.isDeaf) return;
  if (connection.isTunnel) {
    connection.sink?.onRequestBody(block, start, end);
    return;
  }
  const { carry } = connection;
  if (carry.isEmpty) {
    decodeAndKeep(connection, block, start, end);
    return;
  }
  while (start < end && !connection.isClosing) {
    const taken = carry.append(start, end);
    if (taken <= 0) {
      badBytes(connection, taken < 0 ? fault.overload : fault.headTooLarge, 'head larger than a block');
      return;
    }
    start += taken;
    const from = carry.start;
    const left = decode(connection, carry.block, from, carry.end);
    if (!carry.consume(left - from)) {
      badBytes(connection, fault.overload, 'no block free');
      return;
    }
    if (carry.isEmpty && start < end) {
      receive(connection, block, start, end);
      return;
    }
  }
}

/** Decodes bytes with nothing kept before them, and keeps what is left: an incomplete head. */
export function decodeAndKeep(connection: Http1ClientConnection, block: number, start: number, end: number): void {
  const left = decode(connection, block, start, end);
  if (left >= end || connection.isClosing) return;
  const taken = connection.carry.append(left, end);
  if (taken < end - left) badBytes(connection, taken < 0 ? fault.overload : fault.headTooLarge, 'head larger than a block');
}

/** Decodes bytes; returns how far they are dealt with. What is left belongs to an incomplete head. */
function decode(connection: Http1ClientConnection, block: number, start: number, end: number): number {
  const { decoder, parts } = connection;
  const { bytes } = parts.blocks;
  connection.isProcessing = true;
  connection.block = block;
  while (start < end && !connection.isClosing) {
    if (connection.isTunnel) {
      connection.sink?.onRequestBody(block, start, end);
      start = end;
      break;
    }
    if (connection.isRequestDone) {
      // The next request (pipelining) waits for the response under way.
      stash(connection, block, start, end);
      start = end;
      break;
    }
    if (!connection.isReading) beginMessage(connection);
    if (decoder.head === null) decoder.head = parts.heads.take();
    const count = decoder.feed(bytes, start, end, connection);
    if (connection.isClosing) break;
    if (count < 0) {
      badBytes(connection, -count, decoder.faultDetail);
      break;
    }
    start += count;
    if (connection.isRequestDone && connection.isResponseDone) over(connection);
    else if (count === 0) {
      if (connection.sink === null) setDeadline(connection, connection.startedMs + connection.listener.plan.timeouts.headerMs);
      break;
    }
  }
  connection.isProcessing = false;
  if (connection.isClosing) return end;
  if (connection.isResponseDone) settle(connection);
  else if (connection.sink !== null && !connection.isRequestDone && !connection.isTunnel) watchRate(connection);
  else if (start === end && !connection.isReading) becomeIdle(connection);
  return connection.isClosing || connection.isDeaf ? end : start;
}

function beginMessage(connection: Http1ClientConnection): void {
  const { now } = connection.parts.engine;
  connection.isReading = true;
  connection.isRequestDone = connection.isResponseDone = false;
  connection.startedMs = now;
  connection.idleMs = now - connection.idleSinceMs;
  connection.rate.begin();
  connection.clients.unlinkIdle(connection);
}

function stash(connection: Http1ClientConnection, block: number, start: number, end: number): void {
  connection.parts.blocks.retain(block);
  connection.stashBlock = block;
  connection.stashStart = start;
  connection.stashEnd = end;
  connection.isPausedByUs = true;
  applyPause(connection);
}

export function dropStash(connection: Http1ClientConnection): void {
  if (connection.stashBlock === NO_BLOCK) return;
  connection.parts.blocks.release(connection.stashBlock);
  connection.stashBlock = NO_BLOCK;
}

/** Reading pauses while relay/ takes no more, or the next request is there already. */
export function applyPause(connection: Http1ClientConnection): void {
  if (connection.isPausedByRelay || connection.isPausedByUs) connection.wire.pause();
  else connection.wire.resume();
}
