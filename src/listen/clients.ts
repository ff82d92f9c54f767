/**
 * All client connections of one worker: how many there are, and which are idle, oldest first. Under pressure and in a drain the oldest idle ones go first.
 */
import type { ClientConnection } from './client-connection.ts';

export class Clients {
  count = 0;
  /** Those of `count` that are being closed: their room is as good as free. */
  closing = 0;
  /** Per worker; set by the plan. */
  countMax = 60_000;
  /** Set once, when the worker leaves: responses say Connection: close. */
  isDraining = false;
  private oldest: ClientConnection | null = null;
  private newest: ClientConnection | null = null;
  /**
   * All admitted connections, as a list through them. Not a Set: its outgrown tables keep what was deleted from them, and one such table in V8's old space keeps
   * every later connection alive until a full collection (scavenges of 20 ms instead of 1).
   */
  private last: ClientConnection | null = null;

  /** Random: nobody can choose addresses whose counts meet. */
  readonly seed: number;

  constructor(seed: number) {
    this.seed = seed;
  }

  get isFull(): boolean {
    return this.count - this.closing >= this.countMax;
  }

  /** Counts and lists a connection. */
  join(connection: ClientConnection): void {
    this.count++;
    connection.before = this.last;
    if (this.last !== null) this.last.after = connection;
    this.last = connection;
  }

  every(): ClientConnection[] {
    const all: ClientConnection[] = [];
    for (let each = this.last; each !== null; each = each.before) all.push(each);
    return all;
  }

  leave(connection: ClientConnection): void {
    const { before, after } = connection;
    if (before !== null) before.after = after;
    if (after !== null) after.before = before;
    else this.last = before;
    connection.before = connection.after = null;
    this.count--;
  }

  /** Closes the connection that has been idle longest; false when none is idle. */
  shedOldest(): boolean {
    const { oldest } = this;
    if (oldest === null) return false;
    oldest.shed();
    return true;
  }

  linkIdle(connection: ClientConnection): void {
    if (connection.isIdle) return;
    connection.isIdle = true;
    connection.older = this.newest;
    connection.newer = null;
    if (this.newest !== null) this.newest.newer = connection;
    else this.oldest = connection;
    this.newest = connection;
  }

  unlinkIdle(connection: ClientConnection): void {
    if (!connection.isIdle) return;
    connection.isIdle = false;
    if (connection.older !== null) connection.older.newer = connection.newer;
    else this.oldest = connection.newer;
    if (connection.newer !== null) connection.newer.older = connection.older;
    else this.newest = connection.older;
    connection.older = connection.newer = null;
  }
}
