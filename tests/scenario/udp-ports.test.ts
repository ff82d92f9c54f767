/**
 * Harm prevented: when no local port is left for datagrams, a newcomer is held in vain, its endpoint is blamed, or those who have a port lose it.
 */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { datagramConfig, endpoint, openTalkers, sessions } from '../support/datagrams.ts';
import { cannotUnshare, Network, setNet } from '../support/network.ts';
import { until } from '../support/wait.ts';
import { type EngineName, Weir } from '../support/weir.ts';

const PORTS = 100;
const LATE = 10;
const reason = { phase: 'connect', reason: 'connection_limit_reached' };

describe('with 100 local ports', { skip: cannotUnshare() }, () => {
  const home = Network.current();
  before(() => void Network.enterNew());
  after(() => home.enter());

  for (const engine of ['uring', 'epoll'] as EngineName[])
    test(`a client of datagrams without a port is told of and blames nobody, and the others go on (${engine})`, async () => {
      setNet('ipv4/ip_local_port_range', '50001 50999');
      const end = await endpoint('');
      const talkers = await openTalkers(PORTS + LATE);
      setNet('ipv4/ip_local_port_range', '40001 40100');
      const passive = { consecutiveFailures: 1 };
      const weir = await Weir.start({
        engine,
        config: (ports) => datagramConfig(ports, [end], {}, { health: { passive } }),
      });
      try {
        const early = talkers.slice(0, PORTS);
        for (const each of early) each.say(weir.port, 'hello');
        await until('their answers', () => early.every(({ texts }) => texts.length === 1));
        for (const each of talkers.slice(PORTS)) each.say(weir.port, 'hello');
        // To ask more often would use up local ports of TCP, of which there are as few.
        await until('the faults', async () => (await weir.metric('weir_faults_total', reason)) === LATE, 5000, 100);
        assert.equal(await sessions(weir), PORTS);
        assert.equal(await weir.metric('weir_datagrams_dropped_total'), 0);
        assert.equal(weir.events('endpoint_ejected').length, 0);
        for (const each of early) each.say(weir.port, 'again');
        await until('more answers', () => early.every(({ texts }) => texts.at(-1) === 'again'));
      } finally {
        await weir.stop();
      }
    });
});
