import assert from 'node:assert/strict';
import { test } from 'node:test';
import { clientsMaxOf } from './client-share.ts';
import type { Plan } from './plan.ts';

const plan = (connectionsMax: number, ...protocols: string[]): Plan =>
  ({ limits: { connectionsMax }, listeners: protocols.map((protocol) => ({ protocol })) }) as unknown as Plan;

test('where connections are carried as they are, every client leaves a descriptor for its endpoint', () => {
  for (const descriptors of [65, 160, 1024, 1_048_576]) {
    const clients = clientsMaxOf(plan(0, 'http', 'tcp'), descriptors);
    assert.ok(clients * 2 + 64 <= descriptors || clients === 1, `${clients} of ${descriptors}`);
  }
  assert.equal(clientsMaxOf(plan(0, 'http'), 1064), 600);
  assert.equal(clientsMaxOf(plan(0, 'auto'), 1064), 500);
});

test('the plan may ask for less, not for more', () => {
  assert.equal(clientsMaxOf(plan(10, 'tcp'), 1064), 10);
  assert.equal(clientsMaxOf(plan(60_000, 'tcp'), 1064), 500);
  assert.equal(clientsMaxOf(plan(10, 'tcp'), 20), 1);
});
