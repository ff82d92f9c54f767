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
import { type Fault, faults } from '../base/faults.ts';
import { methodNames } from '../base/head.ts';
import type { TlsFacts } from '../base/tls-facts.ts';
import { protocolNames, stickyResultNames } from '../state/doors.ts';
import type { AccessLogPlan } from '../state/plan.ts';
import { ESCAPE_BYTES, FIELD_BYTES_MAX, LineBytes, latin1Bytes, NAME_BYTES_MAX } from './line-bytes.ts';
import { ATTEMPTS_MAX, type LogRecord } from './log-record.ts';

export { LogRecord } from './log-record.ts';

/** Bytes that a path or a query takes in a line at most, escapes counted. */
const TARGET_BYTES_MAX = 2048;
/** What every line needs besides its texts: keys, numbers, times. */
const FIXED_BYTES = 1280;
/** The same for one attempt. */
const ATTEMPT_BYTES = 128;
/** Node, worker and the key of the epoch. */
const OWN_BYTES_MAX = NAME_BYTES_MAX + 64;
/** Room that every line fits into. */
export const LINE_BYTES_MAX =
  FIXED_BYTES +
  OWN_BYTES_MAX +
  2 * TARGET_BYTES_MAX +
  4 * FIELD_BYTES_MAX +
  10 * NAME_BYTES_MAX +
  ATTEMPTS_MAX * (ATTEMPT_BYTES + NAME_BYTES_MAX);
/** There was no room for the line. */
export const NO_ROOM = -1;

export type LogFormat = 'json' | 'combined' | 'common' | 'httplog';

/** Is a line to be written? Faults, errors of the server and slow exchanges always are. `random` is a uniform unsigned 32-bit number. */
export function isSampled(plan: AccessLogPlan, record: LogRecord, random: number): boolean {
  if (record.faultId !== 0 || record.status >= 500 || record.status === 0) return true;
  if (plan.slowMs > 0 && record.totalMs >= plan.slowMs) return true;
  return random >>> 0 < plan.sampleOk * 0x100000000;
}

const NONE: Uint8Array = new Uint8Array(0);
const MONTHS: readonly string[] = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];
const REDACTED = latin1Bytes('***');

/** Keys with their separators, as bytes. */
const key = {
  id: latin1Bytes(',"id":"'),
  listener: latin1Bytes(',"listener":"'),
  route: latin1Bytes(',"route":"'),
  pool: latin1Bytes(',"pool":"'),
  endpoint: latin1Bytes(',"endpoint":"'),
  client: latin1Bytes(',"client":"'),
  peer: latin1Bytes(',"peer":"'),
  tls: latin1Bytes(',"tls":"'),
  cipher: latin1Bytes(',"cipher":"'),
  alpn: latin1Bytes(',"alpn":"'),
  sni: latin1Bytes(',"sni":"'),
  method: latin1Bytes(',"method":"'),
  host: latin1Bytes(',"host":"'),
  path: latin1Bytes(',"path":"'),
  query: latin1Bytes(',"query":"'),
  status: latin1Bytes(',"status":'),
  upstreamStatus: latin1Bytes(',"upstream_status":'),
  bytesIn: latin1Bytes(',"in":'),
  bytesOut: latin1Bytes(',"out":'),
  tIdle: latin1Bytes(',"t_idle":'),
  tHead: latin1Bytes(',"t_head":'),
  tFilter: latin1Bytes(',"t_filter":'),
  tQueue: latin1Bytes(',"t_queue":'),
  tConnect: latin1Bytes(',"t_connect":'),
  tFirst: latin1Bytes(',"t_first":'),
  tBody: latin1Bytes(',"t_body":'),
  tTotal: latin1Bytes(',"t_total":'),
  overhead: latin1Bytes(',"overhead":'),
  limit: latin1Bytes(',"limit":"'),
  queueLen: latin1Bytes(',"queue_len":'),
  inFlight: latin1Bytes(',"in_flight":'),
  userAgent: latin1Bytes(',"user_agent":"'),
  referer: latin1Bytes(',"referer":"'),
  t: latin1Bytes(',"t":'),
  reused: latin1Bytes(',"reused":true'),
};
const protocolKeys = protocolNames.map((name) => latin1Bytes(`,"protocol":"${name}"`));
const stickyKeys = stickyResultNames.map((name) => latin1Bytes(`,"sticky":"${name}"`));
const methodKeys = methodNames.map((name) => latin1Bytes(`,"method":"${name}"`));

/** Writes lines of one format. One per worker and plan; remembers the text of the current second. */
export class LineWriter extends LineBytes {
  readonly format: LogFormat;
  /** Whether the record needs User-Agent and Referer. */
  readonly wantsFields: boolean;
  private readonly redact: readonly Uint8Array[];
  /** Node, worker and the key of the epoch. */
  private readonly ownText: Uint8Array;
  /** Second of `secondText`. */
  private second = -1;
  private secondText: Uint8Array = NONE;

  /** `redactQuery`: lower-case names. */
  constructor(format: LogFormat, redactQuery: readonly string[], node: string, worker: number) {
    super(format === 'json');
    this.format = format;
    this.wantsFields = format === 'combined';
    this.redact = redactQuery.map(latin1Bytes);
    const name = JSON.stringify(node.slice(0, Math.floor(NAME_BYTES_MAX / ESCAPE_BYTES) - 2)).replace(/[^ -~]/g, unicodeEscape);
    this.ownText = latin1Bytes(`${node === '' ? '' : `,"node":${name}`},"worker":${worker},"epoch":`);
  }

  /** Writes a line with its line feed at bytes[at...]. Returns the end, or {@link NO_ROOM} when it might not fit before `end`; LINE_BYTES_MAX always do. */
  write(record: LogRecord, bytes: Uint8Array, at: number, end: number): number {
    if (end - at < LINE_BYTES_MAX && end - at < lineBound(record) + this.ownText.length) return NO_ROOM;
    this.bytes = bytes;
    this.at = at;
    if (this.format === 'json') this.json(record);
    else if (this.format === 'httplog') this.httplog(record);
    else this.classic(record);
    bytes[this.at] = 10;
    return this.at + 1;
  }

  private json(r: LogRecord): void {
    this.isoTime(r.timeMs);
    this.jsonName(key.id, r.id);
    this.put(this.ownText);
    this.integer(r.epoch);
    this.jsonName(key.listener, r.listener);
    this.jsonName(key.route, r.route);
    this.jsonName(key.pool, r.pool);
    this.jsonName(key.endpoint, r.endpoint);
    this.jsonName(key.client, r.client);
    if (r.peer !== r.client) this.jsonName(key.peer, r.peer);
    this.put(protocolKeys[r.protocol]!);
    if (r.tls !== null) this.tls(r.tls);
    if (r.method !== 0) {
      this.put(methodKeys[r.method]!);
    } else {
      this.jsonRange(key.method, r.bytes, r.methodStart, r.methodEnd, FIELD_BYTES_MAX);
    }
    this.jsonRange(key.host, r.bytes, r.hostStart, r.hostEnd, FIELD_BYTES_MAX);
    this.jsonRange(key.path, r.bytes, r.pathStart, r.pathEnd, TARGET_BYTES_MAX);
    if (r.queryStart >= 0 && r.queryStart < r.queryEnd) {
      this.put(key.query);
      this.query(r);
      this.char(34);
    }
    this.put(key.status);
    this.integer(r.status);
    if (r.upstreamStatus !== 0 && r.upstreamStatus !== r.status) {
      this.put(key.upstreamStatus);
      this.integer(r.upstreamStatus);
    }
    this.put(key.bytesIn);
    this.integer(r.bytesIn);
    this.put(key.bytesOut);
    this.integer(r.bytesOut);
    this.jsonTime(key.tIdle, r.idleMs);
    this.jsonTime(key.tHead, r.headMs);
    this.jsonTime(key.tFilter, r.filterMs);
    this.jsonTime(key.tQueue, r.queueMs);
    this.jsonTime(key.tConnect, r.connectMs);
    this.jsonTime(key.tFirst, r.firstMs);
    this.jsonTime(key.tBody, r.bodyMs);
    this.jsonTime(key.tTotal, r.totalMs);
    this.jsonTime(key.overhead, r.overheadMs);
    if (r.attemptCount > 0) this.attempts(r);
    if (r.isReused) this.put(key.reused);
    if (r.sticky >= 0) this.put(stickyKeys[r.sticky]!);
    this.jsonName(key.limit, r.limit);
    if (r.faultId !== 0) this.put(faultTexts[r.faultId]!);
    if (r.queueLength >= 0) {
      this.put(key.queueLen);
      this.integer(r.queueLength);
    }
    if (r.inFlight >= 0) {
      this.put(key.inFlight);
      this.integer(r.inFlight);
    }
    this.jsonRange(key.userAgent, r.bytes, r.userAgentStart, r.userAgentEnd, FIELD_BYTES_MAX);
    this.jsonRange(key.referer, r.bytes, r.refererStart, r.refererEnd, FIELD_BYTES_MAX);
    this.char(125);
  }

  private tls({ version, cipher, alpn, serverName }: TlsFacts): void {
    this.jsonName(key.tls, version);
    this.jsonName(key.cipher, cipher);
    this.jsonName(key.alpn, alpn);
    this.jsonName(key.sni, serverName);
  }

  private attempts(r: LogRecord): void {
    this.text(',"attempts":[');
    for (let i = 0; i < r.attemptCount; i++) {
      this.text(i === 0 ? '{"endpoint":"' : ',{"endpoint":"');
      this.name(r.attemptEndpoint[i]!);
      this.text('","reason":"');
      this.text(faults[r.attemptFault[i]!]!.reason);
      this.char(34);
      this.jsonTime(key.t, r.attemptMs[i]!);
      this.char(125);
    }
    this.char(93);
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
    else this.escape(r.bytes, r.methodStart, r.methodEnd, FIELD_BYTES_MAX);
    this.text(' ');
    this.escape(r.bytes, r.pathStart, r.pathEnd, TARGET_BYTES_MAX);
    if (r.queryStart >= 0) {
      this.text('?');
      this.query(r);
    }
    this.text(r.version === 11 ? ' HTTP/1.1' : r.version === 20 ? ' HTTP/2.0' : ' HTTP/1.0');
  }

  /** The query with the values of redacted parameters replaced. */
  private query(r: LogRecord): void {
    const { bytes, queryStart, queryEnd } = r;
    if (this.redact.length === 0) {
      this.escape(bytes, queryStart, queryEnd, TARGET_BYTES_MAX);
      return;
    }
    const stop = this.at + TARGET_BYTES_MAX;
    let from = queryStart;
    while (from <= queryEnd && this.at < stop - REDACTED.length) {
      let to = from;
      let equals = -1;
      while (to < queryEnd && bytes[to] !== 38 /* & */) {
        if (equals < 0 && bytes[to] === 61 /* = */) equals = to;
        to++;
      }
      if (from > queryStart) this.char(38);
      if (equals >= 0 && this.isRedacted(bytes, from, equals)) {
        this.escape(bytes, from, equals + 1, stop - REDACTED.length - this.at);
        this.put(REDACTED);
      } else {
        this.escape(bytes, from, to, stop - this.at);
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

  /** `{"time":"2026-11-24T04:12:13.482113Z"` */
  private isoTime(timeMs: number): void {
    const second = Math.floor(timeMs / 1000);
    if (second !== this.second) {
      this.second = second;
      this.secondText = latin1Bytes(`{"time":"${new Date(second * 1000).toISOString().slice(0, 20)}`);
    }
    this.put(this.secondText);
    this.digits(Math.min(999999, Math.floor((timeMs - second * 1000) * 1000)), 6);
    this.char(90);
    this.char(34);
  }

  /** 24/Nov/2026:04:12:13 +0000 */
  private classicTime(timeMs: number): void {
    const second = Math.floor(timeMs / 1000);
    if (second !== this.second) {
      this.second = second;
      this.secondText = latin1Bytes(dayText(second) + ' +0000');
    }
    this.put(this.secondText);
  }

  /** 24/Nov/2026:04:12:13.482 */
  private haproxyTime(timeMs: number): void {
    const second = Math.floor(timeMs / 1000);
    if (second !== this.second) {
      this.second = second;
      this.secondText = latin1Bytes(dayText(second) + '.');
    }
    this.put(this.secondText);
    this.digits(Math.min(999, Math.floor(timeMs - second * 1000)), 3);
  }
}

/** Bytes that the line of this record cannot exceed. */
function lineBound(r: LogRecord): number {
  let bound =
    FIXED_BYTES + textBound(r.pathEnd - r.pathStart, TARGET_BYTES_MAX) + textBound(r.queryEnd - r.queryStart, TARGET_BYTES_MAX);
  bound += textBound(r.methodEnd - r.methodStart, FIELD_BYTES_MAX) + textBound(r.hostEnd - r.hostStart, FIELD_BYTES_MAX);
  bound +=
    textBound(r.userAgentEnd - r.userAgentStart, FIELD_BYTES_MAX) + textBound(r.refererEnd - r.refererStart, FIELD_BYTES_MAX);
  bound +=
    textBound(r.id.length, NAME_BYTES_MAX) +
    textBound(r.listener.length, NAME_BYTES_MAX) +
    textBound(r.route.length, NAME_BYTES_MAX);
  bound += textBound(r.pool.length, NAME_BYTES_MAX) + textBound(r.endpoint.length, NAME_BYTES_MAX);
  bound += textBound(r.client.length, NAME_BYTES_MAX) + textBound(r.peer.length, NAME_BYTES_MAX);
  bound += textBound(r.limit.length, NAME_BYTES_MAX);
  if (r.tls !== null) bound += tlsBound(r.tls);
  return bound + r.attemptCount * (ATTEMPT_BYTES + NAME_BYTES_MAX);
}
/** Beside the texts that a line has anyhow: version and cipher are short and in FIXED_BYTES. */
function tlsBound({ alpn, serverName }: TlsFacts): number {
  return textBound(alpn.length, NAME_BYTES_MAX) + textBound(serverName.length, NAME_BYTES_MAX);
}
function textBound(length: number, max: number): number {
  return Math.min(length * ESCAPE_BYTES, max);
}

/** Per fault: `,"fault":{...}`. */
const faultTexts: readonly Uint8Array[] = faults.map((f) =>
  latin1Bytes(`,"fault":{"origin":"${f.side}","phase":"${f.phase}","reason":"${f.reason}"}`),
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
