/**
 * Fleet: the workers of one instance. Starts them, keeps them alive, brings plans to all of them, ends them.
 *
 * Rules
 * 1. A plan is in force in all workers or in none: its epoch is stored when every worker has answered ready to it.
 * 2. A worker that dies is replaced with the plan in force; during a roll-out the successor then gets the new plan as well. A second death
 *    during one roll-out refuses the plan: it may be what kills them.
 * 3. Each worker process has a stripe of its own; it is given back, counters kept, when the process is gone.
 * 4. A worker whose heartbeat stands still is killed: it holds connections and answers none.
 * 5. All workers have the same ticket keys: each gets them before its first plan, and all when they change.
 */
import type { DownMessage, UpMessage, WorkerStart } from '../../state/channel.ts';
import type { Plan } from '../../state/plan.ts';
import type { ControlDoor } from '../../state/table.ts';
import type { WorkerState } from '../admin/control-state.ts';
import type { EventLog } from './events.ts';
import { type Found, Inquiries, type Question } from './inquiries.ts';
import { RestartLimit } from './restart-limit.ts';
import { type HeldSocket, keysOf, type Sockets } from './sockets.ts';
import type { TicketKeys } from './ticket-keys.ts';
import { WorkerProcess, type WorkerSpec } from './worker-process.ts';

/** Heartbeat older than this: the loop stands still. Workers beat about once a second. */
export const HEARTBEAT_MS_MAX = 3000;
const WATCH_MS = 500;
/** A worker must be ready this long after its start, and answer a plan in this time. */
export const READY_MS_MAX = 15_000;
/** Beyond hardStop, for saying goodbye. */
const LEAVE_MS = 1000;
/** Deaths during one roll-out that refuse the plan. */
const ROLL_OUT_DEATHS_MAX = 2;

export interface FleetOptions {
  workers: number;
  engine: WorkerStart['engine'];
  descriptorsMax: number;
  workerPath: string;
  environment: Readonly<Record<string, string | undefined>>;
  door: ControlDoor;
  tableFd: number;
  sockets: Sockets;
  events: EventLog;
  tickets: TicketKeys;
  /** The set of worker processes has changed: the instance file is written anew. */
  onChange: () => void;
}

export type RollOutResult = { ok: true } | { ok: false; reason: string };

interface Slot {
  readonly index: number;
  readonly limit: RestartLimit;
  worker: WorkerProcess | null;
  /** Of the successor's start. */
  timer: NodeJS.Timeout | null;
  restarts: number;
}

interface RollOut {
  readonly plan: Plan;
  readonly opened: readonly HeldSocket[];
  deaths: number;
  readonly timer: NodeJS.Timeout;
  readonly end: (result: RollOutResult) => void;
}

export class Fleet {
  private readonly options: FleetOptions;
  private readonly slots: Slot[] = [];
  private readonly inquiries = new Inquiries();
  private inForce: Plan | null = null;
  private rollOut: RollOut | null = null;
  private isDraining = false;
  private cut = 0;
  private onAllGone: (() => void) | null = null;
  private watchTimer: NodeJS.Timeout | null = null;
  private watchedAt = 0;

  constructor(options: FleetOptions) {
    this.options = options;
    for (let index = 0; index < options.workers; index++) {
      this.slots.push({ index, limit: new RestartLimit(), worker: null, timer: null, restarts: 0 });
    }
  }

  /** Starts all workers on `plan`. Resolves when every one is ready, or tells why not; then stop() is due. */
  start(plan: Plan): Promise<RollOutResult> {
    const done = this.beginRollOut(plan, []);
    for (const slot of this.slots) this.spawn(slot);
    this.watchedAt = performance.now();
    this.watchTimer = setInterval(() => this.watch(), WATCH_MS);
    return done;
  }

  /** Brings a further plan, and the sockets opened for it, to all workers. After ok: the epoch is stored. */
  async bring(plan: Plan, opened: readonly HeldSocket[]): Promise<RollOutResult> {
    const done = this.beginRollOut(plan, opened);
    for (const { worker } of this.slots) if (worker !== null && worker.readyEpoch >= 0) this.give(worker);
    return done;
  }

  /** Drains all workers, then resolves with the number of connections that were cut. */
  async drain(gracefulMs: number, hardStopMs: number): Promise<number> {
    this.isDraining = true;
    this.endRollOut({ ok: false, reason: 'weir is stopping' });
    const gone = this.allGone();
    this.tell({ type: 'drain', gracefulMs, hardStopMs });
    // Not in one go: when the machine stands still meanwhile, the workers are as late as this timer.
    let timer = setTimeout(() => {
      timer = setTimeout(() => this.killAll(), LEAVE_MS);
    }, hardStopMs);
    await gone;
    clearTimeout(timer);
    this.end();
    return this.cut;
  }

  /** Ends all workers at once. */
  async stop(): Promise<void> {
    this.isDraining = true;
    this.endRollOut({ ok: false, reason: 'weir is stopping' });
    const gone = this.allGone();
    this.tell({ type: 'stop' });
    const timer = setTimeout(() => this.killAll(), LEAVE_MS);
    await gone;
    clearTimeout(timer);
    this.end();
  }

  reopenLogs(): void {
    this.tell({ type: 'reopen' });
  }

  /** Asks the flight recorders of all workers. */
  lookUp(question: Question): Promise<Found> {
    return this.inquiries.ask(this.processes(), question);
  }

  processes(): WorkerProcess[] {
    return this.slots.flatMap(({ worker }) => (worker === null ? [] : [worker]));
  }

  /** Every worker runs and its loop turns. */
  get isWell(): boolean {
    const now = performance.now();
    return this.slots.every(
      ({ worker }) => worker !== null && worker.readyEpoch >= 0 && now - worker.heartbeatAt < HEARTBEAT_MS_MAX,
    );
  }

  status(): WorkerState[] {
    return this.slots.map(({ index, worker, restarts }) => ({
      slot: index,
      stripe: worker?.stripe ?? -1,
      pid: worker?.pid ?? 0,
      state: worker === null ? 'waiting' : worker.readyEpoch < 0 ? 'starting' : worker.isLeaving ? 'draining' : 'serving',
      engine: worker?.engine ?? null,
      startedAt: worker === null ? 0 : Math.round(performance.timeOrigin + worker.startedAt),
      restarts,
    }));
  }

  private tell(message: DownMessage): void {
    for (const { worker } of this.slots) {
      if (worker === null) continue;
      if (message.type === 'drain' || message.type === 'stop') worker.isLeaving = true;
      worker.send(message);
    }
  }

  private ticketsMessage(): DownMessage {
    return { type: 'tickets', keys: [...this.options.tickets.keys] };
  }

  private killAll(): void {
    for (const { worker } of this.slots) worker?.kill('SIGKILL');
  }

  private allGone(): Promise<void> {
    for (const slot of this.slots) if (slot.timer !== null) clearTimeout(slot.timer);
    if (this.slots.every(({ worker }) => worker === null)) return Promise.resolve();
    // A drain may be waiting already when stop() comes: both are told.
    const before = this.onAllGone;
    return new Promise((resolve) => {
      this.onAllGone = () => {
        before?.();
        resolve();
      };
    });
  }

  private end(): void {
    if (this.watchTimer !== null) clearInterval(this.watchTimer);
    this.watchTimer = null;
  }

  private spawn(slot: Slot): void {
    const { options } = this;
    const plan = this.inForce ?? this.rollOut?.plan;
    if (plan === undefined || this.isDraining) return;
    slot.timer = null;
    const stripe = options.door.claimStripe();
    if (stripe < 0) {
      // Stripes come back when processes end; a drained predecessor may still hold some.
      options.events.warn('worker_waits', `worker ${slot.index} waits for a stripe of the state table`);
      slot.timer = setTimeout(() => this.spawn(slot), 1000);
      return;
    }
    const sockets = options.sockets.of(slot.index, keysOf(plan));
    const spec: WorkerSpec = {
      slot: slot.index,
      stripe,
      engine: options.engine,
      tableFd: options.tableFd,
      sockets,
      descriptorsMax: options.descriptorsMax,
      path: options.workerPath,
      environment: options.environment,
    };
    try {
      const worker = new WorkerProcess(spec, {
        onMessage: (from, message) => this.onMessage(slot, from, message),
        onExit: (from, code, signal) => this.onExit(slot, from, code, signal),
      });
      slot.worker = worker;
      worker.heartbeat = options.door.heartbeatOf(stripe);
      worker.send(this.ticketsMessage());
      worker.send({ type: 'plan', plan, newSockets: [] });
      options.onChange();
    } catch (error) {
      options.door.releaseStripe(stripe);
      this.again(slot, 0, false, `worker ${slot.index} could not be started: ${(error as Error).message}`);
    }
  }

  private again(slot: Slot, livedMs: number, hasServed: boolean, text: string, fields = {}): void {
    const waitMs = slot.limit.died(performance.now(), livedMs, hasServed);
    slot.restarts++;
    const next = waitMs === 0 ? 'replaced at once' : `next try in ${waitMs / 1000} s`;
    this.options.events.error('worker_died', `${text}; ${next}`, fields);
    if (waitMs === 0) this.spawn(slot);
    else slot.timer = setTimeout(() => this.spawn(slot), waitMs);
  }

  private give(worker: WorkerProcess): void {
    const { rollOut, options } = this;
    if (rollOut === null) return;
    const mine = rollOut.opened.filter((socket) => socket.slot === worker.slot || socket.slot < 0);
    const result = worker.pass(mine);
    if (result < 0) {
      options.events.error('worker_deaf', `worker ${worker.slot} takes no sockets`, { errno: -result, pid: worker.pid });
      worker.kill('SIGKILL');
      return;
    }
    worker.send({ type: 'plan', plan: rollOut.plan, newSockets: mine.map((socket) => socket.key) });
  }

  private onMessage(slot: Slot, worker: WorkerProcess, message: UpMessage): void {
    const { events } = this.options;
    switch (message.type) {
      case 'hello':
        worker.engine = message.engine;
        worker.engineWhy = message.why;
        break;
      case 'ready': {
        const isFirst = worker.readyEpoch < 0;
        worker.readyEpoch = message.epoch;
        worker.heartbeatAt = performance.now();
        if (isFirst && slot.restarts > 0) {
          const ms = Math.round(performance.now() - worker.startedAt);
          events.info('worker_replaced', `worker ${slot.index} is back`, { pid: worker.pid, ms });
        }
        // A successor that was started with the plan in force, in the middle of a roll-out.
        if (this.rollOut !== null && message.epoch < this.rollOut.plan.epoch) this.give(worker);
        this.settle();
        break;
      }
      case 'refused':
        if (this.rollOut?.plan.epoch === message.epoch) {
          this.endRollOut({ ok: false, reason: `worker ${slot.index}: ${message.reason}` });
        } else {
          events.error('plan_refused', `worker ${slot.index} refused the plan in force: ${message.reason}`, { pid: worker.pid });
          worker.kill('SIGKILL');
        }
        break;
      case 'drained':
        worker.cut = message.cut;
        break;
      case 'found':
        this.inquiries.answered(worker, message);
        break;
      case 'event':
        events[message.level]('worker', message.msg, { worker: slot.index, ...message.fields });
        break;
    }
  }

  private onExit(slot: Slot, worker: WorkerProcess, code: number | null, signal: string | null): void {
    const { options, rollOut } = this;
    options.door.releaseStripe(worker.stripe);
    this.inquiries.gone(worker);
    if (slot.worker === worker) slot.worker = null;
    if (this.isDraining) {
      this.cut += worker.cut ?? 0;
      if (worker.cut === null && worker.readyEpoch >= 0 && code !== 0) {
        options.events.warn('worker_cut', `worker ${slot.index} did not finish its drain`, { pid: worker.pid, code, signal });
        this.cut++;
      }
      options.onChange();
      if (this.slots.every((other) => other.worker === null)) this.onAllGone?.();
      return;
    }
    const livedMs = performance.now() - worker.startedAt;
    const how = signal === null ? `code ${code}` : signal;
    const text = `worker ${slot.index} (pid ${worker.pid}) died with ${how}`;
    if (rollOut !== null) rollOut.deaths++;
    if (rollOut !== null && (this.inForce === null ? worker.readyEpoch < 0 : rollOut.deaths >= ROLL_OUT_DEATHS_MAX)) {
      this.endRollOut({ ok: false, reason: `${text} while it took the plan` });
      // There is nothing to go on with: the caller gives up.
      if (this.inForce === null) {
        options.events.error('worker_died', text, { pid: worker.pid, code, signal });
        return;
      }
    }
    this.again(slot, livedMs, worker.readyEpoch >= 0, text, { worker: slot.index, pid: worker.pid, code, signal });
    options.onChange();
  }

  private beginRollOut(plan: Plan, opened: readonly HeldSocket[]): Promise<RollOutResult> {
    return new Promise((resolve) => {
      const timer = setTimeout(() => {
        const late = this.slots
          .filter(({ worker }) => worker === null || worker.readyEpoch < plan.epoch)
          .map(({ index }) => index);
        this.endRollOut({ ok: false, reason: `no answer from worker ${late.join(', ')} within ${READY_MS_MAX / 1000} s` });
      }, READY_MS_MAX);
      this.rollOut = { plan, opened, deaths: 0, timer, end: resolve };
    });
  }

  /** Puts the plan in force when all are ready. */
  private settle(): void {
    const { rollOut } = this;
    if (rollOut === null) return;
    if (!this.slots.every(({ worker }) => worker !== null && worker.readyEpoch === rollOut.plan.epoch)) return;
    this.inForce = rollOut.plan;
    this.options.door.setEpoch(rollOut.plan.epoch);
    this.endRollOut({ ok: true });
  }

  private endRollOut(result: RollOutResult): void {
    const { rollOut } = this;
    if (rollOut === null) return;
    this.rollOut = null;
    clearTimeout(rollOut.timer);
    if (!result.ok && this.inForce !== null) this.tell({ type: 'forget', epoch: rollOut.plan.epoch });
    rollOut.end(result);
  }

  private watch(): void {
    const now = performance.now();
    // Control itself stood still (stopped, starved, suspended): its view of the workers is as old as that.
    const wasAsleep = now - this.watchedAt > HEARTBEAT_MS_MAX / 2;
    this.watchedAt = now;
    if (this.options.tickets.renew()) this.tell(this.ticketsMessage());
    for (const { worker, index } of this.slots) {
      if (worker === null) continue;
      const beat = this.options.door.heartbeatOf(worker.stripe);
      if (beat !== worker.heartbeat || wasAsleep) {
        worker.heartbeat = beat;
        worker.heartbeatAt = now;
      }
      const age = now - worker.heartbeatAt;
      if (age < (worker.readyEpoch < 0 ? READY_MS_MAX : HEARTBEAT_MS_MAX)) continue;
      this.options.events.error(
        'worker_stuck',
        `worker ${index} (pid ${worker.pid}) has not turned for ${Math.round(age)} ms: killed`,
        {
          worker: index,
          pid: worker.pid,
        },
      );
      // One kill is enough; the exit follows.
      worker.heartbeatAt = now;
      worker.kill('SIGKILL');
    }
  }
}
