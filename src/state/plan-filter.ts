/** Plan: what is done to requests of a route on their way, or keeps them from going it. */
import type { Cidr } from './plan-match.ts';

/** A value with placeholders: "{client.ip}", "{request.header.x-api-key}", "{request.id}", "{request.host}", "{request.path}", literal text between. */
export type FilterPlan = {
  name: string;
  /** For counters; belongs to the name, like other ids. */
  id: number;
} & (
  | { kind: 'headers'; request: HeaderEditPlan; response: HeaderEditPlan }
  /** `isShadow`: what would be refused is counted and passes. */
  | { kind: 'access'; allow: Cidr[]; deny: Cidr[]; isShadow: boolean }
  | ({ kind: 'rateLimit' } & RateLimitPlan)
);

/** `rateLimit:` over all workers of this node. */
export interface RateLimitPlan {
  /**
   * token-bucket: `burst` at once, refilled evenly at `requests` per `windowMs` (as GCRA, ITU-T I.371). sliding-window: at most `requests` in any `windowMs`,
   * as far as two counters can tell (the share of the previous window that still counts, plus the present one).
   */
  algorithm: 'token-bucket' | 'sliding-window';
  requests: number;
  windowMs: number;
  /** At least 1. Token bucket only. */
  burst: number;
  /** Template that tells clients apart: "{client.ip}". */
  key: string;
  /** What would be limited is counted and passes. */
  isShadow: boolean;
  /** RateLimit and RateLimit-Policy fields (IETF draft) on answers. */
  headers: boolean;
}

export interface HeaderEditPlan {
  /** Replaces all of that name. */
  set: { name: string; value: string }[];
  add: { name: string; value: string }[];
  /** Lower-case names. */
  remove: string[];
}
