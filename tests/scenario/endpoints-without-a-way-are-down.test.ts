/**
 * Harm prevented: an endpoint to which this machine has no way, for want of an IPv6 address or of a route, stays unknown for ever, is tried again and again, and what
 * is said of it sends people looking for local ports.
 */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { command } from '../support/command.ts';
import { endpoint as answering, keepTalkers, Talker } from '../support/datagrams.ts';
import { fieldOf } from '../support/message-reader.ts';
import { cannotUnshare, Network, setNet } from '../support/network.ts';
import { ask, connect, ok, ScriptedEndpoint } from '../support/peer.ts';
import { echo } from '../support/streams.ts';
import { freePort } from '../support/system.ts';
import { until } from '../support/wait.ts';
import { type EngineName, Weir } from '../support/weir.ts';

const GET = 'GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n';
const REASON = 'destination_ip_unroutable';
const kinds = ['tcp', 'http', 'udp'] as const;
const check = { active: { type: 'tcp', interval: '100ms', timeout: '500ms' }, passive: false };

const isOff = {
  what: 'IPv6 switched off',
  far: '[::1]:8',
  errno: 'EADDRNOTAVAIL',
  says: /no IPv6 address on this machine: switch IPv6 on/,
};
const hasNoRoute = {
  what: 'IPv6 and no route',
  far: '[2001:db8::1]:8',
  errno: 'ENETUNREACH',
  says: /no IPv6 route to it on this machine: give it an address and a route/,
};
const machines: (typeof isOff & { engine: EngineName })[] = [
  { ...isOff, engine: 'uring' },
  { ...isOff, engine: 'epoll' },
  { ...hasNoRoute, engine: 'uring' },
];

for (const { what, far, errno, says, engine } of machines)
  describe(`a machine with ${what} (${engine})`, { skip: cannotUnshare() }, () => {
    const home = Network.current();
    const ports = {} as Record<(typeof kinds)[number] | 'checked' | 'unchecked', number>;
    const open: { close(): Promise<void> }[] = [];
    let weir: Weir;

    before(async () => {
      Network.enterNew();
      if (errno === 'EADDRNOTAVAIL') setNet('ipv6/conf/all/disable_ipv6', '1');
      const streams = await ScriptedEndpoint.start(echo);
      const requests = await ScriptedEndpoint.start((peer) => {
        peer.socket.on('data', () => peer.send(ok('hello')));
      });
      const datagrams = await answering('');
      keepTalkers();
      open.push(streams, requests, datagrams);
      const near = { tcp: streams.port, http: requests.port, udp: datagrams.port };
      for (const name of [...kinds, 'checked', 'unchecked'] as const) ports[name] = await freePort();
      const listener = (name: keyof typeof ports, protocol: string) => ({
        protocol,
        listen: `127.0.0.1:${ports[name]}`,
        to: name,
        ...(protocol === 'udp' ? { udp: { responses: 1 } } : {}),
      });
      // The first is asked first, and one failure is enough to be taken out.
      const pool = (protocol: (typeof kinds)[number]) => ({
        protocol,
        balance: 'first',
        endpoints: [far, `127.0.0.1:${near[protocol]}`],
        health: { passive: { consecutiveFailures: 1 } },
      });
      weir = await Weir.start({
        engine,
        config: ({ admin }) => ({
          version: 1,
          admin: { listen: [`127.0.0.1:${admin}`] },
          listeners: {
            tcp: listener('tcp', 'tcp'),
            http: listener('http', 'http'),
            udp: listener('udp', 'udp'),
            checked: listener('checked', 'http'),
            unchecked: listener('unchecked', 'http'),
          },
          pools: {
            tcp: pool('tcp'),
            http: pool('http'),
            udp: pool('udp'),
            checked: { endpoints: [far], health: check },
            unchecked: { endpoints: [far] },
          },
        }),
      });
      open.push({ close: () => weir.stop() });
    });
    after(async () => {
      for (const one of open.splice(0).reverse()) await one.close();
      home.enter();
    });

    const unroutable = (pool: string): Promise<number> =>
      weir.metric('weir_endpoint_connects_total', { pool, endpoint: far, result: 'unroutable' });

    test('the checks of such an endpoint have failed, and what is said of it says what to do', async () => {
      await until('the endpoint to be down', () => weir.events('endpoint_down').length > 0);
      const [event] = weir.events('endpoint_down');
      assert.deepEqual([event!['pool'], event!['endpoint'], event!['reason']], ['checked', far, REASON]);
      assert.match(String(event!['evidence']), says);
      assert.ok(String(event!['evidence']).endsWith(`(${errno})`));
      assert.equal(weir.events('checks_not_made').length, 0);
      const admin = ['--admin', `http://127.0.0.1:${weir.adminPort}`];
      const status = await command('status', ...admin);
      assert.match(status.out, says);
      assert.match(status.out, /this machine's addresses and routes/);
      const explained = await command('explain', `http://a:${ports.checked}/`, ...admin);
      assert.match(explained.out, says);
    });

    test('connections, requests and datagrams go to another endpoint, and the failure counts against this one', async () => {
      const client = await connect(ports.tcp);
      client.send('hello');
      await client.expect(/^hello$/);
      await client.close();
      assert.equal((await ask(ports.http, GET)).body.toString(), 'hello');
      const talker = await Talker.open();
      talker.say(ports.udp, 'hello');
      await until('the answer', () => talker.texts.includes('hello'));
      for (const kind of kinds) {
        await until(`the failure of ${kind} to be counted`, async () => (await unroutable(kind)) === 1);
        await until(`the ejection by ${kind}`, () => weir.events('endpoint_ejected').some(({ pool }) => pool === kind));
      }
      assert.equal(await weir.metric('weir_endpoint_connects_total', { result: 'failed' }), 0);
    });

    test('where there is no other endpoint the answer names the reason', async () => {
      const answer = await ask(ports.unchecked, GET);
      assert.equal(answer.status, 502);
      assert.match(fieldOf(answer, 'proxy-status')!, new RegExp(REASON));
      const counted = async () => (await weir.metric('weir_faults_total', { phase: 'connect', reason: REASON })) === 1;
      await until('the fault to be counted', counted);
    });
  });
