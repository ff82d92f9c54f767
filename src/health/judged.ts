/** Judged: what is remembered of one endpoint between two looks at its counters. */
import { admin, traffic } from '../state/doors.ts';
import { Ejection } from './ejection.ts';
import { Recent } from './recent.ts';

/** The latency average of the state table fades with this time constant (state/reader.ts). */
const LATENCY_DECAY_MS = 10_000;

/** Why an endpoint that failed enough was not ejected. */
export type Held = 'alike' | 'full' | 'last';

export class Judged {
  readonly slot: number;
  /** Configured. */
  weight: number;
  readonly recent: Recent;
  readonly ejection: Ejection;
  held: Held | null = null;
  heldMs = 0;
  /** Failures in a row over all workers: bad ones, hard ones. */
  streak = 0;
  hardStreak = 0;
  /** It was seen to end something well. */
  wasGood = false;
  /** What the last look found: ends since the one before. */
  newGood = 0;
  newBad = 0;
  newHard = 0;
  /** Average of the samples since its last return, and how many these are. */
  latencyMs = 0;
  latencyWeight = 0;
  /** It can take requests. */
  isUsable = false;
  isDown = false;
  /** As in the admin column. */
  admin = 0;
  // Totals at the last look, and at the start of the present run.
  private good = 0;
  private bad = 0;
  private faults = 0;
  private timeouts = 0;
  private gateway = 0;
  private inFlight = 0;
  private runBad = 0;
  private runFaults = 0;
  private runTimeouts = 0;
  private runGateway = 0;
  // Latency samples that do not count: those of before its return.
  private oldSum = 0;
  private oldWeight = 0;
  private oldMs = 0;

  constructor(slot: number, weight: number, windowMs: number, sample: Float64Array, ejection = new Ejection()) {
    this.slot = slot;
    this.weight = weight;
    this.recent = new Recent(windowMs);
    this.ejection = ejection;
    // What was counted before anybody looked is nobody's last straw.
    this.remember(sample);
    this.startRun();
  }

  /** `goodShare`: of the good ends since the last look that fall into the window. */
  take(sample: Float64Array, nowMs: number, goodShare: number): void {
    const newGood = sample[traffic.good]! - this.good;
    const newBad = sample[traffic.bad]! - this.bad;
    const newHard = sample[traffic.faults]! - this.faults + sample[traffic.gateway]! - this.gateway;
    this.recent.advance(nowMs);
    this.readLatency(sample, nowMs);
    this.newGood = this.newBad = this.newHard = 0;
    if (this.isDown || this.admin !== admin.ready || this.ejection.isOut) {
      // It is out already, whoever said so: afterwards it begins anew.
      this.recent.clear();
      this.streak = this.hardStreak = 0;
    } else if (newGood >= 0 && newBad >= 0) {
      this.newGood = newGood;
      this.newBad = newBad;
      this.newHard = newHard;
      if (newGood > 0) this.wasGood = true;
      if (newGood > 0 || this.streak === 0) this.startRun();
      this.streak = newGood === 0 ? this.streak + newBad : Math.min(sample[traffic.streak]!, newBad);
      // A 500 is an answer: it ends a run of endings that were none.
      const isAnswered = newGood > 0 || newBad > newHard;
      this.hardStreak = isAnswered ? Math.min(sample[traffic.hardStreak]!, newHard) : this.hardStreak + newHard;
      this.recent.add(newGood * goodShare, newBad, newHard);
      if (newGood > 0) this.held = null;
    }
    this.remember(sample);
  }

  /** It failed enough to be ejected, and was not. */
  hold(why: Held, nowMs: number): void {
    this.held = why;
    this.heldMs = nowMs;
  }

  /** Its ejection is over: it is judged by what comes from now on. */
  returns(nowMs: number): void {
    this.ejection.end(nowMs, this.inFlight);
    this.oldSum += this.latencyMs * this.latencyWeight;
    this.oldWeight += this.latencyWeight;
    this.latencyWeight = 0;
    this.held = null;
  }

  /** What the run consists of, for people. */
  runText(): string {
    const timeouts = this.timeouts - this.runTimeouts;
    const broken = this.faults - this.runFaults - timeouts;
    const gateway = this.gateway - this.runGateway;
    const others = this.bad - this.runBad - timeouts - broken - gateway;
    const parts: string[] = [];
    if (timeouts > 0) parts.push(`${timeouts} timed out`);
    if (broken > 0) parts.push(`${broken} without a whole answer`);
    if (gateway > 0) parts.push(`${gateway} answered 502, 503 or 504`);
    if (others > 0) parts.push(`${others} answered another 5xx`);
    return parts.join(', ');
  }

  private remember(sample: Float64Array): void {
    this.good = sample[traffic.good]!;
    this.bad = sample[traffic.bad]!;
    this.faults = sample[traffic.faults]!;
    this.timeouts = sample[traffic.timeouts]!;
    this.gateway = sample[traffic.gateway]!;
    this.inFlight = sample[traffic.inFlight]!;
  }

  private startRun(): void {
    this.runBad = this.bad;
    this.runFaults = this.faults;
    this.runTimeouts = this.timeouts;
    this.runGateway = this.gateway;
  }

  private readLatency(sample: Float64Array, nowMs: number): void {
    if (this.oldWeight > 0) {
      const fading = Math.exp((this.oldMs - nowMs) / LATENCY_DECAY_MS);
      this.oldSum *= fading;
      this.oldWeight *= fading;
    }
    this.oldMs = nowMs;
    const weight = sample[traffic.latencyWeight]!;
    this.latencyWeight = Math.max(0, weight - this.oldWeight);
    const sum = sample[traffic.latencyMs]! * weight - this.oldSum;
    this.latencyMs = this.latencyWeight > 0 ? Math.max(0, sum / this.latencyWeight) : 0;
  }
}
