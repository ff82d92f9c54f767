import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { parse } from 'yaml';
import { exampleFiles } from '../../../tests/support/certificates.ts';
import { admin, health } from '../../state/doors.ts';
import type { Plan } from '../../state/plan.ts';
import { ControlDoor, initTable, tableBytes, WorkerDoor } from '../../state/table.ts';
import { assignIds, parseConfig } from '../config/config.ts';
import { type ExplainRequest, type Explanation, explain, explainRequest, explanationText, offlineParts } from './explain.ts';

const CONFIG = `version: 1
name: lb-a
listeners:
  web: { listen: "127.0.0.1:8080", clientIp: { trust: [10.0.0.0/8] } }
  old: { listen: ":8081", redirectToHttps: true }
pools:
  web: { endpoints: ["10.0.1.1:80", "10.0.1.2:80", { address: "10.0.1.3:80", weight: 2 }, { address: "10.0.1.9:80", backup: true }] }
  turns: { endpoints: ["10.0.2.1:80", "10.0.2.2:80", "10.0.2.3:80"], balance: round-robin }
  order: { endpoints: [{ address: "10.0.3.1:80", maxConnections: 1 }, "10.0.3.2:80"], balance: first }
  users: { endpoints: ["10.0.4.1:80", "10.0.4.2:80", "10.0.4.3:80"], balance: { algorithm: ring-hash, hashOn: "{request.header.x-user}" } }
  named: { endpoints: ["shop.internal:80"] }
filters:
  office: { access: { allow: [10.0.0.0/8], deny: [10.6.6.0/24] } }
  edit: { headers: { request: { set: { x-client: "{client.ip}" }, remove: [user-agent] }, response: { remove: [server] } } }
routes:
  - { name: api, host: a.example, path: /v1/*, to: web, use: [office, edit], rewrite: { stripPrefix: /v1 } }
  - { name: login, host: a.example, path: /login, method: POST, to: turns }
  - { name: any, host: a.example, to: order }
  - { name: split, path: /split/*, to: { web: 1, turns: 3 } }
  - { name: users, path: /users, to: users }
  - { name: named, path: /named, to: named }
  - { name: away, host: www.a.example, redirect: "https://a.example{request.uri}", use: office }
`;

const loaded = parseConfig(CONFIG, 'weir.yaml', {});
const none = { draw: () => 0, why: () => null };

function made(url: string, more: Partial<ExplainRequest> = {}): ExplainRequest {
  const request = explainRequest({ url, ...more });
  assert.ok(typeof request !== 'string', String(request));
  return request;
}

/** A running instance's table. */
function running() {
  const sizes = { slotsMax: 32, stripesMax: 2, exchangeRowsMax: 8, countRowsMax: 8 };
  const buffer = new ArrayBuffer(tableBytes(sizes));
  initTable(buffer, sizes, 3);
  const door = new ControlDoor(buffer);
  const { plan } = assignIds(loaded.plan!, door);
  for (const { slot } of door.claimed()) door.setHealth(slot, health.up);
  return { plan, door, worker: new WorkerDoor(buffer, door.claimStripe()) };
}

function slotOf(plan: Plan, address: string): number {
  return plan.pools.flatMap(({ endpoints }) => endpoints).find((endpoint) => endpoint.address === address)!.slot;
}

function offline(url: string, more: Partial<ExplainRequest> = {}): Explanation {
  const { plan, table } = offlineParts(loaded.plan!);
  const explained = explain(plan, table, made(url, more), none);
  assert.ok(typeof explained !== 'string', String(explained));
  return explained as Explanation;
}

describe('the listener', () => {
  test('is the one on the port of the URL', () => {
    assert.equal(offline('http://a.example:8080/').listener.name, 'web');
    assert.equal(offline('http://a.example:8081/').listener.name, 'old');
  });

  test('is the one that was named, whatever the port', () => {
    assert.equal(offline('http://a.example/', { listener: 'web' }).listener.why, 'as asked');
  });

  test('is not guessed when there are several', () => {
    const { plan, table } = offlineParts(loaded.plan!);
    const without = explain(plan, table, made('http://a.example/'), none);
    assert.match(String(without), /no listener is on port 80; there are web \(127\.0\.0\.1:8080\), old/);
    assert.match(String(explain(plan, table, made('http://a/', { listener: 'x' }), none)), /no listener named x/);
  });

  test('is the only one when there is one', () => {
    const { plan } = parseConfig('version: 1\nlisteners: { web: { listen: ":9", to: "127.0.0.1:1" } }\n', 'a.yaml', {});
    const parts = offlineParts(plan!);
    const explained = explain(parts.plan, parts.table, made('http://a.example/'), none) as Explanation;
    assert.equal(explained.listener.why, 'the only one');
    assert.equal(explained.pool!.pick, '127.0.0.1:1');
  });

  test('that redirects to https answers by itself', () => {
    const { answer, routes, pool } = offline('http://a.example:8081/x?y');
    assert.equal(answer!.status, 308);
    assert.equal(answer!.location, 'https://a.example/x?y');
    assert.deepEqual([routes, pool], [[], null]);
  });
});

describe('the client', () => {
  test('is the peer, unless a trusted peer says otherwise', () => {
    const headers: [string, string][] = [['X-Forwarded-For', '203.0.113.9']];
    assert.deepEqual(offline('http://a.example:8080/', { headers }).client, { address: '192.0.2.1', from: 'peer', field: null });
    const trusted = offline('http://a.example:8080/', { headers, client: '10.0.0.1' }).client;
    assert.deepEqual(trusted, { address: '203.0.113.9', from: 'field', field: 'x-forwarded-for' });
    const bad = offline('http://a.example:8080/', { headers: [['x-forwarded-for', '?']], client: '10.0.0.1' }).client;
    assert.deepEqual(bad, { address: '10.0.0.1', from: 'malformed field', field: 'x-forwarded-for' });
  });

  test('has to be an address', () => {
    const { plan, table } = offlineParts(loaded.plan!);
    assert.equal(explain(plan, table, made('http://a.example:8080/', { client: 'x' }), none), "'x' is no IP address");
  });
});

describe('routes', () => {
  test('say who was taken, who also fits, and why each other one missed', () => {
    const { routes } = offline('http://a.example:8080/login', { method: 'PUT' });
    const say = Object.fromEntries(
      routes.map(({ name, verdict, missed }) => [name, verdict === 'missed' ? missed.join(', ') : verdict]),
    );
    assert.deepEqual(say, {
      api: 'path /v1/*',
      login: 'method POST',
      any: 'taken',
      split: 'path /split/*',
      users: 'path /users',
      named: 'path /named',
      away: 'host www.a.example',
    });
    assert.equal(
      offline('http://a.example:8080/login', { method: 'POST' }).routes.find(({ name }) => name === 'any')!.verdict,
      'also fits',
    );
  });

  test('that do not fit at all end in 404 with the nearest one', () => {
    const { answer, pool } = offline('http://nobody.example:8080/');
    assert.equal(answer!.status, 404);
    assert.equal(answer!.reason, 'destination_not_found');
    assert.match(answer!.detail, /Nearest is route/);
    assert.equal(pool, null);
  });

  test('are not asked about a path that can be read in two ways', () => {
    assert.equal(offline('http://a.example:8080/v1/%2e%2e/x').answer!.status, 400);
  });

  test('are not asked for CONNECT and TRACE', () => {
    assert.equal(offline('http://a.example:8080/', { method: 'TRACE' }).answer!.status, 405);
  });

  test('that answer by themselves say what, after their filters', () => {
    const inside = offline('http://www.a.example:8080/q?a=b', { client: '10.1.1.1' }).answer!;
    assert.deepEqual([inside.status, inside.location], [308, 'https://a.example/q?a=b']);
    assert.equal(offline('http://www.a.example:8080/q').answer!.status, 403);
  });
});

describe('filters', () => {
  test('say whom they let pass and what they change', () => {
    const { filters, answer, sends } = offline('http://a.example:8080/v1/items?q', {
      client: '10.1.1.1',
      headers: [['User-Agent', 'x']],
    });
    assert.deepEqual(filters[0]!.effect, ['10.1.1.1 may pass: allows 10.0.0.0/8, denies 10.6.6.0/24']);
    assert.deepEqual(filters[1]!.effect, ['loses user-agent', 'gets x-client: 10.1.1.1', 'response loses server']);
    assert.equal(answer, null);
    assert.deepEqual([sends!.target, sends!.host], ['/items?q', 'a.example:8080']);
    const names = sends!.headers.map(([name]) => name);
    assert.ok(names.includes('x-client') && names.includes('x-forwarded-for') && !names.includes('User-Agent'), names.join());
  });

  test('that would answer do not end the explanation', () => {
    for (const client of ['192.0.2.1', '10.6.6.1']) {
      const { filters, answer, pool } = offline('http://a.example:8080/v1/', { client });
      assert.deepEqual([filters[0]!.status, answer!.status], [403, 403]);
      assert.notEqual(pool!.pick, null);
    }
  });

  test('a rewrite says from what to what', () => {
    assert.deepEqual(offline('http://a.example:8080/v1/items?q=1', { client: '10.1.1.1' }).rewrite, {
      from: '/v1/items?q=1',
      to: '/items?q=1',
      host: null,
    });
    assert.equal(offline('http://a.example:8080/').rewrite, null);
  });
});

describe('the pool', () => {
  test('of a split route goes by the random number that is given', () => {
    assert.equal(offline('http://b.example:8080/split/', { random: 0 }).pool!.name, 'web');
    assert.equal(offline('http://b.example:8080/split/', { random: 2 ** 32 - 1 }).pool!.name, 'turns');
    assert.equal(offline('http://b.example:8080/split/', { random: 0 }).pool!.of, 'web 1, turns 3');
  });

  test('offline every endpoint is ready and idle, names included', () => {
    const { pool } = offline('http://b.example:8080/named');
    assert.equal(pool!.pick, 'shop.internal:80');
    assert.ok(
      offline('http://a.example:8080/v1/').pool!.candidates.every(({ isUsable, inFlight }) => isUsable && inFlight === 0),
    );
  });

  test('shares are those of the weights, and a backup has none', () => {
    const { candidates } = offline('http://b.example:8080/split/', { random: 0 }).pool!;
    const shares = candidates.map(({ share }) => share!);
    [0.25, 0.25, 0.5, 0].forEach((wanted, i) => {
      assert.ok(Math.abs(shares[i]! - wanted) < 0.02, shares.join());
    });
  });

  test('the same random number picks the same endpoint, and others pick others', () => {
    const picks = new Set<string | null>();
    for (let random = 0; random < 2 ** 32; random += 2 ** 28 + 1) {
      const [one, other] = [1, 2].map(() => offline('http://a.example:8080/v1/', { random }).pool!.pick);
      assert.equal(one, other);
      picks.add(one!);
    }
    assert.equal(picks.size, 3);
  });

  test('a hashing policy places the same value at the same endpoint, chance or not', () => {
    const homes = new Set<string | null>();
    for (let user = 0; user < 20; user++) {
      const headers: [string, string][] = [['x-user', `u${user}`]];
      const [one, other] = [1, 2 ** 31].map((random) => offline('http://b.example:8080/users', { headers, random }).pool!);
      assert.deepEqual([one!.pick, one!.key, one!.hashOn], [other!.pick, other!.key, 'header x-user']);
      assert.ok(one!.candidates.every(({ share }) => share === null));
      homes.add(one!.pick);
    }
    assert.equal(homes.size, 3);
    const without = new Set(
      [0, 2 ** 30, 2 ** 31, 3 * 2 ** 30].map((random) => offline('http://b.example:8080/users', { random }).pool!.key),
    );
    assert.equal(without.size, 4, 'who lacks the value is placed by chance');
  });

  test('round robin: the endpoint explained is the one whose turn it is, turn after turn', () => {
    const { plan, door, worker } = running();
    const request = made('http://a.example:8080/login', { method: 'POST' });
    const order: string[] = [];
    for (let turn = 0; turn < 6; turn++) {
      const { pool } = explain(plan, door, request, none) as Explanation;
      order.push(pool!.pick!);
      const again = explain(plan, door, request, none) as Explanation;
      assert.equal(again.pool!.pick, pool!.pick, 'explaining takes no turn');
      worker.begin(slotOf(plan, pool!.pick!));
    }
    assert.equal(new Set(order.slice(0, 3)).size, 3);
    assert.deepEqual(order.slice(3), order.slice(0, 3));
  });

  test('candidates show state, reason, weight and what is in flight, and only the usable ones can be picked', () => {
    const { plan, door, worker } = running();
    door.setAdmin(slotOf(plan, '10.0.1.1:80'), admin.drain);
    door.setHealth(slotOf(plan, '10.0.1.2:80'), health.down);
    door.setWeightPercent(slotOf(plan, '10.0.1.3:80'), 50);
    worker.begin(slotOf(plan, '10.0.1.3:80'));
    worker.begin(slotOf(plan, '10.0.1.3:80'));
    const request = made('http://b.example:8080/split/', { random: 0 });
    const parts = { ...none, why: (slot: number) => (slot === slotOf(plan, '10.0.1.1:80') ? 'deploy' : null) };
    const { pool } = explain(plan, door, request, parts) as Explanation;
    assert.deepEqual(
      pool!.candidates.map((c) => [c.endpoint, c.state, c.why, c.isUsable, c.weight, c.inFlight, c.score]),
      [
        ['10.0.1.1:80', 'drain', 'deploy', false, 1, 0, null],
        ['10.0.1.2:80', 'down', null, false, 1, 0, null],
        ['10.0.1.3:80', 'ready', null, true, 1, 2, 3],
        ['10.0.1.9:80', 'ready', null, true, 1, 0, 1],
      ],
    );
    assert.equal(pool!.pick, '10.0.1.3:80', 'a backup waits until no other can');
    door.setAdmin(slotOf(plan, '10.0.1.3:80'), admin.maint);
    assert.equal((explain(plan, door, request, parts) as Explanation).pool!.pick, '10.0.1.9:80');
  });

  test('power of two says which two it looked at, and takes the less loaded', () => {
    const { plan, door, worker } = running();
    for (let i = 0; i < 5; i++) worker.begin(slotOf(plan, '10.0.1.3:80'));
    const request = made('http://a.example:8080/v1/', { client: '10.1.1.1' });
    for (let draw = 0; draw < 40; draw++) {
      const { pool } = explain(plan, door, { ...request, random: draw * 107_374_182 }, none) as Explanation;
      assert.equal(pool!.lookedAt.length, 2);
      assert.ok(pool!.lookedAt.includes(pool!.pick!));
      assert.notEqual(pool!.pick, '10.0.1.3:80', 'five in flight on twice the weight is more than none');
    }
  });

  test('a full endpoint is passed over; while all are full the request waits, and with nobody left it is 503', () => {
    const { plan, door, worker } = running();
    const request = made('http://a.example:8080/x');
    assert.equal((explain(plan, door, request, none) as Explanation).pool!.pick, '10.0.3.1:80');
    worker.begin(slotOf(plan, '10.0.3.1:80'));
    const full = explain(plan, door, request, none) as Explanation;
    assert.deepEqual([full.pool!.pick, full.pool!.candidates[0]!.why], ['10.0.3.2:80', 'full']);
    door.setAdmin(slotOf(plan, '10.0.3.2:80'), admin.drain);
    const waiting = explain(plan, door, request, none) as Explanation;
    assert.deepEqual([waiting.pool!.pick, waiting.pool!.queue.waits, waiting.answer], [null, true, null]);
    assert.match(
      explanationText(waiting),
      /^ queue {5}every endpoint that is ready is full: it waits up to \S+ with urgency 3; 0 wait/m,
    );
    door.setAdmin(slotOf(plan, '10.0.3.1:80'), admin.drain);
    const { pool, answer } = explain(plan, door, request, none) as Explanation;
    assert.deepEqual(
      [pool!.pick, pool!.queue.waits, answer!.status, answer!.reason],
      [null, false, 503, 'destination_unavailable'],
    );
  });
});

describe('the examples', () => {
  const folder = join(import.meta.dirname, '../../../examples');
  interface Expected {
    request: string;
    headers?: Record<string, string>;
    client?: string;
    listener?: string;
    expect: { route?: string; pool?: string; path?: string; status?: number; location?: string };
  }
  let count = 0;
  for (const file of globSync('*.yaml', { cwd: folder }).sort()) {
    const text = readFileSync(join(folder, file), 'utf8');
    const { tests: all = [] } = parse(text) as { tests?: (Expected | { connect: string })[] };
    // Connections are explained in a file of their own.
    const tests = all.filter((each): each is Expected => 'request' in each);
    count += tests.length;
    test(`${file}: every test is explained as it is expected`, { skip: tests.length === 0 }, () => {
      const example = parseConfig(text, file, {}, exampleFiles()).plan!;
      const parts = offlineParts(example);
      for (const { request, headers = {}, client, listener, expect } of tests) {
        const [method, url] = request.split(' ') as [string, string];
        // Where no listener is named, the test means the first.
        const asked = made(url, {
          method,
          headers: Object.entries(headers),
          client,
          listener: listener ?? example.listeners[0]!.name,
        });
        // A split is not the subject here: any of its pools will do.
        const explained = [0, 2 ** 31, 2 ** 32 - 1].map((random) => {
          return explain(parts.plan, parts.table, { ...asked, random }, none) as Explanation;
        });
        const [{ routes, sends, answer }] = explained as [Explanation];
        const taken = routes.find(({ verdict }) => verdict === 'taken')?.name ?? 'none';
        if (expect.route !== undefined) assert.equal(taken, expect.route, request);
        if (expect.pool !== undefined)
          assert.ok(
            explained.some(({ pool }) => pool?.name === expect.pool),
            request,
          );
        if (expect.path !== undefined)
          assert.equal(sends!.target.replace(expect.path.includes('?') ? '' : /\?.*/, ''), expect.path);
        if (expect.status !== undefined) assert.equal(answer!.status, expect.status, request);
        if (expect.location !== undefined) assert.equal(answer!.location, expect.location, request);
      }
    });
  }
  test('have tests', () => assert.ok(count > 5, String(count)));
});

test('explaining changes nothing in the table', () => {
  const { plan, door } = running();
  const before = [
    door.version(),
    door.epoch(),
    ...plan.pools.flatMap(({ endpoints }) => endpoints.map(({ slot }) => door.requests(slot))),
  ];
  for (const url of ['http://a.example:8080/v1/', 'http://b.example:8080/split/', 'http://a.example:8080/'])
    explain(plan, door, made(url), none);
  const after = [
    door.version(),
    door.epoch(),
    ...plan.pools.flatMap(({ endpoints }) => endpoints.map(({ slot }) => door.requests(slot))),
  ];
  assert.deepEqual(after, before);
});

test('limits are those of the route', () => {
  const { limits } = offline('http://a.example:8080/');
  assert.match(limits!.text, /^connect 1s, response 30s, idle 1m, request none; 2 tries on connect, reset, refused-stream/);
  assert.deepEqual([limits!.connect, limits!.request, limits!.tries], [1, 0, 2]);
});

test('what is no request is told so, and never explained', () => {
  const wrong: readonly [unknown, RegExp][] = [
    [null, /expected an object/],
    [[], /expected an object/],
    [{ url: '/x' }, /in full/],
    [{ url: 'ftp://a/' }, /in full/],
    [{ url: 'http://a b/' }, /in full/],
    [{ url: 'http://a/\r\nx: y' }, /in full/],
    [{ url: 'http://[::x]/' }, /cannot be read/],
    [{ url: 'http://a:99999/' }, /cannot be read/],
    [{ url: 'http://a/', method: 'GE T' }, /no token/],
    [{ url: 'http://a/', method: '' }, /no token/],
    [{ url: 'http://a/', headers: {} }, /list/],
    [{ url: 'http://a/', headers: [['a']] }, /pair/],
    [{ url: 'http://a/', headers: [['a b', 'c']] }, /no name/],
    [{ url: 'http://a/', headers: [['a', 'c\r\nd: e']] }, /cannot stand/],
    [{ url: 'http://a/', headers: Array(101).fill(['a', 'b']) }, /at most 100/],
    [{ url: 'http://a/', random: -1 }, /whole number/],
    [{ url: 'http://a/', random: 2 ** 32 }, /whole number/],
    [{ url: 'http://a/', random: 0.5 }, /whole number/],
    [{ url: 'http://a/', listner: 'x' }, /unknown key listner/],
  ];
  for (const [body, says] of wrong) assert.match(String(explainRequest(body)), says, JSON.stringify(body));
});

describe('as text', () => {
  test('it reads as listener, route, filters, rewrite, pool, limits', () => {
    const text = explanationText(offline('http://a.example:8080/v1/items', { client: '10.1.1.1', random: 1 }));
    assert.deepEqual(
      text.split('\n').flatMap((line) => /^ (\w+) /.exec(line)?.[1] ?? []),
      ['listener', 'route', 'filters', 'rewrite', 'pool', 'limits'],
    );
    assert.match(text, /^GET http:\/\/a\.example:8080\/v1\/items from 10\.1\.1\.1$/m);
    assert.match(text, /^ route {5}api {2}weir\.yaml:\d+ {2}host a\.example, path prefix \/v1\/\* {2}\(also fit: any\)$/m);
    assert.match(text, /^ {11}login {2}weir\.yaml:\d+ {2}missed: path \/login, method POST$/m);
    assert.match(text, /^ rewrite {3}\/v1\/items -> \/items$/m);
    assert.match(
      text,
      /^ pool {6}web {2}weir\.yaml:\d+ {2}4 endpoints \(4 usable\) {2}power-of-two looked at .* {2}-> {2}10\.0\.1\.\d:80$/m,
    );
    assert.match(text, /^ {11}\* {2}10\.0\.1\.\d:80 .*share \d+%/m);
  });

  test('a reason cannot steer the terminal', () => {
    const { plan, door } = running();
    const parts = { ...none, why: () => 'a\u001b[31mb' };
    const text = explanationText(explain(plan, door, made('http://a.example:8080/'), parts) as Explanation);
    assert.match(text, /\(a \[31mb\)/);
  });
});

describe('fields with an underscore in the name', () => {
  const told = (rule: string): Explanation => {
    const text = `version: 1
listeners: { web: { listen: ":8080", underscores: ${rule} } }
pools: { own: { endpoints: ["10.0.1.1:80"] }, all: { endpoints: ["10.0.1.2:80"] } }
routes:
  - { name: own, header: { x_tenant: a }, to: own }
  - { name: all, path: /*, to: all }
`;
    const { plan, table } = offlineParts(parseConfig(text, 'weir.yaml', {}).plan!);
    const request = made('http://a.example:8080/', { headers: [['X_Tenant', 'a'], ['x-other', 'b']] }); // biome-ignore format: short
    return explain(plan, table, request, none) as Explanation;
  };
  const taken = ({ routes }: Explanation): string | undefined => routes.find(({ verdict }) => verdict === 'taken')?.name;

  test('are dropped before any route sees them, as the listener does', () => {
    const explained = told('drop');
    assert.equal(taken(explained), 'all');
    assert.match(explained.note!, /^dropped for the underscore in the name: X_Tenant \(/);
    assert.ok(explained.sends!.headers.every(([name]) => name !== 'X_Tenant'));
  });

  test('decide where they are allowed', () => {
    const explained = told('allow');
    assert.equal(taken(explained), 'own');
    assert.ok(explained.sends!.headers.some(([name]) => name === 'X_Tenant'));
    assert.equal(explained.note, null);
  });

  test('are answered 400 where they are refused', () => {
    const { answer, routes } = told('reject');
    assert.deepEqual([answer?.status, answer?.detail, routes], [400, 'underscore in a field name', []]);
  });
});
