/**
 * Field names and methods to numbers: a table by length and first byte gives the candidate, one comparison confirms it.
 */
import { fieldNames, methodNames } from '../../base/head.ts';
import { ascii } from './bytes.ts';

/** Names of 32 bytes and more are never known ones. */
const LENGTH_MAX = 31;

class NameTable {
  /** Candidate by length * 32 + (first byte & 31); 0 = none. */
  readonly first = new Uint8Array((LENGTH_MAX + 1) * 32);
  /** The next candidate with the same length and first byte; 0 = none. */
  readonly next: Uint8Array;
  readonly offsets: Uint16Array;
  readonly spelling: Uint8Array;

  constructor(names: readonly string[]) {
    this.next = new Uint8Array(names.length);
    this.offsets = new Uint16Array(names.length);
    this.spelling = ascii(names.slice(1).join(''));
    let offset = 0;
    for (let id = 1; id < names.length; id++) {
      const name = names[id]!;
      const slot = (name.length << 5) | (name.charCodeAt(0) & 31);
      this.offsets[id] = offset;
      this.next[id] = this.first[slot]!;
      this.first[slot] = id;
      offset += name.length;
    }
  }
}

const fields = new NameTable(fieldNames);
const methods = new NameTable(methodNames);

/**
 * Number of the field name at bytes[from, from + length), or `field.other`. The bytes are tchars already: setting bit 5 makes letters
 * lower case, leaves `-` and digits alone, and turns no other tchar into one of these.
 */
export function fieldIdAt(bytes: Uint8Array, from: number, length: number): number {
  if (length > LENGTH_MAX) return 0;
  const { spelling, offsets, next } = fields;
  let id = fields.first[(length << 5) | (bytes[from]! & 31)]!;
  while (id !== 0) {
    let p = from;
    let k = offsets[id]!;
    const end = k + length;
    while (k < end && (bytes[p]! | 32) === spelling[k]) {
      p++;
      k++;
    }
    if (k === end) return id;
    id = next[id]!;
  }
  return 0;
}

/** Number of the method at bytes[from, from + length), or `method.OTHER`. Methods are case-sensitive (RFC 9110 §9.1). */
export function methodAt(bytes: Uint8Array, from: number, length: number): number {
  if (length > LENGTH_MAX) return 0;
  const { spelling, offsets, next } = methods;
  let id = methods.first[(length << 5) | (bytes[from]! & 31)]!;
  while (id !== 0) {
    let p = from;
    let k = offsets[id]!;
    const end = k + length;
    while (k < end && bytes[p] === spelling[k]) {
      p++;
      k++;
    }
    if (k === end) return id;
    id = next[id]!;
  }
  return 0;
}
