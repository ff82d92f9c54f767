/**
 * Datagrams: the clients of one UDP listener in one worker: who is remembered, who may begin, who is forgotten first.
 *
 * Rules
 * 1. A client is an address and port, together with the socket and the address of this machine that it sent to.
 * 2. Sessions stand in the order of their last datagram. One timer looks at the oldest; nothing is set or moved for a datagram.
 * 3. What is not admitted is dropped and counted: the sender of a datagram cannot be told, and may not be who it says.
 */
import { AddressCounts } from '../base/address-counts.ts';
import { ClientAddress } from '../base/client-address.ts';
import type { DatagramSink } from '../base/datagram-client.ts';
import { NAME_SPARE, NAME_WORDS, readName, wordsOf } from '../base/datagram-name.ts';
import { fault } from '../base/faults.ts';
import { NO_TIMER } from '../base/timer-wheel.ts';
import type { DatagramSocket, TimerOwner } from '../base/wire.ts';
import type { StreamRoute } from '../route/route.ts';
import { protocol, rejection } from '../state/doors.ts';
import { DatagramIndex, NO_SESSION } from './datagram-index.ts';
import { DatagramSession } from './datagram-session.ts';
import type { ListenerFacts } from './exchange.ts';
import type { Relay } from './relay.ts';

/** First datagrams kept for another endpoint while the first has not answered; small blocks, so 4 MiB. Sessions beyond are not tried again. */
const KEPT_MAX = 1024;
/** A client that was heard of or answered so recently is in the middle of something. */
const BUSY_MS = 1000;
const NO_NAMES: readonly string[] = [];

export class Datagrams implements DatagramSink, TimerOwner {
  readonly relay: Relay;
  readonly listener: ListenerFacts;
  /** First datagrams that are kept. */
  kept = 0;
  private readonly index: DatagramIndex;
  private readonly counts: AddressCounts;
  /** By number. */
  private readonly sessions: DatagramSession[] = [];
  private readonly words: Int32Array;
  private readonly client = new ClientAddress();
  private oldest: DatagramSession | null = null;
  private newest: DatagramSession | null = null;
  private ticket: number = NO_TIMER;
  private isDraining = false;

  constructor(relay: Relay, listener: ListenerFacts) {
    this.relay = relay;
    this.listener = listener;
    this.words = wordsOf(relay.blocks);
    this.index = new DatagramIndex(relay.random());
    this.counts = new AddressCounts(relay.random());
  }

  get count(): number {
    return this.index.count;
  }

  /** Answers for each datagram of a client; 0: as many as come. */
  get responses(): number {
    return this.listener.plan.udp!.responses;
  }

  onDatagram(
    socket: DatagramSocket,
    door: number,
    block: number,
    start: number,
    end: number,
    segment: number,
    from: number,
  ): void {
    const { words, index, relay } = this;
    const { id: listenerId } = this.listener.plan;
    const count = segment === 0 ? 1 : Math.ceil((end - start) / segment);
    relay.table.datagrams(listenerId, count, end - start, 0, 0);
    words[from + NAME_SPARE] = door;
    const hash = index.hash(words, from);
    const id = index.find(words, from, hash);
    let session = id === NO_SESSION ? null : this.sessions[id]!;
    if (session !== null && this.isOver(session)) session = null;
    if (session === null) {
      session = this.begin(socket, from, hash);
      if (session === null) return;
    } else this.touch(session);
    session.onQuestion(block, start, end, segment);
  }

  drain(): void {
    this.isDraining = true;
  }

  leave(socket: DatagramSocket): void {
    for (let session = this.oldest; session !== null; ) {
      const { newer } = session;
      if (session.near === socket) this.end(session, fault.draining);
      session = newer;
    }
  }

  cut(): number {
    const since = this.relay.engine.now - BUSY_MS;
    let busy = 0;
    for (let session = this.oldest; session !== null; session = this.oldest) {
      const isBusy = session.lastMs > since;
      if (isBusy) busy++;
      this.end(session, isBusy ? fault.draining : 0);
    }
    return busy;
  }

  onTimer(): void {
    this.ticket = NO_TIMER;
    const { now } = this.relay.engine;
    const { idleMs } = this.listener.plan.udp!;
    for (let session = this.oldest; session !== null && session.lastMs + idleMs <= now; session = this.oldest)
      this.end(session, this.responses > 0 && session.firstMs === 0 ? fault.streamIdle : 0);
    this.arm();
  }

  // For sessions.

  answer(session: DatagramSession, block: number, start: number, end: number, segment: number, count: number): void {
    session.near!.sendTo(block, start, end, segment, this.index.names, session.id * NAME_WORDS);
    this.relay.table.datagrams(this.listener.plan.id, 0, 0, count, end - start);
    this.touch(session);
  }

  mayKeep(): boolean {
    return this.kept < KEPT_MAX;
  }

  end(session: DatagramSession, faultId: number): void {
    const { relay, listener } = this;
    this.unlink(session);
    this.index.remove(session.id);
    this.counts.remove(session.client);
    session.finish(faultId);
    relay.sessions--;
    relay.table.connection(listener.plan.id, protocol.udp, -1);
    relay.reportSession(session, listener);
    session.clear();
  }

  /** Must it begin anew with this datagram? */
  private isOver(session: DatagramSession): boolean {
    const { now } = this.relay.engine;
    if (session.isPastTotal(now)) this.end(session, fault.streamTotal);
    else if (session.isStranded(now)) this.end(session, fault.connectionTerminated);
    else return false;
    return true;
  }

  private begin(socket: DatagramSocket, from: number, hash: number): DatagramSession | null {
    const { relay, listener, client, words, index } = this;
    const runtime = relay.runtime!;
    readName(words, from, client);
    const route = listener.index < 0 ? null : runtime.streams[listener.index]!.match('', NO_NAMES, client);
    const reason = this.refusal(route);
    if (reason >= 0) return this.refuse(reason);
    const id = index.add(words, from, hash);
    let session = this.sessions[id];
    if (session === undefined) this.sessions[id] = session = new DatagramSession(this, id);
    const faultId = session.begin(socket, client, route!, runtime);
    if (faultId !== 0) {
      index.remove(id);
      relay.table.fault(faultId, route!.plan.id, session.pool!.plan.id);
      session.clear();
      return this.refuse(rejection.noEndpoint);
    }
    this.counts.add(client, 0);
    relay.sessions++;
    relay.table.connection(listener.plan.id, protocol.udp, 1);
    this.link(session);
    if (this.ticket === NO_TIMER) this.arm();
    return session;
  }

  /** Why a client is not admitted, or -1. The one idle longest may be forgotten for it. */
  private refusal(route: StreamRoute | null): number {
    const { relay, index, listener } = this;
    if (this.isDraining || this.listener.index < 0) return rejection.drain;
    if (route === null) {
      relay.table.fault(fault.destinationNotFound, -1, -1);
      return rejection.acl;
    }
    const { sessionsMax, sessionsPerIpMax, whenFull } = listener.plan.udp!;
    if (sessionsPerIpMax > 0 && this.counts.of(this.client) >= sessionsPerIpMax) return rejection.perIp;
    const isFull = index.count >= sessionsMax;
    if (!isFull && relay.sessions < relay.sessionsMax) return -1;
    if (whenFull === 'refuse' || this.oldest === null) return isFull ? rejection.limit : rejection.overload;
    this.end(this.oldest, fault.overload);
    return -1;
  }

  private refuse(reason: number): null {
    this.relay.table.rejected(this.listener.plan.id, reason);
    return null;
  }

  /** One timer for all: that of the oldest. It may have had a datagram when it fires. */
  private arm(): void {
    const { oldest } = this;
    if (oldest === null) return;
    const { engine } = this.relay;
    const due = oldest.lastMs + this.listener.plan.udp!.idleMs;
    this.ticket = engine.setTimer(Math.max(0, due - engine.now), this, 0);
  }

  private touch(session: DatagramSession): void {
    session.lastMs = this.relay.engine.now;
    if (session === this.newest) return;
    this.unlink(session);
    this.link(session);
  }

  private link(session: DatagramSession): void {
    const { newest } = this;
    session.older = newest;
    session.newer = null;
    if (newest !== null) newest.newer = session;
    else this.oldest = session;
    this.newest = session;
  }

  private unlink(session: DatagramSession): void {
    const { older, newer } = session;
    if (older !== null) older.newer = newer;
    else this.oldest = newer;
    if (newer !== null) newer.older = older;
    else this.newest = older;
    session.older = session.newer = null;
  }
}
