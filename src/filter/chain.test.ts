import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ClientAddress } from '../base/client-address.ts';
import { fault } from '../base/faults.ts';
import { FIELD_STRIDE, fieldIdOf, Head } from '../base/head.ts';
import type { FilterPlan } from '../state/plan.ts';
import { checkHeaderEdit, compileTemplate, FilterChain, RequestFacts } from './filter.ts';

function headOf(fields: readonly (readonly [string, string])[], room = 4096): Head {
  const head = new Head(new Uint8Array(8192), 20);
  head.room = 8192;
  head.write('GET');
  head.methodEnd = head.used;
  head.setPath('/some/path');
  head.queryStart = head.used;
  head.write('q=1');
  head.queryEnd = head.used;
  head.setAuthority('Shop.Example:8080');
  for (const [name, value] of fields) head.append(fieldIdOf(name.toLowerCase()), name, value);
  head.room = head.used + room;
  return head;
}
function live(head: Head): string[] {
  const lines: string[] = [];
  for (let i = 0; i < head.count; i++) if (head.fields[i * FIELD_STRIDE] !== -1) lines.push(`${head.name(i)}: ${head.value(i)}`);
  return lines;
}
function address(text: string): ClientAddress {
  const a = new ClientAddress();
  a.set(text);
  return a;
}
const client = address('203.0.113.9:51234');
function facts(): RequestFacts {
  const f = new RequestFacts();
  Object.assign(f, {
    client: '203.0.113.9',
    clientPort: 51234,
    peer: '10.0.0.9',
    id: '01JD',
    scheme: 'https',
    listenerPort: '443',
    listener: 'secure',
    route: 'r',
    pool: 'web',
  });
  return f;
}
const nothing = { set: [], add: [], remove: [] };
const headers = (request: Partial<typeof nothing> | object, response: object = {}): FilterPlan => ({
  kind: 'headers',
  id: -1,
  name: 'f',
  request: { ...nothing, ...request },
  response: { ...nothing, ...response },
});

test('request headers are removed, replaced and added, in any spelling', () => {
  const head = headOf([
    ['X-A', '1'],
    ['x-a', '2'],
    ['X-Powered-By', 'x'],
    ['Cookie', 'c'],
    ['Keep', 'k'],
  ]);
  const chain = new FilterChain([
    headers({ remove: ['x-powered-by', 'cookie'], set: [{ name: 'x-A', value: '3' }], add: [{ name: 'keep', value: 'l' }] }),
  ]);
  assert.equal(chain.request(head, client, facts()), 0);
  assert.deepEqual(live(head), ['Keep: k', 'x-A: 3', 'keep: l']);
});

test('placeholders are filled in from the request and its facts', () => {
  const head = headOf([['X-Api-Key', 'k1']]);
  const value =
    '{client.ip}|{client.port}|{peer.ip}|{request.id}|{request.scheme}|{request.host}|{request.authority}|{request.path}|{request.query}|{request.uri}|{request.method}|{request.header.x-api-key}|{request.header.none}|{listener}|{listener.port}|{route}|{pool}';
  const chain = new FilterChain([headers({ set: [{ name: 'x-all', value }] })]);
  assert.equal(chain.request(head, client, facts()), 0);
  assert.equal(
    live(head)[1],
    'x-all: 203.0.113.9|51234|10.0.0.9|01JD|https|Shop.Example|Shop.Example:8080|/some/path|q=1|/some/path?q=1|GET|k1||secure|443|r|web',
  );
});

test('a value may be made of the header it replaces', () => {
  const head = headOf([['x-a', 'old']]);
  new FilterChain([headers({ set: [{ name: 'x-a', value: 'was {request.header.x-a}' }] })]).request(head, client, facts());
  assert.deepEqual(live(head), ['x-a: was old']);
});

test('response values made of the request are taken while the request is there', () => {
  const chain = new FilterChain([
    headers(
      {},
      { set: [{ name: 'x-path', value: '{request.path} {endpoint}' }], add: [{ name: 'x-pool', value: '{pool} {endpoint}' }] },
    ),
  ]);
  const f = facts();
  assert.equal(chain.request(headOf([]), client, f), 0);
  f.endpoint = '10.0.1.11:8080';
  const response = headOf([['X-Path', 'theirs']]);
  assert.equal(chain.response(response, f), 0);
  assert.deepEqual(live(response), ['x-path: /some/path 10.0.1.11:8080', 'x-pool: web 10.0.1.11:8080']);
});

test('the first filter of a route has the last word on the response', () => {
  const chain = new FilterChain([
    headers({}, { set: [{ name: 'x-a', value: 'outer' }] }),
    headers({}, { set: [{ name: 'x-a', value: 'inner' }] }),
  ]);
  const response = headOf([]);
  chain.response(response, facts());
  assert.deepEqual(live(response), ['x-a: outer']);
});

test('setting host changes the authority, and refuses one that is none', () => {
  const good = headOf([['x-tenant', 'blue']]);
  assert.equal(
    new FilterChain([headers({ set: [{ name: 'Host', value: '{request.header.x-tenant}.internal:81' }] })]).request(
      good,
      client,
      facts(),
    ),
    0,
  );
  assert.equal(good.text(good.authorityStart, good.authorityEnd), 'blue.internal:81');
  assert.deepEqual(live(good), ['x-tenant: blue']);
  for (const evil of ['a/b', 'a b', 'a@b', '', 'a:b:c']) {
    const head = headOf([['x-tenant', evil]]);
    assert.equal(
      new FilterChain([headers({ set: [{ name: 'host', value: '{request.header.x-tenant}' }] })]).request(head, client, facts()),
      fault.badRequest,
      evil,
    );
  }
});

test('access: denied ranges first, then allowed ones, and without any everybody', () => {
  const ten = { bytes: [10, 0, 0, 0], bits: 8 };
  const tenOne = { bytes: [10, 1, 0, 0], bits: 16 };
  const ask = (allow: (typeof ten)[], deny: (typeof ten)[], from: string) =>
    new FilterChain([{ kind: 'access', id: -1, isShadow: false, name: 'office', allow, deny }]).request(
      headOf([]),
      address(from),
      facts(),
    );
  assert.equal(ask([ten], [], '10.2.3.4'), 0);
  assert.equal(ask([ten], [], '11.2.3.4'), fault.requestDenied);
  assert.equal(ask([ten], [tenOne], '10.1.3.4'), fault.requestDenied);
  assert.equal(ask([], [tenOne], '10.2.3.4'), 0);
  assert.equal(ask([], [tenOne], '10.1.3.4'), fault.requestDenied);
  assert.equal(ask([ten], [], 'unix:'), fault.requestDenied);
});

test('filters run in order and a denial ends them', () => {
  const head = headOf([]);
  const chain = new FilterChain([
    headers({ add: [{ name: 'x-before', value: '1' }] }),
    { kind: 'access', id: -1, isShadow: false, name: 'no', allow: [{ bytes: [1, 1, 1, 1], bits: 32 }], deny: [] },
    headers({ add: [{ name: 'x-after', value: '1' }] }),
  ]);
  assert.equal(chain.request(head, client, facts()), fault.requestDenied);
  assert.deepEqual(live(head), ['x-before: 1']);
});

test('a head without room is a fault of its side', () => {
  const chain = new FilterChain([
    headers({ set: [{ name: 'x-a', value: '12345' }] }, { set: [{ name: 'x-a', value: '12345' }] }),
  ]);
  assert.equal(chain.request(headOf([], 7), client, facts()), fault.headTooLarge);
  assert.equal(chain.request(headOf([], 8), client, facts()), 0);
  assert.equal(chain.response(headOf([], 7), facts()), fault.responseHeadTooLarge);
});

test('values from outside cannot carry a line break into a head', () => {
  const f = facts();
  f.id = 'a\r\nx-evil: 1\0\x7fĀ';
  const head = headOf([]);
  new FilterChain([headers({ set: [{ name: 'x-id', value: 'id {request.id}' }] })]).request(head, client, f);
  assert.deepEqual(live(head), ['x-id: id a  x-evil: 1']);
});

test('config is told what cannot be edited or written', () => {
  for (const [name, value] of [
    ['x a', '1'],
    ['', '1'],
    ['x-ü', '1'],
    ['Content-Length', '1'],
    ['transfer-encoding', 'x'],
    ['Connection', 'x'],
    ['x-a', 'a\nb'],
    ['x-a', 'a\rb'],
    ['x-a', '\0'],
    ['x-a', 'Ā'],
    ['x-a', ' a'],
    ['x-a', '{request.nothing}'],
    ['x-a', '{client}'],
  ] as const) {
    assert.notEqual(checkHeaderEdit(name, value), null, `${name}: ${value}`);
  }
  for (const [name, value] of [
    ['x-a', ''],
    ['X-A_b', 'ü\t{'],
    ['report-to', '{"group":"default","max_age":1}'],
    ['x-a', '{client.ip}'],
    ['Host', 'a.example'],
  ] as const) {
    assert.equal(checkHeaderEdit(name, value), null, `${name}: ${value}`);
  }
  assert.match(compileTemplate('{nope}') as string, /no placeholder \{nope\}; known are \{client\.ip\}/);
  assert.throws(() => new FilterChain([headers({ set: [{ name: 'x-a', value: 'a\nb' }] })]), /was checked/);
});

test('a chain without filters is empty', () => {
  const chain = new FilterChain([]);
  assert.ok(chain.isEmpty);
  const head = headOf([['x-a', '1']]);
  assert.equal(chain.request(head, client, facts()) + chain.response(head, facts()), 0);
  assert.deepEqual(live(head), ['x-a: 1']);
});
