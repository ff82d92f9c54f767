/** Candidates: the endpoints of a pool, what state each is in, and whether it may be given a request now. */
import type { Tier, Tiers } from '../../balance/balance.ts';
import { health, type TableReader } from '../../state/doors.ts';
import type { EndpointPlan, PoolPlan } from '../../state/plan.ts';
import { endpointState, endpointStateNames, stateNow } from '../../state/table.ts';

export interface Candidate {
  endpoint: string;
  state: string;
  /** Why it is in its state, or why it gets nothing although it is ready, or null. */
  why: string | null;
  isUsable: boolean;
  isBackup: boolean;
  zone: string | null;
  /** Configured weight times the share set at run time times the ramp. */
  weight: number;
  /** Slow start: share of its weight that counts, relative to the furthest of its tier; 1 = all. */
  ramp: number;
  inFlight: number;
  /** null: no limit. */
  requestsMax: number | null;
  responseMs: number;
  /** What the policy compares: load after the request, for its weight. null: this policy does not. */
  score: number | null;
  /** Share of all random numbers that pick it as things stand, 0..1; null: chance does not decide. */
  share: number | null;
}

/** `tiers`: of this pool, fresh. `why`: reason of a slot's state. */
export function candidatesOf(
  pool: PoolPlan,
  table: TableReader,
  tiers: Tiers,
  why: (slot: number) => string | null,
): Candidate[] {
  return pool.endpoints.map((endpoint) => candidateOf(endpoint, pool, table, tiers, why));
}

function candidateOf(
  { slot, address, backup, zone, requestsMax, weight, resolved }: EndpointPlan,
  pool: PoolPlan,
  table: TableReader,
  tiers: Tiers,
  why: (slot: number) => string | null,
): Candidate {
  const base = { endpoint: address, isBackup: backup, zone, requestsMax: requestsMax || null, score: null, share: null };
  if (slot < 0 || resolved === null) {
    const what = slot < 0 ? 'it has no slot in the state table' : 'its name has no address';
    return { ...base, state: 'down', why: what, isUsable: false, weight, ramp: 1, inFlight: 0, responseMs: 0 };
  }
  const inFlight = table.inFlight(slot);
  const isFull = requestsMax !== 0 && inFlight >= requestsMax;
  const state = stateNow(table, slot, pool.health.slowStartMs);
  const tier = tierOf(slot, tiers);
  const ramp = tier === null ? 1 : tier.ramps[tier.placeOf(slot)]! / 100;
  const configured = (weight * table.weightPercent(slot)) / 100;
  const isFit = state === endpointState.ready || state === endpointState.slowStart;
  const isUnused = isFit && configured !== 0 && tier === null;
  const reasons = [
    isFull ? 'full' : '',
    configured === 0 ? 'weight 0' : '',
    tier !== null && !isFit ? 'used in the panic' : '',
    isUnused ? idleReason(slot, pool, table, backup) : '',
    why(slot) ?? (table.health(slot) === health.unknown && !isUnused ? 'not checked yet' : ''),
  ].filter((reason) => reason !== '');
  return {
    ...base,
    state: endpointStateNames[state]!,
    why: reasons.length === 0 ? null : reasons.join('; '),
    isUsable: tier !== null && !isFull,
    weight: configured * ramp,
    ramp,
    inFlight,
    responseMs: table.latencyMs(slot),
  };
}

/** Where an endpoint may be picked: the tier of the zone, all ordinary ones, the backups; null: nowhere. */
function tierOf(slot: number, { near, ordinary, backups }: Tiers): Tier | null {
  return [ordinary, near, backups].find((tier) => tier.placeOf(slot) >= 0) ?? null;
}

/** Why a ready endpoint that weighs something is in no tier. */
function idleReason(slot: number, { balance }: PoolPlan, table: TableReader, isBackup: boolean): string {
  if (table.health(slot) === health.unknown)
    return `not checked yet, and other ${isBackup ? 'backups' : 'endpoints'} are known to be up`;
  return `not among the ${balance.subset} that this node uses`;
}
