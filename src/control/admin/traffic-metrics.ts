/** Metrics of listeners, routes and filters: what clients asked and what they got. */
import { faults } from '../../base/faults.ts';
import { methodNames } from '../../base/head.ts';
import { filterDecisionNames, handshakeLabels, protocol, protocolNames, rejectionNames } from '../../state/doors.ts';
import type { FilterPlan, Plan } from '../../state/plan.ts';
import type { Tally } from '../../state/table.ts';
import { emptyHistogram, type Families, histogramSums, numberSums } from './families.ts';
import { type PlanNames, possibleExchanges } from './names.ts';

/** What rate limits and client rules can decide, of `filterDecisionNames`. */
const limitDecisions: readonly string[] = ['allowed', 'limited', 'would-limit'];
const accessDecisions: readonly string[] = ['denied', 'would-deny'];

/** Label value of a status class. */
const classNames: readonly string[] = ['none', '1xx', '2xx', '3xx', '4xx', '5xx'];

export function className(number: number): string {
  return classNames[number] ?? 'none';
}

export function addTraffic(families: Families, plan: Plan | null, tally: Tally, names: PlanNames): void {
  addExchanges(families, plan, tally, names);
  addCounts(families, plan, tally, names);
  addListeners(families, plan, tally);
  addFilters(families, plan, tally);
}

/** Series that could come are there from the start, with 0: `rate()` sees the first request only as a step from a zero. */
function addExchanges(families: Families, plan: Plan | null, tally: Tally, names: PlanNames): void {
  const total = families.histogram(
    'weir_request_duration_seconds',
    'From the first byte of the request to the last byte of the response.',
  );
  const firstByte = histogramSums();
  const overhead = histogramSums();
  const bytesIn = numberSums();
  const bytesOut = numberSums();
  const seen = new Set<string>();
  const add = (
    ids: { listener: number; route: number; pool: number; class: number },
    tallied: ReturnType<Tally['exchanges']>[number] | null,
  ) => {
    const listener = names.listener(ids.listener);
    const route = names.route(ids.route);
    const pool = names.pool(ids.pool);
    seen.add(`${ids.listener} ${ids.route} ${ids.pool} ${ids.class}`);
    total({ listener, route, pool, class: className(ids.class) }, tallied?.total ?? emptyHistogram());
    firstByte.add({ route, pool }, tallied?.firstByte ?? emptyHistogram());
    overhead.add({ route }, tallied?.overhead ?? emptyHistogram());
    bytesIn.add({ listener, route, pool }, tallied?.bytesIn ?? 0);
    bytesOut.add({ listener, route, pool }, tallied?.bytesOut ?? 0);
  };
  for (const exchange of tally.exchanges()) add(exchange, exchange);
  for (const ids of plan === null ? [] : possibleExchanges(plan)) {
    if (!seen.has(`${ids.listener} ${ids.route} ${ids.pool} 2`)) add({ ...ids, class: 2 }, null);
  }
  firstByte.each(
    families.histogram('weir_request_first_byte_seconds', 'From the first byte of the request to the response head being sent.'),
  );
  overhead.each(families.histogram('weir_overhead_seconds', 'Time spent in weir itself, waiting excluded.'));
  bytesIn.each(families.counter('weir_request_bytes_total', 'Bytes of request bodies.'));
  bytesOut.each(families.counter('weir_response_bytes_total', 'Bytes of response bodies.'));
}

function addCounts(families: Families, plan: Plan | null, tally: Tally, names: PlanNames): void {
  const counts = tally.counts();
  const possible = plan === null ? [] : possibleExchanges(plan);
  const requests = numberSums();
  for (const ids of possible) {
    const labels = { listener: names.listener(ids.listener), route: names.route(ids.route), pool: names.pool(ids.pool) };
    requests.add({ ...labels, method: 'GET', code: '200', protocol: 'http/1.1' }, 0);
  }
  for (const row of counts.requests) {
    const labels = { listener: names.listener(row.listener), route: names.route(row.route), pool: names.pool(row.pool) };
    const code = String(row.status).padStart(3, '0');
    requests.add(
      { ...labels, method: methodNames[row.method] ?? '_OTHER', code, protocol: protocolNames[row.protocol] ?? '' },
      row.count,
    );
  }
  requests.each(families.counter('weir_requests_total', 'Finished requests.'));

  const inFlight = numberSums();
  for (const { listener, pool } of possible) inFlight.add({ listener: names.listener(listener), pool: names.pool(pool) }, 0);
  for (const row of counts.inFlight)
    inFlight.add({ listener: names.listener(row.listener), pool: names.pool(row.pool) }, row.count);
  inFlight.each(families.gauge('weir_requests_in_flight', 'Requests being served.'));

  const faulted = numberSums();
  const faultLabels = (id: number, route: string, pool: string) => {
    const row = faults[id] ?? faults[0]!;
    return { origin: row.side, phase: row.phase, reason: row.reason, route, pool };
  };
  for (const { id } of faults) if (id !== 0) faulted.add(faultLabels(id, '', ''), 0);
  for (const row of counts.faults) faulted.add(faultLabels(row.faultId, names.route(row.route), names.pool(row.pool)), row.count);
  faulted.each(families.counter('weir_faults_total', 'Expected failures, by who caused them, where and why.'));
}

function addListeners(families: Families, plan: Plan | null, tally: Tally): void {
  const connections = families.gauge('weir_connections', 'Open client connections.');
  const connectionsTotal = families.counter('weir_connections_total', 'Accepted client connections.');
  const rejected = families.counter('weir_connections_rejected_total', 'Client connections turned away.');
  const handshakes = families.counter('weir_tls_handshakes_total', 'TLS handshakes with clients, by what became of them.');
  const handshakesNow = families.gauge('weir_tls_handshakes_in_flight', 'TLS handshakes with clients under way.');
  const handshakeTimes = families.histogram(
    'weir_tls_handshake_seconds',
    'From the client hello to the end of the handshake, of those that were completed.',
  );
  const received = families.counter('weir_received_bytes_total', 'Bytes received from clients, on the wire.');
  const sent = families.counter('weir_sent_bytes_total', 'Bytes sent to clients, on the wire.');
  const sessions = families.gauge('weir_udp_sessions', 'Clients of UDP listeners that are remembered.');
  const datagrams = families.counter('weir_datagrams_total', 'Datagrams from and to clients.');
  for (const { id, name: listener, protocol: kind, tls } of plan?.listeners ?? []) {
    const row = tally.listener(id);
    if (kind === 'udp') {
      sessions({ listener }, row.connections[protocol.udp]!);
      datagrams({ listener, direction: 'in' }, row.datagramsReceived);
      datagrams({ listener, direction: 'out' }, row.datagramsSent);
    }
    protocolNames.forEach((name, i) => {
      // Before any connection it is not known which protocols a listener will see: http/1.1 always, the others when they come.
      if (i !== 0 && row.connectionsTotal[i] === 0) return;
      connections({ listener, protocol: name }, row.connections[i]!);
      connectionsTotal({ listener, protocol: name }, row.connectionsTotal[i]!);
    });
    rejectionNames.forEach((reason, i) => {
      rejected({ listener, reason }, row.rejected[i]!);
    });
    if (tls !== null) {
      handshakeLabels.forEach((labels, i) => {
        handshakes({ listener, ...labels }, row.handshakes[i]!);
      });
      handshakesNow({ listener }, row.handshakesNow);
      handshakeTimes({ listener }, row.handshakeTimes);
    }
    received({ listener }, row.received);
    sent({ listener }, row.sent);
  }
}

/** Filters by name, and the circuit breaker of each pool as the filter it is to a request. */
function addFilters(families: Families, plan: Plan | null, tally: Tally): void {
  const limits = families.counter('weir_limit_decisions_total', 'Decisions of rate limits.');
  const decisions = families.counter('weir_filter_decisions_total', 'Decisions of client rules and circuit breakers.');
  // A filter that edits, denies and limits is three in the plan, of one name and id.
  const filters = new Map<string, FilterPlan>();
  for (const route of plan?.routes ?? []) for (const filter of route.filters) filters.set(`${filter.id} ${filter.kind}`, filter);
  for (const { id, name: filter, kind } of filters.values()) {
    if (id < 0 || kind === 'headers') continue;
    const row = tally.filter(id);
    for (const decision of kind === 'rateLimit' ? limitDecisions : accessDecisions) {
      const count = row[filterDecisionNames.indexOf(decision)]!;
      (kind === 'rateLimit' ? limits : decisions)({ filter, decision }, count);
    }
  }
  for (const { id, name, breaker } of plan?.pools ?? []) {
    if (breaker === null) continue;
    const { breakerOpen, breakerWould } = tally.pool(id);
    decisions({ filter: `breaker/${name}`, decision: 'denied' }, breakerOpen);
    decisions({ filter: `breaker/${name}`, decision: 'would-deny' }, breakerWould);
  }
}
