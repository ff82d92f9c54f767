/**
 * Choice: who in a pool could take a request, and whom the pool's policy picks. The policy is the data plane's own, on the same table; only a
 * record is kept of whom it looked at.
 */
import { hashing, NONE, type NodePlace, policyOf, tiersOf } from '../../balance/balance.ts';
import { admin, type TableReader } from '../../state/doors.ts';
import type { BalanceAlgorithm, PoolPlan } from '../../state/plan.ts';
import { type Candidate, candidatesOf } from './candidates.ts';

/** Picks tried to find each candidate's share: with as many, chance is not seen in whole percents. Of a large pool fewer, so that it takes some 10 ms at most. */
const SHARE_PICKS = 65_536;
const SHARE_LOOKS = 2 ** 22;
/** In larger pools a share says nothing any more. */
const SHARE_ENDPOINTS_MAX = 512;
/** 2^32 divided by the golden ratio: multiples of it fill the numbers evenly. */
const GOLDEN = 0x9e3779b9;

export interface Choice {
  candidates: Candidate[];
  /** Address of the pick; null: nobody can take it. */
  pick: string | null;
  /** Where a hashing policy places the request; null: the policy does not. */
  key: number | null;
  random: number;
  /** Endpoints whose load the policy asked for, when it did not ask for all. */
  lookedAt: string[];
  /** So few are ready that health is ignored; null: no panic. */
  panic: { ready: number; of: number; threshold: number } | null;
  /** The zone is preferred: how many are in it and may be picked, and what share of requests stays there while they are not full. null: none is. */
  zone: { name: string; usable: number; stays: number } | null;
  /** Of a large pool only so many are used; null: all. */
  subset: { size: number; of: number } | null;
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
  const { algorithm, zone, subset } = pool.balance;
  const slot = policyOf(pool, watched(table, asked), at).pick(key ?? 0, random | 0, NONE);
  const addressOf = (wanted: number): string => pool.endpoints.find((e) => e.slot === wanted)?.address ?? '';
  const shares = drawing.includes(algorithm) && pool.endpoints.length <= SHARE_ENDPOINTS_MAX ? sharesOf(pool, table, at) : null;
  const tiers = tiersOf(pool, table, at);
  const ordinary = pool.endpoints.filter((e) => !e.backup && e.slot >= 0);
  const candidates = candidatesOf(pool, table, tiers, why).map((candidate, i): Candidate => {
    if (!candidate.isUsable) return { ...candidate, share: shares === null ? null : 0 };
    const score = comparing.includes(algorithm) ? (candidate.inFlight + 1) / candidate.weight : null;
    return { ...candidate, score, share: shares === null ? null : (shares.get(pool.endpoints[i]!.slot) ?? 0) };
  });
  const wanted = ordinary.filter((e) => table.admin(e.slot) === admin.ready);
  return {
    candidates,
    pick: slot === NONE ? null : addressOf(slot),
    key,
    random,
    lookedAt: asked.size < candidates.filter(({ isUsable }) => isUsable).length ? [...asked].map(addressOf) : [],
    panic: tiers.isPanicking
      ? { ready: wanted.filter((e) => table.isReady(e.slot)).length, of: wanted.length, threshold: pool.health.panicThreshold }
      : null,
    zone:
      zone === null || at.zone === null ? null : { name: at.zone, usable: tiers.near.count, stays: tiers.staysBelow / 2 ** 32 },
    subset:
      subset === 0 || hashing.includes(algorithm) || subset >= ordinary.length ? null : { size: subset, of: ordinary.length },
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
  copy.fewestOf = (slots, starts, runs, lots, from, flip, out) => {
    for (let i = 0; i < starts[runs]!; i++) asked.add(slots[i]!);
    return table.fewestOf(slots, starts, runs, lots, from, flip, out);
  };
  return copy;
}

/** What part of all picks each slot gets. */
function sharesOf(pool: PoolPlan, table: TableReader, at: NodePlace): Map<number, number> {
  const policy = policyOf(pool, table, at);
  const picks = Math.min(SHARE_PICKS, Math.ceil(SHARE_LOOKS / pool.endpoints.length));
  const shares = new Map<number, number>();
  for (let i = 0; i < picks; i++) {
    const slot = policy.pick(0, Math.imul(i, GOLDEN), NONE);
    shares.set(slot, (shares.get(slot) ?? 0) + 1 / picks);
  }
  return shares;
}
