/**
 * uring-accept: a listening socket in use: one multishot accept.
 *
 * The descriptor must not be O_NONBLOCK here (an operation on such a file answers EAGAIN instead of waiting), so that flag is taken
 * away; the epoll driver sets it again. TCP_NODELAY is inherited by what is accepted, so it is set on the listening socket once.
 */
import type { AcceptOwner, Acceptor } from '../base/wire.ts';
import {
  EBADF,
  EINVAL,
  EMFILE,
  ENFILE,
  ENOBUFS,
  ENOMEM,
  ENOTSOCK,
  EOPNOTSUPP,
  F_GETFL,
  F_SETFL,
  IORING_ACCEPT_MULTISHOT,
  IORING_CQE_F_MORE,
  IORING_OP_ACCEPT,
  IORING_OP_ASYNC_CANCEL,
  IOSQE_CQE_SKIP_SUCCESS,
  IPPROTO_TCP,
  O_NONBLOCK,
  SOCK_CLOEXEC,
  TCP_NODELAY,
} from '../sys/constants.generated.ts';
import { fcntl } from '../sys/libc.ts';
import { getsockopt, setsockopt } from '../sys/socket.ts';
import type { UringEngine } from './uring.ts';
import { OPERATION_BITS, operation } from './uring-tags.ts';

const ACCEPT = IORING_OP_ACCEPT | (IORING_ACCEPT_MULTISHOT << 16);
const CANCEL = IORING_OP_ASYNC_CANCEL | (IOSQE_CQE_SKIP_SUCCESS << 8);

/** Errors after which accepting again at once would spin: too many files, no memory, or the socket is none. */
const isFault = (errno: number): boolean =>
  errno === EMFILE ||
  errno === ENFILE ||
  errno === ENOBUFS ||
  errno === ENOMEM ||
  errno === EBADF ||
  errno === EINVAL ||
  errno === ENOTSOCK ||
  errno === EOPNOTSUPP;

/** Clears O_NONBLOCK of an open file. */
export function setBlocking(fd: number): void {
  const flags = fcntl(fd, F_GETFL);
  if (flags >= 0 && (flags & O_NONBLOCK) !== 0) fcntl(fd, F_SETFL, flags & ~O_NONBLOCK);
}

export class UringAcceptor implements Acceptor {
  readonly owner: AcceptOwner;
  readonly fd: number;
  readonly index: number;
  readonly generation: number;
  private readonly engine: UringEngine;
  private isArmed: boolean;
  private isPaused: boolean;
  private isClosed: boolean;

  constructor(engine: UringEngine, index: number, generation: number, fd: number, owner: AcceptOwner) {
    this.engine = engine;
    this.index = index;
    this.fd = fd;
    this.owner = owner;
    this.generation = generation;
    this.isArmed = false;
    this.isClosed = false;
    this.isPaused = false;
    setBlocking(fd);
    if (getsockopt(fd, IPPROTO_TCP, TCP_NODELAY) === 0) setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    this.arm();
  }

  /** Closed, with nothing in flight: the slot may have another tenant. */
  get isOver(): boolean {
    return this.isClosed && !this.isArmed;
  }

  /** Connections the kernel has handed over already still arrive: they were answered, and must be served. */
  pause(): void {
    this.isPaused = true;
    if (this.isArmed) this.cancel();
  }

  resume(): void {
    this.isPaused = false;
    if (!this.isArmed && !this.isClosed) this.arm();
  }

  close(): void {
    this.isClosed = true;
    this.pause();
  }

  /** A completion of the accept. */
  onAccept(result: number, flags: number): void {
    const { engine, owner } = this;
    if ((flags & IORING_CQE_F_MORE) === 0) this.isArmed = false;
    if (result >= 0) owner.onAccept(engine.openWire(result), this);
    else if (isFault(-result) && !this.isClosed) {
      this.isPaused = true;
      owner.onAcceptFault(-result, this);
    }
    // Other errors belong to one connection that is gone already (accept(2): ECONNABORTED, network errors of the new socket).
    if (!this.isArmed && !this.isPaused && !this.isClosed) this.arm();
  }

  /** The cancel found nothing; the accept was between two states. */
  onCancelFailed(): void {
    if (this.isArmed && this.isPaused) this.cancel();
  }

  private arm(): void {
    this.isArmed = true;
    const tag = (this.index << OPERATION_BITS) | operation.accept;
    this.engine.ring.put(ACCEPT, this.fd, 0, 0, 0, 0, SOCK_CLOEXEC, tag, this.generation);
  }

  private cancel(): void {
    const slot = this.index << OPERATION_BITS;
    const { generation } = this;
    this.engine.ring.putCancel(CANCEL, slot | operation.accept, generation, slot | operation.cancelAccept, generation);
  }
}
