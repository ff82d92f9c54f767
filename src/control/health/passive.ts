/**
 * passive: carries out what live traffic says of endpoints, and what operators say for a time. Reads the counters of the table, ejects in the table, tells
 * people.
 *
 * It does not know: what speaks against an endpoint (health/outlier.ts), active checks, who reads the ejected flag.
 *
 * Rules
 * 1. It looks at a pool only when one of its endpoints got worse or something is due: a quiet table costs a few loads per turn.
 * 2. What a plan still names keeps what is known of it over a reload. A flag in the table that nobody here knows of (of a control process that is
 *    gone) is taken back after the pool's ejectMs; one in a pool that is not judged any more, at once.
 */
import { type Finding, OutlierJudge } from '../../health/health.ts';
import { ejectionCause, ejectionCauseNames } from '../../state/doors.ts';
import type { PassiveHealthPlan, Plan, PoolPlan } from '../../state/plan.ts';
import type { ControlDoor } from '../../state/table.ts';
import type { Order } from '../admin/orders.ts';
import type { EventLog } from '../supervise/events.ts';

/** Of one endpoint in shadow mode, and of one pool that fails alike, is told at most this often. */
const TOLD_EVERY_MS = 60_000;

export interface PassiveParts {
  door: Pick<
    ControlDoor,
    | 'readTraffic'
    | 'health'
    | 'admin'
    | 'weightPercent'
    | 'isEjected'
    | 'setEjected'
    | 'countEjection'
    | 'complaints'
    | 'poolComplaints'
    | 'version'
    | 'nowMs'
  >;
  events: Pick<EventLog, 'info' | 'warn'>;
  /** ms since 1970. */
  now: () => number;
  /** 0..1. */
  random: () => number;
}

/** What is known of one endpoint, for people. Times in ms since 1970. */
export interface PassiveStatus {
  /** Ejected, back on probation, or neither. In shadow mode: would be. */
  state: 'in' | 'ejected' | 'probation';
  isShadow: boolean;
  /** Of the present ejection, or the last one; null: none is known. */
  cause: string | null;
  evidence: string;
  /** Ejections in a row. */
  count: number;
  /** When the present ejection began and ends; 0: it is not ejected. */
  since: number;
  until: number;
  /** Failures in a row over all workers, as last seen; 0 while it is ejected. */
  streak: number;
  /** Why it was not ejected although it failed enough, lately. */
  held: 'alike' | 'full' | 'last' | null;
}

interface Watched {
  readonly pool: PoolPlan;
  readonly judge: OutlierJudge;
  /** As at the last look. */
  complaints: number;
  alikeToldMs: number;
}

export class PassiveHealth {
  private readonly parts: PassiveParts;
  private watched: Watched[] = [];
  private bySlot = new Map<number, Watched>();
  private readonly toldMs = new Map<number, number>();
  private complaints = -1;
  private version = -1;
  private dueMs = Number.POSITIVE_INFINITY;

  constructor(parts: PassiveParts) {
    this.parts = parts;
  }

  /** Watches what `plan` names from now on. Its slots are assigned, and those of the plan before are not given to others yet. */
  apply(plan: Plan): void {
    const { door, random } = this.parts;
    const nowMs = door.nowMs();
    const before = new Map(this.watched.map((watched) => [watched.pool.name, watched]));
    const watched: Watched[] = [];
    const bySlot = new Map<number, Watched>();
    for (const pool of plan.pools) {
      const { passive } = pool.health;
      const known = before.get(pool.name);
      const endpoints = pool.endpoints.filter(({ slot }) => slot >= 0);
      if (passive === null) {
        for (const { slot, address } of endpoints) this.release(slot, pool.name, address, 'live traffic does not count any more');
        continue;
      }
      const one: Watched = {
        pool,
        judge: new OutlierJudge(passive, endpoints, door, nowMs, known?.judge ?? null),
        complaints: known?.complaints ?? door.poolComplaints(pool.id),
        alikeToldMs: known?.alikeToldMs ?? Number.NEGATIVE_INFINITY,
      };
      watched.push(one);
      const { judge } = one;
      for (const { slot, address } of endpoints) {
        bySlot.set(slot, one);
        if (!door.isEjected(slot)) continue;
        if (passive.isShadow) this.release(slot, pool.name, address, 'live traffic is only watched now');
        else if (!judge.stateOf(slot)!.ejection.isOut) judge.adopt(slot, nowMs, random());
      }
    }
    // Who left takes no ejection along: it may come back long after.
    for (const slot of this.bySlot.keys()) if (!bySlot.has(slot) && door.isEjected(slot)) door.setEjected(slot, false);
    this.watched = watched;
    this.bySlot = bySlot;
    for (const slot of this.toldMs.keys()) if (!bySlot.has(slot)) this.toldMs.delete(slot);
    // Everything is looked at once: what is due is found there.
    this.complaints = -1;
    this.dueMs = nowMs;
  }

  /** Is there anything to watch? */
  get isIdle(): boolean {
    return this.watched.length === 0;
  }

  /** One turn; call it often. */
  turn(): void {
    const { door } = this.parts;
    const complaints = door.complaints();
    const version = door.version();
    const nowMs = door.nowMs();
    if (complaints === this.complaints && version === this.version && nowMs < this.dueMs) return;
    // Orders of people count as well, but only for who is out.
    const isOrdered = version !== this.version;
    this.complaints = complaints;
    this.dueMs = Number.POSITIVE_INFINITY;
    for (const watched of this.watched) {
      const { pool, judge } = watched;
      const itsComplaints = door.poolComplaints(pool.id);
      if (itsComplaints !== watched.complaints || nowMs >= judge.dueMs || (isOrdered && judge.isAnyOut)) {
        watched.complaints = itsComplaints;
        for (const finding of judge.look(nowMs, this.parts.random)) this.carryOut(watched, finding);
      }
      this.dueMs = Math.min(this.dueMs, judge.dueMs);
    }
    // After the last change of its own.
    this.version = door.version();
  }

  /** An operator takes an endpoint out for `forMs`, or the pool's ejectMs when that is null; it comes back by itself. Returns why not, or null. */
  eject({ pool, slot, reason, by }: Order, forMs: number | null): string | null {
    const watched = this.bySlot.get(slot);
    if (watched === undefined) return `nobody is ejected from pool ${pool}: its health.passive is false`;
    const { judge } = watched;
    if (judge.plan.isShadow) return `nobody is ejected from pool ${pool}: its health.passive only watches`;
    const evidence = `ordered by ${by}${reason === null ? '' : `: ${reason}`}`;
    const finding = judge.order(slot, this.parts.door.nowMs(), forMs ?? judge.plan.ejectMs, evidence);
    if (finding === null) return `no other endpoint of pool ${pool} could take its requests`;
    this.carryOut(watched, finding);
    this.dueMs = Math.min(this.dueMs, judge.dueMs);
    return null;
  }

  /** null: the endpoint is not judged by live traffic. */
  statusOf(slot: number): PassiveStatus | null {
    const { door, now } = this.parts;
    const watched = this.bySlot.get(slot);
    const one = watched?.judge.stateOf(slot);
    if (watched === undefined || one === undefined) return null;
    const { ejection } = one;
    // From the shared clock to that of people.
    const offset = now() - door.nowMs();
    const { isOut } = ejection;
    const isHeldNow = one.held !== null && door.nowMs() - one.heldMs < watched.judge.plan.windowMs;
    return {
      state: isOut ? 'ejected' : ejection.isOnProbation ? 'probation' : 'in',
      isShadow: watched.judge.plan.isShadow,
      cause: ejectionCauseNames[ejection.cause] ?? null,
      evidence: ejection.evidence,
      count: ejection.count,
      since: isOut ? Math.round(ejection.sinceMs + offset) : 0,
      until: isOut ? Math.round(ejection.untilMs + offset) : 0,
      streak: isOut ? 0 : one.streak,
      held: isHeldNow ? one.held : null,
    };
  }

  private carryOut(watched: Watched, finding: Finding): void {
    const { door, events } = this.parts;
    const { pool } = watched;
    const { slot, cause, evidence, count } = finding;
    const endpoint = pool.endpoints.find((its) => its.slot === slot)!.address;
    const name = `${pool.name}/${endpoint}`;
    const seconds = Math.round(finding.forMs / 100) / 10;
    const its = { pool: pool.name, endpoint, cause: ejectionCauseNames[cause], evidence };
    const { isShadow } = pool.health.passive as PassiveHealthPlan;
    if (finding.what === 'alike') {
      if (!this.isTimeToTell(watched.alikeToldMs)) return;
      watched.alikeToldMs = door.nowMs();
      events.warn('pool_fails_alike', `pool ${pool.name} fails alike: nobody is ejected for what all do`, its);
    } else if (isShadow) {
      if (finding.what !== 'eject') return;
      door.countEjection(slot, cause, true);
      if (!this.isTimeToTell(this.toldMs.get(slot) ?? Number.NEGATIVE_INFINITY)) return;
      this.toldMs.set(slot, door.nowMs());
      events.warn('endpoint_would_eject', `endpoint ${name} would be ejected for ${seconds} s`, { ...its, seconds, count });
    } else if (finding.what === 'eject') {
      // An order may be about one that is out already.
      if (!door.isEjected(slot)) door.countEjection(slot, cause, false);
      door.setEjected(slot, true);
      const level = cause === ejectionCause.operator ? 'info' : 'warn';
      events[level]('endpoint_ejected', `endpoint ${name} is ejected for ${seconds} s`, { ...its, seconds, count });
    } else {
      door.setEjected(slot, false);
      events.info('endpoint_returned', `endpoint ${name} is back after ${seconds} s`, { ...its, seconds, count });
    }
  }

  private isTimeToTell(toldMs: number): boolean {
    return this.parts.door.nowMs() - toldMs >= TOLD_EVERY_MS;
  }

  private release(slot: number, pool: string, endpoint: string, evidence: string): void {
    const { door, events } = this.parts;
    if (!door.isEjected(slot)) return;
    door.setEjected(slot, false);
    events.info('endpoint_returned', `endpoint ${pool}/${endpoint} is back`, { pool, endpoint, evidence });
  }
}
