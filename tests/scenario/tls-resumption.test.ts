/**
 * Harm prevented: a session ticket opens a door that it was not made for (CVE-2025-23419), or opens none after a reload or a death that changed nothing of what it was made for.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { issueCertificate } from '../support/certificate.ts';
import { ownCertificates } from '../support/certificates.ts';
import { answer, ok, ScriptedEndpoint } from '../support/peer.ts';
import { finish, missing } from '../support/programs.ts';
import { freePort } from '../support/system.ts';
import { beginTls, filesOf, httpsOn, type TlsClientOptions } from '../support/tls-client.ts';
import { until, within } from '../support/wait.ts';
import { simpleConfig, Weir, type WeirConfig } from '../support/weir.ts';

const { folder, certificates } = ownCertificates('tls-resumption');
let endpoint: ScriptedEndpoint;
before(async () => {
  endpoint = await ScriptedEndpoint.start(answer(ok('hello')));
});
after(async () => {
  await endpoint?.close();
});

interface Visit {
  isResumed: boolean;
  /** The latest ticket. */
  session: Buffer;
}

/** A request on a connection of its own, with the ticket of an earlier one; the client does not judge certificates. */
async function visit(options: TlsClientOptions): Promise<Visit> {
  const client = await beginTls({ rejectUnauthorized: false, ...options });
  let session: Buffer | null = options.session ?? null;
  const ticket = once(client.socket, 'session').then(([bytes]: Buffer[]) => (session = bytes!));
  ticket.catch(() => {});
  client.socket.on('session', (bytes: Buffer) => (session = bytes));
  await client.opened();
  const isResumed = client.socket.isSessionReused();
  assert.equal(String((await client.get()).body), 'hello');
  // Who comes back by TLS 1.2 keeps the ticket it has.
  if (!isResumed || options.maxVersion !== 'TLSv1.2') await within('a ticket', 15_000, ticket);
  await client.close();
  return { isResumed, session: session! };
}

for (const engine of ['uring', 'epoll'] as const)
  describe(`with ${engine}`, () => {
    let weir: Weir;
    /** The same configuration, other keys of tickets. */
    let other: Weir;
    let twinPort: number;
    let otherPort: number;
    let stricterPort: number;
    let countedPort: number;
    const configOf = (ports: { web: number; admin: number }): WeirConfig => {
      const config = simpleConfig(ports, [endpoint.address], {
        listener: { protocol: 'https', tls: ['shop', 'wildcard'] },
        top: { certificates: filesOf(certificates, 'shop', 'wildcard', 'internal') },
      });
      return {
        ...config,
        listeners: {
          ...config.listeners,
          twin: httpsOn(twinPort, ['shop', 'wildcard']),
          counted: httpsOn(countedPort, ['shop', 'wildcard']),
          other: httpsOn(otherPort, ['internal']),
          stricter: httpsOn(stricterPort, { certificates: ['shop', 'wildcard'], minVersion: '1.3' }),
        },
      };
    };
    const ports = (): { web: number; admin: number } => ({ web: weir.port, admin: weir.adminPort });
    before(async () => {
      [twinPort, otherPort, stricterPort] = [await freePort(), await freePort(), await freePort()];
      countedPort = await freePort();
      weir = await Weir.start({ engine, workers: 2, config: configOf });
      other = await Weir.start({
        engine,
        config: (own) =>
          simpleConfig(own, [endpoint.address], {
            listener: { protocol: 'https', tls: ['shop', 'wildcard'] },
            top: { certificates: filesOf(certificates, 'shop', 'wildcard') },
          }),
      });
    });
    after(async () => {
      await other?.stop();
      await weir?.stop();
    });

    for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
      const its = { minVersion: version, maxVersion: version } as const;
      const shop = { ...its, servername: 'shop.example' };

      test(`${version}: a ticket is good on all workers, after a reload that changed nothing of it, and after a worker has died`, async () => {
        let { session, isResumed } = await visit({ port: weir.port, ...shop });
        assert.equal(isResumed, false);
        const again = async (): Promise<void> => {
          // Some of so many meet the other worker.
          for (let i = 0; i < 12; i++) {
            ({ session, isResumed } = await visit({ port: weir.port, ...shop, session }));
            assert.equal(isResumed, true);
          }
        };
        await again();
        await weir.reload({ ...configOf(ports()), headers: { forwarded: 'both' } });
        await again();
        const { workers } = weir;
        const replaced = weir.events('worker_replaced').length;
        process.kill(workers[0]!, 'SIGKILL');
        await until('its successor', () => weir.events('worker_replaced').length > replaced && weir.workers.length === 2);
        await again();
        await weir.reload(configOf(ports()));
      });

      test(`${version}: a ticket is good on another listener with the same certificates and demands, and on none with others`, async () => {
        const { session } = await visit({ port: weir.port, ...shop });
        assert.equal((await visit({ port: twinPort, ...shop, session })).isResumed, true);
        assert.equal((await visit({ port: otherPort, ...shop, session })).isResumed, false);
        if (version === 'TLSv1.3') assert.equal((await visit({ port: stricterPort, ...shop, session })).isResumed, false);
        // The same port, and a name that has another certificate.
        assert.equal((await visit({ port: weir.port, ...its, servername: 'a.shop.example', session })).isResumed, false);
        const wild = await visit({ port: weir.port, ...its, servername: 'a.shop.example' });
        const again = (servername: string) => visit({ port: weir.port, ...its, servername, session: wild.session });
        assert.equal((await again('a.shop.example')).isResumed, true);
        // A ticket is for one name, though the certificate is the same (RFC 6066 §3).
        assert.equal((await again('b.shop.example')).isResumed, false);
        assert.equal((await visit({ port: weir.port, ...shop, session: wild.session })).isResumed, false);
      });

      test(`${version}: a ticket that another weir has sealed costs a whole handshake and nothing else`, async () => {
        const { session } = await visit({ port: weir.port, ...shop });
        assert.equal((await visit({ port: other.port, ...shop, session })).isResumed, false);
        const foreign = await visit({ port: other.port, ...shop });
        assert.equal((await visit({ port: weir.port, ...shop, session: foreign.session })).isResumed, false);
      });
    }

    test('a ticket from before a renewal proves nothing about the new certificate: the handshake is whole, once', async () => {
      const { certificate, key, certificatePem, keyPem } = certificates.shop;
      const first = await visit({ port: weir.port, servername: 'shop.example' });
      const next = issueCertificate({ names: ['shop.example', 'www.shop.example'] });
      writeFileSync(certificate, next.cert);
      writeFileSync(key, next.key);
      try {
        await weir.reload(configOf(ports()));
        const second = await visit({ port: weir.port, servername: 'shop.example', session: first.session });
        assert.equal(second.isResumed, false);
        assert.equal((await visit({ port: weir.port, servername: 'shop.example', session: second.session })).isResumed, true);
        // Those of other certificates are not concerned.
        const wild = await visit({ port: weir.port, servername: 'a.shop.example' });
        assert.equal((await visit({ port: weir.port, servername: 'a.shop.example', session: wild.session })).isResumed, true);
      } finally {
        writeFileSync(certificate, certificatePem);
        writeFileSync(key, keyPem);
        await weir.reload(configOf(ports()));
      }
    });

    test('each kind of handshake is counted as what it was', async () => {
      const labels = (version: string, resumed: string) => ({ listener: 'counted', version, resumed, result: 'ok' });
      const kinds = [labels('1.2', 'false'), labels('1.2', 'true'), labels('1.3', 'false'), labels('1.3', 'true')];
      const counts = () => Promise.all(kinds.map(async (kind) => (await weir.metric('weir_tls_handshakes_total', kind)) || 0));
      for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
        const its = { port: countedPort, servername: 'www.shop.example', minVersion: version, maxVersion: version } as const;
        const { session } = await visit(its);
        for (let i = 0; i < 3; i++) await visit({ ...its, session });
      }
      await until('all of them', async () => (await counts()).join() === '1,3,1,3');
    });

    test('openssl s_client comes back by its ticket, to any worker', { skip: missing('openssl') }, async (t) => {
      for (const version of ['-tls1_2', '-tls1_3']) {
        const file = join(folder, `session${version}-${engine}`);
        const words = [
          's_client',
          '-connect',
          `127.0.0.1:${weir.port}`,
          '-servername',
          'shop.example',
          version,
          '-CAfile',
          certificates.ca.certificate,
        ];
        const input = 'GET / HTTP/1.1\r\nHost: shop.example\r\nConnection: close\r\n\r\n';
        const first = await finish(t, 'openssl', [...words, '-ign_eof', '-sess_out', file], { input });
        assert.match(first.out, /New, TLSv1\.[23], /, first.err);
        for (let i = 0; i < 3; i++) {
          const again = await finish(t, 'openssl', [...words, '-ign_eof', '-sess_in', file], { input });
          assert.match(again.out, /Reused, TLSv1\.[23], /, again.err);
          assert.match(again.out, /hello/);
        }
      }
    });
  });
