/** The load generator must see what goes wrong: each outcome is provoked here by a scripted endpoint in weir's place. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { keyedBody } from './keyed.ts';
import { KeyedEndpoint } from './keyed-endpoint.ts';
import { failed, Load, type LoadPlan, type LoadResult, type Outcome } from './load.ts';
import { answer, ok, type Script, ScriptedEndpoint } from './peer.ts';
import { freePort } from './system.ts';
import { until } from './wait.ts';

async function against(script: Script, plan: Partial<LoadPlan> = {}): Promise<LoadResult> {
  const endpoint = await ScriptedEndpoint.start(script);
  const load = new Load({ port: endpoint.port, connections: 1, requests: 3, sizeMin: 10, sizeMax: 10, ...plan });
  try {
    return await load.done(20_000);
  } finally {
    await endpoint.close();
  }
}

const right = answer((request) => {
  const [, , key, size] = request.startLine.split(' ')[1]!.split('/');
  return ok(keyedBody(key!, Number(size)).toString('latin1'));
});

test('counts good answers, pipelined and not', async () => {
  for (const pipeline of [1, 4]) {
    const result = await against(right, { requests: 40, connections: 3, pipeline, sizeMax: 3000 });
    assert.equal(result.counts.ok, 40);
    assert.equal(failed(result), 0);
  }
});

const wrongs: readonly (readonly [Outcome, Script])[] = [
  ['wrongBody', answer(ok('someone else'))],
  ['wrongBody', answer((request) => ok(keyedBody(request.startLine.split('/')[2]!, 9).toString('latin1')))],
  ['status', answer('HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n')],
  ['protocol', answer('HTTP/1.1 200 OK\nContent-Length: 0\n\n')],
  ['closed', (peer) => peer.expect('\r\n\r\n').then(() => peer.sendEnd())],
  ['reset', (peer) => peer.expect('\r\n\r\n').then(() => peer.reset())],
  [
    'truncated',
    async (peer) => {
      await peer.expect('\r\n\r\n');
      peer.send('HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc');
      peer.sendEnd();
    },
  ],
  ['timeout', () => {}],
];
for (const [outcome, script] of wrongs)
  test(`counts ${outcome}`, async () => {
    const result = await against(script, outcome === 'timeout' ? { timeoutMs: 400 } : {});
    assert.equal(result.counts[outcome], 3);
    assert.equal(failed(result), 3);
    assert.equal(result.counts.ok, 0);
  });

test('counts refused connections', async () => {
  const load = new Load({ port: await freePort(), connections: 1 });
  await until('refusals', async () => (await load.progress()).refused > 3);
  const result = await load.stop();
  assert.ok(result.counts.refused > 3);
  assert.equal(result.counts.refused, failed(result));
});

test('the keyed endpoint and the load agree, bodies echoed and cut', async () => {
  const endpoint = await KeyedEndpoint.start('e');
  const load = new Load({ port: endpoint.port, connections: 8, requests: 400, kind: 'mixed', splits: true, sizeMax: 30_000 });
  const result = await load.done(20_000);
  assert.equal(result.counts.ok, 400);
  assert.equal(failed(result), 0);
  assert.equal(result.byEndpoint['e'], 400);
  assert.equal((await endpoint.stats()).requests, 400);
  await endpoint.kill();
});
