import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bytesOf, headText, transcribe } from '../../../tests/conform/transcript.ts';
import { field, framing, Head, method } from '../../base/head.ts';
import { encodeChunkHead, encodeLastChunk, encodeRequestHead, encodeResponseHead } from './http1.ts';

const ROOM = 16384;

interface Wanted {
  upgrade?: boolean;
  framing?: number;
  keepAlive?: boolean;
  version?: number;
  edit?: (head: Head) => void;
  methods?: number[];
}

/** Decodes one message, edits its head, writes it again: into other bytes, behind it in the same bytes, with exactly enough room and one byte less. */
function rewrite(side: 'request' | 'response', text: string, wanted: Wanted = {}): string {
  let written = '';
  let heads = 0;
  const transcript = transcribe(bytesOf(text), {
    side,
    methods: wanted.methods,
    onHead(lent) {
      heads++;
      const bytes = new Uint8Array(ROOM * 2);
      bytes.set(lent.bytes.subarray(lent.base, lent.base + lent.size));
      const head = lent;
      head.bytes = bytes;
      head.base = 0;
      head.room = ROOM;
      wanted.edit?.(head);
      const write = (to: Uint8Array, at: number, end: number): number =>
        side === 'request'
          ? encodeRequestHead(head, to, at, end, wanted.upgrade ?? false, wanted.keepAlive ?? true)
          : encodeResponseHead(head, to, at, end, wanted.framing ?? head.framing, wanted.keepAlive ?? true, wanted.version ?? 11);
      const other = new Uint8Array(ROOM);
      const end = write(other, 7, ROOM);
      assert.ok(end > 7);
      written = Buffer.from(other.subarray(7, end)).toString('latin1');
      const sameEnd = write(bytes, ROOM, ROOM * 2);
      assert.equal(Buffer.from(bytes.subarray(ROOM, sameEnd)).toString('latin1'), written);
      assert.equal(write(other, 7, end), end, 'exactly enough room');
      for (let less = 7; less < end; less++) {
        other.fill(0xee);
        assert.equal(write(other, 7, less), -1, `room up to ${less}`);
        assert.ok(
          other.subarray(less).every((byte) => byte === 0xee),
          'nothing is written behind the room',
        );
      }
    },
  });
  assert.equal(transcript.fault, '', transcript.detail);
  assert.equal(heads, 1);
  return written;
}

const request = (lines: string, start = 'GET /a?b=c HTTP/1.1\r\nHost: h'): string => `${start}\r\n${lines}\r\n`;

test('a request already as weir writes it comes out byte for byte', () => {
  const text = request('User-Agent: curl/8\r\nAccept: */*\r\nX-Empty: \r\n');
  assert.equal(rewrite('request', text), text);
});

test('odd spacing is straightened, spelling and order stay', () => {
  const text = request('x-LOW:a\r\nX-Tab:\tb\r\nX-Two:  c\r\nX-Tail: d \t\r\nX-Empty:\r\nx-low: e\r\n');
  assert.equal(rewrite('request', text), request('x-LOW: a\r\nX-Tab: b\r\nX-Two: c\r\nX-Tail: d\r\nX-Empty: \r\nx-low: e\r\n'));
});

test('Host stands first, what belongs to one hop is gone, lines around it stay whole', () => {
  const text =
    'GET / HTTP/1.1\r\nA: 1\r\nConnection: X-Gone, close\r\nB: 2\r\nX-Gone: 3\r\nHost: h:80\r\nKeep-Alive: 5\r\nC: 4\r\nTE: gzip\r\n\r\n';
  assert.equal(rewrite('request', text), 'GET / HTTP/1.1\r\nHost: h:80\r\nA: 1\r\nB: 2\r\nC: 4\r\n\r\n');
});

test('absolute-form goes out in origin-form, with the Host of the target', () => {
  assert.equal(rewrite('request', 'GET http://H:1/p?q HTTP/1.1\r\nHost: h:1\r\n\r\n'), 'GET /p?q HTTP/1.1\r\nHost: H:1\r\n\r\n');
  assert.equal(rewrite('request', 'GET http://h?q HTTP/1.1\r\nHost: h\r\n\r\n'), 'GET /?q HTTP/1.1\r\nHost: h\r\n\r\n');
  assert.equal(rewrite('request', 'OPTIONS http://h HTTP/1.1\r\nHost: h\r\n\r\n'), 'OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n');
});

test('CONNECT and OPTIONS * keep their forms', () => {
  assert.equal(rewrite('request', 'CONNECT h:1 HTTP/1.1\r\nHost: h:1\r\n\r\n'), 'CONNECT h:1 HTTP/1.1\r\nHost: h:1\r\n\r\n');
  assert.equal(rewrite('request', 'OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n'), 'OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n');
});

test('HTTP/1.0 goes out as 1.1, with an empty Host when there is none', () => {
  assert.equal(rewrite('request', 'GET / HTTP/1.0\r\nA: b\r\n\r\n'), 'GET / HTTP/1.1\r\nHost: \r\nA: b\r\n\r\n');
});

test('the framing of the body is written anew', () => {
  assert.equal(rewrite('request', request('Content-Length: 0010\r\n')), request('Content-Length: 10\r\n'));
  assert.equal(rewrite('request', request('Content-Length: 0\r\n')), request('Content-Length: 0\r\n'));
  assert.equal(
    rewrite('request', request('Content-Length: 999999999999999\r\n')),
    request('Content-Length: 999999999999999\r\n'),
  );
  assert.equal(rewrite('request', request('transfer-encoding:CHUNKED\r\n')), request('Transfer-Encoding: chunked\r\n'));
});

test('TE: trailers goes on with the option that names it', () => {
  assert.equal(rewrite('request', request('TE: gzip, trailers\r\n')), request('TE: trailers\r\nConnection: TE\r\n'));
});

test('a connection that is not kept says so, beside what else it says, and not where it may become a tunnel', () => {
  const last = { keepAlive: false };
  assert.equal(rewrite('request', request('X: y\r\n'), last), request('X: y\r\nConnection: close\r\n'));
  assert.equal(rewrite('request', request('TE: trailers\r\n'), last), request('TE: trailers\r\nConnection: close, TE\r\n'));
  const upgrade = request('Connection: Upgrade\r\nUpgrade: websocket\r\n');
  assert.equal(rewrite('request', upgrade, { ...last, upgrade: true }), request('Connection: upgrade\r\nUpgrade: websocket\r\n'));
});

test('an upgrade is asked for only when the caller wants it', () => {
  const text = request('Connection: Upgrade\r\nUpgrade: websocket\r\nX: y\r\n');
  assert.equal(rewrite('request', text), request('X: y\r\n'));
  assert.equal(rewrite('request', text, { upgrade: true }), request('X: y\r\nConnection: upgrade\r\nUpgrade: websocket\r\n'));
  const both = request('Connection: Upgrade\r\nUpgrade: websocket\r\nTE: trailers\r\n');
  assert.equal(
    rewrite('request', both, { upgrade: true }),
    request('TE: trailers\r\nConnection: upgrade, TE\r\nUpgrade: websocket\r\n'),
  );
});

test('edits show: removed, appended, path and authority replaced', () => {
  const edit = (head: Head): void => {
    head.removeName('b');
    assert.ok(head.append(field.other, 'X-New', 'n'));
    assert.ok(head.append(field.other, 'X-Newer', ''));
    assert.ok(head.setPath('/other'));
    assert.ok(head.setAuthority('origin:8080'));
  };
  assert.equal(
    rewrite('request', request('A: 1\r\nB: 2\r\nC: 3\r\n'), { edit }),
    'GET /other?b=c HTTP/1.1\r\nHost: origin:8080\r\nA: 1\r\nC: 3\r\nX-New: n\r\nX-Newer: \r\n\r\n',
  );
});

test('a head that was made, not received, is written from its numbers', () => {
  const bytes = new Uint8Array(1024);
  const head = new Head(bytes, 4);
  head.room = 512;
  head.method = method.DELETE;
  assert.ok(head.setPath('/x'));
  assert.ok(head.setAuthority('h'));
  const end = encodeRequestHead(head, bytes, 512, 1024, false, true);
  assert.equal(Buffer.from(bytes.subarray(512, end)).toString('latin1'), 'DELETE /x HTTP/1.1\r\nHost: h\r\n\r\n');
});

const response = (lines: string, start = 'HTTP/1.1 200 OK'): string => `${start}\r\n${lines}\r\n`;

test('a response says what becomes of the connection only when the client could not know', () => {
  const text = response('A: b\r\nContent-Length: 3\r\n');
  assert.equal(rewrite('response', text), text);
  assert.equal(rewrite('response', text, { keepAlive: false }), response('A: b\r\nContent-Length: 3\r\nConnection: close\r\n'));
  assert.equal(rewrite('response', text, { version: 10 }), response('A: b\r\nContent-Length: 3\r\nConnection: keep-alive\r\n'));
  assert.equal(
    rewrite('response', text, { version: 10, keepAlive: false }),
    response('A: b\r\nContent-Length: 3\r\nConnection: close\r\n'),
  );
});

test('a response is framed as the caller will send it', () => {
  const text = response('A: b\r\n');
  assert.equal(rewrite('response', text, { framing: framing.chunked }), response('A: b\r\nTransfer-Encoding: chunked\r\n'));
  assert.equal(rewrite('response', text, { framing: framing.untilClose }), response('A: b\r\nConnection: close\r\n'));
  assert.equal(
    rewrite('response', text, { framing: framing.untilClose, version: 10 }),
    response('A: b\r\nConnection: close\r\n'),
  );
  assert.throws(() => rewrite('response', text, { framing: framing.chunked, version: 10 }));
});

test('a length is announced where a body may be announced, and only there', () => {
  const length = response('Content-Length: 3\r\n');
  assert.equal(rewrite('response', length, { methods: [method.HEAD] }), length);
  const notModified = response('Content-Length: 3\r\n', 'HTTP/1.1 304 Not Modified');
  assert.equal(rewrite('response', notModified), notModified);
  assert.equal(
    rewrite('response', response('Content-Length: 0\r\n', 'HTTP/1.1 204 No Content')),
    response('', 'HTTP/1.1 204 No Content'),
  );
});

test('an interim response says nothing of framing or connection', () => {
  const text = response('Link: x\r\n', 'HTTP/1.1 103 Early Hints');
  assert.equal(rewrite('response', text, { keepAlive: false }), text);
});

test('101 and 426 name the protocol, other responses do not', () => {
  const lines = 'A: b\r\nConnection: upgrade\r\nUpgrade: websocket\r\n';
  assert.equal(
    rewrite('response', response(lines, 'HTTP/1.1 101 Switching Protocols'), { keepAlive: false }),
    response(lines, 'HTTP/1.1 101 Switching Protocols'),
  );
  const required = response(`${lines}Content-Length: 0\r\n`, 'HTTP/1.1 426 Upgrade Required');
  assert.equal(
    rewrite('response', required),
    response('A: b\r\nContent-Length: 0\r\nConnection: upgrade\r\nUpgrade: websocket\r\n', 'HTTP/1.1 426 Upgrade Required'),
  );
  assert.equal(rewrite('response', response(`${lines}Content-Length: 0\r\n`)), response('A: b\r\nContent-Length: 0\r\n'));
});

test('the status line says HTTP/1.1 whatever the endpoint speaks, with the reason as it was', () => {
  assert.equal(
    rewrite('response', response('Content-Length: 0\r\n', 'HTTP/1.0 200')),
    response('Content-Length: 0\r\n', 'HTTP/1.1 200 '),
  );
  assert.equal(
    rewrite('response', response('Content-Length: 0\r\n', 'HTTP/1.1 404 N\xe4 \t')),
    response('Content-Length: 0\r\n', 'HTTP/1.1 404 N\xe4 \t'),
  );
});

test('what was written reads back as the same head, for every framing', () => {
  const text = request('Host2: h\r\nX-A: 1\r\nX-B:2\r\nContent-Length: 0\r\nCookie: a=b\r\nCookie: c=d\r\n');
  const first = transcribe(bytesOf(text)).messages[0]!.head;
  assert.equal(transcribe(bytesOf(rewrite('request', text))).messages[0]!.head, first);
});

test('chunk heads are hexadecimal, with the end of the chunk before in front', () => {
  const sizes: [number, string][] = [
    [1, '1'],
    [9, '9'],
    [10, 'a'],
    [15, 'f'],
    [16, '10'],
    [255, 'ff'],
    [0x1a2b, '1a2b'],
    [0x7fffffff, '7fffffff'],
    [0xffffffff, 'ffffffff'],
  ];
  const bytes = new Uint8Array(32);
  for (const [size, digits] of sizes) {
    let end = encodeChunkHead(size, true, bytes, 3);
    assert.equal(Buffer.from(bytes.subarray(3, end)).toString('latin1'), `${digits}\r\n`);
    end = encodeChunkHead(size, false, bytes, 3);
    assert.equal(Buffer.from(bytes.subarray(3, end)).toString('latin1'), `\r\n${digits}\r\n`);
  }
});

test('the last chunk carries the trailers, and says so when it does not fit', () => {
  const bytes = new Uint8Array(64);
  assert.equal(encodeLastChunk(null, true, bytes, 0, 64), 5);
  assert.equal(Buffer.from(bytes.subarray(0, 5)).toString('latin1'), '0\r\n\r\n');
  assert.equal(encodeLastChunk(null, false, bytes, 0, 64), 7);
  assert.equal(Buffer.from(bytes.subarray(0, 7)).toString('latin1'), '\r\n0\r\n\r\n');
  assert.equal(encodeLastChunk(null, false, bytes, 0, 6), -1);
  let seen = 0;
  transcribe(bytesOf(request('Transfer-Encoding: chunked\r\n') + '0\r\nA: 1\r\nHost: x\r\nB:2\r\n\r\n'), {
    onTrailers(head) {
      seen++;
      assert.match(headText(head), /A: 1\nB: 2\n$/);
      const end = encodeLastChunk(head, true, bytes, 0, 64);
      assert.equal(Buffer.from(bytes.subarray(0, end)).toString('latin1'), '0\r\nA: 1\r\nB: 2\r\n\r\n');
      assert.equal(encodeLastChunk(head, true, bytes, 0, end), end);
      assert.equal(encodeLastChunk(head, true, bytes, 0, end - 1), -1);
    },
  });
  assert.equal(seen, 1);
});
