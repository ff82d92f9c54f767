/** A short run of the fuzz target; the long one is a command, see http1.fuzz.ts. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fuzz } from './http1.fuzz.ts';

const SECONDS = 2;

test('random and damaged messages are told alike however cut, and passed on as what they were', () => {
  let count = fuzz(20251124, SECONDS);
  // Again where the machine stood still nearly all of that time.
  for (let tries = 1; count.cases <= 100 && tries < 5; tries++) count = fuzz(20251124, SECONDS);
  // The generator must not degenerate: what is refused at its first byte proves nothing.
  assert.ok(count.cases > 100, `${count.cases} cases`);
  assert.ok(count.accepted > count.cases / 5, `${count.accepted} of ${count.cases} accepted`);
  assert.ok(count.compared > count.cases / 50, `${count.compared} of ${count.cases} compared with llhttp`);
});
