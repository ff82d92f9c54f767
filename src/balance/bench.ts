/** A pool over a table of its own, with some workers and a clock that stands until it is told: what tests and benchmarks of policies run on. */
import { assert } from '../base/assert.ts';
import { Prng } from '../base/prng.ts';
import { health } from '../state/doors.ts';
import { plainPool } from '../state/plain-pool.ts';
import type { PoolPlan } from '../state/plan.ts';
import { ControlDoor, initTable, tableBytes, WorkerDoor } from '../state/table.ts';
import { type Algorithm, NONE, type NodePlace, type Policy, policyOf } from './balance.ts';

export interface EndpointSketch {
  weight?: number;
  backup?: boolean;
  requestsMax?: number;
  zone?: string;
}

/** What of a pool is not of one endpoint. */
export interface PoolSketch {
  slowStartMs?: number;
  panicThreshold?: number;
  /** Prefers zone 'here'. */
  spillAt?: number;
  subset?: number;
  node?: string;
  boundedLoad?: number;
  /** Of the table. */
  seed?: number;
}

/** Not 0: that means never. */
const START_MS = 1000;

export class Bench {
  readonly control: ControlDoor;
  readonly workers: WorkerDoor[] = [];
  readonly slots: Int32Array;
  readonly prng = new Prng(42);
  private readonly sketches: readonly EndpointSketch[];
  private readonly pool: PoolSketch;
  private nowMs = START_MS;

  /** All endpoints have passed a check, long before. */
  constructor(sketches: readonly EndpointSketch[], workers = 1, pool: PoolSketch = {}) {
    const sizes = { slotsMax: Math.max(128, sketches.length), stripesMax: 8, exchangeRowsMax: 8, countRowsMax: 8 };
    const buffer = new ArrayBuffer(tableBytes(sizes));
    initTable(buffer, sizes, pool.seed ?? 99);
    this.control = new ControlDoor(buffer, () => this.nowMs);
    this.sketches = sketches;
    this.pool = pool;
    this.slots = Int32Array.from(sketches, (_, i) => this.control.claimSlot('pool', addressOf(i)));
    for (const slot of this.slots) this.control.setHealth(slot, health.up);
    for (let i = 0; i < workers; i++) this.workers.push(new WorkerDoor(buffer, this.control.claimStripe()));
    this.advance(10 * (pool.slowStartMs ?? 0));
  }

  /** The pool of the plan that a node would have in force. */
  plan(algorithm: Algorithm): PoolPlan {
    const { slowStartMs = 0, panicThreshold = 0, spillAt = 0, subset = 0, boundedLoad = 0 } = this.pool;
    const zone = spillAt === 0 ? null : { spillAt };
    return {
      ...plainPool,
      id: 0,
      name: 'pool',
      source: 'test:1',
      endpoints: this.sketches.map((sketch, i) => ({
        slot: this.slots[i]!,
        address: addressOf(i),
        resolved: { kind: 'ip', host: '10.0.0.1', port: i },
        weight: sketch.weight ?? 1,
        backup: sketch.backup === true,
        zone: sketch.zone ?? null,
        requestsMax: sketch.requestsMax ?? 0,
      })),
      balance: { ...plainPool.balance, algorithm, zone, subset, boundedLoad },
      health: { ...plainPool.health, slowStartMs, panicThreshold },
      connections: { idleMax: 1, idleMs: 1, wiresMax: 0, warm: 0, requestsMax: 0, queueMax: 0, queueMs: 0 },
    };
  }

  get place(): NodePlace {
    return { node: this.pool.node ?? 'node', zone: 'here' };
  }

  policy(algorithm: Algorithm, worker = 0): Policy {
    return policyOf(this.plan(algorithm), this.workers[worker]!, this.place);
  }

  /** The clock of all goes on. */
  advance(ms: number): void {
    this.nowMs += ms;
    for (const worker of this.workers) worker.heartbeat(this.nowMs);
  }

  /** The endpoint was down and is up again, as of now. */
  revive(index: number): void {
    this.control.setHealth(this.slots[index]!, health.down);
    this.control.setHealth(this.slots[index]!, health.up);
  }

  /** Index of the endpoint picked, NONE for none. Nothing is begun. */
  pick(policy: Policy, avoid = NONE): number {
    const slot = policy.pick(this.prng.uint32(), this.prng.uint32(), avoid === NONE ? NONE : this.slots[avoid]!);
    return slot === NONE ? NONE : this.slots.indexOf(slot);
  }

  begin(index: number, worker = 0): void {
    this.workers[worker]!.begin(this.slots[index]!);
  }
  end(index: number, worker = 0): void {
    this.workers[worker]!.end(this.slots[index]!, 0, 200, 1);
  }

  /** Picks, begins and ends at once, so many times: how often each was picked. */
  run(policy: Policy, times: number, avoid = NONE): number[] {
    const counts = this.sketches.map(() => 0);
    for (let i = 0; i < times; i++) {
      const index = this.pick(policy, avoid);
      assert(index !== NONE, 'an endpoint is picked');
      counts[index]!++;
      this.begin(index);
      this.end(index);
    }
    return counts;
  }
}

function addressOf(index: number): string {
  return `10.0.0.1:${index}`;
}
