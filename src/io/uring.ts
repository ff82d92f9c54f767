/**
 * uring: the completion loop over io_uring (Linux 6.0 or newer): wires, acceptors, timers, writes.
 *
 * One turn: enter the kernel (submit, wait) -> read the clock -> onTurn -> completions -> timers -> flush what the callbacks asked for.
 * Everything the callbacks of a turn ask for goes down with the next enter, in one system call.
 *
 * It does not know: protocols, plans, who owns a wire.
 *
 * Rules
 * 1. No callback runs inside a call made on the engine or a wire; all of them run from turn().
 * 2. A slot (wire, acceptor) is used again only after the terminal completion of everything it had in flight.
 * 3. Nothing is allocated per event. Slots, segments, messages and writes are reused.
 * 4. A wait lasts until the next timer, or until Node's own loop is due, whichever is first.
 *
 * Here stand the turn and the slots of wires and acceptors. uring-setup.ts asks the kernel for what is needed, -wake ends waits, -complete hands out
 * completions, -dial connects.
 */
import { assert } from '../base/assert.ts';
import type { Blocks } from '../base/blocks.ts';
import { pipesMaxOf } from '../base/pipe-share.ts';
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
  EBUSY,
  EINTR,
  IORING_ASYNC_CANCEL_ALL,
  IORING_ASYNC_CANCEL_ANY,
  IORING_OP_ASYNC_CANCEL,
  SOCK_CLOEXEC,
  SOCK_STREAM,
} from '../sys/constants.generated.ts';
import { LocalPortRange } from '../sys/local-port-range.ts';
import { socket } from '../sys/socket.ts';
import { familyOf } from '../sys/socket-address.ts';
import { hasSource } from '../sys/source-address.ts';
import { check } from '../sys/system-error.ts';
import type { Ring } from '../sys/uring.ts';
import { type Arena, closeArena, openArena } from './arena.ts';
import { prepareDial } from './dial.ts';
import { nobody } from './nobody.ts';
import { SendQueue } from './send-queue.ts';
import { setBlocking, UringAcceptor } from './uring-accept.ts';
import { complete } from './uring-complete.ts';
import { UringDatagrams } from './uring-datagram.ts';
import { Dials } from './uring-dial.ts';
import { Messages } from './uring-message.ts';
import { Pipes, POUR_AFTER } from './uring-pour.ts';
import { BlockRing } from './uring-receive.ts';
import { multishotBytesOf, openRing, type UringOptions } from './uring-setup.ts';
import { operation } from './uring-tags.ts';
import { Wake } from './uring-wake.ts';
import { UringWire } from './uring-wire.ts';
import { phase } from './uring-wire-state.ts';
import { Writes } from './uring-write.ts';

export type { UringOptions } from './uring-setup.ts';

/** Node's own loop gets a turn at least this often. */
const NODE_TURN_MS = 50;
/** Blocks lent to the kernel for receiving; see docs/io-uring.md for the choice. */
const RECEIVE_DEPTH = 256;
/** Sends of several segments in flight at a time. */
const MESSAGES_MAX = 1024;
/** close() waits this long for the kernel to let go of the arena. */
const DRAIN_MS_MAX = 1000;

export class UringEngine implements Engine {
  readonly name = 'uring';
  readonly blocks: Blocks;
  now: number;
  onTurn: (() => void) | null;
  readonly stats: { enters: number; completions: number; overflows: number; dropped: number };

  // For the files of this room.
  readonly ring: Ring;
  readonly blockRing: BlockRing;
  readonly messages: Messages;
  readonly pieces: SendQueue;
  readonly pipes: Pipes;
  readonly localPorts: LocalPortRange;
  readonly pourAfter: number;
  readonly arenaAddress: number;
  readonly flushStallMs: number;
  /** Bytes after which a multishot receive ends by itself, so that pause() takes hold; 0 where the kernel cannot. */
  readonly multishotBytes: number;
  /** Wires in use. */
  open: number;
  readonly wires: UringWire[];
  readonly acceptors: UringAcceptor[];
  readonly writes: Writes;
  readonly wake: Wake;
  /** Made with the first of them. */
  datagrams: UringDatagrams | null;

  private readonly arena: Arena;
  private readonly wheel: TimerWheel;
  private readonly dials: Dials;
  private readonly freeWires: UringWire[];
  private readonly dirty: UringWire[];
  private dirtyCount: number;
  private readonly soonList: SoonList;
  private readonly starved: UringWire[];
  private isTurning: boolean;
  private isRunning: boolean;
  private isStopping: boolean;
  private isClosed: boolean;
  private finishRun: () => void;
  private failRun: (reason: unknown) => void;
  private readonly loop: () => void;

  /** Throws SystemError when the kernel forbids or lacks what is needed. */
  constructor(options: UringOptions) {
    this.ring = openRing(options);
    this.arena = openArena(options);
    this.blocks = this.arena.blocks;
    this.arenaAddress = this.arena.address;
    this.flushStallMs = options.flushStallMs ?? FLUSH_STALL_MS;
    this.multishotBytes = multishotBytesOf(this.ring, options);
    this.blockRing = new BlockRing(this.ring, this.blocks, this.arenaAddress, options.receiveDepth ?? RECEIVE_DEPTH);
    this.pieces = new SendQueue(this.blocks);
    this.pipes = new Pipes(options.pipesMax ?? pipesMaxOf(0));
    this.localPorts = new LocalPortRange();
    this.pourAfter = options.pourAfter ?? POUR_AFTER;
    this.messages = new Messages(MESSAGES_MAX);
    this.writes = new Writes(this.ring, this.blocks, this.arenaAddress);
    this.now = performance.now();
    this.wheel = new TimerWheel(this.now);
    this.onTurn = null;
    this.stats = { enters: 0, completions: 0, overflows: 0, dropped: 0 };
    this.open = 0;
    this.wires = [];
    this.freeWires = [];
    this.acceptors = [];
    this.dirty = [];
    this.dirtyCount = 0;
    this.soonList = new SoonList();
    this.starved = [];
    this.datagrams = null;
    this.dials = new Dials(this.ring);
    this.wake = new Wake(this.ring);
    this.isTurning = false;
    this.isRunning = false;
    this.isStopping = false;
    this.isClosed = false;
    this.finishRun = () => {};
    this.failRun = () => {};
    this.loop = () => this.runTurns();
  }

  accept(fd: number, owner: AcceptOwner): Acceptor {
    // The slot of one that was closed and has nothing in flight, else a new one.
    let index = 0;
    while (index < this.acceptors.length && !this.acceptors[index]!.isOver) index++;
    const generation = index < this.acceptors.length ? this.acceptors[index]!.generation + 1 : 1;
    const acceptor = new UringAcceptor(this, index, generation, fd, owner);
    this.acceptors[index] = acceptor;
    return acceptor;
  }

  adopt(fd: number, owner: WireOwner): Wire {
    setBlocking(fd);
    const wire = this.takeWire();
    wire.begin(fd, owner, phase.open);
    return wire;
  }

  dial(address: Address, owner: WireOwner, source?: string, isTransparent = false): Wire {
    const wire = this.takeWire();
    const fd = socket(familyOf(address), SOCK_STREAM | SOCK_CLOEXEC);
    wire.begin(fd < 0 ? -1 : fd, owner, phase.connecting);
    const result = fd < 0 ? fd : prepareDial(fd, address, source, isTransparent);
    if (result < 0) {
      wire.die(-result);
      return wire;
    }
    wire.mayMeetItself = this.localPorts.mayMeetItself(address);
    this.dials.connect(wire, address);
    return wire;
  }

  hasSource(address: Address, source?: string): boolean {
    return hasSource(address, source);
  }

  serveDatagrams(fd: number, owner: DatagramOwner): DatagramSocket {
    this.datagrams ??= new UringDatagrams(this);
    return this.datagrams.serve(fd, owner);
  }

  connectDatagrams(address: Address, owner: DatagramOwner, source?: string, isTransparent = false): DatagramSocket {
    this.datagrams ??= new UringDatagrams(this);
    return this.datagrams.connect(address, owner, source, isTransparent);
  }

  write(fd: number, block: number, start: number, end: number, done: (result: number) => void): void {
    this.writes.start(fd, block, start, end, done);
  }

  setTimer(ms: number, owner: TimerOwner, kind: number): number {
    // Outside a turn the wheel's clock has stood still.
    if (!this.isTurning) this.wheel.now = performance.now();
    return this.wheel.set(ms, owner, kind);
  }
  cancelTimer(ticket: number): void {
    this.wheel.cancel(ticket);
  }

  soon(task: SoonTask): void {
    this.soonList.add(task);
  }

  run(): Promise<void> {
    assert(!this.isRunning && !this.isClosed, 'an engine runs once at a time');
    this.isRunning = true;
    this.isStopping = false;
    return new Promise((resolve, reject) => {
      this.finishRun = resolve;
      this.failRun = reject;
      setImmediate(this.loop);
    });
  }

  stop(): void {
    this.isStopping = true;
  }

  close(): void {
    if (this.isClosed) return;
    this.isClosed = true;
    for (const acceptor of this.acceptors) acceptor.close();
    for (const wire of this.wires) {
      wire.owner = nobody;
      if (wire.phase !== phase.free) wire.die(0);
    }
    this.datagrams?.shut();
    this.ring.put(IORING_OP_ASYNC_CANCEL, -1, 0, 0, 0, 0, IORING_ASYNC_CANCEL_ALL | IORING_ASYNC_CANCEL_ANY, operation.close, 0);
    // The arena may go only when the kernel writes to it no more.
    const until = performance.now() + DRAIN_MS_MAX;
    do {
      this.flush();
      this.ring.enter(0);
      if (this.ring.waiting === 0) this.datagrams?.onSubmitted();
      complete(this);
    } while (!this.isSilent && performance.now() < until);
    this.blockRing.close();
    this.datagrams?.close();
    this.ring.close();
    this.messages.close();
    this.dials.close();
    this.wake.close();
    // An operation that could not be cancelled (a write to a dead network disk) keeps the arena for ever; a leak beats a crash.
    if (this.isSilent) closeArena(this.arena);
  }

  /** The kernel uses none of our memory. */
  private get isSilent(): boolean {
    return this.open === 0 && this.writes.pending === 0 && (this.datagrams === null || this.datagrams.isOver);
  }

  // For the files of this room.

  /** An accepted connection as a wire. Its owner is set by the one who is told. */
  openWire(fd: number): UringWire {
    const wire = this.takeWire();
    wire.begin(fd, nobody, phase.open);
    return wire;
  }

  giveWire(wire: UringWire): void {
    wire.owner = nobody;
    wire.generation = (wire.generation + 1) & 0x3fff_ffff;
    this.freeWires.push(wire);
  }

  addDirty(wire: UringWire): void {
    if (this.dirtyCount < this.dirty.length) this.dirty[this.dirtyCount] = wire;
    else this.dirty.push(wire);
    this.dirtyCount++;
  }

  /** The kernel found no block for this wire. */
  starve(wire: UringWire): void {
    wire.isStarved = true;
    this.starved.push(wire);
  }

  private takeWire(): UringWire {
    this.open++;
    const wire = this.freeWires.pop();
    if (wire !== undefined) return wire;
    const fresh = new UringWire(this, this.wires.length, nobody);
    this.wires.push(fresh);
    return fresh;
  }

  private runTurns(): void {
    try {
      this.now = performance.now();
      const until = this.now + NODE_TURN_MS;
      this.wake.isNodeDue = false;
      while (!this.isStopping) {
        this.turn(until);
        if (this.now >= until || this.wake.isNodeDue) break;
      }
      this.isTurning = false;
      if (this.isStopping) {
        this.isRunning = false;
        this.flush();
        this.ring.enter(0);
        this.finishRun();
      } else setImmediate(this.loop);
    } catch (error) {
      this.isTurning = false;
      this.isRunning = false;
      this.failRun(error);
    }
  }

  private turn(until: number): void {
    this.flush();
    const { ring, wheel } = this;
    let awaited = 1;
    if (this.isStopping || ring.cqTail() !== ring.cqHead) awaited = 0;
    else this.wake.ask(Math.min(this.now + wheel.nextMs(this.now), until), this.now);
    const result = ring.enter(awaited);
    // EBUSY: completions overflow and have to be taken first. Both are answered by going on.
    if (result < 0 && result !== -EINTR && result !== -EBUSY) check('io_uring_enter', result);
    if (this.datagrams !== null && ring.waiting === 0) this.datagrams.onSubmitted();
    this.stats.enters = ring.enters;
    this.now = performance.now();
    wheel.now = this.now;
    this.isTurning = true;
    if (this.onTurn !== null) this.onTurn();
    complete(this);
    wheel.advance(this.now);
  }

  private flush(): void {
    const { dirty } = this;
    this.blockRing.refill();
    if (this.starved.length > 0 && this.blockRing.count > 0) this.feed();
    let done = 0;
    do {
      this.soonList.run();
      for (; done < this.dirtyCount; done++) dirty[done]!.flush();
    } while (this.soonList.length > 0);
    this.dirtyCount = 0;
    if (this.datagrams !== null) this.datagrams.flush();
  }

  private feed(): void {
    const { starved } = this;
    // Not more than there are blocks: the rest would come back at once.
    for (let i = this.blockRing.count; i > 0 && starved.length > 0; i--) {
      const wire = starved.pop()!;
      if (!wire.isStarved) continue;
      wire.isStarved = false;
      wire.markDirty();
    }
  }
}

/** Opens an engine over io_uring. Throws SystemError with the reason when that cannot be. */
export function openUring(options: UringOptions): Engine {
  return new UringEngine(options);
}
