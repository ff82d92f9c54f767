/**
 * Harm prevented: an endpoint whose checks pass, and which serves nobody, goes on being asked; or a healthy one is taken out for what clients and weir's own
 * limits did.
 */
import assert from 'node:assert/strict';
import { createServer, type RequestListener, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { connect, type Peer } from '../support/peer.ts';
import { until } from '../support/wait.ts';
import { type LogEvent, simpleConfig, Weir } from '../support/weir.ts';

/** Ejections have 100 ms; the machine may be busy with other tests, and the best of several counts. */
const EJECTED_MS_MAX = 250;
const TRIES = 4;

class Endpoint {
  readonly server: Server;
  requests = 0;
  private constructor(listener: RequestListener) {
    this.server = createServer((request, response) => {
      if (request.url === '/healthz') {
        response.end('fine');
        return;
      }
      this.requests++;
      listener(request, response);
    });
  }
  static async start(listener: RequestListener): Promise<Endpoint> {
    const endpoint = new Endpoint(listener);
    await new Promise<void>((resolve) => endpoint.server.listen(0, '127.0.0.1', resolve));
    return endpoint;
  }
  get address(): string {
    return `127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }
  async close(): Promise<void> {
    this.server.closeAllConnections();
    await new Promise((resolve) => this.server.close(resolve));
  }
}

const get = (path: string): string => `GET ${path} HTTP/1.1\r\nHost: a.test\r\n\r\n`;
/** One request on a connection that stays open: its status, and when the answer was here. */
async function ask(peer: Peer, path = '/'): Promise<{ status: number; id: string; at: number }> {
  peer.reader.expect('GET');
  peer.send(get(path));
  const { status, fields } = await peer.message();
  return { status, id: fields.find(([name]) => name.toLowerCase() === 'x-request-id')?.[1] ?? '', at: Date.now() };
}

test('an endpoint that answers /healthz and times out on every request is ejected at its fifth, over two workers, and stays out while its checks pass', async (t) => {
  const answers: RequestListener = (_request, response) => response.end('good');
  const good = await Endpoint.start(answers);
  // One after the other falls sick, until an ejection was in time.
  let [sick, tries] = [good, 0];
  const candidates = await Promise.all(
    Array.from({ length: TRIES }, async () => {
      const own: Endpoint = await Endpoint.start((request, response) => {
        if (own !== sick) answers(request, response);
      });
      return own;
    }),
  );
  const weir = await Weir.start({
    workers: 2,
    config: (ports) =>
      simpleConfig(ports, [], {
        top: {
          pools: {
            pool: {
              // The sick one gets everything as long as it is there.
              balance: 'first',
              endpoints: [...candidates, good].map(({ address }) => address),
              health: {
                active: { path: '/healthz', interval: '100ms', timeout: '20s' },
                passive: { ejectFor: '60s', maxEjected: '90%' },
              },
            },
            other: { endpoints: [good.address] },
          },
          routes: [
            { path: '/other', to: 'other' },
            { path: '/impatient', to: 'pool', timeouts: { response: '300ms' } },
          ],
        },
      }),
  });
  const peers: Peer[] = [];
  try {
    // Connections of both workers: an id begins alike when it was given by the same one.
    const byWorker = new Map<string, Peer[]>();
    await until('connections to both workers', async () => {
      const peer = await connect(weir.port);
      peers.push(peer);
      const worker = (await ask(peer, '/other')).id.split('-')[0]!;
      byWorker.set(worker, [...(byWorker.get(worker) ?? []), peer]);
      return byWorker.size === 2 && [...byWorker.values()].every((its) => its.length >= 3);
    });
    await until('the checks to have passed', async () => (await weir.metric('weir_checks_total', { result: 'passed' })) > 1);
    const [first, second] = [...byWorker.values()] as [Peer[], Peer[]];
    let event: LogEvent;
    let ms: number;
    do {
      assert.ok(tries < TRIES, 'none was ejected in time');
      sick = candidates[tries]!;
      // Four times out: not yet.
      const four = await Promise.all([...first.slice(0, 2), ...second.slice(0, 2)].map((peer) => ask(peer, '/impatient')));
      assert.deepEqual(
        four.map(({ status }) => status),
        [504, 504, 504, 504],
      );
      assert.equal(weir.events('endpoint_ejected').length, tries);
      const last = await ask(second[2]!, '/impatient');
      assert.equal(last.status, 504);
      event = await until('the ejection', () => weir.events('endpoint_ejected')[tries]);
      ms = Date.parse(event.time) - last.at;
      t.diagnostic(`ejected ${ms} ms after the client had its answer`);
      tries++;
    } while (ms > EJECTED_MS_MAX);
    assert.deepEqual(
      [event['level'], event['pool'], event['endpoint'], event['cause'], event['count']],
      ['warn', 'pool', sick.address, 'consecutive-failures', 1],
    );
    assert.match(String(event['evidence']), /^5 failures in a row: 5 timed out/);

    // From here on clients are served, while checks of the sick one pass.
    const passed = () => weir.metric('weir_checks_total', { endpoint: sick.address, result: 'passed' });
    const before = await passed();
    const asked = sick.requests;
    await until('more of its checks to pass', async () => {
      assert.equal((await ask(first[0]!)).status, 200);
      return (await passed()) >= before + 5;
    });
    assert.equal(sick.requests, asked);
    assert.equal(
      await weir.metric('weir_endpoint_ejections_total', { endpoint: sick.address, cause: 'consecutive-failures' }),
      1,
    );
    assert.deepEqual(weir.events('endpoint_returned'), []);
    const { body } = await weir.admin('/api/v1/endpoints?pool=pool');
    const { status, ejection } = JSON.parse(body).items.find(({ address }: { address: string }) => address === sick.address);
    assert.equal(status.state, 'ejected');
    assert.match(status.reason, /^5 failures in a row: 5 timed out/);
    assert.match(status.evidence.join('\n'), /last check, .* passed: 200 OK/);
    assert.ok(Date.parse(ejection.returnsAt) > Date.now() + 30_000);
  } finally {
    for (const peer of peers) await peer.close();
    await weir.stop();
    for (const one of [...candidates, good]) await one.close();
  }
});

describe('an endpoint that does nothing wrong', () => {
  let weir: Weir;
  let endpoint: Endpoint;
  let other: Endpoint;
  const held: (() => void)[] = [];
  let status = 200;
  before(async () => {
    const listener: RequestListener = (request, response) => {
      response.statusCode = status;
      if (request.url === '/hold') held.push(() => response.end());
      else response.end();
    };
    endpoint = await Endpoint.start(listener);
    other = await Endpoint.start(listener);
    weir = await Weir.start({
      config: (ports) =>
        simpleConfig(ports, [], {
          top: {
            filters: { few: { rateLimit: { rate: '1/h', burst: 1, key: 'all' } } },
            pools: {
              pool: {
                balance: 'first',
                endpoints: [
                  { address: endpoint.address, maxConnections: 1 },
                  { address: other.address, maxConnections: 1 },
                ],
                queue: { max: 1, timeout: '50ms' },
              },
            },
            routes: [{ path: '/limited', to: 'pool', use: ['few'] }],
          },
        }),
    });
  });
  after(async () => {
    for (const release of held) release();
    await weir?.stop();
    await endpoint?.close();
    await other?.close();
  });
  const totals = async () => JSON.parse((await weir.admin('/api/v1/status')).body).totals as { faults: number; inFlight: number };

  test('is not ejected for clients that leave, for full queues or for limits; and would be for the fifth failure of its own', async () => {
    const client = await connect(weir.port);
    assert.equal((await ask(client)).status, 200);
    for (let k = 0; k < 8; k++) {
      const seen = endpoint.requests;
      const impatient = await connect(weir.port);
      impatient.send(get('/hold'));
      await until('the request at the endpoint', () => endpoint.requests > seen);
      impatient.reset();
      await until('weir to have noticed', async () => (await totals()).faults === k + 1);
    }

    const holders = await Promise.all([connect(weir.port), connect(weir.port)]);
    for (const holder of holders) holder.send(get('/hold'));
    await until('both places to be taken', async () => (await totals()).inFlight === 2);
    for (let k = 0; k < 8; k++) assert.equal((await ask(client)).status, 503);
    for (const release of held.splice(0)) release();
    for (const holder of holders) {
      await holder.message();
      await holder.close();
    }
    // Else it waits in the queue, and not for long.
    await until('the places to be free again', async () => (await totals()).inFlight === 0);
    assert.equal((await ask(client, '/limited')).status, 200);
    for (let k = 0; k < 8; k++) assert.equal((await ask(client, '/limited')).status, 429);
    assert.deepEqual(weir.events('endpoint_ejected'), []);

    // Had any of these counted, it would be out sooner than at the fifth.
    status = 500;
    for (let k = 0; k < 4; k++) assert.equal((await ask(client)).status, 500);
    await until('the failures to be seen', async () =>
      (await weir.admin('/api/v1/endpoints?pool=pool')).body.includes('the last 4 requests failed'),
    );
    assert.deepEqual(weir.events('endpoint_ejected'), []);
    assert.equal((await ask(client)).status, 500);
    const [event] = await until(
      'the ejection',
      () => weir.events('endpoint_ejected').length > 0 && weir.events('endpoint_ejected'),
    );
    assert.equal(event!['endpoint'], endpoint.address);
    assert.match(String(event!['evidence']), /^5 failures in a row: 5 answered another 5xx/);
    await client.close();
  });
});
