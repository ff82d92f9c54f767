/**
 * http1-connection-send: the head and the end of a response: how its body is framed for this client, and whether the connection goes on after it.
 * The body between them needs nothing of the kind.
 */
import { framing, type Head } from '../base/head.ts';
import { closeHow } from '../base/wire.ts';
import type { Http1ClientConnection } from './http1-connection.ts';
import { close } from './http1-connection-close.ts';
import { settle } from './http1-connection-next.ts';

/** An interim (1xx) or the final head. */
export function sendHead(connection: Http1ClientConnection, head: Head): void {
  if (connection.isClosing) return;
  const { clients, listener, version, writer, wire } = connection;
  if (head.status < 200 && head.status !== 101) {
    // A 1.0 client does not know interim responses (RFC 9110 §15.2).
    if (version >= 11 && !writer.responseHead(wire, head, framing.none, true, version, false)) connection.abort();
    return;
  }
  if (clients.isDraining || listener.index < 0 || ++connection.served >= listener.plan.limits.requestsPerConnectionMax)
    connection.keepAlive = false;
  let out = head.framing;
  let isChunked = false;
  if (out === framing.chunked || out === framing.untilClose) {
    if (version >= 11) {
      out = framing.chunked;
      isChunked = true;
    } else {
      out = framing.untilClose;
      connection.keepAlive = false;
    }
  }
  if (!writer.responseHead(wire, head, out, connection.keepAlive, version, isChunked)) connection.abort();
}

/** The response, or the endpoint's direction of a tunnel, is complete. */
export function sendEnd(connection: Http1ClientConnection, trailers: Head | null): void {
  if (connection.isClosing) return;
  if (connection.isTunnel) {
    connection.isTunnelSent = true;
    if (connection.hasPeerEnded) close(connection, closeHow.flush);
    else connection.wire.sendClose();
    return;
  }
  if (!connection.writer.end(connection.wire, connection.acceptsTrailers ? trailers : null)) {
    connection.abort();
    return;
  }
  connection.isResponseDone = true;
  if (!connection.isProcessing) settle(connection);
}
