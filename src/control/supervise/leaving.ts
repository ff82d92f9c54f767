/**
 * Leaving: how an instance comes to its end.
 *
 *   no -- leave() --> notReady -- after notReadyFor --> draining -- all workers are gone --> the end
 *                        |                                 |                                  ^
 *                        `---------------- leave() again --+--> atOnce -----------------------'
 *
 * Rules
 * 1. From the first order on nothing new is begun: isLeaving holds before anything else is done.
 * 2. The second order leaves at once, further ones change nothing.
 */
import { setTimeout as wait } from 'node:timers/promises';
import type { EventLog } from './events.ts';
import type { Fleet } from './fleet.ts';
import type { Notifier } from './notify.ts';
import type { Plans } from './plans.ts';

/** A second order is heard this soon while weir is only not ready. */
const LOOK_MS = 50;
/** What systemd is asked to wait beyond the limits, for saying goodbye. */
const GOODBYE_MS = 5000;

/** What is under way may take so long: drain.graceful, or drain.hardStop where that is longer (signals.md). */
export type LeaveLimit = 'graceful' | 'hardStop';

export interface LeavingParts {
  events: Pick<EventLog, 'info' | 'warn'>;
  notifier: Pick<Notifier, 'tell'>;
  fleet: Pick<Fleet, 'drain' | 'stop'>;
  /** Its limits are those of the plan in force. */
  plans: Pick<Plans, 'inForce'>;
  /** Wins over the plan's; undefined: that counts. */
  notReadyForMs: number | undefined;
  /** What makes new plans ends. */
  onBegin: () => void;
  /** The workers are gone; `cut` of their connections were cut. */
  onEnd: (cut: number) => Promise<void>;
}

export class Leaving {
  private readonly parts: LeavingParts;
  private state: 'no' | 'notReady' | 'draining' | 'atOnce' = 'no';

  constructor(parts: LeavingParts) {
    this.parts = parts;
  }

  get isLeaving(): boolean {
    return this.state !== 'no';
  }

  /** Drains and ends. The first call waits for what is under way, up to `limit`; a second one leaves at once. */
  leave(limit: LeaveLimit): void {
    if (this.state === 'atOnce') return;
    if (this.state === 'no') {
      this.state = 'notReady';
      void this.drain(limit);
      return;
    }
    this.state = 'atOnce';
    this.parts.events.warn('left_at_once', 'asked again: leaving at once');
    void this.parts.fleet.stop();
  }

  private async drain(limit: LeaveLimit): Promise<void> {
    const { events, notifier, fleet } = this.parts;
    const { gracefulMs, hardStopMs, ...planned } = this.parts.plans.inForce!.drain;
    const notReadyForMs = this.parts.notReadyForMs ?? planned.notReadyForMs;
    const limitMs = limit === 'graceful' ? gracefulMs : Math.max(gracefulMs, hardStopMs);
    this.parts.onBegin();
    notifier.tell('STOPPING=1', `EXTEND_TIMEOUT_USEC=${(notReadyForMs + limitMs + GOODBYE_MS) * 1000}`);
    events.info('drain', 'draining: no new connections, requests under way are finished', { notReadyForMs, limitMs });
    // /readyz fails from here on; whoever sends traffic gets the time to notice.
    for (let left = notReadyForMs; left > 0 && this.state === 'notReady'; left -= LOOK_MS) await wait(Math.min(left, LOOK_MS));
    let cut = 0;
    if (this.state === 'notReady') {
      this.state = 'draining';
      cut = await fleet.drain(gracefulMs, limitMs);
    } else await fleet.stop();
    await this.parts.onEnd(cut);
  }
}
