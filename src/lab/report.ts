/** A report as a table for people and as JSON for programs. */
import { metricText, msText, shareText } from './expect.ts';
import type { Report } from './lab.ts';
import { metricOf, type PolicyResult } from './result.ts';
import type { MetricName } from './scenario.ts';

/** Endpoints listed per policy; of larger pools the busiest and the idlest. */
const ENDPOINTS_SHOWN_MAX = 12;
/** Changes listed per policy; JSON has more. */
const CHANGES_SHOWN_MAX = 20;
/** `above`: a column that is not above this for any policy says nothing, and is left out. */
const columns: readonly { head: string; metric: MetricName; above?: number }[] = [
  { head: 'p50', metric: 'p50' },
  { head: 'p99', metric: 'p99' },
  { head: 'p99.9', metric: 'p999' },
  { head: 'errors', metric: 'errors' },
  { head: 'imbalance', metric: 'imbalance' },
  { head: 'busiest', metric: 'busiest' },
  { head: 'in flight', metric: 'inFlightMax' },
  { head: 'tries', metric: 'tries', above: 1.005 },
  { head: 'urgent p99', metric: 'urgentP99', above: 0 },
  { head: 'urgent errors', metric: 'urgentErrors', above: 0 },
  { head: 'cross zone', metric: 'crossZone', above: 0 },
  { head: 'pairs', metric: 'pairs', above: 0 },
  { head: 'keys moved', metric: 'keysMoved', above: 0 },
  { head: 'misses', metric: 'misses', above: 0 },
];

export function reportTable(report: Report): string {
  const { title, seed, durationMs, requests, results, checks } = report;
  const told = columns.filter(({ metric, above = -1 }) => results.some((r) => (metricOf(r, metric) ?? 0) > above));
  const parts = [
    `${title === '' ? '' : `${title}\n`}${requests} requests in ${msText(durationMs)}, seed ${seed}\n`,
    grid([
      ['policy', ...told.map(({ head }) => head)],
      ...results.map((r) => [r.policy, ...told.map(({ metric }) => metricText(metric, metricOf(r, metric)))]),
    ]),
    ...results.map(endpointTable),
  ];
  if (checks.length > 0) {
    const lines = checks.map(({ policy, metric, expected, actual, isMet }) => [
      isMet ? 'met' : 'MISSED',
      policy,
      metric,
      expected,
      metricText(metric, actual),
    ]);
    parts.push(grid([['expected', '', '', '', 'was'], ...lines]));
  }
  return parts.join('\n');
}

function endpointTable(result: PolicyResult): string {
  const { endpoints, moves, changes } = result;
  const sorted = endpoints.toSorted((a, b) => b.requests - a.requests);
  const half = ENDPOINTS_SHOWN_MAX / 2;
  const shown = endpoints.length <= ENDPOINTS_SHOWN_MAX ? endpoints : [...sorted.slice(0, half), ...sorted.slice(-half)];
  const rows = shown.map((e) => [
    e.address,
    String(e.weight),
    shareText(e.share),
    ...[e.latency.p50, e.latency.p99, e.latency.p999].map((ms) => (e.requests === 0 ? '-' : msText(ms))),
    String(e.errors),
    String(e.inFlightMax),
    e.utilization === 0 ? '-' : shareText(e.utilization),
  ]);
  const head = [result.policy, 'weight', 'share', 'p50', 'p99', 'p99.9', 'errors', 'in flight', 'at work'];
  const lines = changes.slice(0, CHANGES_SHOWN_MAX).map(({ atMs, what }) => {
    const move = moves.find((one) => one.atMs === atMs && one.what === what);
    const keys = move && `: ${shareText(move.moved / move.keys)} of the keys moved, ${shareText(move.needed / move.keys)} had to`;
    return `at ${msText(atMs)} ${what}${keys ?? ''}\n`;
  });
  if (changes.length > lines.length) lines.push(`${changes.length - lines.length} changes more are not shown\n`);
  const more = endpoints.length > shown.length ? `${endpoints.length - shown.length} endpoints in between are not shown\n` : '';
  return grid([head, ...rows]) + more + lines.join('');
}

/** Columns as wide as what is in them; the first to the left, numbers to the right. */
function grid(rows: readonly (readonly string[])[]): string {
  const widths = rows[0]!.map((_, i) => Math.max(...rows.map((row) => row[i]!.length)));
  const isText = rows[0]![0] === 'expected';
  return rows
    .map((row) =>
      row
        .map((cell, i) => (i === 0 || isText ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!)))
        .join('  ')
        .trimEnd(),
    )
    .map((line) => `${line}\n`)
    .join('');
}

/** Times in ms, shares 0..1. */
export function reportJson(report: Report): string {
  const plain = (_key: string, value: unknown): unknown => {
    if (value instanceof Float64Array) return Array.from(value, rounded);
    return typeof value === 'number' ? rounded(value) : value;
  };
  return `${JSON.stringify(report, plain)}\n`;
}

/** Six digits that count: nothing here is more exact. */
function rounded(value: number): number {
  return Number.isInteger(value) ? value : Number(value.toPrecision(6));
}
