/**
 * state: the one table of mapped memory where the planes meet, and the Plan type.
 *
 * Three doors to the same bytes: the reader, the control writer, the worker writer. One writer per column (Law 6): control writes
 * health, admin, weight and epoch; the worker with stripe k writes only stripe k. Readers add the stripes up. The exception is limits.ts.
 *
 * It does not know: sockets, HTTP, policies, how the memory was mapped (it is given an ArrayBuffer).
 */
import type { LimitTable } from './limits.ts';

/** What the health checks say of an endpoint. A new endpoint is `up` until a check says otherwise when its pool has none, else `unknown`. */
export const health = Object.freeze({ unknown: 0, up: 1, down: 2 });
/**
 * What {@link TableReader.fewestOf} finds, as one whole number: nine bits of load and a lot of 22 bits, whose last ten are a place's. Lots that are given are below `lotsMax`, so that a
 * place can be added, and multiples of `runMax`.
 */
export const fewest = Object.freeze({ loadShift: 22, loadMax: 511, lotsMax: 2 ** 22 - 2 ** 14, runMax: 1024 });
/** What people say of an endpoint. */
export const admin = Object.freeze({ ready: 0, drain: 1, maint: 2 });
/** What became of a request that may be bound to an endpoint by a cookie; label of weir_pool_sticky_total. */
export const stickyResult = Object.freeze({ hit: 0, new: 1, moved: 2, lost: 3 });
export const stickyResultNames: readonly string[] = ['hit', 'new', 'moved', 'lost'];
/** Why an endpoint was taken out for a time: what live traffic showed, or an operator; label of weir_endpoint_ejections_total. */
export const ejectionCause = Object.freeze({ consecutiveFailures: 0, consecutive5xx: 1, errorRatio: 2, latency: 3, operator: 4 });
export const ejectionCauseNames: readonly string[] = [
  'consecutive-failures',
  'consecutive-5xx',
  'error-ratio',
  'latency',
  'operator',
];
/** Places of what {@link TableReader.readTraffic} writes. Totals since the slot was claimed, over all workers, those that died included; gauges of the living. */
export const traffic = Object.freeze({
  /** Ends, and beginnings of tunnels, that spoke well of it. */
  good: 0,
  /** Ends that spoke against it: faults of its side and every 5xx. */
  bad: 1,
  /** Of these: faults of its side, timeouts among them, and 502, 503, 504. */
  faults: 2,
  timeouts: 3,
  gateway: 4,
  /** Largest run, now, of any one worker: of ends that were bad; of ends that were a fault or 502, 503, 504. */
  streak: 5,
  hardStreak: 6,
  /** Exchanges in flight, without tunnels. */
  inFlight: 7,
  /** Moving average of the response time, and how many recent samples it stands for ({@link TableReader.readLatencies}). */
  latencyMs: 8,
  latencyWeight: 9,
});
export const TRAFFIC_LENGTH = 10;
/** What a filter decided; label of weir_limit_decisions_total and weir_filter_decisions_total. */
export const filterDecision = Object.freeze({ allowed: 0, limited: 1, wouldLimit: 2, denied: 3, wouldDeny: 4 });
export const filterDecisionNames: readonly string[] = ['allowed', 'limited', 'would-limit', 'denied', 'would-deny'];
/** Protocol label of requests. */
export const protocol = Object.freeze({ http1: 0, h2: 1, h3: 2, tcp: 3, udp: 4 });
export const protocolNames: readonly string[] = ['http/1.1', 'h2', 'h3', 'tcp', 'udp'];
/** Why a client connection, or a datagram that would have begun a session, was turned away; label of weir_connections_rejected_total. */
export const rejection = Object.freeze({
  limit: 0,
  perIp: 1,
  overload: 2,
  drain: 3,
  proxyLine: 4,
  acl: 5,
  preface: 6,
  noEndpoint: 7,
  /** A TLS handshake that was not completed; which of the kinds, {@link handshakeResult} says. */
  tls: 8,
  /** It would have been, or was, one TLS handshake more than may be under way. */
  handshakes: 9,
});
export const rejectionNames: readonly string[] = [
  'limit',
  'limit_per_ip',
  'overload',
  'drain',
  'proxy_line',
  'acl',
  'preface',
  'no_endpoint',
  'tls',
  'limit_handshakes',
];
/**
 * What became of a TLS handshake with a client. failed: it broke the rules, offered nothing that can be agreed on, sent an alert or left; timeout: it was too slow; refused: no
 * certificate is for its name (strictSni); limit: more were under way than may be. Who speaks no TLS begins none.
 */
export const handshakeResult = Object.freeze({
  full12: 0,
  full13: 1,
  resumed12: 2,
  resumed13: 3,
  failed: 4,
  timeout: 5,
  refused: 6,
  limit: 7,
});
/** Labels of weir_tls_handshakes_total, in the order of {@link handshakeResult}: what was not agreed on is empty. */
export const handshakeLabels: readonly { readonly version: string; readonly resumed: string; readonly result: string }[] = [
  { version: '1.2', resumed: 'false', result: 'ok' },
  { version: '1.3', resumed: 'false', result: 'ok' },
  { version: '1.2', resumed: 'true', result: 'ok' },
  { version: '1.3', resumed: 'true', result: 'ok' },
  { version: '', resumed: '', result: 'failed' },
  { version: '', resumed: '', result: 'timeout' },
  { version: '', resumed: '', result: 'refused' },
  { version: '', resumed: '', result: 'limit' },
];
/** Why a try was repeated; label of weir_retries_total. */
export const retryReason = Object.freeze({ connect: 0, reset: 1, status: 2, timeout: 3, refusedStream: 4 });
export const retryReasonNames: readonly string[] = ['connect', 'reset', 'status', 'timeout', 'refused_stream'];

export interface TableReader {
  readonly slotsMax: number;
  /** Random number of this table, the same for all who attach: the common start of policies that take turns. */
  readonly seed: number;
  /** What the rate limits remember: the one part of the table that all workers write. */
  readonly limits: LimitTable;
  epoch(): number;
  /** Changes whenever the health, admin or weight of any slot did: what was derived from them has to be derived again. */
  version(): number;
  health(slot: number): number;
  admin(slot: number): number;
  /** May it be given new work: health is not `down`, it is not ejected, admin is `ready`. */
  isReady(slot: number): boolean;
  /** Taken out by what live traffic showed. */
  isEjected(slot: number): boolean;
  /** May it be given work that is bound to it by a cookie: ready, or draining and keeping what is its own. */
  keepsBound(slot: number): boolean;
  /** Its drain is over its deadline: connections, upgraded requests and sessions on it are to end now. */
  isCut(slot: number): boolean;
  /** Changes whenever {@link isCut} became true of any slot. */
  cuts(): number;
  /** Shared-clock ms since which the endpoint is fit (up, ready, not ejected): where its slow start began. 0: it never was. */
  readySince(slot: number): number;
  /** The shared clock (base/shared-clock.ts), in ms; of a worker, as of the start of its turn. */
  nowMs(): number;
  /** Weight set at run time in percent of the configured one; 100 by default. */
  weightPercent(slot: number): number;
  /** Exchanges in flight over all workers. */
  inFlight(slot: number): number;
  /** Exchanges in flight in the whole pool of this slot. */
  poolInFlight(slot: number): number;
  /** Requests that wait in the queue of a pool, and retries under way there, over all workers; by pool id. */
  poolQueued(pool: number): number;
  poolRetries(pool: number): number;
  /** In flight for each of the first `count` of these slots, into `out`: who looks at a whole pool walks each worker's memory once. */
  inFlightOf(slots: Int32Array, count: number, out: Int32Array): void;
  /**
   * Who has the fewest in flight, of each run of slots: to `out[k]` the smallest `load << loadShift | ((lots[from + i] + i) ^ flip)` of all `i` from `starts[k]` to `starts[k + 1]`, at most
   * `runMax` ({@link fewest}). Of equal loads the smallest lot wins, and its last bits say who that is. One walk that compares while it reads, because every pick makes it.
   * False when some load may be above `loadMax`: `out` means nothing then.
   */
  fewestOf(
    slots: Int32Array,
    starts: Int32Array,
    runs: number,
    lots: Int32Array,
    from: number,
    flip: number,
    out: Int32Array,
  ): boolean;
  /** Exchanges begun over all workers, ever. */
  requests(slot: number): number;
  /** Exchanges begun in the pool of this slot over all workers, ever, modulo 2^32 and signed: whose turn it is. */
  turn(slot: number): number;
  /** Moving average of the response time in ms over all workers (weighted by their counts); 0 = none yet. */
  latencyMs(slot: number): number;
  /**
   * What that average is made of, for two slots: to `out[0]` the sum of the times of the first in ms, to `out[1]` the number of samples in it, to `out[2]` and
   * `out[3]` those of the other. Each sample counts 1 and fades with the same decay. Writes, because a fraction that is returned may be boxed; two, because who compares
   * two walks the workers once.
   */
  readLatencies(slot: number, other: number, out: Float64Array): void;
  /** All that passive health asks of a slot, to `out[0]` up to TRAFFIC_LENGTH; places as in {@link traffic}. */
  readTraffic(slot: number, out: Float64Array): void;
}

/** The worker's door: counts into its own stripe. Nothing here allocates or makes a system call. */
export interface WorkerWriter extends TableReader {
  readonly stripe: number;
  /** An exchange is given to the endpoint. */
  begin(slot: number): void;
  /** Its end. `faultId` 0 = none; `status` the endpoint's, 0 = none; `responseMs` request sent to head received, < 0 = no head. */
  end(slot: number, faultId: number, status: number, responseMs: number): void;
  /** A wire to the endpoint was opened or failed to (`faultId`), after `ms`. */
  connected(slot: number, faultId: number, ms: number): void;
  /** Wires of this worker to the endpoint, now. */
  wires(slot: number, idle: number, busy: number): void;
  /** One finished client exchange. Ids as in the plan; -1 = none. Bodies in bytes, times in ms. */
  exchange(
    listener: number,
    route: number,
    pool: number,
    method: number,
    status: number,
    protocol: number,
    totalMs: number,
    firstByteMs: number,
    overheadMs: number,
    bytesIn: number,
    bytesOut: number,
  ): void;
  /** An exchange begins (+1) or ends (-1): gauge weir_requests_in_flight. */
  exchangeInFlight(listener: number, pool: number, delta: number): void;
  fault(faultId: number, route: number, pool: number): void;
  retry(pool: number, reason: number): void;
  retryBudgetExhausted(pool: number): void;
  /** Retries of a pool under way: +1, -1. */
  retriesInFlight(pool: number, delta: number): void;
  /** A second try was started beside the first; or it won. */
  hedge(pool: number, won: boolean): void;
  /** A request went to the pool's fallback. */
  fellBack(pool: number): void;
  /** `result`: {@link stickyResult}. */
  sticky(pool: number, result: number): void;
  /** The circuit breaker refused a request, or would have. */
  breaker(pool: number, isShadow: boolean): void;
  /** An exchange of the endpoint became a tunnel (+1), which speaks well of it; such a one ended (-1). */
  tunnel(slot: number, delta: number): void;
  /** The endpoint has shown on an exchange that goes on that it works: failures in a row end here. */
  worked(slot: number): void;
  /** `decision`: {@link filterDecision}. */
  filterDecided(filter: number, decision: number): void;
  /** Client connections of a listener: +1 opened, -1 closed. */
  connection(listener: number, protocol: number, delta: number): void;
  rejected(listener: number, rejection: number): void;
  /** A TLS handshake with a client is over. `result`: {@link handshakeResult}; `ms` from the client hello on, < 0 = not measured; those that were completed are timed. */
  handshake(listener: number, result: number, ms: number): void;
  /** TLS handshakes with clients under way: +1 begun, -1 over. */
  handshakesUnderWay(listener: number, delta: number): void;
  /** Bytes on the wire of a listener. */
  wireBytes(listener: number, received: number, sent: number): void;
  /** Datagrams of clients of a listener, in and out, and their bytes. */
  datagrams(listener: number, received: number, receivedBytes: number, sent: number, sentBytes: number): void;
  /** Requests that begin (+) or end (-) to wait in a pool, for an endpoint or for a wire to one; and how long one waited. */
  queue(pool: number, delta: number): void;
  queued(pool: number, ms: number, timedOut: boolean): void;
  logLinesDropped(count: number): void;
  /** Called about once a second with what this process knows of itself. */
  process(
    busyRatio: number,
    heapUsedBytes: number,
    blocksFree: number,
    enters: number,
    completions: number,
    overflows: number,
    datagramsDropped: number,
  ): void;
  /** Ms of a clock of this process that never goes back: "my loop turns". The supervisor's watchdog looks at it, and latency is aged by it. */
  heartbeat(nowMs: number): void;
  /** The plan this worker has in force. */
  inForce(epoch: number): void;
}

/** The control process's door. */
export interface ControlWriter extends TableReader {
  /** Slot of an endpoint, the same for the life of the table (also over a restart of control); -1 when the table is full. */
  claimSlot(pool: string, address: string): number;
  /** The endpoint left the configuration: its slot may be reused once nothing is in flight on it. */
  releaseSlot(slot: number): void;
  /** Id of a name of this kind, the same for the life of the table; -1 when full. */
  claimId(kind: 'listener' | 'route' | 'pool' | 'filter', name: string): number;
  setHealth(slot: number, health: number): void;
  setAdmin(slot: number, admin: number): void;
  setEjected(slot: number, isEjected: boolean): void;
  /** While it drains: does it keep requests that are bound to it by a cookie. */
  setKeeps(slot: number, keeps: boolean): void;
  /** While it drains: is its deadline over. */
  setCut(slot: number, isCut: boolean): void;
  setWeightPercent(slot: number, percent: number): void;
  /** Makes the plan with this epoch the one in force. */
  setEpoch(epoch: number): void;
  /** A stripe no living worker uses, marked used; -1 when none is left. */
  claimStripe(): number;
  /** The worker of this stripe is gone: its gauges (in flight, connections, wires) go to 0, its counters are kept by adding them to the stripe of the dead. */
  releaseStripe(stripe: number): void;
  /** Is this stripe claimed? With the heartbeat it tells a control process that attaches which workers live. */
  isStripeUsed(stripe: number): boolean;
  /** A health check of this endpoint ended after `ms`: counted per slot, timed per pool. */
  checked(slot: number, passed: boolean, ms: number): void;
  /** A health check of this endpoint could not be made here: counted per slot. */
  notChecked(slot: number): void;
  /** It was ejected for this {@link ejectionCause}, or would have been. */
  countEjection(slot: number, cause: number, isShadow: boolean): void;
  /** Ends that spoke against an endpoint, over all living workers: when it has not moved, no endpoint has got worse. */
  complaints(): number;
  /** As before for the endpoints of one pool, workers that died included; by pool id. */
  poolComplaints(pool: number): number;
  heartbeatOf(stripe: number): number;
  inForceOf(stripe: number): number;
}
