/**
 * client-hello: what a TLS client says before anything is encrypted: the name it asks for and the protocols it speaks (RFC 8446 §4.1.2, RFC 6066 §3,
 * RFC 7301). For routing without terminating; nothing is changed, nothing of TLS is decided here. Pure.
 *
 * Rules
 * 1. The hello may come in pieces: over segments, over several handshake records. It is read again from the start with each piece, up to HELLO_BYTES_MAX.
 * 2. Unknown extensions, versions and GREASE values (RFC 8701) are skipped. With Encrypted Client Hello the name is the outer one (the public name of
 *    the provider); `hasEncryptedHello` says so.
 * 3. A name is letters, digits, '-', '_' and '.', lower-cased, at most 253 characters, without the trailing dot; anything else (NUL, spaces, addresses in
 *    brackets) is BAD: it would be compared with names of the configuration.
 */

import { TICKET_NAME_BYTES } from '../../base/ticket-key.ts';

/** Returned by read() besides lengths: more bytes are needed. */
export const MORE = 0;
/** Returned by read(): this is not the beginning of a TLS handshake. */
export const NOT_TLS = -1;
/** Returned by read(): it is, and then breaks the rules; `reason` says how. */
export const BAD = -2;

/** Largest hello that is read, records counted. With post-quantum key shares and a ticket they are some 2 KiB. */
export const HELLO_BYTES_MAX = 16 * 1024;

const HANDSHAKE = 22;
const CLIENT_HELLO = 1;
/** Plaintext of one record (RFC 8446 §5.1). */
const RECORD_BYTES_MAX = 1 << 14;
const NAME_CHARS_MAX = 253;
const extension = Object.freeze({ serverName: 0, alpn: 16, sessionTicket: 35, preSharedKey: 41, encryptedHello: 0xfe0d });

export class ClientHelloReader {
  /** Lower-case; '' when the client names none. */
  serverName = '';
  /** As offered, in the client's order. GREASE entries are left out. */
  readonly alpn: string[] = [];
  hasEncryptedHello = false;
  /** It comes with a session ticket (RFC 5077, or the first identity of RFC 8446 §4.2.11), and this is how that begins. */
  hasTicket = false;
  readonly ticketName = new Uint8Array(TICKET_NAME_BYTES);
  /** Why the last read was BAD. */
  reason = '';
  private readonly hello = new Uint8Array(HELLO_BYTES_MAX);

  /**
   * Reads bytes[start, end). Returns the length of the records that hold the hello (> 0), MORE, NOT_TLS or BAD. Call it again with the same start and more
   * bytes; they stay with the caller.
   */
  read(bytes: Uint8Array, start: number, end: number): number {
    this.serverName = this.reason = '';
    this.alpn.length = 0;
    this.hasEncryptedHello = this.hasTicket = false;
    const { hello } = this;
    let size = 0;
    let wanted = -1;
    let at = start;
    while (wanted < 0 || size < wanted) {
      if (at === end) return MORE;
      if (bytes[at] !== HANDSHAKE) return at === start ? NOT_TLS : this.bad('another record inside the hello');
      if (at + 1 < end && bytes[at + 1] !== 3) return at === start ? NOT_TLS : this.bad('a record of another version');
      if (end - at < 5) return MORE;
      const length = (bytes[at + 3]! << 8) | bytes[at + 4]!;
      if (length === 0 || length > RECORD_BYTES_MAX) return this.bad('a record of a length that is not allowed');
      const have = Math.min(length, end - at - 5);
      if (size + have > HELLO_BYTES_MAX) return this.bad(`a hello of more than ${HELLO_BYTES_MAX} bytes`);
      hello.set(bytes.subarray(at + 5, at + 5 + have), size);
      size += have;
      if (size >= 1 && hello[0] !== CLIENT_HELLO) return this.bad('a handshake that does not begin with a hello');
      if (wanted < 0 && size >= 4) {
        wanted = 4 + ((hello[1]! << 16) | (hello[2]! << 8) | hello[3]!);
        if (wanted > HELLO_BYTES_MAX) return this.bad(`a hello of more than ${HELLO_BYTES_MAX} bytes`);
      }
      if (have < length && (wanted < 0 || size < wanted)) return MORE;
      at += 5 + have;
    }
    return this.parse(hello, 4, wanted) ? at - start : BAD;
  }

  private bad(reason: string): number {
    this.reason = reason;
    return BAD;
  }
  private wrong(reason: string): false {
    this.reason = reason;
    return false;
  }

  private parse(b: Uint8Array, from: number, end: number): boolean {
    // Version, random.
    let at = from + 34;
    at = skip(b, at, end, 1);
    at = skip(b, at, end, 2);
    at = skip(b, at, end, 1);
    if (at < 0) return this.wrong('a hello that is cut off');
    // SSL 3 and early TLS 1.0 clients send no extensions.
    if (at === end) return true;
    if (end - at < 2 || at + 2 + u16(b, at) !== end) return this.wrong('extensions of another length than said');
    at += 2;
    let seen = 0;
    while (at < end) {
      if (end - at < 4) return this.wrong('an extension that is cut off');
      const type = u16(b, at);
      const stop = at + 4 + u16(b, at + 2);
      at += 4;
      if (stop > end) return this.wrong('an extension that is longer than the hello');
      if (type === extension.serverName || type === extension.alpn) {
        const bit = type === extension.alpn ? 2 : 1;
        if ((seen & bit) !== 0) return this.wrong('an extension that comes twice');
        seen |= bit;
        if (!(type === extension.alpn ? this.readAlpn(b, at, stop) : this.readName(b, at, stop))) return false;
      } else if (type === extension.encryptedHello) this.hasEncryptedHello = true;
      else if (type === extension.sessionTicket) this.readTicket(b, at, stop);
      // Behind the length of all identities and that of the first one.
      else if (type === extension.preSharedKey) this.readTicket(b, at + 4, Math.min(stop, at + 4 + u16(b, at + 2)));
      at = stop;
    }
    return true;
  }

  private readName(b: Uint8Array, from: number, end: number): boolean {
    if (end - from < 5 || from + 2 + u16(b, from) !== end || b[from + 2] !== 0 || from + 5 + u16(b, from + 3) !== end)
      return this.wrong('a server name extension that is malformed');
    let name = '';
    for (let i = from + 5; i < end; i++) {
      const c = b[i]! >= 65 && b[i]! <= 90 ? b[i]! + 32 : b[i]!;
      const isAllowed = (c >= 97 && c <= 122) || (c >= 48 && c <= 57) || c === 45 || c === 46 || c === 95;
      if (!isAllowed) return this.wrong('a server name with a byte that no host name has');
      name += String.fromCharCode(c);
    }
    if (name.endsWith('.')) name = name.slice(0, -1);
    if (name === '' || name.length > NAME_CHARS_MAX || name.startsWith('.') || name.includes('..'))
      return this.wrong('a server name that is no host name');
    this.serverName = name;
    return true;
  }

  private readTicket(b: Uint8Array, from: number, end: number): void {
    if (end - from < TICKET_NAME_BYTES) return;
    this.hasTicket = true;
    for (let i = 0; i < TICKET_NAME_BYTES; i++) this.ticketName[i] = b[from + i]!;
  }

  private readAlpn(b: Uint8Array, from: number, end: number): boolean {
    if (end - from < 2 || from + 2 + u16(b, from) !== end) return this.wrong('an ALPN extension that is malformed');
    for (let at = from + 2; at < end; ) {
      const stop = at + 1 + b[at]!;
      if (b[at] === 0 || stop > end) return this.wrong('an ALPN extension that is malformed');
      let name = '';
      for (let i = at + 1; i < stop; i++) name += String.fromCharCode(b[i]!);
      if (!isGrease(b, at + 1, stop)) this.alpn.push(name);
      at = stop;
    }
    return true;
  }
}

/** RFC 8701 §3: two equal bytes 0x?A. */
function isGrease(b: Uint8Array, from: number, end: number): boolean {
  return end - from === 2 && b[from] === b[from + 1] && (b[from]! & 15) === 10;
}

function u16(b: Uint8Array, at: number): number {
  return (b[at]! << 8) | b[at + 1]!;
}

/** End of a vector with a length of so many bytes in front; -1 when it does not fit, or `at` is -1 or beyond. */
function skip(b: Uint8Array, at: number, end: number, lengthBytes: number): number {
  if (at < 0 || at + lengthBytes > end) return -1;
  const stop = at + lengthBytes + (lengthBytes === 1 ? b[at]! : u16(b, at));
  return stop <= end ? stop : -1;
}
