/**
 * Field names and methods to numbers: a table by length and first byte gives the candidate, a comparison four bytes at a time confirms it.
 */
import { fieldNames, methodNames } from '../../base/head.ts';
import { ascii } from './bytes.ts';

/** Names of 32 bytes and more are never known ones. */
const LENGTH_MAX = 31;
/** No known method has more than two words. */
const METHOD_LENGTH_MAX = 8;
/** Bit 5 of four bytes: makes ASCII letters lower case. */
const LOWER = 0x20202020;

class NameTable {
  /** Candidate by length * 32 + (first byte & 31); 0 = none. */
  readonly first = new Uint8Array((LENGTH_MAX + 1) * 32);
  /** The next candidate with the same length and first byte; 0 = none. */
  readonly next: Uint8Array;
  /** Where the words of a name begin: bytes 0-3, 4-7 and so on, then its last four bytes. A name shorter than 4 bytes is one word, filled up with zeros. */
  readonly starts: Uint16Array;
  readonly words: Int32Array;

  constructor(names: readonly string[]) {
    this.next = new Uint8Array(names.length);
    this.starts = new Uint16Array(names.length);
    const words: number[] = [];
    for (let id = 1; id < names.length; id++) {
      const name = names[id]!;
      const slot = (name.length << 5) | (name.charCodeAt(0) & 31);
      this.next[id] = this.first[slot]!;
      this.first[slot] = id;
      this.starts[id] = words.length;
      const view = new DataView(ascii(name.padEnd(4, '\0')).buffer);
      for (let k = 0; k + 4 < name.length; k += 4) words.push(view.getInt32(k));
      words.push(view.getInt32(Math.max(name.length - 4, 0)));
    }
    this.words = Int32Array.from(words);
  }
}

const fields = new NameTable(fieldNames);
const methods = new NameTable(methodNames);

/**
 * Number of the field name at view[from, from + length), or `field.other`. Exact for any bytes: setting bit 5 makes letters lower case and leaves
 * `-` and digits alone, and the control bytes it would turn into these are caught by having neither bit 5 nor bit 6.
 */
export function fieldIdAt(view: DataView, from: number, length: number): number {
  if (length > LENGTH_MAX) return 0;
  let id = fields.first[(length << 5) | (view.getUint8(from) & 31)]!;
  while (id !== 0) {
    if (length < 4 ? isShort(view, from, length, LOWER, fields.words[fields.starts[id]!]!) : isName(view, from, length, id))
      return id;
    id = fields.next[id]!;
  }
  return 0;
}

function isName(view: DataView, from: number, length: number, id: number): boolean {
  const { words } = fields;
  let word = fields.starts[id]!;
  const last = from + length - 4;
  for (let p = from; p < last; p += 4) {
    const x = view.getInt32(p);
    if ((x | LOWER) !== words[word++] || ((x | (x >>> 1)) & LOWER) !== LOWER) return false;
  }
  const x = view.getInt32(last);
  return (x | LOWER) === words[word] && ((x | (x >>> 1)) & LOWER) === LOWER;
}

/** Compares a name of up to three bytes, without reading behind it. */
function isShort(view: DataView, from: number, length: number, bits: number, word: number): boolean {
  for (let i = 0; i < length; i++) {
    const shift = 24 - 8 * i;
    const c = view.getUint8(from + i);
    if (c < 32 || (c | ((bits >>> shift) & 255)) !== ((word >>> shift) & 255)) return false;
  }
  return true;
}

/** Number of the method at view[from, from + length), or `method.OTHER`. Methods are case-sensitive (RFC 9110 §9.1). */
export function methodAt(view: DataView, from: number, length: number): number {
  if (length > METHOD_LENGTH_MAX) return 0;
  for (let id = methods.first[(length << 5) | (view.getUint8(from) & 31)]!; id !== 0; id = methods.next[id]!) {
    const word = methods.starts[id]!;
    if (length < 4) {
      if (isShort(view, from, length, 0, methods.words[word]!)) return id;
    } else if (view.getInt32(from) === methods.words[word]) {
      if (length === 4 || view.getInt32(from + length - 4) === methods.words[word + 1]) return id;
    }
  }
  return 0;
}
