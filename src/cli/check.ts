/** `weir check`: is this config right? Opens nothing but the files of the config. */
import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import {
  type ConfigFault,
  type ConfigSummary,
  configNames,
  countText,
  findConfig,
  formatFaults,
  formatFaultsGithub,
  formatFaultsJson,
  loadConfig,
} from '../control/config/config.ts';
import { exit, type Shell, UsageError } from './shell.ts';

export interface CheckOptions {
  config?: string[];
  /** Warnings fail, too. */
  strict?: boolean;
  format?: 'text' | 'json' | 'github';
  json?: boolean;
}

export async function check(options: CheckOptions, shell: Shell): Promise<number> {
  const paths = configPaths(options.config, shell);
  const result = await loadConfig(paths, { env: shell.environment });
  const failed = result.plan === null ? [] : result.runTests();
  const faults = [...result.faults, ...failed, ...result.warnings];
  const isRight = result.faults.length + failed.length === 0 && !(options.strict && result.warnings.length > 0);
  const format = options.json ? 'json' : (options.format ?? 'text');
  if (format === 'json') shell.out(formatFaultsJson(faults) + JSON.stringify({ ok: isRight, ...result.summary }) + '\n');
  else if (format === 'github') shell.out(formatFaultsGithub(faults));
  else shell.err(formatFaults(faults, { color: shell.color }));
  if (format !== 'json') {
    if (isRight) shell.out(`${paths.join(', ')} ok: ${summaryText(result.summary, result.warnings)}\n`);
    else if (result.faults.length + failed.length === 0) shell.err('--strict: a warning fails the check\n');
  }
  return isRight ? exit.done : exit.configInvalid;
}

/** The files a command works on: those that were named, else the one that is found. */
export function configPaths(named: readonly string[] | undefined, shell: Shell): string[] {
  if (named !== undefined && named.length > 0) return named.map((path) => (path === '-' ? path : relativeTo(shell.folder, path)));
  const found = findConfig(shell.folder, existsSync);
  if (found !== null) return [relativeTo(shell.folder, found)];
  throw new UsageError(
    `no config: looked for ${configNames.join(', ')} here and in /etc/weir; name one with -c, or write one with weir init`,
  );
}

/** A path as it was written when it means the same from where the process runs, else in full. */
function relativeTo(folder: string, path: string): string {
  return resolve(path) === resolve(folder, path) ? path : resolve(folder, path);
}

function summaryText(summary: ConfigSummary, warnings: readonly ConfigFault[]): string {
  const parts = [
    count(summary.listeners, 'listener'),
    count(summary.pools, 'pool'),
    count(summary.endpoints, 'endpoint'),
    count(summary.routes, 'route'),
    ...(summary.filters > 0 ? [count(summary.filters, 'filter')] : []),
    summary.tests > 0 ? `${count(summary.tests, 'test')} passed` : 'no tests',
    warnings.length > 0 ? countText(warnings) : 'no warnings',
  ];
  return parts.join(', ');
}

function count(number: number, thing: string): string {
  return number === 1 ? `1 ${thing}` : `${number} ${thing}s`;
}
