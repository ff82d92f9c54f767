/**
 * Request targets other than the origin form, and the authority (host[:port]) that Host and targets share (RFC 9112 §3.2, RFC 3986 §3.2).
 * All functions take absolute ranges of bytes without CTL and return false or a check number when these are not what they should be.
 */
import { type Head, method, targetForm } from '../../base/head.ts';
import { ascii, COLON, hexValue, hostClass, isWord, QUESTION, SLASH, target, targetClass } from './bytes.ts';
import { check } from './checks.ts';

const PORT_MAX = 65535;
const HTTP = ascii('http://');
const HTTPS = ascii('https://');
const OPEN = 91;
const CLOSE = 93;
const DOT = 46;

/** Is bytes[from, to) host[:port]? No userinfo, no empty host, no empty port, no IPvFuture. */
export function isAuthority(bytes: Uint8Array, from: number, to: number): boolean {
  let p = from;
  if (p < to && bytes[p] === OPEN) {
    let close = p + 1;
    while (close < to && bytes[close] !== CLOSE) close++;
    if (close === to || !isIpv6(bytes, p + 1, close)) return false;
    p = close + 1;
  } else {
    while (p < to && hostClass[bytes[p]!] === 1) p++;
    if (p === from) return false;
  }
  return p === to || (bytes[p] === COLON && isPort(bytes, p + 1, to));
}

function isPort(bytes: Uint8Array, from: number, to: number): boolean {
  if (from === to || to - from > 5) return false;
  let port = 0;
  for (let p = from; p < to; p++) {
    const digit = bytes[p]! - 48;
    if (digit < 0 || digit > 9) return false;
    port = port * 10 + digit;
  }
  return port > 0 && port <= PORT_MAX;
}

/** IPv6address of RFC 3986 §3.2.2: eight groups, at most one `::`, the last two perhaps as IPv4. No zone. */
function isIpv6(bytes: Uint8Array, from: number, to: number): boolean {
  let groups = 0;
  let hasGap = false;
  let p = from;
  if (to - from >= 2 && bytes[p] === COLON) {
    if (bytes[p + 1] !== COLON) return false;
    hasGap = true;
    p += 2;
  }
  while (p < to) {
    const start = p;
    while (p < to && p - start < 5 && hexValue[bytes[p]!] !== 255) p++;
    if (p < to && bytes[p] === DOT) return isIpv4(bytes, start, to) && isGroupCount(groups + 2, hasGap);
    if (p === start || p - start > 4) return false;
    groups++;
    if (p === to) break;
    if (bytes[p] !== COLON) return false;
    p++;
    if (p === to) return false;
    if (bytes[p] === COLON) {
      if (hasGap) return false;
      hasGap = true;
      p++;
    }
  }
  return isGroupCount(groups, hasGap);
}

function isGroupCount(groups: number, hasGap: boolean): boolean {
  return hasGap ? groups <= 7 : groups === 8;
}

function isIpv4(bytes: Uint8Array, from: number, to: number): boolean {
  let parts = 0;
  let value = -1;
  for (let p = from; p <= to; p++) {
    const c = p === to ? DOT : bytes[p]!;
    if (c === DOT) {
      if (value < 0 || value > 255) return false;
      parts++;
      value = -1;
    } else {
      if (c < 48 || c > 57 || value === 0 || value > 255) return false;
      value = Math.max(value, 0) * 10 + c - 48;
    }
  }
  return parts === 4;
}

/**
 * Reads the absolute form at bytes[from, to) into the head; offsets relative to `start`. Userinfo is refused (RFC 9110 §4.2.4). An empty path is `/`:
 * it points at the second slash of the scheme, so that readers need no special case.
 */
export function readAbsoluteTarget(head: Head, bytes: Uint8Array, start: number, from: number, to: number): number {
  let authority = 0;
  if (to - from > 7 && isWord(bytes, from, from + 7, HTTP)) authority = from + 7;
  else if (to - from > 8 && isWord(bytes, from, from + 8, HTTPS)) authority = from + 8;
  else return check.targetScheme;
  let p = authority;
  while (p < to && bytes[p] !== SLASH && bytes[p] !== QUESTION) p++;
  if (!isAuthority(bytes, authority, p)) return check.targetAuthority;
  head.form = targetForm.absolute;
  head.authorityStart = authority - start;
  head.authorityEnd = p - start;
  if (p < to && bytes[p] === SLASH) {
    head.pathStart = p - start;
    let before: number = target.plain;
    while (p < to) {
      const kind = targetClass[bytes[p]!]!;
      if (kind === target.question) break;
      if (kind === target.suspect || (before === target.slash && (kind === target.slash || kind === target.dot))) {
        head.pathIsPlain = false;
      }
      before = kind;
      p++;
    }
    head.pathEnd = p - start;
  } else {
    head.pathStart = authority - 1 - start;
    head.pathEnd = authority - start;
    // OPTIONS for the server as a whole (RFC 9112 §3.2.4).
    if (p === to && head.method === method.OPTIONS) head.form = targetForm.asterisk;
  }
  if (p < to) {
    head.queryStart = p + 1 - start;
    head.queryEnd = to - start;
  }
  return 0;
}

/** Reads the authority form of CONNECT, whose port is not optional (RFC 9112 §3.2.3). */
export function readAuthorityTarget(head: Head, bytes: Uint8Array, start: number, from: number, to: number): number {
  if (!isAuthority(bytes, from, to)) return check.targetAuthority;
  let p = to - 1;
  while (p > from && bytes[p] !== COLON && bytes[p] !== CLOSE) p--;
  if (bytes[p] !== COLON) return check.targetAuthority;
  head.form = targetForm.authority;
  head.authorityStart = from - start;
  head.authorityEnd = to - start;
  head.pathStart = head.pathEnd = 0;
  return 0;
}
