/**
 * Harm prevented: an answer that goes to somebody who did not ask, a client that is never forgotten, memory that a flood of addresses fills, a refusal that
 * costs the client its question. Each seed is another order of events.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ClientAddress } from '../../src/base/client-address.ts';
import { readName } from '../../src/base/datagram-name.ts';
import { fault } from '../../src/base/faults.ts';
import { Prng } from '../../src/base/prng.ts';
import { admin, health, retryReason } from '../../src/state/doors.ts';
import { plainPool } from '../../src/state/plain-pool.ts';
import { DatagramWorld, type UdpEndpoint } from './datagrams-world.ts';

test('every answer goes to the client that asked, whatever overtakes whatever', () => {
  for (let seed = 1; seed <= 10; seed++) {
    const world = new DatagramWorld({ seed });
    const prng = new Prng(seed);
    // Answers are held back and given in another order.
    const held: (() => void)[] = [];
    world.onQuestion = (endpoint, text, name) => {
      held.push(() => endpoint.answer(name, `${text}!`));
      if (held.length < 20) return;
      while (held.length > 0) held.splice(prng.below(held.length), 1)[0]!();
    };
    const clients = Array.from({ length: 200 }, (_, i) => world.client(`10.1.${i % 7}.1`));
    for (let round = 0; round < 5; round++) for (const [i, client] of clients.entries()) client.ask(`${i}.${round}`);
    world.until('all answers', () => clients.every(({ answers }) => answers.length === 5));
    for (const [i, { answers }] of clients.entries())
      assert.deepEqual(
        answers.sort(),
        [0, 1, 2, 3, 4].map((round) => `${i}.${round}!`),
        `seed ${seed}`,
      );
    world.finish();
    assert.equal(world.ended.length, 200, 'one session for each client');
  }
});

test('a client keeps its endpoint, and is forgotten after the idle time, not before', () => {
  const world = new DatagramWorld({ seed: 3 });
  const client = world.client();
  for (let i = 0; i < 10; i++) {
    client.ask(`q${i}`);
    world.until('the answer', () => client.answers.length === i + 1);
    world.engine.runFor(4500);
    assert.equal(world.listener.connections, 1);
  }
  assert.equal(world.endpoints.filter(({ questions }) => questions.length > 0).length, 1);
  world.engine.runFor(600);
  assert.equal(world.listener.connections, 0);
  world.finish();
  assert.deepEqual(
    world.ended.map(({ fault, bytesIn, bytesOut }) => [fault, bytesIn, bytesOut]),
    [[0, 20, 30]],
  );
});

test('an endpoint that sends on its own keeps the session alive', () => {
  const world = new DatagramWorld({ seed: 4, endpoints: 1 });
  const client = world.client().ask('subscribe');
  world.until('the answer', () => client.answers.length === 1);
  const [endpoint] = world.endpoints;
  for (let i = 0; i < 5; i++) {
    world.engine.runFor(4000);
    endpoint!.answer(endpoint!.questions[0]!.name, `news ${i}`);
  }
  world.until('the news', () => client.answers.length === 6);
  world.finish();
  assert.equal(world.ended.length, 1);
});

test('the total time of a client ends its session with the next datagram of either side', () => {
  const world = new DatagramWorld({
    seed: 4,
    endpoints: 1,
    route: { timeouts: { connectMs: 1000, idleMs: 5000, totalMs: 6000, halfClosedMs: 1000 } },
  });
  const [asking, listening] = [world.client().ask('a'), world.client().ask('b')];
  world.until('the answers', () => asking.answers.length + listening.answers.length === 2);
  const [endpoint] = world.endpoints;
  const subscribed = endpoint!.questions.find(({ text }) => text === 'b')!;
  world.engine.runFor(3000);
  asking.ask('a');
  endpoint!.answer(subscribed.name, 'news');
  world.until('both to be served', () => asking.answers.length + listening.answers.length === 4);
  world.engine.runFor(3000);
  endpoint!.answer(subscribed.name, 'more news');
  asking.ask('a');
  world.until('the answer to a new session', () => asking.answers.length === 3);
  world.until('both ends', () => world.ended.length === 2);
  assert.deepEqual(
    world.ended.map(({ fault: id }) => id),
    [fault.streamTotal, fault.streamTotal],
  );
  world.finish();
  assert.equal(listening.answers.length, 2);
});

test('with responses: 1 a client is forgotten with the answer to each of its questions, and a second answer goes nowhere', () => {
  const world = new DatagramWorld({ seed: 5, endpoints: 1, udp: { responses: 1 } });
  world.onQuestion = (endpoint, text, name) => {
    if (!text.startsWith('hold')) endpoint.answer(name, `${text}!`);
  };
  const client = world.client().ask('hold 1').ask('hold 2');
  const [endpoint] = world.endpoints;
  world.until('both questions', () => endpoint!.questions.length === 2);
  const { name } = endpoint!.questions[0]!;
  endpoint!.answer(name, 'one');
  world.until('the first answer', () => client.answers.length === 1);
  assert.equal(world.listener.connections, 1, 'the second question is open');
  endpoint!.answer(name, 'two');
  world.until('the second answer', () => client.answers.length === 2);
  assert.equal(world.listener.connections, 0);
  endpoint!.answer(name, 'late');
  world.engine.runFor(50);
  assert.equal(client.answers.length, 2);
  client.ask('again');
  world.until('a new session', () => client.answers.length === 3);
  world.finish();
  assert.deepEqual(
    world.ended.map(({ fault }) => fault),
    [0, 0],
  );
});

test('a question that is never answered ends as idle, and speaks against nobody', () => {
  const world = new DatagramWorld({ seed: 6, endpoints: 1, udp: { responses: 1 } });
  world.onQuestion = () => {};
  world.client().ask('?');
  world.until('the question', () => world.endpoints[0]!.questions.length === 1);
  world.finish();
  assert.equal(world.ended[0]!.fault, fault.streamIdle);
  assert.equal(world.tally.slot(world.pool.endpoints[0]!.slot).faults, 0);
});

test('a refused datagram is given to another endpoint once, and the refusal is the endpoint’s', () => {
  for (let seed = 1; seed <= 20; seed++) {
    const world = new DatagramWorld({ seed, refusing: 1, endpoints: 1 });
    const clients = Array.from({ length: 8 }, (_, i) => world.client(`10.1.0.${i}`).ask(`${i}`));
    world.until('all answers', () => clients.every(({ answers }) => answers.length === 1));
    world.finish();
    const refused = world.tally.slot(world.pool.endpoints[0]!.slot);
    const retried = world.ended.filter(({ attempts }) => attempts === 2);
    assert.equal(refused.faults, retried.length);
    assert.ok(world.ended.every(({ fault, attempts }) => fault === 0 && attempts <= 2));
  }
});

test('when both endpoints refuse, that is the end: nothing goes round', () => {
  const world = new DatagramWorld({ seed: 2, refusing: 3, endpoints: 0 });
  world.client().ask('x');
  world.until('the end', () => world.ended.length === 1);
  world.finish();
  assert.deepEqual([world.ended[0]!.attempts, world.ended[0]!.fault], [2, fault.connectionRefused]);
  assert.deepEqual(world.clients[0]!.answers, []);
});

test('where nobody else can be asked the refusal is what is told', () => {
  const world = new DatagramWorld({ seed: 2, refusing: 1, endpoints: 0 });
  world.client().ask('x');
  world.until('the end', () => world.ended.length === 1);
  world.finish();
  assert.deepEqual([world.ended[0]!.attempts, world.ended[0]!.fault], [1, fault.connectionRefused]);
});

test('clients count as requests of the retry budget, and second tries take from it until it is used up', () => {
  const world = new DatagramWorld({ seed: 23, refusing: 2, endpoints: 0 });
  // A fifth of the clients of ten seconds, and not less than 30.
  for (let i = 0; i < 300; i++) world.client(`10.1.0.${i % 250}`).ask('x');
  world.until('all to end', () => world.ended.length === 300);
  const { retries, budgetExhausted } = world.tally.pool(world.pool.id);
  const second = world.ended.filter(({ attempts }) => attempts === 2).length;
  assert.equal(second, 60);
  assert.equal(retries[retryReason.connect], second);
  assert.equal(budgetExhausted, 300 - second);
  world.finish();
});

test('the circuit breaker bounds second tries that are under way, and one that is answered is none any more', () => {
  const world = new DatagramWorld({
    seed: 24,
    refusing: 1,
    endpoints: 1,
    pool: {
      balance: { ...plainPool.balance, algorithm: 'first' },
      breaker: { requestsMax: 0, pendingMax: 0, retriesMax: 1, isShadow: false },
    },
  });
  world.onQuestion = () => {};
  const clients = Array.from({ length: 40 }, (_, i) => world.client(`10.1.0.${i}`).ask('x'));
  world.engine.runFor(50);
  // Who comes after the first refusal goes to the other at once.
  const refused = world.ended.length;
  assert.ok(refused > 0 && refused < 40);
  assert.ok(world.ended.every(({ fault: id, attempts }) => id === fault.connectionRefused && attempts === 1));
  const counts = () => world.tally.pool(world.pool.id);
  assert.deepEqual([counts().retriesNow, counts().breakerOpen, counts().budgetExhausted], [1, refused, 0]);
  const [endpoint] = world.endpoints;
  for (const { name } of endpoint!.questions) endpoint!.answer(name, 'answer');
  world.until('the answers', () => clients.filter(({ answers }) => answers.length === 1).length === 40 - refused);
  assert.equal(world.listener.connections, 40 - refused, 'the sessions go on');
  assert.equal(counts().retriesNow, 0);
  world.finish();
});

test('what the circuit breaker refuses goes to no fallback; where all endpoints are full it does', () => {
  const breaker = { requestsMax: 1, pendingMax: 0, retriesMax: 0, isShadow: false };
  const refused = new DatagramWorld({ seed: 25, endpoints: 2, hasFallback: true, pool: { breaker } });
  for (let i = 0; i < 3; i++) refused.client(`10.1.0.${i}`).ask('x');
  refused.engine.runFor(50);
  assert.deepEqual(refused.rejected(), { no_endpoint: 2 });
  assert.deepEqual(refused.faults(), { [fault.queueFull]: 2 });
  assert.equal(refused.endpoints[1]!.questions.length, 0);
  refused.finish();

  const full = new DatagramWorld({ seed: 25, endpoints: 2, hasFallback: true, endpointMax: 1 });
  for (let i = 0; i < 3; i++) full.client(`10.1.0.${i}`).ask('x');
  full.engine.runFor(50);
  assert.deepEqual(
    full.endpoints.map(({ questions }) => questions.length),
    [1, 1],
  );
  assert.deepEqual(full.rejected(), { no_endpoint: 1 });
  assert.deepEqual(full.faults(), { [fault.queueFull]: 1 });
  full.finish();
});

test('a refusal after an answer ends the session; the next datagram begins another, elsewhere', () => {
  const world = new DatagramWorld({ seed: 8, endpoints: 2 });
  const client = world.client().ask('one');
  world.until('the answer', () => client.answers.length === 1);
  const first = world.endpoints.find(({ questions }) => questions.length > 0)!;
  first.stop();
  client.ask('two');
  world.until('the end', () => world.ended.length === 1);
  assert.equal(world.ended[0]!.fault, fault.connectionTerminated);
  client.ask('three');
  world.until('the answer of the other', () => client.answers.includes('three!'));
  world.finish();
});

test('at sessionsMax the one idle longest goes, or the newcomer is refused', () => {
  const oldest = new DatagramWorld({ seed: 9, udp: { sessionsMax: 10 } });
  const clients = Array.from({ length: 10 }, (_, i) => oldest.client(`10.1.0.${i}`));
  for (const client of clients) {
    client.ask('a');
    oldest.until('the answer', () => client.answers.length === 1);
  }
  clients[0]!.ask('b');
  oldest.until('the answer', () => clients[0]!.answers.length === 2);
  const late = oldest.client('10.1.0.77').ask('a');
  oldest.until('the answer', () => late.answers.length === 1);
  assert.equal(oldest.listener.connections, 10);
  assert.deepEqual(
    oldest.ended.map(({ client, fault }) => [client.split(':')[0], fault]),
    [['10.1.0.1', fault.overload]],
  );
  oldest.finish();

  const refuse = new DatagramWorld({ seed: 9, udp: { sessionsMax: 10, whenFull: 'refuse' } });
  for (let i = 0; i < 14; i++) refuse.client(`10.1.0.${i}`).ask('a');
  refuse.until('all to be seen', () => refuse.clients.filter(({ answers }) => answers.length === 1).length === 10);
  refuse.engine.runFor(20);
  assert.deepEqual(refuse.rejected(), { limit: 4 });
  refuse.finish();
});

test('one address has sessionsPerIpMax sessions, others are not touched', () => {
  const world = new DatagramWorld({ seed: 10, udp: { sessionsPerIpMax: 3 } });
  for (let i = 0; i < 8; i++) world.client('10.1.0.1').ask('a');
  const other = world.client('10.1.0.2').ask('a');
  world.engine.runFor(50);
  assert.deepEqual(world.rejected(), { limit_per_ip: 5 });
  assert.equal(other.answers.length, 1);
  assert.equal(world.listener.connections, 4);
  world.finish();
  // Their room is free again.
  const again = world.ended.length;
  assert.equal(again, 4);
});

test('a flood of addresses leaves memory and descriptors bounded, and is counted', () => {
  const world = new DatagramWorld({ seed: 11, sessionsMax: 50, udp: { responses: 1 } });
  world.onQuestion = () => {};
  const prng = new Prng(1);
  let descriptorsMost = 0;
  for (let i = 0; i < 3000; i++) {
    const client = world.client(`10.${prng.below(250)}.${prng.below(250)}.${prng.below(250)}`).ask('x');
    if (i % 20 === 0) world.engine.runFor(3);
    descriptorsMost = Math.max(descriptorsMost, world.engine.sockets - world.clients.length);
    assert.equal(client.answers.length, 0);
  }
  world.engine.runFor(10);
  // The sessions, the front and the endpoints.
  assert.ok(descriptorsMost <= 50 + 1 + 3, `${descriptorsMost} sockets`);
  assert.equal(world.listener.connections, 50);
  world.finish();
  assert.equal(world.ended.filter(({ fault: id }) => id === fault.overload).length, 3000 - 50);
});

test('hashing policies place a client by its address, whatever its port', () => {
  for (const algorithm of ['source', 'maglev'] as const) {
    const world = new DatagramWorld({
      seed: 12,
      endpoints: 5,
      pool: { balance: { ...plainPool.balance, algorithm } },
    });
    const by = new Map<string, Set<UdpEndpoint>>();
    world.onQuestion = (endpoint, text) => void (by.get(text) ?? by.set(text, new Set()).get(text)!).add(endpoint);
    for (let i = 0; i < 200; i++) world.client(`10.1.0.${i % 20}`).ask(`10.1.0.${i % 20}`);
    world.engine.runFor(50);
    assert.equal(by.size, 20);
    for (const endpoints of by.values()) assert.equal(endpoints.size, 1, algorithm);
    assert.ok(new Set([...by.values()].flatMap((each) => [...each])).size >= 3, 'and spreads them');
    world.finish();
  }
});

test('without an endpoint a datagram is dropped and counted', () => {
  const world = new DatagramWorld({ seed: 13, endpoints: 1 });
  const { slot } = world.pool.endpoints[0]!;
  world.control.setHealth(slot, health.down);
  const client = world.client().ask('a');
  world.engine.runFor(20);
  assert.deepEqual(world.rejected(), { no_endpoint: 1 });
  assert.equal(world.listener.connections, 0);
  world.control.setHealth(slot, health.up);
  client.ask('b');
  world.until('the answer', () => client.answers.length === 1);
  world.finish();
});

test('where no endpoint can be, the fallback pool is asked', () => {
  const world = new DatagramWorld({ seed: 21, endpoints: 3, hasFallback: true });
  for (const { slot } of world.pool.endpoints) world.control.setHealth(slot, health.down);
  const client = world.client().ask('a');
  world.until('the answer', () => client.answers.length === 1);
  assert.equal(world.endpoints[2]!.questions.length, 1);
  world.finish();
});

test('a client of an endpoint that went down silently goes to another with its next datagram', () => {
  const world = new DatagramWorld({ seed: 14, endpoints: 2 });
  const client = world.client().ask('a');
  world.until('the answer', () => client.answers.length === 1);
  const first = world.endpoints.findIndex(({ questions }) => questions.length > 0);
  const dead = world.endpoints[first]!;
  world.onQuestion = (endpoint, text, name) => {
    if (endpoint !== dead) endpoint.answer(name, `${text}!`);
  };
  world.control.setHealth(world.pool.endpoints[first]!.slot, health.down);
  world.engine.runFor(1500);
  client.ask('b');
  world.until('the answer of the other', () => client.answers.includes('b!'));
  world.finish();
});

test('in a drain those who are here are served, newcomers are not, and cut() ends it', () => {
  const world = new DatagramWorld({ seed: 15 });
  const client = world.client().ask('a');
  world.until('the answer', () => client.answers.length === 1);
  world.listener.stop(false);
  client.ask('b');
  const late = world.client('10.1.0.9').ask('a');
  world.until('the answer', () => client.answers.length === 2);
  world.engine.runFor(20);
  assert.deepEqual(late.answers, []);
  assert.deepEqual(world.rejected(), { drain: 1 });
  assert.equal(world.listener.cut(), 1);
  world.finish();
  assert.equal(world.ended[0]!.fault, fault.draining);
});

test('when the drain of an endpoint is over its deadline its clients are forgotten, and ask another one with their next datagram', () => {
  const world = new DatagramWorld({ seed: 36, endpoints: 2 });
  const clients = Array.from({ length: 12 }, () => world.client().ask('a'));
  world.until('all answers', () => clients.every((client) => client.answers.length === 1));
  const [first, second] = world.endpoints;
  const { slot } = world.plan.pools[0]!.endpoints[0]!;
  const its = first!.questions.length;
  assert.ok(its > 0 && its < 12);
  world.control.setAdmin(slot, admin.drain);
  world.engine.runFor(1000);
  assert.equal(world.listener.connections, 12);
  world.control.setCut(slot, true);
  world.until('its clients to be forgotten', () => world.listener.connections === 12 - its);
  assert.deepEqual(
    world.ended.map((each) => each.fault),
    new Array(its).fill(fault.draining),
  );
  for (const client of clients) client.ask('b');
  world.until('all answers', () => clients.every((client) => client.answers.length === 2));
  assert.deepEqual([first!.questions.length, second!.questions.length], [its, 24 - its]);
  world.finish();
});

test('with a successor on its sockets nothing is received, and answers still leave', () => {
  const world = new DatagramWorld({ seed: 16, endpoints: 1 });
  let name: Int32Array | null = null;
  world.onQuestion = (_endpoint, _text, from) => void (name = from);
  const client = world.client().ask('a');
  world.until('the question', () => name !== null);
  world.listener.stop(true);
  client.ask('b');
  world.endpoints[0]!.answer(name!, 'answer');
  world.until('the answer', () => client.answers.length === 1);
  assert.equal(world.endpoints[0]!.questions.length, 1);
  world.finish();
});

test('a reload keeps sessions, and what is new is for the next ones', () => {
  const world = new DatagramWorld({ seed: 17, endpoints: 2 });
  const client = world.client().ask('a');
  world.until('the answer', () => client.answers.length === 1);
  const kept = world.endpoints.find(({ questions }) => questions.length > 0)!;
  const [listener] = world.plan.listeners;
  const endpoints = world.pool.endpoints.filter(({ address }) => address !== kept.address);
  world.force({
    ...world.plan,
    listeners: [{ ...listener!, udp: { ...listener!.udp!, idleMs: 1000 } }],
    pools: [{ ...world.pool, endpoints }],
  });
  client.ask('b');
  const next = world.client('10.1.0.9').ask('c');
  world.until('both answers', () => client.answers.length === 2 && next.answers.length === 1);
  assert.equal(kept.questions.length, 2, 'the session stays with the endpoint that left');
  assert.equal(world.ended.length, 0);
  world.finish();
  assert.equal(world.ended.length, 2);
});

test('an endpoint that cannot be connected to is like one that refuses', () => {
  for (let nth = 1; nth <= 3; nth++) {
    const world = new DatagramWorld({ seed: 18, endpoints: 2 });
    world.engine.faults.datagramIn = nth + 3;
    const clients = Array.from({ length: 3 }, (_, i) => world.client(`10.1.0.${i}`));
    for (const client of clients) client.ask('x');
    world.until('all answers', () => clients.every(({ answers }) => answers.length === 1));
    world.finish();
    assert.equal(world.ended.filter(({ attempts }) => attempts === 2).length, 1, `connect ${nth}`);
  }
});

test('lost datagrams leave nothing behind', () => {
  for (let seed = 1; seed <= 10; seed++) {
    const world = new DatagramWorld({ seed, refusing: 1, udp: { responses: 1 } });
    world.engine.faults.lossPercent = 30;
    for (let i = 0; i < 100; i++) world.client(`10.1.0.${i}`).ask('x').ask('y');
    world.engine.runFor(100);
    world.finish();
  }
});

test('the same client at another address of this machine is another client', () => {
  const world = new DatagramWorld({ seed: 19, endpoints: 1 });
  const second = world.engine.bindAt({ kind: 'ip', host: '10.0.0.2', port: 53 });
  world.listener.serve([{ fd: second }]);
  const client = world.client().ask('a');
  world.until('the answer', () => client.answers.length === 1);
  // The second socket goes, with its clients; the first one's stay.
  world.listener.leave(new Set([second]));
  client.ask('b');
  world.until('the answer', () => client.answers.length === 2);
  world.finish();
  assert.equal(world.ended.length, 1);
});

test('a transparent pool is asked from the address of the client, by a client of the other family from that of this machine', () => {
  for (const [host, seen] of [
    ['10.0.1.1', '10.1.0.1'],
    ['fd00::1', '127.0.0.1'],
  ] as const) {
    const world = new DatagramWorld({
      seed: 22,
      endpoints: 1,
      host,
      pool: { sourceAddress: { isTransparent: true, addresses: [] } },
    });
    const address = new ClientAddress();
    world.onQuestion = (endpoint, text, name) => {
      readName(name, 0, address);
      endpoint.answer(name, `${text} of ${address.text}`);
    };
    const client = world.client('10.1.0.1').ask('q');
    world.until('the answer', () => client.answers.length === 1);
    assert.deepEqual(client.answers, [`q of ${seen}`]);
    world.finish();
  }
});
