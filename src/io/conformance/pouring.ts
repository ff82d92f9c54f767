/** pouring: wires that carry what arrives to another wire, inside the kernel where the driver can, by onBytes and send() where it cannot. */
import assert from 'node:assert/strict';
import { closeHow } from '../../base/wire.ts';
import type { Peer } from '../peer.ts';
import { type OpenFixture, type Scene, sentence } from './scene.ts';
import { randomBytes } from './streams.ts';

const MIB = 1024 * 1024;

/** A client and a server with two wires between them that pour into each other. */
export interface Joint {
  readonly client: Peer;
  readonly near: Peer;
  readonly far: Peer;
  readonly server: Peer;
}

/** client <-> near | far <-> server */
export async function join(scene: Scene): Promise<Joint> {
  const [client, near] = await scene.pair();
  const [far, server] = await scene.pair();
  carry(near, far);
  carry(far, near);
  near.wire!.pourInto(far.wire!);
  far.wire!.pourInto(near.wire!);
  return { client, near, far, server };
}

/** What a tunnel does with what it is told: it passes it on. */
function carry(from: Peer, to: Peer): void {
  from.onEvent = (name) => {
    if (name === 'bytes') {
      to.send(from.bytes());
      from.clear();
    } else if (name === 'recvEnd') to.end();
    else if (name === 'closed' && from.closedErrno !== 0) to.close(closeHow.reset);
  };
}

export function pouringSentences(name: string, open: OpenFixture): void {
  const says = (text: string, body: (scene: Scene) => Promise<void>) => sentence(name, open, text, body);

  says('what is poured both ways arrives whole and in order, and then the ends of both streams', async (scene) => {
    const { client, near, far, server } = await join(scene);
    const up = randomBytes(11, 3 * MIB);
    const down = randomBytes(12, 5 * MIB + 77);
    client.send(up).end();
    server.send(down).end();
    await scene.until(() => client.closedCount + server.closedCount === 2, 'both streams ended');
    assert.ok(server.bytes().equals(up));
    assert.ok(client.bytes().equals(down));
    await scene.until(() => near.closedCount + far.closedCount === 2, 'the wires between');
    assert.equal(near.closedErrno, 0);
    assert.equal(far.closedErrno, 0);
  });

  says('small pieces before, between and after much that is poured keep their places', async (scene) => {
    const { client, server } = await join(scene);
    const parts: Buffer[] = [];
    for (let i = 0; i < 4; i++) parts.push(Buffer.from(`small ${i}`), randomBytes(20 + i, 2 * MIB + i));
    const expected = Buffer.concat(parts);
    for (const part of parts) {
      const before = client.receivedBytes;
      server.send(part);
      await scene.until(() => client.receivedBytes === before + part.length, 'the part');
    }
    assert.ok(client.bytes().equals(expected));
    client.send('ping');
    await scene.until(() => server.text() === 'ping', 'the other way');
  });

  says('a receiver that stops and goes on misses nothing of what is poured', async (scene) => {
    const { client, server } = await join(scene);
    const down = randomBytes(30, 12 * MIB);
    client.pause();
    server.send(down).end();
    await scene.until(() => server.wire!.sent > MIB, 'the buffers to fill');
    await scene.runFor(50);
    client.resume();
    await scene.until(() => client.hasEnded, 'the end');
    assert.ok(client.bytes().equals(down));
  });

  says('a reset of the receiver of what is poured is told, and nothing is left', async (scene) => {
    const { client, near, far, server } = await join(scene);
    client.pause();
    server.send(randomBytes(31, 12 * MIB));
    await scene.until(() => server.wire!.sent > MIB, 'the buffers to fill');
    client.close(closeHow.reset);
    await scene.until(() => near.closedCount === 1, 'the reset seen');
    assert.notEqual(near.closedErrno, 0);
    await scene.until(() => far.closedCount === 1 && server.closedCount === 1, 'the reset passed on');
    assert.notEqual(server.closedErrno, 0);
  });

  says('a reset of the sender of what is poured is told, and nothing is left', async (scene) => {
    const { client, near, far, server } = await join(scene);
    client.pause();
    server.send(randomBytes(32, 12 * MIB));
    await scene.until(() => server.wire!.sent > MIB, 'the buffers to fill');
    server.close(closeHow.reset);
    client.resume();
    await scene.until(() => client.closedCount === 1, 'the reset passed on');
    assert.notEqual(client.closedErrno, 0);
    await scene.until(() => near.closedCount === 1 && far.closedCount === 1, 'the wires between');
  });
}
