/** Offline: a plan with a state table of its own, in which every endpoint is ready and idle. */
import { health, type TableReader } from '../../state/doors.ts';
import type { Plan } from '../../state/plan.ts';
import { ControlDoor, initTable, tableBytes } from '../../state/table.ts';
import { assignIds } from '../config/config.ts';

/** Stands for the address of a name, which nobody looks up. */
const UNKNOWN_ADDRESS = { kind: 'ip', host: '0.0.0.0', port: 0 } as const;

/** Longer than any slow start. */
const READY_FOR_MS = 30 * 86_400_000;

export function offlineParts(plan: Plan): { plan: Plan; table: TableReader } {
  const endpoints = plan.pools.reduce((count, pool) => count + pool.endpoints.length, 0);
  const streams = plan.listeners.reduce((count, listener) => count + listener.streams.length, 0);
  const sizes = {
    slotsMax: endpoints + 1,
    stripesMax: 1,
    listenersMax: plan.listeners.length + 1,
    routesMax: plan.routes.length + streams + 1,
    poolsMax: plan.pools.length + 1,
    exchangeRowsMax: 1,
    countRowsMax: 1,
  };
  const buffer = new ArrayBuffer(tableBytes(sizes));
  initTable(buffer, sizes, 1);
  let nowMs = 1;
  const door = new ControlDoor(buffer, () => nowMs);
  const assigned = assignIds(plan, door).plan;
  const pools = assigned.pools.map((pool) => ({
    ...pool,
    endpoints: pool.endpoints.map((endpoint) => ({ ...endpoint, resolved: endpoint.resolved ?? UNKNOWN_ADDRESS })),
  }));
  for (const pool of pools) for (const { slot } of pool.endpoints) door.setHealth(slot, health.up);
  nowMs += READY_FOR_MS;
  return { plan: { ...assigned, pools }, table: door };
}
