/** Scenario: what is to be tried out, checked and complete: every default is filled in, every unit is ms or a share, every name is an index. */
import type { NodePlace } from '../balance/balance.ts';
import type { EndpointPlan, PoolPlan, RetryPlan } from '../state/plan.ts';

/** Requests of one scenario: each takes about 250 bytes at the peak, and 2 µs per policy. */
export const REQUESTS_MAX = 5_000_000;
/** Different keys. */
export const KEYS_MAX = 1_000_000;

export interface Scenario {
  title: string;
  seed: number;
  durationMs: number;
  /** Requests that arrive earlier are served, not measured. */
  warmUpMs: number;
  /** Weirs side by side: each has a table, checks and judgements of its own. */
  nodes: readonly NodePlace[];
  /** Worker processes of each node: each has policies of its own over the one table. */
  workers: number;
  /** The pool as it is at the start, as far as the variants are alike. */
  pool: PoolPlan;
  traffic: Traffic;
  /** By address. */
  service: ReadonlyMap<string, ServiceModel>;
  cost: CostModel;
  /** Share of the requests that go first where requests wait in the pool's queue. */
  urgentShare: number;
  /** Time to wait for an answer. */
  timeoutMs: number;
  /** What an answer takes longer when node and endpoint stand in different zones. */
  crossZoneMs: number;
  /** Sorted by time. */
  events: readonly ScenarioEvent[];
  variants: readonly Variant[];
  expectations: readonly Expectation[];
}

export type Traffic =
  | { kind: 'made'; ratePerSecond: number; arrivals: 'poisson' | 'constant'; keys: KeysModel }
  | { kind: 'replayed'; requests: readonly ReplayedRequest[]; speed: number };

export type KeysModel =
  | { kind: 'uniform'; count: number }
  /** Key k is asked for in proportion to 1 / k^exponent. */
  | { kind: 'zipf'; exponent: number; count: number }
  /** One address sends this share of all requests, the others the rest, evenly. */
  | { kind: 'nat'; share: number; count: number };

export interface ReplayedRequest {
  /** Ms since the first one. */
  atMs: number;
  key: string;
  /** How long the endpoint took; negative when the line does not say. */
  serviceMs: number;
}

/** Service times are log-normal: half are below p50, 99 of 100 below p99. */
export interface ServiceModel {
  p50Ms: number;
  p99Ms: number;
  /** Every request takes this many times as long. */
  slower: number;
  /** Requests served at once; the others wait at the endpoint, first come first served. 0 = no limit. */
  concurrency: number;
  /** Requests that may wait there; one more is answered 503. 0 = no limit. */
  queueMax: number;
  /** The first request for a key takes so much longer: a cache per endpoint without limit, lost with its process. 0 = no cache. */
  missMs: number;
}

/** A share of the requests that costs so many times as much as the others. */
export interface CostModel {
  heavyShare: number;
  times: number;
}

export type ScenarioEvent = { atMs: number } /** The process is gone: connections are refused, health checks fail. */ & (
  | { kind: 'kill'; address: string }
  /** As at the start: alive, well, of ordinary speed, not drained. */
  | { kind: 'restore'; address: string }
  /** A plan with one endpoint more. */
  | { kind: 'add'; endpoint: EndpointPlan }
  /** A plan without it. */
  | { kind: 'remove'; address: string }
  | { kind: 'drain'; address: string }
  /** New requests take so many times as long from now on. */
  | { kind: 'slow'; address: string; times: number }
  /** From now on this share of new requests is answered with the status, at once; 0: none. */
  | { kind: 'fail'; address: string; share: number; status: number; doChecksPass: boolean }
  /** From now on new requests are accepted and never answered; or that is over. */
  | { kind: 'hang'; address: string; isHanging: boolean; doChecksPass: boolean }
  | { kind: 'surge'; times: number; forMs: number }
);

/** One of what is compared: the pool with these settings, and how its requests are tried again. */
export interface Variant {
  label: string;
  pool: PoolPlan;
  retry: RetryPlan;
  /** In place of the pool's policy; null: none. */
  reference: Reference | null;
}

/** A way to pick that no pool can have (reference.ts). */
export type Reference = { kind: 'modulo-hash' | 'lowest-latency' } | { kind: 'ring'; points: number };

export const metricNames = Object.freeze([
  'p50',
  'p99',
  'p999',
  'mean',
  'max',
  'errors',
  'imbalance',
  'busiest',
  'misses',
  'keysMoved',
  'inFlightMax',
  'tries',
  'urgentP99',
  'urgentErrors',
  'crossZone',
  'pairs',
] as const);
export type MetricName = (typeof metricNames)[number];
export const metricUnits: Readonly<Record<MetricName, 'ms' | 'share' | 'number'>> = Object.freeze({
  p50: 'ms',
  p99: 'ms',
  p999: 'ms',
  mean: 'ms',
  max: 'ms',
  errors: 'share',
  imbalance: 'number',
  busiest: 'share',
  misses: 'share',
  keysMoved: 'share',
  inFlightMax: 'number',
  tries: 'number',
  urgentP99: 'ms',
  urgentErrors: 'share',
  crossZone: 'share',
  pairs: 'number',
});

export interface Expectation {
  /** Label of a variant; null: each of them. */
  policy: string | null;
  metric: MetricName;
  isBelow: boolean;
  bound: number;
  /** As written: "<100ms". */
  text: string;
}
