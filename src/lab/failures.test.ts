/** What the simulator has of the product besides policies: judgement, queue, breaker, retries, slow start, panic, zones, nodes. Held to what each is for. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { plainPassive } from '../state/plain-pool.ts';
import { address, begunAfter, CHECKED, endpoint, made, only, scenarioOf } from './fixture.ts';
import type { PolicyResult, Scenario } from './lab.ts';

type Event = Scenario['events'][number];
const fail = (i: number, atMs: number, status = 500, share = 1): Event => ({
  atMs,
  kind: 'fail',
  address: address(i),
  share,
  status,
  doChecksPass: true,
});
/** Only checks see it. */
const sick = (i: number, atMs: number, isSick = true): Event => ({ ...fail(i, atMs, 500, 0), doChecksPass: !isSick }) as Event;
const hang = (i: number, atMs: number): Event => ({
  atMs,
  kind: 'hang',
  address: address(i),
  isHanging: true,
  doChecksPass: true,
});
const told = (result: PolicyResult) => result.changes.map(({ what }) => what.replace(/:80 /, ' ').replace(/;.*/, ''));
const begunBetween = (result: PolicyResult, fromMs: number, toMs: number): number[] =>
  result.series.requests.map((_, i) => begunAfter(result, i, fromMs) - begunAfter(result, i, toMs));
const sum = (counts: readonly number[]): number => counts.reduce((a, b) => a + b, 0);

describe('an endpoint that fails and passes its checks', () => {
  const failing = { durationMs: 60_000, active: CHECKED, events: [fail(1, 10_000)] };

  test('is asked to the end where nobody judges live traffic', () => {
    const result = only(scenarioOf(3, failing));
    assert.ok(Math.abs(result.errors.status / result.requests - (1 / 3) * (5 / 6)) < 0.01, `${result.errors.status}`);
    assert.deepEqual(result.changes, []);
  });

  test('is ejected within some ms of its last straw, tried again in time, and out for longer then', () => {
    const result = only(scenarioOf(3, { ...failing, passive: { ...plainPassive, ejectMs: 10_000 } }));
    assert.match(told(result)[0]!, /^10\.0\.0\.2 ejected: \d+ failures in a row: \d+ answered another 5xx$/);
    assert.deepEqual(told(result)[1], '10.0.0.2 back after its ejection');
    assert.match(told(result)[2]!, /^10\.0\.0\.2 ejected: failed again at once after its return/);
    const [out, back, again, later] = result.changes.map(({ atMs }) => atMs);
    // Five failures at 167 a second take 30 ms on average.
    assert.ok(out! > 10_000 && out! < 10_200, `${out}`);
    assert.ok(back! - out! >= 10_000 && back! - out! <= 11_025);
    assert.ok(later! - again! >= 20_000 && later! - again! <= 22_025);
    assert.ok(result.errors.all < 30, `${result.errors.all}`);
    assert.equal(sum(begunBetween(result, 12_000, 19_000).slice(1, 2)), 0);
  });

  test('stays where the judge only watches', () => {
    const result = only(scenarioOf(3, { ...failing, passive: { ...plainPassive, isShadow: true } }));
    assert.deepEqual(result.changes, []);
    assert.ok(result.errors.status > 1000);
  });

  test('is half of it when it fails half of the time, and none is judged for the run of another', () => {
    const result = only(scenarioOf(3, { ...failing, events: [fail(1, 0, 500, 0.5)] }));
    assert.ok(Math.abs(result.errors.status / result.requests - 1 / 6) < 0.01);
    assert.equal(result.errors.status, result.endpoints[1]!.errors);
  });

  test('answers at once and so draws those who compare loads', () => {
    const share = (algorithm: 'round-robin' | 'least-requests') =>
      only(scenarioOf(3, { ...failing, traffic: made(2000), policies: [algorithm] })).endpoints[1]!.share;
    assert.ok(share('least-requests') > share('round-robin') + 0.1);
  });
});

describe('an endpoint that hangs', () => {
  test('keeps each request until its timeout, is ejected for these, and its checks pass', () => {
    const more = { durationMs: 60_000, active: CHECKED, timeoutMs: 2000, events: [hang(0, 10_000)] };
    const blind = only(scenarioOf(3, more));
    assert.ok(Math.abs(blind.errors.timeout / blind.requests - (1 / 3) * (5 / 6)) < 0.01);
    const judged = only(scenarioOf(3, { ...more, passive: plainPassive }));
    assert.match(told(judged)[0]!, /^10\.0\.0\.1 ejected: \d+ failures in a row: \d+ timed out$/);
    assert.ok(judged.changes[0]!.atMs > 12_000 && judged.changes[0]!.atMs < 12_200, `${judged.changes[0]!.atMs}`);
    // What comes until the first has timed out is lost, a third of 2 s each time: at first, and after its return.
    assert.ok(judged.errors.timeout < (2 * 2 * 500) / 3 + 50, `${judged.errors.timeout}`);
  });

  test('costs no client anything where a try is given up early and made again', () => {
    const retry = { perTryMs: 200, on: ['connect', 'timeout'] as ['connect', 'timeout'], budget: 1 };
    const result = only(scenarioOf(3, { events: [hang(0, 10_000)], passive: plainPassive, retry }));
    assert.equal(result.errors.all, 0);
    assert.ok(result.latency.max >= 210 && result.latency.max < 211, `${result.latency.max}`);
  });
});

describe('the queue of the pool', () => {
  const pool = { endpoints: [{ ...endpoint(0), requestsMax: 4 }] };
  // 400 a second can be served.
  const crowded = { pool, model: { concurrency: 4 }, traffic: made(300), events: [surge(2.5, 5000, 2000)] };
  function surge(times: number, atMs: number, forMs: number): Event {
    return { atMs, kind: 'surge', times, forMs };
  }

  test('holds what the endpoints may not have, and no longer than it may', () => {
    const result = only(scenarioOf(1, crowded));
    // Two workers that pick at the same time may be one over; here nothing is at the same time.
    assert.equal(result.inFlightMax, 4);
    assert.equal(result.errors.all, 0);
    assert.ok(result.latency.max > 1000);
    const short = only(scenarioOf(1, { ...crowded, pool: { ...pool, connections: { ...connections, queueMs: 100 } } }));
    assert.ok(short.errors.queue > 300);
    assert.equal(short.errors.queue, short.errors.all);
    assert.ok(short.latency.max < 100 + 10 + 10, `${short.latency.max}`);
  });
  const connections = { idleMax: 1, idleMs: 1, wiresMax: 0, warm: 0, requestsMax: 0, queueMax: 1024, queueMs: 2000 };

  test('refuses at once when it is full, or when there is none', () => {
    for (const its of [{ queueMax: 3 }, { queueMax: 0 }, { queueMs: 0 }]) {
      const result = only(scenarioOf(1, { ...crowded, pool: { ...pool, connections: { ...connections, ...its } } }));
      assert.ok(result.errors.queue > 300);
      assert.ok(result.latency.max <= 10 + (its.queueMax === 3 ? 30 : 0.001), `${JSON.stringify(its)} ${result.latency.max}`);
    }
  });

  test('lets the urgent go first', () => {
    const result = only(scenarioOf(1, { ...crowded, urgentShare: 0.1 }));
    assert.ok(result.urgent!.latency.p99 < 100 && result.latency.p99 > 1000, `${result.urgent!.latency.p99}`);
    assert.equal(only(scenarioOf(1, crowded)).urgent, null);
  });

  test('is bounded by the circuit breaker, as what is in flight is', () => {
    // Each worker has a queue of its own, and only within one the first is the first.
    const alone = { ...crowded, workers: 1 };
    const breaker = { requestsMax: 0, pendingMax: 10, retriesMax: 0, isShadow: false };
    const pending = only(scenarioOf(1, { ...alone, pool: { ...pool, breaker } }));
    assert.ok(pending.errors.breaker > 300);
    assert.ok(pending.latency.max < 10 + 10 * 2.5 + 10.001, `${pending.latency.max}`);
    const open = { ...breaker, pendingMax: 0, requestsMax: 3 };
    const flying = only(scenarioOf(1, { ...crowded, pool: { ...pool, breaker: open } }));
    assert.equal(flying.inFlightMax, 3);
    const shadow = only(scenarioOf(1, { ...crowded, pool: { ...pool, breaker: { ...open, isShadow: true } } }));
    assert.equal(shadow.errors.breaker, 0);
  });
});

describe('tries', () => {
  const on = ['connect', 'reset', '503'] as ('connect' | 'reset' | '503')[];
  const half = (retry: object, workers = 1) =>
    scenarioOf(4, {
      workers,
      durationMs: 60_000,
      traffic: made(500, 'constant'),
      events: [fail(0, 10_000, 503), fail(1, 10_000, 503)],
      retry: { on, backoffMs: 0, ...retry },
    });
  /** Most tries within the ten seconds that a budget looks back, while endpoints failed, over the 5000 requests of such a time. */
  const load = (result: PolicyResult) => {
    const tens = Array.from({ length: 41 }, (_, i) => sum(begunBetween(result, 10_000 + i * 1000, 20_000 + i * 1000)));
    return Math.max(...tens) / 5000;
  };

  test('are at most the share more that the budget allows, and without a budget as many as they may be', () => {
    const bounded = load(only(half({ attempts: 10, budget: 0.2, budgetMin: 0 })));
    // Seconds do not begin when requests arrive: one more or less.
    assert.ok(bounded <= 1.2 + 2 / 5000 && bounded > 1.19, `${bounded}`);
    const free = only(half({ attempts: 10, budget: 1, budgetMin: 100_000 }));
    // A geometric series: each try finds a failing one half of the time, or less, since the one that failed is avoided.
    assert.ok(load(free) > 1.5, `${load(free)}`);
    assert.ok(free.errors.all < 10);
    assert.ok(load(only(half({ attempts: 1 }))) <= 1 + 1 / 5000);
  });

  test('have a budget in each worker, of its own requests', () => {
    const bounded = load(only(half({ attempts: 10, budget: 0.2, budgetMin: 0 }, 4)));
    // What a worker gets in ten seconds is not always the same.
    assert.ok(bounded <= 1.205 && bounded > 1.19, `${bounded}`);
  });

  test('come at once the second time, and after a random wait from the third on', () => {
    const all = { attempts: 3, budget: 1, budgetMin: 1000, backoffMs: 100, backoffMaxMs: 100 };
    const events = [fail(0, 0, 503), fail(1, 0, 503)];
    const scenario = scenarioOf(3, { events, traffic: made(100), retry: { on, ...all } });
    const { latency } = only(scenario);
    assert.ok(latency.p50 < 10.001, `${latency.p50}`);
    assert.ok(latency.max > 100 && latency.max <= 110, `${latency.max}`);
    const { max } = only(scenarioOf(3, { events, traffic: made(100), retry: { on, ...all, backoffMs: 0 } })).latency;
    assert.ok(max < 10.001, `${max}`);
  });

  test('a second one beside a slow first one wins, within the budget', () => {
    const slow: Event[] = [{ atMs: 0, kind: 'slow', address: address(0), times: 50 }];
    const plain = only(scenarioOf(3, { events: slow, traffic: made(300) }));
    const hedged = only(scenarioOf(3, { events: slow, traffic: made(300), retry: { hedgeMs: 20, budget: 0.5 } }));
    assert.ok(plain.latency.p99 >= 500);
    assert.ok(hedged.latency.p99 > 29 && hedged.latency.p99 < 31, `${hedged.latency.p99}`);
    assert.ok(hedged.tries > 1.3 && hedged.tries < 1.34, `${hedged.tries}`);
    assert.equal(hedged.answered, hedged.requests);
    const poor = only(scenarioOf(3, { events: slow, traffic: made(300), retry: { hedgeMs: 20, budget: 0.05, budgetMin: 0 } }));
    assert.ok(poor.tries <= 1.051, `${poor.tries}`);
  });
});

describe('an endpoint that comes back', () => {
  const events: Event[] = [
    { atMs: 5000, kind: 'kill', address: address(0) },
    { atMs: 12_000, kind: 'restore', address: address(0) },
  ];
  const shareOf = (result: PolicyResult, fromMs: number): number => {
    const begun = begunBetween(result, fromMs, fromMs + 2000);
    return begun[0]! / sum(begun);
  };

  test('has its share at once, or grows to it within its slow start', () => {
    const more = { durationMs: 60_000, traffic: made(2000), active: CHECKED, events };
    const at = only(scenarioOf(2, more));
    const slow = only(scenarioOf(2, { ...more, health: { slowStartMs: 30_000 } }));
    const upMs = slow.changes.find(({ what }) => what.endsWith('up'))!.atMs;
    assert.ok(upMs > 12_000 && upMs < 14_001, `${upMs}`);
    assert.ok(Math.abs(shareOf(at, 15_000) - 0.5) < 0.02);
    for (const [ms, ramp] of [
      [upMs + 1000, 0.1],
      [upMs + 14_000, 0.5],
      [upMs + 35_000, 1],
    ] as const) {
      assert.ok(Math.abs(shareOf(slow, ms) - ramp / (1 + ramp)) < 0.04, `${ramp}: ${shareOf(slow, ms)}`);
    }
  });

  test('that was there from the start is not in slow start, a newcomer is', () => {
    const add: Event[] = [{ atMs: 10_000, kind: 'add', endpoint: endpoint(2) }];
    const result = only(scenarioOf(2, { durationMs: 60_000, traffic: made(2000), events: add, health: { slowStartMs: 30_000 } }));
    const early = begunBetween(result, 0, 8000);
    assert.ok(Math.abs(early[0]! - early[1]!) < 10);
    const begun = begunBetween(result, 11_000, 12_000);
    assert.ok(begun[2]! > 0 && begun[2]! < begun[0]! * 0.2);
  });

  test('a newcomer gets nothing before its first check has passed', () => {
    const add: Event[] = [{ atMs: 10_000, kind: 'add', endpoint: endpoint(2) }];
    const result = only(scenarioOf(2, { active: CHECKED, events: add }));
    assert.deepEqual(told(result), ['10.0.0.3 added', '10.0.0.3 up']);
    const [added, up] = result.changes.map(({ atMs }) => atMs);
    const { requests, spanMs } = result.series;
    assert.equal(sum([...requests[2]!.slice(0, Math.floor(up! / spanMs))]), 0);
    assert.ok(up! - added! <= 800 && begunAfter(result, 2, up!) > 0);
  });
});

test('with fewer ready than the threshold wants, all are used; with as many, only these', () => {
  const more = { active: CHECKED, durationMs: 30_000, traffic: made(500, 'constant') };
  const events = [0, 1, 2].map((i) => sick(i, 5000));
  const calm = only(scenarioOf(5, { ...more, events, health: { panicThreshold: 0.4 } }));
  assert.deepEqual(
    begunBetween(calm, 15_000, 25_000).map((count) => count > 0),
    [false, false, false, true, true],
  );
  const panic = only(scenarioOf(5, { ...more, events, health: { panicThreshold: 0.5 } }));
  for (const count of begunBetween(panic, 15_000, 25_000)) assert.ok(Math.abs(count - 1000) <= 2, `${count}`);
  const over = only(scenarioOf(5, { ...more, events: [...events, sick(0, 15_000, false)], health: { panicThreshold: 0.5 } }));
  assert.deepEqual(
    begunBetween(over, 20_000, 25_000).map((count) => count > 0),
    [true, false, false, true, true],
  );
});

describe('nodes', () => {
  const zones = ['a', 'b', 'c'];
  const nodes = zones.map((zone, i) => ({ node: `node-${i}`, zone }));
  const endpoints = Array.from({ length: 6 }, (_, i) => ({ ...endpoint(i), zone: zones[i % 3]! }));
  const zoned = (spillAt: number | null, events: Event[] = []) => {
    const scenario = scenarioOf(6, { nodes, crossZoneMs: 5, active: CHECKED, events, policies: ['random'], pool: { endpoints } });
    for (const { pool } of scenario.variants) pool.balance.zone = spillAt === null ? null : { spillAt };
    return only(scenario);
  };

  test('keep requests in their zone where they are told to, and what leaves it takes longer', () => {
    const everywhere = zoned(null);
    assert.ok(Math.abs(everywhere.crossZone! - 2 / 3) < 0.02, `${everywhere.crossZone}`);
    assert.ok(Math.abs(everywhere.latency.p50 - 15) < 0.001 && Math.abs(everywhere.latency.mean - 13.33) < 0.1);
    const near = zoned(0.8);
    assert.equal(near.crossZone, 0);
    assert.ok(near.latency.max < 10.001);
    // Half of zone a is lost: 0.5 / 0.8 of a third stays there.
    const lost = zoned(0.8, [{ atMs: 0, kind: 'kill', address: address(0) }]);
    assert.ok(Math.abs(lost.crossZone! - (1 / 3) * 0.375) < 0.025, `${lost.crossZone}`);
    assert.equal(only(scenarioOf(2)).crossZone, null);
  });

  test('have tables, checks and judgements of their own', () => {
    const result = only(scenarioOf(3, { nodeCount: 4, active: CHECKED, passive: plainPassive, events: [fail(1, 5000)] }));
    // Each has to see five failures for itself.
    assert.ok(result.errors.status >= 20 && result.errors.status < 100, `${result.errors.status}`);
    assert.equal(result.changes.length, 1, 'what the first one did is told');
    assert.equal(begunAfter(result, 1, 7000), 0);
  });

  test('each use a subset of their own, and replace who is lost', () => {
    const subset = (count: number, events: Event[] = []) => {
      const scenario = scenarioOf(20, { nodeCount: 12, workers: 1, active: CHECKED, events, policies: ['random'] });
      for (const { pool } of scenario.variants) pool.balance.subset = count;
      return only(scenario);
    };
    assert.equal(subset(0).pairs, 240);
    assert.equal(subset(5).pairs, 60);
    const lost = subset(5, [{ atMs: 10_000, kind: 'kill', address: address(3) }]);
    assert.ok(lost.pairs! > 60 && lost.pairs! <= 72, `${lost.pairs}`);
    assert.equal(lost.errors.all, 0);
    assert.equal(only(scenarioOf(2)).pairs, null);
  });
});
