/**
 * World: what a run has of the product: nodes with their tables, verdicts and judgements, and their workers. Plans change here as they do there: every worker builds
 * its policies anew.
 */

import type { Policy } from '../balance/balance.ts';
import { assert } from '../base/assert.ts';
import type { Prng } from '../base/prng.ts';
import type { Address } from '../base/wire.ts';
import type { EndpointPlan, PoolPlan } from '../state/plan.ts';
import { Agenda } from './agenda.ts';
import { KeyMap } from './key-map.ts';
import { Node } from './node.ts';
import { pickerOf } from './reference.ts';
import type { Change, Move } from './result.ts';
import type { Scenario, Variant } from './scenario.ts';
import { Seat } from './seat.ts';
import type { Server } from './server.ts';

/** Names are taken to be resolved: nothing is sent anywhere. */
const ANYWHERE: Address = { kind: 'ip', host: '0.0.0.0', port: 0 };
/** Changes that are told; a pool that flaps has more. */
const CHANGES_TOLD_MAX = 1000;

export class World {
  readonly nodes: readonly Node[];
  /** Workers of the first node, then those of the second ... */
  readonly seats: readonly Seat[];
  /** Timers of queues, by seat. */
  readonly timers = new Agenda();
  readonly moves: Move[] = [];
  readonly changes: Change[] = [];
  /** In force. */
  pool: PoolPlan;
  private readonly variant: Variant;
  private readonly hashes: Uint32Array;
  private probe!: Policy;
  private keyMap: KeyMap | null = null;

  constructor(scenario: Scenario, variant: Variant, hashes: Uint32Array, endpointsMax: number, prng: Prng) {
    const { nodes, workers, seed } = scenario;
    const slotsMax = Math.max(1, endpointsMax);
    const random = () => prng.float();
    this.variant = variant;
    this.pool = variant.pool;
    this.hashes = hashes;
    // The seed of a table is drawn by each node for itself.
    this.nodes = nodes.map((place, i) => new Node(place, variant.pool.name, slotsMax, workers, seed + i, random));
    this.seats = this.nodes.flatMap((node, i) =>
      Array.from({ length: workers }, (_, worker) => new Seat(i * workers + worker, node, variant, slotsMax, this.timers)),
    );
  }

  /** Slot of an endpoint, the same in all nodes. */
  claim(endpoint: EndpointPlan, isNew: boolean, nowMs: number): number {
    const isChecked = this.variant.pool.health.active !== null;
    const slots = this.nodes.map((node) =>
      isNew ? node.claimNew(endpoint.address, isChecked, nowMs) : node.claimOld(endpoint.address),
    );
    assert(
      slots.every((slot) => slot === slots[0]),
      'nodes claim the same slots in the same order',
    );
    return slots[0]!;
  }

  /** The first plan. */
  start(servers: readonly Server[]): void {
    this.plan(servers, 0);
    this.keyMap = new KeyMap(this.probe, this.hashes);
  }

  /** A plan with these endpoints in force. */
  plan(servers: readonly Server[], nowMs: number): void {
    const endpoints = servers.map((server) => ({
      ...server.plan,
      slot: server.slot,
      resolved: server.plan.resolved ?? ANYWHERE,
    }));
    const first = this.nodes[0]!;
    this.pool = { ...this.variant.pool, id: first.control.claimId('pool', this.variant.pool.name), endpoints };
    for (const node of this.nodes) node.apply(this.pool, nowMs);
    for (const seat of this.seats) {
      seat.turn(nowMs);
      seat.apply(this.pool);
    }
    // Asking must leave those at work as they are.
    this.probe = pickerOf(this.variant.reference, this.pool, this.seats[0]!.door, first.place);
  }

  /** Notes a change of the pool that has just been made, and what it did to the keys. `leaving` is the slot that takes no more, or NONE. */
  note(atMs: number, what: string, leaving: number): void {
    if (this.changes.length < CHANGES_TOLD_MAX) this.changes.push({ atMs, what });
    const move = this.keyMap?.move(this.probe, leaving);
    if (move) this.moves.push({ atMs, what, ...move });
  }

  get hasKeys(): boolean {
    return this.keyMap?.looksAtKeys === true;
  }
}
