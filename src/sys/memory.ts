/**
 * memory: mapped memory. Private memory below 4 GiB, whose addresses are plain Numbers, for arenas and for what the kernel points at;
 * and shared memory by descriptor (memfd), for the state table.
 *
 * The ArrayBuffer over a mapping does not keep the mapping: who unmaps must have dropped every view, a later access is a crash.
 */
import {
  EEXIST,
  F_ADD_SEALS,
  F_SEAL_GROW,
  F_SEAL_SHRINK,
  MAP_ANONYMOUS,
  MAP_FIXED_NOREPLACE,
  MAP_NORESERVE,
  MAP_PRIVATE,
  MAP_SHARED,
  MFD_ALLOW_SEALING,
  MFD_CLOEXEC,
  PROT_READ,
  PROT_WRITE,
} from './constants.generated.ts';
import { errno, fast, view } from './ffi.ts';
import { SystemError } from './system-error.ts';

// x86 only, so not in every header.
const MAP_32BIT = 0x40;
const MAP_FAILED = 0xffff_ffff_ffff_ffffn;
/** Where to look for room below 4 GiB when the kernel has no MAP_32BIT (arm64); programs are linked below the first. */
const LOW_FIRST = 0x1000_0000;
const LOW_END = 0xffff_0000;
const LOW_STEP = 0x0400_0000;

const mmapRaw = fast<(at: bigint, length: bigint, protection: number, flags: number, fd: number, offset: bigint) => bigint>(
  'mmap',
  ['pointer', 'uint64', 'int32', 'int32', 'int32', 'int64'],
  'pointer',
);
const munmapRaw = fast<(at: bigint, length: bigint) => number>('munmap', ['pointer', 'uint64'], 'int32');
const madviseRaw = fast<(at: bigint, length: bigint, advice: number) => number>(
  'madvise',
  ['pointer', 'uint64', 'int32'],
  'int32',
);
const memfdRaw = fast<(name: bigint, flags: number) => number>('memfd_create', ['pointer', 'uint32'], 'int32');
const ftruncateRaw = fast<(fd: number, length: bigint) => number>('ftruncate', ['int32', 'int64'], 'int32');
const fcntlRaw = fast<(fd: number, command: number, value: number) => number>('fcntl', ['int32', 'int32', 'int32'], 'int32');

/** A mapping. `address` is exact as a Number: user space ends at 2^47. */
export interface Mapping {
  readonly address: number;
  readonly pointer: bigint;
  readonly length: number;
  readonly bytes: Uint8Array;
  readonly buffer: ArrayBuffer;
}

function mapping(pointer: bigint, length: number): Mapping {
  const buffer = view(pointer, length);
  return { address: Number(pointer), pointer, length, buffer, bytes: new Uint8Array(buffer) };
}

/** mmap(2). Throws SystemError. */
export function mmap(length: number, protection: number, flags: number, fd: number, offset: number, at = 0): Mapping {
  const pointer = mmapRaw(BigInt(at), BigInt(length), protection, flags, fd, BigInt(offset));
  if (pointer === MAP_FAILED) throw new SystemError('mmap', errno[0]!);
  return mapping(pointer, length);
}

/** Private zeroed memory below 4 GiB, paid for when touched. Its addresses fit `uint32` arguments of node:ffi. */
export function mapLow(length: number): Mapping {
  const protection = PROT_READ | PROT_WRITE;
  const flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
  if (process.arch === 'x64') {
    // MAP_32BIT searches the second GiB only; more than that is looked for by hand below.
    const pointer = mmapRaw(0n, BigInt(length), protection, flags | MAP_32BIT, -1, 0n);
    if (pointer !== MAP_FAILED) return mapping(pointer, length);
  }
  for (let at = LOW_FIRST; at + length <= LOW_END; at += LOW_STEP) {
    const pointer = mmapRaw(BigInt(at), BigInt(length), protection, flags | MAP_FIXED_NOREPLACE, -1, 0n);
    if (pointer === BigInt(at)) return mapping(pointer, length);
    // A kernel before 4.17 takes the address for a hint and maps elsewhere.
    if (pointer !== MAP_FAILED) munmapRaw(pointer, BigInt(length));
    else if (errno[0] !== EEXIST) throw new SystemError('mmap', errno[0]!);
  }
  throw new SystemError('mmap', EEXIST, `no ${length} free bytes below 4 GiB`);
}

/** munmap(2). Every view of the mapping must be gone. */
export function munmap(map: Mapping): void {
  munmapRaw(map.pointer, BigInt(map.length));
}

/** madvise(2); 0 or -errno: advice may be refused. */
export function madvise(map: Mapping, advice: number): number {
  return madviseRaw(map.pointer, BigInt(map.length), advice) < 0 ? -errno[0]! : 0;
}

/** A memory file of `length` zero bytes that can neither shrink nor grow, so that no mapping of it can fault. Returns its descriptor. */
export function memfd(name: string, length: number): number {
  lowText(name);
  const fd = memfdRaw(low.pointer, MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (fd < 0) throw new SystemError('memfd_create', errno[0]!);
  if (ftruncateRaw(fd, BigInt(length)) < 0) throw new SystemError('ftruncate', errno[0]!);
  fcntlRaw(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW);
  return fd;
}

/** Maps a descriptor shared with other processes, readable and writable. `Atomics` work on it. */
export function mapShared(fd: number, length: number): Mapping {
  return mmap(length, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
}

/** Room of {@link low} in bytes: the largest thing passed through it is a control message with its data. */
export const LOW_BYTES = 64 * 1024;
/**
 * Scratch below 4 GiB for arguments passed by address: valid from the writing to the end of the call it is written for.
 * The calls of sys/ share it; nothing here runs twice at a time.
 */
export const low: Mapping = mapLow(LOW_BYTES);
/** {@link low} by words. */
export const lowWords: Int32Array = new Int32Array(low.buffer);
export const lowView: DataView = new DataView(low.buffer);

const encoder = new TextEncoder();

/** Writes text and a NUL into {@link low} at `at`; returns the address. Throws when the text holds a NUL or does not fit. */
export function lowText(text: string, at = 0): number {
  const bytes = encoder.encode(text);
  if (bytes.includes(0)) throw new TypeError('text for the kernel holds a NUL');
  if (at + bytes.length + 1 > LOW_BYTES) throw new RangeError('text for the kernel is too long');
  low.bytes.set(bytes, at);
  low.bytes[at + bytes.length] = 0;
  return low.address + at;
}
