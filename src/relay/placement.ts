/**
 * Placement: which endpoint an exchange is given to.
 *
 *     enter --breaker--> place --bound endpoint, or the policy's pick--> onPlaced
 *       ^                 |  ^
 *       |                 |  '-- queue <-- every endpoint is full
 *       '-- fallback <----'------------------------------------------> onUnplaced
 *
 * Rules
 * 1. A client that is bound to an endpoint gets it while it serves those that are bound to it; else another, to which it is bound from then on.
 * 2. Nobody waits when no endpoint is ready: only when all that are ready are full.
 * 3. What is counted while a request is in a pool (in flight, waiting, retrying) is uncounted when it leaves the pool.
 */
import { FALLBACKS_MAX, isWorthWaiting, NONE, pickTrusted, type Suspects, type Waiter } from '../balance/balance.ts';
import type { ClientAddress } from '../base/client-address.ts';
import { fault } from '../base/faults.ts';
import type { Head } from '../base/head.ts';
import { NO_COOKIE } from '../route/route.ts';
import { stickyResult } from '../state/doors.ts';
import type { Exchange } from './exchange.ts';
import type { Relay } from './relay.ts';
import type { PoolRuntime } from './runtime.ts';

export class Placement implements Waiter, Suspects {
  pool: PoolRuntime | null = null;
  /** Where a hashing policy places the request. */
  key = 0;
  /** One of `stickyResult`; -1: the pool is not sticky. */
  sticky = -1;
  /** In the pool's queue. */
  isWaiting = false;
  /** Pools it was sent on to. */
  fallbacks = 0;
  /** Time spent in queues. */
  queuedMs = 0;
  wasQueued = false;
  // The queue's (Waiter).
  queueUrgency = 0;
  queueDueMs = 0;
  queueOlder: Waiter | null = null;
  queueNewer: Waiter | null = null;

  private readonly relay: Relay;
  private readonly exchange: Exchange;
  /** Endpoint that just failed. */
  private avoid = NONE;
  /** Place of the endpoint the client is bound to, in the pool's Sticky. */
  private bound = NO_COOKIE;
  private waitSinceMs = 0;
  private hasEntered = false;
  /** Counted among the pool's retries under way. */
  private isRetrying = false;

  constructor(relay: Relay, exchange: Exchange) {
    this.relay = relay;
    this.exchange = exchange;
  }

  /** Says where to, while the head is as the client sent it: weir's own cookie is taken out of it. */
  use(pool: PoolRuntime, head: Head, from: ClientAddress): void {
    this.pool = pool;
    this.exchange.facts.pool = pool.plan.name;
    if (pool.key !== null) this.key = pool.key.of(head, from, this.relay.random());
    if (pool.sticky === null) {
      this.sticky = -1;
      this.bound = NO_COOKIE;
      return;
    }
    this.bound = pool.sticky.take(head);
    this.sticky = this.bound >= 0 ? stickyResult.hit : this.bound === NO_COOKIE ? stickyResult.new : stickyResult.lost;
  }

  /** Begins. Ends in onPlaced or onUnplaced of the exchange, at once or later. */
  enter(): void {
    const { table, engine } = this.relay;
    const pool = this.pool!;
    this.hasEntered = true;
    table.exchangeInFlight(this.exchange.listener!.plan.id, pool.plan.id, 1);
    pool.budget.request(engine.now);
    if (pool.breaker?.refusesRequest(table)) this.exchange.onUnplaced(fault.queueFull, pool.breaker.detail);
    else this.place(NONE);
  }

  /** Chooses, or waits, or goes to the fallback. `avoid`: the endpoint that just failed. */
  place(avoid: number): void {
    const { relay } = this;
    this.avoid = avoid;
    // Those who wait come first.
    if (relay.waiting > 0) relay.queueOf(this.pool!.plan.id).serve();
    const slot = this.choose();
    if (slot !== NONE) this.exchange.onPlaced(slot);
    else if (this.isWorthWaiting()) this.wait();
    else this.giveUp();
  }

  /** Another endpoint than `other` for a second try beside it; NONE when there is none, or others wait for it. */
  another(other: number): number {
    const { relay } = this;
    const pool = this.pool!;
    if (relay.waiting > 0 && relay.queueOf(pool.plan.id).length > 0) return NONE;
    const slot = pool.policy.pick(this.key, relay.random(), other);
    return slot === other || this.isSuspect(slot) ? NONE : slot;
  }

  /** One more request for the pool's endpoints than the client made: may it be? It is counted then. */
  takeRetry(): boolean {
    const { table, engine } = this.relay;
    const { plan, breaker, budget } = this.pool!;
    if (breaker?.refusesRetry(table)) return false;
    if (!budget.take(engine.now)) {
      table.retryBudgetExhausted(plan.id);
      return false;
    }
    if (!this.isRetrying) table.retriesInFlight(plan.id, 1);
    this.isRetrying = true;
    return true;
  }

  /** Binds the client to the endpoint that answered, unless it is. */
  bind(response: Head, slot: number): void {
    if (this.sticky > stickyResult.hit) this.pool!.sticky!.bind(response, slot);
  }

  /** Waits no longer. */
  stopWaiting(): void {
    if (!this.isWaiting) return;
    this.relay.leaveQueue(this, this.pool!.plan.id);
    this.left(false);
  }

  /** The exchange is over. */
  clear(): void {
    this.leavePool();
    this.pool = null;
    this.key = this.fallbacks = this.queuedMs = 0;
    this.sticky = -1;
    this.avoid = NONE;
    this.bound = NO_COOKIE;
    this.wasQueued = false;
  }

  // The queue (Waiter).

  onTurn(): boolean {
    const slot = this.choose();
    if (slot === NONE && this.isWorthWaiting()) return false;
    this.stopWaiting();
    if (slot === NONE) this.giveUp();
    else this.exchange.onPlaced(slot);
    return true;
  }

  onQueueTimeout(): void {
    this.left(true);
    this.exchange.onUnplaced(fault.queueTimeout, '');
  }

  /** The endpoint the client is bound to if it can be, else the policy's choice; NONE when there is none. */
  private choose(): number {
    const pool = this.pool!;
    const { bound, avoid } = this;
    if (bound >= 0) {
      const slot = pool.sticky!.usableAt(bound);
      if (slot !== NONE && slot !== avoid && !this.isSuspect(slot)) {
        this.sticky = stickyResult.hit;
        return slot;
      }
    }
    const slot = pickTrusted(pool.policy, this.key, avoid, this.relay.random, this);
    if (bound >= 0) this.sticky = slot === pool.sticky!.slotAt(bound) ? stickyResult.hit : stickyResult.moved;
    return slot;
  }

  isSuspect(slot: number): boolean {
    return this.exchange.runtime!.endpoints[slot]?.isSuspect(this.relay.engine.now) ?? false;
  }

  private isWorthWaiting(): boolean {
    const { plan, limited } = this.pool!;
    return isWorthWaiting(limited, plan, this.relay.table);
  }

  /** Every endpoint is full. Who finds no place in the queue either goes to the fallback. */
  private wait(): void {
    const { relay, exchange } = this;
    const { now } = relay.engine;
    const { plan, breaker } = this.pool!;
    const { queueMax, queueMs } = plan.connections;
    const queue = relay.queueOf(plan.id);
    if (queue.length >= queueMax || queueMs === 0) {
      if (!this.fallBack()) exchange.onUnplaced(fault.queueFull, '');
      return;
    }
    if (breaker?.refusesWait(relay.table)) {
      exchange.onUnplaced(fault.queueFull, breaker.detail);
      return;
    }
    const route = exchange.route!.plan;
    const { requestMs } = route.timeouts;
    const due = requestMs > 0 ? Math.min(now + queueMs, exchange.beganMs + requestMs) : now + queueMs;
    this.isWaiting = this.wasQueued = true;
    this.waitSinceMs = now;
    relay.joinQueue(this, plan.id, route.urgency, due);
    exchange.onQueued();
  }

  /** It stands in the queue no more. */
  private left(isTimedOut: boolean): void {
    this.isWaiting = false;
    this.queuedMs += this.relay.leftQueue(this.pool!.plan.id, this.waitSinceMs, isTimedOut);
  }

  /** No endpoint of the pool can be, and there is nothing to wait for. */
  private giveUp(): void {
    if (!this.fallBack()) this.exchange.onUnplaced(fault.destinationUnavailable, '');
  }

  /** Goes to the fallback pool; false when there is none. */
  private fallBack(): boolean {
    const { exchange, isRetrying } = this;
    const { table } = this.relay;
    const { plan } = this.pool!;
    if (plan.fallback === null || this.fallbacks === FALLBACKS_MAX) return false;
    this.fallbacks++;
    table.fellBack(plan.id);
    this.leavePool();
    const pool = exchange.runtime!.pools[plan.fallback]!;
    this.use(pool, exchange.head!, exchange.facts.peerIsTrusted ? exchange.address : exchange.client!.address);
    this.isRetrying = isRetrying;
    if (isRetrying) table.retriesInFlight(pool.plan.id, 1);
    this.enter();
    return true;
  }

  private leavePool(): void {
    if (!this.hasEntered) return;
    const { table } = this.relay;
    const poolId = this.pool!.plan.id;
    table.exchangeInFlight(this.exchange.listener!.plan.id, poolId, -1);
    if (this.isRetrying) table.retriesInFlight(poolId, -1);
    this.hasEntered = this.isRetrying = false;
  }
}
