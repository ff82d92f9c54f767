/** How the decoder behaves towards the one who feeds it; what it accepts stands in threats.test.ts. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bytesOf, defaultLimits, transcribe } from '../../../tests/conform/transcript.ts';
import { fault } from '../../base/faults.ts';
import { framing, Head, method } from '../../base/head.ts';
import type { MessageSink } from '../message.ts';
import { Http1Decoder } from './http1.ts';

class LogSink implements MessageSink {
  log: string[] = [];
  head: Head | null = null;
  act: ((what: string) => void) | null = null;
  onHead(head: Head): void {
    this.head = head;
    this.note('head');
  }
  onBody(start: number, end: number): void {
    this.note(`body ${start}-${end}`);
  }
  onTrailers(): void {
    this.note('trailers');
  }
  onEnd(): void {
    this.note('end');
  }
  private note(what: string): void {
    this.log.push(what);
    this.act?.(what);
  }
}

const REQUEST = bytesOf('POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc');
const HEAD_BYTES = REQUEST.length - 3;
const CHUNKED = bytesOf('POST /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nA: b\r\n\r\n');

function make(side: 'request' | 'response' = 'request'): { decoder: Http1Decoder; sink: LogSink } {
  const decoder = new Http1Decoder(side, defaultLimits);
  decoder.head = new Head(new Uint8Array(0), 100);
  return { decoder, sink: new LogSink() };
}

test('it consumes nothing of an incomplete head, and everything of an incomplete body', () => {
  const { decoder, sink } = make();
  for (let end = 1; end < HEAD_BYTES; end++) assert.equal(decoder.feed(REQUEST, 0, end, sink), 0);
  assert.deepEqual(sink.log, []);
  assert.equal(decoder.feed(REQUEST, 0, HEAD_BYTES + 1, sink), HEAD_BYTES + 1);
  assert.deepEqual(sink.log, ['head', `body ${HEAD_BYTES}-${HEAD_BYTES + 1}`]);
  assert.equal(decoder.feed(REQUEST, HEAD_BYTES + 1, HEAD_BYTES + 3, sink), 2);
  assert.deepEqual(sink.log.slice(2), [`body ${HEAD_BYTES + 1}-${HEAD_BYTES + 3}`, 'end']);
});

test('it stops right after the end of a message, with more behind it', () => {
  const { decoder, sink } = make();
  const twice = new Uint8Array([...REQUEST, ...REQUEST]);
  assert.equal(decoder.feed(twice, 0, twice.length, sink), REQUEST.length);
  assert.equal(decoder.head, null);
  assert.equal(decoder.atStart, true);
});

test('it consumes nothing of an incomplete trailer section, not even a lone CR', () => {
  const { decoder, sink } = make();
  const section = CHUNKED.length - 'A: b\r\n\r\n'.length;
  assert.equal(decoder.feed(CHUNKED, 0, section + 3, sink), section);
  assert.equal(decoder.feed(CHUNKED, section, CHUNKED.length - 1, sink), 0);
  assert.equal(decoder.feed(CHUNKED, section, CHUNKED.length, sink), CHUNKED.length - section);
  assert.deepEqual(sink.log.slice(-2), ['trailers', 'end']);
});

test('the head is placed where its bytes stand, and handed over', () => {
  const { decoder, sink } = make();
  const bytes = new Uint8Array(1000);
  bytes.set(REQUEST, 321);
  const head = decoder.head!;
  sink.act = (what) => {
    if (what === 'head') assert.equal(decoder.head, null);
  };
  decoder.feed(bytes, 321, 321 + REQUEST.length, sink);
  assert.equal(sink.head, head);
  assert.deepEqual(
    [head.base, head.size, head.used, head.room, head.bytes === bytes],
    [321, HEAD_BYTES, HEAD_BYTES, HEAD_BYTES, true],
  );
  assert.equal(head.text(head.pathStart, head.pathEnd), '/a');
});

test('it knows whether a message has begun', () => {
  const { decoder, sink } = make();
  assert.equal(decoder.atStart, true);
  const bytes = bytesOf('\r\n\r\nGET');
  assert.equal(decoder.feed(bytes, 0, 3, sink), 3);
  assert.equal(decoder.atStart, true, 'empty lines do not count');
  assert.equal(decoder.feed(bytes, 3, 5, sink), 1);
  assert.equal(decoder.atStart, false);
});

test('feeding the first byte of a message without a head to fill is a bug', () => {
  const { decoder, sink } = make();
  decoder.head = null;
  assert.throws(() => decoder.feed(REQUEST, 0, 1, sink));
});

test('after a fault it stays dead, with the same fault, until reset', () => {
  const { decoder, sink } = make();
  const bad = bytesOf('GET / HTTP/1.1\r\nHost: h\r\nA b: c\r\n\r\n');
  assert.equal(decoder.feed(bad, 0, bad.length, sink), -fault.badRequest);
  assert.equal(decoder.faultDetail, 'white space in a field name or before its colon');
  assert.equal(decoder.faultOffset, 26);
  assert.equal(decoder.feed(REQUEST, 0, REQUEST.length, sink), -fault.badRequest);
  assert.equal(decoder.finish(sink), fault.badRequest);
  assert.deepEqual(sink.log, []);
  decoder.reset();
  assert.deepEqual([decoder.faultDetail, decoder.faultOffset, decoder.head], ['', -1, null]);
  decoder.head = new Head(REQUEST, 100);
  assert.equal(decoder.feed(REQUEST, 0, REQUEST.length, sink), REQUEST.length);
});

for (const [what, input, at] of [
  ['head', REQUEST, HEAD_BYTES],
  [`body ${HEAD_BYTES}-${HEAD_BYTES + 3}`, REQUEST, HEAD_BYTES + 3],
  ['end', REQUEST, HEAD_BYTES + 3],
  ['trailers', CHUNKED, CHUNKED.length],
] as const) {
  test(`reset() from inside the call for ${what.split(' ')[0]} ends the feed there and leaves a new decoder`, () => {
    const { decoder, sink } = make();
    sink.act = (now) => {
      if (now === what) decoder.reset();
    };
    assert.equal(decoder.feed(input, 0, input.length, sink), at);
    assert.equal(sink.log.at(-1), what);
    assert.equal(decoder.atStart, true);
    sink.act = null;
    sink.log = [];
    decoder.head = new Head(REQUEST, 100);
    assert.equal(decoder.feed(REQUEST, 0, REQUEST.length, sink), REQUEST.length);
    assert.equal(sink.log.at(-1), 'end');
  });
}

test('an interim response ends the feed when the sink gives no head for the next, and does not when it does', () => {
  const text = 'HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n';
  const bytes = bytesOf(text);
  const interim = text.indexOf('HTTP', 4);
  const without = make('response');
  assert.equal(without.decoder.feed(bytes, 0, bytes.length, without.sink), interim);
  assert.equal(without.decoder.atStart, false);
  without.decoder.head = new Head(bytes, 100);
  assert.equal(without.decoder.feed(bytes, interim, bytes.length, without.sink), bytes.length - interim);
  assert.deepEqual(without.sink.log, ['head', 'head', 'end']);
  const { decoder, sink } = make('response');
  sink.act = () => {
    decoder.head = new Head(bytes, 100);
  };
  assert.equal(decoder.feed(bytes, 0, bytes.length, sink), bytes.length);
  assert.deepEqual(sink.log, ['head', 'head', 'end']);
});

test('expect() is for one final response only', () => {
  const { decoder, sink } = make('response');
  const bytes = bytesOf('HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc');
  decoder.expect(method.HEAD);
  const size = bytes.length - 3;
  assert.equal(decoder.feed(bytes, 0, bytes.length, sink), size);
  decoder.head = new Head(bytes, 100);
  decoder.expect(method.GET);
  assert.equal(decoder.feed(bytes, 0, bytes.length, sink), bytes.length);
});

test('a tunnel passes everything on until the peer closes', () => {
  const { decoder, sink } = make();
  decoder.tunnel();
  const bytes = bytesOf('\x00GET \r\n\xff');
  assert.equal(decoder.feed(bytes, 0, bytes.length, sink), bytes.length);
  assert.deepEqual(sink.log, [`body 0-${bytes.length}`]);
  assert.equal(decoder.finish(sink), 0);
  assert.deepEqual(sink.log.slice(1), ['end']);
});

test('the end of the connection is fine between messages', () => {
  for (const side of ['request', 'response'] as const) {
    const { decoder, sink } = make(side);
    assert.equal(decoder.finish(sink), 0);
    assert.deepEqual(sink.log, []);
  }
});

test('a long head costs no more in small pieces than its length', () => {
  // Looking at every byte again at each feed would take seconds here.
  const text = `GET / HTTP/1.1\r\nHost: h\r\n${'X-Long: '.padEnd(15000, 'a')}\r\n${'Y-Long: '.padEnd(15000, 'b')}\r\n\r\n`;
  const bytes = bytesOf(text);
  const { decoder, sink } = make();
  let looked = 0;
  const spy = new Proxy(bytes, {
    get(target, key) {
      if (typeof key === 'string' && /^\d+$/.test(key)) looked++;
      const value = Reflect.get(target, key);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
  const { getInt32 } = DataView.prototype;
  DataView.prototype.getInt32 = function (offset, little) {
    looked += 4;
    return getInt32.call(this, offset, little);
  };
  try {
    for (let end = 1; end <= bytes.length; end++) decoder.feed(spy, 0, end, sink);
  } finally {
    DataView.prototype.getInt32 = getInt32;
  }
  assert.deepEqual(sink.log, ['head', 'end']);
  assert.ok(looked < bytes.length * 4, `${looked} looks at ${bytes.length} bytes`);
});

test('trailer sections of two decoders at once do not mix', () => {
  const one = make();
  const two = make();
  const split = CHUNKED.length - 3;
  const other = bytesOf(Buffer.from(CHUNKED).toString('latin1').replace('A: b', 'C: d'));
  const first = one.decoder.feed(CHUNKED, 0, split, one.sink);
  const second = two.decoder.feed(other, 0, split, two.sink);
  const seen: string[] = [];
  one.sink.onTrailers = (head?: Head) => void seen.push(head!.name(0));
  two.sink.onTrailers = (head?: Head) => void seen.push(head!.name(0));
  one.decoder.feed(CHUNKED, first, CHUNKED.length, one.sink);
  two.decoder.feed(other, second, other.length, two.sink);
  assert.deepEqual(seen, ['A', 'C']);
});

test('the number of fields a decoder takes is bounded by its limit, not by the head it fills', () => {
  const text = `GET / HTTP/1.1\r\nHost: h\r\n${'A: b\r\n'.repeat(99)}\r\n`;
  assert.equal(transcribe(bytesOf(text)).fault, '');
  assert.equal(transcribe(bytesOf(text.replace('A: b', 'A: b\r\nA: b'))).fault, 'headTooLarge');
});

test('framing tells a body of length 0 from none', () => {
  const { decoder, sink } = make();
  const bytes = bytesOf('GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n');
  decoder.feed(bytes, 0, bytes.length, sink);
  assert.deepEqual([sink.head!.framing, sink.head!.contentLength], [framing.length, 0]);
});
