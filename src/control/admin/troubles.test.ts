import assert from 'node:assert/strict';
import { beforeEach, test } from 'node:test';
import { admin, health, stickyResult } from '../../state/doors.ts';
import type { PoolPlan } from '../../state/plan.ts';
import { poolOf, statusOf } from './api.ts';
import { StateFixture } from './fixture.ts';
import { Pace } from './pace.ts';
import type { Trouble } from './troubles.ts';

let state: StateFixture;
let pace: Pace;

beforeEach(() => {
  state = new StateFixture({ web: 4, other: 1 });
  state.crew = [state.crew[0]!];
  state.loads = { ...state.loads, isLastOk: true };
  pace = new Pace(state.tally, () => state.its);
  pace.look();
});

const troubles = () => statusOf({ state, pace }).troubles;
const words = (): string[] =>
  troubles().map(({ severity, pool, endpoint, state: its }) =>
    [severity, pool, endpoint, its].filter((part) => part !== null).join(' '),
  );
const slotOf = (index: number): number => state.web.endpoints[index]!.slot;
function setWeb(change: Partial<PoolPlan>): void {
  const [web, ...rest] = state.its!.pools;
  state.its = { ...state.its!, pools: [{ ...web!, ...change }, ...rest] };
}

test('there is no trouble where all is well', () => {
  assert.deepEqual(words(), []);
});

test('the worst comes first: requests that fail, then what is left, then what people wanted', () => {
  state.control.setAdmin(slotOf(0), admin.maint);
  state.control.setHealth(slotOf(1), health.down);
  state.control.setHealth(state.its!.pools[1]!.endpoints[0]!.slot, health.down);
  state.loads = { ...state.loads, isLastOk: false };
  state.worker.queued(state.web.id, 5000, true);
  assert.deepEqual(words(), [
    'error other no-endpoint',
    'error web queue',
    'warning other 10.0.0.1:8000 down',
    'warning reload',
    'warning web 10.0.0.1:8001 down',
    'info web 10.0.0.1:8000 maint',
  ]);
  for (const { advice } of troubles()) assert.ok(advice.length > 10, advice);
});

test('of two endpoints that are down the heavier one comes first, and a backup last', () => {
  const endpoints = state.web.endpoints.map((endpoint, i) => ({ ...endpoint, weight: i + 1, backup: i === 2 }));
  setWeb({ endpoints });
  for (const index of [0, 1, 2]) state.control.setHealth(slotOf(index), health.down);
  assert.deepEqual(
    troubles().map(({ endpoint }) => endpoint),
    ['10.0.0.1:8001', '10.0.0.1:8000', '10.0.0.1:8002'],
  );
});

test('a pool without endpoints that has a fallback is less than one that has none', () => {
  for (const index of [0, 1, 2, 3]) state.control.setHealth(slotOf(index), health.down);
  assert.match(troubles()[0]!.reason!, /answered 503/);
  setWeb({ fallback: 1 });
  const trouble = troubles().find(({ state: its }) => its === 'no-endpoint')!;
  assert.deepEqual([trouble.severity, trouble.reason], ['warning', 'no endpoint takes requests: other answers them']);
});

test('what becomes of traffic that nobody takes is said in the words of what the pool carries', () => {
  for (const index of [0, 1, 2, 3]) state.control.setHealth(slotOf(index), health.down);
  for (const [protocol, said] of [
    ['http', 'no endpoint takes requests: they are answered 503'],
    ['tcp', 'no endpoint takes connections: they are reset'],
    ['udp', 'no endpoint takes datagrams: they are dropped'],
  ] as const) {
    setWeb({ protocol });
    assert.equal(troubles()[0]!.reason, said);
  }
});

test('panic is told with how many are fit', () => {
  setWeb({ health: { ...state.web.health, panicThreshold: 0.5 } });
  for (const index of [0, 1, 2]) state.control.setHealth(slotOf(index), health.down);
  const [first] = troubles();
  assert.deepEqual([first!.state, first!.severity], ['panic', 'error']);
  assert.match(first!.reason!, /^only 1 of 4 endpoints are fit/);
  assert.equal(poolOf({ state, pace }, state.web).isPanicking, true);
});

test('what was refused long ago is no trouble now, what was refused lately is', () => {
  const { id } = state.web;
  setWeb({ breaker: { requestsMax: 1, pendingMax: 0, retriesMax: 0, isShadow: false } });
  const all = ['error web breaker', 'error web queue', 'error web retries', 'warning web sticky'];
  const harm = () => {
    state.worker.breaker(id, false);
    state.worker.queued(id, 5000, true);
    state.worker.retryBudgetExhausted(id);
    state.worker.sticky(id, stickyResult.lost);
  };
  harm();
  assert.deepEqual(words(), all);
  for (let i = 0; i < 4; i++) pace.look();
  assert.deepEqual(words(), []);
  harm();
  assert.deepEqual(words(), all);
});

test('handshakes that were turned away are a trouble, a listener that merely has many is none', () => {
  const use = { listener: 'secure', used: 900, of: 2048, turnedAway: 0 };
  state.headroom.handshakes = [use];
  assert.deepEqual(words(), []);
  state.headroom.handshakes = [{ ...use, turnedAway: 1 }];
  const [{ reason, evidence }] = troubles() as [Trouble];
  assert.deepEqual(words(), ['error handshakes']);
  assert.equal(reason, 'listener secure turned 1 TLS handshake away in the last 5 s');
  assert.deepEqual(evidence, ['900 of 2048 are under way']);
});

test('what a breaker in shadow mode would have refused is no trouble', () => {
  setWeb({ breaker: { requestsMax: 1, pendingMax: 0, retriesMax: 0, isShadow: true } });
  state.worker.breaker(state.web.id, true);
  assert.deepEqual(words(), []);
  assert.deepEqual(poolOf({ state, pace }, state.web).breaker, {
    requests: { now: 0, max: 1 },
    pending: { now: 0, max: null },
    retries: { now: 0, max: null },
    isShadow: true,
    refused: 0,
    wouldRefuse: 1,
  });
});

test('an ejected endpoint is told with when it returns, one that starts slowly is none', () => {
  setWeb({ health: { ...state.web.health, slowStartMs: 60_000 } });
  const returnsAt = Date.UTC(2026, 0, 5);
  state.control.setEjected(slotOf(0), true);
  state.notes.set(slotOf(0), {
    why: '5 failures in a row',
    since: state.now,
    evidence: ['502 x 5'],
    ejection: { cause: 'consecutive-failures', count: 2, returnsAt },
  });
  state.control.setHealth(slotOf(1), health.up);
  const [ejected, ...rest] = troubles();
  assert.deepEqual(rest, []);
  assert.deepEqual([ejected!.state, ejected!.reason, ejected!.evidence], ['ejected', '5 failures in a row', ['502 x 5']]);
  assert.match(ejected!.advice, /^it is tried again at 2026-01-05T00:00:00.000Z/);
  const [first, second] = poolOf({ state, pace }, state.web).endpoints;
  assert.deepEqual(
    [first!.takesRequests, first!.ejection],
    [false, { cause: 'consecutive-failures', count: 2, returnsAt: '2026-01-05T00:00:00.000Z' }],
  );
  assert.equal(second!.status.state, 'slow-start');
  assert.ok('slowStart' in second! && second.slowStart!.share >= 0.1 && second.slowStart!.share < 0.2);
});

test('an ejection that an operator ordered is what somebody wanted', () => {
  state.control.setEjected(slotOf(0), true);
  state.notes.set(slotOf(0), {
    why: 'ordered by me',
    since: state.now,
    ejection: { cause: 'operator', count: 0, returnsAt: Date.UTC(2026, 0, 5) },
  });
  assert.deepEqual(words(), ['info web 10.0.0.1:8000 ejected']);
  assert.equal(troubles()[0]!.advice, 'it is tried again at 2026-01-05T00:00:00.000Z');
});

test('a drain that is in time is what somebody wanted, one that is not cuts requests', () => {
  state.worker.begin(slotOf(0));
  const order = { pool: 'web', endpoint: '10.0.0.1:8000', slot: slotOf(0), reason: 'deploy', by: 'me' };
  state.drains.begin(order, { timeoutMs: 1000 });
  assert.deepEqual(words(), ['info web 10.0.0.1:8000 drain']);
  state.now += 1000;
  state.drains.look();
  assert.deepEqual(words(), ['warning web 10.0.0.1:8000 overdue']);
  assert.match(troubles()[0]!.advice, /cuts 1 request;/);
});

test('workers that do not serve are a trouble, and none that does the greatest', () => {
  const [one] = state.crew;
  state.crew = [one!, { ...one!, slot: 1, state: 'waiting' }];
  assert.deepEqual(words(), ['warning workers']);
  state.crew = [{ ...one!, state: 'waiting' }];
  assert.deepEqual(words(), ['error no-workers']);
});
