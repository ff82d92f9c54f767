/**
 * A hash index from byte strings to small numbers, built once. Keys come from the configuration, so a client cannot grow a bucket; what it
 * asks for is compared byte by byte.
 */

/** Starting value of {@link hashByte}: FNV-1a's offset basis. */
export const HASH_START = 0x811c9dc5 | 0;

/** One step of FNV-1a. */
export function hashByte(hash: number, byte: number): number {
  return Math.imul(hash ^ byte, 0x01000193);
}

/** Hash of bytes[start, end), first byte first. */
export function hashForward(bytes: Uint8Array, start: number, end: number): number {
  let h = HASH_START;
  for (let i = start; i < end; i++) h = Math.imul(h ^ bytes[i]!, 0x01000193);
  return h;
}

/** Hash of bytes[start, end), last byte first: a suffix's hash is an intermediate value of the whole's. */
export function hashBackward(bytes: Uint8Array, start: number, end: number): number {
  let h = HASH_START;
  for (let i = end - 1; i >= start; i--) h = Math.imul(h ^ bytes[i]!, 0x01000193);
  return h;
}

export class ByteIndex {
  readonly size: number;
  private readonly mask: number;
  /** Per place: key number + 1, or 0. */
  private readonly places: Int32Array;
  private readonly hashes: Int32Array;
  /** Key k is text[starts[k], starts[k + 1]). */
  private readonly starts: Int32Array;
  private readonly text: Uint8Array;

  /** Keys must differ. `hash` is hashForward or hashBackward of a key: the one the asker uses. */
  constructor(keys: readonly Uint8Array[], hash: (bytes: Uint8Array, start: number, end: number) => number) {
    this.size = keys.length;
    let places = 4;
    while (places < keys.length * 2) places *= 2;
    this.mask = places - 1;
    this.places = new Int32Array(places);
    this.hashes = new Int32Array(keys.length);
    this.starts = new Int32Array(keys.length + 1);
    this.text = new Uint8Array(keys.reduce((sum, key) => sum + key.length, 0));
    let at = 0;
    keys.forEach((key, k) => {
      this.starts[k] = at;
      this.text.set(key, at);
      at += key.length;
      const h = hash(key, 0, key.length);
      this.hashes[k] = h;
      let place = (h ^ (h >>> 15)) & this.mask;
      while (this.places[place] !== 0) place = (place + 1) & this.mask;
      this.places[place] = k + 1;
    });
    this.starts[keys.length] = at;
  }

  /** Number of the key equal to bytes[start, end), whose hash is given, or -1. */
  find(hash: number, bytes: Uint8Array, start: number, end: number): number {
    const { places, mask, hashes, starts, text } = this;
    let place = (hash ^ (hash >>> 15)) & mask;
    search: for (;;) {
      const k = places[place]! - 1;
      if (k < 0) return -1;
      if (hashes[k] === hash) {
        const from = starts[k]!;
        if (starts[k + 1]! - from === end - start) {
          for (let i = start, t = from; i < end; i++, t++) {
            if (bytes[i] !== text[t]) {
              place = (place + 1) & mask;
              continue search;
            }
          }
          return k;
        }
      }
      place = (place + 1) & mask;
    }
  }
}
