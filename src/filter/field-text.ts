/**
 * What may stand in a field name and in a field value (RFC 9110 §5.1, §5.5). Everything weir writes into a head passes here: text of
 * the configuration when it is loaded, text made of a request when it is made.
 */
import { field, fieldIdOf } from '../base/head.ts';
import { connectionFields } from '../base/hop-by-hop.ts';

const token = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;
/** Fields that the codec writes: no edit may. Credentials for an endpoint that is a proxy may be set. */
const framingFields: readonly number[] = [...connectionFields, field.trailer, field.expect];

export function isToken(text: string): boolean {
  return token.test(text);
}

/** What is wrong with this name for a header edit, or null. */
export function checkFieldName(name: string): string | null {
  if (!isToken(name)) return `"${name}" is not a header name`;
  if (framingFields.includes(fieldIdOf(name.toLowerCase()))) return `${name} belongs to the connection and cannot be edited`;
  return null;
}

/** What is wrong with this text as a field value, or null. */
export function checkFieldValue(value: string): string | null {
  for (let i = 0; i < value.length; i++) {
    const c = value.charCodeAt(i);
    if (c > 255) return `a header value cannot hold the character ${value[i]}`;
    if (!isFieldChar(c)) return `a header value cannot hold the control character ${c}`;
  }
  return value.trim() === value ? null : 'a header value cannot begin or end with a space';
}

/** HTAB, SP, visible ASCII and obs-text (RFC 9110 §5.5). */
function isFieldChar(c: number): boolean {
  return c === 9 || (c >= 32 && c !== 127 && c <= 255);
}

/**
 * The text with every character that a field value may not hold replaced by a space. Returns the same string when there is none, which is
 * the rule: values taken from a request were checked by the codec.
 */
export function safeFieldValue(value: string): string {
  for (let i = 0; i < value.length; i++) {
    if (!isFieldChar(value.charCodeAt(i))) return replaceUnsafe(value);
  }
  return value;
}

function replaceUnsafe(value: string): string {
  let text = '';
  for (let i = 0; i < value.length; i++) text += isFieldChar(value.charCodeAt(i)) ? value[i] : ' ';
  return text.trim();
}

/** A name as a token: characters that cannot be in one become `-` (pseudonyms in Via and CDN-Loop). */
export function tokenOf(name: string): string {
  return name.replace(/[^!#$%&'*+.^_`|~0-9A-Za-z-]/g, '-') || 'weir';
}

/** A name as a structured field item: a token where the grammar allows it, else a string (RFC 9651 §3.3.3, §3.3.4). */
export function structuredItem(name: string): string {
  if (/^[A-Za-z*][!#$%&'*+.^_`|~0-9A-Za-z:/-]*$/.test(name)) return name;
  return structuredString(name);
}

/** A name as a string of a structured field (RFC 9651 §3.3.3). */
export function structuredString(name: string): string {
  return `"${name.replace(/[^ -~]/g, '?').replace(/[\\"]/g, '\\$&')}"`;
}

/** host[:port] as it may stand in Host (RFC 3986 §3.2.2, without the forms nobody serves: userinfo, IPvFuture). */
export function isAuthority(text: string): boolean {
  return /^(?:[A-Za-z0-9._~%!$&'()*+,;=-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{0,5})?$/.test(text);
}
