/**
 * Hedge: a second try beside the first, when the first takes long ("The Tail at Scale", Dean and Barroso, 2013). The first final head wins; the other
 * try is cancelled, which costs its wire, and counts neither as a failure nor as a response time of its endpoint.
 *
 *     running --final head, or the first try failed--> promoted: passes everything on to the exchange, of which it is the only try now
 *        '-- it failed, or the first try answered --> over
 *
 * Rules
 * 1. One begin() is followed by one end(): by this object while it runs, by the exchange once it is promoted.
 * 2. Interim heads of a try that may still lose are not passed on.
 */
import { isStaleWire, NONE } from '../balance/balance.ts';
import { fault } from '../base/faults.ts';
import type { Head } from '../base/head.ts';
import type { EndpointStream, ResponseSink } from '../base/stream.ts';
import type { Endpoint } from '../upstream/upstream.ts';
import type { Exchange } from './exchange.ts';
import type { Relay } from './relay.ts';
import { tryKind } from './trail.ts';

export class Hedge implements ResponseSink {
  slot = NONE;
  stream: EndpointStream | null = null;
  isWaiting = false;
  /** Monotonic ms; 0 = not yet. */
  startedMs = 0;
  leasedMs = 0;
  private readonly relay: Relay;
  private exchange: Exchange | null = null;
  private endpoint: Endpoint | null = null;
  private isPromoted = false;

  constructor(relay: Relay) {
    this.relay = relay;
  }

  start(exchange: Exchange, slot: number, endpoint: Endpoint, connectMs: number): void {
    const { relay } = this;
    this.exchange = exchange;
    this.endpoint = endpoint;
    this.slot = slot;
    this.startedMs = relay.engine.now;
    relay.table.begin(slot);
    exchange.tries.begin(slot, tryKind.hedge);
    this.isWaiting = true;
    const stream = endpoint.lease(this, connectMs, false);
    if (stream !== null) this.onLeased(stream);
  }

  /** The exchange goes on with this try alone. */
  promote(): void {
    this.isPromoted = true;
  }

  /** The other try answered first, or nobody waits for an answer any more. */
  cancel(): void {
    if (this.isWaiting) this.endpoint!.cancelLease(this);
    this.stream?.cancel();
    this.end(0, 0, -1);
  }

  /** Forgets everything; it can be used again. */
  reset(): void {
    this.slot = NONE;
    this.stream = null;
    this.isWaiting = this.isPromoted = false;
    this.startedMs = this.leasedMs = 0;
    this.exchange = null;
    this.endpoint = null;
  }

  onLeased(stream: EndpointStream): void {
    const exchange = this.exchange!;
    this.isWaiting = false;
    if (this.isPromoted) {
      exchange.onLeased(stream);
      return;
    }
    this.stream = stream;
    this.leasedMs = this.relay.engine.now;
    if (stream.sendHead(exchange.head!, false, exchange.client!, exchange.from)) stream.sendEnd(null);
    else this.fail(fault.overload, 0);
  }

  onLeaseFailed(faultId: number): void {
    this.isWaiting = false;
    if (this.isPromoted) this.exchange!.onLeaseFailed(faultId);
    else this.fail(faultId, 0);
  }

  onResponseHead(head: Head): void {
    const exchange = this.exchange!;
    if (this.isPromoted) exchange.onResponseHead(head);
    else if (head.status === 101) this.fail(fault.upgradeFailed, 0);
    else if (head.status < 200) return;
    else if (exchange.tries.isPoor(head.status)) this.fail(0, head.status);
    else exchange.hedging.onAnswered(head);
  }

  // What comes after the final head comes to a promoted try only.

  onResponseBody(block: number, start: number, end: number): void {
    this.exchange!.onResponseBody(block, start, end);
  }
  onResponseTrailers(head: Head): void {
    this.exchange!.onResponseTrailers(head);
  }
  onResponseEnd(): void {
    this.exchange!.onResponseEnd();
  }
  onEndpointDrained(): void {
    if (this.isPromoted) this.exchange!.onEndpointDrained();
  }

  onEndpointFault(faultId: number, detail: string): void {
    if (this.isPromoted) {
      this.exchange!.onEndpointFault(faultId, detail);
      return;
    }
    const wasReused = this.stream?.isReused ?? false;
    this.stream = null;
    // A wire that had been closed while it was idle says nothing of the endpoint.
    this.fail(isStaleWire(faultId, wasReused) ? 0 : faultId, 0);
  }

  /** The exchange still has its first try. `status`: of an answer that would be tried again; 0: none came. */
  private fail(faultId: number, status: number): void {
    const exchange = this.exchange!;
    const { now } = this.relay.engine;
    exchange.hedging.onFailed(this, faultId);
    exchange.trail.end(this.slot, faultId, status, now);
    this.stream?.cancel();
    this.end(faultId, status, status === 0 ? -1 : now - this.leasedMs);
  }

  private end(faultId: number, status: number, responseMs: number): void {
    const { relay, slot } = this;
    const poolId = this.exchange!.pool!.plan.id;
    relay.giveBackHedge(this);
    relay.endTry(slot, poolId, faultId, status, responseMs);
  }
}
