import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AddressCounts } from './address-counts.ts';
import { ClientAddress } from './client-address.ts';
import { Prng } from './prng.ts';

test('counts of addresses are those of a Map, and an address without any takes no room', () => {
  const prng = new Prng(9);
  const counts = new AddressCounts(prng.uint32());
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
      assert.equal(counts.add(address, 0), true);
      model.set(address.text, now + 1);
    }
    assert.equal(counts.count, model.size);
  }
});

test('an IPv4 address and the IPv6 address of the same bits are two', () => {
  const counts = new AddressCounts(3);
  const [a, b] = [new ClientAddress(), new ClientAddress()];
  a.set('1.2.3.4');
  b.set('::102:304');
  counts.add(a, 0);
  assert.equal(counts.of(b), 0);
});

test('one that has as many as it may is not counted again, until one of them is gone', () => {
  const counts = new AddressCounts(4);
  const address = new ClientAddress();
  address.set('192.0.2.1');
  assert.deepEqual([counts.add(address, 2), counts.add(address, 2), counts.add(address, 2)], [true, true, false]);
  assert.equal(counts.of(address), 2);
  counts.remove(address);
  assert.equal(counts.add(address, 2), true);
});

test('an address that has none cannot be counted off: the count of all would say there is room where there is none', () => {
  const counts = new AddressCounts(5);
  const [some, none] = [new ClientAddress(), new ClientAddress()];
  some.set('192.0.2.1');
  none.set('192.0.2.2');
  counts.add(some, 0);
  assert.throws(() => counts.remove(none), /as often as it was counted/);
});
