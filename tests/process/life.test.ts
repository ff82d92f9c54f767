/** An instance from start to end: signals, drains, reload on change, the instance file. Harm prevented: an operator's order that is lost or misread. */
import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { type EchoEndpoint, startEcho } from '../../src/cli/echo.ts';
import { childrenOf, freePort, isAlive } from '../support/system.ts';
import { until, within } from '../support/wait.ts';
import { get, simpleConfig, Weir, type WeirOptions } from '../support/weir.ts';

let endpoint: EchoEndpoint;
before(async () => {
  endpoint = await startEcho({ name: 'one', host: '127.0.0.1', port: 0, delayMs: 0, fail: 0, seed: 1 });
});
after(() => endpoint.close());

const drain = (graceful: string, hardStop: string) => ({ process: { drain: { notReadyFor: '0s', graceful, hardStop } } });

async function started(
  t: { after: (f: () => Promise<void>) => void },
  more: Partial<WeirOptions> & { top?: Record<string, unknown> } = {},
): Promise<Weir> {
  const { top, ...options } = more;
  const weir = await Weir.start({ config: (ports) => simpleConfig(ports, [endpoint.address], { top }), ...options });
  t.after(() => weir.kill());
  return weir;
}

/** The lines of the system log so far. */
const linesOf = (weir: Weir): Record<string, unknown>[] =>
  weir.stderr.split('\n').flatMap((line) => (line.startsWith('{') ? [JSON.parse(line) as Record<string, unknown>] : []));
const logged = (weir: Weir, event: string): boolean => linesOf(weir).some((line) => line['event'] === event);

test('SIGTERM finishes what is under way, refuses what is new, and ends with 0', async (t) => {
  const weir = await started(t);
  const slow = get(weir.port, '/?delay=600ms');
  await until('the request to arrive', async () => (await weir.admin('/metrics')).status === 200 && endpoint.requests() > 0);
  const workers = weir.workers;
  weir.signal('SIGTERM');
  await until('not ready', async () => (await weir.admin('/readyz').catch(() => ({ status: 503 }))).status !== 200);
  await until('new connections to be refused', () => isRefused(weir.port));
  assert.equal((await slow).status, 200);
  assert.equal((await within('the end', 15_000, weir.exited)).code, 0);
  await until('the workers to be gone', () => workers.every((pid) => !isAlive(pid)));
});

test('a request that outlives the grace is cut, and the exit code says so', async (t) => {
  const weir = await started(t, { top: drain('300ms', '40s') });
  const before = endpoint.requests();
  const slow = get(weir.port, '/?delay=30s').then(
    () => 'answered',
    () => 'cut',
  );
  await until('the request to arrive', () => endpoint.requests() > before);
  weir.signal('SIGTERM');
  assert.equal((await within('the end', 15_000, weir.exited)).code, 9);
  assert.equal(await slow, 'cut');
});

test('a second signal leaves at once', async (t) => {
  const weir = await started(t, { top: drain('40s', '40s') });
  const before = endpoint.requests();
  const slow = get(weir.port, '/?delay=30s').catch(() => null);
  await until('the request to arrive', () => endpoint.requests() > before);
  const workers = weir.workers;
  weir.signal('SIGINT');
  await until('the drain', () => logged(weir, 'drain'));
  weir.signal('SIGTERM');
  await within('the end', 15_000, weir.exited);
  await slow;
  assert.ok(logged(weir, 'left_at_once'));
  await until('the workers to be gone', () => workers.every((pid) => !isAlive(pid)));
});

test('SIGUSR1, SIGUSR2, SIGWINCH and SIGPIPE leave it running', async (t) => {
  const weir = await started(t);
  for (const signal of ['SIGUSR1', 'SIGUSR2', 'SIGWINCH', 'SIGPIPE'] as const) weir.signal(signal);
  await until('both to be said', () => logged(weir, 'logs_reopened') && logged(weir, 'not_supported'));
  assert.equal((await get(weir.port, '/')).status, 200);
  assert.ok(!weir.stderr.includes('Debugger'), 'SIGUSR1 opens no debugger');
  await weir.stop();
});

test('--watch puts a changed file in force and refuses a broken one', async (t) => {
  const weir = await started(t, { args: ['--watch'] });
  const ports = { web: weir.port, admin: weir.adminPort };
  const answer = { routes: [{ path: '/new', respond: { status: 200, body: 'new' } }] };
  weir.writeConfig(simpleConfig(ports, [endpoint.address], { top: answer }));
  await until('the new route', async () => (await get(weir.port, '/new')).body === 'new');
  weir.writeConfig('{ "version": 1');
  await until('the refusal', () => logged(weir, 'reload_refused'));
  assert.equal((await get(weir.port, '/new')).body, 'new');
  await weir.stop();
});

test('a second start of the same configuration is refused with the pid of the first', async (t) => {
  const weir = await started(t);
  const second = await Weir.launch({
    config: (ports) => simpleConfig(ports, [endpoint.address]),
    folder: weir.folder,
    ports: { web: weir.port, admin: weir.adminPort },
  });
  assert.equal((await within('the refusal', 15_000, second.exited)).code, 4);
  assert.match(second.stderr, new RegExp(`already run by weir with pid ${weir.pid}`));
  assert.equal((await get(weir.port, '/')).status, 200);
  await weir.stop();
});

test('a worker whose loop stands still is killed and replaced', async (t) => {
  const weir = await started(t);
  const [pid] = weir.workers;
  process.kill(pid!, 'SIGSTOP');
  await until('the watchdog', () => logged(weir, 'worker_stuck'));
  await until('the successor', () => logged(weir, 'worker_replaced'));
  assert.equal((await get(weir.port, '/')).status, 200);
  assert.ok(!weir.workers.includes(pid!));
  await weir.stop();
});

test('with --port-fallback a port that is taken gives way to the next free one, and the log says so', async (t) => {
  const first = await started(t);
  const admin = await freePort();
  const second = await Weir.launch({
    config: () => simpleConfig({ web: first.port, admin }, [endpoint.address]),
    ports: { web: first.port, admin },
    args: ['--port-fallback'],
  });
  t.after(() => second.kill());
  await until('the second to be ready', () => logged(second, 'ready'));
  const ready = linesOf(second).find((line) => line['event'] === 'ready')!;
  const port = Number(/web=127\.0\.0\.1:(\d+)/.exec(String(ready['listen']))![1]);
  assert.notEqual(port, first.port);
  const said = `127.0.0.1:${first.port} is taken, so it is 127.0.0.1:${port}`;
  await until('the log to say so', () => second.stderr.includes(said));
  assert.equal((await get(port, '/')).status, 200);
  await second.stop();
  await first.stop();
});

test('a unix socket is listened on, survives a reload, and its file goes with the instance', async (t) => {
  const weir = await started(t);
  const path = join(weir.folder, 'web.sock');
  const listeners = { web: { listen: [`127.0.0.1:${weir.port}`, `unix:${path}`], to: 'pool' } };
  const ports = { web: weir.port, admin: weir.adminPort };
  await weir.reload(simpleConfig(ports, [endpoint.address], { top: { listeners } }));
  assert.equal(await isListening(path), true);
  await weir.reload(simpleConfig(ports, [endpoint.address]));
  await until('the socket to be gone', async () => !(await isListening(path)));
  await weir.stop();
});

describe('a successor of a control process that was killed', () => {
  test('keeps the counters and leaves no worker of the predecessor', async (t) => {
    const first = await started(t, { workers: 2 });
    for (let i = 0; i < 5; i++) assert.equal((await get(first.port, '/')).status, 200);
    const orphans = first.workers;
    first.signal('SIGKILL');
    await first.exited;
    assert.equal((await get(first.port, '/')).status, 200, 'orphans serve');
    assert.equal(orphans.filter(isAlive).length, 2);
    const second = await Weir.start({
      config: (ports) => simpleConfig(ports, [endpoint.address]),
      folder: first.folder,
      ports: { web: first.port, admin: first.adminPort },
      workers: 2,
    });
    t.after(() => second.kill());
    await until('the orphans to be gone', () => orphans.every((pid) => !isAlive(pid)));
    const takeover = linesOf(second).find((line) => line['event'] === 'takeover')!;
    assert.deepEqual([takeover['sockets'], takeover['missing'], takeover['table']], [2, 0, 'kept']);
    await until('six requests to be counted', async () => (await second.metric('weir_requests_total')) >= 6);
    assert.equal((await get(first.port, '/')).status, 200);
    assert.equal(childrenOf(second.pid).length, 2);
    await second.stop();
  });

  test('serves every socket of the predecessor when it has fewer workers, and shares the port when it has more', async (t) => {
    const first = await started(t, { workers: 2 });
    const ports = { web: first.port, admin: first.adminPort };
    const again = (workers: number) =>
      Weir.start({ config: (p) => simpleConfig(p, [endpoint.address]), folder: first.folder, ports, workers });
    first.signal('SIGKILL');
    await first.exited;
    const one = await again(1);
    t.after(() => one.kill());
    await until('the orphans to be gone', () => logged(one, 'taken_over'));
    // Connections are spread over both sockets by hash: each of many must be answered.
    for (let i = 0; i < 20; i++) assert.equal((await get(first.port, '/')).status, 200);
    one.signal('SIGKILL');
    await one.exited;
    const three = await again(3);
    t.after(() => three.kill());
    await until('the orphans to be gone', () => logged(three, 'taken_over'));
    for (let i = 0; i < 20; i++) assert.equal((await get(first.port, '/')).status, 200);
    await three.stop();
  });
});

function isRefused(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    socket.once('connect', () => {
      socket.destroy();
      resolve(false);
    });
    socket.once('error', () => resolve(true));
  });
}

function isListening(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path);
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}
