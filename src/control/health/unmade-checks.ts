/**
 * UnmadeChecks: tells people that checks cannot be made here (no local port, no descriptor, no memory), and when they can be again. What it says is
 * of this machine, so it is said once for all targets.
 *
 * Rules
 * 1. It begins with the first target whose check was not made, and ends when the last check of every target was made.
 * 2. A beginning is told once in TOLD_EVERY_MS at most; an end is told when its beginning was.
 */
import type { EventLog } from '../supervise/events.ts';

const TOLD_EVERY_MS = 60_000;

export interface UnmadeParts {
  events: Pick<EventLog, 'info' | 'warn'>;
  /** ms of a clock that never goes back. */
  clock: () => number;
}

export class UnmadeChecks {
  private readonly parts: UnmadeParts;
  private readonly targets = new Set<object>();
  /** Checks not made since it began. */
  private count = 0;
  private beganAt = 0;
  private isTold = false;
  private toldAt = Number.NEGATIVE_INFINITY;

  constructor(parts: UnmadeParts) {
    this.parts = parts;
  }

  /** `endpoint`: one that the check was for. */
  add(target: object, pool: string, endpoint: string, evidence: string): void {
    const { events, clock } = this.parts;
    if (this.targets.size === 0) {
      this.count = 0;
      this.beganAt = clock();
    }
    this.targets.add(target);
    this.count++;
    if (this.isTold || clock() - this.toldAt < TOLD_EVERY_MS) return;
    this.isTold = true;
    this.toldAt = clock();
    events.warn('checks_not_made', `health checks cannot be made: ${evidence}; endpoints stay as they are`, {
      pool,
      endpoint,
      evidence,
    });
  }

  /** Its check was made, or is not wanted any more. */
  remove(target: object): void {
    if (!this.targets.delete(target) || this.targets.size > 0 || !this.isTold) return;
    const { events, clock } = this.parts;
    this.isTold = false;
    const seconds = Math.round((clock() - this.beganAt) / 100) / 10;
    events.info('checks_made_again', 'all health checks can be made again', { seconds, count: this.count });
  }
}
