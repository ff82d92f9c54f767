/**
 * The laws of the house that can be read off the source: who imports whom, what pure rooms may not touch, where FFI and argv live.
 *
 * check() takes one file's path (from the project's root) and text and returns what it breaks, one sentence each.
 *
 * Rules
 * 1. Tests, fuzz targets and benchmarks beside the code (`x.test.ts`, `x.fuzz.ts`, `x.bench.ts`) may import any room: they are not in the product.
 * 2. A type may be imported from any file of a room one may import; a value only from the room's front door (`room/room.ts`, or
 *    `room/part/part.ts` for a part of a room), unless the room is a shelf.
 * 3. An exception stands in `exceptions` with its reason, or it is a violation.
 */
import { mayImport, shelves } from './rooms.ts';

/** Rooms without clock, random, I/O and promise (Law 3). */
export const pureRooms: readonly string[] = ['protocol', 'route', 'filter', 'balance', 'health'];

/** What a pure room may not say. Read from the code without its comments and strings. */
const impure: readonly (readonly [RegExp, string])[] = [
  [/\bDate\b/, 'a clock (Date)'],
  [/\bperformance\b/, 'a clock (performance)'],
  [/\bhrtime\b/, 'a clock (hrtime)'],
  [/\bMath\s*\.\s*random\b/, 'chance (Math.random)'],
  [/\bcrypto\b/, 'chance (crypto)'],
  [/\bset(?:Timeout|Interval|Immediate)\b/, 'a timer'],
  [/\bqueueMicrotask\b/, 'a microtask'],
  [/\basync\b/, 'a promise (async)'],
  [/\bawait\b/, 'a promise (await)'],
  [/\bPromise\b/, 'a promise (Promise)'],
  [/\bprocess\b/, 'the process'],
  [/\bfetch\s*\(/, 'the network (fetch)'],
  [/\bconsole\b/, 'output (console)'],
];

/** Written exceptions: file, the sentence it would be told, why it may. */
export const exceptions: readonly { file: string; says: string; because: string }[] = [
  {
    file: 'src/base/boot.ts',
    says: 'reads process.env',
    because: 'it runs before main.ts has loaded anything, to say where the compile cache is kept',
  },
  {
    file: 'src/worker/worker.ts',
    says: 'reads process.argv',
    because: 'it is the first file of its own process, and its one argument is what control tells it (state/channel.ts)',
  },
  {
    file: 'src/protocol/websocket-accept.ts',
    says: 'a pure room imports node:crypto',
    because: 'a SHA-1 of a key is pure computation, once per WebSocket',
  },
  {
    file: 'src/route/sticky.ts',
    says: 'a pure room imports node:crypto',
    because: 'an HMAC of a name is pure computation, made with the plan',
  },
];

const besideTheCode = /(?:\.(?:test|fuzz|bench)|\/(?:conformance(?:-[a-z]+)?|hashing|kernel-fixture|closed-loop))\.ts$/;

/** The text with comments blanked, and strings as well when `withStrings` is false. Lengths and line ends stay. */
export function blank(text: string, withStrings: boolean): string {
  let out = '';
  let at = 0;
  /** Depths of `{` inside `${}` of the templates we are in. */
  const templates: number[] = [];
  let lastCode = '';
  const take = (end: number, keep: boolean): void => {
    const piece = text.slice(at, end);
    out += keep ? piece : piece.replace(/[^\n]/g, ' ');
    at = end;
  };
  /** Moves over template text up to its end or the next `${`. */
  const template = (): void => {
    let end = at;
    while (end < text.length) {
      if (text[end] === '\\') end += 2;
      else if (text[end] === '`') {
        take(end + 1, withStrings);
        return;
      } else if (text[end] === '$' && text[end + 1] === '{') {
        take(end + 2, withStrings);
        templates.push(0);
        return;
      } else end++;
    }
    take(text.length, withStrings);
  };
  while (at < text.length) {
    const c = text[at]!;
    const two = text.slice(at, at + 2);
    if (two === '//') {
      const end = text.indexOf('\n', at);
      take(end < 0 ? text.length : end, false);
    } else if (two === '/*') {
      const end = text.indexOf('*/', at + 2);
      take(end < 0 ? text.length : end + 2, false);
    } else if (c === "'" || c === '"') {
      let end = at + 1;
      while (end < text.length && text[end] !== c && text[end] !== '\n') end += text[end] === '\\' ? 2 : 1;
      take(end + 1, withStrings);
      lastCode = c;
    } else if (c === '`') {
      take(at + 1, withStrings);
      template();
      lastCode = c;
    } else if (c === '}' && templates.length > 0 && templates.at(-1) === 0) {
      templates.pop();
      take(at + 1, withStrings);
      template();
      lastCode = '`';
    } else if (c === '/' && /[(,=:[!&|?{};\n]|^$/.test(lastCode)) {
      // A regular expression: only where a value may begin. A class may hold a bare slash.
      let end = at + 1;
      let inClass = false;
      while (end < text.length && text[end] !== '\n' && (inClass || text[end] !== '/')) {
        if (text[end] === '\\') end++;
        else if (text[end] === '[') inClass = true;
        else if (text[end] === ']') inClass = false;
        end++;
      }
      take(end + 1, withStrings);
      lastCode = '/';
    } else {
      if (templates.length > 0) {
        if (c === '{') templates[templates.length - 1]!++;
        else if (c === '}') templates[templates.length - 1]!--;
      }
      if (!/\s/.test(c)) lastCode = c;
      take(at + 1, true);
    }
  }
  return out;
}

export interface Import {
  from: string;
  /** `import type`, or braces that hold only types. */
  isType: boolean;
}

/** Every `import`, `export … from`, `import()`, `require()` and getBuiltinModule() of a file. */
export function importsOf(text: string): Import[] {
  const code = blank(text, true);
  const found: Import[] = [];
  // Statements begin a line or follow a semicolon; the clause holds no quote and no semicolon.
  const statement = /(?:^|;)[ \t]*(?:import|export)\b([^'";]*?)\bfrom\s*['"]([^'"]+)['"]/gm;
  for (const match of code.matchAll(statement)) found.push({ from: match[2]!, isType: isTypeClause(match[1]!) });
  for (const match of code.matchAll(/(?:^|;)[ \t]*import\s*['"]([^'"]+)['"]/gm)) found.push({ from: match[1]!, isType: false });
  // typeof import('x') and import('x').Name in a type position cannot be told from a call without a parser: held to the same law.
  for (const match of code.matchAll(/\b(?:import|require|getBuiltinModule)\s*\(\s*['"`]([^'"`]+)['"`]/g))
    found.push({ from: match[1]!, isType: false });
  return found;
}

function isTypeClause(clause: string): boolean {
  if (/^\s*type\b(?!\s*,|\s+from)/.test(clause)) return true;
  const braces = /^\s*\{([^}]*)\}\s*$/.exec(clause);
  if (braces === null) return false;
  const names = braces[1]!
    .split(',')
    .map((name) => name.trim())
    .filter(Boolean);
  return names.length > 0 && names.every((name) => /^type\s/.test(name));
}

/** "src/control/config/check.ts" -> "control"; files right under src/ are their own room ("main"). */
function roomOf(path: string): string {
  const parts = path.split('/');
  return parts.length === 2 ? parts[1]!.replace(/\.ts$/, '') : parts[1]!;
}

/** "balance/balance.ts" and "protocol/http1/http1.ts" are doors: named after the folder they stand in. */
function isFrontDoor(path: string): boolean {
  const parts = path.split('/');
  return parts.length > 2 && parts.at(-1) === `${parts.at(-2)}.ts`;
}

function resolve(from: string, relative: string): string {
  const parts = from.split('/').slice(0, -1);
  for (const part of relative.split('/')) {
    if (part === '..') parts.pop();
    else if (part !== '.') parts.push(part);
  }
  return parts.join('/');
}

/** What this file breaks. `path` is from the project's root, with forward slashes. */
export function check(path: string, text: string): string[] {
  if (besideTheCode.test(path)) return [];
  const room = roomOf(path);
  const faults: string[] = [];
  const isMain = path === 'src/main.ts';
  const allowed = mayImport[room];
  if (allowed === undefined && !isMain) faults.push(`room ${room} is not in tool/rooms.ts`);

  for (const { from, isType } of importsOf(text)) {
    if (from === 'node:ffi' && room !== 'sys') faults.push('imports node:ffi outside sys/');
    if (pureRooms.includes(room) && !from.startsWith('.')) faults.push(`a pure room imports ${from}`);
    if (!from.startsWith('.')) continue;
    const target = resolve(path, from);
    if (!target.startsWith('src/')) {
      if (target !== 'package.json') faults.push(`imports ${target}, outside src/`);
      continue;
    }
    if (besideTheCode.test(target)) faults.push(`imports the test ${target}`);
    const other = roomOf(target);
    if (other === room) continue;
    const mayEnter = isMain ? ['base', 'cli'].includes(other) : (allowed ?? []).includes(other);
    if (!mayEnter) faults.push(`room ${room} may not import ${other} (${target})`);
    else if (!isType && !isMain && !shelves.includes(other) && !isFrontDoor(target))
      faults.push(`enters ${other} by ${target}, not by a front door`);
  }

  const code = blank(text, false);
  if (pureRooms.includes(room))
    for (const [pattern, what] of impure) if (pattern.test(code)) faults.push(`a pure room uses ${what}`);
  if (!isMain)
    for (const match of code.matchAll(/\bprocess\s*\.\s*(argv|env)\b|\{[^}]*\b(argv|env)\b[^}]*\}\s*=\s*process\b/g))
      faults.push(`reads process.${match[1] ?? match[2]}`);

  return faults.filter((fault) => !exceptions.some((exception) => exception.file === path && exception.says === fault));
}
