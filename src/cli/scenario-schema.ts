/** The language of scenario files: every key with its description. Units and errors are those of the config. */
import { z } from 'zod';
import { configSchema, document } from '../control/config/config.ts';
import { KEYS_MAX, type KeysModel, metricUnits, replayKeys } from '../lab/lab.ts';

const { bad, choice, count, either, good, named, shape, text, words } = document;
type Read<T> = document.Read<T>;

const DURATION = { pattern: '^([0-9]+(\\.[0-9]+)?(ms|s|m|h|d))+$', examples: ['500ms', '5s', '1m'], help: document.durationHelp };
const duration = (description: string) => text(description, document.DURATION_EXPECTED, document.readDuration, DURATION);
const span = (description: string) => text(description, document.DURATION_EXPECTED, readSpan, DURATION);
const percent = (description: string) =>
  text(description, document.PERCENT_EXPECTED, document.readPercent, { help: document.percentHelp });
const factor = (description: string) =>
  either(description, 'expected a number above 0, for example 3', [z.number().positive().max(1_000_000)]);

function readSpan(value: string): Read<number> {
  const read = document.readDuration(value);
  return read.ok && read.value === 0 ? bad('this duration cannot be 0') : read;
}

const RATE_EXPECTED = 'expected requests in a time, for example 500/s';
/** "500/s" as requests a second. */
export function readRate(value: string): Read<number> {
  const found = /^([0-9]+(?:\.[0-9]+)?)\/(s|m|h)$/.exec(value);
  if (found === null) return bad(RATE_EXPECTED, /^[0-9]+$/.test(value) ? `did you mean ${value}/s?` : undefined);
  const rate = Number(found[1]) / { s: 1, m: 60, h: 3600 }[found[2] as 's' | 'm' | 'h'];
  return rate > 0 ? good(rate) : bad('this rate cannot be 0');
}

function perSecond(value: unknown): string | undefined {
  return typeof value === 'number' ? `did you mean ${value}/s?` : undefined;
}

const KEYS_EXPECTED =
  'expected uniform(COUNT), zipf(EXPONENT, COUNT) or nat(SHARE, COUNT), for example zipf(1.1, 100000) or nat(60%, 5000)';
/** "zipf(1.1, 100000)". */
export function readKeys(value: string): Read<KeysModel> {
  const found = /^(uniform|zipf|nat)\(\s*(?:([0-9.]+)(%?)\s*,\s*)?([0-9]{1,9})\s*\)$/.exec(value);
  if (found === null) return bad(KEYS_EXPECTED);
  const [, kind, first, sign, countText] = found;
  const keys = Number(countText);
  if (keys < 1 || keys > KEYS_MAX) return bad(`there are 1 to ${KEYS_MAX} keys`);
  const number = Number(first);
  if (kind === 'uniform' && first === undefined) return good({ kind, count: keys });
  if (kind === 'zipf' && sign === '' && number > 0 && number <= 10) return good({ kind, exponent: number, count: keys });
  if (kind === 'nat' && sign === '%' && number <= 100) return good({ kind, share: number / 100, count: keys });
  return bad(KEYS_EXPECTED);
}

const endpointName = (description: string) =>
  text(description, 'expected an endpoint as POOL/ADDRESS, for example web/10.0.0.1:8080', (value) =>
    /^[^/]+\/.+$/.test(value) ? good(value) : bad('expected an endpoint as POOL/ADDRESS, for example web/10.0.0.1:8080'),
  );

const service = shape('How long an endpoint takes, and how much it does at once.', {
  p50: span('Half of the requests take less. Default 10ms.').optional(),
  p99: span('99 of 100 take less; times are log-normal. Default 5 times p50.').optional(),
  slower: factor('Everything takes this many times as long. Default 1.').optional(),
  concurrency: count('Requests served at once, the others wait there; 0: all. Default 0.', 0, 1_000_000).optional(),
  miss: duration('The first request for a key takes so much longer there: a cache. Default 0s.').optional(),
  queue: count('Requests that wait at the endpoint, one more is answered 503; 0: no limit. Default 0.', 0, 1_000_000).optional(),
});

const checks = choice('What health checks of it do meanwhile, of fail and hang. Default pass.', ['pass', 'fail']);

const event = shape(
  'Something that happens. Exactly one of kill, restore, add, remove, drain, slow, fail, hang, flap and surge.',
  {
    at: duration('When. Default: half way.').optional(),
    kill: endpointName('The process dies: refuses connections, fails health checks.').optional(),
    restore: endpointName('It is alive, well, as fast as at the start and not drained again.').optional(),
    add: endpointName('It is new in the configuration.').optional(),
    weight: count('Of an endpoint that is added. Default 1.', 0, 1000).optional(),
    remove: endpointName('It is taken out of the configuration; what it has in flight is finished.').optional(),
    drain: endpointName('It takes no new requests.').optional(),
    slow: endpointName('New requests take `by` times as long there.').optional(),
    by: factor('Of slow.').optional(),
    fail: endpointName('It answers new requests with `status`, at once, or the share of them that `errors` says.').optional(),
    errors: percent('Of fail. Default 100%.').optional(),
    status: count('Of fail. Default 500.', 500, 599).optional(),
    hang: endpointName('It accepts new requests and never answers them.').optional(),
    checks: checks.optional(),
    flap: endpointName('It dies, and is restored half of `every` later, again and again.').optional(),
    every: span('Of flap: from one death to the next. Default 10s.').optional(),
    surge: factor('The rate is multiplied.').optional(),
    for: span('How long a surge, slow, fail, hang or flap lasts. Without it, to the end.').optional(),
  },
);

/** "<100ms" or ">5%". */
export function readBound(value: string, unit: 'ms' | 'share' | 'number'): Read<{ isBelow: boolean; bound: number }> {
  const example = { ms: '<100ms', share: '<5%', number: '<1.5' }[unit];
  const expected = `expected < or > and a ${{ ms: 'duration', share: 'percentage', number: 'number' }[unit]}, for example "${example}"`;
  const found = /^([<>])\s*(\S+)$/.exec(value);
  if (found === null) return bad(expected);
  const bound = boundOf(found[2]!, unit);
  return bound === null ? bad(expected) : good({ isBelow: found[1] === '<', bound });
}

function boundOf(value: string, unit: 'ms' | 'share' | 'number'): number | null {
  if (unit === 'number') return /^[0-9]+(\.[0-9]+)?$/.test(value) ? Number(value) : null;
  const read = unit === 'ms' ? document.readDuration(value) : document.readPercent(value);
  return read.ok ? read.value : null;
}

const bound = (metric: keyof typeof metricUnits, description: string) =>
  text(`${description} For example "<" or ">" and a value.`, 'expected < or > and a value, for example "<100ms"', (value) =>
    readBound(value, metricUnits[metric]),
  ).optional();
const bounds = {
  p50: bound('p50', 'Median latency.'),
  p99: bound('p99', 'Latency that 99 of 100 requests stay below.'),
  p999: bound('p999', 'The same for 999 of 1,000.'),
  mean: bound('mean', 'Mean latency.'),
  max: bound('max', 'Longest latency.'),
  errors: bound('errors', 'Share of requests without an answer below 500.'),
  imbalance: bound('imbalance', 'Requests of the busiest endpoint over the mean, by weight.'),
  busiest: bound('busiest', 'Share of all requests that the busiest endpoint was given.'),
  keysMoved: bound('keysMoved', 'Largest share of keys that one change of the pool moved.'),
  misses: bound('misses', 'Share of requests whose key the endpoint did not have.'),
  inFlightMax: bound('inFlightMax', 'Most requests in flight on one endpoint.'),
  tries: bound('tries', 'Requests sent to endpoints, for each request of a client.'),
  urgentP99: bound('urgentP99', 'p99 of the urgent requests.'),
  urgentErrors: bound('urgentErrors', 'errors of the urgent requests.'),
  crossZone: bound('crossZone', 'Share of the tries that left the zone of their node.'),
  pairs: bound('pairs', 'Pairs of a node and an endpoint it sent something to.'),
};

const RING = /^ring\(([1-9][0-9]{0,3})\)$/;
/** Points of "ring(4)", null for other policies. */
export function ringPoints(name: string): number | null {
  const found = RING.exec(name);
  return found === null ? null : Number(found[1]);
}
const pool = configSchema.shape.pools.unwrap().valueType.shape;
const retry = configSchema.shape.routes.unwrap().element.shape.retry;
/** What `balance:` of a pool may be, and the references. */
const [algorithm, balanceMap] = pool.balance.unwrap().options;
/** Keys of a variant that are those of `balance`. */
export const balanceKeys = Object.keys(balanceMap.shape);
const REFERENCE_EXPECTED =
  'expected the name of an algorithm, for example round-robin, or a reference: modulo-hash, lowest-latency or ring(4)';
const variant = either(
  'A policy: what `balance` of a pool may be, or a reference; or other settings of the pool.',
  REFERENCE_EXPECTED,
  [
    algorithm,
    shape(
      'The pool with other settings: what is written here takes the place of what the pool has.',
      {
        label: words('Name in the report. Default: what is written.').optional(),
        ...balanceMap.shape,
        health: pool.health,
        maxConnections: count('Of each endpoint; 0: no limit.', 0, 1_000_000).optional(),
        queue: pool.queue,
        circuitBreaker: pool.circuitBreaker,
        retry,
      },
      {
        foreign: {
          name: 'label',
          balance: 'algorithm',
          passive: 'health: { passive: … }',
          slowStart: 'health: { slowStart: … }',
        },
      },
    ),
    text('Reference.', REFERENCE_EXPECTED, (value) =>
      value === 'modulo-hash' || value === 'lowest-latency' || RING.test(value) ? good(value) : bad(REFERENCE_EXPECTED),
    ),
  ],
);

export const scenarioSchema = shape('A scenario.', {
  simulate: shape(
    'What is to be tried out.',
    {
      title: words('What the scenario shows.').optional(),
      seed: count('Another seed, other chances. Default 1.', 0, 4_294_967_295).optional(),
      config: words('The config that has the pool, relative to this file.').optional(),
      pools: configSchema.shape.pools,
      pool: words('The pool that gets the traffic. Default: the only one, or the first.').optional(),
      nodes: count('Weirs side by side, which know nothing of each other. Default 1.', 1, 64).optional(),
      zone: either('Zone of the node; of several, in turns. Default: that of the config.', 'expected the name of a zone', [
        words('Zone.'),
        z.array(words('Zone.')).min(1),
      ]).optional(),
      workers: count('Worker processes of each node. Default 2.', 1, 64).optional(),
      duration: span('How long requests arrive. Default 60s, or the length of the log.').optional(),
      warmUp: duration('Requests of this time at the start are not measured. Default 0s.').optional(),
      traffic: shape('Where requests come from: rate, or replay.', {
        rate: text('Requests in a time.', RATE_EXPECTED, readRate, { examples: ['500/s'], help: perSecond }).optional(),
        arrivals: choice('Gaps between requests. Default poisson.', ['poisson', 'constant']).optional(),
        urgent: percent('Share of requests that go first in the queue of the pool. Default 0%.').optional(),
        keys: text('Client addresses. Default uniform(10000).', KEYS_EXPECTED, readKeys, {
          examples: ['zipf(1.1, 100000)'],
        }).optional(),
        replay: words('Access log in JSON, relative to this file.').optional(),
        speed: factor('A log is replayed this many times as fast. Default 1.').optional(),
        key: choice('What of a log line is the key. Default client.', replayKeys).optional(),
      }),
      service: named('Service times by pool, or by POOL/ADDRESS.', service).optional(),
      cost: shape('Requests that cost more than others.', {
        heavy: percent('Share of heavy requests.'),
        times: factor('What a heavy one costs, in ordinary ones.'),
      }).optional(),
      timeout: span('Wait for an answer at most so long. Default 30s.').optional(),
      retry,
      crossZone: duration('An answer from another zone takes so much longer. Default 0s.').optional(),
      events: z.array(event).describe('What happens meanwhile.').optional(),
      compare: z.array(variant).min(1).describe('Policies, or settings of the pool. Default: the pool as it is.').optional(),
      expect: shape('What has to be so, for every policy; or the command answers 8.', {
        ...bounds,
        policies: named('The same for one of what is compared, by its label.', shape('What has to be so.', bounds)).optional(),
      }).optional(),
    },
    { foreign: { attempts: 'retry: { attempts: … }' } },
  ),
});

export type ScenarioFile = z.output<typeof scenarioSchema>['simulate'];
export type EventFile = NonNullable<ScenarioFile['events']>[number];
export type VariantFile = NonNullable<ScenarioFile['compare']>[number];
