import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { test } from 'node:test';
import { type Address, closeHow } from '../base/wire.ts';
import { close, dup } from '../sys/libc.ts';
import { conformance, Scene, sentence, until } from './conformance.ts';
import { openEpoll } from './epoll.ts';
import { EpollWire } from './epoll-wire.ts';
import { kernelFixture } from './kernel-fixture.ts';
import { Peer } from './peer.ts';

const flushStallMs = 300;
const open = () => kernelFixture(openEpoll({ largeCount: 64, smallCount: 256, flushStallMs }), true, flushStallMs);

conformance('epoll', open);

sentence('epoll', open, 'an event of a descriptor that a child holds on to does not reach the next connection', async (scene) => {
  const [client, server] = await scene.pair();
  const wire = server.wire;
  assert.ok(wire instanceof EpollWire);
  // As a child would that was forked at the wrong moment: the open file stays registered.
  const held = dup(wire.fd);
  server.close();
  await scene.until(() => server.closedCount === 1, 'onClosed');
  const [, next] = await scene.pair();
  const users = [...scene.peers].filter((peer) => peer.wire === wire);
  assert.equal(users.length, 1, 'the object is used again, else this proves nothing');
  users[0]!.pause();
  client.close(closeHow.reset);
  await scene.runFor(30);
  assert.equal(users[0]!.closedCount, 0);
  assert.equal(next.closedCount, 0);
  close(held);
});

test('epoll: what a server says, and that it ends, before it is known that the dial has succeeded, is told', async () => {
  const fixture = open();
  const { engine } = fixture;
  const server = createServer((socket) => socket.end('220 hello'));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const peer = new Peer(engine).dial({ kind: 'ip', host: '127.0.0.1', port: (server.address() as { port: number }).port });
  // The engine has had no turn since.
  const [socket] = (await once(server, 'connection')) as [Socket];
  if (!socket.writableFinished) await once(socket, 'finish');
  await until(engine, () => peer.hasEnded, 'what was said before');
  assert.equal(peer.text(), '220 hello');
  assert.deepEqual(peer.events, ['open', 'bytes', 'recvEnd']);
  peer.end();
  await until(engine, () => peer.closedCount === 1, 'its end');
  assert.equal(peer.closedErrno, 0);
  server.close();
  fixture.close();
});

test('epoll: sockets of node:net on the other side see what wires do', async () => {
  const fixture = open();
  const { engine } = fixture;
  const scene = new Scene(fixture);
  const address = scene.serve();
  assert.ok(address.kind === 'ip');
  const socket = connect(address.port, address.host);
  const seen: string[] = [];
  socket.on('data', (bytes) => seen.push(bytes.toString()));
  socket.on('end', () => seen.push('end'));
  socket.on('error', (error) => seen.push((error as NodeJS.ErrnoException).code!));
  socket.write('hello');
  await until(engine, () => scene.served[0]?.text() === 'hello', 'the bytes of node:net');
  scene.served[0]!.send('world');
  await until(engine, () => seen.includes('world'), 'the answer');
  scene.served[0]!.close(closeHow.reset);
  await until(engine, () => seen.includes('ECONNRESET'), 'the reset');
  assert.deepEqual(seen, ['world', 'ECONNRESET']);

  const accepted: Socket[] = [];
  const server = createServer({ allowHalfOpen: true }, (each) => {
    accepted.push(each);
    each.on('error', () => {});
    each.on('end', () => each.end('and goodbye'));
    each.resume();
  });
  server.listen(0, '127.0.0.1');
  await until(engine, () => server.listening, 'node:net to listen');
  const bound = server.address();
  assert.ok(bound !== null && typeof bound === 'object');
  const target: Address = { kind: 'ip', host: '127.0.0.1', port: bound.port };
  const client = new Peer(engine).dial(target).send('x').end();
  await until(engine, () => client.closedCount === 1, 'both ends');
  assert.equal(client.text(), 'and goodbye');
  assert.equal(client.closedErrno, 0);
  server.close();
  await scene.finish();
  fixture.close();
});

test('epoll: an idle engine does not spin', async () => {
  const fixture = open();
  const { engine } = fixture;
  // 50 ms a turn, and what Node's own loop may want of it: in one of three times that is little. A driver that spins does so in all.
  let least = Number.POSITIVE_INFINITY;
  for (let i = 0; i < 3 && least > 0.1; i++) {
    const before = engine.stats.enters;
    const began = performance.now();
    engine.setTimer(400, { onTimer: () => engine.stop() }, 0);
    await engine.run();
    least = Math.min(least, (engine.stats.enters - before) / (performance.now() - began));
  }
  assert.ok(least <= 0.1, `${least} turns a ms`);
  fixture.close();
});
