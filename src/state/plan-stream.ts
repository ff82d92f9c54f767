/** Plan: routes of connections and datagrams. */
import type { Cidr, TargetPlan } from './plan-match.ts';

/** Where a connection (or a client's datagrams) goes. */
export interface StreamRoutePlan {
  /** Counted with the routes. */
  id: number;
  name: string;
  /** Where it was written. */
  source: string;
  match: {
    /** Name of the TLS client hello, lower-case; as a route's host. null: any, and none. */
    serverName: { value: string; wildcard: boolean } | null;
    /** One of these is offered; null: any. */
    alpn: string[] | null;
    /** Client address ranges; null: any. */
    clients: Cidr[] | null;
  };
  target: TargetPlan;
  timeouts: StreamTimeoutsPlan;
  /** Endpoints tried, the first included, when connecting fails. 2. */
  attempts: number;
}

/** Does it ask for a name or a protocol of the client hello? Then it takes TLS unopened, also from a listener that opens it. */
export function isByName({ match }: Pick<StreamRoutePlan, 'match'>): boolean {
  return match.serverName !== null || match.alpn !== null;
}

export interface StreamTimeoutsPlan {
  /** Connecting to one endpoint. 1 s. */
  connectMs: number;
  /** No byte in either direction. 1 h; UDP: the listener's idleMs. */
  idleMs: number;
  /** The whole connection; 0 = none. */
  totalMs: number;
  /** After one side ended, without a byte. 30 s. */
  halfClosedMs: number;
}
