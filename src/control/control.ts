/**
 * control: composition root of the control plane. One instance from configuration to exit: sockets, table, workers, health checks, names,
 * admin address, reloads, drain.
 *
 * It does not know: argv, the environment (both arrive as options), what a worker does with a plan.
 *
 * Rules
 * 1. What goes wrong before the start is an Outcome with a text for people; after it, the instance goes on with what it has.
 * 2. Orders may come at any time. Those that come before it has started are carried out when it has.
 */
import { type Address, addressText } from '../base/wire.ts';
import type { WorkerStart } from '../state/channel.ts';
import type { Plan } from '../state/plan.ts';
import type { Admin } from './admin/admin.ts';
import { adminView } from './admin-view.ts';
import { NameResolver } from './discover/dns.ts';
import { Requests } from './explain/requests.ts';
import type { ControlOptions, Outcome } from './options.ts';
import { announce, statusLine } from './supervise/announcement.ts';
import { raiseDescriptorLimit } from './supervise/descriptor-limit.ts';
import { Estate } from './supervise/estate.ts';
import { type EventLog, makeEventLog } from './supervise/events.ts';
import { Fleet } from './supervise/fleet.ts';
import { Instance, InstanceTaken, takeOver } from './supervise/instance.ts';
import { type LeaveLimit, Leaving } from './supervise/leaving.ts';
import { Notifier } from './supervise/notify.ts';
import { Plans } from './supervise/plans.ts';
import { type ReloadResult, Reloads } from './supervise/reloads.ts';
import { rollOut } from './supervise/roll-out.ts';
import { ListenError, Sockets } from './supervise/sockets.ts';
import { TicketKeys } from './supervise/ticket-keys.ts';
import { FileWatch } from './supervise/watch.ts';
import { workerPath } from './supervise/worker-process.ts';
import { Watchers } from './watchers.ts';

export type { ControlOptions } from './options.ts';
export { runtimeFolder } from './supervise/instance.ts';
export { instanceSecret } from './supervise/secret.ts';

/** The instance cannot start. `message` is for people. */
class StartError extends Error {}

export class Control {
  readonly events: EventLog;
  private readonly options: ControlOptions;
  private readonly notifier: Notifier;
  private readonly names: NameResolver;
  private readonly watch: FileWatch;
  private readonly requests = new Requests((question) => this.fleet.lookUp(question));
  private readonly ended = Promise.withResolvers<Outcome>();
  // Made on the way to the start, in this order.
  private estate!: Estate;
  private plans!: Plans;
  private fleet!: Fleet;
  private watchers!: Watchers;
  private leaving!: Leaving;
  private reloads!: Reloads;
  private admin: Admin | null = null;
  private hasStarted = false;
  /** Ordered before it has started. */
  private readonly early = { leave: null as LeaveLimit | null, reload: false, resolve: false };

  constructor(options: ControlOptions) {
    this.options = options;
    const { isTerminal, color, environment } = options;
    this.events = makeEventLog({ isTerminal, color, isJournal: environment['JOURNAL_STREAM'] !== undefined });
    this.notifier = new Notifier(environment);
    this.names = new NameResolver({ events: this.events, onChange: () => this.resolve() });
    this.watch = new FileWatch(() => void this.reload('file'));
  }

  /** Starts; null when it runs. Whatever goes wrong on the way, no worker is left behind. */
  async start(): Promise<Outcome | null> {
    try {
      return await this.begin();
    } catch (error) {
      this.watchers?.stop();
      await this.fleet?.stop();
      if (!(error instanceof StartError || error instanceof ListenError)) throw error;
      this.names.stop();
      this.estate?.giveUp();
      return { kind: 'cannotStart', text: error.message };
    }
  }

  /** Resolves when the instance has come to its end. */
  end(): Promise<Outcome> {
    return this.ended.promise;
  }

  /** Reads the configuration again and puts it in force, or leaves everything as it is. */
  async reload(why: 'signal' | 'file'): Promise<ReloadResult> {
    if (this.leaving?.isLeaving) return { ok: false, text: 'weir is stopping' };
    this.events.info('reload_asked', why === 'file' ? 'a configuration file changed' : 'asked to reload');
    if (this.hasStarted) return await this.reloads.load();
    this.early.reload = true;
    return { ok: false, text: 'weir is starting' };
  }

  reopenLogs(): void {
    if (!this.hasStarted) return;
    this.fleet.reopenLogs();
    this.events.info('logs_reopened', 'log files are opened anew');
  }

  /** Drains and ends. The first call waits for what is under way, up to `limit` (signals.md); a second one leaves at once. */
  leave(limit: LeaveLimit): void {
    if (this.hasStarted) this.leaving.leave(limit);
    else this.early.leave = limit;
  }

  /** Names have other addresses. */
  private resolve(): void {
    if (this.hasStarted) void this.reloads.resolve();
    else this.early.resolve = true;
  }

  private async begin(): Promise<Outcome | null> {
    const { options, events } = this;
    const loaded = await options.load();
    if (loaded.plan === null || loaded.process === null) return { kind: 'configInvalid', text: options.format(loaded.faults) };
    options.say(options.format(loaded.warnings));
    const { workers, engine, adminIsDefault } = loaded.process;
    this.estate = this.takeEstate(workers);
    const { sockets, table } = this.estate;
    const { door, tally } = table;
    this.plans = new Plans(loaded.plan, { door, resolve: (plan) => this.names.resolve(plan) });
    await this.names.followBriefly(loaded.plan);
    const plan = this.plans.make(loaded.plan);
    if (typeof plan === 'string') throw new StartError(plan);
    const notes: string[] = [];
    for (const { wanted, got } of (await sockets.prepare(plan)).moved)
      notes.push(`${addressText(wanted)} is taken, so it is ${addressText(got)} this time`);
    this.fleet = this.makeFleet(workers, engine);
    this.watchers = new Watchers({
      door,
      tally,
      events,
      path: options.environment['PATH'],
      plan: () => this.plans.inForce,
      workers: () => this.fleet.status(),
    });
    this.watchers.begin(plan);
    this.leaving = this.makeLeaving();
    this.reloads = this.makeReloads(workers);
    this.requests.learn(plan);
    const starting = this.fleet.start(plan);
    // Its modules take as long to load as a worker to start: both at once.
    if (plan.admin.listen.length > 0) import('./admin/admin.ts').catch(() => {});
    const result = await starting;
    if (!result.ok) throw new StartError(result.reason);
    this.plans.putInForce(plan, loaded.plan);
    this.watchers.started(plan);
    this.reloads.started();
    this.estate.save();
    const adminProblem = await this.openAdmin(plan.admin.listen);
    if (adminProblem !== null && !adminIsDefault) throw new StartError(adminProblem);
    if (adminProblem !== null) notes.push(`${adminProblem}; going on without`);
    this.announce(plan, workers, notes);
    this.estate.orphans.drain(plan.drain.gracefulMs);
    if (options.watch) this.watch.set(loaded.files);
    this.notifier.feedWatchdog(() => this.fleet.isWell);
    this.watchers.headroom.start();
    this.hasStarted = true;
    if (this.early.leave !== null) this.leave(this.early.leave);
    else if (this.early.reload) void this.reloads.load();
    else if (this.early.resolve) void this.reloads.resolve();
    return null;
  }

  private takeEstate(workers: number): Estate {
    const { options, events } = this;
    const instance = takeInstance(options.runtimeFolder, options.key);
    const record = instance.read();
    return new Estate({
      instance,
      taken: record === null ? null : takeOver(record),
      sockets: new Sockets(workers, options.portFallback),
      events,
      workers: () => this.fleet.processes(),
      onTakenOver: () => this.plans.releaseOthers(),
    });
  }

  private makeFleet(workers: number, engine: WorkerStart['engine']): Fleet {
    const { options, events } = this;
    const { table, sockets } = this.estate;
    return new Fleet({
      workers,
      engine: options.engine ?? engine,
      descriptorsMax: raiseDescriptorLimit(),
      workerPath,
      environment: options.environment,
      door: table.door,
      tableFd: table.fd,
      sockets,
      events,
      tickets: new TicketKeys(() => performance.now()),
      onChange: () => this.estate.save(),
    });
  }

  private makeLeaving(): Leaving {
    const { events, notifier, fleet, plans } = this;
    return new Leaving({
      events,
      notifier,
      fleet,
      plans,
      notReadyForMs: this.options.notReadyForMs,
      onBegin: () => {
        this.watch.close();
        this.names.stop();
      },
      onEnd: (cut) => this.close(cut),
    });
  }

  private makeReloads(workers: number): Reloads {
    const { options, events, notifier, names, plans, fleet, requests } = this;
    const { sockets, table } = this.estate;
    return new Reloads({
      load: options.load,
      format: options.format,
      say: options.isTerminal ? options.say : null,
      events,
      notifier,
      names,
      plans,
      workers,
      isLeaving: () => this.leaving.isLeaving,
      watch: options.watch ? this.watch : null,
      bring: (plan) => rollOut(plan, { sockets, fleet, events, onBring: (next) => requests.learn(next) }),
      onForce: (plan) => this.follow(plan),
      status: () => statusLine(plans.inForce!, table.door),
    });
  }

  /** A further plan is in force. Returns the keys of sockets that are closed. */
  private follow(plan: Plan): string[] {
    this.watchers.apply(plan);
    const closed = this.estate.sockets.retire(plan);
    this.estate.save();
    if (!this.estate.isShared) this.plans.releaseOthers();
    return closed;
  }

  /** Returns what went wrong, or null. */
  private async openAdmin(addresses: readonly Address[]): Promise<string | null> {
    if (addresses.length === 0) return null;
    try {
      const { startAdmin } = await import('./admin/admin.ts');
      const { requests, plans, fleet, watchers, leaving, reloads } = this;
      const { version } = this.options;
      const { tally } = this.estate.table;
      const state = adminView({ version, tally, requests, plans, fleet, watchers, leaving, reloads });
      this.admin = await startAdmin({ addresses, state });
      return null;
    } catch (error) {
      return `cannot listen on the admin address ${addresses.map(addressText).join(', ')}: ${(error as Error).message}`;
    }
  }

  private announce(plan: Plan, workers: number, notes: readonly string[]): void {
    const { version, isTerminal, say, color } = this.options;
    const { events } = this;
    const { sockets, table } = this.estate;
    const [worker] = this.fleet.processes();
    const admin = this.admin?.addresses ?? [];
    const readyMs = performance.now();
    announce({ version, plan, worker, workers, sockets, admin, notes, readyMs, events, say: isTerminal ? say : null, color });
    this.notifier.tell('READY=1', statusLine(plan, table.door));
  }

  /** The workers are gone. */
  private async close(cut: number): Promise<void> {
    this.estate.orphans.kill();
    this.watchers.stop();
    await this.admin?.close();
    this.estate.close();
    this.events.info('ended', cut === 0 ? 'all finished' : `${cut} connections were cut`, { cut });
    this.events.flush();
    this.notifier.close();
    this.ended.resolve({ kind: 'ended', cut });
  }
}

function takeInstance(folder: string, key: string): Instance {
  try {
    return Instance.take(folder, key);
  } catch (error) {
    const { message } = error as Error;
    throw new StartError(error instanceof InstanceTaken ? message : `cannot use the runtime folder: ${message}`);
  }
}
