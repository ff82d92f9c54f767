import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Plan } from '../../state/plan.ts';
import { addressesIn, FIRST_MS_MAX, NameResolver, nameOf, RESOLVE_FAILED_MS, RESOLVE_MS } from './dns.ts';

const planOf = (...addresses: string[]): Plan =>
  ({ pools: [{ name: 'web', endpoints: addresses.map((address) => ({ address, resolved: null })) }] }) as unknown as Plan;
const resolvedIn = (plan: Plan) =>
  plan.pools[0]!.endpoints.map(({ resolved }) => (resolved?.kind === 'ip' ? `${resolved.host}:${resolved.port}` : null));

function bench(answer: (host: string) => string[] | Promise<string[]>) {
  const timers: { ms: number; callback: () => void }[] = [];
  const said: string[] = [];
  let changes = 0;
  const names = new NameResolver({
    events: { info: (event) => said.push(event), warn: (event) => said.push(event) },
    onChange: () => changes++,
    lookup: async (host) => answer(host),
    after: (ms, callback) => {
      const timer = { ms, callback };
      timers.push(timer);
      return () => void timers.splice(timers.indexOf(timer), 1);
    },
  });
  const fire = async (): Promise<void> => {
    for (const { callback } of timers.splice(0)) callback();
    for (let i = 0; i < 10; i++) await Promise.resolve();
  };
  return { names, timers, said, fire, changes: () => changes };
}

test('names become addresses, with the port of the endpoint', async () => {
  const { names } = bench(() => ['10.0.0.1', '10.0.0.2']);
  const plan = planOf('app.internal:8080', 'app.internal:8081');
  await names.follow(plan);
  assert.deepEqual(resolvedIn(names.resolve(plan)), ['10.0.0.1:8080', '10.0.0.1:8081']);
});

test('an address stays in use as long as the answer holds it, in whatever order', async () => {
  let answers = ['10.0.0.1', '10.0.0.2'];
  const { names, fire, changes, timers } = bench(() => answers);
  const plan = planOf('app.internal:80');
  await names.follow(plan);
  assert.equal(timers[0]!.ms, RESOLVE_MS);
  answers = ['10.0.0.2', '10.0.0.1'];
  await fire();
  assert.equal(changes(), 0);
  answers = ['10.0.0.3', '10.0.0.2'];
  await fire();
  assert.equal(changes(), 1);
  assert.deepEqual(resolvedIn(names.resolve(plan)), ['10.0.0.3:80']);
});

test('a failure keeps the last good answer and is said once', async () => {
  let works = true;
  const { names, fire, changes, said } = bench(() => {
    if (!works) throw Object.assign(new Error('x'), { code: 'ESERVFAIL' });
    return ['10.0.0.1'];
  });
  const plan = planOf('app.internal:80');
  await names.follow(plan);
  works = false;
  await fire();
  await fire();
  assert.deepEqual(resolvedIn(names.resolve(plan)), ['10.0.0.1:80']);
  assert.deepEqual(said, ['name_unresolved']);
  works = true;
  await fire();
  assert.deepEqual(said, ['name_unresolved', 'name_resolved']);
  assert.equal(changes(), 0);
});

test('a name without an answer is asked for sooner, and its first answer is a change', async () => {
  let answers: string[] = [];
  const { names, fire, changes, timers } = bench(() => answers);
  const plan = planOf('late.internal:80');
  await names.follow(plan);
  assert.deepEqual(resolvedIn(names.resolve(plan)), [null]);
  assert.equal(timers[0]!.ms, RESOLVE_FAILED_MS);
  answers = ['10.0.0.9'];
  await fire();
  assert.equal(changes(), 1);
  assert.deepEqual(resolvedIn(names.resolve(plan)), ['10.0.0.9:80']);
});

test('who waits briefly waits for first answers, and one that comes later is a change of its own', async () => {
  const late = Promise.withResolvers<string[]>();
  const { names, timers, fire, changes } = bench((host) => (host === 'late.internal' ? late.promise : ['10.0.0.1']));
  const plan = planOf('soon.internal:80', 'late.internal:80');
  await names.followBriefly(planOf('soon.internal:80'));
  assert.deepEqual(
    timers.map(({ ms }) => ms),
    [RESOLVE_MS],
    'nobody waits any more',
  );
  const following = names.followBriefly(plan);
  assert.deepEqual(
    timers.map(({ ms }) => ms),
    [RESOLVE_MS, FIRST_MS_MAX],
  );
  await fire();
  await following;
  assert.deepEqual(resolvedIn(names.resolve(plan)), ['10.0.0.1:80', null]);
  assert.equal(changes(), 0);
  late.resolve(['10.0.0.2']);
  await fire();
  assert.equal(changes(), 1);
  assert.deepEqual(resolvedIn(names.resolve(plan)), ['10.0.0.1:80', '10.0.0.2:80']);
});

test('a late answer for a name that left the plan meanwhile changes nothing', async () => {
  const late = Promise.withResolvers<string[]>();
  const { names, fire, changes } = bench(() => late.promise);
  const following = names.followBriefly(planOf('late.internal:80'));
  await fire();
  await following;
  await names.follow(planOf());
  late.resolve(['10.0.0.2']);
  await fire();
  assert.equal(changes(), 0);
});

test('a name that left the plan is not asked for any more', async () => {
  const { names, timers } = bench(() => ['10.0.0.1']);
  await names.follow(planOf('a.internal:80', 'b.internal:80'));
  assert.equal(timers.length, 2);
  await names.follow(planOf('b.internal:80'));
  assert.equal(timers.length, 1);
});

test('addresses and unix paths are no names', () => {
  for (const text of ['10.0.0.1:80', '[::1]:80', 'unix:/run/a.sock', 'nothing']) assert.equal(nameOf(text), null);
  assert.deepEqual(nameOf('app.internal:80'), { host: 'app.internal', port: 80 });
});

test('the hosts file is read as hosts(5) says', () => {
  const text = '127.0.0.1 localhost\n::1\tlocalhost ip6-localhost # loopback\n# 10.0.0.1 app\n10.0.0.2 App app.internal\n';
  assert.deepEqual(addressesIn(text, 'localhost'), ['127.0.0.1', '::1']);
  assert.deepEqual(addressesIn(text, 'app'), ['10.0.0.2']);
  assert.deepEqual(addressesIn(text, 'loopback'), []);
});
