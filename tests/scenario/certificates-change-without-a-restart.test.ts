/**
 * Harm prevented: a renewed certificate that takes a restart, a slip while renewing that takes the listener down, and a key that can be read in a log, an answer, a file or the
 * list of processes.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { connect, type TLSSocket } from 'node:tls';
import { issueCertificate } from '../support/certificate.ts';
import { type CertificateFiles, makeCertificates, writeIssued } from '../support/certificates.ts';
import { command } from '../support/command.ts';
import { listenOn } from '../support/servers.ts';
import { until } from '../support/wait.ts';
import { simpleConfig, Weir, type WeirConfig } from '../support/weir.ts';

const NAME = 'shop.example';

/** A connection after its handshake; whom it trusts is not the matter here. */
async function dial(port: number): Promise<TLSSocket> {
  const socket = connect({ port, host: '127.0.0.1', servername: NAME, rejectUnauthorized: false });
  socket.on('error', () => {});
  await once(socket, 'secureConnect');
  return socket;
}

/** Serial number of the certificate that a new client gets. */
async function shown(port: number): Promise<string> {
  const socket = await dial(port);
  const { serialNumber } = socket.getPeerCertificate();
  socket.destroy();
  return serialNumber;
}

async function ask(socket: TLSSocket): Promise<string> {
  socket.write(`GET / HTTP/1.1\r\nHost: ${NAME}\r\n\r\n`);
  const [bytes] = (await once(socket, 'data')) as [Buffer];
  return bytes.toString('latin1').split('\r\n')[0]!;
}

async function start(t: TestContext, { certificate, key }: CertificateFiles, args: string[] = [], top: object = {}) {
  const folder = mkdtempSync(join(tmpdir(), 'weir-renewal-'));
  const endpoint = await listenOn(createServer((_, response) => response.end('ok')));
  t.after(() => {
    endpoint.close();
    rmSync(folder, { recursive: true, force: true });
  });
  let config: WeirConfig = {};
  const weir = await Weir.start({
    folder,
    args,
    workers: 2,
    environment: { WEIR_RUNTIME_DIR: join(folder, 'run') },
    config: (ports) => {
      config = simpleConfig(ports, [endpoint.address], {
        listener: { protocol: 'https', tls: true },
        top: { certificates: { shop: { files: { certificate, key } } }, ...top },
      });
      return config;
    },
  });
  t.after(() => weir.kill());
  return { weir, folder, config };
}

test('a certificate that is replaced on disk is served within moments, a half-written pair is not, and connections go on', async (t) => {
  const files = mkdtempSync(join(tmpdir(), 'weir-renewed-'));
  t.after(() => rmSync(files, { recursive: true }));
  const paths = writeIssued(files, 'shop', issueCertificate({ names: [NAME], untilDays: 90 }));
  const { weir } = await start(t, paths, ['--watch']);
  const before = await shown(weir.port);
  const kept = await dial(weir.port);
  assert.equal(await ask(kept), 'HTTP/1.1 200 OK');

  const next = issueCertificate({ names: [NAME], untilDays: 90 });
  // By a rename, as programs that renew do it: first the certificate.
  const replace = (path: string, text: string): void => {
    writeFileSync(`${path}.new`, text, { mode: 0o600 });
    renameSync(`${path}.new`, path);
  };
  replace(paths.certificate, next.cert);
  await until('the half of a pair to be refused', () => weir.events('reload_refused').length === 1);
  assert.match(String(weir.events('reload_refused')[0]!['faults']), /shop\.key is not the key of the certificate in .*shop\.crt/);
  assert.equal(await shown(weir.port), before);
  assert.equal(await weir.metric('weir_config_last_reload_successful'), 0);

  replace(paths.key, next.key);
  await until('the new certificate', async () => (await shown(weir.port)) !== before);
  // A worker may have it before all have, and what is said may be read after what is served.
  await until('the reload to be told', () => weir.events('reloaded').length > 0);
  assert.equal(weir.events('reloaded').length, 1);
  assert.equal(await ask(kept), 'HTTP/1.1 200 OK', 'who was connected stays so');
  assert.deepEqual(weir.events('worker_died'), []);
  kept.destroy();
  await weir.stop();
});

test('HUP reads certificates anew; one that is broken leaves the old one in force, and weir says what is wrong', async (t) => {
  const files = mkdtempSync(join(tmpdir(), 'weir-renewed-'));
  t.after(() => rmSync(files, { recursive: true }));
  const paths = writeIssued(files, 'shop', issueCertificate({ names: [NAME], fromDays: -80, untilDays: 9.5 }));
  const { weir, config } = await start(t, paths);
  const before = await shown(weir.port);
  await until('the end to be told', () => weir.events('certificate_expires').length === 1);

  writeFileSync(paths.certificate, 'half of a cert');
  weir.signal('SIGHUP');
  await until('the refusal', () => weir.events('reload_refused').length === 1);
  assert.match(String(weir.events('reload_refused')[0]!['faults']), /holds no certificate in PEM/);
  assert.equal(await shown(weir.port), before);
  // By the configuration, which has an admin address whatever its certificates are.
  const status = await command('status', '-c', weir.configPath);
  assert.match(status.out, /the configuration that was last loaded is not in force/);
  assert.match(status.out, /certificate shop expires in 9 days/);

  const next = writeIssued(files, 'shop', issueCertificate({ names: [NAME], untilDays: 89.98 }));
  await weir.reload(config);
  assert.notEqual(await shown(weir.port), before);
  assert.equal(weir.events('certificate_expires').length, 1, 'the new one has time');
  const listed = await command('get', 'certificates', '-o', 'wide', '-a', `127.0.0.1:${weir.adminPort}`);
  assert.match(listed.out, new RegExp(`^shop +${NAME} +valid +in 89d 23h +web +.* ${next.certificate} `, 'm'));
  await weir.stop();
});

test('a key is in no answer, no log, no file and no list of processes', async (t) => {
  const files = mkdtempSync(join(tmpdir(), 'weir-secret-'));
  t.after(() => rmSync(files, { recursive: true }));
  const made = makeCertificates(files);
  // One from a file, and one that stands in the config itself.
  const inline = { files: { certificate: made.internal.certificatePem, key: made.internal.keyPem } };
  const paths = { certificate: made.shop.certificate, key: made.shop.key };
  const certificates = { shop: { files: paths }, inside: inline };
  const { weir, folder, config } = await start(t, made.shop, [], { certificates });
  // What any part of it would give away.
  const secrets = [made.shop, made.internal].map(({ keyPem }) => keyPem.split('\n')[1]!.slice(16, 48));
  assert.ok(secrets.every((secret) => secret.length >= 24));
  const holds = (text: string): boolean => secrets.some((secret) => text.includes(secret)) || text.includes('PRIVATE KEY');
  const clean = (what: string, text: string): void => {
    assert.ok(text.length > 0, what);
    assert.ok(!holds(text), `${what} shows a key`);
  };
  assert.match(await shown(weir.port), /^[0-9A-F]{16,}$/);

  // A fault of the very line on which the key stands.
  const broken = {
    ...config,
    certificates: { ...certificates, inside: { files: { ...inline.files, certificate: made.shop.certificatePem } } },
  };
  weir.writeConfig(broken);
  weir.signal('SIGHUP');
  await until('the refusal', () => weir.events('reload_refused').length === 1);
  const { out, err } = await command('check', '-c', weir.configPath);
  clean('check', out + err);
  await weir.reload(config);

  for (const kind of ['config', 'certificates', 'listeners', 'routes', 'pools', 'endpoints', 'workers', 'requests', 'status']) {
    const { status, body } = await weir.admin(`/api/v1/${kind}`);
    assert.equal(status, 200, kind);
    clean(kind, body);
  }
  for (const path of ['/metrics', '/readyz?verbose']) clean(path, (await weir.admin(path)).body);
  for (const source of [
    ['-a', `127.0.0.1:${weir.adminPort}`],
    ['-c', weir.configPath],
  ])
    clean('explain', (await command('explain', `https://${NAME}/`, '--listener', 'web', '--json', ...source)).out);

  // A worker that dies tells nothing either, and its successor gets its keys anew.
  process.kill(weir.workers[0]!, 'SIGKILL');
  await until('the successor', () => weir.events('worker_died').length === 1 && weir.workers.length === 2);
  for (const pid of [weir.pid, ...weir.workers])
    for (const file of ['cmdline', 'environ']) clean(`${file} of ${pid}`, readFileSync(`/proc/${pid}/${file}`, 'latin1'));
  for (const entry of readdirSync(join(folder, 'run'), { recursive: true, withFileTypes: true }))
    if (entry.isFile()) clean(entry.name, readFileSync(join(entry.parentPath, entry.name), 'latin1'));
  await weir.stop();
  clean('the log', weir.stdout + weir.stderr);
});
