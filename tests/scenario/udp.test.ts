/**
 * Harm prevented: an answer that reaches somebody who did not ask, a datagram that is cut, a client that is never forgotten, a dead endpoint that
 * swallows questions. Floods are in udp-floods.test.ts.
 */
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { Prng } from '../../src/base/prng.ts';
import { datagramConfig, endpoint, keepTalkers, rejected, sessions, Talker } from '../support/datagrams.ts';
import { descriptorsOf, freePort } from '../support/system.ts';
import { until, within } from '../support/wait.ts';
import { type EngineName, Weir } from '../support/weir.ts';

type Udp = Record<string, unknown>;

for (const engine of ['uring', 'epoll'] as EngineName[]) {
  describe(`udp over ${engine}`, () => {
    // One weir with a listener and a pool of its own for each test.
    const names = ['sizes', 'held', 'idle', 'refused'] as const;
    const ports = {} as Record<(typeof names)[number], number>;
    let weir: Weir;
    let ends: Talker[];
    let gone: number;

    before(async () => {
      for (const name of names) ports[name] = await freePort();
      const refusing = await Talker.open();
      gone = refusing.port;
      await refusing.close();
      ends = [await endpoint(''), await Talker.open(), await Talker.open(), await endpoint('!'), await endpoint('!')];
      keepTalkers();
      const at = (port: number): string => `127.0.0.1:${port}`;
      const listener = (name: (typeof names)[number], udp: Udp = {}) => ({
        protocol: 'udp',
        listen: at(ports[name]),
        to: name,
        udp,
      });
      const pool = (which: readonly number[], more: Udp = {}) => ({ protocol: 'udp', endpoints: which.map(at), ...more });
      const [sizes, heldA, heldB, idle, refused] = ends.map(({ port }) => port) as [number, number, number, number, number];
      weir = await Weir.start({
        engine,
        workers: 2,
        config: ({ admin }) => ({
          version: 1,
          process: { drain: { notReadyFor: '0s', graceful: '2s', hardStop: '5s' } },
          admin: { listen: [at(admin)] },
          listeners: {
            sizes: listener('sizes'),
            held: listener('held'),
            idle: listener('idle', { idle: '1s' }),
            refused: listener('refused', { responses: 1 }),
          },
          pools: {
            sizes: pool([sizes]),
            held: pool([heldA, heldB]),
            idle: pool([idle]),
            refused: pool([gone, refused], { balance: 'round-robin', health: { passive: { consecutiveFailures: 3 } } }),
          },
        }),
      });
    });
    after(async () => {
      try {
        await weir?.stop();
      } finally {
        await weir?.kill();
        for (const end of ends ?? []) await end.close();
      }
    });

    test('datagrams of 0 to 65,507 bytes pass whole, both ways, those of QUIC among them', async () => {
      const [end] = ends;
      const client = await Talker.open();
      const sizes = [0, 1, 512, 1200, 1201, 1350, 1452, 1472, 1473, 1984, 1985, 4096, 9000, 32_768, 65_507];
      for (const [i, size] of sizes.entries()) {
        const bytes = Buffer.from(Array.from({ length: size }, (_, at) => (at * 13 + size) & 255));
        client.say(ports.sizes, bytes);
        await until(`the answer of ${size} bytes`, () => client.got.length === i + 1);
        assert.ok(client.got[i]!.bytes.equals(bytes), `${size} bytes`);
        assert.ok(end!.got[i]!.bytes.equals(bytes), `${size} bytes`);
      }
      const total = sizes.reduce((sum, size) => sum + size, 0);
      const counted = (name: string, labels = {}) => weir.metric(name, { listener: 'sizes', ...labels });
      await until('the counters', async () => (await counted('weir_datagrams_total', { direction: 'out' })) === sizes.length);
      assert.equal(await counted('weir_datagrams_total', { direction: 'in' }), sizes.length);
      assert.equal(await counted('weir_received_bytes_total'), total);
      assert.equal(await counted('weir_sent_bytes_total'), total);
    });

    test('among 200 clients who ask at once every answer goes to the one who asked', async () => {
      const prng = new Prng(engine.length);
      const [, ...both] = ends.slice(0, 3);
      // Answers are held back and given in another order.
      const held: (() => void)[] = [];
      for (const end of both)
        end.onDatagram = (bytes, { port }) => {
          held.push(() => end.say(port, `${bytes}!`));
          if (held.length < 25) return;
          while (held.length > 0) held.splice(prng.below(held.length), 1)[0]!();
        };
      const clients = await Promise.all(Array.from({ length: 200 }, () => Talker.open()));
      for (let round = 0; round < 5; round++) {
        for (const [i, client] of clients.entries()) client.say(ports.held, `${i}.${round}`);
        await until('all answers of the round', () => clients.every(({ got }) => got.length === round + 1), 10_000);
      }
      for (const [i, client] of clients.entries()) {
        assert.deepEqual(
          client.texts,
          [0, 1, 2, 3, 4].map((round) => `${i}.${round}!`),
        );
        assert.ok(
          client.got.every(({ from }) => from.port === ports.held),
          'from the address that was asked',
        );
      }
      assert.equal(
        both.reduce((sum, { got }) => sum + got.length, 0),
        1000,
      );
      await until('200 sessions', async () => (await weir.metric('weir_udp_sessions', { listener: 'held' })) === 200);
    });

    test('a client is forgotten when it was idle, and its descriptor is returned', async () => {
      const clients = await Promise.all(Array.from({ length: 30 }, () => Talker.open()));
      const descriptors = () => weir.workers.reduce((sum, pid) => sum + descriptorsOf(pid), 0);
      const before = descriptors();
      // Again and again: none may be forgotten before it is looked.
      await until('all answers, and a descriptor for each', () => {
        for (const client of clients) client.say(ports.idle, 'hello');
        return clients.every(({ got }) => got.length > 0) && descriptors() >= before + 30;
      });
      await until(
        'all to be forgotten',
        async () => (await weir.metric('weir_udp_sessions', { listener: 'idle' })) === 0,
        20_000,
      );
      await until('the descriptors', () => descriptors() <= before);
      // A client that comes again begins again, and is answered.
      clients[0]!.say(ports.idle, 'again');
      await until('the answer', () => clients[0]!.texts.includes('again!'));
    });

    test('a question that one endpoint refuses is answered by another, and the refusals take it out', async () => {
      const client = await Talker.open();
      await until(
        'the ejection',
        async () => {
          const count = client.got.length;
          client.say(ports.refused, 'q');
          await until('the answer', () => client.got.length > count);
          return (await weir.metric('weir_pool_endpoints', { pool: 'refused', state: 'ejected' })) === 1;
        },
        20_000,
      );
      const refused = await weir.metric('weir_endpoint_connects_total', { endpoint: `127.0.0.1:${gone}`, result: 'refused' });
      assert.ok(refused >= 3, `${refused} refusals`);
      assert.ok((await weir.metric('weir_retries_total', { pool: 'refused', reason: 'connect' })) >= 3);
    });
  });
}

describe('udp', () => {
  test('one address has as many clients as sessionsPerIp says', async () => {
    const end = await endpoint('!');
    const weir = await Weir.start({ config: (ports) => datagramConfig(ports, [end], { sessionsPerIp: 5 }) });
    const clients = await Promise.all(Array.from({ length: 9 }, () => Talker.open()));
    try {
      for (const client of clients) client.say(weir.port, 'x');
      await until('the refusals', async () => (await rejected(weir, 'limit_per_ip')) === 4);
      await until('the answers', () => clients.filter(({ got }) => got.length === 1).length === 5);
      await weir.stop();
    } finally {
      await weir.kill();
    }
  });

  test('a reload keeps clients with their endpoint, also when it leaves the configuration', async () => {
    const ends = [await endpoint('a'), await endpoint('b')];
    const weir = await Weir.start({ workers: 2, config: (ports) => datagramConfig(ports, ends, {}, { balance: 'source' }) });
    const clients = await Promise.all(Array.from({ length: 10 }, () => Talker.open()));
    try {
      for (const client of clients) client.say(weir.port, '1');
      await until('all answers', () => clients.every(({ got }) => got.length === 1));
      const first = clients.map(({ texts }) => texts[0]!.slice(1));
      assert.equal(new Set(first).size, 1, 'source: one address, one endpoint');
      const other = ends.filter((_, i) => 'ab'[i] !== first[0]);
      await weir.reload(datagramConfig({ web: weir.port, admin: weir.adminPort }, other));
      for (const client of clients) client.say(weir.port, '2');
      await until('all answers', () => clients.every(({ got }) => got.length === 2));
      assert.ok(clients.every(({ texts }) => texts[1] === `2${first[0]}`));
      const fresh = await Talker.open();
      fresh.say(weir.port, '3');
      await until('the answer', () => fresh.got.length === 1);
      assert.notEqual(fresh.texts[0], `3${first[0]}`);
      // The listener goes, and comes back as one of connections; then as it was.
      const without = datagramConfig({ web: weir.port, admin: weir.adminPort }, other);
      await weir.reload({
        ...without,
        listeners: { dns: { protocol: 'tcp', listen: `127.0.0.1:${weir.port}`, to: 'pool' } },
        pools: { pool: { protocol: 'tcp', endpoints: ['127.0.0.1:9'] } },
      });
      await until('the clients to go', async () => (await weir.metric('weir_connections', { protocol: 'udp' })) === 0, 10_000);
      await weir.reload(without);
      clients[0]!.say(weir.port, '4');
      await until('the answer', () => clients[0]!.texts.some((text) => text.startsWith('4')));
      await weir.stop();
    } finally {
      await weir.kill();
    }
  });

  test('in a drain a conversation goes on and newcomers are turned away; weir leaves when everybody was forgotten', async () => {
    const end = await endpoint('!');
    const weir = await Weir.start({
      config: (ports) => ({
        ...datagramConfig(ports, [end], { idle: '4s' }),
        process: { drain: { notReadyFor: '0s', graceful: '60s', hardStop: '60s' } },
      }),
    });
    const client = await Talker.open();
    try {
      client.say(weir.port, '0');
      await until('the answer', () => client.got.length === 1);
      const began = performance.now();
      weir.signal('SIGTERM');
      await until('the drain', () => weir.events('drain').length > 0);
      // Metrics are a second old, and the first newcomers may come before the worker has heard of the drain: the client is not silent meanwhile.
      let said = 0;
      await until(
        'newcomers to be turned away',
        async () => {
          client.say(weir.port, `${++said}`);
          (await Talker.open()).say(weir.port, 'x');
          return (await rejected(weir, 'drain')) > 0;
        },
        20_000,
        50,
      );
      const last = `${said + 1}`;
      client.say(weir.port, last);
      await until('the answer', () => client.texts.includes(`${last}!`));
      const { code } = await within('weir to leave', 30_000, weir.exited);
      assert.equal(code, 0, weir.logs);
      assert.ok(performance.now() - began < 50_000, 'before the limit');
    } finally {
      await weir.kill();
    }
  });

  test('a conversation that goes on at the limit of a drain is cut, and that is told', async () => {
    const end = await endpoint('!');
    const talked = async (): Promise<number | null> => {
      const weir = await Weir.start({
        config: (ports) => ({
          ...datagramConfig(ports, [end]),
          process: { drain: { notReadyFor: '0s', graceful: '1s', hardStop: '1s' } },
        }),
      });
      const client = await Talker.open();
      const talk = setInterval(() => client.say(weir.port, 'x'), 50);
      try {
        await until('answers', () => client.got.length > 1);
        weir.signal('SIGTERM');
        return (await within('weir to leave', 25_000, weir.exited)).code;
      } finally {
        clearInterval(talk);
        await weir.kill();
      }
    };
    // On a machine that stands still at the limit the conversation has stood still, too.
    const codes = [];
    do codes.push(await talked());
    while (codes.at(-1) !== 9 && codes.length < 4);
    assert.equal(codes.at(-1), 9, codes.join());
  });

  test('processes that stand still over the limit of a drain are not ended for being late', async () => {
    const end = await endpoint('!');
    const weir = await Weir.start({
      config: (ports) => ({
        ...datagramConfig(ports, [end]),
        process: { drain: { notReadyFor: '0s', graceful: '1s', hardStop: '1s' } },
      }),
    });
    const client = await Talker.open();
    try {
      client.say(weir.port, 'x');
      await until('the answer', () => client.got.length === 1);
      const all = [weir.pid, ...weir.workers];
      weir.signal('SIGTERM');
      await until('the drain', () => weir.events('drain').length > 0);
      for (const pid of all) process.kill(pid, 'SIGSTOP');
      const untilMs = performance.now() + 2500;
      await until('the limit to be over', () => performance.now() > untilMs);
      for (const pid of all) process.kill(pid, 'SIGCONT');
      const { code } = await within('weir to leave', 15_000, weir.exited);
      // Nobody has spoken for so long that nothing was cut.
      assert.equal(code, 0, weir.logs);
    } finally {
      await weir.kill();
    }
  });

  test('a killed worker is replaced, and a new program takes the sockets over: every question is answered', async () => {
    const end = await endpoint('!');
    const options = { workers: 2, config: (ports: { web: number; admin: number }) => datagramConfig(ports, [end]) };
    const first = await Weir.start(options);
    const ports = { web: first.port, admin: first.adminPort };
    const clients = await Promise.all(Array.from({ length: 16 }, () => Talker.open()));
    let second: Weir | null = null;
    let round = 0;
    const ask = async () => {
      const number = round++;
      for (const client of clients) client.say(ports.web, `${number}`);
      await until(`the answers to ${number}`, () => clients.every(({ texts }) => texts.includes(`${number}!`)));
    };
    try {
      await ask();
      const [victim] = first.workers;
      process.kill(victim!, 'SIGKILL');
      // What the dead one had read is lost; what it had not waits in its sockets for the next.
      await until('another worker', () => first.workers.length === 2 && !first.workers.includes(victim!), 20_000);
      await ask();
      first.signal('SIGKILL');
      await first.exited;
      await ask();
      second = await Weir.start({ ...options, ports, folder: first.folder });
      for (let i = 0; i < 20; i++) await ask();
      assert.ok(clients.every(({ got }) => got.every(({ from }) => from.port === ports.web)));
      await second.stop();
    } finally {
      await second?.kill();
      await first.kill();
    }
  });

  test('each session is a line of the access log', async () => {
    const end = await endpoint('!!');
    const folder = mkdtempSync(join(tmpdir(), 'weir-udp-'));
    const log = join(folder, 'access.log');
    const weir = await Weir.start({
      config: (ports) => ({ ...datagramConfig(ports, [end], { responses: 1 }), logs: { access: { to: log } } }),
    });
    const client = await Talker.open();
    try {
      client.say(weir.port, 'question');
      const line = await until('the line', () => readFileSync(log, 'utf8').split('\n')[0]);
      const told = JSON.parse(line) as Record<string, unknown>;
      assert.match(line, /"udp"/);
      assert.match(line, new RegExp(`127\\.0\\.0\\.1:${client.port}`));
      assert.match(line, new RegExp(`127\\.0\\.0\\.1:${end.port}`));
      assert.ok(Object.keys(told).length > 5);
      await weir.stop();
    } finally {
      await weir.kill();
      rmSync(folder, { recursive: true });
    }
  });

  test('a real DNS server answers through it', { skip: whyNoDnsmasq() }, async () => {
    const ports = [await freePort(), await freePort()];
    const servers = ports.map((port, i) =>
      spawn(
        'dnsmasq',
        [
          '--keep-in-foreground',
          '--conf-file=/dev/null',
          '--no-resolv',
          '--no-hosts',
          '--bind-interfaces',
          '--listen-address=127.0.0.1',
          '--no-daemon',
          '--pid-file=',
          `--port=${port}`,
          `--address=/example.test/192.0.2.${i + 1}`,
        ],
        { stdio: 'ignore', env: { ...process.env, PATH: `${process.env.PATH}:/usr/sbin` } },
      ),
    );
    let weir: Weir | null = null;
    try {
      // A question to a server that is not there yet would take it out.
      const client = await Talker.open();
      for (const port of ports) {
        const count = client.got.length;
        await until('a server', () => client.say(port, dnsQuery(0, 'www.example.test')).got.length > count, 20_000, 100);
      }
      weir = await Weir.start({
        config: (own) => ({
          ...datagramConfig(own, [], { responses: 1 }),
          pools: { pool: { protocol: 'udp', endpoints: ports.map((port) => `127.0.0.1:${port}`), balance: 'round-robin' } },
        }),
      });
      const { port } = weir;
      const answers = new Set<string>();
      await until(
        'answers of both servers',
        async () => {
          const id = client.got.length + 1;
          client.say(port, dnsQuery(id, 'www.example.test'));
          await until('an answer', () => client.got.length === id, 500);
          const { bytes } = client.got[id - 1]!;
          assert.equal(bytes.readUInt16BE(0), id, 'the answer to this question');
          assert.equal(bytes.readUInt16BE(6), 1, 'one answer');
          answers.add([...bytes.subarray(-4)].join('.'));
          return answers.size === 2;
        },
        15_000,
      );
      assert.deepEqual([...answers].sort(), ['192.0.2.1', '192.0.2.2']);
      const running = weir;
      await until('every client to be forgotten at once', async () => (await sessions(running)) === 0);
      await weir.stop();
    } finally {
      await weir?.kill();
      for (const server of servers) server.kill();
      await Promise.all(
        servers.map((server) => (server.exitCode === null && server.signalCode === null ? once(server, 'exit') : null)),
      );
    }
  });
});

function whyNoDnsmasq(): string | false {
  try {
    execFileSync('dnsmasq', ['--version'], { env: { ...process.env, PATH: `${process.env.PATH}:/usr/sbin` } });
    return false;
  } catch {
    return 'dnsmasq is not installed (tool/setup-debian.sh)';
  }
}

/** An A question (RFC 1035 §4.1). */
function dnsQuery(id: number, name: string): Buffer {
  const labels = name.split('.').map((label) => Buffer.concat([Buffer.from([label.length]), Buffer.from(label)]));
  const header = Buffer.from([id >> 8, id & 255, 0x01, 0x00, 0, 1, 0, 0, 0, 0, 0, 0]);
  return Buffer.concat([header, ...labels, Buffer.from([0, 0, 1, 0, 1])]);
}
