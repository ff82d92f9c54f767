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
 */
import { assert } from '../base/assert.ts';
import type { Blocks } from '../base/blocks.ts';
import { LARGE_BYTES } from '../base/blocks.ts';
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
  AF_UNIX,
  EBUSY,
  EINTR,
  EINVAL,
  IORING_ASYNC_CANCEL_ALL,
  IORING_ASYNC_CANCEL_ANY,
  IORING_OP_ACCEPT,
  IORING_OP_ASYNC_CANCEL,
  IORING_OP_CLOSE,
  IORING_OP_CONNECT,
  IORING_OP_POLL_ADD,
  IORING_OP_RECV,
  IORING_OP_SEND,
  IORING_OP_SENDMSG,
  IORING_OP_TIMEOUT,
  IORING_OP_WRITE,
  IP_BIND_ADDRESS_NO_PORT,
  IPPROTO_IP,
  IPPROTO_TCP,
  POLLIN,
  SOCK_CLOEXEC,
  SOCK_STREAM,
  TCP_NODELAY,
} from '../sys/constants.generated.ts';
import { close } from '../sys/libc.ts';
import { LocalPortRange } from '../sys/local-port-range.ts';
import { type Mapping, mapLow, munmap } from '../sys/memory.ts';
import { nodeLoopFd } from '../sys/node-loop.ts';
import { bind, setsockopt, setTransparent, socket, socketpair } from '../sys/socket.ts';
import { encodeAddress, familyOf, SOCKADDR_BYTES_MAX } from '../sys/socket-address.ts';
import { hasSource } from '../sys/source-address.ts';
import { check, SystemError } from '../sys/system-error.ts';
import { CQE_WORDS, Ring } from '../sys/uring.ts';
import { type Arena, closeArena, openArena } from './arena.ts';
import { SendQueue } from './send-queue.ts';
import { setBlocking, UringAcceptor } from './uring-accept.ts';
import { UringDatagrams } from './uring-datagram.ts';
import { Messages } from './uring-message.ts';
import { Pipes, POUR_AFTER } from './uring-pour.ts';
import { BlockRing } from './uring-receive.ts';
import * as submit from './uring-submit.ts';
import { OPERATION_BITS, OPERATION_MASK, operation } from './uring-tags.ts';
import { UringWire } from './uring-wire.ts';
import { phase } from './uring-wire-state.ts';
import { Writes } from './uring-write.ts';

/** Node's own loop gets a turn at least this often. */
export const NODE_TURN_MS = 50;
/** Submissions that fit between two enters; more are handed over in the middle of the turn. */
const SQ_ENTRIES = 1024;
/** Completions that fit; more wait in the kernel's overflow list. 16 bytes each. */
const CQ_ENTRIES = 16 * 1024;
/** Blocks lent to the kernel for receiving; see docs/io-uring.md for the choice. */
const RECEIVE_DEPTH = 256;
/**
 * What one multishot receive may take before it is armed again: the most that arrives on a wire after pause(), besides a block. Without it
 * the kernel receives up to 32 times before it looks up.
 */
const MULTISHOT_BYTES_MAX = LARGE_BYTES;
/** Sends of several segments in flight at a time. */
const MESSAGES_MAX = 1024;
/** A wake-up already asked for serves if it comes at most this much later than wanted. */
const WAKE_SLACK_MS = 1;
/** close() waits this long for the kernel to let go of the arena. */
const DRAIN_MS_MAX = 1000;

export interface UringOptions {
  readonly largeCount: number;
  readonly smallCount: number;
  readonly isHuge?: boolean;
  readonly receiveDepth?: number;
  readonly multishotBytes?: number;
  readonly sqEntries?: number;
  readonly cqEntries?: number;
  /** Another POUR_AFTER; Infinity: wires never pour. */
  readonly pourAfter?: number;
  /** Pipes to pour through; base/pipe-share.ts says how many. */
  readonly pipesMax?: number;
  /** Another FLUSH_STALL_MS, for tests. */
  readonly flushStallMs?: number;
}

const NEEDED = [
  IORING_OP_ACCEPT,
  IORING_OP_ASYNC_CANCEL,
  IORING_OP_CLOSE,
  IORING_OP_CONNECT,
  IORING_OP_POLL_ADD,
  IORING_OP_RECV,
  IORING_OP_SEND,
  IORING_OP_SENDMSG,
  IORING_OP_TIMEOUT,
  IORING_OP_WRITE,
];
/** Stride of addresses to connect to: one a submission place, since the kernel reads it when the SQE is submitted. */
const ADDRESS_STRIDE = 128;

/** The owner of a wire nobody has taken yet. */
const nobody: WireOwner = {
  onOpen() {},
  onBytes() {},
  onRecvEnd() {},
  onDrained() {},
  onClosed() {},
};

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

  private readonly arena: Arena;
  private readonly wheel: TimerWheel;
  private readonly writes: Writes;
  private readonly wires: UringWire[];
  private readonly freeWires: UringWire[];
  private readonly acceptors: UringAcceptor[];
  private readonly dirty: UringWire[];
  private dirtyCount: number;
  private readonly soonList: SoonList;
  private readonly starved: UringWire[];
  /** Made with the first of them. */
  private datagrams: UringDatagrams | null;
  private readonly addresses: Mapping;
  private readonly encoded: WeakMap<Address, Uint8Array>;
  private readonly timespec: Mapping;
  private readonly timespecWords: Int32Array;
  private wakeAt: number;
  private wakeGeneration: number;
  private readonly nodeFd: number;
  private isNodeWatched: boolean;
  private isNodeDue: boolean;
  private isTurning: boolean;
  private isRunning: boolean;
  private isStopping: boolean;
  private isClosed: boolean;
  private finishRun: () => void;
  private failRun: (reason: unknown) => void;
  private readonly loop: () => void;

  /** Throws SystemError when the kernel forbids or lacks what is needed. */
  constructor(options: UringOptions) {
    this.ring = new Ring({ sqEntries: options.sqEntries ?? SQ_ENTRIES, cqEntries: options.cqEntries ?? CQ_ENTRIES });
    const missing = this.ring.missing(NEEDED);
    if (missing.length > 0) {
      this.ring.close();
      throw new SystemError('io_uring_register', 22, `operations ${missing.join(', ')} are missing`);
    }
    this.arena = openArena(options);
    this.blocks = this.arena.blocks;
    this.arenaAddress = this.arena.address;
    this.flushStallMs = options.flushStallMs ?? FLUSH_STALL_MS;
    this.multishotBytes = knowsLimit(this.ring) ? (options.multishotBytes ?? MULTISHOT_BYTES_MAX) : 0;
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
    this.addresses = mapLow(this.ring.sqEntries * ADDRESS_STRIDE);
    this.encoded = new WeakMap();
    this.timespec = mapLow(4096);
    this.timespecWords = new Int32Array(this.timespec.buffer);
    this.wakeAt = Number.POSITIVE_INFINITY;
    this.wakeGeneration = 0;
    this.nodeFd = nodeLoopFd();
    this.isNodeWatched = false;
    this.isNodeDue = false;
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
    if (fd < 0) {
      wire.die(-fd);
      return wire;
    }
    if (address.kind === 'ip') setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    if (source !== undefined && address.kind === 'ip') {
      // The port is chosen at connect, when the other end is known, so that ports are shared between endpoints (Linux 4.2).
      setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1);
      const allowed = isTransparent ? setTransparent(fd, source) : 0;
      const bound = allowed < 0 ? allowed : bind(fd, { kind: 'ip', host: source, port: 0 });
      if (bound < 0) {
        wire.die(-bound);
        return wire;
      }
    }
    let encoded = this.encoded.get(address);
    if (encoded === undefined) {
      const room = new Uint8Array(SOCKADDR_BYTES_MAX);
      encoded = room.subarray(0, encodeAddress(address, room, 0));
      this.encoded.set(address, encoded);
    }
    const at = this.ring.nextPlace() * ADDRESS_STRIDE;
    this.addresses.bytes.set(encoded, at);
    wire.isConnecting = true;
    wire.mayMeetItself = this.localPorts.mayMeetItself(address);
    submit.connect(this.ring, fd, this.addresses.address + at, encoded.length, wire.index, wire.generation);
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
      this.complete();
    } while (!this.isSilent && performance.now() < until);
    this.blockRing.close();
    this.datagrams?.close();
    this.ring.close();
    this.messages.close();
    munmap(this.addresses);
    munmap(this.timespec);
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
      this.isNodeDue = false;
      while (!this.isStopping) {
        this.turn(until);
        if (this.now >= until || this.isNodeDue) break;
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
    let complete = 1;
    if (this.isStopping || ring.cqTail() !== ring.cqHead) complete = 0;
    else this.askWake(until);
    const result = ring.enter(complete);
    // EBUSY: completions overflow and have to be taken first. Both are answered by going on.
    if (result < 0 && result !== -EINTR && result !== -EBUSY) check('io_uring_enter', result);
    if (this.datagrams !== null && ring.waiting === 0) this.datagrams.onSubmitted();
    this.stats.enters = ring.enters;
    this.now = performance.now();
    wheel.now = this.now;
    this.isTurning = true;
    if (this.onTurn !== null) this.onTurn();
    this.complete();
    wheel.advance(this.now);
  }

  /** Lets the wait end when a timer or Node's loop is due: an operation that completes then. */
  private askWake(until: number): void {
    const { now } = this;
    let wakeAt = now + this.wheel.nextMs(now);
    if (until < wakeAt) wakeAt = until;
    if (!this.isNodeWatched && this.nodeFd >= 0) {
      this.isNodeWatched = true;
      this.ring.put(IORING_OP_POLL_ADD, this.nodeFd, 0, 0, 0, 0, POLLIN, operation.node, 0);
    }
    if (this.wakeAt <= wakeAt + WAKE_SLACK_MS) return;
    this.wakeAt = wakeAt;
    this.wakeGeneration = (this.wakeGeneration + 1) & 0x3fff_ffff;
    const ms = wakeAt > now ? wakeAt - now : 0;
    this.timespecWords[0] = (ms / 1000) | 0;
    this.timespecWords[2] = ((ms % 1000) * 1e6) | 0;
    // The kernel reads the time when the SQE is submitted, which is next.
    this.ring.put(IORING_OP_TIMEOUT, -1, 0, 0, this.timespec.address, 1, 0, operation.timeout, this.wakeGeneration);
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

  /** Dispatches every completion in the ring. */
  private complete(): void {
    const { ring, wires } = this;
    const { words, cqesAt, cqMask } = ring;
    let head = ring.cqHead;
    const tail = ring.cqTail();
    if (head === tail) return;
    if (ring.isOverflown) this.stats.overflows++;
    this.stats.completions += (tail - head) | 0;
    try {
      while (head !== tail) {
        const at = cqesAt + (head & cqMask) * CQE_WORDS;
        const tag = words[at]!;
        const generation = words[at + 1]!;
        const result = words[at + 2]!;
        const flags = words[at + 3]!;
        // Counted as seen before it is acted on: a callback that throws is not called again for it.
        head = (head + 1) | 0;
        const index = tag >>> OPERATION_BITS;
        const kind = tag & OPERATION_MASK;
        if (kind <= operation.connect) {
          const wire = wires[index]!;
          assert(wire.generation === generation, 'a slot is used again only after its last completion');
          if (kind === operation.receive) wire.onReceive(result, flags);
          else if (kind === operation.send) wire.onSend(result);
          else wire.onConnect(result);
        } else if (kind === operation.datagram) this.datagrams!.complete(index, generation, result, flags);
        else this.completeRare(kind, index, generation, result, flags);
      }
    } finally {
      ring.cqSeen(head);
    }
  }

  private completeRare(kind: number, index: number, generation: number, result: number, flags: number): void {
    if (kind === operation.accept) this.acceptors[index]!.onAccept(result, flags);
    else if (kind === operation.timeout) {
      // An older, later wake-up that was overtaken changes nothing.
      if (generation === this.wakeGeneration) this.wakeAt = Number.POSITIVE_INFINITY;
    } else if (kind === operation.watch) this.wires[index]!.onWatch(result);
    else if (kind === operation.write) this.writes.onWrite(index, result);
    else if (kind === operation.writable) this.writes.onWritable(index, result);
    else if (kind === operation.node) {
      this.isNodeWatched = false;
      this.isNodeDue = true;
    } else if (kind === operation.cancelAccept) {
      if (this.acceptors[index]!.generation === generation) this.acceptors[index]!.onCancelFailed();
    } else if (kind >= operation.cancelReceive && this.wires[index]!.generation === generation) {
      this.wires[index]!.onCancelFailed(kind);
    }
  }
}

/** Does the kernel honour a limit of a multishot receive (optlen, Linux 6.17)? Older ones refuse it. Asked on a fresh ring. */
function knowsLimit(ring: Ring): boolean {
  const pair = socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC);
  if (typeof pair === 'number') return false;
  // Without buffers the one answer is ENOBUFS, the other EINVAL; the end of the pair makes it come at once.
  close(pair[1]);
  submit.receiveMany(ring, pair[0], LARGE_BYTES, 0, 0);
  ring.enter(1);
  const result = ring.words[ring.cqesAt + (ring.cqHead & ring.cqMask) * CQE_WORDS + 2]!;
  ring.cqSeen(ring.cqTail());
  close(pair[0]);
  return result !== -EINVAL;
}

/** Opens an engine over io_uring. Throws SystemError with the reason when that cannot be. */
export function openUring(options: UringOptions): Engine {
  return new UringEngine(options);
}
