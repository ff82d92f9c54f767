/** Server: the model of one endpoint's process. It serves so many requests at once and lets the others wait in line. */
import type { EndpointPlan } from '../state/plan.ts';
import { SPANS } from './result.ts';
import type { ServiceModel } from './scenario.ts';

/** No request. */
export const NOBODY = -1;

export class Server {
  readonly index: number;
  readonly plan: EndpointPlan;
  readonly slot: number;
  readonly service: ServiceModel;
  isAlive = true;
  isInPool = true;
  /** Set by events. */
  slowTimes = 1;
  /** Requests at work, and those that wait: a list linked through the run. */
  running = 0;
  waiting = 0;
  first = NOBODY;
  last = NOBODY;
  /** Exchanges of the balancer that are open here. */
  inFlight = 0;

  // Health checks in a row.
  passes = 0;
  failures = 0;

  // Measured.
  requests = 0;
  errors = 0;
  inFlightMax = 0;
  /** Time its places were at work. */
  busyMs = 0;
  sinceMs: number;
  /** Time in the pool, up to the last time it left. */
  presentMs = 0;
  readonly requestsBySpan = new Float64Array(SPANS);
  readonly inFlightBySpan = new Float64Array(SPANS);

  constructor(index: number, plan: EndpointPlan, slot: number, service: ServiceModel, nowMs: number) {
    this.index = index;
    this.plan = plan;
    this.slot = slot;
    this.service = service;
    this.sinceMs = nowMs;
  }

  get hasFreePlace(): boolean {
    const { concurrency } = this.service;
    return concurrency === 0 || this.running < concurrency;
  }

  get isQueueFull(): boolean {
    const { queueMax } = this.service;
    return !this.hasFreePlace && queueMax > 0 && this.waiting >= queueMax;
  }

  get timesSlower(): number {
    return this.service.slower * this.slowTimes;
  }

  /** Puts a request at the end of the line; `next` is the link of each request. */
  enqueue(request: number, next: Int32Array): void {
    next[request] = NOBODY;
    if (this.last === NOBODY) this.first = request;
    else next[this.last] = request;
    this.last = request;
    this.waiting++;
  }

  /** The one that waited longest, or NOBODY. */
  dequeue(next: Int32Array): number {
    const request = this.first;
    if (request === NOBODY) return NOBODY;
    this.first = next[request]!;
    if (this.first === NOBODY) this.last = NOBODY;
    this.waiting--;
    return request;
  }

  /** The process dies: nobody is served, nobody waits. */
  clear(): void {
    this.running = this.waiting = 0;
    this.first = this.last = NOBODY;
  }
}
