import type { Head } from '../../base/head.ts';
import type { MessageSink } from '../message.ts';

/** Limits of one decoder; see ListenerLimitsPlan for the defaults. */
export interface Http1Limits {
  headBytesMax: number;
  fieldBytesMax: number;
  fieldsMax: number;
  targetBytesMax: number;
  /** 0 = none. */
  bodyBytesMax: number;
  chunkExtensionBytesMax: number;
  underscores: 'drop' | 'allow' | 'reject';
}

/**
 * Decodes the messages of one direction of one connection, one at a time.
 *
 * feed() returns how many bytes were consumed, or a negative fault number. It stops right after onEnd(): the caller decides when the next message may begin.
 * Bytes of an incomplete head (or trailer section) are not consumed: the caller keeps them and feeds them again with more behind, at whatever place;
 * the decoder remembers how far it looked, so the whole cost stays linear. Everything else is consumed at once.
 */
export declare class Http1Decoder {
  constructor(side: 'request' | 'response', limits: Http1Limits);
  /** Where the next head goes: set it before feeding the first byte of a message; the sink may take it over in onHead (the decoder sets it to null after). */
  head: Head | null;
  /** No byte of a message has been seen (empty lines before a request line do not count). */
  readonly atStart: boolean;
  /** Response side: the method of the request that the next final response answers (HEAD, CONNECT change its framing). */
  expect(requestMethod: number): void;
  feed(bytes: Uint8Array, start: number, end: number, sink: MessageSink): number;
  /** The peer closed. 0: fine (an untilClose body ended: onEnd was called; or nothing was open), else the fault number. */
  finish(sink: MessageSink): number;
  reset(): void;
}
