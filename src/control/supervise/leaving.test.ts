import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Plan } from '../../state/plan.ts';
import { makeEventLog } from './events.ts';
import { type LeaveLimit, Leaving } from './leaving.ts';

/** An instance on its way out. Its workers are gone when `gone` says so, or at once when they are stopped. */
class World {
  readonly done: string[] = [];
  readonly events = makeEventLog({ isTerminal: false, color: false, isJournal: false, write: () => {} });
  readonly gone = Promise.withResolvers<number>();
  readonly draining = Promise.withResolvers<void>();
  readonly end = Promise.withResolvers<number>();
  readonly leaving: Leaving;

  constructor(planned: Partial<Plan['drain']> = {}, notReadyForMs?: number) {
    const drain = { notReadyForMs: 0, gracefulMs: 1000, hardStopMs: 3000, ...planned };
    this.leaving = new Leaving({
      events: this.events,
      notifier: { tell: (...lines) => void this.done.push(...lines) },
      fleet: {
        drain: (gracefulMs, hardStopMs) => {
          this.done.push(`drain ${gracefulMs} ${hardStopMs}`);
          this.draining.resolve();
          return this.gone.promise;
        },
        stop: async () => {
          this.done.push('stop');
          this.gone.resolve(2);
        },
      },
      plans: { inForce: { drain } as Plan },
      notReadyForMs,
      onBegin: () => void this.done.push(`begin ${this.leaving.isLeaving}`),
      onEnd: async (cut) => this.end.resolve(cut),
    });
  }

  leave(limit: LeaveLimit = 'graceful'): void {
    this.leaving.leave(limit);
  }
}

test('weir is no longer ready, begins nothing new, drains its workers, and ends when they are gone', async () => {
  const world = new World({ notReadyForMs: 10 });
  assert.equal(world.leaving.isLeaving, false);
  world.leave();
  assert.equal(world.leaving.isLeaving, true);
  assert.deepEqual(world.done, ['begin true', 'STOPPING=1', 'EXTEND_TIMEOUT_USEC=6010000'], 'workers are not told yet');
  await world.draining.promise;
  assert.equal(world.done.at(-1), 'drain 1000 1000');
  world.gone.resolve(0);
  assert.equal(await world.end.promise, 0);
});

test('the hard stop is the limit where it is asked for and is the longer one', async () => {
  for (const [drain, expected] of [
    [{ gracefulMs: 1000, hardStopMs: 3000 }, 'drain 1000 3000'],
    [{ gracefulMs: 1000, hardStopMs: 500 }, 'drain 1000 1000'],
  ] as const) {
    const world = new World(drain);
    world.leave('hardStop');
    await world.draining.promise;
    assert.equal(world.done.at(-1), expected);
  }
});

test('a second order during the drain stops the workers, and a third one changes nothing', async () => {
  const world = new World();
  world.leave();
  await world.draining.promise;
  world.leave();
  world.leave();
  assert.equal(await world.end.promise, 2, 'connections that were cut are told');
  assert.deepEqual(world.done.slice(-2), ['drain 1000 1000', 'stop']);
  assert.deepEqual(
    world.events.recent().map(({ event }) => event),
    ['drain', 'left_at_once'],
  );
});

test('a second order while weir is only not ready ends the wait, and no drain begins', async () => {
  const world = new World({ notReadyForMs: 60_000 });
  world.leave();
  world.leave();
  assert.equal(await world.end.promise, 0);
  assert.ok(!world.done.some((what) => what.startsWith('drain')), world.done.join());
});

test('what was said at the start wins over the time of the plan', async () => {
  const world = new World({ notReadyForMs: 60_000 }, 0);
  world.leave();
  await world.draining.promise;
  assert.equal(world.events.recent()[0]!.fields['notReadyForMs'], 0);
});
