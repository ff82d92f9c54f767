/** passive-watch: looks at the table often enough to act within a tenth of a second, and keeps what people ask about endpoints at hand. */
import type { Plan } from '../../state/plan.ts';
import type { ControlDoor } from '../../state/table.ts';
import type { Order, Orders } from '../admin/orders.ts';
import type { EventLog } from '../supervise/events.ts';
import type { HealthChecks } from './health.ts';
import { PassiveHealth } from './passive.ts';
import { PoolPanic } from './pool-panic.ts';
import { type EndpointReport, EndpointStates } from './states.ts';

/** From the last straw to the ejection it takes this at most, and what the process is busy with. */
const LOOK_MS = 25;
/** A look that takes long (ten thousand endpoints in one pool: 9 ms) is followed by so many times its own time of rest: a tenth of a core at most. */
const REST_TIMES = 9;

export interface WatchParts {
  door: ControlDoor;
  events: EventLog;
  orders: Orders;
  checks: HealthChecks;
  /** ms since 1970. */
  now: () => number;
  /** 0..1. */
  random: () => number;
}

export class PassiveWatch {
  private readonly passive: PassiveHealth;
  private readonly panic: PoolPanic;
  private readonly states: EndpointStates;
  private timer: NodeJS.Timeout | null = null;
  private restUntilMs = 0;

  constructor(parts: WatchParts) {
    this.passive = new PassiveHealth(parts);
    this.panic = new PoolPanic(parts);
    this.states = new EndpointStates({ ...parts, passive: this.passive });
  }

  /** Watches what `plan` names from now on. Its slots are assigned, and those of the plan before are not given to others yet. */
  apply(plan: Plan): void {
    this.passive.apply(plan);
    this.panic.apply(plan);
    this.states.apply(plan);
    this.stop();
    if (!this.passive.isIdle || !this.panic.isIdle) this.timer = setInterval(() => this.turn(), LOOK_MS).unref();
  }

  stop(): void {
    if (this.timer !== null) clearInterval(this.timer);
    this.timer = null;
  }

  /** An operator takes an endpoint out for `forMs`, or the pool's ejectMs when that is null. Returns why not, or null. */
  eject(order: Order, forMs: number | null): string | null {
    return this.passive.eject(order, forMs);
  }

  /** State, reason and evidence of an endpoint; null: no endpoint of the plan has this slot. */
  reportOf(slot: number): EndpointReport | null {
    return this.states.of(slot);
  }

  /** Does the pool with this id use all its endpoints whatever their health. */
  isPanicking(poolId: number): boolean {
    return this.panic.isPanicking(poolId);
  }

  private turn(): void {
    const beganMs = performance.now();
    if (beganMs < this.restUntilMs) return;
    this.passive.turn();
    // Behind it: an ejection may be what brings the panic.
    this.panic.turn();
    const endedMs = performance.now();
    this.restUntilMs = endedMs + REST_TIMES * (endedMs - beganMs);
  }
}
