/**
 * first: in the order of the configuration, each up to its limit. Keeps the last endpoints idle, so that they can be switched off; and a
 * primary with standbys. Weights do not matter, except that 0 takes nothing, and neither does slow start: who is first gets all.
 */
import { NONE } from './policy.ts';
import type { Tier } from './tier.ts';
import { TieredPolicy } from './tiered-policy.ts';

export class FirstPolicy extends TieredPolicy {
  protected override firstPlace(): number {
    return 0;
  }

  protected choose(tier: Tier, _key: number, _random: number, avoid: number): number {
    for (let place = 0; place < tier.count; place++) if (place !== avoid && !tier.isFull(place)) return place;
    return NONE;
  }
}
