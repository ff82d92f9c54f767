/**
 * One UDP listener of the plan in one worker: its sockets, and the sink that remembers its clients. It belongs to the listener's name like Listener, so a
 * reload that keeps the name keeps sockets and clients.
 */
import type { DatagramSink } from '../base/datagram-client.ts';
import type { DatagramOwner, DatagramSocket, Engine } from '../base/wire.ts';
import type { ListenerPlan } from '../state/plan.ts';

/** What it is given by the worker. */
export interface UdpParts {
  readonly engine: Engine;
  /** Who carries datagrams: relay/, wired up by the worker. */
  readonly taker: { openDatagrams(listener: UdpListener): DatagramSink };
}

/** A bound socket in use. */
class Door implements DatagramOwner {
  readonly fd: number;
  readonly socket: DatagramSocket;
  private readonly sink: DatagramSink;
  private readonly number: number;

  constructor(fd: number, number: number, engine: Engine, sink: DatagramSink) {
    this.fd = fd;
    this.number = number;
    this.sink = sink;
    this.socket = engine.serveDatagrams(fd, this);
  }

  onDatagram(socket: DatagramSocket, block: number, start: number, end: number, segment: number, from: number): void {
    this.sink.onDatagram(socket, this.number, block, start, end, segment, from);
  }

  onDatagramFault(): void {
    // A bound socket has none.
  }
}

export class UdpListener {
  plan: ListenerPlan;
  /** In plan.listeners of the plan in force; -1 when it left the plan: its clients are served until its sockets go. */
  index: number;
  private readonly parts: UdpParts;
  private readonly sink: DatagramSink;
  private doors: Door[] = [];
  private doorsOpened = 0;

  constructor(plan: ListenerPlan, index: number, parts: UdpParts) {
    this.plan = plan;
    this.index = index;
    this.parts = parts;
    this.sink = parts.taker.openDatagrams(this);
  }

  /** Clients remembered. */
  get connections(): number {
    return this.sink.count;
  }

  update(plan: ListenerPlan, index: number): void {
    this.plan = plan;
    this.index = index;
  }

  /** Receives on these sockets too. */
  serve(sockets: readonly { fd: number }[]): void {
    for (const { fd } of sockets) {
      if (this.doors.some((door) => door.fd === fd)) continue;
      this.doors.push(new Door(fd, this.doorsOpened++, this.parts.engine, this.sink));
    }
  }

  /** These sockets are about to be closed. */
  leave(fds: ReadonlySet<number>): void {
    for (const door of this.doors) {
      if (!fds.has(door.fd)) continue;
      this.sink.leave(door.socket);
      door.socket.close();
    }
    this.doors = this.doors.filter(({ fd }) => !fds.has(fd));
  }

  /**
   * No new clients: those that are here are served on. With a successor on the same sockets nothing is received any more, because what is received here
   * would be lost to it; answers still leave.
   */
  stop(hasSuccessor: boolean): void {
    this.sink.drain();
    if (hasSuccessor) for (const { socket } of this.doors) socket.pause();
  }

  /** Forgets all clients; returns how many of them were in the middle of something. */
  cut(): number {
    return this.sink.cut();
  }
}
