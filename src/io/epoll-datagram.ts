/**
 * epoll-datagram: UDP sockets of the epoll driver.
 *
 * Level-triggered: what is left is told of again. Connected sockets send with a call for each datagram, or for some that follow one another; answers of bound
 * ones leave together at the end of the turn. A connected socket whose tenant has gone is connected to nothing, rests (datagram-pool.ts), is emptied, and goes to the next tenant.
 */
import type { Address, DatagramOwner, DatagramSocket, TimerOwner } from '../base/wire.ts';
import {
  AF_INET6,
  EAGAIN,
  ECONNREFUSED,
  EINTR,
  EPOLL_CTL_ADD,
  EPOLL_CTL_DEL,
  EPOLLIN,
  MSG_DONTWAIT,
} from '../sys/constants.generated.ts';
import { connectAt, datagramSocket, datagramSocketFrom, disconnect, receiveRuns, tellDestination } from '../sys/datagram.ts';
import { close, epollCtl } from '../sys/libc.ts';
import { low } from '../sys/memory.ts';
import { isItsOwnPeer, recv } from '../sys/socket.ts';
import { encodeAddress, familyOf, SOCKADDR_BYTES_MAX } from '../sys/socket-address.ts';
import { check } from '../sys/system-error.ts';
import { isRefusal } from './datagram-errno.ts';
import { DatagramPool, POOL_MAX, REST_TURNS, TRIM_MS } from './datagram-pool.ts';
import { DatagramReceiver } from './datagram-receive.ts';
import { DatagramRun } from './datagram-run.ts';
import { DatagramSender } from './datagram-send.ts';
import type { EpollEngine } from './epoll.ts';
import { EpollDatagram } from './epoll-datagram-socket.ts';

/** Datagrams dropped of what came for the last tenant; when there are more the socket is closed. */
const LATE_MAX = 8;

export class EpollDatagrams implements TimerOwner {
  readonly engine: EpollEngine;
  readonly receiver: DatagramReceiver;
  readonly sender: DatagramSender;
  /** High bits of the user data of events. */
  private readonly kind: number;
  /** What the last socket that sent has sent since. */
  private readonly run: DatagramRun;
  private runner: EpollDatagram | null = null;
  private readonly encoded = new WeakMap<Address, Uint8Array>();
  private readonly sockets: EpollDatagram[] = [];
  private readonly free: EpollDatagram[] = [];
  private readonly pool4 = new DatagramPool<EpollDatagram>();
  private readonly pool6 = new DatagramPool<EpollDatagram>();
  private turns = 0;
  private isTrimming = false;

  constructor(engine: EpollEngine, kind: number) {
    this.engine = engine;
    this.kind = kind;
    this.receiver = new DatagramReceiver(engine.blocks, engine.arenaAddress, engine.stats);
    this.sender = new DatagramSender(engine.blocks, engine.arenaAddress, engine.stats);
    this.run = new DatagramRun(engine.blocks, engine.arenaAddress);
  }

  /** Something waits for flush(). */
  get isPending(): boolean {
    return this.sender.count > 0 || this.run.count > 0;
  }

  serve(fd: number, owner: DatagramOwner): DatagramSocket {
    tellDestination(fd);
    receiveRuns(fd);
    const socket = this.take();
    socket.isBound = true;
    socket.fd = fd;
    socket.owner = owner;
    socket.isOpen = true;
    check('epoll_ctl', this.watch(socket));
    return socket;
  }

  connect(address: Address, owner: DatagramOwner, source: string | undefined, isTransparent: boolean): DatagramSocket {
    const family = familyOf(address);
    const socket = (source === undefined ? this.takePooled(family) : null) ?? this.make(family, source, isTransparent);
    socket.owner = owner;
    socket.isOpen = true;
    socket.splitsRuns = false;
    if (socket.fd < 0) {
      socket.failLater(-socket.fd);
      return socket;
    }
    let bytes = this.encoded.get(address);
    if (bytes === undefined) {
      const room = new Uint8Array(SOCKADDR_BYTES_MAX);
      bytes = room.subarray(0, encodeAddress(address, room, 0));
      this.encoded.set(address, bytes);
    }
    low.bytes.set(bytes);
    const result = connectAt(socket.fd, low.address, bytes.length);
    if (result < 0) socket.failLater(-result);
    else if (this.engine.localPorts.mayMeetItself(address) && isItsOwnPeer(socket.fd)) {
      // Else it would hear itself before it is told.
      disconnect(socket.fd);
      socket.failLater(ECONNREFUSED);
    }
    return socket;
  }

  // For sockets.

  /** Left at the end of the turn, or when another socket sends: until then more may join it. */
  send(socket: EpollDatagram, block: number, start: number, end: number, segment: number): void {
    const { run } = this;
    const isRun = segment !== 0 && end - start > segment;
    if (run.count > 0 && (socket !== this.runner || isRun || socket.splitsRuns || !run.takes(end - start))) this.sendRun();
    if (isRun) {
      this.settle(socket, run.sendWhole(socket.fd, start, end, segment));
      return;
    }
    this.runner = socket;
    run.add(block, start, end);
  }

  private sendRun(): void {
    const { run, runner } = this;
    if (run.count > 0) this.settle(runner!, run.send(runner!.fd));
  }

  private settle(socket: EpollDatagram, result: number): void {
    if (this.run.isRefused) socket.splitsRuns = true;
    // What it could not be connected for is told by itself, and what was sent may be sent elsewhere.
    if (result >= 0 || socket.errno !== 0) return;
    if (isRefusal(-result)) socket.failLater(-result);
    else this.engine.stats.dropped += this.run.lost;
  }

  release(socket: EpollDatagram): void {
    if (socket.isBound) {
      // What was queued leaves before the descriptor may be closed.
      this.sender.flush();
      if (!socket.isPaused) this.unwatch(socket);
      this.over(socket);
      return;
    }
    if (socket === this.runner) this.sendRun();
    const pool = this.pool(socket.family);
    if (socket.fd < 0 || socket.isSpent || pool.count >= POOL_MAX || disconnect(socket.fd) < 0) {
      this.end(socket);
      return;
    }
    pool.give(socket, this.turns);
    if (this.isTrimming) return;
    this.isTrimming = true;
    this.engine.setTimer(TRIM_MS, this, 0);
  }

  unwatch(socket: EpollDatagram): void {
    epollCtl(this.engine.epoll, EPOLL_CTL_DEL, socket.fd, 0, 0, 0);
  }

  // For the engine.

  onEvents(place: number, generation: number): void {
    const socket = this.sockets[place]!;
    if (socket.generation !== generation) return;
    if (socket.isOpen) socket.onEvents();
    else this.empty(socket);
  }

  flush(): void {
    this.turns++;
    this.sendRun();
    this.sender.flush();
  }

  onTimer(): void {
    this.isTrimming = false;
    for (const pool of [this.pool4, this.pool6]) for (let i = pool.trim(); i > 0; i--) this.end(pool.take(this.turns)!);
    if (this.pool4.count + this.pool6.count === 0) return;
    this.isTrimming = true;
    this.engine.setTimer(TRIM_MS, this, 0);
  }

  close(): void {
    for (const socket of this.sockets) if (socket.fd >= 0 && !socket.isBound) close(socket.fd);
    this.receiver.close();
    this.sender.close();
    this.run.close();
  }

  private pool(family: number): DatagramPool<EpollDatagram> {
    return family === AF_INET6 ? this.pool6 : this.pool4;
  }

  private takePooled(family: number): EpollDatagram | null {
    const pool = this.pool(family);
    for (;;) {
      const socket = pool.take(this.turns - REST_TURNS);
      if (socket === null || this.empty(socket)) return socket;
      this.end(socket);
    }
  }

  /** Drops what came for the last tenant. False: it does not end. */
  private empty(socket: EpollDatagram): boolean {
    for (let i = 0; i < LATE_MAX; i++) {
      const result = recv(socket.fd, low.address, 0, MSG_DONTWAIT);
      if (result === -EAGAIN) return true;
      if (result === -EINTR) continue;
    }
    return false;
  }

  private make(family: number, source: string | undefined, isTransparent: boolean): EpollDatagram {
    const socket = this.take();
    socket.isBound = false;
    socket.family = family;
    socket.isSpent = source !== undefined;
    socket.fd = source === undefined ? datagramSocket(family) : datagramSocketFrom(family, source, isTransparent);
    if (socket.fd < 0) return socket;
    receiveRuns(socket.fd);
    const result = this.watch(socket);
    if (result < 0) {
      close(socket.fd);
      socket.fd = result;
    }
    return socket;
  }

  private watch(socket: EpollDatagram): number {
    return epollCtl(this.engine.epoll, EPOLL_CTL_ADD, socket.fd, EPOLLIN, this.kind | socket.place, socket.generation);
  }

  private take(): EpollDatagram {
    let socket = this.free.pop();
    if (socket === undefined) {
      socket = new EpollDatagram(this, this.sockets.length);
      this.sockets.push(socket);
    }
    socket.generation = (socket.generation + 1) | 0;
    socket.isPaused = false;
    socket.errno = 0;
    return socket;
  }

  private end(socket: EpollDatagram): void {
    if (socket.fd >= 0) close(socket.fd);
    this.over(socket);
  }

  private over(socket: EpollDatagram): void {
    socket.fd = -1;
    socket.generation = (socket.generation + 1) | 0;
    this.free.push(socket);
  }
}
