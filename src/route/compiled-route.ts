/**
 * CompiledRoute: the conditions of one route, ready to be asked one by one. What each says is what `weir explain` prints.
 */
import { CidrSet } from '../base/client-address.ts';
import { FIELD_STRIDE, field, fieldIdOf, type Head, method, methodNames } from '../base/head.ts';
import type { PathMatchPlan, RoutePlan } from '../state/plan.ts';
import { normalizePath } from './normal-path.ts';
import { findQueryValue, queryValueBytes } from './query.ts';
import type { Subject } from './subject.ts';
import { startsWith, TextMatch, utf8, wholeRegex } from './text-match.ts';

export const pathKind = Object.freeze({ any: 0, exact: 1, prefix: 2, segments: 3, regex: 4 });
const hostKind = Object.freeze({ any: 0, exact: 1, wildcard: 2 });
const encoder = new TextEncoder();
const EMPTY = new Uint8Array(0);

interface HeaderCondition {
  readonly name: string;
  readonly id: number;
  readonly match: TextMatch;
}
interface QueryCondition {
  readonly name: string;
  readonly nameBytes: Uint8Array;
  readonly match: TextMatch;
}

export class CompiledRoute {
  readonly plan: RoutePlan;
  /** Lower-case host, or the suffix behind `*.`. */
  readonly host: Uint8Array;
  readonly hostKind: number;
  readonly pathKind: number;
  /** Exact path or prefix in normal form; of a segments path its leading segments that are not `*`. */
  readonly path: Uint8Array;
  private readonly segments: readonly (Uint8Array | null)[];
  private readonly rest: boolean;
  private readonly regex: RegExp | null;
  /** Bit per known method number; 0: any. */
  private readonly methodBits: number;
  private readonly otherMethods: readonly Uint8Array[];
  private readonly headers: readonly HeaderCondition[];
  private readonly query: readonly QueryCondition[];
  private readonly clients: CidrSet | null;
  /** Normal form of the prefix that the rewrite takes off, no slash at its end; null: none. */
  readonly strip: Uint8Array | null;
  /** Nothing beyond host and path is asked. */
  readonly isPlain: boolean;

  constructor(plan: RoutePlan) {
    const { match } = plan;
    this.plan = plan;
    this.host = match.host === null ? EMPTY : encoder.encode(match.host.value.toLowerCase());
    this.hostKind = match.host === null ? hostKind.any : match.host.wildcard ? hostKind.wildcard : hostKind.exact;
    const path = compilePath(match.path);
    this.pathKind = path.kind;
    this.path = path.value;
    this.segments = path.segments;
    this.rest = path.rest;
    this.regex = path.regex;
    let bits = 0;
    const others: Uint8Array[] = [];
    for (const name of match.methods ?? []) {
      const known = methodNames.indexOf(name);
      if (known > method.OTHER) bits |= 1 << known;
      else {
        bits |= 1 << method.OTHER;
        others.push(encoder.encode(name));
      }
    }
    this.methodBits = bits;
    this.otherMethods = others;
    this.headers = match.headers.map((h) => ({ name: h.name, id: fieldIdOf(h.name), match: new TextMatch(h.match) }));
    this.query = match.query.map((q) => ({ name: q.name, nameBytes: encoder.encode(q.name), match: new TextMatch(q.match) }));
    this.clients = match.clients === null ? null : new CidrSet(match.clients);
    const strip = plan.rewrite?.stripPrefix ?? null;
    this.strip = strip === null ? null : normalText(strip.replace(/\/+$/, ''));
    this.isPlain = bits === 0 && this.headers.length === 0 && this.query.length === 0 && this.clients === null;
  }

  matches(subject: Subject): boolean {
    return (
      this.matchesMethod(subject.head) && this.matchesHost(subject) && this.matchesPath(subject) && this.matchesRest(subject)
    );
  }

  /** Everything beyond host and path. */
  matchesRest(subject: Subject): boolean {
    if (this.isPlain) return true;
    if (!this.matchesMethod(subject.head)) return false;
    if (this.clients !== null && !this.clients.has(subject.peer)) return false;
    for (let i = 0; i < this.headers.length; i++) if (!this.matchesHeader(subject.head, i)) return false;
    for (let i = 0; i < this.query.length; i++) if (!this.matchesQuery(subject.head, i)) return false;
    return true;
  }

  matchesHost(subject: Subject): boolean {
    if (this.hostKind === hostKind.any) return true;
    const { host } = this;
    const { hostLength } = subject;
    if (this.hostKind === hostKind.exact) return hostLength === host.length && startsWith(subject.host, 0, host);
    // At least one character and a dot in front of the suffix.
    const at = hostLength - host.length;
    return at >= 2 && subject.host[at - 1] === 46 && startsWith(subject.host, at, host);
  }

  matchesPath(subject: Subject): boolean {
    const { path } = this;
    const { pathStart, pathEnd } = subject;
    switch (this.pathKind) {
      case pathKind.any:
        return true;
      case pathKind.exact:
        return pathEnd - pathStart === path.length && startsWith(subject.path, pathStart, path);
      case pathKind.prefix: {
        const end = pathStart + path.length;
        if (pathEnd < end || !startsWith(subject.path, pathStart, path)) return false;
        return pathEnd === end || subject.path[end] === 47;
      }
      case pathKind.segments:
        return this.matchesSegments(subject);
      default:
        return this.regex!.test(utf8(subject.path, pathStart, pathEnd));
    }
  }

  /** Does this path, in normal form, begin with what the rewrite takes off? */
  strips(path: Uint8Array, length: number): boolean {
    const { strip } = this;
    if (strip === null || strip.length > length || !startsWith(path, 0, strip)) return false;
    return strip.length === length || strip.length <= 1 || path[strip.length] === 47;
  }

  private matchesSegments(subject: Subject): boolean {
    const { segments } = this;
    const { path, pathEnd } = subject;
    let at = subject.pathStart;
    for (let s = 0; s < segments.length; s++) {
      if (at >= pathEnd || path[at] !== 47) return false;
      const from = ++at;
      while (at < pathEnd && path[at] !== 47) at++;
      const wanted = segments[s];
      if (wanted === null || wanted === undefined) {
        if (at === from) return false;
      } else if (at - from !== wanted.length || !startsWith(path, from, wanted)) {
        return false;
      }
    }
    return at === pathEnd || this.rest;
  }

  matchesMethod(head: Head): boolean {
    const { methodBits } = this;
    if (methodBits === 0) return true;
    if ((methodBits & (1 << head.method)) === 0) return false;
    if (head.method !== method.OTHER) return true;
    const length = head.methodEnd - head.methodStart;
    for (const name of this.otherMethods) {
      if (name.length === length && startsWith(head.bytes, head.base + head.methodStart, name)) return true;
    }
    return false;
  }

  /**
   * A header condition holds when one live field line of that name satisfies it. The codec takes Host and Upgrade out of the fields, so those
   * two are looked at where it puts them.
   */
  matchesHeader(head: Head, index: number): boolean {
    const { name, id, match } = this.headers[index]!;
    const { bytes, base, fields } = head;
    if (id === field.host) {
      return (
        head.authorityEnd > head.authorityStart && match.matches(bytes, base + head.authorityStart, base + head.authorityEnd)
      );
    }
    if (id === field.upgrade) {
      return head.upgradeEnd > head.upgradeStart && match.matches(bytes, base + head.upgradeStart, base + head.upgradeEnd);
    }
    let at = id === field.other ? head.findName(name) : head.find(id);
    while (at >= 0) {
      const p = at * FIELD_STRIDE;
      if (match.matches(bytes, base + fields[p + 3]!, base + fields[p + 4]!)) return true;
      at = id === field.other ? head.findName(name, at + 1) : head.find(id, at + 1);
    }
    return false;
  }

  matchesQuery(head: Head, index: number): boolean {
    const { nameBytes, match } = this.query[index]!;
    if (head.queryStart < 0) return false;
    const length = findQueryValue(head.bytes, head.base + head.queryStart, head.base + head.queryEnd, nameBytes);
    return length >= 0 && match.matches(queryValueBytes(), 0, length);
  }

  /** Which conditions fail, in words; empty when it matches. Allocates. */
  misses(subject: Subject): string[] {
    const { match } = this.plan;
    const { head } = subject;
    const missed: string[] = [];
    if (!this.matchesHost(subject)) missed.push(`host ${match.host!.value}`);
    if (!this.matchesPath(subject)) missed.push(`path ${pathText(match.path)}`);
    if (!this.matchesMethod(head)) missed.push(`method ${match.methods!.join(', ')}`);
    this.headers.forEach((h, i) => {
      if (!this.matchesHeader(head, i)) missed.push(`header ${h.name} ${h.match.describe()}`);
    });
    this.query.forEach((q, i) => {
      if (!this.matchesQuery(head, i)) missed.push(`query ${q.name} ${q.match.describe()}`);
    });
    if (this.clients !== null && !this.clients.has(subject.peer)) missed.push('client address');
    return missed;
  }

  /** How far from matching, without words: conditions that fail, host weighing most, then path. 0: it matches. */
  distance(subject: Subject): number {
    let sum = 0;
    if (!this.matchesHost(subject)) sum += 1000;
    if (!this.matchesPath(subject)) sum += 100;
    if (!this.matchesMethod(subject.head)) sum += 1;
    for (let i = 0; i < this.headers.length; i++) if (!this.matchesHeader(subject.head, i)) sum += 1;
    for (let i = 0; i < this.query.length; i++) if (!this.matchesQuery(subject.head, i)) sum += 1;
    if (this.clients !== null && !this.clients.has(subject.peer)) sum += 1;
    return sum;
  }
}

/** A path condition as the configuration writes it. */
export function pathText(path: PathMatchPlan): string {
  switch (path.kind) {
    case 'any':
      return '/*';
    case 'exact':
      return path.value;
    case 'prefix':
      return path.value.replace(/\/*$/, '/*');
    case 'segments':
      return '/' + path.segments.join('/') + (path.rest ? '/*' : '');
    case 'regex':
      return `~${path.value}`;
  }
}

interface CompiledPath {
  readonly kind: number;
  readonly value: Uint8Array;
  readonly segments: readonly (Uint8Array | null)[];
  readonly rest: boolean;
  readonly regex: RegExp | null;
}

function compilePath(path: PathMatchPlan): CompiledPath {
  const none = { value: EMPTY, segments: [], rest: false, regex: null };
  switch (path.kind) {
    case 'any':
      return { ...none, kind: pathKind.any };
    case 'exact':
      return { ...none, kind: pathKind.exact, value: normalText(path.value) };
    case 'prefix': {
      const value = normalText(path.value.replace(/\/+$/, ''));
      return value.length <= 1 ? { ...none, kind: pathKind.any } : { ...none, kind: pathKind.prefix, value };
    }
    case 'segments': {
      const segments = path.segments.map((s) => (s === '*' ? null : normalText('/' + s).slice(1)));
      const wild = segments.indexOf(null);
      const leading = wild < 0 ? segments : segments.slice(0, wild);
      const value = encodeSegments(leading as Uint8Array[]);
      return { ...none, kind: pathKind.segments, value, segments, rest: path.rest };
    }
    case 'regex':
      return { ...none, kind: pathKind.regex, regex: wholeRegex(path.value) };
  }
}

function encodeSegments(segments: readonly Uint8Array[]): Uint8Array {
  const bytes: number[] = [];
  for (const s of segments) bytes.push(47, ...s);
  return Uint8Array.from(bytes);
}

/** A path of the configuration, as UTF-8 in normal form; as it stands when it has none (it then matches only what is spelt so). */
function normalText(path: string): Uint8Array {
  const bytes = encoder.encode(path);
  const out = new Uint8Array(bytes.length + 2);
  const length = normalizePath(bytes, 0, bytes.length, out);
  return length < 0 ? bytes : out.slice(0, length);
}
