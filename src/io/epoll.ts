/**
 * epoll: the driver for machines that forbid io_uring (containers' seccomp profiles, kernel.io_uring_disabled), over epoll(7).
 *
 * A turn: wait, read the clock, onTurn, timers, events, reads left over, flush, ends. A proxied request on kept connections costs
 * two recv and two send, and its share of one epoll_wait; nothing is registered, changed or asked per request.
 *
 * Rules
 * 1. Callbacks come from turn() only. What a call made on a wire brings about comes at the end of the turn or later.
 * 2. A descriptor is closed after the last event of the turn was looked at, and events carry a generation, so none reaches a later
 *    connection of the same wire.
 * 3. Waiting ends with the next timer, when Node's own loop has something to do, and after 50 ms.
 */
import { assert } from '../base/assert.ts';
import type { Blocks } from '../base/blocks.ts';
import { SoonList, type SoonTask } from '../base/soon.ts';
import { TimerWheel } from '../base/timer-wheel.ts';
import {
  type AcceptOwner,
  type Acceptor,
  type Address,
  type DatagramOwner,
  type DatagramSocket,
  type Engine,
  FLUSH_STALL_MS,
  type TimerOwner,
  type Wire,
  type WireOwner,
} from '../base/wire.ts';
import {
  EINPROGRESS,
  EINTR,
  EPOLL_CTL_ADD,
  EPOLL_CTL_DEL,
  EPOLLERR,
  EPOLLHUP,
  EPOLLIN,
  EPOLLOUT,
  EPOLLRDHUP,
  IP_BIND_ADDRESS_NO_PORT,
  IPPROTO_IP,
  IPPROTO_TCP,
  MSG_DONTWAIT,
  MSG_NOSIGNAL,
  msghdr_BYTES,
  msghdr_msg_iov,
  msghdr_msg_iovlen,
  TCP_NODELAY,
} from '../sys/constants.generated.ts';
import { close, EPOLL_EVENT_BYTES, EPOLL_EVENT_DATA, epollCreate, epollCtl, epollWait } from '../sys/libc.ts';
import { LocalPortRange } from '../sys/local-port-range.ts';
import { type Mapping, mapLow, munmap } from '../sys/memory.ts';
import { nodeLoopFd } from '../sys/node-loop.ts';
import { bind, connect, send, sendmsg, setReset, setsockopt, setTransparent, streamSocket } from '../sys/socket.ts';
import { hasSource } from '../sys/source-address.ts';
import { check } from '../sys/system-error.ts';
import { type Arena, type ArenaOptions, closeArena, openArena } from './arena.ts';
import { EpollAcceptor } from './epoll-acceptor.ts';
import { EpollDatagrams } from './epoll-datagram.ts';
import { EpollWire, NO_OWNER, state } from './epoll-wire.ts';
import { EpollWrites } from './epoll-write.ts';
import { NO_PIECE, SendQueue } from './send-queue.ts';

export interface EpollOptions extends ArenaOptions {
  /** Another FLUSH_STALL_MS, for tests. */
  readonly flushStallMs?: number;
}

/** Node's own loop gets a turn at least this often. */
const NODE_TURN_MS = 50;
/** A wire that found no free block looks again after this time. */
const STARVED_MS = 2;
/** Events taken in one turn at most. */
const EVENTS_MAX = 512;
/** Pieces in one call; more go in another. */
const IOVECS_MAX = 64;

// User data of an event: kind and place in the low word, generation in the high one.
const KIND_SHIFT = 28;
const PLACE_MASK = 2 ** KIND_SHIFT - 1;
const KIND_WIRE = 0;
const KIND_ACCEPTOR = 1;
const KIND_WRITE = 2;
const KIND_NODE = 3;
const KIND_DATAGRAM = 4;

const EVERYTHING = EPOLLIN | EPOLLOUT | EPOLLRDHUP | 0x8000_0000; // EPOLLET

// Words of the scratch mapping: events, then iovecs, then the msghdr.
const EVENT_WORDS = EPOLL_EVENT_BYTES >> 2;
const EVENT_DATA_WORD = EPOLL_EVENT_DATA >> 2;
const IOVEC_AT = (EVENTS_MAX * EPOLL_EVENT_BYTES + 15) & ~15;
const MESSAGE_AT = IOVEC_AT + IOVECS_MAX * 16;
const SCRATCH_BYTES = MESSAGE_AT + msghdr_BYTES;

export class EpollEngine implements Engine {
  readonly name = 'epoll';
  readonly blocks: Blocks;
  readonly stats: { enters: number; completions: number; overflows: number; dropped: number };
  onTurn: (() => void) | null;

  // For the files of this room.
  readonly epoll: number;
  readonly arenaAddress: number;
  readonly pieces: SendQueue;
  readonly localPorts: LocalPortRange;
  readonly flushStallMs: number;
  /** Bytes the last sendPieces() asked the kernel to take. */
  askedBytes: number;

  private readonly arena: Arena;
  private readonly scratch: Mapping;
  private readonly words: Int32Array;
  private readonly wheel: TimerWheel;
  private readonly writes: EpollWrites;
  private readonly wires: EpollWire[];
  private readonly freeWires: EpollWire[];
  private readonly acceptors: EpollAcceptor[];
  /** Made with the first of them. */
  private datagrams: EpollDatagrams | null;
  // Each list is taken whole and worked off while the next one fills.
  private dirty: EpollWire[];
  private dirtyNext: EpollWire[];
  private readonly soonList: SoonList;
  private ready: EpollWire[];
  private readyNext: EpollWire[];
  private endings: EpollWire[];
  private endingsNext: EpollWire[];
  private isStarved: boolean;
  private isNodeDue: boolean;
  private isInTurn: boolean;
  private isStopping: boolean;
  private isClosed: boolean;

  /** Throws SystemError when there is no descriptor or no memory left. */
  constructor(options: EpollOptions) {
    this.epoll = check('epoll_create1', epollCreate());
    this.arena = openArena(options);
    this.blocks = this.arena.blocks;
    this.arenaAddress = this.arena.address;
    this.pieces = new SendQueue(this.blocks);
    this.localPorts = new LocalPortRange();
    this.flushStallMs = options.flushStallMs ?? FLUSH_STALL_MS;
    this.scratch = mapLow(SCRATCH_BYTES);
    this.words = new Int32Array(this.scratch.buffer);
    this.words[(MESSAGE_AT + msghdr_msg_iov) >> 2] = this.scratch.address + IOVEC_AT;
    this.wheel = new TimerWheel(performance.now());
    this.writes = new EpollWrites(this.epoll, this.blocks, this.arenaAddress, KIND_WRITE << KIND_SHIFT);
    this.stats = { enters: 0, completions: 0, overflows: 0, dropped: 0 };
    this.onTurn = null;
    this.askedBytes = 0;
    this.wires = [];
    this.freeWires = [];
    this.acceptors = [];
    this.datagrams = null;
    this.dirty = [];
    this.dirtyNext = [];
    this.soonList = new SoonList();
    this.ready = [];
    this.readyNext = [];
    this.endings = [];
    this.endingsNext = [];
    this.isStarved = false;
    this.isNodeDue = false;
    this.isInTurn = false;
    this.isStopping = false;
    this.isClosed = false;
    const nodeFd = nodeLoopFd();
    if (nodeFd >= 0) check('epoll_ctl', epollCtl(this.epoll, EPOLL_CTL_ADD, nodeFd, EPOLLIN, KIND_NODE << KIND_SHIFT, 0));
  }

  get now(): number {
    return this.wheel.now;
  }

  accept(fd: number, owner: AcceptOwner): Acceptor {
    const place = this.acceptors.length;
    const acceptor = new EpollAcceptor(this, fd, owner, (KIND_ACCEPTOR << KIND_SHIFT) | place, 0);
    this.acceptors.push(acceptor);
    return acceptor;
  }

  adopt(fd: number, owner: WireOwner): Wire {
    const wire = this.takeWire(owner, fd, state.open);
    wire.isShared = true;
    check('epoll_ctl', this.register(wire));
    return wire;
  }

  dial(address: Address, owner: WireOwner, source?: string, isTransparent = false): Wire {
    const fd = streamSocket(address);
    const wire = this.takeWire(owner, fd, state.dialling);
    if (fd < 0) {
      wire.end(-fd);
      return wire;
    }
    wire.mayMeetItself = this.localPorts.mayMeetItself(address);
    let result = 0;
    if (address.kind === 'ip') {
      setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, 1);
      if (source !== undefined) {
        // The port is chosen at connect, when the other end is known, so that ports are shared between endpoints (Linux 4.2).
        setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1);
        if (isTransparent) result = setTransparent(fd, source);
        if (result === 0) result = bind(fd, { kind: 'ip', host: source, port: 0 });
      }
    }
    if (result === 0) result = connect(fd, address);
    // Where it connects at once (unix) it is writable at once, and the first event says so.
    if (result === 0 || result === -EINPROGRESS) result = this.register(wire);
    if (result < 0) wire.end(-result);
    return wire;
  }

  hasSource(address: Address, source?: string): boolean {
    return hasSource(address, source);
  }

  serveDatagrams(fd: number, owner: DatagramOwner): DatagramSocket {
    this.datagrams ??= new EpollDatagrams(this, KIND_DATAGRAM << KIND_SHIFT);
    return this.datagrams.serve(fd, owner);
  }

  connectDatagrams(address: Address, owner: DatagramOwner, source?: string, isTransparent = false): DatagramSocket {
    this.datagrams ??= new EpollDatagrams(this, KIND_DATAGRAM << KIND_SHIFT);
    return this.datagrams.connect(address, owner, source, isTransparent);
  }

  write(fd: number, block: number, start: number, end: number, done: (result: number) => void): void {
    this.writes.start(fd, block, start, end, done);
  }

  soon(task: SoonTask): void {
    this.soonList.add(task);
  }

  setTimer(ms: number, owner: TimerOwner, kind: number): number {
    // Between turns, the time of the last one is old.
    if (!this.isInTurn) this.wheel.now = Math.max(this.wheel.now, performance.now());
    return this.wheel.set(ms, owner, kind);
  }

  cancelTimer(ticket: number): void {
    this.wheel.cancel(ticket);
  }

  async run(): Promise<void> {
    assert(!this.isClosed, 'a closed engine does not run');
    this.isStopping = false;
    while (!this.isStopping) {
      this.wheel.now = performance.now();
      const until = this.wheel.now + NODE_TURN_MS;
      this.isNodeDue = false;
      do this.turn(until);
      while (!this.isStopping && !this.isNodeDue && this.wheel.now < until);
      await new Promise((resolve) => setImmediate(resolve));
    }
  }

  stop(): void {
    this.isStopping = true;
  }

  close(): void {
    if (this.isClosed) return;
    this.isClosed = true;
    this.isStopping = true;
    for (const acceptor of this.acceptors) acceptor.close();
    for (const wire of this.wires) {
      if (wire.state === state.dead) continue;
      wire.owner = NO_OWNER;
      if (wire.state !== state.ending) wire.end(0);
      if (wire.fd >= 0) close(wire.fd);
    }
    this.writes.close();
    this.datagrams?.close();
    close(this.epoll);
    munmap(this.scratch);
    closeArena(this.arena);
  }

  // For the files of this room.

  /** An accepted connection as a wire without an owner; null, and closed, when the kernel has no memory to watch it. */
  openWire(fd: number): EpollWire | null {
    const wire = this.takeWire(NO_OWNER, fd, state.open);
    if (this.register(wire) >= 0) return wire;
    close(fd);
    this.giveWire(wire);
    return null;
  }

  addDirty(wire: EpollWire): void {
    wire.isDirty = true;
    this.dirtyNext.push(wire);
  }

  addReady(wire: EpollWire): void {
    wire.isReady = true;
    this.readyNext.push(wire);
  }

  /** The wire found no free block. */
  addStarved(wire: EpollWire): void {
    this.isStarved = true;
    if (!wire.isReady) this.addReady(wire);
  }

  addEnding(wire: EpollWire): void {
    this.endingsNext.push(wire);
  }

  /** Sends the chain that begins with `first`, or as much of it as one call takes: see {@link askedBytes}. */
  sendPieces(fd: number, first: number): number {
    const { pieces, arenaAddress, words } = this;
    const next = pieces.next[first]!;
    if (next === NO_PIECE) {
      const start = pieces.start[first]!;
      const length = pieces.end[first]! - start;
      this.askedBytes = length;
      return send(fd, arenaAddress + start, length, MSG_NOSIGNAL | MSG_DONTWAIT);
    }
    let asked = 0;
    let count = 0;
    let at = IOVEC_AT >> 2;
    for (let piece = first; piece !== NO_PIECE && count < IOVECS_MAX; piece = pieces.next[piece]!) {
      const start = pieces.start[piece]!;
      const length = pieces.end[piece]! - start;
      words[at] = arenaAddress + start;
      words[at + 2] = length;
      at += 4;
      asked += length;
      count++;
    }
    words[(MESSAGE_AT + msghdr_msg_iovlen) >> 2] = count;
    this.askedBytes = asked;
    return sendmsg(fd, this.scratch.address + MESSAGE_AT, MSG_NOSIGNAL | MSG_DONTWAIT);
  }

  private takeWire(owner: WireOwner, fd: number, began: number): EpollWire {
    let wire = this.freeWires.pop();
    if (wire === undefined) {
      wire = new EpollWire(this, this.wires.length);
      this.wires.push(wire);
    }
    wire.begin(owner, fd, began);
    return wire;
  }

  private giveWire(wire: EpollWire): void {
    wire.state = state.dead;
    wire.owner = NO_OWNER;
    wire.generation = (wire.generation + 1) | 0;
    this.freeWires.push(wire);
  }

  private register(wire: EpollWire): number {
    return epollCtl(this.epoll, EPOLL_CTL_ADD, wire.fd, EVERYTHING, (KIND_WIRE << KIND_SHIFT) | wire.slot, wire.generation);
  }

  private turn(until: number): void {
    const count = epollWait(this.epoll, this.scratch.address, EVENTS_MAX, this.waitMs(until));
    if (count < 0 && count !== -EINTR) check('epoll_wait', count);
    this.stats.enters++;
    this.isInTurn = true;
    const now = performance.now();
    this.wheel.now = now;
    if (this.onTurn !== null) this.onTurn();
    this.wheel.advance(now);
    if (count > 0) this.dispatch(count);
    if (this.readyNext.length > 0) this.readMore();
    do {
      this.soonList.run();
      if (this.dirtyNext.length > 0) this.flush();
    } while (this.soonList.length > 0);
    if (this.datagrams !== null) this.datagrams.flush();
    this.writes.flush();
    if (this.endingsNext.length > 0) this.endWires();
    this.isInTurn = false;
  }

  /** How long epoll_wait may wait, in whole ms: 0 when something is left to do. */
  private waitMs(until: number): number {
    if (
      this.isStopping ||
      this.soonList.length > 0 ||
      this.dirtyNext.length > 0 ||
      this.endingsNext.length > 0 ||
      this.writes.isPending
    )
      return 0;
    if (this.readyNext.length > 0 && !this.isStarved) return 0;
    if (this.datagrams !== null && this.datagrams.isPending) return 0;
    const { now } = this.wheel;
    const ms = Math.ceil(Math.min(this.wheel.nextMs(now), Math.max(until - now, 0)));
    return this.isStarved ? Math.min(ms, STARVED_MS) : ms;
  }

  private dispatch(count: number): void {
    const { words, wires } = this;
    this.stats.completions += count;
    for (let i = 0, at = 0; i < count; i++, at += EVENT_WORDS) {
      const events = words[at]!;
      const low = words[at + EVENT_DATA_WORD]!;
      if (low >> KIND_SHIFT === KIND_WIRE) {
        const wire = wires[low]!;
        if (wire.generation === words[at + EVENT_DATA_WORD + 1]) wire.onEvents(events);
      } else if (low >> KIND_SHIFT === KIND_DATAGRAM)
        this.datagrams!.onEvents(low & PLACE_MASK, words[at + EVENT_DATA_WORD + 1]!);
      else this.dispatchRare(low >> KIND_SHIFT, low & PLACE_MASK, events);
    }
  }

  private dispatchRare(kind: number, place: number, events: number): void {
    if (kind === KIND_ACCEPTOR) {
      const acceptor = this.acceptors[place]!;
      if (!acceptor.isClosed) acceptor.onEvents();
    } else if (kind === KIND_WRITE) {
      if ((events & (EPOLLOUT | EPOLLERR | EPOLLHUP)) !== 0) this.writes.onWritable(place);
    } else this.isNodeDue = true;
  }

  private readMore(): void {
    const list = this.readyNext;
    this.readyNext = this.ready;
    this.ready = list;
    this.isStarved = false;
    for (let i = 0; i < list.length; i++) list[i]!.onReady();
    list.length = 0;
  }

  private flush(): void {
    const list = this.dirtyNext;
    this.dirtyNext = this.dirty;
    this.dirty = list;
    for (let i = 0; i < list.length; i++) list[i]!.flush();
    list.length = 0;
  }

  private endWires(): void {
    const list = this.endingsNext;
    this.endingsNext = this.endings;
    this.endings = list;
    for (let i = 0; i < list.length; i++) {
      const wire = list[i]!;
      if (wire.fd >= 0) {
        if (wire.mustReset) setReset(wire.fd);
        // Nobody else should hold the open file, but where a child does, closing would not end the events.
        if (wire.isShared) epollCtl(this.epoll, EPOLL_CTL_DEL, wire.fd, 0, 0, 0);
        close(wire.fd);
        wire.fd = -1;
      }
      const { owner, errno } = wire;
      wire.state = state.dead;
      owner.onClosed(wire, errno);
      this.giveWire(wire);
    }
    list.length = 0;
  }
}

/** Opens an engine over epoll. Throws SystemError with the reason when that cannot be. */
export function openEpoll(options: EpollOptions): Engine {
  return new EpollEngine(options);
}
