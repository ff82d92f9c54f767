/** Seat: one worker of a node in a run: its door to the table, and what the data plane builds of a plan: a policy, a queue, a retry budget, a circuit breaker. */
import {
  Breaker,
  isWorthWaiting,
  limitedSlots,
  NONE,
  type Policy,
  PoolQueue,
  pickTrusted,
  RetryBudget,
  type Suspects,
} from '../balance/balance.ts';
import { SUSPECT_MS } from '../base/suspect.ts';
import type { TimerOwner } from '../base/wire.ts';
import type { PoolPlan } from '../state/plan.ts';
import { WorkerDoor } from '../state/table.ts';
import type { Agenda } from './agenda.ts';
import { type Node, START_MS } from './node.ts';
import { pickerOf } from './reference.ts';
import type { Variant } from './scenario.ts';

export class Seat implements Suspects {
  readonly node: Node;
  readonly door: WorkerDoor;
  readonly budget: RetryBudget;
  readonly queue: PoolQueue;
  picker!: Policy;
  breaker: Breaker | null = null;
  now = 0;
  private readonly index: number;
  private readonly variant: Variant;
  private readonly timers: Agenda;
  private readonly suspectUntilMs: Float64Array;
  private limited!: Int32Array;
  private timerOwner: TimerOwner | null = null;

  /** `timers`: where the queue's timer is noted, by this seat's number. */
  constructor(index: number, node: Node, variant: Variant, slotsMax: number, timers: Agenda) {
    this.index = index;
    this.node = node;
    this.variant = variant;
    this.timers = timers;
    this.door = new WorkerDoor(node.buffer, node.control.claimStripe(), START_MS);
    this.budget = new RetryBudget(variant.retry.budget, variant.retry.budgetMin);
    this.queue = new PoolQueue(this);
    this.suspectUntilMs = new Float64Array(slotsMax);
  }

  /** A plan in force: policies are built anew. */
  apply(pool: PoolPlan): void {
    this.picker = pickerOf(this.variant.reference, pool, this.door, this.node.place);
    this.breaker = pool.breaker === null ? null : new Breaker(pool.breaker, pool);
    this.limited = limitedSlots(pool);
  }

  /** Its loop turns. */
  turn(now: number): void {
    this.now = now;
    this.door.heartbeat(now);
  }

  /** Endpoint for a request, or NONE. A suspect one only when there is no other. */
  choose(key: number, avoid: number, random: () => number): number {
    return pickTrusted(this.picker, key, avoid, random, this);
  }

  /** Another one than `other`, for a second try beside it; or NONE. */
  another(key: number, other: number, random: () => number): number {
    if (this.queue.length > 0) return NONE;
    const slot = this.picker.pick(key, random(), other);
    return slot === other || slot === NONE || this.isSuspect(slot) ? NONE : slot;
  }

  refused(slot: number): void {
    this.suspectUntilMs[slot] = this.now + SUSPECT_MS;
  }

  isSuspect(slot: number): boolean {
    return this.now < this.suspectUntilMs[slot]!;
  }

  /** No endpoint could be picked: are they only full? */
  get isWorthWaiting(): boolean {
    return isWorthWaiting(this.limited, this.variant.pool, this.door);
  }

  // The queue's clock.

  setTimer(ms: number, owner: TimerOwner): number {
    this.timerOwner = owner;
    this.timers.add(this.now + ms, this.index);
    return 1;
  }

  onTimer(now: number): void {
    this.turn(now);
    this.timerOwner!.onTimer(0);
  }
}
