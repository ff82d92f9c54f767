/**
 * states: what state an endpoint is in, since when, why, and on what evidence. Puts together what people ordered, what checks saw and what live
 * traffic showed; the state itself is the table's, so that it is what the workers act on.
 */
import { countOf } from '../../base/counts.ts';
import type { HealthStatus } from '../../health/health.ts';
import type { Plan, PoolPlan } from '../../state/plan.ts';
import { type ControlDoor, endpointState, endpointStateNames, stateNow } from '../../state/table.ts';
import type { EndpointNote } from '../admin/control-state.ts';
import type { Orders } from '../admin/orders.ts';
import type { HealthChecks } from './health.ts';
import type { PassiveHealth, PassiveStatus } from './passive.ts';

export interface StatesParts {
  door: Pick<ControlDoor, 'health' | 'admin' | 'isEjected' | 'readySince' | 'nowMs'>;
  orders: Pick<Orders, 'stateNote' | 'orderedBy'>;
  checks: Pick<HealthChecks, 'statusOf'>;
  passive: Pick<PassiveHealth, 'statusOf'>;
  /** ms since 1970. */
  now: () => number;
}

/** `state` is one of `endpointStateNames`. `since` 0: not known. */
export interface EndpointReport extends EndpointNote {
  state: string;
  evidence: readonly string[];
  /** What checks say; null: it is not checked. */
  active: HealthStatus | null;
  /** What live traffic says; null: it is not judged by it. */
  passive: PassiveStatus | null;
}

export class EndpointStates {
  private readonly parts: StatesParts;
  private poolOf = new Map<number, PoolPlan>();

  constructor(parts: StatesParts) {
    this.parts = parts;
  }

  apply(plan: Plan): void {
    this.poolOf = new Map(plan.pools.flatMap((pool) => pool.endpoints.map(({ slot }) => [slot, pool] as const)));
  }

  /** null: no endpoint of the plan has this slot. */
  of(slot: number): EndpointReport | null {
    const pool = this.poolOf.get(slot);
    if (pool === undefined || slot < 0) return null;
    const { door, checks, passive } = this.parts;
    const number = stateNow(door, slot, pool.health.slowStartMs);
    const active = checks.statusOf(slot);
    const judged = passive.statusOf(slot);
    return {
      state: endpointStateNames[number]!,
      ...this.reasonOf(slot, number, active, judged),
      evidence: this.evidenceOf(slot, number, active, judged),
      ejection: ejectionOf(judged),
      active,
      passive: judged,
    };
  }

  private reasonOf(
    slot: number,
    number: number,
    active: HealthStatus | null,
    judged: PassiveStatus | null,
  ): { why: string; since: number } {
    const { orders } = this.parts;
    switch (number) {
      case endpointState.maint:
      case endpointState.drain:
        // Without a note a control process that is gone passed the order on.
        return orders.stateNote(slot) ?? { why: 'set by an operator', since: 0 };
      case endpointState.down:
        return active === null ? { why: 'the name has no address', since: 0 } : { why: checkText(active), since: active.since };
      case endpointState.ejected: {
        const why = judged?.evidence || 'taken out before this control process started';
        return { why, since: judged?.since ?? 0 };
      }
      default:
        return {
          why: active === null ? 'not checked' : checkText(active),
          since: this.fitSince(slot) || (active?.since ?? 0),
        };
    }
  }

  private evidenceOf(slot: number, number: number, active: HealthStatus | null, judged: PassiveStatus | null): string[] {
    const { orders, now } = this.parts;
    const facts: string[] = [];
    const by = orders.orderedBy(slot);
    if (by !== null) facts.push(`ordered by ${by}`);
    if (number === endpointState.slowStart) facts.push('it grows to its full share of requests');
    if (judged !== null) facts.push(...factsOf(judged, number === endpointState.ejected, now()));
    if (active === null) return facts;
    if (active.missed !== null) {
      const { count, at, evidence } = active.missed;
      const which = count > 1 ? `the last ${count} checks` : 'the last check';
      facts.push(`${which}, ${secondsText(now() - at)} ago, could not be made: ${evidence}`);
    }
    if (active.last === null) return facts;
    const { last, streak, checkMs } = active;
    const ago = secondsText(now() - active.checkedAt);
    const what = last.passed ? `passed: ${last.evidence}` : `failed: ${last.reason}, ${last.evidence}`;
    facts.push(`last check, ${ago} ago, ${what}, after ${checkMs.toFixed(1)} ms`);
    if (streak > 1) facts.push(`${countOf(streak, 'check')} in a row ${last.passed ? 'passed' : 'failed'}`);
    // People and checks may both have their reasons.
    const isHidden = number === endpointState.maint || number === endpointState.drain;
    if (isHidden && active.state === 'down') facts.push('checks say that it is down');
    return facts;
  }

  /** ms since 1970; 0: never. */
  private fitSince(slot: number): number {
    const { door, now } = this.parts;
    const since = door.readySince(slot);
    return since > 0 ? Math.round(now() - (door.nowMs() - since)) : 0;
  }
}

/** null: it was not ejected lately. */
function ejectionOf(judged: PassiveStatus | null): EndpointReport['ejection'] {
  if (judged === null || judged.isShadow || (judged.count === 0 && judged.state !== 'ejected')) return null;
  return { cause: judged.cause, count: judged.count, returnsAt: judged.until || null };
}

const heldTexts = {
  alike: 'the others of the pool fail alike',
  full: 'as many as may be are ejected already',
  last: 'no other endpoint can take its requests',
};

function factsOf(judged: PassiveStatus, isEjected: boolean, nowMs: number): string[] {
  const facts: string[] = [];
  const { state, isShadow, evidence, cause, count, until, streak, held } = judged;
  const inRow = count > 1 ? `, ${count} times in a row` : '';
  if (state === 'ejected') {
    const rest = secondsText(Math.max(0, until - nowMs));
    if (isShadow) facts.push(`it would be ejected${inRow} for another ${rest} (shadow mode): ${evidence}`);
    else facts.push(`${isEjected ? 'ejected' : `ejected as well (${evidence})`}${inRow}, for another ${rest}`);
    if (cause !== null) facts.push(`cause: ${cause}`);
  } else if (state === 'probation') {
    const it = isShadow ? 'its ejection would be over' : 'it is back from an ejection';
    facts.push(`${it}${inRow}, and the next failure is the last straw: ${evidence || 'before this control process started'}`);
  }
  if (held !== null) facts.push(`it failed enough to be ejected, but ${heldTexts[held]}`);
  if (streak > 0) facts.push(`the last ${streak === 1 ? 'request' : `${streak} requests`} failed`);
  return facts;
}

function checkText({ reason, evidence, missed }: HealthStatus): string {
  const found = evidence === '' ? reason : `${reason}: ${evidence}`;
  return missed === null ? found : `${found}; not checked now: ${missed.evidence}`;
}

/** "3.2 s", "4 min". */
function secondsText(ms: number): string {
  if (ms < 9950) return `${(ms / 1000).toFixed(1)} s`;
  return ms < 120_000 ? `${Math.round(ms / 1000)} s` : `${Math.round(ms / 60_000)} min`;
}
