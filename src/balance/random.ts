/** random: by weight, whatever is going on. The measure of all others, and right where requests are many and alike. */
import { NONE } from './policy.ts';
import { mix, type Tier } from './tier.ts';
import { TieredPolicy } from './tiered-policy.ts';

export class RandomPolicy extends TieredPolicy {
  protected choose(tier: Tier, _key: number, random: number, avoid: number): number {
    if (avoid !== NONE && tier.count === 1) return NONE;
    const place = tier.draw(random, avoid);
    if (!tier.isLimited || !tier.isFull(place)) return place;
    return tier.drawUsable(mix(random), avoid, NONE);
  }
}
