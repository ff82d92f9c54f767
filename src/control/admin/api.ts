/** The objects of /api/v1: what is in force and how it is doing. Times RFC 3339, durations in seconds, sizes in bytes. */
import { release } from 'node:os';
import { isPanicking, rampOf } from '../../balance/balance.ts';
import { sharedClockOffsetMs } from '../../base/shared-clock.ts';
import { addressText } from '../../base/wire.ts';
import { health, stickyResultNames } from '../../state/doors.ts';
import type { EndpointPlan, PoolPlan } from '../../state/plan.ts';
import { endpointState, endpointStateNames, stateNow, type Tally } from '../../state/table.ts';
import type { PoolTally } from '../../state/tally.ts';
import type { ControlState } from './control-state.ts';
import type { Pace } from './pace.ts';
import { troublesOf } from './troubles.ts';

function timeText(ms: number): string | null {
  return ms > 0 ? new Date(ms).toISOString() : null;
}

/** What the objects are made of. */
export interface View {
  readonly state: ControlState;
  readonly pace: Pace;
}

/** The process's state as a whole. */
export function statusOf(view: View) {
  const { state } = view;
  const plan = state.plan();
  const { tally } = state;
  const counts = tally.counts();
  const workers = state.workers();
  const notReady = state.readyChecks().filter((check) => !check.isOk);
  const pools = (plan?.pools ?? []).map((pool) => poolOf(view, pool));
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
    listeners: (plan?.listeners ?? []).map(({ name, addresses, protocol, tls }) => ({
      name,
      protocol,
      isInTls: tls !== null,
      addresses: addresses.map(addressText),
    })),
    totals: {
      requests: sum(counts.requests.map((row) => row.count)),
      faults: sum(counts.faults.map((row) => row.count)),
      inFlight: sum(counts.inFlight.map((row) => row.count)),
      connections,
    },
    troubles: troublesOf(state, pools),
  };
}

export type PoolRow = ReturnType<typeof poolOf>;
export type EndpointRow = ReturnType<typeof endpointOf>;

export function poolOf(view: View, pool: PoolPlan) {
  const { state, pace } = view;
  const { tally } = state;
  const endpoints = pool.endpoints.map((endpoint) => endpointOf(view, pool, endpoint));
  const row = tally.pool(pool.id);
  const states = Object.fromEntries(
    endpointStateNames.map((name) => [name, endpoints.filter(({ status }) => status.state === name).length]),
  );
  const { active, passive } = pool.health;
  return {
    name: pool.name,
    origin: 'file',
    source: pool.source,
    policy: pool.balance.algorithm,
    protocol: pool.protocol,
    isChecked: active !== null,
    isJudgedByTraffic: passive !== null && !passive.isShadow,
    states,
    takesRequests: endpoints.filter(({ takesRequests }) => takesRequests).length,
    isPanicking: isPoolPanicking(tally, pool),
    inFlight: sum(endpoints.map((endpoint) => endpoint.inFlight)),
    requests: sum(endpoints.map((endpoint) => endpoint.requests)),
    requestsPerSecond: round(sum(endpoints.map((endpoint) => endpoint.requestsPerSecond ?? 0))),
    imbalance: round(pace.imbalance(pool)),
    retries: sum(row.retries),
    retry: { inFlight: row.retriesNow, budgetExhausted: row.budgetExhausted },
    hedges: { started: row.hedges, won: row.hedgesWon },
    queue: { length: row.queue, timeouts: row.queueTimeouts },
    sticky: pool.sticky === null ? null : Object.fromEntries(stickyResultNames.map((name, i) => [name, row.sticky[i]!])),
    breaker: breakerOf(tally, pool, row),
    fallback: pool.fallback === null ? null : { pool: state.plan()?.pools[pool.fallback]?.name ?? null, requests: row.fallback },
    /** What grew in the last ten seconds. */
    lately: pace.lately(pool.id),
    endpoints,
  };
}

function breakerOf(tally: Tally, { id, endpoints, breaker }: PoolPlan, row: PoolTally) {
  if (breaker === null) return null;
  const slot = endpoints.find((endpoint) => endpoint.slot >= 0)?.slot;
  const limit = (now: number, max: number) => ({ now, max: max === 0 ? null : max });
  return {
    requests: limit(slot === undefined ? 0 : tally.poolInFlight(slot), breaker.requestsMax),
    pending: limit(tally.poolQueued(id), breaker.pendingMax),
    retries: limit(tally.poolRetries(id), breaker.retriesMax),
    isShadow: breaker.isShadow,
    refused: row.breakerOpen,
    wouldRefuse: row.breakerWould,
  };
}

/** Is the pool in panic: the question the workers ask, of the same table. */
export function isPoolPanicking(tally: Tally, pool: PoolPlan): boolean {
  const { panicThreshold } = pool.health;
  if (panicThreshold === 0) return false;
  const known = pool.endpoints.filter(({ slot }) => slot >= 0);
  const slots = Int32Array.from(known, ({ slot }) => slot);
  const backup = Uint8Array.from(known, (endpoint) => (endpoint.backup ? 1 : 0));
  return isPanicking(slots, backup, panicThreshold, tally);
}

export function endpointOf({ state, pace }: View, pool: PoolPlan, endpoint: EndpointPlan) {
  const { tally } = state;
  const { slot } = endpoint;
  const base = { address: endpoint.address, weight: endpoint.weight, isBackup: endpoint.backup, zone: endpoint.zone };
  if (slot < 0) {
    const evidence: readonly string[] = [];
    const status = { state: 'down', since: null, reason: 'it has no slot in the state table', evidence };
    const nothing = { takesRequests: false, ejection: null, drain: null, inFlight: 0, requests: 0, requestsPerSecond: null };
    return { ...base, status, ...nothing };
  }
  const { slowStartMs } = pool.health;
  const note = state.endpointNote(slot);
  const number = stateNow(tally, slot, slowStartMs);
  const isWarming = number === endpointState.slowStart;
  const reason = note?.why ?? defaultReason(number, tally.health(slot), pool);
  const evidence = note?.evidence ?? [];
  const readySince = tally.readySince(slot);
  const isFit = isWarming || number === endpointState.ready;
  const since = isFit && readySince > 0 ? wallMsOf(readySince) : (note?.since ?? 0);
  const weight = state.orders.weightNote(slot);
  const row = tally.slot(slot);
  const [none, ...classes] = row.classes;
  const perSecond = pace.requestsPerSecond(slot);
  const ejection = note?.ejection ?? null;
  return {
    ...base,
    weightPercent: tally.weightPercent(slot),
    weightStatus: weight === null ? null : { since: timeText(weight.since), reason: weight.why },
    requestsMax: endpoint.requestsMax === 0 ? null : endpoint.requestsMax,
    status: { state: endpointStateNames[number]!, since: timeText(since), reason, evidence },
    takesRequests: tally.isReady(slot) && endpoint.weight * tally.weightPercent(slot) > 0,
    /** Share of its weight that it has grown to; null: it does not start slowly. */
    slowStart: isWarming ? { share: round(rampOf(slot, slowStartMs, tally)) } : null,
    ejection: ejection === null ? null : { ...ejection, returnsAt: timeText(ejection.returnsAt ?? 0) },
    /** Id of its drain. */
    drain: state.drains.ofSlot(slot)?.id ?? null,
    inFlight: tally.inFlight(slot),
    tunnels: row.tunnels,
    requests: tally.requests(slot),
    requestsPerSecond: perSecond === null ? null : round(perSecond),
    responses: Object.fromEntries([...classes.map((count, i) => [`${i + 1}xx`, count] as const), ['none', none] as const]),
    faults: row.faults,
    timeouts: row.timeouts,
    gatewayErrors: row.gateway,
    failuresInARow: row.streak,
    responseSeconds: tally.latencyMs(slot) / 1000,
    connections: { idle: row.wiresIdle, busy: row.wiresBusy },
    checks: { passed: row.checksPassed, failed: row.checksFailed, notMade: row.checksNotMade },
  };
}

/** Shared-clock ms as ms since 1970: always the same for the same time, as far as this process knows. */
function wallMsOf(sharedMs: number): number {
  return performance.timeOrigin + sharedMs - sharedClockOffsetMs;
}

/** What can be said when nobody left a note. */
function defaultReason(number: number, itsHealth: number, pool: PoolPlan): string | null {
  switch (number) {
    case endpointState.ready:
    case endpointState.slowStart:
      if (pool.health.active === null) return 'not checked';
      return itsHealth === health.unknown ? 'not checked yet' : null;
    case endpointState.down:
      return 'health checks failed';
    case endpointState.ejected:
      return 'its answers to live requests';
    default:
      return 'set by an operator';
  }
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

/** Three digits are enough for eyes. */
function round(value: number): number {
  return Math.round(value * 1000) / 1000;
}
