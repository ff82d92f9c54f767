/** Routes and what they use, from config to plan. */
import type {
  FilterPlan,
  HeaderEditPlan,
  ListenerPlan,
  PathMatchPlan,
  RateLimitPlan,
  RetryPlan,
  RewritePlan,
  RouteActionPlan,
  RouteMatchPlan,
  RoutePlan,
  RouteTimeoutsPlan,
} from '../../state/plan.ts';
import type { Builder } from './build.ts';
import { readHost, readPath, readTextMatch } from './patterns.ts';
import type { FilterConfig, RouteConfig } from './schema.ts';
import { burstOf, readPercent, readRate } from './units.ts';
import { listOf, ms, must, rangesOf } from './values.ts';

/**
 * One route of the config: as many in the plan as it has hosts times paths. They share their name, and so their counters.
 */
export function buildRoute(route: RouteConfig, index: number, builder: Builder, names: Set<string>): RoutePlan[] {
  const source = builder.options.sourceOf(['routes', String(index)]);
  const hosts = route.host === undefined ? [null] : listOf(route.host).map((text) => must(readHost(text)));
  const paths = route.path === undefined ? [{ kind: 'any' } as PathMatchPlan] : listOf<PathForm>(route.path).map(pathOf);
  const rest = {
    methods: route.method === undefined ? null : listOf(route.method),
    headers: Object.entries(route.header ?? {}).map(([name, value]) => ({
      name: name.toLowerCase(),
      match: must(readTextMatch(value)),
    })),
    query: Object.entries(route.query ?? {}).map(([name, value]) => ({ name, match: must(readTextMatch(value)) })),
    clients: route.client === undefined ? null : rangesOf(route.client),
  };
  const name = route.name ?? freshName(describe(route), names);
  names.add(name);
  const shared = {
    id: -1,
    name,
    source,
    listeners: route.listener === undefined ? null : listOf(route.listener).map((l) => builder.listenerNames.indexOf(l)),
    action: actionOf(route, name, source, builder),
    priority: route.priority ?? 0,
    filters: (route.use === undefined ? [] : listOf(route.use)).flatMap((f) => filtersOf(f, builder.config.filters![f])),
    rewrite: rewriteOf(route),
    ...behaviour(route, builder),
  };
  return hosts.flatMap((host) => paths.map((path): RoutePlan => ({ ...shared, match: { host, path, ...rest } })));
}

/** The route that a listener's own `to` stands for: everything that no other route takes. */
export function defaultRoute(listener: ListenerPlan, index: number, builder: Builder): RoutePlan {
  const match: RouteMatchPlan = { host: null, path: { kind: 'any' }, methods: null, headers: [], query: [], clients: null };
  return {
    id: -1,
    name: `listener/${listener.name}`,
    source: builder.options.sourceOf(['listeners', listener.name]),
    listeners: [index],
    match,
    action: { kind: 'forward', pools: listener.to!.pools },
    priority: 0,
    filters: [],
    rewrite: null,
    ...behaviour({}, builder),
  };
}

function behaviour(
  route: RouteConfig,
  builder: Builder,
): { timeouts: RouteTimeoutsPlan; retry: RetryPlan; urgency: number; upgrade: string[] } {
  const { defaults } = builder.config;
  const timeouts = { ...defaults?.timeouts, ...route.timeouts };
  const retry = { ...defaults?.retry, ...route.retry };
  const backoffMs = ms(retry.backoff, 25);
  return {
    timeouts: {
      connectMs: ms(timeouts.connect, 1000),
      responseMs: ms(timeouts.response, 30_000),
      idleMs: ms(timeouts.idle, 60_000),
      tunnelMs: ms(timeouts.tunnel, 3_600_000),
      requestMs: ms(timeouts.request, 0),
    },
    retry: {
      attempts: retry.attempts ?? 2,
      on: retry.on === undefined ? ['connect', 'reset', 'refused-stream'] : listOf(retry.on),
      budget: retry.budget === undefined ? 0.2 : must(readPercent(retry.budget)),
      // A failing pool must not starve a quiet one of its few retries.
      budgetMin: retry.minPerSecond ?? 3,
      perTryMs: ms(retry.perTry, 0),
      hedgeMs: ms(retry.hedge, 0),
      backoffMs,
      backoffMaxMs: ms(retry.maxBackoff, Math.max(250, backoffMs)),
    },
    urgency: route.urgency ?? 3,
    upgrade: (route.upgrade === undefined ? ['websocket'] : listOf(route.upgrade)).map((token) => token.toLowerCase()),
  };
}

type PathForm = string | { exact?: string; prefix?: string; regex?: string };

function pathOf(form: PathForm): PathMatchPlan {
  if (typeof form === 'string') return must(readPath(form));
  if (form.exact !== undefined) return { kind: 'exact', value: form.exact };
  if (form.regex !== undefined) return { kind: 'regex', value: form.regex };
  const value = form.prefix!.replace(/\/$/, '');
  return value === '' ? { kind: 'any' } : { kind: 'prefix', value };
}

function actionOf(route: RouteConfig, name: string, source: string, builder: Builder): RouteActionPlan {
  if (route.redirect !== undefined) {
    const redirect = typeof route.redirect === 'string' ? { to: route.redirect } : route.redirect;
    return { kind: 'redirect', status: redirect.status ?? 308, location: redirect.to };
  }
  if (route.respond !== undefined) {
    const { status, body, contentType, headers } = route.respond;
    return {
      kind: 'respond',
      status: status ?? 200,
      body: body ?? '',
      contentType: contentType ?? 'text/plain; charset=utf-8',
      headers: pairs(headers),
    };
  }
  return { kind: 'forward', ...builder.target(route.to!, `route/${name}`, source, 'http') };
}

/** A filter of the config may do several things; each is one in the plan: who may not pass is not counted, and neither is worth an edit. */
function filtersOf(name: string, filter: FilterConfig): FilterPlan[] {
  const made: FilterPlan[] = [];
  if (filter.access)
    made.push({
      kind: 'access',
      name,
      id: -1,
      allow: rangesOf(filter.access.allow),
      deny: rangesOf(filter.access.deny),
      isShadow: filter.access.mode === 'shadow',
    });
  if (filter.rateLimit !== undefined) made.push({ kind: 'rateLimit', name, id: -1, ...rateLimitOf(filter.rateLimit) });
  if (filter.headers)
    made.push({
      kind: 'headers',
      name,
      id: -1,
      request: editOf(filter.headers.request),
      response: editOf(filter.headers.response),
    });
  return made;
}

function rateLimitOf(written: NonNullable<FilterConfig['rateLimit']>): RateLimitPlan {
  const limit = typeof written === 'string' ? { rate: written } : written;
  const rate = must(readRate(limit.rate));
  return {
    algorithm: limit.algorithm ?? 'token-bucket',
    ...rate,
    burst: limit.burst ?? burstOf(rate),
    key: limit.key ?? '{client.ip}',
    isShadow: limit.mode === 'shadow',
    headers: limit.headers ?? false,
  };
}

type EditConfig = NonNullable<NonNullable<FilterConfig['headers']>['request']>;

function editOf(edit: EditConfig | undefined): HeaderEditPlan {
  return {
    set: pairs(edit?.set),
    add: pairs(edit?.add),
    remove: edit?.remove === undefined ? [] : listOf(edit.remove).map((name) => name.toLowerCase()),
  };
}

function pairs(map: Record<string, string> | undefined): { name: string; value: string }[] {
  return Object.entries(map ?? {}).map(([name, value]) => ({ name: name.toLowerCase(), value }));
}

function rewriteOf(route: RouteConfig): RewritePlan | null {
  const { rewrite } = route;
  if (rewrite === undefined) return null;
  return {
    stripPrefix: rewrite.stripPrefix ?? null,
    addPrefix: rewrite.addPrefix ?? null,
    path: rewrite.path ?? null,
    host: rewrite.host ?? null,
  };
}

/** What a route matches, in words that stay the same when other routes come and go: its name when it has none. */
function describe(route: RouteConfig): string {
  const host = route.host === undefined ? '*' : listOf(route.host)[0];
  const first = route.path === undefined ? '/*' : listOf<PathForm>(route.path)[0];
  const path =
    typeof first === 'string'
      ? first
      : (first.exact ?? (first.prefix !== undefined ? `${first.prefix.replace(/\/$/, '')}/*` : `~${first.regex}`));
  const parts = [`${host}${path.startsWith('/') ? '' : ' '}${path}`];
  if (route.method !== undefined) parts.push(listOf(route.method).join(','));
  for (const [name, value] of Object.entries(route.header ?? {})) parts.push(`${name.toLowerCase()}:${value}`);
  for (const [name, value] of Object.entries(route.query ?? {})) parts.push(`?${name}=${value}`);
  if (route.client !== undefined) parts.push(`from ${listOf(route.client).join(',')}`);
  if (route.listener !== undefined) parts.push(`at ${listOf(route.listener).join(',')}`);
  return parts.join(' ').slice(0, 120);
}

export function freshName(wanted: string, names: ReadonlySet<string>): string {
  if (!names.has(wanted)) return wanted;
  for (let i = 2; ; i++) if (!names.has(`${wanted} #${i}`)) return `${wanted} #${i}`;
}
