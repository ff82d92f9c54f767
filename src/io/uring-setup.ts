/** uring-setup: what the driver asks of the kernel before it begins, and what can be chosen of it. */
import { LARGE_BYTES } from '../base/blocks.ts';
import {
  AF_UNIX,
  EINVAL,
  IORING_OP_ACCEPT,
  IORING_OP_ASYNC_CANCEL,
  IORING_OP_CLOSE,
  IORING_OP_CONNECT,
  IORING_OP_POLL_ADD,
  IORING_OP_RECV,
  IORING_OP_SEND,
  IORING_OP_SENDMSG,
  IORING_OP_TIMEOUT,
  IORING_OP_WRITE,
  SOCK_CLOEXEC,
  SOCK_STREAM,
} from '../sys/constants.generated.ts';
import { close } from '../sys/libc.ts';
import { socketpair } from '../sys/socket.ts';
import { SystemError } from '../sys/system-error.ts';
import { CQE_WORDS, Ring } from '../sys/uring.ts';
import type { ArenaOptions } from './arena.ts';
import * as submit from './uring-submit.ts';

export interface UringOptions extends ArenaOptions {
  readonly receiveDepth?: number;
  readonly multishotBytes?: number;
  readonly sqEntries?: number;
  readonly cqEntries?: number;
  /** Another POUR_AFTER; Infinity: wires never pour. */
  readonly pourAfter?: number;
  /** Pipes to pour through; base/pipe-share.ts says how many. */
  readonly pipesMax?: number;
  /** Another FLUSH_STALL_MS, for tests. */
  readonly flushStallMs?: number;
}

/** Submissions that fit between two enters; more are handed over in the middle of the turn. */
const SQ_ENTRIES = 1024;
/** Completions that fit; more wait in the kernel's overflow list. 16 bytes each. */
const CQ_ENTRIES = 16 * 1024;
/**
 * What one multishot receive may take before it is armed again: the most that arrives on a wire after pause(), besides a block. Without it
 * the kernel receives up to 32 times before it looks up.
 */
const MULTISHOT_BYTES_MAX = LARGE_BYTES;

const NEEDED = [
  IORING_OP_ACCEPT,
  IORING_OP_ASYNC_CANCEL,
  IORING_OP_CLOSE,
  IORING_OP_CONNECT,
  IORING_OP_POLL_ADD,
  IORING_OP_RECV,
  IORING_OP_SEND,
  IORING_OP_SENDMSG,
  IORING_OP_TIMEOUT,
  IORING_OP_WRITE,
];

/** A ring that knows every operation that is needed. Throws SystemError when the kernel forbids or lacks it. */
export function openRing(options: UringOptions): Ring {
  const ring = new Ring({ sqEntries: options.sqEntries ?? SQ_ENTRIES, cqEntries: options.cqEntries ?? CQ_ENTRIES });
  const missing = ring.missing(NEEDED);
  if (missing.length === 0) return ring;
  ring.close();
  throw new SystemError('io_uring_register', EINVAL, `operations ${missing.join(', ')} are missing`);
}

/** Bytes after which a multishot receive ends by itself; 0 where the kernel cannot. Asked on a fresh ring. */
export function multishotBytesOf(ring: Ring, options: UringOptions): number {
  return knowsLimit(ring) ? (options.multishotBytes ?? MULTISHOT_BYTES_MAX) : 0;
}

/** Does the kernel honour a limit of a multishot receive (optlen, Linux 6.17)? Older ones refuse it. */
function knowsLimit(ring: Ring): boolean {
  const pair = socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC);
  if (typeof pair === 'number') return false;
  // Without buffers the one answer is ENOBUFS, the other EINVAL; the end of the pair makes it come at once.
  close(pair[1]);
  submit.receiveMany(ring, pair[0], LARGE_BYTES, 0, 0);
  ring.enter(1);
  const result = ring.words[ring.cqesAt + (ring.cqHead & ring.cqMask) * CQE_WORDS + 2]!;
  ring.cqSeen(ring.cqTail());
  close(pair[0]);
  return result !== -EINVAL;
}
