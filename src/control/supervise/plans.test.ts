import assert from 'node:assert/strict';
import { test } from 'node:test';
import { plainPlan } from '../../state/plain-pool.ts';
import type { Plan } from '../../state/plan.ts';
import { ControlDoor, initTable, tableBytes } from '../../state/table.ts';
import { Plans } from './plans.ts';

const configuredOf = (...addresses: string[]): Plan => {
  const endpoints = addresses.map((address) => ({ address, resolved: null, slot: -1 }));
  return { ...plainPlan, epoch: 0, node: 'n', listeners: [], routes: [], pools: [{ name: 'web', endpoints }] } as unknown as Plan;
};

/** A table in which so many endpoints find room. */
function plansOf(slotsMax: number, first: Plan) {
  const sizes = { slotsMax, stripesMax: 1, exchangeRowsMax: 4, countRowsMax: 4 };
  const buffer = new ArrayBuffer(tableBytes(sizes));
  initTable(buffer, sizes, 5);
  const door = new ControlDoor(buffer);
  door.setEpoch(7);
  const plans = new Plans(first, { door, resolve: (plan) => plan });
  return { door, plans, claimed: () => [...door.claimed()].map(({ address }) => address).sort() };
}

function made(plans: Plans, configured: Plan): Plan {
  const plan = plans.make(configured);
  assert.ok(typeof plan !== 'string', String(plan));
  return plan;
}

test('epochs go on where the table stopped, and a plan that is refused uses one up', () => {
  const { plans } = plansOf(8, configuredOf('a:1'));
  const first = made(plans, plans.configured);
  plans.putInForce(first, plans.configured);
  const refused = made(plans, configuredOf('b:1'));
  plans.discard(refused);
  const second = made(plans, configuredOf('c:1'));
  assert.deepEqual([first.epoch, refused.epoch, second.epoch], [8, 9, 10]);
});

test('slots that only a refused plan claimed go back, and no others', () => {
  const { plans, claimed } = plansOf(8, configuredOf('a:1', 'b:1'));
  plans.putInForce(made(plans, plans.configured), plans.configured);
  plans.discard(made(plans, configuredOf('b:1', 'c:1')));
  assert.deepEqual(claimed(), ['a:1', 'b:1']);
  assert.deepEqual(plans.configured, configuredOf('a:1', 'b:1'), 'the next change begins from what is in force');
});

test('slots of the plan before stay until they are released', () => {
  const { plans, claimed } = plansOf(8, configuredOf('a:1', 'b:1'));
  plans.putInForce(made(plans, plans.configured), plans.configured);
  const next = configuredOf('b:1', 'c:1');
  plans.putInForce(made(plans, next), next);
  assert.deepEqual(claimed(), ['a:1', 'b:1', 'c:1']);
  plans.releaseOthers();
  assert.deepEqual(claimed(), ['b:1', 'c:1']);
});

test('a plan that finds no room says for what, and takes none', () => {
  const { plans, claimed } = plansOf(3, configuredOf('a:1', 'b:1'));
  plans.putInForce(made(plans, plans.configured), plans.configured);
  assert.equal(
    plans.make(configuredOf('b:1', 'c:1', 'd:1', 'e:1')),
    'the state table has no room for endpoint web/d:1, endpoint web/e:1',
  );
  assert.deepEqual(claimed(), ['a:1', 'b:1']);
});

test('before the first plan nothing goes back: workers of a predecessor may use it', () => {
  const { plans, door, claimed } = plansOf(2, configuredOf('a:1', 'b:1', 'c:1'));
  door.claimSlot('web', 'a:1');
  assert.equal(plans.make(plans.configured), 'the state table has no room for endpoint web/c:1');
  assert.deepEqual(claimed(), ['a:1', 'b:1']);
});
