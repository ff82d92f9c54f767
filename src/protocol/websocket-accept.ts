/**
 * The proof that an endpoint understood a WebSocket opening (RFC 6455 §4.2.2). Once per WebSocket, so it may cost a string and a hash.
 */
import { createHash } from 'node:crypto';

const GUID = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11';

/** What Sec-WebSocket-Accept must say to this Sec-WebSocket-Key. */
export function acceptFor(key: string): string {
  return createHash('sha1')
    .update(key + GUID, 'latin1')
    .digest('base64');
}
