/**
 * References: what one part of a config says about another, and rules over several keys. Works on the tree, so that these errors come
 * together with those of the schema, however broken the rest is.
 */
import type { Address } from '../../base/wire.ts';
import { checkFieldName } from '../../filter/filter.ts';
import { looksLikeAddress, readEndpoint, readListen } from './address.ts';
import { BoundAddresses } from './bound-addresses.ts';
import { certificateNames } from './contradictions-tls.ts';
import { type ConfigFault, type FaultCode, type FaultDetail, faultAt } from './fault.ts';
import { NAME } from './leaves.ts';
import { childOf, type Entry, entryOf, itemsOf, type MapNode, type Node, textOf } from './node.ts';
import { configSchema } from './schema.ts';
import { noteOf } from './shape.ts';
import type { Place } from './source.ts';
import { nearest, suggest } from './suggest.ts';

export function checkReferences(root: MapNode, isIncomplete: boolean, faults: ConfigFault[]): void {
  new References(root, isIncomplete, faults).check();
}

/** How checkFieldName ends when a text is no name at all; otherwise it is one that no edit may touch. */
const NOT_A_NAME = 'is not a header name';

type NameKind = 'pool' | 'filter' | 'listener' | 'certificate' | 'route';

class References {
  readonly root: MapNode;
  readonly isIncomplete: boolean;
  readonly faults: ConfigFault[];
  readonly names: Record<NameKind, string[]>;

  constructor(root: MapNode, isIncomplete: boolean, faults: ConfigFault[]) {
    this.root = root;
    this.isIncomplete = isIncomplete;
    this.faults = faults;
    this.names = {
      pool: namesIn(root, 'pools'),
      filter: namesIn(root, 'filters'),
      listener: namesIn(root, 'listeners'),
      certificate: namesIn(root, 'certificates'),
      route: [],
    };
  }

  check(): void {
    this.routeNames();
    this.listeners();
    for (const [name, pool] of entries(childOf(this.root, 'pools'))) this.pool(pool, ['pools', name]);
    this.fallbackLoops();
    for (const [name, filter] of entries(childOf(this.root, 'filters')))
      this.headerEdits(childOf(filter, 'headers'), ['filters', name, 'headers']);
    for (const [i, route] of items(childOf(this.root, 'routes')).entries()) this.route(route, ['routes', String(i)]);
    items(childOf(this.root, 'tests')).forEach((test, i) => {
      const expect = childOf(test, 'expect');
      this.name(childOf(expect, 'pool'), 'pool', ['tests', String(i), 'expect', 'pool']);
      for (const key of ['listener', 'connect']) this.name(childOf(test, key), 'listener', ['tests', String(i), key]);
      // Routes without a name are called by what they match, so only a text that could be a name can be judged.
      const route = childOf(expect, 'route');
      const named = textOf(route);
      if (named !== undefined && named !== 'none' && NAME.test(named) && !named.includes('.'))
        this.name(route, 'route', ['tests', String(i), 'expect', 'route']);
    });
  }

  routeNames(): void {
    const first = new Map<string, Node>();
    items(childOf(this.root, 'routes')).forEach((route, i) => {
      const node = childOf(route, 'name');
      const name = textOf(node);
      if (node === undefined || name === undefined) return;
      const before = first.get(name);
      if (before) this.twice(node, `a route named ${name} is defined twice`, before, ['routes', String(i), 'name']);
      else first.set(name, node);
    });
    this.names.route = [...first.keys()];
  }

  listeners(): void {
    const bound = new BoundAddresses();
    for (const [name, listener] of entries(childOf(this.root, 'listeners'))) {
      const path = ['listeners', name];
      this.to(childOf(listener, 'to'), [...path, 'to']);
      for (const node of certificateNames(childOf(listener, 'tls')))
        this.name(node, 'certificate', [...path, 'tls', 'certificates']);
      for (const node of itemsOf(childOf(listener, 'listen'))) {
        const text = textOf(node) ?? '';
        if (text.startsWith('systemd:'))
          this.fault(node, 'not-yet', `${path.join('.')}.listen: systemd: is not available yet in this version`, path);
        const read = readListen(text);
        if (read.ok) this.bind(bound, read.value, textOf(childOf(listener, 'protocol')) === 'udp', node, [...path, 'listen']);
      }
    }
    for (const node of itemsOf(childOf(childOf(this.root, 'admin'), 'listen'))) {
      const read = readListen(textOf(node) ?? '');
      if (read.ok) this.bind(bound, read.value, false, node, ['admin', 'listen']);
    }
  }

  bind(bound: BoundAddresses, address: Address, isUdp: boolean, node: Node, path: string[]): void {
    const clash = bound.add(address, isUdp, textOf(node)!, node);
    if (clash !== null) this.twice(node, clash.message, clash.before, path);
  }

  pool(pool: Node, path: string[]): void {
    this.endpoints(childOf(pool, 'endpoints'), [...path, 'endpoints']);
    this.name(childOf(pool, 'fallback'), 'pool', [...path, 'fallback']);
  }

  /** A pool that is, in the end, its own fallback: one fault for each circle, at the pool of it that stands first. */
  fallbackLoops(): void {
    const next = new Map(entries(childOf(this.root, 'pools')).map(([name, pool]) => [name, childOf(pool, 'fallback')]));
    const seen = new Set<string>();
    for (const first of next.keys()) {
      const way: string[] = [];
      let at: string | undefined = first;
      while (at !== undefined && !seen.has(at)) {
        seen.add(at);
        way.push(at);
        at = textOf(next.get(at));
      }
      const begins = at === undefined ? -1 : way.indexOf(at);
      if (begins < 0) continue;
      const circle = [...way.slice(begins), at!];
      const node = next.get(circle[0])!;
      const path = ['pools', circle[0], 'fallback'];
      this.fault(node, 'fallback-loop', `${path.join('.')} goes round in a circle: ${shownWay(circle)}`, path);
    }
  }

  route(route: Node, path: string[]): void {
    if (route.kind !== 'map') return;
    const actions = ['to', 'redirect', 'respond'].filter((key) => entryOf(route, key) !== undefined);
    const isForeign = route.entries.some((e) =>
      ['backend', 'pool', 'proxy_pass', 'service', 'target', 'forward', 'cluster', 'return', 'upstream'].includes(e.key),
    );
    if (actions.length !== 1 && !(actions.length === 0 && isForeign))
      this.fault(route, 'bad-value', `${path.join('.')}: a route needs exactly one of to, redirect or respond`, path);
    this.to(childOf(route, 'to'), [...path, 'to']);
    for (const node of itemsOf(childOf(route, 'use'))) this.name(node, 'filter', [...path, 'use']);
    for (const node of itemsOf(childOf(route, 'listener'))) this.name(node, 'listener', [...path, 'listener']);
    this.pathForm(childOf(route, 'path'), [...path, 'path']);
    this.fieldNames(childOf(route, 'header'), [...path, 'header'], false);
    this.fieldNames(childOf(childOf(route, 'respond'), 'headers'), [...path, 'respond', 'headers'], true);
    const rewrite = childOf(route, 'rewrite');
    const whole = entryOf(rewrite, 'path');
    if (whole && (entryOf(rewrite, 'stripPrefix') || entryOf(rewrite, 'addPrefix')))
      this.fault(
        whole.keyPlace,
        'bad-value',
        `${path.join('.')}.rewrite: path says it all; stripPrefix and addPrefix cannot stand beside it`,
        path,
      );
    if (rewrite && actions[0] !== 'to' && actions.length === 1)
      this.fault(
        entryOf(route, 'rewrite')!.keyPlace,
        'bad-value',
        `${path.join('.')}.rewrite: only requests that go to a pool can be rewritten`,
        path,
      );
  }

  pathForm(node: Node | undefined, path: string[]): void {
    for (const form of itemsOf(node)) {
      if (form.kind !== 'map') continue;
      const known = form.entries.filter((e) => ['exact', 'prefix', 'regex'].includes(e.key));
      if (known.length !== 1 && known.length === form.entries.length)
        this.fault(form, 'bad-value', `${path.join('.')}: expected exactly one of exact, prefix or regex`, path);
    }
  }

  /** A pool's name, an address, a list of addresses, or pools with weights. */
  to(node: Node | undefined, path: string[]): void {
    if (node === undefined) return;
    if (node.kind === 'list') {
      this.endpoints(node, path);
      return;
    }
    if (node.kind === 'scalar') {
      const text = textOf(node);
      if (text !== undefined && !looksLikeAddress(text)) this.name(node, 'pool', path);
      return;
    }
    for (const entry of node.entries) this.missing(entry.key, entry.keyPlace, 'pool', [...path, entry.key]);
    const weights = node.entries.map((e) => (e.value.kind === 'scalar' ? e.value.value : null));
    if (node.entries.length === 0) this.fault(node, 'bad-value', `${path.join('.')}: no pool is named`, path);
    else if (weights.every((w) => w === 0))
      this.fault(node, 'bad-value', `${path.join('.')}: one weight has to be above 0`, path);
  }

  endpoints(node: Node | undefined, path: string[]): void {
    if (node?.kind !== 'list') return;
    const first = new Map<string, Node>();
    node.items.forEach((item, i) => {
      const at = item.kind === 'map' ? childOf(item, 'address') : item;
      const read = readEndpoint(textOf(at) ?? '');
      if (!read.ok || at === undefined) return;
      const before = first.get(read.value.text);
      if (before) this.twice(at, `${read.value.text} is in this pool twice`, before, [...path, String(i)]);
      else first.set(read.value.text, at);
    });
    if (node.items.length === 0 && path[0] === 'pools')
      this.fault(node, 'bad-value', `${path.join('.')}: a pool needs at least one endpoint`, path);
  }

  headerEdits(headers: Node | undefined, path: string[]): void {
    for (const side of ['request', 'response']) {
      const edit = childOf(headers, side);
      for (const how of ['set', 'add']) this.fieldNames(childOf(edit, how), [...path, side, how], true);
      for (const node of itemsOf(childOf(edit, 'remove'))) {
        const wrong = checkFieldName(textOf(node) ?? 'x-any');
        if (wrong !== null && !wrong.endsWith(NOT_A_NAME)) this.fault(node, 'bad-value', wrong, [...path, side, 'remove']);
      }
    }
  }

  fieldNames(map: Node | undefined, path: string[], isWritten: boolean): void {
    if (map?.kind !== 'map') return;
    const first = new Map<string, Entry>();
    for (const entry of map.entries) {
      const wrong = checkFieldName(entry.key);
      if (wrong !== null && (isWritten || wrong.endsWith(NOT_A_NAME)))
        this.fault(entry.keyPlace, 'bad-value', `${path.join('.')}: ${wrong}`, [...path, entry.key]);
      const before = first.get(entry.key.toLowerCase());
      if (before) this.twice(entry.keyPlace, `${entry.key} is named twice`, before.keyPlace, [...path, entry.key]);
      else first.set(entry.key.toLowerCase(), entry);
    }
  }

  name(node: Node | undefined, kind: NameKind, path: string[]): void {
    const text = textOf(node);
    // What cannot be a name is an error of its value already.
    if (node !== undefined && text !== undefined && NAME.test(text)) this.missing(text, node, kind, path);
  }

  missing(text: string, place: Place, kind: NameKind, path: string[]): void {
    const known = this.names[kind];
    if (known.includes(text) || this.isIncomplete) return;
    const guess = nearest(text, known);
    const help =
      guess !== null
        ? `did you mean ${guess}?`
        : known.length === 0
          ? 'none is defined'
          : `defined are ${known.slice(0, 8).join(', ')}`;
    this.fault(place, `no-such-${kind}`, `there is no ${kind} named ${text}`, path, { help });
  }

  twice(place: Place, message: string, first: Place, path: string[]): void {
    this.fault(place, 'defined-twice', message, path, { also: { message: 'first defined at', place: first } });
  }

  fault(place: Place, code: FaultCode, message: string, path: readonly string[], detail: FaultDetail = {}): void {
    this.faults.push(faultAt(place, code, message, { ...detail, path }));
  }
}

/** Longer circles were made by a program, and a line has to hold this one. */
const WAY_SHOWN_MAX = 8;

function shownWay(names: readonly string[]): string {
  const shown = names.length > WAY_SHOWN_MAX ? [...names.slice(0, WAY_SHOWN_MAX - 1), '…', names.at(-1)!] : names;
  return shown.join(' -> ');
}

/** Names in a map of the config. When the map is there under a foreign word, one error about the word is enough: its names count. */
function namesIn(root: MapNode, key: string): string[] {
  const { foreign } = noteOf(configSchema);
  const known = Object.keys(configSchema.shape);
  const node =
    childOf(root, key) ?? root.entries.find((e) => !known.includes(e.key) && suggest(e.key, known, foreign) === key)?.value;
  return node?.kind === 'map' ? node.entries.map((e) => e.key) : [];
}

function entries(node: Node | undefined): [string, Node][] {
  return node?.kind === 'map' ? node.entries.map((e) => [e.key, e.value]) : [];
}

function items(node: Node | undefined): Node[] {
  return node?.kind === 'list' ? node.items : [];
}
