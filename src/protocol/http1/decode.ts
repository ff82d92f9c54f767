/**
 * Bytes of one direction of one connection to messages.
 *
 *     start -> head -> body (length | chunked | until close | tunnel) -> [trailers] -> end -> start
 *
 * Rules
 * 1. Strict: whatever two parsers might read in two ways is a fault. A decoder that returned a fault stays dead.
 * 2. What is told to the sink, and which fault comes at which byte, does not depend on how the bytes were cut.
 * 3. The sink may call reset() from any of its methods: feed() then returns at once.
 */
import { assert } from '../../base/assert.ts';
import { fault } from '../../base/faults.ts';
import { FIELD_STRIDE, field, framing, Head, method } from '../../base/head.ts';
import { underscores } from '../../base/underscores.ts';
import type { MessageSink } from '../message.ts';
import { CR, LF } from './bytes.ts';
import { check, checkTexts, requestFaults, responseFaults } from './checks.ts';
import { ChunkReader, MORE } from './chunks.ts';
import { HeadMeaning } from './meaning.ts';
import { HeadScanner, section } from './scan.ts';

/** Limits of one decoder; see ListenerLimitsPlan for the defaults. */
export interface Http1Limits {
  headBytesMax: number;
  fieldBytesMax: number;
  fieldsMax: number;
  targetBytesMax: number;
  /** 0 = none. */
  bodyBytesMax: number;
  chunkExtensionBytesMax: number;
  /** For requests only: what an endpoint's CGI could confuse, a client cannot send through a response. */
  underscores: 'drop' | 'allow' | 'reject';
}

/** Empty lines before a request line that are forgiven (RFC 9112 §2.2 asks for at least one). */
const EMPTY_LINES_MAX = 4;
/** Interim responses before one final response. */
const INTERIM_MAX = 16;

const state = Object.freeze({
  start: 0,
  head: 1,
  length: 2,
  chunkHead: 3,
  chunkData: 4,
  trailersFirst: 5,
  trailers: 6,
  untilClose: 7,
  tunnel: 8,
  /** The message is complete, onEnd has not been called. */
  ended: 9,
});

const NO_BYTES = new Uint8Array(0);

/** One head for trailer sections is kept; it is in use only while a section is incomplete, so more are rarely needed. */
let spareTrailers: Head | null = null;

/**
 * Decodes the messages of one direction of one connection, one at a time.
 *
 * feed() returns how many bytes were consumed, or a negative fault number. It stops right after onEnd(): the caller decides when the next
 * message may begin. Bytes of an incomplete head (or trailer section) are not consumed: the caller keeps them and feeds them again with more
 * behind, at whatever place; the decoder remembers how far it looked, so the whole cost stays linear. Everything else is consumed at once.
 *
 * After an interim head (no onEnd follows it) decoding goes on with the next head if the sink put a new Head into `head` meanwhile; if not, feed()
 * returns with the rest unconsumed. After a head with framing `tunnel`, or tunnel(), all bytes are passed to onBody until finish().
 */
export class Http1Decoder {
  /**
   * Where the next head goes: set it before feeding the first byte of a message. It is null when onHead is called with it, so that the
   * sink may keep the object and put another one here.
   */
  head: Head | null = null;
  /** What was wrong, in words, once feed() or finish() returned a fault; empty before. */
  faultDetail = '';
  /** Where: bytes from the beginning of the message (empty lines before it included). -1 before a fault. */
  faultOffset = -1;

  private readonly isRequest: boolean;
  private readonly bodyBytesMax: number;
  private readonly fieldsMax: number;
  private readonly meaning: HeadMeaning;
  private readonly scanner: HeadScanner;
  private readonly chunks: ChunkReader;
  private state: number = state.start;
  private fault = 0;
  private isHalted = false;
  /** Bytes of this message consumed by earlier calls. */
  private offset = 0;
  private emptyLines = 0;
  private hasEmptyCr = false;
  private interims = 0;
  /** Bytes left of the body, or of the chunk. */
  private left = 0;
  /** Bytes of the body so far, announced chunk included. */
  private bodyBytes = 0;
  private requestMethod: number = method.OTHER;
  private isExpecting = false;
  private trailers: Head | null = null;

  constructor(side: 'request' | 'response', limits: Http1Limits) {
    this.isRequest = side === 'request';
    this.bodyBytesMax = limits.bodyBytesMax;
    this.fieldsMax = limits.fieldsMax;
    this.meaning = new HeadMeaning(this.isRequest, limits.bodyBytesMax);
    const rule = this.isRequest ? underscores[limits.underscores] : underscores.allow;
    this.scanner = new HeadScanner(limits, rule, this.meaning);
    this.chunks = new ChunkReader(limits.chunkExtensionBytesMax);
  }

  /** No byte of a message has been seen (empty lines before a request line do not count; interim responses do). */
  get atStart(): boolean {
    return this.state === state.start && this.interims === 0;
  }

  /** Response side: the method of the request that the next final response answers (HEAD, CONNECT change its framing). */
  expect(requestMethod: number): void {
    this.requestMethod = requestMethod;
    this.isExpecting = true;
  }

  /** At the start of a message: all further bytes are no messages but raw, and go to onBody (the request side after an upgrade). */
  tunnel(): void {
    assert(this.state === state.start, 'a connection becomes a tunnel between messages');
    this.state = state.tunnel;
  }

  /** As new; `head` is dropped. */
  reset(): void {
    this.beginMessage();
    this.head = null;
    this.faultDetail = '';
    this.faultOffset = -1;
    this.fault = 0;
    this.isHalted = true;
  }

  feed(bytes: Uint8Array, start: number, end: number, sink: MessageSink): number {
    if (this.fault !== 0) return -this.fault;
    this.isHalted = false;
    let p = start;
    while (p < end) {
      switch (this.state) {
        case state.start: {
          if (this.isRequest && (this.hasEmptyCr || bytes[p] === CR)) {
            const wrong = this.emptyLine(bytes[p]!);
            if (wrong !== 0) return this.die(wrong, p - start);
            p++;
            continue;
          }
          if (this.head === null) {
            assert(p > start, 'a decoder has a head before the first byte of a message');
            return this.consumed(p - start);
          }
          this.head.reset();
          this.meaning.begin();
          this.scanner.begin(this.isRequest ? section.request : section.response);
          this.state = state.head;
          continue;
        }
        case state.head: {
          const head = this.head!;
          const size = this.scanner.scan(head, bytes, p, end);
          if (size === 0) return this.consumed(p - start);
          if (size < 0) return this.die(-size, p - start + this.scanner.at);
          const wrong = this.endHead(head, bytes, p, size);
          p += size;
          if (wrong !== 0) return this.die(wrong, p - start);
          this.head = null;
          sink.onHead(head);
          break;
        }
        case state.length: {
          const from = p;
          p = end - p < this.left ? end : p + this.left;
          this.left -= p - from;
          if (this.left === 0) this.state = state.ended;
          sink.onBody(from, p);
          break;
        }
        case state.chunkHead: {
          const next = this.chunks.read(bytes, p, end);
          if (next === MORE) return this.consumed(end - start);
          if (next < 0) return this.die(-next - 1, this.chunks.wrongAt - start);
          p = next;
          this.left = this.chunks.size;
          this.bodyBytes += this.left;
          if (this.bodyBytesMax > 0 && this.bodyBytes > this.bodyBytesMax) return this.die(check.bodyTooLarge, p - start);
          this.state = this.left === 0 ? state.trailersFirst : state.chunkData;
          continue;
        }
        case state.chunkData: {
          const from = p;
          p = end - p < this.left ? end : p + this.left;
          this.left -= p - from;
          if (this.left === 0) {
            this.chunks.endData();
            this.state = state.chunkHead;
          }
          sink.onBody(from, p);
          break;
        }
        case state.trailersFirst: {
          // Nearly always there are none, and then no head is needed.
          if (bytes[p] === CR) {
            if (end - p === 1) return this.consumed(p - start);
            if (bytes[p + 1] !== LF) return this.die(check.chunkLineEnd, p + 1 - start);
            p += 2;
            this.state = state.ended;
            break;
          }
          this.beginTrailers();
          continue;
        }
        case state.trailers: {
          const trailers = this.trailers!;
          const size = this.scanner.scan(trailers, bytes, p, end);
          if (size === 0) return this.consumed(p - start);
          if (size < 0) return this.die(-size, p - start + this.scanner.at);
          place(trailers, bytes, p, size);
          p += size;
          this.state = state.ended;
          if (hasLiveField(trailers)) sink.onTrailers(trailers);
          break;
        }
        default: {
          const from = p;
          p = end;
          if (this.state === state.untilClose && this.bodyBytesMax > 0) {
            p = Math.min(end, from + this.bodyBytesMax - this.bodyBytes);
            if (p === from) return this.die(check.bodyTooLarge, p - start);
            this.bodyBytes += p - from;
          }
          sink.onBody(from, p);
          break;
        }
      }
      if (this.isHalted) return p - start;
      if (this.state === state.ended) {
        this.beginMessage();
        sink.onEnd();
        return p - start;
      }
    }
    return this.consumed(p - start);
  }

  /**
   * The peer closed. 0: fine (a body that lasts until close ended, onEnd was called; or nothing was open), else the fault number.
   */
  finish(sink: MessageSink): number {
    if (this.fault !== 0) return this.fault;
    switch (this.state) {
      case state.start:
        if (this.interims > 0) return -this.die(check.cutHead, 0);
        return this.isExpecting ? -this.die(check.noAnswer, 0) : 0;
      case state.untilClose:
      case state.tunnel:
        this.beginMessage();
        sink.onEnd();
        return 0;
      case state.head:
        return -this.die(check.cutHead, 0);
      default:
        return -this.die(check.cutBody, 0);
    }
  }

  private emptyLine(c: number): number {
    if (this.hasEmptyCr) {
      if (c !== LF) return check.bareCr;
      this.hasEmptyCr = false;
      this.emptyLines++;
      return 0;
    }
    if (this.emptyLines === EMPTY_LINES_MAX) return check.emptyLines;
    this.hasEmptyCr = true;
    return 0;
  }

  /** The head is whole: gives it its meaning and decides what comes next. */
  private endHead(head: Head, bytes: Uint8Array, at: number, size: number): number {
    place(head, bytes, at, size);
    const wrong = this.isRequest
      ? this.meaning.finishRequest(head, bytes, at)
      : this.meaning.finishResponse(head, bytes, at, this.requestMethod);
    if (wrong !== 0) return wrong;
    switch (head.framing) {
      case framing.length:
        this.left = head.contentLength;
        this.state = this.left === 0 ? state.ended : state.length;
        return 0;
      case framing.chunked:
        this.chunks.begin();
        this.state = state.chunkHead;
        return 0;
      case framing.untilClose:
        this.state = state.untilClose;
        return 0;
      case framing.tunnel:
        this.state = state.tunnel;
        return 0;
      default:
        if (this.isRequest || head.status >= 200) {
          this.state = state.ended;
          return 0;
        }
        this.state = state.start;
        return ++this.interims > INTERIM_MAX ? check.interimTooMany : 0;
    }
  }

  private beginTrailers(): void {
    const trailers =
      spareTrailers !== null && spareTrailers.fields.length >= this.fieldsMax * FIELD_STRIDE ? spareTrailers : null;
    if (trailers !== null) spareTrailers = null;
    this.trailers = trailers ?? new Head(NO_BYTES, this.fieldsMax);
    this.trailers.reset();
    this.scanner.begin(section.trailers);
    this.state = state.trailers;
  }

  private beginMessage(): void {
    this.state = state.start;
    this.offset = 0;
    this.emptyLines = 0;
    this.hasEmptyCr = false;
    this.interims = 0;
    this.left = 0;
    this.bodyBytes = 0;
    this.requestMethod = method.OTHER;
    this.isExpecting = false;
    if (this.trailers !== null) {
      this.trailers.bytes = NO_BYTES;
      spareTrailers = this.trailers;
      this.trailers = null;
    }
  }

  private consumed(count: number): number {
    this.offset += count;
    return count;
  }

  private die(wrong: number, at: number): number {
    let id = (this.isRequest ? requestFaults : responseFaults)[wrong]!;
    // The same grammar, but the trailer section belongs to the body.
    if (this.state === state.trailers || this.state === state.trailersFirst) {
      if (id === fault.badRequest) id = fault.badRequestBody;
      else if (id === fault.badResponse) id = fault.badResponseBody;
    }
    this.fault = id;
    this.faultDetail = checkTexts[wrong]!;
    this.faultOffset = this.offset + at;
    return -id;
  }
}

function place(head: Head, bytes: Uint8Array, base: number, size: number): void {
  head.bytes = bytes;
  head.base = base;
  head.size = head.used = head.room = size;
}

function hasLiveField(head: Head): boolean {
  for (let i = 0; i < head.count; i++) if (head.id(i) !== field.removed) return true;
  return false;
}
