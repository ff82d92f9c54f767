import assert from 'node:assert/strict';
import { beforeEach, test } from 'node:test';
import { StateFixture } from './fixture.ts';
import { PACE_LOOK_MS, Pace } from './pace.ts';

let state: StateFixture;
let pace: Pace;
let now: number;
let slot: number;

beforeEach(() => {
  state = new StateFixture({ web: 1 });
  slot = state.web.endpoints[0]!.slot;
  now = 1000;
  const { tally } = state;
  pace = new Pace(
    {
      nowMs: () => now,
      requests: (of) => tally.requests(of),
      pool: (id) => tally.pool(id),
      isReady: (of) => tally.isReady(of),
      weightPercent: (of) => tally.weightPercent(of),
    },
    () => state.its,
  );
});

function requests(count: number): void {
  for (let i = 0; i < count; i++) state.worker.begin(slot);
}

test('requests a second are told when there has been a second to count', () => {
  requests(50);
  assert.equal(pace.requestsPerSecond(slot), null, 'no snapshot');
  pace.look();
  requests(10);
  now += 999;
  assert.equal(pace.requestsPerSecond(slot), null, 'chance');
  now += 1;
  assert.equal(pace.requestsPerSecond(slot), 10);
});

test('what is older than ten seconds does not count any more', () => {
  pace.look();
  requests(1000);
  for (let i = 0; i < 4; i++) {
    now += PACE_LOOK_MS;
    pace.look();
  }
  assert.equal(pace.requestsPerSecond(slot), 0);
  requests(75);
  assert.equal(pace.requestsPerSecond(slot), 10, 'in the last 7.5 s');
});

test('an endpoint that a reload brought is told from its first snapshot on', () => {
  pace.look();
  const fresh = state.control.claimSlot('web', '10.0.0.9:1');
  state.its!.pools[0] = { ...state.web, endpoints: [{ ...state.web.endpoints[0]!, slot: fresh }] };
  now += PACE_LOOK_MS;
  state.worker.begin(fresh);
  assert.equal(pace.requestsPerSecond(fresh), null);
  assert.equal(pace.imbalance(state.web), 0);
});

test('what a pool counted before it was looked at is not of lately', () => {
  state.worker.retryBudgetExhausted(state.web.id);
  assert.equal(pace.lately(state.web.id).budgetExhausted, 0);
  pace.look();
  state.worker.retryBudgetExhausted(state.web.id);
  assert.equal(pace.lately(state.web.id).budgetExhausted, 1);
});
