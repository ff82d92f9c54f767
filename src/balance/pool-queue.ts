/**
 * The queue of one pool in one worker: requests for which every endpoint that is ready has as many as it may have (maxConnections).
 *
 *     urgency 0   first -> ... -> last      served first
 *     ...
 *     urgency 7   first -> ... -> last
 *
 * Rules
 * 1. In order of urgency, and first in, first out within one.
 * 2. Looked at when an exchange of the pool ends in this worker, and every few milliseconds besides, because other workers free places too; only
 *    while someone waits.
 * 3. How many may wait, and how long, is said by whoever joins. Nothing is allocated: those who wait are linked through themselves.
 */
import type { Engine, TimerOwner } from '../base/wire.ts';

/** What a queue needs of an engine. */
type QueueClock = Pick<Engine, 'now' | 'setTimer'>;

/** The scale of RFC 9218 §4.1. */
export const URGENCIES = 8;
/** How late a place that another worker freed is seen, at most; the timer's own lateness besides. */
const LOOK_MS = 5;

/** Who waits. The links are the queue's. */
export interface Waiter {
  queueUrgency: number;
  queueDueMs: number;
  queueOlder: Waiter | null;
  queueNewer: Waiter | null;
  /** It is the first in line. True: it left the queue (was served, or has nothing to wait for any more). False: no place. */
  onTurn(): boolean;
  /** Its time is over; it was taken out. */
  onQueueTimeout(): void;
}

export class PoolQueue implements TimerOwner {
  length = 0;
  private readonly first: (Waiter | null)[] = new Array<Waiter | null>(URGENCIES).fill(null);
  private readonly last: (Waiter | null)[] = new Array<Waiter | null>(URGENCIES).fill(null);
  private readonly clock: QueueClock;
  private ticket = 0;
  private isServing = false;
  private isAskedAgain = false;

  constructor(clock: QueueClock) {
    this.clock = clock;
  }

  /** At the end of its urgency's line, until `dueMs` at most. */
  join(waiter: Waiter, urgency: number, dueMs: number): void {
    const before = this.last[urgency]!;
    waiter.queueUrgency = urgency;
    waiter.queueDueMs = dueMs;
    waiter.queueOlder = before;
    if (before === null) this.first[urgency] = waiter;
    else before.queueNewer = waiter;
    this.last[urgency] = waiter;
    this.length++;
    if (this.ticket === 0) this.ticket = this.clock.setTimer(LOOK_MS, this, 0);
  }

  /** Those who wait, in the order in which they are served. */
  every(): Waiter[] {
    const all: Waiter[] = [];
    for (const first of this.first) for (let each = first; each !== null; each = each.queueNewer) all.push(each);
    return all;
  }

  leave(waiter: Waiter): void {
    const { queueOlder, queueNewer, queueUrgency } = waiter;
    if (queueOlder === null) this.first[queueUrgency] = queueNewer;
    else queueOlder.queueNewer = queueNewer;
    if (queueNewer === null) this.last[queueUrgency] = queueOlder;
    else queueNewer.queueOlder = queueOlder;
    waiter.queueOlder = waiter.queueNewer = null;
    this.length--;
  }

  /** Lets as many go on as there are places. What they do may call this again: that is done by the call under way. */
  serve(): void {
    this.isAskedAgain = true;
    if (this.isServing) return;
    this.isServing = true;
    while (this.isAskedAgain) {
      this.isAskedAgain = false;
      for (let waiter = this.head(); waiter?.onTurn(); waiter = this.head());
    }
    this.isServing = false;
  }

  onTimer(): void {
    this.ticket = 0;
    this.serve();
    const { now } = this.clock;
    for (let urgency = 0; urgency < URGENCIES; urgency++) {
      for (let waiter = this.first[urgency]!; waiter !== null && now >= waiter.queueDueMs; waiter = this.first[urgency]!) {
        this.leave(waiter);
        waiter.onQueueTimeout();
      }
    }
    if (this.length > 0 && this.ticket === 0) this.ticket = this.clock.setTimer(LOOK_MS, this, 0);
  }

  private head(): Waiter | null {
    for (let urgency = 0; urgency < URGENCIES; urgency++) if (this.first[urgency] !== null) return this.first[urgency]!;
    return null;
  }
}
