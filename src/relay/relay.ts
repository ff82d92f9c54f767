/**
 * relay: the one place where the steps meet. Takes requests from listen/, carries each through one Exchange, and reports what became of it.
 *
 * It does not know: sockets, HTTP's bytes, how an endpoint is chosen or a wire is kept.
 */

import { PoolQueue, type Waiter } from '../balance/balance.ts';
import type { Blocks } from '../base/blocks.ts';
import type { ClientAddress } from '../base/client-address.ts';
import type { DatagramSink } from '../base/datagram-client.ts';
import { fault } from '../base/faults.ts';
import type { Head } from '../base/head.ts';
import type { HeadPool } from '../base/head-pool.ts';
import type { ClientStream } from '../base/stream.ts';
import type { StreamClient } from '../base/stream-client.ts';
import { closeHow, type Engine } from '../base/wire.ts';
import type { FoundMessage } from '../state/channel.ts';
import { protocol, rejection, type WorkerWriter } from '../state/doors.ts';
import { isByName } from '../state/plan.ts';
import { CarriedList } from './carried.ts';
import type { DatagramSession } from './datagram-session.ts';
import { Datagrams } from './datagrams.ts';
import { Exchange, type ListenerFacts } from './exchange.ts';
import { Hedge } from './hedge.ts';
import { takeBad, takeRequest } from './intake.ts';
import { Recorder } from './recorder.ts';
import { foundIn, type RecorderQuestion } from './recorder-answers.ts';
import { ownNumber } from './recorder-ring.ts';
import type { Runtime } from './runtime.ts';
import { Tunnel } from './tunnel.ts';

export { isSampled, LineWriter, LogRecord } from './access-log.ts';
export type { DatagramSession } from './datagram-session.ts';
export type { Exchange, ListenerFacts } from './exchange.ts';
export { buildRuntime, type Runtime } from './runtime.ts';
export type { Tunnel } from './tunnel.ts';

/** Exchanges kept for reuse, and hedges. */
const KEPT_MAX = 4096;
const HEDGES_KEPT_MAX = 256;

/** What relay/ is given by the worker. */
export interface RelayParts {
  readonly engine: Engine;
  readonly blocks: Blocks;
  readonly heads: HeadPool;
  readonly table: WorkerWriter;
  /** Uniform 32-bit numbers. */
  readonly random: () => number;
  /** Wall clock, ms since 1970. */
  readonly wallClock: () => number;
  /** Start of every request id of this process: unique among processes. */
  readonly idPrefix: string;
  /** Told of every finished exchange while isLogging, before it is cleared: the access log. */
  readonly onExchange: (exchange: Exchange) => void;
  /** The same for connections that were carried as they are. */
  readonly onTunnel: (tunnel: Tunnel) => void;
  /** The same for the datagrams of one client. */
  readonly onSession: (session: DatagramSession) => void;
}

export class Relay {
  readonly engine: Engine;
  readonly blocks: Blocks;
  readonly heads: HeadPool;
  readonly table: WorkerWriter;
  readonly random: () => number;
  /** The plan in force. An exchange keeps the one it began under. */
  runtime: Runtime | null = null;
  /** There is an access log; it wants User-Agent and Referer too. */
  isLogging = false;
  logsFields = false;
  /** Exchanges that wait in a pool's queue, over all pools. */
  waiting = 0;
  /** Clients of all UDP listeners that are remembered, and how many may be: each holds a descriptor. */
  sessions = 0;
  sessionsMax = 65_536;
  readonly recorder: Recorder;
  readonly carried = new CarriedList();
  private readonly parts: RelayParts;
  private readonly kept: Exchange[] = [];
  private readonly keptHedges: Hedge[] = [];
  /** By pool id + 1; made when somebody has to wait for the first time. A queue outlives plans, like the id. */
  private readonly queues: (PoolQueue | undefined)[] = [];
  private requestCount = 0;
  private dateText = '';
  private dateSecond = -1;

  constructor(parts: RelayParts) {
    this.parts = parts;
    this.engine = parts.engine;
    this.blocks = parts.blocks;
    this.heads = parts.heads;
    this.table = parts.table;
    this.random = parts.random;
    this.recorder = new Recorder(parts.idPrefix, parts.engine.now);
  }

  /** The top of each turn. */
  onTurn(): void {
    this.carried.look(this.table);
  }

  onRequest(client: ClientStream, listener: ListenerFacts, head: Head): void {
    takeRequest(this.take(), client, listener, head);
  }

  onBadRequest(client: ClientStream, listener: ListenerFacts, faultId: number, detail: string): void {
    takeBad(this.take(), client, listener, faultId, detail);
  }

  onStream(
    client: StreamClient,
    listener: ListenerFacts,
    serverName: string,
    alpn: readonly string[],
    block: number,
    start: number,
    end: number,
  ): void {
    const route = listener.index < 0 ? null : this.runtime!.streams[listener.index]!.match(serverName, alpn, client.address);
    if (route === null) {
      this.refuseStream(client, listener);
      return;
    }
    new Tunnel(this, client, listener, route).begin(block, start, end);
  }

  carriesByName(listener: ListenerFacts, serverName: string, alpn: readonly string[], client: ClientAddress): boolean {
    if (listener.index < 0) return false;
    const route = this.runtime!.streams[listener.index]!.match(serverName, alpn, client);
    return route !== null && isByName(route.plan);
  }

  /** What a UDP listener receives is for it. */
  openDatagrams(listener: ListenerFacts): DatagramSink {
    return new Datagrams(this, listener);
  }

  /** No stream of the listener matches. */
  private refuseStream(client: StreamClient, listener: ListenerFacts): void {
    this.table.fault(fault.destinationNotFound, -1, -1);
    this.table.rejected(listener.plan.id, rejection.acl);
    this.recorder.connections.addUnrouted(this.nextNumber(), client, listener.plan.id, this.runtime!, this.engine.now);
    client.wire.owner = { onOpen() {}, onBytes() {}, onRecvEnd() {}, onDrained() {}, onClosed: () => client.over() };
    client.wire.close(closeHow.reset);
  }

  /** Counts a finished tunnel and hands it to the log. */
  reportTunnel(tunnel: Tunnel): void {
    const { table } = this;
    const { listener, route, pool, client, endedMs, faultId } = tunnel;
    const { startedMs } = client;
    const poolId = pool!.plan.id;
    table.exchange(
      listener.plan.id,
      route.plan.id,
      poolId,
      0,
      0,
      protocol.tcp,
      endedMs - startedMs,
      tunnel.firstByteMs > 0 ? tunnel.firstByteMs - startedMs : -1,
      -1,
      tunnel.bytesIn,
      tunnel.bytesOut,
    );
    if (faultId !== 0) table.fault(faultId, route.plan.id, poolId);
    this.recorder.connections.addConnection(tunnel);
    if (this.isLogging) this.parts.onTunnel(tunnel);
  }

  /** Counts a finished session and hands it to the log. */
  reportSession(session: DatagramSession, listener: ListenerFacts): void {
    const { table } = this;
    const { startedMs, endedMs, firstMs, attemptMs, faultId } = session;
    const routeId = session.route!.plan.id;
    const poolId = session.pool!.plan.id;
    table.exchange(
      listener.plan.id,
      routeId,
      poolId,
      0,
      0,
      protocol.udp,
      endedMs - startedMs,
      firstMs > 0 ? firstMs - attemptMs : -1,
      -1,
      session.bytesIn,
      session.bytesOut,
    );
    if (faultId !== 0) table.fault(faultId, routeId, poolId);
    this.recorder.datagrams.addDatagrams(session);
    if (this.isLogging) this.parts.onSession(session);
  }

  /** Number of one more request. */
  nextNumber(): number {
    return this.requestCount++;
  }

  /** The id of a request: unique per process by its prefix, in order by its number. */
  idOf(number: number): string {
    return this.parts.idPrefix + number.toString(36);
  }

  /** Was this id given out here? */
  isOwnId(id: string): boolean {
    return ownNumber(id, this.parts.idPrefix) < this.requestCount;
  }

  /** What the flight recorder answers. */
  lookBack(question: RecorderQuestion): FoundMessage {
    return foundIn(this, question, this.parts.wallClock());
  }

  /** IMF-fixdate of now, made once a second. */
  date(): string {
    const second = Math.floor(this.parts.wallClock() / 1000);
    if (second !== this.dateSecond) {
      this.dateSecond = second;
      this.dateText = new Date(second * 1000).toUTCString();
    }
    return this.dateText;
  }

  joinQueue(waiter: Waiter, poolId: number, urgency: number, dueMs: number): void {
    this.waiting++;
    this.table.queue(poolId, 1);
    this.queueOf(poolId).join(waiter, urgency, dueMs);
  }

  /** Takes one out who waits. */
  leaveQueue(waiter: Waiter, poolId: number): void {
    this.queueOf(poolId).leave(waiter);
  }

  /** Counts one who waited since then and stands in the queue no more; returns how long, in ms. */
  leftQueue(poolId: number, sinceMs: number, isTimedOut: boolean): number {
    const ms = this.engine.now - sinceMs;
    this.waiting--;
    this.table.queue(poolId, -1);
    this.table.queued(poolId, ms, isTimedOut);
    return ms;
  }

  /** Whoever waits for a place in a pool. */
  everyWaiting(): Waiter[] {
    return this.waiting === 0 ? [] : this.queues.flatMap((queue) => queue?.every() ?? []);
  }

  queueOf(poolId: number): PoolQueue {
    let queue = this.queues[poolId + 1];
    if (queue === undefined) {
      queue = new PoolQueue(this.engine);
      this.queues[poolId + 1] = queue;
    }
    return queue;
  }

  /** Tells the table that a try is over, once per begin(), and whoever waits for its place. */
  endTry(slot: number, poolId: number, faultId: number, status: number, responseMs: number): void {
    this.table.end(slot, faultId, status, responseMs);
    if (this.waiting > 0) this.queues[poolId + 1]?.serve();
  }

  takeHedge(): Hedge {
    const kept = this.keptHedges.pop();
    return kept === undefined ? new Hedge(this) : kept;
  }

  giveBackHedge(hedge: Hedge): void {
    hedge.reset();
    if (this.keptHedges.length < HEDGES_KEPT_MAX) this.keptHedges.push(hedge);
  }

  /** Counts a finished exchange and hands it to the log. Called by the exchange. */
  report(exchange: Exchange): void {
    const { table } = this;
    const { listener, route, pool, head, startedMs, endedMs } = exchange;
    const routeId = route === null ? -1 : route.plan.id;
    const poolId = pool === null ? -1 : pool.plan.id;
    const firstByteMs = exchange.headMs > 0 ? exchange.headMs - startedMs : endedMs - startedMs;
    table.exchange(
      listener!.plan.id,
      routeId,
      poolId,
      head === null ? 0 : head.method,
      exchange.status,
      exchange.protocol,
      endedMs - startedMs,
      firstByteMs,
      exchange.overheadMs,
      exchange.bytesIn,
      exchange.bytesOut,
    );
    if (exchange.sticky >= 0 && exchange.attempts > 0) table.sticky(poolId, exchange.sticky);
    if (exchange.faultId !== 0) table.fault(exchange.faultId, routeId, poolId);
    this.recorder.add(exchange);
    if (this.isLogging) this.parts.onExchange(exchange);
  }

  giveBack(exchange: Exchange): void {
    if (this.kept.length < KEPT_MAX) this.kept.push(exchange);
  }

  private take(): Exchange {
    const kept = this.kept.pop();
    return kept === undefined ? new Exchange(this) : kept;
  }
}
