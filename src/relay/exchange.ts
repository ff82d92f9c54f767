/**
 * One exchange: read head -> route -> filter -> pick -> lease -> send -> copy back -> settle.
 *
 *     begin --route, filter--> attempt --pick, lease--> waiting --onLeased--> sending --request ended--> awaiting head --head--> answering --end--> over
 *                                 ^                        |                     |                            |                    |
 *                                 '------ may retry -------'---------------------'----------------------------'                    '-- cut: client.abort()
 *
 * Pools, queues and fallbacks are placement.ts; the second try beside a slow first one is hedge.ts. It sees heads, pieces and ends, never the bytes of a protocol, and knows neither sockets nor codecs.
 *
 * Rules
 * 1. Every pick is followed by one table.begin and one table.end (balance, rule 3).
 * 2. What was sent in part is never repeated. A request is tried again when no byte of it left, or when nothing was answered and the method is idempotent
 *    and had no body (RFC 9110 §9.2.2).
 * 3. The faster side waits for the slower: at most limits.bufferBytesMax are queued on either.
 * 4. Nothing is called on a side that ended.
 * 5. It waits for one thing at a time: for a place (placement.ts), for a wire, or for the end of a backoff.
 */
import { backoffMs, isIdempotent, isStaleWire, NEVER, NONE, reasonOfFault, reasonOfStatus } from '../balance/balance.ts';
import { NO_BLOCK } from '../base/blocks.ts';
import { ClientAddress } from '../base/client-address.ts';
import { fault, faults } from '../base/faults.ts';
import { framing, type Head, method } from '../base/head.ts';
import type { ClientStream, EndpointStream, RequestSink, ResponseSink } from '../base/stream.ts';
import type { TimerOwner } from '../base/wire.ts';
import { acceptKind, RequestFacts, type RouteAnswer } from '../filter/filter.ts';
import { applyRewrite, BAD_PATH, chooseTarget, NO_ROUTE } from '../route/route.ts';
import { stickyResult } from '../state/doors.ts';
import type { ListenerPlan } from '../state/plan.ts';
import { LogRecord } from './access-log.ts';
import { fillRecord } from './exchange-record.ts';
import type { Hedge } from './hedge.ts';
import { Placement } from './placement.ts';
import type { Relay } from './relay.ts';
import type { PoolRuntime, RouteRuntime, Runtime } from './runtime.ts';
import { Trail, tryKind } from './trail.ts';
import { isGoodSwitch, mayUpgrade } from './upgrade.ts';

/** Room kept behind a request head for what filters append to it and to the response. */
const APPEND_BYTES = 1536;
/** A tunnel of which one side has ended lives on this long without a byte. */
const HALF_OPEN_MS = 30_000;

/** What an exchange without a stream waits for besides its placement: a wire, the end of a backoff. */
const waitFor = Object.freeze({ nothing: 0, lease: 1, backoff: 2 });

/** What relay/ knows of the listener a request came in on; listen/ implements it. */
export interface ListenerFacts {
  /** In plan.listeners of the plan in force, -1 when it left. */
  readonly index: number;
  readonly plan: ListenerPlan;
}

export class Exchange implements RequestSink, ResponseSink, TimerOwner {
  readonly facts = new RequestFacts();
  readonly address = new ClientAddress();
  /** What the access log will say; without one, only where the client's host and path stand. */
  readonly record = new LogRecord();
  readonly trail = new Trail();
  client: ClientStream | null = null;
  runtime: Runtime | null = null;
  listener: ListenerFacts | null = null;
  /** Head of the request; its bytes stand in `block`. */
  head: Head | null = null;
  route: RouteRuntime | null = null;
  /** Its place among the requests of this process. */
  number = 0;
  slot = NONE;
  status = 0;
  upstreamStatus = 0;
  faultId = 0;
  detail = '';
  attempts = 0;
  isReused = false;
  isTunnel = false;
  /** One of `protocol` in state/doors.ts. */
  protocol = 0;
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
  /** Time spent waiting for leases; in tries that failed and between tries. */
  waitedMs = 0;
  lostMs = 0;
  readonly placement: Placement;

  private readonly relay: Relay;
  private block = NO_BLOCK;
  private stream: EndpointStream | null = null;
  private waitsFor: number = waitFor.nothing;
  /** Wait before the next try, when it ends, and who is avoided then. */
  private backoffMs = 0;
  private resumeMs = 0;
  private avoid = NONE;
  /** A second try beside the first, and when it starts; the one that took the first's place. */
  private hedge: Hedge | null = null;
  private promoted: Hedge | null = null;
  private hedgeMs = Infinity;
  private wasHedged = false;
  /** Fault of the first of two tries. */
  private firstFault = 0;
  private isRequestEnded = false;
  private isBodySent = false;
  private isHeadAnswered = false;
  private isEndSent = false;
  private wasStaleTried = false;
  private wantsUpgrade = false;
  private isClientPaused = false;
  private isEndpointPaused = false;
  private hasRequestEndSent = false;
  private lastMs = 0;
  // Pieces of the body that came before the lease: (block, start, end) each.
  private readonly pending: number[] = [];
  private ticket = 0;
  private ticketMs = Infinity;

  constructor(relay: Relay) {
    this.relay = relay;
    this.placement = new Placement(relay, this);
  }

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

  /** Takes a request. The head belongs to the exchange from here; its bytes are lent for the call. */
  begin(client: ClientStream, listener: ListenerFacts, head: Head): void {
    const { relay } = this;
    const { engine, blocks, table } = relay;
    const runtime = relay.runtime!;
    this.client = client;
    this.listener = listener;
    this.runtime = runtime;
    this.head = head;
    this.protocol = client.protocol;
    this.startedMs = client.startedMs;
    this.beganMs = this.lastMs = engine.now;
    client.sink = this;
    const block = blocks.take(head.size + APPEND_BYTES);
    if (block === NO_BLOCK) {
      this.shedWithoutMemory();
      return;
    }
    this.block = block;
    head.moveTo(blocks.start(block), blocks.size(block));
    this.record.setHead(head, relay.logsFields);
    const { facts } = this;
    facts.method = head.method;
    facts.peer = client.address.text;
    facts.client = facts.peer;
    facts.clientPort = client.address.port;
    facts.scheme = client.secure ? 'https' : 'http';
    facts.listener = listener.plan.name;
    this.number = relay.nextNumber();
    facts.id = relay.idOf(this.number);
    facts.nowMs = table.nowMs();
    if (listener.index < 0) {
      this.answer(fault.draining, '');
      return;
    }
    facts.listenerPort = runtime.listenerPorts[listener.index]!;
    const rules = runtime.clientRules[listener.index]!;
    let from = client.address;
    if (rules.trusts(from)) {
      facts.peerIsTrusted = true;
      rules.resolve(head, from, this.address);
      from = this.address;
      facts.client = from.text;
      facts.clientPort = from.port;
    }
    if (head.method === method.CONNECT || head.method === method.TRACE) {
      this.answer(fault.methodNotAllowed, 'CONNECT and TRACE are not served');
      return;
    }
    if (listener.plan.redirectToHttps) {
      this.answerWith(runtime.toHttps);
      return;
    }
    const routeTable = runtime.tables[listener.index]!;
    const routeIndex = routeTable.match(head, from);
    if (routeIndex < 0) {
      if (routeIndex === BAD_PATH) this.answer(fault.badRequest, 'the path can be read in two ways');
      else if (routeIndex === NO_ROUTE) this.answer(fault.destinationNotFound, routeTable.nearestMiss(head, from));
      return;
    }
    const route = runtime.routes[routeIndex]!;
    this.route = route;
    facts.route = route.plan.name;
    const { action } = route.plan;
    if (action.kind !== 'forward') {
      const denied = route.filters.request(head, from, facts);
      if (denied !== 0) this.answer(denied, '');
      else this.answerWith(route.answer!);
      return;
    }
    this.placement.use(runtime.pools[chooseTarget(action, relay.random())]!, head, from);
    this.wantsUpgrade = head.upgradeEnd > head.upgradeStart && route.mayUpgrade && mayUpgrade(head, route.plan.upgrade);
    const refused =
      runtime.forwarded.request(head, facts) || this.rewrite(route, head) || route.filters.request(head, from, facts);
    if (refused !== 0) {
      this.answer(refused, '');
      return;
    }
    this.placement.enter();
  }

  /** A connection on which no head could be read: answers it. */
  beginBad(client: ClientStream, listener: ListenerFacts, faultId: number, detail: string): void {
    const { relay } = this;
    this.client = client;
    this.listener = listener;
    this.runtime = relay.runtime!;
    this.protocol = client.protocol;
    this.startedMs = client.startedMs;
    this.beganMs = relay.engine.now;
    client.sink = this;
    this.block = relay.blocks.takeSmall();
    if (this.block === NO_BLOCK) {
      this.shedWithoutMemory();
      return;
    }
    const { facts } = this;
    facts.peer = facts.client = client.address.text;
    facts.clientPort = client.address.port;
    facts.listener = listener.plan.name;
    this.number = relay.nextNumber();
    facts.id = relay.idOf(this.number);
    this.answer(faultId, detail);
  }

  // Choosing and leasing.

  /** The request goes to this endpoint. */
  onPlaced(slot: number): void {
    this.attempts++;
    this.lease(slot, false);
  }

  /** It waits for a place. */
  onQueued(): void {
    this.pauseClient();
  }

  /** There is no endpoint for it. */
  onUnplaced(faultId: number, detail: string): void {
    this.answer(faultId, detail);
  }

  /** `isFresh`: over a new wire, in the place that is held there already. */
  private lease(slot: number, isFresh: boolean): void {
    const { relay } = this;
    this.dropPromoted();
    this.slot = slot;
    this.upstreamStatus = this.firstFault = 0;
    this.leasedMs = 0;
    this.hedgeMs = Infinity;
    this.facts.endpoint = this.runtime!.endpointTexts[slot] ?? '';
    if (!isFresh) relay.table.begin(slot);
    this.noteBegin(slot, isFresh ? tryKind.fresh : tryKind.ordinary);
    this.attemptMs = relay.engine.now;
    const endpoint = this.runtime!.endpoints[slot];
    if (endpoint === undefined) {
      this.onLeaseFailed(fault.destinationUnavailable);
      return;
    }
    const { breaker } = this.pool!;
    if (breaker !== null && endpoint.mustQueue && breaker.refusesWait(relay.table)) {
      this.settle(0, -1);
      this.answer(fault.queueFull, breaker.detail);
      return;
    }
    this.waitsFor = waitFor.lease;
    const stream = endpoint.lease(this, this.route!.plan.timeouts.connectMs, isFresh);
    if (stream !== null) this.onLeased(stream);
    else if (this.waitsFor === waitFor.lease) this.pauseClient();
  }

  onLeased(stream: EndpointStream): void {
    const { relay } = this;
    const { now } = relay.engine;
    const head = this.head!;
    this.waitsFor = waitFor.nothing;
    this.stream = stream;
    this.isReused = stream.isReused;
    this.leasedMs = this.lastMs = now;
    this.waitedMs += now - this.attemptMs;
    // HTTP/1.0 may come without Host, HTTP/1.1 may not go without one (RFC 9112 §3.2).
    if (head.authorityEnd === head.authorityStart) head.setAuthority(this.facts.endpoint);
    if (!stream.sendHead(head, this.wantsUpgrade)) {
      this.dropStream();
      this.settle(fault.overload, -1);
      this.answer(fault.overload, 'the head does not fit');
      return;
    }
    if (this.pending.length > 0) this.sendPending(stream);
    if (this.stream !== stream) return;
    if (this.isRequestEnded) this.endRequest(null);
    this.resumeClient();
    this.arm();
  }

  onLeaseFailed(faultId: number): void {
    const { slot } = this;
    this.waitsFor = waitFor.nothing;
    this.waitedMs += this.relay.engine.now - this.attemptMs;
    this.settle(faultId, -1);
    const cause = this.firstFault || faultId;
    if (this.mayRetry(cause)) this.again(faultId, slot);
    else this.answer(cause, '');
  }

  /** Tries once more, after the backoff. */
  private again(faultId: number, avoid: number): void {
    this.noteTry(faultId);
    const { now } = this.relay.engine;
    if (this.leasedMs > 0) this.lostMs += now - this.leasedMs;
    if (this.backoffMs < 1) {
      this.placement.place(avoid);
      return;
    }
    this.avoid = avoid;
    this.waitsFor = waitFor.backoff;
    this.resumeMs = now + this.backoffMs;
    this.lostMs += this.backoffMs;
    this.pauseClient();
    this.arm();
  }

  /** A try has begun on the table. */
  noteBegin(slot: number, kind: number): void {
    const { table, engine } = this.relay;
    this.trail.begin(slot, engine.now, table.inFlight(slot), table.poolInFlight(slot), kind);
  }

  private noteTry(faultId: number): void {
    if (this.relay.isLogging) this.record.addAttempt(this.facts.endpoint, faultId, this.relay.engine.now - this.attemptMs);
  }

  // The client's side (RequestSink).

  onRequestBody(block: number, start: number, end: number): void {
    this.bytesIn += end - start;
    this.lastMs = this.relay.engine.now;
    const { stream } = this;
    if (stream === null) {
      if (this.waitsFor === waitFor.nothing && !this.placement.isWaiting) return;
      this.relay.blocks.retain(block);
      this.pending.push(block, start, end);
      this.pauseClient();
      return;
    }
    this.isBodySent = true;
    stream.sendBody(block, start, end);
    // Sending may have failed and ended everything.
    if (this.stream !== stream) return;
    const max = this.listener!.plan.limits.bufferBytesMax;
    if (stream.queued > max) {
      stream.drainBelow = max >>> 1;
      this.pauseClient();
    }
  }

  onRequestTrailers(head: Head): void {
    if (this.stream !== null && !this.isTunnel) this.endRequest(head);
  }

  onRequestEnd(): void {
    this.isRequestEnded = true;
    if (this.stream === null) {
      // Nothing more will come that would have to be kept, and whether the client is still there is heard only while reading.
      this.resumeClient();
      return;
    }
    if (this.isTunnel) {
      this.stream.sendClose();
      this.lastMs = this.relay.engine.now;
      if (this.isEndSent) {
        this.dropStream();
        this.finish();
      } else this.arm();
    } else this.endRequest(null);
  }

  onClientDrained(): void {
    this.lastMs = this.relay.engine.now;
    if (this.isEndpointPaused && this.stream !== null) {
      this.isEndpointPaused = false;
      this.stream.resume();
    }
  }

  onRequestFault(faultId: number, detail: string): void {
    this.cancelEndpoint(fault.clientAborted);
    if (this.isHeadAnswered) this.abort(faultId, detail);
    else this.answer(faultId, detail);
  }

  onClientGone(faultId: number): void {
    this.client = null;
    if (this.isTunnel && this.isEndSent) faultId = 0;
    this.cancelEndpoint(faultId);
    if (faultId !== 0) this.note(faultId, '');
    if (!this.isHeadAnswered) this.status = faults[faultId]!.status;
    this.finish();
  }

  // The endpoint's side (ResponseSink).

  onResponseHead(head: Head): void {
    const { relay } = this;
    const client = this.client!;
    const { now } = relay.engine;
    this.lastMs = now;
    if (head.status < 200 && head.status !== 101) {
      client.sendHead(head);
      return;
    }
    this.headMs = now;
    this.upstreamStatus = head.status;
    if (head.status === 101 && !(this.wantsUpgrade && this.isRequestEnded && isGoodSwitch(this.head!, head))) {
      this.failEndpoint(fault.upgradeFailed, 'the endpoint switched protocols wrongly or unasked');
      return;
    }
    if (head.status >= 502 && this.hedge !== null && this.wouldRetry(head.status)) {
      this.dropStream();
      this.settle(0, now - this.leasedMs);
      this.noteTry(0);
      this.promoteHedge();
      return;
    }
    if (head.status >= 502 && this.mayRetryStatus(head.status)) {
      const { slot } = this;
      this.dropStream();
      this.settle(0, now - this.leasedMs);
      this.headMs = 0;
      this.again(0, slot);
      return;
    }
    this.dropHedge();
    this.appendBehind(head);
    const broken = this.route!.filters.response(head, this.facts) || this.runtime!.forwarded.response(head, this.facts);
    if (broken !== 0) {
      this.failEndpoint(broken, 'no room for the edited head');
      return;
    }
    this.placement.bind(head, this.slot);
    this.status = head.status;
    this.isHeadAnswered = true;
    client.sendHead(head);
    if (head.status === 101 && this.client !== null) this.startTunnel();
    else if (head.framing !== framing.none) this.arm();
  }

  onResponseBody(block: number, start: number, end: number): void {
    const client = this.client!;
    this.bytesOut += end - start;
    this.lastMs = this.relay.engine.now;
    client.sendBody(block, start, end);
    const max = this.listener!.plan.limits.bufferBytesMax;
    if (client.queued > max && this.stream !== null) {
      client.drainBelow = max >>> 1;
      if (!this.isEndpointPaused) {
        this.isEndpointPaused = true;
        this.stream.pause();
      }
    }
  }

  onResponseTrailers(head: Head): void {
    this.isEndSent = true;
    this.client!.sendEnd(head);
  }

  onResponseEnd(): void {
    if (this.isTunnel) {
      if (this.isEndSent) return;
      this.isEndSent = true;
      this.lastMs = this.relay.engine.now;
      this.client?.sendEnd(null);
      if (this.isRequestEnded) {
        this.dropStream();
        this.finish();
      } else this.arm();
      return;
    }
    this.stream = null;
    this.settle(0, this.headMs - this.leasedMs);
    if (!this.isEndSent) this.client!.sendEnd(null);
    this.finish();
  }

  onEndpointDrained(): void {
    this.lastMs = this.relay.engine.now;
    this.resumeClient();
  }

  onEndpointFault(faultId: number, detail: string): void {
    this.stream = null;
    this.afterEndpointFault(faultId, detail);
  }

  // Time.

  onTimer(): void {
    this.ticket = 0;
    this.ticketMs = Infinity;
    if (this.client === null) return;
    const { now } = this.relay.engine;
    if (now < this.dueMs()) {
      this.arm();
      return;
    }
    const { requestMs } = this.route!.plan.timeouts;
    if (this.isTunnel) {
      this.dropStream();
      this.settle(0, this.headMs - this.leasedMs);
      this.abort(this.isEndSent || this.isRequestEnded ? 0 : fault.readTimeout, 'tunnel idle');
    } else if (requestMs > 0 && now >= this.beganMs + requestMs) {
      this.cancelEndpoint(fault.responseTimeout);
      if (this.isHeadAnswered) this.abort(fault.readTimeout, 'request timeout');
      else this.answer(fault.responseTimeout, 'request timeout');
    } else if (this.waitsFor === waitFor.backoff) {
      this.waitsFor = waitFor.nothing;
      this.placement.place(this.avoid);
    } else if (now >= this.hedgeMs) {
      this.startHedge();
      if (this.client !== null) this.arm();
    } else if (this.isHeadAnswered) this.failEndpoint(fault.readTimeout, 'idle timeout');
    else this.failEndpoint(this.hasRequestEndSent ? fault.responseTimeout : fault.writeTimeout, 'no answer in time');
  }

  /** When the phase under way must have moved on. */
  private dueMs(): number {
    const { timeouts, retry } = this.route!.plan;
    if (this.placement.isWaiting) return Infinity;
    let due = timeouts.requestMs > 0 ? this.beganMs + timeouts.requestMs : Infinity;
    if (this.isTunnel) {
      const idle = this.isEndSent || this.isRequestEnded ? Math.min(HALF_OPEN_MS, timeouts.tunnelMs) : timeouts.tunnelMs;
      due = Math.min(due, this.lastMs + idle);
    } else if (this.stream === null) return this.waitsFor === waitFor.backoff ? Math.min(due, this.resumeMs) : due;
    else if (this.isHeadAnswered) {
      // While the client is the slow one, its own minimum rate decides.
      if (!this.isEndpointPaused) due = Math.min(due, this.lastMs + timeouts.idleMs);
    } else if (this.hasRequestEndSent) {
      due = Math.min(due, this.sentMs + timeouts.responseMs, this.hedgeMs);
      if (retry.perTryMs > 0) due = Math.min(due, this.attemptMs + retry.perTryMs);
    } else if (this.isClientPaused) due = Math.min(due, this.lastMs + timeouts.idleMs);
    return due;
  }

  private arm(): void {
    const due = this.dueMs();
    // A little slack: a timer that fires early looks again, and steady traffic moves no timer at all.
    if (this.ticket !== 0 && this.ticketMs <= due) return;
    const { engine } = this.relay;
    if (this.ticket !== 0) engine.cancelTimer(this.ticket);
    this.ticketMs = due === Infinity ? engine.now + 10_000 : due;
    this.ticket = engine.setTimer(Math.max(0, this.ticketMs - engine.now), this, 0);
  }

  // Retry.

  private afterEndpointFault(faultId: number, detail: string): void {
    const { slot } = this;
    // A wire that had been closed while it was idle is not a failure of the endpoint.
    const isStale = !this.isHeadAnswered && !this.wasStaleTried && this.isRepeatable() && isStaleWire(faultId, this.isReused);
    if (isStale && this.hedge === null) {
      // It is asked again over a new wire, in the place that the exchange still holds there.
      this.wasStaleTried = true;
      this.hasRequestEndSent = false;
      this.trail.end(slot, faultId, 0, this.relay.engine.now);
      this.lease(slot, true);
      return;
    }
    this.settle(isStale ? 0 : faultId, this.headMs > 0 ? this.headMs - this.leasedMs : -1);
    if (this.client === null) {
      this.finish();
      return;
    }
    if (this.isHeadAnswered) {
      this.abort(faultId, detail);
      return;
    }
    if (this.hedge !== null) {
      this.noteTry(faultId);
      this.promoteHedge();
      this.firstFault = faultId;
      return;
    }
    const cause = this.firstFault || faultId;
    if (this.mayRetry(cause)) this.again(faultId, slot);
    else this.answer(cause, detail);
  }

  /** Nothing was answered, and asking again does no harm. */
  private isRepeatable(): boolean {
    return !this.isBodySent && this.bytesIn === 0 && isIdempotent(this.head!.method);
  }

  private mayRetry(faultId: number): boolean {
    const route = this.route!;
    if (this.attempts >= route.plan.retry.attempts || this.isBodySent) return false;
    const reason = reasonOfFault(faultId, route.retryOn, this.isRepeatable());
    return reason !== NEVER && this.takeRetry(reason);
  }

  private mayRetryStatus(status: number): boolean {
    const route = this.route!;
    if (this.attempts >= route.plan.retry.attempts || !this.isRequestEnded) return false;
    const reason = reasonOfStatus(status, route.retryOn, this.isRepeatable());
    return reason !== NEVER && this.takeRetry(reason);
  }

  /** An answer with this status is worth another try, if there may be one. */
  wouldRetry(status: number): boolean {
    return reasonOfStatus(status, this.route!.retryOn, this.isRepeatable()) !== NEVER;
  }

  /** Takes a retry from the pool's budget and counts it; the request will be sent once more. */
  private takeRetry(reason: number): boolean {
    const { table, engine, random } = this.relay;
    const { retry, timeouts } = this.route!.plan;
    this.backoffMs = this.attempts > 1 ? backoffMs(retry, this.attempts, random()) : 0;
    if (timeouts.requestMs > 0 && engine.now + this.backoffMs >= this.beganMs + timeouts.requestMs) return false;
    if (!this.placement.takeRetry()) return false;
    table.retry(this.pool!.plan.id, reason);
    this.hasRequestEndSent = false;
    return true;
  }

  // Hedging.

  /** The request is out: when would a second try start? A client that is bound to its endpoint is not sent elsewhere. */
  private planHedge(): void {
    const { hedgeMs, attempts } = this.route!.plan.retry;
    if (this.wasHedged || this.attempts >= attempts || this.wantsUpgrade || this.sticky === stickyResult.hit) return;
    if (this.isRepeatable()) this.hedgeMs = this.sentMs + hedgeMs;
  }

  private startHedge(): void {
    const { relay, placement } = this;
    this.hedgeMs = Infinity;
    this.wasHedged = true;
    const slot = placement.another(this.slot);
    const endpoint = this.runtime!.endpoints[slot];
    if (endpoint === undefined || endpoint.mustQueue || !placement.takeRetry()) return;
    this.attempts++;
    relay.table.hedge(placement.pool!.plan.id, false);
    this.hedge = relay.takeHedge();
    this.hedge.start(this, slot, endpoint, this.route!.plan.timeouts.connectMs);
  }

  /** The hedge has a final head and the first try has none: it is the loser. */
  onHedgeAnswered(head: Head): void {
    this.noteTry(0);
    this.dropStream();
    this.settle(0, -1);
    this.relay.table.hedge(this.pool!.plan.id, true);
    this.promoteHedge();
    this.onResponseHead(head);
  }

  onHedgeFailed(hedge: Hedge, faultId: number): void {
    const { relay, runtime } = this;
    this.hedge = null;
    const text = runtime!.endpointTexts[hedge.slot] ?? '';
    if (relay.isLogging) this.record.addAttempt(text, faultId, relay.engine.now - hedge.startedMs);
  }

  /** The first try is over, and settled: the second takes its place. */
  private promoteHedge(): void {
    const hedge = this.hedge!;
    this.hedge = null;
    this.dropPromoted();
    this.promoted = hedge;
    hedge.promote();
    this.lostMs += hedge.startedMs - this.sentMs;
    this.slot = hedge.slot;
    this.stream = hedge.stream;
    this.waitsFor = hedge.isWaiting ? waitFor.lease : waitFor.nothing;
    this.isReused = hedge.stream?.isReused ?? false;
    this.facts.endpoint = this.runtime!.endpointTexts[hedge.slot] ?? '';
    this.upstreamStatus = 0;
    this.headMs = 0;
    this.attemptMs = hedge.startedMs;
    this.leasedMs = this.sentMs = hedge.leasedMs;
    this.hasRequestEndSent = hedge.stream !== null;
    this.arm();
  }

  private dropHedge(): void {
    this.hedgeMs = Infinity;
    const { hedge } = this;
    this.hedge = null;
    hedge?.cancel();
  }

  private dropPromoted(): void {
    const { promoted } = this;
    this.promoted = null;
    if (promoted !== null) this.relay.giveBackHedge(promoted);
  }

  // Moving bytes.

  private sendPending(stream: EndpointStream): void {
    const pieces = this.pending.splice(0);
    this.isBodySent = true;
    for (let i = 0; i < pieces.length; i += 3) {
      if (this.stream === stream) stream.sendBody(pieces[i]!, pieces[i + 1]!, pieces[i + 2]!);
      this.relay.blocks.release(pieces[i]!);
    }
  }

  private endRequest(trailers: Head | null): void {
    if (this.hasRequestEndSent || this.stream === null) return;
    this.hasRequestEndSent = true;
    this.sentMs = this.relay.engine.now;
    if (this.route!.plan.retry.hedgeMs > 0) this.planHedge();
    this.stream.sendEnd(trailers);
    if (this.stream !== null) this.arm();
  }

  private pauseClient(): void {
    if (this.isClientPaused || this.isRequestEnded || this.client === null) return;
    if (this.head!.framing === framing.none && !this.isTunnel) return;
    this.isClientPaused = true;
    this.client.pause();
    this.arm();
  }

  private resumeClient(): void {
    if (!this.isClientPaused) return;
    this.isClientPaused = false;
    this.client?.resume();
  }

  /** What filters append to a response goes into the exchange's own block, behind the request head. */
  private appendBehind(head: Head): void {
    const { blocks } = this.relay;
    const request = this.head;
    const used = request === null ? 0 : request.used;
    const start = blocks.start(this.block);
    head.used = start + used - head.base;
    head.room = start + blocks.size(this.block) - head.base;
  }

  private rewrite(route: RouteRuntime, head: Head): number {
    return route.plan.rewrite === null || applyRewrite(route.plan, head) ? 0 : fault.headTooLarge;
  }

  // Upgrade.

  private startTunnel(): void {
    this.isTunnel = true;
    this.relay.table.tunnel(this.slot, 1);
    this.isRequestEnded = false;
    this.stream!.startTunnel();
    this.client!.startTunnel();
    this.arm();
  }

  // Ends.

  private dropStream(): void {
    const { stream } = this;
    this.stream = null;
    if (stream !== null) stream.cancel();
  }

  /** Takes the endpoint's side down, whatever its state. */
  private cancelEndpoint(faultId: number): void {
    if (this.waitsFor === waitFor.lease) this.runtime!.endpoints[this.slot]?.cancelLease(this.promoted ?? this);
    else this.placement.stopWaiting();
    this.waitsFor = waitFor.nothing;
    this.dropHedge();
    this.dropStream();
    this.settle(faultId, this.headMs > 0 ? this.headMs - this.leasedMs : -1);
  }

  private failEndpoint(faultId: number, detail: string): void {
    this.dropStream();
    this.afterEndpointFault(faultId, detail);
  }

  /** Tells the table that the attempt on the endpoint is over; once per begin(). */
  private settle(faultId: number, responseMs: number): void {
    const { relay, slot } = this;
    if (slot === NONE) return;
    this.slot = NONE;
    if (this.isTunnel) relay.table.tunnel(slot, -1);
    this.trail.end(slot, faultId, this.upstreamStatus, relay.engine.now);
    relay.endTry(slot, this.pool!.plan.id, faultId, this.upstreamStatus, responseMs);
  }

  private note(faultId: number, detail: string): void {
    this.faultId = faultId;
    this.detail = detail;
  }

  /** The response began and cannot be completed. */
  private abort(faultId: number, detail: string): void {
    if (faultId !== 0) this.note(faultId, detail);
    const { client } = this;
    this.client = null;
    client?.abort();
    this.finish();
  }

  /** Answers with a fault of the table. */
  private answer(faultId: number, detail: string): void {
    this.note(faultId, detail);
    if (this.client === null) {
      this.finish();
      return;
    }
    const { relay, facts } = this;
    const head = relay.heads.take();
    this.appendBehindNothing(head);
    facts.accept = this.head === null ? 0 : acceptKind(this.head);
    facts.date = relay.date();
    this.sendAnswer(head, this.runtime!.faultAnswers.fill(head, faultId, facts, detail));
  }

  /** Fills in what the access log says at the end. */
  fillRecord(wallMs: number): LogRecord {
    return fillRecord(this, wallMs);
  }

  /** Time spent in weir: up to the request's leaving, without waiting for a lease; for its own answers, all. */
  get overheadMs(): number {
    return this.sentMs > 0
      ? Math.max(0, this.sentMs - this.beganMs - this.waitedMs - this.queuedMs - this.lostMs)
      : this.endedMs - this.beganMs - this.queuedMs;
  }

  private answerWith(answer: RouteAnswer): void {
    const head = this.relay.heads.take();
    this.appendBehindNothing(head);
    this.facts.date = this.relay.date();
    this.sendAnswer(head, answer.fill(head, this.head!, this.facts));
  }

  private sendAnswer(head: Head, body: Uint8Array): void {
    const { blocks, heads } = this.relay;
    const client = this.client!;
    this.status = head.status;
    this.isHeadAnswered = true;
    // A request that is not understood ends its connection, and so does one whose body will not be read.
    const mayGoOn = head.status !== 400 && this.head !== null && this.head.framing === framing.none;
    if (!this.isRequestEnded && !mayGoOn) client.refuseMore();
    client.sendHead(head);
    heads.give(head);
    for (let at = 0; at < body.length && this.client === client; ) {
      const block = blocks.take(body.length - at);
      if (block === NO_BLOCK) {
        this.abort(fault.overload, 'no block free');
        return;
      }
      const start = blocks.start(block);
      const part = body.subarray(at, at + blocks.size(block));
      blocks.bytes.set(part, start);
      client.sendBody(block, start, start + part.length);
      blocks.release(block);
      at += part.length;
    }
    this.bytesOut = body.length;
    client.sendEnd(null);
    this.finish();
  }

  private appendBehindNothing(head: Head): void {
    const { blocks } = this.relay;
    const used = this.head === null ? 0 : this.head.used;
    head.base = blocks.start(this.block) + used;
    head.size = head.used = 0;
    head.room = blocks.size(this.block) - used;
  }

  /** Not even an answer can be made: the connection is cut. */
  private shedWithoutMemory(): void {
    this.record.reset();
    this.number = this.relay.nextNumber();
    this.abort(fault.overload, 'no block free');
  }

  /** Counts, logs, and gives everything back. */
  private finish(): void {
    const { relay, client, head } = this;
    if (this.listener === null) return;
    this.endedMs = relay.engine.now;
    this.settle(this.faultId, this.headMs > 0 ? this.headMs - this.leasedMs : -1);
    relay.report(this);
    this.placement.clear();
    this.dropPromoted();
    if (client !== null && client.sink === this) client.sink = null;
    if (head !== null) relay.heads.give(head);
    if (this.block !== NO_BLOCK) relay.blocks.release(this.block);
    for (let i = 0; i < this.pending.length; i += 3) relay.blocks.release(this.pending[i]!);
    this.pending.length = 0;
    this.clear();
    relay.giveBack(this);
  }

  private clear(): void {
    this.facts.reset();
    if (this.relay.isLogging) this.record.reset();
    this.trail.reset();
    this.client = null;
    this.runtime = null;
    this.listener = null;
    this.head = null;
    this.route = null;
    this.slot = NONE;
    this.status = this.upstreamStatus = this.faultId = 0;
    this.detail = '';
    this.attempts = 0;
    this.isReused = this.wasHedged = false;
    this.hedgeMs = Infinity;
    this.firstFault = 0;
    this.lostMs = 0;
    this.bytesIn = this.bytesOut = 0;
    this.startedMs = this.beganMs = this.attemptMs = this.leasedMs = this.sentMs = this.headMs = this.endedMs = this.waitedMs = 0;
    this.block = NO_BLOCK;
    this.stream = null;
    this.waitsFor = waitFor.nothing;
    this.isRequestEnded = this.isBodySent = this.isHeadAnswered = this.isEndSent = false;
    this.wasStaleTried =
      this.wantsUpgrade =
      this.isTunnel =
      this.isClientPaused =
      this.isEndpointPaused =
      this.hasRequestEndSent =
        false;
    this.lastMs = 0;
  }
}
