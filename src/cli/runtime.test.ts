/** The commands that talk to a running instance, against an admin address over a real table. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { type AddressInfo, createServer as createTcpServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach, before, beforeEach, describe, test } from 'node:test';
import { shellIn } from '../../tests/support/shell.ts';
import { type Admin, startAdmin } from '../control/admin/admin.ts';
import { StateFixture } from '../control/admin/fixture.ts';
import { assignIds, parseConfig } from '../control/config/config.ts';
import { admin as adminState, health, stickyResult } from '../state/doors.ts';
import { plainPassive } from '../state/plain-pool.ts';
import type { PassiveHealthPlan, StickyPlan } from '../state/plan.ts';
import { adminAddress } from './client.ts';
import { spanText, table } from './columns.ts';
import { drain, maint, ready } from './drain.ts';
import { eject } from './eject.ts';
import { explain } from './explain.ts';
import { get, kindOf } from './get.ts';
import { changesOf, set } from './set.ts';
import { exit, type Shell, UsageError } from './shell.ts';
import { status } from './status.ts';

const folder = mkdtempSync(join(tmpdir(), 'weir-runtime-'));
const CONFIG = `version: 1
name: lb-a
listeners: { web: { listen: ":8080", to: "10.0.0.1:8000" } }
pools: { web: { endpoints: ["10.0.0.1:8000", "10.0.0.1:8001"] } }
routes: [{ name: shop, host: a.example, to: web }]
`;
let state: StateFixture;
let running: Admin;
let admin: string;

before(async () => {
  state = new StateFixture({ web: 2, 'listener/web': 1 });
  // Drains settle while commands wait for them.
  state.clock = Date.now;
  state.crew = [state.crew[0]!];
  state.loads = { ...state.loads, isLastOk: true };
  const { plan } = parseConfig(CONFIG, 'weir.yaml', {});
  state.its = { ...assignIds(plan!, state.control).plan, epoch: 7 };
  assert.deepEqual(
    state.its.pools.map(({ name }) => name),
    ['web', 'listener/web'],
  );
  running = await startAdmin({ addresses: [{ kind: 'ip', host: '127.0.0.1', port: 0 }], state });
  admin = `127.0.0.1:${(running.addresses[0] as { port: number }).port}`;
});
after(async () => {
  await running.close();
  rmSync(folder, { recursive: true });
});

const first = 'web/10.0.0.1:8000';
const second = 'web/10.0.0.1:8001';
const slots = (): number[] => state.web.endpoints.map(({ slot }) => slot);

beforeEach(() => {
  for (const slot of slots()) {
    state.control.setAdmin(slot, adminState.ready);
    state.control.setHealth(slot, health.up);
    state.control.setWeightPercent(slot, 100);
    state.control.setEjected(slot, false);
  }
  state.notes.clear();
  state.drains.look();
});

async function ran(command: (shell: Shell) => Promise<number>) {
  const { shell, said } = shellIn(folder);
  const code = await command(shell);
  return { code, ...said };
}

async function closedPort(): Promise<number> {
  const server = createTcpServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

describe('where the instance is', () => {
  test('addresses are read as people write them', () => {
    const port = { kind: 'ip', host: '127.0.0.1', port: 9900 };
    for (const text of ['127.0.0.1:9900', ':9900', 'http://127.0.0.1:9900', 'http://127.0.0.1:9900/'])
      assert.deepEqual(adminAddress(text), port, text);
    assert.deepEqual(adminAddress('[::1]:9900'), { kind: 'ip', host: '::1', port: 9900 });
    assert.deepEqual(adminAddress('localhost:9900'), { kind: 'ip', host: 'localhost', port: 9900 });
    for (const text of ['unix:/run/a.sock', '/run/a.sock'])
      assert.deepEqual(adminAddress(text), { kind: 'unix', path: '/run/a.sock' });
    for (const text of ['9900', '127.0.0.1', '127.0.0.1:99999', 'https://127.0.0.1:9900', '', 'a b:1'])
      assert.throws(() => adminAddress(text), UsageError, text);
  });

  test('the configuration says it when no flag does', async () => {
    const file = join(folder, 'weir.yaml');
    writeFileSync(file, `version: 1\nadmin: { listen: ["${admin}"] }\nlisteners: { web: { listen: ":1", to: "127.0.0.1:1" } }\n`);
    try {
      assert.equal((await ran((shell) => status({}, shell))).code, exit.done, 'found in the folder');
      assert.equal((await ran((shell) => status({ config: [file] }, shell))).code, exit.done, 'named');
    } finally {
      rmSync(file);
    }
    assert.equal((await ran((shell) => status({ config: ['missing.yaml'] }, shell))).code, exit.configInvalid);
  });

  test('nobody there, a wrong one there and a silent one end in 5 with what to do', async () => {
    const closed = await ran(async (shell) => status({ admin: `127.0.0.1:${await closedPort()}` }, shell));
    assert.equal(closed.code, exit.noAnswer);
    assert.match(closed.err, /^weir: no answer from 127\.0\.0\.1:\d+: connection refused.*-a names another address\n$/);
    assert.equal((await ran((shell) => status({ admin: join(folder, 'no.sock') }, shell))).code, exit.noAnswer);
    const wrong: Server = createServer((_request, response) => response.setHeader('content-type', 'application/json').end('{}'));
    await new Promise<void>((resolve) => wrong.listen(0, '127.0.0.1', resolve));
    const other = await ran((shell) => status({ admin: `127.0.0.1:${(wrong.address() as AddressInfo).port}` }, shell));
    await new Promise((resolve) => wrong.close(resolve));
    assert.deepEqual([other.code, other.out], [exit.noAnswer, '']);
    assert.match(other.err, /is not weir's admin address/);
  });
});

describe('get', () => {
  test('kinds are known in singular and plural', () => {
    assert.deepEqual([kindOf('pool'), kindOf('pools'), kindOf('poolss'), kindOf('config')], ['pools', 'pools', null, 'config']);
  });

  test('endpoints stand in a table with state, weight and why', async () => {
    await ran((shell) => set({ admin, endpoint: second, values: ['weight=50%'], reason: 'canary' }, shell));
    // As long as something is left, it drains.
    state.worker.begin(slots()[0]!);
    await ran((shell) => drain({ admin, endpoint: first, reason: 'deploy 7' }, shell));
    const { out } = await ran((shell) => get({ admin, kind: 'endpoints' }, shell));
    const [headings, ...rows] = out.trimEnd().split('\n');
    assert.match(headings!, /^ENDPOINT +STATE +SINCE +WEIGHT/);
    assert.match(rows[0]!, /^web\/10\.0\.0\.1:8000 +drain .* deploy 7$/);
    assert.match(rows[1]!, /^web\/10\.0\.0\.1:8001 +ready .* 1 x 50% .* weight: canary$/);
    assert.match(rows[2]!, /^listener\/web\/10\.0\.0\.1:8000 /);
    const drains = await ran((shell) => get({ admin, kind: 'drains' }, shell));
    state.worker.end(slots()[0]!, 0, 200, 1);
    assert.match(
      drains.out,
      /^[0-9a-f]{8} +web\/10\.0\.0\.1:8000 +draining +\S+ +in (?:5m 0|4m \d+)s +1 request +no +deploy 7$/m,
    );
  });

  test('an ejected endpoint is told with when it returns, and a slow starter with how far it is', async () => {
    const plan = state.its!;
    const [web, ...rest] = plan.pools;
    state.its = { ...plan, pools: [{ ...web!, health: { ...web!.health, slowStartMs: 100_000 } }, ...rest] };
    try {
      state.control.setEjected(slots()[0]!, true);
      const ejection = { cause: 'consecutive-failures', count: 2, returnsAt: Date.now() + 59_000 };
      state.notes.set(slots()[0]!, { why: '5 failures in a row', since: Date.now(), evidence: ['502 x 5'], ejection });
      state.control.setHealth(slots()[1]!, health.down);
      state.control.setHealth(slots()[1]!, health.up);
      const { out } = await ran((shell) => get({ admin, kind: 'endpoints', output: 'wide' }, shell));
      const [headings, ...rows] = out.trimEnd().split('\n');
      assert.match(headings!, / WHY +REQ\/S +TUNNELS .* EVIDENCE$/);
      assert.match(rows[0]!, / ejected .* 5 failures in a row; returns in [45]\ds, ejected 2 times in a row .* 502 x 5$/);
      assert.match(rows[1]!, / slow-start 10% /);
      const pools = await ran((shell) => get({ admin, kind: 'pools', output: 'wide' }, shell));
      assert.match(pools.out, /^web +power-of-two +1\/2 +1 ejected, 1 slow-start /m);
      const { out: screen } = await ran((shell) => status({ admin }, shell));
      assert.match(screen, /^web\/10\.0\.0\.1:8000 +ejected .* it is tried again at \S+; look at/m);
    } finally {
      state.its = plan;
    }
  });

  test('a pool shows its breaker, stickiness, hedges and fallback when it is asked for all', async () => {
    const plan = state.its!;
    const [web, ...rest] = plan.pools;
    const breaker = { requestsMax: 100, pendingMax: 0, retriesMax: 3, isShadow: true };
    state.its = { ...plan, pools: [{ ...web!, breaker, sticky: {} as StickyPlan, fallback: 1 }, ...rest] };
    const { worker } = state;
    try {
      worker.begin(slots()[0]!);
      worker.breaker(web!.id, true);
      for (const result of [stickyResult.hit, stickyResult.hit, stickyResult.new]) worker.sticky(web!.id, result);
      worker.hedge(web!.id, false);
      worker.fellBack(web!.id);
      const { out } = await ran((shell) => get({ admin, kind: 'pools', output: 'wide' }, shell));
      assert.match(out, /^web .* 0\/1 +2 hit, 1 new +requests 1\/100, retries 0\/3, 1 would be refused +listener\/web 1$/m);
      const { out: narrow } = await ran((shell) => get({ admin, kind: 'pools' }, shell));
      assert.doesNotMatch(narrow, /BREAKER|refused/);
    } finally {
      worker.end(slots()[0]!, 0, 200, 1);
      state.its = plan;
    }
  });

  test('a name picks one, a pool its endpoints, and another name is 6 with those there are', async () => {
    const one = await ran((shell) => get({ admin, kind: 'pool', name: 'web', json: true }, shell));
    assert.equal(JSON.parse(one.out).name, 'web');
    const all = await ran((shell) => get({ admin, kind: 'pools', output: 'json' }, shell));
    assert.deepEqual(JSON.parse(all.out).items.length, 2);
    const ofPool = await ran((shell) => get({ admin, kind: 'endpoints', name: 'web', json: true }, shell));
    assert.equal(JSON.parse(ofPool.out).items.length, 2);
    const alone = await ran((shell) => get({ admin, kind: 'endpoint', name: first, json: true }, shell));
    assert.equal(JSON.parse(alone.out).address, '10.0.0.1:8000');
    const missing = await ran((shell) => get({ admin, kind: 'pools', name: 'wbe' }, shell));
    assert.deepEqual([missing.code, missing.out], [exit.noSuchObject, '']);
    assert.match(missing.err, /there is none named wbe among pools; there are web, listener\/web/);
    assert.equal((await ran((shell) => get({ admin, kind: 'things' }, shell))).code, exit.usage);
  });

  test('every kind has a table', async () => {
    for (const kind of ['pools', 'endpoints', 'listeners', 'routes', 'workers', 'drains']) {
      const { code, out, err } = await ran((shell) => get({ admin, kind }, shell));
      assert.deepEqual([code, err], [exit.done, ''], kind);
      assert.match(out, /^[A-Z]+ .*[A-Z]\n/, kind);
    }
    assert.equal(JSON.parse((await ran((shell) => get({ admin, kind: 'config' }, shell))).out).node, 'lb-a');
  });
});

describe('status', () => {
  test('is one screen, with the trouble and why', async () => {
    const calm = await ran((shell) => status({ admin }, shell));
    assert.match(calm.out, /^lb-a {2}ready {2}weir 9\.9\.9, epoch 7/);
    assert.match(calm.out, /no trouble\n$/);
    await ran((shell) => maint({ admin, endpoint: first, reason: 'disk' }, shell));
    const { out, code } = await ran((shell) => status({ admin }, shell));
    assert.equal(code, exit.done);
    assert.match(out, /^web +power-of-two +traffic +1\/2 +1 maint /m);
    assert.match(out, /^web\/10\.0\.0\.1:8000 +maint +\S+.* disk +weir ready web\/10\.0\.0\.1:8000 takes it back$/m);
    const json = await ran((shell) => status({ admin, json: true }, shell));
    assert.equal(JSON.parse(json.out).troubles[0].reason, 'disk');
  });

  test('exits 8 when the instance takes no traffic', async () => {
    const before = state.ready;
    state.ready = [{ name: 'not-leaving', isOk: false, why: 'weir is draining' }];
    const { code, out } = await ran((shell) => status({ admin }, shell));
    state.ready = before;
    assert.equal(code, exit.no);
    assert.match(out, /not ready: weir is draining/);
  });
});

describe('drain, ready, maint', () => {
  test('set the state and say what is in flight', async () => {
    state.worker.begin(slots()[0]!);
    const drained = await ran((shell) => drain({ admin, endpoint: first }, shell));
    assert.deepEqual([drained.code, drained.err], [exit.done, '']);
    assert.match(
      drained.out,
      new RegExp(`^${first} drains, 1 request left, deadline in (5m 0|4m \\d+)s \\(drain [0-9a-f]{8}\\)\n$`),
    );
    assert.equal(state.tally.admin(slots()[0]!), adminState.drain);
    assert.equal(
      (await ran((shell) => maint({ admin, endpoint: first }, shell))).out,
      `${first} is in maintenance, 1 in flight\n`,
    );
    state.worker.end(slots()[0]!, 0, 200, 1);
    assert.equal((await ran((shell) => ready({ admin, endpoint: first }, shell))).out, `${first} is ready\n`);
    assert.equal(state.tally.isReady(slots()[0]!), true);
  });

  test('--wait ends when the last request has', async () => {
    state.worker.begin(slots()[0]!);
    const { shell, said } = shellIn(folder);
    const waiting = drain(
      { admin, endpoint: first, wait: true, timeout: '20s' },
      {
        ...shell,
        // It has said how many are left: now the last one ends.
        err: (text) => {
          said.err += text;
          if (text.includes('1 request left')) state.worker.end(slots()[0]!, 0, 200, 1);
        },
      },
    );
    assert.equal(await waiting, exit.done);
    assert.match(said.out, /drains and is safe to stop after \d+s\n$/);
    assert.equal(said.err, `${first}: 1 request left\n`);
  });

  test('--wait that takes too long exits 8 and leaves it draining', async () => {
    state.worker.begin(slots()[0]!);
    const { code, out } = await ran((shell) =>
      drain({ admin, endpoint: first, wait: true, timeout: '150ms', json: true }, shell),
    );
    state.worker.end(slots()[0]!, 0, 200, 1);
    assert.equal(code, exit.no);
    const { state: its, remaining, isSafeToStop } = JSON.parse(out);
    assert.deepEqual([its, remaining.requests, isSafeToStop], ['overdue', 1, false]);
    assert.equal(state.tally.admin(slots()[0]!), adminState.drain);
  });

  test('--wait ends with 8 when somebody else makes it ready again', async () => {
    state.worker.begin(slots()[0]!);
    const { shell, said } = shellIn(folder);
    const code = await drain(
      { admin, endpoint: first, wait: true, timeout: '20s' },
      {
        ...shell,
        err: () => state.control.setAdmin(slots()[0]!, adminState.ready),
      },
    );
    state.worker.end(slots()[0]!, 0, 200, 1);
    assert.equal(code, exit.no);
    assert.match(said.out, /drains no more: somebody else changed it after \d+s\n$/);
  });

  test('clients that are bound to it by a cookie are waited for until the deadline, unless they are let go', async () => {
    const plan = state.its!;
    const [web, ...rest] = plan.pools;
    state.its = { ...plan, pools: [{ ...web!, sticky: {} as StickyPlan }, ...rest] };
    state.drains.apply(state.its);
    try {
      await ran((shell) => drain({ admin, endpoint: first }, shell));
      const kept = await ran((shell) => get({ admin, kind: 'drain', name: first, json: true }, shell));
      assert.deepEqual([JSON.parse(kept.out).keepsBound, JSON.parse(kept.out).isSafeToStop], [true, false]);
      const waited = await ran((shell) => drain({ admin, endpoint: first, wait: true, timeout: '300ms' }, shell));
      assert.match(waited.err, /0 requests left, clients bound to it by a cookie may come for 0s\n/);
      assert.deepEqual([waited.code, state.tally.isKeeping(slots()[0]!)], [exit.done, false]);
      const gone = await ran((shell) => drain({ admin, endpoint: second, wait: true, keepBound: false }, shell));
      assert.deepEqual([gone.code, gone.err.includes('bound to it')], [exit.done, false]);
    } finally {
      state.its = plan;
      state.drains.apply(plan);
    }
  });

  test('a second order tells the drain under way, and gives it more time only when asked', async () => {
    state.worker.begin(slots()[0]!);
    const asked = async (timeout?: string) =>
      JSON.parse((await ran((shell) => drain({ admin, endpoint: first, json: true, timeout }, shell))).out);
    const once = await asked('1m');
    const byId = await ran((shell) => get({ admin, kind: 'drain', name: once.id, json: true }, shell));
    assert.equal(JSON.parse(byId.out).items[0].endpoint, '10.0.0.1:8000');
    const again = await asked();
    assert.deepEqual([again.id, again.deadline], [once.id, once.deadline]);
    const longer = await asked('10m');
    assert.equal(longer.id, once.id);
    assert.ok(Date.parse(longer.deadline) > Date.parse(once.deadline) + 500_000);
    state.worker.end(slots()[0]!, 0, 200, 1);
  });

  test('ready --wait ends when the checks pass', async () => {
    state.control.setHealth(slots()[0]!, health.down);
    state.control.setAdmin(slots()[0]!, adminState.drain);
    const { shell, said } = shellIn(folder);
    const code = await ready(
      { admin, endpoint: first, wait: true, timeout: '20s' },
      {
        ...shell,
        err: (text) => {
          said.err += text;
          state.control.setHealth(slots()[0]!, health.up);
        },
      },
    );
    assert.equal(code, exit.done);
    assert.match(said.err, /: down: health checks failed\n/);
    assert.equal(said.out, `${first} is ready\n`);
  });

  test('the last endpoint of a pool is taken out with a warning', async () => {
    await ran((shell) => drain({ admin, endpoint: first }, shell));
    const { code, err } = await ran((shell) => drain({ admin, endpoint: second }, shell));
    assert.equal(code, exit.done);
    assert.match(err, /pool web has no other endpoint that takes requests: new ones are refused/);
  });

  test('an endpoint that is not there is 6, with those that are', async () => {
    const { code, err } = await ran((shell) => drain({ admin, endpoint: 'web/10.0.0.9:1' }, shell));
    assert.equal(code, exit.noSuchObject);
    assert.match(err, /there is no endpoint web\/10\.0\.0\.9:1; there are web\/10\.0\.0\.1:8000, web\/10\.0\.0\.1:8001\n$/);
  });

  test('a pool whose name holds a slash is told from its endpoint', async () => {
    const endpoint = 'listener/web/10.0.0.1:8000';
    assert.match((await ran((shell) => drain({ admin, endpoint }, shell))).out, /^listener\/web\/10\.0\.0\.1:8000 drains/);
    await ran((shell) => ready({ admin, endpoint }, shell));
  });

  test('a timeout without a unit is wrong usage, and nothing is changed', async () => {
    await assert.rejects(drain({ admin, endpoint: first, timeout: '5' }, shellIn(folder).shell), UsageError);
    assert.equal(state.tally.admin(slots()[0]!), adminState.ready);
  });
});

describe('eject', () => {
  const judged = (passive: PassiveHealthPlan | null): void => {
    const [web, ...rest] = state.its!.pools;
    state.its = { ...state.its!, pools: [{ ...web!, health: { ...web!.health, passive } }, ...rest] };
    state.passive.apply(state.its);
  };
  beforeEach(() => judged(plainPassive));
  afterEach(() => judged(null));

  test('takes out for a time, and says when it returns', async () => {
    const ejection = { cause: 'operator', count: 0, returnsAt: Date.now() + 120_400 };
    state.notes.set(slots()[0]!, { why: 'ordered', since: Date.now(), ejection });
    const { code, out } = await ran((shell) => eject({ admin, endpoint: first, for: '2m', reason: 'slow' }, shell));
    assert.equal(code, exit.done);
    assert.match(out, new RegExp(`^${first} is ejected, returns in (2m 0|1m \\d+)s\n$`));
    const { until, since, evidence } = state.passive.statusOf(slots()[0]!)!;
    assert.deepEqual(
      [state.tally.isEjected(slots()[0]!), until - since, evidence],
      [true, 120_000, 'ordered by 127.0.0.1: slow'],
    );
  });

  test('is refused with 1 and the reason, and is wrong usage without a unit', async () => {
    state.control.setAdmin(slots()[1]!, adminState.maint);
    const { code, err } = await ran((shell) => eject({ admin, endpoint: first }, shell));
    assert.deepEqual([code, err], [exit.failed, 'weir: no other endpoint of pool web could take its requests\n']);
    await assert.rejects(
      ran((shell) => eject({ admin, endpoint: first, for: '30' }, shell)),
      UsageError,
    );
    assert.equal(state.tally.isEjected(slots()[0]!), false);
  });
});

describe('set', () => {
  test('sets the weight, and says it', async () => {
    const { code, out } = await ran((shell) => set({ admin, endpoint: first, values: ['weight=50%'] }, shell));
    assert.deepEqual([code, out], [exit.done, `${first} has weight 1 x 50%\n`]);
    assert.equal(state.tally.weightPercent(slots()[0]!), 50);
  });

  test('what cannot be set is wrong usage with a proposal', async () => {
    assert.deepEqual(changesOf(['weight=50%']), { weight: '50%' });
    for (const [value, says] of [
      ['weight=50', /did you mean weight=50%/],
      ['weight', /expected KEY=VALUE/],
      ['colour=red', /known keys: weight/],
      ['weight=-1%', /whole share/],
      ['weight=many', /whole share/],
      ['maxConnections=200', /change it in the configuration and reload/],
    ] as const) {
      const { code, err } = await ran((shell) => set({ admin, endpoint: first, values: [value] }, shell));
      assert.equal(code, exit.usage, value);
      assert.match(err, says);
    }
    assert.equal((await ran((shell) => set({ admin, endpoint: first, values: ['weight=9999%'] }, shell))).code, exit.usage);
    assert.equal(state.tally.weightPercent(slots()[0]!), 100);
  });
});

describe('explain', () => {
  const file = join(folder, 'explained.yaml');
  const text = 'version: 1\nlisteners: { web: { listen: ":8080", to: web } }\npools: { web: { endpoints: ["127.0.0.1:1"] } }\n';

  test('of a file asks nobody', async () => {
    writeFileSync(file, text);
    const { code, out } = await ran((shell) =>
      explain({ words: ['POST', 'http://a.example/'], config: ['explained.yaml'] }, shell),
    );
    assert.equal(code, exit.done);
    assert.match(out, /^POST http:\/\/a\.example\/ from 192\.0\.2\.1\n listener {2}web/);
    assert.match(out, /-> {2}127\.0\.0\.1:1$/m);
    assert.match(out, /^ note {6}no instance was asked/m);
    const json = await ran((shell) => explain({ words: ['http://a.example/'], config: [file], json: true }, shell));
    assert.deepEqual([JSON.parse(json.out).request.method, JSON.parse(json.out).pool.pick], ['GET', '127.0.0.1:1']);
  });

  test('what cannot be explained has its exit code', async () => {
    writeFileSync(file, text);
    const code = async (more: object) =>
      (await ran((shell) => explain({ words: ['http://a.example/'], config: [file], ...more }, shell))).code;
    assert.equal(await code({}), exit.done);
    assert.equal(await code({ words: ['/x'] }), exit.usage);
    assert.equal(await code({ words: ['GET', 'http://a.example/', 'more'] }), exit.usage);
    assert.equal(await code({ header: ['nocolon'] }), exit.usage);
    assert.equal(await code({ random: '-1' }), exit.usage);
    assert.equal(await code({ random: '4294967296' }), exit.usage);
    assert.equal(await code({ listener: 'nope' }), exit.noSuchObject);
    writeFileSync(file, 'version: 2\n');
    assert.equal(await code({}), exit.configInvalid);
  });

  test('of the running instance knows what drains there', async () => {
    await ran((shell) => drain({ admin, endpoint: first, reason: 'deploy' }, shell));
    const { out, code } = await ran((shell) => explain({ words: ['http://a.example:8080/'], admin, random: '0' }, shell));
    assert.equal(code, exit.done, out);
    assert.match(out, /10\.0\.0\.1:8000 +drain .*\(deploy\)/);
    assert.match(out, /-> {2}10\.0\.0\.1:8001$/m);
  });
});

test('WEIR_CONFIG tells explain where the instance is, and is not what is explained', async () => {
  const file = join(folder, 'where.yaml');
  writeFileSync(file, `version: 1\nadmin: { listen: ["${admin}"] }\nlisteners: { web: { listen: ":1", to: "127.0.0.1:1" } }\n`);
  const { shell, said } = shellIn(folder);
  const code = await explain({ words: ['http://a.example/'] }, { ...shell, environment: { WEIR_CONFIG: file } });
  assert.equal(code, exit.done, said.err);
  assert.match(said.out, /^ pool {6}web /m);
});

test('columns: numbers stand to the right, text to the left, and nothing steers the terminal', () => {
  assert.equal(
    table(
      ['A', 'NUMBER'],
      [
        ['x\u001b[1m', 5],
        ['yy', 10],
      ],
    ),
    'A      NUMBER\nx [1m       5\nyy         10\n',
  );
  assert.equal(table(['A', 'B'], []), 'A  B\n');
});

test('spans are told in their two largest units', () => {
  assert.deepEqual([0, 59, 60, 3725, 90_061].map(spanText), ['0s', '59s', '1m 0s', '1h 2m', '1d 1h']);
});
