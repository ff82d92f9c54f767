import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fmix32 } from '../base/hash.ts';
import { endpointHash, NONE } from './balance.ts';
import { Bench } from './bench.ts';
import { conformance } from './conformance.ts';
import { hashingConformance } from './hashing.ts';

// 160 points a unit of weight: shares stray by some percent of themselves.
conformance('ring-hash', 0.05);
hashingConformance('ring-hash', 0);

test('ring-hash: a key belongs to the next point of the ring, whatever its place', () => {
  const bench = new Bench([{}, { weight: 3 }, { weight: 2 }, {}]);
  const points = [1, 3, 2, 1].flatMap((weight, i) =>
    Array.from({ length: 160 * weight }, (_, n) => ({
      i,
      at: fmix32(endpointHash(`10.0.0.1:${i}`) ^ fmix32(Math.imul(n + 1, 0x9e3779b9))),
    })),
  );
  points.sort((a, b) => a.at - b.at);
  const policy = bench.policy('ring-hash');
  const keys = [0, 1, 0x7fffffff, 0x80000000, 0xffffffff, ...points.flatMap(({ at }) => [at, at + 1])];
  for (let n = 0; n < 2000; n++) keys.push(bench.prng.uint32());
  for (const key of keys) {
    const next = points.find(({ at }) => at >= key) ?? points[0]!;
    assert.equal(policy.pick(key, 0, NONE), bench.slots[next.i], `key ${key}`);
  }
});
