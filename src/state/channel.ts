/**
 * The control channel: one line of JSON a message, over a socket pair that each worker inherits. Both planes know these types and nothing else of each other.
 *
 * A worker process is started by path (src/worker/worker.ts) with one JSON argument, {@link WorkerStart}, and these descriptors:
 * 3 the channel, 4 the state table (memfd), 5... the listening sockets in the order of `listeners`.
 * Further listening sockets arrive over descriptor 6-style numbers named in {@link PlanMessage.sockets}: they are passed with SCM_RIGHTS on `fdPass`.
 */
import type { Plan } from './plan.ts';

/** A listening socket of one worker slot. `key` is listener name + '|' + address text. */
export interface SocketRef {
  key: string;
  /** Descriptor number in the worker. */
  fd: number;
}

export interface WorkerStart {
  /** 0-based slot: which of the SO_REUSEPORT sockets it serves. */
  slot: number;
  /** Stripe of the state table it writes. */
  stripe: number;
  engine: 'auto' | 'uring' | 'epoll';
  channelFd: number;
  /** A datagram socket pair on which further descriptors arrive, one per message, before the plan that names them. */
  fdPassFd: number;
  tableFd: number;
  sockets: SocketRef[];
  /** The worker's own part of the process limit of descriptors. */
  descriptorsMax: number;
}

/** Down: control to worker. */
export type DownMessage =
  /** Build it, answer ready or refused; it is in force when the table's epoch reaches plan.epoch. `newSockets`: keys of descriptors waiting on fdPass, in order. */
  | { type: 'plan'; plan: Plan; newSockets: string[] }
  /** Stop accepting, finish, answer drained, exit 0. After `hardStopMs` cut what is left. */
  | { type: 'drain'; gracefulMs: number; hardStopMs: number }
  /** Leave at once. */
  | { type: 'stop' }
  /** Reopen log files. */
  | { type: 'reopen' };

/** Up: worker to control. */
export type UpMessage =
  | { type: 'hello'; pid: number; engine: 'uring' | 'epoll'; why: string | null }
  | { type: 'ready'; epoch: number }
  | { type: 'refused'; epoch: number; reason: string }
  | { type: 'drained'; cut: number }
  /** Something people should read; goes to the system log with these fields. */
  | { type: 'event'; level: 'info' | 'warn' | 'error'; msg: string; fields: Record<string, string | number | boolean> };
