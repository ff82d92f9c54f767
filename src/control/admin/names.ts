/** Names of what the plan in force numbers, for labels. What left the plan keeps its name in the table. */
import type { Plan, TargetPlan } from '../../state/plan.ts';
import type { Tally } from '../../state/table.ts';

export class PlanNames {
  private readonly tally: Tally;
  private readonly names = {
    listener: new Map<number, string>(),
    route: new Map<number, string>(),
    pool: new Map<number, string>(),
  };

  constructor(plan: Plan | null, tally: Tally) {
    this.tally = tally;
    for (const { id, name } of plan?.listeners ?? []) this.names.listener.set(id, name);
    for (const { id, name } of plan?.routes ?? []) this.names.route.set(id, name);
    for (const { id, name } of plan?.pools ?? []) this.names.pool.set(id, name);
  }

  listener(id: number): string {
    return this.names.listener.get(id) ?? this.tally.nameOf('listener', id);
  }
  route(id: number): string {
    return this.names.route.get(id) ?? this.tally.nameOf('route', id);
  }
  pool(id: number): string {
    return this.names.pool.get(id) ?? this.tally.nameOf('pool', id);
  }
}

/** Every listener, route and pool that can meet in one exchange; ids, -1 = none. */
export function possibleExchanges(plan: Plan): { listener: number; route: number; pool: number }[] {
  const result: { listener: number; route: number; pool: number }[] = [];
  const poolIds = (target: TargetPlan): number[] =>
    target.pools.flatMap(({ pool }) => (plan.pools[pool] ? [plan.pools[pool].id] : []));
  plan.listeners.forEach((listener, index) => {
    const { id, protocol, streams } = listener;
    for (const stream of streams)
      for (const pool of poolIds(stream.target)) result.push({ listener: id, route: stream.id, pool });
    if (protocol === 'tcp' || protocol === 'udp') return;
    for (const route of plan.routes) {
      if (route.listeners !== null && !route.listeners.includes(index)) continue;
      const pools = route.action.kind === 'forward' ? poolIds(route.action) : [-1];
      for (const pool of pools) result.push({ listener: id, route: route.id, pool });
    }
  });
  return result;
}
