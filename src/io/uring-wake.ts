/**
 * uring-wake: what ends a wait besides completions that are owed anyway: a timer that is due, and Node's own loop.
 *
 * Both are operations. A timeout asked for earlier serves as long as it does not come too late; one that was overtaken completes for nobody, which its
 * generation tells.
 */
import { IORING_OP_POLL_ADD, IORING_OP_TIMEOUT, POLLIN } from '../sys/constants.generated.ts';
import { type Mapping, mapLow, munmap } from '../sys/memory.ts';
import { nodeLoopFd } from '../sys/node-loop.ts';
import type { Ring } from '../sys/uring.ts';
import { operation } from './uring-tags.ts';

/** A wake-up already asked for serves if it comes at most this much later than wanted. */
const SLACK_MS = 1;

export class Wake {
  /** Node's own loop has something to do. Whoever gives it its turn takes this back. */
  isNodeDue: boolean;
  private readonly ring: Ring;
  private readonly timespec: Mapping;
  private readonly words: Int32Array;
  /** When the timeout under way ends; Infinity: there is none. */
  private atMs: number;
  private generation: number;
  private readonly nodeFd: number;
  private isNodeWatched: boolean;

  constructor(ring: Ring) {
    this.isNodeDue = false;
    this.ring = ring;
    this.timespec = mapLow(4096);
    this.words = new Int32Array(this.timespec.buffer);
    this.atMs = Number.POSITIVE_INFINITY;
    this.generation = 0;
    this.nodeFd = nodeLoopFd();
    this.isNodeWatched = false;
  }

  /** Lets the wait that follows end at `ms` of the engine's clock, or when Node's loop is due. To be submitted with the next enter. */
  ask(ms: number, now: number): void {
    if (!this.isNodeWatched && this.nodeFd >= 0) {
      this.isNodeWatched = true;
      this.ring.put(IORING_OP_POLL_ADD, this.nodeFd, 0, 0, 0, 0, POLLIN, operation.node, 0);
    }
    if (this.atMs <= ms + SLACK_MS) return;
    this.atMs = ms;
    this.generation = (this.generation + 1) & 0x3fff_ffff;
    const wait = ms > now ? ms - now : 0;
    this.words[0] = (wait / 1000) | 0;
    this.words[2] = ((wait % 1000) * 1e6) | 0;
    // The kernel reads the time when the SQE is submitted, which is next.
    this.ring.put(IORING_OP_TIMEOUT, -1, 0, 0, this.timespec.address, 1, 0, operation.timeout, this.generation);
  }

  /** A completion of a timeout. An older, later one that was overtaken changes nothing. */
  onTimeout(generation: number): void {
    if (generation === this.generation) this.atMs = Number.POSITIVE_INFINITY;
  }

  /** The completion of the watch over Node's loop. */
  onNode(): void {
    this.isNodeWatched = false;
    this.isNodeDue = true;
  }

  close(): void {
    munmap(this.timespec);
  }
}
