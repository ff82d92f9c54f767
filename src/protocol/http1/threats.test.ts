/**
 * The catalogue of hostile and broken bytes, one row each. The harm they do: two parsers on one path read different messages
 * (smuggling, response desync), or one of them is made to work or store without end. Every row is fed whole, cut at every byte, and byte by byte.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bytesOf, type TranscriptOptions, transcribe } from '../../../tests/conform/transcript.ts';
import type { FaultName } from '../../base/faults.ts';
import { method } from '../../base/head.ts';

/** What comes out: a fault by its name, or the text that the transcript must hold. */
type Row = readonly [name: string, input: string, expected: FaultName | { has: string | string[] }, options?: TranscriptOptions];

/** A request with Host and these lines, and what follows the head. */
const host = (lines: string, body = ''): string => `POST /a HTTP/1.1\r\nHost: h\r\n${lines}\r\n\r\n${body}`;
const chunked = (body: string): string => host('Transfer-Encoding: chunked', body);
const get = (target: string): string => `GET ${target} HTTP/1.1\r\nHost: h\r\n\r\n`;
const hostIs = (value: string): string => `GET / HTTP/1.1\r\nHost: ${value}\r\n\r\n`;
const ok = (lines: string, body = ''): string => `HTTP/1.1 200 OK\r\n${lines}\r\n\r\n${body}`;
const A = 'a'.repeat(70);
const small: TranscriptOptions = { limits: { headBytesMax: 120, fieldBytesMax: 60, fieldsMax: 4, targetBytesMax: 40 } };

function each<T>(values: readonly T[], row: (value: T) => Row): Row[] {
  return values.map(row);
}

// biome-ignore format: a table reads best as one
const framing: Row[] = [
  ['Content-Length and Transfer-Encoding', host('Content-Length: 3\r\nTransfer-Encoding: chunked', '0\r\n\r\n'), 'badRequest'],
  ['Transfer-Encoding and Content-Length', host('Transfer-Encoding: chunked\r\nContent-Length: 3', '0\r\n\r\n'), 'badRequest'],
  ['Transfer-Encoding and Content-Length: 0', host('Transfer-Encoding: chunked\r\nContent-Length: 0', '0\r\n\r\n'), 'badRequest'],
  ['only Transfer-Encoding', chunked('3\r\nabc\r\n0\r\n\r\n'), { has: ['framing chunked length -1', '"body": "abc"', '"isComplete": true'] }],
  ['only Content-Length', host('Content-Length: 3', 'abc'), { has: ['framing length length 3', '"body": "abc"', '"isComplete": true'] }],
  ...each(['gzip, chunked', 'foo,chunked', 'deflate , gzip ,\tChunked'], (v): Row => [`an unknown coding before chunked: ${v}`, host(`Transfer-Encoding: ${v}`), 'codingNotImplemented']),
  ...each(['identity', 'gzip', 'chunked, identity', 'chunked, chunked', ',chunked', 'chunked,', ', chunked', 'chunked;q=1', '"chunked"', 'xchunked', 'chunkedx', 'chun ked', 'chunKed\x00'.slice(0, 7) + ';', '\xe2\x84\xaahunked', 'chun\u017fed'.replace(/[^\0-\xff]/g, '\xff'), '', 'chunked gzip', 'gzip, chunked, chunked', 'gzip, , chunked', 'c\xa0hunked', '\xa0chunked', 'chunked\x85', 'chunked\xff', '\xef\xbb\xbfchunked'],
    (v): Row => [`a coding that is not chunked: ${JSON.stringify(v)}`, host(`Transfer-Encoding: ${v}`), 'badRequest']),
  ...each(['chunked', 'Chunked', 'CHUNKED', '  chunked', '\tchunked \t'], (v): Row => [`chunked in any case, trimmed: ${JSON.stringify(v)}`, host(`Transfer-Encoding: ${v}`, '0\r\n\r\n'), { has: 'framing chunked' }]),
  ['two Transfer-Encoding lines', host('Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked'), 'badRequest'],
  ['two Transfer-Encoding lines, the second unknown', host('Transfer-Encoding: chunked\r\nTransfer-Encoding: identity'), 'badRequest'],
  ...each([
    'Transfer-Encoding : chunked', 'Transfer-Encoding\t: chunked', ' Transfer-Encoding: chunked', '\tTransfer-Encoding: chunked', 'X: y\r\n Transfer-Encoding: chunked', 'Transfer-Encoding:\r\n chunked',
    'X: y\nTransfer-Encoding: chunked', 'X: y\rTransfer-Encoding: chunked', 'X: y\r\r\nTransfer-Encoding: chunked', 'Transfer-Encoding: chunked\n', 'Transfer-Encoding: \rchunked', 'Transfer-Encoding: chunked\r', '\rTransfer-Encoding: chunked',
    'Transfer-Encoding: chunked\x00', 'Transfer-Encoding: \x0bchunked', 'Transfer-Encoding: chunked\x0c', 'Transfer-Encoding\x00: chunked', '\xa0Transfer-Encoding: chunked', 'Transfer-Encoding\x85: chunked',
    '\xffTransfer-Encoding: chunked', '\xef\xbb\xbfTransfer-Encoding: chunked', 'Transfer Encoding: chunked', 'Transfer-Encoding chunked', 'Transfer-Encoding', 'Transfer\x0dEncoding: chunked', 'Transfer-Encoding\r: chunked'],
    (v): Row => [`Transfer-Encoding in the wrong shape: ${JSON.stringify(v)}`, host(v, '0\r\n\r\n'), 'badRequest']),
  ['Transfer_Encoding is an ordinary field, dropped', host('Transfer_Encoding: chunked'), { has: ['framing none', '\\nwebsocket'.slice(2)] }],
  ['Transfer-Encoding in HTTP/1.0', 'POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n', 'badRequest'],
  ['Content-Length twice, different', host('Content-Length: 3\r\nContent-Length: 4', 'abcd'), 'badRequest'],
  ['Content-Length twice, equal', host('Content-Length: 3\r\nContent-Length: 3', 'abc'), 'badRequest'],
  ...each(['3, 4', '3, 3', '3,3', '3,', ',3', '+5', '-5', '0x5', '5e0', '5.0', '"5"', '5;', '5_0', '', "''", '5 5', '5\x0b', '\xa05', '5\xa0', '5\x00', '\x05', '\xb2', 'NaN', 'Infinity', '5a', '٣'.replace(/[^\0-\xff]/g, '\xd9')],
    (v): Row => [`Content-Length that is no number: ${JSON.stringify(v)}`, host(`Content-Length: ${v}`, 'abcde'), 'badRequest']),
  ['Content-Length of 15 digits', host('Content-Length: 999999999999999'), { has: 'length 999999999999999 ' }],
  ['Content-Length of 16 digits', host('Content-Length: 1000000000000000'), 'contentTooLarge'],
  ['Content-Length above 2^64', host('Content-Length: 18446744073709551619'), 'contentTooLarge'],
  ['Content-Length at the limit', host('Content-Length: 5', 'abcde'), { has: '"body": "abcde"' }, { limits: { bodyBytesMax: 5 } }],
  ['Content-Length above the limit', host('Content-Length: 6', 'abcdef'), 'contentTooLarge', { limits: { bodyBytesMax: 5 } }],
  ['Content-Length: 010 is ten', host('Content-Length: 010', '0123456789'), { has: ['length 10 ', '"body": "0123456789"', '"isComplete": true'] }],
  ['a body shorter than its length', host('Content-Length: 5', 'abc'), 'clientAborted', { finish: true }],
  ['GET with a body keeps its framing', 'GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nab', { has: ['framing length length 2', '"body": "ab"'] }],
  ['DELETE with a chunked body keeps its framing', 'DELETE / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n', { has: ['framing chunked', '"body": "a"'] }],
  ['a body of length 0', host('Content-Length: 0'), { has: ['framing length length 0', '"isComplete": true'] }],
];

// biome-ignore format: a table reads best as one
const chunks: Row[] = [
  ...each(['', ' 3', '3 ', '3\t', '+3', '-3', '0x3', '3_', '_3', 'g', '3g', '\x003', '3\x00', '3 ;a', '3\xa0', '\xff', '３'.replace(/[^\0-\xff]/g, '\xef'), '3.0', '3h'],
    (v): Row => [`a chunk size that is no number: ${JSON.stringify(v)}`, chunked(`${v}\r\nabc\r\n0\r\n\r\n`), 'badRequestBody']),
  ['a chunk size of 8 digits', chunked('ffffffff\r\nabc'), { has: '"body": "abc"' }],
  ['a chunk size of 9 digits', chunked('100000000\r\nabc'), 'badRequestBody'],
  ['a chunk size of 17 digits', chunked('10000000000000003\r\nabc'), 'badRequestBody'],
  ['a chunk size of 16 digits with leading zeros', chunked('0000000000000003\r\nabc\r\n0\r\n\r\n'), { has: ['"body": "abc"', '"isComplete": true'] }],
  ['a chunk size of 17 digits with leading zeros', chunked('00000000000000003\r\nabc\r\n0\r\n\r\n'), 'badRequestBody'],
  ['upper and lower case digits', chunked('A\r\n0123456789\r\nb\r\n01234567890\r\n0\r\n\r\n'), { has: ['"body": "012345678901234567890"', '"isComplete": true'] }],
  ['chunks up to the limit', chunked('3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n'), { has: '"isComplete": true' }, { limits: { bodyBytesMax: 5 } }],
  ['chunks above the limit', chunked('3\r\nabc\r\n3\r\ndef\r\n0\r\n\r\n'), 'contentTooLarge', { limits: { bodyBytesMax: 5 } }],
  ...each([
    ['LF after the size', '3\nabc\r\n0\r\n\r\n'], ['CR after the size', '3\rabc\r\n0\r\n\r\n'], ['CR CR LF after the size', '3\r\r\nabc\r\n0\r\n\r\n'], ['LF after an extension', '3;a\nabc\r\n0\r\n\r\n'],
    ['CR in an extension', '3;a\rb\r\nabc\r\n0\r\n\r\n'], ['LF after the data', '3\r\nabc\n0\r\n\r\n'], ['CR after the data', '3\r\nabc\r0\r\n\r\n'], ['X LF after the data', '3\r\nabcX\n0\r\n\r\n'], ['CR X after the data', '3\r\nabc\rX0\r\n\r\n'], ['two bytes too many', '3\r\nabcXX0\r\n\r\n'],
    ['nothing after the data', '3\r\nabc0\r\n\r\n'], ['LF after the last chunk', '0\n\r\n'], ['LF for the final line', '0\r\n\n'], ['CR for the final line', '0\r\n\rX'], ['CR alone after the last chunk', '0\r\r\n'],
    ['LF after a trailer', '0\r\nA: b\n\r\n'], ['CR after a trailer', '0\r\nA: b\rC: d\r\n\r\n'], ['LF in front of a trailer', '0\r\n\nA: b\r\n\r\n']] as const,
    ([name, body]): Row => [`a line end that is not CR LF: ${name}`, chunked(body), 'badRequestBody']),
  ...each([';a', ';a=b', ';a="b c"', ';a="\\"";b', ';a;b;c=d', '; a', ';a = b', ';a=\t"b" ; c', ';a="\xe4;\t"', ';a=""'],
    (v): Row => [`a chunk extension is ignored: ${JSON.stringify(v)}`, chunked(`3${v}\r\nabc\r\n0${v}\r\n\r\n`), { has: ['"body": "abc"', '"isComplete": true'] }]),
  ...each([';', ';;a', ';a=', ';a="b', ';a="b"c', ';a=b"', ';a\x00', ';a\x01', ';a="\x00"', ';a="\x7f"', ';a="\\\x00"', ';a b', ';a ', ';a="b" ', ';=b', ';a=b=c', 'a b', ' ;a', ';a\r\r', ';\xe4', ';a="\n"', ';a="\r\n"'],
    (v): Row => [`a chunk extension is malformed: ${JSON.stringify(v)}`, chunked(`3${v}\r\nabc\r\n0\r\n\r\n`), 'badRequestBody']),
  ['chunk extensions at the limit', chunked('3;abc\r\nabc\r\n3;abc\r\nabc\r\n0\r\n\r\n'), { has: '"isComplete": true' }, { limits: { chunkExtensionBytesMax: 8 } }],
  ['chunk extensions above the limit', chunked('3;abc\r\nabc\r\n3;abcd\r\nabc\r\n0\r\n\r\n'), 'badRequestBody', { limits: { chunkExtensionBytesMax: 8 } }],
  ['trailers are kept apart', chunked('1\r\na\r\n0\r\nX-Sum: 12\r\n\r\n'), { has: ['"trailers": "X-Sum: 12\\n"', '"isComplete": true'] }],
  ...each(['Content-Length: 5', 'Transfer-Encoding: chunked', 'Host: evil', 'Authorization: x', 'X-Forwarded-For: 1.2.3.4', 'X-Forwarded-Whatever: 1', 'content-type: a', 'Content-Anything: b', 'Connection: close', 'Cookie: a=b', 'Set-Cookie: a=b', 'Trailer: x', 'If-Match: *', 'Cache-Control: no-store', 'X_Y: z', 'TE: trailers', 'Expect: 100-continue', 'Proxy-Foo: b'],
    (v): Row => [`a trailer that must not be: ${v}`, chunked(`0\r\n${v}\r\nX-Sum: 12\r\n\r\n`), { has: ['"trailers": "X-Sum: 12\\n"', '"isComplete": true'] }]),
  ...each(['A', 'A b', ' A: b', 'A : b', ': b', 'A: \x00', 'A: b\r\n c', 'A\xe4: b', 'A: \x7f'], (v): Row => [`a malformed trailer: ${JSON.stringify(v)}`, chunked(`0\r\n${v}\r\n\r\n`), 'badRequestBody']),
  ['trailers of too many bytes', chunked(`0\r\nA: ${A}\r\nB: ${A}\r\n\r\n`), 'headTooLarge', { limits: { headBytesMax: 120 } }],
  ['too many trailers', chunked('0\r\nA: b\r\nA: b\r\nA: b\r\nA: b\r\n\r\n'), 'headTooLarge', { limits: { fieldsMax: 3 } }],
  ...each(['', '3', '3\r\nab', '3\r\nabc', '3\r\nabc\r\n', '3\r\nabc\r\n0', '0\r\n', '0\r\nA: b\r\n', '0\r\n\r'], (v): Row => [`the end comes too early: ${JSON.stringify(v)}`, chunked(v), 'clientAborted', { finish: true }]),
  ['the end comes after the last line', chunked('0\r\n\r\n'), { has: '"isComplete": true' }, { finish: true }],
  ['invalid bytes after a whole message', chunked('0\r\n\r\n') + '\x00', 'badRequest'],
  ['a chunked body right before the next request', chunked('1\r\na\r\n0\r\n\r\n') + get('/next'), { has: ['"body": "a"', 'path [/next]'] }],
];

// biome-ignore format: a table reads best as one
const requestLine: Row[] = [
  ...each(['GET / HTTP/1.1\nHost: h\r\n\r\n', 'GET\t/ HTTP/1.1\r\nHost: h\r\n\r\n', 'GET /\tHTTP/1.1\r\n', 'GET\x0b/ HTTP/1.1\r\n', 'GET  / HTTP/1.1\r\n', 'GET /  HTTP/1.1\r\n', 'GET / HTTP/1.1 \r\n', ' GET / HTTP/1.1\r\n', 'GET / HTTP/1.1\r\r\n', 'GET / HTTP/1.1\rHost: h', 'GET\r\n', 'GET \r\n', 'GET /\r\n', '\nGET / HTTP/1.1\r\n', '\r\n\nGET / HTTP/1.1\r\n', '\rGET / HTTP/1.1\r\n', '/ HTTP/1.1\r\n'],
    (v): Row => [`a request line in the wrong shape: ${JSON.stringify(v)}`, v, 'badRequest']),
  ['four empty lines before a request', '\r\n\r\n\r\n\r\n' + get('/'), { has: 'path [/]' }],
  ['five empty lines before a request', '\r\n\r\n\r\n\r\n\r\n' + get('/'), 'badRequest'],
  ['nothing but empty lines', '\r\n\r\n', { has: '[]' }, { finish: true }],
  ...each(['HTTP/0.9', 'HTTP/2.0', 'HTTP/2', 'HTTP/3.0', 'HTTP/1.2', 'HTTP/1.9', 'HTTP/5.6', 'HTTP/01.1'], (v): Row => [`a version that is not spoken: ${v}`, `GET / ${v}\r\nHost: h\r\n\r\n`, 'versionNotSupported']),
  ...each(['HTTP/1.10', 'http/1.1', 'HTTP /1.1', 'HTTP/ 1.1', 'HTTP/1 .1', 'HTTP/1,1', 'HTTP/1.', 'HTTP/.1', 'HTTP/11', 'HTTP/a.b', 'HTTPS/1.1', 'ICY', 'RTSP/1.0', 'HTTP/1.1x', 'HTTP/\xb2.0'], (v): Row => [`a version in the wrong shape: ${v}`, `GET / ${v}\r\nHost: h\r\n\r\n`, 'badRequest']),
  ['HTTP/0.9 without a version', 'GET /\r\n', 'badRequest'],
  ...each(['G\x00T', 'G(T', 'G"T', 'G:T', 'G\xe4T', 'G\x7fT', 'G/T', '@', '{'], (v): Row => [`a method that is no token: ${JSON.stringify(v)}`, `${v} / HTTP/1.1\r\nHost: h\r\n\r\n`, 'badRequest']),
  ['a method of 32 bytes', `${'M'.repeat(32)} / HTTP/1.1\r\nHost: h\r\n\r\n`, { has: '0 MMMM' }],
  ['a method of 33 bytes', `${'M'.repeat(33)} / HTTP/1.1\r\nHost: h\r\n\r\n`, 'methodNotImplemented'],
  ['a method without end', 'M'.repeat(80), 'methodNotImplemented'],
  ['a lower-case method is another method', 'get / HTTP/1.1\r\nHost: h\r\n\r\n', { has: '0 get form 0' }],
  ['a target at the limit', get(`/${'a'.repeat(39)}`), { has: 'path [/aaaa' }, small],
  ['a target above the limit', get(`/${'a'.repeat(40)}`), 'targetTooLong', small],
  ['a query above the limit', get(`/?${'a'.repeat(39)}`), 'targetTooLong', small],
  ['an absolute target above the limit', get(`http://h/${'a'.repeat(40)}`), 'targetTooLong', small],
  ['a target without end', `GET /${'a'.repeat(60)}`, 'targetTooLong', small],
  ...each(['/\x00', '/\x01', '/\x7f', '/\x80', '/\xff', '/\xe4?x', '/?\x00', '/?\x7f', '/?\xe4', '/a b', '/#a', '/?a#b', '/\r', '/\n', 'http://h/\x00', 'http://h/\xe4', 'http://h/#'], (v): Row => [`a byte no target can hold: ${JSON.stringify(v)}`, get(v), 'badRequest']),
  ['absolute-form names the host', 'GET http://h/p?q HTTP/1.1\r\nHost: h\r\n\r\n', { has: ['form 1 path [/p] query [q] authority [h]'] }],
  ['absolute-form with an empty path', 'GET http://h HTTP/1.1\r\nHost: H\r\n\r\n', { has: ['form 1 path [/] query - authority [h]'] }],
  ['absolute-form with only a query', 'GET HTTPS://h:8443?a HTTP/1.1\r\nHost: h:8443\r\n\r\n', { has: ['form 1 path [/] query [a] authority [h:8443]'] }],
  ['absolute-form in HTTP/1.0 without Host', 'GET http://h/ HTTP/1.0\r\n\r\n', { has: ['authority [h]'] }],
  ['absolute-form with another Host', 'GET http://a/ HTTP/1.1\r\nHost: b\r\n\r\n', 'badRequest'],
  ['absolute-form with another port', 'GET http://a/ HTTP/1.1\r\nHost: a:80\r\n\r\n', 'badRequest'],
  ['absolute-form without Host', 'GET http://a/ HTTP/1.1\r\n\r\n', 'badRequest'],
  ...each(['h:80', 'h', 'example.com:443', 'a/b', 'www.h/', '@h', '@h/', '://', '://h/', 'http://', 'http:///', 'http:///a', 'http:/h', 'http:h', 'http://?a', 'http://u@h/', 'http://u:p@h/', 'http://h:/', 'http://h:0/', 'http://h:65536/', 'http://h:8x/', 'http://[::1/', 'http://h%41/', 'http://h,i/', 'ftp://h/', 'file:///etc/passwd', 'javascript:alert(1)', '\\h', '?a', '.', '%2f', '*x', 'httpx://h/', 'https:/h'],
    (v): Row => [`a target of no form for GET: ${v}`, get(v), 'badRequest']),
  ['CONNECT host:port', 'CONNECT h:443 HTTP/1.1\r\nHost: h:443\r\n\r\n', { has: '6 CONNECT form 2 path [] query - authority [h:443]' }],
  ['CONNECT [v6]:port', 'CONNECT [::1]:443 HTTP/1.1\r\nHost: [::1]:443\r\n\r\n', { has: 'form 2 path [] query - authority [[::1]:443]' }],
  ...each(['h', '/', 'http://h/', ':443', 'h:', '*', '[::1]', 'u@h:443', 'h:443/', 'h:x'], (v): Row => [`CONNECT to ${v}`, `CONNECT ${v} HTTP/1.1\r\nHost: h\r\n\r\n`, 'badRequest']),
  ['TRACE is parsed', 'TRACE / HTTP/1.1\r\nHost: h\r\n\r\n', { has: '8 TRACE' }],
  ['OPTIONS *', 'OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n', { has: '7 OPTIONS form 3 path [*]' }],
  ['OPTIONS for a whole host', 'OPTIONS http://h HTTP/1.1\r\nHost: h\r\n\r\n', { has: '7 OPTIONS form 3 path [/]' }],
  ['OPTIONS *x', 'OPTIONS *x HTTP/1.1\r\nHost: h\r\n\r\n', 'badRequest'],
  ['GET *', get('*'), 'badRequest'],
  ...each(['/a', '/a.b/c', '/a/b.c', '/', '/a?%2e%2e//', '/a-b_c~d!$&\'()*+,=:@', '/a.', '/a/b'], (v): Row => [`a path in its normal form: ${v}`, get(v), { has: 'plain true' }]),
  ...each(['/../', '/a/../b', '/./', '/.', '/a/.b', '//', '/a//b', '/a;b', '/%2e', '/%2f', '/a%00', '/%5c', '/\\', '/%zz', '/%', 'http://h//', 'http://h/.', 'http://h/%41', '/a//', '/a/..'], (v): Row => [`a path to be normalised before it is matched: ${v}`, get(v), { has: 'plain false' }]),
];

// biome-ignore format: a table reads best as one
const hosts: Row[] = [
  ['no Host in HTTP/1.1', 'GET / HTTP/1.1\r\n\r\n', 'badRequest'],
  ['no Host in HTTP/1.0', 'GET / HTTP/1.0\r\n\r\n', { has: 'authority [] plain true\\nversion 10' }],
  ['two Hosts', 'GET / HTTP/1.1\r\nHost: h\r\nHost: i\r\n\r\n', 'badRequest'],
  ['two equal Hosts', 'GET / HTTP/1.1\r\nHost: h\r\nHost: h\r\n\r\n', 'badRequest'],
  ['two Hosts in HTTP/1.0', 'GET / HTTP/1.0\r\nHost: h\r\nHost: h\r\n\r\n', 'badRequest'],
  ...each(['', ' ', 'a b', 'a,b', 'a/b', 'a@b', 'a?b', 'a#b', 'a\\b', 'a\x00b', 'a\x01', 'a\xe4', 'a\x7f', 'a:b', 'a:', ':80', 'a:80:80', 'a:65536', 'a:123456', 'a:-1', 'a: 80', '[::1', '::1', '[::1]80', '[::1]:', '[::1]x', '[]', '[1]', '[1:2:3:4:5:6:7]', '[1:2:3:4:5:6:7:8:9]', '[1::2::3]', '[:::]', '[::g]', '[::12345]', '[::1.2.3]', '[::1.2.3.256]', '[::1.2.3.04]', '[fe80::1%25eth0]', '[v1.a]', 'a[::1]', 'http://a', 'a"b', 'a<b', 'a%41', 'a\tb', '1:', '[1:]', '[:1]', '[1:2:3:4:5:6:7:1.2.3.4]'],
    (v): Row => [`a Host that is none: ${JSON.stringify(v)}`, hostIs(v), 'badRequest']),
  ...each(['a', 'a.b.c', 'A.B', 'a:1', 'a:65535', 'a.', 'a_b', '1.2.3.4', '1.2.3.4:80', '[::]', '[::1]', '[::1]:80', '[1:2:3:4:5:6:7:8]', '[1::]', '[1:2:3:4:5:6:7::]', '[::2:3:4:5:6:7:8]', '[::1.2.3.4]', '[1:2:3:4:5:6:1.2.3.4]', '[FE80::aBcD]', 'xn--a', 'a~b!c'], (v): Row => [`a Host that is one: ${v}`, hostIs(v), { has: `authority [${v}]` }]),
];

// biome-ignore format: a table reads best as one
const fields: Row[] = [
  ...each(['X : y', 'X\t: y', ' X: y', '\tX: y', 'A: b\r\n c', 'A: b\r\n\tc', 'A: b\r\n ', 'X', 'X y', ': y', ':', 'X\x00: y', 'X\x01: y', 'X(: y', 'X@: y', 'X\xe4: y', 'X\x7f: y', 'X/Y: z', 'X"Y: z', 'X Y: z', 'X,Y: z', '[X]: y', 'X;: y'], (v): Row => [`a field line in the wrong shape: ${JSON.stringify(v)}`, host(v), 'badRequest']),
  ...each(['a\x00', '\x00', 'a\rb', 'a\nb', '\r', 'a\x01', '\x1f', 'a\x7f', 'a\x0bb', 'a\x0c', 'a\x1b[0m', 'a\x08', `${'a'.repeat(30)}\x00`, `${'a'.repeat(31)}\x7f${'a'.repeat(9)}`, `${'a'.repeat(33)}\x1f`], (v): Row => [`a control byte in a value: ${JSON.stringify(v)}`, host(`X: ${v}`), 'badRequest']),
  ['bytes above 0x7F in a value stay as they are', host('X: \xa0\x85a\xff\x80\xe4\x85\xa0'), { has: 'X: \xa0\x85a\xff\x80\xe4\x85\xa0\\n' }],
  ['a tab inside a value stays', host('X: a\tb \t c'), { has: 'X: a\\tb \\t c\\n' }],
  ['white space around a value goes', host('X:  \t a \t '), { has: 'X: a\\n' }],
  ['an empty value', host('X:\r\nY: \r\nZ:\t'), { has: 'X: \\nY: \\nZ: \\n' }],
  ['names that JavaScript objects have', host('__proto__: a\r\nconstructor: b\r\ntoString: c\r\nhasOwnProperty: d'), { has: '__proto__: a\\nconstructor: b\\ntoString: c\\nhasOwnProperty: d\\n' }, { limits: { underscores: 'allow' } }],
  ['all tchars in a name', host("!#$%&'*+-.^`|~09AZaz: y"), { has: "!#$%&'*+-.^`|~09AZaz: y" }],
  ['as many fields as the limit', 'GET / HTTP/1.1\r\nHost: h\r\nA: b\r\nA: b\r\nA: b\r\n\r\n', { has: 'A: b\\nA: b\\nA: b\\n' }, small],
  ['more fields than the limit', 'GET / HTTP/1.1\r\nHost: h\r\nA: b\r\nA: b\r\nA: b\r\nA', 'headTooLarge', small],
  ['a head as large as the limit', `GET / HTTP/1.1\r\nHost: h\r\nA: ${'a'.repeat(50)}\r\nA: ${'a'.repeat(33)}\r\n\r\n`, { has: '"isComplete": true' }, small],
  ['a head one byte above the limit', `GET / HTTP/1.1\r\nHost: h\r\nA: ${'a'.repeat(50)}\r\nA: ${'a'.repeat(34)}\r\n\r\n`, 'headTooLarge', small],
  ['a head above the limit and not complete', `GET / HTTP/1.1\r\nHost: h\r\nA: ${'a'.repeat(50)}\r\nA: ${'a'.repeat(50)}`, 'headTooLarge', small],
  ['a field as long as the limit', host(`A: ${'a'.repeat(57)}`), { has: '"head"' }, small],
  ['a field above the limit', host(`A: ${'a'.repeat(58)}`), 'headTooLarge', small],
  ['a field above the limit and not complete', `GET / HTTP/1.1\r\nA: ${'a'.repeat(58)}`, 'headTooLarge', small],
  ['a name above the limit', `GET / HTTP/1.1\r\n${'a'.repeat(61)}`, 'headTooLarge', small],
  ['an underscore in a name: dropped', host('X_Y: z\r\nA: b'), { has: 'websocket false\\nA: b\\n' }],
  ['an underscore in a name: allowed', host('X_Y: z\r\nA: b'), { has: 'X_Y: z\\nA: b\\n' }, { limits: { underscores: 'allow' } }],
  ['an underscore in a name: rejected', host('A: b\r\nX_Y: z'), 'badRequest', { limits: { underscores: 'reject' } }],
];

// biome-ignore format: a table reads best as one
const hop: Row[] = [
  ['fields named in Connection go', host('X-A: 1\r\nConnection: x-a, X-B\r\nX-B: 2\r\nX-C: 3'), { has: 'websocket false\\nX-C: 3\\n"' }],
  ['several Connection lines', host('Connection: x-a\r\nX-A: 1\r\nX-B: 2\r\nX-C: 3\r\nConnection: close, x-b'), { has: ['keep false', 'websocket false\\nX-C: 3\\n"'] }],
  ['what the client says of itself can be named', host('X-Forwarded-For: 1.2.3.4\r\nConnection: X-Forwarded-For'), { has: 'websocket false\\n"' }],
  ['Connection cannot remove Host', host('Connection: Host'), { has: 'authority [h]' }],
  ['Connection cannot remove Content-Length', host('Connection: Content-Length\r\nContent-Length: 3', 'abc'), { has: ['framing length length 3', '"body": "abc"'] }],
  ['Connection cannot remove Transfer-Encoding', host('Connection: transfer-encoding\r\nTransfer-Encoding: chunked', '0\r\n\r\n'), { has: 'framing chunked' }],
  ['empty options in Connection', host('Connection: ,, keep-alive ,\t, x-a,\r\nX-A: 1'), { has: 'websocket false\\n"' }],
  ['too many options in Connection', host(`Connection: ${'x,'.repeat(65)}`), 'badRequest'],
  ['Connection: close', host('Connection: Close'), { has: 'keep false' }],
  ['Connection: close, keep-alive', host('Connection: keep-alive, close'), { has: 'keep false' }],
  ['an option that only begins with close', host('Connection: closed'), { has: 'keep true' }],
  ['HTTP/1.0 does not stay', 'GET / HTTP/1.0\r\n\r\n', { has: 'keep false' }],
  ['HTTP/1.0 stays when asked', 'GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n', { has: 'keep true' }],
  ['fields of one hop go', host('Keep-Alive: 5\r\nProxy-Connection: keep-alive\r\nTE: gzip\r\nUpgrade: x\r\nProxy-Authorization: y\r\nHTTP2-Settings: z\r\nX: y'), { has: ['trailers false upgrade [] websocket false\\nX: y\\n"'] }],
  ['TE: trailers is remembered', host('TE: gzip;q=0.5, Trailers'), { has: 'trailers true' }],
  ['TE that only looks like trailers', host('TE: trailersx, trailers;q=1'), { has: 'trailers false' }],
  ['Upgrade: h2c with HTTP2-Settings', host('Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__'), { has: 'upgrade [h2c] websocket false\\n"' }],
  ['Upgrade that Connection does not name', host('Upgrade: websocket'), { has: 'upgrade []' }],
  ['two Upgrade lines', host('Connection: upgrade\r\nUpgrade: a\r\nUpgrade: b'), { has: 'upgrade []' }],
  ['Upgrade in HTTP/1.0', 'GET / HTTP/1.0\r\nConnection: upgrade\r\nUpgrade: a\r\n\r\n', { has: 'upgrade []' }],
  ['Expect: 100-continue', host('Expect: 100-Continue\r\nContent-Length: 3'), { has: 'expects true' }],
  ['Expect: 100-continue without a body', host('Expect: 100-continue'), { has: 'expects false trailers false upgrade [] websocket false\\n"' }],
  ...each(['200-ok', '', '100-continue, x', '100-continue;a', '100 continue', '"100-continue"', 'y 100-continue', '100-continue, 100-continue', 'x100-continue'], (v): Row => [`an expectation that cannot be met: ${JSON.stringify(v)}`, host(`Expect: ${v}\r\nContent-Length: 3`), 'expectationFailed']),
  ['Expect twice', host('Expect: 100-continue\r\nExpect: 100-continue\r\nContent-Length: 3'), 'expectationFailed'],
  ['Expect folded', host('Expect:\r\n 100-continue\r\nContent-Length: 3'), 'expectationFailed'],
  ['Expect with a folded line behind', host('Expect: 100-continue\r\n x\r\nContent-Length: 3'), 'badRequest'],
  ['Expect from HTTP/1.0', 'POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\nabc', { has: 'expects false trailers false upgrade [] websocket false\\n"' }],
  ['Expect: nonsense from HTTP/1.0', 'POST / HTTP/1.0\r\nExpect: x\r\nContent-Length: 3\r\n\r\nabc', { has: '"isComplete": true' }],
  ['pipelined requests', get('/1') + get('/2') + get('/3'), { has: ['path [/1]', 'path [/2]', 'path [/3]'] }],
  ...each<[string, string]>([['TLS', '\x16\x03\x01\x02\x00\x01'], ['SSH', 'SSH-2.0-OpenSSH_9.9\r\n'], ['SMTP', 'EHLO mail.example.com\r\n'], ['HELO', 'HELO host.example.com\r\n'], ['NUL', '\x00'], ['0xFF', '\xff\xf4'], ['an HTTP response', 'HTTP/1.1 200 OK\r\n'], ['the HTTP/2 preface', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'], ['PROXY v1', 'PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n'], ['PROXY v2', '\r\n\r\n\x00\r\nQUIT\n'], ['SOCKS', '\x05\x01\x00'], ['Redis', '*1\r\n$4\r\nPING\r\n'], ['JSON', '{"a":1}']],
    ([name, v]): Row => [`another protocol: ${name}`, v, 'badRequest']),
];

const response: TranscriptOptions = { side: 'response' };
const finished: TranscriptOptions = { side: 'response', finish: true };
const answer = (to: number): TranscriptOptions => ({ side: 'response', methods: [to] });

// biome-ignore format: a table reads best as one
const responses: Row[] = [
  ['a response with a length', ok('Content-Length: 3', 'abc'), { has: ['200 [OK]', 'framing length length 3', '"body": "abc"', '"isComplete": true'] }, response],
  ...each(['+3', '3, 3', '3,4', '', 'x', '3 3', '-1', '1000000000000000'], (v): Row => [`a length that is no number: ${JSON.stringify(v)}`, ok(`Content-Length: ${v}`, 'abc'), 'badResponse', response]),
  ['two different lengths', ok('Content-Length: 3\r\nContent-Length: 4', 'abc'), 'badResponse', response],
  ['two equal lengths collapse', ok('Content-Length: 3\r\nContent-Length: 3', 'abc'), { has: 'framing length length 3' }, response],
  ['length and coding', ok('Content-Length: 3\r\nTransfer-Encoding: chunked', '0\r\n\r\n'), 'badResponse', response],
  ['a coding that is not chunked', ok('Transfer-Encoding: gzip'), 'badResponse', response],
  ['a coding before chunked', ok('Transfer-Encoding: gzip, chunked'), 'badResponse', response],
  ['a coding in HTTP/1.0', 'HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n', 'badResponse', response],
  ['chunks', ok('Transfer-Encoding: chunked', '3;x\r\nabc\r\n0\r\n\r\n'), { has: ['"body": "abc"', '"isComplete": true'] }, response],
  ['an error in the chunks', ok('Transfer-Encoding: chunked', '3\nabc'), 'badResponseBody', response],
  ['an error in the trailers', ok('Transfer-Encoding: chunked', '0\r\nA : b\r\n\r\n'), 'badResponseBody', response],
  ['the end inside chunks', ok('Transfer-Encoding: chunked', '3\r\nab'), 'responseIncomplete', finished],
  ['the end before the last chunk', ok('Transfer-Encoding: chunked', '3\r\nabc\r\n'), 'responseIncomplete', finished],
  ['the end short of the length', ok('Content-Length: 3', 'ab'), 'responseIncomplete', finished],
  ['the end inside the head', 'HTTP/1.1 200 OK\r\nA: b', 'responseIncomplete', finished],
  ['the end after an interim response', 'HTTP/1.1 100 Continue\r\n\r\n', 'responseIncomplete', finished],
  ['the end instead of a response', '', 'connectionTerminated', finished],
  ['a body until close', ok('A: b', 'abc'), { has: ['framing untilClose', 'keep false', '"body": "abc"', '"isComplete": true'] }, finished],
  ['a body until close above the limit', ok('A: b', 'abcdef'), 'responseBodyTooLarge', { ...finished, limits: { bodyBytesMax: 5 } }],
  ['a length above the limit', ok('Content-Length: 6', 'abcdef'), 'responseBodyTooLarge', { ...response, limits: { bodyBytesMax: 5 } }],
  ['chunks above the limit', ok('Transfer-Encoding: chunked', '6\r\nabcdef'), 'responseBodyTooLarge', { ...response, limits: { bodyBytesMax: 5 } }],
  ['the answer to HEAD has no body', ok('Content-Length: 3') + ok('Content-Length: 1', 'x'), { has: ['framing none length 3', '"body": "x"'] }, answer(method.HEAD)],
  ['the answer to HEAD may say chunked', ok('Transfer-Encoding: chunked'), { has: 'framing none length -1' }, answer(method.HEAD)],
  ['204 has no body', 'HTTP/1.1 204 No Content\r\n\r\n', { has: ['framing none length -1 keep true', '"isComplete": true'] }, response],
  ['204 with Content-Length: 0', 'HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n', { has: 'framing none length -1 keep true' }, response],
  ['204 with a length is not trusted further', 'HTTP/1.1 204 No Content\r\nContent-Length: 3\r\n\r\n', { has: 'framing none length -1 keep false' }, response],
  ['204 with a coding', 'HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n', 'badResponse', response],
  ['204 to HEAD with a coding', 'HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n', 'badResponse', answer(method.HEAD)],
  ['304 has no body', 'HTTP/1.1 304 Not Modified\r\nContent-Length: 3\r\n\r\n', { has: ['framing none length 3 keep true', '"isComplete": true'] }, response],
  ['bytes after a response without a body', 'HTTP/1.1 304 Not Modified\r\n\r\nabc', 'badResponse', response],
  ['103, 102 and 100 before the final one', 'HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n' + ok('Content-Length: 0'), { has: ['103 [Early Hints]', '102 [Processing]', '100 [Continue]', '"head": "200 [OK]', '"isComplete": true'] }, response],
  ['16 interim responses', 'HTTP/1.1 103 E\r\n\r\n'.repeat(16) + ok('Content-Length: 0'), { has: '"isComplete": true' }, response],
  ['17 interim responses', 'HTTP/1.1 103 E\r\n\r\n'.repeat(17) + ok('Content-Length: 0'), 'badResponse', response],
  ['an interim response with a length', 'HTTP/1.1 103 E\r\nContent-Length: 3\r\n\r\n', 'badResponse', response],
  ['an interim response with a coding', 'HTTP/1.1 103 E\r\nTransfer-Encoding: chunked\r\n\r\n', 'badResponse', response],
  ['101 is a tunnel', 'HTTP/1.1 101 Switching\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n\x00\x01HTTP/1.1', { has: ['framing tunnel', 'upgrade [websocket]', '"body": "\\u0000\\u0001HTTP/1.1"', '"isComplete": true'] }, finished],
  ['2xx to CONNECT is a tunnel, whatever it says', ok('Content-Length: 1', 'abc'), { has: ['framing tunnel length -1', '"body": "abc"'] }, answer(method.CONNECT)],
  ['407 to CONNECT is none', 'HTTP/1.1 407 No\r\nContent-Length: 1\r\nProxy-Authenticate: x\r\n\r\na', { has: ['framing length length 1', 'websocket false\\n"'] }, answer(method.CONNECT)],
  ...each(['HTTP/1.1 20 OK', 'HTTP/1.1 2 OK', 'HTTP/1.1 099 OK', 'HTTP/1.1 000 OK', 'HTTP/1.1 2000 OK', 'HTTP/2.0 200 OK', 'HTTP/2 200 OK', 'HTTP/0.9 200 OK', 'HTTP/1.01 200 OK', 'HTTP/01.1 200 OK', 'http/1.1 200 OK', 'ICY 200 OK', 'HTTP/1.1  200 OK', 'HTTP/1.1\t200 OK', 'HTTP/1.1 200\tOK', 'HTTP/1.1200 OK', 'HTTP/1.1', 'HTTP/1.1 ', 'HTTP/1.1 OK', 'HTTP/1.1 2x0 OK', 'HTTP/1.1 -20 OK', 'HTTP/1.1 200 O\x00K', 'HTTP/1.1 200 O\x7fK', 'HTTP/1.1 200 O\rK', 'HTTP/1.1 200 OK\n', 'HTTP/1.1 200 OK\r', ' HTTP/1.1 200 OK', '\r\nHTTP/1.1 200 OK', 'GET / HTTP/1.1', '\x15\x03\x01', '<html>', 'HTTP/1.1 200\x0bOK', 'HTTP/1.1 200OK'],
    (v): Row => [`a status line in the wrong shape: ${JSON.stringify(v)}`, `${v}\r\nContent-Length: 0\r\n\r\n`, 'badResponse', response]),
  ...each(['HTTP/1.1 200 ', 'HTTP/1.1 200', 'HTTP/1.1 200 OK then', 'HTTP/1.1 200  OK', 'HTTP/1.1 200 \xe4\t', 'HTTP/1.1 999 X', 'HTTP/1.0 200 OK', 'HTTP/1.2 200 OK', 'HTTP/1.9 200 OK'], (v): Row => [`a status line that will do: ${v}`, `${v}\r\nContent-Length: 0\r\n\r\n`, { has: '"isComplete": true' }, response]),
  ...each(['A\x00: b', 'A: \x00', 'A: b\rc', 'A: b\nC: d', 'A : b', ' A: b', 'A: b\r\n c', 'A', ': b', 'A B: c', 'A: \x01', 'A: \x7f', 'A\xe4: b'], (v): Row => [`a field line in the wrong shape: ${JSON.stringify(v)}`, ok(`${v}\r\nContent-Length: 0`), 'badResponse', response]),
  ['a head above the limit', `HTTP/1.1 200 OK\r\nA: ${'a'.repeat(50)}\r\nA: ${'a'.repeat(50)}`, 'responseHeadTooLarge', { ...response, ...small }],
  ['too many fields', ok('A: b\r\nA: b\r\nA: b\r\nA: b\r\nA: b'), 'responseHeadTooLarge', { ...response, ...small }],
  ['a field above the limit', ok(`A: ${'a'.repeat(58)}`), 'responseHeaderTooLarge', { ...response, ...small }],
  ['Set-Cookie lines stay apart', ok('Set-Cookie: a=b\r\nSet-Cookie: c=d\r\nContent-Length: 0'), { has: 'Set-Cookie: a=b\\nSet-Cookie: c=d\\n' }, response],
  ['underscores in the names of a response stay', ok('DCLK_imp: a\r\nContent-Length: 0'), { has: 'DCLK_imp: a' }, { ...response, limits: { underscores: 'reject' } }],
  ['fields of one hop go', ok('Connection: close, X-A\r\nX-A: b\r\nKeep-Alive: timeout=5\r\nUpgrade: h2\r\nProxy-Authenticate: x\r\nContent-Length: 0'), { has: ['keep false', 'websocket false\\n"'] }, response],
  ['a response may name a Host', ok('Host: x\r\nHost: y z\r\nContent-Length: 0'), { has: 'Host: x\\nHost: y z\\n' }, response],
];

const key = 'dGhlIHNhbXBsZSBub25jZQ==';
function opening(over: Record<string, string | null> = {}, start = 'GET /chat HTTP/1.1'): string {
  const lines: Record<string, string | null> = {
    Host: 'h',
    Connection: 'keep-alive, Upgrade',
    Upgrade: 'WebSocket',
    'Sec-WebSocket-Version': '13',
    'Sec-WebSocket-Key': key,
    ...over,
  };
  const text = Object.entries(lines).map(([name, value]) => (value === null ? '' : `${name}: ${value}\r\n`));
  return `${start}\r\n${text.join('')}\r\n`;
}

// biome-ignore format: a table reads best as one
const webSockets: Row[] = [
  ['a WebSocket opening', opening(), { has: ['upgrade [WebSocket] websocket true', `Sec-WebSocket-Key: ${key}`] }],
  ...each<[string, string]>([
    ['POST', opening({}, 'POST /chat HTTP/1.1')], ['HTTP/1.0', opening({}, 'GET /chat HTTP/1.0')], ['no Upgrade', opening({ Upgrade: null })], ['another Upgrade', opening({ Upgrade: 'h2c' })],
    ['no Connection', opening({ Connection: null })], ['Connection without upgrade', opening({ Connection: 'keep-alive' })], ['version 8', opening({ 'Sec-WebSocket-Version': '8' })], ['no version', opening({ 'Sec-WebSocket-Version': null })],
    ['two versions', opening({ 'sec-websocket-version': '13' })], ['a list of versions', opening({ 'Sec-WebSocket-Version': '13, 8' })], ['no key', opening({ 'Sec-WebSocket-Key': null })], ['an empty key', opening({ 'Sec-WebSocket-Key': '' })], ['two keys', opening({ 'sec-websocket-key': key })],
    ['a key of 15 bytes', opening({ 'Sec-WebSocket-Key': 'AAAAAAAAAAAAAAAAAAAA' })], ['a key of 17 bytes', opening({ 'Sec-WebSocket-Key': 'AAAAAAAAAAAAAAAAAAAAAAA=' })], ['a key with a foreign byte', opening({ 'Sec-WebSocket-Key': 'dGhlIHNhbXBsZSBub25jZ-==' })],
    ['a key with stray bits', opening({ 'Sec-WebSocket-Key': 'dGhlIHNhbXBsZSBub25jZR==' })], ['a key named in Connection', opening({ Connection: 'Upgrade, Sec-WebSocket-Key' })], ['a body', opening({ 'Content-Length': '1' })]],
    ([name, v]): Row => [`no WebSocket opening: ${name}`, v, { has: 'websocket false' }]),
];

const tables = {
  framing,
  chunks,
  'request line': requestLine,
  Host: hosts,
  fields,
  'one hop': hop,
  response: responses,
  WebSocket: webSockets,
};

for (const [table, rows] of Object.entries(tables)) {
  for (const [name, text, expected, options = {}] of rows) {
    test(`${table}: ${name}`, () => {
      const input = bytesOf(text);
      const whole = transcribe(input, options);
      if (typeof expected === 'string') {
        assert.equal(whole.fault, expected, whole.text);
        assert.notEqual(whole.detail, '');
      } else {
        assert.equal(whole.fault, '', `${whole.detail} at ${whole.offset}`);
        for (const part of [expected.has].flat()) assert.ok(whole.text.includes(part), `${part} missing in ${whole.text}`);
      }
      for (let cut = 1; cut < input.length; cut++) {
        assert.equal(transcribe(input, { ...options, cuts: [cut] }).text, whole.text, `cut at ${cut}`);
      }
      const bytewise = transcribe(input, { ...options, cuts: Array.from(input, () => 1) });
      assert.equal(bytewise.text, whole.text, 'byte by byte');
    });
  }
}
