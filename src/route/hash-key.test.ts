import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ClientAddress } from '../base/client-address.ts';
import type { HashOnPlan } from '../state/plan.ts';
import { HashKey } from './hash-key.ts';
import { headFromText } from './request.ts';

type Sketch = Pick<HashOnPlan, 'kind' | 'name'> & Partial<HashOnPlan>;

const RANDOM = 4242;
function client(text: string): ClientAddress {
  const address = new ClientAddress();
  address.set(text);
  return address;
}
function key(plan: Sketch, url: string, headers: Record<string, string> = {}, from = '192.0.2.1:1'): number {
  return new HashKey({ v4Bits: 32, v6Bits: 128, ...plan }).of(
    headFromText('GET', url, Object.entries(headers)),
    client(from),
    RANDOM,
  );
}

test('the port of the client does not count, its address does', () => {
  const plan: Sketch = { kind: 'client', name: '' };
  assert.equal(key(plan, 'http://a/', {}, '192.0.2.1:1'), key(plan, 'http://b/x', {}, '192.0.2.1:2'));
  assert.notEqual(key(plan, 'http://a/', {}, '192.0.2.1:1'), key(plan, 'http://a/', {}, '192.0.2.2:1'));
});

test('a header, a cookie and a query parameter give the same key for the same value', () => {
  const value = key({ kind: 'header', name: 'x-user' }, 'http://a/', { 'X-User': 'ann' });
  assert.equal(key({ kind: 'cookie', name: 'user' }, 'http://a/', { Cookie: 'theme=dark; user=ann; z=1' }), value);
  assert.equal(key({ kind: 'query', name: 'user' }, 'http://a/?q=1&user=ann'), value);
  assert.notEqual(key({ kind: 'query', name: 'user' }, 'http://a/?q=1&user=anne'), value);
});

test('a name that only begins or ends like the wanted one is another name', () => {
  assert.equal(key({ kind: 'query', name: 'user' }, 'http://a/?users=ann&xuser=ann'), RANDOM);
  assert.equal(key({ kind: 'cookie', name: 'user' }, 'http://a/', { Cookie: 'xuser=ann; users=ann' }), RANDOM);
});

test('path and uri differ by the query', () => {
  assert.equal(key({ kind: 'path', name: '' }, 'http://a/p?x=1'), key({ kind: 'path', name: '' }, 'http://b/p?x=2'));
  assert.notEqual(key({ kind: 'uri', name: '' }, 'http://a/p?x=1'), key({ kind: 'uri', name: '' }, 'http://a/p?x=2'));
});

test('a request that lacks the value is spread at random', () => {
  assert.equal(key({ kind: 'header', name: 'x-user' }, 'http://a/'), RANDOM);
  assert.equal(key({ kind: 'query', name: 'user' }, 'http://a/'), RANDOM);
  assert.equal(key({ kind: 'client', name: '' }, 'http://a/', {}, 'unix:'), RANDOM);
});
