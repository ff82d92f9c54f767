/**
 * health: active checks, run once per target by control. Writes the health column; every worker reads it.
 *
 * A target is an address with a check; pools that share both share its checks, each with its own rise and fall.
 *
 * It does not know: workers, balancing, DNS (an endpoint whose name has no address yet is down with reason dns_error).
 *
 * Rules
 * 1. The first check of a target comes within FIRST_MS of its plan. Checks of many targets are spread over their interval.
 * 2. A check that is still under way is not started again: the deadline of a check may be as long as its interval.
 * 3. What a plan still names keeps its verdict and its rhythm over a reload.
 */
import type { Address } from '../../base/wire.ts';
import { addressText } from '../../base/wire.ts';
import { type CheckResult, type HealthStatus, Verdict } from '../../health/health.ts';
import { health } from '../../state/doors.ts';
import type { ActiveHealthPlan, Plan } from '../../state/plan.ts';
import type { ControlDoor } from '../../state/table.ts';
import type { EventLog } from '../supervise/events.ts';
import { checkedAddress, probe } from './probe.ts';

export { type HealthStatus, Verdict } from '../../health/health.ts';

/** The first checks are spread over this time, or the interval when that is shorter. */
export const FIRST_MS = 800;

export interface HealthParts {
  door: Pick<ControlDoor, 'health' | 'setHealth' | 'checked'>;
  events: Pick<EventLog, 'info' | 'warn'>;
  /** ms since 1970. */
  now: () => number;
  /** 0..1. */
  random: () => number;
  probe?: (address: Address, check: ActiveHealthPlan) => Promise<CheckResult>;
  /** Calls back after some ms; returns how to cancel. */
  after?: (ms: number, callback: () => void) => () => void;
}

interface Checked {
  readonly slot: number;
  readonly pool: string;
  readonly endpoint: string;
  readonly rise: number;
  readonly fall: number;
  readonly verdict: Verdict;
}

interface Target {
  readonly key: string;
  readonly address: Address;
  readonly check: ActiveHealthPlan;
  checked: Checked[];
  isUnderWay: boolean;
  cancel: () => void;
}

function realAfter(ms: number, callback: () => void): () => void {
  const timer = setTimeout(callback, ms);
  return () => clearTimeout(timer);
}

export class HealthChecks {
  private readonly parts: HealthParts;
  private readonly probe: NonNullable<HealthParts['probe']>;
  private readonly after: NonNullable<HealthParts['after']>;
  private targets = new Map<string, Target>();
  private verdicts = new Map<number, Verdict>();

  constructor(parts: HealthParts) {
    this.parts = parts;
    this.probe = parts.probe ?? probe;
    this.after = parts.after ?? realAfter;
  }

  /** Checks what `plan` names from now on. Its slots are assigned. */
  apply(plan: Plan): void {
    const { door, now } = this.parts;
    const targets = new Map<string, Target>();
    const verdicts = new Map<number, Verdict>();
    const fresh: Target[] = [];
    for (const pool of plan.pools) {
      const { active } = pool.health;
      for (const endpoint of pool.endpoints) {
        const { slot } = endpoint;
        if (active === null) {
          // Nobody looks: taken for up, unless the name has no address.
          const to = endpoint.resolved === null ? health.down : health.up;
          if (door.health(slot) !== to) door.setHealth(slot, to);
          continue;
        }
        const verdict = this.verdicts.get(slot) ?? new Verdict(door.health(slot), now());
        verdicts.set(slot, verdict);
        const checked: Checked = {
          slot,
          pool: pool.name,
          endpoint: endpoint.address,
          rise: active.rise,
          fall: active.fall,
          verdict,
        };
        if (endpoint.resolved === null) {
          this.judge(checked, { passed: false, reason: 'dns_error', evidence: 'the name has no address', ms: 0 });
          continue;
        }
        const address = checkedAddress(endpoint.resolved, active.port);
        const { rise: _rise, fall: _fall, ...what } = active;
        const key = `${addressText(address)} ${JSON.stringify(what)}`;
        let target = targets.get(key);
        if (target === undefined) {
          target = this.targets.get(key);
          if (target === undefined) {
            target = { key, address, check: active, checked: [], isUnderWay: false, cancel: () => {} };
            fresh.push(target);
          } else target.checked = [];
          targets.set(key, target);
        }
        target.checked.push(checked);
      }
    }
    for (const [key, target] of this.targets) {
      if (targets.has(key)) continue;
      target.cancel();
      target.checked = [];
    }
    this.targets = targets;
    this.verdicts = verdicts;
    fresh.forEach((target, at) => {
      const spread = Math.min(FIRST_MS, target.check.intervalMs);
      target.cancel = this.after((at / fresh.length) * spread, () => void this.run(target, true));
    });
  }

  stop(): void {
    for (const target of this.targets.values()) target.cancel();
    this.targets = new Map();
  }

  /** Checks the endpoint of this slot at once; the rhythm of its target goes on from there. False: it is not checked. */
  checkNow(slot: number): boolean {
    for (const target of this.targets.values()) {
      if (!target.checked.some((checked) => checked.slot === slot)) continue;
      target.cancel();
      void this.run(target, false);
      return true;
    }
    return false;
  }

  /** null: the endpoint of this slot is not checked. */
  statusOf(slot: number): HealthStatus | null {
    return this.verdicts.get(slot)?.status() ?? null;
  }

  /** Targets checked: the same address with the same check counts once. */
  get targetCount(): number {
    return this.targets.size;
  }

  private async run(target: Target, isFirst: boolean): Promise<void> {
    const { check } = target;
    // From the start of this check to the start of the next. The second comes at a random place of its interval, so that targets that
    // were added together do not stay together.
    const { random } = this.parts;
    const share = isFirst ? 0.5 + random() / 2 : 1 + (random() - 0.5) * check.jitter;
    target.cancel = this.after(check.intervalMs * share, () => void this.run(target, false));
    if (target.isUnderWay) return;
    target.isUnderWay = true;
    let result: CheckResult;
    try {
      result = await this.probe(target.address, check);
    } catch (error) {
      result = { passed: false, reason: 'failed', evidence: (error as Error).message, ms: 0 };
    }
    target.isUnderWay = false;
    for (const checked of target.checked) this.judge(checked, result);
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
