import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Address } from '../../base/wire.ts';
import type { CheckResult } from '../../health/health.ts';
import { health } from '../../state/doors.ts';
import type { ActiveHealthPlan, Plan } from '../../state/plan.ts';
import { NOT_MADE } from './check.ts';
import { FIRST_MS, HealthChecks } from './health.ts';

const pass: CheckResult = { passed: true, reason: 'ok', evidence: '200 OK', ms: 1 };
const fail: CheckResult = { passed: false, reason: 'status', evidence: '503', ms: 1 };

const unmade: CheckResult = { passed: false, reason: NOT_MADE, evidence: 'no local port', ms: 0 };

/** A clock that stands still until it is moved. */
class VirtualTime {
  now = 0;
  private due: { at: number; callback: () => void }[] = [];
  after = (ms: number, callback: () => void): (() => void) => {
    const entry = { at: this.now + ms, callback };
    this.due.push(entry);
    return () => (this.due = this.due.filter((other) => other !== entry));
  };
  advance(ms: number): void {
    const end = this.now + ms;
    for (;;) {
      const next = this.due.filter(({ at }) => at <= end).sort((a, b) => a.at - b.at)[0];
      if (next === undefined) break;
      this.due = this.due.filter((other) => other !== next);
      this.now = next.at;
      next.callback();
    }
    this.now = end;
  }
}

const check: ActiveHealthPlan = {
  type: 'tcp',
  intervalMs: 2000,
  fastMs: 2000,
  idleMs: 2000,
  timeoutMs: 1000,
  rise: 2,
  fall: 3,
  jitter: 0.1,
  proxyProtocol: 0,
  port: 0,
};

/** Checks that are due together begin together, and the wheel turns in steps. */
const WAKE_MS = 40;
const near = (ms: number, wanted: number) => ms >= wanted && ms <= wanted + WAKE_MS;

function planOf(pools: Record<string, { active: ActiveHealthPlan | null; ports: number[] }>): Plan {
  let slot = 0;
  const list = Object.entries(pools).map(([name, { active, ports }]) => ({
    name,
    health: { active },
    endpoints: ports.map((port) => ({
      slot: slot++,
      address: `127.0.0.1:${port}`,
      resolved: { kind: 'ip', host: '127.0.0.1', port },
    })),
  }));
  return { pools: list } as unknown as Plan;
}

/** `answers`: passes; null: it hangs; undefined: it cannot be made. */
function bench(answers: (address: Address) => boolean | null | undefined = () => true) {
  const time = new VirtualTime();
  const column = new Map<number, number>();
  const requests = new Map<number, number>();
  const asked: { at: number; port: number }[] = [];
  const said: string[] = [];
  const notChecked: number[] = [];
  let seed = 1;
  const checks = new HealthChecks({
    door: {
      health: (slot) => column.get(slot) ?? health.unknown,
      setHealth: (slot, to) => void column.set(slot, to),
      checked: () => {},
      notChecked: (slot) => void notChecked.push(slot),
      requests: (slot) => requests.get(slot) ?? 0,
    },
    events: { info: (event) => said.push(event), warn: (event) => said.push(event) },
    now: () => time.now,
    random: () => (seed = (seed * 16807) % 2147483647) / 2147483647,
    prepare: ({ address }) => ({
      start: (ended) => {
        asked.push({ at: time.now, port: (address as { port: number }).port });
        const passes = answers(address);
        if (passes === undefined) ended(unmade);
        else if (passes !== null) ended(passes ? pass : fail);
      },
    }),
    clock: () => time.now,
    after: time.after,
  });
  const gaps = () => asked.slice(1).map(({ at }, i) => at - asked[i]!.at);
  return { time, column, requests, asked, said, notChecked, checks, gaps };
}

test('every target is checked for the first time within a second, one after the other, and then about once an interval', () => {
  const { time, asked, checks, column } = bench();
  const ports = Array.from({ length: 20 }, (_, i) => 1000 + i);
  checks.apply(planOf({ web: { active: check, ports } }));
  time.advance(FIRST_MS + WAKE_MS);
  assert.deepEqual(new Set(asked.map(({ port }) => port)), new Set(ports));
  assert.ok(new Set(asked.map(({ at }) => at)).size > 10, 'spread');
  assert.equal(column.get(19), health.up);
  time.advance(60_000);
  for (const port of ports) {
    const times = asked.filter((one) => one.port === port).map(({ at }) => at);
    assert.ok(times.length >= 28 && times.length <= 33, `${times.length} checks in 60.8 s of 2 s`);
    for (let i = 2; i < times.length; i++) assert.ok(Math.abs(times[i]! - times[i - 1]! - 2000) <= 100 + WAKE_MS);
  }
  checks.stop();
});

test('a check that is asked for is made at once, and the next one an interval later', () => {
  const { time, asked, checks } = bench();
  checks.apply(planOf({ a: { active: check, ports: [1, 2] }, b: { active: null, ports: [3] } }));
  time.advance(10_000);
  const times = () => asked.filter(({ port }) => port === 2).map(({ at }) => at);
  const before = times().length;
  assert.equal(checks.checkNow(1), true);
  time.advance(1800);
  assert.deepEqual(times().slice(before), [10_000]);
  time.advance(400);
  assert.equal(times().length, before + 2);
  assert.equal(checks.checkNow(2), false, 'nobody checks it');
  assert.equal(checks.checkNow(99), false);
  checks.stop();
});

test('pools that share a target share its checks, each with its own fall', () => {
  let isWell = true;
  const { time, asked, checks, column, said } = bench(() => isWell);
  const eager = { ...check, fall: 1 };
  checks.apply(planOf({ a: { active: check, ports: [1] }, b: { active: eager, ports: [1] }, c: { active: null, ports: [1] } }));
  assert.equal(checks.targetCount, 1);
  assert.equal(column.get(2), health.up, 'a pool without checks takes its endpoints for up');
  time.advance(4500);
  const before = asked.length;
  assert.ok(before <= 4);
  isWell = false;
  time.advance(2200);
  assert.deepEqual([column.get(0), column.get(1)], [health.up, health.down]);
  time.advance(4400);
  assert.deepEqual([column.get(0), column.get(1), column.get(2)], [health.down, health.down, health.up]);
  assert.deepEqual(said, ['endpoint_down', 'endpoint_down']);
  checks.stop();
});

test('a reload keeps verdict and rhythm of what stays, and stops checking what left', () => {
  const { time, asked, checks } = bench((address) => (address as { port: number }).port !== 2);
  checks.apply(planOf({ web: { active: check, ports: [1, 2] } }));
  time.advance(1000);
  assert.equal(checks.statusOf(1)?.state, 'down');
  const since = checks.statusOf(1)?.since;
  const again = planOf({ web: { active: check, ports: [1, 2] } });
  again.pools[0]!.endpoints.shift();
  const count = asked.length;
  checks.apply(again);
  assert.equal(asked.length, count, 'no check of its own for a reload');
  assert.equal(checks.statusOf(1)?.since, since);
  time.advance(10_000);
  assert.ok(!asked.slice(count).some(({ port }) => port === 1));
  assert.ok(asked.slice(count).filter(({ port }) => port === 2).length >= 4);
  checks.stop();
});

test('a check that hangs is not started a second time, not even when it is asked for', () => {
  const { time, asked, checks } = bench(() => null);
  checks.apply(planOf({ web: { active: check, ports: [1] } }));
  time.advance(20_000);
  assert.equal(checks.checkNow(0), true);
  assert.equal(asked.length, 1);
  checks.stop();
});

test('a check that takes longer than the interval is followed by the next at once', () => {
  let end: (() => void) | null = null;
  const { time, checks } = bench();
  let started = 0;
  const slow = new HealthChecks({
    door: { health: () => health.up, setHealth: () => {}, checked: () => {}, notChecked: () => {}, requests: () => 0 },
    events: { info: () => {}, warn: () => {} },
    now: () => time.now,
    random: () => 0.5,
    prepare: () => ({
      start: (ended) => {
        started++;
        end = () => ended(pass);
      },
    }),
    clock: () => time.now,
    after: time.after,
  });
  checks.stop();
  slow.apply(planOf({ web: { active: check, ports: [1] } }));
  time.advance(5000);
  assert.equal(started, 1);
  end!();
  time.advance(WAKE_MS);
  assert.equal(started, 2);
  slow.stop();
});

const paced: ActiveHealthPlan = { ...check, fastMs: 500, idleMs: 10_000, jitter: 0, rise: 3, fall: 3 };

/** Moves time on until one more check has come. */
function untilAsked({ time, asked }: Pick<ReturnType<typeof bench>, 'time' | 'asked'>, count = 1): void {
  const goal = asked.length + count;
  for (let steps = 0; asked.length < goal; steps++) {
    assert.ok(steps < 100_000, 'no check came');
    time.advance(5);
  }
}

test('in doubt the next check comes soon, until the endpoint is out or has passed; one that is down is checked every interval', () => {
  let isWell = true;
  const world = bench(() => isWell);
  const { checks, column, requests, gaps } = world;
  checks.apply(planOf({ web: { active: paced, ports: [1] } }));
  const next = (): number => {
    requests.set(0, (requests.get(0) ?? 0) + 1);
    untilAsked(world);
    return gaps().at(-1)!;
  };
  next();
  next();
  assert.ok(near(next(), 2000), 'an endpoint with work is checked every interval');
  isWell = false;
  assert.ok(near(next(), 2000), 'the first failure');
  assert.ok(near(next(), 500), 'the second');
  assert.equal(column.get(0), health.up);
  assert.ok(near(next(), 500), 'the third');
  assert.equal(column.get(0), health.down);
  assert.ok(near(next(), 2000), 'nothing is in doubt while it stays down');
  isWell = true;
  assert.ok(near(next(), 2000), 'the first pass');
  assert.ok(near(next(), 500));
  assert.equal(column.get(0), health.down);
  assert.ok(near(next(), 500));
  assert.equal(column.get(0), health.up);
  assert.ok(near(next(), 2000));
  checks.stop();
});

test('an endpoint that is up and gets no request is checked rarely; one request brings the ordinary interval back', () => {
  const world = bench();
  const { checks, requests, gaps } = world;
  checks.apply(planOf({ web: { active: paced, ports: [1] } }));
  untilAsked(world, 3);
  assert.ok(near(gaps().at(-1)!, 10_000));
  requests.set(0, 1);
  untilAsked(world);
  assert.ok(near(gaps().at(-1)!, 10_000), 'the check that sees the request');
  untilAsked(world);
  assert.ok(near(gaps().at(-1)!, 2000));
  untilAsked(world);
  assert.ok(near(gaps().at(-1)!, 10_000), 'at rest again');
  checks.stop();
});

test('a pool at rest whose endpoint is down keeps the ordinary interval', () => {
  const { time, checks, gaps } = bench(() => false);
  checks.apply(planOf({ web: { active: paced, ports: [1] } }));
  time.advance(30_000);
  assert.ok(near(gaps().at(-1)!, 2000));
  checks.stop();
});

test('of pools that share a target the one with work decides how often it is checked', () => {
  const { time, checks, requests, gaps } = bench();
  checks.apply(planOf({ a: { active: paced, ports: [1] }, b: { active: { ...paced, fall: 5 }, ports: [1] } }));
  assert.equal(checks.targetCount, 1);
  for (let i = 0; i < 300; i++) {
    requests.set(1, i);
    time.advance(100);
  }
  assert.ok(near(gaps().at(-1)!, 2000));
  checks.stop();
});

test('a reload does not take a working endpoint for one at rest', () => {
  const world = bench();
  const { checks, requests, gaps } = world;
  checks.apply(planOf({ web: { active: paced, ports: [1] } }));
  untilAsked(world, 3);
  requests.set(0, 1);
  checks.apply(planOf({ web: { active: paced, ports: [1] } }));
  untilAsked(world, 2);
  assert.ok(near(gaps().at(-1)!, 2000), 'the request before the reload was seen');
  checks.stop();
});

test('a check that cannot be made moves no state, keeps the rhythm, and is told with why', () => {
  let answer: boolean | undefined = true;
  const { time, asked, said, notChecked, column, checks, gaps } = bench(() => answer);
  checks.apply(planOf({ web: { active: paced, ports: [1] } }));
  untilAsked({ time, asked }, 1);
  answer = undefined;
  untilAsked({ time, asked }, 20);
  assert.equal(column.get(0), health.up);
  assert.deepEqual([notChecked.length, said], [20, ['checks_not_made']]);
  assert.deepEqual(checks.statusOf(0)!.missed, { evidence: 'no local port', count: 20, at: asked.at(-1)!.at });
  assert.ok(
    gaps()
      .slice(1)
      .every((gap) => near(gap, paced.idleMs)),
  );
  answer = true;
  untilAsked({ time, asked }, 1);
  assert.deepEqual(said, ['checks_not_made', 'checks_made_again']);
  assert.equal(checks.statusOf(0)!.missed, null);
  checks.stop();
});

test('failures in a row stay in a row over a check that cannot be made, which stays in doubt', () => {
  const answers = [true, false, undefined, false, undefined, false];
  const { time, asked, column, said, checks, gaps } = bench(() => answers[Math.min(asked.length, answers.length) - 1]);
  checks.apply(planOf({ web: { active: paced, ports: [1] } }));
  untilAsked({ time, asked }, 5);
  assert.equal(column.get(0), health.up);
  untilAsked({ time, asked }, 1);
  assert.equal(column.get(0), health.down);
  assert.ok(said.includes('endpoint_down'));
  assert.ok(
    gaps()
      .slice(1)
      .every((gap) => near(gap, paced.fastMs)),
  );
  checks.stop();
});

test('an endpoint whose first check cannot be made is not known', () => {
  const { time, column, checks } = bench(() => undefined);
  checks.apply(planOf({ web: { active: paced, ports: [1] } }));
  time.advance(60_000);
  assert.equal(column.get(0), undefined);
  assert.equal(checks.statusOf(0)!.state, 'unknown');
  checks.stop();
});

test('a target that leaves the plan while its checks cannot be made ends what was told', () => {
  const { time, said, checks } = bench(() => undefined);
  checks.apply(planOf({ web: { active: paced, ports: [1] } }));
  time.advance(5000);
  checks.apply(planOf({ web: { active: paced, ports: [2] } }));
  assert.deepEqual(said, ['checks_not_made', 'checks_made_again']);
  checks.stop();
});

test('commands are not shared between pools, and names are not shared between hosts', () => {
  const { checks } = bench();
  const exec: ActiveHealthPlan = { ...check, type: 'exec', command: ['/bin/true'] };
  const { type: _type, ...timing } = check;
  const http: ActiveHealthPlan = {
    ...timing,
    type: 'http',
    method: 'GET',
    path: '/',
    host: null,
    headers: [],
    expect: { status: [[200, 299]], body: null },
    tls: null,
  };
  const plan = planOf({ a: { active: exec, ports: [1] }, b: { active: exec, ports: [1] }, c: { active: http, ports: [2, 2] } });
  plan.pools[2]!.endpoints[1]!.address = 'app.internal:2';
  checks.apply(plan);
  assert.equal(checks.targetCount, 4);
  checks.stop();
});

test('an endpoint whose name has no address is down, and says why', () => {
  const { checks, column } = bench();
  const plan = planOf({ web: { active: check, ports: [1] } });
  plan.pools[0]!.endpoints[0]!.resolved = null;
  checks.apply(plan);
  assert.equal(column.get(0), health.down);
  assert.equal(checks.statusOf(0)?.reason, 'dns_error');
});
