/** A small public key infrastructure in files: an authority, one between, and certificates good and bad in the ways that matter. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type CertificateRequest, type Issued, issueCertificate } from './certificate.ts';
import { ownFolder } from './folder.ts';

export interface CertificateFiles {
  /** Paths. */
  certificate: string;
  key: string;
  certificatePem: string;
  keyPem: string;
}

export interface Certificates {
  /** Its certificate is what clients have to trust. */
  ca: CertificateFiles;
  /** shop.example, www.shop.example, localhost and 127.0.0.1; ECDSA P-256. */
  shop: CertificateFiles;
  /** The same names; RSA of 2048 bits. */
  shopRsa: CertificateFiles;
  /** *.shop.example; ECDSA. */
  wildcard: CertificateFiles;
  /** internal.example; Ed25519. */
  internal: CertificateFiles;
  /** chained.example, followed by the certificate of the authority between it and `ca`. */
  chained: CertificateFiles;
  /** expired.example, since yesterday. */
  expired: CertificateFiles;
  /** The certificate of `shop` and the key of `internal`: they do not belong together. */
  mismatched: CertificateFiles;
}

/** Makes all of them in `folder`: some 0.2 s, so once for a test file. */
export function makeCertificates(folder: string): Certificates {
  mkdirSync(folder, { recursive: true });
  const root = issueCertificate({ subject: 'weir test authority', isAuthority: true, fromDays: -30, untilDays: 400 });
  const between = issueCertificate({ subject: 'weir test intermediate', isAuthority: true, issuer: root, untilDays: 300 });
  const leaf = (names: string[], more?: CertificateRequest): Issued =>
    issueCertificate({ names, issuer: root, untilDays: 200, ...more });
  const shopNames = ['shop.example', 'www.shop.example', 'localhost', '127.0.0.1'];
  const shop = leaf(shopNames);
  const internal = leaf(['internal.example'], { key: 'ed25519' });
  const chained = leaf(['chained.example'], { issuer: between });
  const put = (name: string, cert: string, key: string): CertificateFiles => writeCertificate(folder, name, cert, key);
  return {
    ca: put('ca', root.cert, root.key),
    shop: put('shop', shop.cert, shop.key),
    shopRsa: writeIssued(folder, 'shop-rsa', leaf(shopNames, { key: 'rsa-2048' })),
    wildcard: writeIssued(folder, 'wildcard', leaf(['*.shop.example'])),
    internal: put('internal', internal.cert, internal.key),
    chained: put('chained', chained.cert + between.cert, chained.key),
    expired: writeIssued(folder, 'expired', leaf(['expired.example'], { fromDays: -20, untilDays: -1 })),
    mismatched: put('mismatched', shop.cert, internal.key),
  };
}

/** All of them in a folder of the test file's own. `ca`: what its clients trust, in PEM. */
export function ownCertificates(name: string): { folder: string; certificates: Certificates; ca: string } {
  const folder = ownFolder(name);
  const certificates = makeCertificates(folder);
  return { folder, certificates, ca: certificates.ca.certificatePem };
}

export function writeIssued(folder: string, name: string, issued: Issued): CertificateFiles {
  return writeCertificate(folder, name, issued.cert, issued.key);
}

/** NAME.crt and NAME.key, which only its owner may read. */
export function writeCertificate(folder: string, name: string, certificatePem: string, keyPem: string): CertificateFiles {
  const certificate = join(folder, `${name}.crt`);
  const key = join(folder, `${name}.key`);
  writeFileSync(certificate, certificatePem);
  writeFileSync(key, keyPem, { mode: 0o600 });
  return { certificate, key, certificatePem, keyPem };
}

/** In the place of the files that an example asks its reader to make: every .crt is a good certificate for shop.example and all below it, and every .key its key. */
export function exampleFiles(): { readFile: (path: string) => string; fileMode: () => number } {
  const { cert, key } = issueCertificate({ names: ['shop.example', '*.shop.example'], untilDays: 90 });
  return {
    readFile(path) {
      if (path.endsWith('.crt')) return cert;
      if (path.endsWith('.key')) return key;
      throw new Error(`no example names ${path}`);
    },
    fileMode: () => 0o600,
  };
}
