import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { ClientAddress } from '../../base/client-address.ts';
import { crc32c } from './crc32c.ts';
import { BAD, MORE, NOT_THERE, ProxyLineReader, WRITE_BYTES_MAX, writeProxyLine } from './proxy-line.ts';

const client = new ClientAddress();
const server = new ClientAddress();
const reader = new ProxyLineReader();

function bytesOf(text: string): Uint8Array {
  return Uint8Array.from(text, (c) => c.charCodeAt(0));
}
function read(bytes: Uint8Array): number {
  return reader.read(bytes, 0, bytes.length, client, server);
}
const both = (): string => `${client.text} ${client.port} ${server.text} ${server.port}`;
const SIGNATURE = '\r\n\r\n\0\r\nQUIT\n';
/** A version 2 header with a right length. */
function v2(versionAndCommand: number, familyAndTransport: number, rest: readonly number[]): Uint8Array {
  const head = [versionAndCommand, familyAndTransport, rest.length >> 8, rest.length & 255];
  return Uint8Array.from([...bytesOf(SIGNATURE), ...head, ...rest]);
}
const FOUR = [192, 0, 2, 1, 198, 51, 100, 2, 0x1f, 0x90, 0, 80];

test('crc32c of the nine digits is the published check value', () => {
  assert.equal(crc32c(bytesOf('123456789'), 0, 9, -1), 0xe3069283);
});

test('a version 1 line of each family is read, whatever follows it', () => {
  const four = bytesOf('PROXY TCP4 192.0.2.1 198.51.100.2 56324 443\r\nGET /');
  assert.equal(read(four), four.length - 5);
  assert.equal(both(), '192.0.2.1 56324 198.51.100.2 443');
  const six = bytesOf('PROXY TCP6 2001:db8::1 2001:db8::2 0 65535\r\n');
  assert.equal(read(six), six.length);
  assert.equal(both(), '2001:db8::1 0 2001:db8::2 65535');
  for (const text of ['PROXY UNKNOWN\r\n', 'PROXY UNKNOWN ffff:f:f:f fff:: 1 2\r\n']) {
    assert.equal(read(bytesOf(text)), text.length);
    assert.equal(reader.isLocal, true);
  }
});

test('the longest version 1 line is read and a longer one is refused', () => {
  const longest = `PROXY UNKNOWN ${'f'.repeat(91)}\r\n`;
  assert.equal(longest.length, 107);
  assert.equal(read(bytesOf(longest)), 107);
  assert.equal(read(bytesOf(`PROXY UNKNOWN ${'f'.repeat(92)}\r\n`)), BAD);
  assert.equal(read(bytesOf(`PROXY UNKNOWN ${'f'.repeat(400)}`)), BAD, 'no CRLF is waited for beyond the limit');
});

for (const [what, line] of [
  ['two spaces', 'PROXY TCP4  192.0.2.1 198.51.100.2 1 2\r\n'],
  ['a trailing space', 'PROXY TCP4 192.0.2.1 198.51.100.2 1 2 \r\n'],
  ['a tab', 'PROXY TCP4\t192.0.2.1 198.51.100.2 1 2\r\n'],
  ['a bare LF', 'PROXY TCP4 192.0.2.1 198.51.100.2 1 2\n'],
  ['a CR without LF', 'PROXY TCP4 192.0.2.1 198.51.100.2 1 2\rX'],
  ['a port above 65535', 'PROXY TCP4 192.0.2.1 198.51.100.2 1 65536\r\n'],
  ['a port with a leading zero', 'PROXY TCP4 192.0.2.1 198.51.100.2 01 2\r\n'],
  ['a port with a sign', 'PROXY TCP4 192.0.2.1 198.51.100.2 +1 2\r\n'],
  ['no ports', 'PROXY TCP4 192.0.2.1 198.51.100.2\r\n'],
  ['one more word', 'PROXY TCP4 192.0.2.1 198.51.100.2 1 2 3\r\n'],
  ['an IPv6 address called TCP4', 'PROXY TCP4 ::1 198.51.100.2 1 2\r\n'],
  ['an IPv4 address called TCP6', 'PROXY TCP6 192.0.2.1 ::1 1 2\r\n'],
  ['an octal address', 'PROXY TCP4 192.0.02.1 198.51.100.2 1 2\r\n'],
  ['an address in brackets', 'PROXY TCP6 [::1] ::1 1 2\r\n'],
  ['an address with a port', 'PROXY TCP4 192.0.2.1:80 198.51.100.2 1 2\r\n'],
  ['UDP', 'PROXY UDP4 192.0.2.1 198.51.100.2 1 2\r\n'],
  ['lower case', 'PROXY tcp4 192.0.2.1 198.51.100.2 1 2\r\n'],
] as const)
  test(`a version 1 line with ${what} is refused with a reason`, () => {
    assert.equal(read(bytesOf(line)), BAD);
    assert.notEqual(reader.reason, '');
  });

test('what begins otherwise is not a line at all', () => {
  for (const text of ['GET / HTTP/1.1\r\n', '\x16\x03\x01', 'proxy TCP4', 'PROXZ', '\r\n\r\n\0\r\nQUIT\r', '\0'])
    assert.equal(read(bytesOf(text)), NOT_THERE, JSON.stringify(text));
});

test('cut at any byte, a line asks for more and then reads the same', () => {
  const v2Line = v2(0x21, 0x11, [...FOUR, 0x02, 0, 3, 0x61, 0x2e, 0x62]);
  for (const line of [bytesOf('PROXY TCP4 192.0.2.1 198.51.100.2 8080 80\r\n'), v2Line]) {
    for (let cut = 0; cut < line.length; cut++) assert.equal(reader.read(line, 0, cut, client, server), MORE, `${cut}`);
    assert.equal(read(line), line.length);
    assert.equal(both(), '192.0.2.1 8080 198.51.100.2 80');
  }
  assert.equal(reader.authority, 'a.b');
});

test('version 2: LOCAL, an unknown family and a unix socket keep the address of the peer', () => {
  for (const line of [v2(0x20, 0, []), v2(0x20, 0x11, [1, 2, 3]), v2(0x21, 0, [9, 9]), v2(0x21, 0x31, new Array(216).fill(0))]) {
    assert.equal(read(line), line.length);
    assert.equal(reader.isLocal, true);
  }
});

for (const [what, line] of [
  ['version 1', v2(0x11, 0x11, FOUR)],
  ['another command', v2(0x22, 0x11, FOUR)],
  ['another family', v2(0x21, 0x41, FOUR)],
  ['another transport', v2(0x21, 0x13, FOUR)],
  ['too few bytes of addresses', v2(0x21, 0x11, FOUR.slice(1))],
  ['a value that is cut off', v2(0x21, 0x11, [...FOUR, 4, 0])],
  ['a value longer than the rest', v2(0x21, 0x11, [...FOUR, 4, 0, 2, 0])],
  ['a wrong checksum', v2(0x21, 0x11, [...FOUR, 3, 0, 4, 1, 2, 3, 4])],
  ['a checksum of three bytes', v2(0x21, 0x11, [...FOUR, 3, 0, 3, 1, 2, 3])],
  ['more than 536 bytes', v2(0x21, 0x11, [...FOUR, 4, 2, 12, ...new Array(524).fill(0)])],
] as const)
  test(`a version 2 header with ${what} is refused with a reason`, () => {
    assert.equal(read(line), BAD);
    assert.notEqual(reader.reason, '');
  });

test('what is written is read back, for any addresses, versions and facts', () => {
  const text = fc.string({ unit: fc.constantFrom(...'abc.-019'), maxLength: 40 });
  const address = fc.oneof(fc.ipV4(), fc.ipV6());
  const port = fc.integer({ min: 0, max: 65535 });
  const property = fc.property(
    address,
    address,
    port,
    port,
    fc.constantFrom(1, 2),
    text,
    fc.boolean(),
    (from, to, fromPort, toPort, version, authority, isSecure) => {
      const [a, b] = [new ClientAddress(), new ClientAddress()];
      fc.pre(a.set(from) && b.set(to));
      a.port = fromPort;
      b.port = toPort;
      const bytes = new Uint8Array(WRITE_BYTES_MAX + 8);
      const end = writeProxyLine(bytes, 3, version, a, b, { authority, alpn: 'h2', isSecure });
      assert.equal(reader.read(bytes, 3, bytes.length, client, server), end - 3);
      assert.ok(client.equals(a) && server.equals(b), both());
      assert.deepEqual([client.port, server.port, reader.version], [fromPort, toPort, version]);
      if (version === 2) assert.deepEqual([reader.authority, reader.alpn, reader.isSecure], [authority, 'h2', isSecure]);
    },
  );
  fc.assert(property, { seed: 5, numRuns: 500 });
});

test('without addresses it is written as UNKNOWN and LOCAL', () => {
  const none = new ClientAddress();
  const bytes = new Uint8Array(WRITE_BYTES_MAX);
  for (const version of [1, 2]) {
    const end = writeProxyLine(bytes, 0, version, none, none, null);
    assert.equal(reader.read(bytes, 0, end, client, server), end);
    assert.equal(reader.isLocal, true);
  }
});

test('no bytes crash the reader, and what it takes is within what it was given', () => {
  const start = fc.constantFrom(
    bytesOf('PROXY '),
    bytesOf(`${SIGNATURE}\x21\x11`),
    bytesOf(`${SIGNATURE}\x21\x21\0\x60`),
    new Uint8Array(),
  );
  const property = fc.property(start, fc.uint8Array({ maxLength: 700 }), (head, tail) => {
    const bytes = Uint8Array.from([...head, ...tail]);
    const result = read(bytes);
    assert.ok(result >= BAD && result <= bytes.length);
  });
  fc.assert(property, { seed: 6, numRuns: 2000 });
});
