import assert from 'node:assert/strict';
import { test } from 'node:test';
import { endpointHash } from './balance.ts';
import { conformance } from './conformance.ts';
import { hashingConformance } from './hashing.ts';
import { fillMaglev, MAGLEV_PLACES } from './maglev.ts';

conformance('maglev');
hashingConformance('maglev', 0.02);

test('maglev: places are shared by weight to within one in a thousand', () => {
  const weights = [1, 2, 3, 10, 100];
  const owners = fillMaglev(
    weights.map((_, i) => endpointHash(`10.0.0.${i}:80`)),
    weights,
  );
  const counts = weights.map((_, i) => owners.filter((owner) => owner === i).length);
  const total = weights.reduce((a, b) => a + b);
  counts.forEach((count, i) => {
    assert.ok(Math.abs(count / MAGLEV_PLACES - weights[i]! / total) < 0.001, `${counts}`);
  });
});

test('maglev: in a pool of a hundred a lost endpoint moves few keys between the others', () => {
  const hashes = Array.from({ length: 100 }, (_, i) => endpointHash(`10.0.0.${i}:80`));
  const all = fillMaglev(hashes, new Array(100).fill(1));
  const without = fillMaglev(hashes.slice(0, 99), new Array(99).fill(1));
  let between = 0;
  all.forEach((owner, i) => {
    if (owner !== 99 && without[i] !== owner) between++;
  });
  assert.ok(between / MAGLEV_PLACES < 0.02, `${between}`);
});
