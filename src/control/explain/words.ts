/** Words: parts of a plan as people read them, for `weir explain` and the listings of the admin API. */
import type { TlsFacts } from '../../base/tls-facts.ts';
import type {
  Cidr,
  FilterPlan,
  PathMatchPlan,
  Plan,
  PoolPlan,
  RouteActionPlan,
  RouteMatchPlan,
  StreamRoutePlan,
  TargetPlan,
  TextMatchPlan,
} from '../../state/plan.ts';

/** "1.3  TLS_AES_128_GCM_SHA256  for shop.example, http/1.1, resumed". */
export function tlsFactsText({ version, cipher, serverName, alpn, isResumed }: TlsFacts): string {
  const agreed = [serverName === '' ? 'without a name' : `for ${serverName}`, alpn, isResumed ? 'resumed' : ''];
  return `${version}  ${cipher}  ${agreed.filter((text) => text !== '').join(', ')}`;
}

/** What a route asks for: "host *.shop.example, path prefix /v1/*, method POST". */
export function matchText(match: RouteMatchPlan): string {
  const parts: string[] = [];
  if (match.host !== null) parts.push(match.host.wildcard ? `host *.${match.host.value}` : `host ${match.host.value}`);
  if (match.path.kind !== 'any') parts.push(`path ${pathWords(match.path)}`);
  if (match.methods !== null) parts.push(`method ${match.methods.join(' or ')}`);
  for (const { name, match: value } of match.headers) parts.push(`header ${name} ${textWords(value)}`);
  for (const { name, match: value } of match.query) parts.push(`query ${name} ${textWords(value)}`);
  if (match.clients !== null) parts.push(`client in ${match.clients.map(cidrText).join(', ')}`);
  return parts.length === 0 ? 'every request' : parts.join(', ');
}

/** What a route of connections asks for: "sni *.shop.example, alpn h2 or http/1.1". */
export function streamMatchText({ serverName, alpn, clients }: StreamRoutePlan['match']): string {
  const parts: string[] = [];
  if (serverName !== null) parts.push(`sni ${serverName.wildcard ? '*.' : ''}${serverName.value}`);
  if (alpn !== null) parts.push(`alpn ${alpn.join(' or ')}`);
  if (clients !== null) parts.push(`client in ${clients.map(cidrText).join(', ')}`);
  return parts.length === 0 ? 'all' : parts.join(', ');
}

/** "web", "web 95, web-next 5", "redirect 308 to https://…", "respond 200". */
export function actionText(action: RouteActionPlan, plan: Pick<Plan, 'pools'>): string {
  if (action.kind === 'redirect') return `redirect ${action.status} to ${action.location}`;
  if (action.kind === 'respond') return `respond ${action.status}`;
  return targetText(action, plan);
}

export function targetText({ pools }: TargetPlan, plan: Pick<Plan, 'pools'>): string {
  const name = (pool: number): string => plan.pools[pool]!.name;
  return pools.length === 1 ? name(pools[0]!.pool) : pools.map(({ pool, weight }) => `${name(pool)} ${weight}`).join(', ');
}

/** What a hashing policy places by: "client", "header x-user". */
export function hashOnText({ balance }: PoolPlan): string {
  const { kind, name } = balance.algorithm === 'source' ? { kind: 'client', name: '' } : balance.hashOn;
  return name === '' ? kind : `${kind} ${name}`;
}

/** Names as the configuration uses them; one that does several things stands in the plan several times. */
export function filterNames(filters: readonly FilterPlan[]): string[] {
  return [...new Set(filters.map(({ name }) => name))];
}

export function cidrText({ bytes, bits }: Cidr): string {
  if (bytes.length === 4) return `${bytes.join('.')}/${bits}`;
  const groups = Array.from({ length: 8 }, (_, i) => ((bytes[2 * i]! << 8) | bytes[2 * i + 1]!).toString(16));
  // The URL parser knows RFC 5952.
  return `${new URL(`http://[${groups.join(':')}]`).hostname.slice(1, -1)}/${bits}`;
}

const units: readonly (readonly [number, string])[] = [
  [3_600_000, 'h'],
  [60_000, 'm'],
  [1000, 's'],
];

/** A duration as the configuration writes it: "1h", "1500ms", "none" for 0. */
export function durationText(ms: number): string {
  if (ms === 0) return 'none';
  for (const [size, unit] of units) if (ms % size === 0) return `${ms / size}${unit}`;
  return `${ms}ms`;
}

function pathWords(path: PathMatchPlan): string {
  switch (path.kind) {
    case 'any':
      return '/*';
    case 'exact':
      return `exact ${path.value}`;
    case 'prefix':
      return `prefix ${path.value}/*`;
    case 'segments':
      return `/${path.segments.join('/')}${path.rest ? '/*' : ''}`;
    case 'regex':
      return `~${path.value}`;
  }
}

function textWords(match: TextMatchPlan): string {
  switch (match.kind) {
    case 'present':
      return 'present';
    case 'prefix':
      return `${match.value}*`;
    case 'regex':
      return `~${match.value}`;
    default:
      return match.value;
  }
}
