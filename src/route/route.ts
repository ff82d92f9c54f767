/**
 * route: message head -> route -> pool; for what is carried as it is: name, protocol, client -> route -> pool.
 *
 * A table is built from a plan for one listener, off the hot path, and asked once per request. The most specific route wins; the plan's
 * order says which that is.
 *
 * It does not know: the listener's default target, whether a pool can serve, what filters do. It opens nothing and keeps nothing between two
 * questions.
 *
 * Rules
 * 1. match() returns what asking every route in the plan's order would return; the index only makes it fast.
 * 2. Hosts compare without case, port and trailing dot; paths byte by byte, in normal form (normal-path.ts).
 * 3. match() allocates nothing, except for a regular expression, which needs a string.
 */
import type { ClientAddress } from '../base/client-address.ts';
import type { Head } from '../base/head.ts';
import type { Plan } from '../state/plan.ts';
import { type MatchTrace, RouteTable } from './table.ts';

export { HashKey, hashKeyOf } from './hash-key.ts';
export { headFromText, liveFields } from './request.ts';
export { applyRewrite } from './rewrite.ts';
export { NO_COOKIE, Sticky, stickyToken } from './sticky.ts';
export { type StreamRoute, StreamTable } from './streams.ts';
export { BAD_PATH, type MatchStep, type MatchTrace, NO_ROUTE, RouteTable } from './table.ts';
export { chooseTarget } from './target.ts';

/** Builds the table of one listener. Throws SyntaxError for a regular expression that the plan's maker let through. */
export function buildRoutes(plan: Plan, listenerIndex: number): RouteTable {
  return new RouteTable(plan, listenerIndex);
}

/** Matches as the data plane would, and says why each other route was not taken. */
export function explainMatch(plan: Plan, listenerIndex: number, head: Head, client: ClientAddress): MatchTrace {
  return buildRoutes(plan, listenerIndex).explain(head, client);
}
