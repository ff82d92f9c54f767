/**
 * check-exec: a command decides. Exit code 0 passes; the first line it writes is the evidence.
 *
 * Rules
 * 1. No shell: what is configured is a program and its words.
 * 2. The command sees PATH and WEIR_*, nothing else of weir's environment: it may hold secrets. HAProxy's external-check does so too.
 * 3. It leads a process group of its own. The group is killed at the deadline, and what is left of it when the command has ended.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import type { CheckResult } from '../../health/health.ts';
import {
  type Check,
  type CheckTarget,
  failed,
  failedByCode,
  type Heard,
  hostOf,
  isShortage,
  NOT_MADE,
  passed,
  printable,
} from './check.ts';

/** Kept of what a command writes, for its first line. */
const OUTPUT_BYTES_MAX = 4096;

export class ExecCheck implements Check {
  private readonly target: CheckTarget;
  private readonly command: readonly string[];
  private readonly environment: Record<string, string>;

  /** `path`: where programs are looked for. */
  constructor(target: CheckTarget, command: readonly string[], path: string) {
    const { address, authority, pool } = target;
    this.target = target;
    this.command = command;
    this.environment = {
      PATH: path,
      WEIR_POOL: pool,
      WEIR_ADDRESS: address.kind === 'unix' ? `unix:${address.path}` : authority,
      WEIR_HOST: address.kind === 'unix' ? address.path : hostOf(authority),
      WEIR_PORT: address.kind === 'unix' ? '' : String(address.port),
    };
  }

  start(ended: (result: CheckResult) => void): void {
    const began = performance.now();
    const { timeoutMs } = this.target.check;
    const [program = '', ...words] = this.command;
    let isOver = false;
    let output = '';
    const end = (heard: Heard): void => {
      if (isOver) return;
      isOver = true;
      clearTimeout(timer);
      ended({ ...heard, ms: performance.now() - began });
    };
    let child: ChildProcess;
    try {
      child = spawn(program, words, { detached: true, stdio: ['ignore', 'pipe', 'pipe'], env: this.environment });
    } catch (error) {
      // Some errors of the system come as an event, others (ENOMEM) are thrown.
      const { code = '', message } = error as NodeJS.ErrnoException;
      ended({ ...failedToStart(code === '' ? message : code, program), ms: 0 });
      return;
    }
    const killGroup = (): void => {
      if (child.pid === undefined) return;
      try {
        process.kill(-child.pid, 'SIGKILL');
      } catch {
        // Nobody is left.
      }
    };
    const timer = setTimeout(() => {
      killGroup();
      // Who has left the group may still hold the pipes, and 'close' waits for them: what the command itself said counts.
      child.stdout?.destroy();
      child.stderr?.destroy();
      if (child.exitCode === null) end(failed('exec_timeout', `no exit within ${timeoutMs} ms`));
    }, timeoutMs);
    // Without descriptors there are no pipes, and 'error' follows.
    for (const stream of [child.stdout, child.stderr]) {
      stream?.on('error', () => {});
      stream?.on('data', (bytes: Buffer) => {
        if (output.length < OUTPUT_BYTES_MAX) output += bytes.toString('latin1', 0, OUTPUT_BYTES_MAX);
      });
    }
    child.on('error', (error: NodeJS.ErrnoException) => {
      const code = error.code ?? '';
      end(failedToStart(code === '' ? error.message : code, program));
    });
    child.on('exit', killGroup);
    child.on('close', (code, signal) => {
      const line = printable(output.split('\n', 1)[0]!);
      const how = signal === null ? `exit ${code}` : `killed by ${signal}`;
      if (code === 0) end(passed(line === '' ? how : line));
      else end(failed('exec_status', line === '' ? how : printable(`${how}: ${line}`)));
    });
  }
}

function failedToStart(code: string, program: string): Heard {
  // fork(2): a limit on processes was met.
  if (code === 'EAGAIN') return failed(NOT_MADE, 'no process can be started (EAGAIN)');
  return isShortage(code) ? failedByCode(code) : failed('failed', printable(`${code}: ${program}`));
}
