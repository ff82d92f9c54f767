import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { cannotUnshare, Network, setNet } from '../../../tests/support/network.ts';
import type { Address } from '../../base/wire.ts';
import { EADDRNOTAVAIL, ECONNREFUSED, ENETUNREACH } from '../../sys/constants.generated.ts';
import { checksOf, make, planOf, run } from './check-fixture.ts';
import { failedToConnect, noWay } from './check-way.ts';

const to = (host: string): Address => ({ kind: 'ip', host, port: 9 });

test('what this machine has an address and a route for is not without a way: a port is missing, or a router has spoken', () => {
  assert.equal(failedToConnect(EADDRNOTAVAIL, to('127.0.0.1')).reason, 'not_made');
  assert.deepEqual(failedToConnect(ENETUNREACH, to('127.0.0.1')), {
    passed: false,
    reason: 'destination_ip_unroutable',
    evidence: 'ENETUNREACH',
  });
  assert.equal(failedToConnect(ECONNREFUSED, to('127.0.0.1')).reason, 'connection_refused');
  assert.equal(noWay('ENETUNREACH', { kind: 'unix', path: '/nowhere' }), null);
});

describe('in a network of its own', { skip: cannotUnshare() }, () => {
  test('without a way a check has failed, and its evidence says what to do, over whichever sockets it is made', async (t) => {
    const home = Network.current();
    const made = Network.enterNew();
    home.enter();
    await made.inside(home, async () => {
      const four = failedToConnect(ENETUNREACH, to('192.0.2.1'));
      assert.equal(four.reason, 'destination_ip_unroutable');
      assert.match(four.evidence, /^no IPv4 route to it .*: give it .*\(ENETUNREACH\)$/);
      setNet('ipv6/conf/all/disable_ipv6', '1');
      const six = failedToConnect(EADDRNOTAVAIL, to('::1'));
      assert.equal(six.reason, 'destination_ip_unroutable');
      assert.match(six.evidence, /^no IPv6 address .*: switch IPv6 on .*\(EADDRNOTAVAIL\)$/);
      const checks = checksOf(t);
      for (const plan of [planOf<'tcp'>({ type: 'tcp' }), planOf<'grpc'>({ type: 'grpc', service: '', host: null, tls: null })]) {
        const { passed, reason, evidence } = await run(make(checks, to('::1'), plan));
        assert.deepEqual({ passed, reason, evidence }, six, plan.type);
      }
    });
    made.close();
    home.close();
  });
});
