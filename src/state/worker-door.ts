/**
 * The worker's door: counts into its own stripe and nowhere else. Every call here is on the hot path: loads, additions and plain stores, because
 * the column has no other writer.
 */
import { assert } from '../base/assert.ts';
import { fault, faults } from '../base/faults.ts';
import { bucketOf } from './buckets.ts';
import { handshakeResult, type WorkerWriter } from './doors.ts';
import {
  BUCKETS,
  connectResult,
  exchangeField,
  FILTER_STRIDE,
  header,
  LISTENER_STRIDE,
  listenerField,
  POOL_STRIDE,
  poolField,
  SLOT_STRIDE,
  SLOT_TIMES_STRIDE,
  slotField,
  slotTimes,
  stripeField,
} from './layout.ts';
import { LANDMARK_MS, LATENCY_DECAY_MS, Reader } from './reader.ts';
import { keyHi, keyLo, Rows, rowKind } from './rows.ts';

/** The weight of a latency sample is renewed this often: a hundredth of a percent of its time constant would be wasted work. */
const WEIGHT_STEP_MS = 10;

/**
 * What a fault says of the endpoint. A client's abort and weir's own limits say nothing. That there is no way to it is nobody's fault, and yet a reason to ask
 * another one: whether it is weir's own network is told by the rest of the pool.
 */
const blame = Object.freeze({ none: 0, endpoint: 1, timeout: 2 });
const blameOf = Uint8Array.from(faults, (f) =>
  f.side !== 'endpoint' && f.id !== fault.unroutable ? blame.none : f.status === 504 ? blame.timeout : blame.endpoint,
);
const resultOf = Uint8Array.from(faults, (f) => {
  if (f.id === fault.none) return connectResult.ok;
  if (f.id === fault.connectionRefused) return connectResult.refused;
  if (f.id === fault.connectionTimeout) return connectResult.timeout;
  if (f.id === fault.unroutable) return connectResult.unroutable;
  return f.phase === 'tls' ? connectResult.tls : connectResult.failed;
});

export class WorkerDoor extends Reader implements WorkerWriter {
  readonly stripe: number;
  private readonly myHeader: number;
  private readonly myInFlight: number;
  private readonly myWiresIdle: number;
  private readonly myWiresBusy: number;
  private readonly myRequests: number;
  private readonly mySlots: number;
  private readonly myTimes: number;
  private readonly myPools: number;
  private readonly myListeners: number;
  private readonly myFilters: number;
  private readonly noPool: number;
  private readonly noListener: number;
  private readonly poolOfSlot: number;
  private readonly exchanges: Rows;
  private readonly counts: Rows;
  private weightNow = 1;
  private weightAt = -Infinity;
  private landmark = 0;
  private readonly clockOffsetMs: number;
  private clockMs = 0;

  /** `clockOffsetMs`: what makes the shared clock of the times given to {@link heartbeat}. */
  constructor(buffer: ArrayBufferLike, stripe: number, clockOffsetMs = 0) {
    super(buffer);
    this.clockOffsetMs = clockOffsetMs;
    const { layout } = this;
    assert(stripe >= 0 && stripe < layout.sizes.stripesMax, 'a stripe of this table');
    const start = layout.stripes + stripe * layout.stripeBytes;
    this.stripe = stripe;
    this.myHeader = start / 8;
    this.myInFlight = (start + layout.inFlight) / 4;
    this.myWiresIdle = (start + layout.wiresIdle) / 4;
    this.myWiresBusy = (start + layout.wiresBusy) / 4;
    this.myRequests = (start + layout.requests) / 8;
    this.mySlots = (start + layout.slots) / 8;
    this.myTimes = (start + layout.slotTimes) / 8;
    this.myPools = (start + layout.pools) / 8;
    this.myListeners = (start + layout.listeners) / 8;
    this.myFilters = (start + layout.filters) / 8;
    this.noPool = layout.sizes.poolsMax;
    this.noListener = layout.sizes.listenersMax;
    this.poolOfSlot = layout.slotPool / 4;
    this.exchanges = new Rows(this.i32, this.f64, layout, stripe, layout.exchanges);
    this.counts = new Rows(this.i32, this.f64, layout, stripe, layout.counts);
    assert(this.i32[header.stripes + stripe] !== 0, 'a worker writes only a stripe that was claimed for it');
    this.f64[this.myHeader + stripeField.latencyScale] = 1;
    this.f64[this.myHeader + stripeField.latencyLandmark] = 0;
  }

  begin(slot: number): void {
    const { i32, f64 } = this;
    i32[this.myInFlight + slot]! += 1;
    f64[this.myRequests + slot]! += 1;
    const pool = this.myPools + i32[this.poolOfSlot + slot]! * POOL_STRIDE;
    f64[pool + poolField.begun]! += 1;
    f64[pool + poolField.inFlight]! += 1;
  }

  end(slot: number, faultId: number, status: number, responseMs: number): void {
    const { i32, f64 } = this;
    i32[this.myInFlight + slot]! -= 1;
    f64[this.myPools + i32[this.poolOfSlot + slot]! * POOL_STRIDE + poolField.inFlight]! -= 1;
    const row = this.mySlots + slot * SLOT_STRIDE;
    f64[row + slotField.class + classOf(status)]! += 1;
    const itsBlame = blameOf[faultId]!;
    if (itsBlame !== blame.none) {
      f64[row + slotField.faults]! += 1;
      if (itsBlame === blame.timeout) f64[row + slotField.timeouts]! += 1;
      f64[row + slotField.hardStreak]! += 1;
      this.complain(slot, row);
    } else if (status >= 500) {
      if (status >= 502 && status <= 504) {
        f64[row + slotField.gateway]! += 1;
        f64[row + slotField.hardStreak]! += 1;
      } else f64[row + slotField.hardStreak] = 0;
      this.complain(slot, row);
    } else if (status > 0) this.praise(row);
    if (responseMs >= 0) this.responded(slot, row, responseMs);
  }

  private praise(row: number): void {
    const { f64 } = this;
    f64[row + slotField.good]! += 1;
    f64[row + slotField.streak] = f64[row + slotField.hardStreak] = 0;
  }

  /** The counters last: who sees them move finds the rest. */
  private complain(slot: number, row: number): void {
    const { f64 } = this;
    f64[row + slotField.bad]! += 1;
    f64[row + slotField.streak]! += 1;
    f64[this.myPools + this.i32[this.poolOfSlot + slot]! * POOL_STRIDE + poolField.complaints]! += 1;
    f64[this.myHeader + stripeField.complaints]! += 1;
  }

  private responded(slot: number, row: number, responseMs: number): void {
    const { f64, weightNow } = this;
    const times = this.myTimes + slot * SLOT_TIMES_STRIDE + slotTimes.response;
    f64[times + bucketOf(responseMs)]! += 1;
    f64[times + BUCKETS]! += responseMs;
    if (f64[row + slotField.latencyLandmark] !== this.landmark) this.moveLandmark(row);
    f64[row + slotField.latencySum]! += responseMs * weightNow;
    f64[row + slotField.latencyWeight]! += weightNow;
  }

  private moveLandmark(row: number): void {
    const { f64, landmark } = this;
    const scale = Math.exp(((f64[row + slotField.latencyLandmark]! - landmark) * LANDMARK_MS) / LATENCY_DECAY_MS);
    f64[row + slotField.latencySum]! *= scale;
    f64[row + slotField.latencyWeight]! *= scale;
    f64[row + slotField.latencyLandmark] = landmark;
  }

  connected(slot: number, faultId: number, ms: number): void {
    const { f64 } = this;
    f64[this.mySlots + slot * SLOT_STRIDE + slotField.connects + resultOf[faultId]!]! += 1;
    if (faultId !== fault.none) return;
    this.time(this.myTimes + slot * SLOT_TIMES_STRIDE + slotTimes.connect, ms);
  }

  wires(slot: number, idle: number, busy: number): void {
    this.i32[this.myWiresIdle + slot] = idle;
    this.i32[this.myWiresBusy + slot] = busy;
  }

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
  ): void {
    const { f64 } = this;
    const count = this.counts.find(keyHi(rowKind.request, protocol, listener, route), keyLo(method, status, pool));
    f64[count]! += 1;
    const row = this.exchanges.find(keyHi(rowKind.exchange, classOf(status), listener, route), keyLo(0, 0, pool));
    this.time(row + exchangeField.total, totalMs);
    if (firstByteMs >= 0) this.time(row + exchangeField.firstByte, firstByteMs);
    if (overheadMs >= 0) this.time(row + exchangeField.overhead, overheadMs);
    f64[row + exchangeField.bytesIn]! += bytesIn;
    f64[row + exchangeField.bytesOut]! += bytesOut;
  }

  private time(histogram: number, ms: number): void {
    const { f64 } = this;
    f64[histogram + bucketOf(ms)]! += 1;
    f64[histogram + BUCKETS]! += ms;
  }

  exchangeInFlight(listener: number, pool: number, delta: number): void {
    this.f64[this.counts.find(keyHi(rowKind.inFlight, 0, listener, -1), keyLo(0, 0, pool))]! += delta;
  }

  fault(faultId: number, route: number, pool: number): void {
    this.f64[this.counts.find(keyHi(rowKind.fault, 0, -1, route), keyLo(0, faultId, pool))]! += 1;
  }

  retry(pool: number, reason: number): void {
    this.f64[this.poolRow(pool) + poolField.retries + reason]! += 1;
  }
  retryBudgetExhausted(pool: number): void {
    this.f64[this.poolRow(pool) + poolField.budgetExhausted]! += 1;
  }

  retriesInFlight(pool: number, delta: number): void {
    this.f64[this.poolRow(pool) + poolField.retriesNow]! += delta;
  }
  hedge(pool: number, won: boolean): void {
    this.f64[this.poolRow(pool) + (won ? poolField.hedgesWon : poolField.hedges)]! += 1;
  }
  fellBack(pool: number): void {
    this.f64[this.poolRow(pool) + poolField.fallback]! += 1;
  }
  sticky(pool: number, result: number): void {
    this.f64[this.poolRow(pool) + poolField.sticky + result]! += 1;
  }
  breaker(pool: number, isShadow: boolean): void {
    this.f64[this.poolRow(pool) + (isShadow ? poolField.breakerWould : poolField.breakerOpen)]! += 1;
  }
  tunnel(slot: number, delta: number): void {
    const row = this.mySlots + slot * SLOT_STRIDE;
    this.f64[row + slotField.tunnels]! += delta;
    if (delta > 0) this.praise(row);
  }
  worked(slot: number): void {
    this.praise(this.mySlots + slot * SLOT_STRIDE);
  }
  filterDecided(filter: number, decision: number): void {
    const at = filter < 0 ? this.layout.sizes.filtersMax : filter;
    this.f64[this.myFilters + at * FILTER_STRIDE + decision]! += 1;
  }

  connection(listener: number, protocol: number, delta: number): void {
    const { f64 } = this;
    const row = this.listenerRow(listener) + protocol;
    f64[row + listenerField.connections]! += delta;
    if (delta > 0) f64[row + listenerField.connectionsTotal]! += delta;
  }
  rejected(listener: number, rejection: number): void {
    this.f64[this.listenerRow(listener) + listenerField.rejected + rejection]! += 1;
  }
  handshake(listener: number, result: number, ms: number): void {
    const row = this.listenerRow(listener);
    this.f64[row + listenerField.handshakes + result]! += 1;
    // Others would tell of deadlines and scans.
    if (ms >= 0 && result < handshakeResult.failed) this.time(row + listenerField.handshakeTimes, ms);
  }
  handshakesUnderWay(listener: number, delta: number): void {
    this.f64[this.listenerRow(listener) + listenerField.handshakesNow]! += delta;
  }
  wireBytes(listener: number, received: number, sent: number): void {
    const { f64 } = this;
    const row = this.listenerRow(listener);
    f64[row + listenerField.received]! += received;
    f64[row + listenerField.sent]! += sent;
  }

  datagrams(listener: number, received: number, receivedBytes: number, sent: number, sentBytes: number): void {
    const { f64 } = this;
    const row = this.listenerRow(listener);
    f64[row + listenerField.datagramsReceived]! += received;
    f64[row + listenerField.received]! += receivedBytes;
    f64[row + listenerField.datagramsSent]! += sent;
    f64[row + listenerField.sent]! += sentBytes;
  }

  queue(pool: number, delta: number): void {
    this.f64[this.poolRow(pool) + poolField.queue]! += delta;
  }
  queued(pool: number, ms: number, timedOut: boolean): void {
    const row = this.poolRow(pool);
    if (timedOut) this.f64[row + poolField.queueTimeouts]! += 1;
    this.time(row + poolField.queueTimes, ms);
  }

  logLinesDropped(count: number): void {
    this.f64[this.myHeader + stripeField.logLinesDropped]! += count;
  }

  process(
    busyRatio: number,
    heapUsedBytes: number,
    blocksFree: number,
    enters: number,
    completions: number,
    overflows: number,
    datagramsDropped: number,
  ): void {
    const { f64, myHeader } = this;
    f64[myHeader + stripeField.busyRatio] = busyRatio;
    f64[myHeader + stripeField.heapUsed] = heapUsedBytes;
    f64[myHeader + stripeField.blocksFree] = blocksFree;
    f64[myHeader + stripeField.enters] = enters;
    f64[myHeader + stripeField.completions] = completions;
    f64[myHeader + stripeField.overflows] = overflows;
    f64[myHeader + stripeField.limitsForgotten] = this.limits.evicted;
    f64[myHeader + stripeField.datagramsDropped] = datagramsDropped;
  }

  heartbeat(nowMs: number): void {
    const { f64, myHeader } = this;
    f64[myHeader + stripeField.heartbeat] = nowMs;
    this.clockMs = nowMs + this.clockOffsetMs;
    if (nowMs - this.weightAt < WEIGHT_STEP_MS) return;
    this.weightAt = nowMs;
    this.landmark = Math.floor(nowMs / LANDMARK_MS);
    this.weightNow = Math.exp((nowMs - this.landmark * LANDMARK_MS) / LATENCY_DECAY_MS);
    f64[myHeader + stripeField.latencyScale] = 1 / this.weightNow;
    f64[myHeader + stripeField.latencyLandmark] = this.landmark;
  }

  override nowMs(): number {
    return this.clockMs;
  }

  inForce(epoch: number): void {
    this.f64[this.myHeader + stripeField.inForce] = epoch;
  }

  private poolRow(pool: number): number {
    return this.myPools + (pool < 0 ? this.noPool : pool) * POOL_STRIDE;
  }
  private listenerRow(listener: number): number {
    return this.myListeners + (listener < 0 ? this.noListener : listener) * LISTENER_STRIDE;
  }
}

/** Class of a status: 0 none, 1..5. */
function classOf(status: number): number {
  return status >= 600 ? 5 : (status / 100) | 0;
}
