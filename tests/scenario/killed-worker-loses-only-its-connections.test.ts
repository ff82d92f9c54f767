/**
 * Harm prevented: a crash of one worker takes the listener down, or clients that were not its own feel it (promise P7).
 * Runs alone: it measures time.
 */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { KeyedEndpoint } from '../support/keyed-endpoint.ts';
import { describeLoad, Load } from '../support/load.ts';
import { commandOf, isAlive, peersOf } from '../support/system.ts';
import { until } from '../support/wait.ts';
import { get, simpleConfig, Weir } from '../support/weir.ts';

/** From the kill to a successor that runs. */
const REPLACED_MS = 200;

describe('a worker under load', () => {
  let endpoints: KeyedEndpoint[];
  let weir: Weir;
  before(async () => {
    endpoints = await KeyedEndpoint.startMany(2);
    weir = await Weir.start({
      workers: 2,
      config: (ports) =>
        simpleConfig(
          ports,
          endpoints.map(({ address }) => address),
        ),
    });
  });
  after(async () => {
    await weir?.stop();
    for (const endpoint of endpoints ?? []) await endpoint.kill();
  });

  for (const signal of ['SIGKILL', 'SIGSEGV'] as const)
    test(`killed by ${signal} loses its own connections only, and is replaced within ${REPLACED_MS} ms`, async () => {
      const load = new Load({ port: weir.port, connections: 40, rate: 2000 });
      await load.more(1000);
      const [victim, other] = weir.workers;
      const own = await until('connections on the worker that will be killed', () => {
        const ports = peersOf(victim!, weir.port);
        return ports.size > 0 && ports;
      });
      const killedAt = Date.now();
      process.kill(victim!, signal);
      await until('a successor', () => weir.workers.some((pid) => pid !== victim && pid !== other && isAlive(pid)), 2000, 2);
      const replacedMs = Date.now() - killedAt;
      await load.more(2000);
      const result = await load.stop();
      const others = result.failures.filter(({ port }) => !own.has(port));
      assert.deepEqual(others, [], `failures on connections of others\n${describeLoad(result)}`);
      assert.ok(result.failures.length <= own.size, `more failures than the worker had connections\n${describeLoad(result)}`);
      assert.equal(
        result.counts.refused + result.counts.timeout + result.counts.wrongBody + result.counts.status,
        0,
        describeLoad(result),
      );
      assert.ok(replacedMs <= REPLACED_MS, `replaced after ${replacedMs} ms`);
      assert.ok(isAlive(other!), 'the other worker was not touched');
    });

  test('the successor takes its share of new connections', async () => {
    await until('both workers to have answered', async () => {
      const load = new Load({ port: weir.port, connections: 40, requests: 400 });
      const result = await load.done(10_000);
      assert.equal(result.counts.ok, 400, describeLoad(result));
      return true;
    });
    assert.equal(weir.workers.length, 2);
    assert.equal(await weir.metric('weir_worker_restarts_total'), 2);
  });
});

describe('a worker that dies again and again', () => {
  test('is replaced more and more slowly, loudly, while the others serve; and control stays', async () => {
    const endpoint = await KeyedEndpoint.start('e');
    const weir = await Weir.start({ workers: 2, config: (ports) => simpleConfig(ports, [endpoint.address]) });
    try {
      const keeper = weir.workers[1]!;
      const killUntil = Date.now() + 3000;
      let kills = 0;
      while (Date.now() < killUntil) {
        const victim = weir.workers.find((pid) => pid !== keeper);
        if (victim !== undefined) {
          process.kill(victim, 'SIGKILL');
          kills++;
        }
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
      // Unthrottled, a worker a moment after the other would have come up: some 20 or more in this time.
      assert.ok(kills >= 2 && kills <= 15, `${kills} workers were started and killed in 3 s`);
      assert.ok(isAlive(keeper) && commandOf(weir.pid) !== '', 'the other worker and control live');
      assert.equal((await get(weir.port, '/keyed/a/10')).status, 200);
      assert.match(weir.stderr + weir.stdout, /worker/i);
      await until('a full set of workers again', () => weir.workers.length === 2, 35_000, 50);
    } finally {
      await weir.stop();
      await endpoint.kill();
    }
  });
});
