/** Plan: how it is found out whether an endpoint serves: by asking it, and by live traffic. */

export type ActiveHealthPlan = {
  intervalMs: number;
  /** While results differ from the state: until `rise` or `fall` is reached. At most intervalMs. */
  fastMs: number;
  /** While no request was sent to the endpoint since the last check. At least intervalMs. */
  idleMs: number;
  timeoutMs: number;
  /** Passes in a row that bring an endpoint back, failures in a row that take it out. */
  rise: number;
  fall: number;
  /** 0..1 of the interval. */
  jitter: number;
  /** Another port than the endpoint's; 0 = the same. */
  port: number;
  /** PROXY protocol in front of what is said: 0 = none; 1: UNKNOWN, 2: LOCAL, as nobody's connection is passed on. As the pool's, 0 where `port` is another. */
  proxyProtocol: 0 | 1 | 2;
} /** A connection is accepted. */ & (
  | { type: 'tcp' }
  | {
      type: 'http';
      method: string;
      path: string;
      host: string | null;
      headers: { name: string; value: string }[];
      expect: { status: [number, number][]; body: string | null };
      tls: CheckTlsPlan | null;
    }
  /** grpc.health.v1.Health/Check answers SERVING. `service` '' asks for the server as a whole. */
  | { type: 'grpc'; service: string; host: string | null; tls: CheckTlsPlan | null }
  /** PING is answered by PONG (or by NOAUTH: alive). `loading` fails. */
  | { type: 'redis' }
  /** The server answers an SSLRequest. */
  | { type: 'postgres' }
  /** The server greets (protocol 10), and not with an error packet. */
  | { type: 'mysql' }
  /** Exit code 0 passes. The address is in WEIR_ADDRESS, WEIR_HOST, WEIR_PORT; no shell. */
  | { type: 'exec'; command: string[] }
);

/** TLS of a check. */
export interface CheckTlsPlan {
  /** Name asked for and, with `verify`, proved; null: the host of the address. */
  serverName: string | null;
  verify: boolean;
  /** PEM; null: the system's. */
  ca: string | null;
}

/** Judges endpoints by live traffic, over all workers. Failures that are weir's own or the client's never count. */
export interface PassiveHealthPlan {
  /** Failures in a row that eject: no connection, no or a broken answer, timeouts, 502, 503, 504. 0 = off. 5. */
  consecutiveFailures: number;
  /** As before, with every 5xx. 0 = off. 5. */
  consecutive5xx: number;
  /** Share of failed requests (as consecutive5xx) within `windowMs` that ejects; 0 = off. */
  errorRatio: number;
  /** Times the median response time of the pool's other endpoints that eject; 0 = off. */
  latencyFactor: number;
  /** Requests within the window below which errorRatio and latencyFactor say nothing. 20. */
  requestsMin: number;
  windowMs: number;
  /** Ejected for this long × the number of ejections in a row, at most `ejectMaxMs`. 30 s, 300 s. */
  ejectMs: number;
  ejectMaxMs: number;
  /** Share of the pool's endpoints that may be ejected at once, 0..1; one of two or more always may. 0.5. */
  ejectedMax: number;
  /** What would be ejected is said and counted, and goes on. */
  isShadow: boolean;
}
