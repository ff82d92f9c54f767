/** Full: is nobody there, or are those who are there only full? Who is asked then, and who is asked last. */
import { admin, type TableReader } from '../state/doors.ts';
import type { PoolPlan } from '../state/plan.ts';
import { NONE, type Policy, type Suspects } from './policy.ts';

/** Pools asked in the place of the first one; a circle of fallbacks ends here. */
export const FALLBACKS_MAX = 4;

/** Slots of a pool that may be full rather than gone: those with a limit and a weight. */
export function limitedSlots(pool: PoolPlan): Int32Array {
  return Int32Array.from(
    pool.endpoints.filter((e) => e.slot >= 0 && e.weight > 0 && e.requestsMax > 0),
    (e) => e.slot,
  );
}

/**
 * No endpoint could be picked: is one of those that can be full ({@link limitedSlots}) only full, so that waiting makes sense? With a panic threshold an
 * endpoint that is down may be used too.
 */
export function isWorthWaiting(slots: Int32Array, pool: PoolPlan, table: TableReader): boolean {
  const canPanic = pool.health.panicThreshold > 0;
  for (let i = 0; i < slots.length; i++) {
    const slot = slots[i]!;
    if (table.weightPercent(slot) === 0) continue;
    if (table.isReady(slot) || (canPanic && table.admin(slot) === admin.ready)) return true;
  }
  return false;
}

/** The policy's pick; a suspect one only when no other can be. `random` gives 32 bits. */
export function pickTrusted(policy: Policy, key: number, avoid: number, random: () => number, suspects: Suspects): number {
  const slot = policy.pick(key, random(), avoid);
  if (slot === NONE || !suspects.isSuspect(slot)) return slot;
  // As the policy would have it without that one; and where that is no better, whoever there is.
  const other = policy.pick(key, random(), slot);
  if (other !== avoid && !suspects.isSuspect(other)) return other;
  const trusted = policy.pickAmong(random(), suspects);
  if (trusted !== NONE) return trusted;
  return other === avoid ? slot : other;
}
