/**
 * uring-message: memory for sends of more than one segment: a msghdr and its iovec, below 4 GiB, reused.
 *
 *     slot   | msghdr 56 bytes, padded to 64 | iovec 0 | iovec 1 | ... SEGMENTS_MAX |
 *
 * The kernel copies msghdr and iovec when it takes the SQE, yet a slot is kept until the completion: it costs nothing and does not
 * depend on it.
 */
import { iovec_BYTES, msghdr_msg_iov, msghdr_msg_iovlen } from '../sys/constants.generated.ts';
import { type Mapping, mapLow, munmap } from '../sys/memory.ts';

/** Segments of one send. A head and some pieces of body; more go with the next send. Below UIO_FASTIOV (8) the kernel allocates nothing. */
export const SEGMENTS_MAX = 8;
/** No slot is free: send one segment instead. */
export const NO_MESSAGE = -1;

const HEAD_BYTES = 64;
const SLOT_BYTES = HEAD_BYTES + SEGMENTS_MAX * iovec_BYTES;
const SLOT_WORDS = SLOT_BYTES >> 2;

export class Messages {
  private readonly map: Mapping;
  private readonly words: Int32Array;
  private readonly free: Int32Array;
  private freeCount: number;

  /** `count`: sends of several segments in flight at a time. */
  constructor(count: number) {
    this.map = mapLow(count * SLOT_BYTES);
    this.words = new Int32Array(this.map.buffer);
    this.free = new Int32Array(count);
    for (let i = 0; i < count; i++) {
      this.free[i] = count - 1 - i;
      // All other fields of msghdr stay 0: no name, no control message.
      this.words[i * SLOT_WORDS + (msghdr_msg_iov >> 2)] = this.map.address + i * SLOT_BYTES + HEAD_BYTES;
    }
    this.freeCount = count;
  }

  take(): number {
    return this.freeCount === 0 ? NO_MESSAGE : this.free[--this.freeCount]!;
  }
  release(slot: number): void {
    this.free[this.freeCount++] = slot;
  }
  /** Sets segment `index` of a slot. */
  setSegment(slot: number, index: number, address: number, length: number): void {
    const at = slot * SLOT_WORDS + (HEAD_BYTES >> 2) + index * (iovec_BYTES >> 2);
    this.words[at] = address;
    this.words[at + 2] = length;
  }
  setCount(slot: number, count: number): void {
    this.words[slot * SLOT_WORDS + (msghdr_msg_iovlen >> 2)] = count;
  }
  address(slot: number): number {
    return this.map.address + slot * SLOT_BYTES;
  }
  close(): void {
    munmap(this.map);
  }
}
