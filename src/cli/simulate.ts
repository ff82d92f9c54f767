/** `weir simulate`: what would happen. Runs a scenario on a virtual clock and says what each policy made of it. */
import { readFileSync, writeFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { formatFaults, formatFaultsJson } from '../control/config/config.ts';
import { Verdict } from '../control/health/health.ts';
import {
  REQUESTS_MAX,
  type Report,
  reportJson,
  reportSvg,
  reportTable,
  simulate as runScenario,
  TooManyRequests,
} from '../lab/lab.ts';
import { readScenario } from './scenario-file.ts';
import { exit, type Shell, UsageError } from './shell.ts';

export interface SimulateOptions {
  scenario?: string;
  json?: boolean;
  /** File for the plots. */
  svg?: string;
}

export async function simulate(options: SimulateOptions, shell: Shell): Promise<number> {
  const shown = options.scenario;
  if (shown === undefined) throw new UsageError('a scenario is missing, for example examples/simulate/unequal-cost.yaml');
  const path = resolve(shell.folder, shown);
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    throw new UsageError(`${shown} cannot be read: ${(error as NodeJS.ErrnoException).code}`);
  }
  const { scenario, faults, notes } = readScenario(text, path, shown, shell.environment);
  if (scenario === null) {
    if (options.json) shell.out(formatFaultsJson(faults));
    else shell.err(formatFaults(faults, { color: shell.color }));
    return exit.configInvalid;
  }
  for (const note of notes) shell.err(`weir: ${note}\n`);
  let report: Report;
  try {
    report = runScenario(scenario, { newVerdict });
  } catch (error) {
    if (!(error instanceof TooManyRequests)) throw error;
    shell.err(`weir: a scenario has ${REQUESTS_MAX} requests at most; lower its rate or its duration\n`);
    return exit.configInvalid;
  }
  shell.out(options.json ? reportJson(report) : reportTable(report));
  if (options.svg !== undefined) writeFileSync(resolve(shell.folder, options.svg), reportSvg(report));
  return report.checks.every((check) => check.isMet) ? exit.done : exit.no;
}

/** Checks of the product, with nothing but pass or fail to say. */
function newVerdict(state: number, nowMs: number) {
  const verdict = new Verdict(state, nowMs);
  return {
    get state() {
      return verdict.state;
    },
    take: (passed: boolean, rise: number, fall: number, now: number) =>
      verdict.take({ passed, reason: passed ? 'ok' : 'connection_refused', evidence: '', ms: 0 }, rise, fall, now),
  };
}
