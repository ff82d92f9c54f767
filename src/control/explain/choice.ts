/**
 * Choice: who in a pool could take a request, and whom the pool's policy picks. The policy is the data plane's own, on the same table; only a
 * record is kept of whom it looked at.
 */
import { NONE, type NodePlace, policyOf } from '../../balance/balance.ts';
import { health, type TableReader } from '../../state/doors.ts';
import type { BalanceAlgorithm, EndpointPlan, PoolPlan } from '../../state/plan.ts';
import { endpointStateNames, stateOf } from '../../state/table.ts';

/** Picks tried to find each candidate's share. */
const SHARE_PICKS = 1024;
/** In larger pools a share says nothing any more. */
const SHARE_ENDPOINTS_MAX = 512;
/** 2^32 divided by the golden ratio: multiples of it fill the numbers evenly. */
const GOLDEN = 0x9e3779b9;

export interface Candidate {
  endpoint: string;
  state: string;
  /** Why it is in its state, or null. */
  why: string | null;
  isUsable: boolean;
  isBackup: boolean;
  zone: string | null;
  /** Configured weight times the share set at run time. */
  weight: number;
  inFlight: number;
  /** null: no limit. */
  requestsMax: number | null;
  responseMs: number;
  /** What the policy compares: load after the request, for its weight. null: this policy does not. */
  score: number | null;
  /** Share of all random numbers that pick it as things stand, 0..1; null: chance does not decide. */
  share: number | null;
}

export interface Choice {
  candidates: Candidate[];
  /** Address of the pick; null: nobody can take it. */
  pick: string | null;
  /** Where a hashing policy places the request; null: the policy does not. */
  key: number | null;
  random: number;
  /** Endpoints whose load the policy asked for, when it did not ask for all. */
  lookedAt: string[];
}

const comparing: readonly BalanceAlgorithm[] = ['power-of-two', 'least-requests'];
const drawing: readonly BalanceAlgorithm[] = ['power-of-two', 'least-requests', 'least-time', 'random'];

/** `at`: the node that chooses. `key`: what a hashing policy places by, null when the pool has none. `random`: unsigned 32 bits. `why`: reason of a slot's state. */
export function choose(
  pool: PoolPlan,
  table: TableReader,
  at: NodePlace,
  key: number | null,
  random: number,
  why: (slot: number) => string | null,
): Choice {
  const asked = new Set<number>();
  const { algorithm } = pool.balance;
  const slot = policyOf(pool, watched(table, asked), at).pick(key ?? 0, random | 0, NONE);
  const addressOf = (wanted: number): string => pool.endpoints.find((e) => e.slot === wanted)?.address ?? '';
  const shares = drawing.includes(algorithm) && pool.endpoints.length <= SHARE_ENDPOINTS_MAX ? sharesOf(pool, table, at) : null;
  const candidates = pool.endpoints.map((endpoint): Candidate => {
    const candidate = candidateOf(endpoint, table, why);
    if (!candidate.isUsable) return { ...candidate, share: shares === null ? null : 0 };
    const score = comparing.includes(algorithm) ? (candidate.inFlight + 1) / candidate.weight : null;
    return { ...candidate, score, share: shares === null ? null : (shares.get(endpoint.slot) ?? 0) / SHARE_PICKS };
  });
  const lookedAt = asked.size < candidates.filter(({ isUsable }) => isUsable).length ? [...asked].map(addressOf) : [];
  return { candidates, pick: slot === NONE ? null : addressOf(slot), key, random, lookedAt };
}

function candidateOf(endpoint: EndpointPlan, table: TableReader, why: (slot: number) => string | null): Candidate {
  const { slot, address, backup, zone, requestsMax } = endpoint;
  const base = { endpoint: address, isBackup: backup, zone, requestsMax: requestsMax || null, score: null, share: null };
  if (slot < 0 || endpoint.resolved === null) {
    const what = slot < 0 ? 'it has no slot in the state table' : 'its name has no address';
    return { ...base, state: 'down', why: what, isUsable: false, weight: endpoint.weight, inFlight: 0, responseMs: 0 };
  }
  const weight = (endpoint.weight * table.weightPercent(slot)) / 100;
  const inFlight = table.inFlight(slot);
  const isFull = requestsMax !== 0 && inFlight >= requestsMax;
  const reason = isFull ? 'full' : weight === 0 ? 'weight 0' : null;
  return {
    ...base,
    state: endpointStateNames[stateOf(table.health(slot), table.admin(slot), table.isEjected(slot))]!,
    why: reason ?? why(slot) ?? (table.health(slot) === health.unknown ? 'not checked yet' : null),
    isUsable: table.isReady(slot) && reason === null,
    weight,
    inFlight,
    responseMs: table.latencyMs(slot),
  };
}

/** The table, with a note of each slot whose load is asked for. */
function watched(table: TableReader, asked: Set<number>): TableReader {
  const copy = Object.create(table) as { -readonly [key in keyof TableReader]: TableReader[key] };
  copy.inFlight = (slot) => {
    asked.add(slot);
    return table.inFlight(slot);
  };
  copy.inFlightOf = (slots, count, out) => {
    for (let i = 0; i < count; i++) asked.add(slots[i]!);
    table.inFlightOf(slots, count, out);
  };
  return copy;
}

/** How many of SHARE_PICKS picks each slot gets. */
function sharesOf(pool: PoolPlan, table: TableReader, at: NodePlace): Map<number, number> {
  const policy = policyOf(pool, table, at);
  const counts = new Map<number, number>();
  for (let i = 0; i < SHARE_PICKS; i++) {
    const slot = policy.pick(0, Math.imul(i, GOLDEN), NONE);
    counts.set(slot, (counts.get(slot) ?? 0) + 1);
  }
  return counts;
}
