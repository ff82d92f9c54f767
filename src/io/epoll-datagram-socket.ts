/** epoll-datagram-socket: one UDP socket of the epoll driver, bound or connected. */
import { NO_TIMER } from '../base/timer-wheel.ts';
import type { DatagramOwner, DatagramSocket, TimerOwner } from '../base/wire.ts';
import type { Pooled } from './datagram-pool.ts';
import type { EpollDatagrams } from './epoll-datagram.ts';

/** Batches taken from one socket in a turn, so that others have theirs. */
const BATCHES_PER_TURN = 4;

const nobody: DatagramOwner = { onDatagram() {}, onDatagramFault() {} };

export class EpollDatagram implements DatagramSocket, TimerOwner, Pooled {
  owner: DatagramOwner = nobody;

  // For the room.
  readonly place: number;
  /** Changes with each descriptor, so that a late event reaches nobody. */
  generation = 0;
  fd = -1;
  family = 0;
  isBound = false;
  isOpen = false;
  isPaused = false;
  isSpent = false;
  splitsRuns = false;
  pooledAt = 0;
  pooledNext: Pooled | null = null;
  /** A fault that waits for the loop to tell it. */
  errno = 0;
  private ticket: number = NO_TIMER;
  private readonly room: EpollDatagrams;

  constructor(room: EpollDatagrams, place: number) {
    this.room = room;
    this.place = place;
  }

  send(block: number, start: number, end: number, segment: number): void {
    if (this.fd >= 0 && !this.isBound) this.room.send(this, block, start, end, segment);
  }

  sendTo(block: number, start: number, end: number, segment: number, names: Int32Array, at: number): void {
    if (this.isBound) this.room.sender.add(this.fd, block, start, end, segment, names, at);
    else this.send(block, start, end, segment);
  }

  pause(): void {
    if (!this.isBound || this.isPaused) return;
    this.isPaused = true;
    this.room.unwatch(this);
  }

  close(): void {
    if (!this.isOpen) return;
    this.isOpen = false;
    this.room.engine.cancelTimer(this.ticket);
    this.ticket = NO_TIMER;
    this.errno = 0;
    this.owner = nobody;
    this.room.release(this);
  }

  /** Told by the loop, not inside the call. */
  failLater(errno: number): void {
    if (this.errno !== 0) return;
    this.errno = errno;
    this.ticket = this.room.engine.setTimer(0, this, 0);
  }
  onTimer(): void {
    const { errno } = this;
    this.ticket = NO_TIMER;
    this.errno = 0;
    this.owner.onDatagramFault(this, errno);
  }

  onEvents(): void {
    const { receiver } = this.room;
    for (let i = 0; i < BATCHES_PER_TURN; i++) {
      if (!this.isOpen || this.isPaused) return;
      const isMore = receiver.receive(this.fd, this);
      if (receiver.errno !== 0 && this.isOpen && !this.isBound) this.owner.onDatagramFault(this, receiver.errno);
      if (!isMore) return;
    }
  }
}
