/**
 * Harm prevented: clients that begin handshakes and do not end them take all the memory, or keep everybody else out for as long as they like; what they cost others cannot
 * be seen.
 */
import assert from 'node:assert/strict';
import { after, afterEach, before, describe, test } from 'node:test';
import { PLACE_MS } from '../../src/listen/handshakes.ts';
import { ownCertificates } from '../support/certificates.ts';
import { answer, connect, ok, type Peer, ScriptedEndpoint } from '../support/peer.ts';
import { descriptorGuard } from '../support/streams.ts';
import { freePort } from '../support/system.ts';
import { filesOf, helloOf, openTls, type TlsClientOptions } from '../support/tls-client.ts';
import { until } from '../support/wait.ts';
import { simpleConfig, Weir } from '../support/weir.ts';

const PLACES = 20;
const PER_ADDRESS = 12;

const { certificates, ca } = ownCertificates('tls-floods');
let hello: Buffer;
before(async () => {
  hello = await helloOf({ servername: 'shop.example' });
});

for (const engine of ['uring', 'epoll'] as const)
  describe(`with ${engine}`, () => {
    let endpoint: ScriptedEndpoint;
    let weir: Weir;
    let fairPort: number;
    let guard: () => Promise<void>;
    const client = (more: Partial<TlsClientOptions> = {}): TlsClientOptions => ({
      port: weir.port,
      servername: 'shop.example',
      ca,
      ...more,
    });
    before(async () => {
      endpoint = await ScriptedEndpoint.start(answer(ok('hello')));
      fairPort = await freePort();
      weir = await Weir.start({
        engine,
        config: (ports) => {
          // Nobody is cut off for being slow: only a place that somebody needs ends a handshake here.
          const tls = { certificates: ['shop'], handshakeTimeout: '10m' };
          const listener = { protocol: 'https', tls, limits: { connectionsPerIp: 0, handshakes: PLACES } };
          const config = simpleConfig(ports, [endpoint.address], {
            listener,
            pool: { connections: { keepAlive: 0 } },
            top: { certificates: filesOf(certificates, 'shop') },
          });
          const limits = { connectionsPerIp: PER_ADDRESS, handshakes: PLACES };
          const fair = { ...listener, listen: `0.0.0.0:${fairPort}`, to: 'pool', limits };
          return { ...config, listeners: { ...config.listeners, fair } };
        },
      });
      guard = descriptorGuard(weir);
    });
    after(async () => {
      await weir?.stop();
      await endpoint?.close();
    });

    const counted = async (listener = 'web') => {
      const handshakes = (result: string) => weir.metric('weir_tls_handshakes_total', { listener, result });
      return {
        ok: await handshakes('ok'),
        limit: await handshakes('limit'),
        failed: await handshakes('failed'),
        rejected: await weir.metric('weir_connections_rejected_total', { listener, reason: 'limit_handshakes' }),
        underWay: await weir.metric('weir_tls_handshakes_in_flight', { listener }),
      };
    };
    const isOpen = ({ ending }: Peer): boolean => ending === 'open';
    const isAnswered = ({ receivedBytes }: Peer): boolean => receivedBytes > 500;
    const silent: Peer[] = [];
    afterEach(() => {
      for (const peer of silent.splice(0)) peer.reset();
    });
    /** Clients that say hello and nothing more. */
    const begin = (count: number, port = weir.port): Promise<Peer[]> =>
      Promise.all(
        Array.from({ length: count }, async () => {
          const peer = await connect(port);
          silent.push(peer);
          peer.send(hello);
          return peer;
        }),
      );
    /** So many that every place is taken. */
    const fill = async (): Promise<Peer[]> => {
      const holders = await begin(PLACES);
      await until('an answer for each', () => holders.every(isAnswered));
      return holders;
    };
    /** They leave; then no place is taken. */
    const leave = async (peers: Peer[], listener = 'web'): Promise<void> => {
      for (const peer of peers) peer.reset();
      await Promise.all(peers.map((peer) => peer.close()));
      await until('all places to be free', async () => (await counted(listener)).underWay === 0, 10_000, 100);
    };
    /** Tries until a handshake is done; how many were turned away before. */
    const insist = async (more: Partial<TlsClientOptions> = {}): Promise<{ failures: number; end: () => Promise<void> }> => {
      let failures = 0;
      return until('a handshake', async () => {
        const opened = await openTls(client(more)).catch(() => null);
        if (opened === null) {
          failures++;
          return null;
        }
        assert.equal((await opened.get()).status, 200);
        return { failures, end: () => opened.close() };
      });
    };

    test('what is above the limit is reset unanswered and counted, and who is connected does not notice', async () => {
      const [worker] = weir.workers;
      const established = await openTls(client());
      const began = performance.now();
      const holders = await fill();
      const flood = await begin(200);
      const all = [...holders, ...flood];
      await until('all but those with a place to be gone', () => all.filter(isOpen).length === PLACES);
      // Who had a place gives it up when it is needed, but not within PLACE_MS.
      const seconds = PLACES * Math.floor((performance.now() - began) / PLACE_MS);
      const gone = all.filter((peer) => !isOpen(peer));
      assert.ok(gone.every(({ ending }) => ending === 'reset'));
      assert.ok(gone.filter(({ receivedBytes }) => receivedBytes === 0).length >= 200 - seconds, 'they are not answered');
      assert.equal((await established.get()).status, 200);
      await until('the counts', async () => (await counted()).underWay === PLACES, 5000, 100);
      assert.deepEqual(await counted(), { ok: 1, limit: 200, failed: 0, rejected: 200, underWay: PLACES });
      // Control looks every 5 s, whatever the engine.
      if (engine === 'uring')
        await until('word of it', () => /"event":"handshakes_low".*"listener":"web"/.test(weir.stderr), 15_000);
      await leave(all.filter(isOpen));
      assert.deepEqual(await counted(), { ok: 1, limit: 200, failed: PLACES, rejected: 200, underWay: 0 });
      assert.equal((await established.get()).status, 200);
      await established.close();
      assert.deepEqual(weir.workers, [worker]);
    });

    test('silent clients keep others out for a short time only, though they may be silent for long', async () => {
      const earlier = await counted();
      const holders = await fill();
      const { failures, end } = await insist();
      // Each try that failed was one too many, and then one of the silent ones was.
      await until('the counts', async () => (await counted()).ok === earlier.ok + 1, 5000, 100);
      const { limit, underWay } = await counted();
      assert.deepEqual([limit - earlier.limit, underWay], [failures + 1, PLACES - 1]);
      assert.equal(holders.filter(isOpen).length, PLACES - 1);
      const next = await openTls(client());
      assert.equal((await next.get()).status, 200, 'a place that is free again is anybody’s');
      await next.close();
      await end();
      await leave(holders.filter(isOpen));
      assert.equal((await counted()).limit, limit);
    });

    test('a handshake that would be resumed needs a place like any other', async () => {
      const first = await openTls(client());
      let session: Buffer | undefined;
      first.socket.on('session', (bytes: Buffer) => (session = bytes));
      await first.get();
      await until('a ticket', () => session !== undefined);
      await first.close();
      const { limit } = await counted();
      const holders = await fill();
      // Either it is turned away, or one that had its time.
      const resumed = await openTls(client({ session })).catch(() => null);
      await until('the count', async () => (await counted()).limit === limit + 1, 5000, 100);
      await resumed?.close();
      await leave(holders.filter(isOpen));
      const again = await openTls(client({ session }));
      assert.ok(again.socket.isSessionReused());
      await again.close();
    });

    test('a handshake that failed leaves its place at once, though its client does not go', async () => {
      const { limit, failed } = await counted();
      const clients = await fill();
      const junk = Buffer.concat([Buffer.of(23, 3, 3, 0, 40), Buffer.alloc(40, 5)]);
      for (const peer of clients) peer.send(junk);
      await until('all to be told', () => clients.every((peer) => !isOpen(peer)));
      const next = await openTls(client());
      assert.equal((await next.get()).status, 200);
      await next.close();
      await until('the counts', async () => (await counted()).failed === failed + PLACES, 5000, 100);
      assert.equal((await counted()).limit, limit);
      await leave(clients);
    });

    test('one address holds no more places than it may have connections: others come in at once', async () => {
      const rejected = (reason: string) => weir.metric('weir_connections_rejected_total', { listener: 'fair', reason });
      // One that is reset at once may not even know that it was connected.
      await Promise.allSettled(Array.from({ length: PLACES }, () => begin(1, fairPort)));
      await until('those above its share to be reset', () => silent.filter(isOpen).length === PER_ADDRESS);
      await until('the others to be answered', () => silent.filter(isOpen).every(isAnswered));
      const others = await openTls(client({ port: fairPort, host: '127.0.0.2', localAddress: '127.0.0.2' }));
      assert.equal((await others.get()).status, 200);
      await others.close();
      await until('the count', async () => (await rejected('limit_per_ip')) === PLACES - PER_ADDRESS, 5000, 100);
      assert.deepEqual([await rejected('limit_handshakes'), (await counted('fair')).limit], [0, 0]);
      await leave(silent.filter(isOpen), 'fair');
    });

    test('a flood of whole handshakes that are ended takes no place for long', async () => {
      const { ok: whole } = await counted();
      let [done, failures] = [0, 0];
      const knock = async (): Promise<void> => {
        while (done < 60) {
          done++;
          const it = await insist();
          failures += it.failures;
          await it.end();
        }
      };
      await Promise.all(Array.from({ length: 10 }, knock));
      assert.equal(failures, 0, 'ten at a time never need more than the places there are');
      await until('the counts', async () => (await counted()).ok === whole + 60, 5000, 100);
    });

    test('nothing is left of any of them', async () => {
      assert.equal((await counted()).underWay, 0);
      assert.equal(
        await weir.metric('weir_connections_rejected_total', { reason: 'tls' }),
        await weir.metric('weir_tls_handshakes_total', { result: 'failed' }),
      );
      await guard();
    });
  });
