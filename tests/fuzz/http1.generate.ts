/**
 * Random HTTP/1 messages: mostly valid ones from the grammar, often with a detail that is just invalid, then damaged byte by byte.
 */
import type { Prng } from '../../src/base/prng.ts';

export function pick<T>(random: Prng, from: readonly T[]): T {
  return from[random.below(from.length)]!;
}

/** True once in `n` times. */
export function once(random: Prng, n: number): boolean {
  return random.below(n) === 0;
}

// Where a list holds wrong values, they are rare enough that most messages are accepted: what is rejected early tests little.
const methods = [
  'GET',
  'GET',
  'GET',
  'HEAD',
  'POST',
  'POST',
  'PUT',
  'DELETE',
  'OPTIONS',
  'PATCH',
  'TRACE',
  'REPORT',
  'get',
  'X-Y',
  'CONNECT',
];
const versions = ['HTTP/1.1', 'HTTP/1.1', 'HTTP/1.1', 'HTTP/1.0'];
const names = [
  'Accept',
  'User-Agent',
  'Cookie',
  'X-A',
  'x-a',
  'X_A',
  'Via',
  'te',
  'TE',
  'Connection',
  'connection',
  'Keep-Alive',
  'Proxy-Connection',
  'Upgrade',
  'HTTP2-Settings',
  'Trailer',
  'Date',
  'X-Forwarded-For',
  'Proxy-Authorization',
  'Content-Type',
  'Content-Lengthx',
  'Content-Lengt',
  'Transfer-Encodin',
  'Sec-WebSocket-Key',
  'Sec-WebSocket-Version',
  '__proto__',
  'X-Weir-Added',
  "!#$%&'*+-.^`|~",
];
const values = [
  '',
  'a',
  'a, b',
  'close',
  'keep-alive',
  'close, x-a',
  'X-A',
  'Upgrade',
  'upgrade, x-weir-added',
  'trailers',
  'gzip, trailers',
  '100-continue',
  'websocket',
  'h2c',
  '13',
  'dGhlIHNhbXBsZSBub25jZQ==',
  'host, content-length, transfer-encoding',
  '\xff\x85\xa0',
  'a\tb',
  'a'.repeat(40),
  'a'.repeat(300),
  '"q\\"uoted"',
  'chunked',
  '5',
  'timeout=5',
];
const separators = [': ', ':', ':  ', ':\t'];
const lineEnds = Array.from({ length: 200 }, (_, i) =>
  i === 0 ? '\n' : i === 1 ? '\r' : i === 2 ? '\r\r\n' : i === 3 ? ' \r\n' : i === 4 ? '\t\r\n' : '\r\n',
);
const lengths = ['+5', '05', '5, 5', '5 5', '0x5', '', '1000000000000000', '-1', '5.0', '"5"'];
const codings = [
  'Chunked',
  ' chunked ',
  'gzip, chunked',
  'chunked, chunked',
  'identity',
  'xchunked',
  'chunked;a',
  ',chunked',
  '\x0bchunked',
];
const extensions = ['', ';a', ';a=b', ';a="b;\\"c"', '; a = b'];
const badExtensions = [' ;a', ';', ';a=', ';a="', ' ', '\t'];
const statuses = [
  '200 OK',
  '200 OK',
  '200 OK',
  '200',
  '404 Not Found',
  '204 No Content',
  '304 Not Modified',
  '100 Continue',
  '103 Early Hints',
  '101 Switching Protocols',
  '099 X',
  '2000',
  '500 \xe4',
];

/** CR LF, nearly always. */
function lineEnd(random: Prng): string {
  return pick(random, lineEnds);
}

function field(random: Prng): string {
  return pick(random, names) + (once(random, 40) ? ' ' : '') + pick(random, separators) + pick(random, values) + lineEnd(random);
}

function bodyText(random: Prng): string {
  const pieces = ['', 'a', 'hello', '\r\n', '0\r\n\r\n', 'GET / HTTP/1.1\r\nHost: smuggled\r\n\r\n', '\x00\xff', 'b'.repeat(70)];
  return pick(random, pieces) + (once(random, 3) ? pick(random, pieces) : '');
}

function extension(random: Prng): string {
  return pick(random, once(random, 25) ? badExtensions : once(random, 3) ? extensions : ['']);
}

function chunkedBody(random: Prng): string {
  let text = '';
  for (let left = random.below(4); left > 0; left--) {
    const data = bodyText(random);
    if (data === '') continue;
    let size = data.length.toString(16);
    if (once(random, 4)) size = size.toUpperCase();
    if (once(random, 8)) size = '0'.repeat(1 + random.below(16)) + size;
    text +=
      size +
      extension(random) +
      lineEnd(random) +
      data +
      (once(random, 30) ? pick(random, ['\n', '\r', 'X\n', '\rX', '']) : '\r\n');
  }
  text += '0' + extension(random) + lineEnd(random);
  if (once(random, 3)) for (let left = 1 + random.below(3); left > 0; left--) text += field(random);
  return text + lineEnd(random);
}

/** Fields that frame a body, in whatever order with the others, and the body. */
function framed(random: Prng, lines: string[]): string {
  const kind = random.below(12);
  if (once(random, 8)) lines.push('Expect: 100-continue\r\n');
  if (kind < 4) return '';
  if (kind < 8) {
    const body = bodyText(random);
    const length = once(random, 12) ? pick(random, lengths) : String(body.length);
    lines.push(`Content-Length: ${length}${lineEnd(random)}`);
    if (once(random, 15)) lines.push(`Content-Length: ${length}\r\n`);
    if (once(random, 15)) lines.push('Transfer-Encoding: chunked\r\n');
    return body;
  }
  lines.push(`Transfer-Encoding: ${once(random, 10) ? pick(random, codings) : 'chunked'}${lineEnd(random)}`);
  if (once(random, 15)) lines.push('Transfer-Encoding: chunked\r\n');
  return chunkedBody(random);
}

function shuffled(random: Prng, lines: string[]): string {
  for (let i = lines.length - 1; i > 0; i--) {
    const k = random.below(i + 1);
    [lines[i], lines[k]] = [lines[k]!, lines[i]!];
  }
  return lines.join('');
}

/** Targets that most methods may have, and the Host that fits them. */
const plainTargets: [target: string, host: string][] = [
  ['/', 'h'],
  ['/', 'h:80'],
  ['/a', 'H'],
  ['/a/b?c=d', '[::1]'],
  ['/?', 'h'],
  ['/a%20b;x', 'h'],
  ['/../', 'h'],
  ['//', 'h'],
  ['/.x', 'h'],
  ['/a|b"{}', 'h'],
  ['http://h/p', 'h'],
  ['http://h', 'h'],
  ['HTTP://h?q', 'H'],
  ['https://h:1/', 'h:1'],
];

function requestText(random: Prng): string {
  const method = pick(random, methods);
  let [target, host] = pick(random, plainTargets);
  if (method === 'CONNECT') target = host = 'h:443';
  if (method === 'OPTIONS' && once(random, 2)) target = '*';
  if (once(random, 25)) target = pick(random, ['*', 'h:443', 'http://i/', '/#', '', 'h', '/a b']);
  if (once(random, 25)) host = pick(random, ['a b', '', 'i', 'h@i', 'h:x']);
  const lines = once(random, 25) ? [] : [`Host: ${host}${lineEnd(random)}`];
  const body = framed(random, lines);
  for (let left = random.below(5); left > 0; left--) lines.push(field(random));
  const version = once(random, 20) ? pick(random, ['HTTP/1.2', 'HTTP/2.0', 'http/1.1']) : pick(random, versions);
  const start = (once(random, 8) ? '\r\n' : '') + `${method} ${target} ${version}`;
  return start + lineEnd(random) + shuffled(random, lines) + lineEnd(random) + body;
}

function responseText(random: Prng): string {
  const lines: string[] = [];
  const status = pick(random, statuses);
  const body = once(random, 3) || !/^[1235]0[01234]/.test(status) || status.startsWith('2') ? framed(random, lines) : '';
  for (let left = random.below(5); left > 0; left--) lines.push(field(random));
  return `${pick(random, versions)} ${status}` + lineEnd(random) + shuffled(random, lines) + lineEnd(random) + body;
}

const interesting = [0, 9, 10, 11, 12, 13, 27, 32, 34, 44, 47, 48, 58, 59, 61, 92, 95, 127, 128, 133, 160, 255];

/** One to four small damages: bytes changed, put in, left out, repeated, swapped. */
function damage(random: Prng, text: string): string {
  let bytes = text;
  for (let left = 1 + random.below(4); left > 0 && bytes.length > 2; left--) {
    const at = random.below(bytes.length);
    const byte = String.fromCharCode(once(random, 4) ? random.below(256) : pick(random, interesting));
    const length = 1 + random.below(12);
    switch (random.below(6)) {
      case 0:
        bytes = bytes.slice(0, at) + byte + bytes.slice(at + 1);
        break;
      case 1:
        bytes = bytes.slice(0, at) + byte + bytes.slice(at);
        break;
      case 2:
        bytes = bytes.slice(0, at) + bytes.slice(at + length);
        break;
      case 3:
        bytes = bytes.slice(0, at) + bytes.slice(at, at + length) + bytes.slice(at);
        break;
      case 4:
        bytes = bytes.slice(0, at) + String.fromCharCode(bytes.charCodeAt(at) ^ (1 << random.below(8))) + bytes.slice(at + 1);
        break;
      default: {
        const lines = bytes.split('\r\n');
        const one = random.below(lines.length);
        const other = random.below(lines.length);
        [lines[one], lines[other]] = [lines[other]!, lines[one]!];
        bytes = lines.join('\r\n');
      }
    }
  }
  return bytes;
}

/** One to three messages one after the other, latin1. */
export function generate(random: Prng, side: 'request' | 'response'): string {
  let text = '';
  for (let left = 1 + random.below(3); left > 0; left--) text += side === 'request' ? requestText(random) : responseText(random);
  return once(random, 2) ? damage(random, text) : text;
}
