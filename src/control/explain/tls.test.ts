import assert from 'node:assert/strict';
import { basename } from 'node:path';
import { test } from 'node:test';
import { issueCertificate } from '../../../tests/support/certificate.ts';
import { parseConfig } from '../config/config.ts';
import {
  type ExplainRequest,
  type Explanation,
  explain,
  explainRequest,
  explanationText,
  offlineParts,
  type StreamExplanation,
} from './explain.ts';

const CONFIG = `version: 1
certificates:
  main: { files: { certificate: main.crt, key: main.key } }
  main-rsa: { files: { certificate: main-rsa.crt, key: main-rsa.key } }
  all: { files: { certificate: all.crt, key: all.key } }
  late: { files: { certificate: late.crt, key: late.key } }
listeners:
  web: { listen: ":443", protocol: https, tls: [main, main-rsa, all, late] }
  strict: { listen: ":8443", protocol: https, tls: { certificates: [all], minVersion: "1.3", strictSni: true } }
  db: { listen: ":5432", protocol: tcp, tls: { certificates: [main], alpn: [postgresql] }, to: "10.0.1.1:5432" }
  mixed: { listen: ":7000", protocol: auto, tls: [all], to: "10.0.2.1:22" }
  through: { listen: ":7001", protocol: auto, to: "10.0.2.1:22" }
  plain: { listen: ":80" }
routes:
  - { name: site, path: /*, to: "10.0.3.1:80", listener: [web, strict, mixed, plain] }
  - { name: hidden, sni: hidden.example, to: "10.0.4.1:443", listener: [mixed, through, db] }
`;

const files = new Map<string, string>();
for (const [name, names, key] of [
  ['main', ['shop.example', 'localhost'], 'P-256'],
  ['main-rsa', ['shop.example'], 'rsa-2048'],
  ['all', ['*.shop.example'], 'P-256'],
  ['late', ['www.shop.example'], 'P-256'],
] as const) {
  const issued = issueCertificate({ names: [...names], key, untilDays: 90 });
  files.set(`${name}.crt`, issued.cert).set(`${name}.key`, issued.key);
}
const readFile = (path: string): string => files.get(basename(path))!;
const { plan: loaded, faults } = parseConfig(CONFIG, 'weir.yaml', {}, { readFile, fileMode: () => 0o600 });
assert.deepEqual(faults, []);

function explained(url: string, more: Partial<ExplainRequest> = {}): Explanation | StreamExplanation {
  const request = explainRequest({ url, ...more });
  assert.ok(typeof request !== 'string', String(request));
  const { plan, table } = offlineParts(loaded!);
  const explanation = explain(plan, table, request, { draw: () => 0, why: () => null });
  assert.ok(typeof explanation !== 'string', String(explanation));
  return explanation;
}
function requested(url: string, more: Partial<ExplainRequest> = {}): Explanation {
  const explanation = explained(url, more);
  assert.ok('request' in explanation, url);
  return explanation;
}
function connected(url: string, more: Partial<ExplainRequest> = {}): StreamExplanation {
  const explanation = explained(url, more);
  assert.ok('connection' in explanation, url);
  return explanation;
}
const WITHIN = 'within 10s, at most 1024 handshakes at a time in each worker';
/** Lines of the text that are about TLS. */
const tlsText = (url: string, more: Partial<ExplainRequest> = {}): string[] =>
  /^ tls .*(\n {11}.*)*/m.exec(explanationText(explained(url, more)))?.[0].split('\n').map((line) => line.slice(11)) ?? []; // biome-ignore format: one thought

test('the certificate for the name of a URL is told, and why it is that one', () => {
  for (const [url, why] of [
    ['https://shop.example/', 'main (ECDSA, shop.example) or main-rsa (RSA, shop.example): for shop.example'],
    ['https://SHOP.example./', 'main (ECDSA, shop.example) or main-rsa (RSA, shop.example): for shop.example'],
    ['https://a.shop.example/', 'all (ECDSA, *.shop.example): for a.shop.example'],
    ['https://www.shop.example/', 'late (ECDSA, www.shop.example): for www.shop.example'],
    ['https://a.b.shop.example/', 'main (ECDSA) or main-rsa (RSA): no certificate is for a.b.shop.example, so it is the first of the listener'],
    ['https://192.0.2.9/', 'main (ECDSA) or main-rsa (RSA): no name is asked for, so it is the first of the listener'],
    ['https://[2001:db8::1]/', 'main (ECDSA) or main-rsa (RSA): no name is asked for, so it is the first of the listener'],
  ] as const) // biome-ignore format: a table
    assert.deepEqual(tlsText(url), [`opened here with certificate ${why}`, 'TLS 1.2 at least, http/1.1', WITHIN], url);
});

test('the name of the hello may be another than that of the URL', () => {
  const { tls, routes } = requested('https://shop.example/', { sni: 'x.shop.example' });
  assert.deepEqual([tls!.serverName, tls!.certificates[0]!.name], ['x.shop.example', 'all']);
  assert.equal(routes.find(({ verdict }) => verdict === 'taken')!.name, 'site');
  assert.match(tls!.certificates[0]!.notAfter, /^\d{4}-\d\d-\d\dT/);
});

test('with strictSni a name that no certificate has is refused, and so is no name', () => {
  const refused = requested('https://other.example:8443/');
  assert.equal(refused.tls!.verdict, 'refused');
  assert.deepEqual([refused.answer, refused.pool, refused.routes], [null, null, []]);
  assert.deepEqual(tlsText('https://other.example:8443/'), [
    'refused: alert unrecognized_name: no certificate is for other.example, and strictSni is on',
  ]);
  assert.equal(requested('https://192.0.2.9:8443/').tls!.verdict, 'refused');
  assert.deepEqual(tlsText('https://a.shop.example:8443/')[1], 'TLS 1.3 at least, http/1.1');
});

test('a client that offers none of the protocols is refused', () => {
  assert.equal(requested('https://shop.example/', { alpn: ['spdy/1', 'http/1.1'] }).tls!.alpn, 'http/1.1');
  const { tls } = requested('https://shop.example/', { alpn: ['spdy/1'] });
  assert.equal(tls!.why, 'alert no_application_protocol: of http/1.1 the client offers none');
});

test('what is opened is https to routes and fields, and what is not is not', () => {
  const protoOf = ({ sends }: Explanation) => sends!.headers.find(([name]) => name.toLowerCase() === 'x-forwarded-proto')![1];
  assert.equal(protoOf(requested('https://shop.example/')), 'https');
  assert.equal(protoOf(requested('http://shop.example/')), 'http');
  assert.equal(requested('http://shop.example/').tls, null);
});

test('who speaks the wrong one of two is answered so', () => {
  const plainToTls = requested('http://shop.example:443/');
  assert.deepEqual([plainToTls.answer!.status, plainToTls.tls!.verdict, plainToTls.pool], [400, 'refused', null]);
  const tlsToPlain = requested('https://shop.example:80/');
  assert.deepEqual([tlsToPlain.answer!.status, tlsToPlain.tls, tlsToPlain.pool], [400, null, null]);
  assert.equal(requested('http://shop.example:7000/').pool!.pick, '10.0.3.1:80', 'auto takes both');
});

test('a route by sni takes TLS unopened, from listeners that open it too', () => {
  for (const url of ['https://hidden.example:7000/', 'https://hidden.example:7001/', 'tcp://hidden.example:7000'] as const) {
    const { connection, tls, pool, refused } = connected(url, url.startsWith('tcp') ? { sni: 'hidden.example' } : {});
    assert.deepEqual([connection.sni, pool!.pick, refused], ['hidden.example', '10.0.4.1:443', null], url);
    assert.equal(tls?.verdict ?? null, url.endsWith('7001/') ? null : 'carried', url);
  }
  assert.deepEqual(tlsText('https://hidden.example:7000/'), ['carried unopened: route hidden takes it']);
  assert.equal(requested('https://a.shop.example:7000/').tls!.verdict, 'opened');
  assert.equal(connected('https://a.shop.example:7001/').pool!.pick, '10.0.2.1:22', 'without tls all of it is passed on');
});

test('what no route by sni takes is opened on a tcp listener, and then has no name', () => {
  const opened = connected('tcp://a:5432', { sni: 'shop.example', alpn: ['postgresql'] });
  assert.deepEqual([opened.tls!.verdict, opened.tls!.alpn, opened.pool!.pick], ['opened', 'postgresql', '10.0.1.1:5432']);
  assert.deepEqual(
    opened.routes.map(({ name, verdict }) => [name, verdict]),
    [
      ['hidden', 'missed'],
      ['listener/db', 'taken'],
    ],
  );
  const carried = connected('tcp://a:5432', { sni: 'hidden.example' });
  assert.deepEqual([carried.tls!.verdict, carried.pool!.pick], ['carried', '10.0.4.1:443']);
  const plain = connected('tcp://a:5432');
  assert.deepEqual([plain.tls!.verdict, plain.refused!.reason, plain.pool], ['refused', 'preface', null]);
  assert.equal(connected('tcp://a:5432', { alpn: ['h2'] }).refused!.reason, 'tls');
});

test('of a connection that an auto listener opens it is said that requests are in it', () => {
  const { tls, pool, refused, routes } = connected('tcp://a:7000', { sni: 'a.shop.example' });
  assert.deepEqual([tls!.verdict, pool, refused, routes], ['opened', null, null, []]);
  const text = explanationText(explained('tcp://a:7000', { sni: 'a.shop.example' }));
  assert.match(text, / inside {4}requests: ask https:\/\/HOST\/PATH\n/);
  const other = connected('tcp://a:7000');
  assert.deepEqual([other.tls, other.pool!.pick], [null, '10.0.2.1:22'], 'what is no TLS is passed on');
});
