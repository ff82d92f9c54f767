import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { type IncomingHttpHeaders, request } from 'node:http';
import { networkInterfaces, tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, beforeEach, describe, test } from 'node:test';
import type { Address } from '../../base/wire.ts';
import { admin as adminState } from '../../state/doors.ts';
import { plainPassive } from '../../state/plain-pool.ts';
import type { PassiveHealthPlan } from '../../state/plan.ts';
import { type Admin, startAdmin } from './admin.ts';
import { StateFixture } from './fixture.ts';
import { isLoopback } from './writes.ts';

const folder = mkdtempSync(join(tmpdir(), 'weir-writes-'));
const socketPath = join(folder, 'admin.sock');
const state = new StateFixture({ web: 2, 'listener/web': 1 });
const [first, second] = state.web.endpoints;
const path = `/api/v1/pools/web/endpoints/${first!.address}`;
let admin: Admin;

before(async () => {
  const addresses: Address[] = [
    { kind: 'ip', host: '127.0.0.1', port: 0 },
    { kind: 'unix', path: socketPath },
    { kind: 'ip', host: '0.0.0.0', port: 0 },
  ];
  admin = await startAdmin({ addresses, state });
});
after(async () => {
  await admin.close();
  rmSync(folder, { recursive: true });
});
beforeEach(() => {
  for (const { slot } of state.web.endpoints) {
    state.control.setAdmin(slot, adminState.ready);
    state.control.setWeightPercent(slot, 100);
  }
  state.drains.look();
});

interface Answer {
  status: number;
  headers: IncomingHttpHeaders;
  // biome-ignore lint/suspicious/noExplicitAny: whatever JSON came
  json: any;
}

interface Ask {
  body?: unknown;
  headers?: Record<string, string>;
  at?: { host: string; port: number } | { socketPath: string };
}

function ask(method: string, to: string, { body, headers = {}, at }: Ask = {}): Promise<Answer> {
  const { host, port } = admin.addresses[0] as { host: string; port: number };
  const text = body === undefined ? undefined : typeof body === 'string' ? body : JSON.stringify(body);
  const type: Record<string, string> = text === undefined ? {} : { 'content-type': 'application/json' };
  return new Promise((resolve, reject) => {
    const sent = request(
      { ...(at ?? { host, port }), path: to, method, headers: { ...type, ...headers }, agent: false },
      (response) => {
        let got = '';
        response.setEncoding('utf8').on('data', (chunk) => (got += chunk));
        response.on('end', () =>
          resolve({ status: response.statusCode!, headers: response.headers, json: got === '' ? null : JSON.parse(got) }),
        );
      },
    );
    sent.on('error', reject).end(text);
  });
}

test('maint and ready set the state, with the reason, and answer the endpoint as it is now', async () => {
  const changed = await ask('POST', `${path}/maint`, { body: { reason: 'disk' } });
  assert.equal(changed.status, 200);
  const { state: its, since, reason } = changed.json.status;
  assert.deepEqual([its, since, reason], ['maint', '2026-01-04T00:00:00.000Z', 'disk']);
  assert.equal(changed.json.readyInPool, 1);
  assert.equal(state.tally.admin(first!.slot), adminState.maint);
  assert.deepEqual((await ask('GET', path)).json.status, changed.json.status);
  assert.equal((await ask('POST', `${path}/ready`, { body: {} })).json.status.state, 'ready');
  assert.equal(state.tally.isReady(first!.slot), true);
});

test('drain makes a drain, which is answered, listed, found by its id and taken back by DELETE', async () => {
  const body = { reason: 'deploy', timeout: '1m30s', keepBound: false };
  const { status, json } = await ask('POST', `${path}/drain`, { body });
  assert.equal(status, 200);
  const { readyInPool, ...drain } = json;
  assert.equal(readyInPool, 1);
  assert.deepEqual(
    [drain.pool, drain.endpoint, drain.state, drain.reason, drain.by, drain.keepsBound],
    ['web', first!.address, 'draining', 'deploy', '127.0.0.1', false],
  );
  assert.equal(Date.parse(drain.deadline), state.now + 90_000);
  assert.equal(state.tally.admin(first!.slot), adminState.drain);
  assert.deepEqual((await ask('GET', '/api/v1/drains')).json.items, [drain]);
  assert.deepEqual((await ask('GET', `/api/v1/drains/${drain.id}`)).json, drain);
  const endpoint = (await ask('GET', path)).json;
  assert.deepEqual([endpoint.status.state, endpoint.status.reason, endpoint.drain], ['drain', 'deploy', drain.id]);
  assert.equal((await ask('DELETE', `/api/v1/drains/${drain.id}`, { headers: { origin: 'http://evil.example' } })).status, 403);
  assert.equal((await ask('DELETE', `/api/v1/drains/${drain.id}`, { headers: { 'if-match': '"6"' } })).status, 412);
  assert.equal(state.tally.admin(first!.slot), adminState.drain);
  assert.equal((await ask('DELETE', `/api/v1/drains/${drain.id}`)).json.state, 'cancelled');
  assert.equal(state.tally.isReady(first!.slot), true);
  assert.equal((await ask('GET', `/api/v1/drains/${drain.id}`)).json.state, 'cancelled');
  const again = await ask('DELETE', `/api/v1/drains/${drain.id}`);
  assert.deepEqual([again.status, again.json.detail], [409, `drain ${drain.id} of web/10.0.0.1:8000 is over: cancelled`]);
  for (const method of ['GET', 'DELETE']) assert.equal((await ask(method, '/api/v1/drains/nope')).status, 404, method);
});

describe('eject', () => {
  const [web, ...others] = state.its!.pools;
  const passiveOf = (passive: PassiveHealthPlan | null) => {
    state.its = { ...state.its!, pools: [{ ...web!, health: { ...web!.health, passive } }, ...others] };
    state.passive.apply(state.its);
  };
  beforeEach(() => passiveOf(plainPassive));
  after(() => passiveOf(null));

  test('takes out for a time and answers the endpoint as it is now', async () => {
    const { status, json } = await ask('POST', `${path}/eject`, { body: { for: '1m30s', reason: 'slow disk' } });
    assert.deepEqual([status, json.status.state, json.readyInPool], [200, 'ejected', 1]);
    assert.equal(state.tally.isEjected(first!.slot), true);
    const { evidence, until, since } = state.passive.statusOf(first!.slot)!;
    assert.deepEqual([evidence, until - since], ['ordered by 127.0.0.1: slow disk', 90_000]);
    passiveOf(null);
    assert.equal(state.tally.isEjected(first!.slot), false);
  });

  test('without a body it is out for as long as the pool says', async () => {
    assert.equal((await ask('POST', `${path}/eject`)).status, 200);
    const { until, since } = state.passive.statusOf(first!.slot)!;
    assert.equal(until - since, plainPassive.ejectMs);
    passiveOf(null);
  });

  test('is refused for the last one, and where nobody is ejected', async () => {
    state.control.setAdmin(second!.slot, adminState.maint);
    const last = await ask('POST', `${path}/eject`);
    assert.deepEqual([last.status, last.json.detail], [409, 'no other endpoint of pool web could take its requests']);
    state.control.setAdmin(second!.slot, adminState.ready);
    passiveOf(null);
    assert.equal((await ask('POST', `${path}/eject`)).status, 409);
    assert.equal(state.tally.isEjected(first!.slot), false);
  });

  test('what is not understood ejects nobody', async () => {
    const bodies = [{ for: 30 }, { for: '30' }, { for: '0s' }, { for: '25h' }, { for: null }, { reason: 5 }, { timeout: '5m' }];
    for (const body of bodies) assert.equal((await ask('POST', `${path}/eject`, { body })).status, 400, JSON.stringify(body));
    assert.equal((await ask('POST', '/api/v1/pools/web/endpoints/x/eject')).status, 404);
    assert.equal((await ask('POST', `${path}/eject`, { headers: { 'if-match': '"6"' } })).status, 412);
    assert.equal((await ask('POST', `${path}/eject`, { headers: { via: '1.1 lb' } })).status, 403);
    assert.equal(state.tally.isEjected(first!.slot), false);
  });
});

test('a check is asked for at once, where there are any', async () => {
  const asked = await ask('POST', `${path}/check`);
  assert.deepEqual([asked.status, asked.json.address, state.asked], [202, first!.address, [first!.slot]]);
  state.isChecked = false;
  const refused = await ask('POST', `${path}/check`);
  assert.deepEqual([refused.status, refused.json.detail], [409, 'pool web has no health checks']);
  state.isChecked = true;
  assert.equal((await ask('POST', '/api/v1/pools/web/endpoints/x/check')).status, 404);
});

test('a drain that is not understood is refused and drains nothing', async () => {
  for (const body of [
    { timeout: 30 },
    { timeout: '30' },
    { timeout: '25h' },
    { keepBound: 'no' },
    { reason: 5 },
    { wait: true },
    { state: 'drain' },
  ]) {
    assert.equal((await ask('POST', `${path}/drain`, { body })).status, 400, JSON.stringify(body));
  }
  assert.equal(state.tally.admin(first!.slot), adminState.ready);
});

test('PATCH changes state and weight together', async () => {
  const { json } = await ask('PATCH', path, { body: { state: 'drain', weight: '50%', reason: 'canary' } });
  assert.equal(json.status.state, 'drain');
  assert.equal(json.weightPercent, 50);
  assert.deepEqual(json.weightStatus, { since: '2026-01-04T00:00:00.000Z', reason: 'canary' });
});

test('an endpoint with weight 0 does not count as one that takes requests', async () => {
  await ask('PATCH', `/api/v1/pools/web/endpoints/${second!.address}`, { body: { weight: '0%' } });
  assert.equal((await ask('POST', `${path}/drain`)).json.readyInPool, 0);
});

test('names with slashes are found when they are escaped', async () => {
  const { endpoints } = state.its!.pools[1]!;
  const to = `/api/v1/pools/${encodeURIComponent('listener/web')}/endpoints/${encodeURIComponent(endpoints[0]!.address)}`;
  assert.equal((await ask('GET', to)).json.pool, 'listener/web');
  assert.equal((await ask('POST', `${to}/drain`)).status, 200);
  assert.equal(state.tally.admin(endpoints[0]!.slot), adminState.drain);
  state.control.setAdmin(endpoints[0]!.slot, adminState.ready);
});

test('what is no change is refused and changes nothing', async () => {
  const bodies: readonly unknown[] = [
    {},
    { weigth: '50%' },
    { weight: 50 },
    { weight: '50' },
    { weight: '1001%' },
    { weight: '-1%' },
    { weight: '1.5%' },
    { state: 'down' },
    { state: 1 },
    { state: 'drain', reason: 5 },
    { state: 'drain', reason: 'x'.repeat(201) },
    [],
    null,
  ];
  for (const body of bodies) {
    const { status, json } = await ask('PATCH', path, { body: JSON.stringify(body) });
    assert.equal(status, 400, JSON.stringify(body));
    assert.equal(json.status, 400);
  }
  assert.equal((await ask('PATCH', path, { body: '{' })).status, 400);
  assert.equal(state.tally.admin(first!.slot), adminState.ready);
  assert.equal(state.tally.weightPercent(first!.slot), 100);
});

test('a reason cannot bring control characters into the log', async () => {
  for (const to of ['drain', 'maint']) {
    const { json } = await ask('POST', `${path}/${to}`, { body: { reason: ' a\u001b[31m\nb ' } });
    assert.equal(json.status?.reason ?? json.reason, 'a [31m b', to);
  }
});

test('what is not there is 404, with the name that was not found', async () => {
  assert.equal((await ask('POST', '/api/v1/pools/nope/endpoints/x/drain')).json.detail, 'there is no pool named nope');
  const missing = await ask('POST', '/api/v1/pools/web/endpoints/x/drain');
  assert.deepEqual([missing.status, missing.json.detail], [404, 'pool web has no endpoint x']);
  assert.equal((await ask('GET', '/api/v1/pools/web/endpoints/x')).status, 404);
});

test('a parameter that is not understood is refused: it may be the one that says not to do it', async () => {
  assert.equal((await ask('POST', `${path}/drain?dryRun=true`)).status, 400);
  assert.equal(state.tally.admin(first!.slot), adminState.ready);
});

test('If-Match holds a change to the epoch it was made for', async () => {
  const old = await ask('POST', `${path}/drain`, { headers: { 'if-match': '"6"' } });
  assert.equal(old.status, 412);
  assert.equal(old.headers['etag'], '"7"');
  assert.equal(state.tally.admin(first!.slot), adminState.ready);
  assert.equal((await ask('POST', `${path}/drain`, { headers: { 'if-match': '"7"' } })).status, 200);
});

test('changes by other methods are refused', async () => {
  for (const method of ['PUT', 'DELETE']) assert.equal((await ask(method, path)).status, 405, method);
  assert.equal((await ask('GET', `${path}/drain`)).status, 404);
});

test('a page of another origin, a rebound name, a form and a proxy cannot change anything', async () => {
  const body = { state: 'drain' };
  const refused: readonly Record<string, string>[] = [
    { origin: 'http://evil.example' },
    { host: 'evil.example' },
    { 'sec-fetch-site': 'cross-site' },
    { 'sec-fetch-site': 'same-site' },
    { 'x-forwarded-for': '10.0.0.1' },
    { forwarded: 'for=10.0.0.1' },
    { via: '1.1 lb' },
    { 'x-real-ip': '10.0.0.1' },
  ];
  for (const headers of refused) {
    assert.equal((await ask('PATCH', path, { body, headers })).status, 403, JSON.stringify(headers));
  }
  for (const type of ['text/plain', 'application/x-www-form-urlencoded', 'multipart/form-data; boundary=a'])
    assert.equal((await ask('PATCH', path, { body, headers: { 'content-type': type } })).status, 415, type);
  assert.equal(state.tally.admin(first!.slot), adminState.ready);
  assert.equal((await ask('PATCH', path, { body, headers: { 'sec-fetch-site': 'same-origin' } })).status, 200);
});

test('over the unix socket changes are taken', async () => {
  assert.equal((await ask('POST', `${path}/drain`, { at: { socketPath } })).status, 200);
});

const outside = Object.values(networkInterfaces())
  .flat()
  .find((address) => address !== undefined && !address.internal && address.family === 'IPv4');

test('from an address that is not loopback one may read and not change', { skip: outside === undefined }, async () => {
  const at = { host: outside!.address, port: (admin.addresses[2] as { port: number }).port };
  assert.equal((await ask('GET', path, { at })).status, 200);
  const refused = await ask('POST', `${path}/drain`, { at });
  assert.deepEqual([refused.status, refused.json.detail], [403, 'changes are taken from this machine only']);
  assert.equal(state.tally.admin(first!.slot), adminState.ready);
});

test('loopback addresses are told from others', () => {
  for (const address of ['127.0.0.1', '127.9.9.9', '::1', '::ffff:127.0.0.1', '::FFFF:127.0.0.1'])
    assert.ok(isLoopback(address), address);
  for (const address of ['128.0.0.1', '10.127.0.1', '::2', '::ffff:10.0.0.1', '1127.0.0.1', '', 'fe80::1'])
    assert.ok(!isLoopback(address), address);
});

test('listings: endpoints over all pools, listeners, the plan', async () => {
  const { items } = (await ask('GET', '/api/v1/endpoints')).json;
  assert.deepEqual(
    items.map(({ pool, address }: { pool: string; address: string }) => `${pool}/${address}`),
    ['web/10.0.0.1:8000', 'web/10.0.0.1:8001', 'listener/web/10.0.0.1:8000'],
  );
  assert.equal((await ask('GET', '/api/v1/listeners')).json.items[0].addresses[0], '127.0.0.1:8080');
  const config = await ask('GET', '/api/v1/config');
  assert.equal(config.headers['weir-api'], 'v1');
  assert.equal(config.json.node, 'lb-a');
});
