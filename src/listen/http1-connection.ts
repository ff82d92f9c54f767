/**
 * One HTTP/1.1 client connection, and the stream of the exchange under way on it.
 *
 *            first byte            head complete            both messages complete
 *     idle ------------> reading head ----------> exchange -------------------------> idle, or next pipelined request
 *       |                    |                        |
 *       '-- idle deadline    '-- header deadline      '-- cut, too slow, not reusable --> closed
 *
 * Rules
 * 1. One exchange at a time. Bytes behind a complete request wait, unparsed, in the block they came in, and reading pauses.
 * 2. After a fault of framing no byte of the connection is parsed any more.
 * 3. Deadlines are absolute from the first byte of the head; bodies both ways must make the listener's minimum rate besides.
 * 4. An idle connection holds no block and no head.
 */

import { NO_BLOCK } from '../base/blocks.ts';
import type { Carry } from '../base/carry.ts';
import { ClientAddress } from '../base/client-address.ts';
import { fault } from '../base/faults.ts';
import { framing, type Head } from '../base/head.ts';
import type { ClientStream, RequestSink } from '../base/stream.ts';
import type { TlsFacts } from '../base/tls-facts.ts';
import { closeHow, type TimerOwner, type Wire, type WireOwner } from '../base/wire.ts';
import type { Http1Decoder, Http1Writer } from '../protocol/http1/http1.ts';
import type { MessageSink } from '../protocol/message.ts';
import { protocol } from '../state/doors.ts';
import type { ClientConnection } from './client-connection.ts';
import type { Clients } from './clients.ts';
import type { ConnectionKit } from './connection-kit.ts';
import type { Listener } from './listener.ts';
import type { ListenParts } from './parts.ts';
import { pace, type RateWatch } from './rate-watch.ts';
import type { StreamOrigin } from './stream-connection.ts';

/** A closing connection with less than this queued is left to the wire, which gives up on a peer that takes nothing. */
const FLUSH_FREE_BYTES = 4096;

/** Lent by destination(). */
const ownEnd = new ClientAddress();

export class Http1ClientConnection implements ClientStream, ClientConnection, WireOwner, MessageSink, TimerOwner {
  sink: RequestSink | null = null;
  readonly address: ClientAddress;
  readonly peer: ClientAddress;
  readonly secure: boolean;
  readonly tls: TlsFacts | null;
  readonly protocol = protocol.http1;
  startedMs = 0;
  idleMs = 0;
  // Neighbours in the list of all connections.
  before: ClientConnection | null = null;
  after: ClientConnection | null = null;
  // Neighbours in the list of idle connections.
  isIdle = false;
  older: ClientConnection | null = null;
  newer: ClientConnection | null = null;

  /** What a PROXY line told of where the client connected to. */
  private readonly toldDestination: ClientAddress | null;
  private readonly wire: Wire;
  private readonly listener: Listener;
  private readonly parts: ListenParts;
  private readonly clients: Clients;
  private readonly kit: ConnectionKit;
  private readonly decoder: Http1Decoder;
  private readonly writer: Http1Writer;
  private readonly carry: Carry;
  private readonly rate: RateWatch;
  /** Block of the bytes being decoded. */
  private block = NO_BLOCK;
  // Bytes behind the request under way (pipelining), held.
  private stashBlock = NO_BLOCK;
  private stashStart = 0;
  private stashEnd = 0;

  private isAdmitted = false;
  private isProcessing = false;
  /** A message has begun to arrive. */
  private isReading = false;
  private isRequestDone = false;
  private isResponseDone = false;
  private isTunnel = false;
  private isTunnelSent = false;
  /** A fault of framing: what still arrives is not parsed. */
  private isDeaf = false;
  private isClosing = false;
  private countsAsClosing = false;
  private hasPeerEnded = false;
  private isPausedByRelay = false;
  private isPausedByUs = false;
  private keepAlive = true;
  private version = 11;
  private acceptsTrailers = false;
  private served = 0;

  private idleSinceMs = 0;
  /** What the timer is for, and when: moved without touching the timer wheel as long as it only moves later. */
  private deadlineMs = Infinity;
  private ticket = 0;
  private ticketMs = Infinity;
  private countedReceived = 0;
  private countedSent = 0;

  /** `from`: what a PROXY line told; null: the peer is the client. */
  constructor(
    wire: Wire,
    listener: Listener,
    parts: ListenParts,
    clients: Clients,
    kit: ConnectionKit,
    from: StreamOrigin | null,
  ) {
    this.wire = wire;
    this.listener = listener;
    this.parts = parts;
    this.clients = clients;
    this.kit = kit;
    this.decoder = kit.decoder;
    this.writer = kit.writer;
    this.carry = kit.carry;
    this.rate = kit.rate;
    this.tls = from === null ? null : from.tls;
    this.secure = this.tls !== null;
    if (from === null) {
      this.peer = this.address = new ClientAddress();
      wire.readPeer(this.address);
      this.toldDestination = null;
    } else {
      this.peer = from.peer;
      this.address = from.address;
      this.toldDestination = from.destination;
    }
    wire.owner = this;
  }

  /** The connection was admitted: its first request is awaited under the header deadline. */
  begin(): void {
    this.isAdmitted = true;
    this.idleSinceMs = this.parts.engine.now;
    this.clients.linkIdle(this);
    this.setDeadline(this.idleSinceMs + this.listener.plan.timeouts.headerMs);
  }

  /** Closes without an answer. */
  turnAway(how: number): void {
    this.isClosing = true;
    this.wire.close(how);
  }

  /** Closes an idle connection because others need the room, or the worker leaves. */
  shed(): void {
    this.close(closeHow.flush);
  }

  /** The worker leaves: an idle connection that has served goes, others end with their response. */
  cut(): void {
    if (this.isClosing) {
      this.wire.close(closeHow.reset);
      return;
    }
    const { sink } = this;
    this.sink = null;
    this.close(sink === null ? closeHow.flush : closeHow.reset);
    if (sink !== null) sink.onClientGone(fault.draining);
  }

  // The stream (ClientStream).

  destination(): ClientAddress {
    const { toldDestination } = this;
    if (toldDestination !== null && toldDestination.family !== 0) return toldDestination;
    ownEnd.set(this.wire.local());
    return ownEnd;
  }

  get queued(): number {
    return this.wire.queued;
  }
  get drainBelow(): number {
    return this.wire.drainBelow;
  }
  set drainBelow(bytes: number) {
    this.wire.drainBelow = bytes;
    if (bytes >= 0) this.watchRate();
  }

  sendHead(head: Head): void {
    if (this.isClosing) return;
    if (head.status < 200 && head.status !== 101) {
      // A 1.0 client does not know interim responses (RFC 9110 §15.2).
      if (this.version >= 11 && !this.writer.responseHead(this.wire, head, framing.none, true, this.version, false)) this.abort();
      return;
    }
    const { plan } = this.listener;
    if (this.clients.isDraining || this.listener.index < 0 || ++this.served >= plan.limits.requestsPerConnectionMax)
      this.keepAlive = false;
    let out = head.framing;
    let isChunked = false;
    if (out === framing.chunked || out === framing.untilClose) {
      if (this.version >= 11) {
        out = framing.chunked;
        isChunked = true;
      } else {
        out = framing.untilClose;
        this.keepAlive = false;
      }
    }
    if (!this.writer.responseHead(this.wire, head, out, this.keepAlive, this.version, isChunked)) this.abort();
  }

  sendBody(block: number, start: number, end: number): void {
    if (this.isClosing) return;
    if (this.isTunnel) this.writer.raw(this.wire, block, start, end);
    else if (!this.writer.body(this.wire, block, start, end)) this.abort();
  }

  sendEnd(trailers: Head | null): void {
    if (this.isClosing) return;
    if (this.isTunnel) {
      this.isTunnelSent = true;
      if (this.hasPeerEnded) this.close(closeHow.flush);
      else this.wire.sendClose();
      return;
    }
    if (!this.writer.end(this.wire, this.acceptsTrailers ? trailers : null)) {
      this.abort();
      return;
    }
    this.isResponseDone = true;
    if (!this.isProcessing) this.settle();
  }

  pause(): void {
    this.isPausedByRelay = true;
    this.rate.excuseReading();
    this.applyPause();
  }
  resume(): void {
    this.isPausedByRelay = false;
    this.applyPause();
  }

  abort(): void {
    this.sink = null;
    this.close(closeHow.reset);
  }

  refuseMore(): void {
    if (!this.isRequestDone) this.keepAlive = false;
  }

  startTunnel(): void {
    this.isTunnel = true;
    this.writer.drop();
    this.deadlineMs = Infinity;
    this.isPausedByUs = false;
    if (this.stashBlock !== NO_BLOCK) {
      // What the client sent behind its request belongs to the other protocol already.
      this.sink?.onRequestBody(this.stashBlock, this.stashStart, this.stashEnd);
      this.dropStash();
    }
    this.applyPause();
  }

  // The wire (WireOwner).

  onOpen(): void {}

  onBytes(wire: Wire, block: number, start: number, end: number): void {
    if (this.isClosing || this.isDeaf) return;
    if (this.isTunnel) {
      this.sink?.onRequestBody(block, start, end);
      return;
    }
    if (this.carry.isEmpty) {
      const left = this.process(block, start, end);
      if (left < end) this.keep(left, end);
      return;
    }
    while (start < end && !this.isClosing) {
      const taken = this.carry.append(start, end);
      if (taken <= 0) {
        this.badBytes(taken < 0 ? fault.overload : fault.headTooLarge, 'head larger than a block');
        return;
      }
      start += taken;
      const from = this.carry.start;
      const left = this.process(this.carry.block, from, this.carry.end);
      if (!this.carry.consume(left - from)) {
        this.badBytes(fault.overload, 'no block free');
        return;
      }
      if (this.carry.isEmpty && start < end) {
        this.onBytes(wire, block, start, end);
        return;
      }
    }
  }

  onRecvEnd(): void {
    this.hasPeerEnded = true;
    if (this.isClosing) return;
    if (this.isTunnel) {
      this.sink?.onRequestEnd();
      if (this.isTunnelSent) this.close(closeHow.flush);
      return;
    }
    // The client has said all it will say. Requests that are complete are still answered (half-close).
    if (this.sink === null) {
      if (this.stashBlock === NO_BLOCK) this.close(closeHow.flush);
    } else if (!this.isRequestDone) {
      const { sink } = this;
      this.sink = null;
      this.close(closeHow.reset);
      sink.onClientGone(fault.clientAborted);
    }
  }

  onDrained(): void {
    if (this.sink !== null) this.sink.onClientDrained();
  }

  onClosed(): void {
    const { sink } = this;
    this.sink = null;
    this.isClosing = true;
    this.writer.drop();
    this.carry.clear();
    this.dropStash();
    this.giveHead();
    this.clients.unlinkIdle(this);
    this.disarm();
    if (this.countsAsClosing) this.clients.closing--;
    this.countsAsClosing = false;
    if (this.isAdmitted) {
      this.countBytes();
      this.isAdmitted = false;
      this.listener.onGone(this);
    }
    if (sink !== null) sink.onClientGone(fault.clientAborted);
    this.decoder.reset();
    this.listener.takeBack(this.kit);
  }

  // The decoder (MessageSink).

  onHead(head: Head): void {
    this.version = head.version;
    this.acceptsTrailers = head.acceptsTrailers;
    if (!head.keepAlive) this.keepAlive = false;
    this.deadlineMs = Infinity;
    this.parts.taker.onRequest(this, this.listener, head);
  }

  onBody(start: number, end: number): void {
    if (this.sink !== null) this.sink.onRequestBody(this.block, start, end);
  }

  onTrailers(head: Head): void {
    if (this.sink !== null) this.sink.onRequestTrailers(head);
  }

  onEnd(): void {
    this.isRequestDone = true;
    if (this.sink !== null && !this.isResponseDone) this.sink.onRequestEnd();
  }

  // Time.

  onTimer(): void {
    this.ticket = 0;
    this.ticketMs = Infinity;
    const { now } = this.parts.engine;
    if (this.isClosing) {
      this.checkFlush(now);
      return;
    }
    if (now >= this.deadlineMs) {
      this.onDeadline();
      return;
    }
    if (this.sink !== null && !this.isTunnel) this.checkRate(now);
    if (this.deadlineMs !== Infinity) this.arm(this.deadlineMs);
  }

  private onDeadline(): void {
    this.deadlineMs = Infinity;
    if (this.isReading && this.sink === null) this.reject(fault.requestTimeout, 'head not complete in time');
    else if (this.sink === null) this.close(closeHow.flush);
  }

  /** Ends the exchange when the client is too slow. It has to send while the request is unfinished and not paused by relay/. */
  private checkRate(now: number): void {
    const isReadingBody = !this.isRequestDone && !this.isPausedByRelay;
    const found = this.rate.look(this.wire, now, this.listener.plan.limits.rateBytesMin, isReadingBody);
    if (found === pace.good) this.arm(now + this.rateMs);
    else if (found === pace.readingSlow) this.requestFault(fault.requestBodyTimeout, 'body below the minimum rate');
    else if (found === pace.writingSlow) {
      const { sink } = this;
      this.sink = null;
      this.close(closeHow.reset);
      if (sink !== null) sink.onClientGone(fault.clientReadTimeout);
    }
  }

  /** The connection is being closed, and what is queued must still leave at the minimum rate. */
  private checkFlush(now: number): void {
    const found = this.rate.lookAtFlush(this.wire, now, this.listener.plan.limits.rateBytesMin);
    if (found === pace.good) this.arm(now + this.rateMs);
    else if (found === pace.writingSlow) this.wire.close(closeHow.reset);
  }

  /** Something is slow: makes sure that a look at the rate comes. */
  private watchRate(): void {
    this.arm(this.parts.engine.now + this.rateMs);
  }

  /** Time between two looks at the rate; without a rate, some progress must be made in bodyMs. */
  private get rateMs(): number {
    const { limits, timeouts } = this.listener.plan;
    return limits.rateBytesMin > 0 ? limits.rateGraceMs : timeouts.bodyMs;
  }

  private setDeadline(ms: number): void {
    this.deadlineMs = ms;
    this.arm(ms);
  }

  private arm(ms: number): void {
    if (this.ticketMs <= ms) return;
    const { engine } = this.parts;
    this.disarm();
    this.ticket = engine.setTimer(ms - engine.now, this, 0);
    this.ticketMs = ms;
  }

  private disarm(): void {
    if (this.ticket !== 0) this.parts.engine.cancelTimer(this.ticket);
    this.ticket = 0;
    this.ticketMs = Infinity;
  }

  // Reading.

  /** Decodes bytes; returns how far they are dealt with. What is left belongs to an incomplete head. */
  private process(block: number, start: number, end: number): number {
    const { decoder, parts } = this;
    const { bytes } = parts.blocks;
    this.isProcessing = true;
    this.block = block;
    while (start < end && !this.isClosing) {
      if (this.isTunnel) {
        this.sink?.onRequestBody(block, start, end);
        start = end;
        break;
      }
      if (this.isRequestDone) {
        // The next request (pipelining) waits for the response under way.
        this.stash(block, start, end);
        start = end;
        break;
      }
      if (!this.isReading) this.beginMessage();
      if (decoder.head === null) decoder.head = parts.heads.take();
      const count = decoder.feed(bytes, start, end, this);
      if (this.isClosing) break;
      if (count < 0) {
        this.badBytes(-count, decoder.faultDetail);
        break;
      }
      start += count;
      if (this.isRequestDone && this.isResponseDone) this.over();
      else if (count === 0) {
        if (this.sink === null) this.setDeadline(this.startedMs + this.listener.plan.timeouts.headerMs);
        break;
      }
    }
    this.isProcessing = false;
    if (this.isClosing) return end;
    if (this.isResponseDone) this.settle();
    else if (this.sink !== null && !this.isRequestDone && !this.isTunnel) this.watchRate();
    else if (start === end && !this.isReading) this.becomeIdle();
    return this.isClosing || this.isDeaf ? end : start;
  }

  private beginMessage(): void {
    const { now } = this.parts.engine;
    this.isReading = true;
    this.isRequestDone = this.isResponseDone = false;
    this.startedMs = now;
    this.idleMs = now - this.idleSinceMs;
    this.rate.begin();
    this.clients.unlinkIdle(this);
  }

  /** Keeps bytes of an incomplete head. */
  private keep(start: number, end: number): void {
    if (this.isClosing) return;
    const taken = this.carry.append(start, end);
    if (taken < end - start) this.badBytes(taken < 0 ? fault.overload : fault.headTooLarge, 'head larger than a block');
  }

  private badBytes(faultId: number, detail: string): void {
    // Answered already: the rest of the request is of no interest.
    if (this.isResponseDone) this.isDeaf = true;
    else if (this.sink === null) this.reject(faultId, detail);
    else this.requestFault(faultId, detail);
  }

  /** No head could be read: answers and closes. Never called with an exchange under way. */
  private reject(faultId: number, detail: string): void {
    if (this.isClosing) return;
    this.keepAlive = false;
    this.isDeaf = true;
    this.deadlineMs = Infinity;
    this.isRequestDone = true;
    this.clients.unlinkIdle(this);
    this.parts.taker.onBadRequest(this, this.listener, faultId, detail);
  }

  /** The body of the request under way went wrong: relay/ answers where it still can. */
  private requestFault(faultId: number, detail: string): void {
    const { sink } = this;
    this.keepAlive = false;
    this.isDeaf = true;
    if (sink !== null) sink.onRequestFault(faultId, detail);
  }

  private stash(block: number, start: number, end: number): void {
    this.parts.blocks.retain(block);
    this.stashBlock = block;
    this.stashStart = start;
    this.stashEnd = end;
    this.isPausedByUs = true;
    this.applyPause();
  }

  private dropStash(): void {
    if (this.stashBlock === NO_BLOCK) return;
    this.parts.blocks.release(this.stashBlock);
    this.stashBlock = NO_BLOCK;
  }

  /** The response is complete; so is the exchange, when the request is. */
  private settle(): void {
    if (!this.isRequestDone) {
      // The answer came before the end of the request: the rest of it is not read.
      this.sink = null;
      this.close(closeHow.linger);
      return;
    }
    this.over();
    if (this.isClosing) return;
    if (this.stashBlock === NO_BLOCK) {
      this.becomeIdle();
      return;
    }
    const { stashBlock, stashStart, stashEnd } = this;
    this.stashBlock = NO_BLOCK;
    this.isPausedByUs = false;
    const left = this.process(stashBlock, stashStart, stashEnd);
    if (left < stashEnd) this.keep(left, stashEnd);
    this.parts.blocks.release(stashBlock);
    if (this.isClosing) return;
    this.applyPause();
  }

  /** Both messages are complete. */
  private over(): void {
    this.sink = null;
    this.isReading = false;
    this.isRequestDone = this.isResponseDone = false;
    this.countBytes();
    this.wire.drainBelow = -1;
    this.isPausedByRelay = false;
    if (!this.isPausedByUs) this.wire.resume();
    if (!this.keepAlive) this.close(this.isDeaf || this.stashBlock !== NO_BLOCK ? closeHow.linger : closeHow.flush);
  }

  private becomeIdle(): void {
    if (this.hasPeerEnded) {
      this.close(closeHow.flush);
      return;
    }
    if (this.isIdle) return;
    this.giveHead();
    this.idleSinceMs = this.parts.engine.now;
    this.clients.linkIdle(this);
    this.setDeadline(this.idleSinceMs + this.listener.plan.timeouts.idleMs);
  }

  private applyPause(): void {
    if (this.isPausedByRelay || this.isPausedByUs) this.wire.pause();
    else this.wire.resume();
  }

  private giveHead(): void {
    const { decoder } = this;
    if (decoder.head === null) return;
    this.parts.heads.give(decoder.head);
    decoder.head = null;
  }

  private close(how: number): void {
    if (this.isClosing) return;
    this.isClosing = true;
    if (this.isAdmitted) {
      this.countsAsClosing = true;
      this.clients.closing++;
    }
    this.writer.drop();
    this.clients.unlinkIdle(this);
    // A deadline of what was before says nothing about how fast the rest has to leave.
    this.disarm();
    if (how !== closeHow.reset && this.wire.queued > FLUSH_FREE_BYTES) {
      this.rate.beginFlush(this.wire, this.parts.engine.now);
      this.watchRate();
    }
    this.wire.close(how);
  }

  private countBytes(): void {
    const { wire } = this;
    this.parts.table.wireBytes(this.listener.plan.id, wire.received - this.countedReceived, wire.sent - this.countedSent);
    this.countedReceived = wire.received;
    this.countedSent = wire.sent;
  }
}
