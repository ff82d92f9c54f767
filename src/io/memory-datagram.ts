/**
 * memory-datagram: UDP of the memory driver. Datagrams take random times, so they overtake one another, and some are lost where a test says so.
 *
 * Rules
 * 1. A datagram to an address where nobody is bound comes back as ECONNREFUSED to a connected sender; from a bound one it is lost.
 * 2. A connected socket receives from its peer only; what comes after close() is refused like that for nobody.
 * 3. At most `waitingMax` datagrams wait in a socket; the next ones are lost.
 */
import { assert } from '../base/assert.ts';
import { NO_BLOCK } from '../base/blocks.ts';
import { NAME_WORDS, wordsOf } from '../base/datagram-name.ts';
import type { Prng } from '../base/prng.ts';
import { type Address, addressText, type DatagramOwner, type DatagramSocket } from '../base/wire.ts';
import { decodeAddress, encodeAddress, SOCKADDR_BYTES_MAX } from '../sys/socket-address.ts';
import type { WatchedBlocks } from './memory-blocks.ts';

const ECONNREFUSED = 111;
/** In front of each datagram that a bound socket is given. */
const NAME_ROOM = 64;

/** What datagrams need of the engine. */
export interface DatagramClock {
  readonly now: number;
  readonly prng: Prng;
  readonly blocks: WatchedBlocks;
  readonly stats: { dropped: number };
  delay(): number;
  schedule(at: number, event: () => void): void;
  countSocket(delta: number): void;
  /** Errno with which the next connect fails; 0: it succeeds. */
  nextDatagramFault(): number;
  /** Percent of datagrams that are lost on the way. */
  readonly lossPercent: number;
}

const nobody: DatagramOwner = { onDatagram() {}, onDatagramFault() {} };

export class MemoryDatagram implements DatagramSocket {
  owner: DatagramOwner;
  readonly local: Address & { kind: 'ip' };
  readonly peer: Address | null;
  isClosed = false;
  isPaused = false;
  private readonly net: MemoryDatagrams;

  constructor(net: MemoryDatagrams, owner: DatagramOwner, local: Address & { kind: 'ip' }, peer: Address | null) {
    this.net = net;
    this.owner = owner;
    this.local = local;
    this.peer = peer;
  }

  send(_block: number, start: number, end: number, segment: number): void {
    assert(!this.isClosed && this.peer !== null, 'send() is for an open, connected socket');
    this.net.send(this, this.peer, start, end, segment);
  }

  sendTo(_block: number, start: number, end: number, segment: number, names: Int32Array, at: number): void {
    assert(!this.isClosed && this.peer === null, 'sendTo() is for an open, bound socket');
    const bytes = new Uint8Array(SOCKADDR_BYTES_MAX);
    new Int32Array(bytes.buffer, 0, 7).set(names.subarray(at, at + 7));
    const to = decodeAddress(bytes, 0, bytes.length);
    assert(to !== null, 'a name is an address');
    this.net.send(this, to, start, end, segment);
  }

  pause(): void {
    this.isPaused = true;
  }

  close(): void {
    if (this.isClosed) return;
    this.isClosed = true;
    this.owner = nobody;
    this.net.forget(this);
  }
}

export class MemoryDatagrams {
  private readonly clock: DatagramClock;
  private readonly words: Int32Array;
  private readonly bound = new Map<string, MemoryDatagram>();
  private readonly descriptors = new Map<number, Address & { kind: 'ip' }>();
  private portNext = 50_000;

  constructor(clock: DatagramClock) {
    this.clock = clock;
    this.words = wordsOf(clock.blocks);
  }

  /** A "descriptor" bound to the address. */
  bind(fd: number, address: Address & { kind: 'ip' }): void {
    this.descriptors.set(fd, address);
  }

  serve(fd: number, owner: DatagramOwner): MemoryDatagram {
    const address = this.descriptors.get(fd);
    assert(address !== undefined, 'the descriptor is bound');
    return this.open(new MemoryDatagram(this, owner, address, null));
  }

  connect(peer: Address, owner: DatagramOwner, source: string): MemoryDatagram {
    const socket = this.open(new MemoryDatagram(this, owner, { kind: 'ip', host: source, port: this.portNext++ }, peer));
    if (this.portNext === 65_536) this.portNext = 1024;
    const errno = this.clock.nextDatagramFault();
    if (errno !== 0) this.clock.schedule(this.clock.now, () => socket.owner.onDatagramFault(socket, errno));
    return socket;
  }

  send(from: MemoryDatagram, to: Address, start: number, end: number, segment: number): void {
    const { clock } = this;
    const size = segment === 0 ? Math.max(1, end - start) : segment;
    // An empty one is a datagram too.
    for (let at = start; at < end || at === start; at += size) {
      const bytes = clock.blocks.bytes.slice(at, Math.min(at + size, end));
      if (clock.prng.chance(clock.lossPercent)) continue;
      clock.schedule(clock.now + clock.delay(), () => this.arrive(from, to, bytes));
    }
  }

  forget(socket: MemoryDatagram): void {
    this.bound.delete(addressText(socket.local));
    this.clock.countSocket(-1);
  }

  closeAll(): void {
    for (const socket of [...this.bound.values()]) socket.close();
  }

  private open(socket: MemoryDatagram): MemoryDatagram {
    const text = addressText(socket.local);
    assert(!this.bound.has(text), 'an address is bound once');
    this.bound.set(text, socket);
    this.clock.countSocket(1);
    return socket;
  }

  private arrive(from: MemoryDatagram, to: Address, bytes: Uint8Array): void {
    const { clock } = this;
    const socket = this.bound.get(addressText(to));
    if (socket === undefined || (socket.peer !== null && addressText(socket.peer) !== addressText(from.local))) {
      if (from.peer !== null) clock.schedule(clock.now + clock.delay(), () => from.owner.onDatagramFault(from, ECONNREFUSED));
      return;
    }
    if (socket.isPaused) return;
    const { blocks } = clock;
    const block = blocks.takeLarge();
    if (block === NO_BLOCK) {
      clock.stats.dropped++;
      return;
    }
    const at = blocks.start(block);
    // A datagram of full length leaves no room for the name beside it: the slack of a large block.
    const name = socket.peer === null ? this.write(from.local, at) : 0;
    const start = at + NAME_ROOM;
    blocks.bytes.set(bytes, start);
    socket.owner.onDatagram(socket, block, start, start + bytes.length, 0, name);
    blocks.release(block);
  }

  private write(address: Address, at: number): number {
    const bytes = new Uint8Array(SOCKADDR_BYTES_MAX);
    encodeAddress(address, bytes, 0);
    const first = at >> 2;
    this.words.fill(0, first, first + NAME_WORDS);
    this.words.set(new Int32Array(bytes.buffer, 0, 7), first);
    return first;
  }
}
