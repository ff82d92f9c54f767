/**
 * LogRecord: what one line of the access log is made of. The exchange fills it on its way; nothing in it is copied text.
 */
import { FIELD_STRIDE, field, type Head } from '../base/head.ts';
import type { TlsFacts } from '../base/tls-facts.ts';

/** Attempts that are listed: no more than `retry.attempts` can be configured. */
export const ATTEMPTS_MAX = 10;
const NONE = new Uint8Array(0);

/** What a line is made of. One object per exchange, reused; filling it allocates nothing. */
export class LogRecord {
  /** Wall clock of the first byte, ms since 1970 with fraction. */
  timeMs = 0;
  id = '';
  listener = '';
  route = '';
  pool = '';
  endpoint = '';
  /** Address of the client with port; `peer` only where it differs. */
  client = '';
  peer = '';
  epoch = 0;
  /** One of `protocol` in state/doors.ts. */
  protocol = 0;
  /** Of the client's connection, when TLS was opened here. */
  tls: TlsFacts | null = null;
  /** Name that the client asked for by TLS, opened here or not; '': none. */
  serverName = '';
  /** 10, 11 or 20: for the request line of the classic formats. */
  version = 11;

  /** What the offsets below point into (absolute). Must stay as it is until the line is written. */
  bytes: Uint8Array = NONE;
  /** Number of the method; its text when it is not one of the nine. */
  method = 0;
  methodStart = 0;
  methodEnd = 0;
  hostStart = 0;
  hostEnd = 0;
  pathStart = 0;
  pathEnd = 0;
  /** -1: no query. */
  queryStart = -1;
  queryEnd = -1;
  userAgentStart = 0;
  userAgentEnd = 0;
  refererStart = 0;
  refererEnd = 0;

  /** To the client; 0: none was sent. */
  status = 0;
  /** The last endpoint's; written where it differs from `status`. 0: none. */
  upstreamStatus = 0;
  bytesIn = 0;
  bytesOut = 0;

  // Times in ms; -1: not measured.
  idleMs = -1;
  headMs = -1;
  filterMs = -1;
  queueMs = -1;
  connectMs = -1;
  firstMs = -1;
  bodyMs = -1;
  totalMs = -1;
  overheadMs = -1;

  /** Number of the fault that ended the exchange; 0: none. */
  faultId = 0;
  isReused = false;
  /** One of `stickyResult` in state/doors.ts; -1: the pool is not sticky. */
  sticky = -1;
  /** What the rate limits said: `api:allowed`. */
  limit = '';
  /** Seen on arrival; -1: not known. */
  queueLength = -1;
  inFlight = -1;

  /** Tries before the last one, oldest first; entries beyond `attemptCount` are leftovers. */
  attemptCount = 0;
  readonly attemptEndpoint: string[] = new Array<string>(ATTEMPTS_MAX).fill('');
  readonly attemptFault = new Int32Array(ATTEMPTS_MAX);
  readonly attemptMs = new Float64Array(ATTEMPTS_MAX);

  reset(): void {
    this.timeMs = 0;
    this.id =
      this.listener =
      this.route =
      this.pool =
      this.endpoint =
      this.client =
      this.peer =
      this.serverName =
      this.limit =
        '';
    this.epoch = this.protocol = 0;
    this.tls = null;
    this.version = 11;
    this.bytes = NONE;
    this.method = this.methodStart = this.methodEnd = this.hostStart = this.hostEnd = this.pathStart = this.pathEnd = 0;
    this.queryStart = this.queryEnd = -1;
    this.userAgentStart = this.userAgentEnd = this.refererStart = this.refererEnd = 0;
    this.status = this.upstreamStatus = this.bytesIn = this.bytesOut = 0;
    this.idleMs = this.headMs = this.filterMs = this.queueMs = this.connectMs = -1;
    this.firstMs = this.bodyMs = this.totalMs = this.overheadMs = -1;
    this.faultId = 0;
    this.isReused = false;
    this.sticky = -1;
    this.queueLength = this.inFlight = -1;
    this.attemptCount = 0;
  }

  /**
   * Takes the ranges of a request head: before any filter or rewrite, while the head says what the client said. `wantsFields` also looks for
   * User-Agent and Referer.
   */
  setHead(head: Head, wantsFields: boolean): void {
    const { base, fields } = head;
    this.bytes = head.bytes;
    this.method = head.method;
    this.version = head.version;
    this.methodStart = base + head.methodStart;
    this.methodEnd = base + head.methodEnd;
    this.hostStart = base + head.authorityStart;
    this.hostEnd = base + head.authorityEnd;
    this.pathStart = base + head.pathStart;
    this.pathEnd = base + head.pathEnd;
    this.queryStart = head.queryStart < 0 ? -1 : base + head.queryStart;
    this.queryEnd = head.queryStart < 0 ? -1 : base + head.queryEnd;
    if (!wantsFields) return;
    const agent = head.find(field.userAgent) * FIELD_STRIDE;
    if (agent >= 0) {
      this.userAgentStart = base + fields[agent + 3]!;
      this.userAgentEnd = base + fields[agent + 4]!;
    }
    const referer = head.find(field.referer) * FIELD_STRIDE;
    if (referer >= 0) {
      this.refererStart = base + fields[referer + 3]!;
      this.refererEnd = base + fields[referer + 4]!;
    }
  }

  /** Notes a try that failed and will be repeated. */
  addAttempt(endpoint: string, faultId: number, ms: number): void {
    if (this.attemptCount === ATTEMPTS_MAX) return;
    this.attemptEndpoint[this.attemptCount] = endpoint;
    this.attemptFault[this.attemptCount] = faultId;
    this.attemptMs[this.attemptCount++] = ms;
  }
}
