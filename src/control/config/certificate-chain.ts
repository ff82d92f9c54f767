/** What is in the certificates and the key of one file or two: which is the first, what order the others come in, and for whom it is. */
import type { KeyObject, X509Certificate } from 'node:crypto';
import { isHostName, readAddress } from './address.ts';

/** The least that is still thought safe (NIST SP 800-57 part 1 §5.6.1, 112 bits), and what browsers ask for. */
const RSA_BITS_MIN = 2048;
const curves: Readonly<Record<string, string>> = { prime256v1: 'P-256', secp384r1: 'P-384', secp521r1: 'P-521' };

export interface Chain {
  /** The one that belongs to the key, then each one's issuer, as far as there is one. */
  certificates: readonly X509Certificate[];
  /** They stood in this order. */
  wasInOrder: boolean;
  /** Places, from 1, of those that issued none of the others. */
  strangers: readonly number[];
}

/** null: none of them belongs to the key. */
export function orderChain(all: readonly X509Certificate[], key: KeyObject): Chain | null {
  const first = all.find((certificate) => certificate.checkPrivateKey(key));
  if (first === undefined) return null;
  const chain = [first];
  // One that is there twice counts once.
  const left = all.filter((certificate) => !certificate.raw.equals(first.raw));
  for (;;) {
    const last = chain.at(-1)!;
    const at = left.findIndex((issuer) => last.checkIssued(issuer) && last.verify(issuer.publicKey));
    if (at < 0) break;
    const [issuer] = left.splice(at, 1);
    if (!chain.some((certificate) => certificate.raw.equals(issuer!.raw))) chain.push(issuer!);
  }
  const placeOf = (certificate: X509Certificate): number => all.indexOf(certificate) + 1;
  const isStranger = (certificate: X509Certificate): boolean => !chain.some(({ raw }) => raw.equals(certificate.raw));
  return {
    certificates: chain,
    wasInOrder: chain.every((certificate, at) => at === 0 || placeOf(certificate) > placeOf(chain[at - 1]!)),
    strangers: left.filter(isStranger).map(placeOf),
  };
}

/** Why a key is not taken, or null. */
export function keyProblem(key: KeyObject): string | null {
  const { modulusLength, namedCurve } = key.asymmetricKeyDetails ?? {};
  switch (key.asymmetricKeyType) {
    case 'ed25519':
      return null;
    case 'rsa':
      return modulusLength! >= RSA_BITS_MIN
        ? null
        : `an RSA key of ${modulusLength} bits is too short: ${RSA_BITS_MIN} are the least`;
    case 'ec':
      return namedCurve! in curves ? null : `the curve ${namedCurve} is not for TLS: ${Object.values(curves).join(', ')} are`;
    default:
      return `a key of type ${key.asymmetricKeyType} is not for TLS here: RSA, EC and Ed25519 are`;
  }
}

/**
 * DNS names and addresses a certificate is for, lower-case. Those of the subject alternative name; where there is none, the common name,
 * which clients have stopped looking at (RFC 9525 §2). What matches nothing is left out: "f*.example", "*".
 */
export function namesOf(certificate: X509Certificate): { names: string[]; isFromSubject: boolean } {
  const alternatives = certificate.subjectAltName;
  if (alternatives === undefined) {
    const common = /^CN=(.+)$/m.exec(certificate.subject ?? '')?.[1] ?? '';
    return { names: nameOf('DNS', common), isFromSubject: true };
  }
  const names = [...alternatives.matchAll(ALTERNATIVE)].flatMap(([, kind, value]) => nameOf(kind!, value!));
  return { names: [...new Set(names)], isFromSubject: false };
}

/** "DNS:shop.example, IP Address:192.0.2.1"; a value in which a comma or the like stands is quoted, and is no name. */
const ALTERNATIVE = /(?:^|, )([A-Za-z ]+):("(?:[^"\\]|\\.)*"|[^,]*)/g;

function nameOf(kind: string, value: string): string[] {
  if (kind === 'IP Address') {
    const address = readAddress(value);
    return address === null ? [] : [address];
  }
  const name = value.toLowerCase();
  return kind === 'DNS' && isHostName(name.replace(/^\*\./, '')) ? [name] : [];
}
