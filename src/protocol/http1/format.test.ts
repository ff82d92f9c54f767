import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decimalLength, putCopy, writeDecimal, writeHex } from './format.ts';

const bytes = new Uint8Array(256);
const text = (end: number): string => Buffer.from(bytes.subarray(3, end)).toString('latin1');

test('decimal numbers come out as String() writes them, up to 15 digits', () => {
  for (let digits = 1; digits <= 15; digits++) {
    for (const value of [10 ** (digits - 1), 10 ** digits - 1, Math.floor(10 ** digits / 3), Math.floor(10 ** digits / 7)]) {
      bytes.fill(0);
      assert.equal(text(writeDecimal(value, bytes, 3)), String(value));
      assert.equal(decimalLength(value), String(value).length);
    }
  }
  for (const value of [0, 0x3fffffff, 0x40000000, 2 ** 31, 2 ** 32])
    assert.equal(text(writeDecimal(value, bytes, 3)), String(value));
});

test('hexadecimal numbers come out as toString(16) writes them, up to 32 bits', () => {
  for (let bits = 0; bits < 32; bits++) {
    for (const value of [2 ** bits - 1, 2 ** bits, 2 ** bits + 1])
      assert.equal(text(writeHex(value, bytes, 3)), value.toString(16));
  }
});

test('short and long ranges are copied alike, between arrays and within one', () => {
  for (const length of [0, 1, 63, 64, 65, 100]) {
    const from = Uint8Array.from({ length: 256 }, (_, i) => i);
    bytes.fill(0);
    assert.equal(putCopy(from, 10, 10 + length, bytes, 3, 3 + length), 3 + length);
    assert.deepEqual(bytes.subarray(3, 3 + length), from.subarray(10, 10 + length));
    assert.equal(bytes[3 + length], 0);
    assert.equal(putCopy(from, 10, 10 + length, from, 120, 256), 120 + length);
    assert.deepEqual(from.subarray(120, 120 + length), from.subarray(10, 10 + length));
    assert.equal(putCopy(from, 10, 10 + length, bytes, 3, 2 + length), -1);
  }
});
