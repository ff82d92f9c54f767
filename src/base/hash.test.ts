import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fmix32, xxhash32 } from './hash.ts';

/** The buffer of xxHash's own sanity check. */
function sanityBuffer(): Uint8Array {
  const bytes = new Uint8Array(101);
  let generator = 2654435761;
  for (let i = 0; i < bytes.length; i++) {
    bytes[i] = generator >>> 24;
    generator = Math.imul(generator, generator) >>> 0;
  }
  return bytes;
}

test('xxhash32 gives the values of the reference sanity check', () => {
  const bytes = sanityBuffer();
  const prime = 2654435761;
  for (const [length, seed, expected] of [
    [0, 0, 0x02cc5d05],
    [0, prime, 0x36b78ae7],
    [1, 0, 0xb85cbee5],
    [1, prime, 0xd5845d64],
    [14, 0, 0xe5aa0ab4],
    [14, prime, 0x4481951d],
    [101, 0, 0x1f1aa412],
    [101, prime, 0x498ec8e2],
  ] as const) {
    assert.equal(xxhash32(bytes, 0, length, seed), expected, `length ${length}, seed ${seed}`);
  }
});

test('xxhash32 gives the published values of well-known texts', () => {
  for (const [text, expected] of [
    ['a', 0x550d7456],
    ['abc', 0x32d153ff],
    ['Nobody inspects the spammish repetition', 0xe2293b2f],
  ] as const) {
    const bytes = Buffer.from(text);
    assert.equal(xxhash32(bytes, 0, bytes.length, 0), expected, text);
  }
});

test('xxhash32 looks at nothing outside the range', () => {
  const bytes = sanityBuffer();
  for (const length of [3, 16, 37]) {
    const alone = xxhash32(bytes.slice(5, 5 + length), 0, length, 9);
    assert.equal(xxhash32(bytes, 5, 5 + length, 9), alone);
    const changed = bytes.slice();
    changed[4]! ^= 255;
    changed[5 + length]! ^= 255;
    assert.equal(xxhash32(changed, 5, 5 + length, 9), alone);
  }
});

test('fmix32 gives the values of MurmurHash3 of nothing, whose hash is the mixed seed', () => {
  for (const [value, expected] of [
    [0, 0],
    [1, 0x514e28b7],
    [0xffffffff, 0x81f16f39],
  ] as const) {
    assert.equal(fmix32(value), expected);
  }
});
