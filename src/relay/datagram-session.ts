/**
 * One client of a UDP listener: pick -> connect a socket -> datagrams both ways -> settle.
 *
 *     begin --pick--> asked --first answer--> answered --idle, enough answers, refusal--> over
 *               ^       |
 *               '- refused, once: what was asked is asked of another endpoint
 *
 * Rules
 * 1. It begins with a datagram of the client, and what an endpoint sends goes to that client alone, from the socket the client sent to.
 * 2. With `responses: n` it is over when n answers came for each datagram that the client sent: late ones go nowhere.
 * 3. Every pick is followed by one table.begin and one table.end.
 * 4. A session's object serves other clients after it; who is told of its end reads it at once.
 */
import { FALLBACKS_MAX, NONE } from '../balance/balance.ts';
import { NO_BLOCK, SMALL_BYTES } from '../base/blocks.ts';
import { ClientAddress } from '../base/client-address.ts';
import { fault } from '../base/faults.ts';
import type { DatagramOwner, DatagramSocket } from '../base/wire.ts';
import { chooseTarget, type StreamRoute } from '../route/route.ts';
import { health, protocol, retryReason } from '../state/doors.ts';
import { faultOfErrno } from '../upstream/upstream.ts';
import type { Datagrams } from './datagrams.ts';
import { type LogRecord, textWithPort } from './log-record.ts';
import type { PoolRuntime, Runtime } from './runtime.ts';
import { StreamTrail } from './trail.ts';

/** A session that was answered counts as this in the table: a good end. */
const GOOD = 200;
/** So long an endpoint that is down may still answer: in a panic such ones are used. */
const STRANDED_MS = 1000;
/** Endpoints that one datagram is given to, when the first refuses it. */
const ATTEMPTS_MAX = 2;

export class DatagramSession implements DatagramOwner {
  /** Number in the index, for ever. */
  readonly id: number;
  readonly client = new ClientAddress();
  route: StreamRoute | null = null;
  runtime: Runtime | null = null;
  pool: PoolRuntime | null = null;
  /** Its id is made of it. */
  number = 0;
  /** For the flight recorder. */
  readonly trail = new StreamTrail();
  /** What a hashing policy placed it by. */
  key = 0;
  /** Pools it was sent on to. */
  fallbacks = 0;
  /** The endpoint's; NONE while there is none. */
  slot = NONE;
  endpointText = '';
  attempts = 0;
  faultId = 0;
  startedMs = 0;
  endedMs = 0;
  lastMs = 0;
  /** When the endpoint at hand was first asked, and when it first answered; 0: not yet. */
  attemptMs = 0;
  firstMs = 0;
  /** When it last answered. */
  answeredMs = 0;
  /** Datagrams of the client and of the endpoint, and their bytes. */
  questions = 0;
  answers = 0;
  bytesIn = 0;
  bytesOut = 0;
  /** By the time of the last datagram. */
  older: DatagramSession | null = null;
  newer: DatagramSession | null = null;

  /** The bound socket the client sent to, and the endpoint's. */
  near: DatagramSocket | null = null;
  private far: DatagramSocket | null = null;
  // A copy of the first datagram, for another endpoint, until there is an answer.
  private keptBlock = NO_BLOCK;
  private keptStart = 0;
  private keptEnd = 0;
  private readonly room: Datagrams;

  constructor(room: Datagrams, id: number) {
    this.room = room;
    this.id = id;
  }

  /** Chooses an endpoint. The number of the fault when there is none: nothing has begun then. */
  begin(near: DatagramSocket, client: ClientAddress, route: StreamRoute, runtime: Runtime): number {
    const { relay } = this.room;
    this.near = near;
    this.client.copy(client);
    this.route = route;
    this.runtime = runtime;
    this.startedMs = this.lastMs = relay.engine.now;
    this.number = relay.nextNumber();
    this.trail.reset();
    this.endedMs = this.firstMs = this.answeredMs = 0;
    this.faultId = this.attempts = this.fallbacks = 0;
    this.questions = this.answers = this.bytesIn = this.bytesOut = 0;
    this.pool = runtime.pools[chooseTarget(route.plan.target, relay.random())]!;
    return this.place(NONE);
  }

  /** A datagram, or a run, of the client. */
  onQuestion(block: number, start: number, end: number, segment: number): void {
    this.questions += countOf(start, end, segment);
    this.bytesIn += end - start;
    if (this.questions === 1 && this.route!.plan.attempts > 1) this.keep(start, end);
    this.far!.send(block, start, end, segment);
  }

  /** Its endpoint is down and silent: the client's next datagram begins anew. */
  isStranded(nowMs: number): boolean {
    return (
      this.room.relay.table.health(this.slot) === health.down && nowMs - Math.max(this.attemptMs, this.answeredMs) > STRANDED_MS
    );
  }

  onDatagram(_socket: DatagramSocket, block: number, start: number, end: number, segment: number): void {
    const { room } = this;
    const { responses } = room;
    let count = countOf(start, end, segment);
    if (responses > 0) {
      const left = responses * this.questions - this.answers;
      if (count > left) {
        end = start + left * segment;
        count = left;
      }
    }
    this.answeredMs = room.relay.engine.now;
    if (this.firstMs === 0) this.answered();
    this.answers += count;
    this.bytesOut += end - start;
    room.answer(this, block, start, end, segment, count);
    if (responses > 0 && this.answers >= responses * this.questions) room.end(this, 0);
  }

  onDatagramFault(_socket: DatagramSocket, errno: number): void {
    const { room, runtime, slot } = this;
    const { relay } = room;
    const faultId = faultOfErrno(errno);
    const { now } = relay.engine;
    runtime!.datagramEndpoints[slot]?.failed(faultId, now - this.attemptMs);
    if (this.firstMs > 0) {
      room.end(this, fault.connectionTerminated);
      return;
    }
    const pool = this.pool!;
    const mayRetry = this.keptBlock !== NO_BLOCK && this.attempts < Math.min(ATTEMPTS_MAX, this.route!.plan.attempts);
    if (!mayRetry || !pool.budget.take(now)) {
      room.end(this, faultId);
      return;
    }
    this.leaveEndpoint(faultId);
    relay.table.retry(pool.plan.id, retryReason.connect);
    const none = this.place(slot);
    if (none !== 0) {
      room.end(this, none);
      return;
    }
    this.far!.send(this.keptBlock, this.keptStart, this.keptEnd, 0);
  }

  /** Gives everything back. Its record is complete then. */
  finish(faultId: number): void {
    const { relay, listener } = this.room;
    this.faultId = faultId;
    this.endedMs = relay.engine.now;
    this.leaveEndpoint(faultId);
    this.drop();
    relay.table.exchangeInFlight(listener.plan.id, this.pool!.plan.id, -1);
    this.near = null;
  }

  /** What the access log says of it. */
  fillRecord(r: LogRecord, wallMs: number): LogRecord {
    const { client, endedMs, startedMs } = this;
    client.spell();
    r.reset();
    r.timeMs = wallMs - (endedMs - startedMs);
    r.id = this.room.relay.idOf(this.number);
    r.listener = this.room.listener.plan.name;
    r.route = this.route!.plan.name;
    r.pool = this.pool!.plan.name;
    r.endpoint = this.endpointText;
    r.client = textWithPort(client);
    r.epoch = this.runtime!.plan.epoch;
    r.protocol = protocol.udp;
    r.bytesIn = this.bytesIn;
    r.bytesOut = this.bytesOut;
    r.faultId = this.faultId;
    r.totalMs = endedMs - startedMs;
    if (this.firstMs > 0) r.firstMs = this.firstMs - this.attemptMs;
    return r;
  }

  /** Forgets whom it served, so that an idle object keeps no plan alive. */
  clear(): void {
    this.route = null;
    this.runtime = null;
    this.pool = null;
  }

  private place(avoid: number): number {
    const { relay, listener } = this.room;
    for (;;) {
      const pool = this.pool!;
      if (avoid === NONE) relay.table.exchangeInFlight(listener.plan.id, pool.plan.id, 1);
      if (pool.key !== null) this.key = pool.key.ofClient(this.client, relay.random());
      let faultId = fault.queueFull;
      if (avoid !== NONE || !pool.breaker?.refusesRequest(relay.table)) {
        const slot = this.choose(pool, avoid);
        if (slot !== NONE) {
          this.connect(slot);
          return 0;
        }
        faultId = fault.destinationUnavailable;
      }
      // After a refusal the session counts in this pool until its end.
      if (avoid !== NONE) return faultId;
      relay.table.exchangeInFlight(listener.plan.id, pool.plan.id, -1);
      const { fallback } = pool.plan;
      if (fallback === null || this.fallbacks === FALLBACKS_MAX) return faultId;
      this.fallbacks++;
      relay.table.fellBack(pool.plan.id);
      this.pool = this.runtime!.pools[fallback]!;
    }
  }

  private choose(pool: PoolRuntime, avoid: number): number {
    const { relay } = this.room;
    const { datagramEndpoints } = this.runtime!;
    const slot = pool.policy.pick(this.key, relay.random(), avoid);
    if (slot === NONE || slot === avoid) return NONE;
    if (!datagramEndpoints[slot]?.isSuspect(relay.engine.now)) return slot;
    const other = pool.policy.pick(this.key, relay.random(), slot);
    return other === avoid || other === NONE ? slot : other;
  }

  private connect(slot: number): void {
    const { relay } = this.room;
    const runtime = this.runtime!;
    this.slot = slot;
    this.endpointText = runtime.endpointTexts[slot] ?? '';
    this.attempts++;
    this.attemptMs = relay.engine.now;
    relay.table.begin(slot);
    this.trail.begin(slot, this.attemptMs, relay.table.inFlight(slot), relay.table.poolInFlight(slot));
    this.far = runtime.datagramEndpoints[slot]!.connect(this, this.client);
  }

  private answered(): void {
    this.firstMs = this.answeredMs;
    // It may go on for hours: the endpoint is given credit now.
    this.room.relay.table.worked(this.slot);
    this.drop();
  }

  private leaveEndpoint(faultId: number): void {
    const { slot, far } = this;
    if (slot === NONE) return;
    this.slot = NONE;
    this.trail.end(faultId, this.room.relay.engine.now);
    this.far = null;
    far!.close();
    this.runtime!.datagramEndpoints[slot]?.closed();
    const isAnswered = this.firstMs > 0;
    this.room.relay.endTry(
      slot,
      this.pool!.plan.id,
      faultId,
      isAnswered ? GOOD : 0,
      isAnswered ? this.firstMs - this.attemptMs : -1,
    );
  }

  private keep(start: number, end: number): void {
    const { blocks } = this.room.relay;
    if (end - start > SMALL_BYTES || !this.room.mayKeep()) return;
    const block = blocks.takeSmall();
    if (block === NO_BLOCK) return;
    this.room.kept++;
    const at = blocks.start(block);
    blocks.bytes.copyWithin(at, start, end);
    this.keptBlock = block;
    this.keptStart = at;
    this.keptEnd = at + end - start;
  }

  private drop(): void {
    if (this.keptBlock === NO_BLOCK) return;
    this.room.relay.blocks.release(this.keptBlock);
    this.room.kept--;
    this.keptBlock = NO_BLOCK;
  }
}

/** Datagrams of a run, or one. */
function countOf(start: number, end: number, segment: number): number {
  return segment === 0 ? 1 : Math.ceil((end - start) / segment);
}
