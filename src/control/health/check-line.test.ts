import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import type { Socket } from 'node:net';
import { test } from 'node:test';
import { TLSSocket } from 'node:tls';
import { certificateFor } from '../../../tests/support/certificate.ts';
import { until } from '../../../tests/support/wait.ts';
import { checksOf, closedPort, httpPlan, loopback, make, peer, planOf, run, short } from './check-fixture.ts';

const lines = { 1: Buffer.from('PROXY UNKNOWN\r\n'), 2: Buffer.from('\r\n\r\n\0\r\nQUIT\n\x20\0\0\0', 'latin1') } as const;

/** Takes a PROXY line of this length off the front; what follows stays in the socket. */
function takeLine(socket: Socket, length: number, then: (line: Buffer) => void): void {
  socket.pause();
  const look = (): void => {
    const line = socket.read(length) as Buffer | null;
    if (line === null) return;
    socket.off('readable', look);
    then(line);
  };
  socket.on('readable', look);
}

for (const version of [1, 2] as const) {
  test(`a check sends the PROXY line of version ${version} ahead of what it asks`, async (t) => {
    const said: Buffer[] = [];
    const address = await peer(t, (socket) => {
      socket.on('data', (bytes: Buffer) => {
        said.push(bytes);
        if (Buffer.concat(said).includes('\r\n\r\nGET') || Buffer.concat(said).toString().endsWith('\r\n\r\n'))
          socket.end('HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n');
      });
    });
    const result = await run(make(checksOf(t), address, httpPlan({ proxyProtocol: version })));
    assert.equal(short(result), 'ok: 200 OK');
    const all = Buffer.concat(said);
    assert.deepEqual(all.subarray(0, lines[version].length), lines[version]);
    assert.match(all.subarray(lines[version].length).toString('latin1'), /^GET \/healthz HTTP\/1\.1\r\n/);
  });

  test(`an https check sends the PROXY line of version ${version} ahead of its handshake`, async (t) => {
    const { key, cert } = certificateFor('app.internal');
    let line: Buffer | null = null;
    const address = await peer(t, (socket) => {
      takeLine(socket, lines[version].length, (taken) => {
        line = taken;
        const secure = new TLSSocket(socket, { isServer: true, key, cert });
        secure.on('error', () => {});
        secure.once('data', () => secure.end('HTTP/1.1 204 No Content\r\n\r\n'));
      });
    });
    const tls = { serverName: 'app.internal', verify: true, ca: cert };
    const check = make(checksOf(t), address, httpPlan({ proxyProtocol: version, tls }));
    assert.equal(short(await run(check)), 'ok: 204 No Content');
    assert.deepEqual(line, lines[version]);
  });
}

test('who speaks first hears the line all the same', async (t) => {
  const address = await peer(t, (socket) => {
    socket.once('data', (bytes: Buffer) => {
      if (bytes.equals(lines[1])) socket.write(Buffer.from('0a000000' + '0a' + '382e302e33360000', 'hex'));
      else socket.destroy();
    });
  });
  assert.match(short(await run(make(checksOf(t), address, planOf<'mysql'>({ type: 'mysql', proxyProtocol: 1 })))), /^ok: /);
});

test('an https check with a line gives its descriptors back, whatever becomes of it', async (t) => {
  const mute = await peer(t, () => {});
  const reset = await peer(t, (socket) => socket.on('data', () => socket.resetAndDestroy()));
  const checks = checksOf(t);
  const before = readdirSync('/proc/self/fd').length;
  const plan = httpPlan({ proxyProtocol: 1, tls: { serverName: null, verify: false, ca: null }, timeoutMs: 100 });
  const addresses = [mute, reset, loopback(await closedPort())];
  const results = await Promise.all(addresses.map((address) => run(make(checks, address, plan))));
  assert.deepEqual(
    results.map(({ passed }) => passed),
    [false, false, false],
  );
  await until('the descriptors to be given back', () => readdirSync('/proc/self/fd').length <= before);
});

test('an https check with a line says who refuses the connection', async (t) => {
  const tls = { serverName: null, verify: false, ca: null };
  const check = make(checksOf(t), loopback(await closedPort()), httpPlan({ proxyProtocol: 2, tls }));
  assert.equal(short(await run(check)), 'connection_refused: ECONNREFUSED');
});
