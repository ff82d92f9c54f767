/** Tls: what becomes of a client's TLS on a listener: opened here and with which certificate, carried to a pool as it is, or refused. */
import { X509Certificate } from 'node:crypto';
import { isIP } from 'node:net';
import { CertificateNames } from '../../base/certificate-names.ts';
import type { CertificatePlan, ListenerPlan, Plan, StreamRoutePlan } from '../../state/plan.ts';
import { durationText } from './words.ts';

export interface TlsStep {
  /** opened: here. carried: to where a route leads that asks for the name or the protocols. refused: with an alert, or for not being TLS. */
  verdict: 'opened' | 'carried' | 'refused';
  /** Name that the client asks for. */
  serverName: string | null;
  /** Protocol agreed on (ALPN). */
  alpn: string | null;
  minVersion: string | null;
  /** What each handshake may take in seconds, and how many may be under way in a worker (0: any number); null: none is begun. */
  handshakes: { timeout: number; max: number } | null;
  certificates: ShownCertificate[];
  why: string;
}

/** One that the client may be shown: which of them is a matter of the kinds of key it knows. */
interface ShownCertificate {
  name: string;
  /** Kind of key: "ECDSA", "RSA". */
  key: string;
  /** Which of its names is that of the client; null: none. */
  fits: string | null;
  /** RFC 3339. */
  notAfter: string;
}

/** What a client says in its hello. */
export interface ClientHello {
  serverName: string | null;
  alpn: readonly string[];
}

/** What browsers and curl offer. */
const ALPN_DEFAULT: readonly string[] = ['h2', 'http/1.1'];

/** The hello before a request to this https URL. Addresses are no names (RFC 6066 §3). */
export function helloFor(url: string, sni: string | null, alpn: readonly string[]): ClientHello {
  const host = URL.parse(url)?.hostname.replace(/^\[|\]$/g, '') ?? '';
  return {
    serverName: sni ?? (isIP(host) === 0 ? host.replace(/\.$/, '') : null),
    alpn: alpn.length === 0 ? ALPN_DEFAULT : alpn,
  };
}

const unopened = { serverName: null, alpn: null, minVersion: null, handshakes: null, certificates: [] };

export function carriedStep({ serverName }: ClientHello, route: StreamRoutePlan): TlsStep {
  return { ...unopened, verdict: 'carried', serverName, why: `route ${route.name} takes it` };
}

/** Who speaks no TLS to a listener that takes nothing else. */
export function missingStep(): TlsStep {
  return { ...unopened, verdict: 'refused', why: 'the listener takes nothing but TLS' };
}

/** What a listener that opens TLS does with a hello that no route takes. Null: it opens none. */
export function openedStep(plan: Pick<Plan, 'certificates'>, listener: ListenerPlan, hello: ClientHello): TlsStep | null {
  const { tls } = listener;
  if (tls === null) return null;
  const { serverName } = hello;
  const certificates = tls.certificates.map((index) => plan.certificates[index]!);
  const names = new CertificateNames(certificates);
  const found = serverName === null ? [] : names.find(serverName);
  const agreed = tls.alpn.find((name) => hello.alpn.includes(name)) ?? null;
  const handshakes = { timeout: tls.handshakeMs / 1000, max: tls.handshakesMax };
  const step: TlsStep = {
    ...unopened,
    verdict: 'refused',
    serverName,
    alpn: agreed,
    minVersion: tls.minVersion,
    handshakes,
    why: '',
  };
  const none = serverName === null ? 'no name is asked for' : `no certificate is for ${serverName}`;
  if (found.length === 0 && tls.strictSni) return { ...step, why: `alert unrecognized_name: ${none}, and strictSni is on` };
  if (agreed === null && tls.alpn.length > 0 && hello.alpn.length > 0)
    return { ...step, why: `alert no_application_protocol: of ${tls.alpn.join(', ')} the client offers none` };
  const shown = found.length > 0 ? found : names.fallback;
  return {
    ...step,
    verdict: 'opened',
    certificates: firstOfEachKind(shown.map((index) => shownAs(certificates[index]!, found.length > 0 ? serverName! : null))),
    why: found.length > 0 ? `for ${serverName}` : `${none}, so it is the first of the listener`,
  };
}

export function tlsLines({ verdict, alpn, minVersion, handshakes, certificates, why }: TlsStep): string[] {
  if (verdict === 'carried') return [`carried unopened: ${why}`];
  if (verdict === 'refused') return [`refused: ${why}`];
  const shown = certificates.map(({ name, key, fits }) => `${name} (${key}${fits === null ? '' : `, ${fits}`})`);
  const protocol = alpn === null ? '' : `, ${alpn}`;
  const { timeout, max } = handshakes!;
  return [
    `opened here with certificate ${shown.join(' or ')}: ${why}`,
    `TLS ${minVersion} at least${protocol}`,
    `within ${durationText(timeout * 1000)}, ${max === 0 ? 'any number of handshakes' : `at most ${max} handshakes`} at a time in each worker`,
  ];
}

function firstOfEachKind(certificates: readonly ShownCertificate[]): ShownCertificate[] {
  return certificates.filter(({ key }, i) => certificates.findIndex((other) => other.key === key) === i);
}

function shownAs({ name, names, chain, notAfterMs }: CertificatePlan, serverName: string | null): ShownCertificate {
  const fits =
    serverName === null ? null : names.includes(serverName) ? serverName : `*${serverName.slice(serverName.indexOf('.'))}`;
  return { name, key: kindOf(chain), fits, notAfter: new Date(notAfterMs).toISOString() };
}

const kinds: Readonly<Record<string, string>> = {
  ec: 'ECDSA',
  rsa: 'RSA',
  'rsa-pss': 'RSA-PSS',
  ed25519: 'Ed25519',
  ed448: 'Ed448',
};

function kindOf(chain: string): string {
  const kind = new X509Certificate(chain).publicKey.asymmetricKeyType ?? '';
  return kinds[kind] ?? kind;
}
