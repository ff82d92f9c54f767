/**
 * check-http: an HTTP/1.1 request and the judgement of its answer, by status and text. Pure: bytes come in.
 *
 * Rules
 * 1. The head is read strictly (RFC 9112 §4 and §5): what is not certainly HTTP/1.x with CRLF fails, in at most HEAD_BYTES_MAX bytes.
 * 2. Interim answers are passed over, at most INTERIM_MAX; 101 is an answer.
 * 3. Without a text to look for the status decides. The rest of the answer is read all the same, up to BODY_BYTES_MAX: to close in the middle of
 *    it would reset the connection, which fills the logs of servers.
 * 4. Nothing is said of closing: that is left to the client, so that its side keeps the TIME_WAIT.
 */

import { cutOff, failed, type Heard, type Hearing, passed, printable, type Script } from './check.ts';
import { AnswerBody, type BodyEnd } from './check-body.ts';

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
  for (const [name, value] of fields) {
    if (!token.test(name!) || /[\r\n\0]/.test(value!)) return `the field ${printable(name!)} cannot be sent`;
  }
  const head = `${method} ${path} HTTP/1.1\r\n${fields.map(([name, value]) => `${name}: ${value}\r\n`).join('')}\r\n`;
  return new HttpScript(Buffer.from(head, 'utf8'), question);
}

class HttpScript implements Script {
  readonly opening: Uint8Array;
  readonly timeoutReason = 'http_response_timeout';
  readonly isHead: boolean;
  readonly status: HttpQuestion['status'];
  readonly wanted: Uint8Array | null;

  constructor(opening: Uint8Array, { method, status, body }: HttpQuestion) {
    this.opening = opening;
    this.isHead = method === 'HEAD';
    this.status = status;
    this.wanted = body === null ? null : Buffer.from(body, 'utf8');
  }

  begin(): Hearing {
    return new HttpHearing(this);
  }
}

const statusLine = /^HTTP\/1\.[01] ([1-9]\d\d)(?: ([\t\x20-\x7e\x80-\xff]*))?\r\n/;
/** A field line without folding (RFC 9112 §5.2 lets a client reject it). */
const fieldLines = /^(?:[!#$%&'*+.^_`|~0-9A-Za-z-]+:[\t\x20-\x7e\x80-\xff]*\r\n)*$/;
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
    let text = this.held.length === 0 ? bytes : Buffer.concat([this.held, bytes]);
    for (;;) {
      const end = text.indexOf('\r\n\r\n', 0, 'latin1');
      if (end >= HEAD_BYTES_MAX || (end < 0 && text.length > HEAD_BYTES_MAX)) {
        return this.decide(failed('http_response_header_section_size', `a head above ${HEAD_BYTES_MAX} bytes`));
      }
      if (end < 0) {
        // Not every garbage waits for its end.
        if (!beginsAsHttp(text)) return this.decide(failed('http_protocol_error', `not HTTP/1: ${printable(text)}`));
        this.held = Buffer.from(text);
        return null;
      }
      const decided = this.takeHead(text.toString('latin1', 0, end + 2));
      text = text.subarray(end + 4);
      if (decided !== null) {
        // Not only decided, but with a body that may still come.
        if (this.body !== null && !this.isOver) this.hearBody(text);
        return decided;
      }
      if (this.body !== null) return this.hearBody(text);
      this.held = NO_BYTES;
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

  /** null: an interim answer, or a body to be looked through. */
  private takeHead(head: string): Heard | null {
    const line = statusLine.exec(head);
    const fields = line === null ? '' : head.slice(line[0].length);
    if (line === null || !fieldLines.test(fields)) {
      return this.decide(failed('http_protocol_error', `not HTTP/1: ${printable(head)}`));
    }
    const status = Number(line[1]);
    if (status < 200 && status !== 101) {
      if (++this.interims > INTERIM_MAX) return this.decide(failed('http_protocol_error', `${INTERIM_MAX} interim answers`));
      return null;
    }
    this.evidence = printable(`${status} ${line[2] ?? ''}`);
    const { wanted, isHead } = this.script;
    const isExpected = this.script.status.some(([from, to]) => status >= from && status <= to);
    const end = isHead || status === 101 || status === 204 || status === 304 ? 0 : bodyEnd(fields);
    if (end === null) return this.decide(failed('http_protocol_error', 'a body without a clear length'));
    const looks = isExpected && wanted !== null;
    this.body = new AnswerBody(end, looks ? wanted : null);
    if (looks) return null;
    this.isDecided = true;
    this.isOver = end === 0;
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

function beginsAsHttp(text: Buffer): boolean {
  const start = 'HTTP/1.';
  return text.toString('latin1', 0, start.length) === start.slice(0, text.length);
}

/** null: lengths that contradict each other (RFC 9112 §6.3). */
function bodyEnd(fields: string): BodyEnd | null {
  const coding = /^transfer-encoding:(.*)\r$/im.exec(fields);
  if (coding !== null) return /(?:^|,)[ \t]*chunked$/i.test(coding[1]!.trim()) ? 'chunked' : 'close';
  let length: number | null = null;
  for (const [, value] of fields.matchAll(/^content-length:(.*)\r$/gim)) {
    const text = value!.trim();
    if (!/^\d{1,15}$/.test(text)) return null;
    if (length !== null && length !== Number(text)) return null;
    length = Number(text);
  }
  return length ?? 'close';
}
