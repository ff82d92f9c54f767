/** Addresses as a config writes them: where to listen, where endpoints are, ranges of clients. Nothing is resolved here. */
import { ClientAddress } from '../../base/client-address.ts';
import type { Address } from '../../base/wire.ts';
import type { Cidr } from '../../state/plan.ts';
import { bad, good, type Read } from './units.ts';

export const LISTEN_EXPECTED =
  'expected an address to listen on, for example :443, 127.0.0.1:8080, [::]:80, unix:/run/weir.sock or systemd:web';
export const ENDPOINT_EXPECTED =
  'expected the address of an endpoint, for example 10.0.0.1:8080, [::1]:8080, app.internal:8080 or unix:/run/app.sock';
export const CIDR_EXPECTED = 'expected an address or range, for example 10.0.0.0/8, 2001:db8::/32, private or loopback';

/** sun_path holds 108 bytes with its NUL (unix(7)). */
const UNIX_PATH_BYTES_MAX = 107;

/** ":8080" is all addresses, IPv4 and IPv6: host "::". */
export function readListen(text: string): Read<Address> {
  if (text.startsWith('unix:')) return readUnix(text, LISTEN_EXPECTED);
  const found = /^(?:\[([^\]]*)\]|([^:]*)):([0-9]{1,5})$/.exec(text);
  if (!found) {
    if (/^[0-9]{1,5}$/.test(text) && Number(text) <= 65535) return bad(LISTEN_EXPECTED, `did you mean ":${text}"?`);
    const url = /^https?:\/\/([^/]+)\/?$/.exec(text);
    return bad(LISTEN_EXPECTED, url ? `did you mean ${url[1]}?` : besideHelp(text));
  }
  const port = Number(found[3]);
  if (port > 65535) return bad('a port is 65535 at most');
  const host = found[1] ?? found[2];
  if (host === '' || host === '*') return found[1] === '' ? bad(LISTEN_EXPECTED) : good({ kind: 'ip', host: '::', port });
  if (host === 'localhost') return good({ kind: 'ip', host: '127.0.0.1', port });
  const literal = readLiteral(host, found[1] !== undefined);
  return literal === null
    ? bad(LISTEN_EXPECTED, besideHelp(text) ?? 'to listen, name an address of this machine, not a host name')
    : good({ kind: 'ip', host: literal, port });
}

/** What HAProxy, nginx and Envoy write beside an address. */
function besideHelp(text: string): string | undefined {
  const [, scheme, rest] = /^(tcp|udp)(?::\/\/|\/)(.*)$/.exec(text) ?? [];
  if (scheme !== undefined) return `did you mean ${rest}, with protocol: ${scheme} beside it?`;
  const words = text.trim().split(/\s+/);
  return words.length > 1 ? `write ${words[0]} alone; protocol, tls and proxyProtocol are keys beside listen` : undefined;
}

export interface EndpointAddress {
  /** As in the file, in one spelling. */
  text: string;
  /** null for a host name, which is resolved later. */
  resolved: Address | null;
}

export function readEndpoint(text: string): Read<EndpointAddress> {
  if (text.startsWith('unix:')) {
    const path = readUnix(text, ENDPOINT_EXPECTED);
    return path.ok ? good({ text, resolved: path.value }) : path;
  }
  const url = /^(https?|tcp|udp|h2c):\/\/([^/]+)(\/.*)?$/.exec(text);
  if (url) {
    const port = /:[0-9]+$/.test(url[2]) ? '' : url[1] === 'https' ? ':443' : ':80';
    return bad(ENDPOINT_EXPECTED, `did you mean ${url[2]}${port}?`);
  }
  const found = /^(?:\[([^\]]*)\]|([^:]+)):([0-9]{1,5})$/.exec(text);
  if (!found) {
    if (/^:[0-9]{1,5}$/.test(text)) return bad(ENDPOINT_EXPECTED, `did you mean 127.0.0.1${text}?`);
    if (/^\S+\s/.test(text))
      return bad(
        ENDPOINT_EXPECTED,
        'what else there is to say of it takes a map, for example { address: "10.0.0.1:8080", weight: 2 }',
      );
    if (/^[0-9]{1,5}$/.test(text)) return bad(ENDPOINT_EXPECTED, `did you mean 127.0.0.1:${text}?`);
    if (readLiteral(text, true) !== null && text.includes(':')) return bad(ENDPOINT_EXPECTED, `did you mean [${text}]:80?`);
    return bad(ENDPOINT_EXPECTED, isHostName(text) || readLiteral(text, false) !== null ? `did you mean ${text}:80?` : undefined);
  }
  const port = Number(found[3]);
  if (port > 65535 || port === 0) return bad('the port of an endpoint is 1 to 65535');
  if (found[1] !== undefined) {
    const literal = readLiteral(found[1], true);
    return literal === null
      ? bad(ENDPOINT_EXPECTED)
      : good({ text: `[${literal}]:${port}`, resolved: { kind: 'ip', host: literal, port } });
  }
  const host = found[2].toLowerCase();
  const literal = readLiteral(host, false);
  if (literal !== null) return good({ text: `${literal}:${port}`, resolved: { kind: 'ip', host: literal, port } });
  if (!isHostName(host)) return bad(ENDPOINT_EXPECTED);
  // RFC 6761 §6.3: localhost is always loopback, so nobody has to be asked.
  const resolved: Address | null = host === 'localhost' ? { kind: 'ip', host: '127.0.0.1', port } : null;
  return good({ text: `${host}:${port}`, resolved });
}

/** Does a `to:` mean an address rather than the name of a pool? Names hold neither of these signs. */
export function looksLikeAddress(text: string): boolean {
  return text.includes(':') || text.includes('/');
}

/** Words for ranges that people would otherwise have to look up. */
export const rangeWords: Readonly<Record<string, readonly string[]>> = Object.freeze({
  loopback: ['127.0.0.0/8', '::1/128'],
  // RFC 1918, RFC 6598 (carrier NAT), RFC 4193, link-local and loopback.
  private: [
    '10.0.0.0/8',
    '172.16.0.0/12',
    '192.168.0.0/16',
    '100.64.0.0/10',
    'fc00::/7',
    '169.254.0.0/16',
    'fe80::/10',
    '127.0.0.0/8',
    '::1/128',
  ],
  all: ['0.0.0.0/0', '::/0'],
});

export function readRange(text: string): Read<Cidr[]> {
  const word = Object.hasOwn(rangeWords, text) ? rangeWords[text] : [text];
  const ranges: Cidr[] = [];
  for (const range of word) {
    const slash = range.indexOf('/');
    const bytes = literalBytes(slash < 0 ? range : range.slice(0, slash));
    if (bytes === null) return bad(CIDR_EXPECTED);
    const width = bytes.length * 8;
    const bitsText = slash < 0 ? String(width) : range.slice(slash + 1);
    const bits = /^[0-9]{1,3}$/.test(bitsText) ? Number(bitsText) : -1;
    if (bits < 0 || bits > width) return bad(`the length of this range is 0 to ${width}`);
    const network = bytes.map((byte, i) => byte & (0xff00 >> Math.min(8, Math.max(0, bits - i * 8))) & 0xff);
    if (network.some((byte, i) => byte !== bytes[i]))
      return bad('bits are set after the length of this range', `did you mean ${literalText(network)}/${bits}?`);
    ranges.push({ bytes, bits });
  }
  return good(ranges);
}

const address = new ClientAddress();

/** The literal in its one spelling, or null. */
function readLiteral(text: string, isV6: boolean): string | null {
  if (text.includes(':') !== isV6) return null;
  if (!address.set(text) || address.port !== 0) return null;
  return address.text;
}

/** An IP address alone, in its one spelling; null when it is none. */
export function readAddress(text: string): string | null {
  return /[[\]]/.test(text) ? null : readLiteral(text, text.includes(':'));
}

function literalBytes(text: string): number[] | null {
  if (/[[\]]/.test(text) || (!text.includes(':') && !/^[0-9.]+$/.test(text)) || !address.set(text) || address.port !== 0)
    return null;
  const words = address.family === 4 ? [address.word3] : [address.word0, address.word1, address.word2, address.word3];
  return words.flatMap((word) => [word >>> 24, (word >>> 16) & 255, (word >>> 8) & 255, word & 255]);
}

function literalText(bytes: readonly number[]): string {
  if (bytes.length === 4) return bytes.join('.');
  const groups = Array.from({ length: 8 }, (_, i) => ((bytes[i * 2] << 8) | bytes[i * 2 + 1]).toString(16)).join(':');
  return address.set(groups) ? address.text : groups;
}

function readUnix(text: string, expected: string): Read<Address> {
  const path = text.slice(5);
  if (path === '' || path.includes('\0')) return bad(expected);
  if (Buffer.byteLength(path) > UNIX_PATH_BYTES_MAX)
    return bad(`the path of a unix socket has ${UNIX_PATH_BYTES_MAX} bytes at most`);
  return good({ kind: 'unix', path });
}

/** RFC 1123 §2.1, with the underscores that service names use; not all digits and dots. */
export function isHostName(text: string): boolean {
  return (
    text.length <= 253 &&
    /^(?=.*[a-z])[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9])?(\.[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9])?)*\.?$/i.test(text)
  );
}
