/**
 * Harm prevented: what is missing on this machine (a local port, a descriptor) is taken for a failed check, and endpoints that serve go down for it.
 */
import assert from 'node:assert/strict';
import { after, afterEach, before, describe, test } from 'node:test';
import { command } from '../support/command.ts';
import { cannotUnshare, Network, setNet } from '../support/network.ts';
import { connect, type Peer, ScriptedEndpoint } from '../support/peer.ts';
import { echo } from '../support/streams.ts';
import { freePort } from '../support/system.ts';
import { until } from '../support/wait.ts';
import { simpleConfig, Weir } from '../support/weir.ts';

const PORTS = 50;
const check = { active: { type: 'tcp', interval: '100ms', timeout: '10s', fall: 2, rise: 1 } };

interface Row {
  status: { state: string; reason: string; evidence: string[] };
  checks: { failed: number; notMade: number };
}

async function endpointOf(weir: Weir): Promise<Row> {
  const { items } = JSON.parse((await weir.admin('/api/v1/endpoints')).body) as { items: Row[] };
  return items[0]!;
}

describe('with 50 local ports', { skip: cannotUnshare() }, () => {
  const home = Network.current();
  before(() => {
    Network.enterNew();
    setNet('ipv4/ip_local_port_range', '40001 40050');
  });
  after(() => home.enter());
  const open: { close(): Promise<void> }[] = [];
  afterEach(async () => {
    for (const one of open.splice(0).reverse()) await one.close();
  });

  test('an endpoint to which no port is left stays as it is; it is said once that its checks cannot be made, and once that they can', async () => {
    const endpoint = await ScriptedEndpoint.start(echo, await freePort());
    open.push(endpoint);
    const weir = await Weir.start({ config: (ports) => simpleConfig(ports, [endpoint.address], { pool: { health: check } }) });
    open.push({ close: () => weir.stop() });
    await until('the first check', () => weir.metric('weir_checks_total', { result: 'passed' }));
    const clients: Peer[] = [];
    // A check may hold the last one for a moment.
    await until('all ports to be taken', async () => {
      const client = await connect(endpoint.port).catch(() => null);
      if (client !== null) clients.push(client);
      return clients.length === PORTS;
    });
    open.push(...clients);
    await until(
      'five checks that are not made',
      async () => (await weir.metric('weir_checks_total', { result: 'not-made' })) >= 5,
    );
    const { status, checks } = await endpointOf(weir);
    assert.equal(status.state, 'ready');
    assert.match(status.reason, /^ok: connected; not checked now: no local port .*\(EADDRNOTAVAIL\)$/);
    assert.match(status.evidence[0]!, /^the last \d+ checks, .* ago, could not be made: no local port/);
    assert.equal(checks.failed, 0);
    const asked = await command('explain', 'GET', 'http://a/', '--admin', `http://127.0.0.1:${weir.adminPort}`);
    assert.match(asked.out, /not checked now: no local port/);
    await Promise.all(clients.map((client) => client.close()));
    // The kernel gives ports in TIME_WAIT away again after a second, on loopback.
    await until('the end to be told', () => weir.events('checks_made_again').length === 1);
    assert.equal(weir.events('checks_not_made').length, 1);
    await until('it to be well', async () => (await endpointOf(weir)).status.reason === 'ok: connected');
    // And what does speak of the endpoint counts.
    await endpoint.close();
    await until('the endpoint to be down', async () => (await endpointOf(weir)).status.state === 'down', 15_000, 100);
    const reasons = await until('it to be told', () => {
      const downs = weir.events('endpoint_down');
      return downs.length > 0 && downs.map(({ reason }) => reason);
    });
    assert.deepEqual(reasons, ['connection_refused']);
  });
});
