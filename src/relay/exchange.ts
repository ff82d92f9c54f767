/**
 * One exchange: read head -> route -> filter -> pick -> lease -> send -> copy back -> settle.
 *
 *     begin --route, filter--> attempt --pick, lease--> waiting --onLeased--> sending --request ended--> awaiting head --head--> answering --end--> over
 *                                 ^                        |                     |                            |                    |
 *                                 '------ may retry -------'---------------------'----------------------------'                    '-- cut: client.abort()
 *
 * It sees heads, pieces and ends, never the bytes of a protocol, and knows neither sockets nor codecs.
 *
 * Rules
 * 1. Every pick is followed by one table.begin and one table.end (balance, rule 3).
 * 2. What was sent in part is never repeated. A request is tried again when no byte of it left, or when nothing was answered and the method is idempotent
 *    and had no body (RFC 9110 §9.2.2).
 * 3. The faster side waits for the slower: at most limits.bufferBytesMax are queued on either.
 * 4. Nothing is called on a side that ended.
 */
import { NONE } from '../balance/balance.ts';
import { NO_BLOCK } from '../base/blocks.ts';
import { ClientAddress } from '../base/client-address.ts';
import { fault, faults } from '../base/faults.ts';
import { framing, type Head, method } from '../base/head.ts';
import type { ClientStream, EndpointStream, RequestSink, ResponseSink } from '../base/stream.ts';
import type { TimerOwner } from '../base/wire.ts';
import { acceptKind, RequestFacts, type RouteAnswer } from '../filter/filter.ts';
import { applyRewrite, BAD_PATH, chooseTarget, NO_ROUTE } from '../route/route.ts';
import type { ListenerPlan } from '../state/plan.ts';
import { LogRecord } from './access-log.ts';
import { fillRecord } from './exchange-record.ts';
import type { Relay } from './relay.ts';
import { isIdempotent, NEVER, reasonOfFault, reasonOfStatus } from './retry-rules.ts';
import type { PoolRuntime, RouteRuntime, Runtime } from './runtime.ts';
import { isGoodSwitch, mayUpgrade } from './upgrade.ts';

/** Room kept behind a request head for what filters append to it and to the response. */
const APPEND_BYTES = 1536;
/** A tunnel of which one side has ended lives on this long without a byte. */
const HALF_OPEN_MS = 30_000;

/** What relay/ knows of the listener a request came in on; listen/ implements it. */
export interface ListenerFacts {
  /** In plan.listeners of the plan in force, -1 when it left. */
  readonly index: number;
  readonly plan: ListenerPlan;
}

export class Exchange implements RequestSink, ResponseSink, TimerOwner {
  readonly facts = new RequestFacts();
  readonly address = new ClientAddress();
  /** What the access log will say; filled only when there is one. */
  readonly record = new LogRecord();
  client: ClientStream | null = null;
  runtime: Runtime | null = null;
  listener: ListenerFacts | null = null;
  /** Head of the request; its bytes stand in `block`. */
  head: Head | null = null;
  route: RouteRuntime | null = null;
  pool: PoolRuntime | null = null;
  slot = NONE;
  /** Where a hashing policy places the request. */
  key = 0;
  status = 0;
  upstreamStatus = 0;
  faultId = 0;
  detail = '';
  attempts = 0;
  isReused = false;
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
  /** Time spent waiting for leases. */
  waitedMs = 0;

  private readonly relay: Relay;
  private block = NO_BLOCK;
  private stream: EndpointStream | null = null;
  private isWaiting = false;
  private hasBegun = false;
  private isRequestEnded = false;
  private isBodySent = false;
  private isHeadAnswered = false;
  private isEndSent = false;
  private wasStaleTried = false;
  private wantsUpgrade = false;
  private isTunnel = false;
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
    if (relay.isLogging) this.record.setHead(head, relay.logsFields);
    const { facts } = this;
    facts.method = head.method;
    facts.peer = client.address.text;
    facts.client = facts.peer;
    facts.clientPort = client.address.port;
    facts.scheme = client.secure ? 'https' : 'http';
    facts.listener = listener.plan.name;
    facts.id = relay.nextId();
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
    const pool = runtime.pools[chooseTarget(action, relay.random())]!;
    this.pool = pool;
    facts.pool = pool.plan.name;
    if (pool.key !== null) this.key = pool.key.of(head, from, relay.random());
    this.wantsUpgrade = head.upgradeEnd > head.upgradeStart && route.mayUpgrade && mayUpgrade(head, route.plan.upgrade);
    const refused =
      runtime.forwarded.request(head, facts) || this.rewrite(route, head) || route.filters.request(head, from, facts);
    if (refused !== 0) {
      this.answer(refused, '');
      return;
    }
    this.hasBegun = true;
    table.exchangeInFlight(listener.plan.id, pool.plan.id, 1);
    pool.budget.request(this.beganMs);
    this.attempt(NONE);
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
    facts.id = relay.nextId();
    this.answer(faultId, detail);
  }

  // Choosing and leasing.

  /** Picks an endpoint and asks it for a wire. `avoid`: the one that just failed. */
  private attempt(avoid: number): void {
    const pool = this.pool!;
    let slot = pool.policy.pick(this.key, this.relay.random(), avoid);
    if (slot !== NONE && this.runtime!.endpoints[slot]?.isSuspect(this.relay.engine.now)) {
      const other = pool.policy.pick(this.key, this.relay.random(), slot);
      if (other !== avoid) slot = other;
    }
    if (slot === NONE) {
      this.answer(fault.destinationUnavailable, '');
      return;
    }
    this.attempts++;
    this.lease(slot, false);
  }

  private lease(slot: number, isFresh: boolean): void {
    const { relay } = this;
    const { now } = relay.engine;
    this.slot = slot;
    this.facts.endpoint = this.runtime!.endpointTexts[slot] ?? '';
    relay.table.begin(slot);
    this.attemptMs = now;
    const endpoint = this.runtime!.endpoints[slot];
    if (endpoint === undefined) {
      this.onLeaseFailed(fault.destinationUnavailable);
      return;
    }
    this.isWaiting = true;
    const stream = endpoint.lease(this, this.route!.plan.timeouts.connectMs, isFresh);
    if (stream !== null) this.onLeased(stream);
    else if (this.isWaiting) this.pauseClient();
  }

  onLeased(stream: EndpointStream): void {
    const { relay } = this;
    const { now } = relay.engine;
    const head = this.head!;
    this.isWaiting = false;
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
    this.isWaiting = false;
    this.waitedMs += this.relay.engine.now - this.attemptMs;
    this.settle(faultId, -1);
    if (this.mayRetry(faultId)) this.again(faultId, slot);
    else this.answer(faultId, '');
  }

  private again(faultId: number, avoid: number): void {
    if (this.relay.isLogging) this.record.addAttempt(this.facts.endpoint, faultId, this.relay.engine.now - this.attemptMs);
    this.attempt(avoid);
  }

  // The client's side (RequestSink).

  onRequestBody(block: number, start: number, end: number): void {
    this.bytesIn += end - start;
    this.lastMs = this.relay.engine.now;
    const { stream } = this;
    if (stream === null) {
      if (!this.isWaiting) return;
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
    if (this.stream === null) return;
    if (this.isTunnel) {
      this.stream.sendClose();
      this.lastMs = this.relay.engine.now;
      if (this.isEndSent) this.finish();
      else this.arm();
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
    if (head.status >= 502 && this.mayRetryStatus(head.status)) {
      const { slot } = this;
      this.dropStream();
      this.settle(0, now - this.leasedMs);
      this.headMs = 0;
      this.again(0, slot);
      return;
    }
    this.appendBehind(head);
    const broken = this.route!.filters.response(head, this.facts) || this.runtime!.forwarded.response(head, this.facts);
    if (broken !== 0) {
      this.failEndpoint(broken, 'no room for the edited head');
      return;
    }
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
    } else if (this.isHeadAnswered) this.failEndpoint(fault.readTimeout, 'idle timeout');
    else this.failEndpoint(this.hasRequestEndSent ? fault.responseTimeout : fault.writeTimeout, 'no answer in time');
  }

  /** When the phase under way must have moved on. */
  private dueMs(): number {
    const { timeouts, retry } = this.route!.plan;
    let due = timeouts.requestMs > 0 ? this.beganMs + timeouts.requestMs : Infinity;
    if (this.isTunnel) {
      const idle = this.isEndSent || this.isRequestEnded ? Math.min(HALF_OPEN_MS, timeouts.tunnelMs) : timeouts.tunnelMs;
      due = Math.min(due, this.lastMs + idle);
    } else if (this.stream === null) return due;
    else if (this.isHeadAnswered) {
      // While the client is the slow one, its own minimum rate decides.
      if (!this.isEndpointPaused) due = Math.min(due, this.lastMs + timeouts.idleMs);
    } else if (this.hasRequestEndSent) {
      due = Math.min(due, this.sentMs + timeouts.responseMs);
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
    this.ticket = engine.setTimer(this.ticketMs - engine.now, this, 0);
  }

  // Retry.

  private afterEndpointFault(faultId: number, detail: string): void {
    const wasReused = this.isReused;
    const { slot } = this;
    this.settle(faultId, this.headMs > 0 ? this.headMs - this.leasedMs : -1);
    if (this.client === null) {
      this.finish();
      return;
    }
    if (this.isHeadAnswered) {
      this.abort(faultId, detail);
      return;
    }
    if (faults[faultId]!.retry === 'ifReused' && wasReused && !this.wasStaleTried && this.isRepeatable()) {
      // The wire had been closed while it was idle: not a failure of the endpoint, so it is asked again over a new wire.
      this.wasStaleTried = true;
      this.hasRequestEndSent = false;
      this.lease(slot, true);
      return;
    }
    if (this.mayRetry(faultId)) this.again(faultId, slot);
    else this.answer(faultId, detail);
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

  /** Takes a retry from the pool's budget and counts it; the request will be sent once more. */
  private takeRetry(reason: number): boolean {
    const { table, engine } = this.relay;
    const pool = this.pool!;
    if (!pool.budget.take(engine.now)) {
      table.retryBudgetExhausted(pool.plan.id);
      return false;
    }
    table.retry(pool.plan.id, reason);
    this.hasRequestEndSent = false;
    return true;
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
    this.stream.sendEnd(trailers);
    if (this.stream !== null) this.arm();
  }

  private pauseClient(): void {
    if (this.isClientPaused || this.isRequestEnded || this.client === null) return;
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
    if (this.isWaiting) {
      this.isWaiting = false;
      this.runtime!.endpoints[this.slot]?.cancelLease(this);
    }
    this.dropStream();
    this.settle(faultId, this.headMs > 0 ? this.headMs - this.leasedMs : -1);
  }

  private failEndpoint(faultId: number, detail: string): void {
    this.dropStream();
    this.afterEndpointFault(faultId, detail);
  }

  /** Tells the table that the attempt on the endpoint is over; once per begin(). */
  private settle(faultId: number, responseMs: number): void {
    if (this.slot === NONE) return;
    // A client's abort and weir's own limits say nothing about the endpoint.
    const counts = faultId === 0 || faults[faultId]!.side === 'endpoint' ? faultId : 0;
    this.relay.table.end(this.slot, counts, this.upstreamStatus, responseMs);
    this.slot = NONE;
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
    return this.sentMs > 0 ? Math.max(0, this.sentMs - this.beganMs - this.waitedMs) : this.endedMs - this.beganMs;
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
    this.abort(fault.overload, 'no block free');
  }

  /** Counts, logs, and gives everything back. */
  private finish(): void {
    const { relay, client, head } = this;
    if (this.listener === null) return;
    this.endedMs = relay.engine.now;
    this.settle(this.faultId, this.headMs > 0 ? this.headMs - this.leasedMs : -1);
    relay.report(this);
    if (this.hasBegun) relay.table.exchangeInFlight(this.listener.plan.id, this.pool!.plan.id, -1);
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
    this.client = null;
    this.runtime = null;
    this.listener = null;
    this.head = null;
    this.route = null;
    this.pool = null;
    this.slot = NONE;
    this.status = this.upstreamStatus = this.faultId = 0;
    this.detail = '';
    this.attempts = 0;
    this.isReused = false;
    this.bytesIn = this.bytesOut = 0;
    this.startedMs = this.beganMs = this.attemptMs = this.leasedMs = this.sentMs = this.headMs = this.endedMs = this.waitedMs = 0;
    this.block = NO_BLOCK;
    this.stream = null;
    this.isWaiting = this.hasBegun = this.isRequestEnded = this.isBodySent = this.isHeadAnswered = this.isEndSent = false;
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
