/** TLS at listeners, and certificates: what they become, what is refused, what is warned of. */
import assert from 'node:assert/strict';
import { createPrivateKey } from 'node:crypto';
import { chmodSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { issueCertificate } from '../../../tests/support/certificate.ts';
import { ownCertificates, writeCertificate, writeIssued } from '../../../tests/support/certificates.ts';
import { CHAIN_BYTES_MAX, type ListenerPlan, type Plan } from '../../state/plan.ts';
import {
  type ConfigResult,
  configText,
  formatFaults,
  formatFaultsGithub,
  formatFaultsJson,
  parseConfig,
  planFromFlags,
} from './config.ts';

const { folder, certificates: made } = ownCertificates('tls-keys');
const DAY_MS = 86_400_000;

const parse = (text: string, now?: number): ConfigResult =>
  parseConfig(text, join(folder, 'weir.yaml'), { PEM: made.shop.keyPem }, { node: 'lb-a', cores: 2, now });
/** `certificates:` of files in the folder, by the name of the certificate. */
const defined = (names: readonly string[]): string =>
  `certificates: { ${names.map((name) => `${name}: { files: { certificate: ${name}.crt, key: ${name}.key } }`).join(', ')} }\n`;
const POOLS = 'pools: { web: { endpoints: ["127.0.0.1:1"] } }\n';
const config = (listener: string, names: readonly string[] = ['shop'], more = POOLS): string =>
  `version: 1\nlisteners: { in: { listen: ":1", to: web, ${listener} } }\n${defined(names)}${more}`;
const codesOf = (faults: ConfigResult['faults']): string[] => faults.map(({ code }) => code);

function planOf(text: string): Plan {
  const { plan, faults } = parse(text);
  assert.deepEqual(faults, []);
  return plan!;
}
const inOf = (text: string): ListenerPlan => planOf(text).listeners[0]!;
const tlsOf = (text: string) => inOf(text).tls!;

/** The only fault there is, as "code: message (help)". */
function faultOf(text: string): string {
  const { faults } = parse(text);
  assert.equal(faults.length, 1, formatFaults(faults));
  const { code, message, help, line } = faults[0]!;
  assert.ok(line > 0);
  return `${code}: ${message}${help === null ? '' : ` (${help})`}`;
}

function warningsOf(text: string, now?: number): string[] {
  const { faults, warnings } = parse(text, now);
  assert.deepEqual(faults, []);
  return warnings.map(({ code, message }) => `${code}: ${message}`);
}

test('https is http that opens TLS, with every default', () => {
  const { plan, warnings } = parse(config('protocol: https, tls: { certificates: [shop] }'));
  assert.deepEqual(warnings, []);
  const { protocol, tls } = plan!.listeners[0]!;
  assert.equal(protocol, 'http');
  assert.deepEqual(tls, {
    certificates: [0],
    minVersion: '1.2',
    alpn: ['http/1.1'],
    strictSni: false,
    handshakeMs: 10_000,
    handshakesMax: 1024,
  });
  const [{ name, source, file, names, chain, key }] = plan!.certificates;
  assert.deepEqual([name, names], ['shop', ['shop.example', 'www.shop.example', 'localhost', '127.0.0.1']]);
  assert.deepEqual([source, file], [join(folder, 'weir.yaml:3'), join(folder, 'shop.crt')]);
  assert.equal(chain, made.shop.certificatePem);
  assert.ok(createPrivateKey(key).equals(createPrivateKey(made.shop.keyPem)));
  assert.ok(plan!.certificates[0]!.notAfterMs - Date.now() > 199 * DAY_MS);
  assert.equal(inOf(config('tls: shop')).protocol, 'http', 'http with tls is the same');
});

test('every key of tls arrives', () => {
  const written =
    'tls: { certificates: [internal, shop], minVersion: "1.3", alpn: http/1.1, strictSni: true, handshakeTimeout: 3s }, limits: { handshakes: 7 }';
  const { certificates, listeners } = planOf(config(written, ['shop', 'internal']));
  assert.deepEqual(
    certificates.map(({ name }) => name),
    ['internal', 'shop'],
  );
  assert.deepEqual(listeners[0]!.tls, {
    certificates: [0, 1],
    minVersion: '1.3',
    alpn: ['http/1.1'],
    strictSni: true,
    handshakeMs: 3000,
    handshakesMax: 7,
  });
});

test('carried and mixed listeners that open TLS limit their handshakes too, and 0 is no limit', () => {
  for (const [protocol, max] of [
    ['tcp', 3],
    ['auto', 0],
  ] as const)
    assert.equal(tlsOf(config(`protocol: ${protocol}, tls: shop, limits: { handshakes: ${max} }`)).handshakesMax, max);
});

test('without names a listener has all certificates of the file, and each is in the plan once', () => {
  const plan = planOf(`version: 1
listeners:
  a: { listen: ":1", to: web, protocol: https, tls: true }
  b: { listen: ":2", to: web, protocol: https, tls: internal }
  c: { listen: ":3", to: web, protocol: https, tls: [internal, shop] }
  d: { listen: ":4", to: web, protocol: https, tls: { minVersion: "1.3" } }
${defined(['shop', 'internal'])}${POOLS}`);
  assert.deepEqual(
    plan.listeners.map(({ tls }) => tls!.certificates),
    [[0, 1], [1], [1, 0], [0, 1]],
  );
  assert.equal(plan.certificates.length, 2);
});

test('connections that are opened agree on no protocol unless they are told to, and auto speaks http', () => {
  assert.deepEqual(tlsOf(config('protocol: tcp, tls: shop')).alpn, []);
  assert.deepEqual(tlsOf(config('protocol: tcp, tls: { alpn: [imap, postgresql] }')).alpn, ['imap', 'postgresql']);
  const auto = inOf(config('protocol: auto, tls: shop', ['shop'], `${POOLS}routes: [{ path: /, to: "127.0.0.1:2" }]\n`));
  assert.deepEqual([auto.protocol, auto.tls!.alpn], ['auto', ['http/1.1']]);
});

test('the chain is put in order, and what does not belong to it is left out', () => {
  const [leaf, between] = made.chained.certificatePem.split(/(?<=-----END CERTIFICATE-----\n)/);
  assert.deepEqual(warningsOf(config('tls: chained', ['chained'])), [], 'it was right');
  writeCertificate(folder, 'mixed', between! + made.internal.certificatePem + leaf! + leaf!, made.chained.keyPem);
  const text = config('tls: mixed', ['mixed']);
  assert.equal(planOf(text).certificates[0]!.chain, leaf! + between!);
  assert.deepEqual(warningsOf(text), [
    `chain-order: certificate mixed: mixed.crt is not in order, and is put right`,
    `chain-order: certificate mixed: number 2 in mixed.crt issued none of the others, and is left out`,
  ]);
});

test('certificate and key may stand in one file, or in the config', () => {
  writeCertificate(folder, 'both', made.shop.keyPem + made.shop.certificatePem, '');
  const one = `certificates: { shop: { files: { certificate: both.crt, key: both.crt } } }\n`;
  const head = 'version: 1\nlisteners: { in: { listen: ":1", to: web, tls: shop } }\n';
  assert.equal(planOf(head + one + POOLS).certificates[0]!.chain, made.shop.certificatePem);
  const inline = `certificates: { shop: { files: { certificate: ${JSON.stringify(made.shop.certificatePem)}, key: "\${PEM}" } } }\n`;
  const { plan, faults, files } = parse(head + inline + POOLS);
  assert.deepEqual(faults, []);
  assert.deepEqual(plan!.certificates, [{ ...planOf(head + one + POOLS).certificates[0]!, file: null }]);
  assert.deepEqual(files, []);
});

test('files of certificates are watched, those that are not there as well', () => {
  const { files } = parse(config('tls: [shop, gone]', ['shop', 'gone']));
  assert.deepEqual(
    files,
    ['shop.crt', 'shop.key', 'gone.crt', 'gone.key'].map((name) => join(folder, name)),
  );
});

test('names of a certificate are those of its alternative name, lower-case, that can match', () => {
  writeIssued(
    folder,
    'odd',
    issueCertificate({ names: ['A.Example', '*.B.example', 'f*.example', '*', '192.0.2.7', 'a.example'] }),
  );
  assert.deepEqual(planOf(config('tls: odd', ['odd'])).certificates[0]!.names, ['a.example', '*.b.example', '192.0.2.7']);
});

for (const key of ['P-256', 'P-384', 'P-521', 'ed25519', 'rsa-2048'] as const) {
  test(`a key of ${key} is taken`, () => {
    writeIssued(folder, 'kind', issueCertificate({ names: ['a.example'], key }));
    assert.deepEqual(
      warningsOf(config('tls: kind', ['kind'])).filter((text) => !text.startsWith('certificate-expires')),
      [],
    );
  });
}

for (const [title, text, expected] of [
  [
    'https without tls',
    config('protocol: https').replace(/certificates: .*\n/, ''),
    /^missing-key: listeners\.in needs tls.*\(tls: true takes all/,
  ],
  [
    'tls without a certificate',
    config('tls: true').replace(/certificates: .*\n/, ''),
    /^missing-key: .*no certificates \(certificates: \{ shop:/,
  ],
  [
    'a certificate that is not defined',
    config('tls: { certificates: [shop, shpo] }'),
    /^no-such-certificate: .*shpo \(did you mean shop\?\)/,
  ],
  ['a certificate named twice', config('tls: [shop, shop]'), /^defined-twice: .*shop is named twice/],
  ['tls with datagrams', config('protocol: udp, tls: shop'), /^contradiction: .*tls does not go with protocol: udp/],
  ['handshakes without any', config('limits: { handshakes: 5 }'), /^contradiction: .*handshakes does not go without tls/],
  [
    'handshakes that pass unopened',
    config('protocol: tcp, limits: { handshakes: 5 }'),
    /^contradiction: .*limited by connections/,
  ],
  [
    'the word of HAProxy for handshakes',
    config('tls: shop, limits: { maxsslconn: 5 }'),
    /^unknown-key: .*maxsslconn.*handshakes/,
  ],
  ['a redirect in a circle', config('tls: shop, redirectToHttps: true'), /^contradiction: .*redirectToHttps.*circle/],
  ['a CA for certificates of clients', config('tls: { clientCa: ca.pem }'), /^unknown-key: .*clientCa.*not available yet/],
  ['certificates of clients', config('tls: { ssl_verify_client: on }'), /^unknown-key: .*ssl_verify_client.*not available yet/],
  [
    'a file alone',
    config('tls: shop').replace(/\{ files: \{.*?\} \}/, 'shop.crt'),
    /^bad-value: .*expected a map, for example \{ files/,
  ],
  ['h2', config('tls: { alpn: [h2, http/1.1] }'), /^not-yet: .*'h2'.*\(available is http\/1\.1\)/],
  [
    'h3 with auto',
    config('protocol: auto, tls: { alpn: h3 }', ['shop'], `${POOLS}routes: [{ path: /, to: "127.0.0.1:2" }]\n`),
    /^not-yet: .*'h3'/,
  ],
  ['another protocol for requests', config('tls: { alpn: imap }'), /^contradiction: .*'imap' does not go with requests/],
  ['TLS 1.0', config('tls: { minVersion: "1.0" }'), /^bad-value: .*TLS 1\.0 is broken.*RFC 8996\) \("1\.2" is the oldest\)/],
  ['TLS 1.1, as Envoy calls it', config('tls: { minVersion: TLSv1_1 }'), /^bad-value: .*TLS 1\.1 is broken/],
  ['a version as nginx calls it', config('tls: { minVersion: TLSv1.3 }'), /^bad-value: .*\(did you mean "1\.3"\?\)/],
  ['a version without quotes', config('tls: { minVersion: 1.2 }'), /^bad-value: .*\(did you mean "1\.2"\?\)/],
  ['an old version without quotes', config('tls: { minVersion: 1.1 }'), /^bad-value: .*\("1\.2" is the oldest\)/],
  ['tls: false', config('tls: false'), /^bad-value: .*expected true, the name of a certificate, or a map/],
  ['ACME alone', config('tls: shop').replace(/files: \{.*?\}/, 'acme: {}'), /^not-yet: acme/],
  ['ACME', config('tls: shop').replace('key: shop.key }', 'key: shop.key }, acme: {}'), /^not-yet: acme/],
  [
    'keys of nginx',
    config('tls: shop').replace('key: shop.key', 'ssl_certificate_key: shop.key'),
    /^unknown-key: .*\(did you mean key\?\)/,
  ],
  [
    'a path where files are meant',
    config('tls: shop').replace(/files: \{.*?\}/, 'cert: shop.crt'),
    /^unknown-key: .*\(did you mean files: \{ certificate/,
  ],
] as const) {
  test(`${title}: ${expected.source}`, () => assert.match(faultOf(text), expected));
}

test('a key that is of no use is refused, with the reason and what to do', () => {
  const encrypted = createPrivateKey(made.shop.keyPem).export({
    type: 'pkcs8',
    format: 'pem',
    cipher: 'aes-256-cbc',
    passphrase: 'x',
  });
  const old = createPrivateKey(made.shop.keyPem).export({ type: 'sec1', format: 'pem', cipher: 'aes-256-cbc', passphrase: 'x' });
  for (const [certificate, key, expected] of [
    [
      made.shop.certificatePem,
      made.internal.keyPem,
      /^bad-value: use\.key is not the key of the certificate in use\.crt \(the certificate is for shop\.example/,
    ],
    [made.shop.certificatePem, String(encrypted), /^bad-value: use\.key is encrypted.*\(openssl pkey/],
    [made.shop.certificatePem, String(old), /^bad-value: use\.key is encrypted/],
    [made.shop.certificatePem, made.shop.certificatePem, /^bad-value: use\.key holds no private key in PEM/],
    [
      made.shop.certificatePem,
      '-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n',
      /^bad-value: the key in use\.key is damaged/,
    ],
    [made.shop.keyPem, made.shop.keyPem, /^bad-value: use\.crt holds no certificate in PEM/],
    [made.shop.certificatePem.replace(/MII.{20}/, 'AAAA'), made.shop.keyPem, /^bad-value: certificate 1 in use\.crt is damaged/],
  ] as const) {
    writeCertificate(folder, 'use', certificate, key);
    assert.match(faultOf(config('tls: use', ['use'])), expected);
  }
  for (const [key, expected] of [
    ['rsa-1024', /an RSA key of 1024 bits is too short: 2048/],
    ['secp256k1', /the curve secp256k1 is not for TLS: P-256, P-384, P-521/],
  ] as const) {
    writeIssued(folder, 'use', issueCertificate({ names: ['a.example'], key }));
    assert.match(faultOf(config('tls: use', ['use'])), expected);
  }
});

test('a chain that OpenSSL would refuse, or that is too long, is told before a worker gets it', () => {
  const issuer = issueCertificate({ subject: 'old', isAuthority: true, key: 'rsa-1024' });
  const leaf = issueCertificate({ names: ['a.example'], issuer });
  writeCertificate(folder, 'weak', leaf.cert + issuer.cert, leaf.key);
  assert.match(faultOf(config('tls: weak', ['weak'])), /^bad-value: weak\.crt: OpenSSL does not take it: ca key too small/);
  const large = (paddingBytes: number) => {
    writeIssued(folder, 'large', issueCertificate({ names: ['a.example'], issuer, paddingBytes }));
    return config('tls: large', ['large']);
  };
  assert.equal(planOf(large(CHAIN_BYTES_MAX - 1000)).certificates.length, 1);
  assert.match(faultOf(large(CHAIN_BYTES_MAX)), /^bad-value: large\.crt: its chain has \d+ bytes, and 49152 are the most/);
});

test('a file that is no text, or not there, is told as such', () => {
  writeCertificate(folder, 'use', made.shop.certificatePem, made.shop.keyPem);
  const der = Buffer.from(made.shop.certificatePem.replace(/-----.*-----/g, ''), 'base64');
  const binary = parseConfig(
    config('tls: use', ['use']),
    join(folder, 'weir.yaml'),
    {},
    {
      readFile: (path) => {
        if (path.endsWith('.key')) return made.shop.keyPem;
        return new TextDecoder('utf-8', { fatal: true }).decode(der);
      },
    },
  );
  assert.match(
    formatFaults(binary.faults),
    /use\.crt is no PEM: it is not even text \[bad-value\][\s\S]*openssl x509 -inform DER/,
  );
  assert.match(
    faultOf(config('tls: gone', ['gone']).replace('gone.crt', 'shop.crt')),
    /^no-such-file: gone\.key cannot be read: no such file/,
  );
});

test('every certificate is judged, also one that nobody uses, and all errors come at once', () => {
  const { faults } = parse(config('tls: shop', ['shop', 'gone', 'mismatched']));
  assert.deepEqual(
    faults.map(({ code, pointer }) => [code, pointer]),
    [
      ['no-such-file', '/certificates/gone/files/certificate'],
      ['no-such-file', '/certificates/gone/files/key'],
      ['bad-value', '/certificates/mismatched/files/key'],
    ],
  );
  assert.deepEqual(warningsOf(config('tls: shop', ['shop', 'internal'])), [
    'certificate-unused: no listener uses certificate internal',
  ]);
});

test('how long a certificate is valid is a warning, never an error', () => {
  const now = Date.now();
  const life = (fromDays: number, untilDays: number, at = now) => {
    writeIssued(folder, 'life', issueCertificate({ names: ['a.example'], fromDays, untilDays }));
    return warningsOf(config('tls: life', ['life']), at);
  };
  assert.deepEqual(life(-10, 90), []);
  assert.deepEqual(life(-80, 13.5), ['certificate-expires: certificate life expires in 13 days']);
  assert.deepEqual(life(-80, 14.5), [], 'two weeks are enough');
  assert.deepEqual(life(-3, 3), [], 'of a short life, a third');
  assert.deepEqual(life(-4.1, 1.9), ['certificate-expires: certificate life expires in 45 hours']);
  assert.deepEqual(life(-80, -3.5), ['certificate-expired: certificate life expired 3 days ago']);
  assert.match(life(1, 90)[0]!, /^certificate-expired: certificate life is not valid before 2/);
  assert.equal(parse(config('tls: life', ['life']), now + 1000 * DAY_MS).plan!.certificates.length, 1);
  const between = issueCertificate({ subject: 'between', isAuthority: true, fromDays: -9, untilDays: -1 });
  const leaf = issueCertificate({ names: ['a.example'], issuer: between, untilDays: 90 });
  writeCertificate(folder, 'life', leaf.cert + between.cert, leaf.key);
  assert.deepEqual(warningsOf(config('tls: life', ['life'])), [
    'certificate-expired: certificate life: number 2 of its chain expired 24 hours ago',
  ]);
});

test('a certificate without alternative names is known by its subject, with a warning', () => {
  writeIssued(folder, 'subject', issueCertificate({ names: ['Old.example'], isSubjectOnly: true, untilDays: 90 }));
  const text = config('tls: subject', ['subject']);
  assert.deepEqual(planOf(text).certificates[0]!.names, ['old.example']);
  assert.match(warningsOf(text)[0]!, /^certificate-names: .*no subject alternative name.*old\.example/);
  writeIssued(folder, 'subject', issueCertificate({ subject: 'A Person', untilDays: 90 }));
  assert.deepEqual(warningsOf(text), ['certificate-names: certificate subject: it is for no name']);
  writeIssued(folder, 'subject', issueCertificate({ names: ['*'], untilDays: 90 }));
  assert.deepEqual(warningsOf(text), ['certificate-names: certificate subject: it is for no name']);
});

test('a certificate whose dates or key cannot be read is an error, and nothing throws', () => {
  const der = Buffer.from(made.shop.certificatePem.replace(/-----.*-----/g, ''), 'base64');
  const spoilt = (at: number, byte: number): string => {
    const bytes = Buffer.from(der);
    bytes[at] = byte;
    return `-----BEGIN CERTIFICATE-----\n${bytes.toString('base64')}\n-----END CERTIFICATE-----\n`;
  };
  // The kind of key (id-ecPublicKey), and the first digit of the first date.
  for (const at of [der.indexOf(Buffer.from('2a8648ce3d0201', 'hex')) + 6, der.indexOf(Buffer.from([0x17, 13])) + 2]) {
    writeCertificate(folder, 'use', spoilt(at, 0x7f), made.shop.keyPem);
    assert.match(
      faultOf(config('tls: use', ['use'])),
      /^bad-value: the dates or the key of certificate 1 in use\.crt cannot be read/,
    );
  }
});

test('who asks for no certificates gets a plan without the right to read them', () => {
  const text = config('tls: true', ['gone'], `${POOLS}routes: [{ host: a.example, to: web }]\n`);
  assert.equal(parse(text).plan, null);
  const { plan, faults, warnings } = parseConfig(text, join(folder, 'weir.yaml'), {}, { withoutCertificates: true });
  assert.deepEqual([faults, warnings, plan!.certificates, plan!.listeners[0]!.tls!.certificates], [[], [], [], []]);
});

test('a key that everybody can read is told, and one of owner and group is not', () => {
  const { key } = writeCertificate(folder, 'open', made.shop.certificatePem, made.shop.keyPem);
  chmodSync(key, 0o644);
  assert.deepEqual(warningsOf(config('tls: open', ['open'])), [
    'key-readable: certificate open: everybody on this machine can read open.key',
  ]);
  chmodSync(key, 0o640);
  assert.deepEqual(warningsOf(config('tls: open', ['open'])), []);
});

test('two certificates for one name with one kind of key clash, and with two kinds they do not', () => {
  writeCertificate(folder, 'rsa', made.shopRsa.certificatePem, made.shopRsa.keyPem);
  assert.deepEqual(warningsOf(config('tls: [shop, rsa]', ['shop', 'rsa'])), []);
  writeCertificate(folder, 'again', made.shop.certificatePem, made.shop.keyPem);
  assert.deepEqual(warningsOf(config('tls: true', ['shop', 'again'])), [
    'certificate-clash: listener in: certificates shop and again are both for shop.example, with the same kind of key; the first is given',
  ]);
});

test('a host that can only be reached by TLS wants a certificate', () => {
  const hosts = (...names: string[]) =>
    `${POOLS}routes: [{ host: [${names.map((name) => JSON.stringify(name)).join(', ')}], path: /x, to: web }]\n`;
  const secure = (routes: string) => warningsOf(config('tls: [shop, wildcard]', ['shop', 'wildcard'], routes));
  assert.deepEqual(secure(hosts('shop.example', 'a.shop.example', '*.shop.example', 'WWW.shop.example', '127.0.0.1')), []);
  assert.deepEqual(secure(hosts('a.b.shop.example', 'other.example', '*.other.example')), [
    'host-uncovered: no certificate of listener in is for a.b.shop.example',
    'host-uncovered: no certificate of listener in is for other.example',
    'host-uncovered: no certificate of listener in is for *.other.example',
  ]);
  const beside = (plain: string) =>
    warningsOf(`version: 1
listeners: { in: { listen: ":1", tls: shop }, plain: { listen: ":2", ${plain} } }
${defined(['shop'])}${hosts('other.example')}`);
  assert.deepEqual(beside('protocol: http'), [], 'it can be reached without TLS');
  assert.deepEqual(beside('redirectToHttps: true'), ['host-uncovered: no certificate of listener in is for other.example']);
});

test('a listener of connections that only names take unopened has nowhere to put what it opens', () => {
  const routes = 'routes: [{ sni: a.example, to: web }]\n';
  const text = config('protocol: tcp, tls: shop', ['shop'], POOLS + routes);
  assert.deepEqual(warningsOf(text), []);
  assert.match(
    warningsOf(text.replace('to: web, protocol', 'protocol'))[0]!,
    /^no-route: .*resets every connection that it opens/,
  );
});

test('a certificate of an included file is found, and one defined twice is an error', () => {
  const readFile = (path: string): string => {
    if (path.endsWith('more.yaml')) return defined(['shop']);
    return path.endsWith('.crt') ? made.shop.certificatePem : made.shop.keyPem;
  };
  const around = { readFile, fileMode: () => 0o600 };
  const text = `include: more.yaml\n${config('tls: shop').replace(/certificates: .*\n/, '')}`;
  assert.deepEqual(parseConfig(text, '/conf/weir.yaml', {}, around).faults, []);
  assert.deepEqual(codesOf(parseConfig(`include: more.yaml\n${config('tls: shop')}`, '/conf/weir.yaml', {}, around).faults), [
    'defined-twice',
  ]);
});

test('no message and no excerpt shows a key that stands in the config', () => {
  const body = made.shop.keyPem.split('\n')[1]!;
  const wrong = made.internal.certificatePem;
  const head = 'version: 1\nlisteners: { in: { listen: ":1", to: web, tls: shop } }\n';
  const block = (text: string, by: string) => text.trimEnd().split('\n').join(`\n${by}`);
  const flow = `${head}certificates: { shop: { files: { certificate: ${JSON.stringify(wrong)}, key: ${JSON.stringify(made.shop.keyPem)}, oops: 1 } } }\n${POOLS}`;
  const blocks = `${head}certificates:\n  shop:\n    files:\n      certificate: |\n        ${block(wrong, '        ')}\n      key: |\n        ${block(made.shop.keyPem, '        ')}\n${POOLS}`;
  // A slip in the middle of the key, so that the fault is there.
  const damaged = `${head}certificates:\n  shop:\n    files:\n      certificate: internal.crt\n      key: "${block(made.shop.keyPem, '        ').replace(body, `\\q${body}`)}"\n${POOLS}`;
  const filled = `${head}certificates: { shop: { files: { certificate: internal.crt, key: "\${PEM}" } } }\n${POOLS}`;
  for (const text of [flow, blocks, damaged, filled]) {
    const { faults } = parse(text);
    assert.ok(faults.length > 0);
    const shown = formatFaults(faults) + formatFaultsJson(faults) + formatFaultsGithub(faults);
    assert.ok(!shown.includes(body.slice(0, 20)), shown);
    assert.ok(!shown.includes('BEGIN PRIVATE'), shown);
  }
});

test('weir proxy opens TLS with the files of its flags, and its faults name the flag', () => {
  const flags = { from: ':1', to: ['127.0.0.1:1'] };
  const around = { env: {}, node: 'lb-a', cores: 2 };
  const own = { tlsCertificate: made.shop.certificate, tlsKey: made.shop.key };
  const { plan, faults } = planFromFlags({ ...flags, ...own }, around);
  assert.deepEqual(faults, []);
  assert.deepEqual([plan!.listeners[0]!.protocol, plan!.listeners[0]!.tls!.alpn], ['http', ['http/1.1']]);
  const tcp = planFromFlags({ ...flags, ...own, tcp: true }, around).plan!.listeners[0]!;
  assert.deepEqual([tcp.protocol, tcp.tls!.alpn], ['tcp', []]);
  const saved = parseConfig(configText({ ...flags, ...own }), '/elsewhere/weir.yaml', {}, around);
  assert.deepEqual(
    saved.plan!.certificates.map(({ file, key }) => [file, key]),
    plan!.certificates.map(({ file, key }) => [file, key]),
  );
  const told = (more: object) => planFromFlags({ ...flags, ...more }, around).faults.map(({ file, code }) => `${file} ${code}`);
  assert.deepEqual(told({ tlsKey: made.shop.key }), ['--tls-certificate missing-key']);
  assert.deepEqual(told({ tlsCertificate: made.shop.certificate }), ['--tls-key missing-key']);
  assert.deepEqual(told({ ...own, tlsKey: '/gone.key' }), ['--tls-key no-such-file']);
  assert.deepEqual(told({ ...own, tlsCertificate: made.internal.certificate }), ['--tls-key bad-value']);
  assert.deepEqual(told({ ...own, udp: true }), ['--tls-certificate contradiction']);
});
