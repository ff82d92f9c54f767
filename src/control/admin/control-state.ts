/** What the admin room asks of the control process, and what it may tell it. */
import type { Plan } from '../../state/plan.ts';
import type { Tally } from '../../state/table.ts';
import type { Requests } from '../explain/requests.ts';
import type { Drains } from './drains.ts';
import type { Headroom } from './headroom.ts';
import type { Order, Orders } from './orders.ts';

export interface WorkerState {
  slot: number;
  /** -1 while there is no process. */
  stripe: number;
  /** 0 while there is no process. */
  pid: number;
  state: 'starting' | 'serving' | 'draining' | 'waiting';
  engine: 'uring' | 'epoll' | null;
  /** ms since 1970; 0 while there is no process. */
  startedAt: number;
  /** Deaths so far. */
  restarts: number;
}

/** Why an endpoint is in its state. */
export interface EndpointNote {
  /** One sentence: "3 checks failed: connection refused". */
  why: string;
  /** ms since 1970. */
  since: number;
  /** Short facts behind it, the most telling first: "last check: connection_refused after 0.3 ms". */
  evidence?: readonly string[];
  /** Of an endpoint that is ejected, or was lately. */
  ejection?: EjectionNote | null;
}

/** What live traffic, or an operator for a time, did to an endpoint. */
interface EjectionNote {
  /** One of `ejectionCauseNames`; null: not known. */
  cause: string | null;
  /** Ejections by live traffic in a row: each makes the next one longer. */
  count: number;
  /** ms since 1970 when it gets requests again; null: it is not ejected now. */
  returnsAt: number | null;
}

/** One condition of being ready for traffic. */
export interface ReadyCheck {
  name: string;
  isOk: boolean;
  /** Why not; may say something when it is ok. */
  why: string;
}

export interface ReloadState {
  succeeded: number;
  failed: number;
  isLastOk: boolean;
  /** ms since 1970 of the last success, the first plan included; 0: none yet. */
  lastOkAt: number;
}

export interface ControlState {
  /** Of weir, as in package.json. */
  readonly version: string;
  /** ms since 1970. */
  readonly startedAt: number;
  readonly tally: Tally;
  /** What people order: the things here that change something. */
  readonly orders: Orders;
  readonly drains: Drains;
  readonly headroom: Pick<Headroom, 'descriptorsRatio' | 'clientsRatio' | 'sessionsRatio' | 'handshakes' | 'ports'>;
  /** What became of requests and connections. */
  readonly requests: Pick<Requests, 'find' | 'recent' | 'connections'>;
  /** The plan in force, null before the first. */
  plan(): Plan | null;
  workers(): readonly WorkerState[];
  /** null: nobody has anything to say. */
  endpointNote(slot: number): EndpointNote | null;
  /** Takes an endpoint out for `forMs`, or the pool's ejectMs when that is null; it comes back by itself. Returns why not, or null. */
  eject(order: Order, forMs: number | null): string | null;
  /** Asks for a health check at once; false: nobody checks this endpoint. */
  checkNow(slot: number): boolean;
  /** All must be ok for /readyz; the first to fail when a drain begins. */
  readyChecks(): readonly ReadyCheck[];
  reloads(): ReloadState;
}
