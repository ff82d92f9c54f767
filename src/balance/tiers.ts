/**
 * Tiers: what every policy does besides choosing. Keeps the tiers fresh, turns to the backups, and to the endpoint to be avoided last.
 *
 * Order: an ordinary endpoint, a backup, and only then the one that just failed: an answer of a backup is worth more than a second failure.
 */
import { type Algorithm, NONE, type Policy, type PoolView } from './policy.ts';
import { Tier } from './tier.ts';

export abstract class TieredPolicy implements Policy {
  abstract readonly algorithm: Algorithm;
  protected readonly view: PoolView;
  protected readonly ordinary: Tier;
  protected readonly backups: Tier;
  /** Version of the table the tiers were made from. */
  private version = 0;
  private isMade = false;

  constructor(view: PoolView) {
    this.view = view;
    this.ordinary = new Tier(view.table, view.slots.length);
    this.backups = new Tier(view.table, view.slots.length);
  }

  pick(key: number, random: number, avoid: number): number {
    // The version is read before what it announces: a change that comes in between is seen at the next pick.
    const version = this.view.table.version();
    if (version !== this.version || !this.isMade) {
      this.version = version;
      this.isMade = true;
      this.refresh();
    }
    const { ordinary, backups } = this;
    if (ordinary.count > 0) {
      const place = this.choose(ordinary, key, random | 0, avoid === NONE ? NONE : ordinary.placeOf(avoid));
      if (place !== NONE) return ordinary.slots[place]!;
    }
    if (backups.count > 0) {
      const place = this.choose(backups, key, random | 0, avoid === NONE ? NONE : backups.placeOf(avoid));
      if (place !== NONE) return backups.slots[place]!;
    }
    return avoid === NONE ? NONE : this.lastResort(avoid);
  }

  /** Place in a tier that is not empty, or NONE. `random` is 32 bits, signed; `avoid` is a place that must not be chosen, or NONE. Allocates nothing. */
  protected abstract choose(tier: Tier, key: number, random: number, avoid: number): number;

  /** Called after the tiers were made anew, for what a policy derives from them. May take its time, may not allocate. */
  protected onRefresh(): void {}

  private refresh(): void {
    const { ordinary, backups } = this;
    const { slots, weights, backup, requestsMax, table } = this.view;
    ordinary.clear();
    backups.clear();
    for (let i = 0; i < slots.length; i++) {
      const slot = slots[i]!;
      const weight = weights[i]! * table.weightPercent(slot);
      if (weight === 0 || !table.isReady(slot)) continue;
      (backup[i] === 0 ? ordinary : backups).add(i, slot, weight, requestsMax[i]!);
    }
    this.onRefresh();
  }

  private lastResort(avoid: number): number {
    const tier = this.ordinary.placeOf(avoid) === NONE ? this.backups : this.ordinary;
    const place = tier.placeOf(avoid);
    return place !== NONE && !tier.isFull(place) ? avoid : NONE;
  }
}
