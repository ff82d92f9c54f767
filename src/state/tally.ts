/**
 * tally: everything the workers counted, summed for people: metrics, status pages. Off the hot path; it may allocate.
 *
 * Counters are the stripes in use plus the stripe of the dead, gauges the stripes in use. Read from the control process: there the fold of a
 * dead stripe is over before anybody reads, so that no counter is ever seen twice or not at all.
 */
import { endpointStateNames } from './control-door.ts';
import {
  ejectionCauseNames,
  filterDecisionNames,
  handshakeLabels,
  protocolNames,
  rejectionNames,
  retryReasonNames,
  stickyResultNames,
} from './doors.ts';
import {
  CHECK_STRIDE,
  checkField,
  connectResult,
  connectResultNames,
  exchangeField,
  FILTER_STRIDE,
  HISTOGRAM,
  header,
  LISTENER_STRIDE,
  listenerField,
  POOL_CHECK_STRIDE,
  POOL_STRIDE,
  poolField,
  type RowsLayout,
  SLOT_STRIDE,
  SLOT_TIMES_STRIDE,
  slotField,
  slotTimes,
  stripeField,
  word,
} from './layout.ts';
import { Names } from './names.ts';
import { Reader } from './reader.ts';
import { kindOf, listenerOf, methodOf, numberOf, poolOf, Rows, routeOf, rowKind, variantOf } from './rows.ts';

export { connectResultNames } from './layout.ts';

/** Counts of the 16 buckets, then the sum in ms. The bounds are `bucketBoundsMs`. */
export type Histogram = Float64Array;

export interface SlotTally {
  /** Ended exchanges by class: 0 no status, 1..5. */
  classes: number[];
  faults: number;
  timeouts: number;
  /** Longest run of failures, now, of any one worker. */
  streak: number;
  /** 502, 503 and 504 of the endpoint. */
  gateway: number;
  /** Exchanges in flight that are tunnels. */
  tunnels: number;
  wiresIdle: number;
  wiresBusy: number;
  /** In the order of `connectResultNames`. */
  connects: number[];
  connectTimes: Histogram;
  responseTimes: Histogram;
  checksPassed: number;
  checksFailed: number;
  /** Checks that could not be made here. */
  checksNotMade: number;
  /** In the order of `endpointStateNames`. */
  transitions: number[];
  /** In the order of `ejectionCauseNames`: done, and only said in shadow mode. */
  ejections: number[];
  wouldEject: number[];
}

export interface PoolTally {
  begun: number;
  /** In the order of `retryReasonNames`. */
  retries: number[];
  budgetExhausted: number;
  queue: number;
  queueTimeouts: number;
  hedges: number;
  hedgesWon: number;
  fallback: number;
  /** In the order of `stickyResultNames`. */
  sticky: number[];
  breakerOpen: number;
  breakerWould: number;
  retriesNow: number;
  queueTimes: Histogram;
  checkTimes: Histogram;
}

export interface ListenerTally {
  /** By protocol number. */
  connections: number[];
  connectionsTotal: number[];
  /** In the order of `rejectionNames`. */
  rejected: number[];
  /** In the order of `handshakeLabels`. */
  handshakes: number[];
  handshakesNow: number;
  handshakeTimes: Histogram;
  received: number;
  sent: number;
  datagramsReceived: number;
  datagramsSent: number;
}

export interface StripeTally {
  stripe: number;
  heartbeatMs: number;
  epoch: number;
  busyRatio: number;
  heapUsedBytes: number;
  blocksFree: number;
  enters: number;
  completions: number;
  overflows: number;
}

/** Finished exchanges of one combination. Ids -1 = none. */
export interface ExchangeTally {
  listener: number;
  route: number;
  pool: number;
  /** 0 no status, 1..5. */
  class: number;
  total: Histogram;
  firstByte: Histogram;
  overhead: Histogram;
  bytesIn: number;
  bytesOut: number;
}

export interface RequestTally {
  listener: number;
  route: number;
  pool: number;
  method: number;
  status: number;
  protocol: number;
  count: number;
}
export interface FaultTally {
  faultId: number;
  route: number;
  pool: number;
  count: number;
}
export interface InFlightTally {
  listener: number;
  pool: number;
  count: number;
}

export class Tally extends Reader {
  private readonly names: { listener: Names; route: Names; pool: Names };

  constructor(buffer: ArrayBufferLike) {
    super(buffer);
    const { layout } = this;
    this.names = {
      listener: new Names(buffer, layout.listenerNames, layout.sizes.listenersMax),
      route: new Names(buffer, layout.routeNames, layout.sizes.routesMax),
      pool: new Names(buffer, layout.poolNames, layout.sizes.poolsMax),
    };
  }

  /** Name of an id; '' for none. */
  nameOf(kind: 'listener' | 'route' | 'pool', id: number): string {
    return id < 0 ? '' : this.names[kind].text(id);
  }

  slot(slot: number): SlotTally {
    const { layout, f64 } = this;
    const row = layout.slots + 8 * slot * SLOT_STRIDE;
    const times = layout.slotTimes + 8 * slot * SLOT_TIMES_STRIDE;
    const checks = layout.checks / 8 + slot * CHECK_STRIDE;
    let streak = 0;
    for (const stripe of this.living()) streak = Math.max(streak, f64[this.at(stripe, row) / 8 + slotField.streak]!);
    return {
      classes: this.sums(row, slotField.class, 6),
      faults: this.sum(row, slotField.faults),
      timeouts: this.sum(row, slotField.timeouts),
      streak,
      gateway: this.sum(row, slotField.gateway),
      tunnels: this.sum(row, slotField.tunnels),
      wiresIdle: this.gauge(layout.wiresIdle + 4 * slot),
      wiresBusy: this.gauge(layout.wiresBusy + 4 * slot),
      connects: this.sums(row, slotField.connects, connectResultNames.length),
      connectTimes: this.histogram(times, slotTimes.connect),
      responseTimes: this.histogram(times, slotTimes.response),
      checksPassed: f64[checks + checkField.passed]!,
      checksFailed: f64[checks + checkField.failed]!,
      checksNotMade: f64[checks + checkField.notMade]!,
      transitions: Array.from(
        f64.subarray(checks + checkField.transitions, checks + checkField.transitions + endpointStateNames.length),
      ),
      ejections: Array.from(
        f64.subarray(checks + checkField.ejections, checks + checkField.ejections + ejectionCauseNames.length),
      ),
      wouldEject: Array.from(
        f64.subarray(checks + checkField.wouldEject, checks + checkField.wouldEject + ejectionCauseNames.length),
      ),
    };
  }

  /** What an endpoint that is to be stopped still has: exchanges in flight, those of them that are tunnels, idle wires. */
  remaining(slot: number): { requests: number; tunnels: number; wiresIdle: number } {
    const tunnels = this.sum(this.layout.slots + 8 * slot * SLOT_STRIDE, slotField.tunnels);
    // Two columns that change one after the other: a tunnel may be counted before or after its exchange.
    const requests = Math.max(0, this.inFlight(slot) - tunnels);
    return { requests, tunnels, wiresIdle: this.gauge(this.layout.wiresIdle + 4 * slot) };
  }

  /** What of an endpoint needs a connection: exchanges in flight, tunnels among them, and idle wires. */
  portsHeld(slot: number): number {
    const { i32, layout } = this;
    const idleAt = (layout.stripes + layout.wiresIdle) / 4 + slot;
    let sum = this.inFlight(slot);
    for (let stripe = 0; stripe < i32[header.stripesHigh]!; stripe++) sum += i32[idleAt + (stripe * layout.stripeBytes) / 4]!;
    return sum;
  }

  /** Connections made to an endpoint, ever. */
  connectsMade(slot: number): number {
    const row = this.layout.slots + 8 * slot * SLOT_STRIDE;
    return this.sum(row, slotField.connects + connectResult.ok) + this.sum(row, slotField.connects + connectResult.tls);
  }

  /** Is the word of this slot marked: while it drains, it keeps requests bound to it by a cookie. */
  isKeeping(slot: number): boolean {
    return (this.i32[this.layout.words / 4 + slot]! & word.keeps) !== 0;
  }

  /** Ids as in the plan; -1 is what belongs to no pool. */
  pool(pool: number): PoolTally {
    const { layout } = this;
    const id = pool < 0 ? layout.sizes.poolsMax : pool;
    const row = layout.pools + 8 * id * POOL_STRIDE;
    const checks = layout.poolChecks / 8 + id * POOL_CHECK_STRIDE;
    return {
      begun: this.sum(row, poolField.begun),
      retries: this.sums(row, poolField.retries, retryReasonNames.length),
      budgetExhausted: this.sum(row, poolField.budgetExhausted),
      queue: this.sum(row, poolField.queue),
      queueTimeouts: this.sum(row, poolField.queueTimeouts),
      queueTimes: this.histogram(row, poolField.queueTimes),
      hedges: this.sum(row, poolField.hedges),
      hedgesWon: this.sum(row, poolField.hedgesWon),
      fallback: this.sum(row, poolField.fallback),
      sticky: this.sums(row, poolField.sticky, stickyResultNames.length),
      breakerOpen: this.sum(row, poolField.breakerOpen),
      breakerWould: this.sum(row, poolField.breakerWould),
      retriesNow: this.sum(row, poolField.retriesNow),
      checkTimes: this.f64.slice(checks, checks + HISTOGRAM),
    };
  }

  /** Decisions of a filter, in the order of `filterDecisionNames`. */
  filter(filter: number): number[] {
    return this.sums(this.layout.filters + 8 * filter * FILTER_STRIDE, 0, filterDecisionNames.length);
  }

  listener(listener: number): ListenerTally {
    const { layout } = this;
    const row = layout.listeners + 8 * (listener < 0 ? layout.sizes.listenersMax : listener) * LISTENER_STRIDE;
    return {
      connections: this.sums(row, listenerField.connections, protocolNames.length),
      connectionsTotal: this.sums(row, listenerField.connectionsTotal, protocolNames.length),
      rejected: this.sums(row, listenerField.rejected, rejectionNames.length),
      handshakes: this.sums(row, listenerField.handshakes, handshakeLabels.length),
      handshakesNow: this.sum(row, listenerField.handshakesNow),
      handshakeTimes: this.histogram(row, listenerField.handshakeTimes),
      received: this.sum(row, listenerField.received),
      sent: this.sum(row, listenerField.sent),
      datagramsReceived: this.sum(row, listenerField.datagramsReceived),
      datagramsSent: this.sum(row, listenerField.datagramsSent),
    };
  }

  stripe(stripe: number): StripeTally {
    const at = this.at(stripe, 0) / 8;
    const { f64 } = this;
    return {
      stripe,
      heartbeatMs: f64[at + stripeField.heartbeat]!,
      epoch: f64[at + stripeField.inForce]!,
      busyRatio: f64[at + stripeField.busyRatio]!,
      heapUsedBytes: f64[at + stripeField.heapUsed]!,
      blocksFree: f64[at + stripeField.blocksFree]!,
      enters: f64[at + stripeField.enters]!,
      completions: f64[at + stripeField.completions]!,
      overflows: f64[at + stripeField.overflows]!,
    };
  }

  logLinesDropped(): number {
    return this.sum(0, stripeField.logLinesDropped);
  }
  /** Counts that found their stripe's rows full. */
  rowsDropped(): number {
    return this.sum(0, stripeField.exchangeRowsDropped) + this.sum(0, stripeField.countRowsDropped);
  }

  /** Keys of rate limits that were forgotten while they were needed, because their set of rows was full. */
  limitsForgotten(): number {
    return this.sum(0, stripeField.limitsForgotten);
  }

  /** Datagrams that were lost here, either way. */
  datagramsDropped(): number {
    return this.sum(0, stripeField.datagramsDropped);
  }

  exchanges(): ExchangeTally[] {
    const tallies = new Map<string, ExchangeTally>();
    this.walk(this.layout.exchanges, (hi, lo, at) => {
      if (kindOf(hi) !== rowKind.exchange) return;
      const key = `${hi} ${lo}`;
      let tally = tallies.get(key);
      if (tally === undefined) {
        tally = {
          listener: listenerOf(hi),
          route: routeOf(hi),
          pool: poolOf(lo),
          class: variantOf(hi),
          total: new Float64Array(HISTOGRAM),
          firstByte: new Float64Array(HISTOGRAM),
          overhead: new Float64Array(HISTOGRAM),
          bytesIn: 0,
          bytesOut: 0,
        };
        tallies.set(key, tally);
      }
      this.add(tally.total, at + exchangeField.total);
      this.add(tally.firstByte, at + exchangeField.firstByte);
      this.add(tally.overhead, at + exchangeField.overhead);
      tally.bytesIn += this.f64[at + exchangeField.bytesIn]!;
      tally.bytesOut += this.f64[at + exchangeField.bytesOut]!;
    });
    return [...tallies.values()];
  }

  /** The counters of single numbers. */
  counts(): { requests: RequestTally[]; faults: FaultTally[]; inFlight: InFlightTally[] } {
    const sums = new Map<string, { hi: number; lo: number; count: number }>();
    this.walk(this.layout.counts, (hi, lo, at) => {
      const key = `${hi} ${lo}`;
      const known = sums.get(key);
      if (known === undefined) sums.set(key, { hi, lo, count: this.f64[at]! });
      else known.count += this.f64[at]!;
    });
    const requests: RequestTally[] = [];
    const faults: FaultTally[] = [];
    const inFlight: InFlightTally[] = [];
    for (const { hi, lo, count } of sums.values()) {
      const listener = listenerOf(hi);
      const route = routeOf(hi);
      const pool = poolOf(lo);
      const kind = kindOf(hi);
      if (kind === rowKind.request) {
        requests.push({ listener, route, pool, method: methodOf(lo), status: numberOf(lo), protocol: variantOf(hi), count });
      } else if (kind === rowKind.fault) faults.push({ faultId: numberOf(lo), route, pool, count });
      else if (kind === rowKind.inFlight) inFlight.push({ listener, pool, count });
    }
    return { requests, faults, inFlight };
  }

  private walk(rows: RowsLayout, visit: (hi: number, lo: number, at: number) => void): void {
    for (const stripe of this.all()) {
      const table = new Rows(this.i32, this.f64, this.layout, stripe, rows);
      for (let row = 0, { count } = table; row < count; row++) visit(table.hi(row), table.lo(row), table.at(row));
    }
  }

  private *living(): Generator<number> {
    for (let stripe = 0; stripe < this.i32[header.stripesHigh]!; stripe++) yield stripe;
  }
  private *all(): Generator<number> {
    yield* this.living();
    yield this.layout.sizes.stripesMax;
  }
  /** Byte of a place in a stripe. */
  private at(stripe: number, place: number): number {
    return this.layout.stripes + stripe * this.layout.stripeBytes + place;
  }
  private sum(row: number, field: number): number {
    let sum = 0;
    for (const stripe of this.all()) sum += this.f64[this.at(stripe, row) / 8 + field]!;
    return sum;
  }
  private sums(row: number, field: number, length: number): number[] {
    return Array.from({ length }, (_, i) => this.sum(row, field + i));
  }
  private gauge(place: number): number {
    let sum = 0;
    for (const stripe of this.living()) sum += this.i32[this.at(stripe, place) / 4]!;
    return sum;
  }
  private histogram(row: number, field: number): Histogram {
    const result = new Float64Array(HISTOGRAM);
    for (const stripe of this.all()) this.add(result, this.at(stripe, row) / 8 + field);
    return result;
  }
  private add(to: Float64Array, at: number): void {
    for (let i = 0; i < HISTOGRAM; i++) to[i]! += this.f64[at + i]!;
  }
}
