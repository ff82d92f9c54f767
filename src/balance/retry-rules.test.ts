import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fault, faults } from '../base/faults.ts';
import { method } from '../base/head.ts';
import { Prng } from '../base/prng.ts';
import { retryReason } from '../state/doors.ts';
import type { RetryPlan } from '../state/plan.ts';
import { backoffMs, isIdempotent, isStaleWire, NEVER, reasonOfFault, reasonOfStatus, retryOn } from './retry-rules.ts';

const ALL = Object.values(retryOn).reduce((bits, bit) => bits | bit, 0);

test('a failure before anything was sent is repeated whatever the method, one after that only where it does no harm', () => {
  for (const isRepeatable of [true, false]) {
    assert.equal(reasonOfFault(fault.connectionRefused, ALL, isRepeatable), retryReason.connect);
    assert.equal(reasonOfFault(fault.connectionTerminated, ALL, isRepeatable), isRepeatable ? retryReason.reset : NEVER);
    assert.equal(reasonOfFault(fault.responseTimeout, ALL, isRepeatable), isRepeatable ? retryReason.timeout : NEVER);
    assert.equal(reasonOfStatus(503, ALL, isRepeatable), isRepeatable ? retryReason.status : NEVER);
    for (const { id, retry } of faults) if (retry === 'never') assert.equal(reasonOfFault(id, ALL, isRepeatable), NEVER);
  }
});

test('what is not in retry.on is not repeated', () => {
  assert.equal(reasonOfFault(fault.connectionRefused, ALL & ~retryOn.connect, true), NEVER);
  assert.equal(reasonOfFault(fault.connectionTerminated, ALL & ~retryOn.reset, true), NEVER);
  assert.equal(reasonOfFault(fault.responseTimeout, ALL & ~retryOn.timeout, true), NEVER);
  for (const status of [502, 503, 504] as const) {
    assert.equal(reasonOfStatus(status, retryOn[status], true), retryReason.status);
    assert.equal(reasonOfStatus(status, ALL & ~retryOn[status], true), NEVER);
  }
  for (const status of [200, 404, 500, 501, 505]) assert.equal(reasonOfStatus(status, ALL, true), NEVER);
});

test('the idempotent methods are those of RFC 9110', () => {
  const named = Object.entries(method).filter(([, number]) => isIdempotent(number));
  assert.deepEqual(named.map(([name]) => name).sort(), ['DELETE', 'GET', 'HEAD', 'OPTIONS', 'PUT', 'TRACE']);
});

test('only a wire that was used before can be stale', () => {
  assert.equal(isStaleWire(fault.connectionTerminated, true), true);
  assert.equal(isStaleWire(fault.connectionTerminated, false), false);
  assert.equal(isStaleWire(fault.responseTimeout, true), false);
});

test('the first retry does not wait; later ones wait a random part of a time that doubles up to its limit', () => {
  const plan = { backoffMs: 25, backoffMaxMs: 250 } as RetryPlan;
  const random = new Prng(3);
  assert.equal(backoffMs(plan, 1, 0xffffffff), 0);
  for (const [count, most] of [
    [2, 25],
    [3, 50],
    [4, 100],
    [5, 200],
    [6, 250],
    [60, 250],
  ] as const) {
    const waits = Array.from({ length: 1000 }, () => backoffMs(plan, count, random.uint32()));
    assert.ok(Math.max(...waits) < most && Math.max(...waits) > most * 0.97, `retry ${count}: ${Math.max(...waits)}`);
    assert.ok(Math.min(...waits) < most * 0.03);
    const mean = waits.reduce((a, b) => a + b, 0) / waits.length;
    assert.ok(Math.abs(mean - most / 2) < most * 0.05, `retry ${count}: ${mean} on average`);
  }
});
