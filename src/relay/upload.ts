/**
 * Upload: what the client sends after the head, on its way to the endpoint.
 *
 * Rules
 * 1. What comes before there is a wire is kept, and the client pauses: no more comes than is being decoded already.
 * 2. Of a wire that takes bytes more slowly than they come, at most limits.bufferBytesMax are queued.
 * 3. A request without a body is read on while it waits: only so one hears that the client is gone.
 */
import { framing, type Head } from '../base/head.ts';
import type { EndpointStream } from '../base/stream.ts';
import type { Exchange } from './exchange.ts';
import type { Relay } from './relay.ts';

export class Upload {
  /** The client has sent all of it. */
  isEnded = false;
  /** Some of the body went to an endpoint, so it cannot be sent again. */
  isBegun = false;
  /** The endpoint of this try has been sent all of it. */
  isSent = false;
  /** The client is. */
  isPaused = false;
  private readonly relay: Relay;
  private readonly exchange: Exchange;
  /** (block, start, end) of each piece that came before there was a wire. */
  private readonly pending: number[] = [];

  constructor(relay: Relay, exchange: Exchange) {
    this.relay = relay;
    this.exchange = exchange;
  }

  /** A piece of the body, or of what a tunnel carries. */
  send(block: number, start: number, end: number): void {
    const { exchange, relay } = this;
    exchange.bytesIn += end - start;
    exchange.lastMs = relay.engine.now;
    const { stream } = exchange;
    if (stream === null) {
      if (!exchange.isWaiting) return;
      relay.blocks.retain(block);
      this.pending.push(block, start, end);
      this.pause();
      return;
    }
    this.isBegun = true;
    stream.sendBody(block, start, end);
    // Sending may have failed and ended everything.
    if (exchange.stream !== stream) return;
    const max = exchange.listener!.plan.limits.bufferBytesMax;
    if (stream.queued > max) {
      stream.drainBelow = max >>> 1;
      this.pause();
    }
  }

  /** There is a wire: sends what was kept. False when that ended it. */
  flush(stream: EndpointStream): boolean {
    const { exchange, relay } = this;
    if (this.pending.length > 0) {
      const pieces = this.pending.splice(0);
      this.isBegun = true;
      for (let i = 0; i < pieces.length; i += 3) {
        if (exchange.stream === stream) stream.sendBody(pieces[i]!, pieces[i + 1]!, pieces[i + 2]!);
        relay.blocks.release(pieces[i]!);
      }
    }
    return exchange.stream === stream;
  }

  /** That was all. */
  sendEnd(trailers: Head | null): void {
    const { exchange } = this;
    if (this.isSent || exchange.stream === null) return;
    this.isSent = true;
    exchange.sentMs = this.relay.engine.now;
    if (exchange.route!.plan.retry.hedgeMs > 0) exchange.hedging.plan();
    exchange.stream.sendEnd(trailers);
    if (exchange.stream !== null) exchange.deadline.arm();
  }

  pause(): void {
    const { client, head, isTunnel, deadline } = this.exchange;
    if (this.isPaused || this.isEnded || client === null) return;
    if (head!.framing === framing.none && !isTunnel) return;
    this.isPaused = true;
    client.pause();
    deadline.arm();
  }

  resume(): void {
    if (!this.isPaused) return;
    this.isPaused = false;
    this.exchange.client?.resume();
  }

  /** The exchange is over. */
  clear(): void {
    for (let i = 0; i < this.pending.length; i += 3) this.relay.blocks.release(this.pending[i]!);
    this.pending.length = 0;
    this.isEnded = this.isBegun = this.isSent = this.isPaused = false;
  }
}
