/**
 * uring-write: appending to files and pipes. The kernel copies at its leisure; a slow disk or a full pipe holds up the write, never
 * the loop.
 */
import type { Blocks } from '../base/blocks.ts';
import { EAGAIN, EINTR, IORING_OP_POLL_ADD, IORING_OP_WRITE, POLLOUT } from '../sys/constants.generated.ts';
import type { Ring } from '../sys/uring.ts';
import { OPERATION_BITS, operation } from './uring-tags.ts';

type Done = (result: number) => void;
const nobody: Done = () => {};

/** One write in flight; reused. */
class Write {
  fd = -1;
  block = -1;
  start = 0;
  end = 0;
  done: Done = nobody;
}

export class Writes {
  /** Writes in flight. */
  pending: number;
  private readonly ring: Ring;
  private readonly blocks: Blocks;
  private readonly arenaAddress: number;
  private readonly writes: Write[];
  private readonly free: number[];

  constructor(ring: Ring, blocks: Blocks, arenaAddress: number) {
    this.ring = ring;
    this.blocks = blocks;
    this.arenaAddress = arenaAddress;
    this.writes = [];
    this.free = [];
    this.pending = 0;
  }

  start(fd: number, block: number, start: number, end: number, done: Done): void {
    let index = this.free.pop();
    if (index === undefined) {
      index = this.writes.length;
      this.writes.push(new Write());
    }
    const write = this.writes[index]!;
    this.blocks.retain(block);
    write.fd = fd;
    write.block = block;
    write.start = start;
    write.end = end;
    write.done = done;
    this.pending++;
    this.submit(index, write);
  }

  /** A completion of a write. */
  onWrite(index: number, result: number): void {
    const write = this.writes[index]!;
    if (result === -EAGAIN) {
      // The file is O_NONBLOCK (a pipe somebody else shares): ask when it has room, then write again.
      const tag = (index << OPERATION_BITS) | operation.writable;
      this.ring.put(IORING_OP_POLL_ADD, write.fd, 0, 0, 0, 0, POLLOUT, tag, 0);
      return;
    }
    if (result === -EINTR) {
      // A signal came before anything was written.
      this.submit(index, write);
      return;
    }
    const { done } = write;
    write.done = nobody;
    this.blocks.release(write.block);
    this.free.push(index);
    this.pending--;
    done(result);
  }

  /** The file has room, or will never have: writing tells which. */
  onWritable(index: number, result: number): void {
    if (result < 0) this.onWrite(index, result);
    else this.submit(index, this.writes[index]!);
  }

  private submit(index: number, write: Write): void {
    const tag = (index << OPERATION_BITS) | operation.write;
    // Offset -1 is the file's own position (Linux 5.6); O_APPEND and pipes go by their own rules.
    this.ring.put(IORING_OP_WRITE, write.fd, -1, -1, this.arenaAddress + write.start, write.end - write.start, 0, tag, 0);
  }
}
