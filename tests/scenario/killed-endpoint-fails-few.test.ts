/**
 * Harm prevented: an endpoint that dies, hangs or lies costs its clients more than one timeout, or goes on being asked (promise P5).
 */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { KeyedEndpoint } from '../support/keyed-endpoint.ts';
import { describeLoad, failed, Load } from '../support/load.ts';
import { fieldsOf } from '../support/message-reader.ts';
import { answer, ask, connect, ok, ScriptedEndpoint } from '../support/peer.ts';
import { freePort } from '../support/system.ts';
import { until } from '../support/wait.ts';
import { simpleConfig, Weir } from '../support/weir.ts';

const GET = 'GET / HTTP/1.1\r\nHost: a.test\r\n\r\n';
const POST = 'POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 2\r\n\r\nhi';
/** A dead endpoint refuses at once; one that lives is late only on a machine that is. */
const health = { active: { type: 'tcp', interval: '100ms', timeout: '10s', rise: 1, fall: 2 } };

test('an endpoint killed under load fails only requests whose answer had begun or that may not be repeated', async () => {
  const endpoints = await KeyedEndpoint.startMany(3);
  const weir = await Weir.start({
    workers: 2,
    config: (ports) =>
      simpleConfig(
        ports,
        endpoints.map(({ address }) => address),
        // The defaults of everything but health: two tries, and a budget of 20 %.
        { pool: { health } },
      ),
  });
  const load = new Load({ port: weir.port, connections: 30, rate: 1000, sizeMax: 20_000 });
  try {
    // So many that the budget outlasts a control process that is slow to notice: a third of the requests is tried again until then.
    await load.more(1500, 60_000);
    await endpoints[0]!.kill();
    await load.more(1500, 60_000);
    const result = await load.stop();
    const wrong = result.failures.filter(({ answerBegun, outcome }) => !(answerBegun && outcome !== 'status'));
    assert.deepEqual(wrong, [], describeLoad(result));
    // At most what was under way on the dead one.
    assert.ok(failed(result) <= 30, describeLoad(result));
    await until(
      'the dead endpoint to be out',
      async () => (await weir.metric('weir_endpoint_up', { endpoint: endpoints[0]!.address })) === 0,
    );
  } finally {
    load.kill();
    await weir.stop();
    for (const endpoint of endpoints) await endpoint.kill();
  }
});

test('an endpoint that comes back is used again', async () => {
  const port = await freePort();
  const steady = await KeyedEndpoint.start('steady');
  const weir = await Weir.start({
    config: (ports) => simpleConfig(ports, [`127.0.0.1:${port}`, steady.address], { pool: { health } }),
  });
  try {
    await until(
      'the missing endpoint to be out',
      async () => (await weir.metric('weir_endpoint_up', { endpoint: `127.0.0.1:${port}` })) === 0,
    );
    const without = await new Load({ port: weir.port, connections: 4, requests: 100 }).done(20_000);
    assert.equal(without.byEndpoint['steady'], 100, describeLoad(without));
    const back = await KeyedEndpoint.start('back', port);
    await until('it to be in', async () => (await weir.metric('weir_endpoint_up', { endpoint: back.address })) === 1);
    const both = await new Load({ port: weir.port, connections: 4, requests: 400 }).done(20_000);
    assert.equal(both.counts.ok, 400);
    // A process that has just begun may be the slower one.
    assert.ok(both.byEndpoint['back']! > 10, describeLoad(both));
    await back.kill();
  } finally {
    await weir.stop();
    await steady.kill();
  }
});

describe('an endpoint that', () => {
  let weir: Weir;
  let bad: ScriptedEndpoint;
  let good: ScriptedEndpoint;
  before(async () => {
    bad = await ScriptedEndpoint.start(() => {});
    good = await ScriptedEndpoint.start(answer(ok('good')));
    const dead = await freePort();
    // Long, but for the one that a test waits for.
    const timeouts = { connect: '10s', response: '60s', idle: '60s' };
    weir = await Weir.start({
      config: (ports) => ({
        ...simpleConfig(ports, [bad.address]),
        // `first` asks the bad one as long as it is there; the good one only when it is tried again elsewhere.
        pools: {
          pool: { endpoints: [bad.address], balance: 'first' },
          dead: { endpoints: [`127.0.0.1:${dead}`] },
          both: { endpoints: [`127.0.0.1:${dead}`, good.address], balance: 'first' },
          'bad-first': { endpoints: [bad.address, good.address], balance: 'first' },
        },
        routes: [
          { path: '/dead', to: 'dead', timeouts },
          { path: '/both', to: 'both', timeouts },
          { path: '/bad-first', to: 'bad-first', timeouts },
          { path: '/bad', to: 'pool', timeouts },
          { path: '/silent', to: 'pool', timeouts: { ...timeouts, response: '400ms' } },
          { path: '/stuck', to: 'pool', timeouts: { ...timeouts, idle: '400ms' } },
        ],
      }),
    });
  });
  after(async () => {
    await weir?.stop();
    await bad?.close().catch(() => {});
    await good?.close().catch(() => {});
  });
  const request = (path: string, text = GET): string => text.replace(' / ', ` ${path} `);

  test('refuses connections: 502 connection_refused when there is no other', async () => {
    const message = await ask(weir.port, request('/dead'));
    assert.equal(message.status, 502);
    assert.match(fieldsOf(message, 'proxy-status').join(), /connection_refused/);
  });

  for (const text of [GET, POST])
    test(`refuses connections: ${text.slice(0, 4).trim()} is answered by the other one`, async () => {
      const message = await ask(weir.port, request('/both', text));
      assert.equal(message.body.toString(), 'good');
    });

  test('never answers: 504 http_response_timeout after the response timeout, once', async () => {
    bad.script = () => {};
    const began = performance.now();
    const message = await ask(weir.port, request('/silent'));
    const ms = performance.now() - began;
    assert.equal(message.status, 504);
    assert.match(fieldsOf(message, 'proxy-status').join(), /http_response_timeout/);
    assert.ok(ms > 350, `${ms} ms`);
  });

  test('closes a fresh connection after a POST: 502, and nobody else gets the POST', async () => {
    const before = good.received.length;
    bad.script = (peer) => peer.message().then(() => peer.sendEnd());
    const message = await ask(weir.port, request('/bad-first', POST));
    assert.equal(message.status, 502);
    assert.equal(good.received.length, before);
  });

  test('closes a kept connection as the next request comes: GET is asked again, POST is not', async () => {
    for (const [text, status] of [
      [GET, 200],
      [POST, 502],
    ] as const) {
      for (const peer of bad.peers) peer.socket.destroy();
      let connections = 0;
      bad.script = async (peer) => {
        if (connections++ > 0) return answer(ok('fresh'))(peer, 0);
        await peer.message();
        peer.send(ok('first'));
        // The second request is read, and then the end comes instead of an answer.
        await peer.message();
        peer.sendEnd();
      };
      assert.equal((await ask(weir.port, request('/bad'))).status, 200);
      const message = await ask(weir.port, request('/bad', text));
      assert.equal(message.status, status, message.startLine);
    }
  });

  test('stops inside its answer: the client sees a cut answer within the idle timeout', async () => {
    for (const peer of bad.peers) peer.socket.destroy();
    bad.script = async (peer) => {
      await peer.message();
      peer.send('HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello');
    };
    const client = await connect(weir.port);
    client.send(request('/stuck'));
    await client.expect('hello');
    const ending = await client.ended();
    assert.ok(ending === 'reset' || client.fault !== null, `${ending} looks like a whole answer`);
    await client.close();
  });

  test('is not there at all: 503 destination_unavailable when checks have taken it out', async () => {
    const nobody = await freePort();
    const alone = await Weir.start({
      config: (ports) => simpleConfig(ports, [`127.0.0.1:${nobody}`], { pool: { health } }),
    });
    try {
      await until('it to be out', async () => (await ask(alone.port, GET)).status === 503);
      const message = await ask(alone.port, GET);
      assert.match(fieldsOf(message, 'proxy-status').join(), /destination_unavailable/);
      assert.equal(fieldsOf(message, 'retry-after').length, 1);
    } finally {
      await alone.stop();
    }
  });

  test('is left when the client goes: its connection ends, too', async () => {
    for (const peer of bad.peers) peer.socket.destroy();
    bad.script = () => {};
    const count = bad.peers.length;
    const client = await connect(weir.port);
    client.send(request('/bad'));
    const peer = await bad.peer(count);
    await peer.expect('\r\n\r\n');
    client.reset();
    // Sooner than the response timeout would end it.
    assert.notEqual(await peer.ended(), 'open');
  });
});
