/** epoll-send: one call that hands the kernel as much of a chain of pieces as it takes. */
import { MSG_DONTWAIT, MSG_NOSIGNAL, msghdr_BYTES, msghdr_msg_iov, msghdr_msg_iovlen } from '../sys/constants.generated.ts';
import { type Mapping, mapLow, munmap } from '../sys/memory.ts';
import { send, sendmsg } from '../sys/socket.ts';
import { NO_PIECE, type SendQueue } from './send-queue.ts';

/** Pieces in one call; more go in another. */
const IOVECS_MAX = 64;
/** The iovecs, 16 bytes each, and behind them the msghdr. */
const MESSAGE_AT = IOVECS_MAX * 16;

export class EpollSender {
  /** Bytes the last send() asked the kernel to take. */
  askedBytes: number;
  private readonly pieces: SendQueue;
  private readonly arenaAddress: number;
  private readonly scratch: Mapping;
  private readonly words: Int32Array;

  constructor(pieces: SendQueue, arenaAddress: number) {
    this.askedBytes = 0;
    this.pieces = pieces;
    this.arenaAddress = arenaAddress;
    this.scratch = mapLow(MESSAGE_AT + msghdr_BYTES);
    this.words = new Int32Array(this.scratch.buffer);
    this.words[(MESSAGE_AT + msghdr_msg_iov) >> 2] = this.scratch.address;
  }

  /** Sends the chain that begins with `first`, or as much of it as one call takes: see {@link askedBytes}. Bytes taken, or -errno. */
  send(fd: number, first: number): number {
    const { pieces, arenaAddress, words } = this;
    const next = pieces.next[first]!;
    if (next === NO_PIECE) {
      const start = pieces.start[first]!;
      const length = pieces.end[first]! - start;
      this.askedBytes = length;
      return send(fd, arenaAddress + start, length, MSG_NOSIGNAL | MSG_DONTWAIT);
    }
    let asked = 0;
    let count = 0;
    let at = 0;
    for (let piece = first; piece !== NO_PIECE && count < IOVECS_MAX; piece = pieces.next[piece]!) {
      const start = pieces.start[piece]!;
      const length = pieces.end[piece]! - start;
      words[at] = arenaAddress + start;
      words[at + 2] = length;
      at += 4;
      asked += length;
      count++;
    }
    words[(MESSAGE_AT + msghdr_msg_iovlen) >> 2] = count;
    this.askedBytes = asked;
    return sendmsg(fd, this.scratch.address + MESSAGE_AT, MSG_NOSIGNAL | MSG_DONTWAIT);
  }

  close(): void {
    munmap(this.scratch);
  }
}
