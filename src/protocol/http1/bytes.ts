/**
 * What single bytes mean in HTTP/1, and the few comparisons the decoder needs. Tables of 256, one load a byte.
 */

export const TAB = 9;
export const LF = 10;
export const CR = 13;
export const SPACE = 32;
export const COMMA = 44;
export const SLASH = 47;
export const COLON = 58;
export const QUESTION = 63;

/** Bytes of ASCII text. */
export function ascii(text: string): Uint8Array {
  return Uint8Array.from(text, (c) => c.charCodeAt(0));
}

function table(fill: (byte: number, text: string) => number): Uint8Array {
  return Uint8Array.from({ length: 256 }, (_, byte) => fill(byte, String.fromCharCode(byte)));
}

const isTokenText = (text: string): boolean => /^[!#$%&'*+\-.^_`|~0-9A-Za-z]$/.test(text);

/** tchar of RFC 9110 §5.6.2: 1, else 0. */
export const tokenClass = table((_, text) => (isTokenText(text) ? 1 : 0));

/** In a field name: 1 a tchar, 2 the underscore (a tchar under suspicion), 0 anything else. */
export const nameClass = table((_, text) => (text === '_' ? 2 : isTokenText(text) ? 1 : 0));

/** Classes of {@link targetClass}. */
export const target = Object.freeze({ plain: 0, slash: 1, dot: 2, suspect: 3, question: 4, end: 5 });
/**
 * In a request target: `plain` needs no look; `suspect` is a byte that makes a path differ from its normal form; `end` is everything
 * a target cannot hold: CTL, SP, DEL, bytes above 0x7F and `#` (RFC 3986 §2). Other bytes outside the URI grammar (`|`, `{`, `"`) pass:
 * browsers send them, and no parser takes them for a delimiter.
 */
export const targetClass = table((byte, text) => {
  if (byte <= 0x20 || byte >= 0x7f || text === '#') return target.end;
  if (text === '/') return target.slash;
  if (text === '.') return target.dot;
  if (text === '?') return target.question;
  return text === '%' || text === ';' || text === '\\' ? target.suspect : target.plain;
});

/** Value of a hexadecimal digit, 255 for any other byte. */
export const hexValue = table((_, text) => (/^[0-9A-Fa-f]$/.test(text) ? Number.parseInt(text, 16) : 255));

/** reg-name of RFC 3986 §3.2.2 without `,` (lists of hosts) and `%` (no name resolves with it): 1, else 0. */
export const hostClass = table((_, text) => (/^[A-Za-z0-9\-._~!$&'()*+;=]$/.test(text) ? 1 : 0));

/** ASCII lower case. */
export const lower = table((byte) => (byte >= 65 && byte <= 90 ? byte + 32 : byte));

/** Inside a quoted string: qdtext 1, `"` 2, `\` 3, else 0 (RFC 9110 §5.6.4). */
export const quotedClass = table((byte, text) => {
  if (text === '"') return 2;
  if (text === '\\') return 3;
  return byte === TAB || (byte >= 0x20 && byte !== 0x7f) ? 1 : 0;
});

/** Is bytes[from, to) this lower-case word, in any case? */
export function isWord(bytes: Uint8Array, from: number, to: number, word: Uint8Array): boolean {
  const length = word.length;
  if (to - from !== length) return false;
  for (let i = 0; i < length; i++) if (lower[bytes[from + i]!] !== word[i]) return false;
  return true;
}

/** Are the two ranges the same text, in any case? */
export function isSameText(bytes: Uint8Array, from: number, to: number, otherFrom: number, otherTo: number): boolean {
  if (to - from !== otherTo - otherFrom) return false;
  for (let i = from, k = otherFrom; i < to; i++, k++) if (lower[bytes[i]!] !== lower[bytes[k]!]) return false;
  return true;
}
