import assert from 'node:assert/strict';
import { test } from 'node:test';
import { health } from '../state/doors.ts';
import { Bench } from './bench.ts';
import { conformance } from './conformance.ts';

conformance('first');

test('first: fills in the order of the configuration, each up to its limit, then the backups', () => {
  const bench = new Bench([{ requestsMax: 2, backup: true }, { requestsMax: 2 }, { requestsMax: 1, weight: 9 }]);
  const policy = bench.policy('first');
  const picks = Array.from({ length: 6 }, () => {
    const index = bench.pick(policy);
    if (index >= 0) bench.begin(index);
    return index;
  });
  assert.deepEqual(picks, [1, 1, 2, 0, 0, -1]);
  bench.end(1);
  assert.equal(bench.pick(policy), 1);
});

test('first: the next takes over when the first is down, and gives back', () => {
  const bench = new Bench([{}, {}, {}]);
  const policy = bench.policy('first');
  assert.equal(bench.pick(policy), 0);
  bench.control.setHealth(bench.slots[0]!, health.down);
  assert.equal(bench.pick(policy), 1);
  assert.equal(bench.pick(policy, 1), 2);
  bench.control.setHealth(bench.slots[0]!, health.up);
  assert.equal(bench.pick(policy), 0);
});
