/**
 * libc: calls on descriptors, readiness and processes under their own names, and the door to socket.ts and memory.ts.
 * Everything returns -errno on failure unless it says otherwise. Buffers are addresses below 4 GiB as Numbers.
 */
import {
  EPOLL_CLOEXEC,
  F_DUPFD_CLOEXEC,
  F_GETFL,
  F_SETFL,
  O_CLOEXEC,
  O_NONBLOCK,
  rlimit_rlim_cur,
  rlimit_rlim_max,
  SYS_pidfd_getfd,
  SYS_pidfd_open,
  timespec_BYTES,
} from './constants.generated.ts';
import { errno, fast } from './ffi.ts';
import { low, lowText, lowView, lowWords } from './memory.ts';

export * from './memory.ts';
export * from './socket.ts';
export {
  AddressError,
  decodeAddress,
  encodeAddress,
  familyOf,
  SOCKADDR_BYTES_MAX,
  UNIX_PATH_BYTES_MAX,
} from './socket-address.ts';
export { check, errnoName, errnoText, SystemError } from './system-error.ts';

const closeRaw = fast<(fd: number) => number>('close', ['int32'], 'int32');
const readRaw = fast<(fd: number, at: number, length: number) => number>('read', ['int32', 'uint32', 'uint32'], 'int32');
const writeRaw = fast<(fd: number, at: number, length: number) => number>('write', ['int32', 'uint32', 'uint32'], 'int32');
const openRaw = fast<(path: number, flags: number, mode: number) => number>('open', ['uint32', 'int32', 'uint32'], 'int32');
const fcntlRaw = fast<(fd: number, command: number, value: number) => number>('fcntl', ['int32', 'int32', 'int32'], 'int32');
const pipeRaw = fast<(at: number, flags: number) => number>('pipe2', ['uint32', 'int32'], 'int32');
const eventfdRaw = fast<(initial: number, flags: number) => number>('eventfd', ['uint32', 'int32'], 'int32');
const epollCreateRaw = fast<(flags: number) => number>('epoll_create1', ['int32'], 'int32');
const epollCtlRaw = fast<(epoll: number, operation: number, fd: number, event: number) => number>(
  'epoll_ctl',
  ['int32', 'int32', 'int32', 'uint32'],
  'int32',
);
const epollWaitRaw = fast<(epoll: number, events: number, eventsMax: number, timeoutMs: number) => number>(
  'epoll_wait',
  ['int32', 'uint32', 'int32', 'int32'],
  'int32',
);
const killRaw = fast<(pid: number, signal: number) => number>('kill', ['int32', 'int32'], 'int32');
const prctlRaw = fast<(option: number, a: bigint, b: bigint, c: bigint, d: bigint) => number>(
  'prctl',
  ['int32', 'uint64', 'uint64', 'uint64', 'uint64'],
  'int32',
);
const prlimitRaw = fast<(pid: number, resource: number, set: number, get: number) => number>(
  'prlimit64',
  ['int32', 'int32', 'uint32', 'uint32'],
  'int32',
);
const syscallRaw = fast<(number: number, a: number, b: number, c: number, d: number) => number>(
  'syscall',
  ['int32', 'int32', 'int32', 'int32', 'int32'],
  'int32',
);
const clockRaw = fast<(clock: number, at: number) => number>('clock_gettime', ['int32', 'uint32'], 'int32');

export function close(fd: number): number {
  return closeRaw(fd) < 0 ? -errno[0]! : 0;
}

export function read(fd: number, at: number, length: number): number {
  const count = readRaw(fd, at, length);
  return count < 0 ? -errno[0]! : count;
}

export function write(fd: number, at: number, length: number): number {
  const count = writeRaw(fd, at, length);
  return count < 0 ? -errno[0]! : count;
}

/** Always close-on-exec. */
export function open(path: string, flags: number, mode = 0o644): number {
  const fd = openRaw(lowText(path), flags | O_CLOEXEC, mode);
  return fd < 0 ? -errno[0]! : fd;
}

export function fcntl(fd: number, command: number, value = 0): number {
  const result = fcntlRaw(fd, command, value);
  return result < 0 ? -errno[0]! : result;
}

/** A second number for the same open file, close-on-exec, at least 3. */
export function dup(fd: number): number {
  return fcntl(fd, F_DUPFD_CLOEXEC, 3);
}

export function setNonBlocking(fd: number): number {
  const flags = fcntl(fd, F_GETFL);
  return flags < 0 ? flags : fcntl(fd, F_SETFL, flags | O_NONBLOCK);
}

/** [read end, write end], close-on-exec, or -errno. */
export function pipe(flags = 0): [number, number] | number {
  return pipeRaw(low.address, flags | O_CLOEXEC) < 0 ? -errno[0]! : [lowWords[0]!, lowWords[1]!];
}

export function eventfd(initial: number, flags: number): number {
  const fd = eventfdRaw(initial, flags);
  return fd < 0 ? -errno[0]! : fd;
}

/** Bytes of one struct epoll_event: packed on x86-64 only (epoll_ctl(2)). */
export const EPOLL_EVENT_BYTES: number = process.arch === 'x64' ? 12 : 16;
/** Where its 64 bits of user data begin. */
export const EPOLL_EVENT_DATA: number = process.arch === 'x64' ? 4 : 8;

export function epollCreate(): number {
  const fd = epollCreateRaw(EPOLL_CLOEXEC);
  return fd < 0 ? -errno[0]! : fd;
}

/** `dataLow` and `dataHigh` are the halves of the event's user data. */
export function epollCtl(
  epoll: number,
  operation: number,
  fd: number,
  events: number,
  dataLow: number,
  dataHigh: number,
): number {
  lowWords[0] = events;
  lowWords[EPOLL_EVENT_DATA >> 2] = dataLow;
  lowWords[(EPOLL_EVENT_DATA >> 2) + 1] = dataHigh;
  return epollCtlRaw(epoll, operation, fd, low.address) < 0 ? -errno[0]! : 0;
}

/** `events` is the address of room for `eventsMax` struct epoll_event. Returns how many were filled. */
export function epollWait(epoll: number, events: number, eventsMax: number, timeoutMs: number): number {
  const count = epollWaitRaw(epoll, events, eventsMax, timeoutMs);
  return count < 0 ? -errno[0]! : count;
}

/** Signal 0 asks whether the process exists. */
export function kill(pid: number, signal: number): number {
  return killRaw(pid, signal) < 0 ? -errno[0]! : 0;
}

/** prctl(2) with one number. */
export function prctl(option: number, value: number): number {
  const result = prctlRaw(option, BigInt.asUintN(64, BigInt(value)), 0n, 0n, 0n);
  return result < 0 ? -errno[0]! : result;
}

/** A descriptor that stands for a process (Linux 5.3). */
export function pidfdOpen(pid: number): number {
  const fd = syscallRaw(SYS_pidfd_open, pid, 0, 0, 0);
  return fd < 0 ? -errno[0]! : fd;
}

/** A copy of descriptor `target` of another process (Linux 5.6); needs the right to trace it. */
export function pidfdGetfd(pidfd: number, target: number): number {
  const fd = syscallRaw(SYS_pidfd_getfd, pidfd, target, 0, 0);
  return fd < 0 ? -errno[0]! : fd;
}

/** Soft and hard limit (Infinity for none), or -errno. */
export function getrlimit(resource: number): { soft: number; hard: number } | number {
  if (prlimitRaw(0, resource, 0, low.address) < 0) return -errno[0]!;
  const limit = (at: number) => {
    const value = lowView.getBigUint64(at, true);
    return value === 0xffff_ffff_ffff_ffffn ? Number.POSITIVE_INFINITY : Number(value);
  };
  return { soft: limit(rlimit_rlim_cur), hard: limit(rlimit_rlim_max) };
}

/** Sets both limits of this process; Infinity for none. */
export function setrlimit(resource: number, soft: number, hard: number): number {
  const word = (value: number) => (value === Number.POSITIVE_INFINITY ? 0xffff_ffff_ffff_ffffn : BigInt(value));
  lowView.setBigUint64(rlimit_rlim_cur, word(soft), true);
  lowView.setBigUint64(rlimit_rlim_max, word(hard), true);
  return prlimitRaw(0, resource, low.address, 0) < 0 ? -errno[0]! : 0;
}

// The clock has its own slot, so that reading it disturbs no call under preparation.
const CLOCK_AT = low.length - timespec_BYTES;

/** Milliseconds with fraction of CLOCK_MONOTONIC (the clock of timers in the kernel, and of `process.hrtime`). */
export function clockMs(clock: number): number {
  clockRaw(clock, low.address + CLOCK_AT);
  // Seconds fit 32 bits for 136 years of uptime.
  const seconds = lowWords[CLOCK_AT >> 2]! >>> 0;
  return seconds * 1000 + lowWords[(CLOCK_AT >> 2) + 2]! / 1e6;
}
