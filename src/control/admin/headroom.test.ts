import assert from 'node:assert/strict';
import { closeSync, openSync } from 'node:fs';
import { test } from 'node:test';
import { protocol, rejection } from '../../state/doors.ts';
import type { UdpListenerPlan } from '../../state/plan.ts';
import { StateFixture } from './fixture.ts';
import { countDescriptors, descriptorsMax, Headroom } from './headroom.ts';

function headroomOf(state: StateFixture, uses: { pool: string; endpoint: string; used: number; of: number }[] = []) {
  const told: { event: string; text: string; fields: Record<string, unknown> | undefined }[] = [];
  const tell = (event: string, text: string, fields?: Record<string, unknown>): void => void told.push({ event, text, fields });
  const headroom = new Headroom({
    tally: state.tally,
    events: { info: tell, warn: tell },
    plan: () => state.plan(),
    workers: () => state.workers(),
    ports: { look: () => {}, uses },
  });
  return { headroom, told };
}

test('ports are told to be low once at 80 %, and to be well once below 70 %', () => {
  const use = { pool: 'web', endpoint: '10.0.0.1:80', used: 0, of: 100 };
  const { headroom, told } = headroomOf(new StateFixture(), [use]);
  const after = (used: number): string[] => {
    use.used = used;
    headroom.look();
    return told.splice(0).map(({ event }) => event);
  };
  assert.deepEqual(after(79), []);
  assert.deepEqual(after(80), ['ports_low']);
  assert.deepEqual(after(100), []);
  assert.deepEqual(after(70), []);
  assert.deepEqual(after(80), []);
  assert.deepEqual(after(69), ['ports_well']);
  assert.deepEqual(after(79), []);
  assert.deepEqual(after(81), ['ports_low']);
});

test('what is told names the endpoint, the numbers and what to do', () => {
  const { headroom, told } = headroomOf(new StateFixture(), [{ pool: 'web', endpoint: '10.0.0.1:80', used: 90, of: 100 }]);
  headroom.look();
  assert.deepEqual(told[0]!.fields, { pool: 'web', endpoint: '10.0.0.1:80', used: 90, of: 100 });
  assert.match(told[0]!.text, /10\.0\.0\.1:80.*90 %.*source: /);
});

test('the fullest endpoints come first', () => {
  const use = (endpoint: string, used: number, of: number) => ({ pool: 'web', endpoint, used, of });
  const { headroom } = headroomOf(new StateFixture(), [use('a', 1, 100), use('b', 50, 200), use('c', 20, 100)]);
  assert.deepEqual(
    headroom.ports.map(({ endpoint }) => endpoint),
    ['b', 'c', 'a'],
  );
});

test('clients are counted over all listeners and held against what the workers take', () => {
  const state = new StateFixture();
  state.its = { ...state.its!, limits: { connectionsMax: 5 } };
  const { headroom, told } = headroomOf(state);
  for (let i = 0; i < 8; i++) state.worker.connection(state.its.listeners[0]!.id, protocol.http1, 1);
  headroom.look();
  // Two workers.
  assert.equal(headroom.clientsRatio, 0.8);
  assert.deepEqual(
    told.map(({ event, fields }) => [event, fields!['of']]),
    [['clients_low', 10]],
  );
});

test('clients of datagrams are held against what is remembered, and are no connections', () => {
  const state = new StateFixture();
  const [listener] = state.its!.listeners;
  state.its = { ...state.its!, listeners: [{ ...listener!, protocol: 'udp', udp: { sessionsMax: 5 } as UdpListenerPlan }] };
  const { headroom, told } = headroomOf(state);
  for (let i = 0; i < 9; i++) state.worker.connection(listener!.id, protocol.udp, 1);
  headroom.look();
  assert.equal(headroom.sessionsRatio, 0.9);
  assert.equal(headroom.clientsRatio, 0);
  assert.deepEqual(
    told.map(({ event, fields }) => [event, fields!['used'], fields!['of']]),
    [['sessions_low', 9, 10]],
  );
});

test('handshakes are counted by listener against what its workers let be, and told when somebody was turned away', () => {
  const state = new StateFixture();
  const [listener] = state.its!.listeners;
  const secure = (max: number) => ({ ...listener!, tls: { ...listener!.tls!, handshakesMax: max } });
  state.its = { ...state.its!, listeners: [secure(5)] };
  const { headroom, told } = headroomOf(state);
  const after = (underWay: number, turnedAway: number): string[] => {
    state.worker.handshakesUnderWay(listener!.id, underWay);
    for (let i = 0; i < turnedAway; i++) state.worker.rejected(listener!.id, rejection.handshakes);
    headroom.look();
    return told.splice(0).map(({ event }) => event);
  };
  // What was turned away before anybody looked is old.
  assert.deepEqual(after(7, 9), []);
  assert.deepEqual(headroom.handshakes, [{ listener: 'web', used: 7, of: 10, turnedAway: 0 }]);
  assert.deepEqual(after(1, 0), ['handshakes_low']);
  assert.deepEqual(after(-5, 0), ['handshakes_well']);
  // One worker is full while the other has room.
  assert.deepEqual(after(0, 3), ['handshakes_low']);
  assert.deepEqual(headroom.handshakes, [{ listener: 'web', used: 3, of: 10, turnedAway: 3 }]);
  assert.deepEqual(after(0, 1), []);
  assert.deepEqual(after(0, 0), ['handshakes_well']);
  state.its = { ...state.its, listeners: [secure(0)] };
  assert.deepEqual(after(100, 0), []);
  assert.deepEqual(headroom.handshakes, [], 'without a limit there is none to reach');
});

test('descriptors are those the process has open, against its limit', () => {
  assert.ok(countDescriptors(process.pid) > 2);
  const moreBySeven = (): number => {
    const before = countDescriptors(process.pid);
    const opened = Array.from({ length: 7 }, () => openSync('/dev/null', 'r'));
    const after = countDescriptors(process.pid);
    for (const fd of opened) closeSync(fd);
    return after - before;
  };
  // A second time where the test reporter has opened its file in between.
  assert.ok(moreBySeven() === 7 || moreBySeven() === 7);
  assert.ok(descriptorsMax(process.pid) >= 256);
  assert.equal(countDescriptors(2 ** 22 + 1), 0);
  const { headroom } = headroomOf(new StateFixture());
  headroom.look();
  const ratio = countDescriptors(process.pid) / descriptorsMax(process.pid);
  assert.ok(Math.abs(headroom.descriptorsRatio - ratio) < 0.01);
});
