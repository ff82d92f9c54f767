/**
 * Hashed: what the policies that send a key always to the same endpoint have in common.
 *
 * Where keys live is laid out once, over all endpoints that weigh something, whether they are ready or not. When the home of a key cannot take it, the
 * key asks on along a sequence of its own, so that the keys of a lost endpoint spread over all others by weight, and no key that lives elsewhere moves;
 * when the endpoint is back, so are its keys. Only a change of weights lays the homes out anew.
 *
 * Two nodes with the same endpoints agree, because homes depend on nothing but addresses, weights and fixed seeds.
 */
import { assert } from '../base/assert.ts';
import { xxhash32 } from '../base/hash.ts';
import type { TableReader } from '../state/doors.ts';
import { NONE, type PolicyOptions, type PoolView } from './policy.ts';
import { mix, type Tier } from './tier.ts';
import { TieredPolicy } from './tiers.ts';

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
  private readonly ordinaryHomes: Homes;
  private readonly backupHomes: Homes;
  private readonly hashes: Int32Array;
  /** By member: its place in its tier now, or NONE. */
  private readonly places: Int32Array;
  /** By member: the weight that the homes were laid out with. */
  private readonly weights: Float64Array;

  constructor(view: PoolView, options: PolicyOptions, makeHomes: () => Homes) {
    super(view);
    const { boundedLoad = 0 } = options;
    assert(view.hashes !== undefined, 'a hashing policy is told the hashes of its endpoints');
    assert(boundedLoad === 0 || boundedLoad > 1, 'a bound of the load is above 1');
    this.table = view.table;
    this.boundedLoad = boundedLoad;
    this.hashes = view.hashes;
    this.ordinaryHomes = makeHomes();
    this.backupHomes = makeHomes();
    this.places = new Int32Array(view.slots.length);
    this.weights = new Float64Array(view.slots.length).fill(-1);
    // Here and not at the first pick: it may take milliseconds.
    this.layOut();
  }

  protected override onRefresh(): void {
    this.layOut();
    const { places } = this;
    places.fill(NONE);
    for (const tier of [this.ordinary, this.backups])
      for (let place = 0; place < tier.count; place++) places[tier.members[place]!] = place;
  }

  protected choose(tier: Tier, key: number, _random: number, avoid: number): number {
    const homes = tier === this.ordinary ? this.ordinaryHomes : this.backupHomes;
    const { places } = this;
    const attempts = 2 * tier.count + ATTEMPTS_MORE;
    const bound =
      this.boundedLoad === 0 || tier.count === 1 ? 0 : this.boundedLoad * (this.table.poolInFlight(tier.slots[0]!) + 1);
    for (let attempt = 0; attempt < attempts; attempt++) {
      const place = places[homes.member(key | 0, attempt)]!;
      if (place === NONE || place === avoid || (tier.isLimited && tier.isFull(place))) continue;
      if (bound !== 0 && this.table.inFlight(tier.slots[place]!) >= Math.ceil((bound * tier.weights[place]!) / tier.total))
        continue;
      return place;
    }
    // Nearly all are full, or the pool's load has moved meanwhile.
    return tier.drawUsable(mix(key), avoid, NONE);
  }

  private layOut(): void {
    const { slots, weights, backup, table } = this.view;
    let isSame = true;
    for (let i = 0; i < slots.length; i++) {
      const weight = weights[i]! * table.weightPercent(slots[i]!);
      if (weight === this.weights[i]) continue;
      this.weights[i] = weight;
      isSame = false;
    }
    if (isSame) return;
    for (const isBackup of [0, 1]) {
      const members = [...slots.keys()].filter((i) => backup[i] === isBackup && this.weights[i]! > 0);
      const homes = isBackup === 0 ? this.ordinaryHomes : this.backupHomes;
      if (members.length > 0) {
        homes.layOut(
          members,
          members.map((i) => this.hashes[i]!),
          members.map((i) => this.weights[i]!),
        );
      }
    }
  }
}

/** Attempts beyond twice the usable endpoints: enough that a key of a mostly lost pool finds one by its own sequence. */
const ATTEMPTS_MORE = 32;
