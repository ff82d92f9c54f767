/**
 * Nodes: a config file as a tree in which every key and value knows its place. All languages (YAML, JSON, TOML, TypeScript) become
 * this one tree, so that there is one set of rules and one form of error.
 */
import type { Place } from './source.ts';

export type Node = MapNode | ListNode | ScalarNode;

export interface MapNode extends Place {
  readonly kind: 'map';
  readonly entries: Entry[];
}

export interface Entry {
  readonly key: string;
  readonly keyPlace: Place;
  readonly value: Node;
}

export interface ListNode extends Place {
  readonly kind: 'list';
  readonly items: Node[];
}

export interface ScalarNode extends Place {
  readonly kind: 'scalar';
  readonly value: string | number | boolean | null;
  /** The text as written, when `value` was filled in from the environment or a file: the filled-in value may be secret. */
  readonly raw: string | null;
}

/** Depth of nesting that is read. Real configs stay below 12. */
export const DEPTH_MAX = 64;
/** Nodes of one config, aliases counted as often as they are used: 10,000 endpoints written out in full have 100,000. */
export const NODES_MAX = 1_000_000;
/** Bytes of one file. */
export const FILE_BYTES_MAX = 16 * 1024 * 1024;

export function scalar(place: Place, value: ScalarNode['value']): ScalarNode {
  return { kind: 'scalar', source: place.source, start: place.start, end: place.end, value, raw: null };
}

export function entryOf(node: Node | undefined, key: string): Entry | undefined {
  if (node?.kind !== 'map') return undefined;
  return node.entries.find((entry) => entry.key === key);
}

export function childOf(node: Node | undefined, key: string): Node | undefined {
  return entryOf(node, key)?.value;
}

export function textOf(node: Node | undefined): string | undefined {
  return node?.kind === 'scalar' && typeof node.value === 'string' ? node.value : undefined;
}

/** Items of a list, or the value itself as a list of one: the short form of lists. */
export function itemsOf(node: Node | undefined): Node[] {
  if (node === undefined) return [];
  return node.kind === 'list' ? node.items : [node];
}
