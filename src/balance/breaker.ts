/**
 * Circuit breaker: limits of one pool over all workers. What is above is refused at once instead of waiting for an endpoint that is too slow already.
 *
 * The counts are read from the table, so workers that ask at the same moment may overshoot a limit by as many as they are.
 */
import type { WorkerWriter } from '../state/doors.ts';
import type { BreakerPlan, PoolPlan } from '../state/plan.ts';

export class Breaker {
  /** What the last refusal was about, for the client. */
  detail = '';
  private readonly plan: BreakerPlan;
  private readonly poolId: number;
  /** Any slot of the pool: what is in flight in a pool is asked for by one of its slots. -1: it has none. */
  private readonly slot: number;

  constructor(plan: BreakerPlan, pool: PoolPlan) {
    this.plan = plan;
    this.poolId = pool.id;
    this.slot = pool.endpoints.find((e) => e.slot >= 0)?.slot ?? -1;
  }

  /** One more request for the pool? */
  refusesRequest(table: WorkerWriter): boolean {
    const { requestsMax } = this.plan;
    if (requestsMax === 0 || this.slot < 0 || table.poolInFlight(this.slot) < requestsMax) return false;
    return this.refuse(table, 'The circuit breaker is open: maxRequests.');
  }

  /** One more that waits? */
  refusesWait(table: WorkerWriter): boolean {
    const { pendingMax } = this.plan;
    if (pendingMax === 0 || table.poolQueued(this.poolId) < pendingMax) return false;
    return this.refuse(table, 'The circuit breaker is open: maxPending.');
  }

  /** One more retry? */
  refusesRetry(table: WorkerWriter): boolean {
    const { retriesMax } = this.plan;
    if (retriesMax === 0 || table.poolRetries(this.poolId) < retriesMax) return false;
    return this.refuse(table, 'The circuit breaker is open: maxRetries.');
  }

  private refuse(table: WorkerWriter, detail: string): boolean {
    table.breaker(this.poolId, this.plan.isShadow);
    this.detail = detail;
    return !this.plan.isShadow;
  }
}
