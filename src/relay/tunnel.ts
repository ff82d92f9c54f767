/**
 * One connection carried as it is: pick -> dial (stream-placement.ts) -> bytes both ways -> settle.
 *
 *     begin --pick--> dialling --open--> carrying --one FIN--> half closed --other FIN--> over
 *              ^         |                  |                      |
 *              '- failed '                  '-- reset, idle, total time, cut: both sides are reset
 *
 * Rules
 * 1. Bytes pass from wire to wire in the blocks they came in, or past here inside the kernel (Wire.pourInto): nothing is copied here.
 * 2. The faster side waits for the slower: at most limits.bufferBytesMax are queued on either, besides a pipe of the kernel.
 * 3. A FIN is passed on as a FIN, the other direction goes on. A reset is passed on as a reset, so that nobody takes a cut stream for a whole one.
 * 4. Nothing of the client is sent before the endpoint's wire is open, so another endpoint may be tried as long as none is.
 */
import { NONE } from '../balance/balance.ts';
import { NO_BLOCK } from '../base/blocks.ts';
import { fault } from '../base/faults.ts';
import type { StreamClient, StreamSink } from '../base/stream-client.ts';
import { closeHow, type TimerOwner, type Wire } from '../base/wire.ts';
import type { StreamRoute } from '../route/route.ts';
import type { ListenerFacts } from './exchange.ts';
import { sendLineAhead } from './line-ahead.ts';
import type { LogRecord } from './log-record.ts';
import type { Relay } from './relay.ts';
import { StreamPlacement } from './stream-placement.ts';
import { ender } from './trail.ts';
import { fillTunnelRecord } from './tunnel-record.ts';

/** Endpoint connections that carried something and ended in order count as this in the table: a good end. */
const GOOD = 200;

export class Tunnel extends StreamPlacement implements TimerOwner, StreamSink {
  readonly listener: ListenerFacts;
  /** Its id is made of it. */
  readonly number: number;
  faultId = 0;
  /** When it was known what it is: first bytes are waited for before. */
  beganMs = 0;
  connectedMs = 0;
  endedMs = 0;
  /** When the endpoint's first byte came. */
  firstByteMs = 0;
  /** Who ended first. */
  endedBy: number = ender.nobody;
  // Totals of the two wires, kept beyond their end.
  bytesIn = 0;
  bytesOut = 0;

  private readonly near: Wire;
  private isNearGone = false;
  private isFarOpen = false;
  private isHalfClosed = false;
  private isOver = false;
  private lastMs = 0;
  // What the client sent before the endpoint's wire was open, held.
  private firstBlock = NO_BLOCK;
  private firstStart = 0;
  private firstEnd = 0;
  private ticket = 0;
  private ticketMs = Infinity;

  constructor(relay: Relay, client: StreamClient, listener: ListenerFacts, route: StreamRoute) {
    super(relay, client, listener.plan.id, route);
    this.listener = listener;
    this.number = relay.nextNumber();
    this.near = client.wire;
  }

  /** Takes the connection. `block` holds what the client has sent already, lent for the call; NO_BLOCK: nothing. */
  begin(block: number, start: number, end: number): void {
    const { relay, client } = this;
    this.beganMs = this.lastMs = relay.engine.now;
    this.near.owner = this;
    client.sink = this;
    this.near.pause();
    if (block !== NO_BLOCK) {
      relay.blocks.retain(block);
      this.firstBlock = block;
      this.firstStart = start;
      this.firstEnd = end;
    }
    this.enter();
  }

  cut(): void {
    this.fail(fault.draining);
  }

  /** Who is not connected yet goes elsewhere. */
  onDrainOver(): void {
    if (this.isFarOpen) this.fail(fault.draining);
    else this.giveUpDial(fault.draining);
  }

  // The two wires (WireOwner).

  onOpen(): void {
    const { relay, near } = this;
    const far = this.far!;
    const { now } = relay.engine;
    this.isFarOpen = true;
    this.connectedMs = this.lastMs = now;
    this.runtime.streamEndpoints[this.slot]!.opened(now - this.attemptMs);
    this.retried();
    const { proxyProtocol } = this.pool!.plan;
    if (proxyProtocol !== 0 && !sendLineAhead(relay.blocks, proxyProtocol, this.client, far)) {
      this.fail(fault.overload);
      return;
    }
    if (this.firstBlock !== NO_BLOCK) {
      far.send(this.firstBlock, this.firstStart, this.firstEnd);
      relay.blocks.release(this.firstBlock);
      this.firstBlock = NO_BLOCK;
    }
    near.pourInto(far);
    far.pourInto(near);
    near.resume();
    this.arm();
  }

  onBytes(from: Wire, block: number, start: number, end: number): void {
    const { near } = this;
    const to = from === near ? this.far! : near;
    this.lastMs = this.relay.engine.now;
    if (from !== near && this.firstByteMs === 0) {
      this.firstByteMs = this.lastMs;
      // It may go on for hours: the endpoint is given credit now.
      if (this.slot !== NONE) this.relay.table.worked(this.slot);
    }
    to.send(block, start, end);
    const max = this.listener.plan.limits.bufferBytesMax;
    if (to.queued > max) {
      from.pause();
      to.drainBelow = max >>> 1;
    }
  }

  onDrained(wire: Wire): void {
    this.lastMs = this.relay.engine.now;
    if (wire === this.near) this.far?.resume();
    else this.near.resume();
  }

  onRecvEnd(from: Wire): void {
    const to = from === this.near ? this.far : this.near;
    this.lastMs = this.relay.engine.now;
    if (!this.isHalfClosed) this.endedBy = from === this.near ? ender.client : ender.endpoint;
    this.isHalfClosed = true;
    if (to?.isOpen) to.sendClose();
    this.arm();
  }

  onClosed(wire: Wire, errno: number): void {
    if (wire === this.near) this.nearClosed(errno);
    else this.farClosed(wire, errno);
  }

  private nearClosed(errno: number): void {
    this.isNearGone = true;
    this.bytesIn = this.near.received;
    this.bytesOut = this.near.sent;
    if (this.isOver) {
      this.finish();
      return;
    }
    if (errno !== 0 || !this.isFarOpen) this.note(fault.clientAborted);
    this.far?.close(errno !== 0 || !this.isFarOpen ? closeHow.reset : closeHow.flush);
    this.finish();
  }

  private farClosed(wire: Wire, errno: number): void {
    if (wire !== this.far) return;
    const { near } = this;
    const wasOpen = this.isFarOpen;
    this.far = null;
    this.isFarOpen = false;
    if (!wasOpen) {
      if (this.isOver || this.isNearGone) this.finish();
      else this.dialEnded(errno);
      return;
    }
    this.runtime.streamEndpoints[this.slot]?.closed();
    if (errno !== 0 && !this.isOver && !this.isNearGone)
      this.note(this.firstByteMs === 0 ? fault.connectionTerminated : fault.responseIncomplete);
    this.settle(this.faultId, this.faultId === 0 || this.firstByteMs > 0 ? GOOD : 0, this.responseMs);
    if (!this.isNearGone && !this.isOver) {
      this.isOver = true;
      near.close(errno === 0 ? closeHow.flush : closeHow.reset);
    }
    this.finish();
  }

  // Time.

  onTimer(): void {
    this.ticket = 0;
    this.ticketMs = Infinity;
    if (this.isOver) return;
    const { now } = this.relay.engine;
    if (now < this.dueMs()) {
      this.arm();
      return;
    }
    const { totalMs } = this.route.plan.timeouts;
    if (totalMs > 0 && now >= this.client.startedMs + totalMs) this.fail(fault.streamTotal);
    else if (this.far !== null && !this.isFarOpen) this.giveUpDial(fault.connectionTimeout);
    else this.fail(fault.streamIdle);
  }

  private dueMs(): number {
    const { timeouts } = this.route.plan;
    let due = timeouts.totalMs > 0 ? this.client.startedMs + timeouts.totalMs : Infinity;
    if (this.isFarOpen) {
      const lastMs = Math.max(this.lastMs, this.near.pouredMs, this.far!.pouredMs);
      due = Math.min(due, lastMs + (this.isHalfClosed ? Math.min(timeouts.halfClosedMs, timeouts.idleMs) : timeouts.idleMs));
    } else if (this.far !== null) due = Math.min(due, this.attemptMs + timeouts.connectMs);
    return due;
  }

  protected arm(): void {
    if (this.isOver) return;
    const due = this.dueMs();
    // A timer that fires early looks again: steady traffic moves none.
    if (due === Infinity || (this.ticket !== 0 && this.ticketMs <= due)) return;
    const { engine } = this.relay;
    if (this.ticket !== 0) engine.cancelTimer(this.ticket);
    this.ticketMs = due;
    this.ticket = engine.setTimer(Math.max(0, due - engine.now), this, 0);
  }

  /** What the access log says of it. */
  fillRecord(record: LogRecord, wallMs: number): LogRecord {
    return fillTunnelRecord(this, record, this.relay.idOf(this.number), wallMs);
  }

  // Ends.

  /** Connected to the endpoint's first byte; -1: none came. */
  private get responseMs(): number {
    return this.firstByteMs > 0 ? this.firstByteMs - this.connectedMs : -1;
  }

  private note(faultId: number): void {
    if (this.faultId === 0) this.faultId = faultId;
  }

  /** It goes no further: both sides are reset. */
  protected fail(faultId: number): void {
    if (this.isOver) return;
    this.note(faultId);
    this.isOver = true;
    this.stopWaiting();
    this.far?.close(closeHow.reset);
    if (!this.isNearGone) this.near.close(closeHow.reset);
  }

  /** Counts, logs, and gives everything back, once both sides are closed. */
  private finish(): void {
    if (!this.isNearGone || this.far !== null || this.endedMs > 0) return;
    const { relay, client } = this;
    this.isOver = true;
    this.endedMs = relay.engine.now;
    this.stopWaiting();
    this.settle(this.faultId, 0, this.responseMs);
    if (this.ticket !== 0) relay.engine.cancelTimer(this.ticket);
    this.ticket = 0;
    if (this.firstBlock !== NO_BLOCK) relay.blocks.release(this.firstBlock);
    this.firstBlock = NO_BLOCK;
    this.leavePool();
    relay.reportTunnel(this);
    client.sink = null;
    client.over();
  }
}
