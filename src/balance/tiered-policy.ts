/**
 * TieredPolicy: what every policy does besides choosing. It asks the tiers in turn, and for the endpoint to be avoided last.
 *
 * Order: an endpoint in the zone, an ordinary one, a backup, and only then the one that just failed: an answer of a backup is worth more than a second failure.
 */
import { NONE, type Policy, type PoolView, type Suspects } from './policy.ts';
import { mix, type Tier } from './tier.ts';
import { Tiers } from './tiers.ts';

/** Makes the question whether a request stays in its zone another one than which endpoint it gets. */
const ZONE_SALT = 0x7a6f6e65;

export abstract class TieredPolicy implements Policy {
  protected readonly view: PoolView;
  protected readonly tiers: Tiers;
  /** Whether a request stays in its zone is decided by the key, so that a key that stays keeps staying. */
  private readonly isKeyed: boolean;

  constructor(view: PoolView, isKeyed = false) {
    this.view = view;
    this.tiers = new Tiers(view);
    this.isKeyed = isKeyed;
  }

  pick(key: number, random: number, avoid: number): number {
    const { tiers } = this;
    if (tiers.freshen()) this.onRefresh();
    const { near, ordinary, backups } = tiers;
    if (near.count > 0 && mix((this.isKeyed ? key : random) ^ ZONE_SALT) >>> 0 < tiers.staysBelow) {
      const place = this.choose(near, key, random | 0, avoid === NONE ? NONE : near.placeOf(avoid));
      if (place !== NONE) return near.slots[place]!;
    }
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

  pickAmong(random: number, suspects: Suspects): number {
    const { tiers } = this;
    if (tiers.freshen()) this.onRefresh();
    const { near, ordinary, backups } = tiers;
    let slot = this.amongTier(near, random, suspects);
    if (slot === NONE) slot = this.amongTier(ordinary, random, suspects);
    return slot === NONE ? this.amongTier(backups, random, suspects) : slot;
  }

  /** Where in a tier of so many pickAmong() begins to look. */
  protected firstPlace(random: number, count: number): number {
    return (random >>> 0) % count;
  }

  private amongTier(tier: Tier, random: number, suspects: Suspects): number {
    const { count, slots } = tier;
    if (count === 0) return NONE;
    let place = this.firstPlace(random, count);
    for (let left = count; left > 0; left--) {
      const slot = slots[place]!;
      if (!tier.isFull(place) && !suspects.isSuspect(slot)) return slot;
      if (++place === count) place = 0;
    }
    return NONE;
  }

  /** Place in a tier that is not empty, or NONE. `random` is 32 bits, signed; `avoid` is a place that must not be chosen, or NONE. Allocates nothing. */
  protected abstract choose(tier: Tier, key: number, random: number, avoid: number): number;

  /** Called after the tiers were made anew, for what a policy derives from them. May take its time, may not allocate unless weights were changed. */
  protected onRefresh(): void {}

  private lastResort(avoid: number): number {
    const { near, ordinary, backups } = this.tiers;
    let tier = ordinary;
    let place = ordinary.placeOf(avoid);
    if (place === NONE) {
      // A subset of the zone may hold endpoints that the subset of all does not.
      tier = near;
      place = near.placeOf(avoid);
    }
    if (place === NONE) {
      tier = backups;
      place = backups.placeOf(avoid);
    }
    return place !== NONE && !tier.isFull(place) ? avoid : NONE;
  }
}
