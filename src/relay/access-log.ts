/**
 * The access log: one line per exchange, written straight into bytes. What becomes of the bytes (ring, full disk, dropped lines) is for
 * others; here is only what a line says.
 *
 * Rules
 * 1. The order of the fields is fixed; a field without a value is absent, never null or "".
 * 2. Text from outside is latin1 bytes. Everything that is not printable ASCII is escaped, so a line is one line of ASCII whatever a
 *    client sends: control characters cannot forge lines or steer a terminal.
 * 3. Times are seconds with at most six decimals. -1 stands for "not measured".
 * 4. A line never exceeds LINE_BYTES_MAX: texts from outside are cut at their limits, so that
 *    nobody stays out of the log by being long.
 */
import type { AccessLogPlan } from '../state/plan.ts';
import { LINE_BYTES_MAX, lineBound } from './log-bounds.ts';
import type { LogLine } from './log-line.ts';
import { ClassicLine } from './log-line-classic.ts';
import { HttplogLine } from './log-line-httplog.ts';
import { JsonLine } from './log-line-json.ts';
import type { LogRecord } from './log-record.ts';

export { LINE_BYTES_MAX } from './log-bounds.ts';
export { LogRecord } from './log-record.ts';

/** There was no room for the line. */
export const NO_ROOM = -1;

export type LogFormat = 'json' | 'combined' | 'common' | 'httplog';

/** Is a line to be written? Faults, errors of the server and slow exchanges always are. `random` is a uniform unsigned 32-bit number. */
export function isSampled(plan: AccessLogPlan, record: LogRecord, random: number): boolean {
  if (record.faultId !== 0 || record.status >= 500 || record.status === 0) return true;
  if (plan.slowMs > 0 && record.totalMs >= plan.slowMs) return true;
  return random >>> 0 < plan.sampleOk * 0x100000000;
}

/** Writes lines of one format. One per worker and plan. */
export class LineWriter {
  /** Whether the record needs User-Agent and Referer. */
  readonly wantsFields: boolean;
  private readonly line: LogLine;

  /** `redactQuery`: lower-case names. */
  constructor(format: LogFormat, redactQuery: readonly string[], node: string, worker: number) {
    this.wantsFields = format === 'combined';
    if (format === 'json') this.line = new JsonLine(redactQuery, node, worker);
    else if (format === 'httplog') this.line = new HttplogLine(redactQuery);
    else this.line = new ClassicLine(redactQuery, this.wantsFields);
  }

  /** Writes a line with its line feed at bytes[at...]. Returns the end, or {@link NO_ROOM} when it might not fit before `end`; LINE_BYTES_MAX always do. */
  write(record: LogRecord, bytes: Uint8Array, at: number, end: number): number {
    if (end - at < LINE_BYTES_MAX && end - at < lineBound(record) + this.line.ownBytes) return NO_ROOM;
    return this.line.write(record, bytes, at);
  }
}
