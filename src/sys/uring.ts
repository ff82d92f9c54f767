/**
 * uring: one io_uring(7) as it is: set up, fill submission entries, enter, read completions, register. No policy.
 *
 *     SQE words (32 bits)   0 opcode|flags<<8|ioprio<<16   1 fd   2,3 off   4,5 addr   6 len   7 flags of the operation
 *                           8,9 user_data   10 buffer group|personality   11 file_index   12..15 always 0 here
 *     CQE words             0,1 user_data   2 res   3 flags
 *
 * Rules
 * 1. What an SQE points at must stay until the SQE is submitted, and until its completion where the kernel reads it late (buffers).
 * 2. user_data is two 32-bit halves, written and read as such; no BigInt is made.
 * 3. The thread that made the ring is the only one that enters it (SINGLE_ISSUER, DEFER_TASKRUN).
 */
import {
  IO_URING_OP_SUPPORTED,
  IORING_ENTER_GETEVENTS,
  IORING_FEAT_NODROP,
  IORING_FEAT_SINGLE_MMAP,
  IORING_OFF_SQ_RING,
  IORING_OFF_SQES,
  IORING_REGISTER_PBUF_RING,
  IORING_REGISTER_PROBE,
  IORING_SETUP_CQSIZE,
  IORING_SETUP_DEFER_TASKRUN,
  IORING_SETUP_SINGLE_ISSUER,
  IORING_SETUP_SUBMIT_ALL,
  IORING_SQ_CQ_OVERFLOW,
  IORING_UNREGISTER_PBUF_RING,
  io_cqring_offsets_cqes,
  io_cqring_offsets_head,
  io_cqring_offsets_overflow,
  io_cqring_offsets_tail,
  io_sqring_offsets_array,
  io_sqring_offsets_flags,
  io_sqring_offsets_tail,
  io_uring_buf_reg_BYTES,
  io_uring_buf_reg_bgid,
  io_uring_buf_reg_ring_addr,
  io_uring_buf_reg_ring_entries,
  io_uring_cqe_BYTES,
  io_uring_params_BYTES,
  io_uring_params_cq_entries,
  io_uring_params_cq_off,
  io_uring_params_features,
  io_uring_params_flags,
  io_uring_params_sq_entries,
  io_uring_params_sq_off,
  io_uring_probe_BYTES,
  io_uring_probe_op_BYTES,
  io_uring_probe_op_flags,
  io_uring_sqe_BYTES,
  MAP_SHARED,
  PROT_READ,
  PROT_WRITE,
  SYS_io_uring_enter,
  SYS_io_uring_register,
  SYS_io_uring_setup,
} from './constants.generated.ts';
import { errno, fast } from './ffi.ts';
import { close } from './libc.ts';
import { low, lowView, type Mapping, mmap, munmap } from './memory.ts';
import { SystemError } from './system-error.ts';
import { IORING_SETUP_NO_SQARRAY } from './uring-newer.ts';

/** 32-bit words of an SQE and a CQE. */
export const SQE_WORDS: number = io_uring_sqe_BYTES / 4;
export const CQE_WORDS: number = io_uring_cqe_BYTES / 4;

// syscall(2) takes its number as the first of six arguments here, the most that node:ffi calls fast. io_uring_enter's sixth (the size
// of the signal mask) is read only when there is a mask, so it may be left out.
const enterRaw = fast<(number: number, fd: number, submit: number, complete: number, flags: number, mask: number) => number>(
  'syscall',
  ['int32', 'int32', 'uint32', 'uint32', 'uint32', 'uint32'],
  'int32',
);
const setupRaw = fast<(number: number, entries: number, params: number) => number>(
  'syscall',
  ['int32', 'uint32', 'uint32'],
  'int32',
);
const registerRaw = fast<(number: number, fd: number, opcode: number, at: number, count: number) => number>(
  'syscall',
  ['int32', 'int32', 'uint32', 'uint32', 'uint32'],
  'int32',
);

/** What a ring is asked to be. */
export interface RingOptions {
  readonly sqEntries: number;
  readonly cqEntries: number;
}

// From the best to what Linux 5.19 has. A kernel that does not know a flag says EINVAL.
const flagSets: readonly number[] = [
  IORING_SETUP_SINGLE_ISSUER |
    IORING_SETUP_DEFER_TASKRUN |
    IORING_SETUP_CQSIZE |
    IORING_SETUP_SUBMIT_ALL |
    IORING_SETUP_NO_SQARRAY,
  IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_CQSIZE | IORING_SETUP_SUBMIT_ALL,
  IORING_SETUP_CQSIZE | IORING_SETUP_SUBMIT_ALL,
];

export class Ring {
  readonly fd: number;
  /** Set-up flags the kernel took, and IORING_FEAT_ it has. */
  readonly flags: number;
  readonly features: number;
  readonly sqEntries: number;
  readonly cqEntries: number;
  /** CQEs start at word {@link cqesAt} of this, {@link CQE_WORDS} each. */
  readonly words: Int32Array;
  readonly cqesAt: number;
  readonly cqMask: number;
  /** System calls made by enter(). */
  enters: number;

  private readonly ringMap: Mapping;
  private readonly sqeMap: Mapping;
  private readonly sqes: Int32Array;
  private readonly sqMask: number;
  private readonly sqTailAt: number;
  private readonly sqFlagsAt: number;
  private readonly cqHeadAt: number;
  private readonly cqTailAt: number;
  private readonly cqOverflowAt: number;
  private sqTail: number;
  private unsubmitted: number;

  /** Throws SystemError: EPERM or ENOSYS where io_uring is forbidden or missing, EINVAL where the kernel is too old. */
  constructor(options: RingOptions) {
    const { fd, flags } = setUp(options);
    this.fd = fd;
    this.flags = flags;
    this.sqEntries = lowView.getUint32(io_uring_params_sq_entries, true);
    this.cqEntries = lowView.getUint32(io_uring_params_cq_entries, true);
    this.features = lowView.getUint32(io_uring_params_features, true);
    const needed = IORING_FEAT_SINGLE_MMAP | IORING_FEAT_NODROP;
    if ((this.features & needed) !== needed) {
      close(fd);
      throw new SystemError('io_uring_setup', 22, 'the kernel is older than Linux 5.5');
    }
    const sq = (field: number) => lowView.getUint32(io_uring_params_sq_off + field, true);
    const cq = (field: number) => lowView.getUint32(io_uring_params_cq_off + field, true);
    const arrayAt = sq(io_sqring_offsets_array);
    const cqesAt = cq(io_cqring_offsets_cqes);
    this.sqTailAt = sq(io_sqring_offsets_tail) >> 2;
    this.sqFlagsAt = sq(io_sqring_offsets_flags) >> 2;
    this.cqHeadAt = cq(io_cqring_offsets_head) >> 2;
    this.cqTailAt = cq(io_cqring_offsets_tail) >> 2;
    this.cqOverflowAt = cq(io_cqring_offsets_overflow) >> 2;
    this.cqesAt = cqesAt >> 2;
    this.cqMask = this.cqEntries - 1;
    this.sqMask = this.sqEntries - 1;
    const ringBytes = Math.max(arrayAt + this.sqEntries * 4, cqesAt + this.cqEntries * io_uring_cqe_BYTES);
    this.ringMap = mmap(ringBytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, IORING_OFF_SQ_RING);
    this.sqeMap = mmap(this.sqEntries * io_uring_sqe_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, IORING_OFF_SQES);
    this.words = new Int32Array(this.ringMap.buffer, 0, ringBytes >> 2);
    this.sqes = new Int32Array(this.sqeMap.buffer);
    if ((flags & IORING_SETUP_NO_SQARRAY) === 0) {
      for (let i = 0; i < this.sqEntries; i++) this.words[(arrayAt >> 2) + i] = i;
    }
    this.sqTail = 0;
    this.unsubmitted = 0;
    this.enters = 0;
  }

  /**
   * Writes one SQE. `head` is opcode | flags << 8 | ioprio << 16. Addresses are below 4 GiB. Enters the ring when it is full.
   * Everything behind the tag stays 0.
   */
  put(
    head: number,
    fd: number,
    off: number,
    offHigh: number,
    address: number,
    length: number,
    operationFlags: number,
    tagLow: number,
    tagHigh: number,
  ): void {
    if (this.unsubmitted === this.sqEntries) this.makeRoom();
    const { sqes } = this;
    const at = (this.sqTail & this.sqMask) << 4;
    sqes[at] = head;
    sqes[at + 1] = fd;
    sqes[at + 2] = off;
    sqes[at + 3] = offHigh;
    sqes[at + 4] = address;
    sqes[at + 5] = 0;
    sqes[at + 6] = length;
    sqes[at + 7] = operationFlags;
    sqes[at + 8] = tagLow;
    sqes[at + 9] = tagHigh;
    sqes[at + 10] = 0;
    sqes[at + 11] = 0;
    this.sqTail = (this.sqTail + 1) | 0;
    this.unsubmitted++;
  }

  /** Writes an SQE that cancels the operation with this tag: user_data of the target stands in the address. */
  putCancel(head: number, targetLow: number, targetHigh: number, tagLow: number, tagHigh: number): void {
    this.put(head, -1, 0, 0, targetLow, 0, 0, tagLow, tagHigh);
    this.sqes[(((this.sqTail - 1) & this.sqMask) << 4) + 5] = targetHigh;
  }

  /** Writes the SQE of a receive; `limit` (optlen) is the total a multishot takes before it ends by itself, 0 for no limit. */
  putReceive(head: number, fd: number, length: number, limit: number, tagLow: number, tagHigh: number): void {
    this.put(head, fd, 0, 0, 0, length, 0, tagLow, tagHigh);
    this.sqes[(((this.sqTail - 1) & this.sqMask) << 4) + 11] = limit;
  }

  /** Writes the SQE of an operation that takes its buffers from `group`. */
  putGrouped(head: number, fd: number, address: number, group: number, tagLow: number, tagHigh: number): void {
    this.put(head, fd, 0, 0, address, 0, 0, tagLow, tagHigh);
    this.sqes[(((this.sqTail - 1) & this.sqMask) << 4) + 10] = group;
  }

  /** Place of the next SQE, 0 to sqEntries - 1: memory kept per place is free again when the place is. Makes room first. */
  nextPlace(): number {
    if (this.unsubmitted === this.sqEntries) this.makeRoom();
    return this.sqTail & this.sqMask;
  }

  /** Submits what was put, and waits until `complete` completions stand in the ring. Returns 0 or -errno; EINTR is none. */
  enter(complete: number): number {
    Atomics.store(this.words, this.sqTailAt, this.sqTail);
    this.enters++;
    const submitted = enterRaw(SYS_io_uring_enter, this.fd, this.unsubmitted, complete, IORING_ENTER_GETEVENTS, 0);
    if (submitted >= 0) {
      this.unsubmitted -= submitted;
      return 0;
    }
    return -errno[0]!;
  }

  /** The submission ring is full in the middle of a turn: hand over what is there. Every operation in it goes its way. */
  private makeRoom(): void {
    // EBUSY and EAGAIN mean that the kernel is short of memory or that completions overflow: entering again drains them.
    for (let attempt = 0; attempt < 1000 && this.unsubmitted === this.sqEntries; attempt++) this.enter(0);
    if (this.unsubmitted === this.sqEntries) throw new SystemError('io_uring_enter', errno[0]!, 'the ring takes no submissions');
  }

  /** SQEs written and not yet submitted. */
  get waiting(): number {
    return this.unsubmitted;
  }

  /** First completion not yet seen. */
  get cqHead(): number {
    return this.words[this.cqHeadAt]!;
  }
  /** One past the last completion. */
  cqTail(): number {
    return Atomics.load(this.words, this.cqTailAt);
  }
  /** Gives the kernel the room of completions before `head`. */
  cqSeen(head: number): void {
    Atomics.store(this.words, this.cqHeadAt, head);
  }

  /** Completions wait outside the ring because it is full; the next enter brings them in (IORING_FEAT_NODROP). */
  get isOverflown(): boolean {
    return (Atomics.load(this.words, this.sqFlagsAt) & IORING_SQ_CQ_OVERFLOW) !== 0;
  }
  /** Completions the kernel had to drop for want of memory. Never expected; a lost completion is a lost wire. */
  get lost(): number {
    return this.words[this.cqOverflowAt]!;
  }

  /** Registers a provided-buffer ring of `entries` (a power of two) at `address` as group `group` (Linux 5.19). 0 or -errno. */
  registerBuffers(group: number, address: number, entries: number): number {
    low.bytes.fill(0, 0, io_uring_buf_reg_BYTES);
    lowView.setBigUint64(io_uring_buf_reg_ring_addr, BigInt(address), true);
    lowView.setUint32(io_uring_buf_reg_ring_entries, entries, true);
    lowView.setUint16(io_uring_buf_reg_bgid, group, true);
    return registerRaw(SYS_io_uring_register, this.fd, IORING_REGISTER_PBUF_RING, low.address, 1) < 0 ? -errno[0]! : 0;
  }

  unregisterBuffers(group: number): void {
    low.bytes.fill(0, 0, io_uring_buf_reg_BYTES);
    lowView.setUint16(io_uring_buf_reg_bgid, group, true);
    registerRaw(SYS_io_uring_register, this.fd, IORING_UNREGISTER_PBUF_RING, low.address, 1);
  }

  /** Which of these opcodes the kernel lacks (Linux 5.6 can tell). */
  missing(opcodes: readonly number[]): number[] {
    const opsMax = 256;
    low.bytes.fill(0, 0, io_uring_probe_BYTES + opsMax * io_uring_probe_op_BYTES);
    if (registerRaw(SYS_io_uring_register, this.fd, IORING_REGISTER_PROBE, low.address, opsMax) < 0) return [...opcodes];
    return opcodes.filter((opcode) => {
      const flagsAt = io_uring_probe_BYTES + opcode * io_uring_probe_op_BYTES + io_uring_probe_op_flags;
      return (lowView.getUint16(flagsAt, true) & IO_URING_OP_SUPPORTED) === 0;
    });
  }

  /** Closes the ring. The kernel cancels what is still pending, later: memory it may write to must stay, so drain first. */
  close(): void {
    close(this.fd);
    munmap(this.ringMap);
    munmap(this.sqeMap);
  }
}

function setUp(options: RingOptions): { fd: number; flags: number } {
  let failure = 0;
  for (const flags of flagSets) {
    low.bytes.fill(0, 0, io_uring_params_BYTES);
    lowView.setUint32(io_uring_params_flags, flags, true);
    lowView.setUint32(io_uring_params_cq_entries, options.cqEntries, true);
    const fd = setupRaw(SYS_io_uring_setup, options.sqEntries, low.address);
    if (fd >= 0) return { fd, flags };
    failure = errno[0]!;
    if (failure !== 22) break;
  }
  throw new SystemError('io_uring_setup', failure);
}
