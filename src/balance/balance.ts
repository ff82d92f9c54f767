/**
 * balance: choose one endpoint for one exchange; and when there is none for it: who waits, what is refused, what may be tried again.
 *
 * A policy is a pure function of the pool view, a key and a random number. It opens nothing, waits for nothing and reads no clock, so any
 * choice can be replayed in a test.
 *
 * It does not know: sockets, how requests are read and sent. What was sent and answered is said by relay/, which carries out what is decided here.
 *
 * Rules
 * 1. pick() returns only an endpoint that is ready (in a panic: any that was not taken out on purpose) and below its limit, or NONE. Limits are read from the table, so workers that pick at the
 *    same moment may overshoot one by as many as they are.
 * 2. pick() allocates nothing.
 * 3. Every pick() that returned a slot is followed at once by exactly one begin(), and later one end(), on the table: that is how it is
 *    settled, and how all workers see it.
 * 4. Endpoints of the node's zone come first where a zone is preferred, backups when no other endpoint can be picked, last the one to be avoided.
 */
import type { TableReader } from '../state/doors.ts';
import type { PoolPlan } from '../state/plan.ts';
import { FirstPolicy } from './first.ts';
import { LeastRequestsPolicy } from './least-requests.ts';
import { LeastTimePolicy } from './least-time.ts';
import { MaglevPolicy } from './maglev.ts';
import type { Algorithm, NodePlace, Policy, PoolView } from './policy.ts';
import { viewOf } from './pool-view.ts';
import { PowerOfTwoPolicy } from './power-of-two.ts';
import { RandomPolicy } from './random.ts';
import { RendezvousPolicy } from './rendezvous.ts';
import { RingHashPolicy } from './ring-hash.ts';
import { RoundRobinPolicy } from './round-robin.ts';
import { Tiers } from './tiers.ts';

export { Breaker } from './breaker.ts';
export { FALLBACKS_MAX, isWorthWaiting, limitedSlots, pickTrusted } from './full.ts';
export { endpointHash } from './hashed.ts';
export { isPanicking } from './panic.ts';
export { type Algorithm, hashing, NONE, type NodePlace, type Policy, type Suspects } from './policy.ts';
export { PoolQueue, type Waiter } from './pool-queue.ts';
export { rampOf } from './ramp.ts';
export { RetryBudget } from './retry-budget.ts';
export { backoffMs, isIdempotent, isStaleWire, NEVER, reasonOfFault, reasonOfStatus, retryOn } from './retry-rules.ts';
export type { Tier } from './tier.ts';
export type { Tiers } from './tiers.ts';

/** The policy of a pool of a plan, on the node that a plan names. */
export function policyOf(pool: PoolPlan, table: TableReader, at: NodePlace): Policy {
  return buildPolicy(pool.balance.algorithm, viewOf(pool, table, at));
}

/** Who may be given work now, as the pool's policy sees it: for people to look at. Call `freshen()` again for a later moment. */
export function tiersOf(pool: PoolPlan, table: TableReader, at: NodePlace): Tiers {
  const tiers = new Tiers(viewOf(pool, table, at));
  tiers.freshen();
  return tiers;
}

/** A policy for a pool; off the hot path, tables of hashing policies take milliseconds. */
export function buildPolicy(algorithm: Algorithm, view: PoolView): Policy {
  switch (algorithm) {
    case 'round-robin':
      return new RoundRobinPolicy(view);
    case 'random':
      return new RandomPolicy(view);
    case 'power-of-two':
      return new PowerOfTwoPolicy(view);
    case 'least-requests':
      return new LeastRequestsPolicy(view);
    case 'first':
      return new FirstPolicy(view);
    case 'least-time':
      return new LeastTimePolicy(view);
    case 'ring-hash':
      return new RingHashPolicy(view);
    case 'maglev':
    // Over a key made of the client's address.
    case 'source':
      return new MaglevPolicy(view);
    case 'rendezvous':
      return new RendezvousPolicy(view);
  }
}
