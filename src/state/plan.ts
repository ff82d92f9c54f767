/**
 * Plan: a checked, immutable configuration, complete: every default filled in, every name resolved to a number, every unit turned into
 * ms and bytes. control/config makes it, supervise sends it whole (as JSON) to every worker, workers build their routes and
 * policies from it. `weir explain` and the simulator read the same object.
 *
 * Ids: `ListenerPlan.id`, `RoutePlan.id`, `PoolPlan.id` are numbers that belong to a *name* for the life of the state table: the same name
 * keeps its id over reloads, so counters keyed by id survive. `EndpointPlan.slot` likewise belongs to pool name + address.
 * Ids are for counters only, and -1 until control gives them. One part of a plan refers to another by its index: `pool` in a target is an index
 * in `plan.pools`, `RoutePlan.listeners` are indexes in `plan.listeners`.
 */
import type { Address } from '../base/wire.ts';

/** One version for the whole product. */
export interface Plan {
  /** Grows by one with each plan put in force. 0 until control gives it one. */
  epoch: number;
  /** Name of this node: in Via, Proxy-Status, CDN-Loop. */
  node: string;
  /** Where this node stands; null: not said. Pools with `balance.zone` prefer endpoints of the same zone. */
  zone: string | null;
  listeners: ListenerPlan[];
  pools: PoolPlan[];
  /** Those that listeners name, each once. */
  certificates: CertificatePlan[];
  /** Sorted by precedence: the first that matches wins. */
  routes: RoutePlan[];
  headers: HeadersPlan;
  access: AccessLogPlan | null;
  drain: { notReadyForMs: number; gracefulMs: number; hardStopMs: number };
  admin: { listen: Address[] };
  /** Per worker. */
  limits: WorkerLimitsPlan;
}

export interface WorkerLimitsPlan {
  /** Client connections of one worker. Default 60000 / workers, within the descriptor limit. */
  connectionsMax: number;
}

export interface HeadersPlan {
  /** X-Forwarded-For, -Proto, -Host, -Port towards the endpoint. */
  xForwarded: boolean;
  /** Forwarded (RFC 7239) towards the endpoint. */
  forwarded: boolean;
  /** Lower-case name of the request id field, or null for none. */
  requestId: string | null;
  via: { request: boolean; response: boolean };
  proxyStatus: 'errors' | 'always' | 'never';
  cdnLoop: boolean;
  serverTiming: boolean;
}

export interface AccessLogPlan {
  /** 'stdout', 'stderr', or a path. */
  to: string;
  format: 'json' | 'combined';
  /** Query parameters whose value is hidden. Lower-case. */
  redactQuery: string[];
  /** Share of ordinary lines that are written, 0..1; faults and slow ones always. */
  sampleOk: number;
  slowMs: number;
}

/** An address range. `bits` counts from the left. Bytes are 4 or 16. */
export interface Cidr {
  bytes: number[];
  bits: number;
}

export interface ListenerPlan {
  id: number;
  name: string;
  addresses: Address[];
  /**
   * http: requests, by `plan.routes`. tcp: connections, by `streams`. udp: datagrams. auto: what the first bytes are: HTTP as http, TLS by `streams` (passed
   * through), anything else, and clients that say nothing for `sniffMs`, to the stream that matches all.
   */
  protocol: 'http' | 'tcp' | 'udp' | 'auto';
  /** tcp, auto and udp: the first that matches wins; sorted by precedence. The last one may match everything. */
  streams: StreamRoutePlan[];
  /** How long tcp with names to look for, and auto, wait for the first bytes of the client. 5 s. */
  sniffMs: number;
  /** PROXY protocol at the front of each connection; null: none is expected. */
  proxyProtocol: { isRequired: boolean; from: Cidr[] } | null;
  udp: UdpListenerPlan | null;
  /**
   * TLS is opened here, except what a route by `serverName` or `alpn` in `streams` takes unopened; null: it is not, and passes as it is. http: who speaks no TLS is
   * turned away. tcp: so too, and what is opened goes to the streams that ask for no name. auto: opened TLS is for requests, and all else as without TLS.
   */
  tls: TlsListenerPlan | null;
  /**
   * Where requests, or connections and datagrams, go that no route matches; null: 404, or a reset. For people: it stands in `plan.routes` too, or, but for http,
   * in `streams`, as the last route of this listener (named `listener/NAME`), so that routes alone decide.
   */
  to: TargetPlan | null;
  /** Every request is answered by a 308 to https. */
  redirectToHttps: boolean;
  clientIp: {
    /** Peers whose forwarded fields are believed. */
    trust: Cidr[];
    /** Lower-case name: 'x-forwarded-for' (default), 'forwarded', or another field with one address. */
    header: string;
  };
  limits: ListenerLimitsPlan;
  timeouts: ListenerTimeoutsPlan;
}

export interface TlsListenerPlan {
  /** Indexes in `plan.certificates`. Of those that fit the client's name it gets the first of each kind of key; the first of all goes to clients without a name. */
  certificates: number[];
  minVersion: '1.2' | '1.3';
  /** Protocols agreed on by ALPN (RFC 7301), best first; empty: none are. */
  alpn: string[];
  /** A name that no certificate has gets an alert (unrecognized_name) instead of the first certificate. */
  strictSni: boolean;
  /** From the first byte to the end of the handshake. 10 s. */
  handshakeMs: number;
}

/** A certificate with its key, read and checked: the key belongs to it, the chain is in order and at most CHAIN_BYTES_MAX long. */
export interface CertificatePlan {
  name: string;
  /** Where it was written. */
  source: string;
  /** Absolute path of the file it was read from; null: it stands in the config. */
  file: string | null;
  /** DNS names and addresses it is for, lower-case; "*.shop.example" stands for one label (RFC 6125 §6.4.3). */
  names: string[];
  /** PEM: the certificate, then those that lead from it to a root. */
  chain: string;
  /** PEM, not encrypted. A secret: it goes to the workers and is shown nowhere. */
  key: string;
  /** Ms since 1970. */
  notBeforeMs: number;
  notAfterMs: number;
}

/** Bytes of a chain in DER that still fit one block of a worker beside the rest of the handshake. */
export const CHAIN_BYTES_MAX = 48 * 1024;

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

export interface UdpListenerPlan {
  /** A client without a datagram in either direction is forgotten after this. 30 s. */
  idleMs: number;
  /** Answers after which a client is forgotten at once (DNS: 1); 0 = as many as come. */
  responses: number;
  /** Clients remembered per worker. 65536. */
  sessionsMax: number;
  /** Of one address, per worker; 0 = no limit. 1024. */
  sessionsPerIpMax: number;
  /** When sessionsMax is reached: the one idle longest goes, or the new one is refused. */
  whenFull: 'oldest' | 'refuse';
}

export interface ListenerLimitsPlan {
  /** Whole head, request line included. 32 KiB. */
  headBytesMax: number;
  /** One field line. 16 KiB. */
  fieldBytesMax: number;
  /** 100. */
  fieldsMax: number;
  /** Request target. 8 KiB. */
  targetBytesMax: number;
  /** Request body; 0 = no limit. */
  bodyBytesMax: number;
  /** Chunk extensions of one body, in all. 4 KiB. */
  chunkExtensionBytesMax: number;
  /** Per worker; 0 = only the worker's limit. */
  connectionsMax: number;
  /** Per client address and worker; 0 = none. 256. */
  connectionsPerIpMax: number;
  /** 10000. */
  requestsPerConnectionMax: number;
  /** Bytes held back for one slow reader, each direction. 256 KiB. */
  bufferBytesMax: number;
  /** Requests taken ahead of the answer on one connection. 8. */
  pipelineMax: number;
  /** Bytes a second that a body or a reader must make after `rateGraceMs`; 0 = none. 240 (Apache's and IIS's floor). */
  rateBytesMin: number;
  rateGraceMs: number;
  /** What to do with field names that contain `_`. */
  underscores: 'drop' | 'allow' | 'reject';
}

export interface ListenerTimeoutsPlan {
  /** First byte of a request (or the connection) to the end of its head. 10 s. */
  headerMs: number;
  /** Nothing going on between two requests. 60 s. */
  idleMs: number;
  /** No progress while a body is under way. 30 s. */
  bodyMs: number;
}

/** Weighted pools, by their index in `plan.pools`. Weights are relative; at least one is above 0. */
export interface TargetPlan {
  pools: { pool: number; weight: number }[];
}

export type TextMatchPlan =
  | { kind: 'exact'; value: string }
  | { kind: 'prefix'; value: string }
  /** `*` stands for any run of characters. */
  | { kind: 'glob'; value: string }
  /** JavaScript regular expression source, linear-time subset checked by config. */
  | { kind: 'regex'; value: string }
  | { kind: 'present' };

export type PathMatchPlan =
  /** Every path. */
  | { kind: 'any' }
  | { kind: 'exact'; value: string }
  /** '/v1' matches '/v1', '/v1/' and '/v1/x', not '/v1x' (Gateway API). Value has no trailing slash ('/' is written as kind any). */
  | { kind: 'prefix'; value: string }
  /** Segments between slashes; '*' or '{name}' in the source stands for any one segment and is '*' here. `rest`: more segments may follow. */
  | { kind: 'segments'; segments: string[]; rest: boolean }
  | { kind: 'regex'; value: string };

export interface RoutePlan {
  id: number;
  /** Routes that come from one entry with several hosts or paths share name and id. */
  name: string;
  /** Where it was written: "weir.yaml:83". */
  source: string;
  /** Indexes of the listeners it applies to; null: all HTTP listeners. */
  listeners: number[] | null;
  match: RouteMatchPlan;
  action: RouteActionPlan;
  /** Larger wins over specificity; 0 by default. */
  priority: number;
  filters: FilterPlan[];
  rewrite: RewritePlan | null;
  timeouts: RouteTimeoutsPlan;
  retry: RetryPlan;
  /** Order in a pool's queue, 0 first ... 7 last (the scale of RFC 9218 §4.1); 3 by default. */
  urgency: number;
  /** Lower-case protocol tokens that may be upgraded to; ['websocket'] by default. */
  upgrade: string[];
}

export interface RouteMatchPlan {
  /** Lower-case, no port. `wildcard`: any one or more labels in front ('*.example.com' has value 'example.com'). null: any. */
  host: { value: string; wildcard: boolean } | null;
  path: PathMatchPlan;
  /** Upper-case tokens; null: any. */
  methods: string[] | null;
  /** Lower-case field name. */
  headers: { name: string; match: TextMatchPlan }[];
  query: { name: string; match: TextMatchPlan }[];
  /** Client address ranges; null: any. */
  clients: Cidr[] | null;
}

export type RouteActionPlan =
  | ({ kind: 'forward' } & TargetPlan)
  /** `location` may hold {request.uri}, {request.path}, {request.query}, {request.host}, {request.scheme}. */
  | { kind: 'redirect'; status: number; location: string }
  | { kind: 'respond'; status: number; body: string; contentType: string; headers: { name: string; value: string }[] };

export interface RewritePlan {
  /** Removed from the front of the path at a segment boundary. */
  stripPrefix: string | null;
  /** Put before the path after stripping. */
  addPrefix: string | null;
  /** Whole new path; null: keep. */
  path: string | null;
  /** New Host; null: keep the client's. */
  host: string | null;
}

/** A value with placeholders: "{client.ip}", "{request.header.x-api-key}", "{request.id}", "{request.host}", "{request.path}", literal text between. */
export type FilterPlan = {
  name: string;
  /** For counters; belongs to the name, like other ids. */
  id: number;
} & (
  | { kind: 'headers'; request: HeaderEditPlan; response: HeaderEditPlan }
  /** `isShadow`: what would be refused is counted and passes. */
  | { kind: 'access'; allow: Cidr[]; deny: Cidr[]; isShadow: boolean }
  | ({ kind: 'rateLimit' } & RateLimitPlan)
);

/** `rateLimit:` over all workers of this node. */
export interface RateLimitPlan {
  /**
   * token-bucket: `burst` at once, refilled evenly at `requests` per `windowMs` (as GCRA, ITU-T I.371). sliding-window: at most `requests` in any `windowMs`,
   * as far as two counters can tell (the share of the previous window that still counts, plus the present one).
   */
  algorithm: 'token-bucket' | 'sliding-window';
  requests: number;
  windowMs: number;
  /** At least 1. Token bucket only. */
  burst: number;
  /** Template that tells clients apart: "{client.ip}". */
  key: string;
  /** What would be limited is counted and passes. */
  isShadow: boolean;
  /** RateLimit and RateLimit-Policy fields (IETF draft) on answers. */
  headers: boolean;
}

export interface HeaderEditPlan {
  /** Replaces all of that name. */
  set: { name: string; value: string }[];
  add: { name: string; value: string }[];
  /** Lower-case names. */
  remove: string[];
}

export interface RouteTimeoutsPlan {
  /** Connecting to one endpoint. 1 s. */
  connectMs: number;
  /** Request sent to response head. 30 s. */
  responseMs: number;
  /** No byte in either direction while a body is under way. 60 s. */
  idleMs: number;
  /** Tunnel without a byte. 1 h. */
  tunnelMs: number;
  /** The whole exchange, retries included; 0 = none. */
  requestMs: number;
}

export type RetryOn = 'connect' | 'reset' | 'refused-stream' | 'timeout' | '502' | '503' | '504';

export interface RetryPlan {
  /** All attempts, the first included. 2. */
  attempts: number;
  on: RetryOn[];
  /** Retries as a share of requests, 0..1. 0.2; at least `budgetMin` a second are allowed. */
  budget: number;
  budgetMin: number;
  /** Limit for one try; 0 = none, the response timeout decides. */
  perTryMs: number;
  /** A second try starts on another endpoint when no answer came for so long, and the first answer wins; 0 = never. Idempotent requests without a body only. */
  hedgeMs: number;
  /** From the second retry on, a random wait of 0 to `backoffMs` × 2^(retry - 2), at most `backoffMaxMs` (full jitter). 25 and 250. */
  backoffMs: number;
  backoffMaxMs: number;
}

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

/** A client stays with its endpoint by a cookie. */
export interface StickyPlan {
  name: string;
  /** Max-Age in seconds; 0 = a session cookie. */
  ttlS: number;
  path: string;
  domain: string | null;
  sameSite: 'lax' | 'strict' | 'none' | null;
  secure: boolean;
  httpOnly: boolean;
  /** Key of the cookie values, base64url. Secret: never shown. */
  key: string;
}

/** Limits of one pool over all workers; 0 = none. What is above is answered 503 at once. */
export interface BreakerPlan {
  requestsMax: number;
  /** Waiting in the pool's queue. */
  pendingMax: number;
  /** Retries under way. */
  retriesMax: number;
  /** What would be refused is counted and passes. */
  isShadow: boolean;
}

export interface PoolPlan {
  id: number;
  name: string;
  source: string;
  endpoints: EndpointPlan[];
  /** `boundedLoad`: no endpoint above so many times its fair share; 0 = no bound. `hashOn` counts for hashing policies. */
  balance: {
    algorithm: BalanceAlgorithm;
    hashOn: HashOnPlan;
    boundedLoad: number;
    zone: ZonePlan | null;
    /** Endpoints that this node uses of a large pool, chosen by the node's name; those that are not ready are replaced. 0 = all. Hashing policies use all. */
    subset: number;
  };
  health: {
    active: ActiveHealthPlan | null;
    passive: PassiveHealthPlan | null;
    /** Time in which an endpoint that became ready grows from a tenth to its full share; 0 = at once. */
    slowStartMs: number;
    /** Share of ordinary endpoints that must be ready; with fewer, health and ejections are ignored and all are used. 0 = never. */
    panicThreshold: number;
  };
  /** What its endpoints speak; a listener sends only to pools of its own kind. */
  protocol: 'http' | 'tcp' | 'udp';
  /** PROXY protocol towards the endpoints, and their checks: 0 = none, 1 or 2. */
  proxyProtocol: 0 | 1 | 2;
  sourceAddress: SourcePlan | null;
  connections: ConnectionsPlan;
  sticky: StickyPlan | null;
  breaker: BreakerPlan | null;
  /** Index of the pool that is asked when no endpoint of this one can be; null: 503. */
  fallback: number | null;
}

export interface EndpointPlan {
  /** Row in the state table; -1 until control gives it one. */
  slot: number;
  /** As in the file: the key of its slot, together with the pool's name. */
  address: string;
  /** null when the address is a name that control/discover has to resolve. */
  resolved: Address | null;
  /** 0 takes no new requests. 1..1000. */
  weight: number;
  backup: boolean;
  zone: string | null;
  /** Requests in flight over all workers; 0 = none. */
  requestsMax: number;
}

export interface ConnectionsPlan {
  /** Idle wires kept per endpoint and worker. 256. */
  idleMax: number;
  /** An idle wire is closed after this: below the usual server's 60-75 s (nginx 75 s, Node 5 s: then set it lower). 50 s. */
  idleMs: number;
  /** Wires per endpoint and worker, busy and idle; 0 = none. */
  wiresMax: number;
  /** Wires opened ahead per endpoint and worker. 0. */
  warm: number;
  /** Requests over one wire before it is closed; 0 = none. */
  requestsMax: number;
  /** Requests of one worker waiting for a wire when wiresMax is reached. 1024. */
  queueMax: number;
  queueMs: number;
}

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

/** From which address endpoints are connected to. */
export interface SourcePlan {
  /** Literal addresses taken in turns: each has ports of its own. Empty: the kernel chooses. */
  addresses: string[];
  /** The client's own address (IP_TRANSPARENT): routing has to bring the answers back here. */
  isTransparent: boolean;
}

/** TLS of a check. */
export interface CheckTlsPlan {
  /** Name asked for and, with `verify`, proved; null: the host of the address. */
  serverName: string | null;
  verify: boolean;
  /** PEM; null: the system's. */
  ca: string | null;
}
