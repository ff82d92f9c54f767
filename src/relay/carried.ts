/**
 * Carried: what a worker carries that has no end of its own (connections, upgraded requests, clients of datagrams), so that it can be ended when the drain of
 * its endpoint is over its deadline.
 */
import type { TableReader } from '../state/doors.ts';

/** One of them, from the begin() of its endpoint to the end(). The links are the list's. */
export interface Carried {
  readonly slot: number;
  carriedBefore: Carried | null;
  carriedAfter: Carried | null;
  /** The drain of its endpoint is over its deadline. May end this one at once, and no other. */
  onDrainOver(): void;
}

export class CarriedList {
  private last: Carried | null = null;
  private cutsSeen = 0;

  add(carried: Carried): void {
    const { last } = this;
    carried.carriedBefore = last;
    if (last !== null) last.carriedAfter = carried;
    this.last = carried;
  }

  remove(carried: Carried): void {
    const { carriedBefore, carriedAfter } = carried;
    if (carriedBefore !== null) carriedBefore.carriedAfter = carriedAfter;
    if (carriedAfter !== null) carriedAfter.carriedBefore = carriedBefore;
    else this.last = carriedBefore;
    carried.carriedBefore = carried.carriedAfter = null;
  }

  /** The latest added first. */
  every(): Carried[] {
    const all: Carried[] = [];
    for (let each = this.last; each !== null; each = each.carriedBefore) all.push(each);
    return all;
  }

  /** Ends those whose endpoints were cut since the last look: one load when none was. */
  look(table: TableReader): void {
    const cuts = table.cuts();
    if (cuts === this.cutsSeen) return;
    this.cutsSeen = cuts;
    for (let each = this.last; each !== null; ) {
      const { carriedBefore } = each;
      if (table.isCut(each.slot)) each.onDrainOver();
      each = carriedBefore;
    }
  }
}
