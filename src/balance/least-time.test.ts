import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Bench } from './bench.ts';
import { conformance } from './conformance.ts';

conformance('least-time');

/** Serves one request at a time for so many seconds; endpoint i takes `ms(i, second)`. Counts by endpoint, second by second. */
function serve(bench: Bench, seconds: number, perSecond: number, ms: (index: number, second: number) => number): number[][] {
  const policy = bench.policy('least-time');
  const worker = bench.workers[0]!;
  return Array.from({ length: seconds }, (_, second) => {
    const counts = new Array<number>(bench.slots.length).fill(0);
    for (let i = 0; i < perSecond; i++) {
      bench.advance(1000 / perSecond);
      const index = bench.pick(policy);
      counts[index]!++;
      worker.begin(bench.slots[index]!);
      worker.end(bench.slots[index]!, 0, 200, ms(index, second));
    }
    return counts;
  });
}

function total(counts: number[][], from: number, to: number, index: number): number {
  return counts.slice(from, to).reduce((sum, second) => sum + second[index]!, 0);
}

test('least-time: a slow endpoint gets little, one a tenth slower a little less', () => {
  const counts = serve(new Bench([{}, {}, {}]), 30, 200, (index) => [10, 11, 100][index]!);
  const all = [0, 1, 2].map((index) => total(counts, 5, 30, index) / (25 * 200));
  assert.ok(all[2]! < 0.03, `${all}`);
  assert.ok(all[1]! > 0.3 && all[1]! < all[0]!, `${all}`);
});

test('least-time: an endpoint that was slow is found fast again, within half a minute at any rate', () => {
  for (const perSecond of [5, 200]) {
    // Ten seconds of trouble, then all are alike.
    const counts = serve(new Bench([{}, {}, {}]), 150, perSecond, (index, second) => (index === 2 && second < 10 ? 500 : 10));
    const recovered = total(counts, 50, 150, 2) / (100 * perSecond);
    assert.ok(recovered > 0.25, `${recovered} at ${perSecond} a second`);
  }
});

test('least-time: however slow, an endpoint keeps three percent of its share, so that its state is known', () => {
  const counts = serve(new Bench([{}, {}]), 60, 200, (index) => (index === 0 ? 1 : 5000));
  const slow = total(counts, 20, 60, 1) / (40 * 200);
  assert.ok(slow > 0.008 && slow < 0.025, `${slow}`);
});

test('least-time: a new endpoint beside busy ones is not flooded and not ignored', () => {
  const bench = new Bench([{}, {}, {}]);
  bench.control.setAdmin(bench.slots[2]!, 1);
  serve(bench, 20, 100, () => 20);
  bench.control.setAdmin(bench.slots[2]!, 0);
  const policy = bench.policy('least-time');
  const counts = [0, 0, 0];
  for (let i = 0; i < 3000; i++) counts[bench.pick(policy)]!++;
  for (const count of counts) assert.ok(count > 850 && count < 1150, `${counts}`);
});

test('least-time: requests in flight count before any latency is known', () => {
  const bench = new Bench([{}, {}]);
  for (let i = 0; i < 9; i++) bench.begin(0);
  const counts = [0, 0];
  const policy = bench.policy('least-time');
  for (let i = 0; i < 1000; i++) counts[bench.pick(policy)]!++;
  assert.ok(counts[0]! < 40, `${counts}`);
});
