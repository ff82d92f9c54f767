/** Numbers into tables, and tables into a verdict on the targets. */
import type { BalancerName } from './balancers.ts';
import type { IdleResult } from './peers.bench.ts';
import type { Run } from './programs.ts';

export interface Sample extends Run {
  /** CPU µs of the working processes, and of the others, per request. */
  cpuUs: number;
  otherUs: number;
  /** The part of cpuUs spent outside the kernel. */
  userUs: number;
  perSecond: number;
  rss: number;
}

/** Medians over the rounds; errors are sums. */
export interface Summary extends Sample {
  name: string;
  /** Smallest and largest cpuUs of the rounds: how much to believe. */
  spread: [number, number];
  samples: Sample[];
}

export function median(values: number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

export function summarize(name: string, samples: Sample[]): Summary {
  const of = (key: keyof Sample): number => median(samples.map((sample) => sample[key]));
  const sum = (key: keyof Sample): number => samples.reduce((total, sample) => total + sample[key], 0);
  const cpu = samples.map((sample) => sample.cpuUs);
  return {
    name,
    requests: of('requests'),
    us: of('us'),
    bytes: of('bytes'),
    errors: sum('errors'),
    status: sum('status'),
    p50: of('p50'),
    p99: of('p99'),
    p999: of('p999'),
    cpuUs: of('cpuUs'),
    otherUs: of('otherUs'),
    userUs: of('userUs'),
    perSecond: of('perSecond'),
    rss: of('rss'),
    spread: [Math.min(...cpu), Math.max(...cpu)],
    samples,
  };
}

const pad = (cells: string[], widths: number[]): string =>
  cells.map((cell, i) => (i === 0 ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!))).join('  ');
const ms = (us: number): string => (us / 1000).toFixed(2);
const MIB = 1024 * 1024;

const widths = [14, 9, 15, 7, 8, 8, 9, 8, 8, 8, 7, 6, 6];
const ratio = (summary: Summary, other: Summary | undefined): string =>
  other === undefined ? '' : (summary.cpuUs / other.cpuUs).toFixed(2);

export function printRow(name: string, says: string, summaries: Summary[]): void {
  console.log(`${name}: ${says}`);
  console.log(
    pad(
      ['', 'CPU µs', 'min-max', 'user', '×HAProxy', '×nginx', 'req/s', 'p50 ms', 'p99 ms', 'p99.9', 'RSS MB', 'errors', 'ctl µs'],
      widths,
    ),
  );
  const of = (other: string): Summary | undefined => summaries.find((summary) => summary.name === other);
  for (const summary of summaries)
    console.log(
      pad(
        [
          summary.name,
          summary.cpuUs.toFixed(1),
          `${summary.spread[0].toFixed(1)}-${summary.spread[1].toFixed(1)}`,
          summary.userUs.toFixed(1),
          ratio(summary, of('haproxy')),
          ratio(summary, of('nginx')),
          summary.perSecond.toFixed(0),
          ms(summary.p50),
          ms(summary.p99),
          ms(summary.p999),
          (summary.rss / MIB).toFixed(0),
          String(summary.errors + summary.status),
          summary.otherUs.toFixed(2),
        ],
        widths,
      ),
    );
  const [first] = summaries;
  if (first !== undefined && first.bytes / first.requests >= MIB)
    console.log(`CPU ms per GB: ${summaries.map((summary) => `${summary.name} ${msPerGb(summary).toFixed(0)}`).join(', ')}`);
  console.log();
}

/** CPU ms for 10^9 bytes that reached the client. */
function msPerGb({ cpuUs, requests, bytes }: Summary): number {
  return (cpuUs * requests * 1e6) / bytes;
}

/** Bytes beyond the base for one idle connection. */
function perConnection(result: IdleResult): { rss: number; pss: number } {
  return { rss: (result.rss - result.baseRss) / result.open, pss: (result.pss - result.basePss) / result.open };
}

export function printIdle(name: string, says: string, results: IdleResult[]): void {
  if (results.length === 0) return;
  console.log(`${name}: ${says}`);
  const columns = [14, 7, 8, 12, 12, 10, 10];
  console.log(pad(['', 'open', 'failed', 'RSS B each', 'PSS B each', 'base MB', 'with MB'], columns));
  for (const result of results) {
    const each = perConnection(result);
    console.log(
      pad(
        [
          result.name,
          String(result.open),
          String(result.failures),
          each.rss.toFixed(0),
          each.pss.toFixed(0),
          (result.baseRss / MIB).toFixed(1),
          (result.rss / MIB).toFixed(1),
        ],
        columns,
      ),
    );
  }
  console.log();
}

/** CPU per request as a share of HAProxy's: at most this. */
interface Target {
  row: string;
  share: number;
  beside: BalancerName;
  /** p99.9 is not above HAProxy's either. */
  hasTail: boolean;
}
const target = (row: string, share: number, beside: BalancerName = 'haproxy', hasTail = false): Target => ({
  row,
  share,
  beside,
  hasTail,
});
const targets: readonly Target[] = [
  target('small64', 0.6, 'haproxy', true),
  target('small512', 0.6, 'haproxy', true),
  target('16k', 0.75, 'haproxy', true),
  target('1m', 1, 'haproxy', true),
  target('close', 1, 'haproxy', true),
  target('epoll', 1.3),
  target('tcp64', 0.6),
  target('tcpclose', 0.9),
  target('tcpbulk1', 1),
  target('tcpbulk1', 1, 'haproxy-splice'),
  target('tcpbulk64', 1),
  target('tcpbulk64', 1, 'haproxy-splice'),
];
const IDLE_BYTES_MAX = 4096;

/** One line a target: met or missed, by how much. */
export function judge(rows: Record<string, Summary[]>, idle: Record<string, IdleResult[]>): void {
  const lines: string[] = [];
  const say = (isMet: boolean, text: string): void => void lines.push(`${isMet ? 'met   ' : 'MISSED'} ${text}`);
  for (const { row, share, beside, hasTail } of targets) {
    const weir = rows[row]?.find((summary) => summary.name === 'weir');
    const peer = rows[row]?.find((summary) => summary.name === beside);
    if (weir === undefined || peer === undefined) continue;
    const is = weir.cpuUs / peer.cpuUs;
    say(is <= share, `${row}: CPU ${is.toFixed(2)} x ${beside}, target ${share}`);
    if (hasTail) say(weir.p999 <= peer.p999, `${row}: p99.9 ${ms(weir.p999)} ms, ${beside} ${ms(peer.p999)} ms`);
  }
  const weir = idle['idle']?.find((result) => result.name === 'weir');
  if (weir !== undefined) {
    const { rss } = perConnection(weir);
    say(rss <= IDLE_BYTES_MAX, `idle: ${rss.toFixed(0)} bytes a connection, target ${IDLE_BYTES_MAX}`);
  }
  if (lines.length > 0) console.log(lines.join('\n'));
}
