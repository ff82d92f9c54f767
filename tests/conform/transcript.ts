/**
 * What a decoder tells of a byte sequence, as plain text that can be compared: the same bytes, however cut and wherever put, must give the
 * same transcript.
 */
import { faults } from '../../src/base/faults.ts';
import { framing, Head, method } from '../../src/base/head.ts';
import { Http1Decoder, type Http1Limits } from '../../src/protocol/http1/http1.ts';
import type { MessageSink } from '../../src/protocol/message.ts';

/** The defaults of a listener. */
export const defaultLimits: Http1Limits = {
  headBytesMax: 32 * 1024,
  fieldBytesMax: 16 * 1024,
  fieldsMax: 100,
  targetBytesMax: 8 * 1024,
  bodyBytesMax: 0,
  chunkExtensionBytesMax: 4096,
  underscores: 'drop',
};

export interface TranscriptOptions {
  side?: 'request' | 'response';
  limits?: Partial<Http1Limits>;
  /** Sizes of the pieces fed one after the other; the last one is whatever is left. All at once by default. */
  cuts?: readonly number[];
  /** Response side: the methods answered, in order; one GET by default. */
  methods?: readonly number[];
  /** Call finish() after the last byte. */
  finish?: boolean;
  /** Treat `Connection: close` as the end of what is read, as a connection does. */
  stopAtClose?: boolean;
  /** Told about each head while its bytes stand. */
  onHead?: (head: Head) => void;
  onTrailers?: (head: Head) => void;
}

export interface TranscriptMessage {
  head: string;
  interim: string[];
  body: string;
  trailers: string;
  isComplete: boolean;
}

export interface Transcript {
  messages: TranscriptMessage[];
  /** Name of the fault, '' when there was none. */
  fault: string;
  detail: string;
  offset: number;
  /** Bytes consumed; those before a fault in the call that met it are not counted. */
  consumed: number;
  /** The whole as one string. */
  text: string;
}

const framingNames = Object.keys(framing);
const ARENA_BYTES = 4096;

/** Live fields, one a line, `Name: value`. */
export function fieldsText(head: Head): string {
  let text = '';
  for (let i = 0; i < head.count; i++) if (head.id(i) !== -1) text += `${head.name(i)}: ${head.value(i)}\n`;
  return text;
}

/** Everything a head says, as text. */
export function headText(head: Head): string {
  const line =
    head.status > 0
      ? `${head.status} [${head.text(head.reasonStart, head.reasonEnd)}]`
      : `${head.method} ${head.text(head.methodStart, head.methodEnd)} form ${head.form} path [${head.text(head.pathStart, head.pathEnd)}] ` +
        `query ${head.queryStart < 0 ? '-' : `[${head.text(head.queryStart, head.queryEnd)}]`} ` +
        `authority [${head.text(head.authorityStart, head.authorityEnd)}] plain ${head.pathIsPlain}`;
  return (
    `${line}\nversion ${head.version} framing ${framingNames[head.framing]} length ${head.contentLength} keep ${head.keepAlive} ` +
    `expects ${head.expectsContinue} trailers ${head.acceptsTrailers} upgrade [${head.text(head.upgradeStart, head.upgradeEnd)}] ` +
    `websocket ${head.isWebSocket}\n${fieldsText(head)}`
  );
}

function emptyMessage(): TranscriptMessage {
  return { head: '', interim: [], body: '', trailers: '', isComplete: false };
}

/** Feeds bytes as a connection would: bytes that were not consumed are moved elsewhere and fed again with more behind. */
export function transcribe(input: Uint8Array, options: TranscriptOptions = {}): Transcript {
  const side = options.side ?? 'request';
  const decoder = new Http1Decoder(side, { ...defaultLimits, ...options.limits });
  const arena = new Uint8Array(Math.max(ARENA_BYTES, input.length + 1024));
  const messages: TranscriptMessage[] = [];
  const methods = [...(options.methods ?? [])];
  let current: TranscriptMessage | null = null;
  let isClosing = false;
  let isDone = false;
  const open = (): TranscriptMessage => {
    if (current === null) {
      current = emptyMessage();
      messages.push(current);
    }
    return current;
  };
  const sink: MessageSink = {
    onHead(head) {
      options.onHead?.(head);
      const message = open();
      if (head.status > 0 && head.status < 200 && head.status !== 101) {
        message.interim.push(headText(head));
        decoder.head = new Head(arena, 100);
      } else {
        message.head = headText(head);
        isClosing = !head.keepAlive;
      }
    },
    onBody(start, end) {
      if (start >= end) throw new Error('an empty piece of body');
      open().body += Buffer.from(arena.subarray(start, end)).toString('latin1');
    },
    onTrailers(head) {
      options.onTrailers?.(head);
      open().trailers = fieldsText(head);
    },
    onEnd() {
      open().isComplete = true;
      current = null;
      if (isClosing && options.stopAtClose === true) isDone = true;
      if (side === 'response' && methods.length > 0) decoder.expect(methods.shift()!);
    },
  };
  if (side === 'response') decoder.expect(methods.shift() ?? method.GET);

  const cuts = [...(options.cuts ?? [])];
  let pending: Uint8Array = new Uint8Array(0);
  let at = 0;
  let consumed = 0;
  let step = 0;
  while (at < input.length && decoder.faultOffset < 0 && !isDone) {
    const size = Math.max(1, Math.min(cuts.shift() ?? input.length, input.length - at));
    const piece = Buffer.concat([pending, input.subarray(at, at + size)]);
    at += size;
    const base = (step++ * 37) % 500;
    arena.fill(0x55);
    arena.set(piece, base);
    let from = base;
    const to = base + piece.length;
    while (from < to && !isDone) {
      decoder.head ??= new Head(arena, 100);
      const count = decoder.feed(arena, from, to, sink);
      if (count <= 0) break;
      from += count;
      consumed += count;
    }
    pending = piece.subarray(from - base);
  }
  let faultNumber = decoder.faultOffset < 0 ? 0 : -decoder.feed(arena, 0, 0, sink);
  if (faultNumber === 0 && options.finish === true) faultNumber = decoder.finish(sink);
  const fault = faultNumber === 0 ? '' : faults[faultNumber]!.name;
  const transcript = { messages, fault, detail: decoder.faultDetail, offset: decoder.faultOffset, consumed };
  return { ...transcript, text: JSON.stringify([messages, fault, decoder.faultDetail, decoder.faultOffset], null, 1) };
}

/** Latin1 text to bytes. */
export function bytesOf(text: string): Uint8Array {
  return new Uint8Array(Buffer.from(text, 'latin1'));
}
