/**
 * Place: where a request ends up among pools and endpoints, asked in the order of relay's placement: circuit breaker, the endpoint a cookie names, the
 * pool's policy, the queue, the fallback pool.
 *
 * Nothing is counted. What only a worker knows is left out: an endpoint to which that worker failed to connect a moment ago is asked last by it.
 */
import { isWorthWaiting, limitedSlots, NONE, type NodePlace } from '../../balance/balance.ts';
import type { ClientAddress } from '../../base/client-address.ts';
import type { FaultName } from '../../base/faults.ts';
import type { Head } from '../../base/head.ts';
import { hashKeyOf, NO_COOKIE, Sticky } from '../../route/route.ts';
import { stickyResult, stickyResultNames, type TableReader } from '../../state/doors.ts';
import type { PoolPlan } from '../../state/plan.ts';
import { type Choice, choose } from './choice.ts';
import { hashOnText } from './words.ts';

/** What a placement is made of. */
export interface Placing {
  readonly pools: readonly PoolPlan[];
  readonly table: TableReader;
  readonly at: NodePlace;
  readonly head: Head;
  readonly client: ClientAddress;
  readonly urgency: number;
  readonly draw: () => number;
  readonly why: (slot: number) => string | null;
}

/** A count now, and above which nothing more is let in; null: no limit. */
export type Level = { now: number; max: number } | null;

export interface PoolStep extends Choice {
  name: string;
  source: string;
  policy: string;
  hashOn: string | null;
  /** The pools between which the route splits; null: there is one. */
  of: string | null;
  /** `endpoint`: whom the cookie names; null: nobody, or there is none. */
  sticky: { cookie: string; result: string; endpoint: string | null } | null;
  breaker: { requests: Level; pending: Level; retries: Level; isShadow: boolean; isOpen: boolean } | null;
  /** `waits`: the request would, for at most so many seconds; the others are `waiting` in all workers. `max`: per worker. */
  queue: { waits: boolean; waiting: number; max: number; seconds: number; urgency: number };
}

/** Why nobody takes it. */
interface NotPlaced {
  fault: FaultName;
  detail: string;
}

/** A request in a pool: what was read of it while its head was as the client sent it. */
interface Entered {
  readonly pool: PoolPlan;
  readonly key: number | null;
  readonly sticky: Sticky | null;
  /** Place in `sticky`; NO_COOKIE, or below: unknown. */
  readonly bound: number;
}

/** Reads the key and weir's own cookie, which is taken out of the head. */
export function enter(pool: PoolPlan, { table, head, client, draw }: Placing): Entered {
  const hashKey = hashKeyOf(pool);
  const key = hashKey === null ? null : hashKey.of(head, client, draw()) >>> 0;
  const sticky = pool.sticky === null ? null : new Sticky(pool.sticky, pool, table);
  return { pool, key, sticky, bound: sticky === null ? NO_COOKIE : sticky.take(head) };
}

/** A connection, or a client's datagrams, in a pool: all that is known of them is the client. */
export function enterStream(pool: PoolPlan, { client, draw }: Omit<Placing, 'head'>): Entered {
  const hashKey = hashKeyOf(pool);
  const key = hashKey === null ? null : hashKey.ofClient(client, draw()) >>> 0;
  return { pool, key, sticky: null, bound: NO_COOKIE };
}

/** Where it goes from a pool: an endpoint (`pick`), the queue (`waits`), another pool, or nowhere. */
export function placeIn(
  entered: Entered,
  placing: Omit<Placing, 'head'>,
): { step: PoolStep; next: PoolPlan | null; failed: NotPlaced | null } {
  const { pool, key, sticky, bound } = entered;
  const { table, at, draw, why, pools, urgency } = placing;
  const { connections } = pool;
  const choice = choose(pool, table, at, key, draw(), why);
  const addressOf = (slot: number): string => pool.endpoints.find((e) => e.slot === slot)?.address ?? '';
  const boundSlot = bound >= 0 ? sticky!.usableAt(bound) : NONE;
  if (boundSlot !== NONE) choice.pick = addressOf(boundSlot);
  const named = bound >= 0 ? addressOf(sticky!.slotAt(bound)) : null;
  const breaker = breakerOf(pool, table);
  const waiting = table.poolQueued(pool.id);
  const { queueMax, queueMs } = connections;
  const step: PoolStep = {
    name: pool.name,
    source: pool.source,
    policy: pool.balance.algorithm,
    hashOn: key === null ? null : hashOnText(pool),
    of: null,
    ...choice,
    sticky:
      pool.sticky === null
        ? null
        : { cookie: pool.sticky.name, result: stickyResultNames[resultOf(bound, named, choice.pick)]!, endpoint: named },
    breaker,
    queue: { waits: false, waiting, max: queueMax, seconds: queueMs / 1000, urgency },
  };
  const fallback = pool.fallback === null ? null : pools[pool.fallback]!;
  const refuse = (fault: FaultName, detail: string) => ({ step: { ...step, pick: null }, next: null, failed: { fault, detail } });
  const full = ({ now, max }: NonNullable<Level>): boolean => now >= max;
  if (breaker?.requests && full(breaker.requests)) {
    breaker.isOpen = true;
    if (!breaker.isShadow) return refuse('queueFull', 'The circuit breaker is open: maxRequests.');
  }
  if (step.pick !== null) return { step, next: null, failed: null };
  const mayWait = isWorthWaiting(limitedSlots(pool), pool, table);
  if (!mayWait || queueMax === 0 || queueMs === 0) {
    if (fallback !== null) return { step, next: fallback, failed: null };
    return mayWait ? refuse('queueFull', '') : refuse('destinationUnavailable', '');
  }
  if (breaker?.pending && full(breaker.pending)) {
    breaker.isOpen = true;
    if (!breaker.isShadow) return refuse('queueFull', 'The circuit breaker is open: maxPending.');
  }
  step.queue.waits = true;
  return { step, next: null, failed: null };
}

/** One of stickyResult. */
function resultOf(bound: number, named: string | null, pick: string | null): number {
  if (bound === NO_COOKIE) return stickyResult.new;
  if (named === null) return stickyResult.lost;
  return named === pick ? stickyResult.hit : stickyResult.moved;
}

function breakerOf({ id, breaker, endpoints }: PoolPlan, table: TableReader): PoolStep['breaker'] {
  if (breaker === null) return null;
  const { requestsMax, pendingMax, retriesMax, isShadow } = breaker;
  const level = (now: () => number, max: number): Level => (max === 0 ? null : { now: now(), max });
  // What is in flight in a pool is asked for by one of its slots.
  const slot = endpoints.find((e) => e.slot >= 0)?.slot ?? NONE;
  return {
    requests: level(() => (slot === NONE ? 0 : table.poolInFlight(slot)), requestsMax),
    pending: level(() => table.poolQueued(id), pendingMax),
    retries: level(() => table.poolRetries(id), retriesMax),
    isShadow,
    isOpen: false,
  };
}
