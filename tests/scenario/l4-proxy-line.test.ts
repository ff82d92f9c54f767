/**
 * Harm prevented: who may say who the client is, says it wrongly; and who may not, is believed. PROXY protocol in front of requests, and in front of checks.
 */
import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { ClientAddress } from '../../src/base/client-address.ts';
import { WRITE_BYTES_MAX, writeProxyLine } from '../../src/protocol/proxy-line/proxy-line.ts';
import { fieldsOf } from '../support/message-reader.ts';
import { answer, connect, ok, type Peer, ScriptedEndpoint } from '../support/peer.ts';
import { descriptorGuard, streamConfig } from '../support/streams.ts';
import { until } from '../support/wait.ts';
import { simpleConfig, Weir } from '../support/weir.ts';

const CLIENT = '203.0.113.9';
const GET = 'GET / HTTP/1.1\r\nHost: a.test\r\nX-Forwarded-For: 192.0.2.66\r\n\r\n';

function addressOf(text: string): ClientAddress {
  const address = new ClientAddress();
  address.set(text);
  return address;
}

/** A line of version 2 from `client` to port 80 of 198.51.100.1. */
function line2(client: string): Buffer {
  const bytes = Buffer.alloc(WRITE_BYTES_MAX);
  return bytes.subarray(0, writeProxyLine(bytes, 0, 2, addressOf(client), addressOf('198.51.100.1:80'), null));
}

/** The same with one byte changed. */
function broken(bytes: Buffer, at: number, xor: number): Buffer {
  const copy = Buffer.from(bytes);
  copy[at < 0 ? copy.length + at : at]! ^= xor;
  return copy;
}

const line1 = `PROXY TCP4 ${CLIENT} 198.51.100.1 5555 80\r\n`;
const good = line2(`${CLIENT}:5555`);

describe('requests behind a PROXY line', () => {
  let endpoint: ScriptedEndpoint;
  let weir: Weir;
  let guard: () => Promise<void>;
  const folder = mkdtempSync(join(tmpdir(), 'weir-proxy-line-'));
  before(async () => {
    endpoint = await ScriptedEndpoint.start(answer((request) => ok(fieldsOf(request, 'x-forwarded-for').join())));
    weir = await Weir.start({
      folder,
      config: (ports) =>
        simpleConfig(ports, [endpoint.address], {
          listener: { proxyProtocol: { accept: 'required', from: ['127.0.0.1', '127.0.0.8'] } },
          // None is kept, so that descriptors can be counted.
          pool: { connections: { keepAlive: 0 } },
          top: { logs: { access: { to: `${folder}/access.log`, format: 'json' } } },
        }),
    });
    // The plan comes into force at the worker's next turn, and with it one more descriptor.
    await until('the log to be opened', () => existsSync(`${folder}/access.log`));
    guard = descriptorGuard(weir);
  });
  after(async () => {
    await weir?.stop();
    await endpoint?.close();
    rmSync(folder, { recursive: true, force: true });
  });
  const lines = (): Record<string, unknown>[] =>
    readFileSync(`${folder}/access.log`, 'utf8')
      .split('\n')
      .filter(Boolean)
      .map((line) => JSON.parse(line));
  const rejected = (): Promise<number> => weir.metric('weir_connections_rejected_total', { reason: 'proxy_line' });
  /** X-Forwarded-For as the endpoint got it. */
  async function forwardedFor(client: Peer): Promise<string> {
    return String((await client.message()).body);
  }

  for (const [name, line, expected] of [
    ['version 1', line1, CLIENT],
    ['version 1 and IPv6', 'PROXY TCP6 2001:db8::9 2001:db8::1 5555 80\r\n', '2001:db8::9'],
    ['version 2', good, CLIENT],
    ['version 2 and IPv6', line2('[2001:db8::9]:5555'), '2001:db8::9'],
    // Nobody is named: the peer is the client.
    ['UNKNOWN', 'PROXY UNKNOWN\r\n', '127.0.0.1'],
    ['LOCAL', Buffer.from('0d0a0d0a000d0a515549540a20000000', 'hex'), '127.0.0.1'],
    ['a family that is not known', Buffer.from('0d0a0d0a000d0a515549540a2101000401020304', 'hex'), '127.0.0.1'],
  ] as const)
    test(`${name}: the endpoint and the log are told of ${expected}, whatever the request says of itself`, async () => {
      const before = lines().length;
      const client = await connect(weir.port);
      client.reader.expect('GET');
      // The line and the request in one packet, then another request on the same connection.
      client.send(Buffer.concat([Buffer.from(line as string, 'latin1'), Buffer.from(GET)]));
      assert.equal(await forwardedFor(client), expected);
      client.reader.expect('GET');
      client.send(GET);
      assert.equal(await forwardedFor(client), expected);
      const [first] = await until('two lines of the log', () => {
        const seen = lines().slice(before);
        return seen.length === 2 && seen;
      });
      const port = expected === '127.0.0.1' ? client.localPort : 5555;
      assert.equal(first!['client'], expected.includes(':') ? `[${expected}]:${port}` : `${expected}:${port}`);
      assert.equal(first!['peer'], port === 5555 ? '127.0.0.1' : undefined);
      await client.close();
    });

  test('a line that comes byte by byte is read like any other', async () => {
    for (const line of [Buffer.from(line1), good]) {
      const client = await connect(weir.port);
      client.reader.expect('GET');
      await client.drip(line.toString('latin1'), 0);
      client.send(GET);
      assert.equal(await forwardedFor(client), CLIENT);
      await client.close();
    }
  });

  const wrong: readonly (readonly [string, string | Buffer])[] = [
    ['a request without a line', GET],
    ['a line of another protocol', 'SSH-2.0-OpenSSH\r\n'],
    ['an address that is none', 'PROXY TCP4 203.0.113.999 198.51.100.1 5555 80\r\n'],
    ['an address of the other family', `PROXY TCP6 ${CLIENT} 198.51.100.1 5555 80\r\n`],
    ['a port that is none', `PROXY TCP4 ${CLIENT} 198.51.100.1 65536 80\r\n`],
    ['a field too few', `PROXY TCP4 ${CLIENT} 198.51.100.1 5555\r\n`],
    ['a bare line feed', `PROXY TCP4 ${CLIENT} 198.51.100.1 5555 80\n${GET}`],
    ['lower case', line1.toLowerCase()],
    ['a line longer than 107 bytes', `PROXY UNKNOWN ${'f'.repeat(100)}\r\n`],
    ['a signature that is off by a bit', broken(good, 11, 1)],
    ['version 3', broken(good, 12, 0x10)],
    ['a command that is none', broken(good, 12, 0x02)],
    ['a checksum that does not fit', broken(good, -1, 1)],
    ['an address that the checksum does not cover', broken(good, 17, 1)],
    ['a length shorter than the addresses', broken(good, 15, good[15]! ^ 3)],
    ['a length beyond reason', broken(good, 14, 0xff)],
  ];

  test('what is no line, or a wrong one, ends the connection unanswered, is counted, and reaches no endpoint', async () => {
    const [before, seen] = [await rejected(), endpoint.received.length];
    for (const [name, bytes] of wrong) {
      const client = await connect(weir.port);
      client.send(typeof bytes === 'string' ? bytes : Buffer.concat([bytes, Buffer.from(GET)]));
      assert.equal(await client.ended(), 'reset', name);
      assert.equal(client.received, '', name);
      await client.close();
    }
    await until('each to be counted', async () => (await rejected()) === before + wrong.length);
    assert.equal(endpoint.received.length, seen);
  });

  test('a peer that is not named in from is refused, however right its line', async () => {
    const before = await rejected();
    // It is reset maybe before it knows that it is connected.
    const client = await connect(weir.port, '127.0.0.1', '127.0.0.5').catch(() => null);
    client?.send(line1 + GET);
    if (client !== null) assert.equal(await client.ended(), 'reset');
    await until('it to be counted', async () => (await rejected()) === before + 1);
    await client?.close();
    const named = await connect(weir.port, '127.0.0.1', '127.0.0.8');
    named.reader.expect('GET');
    named.send(line1 + GET);
    assert.equal(await forwardedFor(named), CLIENT);
    await named.close();
  });

  test('a line that does not come in three seconds is not waited for', async () => {
    const [before, began] = [await rejected(), performance.now()];
    const clients = await Promise.all([connect(weir.port), connect(weir.port)]);
    clients[1]!.send('PROXY TCP4 ');
    for (const client of clients) assert.equal(await client.ended(), 'reset');
    assert.ok(performance.now() - began >= 2500);
    await until('both to be counted', async () => (await rejected()) === before + 2);
    await guard();
  });
});

test('where it is optional the line of a stranger is part of the request, and is answered 400', async (t) => {
  const endpoint = await ScriptedEndpoint.start(answer((request) => ok(fieldsOf(request, 'x-forwarded-for').join())));
  t.after(() => endpoint.close());
  const weir = await Weir.start({
    config: (ports) =>
      simpleConfig(ports, [endpoint.address], { listener: { proxyProtocol: { accept: 'optional', from: ['127.0.0.1'] } } }),
  });
  t.after(() => weir.stop());
  const say = async (from: string, bytes: string): Promise<{ status: number; text: string }> => {
    const client = await connect(weir.port, '127.0.0.1', from);
    client.reader.expect('GET');
    client.send(bytes);
    const { status, body } = await client.message();
    await client.close();
    return { status, text: String(body) };
  };
  assert.equal((await say('127.0.0.5', line1 + GET)).status, 400);
  assert.equal((await say('127.0.0.5', good.toString('latin1') + GET)).status, 400);
  assert.match((await say('127.0.0.5', GET)).text, /^127\.0\.0\.5$/);
  assert.match((await say('127.0.0.1', line1 + GET)).text, /^203\.0\.113\.9$/);
  assert.match((await say('127.0.0.1', GET)).text, /^127\.0\.0\.1$/);
});

for (const [version, first] of [
  ['v1', /^PROXY UNKNOWN\r\nGET \/alive HTTP\/1\.1\r\n/],
  // LOCAL: a connection of weir's own, for nobody (PROXY protocol §2.2).
  ['v2', /^\r\n\r\n\0\r\nQUIT\n\x20\0[\0-\xff]*GET \/alive HTTP\/1\.1\r\n/],
] as const)
  test(`the checks of a pool with proxyProtocol ${version} say that they speak for nobody, and its connections who the client is`, async (t) => {
    const checks: string[] = [];
    const endpoint = await ScriptedEndpoint.start(async (peer) => {
      // A head whole, or what the client says.
      await until('the first bytes', () => /\/alive .*\r\n|words$/.test(peer.received) || peer.ending !== 'open', 15_000, 2);
      if (first.test(peer.received)) {
        checks.push(peer.received);
        peer.send(ok('alive'));
        peer.sendEnd();
      } else if (peer.received.includes('/alive')) checks.push(`wrong: ${peer.received}`);
    });
    t.after(() => endpoint.close());
    const weir = await Weir.start({
      config: (ports) =>
        streamConfig(ports, [endpoint.address], {
          pool: {
            proxyProtocol: version,
            health: { active: { type: 'http', path: '/alive', interval: '100ms', timeout: '10s', rise: 1, fall: 1 } },
          },
        }),
    });
    t.after(() => weir.stop());
    await until('two checks', () => checks.length >= 2);
    assert.equal(
      checks.find((each) => each.startsWith('wrong')),
      undefined,
    );
    await until('it to be up', async () => (await weir.metric('weir_endpoint_up')) === 1);
    const client = await connect(weir.port);
    client.send('plain words');
    const peer = await until('the connection', () => endpoint.peers.find(({ received }) => received.endsWith('plain words')));
    const { localPort } = client;
    if (version === 'v1') assert.equal(peer.received, `PROXY TCP4 127.0.0.1 127.0.0.1 ${localPort} ${weir.port}\r\nplain words`);
    else {
      const bytes = Buffer.from(peer.received, 'latin1');
      assert.equal(bytes.readUInt16BE(24), localPort);
      assert.equal(bytes[12], 0x21);
    }
    peer.sendEnd();
    await client.close();
  });
