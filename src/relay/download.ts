/**
 * Download: the answer on its way to the client, an endpoint's or weir's own.
 *
 * Rules
 * 1. What filters append to a head, and all of weir's own heads, is written into the exchange's block, behind the request head.
 * 2. Of a client that takes bytes more slowly than they come, at most limits.bufferBytesMax are queued; the endpoint pauses meanwhile.
 */
import { NO_BLOCK } from '../base/blocks.ts';
import { fault } from '../base/faults.ts';
import { framing, type Head } from '../base/head.ts';
import { acceptKind, type RouteAnswer } from '../filter/filter.ts';
import type { Exchange } from './exchange.ts';
import type { Relay } from './relay.ts';

export class Download {
  /** The client has been sent a head. */
  isBegun = false;
  /** And the end. */
  isEnded = false;
  /** The endpoint is. */
  isPaused = false;
  private readonly relay: Relay;
  private readonly exchange: Exchange;

  constructor(relay: Relay, exchange: Exchange) {
    this.relay = relay;
    this.exchange = exchange;
  }

  /** Edits and sends the head of an endpoint. Returns a fault when that cannot be, or 0. */
  sendHead(head: Head): number {
    const { exchange } = this;
    const { blocks } = this.relay;
    const start = blocks.start(exchange.block);
    head.used = start + exchange.head!.used - head.base;
    head.room = start + blocks.size(exchange.block) - head.base;
    const { facts, runtime, route } = exchange;
    const broken = route!.filters.response(head, facts) || runtime!.forwarded.response(head, facts);
    if (broken !== 0) return broken;
    exchange.placement.bind(head, exchange.slot);
    exchange.status = head.status;
    this.isBegun = true;
    exchange.client!.sendHead(head);
    return 0;
  }

  /** A piece of the body, or of what a tunnel carries. */
  send(block: number, start: number, end: number): void {
    const { exchange } = this;
    const client = exchange.client!;
    exchange.bytesOut += end - start;
    exchange.lastMs = this.relay.engine.now;
    client.sendBody(block, start, end);
    const max = exchange.listener!.plan.limits.bufferBytesMax;
    if (client.queued > max && exchange.stream !== null) {
      client.drainBelow = max >>> 1;
      if (!this.isPaused) {
        this.isPaused = true;
        exchange.stream.pause();
      }
    }
  }

  /** That was all; further ends say nothing. */
  sendEnd(trailers: Head | null): void {
    if (this.isEnded) return;
    this.isEnded = true;
    this.exchange.client?.sendEnd(trailers);
  }

  /** The client takes bytes again. */
  resume(): void {
    const { exchange } = this;
    exchange.lastMs = this.relay.engine.now;
    if (!this.isPaused || exchange.stream === null) return;
    this.isPaused = false;
    exchange.stream.resume();
  }

  /** Sends what a fault of the table looks like to a client. Ends the exchange. */
  answerFault(faultId: number, detail: string): void {
    const { exchange, relay } = this;
    const { facts } = exchange;
    const head = this.takeHead();
    facts.accept = exchange.head === null ? 0 : acceptKind(exchange.head);
    facts.date = relay.date();
    this.answer(head, exchange.runtime!.faultAnswers.fill(head, faultId, facts, detail));
  }

  /** Sends what a route without pool answers. Ends the exchange. */
  answerRoute(answer: RouteAnswer): void {
    const { exchange, relay } = this;
    const { facts } = exchange;
    const head = this.takeHead();
    facts.date = relay.date();
    this.answer(head, answer.fill(head, exchange.head!, facts));
  }

  /** The exchange is over. */
  clear(): void {
    this.isBegun = this.isEnded = this.isPaused = false;
  }

  private takeHead(): Head {
    const { blocks, heads } = this.relay;
    const { block, head: request } = this.exchange;
    const head = heads.take();
    const used = request === null ? 0 : request.used;
    head.base = blocks.start(block) + used;
    head.size = head.used = 0;
    head.room = blocks.size(block) - used;
    return head;
  }

  private answer(head: Head, body: Uint8Array): void {
    const { exchange } = this;
    const { blocks, heads } = this.relay;
    const client = exchange.client!;
    exchange.status = head.status;
    this.isBegun = true;
    // A request that is not understood ends its connection, and so does one whose body will not be read.
    const mayGoOn = head.status !== 400 && exchange.head !== null && exchange.head.framing === framing.none;
    if (!exchange.upload.isEnded && !mayGoOn) client.refuseMore();
    client.sendHead(head);
    heads.give(head);
    for (let at = 0; at < body.length && exchange.client === client; ) {
      const block = blocks.take(body.length - at);
      if (block === NO_BLOCK) {
        exchange.abort(fault.overload, 'no block free');
        return;
      }
      const start = blocks.start(block);
      const part = body.subarray(at, at + blocks.size(block));
      blocks.bytes.set(part, start);
      client.sendBody(block, start, start + part.length);
      blocks.release(block);
      at += part.length;
    }
    // Sending may have failed and ended everything.
    if (exchange.client !== client) return;
    exchange.bytesOut = body.length;
    client.sendEnd(null);
    exchange.finish();
  }
}
