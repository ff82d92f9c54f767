/**
 * Estate: what of an instance outlives its process, so that a successor can go on with it: listening sockets, the state table, the workers, and the record
 * that says where to find them. It begins with what a predecessor left.
 *
 * Rules
 * 1. A predecessor's table is kept when it has this program's layout; else there is a new one, and counters and health begin anew.
 * 2. A stripe of a kept table goes back when the process that wrote it is gone, and not before.
 * 3. The record is written anew whenever a process comes or goes, or a socket. It is removed only when nobody is left to take over.
 */
import type { EventLog } from './events.ts';
import { type Instance, startTimeOf, type Takeover, type WorkerRecord } from './instance.ts';
import { Orphans } from './orphans.ts';
import { adoptTable, newTable, type SharedTable } from './shared-table.ts';
import type { Sockets } from './sockets.ts';
import type { WorkerProcess } from './worker-process.ts';

export interface EstateParts {
  instance: Pick<Instance, 'write' | 'remove' | 'release'>;
  /** null: nothing was left. */
  taken: Takeover | null;
  sockets: Sockets;
  events: Pick<EventLog, 'info' | 'warn'>;
  /** Processes of this instance. */
  workers: () => readonly Pick<WorkerProcess, 'slot' | 'stripe' | 'pid'>[];
  /** The last worker of the predecessor is gone. */
  onTakenOver: () => void;
}

export class Estate {
  readonly sockets: Sockets;
  readonly table: SharedTable;
  readonly orphans: Orphans;
  private readonly parts: EstateParts;

  constructor(parts: EstateParts) {
    const { taken, sockets, events } = parts;
    this.parts = parts;
    this.sockets = sockets;
    const adopted = taken !== null && taken.tableFd >= 0 ? adoptTable(taken.tableFd) : 'not to be had';
    const isKept = typeof adopted !== 'string';
    this.table = isKept ? adopted : newTable();
    const { door } = this.table;
    const giveBack = ({ stripe }: WorkerRecord): void => {
      if (isKept && door.isStripeUsed(stripe)) door.releaseStripe(stripe);
    };
    taken?.dead.forEach(giveBack);
    this.orphans = new Orphans(taken?.orphans ?? [], events, (orphan) => {
      giveBack(orphan);
      this.save();
      if (this.isShared) return;
      events.info('taken_over', 'the last worker of the predecessor has finished');
      parts.onTakenOver();
    });
    if (taken === null || !this.isShared) return;
    sockets.adopt(taken.sockets);
    if (taken.sockets.length === 0 || taken.missing > 0) sockets.shareWithOthers = true;
    const count = taken.orphans.length;
    events.warn('takeover', `found ${count} worker${count === 1 ? '' : 's'} of a control process that died: taking over`, {
      sockets: taken.sockets.length,
      missing: taken.missing,
      table: isKept ? 'kept' : adopted,
    });
  }

  /** Workers of a predecessor still live, and may use what they know of the table. */
  get isShared(): boolean {
    return this.orphans.list().length > 0;
  }

  /** Writes down what a successor finds when this process dies. */
  save(): void {
    const workers = this.parts
      .workers()
      .map(({ slot, stripe, pid }) => ({ slot, stripe, pid, startTime: startTimeOf(pid) ?? 0 }));
    const sockets = this.sockets.all().map(({ key, slot, inode, address }) => ({ key, slot, inode, address }));
    const { inode, device } = this.table;
    this.parts.instance.write({ table: { inode, device }, sockets, workers: [...workers, ...this.orphans.list()] });
  }

  /** The instance cannot start. Orphans, if any, go on; the record that names them stays. */
  giveUp(): void {
    this.sockets.closeAll();
    if (!this.isShared) this.parts.instance.remove();
    this.parts.instance.release();
  }

  /** An orderly end: no worker is left. */
  close(): void {
    this.sockets.closeAll();
    this.parts.instance.remove();
    this.parts.instance.release();
  }
}
