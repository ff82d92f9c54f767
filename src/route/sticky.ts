/**
 * Sticky: a client stays with its endpoint by a cookie.
 *
 * The value of an endpoint is the first 16 bytes of HMAC-SHA256(key, pool name, NUL, address) in base64url: it cannot be made or read without the key,
 * and it is the same after a reload, after a restart, and on every weir with that key. All values are made with the plan; a request costs a
 * walk along its Cookie fields and one look into a table.
 *
 * Rules
 * 1. A cookie decides only where a request goes. One that is forged, old or of another pool is a cookie that is not there.
 * 2. Weir's cookie goes no further: it is taken out of the request, the others stay byte by byte.
 * 3. Nothing here allocates once it is built, but what {@link Sticky.bind} appends.
 */
import { createHmac } from 'node:crypto';
import { FIELD_STRIDE, field, type Head } from '../base/head.ts';
import type { TableReader } from '../state/doors.ts';
import type { EndpointPlan, PoolPlan, StickyPlan } from '../state/plan.ts';

/** The request has no cookie of this name. */
export const NO_COOKIE = -1;
/** It has one, of no endpoint of this pool. */
export const UNKNOWN_COOKIE = -2;

/** No slot; as balance/ says it. */
const NONE = -1;
const TOKEN_BYTES = 16;
/** 16 bytes in base64url, no padding. */
const TOKEN_CHARS = 22;
/** 2^32 divided by the golden ratio: spreads the four characters a token begins with over the table. */
const SPREAD = 0x9e3779b1;

const SEMICOLON = 59;
const EQUALS = 61;
const SPACE = 32;
const TAB = 9;

const sameSiteNames = { lax: 'Lax', strict: 'Strict', none: 'None' } as const;

/** What the cookie of an endpoint holds. */
export function stickyToken(key: Uint8Array, pool: string, address: string): string {
  return createHmac('sha256', key).update(`${pool}\0${address}`).digest().subarray(0, TOKEN_BYTES).toString('base64url');
}

export class Sticky {
  private readonly name: Uint8Array;
  private readonly slots: Int32Array;
  private readonly limits: Int32Array;
  private readonly tokens: Uint8Array;
  /** Open addressing, at most half full: place + 1, 0 = free. */
  private readonly index: Int32Array;
  private readonly shift: number;
  /** Set-Cookie by slot: of requests that came without TLS, and with it. */
  private readonly cookies: string[] = [];
  private readonly secureCookies: string[] = [];
  private readonly table: TableReader;

  constructor(plan: StickyPlan, pool: PoolPlan, table: TableReader) {
    const usable = pool.endpoints.filter((e) => e.slot >= 0);
    const key = Buffer.from(plan.key, 'base64url');
    const bits = Math.max(2, Math.ceil(Math.log2(2 * usable.length + 1)));
    this.table = table;
    this.name = Buffer.from(plan.name, 'latin1');
    this.slots = Int32Array.from(usable, (e: EndpointPlan) => e.slot);
    this.limits = Int32Array.from(usable, (e: EndpointPlan) => e.requestsMax);
    this.tokens = new Uint8Array(usable.length * TOKEN_CHARS);
    this.index = new Int32Array(1 << bits);
    this.shift = 32 - bits;
    usable.forEach(({ slot, address }, place) => {
      const token = stickyToken(key, pool.name, address);
      this.tokens.set(Buffer.from(token, 'latin1'), place * TOKEN_CHARS);
      this.cookies[slot] = cookieText(plan, token, plan.secure ?? false);
      this.secureCookies[slot] = plan.secure === null ? cookieText(plan, token, true) : this.cookies[slot];
      let at = this.home(this.tokens, place * TOKEN_CHARS);
      while (this.index[at] !== 0) at = (at + 1) & (this.index.length - 1);
      this.index[at] = place + 1;
    });
  }

  /**
   * Takes weir's cookie out of a request. Returns the place of its endpoint, {@link NO_COOKIE} or {@link UNKNOWN_COOKIE}. Of several cookies of the name
   * the first one that is known counts. The bytes of the head must be the caller's own.
   */
  take(head: Head): number {
    let found = NO_COOKIE;
    for (let i = head.find(field.cookie); i >= 0; i = head.find(field.cookie, i + 1)) {
      const place = this.takeFrom(head, i);
      if (found < 0 && place !== NO_COOKIE) found = place;
    }
    return found;
  }

  slotAt(place: number): number {
    return this.slots[place]!;
  }

  /** The slot of a place if the endpoint can serve those that are bound to it, else NONE. */
  usableAt(place: number): number {
    const slot = this.slots[place]!;
    if (!this.table.keepsBound(slot)) return NONE;
    const limit = this.limits[place]!;
    return limit !== 0 && this.table.inFlight(slot) >= limit ? NONE : slot;
  }

  /**
   * Binds the client to the endpoint that answered; `isSecure`: the request came by TLS. Without room for the field the response goes out without: the client is bound by a later one.
   */
  bind(response: Head, slot: number, isSecure: boolean): void {
    const cookies = isSecure ? this.secureCookies : this.cookies;
    response.append(field.setCookie, 'set-cookie', cookies[slot]!);
  }

  /** One Cookie field (RFC 6265 §4.2.1): pairs with "; " between. */
  private takeFrom(head: Head, index: number): number {
    const { bytes, base, fields } = head;
    const { name } = this;
    const at = index * FIELD_STRIDE;
    let start = base + fields[at + 3]!;
    let end = base + fields[at + 4]!;
    let found = NO_COOKIE;
    for (let p = start; p < end; ) {
      let stop = p;
      while (stop < end && bytes[stop] !== SEMICOLON) stop++;
      let next = stop + 1;
      while (next < end && (bytes[next] === SPACE || bytes[next] === TAB)) next++;
      let k = 0;
      while (k < name.length && p + k < stop && bytes[p + k] === name[k]) k++;
      if (k < name.length || p + k === stop || bytes[p + k] !== EQUALS) {
        p = next;
        continue;
      }
      const place = this.placeOf(bytes, p + k + 1, stop);
      if (found < 0) found = place;
      if (next >= end) {
        // The last one: what stood before it ends earlier.
        end = p;
        while (end > start && (bytes[end - 1] === SPACE || bytes[end - 1] === TAB || bytes[end - 1] === SEMICOLON)) end--;
      } else if (p === start) {
        p = start = next;
      } else {
        bytes.copyWithin(p, next, end);
        end -= next - p;
      }
    }
    if (found === NO_COOKIE) return NO_COOKIE;
    fields[at + 3] = start - base;
    fields[at + 4] = end - base;
    if (end <= start) head.remove(index);
    return found;
  }

  private placeOf(bytes: Uint8Array, start: number, end: number): number {
    while (end > start && (bytes[end - 1] === SPACE || bytes[end - 1] === TAB)) end--;
    if (end - start !== TOKEN_CHARS) return UNKNOWN_COOKIE;
    const { index, tokens } = this;
    for (let at = this.home(bytes, start); ; at = (at + 1) & (index.length - 1)) {
      const place = index[at]! - 1;
      if (place < 0) return UNKNOWN_COOKIE;
      const token = place * TOKEN_CHARS;
      let k = 0;
      while (k < TOKEN_CHARS && tokens[token + k] === bytes[start + k]) k++;
      if (k === TOKEN_CHARS) return place;
    }
  }

  private home(bytes: Uint8Array, at: number): number {
    const first = bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24);
    return Math.imul(first, SPREAD) >>> this.shift;
  }
}

function cookieText(plan: StickyPlan, token: string, isSecure: boolean): string {
  let text = `${plan.name}=${token}`;
  if (plan.ttlS > 0) text += `; Max-Age=${plan.ttlS}`;
  text += `; Path=${plan.path}`;
  if (plan.domain !== null) text += `; Domain=${plan.domain}`;
  if (plan.sameSite !== null) text += `; SameSite=${sameSiteNames[plan.sameSite]}`;
  if (isSecure) text += '; Secure';
  if (plan.httpOnly) text += '; HttpOnly';
  return text;
}
