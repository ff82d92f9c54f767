/**
 * Hedging: when an exchange starts a second try beside a slow first one, and which of the two it goes on with. The second try itself is hedge.ts.
 *
 * Rules
 * 1. Only what may be repeated is sent twice, at most once an exchange, and it counts as a retry: for the attempts, the budget, the breaker.
 * 2. A client that is bound to its endpoint is not sent elsewhere, and nobody waits for a wire or a place to hedge.
 * 3. When both tries fail, the exchange ends as the first one did.
 */
import type { Head } from '../base/head.ts';
import { stickyResult } from '../state/doors.ts';
import type { Exchange } from './exchange.ts';
import type { Hedge } from './hedge.ts';
import type { Relay } from './relay.ts';

export class Hedging {
  /** When a second try would start, in monotonic ms. */
  dueMs = Infinity;
  /** Fault of the first of two tries. */
  firstFault = 0;
  /** The one that took the first's place; who waits for a wire is known by it. */
  promoted: Hedge | null = null;
  private readonly relay: Relay;
  private readonly exchange: Exchange;
  /** Beside the first try. */
  private second: Hedge | null = null;
  private wasStarted = false;

  constructor(relay: Relay, exchange: Exchange) {
    this.relay = relay;
    this.exchange = exchange;
  }

  /** Two tries are under way. */
  get isRunning(): boolean {
    return this.second !== null;
  }

  /** The request is out: when would a second try start? */
  plan(): void {
    const { tries, wantsUpgrade, placement, sentMs, route } = this.exchange;
    if (this.wasStarted || tries.isLast || wantsUpgrade || placement.sticky === stickyResult.hit) return;
    if (tries.isRepeatable()) this.dueMs = sentMs + route!.plan.retry.hedgeMs;
  }

  start(): void {
    const { relay, exchange } = this;
    const { placement } = exchange;
    this.dueMs = Infinity;
    this.wasStarted = true;
    const slot = placement.another(exchange.slot);
    const endpoint = exchange.runtime!.endpoints[slot];
    if (endpoint === undefined || endpoint.mustQueue || !placement.takeRetry()) return;
    exchange.tries.count++;
    relay.table.hedge(placement.pool!.plan.id, false);
    this.second = relay.takeHedge();
    this.second.start(exchange, slot, endpoint, exchange.route!.plan.timeouts.connectMs);
  }

  /** The hedge has a final head and the first try has none: it is the loser. */
  onAnswered(head: Head): void {
    const { exchange } = this;
    exchange.tries.note(0);
    exchange.dropStream();
    exchange.settle(0, -1);
    this.relay.table.hedge(exchange.pool!.plan.id, true);
    this.promote(0);
    exchange.onResponseHead(head);
  }

  onFailed(hedge: Hedge, faultId: number): void {
    const { exchange } = this;
    this.second = null;
    exchange.tries.noteOther(exchange.endpointText(hedge.slot), faultId, hedge.startedMs);
  }

  /** The first try is over with this fault, and settled: the second takes its place. */
  promote(firstFault: number): void {
    const hedge = this.second!;
    this.second = null;
    this.dropPromoted();
    this.promoted = hedge;
    this.firstFault = firstFault;
    hedge.promote();
    this.exchange.continueWith(hedge);
  }

  /** No second try, and none under way. */
  drop(): void {
    this.dueMs = Infinity;
    const { second } = this;
    this.second = null;
    second?.cancel();
  }

  /** A try begins that is no hedge. */
  onTry(): void {
    this.dropPromoted();
    this.dueMs = Infinity;
    this.firstFault = 0;
  }

  /** The exchange is over. */
  clear(): void {
    this.onTry();
    this.wasStarted = false;
  }

  private dropPromoted(): void {
    const { promoted } = this;
    this.promoted = null;
    if (promoted !== null) this.relay.giveBackHedge(promoted);
  }
}
