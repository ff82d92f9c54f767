import assert from 'node:assert/strict';
import { test } from 'node:test';
import { algorithms } from '../control/config/schema-balance.ts';
import { NONE, pickTrusted } from './balance.ts';
import { Bench } from './bench.ts';

for (const algorithm of algorithms) {
  test(`${algorithm}: of ten endpoints of which nine just failed the tenth is found, whatever the key, and a full one is not`, () => {
    const bench = new Bench(Array.from({ length: 10 }, (_, i) => (i === 4 ? { requestsMax: 1 } : {})));
    const policy = bench.policy(algorithm);
    const random = () => bench.prng.uint32();
    for (const good of [7, 4]) {
      const suspects = { isSuspect: (slot: number) => slot !== bench.slots[good] };
      for (let i = 0; i < 200; i++)
        assert.equal(pickTrusted(policy, random(), bench.slots[i % 3]!, random, suspects), bench.slots[good]);
    }
    bench.begin(4);
    const full = { isSuspect: (slot: number) => slot !== bench.slots[4] };
    for (let i = 0; i < 50; i++) assert.notEqual(pickTrusted(policy, random(), NONE, random, full), bench.slots[4]);
  });

  test(`${algorithm}: where all just failed one of them is asked again`, () => {
    const bench = new Bench([{}, {}, {}]);
    const policy = bench.policy(algorithm);
    const random = () => bench.prng.uint32();
    for (let i = 0; i < 50; i++)
      assert.notEqual(pickTrusted(policy, random(), bench.slots[0]!, random, { isSuspect: () => true }), NONE);
  });
}

test('first: the third is asked when the first two just failed, and a backup after it', () => {
  const bench = new Bench([{}, {}, {}, { backup: true }]);
  const policy = bench.policy('first');
  const failed = new Set<number>();
  const order: number[] = [];
  let avoid = NONE;
  for (let i = 0; i < 4; i++) {
    avoid = pickTrusted(policy, 0, avoid, () => bench.prng.uint32(), { isSuspect: (slot) => failed.has(slot) });
    failed.add(avoid);
    order.push(bench.slots.indexOf(avoid));
  }
  assert.deepEqual(order, [0, 1, 2, 3]);
});
