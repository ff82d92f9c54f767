/**
 * datagram-index: from the name of a client to the number of its session: open addressing over typed arrays, nothing is allocated while it does not grow.
 *
 * Names lie one behind the other by number, so a session knows its own. Removing moves what follows up (Knuth, vol. 3, 6.4 R), so no grave is left and a
 * flood of names that come once costs nothing later.
 */
import { NAME_WORDS } from '../base/datagram-name.ts';

/** Numbers there is room for at first; doubled when they are used up. */
const COUNT_MIN = 256;
/** None. */
export const NO_SESSION = -1;

export class DatagramIndex {
  /** Names by number. Replaced when it grows. */
  names: Int32Array;
  count: number;
  private readonly seed: number;
  private hashes: Int32Array;
  /** Number + 1 of the name there; 0 = empty. Twice as many places as numbers. */
  private places: Int32Array;
  private mask: number;
  private readonly free: number[];
  private next: number;

  /** `seed`: a secret of this process, so that nobody can choose names that meet in one place. */
  constructor(seed: number) {
    this.seed = seed;
    this.names = new Int32Array(COUNT_MIN * NAME_WORDS);
    this.hashes = new Int32Array(COUNT_MIN);
    this.places = new Int32Array(COUNT_MIN * 2);
    this.mask = COUNT_MIN * 2 - 1;
    this.free = [];
    this.next = 0;
    this.count = 0;
  }

  hash(words: Int32Array, at: number): number {
    let h = this.seed;
    for (let i = 0; i < NAME_WORDS; i++) {
      h = Math.imul(h ^ words[at + i]!, 0x9e3779b1);
      h ^= h >>> 15;
    }
    h = Math.imul(h, 0x85ebca6b);
    return h ^ (h >>> 13);
  }

  /** Number of the name at words[at...], or NO_SESSION. */
  find(words: Int32Array, at: number, hash: number): number {
    const { places, mask, hashes } = this;
    for (let place = hash & mask; ; place = (place + 1) & mask) {
      const id = places[place]! - 1;
      if (id < 0) return NO_SESSION;
      if (hashes[id] === hash && this.isAt(id, words, at)) return id;
    }
  }

  /** Takes a number for a name that has none. */
  add(words: Int32Array, at: number, hash: number): number {
    const id = this.free.pop() ?? this.next++;
    if (id === this.hashes.length) this.grow();
    const to = id * NAME_WORDS;
    for (let i = 0; i < NAME_WORDS; i++) this.names[to + i] = words[at + i]!;
    this.hashes[id] = hash;
    this.put(id, hash);
    this.count++;
    return id;
  }

  remove(id: number): void {
    const { places, mask, hashes } = this;
    let hole = hashes[id]! & mask;
    while (places[hole] !== id + 1) hole = (hole + 1) & mask;
    for (let place = (hole + 1) & mask; places[place] !== 0; place = (place + 1) & mask) {
      const home = hashes[places[place]! - 1]! & mask;
      // Movable when its home does not lie between the hole and where it is.
      if (((place - home) & mask) < ((place - hole) & mask)) continue;
      places[hole] = places[place]!;
      hole = place;
    }
    places[hole] = 0;
    this.free.push(id);
    this.count--;
  }

  private isAt(id: number, words: Int32Array, at: number): boolean {
    const { names } = this;
    const first = id * NAME_WORDS;
    for (let i = 0; i < NAME_WORDS; i++) if (names[first + i] !== words[at + i]) return false;
    return true;
  }

  private put(id: number, hash: number): void {
    const { places, mask } = this;
    let place = hash & mask;
    while (places[place] !== 0) place = (place + 1) & mask;
    places[place] = id + 1;
  }

  private grow(): void {
    const count = this.hashes.length * 2;
    const names = new Int32Array(count * NAME_WORDS);
    names.set(this.names);
    const hashes = new Int32Array(count);
    hashes.set(this.hashes);
    const old = this.places;
    this.names = names;
    this.hashes = hashes;
    this.places = new Int32Array(count * 2);
    this.mask = count * 2 - 1;
    for (const filled of old) if (filled !== 0) this.put(filled - 1, hashes[filled - 1]!);
  }
}
