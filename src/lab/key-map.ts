/**
 * KeyMap: which endpoint each key goes to, asked of a policy of its own, so that asking leaves the ones at work as they are. A change of the pool is held
 * against it: how many keys moved, and how many had to.
 */
import { NONE, type Policy } from '../balance/balance.ts';

/** Keys that are followed: the standard error of a share of 10 % is then 0.3 points. */
const KEYS_FOLLOWED_MAX = 10_000;
/** Random numbers under which a policy has to answer the same to count as one that looks at keys. */
const RANDOMS = [0, 0x55555555, 0x9e3779b9, 0xffffffff];

export class KeyMap {
  private readonly hashes: Uint32Array;
  private slots: Int32Array | null;

  constructor(picker: Policy, hashes: Uint32Array) {
    this.hashes = hashes.subarray(0, KEYS_FOLLOWED_MAX);
    this.slots = isKeyed(picker, this.hashes) ? this.map(picker) : null;
  }

  get looksAtKeys(): boolean {
    return this.slots !== null;
  }

  /** Takes the new mapping; null when the policy does not look at keys. */
  move(picker: Policy, leaving: number): { keys: number; moved: number; needed: number } | null {
    const before = this.slots;
    if (before === null) return null;
    const after = this.map(picker);
    let moved = 0;
    let needed = 0;
    for (let i = 0; i < after.length; i++) {
      if (after[i] !== before[i]) moved++;
      if (leaving === NONE ? isNew(before, after[i]!) : before[i] === leaving) needed++;
    }
    this.slots = after;
    return { keys: after.length, moved, needed };
  }

  private map(picker: Policy): Int32Array {
    return Int32Array.from(this.hashes, (hash) => picker.pick(hash, 0, NONE));
  }
}

function isNew(before: Int32Array, slot: number): boolean {
  return !before.includes(slot);
}

/** The same key always goes to the same endpoint, and not all keys go to one. */
function isKeyed(picker: Policy, hashes: Uint32Array): boolean {
  const seen = new Set<number>();
  for (const hash of hashes.subarray(0, 500)) {
    const slots = new Set(RANDOMS.map((random) => picker.pick(hash, random, NONE)));
    if (slots.size > 1) return false;
    for (const slot of slots) seen.add(slot);
  }
  return seen.size > 1;
}
