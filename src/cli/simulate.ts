/** `weir simulate`: what would happen. Runs a scenario on a virtual clock and says what each policy made of it. */
import { readFileSync, writeFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { formatFaults, formatFaultsJson } from '../control/config/config.ts';
import {
  REQUESTS_MAX,
  type Report,
  reportJson,
  reportSvg,
  reportTable,
  simulate as runScenario,
  TooManyRequests,
} from '../lab/lab.ts';
import { configPaths } from './check.ts';
import { readScenario } from './scenario-file.ts';
import { exit, type Shell, UsageError } from './shell.ts';

export interface SimulateOptions {
  scenario?: string;
  json?: boolean;
  /** File for the plots. */
  svg?: string;
  /** In place of a scenario: a log, and what is to be tried out with it. */
  replay?: string;
  config?: string[];
  speed?: string;
  pool?: string;
  balance?: string[];
  kill?: string[];
}

export async function simulate(options: SimulateOptions, shell: Shell): Promise<number> {
  const { text, path, shown } = options.replay === undefined ? fromFile(options, shell) : fromFlags(options, shell);
  const { scenario, faults, notes } = readScenario(text, path, shown, shell.environment);
  if (scenario === null) {
    if (options.json) shell.out(formatFaultsJson(faults));
    else shell.err(formatFaults(faults, { color: shell.color }));
    return exit.configInvalid;
  }
  for (const note of notes) shell.err(`weir: ${note}\n`);
  let report: Report;
  try {
    report = runScenario(scenario);
  } catch (error) {
    if (!(error instanceof TooManyRequests)) throw error;
    shell.err(`weir: a scenario has ${REQUESTS_MAX} requests at most; lower its rate or its duration\n`);
    return exit.configInvalid;
  }
  shell.out(options.json ? reportJson(report) : reportTable(report));
  if (options.svg !== undefined) {
    try {
      writeFileSync(resolve(shell.folder, options.svg), reportSvg(report));
    } catch (error) {
      shell.err(`weir: ${options.svg} cannot be written: ${(error as NodeJS.ErrnoException).code}\n`);
      return exit.failed;
    }
  }
  return report.checks.every((check) => check.isMet) ? exit.done : exit.no;
}

interface ScenarioText {
  text: string;
  /** Absolute: names in the text are relative to its folder. */
  path: string;
  /** As people know it. */
  shown: string;
}

function fromFile({ scenario: shown, balance, kill }: SimulateOptions, shell: Shell): ScenarioText {
  if (shown === undefined) {
    throw new UsageError('a scenario is missing, for example examples/simulate/what-if.yaml; or name a log with --replay');
  }
  if (balance !== undefined || kill !== undefined)
    throw new UsageError('--balance and --kill go with --replay; a scenario has its own');
  const path = resolve(shell.folder, shown);
  try {
    return { text: readFileSync(path, 'utf8'), path, shown };
  } catch (error) {
    throw new UsageError(`${shown} cannot be read: ${(error as NodeJS.ErrnoException).code}`);
  }
}

/** The scenario that the flags say, in its own language: one place checks both. */
function fromFlags({ scenario, replay, config, speed = '1', pool, balance, kill }: SimulateOptions, shell: Shell): ScenarioText {
  if (scenario !== undefined) throw new UsageError('either a scenario or --replay');
  const paths = configPaths(config, shell);
  if (paths.length > 1 || paths[0] === '-') throw new UsageError('--replay takes one configuration file');
  if (!(Number(speed) > 0)) throw new UsageError(`expected a number above 0 for --speed, for example 10, not '${speed}'`);
  const simulate = {
    title: `${replay}, replayed`,
    config: resolve(shell.folder, paths[0]!),
    ...(pool === undefined ? {} : { pool }),
    traffic: { replay: resolve(shell.folder, replay!), speed: Number(speed) },
    ...(balance === undefined ? {} : { compare: balance }),
    events: (kill ?? []).map((endpoint) => ({ kill: endpoint })),
  };
  return { text: JSON.stringify({ simulate }, null, 1), path: resolve(shell.folder, 'flags.json'), shown: 'flags.json' };
}
