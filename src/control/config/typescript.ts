/**
 * A config written in TypeScript or JavaScript: the module's default export. It is a program, so its values have no exact places; the
 * keys of a path are looked for in the text, one after the other, which is right for configs written out as literals.
 */
import { pathToFileURL } from 'node:url';
import { type ConfigFault, faultAt, topOf } from './fault.ts';
import { DEPTH_MAX, type Entry, type Node, scalar } from './node.ts';
import type { Place, Source } from './source.ts';

/** Makes each import a new one: a module is cached for the life of the process, and a reload has to see the change. */
let imports = 0;

/** Null when the module cannot be loaded or exports no config. */
export async function readTypeScript(source: Source, path: string, faults: ConfigFault[]): Promise<Node | null> {
  try {
    const module = (await import(`${pathToFileURL(path).href}?import=${++imports}`)) as { default?: unknown };
    let value = module.default;
    if (typeof value === 'function') value = await (value as () => unknown)();
    if (typeof value === 'object' && value !== null) return new Finder(source, faults).node(value, topOf(source), 0, new Set());
    faults.push(
      faultAt(topOf(source), 'syntax', 'this module exports no config', { help: 'export default defineConfig({ … })' }),
    );
  } catch (error) {
    const text = error instanceof Error ? error.message : String(error);
    faults.push(faultAt(placeOfError(source, error), 'syntax', `this module cannot be loaded: ${text.split('\n')[0]}`));
  }
  return null;
}

function placeOfError(source: Source, error: unknown): Place {
  const stack = error instanceof Error ? String(error.stack) : '';
  const found = /\.[mc]?[jt]s(?:\?import=[0-9]+)?:([0-9]+)(?::([0-9]+))?/.exec(stack);
  const line = found ? Number(found[1]) : 1;
  const start = (source.lineStarts[line - 1] ?? 0) + (found?.[2] ? Number(found[2]) - 1 : 0);
  return found ? source.place(start, start + 1) : topOf(source);
}

class Finder {
  readonly source: Source;
  readonly faults: ConfigFault[];

  constructor(source: Source, faults: ConfigFault[]) {
    this.source = source;
    this.faults = faults;
  }

  node(value: unknown, near: Place, depth: number, inside: Set<unknown>): Node {
    if (typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean')
      return scalar(this.literal(value, near), value);
    if (typeof value !== 'object' || value === null) return scalar(near, null);
    if (depth > DEPTH_MAX || inside.has(value)) {
      this.faults.push(
        faultAt(
          near,
          'too-large',
          inside.has(value) ? 'an object is inside itself' : `this is nested deeper than ${DEPTH_MAX} levels`,
        ),
      );
      return scalar(near, null);
    }
    inside.add(value);
    let made: Node;
    if (Array.isArray(value)) {
      let from = near;
      const items = value.map((item) => {
        const child = this.node(item, from, depth + 1, inside);
        // Items stand in the text in their order.
        if (child.start >= from.end) from = child;
        return child;
      });
      made = { kind: 'list', ...near, items };
    } else {
      const entries: Entry[] = [];
      for (const [key, child] of Object.entries(value)) {
        if (child === undefined) continue;
        const keyPlace = this.key(key, near);
        entries.push({ key, keyPlace, value: this.node(child, keyPlace, depth + 1, inside) });
      }
      made = { kind: 'map', ...near, entries };
    }
    inside.delete(value);
    return made;
  }

  /** Where `key:` is written after the place of what holds it. */
  key(key: string, near: Place): Place {
    const name = key.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
    const pattern = new RegExp(`(?<![\\w.])(["'\`]?)${name}\\1\\s*(?=[:,}])`, 'g');
    pattern.lastIndex = near.start;
    const found = pattern.exec(this.source.text);
    if (found === null) return near;
    const start = found.index + found[1].length;
    return this.source.place(start, start + key.length);
  }

  /** A value right after its key, when it is written there as it is. */
  literal(value: string | number | boolean, near: Place): Place {
    const written = typeof value === 'string' ? [`'${value}'`, `"${value}"`, `\`${value}\``] : [String(value)];
    const line = this.source.text.slice(near.end, near.end + 200);
    for (const text of written) {
      const at = line.indexOf(text);
      if (at >= 0 && !line.slice(0, at).includes('\n')) return this.source.place(near.end + at, near.end + at + text.length);
    }
    return near;
  }
}
