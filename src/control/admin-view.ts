/** Admin view: the control process as the admin room sees it. */
import type { Plan } from '../state/plan.ts';
import type { Tally } from '../state/table.ts';
import type { ControlState, ReadyCheck } from './admin/admin.ts';
import type { WorkerState } from './admin/control-state.ts';
import type { Requests } from './explain/requests.ts';
import type { Fleet } from './supervise/fleet.ts';
import type { Leaving } from './supervise/leaving.ts';
import type { Plans } from './supervise/plans.ts';
import type { Reloads } from './supervise/reloads.ts';
import type { Watchers } from './watchers.ts';

export interface AdminViewParts {
  version: string;
  tally: Tally;
  requests: Requests;
  plans: Pick<Plans, 'inForce'>;
  fleet: Pick<Fleet, 'status'>;
  watchers: Watchers;
  leaving: Pick<Leaving, 'isLeaving'>;
  reloads: Pick<Reloads, 'state'>;
}

export function adminView({ version, tally, requests, plans, fleet, watchers, leaving, reloads }: AdminViewParts): ControlState {
  const { orders, drains, headroom, passive, health } = watchers;
  return {
    version,
    startedAt: Math.round(performance.timeOrigin),
    tally,
    orders,
    drains,
    headroom,
    requests,
    plan: () => plans.inForce,
    workers: () => fleet.status(),
    endpointNote: (slot) => passive.reportOf(slot),
    eject: (order, forMs) => passive.eject(order, forMs),
    checkNow: (slot) => health.checkNow(slot),
    readyChecks: () => readyChecks(leaving.isLeaving, plans.inForce, fleet.status()),
    reloads: () => reloads.state,
  };
}

/** What /readyz goes by. `workers`: all there should be. */
export function readyChecks(isLeaving: boolean, plan: Plan | null, workers: readonly WorkerState[]): readonly ReadyCheck[] {
  const serving = workers.filter(({ state }) => state === 'serving').length;
  return [
    { name: 'not-leaving', isOk: !isLeaving, why: isLeaving ? 'weir is draining' : '' },
    { name: 'plan', isOk: plan !== null, why: plan === null ? 'no plan is in force yet' : `epoch ${plan.epoch}` },
    { name: 'workers', isOk: serving > 0, why: `${serving} of ${workers.length} workers serve` },
  ];
}
