/**
 * uring-datagram: the datagram sockets of the io_uring driver: bound ones, connected ones, and who is told of a completion. Made with the first of them.
 */
import type { Address, DatagramOwner, DatagramSocket } from '../base/wire.ts';
import { receiveRuns, tellDestination } from '../sys/datagram.ts';
import type { Ring } from '../sys/uring.ts';
import { DatagramReceiver } from './datagram-receive.ts';
import { DatagramSender } from './datagram-send.ts';
import type { UringEngine } from './uring.ts';
import { type BoundParts, UringBound } from './uring-datagram-bound.ts';
import { ConnectedRoom } from './uring-datagram-room.ts';
import { indexIn, WHICH_MASK, which } from './uring-datagram-tags.ts';

export class UringDatagrams implements BoundParts {
  readonly ring: Ring;
  readonly receiver: DatagramReceiver;
  readonly sender: DatagramSender;
  private readonly bounds: UringBound[] = [];
  private readonly room: ConnectedRoom;

  constructor(engine: UringEngine) {
    const { ring, blocks, arenaAddress, stats } = engine;
    this.ring = ring;
    this.receiver = new DatagramReceiver(blocks, arenaAddress, stats);
    this.sender = new DatagramSender(blocks, arenaAddress, stats);
    this.room = new ConnectedRoom(engine);
  }

  serve(fd: number, owner: DatagramOwner): DatagramSocket {
    tellDestination(fd);
    receiveRuns(fd);
    let index = 0;
    while (index < this.bounds.length && !this.bounds[index]!.isOver) index++;
    const socket = new UringBound(this, index, fd, owner);
    this.bounds[index] = socket;
    return socket;
  }

  connect(address: Address, owner: DatagramOwner, source: string | undefined, isTransparent: boolean): DatagramSocket {
    return this.room.connect(address, owner, source, isTransparent);
  }

  /** At the end of a turn, before the kernel is entered. */
  flush(): void {
    this.room.flush();
    this.sender.flush();
  }

  /** All that was put is submitted, so the kernel has copied what was sent. */
  onSubmitted(): void {
    this.room.onSubmitted();
  }

  complete(tagged: number, tenancy: number, result: number, flags: number): void {
    const index = indexIn(tagged);
    const operationOf = tagged & WHICH_MASK;
    if (operationOf === which.poll) this.bounds[index]!.onPoll(result);
    else if (operationOf === which.cancelPoll) this.bounds[index]!.onCancelFailed();
    else this.room.complete(operationOf, index, tenancy, result, flags);
  }

  /** Nobody is told anything any more; flush() and complete() go on until {@link isOver}. */
  shut(): void {
    for (const bound of this.bounds) bound.close();
    this.room.shut();
  }

  get isOver(): boolean {
    return this.room.isOver && this.bounds.every((bound) => bound.isOver);
  }

  /** Once it is over, or will never be. */
  close(): void {
    this.room.close();
    this.receiver.close();
    this.sender.close();
  }
}
