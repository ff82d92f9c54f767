/** A pool that does nothing but choose: where plans are made by hand (simulator, tests) it is spread and changed. */
import type { PoolPlan } from './plan.ts';

export const plainPool: Omit<PoolPlan, 'id' | 'name' | 'source' | 'endpoints' | 'connections'> = {
  balance: {
    algorithm: 'power-of-two',
    hashOn: { kind: 'client', name: '', v4Bits: 32, v6Bits: 128 },
    boundedLoad: 0,
    zone: null,
    subset: 0,
  },
  health: { active: null, passive: null, slowStartMs: 0, panicThreshold: 0 },
  sticky: null,
  breaker: null,
  fallback: null,
};
