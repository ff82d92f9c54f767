/** Starts that fail half-way. Harm prevented: a worker that nobody knows of, holding a port for ever. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { childrenOf, commandOf, isAlive } from '../support/system.ts';
import { until, within } from '../support/wait.ts';

const bin = join(import.meta.dirname, '../../bin/weir');
const folder = mkdtempSync(join(tmpdir(), 'weir-start-'));
after(() => rmSync(folder, { recursive: true }));

const workersOf = (pid: number): number[] => childrenOf(pid).filter((child) => commandOf(child).includes('worker/worker.ts'));

for (const [name, signal] of [
  ['killed', 'SIGKILL'],
  ['told to leave', 'SIGTERM'],
] as const) {
  test(`a control process that is ${name} before its workers serve leaves none behind`, async () => {
    const config = join(folder, `${signal}.json`);
    const listeners = { web: { listen: '127.0.0.1:0', to: '127.0.0.1:1' } };
    writeFileSync(config, JSON.stringify({ version: 1, admin: { listen: [] }, listeners }));
    const env = { ...process.env, WEIR_RUNTIME_DIR: join(folder, 'run') };
    const child = spawn(bin, ['run', '-c', config, '--workers', '2'], { env, stdio: 'ignore' });
    const exited = new Promise<number | null>((resolve) => child.once('exit', resolve));
    const workers = await until('both workers to be started', () => {
      const pids = workersOf(child.pid!);
      return pids.length === 2 ? pids : false;
    });
    child.kill(signal);
    const code = await within('the end', 20_000, exited);
    if (signal === 'SIGTERM') assert.equal(code, 0);
    await until('the workers to be gone', () => workers.every((pid) => !isAlive(pid)));
  });
}
