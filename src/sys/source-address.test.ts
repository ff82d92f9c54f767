import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { cannotUnshare, Network, setNet } from '../../tests/support/network.ts';
import type { Address } from '../base/wire.ts';
import { EADDRNOTAVAIL, ENETUNREACH } from './constants.generated.ts';
import { hasSource, obstacleTo } from './source-address.ts';

const to = (host: string): Address => ({ kind: 'ip', host, port: 9 });

test('an address that is none of this machine’s is no source', () => {
  assert.equal(obstacleTo(to('127.0.0.1'), '203.0.113.9'), EADDRNOTAVAIL);
  assert.equal(hasSource(to('127.0.0.1'), '203.0.113.9'), false);
  assert.equal(hasSource(to('127.0.0.1'), '127.0.0.9'), true);
  assert.equal(hasSource({ kind: 'unix', path: '/nowhere' }), true);
});

describe('in a network of its own', { skip: cannotUnshare() }, () => {
  const inside = (act: () => void) => async () => {
    const home = Network.current();
    const made = Network.enterNew();
    home.enter();
    await made.inside(home, act);
    made.close();
    home.close();
  };

  test(
    'where there is no route that is told, and where there is no address too',
    inside(() => {
      for (const host of ['192.0.2.1', '2001:db8::1']) assert.equal(obstacleTo(to(host)), ENETUNREACH, host);
      for (const host of ['127.0.0.1', '::1']) assert.equal(obstacleTo(to(host)), 0, host);
      setNet('ipv6/conf/all/disable_ipv6', '1');
      for (const host of ['::1', '2001:db8::1']) assert.equal(obstacleTo(to(host)), EADDRNOTAVAIL, host);
      assert.equal(hasSource(to('127.0.0.1')), true);
    }),
  );

  test(
    'no port is not taken for no address',
    inside(() => {
      setNet('ipv4/ip_local_port_range', '40001 40002');
      // What is reserved is not given away: none is left.
      setNet('ipv4/ip_local_reserved_ports', '40001-40002');
      assert.equal(hasSource(to('127.0.0.1')), true);
      assert.equal(hasSource(to('127.0.0.1'), '127.0.0.9'), true);
    }),
  );
});
