import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { createServer as createHttp } from 'node:http';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { until } from '../../../tests/support/wait.ts';
import type { Address } from '../../base/wire.ts';
import type { CheckResult } from '../../health/health.ts';
import { EMFILE, ENOBUFS } from '../../sys/constants.generated.ts';
import { streamSocket } from '../../sys/libc.ts';
import { failed, passed, type Script } from './check.ts';
import {
  checksOf,
  closedPort,
  httpPlan,
  listening,
  loopback,
  make,
  peer,
  planOf,
  run,
  runConnected,
  short,
} from './check-fixture.ts';
import { httpScript } from './check-http.ts';
import { Prober, type ProberParts } from './prober.ts';

const tcp = planOf<'tcp'>({ type: 'tcp' });
const descriptors = (): number => readdirSync('/proc/self/fd').length;

function proberOf(t: TestContext, parts: ProberParts = {}): Prober {
  const prober = new Prober(parts);
  t.after(() => prober.stop());
  return prober;
}

const hangs: Script = {
  opening: Buffer.from('hello'),
  timeoutReason: 'connection_read_timeout',
  endpointCloses: false,
  begin: () => deaf,
};
const connects: Script = { ...hangs, opening: null };
const deaf = { isOver: false, hear: () => null, end: () => failed('connection_terminated', 'closed') };

test('an HTTP check asks for its path and judges status and body', async (t) => {
  const seen: string[] = [];
  const server = createHttp((request, response) => {
    seen.push(`${request.method} ${request.url} ${request.headers.host} ${request.headers['x-a'] ?? ''}`);
    response.writeHead(request.url === '/bad' ? 503 : 200).end('all is well');
  });
  const address = await listening(server);
  t.after(() => server.close());
  const checks = checksOf(t);
  const ask = (plan: Parameters<typeof httpPlan>[0]) => run(make(checks, address, httpPlan(plan)));
  const good = await ask({ host: 'app.example', headers: [{ name: 'X-A', value: 'b' }] });
  assert.equal(short(good), 'ok: 200 OK');
  assert.ok(good.ms > 0 && good.ms < 15_000);
  assert.deepEqual(seen, ['GET /healthz app.example b']);
  assert.equal(short(await ask({ path: '/bad' })), 'status: 503 Service Unavailable');
  assert.equal(short(await ask({ expect: { status: [[200, 200]], body: 'is well' } })), 'ok: 200 OK');
  assert.equal((await ask({ expect: { status: [[200, 200]], body: 'is ill' } })).reason, 'body');
});

test('the Host of a check is the name the file has for the endpoint', async (t) => {
  const seen: string[] = [];
  const server = createHttp((request, response) => {
    seen.push(request.headers.host!);
    response.end();
  });
  const address = await listening(server);
  t.after(() => server.close());
  const { port } = address as { port: number };
  const checks = checksOf(t);
  await run(make(checks, address, httpPlan(), `app.internal:${port}`));
  await run(make(checks, address, httpPlan(), 'app.internal:1'));
  await run(make(checks, address, httpPlan()));
  assert.deepEqual(seen, [`app.internal:${port}`, `app.internal:${port}`, `127.0.0.1:${port}`]);
});

test('a connection is all a tcp check wants, and the program behind it sees none', async (t) => {
  const ports: (number | undefined)[] = [];
  const address = await peer(t, (socket) => ports.push(socket.remotePort));
  const checks = checksOf(t);
  // Who stands still before the reset lets the kernel send its delayed acknowledgement, 40 ms at least, and the program sees it after all.
  let slow = 0;
  for (let i = 0; i < 20; i++) {
    const began = performance.now();
    assert.equal(short(await run(make(checks, address, tcp))), 'ok: connected');
    if (performance.now() - began > 30) slow++;
  }
  // A connection made in full afterwards comes behind whatever the checks have left in the backlog.
  const { port } = address as { port: number };
  const socket = connect(port, '127.0.0.1');
  t.after(() => socket.destroy());
  await new Promise((resolve) => socket.once('connect', resolve));
  await until('the connection in full', () => ports.includes(socket.localPort));
  assert.ok(ports.length <= 1 + slow, `${ports.length} connections, ${slow} slow checks`);
});

test('what is not there is refused, on a port and on a path', async (t) => {
  const checks = checksOf(t);
  const folder = mkdtempSync(join(tmpdir(), 'weir-check-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const port = loopback(await closedPort());
  const path = { kind: 'unix' as const, path: join(folder, 'none') };
  for (const plan of [tcp, httpPlan(), planOf<'redis'>({ type: 'redis' }), planOf<'mysql'>({ type: 'mysql' })]) {
    assert.equal(short(await run(make(checks, port, plan))), 'connection_refused: ECONNREFUSED');
    assert.equal(short(await run(make(checks, path, plan))), 'connection_refused: ENOENT');
  }
});

test('an address the kernel has no form for fails and says so', async (t) => {
  const checks = checksOf(t);
  const long = { kind: 'unix' as const, path: `/${'x'.repeat(200)}` };
  assert.match(short(await run(make(checks, long, tcp))), /^failed: a unix path has/);
  assert.match(short(await run(make(checks, { kind: 'ip', host: 'app', port: 1 }, tcp))), /^failed: not an IPv4 address/);
});

test('unix sockets are checked as ports are', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'weir-check-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const address = await peer(
    t,
    (socket) => socket.on('data', () => socket.end('HTTP/1.1 200 OK\r\n\r\n')),
    join(folder, 'a.sock'),
  );
  const checks = checksOf(t);
  assert.equal(short(await run(make(checks, address, tcp))), 'ok: connected');
  assert.equal(short(await run(make(checks, address, httpPlan()))), 'ok: 200 OK');
});

test('a peer that says nothing, trickles, or never ends its head fails by the deadline', async (t) => {
  const trickle = await peer(t, (socket) => {
    const timer = setInterval(() => socket.write('H'), 10);
    socket.on('close', () => clearInterval(timer));
    socket.write('HTTP/1.1 200 OK\r\nX: ');
  });
  const mute = await peer(t, () => {});
  const checks = checksOf(t);
  for (const address of [trickle, mute]) {
    const result = await runConnected(() => make(checks, address, httpPlan({ timeoutMs: 120 })));
    assert.equal(short(result), 'http_response_timeout: no answer within 120 ms');
    assert.ok(result.ms >= 120 && result.ms < 15_000, `${result.ms}`);
  }
  for (const type of ['redis', 'postgres', 'mysql'] as const)
    assert.equal(
      (await runConnected(() => make(checks, mute, planOf({ type, timeoutMs: 60 })))).reason,
      'connection_read_timeout',
    );
});

test('a peer whose backlog is full is not connected to within the deadline', async (t) => {
  // Nobody accepts in a process that is stopped: here, a listener whose backlog of one is filled first.
  const { bind, close, connect, listen, localAddress } = await import('../../sys/libc.ts');
  const fd = streamSocket(loopback(0));
  bind(fd, loopback(0));
  listen(fd, 0);
  const address = localAddress(fd) as ReturnType<typeof loopback>;
  const fillers = [streamSocket(address), streamSocket(address), streamSocket(address)];
  for (const filler of fillers) connect(filler, address);
  t.after(() => [fd, ...fillers].forEach(close));
  const checks = checksOf(t);
  for (const plan of [{ ...tcp, timeoutMs: 80 }, httpPlan({ timeoutMs: 80 })])
    assert.equal(short(await run(make(checks, address, plan))), 'connection_timeout: no connection within 80 ms');
});

test('resets, early ends and garbage each have their word', async (t) => {
  const reset = await peer(t, (socket) => socket.on('data', () => socket.resetAndDestroy()));
  const early = await peer(t, (socket) => socket.on('data', () => socket.end()));
  const cut = await peer(t, (socket) => socket.on('data', () => socket.end('HTTP/1.1 200 OK\r\nContent-')));
  // Long after the check has begun to wait, so that the bytes and the end are told of at once.
  const late = await peer(t, (socket) => socket.on('data', () => setTimeout(() => socket.end('HTTP/1.1 200 OK\r\nC'), 50)));
  const noise = await peer(t, (socket) => socket.on('data', () => socket.write(Buffer.alloc(3000, 0x1b))));
  const endless = await peer(t, (socket) =>
    socket.on('data', () => socket.write(`HTTP/1.1 200 OK\r\nX: ${'x'.repeat(200_000)}`)),
  );
  const checks = checksOf(t);
  const ask = async (address: typeof reset) => (await run(make(checks, address, httpPlan()))).reason;
  assert.equal(await ask(reset), 'connection_terminated');
  assert.equal(await ask(early), 'connection_terminated');
  assert.equal(await ask(cut), 'http_response_incomplete');
  assert.equal(await ask(late), 'http_response_incomplete');
  assert.equal(await ask(noise), 'http_protocol_error');
  assert.equal(await ask(endless), 'http_response_header_section_size');
});

test('the result does not wait for the body, and the connection does', async (t) => {
  let went = '';
  let goOn = () => {};
  const address = await peer(t, (socket) => {
    socket.on('error', (error) => (went = error.message));
    socket.on('end', () => (went ||= 'closed'));
    socket.on('data', () => socket.write('HTTP/1.1 200 OK\r\nContent-Length: 50000\r\n\r\n'));
    goOn = () => socket.write('x'.repeat(50_000));
  });
  const result = await run(make(checksOf(t), address, httpPlan()));
  assert.equal(short(result), 'ok: 200 OK');
  assert.equal(went, '');
  goOn();
  await until('the check to close', () => went !== '');
  assert.equal(went, 'closed');
});

test('an endpoint that closes when it has answered leaves no TIME_WAIT, on neither side, and sees no reset', async (t) => {
  const faults: unknown[] = [];
  const server = createHttp((_, response) => response.end('ok'));
  server.on('clientError', (error) => faults.push(error));
  const address = await listening(server);
  t.after(() => server.close());
  const checks = checksOf(t);
  const port = (address as { port: number }).port.toString(16).toUpperCase().padStart(4, '0');
  const states = () => {
    const rows = readFileSync('/proc/net/tcp', 'latin1').split('\n');
    return rows.filter((row) => row.includes(`:${port} `)).map((row) => row.trim().split(/ +/)[3]);
  };
  for (let i = 0; i < 10; i++) assert.equal(short(await run(make(checks, address, httpPlan()))), 'ok: 200 OK');
  // The result comes before the end of the connection. 0A is the listener.
  await until('nothing but the listener to be left', () => states().join() === '0A');
  assert.deepEqual(faults, []);
});

test('so many checks are under way and no more; the others wait their turn, and all are made', async (t) => {
  let open = 0;
  let most = 0;
  const address = await peer(t, (socket) => {
    most = Math.max(most, ++open);
    socket.on('close', () => open--);
    socket.on('data', () => socket.end('HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n'));
  });
  const prober = proberOf(t, { lanesMax: 3 });
  const script: Script = {
    opening: Buffer.from('?'),
    timeoutReason: 'x',
    endpointCloses: false,
    begin: () => ({ isOver: true, hear: () => passed('answered'), end: () => failed('x', 'x') }),
  };
  const results: CheckResult[] = [];
  for (let i = 0; i < 40; i++) prober.start(Prober.check(address, script, 20_000), (result) => results.push(result));
  assert.equal(prober.underWay, 3);
  assert.equal(prober.waitingCount, 37);
  await until('40 results', () => results.length === 40);
  assert.ok(results.every(({ reason }) => reason === 'ok'));
  // The server may be told of the next ones before it is told that the last ones are gone.
  assert.ok(most <= 6, `${most} at once`);
  assert.equal(prober.underWay + prober.waitingCount, 0);
});

test('without a descriptor a check is not made, and its result says so', async (t) => {
  const address = await peer(t, () => {});
  for (const [errno, evidence] of [
    [EMFILE, 'no descriptor is left (EMFILE)'],
    [ENOBUFS, 'no memory is left for sockets (ENOBUFS)'],
  ] as const) {
    const prober = proberOf(t, { open: () => -errno });
    const results: CheckResult[] = [];
    for (let i = 0; i < 3; i++) prober.start(Prober.check(address, connects, 250), (result) => results.push(result));
    assert.equal(results.length, 0, 'never told by start()');
    await until('3 results', () => results.length === 3);
    for (const result of results) assert.deepEqual([result.passed, short(result)], [false, `not_made: ${evidence}`]);
    assert.deepEqual([prober.underWay, prober.waitingCount], [0, 0]);
  }
});

test('while a check under way has the last descriptor the others wait for it, and their time does not run', async (t) => {
  const address = await peer(t, () => {});
  let heard = '';
  const mute = await peer(t, (socket) => socket.on('data', (bytes) => (heard += bytes)));
  let left = 1;
  let now = 0;
  const prober = proberOf(t, { open: (to: Address) => (left-- > 0 ? streamSocket(to) : -EMFILE), clock: () => now });
  const results: CheckResult[] = [];
  prober.start(Prober.check(mute, hangs, 200), (result) => {
    results.push(result);
    left = 3;
  });
  for (let i = 0; i < 3; i++) prober.start(Prober.check(address, connects, 100), (result) => results.push(result));
  await until('the first to be asked', () => heard === 'hello');
  now = 200;
  await until('4 results', () => results.length === 4);
  assert.equal(results[0]!.reason, 'connection_read_timeout');
  assert.ok(results.slice(1).every(({ reason, ms }) => reason === 'ok' && ms < 100));
});

test('whatever becomes of checks, no descriptor stays open, and no timer when nothing is under way', async (t) => {
  const before = descriptors();
  const mute = await peer(t, () => {});
  const reset = await peer(t, (socket) => socket.on('data', () => socket.resetAndDestroy()));
  const noise = await peer(t, (socket) => socket.on('data', () => socket.end('\0'.repeat(20))));
  const gone = loopback(await closedPort());
  const prober = proberOf(t);
  const timers = () => process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length;
  const timersBefore = timers();
  const kinds: Script[] = [hangs, { ...hangs, opening: Buffer.alloc(0) }, { ...hangs, opening: null }];
  let ended = 0;
  for (let i = 0; i < 60; i++) {
    const address = [mute, reset, noise, gone][i % 4]!;
    prober.start(Prober.check(address, kinds[i % 3]!, 20 + (i % 7) * 10), () => ended++);
  }
  // Read in the turn in which the last one ends: until() has a timer of its own.
  const { promise, resolve } = Promise.withResolvers<number>();
  prober.start(Prober.check(mute, hangs, 200), () => setImmediate(() => resolve(timers())));
  assert.equal(await promise, timersBefore);
  assert.equal(ended, 60);
  assert.equal(prober.underWay, 0);
  prober.stop();
  const listeners = 3;
  await until('the descriptors to be given back', () => descriptors() <= before + listeners);
});

test('when many checks are made sockets are used again, for other addresses too, and no result is mixed up', async (t) => {
  const before = descriptors();
  const server = createHttp({ keepAlive: false }, (_, response) => response.end('ok'));
  const web = await listening(server);
  t.after(() => server.close());
  const silent = await peer(t, () => {});
  const gone = loopback(await closedPort());
  const http = httpScript({ method: 'GET', path: '/', host: 'a', headers: [], status: [[200, 200]], body: null }) as Script;
  let opens = 0;
  let starts = 0;
  const open = (to: Address): number => {
    opens++;
    return streamSocket(to);
  };
  const prober = proberOf(t, { open });
  const connects: Script = { ...hangs, opening: null };
  const kinds = [
    { check: Prober.check(web, http, 30_000), reason: 'ok' },
    { check: Prober.check(silent, connects, 30_000), reason: 'ok' },
    { check: Prober.check(gone, connects, 30_000), reason: 'connection_refused' },
    { check: Prober.check(gone, http, 30_000), reason: 'connection_refused' },
  ];
  const wrong: string[] = [];
  let isOver = false;
  let running = 0;
  const again = (turn: number): void => {
    const { check, reason } = kinds[turn % kinds.length]!;
    starts++;
    running++;
    prober.start(check, (result) => {
      running--;
      if (result.reason !== reason || result.ms < 0) wrong.push(`${turn % kinds.length}: ${short(result)}, ${result.ms} ms`);
      if (!isOver) again(turn + 1);
    });
  };
  for (let turn = 0; turn < 40; turn++) again(turn);
  await until('sockets to be used again', () => starts - opens > 300, 20_000);
  isOver = true;
  await until('the last results', () => running === 0);
  assert.deepEqual(wrong, []);
  prober.stop();
  await until('the descriptors to be given back', () => descriptors() <= before + 2);
});

test('stopping drops what is under way and gives its descriptors back', async (t) => {
  const mute = await peer(t, () => {});
  const before = descriptors();
  const prober = new Prober();
  for (let i = 0; i < 5; i++) prober.start(Prober.check(mute, hangs, 60_000), () => assert.fail('it was stopped'));
  assert.equal(prober.underWay, 5);
  prober.stop();
  assert.equal(prober.underWay, 0);
  await until('the descriptors to be given back', () => descriptors() <= before);
});
