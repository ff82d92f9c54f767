/**
 * Forwarded fields: what weir tells the endpoint about the client, and both about itself.
 *
 * Rules
 * 1. From a peer that is not trusted nothing survives that could be taken for weir's word: X-Forwarded-*, X-Real-IP, Forwarded and the
 *    request id are removed first, whatever is configured (RFC 7239 §8.1, CVE-2022-31813).
 * 2. From a trusted peer lists are continued in one field line, because many endpoints read only one; single values are kept.
 * 3. Runs before the rewrite and before the route's filters, so that X-Forwarded-Host is what the client asked for.
 */
import { fault } from '../base/faults.ts';
import { FIELD_STRIDE, field, fieldIdOf, type Head } from '../base/head.ts';
import type { HeadersPlan } from '../state/plan.ts';
import type { RequestFacts } from './facts.ts';
import { structuredItem, tokenOf } from './field-text.ts';

/** Longest request id that is taken over. A UUID has 36 characters, W3C trace ids 55. */
const ID_BYTES_MAX = 128;
const PREFIX = 'x-forwarded-';
/** The four names and both values of the scheme ("http" begins "https"), to be copied at once. */
const NAMES = new Uint8Array(Buffer.from('x-forwarded-forx-forwarded-protox-forwarded-hostx-forwarded-porthttps'));
const PROTO_AT = 15;
const HOST_AT = PROTO_AT + 17;
const PORT_AT = HOST_AT + 16;
const HTTPS_AT = PORT_AT + 16;

export class ForwardedFields {
  private readonly plan: HeadersPlan;
  private readonly requestIdName: string;
  private readonly requestIdField: number;
  private readonly via10: string;
  private readonly via11: string;
  private readonly via20: string;
  private readonly loopId: string;
  private readonly proxyStatusNode: string;

  constructor(plan: HeadersPlan, node: string) {
    this.plan = plan;
    this.requestIdName = (plan.requestId ?? '').toLowerCase();
    this.requestIdField = fieldIdOf(this.requestIdName);
    const name = tokenOf(node);
    this.via10 = `1.0 ${name}`;
    this.via11 = `1.1 ${name}`;
    this.via20 = `2 ${name}`;
    this.loopId = name;
    this.proxyStatusNode = structuredItem(node);
  }

  /**
   * Edits a request head. `facts.id` becomes the id that goes on: the trusted peer's when it is sane, else the one the caller put there.
   * Returns 0, fault.proxyLoop or fault.headTooLarge.
   */
  request(head: Head, facts: RequestFacts): number {
    const { plan } = this;
    const { fields, count } = head;
    const isTrusted = facts.peerIsTrusted;
    let forAt = -1;
    let forCount = 0;
    let forLength = 0;
    let hasProto = false;
    let hasHost = false;
    let hasPort = false;
    let forwardedAt = -1;
    let forwardedCount = 0;
    let forwardedLength = 0;
    let idAt = -1;
    for (let i = 0; i < count; i++) {
      const at = i * FIELD_STRIDE;
      const id = fields[at]!;
      if (id === field.other) {
        if (!isTrusted && startsWithPrefix(head, fields[at + 1]!, fields[at + 2]!)) fields[at] = field.removed;
        continue;
      }
      if (id < field.xForwardedFor) continue;
      switch (id) {
        case field.xForwardedFor:
          if (!isTrusted) fields[at] = field.removed;
          else {
            if (forAt < 0) forAt = i;
            forCount++;
            forLength += fields[at + 4]! - fields[at + 3]! + 2;
          }
          break;
        case field.xForwardedProto:
          if (!isTrusted || hasProto) fields[at] = field.removed;
          else hasProto = true;
          break;
        case field.xForwardedHost:
          if (!isTrusted || hasHost) fields[at] = field.removed;
          else hasHost = true;
          break;
        case field.xForwardedPort:
          if (!isTrusted || hasPort) fields[at] = field.removed;
          else hasPort = true;
          break;
        case field.xRealIp:
          if (!isTrusted) fields[at] = field.removed;
          break;
        case field.forwarded:
          if (!isTrusted) fields[at] = field.removed;
          else {
            if (forwardedAt < 0) forwardedAt = i;
            forwardedCount++;
            forwardedLength += fields[at + 4]! - fields[at + 3]! + 2;
          }
          break;
        case field.xRequestId:
          if (this.requestIdField === field.xRequestId) idAt = i;
          break;
        case field.cdnLoop:
          if (plan.cdnLoop && this.namesUs(head, fields[at + 3]!, fields[at + 4]!)) return fault.proxyLoop;
          break;
      }
    }
    if (plan.xForwarded) {
      const { peer, listenerPort } = facts;
      const hostLength = head.authorityEnd - head.authorityStart;
      const length = NAMES.length + forLength + peer.length + hostLength + listenerPort.length;
      if (!head.hasRoom(length) || (head.count + 4) * FIELD_STRIDE > fields.length) return fault.headTooLarge;
      // All names in one copy; the fields point into it.
      const names = head.used;
      head.bytes.set(NAMES, head.base + names);
      head.used = names + NAMES.length;
      const forStart = head.used;
      if (forCount > 0) joinInto(head, field.xForwardedFor, forAt, count);
      head.write(peer);
      head.addField(field.xForwardedFor, names, names + PROTO_AT, forStart, head.used);
      if (!hasProto) {
        const protoStart = names + HTTPS_AT;
        const protoEnd = protoStart + (facts.scheme === 'https' ? 5 : 4);
        head.addField(field.xForwardedProto, names + PROTO_AT, names + HOST_AT, protoStart, protoEnd);
      }
      if (!hasHost) {
        const hostStart = head.used;
        head.writeCopy(head.authorityStart, head.authorityEnd);
        head.addField(field.xForwardedHost, names + HOST_AT, names + PORT_AT, hostStart, head.used);
      }
      if (!hasPort) {
        const portStart = head.used;
        head.write(listenerPort);
        head.addField(field.xForwardedPort, names + PORT_AT, names + HTTPS_AT, portStart, head.used);
      }
    }
    if (plan.forwarded) {
      const element = forwardedElement(head, facts);
      if (!head.hasRoom(9 + forwardedLength + element.length)) return fault.headTooLarge;
      const nameStart = head.used;
      head.write('forwarded');
      const valueStart = head.used;
      if (forwardedCount > 0) joinInto(head, field.forwarded, forwardedAt, count);
      head.write(element);
      head.addField(field.forwarded, nameStart, valueStart, valueStart, head.used);
    }
    if (this.requestIdName !== '') {
      if (this.requestIdField !== field.xRequestId) {
        idAt = this.requestIdField === field.other ? head.findName(this.requestIdName) : head.find(this.requestIdField);
      }
      if (idAt >= 0 && isTrusted && isSaneId(head, idAt)) facts.id = head.value(idAt);
      if (idAt >= 0) this.removeRequestId(head);
      if (!head.append(this.requestIdField, this.requestIdName, facts.id)) return fault.headTooLarge;
    }
    if (plan.via.request && !head.append(field.via, 'via', this.viaOf(head.version))) return fault.headTooLarge;
    if (plan.cdnLoop && !head.append(field.cdnLoop, 'cdn-loop', this.loopId)) return fault.headTooLarge;
    return 0;
  }

  /** Edits a final response head on its way to the client. Returns 0 or fault.responseHeadTooLarge. */
  response(head: Head, facts: RequestFacts): number {
    const { plan } = this;
    if (plan.via.response && !head.append(field.via, 'via', this.viaOf(head.version))) return fault.responseHeadTooLarge;
    if (this.requestIdName !== '') {
      this.removeRequestId(head);
      if (!head.append(this.requestIdField, this.requestIdName, facts.id)) return fault.responseHeadTooLarge;
    }
    if (plan.proxyStatus === 'always') {
      const hop = facts.pool === '' ? '' : `; next-hop=${structuredItem(facts.pool)}`;
      const value = `${this.proxyStatusNode}${hop}; received-status=${head.status}`;
      if (!head.append(field.proxyStatus, 'proxy-status', value)) return fault.responseHeadTooLarge;
    }
    return 0;
  }

  private removeRequestId(head: Head): void {
    if (this.requestIdField === field.other) head.removeName(this.requestIdName);
    else head.removeAll(this.requestIdField);
  }

  private viaOf(version: number): string {
    return version === 11 ? this.via11 : version === 20 ? this.via20 : this.via10;
  }

  /** Is one of the cdn-ids in this list ours (RFC 8586 §2)? Ids compare without case, parameters do not count. */
  private namesUs(head: Head, start: number, end: number): boolean {
    const { bytes, base } = head;
    const { loopId } = this;
    const to = base + end;
    let i = base + start;
    while (i < to) {
      while (i < to && (bytes[i] === 32 || bytes[i] === 9 || bytes[i] === 44)) i++;
      const from = i;
      while (i < to && bytes[i] !== 44 && bytes[i] !== 59 && bytes[i] !== 32 && bytes[i] !== 9) i++;
      if (i - from === loopId.length && equalsIgnoreCase(bytes, from, loopId)) return true;
      // Parameters up to the next comma outside of a quoted string.
      for (let isQuoted = false; i < to && (isQuoted || bytes[i] !== 44); i++) {
        if (bytes[i] === 34) isQuoted = !isQuoted;
        else if (isQuoted && bytes[i] === 92) i++;
      }
    }
    return false;
  }
}

/** Copies the values of all live fields of this id, each followed by ", ", and removes the fields. The caller checked the room. */
function joinInto(head: Head, id: number, from: number, count: number): void {
  const { fields } = head;
  for (let i = from; i < count; i++) {
    const at = i * FIELD_STRIDE;
    if (fields[at] !== id) continue;
    fields[at] = field.removed;
    // An empty line adds nothing to a list.
    if (fields[at + 3] === fields[at + 4]) continue;
    head.writeCopy(fields[at + 3]!, fields[at + 4]!);
    head.write(', ');
  }
}

/** RFC 7239 §4: IPv6 and whatever is no token is quoted. */
function forwardedElement(head: Head, facts: RequestFacts): string {
  const { peer } = facts;
  const node = peer.includes(':') ? (peer.startsWith('unix') ? 'unknown' : `"[${peer}]"`) : peer === '' ? 'unknown' : peer;
  const host = head.text(head.authorityStart, head.authorityEnd);
  const hostPair =
    host === '' ? '' : `;host=${/^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/.test(host) ? host : `"${host.replace(/[\\"]/g, '\\$&')}"`}`;
  return `for=${node}${hostPair};proto=${facts.scheme}`;
}

function startsWithPrefix(head: Head, nameStart: number, nameEnd: number): boolean {
  if (nameEnd - nameStart < PREFIX.length) return false;
  return equalsIgnoreCase(head.bytes, head.base + nameStart, PREFIX);
}

/** `text` is in lower case. */
function equalsIgnoreCase(bytes: Uint8Array, at: number, text: string): boolean {
  for (let i = 0; i < text.length; i++) {
    let a = bytes[at + i]!;
    let b = text.charCodeAt(i);
    if (a >= 65 && a <= 90) a |= 32;
    if (b >= 65 && b <= 90) b |= 32;
    if (a !== b) return false;
  }
  return true;
}

/** Characters of UUIDs, ULIDs, base64 and W3C ids: nothing that a log, a shell or a page could stumble over. */
function isSaneId(head: Head, index: number): boolean {
  const start = head.base + head.fields[index * FIELD_STRIDE + 3]!;
  const end = head.base + head.fields[index * FIELD_STRIDE + 4]!;
  if (start === end || end - start > ID_BYTES_MAX) return false;
  for (let i = start; i < end; i++) {
    const c = head.bytes[i]!;
    const isLetter = (c | 32) >= 97 && (c | 32) <= 122;
    // 43 + 45 - 46 . 47 / 58 : 61 = 95 _ 126 ~
    if (!isLetter && !(c >= 45 && c <= 58) && c !== 43 && c !== 61 && c !== 95 && c !== 126) return false;
  }
  return true;
}
