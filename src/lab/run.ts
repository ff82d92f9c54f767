/**
 * Run: one policy against the arrivals of a scenario, on a virtual clock.
 *
 * The balancer's side is the product's own: pick, begin and end on a real table, policies built per worker, verdicts of health checks. The servers are a model
 * (server.ts). Four things happen, each in the order of its time: a request arrives, an endpoint finishes one, a request has waited too long, and
 * what the agenda of checks and events holds.
 *
 * What is left out: the time of the balancer itself, of the network and of opening connections.
 */
import { NONE } from '../balance/balance.ts';
import { assert } from '../base/assert.ts';
import { fault } from '../base/faults.ts';
import { Prng } from '../base/prng.ts';
import { admin } from '../state/doors.ts';
import type { EndpointPlan } from '../state/plan.ts';
import { Agenda } from './agenda.ts';
import type { Arrivals } from './arrivals.ts';
import { Measures } from './measures.ts';
import type { PolicyResult } from './result.ts';
import type { PolicyChoice, Scenario, ScenarioEvent, ServiceModel } from './scenario.ts';
import { NOBODY, Server } from './server.ts';
import { World } from './world.ts';

/** How a health check's results become a state; the product's own comes from control. */
export interface Verdict {
  /** As in the health column. */
  readonly state: number;
  /** True when the state changed. */
  take(passed: boolean, rise: number, fall: number, nowMs: number): boolean;
}

export interface RunParts {
  newVerdict: (state: number, nowMs: number) => Verdict;
}

/** What a request is doing. */
const OPEN = 1;
const CLOSED = 2;
/** z of the 99th percentile of the normal distribution. */
const Z99 = 2.3263478740408408;

export function run(scenario: Scenario, arrivals: Arrivals, choice: PolicyChoice, parts: RunParts): PolicyResult {
  return new Run(scenario, arrivals, choice, parts).go();
}

class Run {
  private readonly scenario: Scenario;
  private readonly arrivals: Arrivals;
  private readonly parts: RunParts;
  private readonly world: World;
  private readonly measures: Measures;
  private readonly servers: Server[] = [];
  private readonly bySlot: Server[] = [];
  private readonly verdicts: Verdict[] = [];
  private readonly prng: Prng;
  /** Ends of work, by request. */
  private readonly work = new Agenda();
  /** Checks, by server. */
  private readonly checks = new Agenda();
  private nextEvent = 0;
  /** The next request to arrive: those before have. */
  private arrived = 0;

  // By request.
  private readonly states: Uint8Array;
  private readonly tries: Uint8Array;
  /** Server where it waits or is at work, NOBODY for none. */
  private readonly places: Int32Array;
  private readonly next: Int32Array;
  private readonly begunMs: Float64Array;
  private readonly workMs: Float64Array;
  /** When its work ends; an entry of the agenda at another time is void. */
  private readonly dueMs: Float64Array;

  /** Begun exchanges in their order: each may wait equally long, so they also time out in this order. */
  private readonly waiters: number[] = [];
  private readonly waitersBegunMs: number[] = [];
  private firstWaiter = 0;

  constructor(scenario: Scenario, arrivals: Arrivals, choice: PolicyChoice, parts: RunParts) {
    const { count } = arrivals;
    this.scenario = scenario;
    this.arrivals = arrivals;
    this.parts = parts;
    this.prng = new Prng(scenario.seed ^ 0x5eed);
    this.states = new Uint8Array(count);
    this.tries = new Uint8Array(count);
    this.places = new Int32Array(count).fill(NOBODY);
    this.next = new Int32Array(count);
    this.begunMs = new Float64Array(count);
    this.workMs = new Float64Array(count);
    this.dueMs = new Float64Array(count);
    this.measures = new Measures(scenario, arrivals, choice.label);
    const added = scenario.events.filter((event) => event.kind === 'add').length;
    this.world = new World(scenario, choice, arrivals.hashes, scenario.pool.endpoints.length + added);
    for (const endpoint of scenario.pool.endpoints) this.addServer(endpoint, 0);
    this.world.start(this.servers);
  }

  go(): PolicyResult {
    const { timesMs, count } = this.arrivals;
    const { durationMs, events, timeoutMs } = this.scenario;
    let now = 0;
    for (;;) {
      const arrivalMs = this.arrived < count ? timesMs[this.arrived]! : Number.POSITIVE_INFINITY;
      const eventMs = this.nextEvent < events.length ? events[this.nextEvent]!.atMs : Number.POSITIVE_INFINITY;
      const waiter = this.oldestWaiter();
      const timeoutAt = waiter === NOBODY ? Number.POSITIVE_INFINITY : this.begunMs[waiter]! + timeoutMs;
      if (this.arrived === count && waiter === NOBODY && Math.min(eventMs, this.checks.nextMs) > durationMs) break;
      // Of what is due at the same time, work ends first and requests come last.
      const next = Math.min(this.work.nextMs, timeoutAt, eventMs, this.checks.nextMs, arrivalMs);
      assert(next >= now, 'time goes forward');
      now = next;
      if (this.work.nextMs === next) this.workEnds(next);
      else if (timeoutAt === next) this.timesOut(waiter, next);
      else if (eventMs === next) this.event(events[this.nextEvent++]!);
      else if (this.checks.nextMs === next) this.check(this.servers[this.checks.take()]!, next);
      else this.arrives(this.arrived++, next);
    }
    for (const server of this.servers) assert(this.world.control.inFlight(server.slot) === 0, 'what was begun was ended');
    return this.measures.result(this.servers, this.world);
  }

  private arrives(request: number, now: number): void {
    this.states[request] = OPEN;
    this.try(request, now, NONE);
  }

  /** pick, begin, connect; what the exchange of the data plane does. */
  private try(request: number, now: number, avoid: number): void {
    const { arrivals, world } = this;
    const worker = arrivals.workers[request]!;
    const door = world.doors[worker]!;
    door.heartbeat(now);
    this.tries[request]! += 1;
    const slot = world.pickers[worker]!.pick(arrivals.hashes[arrivals.keys[request]!]!, this.prng.uint32(), avoid);
    if (slot === NONE) {
      this.states[request] = CLOSED;
      this.measures.failed(request, null, 'noEndpoint', now, -1);
      return;
    }
    const server = this.bySlot[slot]!;
    door.begin(slot);
    this.measures.begun(server, now);
    this.begunMs[request] = now;
    if (!server.isAlive) {
      this.ends(request, server, now, fault.connectionRefused, 0);
      this.again(request, server, now);
    } else if (server.isQueueFull) {
      this.ends(request, server, now, fault.none, 503);
      this.states[request] = CLOSED;
      this.measures.failed(request, server, 'queueFull', now, now - arrivals.timesMs[request]!);
    } else {
      this.places[request] = server.index;
      this.waiters.push(request);
      this.waitersBegunMs.push(now);
      if (server.hasFreePlace) this.workBegins(request, server, now);
      else server.enqueue(request, this.next);
    }
  }

  /** A connection that was refused or reset: on another endpoint, if there are tries left. */
  private again(request: number, server: Server, now: number): void {
    if (this.tries[request]! < this.scenario.attempts) {
      this.measures.retried(request);
      this.try(request, now, server.slot);
      return;
    }
    this.states[request] = CLOSED;
    this.measures.failed(request, server, 'refused', now, -1);
  }

  private workBegins(request: number, server: Server, now: number): void {
    const ms = this.serviceMs(request, server);
    server.running++;
    this.workMs[request] = ms;
    this.dueMs[request] = now + ms;
    this.work.add(now + ms, request);
  }

  private serviceMs(request: number, server: Server): number {
    const { recordedMs, normals, costs } = this.arrivals;
    const { p50Ms, p99Ms } = server.service;
    const recorded = recordedMs === null ? -1 : recordedMs[request]!;
    const base = recorded >= 0 ? recorded : p50Ms * Math.exp((Math.log(p99Ms / p50Ms) / Z99) * normals[request]!);
    const missMs = server.missMs(this.arrivals.keys[request]!);
    if (missMs > 0) this.measures.missed(request, server);
    return base * costs[request]! * server.timesSlower + missMs;
  }

  private workEnds(now: number): void {
    const request = this.work.take();
    const place = this.places[request]!;
    if (place === NOBODY || this.dueMs[request] !== now) return;
    const server = this.servers[place]!;
    this.places[request] = NOBODY;
    server.running--;
    // What is finished after the end of the scenario was at work up to the end.
    server.busyMs += Math.max(0, Math.min(now, this.scenario.durationMs) - (now - this.workMs[request]!));
    if (this.states[request] === OPEN) {
      this.ends(request, server, now, fault.none, 200);
      this.states[request] = CLOSED;
      this.measures.answered(request, server, now);
    }
    const waiting = this.nextInLine(server);
    if (waiting !== NOBODY) this.workBegins(waiting, server, now);
  }

  /** A server does not see that a client gave up: who timed out while at work is served to the end, who timed out in line is not begun. */
  private nextInLine(server: Server): number {
    for (;;) {
      const request = server.dequeue(this.next);
      if (request === NOBODY || this.states[request] === OPEN) return request;
      this.places[request] = NOBODY;
    }
  }

  private timesOut(request: number, now: number): void {
    this.firstWaiter++;
    const server = this.servers[this.places[request]!]!;
    this.ends(request, server, now, fault.responseTimeout, 0);
    this.states[request] = CLOSED;
    this.measures.failed(request, server, 'timeout', now, now - this.arrivals.timesMs[request]!);
  }

  private oldestWaiter(): number {
    const { waiters, waitersBegunMs, states, begunMs, places } = this;
    while (this.firstWaiter < waiters.length) {
      const request = waiters[this.firstWaiter]!;
      // One that was reset and tried again stands in line a second time; its first entry is void.
      const isLast = waitersBegunMs[this.firstWaiter] === begunMs[request];
      if (isLast && states[request] === OPEN && places[request] !== NOBODY) return request;
      this.firstWaiter++;
    }
    return NOBODY;
  }

  private ends(request: number, server: Server, now: number, faultId: number, status: number): void {
    const door = this.world.doors[this.arrivals.workers[request]!]!;
    door.heartbeat(now);
    door.end(server.slot, faultId, status, status === 0 ? -1 : now - this.begunMs[request]!);
    this.measures.ended(server, now);
  }

  private addServer(endpoint: EndpointPlan, now: number): Server {
    const { pool, service } = this.scenario;
    const model: ServiceModel = service.get(endpoint.address)!;
    const keys = this.arrivals.hashes.length;
    const server = new Server(this.servers.length, endpoint, this.world.claim(endpoint.address), model, keys);
    this.servers.push(server);
    this.bySlot[server.slot] = server;
    this.verdicts.push(this.parts.newVerdict(this.world.control.health(server.slot), now));
    const { active } = pool.health;
    // Checks are spread over the interval; the golden ratio spreads any number of them.
    if (active !== null) this.checks.add(now + active.intervalMs * ((server.index * 0.618034) % 1), server.index);
    return server;
  }

  private check(server: Server, now: number): void {
    const active = this.scenario.pool.health.active!;
    if (server.isInPool) {
      const verdict = this.verdicts[server.index]!;
      if (verdict.take(server.isAlive, active.rise, active.fall, now)) {
        this.changes(server, now, verdict.state, this.world.control.admin(server.slot));
      }
    }
    if (now < this.scenario.durationMs) this.checks.add(now + active.intervalMs, server.index);
  }

  /** Health or admin of an endpoint: what control writes into the table, and what it does to keys. */
  private changes(server: Server, now: number, toHealth: number, toAdmin: number): void {
    const { control } = this.world;
    const wasReady = control.isReady(server.slot);
    control.setHealth(server.slot, toHealth);
    control.setAdmin(server.slot, toAdmin);
    const isReady = control.isReady(server.slot);
    if (wasReady === isReady) return;
    this.measures.poolChanges(this.servers);
    server.isReady = isReady;
    const what = isReady ? 'back' : toAdmin === admin.ready ? 'down' : 'drained';
    this.world.noteMove(now, `${server.plan.address} ${what}`, isReady ? NONE : server.slot);
  }

  private event(event: ScenarioEvent): void {
    const { world } = this;
    const now = event.atMs;
    if (event.kind === 'surge') return;
    if (event.kind === 'add') {
      this.measures.poolChanges(this.servers);
      const server = this.addServer(event.endpoint, now);
      world.plan(this.servers.filter((other) => other.isInPool));
      world.noteMove(now, `${server.plan.address} added`, NONE);
      return;
    }
    const server = this.servers.find((other) => other.plan.address === event.address && other.isInPool);
    if (server === undefined) return;
    switch (event.kind) {
      case 'kill':
        this.kill(server, now);
        break;
      case 'restore':
        server.isAlive = true;
        server.slowTimes = 1;
        this.changes(server, now, world.control.health(server.slot), admin.ready);
        break;
      case 'slow':
        server.slowTimes = event.times;
        break;
      case 'drain':
        this.changes(server, now, world.control.health(server.slot), admin.drain);
        break;
      case 'remove':
        this.measures.poolChanges(this.servers);
        server.isInPool = false;
        server.isReady = false;
        world.plan(this.servers.filter((other) => other.isInPool));
        world.noteMove(now, `${server.plan.address} removed`, server.slot);
        break;
    }
  }

  /** Connections are reset; each exchange goes on as the data plane does after a reset of a request that may be repeated. */
  private kill(server: Server, now: number): void {
    server.isAlive = false;
    server.clear();
    const lost: number[] = [];
    for (let request = 0; request < this.arrived; request++) {
      if (this.places[request] !== server.index) continue;
      this.places[request] = NOBODY;
      this.dueMs[request] = -1;
      if (this.states[request] === OPEN) lost.push(request);
    }
    for (const request of lost) {
      this.ends(request, server, now, fault.connectionTerminated, 0);
      this.again(request, server, now);
    }
  }
}
