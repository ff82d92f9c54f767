/**
 * World: what a run has of the product: a state table in memory with its control door, one worker's door and policy for each worker, and the verdicts of
 * health checks. Plans change here as they do there: every worker builds its policies anew.
 */
import type { Address } from '../base/wire.ts';
import { health } from '../state/doors.ts';
import { ControlDoor, initTable, tableBytes, WorkerDoor } from '../state/table.ts';
import { KeyMap } from './key-map.ts';
import { type Picker, pickerOf } from './reference.ts';
import type { Move } from './result.ts';
import type { PolicyChoice, Scenario } from './scenario.ts';
import type { Server } from './server.ts';

/** Names are taken to be resolved: nothing is sent anywhere. */
const ANYWHERE: Address = { kind: 'ip', host: '0.0.0.0', port: 0 };

export class World {
  readonly control: ControlDoor;
  readonly doors: WorkerDoor[] = [];
  /** By worker. */
  pickers: Picker[] = [];
  readonly moves: Move[] = [];
  private readonly scenario: Scenario;
  private readonly choice: PolicyChoice;
  private readonly hashes: Uint32Array;
  private probe: Picker;
  private keyMap: KeyMap | null = null;

  constructor(scenario: Scenario, choice: PolicyChoice, hashes: Uint32Array, endpointsMax: number) {
    const sizes = {
      slotsMax: Math.max(1, endpointsMax),
      stripesMax: scenario.workers,
      listenersMax: 1,
      routesMax: 1,
      poolsMax: 1,
      exchangeRowsMax: 8,
      countRowsMax: 8,
    };
    const buffer = new ArrayBuffer(tableBytes(sizes));
    initTable(buffer, sizes, scenario.seed);
    this.control = new ControlDoor(buffer);
    for (let i = 0; i < scenario.workers; i++) this.doors.push(new WorkerDoor(buffer, this.control.claimStripe()));
    this.scenario = scenario;
    this.choice = choice;
    this.hashes = hashes;
    this.probe = this.picker([], 0);
  }

  /** A new endpoint's row; it may be given work at once, as one that has not been checked yet. */
  claim(address: string): number {
    const slot = this.control.claimSlot(this.scenario.pool.name, address);
    if (this.scenario.pool.health.active === null) this.control.setHealth(slot, health.up);
    return slot;
  }

  /** The first plan. */
  start(servers: readonly Server[]): void {
    this.plan(servers);
    this.keyMap = new KeyMap(this.probe, this.hashes);
  }

  /** A plan with these endpoints in force: policies are built anew. */
  plan(servers: readonly Server[]): void {
    this.pickers = this.doors.map((_, worker) => this.picker(servers, worker));
    this.probe = this.picker(servers, 0);
  }

  /** Notes what a change of the pool that has just been made did to the keys. `leaving` is the slot that takes no more, or NONE. */
  noteMove(atMs: number, what: string, leaving: number): void {
    const move = this.keyMap?.move(this.probe, leaving);
    if (move) this.moves.push({ atMs, what, ...move });
  }

  get hasKeys(): boolean {
    return this.keyMap?.looksAtKeys === true;
  }

  private picker(servers: readonly Server[], worker: number): Picker {
    const endpoints = servers.map((server) => ({
      ...server.plan,
      slot: server.slot,
      resolved: server.plan.resolved ?? ANYWHERE,
    }));
    return pickerOf(this.choice, { ...this.scenario.pool, endpoints }, this.doors[worker]!);
  }
}
