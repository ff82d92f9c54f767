/**
 * RouteTable: the routes of one listener, and the search among them.
 *
 * Few routes are asked one after the other. Many stand in an index: host (exact, or suffix behind `*.`) -> path (exact, or prefix at a
 * segment boundary) -> the routes found there, by precedence. Each list is walked only until it cannot beat the best so far, so the answer is
 * the same as that of asking every route in the plan's order, at a cost that hardly grows with their number.
 */
import { ClientAddress } from '../base/client-address.ts';
import { Head } from '../base/head.ts';
import type { Plan } from '../state/plan.ts';
import { ByteIndex, HASH_START, hashBackward, hashByte, hashForward } from './byte-index.ts';
import { CompiledRoute, pathKind } from './compiled-route.ts';
import { hasNormalForm, NO_NORMAL_FORM, normalizePath } from './normal-path.ts';
import { Subject } from './subject.ts';

/** No route matches. */
export const NO_ROUTE = -1;
/** The path may be read in two ways that disagree about the route, or not at all: answer 400. */
export const BAD_PATH = -2;

/** Up to so many routes are asked in turn; measured, the index wins above. */
const LINEAR_MAX = 6;
/** Labels a host can have: HOST_BYTES_MAX / 2. */
const LABELS_MAX = 128;
/** Larger than any ordinal. */
const NONE_YET = 0x7fffffff;
/** Routes looked at for the nearest miss, so that a 404 stays cheap. */
const NEAREST_MAX = 256;

/** The routes of one host, by their ordinals in precedence order. */
interface HostGroup {
  readonly exact: ByteIndex;
  readonly exactLists: readonly Int32Array[];
  readonly prefix: ByteIndex;
  readonly prefixLists: readonly Int32Array[];
  /** Routes whose path cannot be looked up. */
  readonly scan: Int32Array;
}

/** What `explain` says of one route. */
export interface MatchStep {
  /** Index in plan.routes. */
  readonly route: number;
  readonly name: string;
  readonly source: string;
  readonly verdict: 'taken' | 'also fits' | 'missed';
  /** Conditions that failed: "path /orders/*", "method POST". */
  readonly missed: readonly string[];
}
/** A match with its reasons. */
export interface MatchTrace {
  /** As match() returns it. */
  readonly route: number;
  /** The path routes were compared with, or '' when it has no normal form. */
  readonly path: string;
  readonly steps: readonly MatchStep[];
}

export class RouteTable {
  /** Routes of this listener, most specific first. */
  private readonly routes: readonly CompiledRoute[];
  /** Index in plan.routes of each. */
  private readonly planIndex: Int32Array;
  private readonly asksHost: boolean;
  private readonly isLinear: boolean;
  private readonly subject: Subject;
  private normal = new Uint8Array(1024);

  private readonly hosts: ByteIndex;
  private readonly hostGroups: readonly HostGroup[];
  private readonly suffixes: ByteIndex;
  private readonly suffixGroups: readonly HostGroup[];
  private readonly anyHost: HostGroup;
  /** Segments of the longest prefix. */
  private readonly depthMax: number;
  // Filled by each search: prefixes of the path at segment boundaries, and the suffix groups that fit.
  private readonly boundaryHash: Int32Array;
  private readonly boundaryEnd: Int32Array;
  private readonly suffixFound = new Int32Array(LABELS_MAX);

  constructor(plan: Plan, listenerIndex: number) {
    const planIndex: number[] = [];
    plan.routes.forEach((route, i) => {
      if (route.listeners === null || route.listeners.includes(listenerIndex)) planIndex.push(i);
    });
    this.planIndex = Int32Array.from(planIndex);
    this.routes = planIndex.map((i) => new CompiledRoute(plan.routes[i]!));
    this.asksHost = this.routes.some((r) => r.plan.match.host !== null);
    this.isLinear = this.routes.length <= LINEAR_MAX;
    this.subject = new Subject(new Head(new Uint8Array(0), 0), new ClientAddress());

    const byHost = new Map<string, number[]>();
    const bySuffix = new Map<string, number[]>();
    const any: number[] = [];
    this.routes.forEach((route, o) => {
      const { host } = route.plan.match;
      if (host === null) any.push(o);
      else push(host.wildcard ? bySuffix : byHost, host.value.toLowerCase(), o);
    });
    this.hosts = new ByteIndex(encodeKeys(byHost), hashBackward);
    this.hostGroups = [...byHost.values()].map((list) => this.group(list));
    this.suffixes = new ByteIndex(encodeKeys(bySuffix), hashBackward);
    this.suffixGroups = [...bySuffix.values()].map((list) => this.group(list));
    this.anyHost = this.group(any);
    let depth = 0;
    for (const { path } of this.routes) depth = Math.max(depth, segmentsOf(path));
    this.depthMax = depth;
    this.boundaryHash = new Int32Array(depth + 1);
    this.boundaryEnd = new Int32Array(depth + 1);
  }

  get count(): number {
    return this.routes.length;
  }

  /**
   * Index in plan.routes of the first route that matches, {@link NO_ROUTE} or {@link BAD_PATH}. Allocates nothing unless a regular
   * expression has to be asked.
   */
  match(head: Head, client: ClientAddress): number {
    const { subject } = this;
    subject.head = head;
    subject.peer = client;
    if (this.asksHost) subject.setHost(head);
    subject.setPlainPath(head);
    const found = head.pathIsPlain ? this.find() : this.findOdd(head);
    return found >= 0 ? this.planIndex[found]! : found;
  }

  /**
   * A path with escapes, dots, doubled slashes or parameters: matched in its normal form, while the original goes on. Where the original, read
   * letter by letter, lies under a route that its normal form is not part of, the endpoint might leave the place the route
   * opened: BAD_PATH.
   */
  private findOdd(head: Head): number {
    const { subject } = this;
    const { bytes } = head;
    const start = head.base + head.pathStart;
    const end = head.base + head.pathEnd;
    if (this.normal.length < end - start + 2) this.normal = new Uint8Array(end - start + 2);
    const length = normalizePath(bytes, start, end, this.normal);
    if (length === NO_NORMAL_FORM) return BAD_PATH;
    const literal = this.find();
    subject.setNormalPath(this.normal, length);
    const found = this.find();
    if (literal >= 0 && literal !== found && !this.routes[literal]!.matchesPath(subject)) return BAD_PATH;
    if (found >= 0 && this.routes[found]!.strip !== null) {
      const route = this.routes[found]!;
      const after = prefixEnd(bytes, start, end, route.plan.rewrite!.stripPrefix!);
      // Taken off the original, what is left must stay where it is put; and what cannot be taken off must not be there.
      if (after >= 0 ? !hasNormalForm(bytes, after, end) : route.strips(this.normal, length)) return BAD_PATH;
    }
    return found;
  }

  /** Ordinal of the first route that matches the subject, or NO_ROUTE. */
  private find(): number {
    const { routes, subject } = this;
    if (this.isLinear) {
      for (let o = 0; o < routes.length; o++) if (routes[o]!.matches(subject)) return o;
      return NO_ROUTE;
    }
    const boundaries = this.findBoundaries();
    let best = NONE_YET;
    if (this.asksHost) {
      const { host, hostLength } = subject;
      let h = HASH_START;
      let found = 0;
      if (this.suffixes.size === 0) {
        h = hashBackward(host, 0, hostLength);
      } else {
        for (let i = hostLength - 1; i >= 0; i--) {
          // A wildcard stands for at least one character in front of the dot.
          if (host[i] === 46 && i > 0) {
            const g = this.suffixes.find(h, host, i + 1, hostLength);
            if (g >= 0 && found < LABELS_MAX) this.suffixFound[found++] = g;
          }
          h = hashByte(h, host[i]!);
        }
      }
      const g = this.hosts.find(h, host, 0, hostLength);
      if (g >= 0) best = this.findIn(this.hostGroups[g]!, boundaries, best);
      while (found > 0) best = this.findIn(this.suffixGroups[this.suffixFound[--found]!]!, boundaries, best);
    }
    best = this.findIn(this.anyHost, boundaries, best);
    return best === NONE_YET ? NO_ROUTE : best;
  }

  /** Notes the ends of the path's prefixes at segment boundaries with their hashes; the last entry is the whole path. Returns their number. */
  private findBoundaries(): number {
    const { path, pathStart, pathEnd } = this.subject;
    const { boundaryHash, boundaryEnd, depthMax } = this;
    let h = HASH_START;
    let count = 0;
    let i = pathStart;
    for (; i < pathEnd; i++) {
      const c = path[i]!;
      if (c === 47 && i > pathStart && count < depthMax) {
        boundaryHash[count] = h;
        boundaryEnd[count++] = i;
      }
      h = hashByte(h, c);
    }
    boundaryHash[count] = h;
    boundaryEnd[count++] = pathEnd;
    return count;
  }

  private findIn(group: HostGroup, boundaries: number, best: number): number {
    const { path, pathStart } = this.subject;
    const { boundaryHash, boundaryEnd } = this;
    if (group.exact.size > 0) {
      const last = boundaries - 1;
      const k = group.exact.find(boundaryHash[last]!, path, pathStart, boundaryEnd[last]!);
      if (k >= 0) best = this.firstOf(group.exactLists[k]!, best, false);
    }
    if (group.prefix.size > 0) {
      for (let b = boundaries - 1; b >= 0; b--) {
        const k = group.prefix.find(boundaryHash[b]!, path, pathStart, boundaryEnd[b]!);
        if (k >= 0) best = this.firstOf(group.prefixLists[k]!, best, true);
      }
    }
    return this.firstOf(group.scan, best, true);
  }

  /** The first of these routes that matches and comes before `best`, else `best`. `asksPath`: the lookup did not settle the path. */
  private firstOf(list: Int32Array, best: number, asksPath: boolean): number {
    const { routes, subject } = this;
    for (let i = 0; i < list.length; i++) {
      const o = list[i]!;
      if (o >= best) return best;
      const route = routes[o]!;
      if (asksPath && route.pathKind >= pathKind.segments && !route.matchesPath(subject)) continue;
      if (route.matchesRest(subject)) return o;
    }
    return best;
  }

  private group(ordinals: readonly number[]): HostGroup {
    const exact = new Map<string, number[]>();
    const prefix = new Map<string, number[]>();
    const scan: number[] = [];
    for (const o of ordinals) {
      const route = this.routes[o]!;
      const key = Buffer.from(route.path).toString('latin1');
      if (route.pathKind === pathKind.exact) push(exact, key, o);
      else if (key === '') scan.push(o);
      else push(prefix, key, o);
    }
    return {
      exact: new ByteIndex(latin1Keys(exact), hashForward),
      exactLists: [...exact.values()].map((list) => Int32Array.from(list)),
      prefix: new ByteIndex(latin1Keys(prefix), hashForward),
      prefixLists: [...prefix.values()].map((list) => Int32Array.from(list)),
      scan: Int32Array.from(scan),
    };
  }

  /** The same match, with what every route says. Asks all routes: off the hot path. */
  explain(head: Head, client: ClientAddress): MatchTrace {
    const taken = this.match(head, client);
    const { subject } = this;
    const steps = this.routes.map((route, o): MatchStep => {
      const missed = route.misses(subject);
      const index = this.planIndex[o]!;
      const verdict = index === taken ? 'taken' : missed.length === 0 ? 'also fits' : 'missed';
      return { route: index, name: route.plan.name, source: route.plan.source, verdict, missed };
    });
    const path = Buffer.from(subject.path.subarray(subject.pathStart, subject.pathEnd)).toString();
    return { route: taken, path: taken === BAD_PATH ? '' : path, steps };
  }

  /**
   * One sentence on the route that came nearest, for the body of a 404: "Nearest is route login: method POST does not match." Empty when no
   * route of this host and path comes near.
   */
  nearestMiss(head: Head, client: ClientAddress): string {
    if (this.match(head, client) >= 0) return '';
    const { routes, subject } = this;
    let nearest = -1;
    let least = 1000;
    for (let o = 0; o < routes.length && o < NEAREST_MAX; o++) {
      const distance = routes[o]!.distance(subject);
      if (distance < least) {
        least = distance;
        nearest = o;
      }
    }
    if (nearest < 0) return 'No route is for this host.';
    const route = routes[nearest]!;
    const missed = route.misses(subject);
    if (missed.length === 0) return '';
    return `Nearest is route ${route.plan.name}: ${missed.join(' and ')} ${missed.length === 1 ? 'does' : 'do'} not match.`;
  }
}

/** Where `prefix` ends in bytes[start, end) when it stands there at a segment boundary, else -1. */
export function prefixEnd(bytes: Uint8Array, start: number, end: number, prefix: string): number {
  let length = prefix.length;
  if (length > 0 && prefix.charCodeAt(length - 1) === 47) length--;
  const after = start + length;
  if (after > end || (after < end && bytes[after] !== 47)) return -1;
  for (let i = 0; i < length; i++) if (bytes[start + i] !== prefix.charCodeAt(i)) return -1;
  return after;
}

function segmentsOf(path: Uint8Array): number {
  let count = 0;
  for (const c of path) if (c === 47) count++;
  return count;
}

function push(map: Map<string, number[]>, key: string, value: number): void {
  const list = map.get(key);
  if (list === undefined) map.set(key, [value]);
  else list.push(value);
}

function encodeKeys(map: Map<string, unknown>): Uint8Array[] {
  return [...map.keys()].map((key) => new TextEncoder().encode(key));
}
function latin1Keys(map: Map<string, unknown>): Uint8Array[] {
  return [...map.keys()].map((key) => new Uint8Array(Buffer.from(key, 'latin1')));
}
