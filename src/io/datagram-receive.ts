/**
 * datagram-receive: takes what waits in a bound socket, many datagrams in one call, each as (block, start, end).
 *
 * One large block is cut into places; ordinary datagrams lie in them one behind the other, so that a burst of DNS queries touches a few KiB
 * that stay warm. What is longer goes on in memory of its own and is then put together in a block of its own:
 *
 *     place 2 KiB   | name 48 bytes, padded to 64 | 1984 bytes of the datagram |      -> 64 KiB behind it, one for each place
 *
 * Rules
 * 1. A call asks for as many as the last ones brought, doubled when all came, so that a single datagram costs little.
 * 2. The block is lent for the call like any other; when somebody keeps it, the next call takes another one.
 * 3. Without a free block what waits is dropped and counted: left in the socket, it would ask for a turn again and again.
 */
import { type Blocks, LARGE_BYTES, NO_BLOCK } from '../base/blocks.ts';
import { FAMILY_V4, wordsOf } from '../base/datagram-name.ts';
import type { DatagramSocket } from '../base/wire.ts';
import {
  EAGAIN,
  EINTR,
  iovec_BYTES,
  iovec_iov_len,
  MSG_DONTWAIT,
  mmsghdr_BYTES,
  mmsghdr_msg_len,
  msghdr_msg_control,
  msghdr_msg_controllen,
  msghdr_msg_iov,
  msghdr_msg_iovlen,
  msghdr_msg_name,
  msghdr_msg_namelen,
} from '../sys/constants.generated.ts';
import { recvmmsg } from '../sys/datagram.ts';
import { type Mapping, mapLow, munmap } from '../sys/memory.ts';
import { recv } from '../sys/socket.ts';
import { CONTROL_BYTES, readLocal, readSegment } from './datagram-control.ts';
import type { DropCount } from './datagram-send.ts';

/** Datagrams of one call, at most. */
export const BATCH_MAX = 32;
const BATCH_MIN = 2;
const PLACE_BYTES = LARGE_BYTES / BATCH_MAX;
const NAME_ROOM = 64;
const FRONT_BYTES = PLACE_BYTES - NAME_ROOM;
/** sockaddr_in6. */
const NAME_BYTES = 28;
const TAIL_BYTES = LARGE_BYTES;

// The scratch mapping: mmsghdrs one behind the other, two iovecs and the control messages of each, then the tails.
const IOVECS_AT = BATCH_MAX * mmsghdr_BYTES;
const CONTROLS_AT = IOVECS_AT + BATCH_MAX * 2 * iovec_BYTES;
const TAILS_AT = CONTROLS_AT + BATCH_MAX * CONTROL_BYTES;
const SCRATCH_BYTES = TAILS_AT + BATCH_MAX * TAIL_BYTES;

export class DatagramReceiver {
  /** Why the last batch was none; 0: it was one, or nothing waits. */
  errno: number;
  private readonly blocks: Blocks;
  private readonly names: Int32Array;
  private readonly arenaAddress: number;
  private readonly drops: DropCount;
  private readonly scratch: Mapping;
  private readonly words: Int32Array;
  private want: number;
  /** The block that all headers point into. */
  private block: number;

  constructor(blocks: Blocks, arenaAddress: number, drops: DropCount) {
    this.blocks = blocks;
    this.drops = drops;
    this.names = wordsOf(blocks);
    this.arenaAddress = arenaAddress;
    this.scratch = mapLow(SCRATCH_BYTES);
    this.words = new Int32Array(this.scratch.buffer);
    this.want = BATCH_MIN;
    this.errno = 0;
    this.block = NO_BLOCK;
    const { words } = this;
    const { address } = this.scratch;
    for (let i = 0; i < BATCH_MAX; i++) {
      const header = (i * mmsghdr_BYTES) >> 2;
      words[header + (msghdr_msg_iov >> 2)] = address + IOVECS_AT + i * 2 * iovec_BYTES;
      words[header + (msghdr_msg_iovlen >> 2)] = 2;
      words[header + (msghdr_msg_control >> 2)] = address + CONTROLS_AT + i * CONTROL_BYTES;
      this.rearm(i);
      const iovec = (IOVECS_AT + i * 2 * iovec_BYTES) >> 2;
      words[iovec + (iovec_iov_len >> 2)] = FRONT_BYTES;
      words[iovec + (iovec_BYTES >> 2)] = address + TAILS_AT + i * TAIL_BYTES;
      words[iovec + ((iovec_BYTES + iovec_iov_len) >> 2)] = TAIL_BYTES;
    }
  }

  /** Receives one batch and hands it to the socket's owner, whoever that is by then. True when more may wait. */
  receive(fd: number, socket: DatagramSocket): boolean {
    const { blocks, want } = this;
    this.errno = 0;
    const block = blocks.takeLarge();
    if (block === NO_BLOCK) return this.discard(fd);
    if (block !== this.block) this.point(block);
    const count = recvmmsg(fd, this.scratch.address, want, MSG_DONTWAIT);
    if (count < 0 && count !== -EAGAIN && count !== -EINTR) this.errno = -count;
    if (count === want) this.want = Math.min(want * 2, BATCH_MAX);
    else if (count < want >> 1) this.want = Math.max(want >> 1, BATCH_MIN);
    for (let i = 0; i < count; i++) this.deliver(i, block, socket);
    blocks.release(block);
    return count === want;
  }

  close(): void {
    munmap(this.scratch);
  }

  private deliver(i: number, block: number, socket: DatagramSocket): void {
    const { words, names, blocks } = this;
    const header = (i * mmsghdr_BYTES) >> 2;
    const length = words[header + (mmsghdr_msg_len >> 2)]!;
    const controlBytes = words[header + (msghdr_msg_controllen >> 2)]!;
    const place = blocks.start(block) + i * PLACE_BYTES;
    const name = place >> 2;
    if ((names[name]! & 0xffff) === FAMILY_V4) names[name + 4] = names[name + 5] = names[name + 6] = 0;
    const control = (CONTROLS_AT + i * CONTROL_BYTES) >> 2;
    readLocal(words, control, controlBytes, names, name);
    const segment = controlBytes === 0 ? 0 : readSegment(words, control, controlBytes);
    this.rearm(i);
    const start = place + NAME_ROOM;
    if (length <= FRONT_BYTES) socket.owner.onDatagram(socket, block, start, start + length, segment, name);
    else this.deliverLong(i, start, length, segment, name, socket);
  }

  /** Puts both parts together. Without a free block the datagram is lost, like one the socket had no room for. */
  private deliverLong(i: number, front: number, length: number, segment: number, name: number, socket: DatagramSocket): void {
    const { blocks, scratch } = this;
    const whole = blocks.takeLarge();
    if (whole === NO_BLOCK) {
      this.drops.dropped += segment === 0 ? 1 : Math.ceil(length / segment);
      return;
    }
    const start = blocks.start(whole);
    const tail = TAILS_AT + i * TAIL_BYTES;
    blocks.bytes.copyWithin(start, front, front + FRONT_BYTES);
    blocks.bytes.set(scratch.bytes.subarray(tail, tail + length - FRONT_BYTES), start + FRONT_BYTES);
    socket.owner.onDatagram(socket, whole, start, start + length, segment, name);
    blocks.release(whole);
  }

  private discard(fd: number): boolean {
    for (let i = 0; i < BATCH_MAX; i++) {
      if (recv(fd, this.scratch.address, 0, MSG_DONTWAIT) < 0) return false;
      this.drops.dropped++;
    }
    return true;
  }

  /** What the kernel overwrote. */
  private rearm(i: number): void {
    const { words } = this;
    const header = (i * mmsghdr_BYTES) >> 2;
    words[header + (msghdr_msg_namelen >> 2)] = NAME_BYTES;
    words[header + (msghdr_msg_controllen >> 2)] = CONTROL_BYTES;
  }

  private point(block: number): void {
    const { words } = this;
    const first = this.arenaAddress + this.blocks.start(block);
    this.block = block;
    for (let i = 0; i < BATCH_MAX; i++) {
      words[(i * mmsghdr_BYTES + msghdr_msg_name) >> 2] = first + i * PLACE_BYTES;
      words[(IOVECS_AT + i * 2 * iovec_BYTES) >> 2] = first + i * PLACE_BYTES + NAME_ROOM;
    }
  }
}
