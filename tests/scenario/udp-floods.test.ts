/**
 * Harm prevented: a flood of addresses that fills memory or takes every descriptor, a storm of refusals that leaks, drops that nobody counts, a worker that dies
 * of any of it.
 */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { keepTalkers, openTalkers, rejected, sessions, Talker } from '../support/datagrams.ts';
import { descriptorsOf, freePort, rssBytes } from '../support/system.ts';
import { until } from '../support/wait.ts';
import { type EngineName, Weir } from '../support/weir.ts';

const CLIENTS = 1000;
const SESSIONS = 200;
/** Sockets that wait for their next client: io/datagram-pool.ts. */
const POOLED = 512;
/** A socket that the kernel gives the very port it is connected to hears itself; from another address that cannot be. */
const GONE_HOST = '127.0.0.9';
const names = ['storm', 'oldest', 'refuse'] as const;
type Name = (typeof names)[number];

for (const engine of ['uring', 'epoll'] as EngineName[]) {
  describe(`udp under floods over ${engine}`, () => {
    const ports = {} as Record<Name, number>;
    let weir: Weir;
    let end: Talker;
    /** Two addresses where nobody listens. */
    let gone: number[];
    let clients: Talker[];
    let idle: { descriptors: number; buffers: number };

    before(async () => {
      for (const name of names) ports[name] = await freePort();
      const refusing = [await Talker.open(0, GONE_HOST), await Talker.open(0, GONE_HOST)];
      gone = refusing.map(({ port }) => port);
      for (const talker of refusing) await talker.close();
      end = await Talker.open();
      end.onDatagram = (bytes, { port }) => end.say(port, bytes);
      clients = await openTalkers(CLIENTS);
      keepTalkers();
      const at = (port: number): string => `127.0.0.1:${port}`;
      const listener = (name: Name, pool: string, udp: Record<string, unknown> = {}) => ({
        protocol: 'udp',
        listen: at(ports[name]),
        to: pool,
        udp: { idle: '1s', sessions: SESSIONS, sessionsPerIp: 0, ...udp },
      });
      weir = await Weir.start({
        engine,
        config: ({ admin }) => ({
          version: 1,
          process: { drain: { notReadyFor: '0s', graceful: '2s', hardStop: '5s' } },
          admin: { listen: [at(admin)] },
          listeners: {
            storm: listener('storm', 'gone', { sessions: CLIENTS }),
            oldest: listener('oldest', 'echo', { whenFull: 'oldest' }),
            refuse: listener('refuse', 'echo', { whenFull: 'refuse' }),
          },
          pools: {
            // Judged endpoints would be taken out, and the storm would end.
            gone: { protocol: 'udp', endpoints: gone.map((port) => `${GONE_HOST}:${port}`), health: { passive: false } },
            echo: { protocol: 'udp', endpoints: [at(end.port)] },
          },
        }),
      });
      idle = { descriptors: descriptorsOf(weir.workers[0]!), buffers: await weir.metric('weir_buffers_free') };
    });
    after(async () => {
      try {
        await weir?.stop();
      } finally {
        await weir?.kill();
        for (const talker of [...(clients ?? []), end]) await talker?.close();
      }
    });

    const counted = (name: string, listener: Name, labels: Record<string, string> = {}): Promise<number> =>
      weir.metric(name, { listener, ...labels });
    const begun = (listener: Name): Promise<number> => counted('weir_connections_total', listener, { protocol: 'udp' });
    const received = (listener: Name): Promise<number> => counted('weir_datagrams_total', listener, { direction: 'in' });

    /**
     * Every client says something, again and again until as many arrived as there are clients: the kernel drops what has no room in the socket. Each time
     * another one begins, so that those who find room are not always the same.
     */
    async function flood(listener: Name, length: number): Promise<void> {
      const before = await received(listener);
      const body = Buffer.alloc(length, 'x');
      let first = 0;
      await until(
        'the flood to arrive',
        async () => {
          for (let i = 0; i < CLIENTS; i++) {
            clients[(first + i) % CLIENTS]!.say(ports[listener], body);
            if (i % 50 === 49) await setImmediate();
          }
          first += 271;
          return (await received(listener)) - before >= CLIENTS;
        },
        40_000,
        500,
      );
    }

    async function expectAllBack(listener: Name): Promise<void> {
      const [worker] = weir.workers;
      await until('every client to be forgotten', async () => (await sessions(weir, listener)) === 0, 20_000, 200);
      await until('the descriptors to come back', () => descriptorsOf(worker!) <= idle.descriptors, 20_000);
      await until('the buffers to come back', async () => (await weir.metric('weir_buffers_free')) >= idle.buffers, 20_000, 200);
      assert.equal(await weir.metric('weir_worker_restarts_total'), 0);
    }

    test('a storm of refusals costs each client its question, is counted, and leaves nothing behind', async () => {
      const [worker] = weir.workers;
      const startedMs = performance.now();
      await flood('storm', 100);
      const before = rssBytes(worker!);
      for (let round = 0; round < 2; round++) {
        await flood('storm', 1000);
        assert.ok(descriptorsOf(worker!) <= idle.descriptors + CLIENTS + POOLED);
      }
      assert.ok(rssBytes(worker!) - before < 16 * 2 ** 20, `${(rssBytes(worker!) - before) / 2 ** 20} MiB more`);
      await expectAllBack('storm');
      // Each began with a datagram and ended with a refusal, some of them with two.
      const refused = () => weir.metric('weir_faults_total', { reason: 'connection_refused', pool: 'gone' });
      await until('each to be counted', async () => (await refused()) === (await begun('storm')));
      const refusals = await refused();
      assert.ok((await received('storm')) >= refusals && refusals >= 2 * CLIENTS, `${refusals} refusals`);
      const retries = await weir.metric('weir_retries_total', { pool: 'gone', reason: 'connect' });
      assert.equal(await weir.metric('weir_endpoint_connects_total', { pool: 'gone', result: 'refused' }), refusals + retries);
      // A fifth, and those that the floor of three a second allows, which looks back ten.
      const most = refusals * 0.2 + 30 + (3 * (performance.now() - startedMs)) / 1000;
      assert.ok(retries > 0 && retries <= most, `${retries} of ${refusals}, at most ${most}`);
      assert.equal(await weir.metric('weir_retry_budget_exhausted_total', { pool: 'gone' }), refusals - retries);
      assert.equal(await weir.metric('weir_retries_in_flight', { pool: 'gone' }), 0);
      // Who comes back is served.
      const back = await Talker.open(gone[0], GONE_HOST);
      back.onDatagram = (bytes, { port }) => back.say(port, bytes);
      const late = await Talker.open();
      await until('an answer', () => late.say(ports.storm, 'q').got.length > 0, 20_000, 100);
    });

    test('with whenFull: oldest a flood pushes out those idle longest; descriptors and memory stay bounded', async () => {
      const [worker] = weir.workers;
      await flood('oldest', 1000);
      const before = rssBytes(worker!);
      for (let round = 0; round < 2; round++) {
        await flood('oldest', 1000);
        assert.ok(descriptorsOf(worker!) <= idle.descriptors + SESSIONS + POOLED, 'sessions, and sockets kept for the next');
        assert.ok((await sessions(weir, 'oldest')) <= SESSIONS);
      }
      assert.ok(rssBytes(worker!) - before < 16 * 2 ** 20, `${(rssBytes(worker!) - before) / 2 ** 20} MiB more`);
      // The last to speak is not the one that goes.
      const last = await Talker.open();
      await until('the answer', () => last.say(ports.oldest, 'q').texts.includes('q'), 20_000, 100);
      // A slow worker reads few of a flood before they are forgotten anyway.
      const pushed = () => weir.metric('weir_faults_total', { reason: 'overload', pool: 'echo' });
      for (let round = 0; round < 10 && !((await pushed()) >= CLIENTS); round++) await flood('oldest', 1000);
      await expectAllBack('oldest');
      // Nobody was refused, and who had to go is counted.
      assert.equal(await rejected(weir, 'limit', 'oldest'), 0);
      const count = await pushed();
      assert.ok(count >= CLIENTS && count <= (await begun('oldest')), `${count} pushed out`);
    });

    test('with whenFull: refuse a flood finds no place, and those who are there are served', async () => {
      const [worker] = weir.workers;
      const own = await openTalkers(10);
      const talk = setInterval(() => {
        for (const client of own) client.say(ports.refuse, 'o');
      }, 100);
      try {
        await until('the first', () => own.every(({ got }) => got.length > 0));
        for (let round = 0; round < 2; round++) {
          await flood('refuse', 1000);
          assert.ok(descriptorsOf(worker!) <= idle.descriptors + SESSIONS + POOLED);
          assert.ok((await sessions(weir, 'refuse')) <= SESSIONS);
        }
        const heard = own.map(({ got }) => got.length);
        await until('more answers', () => own.every(({ got }, i) => got.length > heard[i]!));
      } finally {
        clearInterval(talk);
      }
      assert.ok((await rejected(weir, 'limit', 'refuse')) >= CLIENTS);
      assert.ok(own.every(({ got }) => got.every(({ bytes }) => bytes.toString() === 'o')));
      await expectAllBack('refuse');
      // Every newcomer was let in or counted.
      const newcomers = (await begun('refuse')) + (await rejected(weir, 'limit', 'refuse'));
      assert.ok(newcomers > 2 * CLIENTS - SESSIONS && newcomers <= (await received('refuse')));
    });
  });
}
