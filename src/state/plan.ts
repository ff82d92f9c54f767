/**
 * Plan: a checked, immutable configuration, complete: every default filled in, every name resolved to a number, every unit turned into
 * ms and bytes. control/config makes it, supervise sends it whole (as JSON) to every worker, workers build their routes and
 * policies from it. `weir explain` and the simulator read the same object.
 *
 * Ids: `ListenerPlan.id`, `RoutePlan.id`, `PoolPlan.id` are numbers that belong to a *name* for the life of the state table: the same name
 * keeps its id over reloads, so counters keyed by id survive. `EndpointPlan.slot` likewise belongs to pool name + address.
 * Ids are for counters only, and -1 until control gives them. One part of a plan refers to another by its index: `pool` in a target is an index
 * in `plan.pools`, `RoutePlan.listeners` are indexes in `plan.listeners`.
 *
 * The parts stand in plan-*.ts, one for each thing that a configuration describes, and are had from here.
 */
import type { Address } from '../base/wire.ts';
import type { ListenerPlan } from './plan-listener.ts';
import type { PoolPlan } from './plan-pool.ts';
import type { RoutePlan } from './plan-route.ts';
import type { CertificatePlan } from './plan-tls.ts';

export type * from './plan-balance.ts';
export type * from './plan-filter.ts';
export type * from './plan-health.ts';
export type * from './plan-listener.ts';
export type * from './plan-match.ts';
export type * from './plan-pool.ts';
export type * from './plan-route.ts';
export * from './plan-stream.ts';
export * from './plan-tls.ts';

/** One version for the whole product. */
export interface Plan {
  /** Grows by one with each plan put in force. 0 until control gives it one. */
  epoch: number;
  /** Name of this node: in Via, Proxy-Status, CDN-Loop. */
  node: string;
  /** Where this node stands; null: not said. Pools with `balance.zone` prefer endpoints of the same zone. */
  zone: string | null;
  listeners: ListenerPlan[];
  pools: PoolPlan[];
  /** Those that listeners name, each once. */
  certificates: CertificatePlan[];
  /** Sorted by precedence: the first that matches wins. */
  routes: RoutePlan[];
  headers: HeadersPlan;
  access: AccessLogPlan | null;
  drain: { notReadyForMs: number; gracefulMs: number; hardStopMs: number };
  admin: { listen: Address[] };
  /** Per worker. */
  limits: WorkerLimitsPlan;
}

export interface WorkerLimitsPlan {
  /** Client connections of one worker. Default 60000 / workers, within the descriptor limit. */
  connectionsMax: number;
}

export interface HeadersPlan {
  /** X-Forwarded-For, -Proto, -Host, -Port towards the endpoint. */
  xForwarded: boolean;
  /** Forwarded (RFC 7239) towards the endpoint. */
  forwarded: boolean;
  /** Lower-case name of the request id field, or null for none. */
  requestId: string | null;
  via: { request: boolean; response: boolean };
  proxyStatus: 'errors' | 'always' | 'never';
  cdnLoop: boolean;
  serverTiming: boolean;
}

export interface AccessLogPlan {
  /** 'stdout', 'stderr', or a path. */
  to: string;
  format: 'json' | 'combined';
  /** Query parameters whose value is hidden. Lower-case. */
  redactQuery: string[];
  /** Share of ordinary lines that are written, 0..1; faults and slow ones always. */
  sampleOk: number;
  slowMs: number;
}
