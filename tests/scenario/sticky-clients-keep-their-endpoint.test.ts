/** Harm prevented: a client loses its session because weir was reloaded, restarted, drained or doubled; or does not get another when its endpoint is gone. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { command } from '../support/command.ts';
import { fieldOf, fieldsOf } from '../support/message-reader.ts';
import { answer, ask, ok, ScriptedEndpoint } from '../support/peer.ts';
import { isAlive } from '../support/system.ts';
import { until } from '../support/wait.ts';
import { simpleConfig, Weir, type WeirConfig, type WeirOptions } from '../support/weir.ts';

const SECRET = 'a secret that both balancers know';
const BASE64URL = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';

/** One request on a connection of its own, so that any worker may get it: who answered, and the cookie that was set. */
async function visit(port: number, cookie = '', host = 'a.test'): Promise<{ by: string; cookie: string | null }> {
  const fields = cookie === '' ? '' : `Cookie: theme=dark; ${cookie}; lang=en\r\n`;
  const message = await ask(port, `GET / HTTP/1.1\r\nHost: ${host}\r\n${fields}Connection: close\r\n\r\n`);
  assert.equal(message.status, 200);
  const set = fieldsOf(message, 'set-cookie');
  assert.ok(set.length <= 1);
  return { by: message.body.toString(), cookie: set[0]?.split(';')[0] ?? null };
}
/** A client for each of three endpoints: who serves it, and its cookie. */
async function bindOneToEach(port: number, host?: string): Promise<Map<string, string>> {
  const bound = new Map<string, string>();
  await until('a client bound to each endpoint', async () => {
    const { by, cookie } = await visit(port, '', host);
    bound.set(by, cookie!);
    return bound.size === 3;
  });
  return bound;
}
async function stay(port: number, bound: Map<string, string>): Promise<void> {
  for (const [name, cookie] of bound) {
    for (let i = 0; i < 6; i++) assert.deepEqual(await visit(port, cookie), { by: name, cookie: null });
  }
}
function startThree(): Promise<ScriptedEndpoint[]> {
  return Promise.all([0, 1, 2].map((i) => ScriptedEndpoint.start(answer(ok(`e${i}`)))));
}

describe('sticky clients', () => {
  let endpoints: ScriptedEndpoint[];
  let weir: Weir;
  const configOf = (ports: { web: number; admin: number }, count = 3): WeirConfig => {
    const addresses = endpoints.slice(0, count).map((e) => e.address);
    const sticky = { cookie: { name: 'shop', secret: SECRET } };
    const config = simpleConfig(ports, addresses, { pool: { balance: 'round-robin', health: { passive: false }, sticky } });
    return {
      ...config,
      pools: { ...config.pools, other: { endpoints: addresses, sticky } },
      routes: [{ host: 'other.test', to: 'other' }],
    };
  };
  const count = (result: string) => weir.metric('weir_pool_sticky_total', { pool: 'pool', result });

  before(async () => {
    endpoints = await startThree();
    weir = await Weir.start({ workers: 2, config: (ports) => configOf(ports) });
  });
  after(async () => {
    await weir?.stop();
    for (const endpoint of endpoints ?? []) await endpoint.close().catch(() => {});
  });

  test('they stay through a reload, and at a second balancer that knows the secret; the endpoints never see the cookie', async () => {
    const bound = await bindOneToEach(weir.port);
    await stay(weir.port, bound);
    await weir.reload(configOf({ web: weir.port, admin: weir.adminPort }));
    await stay(weir.port, bound);
    const second = await Weir.start({ config: (ports) => configOf(ports) });
    await stay(second.port, bound);
    await second.stop();
    for (const { received } of endpoints) {
      assert.doesNotMatch(received, /shop=/);
      assert.match(received, /cookie: theme=dark; lang=en\r\n/i);
    }
    assert.equal(await count('lost'), 0);
  });

  test('a cookie that was made up or altered chooses no endpoint: it is counted as lost, and the client gets another', async () => {
    const bound = await bindOneToEach(weir.port);
    const others = await bindOneToEach(weir.port, 'other.test');
    const before = await count('lost');
    let forged = 0;
    let chosen = 0;
    for (const [name, cookie] of bound) {
      const value = cookie.slice('shop='.length);
      // The last character carries two bits: the next one differs in those that say nothing.
      const values = [...value].map(
        (c, at) => value.slice(0, at) + BASE64URL[(BASE64URL.indexOf(c) + 1) % 64] + value.slice(at + 1),
      );
      values.push(value.slice(0, -1), `${value}A`, `"${value}"`, 'A'.repeat(22), endpoints[0]!.address);
      values.push(others.get(name)!.slice('shop='.length));
      for (const made of values) {
        const { by, cookie: another } = await visit(weir.port, `shop=${made}`);
        assert.ok(another !== null && another !== `shop=${made}`, `${made} was taken for the cookie of ${name}`);
        forged++;
        if (by === name) chosen++;
      }
    }
    // Those that chose nothing come in turn.
    assert.ok(chosen < forged / 2, `${chosen} of ${forged} came to the endpoint whose cookie they were made of`);
    await until('the counts', async () => (await count('lost')) === before + forged);
  });

  test('an endpoint that drains keeps those bound to it, and gets nobody else', async () => {
    const bound = await bindOneToEach(weir.port);
    const { address } = endpoints[0]!;
    const order = (...words: string[]) => command(...words, '-a', `127.0.0.1:${weir.adminPort}`);
    assert.equal((await order('drain', `pool/${address}`, '--timeout', '60s')).code, 0);
    await stay(weir.port, bound);
    for (let i = 0; i < 12; i++) assert.notEqual((await visit(weir.port)).by, 'e0');
    assert.equal((await order('ready', `pool/${address}`)).code, 0);
  });

  test('the endpoint dies: each of its clients moves once and stays there, also when it is back; no request fails, the others stay', async () => {
    const clients: { by: string; cookie: string }[] = [];
    for (let i = 0; i < 18; i++) {
      const { by, cookie } = await visit(weir.port);
      clients.push({ by, cookie: cookie! });
    }
    const orphans = clients.filter(({ by }) => by === 'e2');
    assert.ok(orphans.length >= 3 && orphans.length <= 9, `${orphans.length} of 18`);
    const before = await count('moved');
    const dead = endpoints[2]!;
    const { port } = dead;
    await dead.close();
    for (const client of orphans) {
      const { by, cookie } = await visit(weir.port, client.cookie);
      assert.ok(by !== 'e2' && cookie !== null && cookie !== client.cookie);
      Object.assign(client, { by, cookie });
    }
    const everybodyStays = async (): Promise<void> => {
      for (const { by, cookie } of clients)
        for (let i = 0; i < 2; i++) assert.deepEqual(await visit(weir.port, cookie), { by, cookie: null });
    };
    await everybodyStays();
    endpoints[2] = await until('its port', () => ScriptedEndpoint.start(answer(ok('e2')), port));
    await until('a client to be bound to it again', async () => (await visit(weir.port)).by === 'e2');
    await everybodyStays();
    await until('the counts', async () => (await count('moved')) === before + orphans.length);
  });

  test('the endpoint leaves the configuration: its clients are bound anew', async () => {
    const bound = await bindOneToEach(weir.port);
    const before = await count('lost');
    await weir.reload(configOf({ web: weir.port, admin: weir.adminPort }, 2));
    const { by, cookie } = await visit(weir.port, bound.get('e2'));
    assert.ok(by !== 'e2' && cookie !== null);
    await until('the count', async () => (await count('lost')) === before + 1);
    await weir.reload(configOf({ web: weir.port, admin: weir.adminPort }));
    assert.deepEqual(await visit(weir.port, bound.get('e2')), { by: 'e2', cookie: null });
  });

  test('without a cookie there is a Set-Cookie as configured', async () => {
    const message = await ask(weir.port, 'GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n');
    assert.match(fieldOf(message, 'set-cookie') ?? '', /^shop=[\w-]{22}; Path=\/; SameSite=Lax; HttpOnly$/);
  });
});

describe('sticky clients of a configuration without a secret', () => {
  let endpoints: ScriptedEndpoint[];
  let weir: Weir;
  let bound: Map<string, string>;
  /** Killed on purpose; what they left is cleaned up at the end. */
  const killed: Weir[] = [];
  const folders: string[] = [];
  const newFolder = (): string => {
    const folder = mkdtempSync(join(tmpdir(), 'weir-machine-'));
    folders.push(folder);
    return folder;
  };
  /** Of a machine with this runtime folder. */
  const optionsOn = (machine: string): WeirOptions => ({
    workers: 2,
    environment: { WEIR_RUNTIME_DIR: machine },
    config: (ports) =>
      simpleConfig(
        ports,
        endpoints.map((e) => e.address),
        { pool: { sticky: { cookie: { name: 'shop' } } } },
      ),
  });
  const ports = (): { web: number; admin: number } => ({ web: weir.port, admin: weir.adminPort });
  let machine: string;

  before(async () => {
    endpoints = await startThree();
    machine = newFolder();
    weir = await Weir.start(optionsOn(machine));
    bound = await bindOneToEach(weir.port);
  });
  after(async () => {
    await weir?.stop();
    for (const one of killed) await one.kill();
    for (const endpoint of endpoints ?? []) await endpoint.close().catch(() => {});
    for (const folder of folders) rmSync(folder, { recursive: true });
  });

  test('they stay when the workers are killed', async () => {
    for (const victim of weir.workers) {
      process.kill(victim, 'SIGKILL');
      await until('a successor that serves', async () => {
        const { workers } = JSON.parse((await weir.admin('/api/v1/status')).body);
        return !weir.workers.includes(victim) && workers.serving === 2;
      });
      await stay(weir.port, bound);
    }
  });

  test('they stay when the control process is killed and another takes over', async () => {
    const [old, own, { workers }] = [weir, ports(), weir];
    old.signal('SIGKILL');
    await old.exited;
    killed.push(old);
    weir = await Weir.start({ ...optionsOn(machine), ports: own, folder: old.folder });
    await until('the workers of the first to have left', () => workers.every((pid) => !isAlive(pid)), 15_000, 20);
    await stay(weir.port, bound);
  });

  test('they stay through a restart', async () => {
    const own = ports();
    await weir.stop();
    weir = await Weir.start({ ...optionsOn(machine), ports: own });
    await stay(weir.port, bound);
    assert.equal(await weir.metric('weir_pool_sticky_total', { result: 'lost' }), 0);
  });

  test('another machine has a secret of its own, and knows none of them', async () => {
    const other = await Weir.start(optionsOn(newFolder()));
    try {
      for (const cookie of bound.values()) assert.notEqual((await visit(other.port, cookie)).cookie, null);
      await until('the counts', async () => (await other.metric('weir_pool_sticky_total', { result: 'lost' })) === 3);
    } finally {
      await other.stop();
    }
  });
});
