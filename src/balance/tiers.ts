/**
 * Tiers: which endpoints of a pool may be given work now, and what each of them weighs.
 *
 *   near      ordinary endpoints in this node's zone, with a share of their limits (only where a zone is preferred)
 *   ordinary  all that are no backups, those in the zone included
 *   backups   when no other endpoint can be picked
 *
 * Rules
 * 1. Ready endpoints that weigh more than 0. One that was not checked yet is left out while another of the ordinary ones, or of the backups, is known to be up.
 * 2. In a panic all ordinary endpoints that nobody took out on purpose, whatever their health: who is fit is not known any more, so zones, subsets and slow start do not count.
 * 3. In slow start a weight counts for the ramp, relative to the largest ramp of its tier: when all are new, shares are the configured ones.
 * 4. Of a subset, in each of near and ordinary the first so many that are left by rule 1.
 *
 * All this changes seldom and is looked at only when the table's version says so or, while somebody is warming, when a ramp has moved by a hundredth. What is in flight changes all the
 * time and is read at each pick.
 */
import { admin, health } from '../state/doors.ts';
import { isPanicking } from './panic.ts';
import type { PoolView } from './policy.ts';
import { RAMP_PARTS, rampOf } from './ramp.ts';
import { Tier } from './tier.ts';

/** Bits of a member's use. */
const ORDINARY = 1;
const NEAR = 2;
const BACKUP = 4;

/** Keeps a limit that is a whole number after the multiplication from being rounded up by what the multiplication lost. */
const ROUNDING = 1e-9;

export class Tiers {
  readonly near: Tier;
  readonly ordinary: Tier;
  readonly backups: Tier;
  isPanicking = false;
  /** A random number below this keeps its request in the zone. 0 to 2^32. */
  staysBelow = 2 ** 32;
  private readonly view: PoolView;
  private readonly slowStartMs: number;
  /** Version of the table they were made from. */
  private version = 0;
  private isMade = false;
  /** Some ramp is still growing; then it has moved by one part at this time. */
  private isWarming = false;
  private rampsAtMs = Number.POSITIVE_INFINITY;
  /** By member, filled and used within one refresh. */
  private readonly uses: Uint8Array;
  private readonly ramps: Float64Array;

  constructor(view: PoolView) {
    const { slots, table, near, slowStartMs } = view;
    this.view = view;
    this.slowStartMs = slowStartMs;
    this.near = new Tier(table, near === null ? 0 : slots.length);
    this.ordinary = new Tier(table, slots.length);
    this.backups = new Tier(table, slots.length);
    this.uses = new Uint8Array(slots.length);
    this.ramps = new Float64Array(slots.length);
  }

  /** Brings them up to date; true when something may have changed. Allocates nothing. */
  freshen(): boolean {
    // The version is read before what it announces: a change that comes in between is seen at the next pick.
    const { table } = this.view;
    const version = table.version();
    if (version === this.version && this.isMade && !(this.isWarming && table.nowMs() >= this.rampsAtMs)) return false;
    this.version = version;
    this.isMade = true;
    this.refresh();
    return true;
  }

  private refresh(): void {
    const { slots, backup, table, panicThreshold } = this.view;
    this.isPanicking = isPanicking(slots, backup, panicThreshold, table);
    this.findUses();
    this.findRamps();
    const { near, spillAt } = this.view;
    const staying = near ? this.shareStaying(near, spillAt) : 1;
    this.takeSubset(ORDINARY);
    this.takeSubset(NEAR);
    this.fill(this.ordinary, ORDINARY, 1);
    this.fill(this.backups, BACKUP, 1);
    if (near) this.fill(this.near, NEAR, spillAt);
    if (near) this.staysBelow = this.withoutReturning(staying) * 2 ** 32;
  }

  private findUses(): void {
    const { slots, weights, backup, table, near } = this.view;
    const { uses, isPanicking } = this;
    let known = 0;
    for (let i = 0; i < slots.length; i++) {
      const slot = slots[i]!;
      const isSpare = backup[i] !== 0;
      const isFit = isPanicking && !isSpare ? table.admin(slot) === admin.ready : table.isReady(slot);
      if (!isFit || weights[i]! * table.weightPercent(slot) === 0) {
        uses[i] = 0;
        continue;
      }
      uses[i] = isSpare ? BACKUP : near !== null && near[i] !== 0 && !isPanicking ? ORDINARY | NEAR : ORDINARY;
      if (table.health(slot) === health.up) known |= uses[i]!;
    }
    for (let i = 0; i < slots.length; i++) {
      if ((uses[i]! & known & (ORDINARY | BACKUP)) === 0 || table.health(slots[i]!) !== health.unknown) continue;
      if (!isPanicking || uses[i] === BACKUP) uses[i] = 0;
    }
  }

  /** Takes the use from all but the first few. */
  private takeSubset(use: number): void {
    const { subset, ranks } = this.view;
    if (subset === 0 || ranks === null || this.isPanicking) return;
    const { uses } = this;
    let left = subset;
    for (let rank = 0; rank < ranks.length; rank++) {
      const i = ranks[rank]!;
      if ((uses[i]! & use) !== 0 && --left < 0) uses[i]! &= ~use;
    }
  }

  private findRamps(): void {
    const { slots, table } = this.view;
    const { ramps, uses, slowStartMs, isPanicking } = this;
    this.isWarming = false;
    for (let i = 0; i < slots.length; i++) {
      ramps[i] = uses[i] === 0 || (isPanicking && uses[i] !== BACKUP) ? 1 : rampOf(slots[i]!, slowStartMs, table);
      if (ramps[i]! < 1) this.isWarming = true;
    }
    if (this.isWarming) this.rampsAtMs = table.nowMs() + slowStartMs / RAMP_PARTS;
  }

  /** Share of requests for the zone: less than all when less than `spillAt` of its weight is ready. What is warming counts for its ramp, as in a tier of all. */
  private shareStaying(near: Uint8Array, spillAt: number): number {
    const { slots, weights, table } = this.view;
    const { ramps, uses } = this;
    let configured = 0;
    let ready = 0;
    for (let i = 0; i < slots.length; i++) {
      if (near[i] === 0) continue;
      configured += weights[i]!;
      if ((uses[i]! & NEAR) !== 0) ready += (weights[i]! * table.weightPercent(slots[i]!) * ramps[i]!) / 100;
    }
    return ready === 0 ? 0 : Math.min(1, ready / this.largestRamp(ORDINARY) / configured / spillAt);
  }

  /** What leaves goes to all ordinary endpoints, and thus in part back into the zone: that part has to be sent away as well. */
  private withoutReturning(staying: number): number {
    const { ordinary, uses } = this;
    let back = 0;
    for (let place = 0; place < ordinary.count; place++) {
      if ((uses[ordinary.members[place]!]! & NEAR) !== 0) back += ordinary.weights[place]!;
    }
    const returning = back / ordinary.total;
    return returning < 1 ? Math.max(0, (staying - returning) / (1 - returning)) : 1;
  }

  /** `limitShare`: of each limit; above 0. */
  private fill(tier: Tier, use: number, limitShare: number): void {
    const { slots, weights, requestsMax, table } = this.view;
    const { ramps, uses } = this;
    const largest = this.largestRamp(use);
    tier.clear();
    for (let i = 0; i < slots.length; i++) {
      if ((uses[i]! & use) === 0) continue;
      const slot = slots[i]!;
      const limit = Math.ceil(requestsMax[i]! * limitShare - ROUNDING);
      tier.add(i, slot, weights[i]! * table.weightPercent(slot), limit, Math.round((ramps[i]! / largest) * RAMP_PARTS));
    }
    tier.close();
  }

  private largestRamp(use: number): number {
    const { ramps, uses } = this;
    let largest = 0;
    for (let i = 0; i < uses.length; i++) if ((uses[i]! & use) !== 0 && ramps[i]! > largest) largest = ramps[i]!;
    return largest;
  }
}
