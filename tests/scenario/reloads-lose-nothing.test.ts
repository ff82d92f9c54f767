/**
 * Harm prevented: a change of the configuration fails requests, closes connections, forgets what was learnt; or a mistake in it stops the traffic
 * (promises P2 and P3).
 */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { KeyedEndpoint } from '../support/keyed-endpoint.ts';
import { describeLoad, failed, Load } from '../support/load.ts';
import { connect } from '../support/peer.ts';
import { descriptorsOf } from '../support/system.ts';
import { until } from '../support/wait.ts';
import { get, simpleConfig, Weir, type WeirConfig } from '../support/weir.ts';

const RELOADS = 50;

describe('reloads', () => {
  let endpoints: KeyedEndpoint[];
  let weir: Weir;
  const ports = (): { web: number; admin: number } => ({ web: weir.port, admin: weir.adminPort });
  const configOf = (used: readonly KeyedEndpoint[], more: Parameters<typeof simpleConfig>[2] = {}): WeirConfig =>
    simpleConfig(
      ports(),
      used.map(({ address }) => address),
      more,
    );

  before(async () => {
    endpoints = await KeyedEndpoint.startMany(4);
    weir = await Weir.start({
      workers: 2,
      config: (own) =>
        simpleConfig(
          own,
          endpoints.slice(0, 2).map(({ address }) => address),
        ),
    });
  });
  after(async () => {
    await weir?.stop();
    for (const endpoint of endpoints ?? []) await endpoint.kill();
  });

  test(`${RELOADS} reloads with endpoints added and removed fail no request of any kind`, async () => {
    const workers = weir.workers;
    // A connection from before the first reload: it must still be the same one after the last.
    const old = await connect(weir.port);
    old.send('GET /keyed/a/3 HTTP/1.1\r\nHost: a\r\n\r\n');
    assert.equal((await old.message()).status, 200);
    const loads = [
      new Load({ port: weir.port, connections: 20, rate: 600, seed: 1 }),
      new Load({ port: weir.port, connections: 6, rate: 200, kind: 'mixed', sizeMax: 60_000, splits: true, seed: 2 }),
      new Load({ port: weir.port, connections: 4, rate: 100, requestsPerConnection: 1, seed: 3 }),
      new Load({ port: weir.port, connections: 2, rate: 100, pipeline: 4, seed: 4 }),
    ];
    for (const load of loads) await load.more(20);
    const requestsBefore = await weir.metric('weir_requests_total');
    const descriptors = workers.map(descriptorsOf);
    for (let i = 0; i < RELOADS; i++) {
      const used = endpoints.filter((_, index) => ((i + 1) & (1 << (index % 4))) !== 0 || index === i % 4);
      await weir.reload(configOf(used, { pool: { balance: i % 2 === 0 ? 'round-robin' : 'power-of-two' } }));
    }
    for (const load of loads) await load.more(50);
    for (const load of loads) {
      const result = await load.stop();
      assert.equal(failed(result), 0, describeLoad(result));
    }
    assert.deepEqual(weir.workers, workers, 'no worker was restarted');
    old.send('GET /keyed/a/3 HTTP/1.1\r\nHost: a\r\n\r\n');
    assert.equal((await old.message()).status, 200, 'no connection was closed');
    await old.close();
    await until('counters to have gone on', async () => (await weir.metric('weir_requests_total')) > requestsBefore + 100);
    await until('descriptors to come back to where they were', () =>
      workers.every((pid, index) => descriptorsOf(pid) <= descriptors[index]! + 20),
    );
  });

  test('a removed endpoint gets no new request, an added one gets some', async () => {
    await weir.reload(configOf(endpoints.slice(2)));
    const before = await Promise.all(endpoints.map((endpoint) => endpoint.stats()));
    const result = await new Load({ port: weir.port, connections: 8, requests: 200 }).done(30_000);
    assert.equal(result.counts.ok, 200, describeLoad(result));
    const gained = (await Promise.all(endpoints.map((endpoint) => endpoint.stats()))).map(
      (stats, i) => stats.requests - before[i]!.requests,
    );
    assert.deepEqual(gained.slice(0, 2), [0, 0]);
    assert.ok(gained[2]! > 0 && gained[3]! > 0, String(gained));
  });

  test('a request in flight ends under the configuration it began with', async () => {
    await weir.reload(configOf([endpoints[0]!]));
    const client = await connect(weir.port);
    client.send('GET /drip/k/5000/10 HTTP/1.1\r\nHost: a\r\n\r\n');
    await client.head();
    await weir.reload(configOf([endpoints[1]!]));
    const message = await client.message(30_000);
    assert.equal(message.bodyBytes, 5000);
    await client.close();
  });

  test('a listener that is added answers, and one that is removed stops without failing what it had', async () => {
    const { freePort } = await import('../support/system.ts');
    const extra = await freePort();
    const config = configOf(endpoints.slice(0, 2));
    await weir.reload({ ...config, listeners: { ...config.listeners, extra: { listen: `127.0.0.1:${extra}`, to: 'pool' } } });
    assert.equal((await get(extra, '/keyed/a/3')).status, 200);
    const held = await connect(extra);
    held.send('GET /drip/k/2000/10 HTTP/1.1\r\nHost: a\r\n\r\n');
    await held.head();
    await weir.reload(config);
    assert.equal((await held.message(30_000)).bodyBytes, 2000);
    await until('the removed address to refuse', async () => {
      try {
        await get(extra, '/keyed/a/3');
        return false;
      } catch (error) {
        return (error as NodeJS.ErrnoException).code === 'ECONNREFUSED';
      }
    });
    await held.close();
  });

  const broken: readonly (readonly [string, (config: WeirConfig) => string, RegExp])[] = [
    ['an unknown key', (config) => JSON.stringify({ ...config, listenerz: {} }, null, 2), /listenerz/],
    [
      'a pool that is not there',
      (config) => JSON.stringify({ ...config, routes: [{ path: '/x', to: 'poool' }] }, null, 2),
      /poool/,
    ],
    ['no JSON at all', () => '{"version": 1, ', /weir\.json/],
    ['an empty file', () => '', /weir\.json/],
    [
      'a duration without a unit',
      (config) => JSON.stringify({ ...config, defaults: { timeouts: { idle: 5 } } }, null, 2),
      /idle/,
    ],
    [
      'a bad address',
      (config) => JSON.stringify({ ...config, pools: { pool: { endpoints: ['nowhere'] } } }, null, 2),
      /endpoints/,
    ],
  ];
  for (const [name, text, says] of broken)
    test(`a file with ${name} is refused with its place, and the old plan goes on`, async () => {
      const config = configOf(endpoints.slice(0, 2));
      const { epoch } = weir;
      const said = weir.stderr.length;
      const load = new Load({ port: weir.port, connections: 4, rate: 400 });
      await load.more(50);
      weir.writeConfig(text(config));
      weir.signal('SIGHUP');
      await until(
        'the refusal',
        () => says.test(weir.stderr.slice(said)) && /weir\.json(?::\d+:\d+)?/.test(weir.stderr.slice(said)),
      );
      await load.more(50);
      const result = await load.stop();
      assert.equal(failed(result), 0, describeLoad(result));
      assert.equal(weir.epoch, epoch);
      // Metrics are a snapshot of up to a second ago.
      await until(
        'the refusal to be told, and the old epoch with it',
        async () =>
          (await weir.metric('weir_config_last_reload_successful')) === 0 && (await weir.metric('weir_config_epoch')) === epoch,
      );
      await weir.reload(config);
    });
});
