import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { fault } from '../../base/faults.ts';
import { method } from '../../base/head.ts';
import {
  admin,
  ejectionCause,
  filterDecision,
  handshakeResult,
  health,
  protocol,
  rejection,
  retryReason,
  stickyResult,
} from '../../state/doors.ts';
import type { FilterPlan, RateLimitPlan } from '../../state/plan.ts';
import { ENDPOINT_SERIES } from './endpoint-metrics.ts';
import { StateFixture } from './fixture.ts';
import { Metrics } from './metrics.ts';
import { Pace } from './pace.ts';

/** Samples by series, of a text that is checked line by line against the format. */
function parse(text: string): Map<string, number> {
  const samples = new Map<string, number>();
  const typed = new Set<string>();
  for (const line of text.split('\n')) {
    if (line === '' || line.startsWith('# HELP ')) continue;
    const type = /^# TYPE ([a-z_]+) (counter|gauge|histogram)$/.exec(line);
    if (type !== null) {
      assert.ok(!typed.has(type[1]!), `${type[1]} is declared once`);
      typed.add(type[1]!);
      continue;
    }
    const match = /^([a-z_]+(?:\{[^{}]*\})?) (\S+)$/.exec(line);
    assert.ok(match !== null, `a line of the format: ${line}`);
    assert.ok(!samples.has(match[1]!), `${match[1]} comes once`);
    samples.set(match[1]!, match[2] === '+Inf' ? Number.POSITIVE_INFINITY : Number(match[2]));
  }
  return samples;
}

async function scrape(state: StateFixture, seriesMax?: number): Promise<Map<string, number>> {
  return parse((await new Metrics(state, seriesMax).scrape('')).text);
}

/** Gives the route a rule for clients and a rate limit, and the pool a circuit breaker. */
function addGuards(state: StateFixture): void {
  const { control, its, web } = state;
  const filters: FilterPlan[] = [
    { name: 'inside', id: control.claimId('filter', 'inside'), kind: 'access', allow: [], deny: [], isShadow: false },
    { name: 'per-client', id: control.claimId('filter', 'per-client'), kind: 'rateLimit', ...limit },
    // Of one name and id with the limit, as a filter that does both comes out of the configuration.
    {
      name: 'per-client',
      id: control.claimId('filter', 'per-client'),
      kind: 'headers',
      request: { set: [], add: [], remove: [] },
      response: { set: [], add: [], remove: [] },
    },
  ];
  const breaker = { requestsMax: 9, pendingMax: 0, retriesMax: 0, isShadow: false };
  state.its = { ...its!, pools: [{ ...web, breaker }], routes: [{ ...its!.routes[0]!, filters }] };
}
const limit: RateLimitPlan = {
  algorithm: 'token-bucket',
  requests: 1,
  windowMs: 1000,
  burst: 1,
  key: '{client.ip}',
  isShadow: false,
  headers: false,
};

/** Some of everything a worker counts. */
function traffic(state: StateFixture): void {
  addGuards(state);
  const { worker, web, its } = state;
  const listener = its!.listeners[0]!.id;
  const route = its!.routes[0]!.id;
  const { slot } = web.endpoints[0]!;
  worker.begin(slot);
  worker.end(slot, fault.none, 200, 12);
  worker.begin(slot);
  worker.end(slot, fault.connectionRefused, 0, -1);
  worker.begin(slot);
  worker.connected(slot, fault.none, 0.4);
  worker.connected(slot, fault.connectionRefused, 1);
  worker.wires(slot, 3, 1);
  worker.exchange(listener, route, web.id, method.GET, 200, protocol.http1, 40, 30, 0.2, 100, 2000);
  worker.exchange(listener, route, web.id, method.GET, 200, protocol.http1, 600, 30, 0.2, 1, 1);
  worker.exchange(listener, -1, -1, method.POST, 404, protocol.http1, 1, -1, -1, 0, 5);
  worker.exchangeInFlight(listener, web.id, 1);
  worker.exchangeInFlight(listener, web.id, 1);
  worker.exchangeInFlight(listener, web.id, -1);
  worker.fault(fault.connectionRefused, route, web.id);
  worker.retry(web.id, retryReason.connect);
  worker.retryBudgetExhausted(web.id);
  worker.connection(listener, protocol.http1, 1);
  worker.connection(listener, protocol.http1, 1);
  worker.connection(listener, protocol.http1, -1);
  worker.rejected(listener, rejection.perIp);
  for (const [result, ms] of [
    [handshakeResult.full13, 4],
    [handshakeResult.full13, 40],
    [handshakeResult.resumed12, 0.4],
    [handshakeResult.timeout, -1],
  ] as const)
    worker.handshake(listener, result, ms);
  worker.handshakesUnderWay(listener, 3);
  worker.handshakesUnderWay(listener, -1);
  worker.wireBytes(listener, 1000, 2000);
  worker.queue(web.id, 4);
  worker.queued(web.id, 7, true);
  worker.retriesInFlight(web.id, 2);
  for (const result of [stickyResult.hit, stickyResult.hit, stickyResult.lost]) worker.sticky(web.id, result);
  for (const won of [false, false, false, true]) worker.hedge(web.id, won);
  worker.fellBack(web.id);
  worker.breaker(web.id, false);
  worker.breaker(web.id, true);
  const [inside, perClient] = its!.routes[0]!.filters;
  worker.filterDecided(inside!.id, filterDecision.denied);
  worker.filterDecided(inside!.id, filterDecision.wouldDeny);
  for (const decision of [filterDecision.allowed, filterDecision.allowed, filterDecision.limited, filterDecision.wouldLimit])
    worker.filterDecided(perClient!.id, decision);
  worker.logLinesDropped(6);
  worker.limits.evicted = 3;
  worker.process(0.25, 5e6, 77, 10, 20, 1, 9);
  state.control.checked(slot, true, 3);
  state.control.checked(slot, false, 3);
  state.control.notChecked(slot);
  for (const isShadow of [false, false, true]) state.control.countEjection(slot, ejectionCause.latency, isShadow);
  state.control.setHealth(slot, health.down);
  state.control.setWeightPercent(slot, 50);
}

test('every count of a worker comes out as the series that is named for it', async () => {
  const state = new StateFixture();
  traffic(state);
  const samples = await scrape(state);
  const expected: Record<string, number> = {
    'weir_requests_total{listener="web",route="shop",pool="web",method="GET",code="200",protocol="http/1.1"}': 2,
    'weir_requests_total{listener="web",route="",pool="",method="POST",code="404",protocol="http/1.1"}': 1,
    'weir_request_duration_seconds_bucket{listener="web",route="shop",pool="web",class="2xx",le="0.025"}': 0,
    'weir_request_duration_seconds_bucket{listener="web",route="shop",pool="web",class="2xx",le="0.05"}': 1,
    'weir_request_duration_seconds_bucket{listener="web",route="shop",pool="web",class="2xx",le="1"}': 2,
    'weir_request_duration_seconds_bucket{listener="web",route="shop",pool="web",class="2xx",le="+Inf"}': 2,
    'weir_request_duration_seconds_sum{listener="web",route="shop",pool="web",class="2xx"}': 0.64,
    'weir_request_duration_seconds_count{listener="web",route="shop",pool="web",class="2xx"}': 2,
    'weir_request_duration_seconds_count{listener="web",route="",pool="",class="4xx"}': 1,
    'weir_request_first_byte_seconds_count{route="shop",pool="web"}': 2,
    'weir_request_first_byte_seconds_count{route="",pool=""}': 0,
    'weir_overhead_seconds_bucket{route="shop",le="0.0005"}': 2,
    'weir_request_bytes_total{listener="web",route="shop",pool="web"}': 101,
    'weir_response_bytes_total{listener="web",route="shop",pool="web"}': 2001,
    'weir_response_bytes_total{listener="web",route="",pool=""}': 5,
    'weir_requests_in_flight{listener="web",pool="web"}': 1,
    'weir_faults_total{origin="endpoint",phase="connect",reason="connection_refused",route="shop",pool="web"}': 1,
    'weir_faults_total{origin="endpoint",phase="connect",reason="connection_refused",route="",pool=""}': 0,
    'weir_retries_total{pool="web",reason="connect"}': 1,
    'weir_retries_total{pool="web",reason="timeout"}': 0,
    'weir_retry_budget_exhausted_total{pool="web"}': 1,
    'weir_connections{listener="web",protocol="http/1.1"}': 1,
    'weir_connections_total{listener="web",protocol="http/1.1"}': 2,
    'weir_connections_rejected_total{listener="web",reason="limit_per_ip"}': 1,
    'weir_connections_rejected_total{listener="web",reason="drain"}': 0,
    'weir_connections_rejected_total{listener="web",reason="tls"}': 0,
    'weir_tls_handshakes_total{listener="web",version="1.3",resumed="false",result="ok"}': 2,
    'weir_tls_handshakes_total{listener="web",version="1.2",resumed="true",result="ok"}': 1,
    'weir_tls_handshakes_total{listener="web",version="1.2",resumed="false",result="ok"}': 0,
    'weir_tls_handshakes_total{listener="web",version="",resumed="",result="timeout"}': 1,
    'weir_tls_handshakes_total{listener="web",version="",resumed="",result="failed"}': 0,
    'weir_tls_handshakes_total{listener="web",version="",resumed="",result="limit"}': 0,
    'weir_tls_handshakes_in_flight{listener="web"}': 2,
    'weir_tls_handshake_seconds_count{listener="web"}': 3,
    'weir_tls_handshake_seconds_bucket{listener="web",le="0.005"}': 2,
    'weir_received_bytes_total{listener="web"}': 1000,
    'weir_sent_bytes_total{listener="web"}': 2000,
    'weir_pool_queue{pool="web"}': 4,
    'weir_pool_queue_seconds_count{pool="web"}': 1,
    'weir_pool_queue_timeouts_total{pool="web"}': 1,
    'weir_retries_in_flight{pool="web"}': 2,
    'weir_hedges_total{pool="web",won="true"}': 1,
    'weir_hedges_total{pool="web",won="false"}': 2,
    'weir_pool_sticky_total{pool="web",result="hit"}': 2,
    'weir_pool_sticky_total{pool="web",result="new"}': 0,
    'weir_pool_sticky_total{pool="web",result="lost"}': 1,
    'weir_pool_fallback_total{pool="web"}': 1,
    'weir_pool_panic{pool="web"}': 0,
    'weir_limit_decisions_total{filter="per-client",decision="allowed"}': 2,
    'weir_limit_decisions_total{filter="per-client",decision="limited"}': 1,
    'weir_limit_decisions_total{filter="per-client",decision="would-limit"}': 1,
    'weir_filter_decisions_total{filter="inside",decision="denied"}': 1,
    'weir_filter_decisions_total{filter="inside",decision="would-deny"}': 1,
    'weir_filter_decisions_total{filter="breaker/web",decision="denied"}': 1,
    'weir_filter_decisions_total{filter="breaker/web",decision="would-deny"}': 1,
    weir_fds_used_ratio: 0.25,
    weir_clients_used_ratio: 0.5,
    weir_udp_sessions_used_ratio: 0.125,
    'weir_source_ports_used_ratio{pool="web",endpoint="10.0.0.1:8001"}': 0.5,
    'weir_pool_endpoints{pool="web",state="ready"}': 1,
    'weir_pool_endpoints{pool="web",state="ejected"}': 0,
    'weir_pool_endpoints{pool="web",state="down"}': 1,
    'weir_check_seconds_count{pool="web"}': 2,
    'weir_endpoint_up{pool="web",endpoint="10.0.0.1:8000"}': 0,
    'weir_endpoint_up{pool="web",endpoint="10.0.0.1:8001"}': 1,
    'weir_endpoint_weight{pool="web",endpoint="10.0.0.1:8000"}': 0.5,
    'weir_endpoint_requests_in_flight{pool="web",endpoint="10.0.0.1:8000"}': 1,
    'weir_endpoint_connections{pool="web",endpoint="10.0.0.1:8000",state="idle"}': 3,
    'weir_endpoint_connections{pool="web",endpoint="10.0.0.1:8000",state="busy"}': 1,
    'weir_endpoint_requests_total{pool="web",endpoint="10.0.0.1:8000",class="2xx"}': 1,
    'weir_endpoint_requests_total{pool="web",endpoint="10.0.0.1:8000",class="none"}': 1,
    'weir_endpoint_connects_total{pool="web",endpoint="10.0.0.1:8000",result="ok"}': 1,
    'weir_endpoint_connects_total{pool="web",endpoint="10.0.0.1:8000",result="refused"}': 1,
    'weir_endpoint_connect_seconds_count{pool="web",endpoint="10.0.0.1:8000"}': 1,
    'weir_endpoint_response_seconds_bucket{pool="web",endpoint="10.0.0.1:8000",le="0.025"}': 1,
    'weir_checks_total{pool="web",endpoint="10.0.0.1:8000",result="passed"}': 1,
    'weir_checks_total{pool="web",endpoint="10.0.0.1:8000",result="failed"}': 1,
    'weir_checks_total{pool="web",endpoint="10.0.0.1:8000",result="not-made"}': 1,
    'weir_endpoint_transitions_total{pool="web",endpoint="10.0.0.1:8000",to="down"}': 1,
    'weir_endpoint_ejections_total{pool="web",endpoint="10.0.0.1:8000",cause="latency"}': 2,
    'weir_endpoint_ejections_total{pool="web",endpoint="10.0.0.1:8001",cause="latency"}': 0,
    'weir_endpoint_would_eject_total{pool="web",endpoint="10.0.0.1:8000",cause="latency"}': 1,
    'weir_worker_up{worker="0"}': 1,
    'weir_worker_up{worker="1"}': 0,
    'weir_worker_restarts_total{worker="0"}': 2,
    'weir_worker_busy_ratio{worker="0"}': 0.25,
    'weir_heap_used_bytes{worker="0"}': 5e6,
    'weir_buffers_free{worker="0"}': 77,
    'weir_uring_enters_total{worker="0"}': 10,
    'weir_uring_completions_total{worker="0"}': 20,
    'weir_uring_overflows_total{worker="0"}': 1,
    'weir_log_lines_dropped_total{sink="access"}': 6,
    weir_limit_keys_evicted_total: 3,
    weir_datagrams_dropped_total: 9,
    weir_config_epoch: 7,
    weir_config_last_reload_successful: 0,
    'weir_config_reloads_total{result="failure"}': 1,
    weir_metric_series_dropped_total: 0,
    process_start_time_seconds: Date.UTC(2026, 0, 2) / 1000,
  };
  for (const [series, value] of Object.entries(expected)) assert.equal(samples.get(series), value, series);
  assert.ok(samples.get('process_resident_memory_bytes')! > 1e6);
  assert.ok(samples.get('process_open_fds')! > 2);
  assert.ok(samples.get('process_cpu_seconds_total')! > 0);
  assert.ok([...samples.keys()].some((series) => series.startsWith('weir_build_info{version="9.9.9"')));
});

test('the series that can be foreseen are there with 0 before the first request', async () => {
  const state = new StateFixture();
  addGuards(state);
  const before = await scrape(state);
  traffic(state);
  const after = await scrape(state);
  // Codes, methods and combinations without a route come when they come.
  const foreseen = [...after.keys()].filter(
    (series) => !/code="404"|route="",pool=""|class="4xx"|reason="connection_refused",route="shop"/.test(series),
  );
  for (const series of foreseen) assert.ok(before.has(series) || series.includes('route=""'), series);
  const names = new Set([...before.keys()].map((series) => series.replace(/\{.*/, '')));
  for (const series of after.keys()) assert.ok(names.has(series.replace(/\{.*/, '')), series);
  assert.equal(
    before.get('weir_requests_total{listener="web",route="shop",pool="web",method="GET",code="200",protocol="http/1.1"}'),
    0,
  );
});

test('an endpoint is up while it is ready or starts slowly, and not when it is ejected, down, drained or in maintenance', async () => {
  const state = new StateFixture({ web: 6 });
  const { control, web } = state;
  state.its = { ...state.its!, pools: [{ ...web, health: { ...web.health, slowStartMs: 60_000 } }] };
  const [, warming, ejected, down, drained, maint] = web.endpoints.map(({ slot }) => slot);
  control.setHealth(warming!, health.up);
  control.setEjected(ejected!, true);
  control.setHealth(down!, health.down);
  control.setAdmin(drained!, admin.drain);
  control.setAdmin(maint!, admin.maint);
  const samples = await scrape(state);
  const up = web.endpoints.map(({ address }) => samples.get(`weir_endpoint_up{pool="web",endpoint="${address}"}`));
  assert.deepEqual(up, [1, 1, 0, 0, 0, 0]);
  for (const its of ['ready', 'slow-start', 'ejected', 'down', 'drain', 'maint'])
    assert.equal(samples.get(`weir_pool_endpoints{pool="web",state="${its}"}`), 1, its);
});

test('panic is 1 while fewer endpoints are fit than the threshold wants', async () => {
  const state = new StateFixture({ web: 4 });
  const { web, control } = state;
  const panicking = async (threshold: number) => {
    state.its = { ...state.its!, pools: [{ ...web, health: { ...web.health, panicThreshold: threshold } }] };
    return (await scrape(state)).get('weir_pool_panic{pool="web"}');
  };
  for (const { slot } of web.endpoints.slice(0, 3)) control.setHealth(slot, health.down);
  assert.deepEqual([await panicking(0.5), await panicking(0.25), await panicking(0)], [1, 0, 0]);
});

test('what a drain still has is told by kind, while it drains', async () => {
  const state = new StateFixture();
  const { slot, address } = state.web.endpoints[0]!;
  for (let i = 0; i < 3; i++) state.worker.begin(slot);
  state.worker.tunnel(slot, 1);
  state.worker.wires(slot, 5, 3);
  const left = async () => {
    const samples = await scrape(state);
    return ['requests', 'tunnels', 'idle'].map((kind) =>
      samples.get(`weir_drain_remaining{pool="web",endpoint="${address}",kind="${kind}"}`),
    );
  };
  assert.deepEqual(await left(), [undefined, undefined, undefined]);
  state.drains.begin({ pool: 'web', endpoint: address, slot, reason: null, by: 'me' }, {});
  assert.deepEqual(await left(), [2, 1, 5]);
  state.control.setAdmin(slot, admin.ready);
  assert.deepEqual(await left(), [undefined, undefined, undefined]);
});

test('imbalance is the busiest by weight over the mean, of what came since the oldest snapshot', async () => {
  const state = new StateFixture({ web: 3 });
  const { web, worker } = state;
  const endpoints = web.endpoints.map((endpoint, i) => ({ ...endpoint, weight: i === 0 ? 2 : 1 }));
  state.its = { ...state.its!, pools: [{ ...web, endpoints }] };
  const pace = new Pace(state.tally, () => state.its);
  const imbalance = async () =>
    parse((await new Metrics(state, undefined, pace).scrape('')).text).get('weir_pool_imbalance_ratio{pool="web"}');
  const give = (counts: readonly number[]) =>
    counts.forEach((count, i) => {
      for (let n = 0; n < count; n++) worker.begin(endpoints[i]!.slot);
    });
  give([0, 0, 70]);
  assert.equal(await imbalance(), 0, 'nothing to compare with');
  pace.look();
  assert.equal(await imbalance(), 0, 'nothing since');
  give([20, 10, 10]);
  assert.equal(await imbalance(), 1, 'two for the one that weighs two is even');
  give([0, 0, 20]);
  assert.equal(await imbalance(), 2, '30 where 15 is its share');
  state.control.setHealth(endpoints[2]!.slot, health.down);
  assert.equal(await imbalance(), 1, 'one that takes nothing is not compared');
});

test('a hedge that wins does not make the counter of lost ones fall', async () => {
  const state = new StateFixture();
  const metrics = new Metrics(state);
  const hedges = async () => {
    (metrics as unknown as { takenAt: number }).takenAt = Number.NEGATIVE_INFINITY;
    const samples = parse((await metrics.scrape('')).text);
    return ['true', 'false'].map((won) => samples.get(`weir_hedges_total{pool="web",won="${won}"}`));
  };
  assert.deepEqual(await hedges(), [0, 0]);
  state.worker.hedge(state.web.id, false);
  assert.deepEqual(await hedges(), [0, 1]);
  state.worker.hedge(state.web.id, true);
  assert.deepEqual(await hedges(), [1, 1]);
  for (let i = 0; i < 2; i++) state.worker.hedge(state.web.id, false);
  assert.deepEqual(await hedges(), [1, 2]);
});

test('endpoints beyond the cap of series are added up as _other and counted', async () => {
  const state = new StateFixture({ web: 5, api: 2 });
  for (const endpoint of state.web.endpoints) {
    state.worker.begin(endpoint.slot);
    state.worker.end(endpoint.slot, fault.none, 200, 10);
  }
  const samples = await scrape(state, 3 * ENDPOINT_SERIES);
  const own = new Set([...samples.keys()].flatMap((series) => /endpoint="([^"]+)"/.exec(series)?.[1] ?? []));
  assert.deepEqual([...own].sort(), ['10.0.0.1:8000', '10.0.0.1:8001', '10.0.0.1:8002', '_other']);
  assert.equal(samples.get('weir_endpoint_requests_total{pool="web",endpoint="_other",class="2xx"}'), 2);
  assert.equal(samples.get('weir_endpoint_response_seconds_count{pool="web",endpoint="_other"}'), 2);
  assert.equal(samples.get('weir_endpoint_requests_total{pool="api",endpoint="_other",class="2xx"}'), 0);
  assert.equal(samples.get('weir_metric_series_dropped_total'), 4 * ENDPOINT_SERIES);
  assert.equal(samples.get('weir_pool_endpoints{pool="web",state="ready"}'), 5);
});

test('an endpoint has as many series as its cap reckons with', async () => {
  const count = async (endpoints: number) =>
    [...(await scrape(new StateFixture({ web: endpoints }))).keys()].filter((series) => series.includes('endpoint=')).length;
  assert.equal((await count(3)) - (await count(2)), ENDPOINT_SERIES);
});

test('a name with quotes, backslashes or line breaks cannot break the format', async () => {
  const state = new StateFixture({ 'a"b\\c\nd': 1 });
  const { text } = await new Metrics(state).scrape('');
  assert.ok(text.includes('weir_pool_queue{pool="a\\"b\\\\c\\nd"} 0'));
});

test('a counter of CPU time does not fall when a worker is gone', async () => {
  const state = new StateFixture();
  const metrics = new Metrics(state);
  const cpu = async () => {
    // A snapshot is kept for a second; another Metrics would not know the past.
    (metrics as unknown as { takenAt: number }).takenAt = Number.NEGATIVE_INFINITY;
    return parse((await metrics.scrape('')).text).get('process_cpu_seconds_total')!;
  };
  const alone = await cpu();
  const burn =
    'const end = process.cpuUsage().user + 400e3; while (process.cpuUsage().user < end); process.stdin.resume(); console.log(1)';
  const child = spawn(process.execPath, ['-e', burn], { stdio: ['pipe', 'pipe', 'inherit'] });
  await once(child.stdout, 'data');
  state.crew = [{ ...state.crew[0]!, pid: child.pid! }];
  const together = await cpu();
  assert.ok(together - alone >= 0.3, `${together} with a worker that burnt 0.4 s, ${alone} without`);
  const exited = once(child, 'exit');
  child.kill('SIGKILL');
  await exited;
  assert.ok((await cpu()) >= together);
  state.crew = [];
  assert.ok((await cpu()) >= together);
});

test('scrapes within a second are served from one snapshot', async () => {
  const state = new StateFixture();
  // Again where the machine stood still for that second.
  for (let tries = 0; tries < 5; tries++) {
    const metrics = new Metrics(state);
    const began = performance.now();
    const first = await metrics.scrape('');
    state.worker.wireBytes(state.its!.listeners[0]!.id, 1, 1);
    const second = await metrics.scrape('');
    if (performance.now() - began >= 1000) continue;
    assert.equal(second.text, first.text);
    assert.notEqual((await new Metrics(state).scrape('')).text, first.text);
    return;
  }
  assert.fail('no two scrapes within a second');
});

test('every metric stands in the docs', async () => {
  const docs = readFileSync(new URL('../../../docs/metrics.md', import.meta.url), 'utf8');
  const { text } = await new Metrics(new StateFixture()).scrape('');
  const names = [...text.matchAll(/^# TYPE (\S+)/gm)].map(([, name]) => name!);
  assert.ok(names.length > 50);
  for (const name of names) assert.ok(docs.includes(`\`${name}\``), name);
  assert.ok(docs.includes(`An endpoint has ${ENDPOINT_SERIES} series.`), `${ENDPOINT_SERIES}`);
});

test('OpenMetrics is answered to who asks for it', async () => {
  const metrics = new Metrics(new StateFixture());
  const open = await metrics.scrape('application/openmetrics-text;version=1.0.0,text/plain;q=0.5');
  assert.match(open.contentType, /^application\/openmetrics-text; version=1\.0\.0/);
  assert.ok(open.text.endsWith('# EOF\n'));
  assert.match(open.text, /^# TYPE weir_requests counter$/m);
  assert.match(open.text, /^weir_requests_total\{/m);
  assert.match(open.text, /^# TYPE weir_connections gauge$/m);
  assert.match(open.text, /^# TYPE weir_connections_total unknown$/m);
  assert.match(open.text, /^weir_connections_total\{/m);
  const types = open.text.match(/^# TYPE \S+/gm)!;
  assert.equal(new Set(types).size, types.length, 'no two families share a name');
  const plain = await metrics.scrape('*/*');
  assert.match(plain.contentType, /^text\/plain/);
  assert.match(plain.text, /^# TYPE weir_requests_total counter$/m);
});

test('without a plan the metrics of the process itself are there', async () => {
  const state = new StateFixture();
  state.its = null;
  const samples = await scrape(state);
  assert.equal(samples.get('weir_worker_up{worker="0"}'), 1);
});

test('promtool finds nothing to complain about', async (t) => {
  if (spawnSync('promtool', ['--version']).error !== undefined) return t.skip('promtool is not installed');
  const state = new StateFixture();
  traffic(state);
  const { text } = await new Metrics(state).scrape('');
  const result = spawnSync('promtool', ['check', 'metrics'], { input: text, encoding: 'utf8' });
  assert.equal(result.stdout + result.stderr, '');
  assert.equal(result.status, 0);
});
