/**
 * Head: the head of one message (request, response or trailer section) as offsets into bytes.
 *
 * A codec fills it, route/ and filter/ read and edit it, a codec writes it out again. Nothing is copied into strings on the way:
 * a field is five numbers. All offsets are relative to `base`, so a head moves to another block by copying
 * `bytes[base, base + size)` and setting `base`.
 *
 *     bytes  ...|base                    base+size |appended       |base+room
 *               | raw head as received             | by append()   |
 *
 * Rules
 * 1. `bytes` between base and base + size are as received; an edit never changes them. An edit marks a field removed, or appends.
 * 2. A codec leaves only end-to-end fields live. What belongs to one hop (the fields of base/hop-by-hop.ts, those that Connection names, Host) is
 *    turned into the properties below and marked removed, before any filter adds a field (RFC 9110 §7.6.1, CVE-2022-31813).
 * 3. Text is latin1: one byte, one char code (RFC 9110 §5.5).
 */
import { assert } from './assert.ts';

/** Request methods known by number (the nine of RFC 9110 and RFC 5789; `OTHER` is any other token). */
export const method = Object.freeze({
  OTHER: 0,
  GET: 1,
  HEAD: 2,
  POST: 3,
  PUT: 4,
  DELETE: 5,
  CONNECT: 6,
  OPTIONS: 7,
  TRACE: 8,
  PATCH: 9,
});
/** Names of {@link method} by number, as the metric label spells them. */
export const methodNames: readonly string[] = [
  '_OTHER',
  'GET',
  'HEAD',
  'POST',
  'PUT',
  'DELETE',
  'CONNECT',
  'OPTIONS',
  'TRACE',
  'PATCH',
];

/** Form of the request target (RFC 9112 §3.2). */
export const targetForm = Object.freeze({ origin: 0, absolute: 1, authority: 2, asterisk: 3 });

/** How the body of a message is delimited, as its sender framed it. */
export const framing = Object.freeze({
  /** No body: the message ends with its head. */
  none: 0,
  /** `contentLength` bytes. */
  length: 1,
  /** Self-delimiting with unknown length: chunked in HTTP/1.1, END_STREAM in HTTP/2. */
  chunked: 2,
  /** Until the connection closes (responses only). */
  untilClose: 3,
  /** After 101 or 2xx to CONNECT: raw bytes both ways until close. */
  tunnel: 4,
});

/**
 * Field names known by number, so that the hot path compares numbers. A codec gives every field its id; unknown names are
 * `other`, edits mark a field `removed`.
 */
export const field = Object.freeze({
  removed: -1,
  other: 0,
  host: 1,
  connection: 2,
  contentLength: 3,
  transferEncoding: 4,
  te: 5,
  trailer: 6,
  upgrade: 7,
  keepAlive: 8,
  proxyConnection: 9,
  expect: 10,
  http2Settings: 11,
  xForwardedFor: 12,
  xForwardedProto: 13,
  xForwardedHost: 14,
  xForwardedPort: 15,
  forwarded: 16,
  via: 17,
  xRequestId: 18,
  cookie: 19,
  setCookie: 20,
  accept: 21,
  userAgent: 22,
  referer: 23,
  date: 24,
  server: 25,
  authorization: 26,
  proxyAuthorization: 27,
  secWebsocketKey: 28,
  secWebsocketVersion: 29,
  secWebsocketAccept: 30,
  contentType: 31,
  xRealIp: 32,
  cdnLoop: 33,
  proxyStatus: 34,
  location: 35,
  retryAfter: 36,
  traceparent: 37,
  acceptEncoding: 38,
  contentEncoding: 39,
  proxyAuthenticate: 40,
});
/** Lower-case spelling of {@link field} numbers. */
export const fieldNames: readonly string[] = [
  '',
  'host',
  'connection',
  'content-length',
  'transfer-encoding',
  'te',
  'trailer',
  'upgrade',
  'keep-alive',
  'proxy-connection',
  'expect',
  'http2-settings',
  'x-forwarded-for',
  'x-forwarded-proto',
  'x-forwarded-host',
  'x-forwarded-port',
  'forwarded',
  'via',
  'x-request-id',
  'cookie',
  'set-cookie',
  'accept',
  'user-agent',
  'referer',
  'date',
  'server',
  'authorization',
  'proxy-authorization',
  'sec-websocket-key',
  'sec-websocket-version',
  'sec-websocket-accept',
  'content-type',
  'x-real-ip',
  'cdn-loop',
  'proxy-status',
  'location',
  'retry-after',
  'traceparent',
  'accept-encoding',
  'content-encoding',
  'proxy-authenticate',
];

/** Numbers per field in {@link Head.fields}: id, nameStart, nameEnd, valueStart, valueEnd (value without surrounding OWS). */
export const FIELD_STRIDE = 5;

/** Number of a lower-case field name, or `field.other`. Off the hot path (plan building). */
export function fieldIdOf(nameLower: string): number {
  const at = fieldNames.indexOf(nameLower, 1);
  return at < 0 ? field.other : at;
}

export class Head {
  bytes: Uint8Array;
  base = 0;
  /** Length of the raw head, final empty line included. */
  size = 0;
  /** Where appended text ends (relative); starts at `size`. */
  used = 0;
  /** End of the bytes that append() may write (relative). */
  room = 0;

  // Request line. Ends are exclusive; start = end = 0 when absent.
  method: number = method.OTHER;
  methodStart = 0;
  methodEnd = 0;
  form: number = targetForm.origin;
  pathStart = 0;
  pathEnd = 0;
  /** Without the `?`. `queryStart` is -1 when the target has no `?`. */
  queryStart = -1;
  queryEnd = -1;
  /** host[:port], from the absolute-form target, else from Host, else from :authority. */
  authorityStart = 0;
  authorityEnd = 0;
  /** True when the path has none of `%`, `//`, `/.`, `;`, `\`: it is its own normal form. */
  pathIsPlain = true;

  // Status line.
  /** 0 in a request. */
  status = 0;
  reasonStart = 0;
  reasonEnd = 0;

  /** 10 or 11 (later 20). */
  version = 11;
  /** One of {@link framing}. */
  framing: number = framing.none;
  /** Bytes of the body when framing is `length`; 0 otherwise. At most 15 digits. For a response to HEAD, or a 304, it is the length announced, and framing is `none`. -1: none announced. */
  contentLength = -1;
  /** The sender is willing to keep the connection (RFC 9112 §9.3). */
  keepAlive = true;
  /** `Expect: 100-continue` in an HTTP/1.1 request. */
  expectsContinue = false;
  /** `TE: trailers`. */
  acceptsTrailers = false;
  /** Value of Upgrade when Connection names it too; start = end = 0 when not asked. */
  upgradeStart = 0;
  upgradeEnd = 0;
  /** A complete, valid WebSocket opening (RFC 6455 §4.2.1) in a request. */
  isWebSocket = false;

  /** Fields, live and removed, {@link FIELD_STRIDE} numbers each. */
  fields: Int32Array;
  count = 0;

  /** `fieldsMax`: room for received fields; 32 more are kept for appended ones. */
  constructor(bytes: Uint8Array, fieldsMax: number) {
    this.bytes = bytes;
    this.fields = new Int32Array((fieldsMax + 32) * FIELD_STRIDE);
  }

  /** Back to empty, for the next message. */
  reset(): void {
    this.base = this.size = this.used = this.room = 0;
    this.method = method.OTHER;
    this.methodStart = this.methodEnd = 0;
    this.form = targetForm.origin;
    this.pathStart = this.pathEnd = 0;
    this.queryStart = this.queryEnd = -1;
    this.authorityStart = this.authorityEnd = 0;
    this.pathIsPlain = true;
    this.status = 0;
    this.reasonStart = this.reasonEnd = 0;
    this.version = 11;
    this.framing = framing.none;
    this.contentLength = -1;
    this.keepAlive = true;
    this.expectsContinue = false;
    this.acceptsTrailers = false;
    this.upgradeStart = this.upgradeEnd = 0;
    this.isWebSocket = false;
    this.count = 0;
  }

  id(index: number): number {
    return this.fields[index * FIELD_STRIDE]!;
  }

  /** Index of the first live field with this id at or after `from`, or -1. Not for `field.other`. */
  find(id: number, from = 0): number {
    const { fields, count } = this;
    for (let i = from; i < count; i++) if (fields[i * FIELD_STRIDE] === id) return i;
    return -1;
  }

  /** Index of the first live field of this lower-case name at or after `from`, or -1. */
  findName(nameLower: string, from = 0): number {
    const { fields, count, bytes, base } = this;
    const length = nameLower.length;
    next: for (let i = from; i < count; i++) {
      const at = i * FIELD_STRIDE;
      if (fields[at] === field.removed || fields[at + 2]! - fields[at + 1]! !== length) continue;
      let p = base + fields[at + 1]!;
      for (let k = 0; k < length; k++) {
        let c = bytes[p++]!;
        if (c >= 65 && c <= 90) c |= 32;
        if (c !== nameLower.charCodeAt(k)) continue next;
      }
      return i;
    }
    return -1;
  }

  remove(index: number): void {
    this.fields[index * FIELD_STRIDE] = field.removed;
  }

  /** Removes every live field with this id (not `field.other`). */
  removeAll(id: number): void {
    for (let i = this.find(id); i >= 0; i = this.find(id, i + 1)) this.remove(i);
  }

  /** Removes every live field of this lower-case name. */
  removeName(nameLower: string): void {
    for (let i = this.findName(nameLower); i >= 0; i = this.findName(nameLower, i + 1)) this.remove(i);
  }

  /** Can `length` more bytes and one more field be appended? */
  hasRoom(length: number): boolean {
    return this.used + length <= this.room && (this.count + 1) * FIELD_STRIDE <= this.fields.length;
  }

  /**
   * Adds a field. `name` and `value` are latin1 text, already valid. Returns false, changing nothing, when there is no room.
   */
  append(id: number, name: string, value: string): boolean {
    if (!this.hasRoom(name.length + value.length)) return false;
    const nameStart = this.used;
    this.write(name);
    const valueStart = this.used;
    this.write(value);
    this.addField(id, nameStart, valueStart, valueStart, this.used);
    return true;
  }

  /** Records a field whose bytes stand at these relative offsets already (codecs, and filters that wrote by themselves). */
  addField(id: number, nameStart: number, nameEnd: number, valueStart: number, valueEnd: number): void {
    const at = this.count * FIELD_STRIDE;
    const { fields } = this;
    fields[at] = id;
    fields[at + 1] = nameStart;
    fields[at + 2] = nameEnd;
    fields[at + 3] = valueStart;
    fields[at + 4] = valueEnd;
    this.count++;
  }

  /** Writes latin1 text at `used` and moves it; the caller checked the room. */
  write(text: string): void {
    const { bytes } = this;
    let p = this.base + this.used;
    for (let i = 0; i < text.length; i++) bytes[p++] = text.charCodeAt(i);
    this.used = p - this.base;
  }

  /** Copies bytes[from, to) (relative) to `used`; the caller checked the room. */
  writeCopy(from: number, to: number): void {
    this.bytes.copyWithin(this.base + this.used, this.base + from, this.base + to);
    this.used += to - from;
  }

  /** Replaces the path (no query) sent onwards. Returns false when there is no room. */
  setPath(path: string): boolean {
    if (this.used + path.length > this.room) return false;
    this.pathStart = this.used;
    this.write(path);
    this.pathEnd = this.used;
    return true;
  }

  /** Replaces the authority sent onwards. Returns false when there is no room. */
  setAuthority(authority: string): boolean {
    if (this.used + authority.length > this.room) return false;
    this.authorityStart = this.used;
    this.write(authority);
    this.authorityEnd = this.used;
    return true;
  }

  /** Moves the head to `to` in the same bytes; `room` is how many bytes may be used there. */
  moveTo(to: number, room: number): void {
    assert(room >= this.used, 'a head moves only to where it fits');
    this.bytes.copyWithin(to, this.base, this.base + this.used);
    this.base = to;
    this.room = room;
  }

  /** Latin1 text of relative offsets. Allocates: off the hot path. */
  text(start: number, end: number): string {
    return latin1(this.bytes, this.base + start, this.base + end);
  }
  name(index: number): string {
    const at = index * FIELD_STRIDE;
    return this.text(this.fields[at + 1]!, this.fields[at + 2]!);
  }
  value(index: number): string {
    const at = index * FIELD_STRIDE;
    return this.text(this.fields[at + 3]!, this.fields[at + 4]!);
  }
}

/** Latin1 text of bytes[start, end). Short texts avoid the cost of a native call. */
export function latin1(bytes: Uint8Array, start: number, end: number): string {
  let text = '';
  if (end - start <= 24) {
    for (let i = start; i < end; i++) text += String.fromCharCode(bytes[i]!);
    return text;
  }
  return Buffer.from(bytes.buffer, bytes.byteOffset + start, end - start).toString('latin1');
}
