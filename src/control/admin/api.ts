/** The objects of /api/v1: what is in force and how it is doing. Times RFC 3339, durations in seconds, sizes in bytes. */
import { release } from 'node:os';
import { addressText } from '../../base/wire.ts';
import type { EndpointPlan, PoolPlan } from '../../state/plan.ts';
import { endpointState, endpointStateNames, stateNow } from '../../state/table.ts';
import type { ControlState } from './control-state.ts';

export function timeText(ms: number): string | null {
  return ms > 0 ? new Date(ms).toISOString() : null;
}

/** The process's state as a whole. */
export function statusOf(state: ControlState) {
  const plan = state.plan();
  const { tally } = state;
  const counts = tally.counts();
  const workers = state.workers();
  const notReady = state.readyChecks().filter((check) => !check.isOk);
  const troubles = (plan?.pools ?? []).flatMap((pool) =>
    pool.endpoints
      .map((endpoint) => endpointOf(state, pool, endpoint))
      .filter(({ status }) => status.state !== 'ready')
      .map(({ address, status }) => ({ pool: pool.name, endpoint: address, ...status })),
  );
  let connections = 0;
  for (const { id } of plan?.listeners ?? []) for (const open of tally.listener(id).connections) connections += open;
  return {
    node: plan?.node ?? null,
    version: state.version,
    runtime: process.versions.node,
    kernel: release(),
    engine: workers.find((worker) => worker.engine !== null)?.engine ?? null,
    epoch: tally.epoch(),
    startedAt: timeText(state.startedAt),
    uptime: Math.round((Date.now() - state.startedAt) / 1000),
    isReady: notReady.length === 0,
    notReady: notReady.map(({ name, why }) => ({ name, why })),
    workers: { configured: workers.length, serving: workers.filter((worker) => worker.state === 'serving').length },
    listeners: (plan?.listeners ?? []).map(({ name, addresses, protocol }) => ({
      name,
      protocol,
      addresses: addresses.map(addressText),
    })),
    totals: {
      requests: sum(counts.requests.map((row) => row.count)),
      faults: sum(counts.faults.map((row) => row.count)),
      inFlight: sum(counts.inFlight.map((row) => row.count)),
      connections,
    },
    troubles,
  };
}

export function poolOf(state: ControlState, pool: PoolPlan) {
  const endpoints = pool.endpoints.map((endpoint) => endpointOf(state, pool, endpoint));
  const row = state.tally.pool(pool.id);
  const states = Object.fromEntries(
    endpointStateNames.map((name) => [name, endpoints.filter(({ status }) => status.state === name).length]),
  );
  return {
    name: pool.name,
    origin: 'file',
    source: pool.source,
    policy: pool.balance.algorithm,
    isChecked: pool.health.active !== null,
    states,
    inFlight: sum(endpoints.map((endpoint) => endpoint.inFlight)),
    requests: sum(endpoints.map((endpoint) => endpoint.requests)),
    retries: sum(row.retries),
    queue: { length: row.queue, timeouts: row.queueTimeouts },
    endpoints,
  };
}

export function endpointOf(state: ControlState, pool: PoolPlan, endpoint: EndpointPlan) {
  const { tally } = state;
  const { slot } = endpoint;
  const base = { address: endpoint.address, weight: endpoint.weight, isBackup: endpoint.backup, zone: endpoint.zone };
  if (slot < 0) {
    const status = { state: 'down', since: null, reason: 'it has no slot in the state table' };
    return { ...base, status, inFlight: 0, requests: 0 };
  }
  const note = state.endpointNote(slot);
  const number = stateNow(tally, slot, pool.health.slowStartMs);
  const reason = note?.why ?? defaultReason(number, pool);
  const weight = state.orders.weightNote(slot);
  const row = tally.slot(slot);
  const [none, ...classes] = row.classes;
  return {
    ...base,
    weightPercent: tally.weightPercent(slot),
    weightStatus: weight === null ? null : { since: timeText(weight.since), reason: weight.why },
    requestsMax: endpoint.requestsMax === 0 ? null : endpoint.requestsMax,
    status: { state: endpointStateNames[number]!, since: note === null ? null : timeText(note.since), reason },
    inFlight: tally.inFlight(slot),
    requests: tally.requests(slot),
    responses: Object.fromEntries([...classes.map((count, i) => [`${i + 1}xx`, count] as const), ['none', none] as const]),
    faults: row.faults,
    failuresInARow: row.streak,
    responseSeconds: tally.latencyMs(slot) / 1000,
    connections: { idle: row.wiresIdle, busy: row.wiresBusy },
    checks: { passed: row.checksPassed, failed: row.checksFailed },
  };
}

/** What can be said when nobody left a note. */
function defaultReason(number: number, pool: PoolPlan): string | null {
  if (number === endpointState.ready) return pool.health.active === null ? 'not checked' : null;
  if (number === endpointState.down) return 'health checks failed';
  return 'set by an operator';
}

export function workersOf(state: ControlState) {
  return state.workers().map((worker) => {
    const { slot, stripe, pid, engine, restarts } = worker;
    const base = {
      worker: slot,
      state: worker.state,
      pid: pid === 0 ? null : pid,
      engine,
      startedAt: timeText(worker.startedAt),
      restarts,
    };
    if (stripe < 0) return base;
    const row = state.tally.stripe(stripe);
    return {
      ...base,
      stripe,
      epoch: row.epoch,
      busyRatio: row.busyRatio,
      heapUsedBytes: row.heapUsedBytes,
      buffersFree: row.blocksFree,
      enters: row.enters,
      completions: row.completions,
      overflows: row.overflows,
    };
  });
}

function sum(numbers: readonly number[]): number {
  let total = 0;
  for (const number of numbers) total += number;
  return total;
}
