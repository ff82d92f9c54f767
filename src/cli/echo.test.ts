import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import { startEcho } from './echo.ts';
import { bytes, duration, localAddress, share } from './flags.ts';

const quick = { host: '127.0.0.1', port: 0, delayMs: 0, fail: 0, seed: 7 };

test('a test endpoint says its name and address, in text and in JSON', async (t) => {
  const endpoint = await startEcho({ ...quick, name: 'one' });
  t.after(() => endpoint.close());
  const text = await (await fetch(`http://${endpoint.address}/a?b=1`)).text();
  assert.equal(text, `one at ${endpoint.address}: GET /a?b=1\n`);
  const headers = { accept: 'application/json', 'x-two': 'y' };
  const json = (await (await fetch(`http://${endpoint.address}/a`, { headers, method: 'POST', body: 'x' })).json()) as {
    name: string;
    method: string;
    headers: Record<string, string[]>;
  };
  assert.equal(json.name, 'one');
  assert.equal(json.method, 'POST');
  assert.deepEqual(json.headers['x-two'], ['y']);
  assert.equal(endpoint.requests(), 2);
});

test('/bytes gives exactly the size asked for, /body the same bytes back, and a bad size is 400', async (t) => {
  const endpoint = await startEcho({ ...quick, name: 'one' });
  t.after(() => endpoint.close());
  const sized = await (await fetch(`http://${endpoint.address}/bytes/200KiB`)).arrayBuffer();
  assert.equal(sized.byteLength, 200 * 1024);
  const back = await (await fetch(`http://${endpoint.address}/body`, { method: 'PUT', body: 'x'.repeat(300_000) })).text();
  assert.equal(back, 'x'.repeat(300_000));
  assert.equal((await fetch(`http://${endpoint.address}/bytes/many`)).status, 400);
});

test('the share of failing requests follows from the seed alone', async (t) => {
  const statuses = async (seed: number): Promise<number[]> => {
    const endpoint = await startEcho({ ...quick, name: 'one', fail: 0.5, seed });
    t.after(() => endpoint.close());
    const seen: number[] = [];
    for (let i = 0; i < 20; i++) seen.push((await fetch(`http://${endpoint.address}/`)).status);
    return seen;
  };
  const first = await statuses(7);
  assert.deepEqual(await statuses(7), first);
  assert.ok(first.includes(200) && first.includes(500));
  assert.notDeepEqual(await statuses(8), first);
});

test('?delay= holds the answer back', async (t) => {
  const endpoint = await startEcho({ ...quick, name: 'one' });
  t.after(() => endpoint.close());
  const before = performance.now();
  await (await fetch(`http://${endpoint.address}/?delay=60ms`)).text();
  assert.ok(performance.now() - before >= 59);
});

test('a WebSocket message comes back as it was sent, of every length encoding', async (t) => {
  const endpoint = await startEcho({ ...quick, name: 'one' });
  t.after(() => endpoint.close());
  const socket = new WebSocket(`ws://${endpoint.address}/`);
  t.after(() => socket.close());
  await once(socket, 'open');
  for (const size of [0, 5, 125, 126, 65_535, 65_536]) {
    const message = once(socket, 'message');
    socket.send('x'.repeat(size));
    const [event] = (await message) as [MessageEvent];
    assert.equal(event.data, 'x'.repeat(size));
  }
});

test('server-sent events arrive one by one and end', async (t) => {
  const endpoint = await startEcho({ ...quick, name: 'one' });
  t.after(() => endpoint.close());
  const text = await (await fetch(`http://${endpoint.address}/events?count=3&every=5ms`)).text();
  assert.equal(text, [1, 2, 3].map((id) => `id: ${id}\ndata: one\n\n`).join(''));
});

test('flags want their unit and say so', () => {
  assert.equal(duration('20ms'), 20);
  assert.equal(duration('1.5s'), 1500);
  assert.throws(() => duration('20'), /unit/);
  assert.equal(share('5%'), 0.05);
  assert.throws(() => share('101%'), /share/);
  assert.throws(() => share('5'), /share/);
  assert.equal(bytes('16KiB'), 16384);
  assert.equal(bytes('-1'), null);
  assert.deepEqual(localAddress(':9001'), { host: '127.0.0.1', port: 9001 });
  assert.deepEqual(localAddress('[::1]:80'), { host: '::1', port: 80 });
  assert.throws(() => localAddress('example.com:80'), /expected an address/);
  assert.throws(() => localAddress(':65536'), /expected an address/);
});
