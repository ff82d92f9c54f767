/**
 * What the fields of one hop mean. The scanner hands over every field with a special name, once, as its line ends; finish() is called at the
 * end of the head. What a field said becomes a property of the Head; the field itself is marked removed, so that nothing added
 * later can be removed by what a peer wrote in Connection (RFC 9110 §7.6.1).
 *
 * Rules
 * 1. Functions return 0 or the number of a check.
 * 2. Host, Content-Length and Transfer-Encoding have taken effect before Connection is looked at: naming them there changes nothing.
 */
import { FIELD_STRIDE, field, framing, type Head, method, targetForm } from '../../base/head.ts';
import { hopByHopFields } from '../../base/hop-by-hop.ts';
import { ascii, COMMA, isSameText, isWord, SPACE, TAB } from './bytes.ts';
import { check } from './checks.ts';
import { isAuthority } from './target.ts';

/** Digits of a Content-Length: what a double counts exactly. */
const LENGTH_DIGITS_MAX = 15;
/** Options in Connection that name fields. Each is looked for among all fields; honest senders have one or two. */
const NAMED_OPTIONS_MAX = 64;

const CLOSE = ascii('close');
const KEEP_ALIVE = ascii('keep-alive');
const UPGRADE = ascii('upgrade');
const TE = ascii('te');
const CHUNKED = ascii('chunked');
const TRAILERS = ascii('trailers');
const CONTINUE = ascii('100-continue');
const WEBSOCKET = ascii('websocket');

/** Fields that {@link HeadMeaning.take} wants to see, by id: 1. */
export const requestFieldsTaken = taken([field.host, field.expect, ...hopByHopFields]);
/** The same for responses. Host has no meaning there and stays. */
export const responseFieldsTaken = taken(hopByHopFields);

function taken(ids: readonly number[]): Uint8Array {
  const table = new Uint8Array(64);
  for (const id of ids) table[id] = 1;
  return table;
}

export class HeadMeaning {
  private readonly isRequest: boolean;
  /** 0 = no limit on the announced body. */
  private readonly bodyBytesMax: number;
  private hasHost = false;
  /** Content-Length, -1 when not given. */
  private length = -1;
  private isChunked = false;
  private hasClose = false;
  private hasKeepAlive = false;
  private hasUpgrade = false;
  /** Connection has options that may name fields. */
  private hasNamed = false;
  private upgradeLines = 0;
  private upgradeStart = 0;
  private upgradeEnd = 0;
  /** Index of `Expect: 100-continue`, -1 when not given. */
  private expectIndex = -1;

  constructor(isRequest: boolean, bodyBytesMax: number) {
    this.isRequest = isRequest;
    this.bodyBytesMax = bodyBytesMax;
  }

  begin(): void {
    this.hasHost = false;
    this.length = -1;
    this.isChunked = false;
    this.hasClose = false;
    this.hasKeepAlive = false;
    this.hasUpgrade = false;
    this.hasNamed = false;
    this.upgradeLines = 0;
    this.upgradeStart = 0;
    this.upgradeEnd = 0;
    this.expectIndex = -1;
  }

  /** Takes the field that was added last; `start` is where offset 0 stands in `bytes`. */
  take(head: Head, bytes: Uint8Array, start: number, id: number): number {
    const index = head.count - 1;
    const at = index * FIELD_STRIDE;
    const from = start + head.fields[at + 3]!;
    const to = start + head.fields[at + 4]!;
    switch (id) {
      case field.host:
        head.remove(index);
        return this.takeHost(head, bytes, start, from, to);
      case field.contentLength:
        head.remove(index);
        return this.takeLength(bytes, from, to);
      case field.transferEncoding:
        head.remove(index);
        return this.takeCoding(head, bytes, from, to);
      case field.connection:
        return this.takeConnection(head, index, bytes, from, to);
      case field.te:
        head.remove(index);
        if (this.isRequest && hasTrailers(bytes, from, to)) head.acceptsTrailers = true;
        return 0;
      case field.upgrade:
        head.remove(index);
        this.upgradeLines++;
        this.upgradeStart = from - start;
        this.upgradeEnd = to - start;
        return 0;
      case field.expect:
        return this.takeExpect(head, index, bytes, from, to);
      default:
        head.remove(index);
        return 0;
    }
  }

  private takeHost(head: Head, bytes: Uint8Array, start: number, from: number, to: number): number {
    if (this.hasHost) return check.hostTwice;
    this.hasHost = true;
    if (!isAuthority(bytes, from, to)) return check.hostSyntax;
    if (head.authorityEnd === 0) {
      head.authorityStart = from - start;
      head.authorityEnd = to - start;
      return 0;
    }
    // RFC 9112 §3.2.2 lets a proxy replace it; a client that says two things is refused instead.
    const same = isSameText(bytes, from, to, start + head.authorityStart, start + head.authorityEnd);
    return same ? 0 : check.hostDiffers;
  }

  /** Content-Length = 1*DIGIT (RFC 9110 §8.6), read digit by digit: Number() and parseInt() take far more. */
  private takeLength(bytes: Uint8Array, from: number, to: number): number {
    if (from === to) return check.lengthSyntax;
    let length = 0;
    for (let p = from; p < to; p++) {
      const digit = bytes[p]! - 48;
      if (digit < 0 || digit > 9) return check.lengthSyntax;
      if (p - from < LENGTH_DIGITS_MAX) length = length * 10 + digit;
    }
    if (to - from > LENGTH_DIGITS_MAX) return check.lengthTooLong;
    // Equal ones from an endpoint collapse to one (RFC 9112 §6.3); a client has no honest reason to send two.
    if (this.length >= 0 && (this.isRequest || this.length !== length)) return check.lengthTwice;
    this.length = length;
    return 0;
  }

  private takeCoding(head: Head, bytes: Uint8Array, from: number, to: number): number {
    if (this.isChunked) return check.codingTwice;
    if (!isWord(bytes, from, to, CHUNKED)) return isCodingThenChunked(bytes, from, to) ? check.codingUnknown : check.codingSyntax;
    // RFC 9112 §6.1: such framing is faulty even where it looks right.
    if (head.version < 11) return check.codingVersion;
    this.isChunked = true;
    return 0;
  }

  private takeConnection(head: Head, index: number, bytes: Uint8Array, from: number, to: number): number {
    let isNamed = false;
    for (let p = nextMember(bytes, from, to); p < to; ) {
      const next = memberEnd(bytes, p, to);
      const end = trimmedEnd(bytes, p, next);
      const length = end - p;
      if (length === 5 && isWord(bytes, p, end, CLOSE)) this.hasClose = true;
      else if (length === 10 && isWord(bytes, p, end, KEEP_ALIVE)) this.hasKeepAlive = true;
      else if (length === 7 && isWord(bytes, p, end, UPGRADE)) this.hasUpgrade = true;
      else if (length !== 2 || !isWord(bytes, p, end, TE)) isNamed = true;
      p = nextMember(bytes, next, to);
    }
    if (isNamed) this.hasNamed = true;
    else head.remove(index);
    return 0;
  }

  private takeExpect(head: Head, index: number, bytes: Uint8Array, from: number, to: number): number {
    if (head.version < 11) {
      head.remove(index);
      return 0;
    }
    if (this.expectIndex >= 0 || !isWord(bytes, from, to, CONTINUE)) return check.expectation;
    this.expectIndex = index;
    return 0;
  }

  /** The head is complete: settles what it needs all fields for. */
  finishRequest(head: Head, bytes: Uint8Array, start: number): number {
    if (!this.hasHost && head.version >= 11) return check.hostMissing;
    if (this.isChunked) {
      if (this.length >= 0) return check.lengthAndCoding;
      head.framing = framing.chunked;
    } else if (this.length >= 0) {
      if (this.bodyBytesMax > 0 && this.length > this.bodyBytesMax) return check.bodyTooLarge;
      head.framing = framing.length;
      head.contentLength = this.length;
    }
    head.keepAlive = !this.hasClose && (head.version >= 11 || this.hasKeepAlive);
    if (this.hasNamed) {
      const wrong = removeNamed(head, bytes, start);
      if (wrong !== 0) return wrong;
    }
    if (this.expectIndex >= 0) {
      // Without a body there is nothing to wait for, and an endpoint's 100 would only be one more thing to go wrong.
      const hasBody = this.isChunked || this.length > 0;
      if (!hasBody) head.remove(this.expectIndex);
      head.expectsContinue = head.id(this.expectIndex) === field.expect;
    }
    if (this.hasUpgrade && head.version >= 11) {
      this.offerUpgrade(head);
      head.isWebSocket = this.isWebSocket(head, bytes, start);
    }
    return 0;
  }

  /** The same for a response; `requestMethod` is the method it answers. */
  finishResponse(head: Head, bytes: Uint8Array, start: number, requestMethod: number): number {
    const { status } = head;
    if (status < 200 || status === 204) {
      // No length and no coding may be there (RFC 9110 §8.6, RFC 9112 §6.1). `Content-Length: 0` is a lie nobody can misread.
      if (this.isChunked) return check.codingForbidden;
      if (status < 200 && this.length > 0) return check.lengthForbidden;
    }
    if (this.isChunked && this.length >= 0) return check.lengthAndCoding;
    head.keepAlive = !this.hasClose && (head.version >= 11 || this.hasKeepAlive);
    if (status === 101 || (requestMethod === method.CONNECT && status >= 200 && status < 300)) {
      head.framing = framing.tunnel;
    } else if (status < 200 || status === 204) {
      head.framing = framing.none;
      // Bytes that an endpoint sends under such a length would be taken for the next response.
      if (this.length > 0) head.keepAlive = false;
    } else if (status === 304 || requestMethod === method.HEAD) {
      head.framing = framing.none;
      head.contentLength = this.length;
    } else if (this.isChunked) {
      head.framing = framing.chunked;
    } else if (this.length >= 0) {
      if (this.bodyBytesMax > 0 && this.length > this.bodyBytesMax) return check.bodyTooLarge;
      head.framing = framing.length;
      head.contentLength = this.length;
    } else {
      head.framing = framing.untilClose;
      head.keepAlive = false;
    }
    if (this.hasNamed) {
      const wrong = removeNamed(head, bytes, start);
      if (wrong !== 0) return wrong;
    }
    if (this.hasUpgrade) this.offerUpgrade(head);
    return 0;
  }

  /** Two Upgrade lines are no offer that can be passed on or answered unambiguously. */
  private offerUpgrade(head: Head): void {
    if (this.upgradeLines !== 1 || this.upgradeEnd === this.upgradeStart) return;
    head.upgradeStart = this.upgradeStart;
    head.upgradeEnd = this.upgradeEnd;
  }

  /** RFC 6455 §4.2.1, and no body. */
  private isWebSocket(head: Head, bytes: Uint8Array, start: number): boolean {
    if (head.method !== method.GET || head.form === targetForm.asterisk) return false;
    if (head.framing === framing.chunked || head.contentLength > 0) return false;
    if (!isWord(bytes, start + head.upgradeStart, start + head.upgradeEnd, WEBSOCKET)) return false;
    const version = head.find(field.secWebsocketVersion);
    const key = head.find(field.secWebsocketKey);
    if (version < 0 || head.find(field.secWebsocketVersion, version + 1) >= 0) return false;
    if (key < 0 || head.find(field.secWebsocketKey, key + 1) >= 0) return false;
    const { fields } = head;
    const versionAt = start + fields[version * FIELD_STRIDE + 3]!;
    if (fields[version * FIELD_STRIDE + 4]! + start - versionAt !== 2) return false;
    if (bytes[versionAt] !== 49 || bytes[versionAt + 1] !== 51) return false;
    return isWebSocketKey(bytes, start + fields[key * FIELD_STRIDE + 3]!, start + fields[key * FIELD_STRIDE + 4]!);
  }
}

/** First byte of a list member at or after p: past commas and white space (empty members count for nothing, RFC 9110 §5.6.1). */
function nextMember(bytes: Uint8Array, p: number, to: number): number {
  while (p < to && (bytes[p] === COMMA || bytes[p] === SPACE || bytes[p] === TAB)) p++;
  return p;
}

function memberEnd(bytes: Uint8Array, p: number, to: number): number {
  while (p < to && bytes[p] !== COMMA) p++;
  return p;
}

function trimmedEnd(bytes: Uint8Array, from: number, to: number): number {
  while (to > from && (bytes[to - 1] === SPACE || bytes[to - 1] === TAB)) to--;
  return to;
}

function hasTrailers(bytes: Uint8Array, from: number, to: number): boolean {
  for (let p = nextMember(bytes, from, to); p < to; ) {
    const next = memberEnd(bytes, p, to);
    if (isWord(bytes, p, trimmedEnd(bytes, p, next), TRAILERS)) return true;
    p = nextMember(bytes, next, to);
  }
  return false;
}

/** `coding, ..., chunked` with other codings in front: well-formed, but nothing weir decodes (RFC 9112 §6.1). */
function isCodingThenChunked(bytes: Uint8Array, from: number, to: number): boolean {
  let members = 0;
  let isLastChunked = false;
  for (let p = from; ; ) {
    while (p < to && (bytes[p] === SPACE || bytes[p] === TAB)) p++;
    const next = memberEnd(bytes, p, to);
    const end = trimmedEnd(bytes, p, next);
    if (end === p || isLastChunked) return false;
    for (let k = p; k < end; k++) {
      const c = bytes[k]! | 32;
      if (!((c >= 97 && c <= 122) || (c >= 48 && c <= 57) || c === 45)) return false;
    }
    isLastChunked = isWord(bytes, p, end, CHUNKED);
    members++;
    if (next === to) break;
    p = next + 1;
  }
  return isLastChunked && members > 1;
}

/** Removes what the Connection fields name, and these fields. */
function removeNamed(head: Head, bytes: Uint8Array, start: number): number {
  const { fields, count } = head;
  let options = 0;
  for (let index = head.find(field.connection); index >= 0; index = head.find(field.connection, index + 1)) {
    head.remove(index);
    const to = start + fields[index * FIELD_STRIDE + 4]!;
    for (let p = nextMember(bytes, start + fields[index * FIELD_STRIDE + 3]!, to); p < to; ) {
      const next = memberEnd(bytes, p, to);
      const end = trimmedEnd(bytes, p, next);
      if (++options > NAMED_OPTIONS_MAX) return check.connectionOptions;
      for (let i = 0, at = 0; i < count; i++, at += FIELD_STRIDE) {
        if (fields[at]! <= field.removed || fields[at + 2]! - fields[at + 1]! !== end - p || fields[at] === field.connection)
          continue;
        if (isSameText(bytes, start + fields[at + 1]!, start + fields[at + 2]!, p, end)) head.remove(i);
      }
      p = nextMember(bytes, next, to);
    }
  }
  return 0;
}

/** 24 base64 characters for 16 bytes: 21 free ones, one whose low four bits are zero, and `==`. */
function isWebSocketKey(bytes: Uint8Array, from: number, to: number): boolean {
  if (to - from !== 24 || bytes[to - 1] !== 61 || bytes[to - 2] !== 61) return false;
  for (let p = from; p < to - 2; p++) {
    const c = bytes[p]!;
    const isLetter = (c | 32) >= 97 && (c | 32) <= 122;
    if (!isLetter && !(c >= 48 && c <= 57) && c !== 43 && c !== 47) return false;
  }
  // A, Q, g and w are 0, 16, 32 and 48 in base64.
  const last = bytes[to - 3];
  return last === 65 || last === 81 || last === 103 || last === 119;
}
