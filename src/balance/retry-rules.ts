/**
 * Retry rules: may an exchange be tried again, and how long it waits before. Pure: what was sent and answered is said by the exchange.
 */
import { faults } from '../base/faults.ts';
import { method } from '../base/head.ts';
import { retryReason } from '../state/doors.ts';
import type { RetryOn, RetryPlan } from '../state/plan.ts';

/** No reason to try again. */
export const NEVER = -1;

/** Conditions of retry as bits. */
export const retryOn = Object.freeze({
  connect: 1,
  reset: 2,
  'refused-stream': 4,
  timeout: 8,
  '502': 16,
  '503': 32,
  '504': 64,
}) satisfies Record<RetryOn, number>;

/** Methods that may be repeated when nothing was answered (RFC 9110 §9.2.2), as bits by method number. */
const IDEMPOTENT =
  (1 << method.GET) | (1 << method.HEAD) | (1 << method.PUT) | (1 << method.DELETE) | (1 << method.OPTIONS) | (1 << method.TRACE);

export function isIdempotent(itsMethod: number): boolean {
  return (IDEMPOTENT & (1 << itsMethod)) !== 0;
}

/** A kept wire that ended before it brought an answer had been closed while it was idle, as far as one can know. */
export function isStaleWire(faultId: number, wasReused: boolean): boolean {
  return wasReused && faults[faultId]!.retry === 'ifReused';
}

/** Why a try that ended with this fault is repeated (one of retryReason), or {@link NEVER}. `isRepeatable`: idempotent, and no body came. */
export function reasonOfFault(faultId: number, on: number, isRepeatable: boolean): number {
  const { retry } = faults[faultId]!;
  if (retry === 'always') return (on & retryOn.connect) !== 0 ? retryReason.connect : NEVER;
  if (!isRepeatable) return NEVER;
  if (retry === 'ifReused') return (on & retryOn.reset) !== 0 ? retryReason.reset : NEVER;
  return retry === 'ifUnsent' && (on & retryOn.timeout) !== 0 ? retryReason.timeout : NEVER;
}

/** The same for an answer with this status. */
export function reasonOfStatus(status: number, on: number, isRepeatable: boolean): number {
  if (status < 502 || status > 504 || !isRepeatable) return NEVER;
  const bit = status === 502 ? retryOn['502'] : status === 503 ? retryOn['503'] : retryOn['504'];
  return (on & bit) !== 0 ? retryReason.status : NEVER;
}

/**
 * Ms to wait before retry number `count` (1 = the first, which does not wait): full jitter, a random part of a time that doubles ("Exponential
 * Backoff And Jitter", AWS, 2015). `random` is a uniform 32-bit number.
 */
export function backoffMs(plan: RetryPlan, count: number, random: number): number {
  if (count < 2) return 0;
  const most = Math.min(plan.backoffMaxMs, plan.backoffMs * 2 ** (count - 2));
  return (random >>> 0) * 2 ** -32 * most;
}
