/** Expectations of a scenario, held against its results. */
import { metricOf, type PolicyResult } from './result.ts';
import { type Expectation, type MetricName, metricUnits } from './scenario.ts';

export interface Check {
  policy: string;
  metric: MetricName;
  /** "<100ms". */
  expected: string;
  /** null: this policy has no such number, so the expectation is missed. */
  actual: number | null;
  isMet: boolean;
}

export function checkExpectations(expectations: readonly Expectation[], results: readonly PolicyResult[]): Check[] {
  return expectations.flatMap((expectation) =>
    results
      .filter((result) => expectation.policy === null || expectation.policy === result.policy)
      .map((result) => {
        const actual = metricOf(result, expectation.metric);
        const isMet = actual !== null && (expectation.isBelow ? actual < expectation.bound : actual > expectation.bound);
        return { policy: result.policy, metric: expectation.metric, expected: expectation.text, actual, isMet };
      }),
  );
}

/** A number of this metric for people. */
export function metricText(metric: MetricName, value: number | null): string {
  if (value === null) return '-';
  const unit = metricUnits[metric];
  if (unit === 'ms') return msText(value);
  return unit === 'share' ? shareText(value) : numberText(value);
}

/** Three digits that count: "7.21ms", "1.25s". */
export function msText(ms: number): string {
  return ms >= 1000 ? `${digits(ms / 1000)}s` : `${digits(ms)}ms`;
}
export function shareText(share: number): string {
  const percent = share * 100;
  return `${percent === 0 ? '0' : percent >= 9.95 ? percent.toFixed(1) : percent.toPrecision(2)}%`;
}
export function numberText(value: number): string {
  return Number.isInteger(value) ? String(value) : value.toFixed(2);
}
function digits(value: number): string {
  return value === 0 ? '0' : value >= 100 ? value.toFixed(0) : value.toPrecision(3);
}
