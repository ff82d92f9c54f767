/** The tests' own reader must be strict, else it would not see what weir does wrong. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fieldOf, MessageReader, ProtocolError } from './message-reader.ts';

function read(side: 'request' | 'response', text: string, method = 'GET', step = text.length): MessageReader {
  const reader = new MessageReader(side);
  reader.expect(method);
  for (let at = 0; at < text.length; at += step) reader.feed(Buffer.from(text.slice(at, at + step), 'latin1'));
  return reader;
}

const good: readonly (readonly [name: string, text: string, method: string, body: string, count: number])[] = [
  ['a length', 'HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc', 'GET', 'abc', 1],
  ['an empty reason', 'HTTP/1.1 404 \r\nContent-Length: 0\r\n\r\n', 'GET', '', 1],
  [
    'chunks and trailers',
    'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nA\r\n0123456789\r\n0\r\nx: y\r\n\r\n',
    'GET',
    'abc0123456789',
    1,
  ],
  ['an answer to HEAD', 'HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n', 'HEAD', '', 1],
  ['an interim answer before', 'HTTP/1.1 103 Early Hints\r\nlink: a\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n', 'GET', '', 2],
];
for (const [name, text, method, body, count] of good)
  test(`reads ${name}, cut at every place`, () => {
    for (let step = 1; step <= text.length; step++) {
      const reader = read('response', text, method, step);
      assert.equal(reader.messages.length, count);
      assert.equal(reader.messages.at(-1)!.body.toString('latin1'), body);
      reader.end();
    }
  });

const bad: readonly (readonly [name: string, side: 'request' | 'response', text: string])[] = [
  ['a bare LF', 'response', 'HTTP/1.1 200 OK\nContent-Length: 0\r\n\r\n'],
  ['two lengths', 'response', 'HTTP/1.1 200 OK\r\nContent-Length: 0\r\nContent-Length: 0\r\n\r\n'],
  ['length and coding', 'response', 'HTTP/1.1 200 OK\r\nContent-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n'],
  ['a space before the colon', 'response', 'HTTP/1.1 200 OK\r\nContent-Length : 0\r\n\r\n'],
  ['a folded line', 'response', 'HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n'],
  ['a control byte', 'response', 'HTTP/1.1 200 OK\r\nA: b\x01\r\n\r\n'],
  ['an old version', 'response', 'HTTP/1.0 200 OK\r\n\r\n'],
  ['a chunk extension', 'response', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;a\r\nx\r\n0\r\n\r\n'],
  ['a chunk without its end', 'response', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nxx\r\n'],
  ['a length in a 204', 'response', 'HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n'],
  ['a space in the target', 'request', 'GET /a b HTTP/1.1\r\n\r\n'],
  ['a second body', 'response', 'HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nabcdefghijkl'],
];
for (const [name, side, text] of bad) test(`refuses ${name}`, () => assert.throws(() => read(side, text), ProtocolError));

test('an end inside a message is an error, one after it or in a body until close is not', () => {
  assert.throws(() => read('response', 'HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab').end(), ProtocolError);
  assert.throws(() => read('response', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n').end(), ProtocolError);
  const reader = read('response', 'HTTP/1.1 200 OK\r\n\r\nab');
  assert.equal(reader.messages.length, 0);
  reader.end();
  assert.equal(reader.messages[0]!.body.toString(), 'ab');
});

test('a field asked for by name must be alone', () => {
  const reader = read('request', 'GET / HTTP/1.1\r\nHost: a\r\nX: 1\r\nx: 2\r\n\r\n');
  assert.equal(fieldOf(reader.messages[0]!, 'host'), 'a');
  assert.throws(() => fieldOf(reader.messages[0]!, 'x'), ProtocolError);
});
