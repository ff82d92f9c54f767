/**
 * Numbers and copies into bytes, without strings.
 */

/** Digits of a non-negative integer below 10^15. */
export function decimalLength(value: number): number {
  let length = 1;
  for (let power = 10; value >= power; power *= 10) length++;
  return length;
}

/** Writes a non-negative integer below 10^15 in decimal; returns the end. */
export function writeDecimal(value: number, bytes: Uint8Array, at: number): number {
  const end = at + decimalLength(value);
  let p = end;
  let rest = value;
  // Beyond 31 bits the remainder leaves integer arithmetic: do it as rarely as possible.
  while (rest > 0x3fffffff) {
    const quotient = Math.floor(rest / 10);
    bytes[--p] = 48 + (rest - quotient * 10);
    rest = quotient;
  }
  let small = rest | 0;
  do {
    const quotient = (small / 10) | 0;
    bytes[--p] = 48 + (small - quotient * 10);
    small = quotient;
  } while (p > at);
  return end;
}

/** Writes a non-negative integer below 2^32 in lower-case hexadecimal; returns the end. */
export function writeHex(value: number, bytes: Uint8Array, at: number): number {
  let shift = 28;
  while (shift > 0 && value >>> shift === 0) shift -= 4;
  for (; shift >= 0; shift -= 4) {
    const digit = (value >>> shift) & 15;
    bytes[at++] = digit < 10 ? 48 + digit : 87 + digit;
  }
  return at;
}

/** Shorter ranges are copied faster by a loop than by a call out of JavaScript. */
const LOOP_BYTES_MAX = 64;

// What follows writes before `end` or not at all: the result is the end of what was written, or -1 when it did not fit or `at` is -1 already.
// So a chain of them needs one look at its last result.

/** Copies from[start, stop) to to[at...]. Within one array the ranges may not overlap. */
export function putCopy(from: Uint8Array, start: number, stop: number, to: Uint8Array, at: number, end: number): number {
  const length = stop - start;
  if (at < 0 || at + length > end) return -1;
  if (length > LOOP_BYTES_MAX) {
    if (from === to) to.copyWithin(at, start, stop);
    else to.set(from.subarray(start, stop), at);
    return at + length;
  }
  let p = at;
  for (let k = start; k < stop; k++) to[p++] = from[k]!;
  return p;
}

/** Writes all of `text`. */
export function putAscii(text: Uint8Array, bytes: Uint8Array, at: number, end: number): number {
  const length = text.length;
  if (at < 0 || at + length > end) return -1;
  let p = at;
  for (let i = 0; i < length; i++) bytes[p++] = text[i]!;
  return p;
}

export function putByte(byte: number, bytes: Uint8Array, at: number, end: number): number {
  if (at < 0 || at >= end) return -1;
  bytes[at] = byte;
  return at + 1;
}

export function putLineEnd(bytes: Uint8Array, at: number, end: number): number {
  if (at < 0 || at + 2 > end) return -1;
  bytes[at] = 13;
  bytes[at + 1] = 10;
  return at + 2;
}

export function putDecimal(value: number, bytes: Uint8Array, at: number, end: number): number {
  if (at < 0 || at + decimalLength(value) > end) return -1;
  return writeDecimal(value, bytes, at);
}
