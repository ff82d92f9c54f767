/**
 * least-time: two different endpoints drawn by weight, and a leaning towards the one that is expected to answer sooner. What is expected is latency × (1 + in flight for
 * its weight); latency is the table's average over all workers, which forgets within some ten seconds.
 *
 * It leans and does not decide: the endpoint drawn first keeps the request with probability (sooner / later) ³. Equal endpoints thus keep the shares of their weights, one that
 * is a tenth slower gets a little less, not nothing, and one ten times slower next to nothing.
 *
 * Two dangers of choosing by latency are met here. An endpoint that was slow once gets no requests, so nobody learns that it is fast
 * again: its average fades as its samples do, towards that of the endpoint it is compared with, and a fixed part of all picks does not look at latency at all.
 * A new endpoint has no latency: it is taken to be as fast as the other.
 */
import type { TableReader } from '../state/doors.ts';
import { NONE, type PoolView } from './policy.ts';
import { FRACTION, mix, type Tier } from './tier.ts';
import { TieredPolicy } from './tiered-policy.ts';

/** Share of picks that go by weight alone, so that each endpoint keeps at least this part of its share. Envoy probes with 3 %. */
const PROBE_RATIO = 0.03;
/** How many samples' worth of doubt: with few recent ones the estimate leans towards the other endpoint's. */
const DOUBT_SAMPLES = 1;
/** Makes the decision to stay another random number than the draws. */
const LEAN_SALT = 0x5bd1e995;

export class LeastTimePolicy extends TieredPolicy {
  private readonly table: TableReader;
  /** Sum of times and samples of both candidates. */
  private readonly latency = new Float64Array(4);

  constructor(view: PoolView) {
    super(view);
    this.table = view.table;
  }

  protected choose(tier: Tier, _key: number, random: number, avoid: number): number {
    if (avoid !== NONE || tier.isLimited) return this.chooseUsable(tier, random, avoid);
    if (tier.count === 1) return 0;
    const first = tier.draw(random, NONE);
    const random2 = mix(random);
    const second = tier.count === 2 ? 1 - first : tier.draw(random2, first);
    return this.sooner(tier, first, second, random2);
  }

  private chooseUsable(tier: Tier, random: number, avoid: number): number {
    const first = tier.drawUsable(random, avoid, NONE);
    if (first === NONE) return NONE;
    const random2 = mix(random);
    const second = tier.drawUsable(random2, avoid, first);
    return second === NONE ? first : this.sooner(tier, first, second, random2);
  }

  private sooner(tier: Tier, first: number, second: number, random: number): number {
    const { latency, table } = this;
    const slotFirst = tier.slots[first]!;
    const slotSecond = tier.slots[second]!;
    table.readLatencies(slotFirst, slotSecond, latency);
    const samplesFirst = latency[1]!;
    const samplesSecond = latency[3]!;
    // With nothing known of one it is as the other; with nothing known of either both are 1 and the load decides.
    const known = samplesFirst > 0 ? latency[0]! / samplesFirst : samplesSecond > 0 ? latency[2]! / samplesSecond : 1;
    const otherKnown = samplesSecond > 0 ? latency[2]! / samplesSecond : known;
    const costFirst =
      (latency[0]! + otherKnown * DOUBT_SAMPLES) *
      (samplesSecond + DOUBT_SAMPLES) *
      (1 + table.inFlight(slotFirst) * tier.mean * tier.inverses[first]!);
    const costSecond =
      (latency[2]! + known * DOUBT_SAMPLES) *
      (samplesFirst + DOUBT_SAMPLES) *
      (1 + table.inFlight(slotSecond) * tier.mean * tier.inverses[second]!);
    // Below PROBE_RATIO a request stays in any case; above, if the rest of the fraction is below (sooner / later)³. Multiplied out: two costs may be 0, and one comparison has
    // one branch to mispredict.
    const fraction = (mix(random ^ LEAN_SALT) >>> 0) * FRACTION;
    const bar = (1 - PROBE_RATIO) * costSecond * costSecond * costSecond;
    return (fraction - PROBE_RATIO) * costFirst * costFirst * costFirst <= bar ? first : second;
  }
}
