/** Routes of connections and datagrams, from config to plan: a list for each listener, in the order in which it is asked. */
import type { ListenerPlan, StreamRoutePlan, StreamTimeoutsPlan, TargetPlan, UdpListenerPlan } from '../../state/plan.ts';
import type { Builder } from './build.ts';
import { freshName } from './build-route.ts';
import { type ListenerKind, streamKind } from './kinds.ts';
import { compareStreams, type WrittenStream } from './precedence-stream.ts';
import type { ListenerConfig, RouteConfig } from './schema.ts';
import { readServerName } from './schema-stream.ts';
import { listOf, ms, must, rangesOf } from './values.ts';

/** Adds one route of the config to the lists of its listeners: as often as it has names. They share their name, and so their counters. */
export function buildStreams(
  route: RouteConfig,
  origin: number,
  builder: Builder,
  names: Set<string>,
  lists: ReadonlyMap<string, WrittenStream[]>,
): void {
  const source = builder.options.sourceOf(['routes', String(origin)]);
  const name = route.name ?? freshName(describe(route), names);
  names.add(name);
  const { listeners } = builder.kinds.routes[origin];
  const kind = streamKind(builder.kinds.listeners.get(listeners[0] ?? '') ?? 'tcp');
  const target = builder.target(route.to!, `route/${name}`, source, kind);
  const serverNames = route.sni === undefined ? [null] : listOf(route.sni).map((text) => must(readServerName(text)));
  for (const listener of listeners) {
    for (const serverName of serverNames) {
      const plan: StreamRoutePlan = {
        id: -1,
        name,
        source,
        match: {
          serverName,
          alpn: route.alpn === undefined ? null : listOf(route.alpn),
          clients: route.client === undefined ? null : rangesOf(route.client),
        },
        target,
        ...behaviour(builder, builder.config.listeners[listener], route),
      };
      lists.get(listener)!.push({ plan, priority: route.priority ?? 0, origin });
    }
  }
}

/** The streams of a listener in the order they are asked; `to` of the listener last. */
export function streamsOf(
  listener: ListenerPlan,
  to: TargetPlan | null,
  written: readonly WrittenStream[],
  builder: Builder,
): StreamRoutePlan[] {
  const streams = written.toSorted(compareStreams).map(({ plan }) => plan);
  if (to !== null)
    streams.push({
      id: -1,
      name: `listener/${listener.name}`,
      source: builder.options.sourceOf(['listeners', listener.name]),
      match: { serverName: null, alpn: null, clients: null },
      target: to,
      ...behaviour(builder, builder.config.listeners[listener.name], {}),
    });
  return streams;
}

function behaviour(
  { config }: Builder,
  listener: ListenerConfig,
  route: Pick<RouteConfig, 'timeouts' | 'retry'>,
): { timeouts: StreamTimeoutsPlan; attempts: number } {
  // `idle` of defaults is that of requests: an hour of silence is nothing between a program and its database.
  const { connect, total, halfClosed } = config.defaults?.timeouts ?? {};
  const timeouts = { connect, total, halfClosed, ...listener.timeouts, ...route.timeouts };
  const idleMs = listener.protocol === 'udp' ? ms(listener.udp?.idle, UDP_IDLE_MS) : 3_600_000;
  return {
    timeouts: {
      connectMs: ms(timeouts.connect, 1000),
      idleMs: ms(timeouts.idle, idleMs),
      totalMs: ms(timeouts.total, 0),
      halfClosedMs: ms(timeouts.halfClosed, 30_000),
    },
    attempts: route.retry?.attempts ?? config.defaults?.retry?.attempts ?? 2,
  };
}

const UDP_IDLE_MS = 30_000;

export function buildUdp(kind: ListenerKind, written: ListenerConfig['udp'] = {}): UdpListenerPlan | null {
  if (kind !== 'udp') return null;
  return {
    idleMs: ms(written.idle, UDP_IDLE_MS),
    responses: written.responses ?? 0,
    sessionsMax: written.sessions ?? 65_536,
    sessionsPerIpMax: written.sessionsPerIp ?? 1024,
    whenFull: written.whenFull ?? 'oldest',
  };
}

/** What a route matches, in words that stay the same when other routes come and go: its name when it has none. */
function describe(route: RouteConfig): string {
  const parts: string[] = [];
  if (route.sni !== undefined) parts.push(`sni ${listOf(route.sni)[0]}`);
  if (route.alpn !== undefined) parts.push(`alpn ${listOf(route.alpn).join(',')}`);
  if (route.client !== undefined) parts.push(`from ${listOf(route.client).join(',')}`);
  if (route.listener !== undefined) parts.push(`at ${listOf(route.listener).join(',')}`);
  return parts.length === 0 ? 'all connections' : parts.join(' ').slice(0, 120);
}
