/**
 * Harm prevented: an operator takes an endpoint out and requests fail, or the command says "safe to stop" and it is not; a weight that is not kept;
 * an order that a reload or a restart forgets; an explanation of something else than what happens.
 */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { createServer, type ServerResponse } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { after, before, beforeEach, describe, test } from 'node:test';
import { type CommandResult, command } from '../support/command.ts';
import { KeyedEndpoint } from '../support/keyed-endpoint.ts';
import { describeLoad, failed, Load } from '../support/load.ts';
import { ask } from '../support/peer.ts';
import { isAlive } from '../support/system.ts';
import { until } from '../support/wait.ts';
import { get, simpleConfig, Weir, type WeirConfig, type WeirOptions } from '../support/weir.ts';

describe('a running instance', () => {
  let endpoints: KeyedEndpoint[];
  let weir: Weir;
  let options: WeirOptions;
  /** Killed on purpose; what they left is cleaned up at the end. */
  const killed: Weir[] = [];

  const configOf = (ports: { web: number; admin: number }, used: readonly { address: string }[] = endpoints): WeirConfig =>
    simpleConfig(
      ports,
      used.map(({ address }) => address),
      {
        top: {
          pools: {
            pool: { balance: 'round-robin', endpoints: used.map(({ address }) => address) },
            users: {
              balance: { algorithm: 'maglev', hashOn: '{request.header.x-user}' },
              endpoints: used.map(({ address }) => address),
            },
          },
          routes: [
            { name: 'items', path: '/v1/*', to: 'pool', rewrite: { stripPrefix: '/v1' } },
            { name: 'users', path: '/users/*', to: 'users' },
            { name: 'post', path: '/keyed/*', method: 'POST', to: 'pool' },
          ],
        },
      },
    );
  const ports = (): { web: number; admin: number } => ({ web: weir.port, admin: weir.adminPort });
  const order = (...words: string[]): Promise<CommandResult> => command(...words, '-a', `127.0.0.1:${weir.adminPort}`);
  const named = (index: number): string => `pool/${endpoints[index]!.address}`;

  /** How often the log tells an event of an endpoint of `pool`. */
  const logged = (event: string, address: string): number =>
    weir.events(event).filter(({ endpoint }) => endpoint === address).length;

  async function done(...words: string[]): Promise<CommandResult> {
    const result = await order(...words);
    assert.equal(result.code, 0, `weir ${words.join(' ')}: ${result.code}\n${result.err}${result.out}`);
    return result;
  }

  before(async () => {
    endpoints = await KeyedEndpoint.startMany(4);
    options = { workers: 2, config: (own) => configOf(own) };
    weir = await Weir.start(options);
  });
  after(async () => {
    await weir?.stop();
    for (const old of killed) await old.kill();
    for (const endpoint of endpoints ?? []) await endpoint.kill();
  });
  beforeEach(async () => {
    const { items } = JSON.parse((await weir.admin('/api/v1/endpoints')).body) as {
      items: { pool: string; address: string; status: { state: string }; weightPercent: number }[];
    };
    for (const { pool, address, status, weightPercent } of items) {
      if (status.state !== 'ready') await done('ready', `${pool}/${address}`);
      if (weightPercent !== 100) await done('set', `${pool}/${address}`, 'weight=100%');
    }
  });

  test('explains each next request before it is made: the same endpoint, the same path', async () => {
    for (let i = 0; i < 4; i++) {
      const { out } = await done('explain', 'GET', `http://127.0.0.1:${weir.port}/v1/keyed/a/${i}?q`, '--json');
      const explained = JSON.parse(out) as {
        routes: { name: string; verdict: string; missed: string[] }[];
        rewrite: { to: string };
        pool: { pick: string };
      };
      const { headers } = await fetch(`http://127.0.0.1:${weir.port}/v1/keyed/a/${i}?q`);
      const went = endpoints.find(({ name }) => name === headers.get('x-endpoint'));
      assert.equal(explained.pool.pick, went?.address, `request ${i}`);
      assert.equal(explained.rewrite.to, `/keyed/a/${i}?q`);
      assert.deepEqual(
        explained.routes.map(({ name, verdict, missed }) => [name, verdict, missed]),
        [
          ['post', 'missed', ['path /keyed/*', 'method POST']],
          ['users', 'missed', ['path /users/*']],
          ['items', 'taken', []],
          ['listener/web', 'also fits', []],
        ],
      );
    }
  });

  test('explains where the hash of a user leads, and where it leads while that endpoint drains', async () => {
    const url = `http://127.0.0.1:${weir.port}/users/x`;
    const wentTo = async (user: string) => {
      const { headers } = await fetch(url, { headers: { 'x-user': user } });
      return endpoints.find(({ name }) => name === headers.get('x-endpoint'))?.address;
    };
    const explained = async (user: string) =>
      JSON.parse((await done('explain', url, '-H', `x-user: ${user}`, '--json')).out).pool.pick;
    const homes = [await explained('ann'), await explained('bob')];
    assert.deepEqual([await wentTo('ann'), await wentTo('bob')], homes);
    await done('drain', `users/${homes[0]}`);
    const meanwhile = await explained('ann');
    assert.notEqual(meanwhile, homes[0]);
    assert.equal(await wentTo('ann'), meanwhile);
    await done('ready', `users/${homes[0]}`);
    assert.equal(await wentTo('ann'), homes[0], 'it comes home');
  });

  test('an endpoint is drained, declared safe and killed under load, and no request fails', async () => {
    const victim = await KeyedEndpoint.start('victim');
    await weir.reload(configOf(ports(), [...endpoints, victim]));
    const loads = [
      new Load({ port: weir.port, connections: 16, rate: 500, seed: 1 }),
      new Load({ port: weir.port, connections: 4, rate: 100, kind: 'mixed', sizeMax: 60_000, splits: true, seed: 2 }),
      new Load({ port: weir.port, connections: 4, rate: 100, requestsPerConnection: 1, seed: 3 }),
    ];
    try {
      await loads[0]!.more(200);
      assert.ok((await victim.stats()).requests > 0, 'it had its share before');
      const { out } = await done(
        'drain',
        `pool/${victim.address}`,
        '--wait',
        '--timeout',
        '20s',
        '--reason',
        'deploy 7',
        '--json',
      );
      const { state, remaining, isSafeToStop, reason } = JSON.parse(out);
      assert.deepEqual([state, remaining.requests, remaining.tunnels], ['done', 0, 0]);
      assert.deepEqual([isSafeToStop, reason], [true, 'deploy 7']);
      const { requests } = await victim.stats();
      await loads[0]!.more(200);
      assert.equal((await victim.stats()).requests, requests, 'it gets nothing any more');
      await victim.kill();
      await loads[0]!.more(300);
      for (const load of loads) {
        const result = await load.stop();
        assert.equal(failed(result), 0, describeLoad(result));
      }
    } finally {
      for (const load of loads) load.kill();
      await victim.kill();
      await weir.reload(configOf(ports()));
    }
  });

  test('a drain waits for the request that is under way, and 8 says that it took too long', async () => {
    const held: ServerResponse[] = [];
    const slow = createServer((_request, response) => void held.push(response));
    await new Promise<void>((resolve) => slow.listen(0, '127.0.0.1', resolve));
    const address = `127.0.0.1:${(slow.address() as AddressInfo).port}`;
    await weir.reload(configOf(ports(), [...endpoints, { address }]));
    try {
      // It goes to this one, because the others drain.
      for (const index of [0, 1, 2, 3]) await done('drain', named(index));
      const asked = ask(weir.port, 'GET / HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n', 60_000);
      await until('the endpoint to have it', () => held.length === 1);
      const early = await order('drain', `pool/${address}`, '--wait', '--timeout', '300ms');
      assert.equal(early.code, 8, early.out);
      assert.match(early.out, /still 1 request left/);
      await until('the log to tell it', () => logged('drain_overdue', address) === 1);
      assert.match(early.err, /has no other endpoint that takes requests/);
      assert.equal((await get(weir.port, '/keyed/a/1')).status, 503, 'all endpoints drain');
      const late = done('drain', `pool/${address}`, '--wait', '--timeout', '20s');
      await until('the drain to go on', async () => {
        const { items } = JSON.parse((await weir.admin('/api/v1/drains')).body) as {
          items: { endpoint: string; state: string }[];
        };
        return items.some(({ endpoint, state }) => endpoint === address && state === 'draining');
      });
      held[0]!.end('whole');
      assert.match((await late).out, /is safe to stop/);
      await until('the log to tell it', () => logged('drain_done', address) === 1);
      const { status, body } = await asked;
      assert.deepEqual([status, body.toString()], [200, 'whole'], 'it was answered in full');
    } finally {
      await weir.reload(configOf(ports()));
      slow.closeAllConnections();
      slow.close();
    }
  });

  test('an upgraded connection is told apart from requests, a drain is not safe while it is open, and at the deadline it is cut', async () => {
    let endpointEnded: Promise<string | undefined> | null = null;
    const echo = createServer().on('upgrade', ({ headers }, socket) => {
      endpointEnded = new Promise((resolve) => {
        socket.once('error', (error: NodeJS.ErrnoException) => resolve(error.code)).once('end', () => resolve('end'));
      });
      const accept = createHash('sha1')
        .update(`${headers['sec-websocket-key']}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`)
        .digest('base64');
      socket.write(
        `HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-accept: ${accept}\r\n\r\n`,
      );
      socket.on('error', () => {}).pipe(socket);
    });
    await new Promise<void>((resolve) => echo.listen(0, '127.0.0.1', resolve));
    const address = `127.0.0.1:${(echo.address() as AddressInfo).port}`;
    await weir.reload(configOf(ports(), [...endpoints, { address }]));
    const client = connect(weir.port, '127.0.0.1');
    try {
      // It goes to this one, because the others drain.
      for (const index of [0, 1, 2, 3]) await done('drain', named(index));
      const heard = (): Promise<string> => new Promise((resolve) => client.once('data', (data) => resolve(String(data))));
      const opening =
        'connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==';
      client.write(`GET / HTTP/1.1\r\nhost: a.example\r\n${opening}\r\n\r\n`);
      assert.match(await heard(), /^HTTP\/1\.1 101 /);
      const { state, remaining } = JSON.parse((await done('drain', `pool/${address}`, '--json')).out);
      assert.deepEqual([state, remaining.requests, remaining.tunnels], ['draining', 0, 1]);
      await until(
        'it to be told',
        async () => (await weir.metric('weir_drain_remaining', { endpoint: address, kind: 'tunnels' })) === 1,
      );
      client.write('still there');
      assert.equal(await heard(), 'still there');
      const ended = new Promise<string | undefined>((resolve) =>
        client.once('error', (error: NodeJS.ErrnoException) => resolve(error.code)).once('end', () => resolve('end')),
      );
      const { out } = await done('drain', `pool/${address}`, '--wait', '--timeout', '300ms');
      assert.match(out, /is safe to stop after .*, 1 cut at the deadline/);
      assert.deepEqual([await ended, await endpointEnded], ['ECONNRESET', 'ECONNRESET']);
    } finally {
      client.destroy();
      await weir.reload(configOf(ports()));
      echo.close();
    }
  });

  test('a client that is bound to an endpoint stays while it drains, and moves at the deadline; no request fails', async () => {
    const sticky = { cookie: { name: 'at', secret: 'a secret of this test' } };
    const config = configOf(ports());
    const pools = { ...(config['pools'] as object), bound: { endpoints: endpoints.map(({ address }) => address), sticky } };
    const route = { name: 'bound', path: '/bound/*', to: 'bound' };
    await weir.reload({ ...config, pools, routes: [...(config['routes'] as object[]), route] });
    try {
      let cookie = '';
      const servedBy = async (): Promise<string> => {
        const answer = await fetch(`http://127.0.0.1:${weir.port}/bound/x`, { headers: cookie === '' ? {} : { cookie } });
        assert.equal(answer.status, 200);
        await answer.text();
        cookie = answer.headers.get('set-cookie')?.split(';')[0] ?? cookie;
        return answer.headers.get('x-endpoint')!;
      };
      const home = await servedBy();
      const at = `bound/${endpoints.find(({ name }) => name === home)!.address}`;
      const waited = order('drain', at, '--wait', '--timeout', '4s', '--json');
      const drain = async () => JSON.parse((await weir.admin('/api/v1/drains')).body).items[0];
      await until('the drain', async () => (await drain())?.state === 'draining');
      const { deadline } = await drain();
      let stayed = 0;
      await until(
        'the client to move',
        async () => {
          if ((await servedBy()) !== home) return true;
          stayed++;
          return false;
        },
        20_000,
      );
      const late = Date.now() - Date.parse(deadline);
      assert.ok(late >= 0, `it moved ${-late} ms before the deadline`);
      assert.ok(stayed > 1, `${stayed} requests reached it while it drained`);
      const { code, out } = await waited;
      const { state, isSafeToStop } = JSON.parse(out);
      assert.deepEqual([code, state, isSafeToStop], [0, 'done', true]);
      assert.notEqual(await servedBy(), home);
      await until(
        'it to be counted',
        async () => (await weir.metric('weir_pool_sticky_total', { pool: 'bound', result: 'moved' })) === 1,
      );
    } finally {
      await weir.reload(configOf(ports()));
    }
  });

  test('half the weight is half the requests', async () => {
    await done('set', named(0), 'weight=50%', '--reason', 'canary');
    const result = await new Load({ port: weir.port, connections: 8, requests: 700 }).done(60_000);
    assert.equal(result.counts.ok, 700, describeLoad(result));
    // 1 : 2 : 2 : 2; two workers that pick at once may take the same turn.
    for (const [name, share] of [
      ['e0', 100],
      ['e1', 200],
      ['e2', 200],
      ['e3', 200],
    ] as const)
      assert.ok(Math.abs(result.byEndpoint[name]! - share) <= share * 0.15 + 5, JSON.stringify(result.byEndpoint));
    const { out } = await done('get', 'endpoints', 'pool');
    assert.match(out, new RegExp(`^${named(0)} .* 1 x 50% .* weight: canary$`, 'm'));
  });

  test('maintenance keeps an endpoint out over a reload, with its reason and time, until it is ready again', async () => {
    await done('maint', named(1), '--reason', 'disk is full');
    const statusOf = async () => JSON.parse((await done('get', 'endpoint', named(1), '--json')).out).status;
    const before = await statusOf();
    assert.deepEqual([before.state, before.reason], ['maint', 'disk is full']);
    await weir.reload(configOf(ports()));
    assert.deepEqual(await statusOf(), before);
    const { requests } = await endpoints[1]!.stats();
    const without = await new Load({ port: weir.port, connections: 4, requests: 100 }).done(60_000);
    assert.equal(without.counts.ok, 100, describeLoad(without));
    assert.equal((await endpoints[1]!.stats()).requests, requests);
    assert.match((await done('status')).out, new RegExp(`^${named(1)} +maint .* disk is full +weir ready `, 'm'));
    assert.match((await done('explain', `http://127.0.0.1:${weir.port}/`)).out, /maint .*\(disk is full\)/);
    await done('ready', named(1), '--wait');
    const with4 = await new Load({ port: weir.port, connections: 4, requests: 100 }).done(60_000);
    assert.ok(with4.byEndpoint['e1']! > 10, JSON.stringify(with4.byEndpoint));
  });

  test('what is not there is 6, and nobody there is 5', async () => {
    assert.equal((await order('drain', 'pool/10.0.0.9:1')).code, 6);
    assert.equal((await order('get', 'pools', 'nope')).code, 6);
    assert.equal((await command('status', '-a', `unix:${weir.folder}/no.sock`)).code, 5);
    assert.equal((await order('set', named(0), 'weight=50')).code, 2);
  });

  test('a drain outlives the process that took the order', async () => {
    await done('drain', named(2), '--wait', '--timeout', '10s');
    const { requests } = await endpoints[2]!.stats();
    const [old, own] = [weir, ports()];
    const workers = old.workers;
    old.signal('SIGKILL');
    await old.exited;
    killed.push(old);
    weir = await Weir.start({ ...options, ports: own, folder: old.folder });
    await until('the workers of the first to have left', () => workers.every((pid) => !isAlive(pid)), 15_000, 20);
    const result = await new Load({ port: weir.port, connections: 4, requests: 100 }).done(60_000);
    assert.equal(result.counts.ok, 100, describeLoad(result));
    assert.equal((await endpoints[2]!.stats()).requests, requests, 'it still gets nothing');
    assert.equal(JSON.parse((await done('get', 'endpoint', named(2), '--json')).out).status.state, 'drain');
    const drain = JSON.parse((await done('get', 'drain', named(2), '--json')).out);
    assert.deepEqual([drain.endpoint, drain.reason, drain.by], [endpoints[2]!.address, null, null]);
    const minutes = (Date.parse(drain.deadline) - Date.now()) / 60_000;
    assert.ok(minutes > 4 && minutes <= 5, `a deadline from now, in ${minutes} minutes`);
    const taken = await fetch(`http://127.0.0.1:${weir.adminPort}/api/v1/drains/${drain.id}`, { method: 'DELETE' });
    assert.equal(taken.status, 200, 'it is taken back');
    assert.equal(JSON.parse((await done('get', 'endpoint', named(2), '--json')).out).status.state, 'ready');
  });
});
