/**
 * Assign: the numbers of the state table for the names of a plan. The same name gets the same number over reloads and restarts of control,
 * so counters and health survive.
 */
import type { ControlWriter } from '../../state/doors.ts';
import type { Plan } from '../../state/plan.ts';

export interface Assigned {
  plan: Plan;
  /** What found no room in the table: "endpoint web/10.0.0.1:80". Empty when all did; a plan with entries here must not be put in force. */
  withoutRoom: string[];
}

export function assignIds(plan: Plan, control: Pick<ControlWriter, 'claimId' | 'claimSlot'>): Assigned {
  const withoutRoom: string[] = [];
  const id = (kind: 'listener' | 'route' | 'pool' | 'filter', name: string): number => {
    const claimed = control.claimId(kind, name);
    if (claimed < 0) withoutRoom.push(`${kind} ${name}`);
    return claimed;
  };
  const assigned: Plan = {
    ...plan,
    listeners: plan.listeners.map((listener) => ({
      ...listener,
      id: id('listener', listener.name),
      streams: listener.streams.map((stream) => ({ ...stream, id: id('route', stream.name) })),
    })),
    pools: plan.pools.map((pool) => ({
      ...pool,
      id: id('pool', pool.name),
      endpoints: pool.endpoints.map((endpoint) => {
        const slot = control.claimSlot(pool.name, endpoint.address);
        if (slot < 0) withoutRoom.push(`endpoint ${pool.name}/${endpoint.address}`);
        return { ...endpoint, slot };
      }),
    })),
    routes: plan.routes.map((route) => ({
      ...route,
      id: id('route', route.name),
      filters: route.filters.map((filter) => ({ ...filter, id: id('filter', filter.name) })),
    })),
  };
  return { plan: assigned, withoutRoom };
}

/** Slots of `plan` that `other` does not have. */
export function slotsLeft(plan: Plan, other: Plan): number[] {
  const kept = new Set(other.pools.flatMap((pool) => pool.endpoints.map((endpoint) => endpoint.slot)));
  return plan.pools
    .flatMap((pool) => pool.endpoints.map((endpoint) => endpoint.slot))
    .filter((slot) => slot >= 0 && !kept.has(slot));
}
