import assert from 'node:assert/strict';
import { test } from 'node:test';
import { admin, health } from '../state/doors.ts';
import { isPanicking } from './balance.ts';
import { Bench, type EndpointSketch } from './bench.ts';

const ordinary = (count: number): EndpointSketch[] => Array.from({ length: count }, () => ({}));

function panics(bench: Bench, sketches: readonly EndpointSketch[], threshold: number): boolean {
  const backup = Uint8Array.from(sketches, (sketch) => (sketch.backup ? 1 : 0));
  return isPanicking(bench.slots, backup, threshold, bench.control);
}

test('a pool panics when the share that is ready is below the threshold, not when it is just that', () => {
  const sketches = ordinary(4);
  const bench = new Bench(sketches);
  assert.equal(panics(bench, sketches, 0.5), false);
  bench.control.setHealth(bench.slots[0]!, health.down);
  bench.control.setEjected(bench.slots[1]!, true);
  assert.equal(panics(bench, sketches, 0.5), false);
  assert.equal(panics(bench, sketches, 0.51), true);
  bench.control.setHealth(bench.slots[2]!, health.down);
  assert.equal(panics(bench, sketches, 0.5), true);
  bench.control.setEjected(bench.slots[1]!, false);
  assert.equal(panics(bench, sketches, 0.5), false);
});

test('a threshold of 0 never panics, not even with nobody ready', () => {
  const sketches = ordinary(2);
  const bench = new Bench(sketches);
  for (const slot of bench.slots) bench.control.setHealth(slot, health.down);
  assert.equal(panics(bench, sketches, 0), false);
  assert.equal(panics(bench, sketches, 0.01), true);
});

test('what was taken out on purpose is neither ready nor counted', () => {
  const sketches = ordinary(4);
  const bench = new Bench(sketches);
  bench.control.setAdmin(bench.slots[0]!, admin.drain);
  bench.control.setAdmin(bench.slots[1]!, admin.maint);
  bench.control.setHealth(bench.slots[2]!, health.down);
  // One of two.
  assert.equal(panics(bench, sketches, 0.5), false);
  assert.equal(panics(bench, sketches, 0.6), true);
  for (const slot of bench.slots) bench.control.setAdmin(slot, admin.maint);
  assert.equal(panics(bench, sketches, 1), false);
});

test('an endpoint that was not checked yet counts as ready: nothing speaks against it', () => {
  const sketches = ordinary(3);
  const bench = new Bench(sketches);
  for (const slot of bench.slots) bench.control.setHealth(slot, health.unknown);
  assert.equal(panics(bench, sketches, 1), false);
});

test('backups are not counted, and with one of them ready a pool without any ordinary endpoint does not panic', () => {
  const sketches = [{}, {}, { backup: true }, { backup: true }];
  const bench = new Bench(sketches);
  bench.control.setHealth(bench.slots[0]!, health.down);
  assert.equal(panics(bench, sketches, 0.6), true);
  bench.control.setHealth(bench.slots[1]!, health.down);
  assert.equal(panics(bench, sketches, 0.6), false);
  for (const i of [2, 3]) bench.control.setHealth(bench.slots[i]!, health.down);
  assert.equal(panics(bench, sketches, 0.6), true);
});
