/**
 * Ejection: for how long an endpoint is out, how often it was in a row, and how it stands after its return.
 *
 *            eject                  time is over              first good end
 *   in  ------------>  ejected  ------------------> on probation ----------> in
 *                         ^                               |
 *                         '-------- one failure ----------'
 *
 * One that an operator ordered says nothing about the endpoint: it does not count in the row, and no probation follows.
 *
 * Rules
 * 1. Only time ends an ejection: a check that passes says nothing about requests.
 * 2. Each ejection in a row makes the next one longer; each ejectMs spent well takes one back.
 */

import { ejectionCause } from '../state/doors.ts';

/** Up to this share is added to the time out, so that endpoints that left together do not return together. */
const JITTER = 0.1;

/** How an ejection's length grows. */
interface EjectionTimes {
  readonly ejectMs: number;
  readonly ejectMaxMs: number;
}

export class Ejection {
  /** In a row, the present one included. */
  count = 0;
  /** 0: it is not ejected. */
  untilMs = 0;
  /** When the present or last one began. */
  sinceMs = 0;
  /** An `ejectionCause`; of the present or last one, -1: none, or not known. */
  cause = -1;
  evidence = '';
  isOnProbation = false;
  /** Exchanges that were under way on its return: that many failures are not held against its probation. */
  excused = 0;
  private returnedMs = 0;

  get isOut(): boolean {
    return this.untilMs > 0;
  }

  /** Returns for how many ms. `random` in 0..1. */
  begin(nowMs: number, cause: number, evidence: string, times: EjectionTimes, random: number): number {
    this.forgive(nowMs, times);
    this.count++;
    const forMs = Math.min(times.ejectMs * this.count, times.ejectMaxMs) * (1 + JITTER * random);
    this.start(nowMs, forMs, cause, evidence);
    return forMs;
  }

  /**
   * An operator takes it out for `forMs`. The same again sets another time. What live traffic began is made longer, never shorter, and stays its own.
   * Returns for how many ms it is out from now.
   */
  order(nowMs: number, forMs: number, evidence: string, times: EjectionTimes): number {
    const { operator } = ejectionCause;
    if (this.isOut && this.cause !== operator) this.untilMs = Math.max(this.untilMs, nowMs + forMs);
    else {
      if (!this.isOut) this.forgive(nowMs, times);
      this.start(nowMs, forMs, operator, evidence);
    }
    return this.untilMs - nowMs;
  }

  /** `inFlight`: exchanges that it still has from before. */
  end(nowMs: number, inFlight: number): void {
    this.untilMs = 0;
    this.returnedMs = nowMs;
    this.isOnProbation = this.cause !== ejectionCause.operator;
    this.excused = inFlight;
  }

  /** It has ended something well. */
  passes(): void {
    this.isOnProbation = false;
  }

  /** So many more have failed, and none ended well. True: it has failed its probation. */
  failsProbation(failed: number): boolean {
    if (!this.isOnProbation) return false;
    const excused = Math.min(this.excused, failed);
    this.excused -= excused;
    return failed > excused;
  }

  /** What was an ejection in another mode is none. */
  forget(): void {
    this.count = this.untilMs = this.returnedMs = this.excused = 0;
    this.isOnProbation = false;
  }

  /** Rule 2. */
  private forgive(nowMs: number, { ejectMs }: EjectionTimes): void {
    const wellMs = this.isOnProbation || this.count === 0 ? 0 : nowMs - this.returnedMs;
    this.count = Math.max(0, this.count - Math.floor(wellMs / ejectMs));
  }

  private start(nowMs: number, forMs: number, cause: number, evidence: string): void {
    this.sinceMs = nowMs;
    this.untilMs = nowMs + forMs;
    this.cause = cause;
    this.evidence = evidence;
    this.isOnProbation = false;
  }
}
