/** How many clients one worker takes, of connections and of datagrams: its descriptors are shared with the wires to endpoints, and an established connection must not lack the second half. */
import { DESCRIPTORS_PER_PIPE, pipesMaxOf } from '../base/pipe-share.ts';
import type { Plan } from './plan.ts';

/** Descriptors kept for what is neither a client's nor an endpoint's wire. */
const RESERVED = 48;
/** Of the rest, clients of HTTP may have so much: they share wires to endpoints, and idle ones need none. */
const HTTP_SHARE = 0.6;
/** A connection that is carried as it is has a wire on either side. */
const STREAM_SHARE = 0.5;

/** Clients of one worker whose process may open so many descriptors; at least 1. */
export function clientsMaxOf({ limits, listeners }: Pick<Plan, 'limits' | 'listeners'>, descriptorsMax: number): number {
  const share = listeners.some(({ protocol }) => protocol !== 'http') ? STREAM_SHARE : HTTP_SHARE;
  const fitting = Math.floor(leftOf(descriptorsMax) * share);
  return Math.max(1, Math.min(limits.connectionsMax || fitting, fitting));
}

/**
 * Clients of datagrams that one worker may remember: each has a socket to its endpoint, and none of its own. Where there are connections too, it is what
 * their clients leave; endpoints' wires have to live beside them.
 */
export function sessionsMaxOf(plan: Pick<Plan, 'limits' | 'listeners'>, descriptorsMax: number): number {
  const fitting = leftOf(descriptorsMax);
  if (plan.listeners.every(({ protocol }) => protocol === 'udp')) return Math.max(1, fitting);
  return Math.max(1, Math.floor((fitting - clientsMaxOf(plan, descriptorsMax)) / 2));
}

/** Descriptors for clients and endpoints. */
function leftOf(descriptorsMax: number): number {
  return descriptorsMax - RESERVED - pipesMaxOf(descriptorsMax) * DESCRIPTORS_PER_PIPE;
}
