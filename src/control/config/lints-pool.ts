/** Lints of pools: balance, health, stickiness. */
import type { BalanceAlgorithm, Plan, PoolPlan } from '../../state/plan.ts';
import { carried } from './kinds.ts';
import type { LintInput, Warn } from './lints.ts';
import type { PoolConfig } from './schema.ts';
import { ms } from './values.ts';

/** Keep-alive of common servers: nginx 75 s, Apache 5 s, Node 5 s; a load balancer in the cloud closes after 60 s. */
const KEEP_ALIVE_MS_USUAL = 60_000;
/** Above, an ordinary rolling deploy of a small pool is a panic. */
const PANIC_THRESHOLD_USUAL = 0.7;

const placing: ReadonlySet<BalanceAlgorithm> = new Set(['ring-hash', 'maglev', 'rendezvous']);

function isHashing({ balance }: PoolPlan): boolean {
  return placing.has(balance.algorithm) || balance.algorithm === 'source';
}

export function lintPools(input: LintInput, warn: Warn): void {
  const { config, plan } = input;
  const used = usedPools(plan);
  plan.pools.forEach((pool, index) => {
    const written = config.pools?.[pool.name];
    if (written === undefined) return;
    const path = ['pools', pool.name];
    const { active, passive } = pool.health;
    if (!used.has(index)) warn(path, 'pool-unused', `no route, listener or pool sends anything to pool ${pool.name}`);
    // With one endpoint there is nowhere else to go, so health would change nothing.
    else if (active === null && (passive === null || passive.isShadow) && pool.endpoints.length > 1)
      warn(
        path,
        'no-health-check',
        `pool ${pool.name} has neither active checks nor passive health: a dead endpoint keeps getting ${carried[pool.protocol]}`,
        `add health: ${checkFor(pool)}, or leave passive on`,
      );
    if (pool.protocol === 'http' && pool.proxyProtocol === 0 && pool.connections.idleMs > KEEP_ALIVE_MS_USUAL)
      warn(
        [...path, 'connections', 'keepAliveFor'],
        'keep-alive-long',
        `pool ${pool.name} keeps idle connections longer than most servers do`,
        'a server that closes first costs retries; choose less than its own limit',
      );
    lintBalance(pool, written, warn);
    lintZone(pool, config.zone, warn);
    lintHealth(pool, written, warn);
    if (pool.protocol !== 'http') lintCarried(pool, written, warn);
    else if (pool.proxyProtocol !== 0) lintNamed(pool, written, warn);
  });
  lintSticky(input, warn);
}

function usedPools(plan: Plan): ReadonlySet<number> {
  const used = new Set<number>();
  for (const { action } of plan.routes) if (action.kind === 'forward') for (const { pool } of action.pools) used.add(pool);
  for (const { streams } of plan.listeners) for (const { target } of streams) for (const { pool } of target.pools) used.add(pool);
  for (const { fallback } of plan.pools) if (fallback !== null) used.add(fallback);
  return used;
}

function lintBalance(pool: PoolPlan, written: PoolConfig, warn: Warn): void {
  const { name, balance } = pool;
  if (typeof written.balance !== 'object') return;
  const { algorithm, hashOn, boundedLoad, subset } = balance;
  const idle = (key: string, why: string, help: string) =>
    warn(['pools', name, 'balance', key], 'no-effect', `pool ${name}: ${key} has no effect ${why}`, help);
  if (written.balance.hashOn !== undefined && !placing.has(algorithm))
    idle('hashOn', `with ${algorithm}`, 'it belongs to maglev, ring-hash and rendezvous');
  const isByClient = isHashing(pool) && (algorithm === 'source' || hashOn.kind === 'client');
  if (written.balance.mask !== undefined && !isByClient)
    idle('mask', 'where requests are not placed by the client address', 'it belongs to source, and to hashOn: "{client.ip}"');
  if (boundedLoad > 0 && !isHashing(pool)) idle('boundedLoad', `with ${algorithm}`, 'it belongs to hashing policies');
  if (subset > 0 && isHashing(pool))
    idle('subset', `with ${algorithm}: hashing policies use all endpoints`, 'another node would place the same key elsewhere');
}

function lintZone({ name, balance, endpoints }: PoolPlan, zone: string | undefined, warn: Warn): void {
  if (balance.zone === null) return;
  const path = ['pools', name, 'balance', 'zone'];
  if (zone === undefined)
    warn(path, 'zone-unknown', `pool ${name} prefers this node's zone, and none is written`, 'add zone: at the top');
  else if (endpoints.every((endpoint) => endpoint.zone === null))
    warn(path, 'zone-unknown', `pool ${name} prefers zone ${zone}, and none of its endpoints has a zone`);
}

function lintHealth(pool: PoolPlan, written: PoolConfig, warn: Warn): void {
  const { name, health, breaker } = pool;
  const path = ['pools', name, 'health'];
  const idle = (at: readonly string[], why: string, help: string | null = null) =>
    warn([...path, ...at], 'no-effect', `pool ${name}: ${at.at(-1)} has no effect ${why}`, help);
  if (breaker !== null && breaker.requestsMax + breaker.pendingMax + breaker.retriesMax === 0)
    warn(['pools', name, 'circuitBreaker'], 'no-effect', `pool ${name}: circuitBreaker sets no limit`);
  if (typeof written.health !== 'object') return;
  if (health.slowStartMs > 0 && pool.endpoints.length === 1) idle(['slowStart'], 'in a pool of one endpoint');
  if (health.panicThreshold > PANIC_THRESHOLD_USUAL)
    warn(
      [...path, 'panicThreshold'],
      'panic-threshold-high',
      `pool ${name}: with a few endpoints down, health is ignored and the dead ones are used again`,
      '30% to 50% are usual',
    );
  const { active, passive } = written.health;
  if (typeof active === 'object') {
    const { intervalMs } = health.active!;
    const { fastInterval, idleInterval } = active;
    if (fastInterval !== undefined && ms(fastInterval, 0) > intervalMs)
      idle(['active', 'fastInterval'], 'when it is longer than interval');
    if (idleInterval !== undefined && ms(idleInterval, 0) < intervalMs)
      idle(['active', 'idleInterval'], 'when it is shorter than interval');
  }
  const judged = health.passive;
  if (typeof passive === 'object' && judged !== null && judged.errorRatio === 0 && judged.latencyFactor === 0)
    for (const key of ['minRequests', 'window'] as const)
      if (passive[key] !== undefined) idle(['passive', key], 'without errorRatio or latency');
}

/** What there is to ask, by the ports that programs usually have. */
const checksByPort: Readonly<Record<number, string>> = { 3306: 'mysql', 5432: 'postgres', 6379: 'redis' };

function checkFor({ protocol, endpoints }: PoolPlan): string {
  if (protocol === 'http') return '/healthz';
  return checksByPort[Number(/:([0-9]+)$/.exec(endpoints[0].address)?.[1])] ?? 'tcp';
}

/** Keys of connections that serve one request after the other. */
const keptKeys = ['keepAlive', 'keepAliveFor', 'warm', 'requests'] as const;

/** Where a connection names a client no other request goes over it. */
function lintNamed({ name }: PoolPlan, { connections }: PoolConfig, warn: Warn): void {
  for (const key of keptKeys)
    if (connections?.[key] !== undefined)
      warn(
        ['pools', name, 'connections', key],
        'no-effect',
        `pool ${name}: ${key} has no effect with proxyProtocol: each request gets a connection of its own`,
        'to keep connections, leave proxyProtocol out: X-Forwarded-For names the client as well',
      );
}

/** Keys that need requests, in pools that get none. */
function lintCarried({ name, protocol }: PoolPlan, written: PoolConfig, warn: Warn): void {
  const idle = (path: readonly string[], help: string | null = null) =>
    warn(['pools', name, ...path], 'no-effect', `pool ${name}: ${path.at(-1)} has no effect on ${carried[protocol]}`, help);
  for (const key of keptKeys)
    if (written.connections?.[key] !== undefined) idle(['connections', key], 'each gets a connection of its own');
  if (written.connections?.perEndpoint !== undefined) idle(['connections', 'perEndpoint'], 'an endpoint has maxConnections');
  if (protocol === 'udp') {
    const help = 'they never wait: a client for which no endpoint has room is turned away, and may ask again';
    if (written.queue !== undefined) idle(['queue'], help);
    if (written.circuitBreaker?.maxPending !== undefined) idle(['circuitBreaker', 'maxPending'], help);
  }
  const passive = typeof written.health === 'object' ? written.health.passive : undefined;
  if (typeof passive === 'object' && passive.consecutive5xx !== undefined)
    idle(['health', 'passive', 'consecutive5xx'], 'consecutiveFailures counts what fails');
}

/** Stands for every host, where a route names none. */
const ANY_HOST = '*';

function lintSticky({ plan, placeOf }: LintInput, warn: Warn): void {
  const hosts = hostsOfPools(plan);
  /** The first pool that sets a cookie for a host, by cookie and host. */
  const first = new Map<string, PoolPlan>();
  plan.pools.forEach((pool, index) => {
    const { sticky, name, balance } = pool;
    if (sticky === null) return;
    const path = ['pools', name, 'sticky'];
    if (isHashing(pool))
      warn(
        path,
        'sticky-and-hash',
        `pool ${name} is sticky and hashes by ${balance.algorithm}: the hash counts for the first request only`,
        'one of the two is enough; sticky goes with least-requests or power-of-two',
      );
    const own = hosts.get(index);
    if (own === undefined) return;
    const cookie = JSON.stringify([sticky.name, sticky.domain, sticky.path]);
    const asked = own.has(ANY_HOST) ? [''] : [...own, ANY_HOST];
    const other = asked.map((host) => first.get(`${cookie} ${host}`)).find((found) => found !== undefined);
    if (other !== undefined)
      warn(
        path,
        'sticky-clash',
        `pools ${other.name} and ${name} set the same cookie ${sticky.name}: who asks both loses the endpoint each time`,
        'give each a name of its own',
        { message: 'the other is at', place: placeOf(['pools', other.name, 'sticky']) },
      );
    // '' is for a pool that may meet all others of the cookie.
    for (const host of [...own, '']) {
      const key = `${cookie} ${host}`;
      if (!first.has(key)) first.set(key, pool);
    }
  });
}

/** Hosts of the routes to each pool, by its index. */
function hostsOfPools({ routes }: Plan): ReadonlyMap<number, ReadonlySet<string>> {
  const hosts = new Map<number, Set<string>>();
  for (const { action, match } of routes) {
    if (action.kind !== 'forward') continue;
    for (const { pool } of action.pools) {
      const own = hosts.get(pool) ?? new Set();
      hosts.set(pool, own.add(match.host?.value ?? ANY_HOST));
    }
  }
  return hosts;
}
