/**
 * http1: HTTP/1.0 and HTTP/1.1 messages (RFC 9110, RFC 9112), bytes to heads and bodies and back. Pure: no I/O, no clock.
 *
 * It does not know: connections, deadlines, routes. Whether CONNECT and TRACE are served, what a 101 is worth and when a connection is
 * given up is for the caller to say.
 *
 * Rules
 * 1. Strict: what two parsers might read in two ways is a fault, with the status that fits, and never passes.
 * 2. Nothing is allocated per message, and no string is made.
 * 3. What is written is written from the parsed head, never from bytes that were not understood.
 */

export { acceptFor } from '../websocket-accept.ts';
export { Http1Decoder, type Http1Limits } from './decode.ts';
export { CHUNK_HEAD_BYTES_MAX, encodeChunkHead, encodeLastChunk, encodeRequestHead, encodeResponseHead } from './encode.ts';
export { Http1Writer } from './writer.ts';
