/**
 * Hashed: what the policies that send a key always to the same endpoint have in common.
 *
 * Where keys live is laid out once, over all endpoints that weigh something, whether they are ready or not. When the home of a key cannot take it, the
 * key asks on along a sequence of its own, so that the keys of a lost endpoint spread over all others by weight, and no key that lives elsewhere moves;
 * when the endpoint is back, so are its keys. Only a change of weights lays the homes out anew. An endpoint in slow start takes those of its keys whose hash is below its ramp, the others ask
 * on: each comes home once.
 *
 * Two nodes with the same endpoints agree, because homes depend on nothing but addresses, weights and fixed seeds.
 */
import { assert } from '../base/assert.ts';
import { xxhash32 } from '../base/hash.ts';
import type { TableReader } from '../state/doors.ts';
import { NONE, type PoolView } from './policy.ts';
import { mix, type Tier } from './tier.ts';
import { TieredPolicy } from './tiered-policy.ts';

/** Shared by all nodes for good: another one would move every key. */
const ENDPOINT_SEED = 0x77656972;

/** What an endpoint is known by; off the hot path. */
export function endpointHash(address: string): number {
  const bytes = Buffer.from(address);
  return xxhash32(bytes, 0, bytes.length, ENDPOINT_SEED) | 0;
}

/** Where the keys of one tier live. */
export interface Homes {
  /** Lays them out. `members` are indexes of the pool view; weights in the same order, above 0. */
  layOut(members: readonly number[], hashes: readonly number[], weights: readonly number[]): void;
  /** Member to ask for a key; `attempt` 0, 1, 2 ... goes on to others. */
  member(key: number, attempt: number): number;
}

export abstract class HashedPolicy extends TieredPolicy {
  private readonly table: TableReader;
  private readonly boundedLoad: number;
  private readonly nearHomes: Homes;
  private readonly ordinaryHomes: Homes;
  private readonly backupHomes: Homes;
  private readonly hashes: Int32Array;
  /** By member: the weight that the homes were laid out with. */
  private readonly weights: Float64Array;

  constructor(view: PoolView, makeHomes: () => Homes) {
    super(view, true);
    const { boundedLoad } = view;
    assert(boundedLoad === 0 || boundedLoad > 1, 'a bound of the load is above 1');
    this.table = view.table;
    this.boundedLoad = boundedLoad;
    this.hashes = view.hashes;
    this.nearHomes = makeHomes();
    this.ordinaryHomes = makeHomes();
    this.backupHomes = makeHomes();
    this.weights = new Float64Array(view.slots.length).fill(-1);
    // Here and not at the first pick: it may take milliseconds.
    this.layOut();
  }

  protected override onRefresh(): void {
    this.layOut();
  }

  protected choose(tier: Tier, key: number, _random: number, avoid: number): number {
    const { near, ordinary } = this.tiers;
    const homes = tier === ordinary ? this.ordinaryHomes : tier === near ? this.nearHomes : this.backupHomes;
    const { places, isLimited, isWarming } = tier;
    const attempts = 2 * tier.count + ATTEMPTS_MORE;
    const bound =
      this.boundedLoad === 0 || tier.count === 1 ? 0 : this.boundedLoad * (this.table.poolInFlight(tier.slots[0]!) + 1);
    for (let attempt = 0; attempt < attempts; attempt++) {
      const member = homes.member(key | 0, attempt);
      const place = member === NONE ? NONE : places[member]!;
      if (place === NONE || place === avoid || (isLimited && tier.isFull(place))) continue;
      if (isWarming && !tier.accepts(place, mix(key) ^ this.hashes[member]!)) continue;
      if (bound !== 0 && this.table.inFlight(tier.slots[place]!) >= Math.ceil((bound * tier.weights[place]!) / tier.total))
        continue;
      return place;
    }
    // Nearly all are full, or the pool's load has moved meanwhile.
    return tier.drawUsable(mix(key), avoid, NONE);
  }

  private layOut(): void {
    const { slots, weights, table } = this.view;
    let isSame = true;
    for (let i = 0; i < slots.length; i++) {
      const weight = weights[i]! * table.weightPercent(slots[i]!);
      if (weight === this.weights[i]) continue;
      this.weights[i] = weight;
      isSame = false;
    }
    if (isSame) return;
    const { backup, near } = this.view;
    this.layOutIn(this.ordinaryHomes, (i) => backup[i] === 0);
    this.layOutIn(this.backupHomes, (i) => backup[i] !== 0);
    if (near) this.layOutIn(this.nearHomes, (i) => near[i] !== 0);
  }

  private layOutIn(homes: Homes, isIn: (member: number) => boolean): void {
    const members = [...this.hashes.keys()].filter((i) => this.weights[i]! > 0 && isIn(i));
    if (members.length === 0) return;
    homes.layOut(
      members,
      members.map((i) => this.hashes[i]!),
      members.map((i) => this.weights[i]!),
    );
  }
}

/** Attempts beyond twice the usable endpoints: enough that a key of a mostly lost pool finds one by its own sequence. */
const ATTEMPTS_MORE = 32;
