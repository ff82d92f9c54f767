/**
 * TOML 1.0 to nodes. smol-toml reads and judges; a scanner over the text, which is valid by then, finds where keys and values stand.
 */
import { parse, TomlError } from 'smol-toml';
import { type ConfigFault, faultAt, topOf } from './fault.ts';
import type { Entry, Node } from './node.ts';
import { scalar } from './node.ts';
import type { Place, Source } from './source.ts';

interface Spot {
  key: Place | null;
  value: Place;
}

/** Null when the text is not TOML. */
export function readToml(source: Source, faults: ConfigFault[]): Node | null {
  let value: unknown;
  try {
    value = parse(source.text);
  } catch (error) {
    if (!(error instanceof TomlError)) {
      const why = error instanceof RangeError ? 'it is nested too deep' : String(error);
      faults.push(faultAt(topOf(source), 'syntax', `this cannot be read as TOML: ${why}`));
      return null;
    }
    const start = (source.lineStarts[error.line - 1] ?? 0) + error.column - 1;
    const why = error.message.split('\n')[0].replace(/^Invalid TOML document: /, '');
    faults.push(faultAt(source.place(start, start + 1), 'syntax', why));
    return null;
  }
  const spots = new Scanner(source).scan();
  return nodeOf(value, [], source.place(0, source.text.length), spots);
}

/** A plain value with the places that are known; what is not known has the place of its parent. */
export function nodeOf(value: unknown, path: readonly string[], parent: Place, spots: Map<string, Spot>): Node {
  const place = spots.get(path.join('\0'))?.value ?? parent;
  if (Array.isArray(value)) {
    return { kind: 'list', ...bare(place), items: value.map((item, i) => nodeOf(item, [...path, String(i)], place, spots)) };
  }
  if (typeof value === 'object' && value !== null && !(value instanceof Date)) {
    const entries: Entry[] = Object.entries(value).map(([key, child]) => {
      const here = [...path, key];
      return { key, keyPlace: spots.get(here.join('\0'))?.key ?? place, value: nodeOf(child, here, place, spots) };
    });
    return { kind: 'map', ...bare(place), entries };
  }
  if (typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean') return scalar(place, value);
  return scalar(place, value === null || value === undefined ? null : String(value));
}

function bare(place: Place): Place {
  return { source: place.source, start: place.start, end: place.end };
}

const KEY_PART = /[ \t]*("(?:[^"\\]|\\.)*"|'[^']*'|[A-Za-z0-9_-]+)[ \t]*/y;
const STRING = /"""[\s\S]*?(?<!\\)"""+|'''[\s\S]*?'''+|"(?:[^"\\\n]|\\.)*"|'[^'\n]*'/y;
const PLAIN = /[^,\]}#\n\r]+/y;
const SPACE = /(?:[ \t\r\n]|#[^\n]*)*/y;

class Scanner {
  readonly source: Source;
  readonly spots = new Map<string, Spot>();
  /** How many tables of an array of tables were opened. */
  readonly counts = new Map<string, number>();
  at = 0;

  constructor(source: Source) {
    this.source = source;
  }

  scan(): Map<string, Spot> {
    const { text } = this.source;
    let table: string[] = [];
    let guard = -1;
    for (this.skip(SPACE); this.at < text.length && this.at > guard; this.skip(SPACE)) {
      guard = this.at;
      if (text[this.at] === '[') table = this.header();
      else this.pair(table);
    }
    return this.spots;
  }

  header(): string[] {
    const { text } = this.source;
    const start = this.at;
    const isArray = text.startsWith('[[', start);
    this.at += isArray ? 2 : 1;
    const keys = this.keys();
    this.at += isArray ? 2 : 1;
    const place = this.source.place(start, this.at);
    const path: string[] = [];
    keys.forEach(({ key, place: keyPlace }, i) => {
      path.push(key);
      const id = path.join('\0');
      if (!this.spots.has(id)) this.spots.set(id, { key: keyPlace, value: place });
      const opened = this.counts.get(id) ?? 0;
      if (isArray && i === keys.length - 1) {
        this.counts.set(id, opened + 1);
        path.push(String(opened));
        this.spots.set(path.join('\0'), { key: null, value: place });
      } else if (opened > 0) {
        path.push(String(opened - 1));
      }
    });
    return path;
  }

  pair(table: readonly string[]): void {
    const path = [...table];
    for (const { key, place } of this.keys()) {
      path.push(key);
      const id = path.join('\0');
      if (!this.spots.has(id)) this.spots.set(id, { key: place, value: place });
    }
    this.at++;
    const value = this.value(path);
    this.spots.get(path.join('\0'))!.value = value;
  }

  value(path: readonly string[]): Place {
    this.skip(SPACE);
    const start = this.at;
    const { text } = this.source;
    if (text[start] === '[' || text[start] === '{') {
      const close = text[start] === '[' ? ']' : '}';
      this.at++;
      for (let i = 0; ; i++) {
        this.skip(SPACE);
        if (text[this.at] === close || this.at >= text.length) break;
        if (close === '}') this.pair(path);
        else {
          const here = [...path, String(i)];
          this.spots.set(here.join('\0'), { key: null, value: this.value(here) });
        }
        this.skip(SPACE);
        if (text[this.at] === ',') this.at++;
        else break;
      }
      this.skip(SPACE);
      this.at++;
      return this.source.place(start, this.at);
    }
    if (!this.skip(STRING)) this.skip(PLAIN);
    const raw = text.slice(start, this.at);
    return this.source.place(start, start + raw.trimEnd().length);
  }

  keys(): { key: string; place: Place }[] {
    const found: { key: string; place: Place }[] = [];
    for (;;) {
      KEY_PART.lastIndex = this.at;
      const part = KEY_PART.exec(this.source.text);
      if (part === null) return found;
      const start = this.at + part[0].indexOf(part[1]);
      found.push({ key: keyText(part[1]), place: this.source.place(start, start + part[1].length) });
      this.at += part[0].length;
      if (this.source.text[this.at] !== '.') return found;
      this.at++;
    }
  }

  skip(pattern: RegExp): boolean {
    pattern.lastIndex = this.at;
    const found = pattern.exec(this.source.text);
    if (found === null) return false;
    this.at += found[0].length;
    return found[0].length > 0;
  }
}

function keyText(written: string): string {
  if (written.startsWith("'")) return written.slice(1, -1);
  if (!written.startsWith('"')) return written;
  try {
    return Object.keys(parse(`${written} = 1`))[0];
  } catch {
    return written.slice(1, -1);
  }
}
