import assert from 'node:assert/strict';
import { test } from 'node:test';
import { NAME_WORDS } from '../base/datagram-name.ts';
import { Prng } from '../base/prng.ts';
import { DatagramIndex, NO_SESSION } from './datagram-index.ts';

function nameOf(key: number): Int32Array {
  const words = new Int32Array(NAME_WORDS);
  words[0] = 2 | ((key & 0xff) << 16);
  words[1] = key >>> 8;
  return words;
}

test('an index finds what a Map finds, through growth and removals', () => {
  for (let seed = 1; seed <= 5; seed++) {
    const prng = new Prng(seed);
    const index = new DatagramIndex(prng.uint32());
    const model = new Map<number, number>();
    for (let step = 0; step < 20_000; step++) {
      // Mostly growing, then mostly shrinking, then both.
      const key = prng.below(3000);
      const words = nameOf(key);
      const hash = index.hash(words, 0);
      const id = index.find(words, 0, hash);
      assert.equal(id, model.get(key) ?? NO_SESSION);
      const mayAdd = prng.below(100) < (step < 6000 ? 80 : step < 12_000 ? 20 : 50);
      if (id === NO_SESSION && mayAdd) {
        const added = index.add(words, 0, hash);
        assert.ok(![...model.values()].includes(added) || step % 97 !== 0, 'a number is given once');
        model.set(key, added);
      } else if (id !== NO_SESSION && !mayAdd) {
        index.remove(id);
        model.delete(key);
      }
      assert.equal(index.count, model.size);
    }
    assert.equal(new Set(model.values()).size, model.size);
    for (const [key, id] of model) assert.deepEqual(index.names.slice(id * NAME_WORDS, (id + 1) * NAME_WORDS), nameOf(key));
  }
});

test('names that differ in any one word are different', () => {
  const index = new DatagramIndex(1);
  const base = nameOf(77);
  index.add(base, 0, index.hash(base, 0));
  for (let i = 0; i < NAME_WORDS; i++) {
    const other = base.slice();
    other[i]! ^= 1;
    assert.equal(index.find(other, 0, index.hash(other, 0)), NO_SESSION, `word ${i}`);
    // Also where the hashes meet.
    assert.equal(index.find(other, 0, index.hash(base, 0)), NO_SESSION, `word ${i}`);
  }
});
