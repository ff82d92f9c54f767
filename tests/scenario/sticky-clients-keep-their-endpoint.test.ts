/** Harm prevented: a client loses its session because weir was reloaded, restarted, drained or doubled; or does not get another when its endpoint is gone. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { command } from '../support/command.ts';
import { fieldOf, fieldsOf } from '../support/message-reader.ts';
import { answer, ask, ok, ScriptedEndpoint } from '../support/peer.ts';
import { until } from '../support/wait.ts';
import { simpleConfig, Weir, type WeirConfig } from '../support/weir.ts';

const SECRET = 'a secret that both balancers know';

describe('sticky clients', () => {
  let endpoints: ScriptedEndpoint[];
  let weir: Weir;
  const configOf = (ports: { web: number; admin: number }, count = 3): WeirConfig =>
    simpleConfig(
      ports,
      endpoints.slice(0, count).map((e) => e.address),
      { pool: { sticky: { cookie: { name: 'shop', secret: SECRET } } } },
    );

  before(async () => {
    endpoints = await Promise.all([0, 1, 2].map((i) => ScriptedEndpoint.start(answer(ok(`e${i}`)))));
    weir = await Weir.start({ workers: 2, config: (ports) => configOf(ports) });
  });
  after(async () => {
    await weir?.stop();
    for (const endpoint of endpoints ?? []) await endpoint.close().catch(() => {});
  });

  /** One request on a connection of its own, so that any worker may get it. */
  async function visit(port: number, cookie = ''): Promise<{ by: string; cookie: string | null }> {
    const fields = cookie === '' ? '' : `Cookie: theme=dark; ${cookie}; lang=en\r\n`;
    const message = await ask(port, `GET / HTTP/1.1\r\nHost: a.test\r\n${fields}Connection: close\r\n\r\n`);
    assert.equal(message.status, 200);
    const set = fieldsOf(message, 'set-cookie');
    assert.ok(set.length <= 1);
    return { by: message.body.toString(), cookie: set[0]?.split(';')[0] ?? null };
  }
  /** A client for each endpoint: who serves it, and its cookie. */
  async function bindOneToEach(): Promise<Map<string, string>> {
    const bound = new Map<string, string>();
    await until('a client bound to each endpoint', async () => {
      const { by, cookie } = await visit(weir.port);
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

  test('they stay through a reload, and at a second balancer that knows the secret; the endpoints never see the cookie', async () => {
    const bound = await bindOneToEach();
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
    assert.equal(await weir.metric('weir_pool_sticky_total', { pool: 'pool', result: 'lost' }), 0);
  });

  test('a cookie that was made up is no cookie: the client gets another', async () => {
    const { cookie } = await visit(weir.port, 'shop=AAAAAAAAAAAAAAAAAAAAAA');
    assert.match(cookie ?? '', /^shop=[\w-]{22}$/);
    assert.notEqual(cookie, 'shop=AAAAAAAAAAAAAAAAAAAAAA');
  });

  test('an endpoint that drains keeps those bound to it, and gets nobody else', async () => {
    const bound = await bindOneToEach();
    const { address } = endpoints[0]!;
    const order = (...words: string[]) => command(...words, '-a', `127.0.0.1:${weir.adminPort}`);
    assert.equal((await order('drain', `pool/${address}`, '--timeout', '60s')).code, 0);
    await stay(weir.port, bound);
    for (let i = 0; i < 12; i++) assert.notEqual((await visit(weir.port)).by, 'e0');
    assert.equal((await order('ready', `pool/${address}`)).code, 0);
  });

  test('the endpoint dies: its clients get another and its cookie, no request fails, the others stay', async () => {
    const bound = await bindOneToEach();
    const dead = endpoints[2]!;
    const { port } = dead;
    await dead.close();
    const orphan = bound.get('e2')!;
    bound.delete('e2');
    const moved = await visit(weir.port, orphan);
    assert.ok(moved.cookie !== null && moved.cookie !== orphan);
    assert.deepEqual(await visit(weir.port, moved.cookie), { by: moved.by, cookie: null });
    await stay(weir.port, bound);
    endpoints[2] = await ScriptedEndpoint.start(answer(ok('e2')), port);
    await until('a client to be bound to it again', async () => (await visit(weir.port)).by === 'e2');
  });

  test('the endpoint leaves the configuration: its clients are bound anew', async () => {
    const bound = await bindOneToEach();
    await weir.reload(configOf({ web: weir.port, admin: weir.adminPort }, 2));
    const { by, cookie } = await visit(weir.port, bound.get('e2'));
    assert.ok(by !== 'e2' && cookie !== null);
    assert.ok((await weir.metric('weir_pool_sticky_total', { pool: 'pool', result: 'lost' })) >= 1);
    await weir.reload(configOf({ web: weir.port, admin: weir.adminPort }));
    assert.deepEqual(await visit(weir.port, bound.get('e2')), { by: 'e2', cookie: null });
  });

  test('they stay through a restart', async () => {
    const bound = await bindOneToEach();
    const ports = { web: weir.port, admin: weir.adminPort };
    await weir.stop();
    weir = await Weir.start({ workers: 2, ports, config: (p) => configOf(p) });
    await stay(weir.port, bound);
  });

  test('without a cookie there is a Set-Cookie as configured', async () => {
    const message = await ask(weir.port, 'GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n');
    assert.match(fieldOf(message, 'set-cookie') ?? '', /^shop=[\w-]{22}; Path=\/; SameSite=Lax; HttpOnly$/);
  });
});
