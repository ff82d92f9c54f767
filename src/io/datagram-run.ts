/**
 * datagram-run: datagrams of a turn that go one after the other from one connected socket, gathered so that the kernel takes them in one call and carries them
 * through its stack as one (UDP_SEGMENT, Linux 4.18): all of one length but the last, which may be shorter.
 *
 * Rules
 * 1. Order is kept. Blocks are held until send().
 * 2. Where the way takes no runs (no checksum offload, datagrams beyond its MTU) they are sent one by one, and `isRefused` says so.
 */
import type { Blocks } from '../base/blocks.ts';
import {
  EINVAL,
  EIO,
  EMSGSIZE,
  EOPNOTSUPP,
  iovec_BYTES,
  iovec_iov_len,
  MSG_DONTWAIT,
  MSG_NOSIGNAL,
  msghdr_BYTES,
  msghdr_msg_control,
  msghdr_msg_controllen,
  msghdr_msg_iov,
  msghdr_msg_iovlen,
} from '../sys/constants.generated.ts';
import { type Mapping, mapLow, munmap } from '../sys/memory.ts';
import { send, sendmsg } from '../sys/socket.ts';
import { SEGMENT_BYTES, writeSegment } from './datagram-control.ts';

/** Datagrams of one run; what kernels before 6.10 take. */
export const RUN_COUNT_MAX = 64;
/** Bytes of one run: what IPv6 and UDP leave of 65,535. */
export const RUN_BYTES_MAX = 65_487;
const FLAGS = MSG_NOSIGNAL | MSG_DONTWAIT;
const CONTROL_AT = msghdr_BYTES;
const IOVECS_AT = CONTROL_AT + SEGMENT_BYTES;

/** May single datagrams pass where a run did not? */
export function isAboutRuns(errno: number): boolean {
  return errno === EIO || errno === EINVAL || errno === EMSGSIZE || errno === EOPNOTSUPP;
}

export class DatagramRun {
  count: number;
  /** The last send was refused as a run. */
  isRefused: boolean;
  /** Datagrams that the last send did not pass on. */
  lost: number;
  private readonly blocks: Blocks;
  private readonly arenaAddress: number;
  private readonly scratch: Mapping;
  private readonly words: Int32Array;
  private readonly held: Int32Array;
  private segment: number;
  private bytes: number;
  private isWhole: boolean;

  constructor(blocks: Blocks, arenaAddress: number) {
    this.blocks = blocks;
    this.arenaAddress = arenaAddress;
    this.scratch = mapLow(IOVECS_AT + RUN_COUNT_MAX * iovec_BYTES);
    this.words = new Int32Array(this.scratch.buffer);
    this.held = new Int32Array(RUN_COUNT_MAX);
    this.count = 0;
    this.segment = 0;
    this.bytes = 0;
    this.isWhole = false;
    this.isRefused = false;
    this.lost = 0;
    const { words } = this;
    words[msghdr_msg_iov >> 2] = this.scratch.address + IOVECS_AT;
    words[msghdr_msg_control >> 2] = this.scratch.address + CONTROL_AT;
  }

  /** May a datagram of this length be the next of the run? */
  takes(length: number): boolean {
    return (
      !this.isWhole && length > 0 && length <= this.segment && this.count < RUN_COUNT_MAX && this.bytes + length <= RUN_BYTES_MAX
    );
  }

  /** The first when there is none, or one that {@link takes} allowed. */
  add(block: number, start: number, end: number): void {
    const length = end - start;
    const i = this.count++;
    if (i === 0) {
      this.segment = length;
      this.bytes = 0;
      this.isWhole = false;
    } else if (length < this.segment) this.isWhole = true;
    this.bytes += length;
    this.held[i] = block;
    this.blocks.retain(block);
    const iovec = (IOVECS_AT + i * iovec_BYTES) >> 2;
    this.words[iovec] = this.arenaAddress + start;
    this.words[iovec + (iovec_iov_len >> 2)] = length;
  }

  /** Sends all, and is empty. 0, or -errno of the last datagram that was not taken. */
  send(fd: number): number {
    const { count, words } = this;
    let result = 0;
    this.lost = 0;
    this.isRefused = false;
    if (count > 1) result = this.sendRun(fd, count, this.segment, count);
    if (count === 1 || this.isRefused) {
      result = 0;
      for (let i = 0; i < count; i++) {
        const iovec = (IOVECS_AT + i * iovec_BYTES) >> 2;
        result = this.sendOne(fd, words[iovec]!, words[iovec + (iovec_iov_len >> 2)]!, result);
      }
    }
    this.clear();
    return result;
  }

  /** Sends bytes that are a run already. Result as of send(). */
  sendWhole(fd: number, start: number, end: number, segment: number): number {
    const { words, arenaAddress } = this;
    this.lost = 0;
    words[IOVECS_AT >> 2] = arenaAddress + start;
    words[(IOVECS_AT + iovec_iov_len) >> 2] = end - start;
    let result = this.sendRun(fd, 1, segment, Math.ceil((end - start) / segment));
    if (!this.isRefused) return result;
    result = 0;
    for (let at = start; at < end; at += segment)
      result = this.sendOne(fd, arenaAddress + at, Math.min(segment, end - at), result);
    return result;
  }

  private sendRun(fd: number, pieces: number, segment: number, datagrams: number): number {
    const { words } = this;
    words[msghdr_msg_iovlen >> 2] = pieces;
    words[msghdr_msg_controllen >> 2] = writeSegment(words, CONTROL_AT >> 2, segment);
    const result = sendmsg(fd, this.scratch.address, FLAGS);
    this.isRefused = result < 0 && isAboutRuns(-result);
    if (result >= 0) return 0;
    if (!this.isRefused) this.lost = datagrams;
    return result;
  }

  private sendOne(fd: number, address: number, length: number, before: number): number {
    const result = send(fd, address, length, FLAGS);
    if (result >= 0) return before;
    this.lost++;
    return result;
  }

  /** The only datagram, when there is one: nothing is gained by a call of its own. */
  get soleBlock(): number {
    return this.held[0]!;
  }
  get soleAddress(): number {
    return this.words[IOVECS_AT >> 2]!;
  }
  get soleLength(): number {
    return this.bytes;
  }

  clear(): void {
    for (let i = 0; i < this.count; i++) this.blocks.release(this.held[i]!);
    this.count = 0;
  }

  close(): void {
    this.clear();
    munmap(this.scratch);
  }
}
