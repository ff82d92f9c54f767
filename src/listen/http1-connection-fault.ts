/**
 * http1-connection-fault: what a client did wrong, in its bytes or in its time, while it can still be answered. Nothing it sends after that is parsed
 * (rule 2 of http1-connection.ts), and the connection ends with the answer.
 */
import type { Http1ClientConnection } from './http1-connection.ts';

/** What came cannot be decoded, or there is no room for it. */
export function badBytes(connection: Http1ClientConnection, faultId: number, detail: string): void {
  // Answered already: the rest of the request is of no interest.
  if (connection.isResponseDone) connection.isDeaf = true;
  else if (connection.sink === null) reject(connection, faultId, detail);
  else requestFault(connection, faultId, detail);
}

/** No head could be read: answers and closes. Never called with an exchange under way. */
export function reject(connection: Http1ClientConnection, faultId: number, detail: string): void {
  if (connection.isClosing) return;
  connection.keepAlive = false;
  connection.isDeaf = true;
  connection.deadlineMs = Infinity;
  connection.isRequestDone = true;
  connection.clients.unlinkIdle(connection);
  connection.parts.taker.onBadRequest(connection, connection.listener, faultId, detail);
}

/** The body of the request under way went wrong: relay/ answers where it still can. */
export function requestFault(connection: Http1ClientConnection, faultId: number, detail: string): void {
  const { sink } = connection;
  connection.keepAlive = false;
  connection.isDeaf = true;
  if (sink !== null) sink.onRequestFault(faultId, detail);
}
