/**
 * Harm prevented: a client does not get in and nobody can say why; endpoints take what came by https for http; clients that come back pay for a whole handshake, because they meet another worker.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { connect as connectPlain } from 'node:net';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { type ConnectionOptions, connect, type TLSSocket } from 'node:tls';
import type { RequestStory, Stories } from '../../src/control/explain/explain.ts';
import { ownCertificates } from '../support/certificates.ts';
import { command } from '../support/command.ts';
import { mirror, type Running } from '../support/servers.ts';
import { freePort, isAlive } from '../support/system.ts';
import { filesOf, httpsOn } from '../support/tls-client.ts';
import { until } from '../support/wait.ts';
import { get, simpleConfig, Weir, type WeirOptions } from '../support/weir.ts';

const { folder, certificates, ca } = ownCertificates('tls-seen');
const client: ConnectionOptions = { servername: 'shop.example', ca };

interface Got {
  status: number;
  id: string;
  /** What the endpoint was sent. */
  fields: Record<string, string>;
  isResumed: boolean;
  /** The latest ticket. */
  session: Buffer | null;
}

/** A request over a connection of its own, which ends when a ticket has come too. */
async function ask(port: number, options: ConnectionOptions): Promise<Got> {
  const socket: TLSSocket = connect({ port, host: '127.0.0.1', ALPNProtocols: ['http/1.1'], ...options });
  let session: Buffer | null = null;
  socket.on('session', (ticket: Buffer) => (session = ticket));
  let text = '';
  socket.setEncoding('latin1').on('data', (piece: string) => (text += piece));
  await once(socket, 'secureConnect');
  const isResumed = socket.isSessionReused();
  socket.write(`GET /seen?token=secret HTTP/1.1\r\nHost: ${options.servername}\r\nConnection: close\r\n\r\n`);
  await once(socket, 'close');
  const [head, body] = text.split('\r\n\r\n');
  return {
    status: Number(head!.split(' ')[1]),
    id: /x-request-id: (\S+)/i.exec(head!)![1]!,
    fields: JSON.parse(/\{.*\}/.exec(body!)![0]) as Record<string, string>,
    isResumed,
    session,
  };
}

describe('TLS that is opened here', () => {
  let endpoint: Running;
  let weir: Weir;
  let options: WeirOptions;
  let strictPort: number;

  const lines = (): Record<string, unknown>[] => {
    const text = readFileSync(join(folder, 'access.log'), 'utf8');
    return text.split('\n').flatMap((line) => (line === '' ? [] : [JSON.parse(line) as Record<string, unknown>]));
  };
  const handshakes = (labels: Record<string, string>) => weir.metric('weir_tls_handshakes_total', labels);
  /** Waits for a metric: what is told is up to a second old. */
  const counted = (count: number, labels: Record<string, string>) =>
    until(`${count} handshakes of ${JSON.stringify(labels)}`, async () => (await handshakes(labels)) === count, 15_000, 100);

  before(async () => {
    endpoint = await mirror();
    strictPort = await freePort();
    options = {
      workers: 2,
      folder,
      config: (ports) => {
        const config = simpleConfig(ports, [endpoint.address], {
          listener: { protocol: 'https', tls: ['shop', 'wildcard'] },
          top: {
            certificates: filesOf(certificates, 'shop', 'wildcard'),
            headers: { forwarded: 'both' },
            logs: { access: join(folder, 'access.log') },
          },
        });
        const strict = httpsOn(strictPort, { certificates: ['wildcard'], strictSni: true });
        return { ...config, listeners: { ...config.listeners, strict } };
      },
    };
    weir = await Weir.start(options);
  });
  after(async () => {
    await weir?.stop();
    endpoint?.close();
  });

  test('is https to the endpoint, in the access log and to who looks back', async () => {
    const { status, id, fields } = await ask(weir.port, client);
    assert.equal(status, 200);
    assert.deepEqual([fields['x-forwarded-proto'], fields['x-forwarded-port']], ['https', String(weir.port)]);
    assert.match(fields['forwarded']!, /;proto=https$/);
    const line = await until('its line', () => lines().find((one) => one['id'] === id));
    assert.deepEqual(
      [line['tls'], line['cipher'], line['alpn'], line['sni']],
      ['1.3', 'TLS_AES_256_GCM_SHA384', 'http/1.1', 'shop.example'],
    );
    const stories = JSON.parse((await weir.admin(`/api/v1/requests/${id}`)).body) as Stories;
    const story = stories.items[0] as RequestStory;
    assert.equal(story.request.scheme, 'https');
    assert.deepEqual(story.tls, {
      version: '1.3',
      cipher: 'TLS_AES_256_GCM_SHA384',
      serverName: 'shop.example',
      alpn: 'http/1.1',
      isResumed: false,
    });
    await counted(1, { listener: 'web', version: '1.3', resumed: 'false', result: 'ok' });
    assert.equal(await weir.metric('weir_tls_handshake_seconds_count', { listener: 'web' }), 1);
  });

  test('is explained as it is: the certificate that a client gets is the one that was told', async () => {
    const name = 'a.shop.example';
    const url = `https://${name}:${weir.port}/`;
    const { out } = await command('explain', url, '--json', '-a', `127.0.0.1:${weir.adminPort}`);
    const { tls } = JSON.parse(out) as { tls: { certificates: { name: string }[] } };
    assert.deepEqual(
      tls.certificates.map((one) => one.name),
      ['wildcard'],
    );
    const socket = connect({ ...client, port: weir.port, host: '127.0.0.1', servername: name });
    await once(socket, 'secureConnect');
    assert.equal(socket.getPeerX509Certificate()!.toString(), certificates.wildcard.certificatePem);
    // In order: whoever is gone before its last words has not completed its handshake.
    socket.end();
    await once(socket.resume(), 'close');
  });

  for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
    test(`knows a client of ${version} again, whichever worker it meets`, async () => {
      const its: ConnectionOptions = { ...client, minVersion: version, maxVersion: version };
      const label = { listener: 'web', version: version.slice(4), resumed: 'true' };
      const before = await handshakes(label);
      const { session } = await ask(weir.port, its);
      assert.ok(session !== null);
      const from = lines().length;
      const workers = () => new Set(lines().slice(from).map((line) => line['worker'])).size; // biome-ignore format: one thought
      let asked = 0;
      for (; workers() < 2; asked++) {
        assert.ok(asked < 200, 'both workers are met');
        const { isResumed, id } = await ask(weir.port, { ...its, session });
        assert.ok(isResumed, `request ${asked}`);
        await until('its line', () => lines().some((line) => line['id'] === id));
      }
      await counted(before + asked, label);
    });
  }

  test('knows it again in a worker that was started since', async () => {
    const { session } = await ask(weir.port, client);
    const [first] = weir.workers;
    process.kill(first!, 'SIGKILL');
    await until('a successor that serves', () => {
      const [, last] = weir.workers;
      return weir.events('worker_replaced').some(({ pid }) => pid === last);
    });
    const from = lines().length;
    const successor = () => lines().slice(from).some(({ worker }) => worker === 0); // biome-ignore format: one thought
    for (let asked = 0; !successor(); asked++) {
      assert.ok(asked < 200, 'the successor is met');
      assert.ok((await ask(weir.port, { ...client, session: session! })).isResumed);
    }
  });

  test('counts who gives up, and who has no business here, apart', async () => {
    const failed = connect({ ...client, port: weir.port, host: '127.0.0.1', ALPNProtocols: ['spdy/1'] });
    await assert.rejects(once(failed, 'secureConnect'), /no application protocol/);
    await counted(1, { listener: 'web', result: 'failed' });
    const refused = connect({ port: strictPort, host: '127.0.0.1', servername: 'nobody.example', rejectUnauthorized: false });
    await assert.rejects(once(refused, 'secureConnect'), /unrecognized name/);
    await counted(1, { listener: 'strict', result: 'refused' });
    await until(
      'both to be counted',
      async () => (await weir.metric('weir_connections_rejected_total', { reason: 'tls' })) === 2,
    );
    assert.equal(await weir.metric('weir_tls_handshake_seconds_count', { listener: 'strict' }), 0);
    const plain = connectPlain(weir.port, '127.0.0.1');
    plain.end('GET / HTTP/1.1\r\nHost: shop.example\r\n\r\n');
    const [answer] = (await once(plain.setEncoding('latin1'), 'data')) as [string];
    assert.match(answer, /^HTTP\/1\.1 400 /);
    await until(
      'it to be counted',
      async () => (await weir.metric('weir_connections_rejected_total', { reason: 'preface' })) === 1,
    );
  });

  test('goes on with keys of its own after a takeover: a client pays for a whole handshake once', async () => {
    const { session } = await ask(weir.port, client);
    const workers = weir.workers;
    const ports = { web: weir.port, admin: weir.adminPort };
    weir.signal('SIGKILL');
    await weir.exited;
    assert.ok((await ask(ports.web, { ...client, session: session! })).isResumed, 'the workers have their keys still');
    const second = await Weir.start({ ...options, ports });
    await until('the workers of the first to have left', () => workers.every((pid) => !isAlive(pid)), 15_000, 20);
    await weir.kill();
    weir = second;
    const whole = await ask(ports.web, { ...client, session: session! });
    assert.deepEqual([whole.status, whole.isResumed], [200, false]);
    assert.ok((await ask(ports.web, { ...client, session: whole.session! })).isResumed);
    assert.equal((await get(weir.adminPort, '/readyz')).status, 200);
  });
});
