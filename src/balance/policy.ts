/** What a policy is and what it may know. The front door is balance.ts. */
import type { TableReader } from '../state/doors.ts';
import type { BalanceAlgorithm } from '../state/plan.ts';

/** No endpoint can take it. */
export const NONE = -1;

/** What a policy may know of a pool. Arrays are parallel. */
export interface PoolView {
  readonly name: string;
  readonly slots: Int32Array;
  /** Configured weights, 0..1000. */
  readonly weights: Int32Array;
  /** 1 = backup. */
  readonly backup: Uint8Array;
  /** In-flight limits, 0 = none. */
  readonly requestsMax: Int32Array;
  readonly table: TableReader;
}

export interface Policy {
  readonly algorithm: BalanceAlgorithm;
  /**
   * Slot of the chosen endpoint or NONE. `key` is a 32-bit hash (hashing policies), `random` a uniform 32-bit number (signed or not),
   * `avoid` a slot that is chosen only if no other can be (the one that just failed), or NONE.
   */
  pick(key: number, random: number, avoid: number): number;
}
