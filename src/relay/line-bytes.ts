/**
 * LineBytes: writes the pieces of a log line straight into bytes. The caller made sure that they fit.
 */

/** Bytes that a host, method or header value takes in a line at most, escapes counted. */
export const FIELD_BYTES_MAX = 512;
/** The same for a name or an address. */
export const NAME_BYTES_MAX = 256;
/** The longest escape: \u00XX. */
export const ESCAPE_BYTES = 6;

const NONE = new Uint8Array(0);
const HEX = latin1Bytes('0123456789abcdef');
/** Per byte: 0 plain; 1 a backslash goes before it; 2 it is escaped by its number. */
const escapeClass = new Uint8Array(256);
for (let c = 0; c < 256; c++) escapeClass[c] = c === 34 || c === 92 ? 1 : c < 32 || c > 126 ? 2 : 0;

/** Longer times are mistakes: 30,000 years. */
const MS_MAX = 1e15;
/** From so many bytes on a native copy is faster than a loop. */
const COPY_MIN = 24;

export class LineBytes {
  protected bytes: Uint8Array = NONE;
  protected at = 0;
  /** Escapes are JSON's (\u00XX), else Apache's (\xXX). */
  private readonly isJson: boolean;

  constructor(isJson: boolean) {
    this.isJson = isJson;
  }

  /** Bytes of ours, made once. Half the cost of text(). */
  protected put(from: Uint8Array): void {
    const { bytes } = this;
    const { length } = from;
    if (length > COPY_MIN) {
      bytes.set(from, this.at);
      this.at += length;
      return;
    }
    let p = this.at;
    for (let i = 0; i < length; i++) bytes[p++] = from[i]!;
    this.at = p;
  }

  /** One ASCII character. */
  protected char(code: number): void {
    this.bytes[this.at++] = code;
  }

  /** ASCII of ours. */
  protected text(text: string): void {
    const { bytes } = this;
    let p = this.at;
    for (let i = 0; i < text.length; i++) bytes[p++] = text.charCodeAt(i);
    this.at = p;
  }

  /** Non-negative whole number. */
  protected integer(value: number): void {
    if (value < 10) {
      this.bytes[this.at++] = 48 + value;
      return;
    }
    let width = 2;
    for (let limit = 100; limit <= value; limit *= 10) width++;
    this.digits(value, width);
  }

  protected digits(value: number, width: number): void {
    const { bytes, at } = this;
    if (value <= 0x3fffffff) {
      // Small integers divide without floating point.
      let rest = value | 0;
      for (let p = at + width - 1; p >= at; p--) {
        const tenth = (rest / 10) | 0;
        bytes[p] = 48 + rest - tenth * 10;
        rest = tenth;
      }
      this.at = at + width;
      return;
    }
    for (let p = at + width - 1; p >= at; p--) {
      const tenth = Math.floor(value / 10);
      bytes[p] = 48 + value - tenth * 10;
      value = tenth;
    }
    this.at = at + width;
  }

  protected milliseconds(ms: number): void {
    if (!(ms >= 0 && ms < MS_MAX)) this.text('-1');
    else this.integer(Math.round(ms));
  }

  /** A name of the configuration or an address: any characters. In the classic formats everything but printable ASCII is `?`. */
  protected name(text: string): void {
    const { bytes } = this;
    const { length } = text;
    if (length <= NAME_BYTES_MAX) {
      // The rule: nothing to escape. One pass without a branch finds out while it writes.
      let p = this.at;
      let found = 0;
      for (let i = 0; i < length; i++) {
        const c = text.charCodeAt(i);
        found |= escapeClass[c & 255]! | (c & ~255);
        bytes[p++] = c;
      }
      if (found === 0) {
        this.at = p;
        return;
      }
    }
    this.escapeName(text);
  }

  private escapeName(text: string): void {
    const { bytes, isJson } = this;
    let p = this.at;
    const stop = p + NAME_BYTES_MAX - ESCAPE_BYTES;
    for (let i = 0; i < text.length && p <= stop; i++) {
      const c = text.charCodeAt(i);
      if (c < 127 && escapeClass[c] === 0) bytes[p++] = c;
      else if (!isJson) bytes[p++] = c === 92 || c === 34 ? c : 63;
      else if (c === 34 || c === 92) {
        bytes[p++] = 92;
        bytes[p++] = c;
      } else {
        bytes[p++] = 92;
        bytes[p++] = 117;
        bytes[p++] = HEX[c >>> 12]!;
        bytes[p++] = HEX[(c >>> 8) & 15]!;
        bytes[p++] = HEX[(c >>> 4) & 15]!;
        bytes[p++] = HEX[c & 15]!;
      }
    }
    this.at = p;
  }

  /** The address without its port. */
  protected hostOnly(client: string): void {
    const colon = client.lastIndexOf(':');
    const isBare = colon < 0 || (client.charCodeAt(0) !== 91 && client.indexOf(':') !== colon);
    if (client === '') this.text('-');
    else if (isBare || client.startsWith('unix:')) this.name(client);
    else if (client.charCodeAt(0) === 91) this.name(client.slice(1, client.indexOf(']')));
    else this.name(client.slice(0, colon));
  }

  /** Text from outside. What would take more than `max` bytes in the line is cut. */
  protected escape(from: Uint8Array, start: number, end: number, max: number): void {
    const { bytes } = this;
    if (end - start <= max) {
      let p = this.at;
      let found = 0;
      for (let i = start; i < end; i++) {
        const c = from[i]!;
        found |= escapeClass[c]!;
        bytes[p++] = c;
      }
      if (found === 0) {
        this.at = p;
        return;
      }
    }
    this.escapeSlow(from, start, end, max);
  }

  private escapeSlow(from: Uint8Array, start: number, end: number, max: number): void {
    const { bytes, isJson } = this;
    let p = this.at;
    const stop = p + max - ESCAPE_BYTES;
    for (let i = start; i < end && p <= stop; i++) {
      const c = from[i]!;
      const k = escapeClass[c]!;
      if (k === 0) bytes[p++] = c;
      else if (k === 1) {
        bytes[p++] = 92;
        bytes[p++] = c;
      } else {
        bytes[p++] = 92;
        if (isJson) {
          bytes[p++] = 117;
          bytes[p++] = 48;
          bytes[p++] = 48;
        } else {
          bytes[p++] = 120;
        }
        bytes[p++] = HEX[c >>> 4]!;
        bytes[p++] = HEX[c & 15]!;
      }
    }
    this.at = p;
  }

  protected classicRange(bytes: Uint8Array, start: number, end: number): void {
    if (start >= end) this.text('-');
    else this.escape(bytes, start, end, FIELD_BYTES_MAX);
  }

  /** `key` ends with the opening quote. */
  protected jsonName(key: Uint8Array, value: string): void {
    if (value === '') return;
    this.put(key);
    this.name(value);
    this.char(34);
  }

  protected jsonRange(key: Uint8Array, bytes: Uint8Array, start: number, end: number, max: number): void {
    if (start >= end) return;
    this.put(key);
    this.escape(bytes, start, end, max);
    this.char(34);
  }

  /** Six decimals at most, zeros at the end left out: 0.003, 12, 0.00021. Nothing for a time that is none (negative, NaN, endless). */
  protected jsonTime(key: Uint8Array, ms: number): void {
    if (!(ms >= 0 && ms < MS_MAX)) return;
    this.put(key);
    const micros = Math.round(ms * 1000);
    let whole = 0;
    if (micros >= 1000000) whole = Math.floor(micros / 1000000);
    this.integer(whole);
    let rest = (micros - whole * 1000000) | 0;
    if (rest === 0) return;
    this.char(46);
    let width = 6;
    while (rest % 10 === 0) {
      rest = (rest / 10) | 0;
      width--;
    }
    this.digits(rest, width);
  }
}

export function latin1Bytes(text: string): Uint8Array {
  return new Uint8Array(Buffer.from(text, 'latin1'));
}
