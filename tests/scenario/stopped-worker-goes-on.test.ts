/**
 * Harm prevented: a worker that is stopped for a moment and goes on (a container that is paused, a debugger, a shell's job control) breaks the connections that it was
 * sending on just then: the signal interrupts what the kernel does for it.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { after, before, describe, test } from 'node:test';
import { ownCertificates } from '../support/certificates.ts';
import { ScriptedEndpoint } from '../support/peer.ts';
import { filesOf, openTls, type TlsClientOptions } from '../support/tls-client.ts';
import { until } from '../support/wait.ts';
import { type EngineName, simpleConfig, Weir } from '../support/weir.ts';

const CLIENTS = 6;
const CLIENT_BYTES = 20_000_000;
/** Stops a process and lets it go on, again and again; says a dot for each time. */
const STOPPING = 'while kill -STOP $0; do printf .; sleep 0.002; kill -CONT $0; sleep 0.004; done';

const bytes = Buffer.alloc(CLIENT_BYTES, 'weir carries bytes. ');
const { certificates, ca } = ownCertificates('stopped-worker');

for (const engine of ['uring', 'epoll'] as const satisfies EngineName[])
  describe(`with ${engine}`, () => {
    let endpoint: ScriptedEndpoint;
    let weir: Weir;
    before(async () => {
      endpoint = await ScriptedEndpoint.start((peer) => {
        peer.keeps = false;
        peer.socket.end(bytes);
      });
      // In TLS every byte goes through the worker, which does not just move them from socket to socket.
      weir = await Weir.start({
        engine,
        config: (ports) =>
          simpleConfig(ports, [endpoint.address], {
            listener: { protocol: 'tcp', tls: ['shop'] },
            top: { certificates: filesOf(certificates, 'shop') },
          }),
      });
    });
    after(async () => {
      await weir?.stop();
      await endpoint?.close();
    });

    test('every byte passes both ways while the worker is stopped and continued again and again', async () => {
      const [worker] = weir.workers;
      const clients = await Promise.all(
        Array.from({ length: CLIENTS }, async () => {
          const client = await openTls({
            port: weir.port,
            servername: 'shop.example',
            ca,
            ALPNProtocols: [],
            allowHalfOpen: true,
          } as TlsClientOptions);
          client.peer.keeps = false;
          client.socket.end(bytes);
          return client;
        }),
      );
      // A process of its own: this one is busy.
      const stopper = spawn('sh', ['-c', STOPPING, String(worker)], { stdio: ['ignore', 'pipe', 'inherit'] });
      let stops = 0;
      stopper.stdout.on('data', (dots: Buffer) => (stops += dots.length));
      const gone = once(stopper, 'close');
      try {
        await until(
          'the end of each',
          () => clients.every(({ peer, socket }) => peer.ending !== 'open' || socket.destroyed),
          60_000,
        );
      } finally {
        stopper.kill('SIGKILL');
        await gone;
        process.kill(worker!, 'SIGCONT');
      }
      assert.ok(stops >= 10, `${stops} stops`);
      assert.deepEqual(
        clients.map(({ peer }) => [peer.ending, peer.receivedBytes]),
        clients.map(() => ['fin', CLIENT_BYTES]),
      );
      for (const client of clients) await client.close();
      assert.deepEqual(weir.workers, [worker]);
    });
  });
