import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Bug } from '../base/assert.ts';
import { Prng } from '../base/prng.ts';
import { type AcceptOwner, type Address, closeHow, FLUSH_STALL_MS, type Wire } from '../base/wire.ts';
import { conformance, type Fixture } from './conformance.ts';
import { MemoryEngine, type MemoryOptions, Peer, POISON } from './memory.ts';

const ECONNREFUSED = 111;
const ECONNRESET = 104;
const EPIPE = 32;
const ENOSPC = 28;

function openFixture(options: MemoryOptions): Fixture {
  const engine = new MemoryEngine(options);
  let port = 8000;
  const address = (): Address => ({ kind: 'ip', host: '127.0.0.1', port: port++ });
  return {
    engine,
    listen() {
      const at = address();
      const fd = engine.listenAt(at);
      return { fd, address: at, close: () => engine.closeListener(fd) };
    },
    refused: address,
    deaf() {
      const at = address();
      engine.deafen(at);
      return at;
    },
    pair: () => engine.pair(),
    file() {
      const fd = engine.openFile();
      return { fd, text: () => engine.fileText(fd), close() {} };
    },
    pipe: () => null,
    exhaustDescriptors() {
      engine.faults.acceptIn = 1;
      return () => {};
    },
    descriptors: () => engine.sockets,
    seesUnreadWhilePaused: true,
    flushStallMs: FLUSH_STALL_MS,
    close: () => engine.close(),
  };
}

const seed = 20;
conformance('memory', () => openFixture({ seed, reuseWires: true }));
conformance('memory, whole and at once', () =>
  openFixture({ seed, reuseWires: true, splitting: 'whole', delayMsMax: 0, kernelBytesMax: 256 * 1024 }),
);

const address: Address = { kind: 'ip', host: '192.0.2.1', port: 80 };

/** An engine with a server that keeps its peers. */
function served(options: MemoryOptions): { engine: MemoryEngine; server: Peer[] } {
  const engine = new MemoryEngine(options);
  const server: Peer[] = [];
  const owner: AcceptOwner = {
    onAccept: (wire) => void server.push(new Peer(engine).take(wire)),
    onAcceptFault() {},
  };
  engine.accept(engine.listenAt(address), owner);
  return { engine, server };
}

function connected(options: MemoryOptions): { engine: MemoryEngine; client: Peer; server: Peer } {
  const { engine, server } = served(options);
  const client = new Peer(engine).dial(address);
  engine.runUntil(() => client.isOpen && server.length === 1, 100);
  return { engine, client, server: server[0]! };
}

/** What a run looked like: every event with its time and size. */
function trace(seed: number): string {
  const { engine, client, server } = connected({ seed });
  const lines: string[] = [];
  for (const [name, peer] of Object.entries({ client, server })) {
    peer.onEvent = (event) => lines.push(`${engine.now} ${name} ${event} ${peer.receivedBytes}`);
  }
  client.send('x'.repeat(50_000)).end();
  server.send('y'.repeat(30_000)).end();
  engine.runUntil(() => client.closedCount + server.closedCount === 2, 10_000);
  return lines.join('\n');
}

test('the same seed gives the same run, another seed another one', () => {
  assert.equal(trace(1), trace(1));
  assert.notEqual(trace(1), trace(2));
});

test('every position is a place where bytes are cut', () => {
  const text = 'GET / HTTP/1.1\r\n\r\n';
  const cuts = new Set<number>();
  for (let seed = 0; seed < 200; seed++) {
    const { engine, client, server } = connected({ seed });
    server.onEvent = () => void cuts.add(server.receivedBytes);
    client.send(text);
    engine.runUntil(() => server.receivedBytes === text.length, 1000);
    engine.close();
  }
  for (let at = 1; at <= text.length; at++) assert.ok(cuts.has(at), `no cut after ${at} bytes`);
});

test('bytes one by one arrive one by one', () => {
  const { engine, client, server } = connected({ seed: 1, splitting: 'single' });
  const sizes: number[] = [];
  server.onEvent = () => void sizes.push(server.receivedBytes);
  client.send('abcdef');
  engine.runUntil(() => server.receivedBytes === 6, 1000);
  assert.deepEqual(sizes, [1, 2, 3, 4, 5, 6]);
});

test('virtual time jumps: an hour passes in no time, and nothing fires early', () => {
  const engine = new MemoryEngine({ seed: 1 });
  let firedAt = -1;
  engine.setTimer(3_600_000, { onTimer: () => void (firedAt = engine.now) }, 0);
  engine.runFor(3_599_999);
  assert.equal(firedAt, -1);
  engine.runUntil(() => firedAt >= 0, 100);
  assert.ok(firedAt >= 3_600_000 && firedAt <= 3_600_010);
  assert.ok(engine.stats.enters < 1000, `${engine.stats.enters} turns`);
});

test('runUntil throws when the awaited cannot come, and when it is late', () => {
  const engine = new MemoryEngine({ seed: 1 });
  assert.throws(() => engine.runUntil(() => false, 1000), /nothing is left/);
  engine.setTimer(2000, { onTimer() {} }, 0);
  assert.throws(() => engine.runUntil(() => false, 1000), /within 1000 ms/);
});

test('breaking a rule of the wire is a Bug', () => {
  const send = (wire: Wire, engine: MemoryEngine) => {
    const block = engine.blocks.takeSmall();
    wire.send(block, engine.blocks.start(block), engine.blocks.start(block) + 1);
  };
  const { engine, client, server } = connected({ seed: 1 });
  const wire = client.wire!;
  wire.sendClose();
  assert.throws(() => send(wire, engine), Bug, 'send after sendClose');
  const other = server.wire!;
  other.close(closeHow.flush);
  assert.throws(() => send(other, engine), Bug, 'send after close');
  engine.runUntil(() => client.closedCount + server.closedCount === 2, 1000);
  for (const call of [
    () => wire.pause(),
    () => wire.resume(),
    () => wire.sendClose(),
    () => wire.close(closeHow.reset),
    () => send(wire, engine),
  ]) {
    assert.throws(call, Bug, `after onClosed: ${call}`);
  }
  const dialling = engine.dial(address, client);
  assert.throws(() => send(dialling, engine), Bug, 'send before onOpen');
});

test('a block given back is overwritten, and giving it back again or holding it late is a Bug', () => {
  const { blocks } = new MemoryEngine({ seed: 1 });
  const block = blocks.takeSmall();
  const start = blocks.start(block);
  blocks.bytes.fill(7, start, start + 10);
  blocks.release(block);
  assert.equal(blocks.bytes[start + 9], POISON);
  assert.throws(() => blocks.release(block), Bug);
  assert.throws(() => blocks.retain(block), Bug);
});

test('the Nth dial, send and block fail when told, for N = 1, 2, 3', () => {
  for (const n of [1, 2, 3]) {
    const { engine } = served({ seed: n });
    engine.faults.dialIn = n;
    const clients: Peer[] = Array.from({ length: 4 }, () => new Peer(engine).dial(address));
    engine.runUntil(() => clients.every((client) => client.isOpen || client.closedCount === 1), 1000);
    assert.deepEqual(
      clients.map((client) => client.closedErrno),
      [1, 2, 3, 4].map((i) => (i === n ? ECONNREFUSED : -1)),
    );
    engine.faults.sendIn = n;
    const open = clients.filter((client) => client.isOpen);
    let sends = 0;
    for (const client of open) {
      sends++;
      client.send('x');
      engine.runFor(20);
      assert.equal(client.closedErrno, sends === n ? EPIPE : -1, `send ${sends} of the failing ${n}`);
    }
    engine.blocks.failIn = n;
    const taken = Array.from({ length: 4 }, () => engine.blocks.takeSmall());
    assert.deepEqual(
      taken.map((block) => block >= 0),
      [1, 2, 3, 4].map((i) => i !== n),
    );
  }
});

test('the connection that receives the Nth byte breaks after it, at both ends', () => {
  for (const n of [1, 2, 5000]) {
    const { engine, client, server } = connected({ seed: n, splitting: 'single' });
    engine.faults.resetInBytes = n;
    client.send('z'.repeat(6000));
    engine.runUntil(() => client.closedCount + server.closedCount === 2, 10_000);
    assert.deepEqual([client.closedErrno, server.closedErrno], [ECONNRESET, ECONNRESET]);
    // What had arrived before the break may still be read.
    assert.ok(server.receivedBytes >= n, `${server.receivedBytes} of ${n}`);
  }
});

test('a failing file reports the errno it was told', () => {
  const engine = new MemoryEngine({ seed: 1 });
  const fd = engine.openFile();
  engine.faults.writeErrno = ENOSPC;
  const block = engine.blocks.takeSmall();
  let result = 0;
  engine.write(fd, block, engine.blocks.start(block), engine.blocks.start(block) + 4, (count) => {
    result = count;
  });
  engine.runFor(10);
  assert.equal(result, -ENOSPC);
});

test('any conversation of random steps ends with every byte in order, or with an error at both ends', () => {
  for (let seed = 1; seed <= 60; seed++) {
    const prng = new Prng(seed);
    const { engine, client, server } = connected({ seed, kernelBytesMax: prng.between(1, 5000), delayMsMax: prng.below(5) });
    if (prng.chance(30)) engine.faults.resetInBytes = prng.between(1, 40_000);
    const given = { client: '', server: '' };
    for (let step = 0; step < 30; step++) {
      for (const name of ['client', 'server'] as const) {
        const peer = name === 'client' ? client : server;
        if (peer.wire === null) continue;
        const kind = prng.below(5);
        const piece = `${step}:${'.'.repeat(prng.below(900))};`;
        if (kind < 3) {
          peer.send(piece);
          given[name] += piece;
        } else if (kind === 3) peer.pause();
        else peer.resume();
      }
      engine.runFor(prng.below(4));
    }
    for (const peer of [client, server]) {
      if (peer.wire === null) continue;
      peer.resume();
      peer.end();
    }
    engine.runUntil(() => client.closedCount + server.closedCount === 2, 100_000);
    if (client.closedErrno === 0 && server.closedErrno === 0) {
      assert.equal(server.text(), given.client, `seed ${seed}`);
      assert.equal(client.text(), given.server, `seed ${seed}`);
    } else {
      assert.ok(given.client.startsWith(server.text()) && given.server.startsWith(client.text()), `seed ${seed}`);
    }
    assert.equal(engine.sockets, 0, `seed ${seed}`);
    assert.equal(engine.blocks.largeAvailable + engine.blocks.smallAvailable, 256, `seed ${seed}`);
    engine.close();
  }
});
