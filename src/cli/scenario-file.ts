/** A scenario file made into a scenario: defaults filled in, files that it names read, names resolved. Everything wrong is told at once, at its place. */
import { readFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { type ConfigFault, document, parseConfig } from '../control/config/config.ts';
import {
  type Expectation,
  metricNames,
  metricUnits,
  readReplay,
  type Scenario,
  type ScenarioEvent,
  type ServiceModel,
  type Traffic,
  type Variant,
} from '../lab/lab.ts';
import type { Plan, PoolPlan, RetryPlan } from '../state/plan.ts';
import { eventsOf } from './scenario-events.ts';
import { readBound, readKeys, readRate, type ScenarioFile, scenarioSchema } from './scenario-schema.ts';
import { ms, must, share } from './scenario-values.ts';
import { retryOf, variantOf } from './scenario-variants.ts';

const DURATION_MS = 60_000;
const P50_MS = 10;
/** p99 over p50 where only p50 is written: web services lie between 3 and 10. */
const P99_OVER_P50 = 5;
const TIMEOUT_MS = 30_000;
const KEYS = 10_000;
/** A node without a name has the same one on every machine, for the same numbers. */
const ANY_NODE = { node: 'node-1', withoutCertificates: true };

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
    const plan = this.plan();
    const pool = plan === null ? null : this.pool(plan);
    if (plan === null || pool === null) return null;
    const traffic = this.traffic(pool.name);
    if (traffic === null) return null;
    const lengthMs = traffic.kind === 'replayed' ? (traffic.requests.at(-1)?.atMs ?? 0) / traffic.speed + 1 : DURATION_MS;
    const durationMs = ms(file.duration, lengthMs);
    const events = eventsOf(file.events ?? [], pool, durationMs, (at, message, help) => this.fault(at, message, help));
    // What the first route to the pool says counts for all its requests.
    const route = plan.routes.find(
      ({ action }) => action.kind === 'forward' && action.pools.some((p) => plan.pools[p.pool] === pool),
    );
    const retry = file.retry === undefined ? route?.retry : null;
    const variants = this.variants(pool, retry ?? retryOf(file.retry, ({ message }) => this.fault(['retry'], message))!);
    const warmUpMs = ms(file.warmUp, 0);
    if (warmUpMs >= durationMs) this.fault(['warmUp'], 'warmUp has to be shorter than duration');
    return {
      title: file.title ?? '',
      seed: file.seed ?? 1,
      durationMs,
      warmUpMs,
      nodes: this.nodes(plan),
      workers: file.workers ?? 2,
      pool,
      traffic,
      service: this.services(pool, events),
      cost:
        file.cost === undefined ? { heavyShare: 0, times: 1 } : { heavyShare: share(file.cost.heavy, 0), times: file.cost.times },
      urgentShare: share(file.traffic.urgent, 0),
      timeoutMs: ms(file.timeout, route?.timeouts.responseMs ?? TIMEOUT_MS),
      crossZoneMs: ms(file.crossZone, 0),
      events: events.sort((a, b) => a.atMs - b.atMs),
      variants,
      expectations: this.expectations(variants),
    };
  }

  /** The node of the config, or as many as the scenario wants. */
  private nodes(plan: Plan): Scenario['nodes'] {
    const { nodes: count = 1, zone } = this.file;
    const zones = zone === undefined ? [plan.zone] : typeof zone === 'string' ? [zone] : zone;
    return Array.from({ length: count }, (_, i) => ({
      node: count === 1 ? plan.node : `node-${i + 1}`,
      zone: zones[i % zones.length]!,
    }));
  }

  private fault(at: readonly string[], message: string, help?: string): void {
    this.faults.push(this.faultAt(at, message, help));
  }

  private plan(): Plan | null {
    const { config, pools } = this.file;
    if ((config === undefined) === (pools === undefined)) {
      this.fault([], 'a scenario needs exactly one of config and pools');
      return null;
    }
    return config === undefined ? this.ownPlan() : this.configPlan(config);
  }

  private pool(plan: Plan): PoolPlan | null {
    const { pools } = plan;
    const wanted = this.file.pool;
    const pool = wanted === undefined ? pools[0] : pools.find((candidate) => candidate.name === wanted);
    if (pool === undefined) {
      this.fault(['pool'], wanted === undefined ? 'there is no pool' : `there is no pool named ${wanted}`);
      return null;
    }
    if (pool.endpoints.length === 0) this.fault(['pools', pool.name], `pool ${pool.name} has no endpoints`);
    return pool;
  }

  private ownPlan(): Plan | null {
    const pools = this.file.pools!;
    const listeners = { web: { listen: '127.0.0.1:80', to: Object.fromEntries(Object.keys(pools).map((name) => [name, 1])) } };
    // Checked by the one who knows pools: what the schema cannot say (an address twice) comes back as a sentence.
    const { plan, faults } = parseConfig(JSON.stringify({ version: 1, listeners, pools }), 'pools.json', {}, ANY_NODE);
    for (const { message } of faults) this.fault(['pools'], message);
    return plan;
  }

  private configPlan(config: string): Plan | null {
    const path = resolve(this.folder, config);
    let text: string;
    try {
      text = readFileSync(path, 'utf8');
    } catch (error) {
      this.fault(['config'], `${config} cannot be read: ${(error as NodeJS.ErrnoException).code}`);
      return null;
    }
    const { plan, faults } = parseConfig(text, path, this.env, ANY_NODE);
    this.faults.push(...faults);
    return plan;
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

  private variants(pool: PoolPlan, retry: RetryPlan): Variant[] {
    const { compare } = this.file;
    if (compare === undefined) return [{ label: pool.balance.algorithm, pool, retry, reference: null }];
    const variants = compare.map((written, i) =>
      variantOf(written, pool, retry, ({ message }) => this.fault(['compare', String(i)], message)),
    );
    variants.forEach(({ label }, i) => {
      if (variants.findIndex((other) => other.label === label) < i) this.fault(['compare', String(i)], `${label} is there twice`);
    });
    return variants;
  }

  private expectations(variants: readonly Variant[]): Expectation[] {
    const { policies: byPolicy = {}, ...all } = this.file.expect ?? {};
    for (const name of Object.keys(byPolicy)) {
      if (!variants.some(({ label }) => label === name))
        this.fault(
          ['expect', 'policies', name],
          `${name} is not compared`,
          `compared are ${variants.map(({ label }) => label).join(', ')}`,
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
