/** Health of a pool, from config to plan. */
import type { ActiveHealthPlan, CheckTlsPlan, PassiveHealthPlan, PoolPlan } from '../../state/plan.ts';
import type { PoolConfig } from './schema.ts';
import { readStatusRange, type ShortType } from './schema-check.ts';
import { readPercent } from './units.ts';
import { listOf, ms, must } from './values.ts';

type HealthMap = Exclude<NonNullable<PoolConfig['health']>, string>;
type ActiveMap = Exclude<NonNullable<HealthMap['active']>, string>;

/** `ca`: certificates in PEM, when the config names some. `proxyProtocol`: the pool's. */
export function buildHealth(written: PoolConfig['health'], ca: string | null, proxyProtocol: 0 | 1 | 2): PoolPlan['health'] {
  const health: HealthMap = typeof written === 'string' ? { active: written } : (written ?? {});
  return {
    active: buildActive(health.active, ca, proxyProtocol),
    passive: buildPassive(health.passive),
    slowStartMs: ms(health.slowStart, 0),
    panicThreshold: share(health.panicThreshold, 0),
  };
}

function share(text: string | undefined, otherwise: number): number {
  return text === undefined ? otherwise : must(readPercent(text));
}

function buildPassive(written: HealthMap['passive']): PassiveHealthPlan | null {
  if (written === false) return null;
  const passive = written === true || written === undefined ? {} : written;
  const ejectMs = ms(passive.ejectFor, 30_000);
  const ejectMaxMs = ms(passive.maxEjectFor, Math.max(300_000, ejectMs));
  return {
    consecutiveFailures: passive.consecutiveFailures ?? 5,
    consecutive5xx: passive.consecutive5xx ?? 5,
    errorRatio: share(passive.errorRatio, 0),
    latencyFactor: passive.latency ?? 0,
    requestsMin: passive.minRequests ?? 20,
    windowMs: ms(passive.window, 10_000),
    ejectMs: Math.min(ejectMs, ejectMaxMs),
    ejectMaxMs,
    ejectedMax: share(passive.maxEjected, 0.5),
    isShadow: passive.mode === 'shadow',
  };
}

/** Shortest interval that is chosen without being asked for. */
const FAST_MS_MIN = 100;

function buildActive(written: HealthMap['active'], ca: string | null, proxyProtocol: 0 | 1 | 2): ActiveHealthPlan | null {
  if (written === undefined) return null;
  const active: ActiveMap =
    typeof written !== 'string' ? written : written.startsWith('/') ? { path: written } : { type: written as ShortType };
  const intervalMs = ms(active.interval, 2000);
  const timing = {
    intervalMs,
    fastMs: Math.min(intervalMs, ms(active.fastInterval, Math.max(FAST_MS_MIN, Math.round(intervalMs / 4)))),
    idleMs: Math.max(intervalMs, ms(active.idleInterval, intervalMs)),
    timeoutMs: ms(active.timeout, 1000),
    rise: active.rise ?? 2,
    fall: active.fall ?? 3,
    jitter: share(active.jitter, 0.1),
    port: active.port ?? 0,
    // Another port is another program, which need not know of it.
    proxyProtocol: active.port === undefined ? proxyProtocol : 0,
  } as const;
  const host = active.host ?? null;
  const tls = buildTls(active, ca);
  switch (active.type) {
    case 'grpc':
      return { ...timing, type: 'grpc', service: active.service ?? '', host, tls };
    case 'exec':
      return { ...timing, type: 'exec', command: listOf(active.command!) };
    case 'tcp':
    case 'redis':
    case 'postgres':
    case 'mysql':
      return { ...timing, type: active.type };
  }
  return {
    ...timing,
    type: 'http',
    method: active.method ?? 'GET',
    path: active.path ?? '/',
    host,
    headers: Object.entries(active.headers ?? {}).map(([name, value]) => ({ name: name.toLowerCase(), value })),
    expect: {
      status: listOf<string | number>(active.expect?.status ?? '200-399').map((range) => must(readStatusRange(String(range)))),
      body: active.expect?.body ?? null,
    },
    tls,
  };
}

function buildTls({ type, tls, host }: ActiveMap, ca: string | null): CheckTlsPlan | null {
  if (tls === undefined && type !== 'https') return null;
  const written = tls === undefined || tls === true ? {} : tls;
  // The name in Host is the one a virtual server has its certificate for; a port is no part of it.
  const named = host === undefined ? null : host.replace(/:[0-9]+$/, '');
  return { serverName: written.serverName ?? named, verify: written.verify ?? true, ca };
}
