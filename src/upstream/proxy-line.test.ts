/** What the line says besides addresses: the name and the protocol of a client that came by TLS. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ClientAddress } from '../base/client-address.ts';
import { HeadPool } from '../base/head-pool.ts';
import type { ClientStream, EndpointStream, ResponseSink } from '../base/stream.ts';
import type { TlsFacts } from '../base/tls-facts.ts';
import type { Address } from '../base/wire.ts';
import { MemoryEngine, Peer } from '../io/memory.ts';
import type { Http1Limits } from '../protocol/http1/http1.ts';
import { ProxyLineReader } from '../protocol/proxy-line/proxy-line.ts';
import { plainPlan, plainPool } from '../state/plain-pool.ts';
import type { PoolPlan } from '../state/plan.ts';
import { ControlDoor, initTable, tableBytes, WorkerDoor } from '../state/table.ts';
import { Upstream } from './upstream.ts';

const endpoint: Address = { kind: 'ip', host: '10.0.1.1', port: 8001 };
const limits: Http1Limits = {
  headBytesMax: 4096,
  fieldBytesMax: 4096,
  fieldsMax: 20,
  targetBytesMax: 4096,
  bodyBytesMax: 0,
  chunkExtensionBytesMax: 0,
  underscores: 'drop',
};

function addressOf(text: string): ClientAddress {
  const address = new ClientAddress();
  address.set(text);
  return address;
}

/** What an endpoint hears first when a client asks that came to `destination` with these facts. */
function lineFor(
  lineVersion: 1 | 2,
  tls: TlsFacts | null,
  destination = '192.0.2.1:443',
): { bytes: Buffer; reader: ProxyLineReader } {
  const engine = new MemoryEngine({ seed: 1, splitting: 'whole' });
  const { blocks } = engine;
  const buffer = new ArrayBuffer(tableBytes());
  initTable(buffer);
  const control = new ControlDoor(buffer);
  const table = new WorkerDoor(buffer, control.claimStripe());
  const heads = new HeadPool(blocks.bytes, 20);
  const peers: Peer[] = [];
  engine.accept(engine.listenAt(endpoint), { onAccept: (wire) => peers.push(new Peer(engine).take(wire)), onAcceptFault() {} });
  const slot = control.claimSlot('web', '10.0.1.1:8001');
  const pool: PoolPlan = {
    ...plainPool,
    id: control.claimId('pool', 'web'),
    name: 'web',
    source: '',
    proxyProtocol: lineVersion,
    endpoints: [{ slot, address: '10.0.1.1:8001', resolved: endpoint, weight: 1, backup: false, zone: null, requestsMax: 0 }],
    connections: { idleMax: 1, idleMs: 1000, wiresMax: 0, warm: 0, requestsMax: 0, queueMax: 0, queueMs: 0 },
  };
  const upstream = new Upstream({ engine, blocks, heads, table, responseLimits: limits });
  const endpoints = upstream.apply({ ...plainPlan, epoch: 1, node: 'n', listeners: [], routes: [], pools: [pool] });
  const client = { tls, destination: () => addressOf(destination) } as ClientStream;
  const head = heads.take();
  head.base = blocks.start(blocks.takeSmall());
  const sink = {
    onLeased: (stream: EndpointStream) => assert.ok(stream.sendHead(head, false, client, addressOf('198.51.100.7:5555'))),
    onLeaseFailed: (faultId: number) => assert.fail(`fault ${faultId}`),
  } as unknown as ResponseSink;
  endpoints[slot]!.lease(sink, 1000, false);
  engine.runUntil(() => peers.length === 1 && peers[0]!.receivedBytes > 0, 1000);
  const bytes = peers[0]!.bytes();
  const reader = new ProxyLineReader();
  const [from, to] = [new ClientAddress(), new ClientAddress()];
  const length = reader.read(bytes, 0, bytes.length, from, to);
  assert.ok(length > 0, reader.reason);
  if (!reader.isLocal) assert.equal(`${from.text}:${from.port} ${to.text}:${to.port}`, `198.51.100.7:5555 ${destination}`);
  return { bytes: bytes.subarray(0, length), reader };
}

const facts: TlsFacts = { version: '1.3', cipher: '', serverName: 'shop.example', alpn: 'h2', isResumed: false };

test('version 2 says of a client that came by TLS which name it asked for and what was agreed on', () => {
  const { authority, alpn, isSecure } = lineFor(2, facts).reader;
  assert.deepEqual([authority, alpn, isSecure], ['shop.example', 'h2', true]);
});

test('what was not said in TLS is not said in the line', () => {
  const { authority, alpn, isSecure } = lineFor(2, { ...facts, serverName: '', alpn: '' }).reader;
  assert.deepEqual([authority, alpn, isSecure], ['', '', true]);
  const plain = lineFor(2, null).reader;
  assert.deepEqual([plain.authority, plain.alpn, plain.isSecure], ['', '', false]);
});

test('version 1 has room for addresses only', () => {
  assert.equal(lineFor(1, facts).bytes.toString('latin1'), 'PROXY TCP4 198.51.100.7 192.0.2.1 5555 443\r\n');
});

test('a client that came over a unix socket has connected to no address: nobody is named', () => {
  assert.equal(lineFor(1, null, 'unix:').bytes.toString('latin1'), 'PROXY UNKNOWN\r\n');
  assert.ok(lineFor(2, null, 'unix:').reader.isLocal);
});
