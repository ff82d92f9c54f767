import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Plan } from '../../state/plan.ts';
import { PlanNames } from './plan-names.ts';

function plan(epoch: number, address: string, source: string): Plan {
  return {
    epoch,
    listeners: [{ id: 0, name: 'web', streams: [] }],
    routes: [
      { id: 4, name: 'api', source },
      // The second of the same name: its host is another, its entry is not.
      { id: 4, name: 'api', source: 'weir.yaml:99' },
    ],
    pools: [{ id: 2, name: 'shop', source, endpoints: [{ slot: 7, address }, { slot: -1, address: 'nowhere:1' }] }], // biome-ignore format: short
  } as unknown as Plan;
}

test('a number is told as the plan of its epoch had it', () => {
  const names = new PlanNames();
  names.learn(plan(3, 'a:1', 'weir.yaml:5'));
  names.learn(plan(4, 'a:1', 'weir.yaml:5'));
  names.learn(plan(6, 'b:1', 'weir.yaml:8'));
  assert.deepEqual(
    [3, 4, 5, 6, 7].map((epoch) => names.endpoint(epoch, 7)),
    ['a:1', 'a:1', 'a:1', 'b:1', 'b:1'],
  );
  assert.deepEqual(names.route(5, 4), { name: 'api', source: 'weir.yaml:5' });
  assert.deepEqual(names.route(6, 4), { name: 'api', source: 'weir.yaml:8' });
  assert.deepEqual(names.pool(6, 2), { name: 'shop', source: 'weir.yaml:8' });
  assert.equal(names.listener(3, 0), 'web');
});

test('what no plan named is said to be unknown, and none is none', () => {
  const names = new PlanNames();
  names.learn(plan(3, 'a:1', 'weir.yaml:5'));
  assert.equal(names.endpoint(2, 7), 'slot 7 of an earlier plan');
  assert.equal(names.endpoint(3, 8), 'slot 8 of an earlier plan');
  assert.deepEqual([names.route(3, -1), names.pool(3, -1)], [null, null]);
});

test('a number with many meanings forgets the first ones and never tells a wrong one', () => {
  const names = new PlanNames();
  for (let epoch = 1; epoch <= 20; epoch++) names.learn(plan(epoch, `host-${epoch}:1`, 'weir.yaml:5'));
  assert.equal(names.endpoint(20, 7), 'host-20:1');
  assert.equal(names.endpoint(13, 7), 'host-13:1');
  assert.equal(names.endpoint(12, 7), 'slot 7 of an earlier plan');
});
