import assert from 'node:assert/strict';
import { hostname } from 'node:os';
import { test } from 'node:test';
import { refusal } from './guard.ts';

const row = (host: string | undefined, origin?: string, isUnix = false) =>
  refusal(host, origin, isUnix, ['lb.internal']) === null;

test('addresses, localhost, the machine and the names that were told are answered', () => {
  for (const host of [
    '127.0.0.1:9900',
    '127.0.0.1',
    '[::1]:9900',
    '[::1]',
    '10.1.2.3:80',
    'localhost:9900',
    'LOCALHOST',
    'a.localhost',
    'lb.internal:9900',
    hostname(),
  ]) {
    assert.ok(row(host), host);
  }
});

test('any other name is refused: it may have been rebound', () => {
  for (const host of [
    'evil.example',
    'evil.example:9900',
    'localhost.evil.example',
    'xlb.internal',
    'lb.internal.',
    '127.0.0.1.evil.example',
    '',
    undefined,
    'a b',
    'u@127.0.0.1',
    '::1',
    '127.0.0.1:x',
  ]) {
    assert.ok(!row(host), String(host));
  }
});

test('an Origin must be the host that was asked', () => {
  assert.ok(row('127.0.0.1:9900', 'http://127.0.0.1:9900'));
  assert.ok(row('localhost', 'http://localhost'));
  assert.ok(row('localhost:80', 'http://localhost'));
  assert.ok(row('localhost:443', 'https://localhost'));
  for (const origin of [
    'http://evil.example',
    'http://127.0.0.1:9901',
    'http://localhost:9900',
    'null',
    '',
    'file://',
    'https://10.0.0.9',
  ]) {
    assert.ok(!row('127.0.0.1:9900', origin), origin);
  }
});

test('over a unix socket the Host means nothing, an Origin still does', () => {
  assert.ok(row('whatever', undefined, true));
  assert.ok(row(undefined, undefined, true));
  assert.ok(!row('localhost', 'http://evil.example', true));
});
