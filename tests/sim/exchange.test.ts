/**
 * Harm prevented: an answer that reaches another client, a request sent twice, a body that arrives changed, a connection or block that is never given back. Each seed is
 * another order of events; a failure names its seed.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { World, type WorldOptions } from './world.ts';

const CLIENTS = 12;
const REQUESTS = 15;

function run(options: WorldOptions): World {
  const world = new World(options);
  try {
    for (let i = 0; i < CLIENTS; i++) world.client(REQUESTS);
    world.finish(CLIENTS * REQUESTS);
  } catch (error) {
    throw new Error(`seed ${options.seed}: ${error instanceof Error ? error.message : error}`, { cause: error });
  }
  assert.equal(world.outcomes.length, CLIENTS * REQUESTS);
  return world;
}

function statuses(world: World): Record<number, number> {
  const counts: Record<number, number> = {};
  for (const { status } of world.outcomes) counts[status] = (counts[status] ?? 0) + 1;
  return counts;
}

test('healthy endpoints answer every request, whatever the cuts and delays', () => {
  for (let seed = 1; seed <= 12; seed++) {
    const world = run({ seed });
    assert.deepEqual(statuses(world), { 200: CLIENTS * REQUESTS }, `seed ${seed}`);
    for (const [key, times] of world.arrived) assert.equal(times, 1, `seed ${seed}: ${key} arrived once`);
  }
});

test('bytes that come one by one change nothing', () => {
  const world = run({ seed: 77, splitting: 'single', bodyBytesMax: 500 });
  assert.deepEqual(statuses(world), { 200: CLIENTS * REQUESTS });
});

test('endpoints that close idle connections cost no request that may be repeated, and no POST is sent twice', () => {
  for (let seed = 20; seed <= 28; seed++) {
    const world = run({ seed, pipelines: false, behaviour: { closesAfter: 50 } });
    const counts = statuses(world);
    assert.equal((counts[200] ?? 0) + (counts[502] ?? 0), CLIENTS * REQUESTS, `seed ${seed}: ${JSON.stringify(counts)}`);
  }
});

test('endpoints that die, cut and babble: every request has one outcome, nothing crosses over, nothing leaks', () => {
  for (let seed = 40; seed <= 52; seed++) {
    const world = run({ seed, behaviour: { diesBefore: 10, diesInBody: 10, babbles: 5, closesAfter: 20 } });
    const counts = statuses(world);
    assert.ok((counts[200] ?? 0) > (CLIENTS * REQUESTS) / 2, `seed ${seed}: ${JSON.stringify(counts)}`);
  }
});

test('few wires: requests wait in the queue and all are served', () => {
  const world = run({ seed: 60, endpoints: 1, wiresMax: 2 });
  assert.deepEqual(statuses(world), { 200: CLIENTS * REQUESTS });
});

test('tiny kernel buffers: back-pressure holds both ways and no byte is lost', () => {
  const world = run({ seed: 61, kernelBytesMax: 512, bodyBytesMax: 200_000 });
  assert.deepEqual(statuses(world), { 200: CLIENTS * REQUESTS });
});

test('clients that dawdle or leave in the middle disturb nobody else', () => {
  for (let seed = 70; seed <= 79; seed++) {
    const world = run({ seed, kernelBytesMax: 2048, manners: { dawdles: 10, leaves: 3 } });
    const counts = statuses(world);
    assert.deepEqual(Object.keys(counts).sort(), ['0', '200'], `seed ${seed}: ${JSON.stringify(counts)}`);
  }
});

test('an endpoint that refuses costs no request, and one that never answers a dial costs time only', () => {
  for (let seed = 80; seed <= 85; seed++) {
    // Attempts for both in a row, and a budget that allows it.
    const retry = { attempts: 4, budget: 1 };
    const world = run({ seed, endpoints: 2, refusing: 1, deaf: seed % 2, retry });
    const counts = statuses(world);
    assert.ok((counts[200] ?? 0) >= CLIENTS * REQUESTS * 0.9, `seed ${seed}: ${JSON.stringify(counts)}`);
    for (const { key, status } of world.outcomes) {
      if (status === 502 || status === 504) assert.equal(world.arrived.get(key), undefined, `seed ${seed}: ${key} was not sent`);
    }
  }
});

test('an endpoint that hangs is given up after the response timeout with 504', () => {
  const world = run({ seed: 90, behaviour: { hangs: 10 } });
  const counts = statuses(world);
  assert.ok(counts[504]! > 0);
  assert.equal(counts[200]! + counts[504]!, CLIENTS * REQUESTS, JSON.stringify(counts));
});

test('plans that come into force under load, with endpoints added and removed, cost no request', () => {
  for (let seed = 92; seed <= 97; seed++) {
    const world = run({ seed, endpoints: 4, reloads: true, wiresMax: seed % 2 === 0 ? 2 : 0 });
    assert.deepEqual(statuses(world), { 200: CLIENTS * REQUESTS }, `seed ${seed}`);
    for (const [key, times] of world.arrived) assert.equal(times, 1, `seed ${seed}: ${key} arrived once`);
  }
});

test('a PROXY line names the client of each request, and of no other, whatever the queue, hedges, retries and reloads do', () => {
  for (let seed = 130; seed <= 137; seed++) {
    const world = run({
      seed,
      lineVersion: seed % 2 === 0 ? 1 : 2,
      // Who may leave at each piece would, where every byte is one.
      ...(seed === 135 ? { splitting: 'single', bodyBytesMax: 100 } : { manners: { dawdles: 3, leaves: 1 } }),
      ...(seed % 3 === 0 ? { wiresMax: 2, warm: 1 } : { warm: 2 }),
      reloads: seed % 4 === 0,
      retry: { attempts: 3, on: ['connect', 'reset', '503'], budget: 1, hedgeMs: seed % 2 === 0 ? 20 : 0 },
      behaviour: { closesAfter: 10, diesBefore: 5, dawdles: 20, refuses: 5 },
      refusing: seed % 2,
    });
    const counts = statuses(world);
    assert.ok((counts[200] ?? 0) > (CLIENTS * REQUESTS) / 2, `seed ${seed}: ${JSON.stringify(counts)}`);
    assert.ok(world.named > (seed % 4 === 0 ? 20 : CLIENTS * REQUESTS * 0.8), `seed ${seed}: ${world.named} were named`);
  }
});

test('failing dials, sends, accepts and blocks, and connections that break: one outcome each, nothing crossed, nothing leaked', () => {
  const seen = new Set<string>();
  for (let seed = 100; seed <= 125; seed++) {
    const world = run({
      seed,
      sabotage: true,
      manners: { dawdles: 3, leaves: 1 },
      behaviour: { closesAfter: 10, diesBefore: 3 },
    });
    const counts = statuses(world);
    for (const status of Object.keys(counts)) seen.add(status);
    assert.ok((counts[200] ?? 0) > (CLIENTS * REQUESTS) / 2, `seed ${seed}: ${JSON.stringify(counts)}`);
  }
  // Else the failures were not felt, and this proves nothing.
  for (const status of ['0', '200', '502']) assert.ok(seen.has(status), `no outcome ${status} among ${[...seen]}`);
});
