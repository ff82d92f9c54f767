/**
 * Harm prevented: a byte of a connection that is lost, changed or given to another, an end that is not passed on, a cut stream that looks whole, a wire or a
 * block that is never given back. Each seed is another order of events.
 */
import assert from 'node:assert/strict';
import { constants } from 'node:os';
import { test } from 'node:test';
import { ClientAddress } from '../../src/base/client-address.ts';
import { fault } from '../../src/base/faults.ts';
import { Prng } from '../../src/base/prng.ts';
import { closeHow } from '../../src/base/wire.ts';
import { type Peer, peerOf } from '../../src/io/memory.ts';
import { ProxyLineReader, writeProxyLine } from '../../src/protocol/proxy-line/proxy-line.ts';
import { admin, health, rejection } from '../../src/state/doors.ts';
import { connectResultNames } from '../../src/state/tally.ts';
import { StreamWorld, streamRoute } from './stream-world.ts';

function body(prng: Prng, size: number): Buffer {
  return Buffer.from(Array.from({ length: size }, () => prng.below(256)));
}

/** Sends back what comes, and ends when the other side does. */
function echo(peer: Peer): void {
  let sent = 0;
  peer.onEvent = (name) => {
    if (name === 'bytes') {
      const all = peer.bytes();
      peer.send(all.subarray(sent));
      sent = all.length;
    } else if (name === 'recvEnd') peer.end();
  };
}

test('bytes arrive exactly, both ways, and each end is passed on', () => {
  for (let seed = 1; seed <= 15; seed++) {
    const world = new StreamWorld({ seed, splitting: seed % 5 === 0 ? 'single' : 'random' });
    world.onServed = echo;
    const prng = new Prng(seed);
    const sent: Buffer[] = [];
    const clients: Peer[] = [];
    for (let i = 0; i < 12; i++) {
      const bytes = body(prng, prng.below(seed % 5 === 0 ? 300 : 60_000));
      sent.push(bytes);
      clients.push(world.dial().send(bytes).end());
    }
    world.finish();
    clients.forEach((client, i) => {
      assert.deepEqual(client.bytes(), sent[i], `seed ${seed}, client ${i}`);
      assert.equal(client.closedErrno, 0);
      assert.ok(client.hasEnded);
    });
    assert.equal(world.ended.length, 12);
    assert.ok(world.ended.every(({ fault }) => fault === 0));
    assert.equal(
      world.ended.reduce((sum, { bytesOut }) => sum + bytesOut, 0),
      sent.reduce((sum, { length }) => sum + length, 0),
    );
  }
});

test('a server that speaks first is heard before the client says anything', () => {
  const world = new StreamWorld({ seed: 3 });
  world.onServed = (peer) => peer.send('220 ready\r\n');
  const client = world.dial();
  world.until('the greeting', () => client.text() === '220 ready\r\n');
  client.end();
  world.until('the end at the server', () => world.reached[0]!.hasEnded);
  world.reached[0]!.end();
  world.finish();
});

test('one direction ends, the other goes on', () => {
  const world = new StreamWorld({ seed: 4 });
  const client = world.dial().send('question').end();
  world.until('the question and its end', () => world.reached[0]?.text() === 'question' && world.reached[0]!.hasEnded);
  const server = world.reached[0]!;
  server.send('a long ');
  world.until('the first half', () => client.text() === 'a long ');
  server.send('answer').end();
  world.finish();
  assert.equal(client.text(), 'a long answer');
  assert.equal(client.closedErrno, 0);
});

for (const side of ['client', 'server'] as const)
  test(`a reset of the ${side} reaches the other side as a reset`, () => {
    const world = new StreamWorld({ seed: 5 });
    const client = world.dial().send('hello');
    world.until('the bytes', () => world.reached[0]?.text() === 'hello');
    const server = world.reached[0]!;
    server.send('half of an ans');
    world.until('the answer', () => client.text() !== '');
    const [from, to] = side === 'client' ? [client, server] : [server, client];
    from.close(closeHow.reset);
    world.finish();
    assert.ok(to.closedErrno > 0, 'not a clean end');
    assert.equal(world.ended[0]!.fault, side === 'client' ? fault.clientAborted : fault.responseIncomplete);
  });

test('an endpoint that refuses or does not answer is passed over, with what the client has sent already', () => {
  for (const options of [{ refusing: 1 }, { deaf: 1 }]) {
    const world = new StreamWorld({ seed: 6, endpoints: 1, ...options, pool: { balance: first } });
    world.onServed = echo;
    const clients = Array.from({ length: 5 }, (_, i) => world.dial().send(`hello ${i}`).end());
    world.finish();
    assert.deepEqual(
      clients.map((client) => client.text()),
      [0, 1, 2, 3, 4].map((i) => `hello ${i}`),
    );
    assert.equal(Math.max(...world.ended.map(({ attempts }) => attempts)), 2);
  }
});

test('when nobody takes it the client is reset, and the reason is counted', () => {
  const world = new StreamWorld({ seed: 7, endpoints: 0, refusing: 2 });
  const client = world.dial().send('hello');
  world.finish();
  assert.ok(client.closedErrno > 0);
  assert.equal(world.ended[0]!.fault, fault.connectionRefused);
  const down = new StreamWorld({ seed: 8 });
  for (const { slot } of down.plan.pools[0]!.endpoints) down.control.setHealth(slot, health.down);
  down.dial();
  down.finish();
  assert.equal(down.ended[0]!.fault, fault.destinationUnavailable);
});

test('retries are a share of the connections, and what is beyond it is refused and counted', () => {
  const world = new StreamWorld({ seed: 10, endpoints: 0, refusing: 2 });
  for (let i = 0; i < 400; i++) world.dial();
  world.finish();
  const { retries, budgetExhausted } = world.tally.pool(world.plan.pools[0]!.id);
  const count = retries.reduce((sum, one) => sum + one, 0);
  // A fifth of the connections is more than the floor of a quiet pool, which is 30.
  assert.ok(count > 30 && count <= 80, `${count} retries`);
  assert.equal(budgetExhausted, 400 - count);
});

test('a source address without a port for the endpoint is passed over at once, and takes no try', () => {
  const world = new StreamWorld({
    seed: 11,
    endpoints: 1,
    pool: { sourceAddress: { addresses: ['10.0.9.1', '10.0.9.2', '10.0.9.3'], isTransparent: false } },
    route: { attempts: 1 },
  });
  world.onServed = echo;
  world.engine.faults.dialErrno = constants.errno.EADDRNOTAVAIL;
  const sources = (): string[] => world.reached.map(({ wire }) => peerOf(wire!).split(':')[0]!);
  const client = world.dial().send('hello');
  // The client's own dial is under way; the next is the one to the endpoint.
  world.engine.faults.dialIn = 1;
  world.until('the answer', () => client.text() === 'hello');
  const [used] = sources();
  const others = Array.from({ length: 6 }, () => world.dial().send('hello'));
  world.until('the answers', () => others.every((each) => each.text() === 'hello'));
  // The one that had no port is not tried again so soon.
  assert.equal(new Set(sources()).size, 2);
  assert.ok(new Set(sources()).has(used!));
  for (const each of [client, ...others]) each.end();
  world.finish();
  const [endpoint] = world.plan.pools[0]!.endpoints;
  assert.equal(world.tally.slot(endpoint!.slot).connects[connectResultNames.indexOf('failed')], 1);
  assert.deepEqual(new Set(world.ended.map(({ fault: id, attempts }) => `${id} ${attempts}`)), new Set(['0 1']));
});

test('with one source address, or when none has a port, the fault says so and another endpoint is tried', () => {
  const world = new StreamWorld({ seed: 12, endpoints: 2, pool: { balance: first } });
  world.onServed = echo;
  world.engine.faults.dialErrno = constants.errno.EADDRNOTAVAIL;
  const client = world.dial().send('hello').end();
  world.engine.faults.dialIn = 1;
  world.until('the end', () => client.closedCount > 0);
  assert.equal(client.text(), 'hello');
  assert.equal(world.ended[0]!.attempts, 2);
  world.finish();
  const alone = new StreamWorld({ seed: 13, endpoints: 1, route: { attempts: 1 } });
  alone.engine.faults.dialErrno = constants.errno.EADDRNOTAVAIL;
  const refused = alone.dial();
  alone.engine.faults.dialIn = 1;
  alone.finish();
  assert.ok(refused.closedErrno > 0);
  assert.equal(alone.ended[0]!.fault, fault.outOfPorts);
});

test('without an address to connect from the endpoint cannot be reached: the failure is its own, and another one is tried', () => {
  const world = new StreamWorld({ seed: 14, endpoints: 2, pool: { balance: first } });
  world.onServed = echo;
  world.engine.faults.dialErrno = constants.errno.EADDRNOTAVAIL;
  world.engine.faults.hasSource = false;
  const client = world.dial().send('hello').end();
  world.engine.faults.dialIn = 1;
  world.until('the end', () => client.closedCount > 0);
  assert.equal(client.text(), 'hello');
  world.finish();
  const [endpoint] = world.plan.pools[0]!.endpoints;
  const { connects, faults: failures } = world.tally.slot(endpoint!.slot);
  assert.equal(connects[connectResultNames.indexOf('unroutable')], 1);
  assert.equal(failures, 1);
});

test('a side that does not read slows the other down and holds no more than the limit', () => {
  const world = new StreamWorld({ seed: 9 });
  const bytes = body(new Prng(9), 1_500_000);
  world.onServed = (peer) => peer.pause();
  const client = world.dial().send(bytes).end();
  world.engine.runFor(3000);
  const server = world.reached[0]!;
  const held = bytes.length - client.unsent;
  assert.ok(held < 64 * 1024 + 200_000, `${held} bytes have left the client`);
  server.resume();
  echo(server);
  world.finish();
  assert.deepEqual(server.bytes(), bytes);
});

test('an idle connection ends after its time, and nobody is to blame', () => {
  const world = new StreamWorld({
    seed: 10,
    route: { timeouts: { connectMs: 1000, idleMs: 5000, totalMs: 0, halfClosedMs: 1000 } },
  });
  world.onServed = echo;
  const client = world.dial().send('x');
  world.until('the echo', () => client.text() === 'x');
  world.engine.runFor(4000);
  client.send('y');
  world.engine.runFor(4000);
  assert.equal(client.closedErrno, -1, 'a byte counts');
  world.finish();
  assert.equal(world.ended[0]!.fault, fault.streamIdle);
  assert.equal(world.tally.slot(world.plan.pools[0]!.endpoints[0]!.slot).faults, 0);
});

test('a connection that lasts longer than it may is ended, however busy', () => {
  const world = new StreamWorld({
    seed: 11,
    route: { timeouts: { connectMs: 1000, idleMs: 5000, totalMs: 3000, halfClosedMs: 1000 } },
  });
  world.onServed = echo;
  const client = world.dial();
  for (let i = 0; i < 10 && client.closedErrno < 0; i++) {
    if (client.wire !== null) client.send('x');
    world.engine.runFor(500);
  }
  world.finish();
  assert.equal(world.ended[0]!.fault, fault.streamTotal);
});

test('its time is over while an endpoint is dialled: no other one is asked, and none is blamed', () => {
  const timeouts = { connectMs: 5000, idleMs: 60_000, totalMs: 1000, halfClosedMs: 30_000 };
  const world = new StreamWorld({ seed: 37, endpoints: 1, deaf: 1, pool: { balance: first }, route: { timeouts } });
  const client = world.dial();
  world.until('the end', () => client.closedCount > 0);
  assert.ok(world.engine.now >= 1000 && world.engine.now < 1100, String(world.engine.now));
  world.finish();
  assert.deepEqual([world.ended[0]!.fault, world.ended[0]!.attempts], [fault.streamTotal, 1]);
  const { slot } = world.plan.pools[0]!.endpoints[0]!;
  assert.equal(world.tally.slot(slot).faults, 0);
});

test('with all endpoints full it waits for a place, and is refused when the queue is full or its time is over', () => {
  const world = new StreamWorld({ seed: 12, endpoints: 1, requestsMax: 1 });
  world.onServed = echo;
  const holder = world.dial().send('x');
  world.until('the first to be served', () => holder.text() === 'x');
  const waiting = Array.from({ length: 5 }, () => world.dial().send('w'));
  world.until('four to wait', () => world.table.poolQueued(world.plan.pools[0]!.id) === 4);
  holder.end();
  world.until('the next to be served', () => waiting.some((client) => client.text() === 'w'));
  world.engine.runFor(2000);
  for (const client of waiting) if (client.wire !== null) client.end();
  world.finish();
  const faults = world.ended.map((each) => each.fault).sort((a, b) => a - b);
  assert.deepEqual(
    faults,
    [0, 0, fault.queueFull, fault.queueTimeout, fault.queueTimeout, fault.queueTimeout].sort((a, b) => a - b),
  );
});

test('no more retries under way than the circuit breaker allows, and one is over when an endpoint has taken the connection', () => {
  const breaker = { requestsMax: 0, pendingMax: 0, retriesMax: 1, isShadow: false };
  const crowd = new StreamWorld({ seed: 31, endpoints: 0, refusing: 1, deaf: 1, pool: { balance: first, breaker } });
  crowd.dial();
  crowd.dial();
  crowd.finish();
  const faults = crowd.ended.map((each) => each.fault);
  assert.deepEqual(
    faults,
    [fault.connectionRefused, fault.connectionTimeout],
    'the second may not be tried again while the first is',
  );
  const world = new StreamWorld({ seed: 32, endpoints: 1, refusing: 1, pool: { balance: first, breaker } });
  world.onServed = echo;
  const clients: Peer[] = [];
  for (let i = 0; i < 3; i++) {
    const client = world.dial().send('x');
    clients.push(client);
    world.until('an answer', () => client.text() === 'x');
    assert.equal(world.table.poolRetries(world.plan.pools[0]!.id), 0, 'open connections are no retries');
    // The endpoint that refused is asked first again.
    world.engine.runFor(1500);
  }
  for (const client of clients) client.end();
  world.finish();
  assert.deepEqual(
    world.ended.map(({ attempts }) => attempts),
    [2, 2, 2],
  );
});

test('whom the circuit breaker lets not wait is refused, not sent to the fallback', () => {
  const breaker = { requestsMax: 0, pendingMax: 1, retriesMax: 0, isShadow: false };
  const world = new StreamWorld({ seed: 33, endpoints: 1, requestsMax: 1, pool: { breaker, fallback: 0 } });
  world.onServed = echo;
  const holder = world.dial().send('x');
  world.until('the first to be served', () => holder.text() === 'x');
  world.dial().end();
  world.until('one to wait', () => world.table.poolQueued(world.plan.pools[0]!.id) === 1);
  const refused = world.dial();
  world.until('the next to be refused', () => refused.closedErrno > 0);
  holder.end();
  world.finish();
  assert.deepEqual(
    world.ended.map((each) => each.fault),
    [fault.queueFull, 0, 0],
  );
  const { fallback, breakerOpen } = world.tally.pool(world.plan.pools[0]!.id);
  assert.deepEqual([fallback, breakerOpen], [0, 1]);
});

test('when the drain of an endpoint is over its deadline its connections are reset on both sides, and no others', () => {
  const world = new StreamWorld({ seed: 34, endpoints: 2 });
  world.onServed = echo;
  const clients = Array.from({ length: 8 }, () => world.dial().send('x'));
  world.until('all to be served', () => clients.every((client) => client.text() === 'x'));
  const { slot, address } = world.plan.pools[0]!.endpoints[0]!;
  const its = world.served.get(address)!;
  assert.ok(its.length > 0 && its.length < 8);
  world.control.setAdmin(slot, admin.drain);
  world.engine.runFor(1000);
  assert.equal(world.ended.length, 0, 'a drain alone ends nothing');
  world.control.setCut(slot, true);
  world.until('its connections to end', () => world.ended.length === its.length);
  assert.ok(world.ended.every((each) => each.fault === fault.draining && each.endpoint === address));
  world.until('both sides to be told', () => its.every((peer) => peer.closedErrno === constants.errno.ECONNRESET));
  const closed = () => clients.filter((client) => client.closedCount > 0);
  world.until('its clients to be told', () => closed().length >= its.length);
  const cut = closed();
  assert.ok(cut.every((client) => client.closedErrno === constants.errno.ECONNRESET));
  const other = world.dial().send('later');
  world.until('one that comes later to be served elsewhere', () => other.text() === 'later');
  for (const client of [...clients, other]) if (client.closedCount === 0) client.end();
  world.finish();
  assert.equal(its.length, cut.length);
  assert.ok(world.ended.slice(its.length).every((each) => each.fault === 0));
});

test('who is not connected yet when the endpoint is cut goes to another one, and that is no retry', () => {
  const world = new StreamWorld({ seed: 35, endpoints: 1, deaf: 1, pool: { balance: first } });
  world.onServed = echo;
  const client = world.dial().send('x');
  const { slot } = world.plan.pools[0]!.endpoints[0]!;
  world.until('the first to be dialled', () => world.table.inFlight(slot) === 1);
  world.control.setAdmin(slot, admin.drain);
  world.control.setCut(slot, true);
  world.until('an answer', () => client.text() === 'x');
  assert.ok(world.engine.now < 900, 'before the connect was over its time');
  client.end();
  world.finish();
  assert.equal(world.ended[0]!.fault, 0);
  assert.equal(world.tally.pool(world.plan.pools[0]!.id).retries[0], 0);
});

test('a client that leaves while its endpoint is dialled, or while it waits, leaves nothing behind', () => {
  const world = new StreamWorld({ seed: 13, endpoints: 0, deaf: 1 });
  const client = world.dial().send('hello');
  world.engine.runFor(100);
  client.close(closeHow.reset);
  world.finish();
  assert.equal(world.ended[0]!.fault, fault.clientAborted);
  const queue = new StreamWorld({ seed: 14, endpoints: 1, requestsMax: 1 });
  const holder = queue.dial().send('x');
  queue.until('the first', () => queue.reached.length === 1);
  const waiting = queue.dial();
  queue.until('the second to wait', () => queue.table.poolQueued(queue.plan.pools[0]!.id) === 1);
  waiting.close(closeHow.reset);
  queue.until('the queue to be empty', () => queue.table.poolQueued(queue.plan.pools[0]!.id) === 0);
  holder.close(closeHow.reset);
  queue.finish();
});

test('the endpoint is told of the client by a PROXY line, whoever speaks first', () => {
  for (const version of [1, 2] as const) {
    const world = new StreamWorld({ seed: 15, pool: { proxyProtocol: version } });
    world.dial('10.9.8.7').send('hello');
    world.until('the line and the bytes', () => world.reached[0]?.text().endsWith('hello') === true);
    const bytes = world.reached[0]!.bytes();
    const [client, server] = [new ClientAddress(), new ClientAddress()];
    const length = new ProxyLineReader().read(bytes, 0, bytes.length, client, server);
    assert.equal(length, bytes.length - 5);
    assert.deepEqual([client.text, server.text, server.port], ['10.9.8.7', '10.0.0.1', 443]);
    world.reached[0]!.close(closeHow.reset);
    world.finish();
  }
});

const trusted = { isRequired: true, from: [{ bytes: [10, 7, 0, 0], bits: 16 }] };

function line(version: number): Buffer {
  const [client, server] = [new ClientAddress(), new ClientAddress()];
  client.set('192.0.2.44:5555');
  server.set('198.51.100.1:443');
  const bytes = Buffer.alloc(600);
  return bytes.subarray(
    0,
    writeProxyLine(bytes, 0, version, client, server, { authority: 'a.example', alpn: '', isSecure: false }),
  );
}

test('a PROXY line of a trusted peer names the client; the endpoint sees what is behind it', () => {
  for (const version of [1, 2] as const) {
    for (let seed = 1; seed <= 6; seed++) {
      const splitting = seed === 1 ? 'single' : 'random';
      const world = new StreamWorld({ seed, splitting, listener: { proxyProtocol: trusted }, pool: { proxyProtocol: 2 } });
      world.dial('10.7.1.1').send(Buffer.concat([line(version), Buffer.from('hello')]));
      world.until('the bytes', () => world.reached[0]?.text().endsWith('hello') === true);
      const bytes = world.reached[0]!.bytes();
      const [client, server] = [new ClientAddress(), new ClientAddress()];
      const reader = new ProxyLineReader();
      assert.equal(reader.read(bytes, 0, bytes.length, client, server), bytes.length - 5);
      assert.deepEqual([client.text, client.port, server.text], ['192.0.2.44', 5555, '198.51.100.1']);
      assert.equal(reader.authority, version === 2 ? 'a.example' : '');
      world.reached[0]!.close(closeHow.reset);
      world.finish();
    }
  }
});

test('each client that a PROXY line names is counted by itself, however many there are, and whoever names them is not', () => {
  const limits = { connectionsPerIpMax: 3 };
  const world = new StreamWorld({ seed: 18, splitting: 'whole', endpoints: 8, listener: { proxyProtocol: trusted }, limits });
  // More than AddressCounts has places for at first.
  const named = (i: number) => Buffer.from(`PROXY TCP4 192.0.${i >> 8}.${i & 255} 198.51.100.1 1 2\r\nhello`);
  const clients = Array.from({ length: 600 }, (_, i) => world.dial('10.7.1.1').send(named(i)));
  world.until('all to be carried', () => world.reached.filter((end) => end.text() === 'hello').length === 600);
  assert.equal(world.listener.addresses.count, 600);
  // Of the first client three are carried, of the others all are.
  for (let i = 0; i < 5; i++) clients.push(world.dial('10.7.1.1').send(named(0)));
  world.until('the limit', () => clients.filter(({ closedCount }) => closedCount > 0).length === 3);
  assert.equal(world.tally.listener(0).rejected[rejection.perIp], 3);
  for (const client of clients) if (client.closedCount === 0) client.close(closeHow.reset);
  world.finish();
});

test('a required PROXY line that is malformed, missing, late or of somebody else ends the connection, and no endpoint hears of it', () => {
  for (const [from, bytes] of [
    ['10.7.1.1', 'PROXY TCP4 1.2.3.4 5.6.7.8 1\r\n'],
    ['10.7.1.1', 'GET / HTTP/1.1\r\n\r\n'],
    ['10.7.1.1', 'PROXY TCP4 1.2.3'],
    ['10.8.1.1', line(1)],
  ] as const) {
    const world = new StreamWorld({ seed: 16, listener: { proxyProtocol: trusted } });
    const client = world.dial(from).send(bytes);
    world.finish();
    assert.ok(client.closedErrno > 0 || client.hasEnded, String(bytes));
    assert.equal(world.reached.length, 0);
    assert.equal(world.tally.listener(0).rejected[4], 1, 'counted as proxy_line');
  }
});

test('an optional PROXY line is read of trusted peers and left alone of others', () => {
  const optional = { ...trusted, isRequired: false };
  for (const [from, sends, arrives] of [
    ['10.7.1.1', Buffer.concat([line(1), Buffer.from('hi')]), 'hi'],
    ['10.7.1.1', Buffer.from('hi'), 'hi'],
    ['10.8.1.1', Buffer.concat([line(1), Buffer.from('hi')]), `${line(1)}hi`],
  ] as const) {
    const world = new StreamWorld({ seed: 17, listener: { proxyProtocol: optional } });
    const client = world.dial(from).send(sends);
    world.until('the bytes', () => world.reached[0]?.text() === arrives);
    client.close(closeHow.reset);
    world.finish();
  }
});

test('connections refused before their first bytes were looked at make no room for others', () => {
  const world = new StreamWorld({ seed: 14, listener: { protocol: 'auto' } });
  world.clients.countMax = 5;
  const clients = Array.from({ length: 30 }, () => world.dial());
  world.until('most to be refused', () => clients.filter(({ closedCount }) => closedCount > 0).length === 25);
  assert.equal(world.clients.count, 5);
  const [listener] = world.plan.listeners;
  assert.equal(world.tally.listener(listener!.id).rejected[rejection.overload], 25);
  for (const client of clients) if (client.closedCount === 0) client.end();
  world.finish();
});

test('a client that says nothing where first bytes are looked for goes to the stream that matches all', () => {
  const named = streamRoute('named', 0, {
    match: { serverName: { value: 'db.example', wildcard: false }, alpn: null, clients: null },
  });
  const world = new StreamWorld({ seed: 18, streams: [named], listener: { sniffMs: 300 } });
  world.onServed = (peer) => peer.send('220 ready');
  const client = world.dial();
  world.until('the greeting', () => client.text() === '220 ready');
  client.close(closeHow.reset);
  world.finish();
});

test('connections that break at any moment leave nothing behind', () => {
  for (let seed = 100; seed < 140; seed++) {
    const world = new StreamWorld({ seed, requestsMax: seed % 3 === 0 ? 2 : 0, refusing: seed % 2 });
    world.onServed = echo;
    const prng = new Prng(seed);
    for (let i = 0; i < 15; i++) {
      const client = world.dial().send(body(prng, prng.below(40_000)));
      const moment = prng.below(400);
      world.engine.setTimer(moment, { onTimer: () => void (prng.chance(50) ? client.close(closeHow.reset) : client.end()) }, 0);
      if (prng.chance(30)) world.engine.faults.resetInBytes = prng.between(1, 20_000);
      if (prng.chance(30)) world.engine.faults.dialIn = prng.between(1, 5);
      if (prng.chance(20)) world.engine.faults.sendIn = prng.between(1, 20);
    }
    world.engine.runFor(1000);
    world.engine.faults.resetInBytes = world.engine.faults.dialIn = world.engine.faults.sendIn = 0;
    world.finish();
    // A client whose own dial was struck was never here.
    assert.ok(world.ended.length > 5 && world.ended.length <= 15, `seed ${seed}`);
  }
});

const first = { ...streamBalance(), algorithm: 'first' as const };
function streamBalance() {
  return { hashOn: { kind: 'client' as const, name: '', v4Bits: 32, v6Bits: 128 }, boundedLoad: 0, zone: null, subset: 0 };
}
