/**
 * Harm prevented: on a port that carries several things one is taken for another: TLS that was meant for an endpoint is opened here, TLS that is ours is carried on, or a
 * byte is lost where TLS ends.
 */
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, type TestContext, test } from 'node:test';
import { createServer as createTlsServer } from 'node:tls';
import { ClientAddress } from '../../src/base/client-address.ts';
import { ProxyLineReader, WRITE_BYTES_MAX, writeProxyLine } from '../../src/protocol/proxy-line/proxy-line.ts';
import { certificateFor } from '../support/certificate.ts';
import { ownCertificates } from '../support/certificates.ts';
import { fieldsOf } from '../support/message-reader.ts';
import { connect, ScriptedEndpoint } from '../support/peer.ts';
import { listenOn, mirror } from '../support/servers.ts';
import { descriptorGuard } from '../support/streams.ts';
import { freePort } from '../support/system.ts';
import { beginTls, filesOf, openTls, type TlsClient, type TlsClientOptions } from '../support/tls-client.ts';
import { until, within } from '../support/wait.ts';
import { simpleConfig, Weir, type WeirConfig } from '../support/weir.ts';

const { folder, certificates, ca } = ownCertificates('tls-one-port');

/** A TLS server with a certificate of its own that says its name, the name it was asked for and the protocol, and echoes. */
async function secretServer(t: TestContext, name: string, protocols: string[]): Promise<{ address: string; cert: string }> {
  const own = certificateFor('internal.example', 'shop.example');
  const server = createTlsServer({ ...own, ALPNProtocols: protocols }, (socket) => {
    socket.on('error', () => {});
    socket.write(`${name} ${socket.servername || '-'} ${socket.alpnProtocol || '-'}\n`);
    socket.pipe(socket);
  });
  const { address, close } = await listenOn(server);
  t.after(close);
  return { address, cert: own.cert };
}

/** A client, once it was said the first line. */
async function greeted(options: TlsClientOptions): Promise<{ client: TlsClient; line: string }> {
  const client = await openTls(options);
  await client.peer.expect(/\n/);
  return { client, line: client.peer.received.trim() };
}

/** A line of version 2 from `client`. */
function line2(client: string): Buffer {
  const [from, to] = [new ClientAddress(), new ClientAddress()];
  from.set(client);
  to.set('198.51.100.1:443');
  const bytes = Buffer.alloc(WRITE_BYTES_MAX);
  return bytes.subarray(0, writeProxyLine(bytes, 0, 2, from, to, null));
}

/** What the endpoint below was sent. */
function fieldsAt(body: Buffer): Record<string, string> {
  return JSON.parse(body.toString()) as Record<string, string>;
}

/** The address of an endpoint that answers each request with the fields it came with. */
async function mirrorFor(t: TestContext): Promise<string> {
  const { address, close } = await mirror();
  t.after(close);
  return address;
}

for (const engine of ['uring', 'epoll'] as const)
  describe(`with ${engine}`, () => {
    test('one port takes HTTP, names that are opened here, names and protocols that are carried unopened, and the rest', async (t) => {
      const web = await mirrorFor(t);
      const byName = await secretServer(t, 'by-name', ['h2', 'http/1.1']);
      const byProtocol = await secretServer(t, 'by-protocol', ['imap']);
      const shell = await ScriptedEndpoint.start((peer) => {
        peer.send('SSH-2.0-here\n');
        peer.socket.on('data', (chunk: Buffer) => peer.send(chunk));
        peer.socket.on('end', () => peer.sendEnd());
      });
      t.after(() => shell.close());
      const log = join(folder, `${engine}.log`);
      const configOf = (ports: { web: number; admin: number }, sniffTimeout: string): WeirConfig => {
        const config = simpleConfig(ports, [shell.address], {
          listener: { protocol: 'auto', tls: ['shop', 'wildcard'], sniffTimeout },
          pool: { connections: { keepAlive: 0 } },
          top: {
            certificates: filesOf(certificates, 'shop', 'wildcard'),
            logs: { access: log },
            routes: [
              { name: 'name', sni: 'internal.example', to: byName.address },
              { name: 'protocol', alpn: 'imap', to: byProtocol.address },
              { name: 'bound', path: '/bound', to: 'bound' },
              { name: 'web', path: '/*', to: 'web' },
            ],
          },
        });
        const pools = {
          web: { endpoints: [web], connections: { keepAlive: 0 } },
          bound: { endpoints: [web], sticky: true, connections: { keepAlive: 0 } },
        };
        return { ...config, pools: { ...config.pools, ...pools } };
      };
      const weir = await Weir.start({ engine, config: (ports) => configOf(ports, '60s') });
      t.after(() => weir.kill());
      const guard = descriptorGuard(weir);
      const { port } = weir;
      const lines = (): Record<string, unknown>[] =>
        readFileSync(log, 'utf8')
          .split('\n')
          .filter((line) => line.endsWith('}'))
          .map((line) => JSON.parse(line) as Record<string, unknown>);
      const logged = (matches: (line: Record<string, unknown>) => boolean) =>
        until('a line of the access log', () => lines().find(matches));

      // Plain HTTP.
      const plain = await connect(port);
      plain.reader.expect('GET');
      plain.send('GET / HTTP/1.1\r\nHost: shop.example\r\n\r\n');
      const seen = fieldsAt((await plain.message()).body);
      assert.deepEqual([seen['x-forwarded-proto'], seen['x-forwarded-port']], ['http', String(port)]);
      plain.reader.expect('GET');
      plain.send('GET /bound HTTP/1.1\r\nHost: shop.example\r\n\r\n');
      const cookie = fieldsOf(await plain.message(), 'set-cookie').join();
      assert.ok(cookie.startsWith('weir-bound=') && !/secure/i.test(cookie), `${cookie}: browsers drop Secure without TLS`);
      await plain.close();
      // TLS that is opened here, by name; several requests on a connection, one of them bound by a cookie.
      for (const servername of ['shop.example', 'x.shop.example', '']) {
        const client = await openTls({ port, servername, ca, checkServerIdentity: () => undefined });
        assert.equal(client.socket.alpnProtocol, 'http/1.1');
        for (let i = 0; i < 3; i++) {
          const { status, body } = await client.get(`/in-tls/${i}`);
          const fields = fieldsAt(body);
          assert.equal(status, 200);
          assert.deepEqual([fields['x-forwarded-proto'], fields['x-forwarded-port']], ['https', String(port)]);
        }
        assert.match(fieldsOf(await client.get('/bound'), 'set-cookie').join(), /^weir-bound=.*; *secure/i);
        await client.close();
      }
      const line = await logged(({ path, sni }) => path === '/in-tls/2' && sni === 'x.shop.example');
      assert.deepEqual([line['tls'], line['alpn'], line['route'], line['protocol']], ['1.3', 'http/1.1', 'web', 'http/1.1']);
      const unnamed = await logged(({ path, tls, sni }) => path === '/in-tls/0' && tls === '1.3' && sni === undefined);
      assert.equal(unnamed['route'], 'web');
      // TLS that is not: the endpoint's own certificate is what the client proves.
      const named = await greeted({ port, servername: 'internal.example', ca: byName.cert, ALPNProtocols: ['h2'] });
      assert.equal(named.line, 'by-name internal.example h2');
      const spoken = await greeted({ port, servername: 'shop.example', ca: byProtocol.cert, ALPNProtocols: ['imap', 'x'] });
      assert.equal(spoken.line, 'by-protocol shop.example imap');
      for (const { client } of [named, spoken]) {
        client.peer.send('carried');
        await client.peer.expect(/carried$/);
        await client.close();
      }
      assert.equal((await logged(({ route }) => route === 'name'))['tls'], undefined, 'it was not opened');
      // Neither, and silence.
      const loud = await connect(port);
      loud.send('SSH-2.0-there\n');
      await loud.expect('SSH-2.0-here\nSSH-2.0-there\n');
      await weir.reload(configOf({ web: port, admin: weir.adminPort }, '300ms'));
      const silent = await connect(port);
      await silent.expect('SSH-2.0-here\n');
      await Promise.all([loud.close(), silent.close()]);
      const handshakes = (labels: Record<string, string>) => weir.metric('weir_tls_handshakes_total', labels);
      await until('the handshakes to be counted', async () => (await handshakes({ result: 'ok' })) === 3);
      assert.equal(await handshakes({ result: 'refused' }), 0);
      await guard();
      await weir.stop();
    });

    test('a name that is carried unopened is not shown a certificate of ours, even before its endpoint is there', async (t) => {
      const weir = await Weir.start({
        engine,
        config: (ports) => {
          const config = simpleConfig(ports, ['127.0.0.1:9'], {
            listener: { protocol: 'auto', tls: ['shop'] },
            top: {
              certificates: filesOf(certificates, 'shop'),
              routes: [{ sni: 'shop.example', to: '127.0.0.1:1' }],
            },
          });
          return config;
        },
      });
      t.after(() => weir.kill());
      const client = await beginTls({ port: weir.port, servername: 'shop.example', ca });
      client.socket.on('error', () => {});
      assert.equal(await client.raw.ended(), 'reset');
      assert.equal(client.raw.receivedBytes, 0);
      await client.close();
      await weir.stop();
    });

    describe('connections that are opened and carried', () => {
      let endpoint: ScriptedEndpoint;
      let weir: Weir;
      let inner: { address: string; cert: string };
      let guard: () => Promise<void>;
      let namesPort: number;
      const stop: (() => void | Promise<void>)[] = [];
      const context = { after: (end: () => void) => stop.push(end) } as unknown as TestContext;
      before(async () => {
        endpoint = await ScriptedEndpoint.start(() => {});
        inner = await secretServer(context, 'unopened', ['x']);
        namesPort = await freePort();
        weir = await Weir.start({
          engine,
          config: (ports) => {
            const config = simpleConfig(ports, [endpoint.address], {
              listener: { protocol: 'tcp', tls: ['shop', 'wildcard'] },
              top: {
                certificates: filesOf(certificates, 'shop', 'wildcard'),
                routes: [{ sni: 'internal.example', listener: 'names', to: inner.address }],
                logs: { access: join(folder, `${engine}-tcp.log`) },
              },
            });
            const names = {
              listen: `127.0.0.1:${namesPort}`,
              protocol: 'tcp',
              tls: { certificates: ['shop'], alpn: ['mqtt'] },
              to: 'pool',
            };
            return { ...config, listeners: { ...config.listeners, names } };
          },
        });
        guard = descriptorGuard(weir);
      });
      after(async () => {
        await weir?.stop();
        await endpoint?.close();
        for (const end of stop) await end();
      });

      for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
        const its = { servername: 'shop.example', minVersion: version, maxVersion: version } as const;

        test(`${version}: the server may speak first, and either side may end while the other goes on`, async () => {
          endpoint.script = (peer) => {
            peer.send('220 hello\n');
          };
          const first = await openTls({ port: weir.port, ca, ...its, allowHalfOpen: true } as TlsClientOptions);
          await first.peer.expect('220 hello\n');
          first.peer.send('EHLO\n');
          const server = endpoint.peers.at(-1)!;
          await server.expect('EHLO\n');
          // The client ends, the server goes on.
          first.socket.end();
          assert.equal(await server.ended(), 'fin');
          server.send('late answer');
          await first.peer.expect('late answer');
          assert.equal(first.peer.ending, 'open');
          server.sendEnd();
          assert.equal(await first.peer.ended(), 'fin');
          await within('its end', 15_000, first.raw.closed);
          // And the other way around.
          const second = await openTls({ port: weir.port, ca, ...its, allowHalfOpen: true } as TlsClientOptions);
          await second.peer.expect('220 hello\n');
          const other = endpoint.peers.at(-1)!;
          other.sendEnd();
          assert.equal(await second.peer.ended(), 'fin');
          second.peer.send('still here');
          await other.expect('still here');
          assert.equal(other.ending, 'open');
          second.socket.end();
          assert.equal(await other.ended(), 'fin');
          await within('its end', 15_000, second.raw.closed);
        });

        test(`${version}: 20 MB both ways at once arrive as they were sent`, async () => {
          const bytes = [randomBytes(20_000_000), randomBytes(20_000_000)] as const;
          const digest = (all: Buffer): string => createHash('sha256').update(all).digest('hex');
          const atServer = createHash('sha256');
          endpoint.script = (peer) => {
            peer.keeps = false;
            peer.socket.on('data', (chunk: Buffer) => atServer.update(chunk));
            peer.socket.end(bytes[1]);
          };
          const client = await beginTls({ port: weir.port, ca, ...its, allowHalfOpen: true } as TlsClientOptions);
          client.peer.keeps = false;
          const atClient = createHash('sha256');
          client.socket.on('data', (chunk: Buffer) => atClient.update(chunk));
          await client.opened();
          client.socket.end(bytes[0]);
          assert.equal(await client.peer.ended(60_000), 'fin');
          const server = endpoint.peers.at(-1)!;
          assert.equal(await server.ended(60_000), 'fin');
          assert.deepEqual([server.receivedBytes, client.peer.receivedBytes], [20_000_000, 20_000_000]);
          assert.equal(atServer.digest('hex'), digest(bytes[0]));
          assert.equal(atClient.digest('hex'), digest(bytes[1]));
          await client.close();
        });
      }

      test('a reset of the endpoint is one for the client, which does not take it for the end', async () => {
        endpoint.script = (peer) => peer.send('half of it');
        const client = await openTls({ port: weir.port, ca, servername: 'shop.example' });
        client.socket.on('error', () => {});
        await client.peer.expect('half of it');
        endpoint.peers.at(-1)!.reset();
        assert.equal(await client.raw.ended(), 'reset');
        assert.notEqual(client.peer.ending, 'fin');
        await client.close();
      });

      test('what a route takes by its name is carried unopened, all else on the port is opened', async () => {
        endpoint.script = (peer) => peer.send('opened\n');
        const carried = await greeted({ port: namesPort, servername: 'internal.example', ca: inner.cert, ALPNProtocols: ['x'] });
        assert.equal(carried.line, 'unopened internal.example x');
        const opened = await greeted({ port: namesPort, servername: 'shop.example', ca, ALPNProtocols: ['mqtt'] });
        assert.equal(opened.line, 'opened');
        assert.equal(opened.client.socket.alpnProtocol, 'mqtt');
        await carried.client.close();
        await opened.client.close();
        await guard();
      });
    });

    test('behind a PROXY line names are opened and carried as without, and the client is the one that was named', async (t) => {
      const web = await mirrorFor(t);
      const inner = await secretServer(t, 'unopened', ['x']);
      const weir = await Weir.start({
        engine,
        config: (ports) => {
          const config = simpleConfig(ports, ['127.0.0.1:9'], {
            listener: { protocol: 'auto', tls: ['shop'], proxyProtocol: { accept: 'required', from: ['127.0.0.1'] } },
            top: {
              certificates: filesOf(certificates, 'shop'),
              routes: [
                { sni: 'internal.example', to: inner.address },
                { path: '/*', to: 'web' },
              ],
            },
          });
          return { ...config, pools: { ...config.pools, web: { endpoints: [web] } } };
        },
      });
      t.after(() => weir.kill());
      for (const ahead of ['PROXY TCP4 203.0.113.9 198.51.100.1 5555 443\r\n', line2('203.0.113.9:5555')]) {
        const client = await openTls({ port: weir.port, servername: 'shop.example', ca, ahead });
        const fields = fieldsAt((await client.get()).body);
        assert.deepEqual(
          [fields['x-forwarded-for'], fields['x-forwarded-proto'], fields['x-forwarded-port']],
          ['203.0.113.9', 'https', '443'],
        );
        await client.close();
        const carried = await greeted({
          port: weir.port,
          servername: 'internal.example',
          ca: inner.cert,
          ahead,
          ALPNProtocols: ['x'],
        });
        assert.equal(carried.line, 'unopened internal.example x');
        await carried.client.close();
      }
      await weir.stop();
    });

    test('a PROXY line of version 2 tells endpoints what TLS said: the name, the protocol, and that it was opened here', async (t) => {
      const endpoint = await ScriptedEndpoint.start(async (peer) => {
        await until('the first words', () => peer.received.endsWith('MQTT'), 15_000, 2);
        peer.send('welcome\n');
      });
      t.after(() => endpoint.close());
      const weir = await Weir.start({
        engine,
        config: (ports) => {
          const config = simpleConfig(ports, [endpoint.address], {
            listener: { protocol: 'tcp', tls: { certificates: ['shop', 'wildcard'], alpn: ['mqtt'] } },
            pool: { proxyProtocol: 'v2' },
            top: { certificates: filesOf(certificates, 'shop', 'wildcard') },
          });
          return config;
        },
      });
      t.after(() => weir.kill());
      const reader = new ProxyLineReader();
      for (const [servername, protocols, authority, alpn] of [
        ['a.shop.example', ['mqtt'], 'a.shop.example', 'mqtt'],
        ['', undefined, '', ''],
      ] as const) {
        const client = await openTls({
          port: weir.port,
          servername,
          ca,
          ALPNProtocols: protocols && [...protocols],
          checkServerIdentity: () => undefined,
        });
        client.peer.send('MQTT');
        await client.peer.expect('welcome\n');
        const got = Buffer.from(endpoint.peers.at(-1)!.received, 'latin1');
        const [from, to] = [new ClientAddress(), new ClientAddress()];
        const size = reader.read(got, 0, got.length, from, to);
        assert.ok(size > 0);
        assert.equal(from.text, '127.0.0.1');
        assert.deepEqual([reader.authority, reader.alpn], [authority, alpn]);
        // PP2_TYPE_SSL with PP2_CLIENT_SSL: the client came over TLS (PROXY protocol §2.2.5).
        assert.ok(got.subarray(0, size).includes(Buffer.of(0x20, 0, 5, 1)), 'TLS is told of');
        assert.equal(got.subarray(size).toString(), 'MQTT');
        await client.close();
      }
      await weir.stop();
    });
  });

test('http is redirected to where TLS is, and the answer there is not', async (t) => {
  const web = await mirrorFor(t);
  const httpPort = await freePort();
  const weir = await Weir.start({
    config: (ports) => {
      const config = simpleConfig(ports, [web], {
        listener: { protocol: 'https', tls: true },
        top: { certificates: filesOf(certificates, 'shop') },
      });
      return {
        ...config,
        listeners: { ...config.listeners, plain: { listen: `127.0.0.1:${httpPort}`, redirectToHttps: true, to: 'pool' } },
      };
    },
  });
  t.after(() => weir.kill());
  const plain = await connect(httpPort);
  plain.reader.expect('GET');
  plain.send('GET /a?b=c HTTP/1.1\r\nHost: shop.example\r\n\r\n');
  const message = await plain.message();
  assert.equal(message.status, 308);
  assert.deepEqual(fieldsOf(message, 'location'), ['https://shop.example/a?b=c']);
  await plain.close();
  const client = await openTls({ port: weir.port, servername: 'shop.example', ca });
  assert.equal((await client.get('/a?b=c')).status, 200);
  await client.close();
  await weir.stop();
});
