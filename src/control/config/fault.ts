/**
 * Config faults: what is wrong with a config, where, and what would be right.
 *
 * Rules
 * 1. Codes are stable: people search for them and scripts match them. docs/errors.md has a section for each.
 * 2. A fault always has a file; it has a line of 0 only when the file itself could not be read.
 * 3. Values that came from the environment or a file are never quoted in a message, and a secret is not shown in an excerpt either.
 */
import type { Place, Source } from './source.ts';

/** Every code, with the severity it comes with. */
export const codes = Object.freeze({
  syntax: 'error',
  'too-large': 'error',
  'unknown-key': 'error',
  'missing-key': 'error',
  'bad-value': 'error',
  'bad-name': 'error',
  'not-yet': 'error',
  'defined-twice': 'error',
  'no-such-pool': 'error',
  'no-such-filter': 'error',
  'no-such-listener': 'error',
  'no-such-certificate': 'error',
  'no-such-route': 'error',
  'no-such-file': 'error',
  'include-loop': 'error',
  'unset-variable': 'error',
  contradiction: 'error',
  'fallback-loop': 'error',
  'pool-protocol': 'error',
  'test-failed': 'error',
  'no-health-check': 'warning',
  'no-route': 'warning',
  'route-shadowed': 'warning',
  'route-tie': 'warning',
  'no-effect': 'warning',
  'sticky-and-hash': 'warning',
  'sticky-clash': 'warning',
  'zone-unknown': 'warning',
  'panic-threshold-high': 'warning',
  'burst-small': 'warning',
  'pool-unused': 'warning',
  'filter-unused': 'warning',
  'certificate-unused': 'warning',
  'certificate-expired': 'warning',
  'certificate-expires': 'warning',
  'certificate-names': 'warning',
  'certificate-clash': 'warning',
  'chain-order': 'warning',
  'host-uncovered': 'warning',
  'key-readable': 'warning',
  'retry-longer-than-request': 'warning',
  'keep-alive-long': 'warning',
  'trusts-everyone': 'warning',
  'admin-public': 'warning',
  'hard-stop-short': 'warning',
} as const);

export type FaultCode = keyof typeof codes;

export interface ConfigFault {
  severity: 'error' | 'warning';
  code: FaultCode;
  message: string;
  file: string;
  /** From 1; 0 when the fault is with the file as a whole. Columns count UTF-16 units from 1, the end exclusive. */
  line: number;
  col: number;
  endLine: number;
  endCol: number;
  /** What to do: "did you mean least-requests?". */
  help: string | null;
  /** JSON pointer (RFC 6901) to the value, '' for the whole document. */
  pointer: string;
  /** Text of the line, for the excerpt; null when there is none. */
  excerpt: string | null;
  /** A second place that matters: "first defined at". */
  also: { message: string; file: string; line: number; col: number } | null;
}

export interface FaultDetail {
  help?: string | null;
  path?: readonly string[];
  also?: { message: string; place: Place };
}

/** A fault at a place. */
export function faultAt(place: Place, code: FaultCode, message: string, detail: FaultDetail = {}): ConfigFault {
  const { source } = place;
  const from = source.position(place.start);
  const to = source.position(place.end);
  const second = detail.also;
  return {
    severity: codes[code],
    code,
    message,
    file: source.file,
    line: from.line,
    col: from.col,
    endLine: to.line,
    endCol: to.col,
    help: detail.help ?? null,
    pointer: pointerOf(detail.path ?? []),
    excerpt: detail.path?.at(-1) === 'secret' || isInKey(source, from.line) ? null : hideSecrets(source.lineText(from.line)),
    also: second
      ? { message: second.message, file: second.place.source.file, ...second.place.source.position(second.place.start) }
      : null,
  };
}

/**
 * A line with the values of keys named secret blotted out, character by character, so that carets still stand under their places. What has no quotes may end
 * anywhere, so the rest of the line goes with it. Placeholders stay, but for the defaults in them.
 */
function hideSecrets(line: string): string {
  return line
    .replace(KEY_BEGINS, (found) => '*'.repeat(found.length))
    .replace(
      /(\bsecret["']?\s*[:=]\s*)("(?:[^"\\]|\\.)*"?|'(?:[^']|'')*'?|.+)/,
      (_, key: string, value: string) =>
        key + value.replace(/\$\{(?:file:)?[^{}:]*\}|\S/g, (part) => (part.length > 1 ? part : '*')),
    );
}

/** A private key in PEM, as far as it stands on one line. */
const KEY_BEGINS = /-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----(?:.*-----END [A-Z0-9 ]*PRIVATE KEY-----|.*)/;

/** Does a line end within a private key in PEM that began on an earlier line? */
function isInKey(source: Source, line: number): boolean {
  const before = source.text.slice(0, source.lineStarts[line - 1]);
  const begins = before.lastIndexOf('-----BEGIN ');
  return (
    begins > before.lastIndexOf('-----END ') && /^-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----/.test(before.slice(begins, begins + 64))
  );
}

/** A fault with a file that has no text to point into. */
export function faultOfFile(file: string, code: FaultCode, message: string, help: string | null = null): ConfigFault {
  return {
    severity: codes[code],
    code,
    message,
    file,
    line: 0,
    col: 0,
    endLine: 0,
    endCol: 0,
    help,
    pointer: '',
    excerpt: null,
    also: null,
  };
}

function pointerOf(path: readonly string[]): string {
  return path.map((part) => '/' + part.replaceAll('~', '~0').replaceAll('/', '~1')).join('');
}

/** Place of the whole of a source's first line: where to point when nothing better is known. */
export function topOf(source: Source): Place {
  return source.place(0, source.lineText(1).length);
}

/** By file in order of first appearance, then by position; errors and warnings mixed as they lie in the file. */
export function sortFaults(faults: ConfigFault[]): ConfigFault[] {
  const order = new Map<string, number>();
  for (const fault of faults) if (!order.has(fault.file)) order.set(fault.file, order.size);
  return faults.toSorted(
    (a, b) => order.get(a.file)! - order.get(b.file)! || a.line - b.line || a.col - b.col || a.code.localeCompare(b.code),
  );
}
