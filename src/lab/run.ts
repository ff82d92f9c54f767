/**
 * Run: one variant against the arrivals of a scenario, on a virtual clock.
 *
 * The balancer's side is the product's own: tables, policies and queues per worker, verdicts of health checks, judgement of live traffic. The servers are a model
 * (server.ts). What happens, each in the order of its time: exchanges go on (exchanges.ts), events of the scenario, health checks, looks at live traffic, arrivals.
 *
 * What is left out: the time of the balancer itself, of the network and of opening connections.
 */
import { NONE } from '../balance/balance.ts';
import { assert } from '../base/assert.ts';
import { Prng } from '../base/prng.ts';
import type { Finding } from '../health/health.ts';
import { admin, health } from '../state/doors.ts';
import type { EndpointPlan } from '../state/plan.ts';
import { Agenda } from './agenda.ts';
import type { Arrivals } from './arrivals.ts';
import { Exchanges } from './exchanges.ts';
import { Measures } from './measures.ts';
import { Node } from './node.ts';
import type { PolicyResult } from './result.ts';
import type { Scenario, ScenarioEvent, ServiceModel, Variant } from './scenario.ts';
import { Server } from './server.ts';
import { World } from './world.ts';

export function run(scenario: Scenario, arrivals: Arrivals, variant: Variant): PolicyResult {
  return new Run(scenario, arrivals, variant).go();
}

class Run {
  private readonly scenario: Scenario;
  private readonly arrivals: Arrivals;
  private readonly world: World;
  private readonly measures: Measures;
  private readonly exchanges: Exchanges;
  private readonly servers: Server[] = [];
  private readonly bySlot: Server[] = [];
  /** Checks: server times the number of nodes, plus the node. */
  private readonly checks = new Agenda();
  private nextEvent = 0;

  constructor(scenario: Scenario, arrivals: Arrivals, variant: Variant) {
    const prng = new Prng(scenario.seed ^ 0x5eed);
    this.scenario = scenario;
    this.arrivals = arrivals;
    this.measures = new Measures(scenario, arrivals, variant.label);
    const added = scenario.events.filter((event) => event.kind === 'add').length;
    this.world = new World(scenario, variant, arrivals.hashes, variant.pool.endpoints.length + added, prng);
    for (const endpoint of variant.pool.endpoints) this.addServer(endpoint, false, 0);
    this.world.start(this.servers);
    const { world, measures, servers, bySlot } = this;
    this.exchanges = new Exchanges(scenario, arrivals, variant.retry, world, measures, servers, bySlot, prng);
  }

  go(): PolicyResult {
    const { exchanges, checks, world } = this;
    const { timesMs, count } = this.arrivals;
    const { durationMs, events } = this.scenario;
    let arrived = 0;
    let now = 0;
    for (;;) {
      const arrivalMs = arrived < count ? timesMs[arrived]! : Number.POSITIVE_INFINITY;
      const eventMs = this.nextEvent < events.length ? events[this.nextEvent]!.atMs : Number.POSITIVE_INFINITY;
      if (arrived === count && exchanges.open === 0 && Math.min(eventMs, checks.nextMs) > durationMs) break;
      const goesOnMs = exchanges.nextMs;
      const looker = this.firstLooker();
      // Of what is due at the same time, exchanges go on first and requests come last.
      const next = Math.min(goesOnMs, eventMs, checks.nextMs, looker.lookMs, arrivalMs);
      assert(next >= now, 'time goes forward');
      now = next;
      if (goesOnMs === next) exchanges.step(next);
      else if (eventMs === next) this.event(events[this.nextEvent++]!);
      else if (checks.nextMs === next) this.check(checks.take(), next);
      else if (looker.lookMs === next) for (const finding of looker.look(next)) this.carryOut(looker, finding, next);
      else exchanges.arrives(arrived++, next);
    }
    for (const { control } of world.nodes)
      for (const { slot } of this.servers) assert(control.inFlight(slot) === 0, 'what was begun was ended');
    return this.measures.result(this.servers, world);
  }

  /** Node that looks at live traffic next. */
  private firstLooker(): Node {
    const { nodes } = this.world;
    let first = nodes[0]!;
    for (let i = 1; i < nodes.length; i++) if (nodes[i]!.lookMs < first.lookMs) first = nodes[i]!;
    return first;
  }

  private addServer(endpoint: EndpointPlan, isNew: boolean, now: number): Server {
    const model: ServiceModel = this.scenario.service.get(endpoint.address)!;
    const slot = this.world.claim(endpoint, isNew, now);
    const server = new Server(this.servers.length, endpoint, slot, model, this.arrivals.hashes.length);
    server.isReady = this.world.nodes[0]!.isFit(slot);
    this.servers.push(server);
    this.bySlot[server.slot] = server;
    const { active } = this.world.pool.health;
    const { nodes } = this.world;
    if (active === null) return server;
    for (let i = 0; i < nodes.length; i++) {
      const order = server.index * nodes.length + i;
      this.checks.add(now + Node.firstCheckMs(active.intervalMs, order, isNew), order);
    }
    return server;
  }

  private check(order: number, now: number): void {
    const { nodes, pool } = this.world;
    const node = nodes[order % nodes.length]!;
    const server = this.servers[Math.floor(order / nodes.length)]!;
    if (!server.isInPool) return;
    node.turn(now);
    const restMs = node.check(server, pool, (to) =>
      this.changes(node, server, now, to === health.up ? 'up' : 'down', () => node.control.setHealth(server.slot, to)),
    );
    if (now < this.scenario.durationMs) this.checks.add(now + restMs, order);
  }

  private carryOut(node: Node, { what, slot, evidence }: Finding, now: number): void {
    const server = this.bySlot[slot]!;
    const { isShadow } = this.world.pool.health.passive!;
    if (what === 'alike') {
      if (node === this.world.nodes[0]) this.world.note(now, `the pool fails alike: ${evidence}`, NONE);
    } else if (!isShadow) {
      const said = what === 'eject' ? `ejected: ${evidence}` : 'back after its ejection';
      this.changes(node, server, now, said, () => node.control.setEjected(slot, what === 'eject'));
    }
  }

  /** What the control side of a node writes about an endpoint, and what that does to shares and keys. Those of the first node are told. */
  private changes(node: Node, server: Server, now: number, what: string, write: () => void): void {
    const wasReady = server.isReady;
    node.turn(now);
    if (node !== this.world.nodes[0]) {
      write();
      return;
    }
    this.measures.poolChanges(this.servers);
    write();
    const isReady = node.isFit(server.slot);
    server.isReady = isReady;
    if (wasReady !== isReady) this.world.note(now, `${server.plan.address} ${what}`, isReady ? NONE : server.slot);
  }

  /** An operator's word, in all nodes. */
  private setAdmin(server: Server, to: number, what: string, now: number): void {
    for (const node of this.world.nodes) {
      this.changes(node, server, now, what, () => node.control.setAdmin(server.slot, to));
      node.lookSoon(now);
    }
  }

  private event(event: ScenarioEvent): void {
    const { world } = this;
    const now = event.atMs;
    if (event.kind === 'surge') return;
    if (event.kind === 'add') {
      this.measures.poolChanges(this.servers);
      const server = this.addServer(event.endpoint, true, now);
      world.plan(
        this.servers.filter((other) => other.isInPool),
        now,
      );
      world.note(now, `${server.plan.address} added`, NONE);
      return;
    }
    const server = this.servers.find((other) => other.plan.address === event.address && other.isInPool);
    if (server === undefined) return;
    switch (event.kind) {
      case 'kill':
        server.die();
        this.exchanges.reset(server, now);
        break;
      case 'restore':
        server.restore();
        this.setAdmin(server, admin.ready, 'ready again', now);
        break;
      case 'slow':
        server.slowTimes = event.times;
        break;
      case 'fail':
        server.failShare = event.share;
        server.failStatus = event.status;
        server.doChecksPass = event.doChecksPass;
        break;
      case 'hang':
        server.isHanging = event.isHanging;
        server.doChecksPass = event.doChecksPass;
        break;
      case 'drain':
        this.setAdmin(server, admin.drain, 'drained', now);
        break;
      case 'remove':
        this.measures.poolChanges(this.servers);
        server.isInPool = false;
        server.isReady = false;
        world.plan(
          this.servers.filter((other) => other.isInPool),
          now,
        );
        world.note(now, `${server.plan.address} removed`, server.slot);
        break;
    }
  }
}
