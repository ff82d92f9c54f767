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
/** Make the decisions to probe and to stay other random numbers than the draws. */
const PROBE_SALT = 0x27d4eb2f;
const LEAN_SALT = 0x5bd1e995;

export class LeastTimePolicy extends TieredPolicy {
  readonly algorithm = 'least-time';
  private readonly table: TableReader;
  /** Average and samples of both candidates. */
  private readonly latency = new Float64Array(4);

  constructor(view: PoolView) {
    super(view);
    this.table = view.table;
  }

  protected choose(tier: Tier, _key: number, random: number, avoid: number): number {
    if (avoid !== NONE || tier.isLimited) return this.chooseUsable(tier, random, avoid);
    if (tier.count === 1) return 0;
    const first = tier.draw(random, NONE);
    if (isProbe(random)) return first;
    const random2 = mix(random);
    const second = tier.count === 2 ? 1 - first : tier.draw(random2, first);
    return this.sooner(tier, first, second, random2);
  }

  private chooseUsable(tier: Tier, random: number, avoid: number): number {
    const first = tier.drawUsable(random, avoid, NONE);
    if (first === NONE || isProbe(random)) return first;
    const random2 = mix(random);
    const second = tier.drawUsable(random2, avoid, first);
    return second === NONE ? first : this.sooner(tier, first, second, random2);
  }

  private sooner(tier: Tier, first: number, second: number, random: number): number {
    const { latency, table } = this;
    const slotFirst = tier.slots[first]!;
    const slotSecond = tier.slots[second]!;
    table.readLatency(slotFirst, latency, 0);
    table.readLatency(slotSecond, latency, 2);
    // With nothing known of one it is as the other; with nothing known of either both are 1 and the load decides.
    const known = latency[1]! > 0 ? latency[0]! : 1;
    const otherKnown = latency[3]! > 0 ? latency[2]! : known;
    const ofFirst = (latency[0]! * latency[1]! + otherKnown * DOUBT_SAMPLES) / (latency[1]! + DOUBT_SAMPLES);
    const ofSecond = (latency[2]! * latency[3]! + known * DOUBT_SAMPLES) / (latency[3]! + DOUBT_SAMPLES);
    const perWeight = tier.total / tier.count;
    const costFirst = ofFirst * (1 + (table.inFlight(slotFirst) * perWeight) / tier.weights[first]!);
    const costSecond = ofSecond * (1 + (table.inFlight(slotSecond) * perWeight) / tier.weights[second]!);
    if (costSecond >= costFirst) return first;
    const ratio = costSecond / costFirst;
    return (mix(random ^ LEAN_SALT) >>> 0) * FRACTION < ratio * ratio * ratio ? first : second;
  }
}

function isProbe(random: number): boolean {
  return (mix(random ^ PROBE_SALT) >>> 0) * FRACTION < PROBE_RATIO;
}
