/**
 * PlaceInPool: how whatever is given to an endpoint, a request or a connection, gets its place in a pool.
 *
 *     enter --breaker--> place --choose--> onPlaced
 *       ^                 |  ^
 *       |                 |  '-- queue <-- every endpoint is full
 *       '-- fallback <----'-------------> onUnplaced
 *
 * Rules
 * 1. Nobody waits when no endpoint is ready: only when all that are ready are full. Those who wait come first.
 * 2. What the circuit breaker refuses is refused: it goes to no fallback.
 * 3. What is counted while it is in a pool (in flight, waiting, retrying) is uncounted when it leaves the pool.
 */
import { FALLBACKS_MAX, isWorthWaiting, NONE, pickTrusted, type Suspects, type Waiter } from '../balance/balance.ts';
import { fault } from '../base/faults.ts';
import type { Relay } from './relay.ts';
import type { PoolRuntime, Runtime } from './runtime.ts';

export abstract class PlaceInPool implements Waiter, Suspects {
  pool: PoolRuntime | null = null;
  /** Where a hashing policy places it. */
  key = 0;
  /** In the pool's queue. */
  isWaiting = false;
  /** Pools it was sent on to. */
  fallbacks = 0;
  /** Time spent in queues. */
  queuedMs = 0;
  wasQueued = false;
  /** When it joined the queue that it stands in, or stood in last. */
  waitSinceMs = 0;
  // The queue's (Waiter).
  queueUrgency = 0;
  queueDueMs = 0;
  queueOlder: Waiter | null = null;
  queueNewer: Waiter | null = null;

  protected readonly relay: Relay;
  /** Endpoint that just failed. */
  protected avoid = NONE;
  private hasEntered = false;
  /** Counted among the pool's retries under way. */
  private isRetrying = false;

  constructor(relay: Relay) {
    this.relay = relay;
  }

  /** Where it came in, and under which plan. */
  protected abstract readonly listenerId: number;
  protected abstract readonly plans: Runtime;
  /** Urgency among those who wait (RFC 9218 §4.1). */
  protected abstract readonly urgency: number;
  /** Says where to: sets `pool` and `key`. */
  protected abstract moveTo(pool: PoolRuntime): void;
  /** Did the endpoint fail a moment ago? */
  abstract isSuspect(slot: number): boolean;
  /** It goes to this endpoint. */
  protected abstract onPlaced(slot: number): void;
  /** There is no endpoint for it. `detail`: for the client; '' when the fault says it all. */
  protected abstract onUnplaced(faultId: number, detail: string): void;
  /** It waits for a place. */
  protected abstract onQueued(): void;
  /** When it leaves the queue in vain: at `dueMs`, or earlier. */
  protected abstract waitsUntil(dueMs: number): number;

  /** Begins in `pool`. Ends in onPlaced or onUnplaced, at once or later. */
  enter(): void {
    const { table, engine } = this.relay;
    const pool = this.pool!;
    this.hasEntered = true;
    table.exchangeInFlight(this.listenerId, pool.plan.id, 1);
    pool.budget.request(engine.now);
    if (pool.breaker?.refusesRequest(table)) this.onUnplaced(fault.queueFull, pool.breaker.detail);
    else this.place(NONE);
  }

  /** Chooses, or waits, or goes to the fallback. `avoid`: the endpoint that just failed. */
  place(avoid: number): void {
    const { relay } = this;
    this.avoid = avoid;
    if (relay.waiting > 0) relay.queueOf(this.pool!.plan.id).serve();
    const slot = this.choose();
    if (slot !== NONE) this.onPlaced(slot);
    else if (this.isWorthWaiting()) this.wait();
    else this.giveUp();
  }

  /** One more try at the pool's endpoints than was asked for: may it be? It is counted then, once by whoever carries it out, and under way until retried(). */
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

  /** The endpoint took it: what goes on from here may last for hours, and is no retry under way. */
  retried(): void {
    if (!this.isRetrying) return;
    this.isRetrying = false;
    this.relay.table.retriesInFlight(this.pool!.plan.id, -1);
  }

  /** Waits no longer. */
  stopWaiting(): void {
    if (!this.isWaiting) return;
    this.relay.leaveQueue(this, this.pool!.plan.id);
    this.leftQueue(false);
  }

  // The queue (Waiter).

  onTurn(): boolean {
    const slot = this.choose();
    if (slot === NONE && this.isWorthWaiting()) return false;
    this.stopWaiting();
    if (slot === NONE) this.giveUp();
    else this.onPlaced(slot);
    return true;
  }

  onQueueTimeout(): void {
    this.leftQueue(true);
    this.onUnplaced(fault.queueTimeout, '');
  }

  /** The policy's choice; NONE when there is none. */
  protected choose(): number {
    return pickTrusted(this.pool!.policy, this.key, this.avoid, this.relay.random, this);
  }

  /** It is over, or goes to another pool. */
  protected leavePool(): void {
    if (!this.hasEntered) return;
    this.relay.table.exchangeInFlight(this.listenerId, this.pool!.plan.id, -1);
    this.retried();
    this.hasEntered = false;
  }

  private isWorthWaiting(): boolean {
    const { plan, limited } = this.pool!;
    return isWorthWaiting(limited, plan, this.relay.table);
  }

  /** Every endpoint is full. Who finds no place in the queue either goes to the fallback. */
  private wait(): void {
    const { relay } = this;
    const { now } = relay.engine;
    const { plan, breaker } = this.pool!;
    const { queueMax, queueMs } = plan.connections;
    if (relay.queueOf(plan.id).length >= queueMax || queueMs === 0) {
      if (!this.fallBack()) this.onUnplaced(fault.queueFull, '');
      return;
    }
    if (breaker?.refusesWait(relay.table)) {
      this.onUnplaced(fault.queueFull, breaker.detail);
      return;
    }
    this.isWaiting = this.wasQueued = true;
    this.waitSinceMs = now;
    relay.joinQueue(this, plan.id, this.urgency, this.waitsUntil(now + queueMs));
    this.onQueued();
  }

  /** It stands in the queue no more. */
  private leftQueue(isTimedOut: boolean): void {
    this.isWaiting = false;
    this.queuedMs += this.relay.leftQueue(this.pool!.plan.id, this.waitSinceMs, isTimedOut);
  }

  /** No endpoint of the pool can be, and there is nothing to wait for. */
  private giveUp(): void {
    if (!this.fallBack()) this.onUnplaced(fault.destinationUnavailable, '');
  }

  /** Goes to the fallback pool; false when there is none. */
  private fallBack(): boolean {
    const { table } = this.relay;
    const { plan } = this.pool!;
    if (plan.fallback === null || this.fallbacks === FALLBACKS_MAX) return false;
    const wasRetrying = this.isRetrying;
    this.fallbacks++;
    table.fellBack(plan.id);
    this.leavePool();
    this.moveTo(this.plans.pools[plan.fallback]!);
    this.isRetrying = wasRetrying;
    if (wasRetrying) table.retriesInFlight(this.pool!.plan.id, 1);
    this.enter();
    return true;
  }
}
