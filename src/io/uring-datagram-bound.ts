/**
 * uring-datagram-bound: a socket that clients send to. It gets datagrams by the dozen, so a poll says when there are some and recvmmsg(2) takes them;
 * answers leave with sendmmsg(2) at the end of the turn. A multishot receive and a send for each cost more (docs/udp.md).
 */
import type { DatagramOwner, DatagramSocket } from '../base/wire.ts';
import { IORING_OP_ASYNC_CANCEL, IORING_OP_POLL_ADD, IOSQE_CQE_SKIP_SUCCESS, POLLIN } from '../sys/constants.generated.ts';
import type { Ring } from '../sys/uring.ts';
import type { DatagramReceiver } from './datagram-receive.ts';
import type { DatagramSender } from './datagram-send.ts';
import { nobody } from './uring-datagram-connected.ts';
import { datagramTag, which } from './uring-datagram-tags.ts';

/** Batches taken in a turn, so that others have theirs. */
const BATCHES_PER_TURN = 4;
const CANCEL = IORING_OP_ASYNC_CANCEL | (IOSQE_CQE_SKIP_SUCCESS << 8);

/** What the sockets of an engine share. */
export interface BoundParts {
  readonly ring: Ring;
  readonly sender: DatagramSender;
  readonly receiver: DatagramReceiver;
}

export class UringBound implements DatagramSocket {
  owner: DatagramOwner;
  isClosed = false;
  private readonly parts: BoundParts;
  private readonly index: number;
  readonly fd: number;
  private isPolled = false;
  private isPaused = false;

  constructor(parts: BoundParts, index: number, fd: number, owner: DatagramOwner) {
    this.parts = parts;
    this.index = index;
    this.fd = fd;
    this.owner = owner;
    this.poll();
  }

  /** Closed, with nothing in flight: the place may have another tenant. */
  get isOver(): boolean {
    return this.isClosed && !this.isPolled;
  }

  send(): void {
    // Nobody is connected.
  }

  sendTo(block: number, start: number, end: number, segment: number, names: Int32Array, at: number): void {
    this.parts.sender.add(this.fd, block, start, end, segment, names, at);
  }

  pause(): void {
    this.isPaused = true;
    if (this.isPolled) this.cancel();
  }

  close(): void {
    if (this.isClosed) return;
    this.pause();
    this.isClosed = true;
    this.owner = nobody;
    // What was queued leaves before the descriptor may be closed.
    this.parts.sender.flush();
  }

  onPoll(result: number): void {
    this.isPolled = false;
    if (this.isPaused) return;
    const { receiver } = this.parts;
    if (result > 0) {
      for (let i = 0; i < BATCHES_PER_TURN; i++) {
        if (!receiver.receive(this.fd, this) || this.isPaused) break;
      }
    }
    if (!this.isPaused) this.poll();
  }

  /** The cancel found nothing; the poll was between two states. */
  onCancelFailed(): void {
    if (this.isPolled && this.isPaused) this.cancel();
  }

  private poll(): void {
    this.isPolled = true;
    this.parts.ring.put(IORING_OP_POLL_ADD, this.fd, 0, 0, 0, 0, POLLIN, datagramTag(this.index, which.poll), 0);
  }

  private cancel(): void {
    const { index } = this;
    this.parts.ring.putCancel(CANCEL, datagramTag(index, which.poll), 0, datagramTag(index, which.cancelPoll), 0);
  }
}
