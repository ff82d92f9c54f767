import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { type AddressInfo, createServer as createTcp } from 'node:net';
import { test } from 'node:test';
import type { Address } from '../../base/wire.ts';
import type { CheckResult } from '../../health/health.ts';
import { health } from '../../state/doors.ts';
import type { ActiveHealthPlan, Plan } from '../../state/plan.ts';
import { FIRST_MS, HealthChecks } from './health.ts';
import { probe } from './probe.ts';

const pass: CheckResult = { passed: true, reason: 'ok', evidence: '200 OK', ms: 1 };
const fail: CheckResult = { passed: false, reason: 'status', evidence: '503', ms: 1 };

/** A clock that stands still until it is moved. */
class VirtualTime {
  now = 0;
  private due: { at: number; callback: () => void }[] = [];
  after = (ms: number, callback: () => void): (() => void) => {
    const entry = { at: this.now + ms, callback };
    this.due.push(entry);
    return () => (this.due = this.due.filter((other) => other !== entry));
  };
  async advance(ms: number): Promise<void> {
    const end = this.now + ms;
    for (;;) {
      const next = this.due.filter(({ at }) => at <= end).sort((a, b) => a.at - b.at)[0];
      if (next === undefined) break;
      this.due = this.due.filter((other) => other !== next);
      this.now = next.at;
      next.callback();
      for (let i = 0; i < 5; i++) await Promise.resolve();
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
  port: 0,
};

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

function bench(answers: (address: Address) => boolean = () => true) {
  const time = new VirtualTime();
  const column = new Map<number, number>();
  const asked: { at: number; port: number }[] = [];
  const said: string[] = [];
  let seed = 1;
  const checks = new HealthChecks({
    door: {
      health: (slot) => column.get(slot) ?? health.unknown,
      setHealth: (slot, to) => void column.set(slot, to),
      checked: () => {},
    },
    events: { info: (event) => said.push(event), warn: (event) => said.push(event) },
    now: () => time.now,
    random: () => (seed = (seed * 16807) % 2147483647) / 2147483647,
    probe: async (address) => {
      asked.push({ at: time.now, port: (address as { port: number }).port });
      return answers(address) ? pass : fail;
    },
    after: time.after,
  });
  return { time, column, asked, said, checks };
}

test('every target is checked for the first time within a second, one after the other, and then about once an interval', async () => {
  const { time, asked, checks, column } = bench();
  const ports = Array.from({ length: 20 }, (_, i) => 1000 + i);
  checks.apply(planOf({ web: { active: check, ports } }));
  await time.advance(FIRST_MS);
  assert.deepEqual(new Set(asked.map(({ port }) => port)), new Set(ports));
  assert.ok(new Set(asked.map(({ at }) => at)).size > 10, 'spread');
  assert.equal(column.get(19), health.up);
  await time.advance(60_000);
  for (const port of ports) {
    const times = asked.filter((one) => one.port === port).map(({ at }) => at);
    assert.ok(times.length >= 28 && times.length <= 33, `${times.length} checks in 60.8 s of 2 s`);
    for (let i = 2; i < times.length; i++) assert.ok(Math.abs(times[i]! - times[i - 1]! - 2000) <= 101);
  }
  checks.stop();
});

test('a check that is asked for is made at once, and the next one an interval later', async () => {
  const { time, asked, checks } = bench();
  checks.apply(planOf({ a: { active: check, ports: [1, 2] }, b: { active: null, ports: [3] } }));
  await time.advance(10_000);
  const times = () => asked.filter(({ port }) => port === 2).map(({ at }) => at);
  const before = times().length;
  assert.equal(checks.checkNow(1), true);
  await time.advance(1800);
  assert.deepEqual(times().slice(before), [10_000]);
  await time.advance(400);
  assert.equal(times().length, before + 2);
  assert.equal(checks.checkNow(2), false, 'nobody checks it');
  assert.equal(checks.checkNow(99), false);
  checks.stop();
});

test('pools that share a target share its checks, each with its own fall', async () => {
  let isWell = true;
  const { time, asked, checks, column, said } = bench(() => isWell);
  const eager = { ...check, fall: 1 };
  checks.apply(planOf({ a: { active: check, ports: [1] }, b: { active: eager, ports: [1] }, c: { active: null, ports: [1] } }));
  assert.equal(checks.targetCount, 1);
  assert.equal(column.get(2), health.up, 'a pool without checks takes its endpoints for up');
  await time.advance(4500);
  const before = asked.length;
  assert.ok(before <= 4);
  isWell = false;
  await time.advance(2200);
  assert.deepEqual([column.get(0), column.get(1)], [health.up, health.down]);
  await time.advance(4400);
  assert.deepEqual([column.get(0), column.get(1), column.get(2)], [health.down, health.down, health.up]);
  assert.deepEqual(said, ['endpoint_down', 'endpoint_down']);
  checks.stop();
});

test('a reload keeps verdict and rhythm of what stays, and stops checking what left', async () => {
  const { time, asked, checks } = bench((address) => (address as { port: number }).port !== 2);
  checks.apply(planOf({ web: { active: check, ports: [1, 2] } }));
  await time.advance(1000);
  assert.equal(checks.statusOf(1)?.state, 'down');
  const since = checks.statusOf(1)?.since;
  const again = planOf({ web: { active: check, ports: [1, 2] } });
  again.pools[0]!.endpoints.shift();
  const count = asked.length;
  checks.apply(again);
  assert.equal(asked.length, count, 'no check of its own for a reload');
  assert.equal(checks.statusOf(1)?.since, since);
  await time.advance(10_000);
  assert.ok(!asked.slice(count).some(({ port }) => port === 1));
  assert.ok(asked.slice(count).filter(({ port }) => port === 2).length >= 4);
  checks.stop();
});

test('a check that hangs is not started a second time', async () => {
  const time = new VirtualTime();
  let under = 0;
  const checks = new HealthChecks({
    door: { health: () => health.up, setHealth: () => {}, checked: () => {} },
    events: { info: () => {}, warn: () => {} },
    now: () => time.now,
    random: () => 0.5,
    probe: () => {
      under++;
      return new Promise(() => {});
    },
    after: time.after,
  });
  checks.apply(planOf({ web: { active: check, ports: [1] } }));
  await time.advance(20_000);
  assert.equal(under, 1);
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

const http = (more: Partial<ActiveHealthPlan & { type: 'http' }> = {}): ActiveHealthPlan => ({
  ...check,
  tls: null,
  type: 'http',
  method: 'GET',
  path: '/healthz',
  host: null,
  headers: [],
  expect: { status: [[200, 299]], body: null },
  timeoutMs: 300,
  ...more,
});

test('an HTTP check asks for its path and judges status and body', async (t) => {
  const seen: string[] = [];
  const server = createServer((request, response) => {
    seen.push(`${request.method} ${request.url} ${request.headers.host} ${request.headers['x-a'] ?? ''}`);
    response.writeHead(request.url === '/bad' ? 503 : 200).end('all is well');
  }).listen(0, '127.0.0.1');
  t.after(() => server.close());
  await new Promise((resolve) => server.once('listening', resolve));
  const { port } = server.address() as AddressInfo;
  const address: Address = { kind: 'ip', host: '127.0.0.1', port };
  assert.equal((await probe(address, http({ host: 'app.example', headers: [{ name: 'X-A', value: 'b' }] }))).reason, 'ok');
  assert.deepEqual(seen, ['GET /healthz app.example b']);
  const bad = await probe(address, http({ path: '/bad' }));
  assert.deepEqual([bad.passed, bad.reason, bad.evidence], [false, 'status', '503 Service Unavailable']);
  assert.equal((await probe(address, http({ expect: { status: [[200, 200]], body: 'is well' } }))).passed, true);
  assert.equal((await probe(address, http({ expect: { status: [[200, 200]], body: 'is ill' } }))).reason, 'body');
  assert.equal((await probe(address, { ...check, timeoutMs: 300 })).passed, true);
});

test('a peer that accepts and says nothing, trickles, or is not there fails within the deadline', async () => {
  const mute = createTcp((socket) => {
    socket.on('error', () => {});
    const timer = setInterval(() => socket.write('H'), 20);
    socket.on('close', () => clearInterval(timer));
    socket.write('HTTP/1.1 200 OK\r\nX: ');
  }).listen(0, '127.0.0.1');
  await new Promise((resolve) => mute.once('listening', resolve));
  const { port } = mute.address() as AddressInfo;
  const address: Address = { kind: 'ip', host: '127.0.0.1', port };
  const began = performance.now();
  const slow = await probe(address, http({ timeoutMs: 120 }));
  assert.equal(slow.reason, 'http_response_timeout');
  assert.ok(performance.now() - began < 1000);
  await new Promise((resolve) => mute.close(resolve));
  assert.equal((await probe(address, http())).reason, 'connection_refused');
  assert.equal((await probe(address, { ...check, timeoutMs: 300 })).reason, 'connection_refused');
});
