/** The small parts of the simulator: agenda, keys, replay, numbers as text. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Prng } from '../base/prng.ts';
import { Agenda } from './agenda.ts';
import { msText, numberText, shareText } from './expect.ts';
import { addressHashes, keyDraw, textHash } from './keys.ts';
import { readReplay } from './replay.ts';
import { latencyOf } from './result.ts';
import { NOBODY, Server } from './server.ts';

test('an agenda gives things back in the order of their times, however they were put in', () => {
  const prng = new Prng(5);
  const agenda = new Agenda();
  const due: number[] = [];
  let last = -1;
  for (let step = 0; step < 20_000; step++) {
    if (due.length === 0 || prng.chance(step < 10_000 ? 60 : 40)) {
      const at = last + prng.float() * 100;
      agenda.add(at, due.push(at) - 1);
    } else if (agenda.nextMs !== Number.POSITIVE_INFINITY) {
      const at = agenda.nextMs;
      assert.equal(due[agenda.take()], at);
      assert.ok(at >= last);
      last = at;
    }
  }
  while (agenda.nextMs !== Number.POSITIVE_INFINITY) {
    assert.ok(agenda.nextMs >= last);
    last = agenda.nextMs;
    agenda.take();
  }
});

test('keys are drawn as often as their distribution says', () => {
  const times = 100_000;
  const shareOfFirst = (draw: (prng: Prng) => number): number => {
    const prng = new Prng(3);
    let first = 0;
    for (let i = 0; i < times; i++) {
      const key = draw(prng);
      assert.ok(key >= 0 && key < 1000);
      if (key === 0) first++;
    }
    return first / times;
  };
  let sum = 0;
  for (let k = 1; k <= 1000; k++) sum += 1 / k;
  const near = (actual: number, expected: number) => assert.ok(Math.abs(actual - expected) < 0.005, `${actual}, not ${expected}`);
  near(shareOfFirst(keyDraw({ kind: 'uniform', count: 1000 })), 0.001);
  near(shareOfFirst(keyDraw({ kind: 'zipf', exponent: 1, count: 1000 })), 1 / sum);
  near(shareOfFirst(keyDraw({ kind: 'nat', share: 0.6, count: 1000 })), 0.6);
  near(shareOfFirst(keyDraw({ kind: 'nat', share: 0.6, count: 1 })), 1);
});

test('different keys are different addresses, and an address in a log hashes as one, not as its text', () => {
  assert.equal(new Set(addressHashes(10_000, 7)).size, 10_000);
  assert.equal(textHash('203.0.113.9'), textHash('::ffff:203.0.113.9'));
  assert.notEqual(textHash('203.0.113.9'), textHash('203.0.113.8'));
  assert.notEqual(textHash('/a'), textHash('/b'));
});

test('a log is replayed in the order of arrival, with its own service times', () => {
  const line = (fields: object) => JSON.stringify(fields);
  const text = [
    line({ time: '2026-11-24T04:12:14.500250Z', pool: 'web', client: '203.0.113.9:51234', path: '/b', t_first: 0.25 }),
    line({ time: '2026-11-24T04:12:14.000000Z', pool: 'web', client: '[2001:db8::1]:4711', path: '/a' }),
    line({ time: '2026-11-24T04:12:14.100Z', client: '203.0.113.9', path: '/c', t_first: 0.001 }),
    line({ time: '2026-11-24T04:12:15.000000Z', pool: 'api', client: '203.0.113.9:1' }),
    '',
    '127.0.0.1 - - [24/Nov/2026:04:12:13 +0000] "GET / HTTP/1.1" 200 1',
    line({ time: 'yesterday' }),
    line({ time: '2026-11-24T04:12:14.600Z', client: '2001:db8::1' }),
    'null',
  ].join('\n');
  const { requests, unreadable, others } = readReplay(text, 'web', 'client');
  assert.deepEqual(
    requests.map(({ atMs, key, serviceMs }) => [Math.round(atMs * 1000) / 1000, key, serviceMs < 0 ? null : serviceMs]),
    [
      [0, '2001:db8::1', null],
      [100, '203.0.113.9', 1],
      [500.25, '203.0.113.9', 250],
      [600, '2001:db8::1', null],
    ],
  );
  assert.deepEqual([unreadable, others], [3, 1]);
  assert.deepEqual(
    readReplay(text, 'web', 'path').requests.map(({ key }) => key),
    ['/a', '/c', '/b', ''],
  );
});

test('who waits at a server is served in order', () => {
  const plan = { slot: 0, address: 'a', resolved: null, weight: 1, backup: false, zone: null, requestsMax: 0 };
  const model = { p50Ms: 1, p99Ms: 1, slower: 1, concurrency: 1, queueMax: 2, missMs: 0 };
  const server = new Server(0, plan, 0, model, 1);
  const next = new Int32Array(4);
  server.running = 1;
  for (const request of [2, 0]) server.enqueue(request, next);
  assert.ok(server.isQueueFull);
  assert.equal(server.dequeue(next), 2);
  server.enqueue(3, next);
  assert.deepEqual([server.dequeue(next), server.dequeue(next), server.dequeue(next)], [0, 3, NOBODY]);
  assert.equal(server.waiting, 0);
});

test('quantiles are values that were seen', () => {
  const values = Float64Array.from({ length: 1000 }, (_, i) => 1000 - i);
  assert.deepEqual(latencyOf(values), { p50: 500, p99: 990, p999: 999, mean: 500.5, max: 1000 });
  assert.deepEqual(latencyOf(Float64Array.of(7)), { p50: 7, p99: 7, p999: 7, mean: 7, max: 7 });
  assert.equal(latencyOf(new Float64Array(0)).p99, 0);
});

test('numbers are written with three digits that count', () => {
  assert.deepEqual([0, 0.5, 7.214, 72.14, 721.4, 1250].map(msText), ['0ms', '0.500ms', '7.21ms', '72.1ms', '721ms', '1.25s']);
  assert.deepEqual([0, 0.0005, 0.05, 0.09991, 0.5].map(shareText), ['0%', '0.050%', '5.0%', '10.0%', '50.0%']);
  assert.deepEqual([1, 1.005, 1648].map(numberText), ['1', '1.00', '1648']);
});
