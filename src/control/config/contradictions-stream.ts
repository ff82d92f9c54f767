/**
 * Contradictions between a kind of traffic and the keys that stand beside it: a connection has no path, a request no ALPN. Works on the tree, like contradictions.ts.
 */
import { type ConfigFault, type FaultCode, faultAt } from './fault.ts';
import type { Kinds, ListenerKind, PoolKind } from './kinds.ts';
import { carried, listenerKindOf, streamKind } from './kinds.ts';
import { childOf, type Entry, entryOf, itemsOf, type MapNode, type Node, textOf } from './node.ts';
import { orText } from './shape.ts';
import type { Place } from './source.ts';

export function checkStreams(root: MapNode, kinds: Kinds, faults: ConfigFault[]): void {
  new StreamChecks(root, kinds, faults).check();
}

/** Keys of listeners, and the kinds they belong to. Those that are not here belong to all. */
const listenerKeys: Readonly<Record<string, readonly ListenerKind[]>> = {
  redirectToHttps: ['http', 'auto'],
  clientIp: ['http', 'auto'],
  underscores: ['http', 'auto'],
  proxyProtocol: ['http', 'tcp', 'auto'],
  sniffTimeout: ['tcp', 'auto'],
  udp: ['udp'],
};
const listenerTimeouts: Readonly<Record<string, readonly ListenerKind[]>> = {
  header: ['http', 'auto'],
  body: ['http', 'auto'],
  idle: ['http', 'tcp', 'auto'],
  connect: ['tcp', 'auto'],
  total: ['tcp', 'auto', 'udp'],
  halfClosed: ['tcp', 'auto'],
};
/** The limits that streams have. */
const streamLimits: readonly string[] = ['connections', 'connectionsPerIp', 'handshakes', 'bufferSize'];

/** Keys of routes that need a request. */
const requestKeys: readonly string[] = [
  'host',
  'path',
  'method',
  'header',
  'query',
  'use',
  'rewrite',
  'redirect',
  'respond',
  'urgency',
  'upgrade',
];
/** Keys of tests that go with one of the two only. */
const testKeys: Readonly<Record<'request' | 'connect', readonly string[]>> = {
  request: ['headers', 'listener'],
  connect: ['sni', 'alpn'],
};
/** What is expected of an answer or of what a request became. */
const answerKeys: readonly string[] = ['path', 'status', 'location'];
const requestTimeouts: readonly string[] = ['response', 'tunnel', 'request'];
const streamTimeouts: readonly string[] = ['total', 'halfClosed'];

class StreamChecks {
  readonly root: MapNode;
  readonly kinds: Kinds;
  readonly faults: ConfigFault[];

  constructor(root: MapNode, kinds: Kinds, faults: ConfigFault[]) {
    this.root = root;
    this.kinds = kinds;
    this.faults = faults;
  }

  check(): void {
    for (const { key, value } of entriesOf(childOf(this.root, 'listeners'))) {
      // What the schema refuses is not judged here again.
      const kind = listenerKindOf(childOf(value, 'protocol'));
      if (kind !== undefined) this.listener(value, kind, ['listeners', key]);
    }
    itemsOf(childOf(this.root, 'routes')).forEach((route, i) => {
      const { isStream, listeners } = this.kinds.routes[i];
      const path = ['routes', String(i)];
      if (isStream) this.streamRoute(route, listeners, path);
      else this.requestRoute(route, path);
    });
    for (const { key, value } of entriesOf(childOf(this.root, 'pools')))
      this.pool(value, this.kinds.pools.get(key)!, ['pools', key]);
    for (const [i, test] of itemsOf(childOf(this.root, 'tests')).entries()) this.test(test, ['tests', String(i)]);
  }

  /** A test is of a request or of a connection, and has the keys of it. */
  test(node: Node, path: readonly string[]): void {
    if (node.kind !== 'map') return;
    const [request, connect] = [entryOf(node, 'request'), entryOf(node, 'connect')];
    if ((request === undefined) === (connect === undefined)) {
      this.fault(node, 'bad-value', `${path.join('.')}: a test needs exactly one of request or connect`, path);
      return;
    }
    const kind = connect === undefined ? 'request' : 'connect';
    for (const { key, keyPlace } of node.entries)
      if (testKeys[kind === 'request' ? 'connect' : 'request'].includes(key))
        this.contradict(keyPlace, `${path.join('.')}: ${key} does not go with ${kind}`, [...path, key]);
    const expect = childOf(node, 'expect');
    for (const { key, keyPlace } of kind === 'request' ? [] : entriesOf(expect))
      if (answerKeys.includes(key))
        this.contradict(
          keyPlace,
          `${path.join('.')}.expect: ${key} does not go with connect`,
          [...path, 'expect', key],
          'a connection has a route and a pool',
        );
    const listener = connect?.value ?? childOf(node, 'listener');
    const name = textOf(listener);
    const carries = this.kinds.listeners.get(name ?? '');
    if (listener === undefined || carries === undefined) return;
    const isFit = kind === 'connect' ? carries !== 'http' : carries === 'http' || carries === 'auto';
    if (isFit) return;
    const why =
      kind === 'connect'
        ? 'takes requests, and no connections as they are'
        : `carries ${carried[streamKind(carries)]}: it knows no requests`;
    this.contradict(listener, `listener ${name} ${why}`, [...path, kind === 'connect' ? 'connect' : 'listener']);
  }

  listener(node: Node, kind: ListenerKind, path: readonly string[]): void {
    const where = path.join('.');
    const misfit = (entry: Entry, kinds: readonly ListenerKind[], at: readonly string[], help: string | null = null): void => {
      if (kinds.includes(kind)) return;
      const protocol = textOf(childOf(node, 'protocol'));
      this.contradict(
        entry.keyPlace,
        `${where}: ${entry.key} does not go with protocol: ${protocol ?? `${kind}, which is the default`}`,
        [...at, entry.key],
        help ?? `${entry.key} belongs to protocol: ${orText(kinds)}`,
      );
    };
    for (const entry of entriesOf(node)) if (Object.hasOwn(listenerKeys, entry.key)) misfit(entry, listenerKeys[entry.key], path);
    for (const entry of entriesOf(childOf(node, 'timeouts'))) {
      if (!Object.hasOwn(listenerTimeouts, entry.key)) continue;
      const help =
        entry.key === 'idle'
          ? 'write udp: { idle: … }'
          : entry.key === 'connect' && kind === 'http'
            ? 'connect belongs to routes'
            : null;
      misfit(entry, listenerTimeouts[entry.key], [...path, 'timeouts'], help);
    }
    for (const entry of entriesOf(childOf(node, 'limits'))) {
      if (kind === 'udp')
        misfit(entry, ['http', 'tcp', 'auto'], [...path, 'limits'], 'limits of datagrams are sessions and sessionsPerIp of udp');
      else if (!streamLimits.includes(entry.key)) misfit(entry, ['http', 'auto'], [...path, 'limits']);
    }
    if (kind !== 'udp') return;
    for (const item of itemsOf(childOf(node, 'listen')))
      if (textOf(item)?.startsWith('unix:'))
        this.contradict(item, `${where}.listen: datagrams have an IP address and a port`, [...path, 'listen']);
  }

  streamRoute(node: Node, listeners: readonly string[], path: readonly string[]): void {
    const where = path.join('.');
    const looksAt = ['sni', 'alpn'].find((key) => entryOf(node, key) !== undefined);
    const why = looksAt === undefined ? `its listeners carry ${this.listed(listeners)}` : `it matches by ${looksAt}`;
    for (const { key, keyPlace } of entriesOf(node)) {
      if (requestKeys.includes(key))
        this.contradict(
          keyPlace,
          `${where}: ${key} does not go with a route of connections (${why})`,
          [...path, key],
          key === 'host'
            ? 'the name in a TLS connection is matched by sni'
            : 'nothing in a connection is looked at but sni, alpn and the client address',
        );
    }
    for (const { key, keyPlace } of entriesOf(childOf(node, 'timeouts')))
      if (requestTimeouts.includes(key))
        this.contradict(
          keyPlace,
          `${where}.timeouts: ${key} does not go with a route of connections (${why})`,
          [...path, 'timeouts', key],
          'connections have connect, idle, total and halfClosed',
        );
    const isOfDatagrams = listeners.length > 0 && listeners.every((name) => this.kinds.listeners.get(name) === 'udp');
    for (const { key, keyPlace } of isOfDatagrams ? entriesOf(childOf(node, 'timeouts')) : [])
      if (['connect', 'idle', 'halfClosed'].includes(key))
        this.contradict(
          keyPlace,
          `${where}.timeouts: ${key} does not go with a route of datagrams`,
          [...path, 'timeouts', key],
          key === 'idle' ? 'a listener has it: udp: { idle: … }' : null,
        );
    for (const { key, keyPlace } of entriesOf(childOf(node, 'retry')))
      if (key !== 'attempts')
        this.contradict(
          keyPlace,
          `${where}.retry: ${key} does not go with a route of connections (${why})`,
          [...path, 'retry', key],
          'only connecting is tried again: attempts',
        );
    for (const item of itemsOf(childOf(node, 'listener'))) {
      const name = textOf(item) ?? '';
      const kind = this.kinds.listeners.get(name);
      if (kind === undefined || kind === 'tcp' || kind === 'auto' || (kind === 'udp' && looksAt === undefined)) continue;
      const what = kind === 'udp' ? 'datagrams, which carry no names' : 'requests';
      this.contradict(
        item,
        `${where}: ${looksAt} does not go with listener ${name}, which takes ${what}`,
        [...path, 'listener'],
        kind === 'http' ? 'sni and alpn belong to listeners with protocol: tcp or auto; host is the name in a request' : null,
      );
    }
    const carries = new Set(listeners.map((name) => (this.kinds.listeners.get(name) === 'udp' ? 'udp' : 'tcp')));
    if (carries.size > 1)
      this.contradict(
        node,
        `${where}: its listeners carry ${this.listed(listeners)}, and a pool is for one of them`,
        path,
        'write a route for each, with listener',
      );
    // Without an `auto` or `tcp` listener nothing comes to it.
    else if (carries.size === 0 && entryOf(node, 'listener') === undefined)
      this.contradict(entryOf(node, looksAt!)!.keyPlace, `${where}: ${looksAt} needs a listener with protocol: tcp or auto`, [
        ...path,
        looksAt!,
      ]);
  }

  requestRoute(node: Node, path: readonly string[]): void {
    const where = path.join('.');
    for (const { key, keyPlace } of entriesOf(childOf(node, 'timeouts')))
      if (streamTimeouts.includes(key))
        this.contradict(
          keyPlace,
          `${where}.timeouts: ${key} belongs to routes of connections`,
          [...path, 'timeouts', key],
          key === 'total' ? 'the whole exchange is limited by request' : null,
        );
    for (const item of itemsOf(childOf(node, 'listener'))) {
      const name = textOf(item) ?? '';
      const kind = this.kinds.listeners.get(name);
      if (kind === 'tcp' || kind === 'udp')
        this.contradict(
          item,
          `${where}: listener ${name} carries ${carried[kind]}, and the others of this route requests`,
          [...path, 'listener'],
          'write a route for each',
        );
    }
  }

  pool(node: Node, kind: PoolKind, path: readonly string[]): void {
    const where = path.join('.');
    const sends = entryOf(node, 'proxyProtocol');
    const source = entryOf(node, 'source');
    if (sends !== undefined && kind === 'udp')
      this.contradict(sends.keyPlace, `${where}: proxyProtocol does not go with ${carried.udp}`, [...path, 'proxyProtocol']);
    const addresses = itemsOf(childOf(source?.value, 'addresses'));
    const isTransparent = scalarOf(childOf(source?.value, 'transparent')) === true;
    if (isTransparent && kind === 'http')
      this.contradict(
        source!.keyPlace,
        `${where}.source: transparent does not go with ${carried.http}`,
        [...path, 'source', 'transparent'],
        'requests of many clients share a connection; X-Forwarded-For names the client, and so does proxyProtocol',
      );
    if (source?.value.kind === 'map' && addresses.length > 0 && isTransparent)
      this.contradict(source.keyPlace, `${where}.source: the address is the client's (transparent), or one of addresses`, [
        ...path,
        'source',
      ]);
    if (kind === 'http') return;
    const sticky = entryOf(node, 'sticky');
    if (sticky !== undefined)
      this.contradict(
        sticky.keyPlace,
        `${where}: sticky does not go with ${carried[kind]}, which carry no cookies`,
        [...path, 'sticky'],
        'balance: source keeps a client address with its endpoint',
      );
    const hashOn = childOf(childOf(node, 'balance'), 'hashOn');
    const by = textOf(hashOn);
    if (hashOn !== undefined && by !== undefined && /^\{request\./.test(by))
      this.contradict(
        hashOn,
        `${where}.balance: ${by} does not go with ${carried[kind]}`,
        [...path, 'balance', 'hashOn'],
        'of them only {client.ip} is known',
      );
  }

  listed(listeners: readonly string[]): string {
    const kinds = new Set(listeners.map((name) => (this.kinds.listeners.get(name) === 'udp' ? carried.udp : carried.tcp)));
    return [...kinds].join(' and ') || carried.tcp;
  }

  contradict(place: Place, message: string, path: readonly string[], help: string | null = null): void {
    this.fault(place, 'contradiction', message, path, help);
  }

  fault(place: Place, code: FaultCode, message: string, path: readonly string[], help: string | null = null): void {
    this.faults.push(faultAt(place, code, message, { help, path }));
  }
}

function entriesOf(node: Node | undefined): readonly Entry[] {
  return node?.kind === 'map' ? node.entries : [];
}

function scalarOf(node: Node | undefined): unknown {
  return node?.kind === 'scalar' ? node.value : undefined;
}
