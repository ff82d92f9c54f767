/** pool-panic: says when a pool begins and ends to use all its endpoints whatever their health. The workers ask the same function of the same table. */
import { isPanicking } from '../../balance/balance.ts';
import { admin } from '../../state/doors.ts';
import type { Plan, PoolPlan } from '../../state/plan.ts';
import type { ControlDoor } from '../../state/table.ts';
import type { EventLog } from '../supervise/events.ts';

export interface PanicParts {
  door: Pick<ControlDoor, 'version'> & Parameters<typeof isPanicking>[3];
  events: Pick<EventLog, 'info' | 'error'>;
}

interface Watched {
  readonly pool: PoolPlan;
  readonly slots: Int32Array;
  readonly backup: Uint8Array;
  isPanicking: boolean;
}

export class PoolPanic {
  private readonly parts: PanicParts;
  private watched: Watched[] = [];
  private version = -1;

  constructor(parts: PanicParts) {
    this.parts = parts;
  }

  /** Watches the pools of `plan` that have a threshold. Its slots are assigned. */
  apply(plan: Plan): void {
    const before = new Map(this.watched.map(({ pool, isPanicking }) => [pool.name, isPanicking]));
    const watched: Watched[] = [];
    for (const pool of plan.pools) {
      const wasPanicking = before.get(pool.name) ?? false;
      if (pool.health.panicThreshold === 0) {
        if (wasPanicking) this.calm(pool, 'it has no threshold any more');
        continue;
      }
      const usable = pool.endpoints.filter(({ slot, resolved }) => slot >= 0 && resolved !== null);
      const slots = Int32Array.from(usable, ({ slot }) => slot);
      const backup = Uint8Array.from(usable, (endpoint) => (endpoint.backup ? 1 : 0));
      watched.push({ pool, slots, backup, isPanicking: wasPanicking });
    }
    this.watched = watched;
    this.version = -1;
  }

  get isIdle(): boolean {
    return this.watched.length === 0;
  }

  /** One turn; call it often. */
  turn(): void {
    const { door, events } = this.parts;
    const version = door.version();
    if (version === this.version) return;
    this.version = version;
    for (const one of this.watched) {
      const { pool, slots, backup } = one;
      const isNow = isPanicking(slots, backup, pool.health.panicThreshold, door);
      if (isNow === one.isPanicking) continue;
      one.isPanicking = isNow;
      const { ready, of } = this.count(one);
      if (!isNow) this.calm(pool, `${ready} of ${of} endpoints are ready`);
      else {
        const threshold = pool.health.panicThreshold;
        const text = `pool ${pool.name} is in panic: only ${ready} of ${of} endpoints are ready, so all get requests whatever their health`;
        events.error('pool_panic', text, { pool: pool.name, ready, of, threshold });
      }
    }
  }

  /** By pool id, as of the last turn. */
  isPanicking(poolId: number): boolean {
    return this.watched.some(({ pool, isPanicking }) => pool.id === poolId && isPanicking);
  }

  private calm(pool: PoolPlan, why: string): void {
    this.parts.events.info('pool_calm', `pool ${pool.name} is out of panic: ${why}`, { pool: pool.name });
  }

  private count({ slots, backup }: Watched): { ready: number; of: number } {
    const { door } = this.parts;
    let ready = 0;
    let of = 0;
    for (let i = 0; i < slots.length; i++) {
      if (backup[i] !== 0 || door.admin(slots[i]!) !== admin.ready) continue;
      of++;
      if (door.isReady(slots[i]!)) ready++;
    }
    return { ready, of };
  }
}
