/** A command of bin/weir, run as an operator would: its exit code and what it said. */
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { within } from './wait.ts';

const launcher = join(import.meta.dirname, '../../bin/weir');
const COMMAND_MS = 30_000;

export interface CommandResult {
  code: number | null;
  out: string;
  err: string;
}

export function command(...words: string[]): Promise<CommandResult> {
  const child = spawn(launcher, words, {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: {
      ...process.env,
      WEIR_NODE: process.execPath,
      WEIR_CONFIG: undefined,
      WEIR_ADMIN: undefined,
      NODE_TEST_CONTEXT: undefined,
    },
  });
  const result: CommandResult = { code: null, out: '', err: '' };
  child.stdout.setEncoding('utf8').on('data', (text) => (result.out += text));
  child.stderr.setEncoding('utf8').on('data', (text) => (result.err += text));
  const ended = new Promise<CommandResult>((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code) => resolve({ ...result, code }));
  });
  return within(`weir ${words.join(' ')}`, COMMAND_MS, ended).finally(() => child.kill('SIGKILL'));
}
