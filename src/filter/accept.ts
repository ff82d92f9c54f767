/**
 * Which of the three error bodies a client wants, from its Accept field (RFC 9110 §12.5.1).
 */
import { FIELD_STRIDE, field, type Head } from '../base/head.ts';

/** Kinds of error bodies. */
export const acceptKinds = Object.freeze({ plain: 0, html: 1, json: 2 });

/**
 * JSON when JSON (or a type ending in +json) is named and weighs at least as much as HTML, HTML when that is named, else plain text: curl's
 * wildcard names neither.
 */
export function acceptKind(head: Head): number {
  let json = 0;
  let html = 0;
  for (let i = head.find(field.accept); i >= 0; i = head.find(field.accept, i + 1)) {
    const { bytes, base } = head;
    const end = base + head.fields[i * FIELD_STRIDE + 4]!;
    let at = base + head.fields[i * FIELD_STRIDE + 3]!;
    while (at < end) {
      let to = at;
      while (to < end && bytes[to] !== 44 /* , */) to++;
      let typeEnd = at;
      while (typeEnd < to && bytes[typeEnd] !== 59 /* ; */) typeEnd++;
      const from = skipSpace(bytes, at, typeEnd);
      const trimmed = trimSpace(bytes, from, typeEnd);
      const kind = kindOf(bytes, from, trimmed);
      if (kind !== acceptKinds.plain) {
        const weight = weightOf(bytes, typeEnd, to);
        if (kind === acceptKinds.json && weight > json) json = weight;
        if (kind === acceptKinds.html && weight > html) html = weight;
      }
      at = to + 1;
    }
  }
  if (json > 0 && json >= html) return acceptKinds.json;
  return html > 0 ? acceptKinds.html : acceptKinds.plain;
}

function kindOf(bytes: Uint8Array, start: number, end: number): number {
  if (isText(bytes, start, end, 'text/html') || isText(bytes, start, end, 'application/xhtml+xml')) return acceptKinds.html;
  if (isText(bytes, start, end, 'application/json') || isText(bytes, Math.max(start, end - 5), end, '+json'))
    return acceptKinds.json;
  return acceptKinds.plain;
}

/** Thousandths of the `q` parameter; 1000 without one, 0 when it cannot be read. */
function weightOf(bytes: Uint8Array, start: number, end: number): number {
  for (let i = start; i < end; i++) {
    if (bytes[i] !== 59) continue;
    const at = skipSpace(bytes, i + 1, end);
    if (at + 1 >= end || (bytes[at]! | 32) !== 113 || bytes[at + 1] !== 61) continue;
    let weight = 0;
    let scale = 1000;
    for (let k = at + 2; k < end && scale >= 1; k++) {
      const c = bytes[k]!;
      if (c === 46) continue;
      if (c < 48 || c > 57) break;
      weight += (c - 48) * scale;
      scale /= 10;
    }
    return Math.min(1000, weight);
  }
  return 1000;
}

function isText(bytes: Uint8Array, start: number, end: number, lower: string): boolean {
  if (end - start !== lower.length) return false;
  for (let i = 0; i < lower.length; i++) {
    let c = bytes[start + i]!;
    if (c >= 65 && c <= 90) c |= 32;
    if (c !== lower.charCodeAt(i)) return false;
  }
  return true;
}

function skipSpace(bytes: Uint8Array, at: number, end: number): number {
  while (at < end && (bytes[at] === 32 || bytes[at] === 9)) at++;
  return at;
}
function trimSpace(bytes: Uint8Array, start: number, end: number): number {
  while (end > start && (bytes[end - 1] === 32 || bytes[end - 1] === 9)) end--;
  return end;
}
