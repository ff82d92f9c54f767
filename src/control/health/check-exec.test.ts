import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { isAlive } from '../../../tests/support/system.ts';
import { until } from '../../../tests/support/wait.ts';
import type { CheckResult } from '../../health/health.ts';
import { type Check, NOT_MADE } from './check.ts';
import { checksOf, loopback, make, planOf, run, short } from './check-fixture.ts';
import { Gate } from './checks.ts';

const exec = (command: string[], timeoutMs = 20_000) => planOf<'exec'>({ type: 'exec', command, timeoutMs });
const shell = (script: string, timeoutMs?: number) => exec(['/bin/sh', '-c', script], timeoutMs);

test('exit code 0 passes, the first line is the evidence', async (t) => {
  const checks = checksOf(t);
  const ask = async (script: string) => short(await run(make(checks, loopback(1), shell(script))));
  assert.equal(await ask('echo all is well; echo more'), 'ok: all is well');
  assert.equal(await ask('exit 0'), 'ok: exit 0');
  assert.equal(await ask('echo lag 12 s >&2; exit 2'), 'exec_status: exit 2: lag 12 s');
  assert.equal(await ask('exit 1'), 'exec_status: exit 1');
  assert.equal(await ask('kill -SEGV $$'), 'exec_status: killed by SIGSEGV');
  assert.equal(await ask("printf '\\033[31mred'"), 'ok: [31mred');
});

test('a command sees the endpoint it is asked about, and nothing of the environment but PATH', async (t) => {
  const checks = checksOf(t, { path: '/usr/bin:/bin' });
  const print = shell('env | grep -v "^\\(PWD\\|SHLVL\\|_\\|OLDPWD\\)=" | sort | tr "\\n" " "');
  const name = await run(make(checks, loopback(5432), print, 'db.internal:5432'));
  assert.equal(
    name.evidence,
    'PATH=/usr/bin:/bin WEIR_ADDRESS=db.internal:5432 WEIR_HOST=db.internal WEIR_POOL=web WEIR_PORT=5432',
  );
  const six = await run(make(checks, { kind: 'ip', host: '::1', port: 80 }, shell('echo $WEIR_ADDRESS $WEIR_HOST')));
  assert.equal(six.evidence, '[::1]:80 ::1');
  const unix = await run(make(checks, { kind: 'unix', path: '/run/a' }, shell('echo $WEIR_ADDRESS $WEIR_HOST $WEIR_PORT')));
  assert.equal(unix.evidence, 'unix:/run/a /run/a');
});

test('no shell: words are given as they are', async (t) => {
  const result = await run(make(checksOf(t), loopback(1), exec(['echo', '$HOME; `id`', '*'])));
  assert.equal(short(result), 'ok: $HOME; `id` *');
});

test('a command that is not there fails and says so', async (t) => {
  assert.equal(short(await run(make(checksOf(t), loopback(1), exec(['/no/such/command'])))), 'failed: ENOENT: /no/such/command');
});

test('a command that hangs is killed at the deadline with all it has started, and what it left behind when it ended too', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'weir-check-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const file = join(folder, 'pid');
  const pid = () => Number(readFileSync(file, 'utf8'));
  const checks = checksOf(t);
  const hanging = `sleep 60 & echo $! > ${file}.new && mv ${file}.new ${file}; wait`;
  // Again where the deadline came before it had said whom it started.
  for (let tries = 0; tries < 5 && !existsSync(file); tries++) {
    const hung = await run(make(checks, loopback(1), shell(hanging, 1000)));
    assert.equal(short(hung), 'exec_timeout: no exit within 1000 ms');
  }
  await until('its child to be killed', () => !isAlive(pid()));
  const left = await run(make(checks, loopback(1), shell(`sleep 60 & echo $! > ${file}; echo done`)));
  assert.equal(short(left), 'ok: done');
  assert.ok(left.ms < 15_000);
  await until('what it left to be killed', () => !isAlive(pid()));
});

test('a command whose stranger holds its output is judged by its own exit', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'weir-check-'));
  const file = join(folder, 'pid');
  const endStranger = (): void => {
    if (existsSync(file)) process.kill(Number(readFileSync(file, 'utf8')));
    rmSync(file, { force: true });
  };
  t.after(() => {
    endStranger();
    rmSync(folder, { recursive: true });
  });
  const stranger = `setsid sh -c 'echo $$ > ${file}; exec sleep 60'`;
  const script = `${stranger} & while [ ! -s ${file} ]; do sleep 0.01; done; echo done`;
  const checks = checksOf(t);
  // At the deadline, then: again where it came before the exit.
  const ask = () => {
    endStranger();
    return run(make(checks, loopback(1), shell(script, 1000)));
  };
  let result = await ask();
  for (let tries = 1; result.reason === 'exec_timeout' && tries < 5; tries++) result = await ask();
  assert.equal(short(result), 'ok: done');
});

test('a gate lets so many through, in order', () => {
  const gate = new Gate(2);
  const started: number[] = [];
  const ends: ((result: CheckResult) => void)[] = [];
  const results: CheckResult[] = [];
  const checkOf = (number: number): Check => ({
    start: (ended) => {
      started.push(number);
      ends.push(ended);
    },
  });
  const checks = [0, 1, 2, 3].map((number) => gate.guard(checkOf(number)));
  for (const check of checks) check.start((result) => results.push(result));
  assert.deepEqual(started, [0, 1]);
  ends[1]!({ passed: true, reason: 'ok', evidence: '', ms: 1 });
  assert.deepEqual(started, [0, 1, 2]);
  ends[0]!({ passed: false, reason: NOT_MADE, evidence: 'EMFILE', ms: 1 });
  assert.deepEqual([started, results.length], [[0, 1, 2, 3], 2]);
});

test('a command that cannot be started for want of descriptors is not made, and one that is not there fails', () => {
  // In a process of its own, whose descriptors are used up.
  const script = `
    import { openSync } from 'node:fs';
    import { ExecCheck } from ${JSON.stringify(new URL('./check-exec.ts', import.meta.url).href)};
    const target = { address: { kind: 'ip', host: '127.0.0.1', port: 1 }, authority: 'a:1', pool: 'web', check: { timeoutMs: 20_000 } };
    const say = (result) => console.log(result.reason + ': ' + result.evidence);
    new ExecCheck(target, ['true'], '/bin:/usr/bin').start((first) => {
      say(first);
      const held = [];
      try { for (;;) held.push(openSync('/dev/null')); } catch {}
      new ExecCheck(target, ['true'], '/bin:/usr/bin').start(say);
    });`;
  const { stdout } = spawnSync('prlimit', ['--nofile=64', process.execPath, '--input-type=module', '-e', script], {
    encoding: 'utf8',
  });
  assert.deepEqual(stdout.trim().split('\n'), ['ok: exit 0', 'not_made: no descriptor is left (EMFILE)']);
});
