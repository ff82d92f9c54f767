import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ClientAddress } from '../base/client-address.ts';
import type { StreamRoutePlan } from '../state/plan.ts';
import { StreamTable } from './streams.ts';

const stream = (name: string, match: Partial<StreamRoutePlan['match']>): StreamRoutePlan => ({
  id: 0,
  name,
  source: 'test',
  match: { serverName: null, alpn: null, clients: null, ...match },
  target: { pools: [{ pool: 0, weight: 1 }] },
  timeouts: { connectMs: 1, idleMs: 1, totalMs: 0, halfClosedMs: 1 },
  attempts: 1,
});
const table = new StreamTable({
  streams: [
    stream('exact', { serverName: { value: 'a.example', wildcard: false } }),
    stream('wildcard', { serverName: { value: 'example', wildcard: true } }),
    stream('alpn', { alpn: ['imap', 'pop3'] }),
    stream('client', { clients: [{ bytes: [10, 0, 0, 0], bits: 8 }] }),
  ],
});
const client = (text: string): ClientAddress => {
  const address = new ClientAddress();
  assert.ok(address.set(text));
  return address;
};

const rows: [serverName: string, alpn: string[], from: string, route: string | null][] = [
  ['a.example', [], '192.0.2.1', 'exact'],
  ['b.example', [], '192.0.2.1', 'wildcard'],
  ['a.b.example', ['imap'], '10.0.0.1', 'wildcard'],
  ['example', [], '192.0.2.1', null],
  ['.example', [], '192.0.2.1', null],
  ['bexample', [], '192.0.2.1', null],
  ['a.example.org', [], '192.0.2.1', null],
  ['', ['http/1.1', 'pop3'], '10.0.0.1', 'alpn'],
  ['', ['pop'], '10.0.0.1', 'client'],
  ['', [], '11.0.0.1', null],
  ['', [], '::ffff:10.1.2.3', 'client'],
];
for (const [serverName, alpn, from, route] of rows) {
  test(`'${serverName}' offering [${alpn}] from ${from} goes to ${route ?? 'nobody'}`, () => {
    const found = table.match(serverName, alpn, client(from));
    assert.equal(found?.plan.name ?? null, route);
    for (const each of table.routes) {
      const missed = table.missed(each, serverName, alpn, client(from));
      if (each === found) assert.deepEqual(missed, []);
      if (found === null) assert.notDeepEqual(missed, [], each.plan.name);
    }
  });
}

test('why a route missed is said in the words of the configuration', () => {
  const missed = table.routes.map((route) => table.missed(route, '', [], client('192.0.2.1')).join());
  assert.deepEqual(missed, ['sni a.example', 'sni *.example', 'alpn imap or pop3', 'client']);
});
