/**
 * Kinds: what each listener, route and pool carries. A listener says it; a route follows from what it matches and where; a pool from who sends to it,
 * unless it says it. Works on the tree, so that its errors come together with those of the schema, however broken the rest is.
 *
 * Rules
 * 1. A route with `sni` or `alpn` is of connections. So is one whose listeners are all `tcp` or `udp`: those it names, or, where it names none, all there are.
 *    Every other route is of requests.
 * 2. The `to` of an `auto` listener is where connections go; its requests go by routes.
 * 3. A pool is of one kind, and its fallback of the same.
 */
import { looksLikeAddress } from './address.ts';
import { type ConfigFault, faultAt } from './fault.ts';
import { childOf, entryOf, itemsOf, type MapNode, type Node, textOf } from './node.ts';
import type { Place } from './source.ts';

export type PoolKind = 'http' | 'tcp' | 'udp';
export type ListenerKind = PoolKind | 'auto';

const poolKinds: readonly string[] = ['http', 'tcp', 'udp'];

/** What a written `protocol` carries: requests are the same within TLS. undefined: the schema refuses it. */
export function listenerKindOf(protocol: Node | undefined): ListenerKind | undefined {
  const text = protocol === undefined ? 'http' : (textOf(protocol) ?? '');
  if (text === 'https') return 'http';
  return text === 'auto' || poolKinds.includes(text) ? (text as ListenerKind) : undefined;
}

export interface Kinds {
  listeners: ReadonlyMap<string, ListenerKind>;
  /** By place in `routes`. */
  routes: readonly RouteKind[];
  pools: ReadonlyMap<string, PoolKind>;
}

export interface RouteKind {
  isStream: boolean;
  /** Names of the listeners a route of connections belongs to. Empty for others. */
  listeners: readonly string[];
}

/** What sends to a pool. */
interface Use {
  pool: string;
  kind: PoolKind;
  place: Place;
  path: readonly string[];
  /** "listener db", "route api". */
  who: string;
}

/** What a pool gets, in words. */
export const carried: Readonly<Record<PoolKind, string>> = Object.freeze({
  http: 'requests',
  tcp: 'connections',
  udp: 'datagrams',
});

export function kindsOf(root: MapNode, faults: ConfigFault[]): Kinds {
  const listeners = new Map<string, ListenerKind>();
  const uses: Use[] = [];
  for (const [name, node] of entries(childOf(root, 'listeners'))) {
    const kind = listenerKindOf(childOf(node, 'protocol'));
    // What the schema refuses could be any, and nothing follows from it.
    listeners.set(name, kind ?? 'auto');
    if (kind === undefined) continue;
    const path = ['listeners', name, 'to'];
    usesOf(childOf(node, 'to'), path, kind === 'http' ? 'http' : streamKind(kind), `listener ${name}`, uses);
  }
  const routes = itemsOf(childOf(root, 'routes')).map((node, i): RouteKind => {
    const route = routeKind(node, listeners);
    const path = ['routes', String(i), 'to'];
    const kinds = new Set(route.isStream ? route.listeners.map((name) => streamKind(listeners.get(name)!)) : ['http' as const]);
    for (const kind of kinds) usesOf(childOf(node, 'to'), path, kind, `route ${textOf(childOf(node, 'name')) ?? i}`, uses);
    return route;
  });
  return { listeners, routes, pools: poolKindsOf(root, uses, faults) };
}

/** What a listener gives to a pool that connections go to. */
export function streamKind(kind: ListenerKind): 'tcp' | 'udp' {
  return kind === 'udp' ? 'udp' : 'tcp';
}

function routeKind(node: Node, all: ReadonlyMap<string, ListenerKind>): RouteKind {
  const named = itemsOf(childOf(node, 'listener')).flatMap((item) => {
    const name = textOf(item);
    return name !== undefined && all.has(name) ? [name] : [];
  });
  const isNamed = entryOf(node, 'listener') !== undefined;
  const looksAtTls = entryOf(node, 'sni') !== undefined || entryOf(node, 'alpn') !== undefined;
  const asked = isNamed ? named : [...all.keys()];
  const kinds = asked.map((name) => all.get(name)!);
  const isStream = looksAtTls || (kinds.length > 0 && kinds.every((kind) => kind === 'tcp' || kind === 'udp'));
  if (!isStream) return { isStream, listeners: [] };
  // Datagrams carry no names; listeners of requests are an error where they are named.
  return { isStream, listeners: asked.filter((_, i) => kinds[i] !== 'http' && !(looksAtTls && kinds[i] === 'udp')) };
}

/** Pools that a `to` names. Addresses make a pool of their own, of the right kind. */
function usesOf(to: Node | undefined, path: readonly string[], kind: PoolKind, who: string, uses: Use[]): void {
  if (to === undefined) return;
  const name = textOf(to);
  if (name !== undefined && !looksLikeAddress(name)) uses.push({ pool: name, kind, place: to, path, who });
  if (to.kind !== 'map') return;
  for (const { key, keyPlace } of to.entries) uses.push({ pool: key, kind, place: keyPlace, path: [...path, key], who });
}

const WRITTEN = 'it is written';

function poolKindsOf(root: MapNode, uses: readonly Use[], faults: ConfigFault[]): ReadonlyMap<string, PoolKind> {
  const pools = new Map(entries(childOf(root, 'pools')));
  const known = new Map<string, { kind: PoolKind; place: Place; why: string }>();
  for (const [name, node] of pools) {
    const written = childOf(node, 'protocol');
    const kind = textOf(written) ?? '';
    if (written !== undefined && poolKinds.includes(kind))
      known.set(name, { kind: kind as PoolKind, place: written, why: WRITTEN });
  }
  const told = new Set<string>();
  const use = ({ pool, kind, place, path, who }: Use): void => {
    const node = pools.get(pool);
    const before = known.get(pool);
    if (node === undefined) return;
    if (before === undefined) known.set(pool, { kind, place, why: `${who} sends it ${carried[kind]}` });
    else if (before.kind !== kind && !told.has(pool)) {
      told.add(pool);
      const isWritten = before.why === WRITTEN;
      const message = isWritten
        ? `${who} sends ${carried[kind]} to pool ${pool}, which is for ${carried[before.kind]}`
        : `${who} sends ${carried[kind]} to pool ${pool}, and ${before.why}: a pool is for one of them`;
      faults.push(
        faultAt(place, 'pool-protocol', message, {
          path,
          help: isWritten
            ? `a pool with protocol: ${kind} can have the same endpoints`
            : 'write two pools; they can have the same endpoints',
          also: { message: isWritten ? 'its protocol is written at' : 'the other is at', place: before.place },
        }),
      );
    }
  };
  for (const one of uses) use(one);
  // Each pool passes its kind on once, when it is known.
  const queue = [...known.keys()];
  for (const name of queue) {
    const fallback = childOf(pools.get(name), 'fallback');
    const pool = textOf(fallback);
    if (fallback === undefined || pool === undefined) continue;
    const isNew = pools.has(pool) && !known.has(pool);
    use({ pool, kind: known.get(name)!.kind, place: fallback, path: ['pools', name, 'fallback'], who: `pool ${name}` });
    if (isNew) queue.push(pool);
  }
  return new Map([...pools.keys()].map((name) => [name, known.get(name)?.kind ?? 'http']));
}

function entries(node: Node | undefined): [string, Node][] {
  return node?.kind === 'map' ? node.entries.map((e) => [e.key, e.value]) : [];
}
