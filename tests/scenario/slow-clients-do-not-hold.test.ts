/**
 * Harm prevented: clients that are slow on purpose hold connections, memory and endpoints for ever. Every deadline is absolute: a byte now and then does
 * not move it; and beside it stands a minimum rate.
 */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { answer, connect, ok, ScriptedEndpoint } from '../support/peer.ts';
import { until } from '../support/wait.ts';
import { type EngineName, simpleConfig, Weir } from '../support/weir.ts';

const HEADER_MS = 800;
const IDLE_MS = 700;
const GRACE_MS = 600;
/** What a deadline may be late by on a busy machine. */
const LATE_MS = 700;

for (const engine of ['uring', 'epoll'] as const satisfies EngineName[])
  describe(`with ${engine}`, { concurrency: true }, () => {
    let endpoint: ScriptedEndpoint;
    let weir: Weir;
    before(async () => {
      endpoint = await ScriptedEndpoint.start(
        answer((request) => (request.startLine.includes('/big') ? ok('x'.repeat(8_000_000)) : ok('fine'))),
      );
      weir = await Weir.start({
        engine,
        config: (ports) =>
          simpleConfig(ports, [endpoint.address], {
            listener: {
              timeouts: { header: `${HEADER_MS}ms`, idle: `${IDLE_MS}ms`, body: '5s' },
              limits: { minRate: '2000B/s', minRateAfter: `${GRACE_MS}ms`, bufferSize: '64KiB' },
            },
          }),
      });
    });
    after(async () => {
      await weir?.stop();
      await endpoint?.close().catch(() => {});
    });

    /** Runs the client and says after how many ms weir ended it, and with what. */
    async function lasts(
      act: (client: Awaited<ReturnType<typeof connect>>) => unknown,
      withinMs: number,
    ): Promise<{ ms: number; status: number }> {
      const client = await connect(weir.port);
      const began = performance.now();
      Promise.resolve(act(client)).catch(() => {});
      await client.ended(withinMs);
      const ms = performance.now() - began;
      const status = client.reader.messages.at(-1)?.status ?? 0;
      await client.close();
      return { ms, status };
    }

    test('a head that drips is ended at the header deadline with 408', async () => {
      const { ms, status } = await lasts(
        (client) => client.drip(`GET / HTTP/1.1\r\nHost: a\r\nX: ${'y'.repeat(1000)}`, 50),
        5000,
      );
      assert.equal(status, 408);
      assert.ok(ms > HEADER_MS - 100 && ms < HEADER_MS + LATE_MS, `${ms} ms`);
    });

    test('a request line that drips is ended at the header deadline', async () => {
      const { ms, status } = await lasts((client) => client.drip('G'.repeat(200), 100), 5000);
      assert.ok(status === 408 || status === 400, String(status));
      assert.ok(ms < HEADER_MS + LATE_MS, `${ms} ms`);
    });

    test('a connection that says nothing is ended', async () => {
      const { ms } = await lasts(() => {}, 5000);
      assert.ok(ms > 300 && ms < HEADER_MS + LATE_MS, `${ms} ms`);
    });

    test('a kept connection that says nothing is ended at the idle deadline', async () => {
      const { ms } = await lasts((client) => client.send('GET / HTTP/1.1\r\nHost: a\r\n\r\n'), 5000);
      assert.ok(ms > IDLE_MS - 100 && ms < IDLE_MS + LATE_MS, `${ms} ms`);
    });

    test('a body that drips below the minimum rate is ended with 408, and the endpoint is let go', async () => {
      const count = endpoint.peers.length;
      const { ms, status } = await lasts(async (client) => {
        client.send('POST /slow-body HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n');
        await client.drip('x'.repeat(1000), 50);
      }, 6000);
      assert.equal(status, 408);
      assert.ok(ms > GRACE_MS - 100 && ms < GRACE_MS + 1000 + LATE_MS, `${ms} ms`);
      for (const peer of endpoint.peers.slice(count))
        if (/slow-body/.test(peer.received)) assert.notEqual(await peer.ended(2000), 'open');
    });

    test('chunks that drip below the minimum rate are ended', async () => {
      const { ms } = await lasts(async (client) => {
        client.send('POST /slow-chunks HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n');
        await client.drip('1\r\nx\r\n'.repeat(200), 50, 6);
      }, 6000);
      assert.ok(ms > GRACE_MS - 100 && ms < GRACE_MS + 1000 + LATE_MS, `${ms} ms`);
    });

    test('a reader that does not read is ended, and the endpoint is let go', async () => {
      const client = await connect(weir.port);
      client.pause();
      client.send('GET /big/unread HTTP/1.1\r\nHost: a\r\n\r\n');
      const peer = await until('the request at the endpoint', () =>
        endpoint.peers.find(({ received }) => received.includes('/big/unread')),
      );
      const began = performance.now();
      // The client does not read and so does not see its end: the endpoint's side tells it, as weir lets go of both.
      assert.notEqual(await peer.ended(6000), 'open');
      const ms = performance.now() - began;
      assert.ok(ms > GRACE_MS - 100 && ms < GRACE_MS + 1500 + LATE_MS, `${ms} ms`);
      await client.close();
    });

    test('a client above the minimum rate is left alone', async () => {
      const client = await connect(weir.port);
      client.send('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 8000\r\n\r\n');
      // 4000 bytes a second for two seconds.
      await client.drip('x'.repeat(8000), 50, 200);
      assert.equal((await client.message()).status, 200);
      await client.close();
    });
  });
