/**
 * Verdict: what the results of checks say of one endpoint. Pure: results and times come in, flips come out.
 *
 *            one pass                 `fall` failures in a row
 *   unknown ----------> up  <--------------------------------+
 *      |                ^ \__________________________________ v
 *      | one failure    |          `rise` passes in a row    down
 *      +----------------|------------------------------------>|
 *                       +-------------------------------------+
 *                         one pass, if it was never up before
 *
 * Rules
 * 1. One pass admits an endpoint that was never up: it has no history that would speak against it.
 * 2. One failure rejects an endpoint that nobody has seen up: requests are not the way to find out.
 * 3. A check that could not be made says nothing: it is remembered until one is made, and that is all.
 */
import { health } from '../state/doors.ts';

export interface CheckResult {
  passed: boolean;
  /** A word: ok, connection_refused, connection_timeout, status, body ... */
  reason: string;
  /** What was seen, for people: "503 Service Unavailable", "ECONNREFUSED". */
  evidence: string;
  ms: number;
}

/** What is known of one endpoint, for people. Times in ms since 1970. */
export interface HealthStatus {
  state: 'unknown' | 'up' | 'down';
  since: number;
  reason: string;
  evidence: string;
  /** Of the last check; 0: none yet. */
  checkedAt: number;
  checkMs: number;
  /** Equal results in a row up to now. */
  streak: number;
  /** The last result, whatever the state; null: none yet. */
  last: { passed: boolean; reason: string; evidence: string } | null;
  /** Why the last checks could not be made, how many of them, and when the last of them was to be; null: the last one was made. */
  missed: { evidence: string; count: number; at: number } | null;
}

const stateNames = ['unknown', 'up', 'down'] as const;

export class Verdict {
  /** As in the health column. */
  state: number;
  private wasUp: boolean;
  private streak = 0;
  private lastPassed = false;
  private since: number;
  private reason: string;
  private evidence = '';
  private checkedAt = 0;
  private checkMs = 0;
  private last: HealthStatus['last'] = null;
  private missed: HealthStatus['missed'] = null;

  /** `state` is what the table says: health outlives reloads and restarts. */
  constructor(state: number, nowMs: number) {
    this.state = state;
    this.wasUp = state !== health.unknown;
    this.since = nowMs;
    this.reason = state === health.unknown ? 'not_checked_yet' : 'as_before';
  }

  /** Takes a result. True when the state changed. */
  take(result: CheckResult, rise: number, fall: number, nowMs: number): boolean {
    const { passed } = result;
    this.streak = this.streak > 0 && passed === this.lastPassed ? this.streak + 1 : 1;
    this.lastPassed = passed;
    this.checkedAt = nowMs;
    this.checkMs = result.ms;
    this.missed = null;
    this.last = { passed, reason: result.reason, evidence: result.evidence };
    const needed = passed ? (this.wasUp ? rise : 1) : this.state === health.unknown ? 1 : fall;
    const to = passed ? health.up : health.down;
    if (this.state === to) {
      // An endpoint that is down may fail in another way now: people want the latest.
      if (!passed) this.evidence = result.evidence;
      return false;
    }
    if (this.streak < needed) return false;
    this.state = to;
    if (passed) this.wasUp = true;
    this.since = nowMs;
    this.reason = result.reason;
    this.evidence = result.evidence;
    return true;
  }

  /** A check could not be made, for a reason that is not the endpoint's. */
  miss(evidence: string, nowMs: number): void {
    this.missed = { evidence, count: (this.missed?.count ?? 0) + 1, at: nowMs };
  }

  /** Does the last result speak against the state? */
  get isInDoubt(): boolean {
    return this.lastPassed !== (this.state === health.up);
  }

  status(): HealthStatus {
    const { since, reason, evidence, checkedAt, checkMs, streak, last, missed } = this;
    return { state: stateNames[this.state]!, since, reason, evidence, checkedAt, checkMs, streak, last, missed };
  }
}
