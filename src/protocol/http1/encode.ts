/**
 * Heads, chunk lines and trailers to bytes.
 *
 * Everything is written anew from the offsets of the Head. A run of neighbouring live fields whose lines are already as weir would write them
 * (`Name: value CR LF`) is copied in one go: the bytes are the same.
 *
 * The destination may be the array the head stands in, but must not overlap the head.
 */
import { assert } from '../../base/assert.ts';
import { FIELD_STRIDE, field, framing, type Head, methodNames, targetForm } from '../../base/head.ts';
import { ascii, COLON, CR, LF, QUESTION, SPACE } from './bytes.ts';
import { putAscii, putByte, putCopy, putDecimal, putLineEnd, writeHex } from './format.ts';

/** Room a chunk head may take: 8 hex digits, CRLF, and the CRLF that ends the chunk before it. */
export const CHUNK_HEAD_BYTES_MAX = 12;

const VERSION_AND_HOST = ascii(' HTTP/1.1\r\nHost: ');
const VERSION = ascii('HTTP/1.1 ');
const CONTENT_LENGTH = ascii('Content-Length: ');
const CHUNKED = ascii('Transfer-Encoding: chunked\r\n');
const TE = ascii('TE: trailers\r\n');
const CONNECTION_TE = ascii('Connection: TE\r\n');
const CONNECTION_UPGRADE = ascii('Connection: upgrade\r\n');
const CONNECTION_UPGRADE_TE = ascii('Connection: upgrade, TE\r\n');
const CONNECTION_CLOSE = ascii('Connection: close\r\n');
const CONNECTION_CLOSE_TE = ascii('Connection: close, TE\r\n');
const CONNECTION_KEEP_ALIVE = ascii('Connection: keep-alive\r\n');
const UPGRADE = ascii('Upgrade: ');
const LAST_CHUNK = ascii('0\r\n');
const LAST_CHUNK_NEXT = ascii('\r\n0\r\n');
const ASTERISK = 42;
const methods = methodNames.map(ascii);

/**
 * Writes the head of a request to an endpoint at bytes[at...]; returns the end, or -1 when it does not fit before `end`.
 * Emits method SP path[?query] SP HTTP/1.1, Host from the head's authority, live fields in order, then framing from `head.framing` (Content-Length
 * or Transfer-Encoding: chunked), `TE: trailers` when acceptsTrailers (with the Connection option that RFC 9110 §10.1.4 asks for), `Connection: upgrade` and
 * Upgrade when `upgrade`, else `Connection: close` when not `keepAlive`. No Connection field otherwise: 1.1 is persistent.
 */
export function encodeRequestHead(
  head: Head,
  bytes: Uint8Array,
  at: number,
  end: number,
  upgrade: boolean,
  keepAlive: boolean,
): number {
  const { base } = head;
  const from = head.bytes;
  let p = at;
  if (head.methodEnd > head.methodStart) p = putCopy(from, base + head.methodStart, base + head.methodEnd, bytes, p, end);
  else p = putAscii(methods[head.method]!, bytes, p, end);
  p = putByte(SPACE, bytes, p, end);
  if (head.form === targetForm.asterisk) {
    p = putByte(ASTERISK, bytes, p, end);
  } else if (head.form === targetForm.authority) {
    p = putCopy(from, base + head.authorityStart, base + head.authorityEnd, bytes, p, end);
  } else {
    p = putCopy(from, base + head.pathStart, base + head.pathEnd, bytes, p, end);
    if (head.queryStart >= 0) {
      p = putByte(QUESTION, bytes, p, end);
      p = putCopy(from, base + head.queryStart, base + head.queryEnd, bytes, p, end);
    }
  }
  p = putAscii(VERSION_AND_HOST, bytes, p, end);
  p = putCopy(from, base + head.authorityStart, base + head.authorityEnd, bytes, p, end);
  p = putLineEnd(bytes, p, end);
  p = putFields(head, bytes, p, end);
  if (head.framing === framing.length) p = putLength(head.contentLength, bytes, p, end);
  else if (head.framing === framing.chunked) p = putAscii(CHUNKED, bytes, p, end);
  if (head.acceptsTrailers) p = putAscii(TE, bytes, p, end);
  if (upgrade) {
    p = putAscii(head.acceptsTrailers ? CONNECTION_UPGRADE_TE : CONNECTION_UPGRADE, bytes, p, end);
    p = putUpgrade(head, bytes, p, end);
  } else if (!keepAlive) {
    p = putAscii(head.acceptsTrailers ? CONNECTION_CLOSE_TE : CONNECTION_CLOSE, bytes, p, end);
  } else if (head.acceptsTrailers) {
    p = putAscii(CONNECTION_TE, bytes, p, end);
  }
  return putLineEnd(bytes, p, end);
}

/**
 * Writes the head of a response to a client. `as` says how the body will be sent, one of {@link framing} (may differ from head.framing); `none` announces
 * `head.contentLength` if that is known (a response to HEAD, a 304). `keepAlive`: does the connection stay; `clientVersion` 10 or 11: a 1.0 client that stays
 * gets `Connection: keep-alive`, one that does not stay (any version) `Connection: close`; an interim response says neither. A 101 or 426 with a known Upgrade
 * says it. The status line always says HTTP/1.1 (RFC 9110 §2.5).
 */
export function encodeResponseHead(
  head: Head,
  bytes: Uint8Array,
  at: number,
  end: number,
  as: number,
  keepAlive: boolean,
  clientVersion: number,
): number {
  assert(as !== framing.chunked || clientVersion >= 11, 'HTTP/1.0 knows no chunked coding');
  const { base } = head;
  let p = putAscii(VERSION, bytes, at, end);
  p = putDecimal(head.status, bytes, p, end);
  p = putByte(SPACE, bytes, p, end);
  p = putCopy(head.bytes, base + head.reasonStart, base + head.reasonEnd, bytes, p, end);
  p = putLineEnd(bytes, p, end);
  p = putFields(head, bytes, p, end);
  if (hasLength(head, as)) p = putLength(head.contentLength, bytes, p, end);
  else if (as === framing.chunked) p = putAscii(CHUNKED, bytes, p, end);
  if (hasUpgrade(head)) {
    p = putAscii(CONNECTION_UPGRADE, bytes, p, end);
    p = putUpgrade(head, bytes, p, end);
  }
  const connection = connectionOf(head, as, keepAlive, clientVersion);
  if (connection !== null) p = putAscii(connection, bytes, p, end);
  return putLineEnd(bytes, p, end);
}

/** Never in 1xx and 204 (RFC 9110 §8.6). */
function hasLength(head: Head, as: number): boolean {
  if (as === framing.length) return true;
  return as === framing.none && head.contentLength >= 0 && head.status >= 200 && head.status !== 204;
}

function hasUpgrade(head: Head): boolean {
  return head.upgradeEnd > head.upgradeStart && (head.status === 101 || head.status === 426);
}

function connectionOf(head: Head, as: number, keepAlive: boolean, clientVersion: number): Uint8Array | null {
  if (head.status < 200 || as === framing.tunnel) return null;
  if (!keepAlive || as === framing.untilClose) return CONNECTION_CLOSE;
  return clientVersion < 11 ? CONNECTION_KEEP_ALIVE : null;
}

/** "1a2b\r\n"; `first` false puts the CRLF that ends the chunk before in front. Needs CHUNK_HEAD_BYTES_MAX of room. Returns the end. */
export function encodeChunkHead(size: number, first: boolean, bytes: Uint8Array, at: number): number {
  let p = at;
  if (!first) {
    bytes[p++] = CR;
    bytes[p++] = LF;
  }
  p = writeHex(size, bytes, p);
  bytes[p++] = CR;
  bytes[p++] = LF;
  return p;
}

/** "0\r\n" + trailers + "\r\n", with the CRLF of the chunk before in front unless `first`. Returns the end or -1. */
export function encodeLastChunk(trailers: Head | null, first: boolean, bytes: Uint8Array, at: number, end: number): number {
  let p = putAscii(first ? LAST_CHUNK : LAST_CHUNK_NEXT, bytes, at, end);
  if (trailers !== null) p = putFields(trailers, bytes, p, end);
  return putLineEnd(bytes, p, end);
}

/** Writes the live fields, each `Name: value CR LF`; names keep their spelling. */
function putFields(head: Head, bytes: Uint8Array, at: number, end: number): number {
  const { fields, base } = head;
  const from = head.bytes;
  const last = head.count * FIELD_STRIDE;
  let p = at;
  // The run of canonical lines not yet written; its CR LF at the end is left out.
  let runStart = -1;
  let runEnd = 0;
  for (let i = 0; i < last; i += FIELD_STRIDE) {
    if (fields[i] === field.removed) continue;
    const nameStart = fields[i + 1]!;
    const nameEnd = fields[i + 2]!;
    const valueStart = fields[i + 3]!;
    const valueEnd = fields[i + 4]!;
    const isCanonical = valueStart - nameEnd === 2 && from[base + nameEnd + 1] === SPACE && from[base + nameEnd] === COLON;
    if (runStart >= 0) {
      // Raw lines next to each other have exactly CR LF between them, unless white space was trimmed or a field stood there.
      if (isCanonical && nameStart - runEnd === 2 && from[base + runEnd] === CR) {
        runEnd = valueEnd;
        continue;
      }
      p = putLineEnd(bytes, putCopy(from, base + runStart, base + runEnd, bytes, p, end), end);
      runStart = -1;
    }
    if (isCanonical) {
      runStart = nameStart;
      runEnd = valueEnd;
      continue;
    }
    p = putCopy(from, base + nameStart, base + nameEnd, bytes, p, end);
    p = putByte(SPACE, bytes, putByte(COLON, bytes, p, end), end);
    p = putLineEnd(bytes, putCopy(from, base + valueStart, base + valueEnd, bytes, p, end), end);
  }
  if (runStart >= 0) p = putLineEnd(bytes, putCopy(from, base + runStart, base + runEnd, bytes, p, end), end);
  return p;
}

function putLength(length: number, bytes: Uint8Array, at: number, end: number): number {
  assert(length >= 0, 'a body of framing length has a length');
  return putLineEnd(bytes, putDecimal(length, bytes, putAscii(CONTENT_LENGTH, bytes, at, end), end), end);
}

function putUpgrade(head: Head, bytes: Uint8Array, at: number, end: number): number {
  const p = putAscii(UPGRADE, bytes, at, end);
  return putLineEnd(bytes, putCopy(head.bytes, head.base + head.upgradeStart, head.base + head.upgradeEnd, bytes, p, end), end);
}
