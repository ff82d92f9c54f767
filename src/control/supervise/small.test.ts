import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { after, test } from 'node:test';
import type { UpMessage } from '../../state/channel.ts';
import { plainListener } from '../../state/plain-pool.ts';
import type { Plan } from '../../state/plan.ts';
import { AF_UNIX, MSG_DONTWAIT, SOCK_CLOEXEC, SOCK_DGRAM } from '../../sys/constants.generated.ts';
import { bind, close, low, recv, socket } from '../../sys/libc.ts';
import { banner, tryAddress } from './banner.ts';
import { EVENTS_KEPT, makeEventLog } from './events.ts';
import { readLines } from './lines.ts';
import { Notifier } from './notify.ts';
import { Turns } from './turns.ts';

const folder = mkdtempSync(join(tmpdir(), 'weir-small-'));
after(() => rmSync(folder, { recursive: true }));

test('turns: one at a time, and what is asked meanwhile is done once more', async () => {
  const ends: (() => void)[] = [];
  let running = 0;
  const turns = new Turns(async () => {
    running++;
    assert.equal(running, 1, 'never two');
    await new Promise<void>((resolve) => ends.push(resolve));
    running--;
    return ends.length;
  });
  const first = turns.ask();
  const meanwhile = [turns.ask(), turns.ask(), turns.ask()];
  ends[0]!();
  assert.equal(await first, 1);
  while (ends.length < 2) await Promise.resolve();
  ends[1]!();
  assert.deepEqual(await Promise.all(meanwhile), [2, 2, 2]);
  const later = turns.ask();
  while (ends.length < 3) await Promise.resolve();
  ends[2]!();
  assert.equal(await later, 3);
});

test('turns: a failed run does not stop the next', async () => {
  let count = 0;
  const turns = new Turns(async () => {
    if (++count === 1) throw new Error('x');
    return count;
  });
  const first = turns.ask();
  const second = turns.ask();
  await assert.rejects(first);
  assert.equal(await second, 2);
  assert.equal(await turns.ask(), 3);
});

test('lines: messages cut at any byte are put together, and what is no message breaks the channel once', () => {
  const text = '{"type":"ready","epoch":1}\n{"type":"event","level":"info","msg":"ü","fields":{}}\n';
  const bytes = Buffer.from(text);
  for (let cut = 0; cut <= bytes.length; cut++) {
    const stream = new PassThrough();
    const seen: UpMessage[] = [];
    readLines(
      stream,
      (message) => seen.push(message),
      () => assert.fail('broken'),
    );
    stream.emit('data', '');
    stream.write(bytes.subarray(0, cut));
    stream.write(bytes.subarray(cut));
    stream.read();
    assert.deepEqual(
      seen.map(({ type }) => type),
      ['ready', 'event'],
    );
  }
  let broken = 0;
  const stream = new PassThrough();
  readLines(
    stream,
    () => {},
    () => broken++,
  );
  stream.write('hello\nhello\n');
  assert.equal(broken, 1);
});

test('events: JSON for programs, text for eyes, a priority for the journal; the latest are kept', () => {
  const lines: string[] = [];
  const write = (line: string) => void lines.push(line);
  const log = makeEventLog({ isTerminal: false, color: false, isJournal: true, write });
  log.warn('endpoint_down', 'endpoint a is down', { pool: 'web' });
  assert.ok(lines[0]!.startsWith('<4>{'));
  const { time: _, ...rest } = JSON.parse(lines[0]!.slice(3));
  assert.deepEqual(rest, { level: 'warn', event: 'endpoint_down', pool: 'web', msg: 'endpoint a is down' });
  makeEventLog({ isTerminal: true, color: false, isJournal: false, write }).error('x', 'it broke', {
    why: 'two words',
    none: null,
  });
  assert.match(lines[1]!, /^ {2}\d\d:\d\d:\d\d error it broke {2}why="two words"\n$/);
  const heard: string[] = [];
  const stop = log.subscribe(({ event }) => heard.push(event));
  for (let i = 0; i < EVENTS_KEPT; i++) log.info(`e${i}`, '');
  stop();
  log.info('last', '');
  assert.equal(log.recent().length, EVENTS_KEPT);
  assert.equal(log.recent().at(-1)!.event, 'last');
  assert.equal(heard.length, EVENTS_KEPT);
});

test('notify: messages arrive at NOTIFY_SOCKET as one datagram each; without it nothing happens', () => {
  const path = join(folder, 'notify');
  const fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC);
  assert.equal(bind(fd, { kind: 'unix', path }), 0);
  const notifier = new Notifier({ NOTIFY_SOCKET: path, WATCHDOG_USEC: '10000000' });
  assert.equal(notifier.watchdogMs, 5000);
  notifier.tell('READY=1', 'STATUS=well');
  const length = recv(fd, low.address, 100, MSG_DONTWAIT);
  assert.equal(Buffer.from(low.bytes.subarray(0, Math.max(0, length))).toString(), 'READY=1\nSTATUS=well');
  notifier.close();
  close(fd);
  const mute = new Notifier({ WATCHDOG_USEC: '10000000' });
  assert.equal(mute.watchdogMs, 0);
  mute.tell('READY=1');
});

test('banner: says what listens, where it goes, and what to try', () => {
  const address = { kind: 'ip', host: '0.0.0.0', port: 8080 } as const;
  const pool = {
    name: 'web',
    endpoints: [{}, {}],
    balance: { algorithm: 'round-robin' },
    health: { active: { intervalMs: 2000 } },
  };
  const to = { pools: [{ pool: 0, weight: 1 }] };
  const listener = { ...plainListener, name: 'web', addresses: [address], to, redirectToHttps: false };
  const dns = {
    ...plainListener,
    name: 'dns',
    protocol: 'udp',
    addresses: [address],
    to,
    streams: [{ name: 'listener/dns', target: to }],
  };
  const plan = { listeners: [dns, listener], pools: [pool], routes: [] } as unknown as Plan;
  const moved = { ...address, port: 8081 };
  const text = banner({
    version: '1.0.0',
    engine: 'uring',
    workers: 1,
    readyMs: 184.2,
    plan,
    boundTo: () => moved,
    admin: [],
    notes: ['a note'],
    color: false,
  });
  assert.match(text, /weir 1\.0\.0 {2}node \d+\.\d+ {2}io_uring, 1 worker +ready in 184 ms/);
  assert.match(text, /web +http:\/\/0\.0\.0\.0:8081 +-> {2}2 endpoints, round-robin, checked every 2s/);
  assert.match(text, /dns +udp:\/\/0\.0\.0\.0:8081 +-> {2}2 endpoints/);
  assert.match(text, /a note/);
  assert.match(text, /curl localhost:8081/);
  assert.equal(tryAddress({ kind: 'ip', host: '::1', port: 80 }), '[::1]:80');
});

test('banner: what is in TLS is tried in TLS', () => {
  const address = { kind: 'ip', host: '0.0.0.0', port: 8443 } as const;
  const tls = { certificates: [], minVersion: '1.2', alpn: [], strictSni: false, handshakeMs: 1, handshakesMax: 0 } as const;
  const common = { ...plainListener, addresses: [address], to: { pools: [] }, redirectToHttps: false, tls };
  const listeners = [
    { ...common, name: 'db', protocol: 'tcp' },
    { ...common, name: 'web' },
  ];
  const plan = { listeners, pools: [], routes: [] } as unknown as Plan;
  const parts = { version: '1.0.0', engine: 'uring', workers: 1, readyMs: 1, admin: [], notes: [], color: false };
  const text = banner({ ...parts, plan, boundTo: () => address });
  assert.match(text, /db +tls:\/\/0\.0\.0\.0:8443 +-> /);
  assert.match(text, /web +https:\/\/0\.0\.0\.0:8443 +-> /);
  assert.match(text, /try +curl -k https:\/\/localhost:8443\n/);
});
