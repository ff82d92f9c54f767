/**
 * Harm prevented: a protocol that works without weir does not work through it: the server that speaks first, the client that is silent for hours, the answer of
 * many megabytes, the two sides that talk at once.
 */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { type TestContext, test } from 'node:test';
import { Prng } from '../../src/base/prng.ts';
import { connect, type Peer, ScriptedEndpoint } from '../support/peer.ts';
import { finish, folderOf, missing, nobody, run, start } from '../support/programs.ts';
import { descriptorGuard, dialMany, streamConfig } from '../support/streams.ts';
import { freePort } from '../support/system.ts';
import { until } from '../support/wait.ts';
import { Weir } from '../support/weir.ts';

/** weir before this address. */
async function weirBefore(
  t: TestContext,
  address: string,
  more: Parameters<typeof streamConfig>[2] = {},
  workers = 1,
): Promise<Weir> {
  const weir = await Weir.start({ workers, config: (ports) => streamConfig(ports, [address], more) });
  t.after(() => weir.kill());
  return weir;
}

test('PostgreSQL: queries, TLS asked for and refused, 20 MB of rows out and in, many sessions, a query that is cancelled', {
  skip: missing('postgres', 'initdb', 'psql'),
}, async (t) => {
  const folder = folderOf(t);
  const port = await freePort();
  const store = `${folder}/store`;
  run('initdb', ['-D', store, '-A', 'trust', '-N', '-U', 'weir', '--no-instructions'], { cwd: folder, ...nobody });
  const settings = ['listen_addresses=127.0.0.1', `unix_socket_directories=${folder}`, 'fsync=off'];
  start(t, 'postgres', ['-D', store, '-p', String(port), ...settings.flatMap((each) => ['-c', each])], {
    cwd: folder,
    ...nobody,
  });
  const weir = await weirBefore(
    t,
    `127.0.0.1:${port}`,
    { pool: { health: { active: { type: 'postgres', interval: '200ms' } } } },
    2,
  );
  const psql = (sql: string, more: Parameters<typeof finish>[3] = {}) =>
    finish(t, 'psql', ['-h', '127.0.0.1', '-p', String(weir.port), '-U', 'weir', '-d', 'postgres', '-AtXq', '-c', sql], more);
  await until('the server', async () => (await psql('select 1')).out === '1\n', 20_000, 100);
  // Without TLS on the server: psql asks (SSLRequest), is told no, and goes on, or gives up where it must not.
  assert.equal((await psql('select ssl from pg_stat_ssl where pid = pg_backend_pid()')).out, 'f\n');
  const refused = await psql('select 1', { environment: { PGSSLMODE: 'require' } });
  assert.match(refused.err, /server does not support SSL/);
  const rows = await psql('select repeat(chr(97 + n % 26), 1000) from generate_series(0, 19999) n');
  const wanted = Array.from({ length: 20_000 }, (_, n) => `${String.fromCharCode(97 + (n % 26)).repeat(1000)}\n`).join('');
  assert.equal(createHash('md5').update(rows.out).digest('hex'), createHash('md5').update(wanted).digest('hex'));
  await psql('create table t (line text)');
  await psql('copy t from stdin', { input: wanted });
  assert.equal((await psql('select count(*), sum(length(line)) from t')).out, '20000|20000000\n');
  const sessions = await Promise.all(Array.from({ length: 12 }, (_, n) => psql(`select pg_sleep(0.2), ${n}`)));
  assert.deepEqual(
    sessions.map(({ out }) => out),
    Array.from({ length: 12 }, (_, n) => `|${n}\n`),
  );
  const sleeper = psql('set statement_timeout to 0; select pg_sleep(600)');
  const asleep = "from pg_stat_activity where query like '%pg_sleep(600)' and pid <> pg_backend_pid()";
  await until('the query to run', async () => (await psql(`select count(*) ${asleep}`)).out === '1\n', 10_000, 50);
  await psql(`select pg_cancel_backend(pid) ${asleep}`);
  assert.match((await sleeper).err, /canceling statement due to user request/);
  assert.ok(!((await weir.metric('weir_faults_total', { origin: 'endpoint' })) > 0));
  await weir.stop();
});

test('PostgreSQL over TLS of its own: the handshake that begins inside the connection passes', {
  skip: missing('postgres', 'initdb', 'psql', 'openssl'),
}, async (t) => {
  const folder = folderOf(t);
  const port = await freePort();
  const store = `${folder}/store`;
  run('initdb', ['-D', store, '-A', 'trust', '-N', '-U', 'weir', '--no-instructions'], { cwd: folder, ...nobody });
  const pair = ['-keyout', `${folder}/key.pem`, '-out', `${folder}/cert.pem`];
  run('openssl', ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '1', '-subj', '/CN=db.test', ...pair], nobody);
  const tls = ['ssl=on', `ssl_cert_file=${folder}/cert.pem`, `ssl_key_file=${folder}/key.pem`];
  const settings = ['listen_addresses=127.0.0.1', `unix_socket_directories=${folder}`, 'fsync=off', ...tls];
  start(t, 'postgres', ['-D', store, '-p', String(port), ...settings.flatMap((each) => ['-c', each])], {
    cwd: folder,
    ...nobody,
  });
  const weir = await weirBefore(t, `127.0.0.1:${port}`);
  const words = ['-h', '127.0.0.1', '-p', String(weir.port), '-U', 'weir', '-d', 'postgres', '-AtXq', '-c'];
  const environment = { PGSSLMODE: 'require' };
  const isEncrypted = 'select ssl from pg_stat_ssl where pid = pg_backend_pid()';
  await until(
    'an encrypted session',
    async () => (await finish(t, 'psql', [...words, isEncrypted], { environment })).out === 't\n',
    20_000,
    100,
  );
  const { out } = await finish(t, 'psql', [...words, "select repeat('x', 3000000)"], { environment });
  assert.equal(out.length, 3_000_001);
  await weir.stop();
});

test('Redis: ten thousand commands ahead of their answers, and a subscriber that waits', {
  skip: missing('redis-server', 'redis-cli'),
}, async (t) => {
  const port = await freePort();
  start(t, 'redis-server', ['--port', String(port), '--bind', '127.0.0.1', '--save', '', '--dir', folderOf(t)]);
  const weir = await weirBefore(t, `127.0.0.1:${port}`, { pool: { health: { active: { type: 'redis', interval: '200ms' } } } });
  const cli = (...words: string[]) => finish(t, 'redis-cli', ['-p', String(weir.port), ...words]);
  await until('the server', async () => (await cli('ping')).out === 'PONG\n', 20_000, 50);
  const guard = descriptorGuard(weir);
  const count = 10_000;
  const commands = Array.from({ length: count }, (_, n) => `SET key${n} ${'v'.repeat(1 + (n % 300))}\r\n`).join('');
  const piped = await finish(t, 'redis-cli', ['-p', String(weir.port), '--pipe'], { input: commands });
  assert.match(piped.out, new RegExp(`errors: 0, replies: ${count}`));
  assert.equal((await cli('dbsize')).out, `${count}\n`);
  const value = 'w'.repeat(5_000_000);
  await finish(t, 'redis-cli', ['-p', String(weir.port), '-x', 'set', 'big'], { input: value });
  assert.equal((await cli('get', 'big')).out, `${value}\n`);
  const subscriber = start(t, 'redis-cli', ['-p', String(weir.port), 'subscribe', 'news']);
  let heard = '';
  subscriber.stdout!.setEncoding('utf8').on('data', (text) => (heard += text));
  await until('the subscription', async () => (await cli('pubsub', 'numsub', 'news')).out === 'news\n1\n', 15_000, 50);
  for (let n = 0; n < 20; n++) assert.equal((await cli('publish', 'news', `item ${n}`)).out, '1\n');
  await until('the last item', () => heard.includes('item 19\n'));
  assert.deepEqual(
    [...heard.matchAll(/item (\d+)/g)].map(([, n]) => Number(n)),
    Array.from({ length: 20 }, (_, n) => n),
  );
  subscriber.kill('SIGKILL');
  assert.ok(!((await weir.metric('weir_faults_total', { origin: 'endpoint' })) > 0));
  await guard();
  await weir.stop();
});

/** An SMTP server, as far as its words go. */
async function mailServer(peer: Peer): Promise<void> {
  peer.send('220 mail.test ESMTP\r\n');
  await peer.expect('EHLO client.test\r\n');
  peer.send('250-mail.test\r\n250 PIPELINING\r\n');
  await peer.expect('DATA\r\n');
  peer.send('250 ok\r\n250 ok\r\n354 go ahead\r\n');
  await peer.expect('\r\n.\r\n');
  peer.send('250 queued\r\n');
  await peer.expect('QUIT\r\n');
  peer.send('221 bye\r\n');
  peer.sendEnd();
}

for (const [name, listener] of [
  ['at once on a listener of connections', {}],
  ['after the sniffing time where first bytes are looked at', { protocol: 'auto', sniffTimeout: '200ms' }],
] as const)
  test(`SMTP: the server that speaks first is heard ${name}`, async (t) => {
    const server = await ScriptedEndpoint.start(mailServer);
    t.after(() => server.close());
    const weir = await weirBefore(t, server.address, { listener });
    const guard = descriptorGuard(weir);
    const client = await connect(weir.port);
    await client.expect('220 mail.test ESMTP\r\n');
    client.send('EHLO client.test\r\n');
    await client.expect('250 PIPELINING\r\n');
    client.send('MAIL FROM:<a@client.test>\r\nRCPT TO:<b@mail.test>\r\nDATA\r\n');
    await client.expect('354 go ahead\r\n');
    client.send(`Subject: hello\r\n\r\n${'line\r\n'.repeat(20_000)}.\r\n`);
    await client.expect('250 queued\r\n');
    client.send('QUIT\r\n');
    await client.expect('221 bye\r\n');
    assert.equal(await client.ended(), 'fin');
    await client.close();
    await guard();
    await weir.stop();
  });

test('SSH-like: both sides begin at once, talk over each other for a while, and end one after the other', async (t) => {
  const SESSIONS = 16;
  const BANNER = 'SSH-2.0-weir\r\n';
  /** What a side says: seeded, in pieces of any size, with pauses, one after the other. */
  const talk = async (peer: Peer, seed: number, pieces: number): Promise<string> => {
    const random = new Prng(seed);
    const hash = createHash('sha256');
    for (let i = 0; i < pieces; i++) {
      const piece = Buffer.from(Array.from({ length: 1 + random.below(i % 7 === 0 ? 60_000 : 200) }, () => random.below(256)));
      hash.update(piece);
      peer.send(piece);
      await new Promise((resolve) => setTimeout(resolve, random.below(12)));
    }
    return hash.digest('hex');
  };
  const heardBy = (peer: Peer): string =>
    createHash('sha256').update(Buffer.from(peer.received, 'latin1').subarray(BANNER.length)).digest('hex');
  const said: string[] = [];
  const server = await ScriptedEndpoint.start(async (peer, index) => {
    peer.send(BANNER);
    await peer.expect(BANNER);
    said[index] = await talk(peer, 1000 + index, 60);
    // The exit status comes after the client has ended.
    await until('the end of the client', () => peer.ending === 'fin', 60_000);
    peer.send('exit 0');
    peer.sendEnd();
  });
  t.after(() => server.close());
  const weir = await weirBefore(t, server.address, {}, 2);
  const guard = descriptorGuard(weir);
  await Promise.all(
    Array.from({ length: SESSIONS }, async (_, i) => {
      const client = await connect(weir.port);
      client.send(BANNER);
      await client.expect(BANNER);
      const mine = await talk(client, i, 60);
      client.sendEnd();
      await client.expect(/exit 0$/, 60_000);
      assert.equal(await client.ended(), 'fin');
      const index = server.peers.findIndex((peer) => heardBy(peer) === mine);
      assert.ok(index >= 0, `what client ${i} said arrived exactly`);
      const all = Buffer.from(client.received, 'latin1');
      const heard = createHash('sha256')
        .update(all.subarray(BANNER.length, all.length - 'exit 0'.length))
        .digest('hex');
      assert.equal(heard, said[index]);
      await client.close();
    }),
  );
  await guard();
  assert.equal(await weir.metric('weir_connections_total', { protocol: 'tcp' }), SESSIONS);
  await weir.stop();
});

test('MQTT-like: who sends keep-alives stays, who does not is let go with a reason, and both cost little', async (t) => {
  const PINGREQ = '\xc0\x00';
  const PINGRESP = '\xd0\x00';
  const server = await ScriptedEndpoint.start((peer) => {
    peer.socket.on('data', (chunk: Buffer) => {
      for (let i = 0; i + 1 < chunk.length; i += 2) if (chunk[i] === 0xc0) peer.send(PINGRESP);
    });
  });
  t.after(() => server.close());
  const weir = await weirBefore(t, server.address, { listener: { timeouts: { idle: '3s' } } });
  const guard = descriptorGuard(weir);
  const alive = await dialMany(weir.port, 60);
  const silent = await dialMany(weir.port, 40);
  await until('all to be connected', () => server.peers.length === 100);
  let pings = 0;
  const pinging = setInterval(() => {
    pings++;
    for (const client of alive) client.send(PINGREQ);
  }, 250);
  t.after(() => clearInterval(pinging));
  await until('the silent ones to be let go', () => silent.every(({ ending }) => ending !== 'open'));
  assert.ok(silent.every(({ ending }) => ending === 'reset'));
  await until('two idle times to pass', () => pings >= 24, 60_000);
  clearInterval(pinging);
  await until('every answer', () => alive.every(({ received }) => received === PINGRESP.repeat(pings)));
  assert.equal(await weir.metric('weir_faults_total', { reason: 'idle_timeout' }), silent.length);
  for (const client of alive) client.reset();
  await guard();
  await weir.stop();
});
