import assert from 'node:assert/strict';
import { beforeEach, test } from 'node:test';
import { PoolFixture } from '../../health/fixture.ts';
import { Verdict } from '../../health/health.ts';
import { admin, health } from '../../state/doors.ts';
import { plainPassive, plainPool } from '../../state/plain-pool.ts';
import type { EndpointPlan, Plan } from '../../state/plan.ts';
import { Orders } from '../admin/orders.ts';
import { PassiveHealth } from './passive.ts';
import { EndpointStates } from './states.ts';

const WALL_MS = 1_700_000_000_000;
const wall = (): number => WALL_MS + pool.nowMs;
const quiet = { info: () => {}, warn: () => {} };

let pool: PoolFixture;
let slot: number;
let passive: PassiveHealth;
let orders: Orders;
let states: EndpointStates;
let verdict: Verdict | null;

function start(slowStartMs = 0): void {
  pool = new PoolFixture(4);
  slot = pool.slots[1]!;
  const endpoints = pool.slots.map((its) => ({ slot: its, address: `e${its}`, weight: 1 }) as unknown as EndpointPlan);
  const its = { ...plainPool.health, passive: plainPassive, slowStartMs };
  const plan = { pools: [{ ...plainPool, id: 0, name: 'pool', source: '', endpoints, health: its }] } as unknown as Plan;
  const door = pool.control;
  passive = new PassiveHealth({ door, events: quiet, now: wall, random: () => 0 });
  orders = new Orders({ door, events: quiet, now: wall });
  verdict = null;
  const checks = { statusOf: (of: number) => (of === slot ? (verdict?.status() ?? null) : null) };
  states = new EndpointStates({ door, orders, checks, passive, now: wall });
  passive.apply(plan);
  states.apply(plan);
  for (let i = 0; i < 4; i++) pool.end(i, 'ok', 5);
  turn();
}
function turn(ms = 25): void {
  pool.pass(ms);
  passive.turn();
}
function checked(passed: boolean): void {
  verdict ??= new Verdict(health.unknown, wall());
  const [reason, evidence] = passed ? ['ok', '200 OK'] : ['connection_refused', 'ECONNREFUSED'];
  verdict.take({ passed, reason, evidence, ms: 0.84 }, 2, 3, wall());
  pool.control.setHealth(slot, verdict.state);
}
const order = () => ({ pool: 'pool', endpoint: 'e1', slot, reason: 'deploy 7', by: 'unix socket' });
beforeEach(() => start());

test('ready without checks: since it was taken for fit', () => {
  pool.control.setHealth(slot, health.up);
  const since = wall();
  pool.pass(5000);
  const { state, why, since: told, active, evidence } = states.of(slot)!;
  assert.deepEqual([state, why, told, active, evidence], ['ready', 'not checked', since, null, []]);
});

test('ready by its checks: with the last result', () => {
  checked(true);
  checked(true);
  pool.pass(1200);
  const { state, why, evidence } = states.of(slot)!;
  assert.deepEqual([state, why], ['ready', 'ok: 200 OK']);
  assert.deepEqual(evidence, ['last check, 1.2 s ago, passed: 200 OK, after 0.8 ms', '2 checks in a row passed']);
});

test('down by its checks, since the check that said so', () => {
  checked(true);
  for (let k = 0; k < 3; k++) checked(false);
  const since = wall();
  pool.pass(200_000);
  checked(false);
  const { state, why, since: told, evidence } = states.of(slot)!;
  assert.deepEqual([state, why, told], ['down', 'connection_refused: ECONNREFUSED', since]);
  assert.equal(evidence[0], 'last check, 0.0 s ago, failed: connection_refused, ECONNREFUSED, after 0.8 ms');
  assert.equal(evidence[1], '4 checks in a row failed');
});

test('checks that cannot be made are told beside the last one that was, and until one is made', () => {
  checked(true);
  const missed = (): void => verdict!.miss('no local port is left (EADDRNOTAVAIL)', wall());
  missed();
  pool.pass(1000);
  assert.equal(
    states.of(slot)!.evidence[0],
    'the last check, 1.0 s ago, could not be made: no local port is left (EADDRNOTAVAIL)',
  );
  missed();
  pool.pass(2000);
  const { state, why, evidence } = states.of(slot)!;
  assert.deepEqual([state, why], ['ready', 'ok: 200 OK; not checked now: no local port is left (EADDRNOTAVAIL)']);
  assert.deepEqual(evidence, [
    'the last 2 checks, 2.0 s ago, could not be made: no local port is left (EADDRNOTAVAIL)',
    'last check, 3.0 s ago, passed: 200 OK, after 0.8 ms',
  ]);
  checked(true);
  assert.equal(states.of(slot)!.why, 'ok: 200 OK');
});

test('down without an address', () => {
  pool.control.setHealth(slot, health.down);
  assert.equal(states.of(slot)!.why, 'the name has no address');
});

test('ejected while its checks pass: why is what live traffic showed, and the checks are told beside it', () => {
  checked(true);
  pool.end(1, 'timeout', 5);
  turn();
  const since = wall();
  pool.pass(6000);
  const { state, why, since: told, evidence, ejection } = states.of(slot)!;
  assert.deepEqual([state, told], ['ejected', since]);
  assert.match(why, /^5 failures in a row: 5 timed out/);
  assert.deepEqual(evidence.slice(0, 2), ['ejected, for another 24 s', 'cause: consecutive-failures']);
  assert.match(evidence[2]!, /^last check, 6.0 s ago, passed/);
  assert.deepEqual(ejection, { cause: 'consecutive-failures', count: 1, returnsAt: since + 30_000 });
});

test('back from an ejection it says that it is on probation, until it has shown itself', () => {
  pool.end(1, 'timeout', 5);
  turn();
  turn(30_000);
  const { state, evidence, ejection } = states.of(slot)!;
  assert.equal(state, 'ready');
  assert.match(evidence[0]!, /^it is back from an ejection, and the next failure is the last straw: 5 failures in a row/);
  assert.deepEqual(ejection, { cause: 'consecutive-failures', count: 1, returnsAt: null });
  pool.end(1, 'ok');
  pool.end(1, 500);
  turn();
  assert.deepEqual(states.of(slot)!.evidence, ['the last request failed']);
});

test('found ejected by a control process that took over: says that it does not know', () => {
  pool.control.setEjected(slot, true);
  assert.match(states.of(slot)!.why, /before this control process started/);
});

test('not ejected for what all do: says so', () => {
  for (let k = 0; k < 6; k++) for (let i = 0; i < 4; i++) pool.end(i, 'refused');
  turn();
  assert.deepEqual(states.of(slot)!.evidence, [
    'it failed enough to be ejected, but the others of the pool fail alike',
    'the last 6 requests failed',
  ]);
});

test('an order hides the rest, which is told as evidence, with who gave it', () => {
  checked(true);
  pool.end(1, 'timeout', 5);
  turn();
  orders.setState(order(), 'drain');
  const since = wall();
  for (let k = 0; k < 3; k++) checked(false);
  const { state, why, since: told, evidence } = states.of(slot)!;
  assert.deepEqual([state, why, told], ['drain', 'deploy 7', since]);
  assert.equal(evidence[0], 'ordered by unix socket');
  assert.match(evidence[1]!, /^ejected as well \(5 failures in a row.*, for another 30 s$/);
  assert.equal(evidence.at(-1), 'checks say that it is down');
  pool.control.setAdmin(slot, admin.maint);
  assert.deepEqual([states.of(slot)!.state, states.of(slot)!.why], ['maint', 'set by an operator']);
});

test('slow start: since it became ready', () => {
  start(10_000);
  pool.control.setHealth(slot, health.up);
  const since = wall();
  pool.pass(4000);
  const { state, since: told, evidence } = states.of(slot)!;
  assert.deepEqual([state, told, evidence], ['slow-start', since, ['it grows to its full share of requests']]);
  pool.pass(6000);
  assert.equal(states.of(slot)!.state, 'ready');
});

test('a slot of no endpoint has no state', () => {
  assert.equal(states.of(7), null);
  assert.equal(states.of(-1), null);
});

test('ejected by an operator: who, why, and when it returns', () => {
  assert.equal(passive.eject(order(), 60_000), null);
  const since = wall();
  pool.pass(1000);
  const { state, why, since: told, evidence, ejection } = states.of(slot)!;
  assert.deepEqual([state, why, told], ['ejected', 'ordered by unix socket: deploy 7', since]);
  assert.deepEqual(evidence, ['ejected, for another 59 s', 'cause: operator']);
  assert.deepEqual(ejection, { cause: 'operator', count: 0, returnsAt: since + 60_000 });
  turn(60_000);
  assert.deepEqual([states.of(slot)!.state, states.of(slot)!.ejection], ['ready', null]);
});
