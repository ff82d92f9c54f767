// Pouring is io_uring's alone for now: that it happens, what it holds back, what it falls back to.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { closeHow } from '../base/wire.ts';
import { type Joint, join } from './conformance/pouring.ts';
import { type Scene, sentence } from './conformance/scene.ts';
import { randomBytes } from './conformance/streams.ts';
import { kernelFixture } from './kernel-fixture.ts';
import { openUring } from './uring.ts';

const MIB = 1024 * 1024;
const open = () => kernelFixture(openUring({ largeCount: 512, smallCount: 1024, receiveDepth: 32, pipesMax: 4 }), false);
let unavailable: string | false = false;
try {
  open().close();
} catch (error) {
  unavailable = `no io_uring here: ${(error as Error).message}`;
}
const says = (text: string, body: (scene: Scene) => Promise<void>): void => {
  if (unavailable === false) sentence('uring', open, text, body);
  else test(`uring: ${text}`, { skip: unavailable });
};

says('much that arrives at a time is poured, little is not', async (scene) => {
  const { client, near, far, server } = await join(scene);
  for (let i = 0; i < 50; i++) {
    server.send('0123456789');
    await scene.until(() => client.receivedBytes === 10 * (i + 1), 'a small piece');
  }
  assert.equal(far.wire!.pouredMs, 0);
  client.clear();
  const down = randomBytes(40, 6 * MIB);
  server.send(down);
  await scene.until(() => client.receivedBytes === down.length, 'all of it');
  assert.ok(far.wire!.pouredMs > 0);
  assert.equal(far.wire!.received, down.length + 500);
  // The client may have the bytes before the kernel's answer about them is here.
  await scene.until(() => near.wire!.sent === down.length + 500, 'all of it to be counted');
  assert.ok(client.bytes().equals(down));
});

says('a receiver that takes nothing holds the sender up, with little in between', async (scene) => {
  const { client, near, far, server } = await join(scene);
  client.keeps = false;
  // Until it pours.
  server.send(Buffer.alloc(MIB));
  await scene.until(() => client.receivedBytes === MIB, 'the first');
  client.pause();
  server.send(Buffer.alloc(64 * MIB));
  let last = -1;
  await scene.until(() => {
    const stood = server.wire!.sent === last;
    last = server.wire!.sent;
    return stood && near.wire!.sent < far.wire!.received;
  }, 'everything to stand still');
  assert.ok(server.wire!.sent < 33 * MIB, 'the sender waits');
  assert.ok(far.wire!.received - near.wire!.sent <= 512 * 1024, 'a pipe and what waits in blocks are all that is held');
  client.close(closeHow.reset);
  await scene.until(() => server.closedCount === 1, 'the end');
});

says('where no pipe can be had the blocks go on', async (scene) => {
  const { client, far, server } = await join(scene);
  const restore = scene.fixture.exhaustDescriptors!();
  const down = randomBytes(41, 6 * MIB);
  server.send(down);
  await scene.until(() => client.receivedBytes === down.length, 'all of it');
  restore();
  assert.equal(far.wire!.pouredMs, 0);
  assert.ok(client.bytes().equals(down));
});

says('more streams than pipes are carried all the same, and pipes go round', async (scene) => {
  const joints: Joint[] = [];
  for (let i = 0; i < 8; i++) joints.push(await join(scene));
  const down = joints.map((_, i) => randomBytes(50 + i, 8 * MIB));
  // Receivers that stop hold a pipe each.
  for (const { client } of joints) client.pause();
  for (const [i, { server }] of joints.entries()) server.send(down[i]!);
  await scene.until(() => joints.every(({ server }) => server.wire!.sent > MIB), 'the buffers to fill');
  for (const { client } of joints) client.resume();
  await scene.until(() => joints.every(({ client }, i) => client.receivedBytes === down[i]!.length), 'all of it');
  for (const [i, { client }] of joints.entries()) assert.ok(client.bytes().equals(down[i]!));
});
