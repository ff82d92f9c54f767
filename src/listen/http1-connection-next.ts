/** http1-connection-next: what follows a complete response: the next pipelined request, an idle connection, or the end of it. */
import { NO_BLOCK } from '../base/blocks.ts';
import { closeHow } from '../base/wire.ts';
import type { Http1ClientConnection } from './http1-connection.ts';
import { close, countBytes } from './http1-connection-close.ts';
import { applyPause, decodeAndKeep } from './http1-connection-receive.ts';
import { setDeadline } from './http1-connection-time.ts';

/** The response is complete; so is the exchange, when the request is. */
export function settle(connection: Http1ClientConnection): void {
  if (!connection.isRequestDone) {
    // The answer came before the end of the request: the rest of it is not read.
    connection.sink = null;
    close(connection, closeHow.linger);
    return;
  }
  over(connection);
  if (connection.isClosing) return;
  if (connection.stashBlock === NO_BLOCK) {
    becomeIdle(connection);
    return;
  }
  const { stashBlock, stashStart, stashEnd } = connection;
  connection.stashBlock = NO_BLOCK;
  connection.isPausedByUs = false;
  decodeAndKeep(connection, stashBlock, stashStart, stashEnd);
  connection.parts.blocks.release(stashBlock);
  if (connection.isClosing) return;
  applyPause(connection);
}

/** Both messages are complete. */
export function over(connection: Http1ClientConnection): void {
  const { wire } = connection;
  connection.sink = null;
  connection.isReading = false;
  connection.isRequestDone = connection.isResponseDone = false;
  countBytes(connection);
  wire.drainBelow = -1;
  connection.isPausedByRelay = false;
  if (!connection.isPausedByUs) wire.resume();
  if (!connection.keepAlive)
    close(connection, connection.isDeaf || connection.stashBlock !== NO_BLOCK ? closeHow.linger : closeHow.flush);
}

/** Nothing is under way: the connection holds neither block nor head, and may be shed. */
export function becomeIdle(connection: Http1ClientConnection): void {
  if (connection.hasPeerEnded) {
    close(connection, closeHow.flush);
    return;
  }
  if (connection.isIdle) return;
  giveHead(connection);
  connection.idleSinceMs = connection.parts.engine.now;
  connection.clients.linkIdle(connection);
  setDeadline(connection, connection.idleSinceMs + connection.listener.plan.timeouts.idleMs);
}

/** Gives back a head that nothing was decoded into. */
export function giveHead(connection: Http1ClientConnection): void {
  const { decoder } = connection;
  if (decoder.head === null) return;
  connection.parts.heads.give(decoder.head);
  decoder.head = null;
}
