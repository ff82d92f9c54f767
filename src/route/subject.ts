/**
 * Subject: the request as a match sees it, filled again for each. The path is either the head's own bytes or its normal form.
 */
import type { ClientAddress } from '../base/client-address.ts';
import type { Head } from '../base/head.ts';

/** Longest host that can match by name: a DNS name has at most 253 characters (RFC 1035 §2.3.4), an IP literal fewer. */
export const HOST_BYTES_MAX = 255;

const SLASH = Uint8Array.of(47);

export class Subject {
  head: Head;
  peer: ClientAddress;
  /** Host in lower case, without port and trailing dot. */
  readonly host = new Uint8Array(HOST_BYTES_MAX + 1);
  /** 0 also when the host is longer than any that can match. */
  hostLength = 0;
  path: Uint8Array;
  pathStart = 0;
  pathEnd = 0;

  constructor(head: Head, peer: ClientAddress) {
    this.head = head;
    this.peer = peer;
    this.path = head.bytes;
  }

  /** Takes the host out of the head's authority. */
  setHost(head: Head): void {
    const { bytes, base } = head;
    const start = base + head.authorityStart;
    let end = base + head.authorityEnd;
    if (end > start && bytes[start] === 91 /* [ */) {
      let close = start;
      while (close < end && bytes[close] !== 93 /* ] */) close++;
      if (close < end) end = close + 1;
    } else {
      for (let i = end - 1; i >= start; i--) {
        if (bytes[i] === 58 /* : */) {
          end = i;
          break;
        }
      }
      if (end > start && bytes[end - 1] === 46 /* . */) end--;
    }
    const length = end - start;
    if (length > HOST_BYTES_MAX) {
      this.hostLength = 0;
      return;
    }
    const { host } = this;
    for (let i = 0; i < length; i++) {
      const c = bytes[start + i]!;
      host[i] = c >= 65 && c <= 90 ? c | 32 : c;
    }
    this.hostLength = length;
  }

  /** Takes the head's path as it is; an empty one (absolute form without a path) means "/" (RFC 9110 §4.2.3). */
  setPlainPath(head: Head): void {
    if (head.pathStart === head.pathEnd) {
      this.path = SLASH;
      this.pathStart = 0;
      this.pathEnd = 1;
      return;
    }
    this.path = head.bytes;
    this.pathStart = head.base + head.pathStart;
    this.pathEnd = head.base + head.pathEnd;
  }

  setNormalPath(path: Uint8Array, length: number): void {
    this.path = path;
    this.pathStart = 0;
    this.pathEnd = length;
  }
}
