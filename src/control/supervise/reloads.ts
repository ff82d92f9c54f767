/**
 * Reloads: changes of the plan while weir runs. The configuration is read again, or names have new addresses; either way a new plan is made and brought
 * to the workers.
 *
 * Rules
 * 1. One change at a time. What is asked for during one is done by one more.
 * 2. A change that fails anywhere leaves everything as it was: the plan in force goes on, and the next change begins from it.
 */
import { addressText } from '../../base/wire.ts';
import type { Plan } from '../../state/plan.ts';
import type { ReloadState } from '../admin/control-state.ts';
import type { ConfigResult } from '../config/config.ts';
import type { NameResolver } from '../discover/dns.ts';
import type { EventLog } from './events.ts';
import type { RollOutResult } from './fleet.ts';
import type { Notifier } from './notify.ts';
import type { Plans } from './plans.ts';
import { Turns } from './turns.ts';
import type { FileWatch } from './watch.ts';

export type ReloadResult = { ok: true; epoch: number } | { ok: false; text: string };

export interface ReloadParts {
  load: () => Promise<ConfigResult>;
  /** Faults of a configuration as text. */
  format: (faults: ConfigResult['faults']) => string;
  /** Tells a person who looks on what is wrong in full; null: nobody does, and the event has it. */
  say: ((text: string) => void) | null;
  events: Pick<EventLog, 'info' | 'warn' | 'error'>;
  notifier: Pick<Notifier, 'reloading' | 'tell'>;
  names: Pick<NameResolver, 'follow' | 'followBriefly'>;
  plans: Pick<Plans, 'inForce' | 'configured' | 'make' | 'discard' | 'putInForce'>;
  /** As many run. */
  workers: number;
  isLeaving: () => boolean;
  /** Looks at the files of the configuration; null: nobody does. */
  watch: Pick<FileWatch, 'set'> | null;
  /** Brings a plan to all workers, or to none. */
  bring: (made: Plan) => Promise<RollOutResult>;
  /** Another plan is in force. Returns the keys of sockets that it closed. */
  onForce: (plan: Plan) => string[];
  /** The state of things in a line, for systemd. */
  status: () => string;
}

export class Reloads {
  private readonly parts: ReloadParts;
  private readonly turns: Turns<ReloadResult>;
  /** A reload was asked for; else a turn only takes over new addresses. */
  private wantsLoad = false;
  private counts: ReloadState = { succeeded: 0, failed: 0, isLastOk: true, lastOkAt: 0 };

  constructor(parts: ReloadParts) {
    this.parts = parts;
    this.turns = new Turns(() => this.change());
  }

  get state(): ReloadState {
    return this.counts;
  }

  /** The first plan is in force. */
  started(): void {
    this.counts = { ...this.counts, lastOkAt: Date.now() };
  }

  /** Reads the configuration again and puts it in force, or leaves everything as it is. */
  load(): Promise<ReloadResult> {
    this.wantsLoad = true;
    return this.turns.ask();
  }

  /** Takes over the addresses that names have now. */
  resolve(): Promise<ReloadResult> {
    return this.turns.ask();
  }

  private async change(): Promise<ReloadResult> {
    const { plans, names, events } = this.parts;
    const isLoad = this.wantsLoad;
    this.wantsLoad = false;
    if (this.parts.isLeaving()) return { ok: false, text: 'weir is stopping' };
    const began = performance.now();
    const configured = isLoad ? await this.read() : plans.configured;
    if (typeof configured === 'string') return this.refuse(configured, 'the new configuration has errors');
    const made = plans.make(configured);
    if (typeof made === 'string') return this.refuse(made, NOT_IN_FORCE);
    const result = await this.parts.bring(made);
    if (!result.ok) {
      plans.discard(made);
      return this.refuse(result.reason, NOT_IN_FORCE);
    }
    plans.putInForce(made, configured);
    void names.follow(configured);
    const closed = this.parts.onForce(made);
    const ms = Math.round(performance.now() - began);
    this.parts.notifier.tell('READY=1', this.parts.status());
    const { epoch } = made;
    if (!isLoad) {
      events.info('addresses_changed', 'addresses of names changed', { epoch, ms });
      return { ok: true, epoch };
    }
    this.counts = { ...this.counts, succeeded: this.counts.succeeded + 1, isLastOk: true, lastOkAt: Date.now() };
    const gone = closed.length === 0 ? undefined : closed.join(' ');
    events.info('reloaded', `configuration in force, epoch ${epoch}`, { epoch, ms, closed: gone });
    return { ok: true, epoch };
  }

  /** The configuration as it is now, its names on their way to addresses; or its faults. */
  private async read(): Promise<Plan | string> {
    const { notifier, names, plans, events, say, format, workers, watch } = this.parts;
    notifier.reloading();
    const { plan, process, faults, warnings, files } = await this.parts.load();
    watch?.set(files);
    if (plan === null) return format(faults);
    if (warnings.length > 0) say?.(format(warnings));
    if (process !== null && process.workers !== workers)
      events.warn('needs_restart', 'another number of workers takes a restart', { running: workers });
    if (adminText(plan) !== adminText(plans.configured)) events.warn('needs_restart', 'another admin address takes a restart');
    // Until the new plan is in force, names that only the old one has are still followed by it: a refused plan must not lose them.
    await names.followBriefly({ ...plan, pools: [...plan.pools, ...plans.configured.pools] });
    return plan;
  }

  private refuse(details: string, text: string): ReloadResult {
    const { say, events, notifier } = this.parts;
    this.counts = { ...this.counts, failed: this.counts.failed + 1, isLastOk: false };
    notifier.tell('READY=1');
    say?.(`${details}\n`);
    events.error('reload_refused', `${text}; the old one goes on`, { faults: say === null ? details : undefined });
    return { ok: false, text: details };
  }
}

const NOT_IN_FORCE = 'the new plan is not in force';

const adminText = (plan: Plan): string => plan.admin.listen.map(addressText).join();
