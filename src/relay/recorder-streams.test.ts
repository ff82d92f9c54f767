import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ClientAddress } from '../base/client-address.ts';
import { fault } from '../base/faults.ts';
import { RECENT_MAX, SLOW_MS } from './recorder-ring.ts';
import { type ConnectionFacts, type DatagramFacts, StreamRecorder } from './recorder-streams.ts';
import { ender, StreamTrail } from './trail.ts';

/** Wall clock minus monotonic clock. */
const WALL = 1_795_000_000_000;
const NOW = 100_000;

type Tries = readonly (readonly [slot: number, faultId: number])[];

function addressOf(text: string): ClientAddress {
  const address = new ClientAddress();
  address.set(text);
  return address;
}

function trailOf(tries: Tries): StreamTrail {
  const trail = new StreamTrail();
  tries.forEach(([slot, faultId], i) => {
    trail.begin(slot, NOW + 1 + i, 4, 9);
    trail.end(faultId, NOW + 1.5 + i);
  });
  return trail;
}

const plans = { runtime: { plan: { epoch: 7 } }, listenerId: 1, route: { plan: { id: 2 } }, pool: { plan: { id: 5 } } };

interface Options {
  number?: number;
  client?: ClientAddress;
  peer?: ClientAddress;
  serverName?: string;
  alpn?: string;
  faultId?: number;
  tries?: Tries;
  /** ms until an endpoint took it, or answered; -1: none did. */
  takesMs?: number;
}

function connection(options: Options = {}): ConnectionFacts {
  const { number = 46, client = addressOf('192.0.2.7:4711'), serverName = '', alpn = '', faultId = 0 } = options;
  const { tries = [[3, faultId]], takesMs = 2, peer = client } = options;
  return {
    ...plans,
    number,
    trail: trailOf(tries),
    client: { startedMs: NOW, address: client, peer, serverName, alpn, tls: null, wire: { received: 70, sent: 80 } },
    faultId,
    beganMs: NOW + 0.5,
    connectedMs: takesMs < 0 ? 0 : NOW + 0.5 + takesMs,
    firstByteMs: takesMs < 0 ? 0 : NOW + 1 + takesMs,
    endedMs: NOW + 3 + takesMs,
    endedBy: ender.endpoint,
    key: -2,
    fallbacks: 0,
    queuedMs: 0.25,
    wasQueued: true,
    isWaiting: false,
    waitSinceMs: 0,
    bytesIn: 10,
    bytesOut: 2_000_000_000_000,
  } as unknown as ConnectionFacts;
}

function datagrams(options: Options = {}): DatagramFacts {
  const { number = 46, client = addressOf('[2001:db8::7]:53'), faultId = 0, tries = [[3, faultId]], takesMs = 2 } = options;
  return {
    ...plans,
    number,
    trail: trailOf(tries),
    client,
    faultId,
    startedMs: NOW,
    firstMs: takesMs < 0 ? 0 : NOW + takesMs,
    lastMs: NOW + 4,
    endedMs: NOW + 34,
    key: 3,
    fallbacks: 1,
    bytesIn: 60,
    bytesOut: 500,
    questions: 2,
    answers: 3,
  } as unknown as DatagramFacts;
}

const tcp = (): StreamRecorder => new StreamRecorder('tcp', 'w-', NOW);
const find = (recorder: StreamRecorder, id: string, open: ConnectionFacts[] = []) => recorder.find(id, open, NOW, WALL + NOW)[0];

test('a record says what the connection was, with every try', () => {
  const recorder = tcp();
  recorder.addConnection(
    connection({
      peer: addressOf('10.0.0.1:99'),
      serverName: 'db.example',
      alpn: 'postgresql',
      tries: [[4, fault.connectionRefused], [3, 0]], // biome-ignore format: short
    }),
  );
  const refused = { slot: 4, kind: 'ordinary', beganMs: 1, endedMs: 1.5, faultId: fault.connectionRefused, status: 0 };
  assert.deepEqual(find(recorder, 'w-1a'), {
    kind: 'failed',
    protocol: 'tcp',
    id: 'w-1a',
    startedAt: WALL + NOW,
    epoch: 7,
    listener: 1,
    route: 2,
    pool: 5,
    client: '192.0.2.7',
    clientPort: 4711,
    peer: '10.0.0.1',
    peerPort: 99,
    serverName: 'db.example',
    alpn: 'postgresql',
    tls: null,
    faultId: 0,
    key: 2 ** 32 - 2,
    waitsSinceMs: -1,
    wasQueued: true,
    fellBack: false,
    poolInFlight: 9,
    triesCount: 2,
    tries: [
      { ...refused, inFlight: 4 },
      { slot: 3, kind: 'ordinary', beganMs: 2, endedMs: 2.5, faultId: 0, status: 0, inFlight: 4 },
    ],
    beganMs: 0.5,
    queuedMs: 0.25,
    connectedMs: 2.5,
    firstMs: 3,
    lastMs: -1,
    endedMs: 5,
    endedBy: 'endpoint',
    bytesIn: 10,
    bytesOut: 2_000_000_000_000,
    datagramsIn: 0,
    datagramsOut: 0,
  });
});

test('the datagrams of a client are counted', () => {
  const recorder = new StreamRecorder('udp', 'w-', NOW);
  const client = addressOf('[2001:db8::7]:53');
  recorder.addDatagrams(datagrams({ client }));
  const [record] = recorder.find('w-1a', [], NOW, WALL + NOW);
  assert.deepEqual([record!.client, record!.clientPort, record!.protocol], ['2001:db8::7', 53, 'udp']);
  assert.deepEqual([record!.datagramsIn, record!.datagramsOut, record!.bytesIn, record!.bytesOut], [2, 3, 60, 500]);
  assert.deepEqual([record!.connectedMs, record!.firstMs, record!.lastMs, record!.endedMs], [-1, 2, 4, 34]);
  assert.deepEqual([record!.fellBack, record!.endedBy, record!.peer], [true, null, '']);
});

test('an id is found by its number and prefix, and no other', () => {
  const recorder = tcp();
  recorder.addConnection(connection());
  const ids = ['w-1a', 'w-1b', 'w-1', 'v-1a', '1a', 'w-', 'w-1a!', 'w-01a', ''];
  assert.deepEqual(ids.map((id) => find(recorder, id) !== undefined), [true, ...Array(8).fill(false)]); // biome-ignore format: short
});

test('what is not over is found as it is by now, and what was recorded stays', () => {
  const recorder = tcp();
  recorder.addConnection(connection({ number: 1 }));
  const living = Object.assign(connection({ number: 2, serverName: 'open.example' }), { endedMs: 0, bytesIn: 0, bytesOut: 0 });
  const record = find(recorder, 'w-2', [living])!;
  assert.deepEqual([record.kind, record.endedMs, record.serverName], ['open', -1, 'open.example']);
  assert.deepEqual([record.bytesIn, record.bytesOut], [70, 80], 'as its wire says');
  assert.equal(find(recorder, 'w-1', [living])!.kind, 'served');
  const open = recorder.open(1, [connection({ number: 3 }), living, connection({ number: 5 })], NOW, WALL + NOW);
  assert.deepEqual(open.map(({ id }) => id), ['w-5']); // biome-ignore format: short
});

test('one that waits for a place says since when, and how long it has waited in all', () => {
  const waiting = Object.assign(connection({ number: 2, takesMs: -1, tries: [] }), {
    endedMs: 0,
    isWaiting: true,
    waitSinceMs: NOW + 7,
  });
  const recorder = tcp();
  const [record] = recorder.find('w-2', [waiting], NOW + 47, WALL + NOW + 47);
  assert.deepEqual([record!.waitsSinceMs, record!.queuedMs, record!.lastMs, record!.triesCount], [7, 40.25, -1, 0]);
  const later = Object.assign(waiting, { isWaiting: false });
  assert.deepEqual([find(recorder, 'w-2', [later])!.waitsSinceMs, find(recorder, 'w-2', [later])!.lastMs], [-1, -1]);
});

test('kinds: in order, broken off, and failed or slow', () => {
  for (const [kind, options] of [
    ['served', {}],
    ['served', { takesMs: SLOW_MS }],
    ['failed', { takesMs: SLOW_MS + 1 }],
    ['refused', { faultId: fault.clientAborted }],
    ['refused', { faultId: fault.streamIdle }],
    ['refused', { faultId: fault.clientAborted, takesMs: -1, tries: [] }],
    ['failed', { faultId: fault.responseIncomplete }],
    ['failed', { faultId: fault.queueTimeout, takesMs: -1, tries: [] }],
    ['failed', { faultId: fault.outOfPorts, takesMs: -1 }],
    ['failed', { tries: [[4, fault.connectionTimeout], [3, 0]] }], // biome-ignore format: short
  ] as const) {
    const recorder = tcp();
    recorder.addConnection(connection(options));
    assert.equal(find(recorder, 'w-1a')!.kind, kind, JSON.stringify(options));
  }
  for (const [kind, options] of [
    ['served', {}],
    ['served', { takesMs: -1 }],
    ['failed', { takesMs: SLOW_MS + 1 }],
    ['failed', { faultId: fault.streamIdle, takesMs: -1 }],
    ['failed', { faultId: fault.connectionRefused, takesMs: -1 }],
    ['refused', { faultId: fault.overload }],
  ] as const) {
    const recorder = new StreamRecorder('udp', 'w-', NOW);
    recorder.addDatagrams(datagrams(options));
    assert.equal(recorder.find('w-1a', [], NOW, NOW)[0]!.kind, kind, JSON.stringify(options));
  }
});

test('the latest come first, filtered, never more than the limit, and what is pushed out is said', () => {
  const recorder = tcp();
  for (let i = 0; i < 5000; i++) {
    const one = connection({ number: i, ...(i % 3 === 0 ? { faultId: fault.clientAborted } : {}) });
    (one.client as { startedMs: number }).startedMs = NOW + i;
    (one as { endedMs: number }).endedMs = NOW + i;
    recorder.addConnection(one);
  }
  const ids = (limit: number, isFault: boolean) => recorder.recent(limit, isFault, NOW, WALL + NOW).map(({ id }) => id);
  const idOf = (n: number): string => `w-${n.toString(36)}`;
  assert.deepEqual(ids(4, false), [4999, 4998, 4997, 4996].map(idOf));
  assert.deepEqual(ids(3, true), [4998, 4995, 4992].map(idOf));
  assert.equal(ids(1000, false).length, RECENT_MAX);
  // Of 1,667 faults the last 512 are here, and all of the 3,333 others.
  assert.deepEqual(recorder.reach(NOW, WALL + NOW), {
    served: WALL + NOW,
    refused: WALL + NOW + (1667 - 512) * 3,
    failed: WALL + NOW,
  });
});

test('text that is too long is cut and never runs into the next record', () => {
  const recorder = tcp();
  recorder.addConnection(connection({ number: 1, serverName: 'h'.repeat(255), alpn: 'a'.repeat(255) }));
  recorder.addConnection(connection({ number: 2, serverName: 'next' }));
  const cut = find(recorder, 'w-1')!;
  assert.deepEqual([cut.serverName, cut.alpn], ['h'.repeat(64), 'a'.repeat(16)]);
  assert.deepEqual([find(recorder, 'w-2')!.serverName, find(recorder, 'w-2')!.alpn], ['next', '']);
});

test('of many tries the first three and the last are kept, and a place that is used again has none of them', () => {
  const recorder = tcp();
  const tries = [1, 2, 3, 4, 5, 6].map((slot) => [slot, fault.connectionRefused] as const);
  recorder.addConnection(connection({ number: 1, faultId: fault.connectionRefused, tries, takesMs: -1 }));
  const many = find(recorder, 'w-1')!;
  assert.equal(many.triesCount, 6);
  assert.deepEqual(many.tries.map(({ slot, beganMs }) => [slot, beganMs]), [[1, 1], [2, 2], [3, 3], [6, 6]]); // biome-ignore format: short
  // A trail of datagrams serves the next client.
  const trail = trailOf(tries.slice(0, 3));
  trail.reset();
  trail.begin(8, NOW + 1, 2, 3);
  const udp = new StreamRecorder('udp', 'w-', NOW);
  udp.addDatagrams(Object.assign(datagrams(), { trail }));
  const [record] = udp.find('w-1a', [], NOW, NOW);
  assert.deepEqual(record!.tries, [{ slot: 8, kind: 'ordinary', beganMs: 1, endedMs: -1, faultId: 0, status: 0, inFlight: 2 }]);
  assert.equal(record!.poolInFlight, 3);
  trail.end(fault.connectionRefused, NOW + 2);
  trail.begin(9, NOW + 3, 1, 1);
  assert.equal(trail.earlier!.count, 1, 'what stood aside for the client before is gone');
});

test('a connection that no route matched has neither route nor pool, and one over a unix socket no address', () => {
  const recorder = tcp();
  const { client, runtime } = connection({ client: addressOf('unix:'), serverName: 'who.example' });
  recorder.addUnrouted(9, client, 1, runtime, NOW + 2);
  const record = find(recorder, 'w-9')!;
  assert.deepEqual([record.route, record.pool, record.faultId, record.kind], [-1, -1, fault.destinationNotFound, 'refused']);
  assert.deepEqual([record.client, record.clientPort, record.serverName, record.tries], ['unix:', 0, 'who.example', []]);
  assert.deepEqual([record.bytesIn, record.endedMs], [70, 2]);
});
