/**
 * UdpListener, relay and upstream carrying datagrams on the memory engine: seeded clients and endpoints, and the check that everything was given back.
 */
import assert from 'node:assert/strict';
import { NAME_WORDS, wordsOf } from '../../src/base/datagram-name.ts';
import { HeadPool } from '../../src/base/head-pool.ts';
import { Prng } from '../../src/base/prng.ts';
import { type Address, addressText, type DatagramOwner, type DatagramSocket } from '../../src/base/wire.ts';
import { MemoryEngine } from '../../src/io/memory.ts';
import { UdpListener } from '../../src/listen/listen.ts';
import { buildRuntime, type DatagramSession, LogRecord, Relay } from '../../src/relay/relay.ts';
import { health, rejectionNames } from '../../src/state/doors.ts';
import { plainPlan } from '../../src/state/plain-pool.ts';
import type { Plan, PoolPlan, StreamRoutePlan, UdpListenerPlan } from '../../src/state/plan.ts';
import { ControlDoor, initTable, Tally, tableBytes, WorkerDoor } from '../../src/state/table.ts';
import { Upstream } from '../../src/upstream/upstream.ts';
import { carriedPool, frontListener, streamRoute } from './stream-world.ts';

type Ip = Address & { kind: 'ip' };
const FRONT: Ip = { kind: 'ip', host: '10.0.0.1', port: 53 };

export interface DatagramOptions {
  seed: number;
  endpoints?: number;
  /** Of the endpoints that serve. Default 10.0.1.1. */
  host?: string;
  /** Clients that an endpoint takes; 0, the default: all. */
  endpointMax?: number;
  /** Endpoints where nobody is bound, before those that serve. */
  refusing?: number;
  udp?: Partial<UdpListenerPlan>;
  pool?: Partial<PoolPlan>;
  route?: Partial<StreamRoutePlan>;
  sessionsMax?: number;
  /** A second pool, of the last endpoint alone, to which the first falls back. */
  hasFallback?: boolean;
}

/** An endpoint: answers as `onQuestion` says. */
export class UdpEndpoint implements DatagramOwner {
  readonly address: string;
  readonly questions: { text: string; name: Int32Array }[] = [];
  private readonly world: DatagramWorld;
  private readonly socket: DatagramSocket;

  constructor(world: DatagramWorld, address: Ip) {
    this.world = world;
    this.address = addressText(address);
    this.socket = world.engine.serveDatagrams(world.engine.bindAt(address), this);
  }
  onDatagram(_socket: DatagramSocket, _block: number, start: number, end: number, _segment: number, from: number): void {
    const question = {
      text: Buffer.from(this.world.engine.blocks.bytes.subarray(start, end)).toString('latin1'),
      name: this.world.words.slice(from, from + NAME_WORDS),
    };
    this.questions.push(question);
    this.world.onQuestion(this, question.text, question.name);
  }
  onDatagramFault(): void {}
  answer(name: Int32Array, text: string): void {
    this.world.put(text, (block, start, end) => this.socket.sendTo(block, start, end, 0, name, 0));
  }
  stop(): void {
    this.socket.close();
  }
}

/** A client: a socket connected to the front. */
export class UdpClient implements DatagramOwner {
  readonly answers: string[] = [];
  readonly faults: number[] = [];
  readonly socket: DatagramSocket;
  private readonly world: DatagramWorld;

  constructor(world: DatagramWorld, host: string) {
    this.world = world;
    this.socket = world.engine.connectDatagrams(FRONT, this, host);
  }
  onDatagram(_socket: DatagramSocket, _block: number, start: number, end: number): void {
    this.answers.push(Buffer.from(this.world.engine.blocks.bytes.subarray(start, end)).toString('latin1'));
  }
  onDatagramFault(_socket: DatagramSocket, errno: number): void {
    this.faults.push(errno);
  }
  ask(text: string): this {
    this.world.put(text, (block, start, end) => this.socket.send(block, start, end, 0));
    return this;
  }
}

export class DatagramWorld {
  readonly engine: MemoryEngine;
  readonly words: Int32Array;
  readonly table: WorkerDoor;
  readonly control: ControlDoor;
  readonly tally: Tally;
  readonly plan: Plan;
  readonly relay: Relay;
  readonly listener: UdpListener;
  readonly endpoints: UdpEndpoint[] = [];
  readonly clients: UdpClient[] = [];
  /** What the log was told. */
  readonly ended: { fault: number; client: string; endpoint: string; bytesIn: number; bytesOut: number; attempts: number }[] = [];
  onQuestion: (endpoint: UdpEndpoint, text: string, name: Int32Array) => void = (endpoint, text, name) =>
    endpoint.answer(name, `${text}!`);
  private readonly upstream: Upstream;
  private readonly blocksLarge: number;
  private readonly blocksSmall: number;

  constructor(options: DatagramOptions) {
    this.engine = new MemoryEngine({ seed: options.seed, largeCount: 64, smallCount: 4096 });
    const { engine } = this;
    this.words = wordsOf(engine.blocks);
    this.blocksLarge = engine.blocks.largeAvailable;
    this.blocksSmall = engine.blocks.smallAvailable;
    const random = new Prng(options.seed ^ 0xda7a);
    const buffer = new ArrayBuffer(tableBytes());
    initTable(buffer, {}, options.seed);
    this.control = new ControlDoor(buffer, () => engine.now);
    this.tally = new Tally(buffer);
    this.table = new WorkerDoor(buffer, this.control.claimStripe());
    const { table } = this;
    engine.onTurn = () => {
      table.heartbeat(engine.now);
      this.relay.onTurn();
    };
    const addresses = (host: string, count: number) =>
      Array.from({ length: count }, (_, i): Ip => ({ kind: 'ip', host, port: 1 + i }));
    const serving = addresses(options.host ?? '10.0.1.1', options.endpoints ?? 3);
    this.plan = this.planOf([...addresses('10.0.2.1', options.refusing ?? 0), ...serving], options);
    for (const pool of this.plan.pools) for (const { slot } of pool.endpoints) this.control.setHealth(slot, health.up);
    const parts = { engine, blocks: engine.blocks, heads: new HeadPool(engine.blocks.bytes, 20), table };
    this.upstream = new Upstream({
      ...parts,
      responseLimits: {
        headBytesMax: 8192,
        fieldBytesMax: 4096,
        fieldsMax: 20,
        targetBytesMax: 100,
        bodyBytesMax: 0,
        chunkExtensionBytesMax: 100,
        underscores: 'drop',
      },
    });
    const record = new LogRecord();
    this.relay = new Relay({
      ...parts,
      random: () => random.uint32(),
      wallClock: () => engine.now,
      idPrefix: 'sim-',
      onExchange: () => {},
      onTunnel: () => {},
      onSession: (session: DatagramSession) => {
        const { client, endpoint, faultId, bytesIn, bytesOut } = session.fillRecord(record, engine.now);
        this.ended.push({ fault: faultId, client, endpoint, bytesIn, bytesOut, attempts: session.attempts });
      },
    });
    this.relay.isLogging = true;
    if (options.sessionsMax !== undefined) this.relay.sessionsMax = options.sessionsMax;
    this.listener = new UdpListener(this.plan.listeners[0]!, 0, { engine, taker: this.relay });
    this.force(this.plan);
    this.listener.serve([{ fd: engine.bindAt(FRONT) }]);
    for (const address of serving) this.endpoints.push(new UdpEndpoint(this, address));
  }

  get pool(): PoolPlan {
    return this.plan.pools[0]!;
  }

  /** Puts a plan in force, as the worker does. */
  force(plan: Plan): void {
    const runtime = buildRuntime(plan, this.table);
    runtime.endpoints = this.upstream.apply(plan);
    runtime.datagramEndpoints = this.upstream.datagramEndpoints;
    this.relay.runtime = runtime;
    this.listener.update(plan.listeners[0]!, 0);
  }

  client(host = '10.1.0.1'): UdpClient {
    const client = new UdpClient(this, host);
    this.clients.push(client);
    return client;
  }

  put(text: string, send: (block: number, start: number, end: number) => void): void {
    const { blocks } = this.engine;
    const block = blocks.takeLarge();
    const start = blocks.start(block);
    blocks.bytes.set(Buffer.from(text, 'latin1'), start);
    send(block, start, start + text.length);
    blocks.release(block);
  }

  until(what: string, condition: () => boolean): void {
    this.engine.runUntil(condition, 600_000);
    assert.ok(condition(), `awaited: ${what}`);
  }

  /** Datagrams of new clients that were dropped, by reason. */
  rejected(): Record<string, number> {
    const counts = this.tally.listener(this.plan.listeners[0]!.id).rejected;
    return Object.fromEntries(rejectionNames.map((name, i) => [name, counts[i]!]).filter(([, count]) => count !== 0));
  }

  /** Faults so far, by number. */
  faults(): Record<number, number> {
    const counts: Record<number, number> = {};
    for (const { faultId, count } of this.tally.counts().faults) counts[faultId] = (counts[faultId] ?? 0) + count;
    return counts;
  }

  /** Waits until every client is forgotten, and looks for leaks. */
  finish(): void {
    this.until('all clients to be forgotten', () => this.relay.sessions === 0);
    assert.equal(this.listener.connections, 0);
    this.engine.runFor(100);
    const { connections, connectionsTotal } = this.tally.listener(this.plan.listeners[0]!.id);
    assert.equal(connections[4], 0);
    assert.equal(connectionsTotal[4], this.ended.length, 'each session is told of once');
    for (const { slot } of this.plan.pools.flatMap(({ endpoints }) => endpoints)) {
      assert.equal(this.table.inFlight(slot), 0, 'every begin has its end');
      assert.equal(this.tally.slot(slot).wiresBusy, 0, 'no socket is open');
    }
    for (const { id } of this.plan.pools) assert.equal(this.tally.pool(id).retriesNow, 0, 'no retry is under way');
    for (const { count } of this.tally.counts().inFlight) assert.equal(count, 0, 'no session is under way');
    for (const client of this.clients) client.socket.close();
    for (const endpoint of this.endpoints) endpoint.stop();
    assert.equal(this.engine.sockets, 1, 'only the front is open');
    assert.equal(this.engine.blocks.largeAvailable, this.blocksLarge, 'every large block came back');
    assert.equal(this.engine.blocks.smallAvailable, this.blocksSmall, 'every small block came back');
  }

  private planOf(addresses: readonly Ip[], options: DatagramOptions): Plan {
    const { control } = this;
    const poolOf = (name: string, its: readonly Ip[]): PoolPlan => ({
      ...carriedPool(control, name, its, options.endpointMax ?? 0),
      protocol: 'udp',
      connections: { idleMax: 0, idleMs: 0, wiresMax: 0, warm: 0, requestsMax: 0, queueMax: 0, queueMs: 0 },
      ...options.pool,
    });
    const udp = { idleMs: 5000, responses: 0, sessionsMax: 10_000, sessionsPerIpMax: 0, whenFull: 'oldest' as const };
    return {
      ...plainPlan,
      epoch: 1,
      node: 'sim',
      listeners: [
        {
          ...frontListener(control, FRONT),
          protocol: 'udp',
          udp: { ...udp, ...options.udp },
          streams: [streamRoute('all', 0, { id: control.claimId('route', 'all'), ...options.route })],
        },
      ],
      pools: options.hasFallback
        ? [{ ...poolOf('pool', addresses.slice(0, -1)), fallback: 1 }, poolOf('reserve', addresses.slice(-1))]
        : [poolOf('pool', addresses)],
      routes: [],
    };
  }
}
