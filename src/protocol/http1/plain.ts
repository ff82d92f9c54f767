/**
 * Start lines as nearly everybody sends them, read in a few steps when all of the line is there. Whatever is unusual, incomplete or wrong
 * is left to the scanner, which looks at it byte by byte and knows what to say: these functions only ever say yes.
 */
import { type Head, method } from '../../base/head.ts';
import { CR, LF, SLASH, SPACE, target, targetClass } from './bytes.ts';
import { methodAt } from './names.ts';

const DOT = 46;
// "HTTP" and "/1.1", as numbers.
const HTTP = 0x48545450;
const VERSION = 0x2f312e31;

/**
 * The usual request line, when all of it is there: known method, origin form, HTTP/1.1. Returns where the next line begins; or `start`,
 * with the head unchanged.
 */
export function plainRequestLine(head: Head, bytes: Uint8Array, start: number, stop: number, targetBytesMax: number): number {
  const view = viewOf(bytes);
  let p = start;
  const most = Math.min(stop - 12, start + targetBytesMax);
  while (p < most && bytes[p]! > SPACE) p++;
  const id = methodAt(view, start, p - start);
  if (id === method.OTHER || id === method.CONNECT || bytes[p] !== SPACE || bytes[p + 1] !== SLASH) return start;
  const methodEnd = p - start;
  const path = ++p;
  let kind = 0;
  let isPlain = true;
  for (; p < most; p++) {
    kind = targetClass[bytes[p]!]!;
    if (kind === target.plain) continue;
    if (kind >= target.question) break;
    if (kind === target.slash) {
      const next = bytes[p + 1];
      if (next === SLASH || next === DOT) isPlain = false;
    } else if (kind === target.suspect) isPlain = false;
  }
  const pathEnd = p;
  if (kind === target.question) for (p++; p < most && targetClass[bytes[p]!] !== target.end; p++);
  if (p >= most) return start;
  // " HTTP/1.1\r\n" as numbers.
  if (bytes[p] !== SPACE || view.getInt32(p + 1) !== HTTP || view.getInt32(p + 5) !== VERSION) return start;
  if (bytes[p + 9] !== CR || bytes[p + 10] !== LF) return start;
  head.method = id;
  head.methodEnd = methodEnd;
  head.pathStart = path - start;
  head.pathEnd = pathEnd - start;
  head.pathIsPlain = isPlain;
  if (kind === target.question) {
    head.queryStart = pathEnd + 1 - start;
    head.queryEnd = p - start;
  }
  return p + 11;
}

/** The usual status line, when all of it is there: HTTP/1.1, three digits, a reason. Returns as plainRequestLine(). */
export function plainStatusLine(head: Head, bytes: Uint8Array, start: number, stop: number): number {
  if (stop - start < 16) return start;
  const view = viewOf(bytes);
  if (view.getInt32(start) !== HTTP || view.getInt32(start + 4) !== VERSION) return start;
  const hundreds = bytes[start + 9]! - 48;
  const tens = bytes[start + 10]! - 48;
  const ones = bytes[start + 11]! - 48;
  if (hundreds < 1 || hundreds > 9 || tens < 0 || tens > 9 || ones < 0 || ones > 9) return start;
  if (bytes[start + 8] !== SPACE || bytes[start + 12] !== SPACE) return start;
  let p = start + 13;
  while (p < stop && bytes[p]! >= SPACE && bytes[p]! < 127) p++;
  if (p + 1 >= stop || bytes[p] !== CR || bytes[p + 1] !== LF) return start;
  head.status = hundreds * 100 + tens * 10 + ones;
  head.reasonStart = 13;
  head.reasonEnd = p - start;
  return p + 2;
}

/** A view to read four bytes at once, kept for the array read last: in a worker that is always the arena. */
let viewedBytes: Uint8Array = new Uint8Array(0);
let viewedView: DataView = new DataView(viewedBytes.buffer);

export function viewOf(bytes: Uint8Array): DataView {
  if (bytes === viewedBytes) return viewedView;
  viewedBytes = bytes;
  viewedView = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return viewedView;
}
