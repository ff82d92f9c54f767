/**
 * socket-address: addresses between text, base/wire.ts's Address, and the kernel's sockaddr.
 * Text of IPv6 is RFC 5952 (shortest, lower case). A unix path that begins with "@" is in the abstract namespace (unix(7)).
 */
import { endianness } from 'node:os';
import type { ClientAddress } from '../base/client-address.ts';
import { type Address, addressText } from '../base/wire.ts';
import {
  AF_INET,
  AF_INET6,
  AF_UNIX,
  sockaddr_in_BYTES,
  sockaddr_in6_BYTES,
  sockaddr_un_sun_path,
} from './constants.generated.ts';

/** Longest sockaddr handled: sockaddr_un. */
export const SOCKADDR_BYTES_MAX = 110;
/** Longest unix path: 107 bytes and a NUL. */
export const UNIX_PATH_BYTES_MAX = 107;

const isLittle = endianness() === 'LE';

/** An address that cannot be put into a sockaddr: a bug of the caller or a wrong configuration. */
export class AddressError extends Error {
  override name = 'AddressError';
}

/** Writes four bytes of "192.0.2.1"; false when it is not an IPv4 address. No octal, no short forms. */
function writeIpv4(host: string, bytes: Uint8Array, at: number): boolean {
  const parts = host.split('.');
  if (parts.length !== 4) return false;
  for (let i = 0; i < 4; i++) {
    const part = parts[i]!;
    if (!/^(0|[1-9]\d{0,2})$/.test(part) || Number(part) > 255) return false;
    bytes[at + i] = Number(part);
  }
  return true;
}

/** Writes sixteen bytes of an IPv6 address (RFC 4291 §2.2, with an embedded IPv4 tail too); false when it is none. */
function writeIpv6(host: string, bytes: Uint8Array, at: number): boolean {
  let text = host;
  const lastColon = text.lastIndexOf(':');
  if (lastColon < 0) return false;
  if (text.includes('.')) {
    const tail = new Uint8Array(4);
    if (!writeIpv4(text.slice(lastColon + 1), tail, 0)) return false;
    const group = (i: number) => ((tail[i]! << 8) | tail[i + 1]!).toString(16);
    text = `${text.slice(0, lastColon + 1)}${group(0)}:${group(2)}`;
  }
  const halves = text.split('::');
  if (halves.length > 2) return false;
  const groupsOf = (half: string) => (half === '' ? [] : half.split(':'));
  const left = groupsOf(halves[0]!);
  const right = halves.length === 2 ? groupsOf(halves[1]!) : [];
  const missing = 8 - left.length - right.length;
  if (halves.length === 2 ? missing < 1 : missing !== 0) return false;
  const groups = [...left, ...new Array<string>(missing).fill('0'), ...right];
  for (let i = 0; i < 8; i++) {
    if (!/^[0-9a-fA-F]{1,4}$/.test(groups[i]!)) return false;
    const value = Number.parseInt(groups[i]!, 16);
    bytes[at + 2 * i] = value >> 8;
    bytes[at + 2 * i + 1] = value & 255;
  }
  return true;
}

function readIpv6(bytes: Uint8Array, at: number): string {
  // Mapped IPv4 is shown as people know it (RFC 5952 §5).
  let isMapped = bytes[at + 10] === 255 && bytes[at + 11] === 255;
  for (let i = 0; i < 10; i++) if (bytes[at + i] !== 0) isMapped = false;
  if (isMapped) return '::ffff:' + bytes.subarray(at + 12, at + 16).join('.');
  const groups: number[] = [];
  for (let i = 0; i < 8; i++) groups.push((bytes[at + 2 * i]! << 8) | bytes[at + 2 * i + 1]!);
  // The longest run of at least two zero groups, the first of equals, becomes "::" (RFC 5952 §4.2).
  let runStart = -1;
  let runLength = 1;
  for (let i = 0; i < 8; i++) {
    let length = 0;
    while (i + length < 8 && groups[i + length] === 0) length++;
    if (length > runLength) {
      runStart = i;
      runLength = length;
    }
    i += length;
  }
  const text = (from: number, to: number) =>
    groups
      .slice(from, to)
      .map((group) => group.toString(16))
      .join(':');
  return runStart < 0 ? text(0, 8) : `${text(0, runStart)}::${text(runStart + runLength, 8)}`;
}

function writeFamily(family: number, bytes: Uint8Array, at: number): void {
  bytes[at] = isLittle ? family & 255 : family >> 8;
  bytes[at + 1] = isLittle ? family >> 8 : family & 255;
}

/** AF_INET, AF_INET6 or AF_UNIX. */
export function familyOf(address: Address): number {
  if (address.kind === 'unix') return AF_UNIX;
  return address.host.includes(':') ? AF_INET6 : AF_INET;
}

/** Writes the sockaddr of `address` at bytes[at]; returns its length. Throws AddressError. */
export function encodeAddress(address: Address, bytes: Uint8Array, at: number): number {
  bytes.fill(0, at, at + SOCKADDR_BYTES_MAX);
  writeFamily(familyOf(address), bytes, at);
  if (address.kind === 'unix') {
    const path = Buffer.from(address.path, 'utf8');
    if (path.length === 0 || path.length > UNIX_PATH_BYTES_MAX || path.includes(0)) {
      throw new AddressError(`a unix path has 1 to ${UNIX_PATH_BYTES_MAX} bytes, no NUL: "${address.path}"`);
    }
    bytes.set(path, at + sockaddr_un_sun_path);
    // An abstract name is as long as the length says; a path ends with a NUL.
    if (path[0] !== 0x40) return sockaddr_un_sun_path + path.length + 1;
    bytes[at + sockaddr_un_sun_path] = 0;
    return sockaddr_un_sun_path + path.length;
  }
  const { host, port } = address;
  if (!Number.isInteger(port) || port < 0 || port > 65535) throw new AddressError(`a port is 0 to 65535, not ${port}`);
  bytes[at + 2] = port >> 8;
  bytes[at + 3] = port & 255;
  if (host.includes(':')) {
    const percent = host.indexOf('%');
    const scope = percent < 0 ? '0' : host.slice(percent + 1);
    if (!/^\d{1,9}$/.test(scope) || !writeIpv6(percent < 0 ? host : host.slice(0, percent), bytes, at + 8)) {
      throw new AddressError(`not an IPv6 address: "${host}"`);
    }
    new DataView(bytes.buffer, bytes.byteOffset).setUint32(at + 24, Number(scope), isLittle);
    return sockaddr_in6_BYTES;
  }
  if (!writeIpv4(host, bytes, at + 4)) throw new AddressError(`not an IPv4 address: "${host}"`);
  return sockaddr_in_BYTES;
}

function readFamily(bytes: Uint8Array, at: number): number {
  return isLittle ? bytes[at]! | (bytes[at + 1]! << 8) : (bytes[at]! << 8) | bytes[at + 1]!;
}

function readPort(bytes: Uint8Array, at: number): number {
  return (bytes[at + 2]! << 8) | bytes[at + 3]!;
}

/** Reads the address in bytes[at, at + length) into numbers. A unix socket is its text, "unix:" where it has no name. */
export function readAddress(bytes: Uint8Array, at: number, length: number, into: ClientAddress): void {
  const family = length < 2 ? 0 : readFamily(bytes, at);
  if (family === AF_INET) into.setBinary(bytes, at + 4, 4, readPort(bytes, at));
  else if (family === AF_INET6) into.setBinary(bytes, at + 8, 16, readPort(bytes, at));
  else into.set(textOf(decodeAddress(bytes, at, length)));
}

/** "192.0.2.1:4711", "[::1]:80", "unix:/path", "unix:" for no name. */
export function textOf(address: Address | null): string {
  return address === null ? 'unix:' : addressText(address);
}

/** The Address in bytes[at, at + length), or null when its family is another or it has no name. */
export function decodeAddress(bytes: Uint8Array, at: number, length: number): Address | null {
  if (length < 2) return null;
  const family = readFamily(bytes, at);
  const port = readPort(bytes, at);
  if (family === AF_INET) {
    return { kind: 'ip', host: `${bytes[at + 4]}.${bytes[at + 5]}.${bytes[at + 6]}.${bytes[at + 7]}`, port };
  }
  if (family === AF_INET6) {
    const scope = new DataView(bytes.buffer, bytes.byteOffset).getUint32(at + 24, isLittle);
    return { kind: 'ip', host: readIpv6(bytes, at + 8) + (scope === 0 ? '' : `%${scope}`), port };
  }
  if (family !== AF_UNIX || length <= sockaddr_un_sun_path) return null;
  const path = bytes.subarray(at + sockaddr_un_sun_path, at + length);
  if (path[0] === 0) return { kind: 'unix', path: '@' + Buffer.from(path.subarray(1)).toString('utf8') };
  const end = path.indexOf(0);
  return { kind: 'unix', path: Buffer.from(end < 0 ? path : path.subarray(0, end)).toString('utf8') };
}
