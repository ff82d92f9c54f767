/**
 * One HTTP/1.1 wire to an endpoint, and the lease on it.
 *
 *     dialing --open--> idle --lease--> busy --both messages complete, reusable--> idle
 *        |                |               |
 *        '-- fails        '-- peer closes '-- cut, not reusable, cancelled --> closed
 *
 * Rules
 * 1. Bytes on an idle wire, or behind a complete response, are nobody's answer: the wire is closed (response queue poisoning).
 * 2. A response that ends before its request does ends the wire.
 * 3. A wire on which a client was named (PROXY protocol) serves that one exchange: what is said on it is said by that client.
 */
import { Carry } from '../base/carry.ts';
import type { ClientAddress } from '../base/client-address.ts';
import { fault } from '../base/faults.ts';
import { framing, type Head } from '../base/head.ts';
import type { ClientStream, EndpointStream, ResponseSink } from '../base/stream.ts';
import { closeHow, type TimerOwner, type Wire, type WireOwner } from '../base/wire.ts';
import { Http1Decoder, Http1Writer } from '../protocol/http1/http1.ts';
import type { MessageSink } from '../protocol/message.ts';
import type { ProxyLineFacts } from '../protocol/proxy-line/proxy-line.ts';
import type { Endpoint } from './endpoint.ts';
import type { UpstreamParts } from './parts.ts';
import { sendProxyLine } from './proxy-line.ts';

export const wireState = Object.freeze({ dialing: 0, idle: 1, busy: 2, closed: 3 });

export class Http1EndpointConnection implements EndpointStream, WireOwner, MessageSink, TimerOwner {
  readonly endpoint: Endpoint;
  state: number = wireState.dialing;
  isReused = false;
  /** Exchanges begun on this wire. */
  requests = 0;
  idleSinceMs = 0;
  /** A client was named on it. */
  isNamed = false;
  /** Counted among the endpoint's busy wires. */
  countsAsBusy = false;
  // Neighbours in the endpoint's idle list, oldest first.
  older: Http1EndpointConnection | null = null;
  newer: Http1EndpointConnection | null = null;
  sink: ResponseSink | null = null;

  private readonly parts: UpstreamParts;
  private wire: Wire | null = null;
  private readonly decoder: Http1Decoder;
  private readonly writer: Http1Writer;
  private readonly carry: Carry;
  private block = -1;
  private dialTicket = 0;
  private dialStartMs = 0;
  private source = -1;
  private isRequestDone = false;
  private isResponseDone = false;
  private isHeadSeen = false;
  private isTunnel = false;
  private keepAlive = true;

  constructor(endpoint: Endpoint, parts: UpstreamParts) {
    this.endpoint = endpoint;
    this.parts = parts;
    this.decoder = new Http1Decoder('response', parts.responseLimits);
    this.writer = new Http1Writer(parts.blocks);
    this.carry = new Carry(parts.blocks);
  }

  /** Opens the wire. The outcome goes to the endpoint. */
  dial(connectMs: number): void {
    const { engine } = this.parts;
    this.dialStartMs = engine.now;
    this.connect();
    this.dialTicket = engine.setTimer(connectMs, this, 0);
  }

  private connect(): void {
    const { engine } = this.parts;
    const { address, sources } = this.endpoint;
    this.source = sources.next(engine.now);
    this.wire = engine.dial(address, this, sources.address(this.source));
  }

  /** Takes the wire for one exchange. */
  lease(sink: ResponseSink): void {
    this.state = wireState.busy;
    this.countsAsBusy = true;
    this.sink = sink;
    this.isReused = this.requests > 0;
    this.requests++;
    this.isRequestDone = this.isResponseDone = this.isHeadSeen = this.isTunnel = false;
    this.keepAlive = true;
  }

  /** Can an idle wire still be trusted, as far as is known without a system call? */
  get isFit(): boolean {
    const { wire } = this;
    return wire?.isOpen === true && !wire.hasUnread;
  }

  // The lease (EndpointStream).

  get queued(): number {
    return this.wire === null ? 0 : this.wire.queued;
  }
  get drainBelow(): number {
    return this.wire === null ? -1 : this.wire.drainBelow;
  }
  set drainBelow(bytes: number) {
    if (this.wire !== null) this.wire.drainBelow = bytes;
  }

  sendHead(head: Head, upgrade: boolean, client: ClientStream, from: ClientAddress): boolean {
    const { lineVersion } = this.endpoint;
    if (lineVersion !== 0 && !this.sendLine(lineVersion, client, from)) return false;
    this.decoder.expect(head.method);
    return this.writer.requestHead(this.wire!, head, upgrade, !this.isNamed, head.framing === framing.chunked);
  }

  /** Says who the client is, in front of all else. False when no block is free. */
  private sendLine(version: number, client: ClientStream, from: ClientAddress): boolean {
    const { tls } = client;
    lineFacts.authority = tls === null ? '' : tls.serverName;
    lineFacts.alpn = tls === null ? '' : tls.alpn;
    lineFacts.isSecure = tls !== null;
    this.isNamed = sendProxyLine(this.parts.blocks, this.wire!, version, from, client.destination(), lineFacts);
    return this.isNamed;
  }

  sendBody(block: number, start: number, end: number): void {
    if (this.isTunnel) this.writer.raw(this.wire!, block, start, end);
    else if (!this.writer.body(this.wire!, block, start, end)) this.fail(fault.overload, 'no block free');
  }

  sendEnd(trailers: Head | null): void {
    this.isRequestDone = true;
    if (!this.writer.end(this.wire!, trailers)) this.fail(fault.overload, 'no block free');
  }

  pause(): void {
    if (this.wire !== null) this.wire.pause();
  }
  resume(): void {
    if (this.wire !== null) this.wire.resume();
  }

  cancel(): void {
    this.sink = null;
    // A wire still being dialled is not wasted: it becomes idle.
    if (this.state === wireState.busy) this.shut(this.isTunnel ? closeHow.flush : closeHow.reset);
  }

  breakOff(): void {
    this.sink = null;
    this.shut(closeHow.reset);
  }

  startTunnel(): void {
    this.isTunnel = true;
    this.writer.drop();
  }

  sendClose(): void {
    if (this.wire !== null) this.wire.sendClose();
  }

  /** Closes an idle (or finished) wire. */
  shut(how: number): void {
    const { wire } = this;
    if (this.state === wireState.closed || wire === null) return;
    this.state = wireState.closed;
    this.writer.drop();
    wire.close(how);
  }

  // The wire (WireOwner).

  onOpen(): void {
    const { engine } = this.parts;
    engine.cancelTimer(this.dialTicket);
    this.dialTicket = 0;
    this.endpoint.onDialled(this, engine.now - this.dialStartMs);
  }

  /** The dial took too long. */
  onTimer(): void {
    this.dialTicket = 0;
    if (this.state !== wireState.dialing) return;
    this.state = wireState.closed;
    this.wire!.close(closeHow.reset);
    this.endpoint.onDialFailed(this, fault.connectionTimeout, this.parts.engine.now - this.dialStartMs);
  }

  onBytes(wire: Wire, block: number, start: number, end: number): void {
    if (this.state !== wireState.busy) {
      this.endpoint.onUnasked(this);
      return;
    }
    if (this.isTunnel) {
      this.sink!.onResponseBody(block, start, end);
      return;
    }
    if (this.carry.isEmpty) {
      const left = this.decode(block, start, end);
      if (left >= 0 && left < end && this.carry.append(left, end) < 0) this.fail(fault.overload, 'no block free');
      return;
    }
    while (start < end && this.state === wireState.busy) {
      const taken = this.carry.append(start, end);
      if (taken <= 0) {
        this.fail(taken < 0 ? fault.overload : fault.responseHeadTooLarge, 'head larger than a block');
        return;
      }
      start += taken;
      const from = this.carry.start;
      const left = this.decode(this.carry.block, from, this.carry.end);
      if (left < 0) {
        this.carry.clear();
        return;
      }
      if (!this.carry.consume(left - from)) {
        this.fail(fault.overload, 'no block free');
        return;
      }
      if (this.carry.isEmpty && start < end) {
        // The rest continues where the kept bytes ended, and is decoded where it lies.
        this.onBytes(wire, block, start, end);
        return;
      }
    }
  }

  onRecvEnd(): void {
    if (this.isTunnel && this.state === wireState.busy) {
      this.sink!.onResponseEnd();
      return;
    }
    if (this.state === wireState.busy) {
      this.keepAlive = false;
      this.endOfStream();
    } else if (this.state === wireState.idle) this.endpoint.onUnasked(this);
  }

  onDrained(): void {
    if (this.sink !== null) this.sink.onEndpointDrained();
  }

  onClosed(_wire: Wire, errno: number): void {
    const was = this.state;
    const { engine } = this.parts;
    const { now } = engine;
    const { sources } = this.endpoint;
    const dialFault = was === wireState.dialing ? sources.faultOf(this.source, errno, engine) : fault.none;
    if (was === wireState.dialing && sources.isAnotherLeft(this.source, errno, now)) {
      this.endpoint.onRedial(dialFault, now - this.dialStartMs);
      this.connect();
      return;
    }
    this.wire = null;
    this.writer.drop();
    this.carry.clear();
    if (this.dialTicket !== 0) this.parts.engine.cancelTimer(this.dialTicket);
    this.dialTicket = 0;
    if (this.decoder.head !== null) {
      this.parts.heads.give(this.decoder.head);
      this.decoder.head = null;
    }
    if (was === wireState.dialing) {
      this.state = wireState.closed;
      this.endpoint.onDialFailed(this, dialFault, now - this.dialStartMs);
    } else if (was === wireState.idle) {
      this.endpoint.onUnasked(this);
    } else if (was === wireState.busy) {
      this.state = wireState.closed;
      const { sink } = this;
      this.sink = null;
      if (sink !== null) {
        if (this.isTunnel && errno === 0) sink.onResponseEnd();
        else
          sink.onEndpointFault(
            this.isHeadSeen ? fault.responseIncomplete : fault.connectionTerminated,
            errno === 0 ? 'closed' : 'reset',
          );
      }
    }
    this.endpoint.onGone(this);
  }

  // The decoder (MessageSink).

  onHead(head: Head): void {
    const { sink } = this;
    if (sink === null) return;
    if (head.status >= 200 || head.status === 101) {
      this.isHeadSeen = true;
      this.keepAlive = head.keepAlive && head.framing !== framing.untilClose;
    }
    sink.onResponseHead(head);
    this.parts.heads.give(head);
  }

  onBody(start: number, end: number): void {
    if (this.sink !== null) this.sink.onResponseBody(this.block, start, end);
  }

  onTrailers(head: Head): void {
    if (this.sink !== null) this.sink.onResponseTrailers(head);
  }

  onEnd(): void {
    this.isResponseDone = true;
  }

  /** Feeds bytes; returns where it stopped, or -1 when the exchange is over or failed. */
  private decode(block: number, start: number, end: number): number {
    const { decoder, parts } = this;
    const { bytes } = parts.blocks;
    this.block = block;
    while (start < end) {
      if (decoder.head === null) decoder.head = parts.heads.take();
      const count = decoder.feed(bytes, start, end, this);
      if (this.state !== wireState.busy || this.sink === null) return -1;
      if (count < 0) {
        this.fail(-count, decoder.faultDetail);
        return -1;
      }
      start += count;
      if (this.isTunnel) return this.tunnelRest(block, start, end);
      if (this.isResponseDone) {
        this.over(start === end);
        return -1;
      }
      if (count === 0) return start;
    }
    return start;
  }

  private tunnelRest(block: number, start: number, end: number): number {
    if (start < end) this.sink!.onResponseBody(block, start, end);
    return end;
  }

  private endOfStream(): void {
    const faultId = this.decoder.finish(this);
    if (faultId !== 0) this.fail(this.isHeadSeen ? fault.responseIncomplete : fault.connectionTerminated, 'closed');
    else if (this.isResponseDone) this.over(true);
    else this.fail(fault.connectionTerminated, 'closed');
  }

  /** The response is complete. `isClean`: nothing stands behind it. */
  private over(isClean: boolean): void {
    const sink = this.sink!;
    this.sink = null;
    const { decoder } = this;
    if (decoder.head !== null) {
      this.parts.heads.give(decoder.head);
      decoder.head = null;
    }
    // The exchange may have paused the wire for a slow client just before the end came.
    this.wire!.drainBelow = -1;
    this.wire!.resume();
    if (this.isRequestDone && this.keepAlive && isClean && this.wire!.isOpen) this.endpoint.putBack(this);
    else this.shut(this.isRequestDone ? closeHow.flush : closeHow.reset);
    sink.onResponseEnd();
  }

  private fail(faultId: number, detail: string): void {
    const { sink } = this;
    this.sink = null;
    this.shut(closeHow.reset);
    if (sink !== null) sink.onEndpointFault(faultId, detail);
  }
}

const lineFacts: ProxyLineFacts = { authority: '', alpn: '', isSecure: false };
