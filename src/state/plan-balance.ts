/** Plan: how an endpoint of a pool is chosen. */

export type BalanceAlgorithm =
  | 'round-robin'
  | 'random'
  | 'power-of-two'
  | 'least-requests'
  | 'least-time'
  | 'first'
  | 'source'
  | 'ring-hash'
  | 'maglev'
  | 'rendezvous';

/** What hashing policies place a request by. `name` is that of the header (lower-case), cookie or query parameter, else ''. */
export interface HashOnPlan {
  kind: 'client' | 'header' | 'cookie' | 'query' | 'path' | 'uri' | 'host';
  name: string;
  /** Client addresses: only so many leading bits count. 32 and 128: all of them. */
  v4Bits: number;
  v6Bits: number;
}

/** Endpoints of this node's zone are preferred. */
export interface ZonePlan {
  /**
   * 0..1. Requests leave the zone when its endpoints are used to this share of their limits (maxConnections), and, in proportion, when less
   * than this share of the zone's weight is ready.
   */
  spillAt: number;
}

/** A client stays with its endpoint by a cookie. */
export interface StickyPlan {
  name: string;
  /** Max-Age in seconds; 0 = a session cookie. */
  ttlS: number;
  path: string;
  domain: string | null;
  sameSite: 'lax' | 'strict' | 'none' | null;
  /** null: when the request came by TLS that was opened here. */
  secure: boolean | null;
  httpOnly: boolean;
  /** Key of the cookie values, base64url. Secret: never shown. */
  key: string;
}
