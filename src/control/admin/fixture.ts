/** A control process as the admin room sees one, made of a real table: for tests. */

import type { Address } from '../../base/wire.ts';
import { plainPool } from '../../state/plain-pool.ts';
import type { EndpointPlan, Plan, PoolPlan, RoutePlan } from '../../state/plan.ts';
import { ControlDoor, initTable, Tally, tableBytes, WorkerDoor } from '../../state/table.ts';
import { Requests } from '../explain/requests.ts';
import { PassiveHealth } from '../health/passive.ts';
import type { Question } from '../supervise/inquiries.ts';
import type { ControlState, EndpointNote, ReadyCheck, ReloadState, WorkerState } from './control-state.ts';
import { Drains } from './drains.ts';
import type { HandshakeUse } from './headroom.ts';
import { type Order, Orders } from './orders.ts';

export class StateFixture implements ControlState {
  readonly version = '9.9.9';
  readonly startedAt = Date.UTC(2026, 0, 2);
  readonly tally: Tally;
  readonly control: ControlDoor;
  readonly worker: WorkerDoor;
  readonly orders: Orders;
  readonly drains: Drains;
  /** Judges nothing before it is given a plan. */
  readonly passive: PassiveHealth;
  readonly headroom = {
    descriptorsRatio: 0.25,
    clientsRatio: 0.5,
    sessionsRatio: 0.125,
    handshakes: [] as HandshakeUse[],
    ports: [{ pool: 'web', endpoint: '10.0.0.1:8001', used: 14_116, of: 28_232 }],
  };
  /** What workers were asked; none answers. */
  readonly questions: Question[] = [];
  readonly requests = new Requests((question) => {
    this.questions.push(question);
    return Promise.resolve({ answers: [], silent: [0] });
  });
  /** Events that orders and drains left. */
  readonly said: string[] = [];
  /** What orders take for now. */
  now = Date.UTC(2026, 0, 4);
  clock = (): number => this.now;
  /** Slots that a check was asked for, and whether anybody checks. */
  readonly asked: number[] = [];
  isChecked = true;
  readonly notes = new Map<number, EndpointNote>();
  ready: ReadyCheck[] = [
    { name: 'configuration', isOk: true, why: '' },
    { name: 'drain', isOk: true, why: '' },
  ];
  loads: ReloadState = { succeeded: 3, failed: 1, isLastOk: false, lastOkAt: Date.UTC(2026, 0, 3) };
  its: Plan | null;
  crew: WorkerState[];

  /** One listener `web` on one route `shop` to pools of so many endpoints. */
  constructor(endpointsOf: Record<string, number> = { web: 2 }) {
    const sizes = { slotsMax: 2048, stripesMax: 4, exchangeRowsMax: 64, countRowsMax: 256 };
    const buffer = new ArrayBuffer(tableBytes(sizes));
    initTable(buffer, sizes, 5);
    this.control = new ControlDoor(buffer);
    this.orders = new Orders({
      door: this.control,
      events: { info: (event) => void this.said.push(event) },
      now: () => this.clock(),
    });
    const stripe = this.control.claimStripe();
    this.worker = new WorkerDoor(buffer, stripe);
    this.its = this.makePlan(endpointsOf);
    this.tally = new Tally(buffer);
    this.drains = new Drains({
      door: this.control,
      tally: this.tally,
      orders: this.orders,
      events: { info: (event) => void this.said.push(event), warn: (event) => void this.said.push(event) },
      now: () => this.clock(),
      // Tests look themselves.
      after: () => {},
    });
    this.drains.apply(this.its);
    this.passive = new PassiveHealth({
      door: this.control,
      events: { info: (event) => void this.said.push(event), warn: (event) => void this.said.push(event) },
      now: () => this.clock(),
      random: () => 0,
    });
    this.control.setEpoch(7);
    this.crew = [
      { slot: 0, stripe, pid: process.pid, state: 'serving', engine: 'uring', startedAt: this.startedAt, restarts: 2 },
      { slot: 1, stripe: -1, pid: 0, state: 'waiting', engine: null, startedAt: 0, restarts: 1 },
    ];
  }

  get web(): PoolPlan {
    return this.its!.pools[0]!;
  }
  plan(): Plan | null {
    return this.its;
  }
  workers(): readonly WorkerState[] {
    return this.crew;
  }
  endpointNote(slot: number): EndpointNote | null {
    return this.orders.stateNote(slot) ?? this.notes.get(slot) ?? null;
  }
  eject(order: Order, forMs: number | null): string | null {
    return this.passive.eject(order, forMs);
  }
  checkNow(slot: number): boolean {
    this.asked.push(slot);
    return this.isChecked;
  }
  readyChecks(): readonly ReadyCheck[] {
    return this.ready;
  }
  reloads(): ReloadState {
    return this.loads;
  }

  private makePlan(endpointsOf: Record<string, number>): Plan {
    const { control } = this;
    const pools = Object.entries(endpointsOf).map(([name, count]): PoolPlan => {
      const endpoints = Array.from({ length: count }, (_, i): EndpointPlan => {
        const address = `10.0.0.1:${8000 + i}`;
        const slot = control.claimSlot(name, address);
        return { slot, address, resolved: null, weight: 1, backup: false, zone: null, requestsMax: 0 };
      });
      const connections = { idleMax: 0, idleMs: 0, wiresMax: 0, warm: 0, requestsMax: 0, queueMax: 0, queueMs: 0 };
      const id = control.claimId('pool', name);
      return {
        id,
        name,
        source: 'weir.yaml:4',
        endpoints,
        ...plainPool,
        connections,
      };
    });
    const listen: Address = { kind: 'ip', host: '127.0.0.1', port: 8080 };
    const route = {
      id: control.claimId('route', 'shop'),
      name: 'shop',
      listeners: null,
      filters: [],
      action: { kind: 'forward', pools: pools.map((_, pool) => ({ pool, weight: 1 })) },
    } as unknown as RoutePlan;
    // Only what the room reads.
    return {
      epoch: 7,
      node: 'lb-a',
      limits: { connectionsMax: 1000 },
      certificates: [],
      listeners: [
        {
          id: control.claimId('listener', 'web'),
          name: 'web',
          addresses: [listen],
          protocol: 'http',
          streams: [],
          tls: { certificates: [], minVersion: '1.2', alpn: [], strictSni: false, handshakeMs: 10_000, handshakesMax: 1024 },
          to: null,
        },
      ],
      pools,
      routes: [route],
    } as unknown as Plan;
  }
}
