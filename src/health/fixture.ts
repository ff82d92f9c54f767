/** A pool of a real state table with workers that report what a test says: for tests. */
import { fault } from '../base/faults.ts';
import { plainPassive } from '../state/plain-pool.ts';
import type { PassiveHealthPlan } from '../state/plan.ts';
import { ControlDoor, initTable, tableBytes, WorkerDoor } from '../state/table.ts';
import { type Finding, OutlierJudge } from './outlier.ts';

/** How an exchange ended: fault and status. */
const ends = {
  ok: [fault.none, 200],
  missing: [fault.none, 404],
  timeout: [fault.responseTimeout, 0],
  refused: [fault.connectionRefused, 0],
  cut: [fault.responseIncomplete, 200],
  500: [fault.none, 500],
  503: [fault.none, 503],
  /** A client that left, a limit of weir's own: neither good nor bad. */
  abort: [fault.none, 0],
} as const;
export type How = keyof typeof ends;

export class PoolFixture {
  nowMs = 1_000_000;
  readonly buffer: ArrayBuffer;
  readonly control: ControlDoor;
  readonly workers: WorkerDoor[];
  readonly slots: number[];
  judge: OutlierJudge;
  /** Given in turn; the last for ever. */
  chances = [0];

  constructor(endpoints: number, plan: Partial<PassiveHealthPlan> = {}, workers = 1) {
    const sizes = { slotsMax: Math.max(8, endpoints), stripesMax: 4, poolsMax: 4, exchangeRowsMax: 4, countRowsMax: 4 };
    const buffer = new ArrayBuffer(tableBytes(sizes));
    initTable(buffer, sizes, 1);
    this.buffer = buffer;
    this.control = new ControlDoor(buffer, () => this.nowMs);
    this.workers = Array.from({ length: workers }, () => new WorkerDoor(buffer, this.control.claimStripe()));
    for (const worker of this.workers) worker.heartbeat(this.nowMs);
    this.slots = Array.from({ length: endpoints }, (_, i) => this.control.claimSlot('pool', `10.0.0.${i}:80`));
    this.judge = this.newJudge(plan);
  }

  newJudge(plan: Partial<PassiveHealthPlan>, before: OutlierJudge | null = null): OutlierJudge {
    const endpoints = this.slots.map((slot) => ({ slot, weight: 1 }));
    this.judge = new OutlierJudge({ ...plainPassive, ...plan }, endpoints, this.control, this.nowMs, before);
    return this.judge;
  }

  begin(i: number, worker = 0): void {
    this.workers[worker]!.begin(this.slots[i]!);
  }
  /** Ends what was begun. `ms`: response time of those that have a status. */
  finish(i: number, how: How, worker = 0, ms = 1): void {
    const [faultId, status] = ends[how];
    this.workers[worker]!.end(this.slots[i]!, faultId, status, status > 0 ? ms : -1);
  }
  end(i: number, how: How, times = 1, worker = 0, ms = 1): void {
    for (let left = times; left > 0; left--) {
      this.begin(i, worker);
      this.finish(i, how, worker, ms);
    }
  }

  /** Some time passes, then the judge looks. */
  look(ms = 25): readonly Finding[] {
    this.pass(ms);
    return this.judge.look(this.nowMs, () => (this.chances.length > 1 ? this.chances.shift()! : this.chances[0]!));
  }
  pass(ms: number): void {
    this.nowMs += ms;
    for (const worker of this.workers) worker.heartbeat(this.nowMs);
  }
  /** What a look finds, as `eject 0`. */
  found(ms = 25): string[] {
    return this.look(ms).map(({ what, slot }) => `${what} ${this.slots.indexOf(slot)}`);
  }
}
