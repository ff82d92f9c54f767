/** Debian's servers and clients, as tests start them: in a folder of the test's own, ended with it. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, chownSync, existsSync, globSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir, userInfo } from 'node:os';
import { delimiter, join } from 'node:path';
import type { TestContext } from 'node:test';
import { within } from './wait.ts';

/** Where a program is, or null. */
export function find(program: string): string | null {
  const folders = [
    ...(process.env['PATH'] ?? '').split(delimiter),
    '/usr/sbin',
    '/sbin',
    ...globSync('/usr/lib/postgresql/*/bin'),
  ];
  return folders.map((folder) => join(folder, program)).find(existsSync) ?? null;
}

/** Why a test that needs these cannot run here, or false: for `skip`. */
export function missing(...programs: string[]): string | false {
  const absent = programs.filter((program) => find(program) === null);
  return absent.length === 0 ? false : `not installed: ${absent.join(', ')}`;
}

/** Servers of databases refuse to run as root. */
export const nobody: { uid?: number } = userInfo().uid === 0 ? { uid: 65534 } : {};

/** A folder that `nobody` may write to, gone with the test. */
export function folderOf(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'weir-program-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  if (nobody.uid !== undefined) chownSync(folder, nobody.uid, nobody.uid);
  chmodSync(folder, 0o700);
  return folder;
}

/** Runs to its end and returns what it wrote. */
export function run(program: string, words: string[], options: { uid?: number; cwd?: string } = {}): string {
  return execFileSync(find(program)!, words, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'], ...options });
}

/** A program that goes on until the test ends. */
export function start(
  t: TestContext,
  program: string,
  words: string[],
  options: { uid?: number; cwd?: string } = {},
): ChildProcess {
  const child = spawn(find(program)!, words, { stdio: ['pipe', 'pipe', 'pipe'], ...options });
  t.after(async () => {
    const ended = child.exitCode === null && child.signalCode === null ? once(child, 'exit') : null;
    child.kill('SIGKILL');
    await ended;
  });
  return child;
}

export interface Finished {
  code: number | null;
  out: string;
  err: string;
}

/** Runs beside the test, with `input` on its standard input. */
export async function finish(
  t: TestContext,
  program: string,
  words: string[],
  more: { input?: string; environment?: Record<string, string>; withinMs?: number } = {},
): Promise<Finished> {
  const child = spawn(find(program)!, words, { stdio: ['pipe', 'pipe', 'pipe'], env: { ...process.env, ...more.environment } });
  t.after(() => child.kill('SIGKILL'));
  const result: Finished = { code: null, out: '', err: '' };
  child.stdout.setEncoding('utf8').on('data', (text) => (result.out += text));
  child.stderr.setEncoding('utf8').on('data', (text) => (result.err += text));
  child.stdin.on('error', () => {});
  child.stdin.end(more.input ?? '');
  const [code] = await within(`${program} to end`, more.withinMs ?? 20_000, once(child, 'close'));
  return { ...result, code: code as number | null };
}
