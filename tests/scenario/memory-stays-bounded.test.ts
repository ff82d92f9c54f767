/**
 * Harm prevented: one slow reader, one slow endpoint or a flood makes weir hold more than its named limits (promise P4).
 * Runs alone: it measures memory and CPU.
 */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { KeyedEndpoint } from '../support/keyed-endpoint.ts';
import { describeLoad, Load } from '../support/load.ts';
import { answer, connect, ok, type Peer, ScriptedEndpoint } from '../support/peer.ts';
import { cpuMs, descriptorsOf, rssBytes } from '../support/system.ts';
import { until } from '../support/wait.ts';
import { type EngineName, get, simpleConfig, Weir } from '../support/weir.ts';

const MB = 1_000_000;
const BUFFER = 256 * 1024;
/** What V8 and the arena may take besides, however many connections: garbage not yet collected, blocks touched for the first time. */
const SLACK = 40 * MB;

for (const engine of ['uring', 'epoll'] as const satisfies EngineName[])
  describe(`with ${engine}`, () => {
    let endpoint: KeyedEndpoint;
    let weir: Weir;
    before(async () => {
      endpoint = await KeyedEndpoint.start('e');
      // Who does not read is not cut for it here, however long the test takes.
      const limits = { bufferSize: '256KiB', minRateAfter: '120s' };
      weir = await Weir.start({
        engine,
        config: (ports) => simpleConfig(ports, [endpoint.address], { listener: { limits } }),
      });
      const result = await new Load({ port: weir.port, connections: 50, requests: 3000, kind: 'mixed', sizeMax: 50_000 }).done(
        60_000,
      );
      assert.equal(result.counts.ok, 3000, describeLoad(result));
    });
    after(async () => {
      await weir?.stop();
      await endpoint?.kill();
    });
    const worker = (): number => weir.workers[0]!;

    test('readers that do not read: at most the buffer limit each, and the endpoint has to wait', async () => {
      const count = 40;
      const base = rssBytes(worker());
      const clients: Peer[] = [];
      for (let i = 0; i < count; i++) {
        const client = await connect(weir.port);
        client.pause();
        client.send(`GET /keyed/slow${i}/${20 * MB} HTTP/1.1\r\nHost: a\r\n\r\n`);
        clients.push(client);
      }
      let highest = 0;
      await until('the flow to stand still', async () => {
        const before = await weir.metric('weir_sent_bytes_total');
        for (let i = 0; i < 10; i++) {
          highest = Math.max(highest, rssBytes(worker()));
          await new Promise((resolve) => setTimeout(resolve, 30));
        }
        return (await weir.metric('weir_sent_bytes_total')) === before;
      });
      const grown = highest - base;
      assert.ok(
        grown < count * 2 * BUFFER + SLACK,
        `grew by ${(grown / MB).toFixed(1)} MB for ${count} readers; all bodies are ${20 * count} MB`,
      );
      // One of them reads after all, and gets every byte.
      const late = clients[0]!;
      late.keeps = false;
      late.reader.keepsBody = false;
      late.resume();
      assert.equal((await late.message(30_000)).bodyBytes, 20 * MB);
      for (const client of clients) client.reset();
      await until('the others to be let go', async () => (await weir.metric('weir_connections')) === 0);
    });

    test('an endpoint that does not read makes the clients wait, and weir holds at most the limit', async () => {
      const deaf = await ScriptedEndpoint.start((peer) => peer.pause());
      const other = await Weir.start({ engine, config: (ports) => simpleConfig(ports, [deaf.address]) });
      try {
        const pid = other.workers[0]!;
        const base = rssBytes(pid);
        const count = 20;
        // More than the kernel's buffers of both connections take.
        const body = Buffer.alloc(50 * MB, 'x');
        const clients: Peer[] = [];
        for (let i = 0; i < count; i++) {
          const client = await connect(other.port);
          client.send(`POST / HTTP/1.1\r\nHost: a\r\nContent-Length: ${50 * MB}\r\n\r\n`);
          client.send(body);
          clients.push(client);
        }
        let written = -1;
        await until('the clients to be made to wait', async () => {
          const now = clients.reduce((sum, client) => sum + client.socket.bytesWritten - client.socket.writableLength, 0);
          await new Promise((resolve) => setTimeout(resolve, 200));
          const isStill = now === written;
          written = now;
          return isStill && clients.every((client) => client.socket.writableLength > 0);
        });
        const grown = rssBytes(pid) - base;
        assert.ok(grown < count * 2 * BUFFER + SLACK, `grew by ${(grown / MB).toFixed(1)} MB`);
        for (const client of clients) client.reset();
      } finally {
        await other.stop();
        await deaf.close().catch(() => {});
      }
    });

    /** What one attacker costs: the highest memory, and the share of a core. */
    async function cost(attack: () => Promise<void>): Promise<{ grown: number; cpuShare: number }> {
      const pid = worker();
      const base = rssBytes(pid);
      const cpu = cpuMs(pid);
      const began = performance.now();
      let highest = base;
      const timer = setInterval(() => (highest = Math.max(highest, rssBytes(pid))), 20);
      await attack();
      clearInterval(timer);
      return { grown: Math.max(highest, rssBytes(pid)) - base, cpuShare: (cpuMs(pid) - cpu) / (performance.now() - began) };
    }

    const floods: readonly (readonly [string, string, number])[] = [
      ['heads that do not end', `GET / HTTP/1.1\r\nHost: a\r\nX: ${'y'.repeat(4000)}`, 200],
      ['bad requests', 'GET / HTTP/9.9\r\n\r\n', 200],
      [
        'chunks of one byte',
        `POST /sum HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n${'1\r\nx\r\n'.repeat(20_000)}`,
        40,
      ],
      ['heads of many fields', `GET / HTTP/1.1\r\nHost: a\r\n${'A: b\r\n'.repeat(98)}\r\n`, 200],
    ];
    for (const [name, bytes, count] of floods)
      test(`a flood of ${name} leaves memory where it was, and others are answered meanwhile`, async () => {
        const bystander = new Load({ port: weir.port, connections: 2, rate: 100 });
        await bystander.more(10);
        const { grown } = await cost(async () => {
          const clients: Peer[] = [];
          for (let i = 0; i < count; i++) {
            const client = await connect(weir.port, '127.0.0.1', `127.0.2.${1 + (i % 200)}`);
            client.send(bytes);
            clients.push(client);
          }
          await bystander.more(20);
          for (const client of clients) client.reset();
        });
        const result = await bystander.stop();
        assert.equal(
          result.counts.ok,
          Object.values(result.counts).reduce((a, b) => a + b, 0),
          describeLoad(result),
        );
        assert.ok(grown < SLACK, `grew by ${(grown / MB).toFixed(1)} MB`);
      });

    test('idle connections cost no CPU to speak of', async () => {
      const clients = await Promise.all(
        Array.from({ length: 200 }, (_, i) => connect(weir.port, '127.0.0.1', `127.0.3.${1 + i}`)),
      );
      for (const client of clients) client.send('GET /keyed/a/1 HTTP/1.1\r\nHost: a\r\n\r\n');
      for (const client of clients) await client.message();
      // The best of three: what was done before may be cleaned up in one.
      let least = 1;
      for (let tries = 0; tries < 3 && least >= 0.1; tries++)
        least = Math.min(least, (await cost(() => new Promise((resolve) => setTimeout(resolve, 1500)))).cpuShare);
      assert.ok(least < 0.1, `${(least * 100).toFixed(1)} % of a core`);
      for (const client of clients) client.reset();
    });
  });

test('one client address holds at most its limit of connections; another address is served', async () => {
  const endpoint = await ScriptedEndpoint.start(answer(ok('fine')));
  const weir = await Weir.start({
    config: (ports) => simpleConfig(ports, [endpoint.address], { listener: { limits: { connectionsPerIp: 10 } } }),
  });
  try {
    const clients: Peer[] = [];
    for (let i = 0; i < 30; i++) {
      // One too many is reset, maybe before the client knows that it is connected.
      const client = await connect(weir.port).catch(() => null);
      if (client === null) continue;
      client.send('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
      clients.push(client);
    }
    await until('an answer or an end for each', () =>
      clients.every((client) => client.ending !== 'open' || client.reader.messages.length > 0),
    );
    const served = clients.filter((client) => client.reader.messages[0]?.status === 200).length;
    assert.equal(served, 10);
    const stranger = await connect(weir.port, '127.0.0.1', '127.0.0.77');
    stranger.send('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
    assert.equal((await stranger.message()).status, 200);
    await until('the rejections to be counted', async () => (await weir.metric('weir_connections_rejected_total')) >= 20);
    for (const client of [...clients, stranger]) await client.close();
  } finally {
    await weir.stop();
    await endpoint.close();
  }
});

test('a body beyond the limit is answered 413, announced or not', async () => {
  const endpoint = await ScriptedEndpoint.start(() => {});
  const weir = await Weir.start({
    config: (ports) => simpleConfig(ports, [endpoint.address], { listener: { limits: { bodySize: '1KiB' } } }),
  });
  try {
    for (const request of [
      `POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1025\r\n\r\n${'x'.repeat(1025)}`,
      `POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n401\r\n${'x'.repeat(1025)}\r\n0\r\n\r\n`,
    ]) {
      const client = await connect(weir.port);
      client.send(request);
      assert.equal((await client.message()).status, 413);
      await client.ended();
      await client.close();
    }
  } finally {
    await weir.stop();
    await endpoint.close();
  }
});

test('when descriptors run out, idle connections make room and the admin address answers', async () => {
  const endpoint = await KeyedEndpoint.start('e');
  const weir = await Weir.start({
    under: ['prlimit', '--nofile=160:160'],
    config: (ports) => simpleConfig(ports, [endpoint.address]),
  });
  try {
    const idle: Peer[] = [];
    for (let i = 0; i < 250; i++) {
      // Where nobody is idle at the moment, the newest is turned away with a reset.
      const client = await connect(weir.port, '127.0.0.1', `127.0.4.${1 + (i % 250)}`).catch(() => null);
      if (client === null) continue;
      client.send('GET /keyed/a/1 HTTP/1.1\r\nHost: a\r\n\r\n');
      idle.push(client);
    }
    const pid = weir.workers[0]!;
    const cpu = cpuMs(pid);
    const began = performance.now();
    // A newcomer is served although more connections were opened than there are descriptors.
    await until(
      'a newcomer to be answered',
      async () => (await get(weir.port, '/keyed/new/5', { host: 'a' })).status === 200,
      15_000,
      50,
    );
    assert.equal((await weir.admin('/readyz')).status, 200);
    assert.ok(descriptorsOf(pid) <= 160);
    await new Promise((resolve) => setTimeout(resolve, 1000));
    assert.ok(cpuMs(pid) - cpu < (performance.now() - began) * 0.7, 'no spinning on accept');
    for (const client of idle) client.reset();
    await until('all to be well again', async () => (await get(weir.port, '/keyed/new/5')).status === 200);
    assert.equal(await weir.metric('weir_worker_restarts_total'), 0);
  } finally {
    await weir.stop();
    await endpoint.kill();
  }
});
