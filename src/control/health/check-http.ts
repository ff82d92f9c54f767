/**
 * check-http: an HTTP/1.1 request and the judgement of its answer, by status and text. Pure: bytes come in.
 *
 * Rules
 * 1. The head is read strictly (RFC 9112 §4 and §5): what is not certainly HTTP/1.x with CRLF fails, in at most HEAD_BYTES_MAX bytes.
 * 2. Interim answers are passed over, at most INTERIM_MAX; 101 is an answer.
 * 3. Without a text to look for the status decides. The rest of the answer is read all the same, up to BODY_BYTES_MAX: to close in the middle of
 *    it would reset the connection, which fills the logs of servers.
 * 4. The endpoint is asked to close. Once it has, the connection can be dropped so that neither side keeps a TIME_WAIT, and no program sees a reset.
 */

import { cutOff, failed, type Heard, type Hearing, passed, printable, type Script } from './check.ts';
import { AnswerBody, type BodyEnd } from './check-body.ts';
import { AnswerHead, length, MALFORMED, UNFINISHED } from './check-head.ts';

/** Head of an answer to a check. */
export const HEAD_BYTES_MAX = 16 * 1024;
/** 103 and 102 before the answer. */
const INTERIM_MAX = 8;

export interface HttpQuestion {
  method: string;
  path: string;
  host: string;
  headers: readonly { name: string; value: string }[];
  /** Ranges that pass, both ends included. */
  status: readonly (readonly [number, number])[];
  /** Text that the body has to contain. */
  body: string | null;
}

const token = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;

/** The script; a text that says why not when the question cannot be put into HTTP. */
export function httpScript(question: HttpQuestion): Script | string {
  const { method, path, host, headers } = question;
  if (!token.test(method)) return 'the method is not a token';
  if (!/^[\x21-\x7e]+$/.test(path)) return 'the path holds what no path may hold';
  const names = new Set(headers.map(({ name }) => name.toLowerCase()));
  const fields = headers.map(({ name, value }) => [name, value]);
  if (!names.has('user-agent')) fields.unshift(['User-Agent', 'weir-check']);
  if (!names.has('host')) fields.unshift(['Host', host]);
  if (!names.has('content-length') && /^(POST|PUT|PATCH)$/.test(method)) fields.push(['Content-Length', '0']);
  const asksToClose = !names.has('connection');
  if (asksToClose) fields.push(['Connection', 'close']);
  for (const [name, value] of fields) {
    if (!token.test(name!) || /[\r\n\0]/.test(value!)) return `the field ${printable(name!)} cannot be sent`;
  }
  const head = `${method} ${path} HTTP/1.1\r\n${fields.map(([name, value]) => `${name}: ${value}\r\n`).join('')}\r\n`;
  return new HttpScript(Buffer.from(head, 'utf8'), question, asksToClose);
}

class HttpScript implements Script {
  readonly opening: Uint8Array;
  readonly timeoutReason = 'http_response_timeout';
  readonly endpointCloses: boolean;
  readonly isHead: boolean;
  readonly status: HttpQuestion['status'];
  readonly wanted: Uint8Array | null;

  constructor(opening: Uint8Array, { method, status, body }: HttpQuestion, endpointCloses: boolean) {
    this.opening = opening;
    this.endpointCloses = endpointCloses;
    this.isHead = method === 'HEAD';
    this.status = status;
    this.wanted = body === null ? null : Buffer.from(body, 'utf8');
  }

  begin(): Hearing {
    return new HttpHearing(this);
  }
}

/** Valid for one call of hear(). */
const head = new AnswerHead();
const NO_BYTES = Buffer.alloc(0);

class HttpHearing implements Hearing {
  isOver = false;
  private readonly script: HttpScript;
  /** What has come of a head that is not whole. */
  private held: Buffer = NO_BYTES;
  private interims = 0;
  private evidence = '';
  private body: AnswerBody | null = null;
  private isDecided = false;

  constructor(script: HttpScript) {
    this.script = script;
  }

  hear(bytes: Buffer): Heard | null {
    if (this.body !== null) return this.hearBody(bytes);
    const text = this.held.length === 0 ? bytes : Buffer.concat([this.held, bytes]);
    let at = 0;
    for (;;) {
      const end = head.read(text, at, text.length);
      if (end === MALFORMED) {
        return this.decide(failed('http_protocol_error', `not HTTP/1: ${printable(text.subarray(at))}`));
      }
      if ((end === UNFINISHED ? text.length : end) - at > HEAD_BYTES_MAX) {
        return this.decide(failed('http_response_header_section_size', `a head above ${HEAD_BYTES_MAX} bytes`));
      }
      if (end === UNFINISHED) {
        this.held = Buffer.from(text.subarray(at));
        return null;
      }
      const decided = this.takeHead(text, end);
      at = end;
      if (this.isOver) return decided;
      // Interim answers have no body.
      if (this.body !== null) return this.hearBody(text.subarray(at)) ?? decided;
    }
  }

  end(): Heard {
    if (this.body !== null && !this.isDecided) {
      this.body.close();
      const { isFound } = this.body;
      return this.decide(isFound ? passed(this.evidence) : failed('body', `${this.evidence}, without the expected text`));
    }
    this.isOver = true;
    return this.held.length === 0 ? cutOff : failed('http_response_incomplete', 'closed in the middle of its head');
  }

  /** What was read into `head`, out of `text`. null: an interim answer, or a body to be looked through. */
  private takeHead(text: Buffer, bodyFrom: number): Heard | null {
    const { status } = head;
    if (status < 200 && status !== 101) {
      if (++this.interims > INTERIM_MAX) return this.decide(failed('http_protocol_error', `${INTERIM_MAX} interim answers`));
      return null;
    }
    this.evidence = printable(text.toString('latin1', head.statusFrom, head.statusTo));
    const { wanted, isHead } = this.script;
    const isExpected = this.script.status.some(([from, to]) => status >= from && status <= to);
    const end = isHead || status === 101 || status === 204 || status === 304 ? 0 : bodyEnd();
    if (end === length.contradicting) return this.decide(failed('http_protocol_error', 'a body without a clear length'));
    if (isExpected && wanted !== null) {
      this.body = new AnswerBody(end, wanted);
      return null;
    }
    this.isDecided = true;
    this.isOver = typeof end === 'number' && text.length - bodyFrom >= end;
    if (!this.isOver) this.body = new AnswerBody(end, null);
    return isExpected ? passed(this.evidence) : failed('status', this.evidence);
  }

  private hearBody(bytes: Buffer): Heard | null {
    const body = this.body!;
    const state = body.take(bytes);
    if (state !== 'open') this.isOver = true;
    if (this.isDecided) return null;
    if (body.isFound) {
      this.isDecided = true;
      return passed(this.evidence);
    }
    if (state === 'open') return null;
    if (state === 'malformed')
      return this.decide(failed('http_protocol_error', `${this.evidence}, with a body that is not framed as HTTP`));
    const where = state === 'tooLong' ? ' in its first 64 KiB' : '';
    return this.decide(failed('body', `${this.evidence}, without the expected text${where}`));
  }

  private decide(heard: Heard): Heard {
    this.isDecided = true;
    this.isOver = true;
    return heard;
  }
}

function bodyEnd(): BodyEnd {
  if (head.hasTransferCoding) return head.isChunked ? 'chunked' : 'close';
  return head.bodyLength === length.absent ? 'close' : head.bodyLength;
}
