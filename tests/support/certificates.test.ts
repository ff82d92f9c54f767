import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { test } from 'node:test';
import { connect, createServer } from 'node:tls';
import { type CertificateFiles, ownCertificates } from './certificates.ts';

const { certificates: made } = ownCertificates('certificates');

test('OpenSSL trusts what the authority signed, also by way of the one between, and not what has expired', async () => {
  assert.equal(await authorizationOf(made.shop, 'www.shop.example'), null);
  assert.equal(await authorizationOf(made.shopRsa, 'localhost'), null);
  assert.equal(await authorizationOf(made.wildcard, 'a.shop.example'), null);
  assert.equal(await authorizationOf(made.internal, 'internal.example'), null);
  assert.equal(await authorizationOf(made.chained, 'chained.example'), null);
  assert.equal(await authorizationOf(made.expired, 'expired.example'), 'CERT_HAS_EXPIRED');
  assert.equal(await authorizationOf(made.shop, 'internal.example'), 'ERR_TLS_CERT_ALTNAME_INVALID');
});

test('each certificate has its own number, and its key unless it is the mismatched one', () => {
  const all = Object.values(made).map((files) => new X509Certificate(files.certificatePem));
  assert.equal(new Set(all.map((certificate) => certificate.serialNumber)).size, all.length - 1);
});

/** What a client that trusts `ca` says of it: null, or a code. */
async function authorizationOf(files: CertificateFiles, name: string): Promise<string | null> {
  const server = createServer({ cert: files.certificatePem, key: files.keyPem }, (socket) => socket.end());
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as { port: number };
  const socket = connect({ port, host: '127.0.0.1', servername: name, ca: made.ca.certificatePem, rejectUnauthorized: false });
  try {
    await new Promise((resolve, reject) => socket.once('secureConnect', resolve).once('error', reject));
    const error = socket.authorizationError as unknown;
    return error instanceof Error ? (error as NodeJS.ErrnoException).code! : ((error as string | null) ?? null);
  } finally {
    socket.destroy();
    await new Promise((resolve) => server.close(resolve));
  }
}
