import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Bug } from './assert.ts';
import { Prng } from './prng.ts';

test('the numbers are those of the reference implementation for the state 1, 2, 3, 4', () => {
  const prng = Prng.fromState(1, 2, 3, 4);
  const expected = [11520, 0, 5927040, 70819200, 2031721883, 1637235492, 1287239034, 3734860849, 3729100597, 4258142804];
  assert.deepEqual(
    expected.map(() => prng.uint32()),
    expected,
  );
});

test('a seed gives the same numbers again, and another seed gives others', () => {
  const take = (seed: number) => {
    const prng = new Prng(seed);
    return Array.from({ length: 20 }, () => prng.uint32());
  };
  assert.deepEqual(take(7), take(7));
  assert.notDeepEqual(take(7), take(8));
  assert.equal(new Set([...take(0), ...take(1)]).size, 40);
});

test('below() stays in its range and favours no value', () => {
  const prng = new Prng(3);
  const counts = new Array<number>(10).fill(0);
  for (let i = 0; i < 100_000; i++) counts[prng.below(10)]!++;
  // 10,000 each with a standard deviation of 95: five of these is a chance of one in a million.
  for (const count of counts) assert.ok(Math.abs(count - 10_000) < 475, `${count}`);
  assert.equal(prng.below(1), 0);
  assert.throws(() => prng.below(0), Bug);
});

test('between() reaches both its ends', () => {
  const prng = new Prng(4);
  const seen = new Set(Array.from({ length: 200 }, () => prng.between(-2, 2)));
  assert.deepEqual([...seen].sort(), [-1, -2, 0, 1, 2]);
});

test('chance() is never for 0, always for 100, and about as often as it says between', () => {
  const prng = new Prng(5);
  let hits = 0;
  for (let i = 0; i < 20_000; i++) {
    assert.equal(prng.chance(0), false);
    assert.equal(prng.chance(100), true);
    if (prng.chance(25)) hits++;
  }
  assert.ok(Math.abs(hits - 5000) < 310, `${hits}`);
});
