import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fault } from '../base/faults.ts';
import { method } from '../base/head.ts';
import { RequestFacts } from '../filter/filter.ts';
import { LogRecord } from './log-record.ts';
import { type Finished, RECENT_MAX, Recorder, SLOW_MS } from './recorder.ts';
import { Trail, tryKind } from './trail.ts';

/** Wall clock minus monotonic clock. */
const WALL = 1_795_000_000_000;
const NOW = 100_000;

interface Options {
  id?: string;
  host?: string;
  path?: string;
  status?: number;
  faultId?: number;
  detail?: string;
  /** ms until the head of the answer. */
  takesMs?: number;
  tries?: readonly (readonly [slot: number, faultId: number, status: number])[];
}

/** A finished exchange. */
function finished(options: Options = {}): Finished {
  const { id = 'w-1a', host = 'shop.example', path = '/cart', status = 200, faultId = 0, detail = '', takesMs = 5 } = options;
  const { tries = [[3, 0, 200]] } = options;
  const facts = new RequestFacts();
  facts.id = id;
  facts.peerIsTrusted = id !== 'w-1a';
  facts.client = '192.0.2.7';
  facts.clientPort = 4711;
  facts.limit = 'api:allowed';
  const record = new LogRecord();
  record.bytes = Buffer.from(`##${host}${path}?token=secret`, 'latin1');
  record.hostStart = 2;
  record.hostEnd = record.pathStart = 2 + host.length;
  record.pathEnd = record.pathStart + path.length;
  const trail = new Trail();
  const startedMs = NOW;
  tries.forEach(([slot, itsFault, itsStatus], i) => {
    trail.begin(slot, startedMs + 1 + i, 4, 9, tryKind.ordinary);
    trail.end(slot, itsFault, itsStatus, startedMs + 2 + i);
  });
  return {
    facts,
    record,
    trail,
    key: -2,
    sticky: -1,
    queuedMs: 0,
    wasQueued: false,
    fallbacks: 0,
    number: 46,
    runtime: { plan: { epoch: 7 } },
    listener: { plan: { id: 1 } },
    head: { method: method.POST },
    route: { plan: { id: 2 } },
    pool: { plan: { id: 5 } },
    protocol: 0,
    status,
    upstreamStatus: status,
    faultId,
    detail,
    isReused: true,
    isTunnel: false,
    startedMs,
    beganMs: startedMs + 0.5,
    sentMs: startedMs + 1.5,
    headMs: faultId === 0 ? startedMs + takesMs : 0,
    endedMs: startedMs + takesMs + 2,
    waitedMs: 0.25,
    lostMs: 0,
    bytesIn: 10,
    bytesOut: 2_000_000_000_000,
  } as unknown as Finished;
}

function find(recorder: Recorder, id: string) {
  return recorder.find(id, NOW, WALL + NOW);
}

test('a record says what the exchange was, without the query', () => {
  const recorder = new Recorder('w-', 0);
  recorder.add(finished());
  assert.deepEqual(find(recorder, 'w-1a'), [
    {
      kind: 'served',
      id: 'w-1a',
      idLength: 4,
      client: '192.0.2.7',
      host: 'shop.example',
      path: '/cart',
      detail: '',
      isCut: false,
      startedAt: WALL + NOW,
      epoch: 7,
      listener: 1,
      route: 2,
      pool: 5,
      protocol: 'http/1.1',
      method: 'POST',
      clientPort: 4711,
      isPeerTrusted: false,
      isSecure: false,
      tls: null,
      status: 200,
      upstreamStatus: 200,
      faultId: 0,
      key: 2 ** 32 - 2,
      sticky: null,
      limit: 'api:allowed',
      isReused: true,
      isTunnel: false,
      wasQueued: false,
      fellBack: false,
      poolInFlight: 9,
      triesCount: 1,
      tries: [{ slot: 3, kind: 'ordinary', beganMs: 1, endedMs: 2, faultId: 0, status: 200, inFlight: 4 }],
      headMs: 0.5,
      queuedMs: 0,
      waitedMs: 0.25,
      lostMs: 0,
      sentMs: 1.5,
      answeredMs: 5,
      endedMs: 7,
      bytesIn: 10,
      bytesOut: 2_000_000_000_000,
    },
  ]);
});

test('what TLS agreed on is remembered with the request, and not with the next one in its place', () => {
  const recorder = new Recorder('w-', 0);
  const tls = { version: '1.3', cipher: 'TLS_AES_128_GCM_SHA256', serverName: 'shop.example', alpn: '', isResumed: true };
  const secure = finished();
  secure.record.tls = tls;
  recorder.add(secure);
  assert.deepEqual(find(recorder, 'w-1a')[0]!.tls, tls);
  const { served } = recorder.reach(NOW, WALL);
  while (recorder.reach(NOW, WALL).served === served) recorder.add(finished());
  recorder.add(finished());
  assert.equal(find(recorder, 'w-1a')[0]!.tls, null);
});

test('an id of weir is found by its prefix and number, and no other', () => {
  const recorder = new Recorder('w-', 0);
  recorder.add(finished());
  assert.deepEqual(
    ['w-1a', 'w-1b', 'w-1', 'v-1a', '1a', 'w-', ''].map((id) => find(recorder, id).length),
    [1, 0, 0, 0, 0, 0, 0],
  );
});

test('an id that a trusted peer gave is found by all of it, and no other', () => {
  const recorder = new Recorder('w-', 0);
  const long = 'x'.repeat(64);
  for (const id of ['abc-1', 'abc-10', `${long}a`, `${long}bc`]) recorder.add(finished({ id }));
  assert.deepEqual(
    ['abc-1', 'abc-10', 'abc-', 'abc-100', '', long].map((id) => find(recorder, id).length),
    [1, 1, 0, 0, 0, 0],
  );
  assert.equal(find(recorder, `${long}a`)[0]?.idLength, 65);
  assert.equal(find(recorder, `${long}bc`)[0]?.idLength, 66);
});

test('ordinary requests push each other out, but no failed, slow or refused one', () => {
  const recorder = new Recorder('w-', NOW - 50);
  recorder.add(finished({ id: 'ordinary' }));
  recorder.add(finished({ id: 'failed', status: 502, faultId: fault.connectionRefused }));
  recorder.add(finished({ id: 'slow', takesMs: SLOW_MS + 1 }));
  recorder.add(finished({ id: 'retried', tries: [[1, fault.connectionRefused, 0], [2, 0, 200]] })); // biome-ignore format: short
  recorder.add(finished({ id: 'denied', status: 403, faultId: fault.requestDenied, tries: [] }));
  const since = WALL + NOW - 50;
  assert.deepEqual(recorder.reach(NOW, WALL + NOW), { served: since, refused: since, failed: since });
  for (let i = 0; i < 4095; i++) recorder.add(finished({ id: `n${i}` }));
  assert.equal(find(recorder, 'ordinary').length, 1);
  recorder.add(finished({ id: 'last' }));
  assert.equal(find(recorder, 'ordinary').length, 0);
  for (const [
    id,
    kind,
  ] of [['failed', 'failed'], ['slow', 'failed'], ['retried', 'failed'], ['denied', 'refused'], ['last', 'served']]) // biome-ignore format: short
    assert.equal(find(recorder, id!)[0]?.kind, kind, id);
  assert.deepEqual(recorder.reach(NOW, WALL + NOW), { served: WALL + NOW + 7, refused: since, failed: since });
});

test('the latest come first, filtered, and never more than the limit', () => {
  const recorder = new Recorder('w-', 0);
  for (let i = 0; i < 300; i++) {
    const e = finished({ id: `n${i}`, ...(i % 3 === 0 ? { status: 503, faultId: fault.queueFull } : {}) });
    (e as { startedMs: number }).startedMs += i;
    recorder.add(e);
  }
  const ids = (limit: number, filter: 'all' | 'fault' | 'slow') =>
    recorder.recent(limit, filter, NOW, WALL + NOW).map(({ id }) => id);
  assert.deepEqual(ids(4, 'all'), ['n299', 'n298', 'n297', 'n296']);
  assert.deepEqual(ids(3, 'fault'), ['n297', 'n294', 'n291']);
  assert.deepEqual(ids(3, 'slow'), []);
  assert.equal(ids(1000, 'all').length, RECENT_MAX);
});

test('text that is too long is cut and never runs into the next record', () => {
  const recorder = new Recorder('w-', 0);
  const detail = 'd'.repeat(400);
  const long = finished({
    id: 'i'.repeat(128),
    host: 'h'.repeat(200),
    path: `/${'p'.repeat(500)}`,
    detail,
    faultId: fault.badRequest,
  });
  recorder.add(long);
  recorder.add(finished({ id: 'next', status: 400, faultId: fault.badRequest, detail: 'fine', tries: [] }));
  recorder.add(finished({ id: 'third', status: 400, faultId: fault.badRequest, tries: [] }));
  const [record] = find(recorder, 'i'.repeat(128));
  assert.equal(record?.host, 'h'.repeat(64));
  assert.equal(record?.path, `/${'p'.repeat(63)}`);
  assert.equal(record?.isCut, true);
  assert.equal(record?.detail, 'd'.repeat(256 - 64 - 9 - 128));
  assert.equal(find(recorder, 'next')[0]?.detail, 'fine');
  assert.equal(find(recorder, 'third')[0]?.detail, '');
});

test('of many tries the first three and the last are kept; a hedge that lost has no end', () => {
  const recorder = new Recorder('w-', 0);
  const tries = [1, 2, 3, 4, 5, 6].map((slot) => [slot, fault.connectionRefused, 0] as const);
  recorder.add(finished({ id: 'many', status: 502, faultId: fault.connectionRefused, tries }));
  const many = find(recorder, 'many')[0]!;
  assert.equal(many.triesCount, 6);
  assert.deepEqual(many.tries.map(({ slot, beganMs }) => [slot, beganMs]), [[1, 1], [2, 2], [3, 3], [6, 6]]); // biome-ignore format: short
  const hedged = finished({ id: 'hedged', tries: [] });
  hedged.trail.begin(1, NOW + 1, 1, 1, tryKind.ordinary);
  hedged.trail.begin(2, NOW + 50, 1, 2, tryKind.hedge);
  hedged.trail.end(1, 0, 200, NOW + 60);
  recorder.add(hedged);
  assert.deepEqual(find(recorder, 'hedged')[0]?.tries, [
    { slot: 1, kind: 'ordinary', beganMs: 1, endedMs: 60, faultId: 0, status: 200, inFlight: 1 },
    { slot: 2, kind: 'hedge', beganMs: 50, endedMs: -1, faultId: 0, status: 0, inFlight: 1 },
  ]);
});

test('a connection on which nothing could be read has neither method nor host', () => {
  const recorder = new Recorder('w-', 0);
  const e = finished({ id: 'bad', status: 400, faultId: fault.badRequest, tries: [] });
  recorder.add({ ...e, head: null, route: null, pool: null });
  const [record] = find(recorder, 'bad');
  assert.deepEqual([record?.method, record?.host, record?.path, record?.route, record?.pool], ['', '', '', -1, -1]);
});
