import assert from 'node:assert/strict';
import { test } from 'node:test';
import { WireBatch } from './epoll-batch.ts';
import type { EpollWire } from './epoll-wire.ts';

/** A batch asks nothing of its wires. */
const wires = Array.from({ length: 5 }, (_, slot) => ({ slot }) as EpollWire);

function takeAll(batch: WireBatch): number[] {
  const count = batch.take();
  return Array.from({ length: count }, (_, i) => batch.wire(i).slot);
}

test('what is added while a batch is worked off is in the next one, in its order', () => {
  const batch = new WireBatch();
  for (const wire of wires.slice(0, 3)) batch.add(wire);
  const seen: number[] = [];
  const count = batch.take();
  assert.equal(batch.count, 0);
  for (let i = 0; i < count; i++) {
    seen.push(batch.wire(i).slot);
    if (i < 2) batch.add(wires[4 - i]!);
  }
  assert.deepEqual(seen, [0, 1, 2]);
  assert.equal(batch.count, 2);
  assert.deepEqual(takeAll(batch), [4, 3]);
});

test('a batch smaller than one before it has nothing of that one', () => {
  const batch = new WireBatch();
  for (const size of [5, 4, 2, 3, 0, 1]) {
    for (const wire of wires.slice(5 - size)) batch.add(wire);
    assert.deepEqual(takeAll(batch), [0, 1, 2, 3, 4].slice(5 - size));
  }
  assert.deepEqual(takeAll(batch), []);
});
