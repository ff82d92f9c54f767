/** YAML 1.2 (core schema, with `<<` merges) to nodes. */
import { type Alias, isAlias, isMap, isScalar, isSeq, LineCounter, type Pair, parseDocument, type Node as YamlNode } from 'yaml';
import { type ConfigFault, faultAt, topOf } from './fault.ts';
import { DEPTH_MAX, type Entry, NODES_MAX, type Node, scalar } from './node.ts';
import type { Place, Source } from './source.ts';

/** Null when the text cannot be read as YAML at all; the faults then say why. */
export function readYaml(source: Source, faults: ConfigFault[]): Node | null {
  let document: ReturnType<typeof parseDocument>;
  try {
    document = parseDocument(source.text, {
      lineCounter: new LineCounter(),
      prettyErrors: false,
      uniqueKeys: false,

      logLevel: 'silent',
    });
  } catch (error) {
    // The parser recurses, so text nested a few thousand deep ends here.
    const why = error instanceof RangeError ? 'it is nested too deep' : String((error as Error).message);
    faults.push(faultAt(topOf(source), 'syntax', `this cannot be read as YAML: ${why}`));
    return null;
  }
  for (const problem of [...document.errors, ...document.warnings]) {
    const [start, end] = problem.pos;
    faults.push(
      faultAt(source.place(start, Math.max(end, start + 1)), 'syntax', syntaxText(problem.message), {
        help: syntaxHelp(problem.code),
      }),
    );
  }
  if (document.errors.length > 0) return null;
  const reader = new YamlReader(source, faults, document);
  const root = reader.read(document.contents as YamlNode | null, 0);
  return reader.failed ? null : root;
}

function syntaxText(message: string): string {
  return message.charAt(0).toLowerCase() + message.slice(1);
}

function syntaxHelp(code: string): string | null {
  if (code === 'TAB_AS_INDENT') return 'YAML is indented with spaces';
  if (code === 'MULTIPLE_DOCS') return 'one file holds one config; use include for more files';
  if (code === 'BAD_INDENT' || code === 'MISSING_CHAR')
    return 'look for a missing colon, quote or bracket on this line or the one before';
  return null;
}

class YamlReader {
  readonly source: Source;
  readonly faults: ConfigFault[];
  readonly document: ReturnType<typeof parseDocument>;
  /** Nodes already read, so that an anchor used often is read once; null while it is being read. */
  readonly seen = new Map<YamlNode, { node: Node; size: number } | null>();
  failed = false;
  /** Size of the tree read last, aliases written out. */
  size = 0;

  constructor(source: Source, faults: ConfigFault[], document: ReturnType<typeof parseDocument>) {
    this.source = source;
    this.faults = faults;
    this.document = document;
  }

  read(node: YamlNode | null, depth: number, emptyAt = 0): Node {
    if (node === null || node === undefined) {
      this.size = 1;
      return scalar(this.source.place(emptyAt, emptyAt), null);
    }
    const place = this.placeOf(node);
    if (depth > DEPTH_MAX) return this.refuse(place, 'too-large', `this is nested deeper than ${DEPTH_MAX} levels`);
    if (isAlias(node)) return this.alias(node, place, depth);
    if (isScalar(node)) {
      this.size = 1;
      return scalar(place, scalarValue(node.value));
    }
    const before = this.seen.get(node);
    if (before === null) return this.refuse(place, 'syntax', 'an anchor is used inside itself');
    if (before !== undefined) {
      this.size = before.size;
      return before.node;
    }
    this.seen.set(node, null);
    let size = 1;
    let made: Node;
    if (isSeq(node)) {
      const items: Node[] = [];
      for (const item of node.items) {
        items.push(this.read(item as YamlNode, depth + 1, place.start));
        size += this.size;
      }
      made = { kind: 'list', ...place, items };
    } else if (isMap(node)) {
      const entries: Entry[] = [];
      const keys = new Map<string, Entry>();
      const merged = new Map<string, Entry>();
      for (const pair of node.items) {
        size += this.pair(pair as Pair<YamlNode, YamlNode | null>, entries, keys, merged, place, depth);
        if (this.failed) break;
      }
      for (const entry of merged.values()) if (!keys.has(entry.key)) entries.push(entry);
      made = { kind: 'map', ...place, entries };
    } else {
      return this.refuse(place, 'syntax', 'this kind of YAML value has no meaning here');
    }
    if (size > NODES_MAX)
      this.refuse(place, 'too-large', `this has more than ${NODES_MAX} values once its aliases are written out`);
    this.seen.set(node, { node: made, size });
    this.size = size;
    return made;
  }

  pair(
    pair: Pair<YamlNode, YamlNode | null>,
    entries: Entry[],
    keys: Map<string, Entry>,
    merged: Map<string, Entry>,
    map: Place,
    depth: number,
  ): number {
    const keyNode = pair.key;
    const keyPlace = keyNode?.range ? this.placeOf(keyNode) : this.source.place(map.start, map.start);
    // Aliases may stand for keys too.
    const keyRead = this.read(keyNode, depth + 1, map.start);
    if (keyRead.kind !== 'scalar' || keyRead.value === null) {
      this.faults.push(faultAt(keyPlace, 'syntax', 'a key must be a name'));
      return 1;
    }
    const key = String(keyRead.value);
    const value = this.read(pair.value, depth + 1, keyPlace.end);
    const size = this.size + 1;
    if (key === '<<') {
      for (const from of value.kind === 'list' ? value.items : [value]) {
        if (from.kind !== 'map') this.faults.push(faultAt(from, 'bad-value', '<< takes a map, or a list of maps'));
        else for (const entry of from.entries) if (!merged.has(entry.key)) merged.set(entry.key, entry);
      }
      return size;
    }
    addEntry(entries, keys, { key, keyPlace, value }, this.faults);
    return size;
  }

  alias(node: Alias, place: Place, depth: number): Node {
    const target = node.resolve(this.document);
    if (target === undefined) return this.refuse(place, 'syntax', `no anchor is named ${node.source}`);
    return this.read(target as YamlNode, depth + 1);
  }

  placeOf(node: YamlNode): Place {
    const range = node.range;
    return range ? this.source.place(range[0], range[1]) : this.source.place(0, 0);
  }

  refuse(place: Place, code: 'syntax' | 'too-large', message: string): Node {
    if (!this.failed) this.faults.push(faultAt(place, code, message));
    this.failed = true;
    this.size = 1;
    return scalar(place, null);
  }
}

/** Adds an entry, or says that its key is there already. `keys` holds the entries so far by key. */
export function addEntry(entries: Entry[], keys: Map<string, Entry>, entry: Entry, faults: ConfigFault[]): void {
  const first = keys.get(entry.key);
  if (first) {
    faults.push(
      faultAt(entry.keyPlace, 'defined-twice', `${entry.key} is defined twice`, {
        also: { message: 'first defined at', place: first.keyPlace },
      }),
    );
  } else if (entry.key === '__proto__') {
    faults.push(faultAt(entry.keyPlace, 'unknown-key', '__proto__ cannot be a key'));
  } else {
    keys.set(entry.key, entry);
    entries.push(entry);
  }
}

function scalarValue(value: unknown): string | number | boolean | null {
  if (typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean') return value;
  return value === null || value === undefined ? null : String(value);
}
