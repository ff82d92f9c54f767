/**
 * Node: the control side of one weir in a run: its state table, the verdicts of its health checks, its judgement of live traffic. All of it the product's own, on
 * the run's clock.
 */
import type { NodePlace } from '../balance/balance.ts';
import { type Finding, OutlierJudge, restMs, Verdict } from '../health/health.ts';
import { health } from '../state/doors.ts';
import type { PoolPlan } from '../state/plan.ts';
import { ControlDoor, initTable, tableBytes } from '../state/table.ts';
import type { Server } from './server.ts';

/** The shared clock at the begin of a run: what was there before has been ready for a day. */
export const START_MS = 86_400_000;
/** Live traffic is looked at this often, as by the control process. */
const LOOK_MS = 25;
/** The first check of a newcomer comes within this time, as the control process has it. */
const FIRST_MS = 800;
/** Spreads any number of things evenly over an interval: the fractional part of the golden ratio. */
const GOLDEN = 0.618034;
/** Of the table of a run: one pool, and no rows for what is counted by listener and route. */
const SMALL = {
  listenersMax: 1,
  routesMax: 1,
  poolsMax: 1,
  filtersMax: 1,
  limitRowsMax: 64,
  exchangeRowsMax: 8,
  countRowsMax: 8,
};

export class Node {
  readonly place: NodePlace;
  readonly buffer: ArrayBuffer;
  readonly control: ControlDoor;
  /** When live traffic is looked at next. */
  lookMs = Number.POSITIVE_INFINITY;
  private readonly poolName: string;
  private readonly random: () => number;
  private clockMs = 1;
  private judge: OutlierJudge | null = null;
  /** By server. */
  private readonly verdicts: Verdict[] = [];
  /** Requests to it, ever, as of its last check. */
  private readonly requests: number[] = [];

  /** `random` gives numbers in 0..1. */
  constructor(place: NodePlace, poolName: string, slotsMax: number, workers: number, seed: number, random: () => number) {
    const sizes = { ...SMALL, slotsMax, stripesMax: workers };
    this.place = place;
    this.poolName = poolName;
    this.random = random;
    this.buffer = new ArrayBuffer(tableBytes(sizes));
    initTable(this.buffer, sizes, seed);
    this.control = new ControlDoor(this.buffer, () => this.clockMs);
  }

  /** Slot of an endpoint that has been in the pool, and well, since long before the run began. */
  claimOld(address: string): number {
    const slot = this.control.claimSlot(this.poolName, address);
    this.control.setHealth(slot, health.up);
    this.remember(slot);
    return slot;
  }

  /** Slot of a newcomer. One that is not checked is taken for well. */
  claimNew(address: string, isChecked: boolean, nowMs: number): number {
    this.turn(nowMs);
    const slot = this.control.claimSlot(this.poolName, address);
    if (!isChecked) this.control.setHealth(slot, health.up);
    this.remember(slot);
    return slot;
  }

  private remember(slot: number): void {
    this.verdicts.push(new Verdict(this.control.health(slot), 0));
    this.requests.push(this.control.requests(slot));
  }

  /** Is it given work while others can be: one that was not checked yet is not. */
  isFit(slot: number): boolean {
    return this.control.isReady(slot) && this.control.health(slot) === health.up;
  }

  /** The control process has this time. */
  turn(nowMs: number): void {
    this.clockMs = START_MS + nowMs;
  }

  /** A plan in force; its endpoints have slots. */
  apply(pool: PoolPlan, nowMs: number): void {
    this.turn(nowMs);
    const { passive } = pool.health;
    if (passive === null) return;
    this.judge = new OutlierJudge(passive, pool.endpoints, this.control, this.clockMs, this.judge);
    this.lookBy(this.judge.dueMs - START_MS);
  }

  /** When a server is checked for the first time. */
  static firstCheckMs(intervalMs: number, index: number, isNew: boolean): number {
    return (isNew ? Math.min(FIRST_MS, intervalMs) : intervalMs) * ((index * GOLDEN) % 1);
  }

  /** A check of a server ended. Returns the time to the next. `said` is told when the verdict is another one. */
  check(server: Server, pool: PoolPlan, said: (to: number) => void): number {
    const active = pool.health.active!;
    const verdict = this.verdicts[server.index]!;
    const passed = server.isAlive && server.doChecksPass;
    const result = { passed, reason: passed ? 'ok' : 'failed', evidence: '', ms: 0 };
    if (verdict.take(result, active.rise, active.fall, this.clockMs)) said(verdict.state);
    const isUp = verdict.state === health.up;
    const requests = this.control.requests(server.slot);
    const isIdle = isUp && requests === this.requests[server.index];
    this.requests[server.index] = requests;
    return restMs(active, passed !== isUp, isIdle);
  }

  /** A request ended badly, or somebody changed the admin state: live traffic is looked at soon. */
  lookSoon(nowMs: number): void {
    if (this.judge !== null) this.lookBy(nowMs);
  }

  /** What live traffic says now. */
  look(nowMs: number): readonly Finding[] {
    this.turn(nowMs);
    this.lookMs = Number.POSITIVE_INFINITY;
    const findings = this.judge!.look(this.clockMs, this.random);
    this.lookBy(this.judge!.dueMs - START_MS);
    return findings;
  }

  private lookBy(ms: number): void {
    const at = (Math.floor(ms / LOOK_MS) + 1) * LOOK_MS;
    if (at < this.lookMs) this.lookMs = at;
  }
}
