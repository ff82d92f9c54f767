/** What a scenario compares, made into pools: each variant is the scenario's pool with what it says in place of what the pool has. */
import { type ConfigFault, parseConfig } from '../control/config/config.ts';
import type { Variant } from '../lab/lab.ts';
import type { PoolPlan, RetryPlan } from '../state/plan.ts';
import { balanceKeys, ringPoints, type ScenarioFile, type VariantFile } from './scenario-schema.ts';

type Settings = Exclude<VariantFile, string>;

/** Tells what the one who knows pools has to say of a variant. */
export type Told = (fault: ConfigFault) => void;

/** `told` is called for what a schema cannot say, such as settings that contradict each other. */
export function variantOf(written: VariantFile, pool: PoolPlan, retry: RetryPlan, told: Told): Variant {
  if (written === 'modulo-hash' || written === 'lowest-latency')
    return { label: written, pool, retry, reference: { kind: written } };
  const points = typeof written === 'string' ? ringPoints(written) : null;
  if (points !== null) return { label: String(written), pool, retry, reference: { kind: 'ring', points } };
  const settings: Settings = typeof written === 'string' ? { algorithm: written as Settings['algorithm'] } : written;
  const label = settings.label ?? labelOf(settings);
  const made = madeOf(settings, told);
  if (made === null) return { label, pool, retry, reference: null };
  return {
    label,
    pool: laidOver(pool, settings, made.pool),
    retry: settings.retry === undefined ? retry : made.retry,
    reference: null,
  };
}

/** How requests are tried again by a route that says this. */
export function retryOf(written: ScenarioFile['retry'], told: Told): RetryPlan | null {
  return madeOf({ retry: written }, told)?.retry ?? null;
}

/** A pool and a route that say this and nothing else: defaults are the config's business. */
function madeOf(settings: Settings, told: Told): { pool: PoolPlan; retry: RetryPlan } | null {
  const { health, queue, circuitBreaker, retry } = settings;
  const balance = Object.fromEntries(Object.entries(settings).filter(([key]) => balanceKeys.includes(key)));
  const pool = { endpoints: ['127.0.0.1:1', '127.0.0.1:2'], balance, health, queue, circuitBreaker };
  const config = {
    version: 1,
    listeners: { web: { listen: '127.0.0.1:80' } },
    routes: [{ to: 'web', retry }],
    pools: { web: pool },
  };
  const { plan, faults } = parseConfig(JSON.stringify(config), 'variant.json', {});
  faults.forEach(told);
  return plan === null ? null : { pool: plan.pools[0]!, retry: plan.routes[0]!.retry };
}

function laidOver(pool: PoolPlan, settings: Settings, made: PoolPlan): PoolPlan {
  const { health, maxConnections, queue, circuitBreaker } = settings;
  const its = typeof health === 'string' ? { active: health } : (health ?? {});
  return {
    ...pool,
    endpoints:
      maxConnections === undefined ? pool.endpoints : pool.endpoints.map((one) => ({ ...one, requestsMax: maxConnections })),
    balance: balanceKeys.some((key) => key in settings) ? made.balance : pool.balance,
    health: {
      active: its.active === undefined ? pool.health.active : made.health.active,
      passive: its.passive === undefined ? pool.health.passive : made.health.passive,
      slowStartMs: its.slowStart === undefined ? pool.health.slowStartMs : made.health.slowStartMs,
      panicThreshold: its.panicThreshold === undefined ? pool.health.panicThreshold : made.health.panicThreshold,
    },
    connections: {
      ...pool.connections,
      queueMax: queue?.max === undefined ? pool.connections.queueMax : made.connections.queueMax,
      queueMs: queue?.timeout === undefined ? pool.connections.queueMs : made.connections.queueMs,
    },
    breaker: circuitBreaker === undefined ? pool.breaker : made.breaker,
  };
}

/** "maglev", "source boundedLoad 1.25". */
function labelOf(settings: Settings): string {
  const { algorithm, label: _, ...others } = settings;
  const options = Object.entries(others).filter(([, value]) => value !== undefined);
  const said = options.map(([key, value]) => `${key} ${typeof value === 'object' ? JSON.stringify(value) : value}`);
  return [...(algorithm === undefined ? [] : [algorithm]), ...said].join(' ');
}
