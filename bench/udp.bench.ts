/**
 * udp: datagrams through weir and through nginx's stream proxy, one worker each, in the same run.
 *
 *     dns       40 bytes asked, 120 answered, responses: 1; each client asks again from the same port when it was answered
 *     fresh     the same, each question from a port of its own, as resolvers do
 *     flow      1 client, 1,350 bytes both ways, up to 64 on the way: as QUIC would
 *
 * Client and endpoints are this program (src/io, so that they cost little) on cpu 0, the balancer is on cpu 1. CPU is that of the processes that carry
 * traffic, user and system, divided by the datagrams that passed: questions and answers.
 *
 *     node bench/udp.bench.ts [--seconds 4] [--rounds 3] [--clients 64] [--only dns] [--engine uring] [--prof FOLDER]
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism, loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { wordsOf } from '../src/base/datagram-name.ts';
import type { Address, DatagramOwner, DatagramSocket, Engine } from '../src/base/wire.ts';
import { openEngine } from '../src/io/io.ts';
import { AF_INET } from '../src/sys/constants.generated.ts';
import { datagramSocket } from '../src/sys/datagram.ts';
import { bind, check, localAddress } from '../src/sys/libc.ts';
import { childrenOf, commandOf, cpuMs, freePort, rssBytes, userMs } from '../tests/support/system.ts';
import { until } from '../tests/support/wait.ts';

const root = join(import.meta.dirname, '..');
const STREAM_MODULE = '/usr/lib/nginx/modules/ngx_stream_module.so';
/** A question that got no answer is asked again after this: it was lost on the way. */
const LOST_MS = 500;

interface Kind {
  question: number;
  answer: number;
  clients: number;
  /** Questions of one client on the way. */
  window: number;
  isFresh: boolean;
  responses: number;
}

const kinds: Record<string, Kind> = {
  dns: { question: 40, answer: 120, clients: 64, window: 1, isFresh: false, responses: 1 },
  fresh: { question: 40, answer: 120, clients: 64, window: 1, isFresh: true, responses: 1 },
  flow: { question: 1350, answer: 1350, clients: 1, window: 64, isFresh: false, responses: 0 },
};

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

async function serveEndpoints(size: number): Promise<void> {
  const { engine } = openEngine('auto');
  const ports = [0, 0].map(() => {
    const fd = check('socket', datagramSocket(AF_INET));
    check('bind', bind(fd, { kind: 'ip', host: '127.0.0.1', port: 0 }));
    engine.serveDatagrams(fd, new Endpoint(engine, size));
    return (localAddress(fd) as Address & { port: number }).port;
  });
  process.stdout.write(`${JSON.stringify(ports)}\n`);
  process.on('SIGTERM', () => process.exit(0));
  await engine.run();
}

async function runClients(port: number, kind: Kind, seconds: number): Promise<void> {
  const { engine } = openEngine('auto');
  const load = new Load(engine, port, kind);
  for (let i = 0; i < kind.clients; i++) new Client(load);
  engine.setTimer(seconds * 1000, { onTimer: () => engine.stop() }, 0);
  await engine.run();
  process.stdout.write(`${JSON.stringify({ answered: load.answered, lost: load.lost })}\n`);
  process.exit(0);
}

const pinned = (cpu: number, command: string[]): string[] =>
  availableParallelism() > 1 ? ['taskset', '-c', String(cpu), ...command] : command;

function self(cpu: number, ...args: string[]): ChildProcess {
  const command = pinned(cpu, [process.execPath, import.meta.filename, ...args]);
  return spawn(command[0]!, command.slice(1), { stdio: ['ignore', 'pipe', 'inherit'] });
}

async function lineOf(child: ChildProcess): Promise<string> {
  const [text] = (await once(child.stdout!, 'data')) as [Buffer];
  return text.toString();
}

interface Subject {
  name: string;
  port: number;
  child: ChildProcess;
  workers(): number[];
}

function fill(template: string, values: Record<string, string | number>): string {
  return readFileSync(join(import.meta.dirname, 'peers', template), 'utf8').replace(/@([A-Z]+)@/g, (_, name: string) =>
    String(values[name]),
  );
}

async function startNginx(folder: string, ports: number[], kind: Kind): Promise<Subject> {
  const port = await freePort();
  const file = join(folder, 'nginx.conf');
  const MODULE = existsSync(STREAM_MODULE) ? `load_module ${STREAM_MODULE};` : '';
  // nginx: as many answers as come when nothing is said.
  const text = fill('nginx-udp.conf', {
    MODULE,
    DIR: folder,
    A: ports[0]!,
    B: ports[1]!,
    LISTEN: port,
    RESPONSES: kind.responses,
  });
  writeFileSync(file, kind.responses === 0 ? text.replace(/proxy_responses \d+; /, '') : text);
  const command = pinned(1, ['nginx', '-c', file, '-p', folder]);
  const child = spawn(command[0]!, command.slice(1), { stdio: ['ignore', 'ignore', 'inherit'] });
  await until('nginx to have a worker', () => child.exitCode !== null || childrenOf(child.pid!).length === 1, 10_000);
  if (child.exitCode !== null) throw new Error(`nginx: ${readFileSync(join(folder, 'proxy.err'), 'utf8')}`);
  return { name: 'nginx', port, child, workers: () => childrenOf(child.pid!) };
}

async function startWeir(folder: string, ports: number[], kind: Kind, engine: string, prof: string): Promise<Subject> {
  const [port, admin] = [await freePort(), await freePort()];
  const file = join(folder, 'weir.json');
  const config = {
    version: 1,
    admin: { listen: `127.0.0.1:${admin}` },
    listeners: { dns: { protocol: 'udp', listen: `127.0.0.1:${port}`, to: 'pool', udp: { responses: kind.responses } } },
    pools: { pool: { protocol: 'udp', endpoints: ports.map((each) => `127.0.0.1:${each}`) } },
  };
  writeFileSync(file, JSON.stringify(config));
  const command = pinned(1, [join(root, 'bin/weir'), 'run', '-c', file, '--workers', '1', '--engine', engine]);
  const environment = {
    ...process.env,
    WEIR_NODE: process.execPath,
    ...(prof === '' ? {} : { NODE_OPTIONS: `--cpu-prof --cpu-prof-dir=${prof}` }),
  };
  const child = spawn(command[0]!, command.slice(1), { cwd: folder, stdio: ['ignore', 'pipe', 'pipe'], env: environment });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (text) => (output += text));
  const workers = () => childrenOf(child.pid!).filter((pid) => commandOf(pid).includes('worker/worker.ts'));
  await until(
    'weir to be ready',
    async () => {
      if (child.exitCode !== null) throw new Error(`weir: ${output}`);
      return (await fetch(`http://127.0.0.1:${admin}/readyz`).catch(() => null))?.status === 200;
    },
    15_000,
  );
  return { name: 'weir', port, child, workers };
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      seconds: { type: 'string', default: '4' },
      rounds: { type: 'string', default: '3' },
      clients: { type: 'string', default: '' },
      only: { type: 'string', default: '' },
      engine: { type: 'string', default: 'uring' },
      prof: { type: 'string', default: '' },
      endpoints: { type: 'string' },
      load: { type: 'string' },
      kind: { type: 'string', default: 'dns' },
    },
  });
  const kindOf = (name: string): Kind => ({
    ...kinds[name]!,
    ...(values.clients === '' ? {} : { clients: Number(values.clients) }),
  });
  if (values.endpoints !== undefined) return serveEndpoints(Number(values.endpoints));
  if (values.load !== undefined) return runClients(Number(values.load), kindOf(values.kind), Number(values.seconds));

  const folder = mkdtempSync(join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'weir-bench-'));
  chmodSync(folder, 0o755);
  process.stdout.write(
    `${execFileSync('sh', ['-c', 'nginx -v 2>&1'], { encoding: 'utf8' }).trim()}, load before: ${loadavg()[0]!.toFixed(1)}\n`,
  );
  for (const name of Object.keys(kinds)) {
    if (values.only !== '' && values.only !== name) continue;
    const kind = kindOf(name);
    const endpoints = self(0, '--endpoints', String(kind.answer));
    const ports = JSON.parse(await lineOf(endpoints)) as number[];
    const subjects = [await startWeir(folder, ports, kind, values.engine, values.prof), await startNginx(folder, ports, kind)];
    const results = new Map<string, number[]>();
    try {
      const run = async ({ port }: Subject, seconds: string) => {
        const clients = values.clients === '' ? [] : ['--clients', values.clients];
        const child = self(0, '--load', String(port), '--kind', name, '--seconds', seconds, ...clients);
        return JSON.parse(await lineOf(child)) as { answered: number; lost: number };
      };
      for (const subject of subjects) await run(subject, '3');
      for (let round = 0; round < Number(values.rounds); round++) {
        for (const subject of subjects) {
          const pids = subject.workers();
          const sum = (of: (pid: number) => number) => pids.reduce((total, pid) => total + of(pid), 0);
          const [cpu, user] = [sum(cpuMs), sum(userMs)];
          const { answered, lost } = await run(subject, values.seconds);
          const datagrams = answered * 2;
          const us = ((sum(cpuMs) - cpu) * 1000) / datagrams;
          results.set(subject.name, [...(results.get(subject.name) ?? []), us]);
          process.stdout.write(
            `${name.padEnd(6)} ${subject.name.padEnd(6)} ${us.toFixed(2).padStart(6)} us CPU/datagram (user ${(((sum(userMs) - user) * 1000) / datagrams).toFixed(2)})  ${Math.round(datagrams / Number(values.seconds))} datagrams/s  lost ${lost}  rss ${Math.round(sum(rssBytes) / 2 ** 20)} MiB\n`,
          );
        }
      }
    } finally {
      for (const child of [...subjects.map((subject) => subject.child), endpoints]) {
        const gone = once(child, 'exit');
        child.kill('SIGTERM');
        await gone;
      }
    }
    const median = (of: number[]) => [...of].sort((a, b) => a - b)[of.length >> 1]!;
    const [ours, theirs] = [median(results.get('weir')!), median(results.get('nginx')!)];
    process.stdout.write(`${name}: weir ${ours.toFixed(2)}, nginx ${theirs.toFixed(2)}: ${(ours / theirs).toFixed(2)} x nginx\n`);
  }
  rmSync(folder, { recursive: true });
}

await main();
