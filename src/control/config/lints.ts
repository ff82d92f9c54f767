/** Lints: what is allowed and probably not meant. Warnings, never errors. */
import type { FilterPlan, Plan, RoutePlan } from '../../state/plan.ts';
import type { ReadCertificate } from './certificates.ts';
import { type ConfigFault, type FaultCode, faultAt } from './fault.ts';
import { lintPools } from './lints-pool.ts';
import { lintStreams } from './lints-stream.ts';
import { lintTls } from './lints-tls.ts';
import { comparePrecedence, covers, mayTie, ROUTES_COMPARED_MAX } from './precedence.ts';
import type { WrittenStream } from './precedence-stream.ts';
import type { Config } from './schema.ts';
import { orText } from './shape.ts';
import type { Place } from './source.ts';
import { durationText } from './units.ts';

export interface LintInput {
  config: Config;
  plan: Plan;
  /** Index in config.routes of each route that was written there. */
  origins: ReadonlyMap<RoutePlan, number>;
  /** What was written of the streams of each listener, by its index. */
  streams: readonly (readonly WrittenStream[])[];
  certificates: ReadonlyMap<string, ReadCertificate>;
  /** Ms since 1970. */
  now: number;
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
  lintStreams(input, warn);
  lintTls(input, warn);
  return faults;
}

export type Warn = (
  path: readonly string[],
  code: FaultCode,
  message: string,
  help?: string | null,
  also?: { message: string; place: Place },
) => void;

function lintFilters({ config, plan }: LintInput, warn: Warn): void {
  const used = new Set(plan.routes.flatMap((route) => route.filters.map((filter) => filter.name)));
  for (const name of Object.keys(config.filters ?? {}))
    if (!used.has(name)) warn(['filters', name], 'filter-unused', `no route uses filter ${name}`);
  const told = new Set<string>();
  for (const filter of plan.routes.flatMap((route) => route.filters)) {
    if (filter.kind !== 'rateLimit' || told.has(filter.name)) continue;
    told.add(filter.name);
    const written = config.filters?.[filter.name]?.rateLimit;
    lintRateLimit(filter, typeof written === 'object' && written.burst !== undefined, warn);
  }
}

function lintRateLimit(limit: FilterPlan & { kind: 'rateLimit' }, hasBurst: boolean, warn: Warn): void {
  const path = ['filters', limit.name, 'rateLimit'];
  const { algorithm, requests, windowMs, burst, key } = limit;
  // What comes in a second is a sensible burst of a rate per second. Of ten a minute it is one request, and browsers ask for two at once.
  if (algorithm === 'token-bucket' && !hasBurst && windowMs > 1000 && requests > 1)
    warn(
      path,
      'burst-small',
      `filter ${limit.name} lets ${burst} pass at once, then one every ${durationText(Math.round(windowMs / requests))}`,
      `add burst: ${Math.min(requests, 1000)}, or algorithm: sliding-window`,
    );
  const unique = ['{request.id}', '{client.port}'].find((placeholder) => key.includes(placeholder));
  if (unique !== undefined)
    warn(
      [...path, 'key'],
      'no-effect',
      `filter ${limit.name} limits nobody: ${unique} is another for every request or connection`,
    );
}

function lintListeners({ plan }: LintInput, warn: Warn): void {
  plan.listeners.forEach((listener, index) => {
    const path = ['listeners', listener.name];
    const takesRequests = listener.protocol === 'http' || listener.protocol === 'auto';
    const isServed = !takesRequests || plan.routes.some((route) => route.listeners === null || route.listeners.includes(index));
    if (!isServed && !listener.redirectToHttps)
      warn(
        path,
        'no-route',
        `listener ${listener.name} answers 404 to every request: no route applies to it`,
        listener.protocol === 'http' ? 'add to: and the name of a pool' : 'its to: is for connections; add a route for requests',
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
  const told = new Set<number>();
  for (const route of plan.routes) {
    const origin = origins.get(route);
    // Routes of one entry differ in host and path only.
    if (origin === undefined || told.has(origin)) continue;
    told.add(origin);
    lintRetry(route, ['routes', String(origin)], warn);
    if (config.routes![origin].retry?.hedge !== undefined)
      lintHedge(route, plan, ['routes', String(origin), 'retry', 'hedge'], warn);
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

/** Methods that are never tried twice at the same time (RFC 9110 §9.2.2). */
const notIdempotent: ReadonlySet<string> = new Set(['POST', 'PATCH', 'CONNECT']);

function lintHedge(route: RoutePlan, plan: Plan, path: readonly string[], warn: Warn): void {
  const { retry, timeouts, match, action } = route;
  if (retry.hedgeMs === 0) return;
  const limitMs = Math.min(timeouts.responseMs, retry.perTryMs === 0 ? Infinity : retry.perTryMs);
  const why = match.methods?.every((method) => notIdempotent.has(method))
    ? `a ${orText(match.methods)} is never sent twice at the same time`
    : retry.attempts < 2
      ? 'attempts: 1 leaves no second try'
      : retry.hedgeMs >= limitMs
        ? `the first try has ended by then, after ${durationText(limitMs)}`
        : action.kind === 'forward' && action.pools.every(({ pool }) => plan.pools[pool].endpoints.length === 1)
          ? 'there is no other endpoint'
          : null;
  if (why !== null) warn(path, 'no-effect', `route ${route.name}: hedge has no effect: ${why}`);
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
