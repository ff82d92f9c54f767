/**
 * Harm prevented: an endpoint blamed for what another did, a slow endpoint that slows every client down, a retry that comes too early, too late or twice. One request at a
 * time against endpoints that do what the test says.
 */
import assert from 'node:assert/strict';
import { constants } from 'node:os';
import { test } from 'node:test';
import { fault } from '../../src/base/faults.ts';
import { admin } from '../../src/state/doors.ts';
import { BUSY, OK, Scripted } from './scripted.ts';

const GET = 'GET / HTTP/1.1\r\nHost: a\r\n\r\n';

class Tries extends Scripted {
  readonly slots = this.w.plan.pools[0]!.endpoints.map((e) => e.slot);

  pool() {
    return this.w.tally.pool(this.w.plan.pools[0]!.id);
  }

  /** Of all endpoints: answers by class, faults, response times measured. */
  sums() {
    const sum = { answers: [0, 0, 0, 0, 0, 0], faults: 0, gateway: 0, timed: 0 };
    for (const slot of this.slots) {
      const tally = this.w.tally.slot(slot);
      for (let i = 0; i < 6; i++) sum.answers[i]! += tally.classes[i]!;
      sum.faults += tally.faults;
      sum.gateway += tally.gateway;
      sum.timed += Array.from(tally.responseTimes)
        .slice(0, -1)
        .reduce((a, b) => a + b, 0);
    }
    return sum;
  }
}

test('a slow first try is overtaken by the hedge: one answer, and the loser counts neither as a failure nor as a response time', () => {
  const s = new Tries({ endpoints: 2, retry: { hedgeMs: 50 } });
  const client = s.w.peer().send(GET);
  const first = s.asked(1);
  const sentMs = s.w.engine.now;
  const second = s.asked(2);
  const afterMs = s.w.engine.now - sentMs;
  assert.ok(afterMs >= 50 && afterMs < 75, `the hedge came after ${afterMs} ms`);
  second.send('HTTP/1.1 103 Early Hints\r\n\r\n');
  s.w.engine.runFor(10);
  assert.equal(client.text(), '', 'interim heads of a try that may lose go nowhere');
  second.send(OK);
  s.until(() => client.text().endsWith('ok') && first.closedCount === 1);
  first.send(OK);
  s.w.engine.runFor(100);
  assert.equal(client.text().match(/HTTP\/1\.1/g)!.length, 1);
  assert.deepEqual([s.pool().hedges, s.pool().hedgesWon], [1, 1]);
  assert.deepEqual(s.sums(), { answers: [1, 0, 1, 0, 0, 0], faults: 0, gateway: 0, timed: 1 });
  for (const slot of s.slots) assert.equal(s.w.table.inFlight(slot), 0);
});

test('the first try answers after the hedge began: it wins, and the hedge is cancelled', () => {
  const s = new Tries({ endpoints: 2, retry: { hedgeMs: 50 } });
  const client = s.w.peer().send(GET);
  const first = s.asked(1);
  const second = s.asked(2);
  first.send(OK);
  s.until(() => client.text().endsWith('ok') && second.closedCount === 1);
  assert.deepEqual([s.pool().hedges, s.pool().hedgesWon], [1, 0]);
  assert.deepEqual(s.sums(), { answers: [1, 0, 1, 0, 0, 0], faults: 0, gateway: 0, timed: 1 });
});

test('one of two tries fails: the other goes on alone, whichever it is', () => {
  for (const failing of [0, 1]) {
    const s = new Tries({ endpoints: 2, retry: { hedgeMs: 50 } });
    const client = s.w.peer().send(GET);
    s.asked(2);
    s.ends[failing]!.close();
    s.w.engine.runFor(20);
    assert.equal(client.text(), '');
    s.ends[1 - failing]!.send(OK);
    s.until(() => client.text().endsWith('ok'));
    assert.equal(s.sums().faults, 1);
    s.w.engine.runFor(100);
    assert.equal(s.ends.length, 2, 'nothing is tried again');
  }
});

test('both tries fail: the fault of the first is the answer, and a third try is made only where there may be one', () => {
  for (const attempts of [2, 3]) {
    const s = new Tries({ endpoints: 3, retry: { attempts, hedgeMs: 50, backoffMs: 0 } });
    const client = s.w.peer().send(GET);
    s.asked(2);
    s.ends[0]!.close();
    s.w.engine.runFor(20);
    s.ends[1]!.send('WAT\r\n\r\n');
    if (attempts === 3) {
      s.asked(3).send(OK);
      s.until(() => client.text().endsWith('ok'));
    } else {
      s.until(() => client.text().includes('\r\n\r\n'));
      assert.match(client.text(), /^HTTP\/1\.1 502 /);
      assert.match(client.text(), /reason: connection_terminated/);
    }
  }
});

test('the client leaves while two tries are under way: both are cancelled', () => {
  const s = new Tries({ endpoints: 2, retry: { hedgeMs: 50 } });
  const client = s.w.peer().send(GET);
  s.asked(2);
  client.close(2);
  s.until(() => s.ends.every((end) => end.closedCount === 1));
  assert.equal(s.sums().faults, 0);
  for (const slot of s.slots) assert.equal(s.w.table.inFlight(slot), 0);
});

test('no hedge for a body, for a method that is not idempotent, for an upgrade, or to the same endpoint', () => {
  const requests = [
    'PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx',
    'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n',
    UPGRADE,
  ];
  for (const [request, endpoints] of [...requests.map((r) => [r, 2] as const), [GET, 1] as const]) {
    const s = new Tries({ endpoints, retry: { hedgeMs: 20 } });
    const client = s.w.peer().send(request);
    s.asked(1);
    s.w.engine.runFor(500);
    assert.equal(s.ends.length, 1, request);
    s.ends[0]!.send(OK);
    s.until(() => client.text().endsWith('ok'));
  }
});

test('a 503 and then a refused connection count as one 503 and one fault', () => {
  const s = new Tries({ endpoints: 1, refusing: 1, retry: { on: ['connect', '503'] } });
  for (let i = 0; i < 8; i++) {
    const client = s.w.peer().send(GET);
    s.until(() => {
      for (const end of s.ends) if (end.text() !== '') end.clear().send(BUSY);
      return client.text().includes('\r\n\r\n');
    });
    client.close();
    s.w.engine.runFor(1200);
  }
  const { answers, gateway, faults } = s.sums();
  assert.equal(answers[5], gateway);
  assert.ok(gateway >= 8, `${gateway} answers`);
  assert.ok(faults > 0, 'some tries were refused');
  assert.equal(gateway, s.w.tally.slot(s.slots[0]!).gateway, 'the one that refuses answered nothing');
  assert.equal(s.w.tally.slot(s.slots[1]!).gateway, 0);
});

test('the second retry waits, a client that leaves meanwhile ends it, and it never waits past the request timeout', () => {
  const waits: number[] = [];
  for (let seed = 1; seed <= 20; seed++) {
    const s = new Tries({
      seed,
      endpoints: 1,
      retry: { attempts: 3, on: ['503'], budget: 1, backoffMs: 1000, backoffMaxMs: 1000 },
    });
    const client = s.w.peer().send(GET);
    // A try that is repeated costs its wire, so each comes over a new one.
    s.asked(1).send(BUSY);
    const atMs = s.w.engine.now;
    s.asked(2).send(BUSY);
    assert.ok(s.w.engine.now - atMs < 20, 'the first retry does not wait');
    const waitsFromMs = s.w.engine.now;
    if (seed === 20) {
      client.close(2);
      s.w.engine.runFor(2000);
      assert.equal(s.ends.length, 2);
      break;
    }
    s.asked(3, 2000).send(OK);
    waits.push(s.w.engine.now - waitsFromMs);
    s.until(() => client.text().endsWith('ok'));
  }
  assert.ok(Math.max(...waits) > 600 && Math.max(...waits) < 1030 && Math.min(...waits) < 400, waits.join(' '));
  const s = new Tries({
    seed: 3,
    endpoints: 1,
    retry: { attempts: 9, on: ['503'], budget: 1, backoffMs: 60_000, backoffMaxMs: 60_000 },
    timeouts: { requestMs: 100 },
  });
  const client = s.w.peer().send(GET);
  s.asked(1).send(BUSY);
  s.asked(2).send(BUSY);
  s.until(() => client.text().includes('\r\n\r\n'), 90);
  assert.match(client.text(), /^HTTP\/1\.1 503 /);
});

test('the urgent are served first when a place becomes free', () => {
  const s = new Tries({ endpoints: 1, requestsMax: 1 });
  const [route] = s.w.plan.routes;
  const urgent = { ...route!, urgency: 0, match: { ...route!.match, path: { kind: 'exact' as const, value: '/urgent' } } };
  s.w.use({ ...s.w.plan, epoch: 2, routes: [urgent, route!] });
  const paths = ['/1', '/2', '/3', '/urgent'];
  for (const path of paths) {
    s.w.peer().send(GET.replace('/', path));
    s.w.engine.runFor(20);
  }
  const order: string[] = [];
  for (let i = 0; i < paths.length; i++) {
    const text = s.asked(1).text();
    order.push(text.slice(4, text.indexOf(' ', 4)));
    s.ends[0]!.clear().send(OK);
  }
  assert.deepEqual(order, ['/1', '/urgent', '/2', '/3']);
});

test('a place that another worker frees is taken within some ms', () => {
  const s = new Tries({ endpoints: 1, requestsMax: 1 });
  const other = s.w.anotherWorker();
  other.begin(s.slots[0]!);
  s.w.peer().send(GET);
  s.w.engine.runFor(200);
  assert.equal(s.ends.length, 0);
  assert.equal(s.w.table.poolQueued(s.w.plan.pools[0]!.id), 1);
  other.end(s.slots[0]!, 0, 200, 1);
  const atMs = s.w.engine.now;
  s.until(() => s.ends.length === 1);
  assert.ok(s.w.engine.now - atMs < 20, `${s.w.engine.now - atMs} ms`);
});

const UPGRADE =
  'GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n' +
  'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n';
const SWITCH =
  'HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n' +
  'Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n';

test('a tunnel is counted while it lasts, and lets go of its endpoint whoever ends it first', () => {
  for (const first of ['client', 'endpoint'] as const) {
    const s = new Tries({ endpoints: 1 });
    const client = s.w.peer().send(UPGRADE);
    const end = s.asked(1);
    const tunnels = () => s.w.tally.remaining(s.slots[0]!).tunnels;
    assert.equal(tunnels(), 0);
    end.send(SWITCH);
    s.until(() => client.text().includes('101 '));
    assert.equal(tunnels(), 1);
    const [one, other] = first === 'client' ? [client, end] : [end, client];
    one.end();
    s.until(() => other.hasEnded);
    other.end();
    s.until(() => tunnels() === 0 && s.w.table.inFlight(s.slots[0]!) === 0);
    // The exchange is used again: nothing of the old connection may reach the new request.
    const next = s.w.peer().send(GET);
    const again = s.asked(2);
    one.close();
    other.close();
    s.until(() => end.closedCount === 1 && client.closedCount === 1);
    assert.equal(next.text(), '', first);
    again.send(OK);
    s.until(() => next.text().endsWith('ok'));
  }
});

test('when the drain of an endpoint is over its deadline tunnels are reset on both sides, requests go on, and who becomes a tunnel later is cut too', () => {
  const s = new Tries({ endpoints: 1 });
  const { ECONNRESET } = constants.errno;
  const open = s.w.peer().send(UPGRADE);
  const openEnd = s.asked(1);
  openEnd.send(SWITCH);
  s.until(() => open.text().includes('101 '));
  const plain = s.w.peer().send(GET);
  const plainEnd = s.asked(2);
  const late = s.w.peer().send(UPGRADE);
  const lateEnd = s.asked(3);
  s.w.control.setAdmin(s.slots[0]!, admin.drain);
  s.w.control.setCut(s.slots[0]!, true);
  s.until(() => open.closedCount === 1 && openEnd.closedCount === 1);
  assert.deepEqual([open.closedErrno, openEnd.closedErrno], [ECONNRESET, ECONNRESET]);
  assert.deepEqual([plain.closedCount, late.closedCount], [0, 0]);
  plainEnd.send(OK);
  s.until(() => plain.text().endsWith('ok'));
  lateEnd.send(SWITCH);
  s.until(() => late.closedCount === 1 && lateEnd.closedCount === 1);
  assert.deepEqual([late.closedErrno, lateEnd.closedErrno], [ECONNRESET, ECONNRESET]);
  assert.equal(s.w.tally.remaining(s.slots[0]!).tunnels, 0);
  assert.equal(s.w.tally.counts().faults.find(({ faultId }) => faultId === fault.draining)?.count, 2);
});

test('the cookie names the endpoint that answered, after a retry and after a hedge too', () => {
  for (const hedgeMs of [0, 50]) {
    const s = new Tries({ endpoints: 2, sticky: true, retry: { hedgeMs, on: ['connect', 'reset', '503'] } });
    const client = s.w.peer().send(GET);
    const first = s.asked(1);
    const begun = s.slots.map((slot) => s.w.table.inFlight(slot));
    if (hedgeMs === 0) first.send(BUSY);
    s.asked(2).send(OK);
    s.until(() => client.text().endsWith('ok'));
    const cookie = /set-cookie: (bound=[^;]+)/.exec(client.text())![1]!;
    client.clear().send(GET.replace('\r\n\r\n', `\r\nCookie: ${cookie}\r\n\r\n`));
    s.until(() => s.slots.some((slot) => s.w.table.inFlight(slot) > 0));
    assert.deepEqual(
      s.slots.map((slot) => s.w.table.inFlight(slot)),
      begun.map((count) => 1 - count),
      'bound to the one that answered',
    );
    assert.deepEqual(s.pool().sticky.slice(0, 1), [0]);
  }
});

test('a place goes to whoever waits as soon as an exchange ends', () => {
  const s = new Tries({ endpoints: 1, requestsMax: 1 });
  for (let i = 0; i <= 20; i++) {
    s.w.peer().send(GET.replace('/', `/${i}`));
    s.w.engine.runFor(10);
  }
  s.asked(1);
  const atMs = s.w.engine.now;
  for (let i = 1; i <= 20; i++) {
    s.ends[0]!.clear().send(OK);
    assert.ok(s.asked(1).text().startsWith(`GET /${i} `));
  }
  // The way there and back takes about 2 ms here; a look every 5 ms, at whole ticks of the timer wheel, would take 5 ms more.
  const each = (s.w.engine.now - atMs) / 20;
  assert.ok(each < 4, `${each} ms each`);
});

test('a place that another worker frees goes to whoever waits, not to a request that comes just then', () => {
  for (let seed = 1; seed <= 10; seed++) {
    const s = new Tries({ seed, endpoints: 1, requestsMax: 1 });
    const quick = s.w.peer().send(GET);
    s.asked(1).clear().send(OK);
    s.until(() => quick.text().endsWith('ok'));
    const other = s.w.anotherWorker();
    other.begin(s.slots[0]!);
    s.w.peer().send(GET.replace('/', '/waits'));
    s.w.engine.runFor(50);
    quick.send(GET.replace('/', '/quick'));
    other.end(s.slots[0]!, 0, 200, 1);
    assert.match(s.asked(1).text(), /^GET \/waits /, `seed ${seed}`);
  }
});
