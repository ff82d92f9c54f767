/**
 * Harm prevented: a tunnel opened where the endpoint did not agree carries smuggled requests; an interim answer taken for the final one shifts all
 * that follow; a client that waits for 100 Continue waits for ever.
 */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import { connect, ok, type Script, ScriptedEndpoint } from '../support/peer.ts';
import { simpleConfig, Weir } from '../support/weir.ts';

const KEY = 'dGhlIHNhbXBsZSBub25jZQ==';
const ACCEPT = createHash('sha1').update(`${KEY}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64');
const opening = (
  lines = `Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: ${KEY}\r\nSec-WebSocket-Version: 13\r\n`,
  method = 'GET',
): string => `${method} /chat HTTP/1.1\r\nHost: a.test\r\n${lines}\r\n`;
const switching = (accept = ACCEPT, upgrade = 'websocket'): string =>
  `HTTP/1.1 101 Switching Protocols\r\nUpgrade: ${upgrade}\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`;

for (const engine of ['uring', 'epoll'] as const)
  describe(`with ${engine}`, () => {
    let endpoint: ScriptedEndpoint;
    let weir: Weir;
    before(async () => {
      endpoint = await ScriptedEndpoint.start(() => {});
      weir = await Weir.start({ engine, config: (ports) => simpleConfig(ports, [endpoint.address]) });
    });
    after(async () => {
      await weir?.stop();
      await endpoint?.close().catch(() => {});
    });
    /** Fresh connections to the endpoint, and this script on them. */
    const use = (script: Script): void => {
      for (const peer of endpoint.peers) peer.socket.destroy();
      endpoint.script = script;
    };

    test('a WebSocket opens, carries bytes both ways, and ends with its FIN', async () => {
      use(async (peer) => {
        await peer.expect('\r\n\r\n');
        assert.match(peer.received, /\r\nupgrade: websocket\r\n/i);
        assert.match(peer.received, /\r\nconnection: upgrade\r\n/i);
        peer.send(`${switching()}first`);
        await peer.expect('from the client');
        peer.send('from the endpoint');
        await peer.ended();
        peer.sendEnd();
      });
      const client = await connect(weir.port);
      client.send(opening());
      await client.expect('101 Switching Protocols');
      await client.expect('first');
      client.send('from the client');
      await client.expect('from the endpoint');
      client.sendEnd();
      assert.equal(await client.ended(), 'fin');
      await client.close();
    });

    test('a WebSocket that its client resets is reset towards the endpoint, which does not take it for ended', async () => {
      use(async (peer) => {
        await peer.expect('\r\n\r\n');
        peer.send(switching());
      });
      const from = endpoint.peers.length;
      const client = await connect(weir.port);
      client.send(opening());
      await client.expect('101 Switching Protocols');
      client.send('half of it');
      const peer = await endpoint.peer(from);
      await peer.expect('half of it');
      client.reset();
      assert.equal(await peer.ended(), 'reset');
    });

    const notTunnels: readonly (readonly [string, string, string])[] = [
      [
        'an opening without a version',
        opening(`Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: ${KEY}\r\n`),
        switching(),
      ],
      [
        'an opening with a short key',
        opening('Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: abc\r\nSec-WebSocket-Version: 13\r\n'),
        switching(),
      ],
      [
        'an opening without Connection',
        opening(`Upgrade: websocket\r\nSec-WebSocket-Key: ${KEY}\r\nSec-WebSocket-Version: 13\r\n`),
        switching(),
      ],
      ['an opening by POST', opening(undefined, 'POST'), switching()],
      ['a wrong accept', opening(), switching('AAAAAAAAAAAAAAAAAAAAAAAAAAA=')],
      ['another protocol than asked', opening(), switching(ACCEPT, 'h2c')],
    ];
    for (const [name, request, reply] of notTunnels)
      test(`no tunnel: ${name}`, async () => {
        use(async (peer) => {
          await peer.expect('\r\n\r\n');
          peer.send(reply);
        });
        const client = await connect(weir.port);
        client.send(request);
        const message = await client.message();
        assert.ok([400, 426, 502].includes(message.status), message.startLine);
        await client.close();
      });

    test('an endpoint that declines the upgrade answers as HTTP, and the connection goes on as HTTP', async () => {
      use(async (peer) => {
        await peer.message();
        peer.send(ok('no thanks'));
        await peer.message();
        peer.send(ok('second'));
      });
      const client = await connect(weir.port);
      client.send(opening());
      assert.equal((await client.message()).body.toString(), 'no thanks');
      client.send('GET /second HTTP/1.1\r\nHost: a.test\r\n\r\n');
      assert.equal((await client.message()).body.toString(), 'second');
      await client.close();
    });

    test('100 Continue of the endpoint is relayed, then the body', async () => {
      use(async (peer) => {
        await peer.expect('\r\n\r\n');
        assert.match(peer.received, /\r\nexpect: 100-continue\r\n/i);
        assert.doesNotMatch(peer.received, /hello/);
        peer.send('HTTP/1.1 100 Continue\r\n\r\n');
        const request = await peer.message();
        peer.send(ok(request.body.toString()));
      });
      const client = await connect(weir.port);
      client.send('POST /p HTTP/1.1\r\nHost: a.test\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n');
      assert.equal((await client.message()).status, 100);
      client.send('hello');
      assert.equal((await client.message()).body.toString(), 'hello');
      await client.close();
    });

    test('a final answer instead of 100 Continue is relayed at once', async () => {
      use(async (peer) => {
        await peer.expect('\r\n\r\n');
        peer.send('HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno');
      });
      const client = await connect(weir.port);
      client.send('POST /p HTTP/1.1\r\nHost: a.test\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n');
      const message = await client.message();
      assert.equal(message.status, 403);
      await client.close();
    });

    test('Expect of an HTTP/1.0 client is ignored: it gets no interim answer', async () => {
      use(async (peer) => {
        const request = await peer.message();
        peer.send(`HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n${ok(request.body.toString())}`);
      });
      const client = await connect(weir.port);
      client.send('POST /p HTTP/1.0\r\nHost: a.test\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\nhello');
      const message = await client.message();
      assert.equal(message.status, 200);
      assert.equal(message.body.toString(), 'hello');
      await client.close();
    });

    test('an early final answer during an upload is relayed and the connection closed', async () => {
      use(async (peer) => {
        await peer.expect('\r\n\r\n');
        peer.send('HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\n\r\nbig');
      });
      const client = await connect(weir.port);
      client.send('POST /p HTTP/1.1\r\nHost: a.test\r\nContent-Length: 10000000\r\n\r\nfirst bytes');
      const message = await client.message();
      assert.equal(message.status, 413);
      // The rest of the upload is not wanted: the connection ends, without a wait for it and without a reset that could eat the answer.
      assert.equal(await client.ended(), 'fin');
      await client.close();
    });
  });
