/** Lints: what is allowed and probably not meant. Warnings, never errors. */
import type { Plan, RoutePlan } from '../../state/plan.ts';
import { type ConfigFault, type FaultCode, faultAt } from './fault.ts';
import { comparePrecedence, covers, mayTie } from './precedence.ts';
import type { Config } from './schema.ts';
import type { Place } from './source.ts';
import { durationText } from './units.ts';

/** Keep-alive of common servers: nginx 75 s, Apache 5 s, Node 5 s; a load balancer in the cloud closes after 60 s. */
const KEEP_ALIVE_MS_USUAL = 60_000;
/** Pairs of routes that are compared; beyond, the config was made by a program. */
const ROUTES_COMPARED_MAX = 1500;

export interface LintInput {
  config: Config;
  plan: Plan;
  /** Index in config.routes of each route that was written there. */
  origins: ReadonlyMap<RoutePlan, number>;
  /** Place of what was written at a path, or of the nearest thing above it. */
  placeOf: (path: readonly string[]) => Place;
}

export function lint(input: LintInput): ConfigFault[] {
  const faults: ConfigFault[] = [];
  const warn: Warn = (path, code, message, help = null, also) =>
    faults.push(faultAt(input.placeOf(path), code, message, { help, path, also }));
  lintPools(input, warn);
  lintFilters(input, warn);
  lintListeners(input, warn);
  lintTimes(input, warn);
  lintRoutes(input, warn);
  return faults;
}

type Warn = (
  path: readonly string[],
  code: FaultCode,
  message: string,
  help?: string | null,
  also?: { message: string; place: Place },
) => void;

function lintPools({ config, plan }: LintInput, warn: Warn): void {
  const used = new Set(
    plan.routes.flatMap((route) => (route.action.kind === 'forward' ? route.action.pools.map((p) => p.pool) : [])),
  );
  plan.pools.forEach((pool, index) => {
    const written = config.pools?.[pool.name];
    if (written === undefined) return;
    const path = ['pools', pool.name];
    if (!used.has(index)) warn(path, 'pool-unused', `no route or listener sends requests to pool ${pool.name}`);
    // With one endpoint there is nowhere else to go, so a check would change nothing.
    else if (pool.health.active === null && pool.endpoints.length > 1)
      warn(
        path,
        'no-health-check',
        `pool ${pool.name} has no health checks: a dead endpoint keeps getting requests`,
        'add health: /healthz, or health: tcp',
      );
    if (pool.connections.idleMs > KEEP_ALIVE_MS_USUAL)
      warn(
        [...path, 'connections', 'keepAliveFor'],
        'keep-alive-long',
        `pool ${pool.name} keeps idle connections longer than most servers do`,
        'a server that closes first costs retries; choose less than its own limit',
      );
  });
}

function lintFilters({ config, plan }: LintInput, warn: Warn): void {
  const used = new Set(plan.routes.flatMap((route) => route.filters.map((filter) => filter.name)));
  for (const name of Object.keys(config.filters ?? {}))
    if (!used.has(name)) warn(['filters', name], 'filter-unused', `no route uses filter ${name}`);
}

function lintListeners({ plan }: LintInput, warn: Warn): void {
  plan.listeners.forEach((listener, index) => {
    const path = ['listeners', listener.name];
    const isServed = plan.routes.some((route) => route.listeners === null || route.listeners.includes(index));
    if (!isServed && !listener.redirectToHttps)
      warn(
        path,
        'no-route',
        `listener ${listener.name} answers 404 to every request: no route applies to it`,
        'add to: and the name of a pool',
      );
    if (listener.clientIp.trust.some((range) => range.bits === 0))
      warn(
        [...path, 'clientIp', 'trust'],
        'trusts-everyone',
        `listener ${listener.name} believes ${listener.clientIp.header} of everyone, so clients choose their own address`,
        'trust the addresses of the balancer in front',
      );
  });
  for (const address of plan.admin.listen) {
    if (address.kind === 'ip' && !/^(127\.|::1$)/.test(address.host))
      warn(
        ['admin', 'listen'],
        'admin-public',
        'the admin address can be reached from other machines, and asks for no password',
        'listen on 127.0.0.1 or a unix socket',
      );
  }
}

function lintTimes({ config, plan, origins }: LintInput, warn: Warn): void {
  for (const route of plan.routes) {
    const origin = origins.get(route);
    if (origin !== undefined) lintRetry(route, ['routes', String(origin)], warn);
  }
  const { gracefulMs, hardStopMs } = plan.drain;
  if (config.process?.drain?.hardStop === undefined) return;
  const hasLongTunnel = plan.routes.some(
    (r) => r.action.kind === 'forward' && r.upgrade.length > 0 && r.timeouts.tunnelMs > hardStopMs,
  );
  const path = ['process', 'drain', 'hardStop'];
  if (hardStopMs < gracefulMs) warn(path, 'hard-stop-short', 'hardStop comes before graceful has ended');
  else if (hasLongTunnel)
    warn(path, 'hard-stop-short', 'hardStop is shorter than the tunnel timeout: open WebSockets are cut when weir leaves');
}

function lintRetry(route: RoutePlan, path: readonly string[], warn: Warn): void {
  const { attempts, perTryMs } = route.retry;
  const { requestMs } = route.timeouts;
  if (requestMs > 0 && perTryMs > 0 && attempts > 1 && attempts * perTryMs > requestMs) {
    const total = durationText(attempts * perTryMs);
    const message = `${attempts} tries of ${durationText(perTryMs)} take ${total}, longer than the request timeout of ${durationText(requestMs)}`;
    warn(path, 'retry-longer-than-request', message);
  }
}

function lintRoutes({ plan, origins, placeOf }: LintInput, warn: Warn): void {
  const routes = plan.routes.filter((route) => origins.has(route));
  if (routes.length > ROUTES_COMPARED_MAX) return;
  const pathOf = (route: RoutePlan) => ['routes', String(origins.get(route))];
  const told = new Set<number>();
  for (let later = 1; later < routes.length; later++) {
    const b = routes[later];
    const origin = origins.get(b)!;
    for (let earlier = 0; earlier < later && !told.has(origin); earlier++) {
      const a = routes[earlier];
      if (origins.get(a) === origin) continue;
      const isTie = comparePrecedence(a, b) === 0 && mayTie(a, b);
      if (covers(a, b)) {
        told.add(origin);
        warn(pathOf(b), 'route-shadowed', `route ${b.name} can never match: ${a.name} takes all its requests`, null, {
          message: 'the other is at',
          place: placeOf(pathOf(a)),
        });
      } else if (isTie) {
        told.add(origin);
        warn(
          pathOf(b),
          'route-tie',
          `routes ${a.name} and ${b.name} are equally specific; the first in the list wins`,
          'say which with priority',
          {
            message: 'the other is at',
            place: placeOf(pathOf(a)),
          },
        );
      }
    }
  }
}
