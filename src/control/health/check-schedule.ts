/**
 * check-schedule: when each target is checked next, on one timer of Node's for all of them.
 */
import { NO_TIMER, TimerWheel } from '../../base/timer-wheel.ts';
import type { TimerOwner } from '../../base/wire.ts';

/**
 * What is due within this time is begun together: thousands of targets must not wake the process for each. Longer than the longest tick of
 * the prober, whose ticks then do for both.
 */
const WAKE_MS_MIN = 30;

export interface ScheduleParts {
  /** ms of a clock that never goes back. */
  clock?: () => number;
  /** Calls back after some ms; returns how to cancel. */
  after?: (ms: number, callback: () => void) => () => void;
}

function realAfter(ms: number, callback: () => void): () => void {
  const timer = setTimeout(callback, ms);
  return () => clearTimeout(timer);
}

export class CheckSchedule {
  readonly clock: () => number;
  private readonly after: NonNullable<ScheduleParts['after']>;
  private readonly wheel: TimerWheel;
  private cancelWake: (() => void) | null = null;
  private wakeAt = 0;

  constructor(parts: ScheduleParts = {}) {
    this.clock = parts.clock ?? (() => performance.now());
    this.after = parts.after ?? realAfter;
    this.wheel = new TimerWheel(this.clock());
  }

  /** `owner.onTimer(0)` at `at` of the clock, some ms late at most. Returns a ticket for {@link cancel}. */
  set(at: number, owner: TimerOwner): number {
    const ticket = this.wheel.set(Math.max(0, at - this.wheel.now), owner, 0);
    this.arm();
    return ticket;
  }

  cancel(ticket: number): void {
    this.wheel.cancel(ticket);
  }

  /** Fires what is due by now. For whoever is awake anyhow. */
  turn(): void {
    const now = this.clock();
    if (this.wheel.nextMs(now) > 0) return;
    this.wheel.advance(now);
    this.stop();
    this.arm();
  }

  stop(): void {
    this.cancelWake?.();
    this.cancelWake = null;
  }

  private arm(): void {
    const now = this.clock();
    const wait = Math.max(WAKE_MS_MIN, Math.ceil(this.wheel.nextMs(now)));
    if (wait === Number.POSITIVE_INFINITY) return;
    if (this.cancelWake !== null) {
      if (this.wakeAt <= now + wait) return;
      this.cancelWake();
    }
    this.wakeAt = now + wait;
    this.cancelWake = this.after(wait, () => {
      this.cancelWake = null;
      this.turn();
      this.arm();
    });
  }
}

export { NO_TIMER };
