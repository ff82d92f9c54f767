/** log-line-json: the format `json`. Keys are in the docs; a field without a value is absent. */
import { faults } from '../base/faults.ts';
import { methodNames } from '../base/head.ts';
import type { TlsFacts } from '../base/tls-facts.ts';
import { protocolNames, stickyResultNames } from '../state/doors.ts';
import { ESCAPE_BYTES, FIELD_BYTES_MAX, latin1Bytes, NAME_BYTES_MAX } from './line-bytes.ts';
import { TARGET_BYTES_MAX } from './log-bounds.ts';
import { LogLine } from './log-line.ts';
import type { LogRecord } from './log-record.ts';

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

/** Per fault: `,"fault":{...}`. */
const faultTexts: readonly Uint8Array[] = faults.map((f) =>
  latin1Bytes(`,"fault":{"origin":"${f.side}","phase":"${f.phase}","reason":"${f.reason}"}`),
);

export class JsonLine extends LogLine {
  constructor(redactQuery: readonly string[], node: string, worker: number) {
    const name = JSON.stringify(node.slice(0, Math.floor(NAME_BYTES_MAX / ESCAPE_BYTES) - 2)).replace(/[^ -~]/g, unicodeEscape);
    super(true, redactQuery, `${node === '' ? '' : `,"node":${name}`},"worker":${worker},"epoch":`);
  }

  protected line(r: LogRecord): void {
    this.digits(Math.min(999999, Math.floor(this.secondOf(r.timeMs) * 1000)), 6);
    this.char(90);
    this.char(34);
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
    this.jsonName(key.sni, r.serverName);
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

  private tls({ version, cipher, alpn }: TlsFacts): void {
    this.jsonName(key.tls, version);
    this.jsonName(key.cipher, cipher);
    this.jsonName(key.alpn, alpn);
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

  protected textOfSecond(second: number): string {
    return `{"time":"${new Date(second * 1000).toISOString().slice(0, 20)}`;
  }
}

function unicodeEscape(c: string): string {
  return '\\u' + c.charCodeAt(0).toString(16).padStart(4, '0');
}
