/**
 * Harm prevented: what carries connections by the configuration changes them. A byte is lost, an end is not passed on, a connection goes to another server than the one
 * whose name it asked for, or is cut by a change that does not concern it.
 */
import assert from 'node:assert/strict';
import { after, before, describe, type TestContext, test } from 'node:test';
import { createServer as createTlsServer, type TLSSocket, connect as tlsConnect } from 'node:tls';
import { type Certificate, certificateFor } from '../support/certificate.ts';
import { KeyedEndpoint } from '../support/keyed-endpoint.ts';
import { connect, type Peer, ScriptedEndpoint } from '../support/peer.ts';
import { until, within } from '../support/wait.ts';
import { get, Weir, type WeirConfig } from '../support/weir.ts';

/** Answers what it hears, and ends when the client has. */
function echo(name = ''): (peer: Peer) => void {
  return ({ socket }) => {
    if (name !== '') socket.write(`${name}\n`);
    socket.pipe(socket);
  };
}

/** An endpoint that is closed with the test. */
async function endpointOf(t: TestContext, script: (peer: Peer) => void): Promise<ScriptedEndpoint> {
  const endpoint = await ScriptedEndpoint.start(script);
  t.after(() => endpoint.close());
  return endpoint;
}

/** A TLS server that says its name and echoes. */
async function tlsServer(t: TestContext, name: string, certificate: Certificate, protocols?: string[]): Promise<string> {
  const sockets = new Set<TLSSocket>();
  const server = createTlsServer({ ...certificate, ALPNProtocols: protocols }, (socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    socket.write(`${name} ${socket.alpnProtocol || '-'}\n`);
    socket.pipe(socket);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return `127.0.0.1:${(server.address() as { port: number }).port}`;
}

/** Who answers a TLS client, once its certificate is proved: the first line. '' when the connection is refused. */
async function answeredBy(port: number, servername: string, ca: string, protocols?: string[]): Promise<string> {
  const client = tlsConnect({ host: '127.0.0.1', port, servername, ca, ALPNProtocols: protocols });
  try {
    return await within(
      `an answer to ${servername}`,
      15_000,
      new Promise<string>((resolve) => {
        client.once('data', (bytes: Buffer) => {
          assert.ok(client.authorized);
          resolve(bytes.toString().trim());
        });
        client.once('error', () => resolve(''));
        client.once('close', () => resolve(''));
      }),
    );
  } finally {
    client.destroy();
  }
}

/** One listener `web` of connections on the port, one pool. */
function configOf(
  ports: { web: number; admin: number },
  endpoints: readonly (string | Record<string, unknown>)[],
  more: { listener?: Record<string, unknown>; pool?: Record<string, unknown>; top?: Record<string, unknown> } = {},
): WeirConfig {
  return {
    version: 1,
    process: { drain: { notReadyFor: '0s', graceful: '500ms', hardStop: '1s' } },
    admin: { listen: [`127.0.0.1:${ports.admin}`] },
    logs: { access: 'stdout' },
    listeners: { web: { listen: `127.0.0.1:${ports.web}`, protocol: 'tcp', to: 'pool', ...more.listener } },
    pools: { pool: { endpoints, ...more.pool } },
    ...more.top,
  };
}

/** A line of the access log, when it comes. */
function logged(weir: Weir, matches: (line: Record<string, unknown>) => boolean): Promise<Record<string, unknown>> {
  return until('a line of the access log', () =>
    weir.stdout
      .split('\n')
      .filter((line) => line.endsWith('}'))
      .map((line) => JSON.parse(line) as Record<string, unknown>)
      .find(matches),
  );
}

describe('connections', () => {
  let endpoints: KeyedEndpoint[];
  let weir: Weir;
  const ports = (): { web: number; admin: number } => ({ web: weir.port, admin: weir.adminPort });
  const plain = (): WeirConfig =>
    configOf(
      ports(),
      endpoints.map(({ address }) => address),
      { pool: { balance: 'least-requests' } },
    );

  before(async () => {
    endpoints = await KeyedEndpoint.startMany(2);
    weir = await Weir.start({
      workers: 2,
      config: (own) =>
        configOf(
          own,
          endpoints.map(({ address }) => address),
        ),
    });
  });
  after(async () => {
    await weir?.stop();
    for (const endpoint of endpoints ?? []) await endpoint.kill();
  });

  test('every byte and both ends pass, and the access log counts them', async (t) => {
    const server = await endpointOf(t, echo());
    await weir.reload(configOf(ports(), [server.address]));
    const client = await connect(weir.port);
    const { localPort } = client;
    const whole = Buffer.alloc(3_000_000, 'weir carries bytes. ');
    client.send(whole);
    client.sendEnd();
    assert.equal(await client.ended(20_000), 'fin', 'the end comes back after the last byte');
    assert.equal(client.received, whole.toString());
    const line = await logged(weir, ({ endpoint }) => endpoint === server.address);
    assert.deepEqual(
      [line['listener'], line['route'], line['pool'], line['protocol'], line['in'], line['out']],
      ['web', 'listener/web', 'pool', 'tcp', whole.length, whole.length],
    );
    assert.equal(line['client'], `127.0.0.1:${localPort}`);
  });

  test('who ended its side still hears the other, and a reset is passed on as one', async (t) => {
    const server = await endpointOf(t, () => {});
    await weir.reload(configOf(ports(), [server.address]));
    const client = await connect(weir.port);
    client.send('question');
    client.sendEnd();
    const peer = await server.peer(0);
    assert.equal(await peer.ended(), 'fin');
    assert.equal(client.ending, 'open');
    peer.send('answer');
    peer.sendEnd();
    assert.equal(await client.ended(), 'fin');
    assert.equal(client.received, 'answer');
    const second = await connect(weir.port);
    second.send('x');
    const cut = await server.peer(1);
    await cut.expect('x');
    second.reset();
    assert.equal(await cut.ended(), 'reset');
    const third = await connect(weir.port);
    third.send('x');
    (await server.peer(2)).reset();
    assert.equal(await third.ended(), 'reset');
  });

  test('a server that speaks first is heard at once, also where names are looked for', async (t) => {
    const server = await endpointOf(t, echo('220 mail'));
    await weir.reload(configOf(ports(), [server.address]));
    const client = await connect(weir.port);
    await client.expect('220 mail');
    await client.close();
    const routes = [{ sni: 'a.example', to: '127.0.0.1:1' }];
    await weir.reload(configOf(ports(), [server.address], { listener: { sniffTimeout: '200ms' }, top: { routes } }));
    const silent = await connect(weir.port);
    await silent.expect('220 mail');
    await silent.close();
  });

  test('a connection keeps its endpoint over reloads, and new ones go by the new plan', async (t) => {
    const [one, two] = [await endpointOf(t, echo('one')), await endpointOf(t, echo('two'))];
    await weir.reload(configOf(ports(), [one.address]));
    const old = await connect(weir.port);
    await old.expect('one\n');
    await weir.reload(configOf(ports(), [two.address], { listener: { timeouts: { idle: '5m' } } }));
    const fresh = await connect(weir.port);
    await fresh.expect('two\n');
    old.send('still here');
    await old.expect('still here');
    assert.equal(one.peers.length, 1);
    await weir.reload({ ...configOf(ports(), [two.address]), listeners: {} });
    old.send(', without a listener');
    await old.expect('without a listener');
    await weir.reload(configOf(ports(), [two.address]));
    await Promise.all([old.close(), fresh.close()]);
  });

  test('an endpoint that drains gets no new connections, keeps those it has until the deadline, and then they are cut', async () => {
    await weir.reload(plain());
    const clients = await Promise.all(Array.from({ length: 4 }, () => served(weir.port)));
    const [first] = endpoints;
    const own = clients.filter(({ by }) => by === first!.name);
    assert.ok(own.length > 0 && own.length < 4, 'both endpoints have some');
    const path = `/api/v1/pools/pool/endpoints/${encodeURIComponent(first!.address)}`;
    const order = (what: string, body: object) =>
      fetch(`http://127.0.0.1:${weir.adminPort}${path}/${what}`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify(body),
      });
    assert.ok((await order('drain', { timeout: '60s' })).ok);
    for (let i = 0; i < 4; i++) {
      const fresh = await served(weir.port);
      assert.equal(fresh.by, endpoints[1]!.name);
      await fresh.peer.close();
    }
    for (const { peer } of own) assert.equal(await again(peer), first!.name);
    // The same order again, with a deadline that is near.
    const answer = await order('drain', { timeout: '300ms' });
    assert.ok(answer.ok);
    const { id, remaining } = (await answer.json()) as { id: string; remaining: { requests: number; tunnels: number } };
    assert.equal(remaining.requests + remaining.tunnels, own.length, 'what is left is told');
    const drain = async () => JSON.parse((await weir.admin(`/api/v1/drains/${id}`)).body);
    for (const { peer } of own) assert.equal(await peer.ended(), 'reset');
    await until('the drain to be done', async () => (await drain()).state === 'done');
    assert.equal((await drain()).cut, own.length);
    const cutLines = () => weir.stdout.split('\n').filter((line) => line.includes('"draining"') && line.includes(first!.address));
    await until('each to be logged', () => cutLines().length === own.length);
    assert.equal(weir.events('drain_cut').at(-1)!.cut, own.length);
    for (const { peer, by } of clients) if (by !== first!.name) assert.equal(await again(peer), by, 'others go on');
    for (const { peer } of clients) await peer.close();
    assert.ok((await order('ready', {})).ok);
  });

  test('an endpoint that is killed takes only its own connections with it, and no new one fails', async () => {
    await weir.reload(plain());
    const victim = await KeyedEndpoint.start('victim');
    await weir.reload(configOf(ports(), [endpoints[0]!.address, victim.address], { pool: { balance: 'least-requests' } }));
    const clients = await Promise.all(Array.from({ length: 8 }, () => served(weir.port)));
    const lost = clients.filter(({ by }) => by === 'victim');
    const kept = clients.filter(({ by }) => by !== 'victim');
    assert.ok(lost.length > 0 && kept.length > 0);
    await victim.kill('SIGKILL');
    for (const { peer } of lost) {
      assert.notEqual(await peer.ended(), 'open');
      await peer.close();
    }
    for (const { peer, by } of kept) {
      assert.equal(await again(peer), by);
      await peer.close();
    }
    for (let i = 0; i < 20; i++) {
      const fresh = await served(weir.port);
      assert.equal(fresh.by, endpoints[0]!.name);
      await fresh.peer.close();
    }
  });
});

/** A connection, and the endpoint that answered on it. */
async function served(port: number): Promise<{ peer: Peer; by: string }> {
  const peer = await connect(port);
  return { peer, by: await again(peer) };
}

/** Who answers the next request on this connection. */
async function again(peer: Peer): Promise<string> {
  peer.send('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
  const { body } = await peer.message();
  return body.toString().trim();
}

test('TLS goes to the server whose name is asked for, and is not opened on the way', async (t) => {
  const [a, b, rest] = [certificateFor('a.example'), certificateFor('deep.b.example'), certificateFor('other.example')];
  const first = await tlsServer(t, 'a', a);
  const second = await tlsServer(t, 'b', b);
  const third = await tlsServer(t, 'rest', rest);
  const fourth = await tlsServer(t, 'imap', rest, ['imap']);
  const weir = await Weir.start({
    config: (ports) =>
      configOf(ports, [third], {
        top: {
          routes: [
            { sni: 'a.example', to: first },
            { sni: '*.b.example', to: second },
            { alpn: 'imap', to: fourth },
          ],
        },
      }),
  });
  t.after(() => weir.kill());
  assert.equal(await answeredBy(weir.port, 'a.example', a.cert), 'a -');
  assert.equal(await answeredBy(weir.port, 'A.Example', a.cert), 'a -', 'names have no case');
  assert.equal(await answeredBy(weir.port, 'deep.b.example', b.cert), 'b -');
  assert.equal(await answeredBy(weir.port, 'other.example', rest.cert), 'rest -');
  assert.equal(await answeredBy(weir.port, 'other.example', rest.cert, ['imap', 'pop3']), 'imap imap');
  const lines = await Promise.all([first, second, fourth].map((address) => logged(weir, ({ endpoint }) => endpoint === address)));
  assert.deepEqual(
    lines.map(({ route, sni, tls }) => [route, sni, tls]),
    [
      ['sni a.example', 'a.example', undefined],
      ['sni *.b.example', 'deep.b.example', undefined],
      ['alpn imap', 'other.example', undefined],
    ],
  );
  assert.equal(await weir.metric('weir_connections_rejected_total', { reason: 'preface' }), 0);
  await weir.stop();
});

test('HTTP, TLS and what is neither share one port', async (t) => {
  const web = await KeyedEndpoint.start('web');
  t.after(() => web.kill());
  const certificate = certificateFor('a.example');
  const secure = await tlsServer(t, 'tls', certificate);
  const shell = await endpointOf(t, echo('SSH-2.0-test'));
  const routes = [
    { sni: 'a.example', to: secure },
    { path: '/*', to: web.address },
  ];
  const config = (ports: { web: number; admin: number }, sniffTimeout: string): WeirConfig =>
    configOf(ports, [shell.address], { listener: { protocol: 'auto', sniffTimeout }, top: { routes } });
  const weir = await Weir.start({ config: (ports) => config(ports, '60s') });
  t.after(() => weir.kill());
  assert.deepEqual(await get(weir.port, '/'), { status: 200, body: 'web\n' });
  assert.equal(await answeredBy(weir.port, 'a.example', certificate.cert), 'tls -');
  const loud = await connect(weir.port);
  loud.send('SSH-2.0-client\r\n');
  await loud.expect('SSH-2.0-test\nSSH-2.0-client\r\n');
  await weir.reload(config({ web: weir.port, admin: weir.adminPort }, '300ms'));
  const silent = await connect(weir.port);
  await silent.expect('SSH-2.0-test');
  await Promise.all([silent.close(), loud.close()]);
  await weir.stop();
});

test('the client that a PROXY line names is told on, in the log and to the endpoint; others than those named are refused', async (t) => {
  const server = await endpointOf(t, () => {});
  const weir = await Weir.start({
    config: (ports) =>
      configOf(ports, [server.address], {
        listener: { proxyProtocol: { accept: 'required', from: ['127.0.0.2'] } },
        pool: { proxyProtocol: 'v1' },
      }),
  });
  t.after(() => weir.kill());
  const trusted = await connect(weir.port, '127.0.0.1', '127.0.0.2');
  const { localPort } = trusted;
  trusted.send('PROXY TCP4 203.0.113.7 198.51.100.1 4711 443\r\nhello');
  const peer = await server.peer(0);
  await peer.expect('PROXY TCP4 203.0.113.7 198.51.100.1 4711 443\r\nhello');
  trusted.sendEnd();
  peer.sendEnd();
  await trusted.ended();
  const line = await logged(weir, ({ client }) => client === '203.0.113.7:4711');
  assert.equal(line['peer'], `127.0.0.2:${localPort}`);
  for (const [from, said] of [
    ['127.0.0.1', 'PROXY TCP4 203.0.113.7 198.51.100.1 4711 443\r\nspoofed'],
    ['127.0.0.2', 'hello, without a line\r\n'],
  ] as const) {
    // It may be reset before it knows that it was taken.
    const other = await connect(weir.port, '127.0.0.1', from).catch(() => null);
    other?.send(said);
    if (other !== null) assert.equal(await other.ended(), 'reset', said);
  }
  await until(
    'the refusals to be counted',
    async () => (await weir.metric('weir_connections_rejected_total', { reason: 'proxy_line' })) === 2,
  );
  assert.equal(server.peers.length, 1, 'the endpoint sees none of them');
  await weir.stop();
});

test('two weirs in a row tell the endpoint who the client is', async (t) => {
  const server = await endpointOf(t, () => {});
  const inner = await Weir.start({
    config: (ports) =>
      configOf(ports, [server.address], {
        listener: { proxyProtocol: { from: 'loopback' } },
        pool: { proxyProtocol: 'v1' },
      }),
  });
  t.after(() => inner.kill());
  const outer = await Weir.start({
    config: (ports) => configOf(ports, [`127.0.0.1:${inner.port}`], { pool: { proxyProtocol: 'v2' } }),
  });
  t.after(() => outer.kill());
  const client = await connect(outer.port, '127.0.0.1', '127.0.0.3');
  client.send('hello');
  const peer = await server.peer(0);
  await peer.expect(`PROXY TCP4 127.0.0.3 127.0.0.1 ${client.localPort} ${outer.port}\r\nhello`);
  peer.sendEnd();
  await client.close();
  await outer.stop();
  await inner.stop();
});

test('a weir that leaves lets connections end, and cuts what is left at its hard stop', async (t) => {
  const server = await endpointOf(t, echo());
  const process = { drain: { notReadyFor: '0s', graceful: '100ms', hardStop: '4s' } };
  const weir = await Weir.start({ config: (ports) => configOf(ports, [server.address], { top: { process } }) });
  t.after(() => weir.kill());
  const [short, long] = [await connect(weir.port), await connect(weir.port)];
  short.send('a');
  long.send('b');
  await Promise.all([short.expect('a'), long.expect('b')]);
  weir.signal('SIGQUIT');
  await until('it to drain', async () => weir.events('drain').length > 0 && (await weir.admin('/readyz')).status !== 200);
  short.send(' and more');
  await short.expect('a and more');
  short.sendEnd();
  assert.equal(await short.ended(), 'fin');
  assert.equal(await long.ended(20_000), 'reset', 'it has not ended by itself');
  assert.deepEqual(await weir.exited, { code: 9, signal: null });
});

test('a connection that nobody takes is tried at another endpoint, and without any it is reset and logged', async (t) => {
  const server = await endpointOf(t, echo('here'));
  const dead = '127.0.0.1:1';
  const weir = await Weir.start({ config: (ports) => configOf(ports, [dead, server.address], { pool: { balance: 'first' } }) });
  t.after(() => weir.kill());
  for (let i = 0; i < 5; i++) {
    const client = await connect(weir.port);
    await client.expect('here');
    await client.close();
  }
  await weir.reload(configOf({ web: weir.port, admin: weir.adminPort }, [dead]));
  // It may be reset before the client knows that it was taken.
  const client = await connect(weir.port).catch(() => null);
  if (client !== null) assert.equal(await client.ended(), 'reset');
  const line = await logged(weir, ({ fault }) => fault !== undefined);
  assert.deepEqual(line['fault'], { origin: 'endpoint', phase: 'connect', reason: 'connection_refused' });
  assert.equal(line['endpoint'], dead);
  await weir.stop();
});
