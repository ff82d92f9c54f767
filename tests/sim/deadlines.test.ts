/**
 * Harm prevented: clients and endpoints that are slow on purpose hold connections, blocks and requests for ever. Virtual time, so hours pass in a moment.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Peer } from '../../src/io/memory.ts';
import { World, type WorldOptions } from './world.ts';

function world(options: Partial<WorldOptions> = {}): World {
  return new World({ seed: 5, ...options });
}

/** A world whose endpoints do nothing but hold what they get; returns their ends. */
function withDeafEndpoints(options: Partial<WorldOptions> = {}): { w: World; ends: Peer[] } {
  const w = world(options);
  const ends: Peer[] = [];
  w.endpointTaker.take = (wire) => ends.push(new Peer(w.engine).take(wire));
  return { w, ends };
}

const GET = 'GET / HTTP/1.1\r\nHost: a\r\n\r\n';

test('a connection that never says a word is closed at the header deadline', () => {
  const w = world();
  const client = w.peer();
  w.engine.runUntil(() => client.closedCount === 1 || client.hasEnded, 11_000);
  assert.ok(w.engine.now >= 10_000, `closed after ${w.engine.now} ms`);
  assert.equal(client.text(), '');
});

test('one byte every 500 ms does not hold a head open: 408 ten seconds after its first byte', () => {
  const w = world();
  const client = w.peer();
  w.engine.runUntil(() => client.isOpen, 100);
  const started = w.engine.now;
  for (const byte of 'GET / HTTP/1.1\r\nHost: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa') {
    if (client.hasEnded) break;
    client.send(byte);
    w.engine.runFor(500);
  }
  assert.match(client.text(), /^HTTP\/1\.1 408 /);
  assert.ok(client.hasEnded, 'the connection ends with the answer');
  assert.ok(w.engine.now - started < 12_500, `took ${w.engine.now - started} ms`);
});

test('an idle connection is closed after the idle timeout, and one that asks again is not', () => {
  const w = world();
  const client = w.peer().send(GET);
  w.engine.runUntil(() => client.text().includes('200 OK'), 1000);
  w.engine.runFor(55_000);
  assert.equal(client.hasEnded, false);
  client.clear().send(GET);
  w.engine.runFor(1000);
  assert.match(client.text(), /200 OK/);
  w.engine.runFor(58_000);
  assert.equal(client.hasEnded, false, 'the clock began anew');
  w.engine.runFor(3000);
  assert.equal(client.hasEnded, true);
});

test('a body below the minimum rate is a 408, and the endpoint is let go', () => {
  const { w, ends } = withDeafEndpoints();
  const client = w.peer().send('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n');
  for (let i = 0; i < 80 && !client.hasEnded; i++) {
    client.send('x'.repeat(50));
    w.engine.runFor(500);
  }
  assert.match(client.text(), /^HTTP\/1\.1 408 /);
  assert.ok(w.engine.now < 25_000, `${w.engine.now} ms`);
  assert.equal(ends[0]!.closedCount, 1, 'the endpoint saw the connection end');
});

test('a body just above the minimum rate goes on as long as it likes', () => {
  const { w, ends } = withDeafEndpoints();
  const client = w.peer().send('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n');
  for (let i = 0; i < 120; i++) {
    client.send('x'.repeat(130));
    w.engine.runFor(500);
  }
  assert.equal(client.hasEnded, false);
  assert.ok(ends[0]!.receivedBytes > 120 * 130);
});

test('a client that does not read is cut after the minimum rate was missed, and holds no more than its limit', () => {
  const { w, ends } = withDeafEndpoints({ kernelBytesMax: 4096, limits: { bufferBytesMax: 64 * 1024 } });
  const client = w.peer().send(GET);
  w.engine.runUntil(() => ends.length === 1 && ends[0]!.text().endsWith('\r\n\r\n'), 1000);
  client.pause();
  ends[0]!.send('HTTP/1.1 200 OK\r\nContent-Length: 10000000\r\n\r\n');
  const piece = Buffer.alloc(10_000_000);
  ends[0]!.send(piece);
  w.engine.runFor(2000);
  const passed = 10_000_000 - ends[0]!.unsent;
  assert.ok(passed < 64 * 1024 + 64 * 1024 + 4 * 4096 + 2 * 128 * 1024, `weir took ${passed} bytes for a client that reads none`);
  w.engine.runFor(30_000);
  assert.equal(w.clients.count, 0, 'the client was cut');
  assert.equal(ends[0]!.closedCount, 1, 'the endpoint was let go');
});

for (const size of [3000, 40_000])
  test(`the last answer of ${size} bytes is not cut at a deadline of what was before it: its client has the time of minRateAfter`, () => {
    const { w, ends } = withDeafEndpoints({ kernelBytesMax: 512 });
    const client = w.peer();
    // The header deadline is at 10 s, the end of the exchange a second before.
    w.engine.runFor(8500);
    client.send('GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n');
    w.engine.runUntil(() => ends.length === 1 && ends[0]!.text().endsWith('\r\n\r\n'), 500);
    client.pause();
    ends[0]!.send(`HTTP/1.1 200 OK\r\nContent-Length: ${size}\r\n\r\n${'x'.repeat(size)}`);
    w.engine.runFor(5000);
    assert.equal(client.closedCount, 0);
    client.resume();
    w.engine.runUntil(() => client.closedCount === 1 || client.hasEnded, 5000);
    assert.equal(client.text().length - client.text().indexOf('\r\n\r\n') - 4, size);
  });

test('no answer within the response timeout is a 504, once, and the endpoint gets no second try of a POST', () => {
  const { w, ends } = withDeafEndpoints({ timeouts: { responseMs: 3000 } });
  const client = w.peer().send('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi');
  w.engine.runUntil(() => client.text().includes('\r\n\r\n'), 5000);
  assert.match(client.text(), /^HTTP\/1\.1 504 /);
  assert.match(client.text(), /http_response_timeout/);
  assert.ok(w.engine.now >= 3000 && w.engine.now < 3200, `${w.engine.now} ms`);
  w.engine.runFor(5000);
  assert.equal(ends.length, 1);
});

test('an endpoint that stops in the middle of a body is given up after the idle timeout, and the client can tell', () => {
  const { w, ends } = withDeafEndpoints({ timeouts: { idleMs: 4000 } });
  const client = w.peer().send(GET);
  w.engine.runUntil(() => ends.length === 1 && ends[0]!.receivedBytes > 0, 1000);
  ends[0]!.send('HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf');
  w.engine.runFor(3000);
  assert.equal(client.closedCount, 0);
  w.engine.runFor(2000);
  assert.equal(client.closedErrno, 104, 'reset, so that half an answer is not taken for a whole one');
});

test('an address that never answers a SYN costs one connect timeout, then another endpoint is asked', () => {
  const w = world({ endpoints: 2 });
  w.engine.deafen({ kind: 'ip', host: '10.0.1.1', port: 8001 });
  const clients = Array.from({ length: 8 }, () => w.peer().send(GET));
  w.engine.runUntil(() => clients.every((c) => c.text().includes('200 OK')), 3000);
  assert.ok(w.engine.now < 1500, `${w.engine.now} ms`);
});

test('more connections from one address than allowed are turned away, and let in when others leave', () => {
  const w = world({ limits: { connectionsPerIpMax: 2 } });
  const first = w.peer().send(GET);
  const second = w.peer().send(GET);
  w.engine.runFor(50);
  const third = w.peer().send(GET);
  w.engine.runFor(50);
  assert.ok(first.text().includes('200 OK') && second.text().includes('200 OK'));
  assert.equal(third.closedCount, 1);
  first.close();
  w.engine.runFor(50);
  const fourth = w.peer().send(GET);
  w.engine.runFor(50);
  assert.match(fourth.text(), /200 OK/);
});

test('the limit per address is not for a trusted balancer in front', () => {
  const w = world({ limits: { connectionsPerIpMax: 2 }, trust: [{ bytes: [127, 0, 0, 1], bits: 32 }] });
  const clients = Array.from({ length: 6 }, () => w.peer().send(GET));
  w.engine.runFor(500);
  assert.ok(clients.every((c) => c.text().includes('200 OK')));
});

test('out of descriptors, the oldest idle connections make room', () => {
  const w = world();
  const idle = Array.from({ length: 20 }, () => w.peer().send(GET));
  w.engine.runFor(500);
  assert.ok(idle.every((c) => c.text().includes('200 OK')));
  w.engine.faults.acceptIn = 1;
  const fresh = w.peer().send(GET);
  w.engine.runFor(500);
  assert.match(fresh.text(), /200 OK/);
  assert.equal(idle.filter((c) => c.hasEnded || c.closedCount > 0).length, 16);
});

test('the last request that a connection may carry says Connection: close', () => {
  const w = world({ limits: { requestsPerConnectionMax: 2 } });
  const client = w.peer().send(GET);
  w.engine.runFor(100);
  assert.doesNotMatch(client.text(), /Connection: close/);
  client.clear().send(GET);
  w.engine.runFor(100);
  assert.match(client.text(), /Connection: close/);
  assert.ok(client.hasEnded || client.closedCount > 0);
});
