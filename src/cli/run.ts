/** `weir run`: a configuration in the foreground, until it is told to leave. */
import { tmpdir } from 'node:os';
import { resolve } from 'node:path';
import { type ConfigResult, formatFaults, loadConfig } from '../control/config/config.ts';
import { Control, type ControlOptions, instanceSecret, runtimeFolder } from '../control/control.ts';
import { configPaths } from './check.ts';
import { count } from './flags.ts';
import { startSamples } from './sample.ts';
import { exit, type Shell, UsageError } from './shell.ts';

export interface RunOptions {
  config?: string[];
  workers?: string;
  engine?: 'auto' | 'uring' | 'epoll';
  watch?: boolean;
  portFallback?: boolean;
  sampleEndpoints?: boolean;
}

/** More is a slip of the keyboard. */
const WORKERS_MAX = 128;

/** "auto" (undefined) or a number. */
export function workersOf(text: string | undefined): number | undefined {
  return text === undefined || text === 'auto' ? undefined : count(text, 1, WORKERS_MAX);
}

export async function run(options: RunOptions, shell: Shell): Promise<number> {
  const paths = configPaths(options.config, shell);
  if (options.watch && paths.includes('-')) throw new UsageError('--watch cannot watch standard input');
  const workers = workersOf(options.workers);
  let secret: Uint8Array;
  try {
    secret = instanceSecret(folderOf(shell));
  } catch (error) {
    shell.err(`weir: cannot use the runtime folder: ${(error as Error).message}\n`);
    return exit.cannotStart;
  }
  let fromStdin: Promise<ConfigResult> | null = null;
  const read = () => loadConfig(paths, { env: shell.environment, workers, secret });
  // Standard input can be read once; a reload finds the same again.
  const load = paths.includes('-') ? () => (fromStdin ??= read()) : read;
  const key = paths.map((path) => (path === '-' ? `- ${process.pid}` : resolve(shell.folder, path))).join('\n');
  const samples = options.sampleEndpoints ? await startSamples(await load(), shell) : [];
  const code = await supervise(
    { key, load, engine: options.engine, watch: options.watch === true, portFallback: options.portFallback === true },
    shell,
  );
  await Promise.all(samples.map((sample) => sample.close()));
  return code;
}

function folderOf(shell: Shell): string {
  return runtimeFolder(shell.environment, process.getuid!(), tmpdir());
}

/** What `run` and `proxy` have in common: from a way to get a configuration to an exit code. */
export async function supervise(
  options: Pick<ControlOptions, 'key' | 'load' | 'engine' | 'watch' | 'portFallback' | 'notReadyForMs'>,
  shell: Shell,
): Promise<number> {
  const control = new Control({
    ...options,
    // A person at the keyboard is not waiting for a balancer in front to notice.
    notReadyForMs: shell.inIsTerminal ? 0 : options.notReadyForMs,
    version: shell.version,
    runtimeFolder: folderOf(shell),
    format: (faults) => formatFaults(faults, { color: shell.color }),
    say: shell.err,
    isTerminal: shell.errIsTerminal,
    color: shell.color,
    environment: shell.environment,
  });
  // Before the start: a signal must not end control and leave workers behind.
  process.on('SIGHUP', () => void control.reload('signal'));
  process.on('SIGUSR1', () => control.reopenLogs());
  process.on('SIGUSR2', () => control.events.warn('not_supported', 'SIGUSR2 (hand over to a new version) is not supported yet'));
  process.on('SIGTERM', () => control.leave('graceful'));
  process.on('SIGINT', () => control.leave('graceful'));
  process.on('SIGQUIT', () => control.leave('hardStop'));
  const early = await control.start();
  if (early !== null) {
    if (early.kind === 'ended') return exit.done;
    shell.err(early.kind === 'configInvalid' ? early.text : `weir: ${early.text}\n`);
    return early.kind === 'configInvalid' ? exit.configInvalid : exit.cannotStart;
  }
  const outcome = await control.end();
  return outcome.kind === 'ended' && outcome.cut > 0 ? exit.connectionsCut : exit.done;
}
