/**
 * memory-kernel: what lies between two wires of the memory driver. It behaves like TCP of the kernel where wires can tell:
 *
 * Rules
 * 1. A direction holds at most `kernelBytesMax` bytes, on their way or unread: whoever sends more waits.
 * 2. Bytes, FIN and RST of one direction arrive in the order they left, after a random delay.
 * 3. Closing with unread bytes, or bytes arriving after close, reset the connection, and what was still on its way is lost.
 * 4. After a reset, what had arrived is still readable or is not: chance decides, as the race does on a machine.
 */
import type { Prng } from '../base/prng.ts';

/** errno of a reset, as Linux numbers it. */
export const ECONNRESET = 104;

/** What a socket needs of the engine. */
export interface Clock {
  readonly now: number;
  readonly prng: Prng;
  readonly kernelBytesMax: number;
  /** A random time under way, ms. */
  delay(): number;
  /** Runs `event` at `at`; events of one time in the order they were asked for. */
  schedule(at: number, event: () => void): void;
  /** +1 for each socket opened, -1 closed. */
  countSocket(delta: number): void;
}

/** Who is told that something changed; it looks for itself what. */
export interface SocketOwner {
  onReadable(): void;
  onWritable(): void;
}

const nobody: SocketOwner = { onReadable() {}, onWritable() {} };

export class MemorySocket {
  owner: SocketOwner = nobody;
  peer: MemorySocket | null = null;
  /** Text of the other end's address. */
  readonly peerText: string;
  /** Bytes that have arrived and are not read. */
  unread = 0;
  /** The peer's FIN has arrived (it may stand behind unread bytes). */
  hasEnd = false;
  /** Errno of a broken connection, 0 while it is whole. */
  error = 0;
  isClosed = false;
  private readonly clock: Clock;
  private readonly chunks: Uint8Array[] = [];
  private headAt = 0;
  private underWay = 0;
  private arrivesAt = 0;
  private hasSentEnd = false;
  private hasSentReset = false;
  private isPeerWaiting = false;
  /** The peer reset the connection, and what was under way is lost. */
  private isCut = false;

  constructor(clock: Clock, peerText: string) {
    this.clock = clock;
    this.peerText = peerText;
    clock.countSocket(1);
  }

  /** Bytes the peer's side has room for. */
  get room(): number {
    const to = this.peer!;
    if (to.isClosed || to.error !== 0) return this.clock.kernelBytesMax;
    return Math.max(0, this.clock.kernelBytesMax - to.underWay - to.unread);
  }

  /** Sends a copy of these bytes, at most {@link room} of them. */
  send(bytes: Uint8Array): void {
    const to = this.peer!;
    const length = bytes.length;
    to.chunks.push(bytes.slice());
    to.underWay += length;
    this.towards(() => to.arrive(length));
  }

  /** onWritable comes when the peer has read something. */
  waitForRoom(): void {
    this.peer!.isPeerWaiting = true;
  }

  /** FIN behind what was sent. */
  sendEnd(): void {
    if (this.hasSentEnd || this.error !== 0) return;
    this.hasSentEnd = true;
    const to = this.peer!;
    this.towards(() => {
      if (to.isClosed || to.error !== 0 || to.isCut) return;
      to.hasEnd = true;
      to.owner.onReadable();
    });
  }

  /** Copies up to `max` unread bytes to `into[at...]`; returns how many. */
  read(into: Uint8Array, at: number, max: number): number {
    let done = 0;
    while (done < max && this.unread > 0) {
      const chunk = this.chunks[0]!;
      const count = Math.min(max - done, chunk.length - this.headAt, this.unread);
      into.set(chunk.subarray(this.headAt, this.headAt + count), at + done);
      this.take(count);
      done += count;
    }
    this.tellPeer();
    return done;
  }

  /** Drops what is unread. */
  discard(): void {
    while (this.unread > 0) this.take(Math.min(this.chunks[0]!.length - this.headAt, this.unread));
    this.tellPeer();
  }

  /** close(2): FIN, or RST when bytes were left unread. */
  close(): void {
    if (this.isClosed) return;
    if (this.unread > 0) this.reset();
    else {
      this.sendEnd();
      this.shut();
    }
  }

  /** close(2) with SO_LINGER 0: RST, which overtakes nothing but loses what is under way. */
  reset(): void {
    if (this.isClosed) return;
    this.sendReset();
    this.shut();
  }

  /** Both ends are told of a broken connection, as by a router that lost its state. */
  breakConnection(errno: number): void {
    this.fail(errno);
    this.peer!.fail(errno);
  }

  private shut(): void {
    this.isClosed = true;
    this.owner = nobody;
    this.chunks.length = 0;
    this.unread = 0;
    this.clock.countSocket(-1);
  }

  private take(count: number): void {
    this.unread -= count;
    this.headAt += count;
    if (this.headAt === this.chunks[0]!.length) {
      this.chunks.shift();
      this.headAt = 0;
    }
  }

  private tellPeer(): void {
    if (!this.isPeerWaiting) return;
    this.isPeerWaiting = false;
    const { peer } = this;
    this.clock.schedule(this.clock.now + this.clock.delay(), () => peer!.owner.onWritable());
  }

  private towards(event: () => void): void {
    this.arrivesAt = Math.max(this.arrivesAt, this.clock.now + this.clock.delay());
    this.clock.schedule(this.arrivesAt, event);
  }

  private arrive(length: number): void {
    this.underWay -= length;
    if (this.isClosed) {
      this.sendReset();
      return;
    }
    if (this.error !== 0 || this.isCut) return;
    this.unread += length;
    this.owner.onReadable();
  }

  private sendReset(): void {
    if (this.hasSentReset || this.error !== 0) return;
    this.hasSentReset = true;
    const to = this.peer!;
    if (this.clock.prng.chance(50)) to.isCut = true;
    this.towards(() => to.fail(ECONNRESET));
  }

  private fail(errno: number): void {
    if (this.isClosed || this.error !== 0) return;
    this.error = errno;
    if (this.clock.prng.chance(50)) this.unread = 0;
    this.owner.onReadable();
  }
}
