/** Measures: what a run counts while it runs, and what it comes to. */
import type { Arrivals } from './arrivals.ts';
import {
  type EndpointResult,
  type ErrorCounts,
  type Latency,
  latencyOf,
  type PolicyResult,
  quantile,
  type Series,
  SPANS,
} from './result.ts';
import type { Scenario } from './scenario.ts';
import type { Server } from './server.ts';
import type { World } from './world.ts';

/** Requests without a latency: they were turned away. */
const NONE_MS = -1;

export class Measures {
  private readonly scenario: Scenario;
  private readonly arrivals: Arrivals;
  private readonly label: string;
  private readonly spanMs: number;
  /** By request: ms from arrival to the end, and server that ended it, -1 for none. */
  private readonly latencies: Float64Array;
  private readonly lastServers: Int32Array;
  private readonly hasFailed: Uint8Array;
  private readonly errors: ErrorCounts = { all: 0, noEndpoint: 0, refused: 0, status: 0, timeout: 0, queue: 0, breaker: 0 };
  private readonly errorsBySpan = new Float64Array(SPANS);
  private answers = 0;
  /** Since the pool last changed. */
  private begunInPool = 0;
  private retries = 0;
  private tries = 0;
  private crossZone = 0;
  /** By node and server. */
  private readonly pairs = new Set<number>();

  constructor(scenario: Scenario, arrivals: Arrivals, label: string) {
    this.scenario = scenario;
    this.arrivals = arrivals;
    this.label = label;
    this.spanMs = scenario.durationMs / SPANS;
    this.latencies = new Float64Array(arrivals.count).fill(NONE_MS);
    this.lastServers = new Int32Array(arrivals.count).fill(-1);
    this.hasFailed = new Uint8Array(arrivals.count);
  }

  begun(server: Server, node: number, now: number): void {
    server.inFlight++;
    const span = this.spanOf(now);
    server.requestsBySpan[span]! += 1;
    if (server.inFlight > server.inFlightBySpan[span]!) server.inFlightBySpan[span] = server.inFlight;
    if (now < this.scenario.warmUpMs) return;
    server.requests++;
    this.begunInPool++;
    this.tries++;
    const { nodes } = this.scenario;
    if (nodes[node]!.zone !== server.plan.zone) this.crossZone++;
    this.pairs.add(server.index * nodes.length + node);
    if (server.inFlight > server.inFlightMax) server.inFlightMax = server.inFlight;
  }

  /** Who is ready is about to change: up to here, each of these should have had its share by weight. Backups are not meant to have any. */
  poolChanges(servers: readonly Server[]): void {
    const meant = servers.filter((server) => server.isReady && server.isInPool && !server.plan.backup);
    const total = meant.reduce((sum, server) => sum + server.plan.weight, 0);
    for (const server of meant) if (total > 0) server.fairRequests += (this.begunInPool * server.plan.weight) / total;
    this.begunInPool = 0;
  }

  ended(server: Server, now: number): void {
    // A span in which nothing is begun still has in flight what was.
    const span = this.spanOf(now);
    if (server.inFlight > server.inFlightBySpan[span]!) server.inFlightBySpan[span] = server.inFlight;
    server.inFlight--;
  }

  /** `atMs`: when the client has it. */
  answered(request: number, server: Server, atMs: number): void {
    const arrivedMs = this.arrivals.timesMs[request]!;
    this.latencies[request] = atMs - arrivedMs;
    this.lastServers[request] = server.index;
    if (arrivedMs >= this.scenario.warmUpMs) this.answers++;
  }

  missed(request: number, server: Server): void {
    if (this.arrivals.timesMs[request]! >= this.scenario.warmUpMs) server.misses++;
  }

  retried(request: number): void {
    if (this.arrivals.timesMs[request]! >= this.scenario.warmUpMs) this.retries++;
  }

  /** Who waited in vain has a latency, who was turned away has none. */
  failed(request: number, server: Server | null, why: Exclude<keyof ErrorCounts, 'all'>, now: number): void {
    if (why === 'timeout') this.latencies[request] = now - this.arrivals.timesMs[request]!;
    this.hasFailed[request] = 1;
    if (server !== null) this.lastServers[request] = server.index;
    if (this.arrivals.timesMs[request]! < this.scenario.warmUpMs) return;
    this.errors[why]++;
    this.errors.all++;
    this.errorsBySpan[this.spanOf(now)]! += 1;
    if (server !== null) server.errors++;
  }

  result(servers: readonly Server[], world: World): PolicyResult {
    this.poolChanges(servers);
    const total = servers.reduce((sum, server) => sum + server.requests, 0);
    const endpoints = servers.map((server) => this.endpoint(server, total));
    const { moves, changes } = world;
    const { nodes } = this.scenario;
    return {
      policy: this.label,
      requests: this.answers + this.errors.all,
      answered: this.answers,
      errors: this.errors,
      retries: this.retries,
      urgent: this.urgent(),
      tries: this.answers + this.errors.all === 0 ? 0 : this.tries / (this.answers + this.errors.all),
      crossZone: nodes.every(({ zone }) => zone === null) || this.tries === 0 ? null : this.crossZone / this.tries,
      pairs: nodes.length === 1 ? null : this.pairs.size,
      latency: this.latency(-1),
      imbalance: imbalanceOf(servers),
      busiest: Math.max(0, ...endpoints.map((endpoint) => endpoint.share)),
      inFlightMax: Math.max(0, ...endpoints.map((endpoint) => endpoint.inFlightMax)),
      misses: total === 0 ? 0 : servers.reduce((sum, server) => sum + server.misses, 0) / total,
      keysMoved: world.hasKeys && moves.length > 0 ? Math.max(0, ...moves.map((move) => move.moved / move.keys)) : null,
      moves,
      changes,
      endpoints,
      series: this.series(servers),
    };
  }

  private endpoint(server: Server, total: number): EndpointResult {
    const { concurrency } = server.service;
    return {
      address: server.plan.address,
      weight: server.plan.weight,
      requests: server.requests,
      share: total === 0 ? 0 : server.requests / total,
      errors: server.errors,
      inFlightMax: server.inFlightMax,
      latency: this.latency(server.index),
      utilization: concurrency === 0 ? 0 : server.busyMs / (concurrency * this.scenario.durationMs),
    };
  }

  private urgent(): PolicyResult['urgent'] {
    const { latencies, arrivals, scenario, hasFailed } = this;
    const isUrgent = (i: number) => arrivals.urgencies[i] === 0 && arrivals.timesMs[i]! >= scenario.warmUpMs;
    const count = latencies.reduce((sum, _, i) => sum + (isUrgent(i) ? 1 : 0), 0);
    if (count === 0) return null;
    const failed = hasFailed.reduce((sum, isFailed, i) => sum + (isUrgent(i) ? isFailed : 0), 0);
    return { latency: latencyOf(latencies.filter((ms, i) => ms >= 0 && isUrgent(i))), errors: failed / count };
  }

  /** Of one server, or of all (-1). */
  private latency(server: number): Latency {
    const { latencies, lastServers, arrivals, scenario } = this;
    return latencyOf(
      latencies.filter(
        (ms, i) => ms >= 0 && arrivals.timesMs[i]! >= scenario.warmUpMs && (server < 0 || lastServers[i] === server),
      ),
    );
  }

  private series(servers: readonly Server[]): Series {
    const { latencies, arrivals, spanMs } = this;
    const p50 = new Float64Array(SPANS);
    const p99 = new Float64Array(SPANS);
    let from = 0;
    for (let span = 0; span < SPANS; span++) {
      let to = from;
      while (to < arrivals.count && (span === SPANS - 1 || arrivals.timesMs[to]! < (span + 1) * spanMs)) to++;
      const sorted = latencies
        .subarray(from, to)
        .filter((ms) => ms >= 0)
        .sort();
      if (sorted.length > 0) {
        p50[span] = quantile(sorted, 0.5);
        p99[span] = quantile(sorted, 0.99);
      }
      from = to;
    }
    return {
      spanMs,
      p50,
      p99,
      errors: this.errorsBySpan,
      requests: servers.map((server) => server.requestsBySpan),
      inFlight: servers.map((server) => server.inFlightBySpan),
    };
  }

  private spanOf(now: number): number {
    return Math.min(SPANS - 1, Math.floor(now / this.spanMs));
  }
}

/** Most requests over what would have been fair. */
function imbalanceOf(servers: readonly Server[]): number {
  const ratios = servers.filter((server) => server.fairRequests >= 1).map((server) => server.requests / server.fairRequests);
  return Math.max(1, ...ratios);
}
