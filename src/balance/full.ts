/** Full: is nobody there, or are those who are there only full? */
import { admin, type TableReader } from '../state/doors.ts';
import type { PoolPlan } from '../state/plan.ts';

/** Slots of a pool that may be full rather than gone: those with a limit and a weight. */
export function limitedSlots(pool: PoolPlan): Int32Array {
  return Int32Array.from(
    pool.endpoints.filter((e) => e.slot >= 0 && e.weight > 0 && e.requestsMax > 0),
    (e) => e.slot,
  );
}

/**
 * No endpoint could be picked: is one of them only full, so that waiting makes sense? With a panic threshold an endpoint that is down may be used too.
 */
export function isWorthWaiting(slots: Int32Array, canPanic: boolean, table: TableReader): boolean {
  for (let i = 0; i < slots.length; i++) {
    const slot = slots[i]!;
    if (table.weightPercent(slot) === 0) continue;
    if (table.isReady(slot) || (canPanic && table.admin(slot) === admin.ready)) return true;
  }
  return false;
}
