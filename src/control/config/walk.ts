/**
 * Walk: a tree of nodes held against the schema. Gives the plain value, and every fault at the key or value that causes it.
 *
 * Rules
 * 1. Key position for unknown keys, value position for bad values.
 * 2. Keys that begin with x- are left out wherever keys are fixed; they are ordinary where keys are names.
 * 3. A missing key is not reported beside an unknown key that was surely meant for it.
 * 4. In a number's or boolean's place a text that was filled in from the environment is read as one.
 */
import type { z } from 'zod';
import { type ConfigFault, type FaultCode, faultAt } from './fault.ts';
import { NAME } from './leaves.ts';
import type { Entry, ListNode, MapNode, Node, ScalarNode } from './node.ts';
import { type Note, noteOf, orText } from './shape.ts';
import type { Place } from './source.ts';
import { nearest, suggest } from './suggest.ts';

type Schema = z.core.$ZodType;
type Path = readonly string[];
const NONE = Symbol('no value');

export interface Walked {
  value: unknown;
  /** Where each value was written, by its path joined with NUL. */
  places: Map<string, Place>;
}

export function walk(root: Node, schema: Schema, faults: ConfigFault[]): Walked {
  const walker = new Walker(faults);
  const value = walker.visit(root, schema, [], root);
  return { value: value === NONE ? undefined : value, places: walker.places };
}

export function placeKey(path: Path): string {
  return path.join('\0');
}

class Walker {
  readonly faults: ConfigFault[];
  readonly places = new Map<string, Place>();

  constructor(faults: ConfigFault[]) {
    this.faults = faults;
  }

  /** `at` is where to point when the node itself has no width: its key. */
  visit(node: Node, schema: Schema, path: Path, at: Place): unknown {
    this.places.set(placeKey(path), node);
    const place = node.end > node.start ? node : at;
    const bare = unwrap(schema);
    const def = bare._zod.def;
    switch (def.type) {
      case 'object':
        return node.kind === 'map' ? this.object(node, bare, path, at) : this.mismatch(node, bare, path, place);
      case 'record':
        return node.kind === 'map'
          ? this.record(node, (def as z.core.$ZodRecordDef).valueType, path)
          : this.mismatch(node, bare, path, place);
      case 'array':
        return node.kind === 'list' ? this.list(node, bare, path) : this.mismatch(node, bare, path, place);
      case 'union': {
        const { options } = def as z.core.$ZodUnionDef;
        const option = pick(node, options);
        if (option !== null) return this.visit(node, option, path, at);
        return this.mismatch(node, noteOf(bare).expected ? bare : options[0], path, place, noteOf(unwrap(options[0])).help);
      }
      default:
        return node.kind === 'scalar' ? this.leaf(node, bare, path, place) : this.mismatch(node, bare, path, place);
    }
  }

  object(node: MapNode, schema: Schema, path: Path, at: Place): unknown {
    const { shape } = schema._zod.def as z.core.$ZodObjectDef;
    const note = noteOf(schema);
    const known = Object.keys(shape);
    const value: Record<string, unknown> = {};
    const meant = new Set<string>();
    let hasNotYet = false;
    for (const entry of node.entries) {
      const { key } = entry;
      if (Object.hasOwn(shape, key)) {
        const child = this.visit(entry.value, shape[key], [...path, key], entry.keyPlace);
        if (child !== NONE) value[key] = child;
        meant.add(key);
      } else if (!key.startsWith('x-')) {
        const guess = this.unknownKey(entry, known, note, path);
        if (guess === 'not-yet') hasNotYet = true;
        // "files: { certificate: … }" means files.
        else if (guess !== null) meant.add(guess.split(':', 1)[0]!);
      }
    }
    for (const key of known) {
      if (meant.has(key) || isOptional(shape[key])) continue;
      // A pool that is to be discovered needs no endpoints, a certificate that is to be ordered no files.
      if (hasNotYet && (key === 'endpoints' || key === 'files')) continue;
      const help = key === 'version' ? 'add version: 1 at the top' : null;
      const where = path.length === 0 ? 'the config' : dotted(path);
      this.fault(path.length === 0 ? node : at, 'missing-key', `${where} needs ${key}`, path, help);
    }
    return value;
  }

  unknownKey(entry: Entry, known: readonly string[], note: Note, path: Path): string | null {
    const where = path.length === 0 ? '' : ` in ${dotted(path)}`;
    const here = [...path, entry.key];
    if (note.notYet?.includes(entry.key)) {
      this.fault(entry.keyPlace, 'not-yet', `${entry.key}${where} is not available yet in this version`, here);
      return 'not-yet';
    }
    const words = [...known, ...(note.notYet ?? [])];
    const guess = suggest(entry.key, words, note.foreign);
    this.fault(
      entry.keyPlace,
      'unknown-key',
      `unknown key ${shorten(entry.key)}${where}`,
      here,
      guess === null ? null : `did you mean ${guess}?`,
    );
    return guess;
  }

  record(node: MapNode, valueType: Schema, path: Path): unknown {
    const value: Record<string, unknown> = {};
    // Pools, listeners and filters are named by people; header and query names have rules of their own, checked by the plan.
    const isNames = path.length === 1;
    for (const entry of node.entries) {
      const here = [...path, entry.key];
      if (isNames && !NAME.test(entry.key)) {
        const help = 'letters, digits, _ . and -, 64 at most; it begins and ends with a letter or digit';
        this.fault(entry.keyPlace, 'bad-name', `${shorten(entry.key)} cannot be a name in ${dotted(path)}`, here, help);
      }
      const child = this.visit(entry.value, valueType, here, entry.keyPlace);
      if (child !== NONE) value[entry.key] = child;
    }
    return value;
  }

  list(node: ListNode, schema: Schema, path: Path): unknown {
    const def = schema._zod.def as z.core.$ZodArrayDef;
    const value: unknown[] = [];
    for (let i = 0; i < node.items.length; i++) {
      const child = this.visit(node.items[i], def.element, [...path, String(i)], node.items[i]);
      value.push(child === NONE ? undefined : child);
    }
    if (node.items.length === 0 && !(schema as z.ZodType).safeParse([]).success)
      this.fault(node, 'bad-value', `${dotted(path)} cannot be empty`, path);
    return value;
  }

  leaf(node: ScalarNode, schema: Schema, path: Path, place: Place): unknown {
    const leaf = schema as z.ZodType;
    if (leaf.safeParse(node.value).success) return node.value;
    if (node.raw !== null && typeof node.value === 'string' && schema._zod.def.type !== 'string') {
      const read = asNumberOrBoolean(node.value);
      if (read !== null && leaf.safeParse(read).success) return read;
    }
    return this.mismatch(node, schema, path, place);
  }

  mismatch(node: Node, schema: Schema, path: Path, place: Place, otherHelp?: Note['help']): typeof NONE {
    const note = noteOf(schema);
    const name = path.length === 0 ? 'the config' : dotted(path);
    const def = schema._zod.def;
    if (node.kind === 'scalar' && def.type === 'enum' && typeof node.value === 'string') {
      this.badChoice(node, schema, path, place);
      return NONE;
    }
    let message = note.expected ?? expectedOf(schema);
    let help: string | null = null;
    if (node.kind === 'scalar') {
      if (note.read && typeof node.value === 'string') {
        const read = note.read(node.value);
        if (!read.ok) {
          message = read.message;
          help = read.help ?? null;
        }
      }
      if (def.type === 'enum' && node.value !== null) help = enumHelp(schema, node.value);
      help ??= (note.help ?? otherHelp)?.(node.value) ?? null;
      if (def.type === 'string' && typeof node.value === 'number' && help === null) help = `did you mean "${node.value}"?`;
      // Of the right form and out of bounds: what is written cannot be what was meant.
      if (help === `did you mean ${node.value}?`) help = null;
      if (node.value === null) help = node.end > node.start ? null : 'nothing is written here';
      if (node.raw !== null) help = `the value comes from ${node.raw.length > 60 ? 'a placeholder' : node.raw}`;
      if (def.type === 'literal' && path.at(-1) === 'version') help = 'version: 1 is the only one so far';
    }
    this.fault(place, 'bad-value', `${name}: ${message}`, path, help);
    return NONE;
  }

  badChoice(node: ScalarNode, schema: Schema, path: Path, place: Place): void {
    const note = noteOf(schema);
    const value = node.raw ?? String(node.value);
    const known = Object.values((schema._zod.def as z.core.$ZodEnumDef).entries).map(String);
    if (node.raw === null && note.notYet?.includes(value)) {
      this.fault(
        place,
        'not-yet',
        `${dotted(path)}: '${value}' is not available yet in this version`,
        path,
        `available are ${known.join(', ')}`,
      );
      return;
    }
    const guess = node.raw === null ? suggest(value, [...known, ...(note.notYet ?? [])], note.foreign) : null;
    const help = guess === null ? `expected ${orText(known)}` : `did you mean ${guess}?`;
    this.fault(place, 'bad-value', `${dotted(path)} cannot be '${shorten(value)}'`, path, help);
  }

  fault(place: Place, code: FaultCode, message: string, path: Path, help: string | null = null): void {
    this.faults.push(faultAt(place, code, message, { help, path }));
  }
}

/** The option of a union that the form of this node asks for: a leaf that accepts it, else one of its kind. */
function pick(node: Node, options: readonly Schema[]): Schema | null {
  const wanted = node.kind === 'map' ? ['object', 'record'] : node.kind === 'list' ? ['array'] : null;
  const flat = options.flatMap((option) => {
    const bare = unwrap(option);
    return bare._zod.def.type === 'union' ? [...(bare._zod.def as z.core.$ZodUnionDef).options] : [option];
  });
  if (wanted !== null) return flat.find((option) => wanted.includes(unwrap(option)._zod.def.type)) ?? null;
  const { value, raw } = node as ScalarNode;
  const leaves = flat.filter((option) => !['object', 'record', 'array'].includes(unwrap(option)._zod.def.type));
  const accepted = leaves.find((option) => (unwrap(option) as z.ZodType).safeParse(value).success);
  if (accepted) return accepted;
  const read = raw === null || typeof value !== 'string' ? null : asNumberOrBoolean(value);
  const asRead = read === null ? undefined : leaves.find((option) => (unwrap(option) as z.ZodType).safeParse(read).success);
  if (asRead) return asRead;
  const kind = typeof value === 'string' ? ['string', 'enum'] : [typeof value];
  return leaves.find((option) => kind.includes(unwrap(option)._zod.def.type)) ?? null;
}

function unwrap(schema: Schema): Schema {
  let bare = schema;
  // A description makes a copy of a schema, which has lost its note: the copy is only ever the outermost.
  while (bare._zod.def.type === 'optional') bare = (bare._zod.def as z.core.$ZodOptionalDef).innerType;
  return bare;
}

function isOptional(schema: Schema): boolean {
  return schema._zod.def.type === 'optional';
}

function expectedOf(schema: Schema): string {
  switch (schema._zod.def.type) {
    case 'object':
    case 'record':
      return 'expected a map';
    case 'array':
      return 'expected a list';
    case 'string':
      return 'expected a text';
    case 'literal':
      return `expected ${orText((schema._zod.def as z.core.$ZodLiteralDef<z.core.util.Literal>).values.map(String))}`;
    default:
      return 'this value is not allowed here';
  }
}

function enumHelp(schema: Schema, value: unknown): string | null {
  const known = Object.values((schema._zod.def as z.core.$ZodEnumDef).entries).map(String);
  if (known.includes(String(value))) return `did you mean "${value}"?`;
  const guess = nearest(String(value), known);
  return guess === null ? null : `did you mean ${guess}?`;
}

function asNumberOrBoolean(text: string): number | boolean | null {
  if (text === 'true' || text === 'false') return text === 'true';
  return /^-?(0|[1-9][0-9]{0,14})$/.test(text) ? Number(text) : null;
}

/** "pools.web.endpoints.0"; every part is cut at a length that a line can hold. */
export function dotted(path: Path): string {
  return path.map(shorten).join('.');
}

function shorten(text: string): string {
  return text.length > 64 ? `${text.slice(0, 61)}...` : text;
}
