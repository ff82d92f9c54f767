/**
 * Harm prevented: an example that is right on paper and does not run, or carries something to another pool than its own tests say.
 *
 * Each example runs as it stands, on other ports; each of its tests is made as real traffic, and the pool it expects has to answer.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { connect as tlsConnect } from 'node:tls';
import { parse } from 'yaml';
import { connect } from '../support/peer.ts';
import { freePort } from '../support/system.ts';
import { until, within } from '../support/wait.ts';
import { get, Weir, type WeirConfig } from '../support/weir.ts';

const examples = join(import.meta.dirname, '../../examples');

interface Case {
  request?: string;
  connect?: string;
  sni?: string;
  alpn?: string | string[];
  client?: string;
  expect: { pool: string };
}

/** Answers with the name of its pool: requests as HTTP, all else as bytes. */
async function serverOf(t: TestContext, pool: string): Promise<number> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    socket.once('data', (bytes: Buffer) => {
      const isHttp = /^[A-Z]+ \/\S* HTTP/.test(bytes.toString('latin1'));
      socket.end(isHttp ? `HTTP/1.1 200 OK\r\ncontent-length: ${pool.length}\r\n\r\n${pool}` : pool);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return (server.address() as { port: number }).port;
}

async function datagramServerOf(t: TestContext, pool: string): Promise<number> {
  const socket = createSocket('udp4', (_, { port, address }) => socket.send(pool, port, address));
  socket.bind(0, '127.0.0.1');
  await once(socket, 'listening');
  t.after(() => socket.close());
  return socket.address().port;
}

/** The first bytes of a TLS client. */
async function clientHello(servername: string | undefined, alpn: string[]): Promise<Buffer> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const heard = once(server, 'connection').then(async ([socket]) => {
    const [bytes] = (await once(socket as Socket, 'data')) as [Buffer];
    (socket as Socket).destroy();
    return bytes;
  });
  const { port } = server.address() as { port: number };
  const client = tlsConnect({ host: '127.0.0.1', port, servername: servername ?? '', ALPNProtocols: alpn });
  client.on('error', () => {});
  const bytes = await within('a client hello', 15_000, heard);
  client.destroy();
  server.close();
  return bytes;
}

async function ofConnection(port: number, first: Buffer): Promise<string> {
  const client = await connect(port);
  client.send(first);
  await client.ended();
  await client.close();
  return client.received;
}

async function ofDatagram(port: number): Promise<string> {
  const socket = createSocket('udp4');
  let answer = '';
  socket.on('message', (bytes) => (answer = bytes.toString()));
  try {
    // What is lost on the way is sent again, as clients do.
    await until('an answer', () => {
      if (answer === '') socket.send('question', port, '127.0.0.1');
      return answer !== '';
    });
    return answer;
  } finally {
    socket.close();
  }
}

for (const name of ['tcp.yaml', 'udp.yaml', 'sni.yaml', 'mixed.yaml']) {
  test(`examples/${name} carries what it says to where its tests say`, async (t) => {
    const config = parse(readFileSync(join(examples, name), 'utf8')) as WeirConfig;
    const listeners = config.listeners as Record<string, { listen: string; protocol: string; to: string; sniffTimeout?: string }>;
    const pools = config.pools as Record<string, { endpoints: (string | { address: string })[]; health?: unknown }>;
    const cases = config['tests'] as Case[];
    const isForDatagrams = (pool: string): boolean =>
      Object.values(listeners).some(({ protocol, to }) => protocol === 'udp' && to === pool);
    const ports = new Map<string, number>();
    for (const [pool, written] of Object.entries(pools)) {
      const port = isForDatagrams(pool) ? await datagramServerOf(t, pool) : await serverOf(t, pool);
      written.endpoints = written.endpoints.slice(0, 1).map((endpoint) => {
        const address = `127.0.0.1:${port}`;
        return typeof endpoint === 'string' ? address : { ...endpoint, address };
      });
      // These servers say their name and nothing else.
      if (written.health !== undefined) written.health = isForDatagrams(pool) ? undefined : 'tcp';
    }
    // A TCP and a UDP listener of one address stay on one.
    const moved = new Map<string, number>();
    for (const [listener, written] of Object.entries(listeners)) {
      const port = moved.get(written.listen) ?? (await freePort());
      moved.set(written.listen, port);
      written.listen = `127.0.0.1:${port}`;
      // All clients here speak first, some of them late.
      if (written.sniffTimeout !== undefined) written.sniffTimeout = '30s';
      ports.set(listener, port);
    }
    // A client of datagrams never says that it is done.
    const process = { drain: { graceful: '200ms' } };
    const weir = await Weir.start({ config: ({ admin }) => ({ ...config, process, admin: { listen: `127.0.0.1:${admin}` } }) });
    t.after(() => weir.kill());
    for (const { request, connect: listener, sni, alpn = [], client, expect } of cases) {
      // One that comes from elsewhere is not made here.
      if (client !== undefined && client !== '127.0.0.1' && cases.some((other) => other.connect === listener && !other.client))
        continue;
      let got: string;
      if (request !== undefined) got = (await get([...ports.values()][0]!, new URL(request.split(' ')[1]!).pathname)).body;
      else if (listeners[listener!]!.protocol === 'udp') got = await ofDatagram(ports.get(listener!)!);
      else {
        const offers = typeof alpn === 'string' ? [alpn] : alpn;
        const isTls = sni !== undefined || offers.length > 0;
        const first = isTls ? await clientHello(sni, offers) : Buffer.from('hello\r\n');
        got = await ofConnection(ports.get(listener!)!, first);
      }
      assert.equal(got, expect.pool, JSON.stringify({ request, listener, sni, alpn }));
    }
    await weir.stop(null);
  });
}

const hasOpenssl = spawnSync('openssl', ['version']).status === 0;

test('examples/tls.yaml opens TLS with the certificate that its own command makes', {
  skip: !hasOpenssl && 'openssl is not installed',
}, async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'weir-example-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const text = readFileSync(join(examples, 'tls.yaml'), 'utf8');
  const [, words] = /^# {3}openssl (req .*)$/m.exec(text)!;
  const made = spawnSync('openssl', words!.split(' '), { cwd: folder, encoding: 'utf8' });
  assert.equal(made.status, 0, made.stderr);
  const config = parse(text) as WeirConfig;
  const ports: Record<string, number> = {};
  for (const [name, listener] of Object.entries(config.listeners!))
    listener['listen'] = `127.0.0.1:${(ports[name] = await freePort())}`;
  for (const [pool, written] of Object.entries(config.pools!)) written['endpoints'] = [`127.0.0.1:${await serverOf(t, pool)}`];
  const weir = await Weir.start({ folder, config: ({ admin }) => ({ ...config, admin: { listen: `127.0.0.1:${admin}` } }) });
  t.after(() => weir.kill());
  const ca = readFileSync(join(folder, 'shop.crt'));
  /** What comes back in TLS, whose certificate is checked. */
  const inTls = async (listener: string, servername: string, protocol: string, bytes: string): Promise<string> => {
    const socket = tlsConnect({ host: '127.0.0.1', port: ports[listener]!, servername, ca, ALPNProtocols: [protocol] });
    let received = '';
    socket.setEncoding('latin1').on('data', (piece: string) => (received += piece));
    await within('a handshake', 15_000, once(socket, 'secureConnect'));
    assert.equal(socket.alpnProtocol, protocol);
    socket.write(bytes);
    await within('an answer', 15_000, once(socket, 'end'));
    socket.destroy();
    return received.slice(received.lastIndexOf('\n') + 1);
  };
  for (const [host, pool] of [
    ['shop.example', 'web'],
    ['api.shop.example', 'api'],
  ] as const)
    assert.equal(await inTls('secure', host, 'http/1.1', `GET / HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`), pool);
  assert.equal(await inTls('mail', 'shop.example', 'imap', 'a1 LOGIN\r\n'), 'mail');
  const { status } = await get(ports['web']!, '/', { host: 'shop.example' });
  assert.equal(status, 308);
  await weir.stop();
});
