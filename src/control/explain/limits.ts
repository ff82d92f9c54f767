/** Limits: how long a request may take on its route, and how often it is tried. */
import type { RoutePlan } from '../../state/plan.ts';
import { durationText } from './words.ts';

/** Of a route that says nothing (RFC 9218 §4.1). */
const URGENCY_DEFAULT = 3;

/** Durations in seconds, 0 = none. */
export interface Limits {
  connect: number;
  response: number;
  idle: number;
  request: number;
  tries: number;
  retryOn: readonly string[];
  retryBudget: number;
  perTry: number;
  /** A second try beside the first begins after so long. */
  hedge: number;
  backoff: number;
  backoffMax: number;
  /** Order in a queue, 0 first. */
  urgency: number;
  text: string;
}

export function limitsOf({ timeouts, retry, urgency }: RoutePlan): Limits {
  const { connectMs, responseMs, idleMs, requestMs } = timeouts;
  const { attempts, on, budget, budgetMin, perTryMs, hedgeMs, backoffMs, backoffMaxMs } = retry;
  const backoff = attempts > 2 && backoffMs > 0 ? `, waits of up to ${durationText(backoffMs)}, doubling to ${durationText(backoffMaxMs)}, from the second retry on` : ''; // biome-ignore format: one sentence
  const tries =
    attempts <= 1
      ? 'one try'
      : `${attempts} tries on ${on.join(', ')} (${Math.round(budget * 100)}% of requests, at least ${budgetMin}/s)${backoff}`;
  const perTry = perTryMs === 0 ? '' : `, each ${durationText(perTryMs)}`;
  const hedge =
    hedgeMs === 0 || attempts <= 1 ? '' : `, a second one beside the first after ${durationText(hedgeMs)} if it may be repeated`;
  return {
    connect: connectMs / 1000,
    response: responseMs / 1000,
    idle: idleMs / 1000,
    request: requestMs / 1000,
    tries: attempts,
    retryOn: on,
    retryBudget: budget,
    perTry: perTryMs / 1000,
    hedge: hedgeMs / 1000,
    backoff: backoffMs / 1000,
    backoffMax: backoffMaxMs / 1000,
    urgency,
    text: `connect ${durationText(connectMs)}, response ${durationText(responseMs)}, idle ${durationText(idleMs)}, request ${durationText(requestMs)}; ${tries}${perTry}${hedge}${urgency === URGENCY_DEFAULT ? '' : `; urgency ${urgency}`}`,
  };
}
