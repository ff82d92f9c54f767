/**
 * Harm prevented: clients that are slow on purpose hold connections, memory and endpoints for ever. Every deadline is absolute: a byte now and then does
 * not move it; and beside it stands a minimum rate.
 */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { answer, connect, ok, type Peer, ScriptedEndpoint } from '../support/peer.ts';
import { freePort } from '../support/system.ts';
import { until } from '../support/wait.ts';
import { type EngineName, simpleConfig, Weir } from '../support/weir.ts';

const HEADER_MS = 800;
const IDLE_MS = 700;
const GRACE_MS = 600;
/** What drips, and every other deadline of the listeners, goes on for longer: who is ended within was ended by the deadline. */
const PATIENCE_MS = 15_000;
/** Of a client that has to keep its pace: a machine that stands still breaks it. */
const TRIES = 5;

for (const engine of ['uring', 'epoll'] as const satisfies EngineName[])
  describe(`with ${engine}`, { concurrency: true }, () => {
    let endpoint: ScriptedEndpoint;
    let weir: Weir;
    /** Port of a listener that asks for nothing but the minimum rate. */
    let pacedPort: number;
    before(async () => {
      pacedPort = await freePort();
      endpoint = await ScriptedEndpoint.start(
        answer((request) => (request.startLine.includes('/big') ? ok('x'.repeat(8_000_000)) : ok('fine'))),
      );
      weir = await Weir.start({
        engine,
        config: (ports) => {
          const config = simpleConfig(ports, [endpoint.address], {
            listener: { timeouts: { header: `${HEADER_MS}ms`, idle: `${IDLE_MS}ms` } },
          });
          const limits = { minRate: '2000B/s', minRateAfter: `${GRACE_MS}ms`, bufferSize: '64KiB' };
          const timeouts = { header: '60s', idle: '60s', body: '60s' };
          const paced = { listen: `127.0.0.1:${pacedPort}`, to: 'pool', timeouts, limits };
          return { ...config, listeners: { ...config.listeners, paced } };
        },
      });
    });
    after(async () => {
      await weir?.stop();
      await endpoint?.close().catch(() => {});
    });

    /** Runs the client and says after how many ms weir ended it, and with what. */
    async function lasts(port: number, act: (client: Peer) => unknown): Promise<{ ms: number; status: number }> {
      const began = performance.now();
      const client = await connect(port);
      Promise.resolve(act(client)).catch(() => {});
      await client.ended(PATIENCE_MS);
      const ms = performance.now() - began;
      const status = client.reader.messages.at(-1)?.status ?? 0;
      await client.close();
      return { ms, status };
    }

    test('a head that drips is ended at the header deadline with 408', async () => {
      const { ms, status } = await lasts(weir.port, (client) =>
        client.drip(`GET / HTTP/1.1\r\nHost: a\r\nX: ${'y'.repeat(1000)}`, 50),
      );
      assert.equal(status, 408);
      assert.ok(ms > HEADER_MS - 100, `${ms} ms`);
    });

    test('a request line that drips is ended at the header deadline', async () => {
      const { status } = await lasts(weir.port, (client) => client.drip('G'.repeat(200), 100));
      assert.ok(status === 408 || status === 400, String(status));
    });

    test('a connection that says nothing is ended', async () => {
      const { ms } = await lasts(weir.port, () => {});
      assert.ok(ms > 300, `${ms} ms`);
    });

    test('a kept connection that says nothing is ended at the idle deadline', async () => {
      const { ms } = await lasts(weir.port, (client) => client.send('GET / HTTP/1.1\r\nHost: a\r\n\r\n'));
      assert.ok(ms > IDLE_MS - 100, `${ms} ms`);
    });

    test('a body that drips below the minimum rate is ended with 408, and the endpoint is let go', async () => {
      const count = endpoint.peers.length;
      const { ms, status } = await lasts(pacedPort, async (client) => {
        client.send('POST /slow-body HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n');
        await client.drip('x'.repeat(1000), 50);
      });
      assert.equal(status, 408);
      assert.ok(ms > GRACE_MS - 100, `${ms} ms`);
      for (const peer of endpoint.peers.slice(count))
        if (/slow-body/.test(peer.received)) assert.notEqual(await peer.ended(), 'open');
    });

    test('chunks that drip below the minimum rate are ended', async () => {
      const { ms } = await lasts(pacedPort, async (client) => {
        client.send('POST /slow-chunks HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n');
        await client.drip('1\r\nx\r\n'.repeat(1000), 50, 6);
      });
      assert.ok(ms > GRACE_MS - 100, `${ms} ms`);
    });

    test('a reader that does not read is ended, and the endpoint is let go', async () => {
      const began = performance.now();
      const client = await connect(pacedPort);
      client.pause();
      client.send('GET /big/unread HTTP/1.1\r\nHost: a\r\n\r\n');
      const peer = await until('the request at the endpoint', () =>
        endpoint.peers.find(({ received }) => received.includes('/big/unread')),
      );
      // The client does not read and so does not see its end: the endpoint's side tells it, as weir lets go of both.
      assert.notEqual(await peer.ended(PATIENCE_MS), 'open');
      const ms = performance.now() - began;
      assert.ok(ms > GRACE_MS - 100, `${ms} ms`);
      await client.close();
    });

    test('a client above the minimum rate is left alone', async () => {
      let status = 0;
      for (let tries = 0; tries < TRIES && status !== 200; tries++) {
        const client = await connect(pacedPort);
        client.send('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 8000\r\n\r\n');
        // 4000 bytes a second for two seconds.
        await client.drip('x'.repeat(8000), 50, 200);
        // Told or reset: either is a try that failed.
        status = await client.message().then(
          (message) => message.status,
          () => 0,
        );
        await client.close();
      }
      assert.equal(status, 200);
    });
  });
