/**
 * Regular expressions that V8 matches in time linear to the input.
 *
 * V8 backtracks, so an innocent pattern can take minutes on a hostile path. A pattern is accepted only when its backtracking is bounded
 * by construction.
 *
 * Rules
 * 1. No backreferences, no lookaround: neither is regular.
 * 2. What is repeated without a bound is one character (or class), or a group of plain characters: never something that repeats inside.
 * 3. A repetition whose characters may also begin what follows it has to give characters back one by one. At most one may do so, and
 *    nothing after it may repeat without a bound, except "anything" at the very end, which cannot fail.
 * 4. A pattern has to match the whole text (route/ puts ^ and $ around it), so there is no search for a place to start.
 * 5. The choices of bounded repetitions and alternatives multiply; their product has a limit.
 */

/** Longest pattern. */
const SOURCE_MAX = 512;
/** Product of all bounded choices: each position of the input may cost this many tries. */
const CHOICES_MAX = 256;
/** Largest bound of a counted repetition. */
const COUNT_MAX = 256;

type Atom = { kind: 'set'; set: CharSet } | { kind: 'assert'; sign: '^' | '$' | 'b' } | { kind: 'group'; branches: Item[][] };
interface Item {
  atom: Atom;
  min: number;
  max: number;
}

/** Characters 0..127, and one place for all others. */
type CharSet = Uint8Array;
const OTHER = 128;

/** Why this pattern is refused, or null. */
export function regexFault(source: string): { message: string; help?: string } | null {
  if (source.length === 0) return { message: 'the regular expression is empty' };
  if (source.length > SOURCE_MAX) return { message: `a regular expression has ${SOURCE_MAX} characters at most` };
  try {
    new RegExp(source);
  } catch (error) {
    return {
      message: `this is not a regular expression: ${(error as Error).message.replace(/^Invalid regular expression: /, '')}`,
    };
  }
  const parser = new Parser(source);
  const branches = parser.alternatives().map(withoutEdges);
  if (parser.refusal !== null) return { message: `this regular expression could be slow: ${parser.refusal}` };
  for (const branch of branches) {
    const check = new Check();
    check.sequence(branch, null);
    const why = check.refusal ?? (check.choices * branches.length > CHOICES_MAX ? MANY_CHOICES : null);
    if (why !== null) return { message: `this regular expression could be slow: ${why}` };
  }
  return null;
}

const MANY_CHOICES = 'it leaves too many choices';

/** ^ in front and $ at the end change nothing, because the whole text has to match anyway. */
function withoutEdges(items: Item[]): Item[] {
  const isEdge = (item: Item | undefined, sign: string) => item?.atom.kind === 'assert' && item.atom.sign === sign;
  return items.slice(isEdge(items[0], '^') ? 1 : 0, isEdge(items.at(-1), '$') ? -1 : undefined);
}

class Parser {
  readonly source: string;
  at = 0;
  refusal: string | null = null;

  constructor(source: string) {
    this.source = source;
  }

  alternatives(): Item[][] {
    const branches: Item[][] = [[]];
    while (this.at < this.source.length && this.source[this.at] !== ')' && this.refusal === null) {
      if (this.source[this.at] === '|') {
        this.at++;
        branches.push([]);
      } else {
        branches.at(-1)!.push(this.item());
      }
    }
    return branches;
  }

  item(): Item {
    const atom = this.atom();
    const { source } = this;
    let min = 1;
    let max = 1;
    const sign = source[this.at];
    if (sign === '*' || sign === '+' || sign === '?') {
      this.at++;
      min = sign === '+' ? 1 : 0;
      max = sign === '?' ? 1 : Number.POSITIVE_INFINITY;
    } else {
      const counted = /\{([0-9]+)(,([0-9]*))?\}/y;
      counted.lastIndex = this.at;
      const found = counted.exec(source);
      if (found) {
        this.at = counted.lastIndex;
        min = Number(found[1]);
        max = found[2] === undefined ? min : found[3] === '' ? Number.POSITIVE_INFINITY : Number(found[3]);
        if (min > COUNT_MAX || (max !== Number.POSITIVE_INFINITY && max > COUNT_MAX))
          this.refuse(`a count is above ${COUNT_MAX}`);
      }
    }
    if (source[this.at] === '?' && (max !== 1 || min !== 1)) this.at++;
    return { atom, min, max };
  }

  atom(): Atom {
    const { source } = this;
    const sign = source[this.at++];
    if (sign === '(') return this.group();
    if (sign === '[') return { kind: 'set', set: this.set() };
    if (sign === '.') return { kind: 'set', set: new Uint8Array(OTHER + 1).fill(1) };
    if (sign === '^' || sign === '$') return { kind: 'assert', sign };
    if (sign === '\\') return this.escape();
    return { kind: 'set', set: of(sign) };
  }

  group(): Atom {
    const { source } = this;
    if (source[this.at] === '?') {
      const next = source.slice(this.at + 1, this.at + 3);
      if (next.startsWith(':')) this.at += 2;
      else if (/^(=|!|<=|<!)/.test(next)) this.refuse('it looks ahead or behind');
      else if (next.startsWith('<')) this.at = source.indexOf('>', this.at) + 1;
      else this.refuse('it changes flags inside');
    }
    const branches = this.alternatives();
    this.at++;
    return { kind: 'group', branches };
  }

  escape(): Atom {
    const sign = this.source[this.at++] ?? '\\';
    if (/[1-9]/.test(sign) || (sign === 'k' && this.source[this.at] === '<')) this.refuse('it refers back to what it matched');
    if (sign === 'b' || sign === 'B') return { kind: 'assert', sign: 'b' };
    return { kind: 'set', set: this.escapedSet(sign) };
  }

  escapedSet(sign: string): CharSet {
    const { source } = this;
    const positive = classSets[sign.toLowerCase()];
    if (positive !== undefined && /[dswDSW]/.test(sign)) return sign === sign.toLowerCase() ? positive : negate(positive);
    const control: Record<string, string> = { n: '\n', r: '\r', t: '\t', v: '\v', f: '\f', 0: '\0' };
    if (control[sign] !== undefined) return of(control[sign]);
    const hex = sign === 'x' ? 2 : sign === 'u' ? 4 : 0;
    const digits = source.slice(this.at, this.at + hex);
    if (hex > 0 && new RegExp(`^[0-9a-fA-F]{${hex}}$`).test(digits)) {
      this.at += hex;
      return of(String.fromCharCode(Number.parseInt(digits, 16)));
    }
    return of(sign);
  }

  set(): CharSet {
    const { source } = this;
    const set = new Uint8Array(OTHER + 1);
    const isNegated = source[this.at] === '^';
    if (isNegated) this.at++;
    while (this.at < source.length && source[this.at] !== ']') {
      const from = this.member();
      if (source[this.at] === '-' && this.at + 1 < source.length && source[this.at + 1] !== ']' && only(from) >= 0) {
        this.at++;
        const to = this.member();
        const last = only(to);
        for (let c = only(from); c <= (last < 0 ? OTHER : last); c++) set[c] = 1;
        add(set, to);
      } else {
        add(set, from);
      }
    }
    this.at++;
    // All characters beyond ASCII share one place, so a negated set always holds it.
    if (isNegated) {
      const negated = negate(set);
      negated[OTHER] = 1;
      return negated;
    }
    return set;
  }

  member(): CharSet {
    const sign = this.source[this.at++];
    if (sign !== '\\') return of(sign);
    const escaped = this.source[this.at++] ?? '\\';
    return escaped === 'b' ? of('\b') : this.escapedSet(escaped);
  }

  refuse(why: string): void {
    this.refusal ??= why;
    this.at = this.source.length;
  }
}

/** Characters that may come next; null: the end of the text. */
type Next = CharSet | null;

class Check {
  /** A repetition before may have to give characters back, so that all after it is tried at many places. */
  restarts = false;
  choices = 1;
  refusal: string | null = null;

  sequence(items: readonly Item[], after: Next): void {
    for (let i = 0; i < items.length && this.refusal === null; i++) {
      const { atom, min, max } = items[i];
      const next = firstOf(items, i + 1, after);
      if (max === Number.POSITIVE_INFINITY) this.unbounded(atom, next);
      else if (atom.kind === 'group') this.group(atom, min, max, next);
      else if (max > min && atom.kind === 'set' && next !== null && overlaps(atom.set, next)) this.choices *= max - min + 1;
      if (this.choices > CHOICES_MAX) this.refuse(MANY_CHOICES);
    }
  }

  unbounded(atom: Atom, next: Next): void {
    let set: CharSet;
    if (atom.kind === 'set') set = atom.set;
    else if (atom.kind === 'group' && atom.branches.length === 1 && atom.branches[0].every(isOneCharacter)) {
      if (atom.branches[0].length === 0) return;
      set = (atom.branches[0][0].atom as { set: CharSet }).set;
    } else {
      this.refuse('something that itself repeats or has alternatives is repeated without a bound');
      return;
    }
    const isAnything = atom.kind === 'set' && set.every((bit) => bit === 1);
    if (next === null && isAnything) return;
    if (this.restarts) {
      this.refuse('more than one repetition may have to give characters back');
      return;
    }
    if (next !== null && overlaps(set, next)) this.restarts = true;
  }

  group(atom: { branches: Item[][] }, min: number, max: number, next: Next): void {
    if (max > 1 && atom.branches.some((branch) => !branch.every(isOneCharacter))) {
      this.refuse('something that itself repeats is repeated');
      return;
    }
    if (max > 1) {
      this.choices *= atom.branches.length ** Math.min(max, 8) * (max - min + 1);
      return;
    }
    this.choices *= atom.branches.length + (min === 0 ? 1 : 0);
    const before = this.restarts;
    let after = before;
    for (const branch of atom.branches) {
      this.restarts = before;
      this.sequence(branch, next);
      after ||= this.restarts;
    }
    this.restarts = after;
  }

  refuse(why: string): void {
    this.refusal ??= why;
  }
}

function isOneCharacter(item: Item): boolean {
  return item.atom.kind === 'set' && item.min === 1 && item.max === 1;
}

/**
 * Characters that may begin items[from...] or, when all of it may be empty, what comes after; null when only the end of the text can. The
 * end counts as no character: what gives back before it fails at once.
 */
function firstOf(items: readonly Item[], from: number, after: Next): Next {
  if (from >= items.length) return after;
  const set = new Uint8Array(OTHER + 1);
  for (let i = from; i < items.length; i++) {
    const { atom } = items[i];
    // An assertion takes no character but can fail, so whatever stands before it may have to give back: as if every character came next.
    if (atom.kind === 'assert') return set.fill(1);
    if (atom.kind === 'set') add(set, atom.set);
    else for (const branch of atom.branches) add(set, firstOf(branch, 0, NOTHING)!);
    if (!canBeEmpty(items[i])) return set;
  }
  if (after !== null) add(set, after);
  return set;
}

const NOTHING: CharSet = new Uint8Array(OTHER + 1);

function canBeEmpty(item: Item): boolean {
  if (item.min === 0 || item.atom.kind === 'assert') return true;
  return item.atom.kind === 'group' && item.atom.branches.some((branch) => branch.every(canBeEmpty));
}

function overlaps(a: CharSet, b: CharSet): boolean {
  for (let i = 0; i <= OTHER; i++) if (a[i] && b[i]) return true;
  return false;
}

function add(to: CharSet, from: CharSet): void {
  for (let i = 0; i <= OTHER; i++) to[i] |= from[i];
}

function of(sign: string): CharSet {
  const set = new Uint8Array(OTHER + 1);
  set[Math.min(OTHER, sign.charCodeAt(0))] = 1;
  return set;
}

/** The one character of a set, or -1. */
function only(set: CharSet): number {
  const first = set.indexOf(1);
  return first >= 0 && set.indexOf(1, first + 1) < 0 ? first : -1;
}

function negate(set: CharSet): CharSet {
  return set.map((bit) => 1 - bit) as CharSet;
}

function range(text: string): CharSet {
  const set = new Uint8Array(OTHER + 1);
  for (let c = 0; c < OTHER; c++) if (new RegExp(`[${text}]`).test(String.fromCharCode(c))) set[c] = 1;
  return set;
}

const classSets: Readonly<Record<string, CharSet>> = { d: range('0-9'), w: range('\\w'), s: range('\\s') };
