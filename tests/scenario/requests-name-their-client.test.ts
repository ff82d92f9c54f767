/**
 * Harm prevented: an endpoint that goes by the PROXY line takes one client for another, or for weir. Requests of several clients to a pool with `proxyProtocol`,
 * and to a second weir that lets nobody in without a line.
 */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import { ClientAddress } from '../../src/base/client-address.ts';
import { MORE, ProxyLineReader } from '../../src/protocol/proxy-line/proxy-line.ts';
import { fieldsOf } from '../support/message-reader.ts';
import { answer, connect, ok, type Peer, type Script, ScriptedEndpoint } from '../support/peer.ts';
import { descriptorGuard } from '../support/streams.ts';
import { until } from '../support/wait.ts';
import { simpleConfig, Weir } from '../support/weir.ts';

/** A connection as an endpoint saw it: who is named in front of which bytes; '' = nobody (UNKNOWN, LOCAL). */
interface Seen {
  named: string;
  to: string;
  text: string;
}

function readLine(bytes: Buffer): Seen | null {
  const reader = new ProxyLineReader();
  const [client, server] = [new ClientAddress(), new ClientAddress()];
  const length = reader.read(bytes, 0, bytes.length, client, server);
  if (length === MORE) return null;
  assert.ok(length > 0, `no line in front of ${JSON.stringify(bytes.toString('latin1').slice(0, 200))}`);
  const text = bytes.subarray(length).toString('latin1');
  if (reader.isLocal) return { named: '', to: '', text };
  return { named: `${client.text}:${client.port}`, to: `${server.text}:${server.port}`, text };
}

/** What a connection has told so far; null while its first request is not complete. */
function seenOn(peer: Peer): Seen | null {
  const seen = peer.received === '' ? null : readLine(Buffer.from(peer.received, 'latin1'));
  return seen?.text.includes('\r\n\r\n') ? seen : null;
}

/** Answers the first request with whom the line named, and keeps the connection for more, whatever it was asked for. */
const names: Script = async (peer) => {
  const seen = await until('a line and a request', () => seenOn(peer) ?? peer.ending !== 'open', 20_000, 2);
  if (seen !== true) peer.send(ok(seen.named));
};

const get = (path: string): string => `GET ${path} HTTP/1.1\r\nHost: a.test\r\n\r\n`;

for (const [version, engine] of [
  ['v1', 'uring'],
  ['v2', 'uring'],
  ['v2', 'epoll'],
] as const)
  describe(`${version} with ${engine}`, () => {
    let endpoint: ScriptedEndpoint;
    let weir: Weir;
    before(async () => {
      endpoint = await ScriptedEndpoint.start(names);
      weir = await Weir.start({
        engine,
        config: (ports) =>
          simpleConfig(ports, [endpoint.address], {
            pool: {
              proxyProtocol: version,
              health: { active: { path: '/alive', interval: '100ms', timeout: '20s', rise: 1, fall: 1 } },
            },
          }),
      });
    });
    after(async () => {
      await weir?.stop();
      await endpoint?.close();
    });
    const requests = (): Seen[] => endpoint.peers.flatMap((peer) => seenOn(peer) ?? []);

    test('clients that ask again and again, at once, are each named in front of each of their requests', async () => {
      const guard = descriptorGuard(weir);
      const clients = await Promise.all(
        ['127.0.0.1', '127.0.0.7', '127.0.0.8'].map((address) => connect(weir.port, '127.0.0.1', address)),
      );
      const own = (client: Peer): string => `${client.socket.localAddress}:${client.localPort}`;
      for (let round = 0; round < 5; round++) {
        for (const client of clients) {
          client.reader.expect('GET');
          client.send(get(`/${own(client)}/${round}`));
        }
        for (const client of clients) assert.equal(String((await client.message()).body), own(client));
      }
      const seen = requests().filter(({ named }) => named !== '');
      assert.equal(seen.length, 15);
      for (const { named, to, text } of seen) {
        assert.ok(text.startsWith(`GET /${named}/`), `${named}: ${text}`);
        assert.equal(to, `127.0.0.1:${weir.port}`);
        assert.match(text, /\r\nConnection: close\r\n/);
        assert.equal(text.match(/GET /g)!.length, 1, 'one request to a connection');
      }
      await until('weir to end the connections', () =>
        endpoint.peers.every((peer) => peer.ending !== 'open' || seenOn(peer) === null || seenOn(peer)!.named === ''),
      );
      for (const client of clients) await client.close();
      await guard();
    });

    test('a check names nobody', async () => {
      const check = await until('a check', () => requests().find(({ named }) => named === ''));
      assert.match(check.text, /^GET \/alive HTTP\/1\.1\r\n/);
      await until('it to be up', async () => (await weir.metric('weir_endpoint_up')) === 1);
    });
  });

test('a request that is tried at another endpoint names its client there, too', async (t) => {
  const first = await ScriptedEndpoint.start(async (peer) => {
    await until('the request', () => seenOn(peer) ?? peer.ending !== 'open', 20_000, 2);
    peer.reset();
  });
  t.after(() => first.close());
  const second = await ScriptedEndpoint.start(names);
  t.after(() => second.close());
  const weir = await Weir.start({
    config: (ports) =>
      simpleConfig(ports, [first.address, second.address], { pool: { proxyProtocol: 'v2', balance: 'round-robin' } }),
  });
  t.after(() => weir.stop());
  const client = await connect(weir.port, '127.0.0.1', '127.0.0.7');
  const own = `127.0.0.7:${client.localPort}`;
  await until('a request that went to both', async () => {
    client.reader.expect('GET');
    client.send(get('/'));
    assert.equal(String((await client.message()).body), own);
    return first.peers.length > 0;
  });
  assert.deepEqual(
    [...first.peers, ...second.peers].map((peer) => seenOn(peer)?.named),
    [...first.peers, ...second.peers].map(() => own),
  );
  await client.close();
});

describe('a weir behind a weir, which lets nobody in without a line', () => {
  let endpoint: ScriptedEndpoint;
  let inner: Weir;
  let outer: Weir;
  const key = 'dGhlIHNhbXBsZSBub25jZQ==';
  before(async () => {
    endpoint = await ScriptedEndpoint.start(
      answer((request) => {
        const client = fieldsOf(request, 'x-forwarded-for').join();
        if (fieldsOf(request, 'upgrade').length === 0) return ok(client);
        const proof = createHash('sha1').update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64');
        return `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${proof}\r\n\r\n${client}`;
      }),
    );
    inner = await Weir.start({
      config: (ports) =>
        simpleConfig(ports, [endpoint.address], {
          listener: { proxyProtocol: { accept: 'required', from: ['127.0.0.1'] } },
          // Else it takes the other one's requests for its own.
          top: { name: 'inner', routes: [{ path: '/alive', respond: { status: 200 } }] },
        }),
    });
    outer = await Weir.start({
      config: (ports) =>
        simpleConfig(ports, [`127.0.0.1:${inner.port}`], {
          pool: {
            proxyProtocol: 'v2',
            health: { active: { path: '/alive', interval: '100ms', timeout: '20s', rise: 1, fall: 1 } },
          },
        }),
    });
  });
  after(async () => {
    await outer?.stop();
    await inner?.stop();
    await endpoint?.close();
  });

  test('its endpoints hear of the client of the outer one, request by request', async () => {
    await until('the outer to find the inner well', async () => (await outer.metric('weir_endpoint_up')) === 1);
    const clients = await Promise.all(['127.0.0.7', '127.0.0.8'].map((address) => connect(outer.port, '127.0.0.1', address)));
    for (let round = 0; round < 3; round++)
      for (const client of clients) {
        client.reader.expect('GET');
        client.send(get('/'));
        assert.equal(String((await client.message()).body), client.socket.localAddress);
      }
    for (const client of clients) await client.close();
    assert.equal(await inner.metric('weir_connections_rejected_total', { reason: 'proxy_line' }), 0);
  });

  test('a WebSocket begins with the line as well', async () => {
    const client = await connect(outer.port, '127.0.0.1', '127.0.0.9');
    client.send(
      `GET / HTTP/1.1\r\nHost: a.test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: ${key}\r\nSec-WebSocket-Version: 13\r\n\r\n`,
    );
    await client.expect(/101 Switching[\s\S]*\r\n\r\n127\.0\.0\.9$/);
    await client.close();
  });
});
