/** A closed loop for tests: so many requests in flight at any time, ended in random order whichever endpoint they are on. */
import { Prng } from '../base/prng.ts';
import type { Algorithm } from './balance.ts';
import { Bench } from './bench.ts';

/** Share of all requests each endpoint got. */
export function sharesInClosedLoop(
  algorithm: Algorithm,
  weights: readonly number[],
  concurrency: number,
  seed: number,
): number[] {
  const bench = new Bench(weights.map((weight) => ({ weight })));
  const policy = bench.policy(algorithm);
  const prng = new Prng(seed);
  const open: number[] = [];
  const counts = weights.map(() => 0);
  const times = 20_000;
  for (let i = 0; i < times; i++) {
    const index = bench.pick(policy);
    counts[index]!++;
    bench.begin(index);
    open.push(index);
    if (open.length >= concurrency) bench.end(open.splice(prng.below(open.length), 1)[0]!);
  }
  return counts.map((count) => count / times);
}
