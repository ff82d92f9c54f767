/** Pools, their endpoints and health checks, from config to plan. */
import type { ActiveHealthPlan, ConnectionsPlan, EndpointPlan, PoolPlan } from '../../state/plan.ts';
import type { EndpointConfig, PoolConfig } from './schema.ts';
import { readHashOn } from './schema-balance.ts';
import { readStatusRange } from './schema-health.ts';
import { readPercent } from './units.ts';
import { endpointOf, listOf, ms, must } from './values.ts';

export function buildPool(name: string, pool: PoolConfig, source: string): PoolPlan {
  const { balance, connections = {}, queue = {}, health } = pool;
  return {
    id: -1,
    name,
    source,
    endpoints: pool.endpoints.map((endpoint) => buildEndpoint(typeof endpoint === 'string' ? { address: endpoint } : endpoint)),
    balance: {
      algorithm: (typeof balance === 'string' ? balance : balance?.algorithm) ?? 'power-of-two',
      hashOn: must(readHashOn((typeof balance === 'string' ? undefined : balance?.hashOn) ?? '{client.ip}')),
      boundedLoad: (typeof balance === 'string' ? undefined : balance?.boundedLoad) ?? 0,
      zone: null,
      subset: 0,
    },
    health: {
      active: buildActive(typeof health === 'string' ? health : health?.active),
      passive: null,
      slowStartMs: 0,
      panicThreshold: 0,
    },
    protocol: 'http',
    proxyProtocol: 0,
    sourceAddress: null,
    sticky: null,
    breaker: null,
    fallback: null,
    connections: {
      idleMax: connections.keepAlive ?? 256,
      idleMs: ms(connections.keepAliveFor, 50_000),
      wiresMax: connections.perEndpoint ?? 0,
      warm: connections.warm ?? 0,
      requestsMax: connections.requests ?? 0,
      queueMax: queue.max ?? 1024,
      queueMs: ms(queue.timeout, 2000),
    } satisfies ConnectionsPlan,
  };
}

/** The pool that addresses in a `to:` make. */
export function buildTargetPool(name: string, addresses: readonly string[], source: string): PoolPlan {
  return buildPool(name, { endpoints: [...addresses] }, source);
}

function buildEndpoint(endpoint: EndpointConfig): EndpointPlan {
  const address = endpointOf(endpoint.address);
  return {
    slot: -1,
    address: address.text,
    resolved: address.resolved,
    weight: endpoint.weight ?? 1,
    backup: endpoint.backup ?? false,
    zone: endpoint.zone ?? null,
    requestsMax: endpoint.maxConnections ?? 0,
  };
}

type HealthConfig = Exclude<NonNullable<PoolConfig['health']>, string>['active'];

function buildActive(written: HealthConfig): ActiveHealthPlan | null {
  if (written === undefined) return null;
  const active = typeof written !== 'string' ? written : written === 'tcp' ? { type: 'tcp' as const } : { path: written };
  const timing = {
    intervalMs: ms(active.interval, 2000),
    fastMs: ms(active.interval, 2000),
    idleMs: ms(active.interval, 2000),
    timeoutMs: ms(active.timeout, 1000),
    rise: active.rise ?? 2,
    fall: active.fall ?? 3,
    jitter: active.jitter === undefined ? 0.1 : must(readPercent(active.jitter)),
    port: active.port ?? 0,
  };
  if (active.type === 'tcp') return { ...timing, type: 'tcp' };
  const status = active.expect?.status ?? '200-399';
  return {
    ...timing,
    type: 'http',
    method: active.method ?? 'GET',
    path: active.path ?? '/',
    host: active.host ?? null,
    headers: Object.entries(active.headers ?? {}).map(([name, value]) => ({ name: name.toLowerCase(), value })),
    expect: {
      status: listOf<string | number>(status).map((range) => must(readStatusRange(String(range)))),
      body: active.expect?.body ?? null,
    },
    tls: null,
  };
}
