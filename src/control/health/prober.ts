/**
 * prober: makes plain checks over the kernel's own calls: one descriptor and six system calls a check, no stream, no promise.
 *
 *     start -> waiting -> connecting -> speaking -> hearing -> over
 *                             |            |           |         result as soon as it is decided; the descriptor is closed
 *                             +------------+-----------+         when the answer and the connection have ended, or by the deadline
 *
 * It looks at its sockets in ticks of Node's timer, while there are any. In the tick after a step the next one is simply tried: near endpoints
 * have answered by then. Who has not is given to epoll (edge-triggered).
 *
 * Rules
 * 1. Every check has one absolute deadline, from its first packet to the last byte that matters: who trickles cannot hold it.
 * 2. At most `lanesMax` checks are under way, the rest wait their turn, and their time does not run. While no descriptor is to be had, those under
 *    way are waited for as well; when there are none the check is not made.
 * 3. A connection that was all that was wanted ends with a reset before the handshake's last ACK has left (TCP_QUICKACK off): the
 *    endpoint's program never sees it, and nobody keeps a TIME_WAIT. So does a conversation that the endpoint's program has closed; it is given
 *    PARTING_MS for that where it was asked to. Any other ends with a close.
 * 4. `ended` may call start(); it is called from a tick, never from start().
 */
import type { Address } from '../../base/wire.ts';
import type { CheckResult } from '../../health/health.ts';
import { close, errnoName, sockaddrOf } from '../../sys/libc.ts';
import { isShortage, type Script } from './check.ts';
import { type Job, Lane, type PlainCheck, stage } from './prober-lane.ts';
import { ProberSockets, type SocketParts } from './prober-sockets.ts';
import { advance, advanceEarly, begin, lateness } from './prober-steps.ts';
import { ProberWatch } from './prober-watch.ts';

/** Checks under way at a time, each with a descriptor. */
const LANES_MAX = 512;
/** Between two ticks: when something happened, when nothing did, and when so many checks start that they are better taken together. */
const TICK_MS_MIN = 1;
const TICK_MS_MAX = 8;
const TICK_MS_BUSY = 25;
/** Starts a second from which checks are taken together, and a tick costs less by so many at once. */
const BUSY_RATE = 500;

export interface ProberParts extends SocketParts {
  /** ms of a clock that never goes back. */
  clock?: () => number;
  lanesMax?: number;
  /** Called at the end of each tick: who is due next may start in the same turn instead of waking the process again. */
  onTick?: () => void;
}

export class Prober {
  private readonly clock: () => number;
  private readonly onTick: () => void;
  private readonly sockets: ProberSockets;
  private readonly watch = new ProberWatch();
  private readonly lanes: Lane[];
  private readonly free: Lane[];
  private readonly busy: Lane[] = [];
  /** A queue: the first is at `waitingFrom`. */
  private waiting: Job[] = [];
  private waitingFrom = 0;
  private timer: NodeJS.Timeout | null = null;
  private isTicking = false;
  /** Lanes with a descriptor. */
  private open = 0;
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
      lane.leave();
    }
    this.sockets.stop();
    this.watch.stop();
    this.busy.length = 0;
    this.open = 0;
    this.free.length = 0;
    this.free.push(...this.lanes);
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
    if (this.waitingCount > 0) return TICK_MS_MAX / 2;
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
    const count = this.watch.look();
    for (let at = 0; at < count; at++) {
      const lane = this.lanes[this.watch.indexOf(at)]!;
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
      if (lane.stage !== stage.free && now >= lane.deadline) {
        lane.heard = lateness(lane);
        this.conclude(lane, now);
      }
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
      if (advanceEarly(lane)) this.conclude(lane, now);
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

  /** False: there is no descriptor, and one of those in use will be given back. */
  private enter(job: Job, now: number): boolean {
    const fd = this.sockets.take(job.check.address);
    if (fd >= 0) this.open++;
    else if (this.open > 0 && isShortage(errnoName(-fd))) return false;
    const lane = this.free.pop()!;
    lane.place = this.busy.length;
    this.busy.push(lane);
    lane.enter(job, fd, now);
    // What fails at once is told in the next tick (rule 4).
    begin(lane);
    return true;
  }

  /** Takes the next step, as far as it goes. */
  private advance(lane: Lane, now: number): void {
    if (advance(lane, now)) {
      this.conclude(lane, now);
      return;
    }
    if (lane.isHopeful || lane.isWatched) return;
    lane.isWatched = this.watch.add(lane);
    lane.isHopeful = !lane.isWatched && now < lane.deadline;
  }

  /** Closes the lane; tells the result if it was not told before. */
  private conclude(lane: Lane, now: number): void {
    const { fd, heard } = lane;
    if (fd >= 0) {
      this.open--;
      // One that epoll knows would be told of under the name of this lane.
      if (lane.isReset) this.sockets.reset(fd, lane.job!.check.address, !lane.isWatched && this.rate >= BUSY_RATE);
      else close(fd);
    }
    const last = this.busy.pop()!;
    if (last !== lane) {
      last.place = lane.place;
      this.busy[lane.place] = last;
    }
    this.free.push(lane);
    if (heard !== null) lane.tell(heard, now);
    lane.leave();
  }
}
