/** The banner: what a person sees when weir has started on a terminal. */
import { type Address, addressText } from '../../base/wire.ts';
import type { ListenerPlan, Plan, PoolPlan } from '../../state/plan.ts';

export interface BannerParts {
  version: string;
  engine: string;
  workers: number;
  readyMs: number;
  plan: Plan;
  /** What a listener's address is bound to. */
  boundTo: (listener: ListenerPlan, address: Address) => Address;
  admin: readonly Address[];
  /** Lines that need attention: a port that was taken, an engine that is not there. */
  notes: readonly string[];
  color: boolean;
}

const WIDTH = 72;
const NAME_WIDTH = 8;

/** `scheme`: what is spoken there. An `auto` listener takes requests too. */
function url(address: Address, scheme = 'http'): string {
  return address.kind === 'unix' ? addressText(address) : `${scheme}://${addressText(address)}`;
}

function schemeOf({ protocol, tls }: ListenerPlan): string {
  if (protocol === 'udp') return protocol;
  if (protocol === 'tcp') return tls === null ? protocol : 'tls';
  return tls === null ? 'http' : 'https';
}

/** "http://0.0.0.0:8080" cannot be opened; the name for this machine can. */
export function tryAddress(address: Address): string {
  if (address.kind === 'unix') return `--unix-socket ${address.path} http://localhost/`;
  const isAny = address.host === '0.0.0.0' || address.host === '::';
  return isAny ? `localhost:${address.port}` : addressText(address);
}

const every = (ms: number): string => (ms % 1000 === 0 ? `${ms / 1000}s` : `${ms}ms`);

function poolText(pool: PoolPlan): string {
  const count = pool.endpoints.length;
  const { active } = pool.health;
  const checks = active === null ? 'not checked' : `checked every ${every(active.intervalMs)}`;
  return `${count} endpoint${count === 1 ? '' : 's'}, ${pool.balance.algorithm}, ${checks}`;
}

function targetText(listener: ListenerPlan, plan: Plan): string {
  if (listener.redirectToHttps) return 'redirect to https';
  const routes = plan.routes.filter(
    ({ listeners }) => listeners === null || listeners.includes(plan.listeners.indexOf(listener)),
  );
  const pools = new Set(listener.to?.pools.map(({ pool }) => pool) ?? []);
  for (const { action } of routes) if (action.kind === 'forward') for (const { pool } of action.pools) pools.add(pool);
  for (const { target } of listener.streams) for (const { pool } of target.pools) pools.add(pool);
  const named = [...pools].flatMap((index) => plan.pools[index] ?? []);
  // A listener's own `to` is a route, too, but nobody wrote it as one.
  const written = [...routes, ...listener.streams].filter(({ name }) => name !== `listener/${listener.name}`).length;
  if (named.length === 1 && written === 0) return poolText(named[0]!);
  const names = named.map(({ name }) => name);
  return `${written} route${written === 1 ? '' : 's'} to ${names.length === 0 ? 'no pool' : names.join(', ')}`;
}

export function banner(parts: BannerParts): string {
  const { plan, color } = parts;
  const strong = (text: string): string => (color ? `\x1b[1m${text}\x1b[0m` : text);
  const faint = (text: string): string => (color ? `\x1b[2m${text}\x1b[0m` : text);
  const node = process.versions.node.split('.').slice(0, 2).join('.');
  const engine = parts.engine === 'uring' ? 'io_uring' : parts.engine;
  const left = `weir ${parts.version}  node ${node}  ${engine}, ${parts.workers} worker${parts.workers === 1 ? '' : 's'}`;
  const ready = `ready in ${Math.round(parts.readyMs)} ms`;
  const lines = ['', `  ${strong(left)}${' '.repeat(Math.max(2, WIDTH - left.length - ready.length))}${ready}`, ''];
  let attempt: string | null = null;
  const nameWidth = Math.max(NAME_WIDTH, ...plan.listeners.map(({ name }) => name.length));
  for (const listener of plan.listeners) {
    for (const address of listener.addresses) {
      const at = parts.boundTo(listener, address);
      const scheme = schemeOf(listener);
      // Whose certificate it is, this machine's name seldom knows.
      if (scheme === 'http') attempt ??= tryAddress(at);
      else if (scheme === 'https') attempt ??= at.kind === 'ip' ? `-k https://${tryAddress(at)}` : null;
      lines.push(`  ${listener.name.padEnd(nameWidth)} ${strong(url(at, scheme).padEnd(26))} ->  ${targetText(listener, plan)}`);
    }
  }
  for (const address of parts.admin) {
    const text = address.kind === 'unix' ? url(address) : `metrics ${url(address)}/metrics  ready? ${url(address)}/readyz`;
    lines.push(`  ${'admin'.padEnd(nameWidth)} ${faint(text)}`);
  }
  for (const note of parts.notes) lines.push('', `  ${note}`);
  if (attempt !== null) lines.push('', `  ${'try'.padEnd(nameWidth)} curl ${attempt}`);
  lines.push('', '');
  return lines.join('\n');
}
