/**
 * Inquiries: questions put to the flight recorders of all workers, and their answers gathered.
 *
 * Rules
 * 1. An inquiry ends when every worker that was asked has answered or gone, or after ANSWER_MS_MAX: who is silent is named.
 * 2. An answer that comes later is dropped.
 */
import type { ConnectionFilter, DownMessage, FoundMessage, RecordFilter } from '../../state/channel.ts';

/** A worker answers at the end of its turn, within milliseconds. */
export const ANSWER_MS_MAX = 500;

export type Question =
  | { type: 'find'; id: string }
  | { type: 'recent'; limit: number; filter: RecordFilter }
  | { type: 'connections'; limit: number; filter: ConnectionFilter };

export interface Found {
  /** By worker slot. */
  answers: { worker: number; found: FoundMessage }[];
  /** Slots of workers that did not answer. */
  silent: number[];
}

/** Who can be asked. */
export interface Asked {
  readonly slot: number;
  send(message: DownMessage): void;
}

interface Inquiry {
  readonly waitsFor: Set<Asked>;
  readonly answers: Found['answers'];
  readonly end: () => void;
}

export class Inquiries {
  private readonly open = new Map<number, Inquiry>();
  private count = 0;

  ask(workers: readonly Asked[], question: Question): Promise<Found> {
    const ask = ++this.count;
    return new Promise((resolve) => {
      const inquiry: Inquiry = {
        waitsFor: new Set(workers),
        answers: [],
        end: () => {
          if (!this.open.delete(ask)) return;
          clearTimeout(timer);
          inquiry.answers.sort((a, b) => a.worker - b.worker);
          resolve({ answers: inquiry.answers, silent: [...inquiry.waitsFor].map(({ slot }) => slot) });
        },
      };
      const timer = setTimeout(inquiry.end, ANSWER_MS_MAX);
      this.open.set(ask, inquiry);
      for (const worker of workers) worker.send({ ...question, ask });
      if (workers.length === 0) inquiry.end();
    });
  }

  answered(worker: Asked, found: FoundMessage): void {
    const inquiry = this.open.get(found.ask);
    if (inquiry === undefined || !inquiry.waitsFor.delete(worker)) return;
    inquiry.answers.push({ worker: worker.slot, found });
    if (inquiry.waitsFor.size === 0) inquiry.end();
  }

  /** This worker is gone: what it remembered is lost with it. */
  gone(worker: Asked): void {
    for (const inquiry of [...this.open.values()]) {
      if (inquiry.waitsFor.delete(worker) && inquiry.waitsFor.size === 0) inquiry.end();
    }
  }
}
