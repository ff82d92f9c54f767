/**
 * Harm prevented: a certificate that was renewed is not the one that clients see, or its renewal cuts those who are connected; a bad one takes the good one's place; who is
 * in the middle of a handshake when the configuration changes takes a worker down.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { createServer as createHttpServer, type ServerResponse } from 'node:http';
import { Agent, request } from 'node:https';
import { after, before, describe, test } from 'node:test';
import { type Issued, issueCertificate } from '../support/certificate.ts';
import { writeIssued } from '../support/certificates.ts';
import { ownFolder } from '../support/folder.ts';
import { connect } from '../support/peer.ts';
import { missing, start } from '../support/programs.ts';
import { listenOn, type Running } from '../support/servers.ts';
import { descriptorGuard } from '../support/streams.ts';
import { freePort } from '../support/system.ts';
import { helloOf, httpsOn, openTls, type TlsClient } from '../support/tls-client.ts';
import { until, within } from '../support/wait.ts';
import { simpleConfig, Weir, type WeirConfig } from '../support/weir.ts';

const folder = ownFolder('tls-reload');
const root: Issued = issueCertificate({ subject: 'weir test authority', isAuthority: true });
const ca = root.cert;
/** The same names each time, another certificate. */
const renewed = (): Issued => issueCertificate({ names: ['shop.example'], issuer: root });
let endpoint: Running;
/** Answers to /slow that wait for the test; null: they are given after a while. */
let held: ServerResponse[] | null = null;
before(async () => {
  const server = createHttpServer((incoming, response) => {
    if (incoming.url !== '/slow') response.end('hello');
    else if (held === null) setTimeout(() => response.end('late'), 300);
    else held.push(response);
  });
  endpoint = await listenOn(server);
});
after(() => endpoint?.close());

async function helloTo(client: TlsClient): Promise<string> {
  return String((await client.get()).body);
}

/** The certificate that a new client is shown, in PEM. */
async function shownTo(port: number): Promise<string> {
  const client = await openTls({ port, servername: 'shop.example', ca });
  const certificate = client.socket.getPeerX509Certificate()!.toString();
  assert.equal(await helloTo(client), 'hello');
  await client.close();
  return certificate;
}

for (const engine of ['uring', 'epoll'] as const)
  describe(`with ${engine}`, () => {
    let weir: Weir;
    let guard: () => Promise<void>;
    let files: { certificate: string; key: string };
    const ports = (): { web: number; admin: number } => ({ web: weir.port, admin: weir.adminPort });
    const configOf = (own: { web: number; admin: number }, listener: Record<string, unknown> = {}): WeirConfig =>
      simpleConfig(own, [endpoint.address], {
        listener: { protocol: 'https', tls: ['shop'], ...listener },
        pool: { connections: { keepAlive: 0 } },
        top: { certificates: { shop: { files } } },
      });
    before(async () => {
      const { certificate, key } = writeIssued(folder, `shop-${engine}`, renewed());
      files = { certificate, key };
      weir = await Weir.start({ engine, config: configOf });
      guard = descriptorGuard(weir);
    });
    after(async () => {
      await weir?.stop();
    });

    test('a renewed certificate is what new clients see at once, and who is connected goes on', async () => {
      const before = await shownTo(weir.port);
      assert.equal(before, readFileSync(files.certificate, 'utf8'));
      const old = await openTls({ port: weir.port, servername: 'shop.example', ca });
      assert.equal(await helloTo(old), 'hello');
      const next = renewed();
      writeFileSync(files.certificate, next.cert);
      writeFileSync(files.key, next.key);
      await weir.reload(configOf(ports()));
      assert.equal(await shownTo(weir.port), next.cert);
      assert.equal(await helloTo(old), 'hello');
      await old.close();
    });

    test('a certificate that is none, and a key that is another one, keep the old in force, and the log says why', async () => {
      const before = await shownTo(weir.port);
      const good = [readFileSync(files.certificate, 'utf8'), readFileSync(files.key, 'utf8')] as const;
      for (const [certificate, key, why] of [
        ['no PEM at all', good[1], /certificate/],
        [good[0], renewed().key, /key/],
        [good[0].replace(/[A-Za-z]{8}/g, 'AAAAAAAA'), good[1], /certificate/],
      ] as const) {
        writeFileSync(files.certificate, certificate);
        writeFileSync(files.key, key);
        const refused = weir.events('reload_refused').length;
        weir.signal('SIGHUP');
        const { faults } = await until('a refusal', () => weir.events('reload_refused')[refused]);
        assert.match(String(faults), why);
        assert.equal(await shownTo(weir.port), before);
      }
      writeFileSync(files.certificate, good[0]);
      writeFileSync(files.key, good[1]);
      await weir.reload(configOf(ports()));
      assert.equal(await shownTo(weir.port), before);
    });

    for (const [name, hello] of [
      ['before its hello', 0],
      ['in the middle of its hello', 40],
    ] as const)
      test(`a client that is ${name} when TLS, or the listener, goes is let go, and nothing else is`, async () => {
        const bytes = await helloOf({ servername: 'shop.example' });
        const otherPort = await freePort();
        const other = {
          listen: `127.0.0.1:${otherPort}`,
          protocol: 'https',
          tls: ['shop'],
          to: 'pool',
          proxyProtocol: { accept: 'required', from: 'loopback' },
        };
        const base = configOf(ports());
        const both = { ...base, listeners: { ...base.listeners, other } };
        for (const without of [
          configOf(ports(), { protocol: 'http', tls: undefined }),
          { ...base, listeners: { ...base.listeners, other: { ...other, protocol: 'http', tls: undefined } } },
          base,
        ]) {
          await weir.reload(both);
          const waiting = await connect(weir.port);
          const behindLine = await connect(otherPort);
          const said = await connect(otherPort);
          said.send('PROXY TCP4 203.0.113.9 198.51.100.1 5555 443\r\n');
          for (const client of [waiting, said]) client.send(bytes.subarray(0, hello));
          await weir.reload(without);
          for (const client of [waiting, said]) client.send(bytes.subarray(hello));
          behindLine.send('PROXY TCP4 203.0.113.9 198.51.100.1 5555 443\r\n');
          behindLine.send(bytes);
          // Answered with a handshake by what is in force, or let go: never left.
          for (const client of [waiting, said, behindLine]) {
            await until(
              'an answer or an end',
              () => client.receivedBytes > 0 || client.ending !== 'open' || client.socket.destroyed,
            );
            await client.close();
          }
        }
        await weir.reload(base);
        assert.equal(await weir.metric('weir_worker_restarts_total'), 0);
        assert.ok((await shownTo(weir.port)).length > 0);
      });

    test('who connects to a listener that is about to go is served in TLS as long as its socket is there', async () => {
      const otherPort = await freePort();
      const base = configOf(ports());
      const other = httpsOn(otherPort, ['shop']);
      // The socket is there for half a second: on a slow machine some try comes too late.
      await until(
        'one that connects in time',
        async () => {
          await weir.reload({ ...base, listeners: { ...base.listeners, other } });
          const open = await openTls({ port: otherPort, servername: 'shop.example', ca });
          // The certificates change with it, so that nothing of the old is held by the new.
          const next = renewed();
          writeFileSync(files.certificate, next.cert);
          writeFileSync(files.key, next.key);
          await weir.reload(base);
          const late = await openTls({ port: otherPort, servername: 'shop.example', ca }).catch(() => null);
          for (const client of [open, late]) {
            // The listener's routes are gone with it.
            if (client !== null) assert.ok((await client.get()).status > 0);
            await client?.close();
          }
          assert.equal(await shownTo(weir.port), next.cert);
          return late !== null;
        },
        30_000,
      );
      await guard();
    });

    test('wrk sees no error while certificates are renewed', { skip: missing('wrk') }, async (t) => {
      // It waits for each answer as long as a machine may stand still, and goes on until it is told to stop.
      const words = ['-t1', '-c16', '-d80s', '--timeout', '20s', '-H', 'Host: shop.example', `https://127.0.0.1:${weir.port}/`];
      const wrk = start(t, 'wrk', words);
      let out = '';
      for (const stream of [wrk.stdout!, wrk.stderr!]) stream.setEncoding('utf8').on('data', (text: string) => (out += text));
      const closed = once(wrk, 'close');
      const requests = () => weir.metric('weir_requests_total');
      const before = await requests();
      for (let renewals = 0; renewals < 15 || (await requests()) < before + 200; renewals++) {
        const next = renewed();
        writeFileSync(files.certificate, next.cert);
        writeFileSync(files.key, next.key);
        await weir.reload(configOf(ports()));
        assert.equal(await shownTo(weir.port), next.cert);
      }
      wrk.kill('SIGINT');
      await within('wrk to end', 30_000, closed);
      assert.ok(Number(/(\d+) requests in/.exec(out)![1]) > 100, out);
      assert.doesNotMatch(out, /Socket errors|Non-2xx/);
    });

    test('under load neither renewals nor the end of the process lose a request', async () => {
      const own = await Weir.start({ engine, workers: 2, config: configOf });
      try {
        const agent = new Agent({ keepAlive: true, maxSockets: 8, ca, servername: 'shop.example' });
        let [ok, failed, stopping] = [0, 0, false];
        const failures: string[] = [];
        const one = (path: string): Promise<void> =>
          new Promise((resolve) => {
            const fail = (error: Error & { code?: string }): void => {
              // A connection that was kept may be closed while the next request is on its way; and when all is over nobody listens.
              if (stopping) return resolve();
              failed++;
              failures.push(`${error.code} ${error.message}`);
              resolve();
            };
            request({ host: '127.0.0.1', port: own.port, path, agent, headers: { host: 'shop.example' } }, (response) => {
              response.on('data', () => {}).on('error', fail);
              response.on('end', () => {
                if (response.statusCode === 200) ok++;
                else fail(new Error(`status ${response.statusCode}`));
                resolve();
              });
            })
              .on('error', fail)
              .end();
          });
        let isOver = false;
        const loops = Array.from({ length: 8 }, async (_, at) => {
          while (!isOver) await one(at < 2 ? '/slow' : '/');
        });
        for (let i = 0; i < 5; i++) {
          const next = renewed();
          writeFileSync(files.certificate, next.cert);
          writeFileSync(files.key, next.key);
          const from = ok;
          await own.reload(configOf({ web: own.port, admin: own.adminPort }));
          await until('50 more answers', () => ok >= from + 50);
        }
        assert.deepEqual([failed, failures], [0, []]);
        // No new request is begun; those under way are answered.
        const underWay = (held = []) as ServerResponse[];
        await until('two to be under way', () => underWay.length === 2);
        isOver = true;
        await Promise.all(loops.slice(2));
        own.signal('SIGTERM');
        await until('it to drain', () => own.events('drain').length > 0);
        for (const response of underWay) response.end('late');
        await Promise.all(loops);
        assert.deepEqual([failed, failures], [0, []]);
        stopping = true;
        agent.destroy();
        await own.stop();
      } finally {
        held = null;
        await own.kill();
      }
    });
  });
