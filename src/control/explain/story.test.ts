import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fault } from '../../base/faults.ts';
import type { FoundMessage, RequestRecord, TryRecord } from '../../state/channel.ts';
import type { Plan } from '../../state/plan.ts';
import { PlanNames } from './plan-names.ts';
import { Requests } from './requests.ts';
import { shortSpan, storyOf } from './story.ts';
import { storyText } from './story-text.ts';

const plan = {
  epoch: 3,
  listeners: [{ id: 0, name: 'web', streams: [] }],
  routes: [{ id: 1, name: 'api', source: 'weir.yaml:9' }],
  pools: [
    {
      id: 2,
      name: 'shop',
      source: 'weir.yaml:4',
      endpoints: [1, 2, 3].map((slot) => ({ slot, address: `10.0.0.${slot}:80` })),
    },
  ],
} as unknown as Plan;
const names = new PlanNames();
names.learn(plan);

function attempt(slot: number, parts: Partial<TryRecord> = {}): TryRecord {
  return { slot, kind: 'ordinary', beganMs: 1, endedMs: 2, faultId: 0, status: 0, inFlight: 4, ...parts };
}
const refused = (slot: number, beganMs = 1): TryRecord =>
  attempt(slot, { faultId: fault.connectionRefused, beganMs, endedMs: beganMs + 0.5 });

function record(parts: Partial<RequestRecord> = {}): RequestRecord {
  return {
    kind: 'served',
    id: 'w-1a',
    idLength: 4,
    startedAt: Date.UTC(2026, 10, 24, 11, 0, 0, 250),
    epoch: 3,
    listener: 0,
    route: 1,
    pool: 2,
    protocol: 'http/1.1',
    method: 'GET',
    host: 'shop.example',
    path: '/cart',
    isCut: false,
    client: '192.0.2.7',
    clientPort: 4711,
    isPeerTrusted: false,
    isSecure: false,
    tls: null,
    status: 200,
    upstreamStatus: 200,
    faultId: 0,
    detail: '',
    key: 0,
    sticky: null,
    limit: '',
    isReused: true,
    isTunnel: false,
    wasQueued: false,
    fellBack: false,
    poolInFlight: 9,
    triesCount: parts.tries?.length ?? 1,
    tries: [attempt(1, { status: 200, endedMs: 7 })],
    headMs: 0.5,
    queuedMs: 0,
    waitedMs: 0,
    lostMs: 0,
    sentMs: 1.25,
    answeredMs: 5,
    endedMs: 7,
    bytesIn: 0,
    bytesOut: 2048,
    ...parts,
  };
}

const verdict = (parts: Partial<RequestRecord>): string => storyOf(record(parts), 0, names).verdict;

test('the verdict names who answered, and in one sentence what happened before', () => {
  assert.equal(verdict({}), 'answered 200 by 10.0.0.1:80 in 7ms');
  assert.equal(
    verdict({ tries: [refused(1), attempt(2, { status: 200 })] }),
    'answered 200 by 10.0.0.2:80 in 7ms, after 10.0.0.1:80 refused the connection',
  );
  assert.equal(
    verdict({ tries: [attempt(1, { status: 503 }), attempt(2, { status: 200 })] }),
    'answered 200 by 10.0.0.2:80 in 7ms, after 10.0.0.1:80 answered 503',
  );
  assert.equal(
    verdict({ tries: [attempt(1, { faultId: fault.connectionTerminated }), attempt(1, { kind: 'fresh', status: 200 })] }),
    'answered 200 by 10.0.0.1:80 in 7ms, after 10.0.0.1:80 had closed the kept connection; asked again over a new one',
  );
  assert.equal(
    verdict({ tries: [], route: -1, pool: -1, status: 308, upstreamStatus: 0 }),
    'answered 308 by listener web, without an endpoint',
  );
});

test('what TLS agreed on is told', () => {
  const tls = { version: '1.3', cipher: 'TLS_AES_128_GCM_SHA256', serverName: 'shop.example', alpn: 'http/1.1', isResumed: true };
  const lineOf = (parts: Partial<RequestRecord>) => /^ tls .*$/m.exec(storyText(storyOf(record(parts), 0, names)))?.[0];
  assert.equal(lineOf({ tls }), ' tls       1.3  TLS_AES_128_GCM_SHA256  for shop.example, http/1.1, resumed');
  assert.equal(
    lineOf({ tls: { ...tls, serverName: '', alpn: '', isResumed: false } }),
    ' tls       1.3  TLS_AES_128_GCM_SHA256  without a name',
  );
  assert.equal(lineOf({}), undefined);
});

test('a hedge is told with its loser, whichever won', () => {
  const first = attempt(1, { status: 200, endedMs: 60 });
  const lost = attempt(2, { kind: 'hedge', endedMs: -1 });
  assert.equal(
    verdict({ tries: [first, lost], endedMs: 60 }),
    'answered 200 by 10.0.0.1:80 in 60ms; 10.0.0.2:80 was not waited for any more',
  );
  const won = attempt(2, { kind: 'hedge', status: 200 });
  assert.equal(
    verdict({ tries: [attempt(1), won] }),
    'answered 200 by 10.0.0.2:80 in 7ms; 10.0.0.1:80 was not waited for any more',
  );
});

test('a failure is told with every try that led to it', () => {
  const failed = { status: 502, upstreamStatus: 0, faultId: fault.connectionRefused, answeredMs: -1, sentMs: -1 };
  assert.equal(verdict({ ...failed, tries: [refused(1)] }), 'answered 502 because 10.0.0.1:80 refused the connection');
  assert.equal(
    verdict({ ...failed, tries: [refused(1), refused(2)] }),
    'answered 502 because 10.0.0.1:80 refused the connection, then 10.0.0.2:80 refused the connection',
  );
  assert.equal(
    verdict({ ...failed, tries: [refused(1), refused(1)] }),
    'answered 502 because 10.0.0.1:80 refused the connection twice',
  );
  assert.equal(
    verdict({ ...failed, tries: [1, 2, 3, 1].map((slot) => refused(slot)), triesCount: 6 }),
    'answered 502 because 10.0.0.1:80 refused the connection, then 10.0.0.2:80 refused the connection, then 10.0.0.3:80 refused the connection, then 10.0.0.1:80 refused the connection (6 tries in all)',
  );
});

test('weir itself, a client that left, and an answer that broke off are told apart', () => {
  const none = { tries: [], upstreamStatus: 0, answeredMs: -1, sentMs: -1 };
  assert.equal(
    verdict({ ...none, status: 503, faultId: fault.queueFull, detail: 'The circuit breaker is open: maxRequests.' }),
    'answered 503 after 7ms because too many requests are waiting (The circuit breaker is open: maxRequests.)',
  );
  const gone = attempt(1, { faultId: fault.clientAborted });
  assert.equal(
    verdict({ ...none, status: 499, faultId: fault.clientAborted, tries: [gone], endedMs: 3200 }),
    'not answered after 3.2s because the client went away before the answer was complete; 10.0.0.1:80 had not finished',
  );
  const broken = attempt(1, { faultId: fault.responseIncomplete, status: 200 });
  assert.equal(
    verdict({ faultId: fault.responseIncomplete, tries: [broken] }),
    'broken off after status 200 because 10.0.0.1:80 ended its answer early',
  );
});

test('the timeline is in the order of time', () => {
  const { timeline } = storyOf(record({ tries: [refused(1, 0.75), attempt(2, { status: 200, beganMs: 1.25 })] }), 0, names);
  assert.deepEqual(timeline, [
    { at: 0.0005, text: 'head read: route api, pool shop' },
    { at: 0.00075, text: 'try 1: 10.0.0.1:80 (4 in flight there)' },
    { at: 0.00125, text: '10.0.0.1:80 refused the connection' },
    { at: 0.00125, text: 'try 2: 10.0.0.2:80 (4 in flight there)' },
    { at: 0.00125, text: 'request sent' },
    { at: 0.005, text: 'head of the answer: 200' },
    { at: 0.007, text: 'answered 200, 2048 bytes of body' },
  ]);
});

test('the text has the lines of the configuration, and nothing in it steers a terminal', () => {
  const text = storyText(storyOf(record({ path: '/a\u001b[31m', limit: 'api:allowed', sticky: 'hit', key: 255 }), 1, names));
  assert.equal(
    text,
    `w-1a  2026-11-24T11:00:00.250Z
 verdict   answered 200 by 10.0.0.1:80 in 7ms
 request   GET http://shop.example/a [31m  http/1.1
 client    192.0.2.7 port 4711
 listener  web  worker 1, epoch 3
 route     api  weir.yaml:9
 limit     api:allowed
 pool      shop  weir.yaml:4  9 in flight with this one  sticky: hit  key 000000ff
 timeline    500µs  head read: route api, pool shop
               1ms  try 1: 10.0.0.1:80 (4 in flight there)
            1.25ms  request sent
               5ms  head of the answer: 200
               7ms  answered 200, 2048 bytes of body
 bytes     0 in, 2048 out (bodies)
`,
  );
});

test('spans are told in the unit that fits', () => {
  assert.deepEqual([0, 0.00085, 0.0032, 0.0999, 1.25, 75].map(shortSpan), ['0µs', '850µs', '3.2ms', '99.9ms', '1.25s', '75s']);
});

const reach = (served: number) => {
  const since = { served, refused: 1000, failed: 2000 };
  return { requests: since, connections: { served: 0, refused: 0, failed: 0 }, datagrams: { ...since, served: 0 } };
};
const found = (records: RequestRecord[], isOwn: boolean, served: number): FoundMessage => ({
  type: 'found',
  ask: 1,
  records,
  connections: [],
  isOwn,
  reach: reach(served),
});

test('answers of all workers are one list, the latest first, that reaches as far back as the shortest memory', async () => {
  const requests = new Requests(async () => ({
    answers: [
      { worker: 0, found: found([record({ id: 'old' })], false, 5000) },
      { worker: 1, found: found([record({ id: 'new', startedAt: Date.UTC(2027, 0, 1) })], false, 3000) },
    ],
    silent: [2],
  }));
  requests.learn(plan);
  const stories = await requests.recent(2, 'all');
  assert.deepEqual(stories.items.map(({ id, worker }) => [id, worker]), [['new', 1], ['old', 0]]); // biome-ignore format: short
  assert.deepEqual(stories.since, {
    served: '1970-01-01T00:00:05.000Z',
    refused: '1970-01-01T00:00:01.000Z',
    failed: '1970-01-01T00:00:02.000Z',
  });
  assert.deepEqual(stories.silent, [2]);
  assert.equal((await requests.recent(1, 'all')).items.length, 1);
});

test('an id that is not remembered is told with how far back memory reaches, and who was its worker', async () => {
  const tail =
    '; served requests are remembered since 1970-01-01T00:00:05.000Z, refused ones since 1970-01-01T00:00:01.000Z, failed and slow ones since 1970-01-01T00:00:02.000Z; connections are remembered since 1970-01-01T00:00:00.000Z; served datagrams are remembered since 1970-01-01T00:00:00.000Z, refused ones since 1970-01-01T00:00:01.000Z, failed and slow ones since 1970-01-01T00:00:02.000Z';
  const ask = (isOwn: boolean, silent: number[]) =>
    new Requests(async () => ({ answers: [{ worker: 4, found: found([], isOwn, 5000) }], silent })).find('w-9');
  assert.equal(await ask(false, []), `no running worker gave the id w-9 out, or remembers it${tail}`);
  assert.equal(
    await ask(true, [1]),
    `worker 4 gave the id w-9 out, but what had it is still under way, or forgotten${tail}; worker 1 did not answer`,
  );
  const nobody = new Requests(async () => ({ answers: [], silent: [0] }));
  assert.equal(await nobody.find('w-9'), 'no running worker gave the id w-9 out, or remembers it; worker 0 did not answer');
});
