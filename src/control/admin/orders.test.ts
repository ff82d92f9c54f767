import assert from 'node:assert/strict';
import { beforeEach, test } from 'node:test';
import { admin } from '../../state/doors.ts';
import { StateFixture } from './fixture.ts';
import type { Order } from './orders.ts';

let state: StateFixture;
let order: Order;

beforeEach(() => {
  state = new StateFixture({ web: 2 });
  const { address, slot } = state.web.endpoints[0]!;
  order = { pool: 'web', endpoint: address, slot, reason: 'deploy', by: 'unix socket' };
});

test('an order stands in the table, where workers look, and is remembered with reason and time', () => {
  const { slot } = order;
  const version = state.tally.version();
  state.orders.setState(order, 'drain');
  assert.equal(state.tally.admin(slot), admin.drain);
  assert.equal(state.tally.isReady(slot), false);
  assert.notEqual(state.tally.version(), version, 'workers are told to look again');
  assert.deepEqual(state.orders.stateNote(slot), { why: 'deploy', since: state.now });
  assert.equal(state.orders.stateNote(state.web.endpoints[1]!.slot), null);
});

test('an order without a reason says that somebody gave it', () => {
  state.orders.setState({ ...order, reason: null }, 'maint');
  assert.equal(state.orders.stateNote(order.slot)!.why, 'set by an operator');
});

test('ready takes the note away', () => {
  state.orders.setState(order, 'drain');
  state.orders.setState(order, 'ready');
  assert.equal(state.tally.isReady(order.slot), true);
  assert.equal(state.orders.stateNote(order.slot), null);
  assert.deepEqual(state.said, ['endpoint_drain', 'endpoint_ready']);
});

test('the same order again keeps its time, and takes a new reason when one is given', () => {
  state.orders.setState(order, 'drain');
  const since = state.now;
  state.now += 1000;
  state.orders.setState({ ...order, reason: null }, 'drain');
  assert.deepEqual(state.orders.stateNote(order.slot), { why: 'deploy', since });
  assert.equal(state.said.length, 1, 'no event for what changes nothing');
  state.orders.setState({ ...order, reason: 'still' }, 'drain');
  assert.deepEqual(state.orders.stateNote(order.slot), { why: 'still', since });
});

test('another state begins a time of its own', () => {
  state.orders.setState(order, 'drain');
  state.now += 1000;
  state.orders.setState(order, 'maint');
  assert.equal(state.orders.stateNote(order.slot)!.since, state.now);
});

test('a note does not explain what the table does not say', () => {
  state.orders.setState(order, 'drain');
  state.orders.setWeight(order, 50);
  // The slot went to another endpoint, or another process changed it.
  state.control.setAdmin(order.slot, admin.maint);
  state.control.setWeightPercent(order.slot, 70);
  assert.equal(state.orders.stateNote(order.slot), null);
  assert.equal(state.orders.weightNote(order.slot), null);
});

test('a weight is a share of the configured one, and the whole of it needs no note', () => {
  state.orders.setWeight(order, 50);
  assert.equal(state.tally.weightPercent(order.slot), 50);
  assert.deepEqual(state.orders.weightNote(order.slot), { why: 'deploy', since: state.now });
  state.orders.setWeight(order, 100);
  assert.equal(state.tally.weightPercent(order.slot), 100);
  assert.equal(state.orders.weightNote(order.slot), null);
});

test('state and weight do not disturb each other', () => {
  state.orders.setWeight(order, 50);
  state.orders.setState(order, 'drain');
  state.orders.setState(order, 'ready');
  assert.equal(state.tally.weightPercent(order.slot), 50);
});
