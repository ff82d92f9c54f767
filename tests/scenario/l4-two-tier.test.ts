/**
 * Harm prevented: behind an outer tier that carries connections, endpoints lose sight of the client, or a member of the inner tier that dies takes more
 * with it than its own connections.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { connect as connectTls, TLSSocket } from 'node:tls';
import { ClientAddress } from '../../src/base/client-address.ts';
import { MORE, ProxyLineReader } from '../../src/protocol/proxy-line/proxy-line.ts';
import { KeyedEndpoint } from '../support/keyed-endpoint.ts';
import { describeLoad, failed, Load } from '../support/load.ts';
import { fieldOf } from '../support/message-reader.ts';
import { answer, ask, connect, ok, ScriptedEndpoint } from '../support/peer.ts';
import { missing, run } from '../support/programs.ts';
import { streamConfig } from '../support/streams.ts';
import { freePort } from '../support/system.ts';
import { until } from '../support/wait.ts';
import { simpleConfig, Weir } from '../support/weir.ts';

const root = join(import.meta.dirname, '../..');

const isRefusal = (error: NodeJS.ErrnoException): boolean => error.code === 'ECONNREFUSED';

/** A weir of the inner tier: requests, believed only with a line of version 2. */
async function innerBefore(t: TestContext, address: string): Promise<Weir> {
  const weir = await Weir.start({
    config: (ports) =>
      simpleConfig(ports, [address], {
        listener: { proxyProtocol: { accept: 'required', from: ['127.0.0.1'] } },
        top: { routes: [{ name: 'alive', path: '/healthz', respond: { body: 'ok' } }] },
      }),
  });
  t.after(() => weir.kill());
  return weir;
}

/** The outer tier. */
async function frontBefore(t: TestContext, inner: readonly Weir[]): Promise<Weir> {
  const weir = await Weir.start({
    config: (ports) =>
      streamConfig(
        ports,
        inner.map(({ port }) => `127.0.0.1:${port}`),
        {
          pool: {
            balance: 'least-requests',
            proxyProtocol: 'v2',
            health: { active: { path: '/healthz', interval: '500ms' } },
          },
        },
      ),
  });
  t.after(() => weir.kill());
  await until('the inner tier to be up', async () => (await weir.metric('weir_endpoint_up')) === inner.length);
  return weir;
}

test('killing a member of the inner tier under load loses its connections, no others, and new ones go to the other at once', async (t) => {
  const endpoint = await KeyedEndpoint.start('e');
  t.after(() => endpoint.kill());
  const inner = [await innerBefore(t, endpoint.address), await innerBefore(t, endpoint.address)] as const;
  const front = await frontBefore(t, inner);
  const load = new Load({ port: front.port, connections: 24, rate: 300 });
  t.after(() => load.kill());
  await load.more(300);
  const address = `127.0.0.1:${inner[0].port}`;
  const carried = await until('both to carry some', async () => {
    const count = await front.metric('weir_endpoint_connections', { endpoint: address, state: 'busy' });
    return count > 5 && count < 20 && count;
  });
  await inner[0].kill();
  // What comes while the kernel takes it down is still one of its own: io_uring lets go of the listening socket a moment after the process.
  await until('it to be gone', () => connect(inner[0].port).then((peer) => void peer.reset(), isRefusal), 5000, 1);
  // Every new connection is served, from the first on.
  for (let i = 0; i < 30; i++) {
    const { status } = await ask(front.port, 'GET /keyed/new/10 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n');
    assert.equal(status, 200);
  }
  await load.more(300);
  const result = await load.stop();
  assert.ok(failed(result) <= carried, describeLoad(result));
  // No member answered for the dead one: a connection that is carried is cut, and nothing is made up.
  assert.equal(result.counts.status + result.counts.wrongBody + result.counts.protocol + result.counts.timeout, 0);
  const ports = new Set(result.failures.map(({ port }) => port));
  assert.equal(ports.size, result.failures.length, 'each connection was lost once');
  await front.stop();
  await inner[1].stop();
});

test('endpoints are told of the client itself, whichever member of the inner tier it came by', async (t) => {
  const endpoint = await ScriptedEndpoint.start(
    answer((request) => ok(`${fieldOf(request, 'via')} ${fieldOf(request, 'x-forwarded-for')}`)),
  );
  t.after(() => endpoint.close());
  const inner = [await innerBefore(t, endpoint.address), await innerBefore(t, endpoint.address)];
  const front = await frontBefore(t, inner);
  const clients = await Promise.all(Array.from({ length: 12 }, (_, i) => connect(front.port, '127.0.0.1', `127.0.6.${i + 1}`)));
  for (const [i, client] of clients.entries()) {
    client.reader.expect('GET');
    client.send('GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 192.0.2.1\r\n\r\n');
    assert.match(String((await client.message()).body), new RegExp(` 127\\.0\\.6\\.${i + 1}$`));
  }
  for (const { port } of inner)
    await until(
      'both to carry some',
      async () => (await front.metric('weir_endpoint_connections', { endpoint: `127.0.0.1:${port}`, state: 'busy' })) > 0,
    );
  for (const client of clients) await client.close();
  await front.stop();
  for (const weir of inner) await weir.stop();
});

test('TLS passes through the outer tier unopened, with the line in front of its first byte', {
  skip: missing('openssl'),
}, async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'weir-two-tier-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const [key, cert] = [`${folder}/key.pem`, `${folder}/cert.pem`];
  run('openssl', [
    'req',
    '-x509',
    '-newkey',
    'rsa:2048',
    '-nodes',
    '-days',
    '1',
    '-subj',
    '/CN=shop.test',
    '-keyout',
    key,
    '-out',
    cert,
  ]);
  const options = { isServer: true, key: readFileSync(key), cert: readFileSync(cert), ALPNProtocols: ['shop/1'] };
  const seen: { client: string; authority: string; alpn: string }[] = [];
  const sockets: Socket[] = [];
  const server = createServer((socket) => {
    sockets.push(socket);
    socket.on('error', () => {});
    const read = (): void => {
      const bytes = (socket.read() as Buffer | null) ?? Buffer.alloc(0);
      const [reader, client] = [new ProxyLineReader(), new ClientAddress()];
      const length = reader.read(bytes, 0, bytes.length, client, new ClientAddress());
      // The line comes in one packet, perhaps with what follows.
      if (length === MORE) return;
      socket.removeListener('readable', read);
      seen.push({ client: client.text, authority: reader.authority, alpn: reader.alpn });
      socket.unshift(bytes.subarray(length));
      const tls = new TLSSocket(socket, options);
      tls.on('error', () => {});
      tls.on('data', (chunk: Buffer) => tls.write(`you said ${chunk}`));
    };
    socket.on('readable', read);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  const front = await Weir.start({
    config: (ports) => ({
      ...streamConfig(ports, ['127.0.0.1:9'], { pool: { proxyProtocol: 'v2' } }),
      pools: {
        pool: { endpoints: ['127.0.0.1:9'] },
        shop: { endpoints: [`127.0.0.1:${(server.address() as { port: number }).port}`], proxyProtocol: 'v2' },
      },
      routes: [{ name: 'shop', sni: '*.test', to: 'shop' }],
    }),
  });
  t.after(() => front.kill());
  const client = connectTls({
    host: '127.0.0.1',
    port: front.port,
    servername: 'shop.test',
    ALPNProtocols: ['shop/1'],
    ca: options.cert,
  });
  t.after(() => client.destroy());
  await new Promise<void>((resolve, reject) => {
    client.once('secureConnect', () => resolve());
    client.once('error', reject);
  });
  assert.equal(client.getPeerCertificate().subject.CN, 'shop.test');
  let heard = '';
  client.setEncoding('utf8').on('data', (text: string) => (heard += text));
  client.write('hello');
  await until('the answer', () => heard === 'you said hello');
  assert.deepEqual(seen, [{ client: '127.0.0.1', authority: 'shop.test', alpn: 'shop/1' }]);
  client.destroy();
  await front.stop();
});

test('examples/two-tier comes up by the commands that stand in it', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'weir-two-tier-'));
  const text = readFileSync(join(root, 'examples/two-tier/front.yaml'), 'utf8');
  // On ports that are free here.
  const ports = new Map<string, number>();
  for (const port of ['8080', '8081', '8082', '9900', '9901', '9902', '9001', '9002']) ports.set(port, await freePort());
  while (ports.get('9002') !== ports.get('9001')! + 1) {
    ports.set('9001', ports.get('9002')!);
    ports.set('9002', await freePort());
  }
  const moved = (from: string): string =>
    from.replaceAll(/\b(?:808\d|99?0\d)\b|\b900[12]\b|\b990[012]\b/g, (port) => String(ports.get(port) ?? port));
  for (const name of ['front.yaml', 'inner.yaml'])
    writeFileSync(join(folder, name), moved(readFileSync(join(root, 'examples/two-tier', name), 'utf8')));
  const commands = [...text.matchAll(/^# {3}(.*weir (?:echo|run) .*)$/gm)].map(([, command]) => command!);
  assert.equal(commands.length, 4);
  let said = '';
  const children = commands.map((command) => {
    const line = moved(command).replaceAll('examples/two-tier', folder).replaceAll('/tmp/inner', `${folder}/inner`);
    const child = spawn('sh', ['-c', `exec env ${line}`], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: {
        ...process.env,
        PATH: `${root}/bin:${process.env['PATH']}`,
        WEIR_NODE: process.execPath,
        NODE_TEST_CONTEXT: undefined,
        WEIR_RUNTIME_DIR: `${folder}/outer`,
        WEIR_ADMIN: undefined,
      },
    });
    for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (more) => (said += more));
    return { child, over: new Promise((resolve) => child.on('close', resolve)) };
  });
  t.after(async () => {
    for (const { child } of children) child.kill('SIGTERM');
    for (const { over } of children) await over;
    rmSync(folder, { recursive: true, force: true });
  });
  const { body } = await until(
    'an answer through both tiers',
    async () => {
      const message = await ask(ports.get('8080')!, 'GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n', 1000);
      return message.status === 200 && message;
    },
    20_000,
    100,
  ).catch((error: Error) => {
    error.message += `\n${said}`;
    throw error;
  });
  assert.match(String(body), /127\.0\.0\.1/);
});
