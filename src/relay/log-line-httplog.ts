/**
 * log-line-httplog: HAProxy's httplog from the client on: what follows `haproxy[pid]:` there (its manual, §8.2.3). Cookies, captures and counts that
 * weir does not keep are `-`.
 */
import { type Fault, faults } from '../base/faults.ts';
import { dayText, LogLine } from './log-line.ts';
import type { LogRecord } from './log-record.ts';

/** HAProxy's termination state of a fault, two letters and two for cookies that weir does not use (its manual, §8.5). */
const terminationStates: readonly string[] = faults.map(terminationState);

function terminationState(f: Fault): string {
  if (f.id === 0) return '----';
  const isTimeout = f.status === 504 || f.status === 408 || f.reason === 'queue_timeout';
  const who =
    f.side === 'client'
      ? isTimeout
        ? 'c'
        : f.name === 'clientAborted'
          ? 'C'
          : 'P'
      : f.side === 'endpoint'
        ? isTimeout
          ? 's'
          : 'S'
        : 'P';
  const phases: Readonly<Record<string, string>> = {
    head: f.side === 'endpoint' ? 'H' : 'R',
    body: 'D',
    queue: 'Q',
    balance: 'C',
    connect: 'C',
    tls: 'C',
    resolve: 'C',
    upgrade: 'H',
    route: 'R',
    filter: 'R',
    accept: 'R',
    any: 'D',
  };
  return `${who}${phases[f.phase] ?? '-'}--`;
}

export class HttplogLine extends LogLine {
  constructor(redactQuery: readonly string[]) {
    super(false, redactQuery);
  }

  protected line(r: LogRecord): void {
    this.name(r.client);
    this.text(' [');
    this.digits(Math.min(999, Math.floor(this.secondOf(r.timeMs))), 3);
    this.text('] ');
    this.name(r.listener);
    this.text(' ');
    this.name(r.pool === '' ? r.listener : r.pool);
    this.text('/');
    this.name(r.endpoint === '' ? '<NOSRV>' : r.endpoint);
    this.text(' ');
    this.milliseconds(r.headMs);
    this.text('/');
    this.milliseconds(r.queueMs);
    this.text('/');
    this.milliseconds(r.connectMs);
    this.text('/');
    this.milliseconds(r.firstMs);
    this.text('/');
    this.milliseconds(r.totalMs);
    this.text(' ');
    this.integer(r.status);
    this.text(' ');
    this.integer(r.bytesOut);
    this.text(' - - ');
    this.text(terminationStates[r.faultId]!);
    this.text(' -/-/');
    this.integer(Math.max(0, r.inFlight));
    this.text('/-/');
    this.integer(r.attemptCount);
    this.text(' -/');
    this.integer(Math.max(0, r.queueLength));
    this.text(' "');
    this.requestLine(r);
    this.text('"');
  }

  protected textOfSecond(second: number): string {
    return dayText(second) + '.';
  }
}
