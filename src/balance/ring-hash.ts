/**
 * ring-hash: endpoints stand on a ring at many points each, a key belongs to the next point (Karger and others, 1997; ketama). An endpoint that is added or
 * removed moves only keys of its own. Its share strays from its weight by some percent: points fall by chance; more points, less stray.
 */

import { HashedPolicy, type Homes } from './hashed.ts';
import { NONE, type PoolView } from './policy.ts';
import { mix } from './tier.ts';

/** Points of one unit of weight: ketama's and nginx's 160. The share of an endpoint strays by about 1 / sqrt(points). */
const POINTS_PER_UNIT = 160;
/** Points of a ring; with more, units get fewer each, but an endpoint never less than one. 2 MiB. */
const POINTS_MAX = 1 << 18;
/** More than there can be endpoints. */
const RANKS = 1 << 20;
/** 2^32 divided by the golden ratio, for steps that do not repeat. */
const GOLDEN = 0x9e3779b9;

export class RingHashPolicy extends HashedPolicy {
  constructor(view: PoolView) {
    super(view, () => new Ring());
  }
}

class Ring implements Homes {
  /** Positions in rising order, unsigned, and whose they are. */
  private positions = new Uint32Array(0);
  private owners = new Int32Array(0);
  /** The ring cut into even parts, about one a point: the first point in or behind each. A binary search would mispredict half of its branches. */
  private guide = new Int32Array(0);
  /** Bits of a position below those that number its part. */
  private partBits = 0;

  layOut(members: readonly number[], hashes: readonly number[], weights: readonly number[]): void {
    const unit = weights.reduce(gcd);
    const units = weights.map((weight) => weight / unit);
    const scale = Math.min(1, POINTS_MAX / (POINTS_PER_UNIT * units.reduce((a, b) => a + b)));
    const counts = units.map((count) => Math.max(1, Math.round(count * POINTS_PER_UNIT * scale)));
    const total = counts.reduce((a, b) => a + b);
    // Position, then rank by hash: two points in one place are ordered alike on every node, whatever the order of the file. Both fit a float, whose
    // sort needs no comparator.
    const ranked = hashes.map((_, i) => i).sort((a, b) => (hashes[a]! >>> 0) - (hashes[b]! >>> 0));
    const points = new Float64Array(total);
    let at = 0;
    ranked.forEach((i, rank) => {
      for (let copy = 1; copy <= counts[i]!; copy++) {
        points[at++] = (mix(hashes[i]! ^ mix(Math.imul(copy, GOLDEN))) >>> 0) * RANKS + rank;
      }
    });
    points.sort();
    this.positions = Uint32Array.from(points, (point) => Math.floor(point / RANKS));
    this.owners = Int32Array.from(points, (point) => members[ranked[point % RANKS]!]!);
    this.guideTo(total);
  }

  member(key: number, attempt: number): number {
    const { positions, owners } = this;
    const count = positions.length;
    if (count === 0) return NONE;
    const wanted = key >>> 0;
    let at = this.guide[wanted >>> this.partBits]!;
    while (at < count && positions[at]! < wanted) at++;
    at += attempt;
    while (at >= count) at -= count;
    return owners[at]!;
  }

  private guideTo(count: number): void {
    const bits = Math.ceil(Math.log2(count + 1));
    this.partBits = 32 - bits;
    this.guide = new Int32Array(2 ** bits);
    let at = 0;
    for (let part = 0; part < 2 ** bits; part++) {
      const start = part * 2 ** this.partBits;
      while (at < count && this.positions[at]! < start) at++;
      this.guide[part] = at;
    }
  }
}

function gcd(a: number, b: number): number {
  while (b !== 0) [a, b] = [b, a % b];
  return a;
}
