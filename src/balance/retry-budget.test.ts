import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RetryBudget } from './retry-budget.ts';

test('a quiet pool may retry up to the floor and no more', () => {
  const budget = new RetryBudget(0.2, 0.3);
  let allowed = 0;
  for (let i = 0; i < 10; i++) if (budget.take(1000)) allowed++;
  assert.equal(allowed, 3);
});

test('a busy pool may retry its share of the last ten seconds', () => {
  const budget = new RetryBudget(0.2, 0);
  for (let i = 0; i < 100; i++) budget.request(5000 + i);
  let allowed = 0;
  for (let i = 0; i < 100; i++) if (budget.take(5200)) allowed++;
  assert.equal(allowed, 20);
});

test('requests older than ten seconds no longer count', () => {
  const budget = new RetryBudget(0.5, 0);
  for (let i = 0; i < 100; i++) budget.request(1000);
  assert.equal(budget.take(10_999), true);
  assert.equal(budget.take(11_000), false);
  for (let i = 0; i < 4; i++) budget.request(60_000);
  assert.equal(budget.take(60_000), true);
  assert.equal(budget.take(60_001), true);
  assert.equal(budget.take(60_002), false);
});
