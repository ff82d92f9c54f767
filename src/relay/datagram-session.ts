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
 * 4. Nobody waits for a place: a pool of datagrams has no queue, and a client that is turned away may ask again.
 * 5. A session's object serves other clients after it; who is told of its end reads it at once.
 */
import { NONE } from '../balance/balance.ts';
import { assert } from '../base/assert.ts';
import { NO_BLOCK, SMALL_BYTES } from '../base/blocks.ts';
import { ClientAddress } from '../base/client-address.ts';
import { fault } from '../base/faults.ts';
import type { DatagramOwner, DatagramSocket } from '../base/wire.ts';
import { chooseTarget, type StreamRoute } from '../route/route.ts';
import { health, protocol, retryReason } from '../state/doors.ts';
import type { Carried } from './carried.ts';
import type { Datagrams } from './datagrams.ts';
import type { LogRecord } from './log-record.ts';
import { PlaceInPool } from './place-in-pool.ts';
import type { PoolRuntime, Runtime } from './runtime.ts';
import { StreamTrail } from './trail.ts';

/** A session that was answered counts as this in the table: a good end. */
const GOOD = 200;
/** So long an endpoint that is down may still answer: in a panic such ones are used. */
const STRANDED_MS = 1000;
/** Endpoints that one datagram is given to, when the first refuses it. */
const ATTEMPTS_MAX = 2;

export class DatagramSession extends PlaceInPool implements DatagramOwner, Carried {
  /** Number in the index, for ever. */
  readonly id: number;
  readonly client = new ClientAddress();
  route: StreamRoute | null = null;
  runtime: Runtime | null = null;
  /** Its id is made of it. */
  number = 0;
  /** For the flight recorder. */
  readonly trail = new StreamTrail();
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
  carriedBefore: Carried | null = null;
  carriedAfter: Carried | null = null;

  /** The bound socket the client sent to, and the endpoint's. */
  near: DatagramSocket | null = null;
  readonly listenerId: number;
  protected readonly urgency = 0;
  private far: DatagramSocket | null = null;
  // A copy of the first datagram, for another endpoint, until there is an answer.
  private keptBlock = NO_BLOCK;
  private keptStart = 0;
  private keptEnd = 0;
  /** Why there is no endpoint; 0: there is one. */
  private unplaced = 0;
  private readonly room: Datagrams;

  constructor(room: Datagrams, id: number) {
    super(room.relay);
    this.room = room;
    this.id = id;
    this.listenerId = room.listener.plan.id;
  }

  /** Chooses an endpoint. The number of the fault when there is none: nothing has begun then. */
  begin(near: DatagramSocket, client: ClientAddress, route: StreamRoute, runtime: Runtime): number {
    const { relay } = this;
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
    this.unplaced = 0;
    this.moveTo(runtime.pools[chooseTarget(route.plan.target, relay.random())]!);
    this.enter();
    if (this.unplaced !== 0) this.leavePool();
    return this.unplaced;
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
    return this.relay.table.health(this.slot) === health.down && nowMs - Math.max(this.attemptMs, this.answeredMs) > STRANDED_MS;
  }

  /** It has been remembered for as long as it may be. */
  isPastTotal(nowMs: number): boolean {
    const { totalMs } = this.route!.plan.timeouts;
    return totalMs > 0 && nowMs - this.startedMs >= totalMs;
  }

  onDatagram(_socket: DatagramSocket, block: number, start: number, end: number, segment: number): void {
    const { room } = this;
    const { responses } = room;
    if (this.isPastTotal(this.relay.engine.now)) {
      room.end(this, fault.streamTotal);
      return;
    }
    let count = countOf(start, end, segment);
    if (responses > 0) {
      const left = responses * this.questions - this.answers;
      if (count > left) {
        end = start + left * segment;
        count = left;
      }
    }
    this.answeredMs = this.relay.engine.now;
    if (this.firstMs === 0) this.answered();
    this.answers += count;
    this.bytesOut += end - start;
    room.answer(this, block, start, end, segment, count);
    if (responses > 0 && this.answers >= responses * this.questions) room.end(this, 0);
  }

  onDatagramFault(_socket: DatagramSocket, errno: number): void {
    const { room, relay, slot } = this;
    const endpoint = this.runtime!.datagramEndpoints[slot]!;
    const faultId = endpoint.faultOf(errno);
    endpoint.failed(faultId, relay.engine.now - this.attemptMs);
    if (this.firstMs > 0) {
      room.end(this, fault.connectionTerminated);
      return;
    }
    const mayRetry = this.keptBlock !== NO_BLOCK && this.attempts < Math.min(ATTEMPTS_MAX, this.route!.plan.attempts);
    if (!mayRetry || !this.takeRetry()) {
      room.end(this, faultId);
      return;
    }
    this.leaveEndpoint(faultId);
    relay.table.retry(this.pool!.plan.id, retryReason.connect);
    this.place(slot);
    // Without another endpoint the refusal is what became of it.
    if (this.unplaced !== 0) room.end(this, faultId);
    else this.far!.send(this.keptBlock, this.keptStart, this.keptEnd, 0);
  }

  onDrainOver(): void {
    this.room.end(this, fault.draining);
  }

  /** Gives everything back. Its record is complete then. */
  finish(faultId: number): void {
    this.faultId = faultId;
    this.endedMs = this.relay.engine.now;
    this.leaveEndpoint(faultId);
    this.drop();
    this.leavePool();
    this.near = null;
  }

  /** What the access log says of it. */
  fillRecord(r: LogRecord, wallMs: number): LogRecord {
    const { client, endedMs, startedMs } = this;
    r.reset();
    r.timeMs = wallMs - (endedMs - startedMs);
    r.id = this.relay.idOf(this.number);
    r.listener = this.room.listener.plan.name;
    r.route = this.route!.plan.name;
    r.pool = this.pool!.plan.name;
    r.endpoint = this.endpointText;
    r.client = client.textWithPort;
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

  // Its place (PlaceInPool).

  protected get plans(): Runtime {
    return this.runtime!;
  }

  protected moveTo(pool: PoolRuntime): void {
    this.pool = pool;
    if (pool.key !== null) this.key = pool.key.ofClient(this.client, this.relay.random());
  }

  isSuspect(slot: number): boolean {
    return this.runtime!.datagramEndpoints[slot]?.isSuspect(this.relay.engine.now) ?? false;
  }

  /** Who refused once in this session is not asked again. */
  protected override choose(): number {
    const slot = super.choose();
    return slot === this.avoid ? NONE : slot;
  }

  protected onPlaced(slot: number): void {
    const { relay } = this;
    const runtime = this.runtime!;
    this.slot = slot;
    this.endpointText = runtime.endpointTexts[slot] ?? '';
    this.attempts++;
    this.attemptMs = relay.engine.now;
    relay.table.begin(slot);
    relay.carried.add(this);
    this.trail.begin(slot, this.attemptMs, relay.table.inFlight(slot), relay.table.poolInFlight(slot));
    this.far = runtime.datagramEndpoints[slot]!.connect(this, this.client);
  }

  protected onUnplaced(faultId: number): void {
    this.unplaced = faultId;
  }

  protected onQueued(): void {
    assert(false, 'a pool of datagrams has no queue');
  }

  protected waitsUntil(dueMs: number): number {
    return dueMs;
  }

  private answered(): void {
    this.firstMs = this.answeredMs;
    // It may go on for hours: the endpoint is given credit now.
    this.relay.table.worked(this.slot);
    this.retried();
    this.drop();
  }

  private leaveEndpoint(faultId: number): void {
    const { slot, far } = this;
    if (slot === NONE) return;
    this.slot = NONE;
    this.trail.end(faultId, this.relay.engine.now);
    this.far = null;
    far!.close();
    this.relay.carried.remove(this);
    this.runtime!.datagramEndpoints[slot]?.closed();
    const isAnswered = this.firstMs > 0;
    this.relay.endTry(slot, this.pool!.plan.id, faultId, isAnswered ? GOOD : 0, isAnswered ? this.firstMs - this.attemptMs : -1);
  }

  private keep(start: number, end: number): void {
    const { blocks } = this.relay;
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
    this.relay.blocks.release(this.keptBlock);
    this.room.kept--;
    this.keptBlock = NO_BLOCK;
  }
}

/** Datagrams of a run, or one. */
function countOf(start: number, end: number, segment: number): number {
  return segment === 0 ? 1 : Math.ceil((end - start) / segment);
}
