/**
 * Harm prevented: the flight recorder tells another story than what happened: a try that is missing, blamed on the wrong endpoint, or left over from the request before.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { faults } from '../../src/base/faults.ts';
import type { RequestRecord } from '../../src/state/channel.ts';
import { BUSY, OK, Scripted } from './scripted.ts';

const GET = 'GET /a?secret HTTP/1.1\r\nHost: shop.example\r\n\r\n';

class Recorded extends Scripted {
  /** What is remembered, the latest first. */
  records(): RequestRecord[] {
    const { relay, engine } = this.w;
    return relay.recorder.recent(10, 'all', engine.now, engine.now);
  }
}

/** Tries in short: kind, fault or status, and whether it ended. */
function triesOf({ tries }: RequestRecord): string[] {
  return tries.map(({ kind, faultId, status, endedMs }) => {
    const what = faultId === 0 ? status || 'none' : faults[faultId]!.name;
    return `${kind} ${what}${endedMs < 0 ? ', not waited for' : ''}`;
  });
}

test('a try that is repeated, and its status or fault', () => {
  for (const [first, told] of [
    [BUSY, 'ordinary 503'],
    ['', 'ordinary connectionTerminated'],
  ] as const) {
    const s = new Recorded({ endpoints: 2, retry: { attempts: 2, on: ['connect', 'reset', 'timeout', '503'] } });
    const client = s.w.peer().send(GET);
    const one = s.asked(1);
    if (first === '') one.close();
    else one.send(first);
    s.asked(2).send(OK);
    s.until(() => client.text().endsWith('ok'));
    const [record] = s.records();
    assert.deepEqual(triesOf(record!), [told, 'ordinary 200']);
    const slots = record!.tries.map(({ slot }) => slot);
    assert.equal(new Set(slots).size, slots.length, 'tries went to different endpoints');
    assert.deepEqual([record!.host, record!.path, record!.kind], ['shop.example', '/a', 'failed']);
    assert.deepEqual(record!.tries.map(({ inFlight }) => inFlight), slots.map(() => 1)); // biome-ignore format: short
  }
});

test('a hedge that wins, one that loses, and one that fails', () => {
  for (const { answers, closes, told } of [
    { answers: 1, closes: -1, told: ['ordinary none', 'hedge 200'] },
    { answers: 0, closes: -1, told: ['ordinary 200', 'hedge none, not waited for'] },
    { answers: 0, closes: 1, told: ['ordinary 200', 'hedge connectionTerminated'] },
    { answers: 1, closes: 0, told: ['ordinary connectionTerminated', 'hedge 200'] },
  ]) {
    const s = new Recorded({ endpoints: 2, retry: { hedgeMs: 50 } });
    const client = s.w.peer().send(GET);
    s.asked(2);
    s.ends[closes]?.close();
    s.w.engine.runFor(5);
    s.ends[answers]!.send(OK);
    s.until(() => client.text().endsWith('ok'));
    assert.deepEqual(triesOf(s.records()[0]!), told);
  }
});

test('a kept wire that had been closed is told as one, and the request after it begins anew', () => {
  const s = new Recorded({ endpoints: 1 });
  const client = s.w.peer().send(GET);
  const one = s.asked(1);
  one.send(OK);
  s.until(() => client.text().endsWith('ok'));
  // It closes at the moment it is used again.
  client.send(GET);
  s.until(() => one.text().split('\r\n\r\n').length > 2);
  one.close();
  s.asked(2).send(OK);
  s.until(() => client.text().split('ok').length > 2);
  assert.deepEqual(s.records().map(triesOf), [['ordinary connectionTerminated', 'fresh 200'], ['ordinary 200']]);
});

test('a client that leaves, and a request that nobody could read', () => {
  const s = new Recorded({ endpoints: 1 });
  const leaver = s.w.peer().send(GET);
  s.asked(1);
  leaver.close(2);
  s.until(() => s.records().length === 1);
  assert.deepEqual(triesOf(s.records()[0]!), ['ordinary clientAborted']);
  const bad = s.w.peer().send('GET\r\n\r\n');
  s.until(() => bad.text().includes('\r\n\r\n'));
  const [record] = s.records();
  assert.deepEqual([record!.method, record!.host, record!.status, record!.tries.length], ['', '', 400, 0]);
  assert.equal(record!.kind, 'refused');
});
