import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { createServer as createHttp2, createSecureServer, type ServerHttp2Stream } from 'node:http2';
import { createServer as createHttps } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { createServer as createTls, type TlsOptions } from 'node:tls';
import { until } from '../../../tests/support/wait.ts';
import type { Address } from '../../base/wire.ts';
import type { CheckTlsPlan } from '../../state/plan.ts';
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
import { decodeAnswer, encodeRequest } from './check-grpc.ts';
import { failedByStream } from './check-stream.ts';

const skip = spawnSync('openssl', ['version']).status === 0 ? false : 'openssl is not installed';

interface Certificate {
  key: string;
  cert: string;
}

/** A certificate that signs itself. */
function certificate(names: string): Certificate {
  const folder = mkdtempSync(join(tmpdir(), 'weir-check-'));
  const [key, cert] = [join(folder, 'key'), join(folder, 'cert')];
  const words = ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout', key, '-out', cert];
  execFileSync('openssl', [...words, '-subj', '/CN=check', '-addext', `subjectAltName=${names}`], { stdio: 'ignore' });
  const made = { key: readFileSync(key, 'utf8'), cert: readFileSync(cert, 'utf8') };
  rmSync(folder, { recursive: true });
  return made;
}

const trusting = (ca: string, more: Partial<CheckTlsPlan> = {}): CheckTlsPlan => ({
  serverName: null,
  verify: true,
  ca,
  ...more,
});

async function httpsServer(t: TestContext, made: Certificate, names: string[] = []): Promise<Address> {
  const options: TlsOptions = {
    ...made,
    SNICallback: (name, done) => {
      names.push(name);
      done(null);
    },
  };
  const server = createHttps(options, (request, response) => {
    response.writeHead(request.url === '/bad' ? 503 : 200).end(`host ${request.headers.host}`);
  });
  t.after(() => server.close());
  return await listening(server);
}

test('an https check trusts what it was told to trust, for the name it was told', { skip }, async (t) => {
  const made = certificate('DNS:app.internal,IP:127.0.0.1');
  const names: string[] = [];
  const address = await httpsServer(t, made, names);
  const checks = checksOf(t);
  const ask = async (tls: CheckTlsPlan, written = '') => short(await run(make(checks, address, httpPlan({ tls }), written)));
  assert.equal(await ask(trusting(made.cert)), 'ok: 200 OK', 'by the address');
  assert.deepEqual(names, [], 'an address is no server name');
  assert.equal(await ask(trusting(made.cert), 'app.internal:443'), 'ok: 200 OK', 'by the name in the file');
  assert.equal(await ask(trusting(made.cert, { serverName: 'app.internal' })), 'ok: 200 OK', 'by the name of the check');
  assert.deepEqual(names, ['app.internal', 'app.internal']);
  assert.match(await ask(trusting(made.cert), 'other.internal:443'), /^tls_certificate_error: .*ALTNAME/);
  assert.match(await ask({ serverName: null, verify: true, ca: null }), /^tls_certificate_error: .*SELF_SIGNED/);
  assert.equal(await ask({ serverName: null, verify: false, ca: null }), 'ok: 200 OK', 'nothing is verified');
});

test('an https check judges status and body', { skip }, async (t) => {
  const made = certificate('IP:127.0.0.1');
  const address = await httpsServer(t, made);
  const checks = checksOf(t);
  const tls = trusting(made.cert);
  assert.equal(short(await run(make(checks, address, httpPlan({ tls, path: '/bad' })))), 'status: 503 Service Unavailable');
  const expect = { status: [[200, 200]] as [number, number][], body: 'host 127.0.0.1' };
  assert.equal(short(await run(make(checks, address, httpPlan({ tls, expect })))), 'ok: 200 OK');
  const wrong = { ...expect, body: 'host elsewhere' };
  assert.equal((await run(make(checks, address, httpPlan({ tls, expect: wrong })))).reason, 'body');
});

test('TLS that fails has its word: no TLS there, an alert, silence, a refusal', { skip }, async (t) => {
  const made = certificate('IP:127.0.0.1');
  const plain = await peer(t, (socket) => socket.on('data', () => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n')));
  const mute = await peer(t, () => {});
  const closing = await peer(t, (socket) => socket.on('data', () => socket.end()));
  const picky = createTls({ ...made, requestCert: true, rejectUnauthorized: true, ca: made.cert, maxVersion: 'TLSv1.2' });
  picky.on('tlsClientError', () => {});
  t.after(() => picky.close());
  const checks = checksOf(t);
  const ask = async (address: Address, timeoutMs = 20_000) =>
    (await run(make(checks, address, httpPlan({ tls: trusting(made.cert), timeoutMs })))).reason;
  assert.equal(await ask(plain), 'tls_protocol_error');
  assert.equal(await ask(await listening(picky)), 'tls_alert_received');
  assert.equal(await ask(mute, 300), 'connection_timeout');
  assert.equal(await ask(closing), 'connection_terminated');
  assert.equal(await ask(loopback(await closedPort())), 'connection_refused');
});

test('a certificate that cannot be read fails every check, and says so', async (t) => {
  const checks = checksOf(t);
  const result = await run(make(checks, loopback(1), httpPlan({ tls: trusting('-----BEGIN CERTIFICATE-----\nno') })));
  assert.equal(result.reason, 'failed');
  assert.notEqual(result.evidence, '');
});

type Answer = (stream: ServerHttp2Stream, path: string, service: Buffer) => void;

function answering(answer: Answer) {
  return (stream: ServerHttp2Stream, fields: Record<string, unknown>): void => {
    const pieces: Buffer[] = [];
    stream.on('error', () => {});
    stream.on('data', (bytes: Buffer) => pieces.push(bytes));
    stream.on('end', () => answer(stream, `${fields[':authority']} ${fields[':path']}`, Buffer.concat(pieces)));
  };
}

/** An answer of gRPC: a body, then its status. */
const reply = (stream: ServerHttp2Stream, body: Buffer, status = '0', message = ''): void => {
  stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true });
  stream.on('wantTrailers', () =>
    stream.sendTrailers({ 'grpc-status': status, ...(message === '' ? {} : { 'grpc-message': message }) }),
  );
  stream.end(body);
};

const message = (...bytes: number[]): Buffer => Buffer.from([0, 0, 0, 0, bytes.length, ...bytes]);

async function grpcServer(t: TestContext, answer: Answer): Promise<Address> {
  const server = createHttp2();
  const sessions = new Set<{ destroy(): void }>();
  server.on('session', (session) => sessions.add(session));
  server.on('stream', answering(answer));
  t.after(() => {
    for (const session of sessions) session.destroy();
    server.close();
  });
  return await listening(server);
}

const grpc = (service = '', timeoutMs = 20_000) => planOf<'grpc'>({ type: 'grpc', service, host: null, tls: null, timeoutMs });

test('a gRPC server that serves passes; what it says otherwise is the evidence', async (t) => {
  const asked: string[] = [];
  const answers: Record<string, [Buffer, string?, string?]> = {
    '': [message(0x08, 1)],
    unknown: [message()],
    out: [message(0x08, 2)],
    strange: [message(0x08, 3)],
    absent: [Buffer.alloc(0), '5', 'unknown service'],
    garbage: [Buffer.from('hello')],
  };
  const address = await grpcServer(t, (stream, where, request) => {
    asked.push(where);
    const [body, status, text] = answers[request.subarray(7).toString()]!;
    reply(stream, body, status, text);
  });
  const checks = checksOf(t);
  const ask = async (service: string) => short(await run(make(checks, address, grpc(service))));
  assert.equal(await ask(''), 'ok: SERVING');
  assert.equal(await ask('unknown'), 'not_serving: UNKNOWN');
  assert.equal(await ask('out'), 'not_serving: NOT_SERVING');
  assert.equal(await ask('strange'), 'not_serving: SERVICE_UNKNOWN');
  assert.equal(await ask('absent'), 'not_serving: grpc-status 5 NOT_FOUND unknown service');
  assert.equal((await ask('garbage')).split(':')[0], 'http_protocol_error');
  assert.deepEqual(new Set(asked), new Set([`127.0.0.1:${(address as { port: number }).port} /grpc.health.v1.Health/Check`]));
});

test('a server without the health service, one without gRPC, one that hangs and one that is not HTTP/2 fail', async (t) => {
  const without = await grpcServer(t, (stream) => {
    // Trailers only: the status stands in the head.
    stream.respond({ ':status': 200, 'content-type': 'application/grpc', 'grpc-status': '12' }, { endStream: true });
  });
  const web = await grpcServer(t, (stream) => {
    stream.respond({ ':status': 404 });
    stream.end();
  });
  const hanging = await grpcServer(t, () => {});
  const reset = await grpcServer(t, (stream) => stream.close(2));
  const endless = await grpcServer(t, (stream) => {
    stream.respond({ ':status': 200 });
    stream.write(Buffer.alloc(5000));
  });
  const old = await peer(t, (socket) => socket.on('data', () => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n')));
  const checks = checksOf(t);
  const ask = async (address: Address) => short(await run(make(checks, address, grpc())));
  assert.equal(await ask(without), 'not_serving: grpc-status 12 UNIMPLEMENTED');
  assert.equal(await ask(web), 'status: 404');
  const hung = await runConnected(() => make(checks, hanging, grpc('', 400)));
  assert.equal(short(hung), 'http_response_timeout: no answer within 400 ms');
  assert.match(await ask(reset), /^http_protocol_error: /);
  assert.match(await ask(endless), /^http_response_body_size: /);
  assert.match(await ask(old), /^(http_protocol_error|connection_terminated): /);
  assert.match(await ask(loopback(await closedPort())), /^connection_refused: ECONNREFUSED/);
});

test('gRPC is asked over TLS too', { skip }, async (t) => {
  const made = certificate('DNS:app.internal,IP:127.0.0.1');
  const server = createSecureServer(made);
  server.on(
    'stream',
    answering((stream) => reply(stream, message(0x08, 1))),
  );
  t.after(() => server.close());
  const address = await listening(server);
  const checks = checksOf(t);
  const plan = { ...grpc(), tls: trusting(made.cert) };
  assert.equal(short(await run(make(checks, address, plan))), 'ok: SERVING');
  assert.match(short(await run(make(checks, address, plan, 'other.internal:1'))), /^tls_certificate_error/);
});

test('whatever becomes of checks over TLS and HTTP/2, no descriptor stays open', { skip }, async (t) => {
  const made = certificate('IP:127.0.0.1');
  const secure = await httpsServer(t, made);
  const serving = await grpcServer(t, (stream) => reply(stream, message(0x08, 1)));
  const mute = await peer(t, () => {});
  const reset = await peer(t, (socket) => socket.on('data', () => socket.resetAndDestroy()));
  const checks = checksOf(t);
  const before = readdirSync('/proc/self/fd').length;
  const plans = [httpPlan({ tls: trusting(made.cert), timeoutMs: 800 }), grpc('', 800), httpPlan({ timeoutMs: 800 })];
  const addresses = [secure, serving, mute, reset, loopback(await closedPort())];
  const results = await Promise.all(addresses.flatMap((address) => plans.map((plan) => run(make(checks, address, plan)))));
  assert.ok(results.some(({ passed }) => passed));
  checks.stop();
  await until('the descriptors to be given back', () => readdirSync('/proc/self/fd').length <= before);
});

test('both messages of a gRPC check are what protobuf makes of them', () => {
  assert.deepEqual(encodeRequest(''), Buffer.from([0, 0, 0, 0, 0]));
  assert.deepEqual(encodeRequest('ab'), Buffer.from([0, 0, 0, 0, 4, 0x0a, 2, 0x61, 0x62]));
  const long = encodeRequest('x'.repeat(300));
  assert.deepEqual([long.length, long.readUInt32BE(1), long[6], long[7]], [308, 303, 0xac, 2]);
  assert.equal(decodeAnswer(message(0x08, 2)), 2);
  assert.equal(decodeAnswer(message(0x12, 2, 1, 2, 0x08, 1)), 1, 'a field that is not known');
  assert.equal(decodeAnswer(message(0x08, 0x81, 1)), 129);
  for (const broken of [
    message(0x08),
    message(0x08, 0x80),
    message(0x12, 5, 1),
    message(0x0d, 1, 2, 3, 4),
    Buffer.from([1, 0, 0, 0, 0]),
  ])
    assert.equal(decodeAnswer(broken), -1);
  assert.equal(decodeAnswer(Buffer.concat([message(0x08, 1), Buffer.from([0])])), -1, 'more than one message');
});

test('a socket that finds no port, no descriptor or no memory here makes no check; what the endpoint did is a failure', () => {
  const of = (code: string): string => failedByStream(Object.assign(new Error('connect'), { code })).reason;
  for (const code of ['EADDRNOTAVAIL', 'EMFILE', 'ENFILE', 'ENOBUFS', 'ENOMEM']) assert.equal(of(code), 'not_made', code);
  assert.deepEqual(['ECONNREFUSED', 'EACCES', ''].map(of), ['connection_refused', 'failed', 'failed']);
});
