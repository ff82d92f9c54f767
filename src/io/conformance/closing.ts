/** closing: half closes, the three ways to close, failures, and that nothing is heard of a wire after its end. */
import assert from 'node:assert/strict';
import { closeHow, LINGER_MS } from '../../base/wire.ts';
import type { Peer } from '../peer.ts';
import { type OpenFixture, type Scene, sentence } from './scene.ts';
import { flood, MORE_THAN_KERNEL_HOLDS, randomBytes } from './streams.ts';

const EPIPE = 32;
const ECONNRESET = 104;
const ECONNREFUSED = 111;
const ETIMEDOUT = 110;
const ECANCELED = 125;
const MIB = 1024 * 1024;

/** Waits until both are closed, exactly once. */
async function bothClosed(scene: Scene, a: Peer, b: Peer): Promise<void> {
  await scene.until(() => a.closedCount > 0 && b.closedCount > 0, 'both ends closed');
  assert.deepEqual([a.closedCount, b.closedCount], [1, 1]);
}

export function closingSentences(name: string, open: OpenFixture): void {
  const says = (text: string, body: (scene: Scene) => Promise<void>) => sentence(name, open, text, body);

  says('a refused dial closes with ECONNREFUSED and never opens', async (scene) => {
    const client = scene.dial(scene.fixture.refused());
    assert.equal(client.closedCount, 0, 'not inside the call');
    await scene.until(() => client.closedCount > 0, 'onClosed');
    assert.equal(client.closedErrno, ECONNREFUSED);
    assert.deepEqual(client.events, ['closed']);
  });

  says('a dial that is not answered is given up by closing it', async (scene) => {
    for (const how of [closeHow.flush, closeHow.linger, closeHow.reset]) {
      const client = scene.dial(scene.fixture.deaf());
      await scene.runFor(20);
      assert.deepEqual(client.events, []);
      client.close(how);
      assert.equal(client.closedCount, 0, 'not inside the call');
      await scene.until(() => client.closedCount > 0, 'onClosed');
      assert.ok(client.closedErrno === 0 || client.closedErrno === ECANCELED, `errno ${client.closedErrno}`);
      assert.deepEqual(client.events, ['closed']);
    }
  });

  says('a dial closed in the turn it was made opens nothing', async (scene) => {
    const address = scene.serve();
    const client = scene.dial(address);
    client.close(closeHow.reset);
    await scene.until(() => client.closedCount > 0, 'onClosed');
    await scene.runFor(20);
    assert.deepEqual(client.events, ['closed']);
  });

  says('after its own end a client still receives a long answer', async (scene) => {
    const [client, server] = await scene.pair();
    const answer = randomBytes(20, MIB);
    server.onEvent = (event) => {
      if (event === 'recvEnd') server.send(answer).end();
    };
    client.send('question').end();
    await bothClosed(scene, client, server);
    assert.equal(server.text(), 'question');
    assert.ok(client.bytes().equals(answer));
    assert.deepEqual([client.closedErrno, server.closedErrno], [0, 0]);
    assert.equal(client.events.at(-2), 'recvEnd', 'the end came after the bytes');
  });

  says('after the peer ended, the wire still sends', async (scene) => {
    const [client, server] = await scene.pair();
    const upload = randomBytes(21, MIB);
    server.send('early answer').end();
    await scene.until(() => client.hasEnded, 'the end');
    client.send(upload).end();
    await bothClosed(scene, client, server);
    assert.ok(server.bytes().equals(upload));
    assert.equal(client.text(), 'early answer');
    assert.deepEqual([client.closedErrno, server.closedErrno], [0, 0]);
  });

  says('when both directions have ended the wire closes by itself, last and once', async (scene) => {
    const [client, server] = await scene.pair();
    client.end();
    server.end();
    await bothClosed(scene, client, server);
    await scene.runFor(20);
    assert.deepEqual([client.closedCount, server.closedCount], [1, 1]);
    assert.deepEqual(client.events, ['open', 'recvEnd', 'closed']);
    assert.deepEqual(server.events, ['recvEnd', 'closed']);
    assert.deepEqual([client.closedErrno, server.closedErrno], [0, 0]);
  });

  says('the end of a paused wire waits for resume, behind the bytes', async (scene) => {
    const [client, server] = await scene.pair();
    server.pause();
    client.send('last words').end();
    await scene.runFor(40);
    assert.deepEqual(server.events, []);
    server.resume();
    await scene.until(() => server.hasEnded, 'the end');
    assert.deepEqual(server.events, ['bytes', 'recvEnd']);
    assert.equal(server.text(), 'last words');
  });

  says('an end that follows bytes waits when their onBytes pauses', async (scene) => {
    const [client, server] = await scene.pair();
    server.onEvent = (event) => {
      if (event === 'bytes') server.pause();
    };
    client.send('x').end();
    await scene.until(() => server.receivedBytes === 1, 'the byte');
    await scene.runFor(40);
    assert.equal(server.hasEnded, false);
    server.resume();
    await scene.until(() => server.hasEnded, 'the end');
  });

  says('a flushing close sends all that is queued first', async (scene) => {
    const [client, server] = await scene.pair();
    server.pause();
    client.send(randomBytes(22, 100_000));
    flood(scene, client.wire!, MORE_THAN_KERNEL_HOLDS);
    await scene.runFor(20);
    assert.ok(client.wire!.queued > 0, 'something is queued');
    client.close(closeHow.flush);
    assert.equal(client.closedCount, 0, 'not inside the call');
    await scene.runFor(20);
    assert.equal(client.closedCount, 0, 'not before the peer reads');
    server.resume();
    await scene.until(() => server.hasEnded && client.closedCount > 0, 'the end');
    assert.equal(server.receivedBytes, 100_000 + MORE_THAN_KERNEL_HOLDS);
    assert.equal(client.closedErrno, 0);
    assert.equal(client.closedCount, 1);
  });

  says('a reset is seen by the peer as ECONNRESET, and is orderly for who asked', async (scene) => {
    const [client, server] = await scene.pair();
    client.close(closeHow.reset);
    assert.equal(client.closedCount, 0, 'not inside the call');
    await bothClosed(scene, client, server);
    assert.equal(server.closedErrno, ECONNRESET);
    assert.equal(client.closedErrno, 0);
    assert.equal(server.hasEnded, false, 'a cut message does not look whole');
  });

  says('a reset discards what is queued', async (scene) => {
    const [client, server] = await scene.pair();
    server.pause();
    flood(scene, client.wire!, MORE_THAN_KERNEL_HOLDS);
    await scene.runFor(20);
    client.close(closeHow.reset);
    await scene.until(() => client.closedCount > 0, 'onClosed');
    // Already closed, where the driver hears of it while paused.
    server.wire?.resume();
    await bothClosed(scene, client, server);
    assert.equal(server.closedErrno, ECONNRESET);
  });

  says('a reset cuts a flushing close short', async (scene) => {
    const [client, server] = await scene.pair();
    server.pause();
    flood(scene, client.wire!, MORE_THAN_KERNEL_HOLDS);
    await scene.runFor(20);
    client.close(closeHow.flush);
    await scene.runFor(20);
    assert.equal(client.closedCount, 0, 'the peer does not read, so it cannot be flushed');
    client.close(closeHow.reset);
    await scene.until(() => client.closedCount > 0, 'onClosed');
    server.wire?.resume();
    await bothClosed(scene, client, server);
    assert.equal(client.closedErrno, 0);
  });

  says('a flush of which the peer takes nothing is cut, and one it takes slowly is not', async (scene) => {
    const { flushStallMs } = scene.fixture;
    if (flushStallMs === undefined) return;
    // The cut comes when nothing was taken between two looks: a machine that stands still in between is no slow peer.
    const part = async (how: number) => {
      const [client, server] = await scene.pair();
      server.keeps = false;
      server.pause();
      flood(scene, client.wire!, 4 * MORE_THAN_KERNEL_HOLDS);
      await scene.runFor(20);
      client.close(how);
      // For three times the limit some of it is taken now and then: enough that the kernel says there is room (a third of its buffer).
      let goal = 0;
      server.onEvent = () => {
        if (server.receivedBytes >= goal && server.wire !== null) server.pause();
      };
      for (let i = 0; i < 9; i++) {
        goal += MORE_THAN_KERNEL_HOLDS / 4;
        server.resume();
        await scene.until(() => server.receivedBytes >= goal, 'some of it');
        await scene.runFor(flushStallMs / 3);
      }
      assert.equal(client.closedCount, 0, 'slow is not stopped');
      await scene.until(() => client.closedCount > 0, 'the cut', 4 * flushStallMs + 10_000);
      assert.equal(client.closedErrno, ETIMEDOUT);
      server.onEvent = null;
      server.wire?.resume();
      await bothClosed(scene, client, server);
      assert.equal(server.closedErrno, ECONNRESET);
    };
    for (const how of [closeHow.flush, closeHow.linger]) await scene.unlessStill(flushStallMs / 3, () => part(how));
  });

  says('a reset cuts a lingering close short', (scene) =>
    scene.unlessStill(LINGER_MS / 2, async () => {
      const [client, server] = await scene.pair();
      server.send('no').close(closeHow.linger);
      await scene.until(() => client.hasEnded, 'the end');
      assert.equal(server.closedCount, 0, 'it lingers');
      server.close(closeHow.reset);
      await scene.until(() => server.closedCount > 0, 'onClosed');
      await scene.runFor(20);
      // An end was seen, so nothing is received any more: who sends learns it.
      client.send('x');
      await bothClosed(scene, client, server);
      assert.ok([ECONNRESET, EPIPE].includes(client.closedErrno), `errno ${client.closedErrno}`);
    }),
  );

  says('a lingering close brings the answer home although the client goes on sending', (scene) =>
    scene.unlessStill(LINGER_MS / 2, async () => {
      const [client, server] = await scene.pair();
      const upload = randomBytes(25, 2 * MIB);
      server.pause();
      client.send(upload);
      await scene.runFor(20);
      server.send('413 too much').close(closeHow.linger);
      await scene.until(() => client.hasEnded, 'the answer and its end');
      assert.equal(client.text(), '413 too much');
      await scene.until(() => client.unsent === 0, 'what the client sends is taken');
      assert.equal(client.closedCount, 0, 'no reset');
      client.close();
      await bothClosed(scene, client, server);
      assert.deepEqual([client.closedErrno, server.closedErrno], [0, 0]);
      assert.deepEqual(server.events, ['closed'], 'what is discarded is not delivered');
    }),
  );

  says('a lingering close ends after LINGER_MS when the peer stays', async (scene) => {
    const [client, server] = await scene.pair();
    const since = scene.engine.now;
    server.close(closeHow.linger);
    await scene.until(() => server.closedCount > 0, 'the end of patience', 4 * LINGER_MS);
    assert.ok(scene.engine.now - since >= LINGER_MS, `after ${scene.engine.now - since} ms`);
    assert.equal(server.closedErrno, 0);
    assert.equal(client.hasEnded, true);
  });

  says('after close() no event comes but onClosed, though bytes wait', async (scene) => {
    for (const how of [closeHow.flush, closeHow.linger, closeHow.reset]) {
      const [client, server] = await scene.pair();
      server.pause();
      client.send(randomBytes(26, 50_000)).end();
      await scene.runFor(20);
      server.resume();
      server.close(how);
      await scene.until(() => server.closedCount > 0, 'onClosed');
      assert.deepEqual(server.events, ['closed'], `way to close: ${how}`);
    }
  });

  says('close() inside onBytes ends the bytes', async (scene) => {
    for (const how of [closeHow.flush, closeHow.linger, closeHow.reset]) {
      const [client, server] = await scene.pair();
      let after = 0;
      server.onEvent = () => {
        after++;
        if (after === 1) server.close(how);
      };
      client.send(randomBytes(27, 400_000)).end();
      await scene.until(() => server.closedCount > 0, 'onClosed');
      assert.deepEqual(server.events, ['bytes', 'closed'], `way to close: ${how}`);
      assert.equal(after, 2);
    }
  });

  says('who sends to a peer that has reset learns it once', async (scene) => {
    const [client, server] = await scene.pair();
    server.close(closeHow.reset);
    // The reset cannot have been seen here yet.
    client.send(randomBytes(28, 200_000));
    await bothClosed(scene, client, server);
    assert.ok([ECONNRESET, EPIPE].includes(client.closedErrno), `errno ${client.closedErrno}`);
  });

  says('a peer that closes with bytes unread resets, and the wire learns it once', async (scene) => {
    const [client, server] = await scene.pair();
    server.pause();
    client.send(randomBytes(29, MORE_THAN_KERNEL_HOLDS));
    await scene.runFor(20);
    server.close(closeHow.flush);
    await scene.until(() => client.closedCount > 0, 'onClosed');
    assert.ok([ECONNRESET, EPIPE].includes(client.closedErrno), `errno ${client.closedErrno}`);
    assert.equal(client.hasEnded, false);
  });

  says('no event of an earlier connection reaches the next one on the same object', async (scene) => {
    const address = scene.serve();
    const ways = [closeHow.flush, closeHow.linger, closeHow.reset];
    scene.onPeer = (peer) => {
      // The server answers with what it was sent, and closes in its own way when it has seen the end of the line.
      peer.onEvent = (event) => {
        if (event === 'recvEnd') peer.close();
        if (event !== 'bytes' || !peer.text().endsWith('\n') || peer.wire === null) return;
        const number = Number.parseInt(peer.text().slice(1), 10);
        peer.send(peer.text());
        peer.close(ways[number % 3]!);
      };
    };
    const rounds = 60;
    const atOnce = 6;
    const wires = new Set<unknown>();
    for (let round = 0; round < rounds; round++) {
      const clients: Peer[] = [];
      for (let i = 0; i < atOnce; i++) {
        const number = round * atOnce + i;
        const client = scene.dial(address).send(`#${number} ${'.'.repeat(number % 50)}\n`);
        wires.add(client.wire);
        clients.push(client);
      }
      // Every other round cuts some clients at once, while their events are under way.
      if (round % 2 === 1) for (const client of clients.slice(0, 2)) client.close(closeHow.reset);
      await scene.until(() => clients.every((client) => client.closedCount > 0 || client.hasEnded), 'the round is over');
      for (const [i, client] of clients.entries()) {
        const number = round * atOnce + i;
        if (client.receivedBytes > 0 && client.hasEnded) {
          assert.equal(client.text(), `#${number} ${'.'.repeat(number % 50)}\n`);
        }
        assert.ok(client.events.filter((event) => event === 'open').length <= 1);
        if (client.wire !== null) client.close(closeHow.reset);
      }
      await scene.until(() => scene.peers.every((peer) => peer.wire === null), 'all closed');
    }
    for (const peer of scene.served) {
      const lines = peer.text().split('\n').length - 1;
      assert.ok(lines <= 1, 'one line for one connection');
    }
    assert.ok(wires.size < rounds * atOnce, 'objects were used again, else this proves nothing');
  });
}
