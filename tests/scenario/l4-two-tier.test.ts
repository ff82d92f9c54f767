/**
 * Harm prevented: behind an outer tier that carries connections, endpoints lose sight of the client, or a member of the inner tier that dies takes more
 * with it than its own connections.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect as connectPlain } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, type TestContext, test } from 'node:test';
import { connect as connectTls, type TLSSocket } from 'node:tls';
import { makeCertificates } from '../support/certificates.ts';
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

/** What comes while the kernel takes a member down is still one of its own: io_uring lets go of the listening socket a moment after the process. */
function untilGone(port: number, host?: string): Promise<true> {
  return until('it to be gone', () => connect(port, host).then((peer) => void peer.reset(), isRefusal), 15_000, 1);
}

/** How many of `count` connections each of two members carries, once all are counted. */
function bothCarry(front: Weir, [one, other]: readonly string[], count: number): Promise<readonly [number, number]> {
  const busy = (endpoint: string) => front.metric('weir_endpoint_connections', { endpoint, state: 'busy' });
  return until('all to be counted', async () => {
    const counts = [await busy(one!), await busy(other!)] as const;
    return counts[0] > 0 && counts[1] > 0 && counts[0] + counts[1] === count && counts;
  });
}

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
  const CONNECTIONS = 24;
  const load = new Load({ port: front.port, connections: CONNECTIONS, rate: 300 });
  t.after(() => load.kill());
  await load.more(300);
  const [carried] = await bothCarry(
    front,
    inner.map(({ port }) => `127.0.0.1:${port}`),
    CONNECTIONS,
  );
  assert.ok(carried > 5 && carried < 20, `${carried} of ${CONNECTIONS}`);
  await inner[0].kill();
  await untilGone(inner[0].port);
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

/** A TLS client that asks for shop.example. */
async function dialTls(
  port: number,
  localAddress: string,
  ca: string,
  host = '127.0.0.1',
  servername = 'shop.example',
): Promise<TLSSocket> {
  const socket = connectTls({ socket: connectPlain({ host, port, localAddress }), servername, ca });
  await new Promise<void>((resolve, reject) => {
    socket.once('secureConnect', resolve);
    socket.once('error', reject);
  });
  return socket;
}

/** Asks on a connection, and hears until the answer ends with `end`; null when it is broken. */
function askOn(socket: TLSSocket, end = '.'): Promise<string | null> {
  return new Promise((resolve) => {
    let heard = '';
    const over = (answer: string | null): void => {
      socket.removeAllListeners();
      socket.on('error', () => {});
      resolve(answer);
    };
    socket.on('data', (bytes: Buffer) => {
      heard += bytes.toString('latin1');
      if (heard.includes('\r\n\r\n') && heard.endsWith(end)) over(heard);
    });
    socket.on('error', () => over(null));
    socket.on('close', () => over(null));
    if (socket.destroyed) over(null);
    else socket.write('GET / HTTP/1.1\r\nHost: shop.example\r\n\r\n');
  });
}

describe('TLS through both tiers: carried by its name in the outer one, opened in the inner one', () => {
  const folder = mkdtempSync(join(tmpdir(), 'weir-two-tier-'));
  const { ca, shop } = makeCertificates(folder);
  after(() => rmSync(folder, { recursive: true, force: true }));

  /** A weir of the inner tier, which answers checks on a plain port of its own address. */
  async function innerAt(t: TestContext, host: string, endpoint: string, checks: number, port: number): Promise<Weir> {
    const weir = await Weir.start({
      ports: { web: port, admin: await freePort() },
      config: ({ web, admin }) => ({
        version: 1,
        admin: { listen: [`127.0.0.1:${admin}`] },
        certificates: { shop: { files: { certificate: shop.certificate, key: shop.key } } },
        listeners: {
          web: {
            listen: `${host}:${web}`,
            protocol: 'https',
            tls: { certificates: ['shop'] },
            proxyProtocol: { accept: 'required', from: ['127.0.0.1'] },
          },
          checks: { listen: `${host}:${checks}` },
        },
        pools: { pool: { endpoints: [endpoint] } },
        routes: [
          { name: 'shop', listener: 'web', path: '/*', to: 'pool' },
          { name: 'alive', listener: 'checks', path: '/healthz', respond: { body: 'ok' } },
        ],
      }),
    });
    t.after(() => weir.kill());
    return weir;
  }

  async function tiers(
    t: TestContext,
    endpoint: string,
  ): Promise<{ front: Weir; inner: readonly [Weir, Weir]; hosts: string[] }> {
    const [port, checks] = [await freePort(), await freePort()];
    const hosts = ['127.0.7.1', '127.0.7.2'];
    const inner = [
      await innerAt(t, hosts[0]!, endpoint, checks, port),
      await innerAt(t, hosts[1]!, endpoint, checks, port),
    ] as const;
    const front = await Weir.start({
      config: (ports) => ({
        version: 1,
        admin: { listen: [`127.0.0.1:${ports.admin}`] },
        listeners: { web: { listen: `127.0.0.1:${ports.web}`, protocol: 'tcp' } },
        pools: {
          pool: {
            endpoints: hosts.map((host) => `${host}:${port}`),
            balance: 'least-requests',
            proxyProtocol: 'v2',
            health: { active: { path: '/healthz', port: checks, interval: '500ms' } },
          },
        },
        routes: [{ name: 'shop', sni: 'shop.example', to: 'pool' }],
      }),
    });
    t.after(() => front.kill());
    await until('the inner tier to be up', async () => (await front.metric('weir_endpoint_up')) === 2);
    return { front, inner, hosts: hosts.map((host) => `${host}:${port}`) };
  }

  test('endpoints see the client itself, and that it came by TLS; another name is refused by the outer tier', async (t) => {
    const endpoint = await ScriptedEndpoint.start(
      answer((request) => ok(`${fieldOf(request, 'x-forwarded-for')} ${fieldOf(request, 'x-forwarded-proto')}.`)),
    );
    t.after(() => endpoint.close());
    const { front, inner, hosts } = await tiers(t, endpoint.address);
    const clients: TLSSocket[] = [];
    for (let i = 1; i <= 8; i++) {
      const client = await dialTls(front.port, `127.0.6.${i}`, ca.certificatePem);
      clients.push(client);
      assert.equal(client.getPeerCertificate().subjectaltname?.includes('DNS:shop.example'), true);
      assert.match(String(await askOn(client)), new RegExp(`\\r\\n127\\.0\\.6\\.${i} https\\.$`));
    }
    for (const endpoint of hosts)
      await until(
        `${endpoint} to carry some`,
        async () => (await front.metric('weir_endpoint_connections', { endpoint, state: 'busy' })) > 0,
      );
    await assert.rejects(dialTls(front.port, '127.0.6.99', ca.certificatePem, '127.0.0.1', 'other.example'));
    await until('it to be counted', async () => (await front.metric('weir_connections_rejected_total', { reason: 'acl' })) === 1);
    for (const client of clients) client.destroy();
    await front.stop();
    for (const weir of inner) await weir.stop();
  });

  test('a member of the inner tier that is killed takes its own connections with it, and no others', async (t) => {
    const endpoint = await ScriptedEndpoint.start(answer(() => ok('fine.')));
    t.after(() => endpoint.close());
    const { front, inner, hosts } = await tiers(t, endpoint.address);
    const clients = await Promise.all(Array.from({ length: 16 }, () => dialTls(front.port, '127.0.0.1', ca.certificatePem)));
    const ask = async (): Promise<number> =>
      (await Promise.all(clients.map((client) => askOn(client)))).filter((heard) => heard === null).length;
    assert.equal(await ask(), 0);
    const [carried] = await bothCarry(front, hosts, clients.length);
    await inner[0].kill();
    // Under way on all of them while it dies, and once more when it is gone.
    assert.ok((await ask()) <= carried);
    assert.equal(await ask(), carried);
    await untilGone(inner[0].port, hosts[0]!.split(':')[0]);
    for (let i = 0; i < 10; i++) {
      const fresh = await dialTls(front.port, '127.0.0.1', ca.certificatePem);
      assert.match(String(await askOn(fresh)), /fine\.$/);
      fresh.destroy();
    }
    for (const client of clients) client.destroy();
    await front.stop();
    await inner[1].stop();
  });
});

test('examples/two-tier comes up by the commands that stand in it, and its inner tier believes nobody else', {
  skip: missing('openssl'),
}, async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'weir-two-tier-'));
  const text = readFileSync(join(root, 'examples/two-tier/front.yaml'), 'utf8');
  // On ports that are free here.
  const ports = new Map<string, number>();
  for (const port of ['8443', '8444', '8081', '9900', '9001', '9002']) ports.set(port, await freePort());
  while (ports.get('9002') !== ports.get('9001')! + 1) {
    ports.set('9001', ports.get('9002')!);
    ports.set('9002', await freePort());
  }
  const moved = (from: string): string =>
    from.replaceAll(/\b(?:844[34]|8081|9900|900[12])\b/g, (port) => String(ports.get(port) ?? port));
  for (const name of ['front.yaml', 'inner.yaml'])
    writeFileSync(join(folder, name), moved(readFileSync(join(root, 'examples/two-tier', name), 'utf8')));
  const [, words] = /^# {3}openssl (req .*)$/m.exec(text)!;
  run('openssl', words!.replaceAll('examples/two-tier', folder).split(' '));
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
  // The outer tier does not say where its own admin address is: on the port that was put in the place of 9900.
  const ca = readFileSync(join(folder, 'shop.crt'), 'utf8');
  const heard = await until(
    'an answer through both tiers',
    async () => {
      const client = await dialTls(ports.get('8443')!, '127.0.0.1', ca).catch(() => null);
      const heard = client === null ? null : await askOn(client, '\r\n0\r\n\r\n');
      client?.destroy();
      return heard?.startsWith('HTTP/1.1 200') && heard;
    },
    30_000,
    100,
  ).catch((error: Error) => {
    error.message += `\n${said}`;
    throw error;
  });
  assert.match(heard, /echo-[12] at 127\.0\.0\.1/);
  await assert.rejects(dialTls(ports.get('8444')!, '127.0.0.9', ca, '127.0.0.11'));
});
