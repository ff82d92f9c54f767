/**
 * Ns per pick for 3 to 3,000 endpoints: `node src/balance/pick.bench.ts [algorithm ...]`. A table of two workers, some requests in flight.
 *
 * Each policy is measured in a process of its own, as pools of one policy meet it; where a worker runs pools of many, its calls are a few ns slower.
 * `a ramp moves` is what a pick costs that finds the tiers out of date, as one does about a hundred times in a slow start.
 */
import { execFileSync } from 'node:child_process';
import { Prng } from '../base/prng.ts';
import { type Algorithm, NONE, type Policy } from './balance.ts';
import { Bench, type EndpointSketch, type PoolSketch } from './bench.ts';

const ROUNDS = 35;
const PICKS_PER_ROUND = 100_000;
/** Of a policy that looks at all endpoints, so many looks. */
const LOOKS_PER_ROUND = 3_000_000;
const SIZES = [3, 30, 300, 3000];
const SLOW_START_MS = 30_000;
/** A ramp moves by a hundredth, and does so this often after a third of the time. */
const STEP_MS = SLOW_START_MS / 100;
const MOVES_PER_ROUND = 60;
const algorithms: readonly Algorithm[] = [
  'round-robin',
  'random',
  'power-of-two',
  'least-requests',
  'first',
  'least-time',
  'source',
  'ring-hash',
  'maglev',
  'rendezvous',
];

interface Case {
  name: string;
  pool?: PoolSketch;
  endpoint: (index: number) => EndpointSketch;
  /** The first endpoint came back a moment ago. */
  isWarming?: boolean;
  isMoving?: boolean;
}

const plain = () => ({});
const warming = { pool: { slowStartMs: SLOW_START_MS }, endpoint: plain, isWarming: true };
const cases: readonly Case[] = [
  { name: '', endpoint: plain },
  { name: ', weights 1-3', endpoint: (i) => ({ weight: 1 + (i % 3) }) },
  { name: ', half in the zone', pool: { spillAt: 0.8 }, endpoint: (i) => ({ zone: i % 2 === 0 ? 'here' : 'there' }) },
  { name: ', one warming', ...warming },
  { name: ', a ramp moves', ...warming, isMoving: true },
];

const [given, ...more] = process.argv.slice(2);
if (given !== undefined && more.length === 0) measureAll(given as Algorithm);
else {
  console.log(`ns per pick (best of ${ROUNDS})`.padEnd(36), SIZES.map((n) => String(n).padStart(8)).join(''));
  for (const algorithm of given === undefined ? algorithms : [given, ...more]) {
    process.stdout.write(execFileSync(process.execPath, [import.meta.filename, algorithm]));
  }
}

function measureAll(algorithm: Algorithm): void {
  const prng = new Prng(1);
  const randoms = Int32Array.from({ length: 4096 }, () => prng.uint32());
  // The compiler has seen every size before one is measured.
  for (const size of SIZES) measure(algorithm, cases[0]!, size, randoms);
  for (const one of cases) {
    const cells = SIZES.map((size) => measure(algorithm, one, size, randoms).toFixed(0).padStart(8));
    console.log(`${algorithm}${one.name}`.padEnd(36), cells.join(''));
  }
}

function measure(algorithm: Algorithm, { pool, endpoint, isWarming, isMoving }: Case, size: number, randoms: Int32Array): number {
  const bench = new Bench(
    Array.from({ length: size }, (_, i) => endpoint(i)),
    2,
    pool,
  );
  const { slots, workers } = bench;
  slots.forEach((slot, i) => {
    const worker = workers[i & 1]!;
    // Each has had traffic, so that no page is untouched and latencies are known.
    worker.begin(slot);
    worker.end(slot, 0, 200, 5 + (i % 7));
    worker.begin(slot);
  });
  const policy = bench.policy(algorithm);
  const looks = algorithm === 'least-requests' || algorithm === 'rendezvous' ? size : 0;
  const picks = Math.min(PICKS_PER_ROUND, Math.ceil(LOOKS_PER_ROUND / (looks + 1)));
  let best = Number.POSITIVE_INFINITY;
  // Rounds of moves are short, and so there have to be more of them.
  for (let round = 0; round < (isMoving === true ? 6 * ROUNDS : ROUNDS); round++) {
    if (isWarming === true) {
      bench.revive(0);
      bench.advance(SLOW_START_MS / 3);
    }
    best = Math.min(best, isMoving === true ? timeMoves(bench, policy, randoms) : timePicks(policy, randoms, picks));
  }
  return best;
}

function timePicks(policy: Policy, randoms: Int32Array, picks: number): number {
  let sum = 0;
  const start = process.hrtime.bigint();
  for (let i = 0; i < picks; i++) sum += policy.pick(randoms[i & 4095]!, randoms[(i + 7) & 4095]!, NONE);
  const ns = Number(process.hrtime.bigint() - start) / picks;
  if (sum < 0) throw new Error('picked nothing');
  return ns;
}

function timeMoves(bench: Bench, policy: Policy, randoms: Int32Array): number {
  const start = process.hrtime.bigint();
  for (let i = 0; i < MOVES_PER_ROUND; i++) {
    bench.advance(STEP_MS);
    policy.pick(randoms[i]!, randoms[i + 7]!, NONE);
  }
  return Number(process.hrtime.bigint() - start) / MOVES_PER_ROUND;
}
