import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fieldNames, methodNames } from '../../base/head.ts';
import { fieldIdAt, methodAt } from './names.ts';

/** A view in which the name stands between bytes that must not matter. */
function viewOf(name: string): DataView {
  const bytes = new Uint8Array(Buffer.from(`zz${name}zzzz`, 'latin1'));
  return new DataView(bytes.buffer);
}
const idOf = (name: string): number => fieldIdAt(viewOf(name), 2, name.length);
const methodOf = (name: string): number => methodAt(viewOf(name), 2, name.length);

test('every known field name is found in any case', () => {
  for (let id = 1; id < fieldNames.length; id++) {
    const name = fieldNames[id]!;
    const title = name.replace(/\b[a-z]/g, (c) => c.toUpperCase());
    for (const spelling of [name, title, name.toUpperCase()]) assert.equal(idOf(spelling), id, spelling);
  }
});

test('a name that differs in any one byte is unknown', () => {
  for (const name of fieldNames.slice(1)) {
    for (let i = 0; i < name.length; i++) {
      for (let byte = 0; byte < 256; byte++) {
        const other = name.slice(0, i) + String.fromCharCode(byte) + name.slice(i + 1);
        const expected = /^[a-z0-9-]+$/i.test(other) ? Math.max(fieldNames.indexOf(other.toLowerCase(), 1), 0) : 0;
        if (idOf(other) !== expected) assert.fail(`${JSON.stringify(other)} is taken for ${name}`);
      }
    }
    assert.equal(idOf(name + 's'), 0);
    assert.equal(idOf('x'.repeat(40)), 0);
  }
});

test('methods are known in capitals only', () => {
  for (let id = 1; id < methodNames.length; id++) {
    const name = methodNames[id]!;
    assert.equal(methodOf(name), id);
    assert.equal(methodOf(name.toLowerCase()), 0);
    assert.equal(methodOf(name.slice(0, -1)), 0);
    assert.equal(methodOf(name + 'X'), 0);
    for (let i = 0; i < name.length; i++) assert.equal(methodOf(name.slice(0, i) + '!' + name.slice(i + 1)), 0);
  }
});
