/**
 * Which fields a trailer section may bring (RFC 9110 §6.5.1): none that frames, routes, authenticates, changes the request or says how to read the
 * content, for whoever merges trailers into the head would let the sender change what was decided when the head came.
 */
import { field } from '../../base/head.ts';
import { ascii, isWord, lower } from './bytes.ts';

const forbiddenIds = new Uint8Array(64);
for (const id of [
  field.host,
  field.connection,
  field.contentLength,
  field.transferEncoding,
  field.te,
  field.trailer,
  field.upgrade,
  field.keepAlive,
  field.proxyConnection,
  field.expect,
  field.http2Settings,
  field.xForwardedFor,
  field.xForwardedProto,
  field.xForwardedHost,
  field.xForwardedPort,
  field.forwarded,
  field.via,
  field.xRequestId,
  field.cookie,
  field.setCookie,
  field.date,
  field.authorization,
  field.proxyAuthorization,
  field.secWebsocketKey,
  field.secWebsocketVersion,
  field.secWebsocketAccept,
  field.contentType,
  field.xRealIp,
  field.cdnLoop,
  field.location,
  field.retryAfter,
  field.traceparent,
  field.contentEncoding,
  field.proxyAuthenticate,
]) {
  forbiddenIds[id] = 1;
}

const forbiddenPrefixes = ['content-', 'x-forwarded-', 'proxy-', 'if-', 'sec-', 'access-control-'].map(ascii);
const forbiddenNames = [
  'age',
  'cache-control',
  'expires',
  'max-forwards',
  'origin',
  'pragma',
  'range',
  'tracestate',
  'vary',
  'warning',
  'www-authenticate',
].map(ascii);

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
