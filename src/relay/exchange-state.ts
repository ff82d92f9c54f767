/** What is known of one exchange: who asks for what under which plan, where it went, when, and how far it is. exchange.ts and its parts move it on; log, recorder and counters read it. */
import { NONE } from '../balance/balance.ts';
import { NO_BLOCK } from '../base/blocks.ts';
import { ClientAddress } from '../base/client-address.ts';
import type { Head } from '../base/head.ts';
import type { ClientStream, EndpointStream } from '../base/stream.ts';
import { RequestFacts } from '../filter/filter.ts';
import type { ListenerPlan } from '../state/plan.ts';
import { LogRecord } from './access-log.ts';
import type { Carried } from './carried.ts';
import { fillRecord } from './exchange-record.ts';
import type { Placement } from './placement.ts';
import type { PoolRuntime, RouteRuntime, Runtime } from './runtime.ts';
import { Trail } from './trail.ts';
import type { Tries } from './tries.ts';

/** What relay/ knows of the listener a request came in on; listen/ implements it. */
export interface ListenerFacts {
  /** In plan.listeners of the plan in force, -1 when it left. */
  readonly index: number;
  readonly plan: ListenerPlan;
}

export abstract class ExchangeState {
  abstract readonly placement: Placement;
  abstract readonly tries: Tries;
  readonly facts = new RequestFacts();
  readonly address = new ClientAddress();
  /** Who asks: the client's address, or {@link address} where a trusted peer spoke for another. */
  from = this.address;
  /** What the access log will say; without one, only where the client's host and path stand. */
  readonly record = new LogRecord();
  readonly trail = new Trail();
  client: ClientStream | null = null;
  runtime: Runtime | null = null;
  listener: ListenerFacts | null = null;
  /** Head of the request; its bytes stand in `block`. */
  head: Head | null = null;
  /** The request head, and behind it what filters append to it and to the response. */
  block = NO_BLOCK;
  route: RouteRuntime | null = null;
  /** Its place among the requests of this process. */
  number = 0;
  /** One of `protocol` in state/doors.ts. */
  protocol = 0;
  /** The client asks for another protocol, and may. */
  wantsUpgrade = false;

  // The try under way: the table's, begun and not ended; its wire.
  slot = NONE;
  stream: EndpointStream | null = null;
  /** It waits for a wire. */
  isLeasing = false;
  isReused = false;
  upstreamStatus = 0;

  // The answer.
  status = 0;
  isTunnel = false;
  carriedBefore: Carried | null = null;
  carriedAfter: Carried | null = null;
  faultId = 0;
  detail = '';
  bytesIn = 0;
  bytesOut = 0;

  // Monotonic ms; 0 = not yet.
  startedMs = 0;
  beganMs = 0;
  attemptMs = 0;
  leasedMs = 0;
  sentMs = 0;
  headMs = 0;
  endedMs = 0;
  /** When something moved last. */
  lastMs = 0;
  /** Time spent waiting for leases; in tries that failed and between tries. */
  waitedMs = 0;
  lostMs = 0;

  get pool(): PoolRuntime | null {
    return this.placement.pool;
  }
  get key(): number {
    return this.placement.key;
  }
  /** One of `stickyResult`; -1: the pool is not sticky. */
  get sticky(): number {
    return this.placement.sticky;
  }
  get wasQueued(): boolean {
    return this.placement.wasQueued;
  }
  get queuedMs(): number {
    return this.placement.queuedMs;
  }
  get fallbacks(): number {
    return this.placement.fallbacks;
  }
  get attempts(): number {
    return this.tries.count;
  }
  /** For a place, a wire, or the end of a backoff. */
  get isWaiting(): boolean {
    return this.isLeasing || this.placement.isWaiting || this.tries.isWaiting;
  }
  /** Time spent in weir: up to the request's leaving, without waiting for a lease; for its own answers, all. */
  get overheadMs(): number {
    return this.sentMs > 0
      ? Math.max(0, this.sentMs - this.beganMs - this.waitedMs - this.queuedMs - this.lostMs)
      : this.endedMs - this.beganMs - this.queuedMs;
  }
  /** Fills in what the access log says at the end. */
  fillRecord(wallMs: number): LogRecord {
    return fillRecord(this, wallMs);
  }

  /** Sent to head received, of the try under way; -1: there is no head. */
  get responseMs(): number {
    return this.headMs > 0 ? this.headMs - this.leasedMs : -1;
  }

  clearState(): void {
    this.facts.reset();
    this.trail.reset();
    this.client = null;
    this.from = this.address;
    this.runtime = null;
    this.listener = null;
    this.head = null;
    this.block = NO_BLOCK;
    this.route = null;
    this.slot = NONE;
    this.stream = null;
    this.wantsUpgrade = this.isLeasing = this.isReused = this.isTunnel = false;
    this.status = this.upstreamStatus = this.faultId = 0;
    this.detail = '';
    this.bytesIn = this.bytesOut = 0;
    this.startedMs = this.beganMs = this.attemptMs = this.leasedMs = this.sentMs = this.headMs = this.endedMs = this.lastMs = 0;
    this.waitedMs = this.lostMs = 0;
  }
}
