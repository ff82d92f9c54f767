/**
 * Precedence: which of two routes is asked first. The Gateway API's order, extended by what it leaves open.
 *
 * Rules, the first that tells two routes apart decides
 * 1. The larger `priority`.
 * 2. Host: exact, then the longer wildcard, then none.
 * 3. Path: exact, then regular expression, then by segments and prefix with more characters that are spelt out, then any.
 * 4. A method, then none.
 * 5. More header conditions. 6. More query conditions. 7. A client condition. 8. Named listeners, then all.
 * 9. The order in the list.
 */
import type { PathMatchPlan, RouteMatchPlan, RoutePlan } from '../../state/plan.ts';

/** Routes that are compared with each other; where there are more, a program made the config. */
export const ROUTES_COMPARED_MAX = 1500;

/** Below 0 when `a` is asked before `b`; 0 when only their place in the list decides. */
export function comparePrecedence(a: RoutePlan, b: RoutePlan): number {
  return (
    b.priority - a.priority ||
    hostRank(b.match.host) - hostRank(a.match.host) ||
    pathClass(b.match.path) - pathClass(a.match.path) ||
    pathLength(b.match.path) - pathLength(a.match.path) ||
    Number(b.match.methods !== null) - Number(a.match.methods !== null) ||
    b.match.headers.length - a.match.headers.length ||
    b.match.query.length - a.match.query.length ||
    Number(b.match.clients !== null) - Number(a.match.clients !== null) ||
    Number(b.listeners !== null) - Number(a.listeners !== null)
  );
}

/** Sorted by precedence; routes that are equal keep their order. */
export function sortRoutes(routes: readonly RoutePlan[]): RoutePlan[] {
  return routes.toSorted(comparePrecedence);
}

/** Exact above the longer wildcard above none. */
export function hostRank(host: RouteMatchPlan['host']): number {
  if (host === null) return 0;
  // A host name has 253 characters at most, so every wildcard ranks below every exact host.
  return host.wildcard ? 1 + host.value.length : 1000;
}

function pathClass(path: PathMatchPlan): number {
  switch (path.kind) {
    case 'exact':
      return 3;
    case 'regex':
      return 2;
    case 'segments':
    case 'prefix':
      return 1;
    case 'any':
      return 0;
  }
}

function pathLength(path: PathMatchPlan): number {
  switch (path.kind) {
    case 'any':
      return 0;
    case 'segments':
      // A wildcard segment is worth its slash; without more segments to follow the pattern says one thing more.
      return path.segments.reduce((sum, s) => sum + 1 + (s === '*' ? 0 : s.length), 0) + (path.rest ? 0 : 0.5);
    default:
      return path.value.length;
  }
}

/** Does every request that `inner` matches match `outer` too? `false` also when it is not known. */
export function covers(outer: RoutePlan, inner: RoutePlan): boolean {
  const a = outer.match;
  const b = inner.match;
  return (
    coversHost(a.host, b.host) &&
    coversPath(a.path, b.path) &&
    (a.methods === null || (b.methods?.every((m) => a.methods!.includes(m)) ?? false)) &&
    a.headers.every((h) => b.headers.some((other) => same(h, other))) &&
    a.query.every((q) => b.query.some((other) => same(q, other))) &&
    (a.clients === null || same(a.clients, b.clients)) &&
    (outer.listeners === null || (inner.listeners?.every((l) => outer.listeners!.includes(l)) ?? false))
  );
}

/** Can a request match both, when nothing tells their precedence apart? */
export function mayTie(a: RoutePlan, b: RoutePlan): boolean {
  return (
    sameHost(a.match.host, b.match.host) &&
    (same(a.match.path, b.match.path) || a.match.path.kind === 'regex' || a.match.path.kind === 'segments') &&
    (a.match.methods === null || b.match.methods === null || a.match.methods.some((m) => b.match.methods!.includes(m))) &&
    (a.listeners === null || b.listeners === null || a.listeners.some((l) => b.listeners!.includes(l))) &&
    !exclude(a.match.headers, b.match.headers) &&
    !exclude(a.match.query, b.match.query) &&
    (a.match.path.kind !== 'segments' ||
      b.match.path.kind !== 'segments' ||
      segmentsMeet(a.match.path.segments, b.match.path.segments))
  );
}

function exclude(a: RouteMatchPlan['query'], b: RouteMatchPlan['query']): boolean {
  return a.some((x) =>
    b.some((y) => x.name === y.name && x.match.kind === 'exact' && y.match.kind === 'exact' && x.match.value !== y.match.value),
  );
}

function segmentsMeet(a: readonly string[], b: readonly string[]): boolean {
  const shared = Math.min(a.length, b.length);
  for (let i = 0; i < shared; i++) if (a[i] !== '*' && b[i] !== '*' && a[i] !== b[i]) return false;
  return true;
}

function sameHost(a: RouteMatchPlan['host'], b: RouteMatchPlan['host']): boolean {
  return a?.value === b?.value && a?.wildcard === b?.wildcard;
}

export function coversHost(a: RouteMatchPlan['host'], b: RouteMatchPlan['host']): boolean {
  if (a === null) return true;
  if (b === null) return false;
  if (!a.wildcard) return !b.wildcard && a.value === b.value;
  return b.value.endsWith(`.${a.value}`) || (b.wildcard && b.value === a.value);
}

function coversPath(a: PathMatchPlan, b: PathMatchPlan): boolean {
  if (a.kind === 'any' || same(a, b)) return true;
  if (a.kind === 'prefix' && (b.kind === 'exact' || b.kind === 'prefix'))
    return b.value === a.value || b.value.startsWith(`${a.value}/`);
  if (a.kind === 'prefix' && b.kind === 'segments') {
    const wanted = a.value.slice(1).split('/');
    return wanted.length <= b.segments.length && wanted.every((s, i) => s === b.segments[i]);
  }
  return false;
}

export function same(a: unknown, b: unknown): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}
