/** Checks against the servers themselves, where this machine has them. */
import assert from 'node:assert/strict';
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, chownSync, existsSync, globSync, mkdtempSync, rmSync } from 'node:fs';
import { userInfo } from 'node:os';
import { delimiter, join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { freePort } from '../../../tests/support/system.ts';
import { until } from '../../../tests/support/wait.ts';
import type { Address } from '../../base/wire.ts';
import type { CheckResult } from '../../health/health.ts';
import type { ActiveHealthPlan } from '../../state/plan.ts';
import { checksOf, closedPort, loopback, make, planOf, run, short } from './check-fixture.ts';

function find(program: string, more: readonly string[] = []): string | null {
  const folders = [...(process.env['PATH'] ?? '').split(delimiter), '/usr/sbin', ...more];
  return folders.map((folder) => join(folder, program)).find(existsSync) ?? null;
}

const postgresFolders = globSync('/usr/lib/postgresql/*/bin');
const redisServer = find('redis-server');
const postgres = find('postgres', postgresFolders);
const initdb = find('initdb', postgresFolders);
const mariadb = find('mariadbd') ?? find('mysqld');
const install = find('mariadb-install-db');

function folderOf(t: TestContext): string {
  const folder = mkdtempSync('/tmp/weir-check-');
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** A server in a folder of its own, ended with the test. */
function start(t: TestContext, command: string, words: string[], options: { uid?: number } = {}): ChildProcess {
  const child = spawn(command, words, { stdio: 'ignore', ...options });
  t.after(async () => {
    const ended = child.exitCode === null && child.signalCode === null ? once(child, 'exit') : null;
    child.kill('SIGKILL');
    await ended;
  });
  return child;
}

async function untilPassed(t: TestContext, address: Address, plan: ActiveHealthPlan): Promise<CheckResult> {
  const checks = checksOf(t);
  return await until(
    'the check to pass',
    async () => {
      const result = await run(make(checks, address, plan));
      return result.passed ? result : null;
    },
    60_000,
  );
}

/** Servers of databases refuse to run as root. */
const nobody = userInfo().uid === 0 ? 65534 : undefined;
const asNobody = nobody === undefined ? {} : { uid: nobody };

test('Redis answers PING; with a password it is alive as well, without its master it is not', {
  skip: redisServer === null ? 'redis-server is not installed' : false,
}, async (t) => {
  const folder = folderOf(t);
  const plan = planOf<'redis'>({ type: 'redis' });
  const checks = checksOf(t);
  const port = await freePort();
  const words = ['--bind', '127.0.0.1', '--save', '', '--dir', folder];
  start(t, redisServer!, ['--port', String(port), ...words]);
  assert.equal(short(await untilPassed(t, loopback(port), plan)), 'ok: PONG');
  const locked = await freePort();
  start(t, redisServer!, ['--port', String(locked), '--requirepass', 'secret', ...words]);
  assert.match(short(await untilPassed(t, loopback(locked), plan)), /^ok: NOAUTH /);
  const replica = await freePort();
  const master = ['--replicaof', '127.0.0.1', String(await closedPort()), '--replica-serve-stale-data', 'no'];
  start(t, redisServer!, ['--port', String(replica), ...words, ...master]);
  const down = await until('the replica to listen', async () => {
    const result = await run(make(checks, loopback(replica), plan));
    return result.reason === 'connection_refused' ? null : result;
  });
  assert.match(short(down), /^server_error: MASTERDOWN /);
});

test('PostgreSQL answers an SSLRequest', {
  skip: postgres === null || initdb === null ? 'postgresql is not installed' : false,
}, async (t) => {
  const folder = folderOf(t);
  const port = await freePort();
  if (nobody !== undefined) chownSync(folder, nobody, nobody);
  chmodSync(folder, 0o700);
  const store = join(folder, 'store');
  execFileSync(initdb!, ['-D', store, '-A', 'trust', '-N', '-U', 'check', '--no-instructions'], {
    stdio: 'ignore',
    cwd: folder,
    ...asNobody,
  });
  const words = [
    '-D',
    store,
    '-p',
    String(port),
    '-c',
    'listen_addresses=127.0.0.1',
    '-c',
    `unix_socket_directories=${folder}`,
    '-c',
    'fsync=off',
  ];
  start(t, postgres!, words, asNobody);
  const plan = planOf<'postgres'>({ type: 'postgres' });
  assert.equal(short(await untilPassed(t, loopback(port), plan)), 'ok: answers, without TLS');
  assert.equal(
    short(await untilPassed(t, { kind: 'unix', path: join(folder, `.s.PGSQL.${port}`) }, plan)),
    'ok: answers, without TLS',
  );
});

test('MariaDB greets with its version', {
  skip: mariadb === null || install === null ? 'mariadb-server is not installed' : false,
}, async (t) => {
  const folder = folderOf(t);
  const port = await freePort();
  if (nobody !== undefined) chownSync(folder, nobody, nobody);
  execFileSync(install!, [`--datadir=${folder}/store`, '--auth-root-authentication-method=normal', '--skip-test-db'], {
    stdio: 'ignore',
    cwd: folder,
    ...asNobody,
  });
  const words = [
    '--no-defaults',
    `--datadir=${folder}/store`,
    `--socket=${folder}/sock`,
    `--port=${port}`,
    '--bind-address=127.0.0.1',
  ];
  start(t, mariadb!, words, asNobody);
  assert.match(short(await untilPassed(t, loopback(port), planOf<'mysql'>({ type: 'mysql' }))), /^ok: version \d/);
});
