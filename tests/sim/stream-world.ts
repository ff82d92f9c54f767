/**
 * Listener, relay and upstream carrying connections as they are, on the memory engine: seeded clients and endpoints at both ends, and the check that
 * everything was given back.
 */
import assert from 'node:assert/strict';
import { HeadPool } from '../../src/base/head-pool.ts';
import { Prng } from '../../src/base/prng.ts';
import { type AcceptOwner, type Address, addressText, type Wire } from '../../src/base/wire.ts';
import { MemoryEngine, Peer } from '../../src/io/memory.ts';
import { Clients } from '../../src/listen/clients.ts';
import { Listener } from '../../src/listen/listen.ts';
import { buildRuntime, Relay, type Tunnel } from '../../src/relay/relay.ts';
import { health } from '../../src/state/doors.ts';
import { plainListener, plainPlan, plainPool } from '../../src/state/plain-pool.ts';
import type { ListenerLimitsPlan, ListenerPlan, Plan, PoolPlan, StreamRoutePlan } from '../../src/state/plan.ts';
import { ControlDoor, initTable, Tally, tableBytes, WorkerDoor } from '../../src/state/table.ts';
import { Upstream } from '../../src/upstream/upstream.ts';

const FRONT: Address = { kind: 'ip', host: '10.0.0.1', port: 443 };

export interface StreamOptions {
  seed: number;
  endpoints?: number;
  /** Endpoints that refuse, and that never answer, before those that serve. */
  refusing?: number;
  deaf?: number;
  listener?: Partial<ListenerPlan>;
  limits?: Partial<ListenerLimitsPlan>;
  pool?: Partial<PoolPlan>;
  route?: Partial<StreamRoutePlan>;
  /** More streams, in front of the one that matches all. */
  streams?: readonly StreamRoutePlan[];
  requestsMax?: number;
  splitting?: 'whole' | 'random' | 'single';
}

export function streamRoute(name: string, pool: number, more: Partial<StreamRoutePlan> = {}): StreamRoutePlan {
  return {
    id: 0,
    name,
    source: 'test',
    match: { serverName: null, alpn: null, clients: null },
    target: { pools: [{ pool, weight: 1 }] },
    timeouts: { connectMs: 1000, idleMs: 60_000, totalMs: 0, halfClosedMs: 30_000 },
    attempts: 2,
    ...more,
  };
}

export class StreamWorld {
  readonly engine: MemoryEngine;
  readonly random: Prng;
  readonly table: WorkerDoor;
  readonly control: ControlDoor;
  readonly tally: Tally;
  readonly plan: Plan;
  readonly relay: Relay;
  readonly clients = new Clients(1);
  readonly listener: Listener;
  /** Connections that reached endpoints, by address of the endpoint. */
  readonly served = new Map<string, Peer[]>();
  readonly ended: { fault: number; bytesIn: number; bytesOut: number; endpoint: string; attempts: number }[] = [];
  /** What an endpoint does with a new connection. */
  onServed: (peer: Peer, address: string) => void = () => {};
  private readonly dialled: Peer[] = [];
  private readonly blocksLarge: number;
  private readonly blocksSmall: number;

  constructor(options: StreamOptions) {
    this.engine = new MemoryEngine({
      seed: options.seed,
      largeCount: 512,
      smallCount: 512,
      splitting: options.splitting ?? 'random',
    });
    const { engine } = this;
    this.blocksLarge = engine.blocks.largeAvailable;
    this.blocksSmall = engine.blocks.smallAvailable;
    this.random = new Prng(options.seed ^ 0x57ea);
    const buffer = new ArrayBuffer(tableBytes());
    initTable(buffer, {}, options.seed);
    this.control = new ControlDoor(buffer, () => engine.now);
    this.tally = new Tally(buffer);
    this.table = new WorkerDoor(buffer, this.control.claimStripe());
    engine.onTurn = () => {
      this.table.heartbeat(engine.now);
      this.relay.onTurn();
    };
    const addresses: Address[] = [];
    const add = (host: string, count: number): Address[] => {
      const made = Array.from({ length: count }, (_, i): Address => ({ kind: 'ip', host, port: 1 + i }));
      addresses.push(...made);
      return made;
    };
    add('10.0.2.1', options.refusing ?? 0);
    for (const address of add('10.0.3.1', options.deaf ?? 0)) engine.deafen(address);
    for (const address of add('10.0.1.1', options.endpoints ?? 3)) this.serve(address);
    this.plan = this.planOf(addresses, options);
    for (const { slot } of this.plan.pools[0]!.endpoints) this.control.setHealth(slot, health.up);
    const heads = new HeadPool(engine.blocks.bytes, 20);
    const { table } = this;
    const parts = { engine, blocks: engine.blocks, heads, table };
    const upstream = new Upstream({
      ...parts,
      responseLimits: limits,
    });
    this.relay = new Relay({
      ...parts,
      random: () => this.random.uint32(),
      wallClock: () => engine.now,
      idPrefix: 'sim-',
      onExchange: () => {},
      onSession: () => {},
      onTunnel: (tunnel: Tunnel) => {
        const { faultId, bytesIn, bytesOut, endpointText, attempts } = tunnel;
        this.ended.push({ fault: faultId, bytesIn, bytesOut, endpoint: endpointText, attempts });
      },
    });
    this.relay.isLogging = true;
    const runtime = buildRuntime(this.plan, table);
    runtime.endpoints = upstream.apply(this.plan);
    runtime.streamEndpoints = upstream.streamEndpoints;
    this.relay.runtime = runtime;
    this.listener = new Listener(this.plan.listeners[0]!, 0, { ...parts, taker: this.relay }, this.clients, null);
    this.listener.serve([{ fd: engine.listenAt(FRONT) }]);
  }

  dial(source?: string): Peer {
    const peer = new Peer(this.engine).dial(FRONT, source);
    this.dialled.push(peer);
    return peer;
  }

  /** All connections that reached endpoints. */
  get reached(): Peer[] {
    return [...this.served.values()].flat();
  }

  until(what: string, condition: () => boolean): void {
    this.engine.runUntil(condition, 600_000);
    assert.ok(condition(), `awaited: ${what}`);
  }

  /** Runs until all is silent, and looks for leaks. */
  finish(): void {
    this.until(
      'all connections to end',
      () => this.dialled.every(({ closedCount }) => closedCount > 0) && this.clients.count === 0 && this.engine.sockets === 0,
    );
    assert.deepEqual([this.listener.connections, this.listener.addresses.count], [0, 0], 'no connection is counted any more');
    for (const { slot } of this.plan.pools[0]!.endpoints) {
      assert.equal(this.table.inFlight(slot), 0, 'every begin has its end');
      assert.equal(this.tally.slot(slot).wiresBusy, 0, 'no wire is open');
    }
    assert.equal(this.table.poolQueued(this.plan.pools[0]!.id), 0, 'nobody waits');
    for (const { count } of this.tally.counts().inFlight) assert.equal(count, 0, 'no exchange is under way');
    assert.equal(this.engine.blocks.largeAvailable, this.blocksLarge, 'every large block came back');
    assert.equal(this.engine.blocks.smallAvailable, this.blocksSmall, 'every small block came back');
  }

  private serve(address: Address): void {
    const name = addressText(address);
    const peers: Peer[] = [];
    this.served.set(name, peers);
    const owner: AcceptOwner = {
      onAccept: (wire: Wire) => {
        const peer = new Peer(this.engine).take(wire);
        peers.push(peer);
        this.onServed(peer, name);
      },
      onAcceptFault: (_errno, acceptor) => acceptor.resume(),
    };
    this.engine.accept(this.engine.listenAt(address), owner);
  }

  private planOf(addresses: readonly Address[], options: StreamOptions): Plan {
    const { control } = this;
    return {
      ...plainPlan,
      epoch: 1,
      node: 'sim',
      listeners: [
        {
          ...frontListener(control, FRONT),
          protocol: 'tcp',
          streams: [...(options.streams ?? []), streamRoute('all', 0, { id: control.claimId('route', 'all'), ...options.route })],
          limits: { ...limits, ...options.limits },
          ...options.listener,
        },
      ],
      pools: [
        {
          ...carriedPool(control, 'pool', addresses, options.requestsMax ?? 0),
          protocol: 'tcp',
          ...options.pool,
        },
      ],
      routes: [],
    };
  }
}

const limits: ListenerLimitsPlan = {
  headBytesMax: 8192,
  fieldBytesMax: 4096,
  fieldsMax: 20,
  chunkExtensionBytesMax: 100,
  targetBytesMax: 1000,
  bodyBytesMax: 0,
  connectionsMax: 0,
  connectionsPerIpMax: 0,
  requestsPerConnectionMax: 100,
  bufferBytesMax: 64 * 1024,
  pipelineMax: 8,
  rateBytesMin: 0,
  rateGraceMs: 1000,
  underscores: 'drop',
};

/** A listener named front that routes nothing yet. */
export function frontListener(control: ControlDoor, address: Address): ListenerPlan {
  return {
    ...plainListener,
    id: control.claimId('listener', 'front'),
    name: 'front',
    addresses: [address],
    to: null,
    redirectToHttps: false,
    clientIp: { trust: [], header: 'x-forwarded-for' },
    limits,
    timeouts: { headerMs: 5000, idleMs: 10_000, bodyMs: 5000 },
  };
}

/** A pool of these addresses with a short queue. */
export function carriedPool(control: ControlDoor, name: string, addresses: readonly Address[], requestsMax: number): PoolPlan {
  return {
    ...plainPool,
    id: control.claimId('pool', name),
    name,
    source: 'test',
    endpoints: addresses.map((resolved) => ({
      slot: control.claimSlot(name, addressText(resolved)),
      address: addressText(resolved),
      resolved,
      weight: 1,
      backup: false,
      zone: null,
      requestsMax,
    })),
    connections: { idleMax: 0, idleMs: 1000, wiresMax: 0, warm: 0, requestsMax: 0, queueMax: 4, queueMs: 500 },
  };
}
