/**
 * weir, HAProxy and nginx side by side: the same endpoints, the same client, one worker or thread each, alternating in one run; medians.
 *
 *     npm run bench -- [--rounds 5] [--seconds 4] [--only small64,idle] [--balancers weir,haproxy] [--pin] [--profile cpu|perf]
 *
 * Rules
 * 1. CPU is what the kernel charged to the processes that carry traffic (utime + stime), divided by the requests of the same seconds. weir's
 *    control process and nginx's master are listed apart.
 * 2. All balancers of a row run at the same time; the client asks one after the other, and every round begins with another one.
 * 3. A run with a single error or a status other than 2xx or 3xx is shown with its count: a fast wrong answer is no answer.
 */
import { type ChildProcess, fork, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, writeFileSync } from 'node:fs';
import { availableParallelism, cpus, release } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { issueCertificate } from '../tests/support/certificate.ts';
import { within } from '../tests/support/wait.ts';
import { type Balancer, type BalancerName, startBalancer } from './balancers.ts';
import {
  DESCRIPTORS,
  Endpoints,
  makeFolder,
  type Run,
  removeFolder,
  runHandshakes,
  runWrk,
  type Setting,
  versionOf,
} from './programs.ts';
import { judge, printIdle, printRow, type Sample, type Summary, summarize } from './report.ts';

const { values: flags } = parseArgs({
  options: {
    rounds: { type: 'string', default: '5' },
    seconds: { type: 'string', default: '4' },
    warm: { type: 'string', default: '3' },
    only: { type: 'string' },
    balancers: { type: 'string', default: 'weir,haproxy,nginx' },
    idle: { type: 'string', default: '10000' },
    pin: { type: 'boolean', default: false },
    profile: { type: 'string' },
  },
});
const rounds = Number(flags.rounds);
const seconds = Number(flags.seconds);
const root = join(import.meta.dirname, '..');
const out = join(import.meta.dirname, 'out');
mkdirSync(out, { recursive: true });

type CertificateKind = 'P-256' | 'rsa-2048';

interface Row {
  name: string;
  path: string;
  connections: number;
  close: boolean;
  log: boolean;
  engine: 'uring' | 'epoll';
  layer: 'http' | 'tcp';
  /** A body so long that the bytes are what costs: HAProxy stands there a second time, made to splice. */
  isBulk: boolean;
  /** Kind of key of the certificate; '': no TLS. */
  tls: '' | CertificateKind;
  /** Each request pays for a whole handshake: wrk would resume by ticket. */
  isWhole: boolean;
  says: string;
}
const row = (name: string, says: string, more: Partial<Row> = {}): Row => ({
  name,
  says,
  path: '/',
  connections: 64,
  close: false,
  log: false,
  engine: 'uring',
  layer: 'http',
  isBulk: false,
  tls: '',
  isWhole: false,
  ...more,
});
const rows: Row[] = [
  row('small64', 'small answers, keep-alive, 64 connections'),
  row('small512', 'small answers, keep-alive, 512 connections', { connections: 512 }),
  row('16k', '16 KiB answers, 64 connections', { path: '/16k' }),
  row('1m', '1 MiB answers, 64 connections', { path: '/1m' }),
  row('close', 'Connection: close, 64 at a time', { close: true }),
  row('epoll', 'small answers, 64 connections, weir on epoll', { engine: 'epoll' }),
  row('log', 'small answers, 64 connections, access logs on', { log: true }),
  row('tls64', 'TLS: small answers, keep-alive, 64 connections', { tls: 'P-256' }),
  row('tls1m', 'TLS: 1 MiB answers, 64 connections', { tls: 'P-256', path: '/1m' }),
  row('tlsclose', 'TLS: a connection a request, which wrk resumes by ticket, 64 at a time', { tls: 'P-256', close: true }),
  row('tlsfull', 'TLS 1.3: a connection and a whole handshake a request, ECDSA P-256, 8 at a time', {
    tls: 'P-256',
    isWhole: true,
    connections: 8,
  }),
  row('tlsfullrsa', 'TLS 1.3: the same with RSA 2048', { tls: 'rsa-2048', isWhole: true, connections: 8 }),
  row('tcp64', 'TCP: small answers over 64 kept connections', { layer: 'tcp' }),
  row('tcpclose', 'TCP: a connection a request, 64 at a time', { layer: 'tcp', close: true }),
  row('tcpbulk1', 'TCP: 16 MiB answers, one stream', { layer: 'tcp', path: '/16m', connections: 1, isBulk: true }),
  row('tcpbulk64', 'TCP: 16 MiB answers, 64 streams', { layer: 'tcp', path: '/16m', isBulk: true }),
];
const only = flags.only?.split(',');
const isWanted = (name: string): boolean => only === undefined || only.some((word) => name.startsWith(word));
const names = flags.balancers.split(',') as BalancerName[];

const base: Setting = {
  programs: {
    haproxy: process.env['HAPROXY'] ?? 'haproxy',
    nginx: process.env['NGINX'] ?? 'nginx',
    wrk: process.env['WRK'] ?? 'wrk',
    weir: process.env['WEIR'] ?? join(root, 'bin/weir'),
  },
  pin: flags.pin,
  log: false,
  engine: 'uring',
  layer: 'http',
  tls: null,
  nodeOptions:
    flags.profile === 'cpu'
      ? `--cpu-prof --cpu-prof-dir=${out}`
      : flags.profile === 'perf'
        ? '--perf-basic-prof --interpreted-frames-native-stack'
        : '',
};
process.env['PATH'] += ':/usr/sbin:/sbin';

const schemeOf = (setting: Setting): string => (setting.tls === null ? 'http' : 'https');

function writeCertificate(home: string, kind: CertificateKind): Setting['tls'] {
  const { cert, key } = issueCertificate({ names: ['bench'], key: kind });
  const paths = { certificate: join(home, 'bench.crt'), key: join(home, 'bench.key'), both: join(home, 'bench.pem') };
  writeFileSync(paths.certificate, cert);
  writeFileSync(paths.key, key, { mode: 0o600 });
  writeFileSync(paths.both, cert + key, { mode: 0o600 });
  return paths;
}

/** One run of the client that belongs to a row. */
function runClient(balancer: Balancer, setting: Setting, of: Row, seconds: number): Promise<Run> {
  if (of.isWhole) return runHandshakes(setting, balancer.port, { ...of, seconds });
  return runWrk(setting, `${schemeOf(setting)}://127.0.0.1:${balancer.port}${of.path}`, { ...of, seconds });
}

/** The client's run of one balancer, with what the kernel charged meanwhile. */
async function measure(balancer: Balancer, setting: Setting, of: Row): Promise<Sample> {
  const cpu = balancer.cpuMs();
  const user = balancer.userMs();
  const other = balancer.otherCpuMs();
  const run = await runClient(balancer, setting, of, seconds);
  // A machine so busy that nothing was answered shows as what it is: dear.
  const requests = Math.max(1, run.requests);
  return {
    ...run,
    cpuUs: ((balancer.cpuMs() - cpu) * 1000) / requests,
    userUs: ((balancer.userMs() - user) * 1000) / requests,
    otherUs: ((balancer.otherCpuMs() - other) * 1000) / requests,
    perSecond: (run.requests * 1e6) / run.us,
    rss: balancer.rss(),
  };
}

async function runRow(of: Row, folder: string): Promise<Summary[]> {
  const tls = of.tls === '' ? null : writeCertificate(join(folder, of.name), of.tls);
  const setting: Setting = { ...base, log: of.log, engine: of.engine, layer: of.layer, tls };
  const endpoints = await Endpoints.start(join(folder, of.name), setting);
  const balancers: Balancer[] = [];
  try {
    const wanted = of.isBulk && names.includes('haproxy') ? [...names, 'haproxy-splice' as const] : names;
    for (const name of wanted) balancers.push(await startBalancer(name, join(folder, of.name), endpoints, setting));
    for (const balancer of balancers) await runClient(balancer, setting, of, Number(flags.warm));
    const samples = new Map<Balancer, Sample[]>(balancers.map((balancer) => [balancer, []]));
    const perf = flags.profile === 'perf' ? startPerf(balancers) : null;
    for (let round = 0; round < rounds; round++)
      for (let i = 0; i < balancers.length; i++) {
        const balancer = balancers[(i + round) % balancers.length]!;
        samples.get(balancer)!.push(await measure(balancer, setting, of));
      }
    if (perf !== null) {
      perf.kill('SIGINT');
      await once(perf, 'exit');
      console.log(`perf.data of the weir worker: ${join(out, 'perf.data')}`);
    }
    return balancers.map((balancer) => summarize(balancer.name, samples.get(balancer)!));
  } finally {
    for (const balancer of balancers) await balancer.stop();
    await endpoints.stop();
  }
}

function startPerf(balancers: Balancer[]): ChildProcess | null {
  const weir = balancers.find((balancer) => balancer.name === 'weir');
  if (weir === undefined) return null;
  return spawn('perf', ['record', '-q', '-F', '999', '-g', '-p', weir.workers().join(','), '-o', join(out, 'perf.data')], {
    stdio: 'inherit',
  });
}

export interface IdleResult {
  name: string;
  open: number;
  failures: number;
  baseRss: number;
  rss: number;
  basePss: number;
  pss: number;
}

/** Descriptors left to a balancer for itself, and to its endpoints. */
const DESCRIPTORS_KEPT = 2000;

/** One client process opens them, and has to be done before the first is closed for being idle (60 s). */
const TLS_IDLE_MAX = 5000;

/** Memory of the workers before and with so many silent connections. Kernel memory of the sockets is the same for all and not in it. */
async function runIdle(folder: string, layer: 'http' | 'tcp', tls: Setting['tls']): Promise<IdleResult[]> {
  const setting: Setting = { ...base, layer, tls };
  // A carried connection takes two descriptors.
  const room = layer === 'tcp' ? Math.floor((DESCRIPTORS - DESCRIPTORS_KEPT) / 2) : Number.POSITIVE_INFINITY;
  const count = Math.min(Number(flags.idle), room, tls === null ? Number.POSITIVE_INFINITY : TLS_IDLE_MAX);
  const results: IdleResult[] = [];
  const endpoints = await Endpoints.start(folder, setting);
  try {
    for (const name of names) {
      const balancer = await startBalancer(name, folder, endpoints, setting);
      try {
        // A balancer that has worked has its code compiled and its pools filled: that is the base.
        await runWrk(setting, `${schemeOf(setting)}://127.0.0.1:${balancer.port}/`, {
          connections: 200,
          seconds: Number(flags.warm),
          close: false,
        });
        const [baseRss, basePss] = [balancer.rss(), balancer.pss()];
        const words = [String(balancer.port), String(count), schemeOf(setting)];
        const child = fork(join(import.meta.dirname, 'idle.child.ts'), words, { execArgv: [] });
        const [message] = await within('idle connections to open', 60_000, once(child, 'message'));
        const { open, failures } = message as { open: number; failures: number };
        // The worker's garbage of the opening is part of the price only as long as it is not collected: look when it is quiet.
        await new Promise((resolve) => setTimeout(resolve, 3000));
        results.push({ name, open, failures, baseRss, rss: balancer.rss(), basePss, pss: balancer.pss() });
        child.send('end');
        await once(child, 'exit');
      } finally {
        await balancer.stop();
      }
    }
  } finally {
    await endpoints.stop();
  }
  return results;
}

const folder = makeFolder();
process.on('SIGINT', () => process.exit(130));
process.on('exit', () => removeFolder(folder));
const about = {
  when: new Date().toISOString(),
  machine: `${availableParallelism()} x ${cpus()[0]?.model ?? 'unknown cpu'}, Linux ${release()}`,
  versions: {
    weir: `${versionOf(base.programs.weir, ['--version'])} on Node ${process.version}`,
    haproxy: versionOf(base.programs.haproxy, ['-v']),
    nginx: versionOf(base.programs.nginx, ['-v']),
  },
  rounds,
  seconds,
  pin: flags.pin,
};
console.log(
  `${about.machine}\n${Object.values(about.versions).join('\n')}\n${rounds} rounds of ${seconds} s, medians${flags.pin ? ', pinned' : ''}\n`,
);

const measured: Record<string, Summary[]> = {};
for (const of of rows) {
  if (!isWanted(of.name)) continue;
  mkdirSync(join(folder, of.name), { recursive: true, mode: 0o755 });
  measured[of.name] = await runRow(of, folder);
  printRow(of.name, of.says, measured[of.name]!);
}
const idle: Record<string, IdleResult[]> = {};
for (const [name, layer, tls, says] of [
  ['idle', 'http', '', 'silent keep-alive connections after one request each'],
  ['tlsidle', 'http', 'P-256', 'TLS: silent keep-alive connections after one request each'],
  ['tcpidle', 'tcp', '', 'silent carried connections after one request each'],
] as const) {
  if (!isWanted(name)) continue;
  mkdirSync(join(folder, name), { recursive: true, mode: 0o755 });
  const home = join(folder, name);
  idle[name] = await runIdle(home, layer, tls === '' ? null : writeCertificate(home, tls));
  printIdle(name, says, idle[name]);
}
judge(measured, idle);
const file = join(out, `peers-${about.when.replace(/[:.]/g, '-')}.json`);
writeFileSync(file, JSON.stringify({ about, rows: measured, idle }, null, 2));
console.log(`\nwritten to ${file}`);
