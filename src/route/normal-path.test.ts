import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { NO_NORMAL_FORM, normalizePath } from './normal-path.ts';

function normal(path: string): string | null {
  const bytes = new Uint8Array(Buffer.from(path, 'latin1'));
  const out = new Uint8Array(bytes.length + 2);
  const length = normalizePath(bytes, 0, bytes.length, out);
  return length === NO_NORMAL_FORM ? null : Buffer.from(out.subarray(0, length)).toString('latin1');
}

test('every spelling of a path has the same normal form', () => {
  const spellings = [
    '/admin/x',
    '//admin/x',
    '/admin//x',
    '/./admin/x',
    '/a/../admin/x',
    '/%61dmin/x',
    '/admin%2fx',
    '/admin%2Fx',
    '/admin\\x',
    '/admin%5cx',
    '/admin;v=1/x',
    '/a/%2e%2e/admin/x',
    '/a/..;/admin/x',
    '/a/.%2e/admin/x',
    '/admin/x;y',
    '/a/b/../..//admin/./x',
    '/a%2f..%2fadmin/x',
  ];
  for (const spelling of spellings) assert.equal(normal(spelling), '/admin/x', spelling);
});

test('a trailing slash stays, dots at the end leave one', () => {
  assert.equal(normal('/a/'), '/a/');
  assert.equal(normal('/a//'), '/a/');
  assert.equal(normal('/a/.'), '/a/');
  assert.equal(normal('/a/b/..'), '/a/');
  assert.equal(normal('/a/..'), '/');
  assert.equal(normal('/'), '/');
  assert.equal(normal('//'), '/');
  assert.equal(normal(''), '/');
});

test('a path that climbs above the root has no normal form; one that reaches it has', () => {
  for (const bad of ['/..', '/../', '/../x', '/a/../../x', '/%2e%2e/x', '/a/..%2f..%2fx', '/..;/x', '/.%2E\\x', '//../x'])
    assert.equal(normal(bad), null, bad);
  assert.equal(normal('/a/../x'), '/x');
  assert.equal(normal('/...'), '/...');
  assert.equal(normal('/..x'), '/..x');
});

test('NUL and malformed escapes have no normal form', () => {
  for (const bad of ['/a%00', '/%', '/%4', '/%zz', '/%4g', '/a%%20', '/%u0041', '/\0']) assert.equal(normal(bad), null, bad);
  assert.equal(normal('/%01'), '/\x01');
});

test('escapes are decoded once', () => {
  assert.equal(normal('/%252e%252e/x'), '/%2e%2e/x');
  assert.equal(normal('/%2525'), '/%25');
});

/** The same rules, written with strings. */
function oracle(path: string): string | null {
  if (/%(?![0-9a-fA-F]{2})/.test(path) || /%00|\0/.test(path)) return null;
  const decoded = path
    .split(/[/\\]|%2f|%5c/i)
    .map((segment) =>
      segment.replace(/;.*$/s, '').replace(/%([0-9a-fA-F]{2})/g, (_, hex) => String.fromCharCode(parseInt(hex, 16))),
    );
  const out: string[] = [];
  let endsInSlash = true;
  for (const segment of decoded) {
    endsInSlash = segment === '' || segment === '.' || segment === '..';
    if (segment === '..') {
      if (out.pop() === undefined) return null;
    } else if (!endsInSlash) out.push(segment);
  }
  return out.length === 0 ? '/' : '/' + out.join('/') + (endsInSlash ? '/' : '');
}

test('the byte version agrees with a plain one, and a normal form is its own', () => {
  const piece = fc.constantFrom(
    '/',
    '//',
    '.',
    '..',
    '%2e',
    '%2F',
    '%5C',
    '%25',
    '%41',
    '%00',
    '%',
    ';',
    ';a=b',
    '\\',
    'a',
    'b',
    '%3b',
    '%zz',
    '\xe9',
  );
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 12 }), (pieces) => {
      const path = '/' + pieces.join('');
      const form = normal(path);
      assert.equal(form, oracle(path), path);
      if (form !== null && !/[%;\\]/.test(form)) assert.equal(normal(form), form);
    }),
    { numRuns: 5000, seed: 21 },
  );
});
