/**
 * Plans: from a configuration to a plan that workers can be given: addresses for names, numbers of the state table, an epoch; and which slots of the table
 * go back when a plan has had its day.
 *
 * Rules
 * 1. An epoch is given once: a plan that is refused uses it up.
 * 2. Slots that only a refused plan claimed go back at once; those of an earlier plan when the next one is in force. Before the first plan none do: what it
 *    claims may be in use by workers of a predecessor.
 */

import type { Plan } from '../../state/plan.ts';
import type { ControlDoor } from '../../state/table.ts';
import { assignIds, slotsLeft } from '../config/config.ts';

/** How many of the things that found no room are named. */
const NAMED_MAX = 5;

export interface PlanParts {
  door: Pick<ControlDoor, 'epoch' | 'claimId' | 'claimSlot' | 'releaseSlot' | 'claimed'>;
  /** The plan with the addresses that its names have now. */
  resolve: (plan: Plan) => Plan;
}

export class Plans {
  /** null before the first. */
  inForce: Plan | null = null;
  /** What it is made of: as read, without addresses for names and without numbers. */
  configured: Plan;
  private readonly parts: PlanParts;
  private lastEpoch: number;

  /** Epochs go on where a predecessor's table stopped. */
  constructor(configured: Plan, parts: PlanParts) {
    this.configured = configured;
    this.parts = parts;
    this.lastEpoch = parts.door.epoch();
  }

  /** A plan that can be brought to the workers, or why it cannot be. */
  make(configured: Plan): Plan | string {
    const { door, resolve } = this.parts;
    const { plan, withoutRoom } = assignIds(resolve(configured), door);
    const made: Plan = { ...plan, epoch: ++this.lastEpoch };
    if (withoutRoom.length === 0) return made;
    this.discard(made);
    return `the state table has no room for ${withoutRoom.slice(0, NAMED_MAX).join(', ')}`;
  }

  /** It is not put in force. */
  discard(made: Plan): void {
    if (this.inForce === null) return;
    for (const slot of slotsLeft(made, this.inForce)) this.parts.door.releaseSlot(slot);
  }

  /** All workers have `made`. Slots of the plan before stay claimed until releaseOthers(). */
  putInForce(made: Plan, configured: Plan): void {
    this.inForce = made;
    this.configured = configured;
  }

  /** Gives back every slot that the plan in force does not name. Nobody may use one any more: no follower of plans, and no worker of a predecessor. */
  releaseOthers(): void {
    const { door } = this.parts;
    const named = new Set(this.inForce!.pools.flatMap(({ endpoints }) => endpoints.map(({ slot }) => slot)));
    for (const { slot } of [...door.claimed()]) if (!named.has(slot)) door.releaseSlot(slot);
  }
}
