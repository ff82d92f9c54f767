/** Harm prevented: a stop for a new version or a new machine cuts requests that were under way, or hangs because one client does not leave. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { KeyedEndpoint } from '../support/keyed-endpoint.ts';
import { fieldOf } from '../support/message-reader.ts';
import { connect, ok, ScriptedEndpoint } from '../support/peer.ts';
import { isAlive } from '../support/system.ts';
import { until, within } from '../support/wait.ts';
import { simpleConfig, Weir } from '../support/weir.ts';

/** Leaves when all is done, however long it takes. */
const patient = { top: { process: { drain: { notReadyFor: '0s', graceful: '60s', hardStop: '60s' } } } };

for (const engine of ['uring', 'epoll'] as const)
  describe(`with ${engine}`, () => {
    test('SIGTERM: requests under way are finished, kept connections are told to close, exit code 0', async () => {
      const endpoint = await KeyedEndpoint.start('e');
      const weir = await Weir.start({ engine, config: (ports) => simpleConfig(ports, [endpoint.address], patient) });
      const busy = await connect(weir.port);
      busy.send('GET /drip/k/5000/8 HTTP/1.1\r\nHost: a\r\n\r\n');
      await busy.head();
      const idle = await connect(weir.port);
      idle.send('GET /keyed/a/1 HTTP/1.1\r\nHost: a\r\n\r\n');
      await idle.message();
      weir.signal('SIGTERM');
      await until('not to be ready any more', async () =>
        weir.admin('/readyz').then(
          ({ status }) => status === 503,
          () => true,
        ),
      );
      assert.equal((await busy.message()).bodyBytes, 5000);
      assert.equal(await busy.ended(), 'fin');
      assert.equal(await idle.ended(), 'fin');
      const { code } = await within('weir to exit', 10_000, weir.exited);
      assert.equal(code, 0, weir.logs);
      await weir.stop(null);
      await endpoint.kill();
    });

    test('SIGTERM: a request asked on a kept connection is answered with Connection: close', async () => {
      const endpoint = await ScriptedEndpoint.start(() => {});
      const weir = await Weir.start({ engine, config: (ports) => simpleConfig(ports, [endpoint.address], patient) });
      const idle = await connect(weir.port);
      idle.send('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
      const first = await endpoint.peer(0);
      await first.expect('\r\n\r\n');
      const client = await connect(weir.port);
      client.send('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
      const second = await endpoint.peer(1);
      await second.expect('\r\n\r\n');
      first.send(ok('before'));
      await idle.message();
      weir.signal('SIGTERM');
      // Its end says that the worker knows.
      assert.equal(await idle.ended(), 'fin');
      second.send(ok('after'));
      const message = await client.message();
      assert.equal(message.status, 200);
      assert.equal(fieldOf(message, 'connection'), 'close');
      await weir.stop();
      await endpoint.close();
    });

    test('a second SIGTERM leaves at once', async () => {
      const endpoint = await KeyedEndpoint.start('e');
      const weir = await Weir.start({
        engine,
        config: (ports) => simpleConfig(ports, [endpoint.address], patient),
      });
      const workers = weir.workers;
      const client = await connect(weir.port);
      client.send('GET /slow/30000 HTTP/1.1\r\nHost: a\r\n\r\n');
      await until('the request to be at the endpoint', async () => (await endpoint.stats()).requests > 0);
      weir.signal('SIGTERM');
      await until('it to be draining', async () =>
        weir.admin('/readyz').then(
          ({ status }) => status === 503,
          () => true,
        ),
      );
      assert.ok(weir.isRunning);
      weir.signal('SIGTERM');
      await within('weir to exit', 15_000, weir.exited);
      await until('the workers to be gone', () => workers.every((pid) => !isAlive(pid)));
      await weir.stop(null);
      await endpoint.kill();
    });

    test('at hardStop what is left is cut, and the exit code says so', async () => {
      const endpoint = await KeyedEndpoint.start('e');
      const weir = await Weir.start({
        engine,
        config: (ports) => ({
          ...simpleConfig(ports, [endpoint.address]),
          process: { drain: { notReadyFor: '0s', graceful: '300ms', hardStop: '600ms' } },
        }),
      });
      const client = await connect(weir.port);
      client.send('GET /slow/30000 HTTP/1.1\r\nHost: a\r\n\r\n');
      await until('the request to be at the endpoint', async () => (await endpoint.stats()).requests > 0);
      weir.signal('SIGTERM');
      const { code } = await within('weir to exit', 15_000, weir.exited);
      assert.equal(code, 9, weir.logs);
      await weir.stop(null);
      await endpoint.kill();
    });
  });
