import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readEndpoint, readListen, readRange } from './address.ts';
import { readHost, readPath, readTextMatch } from './patterns.ts';
import { editDistance, nearest, suggest } from './suggest.ts';
import {
  burstOf,
  durationText,
  type Read,
  rateHelp,
  readByteRate,
  readDuration,
  readPercent,
  readRate,
  readSize,
} from './units.ts';

/** Each valid value has neighbours that are just invalid: null. */
function table<T>(name: string, read: (text: string) => Read<T>, rows: [text: string, value: unknown][]): void {
  for (const [text, value] of rows) {
    test(`${name} ${JSON.stringify(text)} is ${value === null ? 'refused' : 'read'}`, () => {
      const result = read(text);
      if (value === null) assert.equal(result.ok, false, JSON.stringify(result));
      else assert.deepEqual(result, { ok: true, value });
    });
  }
}

table('duration', readDuration, [
  ['500ms', 500],
  ['5s', 5000],
  ['1.5s', 1500],
  ['1m30s', 90_000],
  ['2h', 7_200_000],
  ['1d', 86_400_000],
  ['0s', 0],
  ['5', null],
  ['s', null],
  ['', null],
  ['5 s', null],
  ['-5s', null],
  ['30s1m', null],
  ['1s1s', null],
  ['5S', null],
  ['25d', null],
  ['1e3s', null],
]);
table('size', readSize, [
  ['0B', 0],
  ['512B', 512],
  ['32KiB', 32_768],
  ['1.5KiB', 1536],
  ['1MB', 1_000_000],
  ['2GiB', 2 ** 31],
  ['32', null],
  ['32k', null],
  ['32 KiB', null],
  ['-1B', null],
  ['99999999GiB', null],
]);
table('share', readPercent, [
  ['20%', 0.2],
  ['0%', 0],
  ['100%', 1],
  ['0.5%', 0.005],
  ['101%', null],
  ['20', null],
  ['-1%', null],
]);
table('rate', readByteRate, [
  ['240B/s', 240],
  ['1KiB/s', 1024],
  ['60B/m', 1],
  ['240', null],
  ['240B', null],
  ['240/s', null],
]);
table('rate of requests', readRate, [
  ['100/s', { requests: 100, windowMs: 1000 }],
  ['10/m', { requests: 10, windowMs: 60_000 }],
  ['1000/h', { requests: 1000, windowMs: 3_600_000 }],
  ['0/s', null],
  ['100', null],
  ['1.5/s', null],
  ['100/d', null],
  ['100/S', null],
  ['-1/s', null],
  ['1/s ', null],
]);
table('listening address', readListen, [
  [':8080', { kind: 'ip', host: '::', port: 8080 }],
  ['*:80', { kind: 'ip', host: '::', port: 80 }],
  ['127.0.0.1:0', { kind: 'ip', host: '127.0.0.1', port: 0 }],
  ['[::1]:80', { kind: 'ip', host: '::1', port: 80 }],
  ['[2001:DB8::0]:80', { kind: 'ip', host: '2001:db8::', port: 80 }],
  ['localhost:80', { kind: 'ip', host: '127.0.0.1', port: 80 }],
  ['unix:/run/w.sock', { kind: 'unix', path: '/run/w.sock' }],
  ['8080', null],
  [':65536', null],
  ['::1:80', null],
  ['[127.0.0.1]:80', null],
  ['shop.example:80', null],
  ['1.2.3:80', null],
  ['unix:', null],
  ['[]:80', null],
  [`unix:/${'a'.repeat(107)}`, null],
]);
table('endpoint', readEndpoint, [
  ['10.0.0.1:80', { text: '10.0.0.1:80', resolved: { kind: 'ip', host: '10.0.0.1', port: 80 } }],
  ['[::1]:80', { text: '[::1]:80', resolved: { kind: 'ip', host: '::1', port: 80 } }],
  ['App.Internal:80', { text: 'app.internal:80', resolved: null }],
  ['localhost:80', { text: 'localhost:80', resolved: { kind: 'ip', host: '127.0.0.1', port: 80 } }],
  ['unix:/run/a.sock', { text: 'unix:/run/a.sock', resolved: { kind: 'unix', path: '/run/a.sock' } }],
  ['10.0.0.1', null],
  ['10.0.0.1:0', null],
  ['10.0.0.256:80', null],
  ['http://a:80', null],
  [':80', null],
  ['a b:80', null],
  ['-a:80', null],
]);
table('range', readRange, [
  ['10.0.0.0/8', [{ bytes: [10, 0, 0, 0], bits: 8 }]],
  ['192.0.2.1', [{ bytes: [192, 0, 2, 1], bits: 32 }]],
  ['2001:db8::/32', [{ bytes: [32, 1, 13, 184, ...Array(12).fill(0)], bits: 32 }]],
  [
    'all',
    [
      { bytes: [0, 0, 0, 0], bits: 0 },
      { bytes: Array(16).fill(0), bits: 0 },
    ],
  ],
  ['10.0.0.1/8', null],
  ['10.0.0.0/33', null],
  ['10.0.0.0/', null],
  ['10.0.0.0:80', null],
  ['010.0.0.0/8', null],
  ['public', null],
]);
table('host', readHost, [
  ['Shop.Example', { value: 'shop.example', wildcard: false }],
  ['*.shop.example', { value: 'shop.example', wildcard: true }],
  ['192.0.2.1', { value: '192.0.2.1', wildcard: false }],
  ['shop.example:80', null],
  ['a.*.example', null],
  ['*shop.example', null],
  ['', null],
  ['a/b', null],
  ['b\u00fccher.example', null],
  ['http://a.example', null],
]);
table('path', readPath, [
  ['/', { kind: 'exact', value: '/' }],
  ['/a', { kind: 'exact', value: '/a' }],
  ['/a/*', { kind: 'prefix', value: '/a' }],
  ['/*', { kind: 'any' }],
  ['/a/{id}/b', { kind: 'segments', segments: ['a', '*', 'b'], rest: false }],
  ['/a/*/b/*', { kind: 'segments', segments: ['a', '*', 'b'], rest: true }],
  ['~/v[0-9]+', { kind: 'regex', value: '/v[0-9]+' }],
  ['a', null],
  ['/a*', null],
  ['/a?b', null],
  ['/a#b', null],
  ['/a b', null],
  ['/a/../b', null],
  ['/{a', null],
  ['/{a}b', null],
  ['~(', null],
  ['', null],
]);
table('value', readTextMatch, [
  ['*', { kind: 'present' }],
  ['a*', { kind: 'prefix', value: 'a' }],
  ['*a', { kind: 'glob', value: '*a' }],
  ['a', { kind: 'exact', value: 'a' }],
  ['~a+', { kind: 'regex', value: 'a+' }],
  ['a\nb', null],
  ['~(a+)+b', null],
]);

test('ms are written as people write them, and read back', () => {
  for (const ms of [0, 1, 999, 1000, 90_000, 3_600_000, 5_025_678])
    assert.deepEqual(readDuration(durationText(ms)), { ok: true, value: ms });
  assert.equal(durationText(90_000), '1m30s');
});

test('what is meant by a rate in other words is proposed, and nothing for what is no rate', () => {
  const help = (value: unknown) => rateHelp(value)?.replace(/^did you mean (.*)\?$/, '$1') ?? null;
  assert.deepEqual(
    [100, '100', '10r/m', '10 req/s', '5rps', '100 per hour', '0.5/s', '0.01/s', '0.0001/h', 'fast', '1/day', true].map(help),
    ['100/s', '100/s', '10/m', '10/s', '5/s', '100/h', '30/m', '36/h', null, null, null, null],
  );
});

test('a rate without a burst lets come at once what comes in a second, and always one', () => {
  const bursts = ['100/s', '90/m', '10/m', '1/h']
    .map((text) => readRate(text))
    .map((read) => (read.ok ? burstOf(read.value) : 0));
  assert.deepEqual(bursts, [100, 2, 1, 1]);
});

test('edit distance counts inserts, deletes, replacements and swaps', () => {
  assert.deepEqual(
    [
      ['', 'abc'],
      ['abc', 'abc'],
      ['adress', 'address'],
      ['protocl', 'protocol'],
      ['lisetn', 'listen'],
      ['kitten', 'sitting'],
    ].map(([a, b]) => editDistance(a, b)),
    [3, 0, 1, 1, 1, 3],
  );
});

test('a suggestion is near, ignores case and signs, and nothing is suggested for what is far', () => {
  assert.equal(nearest('healthCheckk', ['healthCheck', 'listen']), 'healthCheck');
  assert.equal(nearest('keep_alive', ['keepAlive']), 'keepAlive');
  assert.equal(nearest('banana', ['listen', 'to', 'path']), null);
  assert.equal(nearest('ab', ['to']), null);
  assert.equal(suggest('servers', ['endpoints', 'health']), 'endpoints');
  assert.equal(suggest('servers', ['health']), null);
});
