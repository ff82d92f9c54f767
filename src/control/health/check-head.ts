/**
 * check-head: reads the head of an answer from bytes, without making a string of it. Pure.
 *
 *     status-line = "HTTP/1." ("0" / "1") SP 3DIGIT [ SP reason ] CRLF      RFC 9112 §4; servers leave the second space out
 *     field-line  = token ":" value CRLF                                    RFC 9112 §5; no folding, no space before the colon
 *
 * Rules
 * 1. Strict: what is not certainly a head is MALFORMED, as soon as its first wrong byte is there.
 * 2. It is read from its beginning each time more of it has come: heads come in one piece nearly always.
 */

export const UNFINISHED = 0;
export const MALFORMED = -1;

/** Lengths of the body that are no number of bytes. */
export const length = Object.freeze({ absent: -1, contradicting: -2 });

const [HTAB, LF, CR, SP, COMMA, COLON] = [9, 10, 13, 32, 44, 58];
const VERSION = Buffer.from('HTTP/1.');
const CONTENT_LENGTH = Buffer.from('content-length');
const TRANSFER_ENCODING = Buffer.from('transfer-encoding');
/** More would not fit a number exactly. */
const DIGITS_MAX = 15;

/** tchar of RFC 9110 §5.6.2. */
const isToken = new Uint8Array(256);
for (const char of "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
  isToken[char.charCodeAt(0)] = 1;
/** field-vchar, obs-text, SP and HTAB. */
const isText = new Uint8Array(256).fill(1, 0x20).fill(0, 0x7f, 0x80);
isText[HTAB] = 1;

const isDigit = (byte: number): boolean => byte >= 48 && byte <= 57;

export class AnswerHead {
  status = 0;
  /** Of the status and its reason, in the bytes that were read. */
  statusFrom = 0;
  statusTo = 0;
  /** Content-Length, or one of {@link length}. */
  bodyLength: number = length.absent;
  hasTransferCoding = false;
  /** The last transfer coding is chunked. */
  isChunked = false;

  /** Reads bytes[from, to). Where the head ends, UNFINISHED or MALFORMED. */
  read(bytes: Uint8Array, from: number, to: number): number {
    this.bodyLength = length.absent;
    this.hasTransferCoding = false;
    this.isChunked = false;
    let at = this.readStatus(bytes, from, to);
    while (at > 0) {
      if (at >= to) return UNFINISHED;
      if (bytes[at] === CR) {
        if (at + 1 >= to) return UNFINISHED;
        return bytes[at + 1] === LF ? at + 2 : MALFORMED;
      }
      at = this.readField(bytes, at, to);
    }
    return at;
  }

  private readStatus(bytes: Uint8Array, from: number, to: number): number {
    const shared = Math.min(VERSION.length, to - from);
    for (let i = 0; i < shared; i++) if (bytes[from + i] !== VERSION[i]) return MALFORMED;
    const minor = from + VERSION.length;
    if (minor < to && bytes[minor] !== 48 && bytes[minor] !== 49) return MALFORMED;
    if (minor + 1 < to && bytes[minor + 1] !== SP) return MALFORMED;
    const first = minor + 2;
    if (first < to && bytes[first] === 48) return MALFORMED;
    for (let i = first; i < first + 3 && i < to; i++) if (!isDigit(bytes[i]!)) return MALFORMED;
    const after = first + 3;
    if (after >= to) return UNFINISHED;
    if (bytes[after] !== SP && bytes[after] !== CR) return MALFORMED;
    this.status = 100 * (bytes[first]! - 48) + 10 * (bytes[first + 1]! - 48) + bytes[first + 2]! - 48;
    this.statusFrom = first;
    this.statusTo = skipText(bytes, after, to);
    return endOfLine(bytes, this.statusTo, to);
  }

  private readField(bytes: Uint8Array, from: number, to: number): number {
    let colon = from;
    while (colon < to && isToken[bytes[colon]!] === 1) colon++;
    if (colon === to) return UNFINISHED;
    if (bytes[colon] !== COLON || colon === from) return MALFORMED;
    const end = skipText(bytes, colon + 1, to);
    const next = endOfLine(bytes, end, to);
    if (next <= 0) return next;
    if (colon - from === CONTENT_LENGTH.length && isNamed(bytes, from, CONTENT_LENGTH)) this.takeLength(bytes, colon + 1, end);
    else if (colon - from === TRANSFER_ENCODING.length && isNamed(bytes, from, TRANSFER_ENCODING))
      this.takeCoding(bytes, colon + 1, end);
    return next;
  }

  /** Two lengths that are not the same contradict each other (RFC 9112 §6.3), and so does a list of them. */
  private takeLength(bytes: Uint8Array, from: number, to: number): void {
    while (from < to && isSpace(bytes[from]!)) from++;
    while (to > from && isSpace(bytes[to - 1]!)) to--;
    let value = 0;
    let isNumber = to > from && to - from <= DIGITS_MAX;
    for (let i = from; i < to && isNumber; i++) {
      isNumber = isDigit(bytes[i]!);
      value = 10 * value + bytes[i]! - 48;
    }
    const isFirst = this.bodyLength === length.absent;
    this.bodyLength = isNumber && (isFirst || this.bodyLength === value) ? value : length.contradicting;
  }

  private takeCoding(bytes: Uint8Array, from: number, to: number): void {
    this.hasTransferCoding = true;
    while (to > from && isSpace(bytes[to - 1]!)) to--;
    let start = to;
    while (start > from && bytes[start - 1] !== COMMA && !isSpace(bytes[start - 1]!)) start--;
    this.isChunked = Buffer.from(bytes.subarray(start, to)).toString('latin1').toLowerCase() === 'chunked';
  }
}

const isSpace = (byte: number): boolean => byte === SP || byte === HTAB;

function skipText(bytes: Uint8Array, from: number, to: number): number {
  let at = from;
  while (at < to && isText[bytes[at]!] === 1) at++;
  return at;
}

function endOfLine(bytes: Uint8Array, at: number, to: number): number {
  if (at < to && bytes[at] !== CR) return MALFORMED;
  if (at + 1 >= to) return UNFINISHED;
  return bytes[at + 1] === LF ? at + 2 : MALFORMED;
}

/** `name` is lower-case. Letters of a token differ from their capitals by one bit, and no two tokens of other characters do. */
function isNamed(bytes: Uint8Array, from: number, name: Uint8Array): boolean {
  for (let i = 0; i < name.length; i++) if ((bytes[from + i]! | 0x20) !== name[i]) return false;
  return true;
}
