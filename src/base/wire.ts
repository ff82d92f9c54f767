/**
 * Wire: one two-way byte stream. io/ (uring, epoll, memory) and tls/ implement it; listen/, upstream/ and relay/ drive it.
 *
 * Bytes live in blocks of one arena (base/blocks.ts) and are passed as (block, start, end): the block's number, and absolute
 * offsets into `blocks.bytes`. No view object is made.
 *
 * Rules
 * 1. onBytes lends a block for the call. Who wants it longer retains it, and releases it later.
 * 2. send() retains the block until the bytes have been taken by the kernel (or the wire is closed), then releases it.
 *    The sender may release its own hold at once.
 * 3. send() only queues. The wire flushes at the end of the turn, all queued bytes in one call. Order is kept.
 * 4. After pause() no onBytes arrives until resume(), not even for bytes already read.
 * 5. onClosed comes exactly once, last, always from the loop, never from inside a call made on the wire. After it the
 *    wire is dead and its object may be used for another connection.
 * 6. A wire without bytes in either direction holds no block.
 * 7. After close() only onClosed follows. close() may be asked again: a reset cuts a flush or a linger short. A close that was asked
 *    for and went as asked reports errno 0, a reset too.
 * 8. When both directions have ended (FIN seen, FIN sent) the wire closes by itself, with errno 0.
 * 9. onRecvEnd waits for resume() like the bytes before it. A broken connection may be told of while paused, and is at resume() at the latest;
 *    after onRecvEnd, at the next send() at the latest.
 * 10. send() is for an open wire: not before onOpen, not after sendClose() or close(). On a wire that has failed and whose onClosed is
 *    still to come it does nothing.
 */
import type { Blocks } from './blocks.ts';
import type { ClientAddress } from './client-address.ts';
import type { SoonTask } from './soon.ts';

export const closeHow = Object.freeze({
  /** Send what is queued, then close. */
  flush: 0,
  /**
   * Send what is queued, close the sending half, discard what arrives until the peer closes or `LINGER_MS` pass, then close: the answer
   * to a rejected request must not be lost in a reset (RFC 9112 §9.6).
   */
  linger: 1,
  /** Discard what is queued and close with a reset, so that the peer cannot take a cut message for a whole one. */
  reset: 2,
});
/** How long a lingering close waits for the peer. nginx's lingering_timeout is 5 s; 2 s is enough for one round trip. */
export const LINGER_MS = 2000;
/**
 * A flush asked for by close() of which the peer takes nothing for so long is cut by a reset, with ETIMEDOUT: after close() nobody else watches the
 * wire, and a peer that stops reading would hold it for ever. As long as a body may make no progress (threats: 30 s).
 */
export const FLUSH_STALL_MS = 30_000;

export interface Wire {
  /** Who is told. May be replaced at any time; the next event goes to the new owner. */
  owner: WireOwner;
  /** Bytes given to send() and not yet taken by the kernel. */
  readonly queued: number;
  /** Totals since the wire opened, for logs, metrics and minimum rates. `sent` counts what the kernel took. */
  readonly received: number;
  readonly sent: number;
  /** When >= 0: onDrained is called once when `queued` falls to it or below, and the field goes back to -1. */
  drainBelow: number;
  /** True from onOpen (dialled) or from the start (accepted) until a close was asked or seen. */
  readonly isOpen: boolean;
  /**
   * True when bytes or an end of stream already wait to be read on a wire that should be silent, as far as can be told without a system
   * call: an idle wire with this set must not be reused.
   */
  readonly hasUnread: boolean;

  /** Engine's time at which bytes last went through {@link pourInto}; 0: never. */
  readonly pouredMs: number;

  send(block: number, start: number, end: number): void;
  /**
   * What arrives from now on is meant for `to`, unseen: where much arrives at a time the kernel moves it there by itself, past the blocks
   * and past onBytes; `received` and `to.sent` go on counting. What still comes by onBytes the owner has to send on to `to`, and nothing
   * else. Order is kept, and a `to` that takes nothing stops the reading. Ends with either wire. A driver may ignore it.
   */
  pourInto(to: Wire): void;
  pause(): void;
  resume(): void;
  /** Ends the sending direction after what is queued (FIN); receiving goes on. */
  sendClose(): void;
  close(how: number): void;
  /** The peer's address, asked of the kernel at each call: in numbers, so that no text is made; empty when there is none any more. */
  readPeer(into: ClientAddress): void;
  /** Text of this end's address, asked of the kernel at each call; "" when there is none any more. */
  local(): string;
}

export interface WireOwner {
  /** A dialled wire is connected. */
  onOpen(wire: Wire): void;
  onBytes(wire: Wire, block: number, start: number, end: number): void;
  /** The peer ended its sending direction (FIN). Sending is still possible. */
  onRecvEnd(wire: Wire): void;
  onDrained(wire: Wire): void;
  /** Terminal. `errno` is 0 after an orderly close, else the error (positive), for a dial too. */
  onClosed(wire: Wire, errno: number): void;
}

/** Where to connect or listen. Ports in host order; host is a literal IPv4 or IPv6 address (no brackets). */
export type Address =
  | { readonly kind: 'ip'; readonly host: string; readonly port: number }
  | { readonly kind: 'unix'; readonly path: string };

/** "127.0.0.1:80", "[::1]:80", "unix:/run/x.sock". */
export function addressText(address: Address): string {
  if (address.kind === 'unix') return 'unix:' + address.path;
  return address.host.includes(':') ? `[${address.host}]:${address.port}` : `${address.host}:${address.port}`;
}

/** A listening socket in use. */
export interface Acceptor {
  /** Stop and start taking connections from the kernel's queue; the socket stays open. */
  pause(): void;
  resume(): void;
  /** Stops for good. The descriptor stays open: who opened it closes it. */
  close(): void;
}

export interface AcceptOwner {
  /** A new connection. The wire has no owner yet: set it before returning. */
  onAccept(wire: Wire, acceptor: Acceptor): void;
  /** accept failed: EMFILE, ENFILE, ENOBUFS, ENOMEM. The acceptor has paused itself; resume() it when something was closed. */
  onAcceptFault(errno: number, acceptor: Acceptor): void;
}

/**
 * One UDP socket: bound (many clients) or connected (one endpoint). Datagrams lie in blocks like the bytes of a wire. With `segment` > 0 the bytes are a
 * run: datagrams of `segment` bytes one after the other, the last perhaps shorter, that travel together (UDP_GRO, Linux 5.0; UDP_SEGMENT, Linux 4.18).
 *
 * Rules
 * 1. onDatagram lends a block for the call. send() and sendTo() retain it until the kernel has taken the bytes.
 * 2. Sending never waits: what the kernel has no room for at the end of the turn is lost, as on the way (RFC 768), and counted in `stats.dropped`.
 * 3. Faults are told from the loop, never inside a call. A bound socket has none. A connected one whose fault was told is of no more use than its
 *    owner thinks: a refusal is one answer of the peer, an unreachable network may pass.
 * 4. After close() nothing is told, and the object belongs to the engine.
 */
export interface DatagramSocket {
  owner: DatagramOwner;
  /** To the peer of a connected socket. */
  send(block: number, start: number, end: number, segment: number): void;
  /** From a bound socket to the name in names[at, at + NAME_WORDS) (base/datagram-name.ts), which is copied. */
  sendTo(block: number, start: number, end: number, segment: number, names: Int32Array, at: number): void;
  /** A bound socket receives no more, and still sends: somebody else serves the same socket. */
  pause(): void;
  /** The descriptor of a bound socket stays open: who opened it closes it. */
  close(): void;
}

export interface DatagramOwner {
  /**
   * bytes[start, end) of the block. `from`: for bound sockets, place of the sender's name in the arena seen as 32-bit words (base/datagram-name.ts); it
   * may be written to during the call. Connected: 0.
   */
  onDatagram(socket: DatagramSocket, block: number, start: number, end: number, segment: number, from: number): void;
  /** The peer of a connected socket cannot be reached: ECONNREFUSED (an ICMP port unreachable came), or why it could not be connected to. */
  onDatagramFault(socket: DatagramSocket, errno: number): void;
}

/** A timer that fires once. Set again at will; setting is cheap, so a deadline may be moved per event. */
export interface TimerOwner {
  onTimer(kind: number): void;
}

/**
 * The completion loop of one process behind one interface: uring, epoll, memory.
 */
export interface Engine {
  readonly name: 'uring' | 'epoll' | 'memory';
  readonly blocks: Blocks;
  /** Monotonic ms with fraction, read once per turn: the same for every event of a turn. */
  readonly now: number;
  /** Listens on a descriptor that is bound and listening already. */
  accept(fd: number, owner: AcceptOwner): Acceptor;
  /** Takes an open stream socket. */
  adopt(fd: number, owner: WireOwner): Wire;
  /**
   * Connects. Success is onOpen, failure onClosed; both later, never inside this call. `source` binds the local address, without a port; with
   * `isTransparent` it may be one that is not this machine's (IP_TRANSPARENT, IPV6_TRANSPARENT: takes CAP_NET_ADMIN, else EPERM).
   */
  dial(address: Address, owner: WireOwner, source?: string, isTransparent?: boolean): Wire;
  /** After EADDRNOTAVAIL: has this machine an address (`source`, if given) to connect from, so that only ports are short? System calls are made. */
  hasSource(address: Address, source?: string): boolean;
  /** Serves a bound datagram socket; `owner` gets what arrives. */
  serveDatagrams(fd: number, owner: DatagramOwner): DatagramSocket;
  /** A datagram socket connected to an IP address: it receives from there only. `source` and `isTransparent` as in {@link dial}. */
  connectDatagrams(address: Address, owner: DatagramOwner, source?: string, isTransparent?: boolean): DatagramSocket;
  /**
   * Appends bytes to a file or pipe without ever blocking the loop. `done` gets the number of bytes written, or a negative errno.
   * The block is retained until then. One write per descriptor at a time is in flight; the caller waits for `done`.
   */
  write(fd: number, block: number, start: number, end: number, done: (result: number) => void): void;
  /** Calls `owner.onTimer(kind)` after `ms`, within 10 ms after. Returns a ticket for cancel(). */
  setTimer(ms: number, owner: TimerOwner, kind: number): number;
  cancelTimer(ticket: number): void;
  /** Calls `task.onSoon()` once, from the loop, after the events of this turn (outside one: of the next) and before what they sent goes down. */
  soon(task: SoonTask): void;
  /** Called at the top of each turn, before any event; a new plan becomes visible here. */
  onTurn: (() => void) | null;
  /** Runs until stop(). Gives Node's own loop a turn about every 50 ms. Resolves when stopped. */
  run(): Promise<void>;
  stop(): void;
  /** Counters for metrics: enters (system calls that wait), completions, overflows, datagrams the kernel did not take. */
  readonly stats: { enters: number; completions: number; overflows: number; dropped: number };
  /** Gives everything back: descriptors, maps. The process may go on. */
  close(): void;
}
