/**
 * What base/wire.ts promises of datagram sockets, as sentences that every driver is held to: uring, epoll, memory. Each gets a fresh engine; at its end all
 * blocks are back and all descriptors closed.
 */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { cannotUnshare, Network, setNet } from '../../tests/support/network.ts';
import { ClientAddress } from '../base/client-address.ts';
import { NAME_WORDS, portOf, readName, wordsOf } from '../base/datagram-name.ts';
import type { Address, DatagramOwner, DatagramSocket, Engine } from '../base/wire.ts';
import { EAGAIN, ECONNREFUSED, EMFILE, RLIMIT_NOFILE, SOL_SOCKET } from '../sys/constants.generated.ts';
import { datagramSocket } from '../sys/datagram.ts';
import { bind, check, close, dup, familyOf, getrlimit, localAddress, setrlimit, setsockopt } from '../sys/libc.ts';
import { until } from './conformance.ts';
import { openEpoll } from './epoll.ts';
import { openDescriptors } from './kernel-fixture.ts';
import { MemoryEngine } from './memory.ts';
import { openUring } from './uring.ts';

/** asm-generic/socket.h; sets the checksum of what is sent to 0. */
const SO_NO_CHECK = 11;

type Ip = Address & { kind: 'ip' };

interface World {
  engine: Engine;
  /** A bound descriptor; `close` closes it. */
  bind(host: string): { fd: number; address: Ip; close(): void };
  /** An address where nobody is bound. */
  nobody(): Ip;
  descriptors(): number;
  isKernel: boolean;
}

function bindOnKernel(host: string): { fd: number; address: Ip; close(): void } {
  const wanted: Ip = { kind: 'ip', host, port: 0 };
  const fd = check('socket', datagramSocket(familyOf(wanted)));
  check('bind', bind(fd, wanted));
  return { fd, address: localAddress(fd) as Ip, close: () => void close(fd) };
}

function kernelWorld(engine: Engine): World {
  return {
    engine,
    isKernel: true,
    bind: bindOnKernel,
    nobody() {
      const { address, close } = bindOnKernel('127.0.0.1');
      close();
      return address;
    },
    descriptors: openDescriptors,
  };
}

function memoryWorld(): World {
  const engine = new MemoryEngine({ seed: 7, largeCount: 256 });
  let port = 1000;
  return {
    engine,
    isKernel: false,
    bind(host) {
      const address: Ip = { kind: 'ip', host, port: port++ };
      return { fd: engine.bindAt(address), address, close() {} };
    },
    nobody: () => ({ kind: 'ip', host: '10.9.9.9', port: 9 }),
    descriptors: () => engine.sockets,
  };
}

const counts = { largeCount: 1024, smallCount: 64 };
const worlds: Record<string, () => World> = {
  uring: () => kernelWorld(openUring(counts)),
  epoll: () => kernelWorld(openEpoll(counts)),
  memory: memoryWorld,
};

/** Somebody at a bound socket: notes what comes, answers when asked to. */
class Server implements DatagramOwner {
  readonly got: { bytes: Buffer; name: Int32Array; segment: number }[] = [];
  readonly socket: DatagramSocket;
  readonly address: Ip;
  echoes = false;
  private readonly engine: Engine;
  private readonly words: Int32Array;

  constructor(scene: Scene, host = '127.0.0.1') {
    this.engine = scene.engine;
    this.words = wordsOf(scene.engine.blocks);
    const { fd, address, close } = scene.world.bind(host);
    this.address = address;
    this.socket = scene.engine.serveDatagrams(fd, this);
    scene.closers.push(() => {
      this.socket.close();
      close();
    });
  }
  onDatagram(socket: DatagramSocket, block: number, start: number, end: number, segment: number, from: number): void {
    const name = this.words.slice(from, from + NAME_WORDS);
    this.got.push({ bytes: Buffer.from(this.engine.blocks.bytes.slice(start, end)), name, segment });
    if (this.echoes) socket.sendTo(block, start, end, segment, this.words, from);
  }
  onDatagramFault(): void {
    assert.fail('a bound socket has no faults');
  }
  texts(): string[] {
    return this.got.map(({ bytes }) => bytes.toString('latin1'));
  }
}

/** Somebody at a connected socket. */
class Client implements DatagramOwner {
  readonly got: Buffer[] = [];
  readonly faults: number[] = [];
  readonly socket: DatagramSocket;
  private readonly engine: Engine;

  constructor(scene: Scene, address: Address, source?: string) {
    this.engine = scene.engine;
    this.socket = scene.engine.connectDatagrams(address, this, source);
    scene.closers.push(() => this.socket.close());
  }
  onDatagram(_socket: DatagramSocket, _block: number, start: number, end: number, segment: number): void {
    const bytes = Buffer.from(this.engine.blocks.bytes.slice(start, end));
    const size = segment === 0 ? Math.max(1, bytes.length) : segment;
    for (let at = 0; at < bytes.length || at === 0; at += size) this.got.push(bytes.subarray(at, at + size));
  }
  onDatagramFault(_socket: DatagramSocket, errno: number): void {
    this.faults.push(errno);
  }
  say(bytes: Uint8Array | string, segment = 0): this {
    put(this.engine, bytes, (block, start, end) => this.socket.send(block, start, end, segment));
    return this;
  }
  texts(): string[] {
    return this.got.map((bytes) => bytes.toString('latin1'));
  }
}

function put(engine: Engine, what: Uint8Array | string, send: (block: number, start: number, end: number) => void): void {
  const { blocks } = engine;
  const bytes = typeof what === 'string' ? Buffer.from(what, 'latin1') : what;
  const block = blocks.takeLarge();
  const start = blocks.start(block);
  blocks.bytes.set(bytes, start);
  send(block, start, start + bytes.length);
  blocks.release(block);
}

class Scene {
  readonly world: World;
  readonly engine: Engine;
  readonly closers: (() => void)[] = [];
  constructor(world: World) {
    this.world = world;
    this.engine = world.engine;
  }
  until(condition: () => boolean, what: string): Promise<void> {
    return until(this.engine, condition, what);
  }
}

function sentence(text: string, body: (scene: Scene) => Promise<void>, only?: 'kernel'): void {
  for (const [name, open] of Object.entries(worlds)) {
    if (only === 'kernel' && name === 'memory') continue;
    test(`${name}: ${text}`, async () => {
      const world = open();
      const { engine } = world;
      try {
        await until(engine, () => true, 'a turn');
        const { largeAvailable, smallAvailable } = engine.blocks;
        const descriptors = world.descriptors();
        const scene = new Scene(world);
        await body(scene);
        for (const close of scene.closers) close();
        await scene.until(() => engine.blocks.largeAvailable === largeAvailable, 'large blocks given back');
        assert.equal(engine.blocks.smallAvailable, smallAvailable, 'small blocks given back');
        await scene.until(() => world.descriptors() === descriptors, 'descriptors closed');
      } finally {
        engine.close();
      }
    });
  }
}

sentence('a datagram of any length arrives whole, and so does its answer', async (scene) => {
  const server = new Server(scene);
  server.echoes = true;
  const client = new Client(scene, server.address);
  // 1984 bytes lie in a place of the receive batch, 65,507 are the most that IPv4 carries.
  for (const length of [0, 1, 40, 1472, 1984, 1985, 9000, 65_507]) {
    const bytes = Buffer.alloc(length).map((_, i) => (i * 7 + length) & 255);
    const { got } = client;
    const before = got.length;
    client.say(bytes);
    await scene.until(() => got.length > before, `the answer of ${length} bytes`);
    assert.deepEqual(got[before], Buffer.from(bytes));
    assert.equal(server.got.at(-1)!.segment, 0);
  }
});

sentence('the owner learns who sent a datagram', async (scene) => {
  const server = new Server(scene);
  const a = new Client(scene, server.address, '127.0.0.2').say('a');
  const b = new Client(scene, server.address, '127.0.0.3').say('b');
  await scene.until(() => server.got.length === 2, 'both');
  const address = new ClientAddress();
  for (const { bytes, name } of server.got) {
    readName(name, 0, address);
    assert.equal(address.text, bytes.toString() === 'a' ? '127.0.0.2' : '127.0.0.3');
    assert.ok(portOf(name, 0) > 0);
  }
  // The words are all there is: equal for equal senders, whatever came before in that place.
  const before = server.got.find(({ bytes }) => bytes.toString() === 'a')!.name;
  a.say('a');
  b.say('b');
  await scene.until(() => server.got.length === 4, 'the second ones');
  assert.ok(server.got.slice(2).some(({ name }) => name.every((word, i) => word === before[i])));
});

sentence('answers go to whom they are sent, among many who ask at once', async (scene) => {
  const server = new Server(scene);
  const clients = Array.from({ length: 150 }, (_, i) => new Client(scene, server.address).say(`question ${i}`));
  await scene.until(() => server.got.length === clients.length, 'all questions');
  for (const { bytes, name } of [...server.got].reverse()) {
    put(scene.engine, `${bytes}, answered`, (block, start, end) => server.socket.sendTo(block, start, end, 0, name, 0));
  }
  await scene.until(() => clients.every(({ got }) => got.length > 0), 'all answers');
  for (const [i, { got }] of clients.entries()) assert.deepEqual(got.map(String), [`question ${i}, answered`]);
});

sentence('a refusal is told to the socket that asked, and later', async (scene) => {
  const server = new Server(scene);
  server.echoes = true;
  const good = new Client(scene, server.address);
  const bad = new Client(scene, scene.world.nobody()).say('anybody there?');
  assert.deepEqual(bad.faults, []);
  await scene.until(() => bad.faults.length > 0, 'the refusal');
  assert.deepEqual(bad.faults, [ECONNREFUSED]);
  good.say('x');
  await scene.until(() => good.got.length === 1, 'an answer');
  assert.deepEqual(good.faults, []);
});

sentence('after close() nothing is told', async (scene) => {
  const server = new Server(scene);
  server.echoes = true;
  const client = new Client(scene, server.address).say('x');
  const refused = new Client(scene, scene.world.nobody()).say('x');
  client.socket.close();
  refused.socket.close();
  const next = new Client(scene, server.address).say('y');
  await scene.until(() => next.got.length === 1, 'the answer of another');
  assert.deepEqual([client.got.length, refused.faults.length], [0, 0]);
});

sentence('what comes late for one tenant of a socket never reaches the next', async (scene) => {
  const server = new Server(scene);
  // Some are asked to answer twice, and later, when their client has gone and its socket may be another's.
  const clients: Client[] = [];
  for (let round = 0; round < 60; round++) {
    for (let i = 0; i < 5; i++) clients.push(new Client(scene, server.address).say(`${round}.${i}`));
    const { got } = server;
    await scene.until(() => got.length >= (round + 1) * 5, 'the questions');
    // A port that chance gave to a new client meanwhile is its own: the kernel has 28,000 of them.
    const ports = new Set(got.slice(-5).map(({ name }) => portOf(name, 0)));
    for (const [i, { bytes, name }] of got.slice(-20).entries()) {
      if (i < got.slice(-20).length - 5 && ports.has(portOf(name, 0))) continue;
      put(scene.engine, bytes, (block, start, end) => server.socket.sendTo(block, start, end, 0, name, 0));
    }
    const present = clients.slice(-5);
    await scene.until(() => present.every((client) => client.got.length > 0), 'the first answers');
    for (const { bytes, name } of got.slice(-5)) {
      put(scene.engine, bytes, (block, start, end) => server.socket.sendTo(block, start, end, 0, name, 0));
    }
    for (const client of present) client.socket.close();
    await scene.until(() => true, 'the second answers to leave');
  }
  // Each has a port of its own, but for chance.
  assert.ok(new Set(server.got.map(({ name }) => portOf(name, 0))).size > 280);
  clients.forEach((client, i) => {
    const own = `${Math.floor(i / 5)}.${i % 5}`;
    assert.deepEqual([...new Set(client.texts())], [own]);
  });
});

sentence('a run of datagrams arrives as that many datagrams', async (scene) => {
  const server = new Server(scene);
  const client = new Client(scene, server.address);
  const bytes = Buffer.from(Array.from({ length: 10 * 1200 + 300 }, (_, i) => (i * 31) & 255));
  client.say(bytes, 1200);
  const total = () => server.got.reduce((sum, { bytes }) => sum + bytes.length, 0);
  await scene.until(() => total() === bytes.length, 'all bytes of the run');
  if (scene.world.isKernel) assert.deepEqual(Buffer.concat(server.got.map((each) => each.bytes)), bytes);
  for (const each of server.got) assert.ok(each.segment === 1200 || each.bytes.length <= 1200);
  // And back.
  put(scene.engine, bytes, (block, start, end) => server.socket.sendTo(block, start, end, 1200, server.got[0]!.name, 0));
  await scene.until(() => client.got.length === 11, 'eleven datagrams');
  assert.deepEqual(
    client.got.map(({ length }) => length).sort((a, b) => a - b),
    [300, ...Array<number>(10).fill(1200)],
  );
});

sentence('who closes a socket in the middle of a batch hears no more of it', async (scene) => {
  const server = new Server(scene);
  const client = new Client(scene, server.address);
  const other = new Client(scene, server.address).say('other');
  const { onDatagram } = Client.prototype;
  client.onDatagram = (...told) => {
    onDatagram.apply(client, told);
    client.socket.close();
  };
  client.say('question');
  await scene.until(() => server.got.length === 2, 'both questions');
  const names = server.got.map(({ name }) => name).reverse();
  // Of different lengths, so that none of them travel together.
  for (const name of names)
    for (let i = 1; i <= 20; i++)
      put(scene.engine, 'x'.repeat(i), (block, start, end) => server.socket.sendTo(block, start, end, 0, name, 0));
  await scene.until(() => other.got.length === 20, 'all answers of the other');
  assert.equal(client.got.length, 1);
  server.onDatagram = (...told) => {
    Server.prototype.onDatagram.apply(server, told);
    server.socket.close();
  };
  for (let i = 1; i <= 20; i++) other.say('y'.repeat(i));
  await scene.until(() => server.got.length > 2, 'the first of the batch');
  let turns = 0;
  await scene.until(() => ++turns > 5, 'some turns');
  assert.equal(server.got.length, 3);
});

sentence('a paused bound socket receives nothing, and still sends', async (scene) => {
  const server = new Server(scene);
  const client = new Client(scene, server.address).say('one');
  await scene.until(() => server.got.length === 1, 'the first');
  server.socket.pause();
  client.say('two');
  const { name } = server.got[0]!;
  put(scene.engine, 'answer', (block, start, end) => server.socket.sendTo(block, start, end, 0, name, 0));
  await scene.until(() => client.got.length === 1, 'the answer');
  assert.deepEqual(server.texts(), ['one']);
});

sentence('without a block what comes waits in the kernel, or is lost; nothing breaks', async (scene) => {
  const server = new Server(scene);
  server.echoes = true;
  const client = new Client(scene, server.address);
  const { blocks } = scene.engine;
  client.say('before');
  await scene.until(() => client.got.length === 1, 'an answer');
  const taken: number[] = [];
  const mine = blocks.takeLarge();
  for (let block = blocks.takeLarge(); block >= 0; block = blocks.takeLarge()) taken.push(block);
  const start = blocks.start(mine);
  for (let i = 0; i < 5; i++) client.socket.send(mine, start, start + 5, 0);
  blocks.release(mine);
  let turns = 0;
  await scene.until(() => ++turns > 5, 'some turns');
  for (const block of taken) blocks.release(block);
  client.say('after');
  await scene.until(() => client.texts().includes('after'), 'an answer again');
});

for (const takesRuns of [true, false]) {
  sentence(
    `datagrams sent one after the other arrive as they were sent, in order, ${takesRuns ? 'as runs or not' : 'where the way takes no runs'}`,
    async (scene) => {
      const server = new Server(scene);
      const client = new Client(scene, server.address);
      const other = new Client(scene, server.address);
      await scene.until(() => true, 'a turn');
      // Without checksums the kernel takes no runs (UDP_SEGMENT: EINVAL), as it does beyond an MTU.
      if (!takesRuns)
        for (const { socket } of [server, client, other])
          check('SO_NO_CHECK', setsockopt((socket as unknown as { fd: number }).fd, SOL_SOCKET, SO_NO_CHECK, 1));
      // Runs that end with a shorter one, single ones, empty ones, more than a run holds, and two clients by turns.
      const lengths = [...Array<number>(5).fill(1200), 700, 1200, 1200, 0, 9, 9, 0, 0, 4, ...Array<number>(70).fill(400), 3];
      const bodies = lengths.map((length, i) => Buffer.alloc(length, 97 + (i % 26)));
      for (const body of bodies) client.say(body);
      for (let i = 0; i < 6; i++) (i % 2 === 0 ? client : other).say(Buffer.alloc(50, i));
      const heard = (): Buffer[] =>
        server.got.flatMap(({ bytes, segment }) => {
          const size = segment === 0 ? Math.max(1, bytes.length) : segment;
          const parts: Buffer[] = [];
          for (let at = 0; at < bytes.length || at === 0; at += size) parts.push(bytes.subarray(at, at + size));
          return parts;
        });
      await scene.until(() => heard().length === bodies.length + 6, 'all datagrams');
      const told = heard();
      for (const [i, body] of bodies.entries()) assert.ok(told[i]!.equals(body), `datagram ${i} of ${body.length} bytes`);
      const { name } = server.got[0]!;
      const otherName = server.got.find((each) => each.name[0] !== name[0])!.name;
      for (const body of bodies)
        put(scene.engine, body, (block, start, end) => server.socket.sendTo(block, start, end, 0, name, 0));
      for (let i = 0; i < 6; i++)
        put(scene.engine, Buffer.alloc(50, i), (block, start, end) =>
          server.socket.sendTo(block, start, end, 0, i % 2 === 0 ? name : otherName, 0),
        );
      await scene.until(() => client.got.length === bodies.length + 3 && other.got.length === 3, 'all answers');
      for (const [i, body] of bodies.entries()) assert.ok(client.got[i]!.equals(body), `answer ${i} of ${body.length} bytes`);
      assert.deepEqual(
        other.got.map((each) => each[0]),
        [1, 3, 5],
      );
      assert.deepEqual([client.faults, other.faults], [[], []]);
      assert.equal(scene.engine.stats.dropped, 0);
    },
    'kernel',
  );
}

sentence(
  'what the kernel does not take is counted, every datagram of a run',
  async (scene) => {
    const server = new Server(scene);
    const client = new Client(scene, server.address).say('x');
    await scene.until(() => server.got.length === 1, 'a name');
    // Broadcast without SO_BROADCAST: EACCES.
    const name = server.got[0]!.name.slice();
    new Uint8Array(name.buffer).set([127, 255, 255, 255], 4);
    const say = (bytes: Uint8Array, segment = 0) =>
      put(scene.engine, bytes, (block, start, end) => server.socket.sendTo(block, start, end, segment, name, 0));
    const { stats } = scene.engine;
    for (let i = 0; i < 3; i++) say(Buffer.alloc(100));
    await scene.until(() => stats.dropped > 0, 'datagrams that were gathered');
    assert.equal(stats.dropped, 3);
    say(Buffer.alloc(450), 100);
    await scene.until(() => stats.dropped > 3, 'a run');
    assert.equal(stats.dropped, 8);
    say(Buffer.alloc(0));
    await scene.until(() => stats.dropped > 8, 'an empty one');
    assert.equal(stats.dropped, 9);
    // More than IPv4 carries: EMSGSIZE.
    client.say(Buffer.alloc(65_508));
    await scene.until(() => stats.dropped > 9, 'one that is too long');
    assert.equal(stats.dropped, 10);
    client.say(Buffer.alloc(65_508 + 10), 65_508);
    await scene.until(() => stats.dropped > 10, 'one in a run');
    assert.equal(stats.dropped, 11);
    assert.deepEqual(client.faults, []);
    await scene.until(() => server.got.length === 2, 'the rest of the run');
  },
  'kernel',
);

sentence(
  'IPv6 works as IPv4 does',
  async (scene) => {
    const server = new Server(scene, '::1');
    server.echoes = true;
    const client = new Client(scene, server.address).say('six');
    await scene.until(() => client.got.length === 1, 'the answer');
    const address = new ClientAddress();
    readName(server.got[0]!.name, 0, address);
    assert.equal(address.text, '::1');
  },
  'kernel',
);

for (const host of ['0.0.0.0', '::']) {
  sentence(
    `an answer leaves from the address that was asked, on a socket bound to ${host}`,
    async (scene) => {
      const server = new Server(scene, host);
      server.echoes = true;
      // A connected client hears its peer only: an answer from 127.0.0.1 would be lost.
      const client = new Client(scene, { kind: 'ip', host: '127.0.0.77', port: server.address.port }, '127.0.0.78').say('x');
      await scene.until(() => client.got.length === 1, 'the answer');
    },
    'kernel',
  );
}

sentence(
  'when no descriptor is left, that is told later',
  async (scene) => {
    const server = new Server(scene);
    const limits = getrlimit(RLIMIT_NOFILE);
    assert.ok(typeof limits === 'object');
    const lowest = check('dup', dup(0));
    close(lowest);
    check('setrlimit', setrlimit(RLIMIT_NOFILE, lowest, limits.hard));
    let client: Client;
    try {
      client = new Client(scene, server.address).say('x');
    } finally {
      check('setrlimit', setrlimit(RLIMIT_NOFILE, limits.soft, limits.hard));
    }
    assert.deepEqual(client.faults, []);
    await scene.until(() => client.faults.length > 0, 'the fault');
    assert.deepEqual(client.faults, [EMFILE]);
  },
  'kernel',
);

describe('without a local port', { skip: cannotUnshare() }, () => {
  const home = Network.current();
  before(() => {
    Network.enterNew();
    setNet('ipv4/ip_local_port_range', '40001 40010');
  });
  after(() => home.enter());

  for (const isRun of [false, true])
    sentence(
      `a client of datagrams is told so, also when it sends ${isRun ? 'a run' : 'one'}, and the next finds a port that is free again`,
      async (scene) => {
        const server = new Server(scene);
        server.echoes = true;
        // What is reserved is given to nobody.
        setNet('ipv4/ip_local_reserved_ports', '40001-40010');
        const client = new Client(scene, server.address);
        try {
          if (isRun) client.say('abcd', 2);
          else client.say('ab');
          await scene.until(() => client.faults.length > 0, 'the fault');
        } finally {
          setNet('ipv4/ip_local_reserved_ports', '\n');
        }
        assert.deepEqual(client.faults, [EAGAIN]);
        // What was not sent may be sent elsewhere.
        assert.equal(scene.engine.stats.dropped, 0);
        client.socket.close();
        const next = new Client(scene, server.address).say('hello');
        await scene.until(() => next.got.length === 1, 'the answer');
        assert.deepEqual([client.faults.length, client.got.length], [1, 0]);
      },
      'kernel',
    );
});

test('memory: a connect that is told to fail fails, once', async () => {
  const world = memoryWorld();
  const engine = world.engine as MemoryEngine;
  const scene = new Scene(world);
  engine.faults.datagramIn = 1;
  const server = new Server(scene);
  const client = new Client(scene, server.address);
  await scene.until(() => client.faults.length === 1, 'the fault');
  new Client(scene, server.address).say('x');
  await scene.until(() => server.got.length === 1, 'a datagram');
});
