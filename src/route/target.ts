import type { TargetPlan } from '../state/plan.ts';

/** Index in plan.pools, chosen by weight. `random` is a uniform unsigned 32-bit number. */
export function chooseTarget(target: TargetPlan, random: number): number {
  const { pools } = target;
  if (pools.length === 1) return pools[0]!.pool;
  let total = 0;
  for (let i = 0; i < pools.length; i++) total += pools[i]!.weight;
  // Weights are at most some thousands, so the product stays exact below 2^53.
  let rest = Math.floor(((random >>> 0) * total) / 0x100000000);
  for (let i = 0; i < pools.length; i++) {
    rest -= pools[i]!.weight;
    if (rest < 0) return pools[i]!.pool;
  }
  return pools[pools.length - 1]!.pool;
}
