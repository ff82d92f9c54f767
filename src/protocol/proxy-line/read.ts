/**
 * Reader of the PROXY protocol, versions 1 and 2 (https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt): the first bytes of a connection, in which a
 * balancer in front says whose connection it really is. Only to be asked of peers that are trusted to say so.
 *
 * Rules
 * 1. Strict: what the specification does not allow is a reason, never a guess. Version 1 takes single spaces, decimal numbers without leading
 *    zeros, CRLF. Version 2 takes lengths that add up, and a right checksum where one is given.
 * 2. LOCAL, UNKNOWN and families other than IPv4 and IPv6 keep the peer's own address.
 * 3. It asks for nothing beyond its own last byte: what follows belongs to the connection.
 */
import type { ClientAddress } from '../../base/client-address.ts';
import { crc32c } from './crc32c.ts';

/** Returned by read() besides lengths: more bytes are needed. */
export const MORE = 0;
/** Returned by read(): the bytes do not begin as either version does. */
export const NOT_THERE = -1;
/** Returned by read(): they do, and then break its rules; `reason` says how. */
export const BAD = -2;

/** "PROXY TCP6 ... \r\n": the longest a version 1 line may be (§2.1). */
export const V1_BYTES_MAX = 107;
/** Header, addresses and TLVs of version 2: enough for a certificate's names, and no room to hold a listener up with. */
export const V2_BYTES_MAX = 16 + 536;

/** Types of the values behind the addresses (§2.2). */
export const tlv = Object.freeze({
  alpn: 0x01,
  authority: 0x02,
  crc32c: 0x03,
  noop: 0x04,
  uniqueId: 0x05,
  ssl: 0x20,
  netns: 0x30,
});

const SIGNATURE = Uint8Array.of(0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a);
const V1_START = Uint8Array.from('PROXY ', (c) => c.charCodeAt(0));
const SPACE = 32;
const CR = 13;
const LF = 10;

export class ProxyLineReader {
  /** 1 or 2 after a line was read. */
  version = 0;
  /** The line names no other client: a health check of the balancer itself (LOCAL), an unknown family. */
  isLocal = false;
  /** What the client asked its side for, as far as the line tells; '' when not. */
  authority = '';
  alpn = '';
  /** The client came by TLS. */
  isSecure = false;
  /** Why the last read was BAD. */
  reason = '';

  /**
   * Reads bytes[start, end). Returns the length of the line (> 0), and then `client` and `server` hold the addresses unless isLocal; or MORE, NOT_THERE, BAD.
   * Call it again with the same start and more bytes.
   */
  read(bytes: Uint8Array, start: number, end: number, client: ClientAddress, server: ClientAddress): number {
    this.version = 0;
    this.isLocal = false;
    this.authority = this.alpn = this.reason = '';
    this.isSecure = false;
    const length = end - start;
    if (length === 0) return MORE;
    const isV2 = bytes[start] === SIGNATURE[0];
    const sign = isV2 ? SIGNATURE : V1_START;
    for (let i = 0; i < sign.length && i < length; i++) if (bytes[start + i] !== sign[i]) return NOT_THERE;
    if (length < sign.length) return MORE;
    return isV2 ? this.readV2(bytes, start, end, client, server) : this.readV1(bytes, start, end, client, server);
  }

  private bad(reason: string): number {
    this.reason = reason;
    return BAD;
  }
  private wrong(reason: string): false {
    this.reason = reason;
    return false;
  }

  private readV1(bytes: Uint8Array, start: number, end: number, client: ClientAddress, server: ClientAddress): number {
    const limit = Math.min(end, start + V1_BYTES_MAX);
    let cr = start + V1_START.length;
    while (cr < limit && bytes[cr] !== CR) {
      if (bytes[cr]! < SPACE || bytes[cr]! > 126) return this.bad('a byte that is not printable in a version 1 line');
      cr++;
    }
    if (cr >= start + V1_BYTES_MAX - 1) return this.bad('a version 1 line of more than 107 bytes');
    if (cr + 1 >= end) return MORE;
    if (bytes[cr + 1] !== LF) return this.bad('a version 1 line that does not end in CRLF');
    this.version = 1;
    const length = cr + 2 - start;
    const text = latin1(bytes, start + V1_START.length, cr);
    if (text === 'UNKNOWN' || text.startsWith('UNKNOWN ')) {
      this.isLocal = true;
      return length;
    }
    const [family, from, to, fromPort, toPort, ...more] = text.split(' ');
    const wanted = family === 'TCP4' ? 4 : family === 'TCP6' ? 6 : 0;
    if (wanted === 0) return this.bad('a version 1 line of a family other than TCP4, TCP6 and UNKNOWN');
    if (toPort === undefined || more.length > 0) return this.bad('a version 1 line without two addresses and two ports');
    if (!isPort(fromPort!) || !isPort(toPort)) return this.bad('a version 1 line with a bad port');
    if (!take(client, from!, fromPort!, wanted) || !take(server, to!, toPort, wanted))
      return this.bad('a version 1 line with an address that is none of its family');
    return length;
  }

  private readV2(bytes: Uint8Array, start: number, end: number, client: ClientAddress, server: ClientAddress): number {
    if (end - start < 16) return MORE;
    const versionAndCommand = bytes[start + 12]!;
    if (versionAndCommand >> 4 !== 2) return this.bad('a version other than 2 behind the signature of version 2');
    const command = versionAndCommand & 15;
    if (command > 1) return this.bad('a command other than LOCAL and PROXY');
    const family = bytes[start + 13]! >> 4;
    const transport = bytes[start + 13]! & 15;
    if (family > 3 || transport > 2) return this.bad('an unknown family or transport');
    const length = 16 + ((bytes[start + 14]! << 8) | bytes[start + 15]!);
    if (length > V2_BYTES_MAX) return this.bad(`a version 2 header of more than ${V2_BYTES_MAX} bytes`);
    if (end - start < length) return MORE;
    this.version = 2;
    let at = start + 16;
    const stop = start + length;
    const size = family === 1 ? 12 : family === 2 ? 36 : family === 3 ? 216 : 0;
    if (command === 0 || family === 0 || family === 3) {
      this.isLocal = true;
      // What LOCAL carries is to be skipped unread (§2.2).
      if (command === 0 || family === 0) return length;
    }
    if (stop - at < size) return this.bad('a version 2 header that is too short for its addresses');
    if (family === 1) {
      takeBytes(client, bytes, at, 4, at + 8);
      takeBytes(server, bytes, at + 4, 4, at + 10);
    } else if (family === 2) {
      takeBytes(client, bytes, at, 16, at + 32);
      takeBytes(server, bytes, at + 16, 16, at + 34);
    }
    at += size;
    return this.readValues(bytes, start, at, stop) ? length : BAD;
  }

  private readValues(bytes: Uint8Array, start: number, from: number, stop: number): boolean {
    for (let at = from; at < stop; ) {
      if (stop - at < 3) return this.wrong('a value that is cut off');
      const type = bytes[at]!;
      const size = (bytes[at + 1]! << 8) | bytes[at + 2]!;
      at += 3;
      if (stop - at < size) return this.wrong('a value that is longer than its header');
      if (type === tlv.authority) this.authority = latin1(bytes, at, at + size);
      else if (type === tlv.alpn) this.alpn = latin1(bytes, at, at + size);
      else if (type === tlv.ssl) this.isSecure = size > 0 && (bytes[at]! & 1) !== 0;
      else if (type === tlv.crc32c) {
        if (size !== 4) return this.wrong('a checksum that is not four bytes');
        const told = ((bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!) >>> 0;
        if (crc32c(bytes, start, stop, at) !== told) return this.wrong('a wrong checksum');
      }
      at += size;
    }
    return true;
  }
}

function isPort(text: string): boolean {
  return /^(?:0|[1-9][0-9]{0,4})$/.test(text) && Number(text) < 65536;
}

/** A bare address of the family; an IPv4-mapped one in a TCP6 line is IPv4 from here on, as everywhere. */
function take(address: ClientAddress, text: string, port: string, family: number): boolean {
  if (text.includes('[') || text.includes(':') !== (family === 6) || !address.set(text)) return false;
  address.port = Number(port);
  return true;
}

function takeBytes(address: ClientAddress, bytes: Uint8Array, at: number, size: number, portAt: number): void {
  address.setBinary(bytes, at, size, (bytes[portAt]! << 8) | bytes[portAt + 1]!);
}

function latin1(bytes: Uint8Array, start: number, end: number): string {
  let text = '';
  for (let i = start; i < end; i++) text += String.fromCharCode(bytes[i]!);
  return text;
}
