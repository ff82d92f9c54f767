/**
 * Exchanges: what the data plane does for each request of a run. The steps, and the order of what is asked, are those of relay/; what decides is its own code: policies,
 * queue, budget, breaker, rules of retries.
 *
 *     arrives --breaker--> place --pick--> try --answer--> over
 *                           ^  |            |
 *                           |  '- queue     '- refused, reset, 5xx, timeout: over, or may be tried again --backoff--.
 *                           '--------------------------------------------------------------------------------------'
 *
 * A second try beside the first (hedge) is a try like others: the first good answer wins, and the request fails when none is left.
 */
import { backoffMs, NEVER, NONE, reasonOfFault, reasonOfStatus, retryOn, type Waiter } from '../balance/balance.ts';
import { fault } from '../base/faults.ts';
import type { Prng } from '../base/prng.ts';
import type { RetryPlan } from '../state/plan.ts';
import { Agenda } from './agenda.ts';
import type { Arrivals } from './arrivals.ts';
import type { Measures } from './measures.ts';
import type { ErrorCounts } from './result.ts';
import type { Scenario } from './scenario.ts';
import type { Seat } from './seat.ts';
import { NOBODY, type Server } from './server.ts';
import { Tries } from './tries.ts';
import { Work } from './work.ts';
import type { World } from './world.ts';

type Why = Exclude<keyof ErrorCounts, 'all'>;

export class Exchanges {
  /** Requests that came and are not over. */
  open = 0;
  private readonly scenario: Scenario;
  private readonly arrivals: Arrivals;
  private readonly retry: RetryPlan;
  private readonly retryOn: number;
  private readonly world: World;
  private readonly measures: Measures;
  private readonly servers: readonly Server[];
  private readonly bySlot: readonly Server[];
  private readonly prng: Prng;
  private readonly random: () => number;
  private readonly tries = new Tries();
  private readonly work: Work;
  /** Ends of backoffs, by request. */
  private readonly resumes = new Agenda();
  /** Each try may wait equally long, so they time out, and are hedged, in the order in which they began. */
  private readonly tryMs: number;
  private firstWaiting = 0;
  private firstUnhedged = 0;

  // By request.
  private readonly attempts: Uint8Array;
  /** Its tries that wait for an answer: the first, the one beside it. NOBODY: none. */
  private readonly current: Int32Array;
  private readonly beside: Int32Array;
  private readonly wasHedged: Uint8Array;
  /** Counted among the pool's retries under way. */
  private readonly isRetrying: Uint8Array;
  /** Slot that is avoided when a backoff ends. */
  private readonly avoid: Int32Array;

  constructor(
    scenario: Scenario,
    arrivals: Arrivals,
    retry: RetryPlan,
    world: World,
    measures: Measures,
    servers: readonly Server[],
    bySlot: readonly Server[],
    prng: Prng,
  ) {
    const { count } = arrivals;
    this.scenario = scenario;
    this.arrivals = arrivals;
    this.retry = retry;
    this.retryOn = retry.on.reduce((bits, on) => bits | retryOn[on], 0);
    this.world = world;
    this.measures = measures;
    this.servers = servers;
    this.bySlot = bySlot;
    this.prng = prng;
    this.random = () => prng.uint32();
    this.work = new Work(scenario.durationMs, arrivals, measures, servers, this.tries);
    this.tryMs = retry.perTryMs > 0 ? Math.min(retry.perTryMs, scenario.timeoutMs) : scenario.timeoutMs;
    this.attempts = new Uint8Array(count);
    this.current = new Int32Array(count).fill(NOBODY);
    this.beside = new Int32Array(count).fill(NOBODY);
    this.wasHedged = new Uint8Array(count);
    this.isRetrying = new Uint8Array(count);
    this.avoid = new Int32Array(count).fill(NONE);
  }

  /** When there is something to do. */
  get nextMs(): number {
    const { timers } = this.world;
    return Math.min(this.work.nextMs, this.timeoutAt(), this.hedgeAt(), this.resumes.nextMs, timers.nextMs);
  }

  /** Does the first of what is due at `now`, which is nextMs. Work ends before anything else happens. */
  step(now: number): void {
    const { work, resumes, world, avoid } = this;
    if (work.nextMs === now) {
      const id = work.end(now);
      if (id !== NOBODY && this.tries.isOpen[id] === 1) this.answers(id, 200, now);
    } else if (this.timeoutAt() === now) this.tryFails(this.firstWaiting++, fault.responseTimeout, now);
    else if (this.hedgeAt() === now) this.hedge(this.firstUnhedged++, now);
    else if (resumes.nextMs === now) {
      const request = resumes.take();
      this.place(request, avoid[request]!, now);
    } else world.seats[world.timers.take()]!.onTimer(now);
  }

  arrives(request: number, now: number): void {
    const seat = this.seatOf(request, now);
    this.open++;
    seat.budget.request(now);
    if (seat.breaker?.refusesRequest(seat.door)) this.fail(request, null, 'breaker', now);
    else this.place(request, NONE, now);
  }

  /** The process of a server died: connections are reset. */
  reset(server: Server, now: number): void {
    const { tries } = this;
    const { count } = tries;
    for (let id = this.firstWaiting; id < count; id++) {
      if (tries.isOpen[id] === 1 && tries.servers[id] === server.index) this.tryFails(id, fault.connectionTerminated, now);
    }
  }

  // Choosing.

  private seatOf(request: number, now: number): Seat {
    const seat = this.world.seats[this.arrivals.workers[request]!]!;
    seat.turn(now);
    return seat;
  }

  private keyOf(request: number): number {
    return this.arrivals.hashes[this.arrivals.keys[request]!]!;
  }

  private place(request: number, avoid: number, now: number): void {
    const seat = this.seatOf(request, now);
    // Those who wait come first.
    if (seat.queue.length > 0) seat.queue.serve();
    const slot = seat.choose(this.keyOf(request), avoid, this.random);
    if (slot !== NONE) this.try(request, slot, false, now);
    else if (seat.isWorthWaiting) this.wait(request, avoid, now);
    else this.fail(request, null, 'noEndpoint', now);
  }

  private wait(request: number, avoid: number, now: number): void {
    const seat = this.seatOf(request, now);
    const { id, connections } = this.world.pool;
    const { queueMax, queueMs } = connections;
    if (seat.queue.length >= queueMax || queueMs === 0) this.fail(request, null, 'queue', now);
    else if (seat.breaker?.refusesWait(seat.door)) this.fail(request, null, 'breaker', now);
    else {
      seat.door.queue(id, 1);
      seat.queue.join(new Waiting(this, request, avoid), this.arrivals.urgencies[request]!, now + queueMs);
    }
  }

  /** True: it waits no longer. */
  onTurn(waiting: Waiting): boolean {
    const { request } = waiting;
    const seat = this.world.seats[this.arrivals.workers[request]!]!;
    const slot = seat.choose(this.keyOf(request), waiting.avoid, this.random);
    if (slot === NONE && seat.isWorthWaiting) return false;
    seat.queue.leave(waiting);
    seat.door.queue(this.world.pool.id, -1);
    if (slot === NONE) this.fail(request, null, 'noEndpoint', seat.now);
    else this.try(request, slot, false, seat.now);
    return true;
  }

  onQueueTimeout({ request }: Waiting): void {
    const seat = this.world.seats[this.arrivals.workers[request]!]!;
    seat.door.queue(this.world.pool.id, -1);
    this.fail(request, null, 'queue', seat.now);
  }

  // Tries.

  private try(request: number, slot: number, isHedge: boolean, now: number): void {
    const { tries, world, arrivals } = this;
    const worker = arrivals.workers[request]!;
    const seat = world.seats[worker]!;
    const server = this.bySlot[slot]!;
    this.attempts[request]! += 1;
    seat.door.begin(slot);
    this.measures.begun(server, Math.floor(worker / this.scenario.workers), now);
    const id = tries.begin(request, server, now);
    (isHedge ? this.beside : this.current)[request] = id;
    if (!server.isAlive) {
      seat.refused(slot);
      this.tryFails(id, fault.connectionRefused, now);
    } else if (server.failShare > 0 && this.prng.float() < server.failShare) this.answers(id, server.failStatus, now);
    else if (server.isHanging) return;
    else if (server.isQueueFull) this.answers(id, 503, now);
    else this.work.add(id, server, now);
  }

  private answers(id: number, status: number, now: number): void {
    const { tries, measures } = this;
    const request = tries.requests[id]!;
    const server = this.servers[tries.servers[id]!]!;
    const { zone } = this.seatOf(request, now).node.place;
    const extraMs = zone === server.plan.zone ? 0 : this.scenario.crossZoneMs;
    this.ends(id, fault.none, status, now - tries.begunMs[id]! + extraMs, now);
    const isFinal = reasonOfStatus(status, this.retryOn, true) === NEVER || !this.goesOn(request, server, now);
    if (isFinal) {
      this.cancel(request, now);
      this.close(request, now);
      if (status < 500) measures.answered(request, server, now + extraMs);
      else measures.failed(request, server, 'status', now);
    }
    this.serve(request);
  }

  private tryFails(id: number, faultId: number, now: number): void {
    const { tries } = this;
    const request = tries.requests[id]!;
    const server = this.servers[tries.servers[id]!]!;
    this.ends(id, faultId, 0, -1, now);
    const isFinal =
      reasonOfFault(faultId, this.retryOn, true) === NEVER ? !this.hasOther(request) : !this.goesOn(request, server, now);
    if (isFinal) this.fail(request, server, faultId === fault.responseTimeout ? 'timeout' : 'refused', now);
    this.serve(request);
  }

  /** The table learns of the end of a try, and so does the queue of its worker: {@link serve}. */
  private ends(id: number, faultId: number, status: number, responseMs: number, now: number): void {
    const { tries } = this;
    const request = tries.requests[id]!;
    const server = this.servers[tries.servers[id]!]!;
    const seat = this.seatOf(request, now);
    tries.isOpen[id] = 0;
    if (this.current[request] === id) this.current[request] = NOBODY;
    if (this.beside[request] === id) this.beside[request] = NOBODY;
    seat.door.end(server.slot, faultId, status, responseMs);
    this.measures.ended(server, now);
    if (faultId !== fault.none || status >= 500) seat.node.lookSoon(now);
  }

  private serve(request: number): void {
    const { queue } = this.world.seats[this.arrivals.workers[request]!]!;
    if (queue.length > 0) queue.serve();
  }

  private hasOther(request: number): boolean {
    return this.current[request] !== NOBODY || this.beside[request] !== NOBODY;
  }

  /** A try has failed: another one is under way, or begins. */
  private goesOn(request: number, server: Server, now: number): boolean {
    return this.hasOther(request) || this.again(request, server, now);
  }

  /** Somebody else answered: what is left is broken off, which says nothing of its endpoint. */
  private cancel(request: number, now: number): void {
    for (const id of [this.current[request]!, this.beside[request]!]) if (id !== NOBODY) this.ends(id, fault.none, 0, -1, now);
  }

  private close(request: number, now: number): void {
    this.open--;
    if (this.isRetrying[request] === 1) this.seatOf(request, now).door.retriesInFlight(this.world.pool.id, -1);
  }

  private fail(request: number, server: Server | null, why: Why, now: number): void {
    this.close(request, now);
    this.measures.failed(request, server, why, now);
  }

  // Trying again.

  /** On another endpoint, if there may be one more try. */
  private again(request: number, server: Server, now: number): boolean {
    const { retry } = this;
    const attempts = this.attempts[request]!;
    if (attempts >= retry.attempts) return false;
    const waitMs = attempts > 1 ? backoffMs(retry, attempts, this.random()) : 0;
    if (!this.takeRetry(request, now)) return false;
    if (waitMs < 1) this.place(request, server.slot, now);
    else {
      this.avoid[request] = server.slot;
      this.resumes.add(now + waitMs, request);
    }
    return true;
  }

  private takeRetry(request: number, now: number): boolean {
    const seat = this.seatOf(request, now);
    if (seat.breaker?.refusesRetry(seat.door) || !seat.budget.take(now)) return false;
    if (this.isRetrying[request] === 0) seat.door.retriesInFlight(this.world.pool.id, 1);
    this.isRetrying[request] = 1;
    this.measures.retried(request);
    return true;
  }

  /** A second try beside one that takes long. */
  private hedge(id: number, now: number): void {
    const { tries, retry } = this;
    const request = tries.requests[id]!;
    if (this.attempts[request]! >= retry.attempts) return;
    const seat = this.seatOf(request, now);
    this.wasHedged[request] = 1;
    const slot = seat.another(this.keyOf(request), this.servers[tries.servers[id]!]!.slot, this.random);
    if (slot === NONE || !this.takeRetry(request, now)) return;
    this.try(request, slot, true, now);
  }

  // Time.

  private timeoutAt(): number {
    const { tries } = this;
    while (this.firstWaiting < tries.count && tries.isOpen[this.firstWaiting] === 0) this.firstWaiting++;
    return this.firstWaiting === tries.count ? Number.POSITIVE_INFINITY : tries.begunMs[this.firstWaiting]! + this.tryMs;
  }

  private hedgeAt(): number {
    const { tries, retry } = this;
    if (retry.hedgeMs === 0) return Number.POSITIVE_INFINITY;
    while (this.firstUnhedged < tries.count && !this.mayHedge(this.firstUnhedged)) this.firstUnhedged++;
    return this.firstUnhedged === tries.count ? Number.POSITIVE_INFINITY : tries.begunMs[this.firstUnhedged]! + retry.hedgeMs;
  }

  private mayHedge(id: number): boolean {
    const { tries } = this;
    return tries.isOpen[id] === 1 && this.wasHedged[tries.requests[id]!] === 0;
  }
}

/** A request in the queue of its worker. The links are the queue's. */
class Waiting implements Waiter {
  queueUrgency = 0;
  queueDueMs = 0;
  queueOlder: Waiter | null = null;
  queueNewer: Waiter | null = null;
  readonly request: number;
  readonly avoid: number;
  private readonly exchanges: Exchanges;

  constructor(exchanges: Exchanges, request: number, avoid: number) {
    this.exchanges = exchanges;
    this.request = request;
    this.avoid = avoid;
  }

  onTurn(): boolean {
    return this.exchanges.onTurn(this);
  }
  onQueueTimeout(): void {
    this.exchanges.onQueueTimeout(this);
  }
}
