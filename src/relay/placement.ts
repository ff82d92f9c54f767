/**
 * Placement: the place of a request in a pool (place-in-pool.ts), with what only requests have: clients that are bound to an endpoint by a cookie, and second
 * tries beside the first.
 *
 * Rule: a client that is bound to an endpoint gets it while it serves those that are bound to it; else another, to which it is bound from then on.
 */
import { NONE } from '../balance/balance.ts';
import type { ClientAddress } from '../base/client-address.ts';
import type { Head } from '../base/head.ts';
import { NO_COOKIE } from '../route/route.ts';
import { stickyResult } from '../state/doors.ts';
import type { Exchange } from './exchange.ts';
import { PlaceInPool } from './place-in-pool.ts';
import type { Relay } from './relay.ts';
import type { PoolRuntime, Runtime } from './runtime.ts';

export class Placement extends PlaceInPool {
  /** One of `stickyResult`; -1: the pool is not sticky. */
  sticky = -1;
  private readonly exchange: Exchange;
  /** Place of the endpoint the client is bound to, in the pool's Sticky. */
  private bound = NO_COOKIE;

  constructor(relay: Relay, exchange: Exchange) {
    super(relay);
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

  /** Another endpoint than `other` for a second try beside it; NONE when there is none, or others wait for it. */
  another(other: number): number {
    const { relay } = this;
    const pool = this.pool!;
    if (relay.waiting > 0 && relay.queueOf(pool.plan.id).length > 0) return NONE;
    const slot = pool.policy.pick(this.key, relay.random(), other);
    return slot === other || this.isSuspect(slot) ? NONE : slot;
  }

  /** Binds the client to the endpoint that answered, unless it is. */
  bind(response: Head, slot: number): void {
    if (this.sticky > stickyResult.hit) this.pool!.sticky!.bind(response, slot, this.exchange.client!.secure);
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

  isSuspect(slot: number): boolean {
    return this.exchange.runtime!.endpoints[slot]?.isSuspect(this.relay.engine.now) ?? false;
  }

  protected get listenerId(): number {
    return this.exchange.listener!.plan.id;
  }

  protected get plans(): Runtime {
    return this.exchange.runtime!;
  }

  protected get urgency(): number {
    return this.exchange.route!.plan.urgency;
  }

  protected moveTo(pool: PoolRuntime): void {
    const { exchange } = this;
    this.use(pool, exchange.head!, exchange.facts.peerIsTrusted ? exchange.address : exchange.client!.address);
  }

  protected onPlaced(slot: number): void {
    this.exchange.onPlaced(slot);
  }

  protected onUnplaced(faultId: number, detail: string): void {
    this.exchange.onUnplaced(faultId, detail);
  }

  protected onQueued(): void {
    this.exchange.onQueued();
  }

  protected waitsUntil(dueMs: number): number {
    const { route, beganMs } = this.exchange;
    const { requestMs } = route!.plan.timeouts;
    return requestMs > 0 ? Math.min(dueMs, beganMs + requestMs) : dueMs;
  }

  /** The endpoint the client is bound to if it can be, else the policy's choice; NONE when there is none. */
  protected override choose(): number {
    const pool = this.pool!;
    const { bound } = this;
    if (bound < 0) return super.choose();
    const own = pool.sticky!.usableAt(bound);
    if (own !== NONE && own !== this.avoid && !this.isSuspect(own)) {
      this.sticky = stickyResult.hit;
      return own;
    }
    const slot = super.choose();
    this.sticky = slot === pool.sticky!.slotAt(bound) ? stickyResult.hit : stickyResult.moved;
    return slot;
  }
}
