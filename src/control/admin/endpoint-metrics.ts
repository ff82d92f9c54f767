/**
 * Metrics of pools' endpoints. Endpoints can be many, so the number that get series of their own is capped; the counters of the rest are added up
 * under `_other`, pool by pool.
 */

import { ejectionCause, ejectionCauseNames } from '../../state/doors.ts';
import type { EndpointPlan, Plan, PoolPlan } from '../../state/plan.ts';
import { endpointState, endpointStateNames, stateNow, type Tally } from '../../state/table.ts';
import { connectResultNames, type Histogram, type SlotTally } from '../../state/tally.ts';
import type { DrainRow, Drains } from './drains.ts';
import { emptyHistogram, type Families, HISTOGRAM_SERIES } from './families.ts';
import { className } from './traffic-metrics.ts';

/** Name of the endpoint that stands for all without series of their own. */
const OTHER = '_other';
/** Classes with series: the statuses endpoints answer, and none. */
const CLASSES = [0, 1, 2, 3, 4, 5];
/** Series of one endpoint: up, weight, in flight; classes; wires; connects; three checks; transitions; ejections, done and only said; two histograms. */
export const ENDPOINT_SERIES =
  3 +
  CLASSES.length +
  2 +
  connectResultNames.length +
  3 +
  endpointStateNames.length +
  (2 * ejectionCauseNames.length - 1) +
  2 * HISTOGRAM_SERIES;

/** Remembers who ever went without series, so that the counter of it only grows. */
export class EndpointMetrics {
  private readonly endpointsMax: number;
  private readonly withoutSeries = new Set<number>();

  constructor(seriesMax: number) {
    this.endpointsMax = Math.floor(seriesMax / ENDPOINT_SERIES);
  }

  /** Series that were not made. */
  get dropped(): number {
    return this.withoutSeries.size * ENDPOINT_SERIES;
  }

  add(families: Families, plan: Plan | null, tally: Tally, drains: Drains): void {
    const print = new Printer(families);
    let left = this.endpointsMax;
    for (const pool of plan?.pools ?? []) {
      print.states(pool, tally);
      const rest: EndpointPlan[] = [];
      for (const endpoint of pool.endpoints) {
        if (endpoint.slot < 0) continue;
        if (left-- > 0) print.one(pool.name, endpoint, tally);
        else rest.push(endpoint);
      }
      for (const { slot } of rest) this.withoutSeries.add(slot);
      if (rest.length > 0) print.other(pool.name, rest, tally);
    }
    // Few endpoints drain at one time, so these are made for those alone, cap or no cap.
    for (const drain of drains.list()) print.drain(drain);
  }
}

class Printer {
  private readonly poolEndpoints;
  private readonly checkTimes;
  private readonly up;
  private readonly weight;
  private readonly inFlight;
  private readonly wires;
  private readonly requests;
  private readonly connects;
  private readonly connectTimes;
  private readonly responseTimes;
  private readonly checks;
  private readonly transitions;
  private readonly ejections;
  private readonly wouldEject;
  private readonly drainRemaining;

  constructor(families: Families) {
    this.poolEndpoints = families.gauge('weir_pool_endpoints', 'Endpoints of a pool by state.');
    this.checkTimes = families.histogram('weir_check_seconds', 'How long health checks took.');
    this.up = families.gauge('weir_endpoint_up', '1 when an endpoint may be given new requests.');
    this.weight = families.gauge('weir_endpoint_weight', 'Weight of an endpoint, changes at run time included.');
    this.inFlight = families.gauge('weir_endpoint_requests_in_flight', 'Requests an endpoint is working on.');
    this.wires = families.gauge('weir_endpoint_connections', 'Connections to an endpoint.');
    this.requests = families.counter('weir_endpoint_requests_total', 'Finished tries on an endpoint by class of its answer.');
    this.connects = families.counter('weir_endpoint_connects_total', 'Connections opened to an endpoint, or not, by result.');
    this.connectTimes = families.histogram('weir_endpoint_connect_seconds', 'How long opening a connection to an endpoint took.');
    this.responseTimes = families.histogram(
      'weir_endpoint_response_seconds',
      'From the request being sent to the response head.',
    );
    this.checks = families.counter('weir_checks_total', 'Health checks by result.');
    this.transitions = families.counter(
      'weir_endpoint_transitions_total',
      'Changes of state of an endpoint by the state entered.',
    );
    this.ejections = families.counter(
      'weir_endpoint_ejections_total',
      'Times an endpoint was taken out for a time, by what live traffic showed, or by an operator.',
    );
    this.wouldEject = families.counter(
      'weir_endpoint_would_eject_total',
      'Times live traffic would have taken an endpoint out, in shadow mode, by what it showed.',
    );
    this.drainRemaining = families.gauge('weir_drain_remaining', 'What an endpoint that drains still has.');
  }

  states(pool: PoolPlan, tally: Tally): void {
    const counts = endpointStateNames.map(() => 0);
    for (const { slot } of pool.endpoints) if (slot >= 0) counts[stateNow(tally, slot, pool.health.slowStartMs)]!++;
    endpointStateNames.forEach((state, i) => {
      this.poolEndpoints({ pool: pool.name, state }, counts[i]!);
    });
    this.checkTimes({ pool: pool.name }, tally.pool(pool.id).checkTimes);
  }

  one(pool: string, endpoint: EndpointPlan, tally: Tally): void {
    const { slot, address } = endpoint;
    const labels = { pool, endpoint: address };
    this.up(labels, stateNow(tally, slot, 0) === endpointState.ready ? 1 : 0);
    this.weight(labels, (endpoint.weight * tally.weightPercent(slot)) / 100);
    this.numbers(labels, tally.slot(slot), tally.inFlight(slot));
  }

  other(pool: string, endpoints: readonly EndpointPlan[], tally: Tally): void {
    const sum = zeroTally();
    let inFlight = 0;
    for (const { slot } of endpoints) {
      addTally(sum, tally.slot(slot));
      inFlight += tally.inFlight(slot);
    }
    this.numbers({ pool, endpoint: OTHER }, sum, inFlight);
  }

  drain({ pool, endpoint, remaining }: DrainRow): void {
    const { requests, tunnels, idleConnections } = remaining;
    this.drainRemaining({ pool, endpoint, kind: 'requests' }, requests);
    this.drainRemaining({ pool, endpoint, kind: 'tunnels' }, tunnels);
    this.drainRemaining({ pool, endpoint, kind: 'idle' }, idleConnections);
  }

  private numbers(labels: { pool: string; endpoint: string }, row: SlotTally, inFlight: number): void {
    this.inFlight(labels, inFlight);
    this.wires({ ...labels, state: 'idle' }, row.wiresIdle);
    this.wires({ ...labels, state: 'busy' }, row.wiresBusy);
    for (const number of CLASSES) this.requests({ ...labels, class: className(number) }, row.classes[number]!);
    connectResultNames.forEach((result, i) => {
      this.connects({ ...labels, result }, row.connects[i]!);
    });
    this.connectTimes(labels, row.connectTimes);
    this.responseTimes(labels, row.responseTimes);
    this.checks({ ...labels, result: 'passed' }, row.checksPassed);
    this.checks({ ...labels, result: 'failed' }, row.checksFailed);
    this.checks({ ...labels, result: 'not-made' }, row.checksNotMade);
    endpointStateNames.forEach((to, i) => {
      this.transitions({ ...labels, to }, row.transitions[i]!);
    });
    ejectionCauseNames.forEach((cause, i) => {
      this.ejections({ ...labels, cause }, row.ejections[i]!);
      // An order is no guess.
      if (i !== ejectionCause.operator) this.wouldEject({ ...labels, cause }, row.wouldEject[i]!);
    });
  }
}

function zeroTally(): SlotTally {
  return {
    classes: CLASSES.map(() => 0),
    faults: 0,
    timeouts: 0,
    streak: 0,
    gateway: 0,
    tunnels: 0,
    wiresIdle: 0,
    wiresBusy: 0,
    connects: connectResultNames.map(() => 0),
    connectTimes: emptyHistogram(),
    responseTimes: emptyHistogram(),
    checksPassed: 0,
    checksFailed: 0,
    checksNotMade: 0,
    transitions: endpointStateNames.map(() => 0),
    ejections: ejectionCauseNames.map(() => 0),
    wouldEject: ejectionCauseNames.map(() => 0),
  };
}

function addTally(to: SlotTally, from: SlotTally): void {
  const addEach = (a: number[] | Histogram, b: number[] | Histogram) => {
    for (let i = 0; i < b.length; i++) a[i]! += b[i]!;
  };
  addEach(to.classes, from.classes);
  addEach(to.connects, from.connects);
  addEach(to.connectTimes, from.connectTimes);
  addEach(to.responseTimes, from.responseTimes);
  addEach(to.transitions, from.transitions);
  addEach(to.ejections, from.ejections);
  addEach(to.wouldEject, from.wouldEject);
  to.wiresIdle += from.wiresIdle;
  to.wiresBusy += from.wiresBusy;
  to.checksPassed += from.checksPassed;
  to.checksFailed += from.checksFailed;
  to.checksNotMade += from.checksNotMade;
}
