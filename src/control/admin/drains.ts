/**
 * Drains: an endpoint is being emptied, as an object that can be asked how far it is.
 *
 *   draining --- nothing left, and nothing more can come ---> done
 *      |  \                                                    ^
 *      |   `-- deadline, requests left ---> overdue -----------'
 *      `------ the endpoint is given work again ---> cancelled
 *
 * The order itself stands in the state table (orders.ts), where it outlives reloads and this process. A drain that is found there without
 * an object gets one, with a deadline from now.
 *
 * Rules
 * 1. Until the deadline the endpoint keeps requests that are bound to it by a cookie (`keepBound`); at the deadline they go elsewhere, and what has no
 *    end of its own (connections, upgraded requests, sessions) is cut by the workers (`setCut`). Requests under way are left to end.
 * 2. Safe to stop is said only when no request can come any more: no bound ones, and no worker may still be between a pick and its count.
 * 3. An object never decides what the table says: when somebody else made the endpoint ready, the drain is cancelled.
 */
import { randomBytes } from 'node:crypto';
import { countOf, leftText } from '../../base/counts.ts';
import { admin } from '../../state/doors.ts';
import type { Plan, PoolPlan } from '../../state/plan.ts';
import type { ControlDoor, Tally } from '../../state/table.ts';
import type { EventLog } from '../supervise/events.ts';
import type { Order, Orders } from './orders.ts';

/** Deadline of a drain that names none. */
export const DRAIN_MS = 5 * 60_000;
/** Longer than this is maintenance. */
export const DRAIN_MS_MAX = 24 * 3_600_000;
/** A worker that picked just before the order has counted its request by then: its turns are far shorter. */
export const SETTLE_MS = 100;
/** Workers have cut what they are told to by then: they look at the top of each turn. */
export const CUT_MS = 500;
/** How often live counts are looked at while something drains. */
const LOOK_MS = 1000;
/** Pace is judged over so long. */
const PACE_MS = 10_000;
/** Ended drains that can still be asked for. */
const ENDED_KEPT = 100;

type DrainState = 'draining' | 'done' | 'overdue' | 'cancelled';

/** A drain as the admin API tells it. */
export interface DrainRow {
  id: string;
  pool: string;
  endpoint: string;
  /** RFC 3339; null: before this control process. */
  since: string | null;
  deadline: string;
  state: DrainState;
  /** Requests bound by a cookie still reach it. */
  keepsBound: boolean;
  remaining: { requests: number; tunnels: number; idleConnections: number };
  /** Connections, tunnels and sessions that were left at the deadline, and were cut. */
  cut: number;
  isSafeToStop: boolean;
  /** Until nothing is left, at the pace of the last ten seconds; null: no telling. */
  etaSeconds: number | null;
  /** null: none was given, or it is not known any more. */
  reason: string | null;
  /** Address of who asked, or "unix socket"; null: not known any more. */
  by: string | null;
}

export interface DrainParts {
  door: Pick<ControlDoor, 'admin' | 'setKeeps' | 'setCut'>;
  tally: Pick<Tally, 'remaining' | 'isKeeping' | 'isCut'>;
  orders: Pick<Orders, 'setState' | 'stateNote'>;
  events: Pick<EventLog, 'info' | 'warn'>;
  /** ms since 1970. */
  now: () => number;
  /** Calls back after some ms. */
  after?: (ms: number, callback: () => void) => void;
}

interface Drain {
  readonly id: string;
  readonly pool: string;
  readonly endpoint: string;
  readonly slot: number;
  readonly since: number | null;
  deadline: number;
  state: DrainState;
  keepsBound: boolean;
  /** Its pool binds clients by a cookie. */
  isSticky: boolean;
  /** What its pool is for. */
  kind: PoolPlan['protocol'];
  /** What was cut at the deadline; -1: that was not told yet. */
  cut: number;
  /** It may have been picked until then. */
  pickedUntil: number;
  reason: string | null;
  readonly by: string | null;
  /** What was left, once a look, over PACE_MS. */
  readonly pace: { at: number; left: number }[];
  /** How an ended one ended. */
  last: DrainRow | null;
}

export class Drains {
  private readonly parts: DrainParts;
  private readonly after: NonNullable<DrainParts['after']>;
  /** By slot: those whose endpoint still drains. */
  private readonly live = new Map<number, Drain>();
  private readonly ended: Drain[] = [];
  private plan: Plan | null = null;
  /** Which endpoint each slot of the plan is. */
  private names = new Map<number, string>();
  /** When it will look next; ms since 1970. */
  private looksAt = Number.POSITIVE_INFINITY;

  constructor(parts: DrainParts) {
    this.parts = parts;
    this.after = parts.after ?? ((ms, callback) => void setTimeout(callback, ms).unref());
  }

  /** The plan in force is another: endpoints that drain without an object get one. */
  apply(plan: Plan): void {
    this.plan = plan;
    this.names = new Map();
    for (const drain of this.live.values()) drain.isSticky = false;
    for (const pool of plan.pools) {
      for (const { slot, address } of pool.endpoints) {
        this.names.set(slot, nameOf(pool.name, address));
        const drain = this.live.get(slot);
        if (drain === undefined) continue;
        drain.isSticky = pool.sticky !== null;
        drain.kind = pool.protocol;
      }
    }
    this.look();
    this.adopt();
  }

  /** Orders a drain, or changes deadline, reason and what it keeps of the one under way. Times in ms. */
  begin(order: Order, wish: { timeoutMs?: number | undefined; keepBound?: boolean | undefined }): DrainRow {
    const { orders, now } = this.parts;
    const { slot } = order;
    this.look();
    const wasLive = this.live.get(slot);
    orders.setState(order, 'drain');
    const drain =
      wasLive ??
      this.add(order.pool, order.endpoint, slot, {
        since: now(),
        keepsBound: wish.keepBound ?? true,
        reason: order.reason,
        by: order.by,
      });
    if (order.reason !== null) drain.reason = order.reason;
    if (wasLive === undefined || wish.timeoutMs !== undefined) drain.deadline = now() + (wish.timeoutMs ?? DRAIN_MS);
    if (now() < drain.deadline) {
      if (drain.state === 'overdue') drain.state = 'draining';
      drain.cut = -1;
    }
    this.setKeeps(drain, drain.state === 'draining' && (wish.keepBound ?? drain.keepsBound));
    this.look();
    return this.rowOf(drain);
  }

  /** Takes the drain back: the endpoint is ready again. null: there is none under way of this id. */
  cancel(id: string, by: string): DrainRow | null {
    this.look();
    const drain = [...this.live.values()].find((candidate) => candidate.id === id);
    if (drain === undefined) return null;
    const { pool, endpoint, slot } = drain;
    this.parts.orders.setState({ pool, endpoint, slot, reason: null, by }, 'ready');
    this.look();
    return this.rowOf(drain);
  }

  /** Of all endpoints that drain, the oldest first. */
  list(): DrainRow[] {
    this.look();
    this.adopt();
    return [...this.live.values()].map((drain) => this.rowOf(drain));
  }

  /** Also an ended one, for a while. */
  find(id: string): DrainRow | null {
    this.look();
    const drain = [...this.live.values(), ...this.ended].find((candidate) => candidate.id === id);
    return drain === undefined ? null : this.rowOf(drain);
  }

  /** The drain of an endpoint that drains. */
  ofSlot(slot: number): DrainRow | null {
    const drain = this.live.get(slot);
    return drain === undefined || this.parts.door.admin(slot) !== admin.drain ? null : this.rowOf(drain);
  }

  /** Brings all drains to what the table and the clock say. */
  look(): void {
    const now = this.parts.now();
    for (const drain of [...this.live.values()]) this.move(drain, now);
    this.wake(now);
  }

  private move(drain: Drain, now: number): void {
    const { door, tally, events } = this.parts;
    const { slot, pool, endpoint, id } = drain;
    const name = this.names.get(slot);
    // A slot that left the plan is given to another endpoint only when nothing was left on it.
    const isTaken = name !== undefined && name !== nameOf(pool, endpoint);
    if (door.admin(slot) !== admin.drain || isTaken) return this.end(drain);
    if (now >= drain.deadline) this.setKeeps(drain, false);
    const { requests, tunnels } = tally.remaining(slot);
    const left = requests + tunnels;
    const { pace } = drain;
    const latest = pace.at(-1);
    if (latest === undefined || now - latest.at >= LOOK_MS) {
      pace.push({ at: now, left });
      while (pace.length > 1 && now - pace[0]!.at > PACE_MS) pace.shift();
    }
    // An endpoint that left the plan has nothing more to be asked for.
    if (drain.state === 'done') return name === undefined ? this.end(drain) : undefined;
    const isOver = now >= drain.deadline;
    if (tally.isCut(slot) !== isOver) door.setCut(slot, isOver);
    const fields = { pool, endpoint, drain: id, reason: drain.reason };
    if (left === 0) {
      if (!isSafe(drain, left, now)) return;
      drain.state = 'done';
      // It stays done, even if its pool becomes sticky.
      this.setKeeps(drain, false);
      events.info('drain_done', `endpoint ${pool}/${endpoint} has drained: nothing is left on it, it is safe to stop`, fields);
    } else if (drain.state === 'draining' && isOver) {
      const cuts = drain.kind === 'http' ? tunnels : left;
      if (drain.cut < 0) {
        drain.cut = cuts;
        const text = `endpoint ${pool}/${endpoint} has not drained in time: ${countOf(cuts, cutWord[drain.kind])} on it ${cuts === 1 ? 'is' : 'are'} cut`;
        if (cuts > 0) events.warn('drain_cut', text, { ...fields, cut: cuts });
      }
      if (cuts > 0 && now < drain.deadline + CUT_MS) return;
      drain.state = 'overdue';
      const text = `endpoint ${pool}/${endpoint} has not drained in time: stopping it cuts ${leftText({ requests, tunnels })}`;
      events.warn('drain_overdue', text, { ...fields, requests, tunnels });
    }
  }

  private setKeeps(drain: Drain, keeps: boolean): void {
    const { door, tally, now } = this.parts;
    if (drain.keepsBound && !keeps && drain.state !== 'done') drain.pickedUntil = now();
    drain.keepsBound = keeps;
    if (tally.isKeeping(drain.slot) !== keeps) door.setKeeps(drain.slot, keeps);
  }

  private end(drain: Drain): void {
    this.live.delete(drain.slot);
    if (drain.state !== 'done') drain.state = 'cancelled';
    drain.last = { ...this.rowOf(drain), etaSeconds: null };
    this.ended.push(drain);
    if (this.ended.length > ENDED_KEPT) this.ended.shift();
  }

  private adopt(): void {
    const { door, tally, orders } = this.parts;
    for (const pool of this.plan?.pools ?? []) {
      for (const { slot, address } of pool.endpoints) {
        if (slot < 0 || door.admin(slot) !== admin.drain || this.live.has(slot)) continue;
        const note = orders.stateNote(slot);
        const start = { since: note?.since ?? null, keepsBound: tally.isKeeping(slot), reason: note?.why ?? null, by: null };
        this.add(pool.name, address, slot, start);
      }
    }
    this.look();
  }

  private add(pool: string, endpoint: string, slot: number, start: Pick<Drain, 'since' | 'keepsBound' | 'reason' | 'by'>): Drain {
    const now = this.parts.now();
    const plan = this.plan?.pools.find(({ name }) => name === pool);
    // One that a control process before this one has cut is over its deadline.
    const isCut = this.parts.tally.isCut(slot);
    const drain: Drain = {
      ...start,
      // Not a count: who waits for one must not meet another after a restart.
      id: randomBytes(4).toString('hex'),
      pool,
      endpoint,
      slot,
      deadline: isCut ? now : now + DRAIN_MS,
      state: 'draining',
      isSticky: plan !== undefined && plan.sticky !== null,
      kind: plan?.protocol ?? 'http',
      cut: -1,
      pickedUntil: now,
      pace: [],
      last: null,
    };
    this.live.set(slot, drain);
    return drain;
  }

  private rowOf(drain: Drain): DrainRow {
    if (drain.last !== null) return drain.last;
    const { id, pool, endpoint, slot, since, deadline, state, keepsBound, reason, by } = drain;
    const now = this.parts.now();
    const { requests, tunnels, wiresIdle } = this.parts.tally.remaining(slot);
    const isSafeToStop = isSafe(drain, requests + tunnels, now);
    return {
      id,
      pool,
      endpoint,
      since: since === null ? null : new Date(since).toISOString(),
      deadline: new Date(deadline).toISOString(),
      state,
      keepsBound,
      remaining: { requests, tunnels, idleConnections: wiresIdle },
      cut: Math.max(0, drain.cut),
      isSafeToStop,
      etaSeconds: isSafeToStop ? 0 : etaOf(drain, requests + tunnels, now),
      reason,
      by,
    };
  }

  /** Looks again while something is not done: at the latest in a second, and at each deadline. */
  private wake(now: number): void {
    let at = Number.POSITIVE_INFINITY;
    for (const { state, deadline, pickedUntil } of this.live.values()) {
      if (state === 'done') continue;
      at = Math.min(at, now + LOOK_MS);
      for (const due of [pickedUntil + SETTLE_MS, deadline, deadline + CUT_MS]) if (due > now) at = Math.min(at, due);
    }
    // A clock that was set back must not leave it waiting.
    if (at >= this.looksAt && this.looksAt <= now + LOOK_MS) return;
    if (at === Number.POSITIVE_INFINITY) return;
    this.looksAt = at;
    this.after(Math.ceil(at - now), () => {
      this.looksAt = Number.POSITIVE_INFINITY;
      this.look();
    });
  }
}

/** What is cut in a pool of each kind. */
const cutWord: Readonly<Record<PoolPlan['protocol'], string>> = { http: 'tunnel', tcp: 'connection', udp: 'session' };

function nameOf(pool: string, endpoint: string): string {
  return `${pool}/${endpoint}`;
}

/** Rule 2. */
function isSafe(drain: Drain, left: number, now: number): boolean {
  return left === 0 && !(drain.keepsBound && drain.isSticky) && now - drain.pickedUntil >= SETTLE_MS;
}

function etaOf({ pace, keepsBound, isSticky }: Drain, left: number, now: number): number | null {
  const first = pace[0];
  // While bound requests come, what is left does not tell when they will have stopped.
  if (first === undefined || (keepsBound && isSticky) || now - first.at < LOOK_MS || left >= first.left) return null;
  return Math.ceil((left * (now - first.at)) / (first.left - left) / 1000);
}
