/**
 * One endpoint as one worker sees it: its wires, busy and idle, and who waits for one. Keyed by slot, so it outlives plans.
 *
 * The wire used last is leased first: few wires stay warm and the rest expire.
 */
import { fault } from '../base/faults.ts';
import type { EndpointStream, ResponseSink } from '../base/stream.ts';
import { SUSPECT_MS } from '../base/suspect.ts';
import { type Address, closeHow, type TimerOwner } from '../base/wire.ts';
import type { ConnectionsPlan, PoolPlan } from '../state/plan.ts';
import { Http1EndpointConnection, wireState } from './http1-connection.ts';
import type { UpstreamParts } from './parts.ts';
import { Sources } from './sources.ts';

/** How often idle wires and waiting exchanges are looked through. */
const SWEEP_MS = 250;

interface Waiting {
  sink: ResponseSink;
  sinceMs: number;
}

export class Endpoint implements TimerOwner {
  readonly slot: number;
  readonly address: Address;
  plan: ConnectionsPlan;
  readonly sources: Sources;
  /** Pool id, for the queue's metrics. */
  poolId: number;
  /** No longer in the plan: idle wires go, busy ones finish. */
  isRetired = false;
  connectMs = 1000;
  /** Version of the PROXY line that names the client on each wire; 0: there is none, and clients share wires. */
  lineVersion = 0;
  /** Until then other endpoints are preferred: the last dial failed. */
  private suspectUntilMs = 0;

  private readonly parts: UpstreamParts;
  private oldest: Http1EndpointConnection | null = null;
  private newest: Http1EndpointConnection | null = null;
  private idle = 0;
  private busy = 0;
  private readonly dialing: Http1EndpointConnection[] = [];
  private readonly waiting: Waiting[] = [];
  private sweepTicket = 0;

  constructor(slot: number, address: Address, plan: ConnectionsPlan, poolId: number, parts: UpstreamParts) {
    this.slot = slot;
    this.address = address;
    this.plan = plan;
    this.sources = new Sources(address);
    this.poolId = poolId;
    this.parts = parts;
  }

  /** Its pool in the plan that comes into force. */
  use(pool: PoolPlan): void {
    this.plan = pool.connections;
    this.poolId = pool.id;
    this.sources.use(pool.sourceAddress);
    this.lineVersion = pool.proxyProtocol;
    if (!this.sharesWires) this.dropIdle();
  }

  /**
   * The last dial failed a moment ago. Without this a dead endpoint, which has nothing in flight, looks like the least loaded one to every policy that
   * compares loads, until the health checks take it out.
   */
  isSuspect(nowMs: number): boolean {
    return nowMs < this.suspectUntilMs;
  }

  /** Clients use the same wires one after the other: none of them is named on it. */
  private get sharesWires(): boolean {
    return this.lineVersion === 0;
  }

  get wireCount(): number {
    return this.idle + this.busy + this.dialing.length;
  }

  /** A lease asked for now would have to wait for a wire that another exchange gives back. */
  get mustQueue(): boolean {
    const { wiresMax } = this.plan;
    return wiresMax > 0 && this.newest === null && this.wireCount >= wiresMax;
  }

  /**
   * A stream at once, or null: then the sink hears onLeased or onLeaseFailed later (or onLeaseFailed before this returns, when the queue is full). `isFresh` asks for a
   * new wire (the last one turned out stale).
   */
  lease(sink: ResponseSink, connectMs: number, isFresh: boolean): EndpointStream | null {
    if (!isFresh) {
      for (let wire = this.newest; wire !== null; wire = this.newest) {
        this.unlink(wire);
        if (wire.isFit) {
          this.busy++;
          wire.lease(sink);
          this.publish();
          return wire;
        }
        wire.shut(closeHow.flush);
      }
    }
    const { wiresMax, queueMax } = this.plan;
    if (wiresMax > 0 && this.wireCount >= wiresMax) {
      if (this.waiting.length >= queueMax) sink.onLeaseFailed(fault.queueFull);
      else {
        this.waiting.push({ sink, sinceMs: this.parts.engine.now });
        this.parts.table.queue(this.poolId, 1);
        this.armSweep();
      }
      return null;
    }
    this.dial(sink, connectMs);
    return null;
  }

  /** The exchange does not want its lease any more; nothing is called for it from here. */
  cancelLease(sink: ResponseSink): void {
    for (const wire of this.dialing) if (wire.sink === sink) wire.sink = null;
    const at = this.waiting.findIndex((w) => w.sink === sink);
    if (at >= 0) {
      this.waiting.splice(at, 1);
      this.parts.table.queue(this.poolId, -1);
    }
  }

  /** Opens wires ahead, up to plan.warm. */
  warm(): void {
    if (this.isRetired || !this.sharesWires || !this.parts.table.isReady(this.slot)) return;
    while (this.idle + this.dialing.length < this.plan.warm) this.dial(null, this.connectMs);
    if (this.plan.warm > 0) this.armSweep();
  }

  /** Leaves the plan. */
  retire(): void {
    this.isRetired = true;
    this.dropIdle();
  }

  // What wires report.

  onDialled(wire: Http1EndpointConnection, ms: number): void {
    this.dialing.splice(this.dialing.indexOf(wire), 1);
    this.parts.table.connected(this.slot, 0, ms);
    this.suspectUntilMs = 0;
    const { sink } = wire;
    if (sink === null) {
      this.offer(wire);
      return;
    }
    this.busy++;
    wire.lease(sink);
    this.publish();
    sink.onLeased(wire);
  }

  /** A dial from one source found no port, and another source is tried. */
  onRedial(faultId: number, ms: number): void {
    this.parts.table.connected(this.slot, faultId, ms);
  }

  onDialFailed(wire: Http1EndpointConnection, faultId: number, ms: number): void {
    const at = this.dialing.indexOf(wire);
    if (at >= 0) this.dialing.splice(at, 1);
    this.parts.table.connected(this.slot, faultId, ms);
    this.suspectUntilMs = this.parts.engine.now + SUSPECT_MS;
    const { sink } = wire;
    wire.sink = null;
    if (sink !== null) sink.onLeaseFailed(faultId);
    // Those who wait for a wire would wait for nothing when the last one is gone.
    if (this.wireCount === 0) this.failWaiting(faultId);
  }

  /** A wire finished its exchange and can serve another. */
  putBack(wire: Http1EndpointConnection): void {
    this.busy--;
    wire.countsAsBusy = false;
    const { requestsMax } = this.plan;
    if (this.isRetired || !this.sharesWires || wire.isNamed || (requestsMax > 0 && wire.requests >= requestsMax)) {
      this.publish();
      wire.shut(closeHow.flush);
      return;
    }
    this.offer(wire);
  }

  /** Bytes or an end on a wire that should be silent. */
  onUnasked(wire: Http1EndpointConnection): void {
    if (wire.state === wireState.idle) {
      this.unlink(wire);
      this.publish();
    }
    wire.shut(closeHow.flush);
    wire.state = wireState.closed;
  }

  /** The wire of a connection is closed for good. */
  onGone(wire: Http1EndpointConnection): void {
    if (wire.countsAsBusy) {
      wire.countsAsBusy = false;
      this.busy--;
      this.publish();
    }
    this.serveWaiting();
  }

  onTimer(): void {
    this.sweepTicket = 0;
    const { now } = this.parts.engine;
    const { idleMs, queueMs } = this.plan;
    for (
      let wire = this.oldest;
      wire !== null && now - wire.idleSinceMs >= idleMs && this.idle > this.plan.warm;
      wire = this.oldest
    ) {
      this.unlink(wire);
      wire.shut(closeHow.flush);
    }
    while (this.waiting.length > 0 && now - this.waiting[0]!.sinceMs >= queueMs) {
      const { sink, sinceMs } = this.waiting.shift()!;
      this.parts.table.queue(this.poolId, -1);
      this.parts.table.queued(this.poolId, now - sinceMs, true);
      sink.onLeaseFailed(fault.queueTimeout);
    }
    this.warm();
    this.publish();
    if (this.idle > 0 || this.waiting.length > 0) this.armSweep();
  }

  private dial(sink: ResponseSink | null, connectMs: number): void {
    const wire = new Http1EndpointConnection(this, this.parts);
    wire.sink = sink;
    this.dialing.push(wire);
    wire.dial(connectMs);
  }

  /** Gives a free wire to whoever waits longest, else keeps it. */
  private offer(wire: Http1EndpointConnection): void {
    const next = this.waiting.length === 0 ? undefined : this.waiting.shift();
    if (next !== undefined) {
      const { table, engine } = this.parts;
      table.queue(this.poolId, -1);
      table.queued(this.poolId, engine.now - next.sinceMs, false);
      this.busy++;
      wire.lease(next.sink);
      this.publish();
      next.sink.onLeased(wire);
      return;
    }
    if (this.isRetired || !this.sharesWires || this.idle >= this.plan.idleMax) {
      this.publish();
      wire.shut(closeHow.flush);
      return;
    }
    wire.state = wireState.idle;
    wire.idleSinceMs = this.parts.engine.now;
    wire.older = this.newest;
    wire.newer = null;
    if (this.newest !== null) this.newest.newer = wire;
    else this.oldest = wire;
    this.newest = wire;
    this.idle++;
    this.publish();
    if (this.sweepTicket === 0) this.armSweep();
  }

  private dropIdle(): void {
    for (let wire = this.newest; wire !== null; wire = this.newest) {
      this.unlink(wire);
      wire.shut(closeHow.flush);
    }
    this.publish();
  }

  private unlink(wire: Http1EndpointConnection): void {
    if (wire.older !== null) wire.older.newer = wire.newer;
    else this.oldest = wire.newer;
    if (wire.newer !== null) wire.newer.older = wire.older;
    else this.newest = wire.older;
    wire.older = wire.newer = null;
    this.idle--;
  }

  /** A wire went away, so one more may be dialled for those who wait. */
  private serveWaiting(): void {
    const { wiresMax } = this.plan;
    while (this.waiting.length > 0 && (wiresMax === 0 || this.wireCount < wiresMax)) {
      const { sink, sinceMs } = this.waiting.shift()!;
      this.parts.table.queue(this.poolId, -1);
      this.parts.table.queued(this.poolId, this.parts.engine.now - sinceMs, false);
      this.dial(sink, this.connectMs);
    }
  }

  private failWaiting(faultId: number): void {
    const waiting = this.waiting.splice(0);
    if (waiting.length === 0) return;
    this.parts.table.queue(this.poolId, -waiting.length);
    for (const { sink } of waiting) sink.onLeaseFailed(faultId);
  }

  private armSweep(): void {
    if (this.sweepTicket === 0) this.sweepTicket = this.parts.engine.setTimer(SWEEP_MS, this, 0);
  }

  private publish(): void {
    this.parts.table.wires(this.slot, this.idle, this.busy);
  }
}
