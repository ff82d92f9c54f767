/**
 * Harm prevented: a request that waits for ever or past the limit, that is answered twice, sent twice, or sent to an endpoint its client is not bound to; a count that
 * never goes back. Each seed is another order of events; a failure names its seed.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fault } from '../../src/base/faults.ts';
import { World, type WorldOptions } from './world.ts';

const CLIENTS = 12;
const REQUESTS = 12;
const ALL = CLIENTS * REQUESTS;

function run(options: WorldOptions): World {
  const world = new World(options);
  try {
    for (let i = 0; i < CLIENTS; i++) world.client(REQUESTS);
    world.finish(ALL);
    assert.equal(world.outcomes.length, ALL);
  } catch (error) {
    throw new Error(`seed ${options.seed}: ${error instanceof Error ? error.message : error}`, { cause: error });
  }
  return world;
}

function statuses(world: World): Record<number, number> {
  const counts: Record<number, number> = {};
  for (const { status } of world.outcomes) counts[status] = (counts[status] ?? 0) + 1;
  return counts;
}
const poolOf = (world: World, index = 0) => world.tally.pool(world.plan.pools[index]!.id);
const sum = (numbers: ArrayLike<number>) => Array.from(numbers).reduce((a, b) => a + b, 0);

test('full endpoints: requests wait for a place and all are served, and no endpoint has more than its limit', () => {
  for (let seed = 200; seed <= 207; seed++) {
    const world = run({ seed, endpoints: 2, requestsMax: 2, behaviour: { dawdles: 60 } });
    assert.deepEqual(statuses(world), { 200: ALL }, `seed ${seed}`);
    const waited = sum(poolOf(world).queueTimes.slice(0, -1));
    assert.ok(waited > 0, `seed ${seed}: nobody had to wait, so this proves nothing`);
    for (const [key, times] of world.arrived) assert.equal(times, 1, `seed ${seed}: ${key} arrived once`);
  }
});

test('a short queue: who finds no place is told so at once, who waits too long then, and the others are served', () => {
  let full = 0;
  let late = 0;
  for (let seed = 210; seed <= 217; seed++) {
    const world = run({
      seed,
      endpoints: 1,
      requestsMax: 1,
      queueMax: 4,
      queueMs: 150,
      pipelines: false,
      behaviour: { dawdles: 80 },
    });
    const counts = statuses(world);
    assert.equal((counts[200] ?? 0) + (counts[503] ?? 0), ALL, `seed ${seed}: ${JSON.stringify(counts)}`);
    assert.ok((counts[200] ?? 0) > 0);
    late += poolOf(world).queueTimeouts;
    full += sum(
      world.tally
        .counts()
        .faults.filter((f) => f.faultId === fault.queueFull)
        .map((f) => f.count),
    );
  }
  assert.ok(full > 0 && late > 0, `${full} found the queue full, ${late} waited too long`);
});

test('clients that leave while they wait are taken out of the queue', () => {
  for (let seed = 220; seed <= 227; seed++) {
    const world = run({
      seed,
      endpoints: 1,
      requestsMax: 1,
      behaviour: { dawdles: 80 },
      manners: { dawdles: 0, leaves: 20 },
    });
    assert.deepEqual(Object.keys(statuses(world)).sort(), ['0', '200'], `seed ${seed}`);
  }
});

test('endpoints that come, go and drain under a queue: one outcome each, and nothing is left waiting', () => {
  const seen = new Set<string>();
  for (let seed = 230; seed <= 245; seed++) {
    const world = run({
      seed,
      endpoints: 2,
      requestsMax: 2,
      queueMax: 6,
      queueMs: 200,
      flaps: true,
      reloads: seed % 2 === 0,
      sabotage: seed % 3 === 0,
      retry: { attempts: 4, on: ['connect', 'reset', '503'], budget: 1 },
      behaviour: { dawdles: 40, refuses: 10, diesBefore: 5 },
      manners: { dawdles: 3, leaves: 2 },
    });
    for (const status of Object.keys(statuses(world))) seen.add(status);
  }
  for (const status of ['0', '200', '503']) assert.ok(seen.has(status), `no outcome ${status} among ${[...seen]}`);
});

test('when no endpoint is ready the fallback pool serves, and without one the answer is 503 at once', () => {
  let fellBack = 0;
  for (let seed = 250; seed <= 255; seed++) {
    const world = run({ seed, endpoints: 1, requestsMax: 1, queueMax: 2, fallback: 2, flaps: true, behaviour: { dawdles: 20 } });
    assert.deepEqual(statuses(world), { 200: ALL }, `seed ${seed}`);
    assert.equal(poolOf(world, 1).begun, poolOf(world).fallback, `seed ${seed}`);
    fellBack += poolOf(world).fallback;
  }
  assert.ok(fellBack > 0);
  const alone = new World({ seed: 256, requestsMax: 1 });
  for (const { slot } of alone.plan.pools[0]!.endpoints) alone.control.setHealth(slot, 2);
  const client = alone.peer().send('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
  alone.engine.runUntil(() => client.text().includes('\r\n\r\n'), 100);
  assert.match(client.text(), /^HTTP\/1\.1 503 .*\r\nretry-after: \d+/is);
});

test('a bound client stays with its endpoint, is bound anew when it cannot, and the endpoints never see the cookie', () => {
  for (let seed = 260; seed <= 267; seed++) {
    const flaps = seed % 2 === 0;
    const world = run({ seed, endpoints: 3, sticky: true, pipelines: false, flaps, behaviour: { closesAfter: 10, dawdles: 10 } });
    const [hits, fresh, moved, lost] = poolOf(world).sticky as [number, number, number, number];
    assert.ok(world.kept > 0 && hits >= world.kept, `seed ${seed}: ${hits} hits, ${world.kept} seen`);
    assert.equal(lost, 0, `seed ${seed}`);
    if (flaps) assert.ok(moved > 0, `seed ${seed}`);
    else assert.deepEqual([fresh, moved], [CLIENTS, 0], `seed ${seed}`);
  }
});

test('cookies of endpoints that left are lost, and of endpoints that are full are moved', () => {
  let lost = 0;
  let moved = 0;
  for (let seed = 270; seed <= 277; seed++) {
    const world = run({
      seed,
      endpoints: 4,
      sticky: true,
      pipelines: false,
      reloads: true,
      requestsMax: 2,
      behaviour: { dawdles: 30 },
    });
    assert.deepEqual(statuses(world), { 200: ALL }, `seed ${seed}`);
    const { sticky } = poolOf(world);
    moved += sticky[2]!;
    lost += sticky[3]!;
  }
  assert.ok(lost > 0 && moved > 0, `${lost} lost, ${moved} moved`);
});

test('hedges: the slow are overtaken, both tries are settled, and nothing but an idempotent request is doubled', () => {
  let hedges = 0;
  let won = 0;
  for (let seed = 280; seed <= 295; seed++) {
    const world = run({
      seed,
      endpoints: 3,
      retry: { attempts: 3, hedgeMs: 20, budget: 1, on: ['connect', 'reset', '503'] },
      behaviour: { dawdles: 30, closesAfter: 10, diesBefore: 4, refuses: 4, hangs: 1 },
      manners: { dawdles: 2, leaves: 2 },
      sabotage: seed % 2 === 0,
      wiresMax: seed % 4 === 0 ? 6 : 0,
    });
    hedges += poolOf(world).hedges;
    won += poolOf(world).hedgesWon;
    assert.ok((statuses(world)[200] ?? 0) > ALL / 2, `seed ${seed}: ${JSON.stringify(statuses(world))}`);
  }
  assert.ok(won > 0 && hedges > won, `${hedges} hedges, ${won} won`);
});

test('a hedge costs the budget, and is not made without', () => {
  const world = run({ seed: 300, retry: { hedgeMs: 5, budget: 0, budgetMin: 0 }, behaviour: { dawdles: 50 } });
  assert.equal(poolOf(world).hedges, 0);
  assert.ok(poolOf(world).budgetExhausted > 0);
});

test('the circuit breaker refuses what is above its limit, and only counts it in shadow mode', () => {
  for (const isShadow of [false, true]) {
    const breaker = { requestsMax: 3, pendingMax: 0, retriesMax: 0, isShadow };
    const world = run({ seed: 310, pipelines: false, breaker, behaviour: { dawdles: 80 } });
    const counts = statuses(world);
    const pool = poolOf(world);
    assert.equal(pool.breakerOpen, isShadow ? 0 : (counts[503] ?? 0));
    assert.ok((isShadow ? pool.breakerWould : pool.breakerOpen) > 0);
    assert.equal(counts[200], isShadow ? ALL : ALL - pool.breakerOpen);
  }
});

test('no more retries under way than the circuit breaker allows, and no more waiting', () => {
  const breaker = { requestsMax: 0, pendingMax: 2, retriesMax: 1, isShadow: false };
  const retry = { attempts: 4, on: ['503' as const], budget: 1 };
  const world = run({
    seed: 311,
    endpoints: 2,
    requestsMax: 2,
    breaker,
    retry,
    pipelines: false,
    behaviour: { dawdles: 60, refuses: 30 },
  });
  assert.ok(poolOf(world).breakerOpen > 0);
  assert.ok(poolOf(world).retries[2]! > 0);
  const { mostRetries, mostWaiting } = world.table;
  assert.ok(mostRetries === 1 && mostWaiting === 2, `${mostRetries} retried, ${mostWaiting} waited`);
});
