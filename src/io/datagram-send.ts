/**
 * datagram-send: datagrams from bound sockets, gathered over a turn and sent with one call.
 *
 * Rules
 * 1. Names are copied at once, blocks are held until flush().
 * 2. What the kernel has no room for is dropped and counted. A run that it refuses (no checksum offload, a datagram beyond the MTU of the way)
 *    is sent datagram by datagram.
 */
import type { Blocks } from '../base/blocks.ts';
import { FAMILY_V4 } from '../base/datagram-name.ts';
import {
  EAGAIN,
  EINVAL,
  EIO,
  EMSGSIZE,
  EOPNOTSUPP,
  iovec_BYTES,
  iovec_iov_len,
  MSG_DONTWAIT,
  MSG_NOSIGNAL,
  mmsghdr_BYTES,
  msghdr_msg_control,
  msghdr_msg_controllen,
  msghdr_msg_iov,
  msghdr_msg_iovlen,
  msghdr_msg_name,
  msghdr_msg_namelen,
} from '../sys/constants.generated.ts';
import { sendmmsg } from '../sys/datagram.ts';
import { type Mapping, mapLow, munmap } from '../sys/memory.ts';
import { sendmsg } from '../sys/socket.ts';
import { CONTROL_BYTES, SEGMENT_BYTES, writeControl } from './datagram-control.ts';

/** Datagrams of one call. */
const BATCH_MAX = 64;
const NAME_ROOM = 32;
const NAME_V4_BYTES = 16;
const NAME_V6_BYTES = 28;
const FLAGS = MSG_NOSIGNAL | MSG_DONTWAIT;

// The scratch mapping: mmsghdrs one behind the other, then iovec, name and control messages of each.
const IOVECS_AT = BATCH_MAX * mmsghdr_BYTES;
const NAMES_AT = IOVECS_AT + BATCH_MAX * iovec_BYTES;
const CONTROLS_AT = NAMES_AT + BATCH_MAX * NAME_ROOM;
const SCRATCH_BYTES = CONTROLS_AT + BATCH_MAX * CONTROL_BYTES;

/** Where drops are counted. */
export interface DropCount {
  dropped: number;
}

export class DatagramSender {
  /** Datagrams that wait for flush(). */
  count: number;
  private readonly blocks: Blocks;
  private readonly arenaAddress: number;
  private readonly drops: DropCount;
  private readonly scratch: Mapping;
  private readonly words: Int32Array;
  private readonly held: Int32Array;
  private readonly segments: Int32Array;
  private fd: number;

  constructor(blocks: Blocks, arenaAddress: number, drops: DropCount) {
    this.blocks = blocks;
    this.arenaAddress = arenaAddress;
    this.drops = drops;
    this.scratch = mapLow(SCRATCH_BYTES);
    this.words = new Int32Array(this.scratch.buffer);
    this.held = new Int32Array(BATCH_MAX);
    this.segments = new Int32Array(BATCH_MAX);
    this.count = 0;
    this.fd = -1;
    const { words } = this;
    const { address } = this.scratch;
    for (let i = 0; i < BATCH_MAX; i++) {
      const header = (i * mmsghdr_BYTES) >> 2;
      words[header + (msghdr_msg_name >> 2)] = address + NAMES_AT + i * NAME_ROOM;
      words[header + (msghdr_msg_iov >> 2)] = address + IOVECS_AT + i * iovec_BYTES;
      words[header + (msghdr_msg_iovlen >> 2)] = 1;
      words[header + (msghdr_msg_control >> 2)] = address + CONTROLS_AT + i * CONTROL_BYTES;
    }
  }

  add(fd: number, block: number, start: number, end: number, segment: number, names: Int32Array, at: number): void {
    if (this.count === BATCH_MAX || fd !== this.fd) this.flush();
    const { words, arenaAddress } = this;
    const i = this.count++;
    this.fd = fd;
    this.held[i] = block;
    this.segments[i] = segment;
    this.blocks.retain(block);
    const isV4 = (names[at]! & 0xffff) === FAMILY_V4;
    const header = (i * mmsghdr_BYTES) >> 2;
    words[header + (msghdr_msg_namelen >> 2)] = isV4 ? NAME_V4_BYTES : NAME_V6_BYTES;
    words[header + (msghdr_msg_controllen >> 2)] = writeControl(
      words,
      (CONTROLS_AT + i * CONTROL_BYTES) >> 2,
      segment,
      names,
      at,
    );
    const name = (NAMES_AT + i * NAME_ROOM) >> 2;
    words[name] = names[at]!;
    words[name + 1] = names[at + 1]!;
    words[name + 2] = names[at + 2]!;
    words[name + 3] = names[at + 3]!;
    if (!isV4) {
      words[name + 4] = names[at + 4]!;
      words[name + 5] = names[at + 5]!;
      words[name + 6] = names[at + 6]!;
    }
    const iovec = (IOVECS_AT + i * iovec_BYTES) >> 2;
    words[iovec] = arenaAddress + start;
    words[iovec + (iovec_iov_len >> 2)] = end - start;
  }

  flush(): void {
    const { count } = this;
    if (count === 0) return;
    const { fd, scratch } = this;
    let done = 0;
    while (done < count) {
      const sent = sendmmsg(fd, scratch.address + done * mmsghdr_BYTES, count - done, FLAGS);
      if (sent > 0) done += sent;
      else if (sent === -EAGAIN) {
        this.drops.dropped += count - done;
        break;
      } else {
        this.refused(done, -sent);
        done++;
      }
    }
    this.count = 0;
    for (let i = 0; i < count; i++) this.blocks.release(this.held[i]!);
  }

  close(): void {
    for (let i = 0; i < this.count; i++) this.blocks.release(this.held[i]!);
    this.count = 0;
    munmap(this.scratch);
  }

  /** One message was not taken. */
  private refused(i: number, errno: number): void {
    const { words, drops } = this;
    const header = (i * mmsghdr_BYTES) >> 2;
    const segment = this.segments[i]!;
    if (segment === 0 || !isAboutRuns(errno)) {
      drops.dropped++;
      return;
    }
    words[header + (msghdr_msg_controllen >> 2)]! -= SEGMENT_BYTES;
    const iovec = (IOVECS_AT + i * iovec_BYTES) >> 2;
    const lengthWord = iovec + (iovec_iov_len >> 2);
    let left = words[lengthWord]!;
    while (left > 0) {
      words[lengthWord] = Math.min(segment, left);
      if (sendmsg(this.fd, this.scratch.address + i * mmsghdr_BYTES, FLAGS) < 0) drops.dropped++;
      words[iovec]! += segment;
      left -= segment;
    }
  }
}

/** May a single datagram pass where the run did not? */
export function isAboutRuns(errno: number): boolean {
  return errno === EIO || errno === EINVAL || errno === EMSGSIZE || errno === EOPNOTSUPP;
}
