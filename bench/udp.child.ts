/**
 * The two sides of bench/udp.bench.ts, on weir's own loop so that they cost little.
 *
 *     node bench/udp.child.ts endpoints BYTES              two sockets that answer every datagram with so many; says [PORT, PORT]
 *     node bench/udp.child.ts clients PORT SECONDS KIND    asks for so long; says {answered, lost}
 */
import { wordsOf } from '../src/base/datagram-name.ts';
import type { Address, DatagramOwner, DatagramSocket, Engine } from '../src/base/wire.ts';
import { openEngine } from '../src/io/io.ts';
import { AF_INET } from '../src/sys/constants.generated.ts';
import { datagramSocket } from '../src/sys/datagram.ts';
import { bind, check, localAddress } from '../src/sys/libc.ts';

/** A question that got no answer is asked again after this: it was lost on the way. */
const LOST_MS = 500;

/** What clients do, as JSON in the command line. */
export interface Kind {
  /** Bytes of each. */
  question: number;
  answer: number;
  clients: number;
  /** Questions of one client on the way. */
  window: number;
  /** Each question comes from a port of its own. */
  isFresh: boolean;
}

/** Answers every datagram with `size` bytes. */
class Endpoint implements DatagramOwner {
  private readonly words: Int32Array;
  private readonly block: number;
  private readonly start: number;
  private readonly size: number;

  constructor(engine: Engine, size: number) {
    this.words = wordsOf(engine.blocks);
    this.block = engine.blocks.takeLarge();
    this.start = engine.blocks.start(this.block);
    this.size = size;
  }
  onDatagram(socket: DatagramSocket, _block: number, start: number, end: number, segment: number, from: number): void {
    const count = segment === 0 ? 1 : Math.ceil((end - start) / segment);
    for (let i = 0; i < count; i++) socket.sendTo(this.block, this.start, this.start + this.size, 0, this.words, from);
  }
  onDatagramFault(): void {}
}

class Load {
  readonly engine: Engine;
  readonly address: Address;
  readonly kind: Kind;
  readonly block: number;
  readonly start: number;
  answered = 0;
  lost = 0;

  constructor(engine: Engine, port: number, kind: Kind) {
    this.engine = engine;
    this.address = { kind: 'ip', host: '127.0.0.1', port };
    this.kind = kind;
    this.block = engine.blocks.takeLarge();
    this.start = engine.blocks.start(this.block);
  }
}

class Client implements DatagramOwner {
  private readonly load: Load;
  private socket: DatagramSocket;
  private askedMs = 0;
  private waiting = 0;

  constructor(load: Load) {
    this.load = load;
    this.socket = load.engine.connectDatagrams(load.address, this);
    load.engine.setTimer(LOST_MS, this, 0);
    this.ask();
  }
  onDatagram(_socket: DatagramSocket, _block: number, start: number, end: number, segment: number): void {
    const count = segment === 0 ? 1 : Math.ceil((end - start) / segment);
    const { load } = this;
    load.answered += count;
    this.waiting = Math.max(0, this.waiting - count);
    if (load.kind.isFresh) {
      this.socket.close();
      this.socket = load.engine.connectDatagrams(load.address, this);
    }
    this.ask();
  }
  onDatagramFault(): void {}
  onTimer(): void {
    const { load } = this;
    load.engine.setTimer(LOST_MS, this, 0);
    if (load.engine.now - this.askedMs < LOST_MS || this.waiting === 0) return;
    load.lost += this.waiting;
    this.waiting = 0;
    this.ask();
  }
  private ask(): void {
    const { load } = this;
    const { window, question } = load.kind;
    this.askedMs = load.engine.now;
    while (this.waiting < window) {
      this.waiting++;
      this.socket.send(load.block, load.start, load.start + question, 0);
    }
  }
}

function serveEndpoints(size: number): Promise<void> {
  const { engine } = openEngine('auto');
  const ports = [0, 0].map(() => {
    const fd = check('socket', datagramSocket(AF_INET));
    check('bind', bind(fd, { kind: 'ip', host: '127.0.0.1', port: 0 }));
    engine.serveDatagrams(fd, new Endpoint(engine, size));
    return (localAddress(fd) as Address & { port: number }).port;
  });
  process.stdout.write(`${JSON.stringify(ports)}\n`);
  process.on('SIGTERM', () => process.exit(0));
  return engine.run();
}

async function runClients(port: number, seconds: number, kind: Kind): Promise<void> {
  const { engine } = openEngine('auto');
  const load = new Load(engine, port, kind);
  for (let i = 0; i < kind.clients; i++) new Client(load);
  engine.setTimer(seconds * 1000, { onTimer: () => engine.stop() }, 0);
  await engine.run();
  process.stdout.write(`${JSON.stringify({ answered: load.answered, lost: load.lost })}\n`);
  process.exit(0);
}

const [role, ...words] = process.argv.slice(2);
if (role === 'endpoints') await serveEndpoints(Number(words[0]));
else await runClients(Number(words[0]), Number(words[1]), JSON.parse(words[2]!) as Kind);
