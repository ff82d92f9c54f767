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

/** Copies from[start, end) to to[at...]; returns the end. Within one array the ranges may not overlap. */
export function copy(from: Uint8Array, start: number, end: number, to: Uint8Array, at: number): number {
  const length = end - start;
  if (length > LOOP_BYTES_MAX) {
    if (from === to) to.copyWithin(at, start, end);
    else to.set(from.subarray(start, end), at);
    return at + length;
  }
  for (; start < end; start++) to[at++] = from[start]!;
  return at;
}

/** Writes all of `text`; returns the end. */
export function writeAscii(text: Uint8Array, bytes: Uint8Array, at: number): number {
  for (let i = 0; i < text.length; i++) bytes[at++] = text[i]!;
  return at;
}
