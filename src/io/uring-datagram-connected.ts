/**
 * uring-datagram-connected: a socket of one client, connected to its endpoint.
 *
 *     open --close()--> pooled (connected to nothing) --> open again
 *       '----------------'-- closing --last completion--> free
 *
 * A multishot receive brings what the endpoint sends; connecting, dissolving and sending go down with the next enter.
 *
 * Rules
 * 1. A datagram socket connects, disconnects and sends (MSG_DONTWAIT) while the SQE is submitted. The order of SQEs is the order of deeds, a
 *    block that was sent may go when enter() has returned, and success is silent.
 * 2. The receive stays armed over the tenants of a socket. What comes up while it is pooled is dropped.
 * 3. Failures carry the tenancy: a late one says nothing to the next tenant.
 */
import type { Blocks } from '../base/blocks.ts';
import { NO_TIMER } from '../base/timer-wheel.ts';
import type { DatagramOwner, DatagramSocket, TimerOwner } from '../base/wire.ts';
import {
  ECONNREFUSED,
  EINTR,
  ENOBUFS,
  IORING_CQE_BUFFER_SHIFT,
  IORING_CQE_F_BUFFER,
  IORING_CQE_F_MORE,
  io_uring_recvmsg_out_BYTES,
  io_uring_recvmsg_out_controllen,
} from '../sys/constants.generated.ts';
import { hasPort, isItsOwnPeer } from '../sys/socket.ts';
import { readSegment, SEGMENT_BYTES } from './datagram-control.ts';
import type { Pooled } from './datagram-pool.ts';
import type { UringEngine } from './uring.ts';

/** In front of a received datagram: io_uring_recvmsg_out, then room for the size of a run. */
export const RECEIVE_HEADER: number = io_uring_recvmsg_out_BYTES + SEGMENT_BYTES;

/** What connected sockets ask of their room. */
export interface ConnectedParts {
  readonly engine: UringEngine;
  readonly blocks: Blocks;
  /** The arena as words. */
  readonly words: Int32Array;
  send(socket: UringConnected, block: number, start: number, end: number, segment: number): void;
  /** Its tenant has gone. */
  release(socket: UringConnected): void;
  /** Receives again. */
  arm(socket: UringConnected): void;
  /** The kernel found no block for it. */
  starve(socket: UringConnected): void;
  /** The kernel has given a block back. */
  onBlock(): void;
  /** Nothing is in flight any more on a socket that was closed. */
  over(socket: UringConnected): void;
}

export const state = Object.freeze({ free: 0, open: 1, pooled: 2, closing: 3 });

export const nobody: DatagramOwner = { onDatagram() {}, onDatagramFault() {} };

export class UringConnected implements DatagramSocket, TimerOwner, Pooled {
  owner: DatagramOwner = nobody;

  // For the room.
  readonly index: number;
  family = 0;
  fd = -1;
  state: number = state.free;
  tenancy = 0;
  isArmed = false;
  /** Not for another tenant: it has a local address of its own, or what came for the last one may still lie in it. */
  isSpent = false;
  /** The way to this peer takes no runs. */
  splitsRuns = false;
  /** The port of the peer is one that the kernel may also choose for this socket: to be looked at with the first answer. */
  mayMeetItself = false;
  /** Known to have one, in this tenancy. */
  private hasPort = false;
  /** The turn in which it last put something into the ring. */
  putTurn = -1;
  pooledAt = 0;
  pooledNext: Pooled | null = null;
  /** Why there is no socket, and the timer that tells. */
  private errno = 0;
  private ticket: number = NO_TIMER;
  private readonly room: ConnectedParts;

  constructor(room: ConnectedParts, index: number) {
    this.room = room;
    this.index = index;
  }

  send(block: number, start: number, end: number, segment: number): void {
    if (this.fd >= 0) this.room.send(this, block, start, end, segment);
  }

  sendTo(block: number, start: number, end: number, segment: number): void {
    this.send(block, start, end, segment);
  }

  pause(): void {
    // What comes is the answer to what was asked.
  }

  close(): void {
    if (this.state !== state.open) return;
    this.room.engine.cancelTimer(this.ticket);
    this.ticket = NO_TIMER;
    this.owner = nobody;
    this.tenancy = (this.tenancy + 1) & 0x3fff_ffff;
    this.room.release(this);
  }

  begin(owner: DatagramOwner): void {
    this.owner = owner;
    this.state = state.open;
    this.splitsRuns = this.hasPort = false;
    this.tenancy = (this.tenancy + 1) & 0x3fff_ffff;
  }

  /** There is no socket to be had, or it was refused in a call: told by the loop, not inside it. */
  failLater(errno: number): void {
    if (this.ticket !== NO_TIMER) return;
    this.errno = errno;
    this.ticket = this.room.engine.setTimer(0, this, 0);
  }
  onTimer(): void {
    this.ticket = NO_TIMER;
    this.owner.onDatagramFault(this, this.errno);
  }

  /** Is this still whom it serves? */
  isTenant(tenancy: number): boolean {
    return tenancy === this.tenancy && this.state === state.open;
  }

  /** A send failed with EAGAIN: is it for want of a port, rather than of room? Once a port is found its tenant keeps it. */
  lacksPort(): boolean {
    this.hasPort ||= hasPort(this.fd);
    return !this.hasPort;
  }

  /** A send, connect or disconnect failed. */
  onFailed(errno: number, tenancy: number): void {
    if (this.isTenant(tenancy)) this.owner.onDatagramFault(this, errno);
  }

  /** A completion of the receive. */
  onReceive(result: number, flags: number): void {
    if ((flags & IORING_CQE_F_MORE) === 0) this.isArmed = false;
    const { room } = this;
    if ((flags & IORING_CQE_F_BUFFER) !== 0) {
      const block = flags >>> IORING_CQE_BUFFER_SHIFT;
      room.onBlock();
      if (result >= RECEIVE_HEADER && this.state === state.open) {
        if (this.mayMeetItself && isItsOwnPeer(this.fd)) this.owner.onDatagramFault(this, ECONNREFUSED);
        else this.deliver(block, result);
        this.mayMeetItself = false;
      }
      room.blocks.release(block);
    } else if (result === -ENOBUFS) {
      if (this.state === state.open) room.starve(this);
    } else if (result < 0 && result !== -EINTR && this.state === state.open) this.owner.onDatagramFault(this, -result);
    if (this.isArmed) return;
    this.isSpent ||= this.state === state.pooled;
    if (this.state === state.open && result !== -ENOBUFS) room.arm(this);
    else if (this.state === state.closing) room.over(this);
  }

  private deliver(block: number, result: number): void {
    const { words, blocks } = this.room;
    const at = blocks.start(block);
    const header = at >> 2;
    const controlBytes = words[header + (io_uring_recvmsg_out_controllen >> 2)]!;
    const segment = controlBytes === 0 ? 0 : readSegment(words, (at + io_uring_recvmsg_out_BYTES) >> 2, controlBytes);
    const start = at + RECEIVE_HEADER;
    this.owner.onDatagram(this, block, start, at + result, segment, 0);
  }
}
