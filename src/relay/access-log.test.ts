import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { fault, faults } from '../base/faults.ts';
import { fieldIdOf, Head, method } from '../base/head.ts';
import type { TlsFacts } from '../base/tls-facts.ts';
import { stickyResult } from '../state/doors.ts';
import type { AccessLogPlan } from '../state/plan.ts';
import { isSampled, LINE_BYTES_MAX, LineWriter, type LogFormat, LogRecord, NO_ROOM } from './access-log.ts';

const TIME_MS = Date.UTC(2026, 10, 24, 4, 12, 13) + 482.113;

const tls: TlsFacts = {
  version: '1.3',
  cipher: 'TLS_AES_256_GCM_SHA384',
  serverName: 'shop.example',
  alpn: 'h2',
  isResumed: false,
};

/** Puts these bytes into the record as the given parts of the request. */
function withBytes(
  r: LogRecord,
  parts: Partial<Record<'method' | 'host' | 'path' | 'query' | 'userAgent' | 'referer', Uint8Array | string>>,
): LogRecord {
  const all: Record<string, Uint8Array> = {};
  for (const [name, part] of Object.entries(parts))
    all[name] = typeof part === 'string' ? new Uint8Array(Buffer.from(part, 'latin1')) : part;
  r.bytes = new Uint8Array(7 + Object.values(all).reduce((sum, b) => sum + b.length, 0));
  let at = 7;
  const numbers = r as unknown as Record<string, number>;
  for (const [name, part] of Object.entries(all)) {
    r.bytes.set(part, at);
    numbers[`${name}Start`] = at;
    at += part.length;
    numbers[`${name}End`] = at;
  }
  return r;
}
function sample(): LogRecord {
  const r = new LogRecord();
  Object.assign(r, {
    timeMs: TIME_MS,
    id: '01JD',
    listener: 'secure',
    route: 'login',
    pool: 'web',
    endpoint: '10.0.1.11:8080',
    client: '203.0.113.9:51234',
  });
  Object.assign(r, {
    peer: '203.0.113.9:51234',
    epoch: 14,
    method: method.POST,
    status: 200,
    upstreamStatus: 200,
    bytesIn: 512,
    bytesOut: 20480,
    totalMs: 12.345,
  });
  return withBytes(r, { host: 'shop.example', path: '/login' });
}
function lineOf(r: LogRecord, format: LogFormat = 'json', redact: string[] = []): string {
  const bytes = new Uint8Array(LINE_BYTES_MAX + 10).fill(1);
  const end = new LineWriter(format, redact, 'lb-a', 3).write(r, bytes, 5, bytes.length);
  assert.ok(end > 5);
  assert.deepEqual([...bytes.subarray(0, 5)], [1, 1, 1, 1, 1]);
  assert.equal(bytes[end], 1);
  const text = Buffer.from(bytes.subarray(5, end)).toString('latin1');
  assert.match(text, /^[ -~]*\n$/, 'one line of printable ASCII');
  return text.slice(0, -1);
}
const jsonOf = (r: LogRecord, redact: string[] = []): Record<string, unknown> => JSON.parse(lineOf(r, 'json', redact));

test('a JSON line has its keys in order and nothing that is empty', () => {
  assert.equal(
    lineOf(sample()),
    '{"time":"2026-11-24T04:12:13.482113Z","id":"01JD","node":"lb-a","worker":3,"epoch":14,"listener":"secure","route":"login","pool":"web",' +
      '"endpoint":"10.0.1.11:8080","client":"203.0.113.9:51234","protocol":"http/1.1","method":"POST","host":"shop.example","path":"/login",' +
      '"status":200,"in":512,"out":20480,"t_total":0.012345}',
  );
});

test('every field has its place', () => {
  const r = Object.assign(sample(), { tls, serverName: tls.serverName });
  r.peer = '10.0.0.9:1';
  r.protocol = 1;
  r.upstreamStatus = 503;
  withBytes(r, { host: 'h', path: '/p', query: 'a=1', userAgent: 'curl/8', referer: 'http://r/' });
  Object.assign(r, {
    idleMs: 1,
    headMs: 2,
    filterMs: 3,
    queueMs: 0,
    connectMs: 4,
    firstMs: 5,
    bodyMs: 6,
    totalMs: 7000,
    overheadMs: 0.21,
  });
  Object.assign(r, {
    faultId: fault.connectionRefused,
    isReused: true,
    sticky: stickyResult.moved,
    queueLength: 0,
    inFlight: 112,
    limit: 'api:allowed',
  });
  r.addAttempt('10.0.1.12:8080', fault.connectionTimeout, 1.5);
  r.addAttempt('', fault.responseTimeout, 2);
  const line = jsonOf(r);
  assert.deepEqual(Object.keys(line), [
    ...[
      'time',
      'id',
      'node',
      'worker',
      'epoch',
      'listener',
      'route',
      'pool',
      'endpoint',
      'client',
      'peer',
      'protocol',
      'tls',
      'cipher',
      'alpn',
      'sni',
      'method',
      'host',
      'path',
      'query',
    ],
    ...[
      'status',
      'upstream_status',
      'in',
      'out',
      't_idle',
      't_head',
      't_filter',
      't_queue',
      't_connect',
      't_first',
      't_body',
      't_total',
      'overhead',
    ],
    ...['attempts', 'reused', 'sticky', 'limit', 'fault', 'queue_len', 'in_flight', 'user_agent', 'referer'],
  ]);
  assert.deepEqual([line['tls'], line['cipher'], line['alpn'], line['sni']], [tls.version, tls.cipher, tls.alpn, tls.serverName]);
  assert.deepEqual(line['attempts'], [
    { endpoint: '10.0.1.12:8080', reason: 'connection_timeout', t: 0.0015 },
    { endpoint: '', reason: 'http_response_timeout', t: 0.002 },
  ]);
  assert.deepEqual(line['fault'], { origin: 'endpoint', phase: 'connect', reason: 'connection_refused' });
  assert.deepEqual(
    [line['t_idle'], line['t_queue'], line['t_total'], line['overhead'], line['queue_len']],
    [0.001, 0, 7, 0.00021, 0],
  );
});

test('of TLS without a name and an agreed protocol there is only what there is', () => {
  const line = jsonOf(Object.assign(sample(), { tls: { ...tls, alpn: '' } }));
  assert.deepEqual([line['tls'], line['alpn'], line['sni']], [tls.version, undefined, undefined]);
});

test('of TLS that was not opened there is the name that was asked for', () => {
  const line = jsonOf(Object.assign(sample(), { serverName: 'a"b.example' }));
  assert.deepEqual([line['tls'], line['cipher'], line['alpn'], line['sni']], [undefined, undefined, undefined, 'a"b.example']);
});

test('a reset record gives the line of a new one', () => {
  const r = sample();
  r.addAttempt('x', fault.connectionRefused, 1);
  Object.assign(r, {
    faultId: 1,
    isReused: true,
    sticky: 2,
    inFlight: 3,
    limit: 'a:limited',
    protocol: 1,
    tls,
    serverName: 'reset.example',
    version: 10,
    idleMs: 5,
  });
  withBytes(r, { method: 'X', host: 'h', path: '/p', query: 'q', userAgent: 'u', referer: 'r' });
  r.reset();
  assert.deepEqual(
    r,
    Object.assign(new LogRecord(), { attemptEndpoint: r.attemptEndpoint, attemptFault: r.attemptFault, attemptMs: r.attemptMs }),
  );
});

test('whatever bytes a client sends, the line is JSON and gives them back', () => {
  const bytes = (maxLength: number) => fc.uint8Array({ maxLength });
  const name = fc.string({ unit: 'binary', maxLength: 20 });
  fc.assert(
    fc.property(bytes(80), bytes(300), bytes(300), bytes(80), name, name, (host, path, query, agent, route, endpoint) => {
      const r = withBytes(sample(), { method: 'M', host, path, query, userAgent: agent });
      r.method = method.OTHER;
      r.route = route;
      r.endpoint = endpoint;
      r.addAttempt(endpoint, 1, 0);
      const line = jsonOf(r);
      const latin1 = (b: Uint8Array) => (b.length === 0 ? undefined : Buffer.from(b).toString('latin1'));
      assert.deepEqual([line['host'], line['path'], line['query'], line['user_agent']], [host, path, query, agent].map(latin1));
      assert.deepEqual([line['route'], line['endpoint']], [route || undefined, endpoint || undefined]);
      assert.equal((line['attempts'] as { endpoint: string }[])[0]!.endpoint, endpoint);
      for (const format of ['combined', 'common', 'httplog'] as const) lineOf(r, format);
    }),
    { numRuns: 200, seed: 51 },
  );
});

test('times keep their µs and lose their zeros', () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 4_000_000_000 }), (micros) => {
      const r = sample();
      r.totalMs = micros / 1000;
      const text = /"t_total":([0-9.]+)/.exec(lineOf(r))![1]!;
      assert.equal(Number(text), micros / 1e6);
      assert.equal(text, String(micros / 1e6).includes('e') ? (micros / 1e6).toFixed(6) : String(micros / 1e6));
    }),
    { numRuns: 500, seed: 52 },
  );
});

test('a time that is none is left out', () => {
  for (const ms of [-1, NaN, Infinity, -Infinity]) {
    const r = Object.assign(sample(), { totalMs: ms, headMs: ms });
    assert.equal(jsonOf(r)['t_total'], undefined);
    assert.match(lineOf(r, 'httplog'), / -1\/-1\/-1\/-1\/-1 200 /);
  }
});

test('the time of day is right across seconds, back and forth', () => {
  const writer = new LineWriter('json', [], '', 0);
  const bytes = new Uint8Array(LINE_BYTES_MAX);
  for (const ms of [TIME_MS, TIME_MS + 1, TIME_MS + 600, TIME_MS - 5000, 0, 951782400000.999]) {
    const r = sample();
    r.timeMs = ms;
    const end = writer.write(r, bytes, 0, bytes.length);
    const { time } = JSON.parse(Buffer.from(bytes.subarray(0, end)).toString());
    assert.equal(time.slice(0, 23), new Date(ms).toISOString().slice(0, 23));
    assert.match(time, /^.{19}\.\d{6}Z$/);
  }
});

test('the longest line fits its promise, and is never written where it might not fit', () => {
  const r = sample();
  const long = new Uint8Array(70_000).fill(255);
  withBytes(r, { method: long, host: long, path: long, query: long, userAgent: long, referer: long });
  r.method = 0;
  const name = 'ü'.repeat(5000);
  Object.assign(r, { id: name, listener: name, route: name, pool: name, endpoint: name, client: name, peer: name + 'x' });
  for (let i = 0; i < 20; i++) r.addAttempt(name, fault.responseHeadTooLarge, 123456.789);
  for (const key of [
    'idleMs',
    'headMs',
    'filterMs',
    'queueMs',
    'connectMs',
    'firstMs',
    'bodyMs',
    'totalMs',
    'overheadMs',
  ] as const)
    r[key] = 86400123.456789;
  Object.assign(r, {
    bytesIn: 2 ** 53 - 1,
    bytesOut: 2 ** 53 - 1,
    epoch: 2 ** 32,
    status: 502,
    upstreamStatus: 503,
    faultId: fault.responseHeadTooLarge,
  });
  Object.assign(r, { isReused: true, sticky: stickyResult.moved, queueLength: 99999, inFlight: 99999 });
  r.tls = { ...tls, cipher: 'TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256', alpn: name };
  r.serverName = name;
  assert.ok(LINE_BYTES_MAX <= 16 * 1024);
  for (const format of ['json', 'combined', 'common', 'httplog'] as const) {
    const bytes = new Uint8Array(LINE_BYTES_MAX + 1).fill(1);
    const writer = new LineWriter(format, ['x'], 'ü'.repeat(300), 65535);
    const end = writer.write(r, bytes, 0, LINE_BYTES_MAX);
    assert.ok(end > 0 && end <= LINE_BYTES_MAX, `${format}: ${end}`);
    if (format === 'json') JSON.parse(Buffer.from(bytes.subarray(0, end)).toString());
    for (let room = 0; room < LINE_BYTES_MAX; room += 397) {
      bytes.fill(1);
      const at = writer.write(r, bytes, 0, room);
      assert.ok(at === NO_ROOM || at <= room);
      assert.equal(bytes[room], 1);
    }
  }
});

test('an ordinary line needs little room', () => {
  const bytes = new Uint8Array(4096);
  assert.ok(new LineWriter('json', [], 'lb-a', 3).write(sample(), bytes, 0, 2048) > 0);
});

test('values of redacted parameters are hidden however their names are spelt', () => {
  const hidden = (query: string) => jsonOf(withBytes(sample(), { path: '/', query }), ['token', 'sid'])['query'];
  assert.equal(hidden('token=secret'), 'token=***');
  assert.equal(hidden('a=1&TOKEN=secret&b=2'), 'a=1&TOKEN=***&b=2');
  assert.equal(hidden('t%6Fken=secret&sid=&x'), 't%6Fken=***&sid=***&x');
  assert.equal(hidden('token=a=b&token=c'), 'token=***&token=***');
  assert.equal(hidden('tokens=1&atoken=2&token&toke=3&=4&&'), 'tokens=1&atoken=2&token&toke=3&=4&&');
  assert.ok(lineOf(withBytes(sample(), { path: '/', query: 'token=s' }), 'combined', ['token']).includes('/?token=*** HTTP/1.1'));
});

test('combined and common are Apache’s', () => {
  const r = withBytes(sample(), { path: '/a', query: 'b="', referer: 'http://r/\x00"\\', userAgent: 'ü' });
  const common = '203.0.113.9 - - [24/Nov/2026:04:12:13 +0000] "POST /a?b=\\" HTTP/1.1" 200 20480';
  assert.equal(lineOf(r, 'common'), common);
  assert.equal(lineOf(r, 'combined'), `${common} "http://r/\\x00\\"\\\\" "\\xfc"`);
  const bare = new LogRecord();
  Object.assign(bare, { timeMs: TIME_MS, client: '[2001:db8::1]:5', status: 408 });
  assert.equal(lineOf(bare, 'combined'), '2001:db8::1 - - [24/Nov/2026:04:12:13 +0000] "-" 408 - "-" "-"');
  bare.client = '2001:db8::1';
  assert.ok(lineOf(bare, 'common').startsWith('2001:db8::1 - - ['));
  bare.client = 'unix:';
  assert.ok(lineOf(bare, 'common').startsWith('unix: - - ['));
});

test('httplog has HAProxy’s columns', () => {
  const r = sample();
  Object.assign(r, { headMs: 1, connectMs: 2, firstMs: 30, inFlight: 4 });
  assert.equal(
    lineOf(r, 'httplog'),
    '203.0.113.9:51234 [24/Nov/2026:04:12:13.482] secure web/10.0.1.11:8080 1/-1/2/30/12 200 20480 - - ---- -/-/4/-/0 -/0 "POST /login HTTP/1.1"',
  );
  Object.assign(r, { endpoint: '', pool: '', faultId: fault.destinationNotFound, status: 404 });
  assert.match(lineOf(r, 'httplog'), / secure secure\/<NOSRV> .* 404 20480 - - PR-- /);
  for (const { id } of faults) {
    r.faultId = id;
    assert.match(lineOf(r, 'httplog'), / - - [-CSPcs][-RQCHD]-- /);
  }
});

test('a record takes the ranges of a head where they stand', () => {
  const head = new Head(new Uint8Array(4096), 10);
  head.base = 50;
  head.room = 2000;
  head.write('BREW');
  head.methodEnd = 4;
  head.setPath('/pot');
  head.setAuthority('h.test');
  head.queryStart = head.used;
  head.write('q');
  head.queryEnd = head.used;
  for (const [name, value] of [
    ['referer', 'r'],
    ['User-Agent', 'u'],
  ] as const)
    head.append(fieldIdOf(name.toLowerCase()), name, value);
  const r = sample();
  r.setHead(head, true);
  const expected = { method: 'BREW', host: 'h.test', path: '/pot', query: 'q', user_agent: 'u', referer: 'r' };
  const parts = (line: Record<string, unknown>) => Object.fromEntries(Object.keys(expected).map((key) => [key, line[key]]));
  assert.deepEqual(parts(jsonOf(r)), expected);
});

test('faults, server errors and slow exchanges are always sampled, others by their share', () => {
  const plan: AccessLogPlan = { to: 'stdout', format: 'json', redactQuery: [], sampleOk: 0.1, slowMs: 1000 };
  const r = sample();
  assert.equal(isSampled(plan, r, 0), true);
  assert.equal(isSampled(plan, r, Math.floor(0.0999 * 2 ** 32)), true);
  assert.equal(isSampled(plan, r, Math.ceil(0.1001 * 2 ** 32)), false);
  assert.equal(isSampled({ ...plan, sampleOk: 1 }, r, 0xffffffff), true);
  assert.equal(isSampled({ ...plan, sampleOk: 0 }, r, 0), false);
  const never = 0xffffffff;
  assert.equal(isSampled(plan, Object.assign(sample(), { faultId: 1 }), never), true);
  assert.equal(isSampled(plan, Object.assign(sample(), { status: 500 }), never), true);
  assert.equal(isSampled(plan, Object.assign(sample(), { status: 0 }), never), true);
  assert.equal(isSampled(plan, Object.assign(sample(), { status: 404 }), never), false);
  assert.equal(isSampled(plan, Object.assign(sample(), { totalMs: 1000 }), never), true);
  assert.equal(isSampled(plan, Object.assign(sample(), { totalMs: 999.9 }), never), false);
  assert.equal(isSampled({ ...plan, slowMs: 0 }, Object.assign(sample(), { totalMs: 1e6 }), never), false);
});
