import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { type IncomingHttpHeaders, request } from 'node:http';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import type { Address } from '../../base/wire.ts';
import { admin as adminState, health } from '../../state/doors.ts';
import { type Admin, startAdmin } from './admin.ts';
import { StateFixture } from './fixture.ts';

const folder = mkdtempSync(join(tmpdir(), 'weir-admin-'));
const socketPath = join(folder, 'run', 'admin.sock');
const loopback: Address = { kind: 'ip', host: '127.0.0.1', port: 0 };
const state = new StateFixture({ web: 3, api: 1 });
let admin: Admin;

before(async () => {
  admin = await startAdmin({ addresses: [loopback, { kind: 'unix', path: socketPath }], state });
});
after(async () => {
  await admin.close();
  rmSync(folder, { recursive: true });
});

interface Answer {
  status: number;
  headers: IncomingHttpHeaders;
  text: string;
}

function ask(path: string, headers: Record<string, string> = {}, method = 'GET', at = admin.addresses[0]!): Promise<Answer> {
  const where = at.kind === 'ip' ? { host: at.host, port: at.port } : { socketPath: at.path };
  return new Promise((resolve, reject) => {
    const sent = request({ ...where, path, method, headers, agent: false }, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (chunk) => (text += chunk));
      response.on('end', () => resolve({ status: response.statusCode!, headers: response.headers, text }));
    });
    sent.on('error', reject).end();
  });
}

test('it lives as soon as it answers', async () => {
  assert.deepEqual([(await ask('/livez')).status, (await ask('/livez')).text], [200, 'ok\n']);
});

test('it has started when a plan is in force', async () => {
  assert.equal((await ask('/startupz')).status, 200);
  const { its } = state;
  state.its = null;
  assert.equal((await ask('/startupz')).status, 503);
  assert.deepEqual(JSON.parse((await ask('/api/v1/pools')).text), { items: [] });
  assert.equal(JSON.parse((await ask('/api/v1/status')).text).node, null);
  state.its = its;
});

test('it is ready when every check is ok, and says which is not', async () => {
  assert.equal((await ask('/readyz')).text, 'ok\n');
  assert.equal((await ask('/readyz?verbose')).text, 'ok\nok     configuration\nok     drain\n');
  state.ready = [state.ready[0]!, { name: 'drain', isOk: false, why: 'SIGTERM was received' }];
  const answer = await ask('/readyz');
  assert.equal(answer.status, 503);
  assert.equal(answer.text, 'not ready\nfailed drain: SIGTERM was received\n');
  assert.match((await ask('/readyz?verbose')).text, /^ok {5}configuration$/m);
  assert.equal(JSON.parse((await ask('/api/v1/status')).text).isReady, false);
  state.ready = [state.ready[0]!, { name: 'drain', isOk: true, why: '' }];
});

test('the status tells what is in force and what is wrong', async () => {
  const { slot } = state.web.endpoints[1]!;
  state.control.setHealth(slot, health.down);
  state.notes.set(slot, {
    why: '3 checks failed: connection refused',
    since: Date.UTC(2026, 1, 3),
    evidence: ['last check: connection_refused'],
  });
  const answer = await ask('/api/v1/status');
  assert.equal(answer.headers['etag'], '"7"');
  assert.match(answer.headers['content-type']!, /^application\/json/);
  const status = JSON.parse(answer.text);
  assert.equal(status.node, 'lb-a');
  assert.equal(status.version, '9.9.9');
  assert.equal(status.epoch, 7);
  assert.equal(status.engine, 'uring');
  assert.equal(status.startedAt, '2026-01-02T00:00:00.000Z');
  assert.deepEqual(status.workers, { configured: 2, serving: 1 });
  assert.deepEqual(status.listeners, [{ name: 'web', protocol: 'http', isInTls: true, addresses: ['127.0.0.1:8080'] }]);
  const trouble = status.troubles.find(({ pool }: { pool: string }) => pool === 'web');
  assert.deepEqual(trouble, {
    severity: 'warning',
    pool: 'web',
    endpoint: '10.0.0.1:8001',
    state: 'down',
    since: '2026-02-03T00:00:00.000Z',
    reason: '3 checks failed: connection refused',
    evidence: ['last check: connection_refused'],
    advice: 'look at the endpoint itself; weir maint web/10.0.0.1:8001 says that it is known',
  });
  state.control.setHealth(slot, health.up);
  state.notes.clear();
  const { troubles } = JSON.parse((await ask('/api/v1/status')).text);
  assert.ok(troubles.every(({ pool }: { pool: string | null }) => pool === null));
});

test('pools show their endpoints with state, reason and counters', async () => {
  const [first, second] = state.web.endpoints;
  state.control.setAdmin(first!.slot, adminState.drain);
  state.worker.heartbeat(1000);
  state.worker.begin(second!.slot);
  state.worker.begin(second!.slot);
  state.worker.end(second!.slot, 0, 204, 20);
  // Time goes by between two answers.
  const read = ({ text }: Answer) => JSON.parse(text, (key, value) => (key === 'requestsPerSecond' ? null : value));
  const { items } = read(await ask('/api/v1/pools'));
  assert.deepEqual(
    items.map((pool: { name: string }) => pool.name),
    ['web', 'api'],
  );
  const pool = read(await ask('/api/v1/pools/web'));
  assert.deepEqual(pool, items[0]);
  assert.deepEqual(pool.states, { ready: 2, down: 0, drain: 1, maint: 0, ejected: 0, 'slow-start': 0 });
  assert.equal(pool.policy, 'power-of-two');
  assert.equal(pool.inFlight, 1);
  assert.equal(pool.endpoints[0].status.state, 'drain');
  assert.equal(pool.endpoints[0].status.reason, 'set by an operator');
  const { requests, inFlight, responses, responseSeconds } = pool.endpoints[1];
  assert.deepEqual({ requests, inFlight, responseSeconds }, { requests: 2, inFlight: 1, responseSeconds: 0.02 });
  assert.equal(responses['2xx'], 1);
  assert.equal((await ask('/api/v1/pools/nope')).status, 404);
});

test('workers show what they say of themselves, also those that are down', async () => {
  state.worker.process(0.5, 1e6, 9, 1, 2, 3, 0);
  const { items } = JSON.parse((await ask('/api/v1/workers')).text);
  assert.equal(items[0].busyRatio, 0.5);
  assert.equal(items[0].pid, process.pid);
  assert.deepEqual(items[1], { worker: 1, state: 'waiting', pid: null, engine: null, startedAt: null, restarts: 1 });
});

test('metrics are served with their content type, and HEAD without a body', async () => {
  const answer = await ask('/metrics');
  assert.equal(answer.headers['content-type'], 'text/plain; version=0.0.4; charset=utf-8');
  assert.match(answer.text, /^weir_config_epoch 7$/m);
  const head = await ask('/metrics', {}, 'HEAD');
  assert.deepEqual([head.status, head.text], [200, '']);
});

test('the unix socket answers the same, whatever the Host, and is closed to others', async () => {
  const unix = admin.addresses[1]!;
  assert.equal((await ask('/livez', { host: 'evil.example' }, 'GET', unix)).status, 200);
  assert.equal(statSync(socketPath).mode & 0o777, 0o660);
});

test('a rebound name, another origin and a change are refused before anything is told', async () => {
  for (const path of ['/livez', '/metrics', '/api/v1/status', '/nothing']) {
    const rebound = await ask(path, { host: 'evil.example' });
    assert.equal(rebound.status, 403);
    assert.match(rebound.headers['content-type']!, /^application\/problem\+json/);
    assert.equal((await ask(path, { origin: 'http://evil.example' })).status, 403);
    const change = await ask(path, {}, 'POST');
    assert.equal(change.status, 405);
    assert.equal(change.headers['allow'], 'GET, HEAD');
  }
  assert.equal((await ask('/nothing')).status, 404);
  assert.equal((await ask('/livez')).headers['access-control-allow-origin'], undefined);
});

test('a socket that a killed process left is taken over, one in use is not', async () => {
  const path = join(folder, 'other.sock');
  const address: Address = { kind: 'unix', path };
  const code = `require('net').createServer().listen(${JSON.stringify(path)}, () => process.kill(process.pid, 'SIGKILL'))`;
  assert.equal(spawnSync(process.execPath, ['-e', code]).signal, 'SIGKILL');
  assert.ok(statSync(path).isSocket());
  const first = await startAdmin({ addresses: [address], state });
  await assert.rejects(startAdmin({ addresses: [address], state }), /in use/);
  assert.equal((await ask('/livez', {}, 'GET', address)).status, 200);
  await first.close();
});

test('a file that is no socket is never removed', async () => {
  const path = join(folder, 'precious');
  writeFileSync(path, 'text');
  await assert.rejects(startAdmin({ addresses: [{ kind: 'unix', path }], state }), /not a socket/);
  assert.equal(readFileSync(path, 'utf8'), 'text');
});

test('when one address cannot be had, none is kept', async () => {
  const taken = admin.addresses[0]!;
  const path = join(folder, 'none.sock');
  await assert.rejects(startAdmin({ addresses: [{ kind: 'unix', path }, taken], state }), /EADDRINUSE/);
  await assert.rejects(ask('/livez', {}, 'GET', { kind: 'unix', path }));
});

test('closing does not wait for an idle client', async () => {
  const other = await startAdmin({ addresses: [loopback], state });
  const { port } = other.addresses[0] as { port: number };
  const socket = connect(port, '127.0.0.1');
  const gone = new Promise((resolve) => socket.once('close', resolve));
  socket.write('GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n');
  await new Promise((resolve) => socket.once('data', resolve));
  await other.close();
  await gone;
});
