/**
 * The watch over the pace of one client connection (threats: slow bodies, slow readers): what moved since the last look, where there was
 * something to move, against the least that a listener asks for. Whoever holds it looks from time to time and acts on what it says.
 *
 * It does not know: timers, exchanges.
 */
import type { Wire } from '../base/wire.ts';

export const pace = Object.freeze({
  /** There is nothing to move: the next look comes when there is. */
  idle: 0,
  /** It moves, or was looked at for the first time. */
  good: 1,
  readingSlow: 2,
  writingSlow: 3,
});

export class RateWatch {
  /** When was looked last, ms of the engine; -1: not yet. */
  private markMs = -1;
  // What was to be moved then, and what had been.
  private isReading = false;
  private isWriting = false;
  private received = 0;
  private sent = 0;

  /** Another message, or another connection: what moved before counts for nothing. */
  begin(): void {
    this.markMs = -1;
  }

  /** Reading was stopped for a while: what the client did not send meanwhile is not held against it. */
  excuseReading(): void {
    this.isReading = false;
  }

  /**
   * Looks; returns one of {@link pace}. `isReading`: the client has to send; it has to read while bytes are queued. `bytesMin` a second have to
   * move each way; 0: something has to.
   */
  look(wire: Wire, now: number, bytesMin: number, isReading: boolean): number {
    const isWriting = wire.queued > 0;
    if (!isReading && !isWriting) {
      this.markMs = -1;
      return pace.idle;
    }
    if (this.markMs >= 0) {
      const floor = Math.max(1, (bytesMin * (now - this.markMs)) / 1000);
      if (isReading && this.isReading && wire.received - this.received < floor) return pace.readingSlow;
      if (isWriting && this.isWriting && wire.sent - this.sent < floor) return pace.writingSlow;
    }
    this.markMs = now;
    this.isReading = isReading;
    this.isWriting = isWriting;
    this.received = wire.received;
    this.sent = wire.sent;
    return pace.good;
  }

  /** The connection is being closed: from here what is queued has to leave. */
  beginFlush(wire: Wire, now: number): void {
    this.markMs = now;
    this.sent = wire.sent;
  }

  /** The same look at a connection that is being closed. Without a rate the wire itself gives up on a peer that takes nothing. */
  lookAtFlush(wire: Wire, now: number, bytesMin: number): number {
    if (wire.queued === 0) return pace.idle;
    if (wire.sent - this.sent < (bytesMin * (now - this.markMs)) / 1000) return pace.writingSlow;
    this.beginFlush(wire, now);
    return pace.good;
  }
}
