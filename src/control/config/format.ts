/** Faults as people, scripts and GitHub read them. */
import type { ConfigFault } from './fault.ts';

/** Columns of an excerpt; longer lines are cut around the fault. A terminal has 80 to 200. */
const EXCERPT_COLUMNS_MAX = 160;

export interface FormatOptions {
  color?: boolean;
}

/**
 * file:line:col severity message [code]
 *     3 | the line
 *       |     ^^^^ help
 * with `N errors, M warnings` at the end. Empty when there are no faults.
 */
export function formatFaults(faults: readonly ConfigFault[], options: FormatOptions = {}): string {
  if (faults.length === 0) return '';
  const paint = options.color ? painted : plain;
  const out: string[] = [];
  for (const fault of faults) {
    const where = fault.line > 0 ? `${fault.file}:${fault.line}:${fault.col}` : fault.file;
    out.push(`${where} ${paint(fault.severity, fault.severity)} ${clean(fault.message)} ${paint('code', `[${fault.code}]`)}`);
    if (fault.excerpt !== null && fault.line > 0) out.push(...excerpt(fault, paint));
    else if (fault.help) out.push(`      | ${clean(fault.help)}`);
    if (fault.also) out.push(`      ${clean(fault.also.message)} ${fault.also.file}:${fault.also.line}:${fault.also.col}`);
  }
  out.push('', countText(faults), '');
  return out.join('\n');
}

/** "9 errors", "1 error, 2 warnings". */
export function countText(faults: readonly ConfigFault[]): string {
  const errors = faults.filter((f) => f.severity === 'error').length;
  const warnings = faults.length - errors;
  const parts: string[] = [];
  if (errors > 0) parts.push(errors === 1 ? '1 error' : `${errors} errors`);
  if (warnings > 0) parts.push(warnings === 1 ? '1 warning' : `${warnings} warnings`);
  return parts.length === 0 ? 'no errors' : parts.join(', ');
}

/** One JSON object a line. */
export function formatFaultsJson(faults: readonly ConfigFault[]): string {
  return faults
    .map(
      (f) =>
        JSON.stringify({
          file: f.file,
          line: f.line,
          col: f.col,
          endLine: f.endLine,
          endCol: f.endCol,
          severity: f.severity,
          code: f.code,
          message: f.message,
          help: f.help,
          pointer: f.pointer,
          also: f.also,
        }) + '\n',
    )
    .join('');
}

/** GitHub workflow commands: they become annotations on the changed lines of a pull request. */
export function formatFaultsGithub(faults: readonly ConfigFault[]): string {
  return faults
    .map((f) => {
      const at = f.line > 0 ? `,line=${f.line},col=${f.col},endLine=${f.endLine},endColumn=${f.endCol}` : '';
      const text = f.help ? `${f.message} (${f.help})` : f.message;
      return `::${f.severity} file=${property(f.file)}${at},title=${property(f.code)}::${data(text)}\n`;
    })
    .join('');
}

function excerpt(fault: ConfigFault, paint: Paint): string[] {
  const line = fault.excerpt!;
  const from = Math.min(fault.col - 1, line.length);
  const end = fault.endLine === fault.line ? fault.endCol - 1 : line.trimEnd().length;
  let to = Math.max(from + 1, Math.min(end, line.length));
  let shown = line;
  let start = from;
  if (line.length > EXCERPT_COLUMNS_MAX) {
    const cut = Math.max(0, Math.min(from - EXCERPT_COLUMNS_MAX / 4, line.length - EXCERPT_COLUMNS_MAX));
    shown = line.slice(cut, cut + EXCERPT_COLUMNS_MAX);
    start = from - cut;
    to = Math.min(to - cut, Math.max(start + 1, shown.length));
  } else {
    to = Math.max(to, start + 1);
  }
  // Tabs stay tabs, so that the carets stand under what they mean at any tab width.
  const gap = shown.slice(0, start).replace(/[^\t]/g, ' ');
  const carets = paint(fault.severity, '^'.repeat(to - start));
  const help = fault.help ? ' ' + clean(fault.help) : '';
  return [`${String(fault.line).padStart(5)} | ${clean(shown)}`.trimEnd(), `      | ${gap}${carets}${help}`];
}

/** Control characters of a config must not reach the terminal. */
function clean(text: string): string {
  return text.replace(/[\x00-\x08\x0a-\x1f\x7f-\x9f]/g, '\u00b7');
}

function property(text: string): string {
  return data(text).replaceAll(':', '%3A').replaceAll(',', '%2C');
}

function data(text: string): string {
  return text.replaceAll('%', '%25').replaceAll('\r', '%0D').replaceAll('\n', '%0A');
}

type Paint = (what: 'error' | 'warning' | 'code', text: string) => string;
const plain: Paint = (_what, text) => text;
const colours = { error: '\x1b[31m', warning: '\x1b[33m', code: '\x1b[2m' };
const painted: Paint = (what, text) => `${colours[what]}${text}\x1b[0m`;
