/**
 * http1: HTTP/1.0 and HTTP/1.1 messages (RFC 9110, RFC 9112), bytes to heads and bodies and back. Pure: no I/O, no clock.
 */
export { Http1Decoder, type Http1Limits } from './decode.ts';
export { CHUNK_HEAD_BYTES_MAX, encodeChunkHead, encodeLastChunk, encodeRequestHead, encodeResponseHead } from './encode.ts';
