import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { chmodSync, existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { Instance, InstanceTaken, runtimeFolder, startTimeOf, takeOver } from './instance.ts';

const base = mkdtempSync(join(tmpdir(), 'weir-instance-'));
after(() => rmSync(base, { recursive: true }));
const empty = { table: { inode: 1, device: 1 }, sockets: [], workers: [] };

test('an instance is had once at a time, and again after it was released', () => {
  const folder = join(base, 'once');
  const first = Instance.take(folder, 'key');
  assert.throws(
    () => Instance.take(folder, 'key'),
    (error: InstanceTaken) => error instanceof InstanceTaken && error.pid === process.pid,
  );
  Instance.take(folder, 'another').release();
  first.release();
  Instance.take(folder, 'key').release();
  assert.deepEqual(readdirSync(folder), [], 'nothing is left');
});

test('a record is read back by the same key only, and is gone after remove', () => {
  const folder = join(base, 'record');
  const instance = Instance.take(folder, 'key');
  assert.equal(instance.read(), null);
  instance.write({ ...empty, workers: [{ slot: 0, stripe: 3, pid: 7, startTime: 9 }] });
  const record = instance.read()!;
  assert.deepEqual(record.workers, [{ slot: 0, stripe: 3, pid: 7, startTime: 9 }]);
  assert.deepEqual([record.pid, record.startTime], [process.pid, startTimeOf(process.pid)]);
  instance.remove();
  assert.equal(instance.read(), null);
  instance.release();
  assert.equal(existsSync(folder), true);
});

test('a runtime folder that others may write is refused', () => {
  const folder = mkdtempSync(join(base, 'open-'));
  chmodSync(folder, 0o777);
  assert.throws(() => Instance.take(folder, 'key'), /writable by nobody else/);
});

test('the runtime folder is the one that was set, else the usual one of the user', () => {
  assert.equal(runtimeFolder({ WEIR_RUNTIME_DIR: '/x' }, 0, '/tmp'), '/x');
  assert.equal(runtimeFolder({}, 0, '/tmp'), '/run/weir');
  assert.equal(runtimeFolder({ XDG_RUNTIME_DIR: '/run/user/7' }, 7, '/tmp'), '/run/user/7/weir');
  assert.equal(runtimeFolder({}, 7, '/tmp'), '/tmp/weir-7');
});

test('a pid counts only with its start time, and a process that has ended not at all', async () => {
  const child = spawn('sleep', ['30']);
  const pid = child.pid!;
  const startTime = startTimeOf(pid)!;
  const record = (time: number) => ({
    version: 1 as const,
    key: '',
    pid: 1,
    startTime: 1,
    ...empty,
    workers: [{ slot: 0, stripe: 0, pid, startTime: time }],
  });
  assert.equal(takeOver(record(startTime)).orphans.length, 1);
  const reused = takeOver(record(startTime - 1));
  assert.deepEqual([reused.orphans.length, reused.dead.length], [0, 1]);
  child.kill('SIGKILL');
  await new Promise((resolve) => child.once('exit', resolve));
  assert.equal(takeOver(record(startTime)).orphans.length, 0);
});
