/** LogLine: what the formats of the access log have in common: the request line, its query, the text of the current second. */
import { methodNames } from '../base/head.ts';
import { FIELD_BYTES_MAX, LineBytes, latin1Bytes } from './line-bytes.ts';
import { TARGET_BYTES_MAX } from './log-bounds.ts';
import type { LogRecord } from './log-record.ts';

const NONE: Uint8Array = new Uint8Array(0);
const MONTHS: readonly string[] = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];
const REDACTED = latin1Bytes('***');

/** A line of one format. One per worker and plan. */
export abstract class LogLine extends LineBytes {
  /** What a line says beside its record. */
  protected readonly ownText: Uint8Array;
  private readonly redact: readonly Uint8Array[];
  /** Second of `secondText`. */
  private second = -1;
  private secondText: Uint8Array = NONE;

  /** `redactQuery`: lower-case names. */
  constructor(isJson: boolean, redactQuery: readonly string[], ownText = '') {
    super(isJson);
    this.ownText = latin1Bytes(ownText);
    this.redact = redactQuery.map(latin1Bytes);
  }

  get ownBytes(): number {
    return this.ownText.length;
  }

  /** Writes the line with its line feed at bytes[at...], where it fits. Returns its end. */
  write(record: LogRecord, bytes: Uint8Array, at: number): number {
    this.bytes = bytes;
    this.at = at;
    this.line(record);
    bytes[this.at] = 10;
    return this.at + 1;
  }

  protected abstract line(record: LogRecord): void;
  /** What a line says of a second since 1970. */
  protected abstract textOfSecond(second: number): string;

  /** Puts the text of the second that a time is in. Returns the ms since it began. */
  protected secondOf(timeMs: number): number {
    const second = Math.floor(timeMs / 1000);
    if (second !== this.second) {
      this.second = second;
      this.secondText = latin1Bytes(this.textOfSecond(second));
    }
    this.put(this.secondText);
    return timeMs - second * 1000;
  }

  protected requestLine(r: LogRecord): void {
    if (r.pathStart === r.pathEnd && r.method === 0 && r.methodStart === r.methodEnd) {
      this.text('-');
      return;
    }
    if (r.method !== 0) this.text(methodNames[r.method]!);
    else this.escape(r.bytes, r.methodStart, r.methodEnd, FIELD_BYTES_MAX);
    this.text(' ');
    this.escape(r.bytes, r.pathStart, r.pathEnd, TARGET_BYTES_MAX);
    if (r.queryStart >= 0) {
      this.text('?');
      this.query(r);
    }
    this.text(r.version === 11 ? ' HTTP/1.1' : r.version === 20 ? ' HTTP/2.0' : ' HTTP/1.0');
  }

  /** The query with the values of redacted parameters replaced. */
  protected query(r: LogRecord): void {
    const { bytes, queryStart, queryEnd } = r;
    if (this.redact.length === 0) {
      this.escape(bytes, queryStart, queryEnd, TARGET_BYTES_MAX);
      return;
    }
    const stop = this.at + TARGET_BYTES_MAX;
    let from = queryStart;
    while (from <= queryEnd && this.at < stop - REDACTED.length) {
      let to = from;
      let equals = -1;
      while (to < queryEnd && bytes[to] !== 38 /* & */) {
        if (equals < 0 && bytes[to] === 61 /* = */) equals = to;
        to++;
      }
      if (from > queryStart) this.char(38);
      if (equals >= 0 && this.isRedacted(bytes, from, equals)) {
        this.escape(bytes, from, equals + 1, stop - REDACTED.length - this.at);
        this.put(REDACTED);
      } else {
        this.escape(bytes, from, to, stop - this.at);
      }
      from = to + 1;
    }
  }

  /** Names compare decoded and without case: `to%6ben` names a token as well. */
  private isRedacted(bytes: Uint8Array, from: number, to: number): boolean {
    const { redact } = this;
    next: for (let k = 0; k < redact.length; k++) {
      const name = redact[k]!;
      let n = 0;
      for (let i = from; i < to; i++) {
        let c = bytes[i]!;
        if (c === 37 && i + 2 < to && hex(bytes[i + 1]!) >= 0 && hex(bytes[i + 2]!) >= 0) {
          c = (hex(bytes[i + 1]!) << 4) | hex(bytes[i + 2]!);
          i += 2;
        }
        if (c >= 65 && c <= 90) c |= 32;
        if (n >= name.length || name[n++] !== c) continue next;
      }
      if (n === name.length) return true;
    }
    return false;
  }
}

/** 24/Nov/2026:04:12:13 */
export function dayText(second: number): string {
  const date = new Date(second * 1000);
  const iso = date.toISOString();
  return `${iso.slice(8, 10)}/${MONTHS[date.getUTCMonth()]}/${iso.slice(0, 4)}:${iso.slice(11, 19)}`;
}

function hex(c: number): number {
  if (c >= 48 && c <= 57) return c - 48;
  const lower = c | 32;
  return lower >= 97 && lower <= 102 ? lower - 87 : -1;
}
