/**
 * Outlier: which endpoints of one pool live traffic speaks against, and for how long they are out. Pure: a table to read, times and chance come in, findings
 * come out; carrying them out is for others.
 *
 * Rules
 * 1. An endpoint is judged against its pool: it is ejected only while the others fail clearly less. What all of them do alike is not the endpoint's fault.
 * 2. Only a new failure is a last straw: what was counted before the first look, while it was down or while it was ejected, is not held against it.
 * 3. The last endpoint that can take requests is never ejected, and of two or more one always may be.
 * 4. A failure is what the table calls one: faults of the endpoint's side and 5xx. Aborts of clients and limits of weir's own never get here.
 */
import { admin, ejectionCause, health, type TableReader, TRAFFIC_LENGTH } from '../state/doors.ts';
import type { PassiveHealthPlan } from '../state/plan.ts';
import { Crowd } from './crowd.ts';
import { Judged } from './judged.ts';
import { medianWithout } from './median.ts';
import { BUCKETS } from './recent.ts';

/** Latency speaks against an endpoint only when it is this much above that of the others, however fast these are. */
const LATENCY_ABOVE_MS_MIN = 10;
/** Averages are compared this often. */
const LATENCY_LOOK_MS = 1000;
/** A run of failures that an ordinary endpoint of this pool would show with at most this chance is one of its own. */
const CHANCE_MAX = 1e-4;
/** A share above this is no minority any more. */
const MINORITY = 0.5;
/** Keeps a share that is a whole number after the multiplication from being rounded down by what the multiplication lost. */
const ROUNDING = 1e-9;

type JudgedTable = Pick<TableReader, 'readTraffic' | 'health' | 'admin' | 'weightPercent'>;

/** `weight` as configured. */
interface JudgedEndpoint {
  readonly slot: number;
  readonly weight: number;
}

export interface Finding {
  /** alike: an endpoint would have been ejected, and the pool fails like it; said once, until it has stopped for a window. */
  readonly what: 'eject' | 'return' | 'alike';
  readonly slot: number;
  /** An `ejectionCause`. */
  readonly cause: number;
  /** What was seen, for people. */
  readonly evidence: string;
  /** Of an ejection: how long, and which in a row it is. */
  readonly forMs: number;
  readonly count: number;
}

const NOTHING: readonly Finding[] = Object.freeze([]);

export class OutlierJudge {
  readonly plan: PassiveHealthPlan;
  readonly judged: readonly Judged[];
  /** When to look again even if no endpoint got worse; Infinity: no need. */
  dueMs = Number.POSITIVE_INFINITY;
  private readonly bySlot: ReadonlyMap<number, Judged>;
  private readonly table: JudgedTable;
  private readonly sample = new Float64Array(TRAFFIC_LENGTH);
  private readonly crowd: Crowd;
  private lastMs: number;
  private lastBadMs = Number.NEGATIVE_INFINITY;
  private lastAlikeMs = Number.NEGATIVE_INFINITY;
  private latencyDueMs: number;

  /** What `before` remembers of endpoints that stay is kept; its ejections, too, unless one of the two is only a shadow. */
  constructor(
    plan: PassiveHealthPlan,
    endpoints: readonly JudgedEndpoint[],
    table: JudgedTable,
    nowMs: number,
    before: OutlierJudge | null = null,
  ) {
    this.plan = plan;
    this.table = table;
    this.lastMs = before?.lastMs ?? nowMs;
    this.judged = endpoints.map(({ slot, weight }) => {
      let one = before?.bySlot.get(slot);
      if (one === undefined || before?.plan.windowMs !== plan.windowMs) {
        table.readTraffic(slot, this.sample);
        one = new Judged(slot, weight, plan.windowMs, this.sample, one?.ejection);
      }
      one.weight = weight;
      if (before !== null && before.plan.isShadow !== plan.isShadow) one.ejection.forget();
      return one;
    });
    this.bySlot = new Map(this.judged.map((one) => [one.slot, one]));
    if (before !== null) {
      this.lastBadMs = before.lastBadMs;
      this.lastAlikeMs = before.lastAlikeMs;
    }
    this.crowd = new Crowd(endpoints.length);
    this.latencyDueMs = plan.latencyFactor > 0 ? nowMs + LATENCY_LOOK_MS : Number.POSITIVE_INFINITY;
    this.findDue(nowMs);
  }

  /** What is known of an endpoint; undefined: it is none of this pool. */
  stateOf(slot: number): Judged | undefined {
    return this.bySlot.get(slot);
  }

  get isAnyOut(): boolean {
    return this.judged.some(({ ejection }) => ejection.isOut);
  }

  /** An endpoint is ejected already and nobody knows why: it comes back after the shortest time. */
  adopt(slot: number, nowMs: number, random: number): void {
    this.bySlot.get(slot)!.ejection.begin(nowMs, -1, '', this.plan, random);
    this.findDue(nowMs);
  }

  /** Reads the counters and judges. `random` gives numbers in 0..1. */
  look(nowMs: number, random: () => number): readonly Finding[] {
    const { plan, table, sample, judged } = this;
    const sinceMs = nowMs - this.lastMs;
    // One looks as soon as something failed: failures are new. Good ends may be as old as the last look.
    const goodShare = sinceMs > plan.windowMs ? plan.windowMs / sinceMs : 1;
    let isWorse = false;
    for (let i = 0; i < judged.length; i++) {
      const one = judged[i]!;
      const { slot, ejection } = one;
      const wasTakenOut = one.admin !== admin.ready;
      this.readState(one);
      // An operator says that it may serve again.
      if (wasTakenOut && one.admin === admin.ready && ejection.isOut) ejection.untilMs = nowMs;
      table.readTraffic(slot, sample);
      one.take(sample, nowMs, goodShare);
      if (one.newGood > 0) ejection.passes();
      if (one.newBad > 0) isWorse = true;
    }
    this.lastMs = nowMs;
    const findings: Finding[] = [];
    this.findReturns(nowMs, findings);
    const isLatencyDue = nowMs >= this.latencyDueMs;
    if (isWorse || isLatencyDue) this.crowd.count(judged);
    if (isWorse) {
      this.lastBadMs = nowMs;
      for (let i = 0; i < judged.length; i++) {
        const one = judged[i]!;
        if (one.newBad > 0 && one.isUsable) this.judgeCounts(one, nowMs, random, findings);
      }
    }
    if (isLatencyDue) {
      this.latencyDueMs = nowMs + LATENCY_LOOK_MS;
      this.judgeLatency(nowMs, random, findings);
    }
    this.findDue(nowMs);
    return findings.length === 0 ? NOTHING : findings;
  }

  /** An operator takes the endpoint out for `forMs`, whatever traffic says. null: no other one could take its requests. */
  order(slot: number, nowMs: number, forMs: number, evidence: string): Finding | null {
    for (const one of this.judged) this.readState(one);
    if (!this.judged.some((other) => other.slot !== slot && other.isUsable)) return null;
    const { ejection } = this.bySlot.get(slot)!;
    const outMs = ejection.order(nowMs, forMs, evidence, this.plan);
    this.findDue(nowMs);
    return { what: 'eject', slot, cause: ejectionCause.operator, evidence, forMs: outMs, count: ejection.count };
  }

  /** What others say of it. */
  private readState(one: Judged): void {
    const { table } = this;
    one.admin = table.admin(one.slot);
    one.isDown = table.health(one.slot) === health.down;
    const isIn = !one.isDown && !one.ejection.isOut && one.admin === admin.ready;
    one.isUsable = isIn && one.weight * table.weightPercent(one.slot) > 0;
  }

  private findDue(nowMs: number): void {
    // While somebody fails, counts have to fall into the right bucket.
    let due = nowMs - this.lastBadMs < this.plan.windowMs ? nowMs + this.plan.windowMs / BUCKETS : Number.POSITIVE_INFINITY;
    due = Math.min(due, this.latencyDueMs);
    for (let i = 0; i < this.judged.length; i++) {
      const { ejection } = this.judged[i]!;
      if (ejection.isOut && ejection.untilMs < due) due = ejection.untilMs;
    }
    this.dueMs = due;
  }

  private findReturns(nowMs: number, findings: Finding[]): void {
    for (let i = 0; i < this.judged.length; i++) {
      const one = this.judged[i]!;
      const { ejection } = one;
      if (!ejection.isOut || nowMs < ejection.untilMs) continue;
      one.returns(nowMs);
      const { cause, count, sinceMs, evidence } = ejection;
      findings.push({ what: 'return', slot: one.slot, cause, evidence, forMs: nowMs - sinceMs, count });
    }
  }

  private judgeCounts(one: Judged, nowMs: number, random: () => number, findings: Finding[]): void {
    const { plan } = this;
    const { ejection, hardStreak, streak, recent } = one;
    const wasHard = ejection.cause === ejectionCause.consecutiveFailures;
    if (ejection.failsProbation(wasHard ? one.newHard : one.newBad)) {
      const cause = ejection.cause < 0 ? ejectionCause.consecutiveFailures : ejection.cause;
      this.judge(one, cause, 1, wasHard, true, nowMs, random, findings);
    } else if (plan.consecutiveFailures > 0 && one.newHard > 0 && hardStreak >= plan.consecutiveFailures)
      this.judge(one, ejectionCause.consecutiveFailures, hardStreak, true, false, nowMs, random, findings);
    else if (plan.consecutive5xx > 0 && streak >= plan.consecutive5xx)
      this.judge(one, ejectionCause.consecutive5xx, streak, false, false, nowMs, random, findings);
    else if (plan.errorRatio > 0 && recent.good + recent.bad >= plan.requestsMin && recent.share(false) >= plan.errorRatio)
      this.judge(one, ejectionCause.errorRatio, 0, false, false, nowMs, random, findings);
  }

  /** `run`: failures in a row, 0 when that is not the point. */
  private judge(
    one: Judged,
    cause: number,
    run: number,
    isHard: boolean,
    isAgain: boolean,
    nowMs: number,
    random: () => number,
    findings: Finding[],
  ): void {
    const others = this.crowd.shareOfOthers(one, isHard);
    const isOwn = isOutlier(one.recent.share(isHard), others, run);
    if (isOwn && !this.mayEject(one, nowMs)) return;
    if (!isOwn) {
      one.hold('alike', nowMs);
      const isNew = nowMs - this.lastAlikeMs > this.plan.windowMs;
      this.lastAlikeMs = nowMs;
      if (!isNew) return;
    }
    let evidence = `${run} failures in a row: ${one.runText()}`;
    if (isAgain) evidence = `failed again at once after its return: ${one.runText()}`;
    else if (run === 0) {
      const { good, bad } = one.recent;
      evidence = `${bad} of ${Math.round(good + bad)} requests failed within ${this.plan.windowMs / 1000} s`;
    }
    evidence += `; the others fail ${Math.round(others * 1000) / 10} % (median)`;
    if (isOwn) this.eject(one, cause, evidence, nowMs, random, findings);
    else findings.push({ what: 'alike', slot: one.slot, cause, evidence, forMs: 0, count: 0 });
  }

  private judgeLatency(nowMs: number, random: () => number, findings: Finding[]): void {
    const { judged, plan } = this;
    const measured = judged.filter((one) => one.isUsable && one.latencyWeight >= plan.requestsMin);
    if (measured.length < 2) return;
    const sorted = Float64Array.from(measured, (one) => one.latencyMs).sort();
    for (const one of measured) {
      const median = medianWithout(sorted, sorted.length, one.latencyMs);
      if (one.latencyMs <= plan.latencyFactor * median || one.latencyMs < median + LATENCY_ABOVE_MS_MIN) continue;
      if (!this.mayEject(one, nowMs)) continue;
      const evidence = `answers take ${msText(one.latencyMs)} on average, those of the others ${msText(median)}`;
      this.eject(one, ejectionCause.latency, evidence, nowMs, random, findings);
      // One at a time: the next is compared with those that are left.
      return;
    }
  }

  private mayEject(one: Judged, nowMs: number): boolean {
    const { present, out, usable } = this.crowd;
    const outMax = Math.max(1, Math.floor(present * this.plan.ejectedMax + ROUNDING));
    if (usable === 1) one.hold('last', nowMs);
    else if (out >= outMax) one.hold('full', nowMs);
    else return true;
    return false;
  }

  private eject(one: Judged, cause: number, evidence: string, nowMs: number, random: () => number, findings: Finding[]): void {
    const forMs = one.ejection.begin(nowMs, cause, evidence, this.plan, random());
    this.crowd.ejected(one);
    one.held = null;
    findings.push({ what: 'eject', slot: one.slot, cause, evidence, forMs, count: one.ejection.count });
  }
}

/**
 * Is this endpoint's failing its own? Its share is at least twice that of an ordinary one, or its run of failures is longer than chance would explain
 * if it were one: an endpoint that has just died has a window full of good ends.
 */
function isOutlier(own: number, others: number, run: number): boolean {
  if (others > MINORITY) return false;
  return others <= own / 2 || others ** run <= CHANCE_MAX;
}

function msText(value: number): string {
  return `${value < 10 ? value.toFixed(1) : Math.round(value)} ms`;
}
