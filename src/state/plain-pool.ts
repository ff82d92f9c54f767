/** A pool that does nothing but choose, a listener that does nothing but HTTP: where plans are made by hand (simulator, tests) they are spread and changed. */
import type { ListenerPlan, PoolPlan } from './plan.ts';

export const plainPool: Omit<PoolPlan, 'id' | 'name' | 'source' | 'endpoints' | 'connections'> = {
  balance: {
    algorithm: 'power-of-two',
    hashOn: { kind: 'client', name: '', v4Bits: 32, v6Bits: 128 },
    boundedLoad: 0,
    zone: null,
    subset: 0,
  },
  health: { active: null, passive: null, slowStartMs: 0, panicThreshold: 0 },
  protocol: 'http',
  proxyProtocol: 0,
  sourceAddress: null,
  sticky: null,
  breaker: null,
  fallback: null,
};

export const plainListener: Pick<ListenerPlan, 'protocol' | 'streams' | 'sniffMs' | 'proxyProtocol' | 'udp'> = {
  protocol: 'http',
  streams: [],
  sniffMs: 5000,
  proxyProtocol: null,
  udp: null,
};
