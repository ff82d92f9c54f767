/**
 * balance: choose one endpoint for one exchange.
 *
 * A policy is a pure function of the pool view, a key and a random number. It opens nothing, waits for nothing and reads no clock, so any
 * choice can be replayed in a test.
 *
 * It does not know: sockets, HTTP, retries. relay/ decides whether to ask again.
 *
 * Rules
 * 1. pick() returns only an endpoint that is ready and below its limit, or NONE.
 * 2. pick() allocates nothing.
 * 3. Every pick() that returned a slot is followed by exactly one begin() and one end() on the table: that is how it is settled, and how
 *    all workers see it.
 * 4. Backup endpoints are picked only when no other endpoint can be.
 */
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
   * Slot of the chosen endpoint or NONE. `key` is a 32-bit hash (hashing policies), `random` a uniform 32-bit unsigned number, `avoid` a slot that is
   * chosen only if no other can be (the one that just failed), or NONE.
   */
  pick(key: number, random: number, avoid: number): number;
}
