/**
 * least-requests: the endpoint with the fewest requests in flight for its weight, over all workers. Best when requests differ much in cost
 * and the pool is small enough to look at all of it; beware of an endpoint that fails fast, it always looks idle.
 *
 * Load is (in flight + d) / weight with d drawn evenly from (0, 1], for the reason given in power-of-two.ts. Among those that are equally loaded for their weight
 * chance decides, by weight: many idle endpoints get their shares, and no place in the list is favoured.
 */
import { fmix32 } from '../base/hash.ts';
import type { TableReader } from '../state/doors.ts';
import { NONE, type PoolView } from './policy.ts';
import { FRACTION, type Tier } from './tier.ts';
import { TieredPolicy } from './tiers.ts';

/** In the scratch: cannot be chosen. */
const UNUSABLE = -1;

export class LeastRequestsPolicy extends TieredPolicy {
  readonly algorithm = 'least-requests';
  private readonly table: TableReader;
  /** In flight, by place; filled and used within one call. */
  private readonly loads: Int32Array;

  constructor(view: PoolView) {
    super(view);
    this.table = view.table;
    this.loads = new Int32Array(view.slots.length);
  }

  protected choose(tier: Tier, _key: number, random: number, avoid: number): number {
    const { loads, table } = this;
    const { count, slots, weights, limits } = tier;
    const dither = (fmix32(random) + 1) * FRACTION;
    let best = NONE;
    let bestLoad = 0;
    for (let i = 0; i < count; i++) {
      const load = table.inFlight(slots[i]!);
      if (i === avoid || (limits[i] !== 0 && load >= limits[i]!)) {
        loads[i] = UNUSABLE;
        continue;
      }
      loads[i] = load;
      const relative = (load + dither) / weights[i]!;
      if (best === NONE || relative < bestLoad) {
        best = i;
        bestLoad = relative;
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
    let at = random * FRACTION * total;
    for (let i = 0; i < count; i++) {
      if (loads[i]! * weight !== load * weights[i]!) continue;
      at -= weights[i]!;
      if (at < 0) return i;
    }
    return best;
  }
}
