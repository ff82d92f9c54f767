/**
 * The access log: one line per exchange, written straight into bytes. What becomes of the bytes (ring, full disk, dropped lines) is for
 * others; here is only what a line says.
 *
 * Rules
 * 1. The order of the fields is fixed; a field without a value is absent, never null or "".
 * 2. Text from outside is latin1 bytes. Everything that is not printable ASCII is escaped, so a line is one line of ASCII whatever a
 *    client sends: control characters cannot forge lines or steer a terminal.
 * 3. Times are seconds with at most six decimals. -1 stands for "not measured".
 * 4. A line never exceeds LINE_BYTES_MAX, which is below the size of a large block: texts from outside are cut at their limits, so that
 *    nobody stays out of the log by being long.
 */
import { type Fault, faults } from '../base/faults.ts';
import { methodNames } from '../base/head.ts';
import { protocolNames } from '../state/doors.ts';
import type { AccessLogPlan } from '../state/plan.ts';
import { FIELD_BYTES_MAX, LineBytes, latin1Bytes, NAME_CHARS_MAX } from './line-bytes.ts';
import { ATTEMPTS_MAX, type LogRecord } from './log-record.ts';

export { LogRecord } from './log-record.ts';

/** Bytes of a path or a query that are logged. */
const TARGET_BYTES_MAX = 2048;
/** What every line needs besides its texts: keys, numbers, times. Measured at 1,010 with every field at its widest. */
const FIXED_BYTES = 1280;
/** The same for one attempt. */
const ATTEMPT_BYTES = 128;
/** A byte takes up to six in JSON (\u00XX). */
const ESCAPED_BYTES = 6;
/** Room that the longest line fits into: it takes the whole of a large block, so start a fresh one after NO_ROOM. */
export const LINE_BYTES_MAX =
  FIXED_BYTES +
  ESCAPED_BYTES * (2 * TARGET_BYTES_MAX + 4 * FIELD_BYTES_MAX + 8 * NAME_CHARS_MAX) +
  ATTEMPTS_MAX * (ATTEMPT_BYTES + ESCAPED_BYTES * NAME_CHARS_MAX);
/** There was no room for the line. */
export const NO_ROOM = -1;

export type LogFormat = 'json' | 'combined' | 'common' | 'httplog';

/** Is a line to be written? Faults, errors of the server and slow exchanges always are. `random` is a uniform unsigned 32-bit number. */
export function isSampled(plan: AccessLogPlan, record: LogRecord, random: number): boolean {
  if (record.faultId !== 0 || record.status >= 500 || record.status === 0) return true;
  if (plan.slowMs > 0 && record.totalMs >= plan.slowMs) return true;
  return random >>> 0 < plan.sampleOk * 0x100000000;
}

const MONTHS: readonly string[] = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];
const REDACTED = '***';

/** Writes lines of one format. One per worker and plan; remembers the text of the current second. */
export class LineWriter extends LineBytes {
  readonly format: LogFormat;
  /** Whether the record needs User-Agent and Referer. */
  readonly wantsFields: boolean;
  private readonly redact: readonly Uint8Array[];
  private readonly nodeText: string;
  private readonly workerText: string;
  /** Second of `secondText`. */
  private second = -1;
  private secondText = '';

  /** `redactQuery`: lower-case names. */
  constructor(format: LogFormat, redactQuery: readonly string[], node: string, worker: number) {
    super(format === 'json');
    this.format = format;
    this.wantsFields = format === 'combined';
    this.redact = redactQuery.map(latin1Bytes);
    this.nodeText =
      node === '' ? '' : `,"node":${JSON.stringify(node.slice(0, NAME_CHARS_MAX)).replace(/[^ -~]/g, unicodeEscape)}`;
    this.workerText = `,"worker":${worker}`;
  }

  /** Writes a line with its line feed at bytes[at...]. Returns the end, or {@link NO_ROOM} when it might not fit before `end`; LINE_BYTES_MAX always do. */
  write(record: LogRecord, bytes: Uint8Array, at: number, end: number): number {
    if (end - at < lineBound(record) + this.nodeText.length) return NO_ROOM;
    this.bytes = bytes;
    this.at = at;
    if (this.format === 'json') this.json(record);
    else if (this.format === 'httplog') this.httplog(record);
    else this.classic(record);
    bytes[this.at] = 10;
    return this.at + 1;
  }

  private json(r: LogRecord): void {
    this.text('{"time":"');
    this.isoTime(r.timeMs);
    this.text('"');
    this.jsonName(',"id":"', r.id);
    this.text(this.nodeText);
    this.text(this.workerText);
    this.text(',"epoch":');
    this.integer(r.epoch);
    this.jsonName(',"listener":"', r.listener);
    this.jsonName(',"route":"', r.route);
    this.jsonName(',"pool":"', r.pool);
    this.jsonName(',"endpoint":"', r.endpoint);
    this.jsonName(',"client":"', r.client);
    if (r.peer !== r.client) this.jsonName(',"peer":"', r.peer);
    this.text(',"protocol":"');
    this.text(protocolNames[r.protocol]!);
    this.text('"');
    if (r.method !== 0) {
      this.text(',"method":"');
      this.text(methodNames[r.method]!);
      this.text('"');
    } else {
      this.jsonRange(',"method":"', r.bytes, r.methodStart, r.methodEnd, FIELD_BYTES_MAX);
    }
    this.jsonRange(',"host":"', r.bytes, r.hostStart, r.hostEnd, FIELD_BYTES_MAX);
    this.jsonRange(',"path":"', r.bytes, r.pathStart, r.pathEnd, TARGET_BYTES_MAX);
    if (r.queryStart >= 0 && r.queryStart < r.queryEnd) {
      this.text(',"query":"');
      this.query(r);
      this.text('"');
    }
    this.text(',"status":');
    this.integer(r.status);
    if (r.upstreamStatus !== 0 && r.upstreamStatus !== r.status) {
      this.text(',"upstream_status":');
      this.integer(r.upstreamStatus);
    }
    this.text(',"in":');
    this.integer(r.bytesIn);
    this.text(',"out":');
    this.integer(r.bytesOut);
    this.jsonTime(',"t_idle":', r.idleMs);
    this.jsonTime(',"t_head":', r.headMs);
    this.jsonTime(',"t_filter":', r.filterMs);
    this.jsonTime(',"t_queue":', r.queueMs);
    this.jsonTime(',"t_connect":', r.connectMs);
    this.jsonTime(',"t_first":', r.firstMs);
    this.jsonTime(',"t_body":', r.bodyMs);
    this.jsonTime(',"t_total":', r.totalMs);
    this.jsonTime(',"overhead":', r.overheadMs);
    if (r.attemptCount > 0) this.attempts(r);
    if (r.isReused) this.text(',"reused":true');
    if (r.faultId !== 0) this.text(faultTexts[r.faultId]!);
    if (r.queueLength >= 0) {
      this.text(',"queue_len":');
      this.integer(r.queueLength);
    }
    if (r.inFlight >= 0) {
      this.text(',"in_flight":');
      this.integer(r.inFlight);
    }
    this.jsonRange(',"user_agent":"', r.bytes, r.userAgentStart, r.userAgentEnd, FIELD_BYTES_MAX);
    this.jsonRange(',"referer":"', r.bytes, r.refererStart, r.refererEnd, FIELD_BYTES_MAX);
    this.text('}');
  }

  private attempts(r: LogRecord): void {
    this.text(',"attempts":[');
    for (let i = 0; i < r.attemptCount; i++) {
      this.text(i === 0 ? '{"endpoint":"' : ',{"endpoint":"');
      this.name(r.attemptEndpoint[i]!);
      this.text('","reason":"');
      this.text(faults[r.attemptFault[i]!]!.reason);
      this.text('"');
      this.jsonTime(',"t":', r.attemptMs[i]!);
      this.text('}');
    }
    this.text(']');
  }

  /** Apache's common log format, and combined with its two more fields. Escapes as Apache does: \xHH. */
  private classic(r: LogRecord): void {
    this.hostOnly(r.client);
    this.text(' - - [');
    this.classicTime(r.timeMs);
    this.text('] "');
    this.requestLine(r);
    this.text('" ');
    this.integer(r.status);
    this.text(' ');
    if (r.bytesOut === 0) this.text('-');
    else this.integer(r.bytesOut);
    if (this.format !== 'combined') return;
    this.text(' "');
    this.classicRange(r.bytes, r.refererStart, r.refererEnd);
    this.text('" "');
    this.classicRange(r.bytes, r.userAgentStart, r.userAgentEnd);
    this.text('"');
  }

  /** HAProxy's httplog from the client on: what follows `haproxy[pid]:` there (its manual, §8.2.3). Cookies, captures and counts that weir does not keep are `-`. */
  private httplog(r: LogRecord): void {
    this.name(r.client);
    this.text(' [');
    this.haproxyTime(r.timeMs);
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

  private requestLine(r: LogRecord): void {
    if (r.pathStart === r.pathEnd && r.method === 0 && r.methodStart === r.methodEnd) {
      this.text('-');
      return;
    }
    if (r.method !== 0) this.text(methodNames[r.method]!);
    else this.rawRange(r.bytes, r.methodStart, r.methodEnd, FIELD_BYTES_MAX);
    this.text(' ');
    this.rawRange(r.bytes, r.pathStart, r.pathEnd, TARGET_BYTES_MAX);
    if (r.queryStart >= 0) {
      this.text('?');
      this.query(r);
    }
    this.text(r.version === 11 ? ' HTTP/1.1' : r.version === 20 ? ' HTTP/2.0' : ' HTTP/1.0');
  }

  /** The query with the values of redacted parameters replaced. */
  private query(r: LogRecord): void {
    const { bytes, queryStart } = r;
    const end = Math.min(r.queryEnd, queryStart + TARGET_BYTES_MAX);
    if (this.redact.length === 0) {
      this.escape(bytes, queryStart, end);
      return;
    }
    let from = queryStart;
    while (from <= end) {
      let to = from;
      let equals = -1;
      while (to < end && bytes[to] !== 38 /* & */) {
        if (equals < 0 && bytes[to] === 61 /* = */) equals = to;
        to++;
      }
      if (from > queryStart) this.text('&');
      if (equals >= 0 && this.isRedacted(bytes, from, equals)) {
        this.escape(bytes, from, equals + 1);
        this.text(REDACTED);
      } else {
        this.escape(bytes, from, to);
      }
      from = to + 1;
    }
  }

  /** Names compare decoded and without case: `to%6ben` names a token as well. */
  private isRedacted(bytes: Uint8Array, from: number, to: number): boolean {
    const { redact } = this;
    next: for (let k = 0; k < redact.length; k++) {
      const name = redact[k]!;
      let n = 0;
      for (let i = from; i < to; i++) {
        let c = bytes[i]!;
        if (c === 37 && i + 2 < to && hex(bytes[i + 1]!) >= 0 && hex(bytes[i + 2]!) >= 0) {
          c = (hex(bytes[i + 1]!) << 4) | hex(bytes[i + 2]!);
          i += 2;
        }
        if (c >= 65 && c <= 90) c |= 32;
        if (n >= name.length || name[n++] !== c) continue next;
      }
      if (n === name.length) return true;
    }
    return false;
  }

  private isoTime(timeMs: number): void {
    const second = Math.floor(timeMs / 1000);
    if (second !== this.second) {
      this.second = second;
      this.secondText = new Date(second * 1000).toISOString().slice(0, 20);
    }
    this.text(this.secondText);
    this.digits(Math.min(999999, Math.floor((timeMs - second * 1000) * 1000)), 6);
    this.text('Z');
  }

  /** 24/Nov/2026:04:12:13 +0000 */
  private classicTime(timeMs: number): void {
    const second = Math.floor(timeMs / 1000);
    if (second !== this.second) {
      this.second = second;
      this.secondText = dayText(second) + ' +0000';
    }
    this.text(this.secondText);
  }

  /** 24/Nov/2026:04:12:13.482 */
  private haproxyTime(timeMs: number): void {
    const second = Math.floor(timeMs / 1000);
    if (second !== this.second) {
      this.second = second;
      this.secondText = dayText(second) + '.';
    }
    this.text(this.secondText);
    this.digits(Math.min(999, Math.floor(timeMs - second * 1000)), 3);
  }
}

/** Bytes that the line of this record cannot exceed. */
function lineBound(r: LogRecord): number {
  let texts =
    r.methodEnd - r.methodStart + r.hostEnd - r.hostStart + r.userAgentEnd - r.userAgentStart + r.refererEnd - r.refererStart;
  texts = Math.min(texts, 4 * FIELD_BYTES_MAX);
  texts += Math.min(r.pathEnd - r.pathStart, TARGET_BYTES_MAX) + Math.min(r.queryEnd - r.queryStart, TARGET_BYTES_MAX);
  texts += nameBound(r.id) + nameBound(r.listener) + nameBound(r.route) + nameBound(r.pool) + nameBound(r.endpoint);
  texts += nameBound(r.client) + nameBound(r.peer);
  for (let i = 0; i < r.attemptCount; i++) texts += nameBound(r.attemptEndpoint[i]!);
  return FIXED_BYTES + ESCAPED_BYTES * texts + r.attemptCount * ATTEMPT_BYTES;
}
function nameBound(text: string): number {
  return Math.min(text.length, NAME_CHARS_MAX);
}

/** Per fault: `,"fault":{...}`. */
const faultTexts: readonly string[] = faults.map(
  (f) => `,"fault":{"origin":"${f.side}","phase":"${f.phase}","reason":"${f.reason}"}`,
);

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

function dayText(second: number): string {
  const date = new Date(second * 1000);
  const iso = date.toISOString();
  return `${iso.slice(8, 10)}/${MONTHS[date.getUTCMonth()]}/${iso.slice(0, 4)}:${iso.slice(11, 19)}`;
}

function unicodeEscape(c: string): string {
  return '\\u' + c.charCodeAt(0).toString(16).padStart(4, '0');
}

function hex(c: number): number {
  if (c >= 48 && c <= 57) return c - 48;
  const lower = c | 32;
  return lower >= 97 && lower <= 102 ? lower - 87 : -1;
}
