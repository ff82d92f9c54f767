/**
 * What stands between the data of a chunked body (RFC 9112 §7.1), resumable at any byte:
 *
 *     chunk      = chunk-size [ chunk-ext ] CRLF chunk-data CRLF
 *     chunk-size = 1*HEXDIG
 *     chunk-ext  = *( BWS ";" BWS name [ BWS "=" BWS ( token / quoted-string ) ] )
 *
 * Rules
 * 1. Every line ends in CR LF and nothing else (erratum 7633 of RFC 9112, CVE-2025-55315, CVE-2025-22871).
 * 2. Extensions are checked, counted and thrown away. White space right after the size is refused, before any `;`: no sender makes it.
 */
import { CR, hexValue, LF, quotedClass, SPACE, TAB, tokenClass } from './bytes.ts';
import { check } from './checks.ts';

/** Digits that count; more would be a chunk of 4 GiB. */
const SIZE_DIGITS_MAX = 8;
/** Digits in all, with leading zeros. */
const ALL_DIGITS_MAX = 16;

const SEMICOLON = 59;
const EQUALS = 61;

const step = Object.freeze({
  dataCr: 0,
  dataLf: 1,
  sizeFirst: 2,
  size: 3,
  /** After `;`: white space, then a name. */
  nameFirst: 4,
  name: 5,
  nameSpace: 6,
  /** After `=`. */
  valueFirst: 7,
  value: 8,
  quoted: 9,
  quotedPair: 10,
  /** After a quoted value. */
  after: 11,
  afterSpace: 12,
  lf: 13,
});

/** The line of a chunk is incomplete; all its bytes have been taken. */
export const MORE = -1;

export class ChunkReader {
  /** Size of the chunk whose line was read last; 0: the last chunk. */
  size = 0;
  private readonly extensionBytesMax: number;
  private extensionBytes = 0;
  private step: number = step.sizeFirst;
  private digits = 0;
  /** Where the impossible byte stands. */
  wrongAt = 0;

  constructor(extensionBytesMax: number) {
    this.extensionBytesMax = extensionBytesMax;
  }

  /** A new body. */
  begin(): void {
    this.step = step.sizeFirst;
    this.size = 0;
    this.digits = 0;
    this.extensionBytes = 0;
  }

  /** The data of the chunk has passed: its CR LF comes next. */
  endData(): void {
    this.step = step.dataCr;
  }

  /**
   * Reads to the end of a chunk's line. Returns the offset behind it, {@link MORE}, or the negative number of a check minus 1.
   */
  read(bytes: Uint8Array, from: number, end: number): number {
    let now = this.step;
    for (let p = from; p < end; p++) {
      const c = bytes[p]!;
      switch (now) {
        case step.dataCr:
          if (c !== CR) return this.fail(check.chunkDataEnd, p);
          now = step.dataLf;
          continue;
        case step.dataLf:
          if (c !== LF) return this.fail(check.chunkDataEnd, p);
          now = step.sizeFirst;
          continue;
        case step.sizeFirst: {
          const digit = hexValue[c]!;
          if (digit === 255) return this.fail(check.chunkSize, p);
          this.size = digit;
          this.digits = 1;
          now = step.size;
          continue;
        }
        case step.size: {
          const digit = hexValue[c]!;
          if (digit !== 255) {
            this.size = this.size * 16 + digit;
            this.digits++;
            if (this.digits > ALL_DIGITS_MAX || this.size >= 16 ** SIZE_DIGITS_MAX) return this.fail(check.chunkTooLarge, p);
            continue;
          }
          if (c === CR) now = step.lf;
          else if (c === SEMICOLON) now = step.nameFirst;
          else return this.fail(c === LF ? check.chunkLineEnd : check.chunkSize, p);
          continue;
        }
        case step.lf:
          if (c !== LF) return this.fail(check.chunkLineEnd, p);
          this.step = step.sizeFirst;
          return p + 1;
        default:
          if (++this.extensionBytes > this.extensionBytesMax) return this.fail(check.chunkExtensionTooLarge, p);
          now = afterExtensionByte(now, c);
          if (now < 0) return this.fail(c === LF ? check.chunkLineEnd : check.chunkExtension, p);
      }
    }
    this.step = now;
    return MORE;
  }

  private fail(wrong: number, at: number): number {
    this.wrongAt = at;
    return -wrong - 1;
  }
}

/** The next step after a byte of an extension, or -1 when it cannot stand there. */
function afterExtensionByte(now: number, c: number): number {
  const isSpace = c === SPACE || c === TAB;
  switch (now) {
    case step.nameFirst:
      return isSpace ? now : tokenClass[c] === 1 ? step.name : -1;
    case step.name:
      if (tokenClass[c] === 1) return now;
      if (c === CR) return step.lf;
      return isSpace ? step.nameSpace : c === SEMICOLON ? step.nameFirst : c === EQUALS ? step.valueFirst : -1;
    case step.nameSpace:
      return isSpace ? now : c === SEMICOLON ? step.nameFirst : c === EQUALS ? step.valueFirst : -1;
    case step.valueFirst:
      return isSpace ? now : quotedClass[c] === 2 ? step.quoted : tokenClass[c] === 1 ? step.value : -1;
    case step.value:
      if (tokenClass[c] === 1) return now;
      return afterValue(c, isSpace);
    case step.quoted: {
      const kind = quotedClass[c]!;
      return kind === 1 ? now : kind === 2 ? step.after : kind === 3 ? step.quotedPair : -1;
    }
    case step.quotedPair:
      return quotedClass[c] === 0 ? -1 : step.quoted;
    case step.after:
      return afterValue(c, isSpace);
    default:
      return isSpace ? now : c === SEMICOLON ? step.nameFirst : -1;
  }
}

function afterValue(c: number, isSpace: boolean): number {
  if (c === CR) return step.lf;
  return isSpace ? step.afterSpace : c === SEMICOLON ? step.nameFirst : -1;
}
