import assert from 'node:assert/strict';
import { test } from 'node:test';
import { endpointHash } from './balance.ts';
import { ranksOf } from './subset.ts';

const hashesOf = (count: number): Int32Array =>
  Int32Array.from({ length: count }, (_, i) => endpointHash(`10.1.${i >> 8}.${i & 255}:80`));
const nodes = (count: number): string[] => Array.from({ length: count }, (_, i) => `node-${i}`);

test('over many nodes every endpoint of a large pool is in about as many subsets as any other', () => {
  const hashes = hashesOf(200);
  const uses = new Array<number>(200).fill(0);
  for (const node of nodes(1000)) for (const i of ranksOf(node, hashes, new Uint8Array(200)).subarray(0, 20)) uses[i]!++;
  // 100 each; five standard deviations of a fair draw.
  for (const count of uses) assert.ok(Math.abs(count - 100) < 5 * Math.sqrt(90), `${uses}`);
});

test('the subset of a node is the same whatever the order of the file, and another one on another node', () => {
  const hashes = hashesOf(50);
  const none = new Uint8Array(50);
  const named = (node: string, from: Int32Array) => Array.from(ranksOf(node, from, none).subarray(0, 8), (i) => from[i]!);
  assert.deepEqual(named('a', hashes), named('a', hashes.toReversed()));
  assert.notDeepEqual(named('a', hashes).toSorted(), named('b', hashes).toSorted());
});

test('an endpoint that leaves the pool changes at most one member of each subset, and one that joins as well', () => {
  const hashes = hashesOf(60);
  const none = new Uint8Array(60);
  let changed = 0;
  for (const node of nodes(50)) {
    const members = (count: number) => new Set(Array.from(ranksOf(node, hashes.subarray(0, count), none).subarray(0, 6)));
    const before = members(60);
    const lost = [...before.difference(members(59))];
    assert.ok(lost.length <= 1);
    if (before.has(59)) assert.deepEqual(lost, [59]);
    changed += lost.length;
  }
  // A tenth of all subsets had it.
  assert.ok(changed > 0 && changed < 20, `${changed}`);
});

test('backups have no rank', () => {
  const backup = Uint8Array.from([0, 1, 0, 1, 0]);
  assert.deepEqual([...ranksOf('n', hashesOf(5), backup)].toSorted(), [0, 2, 4]);
});
