import assert from 'node:assert/strict';
import { createServer, type Socket } from 'node:net';
import { test } from 'node:test';
import { connect } from 'node:tls';
import fc from 'fast-check';
import { BAD, ClientHelloReader, HELLO_BYTES_MAX, MORE, NOT_TLS } from './client-hello.ts';

const reader = new ClientHelloReader();
function read(bytes: Uint8Array): number {
  return reader.read(bytes, 0, bytes.length);
}

const u16 = (n: number): number[] => [n >> 8, n & 255];
const text = (s: string): number[] => [...s].map((c) => c.charCodeAt(0));
const ext = (type: number, data: readonly number[]): number[] => [...u16(type), ...u16(data.length), ...data];
const sni = (name: string): number[] => ext(0, [...u16(name.length + 3), 0, ...u16(name.length), ...text(name)]);
const alpn = (...names: number[][]): number[] => {
  const list = names.flatMap((name) => [name.length, ...name]);
  return ext(16, [...u16(list.length), ...list]);
};
function hello(extensions: readonly number[] | null): number[] {
  const body = [3, 3, ...new Array(32).fill(7), 2, 9, 9, ...u16(4), 0x0a, 0x0a, 0x13, 1, 1, 0];
  if (extensions !== null) body.push(...u16(extensions.length), ...extensions);
  return [1, 0, ...u16(body.length), ...body];
}
/** In records of at most `size` bytes. */
function records(handshake: readonly number[], size = 16384): Uint8Array {
  const out: number[] = [];
  for (let at = 0; at < handshake.length; at += size) {
    const piece = handshake.slice(at, at + size);
    out.push(22, 3, 1, ...u16(piece.length), ...piece);
  }
  return Uint8Array.from(out);
}

/** What Node's own TLS client sends. */
function realHello(options: { servername?: string; ALPNProtocols?: string[] }): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    const server = createServer((socket: Socket) => {
      socket.once('data', (chunk: Buffer) => {
        resolve(chunk);
        socket.destroy();
        server.close();
      });
    });
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address() as { port: number };
      connect({ port, host: '127.0.0.1', ...options }).on('error', () => {});
    });
    server.on('error', reject);
  });
}

test('the hello of a real client tells its name and protocols', async () => {
  const bytes = await realHello({ servername: 'Shop.Example', ALPNProtocols: ['h2', 'http/1.1'] });
  assert.equal(read(bytes), bytes.length);
  assert.equal(reader.serverName, 'shop.example');
  assert.deepEqual(reader.alpn, ['h2', 'http/1.1']);
  const nameless = await realHello({});
  assert.equal(read(nameless), nameless.length);
  assert.equal(reader.serverName, '');
  assert.deepEqual(reader.alpn, []);
});

test('cut at any byte it asks for more, over one record or many', () => {
  const handshake = hello([...sni('a.example'), ...alpn(text('h2'))]);
  for (const size of [16384, 50, 7, 1]) {
    const bytes = records(handshake, size);
    for (let cut = 0; cut < bytes.length; cut++) assert.equal(reader.read(bytes, 0, cut), MORE, `${size} ${cut}`);
    assert.equal(read(bytes), bytes.length);
    assert.equal(reader.serverName, 'a.example');
    assert.deepEqual(reader.alpn, ['h2']);
  }
});

test('what stands before the start and behind the hello is not looked at', () => {
  const bytes = records(hello(sni('a.example')));
  const within = Uint8Array.from([1, 2, 3, ...bytes, 20, 3, 3, 0, 1, 1]);
  assert.equal(reader.read(within, 3, within.length), bytes.length);
  assert.equal(reader.serverName, 'a.example');
});

test('GREASE, unknown extensions and none at all are no obstacle', () => {
  const grease = [0x2a, 0x2a];
  const bytes = records(hello([...ext(0x3a3a, [0]), ...alpn(grease, text('h2')), ...ext(0xabcd, [1, 2]), ...sni('x.y')]));
  assert.ok(read(bytes) > 0);
  assert.deepEqual([reader.serverName, reader.alpn], ['x.y', ['h2']]);
  assert.ok(read(records(hello([]))) > 0);
  assert.ok(read(records(hello(null))) > 0);
  assert.equal(reader.serverName, '');
});

test('with an encrypted hello the outer name counts, and it is said', () => {
  assert.ok(read(records(hello([...ext(0xfe0d, [0, 1, 2]), ...sni('public.example')]))) > 0);
  assert.deepEqual([reader.serverName, reader.hasEncryptedHello], ['public.example', true]);
});

test('a trailing dot is taken off, capitals are made small', () => {
  assert.ok(read(records(hello(sni('A.Example.')))) > 0);
  assert.equal(reader.serverName, 'a.example');
});

for (const [what, extensions] of [
  ['a NUL in the name', sni('a\0.example')],
  ['a space in the name', sni('a example')],
  ['a colon in the name', sni('::1')],
  ['a byte above 127 in the name', sni('\xe9.example')],
  ['an empty name', sni('')],
  ['an empty label', sni('a..example')],
  ['a name that is a dot', sni('.')],
  ['a name of 254 characters', sni('a'.repeat(254))],
  ['two names', ext(0, [...u16(8), 0, 0, 1, 97, 0, 0, 1, 98])],
  ['a name of another type', ext(0, [...u16(4), 1, 0, 1, 97])],
  ['a list of another length than said', ext(0, [...u16(9), 0, 0, 1, 97])],
  ['a name twice', [...sni('a'), ...sni('b')]],
  ['an empty protocol', alpn(text('h2'), [])],
  ['a protocol longer than its list', ext(16, [...u16(2), 9, 104])],
  ['an extension that is cut off', [0, 0]],
  ['an extension longer than the hello', [...u16(5), ...u16(9), 1]],
] as const)
  test(`a hello with ${what} is refused with a reason`, () => {
    assert.equal(read(records(hello(extensions))), BAD);
    assert.notEqual(reader.reason, '');
  });

test('a name of 253 characters is taken', () => {
  assert.ok(read(records(hello(sni('a'.repeat(253))))) > 0);
});

test('what is not TLS is told from the first byte, a broken handshake from the byte that breaks it', () => {
  for (const bytes of [text('GET / HTTP/1.1\r\n'), text('SSH-2.0-x'), [0x80, 0x2e, 1, 3, 1], [21, 3, 1, 0, 2], [22, 2]])
    assert.equal(read(Uint8Array.from(bytes)), NOT_TLS);
  assert.equal(read(Uint8Array.from([22, 3, 1, 0, 0])), BAD, 'an empty record');
  assert.equal(read(Uint8Array.from([22, 3, 1, 0x40, 1])), BAD, 'a record that is too large');
  assert.equal(read(Uint8Array.from([22, 3, 1, 0, 1, 2])), BAD, 'a server hello');
  const whole = records(hello(sni('a.example')), 40);
  whole[45] = 23;
  assert.equal(read(whole), BAD, 'application data inside the hello');
});

test('a hello that says it is huge is refused before it has come', () => {
  assert.equal(read(Uint8Array.from([22, 3, 1, 0, 9, 1, 0xff, 0xff, 0xff])), BAD);
  const fits = HELLO_BYTES_MAX - 4;
  assert.equal(read(Uint8Array.from([22, 3, 1, 0, 9, 1, 0, ...u16(fits)])), MORE);
});

test('no bytes crash the reader', () => {
  const start = fc.constantFrom<number[]>([], [22, 3, 1], [22, 3, 1, 0, 90, 1, 0, 0, 86, 3, 3]);
  const property = fc.property(start, fc.uint8Array({ maxLength: 300 }), (head, tail) => {
    const bytes = Uint8Array.from([...head, ...tail]);
    const result = read(bytes);
    assert.ok(result >= BAD && result <= bytes.length);
  });
  fc.assert(property, { seed: 8, numRuns: 2000 });
  const whole = records(hello([...sni('a.example'), ...alpn(text('h2'), text('http/1.1'))]));
  const flips = fc.property(fc.nat(whole.length - 1), fc.nat(255), (at, value) => {
    const bytes = Uint8Array.from(whole);
    bytes[at] = value;
    assert.ok(read(bytes) >= BAD);
  });
  fc.assert(flips, { seed: 9, numRuns: 2000 });
});
