/**
 * Deadline: the one timer of an exchange. Which limit holds depends on what is waited for:
 *
 *     placing: the queue's own | backoff: its end | sending: idle, while the client is paused | waiting for the head: response, perTry, hedge
 *     copying back: idle, while the endpoint is not paused (a slow client has a minimum rate of its own) | tunnel: idle | all of it: request
 */
import { fault } from '../base/faults.ts';
import type { TimerOwner } from '../base/wire.ts';
import type { Exchange } from './exchange.ts';
import type { Relay } from './relay.ts';
import { endIdleTunnel } from './upgrade.ts';

/** A tunnel of which one side has ended lives on this long without a byte. */
const HALF_OPEN_MS = 30_000;
/** With nothing to wait for, one looks again after this. */
const IDLE_LOOK_MS = 10_000;

export class Deadline implements TimerOwner {
  private readonly relay: Relay;
  private readonly exchange: Exchange;
  // A timer that is under way when the exchange ends serves the next one.
  private ticket = 0;
  private ticketMs = Infinity;

  constructor(relay: Relay, exchange: Exchange) {
    this.relay = relay;
    this.exchange = exchange;
  }

  /** Something changed: sees to it that the timer fires in time. */
  arm(): void {
    const due = this.dueMs();
    // A little slack: a timer that fires early looks again, and steady traffic moves no timer at all.
    if (this.ticket !== 0 && this.ticketMs <= due) return;
    const { engine } = this.relay;
    if (this.ticket !== 0) engine.cancelTimer(this.ticket);
    this.ticketMs = due === Infinity ? engine.now + IDLE_LOOK_MS : due;
    this.ticket = engine.setTimer(Math.max(0, this.ticketMs - engine.now), this, 0);
  }

  onTimer(): void {
    const { exchange } = this;
    this.ticket = 0;
    this.ticketMs = Infinity;
    if (exchange.client === null) return;
    const { now } = this.relay.engine;
    if (now < this.dueMs()) {
      this.arm();
      return;
    }
    const { requestMs } = exchange.route!.plan.timeouts;
    if (exchange.isTunnel) endIdleTunnel(exchange);
    else if (requestMs > 0 && now >= exchange.beganMs + requestMs) exchange.onRequestTimeout();
    else if (exchange.tries.isWaiting) exchange.tries.resume();
    else if (now >= exchange.hedging.dueMs) {
      exchange.hedging.start();
      if (exchange.client !== null) this.arm();
    } else if (exchange.download.isBegun) exchange.failEndpoint(fault.readTimeout, 'idle timeout');
    else exchange.failEndpoint(exchange.upload.isSent ? fault.responseTimeout : fault.writeTimeout, 'no answer in time');
  }

  /** When the phase under way must have moved on. */
  private dueMs(): number {
    const { exchange } = this;
    const { upload, tries, hedging, lastMs } = exchange;
    const { timeouts, retry } = exchange.route!.plan;
    if (exchange.placement.isWaiting) return Infinity;
    let due = timeouts.requestMs > 0 ? exchange.beganMs + timeouts.requestMs : Infinity;
    if (exchange.isTunnel) {
      const isHalfOpen = exchange.download.isEnded || upload.isEnded;
      due = Math.min(due, lastMs + (isHalfOpen ? Math.min(HALF_OPEN_MS, timeouts.tunnelMs) : timeouts.tunnelMs));
    } else if (exchange.stream === null) return tries.isWaiting ? Math.min(due, tries.resumeMs) : due;
    else if (exchange.download.isBegun) {
      if (!exchange.download.isPaused) due = Math.min(due, lastMs + timeouts.idleMs);
    } else if (upload.isSent) {
      due = Math.min(due, exchange.sentMs + timeouts.responseMs, hedging.dueMs);
      if (retry.perTryMs > 0) due = Math.min(due, exchange.attemptMs + retry.perTryMs);
    } else if (upload.isPaused) due = Math.min(due, lastMs + timeouts.idleMs);
    return due;
  }
}
