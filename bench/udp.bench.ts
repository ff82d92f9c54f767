/**
 * Datagrams through weir and through nginx's stream proxy, one worker each; medians. Conventions are those of peers.bench.ts.
 *
 *     node bench/udp.bench.ts [--rounds 5] [--seconds 4] [--only dns,flow] [--clients 64] [--no-pin] [--profile cpu]
 *
 * Rules
 * 1. CPU is what the kernel charged to the processes that carry traffic (utime + stime), divided by the datagrams of the same seconds, questions and answers.
 *    weir's control process and nginx's master are listed apart.
 * 2. Both run at the same time; the clients ask one after the other, and every round begins with the other one.
 * 3. Client and endpoints (udp.child.ts) are on cpu 0, the balancer on cpu 1: they would take turns on either otherwise, and a question costs a wake-up.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { availableParallelism, cpus, loadavg, release } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { freePort } from '../tests/support/system.ts';
import { Hopeless, until } from '../tests/support/wait.ts';
import { type Balancer, Nginx, STREAM_MODULE, WeirBalancer } from './balancers.ts';
import { fill, makeFolder, pinned, removeFolder, versionOf } from './programs.ts';
import { median } from './report.ts';
import type { Kind } from './udp.child.ts';

const { values: flags } = parseArgs({
  options: {
    rounds: { type: 'string', default: '5' },
    seconds: { type: 'string', default: '4' },
    warm: { type: 'string', default: '3' },
    only: { type: 'string' },
    clients: { type: 'string' },
    pin: { type: 'boolean', default: true },
    profile: { type: 'string' },
  },
  allowNegative: true,
});
const root = join(import.meta.dirname, '..');
const out = join(import.meta.dirname, 'out');
const weirProgram = process.env['WEIR'] ?? join(root, 'bin/weir');
const nginxProgram = process.env['NGINX'] ?? 'nginx';
process.env['PATH'] += ':/usr/sbin:/sbin';
const setting = { pin: flags.pin && availableParallelism() > 1 };
const seconds = Number(flags.seconds);

/** CPU of a datagram as a share of nginx's: at most this. */
const SHARE_MAX = 0.6;

interface Row extends Kind {
  name: string;
  says: string;
  /** Answers after which a client is forgotten; 0: none. */
  responses: number;
  engine: 'uring' | 'epoll';
  /** Is the target for it? */
  isJudged: boolean;
}
const dns = { question: 40, answer: 120, clients: 64, window: 1, isFresh: false, responses: 1 };
const flow = { question: 1350, answer: 1350, clients: 1, window: 64, isFresh: false, responses: 0 };
const rows: Row[] = [
  { name: 'dns', says: '40 bytes asked, 120 answered, 64 clients that keep their port', ...dns, engine: 'uring', isJudged: true },
  { name: 'fresh', says: 'the same, each question from a new port', ...dns, isFresh: true, engine: 'uring', isJudged: true },
  { name: 'flow', says: 'one flow, 1,350 bytes both ways, 64 on the way', ...flow, engine: 'uring', isJudged: true },
  { name: 'epoll', says: 'as dns, weir on epoll', ...dns, engine: 'epoll', isJudged: false },
];
const only = flags.only?.split(',');

interface Sample {
  cpuUs: number;
  userUs: number;
  otherUs: number;
  perSecond: number;
  lost: number;
  rss: number;
}

function side(...words: string[]): ChildProcess {
  const command = pinned(setting, 0, [process.execPath, join(import.meta.dirname, 'udp.child.ts'), ...words]);
  return spawn(command[0]!, command.slice(1), { stdio: ['ignore', 'pipe', 'inherit'] });
}

async function lineOf<T>(child: ChildProcess): Promise<T> {
  const [text] = (await once(child.stdout!, 'data')) as [Buffer];
  return JSON.parse(text.toString()) as T;
}

async function startNginx(home: string, [a, b]: readonly number[], row: Row): Promise<Balancer> {
  const port = await freePort();
  const file = join(home, 'nginx.conf');
  const text = fill('nginx-udp.conf', {
    MODULE: existsSync(STREAM_MODULE) ? `load_module ${STREAM_MODULE};` : '',
    DIR: home,
    A: a!,
    B: b!,
    LISTEN: port,
    RESPONSES: row.responses,
  });
  // nginx: as many answers as come when nothing is said.
  writeFileSync(file, row.responses === 0 ? text.replace(/proxy_responses \d+; /, '') : text);
  const nginx = new Nginx('nginx', home, pinned(setting, 1, [nginxProgram, '-c', file, '-p', home]));
  nginx.port = port;
  await until(
    'nginx to have a worker',
    () => {
      if (nginx.child.exitCode !== null) throw new Hopeless(`nginx has exited: ${nginx.output}`);
      return nginx.workers().length === 1;
    },
    10_000,
  );
  return nginx;
}

async function startWeir(home: string, ports: readonly number[], row: Row): Promise<Balancer> {
  const [port, admin] = [await freePort(), await freePort()];
  const file = join(home, 'weir.json');
  const config = {
    version: 1,
    admin: { listen: `127.0.0.1:${admin}` },
    listeners: { in: { protocol: 'udp', listen: `127.0.0.1:${port}`, to: 'pool', udp: { responses: row.responses } } },
    pools: { pool: { endpoints: ports.map((each) => `127.0.0.1:${each}`) } },
  };
  writeFileSync(file, JSON.stringify(config));
  const command = [weirProgram, 'run', '-c', file, '--workers', '1', '--engine', row.engine];
  const weir = new WeirBalancer('weir', home, pinned(setting, 1, command), {
    environment: flags.profile === 'cpu' ? { NODE_OPTIONS: `--cpu-prof --cpu-prof-dir=${out}` } : {},
  });
  weir.port = port;
  await until(
    'weir to be ready',
    async () => {
      if (weir.child.exitCode !== null) throw new Hopeless(`weir has exited: ${weir.output}`);
      return (await fetch(`http://127.0.0.1:${admin}/readyz`)).status === 200;
    },
    20_000,
    50,
  );
  return weir;
}

/** The clients' run at one balancer, with what the kernel charged meanwhile. */
async function measure(balancer: Balancer, row: Row, forSeconds: number): Promise<Sample> {
  const [cpu, user, other] = [balancer.cpuMs(), balancer.userMs(), balancer.otherCpuMs()];
  const clients = side('clients', String(balancer.port), String(forSeconds), JSON.stringify(row satisfies Kind));
  const { answered, lost } = await lineOf<{ answered: number; lost: number }>(clients);
  // A machine so busy that nothing was answered shows as what it is: dear.
  const datagrams = Math.max(1, answered * 2);
  return {
    cpuUs: ((balancer.cpuMs() - cpu) * 1000) / datagrams,
    userUs: ((balancer.userMs() - user) * 1000) / datagrams,
    otherUs: ((balancer.otherCpuMs() - other) * 1000) / datagrams,
    perSecond: datagrams / forSeconds,
    lost,
    rss: balancer.rss(),
  };
}

async function runRow(row: Row, folder: string): Promise<Map<string, Sample[]>> {
  const endpoints = side('endpoints', String(row.answer));
  const balancers: Balancer[] = [];
  try {
    const ports = await lineOf<number[]>(endpoints);
    for (const [name, start] of [
      ['weir', startWeir],
      ['nginx', startNginx],
    ] as const) {
      const home = join(folder, `${row.name}-${name}`);
      mkdirSync(home);
      balancers.push(await start(home, ports, row));
    }
    for (const balancer of balancers) await measure(balancer, row, Number(flags.warm));
    const samples = new Map<string, Sample[]>(balancers.map(({ name }) => [name, []]));
    for (let round = 0; round < Number(flags.rounds); round++)
      for (let i = 0; i < balancers.length; i++) {
        const balancer = balancers[(i + round) % balancers.length]!;
        samples.get(balancer.name)!.push(await measure(balancer, row, seconds));
      }
    return samples;
  } finally {
    for (const balancer of balancers) await balancer.stop();
    endpoints.kill('SIGTERM');
  }
}

const medianOf = (samples: readonly Sample[], key: keyof Sample): number => median(samples.map((sample) => sample[key]));

function printRow(row: Row, samples: Map<string, Sample[]>): number {
  const widths = [8, 8, 15, 7, 8, 12, 7, 8, 8];
  const line = (cells: string[]) =>
    console.log(cells.map((cell, i) => (i === 0 ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!))).join('  '));
  const theirs = medianOf(samples.get('nginx')!, 'cpuUs');
  console.log(`${row.name}: ${row.says}`);
  line(['', 'CPU µs', 'min-max', 'user', '×nginx', 'datagrams/s', 'lost', 'RSS MB', 'ctl µs']);
  for (const [name, each] of samples) {
    const all = each.map(({ cpuUs }) => cpuUs);
    line([
      name,
      medianOf(each, 'cpuUs').toFixed(2),
      `${Math.min(...all).toFixed(2)}-${Math.max(...all).toFixed(2)}`,
      medianOf(each, 'userUs').toFixed(2),
      (medianOf(each, 'cpuUs') / theirs).toFixed(2),
      medianOf(each, 'perSecond').toFixed(0),
      String(each.reduce((sum, { lost }) => sum + lost, 0)),
      (medianOf(each, 'rss') / 2 ** 20).toFixed(0),
      medianOf(each, 'otherUs').toFixed(2),
    ]);
  }
  console.log();
  return medianOf(samples.get('weir')!, 'cpuUs') / theirs;
}

mkdirSync(out, { recursive: true });
const folder = makeFolder();
process.on('SIGINT', () => process.exit(130));
process.on('exit', () => removeFolder(folder));
const about = {
  when: new Date().toISOString(),
  machine: `${availableParallelism()} x ${cpus()[0]?.model ?? 'unknown cpu'}, Linux ${release()}, load ${loadavg()[0]!.toFixed(1)}`,
  versions: {
    weir: `${versionOf(weirProgram, ['--version'])} on Node ${process.version}`,
    nginx: versionOf(nginxProgram, ['-v']),
  },
  rounds: Number(flags.rounds),
  seconds,
  pin: setting.pin,
};
console.log(
  `${about.machine}\n${Object.values(about.versions).join('\n')}\n${flags.rounds} rounds of ${seconds} s, medians${setting.pin ? ', pinned' : ''}\n`,
);
const verdicts: string[] = [];
const measured: Record<string, Record<string, Sample[]>> = {};
for (const row of rows) {
  if (only !== undefined && !only.some((word) => row.name.startsWith(word))) continue;
  const asked = flags.clients === undefined ? row : { ...row, clients: Number(flags.clients) };
  const samples = await runRow(asked, folder);
  measured[row.name] = Object.fromEntries(samples);
  const share = printRow(asked, samples);
  if (row.isJudged)
    verdicts.push(
      `${share <= SHARE_MAX ? 'met   ' : 'MISSED'} ${row.name}: CPU ${share.toFixed(2)} x nginx, target ${SHARE_MAX}`,
    );
}
console.log(verdicts.join('\n'));
const file = join(out, `udp-${about.when.replace(/[:.]/g, '-')}.json`);
writeFileSync(file, JSON.stringify({ about, rows: measured }, null, 2));
console.log(`\nwritten to ${file}`);
