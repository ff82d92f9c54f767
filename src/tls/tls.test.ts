import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ownCertificates } from '../../tests/support/certificates.ts';
import { arenaBytes } from '../base/blocks.ts';
import { Carry } from '../base/carry.ts';
import { Prng } from '../base/prng.ts';
import { TICKET_KEY_BYTES } from '../base/ticket-key.ts';
import { type AcceptOwner, type Address, closeHow, type Wire, type WireOwner } from '../base/wire.ts';
import { MemoryEngine, type MemoryOptions, Peer } from '../io/memory.ts';
import { ClientHelloReader } from '../protocol/client-hello/client-hello.ts';
import { checked, fast } from '../sys/ffi.ts';
import { mapLow, munmap } from '../sys/memory.ts';
import { SSL_CTX_free, SSL_new } from '../sys/openssl.ts';
import type { ServerContext } from './server-context.ts';
import { type ServerSettings, ServerTls, TlsLoop, TlsWire } from './tls.ts';
import { NO_PROTOCOL } from './tls-loop.ts';

const ECONNRESET = 104;
const EPROTO = 71;
const ENOBUFS = 105;

const { certificates: files } = ownCertificates('tls');
const certificate = ({ certificatePem, keyPem }: { certificatePem: string; keyPem: string }, ...names: string[]) => ({
  names,
  chain: certificatePem,
  key: keyPem,
});
const shop = certificate(files.shop, 'shop.example', 'www.shop.example');
const shopRsa = certificate(files.shopRsa, 'shop.example', 'www.shop.example');
const wildcard = certificate(files.wildcard, '*.shop.example');
const internal = certificate(files.internal, 'internal.example');
const plain: ServerSettings = { certificates: [shop], minVersion: '1.2', alpn: [], strictSni: false };

// What a client needs besides: the product has servers only.
const contextNew = checked<(method: bigint) => bigint>('SSL_CTX_new', ['pointer'], 'pointer');
const clientMethod = checked<() => bigint>('TLS_client_method', [], 'pointer');
const setConnectState = fast<(ssl: bigint) => void>('SSL_set_connect_state', ['pointer'], 'void');
const keyUpdate = checked<(ssl: bigint, kind: number) => number>('SSL_key_update', ['pointer', 'int32'], 'int32');
const sslControl = checked<(ssl: bigint, command: number, value: bigint, at: string) => bigint>(
  'SSL_ctrl',
  ['pointer', 'int32', 'int64', 'pointer'],
  'int64',
);
const sessionOf = checked<(ssl: bigint) => bigint>('SSL_get1_session', ['pointer'], 'pointer');
const useSession = checked<(ssl: bigint, session: bigint) => number>('SSL_set_session', ['pointer', 'pointer'], 'int32');
const sessionFree = checked<(session: bigint) => void>('SSL_SESSION_free', ['pointer'], 'void');
const setFragments = checked<(context: bigint, mode: number) => number>(
  'SSL_CTX_set_tlsext_max_fragment_length',
  ['pointer', 'uint32'],
  'int32',
);
const OF_512_BYTES = 1;
const SSL_CTRL_SET_TLSEXT_HOSTNAME = 55;
const KEY_UPDATE_REQUESTED = 1;

interface Options extends Partial<MemoryOptions> {
  settings?: ServerSettings;
  serverName?: string;
  isInShortRecords?: boolean;
}

/** One end, which hears of a handshake that failed. */
class TlsPeer extends Peer {
  failures = 0;
  onHandshakeFailed(): void {
    assert.equal(this.closedCount, 0, 'it hears of it before the end');
    this.failures++;
  }
}

/** An engine with a TLS server, whose connections are kept, and clients that speak TLS too. */
class World implements AcceptOwner {
  readonly engine: MemoryEngine;
  readonly loop: TlsLoop;
  readonly tls: ServerTls;
  readonly served: TlsPeer[] = [];
  readonly dialled: TlsPeer[] = [];
  readonly wires: TlsWire[] = [];
  readonly refused: Wire[] = [];
  /** Told of each connection whose hello has come, before it is looked at. */
  onServed: ((peer: TlsPeer) => void) | null = null;
  private readonly address: Address = { kind: 'ip', host: '192.0.2.1', port: 443 };
  private readonly arena = mapLow(arenaBytes(128, 128));
  private readonly context = contextNew(clientMethod());
  private readonly serverName: string;
  /** The hello that came last. */
  readonly reader = new ClientHelloReader();

  constructor({ settings = plain, serverName = 'shop.example', isInShortRecords = false, ...options }: Options = {}) {
    if (isInShortRecords) setFragments(this.context, OF_512_BYTES);
    this.engine = new MemoryEngine({ seed: 1, reuseWires: true, arena: this.arena.bytes, ...options });
    this.loop = new TlsLoop(this.engine);
    this.tls = new ServerTls(this.loop, settings);
    this.serverName = serverName;
    this.engine.accept(this.engine.listenAt(this.address), this);
  }

  onAccept(inner: Wire): void {
    const { engine, served } = this;
    const carry = new Carry(engine.blocks);
    const reading: WireOwner = {
      onOpen() {},
      onDrained() {},
      onRecvEnd: (wire) => wire.close(closeHow.flush),
      onClosed: () => carry.clear(),
      onBytes: (wire, _block, start, end) => {
        carry.append(start, end);
        if (this.reader.read(engine.blocks.bytes, carry.start, carry.end) <= 0) return;
        const peer = new TlsPeer(engine);
        const tls = this.tls.accept(wire, peer, this.reader);
        if (tls === null) {
          this.refused.push(wire);
          wire.close(closeHow.reset);
        } else {
          peer.wire = tls;
          served.push(peer);
          this.wires.push(tls);
          this.onServed?.(peer);
          const { block } = carry;
          engine.blocks.retain(block);
          tls.onBytes(wire, block, carry.start, carry.end);
          engine.blocks.release(block);
        }
        carry.clear();
      },
    };
    inner.owner = reading;
  }
  onAcceptFault(): void {}

  /** `session`: of an earlier connection; 0n: none. */
  dial(session = 0n): TlsPeer {
    const peer = new TlsPeer(this.engine);
    const ssl = SSL_new(this.context);
    setConnectState(ssl);
    if (session !== 0n) useSession(ssl, session);
    sslControl(ssl, SSL_CTRL_SET_TLSEXT_HOSTNAME, 0n, this.serverName);
    const inner = this.engine.dial(this.address, peer);
    const greeting = { context: null as unknown as ServerContext, protocol: NO_PROTOCOL, alpn: '', serverName: '', ticketKey: 0 };
    peer.wire = new TlsWire(this.loop, inner, peer, ssl, greeting);
    this.dialled.push(peer);
    return peer;
  }

  /** A pair of ends after the handshake. */
  pair(session = 0n): [client: TlsPeer, server: TlsPeer] {
    const client = this.dial(session);
    const at = this.served.length;
    this.until(() => client.isOpen && this.served[at]?.isOpen === true);
    return [client, this.served[at]!];
  }

  until(condition: () => boolean): void {
    this.engine.runUntil(condition, 20_000);
  }

  close(): void {
    for (const peer of [...this.dialled, ...this.served]) peer.close(closeHow.reset);
    this.engine.runFor(100);
    this.tls.close();
    SSL_CTX_free(this.context);
    const { blocks, sockets } = this.engine;
    this.engine.close();
    assert.deepEqual([blocks.largeAvailable, blocks.smallAvailable, sockets], [128, 128, 0], 'blocks and sockets are back');
    munmap(this.arena);
  }
}

/** Runs `body` in a world, at whose end everything is back. */
function inWorld(options: Options, body: (world: World) => void): void {
  const world = new World(options);
  body(world);
  world.close();
}

const inner = (peer: Peer): Wire => (peer.wire as TlsWire).inner;

test('bytes arrive exactly in both directions, however they are cut, paused and ended', () => {
  for (let seed = 1; seed <= 40; seed++) {
    const random = new Prng(seed);
    const splitting = (['whole', 'random', 'random'] as const)[random.below(3)]!;
    inWorld({ seed, splitting, kernelBytesMax: 1 << random.between(10, 18) }, (world) => {
      const [client, server] = world.pair();
      const said = [client, server].map((peer) => {
        const pieces: Buffer[] = [];
        for (let i = random.between(0, 12); i >= 0; i--) {
          const piece = Buffer.alloc(1 << random.below(18), random.below(256));
          piece.writeUInt8(random.below(256), piece.length >> 1);
          pieces.push(piece);
        }
        return { peer, pieces, all: Buffer.concat(pieces) };
      });
      for (let left = 400; left > 0; left--) {
        const { peer, pieces } = said[random.below(2)]!;
        if (random.chance(30) && pieces.length > 0) peer.send(pieces.shift()!);
        else if (random.chance(10)) peer.wire?.pause();
        else if (random.chance(30)) peer.wire?.resume();
        world.engine.runFor(random.below(3));
      }
      for (const { peer, pieces } of said) {
        for (const piece of pieces) peer.send(piece);
        peer.end();
        peer.wire?.resume();
      }
      world.until(() => client.closedCount === 1 && server.closedCount === 1);
      assert.deepEqual([client.closedErrno, server.closedErrno], [0, 0], `seed ${seed}`);
      assert.ok(server.bytes().equals(said[0]!.all), `seed ${seed}: what the client said`);
      assert.ok(client.bytes().equals(said[1]!.all), `seed ${seed}: what the server said`);
      assert.deepEqual([client.hasEnded, server.hasEnded], [true, true]);
    });
  }
});

test('small sends of one turn are one record', () => {
  inWorld({ splitting: 'whole', delayMsMax: 0 }, (world) => {
    const [client, server] = world.pair();
    world.until(() => server.wire!.queued === 0);
    const before = server.wire!.sent;
    server.send('head').send('body').send('end');
    world.until(() => client.text() === 'headbodyend');
    // Header, 11 bytes, kind of content, tag (RFC 8446 §5.2).
    assert.equal(server.wire!.sent - before, 5 + 11 + 1 + 16);
  });
});

test('a client that asks for the shortest records gets every length of answer in them', () => {
  inWorld({ isInShortRecords: true, splitting: 'whole', kernelBytesMax: 1 << 20, delayMsMax: 0 }, (world) => {
    const [client, server] = world.pair();
    let had = 0;
    // Around what a small block and what a large one holds.
    for (const [from, to] of [
      [3000, 4200],
      [48_000, 50_000],
    ] as const)
      for (let length = from; length < to; length += 37) {
        server.send(Buffer.alloc(length, 7));
        had += length;
        world.until(() => client.receivedBytes === had);
      }
  });
});

test('an end of stream that TLS did not announce is a broken connection', () => {
  inWorld({}, (world) => {
    const [client, server] = world.pair();
    server.send('half of it');
    world.until(() => client.text() === 'half of it');
    inner(server).sendClose();
    world.until(() => client.closedCount === 1);
    assert.equal(client.closedErrno, ECONNRESET);
    assert.equal(client.hasEnded, false);
    world.until(() => server.closedCount === 1);
  });
});

test('one side may end while the other goes on', () => {
  inWorld({}, (world) => {
    const [client, server] = world.pair();
    client.send('ask').end();
    world.until(() => server.hasEnded);
    server.send('answer');
    world.until(() => client.text() === 'answer');
    assert.equal(client.hasEnded, false);
    server.end();
    world.until(() => client.closedCount + server.closedCount === 2);
    assert.deepEqual([client.closedErrno, server.closedErrno], [0, 0]);
  });
});

test('nothing is told between pause and resume, not even of what was received in one piece', () => {
  inWorld({ splitting: 'whole', delayMsMax: 0, kernelBytesMax: 1 << 20 }, (world) => {
    const [client, server] = world.pair();
    // Three records of a size that fills more than a block of plaintext.
    const text = 'x'.repeat(100_000);
    server.onEvent = (event) => {
      if (event === 'bytes' && server.receivedBytes < 80_000) server.pause();
    };
    client.send(text).end();
    world.until(() => server.receivedBytes > 0);
    const had = server.receivedBytes;
    world.engine.runFor(100);
    assert.equal(server.receivedBytes, had);
    assert.ok(had < text.length);
    assert.equal(server.wire!.hasUnread, true);
    while (!server.hasEnded) {
      server.resume();
      world.engine.runFor(5);
    }
    assert.equal(server.text(), text);
    server.end();
    world.until(() => client.closedCount + server.closedCount === 2);
  });
});

test('an end that was announced waits for resume', () => {
  inWorld({ splitting: 'whole', delayMsMax: 0 }, (world) => {
    const [client, server] = world.pair();
    server.onEvent = (event) => {
      if (event === 'bytes') server.pause();
    };
    client.send('last words').end();
    world.until(() => server.text() === 'last words');
    world.engine.runFor(50);
    assert.equal(server.hasEnded, false);
    server.resume();
    world.until(() => server.hasEnded);
    server.end();
    world.until(() => client.closedCount + server.closedCount === 2);
    assert.deepEqual([client.closedErrno, server.closedErrno], [0, 0]);
  });
});

test('a byte changed on the way ends the connection with an alert and a reason', () => {
  inWorld({ splitting: 'whole', delayMsMax: 0 }, (world) => {
    const [client, server] = world.pair();
    const { blocks } = world.engine;
    const block = blocks.takeSmall();
    const start = blocks.start(block);
    blocks.bytes.set([23, 3, 3, 0, 40, ...new Uint8Array(40)], start);
    inner(client).send(block, start, start + 45);
    blocks.release(block);
    world.until(() => server.closedCount === 1 && client.closedCount === 1);
    assert.equal(server.closedErrno, EPROTO);
    assert.match(world.wires[0]!.failure, /decryption failed or bad record mac/);
    assert.match((world.wires[0] as TlsWire).failure, /bad record mac/);
  });
});

test('new keys are agreed on in the middle of a stream', () => {
  inWorld({}, (world) => {
    const [client, server] = world.pair();
    for (let i = 0; i < 20; i++) {
      assert.equal(keyUpdate((client.wire as TlsWire).ssl, KEY_UPDATE_REQUESTED), 1);
      client.send('ask');
      world.until(() => server.text().length === 3 * (i + 1));
      server.send('ok');
      world.until(() => client.text().length === 2 * (i + 1));
    }
    client.close();
    world.until(() => client.closedCount === 1 && server.hasEnded);
    server.close();
    world.until(() => server.closedCount === 1);
  });
});

test('no free block ends a connection, at each place where one is asked for, and leaks nothing', () => {
  let failures = 0;
  for (let at = 1; at < 60; at++) {
    inWorld({ seed: at }, (world) => {
      const client = world.dial();
      client.send('x'.repeat(30_000));
      world.engine.blocks.failIn = at;
      world.engine.runFor(300);
      for (const peer of [client, ...world.served]) {
        if (peer.closedErrno === ENOBUFS) failures++;
        peer.close(closeHow.reset);
      }
      world.engine.runFor(3000);
      for (const peer of [client, ...world.served]) assert.equal(peer.closedCount, 1);
    });
  }
  assert.ok(failures > 0, 'some connection had no block');
});

test('one byte changed anywhere, on the way to the server or back, never does more than end the connection', () => {
  const errnos = new Set<number>();
  for (let seed = 1; seed <= 150; seed++) {
    const random = new Prng(seed);
    let left = random.below(seed % 2 === 0 ? 4500 : 1200);
    const spoil = (wire: Wire): void => {
      const send = wire.send.bind(wire);
      wire.send = (block, start, end) => {
        if (left >= 0 && left < end - start) world.engine.blocks.bytes[start + left]! ^= 1 << random.below(8);
        left -= end - start;
        send(block, start, end);
      };
    };
    const world = new World({ seed, reuseWires: false });
    const client = world.dial().send('x'.repeat(3000));
    if (seed % 2 === 0) spoil(inner(client));
    else world.onServed = (peer) => spoil(inner(peer));
    world.engine.runFor(300);
    for (const peer of world.served) if (peer.closedCount === 1) errnos.add(peer.closedErrno);
    world.close();
  }
  assert.ok(errnos.has(EPROTO), 'some were noticed by TLS');
});

test('a wire whose gathered bytes find no block ends alone: the one that sends next goes on', () => {
  inWorld({ splitting: 'whole', delayMsMax: 0 }, (world) => {
    const [unlucky, first] = world.pair();
    const [client, second] = world.pair();
    // More than a small block, less than what is encrypted where it lies.
    first.send('x'.repeat(5000));
    // The first is what the next one's own bytes lie in.
    world.engine.blocks.failIn = 2;
    second.send('y'.repeat(9000));
    world.until(() => unlucky.closedCount === 1 && first.closedCount === 1 && client.receivedBytes === 9000);
    assert.deepEqual([first.closedErrno, second.isOpen], [ENOBUFS, true]);
    client.send('still there');
    world.until(() => second.text() === 'still there');
  });
});

test('new keys may be asked for thousands of times by who reads the answers; who does not is cut off before he holds much', () => {
  inWorld({ splitting: 'whole', delayMsMax: 0, kernelBytesMax: 2048 }, (world) => {
    const { blocks } = world.engine;
    const ask = (client: Peer): void => {
      keyUpdate((client.wire as TlsWire).ssl, KEY_UPDATE_REQUESTED);
      client.send('x');
    };
    const [good, server] = world.pair();
    for (let i = 1; i <= 2000; i++) {
      ask(good);
      world.until(() => server.receivedBytes === i);
    }
    server.send('answer');
    world.until(() => good.text() === 'answer');
    const [bad, other] = world.pair();
    bad.pause();
    const { largeAvailable } = blocks;
    let asked = 0;
    let least = largeAvailable;
    while (other.closedCount === 0) {
      assert.ok(++asked < 1000, 'it is cut off');
      ask(bad);
      world.engine.runFor(2);
      least = Math.min(least, blocks.largeAvailable);
    }
    assert.equal(other.closedErrno, EPROTO);
    assert.ok(asked > 30 && largeAvailable - least <= 1, `${asked} times, ${largeAvailable - least} large blocks`);
    assert.ok(server.isOpen);
    world.until(() => bad.closedCount === 1);
  });
});

test('a broken connection is told once, during the handshake and after it', () => {
  for (let bytes = 1; bytes < 6000; bytes += 173) {
    inWorld({ seed: bytes }, (world) => {
      world.engine.faults.resetInBytes = bytes;
      const client = world.dial().send('x'.repeat(2000));
      world.engine.runFor(500);
      for (const peer of [client, ...world.served]) peer.close(closeHow.reset);
      world.engine.runFor(3000);
      for (const peer of [client, ...world.served]) assert.equal(peer.closedCount, 1);
    });
  }
});

test('who began a handshake hears that it failed at once and once, while the other side is still told why', () => {
  inWorld({ splitting: 'whole', delayMsMax: 0 }, (world) => {
    world.onServed = () => {
      // The first answer of the client cannot be decrypted.
      const { blocks } = world.engine;
      const [client] = world.dialled;
      const block = blocks.takeSmall();
      const start = blocks.start(block);
      blocks.bytes.set([23, 3, 3, 0, 40, ...new Uint8Array(40)], start);
      inner(client!).send(block, start, start + 45);
      blocks.release(block);
    };
    world.dial();
    world.until(() => world.served.some(({ failures }) => failures > 0));
    const [server] = world.served;
    assert.deepEqual([server!.closedCount, server!.isOpen], [0, false], 'its end takes until the client has read the alert');
    world.onServed = null;
    world.until(() => server!.closedCount === 1);
    assert.equal(server!.failures, 1);
    const [, other] = world.pair();
    other.close(closeHow.reset);
    world.until(() => other.closedCount === 1);
    assert.equal(other.failures, 0, 'what ends after the handshake has not failed in it');
  });
});

test('facts of a connection are those that were agreed on', () => {
  const settings = { ...plain, certificates: [shop, wildcard, internal] };
  inWorld({ settings, serverName: 'a.shop.example' }, (world) => {
    world.pair();
    const { facts } = world.wires[0]!;
    assert.deepEqual(
      { ...facts, cipher: facts!.cipher.slice(0, 4) },
      { version: '1.3', cipher: 'TLS_', serverName: 'a.shop.example', alpn: '', isResumed: false },
    );
  });
});

test('a name that no certificate has gets the first one, or nothing when names are strict', () => {
  inWorld({ serverName: 'other.example' }, (world) => {
    world.pair();
    assert.equal(world.refused.length, 0);
  });
  inWorld({ serverName: 'other.example', settings: { ...plain, strictSni: true } }, (world) => {
    const client = world.dial();
    world.until(() => client.closedCount === 1);
    assert.equal(world.refused.length, 1);
  });
});

test('contexts are shared by listeners with the same certificates, and gone with the last', () => {
  inWorld({ settings: { ...plain, certificates: [shop, shopRsa, wildcard] } }, (world) => {
    const count = () => [...world.loop.contexts.each()].length;
    // [shop, shopRsa], and for *.shop.example the wildcard; www.shop.example has all three, of which one is of a kind that is there already.
    const made = count();
    const again = new ServerTls(world.loop, { ...plain, certificates: [shop, shopRsa, wildcard] });
    assert.equal(count(), made);
    const other = new ServerTls(world.loop, { ...plain, certificates: [shop, shopRsa, wildcard], minVersion: '1.3' });
    assert.equal(count(), 2 * made);
    other.close();
    assert.equal(count(), made);
    again.close();
    assert.equal(count(), made);
  });
});

test('a key that does not belong to its certificate is refused, and what was made before is freed', () => {
  inWorld({}, (world) => {
    const count = () => [...world.loop.contexts.each()].length;
    const before = count();
    const bad = { ...internal, key: shop.key };
    assert.throws(() => new ServerTls(world.loop, { ...plain, certificates: [wildcard, bad] }), /SSL_CTX_check_private_key/);
    assert.throws(() => new ServerTls(world.loop, { ...plain, certificates: [{ ...shop, chain: 'no PEM' }] }), /no start line/);
    assert.equal(count(), before);
  });
});

test('a ticket key is found by its name, and the newest stands for all others', () => {
  inWorld({}, (world) => {
    const keys = [1, 2, 3].map((n) => Buffer.alloc(TICKET_KEY_BYTES, n).toString('hex'));
    world.loop.setTickets(keys);
    assert.deepEqual(
      [1, 2, 3, 4].map((n) => world.loop.tickets.find(Buffer.alloc(16, n))),
      [0, 1, 2, 0],
    );
  });
});

test('an older ticket key opens what it sealed and seals nothing: who comes back leaves with a ticket of the newest', () => {
  inWorld({ splitting: 'whole', delayMsMax: 0 }, (world) => {
    const keys = [1, 2].map((n) => Buffer.alloc(TICKET_KEY_BYTES, n).toString('hex'));
    /** A connection, and the session that its tickets make. */
    const session = (from: bigint): bigint => {
      const [client] = world.pair(from);
      world.engine.runFor(20);
      return sessionOf((client.wire as TlsWire).ssl);
    };
    const sealedBy = (): number | undefined => (world.reader.hasTicket ? world.reader.ticketName[0] : undefined);
    world.loop.setTickets([keys[0]!]);
    const first = session(0n);
    world.loop.setTickets([keys[1]!, keys[0]!]);
    const second = session(first);
    assert.deepEqual([sealedBy(), world.wires.at(-1)!.facts!.isResumed], [1, true]);
    const third = session(second);
    assert.deepEqual([sealedBy(), world.wires.at(-1)!.facts!.isResumed], [2, true]);
    for (const each of [first, second, third]) sessionFree(each);
  });
});
