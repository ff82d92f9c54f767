/** Result: what one policy made of the arrivals. Times are ms of the virtual clock, shares 0..1. */
import type { MetricName } from './scenario.ts';

/** Stretches of time in a series. */
export const SPANS = 60;

export interface PolicyResult {
  policy: string;
  /** Measured: those that arrived after the warm-up. */
  requests: number;
  /** Requests that got an answer of the endpoint below 500. */
  answered: number;
  errors: ErrorCounts;
  /** Tries after the first, or beside it. */
  retries: number;
  /** Requests sent to endpoints, for each request of a client. */
  tries: number;
  /** Share of the tries that left the zone of their node; null: nodes have none. */
  crossZone: number | null;
  /** Pairs of a node and an endpoint it sent something to: what idle connections are in proportion to. null: there is one node. */
  pairs: number | null;
  latency: Latency;
  /** Of the urgent ones; null: there are none. */
  urgent: { latency: Latency; errors: number } | null;
  /** The most one endpoint was given over its fair share: by weight, among those that were ready at the time. At least 1. */
  imbalance: number;
  /** Share of all requests that the busiest endpoint was given. */
  busiest: number;
  /** Most requests in flight on one endpoint at any time. */
  inFlightMax: number;
  /** Share of the requests whose key the endpoint did not have. */
  misses: number;
  /** Largest share of the keys that one change of the pool moved; null: no change, or a policy that does not look at keys. */
  keysMoved: number | null;
  moves: Move[];
  /** What the first node learned and did. */
  changes: Change[];
  endpoints: EndpointResult[];
  series: Series;
}

export interface ErrorCounts {
  all: number;
  /** No endpoint could be picked. */
  noEndpoint: number;
  /** All tries were refused or reset. */
  refused: number;
  /** Answered 5xx: the endpoint's line was full, or it failed. */
  status: number;
  /** No answer in time. */
  timeout: number;
  /** The pool's queue was full, or a place in it did not come up in time. */
  queue: number;
  /** Refused by the circuit breaker. */
  breaker: number;
}

/** Of the requests that were answered well, and of those that timed out, which count as long as they waited. */
export interface Latency {
  p50: number;
  p99: number;
  p999: number;
  mean: number;
  max: number;
}

export interface Change {
  atMs: number;
  /** "10.0.0.3:80 ejected: 5 failures in a row". */
  what: string;
}

/** What one change of the pool did to the keys. */
export interface Move {
  atMs: number;
  /** "10.0.0.3:80 down". */
  what: string;
  keys: number;
  moved: number;
  /** Keys that had to move: their endpoint left, or the new one's fair share. */
  needed: number;
}

export interface EndpointResult {
  address: string;
  weight: number;
  requests: number;
  share: number;
  errors: number;
  inFlightMax: number;
  latency: Latency;
  /** Share of its places that were at work over the whole of the scenario, 0 when it has no limit. */
  utilization: number;
}

export interface Series {
  spanMs: number;
  /** By span, over all endpoints. */
  p50: Float64Array;
  p99: Float64Array;
  errors: Float64Array;
  /** By endpoint, in the order of `endpoints`, then by span: requests begun, most in flight. */
  requests: Float64Array[];
  inFlight: Float64Array[];
}

export function latencyOf(values: Float64Array): Latency {
  const sorted = values.toSorted();
  const { length } = sorted;
  if (length === 0) return { p50: 0, p99: 0, p999: 0, mean: 0, max: 0 };
  return {
    p50: quantile(sorted, 0.5),
    p99: quantile(sorted, 0.99),
    p999: quantile(sorted, 0.999),
    mean: sorted.reduce((sum, value) => sum + value, 0) / length,
    max: sorted[length - 1]!,
  };
}

/** The smallest value that is not exceeded by this share of them (nearest rank); of a sorted array that is not empty. */
export function quantile(sorted: Float64Array, share: number): number {
  return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)]!;
}

/** null when the policy has none: keys that move, of a policy without keys. */
export function metricOf(result: PolicyResult, metric: MetricName): number | null {
  switch (metric) {
    case 'errors':
      return result.requests === 0 ? 0 : result.errors.all / result.requests;
    case 'imbalance':
    case 'busiest':
    case 'misses':
    case 'keysMoved':
    case 'inFlightMax':
    case 'tries':
    case 'crossZone':
    case 'pairs':
      return result[metric];
    case 'urgentP99':
      return result.urgent === null ? null : result.urgent.latency.p99;
    case 'urgentErrors':
      return result.urgent === null ? null : result.urgent.errors;
    default:
      return result.latency[metric];
  }
}
