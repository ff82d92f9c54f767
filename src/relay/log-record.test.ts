import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ClientAddress } from '../base/client-address.ts';
import { textWithPort } from './log-record.ts';

test('a client is told with its port, and one of a unix socket, which has none, without', () => {
  const address = new ClientAddress();
  for (const text of ['192.0.2.1:4711', '[2001:db8::1]:4711', 'unix:']) {
    address.set(text);
    assert.equal(textWithPort(address), text);
  }
});
