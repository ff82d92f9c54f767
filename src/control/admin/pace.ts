/**
 * Pace: what the last ten seconds brought, from snapshots of counters: requests a second, how evenly a pool's load is spread, and what went wrong
 * lately. Counters since the start say nothing of now.
 */
import { stickyResult } from '../../state/doors.ts';
import type { Plan, PoolPlan } from '../../state/plan.ts';
import type { Tally } from '../../state/table.ts';

/** Time between two snapshots, and how many are kept: the pace is that of the last 7.5 to 10 s. */
export const PACE_LOOK_MS = 2500;
const KEPT = 4;
/** Over less than this a pace is chance. */
const PACE_MS_MIN = 1000;

/** Counters of a pool that tell something when they grow. */
interface PoolGrowth {
  retries: number;
  budgetExhausted: number;
  queueTimeouts: number;
  breakerRefused: number;
  stickyLost: number;
  fallback: number;
}

type PaceTable = Pick<Tally, 'nowMs' | 'requests' | 'pool' | 'isReady' | 'weightPercent'>;

interface Snapshot {
  /** Shared-clock ms. */
  readonly at: number;
  /** Requests begun, by slot; NaN: not known. */
  readonly requests: Float64Array;
  /** By pool id. */
  readonly pools: ReadonlyMap<number, PoolGrowth>;
}

export class Pace {
  private readonly tally: PaceTable;
  private readonly plan: () => Plan | null;
  private readonly snapshots: Snapshot[] = [];

  constructor(tally: PaceTable, plan: () => Plan | null) {
    this.tally = tally;
    this.plan = plan;
  }

  /** Takes a snapshot. Called every PACE_LOOK_MS. */
  look(): void {
    const oldest = this.snapshots.length === KEPT ? this.snapshots.shift()! : null;
    this.snapshots.push(this.take(oldest?.requests ?? null));
  }

  /** Requests a second given to an endpoint; null until it can be told. */
  requestsPerSecond(slot: number): number | null {
    const since = this.snapshots[0];
    const before = since?.requests[slot] ?? Number.NaN;
    if (since === undefined || Number.isNaN(before)) return null;
    const ms = this.tally.nowMs() - since.at;
    return ms >= PACE_MS_MIN ? Math.max(0, this.tally.requests(slot) - before) / (ms / 1000) : null;
  }

  /**
   * Load of the busiest endpoint over the mean, each by its weight: 1 is even. Over the ordinary endpoints that take requests now. 0: they got
   * no requests.
   */
  imbalance(pool: PoolPlan): number {
    const { tally } = this;
    const since = this.snapshots[0];
    if (since === undefined) return 0;
    let [requests, weights, busiest] = [0, 0, 0];
    for (const { slot, weight, backup } of pool.endpoints) {
      const before = since.requests[slot] ?? Number.NaN;
      if (backup || Number.isNaN(before) || !tally.isReady(slot)) continue;
      const itsWeight = (weight * tally.weightPercent(slot)) / 100;
      if (itsWeight === 0) continue;
      const its = Math.max(0, tally.requests(slot) - before);
      requests += its;
      weights += itsWeight;
      busiest = Math.max(busiest, its / itsWeight);
    }
    return requests === 0 ? 0 : busiest / (requests / weights);
  }

  /** By how much each grew lately. */
  lately(poolId: number): PoolGrowth {
    const before = this.snapshots[0]?.pools.get(poolId);
    const now = countsOf(this.tally, poolId);
    // What is new has no before: what it counted so far is not known to be recent.
    if (before === undefined) return differences(now, now);
    return differences(now, before);
  }

  /** `used`: room of a snapshot that is not needed any more. */
  private take(used: Float64Array | null): Snapshot {
    const pools = new Map<number, PoolGrowth>();
    let slots = 0;
    for (const pool of this.plan()?.pools ?? []) {
      pools.set(pool.id, countsOf(this.tally, pool.id));
      for (const { slot } of pool.endpoints) slots = Math.max(slots, slot + 1);
    }
    const requests = used !== null && used.length >= slots ? used : new Float64Array(slots);
    requests.fill(Number.NaN);
    for (const pool of this.plan()?.pools ?? [])
      for (const { slot } of pool.endpoints) if (slot >= 0) requests[slot] = this.tally.requests(slot);
    return { at: this.tally.nowMs(), requests, pools };
  }
}

function countsOf(tally: PaceTable, poolId: number): PoolGrowth {
  const row = tally.pool(poolId);
  return {
    retries: row.retries.reduce((sum, count) => sum + count, 0),
    budgetExhausted: row.budgetExhausted,
    queueTimeouts: row.queueTimeouts,
    breakerRefused: row.breakerOpen,
    stickyLost: row.sticky[stickyResult.lost]!,
    fallback: row.fallback,
  };
}

function differences(now: PoolGrowth, before: PoolGrowth): PoolGrowth {
  return {
    retries: now.retries - before.retries,
    budgetExhausted: now.budgetExhausted - before.budgetExhausted,
    queueTimeouts: now.queueTimeouts - before.queueTimeouts,
    breakerRefused: now.breakerRefused - before.breakerRefused,
    stickyLost: now.stickyLost - before.stickyLost,
    fallback: now.fallback - before.fallback,
  };
}
