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
 *
 * Here stands what others call: the listener, the wire, the decoder, the timer wheel, and relay/ by way of ClientStream. What it is made of stands in
 * http1-connection-state.ts; its parts are -receive (bytes in), -fault (what the client did wrong), -send (the response out), -next (from one
 * exchange to the next), -time (deadlines and pace) and -close (the end).
 */
import { NO_BLOCK } from '../base/blocks.ts';
import { ClientAddress } from '../base/client-address.ts';
import { fault } from '../base/faults.ts';
import type { Head } from '../base/head.ts';
import type { ClientStream } from '../base/stream.ts';
import { closeHow, type TimerOwner, type Wire, type WireOwner } from '../base/wire.ts';
import type { MessageSink } from '../protocol/message.ts';
import { protocol } from '../state/doors.ts';
import type { ClientConnection } from './client-connection.ts';
import type { Clients } from './clients.ts';
import type { ConnectionKit } from './connection-kit.ts';
import { breakOff, bury, close } from './http1-connection-close.ts';
import { applyPause, dropStash, receive } from './http1-connection-receive.ts';
import { sendEnd, sendHead } from './http1-connection-send.ts';
import { Http1ClientState } from './http1-connection-state.ts';
import { onTime, setDeadline, watchRate } from './http1-connection-time.ts';
import type { Listener } from './listener.ts';
import type { ListenParts } from './parts.ts';
import type { StreamOrigin } from './stream-connection.ts';

/** Lent by destination(). */
const ownEnd = new ClientAddress();

export class Http1ClientConnection
  extends Http1ClientState
  implements ClientStream, ClientConnection, WireOwner, MessageSink, TimerOwner
{
  readonly protocol = protocol.http1;

  /** `from`: what a PROXY line told; null: the peer is the client. */
  constructor(
    wire: Wire,
    listener: Listener,
    parts: ListenParts,
    clients: Clients,
    kit: ConnectionKit,
    from: StreamOrigin | null,
  ) {
    super(wire, listener, parts, clients, kit, from);
    wire.owner = this;
  }

  /** The connection was admitted: its first request is awaited under the header deadline. */
  begin(): void {
    this.isAdmitted = true;
    this.idleSinceMs = this.parts.engine.now;
    this.clients.linkIdle(this);
    setDeadline(this, this.idleSinceMs + this.listener.plan.timeouts.headerMs);
  }

  /** Closes without an answer. */
  turnAway(how: number): void {
    this.isClosing = true;
    this.wire.close(how);
  }

  /** Closes an idle connection because others need the room, or the worker leaves. */
  shed(): void {
    close(this, closeHow.flush);
  }

  /** The worker leaves: an idle connection that has served goes, others end with their response. */
  cut(): void {
    if (this.isClosing) this.wire.close(closeHow.reset);
    else if (this.sink === null) close(this, closeHow.flush);
    else breakOff(this, fault.draining);
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
    if (bytes >= 0) watchRate(this);
  }

  sendHead(head: Head): void {
    sendHead(this, head);
  }

  sendBody(block: number, start: number, end: number): void {
    if (this.isClosing) return;
    if (this.isTunnel) this.writer.raw(this.wire, block, start, end);
    else if (!this.writer.body(this.wire, block, start, end)) this.abort();
  }

  sendEnd(trailers: Head | null): void {
    sendEnd(this, trailers);
  }

  pause(): void {
    this.isPausedByRelay = true;
    this.rate.excuseReading();
    applyPause(this);
  }
  resume(): void {
    this.isPausedByRelay = false;
    applyPause(this);
  }

  abort(): void {
    this.sink = null;
    close(this, closeHow.reset);
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
      dropStash(this);
    }
    applyPause(this);
  }

  // The wire (WireOwner).

  onOpen(): void {}

  onBytes(_wire: Wire, block: number, start: number, end: number): void {
    receive(this, block, start, end);
  }

  onRecvEnd(): void {
    this.hasPeerEnded = true;
    if (this.isClosing) return;
    if (this.isTunnel) {
      this.sink?.onRequestEnd();
      if (this.isTunnelSent) close(this, closeHow.flush);
      return;
    }
    // The client has said all it will say. Requests that are complete are still answered (half-close).
    if (this.sink === null) {
      if (this.stashBlock === NO_BLOCK) close(this, closeHow.flush);
    } else if (!this.isRequestDone) breakOff(this, fault.clientAborted);
  }

  onDrained(): void {
    if (this.sink !== null) this.sink.onClientDrained();
  }

  onClosed(): void {
    bury(this);
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

  // Time (TimerOwner).

  onTimer(): void {
    onTime(this);
  }
}
