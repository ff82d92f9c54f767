import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fault } from '../../base/faults.ts';
import type { ConnectionRecord, TryRecord } from '../../state/channel.ts';
import type { Plan } from '../../state/plan.ts';
import { PlanNames } from './plan-names.ts';
import { connectionStoryOf } from './story-connection.ts';
import { connectionStoryText } from './story-connection-text.ts';

const any = { serverName: null, alpn: null, clients: null };
const named = (value: string) => ({ ...any, serverName: { value, wildcard: false } });
const stream = (id: number, name: string, source: string, match: object) => ({ id, name, source, match });
const plan = {
  epoch: 3,
  listeners: [
    { id: 0, name: 'db', streams: [stream(1, 'shop', 'weir.yaml:9', named('db.example')), stream(1, 'shop', 'weir.yaml:9', named('sql.example'))] }, // biome-ignore format: short
    { id: 3, name: 'dns', streams: [stream(4, 'listener/dns', 'weir.yaml:2', any)] },
  ],
  routes: [],
  pools: [
    {
      id: 2,
      name: 'postgres',
      source: 'weir.yaml:4',
      endpoints: [1, 2, 3].map((slot) => ({ slot, address: `10.0.0.${slot}:5432` })),
    },
  ],
} as unknown as Plan;
const names = new PlanNames();
names.learn(plan);

function attempt(slot: number, parts: Partial<TryRecord> = {}): TryRecord {
  return { slot, kind: 'ordinary', beganMs: 1, endedMs: 3200, faultId: 0, status: 0, inFlight: 4, ...parts };
}
const refused = (slot: number, beganMs = 1): TryRecord =>
  attempt(slot, { faultId: fault.connectionRefused, beganMs, endedMs: beganMs + 0.5 });

function record(parts: Partial<ConnectionRecord> = {}): ConnectionRecord {
  return {
    kind: 'served',
    protocol: 'tcp',
    id: 'w-1a',
    startedAt: Date.UTC(2026, 10, 24, 11, 0, 0, 250),
    epoch: 3,
    listener: 0,
    route: 1,
    pool: 2,
    client: '192.0.2.7',
    clientPort: 4711,
    peer: '',
    peerPort: 0,
    serverName: '',
    alpn: '',
    tls: null,
    faultId: 0,
    key: 0,
    waitsSinceMs: -1,
    wasQueued: false,
    fellBack: false,
    poolInFlight: 9,
    triesCount: parts.tries?.length ?? 1,
    tries: [attempt(1)],
    beganMs: 0.5,
    queuedMs: 0,
    connectedMs: 2,
    firstMs: 5,
    lastMs: -1,
    endedMs: 3200,
    endedBy: 'client',
    bytesIn: 120,
    bytesOut: 2048,
    datagramsIn: 0,
    datagramsOut: 0,
    ...parts,
  };
}

const story = (parts: Partial<ConnectionRecord>) => connectionStoryOf(record(parts), 0, names);
const verdict = (parts: Partial<ConnectionRecord>): string => story(parts).verdict;
const never = { connectedMs: -1, firstMs: -1, endedBy: null, endedMs: 7 } as const;
const udp = { protocol: 'udp', listener: 3, route: 4, connectedMs: -1, endedBy: null, lastMs: 5, endedMs: 30_005, datagramsIn: 1, datagramsOut: 1 } as const; // biome-ignore format: short

test('the verdict names who carried it, who ended it, and what came before', () => {
  assert.equal(verdict({}), 'carried to 10.0.0.1:5432 in 3.2s; the client ended it');
  assert.equal(verdict({ endedBy: 'endpoint' }), 'carried to 10.0.0.1:5432 in 3.2s; the endpoint ended it');
  assert.equal(
    verdict({ tries: [refused(1), attempt(2)], queuedMs: 40 }),
    'carried to 10.0.0.2:5432 in 3.2s, 40ms of it in the queue, after 10.0.0.1:5432 refused the connection; the client ended it',
  );
});

test('a connection that was cut says whose fault it was', () => {
  const cut = (faultId: number) => verdict({ faultId, tries: [attempt(1, { faultId })], endedBy: null });
  assert.equal(cut(fault.responseIncomplete), 'carried to 10.0.0.1:5432 in 3.2s; reset because 10.0.0.1:5432 reset it');
  assert.equal(
    cut(fault.connectionTerminated),
    'carried to 10.0.0.1:5432 in 3.2s; reset because 10.0.0.1:5432 reset it before it had said anything',
  );
  assert.equal(cut(fault.clientAborted), 'carried to 10.0.0.1:5432 in 3.2s; reset because the client reset it');
  assert.equal(cut(fault.streamIdle), 'carried to 10.0.0.1:5432 in 3.2s; reset because it was idle for too long');
  assert.equal(cut(fault.draining), 'carried to 10.0.0.1:5432 in 3.2s; reset because the time of a drain is over');
  assert.deepEqual(story({ faultId: fault.responseIncomplete }).fault, {
    side: 'endpoint',
    reason: 'http_response_incomplete',
    text: 'the endpoint reset it',
  });
});

test('a connection that no endpoint took says why, with every try', () => {
  const failed = { ...never, faultId: fault.connectionRefused };
  assert.equal(verdict({ ...failed, tries: [refused(1)] }), 'reset after 7ms because 10.0.0.1:5432 refused the connection');
  assert.equal(
    verdict({ ...failed, tries: [refused(1), refused(2), refused(3), refused(1)], triesCount: 6 }),
    'reset after 7ms because 10.0.0.1:5432 refused the connection, then 10.0.0.2:5432 refused the connection, then 10.0.0.3:5432 refused the connection, then 10.0.0.1:5432 refused the connection (6 tries in all)',
  );
  const full = { ...never, faultId: fault.queueTimeout, tries: [] };
  assert.equal(verdict(full), 'reset after 7ms because it waited too long for an endpoint');
  assert.equal(
    verdict({ ...never, faultId: fault.outOfPorts, tries: [attempt(1, { faultId: fault.outOfPorts })] }),
    'reset after 7ms because 10.0.0.1:5432 failed: no local port or descriptor was left to connect with',
  );
  assert.equal(
    verdict({ ...never, faultId: fault.clientAborted, tries: [attempt(1, { faultId: fault.clientAborted, endedMs: 7 })] }),
    'left by the client after 7ms; 10.0.0.1:5432 had not taken it',
  );
  const lost = story({ ...never, faultId: fault.destinationNotFound, tries: [], route: -1, pool: -1, serverName: 'who.example' });
  assert.equal(lost.verdict, 'reset after 7ms because no route matches it');
  assert.deepEqual([lost.route, lost.pool, lost.timeline[0]!.text], [null, null, 'no route matches']);
});

test('what is not over is told as it is', () => {
  const open: Partial<ConnectionRecord> = { kind: 'open', endedMs: -1, endedBy: null, tries: [attempt(1, { endedMs: -1 })] };
  assert.equal(verdict(open), 'open; carried to 10.0.0.1:5432');
  assert.equal(verdict({ ...open, connectedMs: -1, firstMs: -1 }), 'open; connecting to 10.0.0.1:5432');
  assert.equal(
    verdict({ ...open, connectedMs: -1, firstMs: -1, tries: [refused(2), attempt(1, { endedMs: -1 })] }),
    'open; connecting to 10.0.0.1:5432, after 10.0.0.2:5432 refused the connection',
  );
  assert.equal(verdict({ ...open, ...udp, endedMs: -1 }), 'open; 10.0.0.1:5432 answers');
  assert.deepEqual(story(open).timeline.at(-1), { at: 0.005, text: 'first byte of the endpoint' });
});

test('one that waits in a queue is told with its pool and since when, and what was tried before', () => {
  const waiting: Partial<ConnectionRecord> = {
    kind: 'open',
    endedMs: -1,
    endedBy: null,
    connectedMs: -1,
    firstMs: -1,
    wasQueued: true,
    waitsSinceMs: 750,
    queuedMs: 2250,
    tries: [],
  };
  assert.equal(verdict(waiting), 'open; waits for a place in postgres, 2.25s so far');
  const { queuedSince, timeline } = story(waiting);
  assert.equal(queuedSince, '2026-11-24T11:00:01.000Z');
  assert.deepEqual(timeline.at(-1), { at: 0.75, text: 'waits for a place in postgres' });
  assert.equal(
    verdict({ ...waiting, tries: [refused(2)] }),
    'open; waits for a place in postgres, 2.25s so far, after 10.0.0.2:5432 refused the connection',
  );
  assert.equal(story({}).queuedSince, null);
});

test('datagrams are answered, or not, and by whose fault', () => {
  assert.equal(verdict(udp), 'answered by 10.0.0.1:5432 within 4ms; remembered for 30s, the last 30s without a datagram');
  assert.equal(
    verdict({ ...udp, lastMs: 30_005, faultId: fault.draining }),
    'answered by 10.0.0.1:5432 within 4ms; remembered for 30s; ended because the time of a drain is over',
  );
  const silent = { ...udp, firstMs: -1 };
  assert.equal(verdict(silent), 'not answered by 10.0.0.1:5432 in 30s');
  assert.equal(
    verdict({ ...silent, faultId: fault.streamIdle, tries: [attempt(1, { faultId: fault.streamIdle })] }),
    'not answered by 10.0.0.1:5432 in 30s because no answer came in time',
  );
  assert.equal(
    verdict({ ...silent, faultId: fault.connectionRefused, tries: [refused(1), refused(2)] }),
    'not answered after 30s because 10.0.0.1:5432 refused the connection, then 10.0.0.2:5432 refused the connection',
  );
});

test('the text has the lines of the configuration, the timeline in the order of time, and nothing that steers a terminal', () => {
  const parts = {
    tries: [refused(2, 0.75), attempt(1, { beganMs: 1.25 })],
    serverName: 'db.exa\u001bmple',
    alpn: 'postgresql',
    key: 255,
    peer: '10.0.0.9',
    peerPort: 99,
  };
  assert.equal(
    connectionStoryText(story(parts)),
    `w-1a  2026-11-24T11:00:00.250Z
 verdict   carried to 10.0.0.1:5432 in 3.2s, after 10.0.0.2:5432 refused the connection; the client ended it
 client    192.0.2.7 port 4711, named by 10.0.0.9 port 99
 hello     sni db.exa mple  alpn postgresql
 listener  db  tcp  worker 0, epoch 3
 route     shop  weir.yaml:9  sni db.example or sni sql.example
 pool      postgres  weir.yaml:4  9 in flight with this one  key 000000ff
 timeline    500µs  route shop, pool postgres
             750µs  try 1: 10.0.0.2:5432 (4 in flight there)
            1.25ms  10.0.0.2:5432 refused the connection
            1.25ms  try 2: 10.0.0.1:5432 (4 in flight there)
               2ms  connected
               5ms  first byte of the endpoint
              3.2s  over, 120 bytes in, 2048 out
 waited    connect 750µs, first byte 3ms
 bytes     120 bytes in, 2048 out
`,
  );
  const text = connectionStoryText(story({ ...udp, tls: { version: '1.3', cipher: 'TLS_AES_128_GCM_SHA256', serverName: '', alpn: '', isResumed: true } })); // biome-ignore format: short
  assert.match(text, /^ tls {7}opened here: 1\.3, TLS_AES_128_GCM_SHA256, resumed$/m);
  assert.match(text, /^ timeline {4}500µs {2}first datagram: route listener\/dns, pool postgres$/m);
  assert.match(text, /^ bytes {5}1 datagrams in, 1 out; 120 bytes in, 2048 out$/m);
});
