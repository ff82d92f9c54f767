import assert from 'node:assert/strict';
import { beforeEach, test } from 'node:test';
import { fault } from '../../base/faults.ts';
import { admin } from '../../state/doors.ts';
import type { Plan, StickyPlan } from '../../state/plan.ts';
import { CUT_MS, DRAIN_MS, Drains, SETTLE_MS } from './drains.ts';
import { StateFixture } from './fixture.ts';
import type { Order } from './orders.ts';

let state: StateFixture;
let order: Order;
let slot: number;

beforeEach(() => {
  state = new StateFixture({ web: 2 });
  const { address } = state.web.endpoints[0]!;
  slot = state.web.endpoints[0]!.slot;
  order = { pool: 'web', endpoint: address, slot, reason: 'deploy', by: 'unix socket' };
});

/** Time goes by, and the drains look as their timer would. */
function after(ms: number): void {
  state.now += ms;
  state.drains.look();
}

function makeSticky(): void {
  state.its = { ...state.its!, pools: [{ ...state.web, sticky: {} as StickyPlan }] };
  state.drains.apply(state.its);
}

/** Events of drains, without those of the orders behind them. */
const said = (): string[] => state.said.filter((event) => event.startsWith('drain_'));

test('a drain tells what is left, until when, why and by whom', () => {
  const { worker } = state;
  for (let i = 0; i < 3; i++) worker.begin(slot);
  worker.tunnel(slot, 1);
  worker.wires(slot, 4, 3);
  const drain = state.drains.begin(order, { timeoutMs: 60_000 });
  assert.match(drain.id, /^[0-9a-f]{8}$/);
  assert.deepEqual(drain, {
    id: drain.id,
    pool: 'web',
    endpoint: '10.0.0.1:8000',
    since: '2026-01-04T00:00:00.000Z',
    deadline: '2026-01-04T00:01:00.000Z',
    state: 'draining',
    keepsBound: true,
    remaining: { requests: 2, tunnels: 1, idleConnections: 4 },
    cut: 0,
    isSafeToStop: false,
    etaSeconds: null,
    reason: 'deploy',
    by: 'unix socket',
  });
  assert.equal(state.tally.admin(slot), admin.drain);
  assert.deepEqual(state.drains.list(), [drain]);
  assert.deepEqual(state.drains.find(drain.id), drain);
  assert.equal(state.drains.find('00000000'), null);
});

test('it is done when nothing is left, and says so once', () => {
  state.worker.begin(slot);
  const { id } = state.drains.begin(order, {});
  after(10_000);
  assert.deepEqual([state.drains.find(id)!.state, said()], ['draining', []]);
  state.worker.end(slot, 0, 200, 1);
  after(1);
  const { state: its, isSafeToStop, etaSeconds } = state.drains.find(id)!;
  assert.deepEqual([its, isSafeToStop, etaSeconds], ['done', true, 0]);
  after(DRAIN_MS);
  assert.deepEqual(said(), ['drain_done']);
});

test('nothing in flight is not safe before a worker that had picked can have counted', () => {
  const { id, isSafeToStop } = state.drains.begin(order, {});
  assert.equal(isSafeToStop, false);
  after(SETTLE_MS - 1);
  assert.equal(state.drains.find(id)!.isSafeToStop, false);
  state.worker.begin(slot);
  after(1);
  assert.equal(state.drains.find(id)!.state, 'draining', 'the late one is waited for');
  state.worker.end(slot, 0, 200, 1);
  after(1);
  assert.equal(state.drains.find(id)!.state, 'done');
});

test('at the deadline it is overdue with what is left, and can be done later', () => {
  state.worker.begin(slot);
  const { id } = state.drains.begin(order, { timeoutMs: 5000 });
  after(4999);
  assert.equal(state.drains.find(id)!.state, 'draining');
  after(1);
  assert.deepEqual([state.drains.find(id)!.state, said()], ['overdue', ['drain_overdue']]);
  after(60_000);
  state.worker.end(slot, 0, 200, 1);
  after(1);
  assert.deepEqual([state.drains.find(id)!.state, said()], ['done', ['drain_overdue', 'drain_done']]);
});

test('at the deadline what has no end of its own is cut, once, and the drain is done when it is gone', () => {
  for (const protocol of ['http', 'tcp', 'udp'] as const) {
    const fixture = new StateFixture({ web: 2 });
    const { worker, tally } = fixture;
    const pass = (ms: number): void => {
      fixture.now += ms;
      fixture.drains.look();
    };
    fixture.its = { ...fixture.its!, pools: [{ ...fixture.web, protocol }] };
    fixture.drains.apply(fixture.its);
    for (let i = 0; i < 3; i++) worker.begin(slot);
    if (protocol === 'http') for (let i = 0; i < 3; i++) worker.tunnel(slot, 1);
    const { id } = fixture.drains.begin(order, { timeoutMs: 5000 });
    const before = tally.cuts();
    pass(4999);
    assert.deepEqual([tally.isCut(slot), tally.cuts()], [false, before], protocol);
    pass(1);
    const row = fixture.drains.find(id)!;
    assert.deepEqual([tally.isCut(slot), tally.cuts(), row.state, row.cut], [true, before + 1, 'draining', 3], protocol);
    pass(1);
    for (let i = 0; i < 3; i++) {
      if (protocol === 'http') worker.tunnel(slot, -1);
      worker.end(slot, fault.draining, 0, -1);
    }
    pass(SETTLE_MS);
    const done = fixture.drains.find(id)!;
    assert.deepEqual([done.state, done.cut, done.isSafeToStop, tally.cuts()], ['done', 3, true, before + 1], protocol);
    assert.deepEqual(
      fixture.said.filter((event) => event.startsWith('drain_')),
      ['drain_cut', 'drain_done'],
    );
    fixture.orders.setState(order, 'ready');
    assert.equal(tally.isCut(slot), false, 'the next drain begins anew');
  }
});

test('requests that were not upgraded are not cut: with them it is overdue, and with what workers did not cut', () => {
  const { worker, tally } = state;
  worker.begin(slot);
  worker.begin(slot);
  worker.tunnel(slot, 1);
  const { id } = state.drains.begin(order, { timeoutMs: 5000 });
  after(5000);
  assert.deepEqual([state.drains.find(id)!.state, state.drains.find(id)!.cut], ['draining', 1]);
  worker.tunnel(slot, -1);
  worker.end(slot, fault.draining, 101, -1);
  after(1);
  assert.deepEqual([state.drains.find(id)!.state, said()], ['overdue', ['drain_cut', 'drain_overdue']]);
  const longer = state.drains.begin(order, { timeoutMs: 1000 });
  assert.deepEqual([longer.state, longer.cut, tally.isCut(slot)], ['draining', 0, false], 'more time is more time');
  worker.tunnel(slot, 1);
  after(1000);
  after(CUT_MS);
  const stuck = state.drains.find(id)!;
  assert.deepEqual([stuck.state, stuck.cut, stuck.remaining.tunnels], ['overdue', 1, 1]);
});

test('a drain that the control process before this one has cut is over its deadline', () => {
  state.control.setAdmin(slot, admin.drain);
  state.control.setCut(slot, true);
  state.worker.begin(slot);
  state.drains.look();
  assert.equal(state.drains.list()[0]!.state, 'overdue');
  assert.equal(state.tally.isCut(slot), true);
});

test('requests bound to it reach it until the deadline, so that it is not safe before', () => {
  makeSticky();
  const { id } = state.drains.begin(order, { timeoutMs: 5000 });
  assert.equal(state.tally.keepsBound(slot), true);
  after(4999);
  assert.deepEqual([state.drains.find(id)!.isSafeToStop, state.tally.keepsBound(slot)], [false, true]);
  after(1);
  assert.equal(state.tally.keepsBound(slot), false, 'they go elsewhere from now on');
  assert.deepEqual([state.drains.find(id)!.state, state.drains.find(id)!.isSafeToStop], ['draining', false]);
  after(SETTLE_MS);
  assert.deepEqual([state.drains.find(id)!.state, said()], ['done', ['drain_done']]);
});

test('one that keeps nothing is done as soon as nothing is left, sticky or not', () => {
  makeSticky();
  const { id, keepsBound } = state.drains.begin(order, { keepBound: false });
  assert.deepEqual([keepsBound, state.tally.keepsBound(slot)], [false, false]);
  after(SETTLE_MS);
  assert.equal(state.drains.find(id)!.state, 'done');
});

test('what was kept can be let go before the deadline', () => {
  makeSticky();
  const { id } = state.drains.begin(order, {});
  after(1000);
  const again = state.drains.begin(order, { keepBound: false });
  assert.deepEqual([again.id, again.isSafeToStop], [id, false]);
  assert.equal(state.tally.keepsBound(slot), false);
  after(SETTLE_MS);
  assert.equal(state.drains.find(id)!.isSafeToStop, true);
});

test('the same order again is the same drain, with a new deadline and reason where they are given', () => {
  state.worker.begin(slot);
  const first = state.drains.begin(order, { timeoutMs: 1000 });
  after(1000);
  assert.equal(state.drains.find(first.id)!.state, 'overdue');
  const same = state.drains.begin({ ...order, reason: null }, {});
  assert.deepEqual([same.id, same.deadline, same.reason, same.state], [first.id, first.deadline, 'deploy', 'overdue']);
  const longer = state.drains.begin({ ...order, reason: 'still' }, { timeoutMs: 1000 });
  assert.deepEqual([longer.id, longer.state, longer.reason], [first.id, 'draining', 'still']);
  assert.equal(Date.parse(longer.deadline), state.now + 1000);
  assert.equal(longer.since, first.since);
});

test('how long it will take is told from how fast it went', () => {
  for (let i = 0; i < 30; i++) state.worker.begin(slot);
  const { id } = state.drains.begin(order, {});
  assert.equal(state.drains.find(id)!.etaSeconds, null);
  for (let second = 0; second < 5; second++) {
    for (let i = 0; i < 2; i++) state.worker.end(slot, 0, 200, 1);
    after(1000);
  }
  assert.equal(state.drains.find(id)!.etaSeconds, 10, '20 left at 2 a second');
  for (let second = 0; second < 15; second++) after(1000);
  assert.equal(state.drains.find(id)!.etaSeconds, null, 'nothing ended lately');
});

test('cancelling makes the endpoint ready, and the drain can still be asked for', () => {
  state.worker.begin(slot);
  const { id } = state.drains.begin(order, {});
  const cancelled = state.drains.cancel(id, 'unix socket')!;
  assert.deepEqual([cancelled.state, cancelled.remaining.requests], ['cancelled', 1]);
  assert.equal(state.tally.isReady(slot), true);
  assert.deepEqual(state.drains.list(), []);
  assert.equal(state.drains.find(id)!.state, 'cancelled');
  assert.equal(state.drains.cancel(id, 'unix socket'), null, 'it is over');
});

test('another order ends it: ready or maintenance cancel it, and a done one stays done', () => {
  state.worker.begin(slot);
  const { id } = state.drains.begin(order, {});
  state.orders.setState(order, 'maint');
  assert.equal(state.drains.ofSlot(slot), null);
  assert.equal(state.drains.find(id)!.state, 'cancelled');
  state.worker.end(slot, 0, 200, 1);
  const second = state.drains.begin(order, {});
  assert.notEqual(second.id, id);
  after(SETTLE_MS);
  state.orders.setState(order, 'ready');
  after(1);
  assert.deepEqual([state.drains.find(second.id)!.state, said()], ['done', ['drain_done']]);
});

test('a drain of a control process that is gone gets an object, a deadline from now and no reason', () => {
  state.control.setAdmin(slot, admin.drain);
  state.control.setKeeps(slot, true);
  state.worker.begin(slot);
  const { control: door, tally, orders } = state;
  const events = { info: () => {}, warn: () => {} };
  const successor = new Drains({ door, tally, orders, events, now: () => state.now, after: () => {} });
  successor.apply(state.its!);
  const [drain] = successor.list();
  assert.deepEqual(
    [drain!.since, drain!.reason, drain!.by, drain!.keepsBound, drain!.state],
    [null, null, null, true, 'draining'],
  );
  assert.equal(Date.parse(drain!.deadline), state.now + DRAIN_MS);
  state.now += DRAIN_MS;
  successor.look();
  assert.equal(successor.list()[0]!.state, 'overdue');
  assert.equal(tally.isKeeping(slot), false);
});

test('a reload keeps it, even one that takes the endpoint out, until the slot is given away', () => {
  state.worker.begin(slot);
  const { id } = state.drains.begin(order, {});
  const plan = state.its!;
  state.drains.apply({ ...plan, pools: plan.pools.map((pool) => ({ ...pool })) });
  assert.equal(state.drains.find(id)!.state, 'draining');
  state.drains.apply({ ...plan, pools: [{ ...state.web, endpoints: state.web.endpoints.slice(1) }] });
  assert.equal(state.drains.list()[0]!.remaining.requests, 1, 'what is left is still counted');
  const another = { ...state.web.endpoints[0]!, address: '10.0.0.9:1' };
  state.drains.apply({ ...plan, pools: [{ ...state.web, endpoints: [another] }] } satisfies Plan);
  assert.equal(state.drains.find(id)!.state, 'cancelled');
});

test('a drain of an endpoint that left the plan is over when nothing is left', () => {
  const { id } = state.drains.begin(order, {});
  state.drains.apply({ ...state.its!, pools: [{ ...state.web, endpoints: state.web.endpoints.slice(1) }] });
  assert.equal(state.drains.list().length, 1);
  after(SETTLE_MS);
  after(1);
  assert.deepEqual([state.drains.list(), state.drains.find(id)!.state, said()], [[], 'done', ['drain_done']]);
});

test('it looks by itself when something is due: settled, each second, and at the deadline', () => {
  const due: { ms: number; look: () => void }[] = [];
  const { control: door, tally, orders } = state;
  const events = { info: () => {}, warn: () => {} };
  const now = () => state.now;
  const drains = new Drains({ door, tally, orders, events, now, after: (ms, look) => void due.push({ ms, look }) });
  drains.apply(state.its!);
  assert.equal(due.length, 0, 'it does not look while nothing drains');
  state.worker.begin(slot);
  const { id } = drains.begin(order, { timeoutMs: 1300 });
  const next = (): number => {
    const { ms, look } = due.shift()!;
    state.now += ms;
    look();
    return ms;
  };
  assert.deepEqual([next(), next(), next()], [SETTLE_MS, 1000, 1300 - 1000 - SETTLE_MS]);
  assert.equal(drains.find(id)!.state, 'overdue');
  state.worker.end(slot, 0, 200, 1);
  while (due.length > 0) next();
  assert.equal(drains.find(id)!.state, 'done');
});
