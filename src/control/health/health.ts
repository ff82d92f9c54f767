/**
 * health: active checks, run once per target by control. Writes the health column; every worker reads it.
 *
 * A target is an address with a check; pools that share both share its checks, each with its own rise and fall.
 *
 * It does not know: workers, balancing, DNS (an endpoint whose name has no address yet is down with reason dns_error), how a check is made.
 *
 * Rules
 * 1. The first check of a target comes within FIRST_MS of its plan. Checks of many targets are spread over their interval.
 * 2. The time to the next check counts from the start of the last, and begins with its result: no target is checked twice at a time, and
 *    what the result says decides how soon it is.
 * 3. While the last result speaks against the state, checks come every `fastMs`; while an endpoint that is up gets no request, every
 *    `idleMs`; else every `intervalMs`. Of pools that share a target the one in the greatest hurry decides.
 * 4. What a plan still names keeps its verdict and its rhythm over a reload.
 * 5. A check that could not be made here moves no state and keeps the rhythm; it is counted, told, and tried again at the next time.
 */
import type { Address, TimerOwner } from '../../base/wire.ts';
import { addressText } from '../../base/wire.ts';
import { type CheckResult, type HealthStatus, restMs, Verdict } from '../../health/health.ts';
import { health } from '../../state/doors.ts';
import type { ActiveHealthPlan, EndpointPlan, Plan, PoolPlan } from '../../state/plan.ts';
import type { ControlDoor } from '../../state/table.ts';
import type { EventLog } from '../supervise/events.ts';
import { authorityOf, type Check, type CheckTarget, checkedAddress, NOT_MADE } from './check.ts';
import { CheckSchedule, NO_TIMER, type ScheduleParts } from './check-schedule.ts';
import { Checks } from './checks.ts';
import { UnmadeChecks } from './unmade-checks.ts';

export { type HealthStatus, Verdict } from '../../health/health.ts';

/** The first checks are spread over this time, or the interval when that is shorter. */
export const FIRST_MS = 800;

export interface HealthParts extends ScheduleParts {
  door: Pick<ControlDoor, 'health' | 'setHealth' | 'checked' | 'notChecked' | 'requests'>;
  events: Pick<EventLog, 'info' | 'warn'>;
  /** ms since 1970. */
  now: () => number;
  /** 0..1. */
  random: () => number;
  /** PATH of commands that check. */
  path?: string | undefined;
  /** Makes the check of a target. */
  prepare?: (target: CheckTarget) => Check;
}

/** One endpoint of one pool. */
interface Checked {
  readonly slot: number;
  readonly pool: string;
  readonly endpoint: string;
  readonly rise: number;
  readonly fall: number;
  readonly verdict: Verdict;
  /** Requests to it, ever, as of the last check. */
  requests: number;
}

/** One address with one check. */
class Target implements TimerOwner, CheckTarget {
  readonly address: Address;
  readonly check: ActiveHealthPlan;
  readonly authority: string;
  readonly pool: string;
  readonly ended: (result: CheckResult) => void;
  probe: Check | null = null;
  checked: Checked[] = [];
  ticket = NO_TIMER;
  isUnderWay = false;
  isFirst = true;
  /** No plan names it any more. */
  isGone = false;
  startedAt = 0;
  private readonly owner: HealthChecks;

  constructor(owner: HealthChecks, pool: PoolPlan, endpoint: EndpointPlan, address: Address, check: ActiveHealthPlan) {
    this.owner = owner;
    this.pool = pool.name;
    this.address = address;
    this.check = check;
    this.authority = authorityOf(endpoint.address, address);
    this.ended = (result) => this.owner.onResult(this, result);
  }

  onTimer(): void {
    this.ticket = NO_TIMER;
    this.owner.onDue(this);
  }
}

export class HealthChecks {
  private readonly parts: HealthParts;
  private readonly prepare: NonNullable<HealthParts['prepare']>;
  private readonly schedule: CheckSchedule;
  private readonly checks: Checks;
  private readonly unmade: UnmadeChecks;
  private targets = new Map<string, Target>();
  /** By slot. */
  private checked = new Map<number, Checked>();

  constructor(parts: HealthParts) {
    this.parts = parts;
    this.checks = new Checks({
      path: parts.path,
      onTick: () => this.schedule.turn(),
    });
    this.prepare = parts.prepare ?? ((target) => this.checks.prepare(target));
    this.schedule = new CheckSchedule(parts);
    this.unmade = new UnmadeChecks({ events: parts.events, clock: this.schedule.clock });
  }

  /** Checks what `plan` names from now on. Its slots are assigned. */
  apply(plan: Plan): void {
    const targets = new Map<string, Target>();
    const all = new Map<number, Checked>();
    const fresh: Target[] = [];
    for (const pool of plan.pools) {
      const { active } = pool.health;
      if (active === null) {
        for (const endpoint of pool.endpoints) this.takeForUp(endpoint);
        continue;
      }
      const what = keyOfCheck(active);
      for (const endpoint of pool.endpoints) {
        const checked = this.checkedOf(pool, endpoint, active);
        all.set(checked.slot, checked);
        if (endpoint.resolved === null) {
          this.judge(checked, { passed: false, reason: 'dns_error', evidence: 'the name has no address', ms: 0 });
          continue;
        }
        const address = checkedAddress(endpoint.resolved, active.port);
        const key = `${addressText(address)} ${tellsName(active) ? authorityOf(endpoint.address, address) : ''} ${what} ${active.type === 'exec' ? pool.name : ''}`;
        let target = targets.get(key);
        if (target === undefined) {
          target = this.targets.get(key);
          if (target === undefined) fresh.push((target = new Target(this, pool, endpoint, address, active)));
          target.checked = [];
          targets.set(key, target);
        }
        target.checked.push(checked);
      }
    }
    for (const [key, target] of this.targets) {
      if (targets.has(key)) continue;
      this.schedule.cancel(target.ticket);
      target.isGone = true;
      target.checked = [];
      this.unmade.remove(target);
    }
    this.targets = targets;
    this.checked = all;
    const now = this.schedule.clock();
    fresh.forEach((target, at) => {
      const spread = Math.min(FIRST_MS, target.check.intervalMs);
      target.ticket = this.schedule.set(now + (at / fresh.length) * spread, target);
    });
  }

  stop(): void {
    for (const target of this.targets.values()) {
      target.isGone = true;
      this.schedule.cancel(target.ticket);
    }
    this.targets = new Map();
    this.schedule.stop();
    this.checks.stop();
  }

  /** Checks the endpoint of this slot at once; the rhythm of its target goes on from there. False: it is not checked. */
  checkNow(slot: number): boolean {
    for (const target of this.targets.values()) {
      if (!target.checked.some((checked) => checked.slot === slot)) continue;
      this.schedule.cancel(target.ticket);
      this.onDue(target);
      return true;
    }
    return false;
  }

  /** null: the endpoint of this slot is not checked. */
  statusOf(slot: number): HealthStatus | null {
    return this.checked.get(slot)?.verdict.status() ?? null;
  }

  /** Targets checked: the same address with the same check counts once. */
  get targetCount(): number {
    return this.targets.size;
  }

  /** It is time for a target. */
  onDue(target: Target): void {
    if (target.isUnderWay || target.isGone) return;
    target.isUnderWay = true;
    target.startedAt = this.schedule.clock();
    target.probe ??= this.prepare(target);
    target.probe.start(target.ended);
  }

  /** A check ended. */
  onResult(target: Target, result: CheckResult): void {
    target.isUnderWay = false;
    if (target.isGone) return;
    const { door, random } = this.parts;
    let isInDoubt = false;
    let isIdle = true;
    const isMade = result.reason !== NOT_MADE;
    if (isMade) this.unmade.remove(target);
    for (const checked of target.checked) {
      if (isMade) this.judge(checked, result);
      else this.miss(target, checked, result.evidence);
      const isUp = checked.verdict.state === health.up;
      const requests = door.requests(checked.slot);
      if (checked.verdict.isInDoubt) isInDoubt = true;
      if (!isUp || requests !== checked.requests) isIdle = false;
      checked.requests = requests;
    }
    const spanMs = restMs(target.check, isInDoubt, isIdle);
    // The second check comes at a random place of its interval, so that targets that were added together do not stay together.
    const share = target.isFirst ? 0.5 + random() / 2 : 1 + (random() - 0.5) * target.check.jitter;
    target.isFirst = false;
    target.ticket = this.schedule.set(target.startedAt + spanMs * share, target);
  }

  /** Nobody looks: taken for up, unless the name has no address. */
  private takeForUp({ slot, resolved }: EndpointPlan): void {
    const { door } = this.parts;
    const to = resolved === null ? health.down : health.up;
    if (door.health(slot) !== to) door.setHealth(slot, to);
  }

  private checkedOf(pool: PoolPlan, { slot, address }: EndpointPlan, { rise, fall }: ActiveHealthPlan): Checked {
    const { door, now } = this.parts;
    const before = this.checked.get(slot);
    const verdict = before?.verdict ?? new Verdict(door.health(slot), now());
    const requests = before?.requests ?? door.requests(slot);
    return { slot, pool: pool.name, endpoint: address, rise, fall, verdict, requests };
  }

  private miss(target: Target, { slot, pool, endpoint, verdict }: Checked, evidence: string): void {
    this.parts.door.notChecked(slot);
    verdict.miss(evidence, this.parts.now());
    this.unmade.add(target, pool, endpoint, evidence);
  }

  private judge(checked: Checked, result: CheckResult): void {
    const { door, events, now } = this.parts;
    const { slot, verdict, pool, endpoint } = checked;
    if (result.reason !== 'dns_error') door.checked(slot, result.passed, result.ms);
    const was = verdict.state;
    if (!verdict.take(result, checked.rise, checked.fall, now())) return;
    door.setHealth(slot, verdict.state);
    const fields = { pool, endpoint, reason: result.reason, evidence: result.evidence };
    if (!result.passed) events.warn('endpoint_down', `endpoint ${pool}/${endpoint} is down`, fields);
    // The first pass of an endpoint is no news.
    else if (was !== health.unknown) events.info('endpoint_up', `endpoint ${pool}/${endpoint} is up`, fields);
  }
}

/** A check as a text: equal for checks that ask the same as often, whatever number of results each wants. */
function keyOfCheck({ rise: _rise, fall: _fall, ...what }: ActiveHealthPlan): string {
  return JSON.stringify(what);
}

/** Does the endpoint, or the command, hear by which name it is known? */
function tellsName({ type }: ActiveHealthPlan): boolean {
  return type === 'http' || type === 'grpc' || type === 'exec';
}
