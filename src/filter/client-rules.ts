/**
 * Who is the client? The peer, unless the listener trusts the peer and the peer says it speaks for another.
 *
 * Rules
 * 1. Fields are read only from trusted peers (RFC 7239 §8.1: anybody can write them).
 * 2. A list is read from the right, where the nearest proxy wrote. Trusted addresses are skipped; the first other one is the client. When all are
 *    trusted, it is the left-most.
 * 3. An element on the way that is no address ("unknown", "_hidden", garbage) ends the search: the client is the peer.
 */
import { CidrSet, type ClientAddress } from '../base/client-address.ts';
import { FIELD_STRIDE, field, fieldIdOf, type Head } from '../base/head.ts';
import type { ListenerPlan } from '../state/plan.ts';

/** Where the client's address came from. */
export const clientFrom = Object.freeze({
  /** It is the peer's: nobody said otherwise. */
  peer: 0,
  /** A trusted peer said so. */
  field: 1,
  /** A trusted peer said something that cannot be read; it is the peer's. */
  malformed: 2,
});

/** Elements of one Forwarded field; more is malformed. */
const ELEMENTS_MAX = 64;
/** Start and end of the `for` value of each element; start -1 where there is none. */
const elements = new Int32Array(ELEMENTS_MAX * 2);

export class ClientRules {
  private readonly trusted: CidrSet;
  private readonly name: string;
  private readonly id: number;

  constructor(plan: ListenerPlan['clientIp']) {
    this.trusted = new CidrSet(plan.trust);
    this.name = plan.header.toLowerCase();
    this.id = fieldIdOf(this.name);
  }

  /** Are this peer's forwarded fields believed? Ask once per connection. */
  trusts(peer: ClientAddress): boolean {
    return this.trusted.has(peer);
  }

  /** Writes the client's address to `out`. Call it only for a trusted peer, before the head is edited. Returns a {@link clientFrom} number. */
  resolve(head: Head, peer: ClientAddress, out: ClientAddress): number {
    let from: number = clientFrom.peer;
    // The last field line is the nearest proxy's.
    for (let i = head.count - 1; i >= 0; i--) {
      if (!this.isOurs(head, i)) continue;
      const start = head.base + head.fields[i * FIELD_STRIDE + 3]!;
      const end = head.base + head.fields[i * FIELD_STRIDE + 4]!;
      const found =
        this.id === field.forwarded
          ? this.readForwarded(head.bytes, start, end, out)
          : this.readList(head.bytes, start, end, out);
      if (found === UNREADABLE) {
        out.copy(peer);
        return clientFrom.malformed;
      }
      from = clientFrom.field;
      if (found === UNTRUSTED) return from;
    }
    if (from === clientFrom.peer) out.copy(peer);
    return from;
  }

  private isOurs(head: Head, index: number): boolean {
    const id = head.fields[index * FIELD_STRIDE]!;
    if (id !== this.id) return false;
    return id !== field.other || head.findName(this.name, index) === index;
  }

  private readList(bytes: Uint8Array, start: number, end: number, out: ClientAddress): number {
    let to = end;
    for (;;) {
      let from = to;
      while (from > start && bytes[from - 1] !== 44 /* , */) from--;
      const verdict = this.readElement(bytes, from, to, out);
      if (verdict !== TRUSTED || from === start) return verdict;
      to = from - 1;
    }
  }

  private readElement(bytes: Uint8Array, from: number, to: number, out: ClientAddress): number {
    while (from < to && isSpace(bytes[from]!)) from++;
    while (to > from && isSpace(bytes[to - 1]!)) to--;
    if (!out.setBytes(bytes, from, to)) return UNREADABLE;
    return this.trusted.has(out) ? TRUSTED : UNTRUSTED;
  }

  /** Forwarded (RFC 7239 §4): elements between commas, pairs between semicolons, values as tokens or quoted strings. */
  private readForwarded(bytes: Uint8Array, start: number, end: number, out: ClientAddress): number {
    let count = 0;
    let i = start;
    while (i <= end) {
      if (count === ELEMENTS_MAX) return UNREADABLE;
      const at = count++ * 2;
      elements[at] = -1;
      // One element.
      while (i < end && bytes[i] !== 44) {
        while (i < end && (isSpace(bytes[i]!) || bytes[i] === 59) /* ; */) i++;
        if (i >= end || bytes[i] === 44) break;
        const nameAt = i;
        while (i < end && bytes[i] !== 61 /* = */ && bytes[i] !== 59 && bytes[i] !== 44) i++;
        if (i >= end || bytes[i] !== 61) return UNREADABLE;
        const isFor = i - nameAt === 3 && isForName(bytes, nameAt);
        i++;
        let valueStart = i;
        let valueEnd = i;
        if (i < end && bytes[i] === 34 /* " */) {
          valueStart = ++i;
          while (i < end && bytes[i] !== 34) i += bytes[i] === 92 /* \ */ ? 2 : 1;
          if (i >= end) return UNREADABLE;
          valueEnd = i++;
        } else {
          while (i < end && bytes[i] !== 59 && bytes[i] !== 44 && !isSpace(bytes[i]!)) i++;
          valueEnd = i;
        }
        if (isFor) {
          // A second `for` in one element is a contradiction.
          if (elements[at]! >= 0) return UNREADABLE;
          elements[at] = valueStart;
          elements[at + 1] = valueEnd;
        }
        while (i < end && isSpace(bytes[i]!)) i++;
        if (i < end && bytes[i] !== 59 && bytes[i] !== 44) return UNREADABLE;
      }
      i++;
    }
    let verdict: number = UNREADABLE;
    for (let k = count - 1; k >= 0; k--) {
      if (elements[k * 2]! < 0) return UNREADABLE;
      verdict = this.readElement(bytes, elements[k * 2]!, elements[k * 2 + 1]!, out);
      if (verdict !== TRUSTED) return verdict;
    }
    return verdict;
  }
}

const UNREADABLE = 0;
const TRUSTED = 1;
const UNTRUSTED = 2;

function isSpace(c: number): boolean {
  return c === 32 || c === 9;
}

function isForName(bytes: Uint8Array, at: number): boolean {
  return (bytes[at]! | 32) === 102 && (bytes[at + 1]! | 32) === 111 && (bytes[at + 2]! | 32) === 114;
}
