/**
 * The reader's door: sums of the stripes in use.
 *
 * Memory order. Every column has one writer, every value is one aligned 32- or 64-bit word, and no value explains another, so plain loads and
 * stores do: a reader sees each word either before or after a change. Two places need more. `epoch`, `version` and `cuts` are stored
 * after what they announce, so they are Atomics (a release and an acquire: on x86-64 the load is an ordinary load). And a slot's health, admin and
 * weight share one word, so that a pick never sees half of a change.
 */
import { assert } from '../base/assert.ts';
import { sharedClockMs } from '../base/shared-clock.ts';
import { admin, fewest, health, type TableReader, traffic } from './doors.ts';
import {
  header,
  type Layout,
  layoutOf,
  layoutProblem,
  POOL_STRIDE,
  poolField,
  SLOT_STRIDE,
  sizesIn,
  slotField,
  stripeField,
  word,
} from './layout.ts';
import { LimitTable } from './limits.ts';

/** The latency average forgets with this time constant: a sample of 10 s ago weighs 1/e (Finagle's and Envoy's peak-EWMA decay). */
export const LATENCY_DECAY_MS = 10_000;
/**
 * Samples are weighted by e^(t/decay) counted from a landmark (forward decay: Cormode et al., 2009), so that no sum has to be aged when a sample comes. Each
 * worker counts by its own clock and publishes, about as often as its loop turns, what brings its weights to its present;
 * workers that started at different times are thus added up alike, and old samples fade whether or not new ones come. The landmark moves on before weights outgrow
 * a float: they are at most e^100.
 */
export const LANDMARK_MS = 100 * LATENCY_DECAY_MS;

/** Bits of a control word that keep new work away: ejected, or any admin state but ready. */
const NOT_READY = word.ejected | (word.adminMask << word.adminShift);

const LOAD_SHIFT = fewest.loadShift;
/** Above every load that is found. */
const NO_LOAD = 2 ** 31 - 1;

export class Reader implements TableReader {
  readonly slotsMax: number;
  /** Random number of this table, the same for all who attach: the common start of the policies that take turns. */
  readonly seed: number;
  /** What the rate limits remember: the one part that all workers write. */
  readonly limits: LimitTable;
  protected readonly layout: Layout;
  protected readonly i32: Int32Array;
  protected readonly f64: Float64Array;
  /** Distance between two stripes and first elements of the hot columns, in elements. */
  private readonly wordsAt: number;
  private readonly slotPoolAt: number;
  private readonly readySinceAt: number;
  private readonly stripe4: number;
  private readonly stripe8: number;
  private readonly inFlightAt: number;
  private readonly requestsAt: number;
  private readonly latencyAt: number;
  private readonly scaleAt: number;
  private readonly begunAt: number;
  private readonly deadAt: number;
  private readonly scratch = new Float64Array(4);

  /** Throws when the buffer holds no table of this layout: ask {@link layoutProblem} first where that may be. */
  constructor(buffer: ArrayBufferLike) {
    const problem = layoutProblem(buffer);
    assert(problem === null, problem ?? '');
    const layout = layoutOf(sizesIn(new Int32Array(buffer, 0, header.stripes)));
    this.layout = layout;
    this.i32 = new Int32Array(buffer, 0, layout.bytes / 4);
    this.f64 = new Float64Array(buffer, 0, layout.bytes / 8);
    this.slotsMax = layout.sizes.slotsMax;
    this.seed = this.i32[header.seed]! >>> 0;
    this.limits = new LimitTable(this.i32, layout, this.seed);
    this.wordsAt = layout.words / 4;
    this.slotPoolAt = layout.slotPool / 4;
    this.readySinceAt = layout.readySince / 8;
    this.stripe4 = layout.stripeBytes / 4;
    this.stripe8 = layout.stripeBytes / 8;
    this.inFlightAt = (layout.stripes + layout.inFlight) / 4;
    this.requestsAt = (layout.stripes + layout.requests) / 8;
    this.latencyAt = (layout.stripes + layout.slots) / 8 + slotField.latencySum;
    this.scaleAt = layout.stripes / 8 + stripeField.latencyScale;
    this.begunAt = (layout.stripes + layout.pools) / 8 + poolField.begun;
    this.deadAt = layout.sizes.stripesMax * (layout.stripeBytes / 8);
  }

  epoch(): number {
    return Atomics.load(this.i32, header.epoch);
  }
  /** Changes whenever a slot's health, admin or weight did: what was derived from them has to be derived again. */
  version(): number {
    return Atomics.load(this.i32, header.version);
  }

  health(slot: number): number {
    return this.i32[this.wordsAt + slot]! & word.healthMask;
  }
  admin(slot: number): number {
    return (this.i32[this.wordsAt + slot]! >> word.adminShift) & word.adminMask;
  }
  isReady(slot: number): boolean {
    const w = this.i32[this.wordsAt + slot]!;
    return (w & word.healthMask) !== health.down && (w & NOT_READY) === 0;
  }
  isEjected(slot: number): boolean {
    return (this.i32[this.wordsAt + slot]! & word.ejected) !== 0;
  }
  keepsBound(slot: number): boolean {
    const w = this.i32[this.wordsAt + slot]!;
    if ((w & word.healthMask) === health.down || (w & word.ejected) !== 0) return false;
    const itsAdmin = (w >> word.adminShift) & word.adminMask;
    return itsAdmin === admin.ready || (itsAdmin === admin.drain && (w & word.keeps) !== 0);
  }
  isCut(slot: number): boolean {
    return (this.i32[this.wordsAt + slot]! & word.cut) !== 0;
  }
  cuts(): number {
    return Atomics.load(this.i32, header.cuts);
  }
  readySince(slot: number): number {
    return this.f64[this.readySinceAt + slot]!;
  }
  nowMs(): number {
    return sharedClockMs();
  }
  weightPercent(slot: number): number {
    return (this.i32[this.wordsAt + slot]! >> word.percentShift) & word.percentMask;
  }

  inFlight(slot: number): number {
    const { i32, stripe4 } = this;
    let sum = 0;
    let at = this.inFlightAt + slot;
    for (let left = i32[header.stripesHigh]!; left > 0; left--, at += stripe4) sum += i32[at]!;
    return sum;
  }

  inFlightOf(slots: Int32Array, count: number, out: Int32Array): void {
    const { i32, stripe4 } = this;
    // Two workers at a time: adding to what was just stored is what takes time. Without any worker two free stripes are read, which hold zeros.
    let at = this.inFlightAt;
    let left = i32[header.stripesHigh]!;
    if (left % 2 === 1) {
      for (let i = 0; i < count; i++) out[i] = i32[at + slots[i]!]!;
      left -= 1;
      at += stripe4;
    } else {
      const next = at + stripe4;
      for (let i = 0; i < count; i++) out[i] = i32[at + slots[i]!]! + i32[next + slots[i]!]!;
      left -= 2;
      at = next + stripe4;
    }
    for (; left > 0; left -= 2) {
      const next = at + stripe4;
      for (let i = 0; i < count; i++) out[i]! += i32[at + slots[i]!]! + i32[next + slots[i]!]!;
      at = next + stripe4;
    }
  }

  fewestOf(
    slots: Int32Array,
    starts: Int32Array,
    runs: number,
    lots: Int32Array,
    from: number,
    flip: number,
    out: Int32Array,
  ): boolean {
    const { i32, stripe4, inFlightAt } = this;
    // The first two workers' stripes are read in any case: one that is free holds zeros.
    const second = inFlightAt + stripe4;
    const third = second + stripe4;
    const end = inFlightAt + i32[header.stripesHigh]! * stripe4;
    let all = 0;
    let i = 0;
    for (let run = 0; run < runs; run++) {
      const runEnd = starts[run + 1]!;
      let least = NO_LOAD;
      if (end <= third) {
        for (; i < runEnd; i++) {
          const slot = slots[i]!;
          const load = (i32[inFlightAt + slot]! + i32[second + slot]!) | 0;
          all |= load;
          // Without a branch to mispredict: loads are as good as random.
          least = Math.min(least, ((load << LOAD_SHIFT) + ((lots[from + i]! + i) ^ flip)) | 0);
        }
      } else {
        for (; i < runEnd; i++) {
          const slot = slots[i]!;
          let load = (i32[inFlightAt + slot]! + i32[second + slot]!) | 0;
          for (let at = third; at < end; at += stripe4) load = (load + i32[at + slot]!) | 0;
          all |= load;
          least = Math.min(least, ((load << LOAD_SHIFT) + ((lots[from + i]! + i) ^ flip)) | 0);
        }
      }
      out[run] = least;
    }
    return (all & ~fewest.loadMax) === 0;
  }

  requests(slot: number): number {
    const { f64, stripe8 } = this;
    let at = this.requestsAt + slot;
    let sum = f64[at + this.deadAt]!;
    for (let left = this.i32[header.stripesHigh]!; left > 0; left--, at += stripe8) sum += f64[at]!;
    return sum;
  }

  /** Id of the pool a slot belongs to, the number of pools when it has none. */
  poolOf(slot: number): number {
    return this.i32[this.slotPoolAt + slot]!;
  }

  turn(slot: number): number {
    const { f64, stripe8 } = this;
    let at = this.begunAt + this.poolOf(slot) * POOL_STRIDE;
    let sum = f64[at + this.deadAt]!;
    for (let left = this.i32[header.stripesHigh]!; left > 0; left--, at += stripe8) sum += f64[at]!;
    return sum | 0;
  }

  poolQueued(pool: number): number {
    return this.poolGauge(pool, poolField.queue);
  }
  poolRetries(pool: number): number {
    return this.poolGauge(pool, poolField.retriesNow);
  }
  private poolGauge(pool: number, field: number): number {
    const { f64, stripe8 } = this;
    let at = this.begunAt + pool * POOL_STRIDE + field - poolField.begun;
    let sum = 0;
    for (let left = this.i32[header.stripesHigh]!; left > 0; left--, at += stripe8) sum += f64[at]!;
    return sum | 0;
  }

  poolInFlight(slot: number): number {
    const { f64, stripe8 } = this;
    let at = this.begunAt + this.poolOf(slot) * POOL_STRIDE + poolField.inFlight - poolField.begun;
    let sum = 0;
    for (let left = this.i32[header.stripesHigh]!; left > 0; left--, at += stripe8) sum += f64[at]!;
    return sum | 0;
  }

  latencyMs(slot: number): number {
    const { scratch } = this;
    this.readLatencies(slot, slot, scratch);
    return scratch[1]! > 0 ? scratch[0]! / scratch[1]! : 0;
  }

  readLatencies(slot: number, other: number, out: Float64Array): void {
    const { f64, stripe8 } = this;
    let sum = 0;
    let weight = 0;
    let otherSum = 0;
    let otherWeight = 0;
    let at = this.latencyAt + slot * SLOT_STRIDE;
    const apart = (other - slot) * SLOT_STRIDE;
    let scaleAt = this.scaleAt;
    for (let left = this.i32[header.stripesHigh]!; left > 0; left--, at += stripe8, scaleAt += stripe8) {
      const scale = f64[scaleAt]!;
      const landmark = f64[scaleAt + 1]!;
      // A slot's weights may count from an earlier landmark than its stripe's present.
      const itsWeight = f64[at + 1]!;
      if (itsWeight !== 0) {
        const itsScale = f64[at + 2] === landmark ? scale : scale * fadedSince(f64[at + 2]!, landmark);
        sum += f64[at]! * itsScale;
        weight += itsWeight * itsScale;
      }
      const otherAt = at + apart;
      const othersWeight = f64[otherAt + 1]!;
      if (othersWeight !== 0) {
        const othersScale = f64[otherAt + 2] === landmark ? scale : scale * fadedSince(f64[otherAt + 2]!, landmark);
        otherSum += f64[otherAt]! * othersScale;
        otherWeight += othersWeight * othersScale;
      }
    }
    out[0] = sum;
    out[1] = weight;
    out[2] = otherSum;
    out[3] = otherWeight;
  }

  readTraffic(slot: number, out: Float64Array): void {
    const { f64, stripe8 } = this;
    const first = this.latencyAt - slotField.latencySum + slot * SLOT_STRIDE;
    const dead = first + this.deadAt;
    let good = f64[dead + slotField.good]!;
    let bad = f64[dead + slotField.bad]!;
    let faults = f64[dead + slotField.faults]!;
    let timeouts = f64[dead + slotField.timeouts]!;
    let gateway = f64[dead + slotField.gateway]!;
    let streak = 0;
    let hardStreak = 0;
    let tunnels = 0;
    let at = first;
    for (let left = this.i32[header.stripesHigh]!; left > 0; left--, at += stripe8) {
      good += f64[at + slotField.good]!;
      bad += f64[at + slotField.bad]!;
      faults += f64[at + slotField.faults]!;
      timeouts += f64[at + slotField.timeouts]!;
      gateway += f64[at + slotField.gateway]!;
      tunnels += f64[at + slotField.tunnels]!;
      streak = Math.max(streak, f64[at + slotField.streak]!);
      hardStreak = Math.max(hardStreak, f64[at + slotField.hardStreak]!);
    }
    out[traffic.good] = good;
    out[traffic.bad] = bad;
    out[traffic.faults] = faults;
    out[traffic.timeouts] = timeouts;
    out[traffic.gateway] = gateway;
    out[traffic.streak] = streak;
    out[traffic.hardStreak] = hardStreak;
    // Two columns that change one after the other.
    out[traffic.inFlight] = Math.max(0, this.inFlight(slot) - tunnels);
    const { scratch } = this;
    this.readLatencies(slot, slot, scratch);
    out[traffic.latencyMs] = scratch[1]! > 0 ? scratch[0]! / scratch[1]! : 0;
    out[traffic.latencyWeight] = scratch[1]!;
  }
}

/** What is left of a weight that counts from an earlier landmark. */
function fadedSince(landmark: number, now: number): number {
  return Math.exp(((landmark - now) * LANDMARK_MS) / LATENCY_DECAY_MS);
}
