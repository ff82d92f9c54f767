import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { medianWithout } from './median.ts';
import { BUCKETS, Recent } from './recent.ts';

test('for any ends at any times: what it counts lies within the window and one bucket of it', () => {
  const property = fc.property(
    fc.array(fc.record({ gap: fc.integer({ min: 0, max: 3000 }), good: fc.nat(5), bad: fc.nat(5) }), { maxLength: 80 }),
    fc.constantFrom(1000, 10_000),
    (ends, windowMs) => {
      const recent = new Recent(windowMs);
      const seen: { at: number; good: number; bad: number }[] = [];
      let now = 12_345;
      for (const { gap, good, bad } of ends) {
        now += gap;
        recent.advance(now);
        recent.add(good, bad, Math.min(bad, 2));
        seen.push({ at: now, good, bad });
        const within = (ms: number, kind: 'good' | 'bad') =>
          seen.filter(({ at }) => at > now - ms).reduce((sum, end) => sum + end[kind], 0);
        const shortest = windowMs - windowMs / BUCKETS;
        assert.ok(recent.good >= within(shortest, 'good') && recent.good <= within(windowMs, 'good'), `${recent.good}`);
        assert.ok(recent.bad >= within(shortest, 'bad') && recent.bad <= within(windowMs, 'bad'), `${recent.bad}`);
        assert.ok(recent.hard <= recent.bad);
      }
      recent.advance(now + windowMs);
      assert.deepEqual([recent.good, recent.bad, recent.hard], [0, 0, 0]);
    },
  );
  fc.assert(property, { seed: 3, numRuns: 200 });
});

test('shares are of all that ended, and none when nothing did', () => {
  const recent = new Recent(1000);
  assert.ok(Number.isNaN(recent.share(false)));
  recent.advance(1);
  recent.add(6, 4, 1);
  assert.deepEqual([recent.share(false), recent.share(true)], [0.4, 0.1]);
  recent.clear();
  assert.ok(Number.isNaN(recent.share(true)));
});

test('the median of the others is that of the numbers without one', () => {
  const property = fc.property(
    fc.array(fc.integer({ min: 0, max: 9 }), { minLength: 2, maxLength: 12 }),
    fc.nat(),
    (numbers, pick) => {
      const sorted = Float64Array.from(numbers).sort();
      const at = pick % sorted.length;
      const rest = Array.from(sorted.filter((_, i) => i !== at));
      const half = rest.length >> 1;
      const expected = rest.length % 2 === 1 ? rest[half]! : (rest[half - 1]! + rest[half]!) / 2;
      assert.equal(medianWithout(sorted, sorted.length, sorted[at]!), expected);
    },
  );
  fc.assert(property, { seed: 9, numRuns: 300 });
});
