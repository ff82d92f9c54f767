/**
 * One compiled text condition: exact, prefix, glob, regex or present. All but regex compare bytes.
 */
import type { TextMatchPlan } from '../state/plan.ts';

const kind = Object.freeze({ present: 0, exact: 1, prefix: 2, glob: 3, regex: 4 });
const encoder = new TextEncoder();

export class TextMatch {
  readonly plan: TextMatchPlan;
  private readonly kind: number;
  private readonly value: Uint8Array;
  private readonly regex: RegExp | null;

  constructor(plan: TextMatchPlan) {
    this.plan = plan;
    this.kind = kind[plan.kind];
    this.value = encoder.encode(plan.kind === 'present' ? '' : plan.value);
    this.regex = plan.kind === 'regex' ? wholeRegex(plan.value) : null;
  }

  matches(bytes: Uint8Array, start: number, end: number): boolean {
    const { value } = this;
    switch (this.kind) {
      case kind.exact:
        return end - start === value.length && startsWith(bytes, start, value);
      case kind.prefix:
        return end - start >= value.length && startsWith(bytes, start, value);
      case kind.glob:
        return globMatches(value, bytes, start, end);
      case kind.regex:
        return this.regex!.test(utf8(bytes, start, end));
      default:
        return true;
    }
  }

  /** For people: `= v`, `starts with v`. */
  describe(): string {
    const { plan } = this;
    switch (plan.kind) {
      case 'present':
        return 'is present';
      case 'exact':
        return `is ${plan.value}`;
      case 'prefix':
        return `starts with ${plan.value}`;
      case 'glob':
        return `is like ${plan.value}`;
      case 'regex':
        return `matches /${plan.value}/`;
    }
  }
}

/** A regular expression has to match the whole text, as in the Gateway API's implementations. */
export function wholeRegex(source: string): RegExp {
  return new RegExp(`^(?:${source})$`, 's');
}

/** Is `value` at bytes[start...]? The caller checked that enough bytes follow. */
export function startsWith(bytes: Uint8Array, start: number, value: Uint8Array): boolean {
  for (let i = 0; i < value.length; i++) if (bytes[start + i] !== value[i]) return false;
  return true;
}

/** UTF-8 text of bytes[start, end). Allocates: only for regular expressions and people. */
export function utf8(bytes: Uint8Array, start: number, end: number): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset + start, end - start).toString();
}

/**
 * `*` in the pattern stands for any run of bytes. Only the last star is ever gone back to, each time one byte further, so the cost is at most
 * pattern times text, never exponential.
 */
export function globMatches(pattern: Uint8Array, bytes: Uint8Array, start: number, end: number): boolean {
  let p = 0;
  let i = start;
  let starAt = -1;
  let retryAt = start;
  while (i < end) {
    if (p < pattern.length && pattern[p] === 42 /* * */) {
      starAt = p++;
      retryAt = i;
    } else if (p < pattern.length && pattern[p] === bytes[i]) {
      p++;
      i++;
    } else if (starAt >= 0) {
      p = starAt + 1;
      i = ++retryAt;
    } else {
      return false;
    }
  }
  while (p < pattern.length && pattern[p] === 42) p++;
  return p === pattern.length;
}
