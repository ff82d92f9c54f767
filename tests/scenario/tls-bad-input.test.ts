/**
 * Harm prevented: who breaks the rules of TLS, or stops in the middle, takes weir down, holds what others need, is believed although his bytes were cut, or leaves no
 * trace. Memory and CPU are those of one process, whatever else runs.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { Prng } from '../../src/base/prng.ts';
import { checked } from '../../src/sys/ffi.ts';
import { mapLow, munmap } from '../../src/sys/memory.ts';
import { ownCertificates } from '../support/certificates.ts';
import { answer, connect, ok, type Peer, ScriptedEndpoint } from '../support/peer.ts';
import { finish, missing, start } from '../support/programs.ts';
import { descriptorGuard } from '../support/streams.ts';
import { cpuMs, freePort, rssBytes } from '../support/system.ts';
import { beginTls, filesOf, helloOf, httpsOn, openTls, type TlsClient, type TlsClientOptions } from '../support/tls-client.ts';
import { until, within } from '../support/wait.ts';
import { simpleConfig, Weir } from '../support/weir.ts';

const MB = 1_000_000;
const GET = 'GET / HTTP/1.1\r\nHost: shop.example\r\n\r\n';
/** Alerts as they stand on the wire before anything is encrypted (RFC 8446 §6). */
const alert = (description: number): Buffer => Buffer.of(21, 3, 3, 0, 2, 2, description);
const DECODE_ERROR = 50;
/** Of the listener whose handshakes are to run out of time; those of the others may take a minute. */
const HANDSHAKE_MS = 2500;

const { folder, certificates, ca } = ownCertificates('tls-bad');
let hello: Buffer;
before(async () => {
  hello = await helloOf({ servername: 'shop.example' });
});

/** A session as openssl keeps it, in PEM, changed so that the client believes it may send early data. */
function withEarlyData(pem: string): string {
  const session = Buffer.from(pem.replace(/-----.*-----/g, ''), 'base64');
  const parse = checked<(into: bigint, at: bigint, size: bigint) => bigint>(
    'd2i_SSL_SESSION',
    ['pointer', 'pointer', 'int64'],
    'pointer',
  );
  const write = checked<(session: bigint, at: bigint) => number>('i2d_SSL_SESSION', ['pointer', 'pointer'], 'int32');
  const allow = checked<(session: bigint, bytes: number) => number>(
    'SSL_SESSION_set_max_early_data',
    ['pointer', 'uint32'],
    'int32',
  );
  const free = checked<(session: bigint) => void>('SSL_SESSION_free', ['pointer'], 'void');
  const map = mapLow(16_384);
  // A pointer to the bytes, which the calls move on; then the bytes.
  const words = new BigUint64Array(map.buffer);
  words[0] = map.pointer + 8n;
  map.bytes.set(session, 8);
  const parsed = parse(0n, map.pointer, BigInt(session.length));
  assert.notEqual(parsed, 0n);
  assert.equal(allow(parsed, 16_384), 1);
  words[0] = map.pointer + 8n;
  const size = write(parsed, map.pointer);
  const text = Buffer.from(map.bytes.subarray(8, 8 + size)).toString('base64');
  free(parsed);
  munmap(map);
  return `-----BEGIN SSL SESSION PARAMETERS-----\n${text.replace(/.{64}(?=.)/g, '$&\n')}\n-----END SSL SESSION PARAMETERS-----\n`;
}

/** A hello as some client might say it: extensions as given, in records of at most `size` bytes. */
function helloWith(extensions: readonly Buffer[], size = 16_384): Buffer {
  const u16 = (n: number): Buffer => Buffer.of(n >> 8, n & 255);
  const all = Buffer.concat(extensions);
  const body = Buffer.concat([
    Buffer.of(3, 3),
    Buffer.alloc(32, 7),
    Buffer.of(0),
    u16(4),
    Buffer.of(0x13, 1, 0x13, 2),
    Buffer.of(1, 0),
    u16(all.length),
    all,
  ]);
  const handshake = Buffer.concat([Buffer.of(1, 0), u16(body.length), body]);
  const records: Buffer[] = [];
  for (let at = 0; at < handshake.length; at += size) {
    const piece = handshake.subarray(at, at + size);
    records.push(Buffer.of(22, 3, 1), u16(piece.length), piece);
  }
  return Buffer.concat(records);
}
/** What the client sends from now on goes down in these pieces. */
function rewrite({ raw: { socket } }: TlsClient, pieces: (bytes: Buffer) => Buffer[]): void {
  const write = socket.write.bind(socket);
  socket.write = ((chunk: Buffer, done: () => void) => {
    const all = pieces(chunk);
    for (const piece of all.slice(0, -1)) write(piece);
    return write(all.at(-1)!, done);
  }) as typeof socket.write;
}
/** The one handshake record that these bytes are, as many. */
function inRecordsOf(size: number, record: Buffer): Buffer[] {
  assert.equal(record.length, 5 + record.readUInt16BE(3));
  const all: Buffer[] = [];
  for (let at = 5; at < record.length; at += size) {
    const piece = record.subarray(at, at + size);
    all.push(Buffer.of(22, 3, 1, piece.length >> 8, piece.length & 255), piece);
  }
  return all;
}

function extension(type: number, bytes: Buffer): Buffer {
  const head = Buffer.alloc(4);
  head.writeUInt16BE(type, 0);
  head.writeUInt16BE(bytes.length, 2);
  return Buffer.concat([head, bytes]);
}
function nameExtension(name: string): Buffer {
  const text = Buffer.from(name, 'latin1');
  const head = Buffer.alloc(5);
  head.writeUInt16BE(text.length + 3, 0);
  head.writeUInt16BE(text.length, 3);
  return extension(0, Buffer.concat([head, text]));
}

for (const engine of ['uring', 'epoll'] as const)
  describe(`with ${engine}`, () => {
    let endpoint: ScriptedEndpoint;
    let streams: ScriptedEndpoint;
    let weir: Weir;
    let tcpPort: number;
    let shortPort: number;
    let guard: () => Promise<void>;
    const shop = (more: Partial<TlsClientOptions> = {}): TlsClientOptions => ({
      port: weir.port,
      servername: 'shop.example',
      ca,
      ...more,
    });
    before(async () => {
      endpoint = await ScriptedEndpoint.start(answer(ok('hello')));
      streams = await ScriptedEndpoint.start((peer) => {
        peer.socket.on('data', (chunk: Buffer) => peer.send(chunk));
      });
      [tcpPort, shortPort] = [await freePort(), await freePort()];
      weir = await Weir.start({
        engine,
        config: (ports) => {
          const config = simpleConfig(ports, [endpoint.address], {
            listener: {
              protocol: 'https',
              tls: { certificates: ['shop'], handshakeTimeout: '60s' },
              limits: { connectionsPerIp: 0, bufferSize: '256KiB' },
            },
            pool: { connections: { keepAlive: 0 } },
            top: {
              certificates: filesOf(certificates, 'shop'),
              routes: [{ path: '/*', to: 'pool', upgrade: ['websocket'] }],
            },
          });
          const tls = { certificates: ['shop'], handshakeTimeout: '60s' };
          const tcp = { listen: `127.0.0.1:${tcpPort}`, protocol: 'tcp', tls, to: 'streams' };
          const hasty = httpsOn(shortPort, { ...tls, handshakeTimeout: `${HANDSHAKE_MS}ms` });
          const short = { ...hasty, limits: { connectionsPerIp: 0 } };
          const pools = { ...config.pools, streams: { endpoints: [streams.address] } };
          return { ...config, pools, listeners: { ...config.listeners, tcp, short } };
        },
      });
      guard = descriptorGuard(weir);
    });
    after(async () => {
      await weir?.stop();
      await endpoint?.close();
      await streams?.close();
    });

    type Counts = Record<'ok' | 'failed' | 'timeout' | 'tls' | 'preface', number>;
    /** What all tests until now should have been counted as. */
    const total: Counts = { ok: 0, failed: 0, timeout: 0, tls: 0, preface: 0 };
    async function counts(): Promise<Counts> {
      const handshakes = (result: string) => weir.metric('weir_tls_handshakes_total', { result });
      const rejected = (reason: string) => weir.metric('weir_connections_rejected_total', { reason });
      return {
        ok: await handshakes('ok'),
        failed: await handshakes('failed'),
        timeout: await handshakes('timeout'),
        tls: await rejected('tls'),
        preface: await rejected('preface'),
      };
    }
    /** Runs `body`, of which this is to be counted; then others are served, by the worker that was there before. */
    async function counting(expected: Partial<Counts>, body: () => Promise<void>): Promise<void> {
      const [worker] = weir.workers;
      for (const [key, count] of Object.entries(expected)) total[key as keyof Counts] += count;
      await body();
      total.ok++;
      endpoint.script = answer(ok('hello'));
      const client = await openTls(shop());
      assert.equal(String((await client.get()).body), 'hello');
      await client.close();
      assert.deepEqual(weir.workers, [worker]);
    }
    /** Says these bytes on a connection of its own and waits for the end. */
    async function say(port: number, bytes: Buffer | string): Promise<Peer> {
      const client = await connect(port);
      client.send(bytes);
      await client.ended();
      await client.close();
      return client;
    }

    test('plain HTTP is told to come by https', () =>
      counting({ preface: 2 }, async () => {
        for (const text of [GET, `POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc`]) {
          const client = await connect(weir.port);
          client.reader.expect(text.slice(0, 4).trim());
          client.send(text);
          const message = await client.message();
          assert.equal(message.status, 400);
          assert.match(String(message.body), /This port speaks TLS: ask with https:\/\//);
          assert.equal(await client.ended(), 'fin');
          await client.close();
        }
      }));

    test('garbage, other protocols and SSL 2 are reset, unanswered', () => {
      const random = new Prng(11);
      const bytes = (count: number): Buffer => Buffer.from(Array.from({ length: count }, () => random.below(256)));
      const all = [
        Buffer.concat([Buffer.of(0xff), bytes(500)]),
        Buffer.concat([Buffer.of(0), bytes(40)]),
        'SSH-2.0-OpenSSH_9.6\r\n',
        // The hello of SSL 2, as Netscape defined it.
        Buffer.concat([Buffer.of(0x80, 0x2e, 1, 3, 1, 0, 0x15, 0, 0, 0, 0x10), bytes(37)]),
        // A record of TLS that is no handshake: data, an alert.
        Buffer.concat([Buffer.of(23, 3, 3, 0, 20), bytes(20)]),
        Buffer.of(21, 3, 3, 0, 2, 2, 40),
        // A handshake of a version that never was.
        Buffer.concat([Buffer.of(22, 9, 1, 0, 50), bytes(50)]),
      ];
      return counting({ preface: all.length }, async () => {
        for (const one of all) {
          const { ending, received } = await say(weir.port, one);
          assert.deepEqual([ending, received], ['reset', '']);
        }
      });
    });

    test('a hello that breaks the rules is answered by an alert', () => {
      const cut = Buffer.from(hello);
      // The length of the session id reaches beyond the hello.
      cut[5 + 4 + 34] = 255;
      const all: [string, Buffer][] = [
        ['a length that lies', cut],
        ['a handshake that begins otherwise', Buffer.of(22, 3, 1, 0, 4, 2, 0, 0, 0)],
        ['a record of nothing', Buffer.of(22, 3, 1, 0, 0)],
        ['a record that is too long', Buffer.of(22, 3, 1, 0xff, 0xff, 1)],
        ['a name with NUL', helloWith([nameExtension('shop.example\0.evil.example')])],
        ['a name with a space', helloWith([nameExtension('shop example')])],
        ['a name of 300 characters', helloWith([nameExtension(`${'a'.repeat(60)}.`.repeat(5))])],
        ['a name that is none', helloWith([nameExtension('')])],
        ['two names', helloWith([nameExtension('a.example'), nameExtension('shop.example')])],
        ['a hello of more than 16 KiB', helloWith([nameExtension('shop.example'), extension(21, Buffer.alloc(17_000))])],
        ['the same in many records', helloWith([extension(21, Buffer.alloc(60_000))], 500)],
      ];
      return counting({ failed: all.length, tls: all.length }, async () => {
        for (const [name, bytes] of all) {
          const client = await connect(weir.port);
          client.send(bytes);
          await client.expect(alert(DECODE_ERROR).toString('latin1'));
          client.sendEnd();
          assert.notEqual(await client.ended(), 'open', name);
          await client.close();
        }
      });
    });

    test('what no server can agree to is answered by the alert of TLS', () =>
      counting({ failed: 2, tls: 2 }, async () => {
        // A hello without anything to agree on; one that offers TLS 1.3 suites only and no key share.
        for (const bytes of [helloWith([nameExtension('shop.example')]), helloWith([])]) {
          const client = await connect(weir.port);
          client.send(bytes);
          await client.expect(/^\x15\x03[\s\S]\x00\x02\x02/);
          client.sendEnd();
          await client.ended();
          await client.close();
        }
      }));

    test('a hello of nearly 16 KiB, in one record or in many, is one like any other', () =>
      counting({ ok: 2 }, async () => {
        const protocols = Array.from({ length: 56 }, (_, i) => `${'p'.repeat(250)}${i}`);
        const ALPNProtocols = [...protocols, 'http/1.1'];
        const { length } = await helloOf({ servername: 'shop.example', ALPNProtocols });
        assert.ok(length > 15_000 && length < 16_384, `${length} bytes`);
        for (const cuts of [false, true]) {
          const client = await beginTls(shop({ ALPNProtocols }));
          if (cuts) rewrite(client, (bytes) => (bytes[0] === 22 ? inRecordsOf(500, bytes) : [bytes]));
          await client.opened();
          assert.equal(client.socket.alpnProtocol, 'http/1.1');
          assert.equal((await client.get()).status, 200);
          await client.close();
        }
      }));

    test('a handshake whose bytes come one at a time is one like any other', () =>
      counting({ ok: 1 }, async () => {
        const client = await beginTls(shop());
        rewrite(client, (bytes) => Array.from(bytes, (byte) => Buffer.of(byte)));
        await client.opened();
        assert.equal((await client.get()).status, 200);
        await client.close();
      }));

    test('who stops anywhere in the handshake is let go in time, and counted', () =>
      counting({ timeout: 6, tls: 6, preface: 1 }, async () => {
        const began = performance.now();
        const silent = await connect(shortPort);
        const clients = [hello.subarray(0, 1), hello.subarray(0, 100), hello].map(async (bytes) => {
          const client = await connect(shortPort);
          client.send(bytes);
          return client;
        });
        // And one that drips: each byte buys no more time.
        const dripping = await connect(shortPort);
        const drip = dripping.drip(hello.toString('latin1'), 50);
        // The hello is late already: the rest of the handshake has what is left of the time.
        const late = await connect(shortPort);
        await late.drip(hello.subarray(0, 6).toString('latin1'), 100);
        // Who comes between its first byte and its last goes later.
        const between = await connect(shortPort);
        between.send(hello.subarray(0, 1));
        const order: Peer[] = [];
        for (const client of [dripping, late, between]) void client.closed.then(() => order.push(client));
        await late.drip(hello.subarray(6, 12).toString('latin1'), 100);
        late.send(hello.subarray(12));
        for (const client of [silent, dripping, late, between, ...(await Promise.all(clients))]) {
          assert.equal(await client.ended(), 'reset');
          await client.close();
        }
        await drip;
        assert.equal(order.indexOf(between), 2, 'a later byte bought no time');
        const ms = performance.now() - began;
        assert.ok(ms >= HANDSHAKE_MS - 10, `${ms} ms`);
      }));

    test('who leaves in the middle of a handshake is counted as failed', () =>
      counting({ failed: 6, tls: 6 }, async () => {
        for (const bytes of [hello.subarray(0, 1), hello.subarray(0, 100), hello])
          for (const how of ['fin', 'reset'] as const) {
            const client = await connect(weir.port);
            await client.sendAll(bytes);
            if (bytes === hello) await until('an answer', () => client.receivedBytes > 0);
            else await until('it to be taken', () => client.socket.bytesWritten === bytes.length);
            if (how === 'fin') client.sendEnd();
            else client.reset();
            await client.ended();
            await client.close();
          }
      }));

    test('1000 clients that stop after their hello hold little, and give it back; others are served meanwhile', () =>
      counting({ timeout: 1000, failed: 1000, tls: 2000, ok: 1 }, async () => {
        const pid = weir.workers[0]!;
        const base = rssBytes(pid);
        const flood = async (port: number): Promise<Peer[]> => {
          const clients: Peer[] = [];
          for (let i = 0; i < 1000; i += 50) {
            const some = await Promise.all(Array.from({ length: 50 }, () => connect(port)));
            for (const client of some) client.send(hello);
            clients.push(...some);
          }
          await until('an answer for each', () =>
            clients.every(({ receivedBytes, ending }) => receivedBytes > 500 || ending !== 'open'),
          );
          return clients;
        };
        const patient = await flood(shortPort);
        const held = rssBytes(pid);
        // Some 60 KB each, most of it OpenSSL's.
        assert.ok(held - base < 100 * MB, `grew by ${((held - base) / MB).toFixed(1)} MB`);
        const other = await openTls(shop());
        assert.equal((await other.get()).status, 200);
        await other.close();
        for (const client of patient) {
          await client.ended();
          await client.close();
        }
        const again = await flood(weir.port);
        const grown = rssBytes(pid) - held;
        assert.ok(grown < 20 * MB, `grew again by ${(grown / MB).toFixed(1)} MB`);
        for (const client of again) client.reset();
      }));

    test(
      'an alert of the client ends the handshake: it does not know who issued the certificate',
      { skip: missing('curl') },
      (t) =>
        counting({ failed: 2, tls: 2 }, async () => {
          for (const version of ['1.2', '1.3']) {
            const words = [
              '-sS',
              '--cacert',
              certificates.internal.certificate,
              '--tls-max',
              version,
              `https://127.0.0.1:${weir.port}/`,
            ];
            // 60: the certificate cannot be verified.
            assert.equal((await finish(t, 'curl', words)).code, 60);
          }
        }),
    );

    test('records that do not decrypt end the connection, whenever they come', () =>
      counting({ ok: 2, failed: 1, tls: 1 }, async () => {
        const junk = Buffer.concat([Buffer.of(23, 3, 3, 0, 40), Buffer.alloc(40, 5)]);
        const early = await connect(weir.port);
        early.send(hello);
        await until('an answer', () => early.receivedBytes > 500);
        early.send(junk);
        early.sendEnd();
        assert.notEqual(await early.ended(), 'open');
        await early.close();
        for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
          const client = await openTls(shop({ minVersion: version, maxVersion: version }));
          client.socket.on('error', () => {});
          client.raw.send(junk);
          await until('its end', () => client.raw.ending !== 'open' || client.socket.destroyed);
          await client.close();
        }
      }));

    test('a handshake that failed is counted as such at once and once, however long its client stays', () =>
      counting({ failed: 1, tls: 1 }, async () => {
        const client = await connect(shortPort);
        client.send(hello);
        await until('an answer', () => client.receivedBytes > 500);
        client.send(Buffer.concat([Buffer.of(23, 3, 3, 0, 40), Buffer.alloc(40, 5)]));
        await until('it to be counted', async () => (await counts()).failed === total.failed, 5000, 100);
        // It does not close its side; only who sends hears of the end.
        await until('its end', () => {
          client.send('x');
          return client.ending === 'reset';
        });
        await client.close();
      }));

    test('a client of TLS 1.2 cannot renegotiate', { skip: missing('openssl') }, (t) =>
      counting({ ok: 1 }, async () => {
        const words = ['s_client', '-connect', `127.0.0.1:${weir.port}`, '-servername', 'shop.example', '-tls1_2'];
        const child = start(t, 'openssl', words);
        let text = '';
        for (const stream of [child.stdout!, child.stderr!])
          stream.setEncoding('latin1').on('data', (piece: string) => (text += piece));
        await until('the handshake', () => /Verify return code/.test(text));
        const exited = once(child, 'exit');
        child.stdin!.write('R\n');
        await within('its end', 15_000, exited);
        assert.match(text, /RENEGOTIATING[\s\S]*no renegotiation/);
      }),
    );

    test('new keys again and again are agreed to and cost little', { skip: missing('openssl') }, (t) =>
      counting({ ok: 1 }, async () => {
        const words = ['s_client', '-connect', `127.0.0.1:${weir.port}`, '-servername', 'shop.example', '-tls1_3'];
        const child = start(t, 'openssl', words);
        let text = '';
        for (const stream of [child.stdout!, child.stderr!])
          stream.setEncoding('latin1').on('data', (piece: string) => (text += piece));
        await until('the handshake', () => /Verify return code/.test(text));
        const pid = weir.workers[0]!;
        const [cpu, rss] = [cpuMs(pid), rssBytes(pid)];
        for (let i = 1; i <= 100; i++) {
          child.stdin!.write(i % 2 === 0 ? 'K\n' : 'k\n');
          await until('new keys', () => text.split('KEYUPDATE').length === i + 1, 15_000, 1);
        }
        assert.ok(cpuMs(pid) - cpu < 500 && rssBytes(pid) - rss < 20 * MB);
        child.stdin!.write(GET.replaceAll('\r', ''));
        await until('an answer', () => /HTTP\/1\.1 \d\d\d/.test(text));
        child.stdin!.end();
      }),
    );

    test(
      'early data is not taken: it reaches nobody, and what comes after the handshake does',
      { skip: missing('openssl') },
      (t) =>
        counting({ ok: 2 }, async () => {
          const [sessionFile, dataFile] = [join(folder, `early-${engine}.pem`), join(folder, `early-${engine}.txt`)];
          const words = [
            's_client',
            '-connect',
            `127.0.0.1:${weir.port}`,
            '-servername',
            'shop.example',
            '-tls1_3',
            '-alpn',
            'http/1.1',
            '-ign_eof',
          ];
          const request = (path: string) => `GET ${path} HTTP/1.1\r\nHost: shop.example\r\nConnection: close\r\n\r\n`;
          await finish(t, 'openssl', [...words, '-sess_out', sessionFile], { input: request('/first') });
          writeFileSync(sessionFile, withEarlyData(readFileSync(sessionFile, 'latin1')));
          writeFileSync(dataFile, request('/early'));
          const seen = endpoint.received.length;
          const { out, err } = await finish(t, 'openssl', [...words, '-sess_in', sessionFile, '-early_data', dataFile], {
            input: request('/late'),
          });
          assert.match(out, /Reused, TLSv1.3/, err);
          assert.match(out, /Early data was rejected/, err);
          assert.match(out, /hello/);
          const requests = endpoint.received.slice(seen);
          assert.match(requests, /GET \/late /);
          assert.doesNotMatch(requests, /early/);
        }),
    );

    for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
      const its = { minVersion: version, maxVersion: version } as const;

      test(`${version}: a connection that ends unannounced in the middle of a request is a broken one to the endpoint`, () =>
        counting({ ok: 4 }, async () => {
          endpoint.script = () => {};
          const bodies = [
            'POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\nhalf',
            'POST /b HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n',
          ];
          for (const body of bodies)
            for (const how of ['fin', 'reset'] as const) {
              const client = await openTls(shop(its));
              client.socket.on('error', () => {});
              const from = endpoint.peers.length;
              client.peer.send(body);
              const peer = await endpoint.peer(from);
              await peer.expect('half');
              if (how === 'fin') client.raw.sendEnd();
              else client.raw.reset();
              assert.equal(await peer.ended(), 'reset');
              await client.close();
            }
        }));

      test(`${version}: an upgraded connection that ends unannounced is a broken one to the endpoint, one that says so is not`, () =>
        counting({ ok: 2 }, async () => {
          endpoint.script = async (peer) => {
            await peer.expect('\r\n\r\n');
            peer.send(
              'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n',
            );
          };
          for (const [how, expected] of [
            ['unannounced', 'reset'],
            ['announced', 'fin'],
          ] as const) {
            const client = await openTls(shop({ ...its, allowHalfOpen: true } as Partial<TlsClientOptions>));
            client.socket.on('error', () => {});
            const from = endpoint.peers.length;
            client.peer.send(
              'GET /ws HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n',
            );
            await client.peer.expect('101 Switching');
            const peer = await endpoint.peer(from);
            client.peer.send('a message');
            await peer.expect('a message');
            if (how === 'unannounced') client.raw.sendEnd();
            else client.socket.end();
            assert.equal(await peer.ended(), expected, how);
            peer.sendEnd();
            await client.close();
          }
        }));

      test(`${version}: a carried connection that ends unannounced is reset towards the endpoint`, () =>
        counting({ ok: 1 }, async () => {
          const from = streams.peers.length;
          const client = await openTls(shop({ ...its, port: tcpPort, ALPNProtocols: [] }));
          client.socket.on('error', () => {});
          client.peer.send('half of it');
          const peer = await streams.peer(from);
          await client.peer.expect('half of it');
          client.raw.sendEnd();
          assert.equal(await peer.ended(), 'reset');
          await client.close();
        }));

      test(`${version}: a client that does not read 50 MB makes the endpoint wait, and reads them all when it does`, () =>
        counting({ ok: 1 }, async () => {
          const SIZE = 50 * MB;
          endpoint.script = (peer) => {
            peer.send(`HTTP/1.1 200 OK\r\nContent-Length: ${SIZE}\r\n\r\n`);
            peer.send(Buffer.alloc(SIZE, 'x'));
          };
          const pid = weir.workers[0]!;
          const base = rssBytes(pid);
          const client = await openTls(shop(its));
          client.peer.keeps = false;
          const from = endpoint.peers.length;
          client.raw.pause();
          client.peer.pause();
          client.peer.send(GET);
          const peer = await endpoint.peer(from);
          let before = -1;
          await until(
            'the flow to stand still',
            () => {
              const isStill = peer.socket.writableLength === before;
              before = peer.socket.writableLength;
              return isStill;
            },
            20_000,
            300,
          );
          assert.ok(peer.socket.writableLength > 0, 'the endpoint waits');
          assert.ok(rssBytes(pid) - base < 20 * MB, `grew by ${(rssBytes(pid) - base) / MB} MB`);
          client.peer.resume();
          client.raw.resume();
          await until('all of it', () => client.peer.receivedBytes > SIZE, 60_000);
          await client.close();
        }));
    }

    test('each of them was counted as what it was, and nothing of them is left', async () => {
      let seen = await counts();
      await until('the counts', async () => JSON.stringify((seen = await counts())) === JSON.stringify(total), 15_000, 100).catch(
        () => assert.deepEqual(seen, total),
      );
      await guard();
    });
  });
