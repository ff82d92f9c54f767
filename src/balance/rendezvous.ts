/**
 * rendezvous: every endpoint bids for the key, the highest bid wins (Thaler and Ravishankar, 1998). Exact shares, and exactly the keys of a lost endpoint move,
 * without any table; the price is a look at every endpoint, so it is for small pools.
 *
 * The bid is -weight / ln(hash), hash a fraction that depends on key and endpoint (Schindelhauer and Schomaker, 2005): shares then are the weights. In slow start the
 * weight grows, and the bids with it: keys come home one by one, and no other key moves.
 */
import { assert } from '../base/assert.ts';
import type { TableReader } from '../state/doors.ts';
import { NONE, type PoolView } from './policy.ts';
import { FRACTION, mix, type Tier } from './tier.ts';
import { TieredPolicy } from './tiered-policy.ts';

export class RendezvousPolicy extends TieredPolicy {
  private readonly table: TableReader;
  private readonly hashes: Int32Array;
  private readonly boundedLoad: number;

  constructor(view: PoolView) {
    super(view, true);
    const { boundedLoad } = view;
    assert(boundedLoad === 0 || boundedLoad > 1, 'a bound of the load is above 1');
    this.table = view.table;
    this.hashes = view.hashes;
    this.boundedLoad = boundedLoad;
  }

  protected choose(tier: Tier, key: number, _random: number, avoid: number): number {
    const { hashes, table } = this;
    const { count, members, slots, weights } = tier;
    const mixed = mix(key);
    const bound = this.boundedLoad === 0 || count === 1 ? 0 : this.boundedLoad * (table.poolInFlight(slots[0]!) + 1);
    let best = NONE;
    let bestBid = 0;
    for (let i = 0; i < count; i++) {
      if (i === avoid || (tier.isLimited && tier.isFull(i))) continue;
      if (bound !== 0 && table.inFlight(slots[i]!) >= Math.ceil((bound * weights[i]!) / tier.total)) continue;
      // Between 0 and 1, neither reached.
      const fraction = ((mix(mixed ^ hashes[members[i]!]!) >>> 0) + 0.5) * FRACTION;
      const bid = -weights[i]! / Math.log(fraction);
      if (bid <= bestBid) continue;
      best = i;
      bestBid = bid;
    }
    return best;
  }
}
