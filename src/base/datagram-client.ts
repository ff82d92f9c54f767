/**
 * What listen/ and relay/ are to each other about datagrams: relay/ implements it, one sink for each UDP listener, and keeps what it remembers of clients there.
 *
 * Rules
 * 1. onDatagram is told of what arrives at the bound sockets of the listener; `door` numbers them, and is never used again. Answers leave by the socket the
 *    question came by.
 * 2. Sessions outlive a change of the plan. They end with the socket they came by.
 */
import type { DatagramSocket } from './wire.ts';

export interface DatagramSink {
  /** Clients remembered. */
  readonly count: number;
  /** Arguments as of DatagramOwner. The name at `from` may be written to. */
  onDatagram(
    socket: DatagramSocket,
    door: number,
    block: number,
    start: number,
    end: number,
    segment: number,
    from: number,
  ): void;
  /** No new clients any more. */
  drain(): void;
  /** This socket is about to be closed. */
  leave(socket: DatagramSocket): void;
  /** Forget all clients. Returns how many of them were in the middle of something. */
  cut(): number;
}
