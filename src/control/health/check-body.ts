/**
 * check-body: finds a text in the body of an answer, and the end of that body. Pure.
 *
 * Rules
 * 1. The text is looked for in the first BODY_BYTES_MAX bytes, after chunked framing was taken off (RFC 9112 §7.1), across the places where
 *    chunks and segments were cut.
 * 2. Framing that cannot be understood is an end by fault; nothing after it is looked at.
 */

/** Of a body. What comes after is not read. */
export const BODY_BYTES_MAX = 64 * 1024;
/** One line of chunked framing, or of the trailer section. */
const LINE_BYTES_MAX = 4096;

/** How the end of the body is known: so many bytes, by chunks, or when the endpoint closes. */
export type BodyEnd = number | 'chunked' | 'close';

export type BodyState = 'open' | 'ended' | 'malformed' | 'tooLong';

const NO_BYTES = Buffer.alloc(0);
const phase = Object.freeze({ size: 0, data: 1, dataEnd: 2, trailer: 3 });

export class AnswerBody {
  isFound: boolean;
  private state: BodyState = 'open';
  private readonly wanted: Uint8Array | null;
  private readonly end: BodyEnd;
  /** Of the body, or of the chunk. */
  private left: number;
  private seen = 0;
  private phase: number = phase.size;
  private line = '';
  /** The last bytes, in which the text may have begun. */
  private tail: Buffer = NO_BYTES;

  /** `wanted` null: only the end is looked for. */
  constructor(end: BodyEnd, wanted: Uint8Array | null) {
    this.end = end;
    this.wanted = wanted;
    this.isFound = wanted === null || wanted.length === 0;
    this.left = typeof end === 'number' ? end : 0;
    if (end === 0) this.state = 'ended';
  }

  /** Takes bytes, lent for the call. */
  take(bytes: Buffer): BodyState {
    if (this.state !== 'open') return this.state;
    if (this.end === 'chunked') this.dechunk(bytes);
    else if (this.end === 'close') this.look(bytes);
    else {
      // What comes beyond the length is not of this answer.
      const share = bytes.subarray(0, this.left);
      this.left -= share.length;
      this.look(share);
      if (this.left === 0) this.finish('ended');
    }
    return this.state;
  }

  /** The endpoint has closed. */
  close(): BodyState {
    if (this.state === 'open') this.finish(this.end === 'close' ? 'ended' : 'malformed');
    return this.state;
  }

  private finish(state: BodyState): void {
    if (this.state === 'open') this.state = state;
  }

  private look(bytes: Buffer): void {
    const room = BODY_BYTES_MAX - this.seen;
    const share = bytes.length > room ? bytes.subarray(0, room) : bytes;
    this.seen += share.length;
    if (!this.isFound && this.wanted !== null) {
      const text = this.tail.length === 0 ? share : Buffer.concat([this.tail, share]);
      this.isFound = text.includes(this.wanted);
      this.tail = Buffer.from(text.subarray(Math.max(0, text.length - this.wanted.length + 1)));
    }
    if (bytes.length > room) this.finish('tooLong');
  }

  private dechunk(bytes: Buffer): void {
    let at = 0;
    while (at < bytes.length && this.state === 'open') {
      if (this.phase === phase.data) {
        const share = bytes.subarray(at, at + this.left);
        at += share.length;
        this.left -= share.length;
        this.look(share);
        if (this.left === 0) this.phase = phase.dataEnd;
        continue;
      }
      const feed = bytes.indexOf(10, at);
      const stop = feed < 0 ? bytes.length : feed + 1;
      this.line += bytes.toString('latin1', at, stop);
      at = stop;
      if (this.line.length > LINE_BYTES_MAX) this.finish('malformed');
      if (feed < 0) return;
      this.takeLine(this.line);
      this.line = '';
    }
  }

  private takeLine(line: string): void {
    if (!line.endsWith('\r\n')) {
      this.finish('malformed');
    } else if (this.phase === phase.size) {
      const size = /^([0-9a-fA-F]{1,8})[ \t]*(?:;[^\r\n]*)?\r\n$/.exec(line);
      if (size === null) this.finish('malformed');
      else {
        this.left = Number.parseInt(size[1]!, 16);
        this.phase = this.left === 0 ? phase.trailer : phase.data;
      }
    } else if (this.phase === phase.dataEnd) {
      if (line === '\r\n') this.phase = phase.size;
      else this.finish('malformed');
    } else if (line === '\r\n') this.finish('ended');
  }
}
