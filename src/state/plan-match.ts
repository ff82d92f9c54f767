/** Plan: what routes of requests and routes of connections have in common: whom they are for, and where to. */

/** An address range. `bits` counts from the left. Bytes are 4 or 16. */
export interface Cidr {
  bytes: number[];
  bits: number;
}

/** Weighted pools, by their index in `plan.pools`. Weights are relative; at least one is above 0. */
export interface TargetPlan {
  pools: { pool: number; weight: number }[];
}
