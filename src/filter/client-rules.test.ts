import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { ClientAddress } from '../base/client-address.ts';
import { fieldIdOf, Head } from '../base/head.ts';
import { ClientRules, clientFrom } from './filter.ts';

/** A head with these fields and nothing else. */
function headOf(fields: readonly (readonly [string, string])[]): Head {
  const head = new Head(new Uint8Array(64 * 1024), fields.length);
  head.room = head.bytes.length;
  for (const [name, value] of fields) head.append(fieldIdOf(name.toLowerCase()), name, value);
  return head;
}
function address(text: string): ClientAddress {
  const a = new ClientAddress();
  a.set(text);
  return a;
}
const peer = address('10.0.0.9:5000');
const trust = [
  { bytes: [10, 0, 0, 0], bits: 8 },
  { bytes: [0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], bits: 8 },
];

/** Text of the client, and where it came from. */
function resolved(header: string, fields: [string, string][]): [string, number] {
  const out = new ClientAddress();
  const from = new ClientRules({ trust, header }).resolve(headOf(fields), peer, out);
  return [out.text, from];
}
const xff = (...values: string[]) =>
  resolved(
    'x-forwarded-for',
    values.map((v): [string, string] => ['X-Forwarded-For', v]),
  );
const forwarded = (...values: string[]) =>
  resolved(
    'forwarded',
    values.map((v): [string, string] => ['Forwarded', v]),
  );

test('a peer is trusted only inside the listed ranges', () => {
  const rules = new ClientRules({ trust, header: 'x-forwarded-for' });
  assert.ok(rules.trusts(peer));
  assert.ok(rules.trusts(address('[fd00::1]:1')));
  assert.ok(!rules.trusts(address('11.0.0.1:1')));
  assert.ok(!rules.trusts(address('unix:')));
  assert.ok(!new ClientRules({ trust: [], header: 'x-forwarded-for' }).trusts(peer));
});

test('the right-most address that is not trusted is the client', () => {
  assert.deepEqual(xff('198.51.100.7'), ['198.51.100.7', clientFrom.field]);
  assert.deepEqual(xff('6.6.6.6, 198.51.100.7'), ['198.51.100.7', clientFrom.field]);
  assert.deepEqual(xff('6.6.6.6, 198.51.100.7,10.1.1.1 ,\t10.2.2.2'), ['198.51.100.7', clientFrom.field]);
  assert.deepEqual(xff('6.6.6.6', '198.51.100.7', '10.1.1.1'), ['198.51.100.7', clientFrom.field]);
  assert.deepEqual(xff('2001:DB8::0:7'), ['2001:db8::7', clientFrom.field]);
  assert.deepEqual(xff('198.51.100.7:3456'), ['198.51.100.7', clientFrom.field]);
  assert.deepEqual(xff('[2001:db8::7]:3456'), ['2001:db8::7', clientFrom.field]);
});

test('when all are trusted the left-most is the client', () => {
  assert.deepEqual(xff('10.3.3.3, fd00::2, 10.1.1.1'), ['10.3.3.3', clientFrom.field]);
});

test('what the client wrote to the left cannot matter', () => {
  assert.deepEqual(xff('garbage, , unknown, 198.51.100.7'), ['198.51.100.7', clientFrom.field]);
});

test('an element on the way that is no address leaves the peer, and says so', () => {
  for (const value of [
    '',
    'unknown',
    '198.51.100.7, unknown',
    '198.51.100.7,',
    '198.51.100.7, ,10.1.1.1',
    '198.51.100.7;10.1.1.1',
    '1.2.3.4.5',
    '"198.51.100.7"',
  ]) {
    assert.deepEqual(xff(value), ['10.0.0.9', clientFrom.malformed], value);
  }
});

test('without the field the peer is the client', () => {
  assert.deepEqual(resolved('x-forwarded-for', [['x-real-ip', '1.2.3.4']]), ['10.0.0.9', clientFrom.peer]);
});

test('another field with one address works the same', () => {
  assert.deepEqual(resolved('x-real-ip', [['X-Real-IP', '198.51.100.7']]), ['198.51.100.7', clientFrom.field]);
  assert.deepEqual(
    resolved('x-client-addr', [
      ['X-Other', '1.1.1.1'],
      ['X-Client-Addr', '198.51.100.7'],
    ]),
    ['198.51.100.7', clientFrom.field],
  );
});

test('Forwarded is read by its grammar', () => {
  assert.deepEqual(forwarded('for=198.51.100.7'), ['198.51.100.7', clientFrom.field]);
  assert.deepEqual(forwarded('For="[2001:db8::7]:4711";proto=https'), ['2001:db8::7', clientFrom.field]);
  assert.deepEqual(forwarded('for=6.6.6.6, proto=http;FOR=198.51.100.7;by=10.0.0.1 , for=10.1.1.1'), [
    '198.51.100.7',
    clientFrom.field,
  ]);
  assert.deepEqual(forwarded('host="a, for=6.6.6.6";for=198.51.100.7'), ['198.51.100.7', clientFrom.field]);
  assert.deepEqual(forwarded('host="a\\", for=6.6.6.6";for=198.51.100.7'), ['198.51.100.7', clientFrom.field]);
  assert.deepEqual(forwarded('for=198.51.100.7', 'for=10.1.1.1'), ['198.51.100.7', clientFrom.field]);
});

test('Forwarded that cannot be read leaves the peer', () => {
  for (const value of [
    '',
    'for',
    'for=unknown',
    'for=_hidden',
    'proto=http',
    'for="198.51.100.7',
    'for=1.1.1.1;for=2.2.2.2',
    'for="1.1.1.1"x',
    'for=1.1.1.1,',
    'for=1.1.1.1 x',
    'for=10.1.1.1,'.repeat(70) + 'for=10.1.1.1',
  ]) {
    assert.deepEqual(forwarded(value), ['10.0.0.9', clientFrom.malformed], value.slice(0, 40));
  }
});

test('no list of any shape makes a trusted proxy, or what is left of the first stranger, the client', () => {
  const hop = fc.constantFrom('10.1.1.1', '10.255.0.1', 'fd00::1', '198.51.100.7', '203.0.113.1', '2001:db8::1', 'unknown', '');
  fc.assert(
    fc.property(fc.array(fc.array(hop, { minLength: 1, maxLength: 5 }), { maxLength: 4 }), (lines) => {
      const [text, from] = xff(...lines.map((l) => l.join(', ')));
      const all = lines.flat();
      // The plain reading: from the right, skip trusted, stop at the first that is not.
      let expected: [string, number] = ['10.0.0.9', clientFrom.peer];
      for (const one of all.toReversed()) {
        if (one === 'unknown' || one === '') {
          expected = ['10.0.0.9', clientFrom.malformed];
          break;
        }
        expected = [one, clientFrom.field];
        if (!one.startsWith('10.') && !one.startsWith('fd00')) break;
      }
      assert.deepEqual([text, from], expected);
    }),
    { numRuns: 2000, seed: 41 },
  );
});
