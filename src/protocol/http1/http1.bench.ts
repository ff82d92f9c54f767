/**
 * Nanoseconds per head, decoded and encoded. Run: `node src/protocol/http1/http1.bench.ts`.
 */
import { framing, Head } from '../../base/head.ts';
import type { MessageSink } from '../message.ts';
import { encodeRequestHead, encodeResponseHead, Http1Decoder, type Http1Limits } from './http1.ts';

const limits: Http1Limits = {
  headBytesMax: 32768,
  fieldBytesMax: 16384,
  fieldsMax: 100,
  targetBytesMax: 8192,
  bodyBytesMax: 0,
  chunkExtensionBytesMax: 4096,
  underscores: 'drop',
};

const lines = (...text: string[]): string => text.join('\r\n') + '\r\n\r\n';

const requests: [name: string, text: string][] = [
  ['small, 2 fields', lines('GET / HTTP/1.1', 'Host: 127.0.0.1:8080')],
  ['curl, 3 fields', lines('GET /index.html HTTP/1.1', 'Host: www.example.com', 'User-Agent: curl/8.5.0', 'Accept: */*')],
  [
    'browser, 11 fields',
    lines(
      'GET /products/shoes?color=red&size=42 HTTP/1.1',
      'Host: shop.example.com',
      'User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0',
      'Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8',
      'Accept-Language: en-US,en;q=0.5',
      'Accept-Encoding: gzip, deflate, br',
      'Referer: https://shop.example.com/products',
      'Connection: keep-alive',
      'Cookie: session=3f8a9c1e77b04d5a; theme=dark',
      'Upgrade-Insecure-Requests: 1',
      'Cache-Control: max-age=0',
    ),
  ],
  [
    'API post, 7 fields',
    lines(
      'POST /api/v1/orders HTTP/1.1',
      'Host: api.example.com',
      'Content-Type: application/json',
      'Content-Length: 0',
      'Authorization: Bearer eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.abc',
      'Accept: application/json',
      'X-Request-Id: 8d3f3f2e-0d2b-4b0e-9a51-2f6c4b5e8b11',
    ),
  ],
];
const responses: [name: string, text: string][] = [
  ['small, 2 fields', lines('HTTP/1.1 200 OK', 'Content-Type: text/plain', 'Content-Length: 0')],
  [
    'usual, 8 fields',
    lines(
      'HTTP/1.1 200 OK',
      'Server: nginx/1.31.0',
      'Date: Mon, 24 Nov 2025 06:00:00 GMT',
      'Content-Type: text/html; charset=utf-8',
      'Content-Length: 0',
      'Last-Modified: Sat, 22 Nov 2025 11:00:00 GMT',
      'Connection: keep-alive',
      'ETag: "6560a3f0-264"',
      'Accept-Ranges: bytes',
    ),
  ],
];

/** Room behind the head for what is written. */
const bytes = new Uint8Array(65536);
const OUT = 32768;

class BenchSink implements MessageSink {
  last: Head | null = null;
  onHead(head: Head): void {
    this.last = head;
  }
  onBody(): void {}
  onTrailers(): void {}
  onEnd(): void {}
}

/** Best of several rounds: the machine's noise only ever adds. */
function measure(rounds: number, times: number, run: () => void): number {
  let best = Number.POSITIVE_INFINITY;
  for (let round = 0; round < rounds; round++) {
    const from = process.hrtime.bigint();
    for (let i = 0; i < times; i++) run();
    best = Math.min(best, Number(process.hrtime.bigint() - from) / times);
  }
  return best;
}

const TIMES = 50_000;
const ROUNDS = 15;
const sink = new BenchSink();
const head = new Head(bytes, 100);

for (const side of ['request', 'response'] as const) {
  for (const [name, text] of side === 'request' ? requests : responses) {
    const size = Buffer.from(bytes.buffer).write(text, 'latin1');
    const decoder = new Http1Decoder(side, limits);
    const decode = measure(ROUNDS, TIMES, () => {
      decoder.head = head;
      if (decoder.feed(bytes, 0, size, sink) !== size) throw new Error(decoder.faultDetail);
    });
    const encode = measure(ROUNDS, TIMES, () => {
      const end =
        side === 'request'
          ? encodeRequestHead(head, bytes, OUT, bytes.length, false, true)
          : encodeResponseHead(head, bytes, OUT, bytes.length, framing.length, true, 11);
      if (end < 0) throw new Error('no room');
    });
    console.log(
      `${side.padEnd(9)} ${name.padEnd(20)} ${String(size).padStart(4)} bytes   decode ${decode.toFixed(0).padStart(5)} ns   encode ${encode.toFixed(0).padStart(5)} ns`,
    );
  }
}
