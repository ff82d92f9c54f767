import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Handshake, Handshakes, PLACE_MS } from './handshakes.ts';

/** A list, in which `begin` does what a preface does; each handshake that was made to leave is named in `left`. */
function listOf(max: number) {
  const handshakes = new Handshakes();
  const left: string[] = [];
  const begin = (name: string, now: number, most = max): Handshake | null => {
    if (!handshakes.hasRoom(most, now)) return null;
    const handshake: Handshake = {
      begunBefore: null,
      begunAfter: null,
      placedMs: -1,
      giveWay() {
        left.push(name);
        handshakes.leave(this);
      },
    };
    handshakes.join(handshake, now);
    return handshake;
  };
  return { handshakes, left, begin };
}

test('there are as many places as the limit says, and 0 is no limit', () => {
  const { handshakes, begin } = listOf(2);
  const [a, b] = [begin('a', 0), begin('b', 0)];
  assert.ok(a !== null && b !== null);
  assert.equal(begin('c', 0), null);
  handshakes.leave(a);
  assert.ok(begin('d', 0) !== null, 'a place that was left is free');
  assert.equal(begin('e', 0), null);
  const unlimited = listOf(0);
  for (let i = 0; i < 100; i++) assert.ok(unlimited.begin('any', 0) !== null);
  assert.equal(unlimited.handshakes.count, 100);
});

test('the oldest gives up its place when all are taken and it had its time, nobody sooner or else', () => {
  const { handshakes, left, begin } = listOf(3);
  begin('a', 0);
  const b = begin('b', 10)!;
  begin('c', 20);
  assert.equal(begin('d', PLACE_MS - 1), null);
  assert.deepEqual(left, []);
  assert.ok(begin('e', PLACE_MS) !== null);
  assert.deepEqual(left, ['a']);
  assert.equal(begin('f', PLACE_MS + 9), null, 'the next oldest has not had its time');
  handshakes.leave(b);
  assert.ok(begin('g', PLACE_MS + 10) !== null, 'a free place needs nobody to leave');
  assert.ok(begin('h', PLACE_MS + 20) !== null);
  assert.deepEqual(left, ['a', 'c'], 'who left from the middle is not asked to');
  assert.equal(handshakes.count, 3);
});

test('nobody has to leave while there is room, however long it takes', () => {
  const { left, begin } = listOf(3);
  begin('a', 0);
  begin('b', 100 * PLACE_MS);
  assert.deepEqual(left, []);
});

test('a limit that was made smaller is reached by those that had their time, and passed by nobody', () => {
  const { handshakes, left, begin } = listOf(5);
  for (const [i, name] of ['a', 'b', 'c', 'd', 'e'].entries()) begin(name, i);
  assert.equal(begin('f', PLACE_MS + 1, 2), null);
  assert.deepEqual([left, handshakes.count], [['a', 'b'], 3]);
  assert.ok(begin('g', PLACE_MS + 4, 2) !== null);
  assert.deepEqual([left, handshakes.count], [['a', 'b', 'c', 'd'], 2]);
});
