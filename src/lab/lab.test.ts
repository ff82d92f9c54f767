/** The simulator held to what is known without it: queueing theory, the events of a scenario, and itself. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Prng } from '../base/prng.ts';
import { plainPassive } from '../state/plain-pool.ts';
import type { BalanceAlgorithm, RetryOn } from '../state/plan.ts';
import { address, begunAfter, CHECKED, endpoint, made, only, PLAIN, scenarioOf } from './fixture.ts';
import { reportJson, reportSvg, reportTable, type Scenario, simulate, TooManyRequests } from './lab.ts';

test('the same scenario gives the same report to the last digit, another seed another one', () => {
  const scenario = scenarioOf(3, { policies: ['power-of-two', 'random'], model: { p99Ms: 50, concurrency: 2 } });
  const first = reportJson(simulate(scenario));
  assert.equal(reportJson(simulate(scenario)), first);
  assert.notEqual(reportJson(simulate({ ...scenario, seed: 2 })), first);
});

test('one server with constant service times waits as Pollaczek and Khinchine say', () => {
  // M/D/1 at a load of 0.8: the mean wait is 0.8 / (2 * 0.2) of a service time, so 20 ms, and 10 ms of service.
  const result = only(scenarioOf(1, { durationMs: 600_000, traffic: made(80), model: { concurrency: 1 } }));
  assert.ok(Math.abs(result.latency.mean - 30) < 1.5, `${result.latency.mean}`);
  assert.ok(Math.abs(result.endpoints[0]!.utilization - 0.8) < 0.01, `${result.endpoints[0]!.utilization}`);
});

test('several places share one line: half the load of M/D/1 on each of two, and far less of a wait', () => {
  const one = only(scenarioOf(1, { durationMs: 200_000, traffic: made(80), model: { concurrency: 1 } }));
  const two = only(scenarioOf(1, { durationMs: 200_000, traffic: made(160), model: { concurrency: 2 } }));
  assert.ok(two.latency.mean < one.latency.mean && two.latency.mean > 10);
});

test('without a limit service times have the quantiles that were asked for', () => {
  const { latency } = only(scenarioOf(2, { durationMs: 100_000, model: { p50Ms: 8, p99Ms: 60 } }));
  assert.ok(Math.abs(latency.p50 - 8) < 0.2, `${latency.p50}`);
  assert.ok(Math.abs(latency.p99 - 60) < 3, `${latency.p99}`);
});

test('all policies see the same requests at the same times', () => {
  const { results, requests } = simulate(scenarioOf(3, { policies: ['random', 'least-requests', 'maglev'] }));
  for (const result of results) {
    assert.equal(result.requests, requests);
    const begun = result.series.requests.reduce((sums, values) => sums.map((sum, i) => sum + values[i]!), new Float64Array(60));
    const expected = results[0]!.series.requests.reduce(
      (sums, values) => sums.map((sum, i) => sum + values[i]!),
      new Float64Array(60),
    );
    assert.deepEqual(begun, expected, result.policy);
    assert.equal(result.answered, requests);
  }
});

test('constant arrivals are even, and a surge multiplies the rate from its begin to its end', () => {
  const scenario = scenarioOf(1, {
    durationMs: 60_000,
    traffic: made(100, 'constant'),
    events: [{ atMs: 20_000, kind: 'surge', times: 3, forMs: 10_000 }],
  });
  const counts = only(scenario).series.requests[0]!;
  for (let second = 0; second < 60; second++) {
    const expected = second >= 20 && second < 30 ? 300 : 100;
    assert.ok(Math.abs(counts[second]! - expected) <= 1, `second ${second}: ${counts[second]}`);
  }
});

test('a surge multiplies a replayed log, too, within its time', () => {
  const requests = Array.from({ length: 6000 }, (_, i) => ({ atMs: 10 * i, key: `198.51.100.${i % 50}`, serviceMs: 3 }));
  const replay = (times: number) =>
    only(
      scenarioOf(1, {
        durationMs: 60_000,
        traffic: { kind: 'replayed', requests, speed: 1 },
        events: [{ atMs: 20_000, kind: 'surge', times, forMs: 10_000 }],
      }),
    );
  const counts = replay(3).series.requests[0]!;
  assert.equal(
    counts.slice(20, 30).reduce((sum, count) => sum + count),
    3000,
  );
  assert.equal(
    counts.slice(0, 20).reduce((sum, count) => sum + count),
    2000,
  );
  assert.ok(counts.slice(21, 29).every((count) => Math.abs(count - 300) < 60));
  const fewer = replay(0.5).series.requests[0]!;
  assert.ok(Math.abs(fewer.slice(20, 30).reduce((sum, count) => sum + count) - 500) < 60);
  assert.ok(Math.abs(replay(3).latency.max - 3) < 1e-6);
});

test('round robin is even over all workers, because they share the table', () => {
  const result = only(scenarioOf(3, { workers: 5 }));
  assert.ok(result.imbalance < 1.001, `${result.imbalance}`);
});

test('weights are honoured', () => {
  const scenario = scenarioOf(2);
  scenario.pool.endpoints[0] = endpoint(0, 3);
  const result = only(scenario);
  assert.ok(Math.abs(result.endpoints[0]!.share - 0.75) < 0.001);
  assert.ok(result.imbalance < 1.01);
});

test('a killed endpoint is noticed after its checks failed in a row, and until then its requests are tried elsewhere', () => {
  const scenario = scenarioOf(3, { active: CHECKED, events: [{ atMs: 5000, kind: 'kill', address: address(1) }] });
  const result = only(scenario);
  assert.equal(result.errors.all, 0);
  // One that refuses is asked once a second by each of two workers.
  assert.ok(result.retries >= 5 && result.retries <= 12, `${result.retries} tries again`);
  assert.ok(begunAfter(result, 1, 5400) > 0, 'nobody knows at once');
  assert.equal(begunAfter(result, 1, 8400), 0, 'three checks of one second each');
});

test('with one attempt the same requests fail instead', () => {
  const scenario = scenarioOf(3, {
    active: CHECKED,
    retry: { attempts: 1 },
    events: [{ atMs: 5000, kind: 'kill', address: address(1) }],
  });
  const result = only(scenario);
  assert.ok(result.errors.refused >= 5);
  assert.equal(result.errors.refused, result.errors.all);
  assert.equal(result.answered + result.errors.all, result.requests);
  assert.equal(result.endpoints[1]!.errors, result.errors.refused);
});

test('without checks a dead endpoint is asked to the end', () => {
  const result = only(scenarioOf(2, { events: [{ atMs: 5000, kind: 'kill', address: address(1) }] }));
  assert.ok(begunAfter(result, 1, 19_000) > 0);
});

test('what a killed endpoint had in flight is reset and tried again; when nobody is left it is an error', () => {
  const kills = [0, 1].map((i) => ({ atMs: 10_000 + i, kind: 'kill' as const, address: address(i) }));
  const result = only(scenarioOf(2, { active: CHECKED, model: { p50Ms: 200, p99Ms: 200 }, events: kills }));
  assert.ok(result.errors.refused > 0);
  assert.ok(result.errors.noEndpoint > 0, 'both are down after three checks');
  assert.equal(result.answered + result.errors.all, result.requests);
});

test('a restored endpoint gets work again', () => {
  const events: Scenario['events'] = [
    { atMs: 3000, kind: 'kill', address: address(0) },
    { atMs: 12_000, kind: 'restore', address: address(0) },
  ];
  const result = only(scenarioOf(2, { active: CHECKED, events, policies: ['maglev'] }));
  assert.ok(begunAfter(result, 0, 15_000) > 0);
  assert.deepEqual(
    result.moves.map(({ what }) => what),
    [`${address(0)} down`, `${address(0)} up`],
  );
  assert.equal(result.moves[0]!.moved, result.moves[0]!.needed);
  assert.equal(result.moves[1]!.moved, result.moves[0]!.moved, 'its keys come back, and they alone');
});

test('a drained and a removed endpoint get nothing more, an added one its share', () => {
  const events: Scenario['events'] = [
    { atMs: 5000, kind: 'drain', address: address(0) },
    { atMs: 6000, kind: 'remove', address: address(1) },
    { atMs: 10_000, kind: 'add', endpoint: endpoint(3) },
  ];
  const result = only(scenarioOf(3, { events }));
  assert.equal(begunAfter(result, 0, 5001), 0);
  assert.equal(begunAfter(result, 1, 6001), 0);
  const [second, added] = [begunAfter(result, 2, 10_001), begunAfter(result, 3, 10_001)];
  assert.ok(Math.abs(second - added) <= 2, `${second} and ${added}`);
  assert.equal(result.errors.all, 0);
  assert.ok(result.imbalance < 1.01, 'by the time each was there it was even');
});

test('a slow endpoint is slow from its time on', () => {
  const result = only(scenarioOf(1, { events: [{ atMs: 10_000, kind: 'slow', address: address(0), times: 7 }] }));
  assert.equal(result.series.p50[20], 10);
  assert.equal(Math.round(result.series.p50[40]!), 70);
});

test('a restored endpoint is as fast as before', () => {
  const events: Scenario['events'] = [
    { atMs: 5000, kind: 'slow', address: address(0), times: 7 },
    { atMs: 10_000, kind: 'restore', address: address(0) },
  ];
  assert.equal(only(scenarioOf(1, { events })).series.p50[50], 10);
});

test('the clock of the table runs: what least-time knows of an endpoint fades', () => {
  const events: Scenario['events'] = [
    { atMs: 5000, kind: 'slow', address: address(0), times: 20 },
    { atMs: 10_000, kind: 'slow', address: address(0), times: 1 },
  ];
  const result = only(scenarioOf(2, { durationMs: 100_000, events, policies: ['least-time'] }));
  const shareFrom = (ms: number): number => {
    const begun = [0, 1].map((i) => begunAfter(result, i, ms));
    return begun[0]! / (begun[0]! + begun[1]!);
  };
  assert.ok(Math.abs(shareFrom(70_000) - 0.5) < 0.03, `${shareFrom(70_000)}`);
  const slow = [0, 1].map((i) => result.series.requests[i]![4]!);
  assert.ok(slow[0]! < slow[1]! / 3, 'it was slow in that span');
});

test('imbalance is counted against those that were ready at the time', () => {
  const events: Scenario['events'] = [{ atMs: 10_000, kind: 'drain', address: address(2) }];
  const result = only(scenarioOf(3, { traffic: made(200, 'constant'), events, policies: ['first'] }));
  // All requests, where a third of one half and a half of the other would be fair.
  assert.ok(Math.abs(result.imbalance - 2.4) < 0.01, `${result.imbalance}`);
});

test('who is tried again waits anew, and nobody else waits longer for it', () => {
  const kill: Scenario['events'] = [{ atMs: 900, kind: 'kill', address: address(1) }];
  const result = only(
    scenarioOf(3, { durationMs: 6000, model: { p50Ms: 10_000, p99Ms: 10_000 }, timeoutMs: 1000, events: kill }),
  );
  assert.ok(result.retries > 100);
  // Two of three were on the others when it died.
  assert.ok(Math.abs(result.series.p50[2]! - 1000) < 0.001, `${result.series.p50[2]}`);
  assert.ok(result.latency.max <= 1900.001 && result.latency.max > 1800, `${result.latency.max}`);
});

test('a request waits for its timeout and no longer, and the endpoint is none the wiser', () => {
  // Twice as many as it can serve.
  const result = only(scenarioOf(1, { traffic: made(200), model: { concurrency: 1 }, timeoutMs: 300 }));
  assert.ok(result.errors.timeout > 1000);
  assert.ok(result.latency.max <= 300.001, `${result.latency.max}`);
  assert.ok(result.endpoints[0]!.utilization > 0.98);
  assert.equal(result.answered + result.errors.all, result.requests);
});

test('a full line at the endpoint answers 503, and nothing waits longer than the line', () => {
  const result = only(scenarioOf(1, { traffic: made(200), model: { concurrency: 1, queueMax: 5 } }));
  assert.ok(result.errors.status > 1000);
  assert.equal(result.errors.status, result.errors.all);
  assert.ok(result.latency.max <= 60.001, '5 before it and itself');
  assert.equal(result.inFlightMax, 7, 'those, and the one that is turned away at once');
});

test('a heavy request costs as many times as it was said to', () => {
  const result = only(scenarioOf(1, { cost: { heavyShare: 0.02, times: 50 } }));
  assert.equal(Math.round(result.latency.p50), 10);
  assert.equal(Math.round(result.latency.p99), 500);
});

test('a modulo hash moves nine keys of ten, Maglev one of ten, and a policy without keys has none', () => {
  const { results } = simulate(
    scenarioOf(10, {
      events: [{ atMs: 5000, kind: 'remove', address: address(4) }],
      traffic: { kind: 'made', ratePerSecond: 100, arrivals: 'poisson', keys: { kind: 'uniform', count: 20_000 } },
      policies: [{ kind: 'modulo-hash' }, 'maglev', 'least-requests'],
    }),
  );
  assert.ok(Math.abs(results[0]!.keysMoved! - 0.9) < 0.02, `${results[0]!.keysMoved}`);
  assert.ok(Math.abs(results[1]!.keysMoved! - 0.1) < 0.03, `${results[1]!.keysMoved}`);
  assert.equal(results[2]!.keysMoved, null);
});

test('a cache misses each key once, and all of them again after its process died', () => {
  const events: Scenario['events'] = [
    { atMs: 10_000, kind: 'kill', address: address(0) },
    { atMs: 10_001, kind: 'restore', address: address(0) },
  ];
  const keys: Scenario['traffic'] = {
    kind: 'made',
    ratePerSecond: 2000,
    arrivals: 'poisson',
    keys: { kind: 'uniform', count: 50 },
  };
  const one = only(scenarioOf(1, { model: { missMs: 30 }, traffic: keys }));
  assert.equal(Math.round(one.misses * one.requests), 50);
  const two = only(scenarioOf(1, { model: { missMs: 30 }, traffic: keys, events, retry: { attempts: 1 } }));
  assert.equal(Math.round(two.misses * two.endpoints[0]!.requests), 100);
});

test('what arrives during the warm-up is served and not measured', () => {
  const scenario = scenarioOf(2, { traffic: made(100, 'constant'), durationMs: 60_000 });
  const whole = only(scenario);
  const late = only({ ...scenario, warmUpMs: 20_000 });
  assert.ok(Math.abs(late.requests - (whole.requests * 2) / 3) <= 1);
});

test('expectations are held against the numbers, and one about a number that a policy lacks is missed', () => {
  const { checks } = simulate(
    scenarioOf(2, {
      policies: ['round-robin', 'random'],
      expectations: [
        { policy: null, metric: 'p99', isBelow: true, bound: 11, text: '<11ms' },
        { policy: 'random', metric: 'imbalance', isBelow: false, bound: 5, text: '>5' },
        { policy: 'random', metric: 'keysMoved', isBelow: true, bound: 1, text: '<100%' },
      ],
    }),
  );
  assert.deepEqual(
    checks.map(({ policy: name, metric, isMet }) => `${name} ${metric} ${isMet}`),
    ['round-robin p99 true', 'random p99 true', 'random imbalance false', 'random keysMoved false'],
  );
});

test('whatever happens, every request is accounted for once', () => {
  const prng = new Prng(11);
  const oneOf = <T>(...values: T[]): T => values[prng.below(values.length)]!;
  for (let round = 0; round < 60; round++) {
    const endpoints = prng.between(1, 6);
    const some = () => address(prng.below(endpoints));
    const events = Array.from({ length: prng.below(8) }, (): Scenario['events'][number] => {
      const atMs = prng.below(6000);
      const kind = oneOf('kill', 'restore', 'remove', 'drain', 'slow', 'add', 'surge', 'fail', 'hang');
      const doChecksPass = prng.chance(50);
      if (kind === 'surge') return { atMs, kind, times: oneOf(0.5, 4), forMs: 1000 };
      if (kind === 'slow') return { atMs, kind, address: some(), times: oneOf(1, 30) };
      if (kind === 'fail') return { atMs, kind, address: some(), share: oneOf(0, 0.5, 1), status: oneOf(500, 503), doChecksPass };
      if (kind === 'hang') return { atMs, kind, address: some(), isHanging: prng.chance(70), doChecksPass };
      // Each added one is another.
      if (kind === 'add') return { atMs, kind, endpoint: { ...endpoint(0), address: `10.1.0.${atMs}:80` } };
      return { atMs, kind, address: some() };
    });
    const algorithm = oneOf<BalanceAlgorithm>(
      'round-robin',
      'power-of-two',
      'least-requests',
      'least-time',
      'maglev',
      'ring-hash',
      'first',
    );
    const requestsMax = oneOf(0, 2);
    const scenario = scenarioOf(endpoints, {
      seed: round,
      durationMs: 6000,
      workers: prng.between(1, 4),
      nodeCount: prng.between(1, 3),
      urgentShare: oneOf(0, 0.2),
      retry: {
        attempts: prng.between(1, 4),
        on: ['connect', 'reset', ...oneOf<RetryOn[]>([], ['timeout', '503'])],
        budget: oneOf(0, 0.2, 1),
        perTryMs: oneOf(0, 40),
        hedgeMs: oneOf(0, 15),
      },
      passive: oneOf(null, { ...plainPassive, ejectMs: 700 }),
      health: { slowStartMs: oneOf(0, 1000), panicThreshold: oneOf(0, 0.5) },
      pool: {
        endpoints: Array.from({ length: endpoints }, (_, i) => ({ ...endpoint(i), requestsMax })),
        breaker: oneOf(null, { requestsMax: 30, pendingMax: 5, retriesMax: 3, isShadow: false }),
        connections: {
          idleMax: 1,
          idleMs: 1,
          wiresMax: 0,
          warm: 0,
          requestsMax: 0,
          queueMax: oneOf(0, 10),
          queueMs: oneOf(0, 100),
        },
      },
      timeoutMs: oneOf(50, 500, 30_000),
      traffic: made(oneOf(50, 400)),
      active: oneOf(null, { ...CHECKED, intervalMs: 500 }) ?? undefined,
      policies: [algorithm, { kind: 'modulo-hash' }, { kind: 'lowest-latency' }, { kind: 'ring', points: 3 }],
      events: events.sort((a, b) => a.atMs - b.atMs),
    });
    const model = { ...PLAIN, p99Ms: oneOf(10, 80), concurrency: oneOf(0, 1, 4), queueMax: oneOf(0, 3), missMs: oneOf(0, 20) };
    const addresses = [
      ...scenario.service.keys(),
      ...events.flatMap((event) => (event.kind === 'add' ? [event.endpoint.address] : [])),
    ];
    const report = simulate({ ...scenario, service: new Map(addresses.map((name) => [name, model])) });
    for (const {
      policy: name,
      requests,
      answered,
      errors,
      retries,
      latency,
      endpoints: shown,
      imbalance,
      tries,
    } of report.results) {
      const says = `round ${round}, ${name}`;
      assert.equal(requests, report.requests, says);
      assert.equal(answered + errors.all, requests, says);
      const { all, ...each } = errors;
      assert.equal(
        Object.values(each).reduce((sum, count) => sum + count),
        all,
        says,
      );
      const begun = shown.reduce((sum, one) => sum + one.requests, 0);
      assert.ok(begun <= requests + retries && begun >= answered + errors.status + errors.refused + errors.timeout, says);
      assert.ok(Math.abs(begun - tries * requests) < 1e-6, says);
      assert.ok(latency.p50 <= latency.p99 && latency.p99 <= latency.p999 && latency.p999 <= latency.max, says);
      assert.ok(imbalance >= 1 && Number.isFinite(imbalance), says);
      for (const one of shown) assert.ok(one.utilization >= 0 && one.utilization <= 1.000001, `${says}: ${one.utilization}`);
    }
  }
});

test('a scenario with more requests than memory allows is refused', () => {
  assert.throws(() => simulate(scenarioOf(1, { traffic: made(10_000_000) })), TooManyRequests);
});

test('a report is a table, JSON and an SVG, whatever its texts say', () => {
  const report = simulate(scenarioOf(15, { title: 'a < b & "c"', policies: ['random', 'maglev'] }));
  const table = reportTable(report);
  assert.match(table, /^a < b & "c"\n\d+ requests in 20.0s, seed 1\n/);
  assert.match(table, /3 endpoints in between are not shown/);
  assert.deepEqual(Object.keys(JSON.parse(reportJson(report))), ['title', 'seed', 'durationMs', 'requests', 'results', 'checks']);
  const svg = reportSvg(report);
  assert.match(svg, /a &lt; b &amp; &quot;c&quot;/);
  assert.doesNotMatch(svg, /NaN|Infinity|undefined/);
  const opened = [...svg.matchAll(/<(g|text|svg|style)\b/g)].length;
  assert.equal(opened, [...svg.matchAll(/<\/(g|text|svg|style)>/g)].length);
});
