import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import { createConnection, createServer, type Server, type Socket } from 'node:net';
import { type TestContext, test } from 'node:test';
import { TCP_LISTEN, TCP_TIME_WAIT } from './constants.generated.ts';
import { addressWords, listTcp, REMOTE_PORTS_MAX } from './socket-diag.ts';

/** TCP_ESTABLISHED. */
const ESTABLISHED = 1;

async function listening(t: TestContext, host: string): Promise<number> {
  const server: Server = createServer();
  await new Promise<void>((resolve) => server.listen(0, host, () => resolve()));
  t.after(() => server.close());
  return (server.address() as { port: number }).port;
}

async function dial(t: TestContext, host: string, port: number, count: number): Promise<Socket[]> {
  const clients: Socket[] = [];
  for (let i = 0; i < count; i++) {
    const client = createConnection({ host, port });
    t.after(() => client.destroy());
    await once(client, 'connect');
    clients.push(client);
  }
  return clients;
}

function list(isV6: boolean, states: number, remotePorts: readonly number[]): string[] {
  const found: string[] = [];
  const count = listTcp({ isV6, states: 1 << states, remotePorts }, (row) =>
    found.push(`${row.state} ${row.localPort} ${[...row.local]} > ${row.remotePort} ${[...row.remote]}`),
  );
  assert.equal(count, found.length);
  return found.sort();
}

for (const host of ['127.0.0.1', '::1'])
  test(`connections to a port of ${host} are listed with both their ends, and no others`, async (t) => {
    const [a, b] = [await listening(t, host), await listening(t, host)];
    const clients = await dial(t, host, a, 3);
    await dial(t, host, b, 2);
    const isV6 = host === '::1';
    const words = String([...addressWords(host)]);
    const expected = clients.map(({ localPort }) => `1 ${localPort} ${words} > ${a} ${words}`).sort();
    assert.deepEqual(list(isV6, ESTABLISHED, [a]), expected);
    assert.equal(list(isV6, ESTABLISHED, [a, b]).length, 5);
    assert.equal(list(isV6, ESTABLISHED, [b, 1, a]).length, 5);
    assert.deepEqual(list(isV6, TCP_TIME_WAIT, [a, b]), []);
    assert.deepEqual(list(!isV6, ESTABLISHED, [a, b]), []);
    assert.ok(list(isV6, ESTABLISHED, []).length >= 10, 'both ends of each');
  });

test('as many ports as may be asked for, and one more, which asks for all', async (t) => {
  const port = await listening(t, '127.0.0.1');
  await dial(t, '127.0.0.1', port, 1);
  const ports = [...Array.from({ length: REMOTE_PORTS_MAX - 1 }, (_, i) => i + 1), port];
  assert.equal(list(false, ESTABLISHED, ports).length, 1);
  assert.ok(list(false, ESTABLISHED, [...ports, REMOTE_PORTS_MAX]).length >= 2);
});

test('more connections than one message of the kernel holds are all listed, and no descriptor stays open', async (t) => {
  const port = await listening(t, '127.0.0.1');
  await dial(t, '127.0.0.1', port, 700);
  const before = readdirSync('/proc/self/fd').length;
  assert.equal(new Set(list(false, ESTABLISHED, [port])).size, 700);
  assert.equal(readdirSync('/proc/self/fd').length, before);
});

test('those in TIME_WAIT, and those that listen, are asked for by their state', async (t) => {
  const port = await listening(t, '127.0.0.1');
  const [client] = await dial(t, '127.0.0.1', port, 1);
  // Who closes first keeps the TIME_WAIT; the server closes when it has read the end.
  client!.resume().end();
  await once(client!, 'close');
  assert.equal(list(false, TCP_TIME_WAIT, [port]).length, 1);
  assert.ok(list(false, TCP_LISTEN, []).some((text) => text.includes(` ${port} `)));
});
