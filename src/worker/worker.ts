/**
 * worker: composition root of one data-plane process. Wiring only: it maps the table, opens the loop, and puts listen, relay and upstream together for each plan.
 *
 * Life: hello -> plan, ready -> in force when the table's epoch says so -> ... -> drain -> drained, exit.
 * When control dies, the channel ends and the worker goes on with the last plan until it is told to leave by SIGTERM.
 */
import { randomBytes, randomInt } from 'node:crypto';
import { getHeapStatistics } from 'node:v8';
import { Bug } from '../base/assert.ts';
import { HeadPool } from '../base/head-pool.ts';
import { pipesMaxOf } from '../base/pipe-share.ts';
import { Prng } from '../base/prng.ts';
import { sharedClockOffsetMs } from '../base/shared-clock.ts';
import { addressText, type Engine, type TimerOwner } from '../base/wire.ts';
import { openEngine } from '../io/io.ts';
import { Clients, Listener, UdpListener } from '../listen/listen.ts';
import {
  buildRuntime,
  type DatagramSession,
  type Exchange,
  isSampled,
  LineWriter,
  LogRecord,
  Relay,
  type Runtime,
  type Tunnel,
} from '../relay/relay.ts';
import {
  DESCRIPTORS_PER_DATAGRAM,
  type DownMessage,
  isSocketOf,
  type SocketRef,
  socketKey,
  type WorkerStart,
} from '../state/channel.ts';
import { clientsMaxOf, sessionsMaxOf } from '../state/client-share.ts';
import type { AccessLogPlan, Plan } from '../state/plan.ts';
import { tableBytes, WorkerDoor } from '../state/table.ts';
import { close, mapShared, prctl, recvDescriptors } from '../sys/libc.ts';
import { Upstream, type UpstreamParts } from '../upstream/upstream.ts';
import { Channel } from './channel.ts';
import { ListenersTls } from './listeners-tls.ts';
import { LogWriter } from './log-writer.ts';

/** Lets any process of the same user take our descriptors (pidfd_getfd) under Yama: the next control process does (prctl(2), Linux 3.4). */
const PR_SET_PTRACER = 0x59616d61;
const PR_SET_PTRACER_ANY = -1;
/** A socket that left the plan is served this much longer, so that connections already in its queue get an answer. */
const SOCKET_LINGER_MS = 500;
/** In a drain, a client that has been idle this long is not about to send. */
const DRAIN_IDLE_MS = 1000;
const DRAIN_LOOK_MS = 20;
const PROCESS_LOOK_MS = 1000;

/** What is accepted of a response head: threats, 2.5. */
const responseLimits: UpstreamParts['responseLimits'] = {
  headBytesMax: 60 * 1024,
  fieldBytesMax: 32 * 1024,
  fieldsMax: 200,
  targetBytesMax: 0,
  bodyBytesMax: 0,
  chunkExtensionBytesMax: 4096,
  underscores: 'allow',
};

const timer = Object.freeze({ process: 0, drain: 1, drainIdle: 2, hardStop: 3, sockets: 4 });

class Worker implements TimerOwner {
  private readonly start: WorkerStart;
  private readonly engine: Engine;
  private readonly table: WorkerDoor;
  private readonly heads: HeadPool;
  private readonly relay: Relay;
  private readonly upstream: Upstream;
  private readonly clients = new Clients(randomInt(2 ** 32));
  private readonly channel: Channel;
  private readonly log: LogWriter<LogRecord>;
  private lines: LineWriter | null = null;
  private access: AccessLogPlan | null = null;
  private readonly random: Prng;
  private readonly tunnelRecord = new LogRecord();
  /** By listener id; those of datagrams by its complement, so that a listener that changes its kind is another one. */
  private readonly listeners = new Map<number, Listener | UdpListener>();
  /** Listening sockets held; a key may have several. */
  private sockets: SocketRef[];
  /** Those that came with the plan in `next`. */
  private newSockets: SocketRef[] = [];
  private retiring: SocketRef[] = [];
  private readonly tls: ListenersTls;
  private next: { plan: Plan; runtime: Runtime } | null = null;
  private epoch = -1;
  private isDraining = false;
  private isOrphan = false;
  private cut = 0;
  private cpu = process.cpuUsage();
  private cpuAtMs = performance.now();

  constructor(start: WorkerStart) {
    this.start = start;
    const opened = openEngine(start.engine, { pipesMax: pipesMaxOf(start.descriptorsMax) });
    this.engine = opened.engine;
    const { engine } = this;
    this.table = new WorkerDoor(mapShared(start.tableFd, tableBytes()).buffer, start.stripe, sharedClockOffsetMs);
    this.heads = new HeadPool(engine.blocks.bytes, responseLimits.fieldsMax);
    this.random = new Prng(randomInt(2 ** 32));
    const { random } = this;
    const { heads, table } = this;
    const { blocks } = engine;
    this.upstream = new Upstream({ engine, blocks, heads, table, responseLimits });
    this.log = new LogWriter(engine, table, (record, bytes, at, end) => this.lines!.write(record, bytes, at, end));
    this.relay = new Relay({
      engine,
      blocks,
      heads,
      table,
      random: () => random.uint32(),
      wallClock: Date.now,
      idPrefix: randomBytes(6).toString('base64url').replace(/[-_]/g, 'z') + start.stripe.toString(36) + '-',
      onExchange: (exchange) => this.logExchange(exchange),
      onTunnel: (tunnel) => this.logTunnel(tunnel),
      onSession: (session) => this.logSession(session),
    });
    this.tls = new ListenersTls(engine);
    this.sockets = start.sockets;
    this.channel = new Channel(
      engine,
      start.channelFd,
      (message) => this.onMessage(message),
      () => this.onControlGone(),
    );
    engine.onTurn = () => this.onTurn();
    engine.setTimer(PROCESS_LOOK_MS, this, timer.process);
    this.channel.send({ type: 'hello', pid: process.pid, engine: engine.name as 'uring' | 'epoll', why: opened.why });
  }

  run(): Promise<void> {
    return this.engine.run();
  }

  /** Stops accepting, lets what is under way finish, then leaves. */
  drain(gracefulMs: number, hardStopMs: number): void {
    if (this.isDraining) return;
    this.isDraining = true;
    this.clients.isDraining = true;
    for (const listener of this.listeners.values()) listener.stop(this.isOrphan);
    this.engine.setTimer(Math.min(DRAIN_IDLE_MS, gracefulMs), this, timer.drainIdle);
    this.engine.setTimer(hardStopMs, this, timer.hardStop);
    this.engine.setTimer(0, this, timer.drain);
  }

  onTimer(kind: number): void {
    const { engine, clients } = this;
    switch (kind) {
      case timer.process:
        engine.setTimer(PROCESS_LOOK_MS, this, timer.process);
        this.lookAtProcess();
        break;
      case timer.drainIdle:
        while (clients.shedOldest());
        // Those that finish from here on say Connection: close; those that fell idle since go at the next look.
        engine.setTimer(DRAIN_IDLE_MS, this, timer.drainIdle);
        break;
      case timer.hardStop:
        this.cut = clients.count;
        for (const client of clients.every()) client.cut();
        for (const listener of this.listeners.values()) if (listener instanceof UdpListener) this.cut += listener.cut();
        break;
      case timer.drain:
        if (clients.count === 0 && this.relay.sessions === 0) this.leave();
        else engine.setTimer(DRAIN_LOOK_MS, this, timer.drain);
        break;
      case timer.sockets:
        this.closeRetired();
        break;
    }
  }

  private onMessage(message: DownMessage): void {
    switch (message.type) {
      case 'plan':
        this.takePlan(message.plan, message.newSockets);
        break;
      case 'forget':
        this.forget(message.epoch);
        break;
      case 'drain':
        this.drain(message.gracefulMs, message.hardStopMs);
        break;
      case 'stop':
        process.exit(0);
        break;
      case 'tickets':
        this.tls.setTickets(message.keys);
        break;
      case 'reopen':
        this.tryLog(() => this.log.reopen());
        break;
      case 'find':
      case 'recent':
      case 'connections':
        this.channel.send(this.relay.lookBack(message));
        break;
    }
  }

  /** Control has died: this worker goes on serving the plan in force, until a signal ends it. */
  private onControlGone(): void {
    this.isOrphan = true;
    if (this.next !== null) this.forget(this.next.plan.epoch);
    // Without a plan in force it serves nobody, and nobody would ever end it.
    if (this.epoch < 0) process.exit(0);
  }

  /** SIGTERM: an orphan drains by its plan's own times; with a living control process, control says what to do. */
  onTerminate(): void {
    if (!this.isOrphan) return;
    const { gracefulMs } = this.relay.runtime?.plan.drain ?? { gracefulMs: 0 };
    this.drain(gracefulMs, gracefulMs);
  }

  private takePlan(plan: Plan, newKeys: string[]): void {
    try {
      this.newSockets = [];
      for (let at = 0; at < newKeys.length; at += DESCRIPTORS_PER_DATAGRAM) {
        const fds: number[] = [];
        recvDescriptors(this.start.fdPassFd, new Uint8Array(64), fds);
        const keys = newKeys.slice(at, at + DESCRIPTORS_PER_DATAGRAM);
        keys.forEach((key, i) => {
          if (fds[i] !== undefined) this.newSockets.push({ key, fd: fds[i] });
        });
      }
      if (this.newSockets.length !== newKeys.length) throw new Bug('a listening socket did not arrive');
      this.heads.atLeast(Math.max(...plan.listeners.map((l) => l.limits.fieldsMax), responseLimits.fieldsMax));
      this.tls.prepare(plan);
      this.next = { plan, runtime: buildRuntime(plan, this.table) };
      this.channel.send({ type: 'ready', epoch: plan.epoch });
    } catch (error) {
      this.forget(plan.epoch);
      this.channel.send({ type: 'refused', epoch: plan.epoch, reason: String(error instanceof Error ? error.message : error) });
    }
  }

  private forget(epoch: number): void {
    if (this.next !== null && this.next.plan.epoch === epoch) this.next = null;
    this.tls.forget(epoch);
    for (const { fd } of this.newSockets) close(fd);
    this.newSockets = [];
  }

  private logExchange(exchange: Exchange): void {
    const record = exchange.fillRecord(Date.now());
    if (this.access !== null && isSampled(this.access, record, this.random.uint32())) this.log.write(record);
  }

  private logTunnel(tunnel: Tunnel): void {
    const record = tunnel.fillRecord(this.tunnelRecord, Date.now());
    if (this.access !== null && isSampled(this.access, record, this.random.uint32())) this.log.write(record);
  }

  private logSession(session: DatagramSession): void {
    const record = session.fillRecord(this.tunnelRecord, Date.now());
    if (this.access !== null && isSampled(this.access, record, this.random.uint32())) this.log.write(record);
  }

  /** The top of each turn: the only place where a plan comes into force. */
  private onTurn(): void {
    const { table, engine, next } = this;
    table.heartbeat(engine.now);
    this.relay.onTurn();
    if (next !== null && table.epoch() >= next.plan.epoch && next.plan.epoch > this.epoch) this.force(next.plan, next.runtime);
  }

  private force(plan: Plan, runtime: Runtime): void {
    this.next = null;
    this.epoch = plan.epoch;
    this.tls.force();
    runtime.endpoints = this.upstream.apply(plan);
    runtime.streamEndpoints = this.upstream.streamEndpoints;
    runtime.datagramEndpoints = this.upstream.datagramEndpoints;
    this.relay.runtime = runtime;
    this.clients.countMax = clientsMaxOf(plan, this.start.descriptorsMax);
    this.relay.sessionsMax = sessionsMaxOf(plan, this.start.descriptorsMax);
    this.useLog(plan);
    const parts = { engine: this.engine, blocks: this.engine.blocks, heads: this.heads, table: this.table, taker: this.relay };
    this.sockets.push(...this.newSockets);
    this.newSockets = [];
    const named = new Set<string>();
    for (const listener of plan.listeners)
      for (const address of listener.addresses) named.add(socketKey(listener, addressText(address)));
    // A socket that left the plan is served a little longer, so that what waits in its queue gets an answer.
    this.retiring.push(...this.sockets.filter((s) => !named.has(s.key)));
    this.sockets = this.sockets.filter((s) => named.has(s.key));
    if (this.retiring.length > 0) this.engine.setTimer(SOCKET_LINGER_MS, this, timer.sockets);
    const kept = new Set<number>();
    plan.listeners.forEach((listenerPlan, index) => {
      const isUdp = listenerPlan.protocol === 'udp';
      const key = isUdp ? ~listenerPlan.id : listenerPlan.id;
      kept.add(key);
      const tls = this.tls.of(index);
      let listener = this.listeners.get(key);
      if (listener === undefined) {
        listener = isUdp
          ? new UdpListener(listenerPlan, index, parts)
          : new Listener(listenerPlan, index, parts, this.clients, tls);
        this.listeners.set(key, listener);
      } else if (listener instanceof Listener) listener.update(listenerPlan, index, tls);
      else listener.update(listenerPlan, index);
      const sockets = [...this.sockets, ...this.retiring].filter((s) => isSocketOf(listenerPlan, s.key));
      if (!this.isDraining) listener.serve(sockets);
    });
    for (const [key, listener] of this.listeners) if (!kept.has(key)) listener.index = -1;
    this.table.inForce(plan.epoch);
  }

  private closeRetired(): void {
    const { retiring } = this;
    this.retiring = [];
    const gone = new Set(retiring.map((r) => r.fd));
    for (const [id, listener] of this.listeners) {
      listener.leave(gone);
      if (listener.index < 0 && listener instanceof Listener) listener.forgetTls();
      if (listener.index < 0 && listener.connections === 0) this.listeners.delete(id);
    }
    for (const { fd } of retiring) close(fd);
  }

  private useLog(plan: Plan): void {
    const { access } = plan;
    this.access = access;
    this.lines = access === null ? null : new LineWriter(access.format, access.redactQuery, plan.node, this.start.slot);
    this.relay.isLogging = access !== null;
    this.relay.logsFields = this.lines?.wantsFields ?? false;
    this.tryLog(() => this.log.open(access === null ? '' : access.to));
  }

  private tryLog(open: () => void): void {
    try {
      open();
    } catch (error) {
      this.channel.send({
        type: 'event',
        level: 'error',
        msg: 'the access log cannot be opened',
        fields: { error: String(error) },
      });
    }
  }

  private lookAtProcess(): void {
    const { engine } = this;
    const now = performance.now();
    const cpu = process.cpuUsage(this.cpu);
    const busy = (cpu.user + cpu.system) / 1000 / (now - this.cpuAtMs);
    this.cpu = process.cpuUsage();
    this.cpuAtMs = now;
    const { blocks, stats } = engine;
    this.table.process(
      Math.min(1, busy),
      // process.memoryUsage() reads a file besides, and throws when no descriptor is left.
      getHeapStatistics().used_heap_size,
      blocks.largeAvailable + blocks.smallAvailable,
      stats.enters,
      stats.completions,
      stats.overflows,
      stats.dropped,
    );
  }

  private leave(): void {
    this.upstream.retireAll();
    this.channel.send({ type: 'drained', cut: this.cut });
    // One more turn of the loop, so that the message leaves.
    const until = performance.now() + 200;
    const look = () => {
      if (this.channel.queued > 0 && performance.now() < until) setTimeout(look, 5);
      else process.exit(0);
    };
    setTimeout(look, 5);
  }
}

const start = JSON.parse(process.argv[2] ?? '{}') as WorkerStart;
prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY);
// Control says when to leave. An orphan is asked by signal; what a terminal sends to everybody is not for us.
process.on('SIGINT', () => {});
process.on('SIGHUP', () => {});
process.on('SIGUSR1', () => {});
process.on('SIGUSR2', () => {});
const worker = new Worker(start);
process.on('SIGTERM', () => worker.onTerminate());
await worker.run();
