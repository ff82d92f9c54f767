import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fault } from '../base/faults.ts';
import { ejectionCause, TRAFFIC_LENGTH, traffic } from './doors.ts';
import { ControlDoor, initTable, Tally, tableBytes, WorkerDoor } from './table.ts';

const sizes = { slotsMax: 4, stripesMax: 4, poolsMax: 4, exchangeRowsMax: 4, countRowsMax: 4 };

function table(workers: number) {
  const buffer = new ArrayBuffer(tableBytes(sizes));
  initTable(buffer, sizes, 1);
  const control = new ControlDoor(buffer);
  const slot = control.claimSlot('a', 'x');
  const doors = Array.from({ length: workers }, () => new WorkerDoor(buffer, control.claimStripe()));
  const end = (worker: number, faultId: number, status: number, responseMs = -1) => {
    doors[worker]!.begin(slot);
    doors[worker]!.end(slot, faultId, status, responseMs);
  };
  const out = new Float64Array(TRAFFIC_LENGTH);
  const read = (its = slot) => {
    control.readTraffic(its, out);
    return Object.fromEntries(Object.entries(traffic).map(([name, at]) => [name, out[at]!])) as Record<
      keyof typeof traffic,
      number
    >;
  };
  return { buffer, control, slot, doors, end, read };
}

test('an end is good, bad or neither: faults of the endpoint and 5xx are bad, what the client or weir did is neither', () => {
  const { end, read } = table(1);
  const counts = () => {
    const { good, bad, faults, timeouts, gateway, streak, hardStreak } = read();
    return [good, bad, faults, timeouts, gateway, streak, hardStreak];
  };
  end(0, fault.none, 200);
  end(0, fault.none, 404);
  assert.deepEqual(counts(), [2, 0, 0, 0, 0, 0, 0]);
  end(0, fault.none, 503);
  assert.deepEqual(counts(), [2, 1, 0, 0, 1, 1, 1]);
  end(0, fault.responseTimeout, 0);
  assert.deepEqual(counts(), [2, 2, 1, 1, 1, 2, 2]);
  end(0, fault.none, 500);
  assert.deepEqual(counts(), [2, 3, 1, 1, 1, 3, 0], 'a 500 is an answer');
  end(0, fault.none, 0);
  assert.deepEqual(counts(), [2, 3, 1, 1, 1, 3, 0], 'no status and no fault: nothing was learnt');
  end(0, fault.responseIncomplete, 200);
  assert.deepEqual(counts(), [2, 4, 2, 1, 1, 4, 1], 'a good status does not mend a broken answer');
  end(0, fault.connectionRefused, 503);
  assert.deepEqual(counts(), [2, 5, 3, 1, 1, 5, 2], 'one end counts once');
  end(0, fault.unroutable, 0);
  assert.deepEqual(counts(), [2, 6, 4, 1, 1, 6, 3], 'there is no way to it');
  for (const its of [fault.outOfPorts, fault.queueFull, fault.clientAborted, fault.rateLimited]) end(0, its, 0);
  assert.deepEqual(counts(), [2, 6, 4, 1, 1, 6, 3]);
  end(0, fault.none, 200);
  assert.deepEqual(counts(), [3, 6, 4, 1, 1, 0, 0]);
});

test('counts are summed over workers and survive them; runs are the largest of any living one', () => {
  const { control, doors, end, read } = table(2);
  end(0, fault.connectionTimeout, 0);
  end(0, fault.connectionTimeout, 0);
  end(1, fault.none, 502);
  end(1, fault.none, 200);
  end(1, fault.none, 502);
  assert.deepEqual(
    { ...read(), latencyMs: 0 },
    {
      good: 1,
      bad: 4,
      faults: 2,
      timeouts: 2,
      gateway: 2,
      streak: 2,
      hardStreak: 2,
      inFlight: 0,
      latencyMs: 0,
      latencyWeight: 0,
    },
  );
  const before = [control.poolComplaints(0), control.complaints()];
  assert.deepEqual(before, [4, 4]);
  control.releaseStripe(doors[0]!.stripe);
  const { good, bad, faults, streak, hardStreak } = read();
  assert.deepEqual([good, bad, faults, streak, hardStreak], [1, 4, 2, 1, 1]);
  assert.equal(control.poolComplaints(0), 4, 'those of a pool only grow');
  assert.equal(control.complaints(), 2, 'those of the living have moved, so one looks');
});

test('complaints are counted for the pool of the endpoint only', () => {
  const { control, doors } = table(1);
  const other = control.claimSlot('b', 'y');
  doors[0]!.begin(other);
  doors[0]!.end(other, fault.none, 500, 1);
  assert.deepEqual([control.poolComplaints(0), control.poolComplaints(1)], [0, 1]);
});

test('a tunnel speaks well of its endpoint as it begins, and is not counted as in flight', () => {
  const { doors, slot, end, read } = table(1);
  end(0, fault.connectionRefused, 0);
  doors[0]!.begin(slot);
  doors[0]!.begin(slot);
  doors[0]!.tunnel(slot, 1);
  assert.deepEqual([read().good, read().streak, read().hardStreak, read().inFlight], [1, 0, 0, 1]);
  doors[0]!.tunnel(slot, -1);
  doors[0]!.end(slot, fault.none, 101, 1);
  assert.deepEqual([read().good, read().inFlight], [2, 1]);
  end(0, fault.connectionRefused, 0);
  doors[0]!.worked(slot);
  assert.deepEqual([read().good, read().streak], [3, 0]);
});

test('latency comes with the rest', () => {
  const { doors, end, read } = table(1);
  doors[0]!.heartbeat(0);
  end(0, fault.none, 200, 40);
  end(0, fault.none, 200, 60);
  assert.deepEqual([read().latencyMs, read().latencyWeight], [50, 2]);
});

test('ejections are counted by cause, those that were only said apart, and a new endpoint starts from none', () => {
  const { buffer, control, slot } = table(0);
  control.countEjection(slot, ejectionCause.latency, false);
  control.countEjection(slot, ejectionCause.latency, false);
  control.countEjection(slot, ejectionCause.consecutiveFailures, true);
  const tally = new Tally(buffer);
  assert.deepEqual(
    [tally.slot(slot).ejections, tally.slot(slot).wouldEject],
    [
      [0, 0, 0, 2, 0],
      [1, 0, 0, 0, 0],
    ],
  );
  assert.deepEqual(tally.slot(slot).transitions, [0, 0, 0, 0, 0, 0], 'they lie apart from what lies before them');
  control.releaseSlot(slot);
  for (let i = 0; i < sizes.slotsMax; i++) control.claimSlot('a', `${i}`);
  assert.deepEqual(
    [tally.slot(slot).ejections, tally.slot(slot).wouldEject],
    [
      [0, 0, 0, 0, 0],
      [0, 0, 0, 0, 0],
    ],
  );
});
