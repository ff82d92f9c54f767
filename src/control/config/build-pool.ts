/** Pools and their endpoints, from config to plan. */
import { createHmac } from 'node:crypto';
import type { BreakerPlan, EndpointPlan, PoolPlan, SourcePlan, StickyPlan, ZonePlan } from '../../state/plan.ts';
import { readAddress } from './address.ts';
import { buildHealth } from './build-health.ts';
import type { PoolKind } from './kinds.ts';
import type { EndpointConfig, PoolConfig } from './schema.ts';
import { readHashOn } from './schema-balance.ts';
import { readPercent } from './units.ts';
import { endpointOf, listOf, ms, must } from './values.ts';

/** What a pool needs to know besides what is written in it. */
export interface PoolSurroundings {
  source: string;
  /** Names of all pools of the config, in the order of the plan. */
  names: readonly string[];
  /** Of this instance, for cookies that have none of their own. */
  secret: Uint8Array;
  /** Certificates (PEM) its checks trust, or null. */
  ca: string | null;
  kind: PoolKind;
}

export function buildPool(name: string, pool: PoolConfig, around: PoolSurroundings): PoolPlan {
  const { connections = {}, queue = {} } = pool;
  const proxyProtocol = pool.proxyProtocol === undefined ? 0 : pool.proxyProtocol === 'v1' ? 1 : 2;
  return {
    id: -1,
    name,
    source: around.source,
    endpoints: pool.endpoints.map((endpoint) => buildEndpoint(typeof endpoint === 'string' ? { address: endpoint } : endpoint)),
    balance: buildBalance(pool.balance),
    health: buildHealth(pool.health, around.ca, proxyProtocol),
    protocol: around.kind,
    proxyProtocol,
    sourceAddress: buildSource(pool.source),
    connections: {
      idleMax: connections.keepAlive ?? 256,
      idleMs: ms(connections.keepAliveFor, 50_000),
      wiresMax: connections.perEndpoint ?? 0,
      warm: connections.warm ?? 0,
      requestsMax: connections.requests ?? 0,
      // Datagrams never wait.
      queueMax: around.kind === 'udp' ? 0 : (queue.max ?? 1024),
      queueMs: ms(queue.timeout, 2000),
    },
    sticky: buildSticky(name, pool.sticky, around.secret),
    breaker: buildBreaker(pool.circuitBreaker),
    fallback: pool.fallback === undefined ? null : around.names.indexOf(pool.fallback),
  };
}

function buildBalance(written: PoolConfig['balance']): PoolPlan['balance'] {
  const balance = typeof written === 'string' ? { algorithm: written } : (written ?? {});
  return {
    algorithm: balance.algorithm ?? 'power-of-two',
    hashOn: {
      ...must(readHashOn(balance.hashOn ?? '{client.ip}')),
      v4Bits: balance.mask?.v4 ?? 32,
      v6Bits: balance.mask?.v6 ?? 128,
    },
    boundedLoad: balance.boundedLoad ?? 0,
    zone: buildZone(balance.zone),
    subset: balance.subset ?? 0,
  };
}

type BalanceMap = Exclude<NonNullable<PoolConfig['balance']>, string>;

function buildZone(written: BalanceMap['zone']): ZonePlan | null {
  if (written === undefined || written === false) return null;
  const zone = written === true ? {} : written;
  if (zone.prefer === false) return null;
  return { spillAt: zone.spillAt === undefined ? 0.8 : must(readPercent(zone.spillAt)) };
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

function buildSource(source: PoolConfig['source']): SourcePlan | null {
  const addresses = source?.addresses === undefined ? [] : listOf(source.addresses).map((text) => readAddress(text)!);
  const isTransparent = source?.transparent ?? false;
  return addresses.length > 0 || isTransparent ? { addresses, isTransparent } : null;
}

function buildBreaker(breaker: PoolConfig['circuitBreaker']): BreakerPlan | null {
  if (breaker === undefined) return null;
  return {
    requestsMax: breaker.maxRequests ?? 0,
    pendingMax: breaker.maxPending ?? 0,
    retriesMax: breaker.maxRetries ?? 0,
    isShadow: breaker.mode === 'shadow',
  };
}

function buildSticky(pool: string, written: PoolConfig['sticky'], instanceSecret: Uint8Array): StickyPlan | null {
  if (written === undefined) return null;
  const form = written === true ? undefined : typeof written === 'string' ? written : written.cookie;
  const cookie = typeof form === 'string' ? { name: form } : (form ?? {});
  return {
    name: cookie.name ?? `weir-${pool}`,
    ttlS: ms(cookie.ttl, 0) / 1000,
    path: cookie.path ?? '/',
    domain: cookie.domain ?? null,
    sameSite: cookie.sameSite === false ? null : (cookie.sameSite ?? 'lax'),
    secure: cookie.secure ?? null,
    httpOnly: cookie.httpOnly ?? true,
    key: stickyKey(cookie.secret ?? instanceSecret, pool),
  };
}

/** A key for one pool: what is learned of one says nothing of the secret, nor of another pool. */
function stickyKey(secret: string | Uint8Array, pool: string): string {
  return createHmac('sha256', secret).update(`weir sticky ${pool}`).digest('base64url');
}
