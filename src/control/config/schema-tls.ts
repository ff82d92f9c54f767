/** Schema of TLS that is opened at a listener, and of certificates. */
import { z } from 'zod';
import { readName, span } from './leaves.ts';
import { readAlpn } from './schema-stream.ts';
import { either, oneOrMany, shape, text, words, yes } from './shape.ts';
import { bad, good, type Read } from './units.ts';

const TLS_EXPECTED = 'expected true, the name of a certificate, or a map, for example { certificates: [shop] }';
const VERSION_EXPECTED = 'expected "1.2" or "1.3"';
const CERTIFICATE_EXPECTED = 'expected a map, for example { files: { certificate: shop.crt, key: shop.key } }';
/** What other programs ask of certificates of clients: said at once, not when the key has its name. */
const CLIENT_AUTH = 'clientAuth (not available yet: clients cannot be asked for certificates)';
const FILES_EXPECTED = 'expected a map, for example { certificate: shop.crt, key: shop.key }';

const certificateName = text('Name of a certificate.', 'expected the name of a certificate', readName);

const settings = shape(
  'How TLS is opened.',
  {
    certificates: oneOrMany(
      'Names of certificates. The first is for clients that ask for no name, or for one that no certificate is for. Default: all of the file.',
      certificateName,
    ).optional(),
    minVersion: text('Oldest version of TLS: "1.2" or "1.3". Default "1.2".', VERSION_EXPECTED, readVersion, {
      pattern: '^1\\.[23]$',
      examples: ['1.2', '1.3'],
      help: versionHelp,
    }).optional(),
    alpn: oneOrMany(
      'Protocols agreed on by ALPN, best first. Default http/1.1 for requests, none with protocol tcp.',
      text('Protocol.', 'expected the name of a protocol, for example http/1.1', readAlpn, { examples: ['http/1.1'] }),
    ).optional(),
    strictSni: yes('Clients that ask for no name, or for one that no certificate is for, are refused. Default false.').optional(),
    handshakeTimeout: span('From the first byte of a client to the end of its handshake. Default 10s.').optional(),
  },
  {
    notYet: ['clientAuth', 'ciphers', 'ocsp', 'acme'],
    foreign: {
      certificate: 'certificates',
      cert: 'certificates',
      certs: 'certificates',
      crt: 'certificates',
      ssl_certificate: 'certificates',
      tlsCertificates: 'certificates',
      ssl_protocols: 'minVersion',
      'ssl-min-ver': 'minVersion',
      protocols: 'minVersion',
      tls_minimum_protocol_version: 'minVersion',
      alpnProtocols: 'alpn',
      alpn_protocols: 'alpn',
      sniStrict: 'strictSni',
      'strict-sni': 'strictSni',
      ssl_handshake_timeout: 'handshakeTimeout',
      mtls: CLIENT_AUTH,
      ca: CLIENT_AUTH,
      clientCa: CLIENT_AUTH,
      'ca-file': CLIENT_AUTH,
      clientCertificate: CLIENT_AUTH,
      verify: CLIENT_AUTH,
      ssl_client_certificate: CLIENT_AUTH,
      ssl_verify_client: CLIENT_AUTH,
      require_client_certificate: CLIENT_AUTH,
    },
  },
);

export const tls = either(
  'TLS is opened here. true: with all certificates of the file; short form: the certificates.',
  TLS_EXPECTED,
  [z.literal(true), certificateName, z.array(certificateName).min(1), settings],
);

export const certificate = shape(
  'A certificate with its key.',
  {
    files: shape(
      'Where it is. Files are read with the config; relative paths start at the file they are written in.',
      {
        certificate: words('File of the certificate and those that lead from it to a root (PEM), or the PEM itself.'),
        key: words('File of its key (PEM, not encrypted), or the PEM itself.'),
      },
      {
        expected: FILES_EXPECTED,
        foreign: {
          cert: 'certificate',
          crt: 'certificate',
          certFile: 'certificate',
          chain: 'certificate',
          fullchain: 'certificate',
          ssl_certificate: 'certificate',
          keyFile: 'key',
          privateKey: 'key',
          private_key: 'key',
          ssl_certificate_key: 'key',
        },
      },
    ),
  },
  {
    expected: CERTIFICATE_EXPECTED,
    notYet: ['acme'],
    foreign: {
      file: 'files',
      certificate: 'files: { certificate: …, key: … }',
      cert: 'files: { certificate: …, key: … }',
      crt: 'files: { certificate: …, key: … }',
      key: 'files: { certificate: …, key: … }',
      certFile: 'files: { certificate: …, key: … }',
      keyFile: 'files: { certificate: …, key: … }',
    },
  },
);

const OLDEST = '"1.2" is the oldest';

/** Of a number, which YAML makes of a version without quotes. */
function versionHelp(value: unknown): string | undefined {
  if (value === 1.2 || value === 1.3) return `did you mean "${value}"?`;
  return value === 1 || value === 1.1 ? OLDEST : undefined;
}

export function readVersion(value: string): Read<'1.2' | '1.3'> {
  const version = /^(?:TLS ?v?|VersionTLS)?1[._]?([0-3])$/i.exec(value)?.[1];
  if (value === '1.2' || value === '1.3') return good(value);
  if (version === '0' || version === '1')
    return bad(`TLS 1.${version} is broken, and no client needs it any more (RFC 8996)`, OLDEST);
  return bad(VERSION_EXPECTED, version === undefined ? undefined : `did you mean "1.${version}"?`);
}
