import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BACK_OFF_MAX_MS, CREDIT_MAX, CREDIT_MS, RestartLimit, SETTLED_MS } from './restart-limit.ts';

test('a worker that has served is replaced at once, until the credit is used up', () => {
  const limit = new RestartLimit();
  for (let i = 0; i < CREDIT_MAX; i++) assert.equal(limit.died(1000 + i, 500, true), 0);
  assert.equal(limit.died(1010, 500, true), 1000);
});

test('credit comes back with time', () => {
  const limit = new RestartLimit();
  for (let i = 0; i < CREDIT_MAX; i++) limit.died(0, 500, true);
  assert.notEqual(limit.died(CREDIT_MS - 1, 500, true), 0);
  assert.equal(limit.died(CREDIT_MS, 500, true), 0);
  assert.notEqual(limit.died(CREDIT_MS + 1, 500, true), 0);
});

test('a worker that dies before it serves waits 1, 2, 4 ... 30 s', () => {
  const limit = new RestartLimit();
  const waits = [1, 2, 3, 4, 5, 6, 7].map((i) => limit.died(i, 10, false));
  assert.deepEqual(waits, [1000, 2000, 4000, 8000, 16_000, BACK_OFF_MAX_MS, BACK_OFF_MAX_MS]);
});

test('a long life ends the doubling', () => {
  const limit = new RestartLimit();
  for (let i = 0; i < 4; i++) limit.died(i, 10, false);
  limit.died(SETTLED_MS * 2, SETTLED_MS, true);
  assert.equal(limit.died(SETTLED_MS * 2 + 1, 10, false), 1000);
});
