/**
 * datagram-send: datagrams from bound sockets, gathered over a turn and sent with one call. Those that go to one client one after the other become one message
 * (a run, see datagram-run.ts).
 *
 * Rules
 * 1. Names are copied at once, blocks are held until flush().
 * 2. What the kernel has no room for is dropped and counted.
 * 3. A run that is refused is sent datagram by datagram, and for a while none is made.
 */
import type { Blocks } from '../base/blocks.ts';
import { FAMILY_V4, NAME_WORDS } from '../base/datagram-name.ts';
import {
  EAGAIN,
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
import { CONTROL_BYTES, SEGMENT_BYTES, writeControl, writeSegment } from './datagram-control.ts';
import { isAboutRuns, RUN_BYTES_MAX, RUN_COUNT_MAX } from './datagram-run.ts';

/** Messages of one call, and datagrams in them. */
const MESSAGES_MAX = 64;
const PIECES_MAX = 256;
/** Datagrams that go by themselves after a run was refused. */
const RESTRAINT = 1024;
const NAME_ROOM = 32;
const NAME_V4_BYTES = 16;
const NAME_V6_BYTES = 28;
const FLAGS = MSG_NOSIGNAL | MSG_DONTWAIT;

// The scratch mapping: mmsghdrs one behind the other, name and control messages of each, then iovecs, one for each piece.
const NAMES_AT = MESSAGES_MAX * mmsghdr_BYTES;
const CONTROLS_AT = NAMES_AT + MESSAGES_MAX * NAME_ROOM;
const IOVECS_AT = CONTROLS_AT + MESSAGES_MAX * CONTROL_BYTES;
const SCRATCH_BYTES = IOVECS_AT + PIECES_MAX * iovec_BYTES;

/** Where drops are counted. */
export interface DropCount {
  dropped: number;
}

export class DatagramSender {
  /** Messages that wait for flush(). */
  count: number;
  private readonly blocks: Blocks;
  private readonly arenaAddress: number;
  private readonly drops: DropCount;
  private readonly scratch: Mapping;
  private readonly words: Int32Array;
  /** By piece. */
  private readonly held: Int32Array;
  private pieces: number;
  /** By message: the length of its datagrams, 0 when it is a single one. */
  private readonly segments: Int32Array;
  private fd: number;
  // The last message: to whom, the length of its first datagram, all bytes, and whether it takes another datagram.
  private readonly lastName: Int32Array;
  private lastLength: number;
  private lastBytes: number;
  private isOpen: boolean;
  private restraint: number;

  constructor(blocks: Blocks, arenaAddress: number, drops: DropCount) {
    this.blocks = blocks;
    this.arenaAddress = arenaAddress;
    this.drops = drops;
    this.scratch = mapLow(SCRATCH_BYTES);
    this.words = new Int32Array(this.scratch.buffer);
    this.held = new Int32Array(PIECES_MAX);
    this.segments = new Int32Array(MESSAGES_MAX);
    this.lastName = new Int32Array(NAME_WORDS);
    this.count = 0;
    this.pieces = 0;
    this.fd = -1;
    this.lastLength = 0;
    this.lastBytes = 0;
    this.isOpen = false;
    this.restraint = 0;
    const { words } = this;
    const { address } = this.scratch;
    for (let i = 0; i < MESSAGES_MAX; i++) {
      const header = (i * mmsghdr_BYTES) >> 2;
      words[header + (msghdr_msg_name >> 2)] = address + NAMES_AT + i * NAME_ROOM;
      words[header + (msghdr_msg_control >> 2)] = address + CONTROLS_AT + i * CONTROL_BYTES;
    }
  }

  add(fd: number, block: number, start: number, end: number, segment: number, names: Int32Array, at: number): void {
    const length = end - start;
    if (this.isOpen && fd === this.fd && segment === 0 && this.extends(length, names, at)) {
      this.append(block, start, length);
      return;
    }
    if (this.count === MESSAGES_MAX || this.pieces === PIECES_MAX || fd !== this.fd) this.flush();
    this.fd = fd;
    this.begin(length, segment, names, at);
    this.piece(block, start, length);
  }

  flush(): void {
    const { count, fd, scratch } = this;
    if (count === 0) return;
    let done = 0;
    while (done < count) {
      const sent = sendmmsg(fd, scratch.address + done * mmsghdr_BYTES, count - done, FLAGS);
      if (sent > 0) done += sent;
      else if (sent === -EAGAIN) {
        for (; done < count; done++) this.drops.dropped += this.countOf(done);
      } else {
        this.refused(done, -sent);
        done++;
      }
    }
    this.clear();
  }

  close(): void {
    this.clear();
    munmap(this.scratch);
  }

  private clear(): void {
    for (let i = 0; i < this.pieces; i++) this.blocks.release(this.held[i]!);
    this.count = 0;
    this.pieces = 0;
    this.isOpen = false;
  }

  /** Is this the next datagram of the last message? */
  private extends(length: number, names: Int32Array, at: number): boolean {
    if (length > this.lastLength || length === 0 || this.pieces === PIECES_MAX) return false;
    if (this.lastBytes + length > RUN_BYTES_MAX) return false;
    const { lastName } = this;
    for (let i = 0; i < NAME_WORDS; i++) if (names[at + i] !== lastName[i]) return false;
    return true;
  }

  private begin(length: number, segment: number, names: Int32Array, at: number): void {
    const { words, lastName } = this;
    const i = this.count++;
    const isV4 = (names[at]! & 0xffff) === FAMILY_V4;
    const header = (i * mmsghdr_BYTES) >> 2;
    const control = (CONTROLS_AT + i * CONTROL_BYTES) >> 2;
    words[header + (msghdr_msg_namelen >> 2)] = isV4 ? NAME_V4_BYTES : NAME_V6_BYTES;
    words[header + (msghdr_msg_iov >> 2)] = this.scratch.address + IOVECS_AT + this.pieces * iovec_BYTES;
    words[header + (msghdr_msg_iovlen >> 2)] = 0;
    words[header + (msghdr_msg_controllen >> 2)] = writeControl(words, control, segment, names, at);
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
    this.segments[i] = segment;
    this.isOpen = segment === 0 && length > 0 && this.restraint === 0;
    if (this.restraint > 0) this.restraint--;
    if (!this.isOpen) return;
    for (let k = 0; k < NAME_WORDS; k++) lastName[k] = names[at + k]!;
    this.lastLength = length;
    this.lastBytes = length;
  }

  private append(block: number, start: number, length: number): void {
    const { words } = this;
    const i = this.count - 1;
    const header = (i * mmsghdr_BYTES) >> 2;
    if (this.segments[i] === 0) {
      this.segments[i] = this.lastLength;
      const controlWord = header + (msghdr_msg_controllen >> 2);
      const control = (CONTROLS_AT + i * CONTROL_BYTES + words[controlWord]!) >> 2;
      words[controlWord]! += writeSegment(words, control, this.lastLength);
    }
    this.piece(block, start, length);
    this.lastBytes += length;
    this.isOpen = length === this.lastLength && words[header + (msghdr_msg_iovlen >> 2)]! < RUN_COUNT_MAX;
  }

  /** One more piece of the last message. */
  private piece(block: number, start: number, length: number): void {
    const { words } = this;
    const piece = this.pieces++;
    this.held[piece] = block;
    this.blocks.retain(block);
    const iovec = (IOVECS_AT + piece * iovec_BYTES) >> 2;
    words[iovec] = this.arenaAddress + start;
    words[iovec + (iovec_iov_len >> 2)] = length;
    words[((this.count - 1) * mmsghdr_BYTES + msghdr_msg_iovlen) >> 2]! += 1;
  }

  /** Datagrams of a message. */
  private countOf(i: number): number {
    const { words } = this;
    const segment = this.segments[i]!;
    if (segment === 0) return 1;
    const header = (i * mmsghdr_BYTES) >> 2;
    const iovec = (words[header + (msghdr_msg_iov >> 2)]! - this.scratch.address) >> 2;
    const pieces = words[header + (msghdr_msg_iovlen >> 2)]!;
    return pieces > 1 ? pieces : Math.ceil(words[iovec + (iovec_iov_len >> 2)]! / segment);
  }

  /** One message was not taken. */
  private refused(i: number, errno: number): void {
    const { words, drops, fd } = this;
    const segment = this.segments[i]!;
    if (segment === 0 || !isAboutRuns(errno)) {
      drops.dropped += this.countOf(i);
      return;
    }
    this.restraint = RESTRAINT;
    const header = (i * mmsghdr_BYTES) >> 2;
    const iovWord = header + (msghdr_msg_iov >> 2);
    const count = words[header + (msghdr_msg_iovlen >> 2)]!;
    words[header + (msghdr_msg_controllen >> 2)]! -= SEGMENT_BYTES;
    words[header + (msghdr_msg_iovlen >> 2)] = 1;
    for (let piece = 0; piece < count; piece++) {
      const iovec = (words[iovWord]! - this.scratch.address) >> 2;
      const lengthWord = iovec + (iovec_iov_len >> 2);
      for (let left = words[lengthWord]!; left > 0; left -= segment) {
        words[lengthWord] = Math.min(segment, left);
        if (sendmsg(fd, this.scratch.address + i * mmsghdr_BYTES, FLAGS) < 0) drops.dropped++;
        words[iovec]! += segment;
      }
      words[iovWord]! += iovec_BYTES;
    }
  }
}
