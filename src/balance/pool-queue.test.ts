import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Prng } from '../base/prng.ts';
import type { TimerOwner } from '../base/wire.ts';
import { PoolQueue, URGENCIES, type Waiter } from './pool-queue.ts';

/** What of an engine a queue needs: a clock and one timer at a time. */
class Clock {
  now = 0;
  armed: { at: number; owner: TimerOwner } | null = null;
  setTimer(ms: number, owner: TimerOwner): number {
    assert.equal(this.armed, null, 'one timer at a time');
    this.armed = { at: this.now + ms, owner };
    return 1;
  }
  runUntil(ms: number): void {
    for (let next = this.armed; next !== null && next.at <= ms; next = this.armed) {
      this.armed = null;
      this.now = next.at;
      next.owner.onTimer(0);
    }
    this.now = ms;
  }
}

class Bench {
  readonly clock = new Clock();
  readonly queue = new PoolQueue(this.clock);
  places = 0;
  readonly served: string[] = [];
  readonly late: string[] = [];

  waiter(name: string, urgency = 3, ms = 1000): Waiter {
    const waiter: Waiter = {
      queueUrgency: 0,
      queueDueMs: 0,
      queueOlder: null,
      queueNewer: null,
      onTurn: () => {
        if (this.places === 0) return false;
        this.places--;
        this.queue.leave(waiter);
        this.served.push(name);
        return true;
      },
      onQueueTimeout: () => void this.late.push(name),
    };
    this.queue.join(waiter, urgency, this.clock.now + ms);
    return waiter;
  }
  free(count: number): void {
    this.places += count;
    this.queue.serve();
  }
}

test('those who wait are listed in the order in which they are served', () => {
  const b = new Bench();
  const [late, early, urgent] = [b.waiter('late', 5), b.waiter('early', 3), b.waiter('urgent', 0)];
  const last = b.waiter('last', 5);
  assert.deepEqual(b.queue.every(), [urgent, early, late, last]);
  b.free(2);
  assert.deepEqual(b.queue.every(), [late, last]);
});

test('the most urgent first, and first in, first out among equals', () => {
  const b = new Bench();
  for (const [name, urgency] of [
    ['a3', 3],
    ['b7', 7],
    ['c0', 0],
    ['d3', 3],
    ['e0', 0],
  ] as const)
    b.waiter(name, urgency);
  b.free(2);
  assert.deepEqual(b.served, ['c0', 'e0']);
  b.waiter('f0', 0);
  b.free(10);
  assert.deepEqual(b.served, ['c0', 'e0', 'f0', 'a3', 'd3', 'b7']);
  assert.equal(b.queue.length, 0);
});

test('who leaves from the front, the middle or the end is not served, and the others are', () => {
  const names = ['a', 'b', 'c', 'd', 'e'];
  for (const gone of [['a'], ['c'], ['e'], ['a', 'e'], ['b', 'c', 'd'], names]) {
    const b = new Bench();
    const waiters = names.map((name) => b.waiter(name));
    for (const name of gone) b.queue.leave(waiters[names.indexOf(name)]!);
    b.free(10);
    assert.deepEqual(
      b.served,
      names.filter((name) => !gone.includes(name)),
    );
  }
});

test('whoever waits too long is told so, and a place that another process freed is seen within some ms', () => {
  const b = new Bench();
  b.waiter('short', 3, 50);
  b.waiter('long', 3, 500);
  b.clock.runUntil(60);
  assert.deepEqual(b.late, ['short']);
  b.places = 1;
  b.clock.runUntil(66);
  assert.deepEqual(b.served, ['long']);
  b.clock.runUntil(1000);
  assert.equal(b.clock.armed, null, 'no timer while nobody waits');
});

test('a place that becomes free while one is served is given away too, in order', () => {
  const b = new Bench();
  for (const name of ['a', 'b', 'c']) b.waiter(name);
  const again = b.waiter('again', 0);
  const { onTurn } = again;
  again.onTurn = () => {
    const isServed = onTurn();
    if (isServed) b.free(1);
    return isServed;
  };
  b.free(1);
  assert.deepEqual(b.served, ['again', 'a']);
});

test('any order of joining, leaving and serving comes out as a plain list says', () => {
  const random = new Prng(11);
  const b = new Bench();
  let model: { name: string; urgency: number; waiter: Waiter }[] = [];
  const expected: string[] = [];
  for (let step = 0; step < 5000; step++) {
    const dice = random.below(10);
    if (dice < 5) {
      const urgency = random.below(URGENCIES);
      const name = `${step}`;
      model.push({ name, urgency, waiter: b.waiter(name, urgency, 1e9) });
    } else if (dice < 7 && model.length > 0) {
      const [gone] = model.splice(random.below(model.length), 1);
      b.queue.leave(gone!.waiter);
    } else if (model.length > 0) {
      const count = Math.min(random.between(1, 3), model.length);
      const order = model.toSorted((x, y) => x.urgency - y.urgency).slice(0, count);
      expected.push(...order.map((o) => o.name));
      model = model.filter((m) => !order.includes(m));
      b.free(count);
    }
    assert.equal(b.queue.length, model.length);
  }
  assert.deepEqual(b.served, expected);
});
