/** Server: the model of one endpoint's process. It serves so many requests at once and lets the others wait in line. */
import type { EndpointPlan } from '../state/plan.ts';
import { SPANS } from './result.ts';
import type { ServiceModel } from './scenario.ts';

/** No try. */
export const NOBODY = -1;

export class Server {
  readonly index: number;
  readonly plan: EndpointPlan;
  readonly slot: number;
  readonly service: ServiceModel;
  isInPool = true;
  /** May be given work: what the first node thinks. */
  isReady = true;
  // Set by events.
  isAlive = true;
  slowTimes = 1;
  /** Accepts requests and never answers. */
  isHanging = false;
  /** Share of requests that it answers with this status, at once. */
  failShare = 0;
  failStatus = 0;
  /** What health checks see of all that. */
  doChecksPass = true;
  /** Goes up when the process dies: what was begun before is gone. */
  life = 0;
  /** Tries at work, and those that wait: a list linked through the run. */
  running = 0;
  waiting = 0;
  first = NOBODY;
  last = NOBODY;
  /** Exchanges of the balancer that are open here. */
  inFlight = 0;

  // Measured.
  requests = 0;
  errors = 0;
  misses = 0;
  inFlightMax = 0;
  /** Time its places were at work. */
  busyMs = 0;
  /** What would have been its requests by weight among those that were ready at the time. */
  fairRequests = 0;
  readonly requestsBySpan = new Float64Array(SPANS);
  readonly inFlightBySpan = new Float64Array(SPANS);

  /** 1 = this key was asked for since the process started; null when that makes no difference. */
  private readonly warm: Uint8Array | null;

  constructor(index: number, plan: EndpointPlan, slot: number, service: ServiceModel, keys: number) {
    this.index = index;
    this.plan = plan;
    this.slot = slot;
    this.service = service;
    this.warm = service.missMs > 0 ? new Uint8Array(keys) : null;
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

  /** What it takes to get what is kept under a key, if this process has not got it yet. */
  missMs(key: number): number {
    const { warm } = this;
    if (warm === null || warm[key] === 1) return 0;
    warm[key] = 1;
    return this.service.missMs;
  }

  /** Puts a try at the end of the line; `next` is the link of each. */
  enqueue(id: number, next: Int32Array): void {
    next[id] = NOBODY;
    if (this.last === NOBODY) this.first = id;
    else next[this.last] = id;
    this.last = id;
    this.waiting++;
  }

  /** The one that waited longest, or NOBODY. */
  dequeue(next: Int32Array): number {
    const id = this.first;
    if (id === NOBODY) return NOBODY;
    this.first = next[id]!;
    if (this.first === NOBODY) this.last = NOBODY;
    this.waiting--;
    return id;
  }

  /** As a process that has just been started, but for its cache, which is that of the one before. */
  restore(): void {
    this.isAlive = this.doChecksPass = true;
    this.isHanging = false;
    this.slowTimes = 1;
    this.failShare = 0;
  }

  /** The process dies: nobody is served, nobody waits, what it had kept is gone. */
  die(): void {
    this.isAlive = false;
    this.life++;
    this.warm?.fill(0);
    this.running = this.waiting = 0;
    this.first = this.last = NOBODY;
  }
}
