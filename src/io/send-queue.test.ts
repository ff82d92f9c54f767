import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Bug } from '../base/assert.ts';
import { arenaBytes, Blocks } from '../base/blocks.ts';
import { Prng } from '../base/prng.ts';
import { NO_PIECE, SendQueue } from './send-queue.ts';

function open(): { blocks: Blocks; queue: SendQueue } {
  const blocks = new Blocks(new Uint8Array(arenaBytes(2, 8)), 2, 8);
  return { blocks, queue: new SendQueue(blocks) };
}

test('bytes that follow each other in a block are one piece', () => {
  const { blocks, queue } = open();
  const block = blocks.takeSmall();
  const first = queue.add(NO_PIECE, block, 10, 20);
  assert.equal(queue.add(first, block, 20, 30), first);
  assert.notEqual(queue.add(first, block, 31, 40), first);
  assert.deepEqual([queue.start[first], queue.end[first]], [10, 30]);
});

test('a piece holds its block until its last byte is taken', () => {
  const { blocks, queue } = open();
  const block = blocks.takeSmall();
  const first = queue.add(NO_PIECE, block, 0, 10);
  blocks.release(block);
  assert.equal(blocks.smallAvailable, 7);
  assert.equal(queue.take(first, 9), first);
  assert.equal(blocks.smallAvailable, 7);
  assert.equal(queue.take(first, 1), NO_PIECE);
  assert.equal(blocks.smallAvailable, 8);
});

test('taking more than is queued is a bug', () => {
  const { blocks, queue } = open();
  const first = queue.add(NO_PIECE, blocks.takeSmall(), 0, 10);
  assert.throws(() => queue.take(first, 11), Bug);
});

test('any interleaving of adds, takes and clears over many chains keeps the bytes in order and the blocks counted', () => {
  const prng = new Prng(11);
  const { blocks, queue } = open();
  interface Chain {
    first: number;
    last: number;
    expected: number[];
  }
  const chains: Chain[] = Array.from({ length: 6 }, () => ({ first: NO_PIECE, last: NO_PIECE, expected: [] }));
  let position = 0;
  for (let step = 0; step < 20_000; step++) {
    const chain = chains[prng.below(chains.length)]!;
    const kind = prng.below(10);
    if (kind < 5) {
      const block = blocks.takeSmall();
      if (block < 0) continue;
      position = (position * 7 + step) % 4000;
      const length = prng.between(1, 40);
      chain.last = queue.add(chain.last, block, position, position + length);
      if (chain.first === NO_PIECE) chain.first = chain.last;
      for (let i = 0; i < length; i++) chain.expected.push(block * 10_000 + position + i);
      blocks.release(block);
    } else if (kind < 9) {
      const count = prng.below(Math.min(chain.expected.length, 90) + 1);
      const taken: number[] = [];
      for (let piece = chain.first; piece !== NO_PIECE && taken.length < count; piece = queue.next[piece]!) {
        for (let at = queue.start[piece]!; at < queue.end[piece]! && taken.length < count; at++) {
          taken.push(queue.block[piece]! * 10_000 + at);
        }
      }
      assert.deepEqual(taken, chain.expected.splice(0, count));
      chain.first = queue.take(chain.first, count);
      if (chain.first === NO_PIECE) chain.last = NO_PIECE;
    } else {
      queue.clear(chain.first);
      chain.first = chain.last = NO_PIECE;
      chain.expected = [];
    }
    assert.equal(chain.first === NO_PIECE, chain.expected.length === 0);
  }
  for (const chain of chains) queue.clear(chain.first);
  assert.equal(blocks.smallAvailable, 8);
});

test('the queue grows with the pieces', () => {
  const { blocks, queue } = open();
  const block = blocks.takeSmall();
  let last = NO_PIECE;
  let first = NO_PIECE;
  for (let i = 0; i < 5000; i++) {
    last = queue.add(last, block, 2 * (i % 1000), 2 * (i % 1000) + 1);
    if (first === NO_PIECE) first = last;
  }
  assert.equal(queue.take(first, 5000), NO_PIECE);
  blocks.release(block);
  assert.equal(blocks.smallAvailable, 8);
});
