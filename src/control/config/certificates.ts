/**
 * Certificates: what `certificates:` defines, read and checked, so that no worker gets one that it could not use. Whether a certificate has expired is no
 * error but a warning (lints-tls.ts): the connections of those who do not mind go on.
 */
import { createPrivateKey, type KeyObject, type X509Certificate } from 'node:crypto';
import { createSecureContext } from 'node:tls';
import { type CertificatePlan, CHAIN_BYTES_MAX } from '../../state/plan.ts';
import { keyProblem, namesOf, orderChain } from './certificate-chain.ts';
import { type ConfigFault, type FaultCode, faultAt } from './fault.ts';
import { childOf, type MapNode, type Node } from './node.ts';
import { certificatesOf, type Pem, type PemFiles, pemNode, readPem, type TellPem } from './pem.ts';
import { placeText } from './source.ts';

export interface CertificateFiles extends PemFiles {
  /** Permission bits of a file by its absolute path; null: not known. */
  fileMode: (path: string) => number | null;
}

/** A certificate that can be used, and what is to be warned of. */
export interface ReadCertificate {
  plan: CertificatePlan;
  /** `rsa`, `ec` or `ed25519`. */
  keyKind: string;
  /** In the order of the chain, the certificate itself first. */
  chain: readonly X509Certificate[];
  notices: readonly CertificateNotice[];
}

export interface CertificateNotice {
  key: 'certificate' | 'key';
  code: FaultCode;
  message: string;
  help: string | null;
}

const KEY = /-----BEGIN ((?:[A-Z0-9]+ )*PRIVATE KEY)-----[\s\S]+?-----END \1-----/;

/** Those that are right, by name; the faults of the others are added. */
export function readCertificates(
  root: MapNode,
  files: CertificateFiles,
  faults: ConfigFault[],
): ReadonlyMap<string, ReadCertificate> {
  const found = new Map<string, ReadCertificate>();
  const written = childOf(root, 'certificates');
  if (written?.kind !== 'map') return found;
  for (const { key, value } of written.entries) {
    const read = readCertificate(key, value, files, faults);
    if (read !== null) found.set(key, read);
  }
  return found;
}

function readCertificate(name: string, written: Node, files: CertificateFiles, faults: ConfigFault[]): ReadCertificate | null {
  const node = childOf(written, 'files');
  const [certificateNode, keyNode] = [pemNode(childOf(node, 'certificate')), pemNode(childOf(node, 'key'))];
  const tellAt =
    (which: 'certificate' | 'key'): TellPem =>
    (code, message, help) =>
      faults.push(
        faultAt((which === 'key' ? keyNode : certificateNode)!, code, message, {
          help,
          path: ['certificates', name, 'files', which],
        }),
      );
  const certificatePem = certificateNode && readPem(certificateNode, files, tellAt('certificate'));
  const keyPem = keyNode && readPem(keyNode, files, tellAt('key'));
  const all = certificatePem && certificatesOf(certificatePem, tellAt('certificate'));
  const key = keyPem && readKey(keyPem, tellAt('key'));
  if (!certificatePem || !keyPem || !all || !key) return null;
  const damaged = all.findIndex((certificate) => !isReadable(certificate));
  if (damaged >= 0) {
    tellAt('certificate')(
      'bad-value',
      `the dates or the key of certificate ${damaged + 1} in ${certificatePem.name} cannot be read`,
    );
    return null;
  }
  const chain = orderChain(all, key);
  if (chain === null) {
    const what = all.length === 1 ? `the certificate in ${certificatePem.name}` : `any certificate in ${certificatePem.name}`;
    tellAt('key')('bad-value', `${keyPem.name} is not the key of ${what}`, `the certificate is for ${subjectText(all[0]!)}`);
    return null;
  }
  const { certificates } = chain;
  const first = certificates[0]!;
  const problem = chainProblem(certificates, key);
  if (problem !== null) {
    tellAt('certificate')('bad-value', `${certificatePem.name}: ${problem}`);
    return null;
  }
  const { names, isFromSubject } = namesOf(first);
  const notices: CertificateNotice[] = [];
  const notice = (which: CertificateNotice['key'], code: FaultCode, message: string, help: string | null): void =>
    void notices.push({ key: which, code, message: `certificate ${name}: ${message}`, help });
  if (!chain.wasInOrder)
    notice(
      'certificate',
      'chain-order',
      `${certificatePem.name} is not in order, and is put right`,
      "the certificate first, then each one's issuer",
    );
  if (chain.strangers.length > 0)
    notice(
      'certificate',
      'chain-order',
      `number ${chain.strangers.join(', ')} in ${certificatePem.name} issued none of the others, and is left out`,
      'perhaps one between is missing',
    );
  if (isFromSubject || names.length === 0)
    notice(
      'certificate',
      'certificate-names',
      names.length === 0
        ? 'it is for no name'
        : `it has no subject alternative name, and browsers do not look at its subject, ${names[0]}`,
      'ask for one with subjectAltName',
    );
  const mode = keyPem.path === null ? null : files.fileMode(keyPem.path);
  if (mode !== null && (mode & 0o004) !== 0)
    notice(
      'key',
      'key-readable',
      `everybody on this machine can read ${keyPem.name}`,
      `chmod 640 ${keyPem.name}, and the group of weir`,
    );
  return {
    plan: {
      name,
      source: placeText(written),
      file: certificatePem.path,
      names,
      chain: certificates.join(''),
      key: key.export({ type: 'pkcs8', format: 'pem' }) as string,
      notBeforeMs: first.validFromDate.getTime(),
      notAfterMs: first.validToDate.getTime(),
    },
    keyKind: key.asymmetricKeyType!,
    chain: certificates,
    notices,
  };
}

/** OpenSSL parses the frame of a certificate at first, and the rest when it is asked for. */
function isReadable(certificate: X509Certificate): boolean {
  try {
    return (
      certificate.publicKey.asymmetricKeyType !== undefined &&
      Number.isFinite(certificate.validFromDate.getTime()) &&
      Number.isFinite(certificate.validToDate.getTime())
    );
  } catch {
    return false;
  }
}

function readKey({ text, name }: Pem, tell: TellPem): KeyObject | null {
  const found = KEY.exec(text);
  if (found === null) {
    tell('bad-value', `${name} holds no private key in PEM (-----BEGIN PRIVATE KEY-----)`);
    return null;
  }
  if (found[1] === 'ENCRYPTED PRIVATE KEY' || /^Proc-Type: *4, *ENCRYPTED/m.test(found[0])) {
    tell(
      'bad-value',
      `${name} is encrypted, and nobody is there to type its passphrase`,
      'openssl pkey -in FILE -out PLAIN takes the passphrase off',
    );
    return null;
  }
  let key: KeyObject;
  try {
    key = createPrivateKey(found[0]);
  } catch {
    tell('bad-value', `the key in ${name} is damaged`);
    return null;
  }
  const problem = keyProblem(key);
  if (problem === null) return key;
  tell('bad-value', `${name}: ${problem}`);
  return null;
}

/** Why a chain that belongs to the key cannot be used, or null. */
function chainProblem(chain: readonly X509Certificate[], key: KeyObject): string | null {
  const bytes = chain.reduce((sum, { raw }) => sum + raw.length, 0);
  if (bytes > CHAIN_BYTES_MAX) return `its chain has ${bytes} bytes, and ${CHAIN_BYTES_MAX} are the most`;
  try {
    // OpenSSL has rules of its own (a key of an issuer that is too short), and workers would hear of them too late.
    createSecureContext({ cert: chain.join(''), key: key.export({ type: 'pkcs8', format: 'pem' }) });
    return null;
  } catch (error) {
    return `OpenSSL does not take it: ${(error as { reason?: string }).reason ?? (error as Error).message}`;
  }
}

function subjectText(certificate: X509Certificate): string {
  return namesOf(certificate).names.slice(0, 3).join(', ') || (certificate.subject ?? '').replaceAll('\n', ', ') || 'nobody';
}
