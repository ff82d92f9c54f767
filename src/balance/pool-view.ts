/** A pool of a plan as policies see it. Workers and `weir explain` make it here, so that both see the same. */
import type { TableReader } from '../state/doors.ts';
import type { PoolPlan } from '../state/plan.ts';
import { endpointHash } from './hashed.ts';
import type { PoolView } from './policy.ts';

/** Endpoints without a slot or an address are left out: nothing can be sent to them. */
export function viewOf(pool: PoolPlan, table: TableReader): PoolView {
  const usable = pool.endpoints.filter((e) => e.slot >= 0 && e.resolved !== null);
  return {
    name: pool.name,
    slots: Int32Array.from(usable, (e) => e.slot),
    weights: Int32Array.from(usable, (e) => e.weight),
    backup: Uint8Array.from(usable, (e) => (e.backup ? 1 : 0)),
    requestsMax: Int32Array.from(usable, (e) => e.requestsMax),
    table,
    hashes: Int32Array.from(usable, (e) => endpointHash(e.address)),
  };
}
