/**
 * power-of-two: two different endpoints drawn by weight, the less loaded of them (Mitzenmacher, 2001). Nearly as good as looking at
 * all, at a cost that does not grow with the pool, and without the rush of all balancers to the same emptiest endpoint.
 *
 * Load is (in flight + d) / weight. With d = 1 it is the load after the request is placed, which starves light endpoints while few requests
 * are in flight; with d = 0 it is the load before, which favours them. d is drawn evenly from (0, 1], which keeps
 * the shares to the weights in between; with equal weights it changes nothing. Endpoints that are equally loaded for their weight
 * (both idle, most of the time) are a tie, and the one drawn first is taken: chance by weight, never by place.
 */
import type { TableReader } from '../state/doors.ts';
import { NONE, type PoolView } from './policy.ts';
import { FRACTION, mix, type Tier } from './tier.ts';
import { TieredPolicy } from './tiered-policy.ts';

export class PowerOfTwoPolicy extends TieredPolicy {
  private readonly table: TableReader;

  constructor(view: PoolView) {
    super(view);
    this.table = view.table;
  }

  protected choose(tier: Tier, _key: number, random: number, avoid: number): number {
    if (avoid !== NONE) return this.chooseUsable(tier, random, avoid);
    if (tier.count === 1) return tier.isFull(0) ? NONE : 0;
    const first = tier.draw(random, NONE);
    const random2 = mix(random);
    const second = tier.count === 2 ? 1 - first : tier.draw(random2, first);
    if (!tier.isLimited) return this.lighter(tier, first, second, random2);
    const isFirstFull = tier.isFull(first);
    if (tier.isFull(second)) return isFirstFull ? this.chooseUsable(tier, random2, NONE) : first;
    return isFirstFull ? second : this.lighter(tier, first, second, random2);
  }

  private chooseUsable(tier: Tier, random: number, avoid: number): number {
    const first = tier.drawUsable(random, avoid, NONE);
    if (first === NONE) return NONE;
    const random2 = mix(random);
    const second = tier.drawUsable(random2, avoid, first);
    return second === NONE ? first : this.lighter(tier, first, second, random2);
  }

  private lighter(tier: Tier, first: number, second: number, random: number): number {
    const loadFirst = this.table.inFlight(tier.slots[first]!);
    const loadSecond = this.table.inFlight(tier.slots[second]!);
    if (tier.isEven) return loadSecond < loadFirst ? second : first;
    const weightFirst = tier.weights[first]!;
    const weightSecond = tier.weights[second]!;
    if (loadFirst * weightSecond === loadSecond * weightFirst) return first;
    const dither = ((mix(random ^ DITHER) >>> 0) + 1) * FRACTION;
    return (loadSecond + dither) * weightFirst < (loadFirst + dither) * weightSecond ? second : first;
  }
}

/** Any number: makes the dither another one than the draw from the same random number. */
const DITHER = 0x5bd1e995;
