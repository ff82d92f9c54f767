/**
 * Which fields a trailer section may bring (RFC 9110 §6.5.1): none that frames, routes, authenticates, changes the request or says how to read the
 * content, for whoever merges trailers into the head would let the sender change what was decided when the head came.
 */
import { field, fieldIdOf, fieldNames } from '../../base/head.ts';
import { hopByHopFields } from '../../base/hop-by-hop.ts';
import { ascii, isWord, lower } from './bytes.ts';

const prefixes = ['content-', 'x-forwarded-', 'proxy-', 'if-', 'sec-', 'access-control-'];
const names = [
  'age',
  'authorization',
  'cache-control',
  'cdn-loop',
  'cookie',
  'date',
  'expect',
  'expires',
  'forwarded',
  'host',
  'location',
  'max-forwards',
  'origin',
  'pragma',
  'range',
  'retry-after',
  'set-cookie',
  'traceparent',
  'tracestate',
  'trailer',
  'vary',
  'via',
  'warning',
  'www-authenticate',
  'x-real-ip',
  'x-request-id',
];

/** By id, for the fields known by number: 1. RFC 9209 §2 lets Proxy-Status trail. */
const forbiddenIds = new Uint8Array(64);
for (const id of hopByHopFields) forbiddenIds[id] = 1;
for (const [id, name] of fieldNames.entries())
  if (names.includes(name) || prefixes.some((prefix) => name.startsWith(prefix))) forbiddenIds[id] = 1;
forbiddenIds[field.proxyStatus] = 0;

const forbiddenPrefixes = prefixes.map(ascii);
/** Those without a number. */
const forbiddenNames = names.filter((name) => fieldIdOf(name) === field.other).map(ascii);

/** May the field named bytes[from, to) stay in a trailer section? */
export function mayTrail(id: number, bytes: Uint8Array, from: number, to: number): boolean {
  if (id !== field.other) return id > 0 && forbiddenIds[id] === 0;
  for (const prefix of forbiddenPrefixes) {
    let i = 0;
    while (i < prefix.length && from + i < to && lower[bytes[from + i]!] === prefix[i]) i++;
    if (i === prefix.length) return false;
  }
  for (const name of forbiddenNames) if (isWord(bytes, from, to, name)) return false;
  return true;
}
