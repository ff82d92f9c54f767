/** Roll-out: a further plan to all workers, with the sockets that it wants opened, or to none of them. */
import { addressText } from '../../base/wire.ts';
import type { Plan } from '../../state/plan.ts';
import type { EventLog } from './events.ts';
import type { Fleet, RollOutResult } from './fleet.ts';
import { ListenError, type Sockets } from './sockets.ts';

export interface RollOutParts {
  sockets: Pick<Sockets, 'prepare' | 'forget'>;
  fleet: Pick<Fleet, 'bring'>;
  events: Pick<EventLog, 'warn'>;
  /** Its sockets are open; workers are about to get it. */
  onBring: (plan: Plan) => void;
}

/** Sockets that were opened for a plan that is refused are closed again. */
export async function rollOut(plan: Plan, { sockets, fleet, events, onBring }: RollOutParts): Promise<RollOutResult> {
  try {
    const { opened, moved } = await sockets.prepare(plan);
    for (const { wanted, got } of moved)
      events.warn('port_taken', `${addressText(wanted)} is taken, so it is ${addressText(got)}`);
    onBring(plan);
    const result = await fleet.bring(plan, opened);
    if (!result.ok) sockets.forget(opened);
    return result;
  } catch (error) {
    if (!(error instanceof ListenError)) throw error;
    return { ok: false, reason: error.message };
  }
}
