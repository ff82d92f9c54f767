/**
 * ClientAddress: the address of a client or of a TCP peer, parsed once into numbers; CidrSet: ranges of addresses.
 *
 * Rules
 * 1. An IPv4 address that arrives as IPv4-mapped IPv6 (`::ffff:192.0.2.1`, as dual-stack sockets report it) is IPv4 from here on, so that
 *    a range written for IPv4 cannot be walked around (RFC 4291 §2.5.5.2).
 * 2. Parsing is strict: no octal or short IPv4 forms, no zone, no surrounding space. What is not an address is a false, never a guess.
 * 3. An IPv6 range never contains an IPv4 address, and the other way round.
 */

/** An address range; `bits` counts from the left, `bytes` are 4 or 16. The same shape as in the plan. */
export interface CidrBytes {
  readonly bytes: readonly number[];
  readonly bits: number;
}

/** Longest text of an address with port: "[ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255]:65535" has 53 characters. */
const TEXT_BYTES_MAX = 56;
const scratch = new Uint8Array(TEXT_BYTES_MAX);
/** Eight groups of an IPv6 address under construction. */
const groups = new Int32Array(8);

export class ClientAddress {
  /** 4, 6, or 0 when there is no address (unix sockets, unreadable text). */
  family = 0;
  /** The 128 bits from the left; an IPv4 address stands in `word3`, the others are 0. */
  word0 = 0;
  word1 = 0;
  word2 = 0;
  word3 = 0;
  /** 0 when unknown. */
  port = 0;
  /** '': not asked for yet, or there is none. */
  private spelled = '';

  /** The address alone, canonical (RFC 5952), without brackets or port; "unix:" for a unix socket. Made when it is asked for. */
  get text(): string {
    if (this.spelled === '' && this.family !== 0) this.spelled = this.family === 4 ? text4(this.word3) : text6(this);
    return this.spelled;
  }

  /** "192.0.2.1:4711", "[2001:db8::1]:4711", "unix:". */
  get textWithPort(): string {
    const { family, text, port } = this;
    if (family === 0) return text;
    return family === 6 ? `[${text}]:${port}` : `${text}:${port}`;
  }

  /** No address. */
  clear(): void {
    this.family = 0;
    this.word0 = this.word1 = this.word2 = this.word3 = 0;
    this.port = 0;
    this.spelled = '';
  }

  copy(from: ClientAddress): void {
    this.family = from.family;
    this.word0 = from.word0;
    this.word1 = from.word1;
    this.word2 = from.word2;
    this.word3 = from.word3;
    this.port = from.port;
    this.spelled = from.spelled;
  }

  /** Same address; the port does not count. */
  equals(other: ClientAddress): boolean {
    return (
      this.family === other.family &&
      this.word3 === other.word3 &&
      this.word2 === other.word2 &&
      this.word1 === other.word1 &&
      this.word0 === other.word0
    );
  }

  /** 32-bit hash of the address without the port. */
  hash(): number {
    let h = Math.imul(this.word0 ^ 0x9e3779b9, 0x85ebca6b);
    h = Math.imul(h ^ (h >>> 15) ^ this.word1, 0xc2b2ae35);
    h = Math.imul(h ^ (h >>> 13) ^ this.word2, 0x85ebca6b);
    h = Math.imul(h ^ (h >>> 15) ^ this.word3, 0xc2b2ae35);
    return (h ^ (h >>> 16)) >>> 0;
  }

  /**
   * Takes the text a wire gives for its peer: "192.0.2.1:4711", "[::1]:80", "unix:". Also a bare address. Returns false, and holds no
   * address but keeps the text, when it is none.
   */
  set(text: string): boolean {
    const { length } = text;
    if (length <= TEXT_BYTES_MAX) {
      let isAscii = true;
      for (let i = 0; i < length; i++) {
        const c = text.charCodeAt(i);
        if (c > 127) isAscii = false;
        scratch[i] = c;
      }
      if (isAscii && this.setBytes(scratch, 0, length)) return true;
    }
    this.clear();
    this.spelled = text;
    return false;
  }

  /**
   * Takes bytes[start, end): an address, bare or bracketed, with or without a port. Returns false, leaving this empty, when it is none.
   */
  setBytes(bytes: Uint8Array, start: number, end: number): boolean {
    this.clear();
    if (start >= end || end - start > TEXT_BYTES_MAX) return false;
    let portAt = -1;
    if (bytes[start] === 91 /* [ */) {
      let close = start + 1;
      while (close < end && bytes[close] !== 93 /* ] */) close++;
      if (close === end || !this.parse6(bytes, start + 1, close)) return this.fail();
      if (close + 1 < end) {
        if (bytes[close + 1] !== 58 /* : */) return this.fail();
        portAt = close + 2;
      }
    } else {
      let colons = 0;
      let lastColon = -1;
      for (let i = start; i < end; i++) {
        if (bytes[i] === 58) {
          colons++;
          lastColon = i;
        }
      }
      if (colons > 1) {
        if (!this.parse6(bytes, start, end)) return this.fail();
      } else {
        if (colons === 1) portAt = lastColon + 1;
        const value = parse4(bytes, start, colons === 1 ? lastColon : end);
        if (value < 0) return this.fail();
        this.family = 4;
        this.word3 = value | 0;
      }
    }
    if (portAt >= 0) {
      const port = parsePort(bytes, portAt, end);
      if (port < 0) return this.fail();
      this.port = port;
    }
    return true;
  }

  /** Takes 4 or 16 bytes in network order from bytes[at, ...), and a port. */
  setBinary(bytes: Uint8Array, at: number, size: number, port: number): void {
    this.clear();
    this.port = port;
    if (size === 4) {
      this.family = 4;
      this.word3 = word(bytes, at);
    } else {
      this.word0 = word(bytes, at);
      this.word1 = word(bytes, at + 4);
      this.word2 = word(bytes, at + 8);
      this.word3 = word(bytes, at + 12);
      this.unmap();
    }
  }

  /** Writes the address in network order into bytes[at, ...), as 4 bytes (IPv4 only) or 16 (IPv4 as IPv4-mapped). Returns the end. */
  writeBinary(bytes: Uint8Array, at: number, size: number): number {
    if (size === 4) return writeWord(bytes, at, this.word3);
    at = writeWord(bytes, at, this.word0);
    at = writeWord(bytes, at, this.word1);
    at = writeWord(bytes, at, this.family === 4 ? 0xffff : this.word2);
    return writeWord(bytes, at, this.word3);
  }

  private fail(): boolean {
    this.clear();
    return false;
  }

  /** Rule 1. */
  private unmap(): void {
    if (this.word0 === 0 && this.word1 === 0 && this.word2 === 0xffff) {
      this.family = 4;
      this.word2 = 0;
    } else {
      this.family = 6;
    }
  }

  private parse6(bytes: Uint8Array, start: number, end: number): boolean {
    let count = 0;
    let gapAt = -1;
    let i = start;
    if (i + 1 < end && bytes[i] === 58 && bytes[i + 1] === 58) {
      gapAt = 0;
      i += 2;
    }
    while (i < end) {
      let value = 0;
      let digits = 0;
      const groupAt = i;
      for (; i < end; i++) {
        const digit = hexDigit(bytes[i]!);
        if (digit < 0) break;
        value = (value << 4) | digit;
        if (++digits > 4) return false;
      }
      if (i < end && bytes[i] === 46 /* . */) {
        // The last 32 bits in IPv4 form (RFC 4291 §2.2 point 3).
        const low = parse4(bytes, groupAt, end);
        if (low < 0 || count > 6) return false;
        groups[count++] = low >>> 16;
        groups[count++] = low & 0xffff;
        i = end;
        break;
      }
      if (digits === 0 || count === 8) return false;
      groups[count++] = value;
      if (i === end) break;
      if (bytes[i] !== 58) return false;
      i++;
      if (i === end) return false;
      if (bytes[i] === 58) {
        if (gapAt >= 0) return false;
        gapAt = count;
        i++;
      }
    }
    if (gapAt < 0 ? count !== 8 : count > 7) return false;
    if (gapAt >= 0) {
      const tail = count - gapAt;
      for (let k = 0; k < tail; k++) groups[7 - k] = groups[count - 1 - k]!;
      for (let k = gapAt; k < 8 - tail; k++) groups[k] = 0;
    }
    this.word0 = (groups[0]! << 16) | groups[1]!;
    this.word1 = (groups[2]! << 16) | groups[3]!;
    this.word2 = (groups[4]! << 16) | groups[5]!;
    this.word3 = (groups[6]! << 16) | groups[7]!;
    this.unmap();
    return true;
  }
}

/** 32 bits in network order, signed. */
function word(bytes: Uint8Array, at: number): number {
  return (bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!;
}

function writeWord(bytes: Uint8Array, at: number, value: number): number {
  bytes[at] = value >>> 24;
  bytes[at + 1] = value >>> 16;
  bytes[at + 2] = value >>> 8;
  bytes[at + 3] = value;
  return at + 4;
}

/** Value of a dotted quad as an unsigned number, or -1. */
function parse4(bytes: Uint8Array, start: number, end: number): number {
  let value = 0;
  let part = 0;
  let digits = 0;
  let dots = 0;
  for (let i = start; i < end; i++) {
    const c = bytes[i]!;
    if (c >= 48 && c <= 57) {
      // A leading zero means octal to some readers and decimal to others: refused.
      if (digits > 0 && part === 0) return -1;
      part = part * 10 + c - 48;
      if (++digits > 3 || part > 255) return -1;
    } else if (c === 46 && digits > 0) {
      value = value * 256 + part;
      part = digits = 0;
      if (++dots > 3) return -1;
    } else {
      return -1;
    }
  }
  return dots === 3 && digits > 0 ? value * 256 + part : -1;
}

function parsePort(bytes: Uint8Array, start: number, end: number): number {
  if (start >= end || end - start > 5) return -1;
  let port = 0;
  for (let i = start; i < end; i++) {
    const c = bytes[i]!;
    if (c < 48 || c > 57) return -1;
    port = port * 10 + c - 48;
  }
  return port <= 65535 ? port : -1;
}

function hexDigit(c: number): number {
  if (c >= 48 && c <= 57) return c - 48;
  const lower = c | 32;
  return lower >= 97 && lower <= 102 ? lower - 87 : -1;
}

function text4(word: number): string {
  return `${word >>> 24}.${(word >>> 16) & 255}.${(word >>> 8) & 255}.${word & 255}`;
}

/** RFC 5952 §4: lower case, no leading zeros, the longest run of two or more zero groups (the first of equals) as "::". */
function text6(address: ClientAddress): string {
  const { word0, word1, word2, word3 } = address;
  const g = [
    word0 >>> 16,
    word0 & 0xffff,
    word1 >>> 16,
    word1 & 0xffff,
    word2 >>> 16,
    word2 & 0xffff,
    word3 >>> 16,
    word3 & 0xffff,
  ];
  let gapAt = -1;
  let gapLength = 1;
  for (let i = 0; i < 8; i++) {
    let k = i;
    while (k < 8 && g[k] === 0) k++;
    if (k - i > gapLength) {
      gapAt = i;
      gapLength = k - i;
    }
    if (k > i) i = k;
  }
  if (gapAt < 0) return g.map(hexText).join(':');
  return (
    g.slice(0, gapAt).map(hexText).join(':') +
    '::' +
    g
      .slice(gapAt + gapLength)
      .map(hexText)
      .join(':')
  );
}
function hexText(group: number): string {
  return group.toString(16);
}

/** Numbers per range in {@link CidrSet}: family, four words, four masks. */
const STRIDE = 9;

/** A set of address ranges, built once, asked often. */
export class CidrSet {
  readonly count: number;
  private readonly rows: Int32Array;

  constructor(cidrs: readonly CidrBytes[]) {
    this.count = cidrs.length;
    this.rows = new Int32Array(cidrs.length * STRIDE);
    for (let i = 0; i < cidrs.length; i++) writeRow(this.rows, i * STRIDE, cidrs[i]!);
  }

  has(address: ClientAddress): boolean {
    const { rows } = this;
    const { family, word0, word1, word2, word3 } = address;
    if (family === 0) return false;
    for (let at = 0; at < rows.length; at += STRIDE) {
      if (
        rows[at] === family &&
        ((word3 ^ rows[at + 4]!) & rows[at + 8]!) === 0 &&
        ((word0 ^ rows[at + 1]!) & rows[at + 5]!) === 0 &&
        ((word1 ^ rows[at + 2]!) & rows[at + 6]!) === 0 &&
        ((word2 ^ rows[at + 3]!) & rows[at + 7]!) === 0
      ) {
        return true;
      }
    }
    return false;
  }
}

function writeRow(rows: Int32Array, at: number, cidr: CidrBytes): void {
  let { bytes, bits } = cidr;
  // ::ffff:0:0/96 and below is IPv4 by rule 1.
  if (bytes.length === 16 && bits >= 96 && bytes.slice(0, 12).every((b, i) => b === (i < 10 ? 0 : 255))) {
    bytes = bytes.slice(12);
    bits -= 96;
  }
  rows[at] = bytes.length === 4 ? 4 : 6;
  const first = bytes.length === 4 ? 3 : 0;
  for (let w = first; w < 4; w++) {
    const b = (w - first) * 4;
    rows[at + 1 + w] = (bytes[b]! << 24) | (bytes[b + 1]! << 16) | (bytes[b + 2]! << 8) | bytes[b + 3]!;
    const here = Math.min(32, Math.max(0, bits - (w - first) * 32));
    rows[at + 5 + w] = here === 0 ? 0 : -1 << (32 - here);
  }
}
