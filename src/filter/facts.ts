/**
 * What is known of one exchange besides its heads. One object per exchange, reused: everything is text already, or a number, because it is made
 * once per connection or once per plan.
 */
import { method } from '../base/head.ts';

export class RequestFacts {
  /** Address of the client, no port: the peer's, or what a trusted peer said. */
  client = '';
  /** 0 when unknown. */
  clientPort = 0;
  /** Address of the TCP peer, no port. */
  peer = '';
  /** The peer is in `clientIp.trust`: its forwarded fields are believed. */
  peerIsTrusted = false;
  /** Request id. The caller gives a fresh one; forwarding replaces it by a trusted peer's. */
  id = '';
  scheme: 'http' | 'https' = 'http';
  /** Port the client connected to, as text. */
  listenerPort = '';
  listener = '';
  route = '';
  pool = '';
  endpoint = '';
  /** Number of the request's method, as in base/head.ts. */
  method: number = method.OTHER;
  /** What {@link acceptKind} said of the request. */
  accept = 0;
  /** IMF-fixdate of now, for answers made here; empty: none is sent (RFC 9110 §6.6.1). */
  date = '';
  /** The shared clock in ms: when rate limits are asked. */
  nowMs = 0;
  /** What the rate limits said, for the access log: `api:allowed`; empty: there was none. */
  limit = '';
  /** Requests that the last limit asked would still let pass at once; -1: none was asked. */
  limitRemaining = -1;
  /** Seconds after which a request that was limited may come again; 0: it was not. */
  retryAfterS = 0;
  /** RateLimit-Policy and RateLimit fields; empty: not told. */
  rateLimitPolicy = '';
  rateLimit = '';
  /** Values for the response that were taken from the request head while it was there. Owner: the filter chain. */
  readonly saved: string[] = [];

  reset(): void {
    this.client =
      this.peer =
      this.id =
      this.listenerPort =
      this.listener =
      this.route =
      this.pool =
      this.endpoint =
      this.date =
      this.limit =
      this.rateLimitPolicy =
      this.rateLimit =
        '';
    this.clientPort = this.nowMs = this.retryAfterS = 0;
    this.limitRemaining = -1;
    this.peerIsTrusted = false;
    this.scheme = 'http';
    this.method = method.OTHER;
    this.accept = 0;
    this.saved.length = 0;
  }
}
