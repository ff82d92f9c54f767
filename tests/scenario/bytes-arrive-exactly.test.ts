/**
 * Harm prevented: a byte lost, doubled, moved, or given to another client (promise P9). Every body is made from its request's own key and every byte is
 * compared.
 */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import { KeyedEndpoint } from '../support/keyed-endpoint.ts';
import { describeLoad, failed, Load, type LoadPlan } from '../support/load.ts';
import { answer, connect, ScriptedEndpoint } from '../support/peer.ts';
import { until } from '../support/wait.ts';
import { type EngineName, simpleConfig, Weir } from '../support/weir.ts';

for (const engine of ['uring', 'epoll'] as const satisfies EngineName[])
  describe(`with ${engine}`, () => {
    let endpoints: KeyedEndpoint[];
    let weir: Weir;
    before(async () => {
      endpoints = await KeyedEndpoint.startMany(2);
      weir = await Weir.start({
        engine,
        config: (ports) =>
          simpleConfig(
            ports,
            endpoints.map(({ address }) => address),
          ),
      });
    });
    after(async () => {
      await weir?.stop();
      for (const endpoint of endpoints ?? []) await endpoint.kill();
    });

    // 100,000 in all, over both engines.
    const plans: readonly (readonly [string, Omit<LoadPlan, 'port'>])[] = [
      ['20,000 small requests', { connections: 32, requests: 20_000, sizeMax: 300, seed: 11 }],
      ['20,000 pipelined requests', { connections: 16, requests: 20_000, pipeline: 8, sizeMax: 2000, seed: 12 }],
      [
        '8,000 requests and bodies cut at random places',
        { connections: 32, requests: 8000, kind: 'mixed', splits: true, sizeMax: 3000, seed: 13 },
      ],
      [
        '1,500 bodies of up to 300 kB, echoed',
        { connections: 16, requests: 1500, kind: 'mixed', splits: true, sizeMax: 300_000, seed: 14, timeoutMs: 30_000 },
      ],
      ['500 connections of one request', { connections: 16, requests: 500, requestsPerConnection: 1, sizeMax: 5000, seed: 15 }],
    ];
    for (const [name, plan] of plans)
      test(name, async () => {
        const result = await new Load({ port: weir.port, ...plan }).done(80_000);
        assert.equal(result.counts.ok, plan.requests, describeLoad(result));
        assert.equal(failed(result), 0, describeLoad(result));
      });

    test('clients and endpoints that come and go never show one the bytes of another', async () => {
      const calm = new Load({
        port: weir.port,
        connections: 8,
        kind: 'mixed',
        splits: true,
        sizeMax: 50_000,
        rate: 300,
        seed: 21,
      });
      await calm.more(1);
      // Clients that reset in the middle, while requests of others run over the same endpoint connections.
      let isEnough = false;
      const enough = calm.more(700, 60_000).finally(() => {
        isEnough = true;
      });
      let resets = 0;
      while (!isEnough || resets < 60) {
        const client = await connect(weir.port);
        const size = 20_000 + resets * 977;
        client.send(
          resets % 2 === 0
            ? `GET /keyed/taint${resets}/${size} HTTP/1.1\r\nHost: a\r\n\r\n`
            : `POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: ${size}\r\n\r\ntaint taint taint`,
        );
        if (resets % 3 === 0) await client.head().catch(() => {});
        client.reset();
        resets++;
      }
      await enough;
      const result = await calm.stop();
      assert.equal(failed(result), 0, describeLoad(result));
      await settled(weir);
    });

    test('pipelined requests are answered in their order, whatever the endpoints take', async () => {
      const client = await connect(weir.port);
      const paths = ['/slow/120', '/slow/5', '/keyed/a/3', '/slow/60', '/keyed/b/4'];
      client.send(paths.map((path) => `GET ${path} HTTP/1.1\r\nHost: a\r\n\r\n`).join(''));
      const sizes: number[] = [];
      for (const _ of paths) sizes.push((await client.message()).bodyBytes);
      assert.deepEqual([sizes[2], sizes[4]], [3, 4]);
      await client.close();
    });

    test('100 MB up and 100 MB down are exact', async () => {
      const size = 100_000_000;
      const piece = Buffer.alloc(1 << 20, 'a piece of a hundred megabytes, not aligned to anything;');
      const up = createHash('sha256');
      const client = await connect(weir.port);
      client.keeps = false;
      client.send(`POST /sum HTTP/1.1\r\nHost: a\r\nContent-Length: ${size}\r\n\r\n`);
      for (let left = size; left > 0; ) {
        const part = piece.subarray(0, Math.min(left, piece.length));
        up.update(part);
        if (!client.socket.write(part)) await new Promise((resolve) => client.socket.once('drain', resolve));
        left -= part.length;
      }
      assert.equal((await client.message(30_000)).body.toString(), `${size} ${up.digest('hex')}`);

      const down = createHash('sha256');
      client.reader.keepsBody = false;
      client.reader.onBody = (part) => down.update(part);
      client.send(`GET /keyed/hundred/${size} HTTP/1.1\r\nHost: a\r\n\r\n`);
      const message = await client.message(30_000);
      assert.equal(message.bodyBytes, size);
      assert.equal(down.digest('hex'), createHash('sha256').update(Buffer.alloc(size, 'hundred|')).digest('hex'));
      await client.close();
    });
  });

test('an answer in chunks arrives whole, for HTTP/1.1 in chunks and for HTTP/1.0 until close', async () => {
  const endpoint = await ScriptedEndpoint.start(
    answer('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n1\r\nd\r\n0\r\nX-T: 1\r\n\r\n'),
  );
  const weir = await Weir.start({ config: (ports) => simpleConfig(ports, [endpoint.address]) });
  try {
    const modern = await connect(weir.port);
    modern.send('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
    const chunked = await modern.message();
    assert.equal(chunked.framing, 'chunked');
    assert.equal(chunked.body.toString(), 'abcd');
    await modern.close();
    const old = await connect(weir.port);
    old.send('GET / HTTP/1.0\r\nHost: a\r\n\r\n');
    await old.ended();
    const closed = await old.message();
    assert.equal(closed.framing, 'close');
    assert.equal(closed.body.toString(), 'abcd');
    await old.close();
  } finally {
    await weir.stop();
    await endpoint.close();
  }
});

test('an idle weir holds no client, no request and no memory blocks of them', async () => {
  const endpoint = await KeyedEndpoint.start('e');
  const weir = await Weir.start({ config: (ports) => simpleConfig(ports, [endpoint.address]) });
  try {
    await new Load({ port: weir.port, connections: 4, requests: 50 }).done(20_000);
    await until('the process metrics to be told', async () => (await weir.metric('weir_buffers_free')) > 0);
    const free = await weir.metric('weir_buffers_free');
    await new Load({ port: weir.port, connections: 50, requests: 3000, kind: 'mixed', splits: true, sizeMax: 30_000 }).done(
      60_000,
    );
    await settled(weir);
    await until('all blocks to be back', async () => (await weir.metric('weir_buffers_free')) >= free, 15_000, 50);
  } finally {
    await weir.stop();
    await endpoint.kill();
  }
});

/** Nothing is left of what the clients did. */
async function settled(weir: Weir): Promise<void> {
  await until('no client connection to be left', async () => (await weir.metric('weir_connections')) === 0, 15_000, 50);
  await until('no request to be in flight', async () => (await weir.metric('weir_requests_in_flight')) === 0, 15_000, 50);
  await until(
    'no request to be in flight at an endpoint',
    async () => (await weir.metric('weir_endpoint_requests_in_flight')) === 0,
    15_000,
    50,
  );
}
