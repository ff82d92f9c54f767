/** A pool that does nothing but choose, a listener that does nothing but HTTP, and the rest of a plan: where plans are made by hand (simulator, tests) they are spread and changed. */
import type { ListenerPlan, PassiveHealthPlan, Plan, PoolPlan } from './plan.ts';

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

export const plainListener: Pick<ListenerPlan, 'protocol' | 'streams' | 'sniffMs' | 'proxyProtocol' | 'udp' | 'tls'> = {
  protocol: 'http',
  streams: [],
  sniffMs: 5000,
  proxyProtocol: null,
  udp: null,
  tls: null,
};

/** What a plan says besides its listeners, pools and routes. */
export const plainPlan: Omit<Plan, 'epoch' | 'node' | 'listeners' | 'pools' | 'routes'> = {
  zone: null,
  certificates: [],
  headers: {
    xForwarded: true,
    forwarded: false,
    requestId: null,
    via: { request: false, response: false },
    proxyStatus: 'errors',
    cdnLoop: false,
    serverTiming: false,
  },
  access: null,
  drain: { notReadyForMs: 0, gracefulMs: 1000, hardStopMs: 2000 },
  admin: { listen: [] },
  limits: { connectionsMax: 10_000 },
};

/** Judged by live traffic, as by a configuration without words of its own. */
export const plainPassive: PassiveHealthPlan = {
  consecutiveFailures: 5,
  consecutive5xx: 5,
  errorRatio: 0,
  latencyFactor: 0,
  requestsMin: 20,
  windowMs: 10_000,
  ejectMs: 30_000,
  ejectMaxMs: 300_000,
  ejectedMax: 0.5,
  isShadow: false,
};
