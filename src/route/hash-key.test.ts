import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ClientAddress } from '../base/client-address.ts';
import { plainPool } from '../state/plain-pool.ts';
import type { BalanceAlgorithm, HashOnPlan, PoolPlan } from '../state/plan.ts';
import { HashKey, hashKeyOf } from './hash-key.ts';
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

test('of a client only the bits that count make the key, of either family its own number', () => {
  const plan: Sketch = { kind: 'client', name: '', v4Bits: 24, v6Bits: 64 };
  const of = (from: string) => key(plan, 'http://a/', {}, from);
  assert.equal(of('192.0.2.1:1'), of('192.0.2.254:1'));
  assert.notEqual(of('192.0.2.1:1'), of('192.0.3.1:1'));
  assert.equal(of('[2001:db8:0:1::1]:1'), of('[2001:db8:0:1:ffff::2]:1'));
  assert.notEqual(of('[2001:db8:0:1::1]:1'), of('[2001:db8:0:2::1]:1'));
  // Bits that do not fill a word.
  const odd = (from: string) => key({ ...plan, v4Bits: 31, v6Bits: 33 }, 'http://a/', {}, from);
  assert.equal(odd('192.0.2.2:1'), odd('192.0.2.3:1'));
  assert.notEqual(odd('192.0.2.1:1'), odd('192.0.2.2:1'));
  assert.equal(odd('[2001:db8:8000::]:1'), odd('[2001:db8:ffff::]:1'));
  assert.notEqual(odd('[2001:db8:8000::]:1'), odd('[2001:db8:7fff::]:1'));
  assert.notEqual(odd('[2001:db8::]:1'), odd('[2001:db9::]:1'));
});

test('with no bits all clients of a family are one', () => {
  const of = (from: string) => key({ kind: 'client', name: '', v4Bits: 0, v6Bits: 0 }, 'http://a/', {}, from);
  assert.equal(of('192.0.2.1:1'), of('10.0.0.1:1'));
  assert.equal(of('[2001:db8::1]:1'), of('[fe80::1]:1'));
});

test('an IPv4 client that arrives over a dual-stack socket is the same client, and its IPv4 bits count', () => {
  for (const v4Bits of [32, 24]) {
    const of = (from: string) => key({ kind: 'client', name: '', v4Bits, v6Bits: 64 }, 'http://a/', {}, from);
    assert.equal(of('[::ffff:192.0.2.1]:1'), of('192.0.2.1:1'));
    assert.notEqual(of('[::ffff:192.0.2.1]:1'), of('192.0.3.1:1'));
  }
});

test('source asks for the client, whatever hashOn names, with its bits; other policies for hashOn; those without a key for none', () => {
  const of = (algorithm: BalanceAlgorithm, from: string) => {
    const hashOn: HashOnPlan = { kind: 'path', name: '', v4Bits: 24, v6Bits: 64 };
    const pool = { balance: { ...plainPool.balance, algorithm, hashOn } } as PoolPlan;
    return hashKeyOf(pool)?.of(headFromText('GET', 'http://a/p', []), client(from), RANDOM);
  };
  assert.equal(of('source', '192.0.2.1:1'), of('source', '192.0.2.2:1'));
  assert.notEqual(of('source', '192.0.2.1:1'), of('source', '192.0.3.1:1'));
  assert.equal(of('maglev', '192.0.2.1:1'), of('maglev', '192.0.3.1:1'));
  assert.equal(of('random', '192.0.2.1:1'), undefined);
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
