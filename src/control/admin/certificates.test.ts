import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { ownCertificates } from '../../../tests/support/certificates.ts';
import { parseConfig } from '../config/config.ts';
import { startAdmin } from './admin.ts';
import { certificatesOf } from './certificates.ts';
import { StateFixture } from './fixture.ts';
import { Metrics } from './metrics.ts';
import { troublesOf } from './troubles.ts';

const DAY_MS = 86_400_000;
const { folder, certificates: made } = ownCertificates('admin-certificates');
const { plan } = parseConfig(
  `version: 1
listeners:
  secure: { listen: ":1", protocol: https, to: web, tls: { certificates: [shop, expired] } }
  other: { listen: ":2", protocol: https, to: web, tls: { certificates: [shop], minVersion: "1.3", strictSni: true } }
  plain: { listen: ":3", to: web }
certificates:
  shop: { files: { certificate: shop.crt, key: shop.key } }
  expired: { files: { certificate: expired.crt, key: expired.key } }
  spare: { files: { certificate: internal.crt, key: internal.key } }
pools: { web: { endpoints: ["127.0.0.1:1"] } }
`,
  join(folder, 'weir.yaml'),
  {},
);
const state = new StateFixture();
state.its = plan;

test('a certificate says whose it is, until when, and which listeners show it', () => {
  const now = Date.now();
  const [shop, expired, ...more] = certificatesOf(state, now);
  assert.deepEqual(more, [], 'nobody uses the other one');
  const { names, notBefore, notAfter, ...rest } = shop!;
  assert.deepEqual(names, ['shop.example', 'www.shop.example', 'localhost', '127.0.0.1']);
  assert.ok(Date.parse(notBefore) < now && Date.parse(notAfter) > now + 199 * DAY_MS);
  assert.deepEqual(rest, {
    name: 'shop',
    origin: 'file',
    source: join(folder, 'weir.yaml:7'),
    file: made.shop.certificate,
    daysLeft: 199,
    status: { state: 'valid', reason: 'expires in 199 days' },
    listeners: ['secure', 'other'],
  });
  assert.deepEqual(
    [expired!.daysLeft, expired!.status, expired!.listeners],
    [-1, { state: 'expired', reason: 'expired 24 hours ago' }, ['secure']],
  );
  assert.equal(certificatesOf(state, now + 190 * DAY_MS)[0]!.status.state, 'expires-soon');
  assert.equal(certificatesOf(state, now - 190 * DAY_MS)[0]!.status.state, 'not-yet-valid');
});

test('the end of each certificate is a metric, and an expired one is a trouble', async () => {
  const { text } = await new Metrics(state).scrape('');
  const seconds = (name: string) => plan!.certificates.find((certificate) => certificate.name === name)!.notAfterMs / 1000;
  for (const name of ['shop', 'expired'])
    assert.ok(text.includes(`weir_certificate_not_after_timestamp_seconds{certificate="${name}"} ${seconds(name)}\n`), text);
  const troubles = troublesOf(state, []).filter((trouble) => trouble.state === 'certificate');
  assert.deepEqual(
    troubles.map(({ severity, reason, advice }) => [severity, reason, advice]),
    [
      [
        'error',
        'certificate expired expired 24 hours ago: clients refuse it',
        `put a new one into ${made.expired.certificate}; then reload`,
      ],
    ],
  );
});

test('the admin address lists certificates and what listeners do with TLS, and shows no key', async (t) => {
  const admin = await startAdmin({ addresses: [{ kind: 'ip', host: '127.0.0.1', port: 0 }], state });
  t.after(() => admin.close());
  const { port } = admin.addresses[0] as { port: number };
  const ask = async (path: string) => {
    const text = await (await fetch(`http://127.0.0.1:${port}/api/v1${path}`)).text();
    for (const { keyPem } of Object.values(made)) assert.ok(!text.includes(keyPem.split('\n')[1]!.slice(0, 40)), path);
    assert.ok(!text.includes('PRIVATE KEY'), path);
    return JSON.parse(text);
  };
  const { items } = await ask('/certificates');
  assert.deepEqual(
    items.map(({ name }: { name: string }) => name),
    ['shop', 'expired'],
  );
  const listeners = (await ask('/listeners')).items as { name: string; tls: unknown }[];
  assert.deepEqual(
    listeners.map(({ name, tls }) => [name, tls]),
    [
      ['secure', { certificates: ['shop', 'expired'], minVersion: '1.2', alpn: ['http/1.1'], strictSni: false }],
      ['other', { certificates: ['shop'], minVersion: '1.3', alpn: ['http/1.1'], strictSni: true }],
      ['plain', null],
    ],
  );
  const config = await ask('/config');
  assert.equal(config.certificates[0].key, '(hidden)');
  assert.ok(config.certificates[0].chain.includes('BEGIN CERTIFICATE'), 'the rest of it is shown');
  for (const path of ['/status', '/workers', '/pools', '/endpoints', '/routes', '/drains', '/requests']) await ask(path);
});
