/**
 * Harm prevented: a request failed, somebody has its id, and nobody can say any more what happened; or what is said is not what happened.
 */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { RequestStory, Stories } from '../../src/control/explain/explain.ts';
import { type CommandResult, command } from '../support/command.ts';
import { KeyedEndpoint } from '../support/keyed-endpoint.ts';
import { describeLoad, Load } from '../support/load.ts';
import { freePort } from '../support/system.ts';
import { until } from '../support/wait.ts';
import { simpleConfig, Weir, type WeirConfig } from '../support/weir.ts';

describe('the flight recorder', () => {
  let good: KeyedEndpoint;
  let weir: Weir;
  let innerPort: number;
  /** Addresses that refuse. */
  let dead: string[];
  /** Ids of requests that others look back at. */
  let ordinary: string;
  let failedId: string;

  const configOf = (ports: { web: number; admin: number }, refusing = dead): WeirConfig => {
    const config = simpleConfig(ports, [good.address], {
      top: {
        routes: [
          { name: 'broken', path: '/broken/*', to: 'broken', retry: { attempts: 2 } },
          { name: 'shaky', path: '/shaky/*', to: 'shaky' },
        ],
        pools: {
          pool: { endpoints: [good.address] },
          broken: { balance: 'first', endpoints: refusing },
          shaky: { balance: 'first', endpoints: [refusing[0]!, good.address] },
        },
      },
    });
    return {
      ...config,
      listeners: {
        ...config.listeners,
        inner: { listen: `127.0.0.1:${innerPort}`, to: 'pool', clientIp: { trust: ['127.0.0.0/8'] } },
      },
    };
  };
  const order = (...words: string[]): Promise<CommandResult> => command(...words, '-a', `127.0.0.1:${weir.adminPort}`);

  /** Makes a request and returns its id. */
  async function ask(path: string, status: number, port = weir.port, headers: Record<string, string> = {}): Promise<string> {
    const response = await fetch(`http://127.0.0.1:${port}${path}`, { headers });
    await response.arrayBuffer();
    assert.equal(response.status, status, path);
    return response.headers.get('x-request-id') ?? '';
  }

  /** The story of an id, once the request is over for weir as well. */
  async function storyOf(id: string): Promise<RequestStory> {
    const path = `/api/v1/requests/${encodeURIComponent(id)}`;
    const { body } = await until(`a story of ${id}`, async () => {
      const answer = await weir.admin(path);
      return answer.status === 200 && answer;
    });
    return (JSON.parse(body) as Stories).items[0]!;
  }

  before(async () => {
    good = await KeyedEndpoint.start('good');
    innerPort = await freePort();
    dead = [`127.0.0.1:${await freePort()}`, `127.0.0.1:${await freePort()}`];
    weir = await Weir.start({ workers: 1, config: configOf });
  });
  after(async () => {
    await weir?.stop();
    await good?.kill();
  });

  test('tells by its id why a request failed, with every try', async () => {
    failedId = await ask('/broken/cart?token=secret', 502);
    await storyOf(failedId);
    const { code, out } = await order('explain', '--id', failedId);
    assert.equal(code, 0);
    const verdict = ` verdict   answered 502 because ${dead[0]} refused the connection, then ${dead[1]} refused the connection\n`;
    assert.ok(out.includes(verdict), out);
    assert.match(out, /^ route {5}broken {2}\S*weir\.json:\d+$/m);
    assert.match(out, /^ request {3}GET http:\/\/127\.0\.0\.1:\d+\/broken\/cart {2}http\/1\.1$/m);
    assert.ok(!out.includes('secret'), out);
    const story = await storyOf(failedId);
    assert.deepEqual(
      story.tries.map(({ endpoint, reason, kind }) => [endpoint, reason, kind]),
      dead.map((address) => [address, 'connection_refused', 'ordinary']),
    );
    assert.deepEqual([story.kind, story.answer.status, story.answer.reason], ['failed', 502, 'connection_refused']);
  });

  test('tells of an answer which endpoint gave it, and who could not', async () => {
    ordinary = await ask('/plain', 200);
    const story = await storyOf(ordinary);
    assert.equal(story.kind, 'served');
    assert.match(story.verdict, new RegExp(`^answered 200 by ${good.address} in \\S+$`));
    const shaky = await storyOf(await ask('/shaky/x', 200));
    assert.match(shaky.verdict, new RegExp(`^answered 200 by ${good.address} in \\S+, after ${dead[0]} refused the connection$`));
    const times = shaky.timeline.map(({ at }) => at);
    assert.deepEqual(
      times,
      times.toSorted((a, b) => a - b),
    );
  });

  test('finds the id of a trusted peer, and not that of any other', async () => {
    assert.equal(await ask('/plain', 200, innerPort, { 'x-request-id': 'order/42' }), 'order/42');
    assert.deepEqual([(await storyOf('order/42')).listener, (await storyOf('order/42')).client.isTold], ['inner', true]);
    assert.notEqual(await ask('/plain', 200, weir.port, { 'x-request-id': 'order/43' }), 'order/43');
    assert.equal((await weir.admin('/api/v1/requests/order%2F43')).status, 404);
  });

  test('lists the latest, and of them those that failed', async () => {
    const { out } = await order('get', 'requests', '--json', '--limit', '2');
    const latest = JSON.parse(out) as Stories;
    assert.deepEqual(latest.items.map(({ listener }) => listener), ['web', 'inner']); // biome-ignore format: short
    const faults = await order('get', 'requests', '--fault');
    assert.match(faults.out, new RegExp(`^AGO .*\\n\\S+ +502 .* ${dead[1]} .*/broken/cart +connection_refused +${failedId}\\n$`));
    assert.equal((await order('get', 'pools', '--fault')).code, 2);
    assert.equal((await weir.admin('/api/v1/requests?limit=0')).status, 400);
    assert.equal((await weir.admin('/api/v1/requests?fault&slow')).status, 400);
  });

  test('after 5,000 further requests an ordinary one is forgotten, and says so; the failed one is not', async () => {
    const before = (await storyOf(failedId)).verdict;
    const load = await new Load({ port: weir.port, connections: 8, requests: 5000 }).done(60_000);
    assert.equal(load.counts.ok, 5000, describeLoad(load));
    const gone = await order('explain', '--id', ordinary);
    assert.equal(gone.code, 6);
    assert.match(
      gone.err,
      new RegExp(
        `worker 0 gave the id ${ordinary} out, but what had it is still under way, or forgotten; served requests are remembered since 20`,
      ),
    );
    assert.equal((await storyOf(failedId)).verdict, before);
  });

  test('tells an earlier request in the words of its own configuration', async () => {
    const before = await storyOf(failedId);
    const others = [`127.0.0.1:${await freePort()}`];
    await weir.reload(configOf({ web: weir.port, admin: weir.adminPort }, others));
    const story = await storyOf(failedId);
    assert.deepEqual([story.verdict, story.epoch], [before.verdict, before.epoch]);
    const now = await storyOf(await ask('/broken/x', 502));
    assert.equal(now.epoch, before.epoch + 1);
    assert.match(now.verdict, new RegExp(`because ${others[0]} refused the connection`));
  });

  test('with its worker, what it remembered is gone, and that is what is said', async () => {
    const [worker] = weir.workers;
    process.kill(worker!, 'SIGKILL');
    await until(
      'a successor',
      async () => weir.workers.some((pid) => pid !== worker) && (await weir.admin('/readyz')).status === 200,
    );
    await ask('/plain', 200);
    const { code, err } = await order('explain', '--id', failedId);
    assert.equal(code, 6);
    assert.match(err, new RegExp(`no running worker gave the id ${failedId} out, or remembers it; requests`));
  });
});
