/** A pool of a plan as policies see it. Workers and `weir explain` make it here, so that both see the same. */
import type { TableReader } from '../state/doors.ts';
import type { EndpointPlan, PoolPlan } from '../state/plan.ts';
import { endpointHash } from './hashed.ts';
import { hashing, type NodePlace, type PoolView } from './policy.ts';
import { ranksOf } from './subset.ts';

/** Endpoints without a slot or an address are left out: nothing can be sent to them. */
export function viewOf(pool: PoolPlan, table: TableReader, at: NodePlace): PoolView {
  const { algorithm, zone } = pool.balance;
  const usable = pool.endpoints.filter((e) => e.slot >= 0 && e.resolved !== null);
  const hashes = Int32Array.from(usable, (e) => endpointHash(e.address));
  const backup = Uint8Array.from(usable, (e) => (e.backup ? 1 : 0));
  const isNear = (e: EndpointPlan): boolean => !e.backup && e.zone === at.zone;
  // Of a subset keys would live elsewhere on each node.
  const subset = hashing.includes(algorithm) ? 0 : pool.balance.subset;
  return {
    slots: Int32Array.from(usable, (e) => e.slot),
    weights: Int32Array.from(usable, (e) => e.weight),
    backup,
    requestsMax: Int32Array.from(usable, (e) => e.requestsMax),
    table,
    hashes,
    boundedLoad: pool.balance.boundedLoad,
    // Who would leave the zone at no load at all has no preference.
    near: !zone?.spillAt || at.zone === null ? null : Uint8Array.from(usable, (e) => (isNear(e) ? 1 : 0)),
    spillAt: zone?.spillAt ?? 0,
    slowStartMs: pool.health.slowStartMs,
    panicThreshold: pool.health.panicThreshold,
    subset,
    ranks: subset === 0 ? null : ranksOf(at.node, hashes, backup),
  };
}
