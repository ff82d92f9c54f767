import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Plan } from '../state/plan.ts';
import type { WorkerState } from './admin/control-state.ts';
import { readyChecks } from './admin-view.ts';

const plan = { epoch: 3 } as Plan;
const workersOf = (...states: WorkerState['state'][]): WorkerState[] =>
  states.map((state, slot) => ({ slot, stripe: slot, pid: 1, state, engine: 'uring', startedAt: 0, restarts: 0 }));

const failed = (...[isLeaving, its, workers]: Parameters<typeof readyChecks>): string[] =>
  readyChecks(isLeaving, its, workers).flatMap(({ name, isOk, why }) => (isOk ? [] : [`${name}: ${why}`]));

test('weir is ready when a plan is in force, one worker serves, and it is not leaving', () => {
  assert.deepEqual(failed(false, plan, workersOf('waiting', 'serving')), []);
  assert.deepEqual(failed(true, plan, workersOf('serving')), ['not-leaving: weir is draining']);
  assert.deepEqual(failed(false, null, workersOf('serving')), ['plan: no plan is in force yet']);
  assert.deepEqual(failed(false, plan, workersOf('starting', 'draining', 'waiting')), ['workers: 0 of 3 workers serve']);
});
