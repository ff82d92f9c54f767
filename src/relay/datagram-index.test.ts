import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ClientAddress } from '../base/client-address.ts';
import { NAME_WORDS } from '../base/datagram-name.ts';
import { Prng } from '../base/prng.ts';
import { DatagramCounts } from './datagram-counts.ts';
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

test('counts of addresses are those of a Map, and an address without sessions takes no room', () => {
  const prng = new Prng(9);
  const counts = new DatagramCounts(prng.uint32());
  const model = new Map<string, number>();
  const address = new ClientAddress();
  for (let step = 0; step < 20_000; step++) {
    address.set(prng.chance(50) ? `10.0.${prng.below(4)}.${prng.below(250)}` : `2001:db8::${prng.below(800).toString(16)}`);
    const now = model.get(address.text) ?? 0;
    assert.equal(counts.of(address), now);
    if (now > 0 && prng.chance(step < 8000 ? 30 : 60)) {
      counts.remove(address);
      if (now === 1) model.delete(address.text);
      else model.set(address.text, now - 1);
    } else {
      counts.add(address);
      model.set(address.text, now + 1);
    }
    assert.equal(counts.count, model.size);
  }
});

test('an IPv4 address and the IPv6 address of the same bits are two', () => {
  const counts = new DatagramCounts(3);
  const [a, b] = [new ClientAddress(), new ClientAddress()];
  a.set('1.2.3.4');
  b.set('::102:304');
  counts.add(a);
  assert.equal(counts.of(b), 0);
});
