/**
 * Harm prevented: endpoints that have to know the client by its address see weir instead, connections from a foreign address never open, or a client of the
 * other family is served by nobody.
 *
 *     client namespace ---- weir namespace ---- endpoint namespace
 *     .1.2             .1.1              .2.1                 .2.2
 */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { endpoint as datagramEndpoint, keepTalkers, Talker } from '../support/datagrams.ts';
import { cannotUnshare, ip, Network } from '../support/network.ts';
import { connect, type Peer, ScriptedEndpoint } from '../support/peer.ts';
import { descriptorGuard, echo, streamConfig } from '../support/streams.ts';
import { until } from '../support/wait.ts';
import { Weir } from '../support/weir.ts';

for (const [family, prefix, bits] of [
  ['-4', '10.88.', '24'],
  ['-6', 'fd88::', '120'],
] as const)
  describe(`transparent source addresses (ip ${family})`, { skip: cannotUnshare() }, () => {
    const isV6 = family === '-6';
    /** Host `host` of network `net`. */
    const at = (net: number, host: number): string => (isV6 ? `${prefix}${net}:${host}` : `${prefix}${net}.${host}`);
    const bracketed = (host: string): string => (isV6 ? `[${host}]` : host);
    /** Loopback of the other family. */
    const other = isV6 ? '127.0.0.1' : '::1';
    const start = Network.current();
    let weirs: Network;
    let clients: Network;
    let endpoints: Network;
    let endpoint: ScriptedEndpoint;
    let datagrams: Talker;
    let weir: Weir;

    before(async () => {
      weirs = Network.enterNew();
      clients = Network.enterNew();
      endpoints = Network.enterNew();
      weirs.enter();
      const address = (link: string, host: string): void => {
        ip(family, 'addr', 'add', `${host}/${bits}`, 'dev', link, ...(isV6 ? ['nodad'] : []));
        ip('link', 'set', link, 'up');
      };
      for (const [net, other] of [
        [1, clients],
        [2, endpoints],
      ] as const) {
        ip('link', 'add', 'name', `side${net}`, 'type', 'veth', 'peer', 'name', 'up0', 'netns', other.path);
        address(`side${net}`, at(net, 1));
        await other.inside(weirs, () => {
          address('up0', at(net, 2));
          ip(family, 'route', 'add', 'default', 'via', at(net, 1));
        });
      }
      endpoint = await endpoints.inside(weirs, () => ScriptedEndpoint.start(echo, 0, at(2, 2)));
      datagrams = await endpoints.inside(weirs, () => datagramEndpoint('!', at(2, 2)));
      keepTalkers();
      weir = await Weir.start({
        config: (ports) => {
          const listen = [at(1, 1), other].map((host) => `${host.includes(':') ? `[${host}]` : host}:${ports.web}`);
          const source = { transparent: true };
          const ofStreams = streamConfig(ports, [`${bracketed(at(2, 2))}:${endpoint.port}`], {
            listener: { listen, timeouts: { connect: '400ms' } },
            pool: { source },
          });
          return {
            ...ofStreams,
            listeners: { ...ofStreams.listeners, dns: { protocol: 'udp', listen, to: 'dns' } },
            pools: { ...ofStreams.pools, dns: { endpoints: [`${bracketed(at(2, 2))}:${datagrams.port}`], source } },
          };
        },
      });
    });
    after(async () => {
      await weir?.stop();
      await endpoint?.close();
      await datagrams?.close();
      start.enter();
      for (const network of [weirs, clients, endpoints]) network?.close();
    });
    const dial = (): Promise<Peer> => clients.inside(weirs, () => connect(weir.port, at(1, 1)));

    test('without a rule that brings the answers back the endpoint cannot be connected to', async () => {
      const client = await dial();
      assert.equal(await client.ended(), 'reset');
      await until('the fault', async () => (await weir.metric('weir_faults_total', { reason: 'connection_timeout' })) === 1);
      await client.close();
    });

    test('with the rule the endpoint sees the address of the client, and every byte passes both ways', async () => {
      ip(family, 'rule', 'add', 'iif', 'side2', 'ipproto', 'tcp', 'sport', String(endpoint.port), 'lookup', '100');
      ip(family, 'route', 'add', 'local', 'default', 'dev', 'lo', 'table', '100');
      const guard = descriptorGuard(weir);
      const peers = [await dial(), await dial(), await dial()];
      const body = Buffer.alloc(300_000, 'abcdefg');
      for (const client of peers) {
        client.send(body);
        await until('every byte', () => client.receivedBytes === body.length);
        assert.ok(Buffer.from(client.received, 'latin1').equals(body));
      }
      assert.deepEqual(
        endpoint.peers.map(({ socket }) => socket.remoteAddress),
        peers.map(() => at(1, 2)),
      );
      for (const client of peers) {
        client.sendEnd();
        assert.equal(await client.ended(), 'fin');
        await client.close();
      }
      await guard();
    });

    test('with a rule of their own datagrams come from the address of the client too', async () => {
      ip(family, 'rule', 'add', 'iif', 'side2', 'ipproto', 'udp', 'sport', String(datagrams.port), 'lookup', '100');
      const client = await clients.inside(weirs, () => Talker.open(0, at(1, 2)));
      for (const question of ['1', '2']) {
        client.say(weir.port, question, at(1, 1));
        await until('the answer', () => client.texts.includes(`${question}!`));
      }
      assert.deepEqual(
        datagrams.got.map(({ from }) => from.address),
        [at(1, 2), at(1, 2)],
      );
    });

    test('a client of the other family is carried from the address of this machine, connections and datagrams', async () => {
      const [before, saidBefore] = [endpoint.peers.length, datagrams.got.length];
      const client = await connect(weir.port, other);
      client.send('hello');
      await until('the echo', () => client.received === 'hello');
      assert.equal(endpoint.peers[before]!.socket.remoteAddress, at(2, 1));
      await client.close();
      const talker = await Talker.open(0, other);
      talker.say(weir.port, 'hello', other);
      await until('the answer', () => talker.texts.includes('hello!'));
      assert.equal(datagrams.got[saidBefore]!.from.address, at(2, 1));
    });
  });
