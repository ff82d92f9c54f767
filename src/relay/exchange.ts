/**
 * One exchange: read head -> route -> filter -> pick -> lease -> send -> copy back -> settle.
 *
 *     intake --route, filter--> attempt --pick, lease--> waiting --onLeased--> sending --request ended--> awaiting head --head--> answering --end--> over
 *                                 ^                        |                     |                            |                    |
 *                                 '------ may retry -------'---------------------'----------------------------'                    '-- cut: client.abort()
 *
 * Its parts: intake.ts reads, routes and filters; placement.ts finds the endpoint (queues, fallbacks, bound clients); upload.ts carries the
 * request's body, download.ts the answer; tries.ts says what is sent once more, hedging.ts what is sent twice; deadline.ts how long all that may
 * take; upgrade.ts what a tunnel is. It sees heads, pieces and ends, never the bytes of a protocol, and knows neither sockets nor codecs.
 *
 * Rules
 * 1. Every pick is followed by one table.begin and one table.end (balance, rule 3).
 * 2. The faster side waits for the slower: at most limits.bufferBytesMax are queued on either.
 * 3. Nothing is called on a side that ended.
 * 4. It waits for one thing at a time: for a place (placement.ts), for a wire, or for the end of a backoff (tries.ts).
 */
import { NONE } from '../balance/balance.ts';
import { NO_BLOCK } from '../base/blocks.ts';
import { fault, faults } from '../base/faults.ts';
import { framing, type Head } from '../base/head.ts';
import type { EndpointStream, RequestSink, ResponseSink } from '../base/stream.ts';
import type { Carried } from './carried.ts';
import { Deadline } from './deadline.ts';
import { Download } from './download.ts';
import { ExchangeState } from './exchange-state.ts';
import type { Hedge } from './hedge.ts';
import { Hedging } from './hedging.ts';
import { Placement } from './placement.ts';
import type { Relay } from './relay.ts';
import { tryKind } from './trail.ts';
import { Tries } from './tries.ts';
import { closeDownward, closeUpward, cutTunnel, isGoodSwitch, leaveTunnel, startTunnel } from './upgrade.ts';
import { Upload } from './upload.ts';

export type { ListenerFacts } from './exchange-state.ts';

export class Exchange extends ExchangeState implements RequestSink, ResponseSink, Carried {
  readonly relay: Relay;
  readonly placement: Placement;
  readonly upload: Upload;
  readonly download: Download;
  readonly tries: Tries;
  readonly hedging: Hedging;
  readonly deadline: Deadline;

  constructor(relay: Relay) {
    super();
    this.relay = relay;
    this.placement = new Placement(relay, this);
    this.upload = new Upload(relay, this);
    this.download = new Download(relay, this);
    this.tries = new Tries(relay, this);
    this.hedging = new Hedging(relay, this);
    this.deadline = new Deadline(relay, this);
  }

  // Choosing and leasing.

  /** The request goes to this endpoint. */
  onPlaced(slot: number): void {
    this.tries.count++;
    this.lease(slot, false);
  }

  /** It waits for a place. */
  onQueued(): void {
    this.upload.pause();
  }

  /** There is no endpoint for it. */
  onUnplaced(faultId: number, detail: string): void {
    this.answer(faultId, detail);
  }

  /** `isFresh`: over a new wire, in the place that is held there already. */
  private lease(slot: number, isFresh: boolean): void {
    const { relay } = this;
    this.hedging.onTry();
    this.slot = slot;
    this.upstreamStatus = 0;
    this.leasedMs = 0;
    this.facts.endpoint = this.endpointText(slot);
    if (!isFresh) relay.table.begin(slot);
    this.tries.begin(slot, isFresh ? tryKind.fresh : tryKind.ordinary);
    this.attemptMs = relay.engine.now;
    const endpoint = this.runtime!.endpoints[slot];
    if (endpoint === undefined) {
      this.onLeaseFailed(fault.destinationUnavailable);
      return;
    }
    const { breaker } = this.pool!;
    if (breaker !== null && endpoint.mustQueue && breaker.refusesWait(relay.table)) {
      this.settle(0, -1);
      this.answer(fault.queueFull, breaker.detail);
      return;
    }
    this.isLeasing = true;
    const stream = endpoint.lease(this, this.route!.plan.timeouts.connectMs, isFresh);
    if (stream !== null) this.onLeased(stream);
    else if (this.isLeasing) this.upload.pause();
  }

  onLeased(stream: EndpointStream): void {
    const { upload } = this;
    const { now } = this.relay.engine;
    const head = this.head!;
    this.isLeasing = false;
    this.stream = stream;
    this.isReused = stream.isReused;
    this.leasedMs = this.lastMs = now;
    this.waitedMs += now - this.attemptMs;
    // HTTP/1.0 may come without Host, HTTP/1.1 may not go without one (RFC 9112 §3.2).
    if (head.authorityEnd === head.authorityStart) head.setAuthority(this.facts.endpoint);
    if (!stream.sendHead(head, this.wantsUpgrade, this.client!, this.from)) {
      this.dropStream();
      this.settle(fault.overload, -1);
      this.answer(fault.overload, 'the head does not fit');
      return;
    }
    if (!upload.flush(stream)) return;
    if (upload.isEnded) upload.sendEnd(null);
    if (this.stream !== stream) return;
    upload.resume();
    this.deadline.arm();
  }

  onLeaseFailed(faultId: number): void {
    const { slot } = this;
    this.isLeasing = false;
    this.waitedMs += this.relay.engine.now - this.attemptMs;
    this.settle(faultId, -1);
    this.tryAgainOrAnswer(faultId, slot, '');
  }

  // The client's side (RequestSink).

  onRequestBody(block: number, start: number, end: number): void {
    this.upload.send(block, start, end);
  }

  onRequestTrailers(head: Head): void {
    if (!this.isTunnel) this.upload.sendEnd(head);
  }

  onRequestEnd(): void {
    const { upload, stream } = this;
    upload.isEnded = true;
    // Without a wire nothing more will come that would have to be kept, and whether the client is still there is heard only while reading.
    if (stream === null) upload.resume();
    else if (this.isTunnel) closeUpward(this);
    else upload.sendEnd(null);
  }

  onClientDrained(): void {
    this.download.resume();
  }

  onRequestFault(faultId: number, detail: string): void {
    this.cancelEndpoint(fault.clientAborted);
    if (this.download.isBegun) this.abort(faultId, detail);
    else this.answer(faultId, detail);
  }

  onClientGone(faultId: number): void {
    this.client = null;
    if (this.isTunnel && this.download.isEnded) faultId = 0;
    this.cancelEndpoint(faultId);
    if (faultId !== 0) this.note(faultId, '');
    if (!this.download.isBegun) this.status = faults[faultId]!.status;
    this.finish();
  }

  // The endpoint's side (ResponseSink).

  onResponseHead(head: Head): void {
    const { now } = this.relay.engine;
    const client = this.client!;
    const { status } = head;
    this.lastMs = now;
    if (status < 200 && status !== 101) {
      client.sendHead(head);
      return;
    }
    this.headMs = now;
    this.upstreamStatus = status;
    if (status === 101 && !(this.wantsUpgrade && this.upload.isEnded && isGoodSwitch(this.head!, head))) {
      this.failEndpoint(fault.upgradeFailed, 'the endpoint switched protocols wrongly or unasked');
      return;
    }
    if (status >= 502 && this.asksAnother(status)) return;
    this.hedging.drop();
    const broken = this.download.sendHead(head);
    if (broken !== 0) {
      this.failEndpoint(broken, 'no room for the edited head');
      return;
    }
    if (status === 101 && this.client !== null) startTunnel(this);
    else if (head.framing !== framing.none) this.deadline.arm();
  }

  /** The endpoint cannot serve it, so it says. Does another one? */
  private asksAnother(status: number): boolean {
    const { tries, hedging, slot } = this;
    const hasSecond = hedging.isRunning && tries.isPoor(status);
    if (!hasSecond && !tries.takeAfter(status)) return false;
    this.dropStream();
    this.settle(0, this.responseMs);
    if (hasSecond) {
      tries.note(0);
      hedging.promote(0);
    } else tries.again(0, slot);
    return true;
  }

  onResponseBody(block: number, start: number, end: number): void {
    this.download.send(block, start, end);
  }

  onResponseTrailers(head: Head): void {
    this.download.sendEnd(head);
  }

  onResponseEnd(): void {
    if (this.isTunnel) {
      closeDownward(this);
      return;
    }
    this.stream = null;
    this.settle(0, this.responseMs);
    this.download.sendEnd(null);
    this.finish();
  }

  onEndpointDrained(): void {
    this.lastMs = this.relay.engine.now;
    this.upload.resume();
  }

  onEndpointFault(faultId: number, detail: string): void {
    const { tries, hedging, slot } = this;
    this.stream = null;
    const isStale = tries.isStale(faultId);
    if (isStale && !hedging.isRunning) {
      // Not a failure of the endpoint: it is asked again over a new wire, in the place that the exchange still holds there.
      tries.wasStale = true;
      this.upload.isSent = false;
      this.trail.end(slot, faultId, 0, this.relay.engine.now);
      this.lease(slot, true);
      return;
    }
    this.settle(isStale ? 0 : faultId, this.responseMs);
    if (this.client === null) this.finish();
    else if (this.download.isBegun) this.abort(faultId, detail);
    else if (hedging.isRunning) {
      tries.note(faultId);
      hedging.promote(faultId);
    } else this.tryAgainOrAnswer(faultId, slot, detail);
  }

  failEndpoint(faultId: number, detail: string): void {
    this.dropStream();
    this.onEndpointFault(faultId, detail);
  }

  private tryAgainOrAnswer(faultId: number, slot: number, detail: string): void {
    const cause = this.hedging.firstFault || faultId;
    if (this.tries.take(cause)) this.tries.again(faultId, slot);
    else this.answer(cause, detail);
  }

  /** A hedge takes the place of the try that was under way. */
  continueWith(hedge: Hedge): void {
    const { slot, stream } = hedge;
    this.lostMs += hedge.startedMs - this.sentMs;
    this.slot = slot;
    this.stream = stream;
    this.isLeasing = hedge.isWaiting;
    this.isReused = stream?.isReused ?? false;
    this.facts.endpoint = this.endpointText(slot);
    this.upstreamStatus = 0;
    this.headMs = 0;
    this.attemptMs = hedge.startedMs;
    this.leasedMs = this.sentMs = hedge.leasedMs;
    this.upload.isSent = stream !== null;
    this.deadline.arm();
  }

  endpointText(slot: number): string {
    return this.runtime!.endpointTexts[slot] ?? '';
  }

  // Ends.

  onDrainOver(): void {
    cutTunnel(this);
  }

  onRequestTimeout(): void {
    this.cancelEndpoint(fault.responseTimeout);
    if (this.download.isBegun) this.abort(fault.readTimeout, 'request timeout');
    else this.answer(fault.responseTimeout, 'request timeout');
  }

  dropStream(): void {
    const { stream } = this;
    this.stream = null;
    if (stream !== null) stream.cancel();
  }

  /** The same by a reset: the endpoint must not take a tunnel that was cut for one that ended. */
  breakStream(): void {
    const { stream } = this;
    this.stream = null;
    if (stream !== null) stream.breakOff();
  }

  /** Takes the endpoint's side down, whatever its state. */
  private cancelEndpoint(faultId: number): void {
    const { hedging } = this;
    if (this.isLeasing) this.runtime!.endpoints[this.slot]?.cancelLease(hedging.promoted ?? this);
    this.placement.stopWaiting();
    this.isLeasing = this.tries.isWaiting = false;
    hedging.drop();
    if (this.isTunnel && faultId !== 0) this.breakStream();
    else this.dropStream();
    this.settle(faultId, this.responseMs);
  }

  /** Tells the table that the attempt on the endpoint is over; once per begin(). */
  settle(faultId: number, responseMs: number): void {
    const { relay, slot } = this;
    if (slot === NONE) return;
    this.slot = NONE;
    if (this.isTunnel) leaveTunnel(this, slot);
    this.trail.end(slot, faultId, this.upstreamStatus, relay.engine.now);
    relay.endTry(slot, this.pool!.plan.id, faultId, this.upstreamStatus, responseMs);
  }

  private note(faultId: number, detail: string): void {
    this.faultId = faultId;
    this.detail = detail;
  }

  /** The response began and cannot be completed. */
  abort(faultId: number, detail: string): void {
    if (faultId !== 0) this.note(faultId, detail);
    const { client } = this;
    this.client = null;
    client?.abort();
    this.finish();
  }

  /** Answers with a fault of the table. */
  answer(faultId: number, detail: string): void {
    this.note(faultId, detail);
    if (this.client === null) this.finish();
    else this.download.answerFault(faultId, detail);
  }

  /** Counts, logs, and gives everything back. */
  finish(): void {
    const { relay, client, head, block } = this;
    if (this.listener === null) return;
    this.endedMs = relay.engine.now;
    this.settle(this.faultId, this.responseMs);
    relay.report(this);
    this.placement.clear();
    this.hedging.clear();
    this.tries.clear();
    this.upload.clear();
    this.download.clear();
    if (client !== null && client.sink === this) client.sink = null;
    if (head !== null) relay.heads.give(head);
    if (block !== NO_BLOCK) relay.blocks.release(block);
    if (relay.isLogging) this.record.reset();
    this.clearState();
    relay.giveBack(this);
  }
}
