/**
 * epoll-batch: wires that have something to do at one point of the turn. A batch is taken whole and worked off while the next one fills, so who asks
 * again meanwhile has it done the next time. Its two arrays only grow: adding allocates nothing once they have the size of the busiest turn.
 */
import type { EpollWire } from './epoll-wire.ts';

export class WireBatch {
  /** Wires in the batch that fills. */
  count: number;
  private filling: EpollWire[];
  private taken: EpollWire[];

  constructor() {
    this.count = 0;
    this.filling = [];
    this.taken = [];
  }

  add(wire: EpollWire): void {
    if (this.count < this.filling.length) this.filling[this.count] = wire;
    else this.filling.push(wire);
    this.count++;
  }

  /** Takes the batch: returns how many wires {@link wire} has, until the next is taken. */
  take(): number {
    const { count, filling } = this;
    this.filling = this.taken;
    this.taken = filling;
    this.count = 0;
    return count;
  }

  /** Wire `i` of the batch that was taken. */
  wire(i: number): EpollWire {
    return this.taken[i]!;
  }
}
