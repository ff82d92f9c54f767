/** pipe: splice(2), which moves bytes between sockets as pages that change hands, and the pipe that has to lie between them. */
import { F_SETPIPE_SZ, SO_RCVTIMEO, SO_SNDTIMEO, SOL_SOCKET, SPLICE_F_MOVE, SPLICE_F_NONBLOCK } from './constants.generated.ts';
import { errno, fast } from './ffi.ts';
import { fcntl, pipe } from './libc.ts';
import { low, lowWords } from './memory.ts';

// No offsets: sockets and pipes have none, so these pointers are NULL.
const spliceRaw = fast<(from: number, fromAt: number, to: number, toAt: number, length: number, flags: number) => number>(
  'splice',
  ['int32', 'uint32', 'int32', 'uint32', 'uint32', 'uint32'],
  'int32',
);
const setsockoptRaw = fast<(fd: number, level: number, name: number, at: number, length: number) => number>(
  'setsockopt',
  ['int32', 'int32', 'int32', 'uint32', 'uint32'],
  'int32',
);
/** struct timeval of a 64-bit machine: seconds and microseconds, 64 bits each. */
const TIMEVAL_BYTES = 16;

/** Moves at most `length` bytes; one of the two is a pipe. Returns their number, 0 at the end of the stream, or -errno; EAGAIN: nothing now. */
export function splice(from: number, to: number, length: number): number {
  const count = spliceRaw(from, 0, to, 0, length, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
  return count < 0 ? -errno[0]! : count;
}

/** A pipe for `bytes`, or for what the kernel grants instead (pipe(7): pipe-user-pages-soft). [read end, write end] or -errno. */
export function openPipe(bytes: number): [number, number] | number {
  const ends = pipe();
  if (typeof ends !== 'number') fcntl(ends[1], F_SETPIPE_SZ, bytes);
  return ends;
}

/**
 * Makes calls on a socket that is not O_NONBLOCK answer EAGAIN instead of waiting. SPLICE_F_NONBLOCK speaks for the pipe only; a negative
 * timeout is what the kernel takes as none (sock_set_timeout), and says so in its log at the first ten.
 */
export function neverWait(fd: number): void {
  lowWords[0] = -1;
  lowWords[1] = -1;
  lowWords[2] = 0;
  lowWords[3] = 0;
  setsockoptRaw(fd, SOL_SOCKET, SO_RCVTIMEO, low.address, TIMEVAL_BYTES);
  setsockoptRaw(fd, SOL_SOCKET, SO_SNDTIMEO, low.address, TIMEVAL_BYTES);
}
