import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { health } from '../state/doors.ts';
import { type CheckResult, Verdict } from './verdict.ts';

const pass: CheckResult = { passed: true, reason: 'ok', evidence: '200 OK', ms: 1 };
const fail: CheckResult = { passed: false, reason: 'status', evidence: '503', ms: 1 };

test('one pass admits an endpoint that nobody has seen', () => {
  const verdict = new Verdict(health.unknown, 0);
  assert.equal(verdict.take(pass, 5, 5, 1), true);
  assert.equal(verdict.state, health.up);
});

test('one failure rejects an endpoint that nobody has seen, and one pass then admits it', () => {
  const verdict = new Verdict(health.unknown, 0);
  assert.equal(verdict.take(fail, 3, 3, 1), true);
  assert.equal(verdict.state, health.down);
  assert.equal(verdict.take(pass, 3, 3, 2), true);
  assert.equal(verdict.state, health.up);
});

test('an endpoint that was up leaves after `fall` failures in a row and comes back after `rise` passes', () => {
  const verdict = new Verdict(health.up, 0);
  assert.deepEqual(
    [fail, fail, pass, fail, fail, fail].map((r, at) => verdict.take(r, 2, 3, at)),
    [false, false, false, false, false, true],
  );
  assert.equal(verdict.status().reason, 'status');
  assert.equal(verdict.status().since, 5);
  assert.deepEqual(
    [pass, fail, pass, pass].map((r, at) => verdict.take(r, 2, 3, 10 + at)),
    [false, false, false, true],
  );
});

test('for any run of results: it flips exactly when the opposite result has come rise or fall times in a row', () => {
  const property = fc.property(
    fc.array(fc.boolean(), { maxLength: 60 }),
    fc.integer({ min: 1, max: 5 }),
    fc.integer({ min: 1, max: 5 }),
    (run, rise, fall) => {
      const verdict = new Verdict(health.up, 0);
      let isUp = true;
      let streak = 0;
      let last: boolean | null = null;
      for (const [at, passed] of run.entries()) {
        streak = passed === last ? streak + 1 : 1;
        last = passed;
        const flips: boolean = passed !== isUp && streak >= (passed ? rise : fall);
        if (flips) isUp = passed;
        assert.equal(verdict.take(passed ? pass : fail, rise, fall, at), flips);
        assert.equal(verdict.state, isUp ? health.up : health.down);
      }
    },
  );
  fc.assert(property, { seed: 11, numRuns: 200 });
});
