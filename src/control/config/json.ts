/** Strict JSON (RFC 8259) to nodes. Own reader, because JSON.parse tells no positions of what it accepts. */
import { type ConfigFault, faultAt } from './fault.ts';
import { DEPTH_MAX, type Entry, type Node, scalar } from './node.ts';
import type { Source } from './source.ts';
import { addEntry } from './yaml.ts';

/** Null when the text is not JSON. */
export function readJson(source: Source, faults: ConfigFault[]): Node | null {
  const reader = new JsonReader(source, faults);
  const root = reader.value(0);
  reader.space();
  if (!reader.failed && reader.at < source.text.length) reader.refuse('there is text after the end of the config');
  return reader.failed ? null : root;
}

const NUMBER = /-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?/y;
const STRING = /"(?:[^"\\\x00-\x1f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"/y;
const WORD = /[A-Za-z_]+/y;

class JsonReader {
  readonly source: Source;
  readonly faults: ConfigFault[];
  at: number;
  failed = false;

  constructor(source: Source, faults: ConfigFault[]) {
    this.source = source;
    this.faults = faults;
    this.at = source.text.charCodeAt(0) === 0xfeff ? 1 : 0;
  }

  value(depth: number): Node {
    this.space();
    const start = this.at;
    const { text } = this.source;
    if (depth > DEPTH_MAX) return this.refuse(`this is nested deeper than ${DEPTH_MAX} levels`, 'too-large');
    const first = text[start];
    if (first === '{') return this.map(depth);
    if (first === '[') return this.list(depth);
    if (first === '"') {
      const read = this.string();
      return scalar(this.source.place(start, this.at), read);
    }
    const number = this.match(NUMBER);
    if (number !== null) return scalar(this.source.place(start, this.at), Number(number));
    const word = this.match(WORD);
    if (word === 'true' || word === 'false') return scalar(this.source.place(start, this.at), word === 'true');
    if (word === 'null') return scalar(this.source.place(start, this.at), null);
    this.at = start;
    return this.refuse(start >= text.length ? 'the config ends too early' : 'expected a value: a string, number, list or map');
  }

  map(depth: number): Node {
    const start = this.at++;
    const entries: Entry[] = [];
    const keys = new Map<string, Entry>();
    for (this.space(); !this.failed && !this.take('}'); this.space()) {
      if (entries.length > 0 && !this.take(',')) return this.refuse('expected , or }');
      this.space();
      const keyStart = this.at;
      if (this.source.text[keyStart] !== '"') return this.refuse('expected a key in double quotes');
      const key = this.string();
      const keyPlace = this.source.place(keyStart, this.at);
      this.space();
      if (!this.failed && !this.take(':')) return this.refuse('expected :');
      const value = this.value(depth + 1);
      addEntry(entries, keys, { key, keyPlace, value }, this.faults);
    }
    return { kind: 'map', ...this.source.place(start, this.at), entries };
  }

  list(depth: number): Node {
    const start = this.at++;
    const items: Node[] = [];
    for (this.space(); !this.failed && !this.take(']'); this.space()) {
      if (items.length > 0 && !this.take(',')) return this.refuse('expected , or ]');
      items.push(this.value(depth + 1));
    }
    return { kind: 'list', ...this.source.place(start, this.at), items };
  }

  string(): string {
    const text = this.match(STRING);
    if (text !== null) return JSON.parse(text) as string;
    this.refuse('this string is not complete, or holds a raw control character or an unknown escape');
    return '';
  }

  space(): void {
    const { text } = this.source;
    while (this.at < text.length && ' \t\r\n'.includes(text[this.at])) this.at++;
  }

  take(sign: string): boolean {
    if (this.source.text[this.at] !== sign) return false;
    this.at++;
    return true;
  }

  match(pattern: RegExp): string | null {
    pattern.lastIndex = this.at;
    const found = pattern.exec(this.source.text);
    if (found === null) return null;
    this.at += found[0].length;
    return found[0];
  }

  refuse(message: string, code: 'syntax' | 'too-large' = 'syntax'): Node {
    const place = this.source.place(this.at, this.at + 1);
    if (!this.failed) this.faults.push(faultAt(place, code, message));
    this.failed = true;
    this.at = this.source.text.length;
    return scalar(place, null);
  }
}
