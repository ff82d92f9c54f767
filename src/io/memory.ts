/**
 * memory: the driver for tests and simulation. No descriptor, no clock, no chance that the seed does not decide.
 *
 * Time is virtual: when nothing is due it jumps to what comes next. Bytes arrive cut at random places after random delays, the
 * buffers of the "kernel" are small enough that back-pressure is real, and failures are injected by count.
 *
 *     const engine = new MemoryEngine({ seed: 1 });
 *     const fd = engine.listenAt(address);
 *     engine.accept(fd, server);
 *     const client = new Peer(engine).dial(address);
 *     client.send('hello');
 *     engine.runUntil(() => client.text() === 'HELLO', 1000);
 *
 * Rules
 * 1. The same seed and the same calls give the same run, event by event.
 * 2. Whoever breaks a rule of base/wire.ts gets a Bug thrown: use after onClosed, send after close, release twice.
 * 3. Nothing happens outside turn(), which run(), runFor() and runUntil() call.
 */
import { assert } from '../base/assert.ts';
import { Prng } from '../base/prng.ts';
import { SoonList, type SoonTask } from '../base/soon.ts';
import { TimerWheel } from '../base/timer-wheel.ts';
import {
  type AcceptOwner,
  type Acceptor,
  type Address,
  addressText,
  type DatagramOwner,
  type DatagramSocket,
  type Engine,
  type TimerOwner,
  type Wire,
  type WireOwner,
} from '../base/wire.ts';
import { WatchedBlocks } from './memory-blocks.ts';
import { MemoryDatagrams } from './memory-datagram.ts';
import { type Clock, ECONNRESET, MemorySocket } from './memory-kernel.ts';
import { MemoryWire, NO_OWNER } from './memory-wire.ts';

export { POISON } from './memory-blocks.ts';
export { Peer, peerOf } from './peer.ts';

const EPIPE = 32;
const EMFILE = 24;
const ECONNREFUSED = 111;
const EBADF = 9;
/** Turns between two of Node's own loop in run(). */
const TURNS_PER_YIELD = 64;
/** Events of one turn at most, as a completion queue would hold them. */
const EVENTS_PER_TURN = 8;
/** Connections waiting to be accepted; one more is not answered (listen(2), tcp_abort_on_overflow 0). */
const BACKLOG_MAX = 4096;

export interface MemoryOptions {
  seed: number;
  /** Blocks of the arena. Default 128 of each. */
  largeCount?: number;
  smallCount?: number;
  /** The longest way of a byte, ms. Default 2; 0 makes everything arrive at once. */
  delayMsMax?: number;
  /** Memory for the blocks, arenaBytes long, where it matters which: TLS wants it below 4 GiB. */
  arena?: Uint8Array;
  /** Bytes a direction holds between send and receive. Default 16 KiB. */
  kernelBytesMax?: number;
  /** How received bytes are cut: as they come, at random, or one by one. Default random. */
  splitting?: 'whole' | 'random' | 'single';
  /** A closed wire's object serves the next connection, as in the real drivers; off, a use after onClosed is always noticed. */
  reuseWires?: boolean;
}

/** Failures to inject. A count of 1 strikes the next one, 0 never; after it struck it is 0 again. */
export interface MemoryFaults {
  dialIn: number;
  dialErrno: number;
  sendIn: number;
  sendErrno: number;
  acceptIn: number;
  acceptErrno: number;
  /** The connection that receives the Nth byte from now breaks after it, at both ends. */
  resetInBytes: number;
  resetErrno: number;
  /** Writes to files fail with it while it is not 0. */
  writeErrno: number;
  /** The Nth connecting of a datagram socket from now fails. */
  datagramIn: number;
  datagramErrno: number;
  /** Percent of datagrams lost on the way. */
  lossPercent: number;
  /** Is EADDRNOTAVAIL for want of a port? */
  hasSource: boolean;
}

interface Event {
  at: number;
  order: number;
  run: () => void;
}

interface Listener {
  address: string;
  backlog: MemorySocket[];
  acceptor: MemoryAcceptor | null;
}

class MemoryAcceptor implements Acceptor {
  isPaused = false;
  isClosed = false;
  readonly owner: AcceptOwner;
  readonly listener: Listener;
  private readonly wake: () => void;

  constructor(listener: Listener, owner: AcceptOwner, wake: () => void) {
    this.listener = listener;
    this.owner = owner;
    this.wake = wake;
  }
  pause(): void {
    this.isPaused = true;
  }
  resume(): void {
    this.isPaused = false;
    this.wake();
  }
  close(): void {
    this.isClosed = true;
    this.listener.acceptor = null;
  }
}

export class MemoryEngine implements Engine, Clock {
  readonly name = 'memory';
  readonly blocks: WatchedBlocks;
  readonly stats = { enters: 0, completions: 0, overflows: 0, dropped: 0 };
  onTurn: (() => void) | null = null;
  readonly prng: Prng;
  readonly kernelBytesMax: number;
  readonly faults: MemoryFaults = {
    dialIn: 0,
    dialErrno: ECONNREFUSED,
    sendIn: 0,
    sendErrno: EPIPE,
    acceptIn: 0,
    acceptErrno: EMFILE,
    resetInBytes: 0,
    resetErrno: ECONNRESET,
    writeErrno: 0,
    datagramIn: 0,
    datagramErrno: EMFILE,
    lossPercent: 0,
    hasSource: true,
  };
  /** Sockets that are open in the "kernel": the leak guard of tests. */
  sockets = 0;

  private readonly delayMsMax: number;
  private readonly splitting: 'whole' | 'random' | 'single';
  private readonly reuseWires: boolean;
  private readonly wheel = new TimerWheel(0);
  private readonly events: Event[] = [];
  private order = 0;
  private dirty: MemoryWire[] = [];
  private readonly soonList = new SoonList();
  private readonly living = new Set<MemoryWire>();
  private readonly spare: MemoryWire[] = [];
  private readonly listeners = new Map<number, Listener>();
  private readonly pairs = new Map<number, MemorySocket>();
  private readonly files = new Map<number, Buffer[]>();
  private readonly deafAddresses = new Set<string>();
  private readonly datagrams: MemoryDatagrams;
  private fdNext = 3;
  private portNext = 40000;
  private isTurning = false;
  private isStopped = false;
  private isClosed = false;

  constructor(options: MemoryOptions) {
    this.prng = new Prng(options.seed);
    this.blocks = new WatchedBlocks(options.largeCount ?? 128, options.smallCount ?? 128, options.arena);
    this.delayMsMax = options.delayMsMax ?? 2;
    this.kernelBytesMax = options.kernelBytesMax ?? 16 * 1024;
    this.splitting = options.splitting ?? 'random';
    this.reuseWires = options.reuseWires ?? false;
    this.datagrams = new MemoryDatagrams(this);
  }

  get now(): number {
    return this.wheel.now;
  }

  // What a test prepares.

  /** A listening "descriptor" for accept(); dials to the address reach it. */
  listenAt(address: Address): number {
    const text = addressText(address);
    for (const other of this.listeners.values()) assert(other.address !== text, 'an address is listened on once');
    const fd = this.fdNext++;
    this.listeners.set(fd, { address: text, backlog: [], acceptor: null });
    return fd;
  }

  /** Closes a listening descriptor: connections that wait are reset, later dials refused. */
  closeListener(fd: number): void {
    const listener = this.listeners.get(fd);
    assert(listener !== undefined, 'the descriptor is a listening one');
    this.listeners.delete(fd);
    listener.acceptor?.close();
    for (const socket of listener.backlog) socket.reset();
  }

  /** Dials to this address are never answered. */
  deafen(address: Address): void {
    this.deafAddresses.add(addressText(address));
  }

  /** Two connected "descriptors" for adopt(). */
  pair(): [number, number] {
    const [left, right] = this.connect('unix:', 'unix:');
    this.pairs.set(this.fdNext++, left);
    this.pairs.set(this.fdNext++, right);
    return [this.fdNext - 2, this.fdNext - 1];
  }

  /** A "descriptor" for write(). */
  openFile(): number {
    this.files.set(this.fdNext, []);
    return this.fdNext++;
  }

  fileText(fd: number): string {
    return Buffer.concat(this.files.get(fd)!).toString('latin1');
  }

  // Engine.

  accept(fd: number, owner: AcceptOwner): Acceptor {
    const listener = this.listeners.get(fd);
    assert(listener !== undefined && listener.acceptor === null, 'the descriptor listens and has no acceptor');
    const acceptor = new MemoryAcceptor(listener, owner, () => this.acceptLater(acceptor));
    listener.acceptor = acceptor;
    this.acceptLater(acceptor);
    return acceptor;
  }

  adopt(fd: number, owner: WireOwner): Wire {
    const socket = this.pairs.get(fd);
    assert(socket !== undefined, 'the descriptor is one of a pair, and adopted once');
    this.pairs.delete(fd);
    const wire = this.wire();
    wire.begin(owner, socket, socket.peerText);
    wire.onReadable();
    return wire;
  }

  dial(address: Address, owner: WireOwner, source = '127.0.0.1'): Wire {
    const wire = this.wire();
    const text = addressText(address);
    const generation = wire.begin(owner, null, text);
    const local = address.kind === 'unix' ? 'unix:' : addressText({ kind: 'ip', host: source, port: this.portNext++ });
    const mustFail = this.strikes('dialIn');
    this.schedule(this.now + this.delay(), () => {
      if (!wire.isAlive(generation)) return;
      if (mustFail) return wire.fail(this.faults.dialErrno);
      if (this.deafAddresses.has(text)) return;
      const listener = [...this.listeners.values()].find((each) => each.address === text);
      if (listener === undefined) return wire.fail(ECONNREFUSED);
      if (listener.backlog.length >= BACKLOG_MAX) return;
      const [near, far] = this.connect(text, local);
      wire.connected(near);
      listener.backlog.push(far);
      if (listener.acceptor !== null) this.acceptLater(listener.acceptor);
      this.schedule(this.now + this.delay(), () => {
        if (wire.isAlive(generation)) wire.opened();
      });
    });
    return wire;
  }

  hasSource(): boolean {
    return this.faults.hasSource;
  }

  write(fd: number, block: number, start: number, end: number, done: (result: number) => void): void {
    this.blocks.retain(block);
    this.schedule(this.now + this.delay(), () => {
      const file = this.files.get(fd);
      let result = -EBADF;
      if (this.faults.writeErrno !== 0) result = -this.faults.writeErrno;
      else if (file !== undefined) {
        result = this.takes(end - start);
        file.push(Buffer.from(this.blocks.bytes.subarray(start, start + result)));
      }
      this.blocks.release(block);
      done(result);
    });
  }

  /** A "descriptor" of a datagram socket for serveDatagrams(). */
  bindAt(address: Address & { kind: 'ip' }): number {
    const fd = this.fdNext++;
    this.datagrams.bind(fd, address);
    return fd;
  }

  serveDatagrams(fd: number, owner: DatagramOwner): DatagramSocket {
    return this.datagrams.serve(fd, owner);
  }

  connectDatagrams(address: Address, owner: DatagramOwner, source = '127.0.0.1'): DatagramSocket {
    return this.datagrams.connect(address, owner, source);
  }

  soon(task: SoonTask): void {
    this.soonList.add(task);
  }

  setTimer(ms: number, owner: TimerOwner, kind: number): number {
    return this.wheel.set(ms, owner, kind);
  }

  cancelTimer(ticket: number): void {
    this.wheel.cancel(ticket);
  }

  async run(): Promise<void> {
    this.isStopped = false;
    while (!this.isStopped) {
      for (let i = 0; i < TURNS_PER_YIELD && !this.isStopped && this.nextAt() < Infinity; i++) this.turn();
      if (!this.isStopped && this.nextAt() === Infinity) this.turn();
      await new Promise((resolve) => setImmediate(resolve));
    }
  }

  stop(): void {
    this.isStopped = true;
  }

  close(): void {
    assert(!this.isClosed, 'an engine is closed once');
    this.isClosed = true;
    this.isStopped = true;
    for (const wire of this.living) wire.abandon();
    this.datagrams.closeAll();
    for (const socket of this.pairs.values()) socket.close();
    for (const listener of this.listeners.values()) for (const socket of listener.backlog) socket.close();
    this.events.length = 0;
    this.living.clear();
    this.listeners.clear();
    this.pairs.clear();
  }

  // Virtual time.

  /** Runs until `condition` holds. Throws when `limitMs` of virtual time pass first, or when nothing more can happen. */
  runUntil(condition: () => boolean, limitMs: number): void {
    const end = this.now + limitMs;
    while (!condition()) {
      const at = this.nextAt();
      if (at === Infinity) throw new Error('the awaited state cannot come: nothing is left to happen');
      if (at > end) throw new Error(`the awaited state did not come within ${limitMs} ms`);
      this.turn();
    }
  }

  /** Runs `ms` of virtual time. */
  runFor(ms: number): void {
    const end = this.now + ms;
    while (this.nextAt() <= end) this.turn();
    this.wheel.advance(end);
  }

  /** One turn: jump to what is next, tell onTurn, timers, events, flush. */
  turn(): void {
    assert(!this.isTurning && !this.isClosed, 'turns do not nest, and end with close()');
    this.isTurning = true;
    this.stats.enters++;
    const at = this.nextAt();
    this.onTurn?.();
    this.wheel.advance(at === Infinity ? this.now : at);
    const limit = this.splitting === 'whole' ? EVENTS_PER_TURN : this.prng.between(1, EVENTS_PER_TURN);
    for (let i = 0; i < limit && this.events.length > 0 && this.events[0]!.at <= this.now; i++) {
      this.stats.completions++;
      this.pop().run();
    }
    do {
      this.soonList.run();
      const { dirty } = this;
      this.dirty = [];
      for (const wire of dirty) {
        wire.isDirty = false;
        wire.flush();
      }
    } while (this.soonList.length > 0);
    this.isTurning = false;
  }

  // Clock, and what wires ask.

  schedule(at: number, run: () => void): void {
    const { events } = this;
    const event = { at, order: this.order++, run };
    let i = events.push(event) - 1;
    for (let up = (i - 1) >> 1; i > 0 && isBefore(event, events[up]!); up = (i - 1) >> 1) {
      events[i] = events[up]!;
      i = up;
    }
    events[i] = event;
  }

  /** In steps of 1/16 ms, so that virtual time has few bits and sums are exact. */
  delay(): number {
    return this.delayMsMax === 0 ? 0 : this.prng.below(this.delayMsMax * 16 + 1) / 16;
  }

  countSocket(delta: number): void {
    this.sockets += delta;
  }

  /** How many of `length` bytes that wait are received at once. */
  splits(length: number): number {
    if (this.splitting === 'whole' || length <= 1) return length;
    if (this.splitting === 'single') return 1;
    // A cut near the beginning is as likely as one anywhere, because heads and chunk sizes are short.
    const kind = this.prng.below(4);
    if (kind === 0) return length;
    return this.prng.between(1, kind === 1 ? Math.min(length, 8) : length);
  }

  /** How many of `length` bytes the kernel takes from a send at once. */
  takes(length: number): number {
    if (this.splitting === 'whole' || length <= 1 || this.prng.chance(70)) return length;
    return this.prng.between(1, length);
  }

  /** Errno of the injected failure of this send, or 0. */
  nextSendFault(): number {
    return this.strikes('sendIn') ? this.faults.sendErrno : 0;
  }

  /** True when the connection that received these bytes must break now. */
  countReceived(count: number): boolean {
    const { faults } = this;
    if (faults.resetInBytes === 0) return false;
    faults.resetInBytes = Math.max(0, faults.resetInBytes - count);
    return faults.resetInBytes === 0;
  }

  /** Errno of the injected failure of this connect of a datagram socket, or 0. */
  nextDatagramFault(): number {
    return this.strikes('datagramIn') ? this.faults.datagramErrno : 0;
  }
  get lossPercent(): number {
    return this.faults.lossPercent;
  }

  markDirty(wire: MemoryWire): void {
    if (wire.isDirty) return;
    wire.isDirty = true;
    this.dirty.push(wire);
  }

  /** onClosed was delivered. */
  forget(wire: MemoryWire): void {
    this.living.delete(wire);
    if (this.reuseWires) this.spare.push(wire);
  }

  private wire(): MemoryWire {
    const wire = this.spare.pop() ?? new MemoryWire(this);
    this.living.add(wire);
    return wire;
  }

  private connect(nearSees: string, farSees: string): [MemorySocket, MemorySocket] {
    const near = new MemorySocket(this, nearSees);
    const far = new MemorySocket(this, farSees);
    near.peer = far;
    far.peer = near;
    return [near, far];
  }

  private acceptLater(acceptor: MemoryAcceptor): void {
    this.schedule(this.now, () => {
      const { listener } = acceptor;
      if (acceptor.isPaused || acceptor.isClosed || listener.backlog.length === 0) return;
      if (this.strikes('acceptIn')) {
        acceptor.isPaused = true;
        acceptor.owner.onAcceptFault(this.faults.acceptErrno, acceptor);
        return;
      }
      const socket = listener.backlog.shift()!;
      const wire = this.wire();
      wire.begin(NO_OWNER, socket, socket.peerText);
      acceptor.owner.onAccept(wire, acceptor);
      assert(wire.owner !== NO_OWNER, 'onAccept sets an owner');
      wire.onReadable();
      if (listener.backlog.length > 0) this.acceptLater(acceptor);
    });
  }

  private strikes(fault: 'dialIn' | 'sendIn' | 'acceptIn' | 'datagramIn'): boolean {
    return this.faults[fault] > 0 && --this.faults[fault] === 0;
  }

  /** When the next turn has something to do. */
  private nextAt(): number {
    if (this.dirty.length > 0 || this.soonList.length > 0) return this.now;
    const timerAt = this.now + this.wheel.nextMs(this.now);
    return this.events.length === 0 ? timerAt : Math.max(this.now, Math.min(this.events[0]!.at, timerAt));
  }

  private pop(): Event {
    const { events } = this;
    const top = events[0]!;
    const moved = events.pop()!;
    if (events.length === 0) return top;
    let i = 0;
    for (;;) {
      let down = 2 * i + 1;
      if (down >= events.length) break;
      if (down + 1 < events.length && isBefore(events[down + 1]!, events[down]!)) down++;
      if (!isBefore(events[down]!, moved)) break;
      events[i] = events[down]!;
      i = down;
    }
    events[i] = moved;
    return top;
  }
}

function isBefore(a: Event, b: Event): boolean {
  return a.at < b.at || (a.at === b.at && a.order < b.order);
}
