/**
 * Harm prevented: an endpoint that was taken out is asked again because a process of weir died; it never returns because the process that knew the time is
 * gone; or passive health that only watches acts.
 */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { command } from '../support/command.ts';
import { answer, ask, ok, ScriptedEndpoint } from '../support/peer.ts';
import { isAlive } from '../support/system.ts';
import { until } from '../support/wait.ts';
import { simpleConfig, Weir, type WeirOptions } from '../support/weir.ts';

const GET = 'GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n';
const BUSY = 'HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n';

/** `sick` is asked first for as long as it may be; it fails while `isSick`. */
class Pair {
  readonly sick: ScriptedEndpoint;
  readonly good: ScriptedEndpoint;
  isSick = true;
  /** Requests that `sick` got. */
  asked = 0;

  private constructor(sick: ScriptedEndpoint, good: ScriptedEndpoint) {
    this.sick = sick;
    this.good = good;
    sick.script = answer(() => {
      this.asked++;
      return this.isSick ? BUSY : ok('sick');
    });
  }
  static async start(): Promise<Pair> {
    return new Pair(await ScriptedEndpoint.start(() => {}), await ScriptedEndpoint.start(answer(ok('good'))));
  }
  options(passive: Record<string, unknown>): WeirOptions {
    const pool = { balance: 'first', health: { passive } };
    return { workers: 2, config: (ports) => simpleConfig(ports, [this.sick.address, this.good.address], { pool }) };
  }
  async close(): Promise<void> {
    await this.sick.close();
    await this.good.close();
  }
}

/** So many clients, each on a connection of its own: what they were told. */
async function visits(weir: Weir, count: number): Promise<string[]> {
  const said: string[] = [];
  for (let i = 0; i < count; i++) said.push((await ask(weir.port, GET)).body.toString());
  return said;
}
/** The sick endpoint fails as often as it takes. */
async function failUntilEjected(weir: Weir): Promise<void> {
  for (let i = 0; i < 5; i++) assert.equal((await ask(weir.port, GET)).status, 503);
  await until('the ejection', () => weir.events('endpoint_ejected').length > 0);
}
interface Told {
  status: { state: string; reason: string };
  ejection: { cause: string | null; returnsAt: string | null } | null;
}
async function told(weir: Weir, { address }: ScriptedEndpoint): Promise<Told> {
  return JSON.parse((await weir.admin(`/api/v1/pools/pool/endpoints/${address}`)).body);
}

describe('an endpoint that is ejected', () => {
  let pair: Pair;
  before(async () => {
    pair = await Pair.start();
  });
  after(() => pair?.close());

  test('is ejected for the successors of workers that were killed', async () => {
    pair.isSick = true;
    const weir = await Weir.start(pair.options({ ejectFor: '60s' }));
    try {
      await failUntilEjected(weir);
      const { asked } = pair;
      for (const victim of weir.workers) {
        process.kill(victim, 'SIGKILL');
        await until('a successor', async () => {
          const { workers } = JSON.parse((await weir.admin('/api/v1/status')).body);
          return !weir.workers.includes(victim) && workers.serving === 2;
        });
      }
      // So many connections that both workers get some.
      assert.deepEqual(new Set(await visits(weir, 20)), new Set(['good']));
      assert.equal(pair.asked, asked);
      assert.equal((await told(weir, pair.sick)).status.state, 'ejected');
    } finally {
      await weir.stop();
    }
  });

  test('stays out when the control process is killed and another takes over, and returns ejectFor later', async () => {
    // Well, so that nothing but the order keeps it out, however late it is asked.
    pair.isSick = false;
    const EJECT_MS = 4000;
    const options = pair.options({ ejectFor: `${EJECT_MS}ms` });
    const first = await Weir.start(options);
    let second: Weir | null = null;
    try {
      const { workers } = first;
      // For longer than a start takes. How long dies with the first.
      const order = ['eject', `pool/${pair.sick.address}`, '--for', '60s', '-a', `127.0.0.1:${first.adminPort}`];
      assert.equal((await command(...order)).code, 0);
      first.signal('SIGKILL');
      await first.exited;
      assert.deepEqual(new Set(await visits(first, 10)), new Set(['good']), 'the workers that are left know');
      const startedAt = Date.now();
      second = await Weir.start({ ...options, ports: { web: first.port, admin: first.adminPort }, folder: first.folder });
      const readyAt = Date.now();
      const answers = await visits(second, 10);
      const { status, ejection } = await told(second, pair.sick);
      const toldAt = Date.now();
      await until('the return', () => second!.events('endpoint_returned').length > 0, 15_000);
      const returnedAt = Date.parse(second.events('endpoint_returned')[0]!.time);
      // A machine may be too slow to ask in time.
      if (toldAt < returnedAt) {
        assert.deepEqual(new Set(answers), new Set(['good']));
        assert.deepEqual([status.state, status.reason], ['ejected', 'taken out before this control process started']);
        const returnsAt = Date.parse(ejection!.returnsAt!);
        assert.ok(returnsAt >= startedAt + EJECT_MS && returnsAt <= readyAt + 1.1 * EJECT_MS, ejection!.returnsAt!);
      }
      await until('the workers of the first to have left', () => workers.every((pid) => !isAlive(pid)), 15_000, 20);
      assert.ok(returnedAt >= startedAt + EJECT_MS, `${returnedAt - startedAt} ms after the start`);
      assert.deepEqual(new Set(await visits(second, 4)), new Set(['sick']));
      assert.equal(second.events('endpoint_ejected').length, 0);
    } finally {
      await second?.stop();
      await first.kill();
    }
  });

  test('by an operator, it is out at once and for as long as was said, counted as such, and serves again afterwards', async () => {
    pair.isSick = false;
    const weir = await Weir.start(pair.options({}));
    const eject = (endpoint: ScriptedEndpoint, ...more: string[]) =>
      command('eject', `pool/${endpoint.address}`, ...more, '-a', `127.0.0.1:${weir.adminPort}`);
    try {
      assert.deepEqual(new Set(await visits(weir, 4)), new Set(['sick']));
      const { code, out } = await eject(pair.sick, '--for', '55s', '--reason', 'slow disk');
      assert.equal(code, 0);
      assert.match(out, / is ejected, returns in [345]\ds\n$/);
      const { status, ejection } = await told(weir, pair.sick);
      assert.deepEqual([status.state, status.reason], ['ejected', 'ordered by 127.0.0.1: slow disk']);
      assert.equal(ejection!.cause, 'operator');
      const refused = await eject(pair.good);
      assert.deepEqual([refused.code, refused.err], [1, 'weir: no other endpoint of pool pool could take its requests\n']);
      assert.deepEqual(new Set(await visits(weir, 10)), new Set(['good']));
      // Ordered again, it is out for as long as was said last.
      assert.equal((await eject(pair.sick, '--for', '1s')).code, 0);
      const [returned] = await until('the return', () => {
        const events = weir.events('endpoint_returned');
        return events.length > 0 && events;
      });
      const ms = Date.parse(returned!.time) - Date.parse(weir.events('endpoint_ejected').at(-1)!.time);
      assert.ok(ms >= 999, `${ms} ms`);
      assert.deepEqual(new Set(await visits(weir, 4)), new Set(['sick']));
      const counted = () => weir.metric('weir_endpoint_ejections_total', { endpoint: pair.sick.address, cause: 'operator' });
      await until('the count', async () => (await counted()) === 1);
    } finally {
      await weir.stop();
    }
  });
});

test('in shadow mode nothing is set: there is an event and a count, and the endpoint is asked as before', async () => {
  const pair = await Pair.start();
  const weir = await Weir.start(pair.options({ mode: 'shadow', ejectFor: '60s' }));
  try {
    for (let i = 0; i < 5; i++) assert.equal((await ask(weir.port, GET)).status, 503);
    const [event] = await until('the event', () => {
      const events = weir.events('endpoint_would_eject');
      return events.length > 0 && events;
    });
    assert.deepEqual([event!['endpoint'], event!['cause'], event!['count']], [pair.sick.address, 'consecutive-failures', 1]);
    const counted = (name: string) => weir.metric(name, { endpoint: pair.sick.address });
    await until('the count', async () => (await counted('weir_endpoint_would_eject_total')) === 1);
    assert.equal(await counted('weir_endpoint_ejections_total'), 0);
    const { asked } = pair;
    for (let i = 0; i < 10; i++) assert.equal((await ask(weir.port, GET)).status, 503);
    assert.equal(pair.asked, asked + 10);
    assert.equal((await told(weir, pair.sick)).status.state, 'ready');
    assert.deepEqual(weir.events('endpoint_ejected'), []);
    const refused = await command('eject', `pool/${pair.sick.address}`, '-a', `127.0.0.1:${weir.adminPort}`);
    assert.deepEqual([refused.code, (await told(weir, pair.sick)).status.state], [1, 'ready']);
  } finally {
    await weir.stop();
    await pair.close();
  }
});
