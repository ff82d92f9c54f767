/**
 * Orphans: workers of a control process that died. They go on serving until their successors do; then they are asked to drain, and
 * what they held of the state table is given back when they are gone.
 */
import type { EventLog } from './events.ts';
import { startTimeOf, type WorkerRecord } from './instance.ts';

const LOOK_MS = 50;
/** Beyond the drain, for saying goodbye. */
const LEAVE_MS = 2000;

export class Orphans {
  private alive: WorkerRecord[];
  private readonly events: Pick<EventLog, 'warn'>;
  private readonly onGone: (orphan: WorkerRecord) => void;
  private timer: NodeJS.Timeout | null = null;
  private deadline = 0;

  constructor(orphans: readonly WorkerRecord[], events: Pick<EventLog, 'warn'>, onGone: (orphan: WorkerRecord) => void) {
    this.alive = [...orphans];
    this.events = events;
    this.onGone = onGone;
  }

  /** Those that live. */
  list(): readonly WorkerRecord[] {
    return this.alive;
  }

  /** Asks all to drain within `gracefulMs`; who is still there some time after it is killed. */
  drain(gracefulMs: number): void {
    this.deadline = performance.now() + gracefulMs + LEAVE_MS;
    for (const orphan of this.alive) signal(orphan, 'SIGTERM');
    if (this.alive.length > 0) this.timer = setInterval(() => this.look(), LOOK_MS);
  }

  /** Kills all at once: the new control process is leaving, too. */
  kill(): void {
    for (const orphan of this.alive) signal(orphan, 'SIGKILL');
    if (this.timer !== null) clearInterval(this.timer);
    this.timer = null;
  }

  private look(): void {
    const isLate = performance.now() > this.deadline;
    for (const orphan of [...this.alive]) {
      if (startTimeOf(orphan.pid) === orphan.startTime) {
        if (isLate) {
          this.events.warn('orphan_killed', `former worker ${orphan.slot} (pid ${orphan.pid}) did not finish its drain: killed`);
          signal(orphan, 'SIGKILL');
        }
        continue;
      }
      this.alive = this.alive.filter((other) => other !== orphan);
      this.onGone(orphan);
    }
    if (this.alive.length > 0 || this.timer === null) return;
    clearInterval(this.timer);
    this.timer = null;
  }
}

function signal(orphan: WorkerRecord, name: NodeJS.Signals): void {
  if (startTimeOf(orphan.pid) !== orphan.startTime) return;
  try {
    process.kill(orphan.pid, name);
  } catch {
    // It ended between the look and the signal.
  }
}
