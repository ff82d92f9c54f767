/**
 * prober: makes plain checks over the kernel's own calls: one descriptor and six system calls a check, no stream, no promise.
 *
 *     start -> waiting -> connecting -> speaking -> hearing -> over
 *                 ^           |            |           |         result as soon as it is decided; the descriptor is closed
 *                 |           +------------+-----------+         when the answer and the connection have ended, or by the deadline
 *                 no descriptor left
 *
 * It looks at its sockets in ticks of Node's timer, while there are any. In the tick after a step the next one is simply tried: near endpoints
 * have answered by then. Who has not is given to epoll (edge-triggered).
 *
 * Rules
 * 1. Every check has one absolute deadline, from its first packet to the last byte that matters: who trickles cannot hold it.
 * 2. At most `lanesMax` checks are under way, the rest wait their turn. A descriptor that cannot be had says nothing of an endpoint: the check
 *    waits, and its time does not run.
 * 3. A connection that was all that was wanted ends with a reset before the handshake's last ACK has left (TCP_QUICKACK off): the
 *    endpoint's program never sees it, and nobody keeps a TIME_WAIT. So does a conversation that the endpoint's program has closed; it is given
 *    PARTING_MS for that where it was asked to. Any other ends with a close.
 * 4. `ended` may call start(); it is called from a tick, never from start().
 */
import type { Address } from '../../base/wire.ts';
import type { CheckResult } from '../../health/health.ts';
import {
  EAGAIN,
  EINPROGRESS,
  EPOLL_CTL_ADD,
  EPOLLIN,
  EPOLLOUT,
  EPOLLRDHUP,
  IPPROTO_TCP,
  MSG_NOSIGNAL,
  SO_ERROR,
  SOL_SOCKET,
  TCP_INFO,
  TCP_QUICKACK,
} from '../../sys/constants.generated.ts';
import {
  close,
  connectTo,
  EPOLL_EVENT_BYTES,
  EPOLL_EVENT_DATA,
  epollCreate,
  epollCtl,
  epollWait,
  getsockopt,
  mapLow,
  recv,
  send,
  setsockopt,
  sockaddrOf,
} from '../../sys/libc.ts';
import { failed, failedBy, type Heard, passed, type Script } from './check.ts';
import { type Job, Lane, type PlainCheck, stage } from './prober-lane.ts';
import { ProberSockets, SHORT, SHORT_MS, type SocketParts } from './prober-sockets.ts';

/** Checks under way at a time, each with a descriptor. */
const LANES_MAX = 512;
/** Between two ticks: when something happened, when nothing did, and when so many checks start that they are better taken together. */
const TICK_MS_MIN = 1;
const TICK_MS_MAX = 8;
const TICK_MS_BUSY = 25;
/** Starts a second from which checks are taken together, and a tick costs less by so many at once. */
const BUSY_RATE = 500;
/** Given to an endpoint to close when it has answered. */
const PARTING_MS = 100;
const RECV_BYTES = 64 * 1024;
const EVERYTHING = EPOLLIN | EPOLLOUT | EPOLLRDHUP | 0x8000_0000; // EPOLLET
/** First byte of TCP_INFO while the handshake is under way, and when it has failed (include/net/tcp_states.h). */
const TCP_SYN_SENT = 2;
const TCP_CLOSE = 7;

export interface ProberParts extends SocketParts {
  /** ms of a clock that never goes back. */
  clock?: () => number;
  lanesMax?: number;
  /** Called at the end of each tick: who is due next may start in the same turn instead of waking the process again. */
  onTick?: () => void;
}

// One receive buffer and one list of events for all probers: nothing here outlives a call.
const received = mapLow(RECV_BYTES);
const receivedBytes = Buffer.from(received.buffer);
const events = mapLow(LANES_MAX * 16);
const eventWords = new Int32Array(events.buffer);

export class Prober {
  private readonly clock: () => number;
  private readonly onTick: () => void;
  private readonly sockets: ProberSockets;
  private readonly lanes: Lane[];
  private readonly free: Lane[];
  private readonly busy: Lane[] = [];
  /** A queue: the first is at `waitingFrom`. */
  private waiting: Job[] = [];
  private waitingFrom = 0;
  private epoll = -1;
  private timer: NodeJS.Timeout | null = null;
  private isTicking = false;
  private shortUntil = 0;
  private idleTicks = 0;
  private startsSince = 0;
  private starts = 0;
  private rate = 0;

  constructor(parts: ProberParts = {}) {
    this.clock = parts.clock ?? (() => performance.now());
    this.onTick = parts.onTick ?? (() => {});
    this.sockets = new ProberSockets(LANES_MAX, parts);
    this.lanes = Array.from({ length: Math.min(parts.lanesMax ?? LANES_MAX, LANES_MAX) }, (_, index) => new Lane(index));
    this.free = [...this.lanes];
  }

  /** What start() takes, made once for an address. Throws AddressError when the kernel has no form for it. */
  static check(address: Address, script: Script, timeoutMs: number): PlainCheck {
    return { address, sockaddr: sockaddrOf(address), script, timeoutMs };
  }

  start(check: PlainCheck, ended: (result: CheckResult) => void): void {
    this.waiting.push({ check, ended });
    if (this.isTicking) return;
    this.admit();
    // One that is far away must not make the clock coarse for one that is near.
    if (this.timer !== null && this.idleTicks > 0 && this.rate < BUSY_RATE) {
      clearTimeout(this.timer);
      this.timer = null;
    }
    this.idleTicks = 0;
    this.arm();
  }

  /** Checks under way and waiting are dropped; nobody hears of them. */
  stop(): void {
    this.waiting = [];
    this.waitingFrom = 0;
    for (const lane of this.busy) {
      if (lane.fd >= 0) close(lane.fd);
      lane.stage = stage.free;
      lane.job = null;
      lane.hearing = null;
    }
    this.sockets.stop();
    this.busy.length = 0;
    this.free.length = 0;
    this.free.push(...this.lanes);
    if (this.epoll >= 0) close(this.epoll);
    this.epoll = -1;
    if (this.timer !== null) clearTimeout(this.timer);
    this.timer = null;
  }

  /** Checks that hold a descriptor, and those that wait for one. */
  get underWay(): number {
    return this.busy.length;
  }
  get waitingCount(): number {
    return this.waiting.length - this.waitingFrom;
  }

  private arm(): void {
    if (this.timer !== null || (this.busy.length === 0 && this.waitingCount === 0)) return;
    this.timer = setTimeout(this.onTimer, this.tickMs());
  }

  private tickMs(): number {
    if (this.waitingCount > 0) return this.busy.length === 0 && this.sockets.isShort ? SHORT_MS : TICK_MS_MAX / 2;
    if (this.rate >= BUSY_RATE) return TICK_MS_BUSY;
    return Math.min(TICK_MS_MIN << Math.min(this.idleTicks, 3), TICK_MS_MAX);
  }

  private readonly onTimer = (): void => {
    this.timer = null;
    this.tick();
    this.arm();
  };

  private tick(): void {
    this.isTicking = true;
    const now = this.clock();
    let tries = 0;
    const count = this.epoll < 0 ? 0 : epollWait(this.epoll, events.address, LANES_MAX, 0);
    for (let at = 0; at < count; at++) {
      const lane = this.lanes[eventWords[(at * EPOLL_EVENT_BYTES + EPOLL_EVENT_DATA) >> 2]!]!;
      // One descriptor gives one event, and a lane that ends here takes no new one before admit().
      if (lane.stage !== stage.free) this.advance(lane, now);
    }
    // Backwards: whoever ends gives its place to the last.
    for (let at = this.busy.length - 1; at >= 0; at--) {
      const lane = this.busy[at]!;
      if (lane.isHopeful) {
        tries++;
        this.advance(lane, now);
      }
      if (lane.stage !== stage.free && now >= lane.deadline) this.expire(lane, now);
    }
    this.idleTicks = count > 0 || tries > 0 ? 0 : this.idleTicks + 1;
    this.onTick();
    const from = this.busy.length;
    this.admit();
    this.tryEarly(from);
    this.isTicking = false;
  }

  /**
   * The next step of those that have just begun: while the last of them were connected to, near ones have answered the first, and what belongs to a
   * check is still in the caches of the processor.
   */
  private tryEarly(from: number): void {
    const now = this.clock();
    let at = from;
    while (at < this.busy.length) {
      const lane = this.busy[at]!;
      if (lane.stage === stage.connecting) this.seeConnection(lane, now);
      else if (lane.stage === stage.speaking) this.speak(lane, now);
      // Whoever ended gave its place to the last.
      if (this.busy[at] === lane) at++;
    }
  }

  /** Lets those in who wait, as far as there is room. */
  private admit(): void {
    const now = this.clock();
    if (now - this.startsSince >= 1000) {
      this.rate = (this.starts * 1000) / (now - this.startsSince);
      this.startsSince = now;
      this.starts = 0;
    }
    if (now < this.shortUntil) return;
    while (this.waitingFrom < this.waiting.length && this.free.length > 0) {
      if (!this.enter(this.waiting[this.waitingFrom]!, now)) break;
      this.waitingFrom++;
      this.starts++;
    }
    if (this.waitingFrom === this.waiting.length) {
      this.waiting.length = 0;
      this.waitingFrom = 0;
    } else if (this.waitingFrom > 4096) {
      this.waiting = this.waiting.slice(this.waitingFrom);
      this.waitingFrom = 0;
    }
  }

  /** False: no descriptor is left. */
  private enter(job: Job, now: number): boolean {
    const { address, script, timeoutMs } = job.check;
    const fd = this.sockets.take(address);
    if (fd === SHORT) {
      this.shortUntil = now + SHORT_MS;
      return false;
    }
    const lane = this.free.pop()!;
    lane.place = this.busy.length;
    this.busy.push(lane);
    lane.fd = fd;
    lane.job = job;
    lane.hearing = script.opening === null ? null : script.begin();
    lane.sent = 0;
    lane.startedAt = now;
    lane.deadline = now + timeoutMs;
    lane.isHopeful = true;
    lane.isWatched = false;
    lane.isConnected = false;
    lane.isReset = false;
    lane.hasEnded = false;
    lane.stage = stage.knocking;
    // A request takes the ACK along; a check that only connects sends none. Who waits to be greeted must send it at once.
    if (fd >= 0 && address.kind === 'ip' && script.opening?.length !== 0) setsockopt(fd, IPPROTO_TCP, TCP_QUICKACK, 0);
    // What fails at once is found again in the next tick, and told then (rule 4).
    this.knock(lane);
    return true;
  }

  /** Sends the SYN. A unix socket whose backlog is full (EAGAIN) is asked again in each tick. null: so far, so good. */
  private knock(lane: Lane): Heard | null {
    const { sockaddr, script } = lane.job!.check;
    const result = lane.fd < 0 ? lane.fd : connectTo(lane.fd, sockaddr);
    if (result < 0 && result !== -EINPROGRESS) return result === -EAGAIN ? null : failedBy(-result);
    lane.isConnected = result === 0;
    lane.stage = script.opening === null ? stage.connecting : script.opening.length > 0 ? stage.speaking : stage.hearing;
    return null;
  }

  /** Takes the next step, as far as it goes. */
  private advance(lane: Lane, now: number): void {
    if (lane.stage === stage.knocking) {
      const heard = this.knock(lane);
      if (heard !== null) this.conclude(lane, heard, now);
      return;
    }
    lane.isHopeful = false;
    if (lane.stage === stage.connecting) this.seeConnection(lane, now);
    else if (lane.stage === stage.speaking) this.speak(lane, now);
    else if (lane.stage === stage.hearing) this.listen(lane, now);
    else this.part(lane, now);
    if (lane.stage !== stage.free && !lane.isHopeful && !lane.isWatched) this.watch(lane, now);
  }

  private seeConnection(lane: Lane, now: number): void {
    const error = this.errorOf(lane);
    if (error === EINPROGRESS) return;
    lane.isReset = true;
    this.conclude(lane, error === 0 ? passed('connected') : failedBy(error), now);
  }

  /** 0: connected; EINPROGRESS: not yet; else why not. */
  private errorOf(lane: Lane): number {
    if (lane.job!.check.address.kind === 'unix') return 0;
    const state = getsockopt(lane.fd, IPPROTO_TCP, TCP_INFO) & 0xff;
    if (state === TCP_SYN_SENT) return EINPROGRESS;
    return state === TCP_CLOSE ? getsockopt(lane.fd, SOL_SOCKET, SO_ERROR) : 0;
  }

  private speak(lane: Lane, now: number): void {
    const opening = lane.job!.check.script.opening!;
    const share = Math.min(opening.length - lane.sent, RECV_BYTES);
    received.bytes.set(lane.sent === 0 && share === opening.length ? opening : opening.subarray(lane.sent, lane.sent + share), 0);
    const count = send(lane.fd, received.address, share, MSG_NOSIGNAL);
    if (count === -EAGAIN) return;
    if (count < 0) {
      this.conclude(lane, failedBy(-count), now);
      return;
    }
    lane.isConnected = true;
    lane.sent += count;
    if (lane.sent === opening.length) lane.stage = stage.hearing;
    lane.isHopeful = true;
  }

  private listen(lane: Lane, now: number): void {
    const count = recv(lane.fd, received.address, RECV_BYTES, 0);
    if (count === -EAGAIN) return;
    if (count < 0) {
      this.conclude(lane, failedBy(-count), now);
      return;
    }
    lane.isConnected = true;
    const hearing = lane.hearing!;
    if (count === 0) {
      lane.isReset = true;
      this.conclude(lane, hearing.end(), now);
      return;
    }
    const heard = hearing.hear(receivedBytes.subarray(0, count));
    if (heard !== null) this.tell(lane, heard, now);
    if (!hearing.isOver) {
      // What came together with this, an end above all, will not be told of again.
      lane.isHopeful = true;
    } else if (lane.job!.check.script.endpointCloses) {
      lane.stage = stage.parting;
      lane.deadline = Math.min(lane.deadline, now + PARTING_MS);
      this.part(lane, now);
    } else this.conclude(lane, null, now);
  }

  /** Waits for the endpoint to close. */
  private part(lane: Lane, now: number): void {
    const count = recv(lane.fd, received.address, RECV_BYTES, 0);
    lane.isReset = count === 0;
    if (count <= 0 && count !== -EAGAIN) this.conclude(lane, null, now);
    else lane.isHopeful = count > 0;
  }

  private watch(lane: Lane, now: number): void {
    if (this.epoll < 0) this.epoll = epollCreate();
    const result = this.epoll < 0 ? this.epoll : epollCtl(this.epoll, EPOLL_CTL_ADD, lane.fd, EVERYTHING, lane.index, 0);
    lane.isWatched = result === 0;
    // Without epoll it is tried again in each tick.
    lane.isHopeful = result !== 0 && now < lane.deadline;
  }

  private expire(lane: Lane, now: number): void {
    const { script, timeoutMs, address } = lane.job!.check;
    const isOpen = lane.isConnected || (lane.stage !== stage.knocking && address.kind === 'ip' && this.errorOf(lane) === 0);
    this.conclude(
      lane,
      isOpen
        ? failed(script.timeoutReason, `no answer within ${timeoutMs} ms`)
        : failed('connection_timeout', `no connection within ${timeoutMs} ms`),
      now,
    );
  }

  /** Closes the lane; tells the result if it was not told before. */
  private conclude(lane: Lane, heard: Heard | null, now: number): void {
    if (lane.fd >= 0) {
      // One that epoll knows would be told of under the name of this lane.
      if (lane.isReset) this.sockets.reset(lane.fd, lane.job!.check.address, !lane.isWatched && this.rate >= BUSY_RATE);
      else close(lane.fd);
    }
    lane.fd = -1;
    lane.stage = stage.free;
    const last = this.busy.pop()!;
    if (last !== lane) {
      last.place = lane.place;
      this.busy[lane.place] = last;
    }
    this.free.push(lane);
    if (heard !== null) this.tell(lane, heard, now);
    lane.job = null;
    lane.hearing = null;
  }

  private tell(lane: Lane, { passed, reason, evidence }: Heard, now: number): void {
    if (lane.hasEnded) return;
    lane.hasEnded = true;
    lane.job!.ended({ passed, reason, evidence, ms: now - lane.startedAt });
  }
}
