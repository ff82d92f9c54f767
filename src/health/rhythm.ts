/** Rhythm: how soon an endpoint is checked again. */
import type { ActiveHealthPlan } from '../state/plan.ts';

/** Ms from the start of one check to that of the next. `isInDoubt`: the result speaks against the state; `isIdle`: it is up, and was sent nothing since the check before. */
export function restMs(
  check: Pick<ActiveHealthPlan, 'fastMs' | 'idleMs' | 'intervalMs'>,
  isInDoubt: boolean,
  isIdle: boolean,
): number {
  return isInDoubt ? check.fastMs : isIdle ? check.idleMs : check.intervalMs;
}
