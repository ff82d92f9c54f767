import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ControlDoor, initTable, type Reader, tableBytes, WorkerDoor } from './table.ts';

const sizes = { slotsMax: 4, stripesMax: 4, exchangeRowsMax: 4, countRowsMax: 4 };

function table(workers: number) {
  const buffer = new ArrayBuffer(tableBytes(sizes));
  initTable(buffer, sizes, 1);
  const control = new ControlDoor(buffer);
  const slot = control.claimSlot('a', 'x');
  const doors = Array.from({ length: workers }, () => new WorkerDoor(buffer, control.claimStripe()));
  const answer = (worker: number, ms: number, times = 1) => {
    for (let i = 0; i < times; i++) {
      doors[worker]!.begin(slot);
      doors[worker]!.end(slot, 0, 200, ms);
    }
  };
  return { control, slot, doors, answer };
}

function samplesOf(reader: Reader, slot: number): number {
  const out = new Float64Array(4);
  reader.readLatencies(slot, slot, out);
  assert.deepEqual(out.subarray(0, 2), out.subarray(2));
  return out[1]!;
}

function near(actual: number, expected: number): void {
  assert.ok(Math.abs(actual - expected) <= 0.01 * expected + 1e-9, `${actual} is not ${expected}`);
}

test('there is no latency before the first answer, and a fault without one is none', () => {
  const { control, slot, doors } = table(1);
  assert.equal(control.latencyMs(slot), 0);
  doors[0]!.begin(slot);
  doors[0]!.end(slot, 0, 0, -1);
  assert.equal(control.latencyMs(slot), 0);
});

test('answers of one moment count alike, over all workers', () => {
  const { control, slot, doors, answer } = table(2);
  for (const door of doors) door.heartbeat(1e6);
  answer(0, 10, 3);
  answer(1, 50, 1);
  near(control.latencyMs(slot), 20);
  near(samplesOf(control, slot), 4);
});

test('an answer fades to 1/e in ten seconds', () => {
  const { control, slot, doors, answer } = table(1);
  doors[0]!.heartbeat(0);
  answer(0, 100);
  doors[0]!.heartbeat(10_000);
  near(samplesOf(control, slot), 1 / Math.E);
  near(control.latencyMs(slot), 100);
  answer(0, 10);
  near(control.latencyMs(slot), (100 / Math.E + 10) / (1 / Math.E + 1));
});

test('a change of speed is seen within some ten seconds of traffic', () => {
  const { control, slot, doors, answer } = table(1);
  for (let s = 0; s < 60; s++) {
    doors[0]!.heartbeat(s * 1000);
    answer(0, s < 30 ? 10 : 200, 5);
  }
  assert.ok(control.latencyMs(slot) > 180, String(control.latencyMs(slot)));
});

test('workers whose clocks began at different times are added up alike', () => {
  const { control, slot, doors, answer } = table(2);
  doors[0]!.heartbeat(86_400_000);
  doors[1]!.heartbeat(12);
  answer(0, 10);
  answer(1, 30);
  near(control.latencyMs(slot), 20);
});

test('a worker that answers nothing any more fades against one that does', () => {
  const { control, slot, doors, answer } = table(2);
  for (const door of doors) door.heartbeat(1000);
  answer(0, 500, 100);
  for (const door of doors) door.heartbeat(101_000);
  answer(1, 10, 10);
  near(control.latencyMs(slot), 10.2);
});

test('nothing jumps when the landmark moves on', () => {
  const { control, slot, doors, answer } = table(1);
  // A landmark is a thousand seconds.
  for (let ms = 995_000; ms <= 1_005_000; ms += 100) {
    doors[0]!.heartbeat(ms);
    answer(0, 40);
    near(control.latencyMs(slot), 40);
  }
  near(samplesOf(control, slot), (1 - Math.exp(-1)) / (1 - Math.exp(-0.01)));
});

test('after months of silence there is neither an overflow nor a latency', () => {
  const { control, slot, doors, answer } = table(1);
  doors[0]!.heartbeat(999_999);
  answer(0, 40, 1000);
  doors[0]!.heartbeat(1e10);
  assert.equal(control.latencyMs(slot), 0);
  answer(0, 7);
  near(control.latencyMs(slot), 7);
  near(samplesOf(control, slot), 1);
});

test('two endpoints are read at once, each with its own samples, of this landmark or an earlier one', () => {
  const { control, slot, doors, answer } = table(2);
  const other = control.claimSlot('pool', 'other:1');
  const out = new Float64Array(4);
  doors[0]!.heartbeat(0);
  doors[0]!.begin(other);
  doors[0]!.end(other, 0, 200, 70);
  // Beyond the landmark of the other's sample.
  doors[0]!.heartbeat(1_005_000);
  answer(0, 30, 2);
  control.readLatencies(slot, other, out);
  near(out[0]!, 60);
  near(out[1]!, 2);
  assert.ok(out[3]! > 0 && out[3]! < 1e-40, `${out[3]}`);
  near(out[2]! / out[3]!, 70);
});
