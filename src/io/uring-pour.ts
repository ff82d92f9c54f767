/**
 * uring-pour: the pipes through which one wire pours into another: pages of the receiving socket become pages of the sending one, and no
 * byte is copied on the way.
 *
 *     from.fd --splice--> pipe --splice--> to.fd
 *
 * A pipe belongs to a wire only while bytes are in it, so a few serve many streams. Where none is free, or none can be had, the wire goes
 * on with blocks.
 */
import { close } from '../sys/libc.ts';
import { openPipe, splice } from '../sys/pipe.ts';

export const NO_PIPE = -1;
/** What a pipe is asked to hold. The kernel counts pieces of skbs, one page at least each, so it is often less. */
const PIPE_BYTES = 256 * 1024;
/** Half-full blocks received one after the other after which a wire pours: shorter transfers are not worth the change. */
export const POUR_AFTER = 3;
/** A pour that brought less goes back to blocks: for small pieces one receive and one send are less work. */
export const POUR_BYTES_MIN = 16 * 1024;

export class Pipes {
  private readonly readEnds: Int32Array;
  private readonly writeEnds: Int32Array;
  private readonly free: Int32Array;
  private freeCount: number;
  private readonly unopened: Int32Array;
  private unopenedCount: number;
  /** Wires that have poured and are still open. */
  private users: number;

  /** `pipesMax`: see base/pipe-share.ts. When all are in use by slow receivers, the streams of others go through blocks. */
  constructor(pipesMax: number) {
    this.readEnds = new Int32Array(pipesMax).fill(-1);
    this.writeEnds = new Int32Array(pipesMax).fill(-1);
    this.free = new Int32Array(pipesMax);
    this.freeCount = 0;
    this.unopened = new Int32Array(pipesMax);
    for (let i = 0; i < pipesMax; i++) this.unopened[i] = pipesMax - 1 - i;
    this.unopenedCount = pipesMax;
    this.users = 0;
  }

  join(): void {
    this.users++;
  }
  /** Without users no pipe is kept. */
  leave(): void {
    if (--this.users > 0) return;
    while (this.freeCount > 0) this.shut(this.free[--this.freeCount]!);
  }

  /** An empty pipe, or NO_PIPE. */
  take(): number {
    if (this.freeCount > 0) return this.free[--this.freeCount]!;
    if (this.unopenedCount === 0) return NO_PIPE;
    const ends = openPipe(PIPE_BYTES);
    if (typeof ends === 'number') return NO_PIPE;
    const pipe = this.unopened[--this.unopenedCount]!;
    this.readEnds[pipe] = ends[0];
    this.writeEnds[pipe] = ends[1];
    return pipe;
  }

  /** Gives back a pipe that is empty. */
  give(pipe: number): void {
    if (this.users === 0) this.shut(pipe);
    else this.free[this.freeCount++] = pipe;
  }

  /** Gives up a pipe and what is in it. */
  shut(pipe: number): void {
    close(this.readEnds[pipe]!);
    close(this.writeEnds[pipe]!);
    this.unopened[this.unopenedCount++] = pipe;
  }

  /** From a socket into an empty pipe. A number of bytes, 0 at the end of the stream, or -errno. */
  fill(pipe: number, fd: number): number {
    return splice(fd, this.writeEnds[pipe]!, PIPE_BYTES);
  }

  /** From a pipe into a socket. A number of bytes, or -errno. */
  drain(pipe: number, fd: number, count: number): number {
    return splice(this.readEnds[pipe]!, fd, count);
  }
}
