/** A scenario file made into a scenario: defaults filled in, files that it names read, names resolved. Everything wrong is told at once, at its place. */
import { readFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { type ConfigFault, document, parseConfig } from '../control/config/config.ts';
import {
  type Expectation,
  metricNames,
  metricUnits,
  type PolicyChoice,
  readReplay,
  type Scenario,
  type ScenarioEvent,
  type ServiceModel,
  type Traffic,
} from '../lab/lab.ts';
import type { EndpointPlan, PoolPlan } from '../state/plan.ts';
import {
  type EventFile,
  type PolicyFile,
  readBound,
  readKeys,
  readRate,
  ringPoints,
  type ScenarioFile,
  scenarioSchema,
} from './scenario-schema.ts';

const DURATION_MS = 60_000;
const P50_MS = 10;
/** p99 over p50 where only p50 is written: web services lie between 3 and 10. */
const P99_OVER_P50 = 5;
const TIMEOUT_MS = 30_000;
const KEYS = 10_000;

export interface ScenarioRead {
  /** null when there is an error. */
  scenario: Scenario | null;
  faults: ConfigFault[];
  /** What people should know: lines of a log that were left out. */
  notes: string[];
}

type Environment = Readonly<Record<string, string | undefined>>;

/** `path` is absolute, `shown` how it was named. */
export function readScenario(text: string, path: string, shown: string, env: Environment): ScenarioRead {
  const read = document.readDocument(text, shown, scenarioSchema);
  if (read.value === null) return { scenario: null, faults: read.faults, notes: [] };
  const reader = new ScenarioReader(read.value.simulate, path, env, (at, message, help) =>
    read.faultAt(['simulate', ...at], 'bad-value', message, help),
  );
  const scenario = reader.read();
  return { scenario: reader.faults.length > 0 ? null : scenario, faults: reader.faults, notes: reader.notes };
}

class ScenarioReader {
  readonly faults: ConfigFault[] = [];
  readonly notes: string[] = [];
  private readonly file: ScenarioFile;
  private readonly folder: string;
  private readonly env: Environment;
  private readonly faultAt: (at: readonly string[], message: string, help?: string) => ConfigFault;

  constructor(file: ScenarioFile, path: string, env: Environment, faultAt: ScenarioReader['faultAt']) {
    this.file = file;
    this.folder = dirname(path);
    this.env = env;
    this.faultAt = faultAt;
  }

  read(): Scenario | null {
    const { file } = this;
    const pool = this.pool();
    if (pool === null) return null;
    const traffic = this.traffic(pool.name);
    if (traffic === null) return null;
    const lengthMs = traffic.kind === 'replayed' ? (traffic.requests.at(-1)?.atMs ?? 0) / traffic.speed + 1 : DURATION_MS;
    const durationMs = ms(file.duration, lengthMs);
    const events = this.events(pool, durationMs);
    const policies = this.policies(pool);
    const warmUpMs = ms(file.warmUp, 0);
    if (warmUpMs >= durationMs) this.fault(['warmUp'], 'warmUp has to be shorter than duration');
    return {
      title: file.title ?? '',
      seed: file.seed ?? 1,
      durationMs,
      warmUpMs,
      workers: file.workers ?? 2,
      pool,
      traffic,
      service: this.services(pool, events),
      cost:
        file.cost === undefined ? { heavyShare: 0, times: 1 } : { heavyShare: share(file.cost.heavy), times: file.cost.times },
      timeoutMs: ms(file.timeout, TIMEOUT_MS),
      attempts: file.attempts ?? 2,
      events: events.sort((a, b) => a.atMs - b.atMs),
      policies,
      expectations: this.expectations(policies),
    };
  }

  private fault(at: readonly string[], message: string, help?: string): void {
    this.faults.push(this.faultAt(at, message, help));
  }

  private pool(): PoolPlan | null {
    const { config, pools } = this.file;
    if ((config === undefined) === (pools === undefined)) {
      this.fault([], 'a scenario needs exactly one of config and pools');
      return null;
    }
    const found = config === undefined ? this.ownPools() : this.configPools(config);
    if (found === null) return null;
    const wanted = this.file.pool;
    const pool = wanted === undefined ? found[0] : found.find((candidate) => candidate.name === wanted);
    if (pool === undefined) {
      this.fault(['pool'], wanted === undefined ? 'there is no pool' : `there is no pool named ${wanted}`);
      return null;
    }
    if (pool.endpoints.length === 0) this.fault(['pools', pool.name], `pool ${pool.name} has no endpoints`);
    return pool;
  }

  private ownPools(): PoolPlan[] | null {
    const pools = this.file.pools!;
    const listeners = { web: { listen: '127.0.0.1:80', to: Object.fromEntries(Object.keys(pools).map((name) => [name, 1])) } };
    // Checked by the one who knows pools: what the schema cannot say (an address twice) comes back as a sentence.
    const result = parseConfig(JSON.stringify({ version: 1, listeners, pools }), 'pools.json', {});
    for (const { message } of result.faults) this.fault(['pools'], message);
    return result.plan?.pools ?? null;
  }

  private configPools(config: string): PoolPlan[] | null {
    const path = resolve(this.folder, config);
    let text: string;
    try {
      text = readFileSync(path, 'utf8');
    } catch (error) {
      this.fault(['config'], `${config} cannot be read: ${(error as NodeJS.ErrnoException).code}`);
      return null;
    }
    const result = parseConfig(text, path, this.env);
    this.faults.push(...result.faults);
    return result.plan?.pools ?? null;
  }

  private traffic(pool: string): Traffic | null {
    const { rate, arrivals, keys, replay, speed, key } = this.file.traffic;
    if ((rate === undefined) === (replay === undefined)) {
      this.fault(['traffic'], 'traffic needs exactly one of rate and replay');
      return null;
    }
    const others = replay === undefined ? ({ speed, key } as const) : ({ arrivals, keys } as const);
    for (const [name, value] of Object.entries(others)) {
      if (value !== undefined) this.fault(['traffic', name], `${name} goes with ${replay === undefined ? 'replay' : 'rate'}`);
    }
    if (rate !== undefined) {
      return {
        kind: 'made',
        ratePerSecond: must(readRate(rate)),
        arrivals: arrivals ?? 'poisson',
        keys: keys === undefined ? { kind: 'uniform', count: KEYS } : must(readKeys(keys)),
      };
    }
    let text: string;
    try {
      text = readFileSync(resolve(this.folder, replay!), 'utf8');
    } catch (error) {
      this.fault(['traffic', 'replay'], `${replay} cannot be read: ${(error as NodeJS.ErrnoException).code}`);
      return null;
    }
    const { requests, unreadable, others: foreign } = readReplay(text, pool, key ?? 'client');
    if (unreadable > 0) this.notes.push(`${replay}: ${unreadable} lines are no requests in JSON`);
    if (foreign > 0) this.notes.push(`${replay}: ${foreign} lines are of other pools`);
    if (requests.length === 0) {
      this.fault(['traffic', 'replay'], `${replay} has no request for pool ${pool}`);
      return null;
    }
    return { kind: 'replayed', requests, speed: speed ?? 1 };
  }

  private events(pool: PoolPlan, durationMs: number): ScenarioEvent[] {
    const known = new Set(pool.endpoints.map((endpoint) => endpoint.address));
    for (const { add } of this.file.events ?? []) if (add !== undefined) known.add(addressOf(add, pool.name) ?? '');
    return (this.file.events ?? []).flatMap((event, i) => this.event(event, ['events', String(i)], pool, known, durationMs));
  }

  private event(event: EventFile, at: string[], pool: PoolPlan, known: ReadonlySet<string>, durationMs: number): ScenarioEvent[] {
    const named = (['kill', 'restore', 'add', 'remove', 'drain', 'slow'] as const).filter((kind) => event[kind] !== undefined);
    if (named.length + (event.surge === undefined ? 0 : 1) !== 1) {
      this.fault(at, 'an event needs exactly one of kill, restore, add, remove, drain, slow and surge');
      return [];
    }
    const atMs = ms(event.at, Math.floor(durationMs / 2));
    if (atMs >= durationMs) this.fault([...at, 'at'], 'this is after the end of the scenario');
    if (event.surge !== undefined) {
      return [{ atMs, kind: 'surge', times: event.surge, forMs: ms(event.for, durationMs) }];
    }
    const kind = named[0]!;
    const address = addressOf(event[kind]!, pool.name);
    if (address === null || !known.has(address)) {
      const first = pool.endpoints[0]?.address ?? '';
      this.fault(
        [...at, kind],
        `there is no endpoint ${event[kind]} in pool ${pool.name}`,
        `endpoints are written ${pool.name}/${first}`,
      );
      return [];
    }
    if ((event.by === undefined) === (kind === 'slow')) this.fault(at, 'by goes with slow, and slow needs it');
    if (kind === 'add') {
      if (pool.endpoints.some((endpoint) => endpoint.address === address))
        this.fault([...at, kind], `${event.add} is there from the start`);
      return [{ atMs, kind, endpoint: added(address, event.weight ?? 1) }];
    }
    if (kind !== 'slow') return [{ atMs, kind, address }];
    const slow: ScenarioEvent = { atMs, kind, address, times: event.by ?? 1 };
    return event.for === undefined ? [slow] : [slow, { ...slow, atMs: atMs + ms(event.for, 0), times: 1 }];
  }

  private services(pool: PoolPlan, events: readonly ScenarioEvent[]): Map<string, ServiceModel> {
    const written = this.file.service ?? {};
    const addresses = [
      ...pool.endpoints.map((endpoint) => endpoint.address),
      ...events.flatMap((event) => (event.kind === 'add' ? [event.endpoint.address] : [])),
    ];
    const names = new Set([pool.name, ...addresses.map((address) => `${pool.name}/${address}`)]);
    for (const name of Object.keys(written)) {
      if (!names.has(name)) this.fault(['service', name], `there is no pool or endpoint ${name}`);
    }
    return new Map(
      addresses.map((address) => {
        const { p50, p99, slower, concurrency, queue, miss } = { ...written[pool.name], ...written[`${pool.name}/${address}`] };
        const p50Ms = ms(p50, P50_MS);
        const p99Ms = ms(p99, p50Ms * P99_OVER_P50);
        if (p99Ms < p50Ms) this.fault(['service'], `p99 of ${pool.name}/${address} is below its p50`);
        return [
          address,
          { p50Ms, p99Ms, slower: slower ?? 1, concurrency: concurrency ?? 0, queueMax: queue ?? 0, missMs: ms(miss, 0) },
        ];
      }),
    );
  }

  private policies(pool: PoolPlan): PolicyChoice[] {
    const { compare } = this.file;
    if (compare === undefined) return [{ label: pool.balance.algorithm, kind: 'policy', balance: pool.balance }];
    const choices = compare.map((written) => choiceOf(written));
    choices.forEach(({ label }, i) => {
      if (choices.findIndex((other) => other.label === label) < i) this.fault(['compare', String(i)], `${label} is there twice`);
    });
    return choices;
  }

  private expectations(policies: readonly PolicyChoice[]): Expectation[] {
    const { policies: byPolicy = {}, ...all } = this.file.expect ?? {};
    for (const name of Object.keys(byPolicy)) {
      if (!policies.some((policy) => policy.label === name))
        this.fault(
          ['expect', 'policies', name],
          `${name} is not compared`,
          `compared are ${policies.map((p) => p.label).join(', ')}`,
        );
    }
    return [[null, all] as const, ...Object.entries(byPolicy)].flatMap(([policy, bounds]) =>
      metricNames.flatMap((metric) => {
        const text = bounds[metric];
        return text === undefined ? [] : [{ policy, metric, text, ...must(readBound(text, metricUnits[metric])) }];
      }),
    );
  }
}

function choiceOf(written: PolicyFile): PolicyChoice {
  if (written === 'modulo-hash' || written === 'lowest-latency') return { label: written, kind: written };
  const points = typeof written === 'string' ? ringPoints(written) : null;
  if (points !== null) return { label: String(written), kind: 'ring', points };
  // What a pool with this `balance` would have in its plan: defaults are the config's business.
  const config = {
    version: 1,
    listeners: { web: { listen: '127.0.0.1:80', to: 'web' } },
    pools: { web: { endpoints: ['127.0.0.1:1'], balance: written } },
  };
  const { plan } = parseConfig(JSON.stringify(config), 'balance.json', {});
  const { balance } = plan!.pools[0]!;
  return { label: labelOf(written, balance.algorithm), kind: 'policy', balance };
}

/** "maglev", "source boundedLoad 1.25". */
function labelOf(written: PolicyFile, algorithm: string): string {
  if (typeof written === 'string') return written;
  const options = Object.entries(written).filter(([key, value]) => key !== 'algorithm' && value !== undefined);
  return [
    algorithm,
    ...options.map(([key, value]) => `${key} ${typeof value === 'object' ? JSON.stringify(value) : value}`),
  ].join(' ');
}

/** Address of "web/10.0.0.1:8080" when it is of this pool. */
function addressOf(name: string, pool: string): string | null {
  return name.startsWith(`${pool}/`) ? name.slice(pool.length + 1) : null;
}

function added(address: string, weight: number): EndpointPlan {
  return { slot: -1, address, resolved: null, weight, backup: false, zone: null, requestsMax: 0 };
}

function must<T>(read: document.Read<T>): T {
  if (!read.ok) throw new Error(`the schema let a bad value through: ${read.message}`);
  return read.value;
}
function ms(text: string | undefined, otherwise: number): number {
  return text === undefined ? otherwise : must(document.readDuration(text));
}
function share(text: string): number {
  return must(document.readPercent(text));
}
