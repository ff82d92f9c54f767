/**
 * Shapes: zod schemas that also know what zod has no place for: the sentence that says what was expected, the words of other programs,
 * and the words of weir that this version does not have yet.
 */
import { z } from 'zod';
import type { Read } from './units.ts';

export interface Note {
  /** "expected a duration with a unit, for example 500ms, 5s or 1m". */
  expected?: string;
  /** Help for a value of the wrong type or form. */
  help?: (value: unknown) => string | undefined;
  /** Keys (of an object) or words (of a choice) that belong to weir but not to this version. */
  notYet?: readonly string[];
  /** Foreign words and what they are here. */
  foreign?: Readonly<Record<string, string>>;
  /** Reads a text: what a leaf accepts. */
  read?: (text: string) => Read<unknown>;
  /** Of an object: its keys that may stand alone in its place are of this value ("short form"). */
  what?: string;
}

const notes = new WeakMap<z.core.$ZodType, Note>();

export function noteOf(schema: z.core.$ZodType): Note {
  return notes.get(schema) ?? {};
}

/** A schema with what zod has no place for. */
export function noted<T extends z.core.$ZodType>(schema: T, note: Note): T {
  notes.set(schema, note);
  return schema;
}

/** A map with fixed keys; all others are errors, except those that begin with x-. */
export function shape<T extends z.core.$ZodShape>(
  description: string,
  fields: T,
  note: Pick<Note, 'notYet' | 'foreign' | 'expected' | 'help'> = {},
) {
  return noted(z.strictObject(fields).describe(description), note);
}

/** A map from names to values. */
export function named<T extends z.core.$ZodType>(description: string, value: T) {
  return z.record(z.string(), value).describe(description);
}

/** A text with a form of its own. `pattern` goes into the JSON Schema, for editors; `read` decides. */
export function text(
  description: string,
  expected: string,
  read: (text: string) => Read<unknown>,
  more: { pattern?: string; examples?: string[]; help?: Note['help'] } = {},
) {
  const meta: Record<string, unknown> = { description };
  if (more.pattern) meta.pattern = more.pattern;
  if (more.examples) meta.examples = more.examples;
  return noted(
    z
      .string()
      .refine((value) => read(value).ok)
      .meta(meta),
    { expected, help: more.help, read },
  );
}

/** One of some words. */
export function choice<const T extends readonly [string, ...string[]]>(
  description: string,
  words: T,
  note: Pick<Note, 'notYet' | 'foreign'> = {},
) {
  return noted(z.enum(words).describe(description), { ...note, expected: `expected ${orText(words)}` });
}

/** A whole number from `min` to `max`. */
export function count(description: string, min: number, max: number) {
  return noted(z.int().min(min).max(max).describe(description), { expected: `expected a whole number from ${min} to ${max}` });
}

export function yes(description: string) {
  return noted(z.boolean().describe(description), { expected: 'expected true or false' });
}

/** Any text. */
export function words(description: string) {
  return noted(z.string().describe(description), { expected: 'expected a text' });
}

/** One value or a list of them. */
export function oneOrMany<T extends z.core.$ZodType>(description: string, item: T) {
  return noted(z.union([item, z.array(item).min(1)]).describe(description), { expected: noteOf(item).expected });
}

/** A short form beside the full one. */
export function either<const T extends readonly [z.core.$ZodType, ...z.core.$ZodType[]]>(
  description: string,
  expected: string,
  options: T,
) {
  return noted(z.union(options).describe(description), { expected });
}

export function orText(items: readonly string[]): string {
  if (items.length < 2) return items.join('');
  return `${items.slice(0, -1).join(', ')} or ${items.at(-1)}`;
}
