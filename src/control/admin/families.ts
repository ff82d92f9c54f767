/** Families: metric families as prom-client's registry prints them, gathered for one snapshot. */
import { bucketBoundsMs } from '../../state/buckets.ts';
import type { Histogram } from '../../state/tally.ts';

export type Labels = Readonly<Record<string, string>>;
type FamilyType = 'counter' | 'gauge' | 'histogram';

export interface Sample {
  labels: Labels;
  value: number;
  /** Another name than the family's: _bucket, _sum, _count. */
  metricName?: string;
}

export interface Family {
  name: string;
  help: string;
  type: FamilyType;
  values: Sample[];
}

/** Bounds in seconds, as label values. */
const bounds: readonly string[] = [...bucketBoundsMs.map((ms) => String(ms / 1000)), '+Inf'];
/** Series of one histogram: buckets, sum and count. */
export const HISTOGRAM_SERIES = bounds.length + 2;

export class Families {
  readonly list: Family[] = [];

  counter(name: string, help: string): (labels: Labels, value: number) => void {
    return this.family(name, help, 'counter');
  }
  gauge(name: string, help: string): (labels: Labels, value: number) => void {
    return this.family(name, help, 'gauge');
  }

  /** Times in seconds. */
  histogram(name: string, help: string): (labels: Labels, histogram: Histogram) => void {
    const values: Sample[] = [];
    this.list.push({ name, help, type: 'histogram', values });
    return (labels, histogram) => {
      let count = 0;
      bounds.forEach((le, i) => {
        count += histogram[i]!;
        values.push({ labels: { ...labels, le }, value: count, metricName: `${name}_bucket` });
      });
      values.push({ labels, value: histogram[bounds.length]! / 1000, metricName: `${name}_sum` });
      values.push({ labels, value: count, metricName: `${name}_count` });
    };
  }

  private family(name: string, help: string, type: FamilyType): (labels: Labels, value: number) => void {
    const values: Sample[] = [];
    this.list.push({ name, help, type, values });
    return (labels, value) => values.push({ labels, value });
  }
}

/** Adds up by key what several callers bring: coarser labels than the rows have. */
class Sums<T> {
  private readonly sums = new Map<string, { labels: Labels; sum: T }>();
  private readonly zero: () => T;
  private readonly plus: (a: T, b: T) => T;

  constructor(zero: () => T, plus: (a: T, b: T) => T) {
    this.zero = zero;
    this.plus = plus;
  }

  add(labels: Labels, value: T): void {
    const key = JSON.stringify(labels);
    const known = this.sums.get(key);
    if (known === undefined) this.sums.set(key, { labels, sum: this.plus(this.zero(), value) });
    else known.sum = this.plus(known.sum, value);
  }

  each(print: (labels: Labels, value: T) => void): void {
    for (const { labels, sum } of this.sums.values()) print(labels, sum);
  }
}

export function numberSums(): Sums<number> {
  return new Sums<number>(
    () => 0,
    (a, b) => a + b,
  );
}

export function histogramSums(): Sums<Histogram> {
  return new Sums<Histogram>(emptyHistogram, (a, b) => a.map((value, i) => value + b[i]!));
}

export function emptyHistogram(): Histogram {
  return new Float64Array(bounds.length + 1);
}
