/** What a policy is and what it may know. The front door is balance.ts. */
import type { TableReader } from '../state/doors.ts';
import type { BalanceAlgorithm } from '../state/plan.ts';

/** No endpoint can take it. */
export const NONE = -1;

/** What a policy may know of a pool. Arrays are parallel. */
export interface PoolView {
  readonly slots: Int32Array;
  /** Configured weights, 0..1000. */
  readonly weights: Int32Array;
  /** 1 = backup. */
  readonly backup: Uint8Array;
  /** In-flight limits, 0 = none. */
  readonly requestsMax: Int32Array;
  readonly table: TableReader;
  /** What hashing policies know endpoints by: {@link endpointHash} of each address, the same on every node. */
  readonly hashes: Int32Array;
  /**
   * Hashing policies: no endpoint gets a request that brings it above this many times its share of what the pool has in flight (Mirrokni and
   * others, "Consistent hashing with bounded loads", 2016). Above 1; 1.25 to 1.5 are typical. 0: no bound.
   */
  readonly boundedLoad: number;
  /** 1 = ordinary and in this node's zone, which is preferred. Null: no zone is. */
  readonly near: Uint8Array | null;
  /** `ZonePlan.spillAt`; with `near`, above 0. */
  readonly spillAt: number;
  /** Ms in which an endpoint that became ready grows to its share; 0: at once. */
  readonly slowStartMs: number;
  /** Share of ordinary endpoints below which health is ignored ({@link isPanicking}); 0: never. */
  readonly panicThreshold: number;
  /** Of the endpoints in the zone, and of all ordinary ones, only the first so many that are ready are used, in the order of `ranks`. 0: all. */
  readonly subset: number;
  /** With `subset`: indexes of the ordinary endpoints, the first to be used first. */
  readonly ranks: Int32Array | null;
}

/** Which node chooses, and where it stands; a plan is one. */
export interface NodePlace {
  readonly node: string;
  readonly zone: string | null;
}

/** `balance:` of a plan. */
export type Algorithm = BalanceAlgorithm;

/** Policies that place by a key. */
export const hashing: readonly Algorithm[] = ['source', 'ring-hash', 'maglev', 'rendezvous'];

export interface Policy {
  /**
   * Slot of the chosen endpoint or NONE. `key` is a 32-bit hash (hashing policies), `random` a uniform 32-bit number (signed or not),
   * `avoid` a slot that is chosen only if no other can be (the one that just failed), or NONE.
   */
  pick(key: number, random: number, avoid: number): number;
  /** Any endpoint that is neither full nor suspect, or NONE. Walks the pool: for when those that would be chosen have just failed. */
  pickAmong(random: number, suspects: Suspects): number;
}

/** Who knows which endpoints refused a moment ago. */
export interface Suspects {
  isSuspect(slot: number): boolean;
}
