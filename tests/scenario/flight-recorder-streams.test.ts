/**
 * Harm prevented: a connection was reset, or a question by UDP was not answered; its line stands in the log, and nobody can say which endpoints were tried and who broke it off;
 * or connections push requests out of memory.
 */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { ConnectionStories, ConnectionStory, Stories, Traces } from '../../src/control/explain/explain.ts';
import { type CommandResult, command } from '../support/command.ts';
import { endpoint, keepTalkers, Talker } from '../support/datagrams.ts';
import { KeyedEndpoint } from '../support/keyed-endpoint.ts';
import { connect, ScriptedEndpoint } from '../support/peer.ts';
import { freePort } from '../support/system.ts';
import { until } from '../support/wait.ts';
import { get, Weir } from '../support/weir.ts';

describe('the flight recorder of connections and datagrams', () => {
  let good: ScriptedEndpoint;
  let busy: ScriptedEndpoint;
  let resolver: Talker;
  let web: KeyedEndpoint;
  let weir: Weir;
  /** An address that refuses. */
  let dead: string;
  const ports = { db: 0, lost: 0, dns: 0, narrow: 0 };

  const order = (...words: string[]): Promise<CommandResult> => command(...words, '-a', `127.0.0.1:${weir.adminPort}`);
  const lines = (): Record<string, unknown>[] =>
    weir.stdout
      .split('\n')
      .filter((line) => line.endsWith('}'))
      .map((line) => JSON.parse(line) as Record<string, unknown>);

  /** The line of the log about a client of this port, and the story of its id. */
  async function told(listener: string, clientPort: number): Promise<{ line: Record<string, unknown>; story: ConnectionStory }> {
    const client = `127.0.0.1:${clientPort}`;
    const line = await until(`a line about ${client}`, () =>
      lines().find((one) => one['listener'] === listener && one['client'] === client),
    );
    const { body, status } = await weir.admin(`/api/v1/explain/${line['id']}`);
    assert.equal(status, 200, body);
    const { connections, requests } = JSON.parse(body) as Traces;
    assert.deepEqual([connections.length, requests.length], [1, 0]);
    return { line, story: connections[0]! };
  }

  before(async () => {
    good = await ScriptedEndpoint.start(({ socket }) => void socket.pipe(socket));
    busy = await ScriptedEndpoint.start(({ socket }) => void socket.pipe(socket));
    resolver = await endpoint('!');
    keepTalkers();
    web = await KeyedEndpoint.start('good');
    dead = `127.0.0.1:${await freePort()}`;
    for (const name of ['db', 'lost', 'dns', 'narrow'] as const) ports[name] = await freePort();
    const at = (port: number): string => `127.0.0.1:${port}`;
    weir = await Weir.start({
      workers: 2,
      config: ({ web: port, admin }) => ({
        version: 1,
        process: { drain: { notReadyFor: '0s', graceful: '5s', hardStop: '10s' } },
        admin: { listen: [at(admin)] },
        logs: { access: 'stdout' },
        listeners: {
          web: { listen: at(port), to: 'web' },
          db: { listen: at(ports.db), protocol: 'tcp', to: 'shaky' },
          lost: { listen: at(ports.lost), protocol: 'tcp' },
          narrow: { listen: at(ports.narrow), protocol: 'tcp', to: 'narrow' },
          dns: { listen: at(ports.dns), protocol: 'udp', to: 'dns', udp: { responses: 1 } },
        },
        routes: [{ name: 'named', listener: 'lost', sni: 'a.example', to: 'dead' }],
        pools: {
          web: { endpoints: [web.address] },
          shaky: { balance: 'first', endpoints: [dead, good.address] },
          dead: { endpoints: [dead] },
          narrow: {
            endpoints: [{ address: busy.address, maxConnections: 1 }],
            queue: { max: 4, timeout: '10m' },
          },
          dns: { endpoints: [at(resolver.port)] },
        },
      }),
    });
  });
  after(async () => {
    await weir?.stop();
    await good?.close();
    await busy?.close();
    await resolver?.close();
    await web?.kill();
  });

  test('the id in the line of a connection tells its story, with every try and who ended it', async () => {
    const client = await connect(ports.db);
    client.send('hello');
    await client.expect('hello');
    const { localPort } = client;
    const open = await until('it is open', async () => {
      const { out } = await order('get', 'connections', '--open', '--json');
      return (JSON.parse(out) as ConnectionStories).items.find(({ client: { port } }) => port === localPort);
    });
    assert.deepEqual([open.kind, open.seconds.total, open.bytes], ['open', null, { in: 5, out: 5 }]);
    client.sendEnd();
    await client.ended();
    const { line, story } = await told('db', localPort);
    assert.equal(story.id, open.id);
    assert.match(
      story.verdict,
      new RegExp(`^carried to ${good.address} in \\S+, after ${dead} refused the connection; the client ended it$`),
    );
    assert.deepEqual(story.tries.map(({ endpoint: address, reason }) => [address, reason]), [[dead, 'connection_refused'], [good.address, null]]); // biome-ignore format: short
    assert.deepEqual([story.route!.name, story.route!.match, story.pool!.name], ['listener/db', 'all', 'shaky']);
    assert.deepEqual([line['in'], line['out']], [story.bytes.in, story.bytes.out]);
    const { out } = await order('explain', '--id', story.id);
    assert.match(out, /^ route {5}listener\/db {2}\S*weir\.json:\d+ {2}all$/m);
    assert.match(out, /^ +\S+ {2}connected$/m);
  });

  test('a connection that waits in the queue of a full pool is among those that are not over, until it has its place', async () => {
    const openOnes = async () => {
      const { out } = await order('get', 'connections', '--open', '--json');
      return (JSON.parse(out) as ConnectionStories).items.filter(({ listener }) => listener === 'narrow');
    };
    const first = await connect(ports.narrow);
    first.send('x');
    await first.expect('x');
    const second = await connect(ports.narrow);
    second.send('y');
    const waiting = await until('both to be listed', async () => {
      const [latest, ...others] = await openOnes();
      return others.length === 1 && latest?.queuedSince != null && latest;
    });
    assert.deepEqual([waiting.client.port, waiting.pool!.name, waiting.tries], [second.localPort, 'narrow', []]);
    assert.ok(Date.parse(waiting.queuedSince!) >= Date.parse(waiting.startedAt));
    const { out } = await order('get', 'connections', '--open');
    assert.match(out, new RegExp(`queued \\d+s .* narrow +narrow +- +127\\.0\\.0\\.1:${second.localPort} `));
    assert.match(out, new RegExp(`open .* narrow +narrow +${busy.address} +127\\.0\\.0\\.1:${first.localPort} `));
    const told = await order('explain', '--id', waiting.id);
    assert.match(told.out, /^ verdict {3}open; waits for a place in narrow, \S+ so far$/m);
    assert.match(told.out, /^ timeline .*\n +\S+ {2}waits for a place in narrow$/m);
    await first.close();
    await second.expect('y');
    const [now] = await openOnes();
    assert.deepEqual([now!.id, now!.queuedSince, now!.triesCount], [waiting.id, null, 1]);
    assert.ok(now!.seconds.queue > 0);
    await second.close();
  });

  test('a reset of the endpoint is told as the endpoint’s', async () => {
    const client = await connect(ports.db);
    client.send('x');
    await client.expect('x');
    const { localPort } = client;
    (await good.peer(1)).reset();
    await client.ended();
    const { line, story } = await told('db', localPort);
    assert.deepEqual([story.fault!.side, story.fault!.reason], ['endpoint', 'http_response_incomplete']);
    assert.equal((line['fault'] as { reason: string }).reason, story.fault!.reason);
    assert.match(story.verdict, new RegExp(`; reset because ${good.address} reset it$`));
  });

  test('datagrams have an id and a story as well', async () => {
    const client = await Talker.open();
    client.say(ports.dns, 'question');
    await until('the answer', () => client.texts.includes('question!'));
    const { line, story } = await told('dns', client.port);
    assert.deepEqual([line['protocol'], story.protocol, story.datagrams], ['udp', 'udp', { in: 1, out: 1 }]);
    assert.match(story.verdict, new RegExp(`^answered by 127\\.0\\.0\\.1:${resolver.port} within \\S+; remembered for \\S+$`));
  });

  test('a connection that no route matches is listed with its reason', async () => {
    const client = await connect(ports.lost);
    const { localPort } = client;
    client.send('no TLS');
    assert.equal(await client.ended(), 'reset');
    const { out } = await order('get', 'connections', '--fault');
    assert.match(
      out,
      new RegExp(`^\\S+ +\\S+ +tcp +0 +\\d+ +0 +lost +- +127\\.0\\.0\\.1:${localPort} +- +destination_not_found +\\S+$`, 'm'),
    );
  });

  test('connections do not push requests out, and are not among them', async () => {
    await get(weir.port, '/kept');
    for (let i = 0; i < 20; i++) {
      const client = await connect(ports.db);
      client.sendEnd();
      await client.ended();
    }
    const { items } = JSON.parse((await order('get', 'requests', '--json')).out) as Stories;
    assert.deepEqual(items.map(({ request }) => request.path), ['/kept']); // biome-ignore format: short
    const id = items[0]!.id;
    assert.equal((await weir.admin(`/api/v1/explain/${id}`)).status, 200);
    const listed = await order('get', 'connections', '--json', '--limit', '20');
    const { items: connections, since } = JSON.parse(listed.out) as ConnectionStories;
    assert.deepEqual(connections.map(({ listener }) => listener), Array(20).fill('db')); // biome-ignore format: short
    assert.ok(since?.datagrams.served.startsWith('20'));
    assert.equal((await weir.admin(`/api/v1/requests/${connections[0]!.id}`)).status, 404);
  });

  test('flags that say nothing of a kind are refused', async () => {
    for (const words of [
      ['requests', '--open'],
      ['connections', '--slow'],
      ['pools', '--open'],
      ['connections', '--open', '--fault'],
    ])
      assert.equal((await order('get', ...words)).code, 2, words.join(' '));
  });
});
