/**
 * io: the completion loop of a process: wires over sockets, acceptors, timers, file writes, behind Engine of base/wire.ts.
 *
 * Drivers: io_uring (Linux 6.0 or newer), epoll (any), memory (tests, seeded). All of them pass the same suite, conformance.ts.
 *
 * It does not know: protocols, plans, TLS, who owns a wire.
 *
 * Rules
 * 1. `auto` takes io_uring and falls back to epoll; it says why in one line. `uring` and `epoll` mean just that.
 * 2. A driver is loaded when it is chosen.
 */
import { createRequire } from 'node:module';
import { release } from 'node:os';
import { pipesMaxOf } from '../base/pipe-share.ts';
import type { Engine } from '../base/wire.ts';
import { SystemError } from '../sys/system-error.ts';
import type { openEpoll } from './epoll.ts';
import type { openUring } from './uring.ts';

export type EngineChoice = 'auto' | 'uring' | 'epoll';

export interface EngineOptions {
  /** Blocks of 64 KiB, for receiving and bodies. They cost memory once touched. */
  readonly largeCount?: number;
  /** Blocks of 4 KiB, for heads and log lines. */
  readonly smallCount?: number;
  /** Pipes to pour through, for io_uring; base/pipe-share.ts says how many. */
  readonly pipesMax?: number;
}

/** Room for 2048 bodies under way, 128 MiB when all of them are. */
export const LARGE_COUNT = 2048;
/** Room for 16384 heads under way, 64 MiB when all of them are. */
export const SMALL_COUNT = 16384;
/** What uring.ts needs: multishot receive and single issuer. */
export const URING_KERNEL = '6.0';

/** io_uring was asked for and cannot be had. */
export class EngineError extends Error {
  override name = 'EngineError';
  /** One line for people. */
  readonly why: string;

  constructor(why: string) {
    super(why);
    this.why = why;
  }
}

const require = createRequire(import.meta.url);

/**
 * Opens the driver that was chosen. `why` is null, or one line that says why `auto` did not take io_uring.
 * Throws EngineError when `uring` was asked for and cannot be had.
 */
export function openEngine(choice: EngineChoice, options: EngineOptions = {}): { engine: Engine; why: string | null } {
  const counts = { largeCount: options.largeCount ?? LARGE_COUNT, smallCount: options.smallCount ?? SMALL_COUNT };
  let why: string | null = null;
  if (choice !== 'epoll') {
    try {
      const uring = require('./uring.ts') as { openUring: typeof openUring };
      return { engine: uring.openUring({ ...counts, pipesMax: options.pipesMax ?? pipesMaxOf(0) }), why: null };
    } catch (error) {
      if (!(error instanceof SystemError)) throw error;
      why = reason(error);
      if (choice === 'uring') throw new EngineError(why);
    }
  }
  const epoll = require('./epoll.ts') as { openEpoll: typeof openEpoll };
  return { engine: epoll.openEpoll(counts), why };
}

/** What stands in the way of io_uring, by the error it gave. */
export function reason(error: SystemError): string {
  const kernel = release();
  if (error.code === 'EPERM' || error.code === 'EACCES') {
    return `io_uring is forbidden here (${error.call}: ${error.code}; seccomp of a container, or sysctl kernel.io_uring_disabled)`;
  }
  if (error.code === 'ENOSYS')
    return `this kernel has no io_uring (${error.call}: ENOSYS; needs Linux ${URING_KERNEL}, this is ${kernel})`;
  if (error.code === 'EINVAL')
    return `io_uring of this kernel is too old (${error.call}: EINVAL; needs Linux ${URING_KERNEL}, this is ${kernel})`;
  if (error.code === 'ENOMEM') return `io_uring may not lock memory (${error.call}: ENOMEM; raise RLIMIT_MEMLOCK)`;
  return `io_uring cannot be had (${error.message}; needs Linux ${URING_KERNEL}, this is ${kernel})`;
}
