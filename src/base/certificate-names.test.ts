import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CertificateNames } from './certificate-names.ts';

function finder(...names: string[][]): (serverName: string) => readonly number[] {
  const certificates = new CertificateNames(names.map((its) => ({ names: its })));
  return (serverName) => certificates.find(serverName);
}

test('a certificate is found by each of its names, in whatever case and with a dot at the end', () => {
  const find = finder(['shop.example', 'www.shop.example'], ['mail.example']);
  assert.deepEqual(find('www.shop.example'), [0]);
  assert.deepEqual(find('MAIL.Example'), [1]);
  assert.deepEqual(find('mail.example.'), [1]);
  assert.deepEqual(find('mail.example..'), []);
  assert.deepEqual(find('example'), []);
  assert.deepEqual(find(''), []);
});

test('a wildcard stands for exactly one label', () => {
  const find = finder(['*.shop.example']);
  assert.deepEqual(find('a.shop.example'), [0]);
  assert.deepEqual(find('xn--4ca.shop.example'), [0]);
  for (const name of ['shop.example', 'a.b.shop.example', '.shop.example', 'ashop.example', 'shop.example.a'])
    assert.deepEqual(find(name), [], name);
});

test('an asterisk that is not the whole first label stands for nothing', () => {
  const find = finder(['a*.shop.example', 'a.*.example', '*']);
  for (const name of ['ab.shop.example', 'a.shop.example', 'shop', 'localhost']) assert.deepEqual(find(name), [], name);
});

test('those with the very name come before those with a wildcard, and else the first of the list', () => {
  const find = finder(['*.shop.example'], ['a.shop.example'], ['b.shop.example', 'a.shop.example'], ['*.shop.example']);
  assert.deepEqual(find('a.shop.example'), [1, 2, 0, 3]);
  assert.deepEqual(find('b.shop.example'), [2, 0, 3]);
  assert.deepEqual(find('c.shop.example'), [0, 3]);
});

test('a certificate that has a name twice, or also by a wildcard, is there once', () => {
  const find = finder(['*.shop.example', 'a.shop.example', 'a.shop.example', '*.shop.example']);
  assert.deepEqual(find('a.shop.example'), [0]);
  assert.deepEqual(find('b.shop.example'), [0]);
});

test('who asks for no name is shown the first, and those for its first name', () => {
  const fallback = (...names: string[][]) => new CertificateNames(names.map((its) => ({ names: its }))).fallback;
  assert.deepEqual(fallback(['a.example', 'b.example'], ['b.example'], ['a.example']), [0, 2]);
  assert.deepEqual(fallback(['*.a.example'], ['b.example'], ['*.a.example']), [0, 2]);
  assert.deepEqual(fallback([], ['b.example']), [0]);
  assert.deepEqual(fallback(), []);
});

test('names that objects know by themselves are names like others', () => {
  const find = finder(['shop.example']);
  for (const name of ['constructor', '__proto__', 'a.constructor']) assert.deepEqual(find(name), [], name);
});
