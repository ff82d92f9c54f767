/**
 * LimitKey: what a rate limit tells clients apart by, as two hashes. A key is never made a text: the bytes of a header are hashed where they stand, an
 * address by its numbers.
 *
 * Rules
 * 1. The seeds are the table's own secret: keys cannot be aimed at a row. xxHash is no cipher, so who chooses long keys may make two that are one; then he shares
 *    an allowance with himself.
 * 2. The name and the numbers of the limit are part of the key: limits do not share rows, and a limit that was changed begins anew.
 * 3. Text between placeholders is the same in every key and is left out. Each part is hashed with its length, so parts cannot run into each other.
 * 4. A header that is missing or empty is replaced by the client's address: else all who send none would be one client.
 * 5. An IPv6 client is its /64: every host may take as many addresses of it as it likes (RFC 4291 §2.5.1, RFC 8981).
 */
import type { ClientAddress } from '../base/client-address.ts';
import { fmix32, xxhash32Signed } from '../base/hash.ts';
import { FIELD_STRIDE, field, type Head } from '../base/head.ts';
import type { LimitTable } from '../state/limits.ts';
import type { RateLimitPlan } from '../state/plan.ts';
import type { RequestFacts } from './facts.ts';
import { type Part, part, partText, template } from './template.ts';

/** Tells an address that stands for a missing header from one that is asked for. */
const MISSING = 0x5bd1e995;
/** Longest host that is compared without case; longer ones are no names (RFC 1035 §2.3.4). */
const HOST_BYTES_MAX = 256;
const hostBytes = new Uint8Array(HOST_BYTES_MAX);

export class LimitKey {
  /** The hashes of the last request, signed. */
  set = 0;
  tag = 0;
  private readonly parts: readonly Part[];
  private readonly salt: number;

  constructor(name: string, plan: RateLimitPlan) {
    const { algorithm, requests, windowMs, burst, key } = plan;
    this.parts = template(key).parts.filter((p) => p.kind !== part.literal);
    const own = new TextEncoder().encode(JSON.stringify([name, algorithm, requests, windowMs, burst, key]));
    this.salt = xxhash32Signed(own, 0, own.length, 0);
  }

  /** Hashes the key of a request into {@link set} and {@link tag}. */
  read(head: Head, client: ClientAddress, facts: RequestFacts, limits: LimitTable): void {
    const { parts, salt } = this;
    this.set = limits.setSeed ^ salt;
    this.tag = limits.tagSeed ^ salt;
    for (let i = 0; i < parts.length; i++) this.mix(parts[i]!, head, client, facts);
  }

  private mix(p: Part, head: Head, client: ClientAddress, facts: RequestFacts): void {
    switch (p.kind) {
      case part.clientIp:
        this.address(client);
        break;
      case part.header: {
        if (p.id === field.host) {
          this.bytes(head, head.authorityStart, head.authorityEnd);
          break;
        }
        const at = (p.id === field.other ? head.findName(p.text) : head.find(p.id)) * FIELD_STRIDE;
        const start = at < 0 ? 0 : head.fields[at + 3]!;
        const end = at < 0 ? 0 : head.fields[at + 4]!;
        if (start < end) this.bytes(head, start, end);
        else {
          this.number(MISSING);
          this.address(client);
        }
        break;
      }
      case part.host:
        this.host(head);
        break;
      case part.authority:
        this.bytes(head, head.authorityStart, head.authorityEnd);
        break;
      case part.path:
        this.bytes(head, head.pathStart, head.pathEnd);
        break;
      case part.query:
        this.bytes(head, head.queryStart, head.queryEnd);
        break;
      case part.uri:
        this.bytes(head, head.pathStart, head.pathEnd);
        this.bytes(head, head.queryStart, head.queryEnd);
        break;
      case part.method:
        this.bytes(head, head.methodStart, head.methodEnd);
        break;
      default:
        this.text(partText(p, head, facts));
    }
  }

  private address(client: ClientAddress): void {
    this.number(client.family);
    if (client.family === 6) {
      this.number(client.word0);
      this.number(client.word1);
    } else this.number(client.word3);
  }

  private number(value: number): void {
    this.set = fmix32(this.set ^ value) | 0;
    this.tag = fmix32(this.tag ^ value) | 0;
  }

  private bytes(head: Head, start: number, end: number): void {
    const { bytes, base } = head;
    this.set = xxhash32Signed(bytes, base + start, base + end, this.set);
    this.tag = xxhash32Signed(bytes, base + start, base + end, this.tag);
  }

  /** The host without port, in lower case: names compare without case (RFC 9110 §4.2.3). */
  private host(head: Head): void {
    const { bytes, base, authorityStart } = head;
    const length = Math.min(HOST_BYTES_MAX, head.authorityEnd - authorityStart);
    let end = 0;
    // A colon inside of brackets belongs to an IPv6 address.
    for (let isBracketed = false; end < length; end++) {
      const c = bytes[base + authorityStart + end]!;
      if (c === 91 /* [ */) isBracketed = true;
      else if (c === 93 /* ] */) isBracketed = false;
      else if (c === 58 /* : */ && !isBracketed) break;
      hostBytes[end] = c >= 65 && c <= 90 ? c | 32 : c;
    }
    this.set = xxhash32Signed(hostBytes, 0, end, this.set);
    this.tag = xxhash32Signed(hostBytes, 0, end, this.tag);
  }

  private text(text: string): void {
    for (let i = 0; i < text.length; i++) this.number(text.charCodeAt(i));
    this.number(text.length);
  }
}
