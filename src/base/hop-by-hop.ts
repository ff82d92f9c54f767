/**
 * Fields that belong to one hop, by number. A codec takes them out of every head, named in Connection or not, before anything else looks at it
 * (base/head.ts, rule 2); what must not see, write or trail them builds on the same lists.
 */
import { field } from './head.ts';

/** Fields that frame a message or speak of its connection (RFC 9110 §7.6.1, §10.1.4; RFC 9112 §6; RFC 7540 §3.2.1): a codec writes them anew. */
export const connectionFields: readonly number[] = [
  field.connection,
  field.contentLength,
  field.transferEncoding,
  field.te,
  field.upgrade,
  field.keepAlive,
  field.proxyConnection,
  field.http2Settings,
];

/** The same with what a client and its next proxy say to each other (RFC 9110 §11.7). Host is no such field, but is taken out of requests all the same. */
export const hopByHopFields: readonly number[] = [...connectionFields, field.proxyAuthorization, field.proxyAuthenticate];
