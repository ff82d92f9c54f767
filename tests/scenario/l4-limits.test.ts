/**
 * Harm prevented: connections that are carried as they are make weir hold more than its named limits, leak, spin, or cut those that do nothing wrong:
 * floods, scans, sides that do not read, no descriptors left.
 * Runs alone: it measures memory and CPU.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { type TestContext, test } from 'node:test';
import { Prng } from '../../src/base/prng.ts';
import { clientsMaxOf } from '../../src/state/client-share.ts';
import type { Plan } from '../../src/state/plan.ts';
import { connect, type Peer, ScriptedEndpoint } from '../support/peer.ts';
import { find, missing } from '../support/programs.ts';
import { descriptorGuard, dialMany, echo, expectEcho, sortByAnswer, streamConfig } from '../support/streams.ts';
import { cpuMs, descriptorsOf, rssBytes } from '../support/system.ts';
import { until } from '../support/wait.ts';
import { Weir, type WeirOptions } from '../support/weir.ts';

const MB = 1_000_000;
const BUFFER = 256 * 1024;
/** What V8 and the arena may take besides, however many connections. */
const SLACK = 40 * MB;

async function start(
  t: TestContext,
  more: Parameters<typeof streamConfig>[2] = {},
  options: Partial<WeirOptions> & { script?: Parameters<typeof ScriptedEndpoint.start>[0] } = {},
): Promise<{ weir: Weir; endpoint: ScriptedEndpoint; guard: () => Promise<void> }> {
  const { script = echo, ...rest } = options;
  const endpoint = await ScriptedEndpoint.start(script);
  t.after(() => endpoint.close());
  const weir = await Weir.start({ config: (ports) => streamConfig(ports, [endpoint.address], more), ...rest });
  t.after(() => weir.kill());
  return { weir, endpoint, guard: descriptorGuard(weir) };
}

/** Waits until this number stands still for 300 ms. */
async function untilStill(what: string, number: () => number): Promise<void> {
  let before = Number.NaN;
  await until(
    `${what} to stand still`,
    () => {
      const now = number();
      const isStill = now === before;
      before = now;
      return isStill;
    },
    20_000,
    300,
  );
}

for (const engine of ['uring', 'epoll'] as const) {
  test(`at the limit of descriptors new clients are refused with a reason, and nearly every one that was taken has its endpoint (${engine})`, {
    skip: missing('prlimit'),
  }, async (t) => {
    const { weir, guard } = await start(t, {}, { engine, under: ['prlimit', '--nofile=200:200'] });
    const { served, refused } = await sortByAnswer(await dialMany(weir.port, 110));
    const plan = { limits: { connectionsMax: 0 }, listeners: [{ protocol: 'tcp' }] } as unknown as Plan;
    // Those who are turned away hold a descriptor until they are: in a burst one of those who were taken may find none for its endpoint.
    const most = clientsMaxOf(plan, 200);
    assert.ok(served.length <= most && served.length >= most - 8, `${served.length} served of ${most}`);
    assert.ok(refused.every(({ ending }) => ending === 'reset'));
    await until('each refusal to be counted', async () => {
      const turnedAway = await weir.metric('weir_connections_rejected_total', { reason: 'overload' });
      const withoutDescriptor = await weir.metric('weir_faults_total', { reason: 'connection_limit_reached' });
      return turnedAway + (withoutDescriptor || 0) === 110 - served.length;
    });
    await expectEcho(served, ' again');
    assert.ok(descriptorsOf(weir.workers[0]!) <= 200);
    assert.equal((await weir.admin('/readyz')).status, 200);
    await until('the event', () => weir.stderr.includes('"event":"clients_low"'), 10_000);
    for (const client of served.splice(30)) await client.close();
    const late = await until('room', async () => (await sortByAnswer(await dialMany(weir.port, 1))).served[0]);
    for (const client of [...served, late]) await client.close();
    await guard();
    await weir.stop();
  });

  test(`when the process has no descriptor left those who are connected go on, nothing spins, and others are served when it has (${engine})`, {
    skip: missing('prlimit'),
  }, async (t) => {
    const { weir, guard } = await start(t, {}, { engine });
    const pid = weir.workers[0]!;
    const { served } = await sortByAnswer(await dialMany(weir.port, 10));
    /** Leaves so many descriptors free: a new one has a number below the limit. */
    const leave = (count: number): void => {
      const used = new Set(readdirSync(`/proc/${pid}/fd`).map(Number));
      let limit = 0;
      for (let free = 0; free < count || used.has(limit); limit++) if (!used.has(limit)) free++;
      execFileSync(find('prlimit')!, ['--pid', String(pid), `--nofile=${limit}:`]);
    };
    const outOfPorts = { phase: 'connect', reason: 'connection_limit_reached' };
    // One is enough for the client, not for its endpoint.
    leave(1);
    for (let i = 0; i < 5; i++) {
      // Each after the one before: of two at once, the second finds none for itself.
      const { refused } = await sortByAnswer(await dialMany(weir.port, 1));
      assert.ok(refused.every(({ ending }) => ending === 'reset'));
    }
    await until('each to be counted', async () => (await weir.metric('weir_faults_total', outOfPorts)) === 5);
    await expectEcho(served, ' still');
    leave(0);
    // io_uring accepts under the limit of the time when it was asked to, so there these are accepted and reset like the others.
    const waiting = engine === 'uring' ? [] : await dialMany(weir.port, 5);
    for (const client of waiting) client.send('hello');
    if (engine === 'epoll')
      await until(
        'it to be counted',
        async () => (await weir.metric('weir_connections_rejected_total', { reason: 'overload' })) > 0,
      );
    const cpu = cpuMs(pid);
    const began = performance.now();
    // Once a second a worker looks at itself: that must not take a descriptor.
    await new Promise((resolve) => setTimeout(resolve, 1500));
    assert.ok(cpuMs(pid) - cpu < (performance.now() - began) * 0.5, 'it does not spin on accept');
    await expectEcho(served, ' again');
    execFileSync(find('prlimit')!, ['--pid', String(pid), '--nofile=1024:']);
    await until('an answer for each', () => waiting.every(({ received }) => received === 'hello'));
    for (const client of [...served, ...waiting]) await client.close();
    await guard();
    await weir.stop();
  });

  test(`clients that do not read: at most the buffer limit each, the endpoints wait, and who reads late gets every byte (${engine})`, async (t) => {
    const SIZE = 30 * MB;
    const COUNT = 24;
    const { weir, endpoint, guard } = await start(
      t,
      {},
      {
        engine,
        script: (peer) => {
          peer.send(Buffer.alloc(SIZE, 'x'));
          peer.sendEnd();
        },
      },
    );
    const pid = weir.workers[0]!;
    const base = rssBytes(pid);
    const clients: Peer[] = [];
    for (let i = 0; i < COUNT; i++) {
      const client = await connect(weir.port);
      client.keeps = false;
      client.pause();
      clients.push(client);
    }
    await until('all to be connected', () => endpoint.peers.length === COUNT);
    await untilStill('the flow', () => endpoint.peers.reduce((sum, { socket }) => sum + socket.writableLength, 0));
    const grown = rssBytes(pid) - base;
    assert.ok(grown < COUNT * 2 * BUFFER + SLACK, `grew by ${(grown / MB).toFixed(1)} MB`);
    assert.ok(endpoint.peers.every(({ socket }) => socket.writableLength > 0));
    clients[0]!.resume();
    assert.equal(await clients[0]!.ended(20_000), 'fin');
    assert.equal(clients[0]!.receivedBytes, SIZE);
    for (const client of clients) client.reset();
    await guard();
    await weir.stop();
  });

  test(`endpoints that do not read: at most the buffer limit each, and the clients wait (${engine})`, async (t) => {
    const SIZE = 30 * MB;
    const COUNT = 16;
    const { weir, guard } = await start(t, {}, { engine, script: (peer) => peer.pause() });
    const pid = weir.workers[0]!;
    const base = rssBytes(pid);
    const clients = await dialMany(weir.port, COUNT);
    for (const client of clients) client.send(Buffer.alloc(SIZE, 'y'));
    await untilStill('the flow', () => clients.reduce((sum, { socket }) => sum + socket.writableLength, 0));
    assert.ok(clients.every(({ socket }) => socket.writableLength > 0));
    const grown = rssBytes(pid) - base;
    assert.ok(grown < COUNT * 2 * BUFFER + SLACK, `grew by ${(grown / MB).toFixed(1)} MB`);
    for (const client of clients) client.reset();
    await guard();
    await weir.stop();
  });
}

test('a port scan leaves nothing behind, and others are served meanwhile', async (t) => {
  const { weir, guard } = await start(t);
  const bystander = await connect(weir.port);
  for (let i = 0; i < 400; i++) {
    const client = await connect(weir.port);
    if (i % 2 === 0) client.reset();
    else client.socket.destroy();
    if (i % 50 === 0) await expectEcho([bystander], `${i}.`);
  }
  await bystander.close();
  await until('each to be counted', async () => (await weir.metric('weir_connections_total')) === 401);
  await guard();
  assert.equal(await weir.metric('weir_endpoint_requests_in_flight'), 0);
  await weir.stop();
});

test('connections that never say anything are bounded by address and in all, each refusal counted with its reason', async (t) => {
  const limits = { connectionsPerIp: 40, connections: 60 };
  const { weir, endpoint, guard } = await start(t, { listener: { protocol: 'auto', sniffTimeout: '60s', limits } });
  const pid = weir.workers[0]!;
  const base = rssBytes(pid);
  const flood = async (address: string, count: number): Promise<Peer[]> => {
    const peers: Peer[] = [];
    for (let i = 0; i < count; i++) {
      // Reset maybe before it knows that it is connected.
      const peer = await connect(weir.port, '127.0.0.1', address).catch(() => null);
      if (peer !== null) peers.push(peer);
    }
    return peers;
  };
  const rejected = (reason: string) => weir.metric('weir_connections_rejected_total', { reason });
  const silent = await flood('127.0.5.1', 200);
  await until('those of one address', async () => (await rejected('limit_per_ip')) === 160);
  silent.push(...(await flood('127.0.5.2', 60)));
  await until('those of all', async () => (await rejected('limit')) === 40);
  assert.equal(endpoint.peers.length, 0, 'no endpoint hears of them');
  assert.ok(rssBytes(pid) - base < SLACK);
  // They leave, and what they held is free.
  for (const peer of silent) peer.reset();
  const { served } = await until('room for all', async () => {
    const result = await sortByAnswer(await dialMany(weir.port, 40));
    for (const peer of result.refused) peer.reset();
    if (result.served.length === 40) return result;
    for (const peer of result.served) peer.reset();
    return false;
  });
  for (const peer of served) peer.reset();
  await guard();
  await weir.stop();
});

test('who says nothing where first bytes are looked for is carried after the sniffing time, or let go with a reason', async (t) => {
  // Long enough for the first bytes of those who say something, even when the machine stands still before them.
  const listener = { protocol: 'auto', sniffTimeout: '2500ms', timeouts: { idle: '500ms' } };
  const { weir, guard } = await start(t, { listener });
  const half: Peer[] = [];
  for (let i = 0; i < 20; i++) {
    const [peer] = await dialMany(weir.port, 1);
    // The first bytes of a client hello that never comes.
    peer!.send('\x16\x03\x01\x02\x00\x01');
    half.push(peer!);
  }
  const silent = await dialMany(weir.port, 20);
  await until('all to be let go', () => [...silent, ...half].every(({ ending }) => ending === 'reset'));
  assert.equal(await weir.metric('weir_connections_rejected_total', { reason: 'preface' }), 20);
  assert.equal(await weir.metric('weir_faults_total', { reason: 'idle_timeout' }), 20);
  await guard();
  await weir.stop();
});

test('garbage on a port that looks at first bytes is carried, answered 400 or reset, and never more than that', async (t) => {
  const { weir, endpoint, guard } = await start(t, { listener: { protocol: 'auto', sniffTimeout: '200ms' } });
  const random = new Prng(7);
  const bytes = (count: number): Buffer => Buffer.from(Array.from({ length: count }, () => random.below(256)));
  const kinds: (() => Buffer)[] = [
    () => bytes(1 + random.below(3000)),
    // A record that says it is a handshake and holds none.
    () => Buffer.concat([Buffer.from([22, 3, 1, 1 + random.below(60), random.below(256)]), bytes(600)]),
    // A client hello whose lengths lie.
    () => Buffer.concat([Buffer.from([22, 3, 1, 0, 200, 1, 0, random.below(256), random.below(256), 3, 3]), bytes(189)]),
    () => Buffer.concat([Buffer.from('GET /'), bytes(200), Buffer.from('\r\n\r\n')]),
    () => Buffer.concat([Buffer.from('PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n'), bytes(20)]),
  ];
  const pid = weir.workers[0]!;
  const base = rssBytes(pid);
  for (let round = 0; round < 20; round++) {
    const clients: Peer[] = [];
    for (let i = 0; i < 20; i++) {
      const client = await connect(weir.port);
      client.send(kinds[i % kinds.length]!());
      client.sendEnd();
      clients.push(client);
    }
    await until('the end of each', () => clients.every(({ ending, socket }) => ending !== 'open' || socket.destroyed));
    for (const client of clients) await client.close();
  }
  assert.ok(rssBytes(pid) - base < SLACK);
  assert.ok((await weir.metric('weir_connections_rejected_total', { reason: 'preface' })) > 0);
  assert.ok((await weir.metric('weir_requests_total', { code: '400' })) > 0);
  assert.ok(endpoint.peers.length > 0);
  const [honest] = await dialMany(weir.port, 1);
  await expectEcho([honest!], 'plain words');
  await honest!.close();
  await guard();
  await weir.stop();
});
