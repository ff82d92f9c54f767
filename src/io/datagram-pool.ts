/**
 * datagram-pool: sockets that were connected to an endpoint and are connected to none now, for the next client. Making a socket and closing it
 * costs the kernel five times what connecting one anew does (docs/udp.md).
 *
 * Dissolving the connection gives up the port, so nothing that was on its way to the last client reaches the next one. What had arrived before is dropped
 * by whoever owns the pool, and a socket rests until that is certain.
 *
 * First in, first out: the longest rest.
 */

/** Sockets kept. More are closed: they cost memory in the kernel, 1 to 2 KiB each, and a descriptor. */
export const POOL_MAX = 512;
/** Turns that a socket rests: one to dissolve its connection, one for what had arrived to come up. */
export const REST_TURNS = 2;
/** Every so often, those that nobody needed meanwhile are closed. */
export const TRIM_MS = 200;

export interface Pooled {
  pooledAt: number;
  pooledNext: Pooled | null;
}

export class DatagramPool<S extends Pooled> {
  count = 0;
  /** Fewest there were since the last trim: so many were not needed. */
  private unneeded = 0;
  private first: S | null = null;
  private last: S | null = null;

  /** `at`: number of the turn. */
  give(socket: S, at: number): void {
    socket.pooledAt = at;
    socket.pooledNext = null;
    if (this.last === null) this.first = socket;
    else this.last.pooledNext = socket;
    this.last = socket;
    this.count++;
  }

  /** The one that rested longest, if since `before` or earlier; else null. */
  take(before: number): S | null {
    const socket = this.first;
    if (socket === null || socket.pooledAt > before) return null;
    this.first = socket.pooledNext as S | null;
    if (this.first === null) this.last = null;
    socket.pooledNext = null;
    if (--this.count < this.unneeded) this.unneeded = this.count;
    return socket;
  }

  /** How many to close. */
  trim(): number {
    const { unneeded } = this;
    this.unneeded = this.count - unneeded;
    return unneeded;
  }
}
