/**
 * What codecs say to the one who feeds them. HTTP/1.1 and HTTP/2 decoders speak to the same sink.
 *
 * Bodies are passed as absolute offsets into the bytes that were fed; they are not copied.
 */
import type { Head } from '../base/head.ts';

export interface MessageSink {
  /** A complete head: final, or interim (status 100-199 except 101). The sink may keep the Head object: see the decoder. */
  onHead(head: Head): void;
  /** A piece of the body, start < end. */
  onBody(start: number, end: number): void;
  /** The trailer section, when there is one with at least one field left; fields only. Lent for the call. */
  onTrailers(head: Head): void;
  /** The message is complete. */
  onEnd(): void;
}
