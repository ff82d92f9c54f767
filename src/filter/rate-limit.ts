/** RateLimit: one rate limit of a route, compiled: asks the node's table, tells what it said. */
import type { ClientAddress } from '../base/client-address.ts';
import { fault } from '../base/faults.ts';
import { field, type Head } from '../base/head.ts';
import { filterDecision, filterDecisionNames } from '../state/doors.ts';
import { LimitRule, type LimitTable } from '../state/limits.ts';
import type { RateLimitPlan } from '../state/plan.ts';
import type { RequestFacts } from './facts.ts';
import { structuredString } from './field-text.ts';
import { LimitKey } from './limit-key.ts';

/** What filters that remember and count are given: the worker's door to the state table is one. */
export interface FilterParts {
  readonly limits: LimitTable;
  filterDecided(filter: number, decision: number): void;
}

export class RateLimit {
  /**
   * An item of RateLimit-Policy (draft-ietf-httpapi-ratelimit-headers-11 §3.1), or '' when nothing is to be told: `"api";q=100;w=60`. A token bucket whose burst is
   * larger than its rate tells the burst and the time it takes to refill.
   */
  readonly policy: string;
  private readonly id: number;
  private readonly isShadow: boolean;
  private readonly rule: LimitRule;
  private readonly key: LimitKey;
  /** What the access log says, by decision. */
  private readonly texts: readonly string[];
  /** Start of an item of the RateLimit field. */
  private readonly itemStart: string;

  constructor(id: number, name: string, plan: RateLimitPlan) {
    const { algorithm, requests, windowMs, burst, isShadow, headers } = plan;
    this.id = id;
    this.isShadow = isShadow;
    this.rule = new LimitRule(plan);
    this.key = new LimitKey(name, plan);
    this.texts = filterDecisionNames.map((decision) => `${name}:${decision}`);
    const quota = algorithm === 'token-bucket' ? Math.max(requests, burst) : requests;
    const windowS = Math.ceil((windowMs * quota) / requests / 1000);
    // What a shadow limit would say is nobody's business but the operator's.
    const isTold = headers && !isShadow;
    this.policy = isTold ? `${structuredString(name)};q=${quota};w=${windowS}` : '';
    this.itemStart = isTold ? `${structuredString(name)};r=` : '';
  }

  /** Decides on a request and notes in `facts` what was said. `takes`: it is counted. Returns 0 or fault.rateLimited. */
  decide(head: Head, client: ClientAddress, facts: RequestFacts, parts: FilterParts, takes: boolean): number {
    const { key, rule, isShadow } = this;
    const { limits } = parts;
    key.read(head, client, facts, limits);
    limits.nowMs = facts.nowMs;
    const isAllowed = takes ? limits.take(rule, key.set, key.tag) : limits.peek(rule, key.set, key.tag);
    const decision = isAllowed ? filterDecision.allowed : isShadow ? filterDecision.wouldLimit : filterDecision.limited;
    if (takes) parts.filterDecided(this.id, decision);
    // One that would have stopped the request is worth more in the log than one that let it pass.
    if (!isAllowed || facts.limit === '') facts.limit = this.texts[decision]!;
    facts.limitRemaining = limits.remaining;
    if (this.itemStart !== '') {
      const item = `${this.itemStart}${limits.remaining};t=${Math.ceil(limits.nextMs / 1000)}`;
      facts.rateLimit = facts.rateLimit === '' ? item : `${facts.rateLimit}, ${item}`;
    }
    if (isAllowed || isShadow) return 0;
    facts.retryAfterS = Math.ceil(limits.nextMs / 1000);
    return fault.rateLimited;
  }
}

/** Tells a client what the rate limits of its request said. When there is no room, it is not told. */
export function appendRateLimit(out: Head, facts: RequestFacts): void {
  out.append(field.other, 'ratelimit-policy', facts.rateLimitPolicy);
  out.append(field.other, 'ratelimit', facts.rateLimit);
}
