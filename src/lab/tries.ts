/** Tries: every time a request is sent to an endpoint. Numbered in the order in which they begin; nothing is ever given back, so a number stays what it was. */
import type { Server } from './server.ts';

const FIRST_CAPACITY = 4096;

export class Tries {
  count = 0;
  /** By try: its request, and its server by index. */
  requests = new Int32Array(FIRST_CAPACITY);
  servers = new Int32Array(FIRST_CAPACITY);
  /** Link of the line at the server. */
  next = new Int32Array(FIRST_CAPACITY);
  /** Which life of the server's process it was sent to. */
  lives = new Int32Array(FIRST_CAPACITY);
  begunMs = new Float64Array(FIRST_CAPACITY);
  /** What the server needs for it. */
  workMs = new Float64Array(FIRST_CAPACITY);
  /** 1 = the balancer waits for its answer. */
  isOpen = new Uint8Array(FIRST_CAPACITY);

  begin(request: number, server: Server, now: number): number {
    if (this.count === this.requests.length) this.grow();
    const id = this.count++;
    this.requests[id] = request;
    this.servers[id] = server.index;
    this.lives[id] = server.life;
    this.begunMs[id] = now;
    this.isOpen[id] = 1;
    return id;
  }

  private grow(): void {
    const capacity = 2 * this.requests.length;
    this.requests = moved(this.requests, new Int32Array(capacity));
    this.servers = moved(this.servers, new Int32Array(capacity));
    this.next = moved(this.next, new Int32Array(capacity));
    this.lives = moved(this.lives, new Int32Array(capacity));
    this.begunMs = moved(this.begunMs, new Float64Array(capacity));
    this.workMs = moved(this.workMs, new Float64Array(capacity));
    this.isOpen = moved(this.isOpen, new Uint8Array(capacity));
  }
}

function moved<T extends Int32Array | Float64Array | Uint8Array>(from: T, to: T): T {
  to.set(from);
  return to;
}
