/**
 * Harm prevented: a client is shown a certificate that it cannot trust although there is one that it could, or agrees on a version or a protocol that was ruled out.
 */
import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import { type CertificateFiles, type Certificates, ownCertificates } from '../support/certificates.ts';
import { answer, ok, ScriptedEndpoint } from '../support/peer.ts';
import { finish, missing } from '../support/programs.ts';
import { freePort } from '../support/system.ts';
import { alertOf, filesOf, httpsOn, openTls, type TlsClientOptions } from '../support/tls-client.ts';
import { until } from '../support/wait.ts';
import { simpleConfig, Weir } from '../support/weir.ts';

const { certificates, ca } = ownCertificates('tls-names');

/** Which of the test's certificates a client of this name is shown, and what was agreed on. The client does not judge. */
async function shown(
  options: TlsClientOptions,
): Promise<{ certificate: string; alpn: string | false | null; version: string | null }> {
  const client = await openTls({ rejectUnauthorized: false, ...options });
  const { fingerprint256 } = client.socket.getPeerX509Certificate()!;
  const names = (Object.keys(certificates) as (keyof Certificates)[]).filter((name) => name !== 'mismatched');
  const certificate = names.find((name) => fingerprintOf(certificates[name]) === fingerprint256) ?? 'unknown';
  const { alpnProtocol } = client.socket;
  const version = client.socket.getProtocol();
  await client.close();
  return { certificate, alpn: alpnProtocol, version };
}

function fingerprintOf({ certificatePem }: CertificateFiles): string {
  return new X509Certificate(certificatePem).fingerprint256;
}

for (const engine of ['uring', 'epoll'] as const)
  describe(`with ${engine}`, () => {
    let endpoint: ScriptedEndpoint;
    let weir: Weir;
    let strictPort: number;
    let onlyNewPort: number;
    let rsaPort: number;
    let tcpPort: number;
    let sixPort: number;
    before(async () => {
      endpoint = await ScriptedEndpoint.start(answer(ok('hello')));
      [strictPort, onlyNewPort, rsaPort, tcpPort, sixPort] = (await Promise.all([1, 2, 3, 4, 5].map(() => freePort()))) as [
        number,
        number,
        number,
        number,
        number,
      ];
      weir = await Weir.start({
        engine,
        config: (ports) => {
          const config = simpleConfig(ports, [endpoint.address], {
            listener: { protocol: 'https', tls: ['shop', 'shopRsa', 'wildcard', 'internal', 'chained'] },
            top: { certificates: filesOf(certificates, 'shop', 'shopRsa', 'wildcard', 'internal', 'chained') },
          });
          return {
            ...config,
            pools: { ...config.pools, streams: { endpoints: [endpoint.address] } },
            listeners: {
              ...config.listeners,
              strict: httpsOn(strictPort, { certificates: ['shop', 'wildcard'], strictSni: true }),
              onlyNew: httpsOn(onlyNewPort, { certificates: ['shop'], minVersion: '1.3' }),
              rsa: httpsOn(rsaPort, ['shopRsa']),
              six: { ...httpsOn(sixPort, ['shop']), listen: `[::1]:${sixPort}` },
              tcp: {
                listen: `127.0.0.1:${tcpPort}`,
                protocol: 'tcp',
                tls: { certificates: ['shop'], alpn: ['mqtt', 'x-late'] },
                to: 'streams',
              },
            },
          };
        },
      });
    });
    after(async () => {
      await weir?.stop();
      await endpoint?.close();
    });

    for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
      const its = { minVersion: version, maxVersion: version };
      test(`${version}: each name gets its own certificate, the very name before the wildcard, and no name or an unknown one the first`, async () => {
        for (const [servername, expected] of [
          ['shop.example', 'shop'],
          ['SHOP.example', 'shop'],
          ['www.shop.example', 'shop'],
          ['a.shop.example', 'wildcard'],
          ['internal.example', 'internal'],
          ['chained.example', 'chained'],
          // A wildcard stands for one label.
          ['a.b.shop.example', 'shop'],
          ['other.example', 'shop'],
          ['', 'shop'],
        ] as const) {
          // TLS 1.2 names Ed25519 among the algorithms of signatures like TLS 1.3 (RFC 8422).
          const got = await shown({ port: weir.port, servername, ...its });
          assert.deepEqual(got, { certificate: expected, alpn: 'http/1.1', version }, servername);
        }
      });

      test(`${version}: who can verify RSA only gets the RSA certificate of the same name, who knows both the other`, async () => {
        const sigalgs = 'rsa_pss_rsae_sha256:RSA+SHA256';
        const port = weir.port;
        assert.equal((await shown({ port, servername: 'shop.example', ...its, sigalgs })).certificate, 'shopRsa');
        // Without a name too.
        assert.equal((await shown({ port, servername: '', ...its, sigalgs })).certificate, 'shopRsa');
        assert.equal((await shown({ port, servername: 'shop.example', ...its })).certificate, 'shop');
        // Where there is no certificate that it can verify, it is told.
        assert.match(await alertOf({ port: strictPort, servername: 'shop.example', ca, ...its, sigalgs }), /handshake failure/);
        assert.match(
          await alertOf({ port: rsaPort, servername: '', ca, ...its, sigalgs: 'ecdsa_secp256r1_sha256' }),
          /handshake failure/,
        );
      });

      test(`${version}: the whole chain is sent: a client that trusts the root only is content`, async () => {
        const client = await openTls({ port: weir.port, servername: 'chained.example', ca, ...its });
        assert.equal(client.socket.authorized, true);
        const issuer = client.socket.getPeerCertificate(true).issuerCertificate;
        assert.equal(issuer.subject.CN, 'weir test intermediate');
        assert.equal(String((await client.get()).body), 'hello');
        await client.close();
      });

      test(`${version}: of ALPN what both know is agreed on; nothing in common is an alert, and asking for nothing is fine`, async () => {
        const ask = (port: number, protocols: string[] | undefined) =>
          shown({ port, servername: '', ...its, ALPNProtocols: protocols });
        assert.equal((await ask(weir.port, ['h2', 'http/1.1'])).alpn, 'http/1.1');
        assert.equal((await ask(weir.port, undefined)).alpn, false);
        // Ours is the order that counts.
        assert.equal((await ask(tcpPort, ['x-late', 'mqtt'])).alpn, 'mqtt');
        assert.equal((await ask(tcpPort, ['x-late'])).alpn, 'x-late');
        for (const [port, offer] of [
          [weir.port, ['h2']],
          [weir.port, ['http/1.0', 'http/1.11']],
          [tcpPort, ['http/1.1']],
        ] as const)
          assert.match(
            await alertOf({ port, servername: 'shop.example', ca, ...its, ALPNProtocols: [...offer] }),
            /no application protocol/,
          );
      });
    }

    test('where names are strict a name that no certificate has is refused by an alert, and so is no name', async () => {
      assert.equal(await alertOf({ port: strictPort, servername: 'shop.example', ca }), '');
      assert.equal(await alertOf({ port: strictPort, servername: 'x.shop.example', ca }), '');
      const before = await weir.metric('weir_tls_handshakes_total', { listener: 'strict', result: 'refused' });
      for (const servername of ['other.example', 'a.b.shop.example', ''])
        assert.match(await alertOf({ port: strictPort, servername, ca }), /unrecognized name/);
      await until('them to be counted', async () => {
        const now = await weir.metric('weir_tls_handshakes_total', { listener: 'strict', result: 'refused' });
        return now === (before || 0) + 3;
      });
    });

    test('a client of an older version than the least is refused by an alert that says so', async () => {
      const port = onlyNewPort;
      assert.match(await alertOf({ port, servername: 'shop.example', ca, maxVersion: 'TLSv1.2' }), /protocol version/);
      assert.equal((await shown({ port, servername: 'shop.example' })).version, 'TLSv1.3');
      // 1.1 is too old everywhere.
      const old = { minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT@SECLEVEL=0' } as const;
      assert.match(await alertOf({ port: weir.port, servername: 'shop.example', ca, ...old }), /protocol version/);
    });

    test('TLS 1.2 is served with forward secrecy and authenticated encryption only', async () => {
      const its = { maxVersion: 'TLSv1.2', servername: '', rejectUnauthorized: false } as const;
      for (const ciphers of ['AES128-GCM-SHA256', 'ECDHE-RSA-AES128-SHA256', 'DHE-RSA-AES128-GCM-SHA256', 'ECDHE-RSA-AES256-SHA'])
        assert.match(await alertOf({ port: rsaPort, ...its, ciphers: `${ciphers}:@SECLEVEL=0` }), /handshake failure/, ciphers);
      for (const ciphers of ['ECDHE-RSA-AES128-GCM-SHA256', 'ECDHE-RSA-CHACHA20-POLY1305'])
        assert.equal(await alertOf({ port: rsaPort, ...its, ciphers }), '', ciphers);
    });

    test('clients come by IPv6 and by an address instead of a name', async () => {
      const six = await openTls({ port: sixPort, host: '::1', servername: 'shop.example', ca });
      assert.equal(String((await six.get()).body), 'hello');
      await six.close();
      // A client that connects to an address sends no name, and holds the certificate against the address.
      const four = await openTls({
        port: weir.port,
        host: '127.0.0.1',
        ca,
        servername: '',
        checkServerIdentity: () => undefined,
      });
      assert.match(four.socket.getPeerX509Certificate()!.subjectAltName!, /IP Address:127\.0\.0\.1/);
      await four.close();
    });

    test('curl is content with what it is shown', { skip: missing('curl') }, async (t) => {
      const curl = (...words: string[]) => finish(t, 'curl', ['-sS', '--cacert', certificates.ca.certificate, ...words]);
      const resolve = (name: string) => ['--resolve', `${name}:${weir.port}:127.0.0.1`, `https://${name}:${weir.port}/`];
      for (const name of ['shop.example', 'a.shop.example', 'chained.example']) {
        const { code, out, err } = await curl(...resolve(name));
        assert.deepEqual([code, out], [0, 'hello'], err);
      }
      assert.deepEqual(await curl(`https://127.0.0.1:${weir.port}/`), { code: 0, out: 'hello', err: '' });
      // 60: the certificate is not for this name.
      assert.equal((await curl(...resolve('other.example'))).code, 60);
      const old = await curl(
        '--tls-max',
        '1.2',
        '-o',
        '/dev/null',
        '-w',
        '%{http_code} %{http_version}',
        ...resolve('shop.example'),
      );
      assert.equal(old.out, '200 1.1', old.err);
    });

    test('openssl s_client sees the chain, the protocol and the name it asked for', { skip: missing('openssl') }, async (t) => {
      const words = [
        's_client',
        '-connect',
        `127.0.0.1:${weir.port}`,
        '-CAfile',
        certificates.ca.certificate,
        '-verify_return_error',
      ];
      const { out, err } = await finish(t, 'openssl', [...words, '-servername', 'chained.example', '-alpn', 'h2,http/1.1']);
      assert.match(out, /Verification: OK/, err);
      assert.match(out, /ALPN protocol: http\/1\.1/);
      assert.match(out, / 1 s:CN = weir test intermediate/);
      assert.match(out, /Server Temp Key: X25519/);
    });
  });
