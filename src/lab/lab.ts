/**
 * lab: what would happen. The data plane's own code for choosing, queueing, retrying and judging, on real state tables, against modelled or replayed traffic on a
 * virtual clock.
 *
 * It does not know: files, configs, the terminal. A scenario comes in checked and complete, a report goes out.
 *
 * Rules
 * 1. The same scenario gives the same report, bit by bit: there is no clock and no chance but the seed.
 * 2. All variants of a scenario see the same requests at the same times with the same work in them.
 * 3. What can be had from the product is not modelled: policies, tables, queues, retry rules, verdicts. What is modelled is said in docs/simulate.md.
 */
import { makeArrivals } from './arrivals.ts';
import { type Check, checkExpectations } from './expect.ts';
import type { PolicyResult } from './result.ts';
import { run } from './run.ts';
import type { Scenario } from './scenario.ts';

export { TooManyRequests } from './arrivals.ts';
export type { Check } from './expect.ts';
export { reportSvg } from './plots.ts';
export { readReplay, replayKeys } from './replay.ts';
export { reportJson, reportTable } from './report.ts';
export { metricOf, type PolicyResult } from './result.ts';
export * from './scenario.ts';

export interface Report {
  title: string;
  seed: number;
  durationMs: number;
  requests: number;
  results: PolicyResult[];
  checks: Check[];
}

/** Throws {@link TooManyRequests}. */
export function simulate(scenario: Scenario): Report {
  const arrivals = makeArrivals(scenario);
  const results = scenario.variants.map((variant) => run(scenario, arrivals, variant));
  return {
    title: scenario.title,
    seed: scenario.seed,
    durationMs: scenario.durationMs,
    requests: arrivals.count,
    results,
    checks: checkExpectations(scenario.expectations, results),
  };
}
