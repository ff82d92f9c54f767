import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { type Address, addressText } from '../../base/wire.ts';
import type { Plan } from '../../state/plan.ts';
import { ListenError, Sockets } from './sockets.ts';

const folder = mkdtempSync(join(tmpdir(), 'weir-sockets-'));
after(() => rmSync(folder, { recursive: true }));

const ip = (port: number, host = '127.0.0.1'): Address => ({ kind: 'ip', host, port });
const planOf = (listeners: Record<string, Address[]>, admin: Address[] = []): Plan =>
  ({
    listeners: Object.entries(listeners).map(([name, addresses]) => ({ name, addresses })),
    admin: { listen: admin },
  }) as unknown as Plan;

function answers(address: Address): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = address.kind === 'ip' ? connect(address.port, address.host) : connect(address.path);
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}

async function takenPort(t: { after: (f: () => void) => void }): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  t.after(() => void server.close());
  return (server.address() as { port: number }).port;
}

test('each worker slot has its own socket on the same port, and a plan that names it again keeps it', async (t) => {
  const sockets = new Sockets(3, false);
  t.after(() => sockets.closeAll());
  const plan = planOf({ web: [ip(0)] });
  const { opened } = await sockets.prepare(plan);
  assert.equal(opened.length, 3);
  assert.equal(new Set(opened.map(({ address }) => addressText(address))).size, 1);
  assert.equal(new Set(opened.map(({ inode }) => inode)).size, 3);
  assert.deepEqual(
    [0, 1, 2].map((slot) => sockets.of(slot).length),
    [1, 1, 1],
  );
  assert.deepEqual((await sockets.prepare(plan)).opened, []);
});

test('retire closes what the plan no longer names, forget what a refused plan had opened', async (t) => {
  const sockets = new Sockets(1, false);
  t.after(() => sockets.closeAll());
  await sockets.prepare(planOf({ web: [ip(0)] }));
  const { opened } = await sockets.prepare(planOf({ web: [ip(0)], more: [ip(0)] }));
  const more = opened[0]!.address;
  assert.equal(await answers(more), true);
  sockets.forget(opened);
  assert.equal(await answers(more), false);
  assert.deepEqual(sockets.retire(planOf({})), ['web|127.0.0.1:0']);
  assert.deepEqual(sockets.all(), []);
});

test('a port that somebody has is refused, also when they would share it, and nothing stays open', async (t) => {
  const others = new Sockets(1, false);
  t.after(() => others.closeAll());
  const { opened } = await others.prepare(planOf({ web: [ip(0)] }));
  const taken = opened[0]!.address;
  const sockets = new Sockets(2, false);
  await assert.rejects(sockets.prepare(planOf({ one: [ip(0)], web: [taken] })), (error: ListenError) => {
    assert.ok(error instanceof ListenError);
    assert.match(error.message, new RegExp(`listener web.*taken by .*pid ${process.pid}`));
    return true;
  });
  assert.deepEqual(sockets.all(), []);
});

test('with fallback the next free port is taken, but none that the plan names elsewhere', async (t) => {
  const port = await takenPort(t);
  const sockets = new Sockets(2, true);
  t.after(() => sockets.closeAll());
  const { moved } = await sockets.prepare(planOf({ web: [ip(port)] }, [ip(port + 1)]));
  assert.equal(moved.length, 1);
  const got = moved[0]!.got as { port: number };
  assert.ok(got.port > port + 1 && got.port <= port + 100);
  assert.deepEqual(sockets.boundTo(`web|127.0.0.1:${port}`), ip(got.port));
});

test('an address of another machine is refused in words', async () => {
  await assert.rejects(new Sockets(1, false).prepare(planOf({ web: [ip(0, '192.0.2.1')] })), /this machine has no such address/);
});

test(':: takes IPv4, too', async (t) => {
  const sockets = new Sockets(1, false);
  t.after(() => sockets.closeAll());
  const { opened } = await sockets.prepare(planOf({ web: [ip(0, '::')] }));
  assert.equal(await answers(ip((opened[0]!.address as { port: number }).port)), true);
});

test('a unix path is one socket for all slots; a dead one is replaced, a living one or a file refused', async (t) => {
  const path = join(folder, 'a.sock');
  const address: Address = { kind: 'unix', path };
  const sockets = new Sockets(3, false);
  t.after(() => sockets.closeAll());
  const { opened } = await sockets.prepare(planOf({ web: [address] }));
  assert.equal(opened.length, 1);
  assert.deepEqual(
    [0, 1, 2].map((slot) => sockets.of(slot)[0]!.fd),
    Array(3).fill(opened[0]!.fd),
  );
  await assert.rejects(new Sockets(1, false).prepare(planOf({ web: [address] })), /another program listens on it/);
  sockets.closeAll();
  assert.equal(existsSync(path), false);
  writeFileSync(path, 'precious');
  await assert.rejects(new Sockets(1, false).prepare(planOf({ web: [address] })), /it is a file/);
});

test('sockets of a predecessor are served by fewer slots, and joined by more', async (t) => {
  const before = new Sockets(3, false);
  t.after(() => before.closeAll());
  const { opened } = await before.prepare(planOf({ web: [ip(0)] }));
  const real = opened[0]!.address;
  const asPlanned = opened.map((socket) => ({ ...socket, key: `web|${addressText(real)}` }));
  const fewer = new Sockets(2, false);
  fewer.adopt(asPlanned);
  assert.deepEqual((await fewer.prepare(planOf({ web: [real] }))).opened, []);
  assert.deepEqual(
    [0, 1].map((slot) => fewer.of(slot).length),
    [2, 1],
  );
  const more = new Sockets(4, false);
  more.adopt(asPlanned);
  const joined = await more.prepare(planOf({ web: [real] }));
  t.after(() => more.forget(joined.opened));
  assert.deepEqual(
    joined.opened.map(({ slot }) => slot),
    [3],
  );
  assert.deepEqual(joined.opened[0]!.address, real);
});
