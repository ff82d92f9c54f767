/**
 * control: composition root of the control plane. One instance from configuration to exit: sockets, table, workers, health checks, names,
 * admin address, reloads, drain.
 *
 * It does not know: argv, the environment (both arrive as options), what a worker does with a plan.
 *
 * Rules
 * 1. What goes wrong before the start is an Outcome with a text for people; after it, the instance goes on with what it has.
 * 2. One plan change at a time: reloads and new addresses of names go through the same turn-taking.
 */
import { setTimeout as wait } from 'node:timers/promises';
import type { Address } from '../base/wire.ts';
import { addressText } from '../base/wire.ts';
import { socketKey, type WorkerStart } from '../state/channel.ts';
import type { ListenerPlan, Plan } from '../state/plan.ts';
import type { Tally } from '../state/table.ts';
import { RLIMIT_NOFILE } from '../sys/constants.generated.ts';
import { getrlimit, setrlimit } from '../sys/libc.ts';
import type { Admin, ControlState, EndpointNote, ReadyCheck, ReloadState } from './admin/admin.ts';
import { Drains } from './admin/drains.ts';
import { Headroom } from './admin/headroom.ts';
import { type Order, Orders } from './admin/orders.ts';
import { assignIds, type ConfigResult, slotsLeft } from './config/config.ts';
import { hostsOf, NameResolver } from './discover/dns.ts';
import { Requests } from './explain/requests.ts';
import { HealthChecks } from './health/health.ts';
import { PassiveWatch } from './health/passive-watch.ts';
import { banner } from './supervise/banner.ts';
import { type EventLog, makeEventLog } from './supervise/events.ts';
import { Expiry } from './supervise/expiry.ts';
import { Fleet, type RollOutResult } from './supervise/fleet.ts';
import { Instance, InstanceTaken, startTimeOf, takeOver, type WorkerRecord } from './supervise/instance.ts';
import { Notifier } from './supervise/notify.ts';
import { Orphans } from './supervise/orphans.ts';
import { adoptTable, newTable, type SharedTable } from './supervise/shared-table.ts';
import { ListenError, Sockets } from './supervise/sockets.ts';
import { TicketKeys } from './supervise/ticket-keys.ts';
import { Turns } from './supervise/turns.ts';
import { FileWatch } from './supervise/watch.ts';
import { workerPath } from './supervise/worker-process.ts';

export { runtimeFolder } from './supervise/instance.ts';
export { instanceSecret } from './supervise/secret.ts';

/** First answers of name servers are waited for so long; who comes later joins by a plan of its own. */
const NAMES_MS_MAX = 2000;
/** Descriptors of a process when the limit is "infinity". */
const DESCRIPTORS_MAX = 1_048_576;

export interface ControlOptions {
  version: string;
  /** Tells this instance from others: absolute paths of the configuration. */
  key: string;
  runtimeFolder: string;
  load: () => Promise<ConfigResult>;
  /** Faults of a configuration as text. */
  format: (faults: ConfigResult['faults']) => string;
  /** Wins over the configuration. */
  engine?: WorkerStart['engine'];
  watch: boolean;
  portFallback: boolean;
  /** Wins over drain.notReadyFor. */
  notReadyForMs?: number;
  /** Says something to people, on stderr. */
  say: (text: string) => void;
  isTerminal: boolean;
  color: boolean;
  environment: Readonly<Record<string, string | undefined>>;
  /** Another program in the place of the worker, for tests. */
  workerPath?: string;
  /** Opens the admin addresses; absent: none. */
  openAdmin?: OpenAdmin;
}

export type OpenAdmin = (
  state: ControlState,
  listen: readonly Address[],
  events: EventLog,
) => Promise<{ close(): Promise<void> }>;

export type Outcome =
  | { kind: 'configInvalid'; text: string }
  | { kind: 'cannotStart'; text: string }
  /** Drained and gone; `cut` connections were cut. */
  | { kind: 'ended'; cut: number };

export type ReloadResult = { ok: true; epoch: number } | { ok: false; text: string };

export class Control implements ControlState {
  readonly version: string;
  readonly startedAt = Math.round(performance.timeOrigin);
  readonly events: EventLog;
  /** What people say of endpoints. */
  orders!: Orders;
  /** What became of requests. */
  readonly requests = new Requests((question) => this.fleet.lookUp(question));
  /** Endpoints that are being emptied. */
  drains!: Drains;
  headroom!: Headroom;
  private readonly expiry: Expiry;
  private readonly options: ControlOptions;
  private readonly notifier: Notifier;
  private table!: SharedTable;
  private sockets!: Sockets;
  private fleet!: Fleet;
  private health!: HealthChecks;
  private passive!: PassiveWatch;
  private instance!: Instance;
  private orphans!: Orphans;
  private admin: Admin | null = null;
  private readonly names: NameResolver;
  private readonly watch: FileWatch;
  private readonly turns: Turns<ReloadResult>;
  /** As configured: names of endpoints are not resolved in it. */
  private configured: Plan | null = null;
  private inForce: Plan | null = null;
  private lastEpoch = 0;
  private workerCount = 1;
  /** A reload was asked for; else a turn only takes over new addresses. */
  private wantsLoad = false;
  private reloadCounts = { succeeded: 0, failed: 0, isLastOk: true, lastOkAt: 0 };
  private leaving: 'no' | 'notReady' | 'draining' | 'atOnce' = 'no';
  /** Orders that come before it has started are carried out when it has. */
  private hasStarted = false;
  private leaveAtStart: 'graceful' | 'hardStop' | null = null;
  private watchdog: NodeJS.Timeout | null = null;
  private readonly ended = Promise.withResolvers<Outcome>();

  constructor(options: ControlOptions) {
    this.options = options;
    this.version = options.version;
    const { isTerminal, color, environment } = options;
    this.events = makeEventLog({ isTerminal, color, isJournal: environment['JOURNAL_STREAM'] !== undefined });
    this.expiry = new Expiry({ events: this.events, now: Date.now });
    this.notifier = new Notifier(environment);
    this.names = new NameResolver({ events: this.events, onChange: () => void this.turns.ask() });
    this.watch = new FileWatch(() => void this.reload('file'));
    this.turns = new Turns(() => this.change());
  }

  /** Starts; null when it runs. Whatever goes wrong on the way, no worker is left behind. */
  async start(): Promise<Outcome | null> {
    try {
      return await this.begin();
    } catch (error) {
      this.health?.stop();
      this.passive?.stop();
      await this.fleet?.stop();
      throw error;
    }
  }

  private async begin(): Promise<Outcome | null> {
    const loaded = await this.options.load();
    if (loaded.plan === null || loaded.process === null)
      return { kind: 'configInvalid', text: this.options.format(loaded.faults) };
    this.options.say(this.options.format(loaded.warnings));
    try {
      this.instance = Instance.take(this.options.runtimeFolder, this.options.key);
    } catch (error) {
      const text = error instanceof InstanceTaken ? error.message : `cannot use the runtime folder: ${(error as Error).message}`;
      return { kind: 'cannotStart', text };
    }
    this.workerCount = loaded.process.workers;
    this.sockets = new Sockets(this.workerCount, this.options.portFallback);
    const notes: string[] = [];
    const found = this.takeOverOrphans();
    const { door } = this.table;
    this.lastEpoch = door.epoch();
    this.configured = loaded.plan;
    await Promise.race([this.names.follow(loaded.plan), wait(NAMES_MS_MAX, undefined, { ref: false })]);
    const { plan, withoutRoom } = assignIds(this.names.resolve(loaded.plan), door);
    if (withoutRoom.length > 0) return this.giveUp(`the state table has no room for ${withoutRoom.slice(0, 5).join(', ')}`);
    try {
      for (const { wanted, got } of (await this.sockets.prepare(plan)).moved) {
        notes.push(`${addressText(wanted)} is taken, so it is ${addressText(got)} this time`);
      }
    } catch (error) {
      if (!(error instanceof ListenError)) throw error;
      return this.giveUp(error.message);
    }
    this.orders = new Orders({ door, events: this.events, now: Date.now });
    const { tally } = this.table;
    this.drains = new Drains({ door, tally, orders: this.orders, events: this.events, now: Date.now });
    this.headroom = new Headroom({
      tally,
      events: this.events,
      plan: () => this.inForce,
      workers: () => this.workers(),
    });
    this.health = new HealthChecks({
      door,
      events: this.events,
      now: Date.now,
      random: Math.random,
      path: this.options.environment['PATH'],
    });
    this.health.apply(plan);
    const { orders, health, events } = this;
    this.passive = new PassiveWatch({ door, events, orders, checks: health, now: Date.now, random: Math.random });
    this.passive.apply(plan);
    this.fleet = this.makeFleet(loaded.process.engine);
    const first: Plan = { ...plan, epoch: ++this.lastEpoch };
    this.requests.learn(first);
    const starting = this.fleet.start(first);
    // Its modules take as long to load as a worker to start: both at once.
    if (first.admin.listen.length > 0) import('./admin/admin.ts').catch(() => {});
    const result = await starting;
    if (!result.ok) {
      this.health.stop();
      this.passive.stop();
      await this.fleet.stop();
      return this.giveUp(result.reason);
    }
    this.inForce = first;
    this.drains.apply(first);
    this.expiry.apply(first);
    this.reloadCounts.lastOkAt = Date.now();
    this.saveInstance();
    const adminNote = await this.openAdmin(first, loaded.process.adminIsDefault);
    if (adminNote !== null && !loaded.process.adminIsDefault) {
      this.health.stop();
      this.passive.stop();
      await this.fleet.stop();
      return this.giveUp(adminNote);
    }
    if (adminNote !== null) notes.push(adminNote);
    this.announce(notes);
    if (found > 0) this.orphans.drain(first.drain.gracefulMs + 2000);
    if (this.options.watch) this.watch.set(loaded.files);
    if (this.notifier.watchdogMs > 0) {
      this.watchdog = setInterval(() => this.fleet.isWell && this.notifier.tell('WATCHDOG=1'), this.notifier.watchdogMs);
    }
    this.headroom.start();
    this.hasStarted = true;
    if (this.leaveAtStart !== null) this.leave(this.leaveAtStart);
    else if (this.wantsLoad) void this.turns.ask();
    return null;
  }

  /** Resolves when the instance has come to its end. */
  end(): Promise<Outcome> {
    return this.ended.promise;
  }

  /** Reads the configuration again and puts it in force, or leaves everything as it is. */
  async reload(why: 'signal' | 'file'): Promise<ReloadResult> {
    if (this.leaving !== 'no') return { ok: false, text: 'weir is stopping' };
    this.wantsLoad = true;
    this.events.info('reload_asked', why === 'file' ? 'a configuration file changed' : 'asked to reload');
    if (!this.hasStarted) return { ok: false, text: 'weir is starting' };
    return await this.turns.ask();
  }

  reopenLogs(): void {
    if (!this.hasStarted) return;
    this.fleet.reopenLogs();
    this.events.info('logs_reopened', 'log files are opened anew');
  }

  /**
   * Drains and ends. The first call waits for what is under way, up to `limit` (signals.md); a second one leaves at once.
   */
  leave(limit: 'graceful' | 'hardStop'): void {
    if (!this.hasStarted) {
      this.leaveAtStart = limit;
      return;
    }
    if (this.leaving === 'atOnce') return;
    if (this.leaving !== 'no') {
      this.leaving = 'atOnce';
      this.events.warn('left_at_once', 'asked again: leaving at once');
      void this.fleet.stop();
      return;
    }
    this.leaving = 'notReady';
    void this.drain(limit);
  }

  get tally(): Tally {
    return this.table.tally;
  }
  plan(): Plan | null {
    return this.inForce;
  }
  workers() {
    return this.fleet.status();
  }
  reloads(): ReloadState {
    return this.reloadCounts;
  }
  endpointNote(slot: number): EndpointNote | null {
    return this.passive.reportOf(slot);
  }
  eject(order: Order, forMs: number | null): string | null {
    return this.passive.eject(order, forMs);
  }
  checkNow(slot: number): boolean {
    return this.health.checkNow(slot);
  }
  readyChecks(): readonly ReadyCheck[] {
    const serving = this.fleet.status().filter(({ state }) => state === 'serving').length;
    return [
      { name: 'not-leaving', isOk: this.leaving === 'no', why: this.leaving === 'no' ? '' : 'weir is draining' },
      {
        name: 'plan',
        isOk: this.inForce !== null,
        why: this.inForce === null ? 'no plan is in force yet' : `epoch ${this.inForce.epoch}`,
      },
      { name: 'workers', isOk: serving > 0, why: `${serving} of ${this.workerCount} workers serve` },
    ];
  }

  /** Finds what a predecessor left; makes the table. Returns the number of orphans. */
  private takeOverOrphans(): number {
    const record = this.instance.read();
    const taken = record === null ? null : takeOver(record);
    const adopted = taken !== null && taken.tableFd >= 0 ? adoptTable(taken.tableFd) : null;
    this.table = adopted !== null && typeof adopted === 'object' ? adopted : newTable();
    const { door } = this.table;
    const isSameTable = adopted !== null && typeof adopted === 'object';
    const giveBack = ({ stripe }: WorkerRecord): void => {
      if (isSameTable && door.isStripeUsed(stripe)) door.releaseStripe(stripe);
    };
    taken?.dead.forEach(giveBack);
    this.orphans = new Orphans(taken?.orphans ?? [], this.events, (orphan) => {
      giveBack(orphan);
      this.saveInstance();
      if (this.orphans.list().length === 0) {
        this.events.info('taken_over', 'the last worker of the predecessor has finished');
        this.releaseStrangers();
      }
    });
    const count = taken?.orphans.length ?? 0;
    if (taken === null || count === 0) return 0;
    this.sockets.adopt(taken.sockets);
    if (taken.sockets.length === 0 || taken.missing > 0) this.sockets.shareWithOthers = true;
    this.events.warn('takeover', `found ${count} worker${count === 1 ? '' : 's'} of a control process that died: taking over`, {
      sockets: taken.sockets.length,
      missing: taken.missing,
      table: isSameTable ? 'kept' : typeof adopted === 'string' ? adopted : 'not to be had',
    });
    return count;
  }

  private makeFleet(engine: WorkerStart['engine']): Fleet {
    const { options } = this;
    return new Fleet({
      workers: this.workerCount,
      engine: options.engine ?? engine,
      descriptorsMax: raiseDescriptorLimit(),
      workerPath: options.workerPath ?? workerPath,
      environment: options.environment,
      door: this.table.door,
      tableFd: this.table.fd,
      sockets: this.sockets,
      events: this.events,
      tickets: new TicketKeys(() => performance.now()),
      onChange: () => this.saveInstance(),
    });
  }

  private giveUp(text: string): Outcome {
    this.names.stop();
    this.sockets.closeAll();
    // Orphans, if any, go on; the record that names them stays.
    if (this.orphans.list().length === 0) this.instance.remove();
    this.instance.release();
    return { kind: 'cannotStart', text };
  }

  private async openAdmin(plan: Plan, isDefault: boolean): Promise<string | null> {
    if (plan.admin.listen.length === 0) return null;
    try {
      const { startAdmin } = await import('./admin/admin.ts');
      this.admin = await startAdmin({ addresses: plan.admin.listen, state: this });
      return null;
    } catch (error) {
      const text = `cannot listen on the admin address ${plan.admin.listen.map(addressText).join(', ')}: ${(error as Error).message}`;
      return isDefault ? `${text}; going on without` : text;
    }
  }

  private announce(notes: string[]): void {
    const plan = this.inForce!;
    const [worker] = this.fleet.processes();
    if (worker?.engineWhy)
      notes.push(`${worker.engine === 'epoll' ? 'io_uring cannot be used here, so it is epoll: ' : ''}${worker.engineWhy}`);
    const engine = worker?.engine ?? 'unknown';
    const readyMs = performance.now();
    if (this.options.isTerminal) {
      const boundTo = (listener: ListenerPlan, address: Address): Address =>
        this.sockets.boundTo(socketKey(listener, addressText(address))) ?? address;
      const { version, color } = this.options;
      const admin = this.admin?.addresses ?? [];
      this.options.say(banner({ version, engine, workers: this.workerCount, readyMs, plan, boundTo, admin, notes, color }));
    } else {
      const listen = this.sockets.all().map(({ key, address }) => `${key.slice(0, key.indexOf('|'))}=${addressText(address)}`);
      this.events.info('ready', `weir ${this.version} is ready`, {
        engine,
        workers: this.workerCount,
        epoch: plan.epoch,
        ms: Math.round(readyMs),
        listen: [...new Set(listen)].join(' '),
        admin: this.admin?.addresses.map(addressText).join(' '),
      });
      for (const note of notes) this.events.warn('note', note);
    }
    this.notifier.tell('READY=1', this.statusLine());
  }

  private statusLine(): string {
    const endpoints = this.inForce!.pools.flatMap(({ endpoints }) => endpoints);
    const down = endpoints.filter(({ slot }) => !this.table.door.isReady(slot)).length;
    return `STATUS=epoch ${this.inForce!.epoch}, ${this.inForce!.pools.length} pools, ${endpoints.length} endpoints, ${down} not ready`;
  }

  private saveInstance(): void {
    const startOf = (pid: number): number => startTimeOf(pid) ?? 0;
    const workers = this.fleet.processes().map(({ slot, stripe, pid }) => ({ slot, stripe, pid, startTime: startOf(pid) }));
    const sockets = this.sockets.all().map(({ key, slot, inode, address }) => ({ key, slot, inode, address }));
    const { inode, device } = this.table;
    this.instance.write({ table: { inode, device }, sockets, workers: [...workers, ...this.orphans.list()] });
  }

  /** One turn: load if it was asked for, resolve names, bring the plan to the workers. */
  private async change(): Promise<ReloadResult> {
    const isLoad = this.wantsLoad;
    this.wantsLoad = false;
    if (this.leaving !== 'no') return { ok: false, text: 'weir is stopping' };
    const began = performance.now();
    let configured = this.configured!;
    if (isLoad) {
      this.notifier.reloading();
      const loaded = await this.options.load();
      if (this.options.watch) this.watch.set(loaded.files);
      if (loaded.plan === null) return this.refuse(this.options.format(loaded.faults), 'the new configuration has errors');
      if (loaded.warnings.length > 0 && this.options.isTerminal) this.options.say(this.options.format(loaded.warnings));
      if (loaded.process !== null && loaded.process.workers !== this.workerCount) {
        this.events.warn('needs_restart', 'another number of workers takes a restart', { running: this.workerCount });
      }
      configured = loaded.plan;
      const adminBefore = this.configured!.admin.listen.map(addressText).join();
      if (configured.admin.listen.map(addressText).join() !== adminBefore) {
        this.events.warn('needs_restart', 'another admin address takes a restart');
      }
      // Until the new plan is in force, names that only the old one has are still followed by it: a refused plan must not lose them.
      if (hostsOf(configured).size > 0)
        await Promise.race([
          this.names.follow(both(configured, this.configured!)),
          wait(NAMES_MS_MAX, undefined, { ref: false }),
        ]);
    }
    const before = this.inForce!;
    const { plan, withoutRoom } = assignIds(this.names.resolve(configured), this.table.door);
    const next: Plan = { ...plan, epoch: ++this.lastEpoch };
    let result: RollOutResult;
    if (withoutRoom.length > 0)
      result = { ok: false, reason: `the state table has no room for ${withoutRoom.slice(0, 5).join(', ')}` };
    else result = await this.bring(next);
    if (!result.ok) {
      // Slots that were claimed for it go back.
      for (const slot of slotsLeft(next, before)) this.table.door.releaseSlot(slot);
      return this.refuse(result.reason, 'the new plan is not in force');
    }
    this.inForce = next;
    this.configured = configured;
    void this.names.follow(configured);
    this.health.apply(next);
    this.passive.apply(next);
    this.drains.apply(next);
    this.expiry.apply(next);
    const closed = this.sockets.retire(next);
    this.saveInstance();
    if (this.orphans.list().length === 0) for (const slot of slotsLeft(before, next)) this.table.door.releaseSlot(slot);
    const ms = Math.round(performance.now() - began);
    this.notifier.tell('READY=1', this.statusLine());
    if (!isLoad) {
      this.events.info('addresses_changed', 'addresses of names changed', { epoch: next.epoch, ms });
      return { ok: true, epoch: next.epoch };
    }
    this.reloadCounts = {
      ...this.reloadCounts,
      succeeded: this.reloadCounts.succeeded + 1,
      isLastOk: true,
      lastOkAt: Date.now(),
    };
    const gone = closed.length === 0 ? undefined : closed.join(' ');
    this.events.info('reloaded', `configuration in force, epoch ${next.epoch}`, { epoch: next.epoch, ms, closed: gone });
    return { ok: true, epoch: next.epoch };
  }

  private async bring(next: Plan): Promise<RollOutResult> {
    try {
      const { opened, moved } = await this.sockets.prepare(next);
      for (const { wanted, got } of moved)
        this.events.warn('port_taken', `${addressText(wanted)} is taken, so it is ${addressText(got)}`);
      this.requests.learn(next);
      const result = await this.fleet.bring(next, opened);
      if (!result.ok) this.sockets.forget(opened);
      return result;
    } catch (error) {
      if (!(error instanceof ListenError)) throw error;
      return { ok: false, reason: error.message };
    }
  }

  private refuse(details: string, text: string): ReloadResult {
    this.reloadCounts = { ...this.reloadCounts, failed: this.reloadCounts.failed + 1, isLastOk: false };
    this.notifier.tell('READY=1');
    if (this.options.isTerminal) this.options.say(`${details}\n`);
    this.events.error('reload_refused', `${text}; the old one goes on`, {
      faults: this.options.isTerminal ? undefined : details,
    });
    return { ok: false, text: details };
  }

  /** Slots that only a predecessor's plan knew go back, once its workers are gone. */
  private releaseStrangers(): void {
    const { door } = this.table;
    const known = new Set(this.inForce!.pools.flatMap(({ endpoints }) => endpoints.map(({ slot }) => slot)));
    for (const { slot } of [...door.claimed()]) if (!known.has(slot)) door.releaseSlot(slot);
  }

  private async drain(limit: 'graceful' | 'hardStop'): Promise<void> {
    const { drain } = this.inForce!;
    const notReadyForMs = this.options.notReadyForMs ?? drain.notReadyForMs;
    const limitMs = limit === 'graceful' ? drain.gracefulMs : Math.max(drain.gracefulMs, drain.hardStopMs);
    this.watch.close();
    this.names.stop();
    this.notifier.tell('STOPPING=1', `EXTEND_TIMEOUT_USEC=${(notReadyForMs + limitMs + 5000) * 1000}`);
    this.events.info('drain', 'draining: no new connections, requests under way are finished', { notReadyForMs, limitMs });
    // /readyz fails from here on; whoever sends traffic gets the time to notice.
    for (let left = notReadyForMs; left > 0 && this.leaving === 'notReady'; left -= 50) await wait(Math.min(left, 50));
    let cut = 0;
    if (this.leaving === 'notReady') {
      this.leaving = 'draining';
      cut = await this.fleet.drain(Math.min(drain.gracefulMs, limitMs), limitMs);
    } else await this.fleet.stop();
    this.orphans.kill();
    this.health.stop();
    this.passive.stop();
    this.headroom.stop();
    this.expiry.stop();
    if (this.watchdog !== null) clearInterval(this.watchdog);
    await this.admin?.close();
    this.sockets.closeAll();
    this.instance.remove();
    this.instance.release();
    this.events.info('ended', cut === 0 ? 'all finished' : `${cut} connections were cut`, { cut });
    this.events.flush();
    this.notifier.close();
    this.ended.resolve({ kind: 'ended', cut });
  }
}

/** A plan that names the endpoints of two. */
function both(a: Plan, b: Plan): Plan {
  return { ...a, pools: [...a.pools, ...b.pools] };
}

/** Soft limit up to the hard one; workers inherit it. Returns the limit. */
function raiseDescriptorLimit(): number {
  const limit = getrlimit(RLIMIT_NOFILE);
  if (typeof limit === 'number') return 1024;
  const { soft, hard } = limit;
  const raised = soft < hard && setrlimit(RLIMIT_NOFILE, hard, hard) === 0 ? hard : soft;
  return Math.min(raised, DESCRIPTORS_MAX);
}
