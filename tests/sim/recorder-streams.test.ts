/**
 * Harm prevented: of a connection, or of the datagrams of a client, another story is told than what happened: a try that is missing, an end blamed on the wrong side, what goes
 * on now told as over.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { faults } from '../../src/base/faults.ts';
import { closeHow } from '../../src/base/wire.ts';
import type { ConnectionFilter, ConnectionRecord } from '../../src/state/channel.ts';
import { plainPool } from '../../src/state/plain-pool.ts';
import { DatagramWorld } from './datagrams-world.ts';
import { StreamWorld, streamRoute } from './stream-world.ts';

const first = { ...plainPool.balance, algorithm: 'first' as const };

/** What is remembered, the latest first. */
function recorded({ relay }: StreamWorld | DatagramWorld, filter: ConnectionFilter = 'ended'): ConnectionRecord[] {
  return relay.lookBack({ type: 'connections', ask: 1, limit: 100, filter }).connections;
}
const faultOf = ({ faultId }: { faultId: number }): string => faults[faultId]!.name;
const triesOf = ({ tries }: ConnectionRecord): string[] => tries.map(faultOf);

test('a connection in order: who ended it, what went each way, and the times in their order', () => {
  for (const ends of ['client', 'endpoint'] as const) {
    const world = new StreamWorld({ seed: 11 });
    const client = world.dial().send('question');
    world.until('the question', () => world.reached[0]?.text() === 'question');
    const server = world.reached[0]!.send('answer');
    world.until('the answer', () => client.text() === 'answer');
    const [one, other] = ends === 'client' ? [client, server] : [server, client];
    one.end();
    world.until('its end', () => other.hasEnded);
    other.end();
    world.finish();
    const [record, ...more] = recorded(world);
    assert.equal(more.length, 0);
    assert.deepEqual(
      [record!.kind, record!.endedBy, record!.faultId, record!.bytesIn, record!.bytesOut],
      ['served', ends, 0, 8, 6],
    );
    assert.deepEqual(triesOf(record!), ['none']);
    assert.equal(record!.tries[0]!.slot, world.plan.pools[0]!.endpoints.find(({ address }) => world.served.get(address)!.length > 0)!.slot); // biome-ignore format: one thought
    assert.deepEqual([record!.tries[0]!.inFlight, record!.poolInFlight], [1, 1]);
    const times = [0, record!.beganMs, record!.connectedMs, record!.firstMs, record!.endedMs];
    assert.deepEqual(
      times,
      times.toSorted((a, b) => a - b),
    );
    assert.ok(record!.connectedMs > 0 && record!.firstMs > 0, String(times));
  }
});

test('a try that failed is there with its fault, and the last one took it, while it lasts and afterwards', () => {
  for (const [options, name] of [
    [{ refusing: 1 }, 'connectionRefused'],
    [{ deaf: 1 }, 'connectionTimeout'],
  ] as const) {
    // biome-ignore format: short
    const world = new StreamWorld({ seed: 12, endpoints: 1, ...options, pool: { balance: first } });
    const client = world.dial().send('hello');
    world.until('the bytes', () => world.reached[0]?.text() === 'hello');
    const [open] = recorded(world, 'open');
    assert.deepEqual([open!.kind, open!.endedMs, open!.bytesIn, open!.tries.at(-1)!.endedMs], ['open', -1, 5, -1]);
    assert.deepEqual(recorded(world), [], 'it is not over');
    client.end();
    world.until('the end', () => world.reached[0]!.hasEnded);
    world.reached[0]!.end();
    world.finish();
    const [record] = recorded(world);
    assert.deepEqual(triesOf(record!), [name, 'none']);
    const slots = world.plan.pools[0]!.endpoints.map(({ slot }) => slot);
    assert.deepEqual(record!.tries.map(({ slot }) => slot), slots); // biome-ignore format: short
    assert.deepEqual([record!.kind, record!.id], ['failed', open!.id]);
    assert.deepEqual(recorded(world, 'open'), []);
  }
});

test('a reset is blamed on the side it came from', () => {
  for (const [side, name] of [
    ['client', 'clientAborted'],
    ['server', 'responseIncomplete'],
  ] as const) {
    // biome-ignore format: short
    const world = new StreamWorld({ seed: 13 });
    const client = world.dial().send('hello');
    world.until('the bytes', () => world.reached[0]?.text() === 'hello');
    const server = world.reached[0]!.send('half of an ans');
    world.until('the answer', () => client.text() !== '');
    (side === 'client' ? client : server).close(closeHow.reset);
    world.finish();
    const [record] = recorded(world, 'fault');
    assert.deepEqual([faultOf(record!), triesOf(record!), record!.endedBy], [name, [name], null]);
  }
});

test('who waits in the queue is told how long, and who waits in vain as well', () => {
  const world = new StreamWorld({ seed: 14, endpoints: 1, requestsMax: 1 });
  const one = world.dial().send('a');
  world.until('the first', () => world.reached.length === 1);
  const two = world.dial().send('b');
  world.engine.runFor(100);
  one.end();
  world.until('its end', () => world.reached[0]!.hasEnded);
  world.reached[0]!.end();
  world.until('the second', () => world.reached.length === 2);
  const three = world.dial().send('c');
  world.until('the third is turned away', () => three.closedCount > 0);
  two.end();
  world.until('its end', () => world.reached[1]!.hasEnded);
  world.reached[1]!.end();
  world.finish();
  const [vain, waited, straight] = recorded(world);
  assert.deepEqual([vain!, waited!, straight!].map((record) => [faultOf(record), record.wasQueued, record.triesCount]), [
    ['queueTimeout', true, 0],
    ['none', true, 1],
    ['none', false, 1],
  ]); // biome-ignore format: a table
  assert.ok(waited!.queuedMs >= 90 && waited!.queuedMs < 500, String(waited!.queuedMs));
  assert.ok(vain!.queuedMs >= 500, String(vain!.queuedMs));
  assert.equal(vain!.kind, 'failed');
});

test('a connection that no route matches is remembered with nothing but its client', () => {
  const named = streamRoute('named', 0, {
    match: { serverName: { value: 'a.example', wildcard: false }, alpn: null, clients: null },
  });
  const world = new StreamWorld({ seed: 15, listener: { streams: [named] } });
  const client = world.dial('10.9.9.9').send('no TLS at all');
  world.until('its end', () => client.closedCount > 0);
  world.finish();
  const [record] = recorded(world, 'fault');
  assert.deepEqual([faultOf(record!), record!.route, record!.pool, record!.client], ['destinationNotFound', -1, -1, '10.9.9.9']);
  assert.deepEqual(recorded(world, 'open'), []);
});

test('an id is that of the log, finds its connection while it lasts and afterwards, and is no other’s', () => {
  const world = new StreamWorld({ seed: 16 });
  const clients = Array.from({ length: 5 }, () => world.dial().send('x'));
  world.until('all', () => world.reached.length === 5);
  const find = (id: string) => world.relay.lookBack({ type: 'find', ask: 7, id });
  const ids = recorded(world, 'open').map(({ id }) => id);
  assert.equal(new Set(ids).size, 5);
  for (const id of ids) assert.deepEqual(find(id).connections.map((one) => [one.id, one.kind]), [[id, 'open']]); // biome-ignore format: short
  for (const peer of [...clients, ...world.reached]) peer.end();
  world.finish();
  for (const id of ids) assert.deepEqual(find(id).connections.map((one) => [one.id, one.kind]), [[id, 'served']]); // biome-ignore format: short
  const { connections, records, isOwn } = find('sim-zzzz');
  assert.deepEqual([connections, records, isOwn], [[], [], false]);
  assert.equal(find(ids[0]!).isOwn, true);
});

test('datagrams: both tries, what went each way, and a session that serves the next client begins anew', () => {
  const world = new DatagramWorld({ seed: 17, endpoints: 1, refusing: 1, pool: { balance: first }, udp: { responses: 1 } });
  const asks = (host: string): void => {
    const client = world.client(host).ask('question');
    world.until('the answer', () => client.answers.length === 1);
    world.until('it is over', () => world.relay.sessions === 0);
  };
  asks('10.1.0.1');
  // The refusal is remembered for a while: the next goes straight to the other.
  asks('10.1.0.2');
  world.finish();
  const [next, tried] = recorded(world);
  assert.deepEqual([tried!.client, ...triesOf(tried!)], ['10.1.0.1', 'connectionRefused', 'none']);
  assert.deepEqual([next!.client, ...triesOf(next!)], ['10.1.0.2', 'none']);
  assert.deepEqual([tried!.kind, next!.kind], ['failed', 'served']);
  for (const { protocol, bytesIn, bytesOut, datagramsIn, datagramsOut, firstMs } of [next!, tried!]) {
    assert.deepEqual([protocol, bytesIn, bytesOut, datagramsIn, datagramsOut], ['udp', 8, 9, 1, 1]);
    assert.ok(firstMs > 0);
  }
});

test('a client of datagrams is open until it is forgotten', () => {
  const world = new DatagramWorld({ seed: 18, endpoints: 1 });
  const client = world.client().ask('one').ask('two');
  world.until('the answers', () => client.answers.length === 2);
  const [open] = recorded(world, 'open');
  assert.deepEqual([open!.protocol, open!.datagramsIn, open!.bytesOut, open!.endedMs], ['udp', 2, 8, -1]);
  world.finish();
  const [record] = recorded(world);
  assert.deepEqual([record!.id, record!.kind], [open!.id, 'served']);
  assert.ok(record!.endedMs - record!.lastMs >= 5000, 'it was forgotten after the idle time');
});
