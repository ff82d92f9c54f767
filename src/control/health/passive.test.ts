import assert from 'node:assert/strict';
import { beforeEach, describe, test } from 'node:test';
import { PoolFixture } from '../../health/fixture.ts';
import { ejectionCause, health } from '../../state/doors.ts';
import { plainPassive, plainPool } from '../../state/plain-pool.ts';
import type { EndpointPlan, PassiveHealthPlan, Plan } from '../../state/plan.ts';
import { endpointState, Tally } from '../../state/table.ts';
import { PassiveHealth } from './passive.ts';
import { PoolPanic } from './pool-panic.ts';

/** Wall clock ahead of the shared one. */
const WALL_MS = 1_700_000_000_000;

let pool: PoolFixture;
let passive: PassiveHealth;
let said: { level: string; event: string; fields: Record<string, unknown> }[];

function planOf(its: Partial<PassiveHealthPlan> | null, count = pool.slots.length, panicThreshold = 0): Plan {
  const endpoints = pool.slots
    .slice(0, count)
    .map((slot, i) => ({ slot, address: `10.0.0.${i}:80`, resolved: {}, weight: 1, backup: false }) as unknown as EndpointPlan);
  const judged = its === null ? null : { ...plainPassive, ...its };
  const healthPlan = { ...plainPool.health, passive: judged, panicThreshold };
  return { pools: [{ ...plainPool, id: 0, name: 'pool', source: '', endpoints, health: healthPlan }] } as unknown as Plan;
}
const events = {
  info: (event: string, _text: string, fields = {}) => void said.push({ level: 'info', event, fields }),
  warn: (event: string, _text: string, fields = {}) => void said.push({ level: 'warn', event, fields }),
  error: (event: string, _text: string, fields = {}) => void said.push({ level: 'error', event, fields }),
};
function newPassive(): PassiveHealth {
  return new PassiveHealth({ door: pool.control, events, now: () => WALL_MS + pool.nowMs, random: () => 0 });
}
function turn(ms = 25): string[] {
  said = [];
  pool.pass(ms);
  passive.turn();
  return said.map(({ event }) => event);
}
const isOut = (i: number): boolean => pool.control.isEjected(pool.slots[i]!);

beforeEach(() => {
  said = [];
  pool = new PoolFixture(4);
  for (const slot of pool.slots) pool.control.setHealth(slot, health.up);
  passive = newPassive();
});

describe('passive health', () => {
  beforeEach(() => {
    passive.apply(planOf({}));
    for (let i = 0; i < 4; i++) pool.end(i, 'ok', 5);
    assert.deepEqual(turn(), []);
  });

  test('ejects in the table at the turn after the last straw, says so, and takes it back in time', () => {
    pool.end(1, 'timeout', 5);
    assert.deepEqual(turn(), ['endpoint_ejected']);
    assert.deepEqual(
      pool.slots.map((_, i) => isOut(i)),
      [false, true, false, false],
    );
    const [{ level, fields }] = said as [(typeof said)[0]];
    assert.equal(level, 'warn');
    const { evidence, ...rest } = fields;
    assert.deepEqual(rest, { pool: 'pool', endpoint: '10.0.0.1:80', cause: 'consecutive-failures', seconds: 30, count: 1 });
    assert.match(String(evidence), /^5 failures in a row: 5 timed out/);
    const since = WALL_MS + pool.nowMs;
    const status = passive.statusOf(pool.slots[1]!)!;
    assert.deepEqual([status.state, status.since, status.until, status.count], ['ejected', since, since + 30_000, 1]);
    assert.deepEqual(turn(29_999), []);
    assert.equal(isOut(1), true);
    assert.deepEqual(turn(1), ['endpoint_returned']);
    assert.equal(isOut(1), false);
    assert.equal(said[0]!.level, 'info');
    assert.equal(passive.statusOf(pool.slots[1]!)!.state, 'probation');
  });

  test('counts ejections by cause in the table', () => {
    pool.end(1, 'timeout', 5);
    turn();
    const tally = new Tally(pool.buffer);
    assert.equal(tally.slot(pool.slots[1]!).ejections[ejectionCause.consecutiveFailures], 1);
    assert.equal(tally.slot(pool.slots[1]!).transitions[endpointState.ejected], 1);
  });

  test('reads no endpoint while nothing got worse and nothing is due', () => {
    let reads = 0;
    const { control } = pool;
    const read = control.readTraffic.bind(control);
    control.readTraffic = (slot, out) => {
      reads++;
      read(slot, out);
    };
    for (let i = 0; i < 4; i++) pool.end(i, 'ok', 100);
    turn(100_000);
    control.setHealth(pool.slots[0]!, health.down);
    control.setHealth(pool.slots[0]!, health.up);
    turn();
    assert.equal(reads, 0);
    pool.end(0, 500);
    turn();
    assert.equal(reads, 4);
  });

  test('a good check leaves an ejection as it is', () => {
    pool.end(1, 'timeout', 5);
    turn();
    pool.control.setHealth(pool.slots[1]!, health.down);
    pool.control.setHealth(pool.slots[1]!, health.up);
    assert.deepEqual(turn(), []);
    assert.equal(isOut(1), true);
  });

  test('a reload keeps ejections and what is known, and its shorter plan takes no flag along', () => {
    pool.end(1, 'timeout', 5);
    pool.end(3, 'timeout', 5);
    turn();
    assert.deepEqual([isOut(1), isOut(3)], [true, true]);
    const { until } = passive.statusOf(pool.slots[1]!)!;
    passive.apply(planOf({ ejectMs: 5000 }, 3));
    assert.deepEqual(turn(), []);
    assert.equal(isOut(1), true);
    assert.equal(isOut(3), false, 'it left');
    assert.equal(passive.statusOf(pool.slots[1]!)!.until, until);
    assert.equal(passive.statusOf(pool.slots[3]!), null);
  });

  test('a plan without passive health takes everybody back, and so does one that only watches', () => {
    for (const plan of [null, { isShadow: true }]) {
      passive = newPassive();
      passive.apply(planOf({}));
      pool.end(1, 'timeout', 5);
      turn();
      assert.equal(isOut(1), true);
      said = [];
      passive.apply(planOf(plan));
      assert.deepEqual([said.map(({ event }) => event), isOut(1)], [['endpoint_returned'], false]);
      for (let i = 0; i < 4; i++) pool.end(i, 'ok', 5);
      turn();
    }
  });

  test('a control process that takes over finds who is out and takes it back after ejectMs', () => {
    pool.end(1, 'timeout', 5);
    turn();
    passive = newPassive();
    passive.apply(planOf({ ejectMs: 10_000 }));
    assert.deepEqual(turn(), []);
    assert.deepEqual([isOut(1), passive.statusOf(pool.slots[1]!)!.cause], [true, null]);
    assert.deepEqual(turn(9_974), []);
    assert.deepEqual(turn(1), ['endpoint_returned']);
    assert.equal(isOut(1), false);
  });

  test('a worker that dies takes its runs along and nothing is ejected for it', () => {
    pool.end(1, 'timeout', 4);
    turn();
    pool.control.releaseStripe(pool.workers[0]!.stripe);
    assert.deepEqual(turn(), []);
  });

  test('a pool that fails alike is told of once a minute at most', () => {
    for (let k = 0; k < 6; k++) for (let i = 0; i < 4; i++) pool.end(i, 'refused');
    assert.deepEqual(turn(), ['pool_fails_alike']);
    assert.equal(said[0]!.level, 'warn');
    assert.equal(passive.statusOf(pool.slots[0]!)!.held, 'alike');
    for (let i = 0; i < 4; i++) pool.end(i, 'ok', 5);
    assert.deepEqual(turn(20_000), []);
    for (let k = 0; k < 6; k++) for (let i = 0; i < 4; i++) pool.end(i, 'refused');
    assert.deepEqual(turn(), []);
    for (let i = 0; i < 4; i++) pool.end(i, 'ok', 5);
    turn(60_000);
    for (let k = 0; k < 6; k++) for (let i = 0; i < 4; i++) pool.end(i, 'refused');
    assert.deepEqual(turn(), ['pool_fails_alike']);
  });
});

describe('ejected by an operator', () => {
  const order = (i: number, reason: string | null = 'slow disk') => ({
    pool: 'pool',
    endpoint: `10.0.0.${i}:80`,
    slot: pool.slots[i]!,
    reason,
    by: 'unix socket',
  });
  const counted = (): number => new Tally(pool.buffer).slot(pool.slots[1]!).ejections[ejectionCause.operator]!;
  beforeEach(() => passive.apply(planOf({})));

  test('it is out in the table at once, counted and told once, and returns by itself', () => {
    assert.equal(passive.eject(order(1), 5000), null);
    assert.equal(isOut(1), true);
    assert.equal(counted(), 1);
    const [{ level, event, fields }] = said as [(typeof said)[0]];
    assert.deepEqual([level, event], ['info', 'endpoint_ejected']);
    assert.deepEqual(fields, {
      pool: 'pool',
      endpoint: '10.0.0.1:80',
      cause: 'operator',
      evidence: 'ordered by unix socket: slow disk',
      seconds: 5,
      count: 0,
    });
    assert.deepEqual(turn(4999), []);
    assert.equal(isOut(1), true);
    assert.deepEqual(turn(1), ['endpoint_returned']);
    assert.equal(isOut(1), false);
    assert.equal(passive.statusOf(pool.slots[1]!)!.state, 'in');
  });

  test('without a time it is the one of the pool, without a reason it is known who said so', () => {
    assert.equal(passive.eject(order(1, null), null), null);
    const { until, since, evidence } = passive.statusOf(pool.slots[1]!)!;
    assert.deepEqual([until - since, evidence], [30_000, 'ordered by unix socket']);
  });

  test('another time for one that is out is no other ejection', () => {
    passive.eject(order(1), 5000);
    passive.eject(order(1), 1000);
    assert.equal(counted(), 1);
    assert.deepEqual(turn(1000), ['endpoint_returned']);
  });

  test('a reload keeps it', () => {
    passive.eject(order(1), 5000);
    passive.apply(planOf({ ejectMs: 1000 }));
    assert.deepEqual([turn(4999), isOut(1)], [[], true]);
    assert.deepEqual(turn(1), ['endpoint_returned']);
  });

  test('not the last one that can take requests, and nobody where live traffic ejects nobody', () => {
    for (const i of [0, 2, 3]) pool.control.setHealth(pool.slots[i]!, health.down);
    assert.equal(passive.eject(order(1), 5000), 'no other endpoint of pool pool could take its requests');
    for (const i of [0, 2, 3]) pool.control.setHealth(pool.slots[i]!, health.up);
    passive.apply(planOf({ isShadow: true }));
    assert.equal(passive.eject(order(1), 5000), 'nobody is ejected from pool pool: its health.passive only watches');
    passive.apply(planOf(null));
    assert.equal(passive.eject(order(1), 5000), 'nobody is ejected from pool pool: its health.passive is false');
    assert.deepEqual([isOut(1), counted()], [false, 0]);
  });
});

test('in shadow mode it says and counts what it would do, once a minute for an endpoint, and does nothing', () => {
  passive.apply(planOf({ isShadow: true, ejectMs: 1000, ejectMaxMs: 1000 }));
  for (let i = 0; i < 4; i++) pool.end(i, 'ok', 5);
  turn();
  pool.end(1, 'timeout', 5);
  assert.deepEqual(turn(), ['endpoint_would_eject']);
  const version = pool.control.version();
  for (let k = 0; k < 5; k++) {
    turn(1000);
    pool.end(1, 'timeout', 1);
    assert.deepEqual(turn(), []);
  }
  assert.deepEqual([isOut(1), pool.control.version()], [false, version]);
  const tally = new Tally(pool.buffer).slot(pool.slots[1]!);
  assert.deepEqual([tally.wouldEject[0], tally.ejections[0]], [6, 0]);
  turn(60_000);
  pool.end(1, 'timeout', 1);
  assert.deepEqual(turn(), ['endpoint_would_eject']);
});

describe('panic', () => {
  let panic: PoolPanic;
  const turnPanic = (): string[] => {
    said = [];
    panic.turn();
    return said.map(({ level, event }) => `${level} ${event}`);
  };
  beforeEach(() => {
    panic = new PoolPanic({ door: pool.control, events });
    panic.apply(planOf(null, 4, 0.5));
    assert.deepEqual(turnPanic(), []);
  });

  test('is announced loudly as it begins, once, with what is left, and its end', () => {
    for (const i of [0, 1]) pool.control.setHealth(pool.slots[i]!, health.down);
    assert.deepEqual(turnPanic(), [], 'half are ready');
    pool.control.setEjected(pool.slots[2]!, true);
    assert.deepEqual(turnPanic(), ['error pool_panic']);
    assert.deepEqual(said[0]!.fields, { pool: 'pool', ready: 1, of: 4, threshold: 0.5 });
    assert.equal(panic.isPanicking(0), true);
    pool.control.setHealth(pool.slots[3]!, health.down);
    assert.deepEqual(turnPanic(), []);
    for (const i of [0, 1]) pool.control.setHealth(pool.slots[i]!, health.up);
    assert.deepEqual(turnPanic(), ['info pool_calm']);
    assert.equal(panic.isPanicking(0), false);
  });

  test('goes on over a reload, and ends with a plan that knows none', () => {
    for (const i of [0, 1, 2]) pool.control.setHealth(pool.slots[i]!, health.down);
    assert.deepEqual(turnPanic(), ['error pool_panic']);
    panic.apply(planOf(null, 4, 0.5));
    assert.deepEqual(turnPanic(), []);
    said = [];
    panic.apply(planOf(null, 4, 0));
    assert.deepEqual(
      said.map(({ event }) => event),
      ['pool_calm'],
    );
    assert.equal(panic.isIdle, true);
  });
});
