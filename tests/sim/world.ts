/**
 * A world in memory: clients, weir's listen + relay + upstream, endpoints, over the seeded driver. One number decides everything that happens.
 *
 * Every request carries a key, and the endpoint's answer repeats key and body, so that bytes that reached the wrong client are seen at once.
 */

import assert from 'node:assert/strict';
import { ClientAddress } from '../../src/base/client-address.ts';
import { Head, method } from '../../src/base/head.ts';
import { HeadPool } from '../../src/base/head-pool.ts';
import { Prng } from '../../src/base/prng.ts';
import {
  type AcceptOwner,
  type Address,
  addressText,
  closeHow,
  type TimerOwner,
  type Wire,
  type WireOwner,
} from '../../src/base/wire.ts';
import { MemoryEngine, Peer } from '../../src/io/memory.ts';
import { Clients, Listener } from '../../src/listen/listen.ts';
import { Http1Decoder, type Http1Limits } from '../../src/protocol/http1/http1.ts';
import type { MessageSink } from '../../src/protocol/message.ts';
import { BAD, MORE, NOT_THERE, ProxyLineReader } from '../../src/protocol/proxy-line/proxy-line.ts';
import { buildRuntime, Relay } from '../../src/relay/relay.ts';
import { admin, health } from '../../src/state/doors.ts';
import type { Plan } from '../../src/state/plan.ts';
import { ControlDoor, initTable, Tally, tableBytes, WorkerDoor } from '../../src/state/table.ts';
import { Upstream } from '../../src/upstream/upstream.ts';
import { limits, planOf, QUEUE_MAX, WEB, type WorldOptions } from './world-plan.ts';

export type { WorldOptions } from './world-plan.ts';

/** How an endpoint of the world behaves; each is the chance in percent that a request meets it. */
export interface Behaviour {
  /** Closes the connection after the answer, without having said so. */
  closesAfter: number;
  /** Closes (or resets) before it answers. */
  diesBefore: number;
  /** Sends half of the body and resets. */
  diesInBody: number;
  /** Answers with something that is not HTTP. */
  babbles: number;
  /** Never answers: the response timeout has to end it. */
  hangs: number;
  /** 103 before the answer. */
  hints: number;
  /** Takes its time, up to {@link SLOW_MS_MAX}. */
  dawdles: number;
  /** Answers 503. */
  refuses: number;
}
export const kind: Behaviour = {
  closesAfter: 0,
  diesBefore: 0,
  diesInBody: 0,
  babbles: 0,
  hangs: 0,
  hints: 20,
  dawdles: 0,
  refuses: 0,
};

/** How clients misbehave, in percent of the times they receive something. */
export interface Manners {
  /** Stops reading for a while. */
  dawdles: number;
  /** Goes away in the middle, with a reset or a close. */
  leaves: number;
}
export const polite: Manners = { dawdles: 0, leaves: 0 };

/** A client that dawdles looks again after at most this long; an endpoint that does answers. */
const DAWDLE_MS_MAX = 400;
const SLOW_MS_MAX = 300;
/** Time between two injected failures, and between two plans, at most. */
const SABOTAGE_MS_MAX = 60;
const RELOAD_MS_MAX = 30;
/** Time between two changes of an endpoint's health or admin state, at most. */
const FLAP_MS_MAX = 50;

// Kinds of timers of a client, and of the world.
const PUMP = 0;
const READ_ON = 1;
const SABOTAGE = 2;
const RELOAD = 3;
const FLAP = 4;
const ANSWER = 5;

/** Decodes one side with a head of its own. */
class Reader implements MessageSink {
  readonly decoder: Http1Decoder;
  readonly spare: Head;
  private kept: Buffer = Buffer.alloc(0);
  body: Buffer[] = [];
  private readonly side: 'request' | 'response';
  keepAlive = true;
  isLast = false;
  method = 0;
  onMessage: (key: string, status: number, body: Buffer) => void = () => {};

  constructor(side: 'request' | 'response') {
    this.side = side;
    this.decoder = new Http1Decoder(side, limits satisfies Http1Limits);
    this.spare = new Head(new Uint8Array(0), 200);
  }

  /** Returns the fault, 0 = none. */
  feed(bytes: Buffer): number {
    this.kept = Buffer.concat([this.kept, bytes]);
    let at = 0;
    while (at < this.kept.length && !this.isLast) {
      if (this.decoder.head === null) {
        this.spare.reset();
        this.spare.bytes = this.kept;
        this.decoder.head = this.spare;
      }
      this.decoder.head.bytes = this.kept;
      const count = this.decoder.feed(this.kept, at, this.kept.length, this);
      if (count < 0) return -count;
      at += count;
      if (count === 0) break;
    }
    this.kept = this.kept.subarray(at);
    return 0;
  }

  get hasPart(): boolean {
    return this.key !== '' || this.kept.length > 0;
  }
  key = '';
  /** Of the last head: who served, and Set-Cookie of a response, Cookie of a request. */
  endpoint = '';
  cookie = '';
  private status = 0;

  onHead(head: Head): void {
    if (this.side === 'response' && head.status < 200) return;
    const at = head.findName('x-key');
    this.key = at < 0 ? '-' : head.value(at);
    this.status = head.status;
    this.endpoint = textOf(head, 'x-endpoint');
    this.cookie = textOf(head, this.side === 'response' ? 'set-cookie' : 'cookie');
    this.keepAlive = head.keepAlive;
    this.method = head.method;
    this.body = [];
    this.decoder.head = null;
  }
  onBody(start: number, end: number): void {
    this.body.push(Buffer.from(this.kept.subarray(start, end)));
  }
  onTrailers(): void {}
  onEnd(): void {
    // What follows the last response is not read: where weir could not read the request it answers a HEAD with a body.
    this.isLast = this.side === 'response' && !this.keepAlive;
    const key = this.key;
    this.key = '';
    this.onMessage(key, this.status, Buffer.concat(this.body));
  }
}

function textOf(head: Head, name: string): string {
  const at = head.findName(name);
  return at < 0 ? '' : head.value(at);
}

/** What stands in front of the first request of a connection, if weir has to say there who the client is. */
class LineReader {
  /** Whom it named, "10.0.0.9:4711"; '' = nobody yet. */
  named = '';
  private kept: Buffer | null = Buffer.alloc(0);

  /** Takes the line off the bytes of the connection; null: there is more of it to come. */
  take(bytes: Buffer): Buffer | null {
    if (this.kept === null) return bytes;
    this.kept = Buffer.concat([this.kept, bytes]);
    const [client, server] = [new ClientAddress(), new ClientAddress()];
    const reader = new ProxyLineReader();
    const read = reader.read(this.kept, 0, this.kept.length, client, server);
    if (read === MORE) return null;
    assert.notEqual(read, BAD, reader.reason);
    const rest = read === NOT_THERE ? this.kept : this.kept.subarray(read);
    this.kept = null;
    if (read === NOT_THERE) return rest;
    assert.equal(`${server.text}:${server.port}`, addressText(WEB), 'the line says what the client connected to');
    this.named = `${client.text}:${client.port}`;
    return rest;
  }
}

/** An endpoint: repeats what it gets. */
class EchoConnection implements WireOwner, TimerOwner {
  private readonly world: World;
  private readonly wire: Wire;
  private readonly reader = new Reader('request');
  private readonly line = new LineReader();
  private requests = 0;
  private readonly name: string;
  private out: Buffer[] = [];
  private isGone = false;
  /** The answer that takes its time. */
  private late: { key: string; body: Buffer } | null = null;

  constructor(world: World, wire: Wire, name: string) {
    this.world = world;
    this.wire = wire;
    this.name = name;
    wire.owner = this;
    this.reader.onMessage = (key, _status, body) => this.answer(key, body);
  }

  onOpen(): void {}
  onBytes(_wire: Wire, _block: number, start: number, end: number): void {
    let bytes: Buffer | null = Buffer.from(this.world.engine.blocks.bytes.subarray(start, end));
    if ((this.world.options.lineVersion ?? 0) !== 0) bytes = this.line.take(bytes);
    if (bytes === null) return;
    const fault = this.reader.feed(bytes);
    assert.equal(fault, 0, `weir sent a request that is not valid: ${this.reader.decoder.faultDetail}`);
  }
  onRecvEnd(): void {
    this.shut(closeHow.flush);
  }
  onDrained(): void {
    this.pump();
  }
  onClosed(): void {
    this.isGone = true;
  }
  onTimer(timer: number): void {
    if (timer === PUMP) this.pump();
    else if (this.late !== null && !this.isGone) {
      const { key, body } = this.late;
      this.late = null;
      this.respond(key, body);
    }
  }

  private answer(key: string, body: Buffer): void {
    const { world } = this;
    const { random, behaviour } = world;
    world.arrived.set(key, (world.arrived.get(key) ?? 0) + 1);
    this.checkLine(key);
    assert.ok(!this.reader.cookie.includes('bound='), "weir's cookie stays with weir");
    if (random.chance(behaviour.dawdles)) {
      this.late = { key, body };
      world.engine.setTimer(random.below(SLOW_MS_MAX), this, ANSWER);
    } else this.respond(key, body);
  }

  /** What a line says of one client is never said of another. */
  private checkLine(key: string): void {
    const { askers, options } = this.world;
    this.requests++;
    if (this.line.named === '') {
      assert.ok(options.reloads === true || (options.lineVersion ?? 0) === 0, `nobody was named before ${key}`);
      return;
    }
    assert.equal(this.line.named, askers.get(key), `the line in front of ${key} names who asked`);
    assert.equal(this.requests, 1, 'one request to a connection');
    this.world.named++;
  }

  private respond(key: string, body: Buffer): void {
    const { world } = this;
    const { random, behaviour } = world;
    if (random.chance(behaviour.hangs)) return;
    if (random.chance(behaviour.diesBefore)) return this.shut(random.chance(50) ? closeHow.reset : closeHow.flush);
    if (random.chance(behaviour.babbles)) {
      this.put(Buffer.from('HTTP/1.1 2000 WAT\r\n\r\n'));
      return this.shutAfter();
    }
    const by = `x-endpoint: ${this.name}\r\n`;
    if (random.chance(behaviour.refuses)) {
      this.put(Buffer.from(`HTTP/1.1 503 Service Unavailable\r\nx-key: ${key}\r\n${by}content-length: 0\r\n\r\n`));
      return;
    }
    if (random.chance(behaviour.hints)) this.put(Buffer.from('HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n'));
    const isHead = this.reader.method === method.HEAD;
    const dies = random.chance(behaviour.diesInBody) && body.length > 1 && !isHead;
    const how = random.below(3);
    const shown = dies ? body.subarray(0, body.length >> 1) : body;
    if (isHead || how === 0) {
      this.put(Buffer.from(`HTTP/1.1 200 OK\r\nx-key: ${key}\r\n${by}content-length: ${body.length}\r\n\r\n`));
      if (!isHead) this.put(shown);
    } else if (how === 1) {
      this.put(Buffer.from(`HTTP/1.1 200 OK\r\nX-Key: ${key}\r\n${by}Transfer-Encoding: chunked\r\n\r\n`));
      for (let at = 0; at < shown.length; ) {
        const size = Math.min(shown.length - at, random.between(1, 5000));
        this.put(Buffer.from(size.toString(16) + '\r\n'));
        this.put(shown.subarray(at, at + size));
        this.put(Buffer.from('\r\n'));
        at += size;
      }
      if (!dies) this.put(Buffer.from('0\r\n\r\n'));
    } else {
      this.put(Buffer.from(`HTTP/1.0 200 OK\r\nx-key: ${key}\r\n${by}\r\n`));
      this.put(shown);
      // A body until close that is cut by a close cannot be told from a whole one: it has to be a reset.
      return dies ? this.shut(closeHow.reset) : this.shutAfter();
    }
    if (dies) this.shutAfter();
    else if (random.chance(behaviour.closesAfter)) this.shutAfter();
  }

  private closesWhenSent = false;
  private shutAfter(): void {
    this.closesWhenSent = true;
    this.pump();
  }
  private shut(how: number): void {
    if (this.isGone) return;
    this.isGone = true;
    this.wire.close(how);
  }
  private put(bytes: Buffer): void {
    this.out.push(bytes);
    this.pump();
  }
  private pump(): void {
    this.out = this.world.pump(this.wire, this.out, this.isGone, this);
    if (this.out.length === 0 && this.closesWhenSent) this.shut(closeHow.flush);
  }
}

/** What became of a request. */
export interface Outcome {
  key: string;
  /** 0: the connection ended without a whole answer. */
  status: number;
}

/** What a client keeps from one connection to the next. */
interface Jar {
  /** `name=value`, as weir set it. */
  cookie: string;
  /** Who served then. */
  endpoint: string;
}

interface Asked {
  key: string;
  body: Buffer;
  isHead: boolean;
}

/** A client that sends its requests one after the other, or several at once (pipelining), on one connection. */
class Client implements WireOwner, TimerOwner {
  private readonly world: World;
  private readonly wire: Wire;
  private readonly reader = new Reader('response');
  private readonly asked: Asked[];
  private readonly jar: Jar;
  private waiting: Asked[] = [];
  private out: Buffer[] = [];
  private isOpen = false;
  private isGone = false;

  constructor(world: World, asked: Asked[], jar: Jar) {
    this.world = world;
    this.asked = asked;
    this.jar = jar;
    this.wire = world.engine.dial(WEB, this);
    this.reader.onMessage = (key, status, body) => {
      const expected = this.waiting.shift()!;
      if (status === 200) {
        assert.equal(key, expected.key, 'an answer reached the client that did not ask for it');
        assert.ok(body.equals(expected.isHead ? Buffer.alloc(0) : expected.body), `the body of ${key} arrived as it was sent`);
      }
      if (status === 200) this.keepCookie();
      world.outcomes.push({ key: expected.key, status });
      if (this.reader.keepAlive) this.next();
      else if (this.isOpen) this.wire.close(closeHow.flush);
    };
  }

  /** Without a new cookie the answer has to come from where the last one bound the client to. */
  private keepCookie(): void {
    const { jar } = this;
    const { cookie, endpoint } = this.reader;
    if (cookie !== '') {
      jar.cookie = cookie.slice(0, cookie.indexOf(';'));
      jar.endpoint = endpoint;
    } else if (this.world.binds(endpoint)) {
      assert.equal(endpoint, jar.endpoint, 'a bound client was sent elsewhere');
      this.world.kept++;
    }
  }

  onOpen(): void {
    this.isOpen = true;
    this.next();
  }
  onBytes(_wire: Wire, _block: number, start: number, end: number): void {
    if (this.waiting.length > 0) this.reader.decoder.expect(this.waiting[0]!.isHead ? method.HEAD : method.GET);
    const fault = this.reader.feed(Buffer.from(this.world.engine.blocks.bytes.subarray(start, end)));
    assert.equal(fault, 0, `weir sent a response that is not valid: ${this.reader.decoder.faultDetail}`);
    if (!this.isOpen) return;
    const { random, manners, engine } = this.world;
    if (random.chance(manners.leaves)) {
      this.isOpen = false;
      this.wire.close(random.chance(50) ? closeHow.reset : closeHow.flush);
    } else if (random.chance(manners.dawdles)) {
      this.wire.pause();
      engine.setTimer(random.below(DAWDLE_MS_MAX), this, READ_ON);
    }
  }
  onRecvEnd(): void {
    this.reader.decoder.finish(this.reader);
    this.wire.close(closeHow.flush);
  }
  onDrained(): void {
    this.pump();
  }
  onTimer(kind: number): void {
    if (kind === PUMP) this.pump();
    else if (!this.isGone) this.wire.resume();
  }
  onClosed(): void {
    this.isOpen = false;
    this.isGone = true;
    for (const { key } of this.waiting) this.world.outcomes.push({ key, status: 0 });
    this.waiting = [];
    this.world.clientGone(this.asked.splice(0), this.jar);
  }

  private next(): void {
    const { random } = this.world;
    if (this.waiting.length > 0) return;
    // HEAD is never pipelined here: the reader has to know the method of the answer it reads.
    const count = (this.world.options.pipelines ?? true) && random.chance(20) ? random.between(2, 5) : 1;
    for (let i = 0; i < count; i++) {
      const asked = this.asked[0];
      if (asked === undefined || (i > 0 && (asked.isHead || this.waiting.some((w) => w.isHead)))) break;
      this.asked.shift();
      this.waiting.push(asked);
      this.send(asked);
    }
    if (this.waiting.length === 0) this.wire.close(closeHow.flush);
    else this.pump();
  }

  private send({ key, body, isHead }: Asked): void {
    const { random, askers } = this.world;
    askers.set(key, this.wire.local());
    const cookie = this.jar.cookie === '' ? '' : `Cookie: a=1; ${this.jar.cookie}; b=2\r\n`;
    const start = `${isHead ? 'HEAD' : body.length === 0 ? 'GET' : 'POST'} /${key}?q=1 HTTP/1.1\r\nHost: sim\r\n${cookie}X-Key: ${key}\r\n`;
    if (isHead || body.length === 0) this.out.push(Buffer.from(start + '\r\n'));
    else if (random.chance(50)) this.out.push(Buffer.from(`${start}Content-Length: ${body.length}\r\n\r\n`), body);
    else {
      this.out.push(Buffer.from(start + 'Transfer-Encoding: chunked\r\n\r\n'));
      for (let at = 0; at < body.length; ) {
        const size = Math.min(body.length - at, random.between(1, 9000));
        this.out.push(Buffer.from(`${size.toString(16)}\r\n`), body.subarray(at, at + size), Buffer.from('\r\n'));
        at += size;
      }
      this.out.push(Buffer.from('0\r\n\r\n'));
    }
  }
  private pump(): void {
    this.out = this.world.pump(this.wire, this.out, !this.isOpen, this);
  }
}

/** Looks at every count as it is made. */
class WatchedDoor extends WorkerDoor {
  waitingMax = Infinity;
  requestsMax = Infinity;
  /** The most there were at once. */
  mostWaiting = 0;
  mostRetries = 0;

  override begin(slot: number): void {
    super.begin(slot);
    assert.ok(this.inFlight(slot) <= this.requestsMax, 'no endpoint has more than its limit');
  }
  override end(slot: number, faultId: number, status: number, responseMs: number): void {
    super.end(slot, faultId, status, responseMs);
    assert.ok(this.inFlight(slot) >= 0, 'every end has its begin');
  }
  override queue(pool: number, delta: number): void {
    super.queue(pool, delta);
    const length = this.poolQueued(pool);
    assert.ok(length >= 0 && length <= this.waitingMax, `${length} wait`);
    this.mostWaiting = Math.max(this.mostWaiting, length);
  }
  override retriesInFlight(pool: number, delta: number): void {
    super.retriesInFlight(pool, delta);
    const count = this.poolRetries(pool);
    assert.ok(count >= 0, 'every retry that ends began');
    this.mostRetries = Math.max(this.mostRetries, count);
  }
}

export class World implements TimerOwner {
  readonly engine: MemoryEngine;
  readonly random: Prng;
  readonly behaviour: Behaviour;
  readonly manners: Manners;
  readonly table: WatchedDoor;
  readonly control: ControlDoor;
  readonly tally: Tally;
  /** Answers that came from where the client was bound to. */
  kept = 0;
  readonly clients = new Clients(1);
  readonly upstream: Upstream;
  readonly listener: Listener;
  /** How often an endpoint saw each key. */
  readonly arrived = new Map<string, number>();
  /** The address each key was asked from, the last time. */
  readonly askers = new Map<string, string>();
  /** Requests whose client was named to the endpoint. */
  named = 0;
  readonly outcomes: Outcome[] = [];
  readonly options: WorldOptions;
  /** With every endpoint. */
  readonly plan: Plan;
  readonly relay: Relay;
  private readonly buffer: ArrayBuffer;
  private epoch = 1;
  private keys = 0;
  private isOver = false;
  /** Requests with a body: they may be sent to an endpoint once only. */
  private readonly posts = new Set<string>();
  private blocksLarge: number;
  private blocksSmall: number;

  constructor(options: WorldOptions) {
    this.options = options;
    this.engine = new MemoryEngine({
      seed: options.seed,
      largeCount: 512,
      smallCount: 512,
      kernelBytesMax: options.kernelBytesMax ?? 16 * 1024,
      splitting: options.splitting ?? 'random',
    });
    const { engine } = this;
    this.blocksLarge = engine.blocks.largeAvailable;
    this.blocksSmall = engine.blocks.smallAvailable;
    this.random = new Prng(options.seed ^ 0x5eed);
    this.behaviour = { ...kind, ...options.behaviour };
    this.manners = { ...polite, ...options.manners };
    const buffer = new ArrayBuffer(tableBytes());
    this.buffer = buffer;
    initTable(buffer);
    const control = new ControlDoor(buffer);
    this.control = control;
    this.tally = new Tally(buffer);
    this.table = new WatchedDoor(buffer, control.claimStripe());
    // Who waits for a wire is counted there too, with a limit of its own for each endpoint.
    if (options.wiresMax === undefined) this.table.waitingMax = options.queueMax ?? QUEUE_MAX;
    if (options.requestsMax !== undefined && options.fallback === undefined) this.table.requestsMax = options.requestsMax;
    engine.onTurn = () => {
      this.table.heartbeat(engine.now);
      this.relay.onTurn();
    };
    const addresses: Address[] = [];
    for (let i = 0; i < (options.endpoints ?? 3); i++) addresses.push({ kind: 'ip', host: '10.0.1.1', port: 8001 + i });
    const working = addresses.length;
    for (let i = 0; i < (options.refusing ?? 0); i++) addresses.push({ kind: 'ip', host: '10.0.2.1', port: 8001 + i });
    for (let i = 0; i < (options.deaf ?? 0); i++) {
      const address: Address = { kind: 'ip', host: '10.0.3.1', port: 8001 + i };
      addresses.push(address);
      engine.deafen(address);
    }
    const spares: Address[] = [];
    for (let i = 0; i < (options.fallback ?? 0); i++) spares.push({ kind: 'ip', host: '10.0.4.1', port: 8001 + i });
    this.plan = planOf(control, addresses, spares, options);
    for (const pool of this.plan.pools) for (const { slot } of pool.endpoints) control.setHealth(slot, health.up);
    for (const address of [...addresses.slice(0, working), ...spares]) {
      const name = addressText(address);
      const owner: AcceptOwner = {
        onAccept: (wire) => (this.endpointTaker.take ?? ((w: Wire) => void new EchoConnection(this, w, name)))(wire),
        onAcceptFault: (_errno, acceptor) => void engine.setTimer(10, { onTimer: () => acceptor.resume() }, 0),
      };
      engine.accept(engine.listenAt(address), owner);
    }
    const heads = new HeadPool(engine.blocks.bytes, 200);
    const { table } = this;
    const { blocks } = engine;
    this.upstream = new Upstream({ engine, blocks, heads, table, responseLimits: { ...limits, headBytesMax: 60 * 1024 } });
    const relay = new Relay({
      engine,
      blocks,
      heads,
      table,
      random: () => this.random.uint32(),
      wallClock: () => engine.now,
      idPrefix: 'sim-',
      onTunnel: () => {},
      onExchange: () => {},
      onSession: () => {},
    });
    this.relay = relay;
    this.force(this.plan);
    this.listener = new Listener(this.plan.listeners[0]!, 0, { engine, blocks, heads, table, taker: relay }, this.clients, null);
    this.listener.serve([{ fd: engine.listenAt(WEB) }]);
    if (options.sabotage === true) engine.setTimer(0, this, SABOTAGE);
    if (options.reloads === true) engine.setTimer(RELOAD_MS_MAX, this, RELOAD);
    if (options.flaps === true) engine.setTimer(FLAP_MS_MAX, this, FLAP);
  }

  onTimer(kind: number): void {
    if (this.isOver) return;
    if (kind === SABOTAGE) this.prepareFailure();
    else if (kind === FLAP) this.flap();
    else this.reload();
  }

  /** One endpoint of the first pool changes its state. */
  private flap(): void {
    const { engine, random, control } = this;
    const { endpoints } = this.plan.pools[0]!;
    const { slot } = endpoints[random.below(endpoints.length)]!;
    control.setHealth(slot, random.chance(60) ? health.up : health.down);
    control.setAdmin(slot, random.chance(80) ? admin.ready : admin.drain);
    control.setKeeps(slot, random.chance(50));
    engine.setTimer(random.below(FLAP_MS_MAX), this, FLAP);
  }

  private force(plan: Plan): void {
    const runtime = buildRuntime(plan, this.table);
    runtime.endpoints = this.upstream.apply(plan);
    this.relay.runtime = runtime;
  }

  /** Puts another plan in force. */
  use(plan: Plan): void {
    this.force(plan);
    this.listener.update(plan.listeners[0]!, 0, null);
  }

  /** The door of one more worker, of which there is nothing else. */
  anotherWorker(): WorkerDoor {
    return new WorkerDoor(this.buffer, this.control.claimStripe());
  }

  private reload(): void {
    const { engine, random, plan } = this;
    const [pool, ...others] = plan.pools;
    let endpoints = pool!.endpoints.filter(() => random.chance(60));
    if (endpoints.length === 0) endpoints = [pool!.endpoints[random.below(pool!.endpoints.length)]!];
    const proxyProtocol = this.epoch % 2 === 0 ? pool!.proxyProtocol : 0;
    this.use({ ...plan, epoch: ++this.epoch, pools: [{ ...pool!, endpoints, proxyProtocol }, ...others] });
    engine.setTimer(random.below(RELOAD_MS_MAX), this, RELOAD);
  }

  /** One more failure is prepared; it strikes whoever comes first. */
  private prepareFailure(): void {
    const { engine, random } = this;
    const { faults, blocks } = engine;
    const kind = random.below(5);
    if (kind === 0) faults.dialIn = random.between(1, 5);
    else if (kind === 1) faults.sendIn = random.between(1, 20);
    else if (kind === 2) faults.acceptIn = random.between(1, 5);
    else if (kind === 3) faults.resetInBytes = random.between(1, 50_000);
    else blocks.failIn = random.between(1, 40);
    engine.setTimer(random.below(SABOTAGE_MS_MAX), this, SABOTAGE);
  }

  /** A client that sends what the test says. */
  peer(): Peer {
    return new Peer(this.engine).dial(WEB);
  }

  /** Takes the place of the endpoints: connections to them go to `take`. */
  readonly endpointTaker: { take: ((wire: Wire) => void) | null } = { take: null };

  /** Are clients bound to this endpoint, and can they know it before they ask again? */
  binds(endpoint: string): boolean {
    const { sticky, pipelines } = this.options;
    return sticky === true && pipelines === false && this.plan.pools[0]!.endpoints.some((e) => e.address === endpoint);
  }

  /** Starts a client with so many requests. */
  client(requests: number): void {
    const asked: Asked[] = [];
    for (let i = 0; i < requests; i++) asked.push(this.ask());
    new Client(this, asked, { cookie: '', endpoint: '' });
  }

  /** What a client could not ask any more is asked on a new connection. */
  clientGone(rest: Asked[], jar: Jar): void {
    if (rest.length > 0) new Client(this, rest, jar);
  }

  /** Runs until every one of `count` requests has an outcome, then until all is silent, and looks for leaks. */
  finish(count: number): void {
    this.engine.runUntil(() => this.outcomes.length >= count, 3_600_000);
    this.isOver = true;
    const { faults, blocks } = this.engine;
    faults.dialIn = faults.sendIn = faults.acceptIn = faults.resetInBytes = blocks.failIn = 0;
    this.engine.runUntil(() => this.clients.count === 0, 200_000);
    this.upstream.retireAll();
    this.engine.runFor(5000);
    const keys = new Set(this.outcomes.map((outcome) => outcome.key));
    assert.equal(keys.size, this.outcomes.length, 'every request has one outcome');
    // As many tries as there may be, and another on a new connection when a kept one was stale.
    const timesMax = this.plan.routes[0]!.retry.attempts + 1;
    for (const [key, times] of this.arrived) {
      assert.ok(times <= (this.posts.has(key) ? 1 : timesMax), `${key} arrived ${times} times`);
    }
    this.checkCounts();
    assert.equal(this.engine.sockets, 0, 'every connection is closed');
    assert.equal(this.engine.blocks.largeAvailable, this.blocksLarge, 'every large block came back');
    assert.equal(this.engine.blocks.smallAvailable, this.blocksSmall, 'every small block came back');
  }

  /** Nothing is under way: every gauge says so. */
  private checkCounts(): void {
    const { table, tally } = this;
    for (const pool of this.plan.pools) {
      for (const { slot } of pool.endpoints) {
        assert.equal(table.inFlight(slot), 0, 'every begin has its end');
        assert.equal(tally.remaining(slot).tunnels, 0, 'every tunnel has its end');
      }
      assert.equal(table.poolInFlight(pool.endpoints[0]!.slot), 0);
      assert.equal(table.poolQueued(pool.id), 0, 'nobody waits');
      assert.equal(table.poolRetries(pool.id), 0, 'no retry is under way');
    }
    for (const { count } of tally.counts().inFlight) assert.equal(count, 0, 'no exchange is under way');
    assert.equal(this.relay.waiting, 0);
  }

  /** Sends what fits; returns the rest. */
  pump(wire: Wire, out: Buffer[], isGone: boolean, owner: TimerOwner): Buffer[] {
    const { engine } = this;
    const { blocks } = engine;
    while (out.length > 0 && !isGone && wire.isOpen) {
      if (wire.queued > 32 * 1024) {
        wire.drainBelow = 8 * 1024;
        break;
      }
      const block = blocks.takeSmall();
      if (block < 0) {
        engine.setTimer(5, owner, PUMP);
        break;
      }
      const start = blocks.start(block);
      const bytes = out[0]!;
      const size = Math.min(bytes.length, blocks.size(block));
      blocks.bytes.set(bytes.subarray(0, size), start);
      if (size > 0) wire.send(block, start, start + size);
      blocks.release(block);
      if (size === bytes.length) out.shift();
      else out[0] = bytes.subarray(size);
    }
    return isGone ? [] : out;
  }

  private ask(): Asked {
    const { random } = this;
    const key = `k${this.keys++}`;
    const dice = random.below(10);
    const size = dice < 4 ? 0 : dice < 8 ? random.between(1, 3000) : random.between(1, this.options.bodyBytesMax ?? 60_000);
    const body = Buffer.alloc(size);
    for (let i = 0; i < size; i++) body[i] = (i * 31 + this.keys * 7) & 255;
    if (size > 0 && dice !== 0) this.posts.add(key);
    return { key, body: body, isHead: dice === 0 };
  }
}
