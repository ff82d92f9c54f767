import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Plan, StickyPlan } from '../../state/plan.ts';
import { parseConfig } from '../config/config.ts';
import { StateFixture } from './fixture.ts';
import { configOf, routesOf } from './listings.ts';

const { plan } = parseConfig(
  `version: 1
listeners: { web: { listen: ":1", to: web }, other: { listen: ":2" } }
pools: { web: { endpoints: ["127.0.0.1:1"], health: { active: { path: /up, headers: { x-api-key: k1 } } } }, next: { endpoints: ["127.0.0.1:2"] } }
filters: { inside: { headers: { request: { set: { authorization: "Bearer s1", x-colour: red } } } } }
routes:
  - { name: split, host: a.example, path: /v1/*, method: [GET, POST], listener: web, to: { web: 95, next: 5 }, use: inside }
  - { name: away, path: /old, redirect: "https://a.example/" }
`,
  'weir.yaml',
  {},
);

test('routes say in words what they match and what they do, in the order they are asked', () => {
  const state = new StateFixture();
  state.its = { ...plan!, routes: plan!.routes.map((route, id) => ({ ...route, id })) };
  const split = state.its.routes.findIndex(({ name }) => name === 'split');
  state.worker.exchange(0, split, 0, 1, 200, 0, 1, 1, 1, 0, 0);
  const rows = routesOf(state);
  assert.deepEqual(
    rows.map(({ name, listeners, match, action, filters, requests }) => [name, listeners, match, action, filters, requests]),
    [
      ['split', ['web'], 'host a.example, path prefix /v1/*, method GET or POST', 'web 95, next 5', ['inside'], 1],
      ['away', null, 'path exact /old', 'redirect 308 to https://a.example/', [], 0],
      ['listener/web', ['web'], 'every request', 'web', [], 0],
    ],
  );
});

test('routes of connections say the same, at the listener they belong to', () => {
  const { plan: streams } = parseConfig(
    `version: 1
listeners: { tls: { listen: ":1", protocol: tcp, to: db } }
pools: { db: { endpoints: ["127.0.0.1:1"] } }
routes: [{ name: named, sni: "*.db.example", alpn: [h2, postgresql], client: 10.0.0.0/8, to: db }]
`,
    'weir.yaml',
    {},
  );
  const state = new StateFixture();
  state.its = streams;
  assert.deepEqual(
    routesOf(state).map(({ name, listeners, match, action }) => [name, listeners, match, action]),
    [
      ['named', ['tls'], 'sni *.db.example, alpn h2 or postgresql, client in 10.0.0.0/8', 'db'],
      ['listener/tls', ['tls'], 'all', 'db'],
    ],
  );
});

test('the plan in force is shown without the values of fields that hold secrets', () => {
  const sticky: StickyPlan = {
    name: 'weir',
    ttlS: 0,
    path: '/',
    domain: null,
    sameSite: 'lax',
    secure: false,
    httpOnly: true,
    key: 'c2VjcmV0',
  };
  const whole: Plan = { ...plan!, pools: plan!.pools.map((pool) => ({ ...pool, sticky })) };
  const shown = JSON.stringify(configOf(whole));
  for (const secret of ['s1', 'k1', sticky.key])
    assert.ok(JSON.stringify(whole).includes(secret) && !shown.includes(secret), secret);
  assert.ok(shown.includes('"name":"weir"'), 'the rest of it is shown');
  assert.ok(shown.includes('red'));
});
