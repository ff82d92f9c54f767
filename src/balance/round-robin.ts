/**
 * round-robin: in turn, each as often as it weighs, over all workers.
 *
 * Whose turn it is, the table says: the number of exchanges begun in the pool, summed over the workers. So all workers walk one common sequence
 * instead of one each: they cannot march in step, a worker that serves few requests does not start every
 * endpoint list at its top, and two clients that land on different workers still see the endpoints in turn. Two workers that pick at the same
 * moment may take the same turn; that is chance, not bias, and nobody has to wait for anybody.
 *
 * The sequence: with equal weights the endpoints in order. With others, a cycle in which each appears exactly as often as it weighs, spread evenly; where
 * that cycle would be longer than SEQUENCE_MAX, points that walk the line of weights in steps of the golden ratio, which hit each part within a few
 * turns of its share at any time. It starts at a number of the table, so that not every start of weir begins with the first endpoint.
 *
 * When it is the turn of an endpoint that cannot take it, chance by weight decides: its turns fall to all others, not to its neighbour.
 */
import { NONE, type PoolView } from './policy.ts';
import { FRACTION, mix, type Tier } from './tier.ts';
import { TieredPolicy } from './tiered-policy.ts';

/** Longest cycle that is written out, in turns. */
const SEQUENCE_MAX = 4096;
/** 2^32 divided by the golden ratio. */
const GOLDEN = 0x9e3779b9;

export class RoundRobinPolicy extends TieredPolicy {
  private readonly start: number;
  private readonly nearSequence: Sequence;
  private readonly ordinarySequence: Sequence;
  private readonly backupSequence: Sequence;
  constructor(view: PoolView) {
    super(view);
    this.start = mix(view.table.seed ^ (view.slots[0] ?? 0));
    this.nearSequence = new Sequence(view.slots.length);
    this.ordinarySequence = new Sequence(view.slots.length);
    this.backupSequence = new Sequence(view.slots.length);
  }

  protected override onRefresh(): void {
    const { near, ordinary, backups } = this.tiers;
    this.nearSequence.derive(near);
    this.ordinarySequence.derive(ordinary);
    this.backupSequence.derive(backups);
  }

  protected choose(tier: Tier, _key: number, random: number, avoid: number): number {
    const { near, ordinary } = this.tiers;
    const sequence = tier === ordinary ? this.ordinarySequence : tier === near ? this.nearSequence : this.backupSequence;
    let turn = this.view.table.turn(tier.slots[0]!);
    // A pick whose begin() has not come yet took its turn all the same. Turns wrap, their difference does not.
    const ahead = (sequence.last - turn) | 0;
    if (ahead >= 0 && ahead < sequence.length - 1) turn = (sequence.last + 1) | 0;
    sequence.last = turn;
    const place = sequence.at(tier, (turn + this.start) | 0);
    if (place !== avoid && !(tier.isLimited && tier.isFull(place))) return place;
    return tier.drawUsable(random, avoid, NONE);
  }
}

const TURN_MASK = 0x7fffffff;
const NO_PLACES = new Uint16Array(0);
const NO_ENDS = new Int32Array(0);

class Sequence {
  /** Turns after which it repeats. */
  length = 1;
  /** The turn last taken here: each tier its own, or a full one would take every other turn of the next. */
  last = -1;
  private isWritten = false;
  /** Place by turn, and the scratch of derive(); made when weights first differ, for most pools never do. */
  private places: Uint16Array = NO_PLACES;
  private ends: Int32Array = NO_ENDS;
  private readonly reduced: Float64Array;

  constructor(size: number) {
    this.reduced = new Float64Array(size);
  }

  /** Place whose turn it is. */
  at(tier: Tier, turn: number): number {
    // 31 bits, because a remainder of more is one of fractions, and twice as dear. They are no whole number of cycles: it skips a beat once in two billion.
    if (this.isWritten) return this.places[(turn & TURN_MASK) % this.length]!;
    if (tier.isEven) return (turn & TURN_MASK) % tier.count;
    return tier.draw(Math.imul(turn, GOLDEN), NONE);
  }

  derive(tier: Tier): void {
    const { count, weights } = tier;
    this.isWritten = false;
    this.length = Math.max(1, count);
    if (count === 0 || tier.isEven) return;
    // Not a function of its own: what it returned would be boxed, and this is not only done when weights are changed.
    let divisor = weights[0]!;
    for (let i = 1; i < count; i++) {
      let rest = weights[i]!;
      while (rest !== 0) {
        const next = divisor % rest;
        divisor = rest;
        rest = next;
      }
    }
    const length = tier.total / divisor;
    this.length = Math.min(length, SEQUENCE_MAX);
    if (length > SEQUENCE_MAX) return;
    if (this.places === NO_PLACES) {
      this.places = new Uint16Array(SEQUENCE_MAX);
      this.ends = new Int32Array(SEQUENCE_MAX + 1);
    }
    for (let i = 0; i < count; i++) this.reduced[i] = weights[i]! / divisor;
    this.write(count, length);
    this.isWritten = true;
  }

  /** Each place at even distances, shifted against the others; where several fall on one turn they move up. A counting sort. */
  private write(count: number, length: number): void {
    const { ends, places, reduced } = this;
    ends.fill(0, 0, length + 1);
    for (let i = 0; i < count; i++) {
      for (let j = 0; j < reduced[i]!; j++) ends[wanted(i, j, reduced[i]!, length) + 1]!++;
    }
    for (let turn = 0; turn < length; turn++) ends[turn + 1]! += ends[turn]!;
    for (let i = 0; i < count; i++) {
      for (let j = 0; j < reduced[i]!; j++) places[ends[wanted(i, j, reduced[i]!, length)]!++] = i;
    }
  }
}

/** Turn at which place `i` wants its `j`-th of `weight` appearances. */
function wanted(i: number, j: number, weight: number, length: number): number {
  const shift = (Math.imul(i + 1, GOLDEN) >>> 0) * FRACTION;
  return Math.min(length - 1, Math.floor(((j + shift) * length) / weight));
}
