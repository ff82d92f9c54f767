/** Harm prevented: a small pool is buried under more requests than it can serve, and every client waits; or requests are refused that a moment later could be served. */
import assert from 'node:assert/strict';
import { after, afterEach, before, describe, test } from 'node:test';
import { fieldOf, type Message } from '../support/message-reader.ts';
import { answer, ask, ok, type Peer, ScriptedEndpoint } from '../support/peer.ts';
import { until } from '../support/wait.ts';
import { simpleConfig, Weir } from '../support/weir.ts';

for (const engine of ['uring', 'epoll'] as const)
  describe(`with ${engine}`, () => {
    let endpoint: ScriptedEndpoint;
    let spare: ScriptedEndpoint;
    let weir: Weir;
    /** Requests that the endpoint has and has not answered. */
    const held: Peer[] = [];
    const paths: string[] = [];
    let most = 0;

    before(async () => {
      endpoint = await ScriptedEndpoint.start(async (peer) => {
        while (peer.ending === 'open' && !peer.socket.destroyed) {
          const request = await until(
            'a request',
            () => peer.reader.messages.shift() ?? (peer.ending !== 'open' || peer.socket.destroyed ? 'end' : undefined),
            60_000,
            2,
          );
          if (request === 'end') return;
          paths.push(request.startLine.split(' ')[1]!);
          held.push(peer);
          most = Math.max(most, held.length);
        }
      });
      spare = await ScriptedEndpoint.start(answer(ok('spare')));
      weir = await Weir.start({
        engine,
        workers: 2,
        config: (ports) =>
          simpleConfig(ports, [], {
            listener: { to: undefined },
            top: {
              pools: {
                queued: { endpoints: [{ address: endpoint.address, maxConnections: 2 }], queue: { max: 4, timeout: '30s' } },
                impatient: { endpoints: [{ address: endpoint.address, maxConnections: 1 }], queue: { max: 4, timeout: '300ms' } },
                guarded: { endpoints: [endpoint.address], circuitBreaker: { maxRequests: 2 } },
                backed: { endpoints: [{ address: endpoint.address, maxConnections: 1 }], queue: { max: 0 }, fallback: 'spare' },
                spare: { endpoints: [spare.address] },
              },
              routes: [
                { path: '/urgent/*', to: 'queued', urgency: 0 },
                { path: '/queued/*', to: 'queued' },
                { path: '/impatient/*', to: 'impatient' },
                { path: '/guarded/*', to: 'guarded' },
                { path: '/backed/*', to: 'backed' },
              ],
            },
          }),
      });
    });
    afterEach(() => {
      held.length = paths.length = most = 0;
    });
    after(async () => {
      await weir?.stop();
      await endpoint?.close();
      await spare?.close();
    });

    const get = (path: string): Promise<Message> =>
      ask(weir.port, `GET ${path} HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n`, 20_000);
    const release = (): void => held.shift()?.send(ok('done'));
    const queueOf = (pool: string): Promise<number> => weir.metric('weir_pool_queue', { pool });

    test('more requests than places: the endpoint never has more than its limit, and all are served', async () => {
      const answers = [get('/queued/1'), get('/queued/2')];
      await until('the places to be taken', () => held.length === 2);
      for (let i = 3; i <= 6; i++) answers.push(get(`/queued/${i}`));
      await until('four to wait', async () => (await queueOf('queued')) === 4);
      for (let i = 0; i < 6; i++) {
        await until('a request to be held', () => held.length > 0);
        release();
      }
      for (const message of await Promise.all(answers)) assert.equal(message.status, 200);
      // Two workers that see a place become free in the same moment may both take it.
      assert.ok(most <= 3, `${most} at once`);
      await until('the queue to be empty', async () => (await queueOf('queued')) === 0);
    });

    test('the urgent one is served before those that wait in the same worker', async () => {
      const answers = [get('/queued/1'), get('/queued/2')];
      await until('the places to be taken', () => held.length === 2);
      answers.push(get('/queued/3'), get('/queued/4'));
      await until('two to wait', async () => (await queueOf('queued')) === 2);
      answers.push(get('/urgent/5'));
      await until('three to wait', async () => (await queueOf('queued')) === 3);
      for (let i = 0; i < 5; i++) {
        await until('a request to be held', () => held.length > 0);
        release();
      }
      await Promise.all(answers);
      const place = paths.indexOf('/urgent/5');
      // Each worker has a queue of its own: at most one of the two that came earlier was in the other's.
      assert.ok(place >= 2 && place <= 4, paths.join(' '));
    });

    test('who waits too long gets 503 with Retry-After, and says why', async () => {
      const first = get('/impatient/1');
      await until('the place to be taken', () => held.length === 1);
      const startMs = performance.now();
      const late = await get('/impatient/2');
      const ms = performance.now() - startMs;
      assert.equal(late.status, 503);
      assert.match(fieldOf(late, 'proxy-status') ?? '', /queue_timeout/);
      assert.match(fieldOf(late, 'retry-after') ?? '', /^\d+$/);
      // The request that holds the place is not answered before.
      assert.ok(ms >= 300, `${ms} ms`);
      release();
      assert.equal((await first).status, 200);
    });

    test('the circuit breaker refuses at once what is above its limit, over all workers', async () => {
      const answers = [get('/guarded/1'), get('/guarded/2')];
      await until('two to be under way', () => held.length === 2);
      for (let i = 0; i < 6; i++) {
        const refused = await get('/guarded/3');
        assert.equal(refused.status, 503);
        assert.match(refused.body.toString(), /maxRequests/);
      }
      assert.equal(held.length, 2);
      release();
      release();
      for (const message of await Promise.all(answers)) assert.equal(message.status, 200);
      // A client may have its answer a moment before the place is free.
      await until('a place to be free again', async () => {
        const third = get('/guarded/4');
        let isRefused = false;
        void third.then(({ status }) => (isRefused = status === 503));
        await until('it to be there, or refused', () => held.length === 1 || isRefused);
        release();
        return (await third).status === 200;
      });
    });

    test('a full pool that lets nobody wait sends the rest to its fallback', async () => {
      const first = get('/backed/1');
      await until('the place to be taken', () => held.length === 1);
      for (let i = 0; i < 4; i++) assert.equal((await get('/backed/2')).body.toString(), 'spare');
      release();
      assert.equal((await first).body.toString(), 'done');
      await until('four to be counted', async () => (await weir.metric('weir_pool_fallback_total', { pool: 'backed' })) === 4);
    });
  });
