/**
 * Arrivals: every request of a scenario before any policy sees it. All policies get the same requests at the same times with the same work in them, so what
 * differs between their results is their doing.
 */
import { Prng } from '../base/prng.ts';
import { addressHashes, keyDraw, textHash } from './keys.ts';
import { REQUESTS_MAX, type ReplayedRequest, type Scenario, type Traffic } from './scenario.ts';

export interface Arrivals {
  count: number;
  /** Ascending. */
  timesMs: Float64Array;
  /** Key number of each request. */
  keys: Uint32Array;
  /** 32-bit hash by key number. */
  hashes: Uint32Array;
  /** Worker that accepts it, over all nodes. */
  workers: Uint16Array;
  /** Standard normal numbers: where in the distribution of service times it lies. */
  normals: Float64Array;
  /** Place in the queue of the pool: 0 before 3. */
  urgencies: Uint8Array;
  /** How many times the work of an ordinary request. */
  costs: Float64Array;
  /** Recorded service times; negative: none, the model decides. */
  recordedMs: Float64Array | null;
}

/** Seeds of the parts, so that a change of one leaves the others as they are. */
const streams = { times: 1, keys: 2, workers: 3, work: 4, addresses: 5, urgencies: 6 };
/** Of an ordinary request, and of an urgent one. */
const URGENCY = 3;
const URGENT = 0;
/** A request that a surge adds to a replayed log comes at most so long before or after the one it is a copy of. */
const COPY_SPREAD_MS = 500;

export class TooManyRequests extends Error {}

export function makeArrivals(scenario: Scenario): Arrivals {
  const { traffic } = scenario;
  return traffic.kind === 'made' ? made(scenario, traffic) : replayed(scenario, traffic);
}

function made(scenario: Scenario, traffic: Traffic & { kind: 'made' }): Arrivals {
  const { seed } = scenario;
  const times = timesOf(scenario, traffic);
  const draw = keyDraw(traffic.keys);
  const keyPrng = stream(seed, streams.keys);
  const keys = Uint32Array.from(times, () => draw(keyPrng));
  const hashes = addressHashes(traffic.keys.count, stream(seed, streams.addresses).uint32());
  return { ...work(scenario, times), keys, hashes, recordedMs: null };
}

function replayed(scenario: Scenario, traffic: Traffic & { kind: 'replayed' }): Arrivals {
  const numbers = new Map<string, number>();
  const within = surged(
    scenario,
    traffic.requests
      .map((request) => ({ ...request, atMs: request.atMs / traffic.speed }))
      .filter((request) => request.atMs < scenario.durationMs),
  );
  if (within.length > REQUESTS_MAX) throw new TooManyRequests();
  const keys = Uint32Array.from(within, ({ key }) => {
    const known = numbers.get(key) ?? numbers.size;
    numbers.set(key, known);
    return known;
  });
  const times = within.map((request) => request.atMs);
  return {
    ...work(scenario, times),
    keys,
    hashes: Uint32Array.from(numbers.keys(), textHash),
    recordedMs: Float64Array.from(within, (request) => request.serviceMs),
  };
}

function work(
  scenario: Scenario,
  times: readonly number[],
): Pick<Arrivals, 'count' | 'timesMs' | 'workers' | 'urgencies' | 'normals' | 'costs'> {
  const { seed, nodes, workers, cost } = scenario;
  const count = times.length;
  const workerPrng = stream(seed, streams.workers);
  const urgencyPrng = stream(seed, streams.urgencies);
  const prng = stream(seed, streams.work);
  const normals = new Float64Array(count);
  const costs = new Float64Array(count);
  for (let i = 0; i < count; i++) {
    normals[i] = normal(prng);
    costs[i] = prng.float() < cost.heavyShare ? cost.times : 1;
  }
  return {
    count,
    timesMs: Float64Array.from(times),
    // The kernel spreads connections over SO_REUSEPORT sockets by a hash: evenly, blindly. So does whatever stands before several nodes.
    workers: Uint16Array.from({ length: count }, () => workerPrng.below(nodes.length * workers)),
    urgencies: Uint8Array.from({ length: count }, () => (urgencyPrng.float() < scenario.urgentShare ? URGENT : URGENCY)),
    normals,
    costs,
  };
}

function timesOf(scenario: Scenario, traffic: Traffic & { kind: 'made' }): number[] {
  const prng = stream(scenario.seed, streams.times);
  const steps = rateSteps(scenario, traffic.ratePerSecond / 1000);
  const times: number[] = [];
  let step = 0;
  let now = 0;
  for (;;) {
    // Expected arrivals until the next one: spent on the steps of the rate, so that a surge begins and ends at its time.
    let left = traffic.arrivals === 'constant' ? 1 : -Math.log(1 - prng.float());
    while (now + left / steps[step]!.perMs > steps[step]!.untilMs) {
      left -= (steps[step]!.untilMs - now) * steps[step]!.perMs;
      now = steps[step]!.untilMs;
      if (++step === steps.length) return times;
    }
    now += left / steps[step]!.perMs;
    if (times.length === REQUESTS_MAX) throw new TooManyRequests();
    times.push(now);
  }
}

/** A log with its surges: each request as often as the surge is high, copies a little earlier or later and by people drawn from the log. */
function surged(scenario: Scenario, requests: readonly ReplayedRequest[]): readonly ReplayedRequest[] {
  const surges = scenario.events.flatMap((event) => (event.kind === 'surge' ? [event] : []));
  if (surges.length === 0) return requests;
  const prng = stream(scenario.seed, streams.times);
  const all: ReplayedRequest[] = [];
  for (const request of requests) {
    const active = surges.filter((surge) => surge.atMs <= request.atMs && request.atMs < surge.atMs + surge.forMs);
    const times = active.reduce((product, surge) => product * surge.times, 1);
    const copies = Math.floor(times) + (prng.float() < times % 1 ? 1 : 0);
    if (all.length + copies > REQUESTS_MAX) throw new TooManyRequests();
    if (copies > 0) all.push(request);
    const from = Math.max(0, ...active.map((surge) => surge.atMs));
    const to = Math.min(scenario.durationMs, ...active.map((surge) => surge.atMs + surge.forMs)) - 0.001;
    for (let copy = 1; copy < copies; copy++) {
      const moved = request.atMs + (2 * prng.float() - 1) * COPY_SPREAD_MS;
      const { key } = requests[prng.below(requests.length)]!;
      all.push({ ...request, atMs: Math.min(to, Math.max(from, moved)), key });
    }
  }
  return all.sort((a, b) => a.atMs - b.atMs);
}

/** The rate over time. Surges that overlap multiply. */
function rateSteps(scenario: Scenario, perMs: number): { untilMs: number; perMs: number }[] {
  const { durationMs } = scenario;
  const surges = scenario.events.flatMap((event) => (event.kind === 'surge' ? [event] : []));
  const edges = surges.flatMap((surge) => [surge.atMs, surge.atMs + surge.forMs]).filter((ms) => ms > 0 && ms < durationMs);
  const ends = [...new Set([...edges, durationMs])].sort((a, b) => a - b);
  return ends.map((untilMs, i) => {
    const from = i === 0 ? 0 : ends[i - 1]!;
    const active = surges.filter((surge) => surge.atMs <= from && from < surge.atMs + surge.forMs);
    return { untilMs, perMs: active.reduce((rate, surge) => rate * surge.times, perMs) };
  });
}

function stream(seed: number, part: number): Prng {
  return new Prng(Math.imul(seed, 0x9e3779b1) + part);
}

/** Box and Muller, 1958; one of the two. */
function normal(prng: Prng): number {
  return Math.sqrt(-2 * Math.log(1 - prng.float())) * Math.cos(2 * Math.PI * prng.float());
}
