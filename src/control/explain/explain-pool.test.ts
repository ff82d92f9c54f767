import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { ClientAddress } from '../../base/client-address.ts';
import { buildFilters, RequestFacts } from '../../filter/filter.ts';
import { headFromText, stickyToken } from '../../route/route.ts';
import { admin, health } from '../../state/doors.ts';
import type { FilterPlan, Plan, PoolPlan, RoutePlan } from '../../state/plan.ts';
import { ControlDoor, initTable, tableBytes, WorkerDoor } from '../../state/table.ts';
import { assignIds, parseConfig } from '../config/config.ts';
import { type Explanation, explain, explainRequest, explanationText, offlineParts } from './explain.ts';

const CONFIG = `version: 1
name: lb-a
listeners: { web: { listen: "127.0.0.1:8080", to: web } }
pools:
  web: { endpoints: ["10.0.1.1:80", "10.0.1.2:80", "10.0.1.3:80", "10.0.1.4:80"], balance: least-requests }
  spare: { endpoints: ["10.0.2.1:80"] }
  last: { endpoints: ["10.0.3.1:80"] }
`;
const loaded = parseConfig(CONFIG, 'weir.yaml', {}).plan!;
const SLOW_START_MS = 30_000;

interface Shape {
  pool?: (pool: PoolPlan) => Partial<PoolPlan>;
  spare?: Partial<PoolPlan>;
  route?: Partial<RoutePlan>;
  filters?: FilterPlan[];
  zone?: string;
}

/** A running instance whose pool `web` is shaped, all endpoints up, on a clock of its own. */
function running({ pool: shape, spare, route, filters = [], zone }: Shape = {}) {
  const sizes = { slotsMax: 32, stripesMax: 2, exchangeRowsMax: 8, countRowsMax: 8 };
  const buffer = new ArrayBuffer(tableBytes(sizes));
  initTable(buffer, sizes, 3);
  const clock = { ms: 1_000_000 };
  const door = new ControlDoor(buffer, () => clock.ms);
  const shaped: Plan = {
    ...loaded,
    zone: zone ?? null,
    pools: loaded.pools.map((one, i) => ({ ...one, ...(i === 0 ? shape?.(one) : i === 1 ? spare : {}) })),
    routes: loaded.routes.map((one) => ({ ...one, ...route, filters })),
  };
  const { plan } = assignIds(shaped, door);
  for (const { slot } of door.claimed()) door.setHealth(slot, health.up);
  // Past every slow start.
  clock.ms += 10 * SLOW_START_MS;
  const slot = (i: number): number => plan.pools[0]!.endpoints[i]!.slot;
  const ask = (headers: [string, string][] = [], client = '192.0.2.1'): Explanation => {
    const request = explainRequest({ url: 'http://a.example:8080/x', headers, client });
    assert.ok(typeof request !== 'string', String(request));
    const explained = explain(plan, door, request, { draw: () => 7, why: () => null });
    assert.ok(typeof explained !== 'string', String(explained));
    return explained as Explanation;
  };
  return { plan, door, clock, worker: new WorkerDoor(buffer, door.claimStripe()), slot, ask };
}

/** Requests of the client 192.0.2.1 that the first filter counts. */
function spend(plan: Plan, door: ControlDoor, count: number): void {
  const chain = buildFilters(plan.routes[0]!, { limits: door.limits, filterDecided: () => {} });
  const client = new ClientAddress();
  assert.ok(client.set('192.0.2.1'));
  const facts = new RequestFacts();
  facts.client = client.text;
  facts.nowMs = door.nowMs();
  for (let i = 0; i < count; i++) chain.request(headFromText('GET', 'http://a.example/', []), client, facts);
}

/** A line of the text. */
function lineOf(explanation: Explanation, name: string): string {
  return explanationText(explanation).split('\n').find((line) => line.startsWith(` ${name} `)) ?? ''; // biome-ignore format: short
}

const states = (explanation: Explanation) =>
  explanation.pool!.candidates.map(({ state, why, isUsable }) => [state, why, isUsable]);

describe('candidates', () => {
  test('one that was not checked yet gets nothing while others are known to be up', () => {
    const { door, slot, ask } = running();
    door.setHealth(slot(1), health.unknown);
    assert.deepEqual(states(ask())[1], ['ready', 'not checked yet, and other endpoints are known to be up', false]);
    for (const i of [0, 2, 3]) door.setHealth(slot(i), health.unknown);
    assert.deepEqual(states(ask())[1], ['ready', 'not checked yet', true]);
  });

  test('one that was ejected is said to be, and is not picked', () => {
    const { door, slot, ask } = running();
    door.setEjected(slot(0), true);
    const explained = ask();
    assert.deepEqual(states(explained)[0], ['ejected', null, false]);
    assert.notEqual(explained.pool!.pick, '10.0.1.1:80');
  });

  test('one in slow start counts for its ramp', () => {
    const { door, clock, slot, ask } = running({
      pool: ({ health: before }) => ({ health: { ...before, slowStartMs: SLOW_START_MS } }),
    });
    door.setHealth(slot(2), health.down);
    door.setHealth(slot(2), health.up);
    clock.ms += SLOW_START_MS / 4;
    const candidate = ask().pool!.candidates[2]!;
    assert.deepEqual([candidate.state, candidate.ramp, candidate.weight, candidate.score], ['slow-start', 0.25, 0.25, 4]);
    assert.match(explanationText(ask()), /10\.0\.1\.3:80 {2}slow-start {2}weight 0\.25 \(warm to 25%\)/);
    clock.ms += SLOW_START_MS;
    assert.deepEqual([ask().pool!.candidates[2]!.state, ask().pool!.candidates[2]!.ramp], ['ready', 1]);
  });

  test('in a panic health does not count, and that is said', () => {
    const { door, slot, ask } = running({
      pool: ({ health: before }) => ({ health: { ...before, panicThreshold: 0.5 } }),
    });
    for (const i of [0, 1]) door.setHealth(slot(i), health.down);
    assert.equal(ask().pool!.panic, null, 'half of them is not below half');
    door.setHealth(slot(2), health.down);
    door.setAdmin(slot(3), admin.drain);
    const explained = ask();
    assert.deepEqual(explained.pool!.panic, { ready: 0, of: 3, threshold: 0.5 });
    assert.deepEqual(states(explained), [
      ['down', 'used in the panic', true],
      ['down', 'used in the panic', true],
      ['down', 'used in the panic', true],
      ['drain', null, false],
    ]);
    assert.equal(lineOf(explained, 'panic'), ' panic     0 of 3 are ready, below 50%: health is ignored');
  });

  test('of a subset the others say that this node does not use them', () => {
    const { ask } = running({ pool: ({ balance }) => ({ balance: { ...balance, subset: 2 } }) });
    const explained = ask();
    assert.deepEqual(explained.pool!.subset, { size: 2, of: 4 });
    const unused = states(explained).filter(([, why]) => why === 'not among the 2 that this node uses');
    assert.equal(unused.length, 2);
    assert.equal(lineOf(explained, 'subset'), ' subset    this node uses 2 of 4, chosen by its name');
  });

  test('of a zone it is said who is near, and how much stays there', () => {
    const shape: Shape = {
      zone: 'a',
      pool: ({ balance, endpoints }) => ({
        balance: { ...balance, zone: { spillAt: 0.8 } },
        endpoints: endpoints.map((endpoint, i) => ({ ...endpoint, zone: i < 2 ? 'a' : 'b' })),
      }),
    };
    const { door, slot, ask } = running(shape);
    const explained = ask();
    assert.deepEqual(explained.pool!.zone, { name: 'a', usable: 2, stays: 1 });
    assert.ok(['10.0.1.1:80', '10.0.1.2:80'].includes(explained.pool!.pick!));
    assert.equal(lineOf(explained, 'zone'), ' zone      a first: 2 usable there; 100% of requests stay while those have room');
    door.setHealth(slot(0), health.down);
    const half = ask().pool!.zone!;
    assert.equal(half.usable, 1);
    assert.ok(half.stays > 0.1 && half.stays < 0.65, String(half.stays));
    assert.equal(running({ ...shape, zone: undefined } as Shape).ask().pool!.zone, null);
  });
});

describe('a sticky pool', () => {
  const key = Buffer.from('secret of the test').toString('base64url');
  const sticky = { name: 'weir', ttlS: 0, path: '/', domain: null, sameSite: null, secure: false, httpOnly: true, key } as const;
  const cookie = (address: string): [string, string][] => [
    ['cookie', `a=b; weir=${stickyToken(Buffer.from(key, 'base64url'), 'web', address)}; c=d`],
  ];
  const shape: Shape = { pool: () => ({ sticky }) };

  test('sends a client where its cookie says, and keeps the cookie to itself', () => {
    const { ask } = running(shape);
    for (const address of ['10.0.1.1:80', '10.0.1.4:80']) {
      const explained = ask(cookie(address));
      assert.deepEqual(explained.pool!.sticky, { cookie: 'weir', result: 'hit', endpoint: address });
      assert.equal(explained.pool!.pick, address);
      assert.deepEqual(
        explained.sends!.headers.find(([name]) => name.toLowerCase() === 'cookie'),
        ['cookie', 'a=b; c=d'],
      );
      assert.equal(lineOf(explained, 'sticky'), ` sticky    cookie weir names ${address}`);
    }
  });

  test('says when the endpoint cannot, when nobody is named, and when there is no cookie', () => {
    const { door, slot, ask } = running(shape);
    door.setHealth(slot(3), health.down);
    const moved = ask(cookie('10.0.1.4:80'));
    assert.deepEqual(moved.pool!.sticky, { cookie: 'weir', result: 'moved', endpoint: '10.0.1.4:80' });
    assert.notEqual(moved.pool!.pick, '10.0.1.4:80');
    assert.deepEqual(ask(cookie('10.9.9.9:80')).pool!.sticky, { cookie: 'weir', result: 'lost', endpoint: null });
    assert.deepEqual(ask().pool!.sticky, { cookie: 'weir', result: 'new', endpoint: null });
  });

  test('that drains keeps those that are bound to it', () => {
    const { door, slot, ask } = running(shape);
    door.setAdmin(slot(0), admin.drain);
    door.setKeeps(slot(0), true);
    assert.equal(ask(cookie('10.0.1.1:80')).pool!.pick, '10.0.1.1:80');
    assert.notEqual(ask().pool!.pick, '10.0.1.1:80');
  });
});

describe('a circuit breaker', () => {
  const breaker = { requestsMax: 2, pendingMax: 0, retriesMax: 5, isShadow: false };

  test('tells its counts, and answers 503 when it is open', () => {
    const { worker, slot, ask } = running({ pool: () => ({ breaker }) });
    worker.begin(slot(0));
    assert.equal(lineOf(ask(), 'breaker'), ' breaker   closed: requests 1 of 2, retries 0 of 5');
    worker.begin(slot(1));
    const { answer, pool } = ask();
    assert.deepEqual([answer!.status, answer!.detail, pool!.pick], [503, 'The circuit breaker is open: maxRequests.', null]);
    assert.equal(lineOf(ask(), 'breaker'), ' breaker   open: requests 2 of 2, retries 0 of 5');
  });

  test('in shadow mode would, and does not', () => {
    const { worker, slot, ask } = running({ pool: () => ({ breaker: { ...breaker, isShadow: true } }) });
    for (const i of [0, 1]) worker.begin(slot(i));
    assert.deepEqual([ask().answer, ask().pool!.breaker!.isOpen], [null, true]);
  });
});

describe('a fallback', () => {
  const toSpare = () => ({ fallback: 1 });

  test('is where a request goes when nobody in its pool can take it', () => {
    const { door, slot, ask } = running({ pool: toSpare });
    assert.deepEqual(ask().passed, []);
    for (let i = 0; i < 4; i++) door.setHealth(slot(i), health.down);
    const explained = ask();
    assert.deepEqual(
      [explained.passed.map(({ name }) => name), explained.pool!.name, explained.pool!.pick],
      [['web'], 'spare', '10.0.2.1:80'],
    );
    assert.match(lineOf(explained, 'passed'), /^ passed {4}web .*-> {2}its fallback$/);
  });

  test('of a fallback is asked as well, and a circle of them ends', () => {
    const { door, plan, slot, ask } = running({ pool: toSpare, spare: { fallback: 2 } });
    for (let i = 0; i < 4; i++) door.setHealth(slot(i), health.down);
    door.setHealth(plan.pools[1]!.endpoints[0]!.slot, health.down);
    assert.deepEqual([ask().passed.map(({ name }) => name), ask().pool!.pick], [['web', 'spare'], '10.0.3.1:80']);
    const circle = running({ pool: toSpare, spare: { fallback: 0 } });
    for (let i = 0; i < 4; i++) circle.door.setHealth(circle.slot(i), health.down);
    circle.door.setHealth(circle.plan.pools[1]!.endpoints[0]!.slot, health.down);
    const { answer, passed } = circle.ask();
    assert.deepEqual([answer!.status, passed.length], [503, 4]);
  });
});

describe('a rate limit', () => {
  const limit = (isShadow: boolean): FilterPlan => ({
    name: 'api',
    id: 0,
    kind: 'rateLimit',
    algorithm: 'token-bucket',
    requests: 10,
    windowMs: 60_000,
    burst: 2,
    key: '{client.ip}',
    isShadow,
    headers: false,
  });

  test('says what it would, and spends nothing', () => {
    const { ask } = running({ filters: [limit(false)] });
    for (let i = 0; i < 5; i++) {
      const { filters, answer } = ask();
      assert.deepEqual(filters[0]!.effect, ['may pass, and 1 more at once: allows 10 per 1m for each {client.ip}, 2 at once']);
      assert.equal(answer, null);
    }
  });

  test('that is spent answers 429, in shadow mode only says so', () => {
    for (const isShadow of [false, true]) {
      const { plan, door, ask } = running({ filters: [limit(isShadow)] });
      // As a worker does for a client's requests.
      spend(plan, door, 3);
      const { filters, answer } = ask();
      assert.equal(answer?.status ?? 0, isShadow ? 0 : 429);
      assert.match(
        filters[0]!.effect[0]!,
        isShadow ? /^limited \(shadow: it passes anyhow\): the next in \d+s: / : /^limited: the next in \d+s: /,
      );
      assert.match(ask([], '192.0.2.99').filters[0]!.effect[0]!, /^may pass/);
    }
  });

  test('access in shadow mode says whom it would not let pass', () => {
    const access: FilterPlan = {
      name: 'office',
      id: 0,
      kind: 'access',
      allow: [],
      deny: [{ bytes: [192, 0, 2, 1], bits: 32 }],
      isShadow: true,
    };
    const { ask } = running({ filters: [access] });
    assert.deepEqual([ask().answer, ask().filters[0]!.status], [null, 0]);
    assert.match(ask().filters[0]!.effect[0]!, /^192\.0\.2\.1 may not pass \(shadow: it passes anyhow\)/);
  });
});

test('limits tell retries with their waits, a hedge and the urgency', () => {
  const { retry } = loaded.routes[0]!;
  const { ask } = running({
    route: { urgency: 1, retry: { ...retry, attempts: 3, hedgeMs: 50, backoffMs: 25, backoffMaxMs: 250 } },
  });
  const { limits } = ask();
  assert.match(
    limits!.text,
    /; 3 tries on .*, waits of up to 25ms, doubling to 250ms, from the second retry on, a second one beside the first after 50ms if it may be repeated; urgency 1$/,
  );
  assert.deepEqual([limits!.hedge, limits!.backoff, limits!.backoffMax, limits!.urgency], [0.05, 0.025, 0.25, 1]);
});

test('offline no endpoint is in slow start, however long that is', () => {
  const pools = loaded.pools.map((pool) => ({ ...pool, health: { ...pool.health, slowStartMs: 3_600_000 } }));
  const parts = offlineParts({ ...loaded, pools });
  const request = explainRequest({ url: 'http://a.example:8080/x' });
  const explained = explain(parts.plan, parts.table, request as never, { draw: () => 7, why: () => null }) as Explanation;
  assert.deepEqual(new Set(explained.pool!.candidates.map(({ state, ramp }) => `${state} ${ramp}`)), new Set(['ready 1']));
});
