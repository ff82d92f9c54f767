/**
 * What a short connection costs in TypeScript between the loop and the table: accept -> listener -> tunnel -> dial -> bytes both ways -> settle -> counters and flight recorder.
 * Wires are stubs, so no system call is in it, and neither is the loop. User CPU of this process per connection, the best and the median of the rounds.
 *
 *     node bench/connections.bench.ts [--log]
 */
import type { ClientAddress } from '../src/base/client-address.ts';
import { HeadPool } from '../src/base/head-pool.ts';
import { Prng } from '../src/base/prng.ts';
import type { Address, Engine, Wire, WireOwner } from '../src/base/wire.ts';
import { MemoryEngine } from '../src/io/memory.ts';
import { Clients, Listener } from '../src/listen/listen.ts';
import { buildRuntime, LogRecord, Relay } from '../src/relay/relay.ts';
import { health } from '../src/state/doors.ts';
import { plainPlan } from '../src/state/plain-pool.ts';
import { ControlDoor, initTable, tableBytes, WorkerDoor } from '../src/state/table.ts';
import { Upstream } from '../src/upstream/upstream.ts';
import { carriedPool, frontListener, streamRoute } from '../tests/sim/stream-world.ts';

const ROUNDS = 15;
const PER_ROUND = 60_000;
/** Open at a time. */
const OPEN = 64;
/** Client ports that are seen again and again. */
const PORTS = 4096;

const CLIENT = Uint8Array.of(127, 0, 0, 1);

class StubWire implements Wire {
  owner!: WireOwner;
  queued = 0;
  received = 0;
  sent = 0;
  drainBelow = -1;
  isOpen = true;
  hasUnread = false;
  pouredMs = 0;
  private port = 0;

  use(owner: WireOwner, port: number): this {
    this.owner = owner;
    this.port = port;
    this.received = this.sent = 0;
    this.isOpen = true;
    return this;
  }
  send(_block: number, start: number, end: number): void {
    this.sent += end - start;
  }
  pourInto(): void {}
  pause(): void {}
  resume(): void {}
  sendClose(): void {}
  close(): void {
    this.isOpen = false;
  }
  readPeer(into: ClientAddress): void {
    into.setBinary(CLIENT, 0, 4, this.port);
  }
  local(): string {
    return '';
  }
}

const engine = new MemoryEngine({ seed: 1, largeCount: 64, smallCount: 64 });
const dialled: StubWire[] = [];
const idle: StubWire[] = [];
const nobody: WireOwner = { onOpen() {}, onBytes() {}, onRecvEnd() {}, onDrained() {}, onClosed() {} };
// The engine's own timers and blocks; wires that are nobody's.
const stub: Engine = Object.create(engine, {
  dial: {
    value: (_address: Address, owner: WireOwner): Wire => {
      const wire = (idle.pop() ?? new StubWire()).use(owner, 1);
      dialled.push(wire);
      return wire;
    },
  },
});

const buffer = new ArrayBuffer(tableBytes());
initTable(buffer, {}, 1);
const control = new ControlDoor(buffer, () => engine.now);
const table = new WorkerDoor(buffer, control.claimStripe());
const addresses = Array.from({ length: 2 }, (_, i): Address => ({ kind: 'ip', host: '10.0.1.1', port: 1 + i }));
const plan = {
  ...plainPlan,
  node: 'bench',
  routes: [],
  epoch: 1,
  listeners: [
    {
      ...frontListener(control, { kind: 'ip', host: '10.0.0.1', port: 443 }),
      protocol: 'tcp' as const,
      streams: [streamRoute('all', 0, { id: control.claimId('route', 'all') })],
    },
  ],
  pools: [{ ...carriedPool(control, 'pool', addresses, 0), protocol: 'tcp' as const }],
};
for (const { slot } of plan.pools[0]!.endpoints) control.setHealth(slot, health.up);
const parts = { engine: stub, blocks: engine.blocks, heads: new HeadPool(engine.blocks.bytes, 20), table };
const { limits } = plan.listeners[0]!;
const upstream = new Upstream({ ...parts, responseLimits: limits });
const random = new Prng(7);
const record = new LogRecord();
const relay = new Relay({
  ...parts,
  random: () => random.uint32(),
  wallClock: Date.now,
  idPrefix: 'bench-',
  onExchange: () => {},
  onSession: () => {},
  onTunnel: (tunnel) => tunnel.fillRecord(record, 1e12),
});
relay.isLogging = process.argv.includes('--log');
const runtime = buildRuntime(plan, table);
runtime.endpoints = upstream.apply(plan);
runtime.streamEndpoints = upstream.streamEndpoints;
relay.runtime = runtime;
const listener = new Listener(plan.listeners[0]!, 0, { ...parts, taker: relay }, new Clients(1), null);
const block = engine.blocks.takeSmall();
const start = engine.blocks.start(block);
const nears: StubWire[] = Array.from({ length: OPEN }, () => new StubWire());
let accepted = 0;

/** So many connections at once, from accept to their end. */
function batch(): void {
  for (const near of nears) listener.onAccept(near.use(nobody, 20_000 + (accepted++ % PORTS)));
  for (let i = 0; i < OPEN; i++) dialled[i]!.owner.onOpen(dialled[i]!);
  for (const near of nears) near.owner.onBytes(near, block, start, start + 80);
  for (let i = 0; i < OPEN; i++) dialled[i]!.owner.onBytes(dialled[i]!, block, start, start + 200);
  for (let i = 0; i < OPEN; i++) dialled[i]!.owner.onRecvEnd(dialled[i]!);
  for (const near of nears) near.owner.onRecvEnd(near);
  for (let i = 0; i < OPEN; i++) dialled[i]!.owner.onClosed(dialled[i]!, 0);
  for (const near of nears) near.owner.onClosed(near, 0);
  idle.push(...dialled);
  dialled.length = 0;
}

const costs: number[] = [];
for (let round = 0; round < ROUNDS; round++) {
  const before = process.cpuUsage();
  for (let done = 0; done < PER_ROUND; done += OPEN) batch();
  costs.push((process.cpuUsage(before).user / PER_ROUND) * 1000);
  engine.runFor(10);
}
costs.splice(0, 3);
costs.sort((a, b) => a - b);
console.log(`ns of user CPU a connection: best ${costs[0]!.toFixed(0)}, median ${costs[costs.length >> 1]!.toFixed(0)}`);
