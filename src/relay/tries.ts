/**
 * Tries: is a request sent once more, and when.
 *
 * Rules
 * 1. What was sent in part is never repeated. A request is tried again when no byte of it left, or when nothing was answered and the method is idempotent
 *    and had no body (RFC 9110 §9.2.2).
 * 2. A kept wire that had been closed while it was idle costs no try and no budget: once, the same endpoint is asked over a new one.
 */
import { backoffMs, isIdempotent, isStaleWire, NEVER, NONE, reasonOfFault, reasonOfStatus } from '../balance/balance.ts';
import type { Exchange } from './exchange.ts';
import type { Relay } from './relay.ts';

export class Tries {
  /** Begun, hedges included, those over a new wire to the same endpoint not. */
  count = 0;
  /** Until the backoff ends. */
  isWaiting = false;
  /** When that is, in monotonic ms. */
  resumeMs = 0;
  /** Once is enough. */
  wasStale = false;
  private readonly relay: Relay;
  private readonly exchange: Exchange;
  /** Wait before the next try, and who is avoided then. */
  private backoffMs = 0;
  private avoid = NONE;

  constructor(relay: Relay, exchange: Exchange) {
    this.relay = relay;
    this.exchange = exchange;
  }

  /** One has begun on the table. `kind`: `tryKind`. */
  begin(slot: number, kind: number): void {
    const { table, engine } = this.relay;
    this.exchange.trail.begin(slot, engine.now, table.inFlight(slot), table.poolInFlight(slot), kind);
  }

  /** For the log: the one under way is not the last. `faultId` 0: its answer was not good enough, or it was overtaken. */
  note(faultId: number): void {
    const { exchange } = this;
    this.noteOther(exchange.facts.endpoint, faultId, exchange.attemptMs);
  }

  /** The same of a hedge. */
  noteOther(endpoint: string, faultId: number, beganMs: number): void {
    const { relay } = this;
    if (relay.isLogging) this.exchange.record.addAttempt(endpoint, faultId, relay.engine.now - beganMs);
  }

  /** Did the wire of the try under way end while it was idle, before an answer? */
  isStale(faultId: number): boolean {
    return (
      !this.exchange.download.isBegun && !this.wasStale && this.isRepeatable() && isStaleWire(faultId, this.exchange.isReused)
    );
  }

  /** Nothing was answered, and asking again does no harm. */
  isRepeatable(): boolean {
    const { exchange } = this;
    return !exchange.upload.isBegun && exchange.bytesIn === 0 && isIdempotent(exchange.head!.method);
  }

  /** May a try that ended with this fault be followed by another? It is counted then. */
  take(faultId: number): boolean {
    const { route, upload } = this.exchange;
    if (this.isLast || upload.isBegun) return false;
    return this.takeFor(reasonOfFault(faultId, route!.retryOn, this.isRepeatable()));
  }

  /** The same of one that was answered with this status. */
  takeAfter(status: number): boolean {
    return !this.isLast && this.exchange.upload.isEnded && this.takeFor(this.reasonOf(status));
  }

  /** Is an answer with this status worth another try, if there may be one? */
  isPoor(status: number): boolean {
    return this.reasonOf(status) !== NEVER;
  }

  /** No more than these are allowed. */
  get isLast(): boolean {
    return this.count >= this.exchange.route!.plan.retry.attempts;
  }

  private reasonOf(status: number): number {
    return reasonOfStatus(status, this.exchange.route!.retryOn, this.isRepeatable());
  }

  private takeFor(reason: number): boolean {
    if (reason === NEVER) return false;
    const { exchange } = this;
    const { table, engine, random } = this.relay;
    const { retry, timeouts } = exchange.route!.plan;
    this.backoffMs = this.count > 1 ? backoffMs(retry, this.count, random()) : 0;
    if (timeouts.requestMs > 0 && engine.now + this.backoffMs >= exchange.beganMs + timeouts.requestMs) return false;
    if (!exchange.placement.takeRetry()) return false;
    table.retry(exchange.pool!.plan.id, reason);
    exchange.upload.isSent = false;
    return true;
  }

  /** Tries once more, after the backoff. */
  again(faultId: number, avoid: number): void {
    const { exchange } = this;
    const { now } = this.relay.engine;
    this.note(faultId);
    exchange.headMs = 0;
    if (exchange.leasedMs > 0) exchange.lostMs += now - exchange.leasedMs;
    if (this.backoffMs < 1) {
      exchange.placement.place(avoid);
      return;
    }
    this.avoid = avoid;
    this.isWaiting = true;
    this.resumeMs = now + this.backoffMs;
    exchange.lostMs += this.backoffMs;
    exchange.upload.pause();
    exchange.deadline.arm();
  }

  /** The backoff is over. */
  resume(): void {
    this.isWaiting = false;
    this.exchange.placement.place(this.avoid);
  }

  /** The exchange is over. */
  clear(): void {
    this.count = 0;
    this.isWaiting = this.wasStale = false;
  }
}
