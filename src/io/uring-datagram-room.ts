/**
 * uring-datagram-room: what the connected datagram sockets of the io_uring driver share: what they put into the ring, the blocks they receive into, those that
 * wait for another tenant.
 *
 * The blocks lent to the kernel are taken with the first socket and go back with the last one.
 */
import { type Blocks, LARGE_BYTES, LARGE_SLACK } from '../base/blocks.ts';
import { wordsOf } from '../base/datagram-name.ts';
import type { Address, DatagramOwner, DatagramSocket, TimerOwner } from '../base/wire.ts';
import {
  AF_INET6,
  AF_UNSPEC,
  EAGAIN,
  EDESTADDRREQ,
  IORING_OP_ASYNC_CANCEL,
  IORING_OP_CLOSE,
  IORING_OP_CONNECT,
  IORING_OP_RECVMSG,
  IORING_OP_SEND,
  IORING_RECV_MULTISHOT,
  IOSQE_BUFFER_SELECT,
  IOSQE_CQE_SKIP_SUCCESS,
  MSG_DONTWAIT,
  MSG_NOSIGNAL,
  msghdr_msg_controllen,
} from '../sys/constants.generated.ts';
import { datagramSocket, datagramSocketFrom, receiveRuns, UNSPEC_BYTES } from '../sys/datagram.ts';
import { type Mapping, mapLow, munmap } from '../sys/memory.ts';
import { encodeAddress, familyOf, SOCKADDR_BYTES_MAX } from '../sys/socket-address.ts';
import type { Ring } from '../sys/uring.ts';
import { SEGMENT_BYTES } from './datagram-control.ts';
import { isRefusal } from './datagram-errno.ts';
import { DatagramPool, POOL_MAX, REST_TURNS, TRIM_MS } from './datagram-pool.ts';
import { DatagramRun } from './datagram-run.ts';
import type { UringEngine } from './uring.ts';
import { type ConnectedParts, nobody, state, UringConnected } from './uring-datagram-connected.ts';
import { datagramTag, which } from './uring-datagram-tags.ts';
import { BlockRing } from './uring-receive.ts';
import { operation } from './uring-tags.ts';

/** Blocks lent to the kernel for what connected sockets receive. */
const RECEIVE_DEPTH = 256;
/** Their buffer group. */
const GROUP = 1;

/** Memory of a submission place: a sockaddr. */
const PLACE_BYTES = 32;
/** Behind the msghdr of all receives: the sockaddr that dissolves a connection. */
const UNSPEC_AT = 64;

const SILENT = IOSQE_CQE_SKIP_SUCCESS << 8;
const RECEIVE = IORING_OP_RECVMSG | (IOSQE_BUFFER_SELECT << 8) | (IORING_RECV_MULTISHOT << 16);
const SEND = IORING_OP_SEND | SILENT;
const CONNECT = IORING_OP_CONNECT | SILENT;
const CLOSE = IORING_OP_CLOSE | SILENT;
const CANCEL = IORING_OP_ASYNC_CANCEL | SILENT;
const SEND_FLAGS = MSG_NOSIGNAL | MSG_DONTWAIT;

export class ConnectedRoom implements ConnectedParts, TimerOwner {
  readonly engine: UringEngine;
  readonly blocks: Blocks;
  readonly words: Int32Array;
  private readonly ring: Ring;
  /** What the last socket that sent has sent since. */
  private readonly run: DatagramRun;
  private runner: UringConnected | null = null;
  private readonly places: Mapping;
  private readonly fixed: Mapping;
  private readonly encoded = new WeakMap<Address, Uint8Array>();
  private readonly sockets: UringConnected[] = [];
  private readonly free: UringConnected[] = [];
  private readonly pool4 = new DatagramPool<UringConnected>();
  private readonly pool6 = new DatagramPool<UringConnected>();
  private readonly starved: UringConnected[] = [];
  private blockRing: BlockRing | null = null;
  /** Connected sockets with a descriptor, those that are being closed included. */
  private live = 0;
  /** Blocks of sends that are not submitted yet. */
  private held = new Int32Array(256);
  private heldCount = 0;
  private turns = 0;
  private isTrimming = false;
  private isClosed = false;

  constructor(engine: UringEngine) {
    this.engine = engine;
    this.ring = engine.ring;
    this.blocks = engine.blocks;
    this.words = wordsOf(engine.blocks);
    this.run = new DatagramRun(engine.blocks, engine.arenaAddress);
    this.places = mapLow(engine.ring.sqEntries * PLACE_BYTES);
    this.fixed = mapLow(UNSPEC_AT + UNSPEC_BYTES);
    const words = new Int32Array(this.fixed.buffer);
    words[msghdr_msg_controllen >> 2] = SEGMENT_BYTES;
    words[UNSPEC_AT >> 2] = AF_UNSPEC;
  }

  connect(address: Address, owner: DatagramOwner, source: string | undefined, isTransparent: boolean): DatagramSocket {
    const family = familyOf(address);
    const pooled = source === undefined ? this.takePooled(family) : null;
    const socket = pooled ?? this.make(family, source, isTransparent);
    socket.begin(owner);
    if (socket.fd < 0) {
      socket.failLater(-socket.fd);
      return socket;
    }
    if (pooled === null) this.arm(socket);
    let bytes = this.encoded.get(address);
    if (bytes === undefined) {
      const room = new Uint8Array(SOCKADDR_BYTES_MAX);
      bytes = room.subarray(0, encodeAddress(address, room, 0));
      this.encoded.set(address, bytes);
    }
    socket.mayMeetItself = this.engine.localPorts.mayMeetItself(address);
    const { ring, places } = this;
    const at = ring.nextPlace() * PLACE_BYTES;
    places.bytes.set(bytes, at);
    const tag = datagramTag(socket.index, which.connect);
    ring.put(CONNECT, socket.fd, bytes.length, 0, places.address + at, 0, 0, tag, socket.tenancy);
    socket.putTurn = this.turns;
    return socket;
  }

  // For connected sockets.

  send(socket: UringConnected, block: number, start: number, end: number, segment: number): void {
    const { run } = this;
    const isRun = segment !== 0 && end - start > segment;
    if (run.count > 0 && (socket !== this.runner || isRun || socket.splitsRuns || !run.takes(end - start))) this.sendRun();
    if (isRun) {
      this.submitFirst(socket);
      this.settle(socket, run.sendWhole(socket.fd, start, end, segment));
      return;
    }
    this.runner = socket;
    run.add(block, start, end);
  }

  /** What the last socket has sent: one goes down with the next enter, several by a call of their own. */
  private sendRun(): void {
    const { run, ring } = this;
    if (run.count === 0) return;
    const socket = this.runner!;
    if (run.count > 1) {
      this.submitFirst(socket);
      this.settle(socket, run.send(socket.fd));
      return;
    }
    this.hold(run.soleBlock);
    const tag = datagramTag(socket.index, which.send);
    ring.put(SEND, socket.fd, 0, 0, run.soleAddress, run.soleLength, SEND_FLAGS, tag, socket.tenancy);
    socket.putTurn = this.turns;
    run.clear();
  }

  /** What it was asked before in this turn must be done before a call is made. */
  private submitFirst(socket: UringConnected): void {
    if (socket.putTurn === this.turns) this.ring.enter(0);
  }

  private settle(socket: UringConnected, result: number): void {
    if (this.run.isRefused) socket.splitsRuns = true;
    if (result >= 0) return;
    if (isRefusal(-result)) socket.failLater(-result);
    else if (result === -EAGAIN && socket.lacksPort()) {
      this.giveUpConnect(socket);
      socket.failLater(EAGAIN);
    } else this.engine.stats.dropped += this.run.lost;
  }

  release(socket: UringConnected): void {
    if (socket === this.runner) this.sendRun();
    const pool = this.pool(socket.family);
    if (socket.fd < 0 || !socket.isArmed || socket.isSpent || pool.count >= POOL_MAX || this.isClosed) {
      this.end(socket);
      return;
    }
    socket.state = state.pooled;
    const tag = datagramTag(socket.index, which.disconnect);
    this.ring.put(CONNECT, socket.fd, UNSPEC_BYTES, 0, this.fixed.address + UNSPEC_AT, 0, 0, tag, socket.tenancy);
    pool.give(socket, this.turns);
    if (this.isTrimming) return;
    this.isTrimming = true;
    this.engine.setTimer(TRIM_MS, this, 0);
  }

  arm(socket: UringConnected): void {
    socket.isArmed = true;
    this.ring.putGrouped(RECEIVE, socket.fd, this.fixed.address, GROUP, datagramTag(socket.index, which.receive), 0);
  }

  starve(socket: UringConnected): void {
    this.starved.push(socket);
  }

  onBlock(): void {
    if (this.blockRing !== null) this.blockRing.count--;
  }

  over(socket: UringConnected): void {
    socket.state = state.free;
    socket.fd = -1;
    this.free.push(socket);
    if (--this.live > 0 || this.blockRing === null) return;
    this.blockRing.close();
    this.blockRing = null;
  }

  // For the engine.

  /** At the end of a turn, before the kernel is entered. */
  flush(): void {
    this.sendRun();
    this.turns++;
    const { blockRing, starved } = this;
    if (blockRing === null) return;
    blockRing.refill();
    // Not more than there are blocks: the rest would come back at once.
    for (let i = blockRing.count; i > 0 && starved.length > 0; i--) {
      const socket = starved.pop()!;
      if (socket.state === state.open && !socket.isArmed) this.arm(socket);
    }
  }

  /** All that was put is submitted, so the kernel has copied what was sent. */
  onSubmitted(): void {
    const { held, blocks } = this;
    for (let i = 0; i < this.heldCount; i++) blocks.release(held[i]!);
    this.heldCount = 0;
  }

  complete(operationOf: number, index: number, tenancy: number, result: number, flags: number): void {
    switch (operationOf) {
      case which.receive:
        this.sockets[index]!.onReceive(result, flags);
        break;
      case which.send:
        this.sendFailed(this.sockets[index]!, -result, tenancy);
        break;
      case which.connect:
        this.sockets[index]!.onFailed(-result, tenancy);
        break;
      case which.disconnect:
        this.sockets[index]!.isSpent = true;
        break;
      case which.cancelReceive: {
        const socket = this.sockets[index]!;
        if (socket.state === state.closing && socket.isArmed) this.cancel(socket);
        break;
      }
    }
  }

  /** Nobody is told anything any more; flush() and complete() go on until {@link isOver}. */
  shut(): void {
    this.isClosed = true;
    for (const socket of this.sockets) {
      socket.owner = nobody;
      if (socket.state === state.open) socket.close();
    }
    this.closePooled();
  }

  get isOver(): boolean {
    return this.live === 0 && this.heldCount === 0;
  }

  /** Once it is over, or will never be. */
  close(): void {
    this.blockRing?.close();
    this.run.close();
    munmap(this.places);
    munmap(this.fixed);
  }

  onTimer(): void {
    this.isTrimming = false;
    this.trim(this.pool4);
    this.trim(this.pool6);
    if (this.isClosed || this.pool4.count + this.pool6.count === 0) return;
    this.isTrimming = true;
    this.engine.setTimer(TRIM_MS, this, 0);
  }

  private trim(pool: DatagramPool<UringConnected>): void {
    for (let i = pool.trim(); i > 0; i--) this.end(pool.take(this.turns)!);
  }

  private closePooled(): void {
    for (const pool of [this.pool4, this.pool6]) while (pool.count > 0) this.end(pool.take(this.turns)!);
  }

  private pool(family: number): DatagramPool<UringConnected> {
    return family === AF_INET6 ? this.pool6 : this.pool4;
  }

  private takePooled(family: number): UringConnected | null {
    const pool = this.pool(family);
    for (;;) {
      const socket = pool.take(this.turns - REST_TURNS);
      if (socket === null || !socket.isSpent) return socket;
      this.end(socket);
    }
  }

  private make(family: number, source: string | undefined, isTransparent: boolean): UringConnected {
    const fd = source === undefined ? datagramSocket(family) : datagramSocketFrom(family, source, isTransparent);
    const socket = this.free.pop() ?? this.grow();
    socket.family = family;
    socket.fd = fd;
    socket.isSpent = source !== undefined;
    this.live++;
    if (fd < 0) return socket;
    const depth = Math.max(1, Math.min(RECEIVE_DEPTH, this.blocks.largeCount >> 3));
    this.blockRing ??= new BlockRing(this.ring, this.blocks, this.engine.arenaAddress, depth, GROUP, LARGE_BYTES + LARGE_SLACK);
    receiveRuns(fd);
    return socket;
  }

  private grow(): UringConnected {
    const socket = new UringConnected(this, this.sockets.length);
    this.sockets.push(socket);
    return socket;
  }

  private end(socket: UringConnected): void {
    socket.state = state.closing;
    if (socket.fd >= 0) {
      if (socket.isArmed) this.cancel(socket);
      this.ring.put(CLOSE, socket.fd, 0, 0, 0, 0, 0, operation.close, 0);
    }
    if (!socket.isArmed) this.over(socket);
  }

  private cancel(socket: UringConnected): void {
    const tag = datagramTag(socket.index, which.receive);
    this.ring.putCancel(CANCEL, tag, 0, datagramTag(socket.index, which.cancelReceive), 0);
  }

  private hold(block: number): void {
    if (this.heldCount === this.held.length) {
      const grown = new Int32Array(this.held.length * 2);
      grown.set(this.held);
      this.held = grown;
    }
    this.held[this.heldCount++] = block;
    this.blocks.retain(block);
  }

  private sendFailed(socket: UringConnected, errno: number, tenancy: number): void {
    if (isRefusal(errno)) socket.onFailed(errno, tenancy);
    else if (errno === EAGAIN && socket.isTenant(tenancy) && socket.lacksPort()) {
      this.giveUpConnect(socket);
      socket.onFailed(EAGAIN, tenancy);
    }
    // Else a connect has failed, which is told by itself, and what was sent may be sent elsewhere.
    else if (errno !== EDESTADDRREQ) this.engine.stats.dropped++;
  }

  /** It found no local port (EAGAIN), and the ring would go on trying by itself for a hundred turns. */
  private giveUpConnect(socket: UringConnected): void {
    socket.isSpent = true;
    const tag = datagramTag(socket.index, which.connect);
    this.ring.putCancel(CANCEL, tag, socket.tenancy, datagramTag(socket.index, which.cancelConnect), 0);
  }
}
