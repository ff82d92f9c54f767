/**
 * Harm prevented: a request that weir reads one way and the endpoint another lets an attacker put words into somebody else's mouth.
 *
 * Every row of the catalogue is sent through the live proxy, with a second request right behind it that must never arrive when the first one
 * is refused. The endpoint reads with a strict parser of its own: whatever weir sends on must be exact.
 */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { fieldsOf, type Message } from '../support/message-reader.ts';
import { connect, ok, ScriptedEndpoint } from '../support/peer.ts';
import { until } from '../support/wait.ts';
import { type EngineName, simpleConfig, Weir } from '../support/weir.ts';
import { type RequestCase, type Required, requestCatalogue } from './request-catalogue.ts';

const CANARY = 'GET /canary HTTP/1.1\r\nHost: a.test\r\n\r\n';

/** Everything the endpoint has seen, connection by connection, and what it could make of it. */
class Witness {
  readonly requests: { text: string; message: Message }[] = [];
  bytes = 0;
  readonly endpoint: Promise<ScriptedEndpoint>;

  constructor() {
    this.endpoint = ScriptedEndpoint.start(async (peer) => {
      let seen = 0;
      peer.socket.on('data', (chunk: Buffer) => {
        this.bytes += chunk.length;
        while (peer.reader.messages.length > 0) {
          const message = peer.reader.messages.shift()!;
          const text = peer.received.slice(seen);
          seen = peer.received.length;
          this.requests.push({ text, message });
          peer.send(ok('fine'));
        }
      });
      peer.socket.on('end', () => peer.sendEnd());
    });
  }
}

async function askWhole(weir: Weir): Promise<void> {
  const client = await connect(weir.port);
  client.reader.expect('GET');
  client.send('GET /whole HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n');
  const { status } = await client.message();
  assert.equal(status, 200);
  await client.close();
}

async function tryCase(weir: Weir, witness: Witness, of: RequestCase): Promise<void> {
  const endpoint = await witness.endpoint;
  const before = { requests: witness.requests.length, bytes: witness.bytes, peers: endpoint.peers.length };
  const { required } = of;
  const client = await connect(weir.port);
  try {
    client.reader.expect(of.bytes.slice(0, Math.max(0, of.bytes.indexOf(' '))));
    client.send(of.fin ? of.bytes : of.bytes + CANARY);
    if (of.fin) client.sendEnd();
    const mayForward = required.kind === 'forward' || required.kind === 'rejectOrForward';
    if (mayForward) {
      const answered = await client.message();
      if (required.kind === 'rejectOrForward' && required.statuses.includes(answered.status)) {
        // An answer by a route of weir's own leaves the connection open; a refusal ends it.
        if (answered.status !== 403) await isRefused(answered.status, required.statuses);
        else await until('the next answer or the end', () => client.ending !== 'open' || client.reader.messages.length > 0);
        return;
      }
      assert.equal(answered.status, 200, `answered ${answered.startLine} ${answered.body}`);
      const { text, message } = witness.requests[before.requests]!;
      const head = text.slice(0, text.indexOf('\r\n\r\n') + 4);
      if (required.sees !== undefined) assert.match(head, required.sees);
      if (required.lacks !== undefined) assert.doesNotMatch(text, required.lacks);
      if (required.body !== undefined) assert.equal(message.body.toString('latin1'), required.body);
      // What was behind it is a request of its own, unless the client said it was the last.
      if (/^HTTP\/1\.0/m.test(of.bytes) || / HTTP\/1\.0\r/.test(of.bytes)) return;
      const next = await client.message();
      assert.equal(next.status, 200);
      assert.match(witness.requests[before.requests + 1]!.text, /^GET \/canary /);
      return;
    }
    if (required.kind === 'deny') {
      const answered = await client.message();
      assert.ok(required.statuses.includes(answered.status), answered.startLine);
      // The request behind it is another one: answered, or dropped with the connection; nothing else arrives at the endpoint.
      await until('the next answer or the end', () => client.ending !== 'open' || client.reader.messages.length > 0);
      for (const { text } of witness.requests.slice(before.requests)) assert.match(text, /^GET \/canary /);
      return;
    }
    await isRefused(undefined, required.statuses);
  } finally {
    await client.close();
  }

  async function isRefused(status: number | undefined, statuses: number[]): Promise<void> {
    const ending = await client.ended();
    const said = status ?? client.reader.messages.shift()?.status ?? 0;
    if (!statuses.includes(said))
      assert.fail(
        `answered ${said}, required ${statuses.join(' or ')}; received ${JSON.stringify(client.received.slice(0, 300))}`,
      );
    assert.equal(client.fault, null, `the refusal is no exact answer: ${client.fault?.message}`);
    assert.equal(client.reader.messages.length, 0, 'one answer, not two');
    if (said !== 0) {
      assert.equal(ending, 'fin', 'the answer is not lost in a reset');
      assert.match(client.received, /\r\nconnection: close\r\n/i);
    }
    assert.equal(witness.requests.length, before.requests, 'the endpoint saw no complete request');
    if (required.kind !== 'abort') assert.equal(witness.bytes, before.bytes, 'the endpoint saw no byte');
    else {
      // The half request that was given up may reach the endpoint after the client has its answer: what is asked now comes behind it.
      await askWhole(weir);
      // Where a connection has an open message now it must end, so that nothing can complete it.
      await until('the half request to be cut off at the endpoint', () =>
        endpoint.peers.every((peer) => peer.ending !== 'open' || peer.socket.destroyed || peer.reader.isBetween),
      );
    }
  }
}

for (const engine of ['uring', 'epoll'] as const satisfies EngineName[])
  describe(`with ${engine}`, () => {
    const witness = new Witness();
    let weir: Weir;
    before(async () => {
      const { address } = await witness.endpoint;
      weir = await Weir.start({
        engine,
        config: (ports) =>
          simpleConfig(ports, [address], {
            top: { routes: [{ path: '/closed/*', respond: { status: 403, body: 'closed' } }] },
          }),
      });
    });
    after(async () => {
      await weir?.stop();
      await (await witness.endpoint).close();
    });

    for (const [section, cases] of Object.entries(requestCatalogue))
      describe(section, () => {
        for (const of of cases)
          test(`${describeRequired(of.required)}: ${of.name}`, async () => {
            await tryCase(weir, witness, of);
          });
      });

    test('every request the endpoint saw was exact', async () => {
      const { peers } = await witness.endpoint;
      assert.deepEqual(
        peers
          .filter((peer) => peer.fault !== null && !/closed inside a message/.test(peer.fault.message))
          .map((peer) => [peer.fault!.message, peer.received.slice(-200)]),
        [],
      );
      for (const { message } of witness.requests) assert.equal(fieldsOf(message, 'host').length, 1);
    });

    test('bytes after a complete message are a request of their own: the first is answered, the garbage refused', async () => {
      const client = await connect(weir.port);
      client.send('GET /first HTTP/1.1\r\nHost: a.test\r\n\r\nGARBAGE\r\n\r\n');
      assert.equal((await client.message()).status, 200);
      assert.equal((await client.message()).status, 400);
      assert.equal(await client.ended(), 'fin');
    });

    test('bytes after Connection: close are not read', async () => {
      const client = await connect(weir.port);
      const count = witness.requests.length;
      client.send(`GET /last HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n${CANARY}`);
      const message = await client.message();
      assert.equal(message.status, 200);
      assert.deepEqual(fieldsOf(message, 'connection'), ['close']);
      await client.ended();
      assert.equal(client.reader.messages.length, 0);
      assert.equal(witness.requests.length, count + 1);
    });

    test('the worker that saw all this is still the first one', async () => {
      assert.equal(weir.workers.length, 1);
      assert.equal(await weir.metric('weir_worker_restarts_total'), 0);
    });
  });

function describeRequired(required: Required): string {
  if (required.kind === 'forward') return 'forwarded';
  if (required.kind === 'rejectOrForward') return `${required.statuses.join('/')} or forwarded`;
  return `${required.statuses.filter(Boolean).join('/')}${required.kind === 'abort' ? ', aborted' : ''}`;
}
