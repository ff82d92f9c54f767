/** Plan: pools with their endpoints, and the wires to them. */
import type { Address } from '../base/wire.ts';
import type { BalanceAlgorithm, HashOnPlan, StickyPlan, ZonePlan } from './plan-balance.ts';
import type { ActiveHealthPlan, PassiveHealthPlan } from './plan-health.ts';

export interface PoolPlan {
  id: number;
  name: string;
  source: string;
  endpoints: EndpointPlan[];
  /** `boundedLoad`: no endpoint above so many times its fair share; 0 = no bound. `hashOn` counts for hashing policies. */
  balance: {
    algorithm: BalanceAlgorithm;
    hashOn: HashOnPlan;
    boundedLoad: number;
    zone: ZonePlan | null;
    /** Endpoints that this node uses of a large pool, chosen by the node's name; those that are not ready are replaced. 0 = all. Hashing policies use all. */
    subset: number;
  };
  health: {
    active: ActiveHealthPlan | null;
    passive: PassiveHealthPlan | null;
    /** Time in which an endpoint that became ready grows from a tenth to its full share; 0 = at once. */
    slowStartMs: number;
    /** Share of ordinary endpoints that must be ready; with fewer, health and ejections are ignored and all are used. 0 = never. */
    panicThreshold: number;
  };
  /** What its endpoints speak; a listener sends only to pools of its own kind. */
  protocol: 'http' | 'tcp' | 'udp';
  /** PROXY protocol towards the endpoints, and their checks: 0 = none, 1 or 2. */
  proxyProtocol: 0 | 1 | 2;
  sourceAddress: SourcePlan | null;
  connections: ConnectionsPlan;
  sticky: StickyPlan | null;
  breaker: BreakerPlan | null;
  /** Index of the pool that is asked when no endpoint of this one can be; null: 503. */
  fallback: number | null;
}

export interface EndpointPlan {
  /** Row in the state table; -1 until control gives it one. */
  slot: number;
  /** As in the file: the key of its slot, together with the pool's name. */
  address: string;
  /** null when the address is a name that control/discover has to resolve. */
  resolved: Address | null;
  /** 0 takes no new requests. 1..1000. */
  weight: number;
  backup: boolean;
  zone: string | null;
  /** Requests in flight over all workers; 0 = none. */
  requestsMax: number;
}

export interface ConnectionsPlan {
  /** Idle wires kept per endpoint and worker. 256. */
  idleMax: number;
  /** An idle wire is closed after this: below the usual server's 60-75 s (nginx 75 s, Node 5 s: then set it lower). 50 s. */
  idleMs: number;
  /** Wires per endpoint and worker, busy and idle; 0 = none. */
  wiresMax: number;
  /** Wires opened ahead per endpoint and worker. 0. */
  warm: number;
  /** Requests over one wire before it is closed; 0 = none. */
  requestsMax: number;
  /** Requests of one worker waiting for a wire when wiresMax is reached. 1024. */
  queueMax: number;
  queueMs: number;
}

/** Limits of one pool over all workers; 0 = none. What is above is answered 503 at once. */
export interface BreakerPlan {
  requestsMax: number;
  /** Waiting in the pool's queue. */
  pendingMax: number;
  /** Retries under way. */
  retriesMax: number;
  /** What would be refused is counted and passes. */
  isShadow: boolean;
}

/** From which address endpoints are connected to. */
export interface SourcePlan {
  /** Literal addresses taken in turns: each has ports of its own. Empty: the kernel chooses. */
  addresses: string[];
  /** The client's own address (IP_TRANSPARENT): routing has to bring the answers back here. */
  isTransparent: boolean;
}
