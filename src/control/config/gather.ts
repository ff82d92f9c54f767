/**
 * Gather: the files of a config, and what they include, as one tree. Maps of names are merged, lists are joined; everything else may
 * be written once.
 */
import { dirname, extname, resolve } from 'node:path';
import { type ConfigFault, faultAt, faultOfFile, topOf } from './fault.ts';
import { errorWord, fill, type Surroundings } from './fill.ts';
import { readJson } from './json.ts';
import { childOf, type Entry, entryOf, FILE_BYTES_MAX, itemsOf, type MapNode, type Node } from './node.ts';
import { type Place, Source } from './source.ts';
import { readToml } from './toml.ts';
import { readYaml } from './yaml.ts';

export interface Files extends Surroundings {
  /** Permission bits of a file; null: not known. */
  fileMode: (path: string) => number | null;
  /** Files that match a pattern, relative to a folder, in order of their names. */
  glob: (pattern: string, folder: string) => string[];
}

/** Files included by files included ... */
const INCLUDE_DEPTH_MAX = 8;
/** Files of one config. */
const FILES_MAX = 1000;

const nameMaps = new Set(['listeners', 'certificates', 'pools', 'filters']);
const lists = new Set(['routes', 'tests']);

export class Gatherer {
  readonly files: Files;
  readonly faults: ConfigFault[];
  /** Every file read or looked for, for --watch. */
  readonly seen: string[] = [];
  readonly parts: MapNode[] = [];
  /** A part could not be read: what it would have defined is not known, so missing names say nothing. */
  isIncomplete = false;

  constructor(files: Files, faults: ConfigFault[]) {
    this.files = files;
    this.faults = faults;
  }

  /** A file by its path; false when it could not be read as a map. */
  file(path: string, from: Place | null, chain: readonly string[]): void {
    const full = resolve(path);
    const problem = (code: 'no-such-file' | 'include-loop' | 'too-large', message: string) => {
      this.isIncomplete = true;
      this.faults.push(from === null ? faultOfFile(path, code, message) : faultAt(from, code, message));
    };
    if (chain.includes(full)) {
      problem('include-loop', `${path} includes itself`);
      return;
    }
    if (chain.length > INCLUDE_DEPTH_MAX) {
      problem('include-loop', `files are included ${INCLUDE_DEPTH_MAX} deep at most`);
      return;
    }
    // Two patterns may match one file; it counts once.
    if (this.seen.includes(full)) return;
    if (this.seen.length >= FILES_MAX) {
      problem('too-large', `a config has ${FILES_MAX} files at most`);
      return;
    }
    this.seen.push(full);
    let text: string;
    try {
      text = this.files.readFile(full);
    } catch (error) {
      problem('no-such-file', `${path} cannot be read: ${errorWord(error)}`);
      return;
    }
    this.text(new Source(path, text), [...chain, full]);
  }

  text(source: Source, chain: readonly string[]): void {
    if (source.text.length > FILE_BYTES_MAX) {
      this.faults.push(faultOfFile(source.file, 'too-large', 'this file has more than 16 MiB'));
      this.isIncomplete = true;
      return;
    }
    const extension = extname(source.file).toLowerCase();
    const read = extension === '.json' ? readJson : extension === '.toml' ? readToml : readYaml;
    const root = read(source, this.faults);
    if (root === null) this.isIncomplete = true;
    else this.part(root, chain);
  }

  part(root: Node, chain: readonly string[]): void {
    if (root.kind !== 'map') {
      this.isIncomplete = true;
      const empty = root.kind === 'scalar' && root.value === null;
      const message = empty ? 'the config is empty' : 'expected a map: version, listeners, pools, ...';
      const place = root.end > root.start ? root : topOf(root.source);
      this.faults.push(faultAt(place, 'bad-value', message, { help: empty ? 'see weir init' : null }));
      return;
    }
    const filled = fill(root, this.files, this.faults) as MapNode;
    this.parts.push(filled);
    for (const item of itemsOf(childOf(filled, 'include'))) {
      if (item.kind !== 'scalar' || typeof item.value !== 'string') continue;
      this.include(item.value, item, chain);
    }
  }

  include(pattern: string, from: Place, chain: readonly string[]): void {
    const folder = dirname(resolve(from.source.file));
    const isPattern = /[*?[{]/.test(pattern);
    let names: string[];
    try {
      names = isPattern ? this.files.glob(pattern, folder) : [pattern];
    } catch (error) {
      this.faults.push(faultAt(from, 'no-such-file', `${pattern} cannot be read: ${errorWord(error)}`));
      return;
    }
    for (const name of names) {
      if (/\.[mc]?[jt]s$/.test(name)) {
        this.faults.push(
          faultAt(from, 'bad-value', 'include takes YAML, TOML and JSON', { help: 'import it from a config in TypeScript' }),
        );
        continue;
      }
      // Named as the including file is named, so that errors show paths as people wrote them.
      const shown = name.startsWith('/') ? name : joinShown(from.source.file, name);
      this.file(shown, from, chain);
    }
  }

  /** All parts as one map. */
  merged(): MapNode | null {
    if (this.parts.length <= 1) return this.parts[0] ?? null;
    const root: MapNode = { ...this.parts[0], entries: [] };
    for (const part of this.parts) for (const entry of part.entries) this.mergeEntry(root, entry, part === this.parts[0]);
    return root;
  }

  private mergeEntry(root: MapNode, entry: Entry, isFirst: boolean): void {
    const { key, value } = entry;
    if (key.startsWith('x-') || (key === 'include' && !isFirst)) return;
    const there = entryOf(root, key);
    if (there === undefined) {
      // Copied, because it is added to.
      const copy: Node =
        value.kind === 'map'
          ? { ...value, entries: [...value.entries] }
          : value.kind === 'list'
            ? { ...value, items: [...value.items] }
            : value;
      root.entries.push({ ...entry, value: copy });
    } else if (nameMaps.has(key) && there.value.kind === 'map' && value.kind === 'map') {
      for (const child of value.entries) {
        const first = entryOf(there.value, child.key);
        if (first === undefined) there.value.entries.push(child);
        else this.twice(child.key, child.keyPlace, first.keyPlace);
      }
    } else if (lists.has(key) && there.value.kind === 'list' && value.kind === 'list') {
      there.value.items.push(...value.items);
    } else if (key === 'version') {
      if (value.kind !== 'scalar' || value.value !== 1) this.faults.push(faultAt(value, 'bad-value', 'version: expected 1'));
    } else {
      this.twice(key, entry.keyPlace, there.keyPlace);
    }
  }

  private twice(name: string, place: Place, first: Place): void {
    this.faults.push(
      faultAt(place, 'defined-twice', `${name} is defined twice`, { also: { message: 'first defined at', place: first } }),
    );
  }
}

function joinShown(file: string, name: string): string {
  const slash = file.lastIndexOf('/');
  return slash < 0 ? name : file.slice(0, slash + 1) + name;
}
