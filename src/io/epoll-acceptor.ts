/** epoll-acceptor: a listening socket in the epoll driver. Level-triggered: a connection left in the queue is reported again. */
import { assert } from '../base/assert.ts';
import type { AcceptOwner, Acceptor } from '../base/wire.ts';
import {
  EAGAIN,
  EMFILE,
  ENFILE,
  ENOBUFS,
  ENOMEM,
  EPOLL_CTL_ADD,
  EPOLL_CTL_DEL,
  EPOLLIN,
  IPPROTO_TCP,
  SOCK_CLOEXEC,
  SOCK_NONBLOCK,
  TCP_NODELAY,
} from '../sys/constants.generated.ts';
import { epollCtl, setNonBlocking } from '../sys/libc.ts';
import { accept4, setsockopt } from '../sys/socket.ts';
import { check } from '../sys/system-error.ts';
import type { EpollEngine } from './epoll.ts';
import { nobody } from './nobody.ts';

/** Connections taken in one turn at most, so that a flood of them does not keep wires waiting. */
const ACCEPTS_PER_TURN = 32;

export class EpollAcceptor implements Acceptor {
  readonly fd: number;
  isClosed: boolean;
  private readonly engine: EpollEngine;
  private readonly owner: AcceptOwner;
  private readonly dataLow: number;
  private readonly dataHigh: number;
  private isPaused: boolean;
  /** How many to take now, and the turn it was last set in: grows while every turn brings more, so that a single one costs one call. */
  private budget: number;
  private turn: number;

  constructor(engine: EpollEngine, fd: number, owner: AcceptOwner, dataLow: number, dataHigh: number) {
    this.engine = engine;
    this.fd = fd;
    this.owner = owner;
    this.dataLow = dataLow;
    this.dataHigh = dataHigh;
    this.isPaused = true;
    this.isClosed = false;
    this.budget = 1;
    this.turn = 0;
    check('fcntl', setNonBlocking(fd));
    // Accepted sockets inherit it. Fails on a unix socket, where nothing is delayed.
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    this.resume();
  }

  pause(): void {
    if (this.isPaused || this.isClosed) return;
    this.isPaused = true;
    epollCtl(this.engine.epoll, EPOLL_CTL_DEL, this.fd, 0, 0, 0);
  }

  resume(): void {
    if (!this.isPaused || this.isClosed) return;
    this.isPaused = false;
    check('epoll_ctl', epollCtl(this.engine.epoll, EPOLL_CTL_ADD, this.fd, EPOLLIN, this.dataLow, this.dataHigh));
  }

  close(): void {
    this.pause();
    this.isClosed = true;
  }

  onEvents(): void {
    const { engine } = this;
    const turn = engine.stats.enters;
    this.budget = this.turn === turn - 1 ? Math.min(this.budget * 2, ACCEPTS_PER_TURN) : 1;
    this.turn = turn;
    for (let i = 0; i < this.budget && !this.isPaused; i++) {
      const fd = accept4(this.fd, SOCK_NONBLOCK | SOCK_CLOEXEC);
      if (fd < 0) {
        this.onFault(-fd);
        return;
      }
      const wire = engine.openWire(fd);
      if (wire === null) continue;
      this.owner.onAccept(wire, this);
      assert(wire.owner !== nobody, 'onAccept sets an owner');
    }
  }

  private onFault(errno: number): void {
    if (errno === EAGAIN) {
      this.budget = 1;
      return;
    }
    // Anything else is the fault of the one connection that is gone now (accept(2) names a dozen): the next event takes the next one.
    if (errno !== EMFILE && errno !== ENFILE && errno !== ENOBUFS && errno !== ENOMEM) return;
    this.pause();
    this.owner.onAcceptFault(errno, this);
  }
}
