/** streams: opening wires, order, cuts, back-pressure, the blocks bytes travel in. */
import assert from 'node:assert/strict';
import { NO_BLOCK, SMALL_BYTES } from '../../base/blocks.ts';
import { Prng } from '../../base/prng.ts';
import { addressText, type Wire } from '../../base/wire.ts';
import { Peer, peerOf } from '../peer.ts';
import { type OpenFixture, type Scene, sentence } from './scene.ts';

const MIB = 1024 * 1024;
/** More than the kernel buffers of both ends hold: a default send buffer grows to 4 MiB. */
export const MORE_THAN_KERNEL_HOLDS = 8 * MIB;

/** Bytes without a pattern, so that a piece lost, doubled or moved is seen. */
export function randomBytes(seed: number, length: number): Buffer {
  const prng = new Prng(seed);
  const bytes = Buffer.alloc(length);
  for (let i = 0; i + 4 <= length; i += 4) bytes.writeUInt32LE(prng.uint32(), i);
  return bytes;
}

/** Queues `length` bytes on the wire itself: one block again and again, because the bytes do not matter. */
export function flood(scene: Scene, wire: Wire, length: number): void {
  const { blocks } = scene.engine;
  const block = blocks.takeLarge();
  const start = blocks.start(block);
  const size = blocks.size(block);
  for (let given = 0; given < length; given += size) wire.send(block, start, start + Math.min(size, length - given));
  blocks.release(block);
}

export function streamSentences(name: string, open: OpenFixture): void {
  const says = (text: string, body: (scene: Scene) => Promise<void>) => sentence(name, open, text, body);

  says('a dial opens later, never inside the call, and both ends are open then', async (scene) => {
    const address = scene.serve();
    const client = scene.dial(address);
    assert.equal(client.isOpen, false);
    assert.equal(client.wire!.isOpen, false);
    await scene.until(() => client.isOpen && scene.served.length === 1, 'a connection');
    assert.equal(client.wire!.isOpen, true);
    assert.equal(scene.served[0]!.wire!.isOpen, true);
    assert.deepEqual(client.events, ['open']);
  });

  says('each end knows the address of the other', async (scene) => {
    const address = scene.serve();
    const client = scene.dial(address);
    await scene.until(() => client.isOpen && scene.served.length === 1, 'a connection');
    assert.equal(peerOf(client.wire!), addressText(address));
    assert.match(peerOf(scene.served[0]!.wire!), /^127\.0\.0\.1:\d+$/);
    // Each end's own address is the other's peer.
    assert.equal(client.wire!.local(), peerOf(scene.served[0]!.wire!));
    assert.equal(scene.served[0]!.wire!.local(), peerOf(client.wire!));
  });

  says('a dial leaves from the source address it was given', async (scene) => {
    const address = scene.serve();
    const client = scene.peer().dial(address, '127.0.0.77');
    await scene.until(() => client.isOpen && scene.served.length === 1, 'a connection');
    assert.match(peerOf(scene.served[0]!.wire!), /^127\.0\.0\.77:\d+$/);
  });

  says('a mebibyte each way at the same time arrives whole and in order', async (scene) => {
    const [client, server] = await scene.pair();
    const up = randomBytes(1, MIB);
    const down = randomBytes(2, MIB);
    client.send(up);
    server.send(down);
    await scene.until(() => client.receivedBytes >= MIB && server.receivedBytes >= MIB, 'a mebibyte each way');
    assert.ok(server.bytes().equals(up));
    assert.ok(client.bytes().equals(down));
    assert.equal(server.unsent, 0);
  });

  says('received and sent count the bytes of the wire', async (scene) => {
    const [client, server] = await scene.pair();
    client.send(randomBytes(3, 100_000));
    await scene.until(() => server.receivedBytes === 100_000 && client.unsent === 0, '100,000 bytes');
    assert.equal(client.wire!.sent, 100_000);
    assert.equal(server.wire!.received, 100_000);
    assert.equal(client.wire!.received, 0);
    assert.equal(server.wire!.sent, 0);
  });

  says('many small sends of one turn arrive in their order', async (scene) => {
    const [client, server] = await scene.pair();
    let expected = '';
    for (let i = 0; i < 100; i++) {
      client.send(`${i},`);
      expected += `${i},`;
    }
    await scene.until(() => server.receivedBytes >= expected.length, 'all of them');
    assert.equal(server.text(), expected);
  });

  says('one block sent in more pieces than a call to the kernel takes arrives in order', async (scene) => {
    const [client, server] = await scene.pair();
    const { blocks } = scene.engine;
    const block = blocks.takeSmall();
    const start = blocks.start(block);
    const bytes = randomBytes(4, SMALL_BYTES);
    blocks.bytes.set(bytes, start);
    // IOV_MAX is 1024.
    for (let i = 0; i < SMALL_BYTES; i += 2) client.wire!.send(block, start + i, start + i + 2);
    blocks.release(block);
    await scene.until(() => server.receivedBytes >= SMALL_BYTES, 'all pieces');
    assert.ok(server.bytes().equals(bytes));
  });

  says('send() only queues, and holds its block until the kernel has taken the bytes', async (scene) => {
    const [client, server] = await scene.pair();
    const { blocks } = scene.engine;
    const free = blocks.smallAvailable;
    const block = blocks.takeSmall();
    const start = blocks.start(block);
    blocks.bytes.set(Buffer.from('hello'), start);
    const wire = client.wire!;
    wire.send(block, start, start + 5);
    blocks.release(block);
    assert.equal(wire.queued, 5);
    assert.equal(wire.sent, 0);
    assert.equal(blocks.smallAvailable, free - 1, 'the wire holds the block');
    await scene.until(() => server.receivedBytes === 5, 'the bytes');
    await scene.until(() => wire.queued === 0, 'the kernel has them');
    assert.equal(wire.sent, 5);
    assert.equal(blocks.smallAvailable, free, 'the wire holds nothing');
    assert.equal(server.text(), 'hello');
  });

  says('a lent block that is retained keeps its bytes until it is released', async (scene) => {
    const [client, server] = await scene.pair();
    const { blocks } = scene.engine;
    const held: { block: number; start: number; end: number }[] = [];
    class Keeper extends Peer {
      override onBytes(wire: Wire, block: number, start: number, end: number): void {
        blocks.retain(block);
        held.push({ block, start, end });
        super.onBytes(wire, block, start, end);
      }
    }
    const keeper = new Keeper(scene.engine).take(server.wire!);
    scene.peers.push(keeper);
    server.wire = null;
    const bytes = randomBytes(5, 30_000);
    client.send(bytes);
    await scene.until(() => keeper.receivedBytes === 30_000, 'the bytes');
    // Other traffic goes over the arena meanwhile.
    keeper.send(randomBytes(6, 500_000));
    await scene.until(() => client.receivedBytes === 500_000, 'traffic the other way');
    const kept = Buffer.concat(held.map((each) => blocks.bytes.subarray(each.start, each.end)));
    assert.ok(kept.equals(bytes));
    for (const { block } of held) blocks.release(block);
  });

  says('what was received can be sent on from its own block', async (scene) => {
    const { blocks } = scene.engine;
    class Echo extends Peer {
      override onBytes(wire: Wire, block: number, start: number, end: number): void {
        wire.send(block, start, end);
        super.onBytes(wire, block, start, end);
      }
    }
    const [client, server] = await scene.pair();
    const echo = new Echo(scene.engine).take(server.wire!);
    echo.keeps = false;
    scene.peers.push(echo);
    server.wire = null;
    const bytes = randomBytes(7, 200_000);
    client.send(bytes);
    await scene.until(() => client.receivedBytes >= bytes.length, 'the echo');
    assert.ok(client.bytes().equals(bytes));
    assert.ok(blocks.largeAvailable > 0);
  });

  says('without a free block bytes wait, and arrive when one is given back', async (scene) => {
    const [client, server] = await scene.pair();
    const { blocks } = scene.engine;
    const held: number[] = [];
    let isHolding = true;
    class Hoarder extends Peer {
      override onBytes(wire: Wire, block: number, start: number, end: number): void {
        if (isHolding) {
          blocks.retain(block);
          held.push(block);
        }
        super.onBytes(wire, block, start, end);
      }
    }
    const hoarder = new Hoarder(scene.engine).take(server.wire!);
    scene.peers.push(hoarder);
    server.wire = null;
    for (let block = blocks.takeLarge(); block !== NO_BLOCK; block = blocks.takeLarge()) held.push(block);
    // Sent from small blocks, so that only receiving lacks some.
    const bytes = randomBytes(8, 400 * SMALL_BYTES);
    for (let i = 0; i < bytes.length; i += SMALL_BYTES) client.send(bytes.subarray(i, i + SMALL_BYTES));
    await scene.runFor(60);
    isHolding = false;
    for (const block of held) blocks.release(block);
    await scene.until(() => hoarder.receivedBytes >= bytes.length, 'all bytes');
    assert.ok(hoarder.bytes().equals(bytes));
  });

  says('after pause() nothing arrives until resume(), and the sender is held back', async (scene) => {
    const [client, server] = await scene.pair();
    server.pause();
    const bytes = randomBytes(9, MORE_THAN_KERNEL_HOLDS);
    client.send(bytes);
    await scene.runFor(60);
    assert.equal(server.receivedBytes, 0);
    assert.ok(client.unsent > 0, 'the kernel did not take everything');
    server.resume();
    await scene.until(() => server.receivedBytes >= bytes.length, 'all bytes');
    assert.ok(server.bytes().equals(bytes));
  });

  says('pause() inside onBytes holds even for bytes already read', async (scene) => {
    const [client, server] = await scene.pair();
    let calls = 0;
    let isPaused = false;
    let broken = 0;
    server.onEvent = (event) => {
      if (event !== 'bytes') return;
      if (isPaused) broken++;
      calls++;
      isPaused = true;
      server.pause();
      scene.engine.setTimer(
        calls % 3,
        {
          onTimer() {
            isPaused = false;
            server.wire?.resume();
          },
        },
        0,
      );
    };
    const bytes = randomBytes(10, 300_000);
    // Pieces that become many completions where the driver has such.
    for (let i = 0; i < bytes.length; i += 3000) client.send(bytes.subarray(i, i + 3000));
    await scene.until(() => server.receivedBytes >= bytes.length, 'all bytes');
    assert.equal(broken, 0, 'no onBytes between pause() and resume()');
    assert.ok(server.bytes().equals(bytes));
  });

  says('pause() and resume() within one call lose and double nothing', async (scene) => {
    const [client, server] = await scene.pair();
    server.onEvent = (event) => {
      if (event !== 'bytes') return;
      server.pause();
      server.resume();
      server.pause();
      server.resume();
    };
    const bytes = randomBytes(11, 500_000);
    client.send(bytes);
    await scene.until(() => server.receivedBytes >= bytes.length, 'all bytes');
    await scene.runFor(20);
    assert.ok(server.bytes().equals(bytes));
  });

  says('onDrained comes once, from the loop, when the queue has fallen to drainBelow', async (scene) => {
    const [client, server] = await scene.pair();
    const wire = client.wire!;
    server.pause();
    flood(scene, wire, MORE_THAN_KERNEL_HOLDS);
    let queuedThen = -1;
    client.onEvent = (event) => {
      if (event === 'drained') queuedThen = wire.queued;
    };
    wire.drainBelow = 100_000;
    assert.equal(client.drainedCount, 0);
    await scene.runFor(40);
    assert.equal(client.drainedCount, 0, 'the queue is still longer');
    server.resume();
    await scene.until(() => client.drainedCount > 0, 'onDrained');
    assert.ok(queuedThen <= 100_000, `${queuedThen} bytes were queued`);
    assert.equal(wire.drainBelow, -1);
    await scene.until(() => server.receivedBytes === MORE_THAN_KERNEL_HOLDS, 'all bytes');
    assert.equal(client.drainedCount, 1);
  });

  says('events go to the owner of the moment', async (scene) => {
    const [client, server] = await scene.pair();
    client.send('one');
    await scene.until(() => server.receivedBytes === 3, 'the first bytes');
    const heir = scene.peer().take(server.wire!);
    server.wire = null;
    client.send('two').close();
    await scene.until(() => heir.hasEnded, 'the rest');
    assert.equal(heir.text(), 'two');
    assert.equal(server.text(), 'one');
    assert.equal(server.hasEnded, false);
  });

  says('a silent wire has nothing unread', async (scene) => {
    const [client, server] = await scene.pair();
    assert.equal(client.wire!.hasUnread, false);
    server.send('x');
    await scene.until(() => client.receivedBytes === 1, 'a byte');
    assert.equal(client.wire!.hasUnread, false);
    if (!scene.fixture.seesUnreadWhilePaused) return;
    client.pause();
    server.send('y');
    await scene.until(() => client.wire!.hasUnread, 'the byte is known of');
    client.resume();
    await scene.until(() => client.receivedBytes === 2, 'the byte');
    assert.equal(client.wire!.hasUnread, false);
    client.pause();
    server.close();
    await scene.until(() => client.wire!.hasUnread, 'the end is known of');
  });

  says('adopted descriptors are wires like others', async (scene) => {
    const [left, right] = scene.fixture.pair();
    const a = scene.peer();
    const b = scene.peer();
    a.take(scene.engine.adopt(left, a)).send('to the right').end();
    b.take(scene.engine.adopt(right, b)).send('to the left').end();
    await scene.until(() => a.closedCount === 1 && b.closedCount === 1, 'both closed');
    assert.equal(a.text(), 'to the left');
    assert.equal(b.text(), 'to the right');
    assert.deepEqual([a.closedErrno, b.closedErrno], [0, 0]);
  });
}
