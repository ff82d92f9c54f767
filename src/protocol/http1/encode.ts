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
import { copy, decimalLength, writeAscii, writeDecimal, writeHex } from './format.ts';

/** Room a chunk head may take: 8 hex digits, CRLF, and the CRLF that ends the chunk before it. */
export const CHUNK_HEAD_BYTES_MAX = 12;

/** No framing or Connection field is longer than what these allow; an upper bound spares counting exactly when there is room. */
const FIXED_BYTES_MAX = 256;
/** What a field line may grow by: `: ` and CR LF around an appended field. */
const FIELD_BYTES_MORE = 4;

const VERSION_AND_HOST = ascii(' HTTP/1.1\r\nHost: ');
const VERSION = ascii('HTTP/1.1 ');
const CONTENT_LENGTH = ascii('Content-Length: ');
const CHUNKED = ascii('Transfer-Encoding: chunked\r\n');
const TE = ascii('TE: trailers\r\n');
const CONNECTION_TE = ascii('Connection: TE\r\n');
const CONNECTION_UPGRADE = ascii('Connection: upgrade\r\n');
const CONNECTION_UPGRADE_TE = ascii('Connection: upgrade, TE\r\n');
const CONNECTION_CLOSE = ascii('Connection: close\r\n');
const CONNECTION_KEEP_ALIVE = ascii('Connection: keep-alive\r\n');
const UPGRADE = ascii('Upgrade: ');
const ASTERISK = 42;
const methods = methodNames.map(ascii);

/**
 * Writes the head of a request to an endpoint at bytes[at...]; returns the end, or -1 when it does not fit before `end`.
 * Emits method SP path[?query] SP HTTP/1.1, Host from the head's authority, live fields in order, then framing from `head.framing` (Content-Length
 * or Transfer-Encoding: chunked), `TE: trailers` when acceptsTrailers (with the Connection option that RFC 9110 §10.1.4 asks for), `Connection: upgrade` and
 * Upgrade when `upgrade`. No Connection field otherwise: 1.1 is persistent.
 */
export function encodeRequestHead(head: Head, bytes: Uint8Array, at: number, end: number, upgrade: boolean): number {
  if (at + boundOf(head) > end && at + requestHeadLength(head, upgrade) > end) return -1;
  const { base } = head;
  const from = head.bytes;
  let p = at;
  if (head.methodEnd > head.methodStart) p = copy(from, base + head.methodStart, base + head.methodEnd, bytes, p);
  else p = writeAscii(methods[head.method]!, bytes, p);
  bytes[p++] = SPACE;
  if (head.form === targetForm.asterisk) {
    bytes[p++] = ASTERISK;
  } else if (head.form === targetForm.authority) {
    p = copy(from, base + head.authorityStart, base + head.authorityEnd, bytes, p);
  } else {
    p = copy(from, base + head.pathStart, base + head.pathEnd, bytes, p);
    if (head.queryStart >= 0) {
      bytes[p++] = QUESTION;
      p = copy(from, base + head.queryStart, base + head.queryEnd, bytes, p);
    }
  }
  p = writeAscii(VERSION_AND_HOST, bytes, p);
  p = copy(from, base + head.authorityStart, base + head.authorityEnd, bytes, p);
  p = lineEnd(bytes, p);
  p = writeFields(head, bytes, p);
  if (head.framing === framing.length) p = writeLength(head.contentLength, bytes, p);
  else if (head.framing === framing.chunked) p = writeAscii(CHUNKED, bytes, p);
  if (head.acceptsTrailers) p = writeAscii(TE, bytes, p);
  if (upgrade) {
    p = writeAscii(head.acceptsTrailers ? CONNECTION_UPGRADE_TE : CONNECTION_UPGRADE, bytes, p);
    p = writeUpgrade(head, bytes, p);
  } else if (head.acceptsTrailers) {
    p = writeAscii(CONNECTION_TE, bytes, p);
  }
  return lineEnd(bytes, p);
}

function requestHeadLength(head: Head, upgrade: boolean): number {
  let length = head.methodEnd > head.methodStart ? head.methodEnd - head.methodStart : methods[head.method]!.length;
  const authority = head.authorityEnd - head.authorityStart;
  if (head.form === targetForm.asterisk) length += 2;
  else if (head.form === targetForm.authority) length += 1 + authority;
  else {
    length += 1 + head.pathEnd - head.pathStart;
    if (head.queryStart >= 0) length += 1 + head.queryEnd - head.queryStart;
  }
  length += VERSION_AND_HOST.length + authority + 2 + fieldsLength(head);
  if (head.framing === framing.length) length += lengthLength(head.contentLength);
  else if (head.framing === framing.chunked) length += CHUNKED.length;
  if (head.acceptsTrailers) length += TE.length;
  if (upgrade) {
    length += (head.acceptsTrailers ? CONNECTION_UPGRADE_TE : CONNECTION_UPGRADE).length;
    length += UPGRADE.length + head.upgradeEnd - head.upgradeStart + 2;
  } else if (head.acceptsTrailers) {
    length += CONNECTION_TE.length;
  }
  return length + 2;
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
  if (at + boundOf(head) > end && at + responseHeadLength(head, as, keepAlive, clientVersion) > end) return -1;
  const { base, status } = head;
  let p = writeAscii(VERSION, bytes, at);
  p = writeDecimal(status, bytes, p);
  bytes[p++] = SPACE;
  p = copy(head.bytes, base + head.reasonStart, base + head.reasonEnd, bytes, p);
  p = lineEnd(bytes, p);
  p = writeFields(head, bytes, p);
  if (hasLength(head, as)) p = writeLength(head.contentLength, bytes, p);
  else if (as === framing.chunked) p = writeAscii(CHUNKED, bytes, p);
  if (hasUpgrade(head)) {
    p = writeAscii(CONNECTION_UPGRADE, bytes, p);
    p = writeUpgrade(head, bytes, p);
  }
  const connection = connectionOf(head, as, keepAlive, clientVersion);
  if (connection !== null) p = writeAscii(connection, bytes, p);
  return lineEnd(bytes, p);
}

function responseHeadLength(head: Head, as: number, keepAlive: boolean, clientVersion: number): number {
  let length = VERSION.length + 3 + 1 + head.reasonEnd - head.reasonStart + 2 + fieldsLength(head);
  if (hasLength(head, as)) length += lengthLength(head.contentLength);
  else if (as === framing.chunked) length += CHUNKED.length;
  if (hasUpgrade(head)) length += CONNECTION_UPGRADE.length + UPGRADE.length + head.upgradeEnd - head.upgradeStart + 2;
  const connection = connectionOf(head, as, keepAlive, clientVersion);
  if (connection !== null) length += connection.length;
  return length + 2;
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
  let p = first ? at : lineEnd(bytes, at);
  p = writeHex(size, bytes, p);
  return lineEnd(bytes, p);
}

/** "0\r\n" + trailers + "\r\n", with the CRLF of the chunk before in front unless `first`. Returns the end or -1. */
export function encodeLastChunk(trailers: Head | null, first: boolean, bytes: Uint8Array, at: number, end: number): number {
  const length = (first ? 0 : 2) + 3 + (trailers === null ? 0 : fieldsLength(trailers)) + 2;
  if (at + length > end) return -1;
  let p = first ? at : lineEnd(bytes, at);
  bytes[p++] = 48;
  p = lineEnd(bytes, p);
  if (trailers !== null) p = writeFields(trailers, bytes, p);
  return lineEnd(bytes, p);
}

/** At least as long as the head can come out. The authority may be written twice (CONNECT). */
function boundOf(head: Head): number {
  const twice = head.authorityEnd - head.authorityStart + head.upgradeEnd - head.upgradeStart;
  return head.used + head.count * FIELD_BYTES_MORE + 2 * twice + FIXED_BYTES_MAX;
}

/** Writes the live fields, each `Name: value CR LF`; names keep their spelling. */
function writeFields(head: Head, bytes: Uint8Array, at: number): number {
  const { fields, base } = head;
  const from = head.bytes;
  const end = head.count * FIELD_STRIDE;
  let p = at;
  // The run of canonical lines not yet written; its CR LF at the end is left out.
  let runStart = -1;
  let runEnd = 0;
  for (let i = 0; i < end; i += FIELD_STRIDE) {
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
      p = lineEnd(bytes, copy(from, base + runStart, base + runEnd, bytes, p));
      runStart = -1;
    }
    if (isCanonical) {
      runStart = nameStart;
      runEnd = valueEnd;
      continue;
    }
    p = copy(from, base + nameStart, base + nameEnd, bytes, p);
    bytes[p++] = COLON;
    bytes[p++] = SPACE;
    p = lineEnd(bytes, copy(from, base + valueStart, base + valueEnd, bytes, p));
  }
  if (runStart >= 0) p = lineEnd(bytes, copy(from, base + runStart, base + runEnd, bytes, p));
  return p;
}

function fieldsLength(head: Head): number {
  const { fields, count } = head;
  let length = 0;
  for (let i = 0; i < count * FIELD_STRIDE; i += FIELD_STRIDE) {
    if (fields[i] === field.removed) continue;
    length += fields[i + 2]! - fields[i + 1]! + fields[i + 4]! - fields[i + 3]! + FIELD_BYTES_MORE;
  }
  return length;
}

function writeLength(length: number, bytes: Uint8Array, at: number): number {
  assert(length >= 0, 'a body of framing length has a length');
  return lineEnd(bytes, writeDecimal(length, bytes, writeAscii(CONTENT_LENGTH, bytes, at)));
}

function lengthLength(length: number): number {
  return CONTENT_LENGTH.length + decimalLength(length) + 2;
}

function writeUpgrade(head: Head, bytes: Uint8Array, at: number): number {
  const p = writeAscii(UPGRADE, bytes, at);
  return lineEnd(bytes, copy(head.bytes, head.base + head.upgradeStart, head.base + head.upgradeEnd, bytes, p));
}

function lineEnd(bytes: Uint8Array, at: number): number {
  bytes[at] = CR;
  bytes[at + 1] = LF;
  return at + 2;
}
