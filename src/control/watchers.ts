/**
 * Watchers: what looks at endpoints, certificates and what can run out while a plan is in force, and acts or tells; with the orders that people give about
 * the same endpoints.
 *
 * Rules
 * 1. All see the same plan: begin() and started() at the start, apply() for each one after it.
 * 2. When apply() returns nobody uses a slot that only the plan before had.
 */
import type { Plan } from '../state/plan.ts';
import type { ControlDoor, Tally } from '../state/table.ts';
import type { WorkerState } from './admin/control-state.ts';
import { Drains } from './admin/drains.ts';
import { Headroom } from './admin/headroom.ts';
import { Orders } from './admin/orders.ts';
import { HealthChecks } from './health/health.ts';
import { PassiveWatch } from './health/passive-watch.ts';
import type { EventLog } from './supervise/events.ts';
import { Expiry } from './supervise/expiry.ts';

export interface WatcherParts {
  door: ControlDoor;
  tally: Tally;
  events: EventLog;
  /** PATH of commands that check. */
  path: string | undefined;
  /** The one in force. */
  plan: () => Plan | null;
  workers: () => readonly WorkerState[];
}

export class Watchers {
  /** What people say of endpoints. */
  readonly orders: Orders;
  /** Endpoints that are being emptied. */
  readonly drains: Drains;
  readonly headroom: Headroom;
  readonly health: HealthChecks;
  readonly passive: PassiveWatch;
  private readonly expiry: Expiry;

  constructor({ door, tally, events, path, plan, workers }: WatcherParts) {
    const now = Date.now;
    const random = Math.random;
    this.orders = new Orders({ door, events, now });
    this.drains = new Drains({ door, tally, orders: this.orders, events, now });
    this.headroom = new Headroom({ tally, events, plan, workers });
    this.health = new HealthChecks({ door, events, now, random, path });
    this.passive = new PassiveWatch({ door, events, orders: this.orders, checks: this.health, now, random });
    this.expiry = new Expiry({ events, now });
  }

  /** Workers are about to start on `plan`: endpoints are checked from now on, so that verdicts are there with the first requests. */
  begin(plan: Plan): void {
    this.health.apply(plan);
    this.passive.apply(plan);
  }

  /** `plan` is the first one in force. */
  started(plan: Plan): void {
    this.drains.apply(plan);
    this.expiry.apply(plan);
  }

  /** `plan` is in force in place of another. Slots of the other are still claimed. */
  apply(plan: Plan): void {
    this.begin(plan);
    this.started(plan);
  }

  stop(): void {
    this.health.stop();
    this.passive.stop();
    this.headroom.stop();
    this.expiry.stop();
  }
}
