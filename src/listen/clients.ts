/**
 * All client connections of one worker: how many there are, in all and per address, and which are idle, oldest first. Under pressure and in a drain
 * the oldest idle ones go first.
 */
import type { ClientAddress } from '../base/client-address.ts';
import type { Http1ClientConnection } from './http1-connection.ts';

export class Clients {
  count = 0;
  /** Those of `count` that are being closed: their room is as good as free. */
  closing = 0;
  /** Per worker; set by the plan. */
  countMax = 60_000;
  /** Set once, when the worker leaves: responses say Connection: close. */
  isDraining = false;
  private oldest: Http1ClientConnection | null = null;
  private newest: Http1ClientConnection | null = null;
  private readonly perAddress = new Map<string, number>();
  readonly all = new Set<Http1ClientConnection>();

  get isFull(): boolean {
    return this.count - this.closing >= this.countMax;
  }

  /** Counts one more from this address; false, counting nothing, when it has `max` already (0 = no limit). */
  admit(address: ClientAddress, max: number): boolean {
    const now = this.perAddress.get(address.text) ?? 0;
    if (max > 0 && now >= max) return false;
    this.perAddress.set(address.text, now + 1);
    this.count++;
    return true;
  }

  leave(address: ClientAddress): void {
    this.count--;
    const now = this.perAddress.get(address.text) ?? 0;
    if (now <= 1) this.perAddress.delete(address.text);
    else this.perAddress.set(address.text, now - 1);
  }

  /** Closes the connection that has been idle longest; false when none is idle. */
  shedOldest(): boolean {
    const { oldest } = this;
    if (oldest === null) return false;
    oldest.shed();
    return true;
  }

  linkIdle(connection: Http1ClientConnection): void {
    if (connection.isIdle) return;
    connection.isIdle = true;
    connection.older = this.newest;
    connection.newer = null;
    if (this.newest !== null) this.newest.newer = connection;
    else this.oldest = connection;
    this.newest = connection;
  }

  unlinkIdle(connection: Http1ClientConnection): void {
    if (!connection.isIdle) return;
    connection.isIdle = false;
    if (connection.older !== null) connection.older.newer = connection.newer;
    else this.oldest = connection.newer;
    if (connection.newer !== null) connection.newer.older = connection.older;
    else this.newest = connection.older;
    connection.older = connection.newer = null;
  }
}
