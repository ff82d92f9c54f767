/**
 * Process of the load generator: raw sockets, keyed requests, every outcome counted. Started by load.ts, which documents the plan.
 */
import { createConnection, type Socket } from 'node:net';
import { isKeyed, keyedBody, seeded } from './keyed.ts';
import type { LoadFailure, LoadPlan, LoadResult, Outcome } from './load.ts';
import { fieldsOf, type Message, MessageReader } from './message-reader.ts';

/** Failures kept one by one; the rest is only counted. */
const FAILURES_MAX = 2000;
/** A good answer that took longer counts as slow. */
const SLOW_MS = 1000;
/** After a refused connection, so that a dead port is not hammered. */
const REDIAL_MS = 5;

const plan = JSON.parse(process.argv[2]!) as LoadPlan;
const random = seeded(plan.seed ?? 1);
const result: LoadResult = {
  counts: { ok: 0, status: 0, wrongBody: 0, protocol: 0, refused: 0, reset: 0, closed: 0, truncated: 0, timeout: 0 },
  failures: [],
  statuses: {},
  byEndpoint: {},
  connections: 0,
  bytes: 0,
  slowestMs: 0,
  slow: 0,
  longestGapMs: 0,
};
let sent = 0;
let isStopping = false;
let active = 0;
let serial = 0;
let lastOkAt = Date.now();
let nextSlot = performance.now();

interface Asked {
  key: string;
  size: number;
  /** Offset up to which the body was right. */
  seen: number;
  isWrong: boolean;
  at: number;
  isWhole: boolean;
}

/** When the next request may be sent under `rate`, in ms from now. */
function wait(): number {
  if (plan.rate === undefined) return 0;
  const now = performance.now();
  // A stall is not made up for by a burst.
  if (nextSlot < now - 200) nextSlot = now - 200;
  const ms = nextSlot - now;
  nextSlot += 1000 / plan.rate;
  return ms;
}

function mayAsk(): boolean {
  return !isStopping && (plan.requests === undefined || sent < plan.requests);
}

class Connection {
  private socket: Socket;
  private readonly reader = new MessageReader('response');
  private readonly asked: Asked[] = [];
  private isOver = false;
  private isConnected = false;
  private isLast = false;
  private count = 0;
  private readonly limit: number;
  private timer: NodeJS.Timeout | null = null;
  private isPaced = false;
  /** Kept for the record: gone from the socket after a reset. */
  private port = 0;

  constructor() {
    active++;
    result.connections++;
    this.limit = plan.requestsPerConnection ?? Number.POSITIVE_INFINITY;
    this.reader.keepsBody = false;
    this.reader.onBody = (piece) => this.onBody(piece);
    this.socket = createConnection({ port: plan.port, host: '127.0.0.1', localAddress: plan.localAddress });
    this.socket.setNoDelay(true);
    this.socket.on('connect', () => {
      this.isConnected = true;
      this.port = this.socket.localPort!;
      this.more();
    });
    this.socket.on('data', (chunk: Buffer) => this.onData(chunk));
    this.socket.on('end', () => this.onEnd());
    this.socket.on('error', (error: NodeJS.ErrnoException) => this.onError(error));
    this.socket.on('close', () => this.over(0));
  }

  private more(): void {
    while (!this.isOver && !this.isLast && !this.isPaced && mayAsk() && this.asked.length < (plan.pipeline ?? 1)) {
      const ms = wait();
      if (ms > 0) {
        this.isPaced = true;
        setTimeout(() => {
          this.isPaced = false;
          if (!this.isOver && mayAsk() && !this.isLast) this.ask();
          this.more();
        }, ms);
        return;
      }
      this.ask();
    }
    if (this.asked.length === 0 && (this.isLast || !mayAsk())) this.socket.end();
  }

  private ask(): void {
    sent++;
    this.count++;
    const key = `k${process.pid.toString(36)}x${(serial++).toString(36)}`;
    const size = (plan.sizeMin ?? 0) + random(1 + (plan.sizeMax ?? 512) - (plan.sizeMin ?? 0));
    const asked: Asked = { key, size, seen: 0, isWrong: false, at: Date.now(), isWhole: true };
    this.asked.push(asked);
    if (this.count >= this.limit) this.isLast = true;
    const close = this.isLast ? 'Connection: close\r\n' : '';
    const kind = plan.kind === 'mixed' ? (['keyed', 'echo', 'chunked'] as const)[random(3)]! : (plan.kind ?? 'keyed');
    const host = `Host: ${plan.host ?? 'test'}\r\n`;
    if (kind === 'keyed') {
      this.reader.expect('GET');
      this.write(asked, [Buffer.from(`GET /keyed/${key}/${size} HTTP/1.1\r\n${host}${close}\r\n`)]);
    } else {
      this.reader.expect('POST');
      const body = keyedBody(key, size);
      const pieces: Buffer[] = [];
      if (kind === 'echo')
        pieces.push(Buffer.from(`POST /echo HTTP/1.1\r\n${host}${close}Content-Length: ${size}\r\n\r\n`), body);
      else {
        pieces.push(Buffer.from(`POST /echo HTTP/1.1\r\n${host}${close}Transfer-Encoding: chunked\r\n\r\n`));
        for (let at = 0; at < size; ) {
          const length = Math.min(size - at, 1 + random(Math.max(1, size)));
          pieces.push(Buffer.from(`${length.toString(16)}\r\n`), body.subarray(at, at + length), Buffer.from('\r\n'));
          at += length;
        }
        pieces.push(Buffer.from('0\r\n\r\n'));
      }
      this.write(asked, pieces);
    }
    if (this.timer === null) this.arm();
  }

  /** In one piece, or cut at random places with a turn of the loop between, when the plan says `splits`. */
  private write(asked: Asked, pieces: Buffer[]): void {
    const whole = Buffer.concat(pieces);
    result.bytes += whole.length;
    // A pipelined request may not start inside another, so only single ones are cut.
    if (plan.splits !== true || (plan.pipeline ?? 1) > 1) {
      this.socket.write(whole);
      return;
    }
    asked.isWhole = false;
    let at = 0;
    const step = (): void => {
      if (this.isOver) return;
      const end = Math.min(whole.length, at + 1 + random(Math.max(1, Math.floor(whole.length / 2))));
      this.socket.write(whole.subarray(at, end));
      at = end;
      if (at < whole.length) setImmediate(step);
      else asked.isWhole = true;
    };
    step();
  }

  private arm(): void {
    this.timer = setTimeout(() => {
      const oldest = this.asked[0];
      const limit = plan.timeoutMs ?? 10_000;
      if (oldest !== undefined && Date.now() - oldest.at >= limit) {
        this.failAll('timeout', `no answer within ${limit} ms`);
        this.isOver = true;
        this.socket.destroy();
        this.over(0);
      } else if (!this.isOver) this.arm();
    }, 250);
  }

  private onBody(piece: Buffer): void {
    // Answers that were complete in the same chunk are still waiting to be looked at.
    const asked = this.asked[this.reader.messages.filter((message) => message.status >= 200).length];
    result.bytes += piece.length;
    // The body of a refusal is text; only 200 is keyed.
    if (asked === undefined || this.reader.current?.status !== 200) return;
    if (!isKeyed(asked.key, asked.seen, piece)) asked.isWrong = true;
    asked.seen += piece.length;
  }

  private onData(chunk: Buffer): void {
    if (this.isOver) return;
    try {
      this.reader.feed(chunk);
    } catch (error) {
      this.failAll('protocol', (error as Error).message);
      this.end();
      return;
    }
    for (let message = this.reader.messages.shift(); message !== undefined; message = this.reader.messages.shift())
      if (message.status >= 200) this.onMessage(message);
    this.more();
  }

  private onMessage(message: Message): void {
    const asked = this.asked.shift();
    if (asked === undefined) {
      this.fail('protocol', 'an answer nobody asked for', null, message);
      this.end();
      return;
    }
    const now = Date.now();
    result.statuses[message.status] = (result.statuses[message.status] ?? 0) + 1;
    result.slowestMs = Math.max(result.slowestMs, now - asked.at);
    if (message.status === 200 && now - asked.at > SLOW_MS) result.slow++;
    if (message.status !== 200)
      this.fail('status', `${message.status} ${fieldsOf(message, 'proxy-status').join()}`, asked, message);
    else if (asked.isWrong || asked.seen !== asked.size)
      this.fail(
        'wrongBody',
        `${asked.seen} of ${asked.size} bytes${asked.isWrong ? ', wrong ones among them' : ''}`,
        asked,
        message,
      );
    else {
      result.counts.ok++;
      result.longestGapMs = Math.max(result.longestGapMs, now - lastOkAt);
      lastOkAt = now;
      const endpoint = fieldsOf(message, 'x-endpoint')[0] ?? '';
      result.byEndpoint[endpoint] = (result.byEndpoint[endpoint] ?? 0) + 1;
    }
    // RFC 9112 §9.6: after `close` nothing more is asked here. What was pipelined behind it was not accepted and is asked again.
    if (fieldsOf(message, 'connection').some((value) => /\bclose\b/i.test(value))) {
      sent -= this.asked.length;
      this.asked.length = 0;
      this.end();
    }
  }

  private onEnd(): void {
    if (this.isOver) return;
    const isInside = !this.reader.isBetween;
    try {
      this.reader.end();
      for (let message = this.reader.messages.shift(); message !== undefined; message = this.reader.messages.shift())
        this.onMessage(message);
    } catch {
      // Counted as truncated below.
    }
    if (this.asked.length > 0) this.failAll(isInside ? 'truncated' : 'closed', 'FIN');
    this.end();
  }

  private onError(error: NodeJS.ErrnoException): void {
    if (this.isOver) return;
    if (!this.isConnected) {
      // A refused connection is a failed request: somebody wanted to ask.
      this.fail('refused', error.code ?? error.message, null, null);
      this.over(REDIAL_MS);
      return;
    }
    if (this.asked.length > 0) this.failAll(this.reader.isBetween ? 'reset' : 'truncated', error.code ?? error.message);
    this.over(0);
  }

  private end(): void {
    this.isOver = true;
    this.socket.destroy();
    this.over(0);
  }

  private failAll(outcome: Outcome, detail: string): void {
    const head = this.reader.current;
    for (const [index, asked] of this.asked.entries()) this.fail(outcome, detail, asked, index === 0 ? head : null);
    this.asked.length = 0;
  }

  private fail(outcome: Outcome, detail: string, asked: Asked | null, head: Message | null): void {
    result.counts[outcome as keyof LoadResult['counts']]++;
    if (result.failures.length >= FAILURES_MAX) return;
    const failure: LoadFailure = {
      outcome,
      at: Date.now(),
      askedAt: asked?.at ?? 0,
      port: this.port,
      detail,
      status: head?.status ?? 0,
      endpoint: head === null ? '' : (fieldsOf(head, 'x-endpoint')[0] ?? ''),
      answerBegun: head !== null,
    };
    result.failures.push(failure);
  }

  private isDone = false;
  private over(redialMs: number): void {
    this.isOver = true;
    if (this.isDone) return;
    this.isDone = true;
    if (this.timer !== null) clearTimeout(this.timer);
    active--;
    if (mayAsk()) setTimeout(() => mayAsk() && new Connection(), redialMs);
    setTimeout(finishIfDone, redialMs + 1);
  }
}

let isFinished = false;
function finishIfDone(): void {
  if (active > 0 || mayAsk() || isFinished) return;
  isFinished = true;
  process.send!({ result }, () => process.exit(0));
}

process.on('message', (message) => {
  if (message === 'progress') process.send!({ progress: result.counts });
  if (message === 'stop') {
    isStopping = true;
    finishIfDone();
  }
});
process.on('disconnect', () => process.exit(0));
if (plan.seconds !== undefined)
  setTimeout(() => {
    isStopping = true;
    finishIfDone();
  }, plan.seconds * 1000);
for (let i = 0; i < plan.connections; i++) new Connection();
