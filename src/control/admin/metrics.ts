/**
 * Metrics: one snapshot of everything, at most SNAPSHOT_MS_MAX old however many scrape, in Prometheus' text format or OpenMetrics by Accept.
 */
import { type Metric, Registry, type RegistryContentType } from 'prom-client';
import { addCertificateMetrics } from './certificates.ts';
import type { ControlState } from './control-state.ts';
import { EndpointMetrics } from './endpoint-metrics.ts';
import { Families, type Family, type Sample } from './families.ts';
import { PlanNames } from './names.ts';
import { Pace } from './pace.ts';
import { PoolMetrics } from './pool-metrics.ts';
import { ProcessMetrics } from './process-metrics.ts';
import { addTraffic } from './traffic-metrics.ts';

const SNAPSHOT_MS_MAX = 1000;
/** Series of endpoints, by default: about 290 endpoints with their own. */
const SERIES_MAX = 20_000;

/** What the registry asks of a metric when it prints; its types want classes that count by themselves. */
interface Printable {
  name: string;
  type: string;
  get(): Promise<{ name: string; type: string; help: string; values: readonly Sample[] }>;
}

export class Metrics {
  private readonly state: ControlState;
  private readonly endpoints: EndpointMetrics;
  private readonly pace: Pace;
  private readonly pools = new PoolMetrics();
  private readonly processes = new ProcessMetrics();
  private readonly texts = new Map<boolean, Promise<string>>();
  private families: Family[] = [];
  private takenAt = Number.NEGATIVE_INFINITY;

  constructor(state: ControlState, seriesMax: number = SERIES_MAX, pace: Pace = new Pace(state.tally, () => state.plan())) {
    this.state = state;
    this.pace = pace;
    this.endpoints = new EndpointMetrics(seriesMax);
  }

  /** What to answer to an Accept header. */
  async scrape(accept: string): Promise<{ contentType: string; text: string }> {
    const isOpen = /\bapplication\/openmetrics-text\b/.test(accept);
    const now = performance.now();
    if (now - this.takenAt >= SNAPSHOT_MS_MAX) {
      this.takenAt = now;
      this.families = this.take();
      this.texts.clear();
    }
    let text = this.texts.get(isOpen);
    if (text === undefined) {
      text = print(this.families, isOpen);
      this.texts.set(isOpen, text);
    }
    return { contentType: isOpen ? Registry.OPENMETRICS_CONTENT_TYPE : Registry.PROMETHEUS_CONTENT_TYPE, text: await text };
  }

  private take(): Family[] {
    const { state } = this;
    const plan = state.plan();
    const { tally } = state;
    const families = new Families();
    addTraffic(families, plan, tally, new PlanNames(plan, tally));
    this.pools.add(families, plan, tally, this.pace);
    this.endpoints.add(families, plan, tally, state.drains);
    addCertificateMetrics(families, state);
    this.processes.add(families, state);
    families.counter('weir_metric_series_dropped_total', 'Series that were not made because of a limit.')(
      {},
      this.endpoints.dropped + tally.rowsDropped(),
    );
    return families.list;
  }
}

/** prom-client knows the two formats and their escapes; the numbers are ours. */
function print(families: readonly Family[], isOpen: boolean): Promise<string> {
  const registry: Registry<RegistryContentType> = new Registry();
  if (isOpen) registry.setContentType(Registry.OPENMETRICS_CONTENT_TYPE);
  const taken = new Set(families.map((family) => family.name));
  for (const family of families) {
    let { name, type }: { name: string; type: string } = family;
    if (isOpen && type === 'counter') {
      // OpenMetrics names a counter's family without its suffix. Where a gauge has that name (weir_connections), the counter keeps its name and
      // gives up its type, for two families must not share one.
      const bare = name.replace(/_total$/, '');
      if (taken.has(bare)) type = 'unknown';
      else name = bare;
    }
    const metric: Printable = {
      name,
      type,
      get: () => Promise.resolve({ name, type, help: family.help, values: family.values }),
    };
    registry.registerMetric(metric as unknown as Metric<string>);
  }
  return registry.metrics();
}
