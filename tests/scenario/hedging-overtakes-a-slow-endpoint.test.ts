/** Harm prevented: one slow endpoint of three makes a third of all answers slow; or its clients get two answers, or a request that must not be repeated is. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { answer, ask, ok, ScriptedEndpoint } from '../support/peer.ts';
import { until } from '../support/wait.ts';
import { simpleConfig, Weir } from '../support/weir.ts';

const retry = { hedge: '100ms', budget: '100%' };

/** An endpoint that takes every request and answers none. */
const deaf = async () => {};

for (const engine of ['uring', 'epoll'] as const)
  describe(`with ${engine}`, () => {
    test('GETs are answered by another endpoint soon after the hedge, POSTs are left to the slow one', async () => {
      const good = await ScriptedEndpoint.start(answer(ok('good')));
      const slow = await ScriptedEndpoint.start(deaf);
      const weir = await Weir.start({
        engine,
        config: (ports) =>
          simpleConfig(ports, [good.address, slow.address], {
            listener: { to: undefined },
            pool: { balance: 'round-robin', health: { passive: false } },
            top: {
              routes: [
                // What is hedged may take long, so that it is the hedge that answers; what is not has to end in time.
                { path: '/hedged', to: 'pool', timeouts: { response: '30s' }, retry },
                { path: '/*', to: 'pool', timeouts: { response: '3s' }, retry },
              ],
            },
          }),
      });
      const times: number[] = [];
      for (let i = 0; i < 10; i++) {
        const startMs = performance.now();
        const message = await ask(weir.port, 'GET /hedged HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n');
        assert.deepEqual([message.status, message.body.toString()], [200, 'good']);
        times.push(performance.now() - startMs);
      }
      const hedged = times.filter((ms) => ms >= 100);
      // The slow one got its turns, and each was overtaken soon: on a machine that is busy, at least one.
      assert.ok(Math.min(...hedged) < 1500, times.map(Math.round).join(' '));
      const won = await weir.metric('weir_hedges_total', { pool: 'pool', won: 'true' });
      assert.ok(won > 0 && won <= hedged.length, `${won} of ${times.map(Math.round).join(' ')}`);
      await until('every try on the slow endpoint to be over', async () => slow.peers.every((peer) => peer.ending !== 'open'));
      const statuses = await Promise.all(
        [1, 2].map(() =>
          ask(weir.port, 'POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi').then(
            (m) => m.status,
          ),
        ),
      );
      assert.deepEqual(statuses.sort(), [200, 504]);
      assert.equal((slow.received + good.received).match(/POST /g)?.length, 2, 'each was sent once');
      await weir.stop();
      await good.close();
      await slow.close();
    });
  });
