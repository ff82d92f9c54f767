/** The programs around the balancers: nginx as endpoints, wrk as client; and what all programs of a benchmark share. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { get } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ask } from '../tests/support/peer.ts';
import { freePort } from '../tests/support/system.ts';
import { Hopeless, until, within } from '../tests/support/wait.ts';

const here = import.meta.dirname;
/** Endpoints' small answer is 56 bytes with its head's length; the files are exact. */
const files: readonly (readonly [string, number])[] = [
  ['16k', 16 * 1024],
  ['1m', 1024 * 1024],
  ['16m', 16 * 1024 * 1024],
];

export interface Programs {
  haproxy: string;
  nginx: string;
  wrk: string;
  weir: string;
}

export interface Setting {
  programs: Programs;
  /** taskset: client and endpoints on cpu 0, the balancer on cpu 1. */
  pin: boolean;
  /** Access log on, to a file in memory. */
  log: boolean;
  engine: 'uring' | 'epoll';
  /** What is balanced: requests, or connections. */
  layer: 'http' | 'tcp';
  /** TLS is opened at the balancer; null: there is none. Paths of a certificate and its key, and of both in one file, as HAProxy wants them. */
  tls: { certificate: string; key: string; both: string } | null;
  /** NODE_OPTIONS of weir, for profiles. */
  nodeOptions: string;
}

/** Where files go that must not wait for a disk. */
export function makeFolder(): string {
  const folder = mkdtempSync(join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'weir-bench-'));
  // nginx drops its rights when it is started by root, and must still find its files.
  chmodSync(folder, 0o755);
  return folder;
}

/** Open files: 10,000 idle connections need more than the usual soft limit. The hard limit cannot be passed everywhere, so that is it. */
export const DESCRIPTORS = Number(/Max open files +\d+ +(\d+)/.exec(readFileSync('/proc/self/limits', 'latin1'))?.[1] ?? 4096);
const withDescriptors = (command: string[]): string[] => ['prlimit', `--nofile=${DESCRIPTORS}:${DESCRIPTORS}`, ...command];

export function fill(template: string, values: Record<string, string | number>): string {
  return readFileSync(join(here, 'peers', template), 'utf8').replace(/@([A-Z]+)@/g, (_, name: string) => {
    const value = values[name];
    if (value === undefined) throw new Error(`${template} asks for @${name}@`);
    return String(value);
  });
}

function answersTls(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    get({ host: '127.0.0.1', port, rejectUnauthorized: false, agent: false, timeout: 1000 }, (response) => {
      response.resume();
      resolve(response.statusCode === 200);
    }).on('error', () => resolve(false));
  });
}

export abstract class Program {
  readonly folder: string;
  readonly child: ChildProcess;
  readonly name: string;
  output = '';

  constructor(
    name: string,
    folder: string,
    command: string[],
    options: { stdout?: string; environment?: Record<string, string> } = {},
  ) {
    this.name = name;
    this.folder = folder;
    const stdout = options.stdout === undefined ? 'pipe' : openSync(options.stdout, 'a');
    this.child = spawn(command[0]!, command.slice(1), {
      stdio: ['ignore', stdout, 'pipe'],
      cwd: folder,
      env: { ...process.env, ...options.environment },
    });
    this.child.on('error', (error) => (this.output += error.message));
    for (const stream of [this.child.stdout, this.child.stderr])
      stream?.setEncoding('utf8').on('data', (text) => {
        if (this.output.length < 100_000) this.output += text;
      });
  }

  get pid(): number {
    return this.child.pid!;
  }

  async answers(port: number, isTls = false): Promise<void> {
    await until(
      `${this.name} to answer`,
      async () => {
        if (this.child.exitCode !== null) throw new Hopeless(`${this.name} has exited: ${this.output}`);
        if (isTls) return answersTls(port);
        return (await ask(port, 'GET / HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n', 1000)).status === 200;
      },
      20_000,
      50,
    );
  }

  async stop(): Promise<void> {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return;
    const gone = once(this.child, 'exit');
    this.child.kill('SIGTERM');
    const timer = setTimeout(() => this.child.kill('SIGKILL'), 8000);
    await gone;
    clearTimeout(timer);
  }
}

export function pinned(setting: Pick<Setting, 'pin'>, cpu: number, command: string[]): string[] {
  return withDescriptors(setting.pin ? ['taskset', '-c', String(cpu), ...command] : command);
}

/** Two lean endpoints in one nginx. */
export class Endpoints extends Program {
  readonly ports: readonly [number, number];

  private constructor(folder: string, ports: readonly [number, number], setting: Setting) {
    const file = join(folder, 'nginx.conf');
    writeFileSync(file, fill('nginx-endpoints.conf', { DIR: folder, A: ports[0], B: ports[1], FILES: DESCRIPTORS }));
    super('endpoints', folder, pinned(setting, 0, [setting.programs.nginx, '-c', file, '-p', folder]));
    this.ports = ports;
  }

  static async start(parent: string, setting: Setting): Promise<Endpoints> {
    const folder = join(parent, 'endpoints');
    mkdirSync(join(folder, 'www'), { recursive: true });
    for (const [name, size] of files) writeFileSync(join(folder, 'www', name), Buffer.alloc(size, 'weir bench body\n'));
    const endpoints = new Endpoints(folder, [await freePort(), await freePort()], setting);
    await endpoints.answers(endpoints.ports[0]);
    return endpoints;
  }
}

export interface Run {
  requests: number;
  us: number;
  bytes: number;
  errors: number;
  status: number;
  p50: number;
  p99: number;
  p999: number;
}

/** One run of the client. */
export async function runWrk(
  setting: Setting,
  url: string,
  options: { connections: number; seconds: number; close: boolean },
): Promise<Run> {
  const command = pinned(setting, 0, [
    setting.programs.wrk,
    '-t1',
    `-c${options.connections}`,
    `-d${options.seconds}s`,
    '--timeout',
    '8s',
    '-s',
    join(here, 'wrk.lua'),
    ...(options.close ? ['-H', 'Connection: close'] : []),
    url,
  ]);
  const child = spawn(command[0]!, command.slice(1), { stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  child.stdout.setEncoding('utf8').on('data', (text) => (output += text));
  child.stderr.setEncoding('utf8').on('data', (text) => (output += text));
  await once(child, 'close');
  const line = /^JSON (.*)$/m.exec(output);
  if (line === null) throw new Error(`wrk said: ${output}`);
  return JSON.parse(line[1]!) as Run;
}

/** One run of a client that makes a whole handshake with every request. */
export async function runHandshakes(
  setting: Setting,
  port: number,
  { connections, seconds }: { connections: number; seconds: number },
): Promise<Run> {
  const words = [join(here, 'handshakes.child.ts'), String(port), String(connections), String(seconds)];
  const [program, ...command] = pinned(setting, 0, [process.execPath, ...words]);
  const child = spawn(program!, command, { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
  const exited = once(child, 'exit');
  const [run] = (await within('the client of handshakes', (seconds + 30) * 1000, once(child, 'message'))) as [Run];
  await exited;
  return run;
}

export function versionOf(command: string, args: string[]): string {
  try {
    return execFileSync('sh', ['-c', '"$@" 2>&1 | head -1', 'sh', command, ...args], { encoding: 'utf8' }).trim();
  } catch {
    return 'not there';
  }
}

export function removeFolder(folder: string): void {
  rmSync(folder, { recursive: true, force: true });
}
