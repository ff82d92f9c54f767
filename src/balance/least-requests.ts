/**
 * least-requests: the endpoint with the fewest requests in flight for its weight, over all workers. Best when requests differ much in cost
 * and the pool is small enough to look at all of it; beware of an endpoint that fails fast, it always looks idle.
 *
 * Load is (in flight + d) / weight with d drawn evenly from (0, 1], for the reason given in power-of-two.ts. Among those that are equally loaded for their weight
 * chance decides, by weight: many idle endpoints get their shares, and no place in the list is favoured.
 *
 * All is found in one walk over the pool, while the table is read: load, lot and place of an endpoint are one whole number, and the smallest of a run of equal weights is its choice.
 * Choices of runs that are equally loaded race by their lots: the smallest of n exponential times divided by their weights is each one's as often as it weighs.
 * Where that does not do (the choice is full or to be avoided, or somebody is very busy) the pool is looked at again, step by step.
 */
import { Prng } from '../base/prng.ts';
import { fewest, type TableReader } from '../state/doors.ts';
import { NONE, type PoolView } from './policy.ts';
import { PLACES_MAX, Runs } from './runs.ts';
import { FRACTION, mix, type Tier } from './tier.ts';
import { TieredPolicy } from './tiered-policy.ts';

/** In the scratch: cannot be chosen. Above every load. */
const UNUSABLE = 2 ** 31 - 1;
/** Makes the second look another draw than the first, whose choice it must not have. */
const SECOND_SALT = 0x5bd1e995;
const { loadShift, lotsMax, runMax } = fewest;
/** Leaves as many bits of a random number as a lot has. */
const FLIP_SHIFT = 32 - loadShift;
/** Picks begin at so many places of the lots. */
const BEGINNINGS = 4096;
/** A lot as a fraction is its upper bits, for which the exponential time stands in a table, and its lower bits, between which a straight line will do. */
const TIMES = 4096;
const TIME_BITS = loadShift - Math.log2(TIMES);
const BELOW_TIME = 2 ** TIME_BITS - 1;

const prng = new Prng(1);
/**
 * Any numbers, the same ones always; an array of the module's, for the optimiser takes it for a constant. A pick begins somewhere and flips bits of all it takes: with 2^32 ways
 * to do so, what chance there is in these numbers is not seen in the shares.
 */
const lots = Int32Array.from({ length: BEGINNINGS + PLACES_MAX }, () => prng.below(lotsMax / runMax) * runMax);
/** -ln(1 - lot), and at the end, where that is no number, one that is larger. */
const times = Float64Array.from({ length: TIMES + 1 }, (_, i) => -Math.log1p(-Math.min(i, TIMES - 0.5) / TIMES));

export class LeastRequestsPolicy extends TieredPolicy {
  private readonly table: TableReader;
  private readonly near: Runs;
  private readonly ordinary: Runs;
  private readonly backups: Runs;
  /** The choice of each run; filled and used within one call. */
  private readonly choices: Int32Array;
  /** In flight, by place; the same. */
  private readonly loads: Int32Array;

  constructor(view: PoolView) {
    super(view);
    const size = view.slots.length;
    this.table = view.table;
    this.near = new Runs(size);
    this.ordinary = new Runs(size);
    this.backups = new Runs(size);
    this.choices = new Int32Array(size);
    this.loads = new Int32Array(size);
  }

  protected override onRefresh(): void {
    const { near, ordinary, backups } = this.tiers;
    this.near.make(near);
    this.ordinary.make(ordinary);
    this.backups.make(backups);
  }

  protected choose(tier: Tier, _key: number, random: number, avoid: number): number {
    const { tiers, choices } = this;
    const runs = tier === tiers.ordinary ? this.ordinary : tier === tiers.near ? this.near : this.backups;
    const { slots, starts, length, places } = runs;
    const flip = random >>> FLIP_SHIFT;
    if (this.table.fewestOf(slots, starts, length, lots, random & (BEGINNINGS - 1), flip, choices)) {
      const run = length === 1 ? 0 : this.amongRuns(runs, random);
      const choice = choices[run]!;
      const start = starts[run]!;
      const place = places[start + (((choice ^ flip) - start) & (runMax - 1))]!;
      if (place !== avoid && !(tier.isLimited && isFull(tier, place, choice))) return place;
    }
    return this.chooseUsable(tier, mix(random ^ SECOND_SALT), avoid);
  }

  /** The run whose choice it is. */
  private amongRuns(runs: Runs, random: number): number {
    const { choices } = this;
    const { length, inverses, weights } = runs;
    const dither = ((mix(random) >>> 0) + 1) * FRACTION;
    // Of runs that are equally loaded the heaviest costs least, and it comes first.
    let best = 0;
    let load = choices[0]! >>> loadShift;
    let weight = weights[0]!;
    let cost = (load + dither) * inverses[0]!;
    for (let run = 1; run < length; run++) {
      const itsLoad = choices[run]! >>> loadShift;
      const itsCost = (itsLoad + dither) * inverses[run]!;
      if (itsCost < cost) {
        best = run;
        load = itsLoad;
        weight = weights[run]!;
        cost = itsCost;
      } else if (itsLoad * weight === load * weights[run]! && this.isSooner(runs, run, best)) best = run;
    }
    return best;
  }

  /** Does a run's choice win the race against another's? */
  private isSooner({ inverses }: Runs, run: number, other: number): boolean {
    const choice = this.choices[run]!;
    const cell = (choice >>> TIME_BITS) & (TIMES - 1);
    const otherChoice = this.choices[other]!;
    const otherCell = (otherChoice >>> TIME_BITS) & (TIMES - 1);
    const time = times[cell]! + (times[cell + 1]! - times[cell]!) * ((choice & BELOW_TIME) / (BELOW_TIME + 1));
    const otherTime =
      times[otherCell]! + (times[otherCell + 1]! - times[otherCell]!) * ((otherChoice & BELOW_TIME) / (BELOW_TIME + 1));
    return time * inverses[run]! < otherTime * inverses[other]!;
  }

  /** By weight among those equally loaded, the full one and the one to be avoided left out. */
  private chooseUsable(tier: Tier, random: number, avoid: number): number {
    const { loads } = this;
    const { count, limits, inverses } = tier;
    this.table.inFlightOf(tier.slots, count, loads);
    if (tier.isLimited) for (let i = 0; i < count; i++) if (limits[i] !== 0 && loads[i]! >= limits[i]!) loads[i] = UNUSABLE;
    if (avoid !== NONE) loads[avoid] = UNUSABLE;
    const dither = ((mix(random) >>> 0) + 1) * FRACTION;
    let best = NONE;
    let least = Number.POSITIVE_INFINITY;
    for (let i = 0; i < count; i++) {
      const load = loads[i]!;
      if (load === UNUSABLE) continue;
      const relative = (load + dither) * inverses[i]!;
      if (relative < least) {
        best = i;
        least = relative;
      }
    }
    return best === NONE ? NONE : this.amongEqual(tier, best, random);
  }

  private amongEqual(tier: Tier, best: number, random: number): number {
    const { loads } = this;
    const { count, weights } = tier;
    const load = loads[best]!;
    const weight = weights[best]!;
    let total = 0;
    for (let i = 0; i < count; i++) if (loads[i]! * weight === load * weights[i]!) total += weights[i]!;
    if (total === weight) return best;
    let at = (random >>> 0) * FRACTION * total;
    for (let i = 0; i < count; i++) {
      if (loads[i]! * weight !== load * weights[i]!) continue;
      at -= weights[i]!;
      if (at < 0) return i;
    }
    return best;
  }
}

function isFull(tier: Tier, place: number, choice: number): boolean {
  const limit = tier.limits[place]!;
  return limit !== 0 && choice >>> loadShift >= limit;
}
