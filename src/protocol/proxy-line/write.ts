/** Writer of the PROXY protocol: what an endpoint is told of the client. */
import type { ClientAddress } from '../../base/client-address.ts';
import { crc32c } from './crc32c.ts';
import { tlv, V1_BYTES_MAX } from './read.ts';

/** Room that every line written here fits into: authority and ALPN are cut at 255 bytes. */
export const WRITE_BYTES_MAX = 16 + 36 + 3 + 255 + 3 + 255 + 3 + 8 + 7;

/** What is told besides the addresses. Empty texts are left out. */
export interface ProxyLineFacts {
  /** Host name the client asked for (SNI). */
  authority: string;
  alpn: string;
  /** The client came by TLS. */
  isSecure: boolean;
}

/**
 * Writes a line into bytes[at, ...) and returns its end. `version` 1 or 2. Without both addresses it is UNKNOWN, or LOCAL with a family of none; with one of
 * each family both are written as IPv6.
 */
export function writeProxyLine(
  bytes: Uint8Array,
  at: number,
  version: number,
  client: ClientAddress,
  server: ClientAddress,
  facts: ProxyLineFacts | null,
): number {
  const isKnown = client.family !== 0 && server.family !== 0;
  const family = client.family === 6 || server.family === 6 ? 6 : 4;
  const textOf = (address: ClientAddress): string => (address.family === family ? address.text : `::ffff:${address.text}`);
  if (version === 1) {
    const text = isKnown
      ? `PROXY TCP${family} ${textOf(client)} ${textOf(server)} ${client.port} ${server.port}\r\n`
      : 'PROXY UNKNOWN\r\n';
    return writeText(bytes, at, text, V1_BYTES_MAX);
  }
  const start = at;
  bytes.set(SIGNATURE, at);
  bytes[at + 12] = isKnown ? 0x21 : 0x20;
  bytes[at + 13] = !isKnown ? 0x00 : family === 4 ? 0x11 : 0x21;
  at += 16;
  if (isKnown) {
    const size = family === 4 ? 4 : 16;
    at = client.writeBinary(bytes, at, size);
    at = server.writeBinary(bytes, at, size);
    at = writePort(bytes, at, client.port);
    at = writePort(bytes, at, server.port);
    if (facts !== null) {
      at = writeValue(bytes, at, tlv.authority, facts.authority);
      at = writeValue(bytes, at, tlv.alpn, facts.alpn);
      if (facts.isSecure) {
        // PP2_CLIENT_SSL, and a verify result that says: no certificate was asked for.
        bytes.set([tlv.ssl, 0, 5, 1, 0, 0, 0, 1], at);
        at += 8;
      }
    }
    const hole = at + 3;
    bytes.set([tlv.crc32c, 0, 4, 0, 0, 0, 0], at);
    at += 7;
    writeLength(bytes, start, at);
    const sum = crc32c(bytes, start, at, hole);
    for (let i = 0; i < 4; i++) bytes[hole + i] = (sum >>> (24 - 8 * i)) & 255;
  } else writeLength(bytes, start, at);
  return at;
}

const SIGNATURE = Uint8Array.of(0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a);

function writeLength(bytes: Uint8Array, start: number, end: number): void {
  writePort(bytes, start + 14, end - start - 16);
}

function writePort(bytes: Uint8Array, at: number, value: number): number {
  bytes[at] = value >> 8;
  bytes[at + 1] = value & 255;
  return at + 2;
}

function writeValue(bytes: Uint8Array, at: number, type: number, text: string): number {
  if (text === '') return at;
  const size = Math.min(255, text.length);
  bytes[at] = type;
  writePort(bytes, at + 1, size);
  return writeText(bytes, at + 3, text, size);
}

function writeText(bytes: Uint8Array, at: number, text: string, max: number): number {
  const size = Math.min(max, text.length);
  for (let i = 0; i < size; i++) bytes[at + i] = text.charCodeAt(i) & 255;
  return at + size;
}
