/** Certificates made here, so that no program has to be installed: DER by hand (RFC 5280 §4.1), signed by node:crypto. */
import { generateKeyPairSync, type KeyObject, randomBytes, sign } from 'node:crypto';
import { isIPv4 } from 'node:net';

export interface Certificate {
  /** PEM. */
  key: string;
  cert: string;
}

export interface CertificateRequest {
  /** DNS names and IPv4 addresses. */
  names?: string[];
  /** Common name of the subject; the first of `names`. */
  subject?: string;
  /** No alternative names, only the subject, as before RFC 2818. */
  isSubjectOnly?: boolean;
  key?: KeyKind;
  /** Who signs; it signs itself. */
  issuer?: Issued;
  isAuthority?: boolean;
  /** Days from now: -1 and 1. */
  fromDays?: number;
  untilDays?: number;
  /** Bytes of an extension that nobody knows, to make it large. */
  paddingBytes?: number;
}

export type KeyKind = 'P-256' | 'P-384' | 'P-521' | 'secp256k1' | 'ed25519' | 'rsa-2048' | 'rsa-1024';

/** A certificate that can sign others. */
export interface Issued extends Certificate {
  subject: Buffer;
  privateKey: KeyObject;
}

const ECDSA_WITH_SHA256 = '2a8648ce3d040302';
const RSA_WITH_SHA256 = '2a864886f70d01010b';
const ED25519 = '2b6570';
const COMMON_NAME = '550403';
const SUBJECT_ALT_NAME = '551d11';
const BASIC_CONSTRAINTS = '551d13';
const KEY_USAGE = '551d0f';
/** An arc of 1.3.6.1.4.1.311 that means nothing to anybody. */
const UNKNOWN = '2b0601040182376300';

/** For these DNS names, from yesterday until tomorrow, signed by itself; the first is its subject. */
export function certificateFor(...names: string[]): Certificate {
  const { key, cert } = issueCertificate({ names });
  return { key, cert };
}

export function issueCertificate(request: CertificateRequest): Issued {
  const names = request.names ?? [];
  const { publicKey, privateKey } = keyPair(request.key ?? 'P-256');
  const subject = sequence(
    der(0x31, sequence(oid(COMMON_NAME), der(0x0c, Buffer.from(request.subject ?? names[0] ?? 'nobody')))),
  );
  const signer = request.issuer?.privateKey ?? privateKey;
  const algorithm = signatureAlgorithm(signer);
  const extensions: Buffer[] = [];
  if (names.length > 0 && request.isSubjectOnly !== true) {
    extensions.push(extension(SUBJECT_ALT_NAME, sequence(...names.map(alternative))));
  }
  if (request.isAuthority === true) {
    extensions.push(extension(BASIC_CONSTRAINTS, sequence(der(0x01, Buffer.of(0xff)))));
    // keyCertSign and cRLSign.
    extensions.push(extension(KEY_USAGE, der(0x03, Buffer.of(1, 0x06))));
  }
  if (request.paddingBytes !== undefined) extensions.push(extension(UNKNOWN, der(0x04, Buffer.alloc(request.paddingBytes))));
  const body = sequence(
    der(0xa0, der(0x02, Buffer.of(2))),
    der(0x02, Buffer.of(1, ...randomBytes(8))),
    algorithm,
    request.issuer?.subject ?? subject,
    sequence(time(request.fromDays ?? -1), time(request.untilDays ?? 1)),
    subject,
    publicKey.export({ type: 'spki', format: 'der' }),
    ...(extensions.length > 0 ? [der(0xa3, sequence(...extensions))] : []),
  );
  const signature = der(0x03, Buffer.of(0), sign(signer.asymmetricKeyType === 'ed25519' ? null : 'sha256', body, signer));
  const text = sequence(body, algorithm, signature)
    .toString('base64')
    .replace(/.{64}(?=.)/g, '$&\n');
  return {
    key: privateKey.export({ type: 'pkcs8', format: 'pem' }) as string,
    cert: `-----BEGIN CERTIFICATE-----\n${text}\n-----END CERTIFICATE-----\n`,
    subject,
    privateKey,
  };
}

function keyPair(kind: KeyKind): { publicKey: KeyObject; privateKey: KeyObject } {
  if (kind === 'ed25519') return generateKeyPairSync('ed25519');
  if (kind === 'rsa-2048') return generateKeyPairSync('rsa', { modulusLength: 2048 });
  if (kind === 'rsa-1024') return generateKeyPairSync('rsa', { modulusLength: 1024 });
  return generateKeyPairSync('ec', { namedCurve: kind });
}

function signatureAlgorithm(key: KeyObject): Buffer {
  if (key.asymmetricKeyType === 'ed25519') return sequence(oid(ED25519));
  if (key.asymmetricKeyType === 'rsa') return sequence(oid(RSA_WITH_SHA256), der(0x05));
  return sequence(oid(ECDSA_WITH_SHA256));
}

function alternative(name: string): Buffer {
  return isIPv4(name) ? der(0x87, Buffer.from(name.split('.').map(Number))) : der(0x82, Buffer.from(name));
}

function extension(id: string, value: Buffer): Buffer {
  return sequence(oid(id), der(0x04, value));
}

function der(tag: number, ...parts: Buffer[]): Buffer {
  const value = Buffer.concat(parts);
  const size = value.length;
  const length =
    size < 128 ? [size] : size < 65_536 ? [0x82, size >> 8, size & 255] : [0x83, size >> 16, (size >> 8) & 255, size & 255];
  return Buffer.concat([Buffer.of(tag, ...length), value]);
}

function sequence(...parts: Buffer[]): Buffer {
  return der(0x30, ...parts);
}

function oid(hex: string): Buffer {
  return der(0x06, Buffer.from(hex, 'hex'));
}

/** UTCTime. */
function time(days: number): Buffer {
  const text = new Date(Date.now() + days * 86_400_000).toISOString();
  return der(0x17, Buffer.from(`${text.slice(2, 19).replace(/[-T:]/g, '')}Z`));
}
