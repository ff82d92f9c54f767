/** Harm prevented: an endpoint that is down seems up, and echoes what it is asked, because the kernel gave weir's socket the endpoint's own port. */
import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, test } from 'node:test';
import { cannotUnshare, Network, setNet } from '../../tests/support/network.ts';
import type { Address } from '../base/wire.ts';
import { checksOf, make, planOf, run } from '../control/health/check-fixture.ts';
import { until } from './conformance.ts';
import { openEpoll } from './epoll.ts';
import { Peer } from './peer.ts';
import { openUring } from './uring.ts';

const ECONNREFUSED = 111;
const skip = cannotUnshare();
const counts = { largeCount: 300, smallCount: 64 };

describe('at a dead port that is also the only local port', { skip }, () => {
  const home = Network.current();
  before(() => void Network.enterNew());
  /** Each test has its own: who met itself leaves the port in TIME_WAIT. */
  let port = 40_000;
  let address: Address;
  beforeEach(() => {
    port += 2;
    setNet('ipv4/ip_local_port_range', `${port} ${port + 1}`);
    address = { kind: 'ip', host: '127.0.0.1', port };
  });
  after(() => home.enter());

  for (const [name, open] of [
    ['uring', openUring],
    ['epoll', openEpoll],
  ] as const) {
    test(`${name}: a connection is refused, and does not meet itself`, async () => {
      const engine = open(counts);
      for (let i = 0; i < 8; i++) {
        const peer = new Peer(engine).dial(address);
        peer.send('hello');
        await until(engine, () => peer.closedCount === 1, 'the refusal');
        assert.deepEqual([peer.closedErrno, peer.events, peer.receivedBytes], [ECONNREFUSED, ['closed'], 0]);
      }
      engine.close();
    });

    test(`${name}: a datagram is refused, and is not taken for its own answer`, async () => {
      const engine = open(counts);
      for (let i = 0; i < 8; i++) {
        const told: (number | string)[] = [];
        const socket = engine.connectDatagrams(address, {
          onDatagram: () => void told.push('datagram'),
          onDatagramFault: (_, errno) => void told.push(errno),
        });
        const block = engine.blocks.takeSmall();
        const start = engine.blocks.start(block);
        socket.send(block, start, start + 5, 0);
        engine.blocks.release(block);
        await until(engine, () => told.length > 0, 'the refusal');
        assert.deepEqual(told, [ECONNREFUSED]);
        socket.close();
      }
      engine.close();
    });
  }

  test('a check that only connects fails', async (t) => {
    const check = make(checksOf(t), address, planOf<'tcp'>({ type: 'tcp' }));
    for (let i = 0; i < 8; i++) assert.equal((await run(check)).reason, 'connection_refused');
  });
});
