/**
 * Precedence of streams: which of two routes of connections is asked first.
 *
 * Rules, the first that tells two apart decides
 * 1. The larger `priority`.
 * 2. Name: exact, then the longer wildcard, then none.
 * 3. A protocol (ALPN), then none. 4. A client condition, then none.
 * 5. The order in the list.
 */
import type { Cidr, StreamRoutePlan } from '../../state/plan.ts';
import { coversHost, hostRank, same } from './precedence.ts';

/** A route of connections at one listener, with what only its place among others needs. */
export interface WrittenStream {
  readonly plan: StreamRoutePlan;
  readonly priority: number;
  /** Index in config.routes. */
  readonly origin: number;
}

/** Below 0 when `a` is asked before `b`; 0 when only their place in the list decides. */
export function compareStreams(a: WrittenStream, b: WrittenStream): number {
  const [x, y] = [a.plan.match, b.plan.match];
  return (
    b.priority - a.priority ||
    hostRank(y.serverName) - hostRank(x.serverName) ||
    Number(y.alpn !== null) - Number(x.alpn !== null) ||
    Number(y.clients !== null) - Number(x.clients !== null)
  );
}

/** Does every connection that `inner` matches match `outer` too? */
export function coversStream(outer: StreamRoutePlan, inner: StreamRoutePlan): boolean {
  const [a, b] = [outer.match, inner.match];
  return (
    coversHost(a.serverName, b.serverName) &&
    (a.alpn === null || (b.alpn?.every((name) => a.alpn!.includes(name)) ?? false)) &&
    (a.clients === null || (b.clients?.every((range) => a.clients!.some((wide) => contains(wide, range))) ?? false))
  );
}

/** Can a connection match both, when nothing tells their precedence apart? */
export function streamsMayTie(a: StreamRoutePlan, b: StreamRoutePlan): boolean {
  const [x, y] = [a.match, b.match];
  return (
    same(x.serverName, y.serverName) &&
    // A client offers many protocols, so two that differ may still meet in one hello.
    (x.clients === null || y.clients === null || x.clients.some((p) => y.clients!.some((q) => contains(p, q) || contains(q, p))))
  );
}

function contains(wide: Cidr, narrow: Cidr): boolean {
  if (wide.bytes.length !== narrow.bytes.length || wide.bits > narrow.bits) return false;
  for (let bit = 0; bit < wide.bits; bit += 8) {
    const mask = (0xff00 >> Math.min(8, wide.bits - bit)) & 0xff;
    if (((wide.bytes[bit >> 3] ^ narrow.bytes[bit >> 3]) & mask) !== 0) return false;
  }
  return true;
}
