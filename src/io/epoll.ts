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
 *
 * Here stand the turn and the slots of wires and acceptors; -batch is what wires wait in for their point of the turn, -send the call that sends.
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
} from '../sys/constants.generated.ts';
import { close, EPOLL_EVENT_BYTES, EPOLL_EVENT_DATA, epollCreate, epollCtl, epollWait } from '../sys/libc.ts';
import { LocalPortRange } from '../sys/local-port-range.ts';
import { type Mapping, mapLow, munmap } from '../sys/memory.ts';
import { nodeLoopFd } from '../sys/node-loop.ts';
import { connect, setReset, streamSocket } from '../sys/socket.ts';
import { hasSource } from '../sys/source-address.ts';
import { check } from '../sys/system-error.ts';
import { type Arena, type ArenaOptions, closeArena, openArena } from './arena.ts';
import { prepareDial } from './dial.ts';
import { EpollAcceptor } from './epoll-acceptor.ts';
import { WireBatch } from './epoll-batch.ts';
import { EpollDatagrams } from './epoll-datagram.ts';
import { EpollSender } from './epoll-send.ts';
import { KIND_ACCEPTOR, KIND_DATAGRAM, KIND_NODE, KIND_SHIFT, KIND_WIRE, KIND_WRITE, PLACE_MASK } from './epoll-tags.ts';
import { EpollWire, state } from './epoll-wire.ts';
import { EpollWrites } from './epoll-write.ts';
import { nobody } from './nobody.ts';
import { SendQueue } from './send-queue.ts';

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

const EVERYTHING = EPOLLIN | EPOLLOUT | EPOLLRDHUP | 0x8000_0000; // EPOLLET

const EVENT_WORDS = EPOLL_EVENT_BYTES >> 2;
const EVENT_DATA_WORD = EPOLL_EVENT_DATA >> 2;

export class EpollEngine implements Engine {
  readonly name = 'epoll';
  readonly blocks: Blocks;
  readonly stats: { enters: number; completions: number; overflows: number; dropped: number };
  onTurn: (() => void) | null;

  // For the files of this room.
  readonly epoll: number;
  readonly arenaAddress: number;
  readonly pieces: SendQueue;
  readonly sender: EpollSender;
  readonly localPorts: LocalPortRange;
  readonly flushStallMs: number;

  private readonly arena: Arena;
  /** Where the kernel puts events. */
  private readonly events: Mapping;
  private readonly words: Int32Array;
  private readonly wheel: TimerWheel;
  private readonly writes: EpollWrites;
  private readonly wires: EpollWire[];
  private readonly freeWires: EpollWire[];
  private readonly acceptors: EpollAcceptor[];
  /** Made with the first of them. */
  private datagrams: EpollDatagrams | null;
  private readonly soonList: SoonList;
  private readonly dirty: WireBatch;
  private readonly ready: WireBatch;
  private readonly endings: WireBatch;
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
    this.sender = new EpollSender(this.pieces, this.arenaAddress);
    this.localPorts = new LocalPortRange();
    this.flushStallMs = options.flushStallMs ?? FLUSH_STALL_MS;
    this.events = mapLow(EVENTS_MAX * EPOLL_EVENT_BYTES);
    this.words = new Int32Array(this.events.buffer);
    this.wheel = new TimerWheel(performance.now());
    this.writes = new EpollWrites(this.epoll, this.blocks, this.arenaAddress, KIND_WRITE << KIND_SHIFT);
    this.stats = { enters: 0, completions: 0, overflows: 0, dropped: 0 };
    this.onTurn = null;
    this.wires = [];
    this.freeWires = [];
    this.acceptors = [];
    this.datagrams = null;
    this.soonList = new SoonList();
    this.dirty = new WireBatch();
    this.ready = new WireBatch();
    this.endings = new WireBatch();
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
    let result = prepareDial(fd, address, source, isTransparent);
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
      wire.owner = nobody;
      if (wire.state !== state.ending) wire.end(0);
      if (wire.fd >= 0) close(wire.fd);
    }
    this.writes.close();
    this.datagrams?.close();
    close(this.epoll);
    this.sender.close();
    munmap(this.events);
    closeArena(this.arena);
  }

  // For the files of this room.

  /** An accepted connection as a wire without an owner; null, and closed, when the kernel has no memory to watch it. */
  openWire(fd: number): EpollWire | null {
    const wire = this.takeWire(nobody, fd, state.open);
    if (this.register(wire) >= 0) return wire;
    close(fd);
    this.giveWire(wire);
    return null;
  }

  addDirty(wire: EpollWire): void {
    wire.isDirty = true;
    this.dirty.add(wire);
  }

  addReady(wire: EpollWire): void {
    wire.isReady = true;
    this.ready.add(wire);
  }

  /** The wire found no free block. */
  addStarved(wire: EpollWire): void {
    this.isStarved = true;
    if (!wire.isReady) this.addReady(wire);
  }

  addEnding(wire: EpollWire): void {
    this.endings.add(wire);
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
    wire.owner = nobody;
    wire.generation = (wire.generation + 1) | 0;
    this.freeWires.push(wire);
  }

  private register(wire: EpollWire): number {
    return epollCtl(this.epoll, EPOLL_CTL_ADD, wire.fd, EVERYTHING, (KIND_WIRE << KIND_SHIFT) | wire.slot, wire.generation);
  }

  private turn(until: number): void {
    const count = epollWait(this.epoll, this.events.address, EVENTS_MAX, this.waitMs(until));
    if (count < 0 && count !== -EINTR) check('epoll_wait', count);
    this.stats.enters++;
    this.isInTurn = true;
    const now = performance.now();
    this.wheel.now = now;
    if (this.onTurn !== null) this.onTurn();
    if (count > 0) this.dispatch(count);
    if (this.ready.count > 0) this.readMore();
    // After what has arrived: a machine that stood still has not made anybody late.
    this.wheel.advance(now);
    do {
      this.soonList.run();
      if (this.dirty.count > 0) this.flush();
    } while (this.soonList.length > 0);
    if (this.datagrams !== null) this.datagrams.flush();
    this.writes.flush();
    if (this.endings.count > 0) this.endWires();
    this.isInTurn = false;
  }

  /** How long epoll_wait may wait, in whole ms: 0 when something is left to do. */
  private waitMs(until: number): number {
    if (this.isStopping || this.soonList.length > 0 || this.dirty.count > 0 || this.endings.count > 0 || this.writes.isPending)
      return 0;
    if (this.ready.count > 0 && !this.isStarved) return 0;
    if (this.datagrams?.isPending) return 0;
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
    const { ready } = this;
    const count = ready.take();
    this.isStarved = false;
    for (let i = 0; i < count; i++) ready.wire(i).onReady();
  }

  private flush(): void {
    const { dirty } = this;
    const count = dirty.take();
    for (let i = 0; i < count; i++) dirty.wire(i).flush();
  }

  private endWires(): void {
    const { endings } = this;
    const count = endings.take();
    for (let i = 0; i < count; i++) {
      const wire = endings.wire(i);
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
  }
}

/** Opens an engine over epoll. Throws SystemError with the reason when that cannot be. */
export function openEpoll(options: EpollOptions): Engine {
  return new EpollEngine(options);
}
