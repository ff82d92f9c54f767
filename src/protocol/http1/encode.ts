import type { Head } from '../../base/head.ts';

/** Room a chunk head may take: 8 hex digits, CRLF, and the CRLF that ends the chunk before it. */
export const CHUNK_HEAD_BYTES_MAX = 12;

/**
 * Writes the head of a request to an endpoint at bytes[at...]; returns the end, or -1 when it does not fit before `end`.
 * Emits method SP path[?query] SP HTTP/1.1, Host from the head's authority, live fields in order, then framing from `framing` (Content-Length or Transfer-Encoding: chunked),
 * `TE: trailers` when acceptsTrailers, `Connection: upgrade` + Upgrade when `upgrade`. No Connection field otherwise: 1.1 is persistent.
 */
export declare function encodeRequestHead(head: Head, bytes: Uint8Array, at: number, end: number, upgrade: boolean): number;

/**
 * Writes the head of a response to a client. `framing` says how the body will be sent (may differ from head.framing); `keepAlive` whether the connection stays; `clientVersion` 10 or 11: a 1.0 client that stays gets
 * `Connection: keep-alive`, one that does not stay (any version) `Connection: close`. The status line always says HTTP/1.1 (RFC 9110 §2.5).
 */
export declare function encodeResponseHead(
  head: Head,
  bytes: Uint8Array,
  at: number,
  end: number,
  framing: number,
  keepAlive: boolean,
  clientVersion: number,
): number;

/** "1a2b\r\n"; `first` false puts the CRLF that ends the chunk before in front. Returns the end. */
export declare function encodeChunkHead(size: number, first: boolean, bytes: Uint8Array, at: number): number;

/** "0\r\n" + trailers + "\r\n", with the CRLF of the chunk before in front unless `first`. Returns the end or -1. */
export declare function encodeLastChunk(
  trailers: Head | null,
  first: boolean,
  bytes: Uint8Array,
  at: number,
  end: number,
): number;
