/** Metrics of pools: retries, hedges, queue, stickiness, breaker, fallback, panic, and how even the load is. */
import { retryReasonNames, stickyResultNames } from '../../state/doors.ts';
import type { Plan } from '../../state/plan.ts';
import type { Tally } from '../../state/table.ts';
import { isPoolPanicking } from './api.ts';
import type { Families } from './families.ts';
import type { Pace } from './pace.ts';

/** Remembers what a counter has shown, where the table holds its parts only. */
export class PoolMetrics {
  /** By pool id. */
  private readonly hedgesLost = new Map<number, number>();

  add(families: Families, plan: Plan | null, tally: Tally, pace: Pace): void {
    const retries = families.counter('weir_retries_total', 'Tries after the first, by what made them needed.');
    const retriesNow = families.gauge('weir_retries_in_flight', 'Tries after the first that are under way.');
    const exhausted = families.counter('weir_retry_budget_exhausted_total', 'Retries that the budget forbade.');
    const hedges = families.counter('weir_hedges_total', 'Second tries started beside a slow first one, by whether they won.');
    const queue = families.gauge('weir_pool_queue', 'Requests waiting for a connection to an endpoint.');
    const queueTimes = families.histogram('weir_pool_queue_seconds', 'How long requests waited for a connection to an endpoint.');
    const timeouts = families.counter(
      'weir_pool_queue_timeouts_total',
      'Requests that waited too long for a connection to an endpoint.',
    );
    const panic = families.gauge('weir_pool_panic', '1 while health is ignored because too few endpoints are fit.');
    const imbalance = families.gauge(
      'weir_pool_imbalance_ratio',
      'Requests of the busiest endpoint over the mean of all that take requests, by weight, of the last 10 s; 0: no requests.',
    );
    const sticky = families.counter(
      'weir_pool_sticky_total',
      'Requests to pools that bind clients by a cookie, by what became of it.',
    );
    const fallback = families.counter('weir_pool_fallback_total', 'Requests that went to the fallback pool.');
    for (const pool of plan?.pools ?? []) {
      const labels = { pool: pool.name };
      const row = tally.pool(pool.id);
      retryReasonNames.forEach((reason, i) => {
        retries({ ...labels, reason }, row.retries[i]!);
      });
      retriesNow(labels, row.retriesNow);
      exhausted(labels, row.budgetExhausted);
      hedges({ ...labels, won: 'true' }, row.hedgesWon);
      hedges({ ...labels, won: 'false' }, this.lost(pool.id, row.hedges - row.hedgesWon));
      queue(labels, row.queue);
      queueTimes(labels, row.queueTimes);
      timeouts(labels, row.queueTimeouts);
      panic(labels, isPoolPanicking(tally, pool) ? 1 : 0);
      imbalance(labels, pace.imbalance(pool));
      stickyResultNames.forEach((result, i) => {
        sticky({ ...labels, result }, row.sticky[i]!);
      });
      fallback(labels, row.fallback);
    }
  }

  /** A hedge is counted when it starts and again when it wins: one that is under way passes for lost, but the counter never falls when it wins. */
  private lost(pool: number, now: number): number {
    const lost = Math.max(now, this.hedgesLost.get(pool) ?? 0);
    this.hedgesLost.set(pool, lost);
    return lost;
  }
}
