/** Plan: routes of requests. */
import type { FilterPlan } from './plan-filter.ts';
import type { Cidr, TargetPlan } from './plan-match.ts';

export interface RoutePlan {
  id: number;
  /** Routes that come from one entry with several hosts or paths share name and id. */
  name: string;
  /** Where it was written: "weir.yaml:83". */
  source: string;
  /** Indexes of the listeners it applies to; null: all HTTP listeners. */
  listeners: number[] | null;
  match: RouteMatchPlan;
  action: RouteActionPlan;
  /** Larger wins over specificity; 0 by default. */
  priority: number;
  filters: FilterPlan[];
  rewrite: RewritePlan | null;
  timeouts: RouteTimeoutsPlan;
  retry: RetryPlan;
  /** Order in a pool's queue, 0 first ... 7 last (the scale of RFC 9218 §4.1); 3 by default. */
  urgency: number;
  /** Lower-case protocol tokens that may be upgraded to; ['websocket'] by default. */
  upgrade: string[];
}

export interface RouteMatchPlan {
  /** Lower-case, no port. `wildcard`: any one or more labels in front ('*.example.com' has value 'example.com'). null: any. */
  host: { value: string; wildcard: boolean } | null;
  path: PathMatchPlan;
  /** Upper-case tokens; null: any. */
  methods: string[] | null;
  /** Lower-case field name. */
  headers: { name: string; match: TextMatchPlan }[];
  query: { name: string; match: TextMatchPlan }[];
  /** Client address ranges; null: any. */
  clients: Cidr[] | null;
}

export type PathMatchPlan =
  /** Every path. */
  | { kind: 'any' }
  | { kind: 'exact'; value: string }
  /** '/v1' matches '/v1', '/v1/' and '/v1/x', not '/v1x' (Gateway API). Value has no trailing slash ('/' is written as kind any). */
  | { kind: 'prefix'; value: string }
  /** Segments between slashes; '*' or '{name}' in the source stands for any one segment and is '*' here. `rest`: more segments may follow. */
  | { kind: 'segments'; segments: string[]; rest: boolean }
  | { kind: 'regex'; value: string };

export type TextMatchPlan =
  | { kind: 'exact'; value: string }
  | { kind: 'prefix'; value: string }
  /** `*` stands for any run of characters. */
  | { kind: 'glob'; value: string }
  /** JavaScript regular expression source, linear-time subset checked by config. */
  | { kind: 'regex'; value: string }
  | { kind: 'present' };

export type RouteActionPlan =
  | ({ kind: 'forward' } & TargetPlan)
  /** `location` may hold {request.uri}, {request.path}, {request.query}, {request.host}, {request.scheme}. */
  | { kind: 'redirect'; status: number; location: string }
  | { kind: 'respond'; status: number; body: string; contentType: string; headers: { name: string; value: string }[] };

export interface RewritePlan {
  /** Removed from the front of the path at a segment boundary. */
  stripPrefix: string | null;
  /** Put before the path after stripping. */
  addPrefix: string | null;
  /** Whole new path; null: keep. */
  path: string | null;
  /** New Host; null: keep the client's. */
  host: string | null;
}

export interface RouteTimeoutsPlan {
  /** Connecting to one endpoint. 1 s. */
  connectMs: number;
  /** Request sent to response head. 30 s. */
  responseMs: number;
  /** No byte in either direction while a body is under way. 60 s. */
  idleMs: number;
  /** Tunnel without a byte. 1 h. */
  tunnelMs: number;
  /** The whole exchange, retries included; 0 = none. */
  requestMs: number;
}

export type RetryOn = 'connect' | 'reset' | 'refused-stream' | 'timeout' | '502' | '503' | '504';

export interface RetryPlan {
  /** All attempts, the first included. 2. */
  attempts: number;
  on: RetryOn[];
  /** Retries as a share of requests, 0..1. 0.2; at least `budgetMin` a second are allowed. */
  budget: number;
  budgetMin: number;
  /** Limit for one try; 0 = none, the response timeout decides. */
  perTryMs: number;
  /** A second try starts on another endpoint when no answer came for so long, and the first answer wins; 0 = never. Idempotent requests without a body only. */
  hedgeMs: number;
  /** From the second retry on, a random wait of 0 to `backoffMs` × 2^(retry - 2), at most `backoffMaxMs` (full jitter). 25 and 250. */
  backoffMs: number;
  backoffMaxMs: number;
}
