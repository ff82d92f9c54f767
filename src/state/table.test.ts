import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fault } from '../base/faults.ts';
import { Prng } from '../base/prng.ts';
import { bucketBoundsMs, bucketOf } from './buckets.ts';
import { admin, fewest, handshakeResult, health, rejection } from './doors.ts';
import { header, LAYOUT_VERSION, layoutProblem } from './layout.ts';
import { ControlDoor, endpointState, initTable, Reader, stateOf, Tally, tableBytes, WorkerDoor } from './table.ts';

const small = { slotsMax: 8, stripesMax: 4, listenersMax: 4, routesMax: 4, poolsMax: 4, exchangeRowsMax: 64, countRowsMax: 256 };

function newTable(sizes = small) {
  const buffer = new ArrayBuffer(tableBytes(sizes));
  initTable(buffer, sizes, 77);
  return { buffer, control: new ControlDoor(buffer) };
}

test('memory that is no table, or a table of another layout, is refused with the reason', () => {
  assert.match(layoutProblem(new ArrayBuffer(100))!, /shorter/);
  const buffer = new ArrayBuffer(tableBytes(small));
  assert.match(layoutProblem(buffer)!, /not a state table/);
  assert.throws(() => new Reader(buffer), /not a state table/);
  initTable(buffer, small);
  assert.equal(layoutProblem(buffer), null);
  assert.match(layoutProblem(buffer.slice(0, buffer.byteLength - 4096))!, /bytes/);
  new Int32Array(buffer)[header.layoutVersion] = LAYOUT_VERSION + 1;
  assert.match(layoutProblem(buffer)!, /layout 7, this program knows layout 6/);
});

test('memory is made a table once, and only when it is large enough', () => {
  const { buffer } = newTable();
  assert.throws(() => initTable(buffer, small), /fresh/);
  assert.throws(() => initTable(new ArrayBuffer(4096), small), /holds the table/);
});

test('all who attach see the same seed, and tables differ in theirs', () => {
  const { buffer } = newTable();
  assert.equal(new Reader(buffer).seed, 77);
  const seeds = Array.from({ length: 4 }, () => {
    const fresh = new ArrayBuffer(tableBytes(small));
    initTable(fresh, small);
    return new Reader(fresh).seed;
  });
  assert.ok(new Set(seeds).size > 1);
});

test('a slot belongs to pool and address, also for a control process that attaches later', () => {
  const { buffer, control } = newTable();
  const slots = [
    control.claimSlot('a', '10.0.0.1:80'),
    control.claimSlot('b', '10.0.0.1:80'),
    control.claimSlot('a', '10.0.0.2:80'),
  ];
  assert.equal(new Set(slots).size, 3);
  control.setHealth(slots[2]!, health.down);
  control.setWeightPercent(slots[2]!, 40);
  const successor = new ControlDoor(buffer);
  assert.equal(successor.claimSlot('a', '10.0.0.2:80'), slots[2]);
  assert.equal(successor.claimSlot('b', '10.0.0.1:80'), slots[1]);
  assert.equal(successor.health(slots[2]!), health.down);
  assert.equal(successor.weightPercent(slots[2]!), 40);
  assert.deepEqual(
    [...successor.claimed()].map(({ pool, address }) => `${pool}/${address}`),
    ['a/10.0.0.1:80', 'b/10.0.0.1:80', 'a/10.0.0.2:80'],
  );
});

test('ids belong to names of a kind, and run out with -1', () => {
  const { buffer, control } = newTable();
  assert.deepEqual(
    ['x', 'y', 'x'].map((name) => control.claimId('route', name)),
    [0, 1, 0],
  );
  assert.equal(control.claimId('pool', 'x'), 0);
  assert.deepEqual(
    ['p', 'q', 'r'].map((name) => control.claimId('route', name)),
    [2, 3, -1],
  );
  assert.equal(new ControlDoor(buffer).claimId('route', 'q'), 3);
  assert.equal(control.claimId('listener', 'x'.repeat(300)), -1);
  assert.equal(control.claimId('listener', 'größer'), 0);
  assert.equal(new Tally(buffer).nameOf('listener', 0), 'größer');
});

test('a new slot is ready with full weight; health, admin and weight change apart, and each change is announced', () => {
  const { control } = newTable();
  const slot = control.claimSlot('a', 'x');
  assert.deepEqual(
    [control.health(slot), control.admin(slot), control.weightPercent(slot), control.isReady(slot)],
    [health.unknown, admin.ready, 100, true],
  );
  let version = control.version();
  const changes: [() => void, boolean][] = [
    [() => control.setHealth(slot, health.up), true],
    [() => control.setHealth(slot, health.down), false],
    [() => control.setAdmin(slot, admin.drain), false],
    [() => control.setHealth(slot, health.up), false],
    [() => control.setAdmin(slot, admin.maint), false],
    [() => control.setAdmin(slot, admin.ready), true],
    [() => control.setWeightPercent(slot, 0), true],
    [() => control.setWeightPercent(slot, 32767), true],
  ];
  for (const [change, isReady] of changes) {
    change();
    assert.equal(control.isReady(slot), isReady);
    assert.notEqual(control.version(), version);
    version = control.version();
  }
  assert.deepEqual([control.health(slot), control.admin(slot), control.weightPercent(slot)], [health.up, admin.ready, 32767]);
  control.setHealth(slot, health.up);
  assert.equal(control.version(), version, 'nothing changed, nothing is announced');
  assert.throws(() => control.setWeightPercent(slot, -1));
});

test('maintenance hides drain, drain hides a failed check', () => {
  assert.equal(stateOf(health.down, admin.maint, false), endpointState.maint);
  assert.equal(stateOf(health.down, admin.drain, false), endpointState.drain);
  assert.equal(stateOf(health.down, admin.ready, false), endpointState.down);
  assert.equal(stateOf(health.unknown, admin.ready, false), endpointState.ready);
});

test('a released slot goes to another name only when all workers have a later plan, no request and no wire', () => {
  const { control, buffer } = newTable();
  const worker = new WorkerDoor(buffer, control.claimStripe());
  const slots = Array.from({ length: 8 }, (_, i) => control.claimSlot('a', `10.0.0.${i}`));
  assert.equal(control.claimSlot('a', 'next'), -1);
  const [slot] = slots as [number];
  control.setEpoch(1);
  worker.inForce(1);
  worker.begin(slot);
  worker.end(slot, fault.none, 200, 5);
  worker.begin(slot);
  worker.wires(slot, 0, 1);
  control.checked(slot, true, 1);
  control.releaseSlot(slot);
  assert.equal(control.claimSlot('a', 'next'), -1, 'the worker may still pick it');
  control.setEpoch(2);
  worker.inForce(2);
  assert.equal(control.claimSlot('a', 'next'), -1, 'a request is in flight');
  worker.end(slot, fault.none, 200, 5);
  assert.equal(control.claimSlot('a', 'next'), -1, 'a wire is open');
  worker.wires(slot, 0, 0);
  assert.equal(control.claimSlot('b', 'next'), slot);
  assert.equal(control.requests(slot), 0);
  assert.equal(control.latencyMs(slot), 0);
  const tally = new Tally(buffer).slot(slot);
  assert.deepEqual([tally.classes[2], tally.checksPassed, tally.responseTimes.reduce((a, b) => a + b)], [0, 0, 0]);
  assert.equal(new ControlDoor(buffer).claimSlot('b', 'next'), slot);
  assert.equal(new ControlDoor(buffer).claimSlot('a', '10.0.0.0'), -1, 'the old name is gone');
});

test('a released slot that comes back under its name has kept everything', () => {
  const { control, buffer } = newTable();
  const worker = new WorkerDoor(buffer, control.claimStripe());
  const slot = control.claimSlot('a', 'x');
  control.setHealth(slot, health.down);
  worker.begin(slot);
  control.releaseSlot(slot);
  assert.deepEqual([...control.claimed()], []);
  const successor = new ControlDoor(buffer);
  assert.equal(successor.claimSlot('a', 'x'), slot);
  assert.deepEqual([successor.health(slot), successor.requests(slot)], [health.down, 1]);
});

test('stripes are given once, come back, and only those in use are summed', () => {
  const { control, buffer } = newTable();
  assert.throws(() => new WorkerDoor(buffer, 0), /claimed/);
  const stripes = Array.from({ length: 5 }, () => control.claimStripe());
  assert.deepEqual(stripes, [0, 1, 2, 3, -1]);
  control.releaseStripe(2);
  assert.equal(control.isStripeUsed(2), false);
  assert.throws(() => control.releaseStripe(2), /in use/);
  assert.equal(new ControlDoor(buffer).claimStripe(), 2);
});

test('a dead worker takes its gauges with it and leaves its counters', () => {
  const { control, buffer } = newTable();
  const tally = new Tally(buffer);
  const stripe = control.claimStripe();
  const worker = new WorkerDoor(buffer, stripe);
  const other = new WorkerDoor(buffer, control.claimStripe());
  const slot = control.claimSlot('a', 'x');
  const pool = control.claimId('pool', 'a');
  const listener = control.claimId('listener', 'l');
  for (const door of [worker, other]) {
    door.heartbeat(5000);
    door.begin(slot);
    door.begin(slot);
    door.end(slot, fault.responseTimeout, 0, -1);
    door.connected(slot, fault.none, 3);
    door.wires(slot, 2, 1);
    door.exchange(listener, -1, pool, 0, 200, 0, 10, 5, 1, 100, 200);
    door.exchangeInFlight(listener, pool, 1);
    door.fault(fault.responseTimeout, -1, pool);
    door.connection(listener, 0, 1);
    door.rejected(listener, rejection.tls);
    door.handshake(listener, handshakeResult.resumed13, 3);
    door.handshake(listener, handshakeResult.full12, -1);
    door.handshake(listener, handshakeResult.timeout, 3);
    door.handshakesUnderWay(listener, 1);
    door.wireBytes(listener, 7, 8);
    door.queue(pool, 3);
    door.queued(pool, 1, true);
    door.logLinesDropped(2);
    door.process(0, 0, 0, 0, 0, 0, 3);
    door.inForce(9);
  }
  const counters = () => {
    const { requests, faults } = tally.counts();
    const { connects, timeouts, classes } = tally.slot(slot);
    const { connectionsTotal, received, rejected, handshakes, handshakeTimes } = tally.listener(listener);
    const { begun, queueTimeouts } = tally.pool(pool);
    const [exchange] = tally.exchanges();
    return {
      requests,
      faults,
      connects,
      timeouts,
      classes,
      connectionsTotal,
      received,
      rejected,
      handshakes,
      handshakeTimes,
      begun,
      queueTimeouts,
      exchange,
      turn: control.turn(slot),
      dropped: tally.logLinesDropped(),
      datagramsDropped: tally.datagramsDropped(),
    };
  };
  const gauges = () => {
    const { wiresIdle, wiresBusy, streak } = tally.slot(slot);
    const { queue } = tally.pool(pool);
    const inFlight = tally.counts().inFlight[0]!.count;
    const { connections, handshakesNow } = tally.listener(listener);
    return [control.inFlight(slot), wiresIdle, wiresBusy, queue, inFlight, connections[0], handshakesNow, streak];
  };
  const before = counters();
  assert.equal(before.begun, 4);
  assert.equal(before.datagramsDropped, 6);
  assert.deepEqual(before.handshakes, [2, 0, 0, 2, 0, 2, 0, 0]);
  assert.equal(before.rejected[rejection.tls], 2);
  assert.equal(before.handshakeTimes[bucketOf(3)], 2, 'neither what was not measured is in a bucket, nor what was not completed');
  assert.deepEqual(gauges(), [2, 4, 2, 6, 2, 2, 2, 1]);
  control.releaseStripe(stripe);
  assert.deepEqual(counters(), before);
  assert.deepEqual(gauges(), [1, 2, 1, 3, 1, 1, 1, 1]);
  assert.equal(control.heartbeatOf(stripe), 0);
  // The next owner of the stripe starts from nothing and adds to it.
  const next = new WorkerDoor(buffer, control.claimStripe());
  assert.equal(next.stripe, stripe);
  next.exchange(listener, -1, pool, 0, 200, 0, 10, 5, 1, 100, 200);
  assert.equal(tally.counts().requests[0]!.count, 3);
  control.releaseStripe(stripe);
  control.releaseStripe(other.stripe);
  assert.equal(tally.counts().requests[0]!.count, 3);
  assert.equal(control.inFlight(slot), 0);
  assert.equal(control.requests(slot), 4);
});

test('what holds a local port, and what was connected, is counted over all workers; connects outlive theirs', () => {
  const { control, buffer } = newTable();
  const tally = new Tally(buffer);
  const workers = [0, 1, 2].map(() => new WorkerDoor(buffer, control.claimStripe()));
  const [slot, other] = [control.claimSlot('a', 'x'), control.claimSlot('a', 'y')];
  for (const [i, worker] of workers.entries()) {
    for (let k = 0; k <= i; k++) worker.begin(slot);
    worker.tunnel(slot, 1);
    worker.wires(slot, 10, 1);
    for (const its of [fault.none, fault.connectionRefused, fault.tlsProtocolError]) worker.connected(slot, its, 1);
  }
  // 1 + 2 + 3 in flight, tunnels among them.
  assert.deepEqual([tally.portsHeld(slot), tally.connectsMade(slot)], [36, 6]);
  assert.deepEqual([tally.portsHeld(other), tally.connectsMade(other)], [0, 0]);
  control.releaseStripe(workers[0]!.stripe);
  assert.deepEqual([tally.portsHeld(slot), tally.connectsMade(slot)], [25, 6]);
});

test('ends are counted by class, blame and streak', () => {
  const { control, buffer } = newTable();
  const worker = new WorkerDoor(buffer, control.claimStripe());
  const slot = control.claimSlot('a', 'x');
  const tally = new Tally(buffer);
  const end = (faultId: number, status: number) => {
    worker.begin(slot);
    worker.end(slot, faultId, status, status > 0 ? 1 : -1);
    const { faults, timeouts, streak } = tally.slot(slot);
    return [faults, timeouts, streak];
  };
  assert.deepEqual(end(fault.none, 200), [0, 0, 0]);
  assert.deepEqual(end(fault.none, 503), [0, 0, 1]);
  assert.deepEqual(end(fault.responseTimeout, 0), [1, 1, 2]);
  assert.deepEqual(end(fault.clientAborted, 0), [1, 1, 2], 'a client that leaves says nothing of the endpoint');
  assert.deepEqual(end(fault.queueFull, 0), [1, 1, 2], 'neither does a limit of our own');
  assert.deepEqual(end(fault.connectionRefused, 0), [2, 1, 3]);
  assert.deepEqual(end(fault.none, 404), [2, 1, 0]);
  assert.deepEqual(end(fault.none, 999), [2, 1, 1]);
  assert.deepEqual(tally.slot(slot).classes, [4, 0, 1, 0, 1, 2]);
  assert.equal(control.inFlight(slot), 0);
});

test('a time falls into the first bucket whose bound is not below it', () => {
  bucketBoundsMs.forEach((bound, i) => {
    assert.equal(bucketOf(bound), i);
    assert.equal(bucketOf(bound * 1.0001), i + 1);
  });
  assert.equal(bucketOf(0), 0);
  assert.equal(bucketOf(1e9), 15);
});

test('any series of calls by several workers, deaths included, comes out as a plain model says', () => {
  for (let seed = 1; seed <= 30; seed++) {
    const prng = new Prng(seed);
    const { control, buffer } = newTable({ ...small, exchangeRowsMax: 256, countRowsMax: 1024 });
    const reader = new Reader(buffer);
    const tally = new Tally(buffer);
    const slots = Array.from({ length: 5 }, (_, i) => control.claimSlot(i < 3 ? 'a' : 'b', `${i}`));
    const workers = new Map<number, { door: WorkerDoor; inFlight: number[] }>();
    const requests = slots.map(() => 0);
    const exchanges = new Map<string, number>();
    const faults = new Map<string, number>();
    for (let step = 0; step < 400; step++) {
      const alive = [...workers.values()];
      const one = alive[prng.below(Math.max(1, alive.length))];
      const i = prng.below(slots.length);
      const dice = prng.below(100);
      if (one === undefined || dice < 5) {
        const stripe = control.claimStripe();
        assert.equal(stripe < 0, workers.size === small.stripesMax);
        if (stripe >= 0) workers.set(stripe, { door: new WorkerDoor(buffer, stripe), inFlight: slots.map(() => 0) });
      } else if (dice < 8) {
        control.releaseStripe(one.door.stripe);
        workers.delete(one.door.stripe);
      } else if (dice < 40) {
        one.door.begin(slots[i]!);
        one.inFlight[i]!++;
        requests[i]!++;
      } else if (dice < 65) {
        if (one.inFlight[i]! === 0) continue;
        one.door.end(slots[i]!, fault.none, 200, prng.below(100));
        one.inFlight[i]!--;
      } else if (dice < 85) {
        const [listener, route, pool, status] = [
          prng.between(-1, 2),
          prng.between(-1, 3),
          prng.between(-1, 1),
          prng.between(2, 5) * 100,
        ];
        one.door.exchange(listener, route, pool, prng.below(2), status, 0, 1, 1, 0, 1, 1);
        const key = `${listener} ${route} ${pool} ${status}`;
        exchanges.set(key, (exchanges.get(key) ?? 0) + 1);
      } else {
        const [id, route, pool] = [prng.between(1, 20), prng.between(-1, 1), prng.between(-1, 1)];
        one.door.fault(id, route, pool);
        faults.set(`${id} ${route} ${pool}`, (faults.get(`${id} ${route} ${pool}`) ?? 0) + 1);
      }
    }
    const inFlight = slots.map((_, i) => [...workers.values()].reduce((sum, worker) => sum + worker.inFlight[i]!, 0));
    assert.deepEqual(
      slots.map((slot) => reader.inFlight(slot)),
      inFlight,
    );
    const bulk = new Int32Array(5);
    reader.inFlightOf(Int32Array.from(slots), 5, bulk);
    assert.deepEqual([...bulk], inFlight);
    const lots = Int32Array.from(slots, () => prng.below(1000) * fewest.runMax);
    const found = new Int32Array(2);
    assert.ok(reader.fewestOf(Int32Array.from(slots), Int32Array.of(0, 3, 5), 2, lots, 0, 12345, found));
    const keys = inFlight.map((load, i) => load * 2 ** fewest.loadShift + ((lots[i]! + i) ^ 12345));
    assert.deepEqual([...found], [Math.min(...keys.slice(0, 3)), Math.min(...keys.slice(3))]);
    assert.deepEqual(
      slots.map((slot) => reader.requests(slot)),
      requests,
    );
    assert.equal(reader.poolInFlight(slots[0]!), inFlight[0]! + inFlight[1]! + inFlight[2]!);
    assert.equal(reader.turn(slots[0]!), requests[0]! + requests[1]! + requests[2]!);
    assert.equal(reader.turn(slots[4]!), requests[3]! + requests[4]!);
    const counted = new Map<string, number>();
    const add = (map: Map<string, number>, key: string, count: number) => map.set(key, (map.get(key) ?? 0) + count);
    const counts = tally.counts();
    for (const row of counts.requests) add(counted, `${row.listener} ${row.route} ${row.pool} ${row.status}`, row.count);
    assert.deepEqual(counted, exchanges, `seed ${seed}`);
    for (const row of tally.exchanges()) {
      assert.equal(row.bytesIn, exchanges.get(`${row.listener} ${row.route} ${row.pool} ${row.class * 100}`));
      assert.equal(row.total[1], row.bytesIn);
    }
    assert.deepEqual(new Map(counts.faults.map((row) => [`${row.faultId} ${row.route} ${row.pool}`, row.count])), faults);
    assert.equal(tally.rowsDropped(), 0);
  }
});

test('who has the fewest in flight is found up to the load that fits, and not looked for above', () => {
  const { control, buffer } = newTable();
  const slots = Int32Array.of(control.claimSlot('a', '1'), control.claimSlot('a', '2'));
  const workers = [0, 1, 2].map(() => new WorkerDoor(buffer, control.claimStripe()));
  const lots = Int32Array.of(0, 7 * fewest.runMax, 3 * fewest.runMax);
  const found = new Int32Array(1);
  const find = () => workers[0]!.fewestOf(slots, Int32Array.of(0, 2), 1, lots, 1, 0, found);
  for (let i = 0; i < fewest.loadMax; i++) for (const slot of slots) workers[i % 3]!.begin(slot);
  assert.equal(find(), true);
  assert.equal(found[0], fewest.loadMax * 2 ** fewest.loadShift + 3 * fewest.runMax + 1);
  workers[2]!.begin(slots[0]!);
  assert.equal(find(), false);
});

test('what finds no row is counted as dropped and disturbs no other row', () => {
  const { control, buffer } = newTable({ ...small, countRowsMax: 4, exchangeRowsMax: 3 });
  const worker = new WorkerDoor(buffer, control.claimStripe());
  for (let round = 0; round < 2; round++) {
    for (let route = 0; route < 6; route++) worker.exchange(0, route, 0, 0, 200, 0, 1, 1, 1, 10, 10);
  }
  const tally = new Tally(buffer);
  assert.deepEqual(
    tally.counts().requests.map(({ route, count }) => [route, count]),
    [
      [0, 2],
      [1, 2],
      [2, 2],
    ],
  );
  assert.deepEqual(
    tally.exchanges().map(({ route, bytesIn }) => [route, bytesIn]),
    [
      [0, 20],
      [1, 20],
    ],
  );
  assert.equal(tally.rowsDropped(), 6 + 8);
  control.releaseStripe(worker.stripe);
  assert.equal(tally.rowsDropped(), 6 + 8);
  assert.equal(tally.counts().requests.length, 3);
});

test('the largest ids there can be are told apart', () => {
  const sizes = { ...small, listenersMax: 254, routesMax: 4094, poolsMax: 4094 };
  const { control, buffer } = newTable(sizes);
  const worker = new WorkerDoor(buffer, control.claimStripe());
  worker.exchange(253, 4093, 4093, 9, 999, 4, 1, 1, 1, 1, 1);
  worker.exchange(-1, -1, -1, 0, 0, 0, 1, 1, 1, 1, 1);
  assert.deepEqual(new Tally(buffer).counts().requests, [
    { listener: 253, route: 4093, pool: 4093, method: 9, status: 999, protocol: 4, count: 1 },
    { listener: -1, route: -1, pool: -1, method: 0, status: 0, protocol: 0, count: 1 },
  ]);
  assert.throws(() => initTable(new ArrayBuffer(tableBytes(sizes)), { ...sizes, routesMax: 4095 }), /fit the keys/);
});

test('a slot is cut until its admin state changes, and workers can tell from one number that another one was', () => {
  const { buffer, control } = newTable();
  const reader = new Reader(buffer);
  const slot = control.claimSlot('web', '10.0.0.1:80');
  const other = control.claimSlot('web', '10.0.0.2:80');
  control.setAdmin(slot, admin.drain);
  const before = reader.cuts();
  control.setKeeps(slot, true);
  assert.equal(reader.cuts(), before, 'nothing else is told this way');
  control.setCut(slot, true);
  assert.deepEqual([reader.isCut(slot), reader.isCut(other), reader.cuts()], [true, false, before + 1]);
  control.setCut(slot, true);
  assert.equal(reader.cuts(), before + 1, 'once');
  control.setHealth(slot, health.down);
  assert.equal(reader.isCut(slot), true);
  control.setAdmin(slot, admin.ready);
  control.setCut(other, true);
  control.setCut(other, false);
  assert.deepEqual([reader.isCut(slot), reader.isCut(other), reader.cuts()], [false, false, before + 2]);
});
