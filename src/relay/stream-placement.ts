/**
 * StreamPlacement: the place of a connection in a pool (place-in-pool.ts), and the wire to its endpoint.
 *
 *     onPlaced -> dial --open--> the tunnel's
 *        ^          |
 *        '- retry --'-- refused, no answer in time, no local port left, endpoint cut meanwhile
 *
 * Rules
 * 1. Another source address is tried at once, without a retry; then another endpoint, as long as there may be a retry.
 * 2. Every pick is followed by one table.begin and one table.end.
 */
import { NONE } from '../balance/balance.ts';
import { fault, faults } from '../base/faults.ts';
import type { StreamClient } from '../base/stream-client.ts';
import { closeHow, type Wire, type WireOwner } from '../base/wire.ts';
import { chooseTarget, type StreamRoute } from '../route/route.ts';
import { retryReason } from '../state/doors.ts';
import type { Carried } from './carried.ts';
import { PlaceInPool } from './place-in-pool.ts';
import type { Relay } from './relay.ts';
import type { PoolRuntime, Runtime } from './runtime.ts';
import { StreamTrail } from './trail.ts';

/** Where an urgent one stands among those who wait (RFC 9218): connections have no urgency of their own. */
const URGENCY = 3;

export abstract class StreamPlacement extends PlaceInPool implements WireOwner, Carried {
  readonly client: StreamClient;
  readonly route: StreamRoute;
  readonly runtime: Runtime;
  readonly listenerId: number;
  /** For the flight recorder. */
  readonly trail = new StreamTrail();
  slot = NONE;
  attempts = 0;
  endpointText = '';
  attemptMs = 0;
  carriedBefore: Carried | null = null;
  carriedAfter: Carried | null = null;
  protected readonly urgency = URGENCY;
  protected far: Wire | null = null;
  private source = -1;
  /** Why the dial was given up here; 0: it was not. */
  private dialFault = 0;

  constructor(relay: Relay, client: StreamClient, listenerId: number, route: StreamRoute) {
    super(relay);
    this.client = client;
    this.route = route;
    this.runtime = relay.runtime!;
    this.listenerId = listenerId;
    this.moveTo(this.runtime.pools[chooseTarget(route.plan.target, relay.random())]!);
  }

  abstract onOpen(wire: Wire): void;
  abstract onBytes(wire: Wire, block: number, start: number, end: number): void;
  abstract onRecvEnd(wire: Wire): void;
  abstract onDrained(wire: Wire): void;
  abstract onClosed(wire: Wire, errno: number): void;
  abstract onDrainOver(): void;
  /** It goes no further. */
  protected abstract fail(faultId: number): void;
  /** What is waited for is another. */
  protected abstract arm(): void;

  protected get plans(): Runtime {
    return this.runtime;
  }

  protected moveTo(pool: PoolRuntime): void {
    this.pool = pool;
    if (pool.key !== null) this.key = pool.key.ofClient(this.client.address, this.relay.random());
  }

  isSuspect(slot: number): boolean {
    return this.runtime.streamEndpoints[slot]?.isSuspect(this.relay.engine.now) ?? false;
  }

  protected onUnplaced(faultId: number): void {
    this.fail(faultId);
  }

  protected onQueued(): void {
    // `total` holds in the queue too.
    this.arm();
  }

  protected waitsUntil(dueMs: number): number {
    return dueMs;
  }

  protected onPlaced(slot: number): void {
    const { relay } = this;
    const endpoint = this.runtime.streamEndpoints[slot];
    this.slot = slot;
    this.endpointText = this.runtime.endpointTexts[slot] ?? '';
    this.attempts++;
    this.attemptMs = relay.engine.now;
    this.dialFault = 0;
    relay.table.begin(slot);
    relay.carried.add(this);
    this.trail.begin(slot, this.attemptMs, relay.table.inFlight(slot), relay.table.poolInFlight(slot));
    if (endpoint === undefined) {
      this.dialFailed(fault.destinationUnavailable);
      return;
    }
    this.far = endpoint.dial(this, this.client.address);
    this.source = endpoint.lastSource;
    this.arm();
  }

  /** Goes on in dialEnded, when the wire is closed. */
  protected giveUpDial(faultId: number): void {
    this.dialFault = faultId;
    this.far!.close(closeHow.reset);
  }

  protected dialEnded(errno: number): void {
    const endpoint = this.runtime.streamEndpoints[this.slot]!;
    const faultId = this.dialFault !== 0 ? this.dialFault : endpoint.faultOf(this.source, errno);
    if (this.dialFault === 0 && endpoint.mayRedial(this.source, errno, faultId, this.relay.engine.now - this.attemptMs)) {
      this.far = endpoint.dial(this, this.client.address);
      this.source = endpoint.lastSource;
    } else this.dialFailed(faultId);
  }

  private dialFailed(faultId: number): void {
    const { relay, slot } = this;
    const isCut = faultId === fault.draining;
    if (!isCut) this.runtime.streamEndpoints[slot]?.failed(faultId, relay.engine.now - this.attemptMs);
    this.settle(faultId, 0, -1);
    if (isCut) this.place(slot);
    else if (faults[faultId]!.retry === 'always' && this.attempts < this.route.plan.attempts && this.takeRetry()) {
      relay.table.retry(this.pool!.plan.id, retryReason.connect);
      this.place(slot);
    } else this.fail(faultId);
  }

  /** The try at the endpoint is over; once per begin(). `responseMs` < 0: it said nothing. */
  protected settle(faultId: number, status: number, responseMs: number): void {
    const { relay, slot } = this;
    if (slot === NONE) return;
    this.slot = NONE;
    relay.carried.remove(this);
    this.trail.end(faultId, relay.engine.now);
    relay.endTry(slot, this.pool!.plan.id, faultId, status, responseMs);
  }
}
