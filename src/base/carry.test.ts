import assert from 'node:assert/strict';
import { test } from 'node:test';
import { arenaBytes, Blocks, LARGE_BYTES, SMALL_BYTES } from './blocks.ts';
import { Carry } from './carry.ts';

/** An arena, and a block that is full of what is to be kept. */
function arena(): { blocks: Blocks; carry: Carry; from: number } {
  const blocks = new Blocks(new Uint8Array(arenaBytes(4, 4)), 4, 4);
  const from = blocks.start(blocks.takeLarge());
  for (let i = 0; i < LARGE_BYTES; i++) blocks.bytes[from + i] = i % 251;
  return { blocks, carry: new Carry(blocks), from };
}

function assertKept({ blocks, carry, from }: ReturnType<typeof arena>, start: number, end: number): void {
  assert.deepEqual(
    Buffer.from(blocks.bytes.subarray(carry.start, carry.end)),
    Buffer.from(blocks.bytes.subarray(from + start, from + end)),
  );
}

test('few bytes are kept in a small block, more in a large one, and none in none', () => {
  const kept = arena();
  const { blocks, carry, from } = kept;
  assert.equal(carry.append(from, from + 1000), 1000);
  assert.deepEqual([blocks.largeAvailable, blocks.smallAvailable], [3, 3]);
  assert.equal(carry.append(from + 1000, from + SMALL_BYTES), SMALL_BYTES - 1000);
  assert.deepEqual([blocks.largeAvailable, blocks.smallAvailable], [3, 3]);
  assert.equal(carry.append(from + SMALL_BYTES, from + SMALL_BYTES + 1), 1);
  assert.deepEqual([blocks.largeAvailable, blocks.smallAvailable], [2, 4]);
  assertKept(kept, 0, SMALL_BYTES + 1);
  assert.equal(carry.consume(SMALL_BYTES), true);
  assert.deepEqual([blocks.largeAvailable, blocks.smallAvailable], [3, 3]);
  assertKept(kept, SMALL_BYTES, SMALL_BYTES + 1);
  assert.equal(carry.consume(1), true);
  assert.equal(carry.isEmpty, true);
  assert.deepEqual([blocks.largeAvailable, blocks.smallAvailable], [3, 4]);
});

test('what is kept fills a large block at most', () => {
  const kept = arena();
  const { carry, from } = kept;
  assert.equal(carry.append(from, from + 10), 10);
  assert.equal(carry.append(from + 10, from + LARGE_BYTES), LARGE_BYTES - 10);
  assert.equal(carry.append(from, from + 1), 0);
  assertKept(kept, 0, LARGE_BYTES);
  carry.clear();
});

test('without a free block nothing is taken, and what is kept stays', () => {
  const kept = arena();
  const { blocks, carry, from } = kept;
  carry.append(from, from + 100);
  while (blocks.largeAvailable > 0) blocks.takeLarge();
  assert.equal(carry.append(from + 100, from + 100 + SMALL_BYTES), -1);
  assertKept(kept, 0, 100);
  carry.clear();
  while (blocks.smallAvailable > 0) blocks.takeSmall();
  assert.equal(carry.append(from, from + 1), -1);
});

test('a large block does where no small one is free', () => {
  const kept = arena();
  const { blocks, carry, from } = kept;
  while (blocks.smallAvailable > 0) blocks.takeSmall();
  assert.equal(carry.append(from, from + 100), 100);
  assertKept(kept, 0, 100);
  carry.clear();
  assert.equal(blocks.largeAvailable, 3);
});
