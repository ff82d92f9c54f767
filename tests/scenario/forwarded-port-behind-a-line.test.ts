/**
 * Harm prevented: an application behind a balancer that writes PROXY lines makes links to a port that no client can reach, because it is told the one between the two.
 */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { fieldsOf } from '../support/message-reader.ts';
import { answer, connect, ok, type Peer, ScriptedEndpoint } from '../support/peer.ts';
import { descriptorGuard } from '../support/streams.ts';
import { simpleConfig, Weir } from '../support/weir.ts';

let endpoint: ScriptedEndpoint;
let weir: Weir;
let guard: () => Promise<void>;
before(async () => {
  endpoint = await ScriptedEndpoint.start(answer((request) => ok(fieldsOf(request, 'x-forwarded-port').join())));
  weir = await Weir.start({
    config: (ports) =>
      simpleConfig(ports, [endpoint.address], {
        listener: { proxyProtocol: { accept: 'optional', from: ['127.0.0.1'] } },
        pool: { connections: { keepAlive: 0 } },
      }),
  });
  guard = descriptorGuard(weir);
});
after(async () => {
  await weir?.stop();
  await endpoint?.close();
});

/** Says these bytes in front of its requests, and gives what the endpoint was told in each. */
async function toldAfter(ahead: string, localAddress = '127.0.0.1', count = 1): Promise<string[]> {
  const client: Peer = await connect(weir.port, '127.0.0.1', localAddress);
  const told: string[] = [];
  for (let i = 0; i < count; i++) {
    client.reader.expect('GET');
    client.send(`${i === 0 ? ahead : ''}GET / HTTP/1.1\r\nHost: a.test\r\nX-Forwarded-Port: 1\r\n\r\n`);
    const { status, body } = await client.message();
    told.push(status === 200 ? String(body) : `status ${status}`);
  }
  await client.close();
  return told;
}

test('the endpoint is told the port that the line says the client connected to, in every request', async () => {
  assert.deepEqual(await toldAfter('PROXY TCP4 203.0.113.9 198.51.100.1 5555 8443\r\n', '127.0.0.1', 3), [
    '8443',
    '8443',
    '8443',
  ]);
  assert.deepEqual(await toldAfter('PROXY TCP6 2001:db8::9 2001:db8::1 5555 80\r\n'), ['80']);
});

test('where no line names one it is the port of the listener', async () => {
  const own = [String(weir.port)];
  assert.deepEqual(await toldAfter(''), own, 'no line');
  assert.deepEqual(await toldAfter('PROXY UNKNOWN\r\n'), own, 'a line that names nobody');
  assert.deepEqual(await toldAfter('', '127.0.0.2'), own, 'a peer whose line is not looked for');
});

test('a line of a peer that is not believed changes nothing: it is no request', async () => {
  assert.deepEqual(await toldAfter('PROXY TCP4 203.0.113.9 198.51.100.1 5555 8443\r\n', '127.0.0.2'), ['status 400']);
});

test('nothing is left', () => guard());
