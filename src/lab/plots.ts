/** Plots of a report: per policy what each endpoint was given and had in flight; latency, and errors if there are any, of all policies over each other. */
import { msText, numberText } from './expect.ts';
import type { Report } from './lab.ts';
import type { PolicyResult } from './result.ts';
import { colorOf, type Line, type Panel, svgOf } from './svg.ts';

/** Lines in one panel; of more endpoints those with the most requests and those with the fewest. */
const LINES_MAX = 12;

export function reportSvg(report: Report): string {
  const { results, title, durationMs } = report;
  const shown = shownOf(results);
  const names = results[0]!.endpoints.map((endpoint) => endpoint.address);
  const legend = shown.map((index, i) => ({ label: names[index]!, color: colorOf(i) }));
  const perSecond = results.map((result) =>
    result.series.requests.map((values) => values.map((v) => (v * 1000) / result.series.spanMs)),
  );
  const loadMax = largest(perSecond.flatMap((lines) => shown.map((index) => lines[index]!)));
  const flightMax = largest(results.flatMap((result) => shown.map((index) => result.series.inFlight[index]!)));
  const linesOf = (values: readonly Float64Array[]): Line[] =>
    shown.map((index, i) => ({ label: names[index]!, color: colorOf(i), values: values[index]! }));
  const rows = results.map((result, i): Panel[] => [
    {
      title: `${result.policy}: requests/s by endpoint`,
      lines: linesOf(perSecond[i]!),
      text: numberText,
      max: loadMax,
      isLog: false,
    },
    {
      title: `${result.policy}: most in flight`,
      lines: linesOf(result.series.inFlight),
      text: numberText,
      max: flightMax,
      isLog: false,
    },
  ]);
  const policies = results.map((result, i) => ({ label: result.policy, color: policyColor(i) }));
  rows.push(
    (['p50', 'p99'] as const).map((metric) => ({
      title: `latency ${metric}`,
      lines: results.map((result, i) => ({ label: result.policy, color: policyColor(i), values: result.series[metric] })),
      text: msText,
      max: null,
      isLog: true,
    })),
  );
  if (results.some((result) => result.errors.all > 0)) {
    const failed = (result: PolicyResult) => result.series.errors.map((count) => (count * 1000) / result.series.spanMs);
    const lines = results.map((result, i) => ({ label: result.policy, color: policyColor(i), values: failed(result) }));
    rows.push([{ title: 'errors/s', lines, text: numberText, max: null, isLog: false }]);
  }
  return svgOf(title === '' ? 'weir simulate' : title, rows, [...legend, ...policies], durationMs / 1000);
}

/** Other colours than those of the first endpoints. */
function policyColor(index: number): string {
  return ['#000000', '#b00020', '#7a49a5', '#3d7a1f', '#b8860b'][index] ?? colorOf(index + LINES_MAX);
}

function shownOf(results: readonly PolicyResult[]): number[] {
  const { endpoints } = results[0]!;
  const order = [...endpoints.keys()];
  if (order.length <= LINES_MAX) return order;
  order.sort((a, b) => endpoints[b]!.requests - endpoints[a]!.requests);
  return [...order.slice(0, LINES_MAX / 2), ...order.slice(-LINES_MAX / 2)];
}

function largest(lines: readonly Float64Array[]): number {
  return lines.reduce((max, values) => values.reduce((a, b) => Math.max(a, b), max), 0);
}
