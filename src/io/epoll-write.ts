/**
 * epoll-write: writes to files and pipes in the epoll driver.
 *
 * A regular file is written with write(2) at the end of the turn: epoll does not know when a file is ready, and the page cache nearly
 * always takes the bytes at once. A disk that stalls stalls the loop: who fears that uses io_uring. Everything else is made
 * non-blocking (O_NONBLOCK belongs to the open file, so others who share it see it too) and waited for with EPOLLOUT when full.
 */
import type { Blocks } from '../base/blocks.ts';
import {
  EAGAIN,
  EINTR,
  EPOLL_CTL_ADD,
  EPOLL_CTL_DEL,
  EPOLLOUT,
  F_GETFL,
  F_SETFL,
  O_NONBLOCK,
} from '../sys/constants.generated.ts';
import { epollCtl, fcntl, write } from '../sys/libc.ts';

const nobody = (): void => {};

class Write {
  fd = -1;
  block = 0;
  start = 0;
  end = 0;
  done: (result: number) => void = nobody;
  /** Waits for EPOLLOUT. */
  isWaiting = false;
  isFree = true;
}

export class EpollWrites {
  private readonly epoll: number;
  private readonly blocks: Blocks;
  private readonly arenaAddress: number;
  /** User data of events: `kind` in the low word with the place added. */
  private readonly kind: number;
  private readonly places: Write[];
  private readonly free: number[];
  private pending: number[];
  private due: number[];

  constructor(epoll: number, blocks: Blocks, arenaAddress: number, kind: number) {
    this.epoll = epoll;
    this.blocks = blocks;
    this.arenaAddress = arenaAddress;
    this.kind = kind;
    this.places = [];
    this.free = [];
    this.pending = [];
    this.due = [];
  }

  /** Something is to be written at the end of this turn. */
  get isPending(): boolean {
    return this.pending.length > 0;
  }

  start(fd: number, block: number, start: number, end: number, done: (result: number) => void): void {
    this.blocks.retain(block);
    let place = this.free.pop();
    if (place === undefined) place = this.places.push(new Write()) - 1;
    const each = this.places[place]!;
    each.fd = fd;
    each.block = block;
    each.start = start;
    each.end = end;
    each.done = done;
    each.isWaiting = false;
    each.isFree = false;
    this.pending.push(place);
  }

  /** The end of the turn. */
  flush(): void {
    if (this.pending.length === 0) return;
    const { due } = this;
    this.due = this.pending;
    this.pending = due;
    for (const place of this.due) this.attempt(place);
    this.due.length = 0;
  }

  /** A pipe has room. */
  onWritable(place: number): void {
    const each = this.places[place]!;
    if (each.isWaiting) this.attempt(place);
  }

  /** Gives the blocks back; nobody is told. */
  close(): void {
    for (const each of this.places) if (!each.isFree) this.blocks.release(each.block);
    this.places.length = 0;
    this.pending.length = 0;
  }

  private attempt(place: number): void {
    const each = this.places[place]!;
    let result = each.isWaiting ? 0 : mustNotBlock(each.fd);
    if (result >= 0) {
      do result = write(each.fd, this.arenaAddress + each.start, each.end - each.start);
      while (result === -EINTR);
    }
    if (result === -EAGAIN) {
      if (each.isWaiting) return;
      result = epollCtl(this.epoll, EPOLL_CTL_ADD, each.fd, EPOLLOUT, this.kind | place, 0);
      if (result >= 0) {
        each.isWaiting = true;
        return;
      }
    }
    if (each.isWaiting) epollCtl(this.epoll, EPOLL_CTL_DEL, each.fd, 0, 0, 0);
    const { done } = each;
    each.done = nobody;
    each.isFree = true;
    this.free.push(place);
    this.blocks.release(each.block);
    done(result);
  }
}

/** 0 or -errno. Asked each time, since a number may have become another file. */
function mustNotBlock(fd: number): number {
  const flags = fcntl(fd, F_GETFL);
  return flags < 0 || (flags & O_NONBLOCK) !== 0 ? Math.min(flags, 0) : fcntl(fd, F_SETFL, flags | O_NONBLOCK);
}
