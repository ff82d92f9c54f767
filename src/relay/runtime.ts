/**
 * Runtime: a plan made ready to run in one worker. Built off the hot path; an exchange keeps the one it began under until it ends.
 */
import { Breaker, limitedSlots, type Policy, policyOf, RetryBudget, retryOn } from '../balance/balance.ts';
import {
  buildFilters,
  ClientRules,
  FaultAnswers,
  type FilterChain,
  ForwardedFields,
  httpsRedirect,
  RouteAnswer,
} from '../filter/filter.ts';
import { buildRoutes, type HashKey, hashKeyOf, type RouteTable, Sticky, StreamTable } from '../route/route.ts';
import type { WorkerWriter } from '../state/doors.ts';
import type { Plan, PoolPlan, RoutePlan } from '../state/plan.ts';
import type { DatagramEndpoint, Endpoint, StreamEndpoint } from '../upstream/upstream.ts';

export interface RouteRuntime {
  readonly plan: RoutePlan;
  readonly filters: FilterChain;
  /** What a route without pool answers. */
  readonly answer: RouteAnswer | null;
  /** Bits of {@link retryOn}. */
  readonly retryOn: number;
  readonly mayUpgrade: boolean;
}

export interface PoolRuntime {
  readonly plan: PoolPlan;
  readonly policy: Policy;
  readonly budget: RetryBudget;
  /** What a request is placed by; null: the policy asks for no key. */
  readonly key: HashKey | null;
  readonly sticky: Sticky | null;
  readonly breaker: Breaker | null;
  /** Endpoints that can be full: see {@link limitedSlots}. */
  readonly limited: Int32Array;
}

export interface Runtime {
  readonly plan: Plan;
  /** By index in plan.listeners. */
  readonly tables: readonly RouteTable[];
  readonly streams: readonly StreamTable[];
  readonly clientRules: readonly ClientRules[];
  readonly forwarded: ForwardedFields;
  readonly faultAnswers: FaultAnswers;
  readonly toHttps: RouteAnswer;
  readonly listenerPorts: readonly string[];
  readonly routes: readonly RouteRuntime[];
  readonly pools: readonly PoolRuntime[];
  /** By slot. Filled in when the plan comes into force. */
  endpoints: readonly (Endpoint | undefined)[];
  streamEndpoints: readonly (StreamEndpoint | undefined)[];
  datagramEndpoints: readonly (DatagramEndpoint | undefined)[];
  /** Address text by slot, for the log. */
  readonly endpointTexts: readonly string[];
}

/** Throws when the plan cannot be run (a bug of the plan's maker): the worker refuses it then. */
export function buildRuntime(plan: Plan, table: WorkerWriter): Runtime {
  const endpointTexts: string[] = [];
  for (const pool of plan.pools) for (const e of pool.endpoints) if (e.slot >= 0) endpointTexts[e.slot] = e.address;
  return {
    plan,
    tables: plan.listeners.map((_, i) => buildRoutes(plan, i)),
    streams: plan.listeners.map((l) => new StreamTable(l)),
    clientRules: plan.listeners.map((l) => new ClientRules(l.clientIp)),
    forwarded: new ForwardedFields(plan.headers, plan.node),
    faultAnswers: new FaultAnswers(plan.headers, plan.node),
    toHttps: httpsRedirect(),
    listenerPorts: plan.listeners.map((l) => {
      const first = l.addresses[0];
      return first !== undefined && first.kind === 'ip' ? String(first.port) : '';
    }),
    routes: plan.routes.map((route) => ({
      plan: route,
      filters: buildFilters(route, table),
      answer: route.action.kind === 'forward' ? null : new RouteAnswer(route.action),
      retryOn: route.retry.on.reduce((bits, on) => bits | retryOn[on], 0),
      mayUpgrade: route.upgrade.length > 0,
    })),
    pools: plan.pools.map((pool, index) => {
      const retry = plan.routes.find((r) => r.action.kind === 'forward' && r.action.pools.some((p) => p.pool === index))?.retry;
      return {
        plan: pool,
        policy: policyOf(pool, table, plan),
        key: hashKeyOf(pool),
        budget: new RetryBudget(retry?.budget ?? 0.2, retry?.budgetMin ?? 3),
        sticky: pool.sticky === null ? null : new Sticky(pool.sticky, pool, table),
        breaker: pool.breaker === null ? null : new Breaker(pool.breaker, pool),
        limited: limitedSlots(pool),
      };
    }),
    endpoints: [],
    streamEndpoints: [],
    datagramEndpoints: [],
    endpointTexts,
  };
}
