import assert from 'node:assert/strict';
import { BlockList, isIPv4, isIPv6 } from 'node:net';
import { test } from 'node:test';
import fc from 'fast-check';
import { type CidrBytes, CidrSet, ClientAddress } from './client-address.ts';

function parsed(text: string): ClientAddress | null {
  const address = new ClientAddress();
  return address.set(text) ? address : null;
}
function cidr(text: string): CidrBytes {
  const [host, bits] = text.split('/');
  const address = parsed(host!)!;
  const words = address.family === 4 ? [address.word3] : [address.word0, address.word1, address.word2, address.word3];
  return { bytes: words.flatMap((w) => [w >>> 24, (w >>> 16) & 255, (w >>> 8) & 255, w & 255]), bits: Number(bits) };
}

test('a peer text becomes address, port and canonical text', () => {
  const cases: [string, number, string, number][] = [
    ['192.0.2.1:4711', 4, '192.0.2.1', 4711],
    ['192.0.2.1', 4, '192.0.2.1', 0],
    ['0.0.0.0:0', 4, '0.0.0.0', 0],
    ['255.255.255.255:65535', 4, '255.255.255.255', 65535],
    ['[::1]:80', 6, '::1', 80],
    ['[::]:80', 6, '::', 80],
    ['2001:DB8:0:0:1:0:0:1', 6, '2001:db8::1:0:0:1', 0],
    ['2001:db8:0:1:1:1:1:1', 6, '2001:db8:0:1:1:1:1:1', 0],
    ['1::', 6, '1::', 0],
    ['64:ff9b::192.0.2.33', 6, '64:ff9b::c000:221', 0],
    ['[2001:db8::1]', 6, '2001:db8::1', 0],
  ];
  for (const [text, family, canonical, port] of cases) {
    const address = parsed(text);
    assert.ok(address, text);
    assert.deepEqual([address.family, address.text, address.port], [family, canonical, port], text);
  }
});

test('an address is told with its port, and a unix socket, which has none, without', () => {
  const address = new ClientAddress();
  for (const text of ['192.0.2.1:4711', '[2001:db8::1]:4711', 'unix:']) {
    address.set(text);
    assert.equal(address.textWithPort, text);
  }
});

test('numbers that are set have their text, whatever was asked for before', () => {
  const address = new ClientAddress();
  address.set('192.0.2.1:80');
  assert.equal(address.text, '192.0.2.1');
  address.setBinary(Uint8Array.of(0, 10, 0, 0, 7), 1, 4, 443);
  const copy = new ClientAddress();
  copy.copy(address);
  assert.deepEqual([address.text, copy.text, copy.port], ['10.0.0.7', '10.0.0.7', 443]);
  address.clear();
  assert.deepEqual([address.text, copy.text], ['', '10.0.0.7']);
});

test('an IPv4-mapped address is IPv4, so that a range for IPv4 sees it', () => {
  const mapped = parsed('[::ffff:192.0.2.1]:9')!;
  assert.deepEqual([mapped.family, mapped.text, mapped.port], [4, '192.0.2.1', 9]);
  assert.ok(mapped.equals(parsed('192.0.2.1')!));
  assert.equal(mapped.hash(), parsed('192.0.2.1')!.hash());
  assert.ok(new CidrSet([cidr('192.0.2.0/24')]).has(mapped));
  const mappedRange = new CidrSet([{ bytes: [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 192, 0, 2, 0], bits: 120 }]);
  assert.ok(mappedRange.has(parsed('192.0.2.77')!));
  assert.ok(!mappedRange.has(parsed('192.0.3.77')!));
});

test('what is not an address is refused and keeps its text', () => {
  const bad = [
    '',
    'unix:',
    '1.2.3',
    '1.2.3.4.5',
    '01.2.3.4',
    '1.2.3.256',
    '1.2.3.4:',
    '1.2.3.4:65536',
    '1.2.3.4:1a',
    '1..2.3',
    ' 1.2.3.4',
    ':::',
    '1:2:3:4:5:6:7',
    '1:2:3:4:5:6:7:8:9',
    '1::2::3',
    '12345::',
    '[::1',
    '[::1]80',
    '[::1]:',
    '[1.2.3.4]:80',
    'fe80::1%eth0',
    '::1.2.3',
    '1:2:3:4:5:6:7:1.2.3.4',
    ':1:2:3:4:5:6:7',
    '1:2:3:4:5:6:7:',
    'unknown',
    '_hidden',
    'a'.repeat(80),
    '١.٢.٣.٤',
  ];
  for (const text of bad) {
    const address = new ClientAddress();
    address.set('192.0.2.1:1');
    assert.equal(address.set(text), false, text);
    assert.deepEqual([address.family, address.port, address.text], [0, 0, text], text);
  }
});

test('the parser agrees with Node on what an address is', () => {
  const chunk = fc.constantFrom(
    '0',
    '1',
    '25',
    '255',
    '256',
    '.',
    ':',
    '::',
    'f',
    'ffff',
    'a0',
    '1.2.3.4',
    '1:2:3:4:5:6',
    '12345',
  );
  const text = fc.oneof(
    fc.array(chunk, { maxLength: 9 }).map((a) => a.join('')),
    fc.ipV4(),
    fc.ipV6(),
  );
  fc.assert(
    fc.property(text, (t) => {
      // "1.2.3.4:80" is an address with a port here.
      fc.pre(!/^[0-9.]+:[0-9]+$/.test(t));
      assert.equal(parsed(t) !== null, isIPv4(t) || isIPv6(t));
    }),
    { numRuns: 2000, seed: 11 },
  );
});

test('a range holds exactly the addresses that Node finds in it', () => {
  const v4 = fc.record({
    kind: fc.constant('ipv4' as const),
    host: fc.ipV4(),
    bits: fc.integer({ min: 0, max: 32 }),
    other: fc.ipV4(),
  });
  const v6 = fc.record({
    kind: fc.constant('ipv6' as const),
    host: fc.ipV6(),
    bits: fc.integer({ min: 0, max: 128 }),
    other: fc.ipV6(),
  });
  fc.assert(
    fc.property(fc.oneof(v4, v6), fc.boolean(), ({ kind, host, bits, other }, near) => {
      const family = parsed(host)!.family;
      // Mapped addresses are IPv4 here, IPv6 there.
      fc.pre(family === (kind === 'ipv4' ? 4 : 6) && parsed(other)!.family === family);
      const list = new BlockList();
      list.addSubnet(host, bits, kind);
      const asked = near ? host : other;
      assert.equal(new CidrSet([cidr(`${host}/${bits}`)]).has(parsed(asked)!), list.check(asked, kind));
    }),
    { numRuns: 1000, seed: 12 },
  );
});

test('an address one bit outside of a range is not in it', () => {
  const set = new CidrSet([cidr('10.0.0.0/9'), cidr('2001:db8::/33')]);
  assert.ok(set.has(parsed('10.127.255.255')!));
  assert.ok(!set.has(parsed('10.128.0.0')!));
  assert.ok(set.has(parsed('2001:db8:7fff:ffff::')!));
  assert.ok(!set.has(parsed('2001:db8:8000::')!));
});

test('no address is in no range, not even in the widest', () => {
  const none = new ClientAddress();
  none.set('unix:');
  assert.ok(!new CidrSet([cidr('0.0.0.0/0'), cidr('::/0')]).has(none));
  assert.ok(!new CidrSet([cidr('::/0')]).has(parsed('192.0.2.1')!));
});
