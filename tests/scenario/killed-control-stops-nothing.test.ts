/**
 * Harm prevented: the process that only configures takes the traffic with it when it dies, or its successor refuses connections while it takes over.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { KeyedEndpoint } from '../support/keyed-endpoint.ts';
import { describeLoad, failed, Load } from '../support/load.ts';
import { isAlive } from '../support/system.ts';
import { until } from '../support/wait.ts';
import { get, simpleConfig, Weir, type WeirOptions } from '../support/weir.ts';

test('workers serve on when control is killed, and the next weir run takes over without a refused connection', async () => {
  const endpoints = await KeyedEndpoint.startMany(2);
  const options: WeirOptions = {
    workers: 2,
    config: (ports) =>
      simpleConfig(
        ports,
        endpoints.map(({ address }) => address),
      ),
  };
  const first = await Weir.start(options);
  const ports = { web: first.port, admin: first.adminPort };
  const workers = first.workers;
  const kept = new Load({ port: first.port, connections: 20, rate: 500 });
  const fresh = new Load({ port: first.port, connections: 4, rate: 100, requestsPerConnection: 1 });
  let second: Weir | null = null;
  try {
    await kept.more(250);
    first.signal('SIGKILL');
    await first.exited;
    await kept.more(500);
    await fresh.more(50);
    assert.deepEqual(workers.filter(isAlive), workers, 'both workers live on');
    assert.equal((await get(first.port, '/keyed/a/10')).status, 200);

    second = await Weir.start({ ...options, ports, folder: first.folder });
    await kept.more(500);
    await fresh.more(50);
    await until('the workers of the first to have left', () => workers.every((pid) => !isAlive(pid)), 30_000, 20);
    await fresh.more(100);
    for (const load of [kept, fresh]) {
      const result = await load.stop();
      assert.equal(failed(result), 0, describeLoad(result));
    }
  } finally {
    kept.kill();
    fresh.kill();
    await second?.stop();
    await first.kill();
    for (const endpoint of endpoints) await endpoint.kill();
  }
});
