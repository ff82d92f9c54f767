/** Scenarios for tests: a plain one of so many endpoints, and what is different in it. */
import { plainPool } from '../state/plain-pool.ts';

import type { ActiveHealthPlan, BalanceAlgorithm, EndpointPlan, PassiveHealthPlan, PoolPlan, RetryPlan } from '../state/plan.ts';
import { type PolicyResult, type Scenario, type ServiceModel, simulate, type Variant } from './lab.ts';

/** Always 10 ms, as many at once as come. */
export const PLAIN: ServiceModel = { p50Ms: 10, p99Ms: 10, slower: 1, concurrency: 0, queueMax: 0, missMs: 0 };
export const CHECKED = {
  intervalMs: 1000,
  fastMs: 1000,
  idleMs: 1000,
  timeoutMs: 500,
  rise: 2,
  fall: 3,
  jitter: 0,
  proxyProtocol: 0,
  port: 0,
  type: 'tcp',
} as ActiveHealthPlan;

export const address = (i: number): string => `10.0.0.${i + 1}:80`;
export const endpoint = (i: number, weight = 1): EndpointPlan => ({
  slot: -1,
  address: address(i),
  resolved: null,
  weight,
  backup: false,
  zone: null,
  requestsMax: 0,
});
/** A policy of the data plane by its name, or a reference. */
type Choice = BalanceAlgorithm | NonNullable<Variant['reference']>;
const RETRY: RetryPlan = {
  attempts: 2,
  on: ['connect', 'reset', 'refused-stream'],
  budget: 0.2,
  budgetMin: 3,
  perTryMs: 0,
  hedgeMs: 0,
  backoffMs: 25,
  backoffMaxMs: 250,
};

/** What is not as in a plain scenario. */
type More = Omit<Partial<Scenario>, 'pool'> & {
  model?: Partial<ServiceModel>;
  active?: ActiveHealthPlan | null;
  passive?: PassiveHealthPlan | null;
  health?: Partial<PoolPlan['health']>;
  pool?: Partial<PoolPlan>;
  retry?: Partial<RetryPlan>;
  policies?: readonly Choice[];
  nodeCount?: number;
};

export function scenarioOf(endpoints: number, more: More = {}): Scenario {
  const {
    model,
    active = null,
    passive = null,
    health,
    pool: its,
    retry,
    policies = ['round-robin'],
    nodeCount = 1,
    ...rest
  } = more;
  const pool: PoolPlan = {
    ...plainPool,
    id: -1,
    name: 'web',
    source: '',
    endpoints: Array.from({ length: endpoints }, (_, i) => endpoint(i)),
    health: { ...plainPool.health, active, passive, ...health },
    connections: { idleMax: 1, idleMs: 1, wiresMax: 0, warm: 0, requestsMax: 0, queueMax: 1024, queueMs: 2000 },
    ...its,
  };
  const variants = policies.map(
    (choice): Variant => ({
      label: typeof choice === 'string' ? choice : choice.kind,
      pool: typeof choice === 'string' ? { ...pool, balance: { ...pool.balance, algorithm: choice } } : pool,
      retry: { ...RETRY, ...retry },
      reference: typeof choice === 'string' ? null : choice,
    }),
  );
  return {
    title: '',
    seed: 1,
    durationMs: 20_000,
    warmUpMs: 0,
    nodes: Array.from({ length: nodeCount }, (_, i) => ({ node: `node-${i + 1}`, zone: null })),
    workers: 2,
    pool,
    traffic: { kind: 'made', ratePerSecond: 500, arrivals: 'poisson', keys: { kind: 'uniform', count: 1000 } },
    service: new Map(Array.from({ length: endpoints + 3 }, (_, i) => [address(i), { ...PLAIN, ...model }])),
    cost: { heavyShare: 0, times: 1 },
    urgentShare: 0,
    timeoutMs: 30_000,
    crossZoneMs: 0,
    events: [],
    variants,
    expectations: [],
    ...rest,
  };
}

export const made = (ratePerSecond: number, arrivals: 'poisson' | 'constant' = 'poisson'): Scenario['traffic'] => ({
  kind: 'made',
  ratePerSecond,
  arrivals,
  keys: { kind: 'uniform', count: 1000 },
});
export const only = (scenario: Scenario): PolicyResult => simulate(scenario).results[0]!;
/** Tries that one endpoint was given after a time. */
export const begunAfter = (result: PolicyResult, index: number, fromMs: number): number => {
  const { requests, spanMs } = result.series;
  return requests[index]!.slice(Math.ceil(fromMs / spanMs)).reduce((sum, count) => sum + count, 0);
};
