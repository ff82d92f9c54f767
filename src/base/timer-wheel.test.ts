import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Bug } from './assert.ts';
import { DELAY_MS_MAX, NO_TIMER, TICK_MS, TIMERS_MAX, TimerWheel } from './timer-wheel.ts';
import type { TimerOwner } from './wire.ts';

class Log implements TimerOwner {
  readonly kinds: number[] = [];
  onTimer(kind: number): void {
    this.kinds.push(kind);
  }
}

test('a timer never fires early and at most one tick late', () => {
  for (const start of [0, 0.5, 1234.567]) {
    for (const ms of [0, 0.1, 3, 4, 5, 100, 1023.9, 1024, 5000, 262144, 70_000_000]) {
      const wheel = new TimerWheel(start);
      const log = new Log();
      wheel.set(ms, log, 1);
      wheel.advance(start + ms - 0.001);
      assert.deepEqual(log.kinds, [], `${ms} ms from ${start}: not early`);
      wheel.advance(start + ms + TICK_MS);
      assert.deepEqual(log.kinds, [1], `${ms} ms from ${start}: not later than a tick`);
      assert.equal(wheel.count, 0);
    }
  }
});

test('timers fire in the order of their ticks', () => {
  const wheel = new TimerWheel(0);
  const log = new Log();
  for (const ms of [5000, 10, 300_000, 2000, 20, 1030, 1010]) wheel.set(ms, log, ms);
  wheel.advance(400_000);
  assert.deepEqual(log.kinds, [10, 20, 1010, 1030, 2000, 5000, 300_000]);
});

test('a cancelled timer does not fire, and cancelling twice or after it fired is harmless', () => {
  const wheel = new TimerWheel(0);
  const log = new Log();
  const first = wheel.set(10, log, 1);
  const second = wheel.set(20, log, 2);
  wheel.cancel(first);
  wheel.cancel(first);
  wheel.cancel(NO_TIMER);
  assert.equal(wheel.count, 1);
  wheel.advance(100);
  assert.deepEqual(log.kinds, [2]);
  // Every place is used again now, so the old tickets point at living timers.
  for (let i = 0; i < 2000; i++) wheel.set(10, log, 3);
  wheel.cancel(first);
  wheel.cancel(second);
  assert.equal(wheel.count, 2000);
});

test('a timer may set and cancel timers while it fires', () => {
  const wheel = new TimerWheel(0);
  const fired: string[] = [];
  let victim = NO_TIMER;
  wheel.set(
    8,
    {
      onTimer() {
        fired.push('first');
        wheel.cancel(victim);
        wheel.set(0, { onTimer: () => void fired.push('soon') }, 0);
        wheel.set(40, { onTimer: () => void fired.push('later') }, 0);
      },
    },
    0,
  );
  victim = wheel.set(8, { onTimer: () => void fired.push('victim') }, 0);
  wheel.advance(8);
  assert.deepEqual(fired, ['first']);
  wheel.advance(12);
  assert.deepEqual(fired, ['first', 'soon']);
  wheel.advance(47);
  assert.deepEqual(fired, ['first', 'soon']);
  wheel.advance(52);
  assert.deepEqual(fired, ['first', 'soon', 'later']);
});

test('a timer that sets itself with no delay does not hold advance() for ever', () => {
  const wheel = new TimerWheel(0);
  let count = 0;
  const again: TimerOwner = {
    onTimer() {
      count++;
      wheel.set(0, again, 0);
    },
  };
  wheel.set(0, again, 0);
  wheel.advance(1000);
  assert.ok(count >= 1 && count <= 3, `${count} times`);
});

test('a delay set after a long advance counts from its end', () => {
  const wheel = new TimerWheel(0);
  const log = new Log();
  const owner: TimerOwner = { onTimer: () => void wheel.set(100, log, 7) };
  wheel.set(10, owner, 0);
  wheel.advance(5000);
  wheel.advance(5099);
  assert.deepEqual(log.kinds, []);
  wheel.advance(5104);
  assert.deepEqual(log.kinds, [7]);
});

test('nextMs is Infinity when empty, leads to the deadline in few steps, and never beyond it', () => {
  const wheel = new TimerWheel(0);
  const log = new Log();
  assert.equal(wheel.nextMs(0), Infinity);
  const near = wheel.set(100, log, 1);
  assert.equal(wheel.nextMs(0), 100);
  assert.equal(wheel.nextMs(30.5), 69.5);
  assert.equal(wheel.nextMs(200), 0);
  wheel.cancel(near);
  assert.equal(wheel.nextMs(0), Infinity);
  wheel.set(3_600_000, log, 2);
  // Following it leads to the deadline in few steps.
  let now = 0;
  let steps = 0;
  while (wheel.count > 0) {
    const ms = wheel.nextMs(now);
    assert.ok(ms > 0 && now + ms <= 3_600_000 + TICK_MS);
    now += ms;
    wheel.advance(now);
    steps++;
  }
  assert.equal(now, 3_600_000);
  assert.ok(steps <= 4, `${steps} steps`);
});

test('time that goes backwards fires nothing and breaks nothing', () => {
  const wheel = new TimerWheel(1000);
  const log = new Log();
  wheel.advance(2000);
  wheel.set(50, log, 1);
  wheel.advance(1500);
  assert.equal(wheel.now, 2000);
  wheel.advance(2052);
  assert.deepEqual(log.kinds, [1]);
});

test('the wheel goes on after the tick has outgrown 32 bits', () => {
  const wheel = new TimerWheel(0);
  const log = new Log();
  for (const epoch of [2 ** 31, 2 ** 32, 2 ** 33]) {
    const now = (epoch - 3) * TICK_MS;
    wheel.advance(now);
    for (const ms of [12, 2000, 300_000, DELAY_MS_MAX]) {
      log.kinds.length = 0;
      const set = wheel.now;
      wheel.set(ms, log, 1);
      wheel.advance(set + ms - 1);
      assert.deepEqual(log.kinds, []);
      wheel.advance(set + ms + TICK_MS);
      assert.deepEqual(log.kinds, [1]);
    }
  }
});

test('timers grow up to the limit and one more is a bug', () => {
  const wheel = new TimerWheel(0);
  const log = new Log();
  for (let i = 0; i < TIMERS_MAX; i++) wheel.set(100 + (i % 5000), log, i & 7);
  assert.throws(() => wheel.set(1, log, 0), Bug);
  wheel.advance(6000);
  assert.equal(log.kinds.length, TIMERS_MAX);
  wheel.set(1, log, 0);
});

test('a delay that is no delay is a bug', () => {
  const wheel = new TimerWheel(0);
  for (const ms of [-1, NaN, Infinity, DELAY_MS_MAX + 1]) assert.throws(() => wheel.set(ms, new Log(), 0), Bug);
  assert.equal(wheel.count, 0);
});

test('any sequence of sets, cancels and advances agrees with a sorted list', () => {
  const delay = fc.oneof(
    fc.nat(40),
    fc.nat(3000),
    fc.nat(600_000),
    fc.nat(200_000_000),
    fc.double({ min: 0, max: 5000, noNaN: true }),
  );
  const command = fc.oneof(
    { weight: 4, arbitrary: fc.record({ does: fc.constant('set' as const), ms: delay }) },
    { weight: 1, arbitrary: fc.record({ does: fc.constant('cancel' as const), which: fc.nat() }) },
    { weight: 2, arbitrary: fc.record({ does: fc.constant('advance' as const), ms: delay }) },
  );
  fc.assert(
    fc.property(fc.double({ min: 0, max: 1e7, noNaN: true }), fc.array(command, { maxLength: 120 }), (start, commands) => {
      const wheel = new TimerWheel(start);
      const log = new Log();
      let now = start;
      const pending = new Map<number, number>();
      const tickets: number[] = [];
      for (const c of commands) {
        if (c.does === 'set') {
          pending.set(tickets.length, now + c.ms);
          tickets.push(wheel.set(c.ms, log, tickets.length));
        } else if (c.does === 'cancel') {
          if (tickets.length === 0) continue;
          const which = c.which % tickets.length;
          wheel.cancel(tickets[which]!);
          pending.delete(which);
        } else {
          const ms = wheel.nextMs(now);
          const earliest = Math.min(...pending.values());
          // The 1e-6 here and below: the oracle rounds where the wheel does not.
          assert.ok(pending.size === 0 ? ms === Infinity : now + ms < earliest + TICK_MS + 1e-6);
          now += c.ms;
          log.kinds.length = 0;
          wheel.advance(now);
          let tickBefore = -1;
          for (const kind of log.kinds) {
            const due = pending.get(kind);
            assert.ok(due !== undefined, 'it was set, and is neither cancelled nor fired');
            assert.ok(due <= now + 1e-6, 'not early');
            const tick = Math.ceil((due - Math.floor(start)) / TICK_MS - 1e-6);
            assert.ok(tick >= tickBefore - 1, 'in order');
            tickBefore = tick;
            pending.delete(kind);
          }
          for (const due of pending.values()) assert.ok(due > now - TICK_MS - 1e-6, 'none is later than a tick');
        }
        assert.equal(wheel.count, pending.size);
      }
    }),
    { seed: 1, numRuns: 400 },
  );
});
