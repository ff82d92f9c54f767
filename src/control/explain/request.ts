/** The request, or connection, that is to be explained: checked, and the listener that would take it. */
import type { Address } from '../../base/wire.ts';
import { addressText } from '../../base/wire.ts';
import type { ListenerPlan, Plan } from '../../state/plan.ts';

/** TEST-NET-1 (RFC 5737): an address that no rule means by accident. */
export const CLIENT_DEFAULT = '192.0.2.1';
/** What a whole head may have by default is 32 KiB. */
const HEADERS_MAX = 100;

export interface ExplainRequest {
  method: string;
  /** In full: http, https; tcp and udp for connections and datagrams, "tcp://10.0.0.1:5432". */
  url: string;
  headers: [name: string, value: string][];
  /** Address of the TCP peer. */
  client: string;
  /** null: chosen by the port of the URL. */
  listener: string | null;
  /** The name that the client hello asks for; null: none, or no TLS; of https: the host. */
  sni: string | null;
  /** Protocols that the client hello offers; of https none: what browsers do. */
  alpn: string[];
  /** Unsigned 32-bit number that every draw gets; null: drawn. */
  random: number | null;
}

const keys: readonly string[] = ['method', 'url', 'headers', 'client', 'listener', 'sni', 'alpn', 'random'];
/** What a client offers has room for 64 KiB; real ones offer two or three. */
const PROTOCOLS_MAX = 64;

/** Checks what came as JSON. Returns what is wrong with it, as a sentence, when something is. */
export function explainRequest(body: unknown): ExplainRequest | string {
  if (typeof body !== 'object' || body === null || Array.isArray(body)) return 'expected an object with method and url';
  const unknownKey = Object.keys(body).find((key) => !keys.includes(key));
  if (unknownKey !== undefined) return `unknown key ${unknownKey}; known are ${keys.join(', ')}`;
  const {
    method = 'GET',
    url,
    headers = [],
    client = CLIENT_DEFAULT,
    listener = null,
    sni = null,
    alpn = [],
    random = null,
  } = body as Record<string, unknown>;
  // RFC 9110 §5.6.2.
  if (typeof method !== 'string' || !/^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}$/.test(method)) return 'method is no token';
  if (typeof url !== 'string' || !/^(https?:\/\/[^/?#\s]+[^\s\p{Cc}]*|(tcp|udp):\/\/[^/?#\s]+\/?)$/iu.test(url))
    return 'url is to be written in full, for example https://shop.example/ or tcp://10.0.0.1:5432';
  if (portOf(url) === null) return `the host of ${url} cannot be read`;
  const wrong = helloFault(url, sni, alpn);
  if (wrong !== null) return wrong;
  if (!Array.isArray(headers) || headers.length > HEADERS_MAX) return `headers is a list of at most ${HEADERS_MAX} pairs`;
  for (const pair of headers as unknown[]) {
    if (!Array.isArray(pair) || pair.length !== 2 || !pair.every((part) => typeof part === 'string'))
      return 'each of headers is a pair of name and value';
    const [name, value] = pair as [string, string];
    if (!/^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/.test(name)) return `'${name}' is no name of a header field`;
    if (/[\0\r\n]/.test(value)) return `the value of ${name} cannot stand in a header field`;
  }
  if (typeof client !== 'string') return 'client is an address';
  if (listener !== null && typeof listener !== 'string') return 'listener is a name';
  const isRandom = typeof random === 'number' && Number.isInteger(random) && random >= 0 && random < 2 ** 32;
  if (random !== null && !isRandom) return 'random is a whole number below 2^32';
  return {
    method,
    url,
    headers: headers as [string, string][],
    client,
    listener,
    sni: sni === null ? null : (sni as string).toLowerCase().replace(/\.$/, ''),
    alpn: alpn as string[],
    random: random as number | null,
  };
}

/** Is a connection asked about, or datagrams, and not a request? */
export function isStream(url: string): boolean {
  return /^(tcp|udp):/i.test(url);
}

/** Is TLS spoken before a request? */
export function isHttps(url: string): boolean {
  return /^https:/i.test(url);
}

function helloFault(url: string, sni: unknown, alpn: unknown): string | null {
  if (sni !== null && (typeof sni !== 'string' || !/^[\w.-]{1,253}$/.test(sni))) return 'sni is a name, for example shop.example';
  const isList = Array.isArray(alpn) && alpn.length <= PROTOCOLS_MAX;
  if (!isList || !alpn.every((name) => typeof name === 'string' && /^[\x21-\x7e]{1,255}$/.test(name)))
    return 'alpn is a list of protocols, for example ["h2"]';
  if (!isStream(url) && !isHttps(url) && (sni !== null || alpn.length > 0))
    return 'sni and alpn belong to TLS: https://HOST/ or tcp://HOST:PORT';
  return null;
}

const defaultPorts: Readonly<Record<string, number>> = { 'https:': 443, 'http:': 80 };

/** Port of a URL, the scheme's default when it names none, 0 where that has none; null when it cannot be read. */
function portOf(url: string): number | null {
  const parsed = URL.parse(url.slice(0, url.length - url.replace(/^[a-z]+:\/\/[^/?#]*/i, '').length));
  if (parsed === null || parsed.hostname === '') return null;
  return parsed.port === '' ? (defaultPorts[parsed.protocol] ?? 0) : Number(parsed.port);
}

/** What listeners take it, by the scheme of its URL. */
const takers: Readonly<Record<string, readonly ListenerPlan['protocol'][]>> = {
  http: ['http', 'auto'],
  https: ['http', 'auto'],
  tcp: ['tcp', 'auto'],
  udp: ['udp'],
};
const asked: Readonly<Record<string, string>> = { tcp: 'connections that are passed on', udp: 'datagrams' };

export interface ChosenListener {
  index: number;
  listener: ListenerPlan;
  /** Why this one. */
  why: string;
}

/** The listener that a connection to this URL reaches; a sentence when it cannot be told. */
export function chooseListener(plan: Plan, { url, listener: named }: ExplainRequest): ChosenListener | string {
  const { listeners } = plan;
  const scheme = /^[a-z]+/i.exec(url)![0].toLowerCase();
  const fits = ({ protocol }: ListenerPlan): boolean => takers[scheme]!.includes(protocol);
  const chosen = (index: number, why: string): ChosenListener | string => {
    const listener = listeners[index]!;
    const { protocol, name } = listener;
    return fits(listener)
      ? { index, listener, why }
      : `listener ${name} takes ${protocol}: it knows no ${asked[scheme] ?? 'requests'}`;
  };
  if (named !== null) {
    const index = listeners.findIndex(({ name }) => name === named);
    return index < 0 ? `there is no listener named ${named}; there are ${listing(listeners)}` : chosen(index, 'as asked');
  }
  const port = portOf(url)!;
  const host = URL.parse(url)?.hostname.replace(/^\[|\]$/g, '') ?? '';
  const onPort = (address: Address): boolean => address.kind === 'ip' && address.port === port;
  const isExact = ({ addresses }: ListenerPlan): boolean =>
    addresses.some((a) => onPort(a) && a.kind === 'ip' && a.host === host);
  const isThere = ({ addresses }: ListenerPlan): boolean => addresses.some(onPort);
  // A TCP and a UDP listener may share an address.
  const first = (is: (listener: ListenerPlan) => boolean): number => {
    const fitting = listeners.findIndex((listener) => is(listener) && fits(listener));
    return fitting >= 0 ? fitting : listeners.findIndex(is);
  };
  // The kernel prefers the socket that is bound to the very address.
  const exact = first(isExact);
  if (exact >= 0) return chosen(exact, `address ${host} port ${port}`);
  const found = first(isThere);
  if (found >= 0) return chosen(found, `port ${port}`);
  if (listeners.length === 1) return chosen(0, 'the only one');
  return `${port === 0 ? `${url} names no port` : `no listener is on port ${port}`}; there are ${listing(listeners)}; say which (--listener)`;
}

function listing(listeners: readonly ListenerPlan[]): string {
  return listeners.map(({ name, addresses }) => `${name} (${addresses.map(addressText).join(', ')})`).join(', ');
}
