/**
 * Harm prevented: when the local ports towards an endpoint run out, weir crashes, hangs new connections, cuts those that are established, or asks
 * nobody else. In a network namespace with 50 ports.
 */
import assert from 'node:assert/strict';
import { after, afterEach, before, describe, test } from 'node:test';
import { cannotUnshare, Network, setNet } from '../support/network.ts';
import { ask, connect, ok, type Peer, ScriptedEndpoint } from '../support/peer.ts';
import { descriptorGuard, dialMany, echo, expectEcho, sortByAnswer, streamConfig } from '../support/streams.ts';
import { freePort } from '../support/system.ts';
import { until } from '../support/wait.ts';
import { type EngineName, Weir, type WeirConfig } from '../support/weir.ts';

/** An even number: of an odd one, connect(2) does not always look at the last. */
const PORTS = 50;
const GET = 'GET / HTTP/1.1\r\nHost: a\r\n\r\n';
const skip = cannotUnshare();
/** Connections that weir could not open: the label says why not. */
const noPort = { phase: 'connect', reason: 'connection_limit_reached' };

/** A listener of requests on all addresses. */
const requestConfig: typeof streamConfig = (ports, endpoints, more = {}) =>
  streamConfig(ports, endpoints, { ...more, listener: { protocol: 'http', ...more.listener } });

describe('with 50 local ports', { skip }, () => {
  const home = Network.current();
  before(() => {
    Network.enterNew();
    setNet('ipv4/ip_local_port_range', '40001 40050');
  });
  after(() => home.enter());

  const open: { close(): Promise<void> }[] = [];
  const endpointOf = async (script = echo): Promise<ScriptedEndpoint> => {
    // Port 0 would take one of the 50.
    const endpoint = await ScriptedEndpoint.start(script, await freePort());
    open.push(endpoint);
    return endpoint;
  };
  const weirOf = async (config: (ports: { web: number; admin: number }) => WeirConfig, engine?: EngineName): Promise<Weir> => {
    const weir = await Weir.start({ config, engine });
    open.push({ close: () => weir.stop() });
    return weir;
  };
  const dial = async (weir: Weir, count: number): Promise<Peer[]> => {
    const clients = await dialMany(weir.port, count);
    open.push(...clients);
    return clients;
  };
  /** Takes all ports towards an endpoint, from the address that the kernel chooses. */
  const takeAllPorts = async (endpoint: ScriptedEndpoint): Promise<void> => {
    for (let i = 0; i < PORTS; i++) open.push(await connect(endpoint.port));
    await assert.rejects(connect(endpoint.port), /EADDRNOTAVAIL/);
  };
  const fromSources = (endpoint: ScriptedEndpoint, ...addresses: string[]): Promise<Weir> =>
    weirOf((ports) => streamConfig(ports, [endpoint.address], { pool: { source: { addresses } } }));
  afterEach(async () => {
    for (const one of open.splice(0).reverse()) await one.close();
  });

  for (const engine of ['uring', 'epoll'] as const)
    test(`new connections are reset with a reason and established ones go on (${engine})`, async () => {
      const endpoint = await endpointOf();
      // No try is to fail for its time.
      const listener = { timeouts: { connect: '10s' } };
      const weir = await weirOf((ports) => streamConfig(ports, [endpoint.address], { listener }), engine);
      const guard = descriptorGuard(weir);
      const { served, refused } = await sortByAnswer(await dial(weir, PORTS + 9));
      assert.equal(served.length, PORTS);
      // Some, or all, were reset before they knew that they were connected: the count below is of all.
      assert.ok(refused.length <= 9);
      assert.ok(refused.every(({ ending }) => ending === 'reset'));
      assert.equal(await weir.metric('weir_faults_total', noPort), 9);
      // Each was tried twice: there is no other endpoint.
      assert.equal(await weir.metric('weir_endpoint_connects_total', { result: 'failed' }), 18);
      assert.equal(await weir.metric('weir_endpoint_connects_total', { result: 'ok' }), PORTS);
      await expectEcho(served, ' again');
      for (const client of served.splice(20)) await client.close();
      // The kernel gives ports in TIME_WAIT away again after a second, on loopback.
      const next = await until('room', async () => (await sortByAnswer(await dial(weir, 1))).served[0], 15_000, 200);
      for (const client of [...served, next]) await client.close();
      await guard();
    });

  test('before they run out it is told, once, with what to do, and so it is when there are enough again', async () => {
    const endpoint = await endpointOf();
    const weir = await weirOf((ports) => streamConfig(ports, [endpoint.address]));
    const { served } = await sortByAnswer(await dial(weir, PORTS * 0.8));
    await until('the gauge', async () => (await weir.metric('weir_source_ports_used_ratio')) === 0.8, 10_000, 100);
    await until('the event', () => weir.stderr.includes('"event":"ports_low"'));
    served.push(...(await sortByAnswer(await dial(weir, PORTS * 0.1))).served);
    await until('the gauge to rise', async () => (await weir.metric('weir_source_ports_used_ratio')) === 0.9, 10_000, 100);
    for (const client of served) await client.close();
    await until('the event that all is well', () => weir.stderr.includes('"event":"ports_well"'), 10_000);
    assert.equal(weir.stderr.split('"event":"ports_low"').length, 2);
    assert.match(weir.stderr, /"event":"ports_low".*"used":40,"of":50.*source: \{ addresses/);
  });

  test('two source addresses have twice the ports, and two endpoints share the ports of one', async () => {
    const endpoint = await endpointOf();
    const two = await fromSources(endpoint, '127.0.0.2', '127.0.0.3');
    const first = await sortByAnswer(await dial(two, 2 * PORTS + 3));
    assert.equal(first.served.length, 2 * PORTS);
    const sources = new Map<string, number>();
    for (const { socket } of endpoint.peers) sources.set(socket.remoteAddress!, (sources.get(socket.remoteAddress!) ?? 0) + 1);
    assert.deepEqual([...sources].sort(), [
      ['127.0.0.2', PORTS],
      ['127.0.0.3', PORTS],
    ]);
    for (const client of first.served) await client.close();
    // A port that was chosen by bind() could serve one connection only (IP_BIND_ADDRESS_NO_PORT).
    const [a, b] = [await endpointOf(), await endpointOf()];
    const one = await weirOf((ports) =>
      streamConfig(ports, [a.address, b.address], {
        pool: { balance: 'round-robin', source: { addresses: ['127.0.0.2'] } },
      }),
    );
    const second = await sortByAnswer(await dial(one, 2 * PORTS));
    assert.equal(second.served.length, 2 * PORTS);
  });

  test('a source address that has no port left is passed over: nobody is refused while another has one', async () => {
    const endpoint = await endpointOf();
    const other = await fromSources(endpoint, '127.0.0.2');
    assert.equal((await sortByAnswer(await dial(other, PORTS))).served.length, PORTS);
    const weir = await fromSources(endpoint, '127.0.0.2', '127.0.0.3');
    const { served } = await sortByAnswer(await dial(weir, 40));
    assert.equal(served.length, 40);
    assert.ok((await weir.metric('weir_endpoint_connects_total', { result: 'failed' })) > 0);
    assert.equal(await weir.metric('weir_retries_total'), 0);
    assert.equal(await weir.metric('weir_faults_total', noPort), 0);
  });

  test('an endpoint there is no port for is passed over for the next', async () => {
    const [full, free] = [await endpointOf(), await endpointOf()];
    await takeAllPorts(full);
    const weir = await weirOf((ports) => streamConfig(ports, [full.address, free.address], { pool: { balance: 'first' } }));
    const { served } = await sortByAnswer(await dial(weir, 30));
    assert.equal(served.length, 30);
    assert.equal(free.peers.length, 30);
    assert.ok((await weir.metric('weir_retries_total', { reason: 'connect' })) > 0);
  });

  test('a request that finds no port is answered 503 with the reason, and those under way are answered', async () => {
    const endpoint = await endpointOf(() => {});
    const weir = await weirOf((ports) => requestConfig(ports, [endpoint.address]));
    const clients = await dial(weir, PORTS);
    for (const client of clients) client.send(GET);
    await until('all requests to be under way', () => endpoint.received.split('GET / ').length === PORTS + 1);
    const refused = await ask(weir.port, GET);
    assert.equal(refused.status, 503);
    assert.match(
      String(refused.fields.find(([name]) => name.toLowerCase() === 'proxy-status')),
      /error=connection_limit_reached/,
    );
    assert.equal(await weir.metric('weir_faults_total', noPort), 1);
    for (const peer of endpoint.peers) peer.send(ok('late'));
    for (const client of clients) assert.equal((await client.message()).status, 200);
    // The wires are kept: a request needs no port now.
    const again = ask(weir.port, GET);
    const [wire] = await until('it to arrive', () => {
      const busy = endpoint.peers.filter(({ received }) => received.split('GET / ').length === 3);
      return busy.length === 1 && busy;
    });
    wire!.send(ok('again'));
    assert.equal((await again).status, 200);
  });

  test('a pool of requests takes source addresses too', async () => {
    const endpoint = await endpointOf((peer) => void peer.socket.on('end', () => peer.sendEnd()));
    const other = await fromSources(endpoint, '127.0.0.2');
    await dial(other, PORTS);
    await until('all ports of one address to be taken', () => endpoint.peers.length === PORTS);
    const weir = await weirOf((ports) =>
      requestConfig(ports, [endpoint.address], { pool: { source: { addresses: ['127.0.0.2', '127.0.0.3'] } } }),
    );
    const clients = await dial(weir, 20);
    for (const client of clients) client.send(GET);
    await until('all requests to arrive', () => endpoint.received.split('GET / ').length === 21);
    const asked = endpoint.peers.filter(({ received }) => received.startsWith('GET'));
    assert.ok(asked.every(({ socket }) => socket.remoteAddress === '127.0.0.3'));
    for (const peer of asked) peer.send(ok('fine'));
    for (const client of clients) assert.equal((await client.message()).status, 200);
  });
});
