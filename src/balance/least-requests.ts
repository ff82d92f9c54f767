/**
 * least-requests: the endpoint with the fewest requests in flight for its weight, over all workers. Best when requests differ much in cost
 * and the pool is small enough to look at all of it; beware of an endpoint that fails fast, it always looks idle.
 *
 * Load is (in flight + d) / weight with d drawn evenly from (0, 1], for the reason given in power-of-two.ts. Among those that are equally loaded for their weight
 * chance decides, by weight: many idle endpoints get their shares, and no place in the list is favoured.
 */
import type { TableReader } from '../state/doors.ts';
import { NONE, type PoolView } from './policy.ts';
import { FRACTION, mix, type Tier } from './tier.ts';
import { TieredPolicy } from './tiered-policy.ts';

/** In the scratch: cannot be chosen. Above every load. */
const UNUSABLE = 2 ** 31 - 1;

export class LeastRequestsPolicy extends TieredPolicy {
  readonly algorithm = 'least-requests';
  private readonly table: TableReader;
  /** In flight, by place; filled and used within one call. */
  private readonly loads: Int32Array;
  /** Places that share the least load; the same. */
  private readonly ties: Int32Array;

  constructor(view: PoolView) {
    super(view);
    this.table = view.table;
    this.loads = new Int32Array(view.slots.length);
    this.ties = new Int32Array(view.slots.length);
  }

  protected choose(tier: Tier, _key: number, random: number, avoid: number): number {
    const { loads } = this;
    this.table.inFlightOf(tier.slots, tier.count, loads);
    if (tier.isLimited) {
      const { count, limits } = tier;
      for (let i = 0; i < count; i++) if (limits[i] !== 0 && loads[i]! >= limits[i]!) loads[i] = UNUSABLE;
    }
    if (avoid !== NONE) loads[avoid] = UNUSABLE;
    return tier.isEven ? this.amongEven(tier.count, random) : this.byWeight(tier, random);
  }

  private amongEven(count: number, random: number): number {
    const { loads } = this;
    // Both loops without a branch to mispredict: loads are as good as random.
    let least = UNUSABLE;
    for (let i = 0; i < count; i++) least = Math.min(least, loads[i]!);
    if (least === UNUSABLE) return NONE;
    const { ties } = this;
    let many = 0;
    for (let i = 0; i < count; i++) {
      ties[many] = i;
      many += loads[i] === least ? 1 : 0;
    }
    return ties[((random >>> 0) * FRACTION * many) | 0]!;
  }

  private byWeight(tier: Tier, random: number): number {
    const { loads } = this;
    const { count, inverses } = tier;
    const dither = ((mix(random) >>> 0) + 1) * FRACTION;
    let best = NONE;
    let least = Number.POSITIVE_INFINITY;
    for (let i = 0; i < count; i++) {
      const load = loads[i]!;
      if (load === UNUSABLE) continue;
      const relative = (load + dither) * inverses[i]!;
      if (relative < least) {
        best = i;
        least = relative;
      }
    }
    return best === NONE ? NONE : this.amongEqual(tier, best, random);
  }

  private amongEqual(tier: Tier, best: number, random: number): number {
    const { loads } = this;
    const { count, weights } = tier;
    const load = loads[best]!;
    const weight = weights[best]!;
    let total = 0;
    for (let i = 0; i < count; i++) if (loads[i]! * weight === load * weights[i]!) total += weights[i]!;
    if (total === weight) return best;
    let at = (random >>> 0) * FRACTION * total;
    for (let i = 0; i < count; i++) {
      if (loads[i]! * weight !== load * weights[i]!) continue;
      at -= weights[i]!;
      if (at < 0) return i;
    }
    return best;
  }
}
