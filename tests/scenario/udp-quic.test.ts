/**
 * Harm prevented: a QUIC client whose port changes on the way (a NAT that forgot it, RFC 9000 §9.3) is taken to an endpoint that does not know its connection.
 *
 * Packets are QUIC's in shape: a long header with a version and both connection ids for the first (RFC 9000 §17.2), a short one afterwards (§17.3). weir reads
 * none of it; the endpoints here know a connection by its id, as servers do.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { datagramConfig, sessions, Talker } from '../support/datagrams.ts';
import { until } from '../support/wait.ts';
import { Weir } from '../support/weir.ts';

/** Smallest datagram that may carry a first packet (RFC 9000 §14.1). */
const INITIAL_BYTES = 1200;
const ID_BYTES = 8;

/** Header form and fixed bit, type Initial, version 1, ids of 8 bytes each; the rest stands for what is encrypted. */
function initial(client: number): Buffer {
  const packet = Buffer.alloc(INITIAL_BYTES, 0xee);
  packet[0] = 0xc3;
  packet.writeUInt32BE(1, 1);
  packet[5] = ID_BYTES;
  packet.writeBigUInt64BE(BigInt(client), 6);
  packet[14] = ID_BYTES;
  packet.writeBigUInt64BE(BigInt(client), 15);
  return packet;
}

/** 1-RTT: the fixed bit, the id, a packet number. */
function short(id: number, number: number): Buffer {
  const packet = Buffer.alloc(1350, 0xee);
  packet[0] = 0x40;
  packet.writeBigUInt64BE(BigInt(id), 1);
  packet[9] = number;
  return packet;
}

/** Knows the connections that began here, and answers to where their last packet came from; to others it says nothing. */
class QuicServer {
  readonly known = new Set<bigint>();
  readonly strangers: bigint[] = [];
  /** Ports of weir that each connection was heard from. */
  readonly paths = new Map<bigint, Set<number>>();
  readonly talker: Talker;

  constructor(talker: Talker) {
    this.talker = talker;
    talker.onDatagram = (bytes, { port }) => {
      const isLong = (bytes[0]! & 0x80) !== 0;
      const id = bytes.readBigUInt64BE(isLong ? 6 : 1);
      if (isLong && bytes.length >= INITIAL_BYTES) this.known.add(id);
      if (!this.known.has(id)) {
        this.strangers.push(id);
        return;
      }
      this.paths.set(id, (this.paths.get(id) ?? new Set()).add(port));
      talker.say(port, bytes);
    };
  }
}

for (const balance of ['source', 'maglev'])
  test(`a QUIC client that goes on from another port stays on its endpoint with ${balance}`, async () => {
    const servers = await Promise.all([0, 1, 2].map(async () => new QuicServer(await Talker.open())));
    const weir = await Weir.start({
      // The kernel chooses the worker by the port too, so many of them move to another one.
      workers: 2,
      config: (ports) =>
        datagramConfig(
          ports,
          servers.map(({ talker }) => talker),
          { sessionsPerIp: 0 },
          { balance },
        ),
    });
    try {
      const COUNT = 24;
      const hosts = Array.from({ length: COUNT }, (_, i) => `127.0.1.${i + 1}`);
      const before = await Promise.all(hosts.map((host) => Talker.open(0, host)));
      for (const [i, client] of before.entries()) client.say(weir.port, initial(i));
      await until('every handshake', () => before.every(({ got }) => got.length === 1));
      assert.equal(new Set(before.map(({ got }) => got[0]!.bytes.length)).size, 1);
      const homes = hosts.map((_, i) => servers.findIndex(({ known }) => known.has(BigInt(i))));
      assert.ok(new Set(homes).size >= 2, 'clients are spread');
      // The port changes, the address and the connection stay.
      const after = await Promise.all(hosts.map((host) => Talker.open(0, host)));
      for (const [i, client] of after.entries()) client.say(weir.port, short(i, 1));
      await until('an answer at each new port', () => after.every(({ got }) => got.length === 1));
      for (const [i, { got }] of after.entries()) assert.ok(got[0]!.bytes.equals(short(i, 1)), `client ${i}`);
      assert.deepEqual(
        servers.map(({ strangers }) => strangers),
        [[], [], []],
      );
      for (const [i, home] of homes.entries())
        assert.equal(servers[home]!.paths.get(BigInt(i))!.size, 2, 'to the endpoint it is another path, which it validates');
      assert.ok(before.every(({ got }) => got.length === 1));
      // What is still on its way to the old port arrives there.
      for (const [i, client] of before.entries()) client.say(weir.port, short(i, 2));
      await until('an answer at each old port', () => before.every(({ got }) => got.length === 2));
      await until('a session for each port', async () => (await sessions(weir)) === 2 * COUNT);
      await weir.stop();
    } finally {
      await weir.kill();
    }
  });
