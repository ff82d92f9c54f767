/**
 * Harm prevented: an endpoint takes one client for another, because a connection that named the first carried what the second said; or it waits for a line that does not
 * come. Requests to a pool whose endpoints are told of the client by a PROXY line, one at a time.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ClientAddress } from '../../src/base/client-address.ts';
import { Peer } from '../../src/io/memory.ts';
import { ProxyLineReader } from '../../src/protocol/proxy-line/proxy-line.ts';
import { BUSY, OK, Scripted } from './scripted.ts';
import type { WorldOptions } from './world.ts';
import { WEB } from './world-plan.ts';

const GET = 'GET / HTTP/1.1\r\nHost: a\r\n\r\n';

class Lines extends Scripted {
  constructor(version: 1 | 2, options: Partial<WorldOptions>) {
    super({ lineVersion: version, ...options });
  }

  client(address: string): Peer {
    return new Peer(this.w.engine).dial(WEB, address);
  }

  /** Runs until this many connections to endpoints have been sent a whole request; returns whom the line of the last one names, and what follows it. */
  told(count: number): [string, string] {
    this.until(() => this.ends.length >= count && split(this.ends[count - 1]!)[1].includes('\r\n\r\n'));
    return split(this.ends[count - 1]!);
  }
}

function split(end: Peer): [string, string] {
  const bytes = end.bytes();
  const [client, server] = [new ClientAddress(), new ClientAddress()];
  const length = new ProxyLineReader().read(bytes, 0, bytes.length, client, server);
  if (length <= 0) return ['', ''];
  return [`${client.text} to ${server.text}:${server.port}`, bytes.subarray(length).toString('latin1')];
}

for (const version of [1, 2] as const) {
  test(`each request has a connection of its own, which begins with the line of version ${version} and ends with the answer`, () => {
    const s = new Lines(version, { endpoints: 1 });
    const one = s.client('10.9.8.7').send(GET);
    const [named, head] = s.told(1);
    assert.equal(named, '10.9.8.7 to 10.0.0.1:80');
    assert.match(head, /^GET \/ HTTP\/1\.1\r\n/);
    assert.match(head, /\r\nConnection: close\r\n/, 'it is the last one there');
    s.ends[0]!.send(OK);
    s.until(() => one.text().endsWith('ok') && s.ends[0]!.hasEnded);
    // The client's own connection stays: for its next request another one is opened.
    s.client('10.6.6.6').send(GET);
    assert.equal(s.told(2)[0], '10.6.6.6 to 10.0.0.1:80');
    one.clear().send(GET);
    assert.equal(s.told(3)[0], '10.9.8.7 to 10.0.0.1:80');
    assert.doesNotMatch(one.text(), /onnection: close/);
  });

  test(`a request that is tried again names its client again, by version ${version}`, () => {
    const s = new Lines(version, { endpoints: 2, retry: { on: ['connect', 'reset', '503'] } });
    const client = s.client('10.9.8.7').send(GET);
    assert.equal(s.told(1)[0], '10.9.8.7 to 10.0.0.1:80');
    s.ends[0]!.send(BUSY);
    assert.equal(s.told(2)[0], '10.9.8.7 to 10.0.0.1:80');
    s.ends[1]!.send(OK);
    s.until(() => client.text().endsWith('ok'));
  });

  test(`both of two tries at once name the client, by version ${version}`, () => {
    const s = new Lines(version, { endpoints: 2, retry: { hedgeMs: 30 } });
    const client = s.client('10.9.8.7').send(GET);
    for (const count of [1, 2]) assert.equal(s.told(count)[0], '10.9.8.7 to 10.0.0.1:80');
    s.ends[1]!.send(OK);
    s.until(() => client.text().endsWith('ok') && s.ends[0]!.closedCount === 1);
  });

  test(`a hedge that takes the place of the first try while it is being connected names the client, by version ${version}`, () => {
    const s = new Lines(version, { endpoints: 2, retry: { hedgeMs: 30 } });
    const client = s.client('10.9.8.7').send(GET);
    s.told(1);
    // A moment after the hedge began, and before its connection is open.
    s.until(() => s.ends.length === 2 || s.w.tally.pool(s.w.plan.pools[0]!.id).hedges === 1);
    s.ends[0]!.close(2);
    assert.equal(s.told(2)[0], '10.9.8.7 to 10.0.0.1:80');
    s.ends[1]!.send(OK);
    s.until(() => client.text().endsWith('ok'));
  });

  test(`a tunnel begins with the line of version ${version}, and is not asked to close`, () => {
    const s = new Lines(version, { endpoints: 1 });
    const client = s
      .client('10.9.8.7')
      .send(
        'GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n',
      );
    const [named, head] = s.told(1);
    assert.equal(named, '10.9.8.7 to 10.0.0.1:80');
    assert.deepEqual(head.match(/\r\nConnection: .*/g), ['\r\nConnection: upgrade']);
    s.ends[0]!.send(
      'HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\nhello',
    );
    s.until(() => client.text().endsWith('hello'));
    client.send('and back');
    s.until(() => s.ends[0]!.text().endsWith('and back'));
  });
}

test('the line names whom a trusted peer speaks for, as logs and policies do', () => {
  const s = new Lines(2, { endpoints: 1, trust: [{ bytes: [10, 9, 0, 0], bits: 16 }] });
  s.client('10.9.8.7').send(GET.replace('\r\n\r\n', '\r\nX-Forwarded-For: 203.0.113.9\r\n\r\n'));
  assert.equal(s.told(1)[0], '203.0.113.9 to 10.0.0.1:80');
  s.client('10.8.8.8').send(GET.replace('\r\n\r\n', '\r\nX-Forwarded-For: 203.0.113.9\r\n\r\n'));
  assert.equal(s.told(2)[0], '10.8.8.8 to 10.0.0.1:80', 'others speak for themselves');
});

test('no connection is opened ahead, or kept without having named anybody', () => {
  const s = new Lines(2, { endpoints: 1, warm: 3 });
  s.w.engine.runFor(1000);
  assert.equal(s.ends.length, 0);
  const client = s.client('10.9.8.7').send(GET);
  const { slot } = s.w.plan.pools[0]!.endpoints[0]!;
  s.until(() => s.w.table.inFlight(slot) === 1);
  client.close(2);
  s.until(() => s.ends.length === 1 && s.ends[0]!.hasEnded);
  assert.equal(s.ends[0]!.receivedBytes, 0, 'the client left before there was a connection to name it on');
});

test('who waits for a connection gets a new one, when one has ended', () => {
  const s = new Lines(2, { endpoints: 1, wiresMax: 1 });
  const clients = ['10.1.1.1', '10.2.2.2', '10.3.3.3'].map((address) => s.client(address));
  clients.forEach((client, i) => {
    client.send(GET);
    s.until(() => s.w.table.poolQueued(s.w.plan.pools[0]!.id) === i);
  });
  const names: string[] = [];
  for (let i = 1; i <= 3; i++) {
    names.push(s.told(i)[0].split(' ')[0]!);
    s.ends[i - 1]!.send(OK);
  }
  s.until(() => clients.every((client) => client.text().endsWith('ok')));
  assert.deepEqual(names.sort(), ['10.1.1.1', '10.2.2.2', '10.3.3.3']);
});

test('a plan that asks for the line, or does without it again, lets no connection of before be used', () => {
  const s = new Lines(2, { endpoints: 1 });
  const [pool] = s.w.plan.pools;
  const use = (epoch: number, proxyProtocol: 0 | 2) => s.w.use({ ...s.w.plan, epoch, pools: [{ ...pool!, proxyProtocol }] });
  const client = s.client('10.9.8.7');
  const ask = () => client.clear().send(GET);
  const answered = (at: number) => {
    s.ends[at]!.clear().send(OK);
    s.until(() => client.text().endsWith('ok'));
  };
  use(2, 0);
  ask();
  s.asked(1);
  answered(0);
  use(3, 2);
  s.until(() => s.ends[0]!.hasEnded);
  use(4, 0);
  ask();
  s.asked(2);
  // One is under way without a line when the line comes, and one with a line when it goes.
  use(5, 2);
  answered(1);
  ask();
  assert.equal(s.told(3)[0], '10.9.8.7 to 10.0.0.1:80');
  use(6, 0);
  answered(2);
  ask();
  s.asked(4);
  answered(3);
  ask();
  s.until(() => s.ends[3]!.text() !== '');
  assert.equal(s.ends.length, 4, 'without lines connections are kept');
});

test('a request whose client cannot be named for lack of memory is not sent', () => {
  const s = new Lines(1, { endpoints: 1 });
  const client = s.client('10.9.8.7').send(GET);
  const { slot } = s.w.plan.pools[0]!.endpoints[0]!;
  s.until(() => s.w.table.inFlight(slot) === 1);
  s.w.engine.blocks.failIn = 1;
  s.until(() => client.text().includes('\r\n\r\n'));
  assert.match(client.text(), /^HTTP\/1\.1 503 /);
  assert.equal(s.ends.map((end) => end.text()).join(''), '');
});
