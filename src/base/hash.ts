/**
 * Hashes for tables, rings of endpoints and sampling: fast, well spread, not proof against an attacker who picks the keys
 * unless the seed is secret and the answer unobservable.
 */

const PRIME_1 = 0x9e3779b1 | 0;
const PRIME_2 = 0x85ebca77 | 0;
const PRIME_3 = 0xc2b2ae3d | 0;
const PRIME_4 = 0x27d4eb2f | 0;
const PRIME_5 = 0x165667b1 | 0;

/** xxHash32 of bytes[start, end), unsigned (https://github.com/Cyan4973/xxHash/blob/dev/doc/xxhash_spec.md). */
export function xxhash32(bytes: Uint8Array, start: number, end: number, seed: number): number {
  return xxhash32Signed(bytes, start, end, seed) >>> 0;
}

/** The same as a signed number: every such fits a small integer of V8, half of the unsigned ones are boxed when they are returned. */
export function xxhash32Signed(bytes: Uint8Array, start: number, end: number, seed: number): number {
  let p = start;
  let hash: number;
  if (end - start >= 16) {
    let a = (seed + PRIME_1 + PRIME_2) | 0;
    let b = (seed + PRIME_2) | 0;
    let c = seed | 0;
    let d = (seed - PRIME_1) | 0;
    for (; p + 16 <= end; p += 16) {
      a = round(a, word(bytes, p));
      b = round(b, word(bytes, p + 4));
      c = round(c, word(bytes, p + 8));
      d = round(d, word(bytes, p + 12));
    }
    hash = (rotate(a, 1) + rotate(b, 7) + rotate(c, 12) + rotate(d, 18)) | 0;
  } else {
    hash = (seed + PRIME_5) | 0;
  }
  hash = (hash + (end - start)) | 0;
  for (; p + 4 <= end; p += 4) hash = Math.imul(rotate((hash + Math.imul(word(bytes, p), PRIME_3)) | 0, 17), PRIME_4);
  for (; p < end; p++) hash = Math.imul(rotate((hash + Math.imul(bytes[p]!, PRIME_5)) | 0, 11), PRIME_1);
  hash = Math.imul(hash ^ (hash >>> 15), PRIME_2);
  hash = Math.imul(hash ^ (hash >>> 13), PRIME_3);
  return hash ^ (hash >>> 16);
}

/** The finalizer of MurmurHash3: a bijection of 32-bit numbers in which every bit of the input moves half of the output. Unsigned. */
export function fmix32(value: number): number {
  value = Math.imul(value ^ (value >>> 16), 0x85ebca6b);
  value = Math.imul(value ^ (value >>> 13), 0xc2b2ae35);
  return (value ^ (value >>> 16)) >>> 0;
}

function round(lane: number, input: number): number {
  return Math.imul(rotate((lane + Math.imul(input, PRIME_2)) | 0, 13), PRIME_1);
}
function rotate(value: number, bits: number): number {
  return (value << bits) | (value >>> (32 - bits));
}
function word(bytes: Uint8Array, at: number): number {
  return bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24);
}
